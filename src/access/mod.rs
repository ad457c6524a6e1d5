//! Who is who, and who may do what.
//!
//! ```text
//! Speaker ──links──▶ Person ──authorize──▶ Permit
//! ```
//! Who somebody is follows from a link alone, which an admin or a code made. Descriptors are written by many: what they
//! say about accounts, names and e-mail addresses is no authority.

pub mod authority;
pub mod code;
pub mod disk;
pub mod email;
pub mod flow;
pub mod link;
pub mod listing;
pub mod store;
pub mod totp;

use crate::catalog::{EntityRef, RelationKind, Snapshot};
use crate::conversation::{Platform, Speaker};

pub use authority::{Authority, Object, Permit, Reach, Role, Terms, Verb};
pub use link::{Link, Links};

/// A speaker, with the catalog User they are known as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub speaker: Speaker,
    /// `None` for a stranger.
    pub user: Option<EntityRef>,
    /// The teams they are a member of; empty for a stranger.
    pub teams: Vec<EntityRef>,
    /// What their account is linked to, whether or not the catalog still describes it; `None` in the terminal.
    pub link: Option<Link>,
}

impl Person {
    /// Who `speaker` is: in a chat whom their account is linked to, in the terminal whose reference they gave.
    ///
    /// A User whom its source no longer describes is nobody, from the moment that this is known.
    pub fn of(speaker: &Speaker, links: &Links, snapshot: &Snapshot) -> Person {
        let link = links.of(speaker);
        let named = match speaker.platform {
            Platform::Terminal => EntityRef::parse(&speaker.user_id, Some("user"), "default").ok(),
            Platform::Slack | Platform::Discord => link.as_ref().map(|link| link.user.clone()),
        };
        let user = named
            .filter(|reference| reference.kind() == "user")
            .and_then(|reference| snapshot.find(reference.as_str()))
            .filter(|user| !user.orphaned);
        let teams =
            user.map(|user| snapshot.related(user, RelationKind::MemberOf)).unwrap_or_default();
        Person {
            speaker: speaker.clone(),
            user: user.map(|user| user.reference.clone()),
            teams: teams.iter().map(|team| team.reference().clone()).collect(),
            link,
        }
    }

    /// Whether their account is linked as a guest's.
    pub fn is_guest(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.guest)
    }

    /// Whether they are the User, or in the Group, that `reference` names.
    pub fn is(&self, reference: &EntityRef) -> bool {
        self.user.as_ref() == Some(reference) || self.teams.contains(reference)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::link::{LinkSet, Made};
    use super::*;
    use crate::catalog::{Place, Relation, StoredEntity};

    fn stored(reference: &str, orphaned_at: Option<DateTime<Utc>>) -> StoredEntity {
        let reference = EntityRef::parse(reference, None, "default").unwrap();
        let team = Relation {
            kind: RelationKind::MemberOf,
            target: EntityRef::new("group", "default", "payments"),
            bare: false,
        };
        StoredEntity {
            body: r#"{"metadata":{},"spec":{}}"#.into(),
            relations: if reference.kind() == "user" { vec![team] } else { Vec::new() },
            place: Place { source: "s".into(), file: "f".into(), document: 0, line: 1 },
            orphaned_at,
            reference,
        }
    }

    fn speaker(platform: Platform, user_id: &str) -> Speaker {
        Speaker { platform, tenant: "T1".into(), user_id: user_id.into() }
    }

    /// Who `speaker` is while the account `U1` of Slack is linked to `linked`.
    fn who(speaker: &Speaker, linked: &str) -> Person {
        let link = Link {
            user: EntityRef::parse(linked, None, "default").unwrap(),
            guest: false,
            generation: 1,
            made_by: Made::Import,
            created_at: DateTime::UNIX_EPOCH,
        };
        let links = Links::default();
        let by_account = [(self::speaker(Platform::Slack, "U1"), link)].into();
        links.set(LinkSet { revision: 1, by_account });
        let gone = Some(DateTime::UNIX_EPOCH);
        let entities = [("user:ada", None), ("user:eve", gone), ("group:payments", None)];
        let snapshot = Snapshot::build(entities.map(|(it, at)| stored(it, at)), &[], 1);
        Person::of(speaker, &links, &snapshot)
    }

    #[test]
    fn who_somebody_is_follows_from_the_link_of_exactly_their_account() {
        let ada = who(&speaker(Platform::Slack, "U1"), "user:ada");
        assert_eq!(ada.user, Some(EntityRef::new("user", "default", "ada")));
        assert_eq!(ada.teams, [EntityRef::new("group", "default", "payments")]);
        let elsewhere = Speaker { tenant: "T2".into(), ..speaker(Platform::Slack, "U1") };
        for other in [elsewhere, speaker(Platform::Slack, "u1"), speaker(Platform::Discord, "U1")] {
            assert_eq!(who(&other, "user:ada").user, None, "{other:?}");
        }
    }

    #[test]
    fn a_user_whom_no_source_describes_any_more_is_nobody() {
        for linked in ["user:eve", "user:never-was", "group:payments"] {
            let person = who(&speaker(Platform::Slack, "U1"), linked);
            assert_eq!((person.user, person.teams), (None, Vec::new()), "{linked}");
            assert!(person.link.is_some(), "it can be told whom the account is linked to");
        }
    }

    #[test]
    fn in_the_terminal_somebody_is_whom_they_name() {
        let named = |it: &str| who(&speaker(Platform::Terminal, it), "user:ada").user;
        assert_eq!(named("ada"), Some(EntityRef::new("user", "default", "ada")));
        assert_eq!((named(""), named("group:payments"), named("U1")), (None, None, None));
    }
}
