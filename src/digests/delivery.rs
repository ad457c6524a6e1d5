//! One message to one team: where it stands, and how it ended.
//!
//! ```text
//!                     ┌──── it is not there ────┐
//!                     ▼                         │
//! a slot ──▶ planned ──▶ being handed over ──▶ in doubt     Slack: handed over ──its time has come──▶ sent
//!                │              │                │                   ▲                                  ▲
//!                │              │                └───── it is there ─┤                                  │
//!                │              └────────────────────────────────────┴──────────── Discord ─────────────┘
//!                └──▶ snoozed, empty, no channel, missed      refused, too late, unknown: ended, with the reason
//! ```
//! A delivery is known by its digest, its team and the local date of its slot: the table takes no second one. Its words
//! are made in the transaction that writes it down, so that whoever sends it again sends the same.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};

use super::standing::Told;
use crate::catalog::EntityRef;
use crate::conversation::{Platform, Untrusted};

/// What a mark begins with.
const MARK: &str = "idp-";
/// Half of a checksum: nobody meets another digest's by chance.
const MARK_BYTES: usize = 10;

/// What a delivery is told apart by at its platform: it stands in the message, and is the same for the same digest,
/// team and date, whoever works it out and whatever the database has forgotten. 24 characters, as many as Discord
/// takes for a `nonce`.
pub fn mark(digest: &str, team: &EntityRef, date: NaiveDate) -> String {
    let checksum = Sha256::digest(format!("{digest}\n{team}\n{date}"));
    format!("{MARK}{}", hex::encode(&checksum[..MARK_BYTES]))
}

/// Whether a message may be at its platform although nobody knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It surely is not.
    None,
    /// It was never sent as far as the database knows, which may have been set back.
    Forgotten,
    /// It was sent, and nobody learnt what became of it.
    Unanswered,
}

impl Doubt {
    const ALL: [Doubt; 3] = [Doubt::None, Doubt::Forgotten, Doubt::Unanswered];

    /// As the database has it.
    pub fn word(self) -> &'static str {
        match self {
            Doubt::None => "none",
            Doubt::Forgotten => "forgotten",
            Doubt::Unanswered => "unanswered",
        }
    }

    pub fn from_word(word: &str) -> Option<Doubt> {
        Doubt::ALL.into_iter().find(|it| it.word() == word)
    }
}

/// A delivery whose turn has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    pub id: i64,
    pub digest: String,
    pub team: EntityRef,
    pub date: NaiveDate,
    pub channel: String,
    /// [`mark`]
    pub mark: String,
    /// When it is to be in the channel.
    pub send_at: DateTime<Utc>,
    pub is_late: bool,
    /// The reply, as JSON.
    pub body: String,
    /// This one counted.
    pub attempts: i32,
    pub doubt: Doubt,
    /// The platform's id of the message; `None` until it is handed over.
    pub message_id: Option<String>,
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Sent,
    Late,
    Snoozed,
    Empty,
    Missed,
    NoChannel,
    ChannelNotFound,
    NotInChannel,
    Archived,
    NotAllowed,
    Expired,
    MayHaveArrived,
    NotPosted,
    Refused,
    Unreadable,
}

impl Outcome {
    pub const ALL: [Outcome; 15] = [
        Outcome::Sent,
        Outcome::Late,
        Outcome::Snoozed,
        Outcome::Empty,
        Outcome::Missed,
        Outcome::NoChannel,
        Outcome::ChannelNotFound,
        Outcome::NotInChannel,
        Outcome::Archived,
        Outcome::NotAllowed,
        Outcome::Expired,
        Outcome::MayHaveArrived,
        Outcome::NotPosted,
        Outcome::Refused,
        Outcome::Unreadable,
    ];

