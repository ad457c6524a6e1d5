//! Slack and Discord as far as digests see them, whose clock is set by the test.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use chrono::{DateTime, TimeDelta, Utc};
use idp::conversation::Platform;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The first second of 2026, a Thursday.
pub fn new_year() -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// What becomes of a call besides its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Answered,
    /// It has its effect, and nobody hears of it.
    AnswerLost,
    /// It has none, and nobody hears of it.
    RequestLost,
    /// It is answered so, and has no effect.
    Refused(&'static str),
    /// As soon as the clock is set on it has its effect; nobody hears of it.
    Delayed,
    /// It has no effect; whoever waits for its answer waits until the platform lets go.
    Held,
    /// It has its effect; its answer comes when the platform lets go.
    AnswerHeld,
}

/// What decides about a call: its method or path, its channel.
pub type Deciding = Box<dyn FnMut(&str, &str) -> Fate + Send>;

/// A message that stands in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub channel: String,
    pub mark: String,
    pub at: DateTime<Utc>,
}

/// Slack, or Discord.
pub struct Fake {
    state: Arc<Mutex<Remembers>>,
    /// How often it let go of what it held.
    letting_go: watch::Sender<usize>,
}

/// A way in, until it is closed.
pub struct Door {
    pub address: SocketAddr,
    pub closing: CancellationToken,
    pub served: JoinHandle<std::io::Result<()>>,
}

struct Remembers {
    platform: Platform,
    now: DateTime<Utc>,
    /// By id.
    scheduled: BTreeMap<String, Waiting>,
    delayed: Vec<Waiting>,
    holds_delayed: bool,
    said: Vec<Said>,
    /// Of Discord: when each nonce was first used.
    nonces: HashMap<String, (DateTime<Utc>, usize)>,
    next: usize,
    deciding: Deciding,
    /// When each method was called lately.
    calls: HashMap<String, VecDeque<DateTime<Utc>>>,
    /// Calls of a method that are taken in a minute.
    limit: usize,
    limited: usize,
    count: usize,
    held: usize,
    lost: usize,
}

#[derive(Debug, Clone)]
struct Waiting {
    channel: String,
    post_at: DateTime<Utc>,
    text: String,
}

/// The mark in `text`.
fn mark(text: &str) -> String {
    let from = text.rfind("idp-").unwrap_or_else(|| panic!("no mark: {text}"));
    text[from..].chars().take(24).collect()
}

impl Remembers {
    /// Posts what is due.
    fn catch_up(&mut self) {
        let now = self.now;
        if !self.holds_delayed {
            for waiting in std::mem::take(&mut self.delayed) {
                self.schedule(waiting);
            }
        }
        let due: Vec<String> = self
            .scheduled
            .iter()
            .filter(|(_, it)| it.post_at <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            let it = self.scheduled.remove(&id).unwrap();
            self.said.push(Said { channel: it.channel, mark: mark(&it.text), at: it.post_at });
        }
    }

    fn schedule(&mut self, waiting: Waiting) -> String {
        self.next += 1;
        let id = format!("Q{:09}", self.next);
        self.scheduled.insert(id.clone(), waiting);
        id
    }

    /// Whether a call of `method` is one too many for this minute.
    fn is_limited(&mut self, method: &str) -> bool {
        let (now, limit) = (self.now, self.limit);
        let calls = self.calls.entry(method.to_string()).or_default();
        while calls.front().is_some_and(|at| *at <= now - TimeDelta::seconds(60)) {
            calls.pop_front();
        }
        if calls.len() >= limit {
            self.limited += 1;
            return true;
        }
        calls.push_back(now);
        false
    }

