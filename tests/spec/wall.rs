//! Slack, or Discord, as far as messages are posted, edited and answered there: what stands on the wall.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use idp::conversation::Platform;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// A message, and what it showed: the number behind `numbered` in each state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub id: String,
    pub channel: String,
    /// The message that it answers, or in whose thread it stands.
    pub below: Option<String>,
    pub states: Vec<usize>,
}

/// Something that the platform was asked to do.
#[derive(Debug, Clone)]
pub struct Heard {
    pub wish: Wish,
    pub channel: String,
    pub number: usize,
    pub body: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Post,
    Edit,
    /// A thread below a message.
    Thread,
    /// Whatever changes nothing.
    Ask,
}

/// What becomes of it.
pub enum Fate {
    Done,
    Refused(Response),
    /// It is done, and whoever asked does not learn of it.
    Unanswered,
    /// Another did the same a moment before.
    AfterAnother,
    /// It is done once this is told.
    DoneAfter(Arc<Notify>),
}

pub type Deciding = Box<dyn FnMut(&Heard) -> Fate + Send>;

pub struct Wall {
    pub address: SocketAddr,
    hangs: Arc<Hangs>,
}

struct Hangs {
    platform: Platform,
    messages: Mutex<Vec<Message>>,
    nonces: Mutex<Vec<(String, String)>>,
    /// The messages that have a thread below them.
    threads: Mutex<HashSet<String>>,
    /// The channel that people of another company read.
    shared: Mutex<Option<String>>,
    heard: Mutex<Vec<Heard>>,
    deciding: Mutex<Deciding>,
}

