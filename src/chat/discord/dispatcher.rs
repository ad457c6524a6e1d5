//! What Discord sent, answered.
//!
//! A command is answered on its request when the answer is there in time, later by the interaction's token.
//! Clicks and forms that were filled in are written down, acknowledged, then answered.

mod pictures;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use serenity::builder::{CreateInteractionResponse, CreateInteractionResponseMessage};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{DiscordApi, DiscordError};
use super::inbound::{Inbound, Interaction, Said, Wish};
use super::modal;
use super::outbound::{Message, body};
use crate::app::App;
use crate::chat::inbox::Delivery;
use crate::chat::inbox::worker::{Answers, Worker};
use crate::chat::{ANSWER_WITHIN, Rejection};
use crate::commands::recent::Shown;
use crate::conversation::{Address, Click, Invocation, Platform, Pointing, Query, Speaker, Way};
use crate::error::{Error, Refusal};
use crate::pictures::graph::Graph;
use pictures::Place;

/// How the inbox calls Discord.
const PLATFORM: &str = "discord";

/// How the inbox calls what was written to the bot alone, in no server.
const ALONE: &str = "@me";

/// The sub-command that takes a question in one's own words, and its option. A command of a portal of the
/// same name goes first.
pub const ASK: &str = "ask";
pub const QUESTION: &str = "question";

/// What every way in from Discord leads to.
pub struct Dispatcher {
    app: Arc<App>,
    pub(super) api: DiscordApi,
    worker: Worker,
    /// The answers under way.
    pub(super) tasks: TaskTracker,
    answer_within: Duration,
}

/// Something to answer once, however often Discord delivers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Errand {
    /// The answer comes in the place of what the click was answered.
    Clicked(Clicked),
    /// The same, for a choice in the menu of a message.
    Pointed { pointing: Pointing, token: String },
    /// The answer is posted.
    Said(Said),
}

/// A click on a button, or a form that was filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Clicked {
    click: Click,
    token: String,
    /// Whether the words were filled into a form.
    #[serde(default)]
    filled: bool,
}

