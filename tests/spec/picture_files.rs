//! How the platforms on this machine take files: Slack by an upload of its own, Discord in a form.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Multipart};
use axum::http::{HeaderMap, Request, Uri};
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// How long a test waits for a picture, which is drawn by a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A picture that was sent, as the platform has it then.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sent {
    /// Slack's channel or person; Discord's call.
    pub place: String,
    pub thread: Option<String>,
    pub title: String,
    pub alt: String,
    pub name: String,
    pub kind: String,
    pub bytes: Bytes,
    /// Whether the request with the bytes said who sends them.
    pub has_token: bool,
    /// What was sent beside it.
    pub message: Value,
}

/// The pictures that were sent, in their order.
pub struct Sending {
    send: UnboundedSender<Sent>,
    sent: tokio::sync::Mutex<UnboundedReceiver<Sent>>,
}

impl Default for Sending {
    fn default() -> Sending {
        let (send, sent) = mpsc::unbounded_channel();
        Sending { send, sent: tokio::sync::Mutex::new(sent) }
    }
}

impl Sending {
    pub fn keep(&self, sent: Sent) {
        self.send.send(sent).unwrap();
    }

    /// The next picture.
    pub async fn next(&self) -> Sent {
        let next = async { self.sent.lock().await.recv().await.unwrap() };
        tokio::time::timeout(PATIENCE, next).await.expect("no picture was sent")
    }

    pub async fn has_more(&self) -> bool {
        self.sent.lock().await.try_recv().is_ok()
    }
}

/// Slack's external uploads.
#[derive(Default)]
pub struct Uploads {
    next: AtomicUsize,
    /// By the ids of files: what is not shared yet.
    begun: Mutex<HashMap<String, Sent>>,
    pub shared: Sending,
    /// What the first call of an upload is refused with.
    pub refused: Mutex<Option<&'static str>>,
    /// Where uploads are said to go to.
    pub elsewhere: Mutex<Option<&'static str>>,
}

impl Uploads {
    /// What Slack answers, where the request is of an upload. `is_outside` is a place that the bot cannot speak in.
    ///
    /// Source: <https://docs.slack.dev/messaging/working-with-files#upload>
    pub fn answer(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        body: &Bytes,
        is_outside: impl Fn(&str) -> bool,
    ) -> Option<Value> {
        let no = |error: &str| Some(json!({ "ok": false, "error": error }));
        let has_token = headers.contains_key("authorization");
        let header = |name: &str| headers[name].to_str().unwrap().to_string();
        if let Some(id) = uri.path().strip_prefix("/upload/") {
            let mut begun = self.begun.lock().unwrap();
            let file = begun.get_mut(id).expect("an upload that was not begun");
            (file.bytes, file.kind, file.has_token) =
                (body.clone(), header("content-type"), has_token);
            return Some(json!({}));
        }
        match uri.path() {
            "/api/files.getUploadURLExternal" if !has_token => no("not_authed"),
            "/api/files.getUploadURLExternal" => {
                if let Some(error) = *self.refused.lock().unwrap() {
                    return no(error);
                }
                let given: HashMap<String, String> =
                    serde_urlencoded::from_str(uri.query().unwrap_or_default()).unwrap();
                let id = format!("F{:09}", self.next.fetch_add(1, Ordering::SeqCst));
                let (name, alt) = (given["filename"].clone(), given["alt_txt"].clone());
                let length: usize = given["length"].parse().unwrap();
                assert!(length > 0);
                let file = Sent { name, alt, message: json!(length), ..Sent::default() };
                self.begun.lock().unwrap().insert(id.clone(), file);
                let here = format!("http://{}/upload/{id}", header("host"));
                let url = self.elsewhere.lock().unwrap().map_or(here, str::to_string);
                Some(json!({ "ok": true, "upload_url": url, "file_id": id }))
            }
            "/api/files.completeUploadExternal" => {
                let asked: Value = serde_json::from_slice(body).unwrap();
                // Without a channel it is a file of the bot's own.
                let place = asked["channels"].as_str().unwrap_or_default();
                if is_outside(place) {
                    return no("not_in_channel");
                }
                let id = asked["files"][0]["id"].as_str().unwrap();
                let Some(file) = self.begun.lock().unwrap().remove(id) else {
                    return no("file_not_found");
                };
                assert_eq!(file.message, json!(file.bytes.len()), "as long as was said");
                self.shared.keep(Sent {
                    place: place.into(),
                    thread: asked["thread_ts"].as_str().map(str::to_string),
                    title: asked["files"][0]["title"].as_str().unwrap().into(),
                    message: Value::Null,
                    ..file
                });
                Some(json!({ "ok": true, "files": [{ "id": id }] }))
            }
            _ => None,
        }
    }
}

/// The message of a form of Discord's, with its one file; `None` where the body is no form.
///
/// Source: <https://docs.discord.com/developers/reference#uploading-files>
pub async fn of_form(call: &str, headers: &HeaderMap, body: &Bytes) -> Option<Sent> {
    let kind = headers.get("content-type")?.to_str().ok()?;
    if !kind.starts_with("multipart/form-data") {
        return None;
    }
    let request = Request::post("/").header("content-type", kind).body(Body::from(body.clone()));
    let mut form = Multipart::from_request(request.unwrap(), &()).await.unwrap();
    let mut sent = Sent { place: call.into(), ..Sent::default() };
    while let Some(part) = form.next_field().await.unwrap() {
        let text = |it: Option<&str>| it.unwrap_or_default().to_string();
        match part.name() {
            Some("payload_json") => {
                sent.message = serde_json::from_slice(&part.bytes().await.unwrap()).unwrap();
            }
            Some("files[0]") => {
                (sent.name, sent.kind) = (text(part.file_name()), text(part.content_type()));
                sent.bytes = part.bytes().await.unwrap();
            }
            other => panic!("a part {other:?}"),
        }
    }
    let attachment = &sent.message["attachments"][0];
    assert_eq!(attachment["id"], "0");
    assert_eq!(attachment["filename"], sent.name);
    sent.alt = attachment["description"].as_str().unwrap().into();
    sent.has_token = headers.contains_key("authorization");
    Some(sent)
}
