//! Both platforms' sides of the wire: signing what the page sends, and answering what the bot calls.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ed25519_dalek::Signer;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::Here;
use super::company::{BOT_USER_ID, TEAM_ID};
use crate::web::signed::now_s;

/// The application that the bot is in Discord.
pub const APPLICATION_ID: &str = "1000000000000000000";

/// Hands to Slack's routes, signed, what the page says that Slack sends by this `way`: `commands`, `events`,
/// `interactions`.
///
/// Source: <https://docs.slack.dev/authentication/verifying-requests-from-slack>
pub(super) async fn slack(
    State(here): State<Here>,
    Path((_, way)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let timestamp = now_s();
    let signature = here.playground.slack.sign(timestamp, &body);
    let request = Request::post(format!("/slack/{way}"))
        .header("x-slack-request-timestamp", timestamp)
        .header("x-slack-signature", signature);
    hand_over(here, request, &headers, body).await
}

/// Hands to Discord's route, signed, what the page says that Discord sends.
///
/// Source: <https://docs.discord.com/developers/interactions/overview#setting-up-an-endpoint-validating-security-request-headers>
pub(super) async fn discord(State(here): State<Here>, headers: HeaderMap, body: Bytes) -> Response {
    let timestamp = now_s().to_string();
    let signature = here.playground.discord.sign(&[timestamp.as_bytes(), &body].concat());
    let request = Request::post("/discord/interactions")
        .header("x-signature-timestamp", timestamp)
        .header("x-signature-ed25519", hex::encode(signature.to_bytes()));
    hand_over(here, request, &headers, body).await
}

async fn hand_over(
    here: Here,
    mut request: axum::http::request::Builder,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(kind) = headers.get(header::CONTENT_TYPE) {
        request = request.header(header::CONTENT_TYPE, kind);
    }
    match request.body(Body::from(body)) {
        Ok(request) => here.adapters.oneshot(request).await.into_response(),
        // A way that no address has.
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Slack's Web API: the page shows what is posted and opened, and nothing can go wrong.
pub(super) async fn slack_api(
    State(here): State<Here>,
    Path((_, method)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Json<Value> {
    let said = match method.as_str() {
        "auth.test" => {
            return Json(json!({ "ok": true, "team_id": TEAM_ID, "user_id": BOT_USER_ID }));
        }
        "chat.postMessage" | "chat.postEphemeral" => {
            json!({ "ok": true, "channel": body["channel"], "ts": timestamp() })
        }
        "views.open" => json!({ "ok": true, "view": { "id": "V0PLAYGROUND" } }),
        _ => return Json(json!({ "ok": false, "error": "unknown_method" })),
    };
    let mut call = body;
    call["ts"] = said["ts"].clone();
    here.playground.tell("slack", &method, "", call);
    Json(said)
}

/// A `response_url` of the page's, by its id.
pub(super) async fn slack_respond(
    State(here): State<Here>,
    Path((_, id)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> &'static str {
    here.playground.tell("slack", "response_url", &id, body);
    "ok"
}

/// Discord's REST API: the page shows what is written and edited.
pub(super) async fn discord_api(
    State(here): State<Here>,
    Path((_, path)): Path<(String, String)>,
    method: Method,
    body: Bytes,
) -> Response {
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    here.playground.tell("discord", method.as_str(), &path, body.clone());
    Json(body).into_response()
}

/// A message's time as Slack writes it, which is its name in its channel.
fn timestamp() -> String {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:06}", since_1970.as_secs(), since_1970.subsec_micros())
}
