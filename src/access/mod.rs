//! Who is who.

use crate::catalog::{EntityRef, RelationKind, Snapshot};
use crate::conversation::{Platform, Speaker};

/// A speaker, with the catalog User they are known as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub speaker: Speaker,
    /// `None` for a stranger.
    pub user: Option<EntityRef>,
    /// The teams they are a member of; empty for a stranger.
    pub teams: Vec<EntityRef>,
}

/// Who `speaker` is. In the terminal the id is a User's reference; in Slack a User's
/// annotation `slack.com/user-id` names the id.
///
/// It tells whose questions these are and gives no right to anything: descriptors are
/// written by many, and an annotation is no authority.
pub fn person(snapshot: &Snapshot, speaker: &Speaker) -> Person {
    let user = match speaker.platform {
        Platform::Slack => snapshot.slack_user(&speaker.user_id),
        Platform::Terminal => EntityRef::parse(&speaker.user_id, Some("user"), "default")
            .ok()
            .filter(|reference| reference.kind() == "user")
            .and_then(|reference| snapshot.find(reference.as_str())),
        Platform::Discord => None,
    };
    let teams = user.map(|user| snapshot.related(user, RelationKind::MemberOf)).unwrap_or_default();
    Person {
        speaker: speaker.clone(),
        user: user.map(|user| user.reference.clone()),
        teams: teams.iter().map(|team| team.reference().clone()).collect(),
    }
}
