//! Pictures follow the words that say the same, so that nobody waits for one, and one that fails takes nothing away.
//!
//! A file in Slack is shared with a channel or with a person, and never with one person in a channel. So a picture goes
//! where its answer can be read by no more people than before: to the channel of an answer that everybody there sees,
//! to the direct messages of whoever alone sees the answer.

use std::sync::Arc;

use super::Dispatcher;
use crate::chat::outbox::{Post, To};
use crate::chat::slack::client::SlackError;
use crate::conversation::{Picture, Reply, Untrusted};
use crate::pictures::{self, Drawing};

impl Dispatcher {
    /// Has the picture of `drawing` follow the words of `post`, which were sent, in the background.
    pub(super) fn follow_up(self: &Arc<Self>, post: &Post, drawing: Option<Arc<Drawing>>) {
        let Some(drawing) = drawing else { return };
        let (slack, post) = (self.clone(), post.clone());
        self.tasks.spawn(async move {
            let Err(why) = slack.send_picture(&post.to, drawing).await else { return };
            let to = To { alone: true, replaces: false, ..post.to };
            let key = format!("{} picture", post.key);
            slack.tell(Post { key, to, reply: Reply::markdown(why), ..post }).await;
        });
    }

    /// Sends the picture of `drawing` to who sees the answer; otherwise what whoever asked reads in its place.
    async fn send_picture(&self, to: &To, drawing: Arc<Drawing>) -> Result<(), String> {
        let picture = pictures::drawn(drawing).await.map_err(|error| {
            tracing::error!(error = format!("{error:#}"), "could not draw a picture");
            "_The picture is missing: it could not be drawn. The log says why._".to_string()
        })?;
        self.share(to, &picture).await.map_err(|error| {
            tracing::warn!(error = error.to_string(), "could not send a picture");
            why_missing(&error)
        })
    }

    async fn share(&self, to: &To, picture: &Picture) -> Result<(), SlackError> {
        let To { channel, thread, person, alone, .. } = to;
        if !alone {
            match self.api.share_picture(channel, thread.as_deref(), picture).await {
                // The bot is not in the channel: it sends the picture to the person alone.
                Err(SlackError::Channel { .. }) if person.is_some() => {}
                shared => return shared,
            }
        }
        self.api.share_picture(person.as_deref().unwrap_or(channel), None, picture).await
    }
}

/// What whoever asked reads in the place of a picture, and what mends it.
fn why_missing(error: &SlackError) -> String {
    match error {
        SlackError::Token { code } if code == "missing_scope" => {
            "_The picture is missing: this app may not send files. Whoever manages it adds the scope_ `files:write` \
             _and installs it anew in this workspace._"
                .into()
        }
        SlackError::Channel { .. } => "_The picture is missing: this app can send it neither to this channel nor to \
             you. Invite it with_ `/invite @idp` _and ask again._"
            .into(),
        error => {
            let why = Untrusted::from(error.to_string().as_str()).to_markdown();
            format!("_The picture is missing: {why}. Ask again in a minute._")
        }
    }
}
