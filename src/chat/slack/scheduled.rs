//! Messages that Slack posts at their time.
//!
//! Sources: <https://docs.slack.dev/reference/methods/chat.scheduleMessage>, which takes no `metadata`: messages with it
//! are never posted; <https://docs.slack.dev/reference/methods/chat.scheduledMessages.list>. Both need no more than the
//! scope `chat:write`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{SlackApi, SlackError};
use super::dispatcher::Dispatcher;
use super::outbound;
use super::outbound::BLOCKS_MAX;
use crate::chat::digests::{self, Carrier, Failure, Found, Sight};
use crate::chat::outbox::Unsent;
use crate::conversation::{Picture, Platform, Reply};
use crate::digests::delivery::{Delivery, Outcome};

/// A page of a list: each message of it comes with its text.
const PAGE: &str = "100";

/// Slack takes 2,000 in the description of an image.
const ALT_CHARACTERS_MAX: usize = 1_000;

/// So few are looked for one by one, each in its own second.
const ONE_BY_ONE_MAX: usize = 5;

/// A message that waits for its time.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Scheduled {
    /// Slack's own examples have numbers too.
    id: Value,
    pub channel_id: String,
    #[serde(default)]
    pub text: String,
}

impl Scheduled {
    pub fn id(&self) -> String {
        self.id.as_str().map_or_else(|| self.id.to_string(), str::to_string)
    }
}

impl SlackApi {
    /// `message`, an object, is posted in `channel` at `post_at`, in seconds since 1970; Slack's id of it until then.
    ///
    /// # Errors
    /// [`SlackError`]
    pub async fn schedule_message(
        &self,
        channel: &str,
        post_at: i64,
        mut message: Value,
    ) -> Result<String, SlackError> {
        #[derive(Deserialize)]
        struct Taken {
            scheduled_message_id: String,
        }
        message["channel"] = channel.into();
        message["post_at"] = post_at.into();
        // The channel's limit is for what is posted, and Slack posts it.
        self.may_call()?;
        let taken: Taken = self.call("chat.scheduleMessage", &message).await?;
        Ok(taken.scheduled_message_id)
    }

    /// What is to be posted from the second `oldest` to the second `latest`, in `channel` alone where it is given.
    ///
    /// # Errors
    /// [`SlackError`]
    pub async fn scheduled_messages(
        &self,
        channel: Option<&str>,
        oldest: i64,
        latest: i64,
    ) -> Result<Vec<Scheduled>, SlackError> {
        self.may_call()?;
        let (oldest, latest) = (oldest.to_string(), latest.to_string());
        let asked = [
            ("channel", channel),
            ("oldest", Some(oldest.as_str())),
            ("latest", Some(latest.as_str())),
            ("limit", Some(PAGE)),
        ];
        self.all("chat.scheduledMessages.list", "scheduled_messages", &asked).await
    }

