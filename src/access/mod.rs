//! Who is who.

use crate::catalog::{EntityRef, Snapshot};
use crate::conversation::Speaker;

/// A speaker, with the catalog User they are known as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub speaker: Speaker,
    /// `None` for a stranger.
    pub user: Option<EntityRef>,
}

/// Who `speaker` is. In the terminal the id is a User's reference; in Slack a User's
/// annotation `slack.com/user-id` names the id.
///
/// It tells whose questions these are and gives no right to anything.
pub fn person(_snapshot: &Snapshot, _speaker: &Speaker) -> Person {
    todo!()
}