impl Wall {
    pub async fn start(platform: Platform) -> Wall {
        let hangs = Arc::new(Hangs {
            platform,
            messages: Mutex::default(),
            nonces: Mutex::default(),
            threads: Mutex::default(),
            shared: Mutex::default(),
            heard: Mutex::default(),
            deciding: Mutex::new(Box::new(|_| Fate::Done)),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().fallback(any(answer)).with_state(hangs.clone());
        tokio::spawn(axum::serve(listener, routes).into_future());
        Wall { address, hangs }
    }

    /// From now on.
    pub fn decides(&self, deciding: impl FnMut(&Heard) -> Fate + Send + 'static) {
        *self.hangs.deciding.lock().unwrap() = Box::new(deciding);
    }

    /// What stands there, in its order.
    pub fn messages(&self) -> Vec<Message> {
        self.hangs.messages.lock().unwrap().clone()
    }

    /// The states of what stands there.
    pub fn states(&self) -> Vec<Vec<usize>> {
        self.messages().into_iter().map(|it| it.states).collect()
    }

    /// What it was asked since it was last asked this, besides what changes nothing.
    pub fn heard(&self) -> Vec<Heard> {
        let mut heard = std::mem::take(&mut *self.hangs.heard.lock().unwrap());
        heard.retain(|it| it.wish != Wish::Ask);
        heard
    }

    /// Another company is let into the channel.
    pub fn shares(&self, channel: &str) {
        *self.hangs.shared.lock().unwrap() = Some(channel.into());
    }

    /// Somebody deletes all that stands there.
    pub fn is_cleared(&self) {
        self.hangs.messages.lock().unwrap().clear();
    }
}

/// The platform refuses with this code.
pub fn refused(platform: Platform, code: &str) -> Response {
    match platform {
        Platform::Slack => axum::Json(json!({ "ok": false, "error": code })).into_response(),
        _ => {
            let code: u64 = code.parse().unwrap();
            let status = match code {
                ..20_000 => 404,
                160_000.. => 400,
                _ => 403,
            };
            let status = StatusCode::from_u16(status).unwrap();
            (status, axum::Json(json!({ "code": code, "message": "no" }))).into_response()
        }
    }
}

async fn answer(
    State(hangs): State<Arc<Hangs>>,
    method: Method,
    uri: Uri,
    body: String,
) -> Response {
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    let path = uri.path().trim_start_matches("/api/").trim_start_matches("v10/").to_string();
    let parts: Vec<&str> = path.split('/').collect();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let (wish, channel) = match (hangs.platform, &parts[..]) {
        (Platform::Slack, ["chat.postMessage"]) => (Wish::Post, text(&body["channel"])),
        (Platform::Slack, ["chat.update"]) => (Wish::Edit, text(&body["channel"])),
        (_, ["channels", channel, "messages"]) => (Wish::Post, (*channel).to_string()),
        (_, ["channels", channel, "messages", _]) => (Wish::Edit, (*channel).to_string()),
        (_, ["channels", channel, "messages", _, "threads"]) => {
            (Wish::Thread, (*channel).to_string())
        }
        // What is asked about stands in the address.
        _ => (Wish::Ask, uri.query().unwrap_or_default().replace("channel=", "")),
    };
    let number = body.to_string().split_once("numbered").and_then(|(_, after)| {
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    let number = number.unwrap_or_default();
    let heard = Heard { wish, channel, number, body };
    let fate = (hangs.deciding.lock().unwrap())(&heard);
    hangs.heard.lock().unwrap().push(heard.clone());
    match fate {
        Fate::Done => done(&hangs, &method, &parts, &heard),
        Fate::Refused(refused) => refused,
        Fate::Unanswered => {
            done(&hangs, &method, &parts, &heard);
            StatusCode::BAD_GATEWAY.into_response()
        }
        Fate::AfterAnother => {
            done(&hangs, &method, &parts, &heard);
            done(&hangs, &method, &parts, &heard)
        }
        Fate::DoneAfter(told) => {
            told.notified().await;
            done(&hangs, &method, &parts, &heard)
        }
    }
}

fn done(hangs: &Hangs, method: &Method, parts: &[&str], heard: &Heard) -> Response {
    let Heard { wish, channel, number, body } = heard;
    let platform = hangs.platform;
    let mut messages = hangs.messages.lock().unwrap();
    let mut nonces = hangs.nonces.lock().unwrap();
    let mut threads = hangs.threads.lock().unwrap();
    let said = match (platform, wish) {
        (Platform::Slack, Wish::Post) => {
            let id = format!("1.{}", messages.len() + 1);
            // What is posted by a name or to a person is in a channel with an id.
            let channel = match channel.chars().next() {
                Some('C' | 'D') => channel.clone(),
                _ => format!("D-{channel}"),
            };
            let below = body["thread_ts"].as_str().map(str::to_string);
            let states = vec![*number];
            messages.push(Message { id: id.clone(), channel: channel.clone(), below, states });
            json!({ "ok": true, "channel": channel, "ts": id })
        }
        (Platform::Slack, Wish::Edit) => {
            let is_it = |it: &&mut Message| body["ts"] == it.id.as_str() && *channel == it.channel;
            match messages.iter_mut().find(is_it) {
                Some(message) => message.states.push(*number),
                None => return refused(platform, "message_not_found"),
            }
            json!({ "ok": true, "channel": channel, "ts": body["ts"] })
        }
        (Platform::Slack, _) if parts[0] == "conversations.info" => {
            let is_shared = hangs.shared.lock().unwrap().as_ref() == Some(channel);
            json!({ "ok": true, "channel": { "id": channel, "is_ext_shared": is_shared } })
        }
        (Platform::Slack, _) => json!({ "ok": true, "team_id": "T1", "user_id": "U9" }),
        (_, Wish::Post) => {
            let nonce = body["nonce"].as_str().unwrap_or_default().to_string();
            if let Some((_, id)) = nonces.iter().find(|(it, _)| !it.is_empty() && *it == nonce) {
                return axum::Json(json!({ "id": id })).into_response();
            }
            let is_message = messages.iter().any(|it| it.id == *channel);
            if is_message && !threads.contains(channel) {
                return refused(platform, "10003");
            }
            let id = format!("90{}", messages.len() + 1);
            let answered = body["message_reference"]["message_id"].as_str().map(str::to_string);
            let below = if is_message { Some(format!("thread {channel}")) } else { answered };
            let states = vec![*number];
            messages.push(Message { id: id.clone(), channel: channel.clone(), below, states });
            nonces.push((nonce, id.clone()));
            json!({ "id": id })
        }
        (_, Wish::Edit) if method == Method::PATCH => {
            let is_it = |it: &&mut Message| parts[3] == it.id && *channel == it.channel;
            match messages.iter_mut().find(is_it) {
                Some(message) => message.states.push(*number),
                None => return refused(platform, "10008"),
            }
            json!({ "id": parts[3] })
        }
        (_, Wish::Thread) => {
            if !threads.insert(parts[3].to_string()) {
                return refused(platform, "160004");
            }
            json!({ "id": parts[3] })
        }
        _ if parts.last() == Some(&"channels") => {
            json!({ "id": format!("D-{}", body["recipient_id"].as_str().unwrap_or_default()) })
        }
        _ => json!({ "id": "9" }),
    };
    axum::Json(said).into_response()
}
