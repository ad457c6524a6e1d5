//! What Slack sent, answered: the same however it came.
//!
//! A slash command is answered on its request when the answer is there in time, later by its
//! `response_url`. Mentions, messages and clicks are written down, acknowledged, then answered.
//! A form is opened at once: Slack lets us for three seconds, and a click on it loses nothing.

mod pictures;
mod views;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{Identity, Posted, SlackApi, SlackError};
use super::inbound::{Envelope, Errand, Filled, Inbound, Opening, Outdated, SlashCommand, Us};
use super::modal::{self, Origin};
use super::outbound::{self, Message};
use super::unfurl::{self, Shared};
use crate::app::App;
use crate::chat::inbox::Delivery;
use crate::chat::inbox::worker::{Answered, Answers, Worker};
use crate::chat::outbox::worker::{Outbox, Pauses, Posts};
use crate::chat::outbox::{Post, Priority, Route, Sent, To, Unsent};
use crate::chat::{ANSWER_WITHIN, Rejection};
use crate::commands::recent::Shown;
use crate::conversation::{
    Address, Audience, Click, Form, Invocation, Platform, Pointing, Reply, Speaker, Way,
};
use crate::error::Refusal;
use crate::pictures::Drawing;

/// How the inbox calls Slack.
const PLATFORM: &str = "slack";

/// How long after Slack did not tell whose the token is it is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(15);

/// What every way in from Slack leads to.
pub struct Dispatcher {
    app: Arc<App>,
    pub(super) api: Arc<SlackApi>,
    worker: Worker,
    /// Whom the bot's token belongs to, once Slack has said so.
    identity: OnceLock<Identity>,
    /// The answers under way.
    pub(super) tasks: TaskTracker,
    answer_within: Duration,
}

impl Dispatcher {
    /// `tasks` are waited for before the process ends.
    pub fn new(app: Arc<App>, api: impl Into<Arc<SlackApi>>, tasks: TaskTracker) -> Dispatcher {
        Dispatcher {
            worker: Worker::new(PLATFORM, app.clone(), tasks.clone()),
            app,
            api: api.into(),
            identity: OnceLock::new(),
            tasks,
            answer_within: ANSWER_WITHIN,
        }
    }

    /// A slash command is answered on its request within `answer_within`, or by its `response_url`.
    pub fn answering_within(self, answer_within: Duration) -> Dispatcher {
        Dispatcher { answer_within, ..self }
    }

