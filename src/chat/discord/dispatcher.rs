//! What Discord sent, answered.
//!
//! A command is answered on its request when the answer is there in time, later by the interaction's token.
//! Clicks and forms that were filled in are written down, acknowledged, then answered.

mod pictures;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use serenity::builder::{CreateInteractionResponse, CreateInteractionResponseMessage};
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{DiscordApi, DiscordError};
use super::inbound::{Inbound, Interaction, Said, Wish};
use super::modal;
use super::outbound::{self, Message, body};
use crate::app::App;
use crate::chat::inbox::Delivery;
use crate::chat::inbox::worker::{Answered, Answers, Worker};
use crate::chat::outbox::worker::{Outbox, Pauses, Posts};
use crate::chat::outbox::{Policy, Post, Route, Sent, To, Unsent};
use crate::chat::{ANSWER_WITHIN, Rejection};
use crate::commands::recent::Shown;
use crate::conversation::{
    Address, Click, Invocation, Platform, Pointing, Query, Reply, Speaker, Way,
};
use crate::error::{Error, Refusal};
use crate::pictures::Drawing;
use pictures::Place;
pub(super) use pictures::illustrated;

/// How the inbox calls Discord.
const PLATFORM: &str = "discord";

/// How the inbox calls what was written to the bot alone, in no server.
const ALONE: &str = "@me";

/// The sub-command that takes a question in one's own words, and its option. A command of a portal of the
/// same name goes first.
pub const ASK: &str = "ask";
pub const QUESTION: &str = "question";

/// How long an answer waits its turn where Discord asks for it, before it is written down.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// What Discord calls a channel that there is not.
const UNKNOWN_CHANNEL: u64 = 10_003;

const NONCE_CHARACTERS_MAX: usize = 25;

