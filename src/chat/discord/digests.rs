//! Digests in the channels of Discord.
//!
//! What has the same `nonce` is posted once, for some minutes. After those the bot looks at what it said in the channel.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::Value;

use super::client::{DiscordApi, DiscordError};
use super::dispatcher::{Dispatcher, illustrated, words};
use crate::chat::digests::{self, Carrier, Failure, Found, Sight};
use crate::chat::outbox::Unsent;
use crate::conversation::{Platform, Reply};
use crate::digests::delivery::{Delivery, Outcome};

/// Pages of a channel that are looked at: what is further back was said long before.
const PAGES_MAX: usize = 10;

/// Discord counts from 2015.
/// Source: <https://docs.discord.com/developers/reference#snowflakes>
const EPOCH_MS: i64 = 1_420_070_400_000;

/// A message that is looked for is not older than this before its time.
const EARLIEST: TimeDelta = TimeDelta::minutes(5);

impl Carrier for Dispatcher {
    const PLATFORM: Platform = Platform::Discord;
    const AHEAD: bool = false;
    const TOLD_APART_WITHIN: Duration = super::dispatcher::TOLD_APART_WITHIN;
    const LOOKED_FOR_MAX: usize = 50;

    async fn hand_over(&self, delivery: &Delivery, reply: &Reply) -> Result<String, Failure> {
        let ours = |error: serde_json::Error| Failure {
            unsent: Unsent::ours(&error.into()),
            outcome: Outcome::Refused,
        };
        let mut message = words(reply).map_err(ours)?;
        sign(&mut message, &delivery.mark);
        message["nonce"] = delivery.mark.as_str().into();
        message["enforce_nonce"] = true.into();
        let channel = &delivery.channel;
        if let Some(picture) = digests::picture(reply).await {
            let pictures = [picture];
            let with_picture = illustrated(&message, &pictures);
            match self.api.post_message_with(channel, &with_picture, &pictures).await {
                // Nothing was posted, perhaps for the picture's sake: the bot may not attach files.
                Err(
                    error @ (DiscordError::Access { .. }
                    | DiscordError::Message { .. }
                    | DiscordError::Rejected { .. }),
                ) => {
                    let error = error.to_string();
                    tracing::warn!(error, "a digest goes without its picture");
                }
                posted => return Ok(posted?),
            }
        }
        Ok(self.api.post_message(channel, &message, Duration::ZERO).await?)
    }

    async fn look(&self, deliveries: &[Delivery]) -> Vec<Result<Sight, Failure>> {
        let mut sights = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            sights.push(seen(&self.api, delivery).await.map_err(Failure::from));
        }
        sights
    }

    /// What was said was read.
    async fn take_back(&self, _: &Found) -> Result<(), Failure> {
        Ok(())
    }
}

/// Adds the mark to the small print of `message`.
fn sign(message: &mut Value, mark: &str) {
    let Some(Value::Array(embeds)) = message.get_mut("embeds") else { return };
    if let Some(last) = embeds.last_mut() {
        let said = last["footer"]["text"].as_str().map(|said| format!("{said} · "));
        last["footer"]["text"] = format!("{}{mark}", said.unwrap_or_default()).into();
    }
}

/// Whether `message` is the one of this mark.
fn is_signed(message: &Value, mark: &str) -> bool {
    let embeds = message["embeds"].as_array();
    let footer =
        |embed: &Value| embed["footer"]["text"].as_str().is_some_and(|it| it.ends_with(mark));
    embeds.is_some_and(|embeds| embeds.iter().any(footer))
}

/// Whether what `delivery` says stands in its channel.
async fn seen(api: &DiscordApi, delivery: &Delivery) -> Result<Sight, DiscordError> {
    let since_ms = (delivery.send_at - EARLIEST).timestamp_millis() - EPOCH_MS;
    let since = u64::try_from(since_ms).unwrap_or_default() << 22;
    let mut before: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let page = api.messages(&delivery.channel, before.as_deref()).await?;
        if let Some(found) = page.iter().find(|it| is_signed(it, &delivery.mark)) {
            let message_id = found["id"].as_str().unwrap_or_default().to_string();
            return Ok(Sight::There(vec![Found { message_id, channel: delivery.channel.clone() }]));
        }
        let Some(oldest) = page.last().and_then(|it| it["id"].as_str()) else {
            // Who may not read a channel's history is told that there is none.
            let is_first = before.is_none();
            return match is_first && api.has_messages(&delivery.channel).await? {
                true => Ok(Sight::Hidden(
                    "the bot may not read what stands in the channel: give it Read Message History"
                        .into(),
                )),
                false => Ok(Sight::NotThere),
            };
        };
        if oldest.parse::<u64>().is_ok_and(|oldest| oldest < since) {
            return Ok(Sight::NotThere);
        }
        before = Some(oldest.to_string());
    }
    Ok(Sight::Hidden("too much was said in the channel since".into()))
}

impl From<DiscordError> for Failure {
    fn from(error: DiscordError) -> Failure {
        let outcome = match &error {
            // Unknown channels and servers.
            DiscordError::Access { code: 10_003 | 10_004 } => Outcome::ChannelNotFound,
            DiscordError::Access { code: 50_001 } => Outcome::NotInChannel,
            DiscordError::Access { code: 50_083 } => Outcome::Archived,
            DiscordError::Access { .. } | DiscordError::Message { .. } => Outcome::NotAllowed,
            _ => Outcome::Refused,
        };
        Failure { unsent: error.into(), outcome }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_is_known_by_its_small_print() {
        let mut message =
            json!({ "embeds": [{ "title": "a" }, { "footer": { "text": "as of now" } }] });
        sign(&mut message, "idp-1");
        assert_eq!(message["embeds"][1]["footer"]["text"], "as of now · idp-1");
        assert!(is_signed(&message, "idp-1") && !is_signed(&message, "idp-2"));
        let mut bare = json!({ "embeds": [{ "title": "a" }] });
        sign(&mut bare, "idp-1");
        assert!(is_signed(&bare, "idp-1"));
    }
}
