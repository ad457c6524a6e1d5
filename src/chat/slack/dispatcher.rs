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
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{Identity, SlackApi, SlackError};
use super::inbound::{Envelope, Errand, Filled, Inbound, Opening, Outdated, SlashCommand, Us};
use super::modal::{self, Origin};
use super::outbound::{self, Message};
use crate::app::App;
use crate::chat::inbox::Delivery;
use crate::chat::inbox::worker::{Answers, Worker};
use crate::chat::{ANSWER_WITHIN, Rejection};
use crate::commands::recent::Shown;
use crate::conversation::{
    Address, Audience, Click, Form, Invocation, Pointing, Reply, Speaker, Way,
};
use crate::error::Refusal;
use crate::pictures::graph::Graph;

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

/// Whom an answer goes to that is not on its request.
#[derive(Clone)]
struct Asker {
    speaker: Speaker,
    address: Address,
    response_url: Option<String>,
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
                    let error = error.to_string();
                    tracing::warn!(error, "could not ask Slack whose the token is");
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
            Inbound::Typing(query) => Ok(body(modal::options(&self.app.suggestions(&query)))),
            Inbound::Filled(envelope) => self.submit(*envelope).await,
            Inbound::Ignored | Inbound::Strange => Ok(nothing()),
        }
    }

    async fn answer_command(self: &Arc<Self>, command: SlashCommand) -> Bytes {
        let SlashCommand { invocation, response_url, trigger_id } = command;
        if let Some(envelope) = trigger_id {
            let tenant = invocation.address.tenant.clone();
            // Whoever typed it sees that it failed, so it is not written down; but a copy is not answered.
            if self.worker.has_met(tenant, envelope) {
                return nothing();
            }
        }
        let Invocation { speaker, address, .. } = invocation.clone();
        let asker = Asker { speaker, address, response_url };
        let app = self.app.clone();
        let mut answer = Box::pin(async move { app.answer_shown(invocation, Message::body).await });
        match timeout(self.answer_within, &mut answer).await {
            Ok(shown) => {
                self.follow_up(asker, shown.audience, shown.graph);
                shown.message
            }
            Err(_) => {
                self.tasks.spawn(self.clone().answer_later(asker, answer));
                body(json!({ "response_type": "ephemeral", "text": "Looking it up…" }))
            }
        }
    }

    async fn answer_later(self: Arc<Self>, asker: Asker, answer: impl Future<Output = Shown>) {
        let Shown { message, audience, graph } = answer.await;
        if let Err(error) = self.deliver_shown(&asker, &message).await {
            tracing::warn!(error = format!("{error:#}"), "could not send an answer that took long");
        }
        self.follow_up(asker, audience, graph);
    }

    /// Says to whoever clicked that nothing came of it.
    async fn tell_outdated(self: Arc<Self>, outdated: Outdated) {
        let Outdated { speaker, address, response_url } = outdated;
        let asker = Asker { speaker, address, response_url: Some(response_url) };
        let said = Message::body(&Refusal::Outdated.to_reply());
        if let Err(error) = self.deliver_shown(&asker, &said).await {
            tracing::warn!(error = format!("{error:#}"), "could not say that a click is outdated");
        }
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
        let said = Reply { audience: Audience::Asker, ..said };
        let asker = Asker { speaker, address, response_url: Some(response_url) };
        if let Err(error) = self.deliver_shown(&asker, &Message::body(&said)).await {
            tracing::warn!(error = format!("{error:#}"), "could not say that a form did not open");
        }
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
            let sent = slack.send_filled(&filled, &reply).await;
            slack.worker.conclude::<Dispatcher>(&delivery, sent).await;
        });
        Ok(nothing())
    }

    /// The answer to a form.
    async fn fill(&self, filled: &Filled) -> Reply {
        let Filled { speaker, address, command, values, .. } = filled.clone();
        match self.app.filled(&command, &values) {
            Ok(text) => self.app.answer(Way::Filled, Invocation { speaker, address, text }).await,
            Err(error) => error.into_reply(),
        }
    }

    async fn send_filled(self: &Arc<Self>, filled: &Filled, reply: &Reply) -> anyhow::Result<()> {
        if let Some(view) = &filled.view {
            return self.update(view, reply).await;
        }
        let mut message = outbound::message(reply)?;
        message["replace_original"] = json!(false);
        if let Some(thread) = &filled.address.thread {
            message["thread_ts"] = json!(thread);
        }
        let Filled { speaker, address, response_url, .. } = filled.clone();
        let asker = Asker { speaker, address, response_url: Some(response_url) };
        self.deliver(&asker, message).await?;
        self.follow_up(asker, reply.audience, graph(reply));
        Ok(())
    }

    /// Writes down what came in; `None` when it was known already.
    async fn take(&self, envelope: Envelope) -> Result<Option<Delivery>, Rejection> {
        let tenant = envelope.errand.speaker().tenant.clone();
        self.worker.take(tenant, envelope.id, &envelope.errand).await
    }

    /// [`Dispatcher::deliver`] of a message as bytes.
    async fn deliver_shown(&self, asker: &Asker, message: &[u8]) -> anyhow::Result<()> {
        self.deliver(asker, serde_json::from_slice(message)?).await
    }

    /// Sends an answer that was not on its request: by the `response_url`, and once that is used up or has ended
    /// as a message of the bot's, so that nobody waits in vain.
    async fn deliver(&self, asker: &Asker, mut message: Value) -> anyhow::Result<()> {
        let Asker { speaker, address, response_url } = asker;
        if let Some(response_url) = response_url {
            match self.api.respond(response_url, &message).await {
                Err(error @ SlackError::Gone { .. }) => {
                    tracing::info!(error = error.to_string(), "an answer is posted instead");
                }
                sent => return Ok(sent?),
            }
        }
        let fields = message.as_object_mut().context("the message is not an object")?;
        let is_public = fields.remove("response_type").is_some_and(|it| it == "in_channel");
        fields.remove("replace_original");
        let (channel, thread) = (address.channel_id.as_str(), address.thread.as_deref());
        let posted = match is_public {
            true => self.api.post_message(channel, thread, &message).await.map(|_| ()),
            false => self.api.post_ephemeral(channel, &speaker.user_id, thread, &message).await,
        };
        match posted {
            // The bot is not in the channel: it writes to the person alone.
            Err(SlackError::Channel { .. }) => {
                self.api.post_message(&speaker.user_id, None, &message).await?;
                Ok(())
            }
            posted => Ok(posted?),
        }
    }
}

