//! Slack's three requests: a slash command, an event, an interaction.
//!
//! A slash command is answered on its request when the answer is there in time, later by its
//! `response_url`. Mentions, messages and clicks are written down, acknowledged, then answered.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Web;
use crate::app::App;
use crate::chat::inbox::{Delivery, Inbox, Taken};
use crate::chat::slack::client::{Identity, SlackApi, SlackError};
use crate::chat::slack::inbound::{self, Envelope, Errand, Event, SlashCommand};
use crate::chat::slack::outbound::{self, Message};
use crate::chat::slack::signature::SigningSecret;
use crate::config::SlackConfig;

/// How the inbox calls Slack.
const PLATFORM: &str = "slack";

/// Slack waits three seconds for the answer to its request.
pub const ANSWER_WITHIN: Duration = Duration::from_millis(2_500);

/// How long Slack may take to send the body of a request.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// How often what other processes left unanswered is looked for.
const TAKE_UP_EVERY: Duration = Duration::from_secs(15);

/// What Slack's routes need.
pub struct Slack {
    secret: SigningSecret,
    api: SlackApi,
    inbox: Inbox,
    /// Whom the bot's token belongs to, once Slack has said so.
    identity: OnceLock<Identity>,
    /// The answers under way.
    tasks: TaskTracker,
    answer_within: Duration,
}

/// Why a request gets no answer. What Slack is told gives nobody a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rejection {
    /// Slack is off.
    Off,
    TooLarge,
    TooSlow,
    /// Not from Slack, not now, or of another workspace.
    NotGenuine,
    Malformed,
    /// Ours to put right; it is in the log.
    Broken,
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let status = match self {
            Rejection::Off => StatusCode::NOT_FOUND,
            Rejection::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Rejection::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Rejection::NotGenuine => StatusCode::UNAUTHORIZED,
            Rejection::Malformed => StatusCode::BAD_REQUEST,
            Rejection::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        };
        status.into_response()
    }
}

impl Slack {
    /// `None` without a signing secret: Slack is off.
    ///
    /// # Errors
    /// A secret that anybody could sign with; an address of Slack's API that is not Slack's.
    pub fn new(
        config: &SlackConfig,
        allowed_hosts: &[String],
        tasks: TaskTracker,
    ) -> anyhow::Result<Option<Slack>> {
        let Some(secret) = &config.signing_secret else { return Ok(None) };
        Ok(Some(Slack {
            secret: SigningSecret::new(secret)?,
            api: SlackApi::new(&config.api_url, config.bot_token.clone(), allowed_hosts)?,
            inbox: Inbox::default(),
            identity: OnceLock::new(),
            tasks,
            answer_within: ANSWER_WITHIN,
        }))
    }

    /// A slash command is answered on its request within `answer_within`, or by its `response_url`.
    pub fn answering_within(self, answer_within: Duration) -> Slack {
        Slack { answer_within, ..self }
    }

    /// Learns whose the token is, and answers what other processes took and left, until `stop`.
    pub async fn keep(self: Arc<Self>, app: Arc<App>, stop: CancellationToken) {
        loop {
            self.learn_identity(&app).await;
            if let Some(db) = acks(&app) {
                match self.inbox.take_up(&db, PLATFORM).await {
                    Ok(left) => left.into_iter().for_each(|it| self.clone().work(app.clone(), it)),
                    Err(error) => {
                        let error = format!("{:#}", anyhow::Error::new(error));
                        tracing::warn!(error, "could not look for unanswered questions");
                    }
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(TAKE_UP_EVERY)).await.is_none() {
                return;
            }
        }
    }

    async fn learn_identity(&self, app: &App) {
        if self.identity.get().is_some() || !self.api.has_token() {
            return;
        }
        match self.api.auth_test().await {
            Ok(identity) => {
                let settings = app.settings.load();
                if settings.slack.team_id.as_ref().is_some_and(|team| *team != identity.team_id) {
                    tracing::error!(
                        team_id = identity.team_id,
                        "SLACK_BOT_TOKEN is of another workspace than `slack.team_id` in idp.yaml: \
                         answers cannot be posted"
                    );
                }
                let _ = self.identity.set(identity);
            }
            Err(error) => {
                tracing::warn!(error = error.to_string(), "could not ask Slack whose the token is");
            }
        }
    }

    /// Whether requests of the workspace `tenant` are answered: the one of the settings, else the one
    /// of the token. Where neither is known Slack's signature alone decides.
    fn serves(&self, app: &App, tenant: &str) -> bool {
        let settings = app.settings.load();
        let of_token = || self.identity.get().map(|identity| &identity.team_id);
        settings.slack.team_id.as_ref().or_else(of_token).is_none_or(|ours| ours == tenant)
    }

    /// The raw body of a request that Slack signed.
    async fn genuine(&self, request: Request) -> Result<Bytes, Rejection> {
        let headers = request.headers().clone();
        let read = timeout(BODY_WITHIN, Bytes::from_request(request, &())).await;
        let body = match read.map_err(|_| Rejection::TooSlow)? {
            Ok(body) => body,
            Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                return Err(Rejection::TooLarge);
            }
            Err(_) => return Err(Rejection::Malformed),
        };
        let timestamp = only(&headers, "x-slack-request-timestamp")?;
        let signature = only(&headers, "x-slack-signature")?;
        // Slack packs nothing. The signature is of what arrived, and so is what we read.
        let is_packed = headers.contains_key(header::CONTENT_ENCODING);
        let is_genuine = self.secret.signed(timestamp, signature, &body, now_s());
        (is_genuine && !is_packed).then_some(body).ok_or(Rejection::NotGenuine)
    }

