//! Which channel is a team's own, as its annotations say.

use serde_json::Value;

use crate::conversation::Platform;

/// Annotations that are a channel of Slack's, the surest first.
const SLACK: [&str; 3] = ["slack.com/channel-id", "slack.com/channel", "slack.com/channel-name"];
const DISCORD: &str = "discord.com/channel-id";

/// The id or name of the channel on `platform` of whoever has these `annotations`.
pub fn own(annotations: &Value, platform: Platform) -> Option<String> {
    let named = |name: &&str| {
        let channel = annotations[*name].as_str()?.trim().trim_start_matches('#');
        (!channel.is_empty()).then(|| channel.to_string())
    };
    match platform {
        Platform::Slack => SLACK.iter().find_map(named),
        Platform::Discord => {
            // A number that nobody put in quotes has lost its last digits.
            named(&DISCORD).filter(|it| it.bytes().all(|it| it.is_ascii_digit()))
        }
        Platform::Terminal => None,
    }
}
