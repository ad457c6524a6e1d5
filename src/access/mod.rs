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
