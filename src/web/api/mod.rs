//! The HTTP API for programs, under `/api/v1`: what they send is JSON, and so is every answer.

pub mod actions;
pub mod facts;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

/// What the API takes and answers, as OpenAPI 3.1 says it. A test holds requests and answers to it.
const OPENAPI: &str = include_str!("openapi.json");

/// How long a program waits before it asks again, in seconds, when the database is away.
const RETRY_AFTER_S: &str = "10";

/// The description of the API. It tells nothing of this company.
pub async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// Why a request was not done, as the program that sent it is told.
#[derive(Debug, PartialEq, Serialize)]
pub(in crate::web) struct Rejection {
    #[serde(skip)]
    pub status: StatusCode,
    /// A stable word for programs.
    pub code: &'static str,
    /// A full sentence for a person.
    pub message: String,
    /// Which item of the list is wrong, from 0; `None`: the request as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<usize>,
}

impl Rejection {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Rejection {
        Rejection { status, code, message: message.into(), item: None }
    }

    /// Whoever has no token learns nothing but that.
    pub fn unauthorized() -> Rejection {
        let message = "This needs the token of a source: `Authorization: Bearer …`.";
        Rejection::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub fn malformed(message: impl Into<String>) -> Rejection {
        Rejection::new(StatusCode::BAD_REQUEST, "malformed", message)
    }

    pub fn too_large(message: impl Into<String>) -> Rejection {
        Rejection::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// Nothing happened: the same request may be sent again.
    pub fn unavailable(why: &str) -> Rejection {
        let message = format!("Nothing was taken: {why}. Send it again in a while.");
        Rejection::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(json!({ "error": self }))).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
            }
            _ => {}
        }
        response
    }
}
