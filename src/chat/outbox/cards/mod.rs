//! Cards: messages that are posted once, and edited in place from then on.
//!
//! ```text
//! shown ──by the outbox──▶ posted ──▶ there ──a later state──▶ being edited ──▶ there
//!   ▲                        │          │                        │
//!   │                        │          └── its lines follow     ├── not now: later, then the last state
//!   ├── may have arrived ────┘                                   ├── refused: given up, until there is a later state
//!   └── deleted, and still live ─────────────────────────────────┘
//! ```
//! - What waits for the outbox is replaced by what is true by then; of what waits to be edited the last state alone is
//!   shown. So after an hour away a platform sees each card once.
//! - The edits of one message are made one at a time, under a hold that the database's clock ends. Whoever finds on its
//!   return that another took it over may have shown an old state last, and has the last one shown again.
//! - Slack cannot be asked whether a post arrived, so a card may be there twice. The copy does nothing by itself: what
//!   is decided stands in the database, and its buttons are answered from there.

pub(super) mod flow;
pub(super) mod store;

use std::time::Duration;

use super::{PAUSE_MAX, Policy, Reason, Sent, Unsent};
use crate::chat::backoff;
use store::{Held, Unposted};

/// So many posts of one card in a row may have arrived, before it is given up.
const LOSSES_MAX: i32 = 3;

/// What is to be done about a card that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Post,
    /// It is there.
    Found(Sent),
    /// It may be, and nobody knows where: another is posted after a pause.
    PostAnother,
    GiveUp(String),
}

impl Unposted {
    fn step(&self) -> Step {
        let lost = Reason::MayHaveArrived.word();
        if self.post_key.is_none() {
            return Step::Post;
        }
        if let Some(message_id) = &self.message_id {
            // An older version of idp, which may have posted it, does not write down where.
            let channel = self.message_channel.as_ref().or(self.channel.as_ref());
            return match channel.filter(|_| !message_id.is_empty()) {
                None => Step::GiveUp(lost.into()),
                Some(channel) => {
                    Step::Found(Sent { channel: channel.clone(), message_id: message_id.clone() })
                }
            };
        }
        // Where the outbox has forgotten it, nobody knows either.
        match self.failure.as_deref().unwrap_or(lost) {
            failure if failure == lost && self.losses + 1 < LOSSES_MAX => Step::PostAnother,
            failure => Step::GiveUp(failure.into()),
        }
    }
}

/// What becomes of a card whose edit was in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    After(Duration),
    PostAnother,
    GiveUp(Reason),
}

impl Held {
    /// What is done after the edit ended with `unsent`; `later` is the first pause of what is not taken now.
    fn next(&self, unsent: &Unsent, later: Duration) -> Next {
        let attempts = u32::try_from(self.attempts).unwrap_or(u32::MAX);
        match unsent.policy {
            Policy::Channel if self.live => Next::PostAnother,
            Policy::Channel | Policy::Gone => Next::GiveUp(Reason::Gone),
            Policy::Person => Next::GiveUp(Reason::Refused),
            Policy::Ours => Next::GiveUp(Reason::Ours),
            // Edited twice it shows the same.
            Policy::Later | Policy::Uncertain => {
                Next::After(backoff::after(attempts, later).max(unsent.wait))
            }
            Policy::Limited => Next::After(unsent.wait.min(PAUSE_MAX)),
            Policy::Away | Policy::Mend => Next::After(Duration::ZERO),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_secs(5);

    fn unposted() -> Unposted {
        Unposted {
            id: 1,
            key: "request 1".into(),
            channel: Some("C1".into()),
            person: None,
            thread: None,
            reply: "{}".into(),
            version: 2,
            posts: 1,
            losses: 0,
            post_key: Some("card 1 1".into()),
            message_channel: None,
            message_id: None,
            failure: None,
        }
    }

    #[test]
    fn a_card_is_posted_once_and_found_where_it_is() {
        assert_eq!(Unposted { post_key: None, ..unposted() }.step(), Step::Post);
        let at = |id: &str| Unposted {
            message_channel: Some("C1".into()),
            message_id: Some(id.into()),
            ..unposted()
        };
        let sent = Sent { channel: "C1".into(), message_id: "1.5".into() };
        assert_eq!(at("1.5").step(), Step::Found(sent));
        assert_eq!(at("").step(), Step::GiveUp("may_have_arrived".into()));
    }

    #[test]
    fn what_may_have_arrived_is_posted_again_a_few_times_and_what_was_refused_is_not() {
        let lost = |losses, failure: Option<&str>| {
            Unposted { losses, failure: failure.map(str::to_string), ..unposted() }.step()
        };
        let given_up = |why: &str| Step::GiveUp(why.into());
        for failure in [None, Some("may_have_arrived")] {
            assert_eq!(lost(0, failure), Step::PostAnother);
            assert_eq!(lost(LOSSES_MAX - 1, failure), given_up("may_have_arrived"));
        }
        assert_eq!(lost(0, Some("refused")), given_up("refused"));
        assert_eq!(lost(0, Some("expired")), given_up("expired"));
    }

    #[test]
    fn an_edit_in_vain_is_made_again_or_has_an_end() {
        let next = |live, policy, wait| {
            let held = Held {
                id: 1,
                key: "request 1".into(),
                reply: "{}".into(),
                version: 2,
                hold: 1,
                live,
                attempts: 1,
                message_channel: "C1".into(),
                message_id: "1.5".into(),
            };
            let unsent = Unsent { policy, wait, everywhere: false, why: String::new() };
            held.next(&unsent, LATER)
        };
        let given_up = [
            (Policy::Channel, false, Reason::Gone),
            (Policy::Gone, true, Reason::Gone),
            (Policy::Person, true, Reason::Refused),
            (Policy::Ours, true, Reason::Ours),
        ];
        for (policy, live, reason) in given_up {
            assert_eq!(next(live, policy, Duration::ZERO), Next::GiveUp(reason), "{policy:?}");
        }
        assert_eq!(next(true, Policy::Channel, Duration::ZERO), Next::PostAnother);
        for policy in [Policy::Away, Policy::Mend] {
            assert_eq!(next(true, policy, Duration::ZERO), Next::After(Duration::ZERO));
        }
        assert_eq!(next(true, Policy::Limited, LATER * 9_999), Next::After(PAUSE_MAX));
        for policy in [Policy::Later, Policy::Uncertain] {
            assert!(matches!(next(true, policy, LATER), Next::After(wait) if wait >= LATER));
        }
    }
}
