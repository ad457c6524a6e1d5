//! The words of each platform.

pub mod api;
pub mod backoff;
pub mod digests;
pub mod discord;
pub mod inbox;
pub mod layout;
pub mod link;
pub mod markdown;
pub mod moment;
pub mod outbox;
pub mod slack;

use std::time::Duration;

/// Slack and Discord wait three seconds for the answer to their request.
pub const ANSWER_WITHIN: Duration = Duration::from_millis(2_500);

/// Why a platform is answered nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// Of a workspace that is not served.
    Stranger,
    /// Ours to put right; it is in the log.
    Broken,
}
