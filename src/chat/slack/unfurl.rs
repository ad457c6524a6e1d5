//! Links that somebody posts, and what is shown below them.
//!
//! Sources: <https://docs.slack.dev/messaging/unfurling-links-in-messages>,
//! <https://docs.slack.dev/reference/events/link_shared>, <https://docs.slack.dev/reference/methods/chat.unfurl>.

use serde_json::{Map, Value, json};

use super::outbound::message;
use crate::conversation::{Reply, Speaker};

/// Links of one message.
#[derive(Debug, Clone, PartialEq)]
pub struct Shared {
    pub speaker: Speaker,
    /// As Slack wrote them.
    pub addresses: Vec<String>,
    pub place: Place,
}

/// Where links stand.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    /// Slack's own name for it: a message that is still being written has no other.
    Unfurl {
        id: String,
        source: String,
    },
    Message {
        channel: String,
        ts: String,
    },
}

impl Shared {
    /// The links of `event`, posted by `speaker`; `None` where it is not said where they stand.
    pub fn of(event: &Value, speaker: Speaker) -> Option<Shared> {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_string();
        let (id, source) = (text("unfurl_id"), text("source"));
        let (channel, ts) = (text("channel"), text("message_ts"));
        let place = match (id.is_empty() || source.is_empty(), channel.is_empty() || ts.is_empty())
        {
            (false, _) => Place::Unfurl { id, source },
            (true, false) => Place::Message { channel, ts },
            (true, true) => return None,
        };
        let links = event["links"].as_array()?.iter();
        let addresses = links.filter_map(|it| it["url"].as_str()).map(str::to_string).collect();
        Some(Shared { speaker, addresses, place })
    }
}

/// What Slack is told to show below links at `place`: addresses as Slack wrote them, and their cards.
///
/// # Errors
/// None that a card can cause.
pub fn call(place: &Place, cards: Vec<(String, Reply)>) -> anyhow::Result<Value> {
    let mut unfurls = Map::new();
    for (address, card) in cards {
        unfurls.insert(address, json!({ "blocks": message(&card)?["blocks"].take() }));
    }
    Ok(match place {
        Place::Unfurl { id, source } => {
            json!({ "unfurl_id": id, "source": source, "unfurls": unfurls })
        }
        Place::Message { channel, ts } => {
            json!({ "channel": channel, "ts": ts, "unfurls": unfurls })
        }
    })
}
