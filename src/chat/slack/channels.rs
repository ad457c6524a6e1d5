//! The channels that a workspace has, and who else reads them.
//!
//! Sources: <https://docs.slack.dev/reference/methods/conversations.list>,
//! <https://docs.slack.dev/reference/methods/conversations.info>, with the scope `channels:read`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::client::{SlackApi, SlackError};

/// Slack asks for at most 200 at a time, and takes 1,000.
const PAGE: &str = "1000";

/// So long is believed what Slack said of a channel.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// Channels remembered before all are asked for again.
const CHANNELS_MAX: usize = 1_000;

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

/// What Slack says of who reads a channel.
#[derive(Debug, Default, Deserialize)]
struct Readers {
    #[serde(default)]
    is_ext_shared: bool,
    #[serde(default)]
    is_pending_ext_shared: bool,
}

/// Which channels people of other companies read, as Slack said a while ago.
#[derive(Debug, Default)]
pub(super) struct SharedChannels(HashMap<String, (Instant, bool)>);

impl SharedChannels {
    fn known(&self, channel_id: &str, now: Instant) -> Option<bool> {
        let (asked_at, is_shared) = self.0.get(channel_id)?;
        (now - *asked_at < KNOWN_FOR).then_some(*is_shared)
    }

    fn learn(&mut self, channel_id: &str, is_shared: bool, now: Instant) {
        if self.0.len() >= CHANNELS_MAX {
            self.0.clear();
        }
        self.0.insert(channel_id.to_string(), (now, is_shared));
    }
}

impl SlackApi {
    /// Whether people of another company read the channel of this id. `false` also where Slack does not tell: without the
    /// scope `channels:read`, and of a channel that is named by no id.
    pub async fn is_shared(&self, channel_id: &str) -> bool {
        #[derive(Deserialize)]
        struct Told {
            #[serde(default)]
            channel: Readers,
        }
        if !is_id(channel_id) {
            return false;
        }
        if let Some(is_shared) = self.shared().known(channel_id, Instant::now()) {
            return is_shared;
        }
        let told = self.get("conversations.info", &[("channel", Some(channel_id))]).await;
        let is_shared = match told {
            Ok(Told { channel }) => channel.is_ext_shared || channel.is_pending_ext_shared,
            // It is asked again before something else is said there.
            Err(error) if error.is_passing() => return false,
            Err(_) => false,
        };
        self.shared().learn(channel_id, is_shared, Instant::now());
        is_shared
    }

    /// The public channels of the workspace, archived ones too.
    ///
    /// # Errors
    /// [`SlackError`]
    pub async fn channels(&self) -> Result<Vec<Channel>, SlackError> {
        let asked = [("types", Some("public_channel")), ("limit", Some(PAGE))];
        self.all("conversations.list", "channels", &asked).await
    }
}

/// Whether `channel` is the id of a channel, and not a name or a person.
fn is_id(channel: &str) -> bool {
    let of_id = |it: char| it.is_ascii_uppercase() || it.is_ascii_digit();
    channel.starts_with(['C', 'G']) && channel.chars().all(of_id)
}