/// Discord remembers a `nonce` for "a few minutes".
/// Source: <https://docs.discord.com/developers/resources/message#create-message>
pub(super) const TOLD_APART_WITHIN: Duration = Duration::from_secs(120);

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

    /// What is posted keeps to these pauses.
    pub fn pausing(self, pauses: Pauses) -> Dispatcher {
        Dispatcher { worker: self.worker.pausing(pauses), ..self }
    }

    /// What is posted, and whether it arrives.
    pub fn outbox(&self) -> Arc<Outbox> {
        self.worker.outbox.clone()
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
                Ok(text) => {
                    let asked = Invocation { speaker, address, text };
                    if let Some(form) = self.app.form_at_once(&asked) {
                        return Ok(modal::modal(&form));
                    }
                    self.answer_command(asked, id, token).await
                }
                Err(error) => Message::body(&self.app.refuse(Way::Command, &speaker, error)),
            }),
            Wish::Typing { command, values, field, typed } => {
                let command = self.app.filled(&command, &values).unwrap_or(command);
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
                Err(error) => Ok(Message::body(&self.app.refuse(Way::Filled, &speaker, error))),
            },
            Wish::Outdated => {
                let outdated = Refusal::Outdated.into();
                Ok(Message::body(&self.app.refuse(Way::Button, &speaker, outdated)))
            }
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

    async fn answer_command(
        self: &Arc<Self>,
        invocation: Invocation,
        id: String,
        token: String,
    ) -> Bytes {
        let (app, asked) = (self.app.clone(), invocation.clone());
        let mut answer = Box::pin(async move { app.answer_shown(asked, Message::body).await });
        match timeout(self.answer_within, &mut answer).await {
            Ok(shown) => {
                self.follow_up_answer(token, &shown.message, shown.drawing);
                shown.message
            }
            Err(_) => {
                self.tasks.spawn(self.clone().answer_later(invocation, id, token, answer));
                later()
            }
        }
    }

    async fn answer_later(
        self: Arc<Self>,
        invocation: Invocation,
        id: String,
        token: String,
        answer: impl Future<Output = Shown>,
    ) {
        let Shown { message, drawing, .. } = answer.await;
        let Err(unsent) = self.edit_shown(&token, &message).await else {
            return self.follow_up_answer(token, &message, drawing);
        };
        // What was shown cannot be posted: it is asked for again.
        let reply = self.app.answer_again(Way::Command, invocation.clone()).await;
        let Invocation { speaker, address, .. } = invocation;
        let mut post = self.answer_to(speaker, address, id, token, reply);
        match self.worker.outbox.after_answer(&mut post.to, unsent, true) {
            Ok(after) => {
                let post = Post { after, ..post };
                self.worker.outbox.post(&self, post, None).await;
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(error, "could not send an answer that took long");
            }
        }
    }

    /// `reply` to the interaction of this `token`: for whoever asked alone, and written to them once the token has
    /// ended, where the bot can.
    fn answer_to(
        &self,
        speaker: Speaker,
        address: Address,
        key: String,
        token: String,
        reply: Reply,
    ) -> Post {
        let to = To {
            answer: Some(token),
            channel: address.channel_id,
            person: Some(speaker.user_id).filter(|_| self.api.has_token()),
            alone: true,
            ..To::default()
        };
        post(address.tenant, key, to, reply)
    }

    /// Sends `post` as the answer to its request; what cannot be sent so, or not yet, is to be posted.
    async fn answer_at_once(self: &Arc<Self>, mut post: Post) -> anyhow::Result<Answered> {
        let Err(unsent) = self.send(&post, Route::Answer, WAIT_MAX).await else {
            return Ok(Answered::Done);
        };
        post.after = self.worker.outbox.after_answer(&mut post.to, unsent, true)?;
        Ok(Answered::Post(Box::new(post)))
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

    /// What `said` is answered, below it.
    async fn answer_message(&self, said: Said) -> anyhow::Result<Answered> {
        let tenant = match self.server_of(&said).await.map_err(Unsent::from) {
            Ok(Some(tenant)) => tenant,
            Ok(None) => {
                tracing::warn!(
                    "somebody wrote to the bot who is in no server of `discord.guild_ids` of idp.yaml"
                );
                return Ok(Answered::Done);
            }
            Err(unsent) if unsent.policy == Policy::Ours => bail!("{}", unsent.why),
            Err(unsent) => {
                tracing::warn!(error = unsent.why, "could not ask Discord who somebody is");
                return Ok(Answered::NotNow);
            }
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
        let to = To {
            channel: channel_id,
            thread: Some(message_id.clone()),
            person: Some(user_id.clone()),
            ..To::default()
        };
        let speaker = Speaker { platform, tenant: tenant.clone(), user_id };
        let reply = self.app.answer(Way::Message, Invocation { speaker, address, text }).await;
        Ok(Answered::Post(Box::new(post(tenant, message_id, to, reply))))
    }

    /// The server in which `said` is answered: its own, or one that we serve and whoever wrote to the bot alone
    /// is in. `None` for a stranger.
    async fn server_of(&self, said: &Said) -> Result<Option<String>, DiscordError> {
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

    /// `message` stands in the thread below the message of this id, which is begun where `to` gives it a title; `None`
    /// where there is none, and none can be begun.
    async fn post_in_thread(
        &self,
        to: &To,
        message_id: &str,
        message: &Value,
        patience: Duration,
    ) -> Result<Option<Sent>, DiscordError> {
        let Some(title) = &to.title else { return Ok(None) };
        let mut posted = self.api.post_message(message_id, message, patience).await;
        if matches!(posted, Err(DiscordError::Access { code: UNKNOWN_CHANNEL })) {
            match self.api.begin_thread(&to.channel, message_id, title, patience).await {
                Ok(()) => {}
                // In direct messages and in threads there are none, or the bot may begin none.
                Err(
                    DiscordError::Access { .. }
                    | DiscordError::Message { .. }
                    | DiscordError::Rejected { .. },
                ) => return Ok(None),
                Err(error) => return Err(error),
            }
            posted = self.api.post_message(message_id, message, patience).await;
        }
        match posted {
            Ok(id) => Ok(Some(Sent { channel: message_id.to_string(), message_id: id })),
            // The thread is closed, or the bot may not write in it.
            Err(DiscordError::Access { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What was shown, which was to answer the request, takes the place of what answered it.
    async fn edit_shown(&self, token: &str, shown: &[u8]) -> Result<(), Unsent> {
        let mut shown: Value =
            serde_json::from_slice(shown).map_err(|error| Unsent::ours(&error.into()))?;
        let message = outbound::edited(&unflagged(shown["data"].take()));
        Ok(self.api.edit_answer(token, &message, WAIT_MAX).await?)
    }
}

fn post(tenant: String, key: String, to: To, reply: Reply) -> Post {
    Post::answer(Platform::Discord, tenant, key, to, reply)
}

impl Posts for Dispatcher {
    const TOLD_APART_WITHIN: Option<Duration> = Some(TOLD_APART_WITHIN);

    async fn send(
        self: &Arc<Self>,
        post: &Post,
        route: Route,
        patience: Duration,
    ) -> Result<Sent, Unsent> {
        let To { answer, channel, thread, person, .. } = &post.to;
        let words = words(&post.reply).map_err(|error| Unsent::ours(&error.into()))?;
        let drawing = Drawing::of(&post.reply.answer).map(Arc::new);
        if let (Route::Answer, Some(token)) = (route, answer) {
            self.api.edit_answer(token, &outbound::edited(&words), patience).await?;
            self.follow_up(Place::Answer { token: token.clone() }, words, drawing);
            return Ok(Sent::default());
        }
        let mut message = words.clone();
        // Discord posts it once, should it be sent again.
        message["nonce"] = nonce(&post.key).into();
        message["enforce_nonce"] = true.into();
        if let (Route::Thread, Some(message_id)) = (route, thread) {
            if let Some(sent) =
                self.post_in_thread(&post.to, message_id, &message, patience).await?
            {
                return Ok(sent);
            }
            message["message_reference"] =
                json!({ "message_id": message_id, "fail_if_not_exists": false });
        }
        let channel_id = match (route, person) {
            (Route::Person, Some(person)) => self.api.direct_channel(person, patience).await?,
            _ => channel.clone(),
        };
        let message_id = self.api.post_message(&channel_id, &message, patience).await?;
        // What is edited is neither an answer anew nor posted once.
        let sent = Sent { channel: channel_id.clone(), message_id: message_id.clone() };
        self.follow_up(Place::Posted { channel_id, message_id }, words, drawing);
        Ok(sent)
    }

    async fn edit(&self, at: &Sent, reply: &Reply) -> Result<(), Unsent> {
        let message = words(reply).map_err(|error| Unsent::ours(&error.into()))?;
        let message = outbound::edited(&message);
        let Sent { channel, message_id } = at;
        Ok(self.api.edit_message(channel, message_id, &message, &[], Duration::ZERO).await?)
    }

    async fn ask(&self) -> Result<(), Unsent> {
        Ok(self.api.bot_user_id().await.map(|_| ())?)
    }
}

impl Answers for Dispatcher {
    async fn answer(self: &Arc<Self>, delivery: &Delivery) -> anyhow::Result<Answered> {
        let errand = Errand::deserialize(&delivery.body)
            .context("could not read what another version wrote down")?;
        let (speaker, address, token, reply) = match errand {
            Errand::Said(said) => return self.answer_message(said).await,
            Errand::Clicked(Clicked { click, token, filled }) => {
                let Click { speaker, address, .. } = click.clone();
                let way = if filled { Way::Filled } else { Way::Button };
                (speaker, address, token, self.app.answer(way, click.into()).await)
            }
            Errand::Pointed { pointing, token } => {
                let Pointing { speaker, address, .. } = pointing.clone();
                (speaker, address, token, self.app.answer_about(pointing).await)
            }
        };
        let post = self.answer_to(speaker, address, delivery.envelope.clone(), token, reply);
        self.answer_at_once(post).await
    }

    async fn excuse(self: &Arc<Self>, delivery: &Delivery) -> anyhow::Result<Answered> {
        let errand = Errand::deserialize(&delivery.body)
            .context("could not read what another version wrote down")?;
        let Errand::Clicked(Clicked { click, token, filled }) = errand else {
            return Ok(Answered::Done);
        };
        let Click { speaker, address, .. } = click;
        let way = if filled { Way::Filled } else { Way::Button };
        let reply = self.app.refuse(way, &speaker, Refusal::Missed.into());
        let post = self.answer_to(speaker, address, delivery.envelope.clone(), token, reply);
        self.answer_at_once(post).await
    }
}

/// What Discord tells copies of a message apart by: at most 25 characters.
fn nonce(key: &str) -> String {
    match key.len() <= NONCE_CHARACTERS_MAX && key.is_ascii() {
        true => key.to_string(),
        false => hex::encode(&Sha256::digest(key)[..NONCE_CHARACTERS_MAX / 2]),
    }
}

/// What `reply` says, for everybody who sees the channel.
pub(super) fn words(reply: &Reply) -> serde_json::Result<Value> {
    Ok(unflagged(serde_json::to_value(Message::of(reply))?))
}

/// `message` without what says that one person alone sees it: that is decided by what answers a request, and
/// nothing else can say it.
fn unflagged(mut message: Value) -> Value {
    if let Some(fields) = message.as_object_mut() {
        fields.remove("flags");
    }
    message
}

/// An answer follows, for whoever asked alone: whom it is for is not known yet, and cannot be changed then.
fn later() -> Bytes {
    let message = CreateInteractionResponseMessage::new().ephemeral(true);
    body(&CreateInteractionResponse::Defer(message))
}
