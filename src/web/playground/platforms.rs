//! Both platforms' sides of the wire: signing what the page sends, and answering what the bot calls.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Multipart, Path, Query, State};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::prelude::{BASE64_STANDARD, Engine};
use ed25519_dalek::Signer;
use serde_json::{Value, json};
use tokio::time::sleep;
use tower::ServiceExt;

use super::company::{self, BOT_USER_ID, TEAM_ID};
use super::{Here, Playground};
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

/// A file that the bot uploads.
#[derive(Debug, Clone)]
pub(super) struct File {
    id: String,
    alt: String,
    bytes: Bytes,
}

/// So many files may be on their way: what was begun earlier and never shared is forgotten.
const FILES_MAX: usize = 16;

/// What the bot asks Slack's Web API by GET: where to upload a file, and what waits for its time.
pub(super) async fn slack_asked(
    State(here): State<Here>,
    Path((_, method)): Path<(String, String)>,
    Query(mut given): Query<HashMap<String, String>>,
) -> Json<Value> {
    match method.as_str() {
        "files.getUploadURLExternal" => {}
        "chat.scheduledMessages.list" => return Json(scheduled(&here, &given)),
        _ => return Json(json!({ "ok": false, "error": "unknown_method" })),
    }
    let id = format!("F{}", hex::encode_upper(rand::random::<[u8; 8]>()));
    let alt = given.remove("alt_txt").unwrap_or_default();
    let url = format!("{}slack/upload/{id}", here.playground.url());
    let mut files = here.playground.files.lock().unwrap_or_else(PoisonError::into_inner);
    files.push_back(File { id: id.clone(), alt, bytes: Bytes::new() });
    if files.len() > FILES_MAX {
        files.pop_front();
    }
    Json(json!({ "ok": true, "upload_url": url, "file_id": id }))
}

/// The bytes of a file.
pub(super) async fn slack_upload(
    State(here): State<Here>,
    Path((_, id)): Path<(String, String)>,
    bytes: Bytes,
) -> StatusCode {
    let mut files = here.playground.files.lock().unwrap_or_else(PoisonError::into_inner);
    match files.iter_mut().find(|file| file.id == id) {
        Some(file) => {
            file.bytes = bytes;
            StatusCode::OK
        }
        None => StatusCode::NOT_FOUND,
    }
}

/// The file that is shared by `asked`, as the page shows it; `None` where it was never uploaded.
fn shared(here: &Here, asked: &Value) -> Option<Value> {
    let asked = &asked["files"][0];
    let mut files = here.playground.files.lock().unwrap_or_else(PoisonError::into_inner);
    let place = files.iter().position(|file| asked["id"] == file.id.as_str())?;
    let file = files.remove(place)?;
    Some(json!({ "title": asked["title"], "alt": file.alt, "url": data_url(&file.bytes) }))
}

/// A message that waits for its time.
#[derive(Debug, Clone)]
pub(super) struct Scheduled {
    id: String,
    /// In seconds since 1970.
    post_at: i64,
    message: Value,
}

impl Playground {
    /// The message `id` waits no longer.
    fn unschedule(&self, id: &str) -> Option<Value> {
        let mut scheduled = self.scheduled.lock().unwrap_or_else(PoisonError::into_inner);
        let place = scheduled.iter().position(|it| it.id == id)?;
        Some(scheduled.remove(place).message)
    }
}

/// The page shows `message` at its time.
fn schedule(here: &Here, message: Value) -> Value {
    let id = format!("Q{}", hex::encode_upper(rand::random::<[u8; 8]>()));
    let post_at = message["post_at"].as_i64().unwrap_or_default();
    let said = json!({
        "ok": true, "channel": message["channel"], "scheduled_message_id": id, "post_at": post_at,
    });
    let wait = u64::try_from(post_at.saturating_sub(now_s())).unwrap_or_default();
    let waits = Scheduled { id: id.clone(), post_at, message };
    here.playground.scheduled.lock().unwrap_or_else(PoisonError::into_inner).push(waits);
    let here = here.clone();
    tokio::spawn(async move {
        let time = sleep(Duration::from_secs(wait));
        if here.stop.run_until_cancelled(time).await.is_none() {
            return;
        }
        let Some(mut message) = here.playground.unschedule(&id) else { return };
        message["ts"] = timestamp().into();
        for block in message["blocks"].as_array_mut().into_iter().flatten() {
            let file = block.get("slack_file").cloned();
            if let Some(shown) = file.and_then(|file| shared(&here, &json!({ "files": [file] }))) {
                block["image_url"] = shown["url"].clone();
            }
        }
        here.playground.tell("slack", "chat.postMessage", "", message);
    });
    said
}

/// What waits for its time, of the channel and between the times that are `asked` for.
fn scheduled(here: &Here, asked: &HashMap<String, String>) -> Value {
    let time = |name: &str| asked.get(name).and_then(|it| it.parse::<i64>().ok());
    let (oldest, latest) = (time("oldest").unwrap_or(0), time("latest").unwrap_or(i64::MAX));
    let is_asked = |it: &&Scheduled| {
        (oldest..=latest).contains(&it.post_at)
            && asked.get("channel").is_none_or(|channel| it.message["channel"] == channel.as_str())
    };
    let waiting = here.playground.scheduled.lock().unwrap_or_else(PoisonError::into_inner);
    let told = waiting.iter().filter(is_asked).map(|it| {
        let (channel, text) = (&it.message["channel"], &it.message["text"]);
        json!({ "id": it.id, "channel_id": channel, "post_at": it.post_at, "text": text })
    });
    json!({ "ok": true, "scheduled_messages": told.collect::<Vec<_>>() })
}