    /// What the settings say of us, and what Slack has told.
    pub fn us(&self) -> Us<'_> {
        let identity = self.identity.get();
        Us {
            bot_user_id: identity.map(|it| it.bot_user_id.as_str()),
            enterprise_id: identity.and_then(|it| it.enterprise_id.as_deref()),
            app_id: self.app.settings.load().slack.app_id.clone(),
        }
    }

    /// What is posted keeps to these pauses.
    pub fn pausing(self, pauses: Pauses) -> Dispatcher {
        Dispatcher { worker: self.worker.pausing(pauses), ..self }
    }

    /// What is posted, and whether it arrives.
    pub fn outbox(&self) -> Arc<Outbox> {
        self.worker.outbox.clone()
    }

    /// Learns whose the token is, and answers what other processes took and left, until `stop`.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let learn = stop.run_until_cancelled(self.learn_identity());
        tokio::join!(learn, self.worker.keep(self.clone(), stop.clone()));
    }

    /// Asks Slack whose the token is until it has told.
    async fn learn_identity(&self) {
        while self.api.has_token() {
            match self.api.auth_test().await {
                Ok(identity) => {
                    let settings = self.app.settings.load();
                    let ours = settings.slack.team_id.as_ref();
                    if ours.is_some_and(|ours| *ours != identity.team_id) {
                        tracing::error!(
                            team_id = identity.team_id,
                            "SLACK_BOT_TOKEN is of another workspace than `slack.team_id` in idp.yaml: \
                             answers cannot be posted"
                        );
                    }
                    let _ = self.identity.set(identity);
                    return;
                }
                Err(error) => {
                    let unsent = Unsent::from(error);
                    tracing::warn!(error = unsent.why, "could not ask Slack whose the token is");
                    self.worker.outbox.note_token(&unsent);
                }
            }
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
    }

    /// Whether requests of the workspace `tenant` are answered: the one of the settings, else the one
    /// of the token. Where neither is known the way in alone decides whom it lets through.
    fn serves(&self, tenant: &str) -> bool {
        let settings = self.app.settings.load();
        let of_token = || self.identity.get().map(|identity| &identity.team_id);
        settings.slack.team_id.as_ref().or_else(of_token).is_none_or(|ours| ours == tenant)
    }

    /// What Slack is answered at once, as JSON. What lasts longer, or must not be lost, goes on in the
    /// background; it is written down by then.
    ///
    /// # Errors
    /// [`Rejection`]
    pub async fn hear(self: &Arc<Self>, heard: Inbound) -> Result<Bytes, Rejection> {
        let tenant = heard.tenant();
        if heard == Inbound::Strange || tenant.is_some_and(|tenant| !self.serves(tenant)) {
            tracing::warn!(
                tenant,
                "Slack speaks for a workspace, organisation or app that is not ours"
            );
            return Err(Rejection::Stranger);
        }
        match heard {
            Inbound::Verification { challenge } => Ok(body(json!({ "challenge": challenge }))),
            Inbound::Command(command) => Ok(self.answer_command(command).await),
            Inbound::Errand(envelope) => {
                if let Some(delivery) = self.take(*envelope).await? {
                    self.worker.work(self.clone(), delivery);
                }
                Ok(nothing())
            }
            Inbound::Opening(opening) => {
                self.tasks.spawn(self.clone().open(opening));
                Ok(nothing())
            }
            Inbound::Viewed(viewed) => {
                // Whoever clicked sees that nothing opened, so it is not written down; but a copy is not answered.
                let Click { speaker, .. } = &viewed.click;
                let is_new =
                    !self.worker.has_met(speaker.tenant.clone(), viewed.trigger_id.clone());
                if is_new {
                    self.tasks.spawn(self.clone().answer_in_view(viewed));
                }
                Ok(nothing())
            }
            Inbound::Outdated(outdated) => {
                self.tasks.spawn(self.clone().tell_outdated(outdated));
                Ok(nothing())
            }
            Inbound::Home(speaker) => {
                self.tasks.spawn(self.clone().publish_home(speaker));
                Ok(nothing())
            }
            Inbound::Shared(shared) => {
                self.tasks.spawn(self.clone().unfurl(shared));
                Ok(nothing())
            }
            Inbound::Typing(query) => Ok(body(modal::options(&self.app.suggestions(&query)))),
            Inbound::Filled(envelope) => self.submit(*envelope).await,
            Inbound::Ignored | Inbound::Strange => Ok(nothing()),
        }
    }

    /// Shows below links what they are about. Shown again it takes the same place, so copies do no harm.
    async fn unfurl(self: Arc<Self>, shared: Shared) {
        let cards = self.app.cards(&shared.speaker, &shared.addresses);
        if cards.is_empty() {
            return;
        }
        let shown = async {
            let call = unfurl::call(&shared.place, cards)?;
            self.api.unfurl(&call).await.context("chat.unfurl")
        };
        if let Err(error) = shown.await {
            tracing::warn!(error = format!("{error:#}"), "could not show what links are about");
        }
    }

    async fn answer_command(self: &Arc<Self>, command: SlashCommand) -> Bytes {
        if let Some(envelope) = command.trigger_id.clone() {
            let tenant = command.invocation.address.tenant.clone();
            // Whoever typed it sees that it failed, so it is not written down; but a copy is not answered.
            if self.worker.has_met(tenant, envelope) {
                return nothing();
            }
        }
        if let (Some(trigger_id), Some(response_url)) = (&command.trigger_id, &command.response_url)
            && let Some(form) = self.app.form_at_once(&command.invocation)
        {
            let opening = (form, command.clone(), trigger_id.clone(), response_url.clone());
            self.tasks.spawn(self.clone().open_at_once(opening));
            return nothing();
        }
        let (app, invocation) = (self.app.clone(), command.invocation.clone());
        let mut answer = Box::pin(async move { app.answer_shown(invocation, Message::body).await });
        match timeout(self.answer_within, &mut answer).await {
            Ok(shown) => {
                self.follow_up(&answer_to(&command, shown.audience), shown.drawing);
                shown.message
            }
            Err(_) => {
                self.tasks.spawn(self.clone().answer_later(command, answer));
                body(json!({ "response_type": "ephemeral", "text": "Looking it up…" }))
            }
        }
    }

    /// Sends the answer by the response URL; where that has ended it is posted, so that nobody waits in vain.
    async fn answer_later(
        self: Arc<Self>,
        command: SlashCommand,
        answer: impl Future<Output = Shown>,
    ) {
        let Shown { message, audience, drawing } = answer.await;
        let mut post = answer_to(&command, audience);
        let Some(url) = &post.to.answer else { return self.answer_anew(command, post).await };
        let Err(error) = self.api.respond(url, &message_of(&message)).await else {
            return self.follow_up(&post, drawing);
        };
        match self.worker.outbox.after_answer(&mut post.to, error.into(), false) {
            Ok(after) => self.answer_anew(command, Post { after, ..post }).await,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(error, "could not send an answer that took long");
            }
        }
    }

    /// What was shown cannot be posted: it is asked for again.
    async fn answer_anew(self: Arc<Self>, command: SlashCommand, post: Post) {
        let reply = self.app.answer_again(Way::Command, command.invocation).await;
        let to = To { alone: reply.audience == Audience::Asker, ..post.to };
        self.worker.outbox.post(&self, Post { to, reply, ..post }, None).await;
    }

    /// Says to whoever clicked that nothing came of it.
    async fn tell_outdated(self: Arc<Self>, outdated: Outdated) {
        let Outdated { speaker, address, response_url } = outdated;
        let reply = self.app.refuse(Way::Button, &speaker, Refusal::Outdated.into());
        let key = hex::encode(Sha256::digest(&response_url));
        let to = To { answer: Some(response_url), alone: true, ..to(speaker, &address) };
        self.tell(post(address.tenant, key, to, reply)).await;
    }

    /// Opens the form, or says why not to whoever clicked.
    async fn open(self: Arc<Self>, opening: Opening) {
        let Opening { click, trigger_id, response_url } = opening;
        let Click { speaker, address, .. } = click.clone();
        let said = match self.app.form(&click) {
            Ok(Some(form)) => {
                match self.show(&form, &click.address, &trigger_id, &response_url).await {
                    Ok(()) => return,
                    Err(error) => {
                        // A copy of a click whose form is open.
                        if is_exchanged(&error) {
                            return;
                        }
                        tracing::warn!(error = format!("{error:#}"), "could not open a form");
                        not_opened(&form)
                    }
                }
            }
            Ok(None) => self.app.answer(Way::Button, click.into()).await,
            Err(error) => error.into_reply(),
        };
        let to = To { answer: Some(response_url), alone: true, ..to(speaker, &address) };
        self.tell(post(address.tenant, trigger_id, to, said)).await;
    }

    /// Opens the form that a command lacks; where it does not open, the answer in words has a button for it.
    async fn open_at_once(self: Arc<Self>, opening: (Form, SlashCommand, String, String)) {
        let (form, command, trigger_id, response_url) = opening;
        let address = &command.invocation.address;
        let Err(error) = self.show(&form, address, &trigger_id, &response_url).await else {
            return;
        };
        if is_exchanged(&error) {
            return;
        }
        tracing::warn!(error = format!("{error:#}"), "could not open a form");
        let reply = self.app.answer_again(Way::Command, command.invocation.clone()).await;
        let post = answer_to(&command, reply.audience);
        self.tell(Post { reply, ..post }).await;
    }

    async fn show(
        &self,
        form: &Form,
        address: &Address,
        trigger_id: &str,
        response_url: &str,
    ) -> anyhow::Result<()> {
        let origin = Origin {
            channel_id: address.channel_id.clone(),
            channel_name: address.channel_name.clone(),
            thread: address.thread.clone(),
            response_url: response_url.to_string(),
            depth: 0,
        };
        self.api.open_view(trigger_id, &modal::view(form, &origin)?).await?;
        Ok(())
    }

    /// What is wrong with the form that was sent, or nothing; its answer follows then.
    async fn submit(self: &Arc<Self>, envelope: Envelope) -> Result<Bytes, Rejection> {
        let by = Instant::now() + self.answer_within;
        let Errand::Filled(filled) = envelope.errand.clone() else { return Ok(nothing()) };
        let Some(delivery) = self.take(envelope).await? else { return Ok(nothing()) };
        let (slack, asked) = (self.clone(), filled.clone());
        let mut answer = Box::pin(async move { slack.fill(&asked).await });
        let answered = timeout_at(by, &mut answer).await;
        if let Ok(reply) = &answered
            && let Some(errors) = modal::errors(&filled.values, reply)
        {
            self.worker.finish(&delivery).await;
            return Ok(body(errors));
        }
        if let Some(view) = &filled.view {
            let shown = self.submit_in_view(view, answered.ok(), answer, delivery).await;
            return shown.map_err(|error| {
                tracing::error!(error = format!("{error:#}"), "could not show an answer");
                Rejection::Broken
            });
        }
        let slack = self.clone();
        self.tasks.spawn(async move {
            let reply = match answered {
                Ok(reply) => reply,
                Err(_) => answer.await,
            };
            let sent = slack.send_filled(&delivery, filled, reply).await;
            slack.worker.conclude(&slack, &delivery, sent).await;
        });
        Ok(nothing())
    }

    /// The answer to a form.
    async fn fill(&self, filled: &Filled) -> Reply {
        let Filled { speaker, address, command, values, .. } = filled.clone();
        match self.app.filled(&command, &values) {
            Ok(text) => self.app.answer(Way::Filled, Invocation { speaker, address, text }).await,
            Err(error) => self.app.refuse(Way::Filled, &speaker, error),
        }
    }

    async fn send_filled(
        self: &Arc<Self>,
        delivery: &Delivery,
        filled: Filled,
        reply: Reply,
    ) -> anyhow::Result<Answered> {
        if let Some(view) = &filled.view {
            return self.update(view, &reply).await;
        }
        let Filled { speaker, address, response_url, .. } = filled;
        let alone = reply.audience == Audience::Asker;
        let to = To { answer: Some(response_url), alone, ..to(speaker, &address) };
        self.answer_at_once(post(address.tenant, delivery.envelope.clone(), to, reply)).await
    }

    /// Writes down what came in; `None` when it was known already.
    async fn take(&self, envelope: Envelope) -> Result<Option<Delivery>, Rejection> {
        let tenant = envelope.errand.speaker().tenant.clone();
        self.worker.take(tenant, envelope.id, &envelope.errand).await
    }

    /// Sends `post` by the response URL; where that cannot be, it is posted.
    async fn tell(self: &Arc<Self>, post: Post) {
        match self.answer_at_once(post).await {
            Ok(Answered::Post(post)) => self.worker.outbox.post(self, *post, None).await,
            Ok(Answered::Done | Answered::NotNow) => {}
            Err(error) => tracing::warn!(error = format!("{error:#}"), "could not tell somebody"),
        }
    }

    /// Sends `post` by the response URL; what cannot be sent so, or not yet, is to be posted.
    async fn answer_at_once(self: &Arc<Self>, mut post: Post) -> anyhow::Result<Answered> {
        if post.to.answer.is_none() {
            return Ok(Answered::Post(Box::new(post)));
        }
        let Err(unsent) = self.send(&post, Route::Answer, Duration::ZERO).await else {
            return Ok(Answered::Done);
        };
        post.after = self.worker.outbox.after_answer(&mut post.to, unsent, false)?;
        Ok(Answered::Post(Box::new(post)))
    }
}

