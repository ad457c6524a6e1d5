//! Slack's three requests: a slash command, an event, an interaction.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use tokio::time::timeout;

use super::Web;
use crate::chat::slack::dispatcher::{self, Dispatcher};
use crate::chat::slack::inbound::{self, Inbound};
use crate::chat::slack::signature::SigningSecret;

/// How long Slack may take to send the body of a request.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// What Slack's routes need.
pub struct Slack {
    secret: SigningSecret,
    dispatcher: Arc<Dispatcher>,
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

impl From<dispatcher::Rejection> for Rejection {
    fn from(rejection: dispatcher::Rejection) -> Rejection {
        match rejection {
            dispatcher::Rejection::Stranger => Rejection::NotGenuine,
            dispatcher::Rejection::Broken => Rejection::Broken,
        }
    }
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
    /// The routes of who signs with `secret`.
    ///
    /// # Errors
    /// A secret that anybody could sign with.
    pub fn new(secret: &SecretString, dispatcher: Arc<Dispatcher>) -> anyhow::Result<Slack> {
        Ok(Slack { secret: SigningSecret::new(secret)?, dispatcher })
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
}

/// `/idp …`
pub async fn command(State(web): State<Web>, request: Request) -> Response {
    answer(web, request, |body, _| inbound::slash_command(body)).await
}

/// A mention, a direct message, or Slack trying the address out.
pub async fn event(State(web): State<Web>, request: Request) -> Response {
    answer(web, request, inbound::event).await
}

/// A click.
pub async fn interaction(State(web): State<Web>, request: Request) -> Response {
    answer(web, request, |body, _| inbound::interaction(body)).await
}

/// The answer to `request`, whose body `read` understands; it is told who the bot is.
async fn answer(
    web: Web,
    request: Request,
    read: fn(&[u8], Option<&str>) -> Option<Inbound>,
) -> Response {
    let answered = async {
        let slack = web.slack.ok_or(Rejection::Off)?;
        let body = slack.genuine(request).await?;
        let heard = read(&body, slack.dispatcher.bot_user_id()).ok_or(Rejection::Malformed)?;
        let said = slack.dispatcher.hear(heard).await?;
        Ok(([(header::CONTENT_TYPE, "application/json")], said).into_response())
    };
    answered.await.unwrap_or_else(|rejection: Rejection| rejection.into_response())
}

/// The value of a header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a [u8], Rejection> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value.as_bytes()),
        _ => Err(Rejection::NotGenuine),
    }
}

fn now_s() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX)
}
