//! Pictures are edited into the answer that says the same in words: nobody waits for one, one that fails takes nothing
//! away, and whoever sees the words, be it one person alone, sees the picture.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Dispatcher, WAIT_MAX};
use crate::chat::discord::client::DiscordError;
use crate::chat::discord::outbound::{EMBEDS_MAX, edited};
use crate::conversation::Picture;
use crate::pictures::{self, Drawing};

/// Where the words stand already.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// What the interaction of this token was answered.
    Answer { token: String },
    /// A message of the bot's.
    Posted { channel_id: String, message_id: String },
}

impl Dispatcher {
    /// [`Dispatcher::follow_up`] of `message`, which answered the interaction of this `token`.
    pub(super) fn follow_up_answer(
        self: &Arc<Self>,
        token: String,
        message: &[u8],
        drawing: Option<Arc<Drawing>>,
    ) {
        if drawing.is_none() {
            return;
        }
        let mut message: Value = serde_json::from_slice(message).expect("it was written as JSON");
        self.follow_up(Place::Answer { token }, message["data"].take(), drawing);
    }

    /// Has the picture of `drawing` edited into `message`, which stands at `place`, in the background.
    pub(super) fn follow_up(
        self: &Arc<Self>,
        place: Place,
        mut message: Value,
        drawing: Option<Arc<Drawing>>,
    ) {
        let Some(drawing) = drawing else { return };
        // Whom it is for was decided when it was sent.
        if let Some(fields) = message.as_object_mut() {
            fields.remove("flags");
        }
        let discord = self.clone();
        self.tasks.spawn(async move {
            let Err(why) = discord.illustrate(&place, &message, drawing).await else { return };
            if let Err(error) = discord.edit_at(&place, &explained(&message, why), &[]).await {
                let error = error.to_string();
                tracing::warn!(error, "could not say why a picture is missing");
            }
        });
    }

    /// Edits the picture of `drawing` into `message`; otherwise what whoever asked reads in its place.
    async fn illustrate(
        &self,
        place: &Place,
        message: &Value,
        drawing: Arc<Drawing>,
    ) -> Result<(), &'static str> {
        let picture = pictures::drawn(drawing).await.map_err(|error| {
            tracing::error!(error = format!("{error:#}"), "could not draw a picture");
            "The picture is missing: it could not be drawn. The log says why."
        })?;
        let pictures = [picture];
        let edited = self.edit_at(place, &illustrated(message, &pictures), &pictures).await;
        edited.map_err(|error| {
            tracing::warn!(error = error.to_string(), "could not send a picture");
            why_missing(&error)
        })
    }

    async fn edit_at(
        &self,
        place: &Place,
        message: &Value,
        pictures: &[Picture],
    ) -> Result<(), DiscordError> {
        let message = &edited(message);
        match place {
            Place::Answer { token } => {
                self.api.edit_answer_with(token, message, pictures, WAIT_MAX).await
            }
            Place::Posted { channel_id, message_id } => {
                self.api.edit_message(channel_id, message_id, message, pictures, WAIT_MAX).await
            }
        }
    }
}

/// `message` with a picture in each of its embeds, from the first on, and what they show in words.
pub fn illustrated(message: &Value, pictures: &[Picture]) -> Value {
    let mut message = message.clone();
    let attachments = pictures.iter().enumerate().map(|(number, picture)| {
        let Picture { name, title, alt, .. } = picture;
        // Discord's ids are texts.
        json!({ "id": number.to_string(), "filename": name, "title": title, "description": alt })
    });
    message["attachments"] = attachments.collect();
    let embeds = message["embeds"].as_array_mut().into_iter().flatten();
    for (embed, picture) in embeds.zip(pictures) {
        let url = format!("attachment://{}", picture.name);
        embed["image"] = json!({ "url": url, "description": picture.alt });
    }
    message
}

/// What whoever asked reads in the place of a picture, and what mends it.
fn why_missing(error: &DiscordError) -> &'static str {
    match error {
        DiscordError::Access { .. } => {
            "The picture is missing: the bot may not attach files here. Whoever manages the server gives it the \
             permission Attach Files."
        }
        DiscordError::Limited { .. } | DiscordError::Away { .. } => {
            "The picture is missing: Discord did not take it. Ask again in a minute."
        }
        _ => "The picture is missing: Discord does not take it. The log says why.",
    }
}

/// `message` with `why` its picture is missing, where there is room for it.
fn explained(message: &Value, why: &str) -> Value {
    let mut message = message.clone();
    if let Some(embeds) = message["embeds"].as_array_mut().filter(|it| it.len() < EMBEDS_MAX) {
        embeds.push(json!({ "description": why }));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_stands_in_an_embed_with_its_words() {
        let picture = Picture {
            name: "graph.png".into(),
            title: "What depends on a".into(),
            alt: "b needs a.".into(),
            png: Default::default(),
        };
        let message = json!({ "embeds": [{ "description": "a" }, { "description": "b" }] });
        let illustrated = illustrated(&message, &[picture]);
        assert_eq!(
            illustrated["embeds"],
            json!([
                { "description": "a", "image": {
                    "url": "attachment://graph.png", "description": "b needs a.",
                }},
                { "description": "b" },
            ])
        );
        assert_eq!(
            illustrated["attachments"],
            json!([{
                "id": "0", "filename": "graph.png", "title": "What depends on a",
                "description": "b needs a.",
            }])
        );
    }

    #[test]
    fn why_a_picture_is_missing_is_said_where_there_is_room() {
        let embeds = |count: usize| json!({ "embeds": vec![json!({ "description": "a" }); count] });
        let why = why_missing(&DiscordError::Access { code: 50_013 });
        assert!(why.contains("Attach Files"), "{why}");
        assert_eq!(explained(&embeds(1), why)["embeds"][1]["description"], why);
        assert_eq!(explained(&embeds(EMBEDS_MAX), why), embeds(EMBEDS_MAX));
    }
}