impl Answers for Dispatcher {
    async fn answer(self: &Arc<Self>, delivery: &Delivery) -> anyhow::Result<()> {
        let errand = Errand::deserialize(&delivery.body)
            .context("could not read what another version wrote down")?;
        match errand {
            Errand::Said(invocation) => {
                let Invocation { speaker, address, .. } = invocation.clone();
                let reply = self.app.answer(Way::Message, invocation).await;
                let message = outbound::message(&reply)?;
                let thread = address.thread.as_deref();
                self.api.post_message(&address.channel_id, thread, &message).await?;
                // A message is seen by everybody, whoever its command is for.
                let asker = Asker { speaker, address, response_url: None };
                self.follow_up(asker, Audience::Channel, graph(&reply));
            }
            Errand::Clicked { click, response_url, replaces } => {
                let Click { speaker, address, .. } = click.clone();
                let reply = self.app.answer(Way::Button, click.into()).await;
                let mut message = outbound::message(&reply)?;
                message["response_type"] = json!("ephemeral");
                message["replace_original"] = json!(replaces);
                if let Some(thread) = &address.thread {
                    message["thread_ts"] = json!(thread);
                }
                let asker = Asker { speaker, address, response_url: Some(response_url) };
                self.deliver(&asker, message).await?;
                self.follow_up(asker, Audience::Asker, graph(&reply));
            }
            Errand::Filled(filled) => self.send_filled(&filled, &self.fill(&filled).await).await?,
            Errand::Pointed { pointing, response_url } => {
                let Pointing { speaker, address, .. } = pointing.clone();
                let mut message = outbound::message(&self.app.answer_about(pointing).await)?;
                if let Some(thread) = &address.thread {
                    message["thread_ts"] = json!(thread);
                }
                let asker = Asker { speaker, address, response_url: Some(response_url) };
                self.deliver(&asker, message).await?;
            }
        }
        Ok(())
    }

    fn is_passing(error: &anyhow::Error) -> bool {
        error.downcast_ref().is_some_and(SlackError::is_passing)
    }
}

/// What is drawn besides the words of `reply`.
fn graph(reply: &Reply) -> Option<Arc<Graph>> {
    Graph::of(&reply.answer).map(Arc::new)
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

fn body(answer: serde_json::Value) -> Bytes {
    answer.to_string().into()
}
