//! Slack's three requests: a slash command, an event, an interaction.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;

use super::Web;
use super::signed::{self, Headers, Rejection};
use crate::chat::slack::dispatcher::Dispatcher;
use crate::chat::slack::inbound::{self, Inbound, Us};
use crate::chat::slack::signature::SigningSecret;
use crate::fail_point::reached;

/// What Slack's routes need.
pub struct Slack {
    secret: SigningSecret,
    dispatcher: Arc<Dispatcher>,
}

impl Slack {
    /// The routes of who signs with `secret`.
    ///
    /// # Errors
    /// A secret that anybody could sign with.
    pub fn new(secret: &SecretString, dispatcher: Arc<Dispatcher>) -> anyhow::Result<Slack> {
        Ok(Slack { secret: SigningSecret::new(secret)?, dispatcher })
    }

    /// The raw body of a request that Slack signed.
    async fn genuine(&self, request: Request) -> Result<Bytes, Rejection> {
        let headers =
            Headers { timestamp: "x-slack-request-timestamp", signature: "x-slack-signature" };
        signed::body(request, headers, |timestamp, signature, body, now_s| {
            self.secret.signed(timestamp, signature, body, now_s)
        })
        .await
    }
}

/// `/idp …`
pub async fn command(State(web): State<Web>, request: Request) -> Response {
    answer(web, request, inbound::slash_command).await
}

/// A mention, a direct message, or Slack trying the address out.
pub async fn event(State(web): State<Web>, request: Request) -> Response {
    answer(web, request, inbound::event).await
}

/// A click.
pub async fn interaction(State(web): State<Web>, request: Request) -> Response {
    answer(web, request, inbound::interaction).await
}

/// The answer to `request`, whose body `read` understands; it is told who we are.
async fn answer(
    web: Web,
    request: Request,
    read: fn(&[u8], &Us<'_>) -> Option<Inbound>,
) -> Response {
    let answered = async {
        let slack = web.slack.ok_or(Rejection::Off)?;
        let body = slack.genuine(request).await?;
        reached("request-signed");
        let heard = read(&body, &slack.dispatcher.us()).ok_or(Rejection::Malformed)?;
        let said = slack.dispatcher.hear(heard).await?;
        reached("request-answered");
        Ok(signed::json(said))
    };
    answered.await.unwrap_or_else(|rejection: Rejection| rejection.into_response())
}