/// A place where `speaker` spoke, for everybody there.
fn to(speaker: Speaker, address: &Address) -> To {
    To {
        channel: address.channel_id.clone(),
        thread: address.thread.clone(),
        person: Some(speaker.user_id),
        ..To::default()
    }
}

/// An answer to `command` that is not on its request, without its words.
fn answer_to(command: &SlashCommand, audience: Audience) -> Post {
    let SlashCommand { invocation, response_url, .. } = command;
    let Invocation { speaker, address, .. } = invocation;
    let (answer, alone) = (response_url.clone(), audience == Audience::Asker);
    let to = To { answer, alone, ..to(speaker.clone(), address) };
    post(address.tenant.clone(), command.key(), to, Reply::default())
}

fn post(tenant: String, key: String, to: To, reply: Reply) -> Post {
    Post::answer(Platform::Slack, tenant, key, to, reply)
}

impl From<Posted> for Sent {
    fn from(posted: Posted) -> Sent {
        Sent { channel: posted.channel, message_id: posted.ts }
    }
}

impl Posts for Dispatcher {
    const TOLD_APART_WITHIN: Option<Duration> = None;

    async fn send(
        self: &Arc<Self>,
        post: &Post,
        route: Route,
        patience: Duration,
    ) -> Result<Sent, Unsent> {
        let To { answer, replaces, channel, thread, person, alone, .. } = &post.to;
        let mut message = outbound::message(&post.reply).map_err(|error| Unsent::ours(&error))?;
        let fields = message.as_object_mut().expect("a message is an object");
        let (answer, person) = (answer.as_deref(), person.as_deref().unwrap_or_default());
        let thread = thread.as_deref().filter(|_| route != Route::Channel);
        let is_among_us = matches!(route, Route::Answer | Route::Person);
        if post.priority == Priority::Urgent && !is_among_us && self.api.is_shared(channel).await {
            return Err(SlackError::Shared.into());
        }
        fields.remove("response_type");
        if route == Route::Answer {
            let seen_by = if *alone { "ephemeral" } else { "in_channel" };
            fields.insert("response_type".into(), seen_by.into());
            fields.insert("replace_original".into(), (*replaces).into());
            fields.extend(thread.map(|thread| ("thread_ts".to_string(), thread.into())));
        }
        let api = &self.api;
        let sent = match route {
            Route::Answer => {
                api.respond(answer.unwrap_or_default(), &message).await?;
                Sent::default()
            }
            Route::Person => api.post_message(person, None, &message, patience).await?.into(),
            _ if *alone => {
                let message_id =
                    api.post_ephemeral(channel, person, thread, &message, patience).await?;
                Sent { channel: channel.clone(), message_id }
            }
            _ => api.post_message(channel, thread, &message, patience).await?.into(),
        };
        let mut seen = post.clone();
        seen.to.alone |= route == Route::Person;
        seen.to.thread = thread.map(str::to_string);
        self.follow_up(&seen, Drawing::of(&post.reply.answer).map(Arc::new));
        Ok(sent)
    }