    /// As people, the database and the figures call it.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Sent => "SENT",
            Outcome::Late => "LATE",
            Outcome::Snoozed => "SNOOZED",
            Outcome::Empty => "EMPTY",
            Outcome::Missed => "MISSED",
            Outcome::NoChannel => "NO_CHANNEL",
            Outcome::ChannelNotFound => "CHANNEL_NOT_FOUND",
            Outcome::NotInChannel => "NOT_IN_CHANNEL",
            Outcome::Archived => "IS_ARCHIVED",
            Outcome::NotAllowed => "NOT_ALLOWED",
            Outcome::Expired => "EXPIRED",
            Outcome::MayHaveArrived => "MAY_HAVE_ARRIVED",
            Outcome::NotPosted => "NOT_POSTED",
            Outcome::Refused => "REFUSED",
            Outcome::Unreadable => "UNREADABLE",
        }
    }

    pub fn from_word(word: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|it| it.word() == word)
    }

    /// Why, and what to do about it: plain sentences.
    pub fn why(self) -> &'static str {
        match self {
            Outcome::Sent => "It was sent.",
            Outcome::Late => "It was sent, late.",
            Outcome::Snoozed => "The team snoozed its digests.",
            Outcome::Empty => "The team owns nothing.",
            Outcome::Missed => "idp was down, and it was too late to catch up.",
            Outcome::NoChannel => {
                "The team has no channel. Annotate its Group with `slack.com/channel-id` or `discord.com/channel-id`."
            }
            Outcome::ChannelNotFound => {
                "There is no such channel, or it is private. Correct it in the Group's descriptor, or invite the bot."
            }
            Outcome::NotInChannel => "The bot is not in the channel. Invite it: `/invite @idp`.",
            Outcome::Archived => "The channel is archived. Name another in the Group's descriptor.",
            Outcome::NotAllowed => "The bot may not write in the channel. Let it, or name another.",
            Outcome::Expired => {
                "The platform took it not in time. `idp doctor` says what is wrong."
            }
            Outcome::MayHaveArrived => {
                "It was sent, and nobody learnt whether it arrived. It is not sent twice."
            }
            Outcome::NotPosted => "Slack took it, and does not say that it posted it.",
            Outcome::Refused => "The platform refused it; the log of idp says more.",
            Outcome::Unreadable => "Another version of idp wrote it down.",
        }
    }

    /// Whether the team heard it.
    pub fn is_heard(self) -> bool {
        matches!(self, Outcome::Sent | Outcome::Late)
    }

    /// Whether somebody should put it right.
    pub fn is_failure(self) -> bool {
        !matches!(self, Outcome::Sent | Outcome::Late | Outcome::Snoozed | Outcome::Empty)
    }
}

/// A delivery that is to be written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    pub team: EntityRef,
    /// `None` where the team has no channel.
    pub place: Option<(Platform, String)>,
    pub send_at: DateTime<Utc>,
    /// How it ends at once; `None`: it is sent.
    pub ended: Option<Outcome>,
    /// The reply as JSON; empty where it is not sent.
    pub body: String,
    /// What it tells of scores.
    pub told: Option<Told>,
}

/// What became of a delivery that somebody had in hand.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The platform has it, and posts it at its time.
    Handed {
        message_id: String,
    },
    /// It is there, as often as it should be.
    Confirmed,
    /// It surely is not there.
    NotThere,
    /// It is looked at again after this; `arrived`: whether it may be there.
    PutOff {
        wait: TimeDelta,
        arrived: bool,
    },
    Ended {
        outcome: Outcome,
        detail: Option<String>,
        message_id: Option<String>,
    },
}

impl Step {
    pub fn end(outcome: Outcome) -> Step {
        Step::Ended { outcome, detail: None, message_id: None }
    }

    /// It is in the channel, as the message of this id.
    pub fn sent(delivery: &Delivery, message_id: Option<String>) -> Step {
        let outcome = if delivery.is_late { Outcome::Late } else { Outcome::Sent };
        Step::Ended { outcome, detail: None, message_id }
    }
}

/// What a date is called in a message: `4 May`.
pub fn day(date: NaiveDate) -> String {
    Untrusted::from(date.format("%-d %B").to_string().as_str()).to_markdown()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_the_same_for_the_same_and_another_for_others() {
        let date = |day| NaiveDate::from_ymd_opt(2026, 5, day).unwrap();
        let team = |name| EntityRef::new("group", "default", name);
        let payments = mark("weekly", &team("payments"), date(4));
        assert_eq!(payments, mark("weekly", &team("payments"), date(4)));
        assert_eq!(payments.len(), 24);
        for other in [
            mark("daily", &team("payments"), date(4)),
            mark("weekly", &team("orders"), date(4)),
            mark("weekly", &team("payments"), date(11)),
        ] {
            assert_ne!(payments, other);
        }
    }

    #[test]
    fn each_outcome_has_a_word_and_a_reason_of_its_own() {
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::from_word(outcome.word()), Some(outcome));
            assert!(outcome.why().ends_with('.'), "{outcome:?}");
            let like = Outcome::ALL.into_iter().filter(|it| it.why() == outcome.why());
            assert_eq!(like.count(), 1, "{outcome:?}");
        }
        assert_eq!(Outcome::from_word("TOMORROW"), None);
    }
}