/// A picture in an address, so that the page need not ask for it.
fn data_url(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png))
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
            let channel =
                company::slack_channel(&here.app, body["channel"].as_str().unwrap_or_default());
            json!({ "ok": true, "channel": channel, "ts": timestamp() })
        }
        "chat.update" => json!({ "ok": true, "channel": body["channel"], "ts": body["ts"] }),
        "chat.scheduleMessage" => return Json(schedule(&here, body)),
        "chat.deleteScheduledMessage" => {
            let id = body["scheduled_message_id"].as_str().unwrap_or_default();
            return Json(match here.playground.unschedule(id) {
                Some(_) => json!({ "ok": true }),
                None => json!({ "ok": false, "error": "invalid_scheduled_message_id" }),
            });
        }
        // Nobody sees it before a message shows it.
        "files.completeUploadExternal" if body.get("channels").is_none() => {
            return Json(json!({ "ok": true, "files": body["files"] }));
        }
        "files.completeUploadExternal" => match shared(&here, &body) {
            Some(file) => json!({ "ok": true, "ts": timestamp(), "files": [file] }),
            None => return Json(json!({ "ok": false, "error": "file_not_found" })),
        },
        "views.open" => json!({ "ok": true, "view": { "id": "V0PLAYGROUND" } }),
        _ => return Json(json!({ "ok": false, "error": "unknown_method" })),
    };
    let mut call = body;
    call["ts"] = said["ts"].clone();
    if let Some(files) = said.get("files") {
        call["files"] = files.clone();
    }
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

/// So many threads are known: below what was posted long before another is begun.
const THREADS_MAX: usize = 256;

/// What the ids of the bot's messages begin with: no channel's does.
const MESSAGE_PREFIX: &str = "4";
/// What the ids begin with of channels in which the bot and a person are alone; the person's follows.
const DIRECT_PREFIX: &str = "5";

/// What Discord answers a call with `method` of `path`: ids for what is new, else what it was told. A thread has the id of
/// the message that it is below.
fn discord_said(here: &Here, method: &Method, path: &str, body: &Value) -> Result<Value, u64> {
    let is_message = |id: &str| id.starts_with(MESSAGE_PREFIX);
    let mut threads = here.playground.threads.lock().unwrap_or_else(PoisonError::into_inner);
    let mut said = body.clone();
    match (method, &path.split('/').collect::<Vec<_>>()[..]) {
        (&Method::GET, ["users", "@me"]) => said = json!({ "id": APPLICATION_ID }),
        (&Method::POST, ["users", "@me", "channels"]) => {
            let person = body["recipient_id"].as_str().unwrap_or_default();
            said = json!({ "id": format!("{DIRECT_PREFIX}{person}") });
        }
        (&Method::POST, ["channels", channel, "messages"]) => {
            if is_message(channel) && !threads.iter().any(|it| it == channel) {
                // There is no such channel.
                return Err(10_003);
            }
            said["id"] = format!("{MESSAGE_PREFIX}{}", timestamp().replace('.', "")).into();
        }
        (&Method::POST, ["channels", _, "messages", message, "threads"]) => {
            if threads.iter().any(|it| it == message) {
                return Err(160_004);
            }
            threads.push_back((*message).to_string());
            if threads.len() > THREADS_MAX {
                threads.pop_front();
            }
            said["id"] = (*message).into();
        }
        _ => {}
    }
    Ok(said)
}

/// Discord's REST API: the page shows what is written and edited.
pub(super) async fn discord_api(
    State(here): State<Here>,
    Path((_, path)): Path<(String, String)>,
    method: Method,
    request: Request<Body>,
) -> Response {
    let body = match read(request).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    match discord_said(&here, &method, &path, &body) {
        Ok(said) => {
            here.playground.tell("discord", method.as_str(), &path, said.clone());
            Json(said).into_response()
        }
        Err(code) => (StatusCode::BAD_REQUEST, Json(json!({ "code": code, "message": "no" })))
            .into_response(),
    }
}

/// What the bot says in `request`, be it in a form with files; each of its attachments has the address of its file then.
///
/// Source: <https://docs.discord.com/developers/reference#uploading-files>
async fn read(request: Request<Body>) -> Result<Value, Response> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    if !kind.is_some_and(|kind| kind.starts_with("multipart/form-data")) {
        let body = Bytes::from_request(request, &()).await.map_err(IntoResponse::into_response)?;
        return Ok(serde_json::from_slice(&body).unwrap_or(Value::Null));
    }
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(IntoResponse::into_response)?;
    let (mut body, mut files) = (Value::Null, Vec::new());
    while let Some(part) = form.next_field().await.map_err(IntoResponse::into_response)? {
        let name = part.name().unwrap_or_default().to_string();
        let bytes = part.bytes().await.map_err(IntoResponse::into_response)?;
        match name.as_str() {
            "payload_json" => body = serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            _ => files.push((name, data_url(&bytes))),
        }
    }
    for attachment in body["attachments"].as_array_mut().into_iter().flatten() {
        let part = format!("files[{}]", attachment["id"].as_str().unwrap_or_default());
        if let Some((_, url)) = files.iter().find(|(name, _)| *name == part) {
            attachment["url"] = url.as_str().into();
        }
    }
    Ok(body)
}

/// A message's time as Slack writes it, which is its name in its channel.
fn timestamp() -> String {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:06}", since_1970.as_secs(), since_1970.subsec_micros())
}