    async fn edit(&self, at: &Sent, reply: &Reply) -> Result<(), Unsent> {
        if self.api.is_shared(&at.channel).await {
            return Err(SlackError::Shared.into());
        }
        let mut message = outbound::message(reply).map_err(|error| Unsent::ours(&error))?;
        let fields = message.as_object_mut().expect("a message is an object");
        // Slack looks for links when a message is new.
        for only_when_new in ["response_type", "unfurl_links", "unfurl_media"] {
            fields.remove(only_when_new);
        }
        Ok(self.api.update_message(&at.channel, &at.message_id, &message).await?)
    }

    async fn ask(&self) -> Result<(), Unsent> {
        Ok(self.api.auth_test().await.map(|_| ())?)
    }
}

impl Answers for Dispatcher {
    async fn answer(self: &Arc<Self>, delivery: &Delivery) -> anyhow::Result<Answered> {
        let errand = Errand::deserialize(&delivery.body)
            .context("could not read what another version wrote down")?;
        let key = delivery.envelope.clone();
        match errand {
            Errand::Said(invocation) => {
                let Invocation { speaker, address, .. } = invocation.clone();
                let reply = self.app.answer(Way::Message, invocation).await;
                let post = post(address.tenant.clone(), key, to(speaker, &address), reply);
                Ok(Answered::Post(Box::new(post)))
            }
            Errand::Clicked { click, response_url, replaces } => {
                let Click { speaker, address, .. } = click.clone();
                let reply = self.app.answer(Way::Button, click.into()).await;
                let to = to(speaker, &address);
                let to = To { answer: Some(response_url), replaces, alone: true, ..to };
                self.answer_at_once(post(address.tenant, key, to, reply)).await
            }
            Errand::Filled(filled) => {
                let reply = self.fill(&filled).await;
                self.send_filled(delivery, filled, reply).await
            }
            Errand::Pointed { pointing, response_url } => {
                let Pointing { speaker, address, .. } = pointing.clone();
                let reply = self.app.answer_about(pointing).await;
                let alone = reply.audience == Audience::Asker;
                let to = To { answer: Some(response_url), alone, ..to(speaker, &address) };
                self.answer_at_once(post(address.tenant, key, to, reply)).await
            }
        }
    }