    /// Takes what came in, once; its answer follows in the background.
    async fn take(self: &Arc<Self>, app: &Arc<App>, envelope: Envelope) -> Result<(), Rejection> {
        let tenant = envelope.errand.speaker().tenant.clone();
        if !self.serves(app, &tenant) {
            return Err(Rejection::NotGenuine);
        }
        let body = serde_json::to_value(&envelope.errand).map_err(|error| {
            tracing::error!(error = error.to_string(), "could not write down what came in");
            Rejection::Broken
        })?;
        let delivery = Delivery { platform: PLATFORM, tenant, envelope: envelope.id, body };
        if self.inbox.take(acks(app).as_ref(), &delivery).await == Taken::New {
            self.clone().work(app.clone(), delivery);
        }
        Ok(())
    }

    /// Answers `delivery` in the background. Where the answer could not be sent yet the delivery stays
    /// undone: once its lease has ended it is taken up again, for as long as it is fresh.
    fn work(self: Arc<Self>, app: Arc<App>, delivery: Delivery) {
        self.tasks.clone().spawn(async move {
            if let Err(error) = self.answer(&app, &delivery).await {
                tracing::warn!(error = format!("{error:#}"), "could not post an answer");
                if error.downcast_ref().is_some_and(SlackError::is_passing) {
                    return;
                }
            }
            self.inbox.finish(acks(&app).as_ref(), &delivery).await;
        });
    }

    async fn answer(&self, app: &App, delivery: &Delivery) -> anyhow::Result<()> {
        let errand = Errand::deserialize(&delivery.body)
            .context("could not read what another version wrote down")?;
        match errand {
            Errand::Said(invocation) => {
                let address = invocation.address.clone();
                let message = outbound::message(&app.answer(invocation).await)?;
                let thread = address.thread.as_deref();
                self.api.post_message(&address.channel_id, thread, &message).await?;
            }
            Errand::Clicked { click, response_url, replaces } => {
                let thread = click.address.thread.clone();
                let mut message = outbound::message(&app.click(click).await)?;
                message["response_type"] = json!("ephemeral");
                message["replace_original"] = json!(replaces);
                if let Some(thread) = thread {
                    message["thread_ts"] = json!(thread);
                }
                self.api.respond(&response_url, &message).await?;
            }
        }
        Ok(())
    }

    /// Sends an answer that was not there in time for its request.
    async fn respond(&self, response_url: Option<&str>, message: &[u8]) -> anyhow::Result<()> {
        let response_url = response_url.context("the request had no `response_url`")?;
        let message: &RawValue = serde_json::from_slice(message)?;
        Ok(self.api.respond(response_url, &message).await?)
    }
}

/// `/idp …`
pub async fn command(State(web): State<Web>, request: Request) -> Response {
    answer_command(web, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer_command(web: Web, request: Request) -> Result<Response, Rejection> {
    let slack = web.slack.ok_or(Rejection::Off)?;
    let body = slack.genuine(request).await?;
    let command = inbound::slash_command(&body).ok_or(Rejection::Malformed)?;
    let SlashCommand { invocation, response_url } = command;
    if !slack.serves(&web.app, &invocation.address.tenant) {
        return Err(Rejection::NotGenuine);
    }
    let app = web.app;
    let mut answer = Box::pin(async move { app.answer_shown(invocation, Message::body).await });
    match timeout(slack.answer_within, &mut answer).await {
        Ok(message) => Ok(([(header::CONTENT_TYPE, "application/json")], message).into_response()),
        Err(_) => {
            slack.tasks.clone().spawn(answer_later(slack, response_url, answer));
            let message = json!({ "response_type": "ephemeral", "text": "Looking it up…" });
            Ok(Json(message).into_response())
        }
    }
}

async fn answer_later(
    slack: Arc<Slack>,
    response_url: Option<String>,
    answer: impl Future<Output = Bytes>,
) {
    let message = answer.await;
    if let Err(error) = slack.respond(response_url.as_deref(), &message).await {
        tracing::warn!(error = format!("{error:#}"), "could not send an answer that took long");
    }
}

/// A mention, a direct message, or Slack trying the address out.
pub async fn event(State(web): State<Web>, request: Request) -> Response {
    take_event(web, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn take_event(web: Web, request: Request) -> Result<Response, Rejection> {
    let slack = web.slack.ok_or(Rejection::Off)?;
    let body = slack.genuine(request).await?;
    let bot_user_id = slack.identity.get().map(|identity| identity.bot_user_id.as_str());
    match inbound::event(&body, bot_user_id).ok_or(Rejection::Malformed)? {
        Event::Verification { challenge } => {
            return Ok(Json(json!({ "challenge": challenge })).into_response());
        }
        Event::Errand(envelope) => slack.take(&web.app, *envelope).await?,
        Event::Ignored => {}
    }
    Ok(acknowledged())
}

/// A click.
pub async fn interaction(State(web): State<Web>, request: Request) -> Response {
    take_interaction(web, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn take_interaction(web: Web, request: Request) -> Result<Response, Rejection> {
    let slack = web.slack.ok_or(Rejection::Off)?;
    let body = slack.genuine(request).await?;
    if let Event::Errand(envelope) = inbound::interaction(&body).ok_or(Rejection::Malformed)? {
        slack.take(&web.app, *envelope).await?;
    }
    Ok(acknowledged())
}

/// An empty answer: Slack shows nothing.
fn acknowledged() -> Response {
    Json(Value::Object(serde_json::Map::new())).into_response()
}

/// The value of a header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a [u8], Rejection> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value.as_bytes()),
        _ => Err(Rejection::NotGenuine),
    }
}

/// The connections kept for acknowledgements.
fn acks(app: &App) -> Option<PgPool> {
    (**app.db.load()).as_ref().map(|db| db.acks.clone())
}

fn now_s() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX)
}
