//! The channels that a workspace has.
//!
//! Source: <https://docs.slack.dev/reference/methods/conversations.list>, with the scope `channels:read`.

use serde::Deserialize;

use super::client::{SlackApi, SlackError};

/// Slack asks for at most 200 at a time, and takes 1,000.
const PAGE: &str = "1000";

/// 200,000 channels: no workspace is waited for longer.
const PAGES_MAX: usize = 200;

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

#[derive(Deserialize)]
struct Page {
    channels: Vec<Channel>,
    #[serde(default)]
    response_metadata: Next,
}

#[derive(Default, Deserialize)]
struct Next {
    /// Empty on the last page.
    #[serde(default)]
    next_cursor: String,
}

impl SlackApi {
    /// The public channels of the workspace, archived ones too.
    ///
    /// # Errors
    /// [`SlackError`]
    pub async fn channels(&self) -> Result<Vec<Channel>, SlackError> {
        let (mut channels, mut cursor) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let from = Some(cursor.as_str()).filter(|it| !it.is_empty());
            let asked =
                [("types", Some("public_channel")), ("limit", Some(PAGE)), ("cursor", from)];
            let page: Page = self.get("conversations.list", &asked).await?;
            channels.extend(page.channels);
            cursor = page.response_metadata.next_cursor;
            if cursor.is_empty() {
                break;
            }
        }
        Ok(channels)
    }
}
