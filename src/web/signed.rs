//! A request that a platform signed: read within limits, and refused without a hint.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use crate::chat;

/// How long a platform may take to send the body of a request.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// Why a request gets no answer. What the platform is told gives nobody a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejection {
    /// The platform is off.
    Off,
    TooLarge,
    TooSlow,
    /// Not from the platform, not now, or of another workspace.
    NotGenuine,
    Malformed,
    /// Ours to put right; it is in the log.
    Broken,
}

impl From<chat::Rejection> for Rejection {
    fn from(rejection: chat::Rejection) -> Rejection {
        match rejection {
            chat::Rejection::Stranger => Rejection::NotGenuine,
            chat::Rejection::Broken => Rejection::Broken,
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

/// The headers that a platform signs with.
pub(super) struct Headers {
    pub timestamp: &'static str,
    pub signature: &'static str,
}

/// The raw body of `request`, which `is_signed` (its timestamp, its signature, the body, and the seconds
/// since 1970) finds to be genuine.
pub(super) async fn body(
    mut request: Request,
    named: Headers,
    is_signed: impl Fn(&[u8], &[u8], &[u8], i64) -> bool,
) -> Result<Bytes, Rejection> {
    let headers = std::mem::take(request.headers_mut());
    let read = timeout(BODY_WITHIN, Bytes::from_request(request, &())).await;
    let body = match read.map_err(|_| Rejection::TooSlow)? {
        Ok(body) => body,
        Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return Err(Rejection::TooLarge);
        }
        Err(_) => return Err(Rejection::Malformed),
    };
    let timestamp = only(&headers, named.timestamp)?;
    let signature = only(&headers, named.signature)?;
    // No platform packs anything. The signature is of what arrived, and so is what we read.
    let is_packed = headers.contains_key(header::CONTENT_ENCODING);
    let is_genuine = is_signed(timestamp, signature, &body, now_s());
    (is_genuine && !is_packed).then_some(body).ok_or(Rejection::NotGenuine)
}

/// `body`, which is JSON.
pub(super) fn json(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The value of a header that is there exactly once.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a [u8], Rejection> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value.as_bytes()),
        _ => Err(Rejection::NotGenuine),
    }
}

/// The seconds since 1970.
pub(super) fn now_s() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX)
}
