//! What Discord sent, answered.
//!
//! A command is answered on its request when the answer is there in time, later by the interaction's token.
//! Clicks and forms that were filled in are written down, acknowledged, then answered.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serenity::builder::{CreateInteractionResponse, CreateInteractionResponseMessage};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{DiscordApi, DiscordError};
use super::inbound::{Inbound, Interaction, Wish};
use super::modal;
use super::outbound::{Message, body};
use crate::app::App;
use crate::chat::inbox::Delivery;
use crate::chat::inbox::worker::{Answers, Worker};
use crate::chat::{ANSWER_WITHIN, Rejection};
use crate::conversation::{Click, Invocation, Query, Way};
use crate::error::{Error, Refusal};

/// How the inbox calls Discord.
const PLATFORM: &str = "discord";

/// The sub-command that takes a question in one's own words, and its option. A command of a portal of the
/// same name goes first.
pub const ASK: &str = "ask";
pub const QUESTION: &str = "question";

/// What every way in from Discord leads to.
pub struct Dispatcher {
    app: Arc<App>,
    api: DiscordApi,
    worker: Worker,
    /// The answers under way.
    tasks: TaskTracker,
    answer_within: Duration,
}

/// Something to answer once, however often Discord delivers it: in the place of what `token` was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Errand {
    click: Click,
    token: String,
    /// Whether the words were filled into a form.
    #[serde(default)]
    filled: bool,
}

impl Errand {
    fn way(&self) -> Way {
        if self.filled { Way::Filled } else { Way::Button }
    }
}

impl Dispatcher {
    /// `tasks` are waited for before the process ends.
    pub fn new(app: Arc<App>, api: DiscordApi, tasks: TaskTracker) -> Dispatcher {
        let worker = Worker::new(PLATFORM, app.clone(), tasks.clone());
        Dispatcher { app, api, worker, tasks, answer_within: ANSWER_WITHIN }
    }

    /// A command is answered on its request within `answer_within`, or by its token.
    pub fn answering_within(self, answer_within: Duration) -> Dispatcher {
        Dispatcher { answer_within, ..self }
    }

