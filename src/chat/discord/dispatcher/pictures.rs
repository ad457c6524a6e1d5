//! Pictures are edited into the answer that says the same in words: nobody waits for one, one that fails takes nothing
//! away, and whoever sees the words, be it one person alone, sees the picture.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Dispatcher;
use crate::chat::discord::client::DiscordError;
use crate::chat::discord::outbound::EMBEDS_MAX;
use crate::conversation::Picture;

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
        pictures: Arc<[Picture]>,
    ) {
        if pictures.is_empty() {
            return;
        }
        let mut message: Value = serde_json::from_slice(message).unwrap_or_default();
        self.follow_up(Place::Answer { token }, message["data"].take(), pictures);
    }

    /// Has `pictures` edited into `message`, which stands at `place`, in the background.
    pub(super) fn follow_up(
        self: &Arc<Self>,
        place: Place,
        mut message: Value,
        pictures: Arc<[Picture]>,
    ) {
        if pictures.is_empty() {
            return;
        }
        // Whom it is for was decided when it was sent.
        if let Some(fields) = message.as_object_mut() {
            fields.remove("flags");
        }
        let discord = self.clone();
        self.tasks.spawn(async move { discord.illustrate(&place, &message, &pictures).await });
    }

    /// Edits `pictures` into `message`, or why there are none.
    async fn illustrate(&self, place: &Place, message: &Value, pictures: &[Picture]) {
        let Err(error) = self.edit_at(place, &illustrated(message, pictures), pictures).await
        else {
            return;
        };
        tracing::warn!(error = error.to_string(), "could not send a picture");
        if let Err(error) = self.edit_at(place, &explained(message, &error), &[]).await {
            let error = error.to_string();
            tracing::warn!(error, "could not say why a picture is missing");
        }
    }

    async fn edit_at(
        &self,
        place: &Place,
        message: &Value,
        pictures: &[Picture],
    ) -> Result<(), DiscordError> {
        match place {
            Place::Answer { token } => self.api.edit_answer_with(token, message, pictures).await,
            Place::Posted { channel_id, message_id } => {
                self.api.edit_message(channel_id, message_id, message, pictures).await
            }
        }
    }
}

/// `message` with a picture in each of its embeds, from the first on, and what they show in words.
fn illustrated(message: &Value, pictures: &[Picture]) -> Value {
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

/// `message` with what whoever asked reads in the place of a picture, and what mends it.
fn explained(message: &Value, error: &DiscordError) -> Value {
    let why = match error {
        DiscordError::Access { .. } => {
            "The picture is missing: the bot may not attach files here. Whoever manages the server gives it the \
             permission Attach Files."
        }
        DiscordError::Limited { .. } | DiscordError::Away { .. } => {
            "The picture is missing: Discord did not take it. Ask again in a minute."
        }
        _ => "The picture is missing: Discord does not take it. The log says why.",
    };
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
        let refused = DiscordError::Access { code: 50_013 };
        let said = explained(&embeds(1), &refused);
        let why = said["embeds"][1]["description"].as_str().unwrap();
        assert!(why.contains("Attach Files"), "{why}");
        assert_eq!(explained(&embeds(EMBEDS_MAX), &refused), embeds(EMBEDS_MAX));
    }
}
