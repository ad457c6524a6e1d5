//! Slack's outbound.

use serde_json::Value;

use crate::conversation::Reply;

/// The message that shows `reply`: `{"text", "blocks", "response_type", …}`, within every limit of Slack.
pub fn message(_reply: &Reply) -> Value {
    todo!()
}