impl Clicked {
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
            Inbound::Said(said) => return self.take_message(said).await,
            Inbound::Interaction(interaction) => *interaction,
        };
        if !is_ours(&interaction.application_id) || !self.serves(&interaction.speaker.tenant) {
            return Err(Rejection::Stranger);
        }
        let Interaction { id, token, speaker, address, wish, .. } = interaction;
        let click = |words| Click { speaker: speaker.clone(), address: address.clone(), words };
        let clicked = |words, filled| Clicked { click: click(words), token: token.clone(), filled };
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
                Ok(None) => self.take(id, clicked(words, false), false).await,
                Err(error) => Ok(Message::body(&error.into_reply())),
            },
            Wish::Click { words, replaces } => self.take(id, clicked(words, false), replaces).await,
            Wish::Filled { command, values } => match self.words(&command, &values) {
                Ok(words) => self.take(id, clicked(words, true), false).await,
                Err(error) => Ok(Message::body(&error.into_reply())),
            },
            Wish::Outdated => Ok(Message::body(&Refusal::Outdated.to_reply())),
            Wish::Pointed { texts } => {
                let tenant = speaker.tenant.clone();
                let pointing = Pointing { speaker, address, texts };
                self.take_errand(tenant, id, Errand::Pointed { pointing, token }).await?;
                Ok(later())
            }
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
            Ok(shown) => {
                self.follow_up_answer(token, &shown.message, shown.graph);
                shown.message
            }
            Err(_) => {
                self.tasks.spawn(self.clone().answer_later(token, answer));
                later()
            }
        }
    }

    async fn answer_later(self: Arc<Self>, token: String, answer: impl Future<Output = Shown>) {
        let Shown { message, graph, .. } = answer.await;
        if let Err(error) = self.edit(&token, &message).await {
            tracing::warn!(error = format!("{error:#}"), "could not send an answer that took long");
        }
        self.follow_up_answer(token, &message, graph);
    }

    /// Takes what came in, once; its answer follows in the background, and `replaces` the message that was
    /// clicked on, or comes below it.
    async fn take(
        self: &Arc<Self>,
        id: String,
        clicked: Clicked,
        replaces: bool,
    ) -> Result<Bytes, Rejection> {
        let tenant = clicked.click.speaker.tenant.clone();
        self.take_errand(tenant, id, Errand::Clicked(clicked)).await?;
        Ok(if replaces { body(&CreateInteractionResponse::Acknowledge) } else { later() })
    }

    /// Takes a message, once; its answer follows in the background.
    async fn take_message(self: &Arc<Self>, said: Said) -> Result<Bytes, Rejection> {
        let tenant = match &said.guild_id {
            Some(guild_id) if !self.serves(guild_id) => return Err(Rejection::Stranger),
            Some(guild_id) => guild_id.clone(),
            None => ALONE.to_string(),
        };
        self.take_errand(tenant, said.message_id.clone(), Errand::Said(said)).await?;
        Ok(Bytes::from_static(b"{}"))
    }

    async fn take_errand(
        self: &Arc<Self>,
        tenant: String,
        id: String,
        errand: Errand,
    ) -> Result<(), Rejection> {
        if let Some(delivery) = self.worker.take(tenant, id, &errand).await? {
            self.worker.work(self.clone(), delivery);
        }
        Ok(())
    }

    /// Posts what `said` is answered, below it.
    async fn answer_message(self: &Arc<Self>, said: Said) -> anyhow::Result<()> {
        let Some(tenant) = self.server_of(&said).await? else {
            tracing::warn!(
                "somebody wrote to the bot who is in no server of `discord.guild_ids` of idp.yaml"
            );
            return Ok(());
        };
        let Said { message_id, channel_id, user_id, text, .. } = said;
        let platform = Platform::Discord;
        let address = Address {
            platform,
            tenant: tenant.clone(),
            channel_id: channel_id.clone(),
            channel_name: None,
            thread: None,
        };
        let speaker = Speaker { platform, tenant, user_id };
        let reply = self.app.answer(Way::Message, Invocation { speaker, address, text }).await;
        let mut message = unflagged(serde_json::to_value(Message::of(&reply))?)?;
        message["message_reference"] =
            json!({ "message_id": message_id, "fail_if_not_exists": false });
        // Discord posts it once, should it be sent again.
        message["nonce"] = message_id.into();
        message["enforce_nonce"] = true.into();
        let message_id = self.api.post_message(&channel_id, &message).await?;
        // What is edited is neither an answer anew nor posted once.
        let place = Place::Posted { channel_id, message_id };
        let message = serde_json::to_value(Message::of(&reply))?;
        self.follow_up(place, message, Graph::of(&reply.answer).map(Arc::new));
        Ok(())
    }

    /// The server in which `said` is answered: its own, or one that we serve and whoever wrote to the bot alone
    /// is in. `None` for a stranger.
    async fn server_of(&self, said: &Said) -> anyhow::Result<Option<String>> {
        if let Some(guild_id) = &said.guild_id {
            return Ok(Some(guild_id.clone()));
        }
        for guild_id in &self.app.settings.load_full().discord.guild_ids {
            if self.api.is_member(guild_id, &said.user_id).await? {
                return Ok(Some(guild_id.clone()));
            }
        }
        Ok(None)
    }

    /// `message`, which was to answer the request, takes the place of what answered it.
    async fn edit(&self, token: &str, message: &[u8]) -> anyhow::Result<()> {
        let mut message: Value = serde_json::from_slice(message)?;
        let data = unflagged(message["data"].take())?;
        Ok(self.api.edit_answer(token, &data).await?)
    }
}

impl Answers for Dispatcher {
    async fn answer(self: &Arc<Self>, delivery: &Delivery) -> anyhow::Result<()> {
        let errand = Errand::deserialize(&delivery.body)
            .context("could not read what another version wrote down")?;
        match errand {
            Errand::Clicked(clicked) => {
                let way = clicked.way();
                let reply = self.app.answer(way, clicked.click.into()).await;
                let message = Message::body(&reply);
                self.edit(&clicked.token, &message).await?;
                self.follow_up_answer(
                    clicked.token,
                    &message,
                    Graph::of(&reply.answer).map(Arc::new),
                );
                Ok(())
            }
            Errand::Pointed { pointing, token } => {
                let reply = self.app.answer_about(pointing).await;
                self.edit(&token, &Message::body(&reply)).await
            }
            Errand::Said(said) => self.answer_message(said).await,
        }
    }

    fn is_passing(error: &anyhow::Error) -> bool {
        error.downcast_ref().is_some_and(DiscordError::is_passing)
    }
}

/// `message` without what says that one person alone sees it: that is decided by what answers a request, and
/// nothing else can say it.
fn unflagged(mut message: Value) -> anyhow::Result<Value> {
    message.as_object_mut().context("the message is not an object")?.remove("flags");
    Ok(message)
}

/// An answer follows, for whoever asked alone: whom it is for is not known yet, and cannot be changed then.
fn later() -> Bytes {
    let message = CreateInteractionResponseMessage::new().ephemeral(true);
    body(&CreateInteractionResponse::Defer(message))
}