    fn slack(&mut self, method: &str, query: &str, body: &Value) -> Value {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_string();
        match method {
            "chat.scheduleMessage" => {
                let post_at =
                    DateTime::from_timestamp(body["post_at"].as_i64().unwrap(), 0).unwrap();
                if post_at <= self.now {
                    return json!({ "ok": false, "error": "time_in_past" });
                }
                let waiting = Waiting { channel: text("channel"), post_at, text: text("text") };
                let near = |it: &&Waiting| {
                    it.channel == waiting.channel
                        && (it.post_at - waiting.post_at).abs() < TimeDelta::minutes(5)
                };
                if self.scheduled.values().filter(near).count() >= 30 {
                    return json!({ "ok": false, "error": "restricted_too_many" });
                }
                assert!(body.get("metadata").is_none(), "Slack never posts what has metadata");
                let channel = waiting.channel.clone();
                let id = self.schedule(waiting);
                json!({ "ok": true, "channel": channel, "scheduled_message_id": id,
                    "post_at": post_at.timestamp(), "message": {} })
            }
            "chat.scheduledMessages.list" => {
                let asked: HashMap<String, String> = serde_urlencoded::from_str(query).unwrap();
                let second = |name: &str| asked[name].parse::<i64>().unwrap();
                let (oldest, latest) = (second("oldest"), second("latest"));
                let limit: usize = asked["limit"].parse().unwrap();
                let from: usize = asked.get("cursor").map_or(0, |it| it.parse().unwrap());
                let all = self.scheduled.iter().filter(|(_, it)| {
                    (oldest..=latest).contains(&it.post_at.timestamp())
                        && asked.get("channel").is_none_or(|channel| *channel == it.channel)
                });
                let all: Vec<Value> = all
                    .map(|(id, it)| {
                        json!({ "id": id, "channel_id": it.channel, "text": it.text,
                            "post_at": it.post_at.timestamp(), "date_created": 0 })
                    })
                    .collect();
                let page: Vec<Value> = all.iter().skip(from).take(limit).cloned().collect();
                let next = if from + limit < all.len() {
                    (from + limit).to_string()
                } else {
                    String::new()
                };
                json!({ "ok": true, "scheduled_messages": page,
                    "response_metadata": { "next_cursor": next } })
            }
            "chat.deleteScheduledMessage" => {
                match self.scheduled.remove(&text("scheduled_message_id")) {
                    Some(_) => json!({ "ok": true }),
                    None => json!({ "ok": false, "error": "invalid_scheduled_message_id" }),
                }
            }
            _ => json!({ "ok": true, "team_id": "T1", "user_id": "U9" }),
        }
    }

    fn discord(&mut self, method: &Method, path: &str, query: &str, body: &Value) -> Value {
        let parts: Vec<&str> = path.split('/').collect();
        match (method, &parts[..]) {
            (&Method::POST, ["channels", channel, "messages"]) => {
                let nonce = body["nonce"].as_str().unwrap().to_string();
                assert!(body["enforce_nonce"] == true && nonce.len() <= 25, "{body}");
                // "in the past few minutes"
                let known = self.nonces.get(&nonce);
                if let Some((at, id)) = known
                    && self.now - *at < TimeDelta::minutes(2)
                {
                    return json!({ "id": id.to_string() });
                }
                self.next += 1;
                let since_2015 = self.now.timestamp_millis() - 1_420_070_400_000;
                let id = usize::try_from(since_2015 << 22).unwrap() + self.next;
                self.nonces.insert(nonce, (self.now, id));
                let channel = channel.to_string();
                self.said.push(Said { channel, mark: mark(&body.to_string()), at: self.now });
                json!({ "id": id.to_string() })
            }
            (&Method::GET, ["channels", channel, "messages"]) => {
                assert!(query.contains("limit=50"), "{query}");
                let of_channel = self.said.iter().rev().filter(|it| it.channel == *channel);
                let messages = of_channel.take(50).map(|it| {
                    let since_2015 = it.at.timestamp_millis() - 1_420_070_400_000;
                    let id = (since_2015 << 22).to_string();
                    json!({ "id": id, "embeds": [{ "footer": { "text": format!("a · {}", it.mark) } }] })
                });
                messages.collect()
            }
            (&Method::GET, ["channels", channel]) => {
                let has = self.said.iter().any(|it| it.channel == *channel);
                json!({ "id": channel, "last_message_id": has.then_some("9") })
            }
            _ => json!({ "id": "9" }),
        }
    }
}

impl Fake {
    pub async fn start(platform: Platform) -> Fake {
        let state = Remembers {
            platform,
            now: new_year(),
            scheduled: BTreeMap::new(),
            delayed: Vec::new(),
            holds_delayed: false,
            said: Vec::new(),
            nonces: HashMap::new(),
            next: 0,
            deciding: Box::new(|_, _| Fate::Answered),
            calls: HashMap::new(),
            limit: usize::MAX,
            limited: 0,
            count: 0,
            held: 0,
            lost: 0,
        };
        let state = Arc::new(Mutex::new(state));
        Fake { state, letting_go: watch::Sender::new(0) }
    }

    /// A way in, for one process alone.
    pub async fn door(&self) -> Door {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new()
            .fallback(any(answer))
            .with_state((self.state.clone(), self.letting_go.subscribe()));
        let closing = CancellationToken::new();
        let closed = closing.clone().cancelled_owned();
        let served = axum::serve(listener, routes).with_graceful_shutdown(closed);
        Door { address, closing, served: tokio::spawn(served.into_future()) }
    }