    /// The message `id` is not posted in `channel`. That it is there no more is no error.
    ///
    /// # Errors
    /// [`SlackError`]
    pub async fn unschedule_message(&self, channel: &str, id: &str) -> Result<(), SlackError> {
        self.may_call()?;
        let body = json!({ "channel": channel, "scheduled_message_id": id });
        let taken_back: Result<Value, SlackError> =
            self.call("chat.deleteScheduledMessage", &body).await;
        match taken_back {
            Ok(_) | Err(SlackError::Gone { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Dispatcher {
    /// `message` with `picture` before its small print; `None` where Slack does not take the picture.
    ///
    /// The file is shared with nobody but those who see the message.
    /// Source: <https://docs.slack.dev/reference/block-kit/composition-objects/slack-file-object>
    async fn illustrated(&self, message: &Value, picture: &Picture) -> Option<Value> {
        let kept = self.api.keep_picture(picture).await.map_err(|error| {
            tracing::warn!(error = error.to_string(), "a digest goes without its picture");
        });
        let mut message = message.clone();
        let blocks = message["blocks"].as_array_mut().filter(|it| it.len() < BLOCKS_MAX)?;
        let alt: String = picture.alt.chars().take(ALT_CHARACTERS_MAX).collect();
        let image = json!({ "type": "image", "slack_file": { "id": kept.ok()? }, "alt_text": alt });
        blocks.insert(blocks.len().saturating_sub(1), image);
        Some(message)
    }
}

impl Carrier for Dispatcher {
    const PLATFORM: Platform = Platform::Slack;
    const AHEAD: bool = true;
    const TOLD_APART_WITHIN: Duration = Duration::ZERO;
    const LOOKED_FOR_MAX: usize = 5_000;

    async fn hand_over(&self, delivery: &Delivery, reply: &Reply) -> Result<String, Failure> {
        let ours = |error: anyhow::Error| Failure {
            unsent: Unsent::ours(&error),
            outcome: Outcome::Refused,
        };
        let mut message = outbound::message(reply).map_err(ours)?;
        if let Some(fields) = message.as_object_mut() {
            fields.remove("response_type");
        }
        // Read by nobody but us, and by screen readers at the very end.
        let text = message["text"].as_str().unwrap_or_default();
        message["text"] = format!("{text}\n{}", delivery.mark).into();
        let (channel, post_at) = (&delivery.channel, delivery.send_at.timestamp());
        if let Some(picture) = digests::picture(reply).await
            && let Some(with_picture) = self.illustrated(&message, &picture).await
        {
            match self.api.schedule_message(channel, post_at, with_picture).await {
                // Nothing was scheduled, perhaps for the picture's sake.
                Err(error @ SlackError::Rejected { .. }) => {
                    let error = error.to_string();
                    tracing::warn!(error, "a digest goes without its picture");
                }
                scheduled => return Ok(scheduled?),
            }
        }
        Ok(self.api.schedule_message(channel, post_at, message).await?)
    }

    async fn look(&self, deliveries: &[Delivery]) -> Vec<Result<Sight, Failure>> {
        let list = async |of: &[Delivery]| -> Result<Vec<Scheduled>, Failure> {
            let seconds = of.iter().map(|it| it.send_at.timestamp());
            let (oldest, latest) = (seconds.clone().min(), seconds.max());
            let (oldest, latest) = (oldest.unwrap_or_default() - 1, latest.unwrap_or_default() + 1);
            Ok(self.api.scheduled_messages(None, oldest, latest).await?)
        };
        if deliveries.len() <= ONE_BY_ONE_MAX {
            let mut sights = Vec::with_capacity(deliveries.len());
            for delivery in deliveries {
                let listed = list(std::slice::from_ref(delivery)).await;
                sights.push(listed.map(|listed| seen(delivery, &listed)));
            }
            return sights;
        }
        match list(deliveries).await {
            Ok(listed) => deliveries.iter().map(|it| Ok(seen(it, &listed))).collect(),
            Err(failure) => vec![Err(failure); deliveries.len()],
        }
    }

    async fn take_back(&self, found: &Found) -> Result<(), Failure> {
        Ok(self.api.unschedule_message(&found.channel, &found.message_id).await?)
    }
}

/// What `listed` shows of `delivery`.
fn seen(delivery: &Delivery, listed: &[Scheduled]) -> Sight {
    let own = listed.iter().filter(|it| it.text.contains(&delivery.mark));
    let found: Vec<Found> =
        own.map(|it| Found { message_id: it.id(), channel: it.channel_id.clone() }).collect();
    match found.is_empty() {
        true => Sight::NotThere,
        false => Sight::There(found),
    }
}

impl From<SlackError> for Failure {
    fn from(error: SlackError) -> Failure {
        let outcome = match &error {
            SlackError::Channel { code } => match code.as_str() {
                "channel_not_found" | "invalid_channel" => Outcome::ChannelNotFound,
                "not_in_channel" => Outcome::NotInChannel,
                "is_archived" | "is_inactive" => Outcome::Archived,
                _ => Outcome::NotAllowed,
            },
            SlackError::Thread { .. } => Outcome::NotAllowed,
            _ => Outcome::Refused,
        };
        Failure { unsent: error.into(), outcome }
    }
}
