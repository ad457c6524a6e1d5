//! The channels that a workspace has.
//!
//! Source: <https://docs.slack.dev/reference/methods/conversations.list>, with the scope `channels:read`.

use serde::Deserialize;

use super::client::{SlackApi, SlackError};

/// Slack asks for at most 200 at a time, and takes 1,000.
const PAGE: &str = "1000";

/// A public channel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Channel {
    pub id: String,
    /// Without `#`.
    pub name: String,
    #[serde(default)]
    pub is_archived: bool,
    /// Whether the bot is in it.
    #[serde(default)]
    pub is_member: bool,
}

impl SlackApi {
    /// The public channels of the workspace, archived ones too.
    ///
    /// # Errors
    /// [`SlackError`]
    pub async fn channels(&self) -> Result<Vec<Channel>, SlackError> {
        let asked = [("types", Some("public_channel")), ("limit", Some(PAGE))];
        self.all("conversations.list", "channels", &asked).await
    }
}
