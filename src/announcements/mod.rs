//! What is said elsewhere than where it was asked: a request to who decides on it, a decision to who asked.
//!
//! ```text
//!  a command ──Announcement──▶ idp.announcement ──the platform's outbox──▶ a channel, or a person
//!  a state ──show──▶ idp.card ──────the platform's outbox──▶ a message there, edited in place from then on
//!  a step ──say_below──▶ idp.card_line ──once it is there──▶ the thread below it
//! ```
//! Whoever answers a command knows nothing of platforms, and the platform of those who are told may be another, or away:
//! so a table stands between them, from which each platform's outbox takes what is for it.
//!
//! Of a card the last state alone is of use: what nobody has seen yet is replaced, and a state is never shown after one
//! that came later.

pub mod store;

use serde::{Deserialize, Serialize};

use crate::access::Links;
use crate::catalog::{EntityRef, Snapshot, channel};
use crate::conversation::{Address, Platform};

/// Something to be said elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// What it announces: said once in each place.
    pub key: String,
    pub places: Vec<Place>,
    /// What is said there; `None`: the answer itself.
    pub markdown: Option<String>,
}

/// Where something is said: in a channel, or to a person directly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub platform: Platform,
    /// Its id or name.
    pub channel: Option<String>,
    /// The id of an account.
    pub person: Option<String>,
    /// What it stands below: the thread in Slack, the message in Discord.
    #[serde(default)]
    pub thread: Option<String>,
}

impl Place {
    /// Where `who` is told: a Group in its channel, a User by the account that is linked to them, on the first of
    /// `connected` where there is one; `None` where there is none.
    pub fn of(
        who: &EntityRef,
        snapshot: &Snapshot,
        links: &Links,
        connected: &[Platform],
    ) -> Option<Place> {
        if who.kind() == "user" {
            let links = links.now();
            return connected.iter().find_map(|platform| {
                let mut accounts: Vec<&str> = links
                    .by_account
                    .iter()
                    .filter(|(account, link)| link.user == *who && account.platform == *platform)
                    .map(|(account, _)| account.user_id.as_str())
                    .collect();
                accounts.sort_unstable();
                let person = Some(accounts.first()?.to_string());
                Some(Place { platform: *platform, channel: None, person, thread: None })
            });
        }
        let body = snapshot.body(snapshot.find(who.as_str())?);
        let annotations = &body["metadata"]["annotations"];
        connected.iter().find_map(|platform| {
            let channel = Some(channel::own(annotations, *platform)?);
            Some(Place { platform: *platform, channel, person: None, thread: None })
        })
    }

    /// Whether it is said there anyway, where something is asked at `address`.
    pub fn is_at(&self, address: &Address) -> bool {
        let names = [Some(&address.channel_id), address.channel_name.as_ref()];
        self.platform == address.platform
            && self.channel.as_ref().is_some_and(|it| names.contains(&Some(it)))
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::access::link::{Link, LinkSet, Made};
    use crate::catalog::{self, StoredEntity};
    use crate::conversation::Speaker;

    fn speaker(platform: Platform, id: &str) -> Speaker {
        Speaker { platform, tenant: "T1".into(), user_id: id.into() }
    }

    /// Where `who` is told: the platform and the channel or account.
    fn place(who: &str, connected: &[Platform]) -> Option<String> {
        let ada = EntityRef::new("user", "default", "ada");
        let link = Link {
            user: ada,
            guest: false,
            generation: 1,
            made_by: Made::Import,
            created_at: DateTime::<Utc>::UNIX_EPOCH,
        };
        let links = Links::default();
        let by_account = [("U2", Platform::Discord), ("U1", Platform::Discord)]
            .map(|(id, platform)| (speaker(platform, id), link.clone()));
        links.set(LinkSet { revision: 1, by_account: by_account.into() });
        let both = r##"{"metadata": {"annotations": {"slack.com/channel": "#pay", "discord.com/channel-id": "7"}}}"##;
        let entities = [("group:payments", both), ("group:quiet", "{}"), ("user:ada", "{}")];
        let entities = entities.map(|(reference, body)| StoredEntity {
            reference: EntityRef::parse(reference, None, "default").unwrap(),
            relations: Vec::new(),
            body: body.into(),
            place: catalog::Place { source: "s".into(), file: "f".into(), document: 0, line: 1 },
            orphaned_at: None,
        });
        let snapshot = Snapshot::build(entities, &[], 1);
        let who = EntityRef::parse(who, None, "default").unwrap();
        let Place { platform, channel, person, .. } =
            Place::of(&who, &snapshot, &links, connected)?;
        Some(format!("{} {}", platform.word(), channel.or(person).unwrap()))
    }

    #[test]
    fn a_team_is_told_in_its_channel_and_a_person_directly() {
        let both = [Platform::Slack, Platform::Discord];
        assert_eq!(place("group:payments", &both).unwrap(), "slack pay");
        assert_eq!(place("group:payments", &[Platform::Discord]).unwrap(), "discord 7");
        assert_eq!(place("user:ada", &both).unwrap(), "discord U1");
        for nowhere in ["group:quiet", "group:gone", "user:eve"] {
            assert_eq!(place(nowhere, &both), None, "{nowhere}");
        }
        assert_eq!(place("group:payments", &[]), None);
    }

    #[test]
    fn nobody_is_told_where_it_is_said_anyway() {
        let place = |channel: &str| Place {
            platform: Platform::Slack,
            channel: Some(channel.into()),
            person: None,
            thread: None,
        };
        let address = Address {
            platform: Platform::Slack,
            tenant: "T1".into(),
            channel_id: "C1".into(),
            channel_name: Some("pay".into()),
            thread: None,
        };
        let told = ["C1", "pay", "C2"].map(|it| place(it).is_at(&address));
        assert_eq!(told, [true, true, false]);
        let elsewhere = Address { platform: Platform::Discord, ..address };
        assert!(!place("C1").is_at(&elsewhere));
    }
}