    fn state(&self) -> MutexGuard<'_, Remembers> {
        self.state.lock().unwrap()
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.state().now
    }

    /// It is `at` now: what is due is posted.
    pub fn is(&self, at: DateTime<Utc>) {
        let mut state = self.state();
        state.now = at;
        state.catch_up();
    }

    /// From now on.
    pub fn decides(&self, deciding: impl FnMut(&str, &str) -> Fate + Send + 'static) {
        self.state().deciding = Box::new(deciding);
    }

    /// It takes so many calls of each method in a minute of its clock.
    pub fn takes_in_a_minute(&self, calls: usize) {
        self.state().limit = calls;
    }

    /// Everything that stands in channels.
    pub fn said(&self) -> Vec<Said> {
        self.state().said.clone()
    }

    /// How many messages wait for their time.
    pub fn scheduled(&self) -> usize {
        self.state().scheduled.len()
    }

    /// What is delayed stays so when the clock is set on.
    pub fn holds_delayed(&self, holds: bool) {
        self.state().holds_delayed = holds;
    }

    /// How many calls it holds.
    pub fn held(&self) -> usize {
        self.state().held
    }

    /// It lets go of what it holds.
    pub fn lets_go(&self) {
        self.letting_go.send_modify(|times| *times += 1);
    }

    /// How many calls there were, how many of their answers were lost, how many were too many.
    pub fn figures(&self) -> (usize, usize, usize) {
        let state = self.state();
        (state.count, state.lost, state.limited)
    }
}

type Remembering = (Arc<Mutex<Remembers>>, watch::Receiver<usize>);

async fn answer(
    State((state, mut letting_go)): State<Remembering>,
    method: Method,
    uri: Uri,
    body: String,
) -> Response {
    letting_go.mark_unchanged();
    let (answered, is_held) = answered(&state, &method, &uri, &body);
    if is_held {
        let _held = Held(state);
        let _ = letting_go.changed().await;
    }
    answered
}

/// Counts a call as held for as long as whoever called waits for it.
struct Held(Arc<Mutex<Remembers>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.lock().unwrap().held -= 1;
    }
}

/// The answer, and whether it is held back.
fn answered(state: &Mutex<Remembers>, method: &Method, uri: &Uri, body: &str) -> (Response, bool) {
    let mut state = state.lock().unwrap();
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let query = uri.query().unwrap_or_default();
    let path = uri.path().trim_start_matches("/api/").trim_start_matches("v10/");
    let call = match state.platform {
        Platform::Discord => format!("{method} {}", path.rsplit('/').next().unwrap_or_default()),
        _ => path.to_string(),
    };
    let channel = match state.platform {
        Platform::Discord => path.split('/').nth(1).unwrap_or_default(),
        _ => body["channel"].as_str().unwrap_or_default(),
    };
    state.count += 1;
    if state.is_limited(&call) {
        let said = json!({ "retry_after": 30, "global": false }).to_string();
        let answer = (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "30")], said);
        return (answer.into_response(), false);
    }
    let fate = (state.deciding)(&call, channel);
    let lost = || (StatusCode::INTERNAL_SERVER_ERROR, "{}").into_response();
    state.lost += usize::from(!matches!(fate, Fate::Answered | Fate::Refused(_)));
    match fate {
        Fate::RequestLost => return (lost(), false),
        Fate::Held => {
            state.held += 1;
            return (lost(), true);
        }
        Fate::Delayed => {
            let text = |name: &str| body[name].as_str().unwrap_or_default().to_string();
            let post_at = DateTime::from_timestamp(body["post_at"].as_i64().unwrap(), 0).unwrap();
            let waiting = Waiting { channel: text("channel"), post_at, text: text("text") };
            state.delayed.push(waiting);
            return (lost(), false);
        }
        Fate::Refused(code) => {
            let answer = match code.parse::<u64>() {
                Ok(number) => {
                    let said = json!({ "code": number, "message": "no" }).to_string();
                    (StatusCode::FORBIDDEN, said).into_response()
                }
                Err(_) => axum::Json(json!({ "ok": false, "error": code })).into_response(),
            };
            return (answer, false);
        }
        Fate::Answered | Fate::AnswerLost => {}
        Fate::AnswerHeld => state.held += 1,
    }
    let said = match state.platform {
        Platform::Discord => state.discord(method, path, query, &body),
        _ => state.slack(path, query, &body),
    };
    match fate {
        Fate::AnswerLost => (lost(), false),
        _ => (axum::Json(said).into_response(), fate == Fate::AnswerHeld),
    }
}