    /// Answers what other processes took and left, until `stop`.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        self.worker.keep(self.clone(), stop).await;
    }

    /// Whether the server `guild_id` is answered: anybody may invite an application into a server of their
    /// own, so those of the settings alone are.
    fn serves(&self, guild_id: &str) -> bool {
        let serves = self.app.settings.load().discord.guild_ids.iter().any(|it| it == guild_id);
        if !serves {
            tracing::warn!(
                guild_id,
                "a server asked that is not in `discord.guild_ids` of idp.yaml"
            );
        }
        serves
    }

    /// What Discord is answered at once, as JSON. What lasts longer, or must not be lost, goes on in the
    /// background; it is written down by then.
    ///
    /// # Errors
    /// [`Rejection`]
    pub async fn hear(self: &Arc<Self>, heard: Inbound) -> Result<Bytes, Rejection> {
        let is_ours = |application_id: &str| application_id == self.api.application_id();
        let interaction = match heard {
            Inbound::Ping { application_id } if is_ours(&application_id) => {
                return Ok(body(&CreateInteractionResponse::Pong));
            }
            Inbound::Ping { .. } => return Err(Rejection::Stranger),
            // Discord tells whoever asked that there is no answer.
            Inbound::Ignored => return Ok(Bytes::from_static(b"{}")),
            Inbound::Interaction(interaction) => *interaction,
        };
        if !is_ours(&interaction.application_id) || !self.serves(&interaction.speaker.tenant) {
            return Err(Rejection::Stranger);
        }
        let Interaction { id, token, speaker, address, wish, .. } = interaction;
        let click = |words| Click { speaker: speaker.clone(), address: address.clone(), words };
        let errand = |words, filled| Errand { click: click(words), token: token.clone(), filled };
        match wish {
            Wish::Call { command, values } => Ok(match self.words(&command, &values) {
                Ok(text) => self.answer_command(Invocation { speaker, address, text }, token).await,
                Err(error) => Message::body(&error.into_reply()),
            }),
            Wish::Typing { command, field, typed } => {
                let query = Query { speaker, command, field, typed };
                Ok(modal::choices(&self.app.suggestions(&query)))
            }
            Wish::Opening { words } => match self.app.form(&click(words.clone())) {
                Ok(Some(form)) => Ok(modal::modal(&form)),
                Ok(None) => self.take(id, errand(words, false), false).await,
                Err(error) => Ok(Message::body(&error.into_reply())),
            },
            Wish::Click { words, replaces } => self.take(id, errand(words, false), replaces).await,
            Wish::Filled { command, values } => match self.words(&command, &values) {
                Ok(words) => self.take(id, errand(words, true), false).await,
                Err(error) => Ok(Message::body(&error.into_reply())),
            },
        }
    }

    /// The words that say `command` with `values`; those of a question are the question.
    fn words(&self, command: &str, values: &[(String, String)]) -> Result<String, Error> {
        match (self.app.filled(command, values), values) {
            (Err(Error::Refusal(Refusal::UnknownCommand { .. })), [(name, question)])
                if command == ASK && name == QUESTION =>
            {
                Ok(question.clone())
            }
            (filled, _) => filled,
        }
    }

    async fn answer_command(self: &Arc<Self>, invocation: Invocation, token: String) -> Bytes {
        let app = self.app.clone();
        let mut answer = Box::pin(async move { app.answer_shown(invocation, Message::body).await });
        match timeout(self.answer_within, &mut answer).await {
            Ok(message) => message,
            Err(_) => {
                self.tasks.spawn(self.clone().answer_later(token, answer));
                later()
            }
        }
    }

    async fn answer_later(self: Arc<Self>, token: String, answer: impl Future<Output = Bytes>) {
        let message = answer.await;
        if let Err(error) = self.edit(&token, &message).await {
            tracing::warn!(error = format!("{error:#}"), "could not send an answer that took long");
        }
    }

    /// Takes what came in, once; its answer follows in the background, and `replaces` the message that was
    /// clicked on, or comes below it.
    async fn take(
        self: &Arc<Self>,
        id: String,
        errand: Errand,
        replaces: bool,
    ) -> Result<Bytes, Rejection> {
        let tenant = errand.click.speaker.tenant.clone();
        if let Some(delivery) = self.worker.take(tenant, id, &errand).await? {
            self.worker.work(self.clone(), delivery);
        }
        Ok(if replaces { body(&CreateInteractionResponse::Acknowledge) } else { later() })
    }

    /// `message`, which was to answer the request, takes the place of what answered it.
    async fn edit(&self, token: &str, message: &[u8]) -> anyhow::Result<()> {
        let mut message: Value = serde_json::from_slice(message)?;
        let mut data = message["data"].take();
        // Who sees it was decided by what answered the request, and an edit cannot change it.
        data.as_object_mut().context("the message has no data")?.remove("flags");
        Ok(self.api.edit_answer(token, &data).await?)
    }
}

impl Answers for Dispatcher {
    async fn answer(&self, delivery: &Delivery) -> anyhow::Result<()> {
        let errand = Errand::deserialize(&delivery.body)
            .context("could not read what another version wrote down")?;
        let reply = self.app.answer(errand.way(), errand.click.into()).await;
        self.edit(&errand.token, &Message::body(&reply)).await
    }

    fn is_passing(error: &anyhow::Error) -> bool {
        error.downcast_ref().is_some_and(DiscordError::is_passing)
    }
}

/// An answer follows, for whoever asked alone: whom it is for is not known yet, and cannot be changed then.
fn later() -> Bytes {
    let message = CreateInteractionResponseMessage::new().ephemeral(true);
    body(&CreateInteractionResponse::Defer(message))
}