    async fn excuse(self: &Arc<Self>, delivery: &Delivery) -> anyhow::Result<Answered> {
        let errand = Errand::deserialize(&delivery.body)
            .context("could not read what another version wrote down")?;
        let (way, speaker, address, response_url) = match errand {
            Errand::Clicked { click, response_url, .. } => {
                (Way::Button, click.speaker, click.address, response_url)
            }
            Errand::Filled(it) => (Way::Filled, it.speaker, it.address, it.response_url),
            Errand::Said(_) | Errand::Pointed { .. } => return Ok(Answered::Done),
        };
        let reply = self.app.refuse(way, &speaker, Refusal::Missed.into());
        let answer = Some(response_url).filter(|it| !it.is_empty());
        let to = To { answer, alone: true, ..to(speaker, &address) };
        self.answer_at_once(post(address.tenant, delivery.envelope.clone(), to, reply)).await
    }
}

/// Whether what a form is opened by was used before.
fn is_exchanged(error: &anyhow::Error) -> bool {
    let gone = error.downcast_ref();
    matches!(gone, Some(SlackError::Gone { code }) if code == "exchanged_trigger_id")
}

/// What whoever clicked is told where Slack did not open `form`.
fn not_opened(form: &Form) -> Reply {
    let refusal = Refusal::Unavailable {
        what: "The form".into(),
        why: "Slack did not open it".into(),
        next: format!("Click again, or type `help {}`.", form.command),
    };
    refusal.to_reply()
}

/// An empty answer: Slack shows nothing.
fn nothing() -> Bytes {
    body(json!({}))
}

/// What was shown, as a value.
fn message_of(shown: &Bytes) -> Value {
    serde_json::from_slice(shown).expect("it was written as JSON")
}

fn body(answer: serde_json::Value) -> Bytes {
    answer.to_string().into()
}
