//! Slack's side of the world: it signs requests to the real routes on a real port, and hears what the bot says.
//! Discord's side of it is in `discord_world.rs`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use idp::app::App;
use idp::chat::slack::client::SlackApi;
use idp::chat::slack::dispatcher::Dispatcher;
use idp::chat::slack::signature::SigningSecret;
use idp::chat::{ANSWER_WITHIN, discord};
use idp::portal::Settings;
use idp::web::slack::Slack;
use idp::web::{self, Web, server};
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::{Postgres, Transaction};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::asking::Asking;
use crate::database::Fresh;
use crate::discord_world::{self, FakeDiscord, GUILD};
use crate::picture_files::Uploads;
use idp::commands::CommandSet;

pub const SECRET: &str = "0d7f4bb1a9c34e5f8a2b6c1d9e3f7a50";
pub const TEAM: &str = "T0ACME";
/// The organisation that the workspace belongs to, where it does.
pub const ENTERPRISE: &str = "E0ACME";
pub const BOT: &str = "U0BOT";

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct World {
    pub app: Arc<App>,
    pub fresh: Fresh,
    pub dispatcher: Arc<Dispatcher>,
    pub address: SocketAddr,
    pub fake: FakeSlack,
    pub discord: Arc<discord::dispatcher::Dispatcher>,
    pub fake_discord: FakeDiscord,
    pub stop: CancellationToken,
    /// The answers that any process of this world is giving.
    tasks: TaskTracker,
    next: AtomicU64,
}

/// What came back: the status and the body.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

impl World {
    /// The built-in commands over Acme, and Slack's workspace `T0ACME`.
    pub async fn new() -> World {
        World::of_patience(ANSWER_WITHIN).await
    }

    /// A world whose Slack waits no longer than this for an answer on its request.
    pub async fn of_patience(answer_within: Duration) -> World {
        World::with(answer_within, |_| {}).await
    }

    /// A world with the settings as `change` leaves them.
    pub async fn with(answer_within: Duration, change: impl FnOnce(&mut Settings)) -> World {
        let (fake, fake_discord) = (FakeSlack::start().await, FakeDiscord::start().await);
        let Asking { app, fresh } = Asking::with(CommandSet::built_in(), |settings| {
            settings.slack.team_id = Some(TEAM.into());
            settings.discord.guild_ids = vec![GUILD.into()];
            change(settings);
        })
        .await;
        let (app, stop) = (Arc::new(app), CancellationToken::new());
        let (fakes, tasks) = ((&fake, &fake_discord), TaskTracker::new());
        let (dispatcher, discord, address) =
            process(&app, fakes, answer_within, (&stop, &tasks)).await;
        let next = AtomicU64::new(1);
        World { app, fresh, dispatcher, address, fake, discord, fake_discord, stop, tasks, next }
    }

    /// Where another process listens, on the same database, which remembers nothing of what this one took.
    pub async fn another_process(&self) -> SocketAddr {
        let fakes = (&self.fake, &self.fake_discord);
        process(&self.app, fakes, ANSWER_WITHIN, (&self.stop, &self.tasks)).await.2
    }

    /// Every answer that was begun has gone out.
    pub async fn rests(&self) {
        self.tasks.close();
        tokio::time::timeout(PATIENCE, self.tasks.wait()).await.expect("an answer never ended");
    }

    /// `who` types `/idp text`; what Slack shows them.
    pub async fn types(&self, who: &str, text: &str) -> Value {
        let answer = self.sends("/slack/commands", &self.command(who, text)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// `who` mentions the bot in a channel; what Slack is told.
    pub async fn mentions(&self, who: &str, text: &str) -> Answer {
        let body = mention(&format!("EvNext{}", self.number()), who, text);
        self.sends("/slack/events", &body.to_string()).await
    }

    /// The body of `/idp text`.
    pub fn command(&self, who: &str, text: &str) -> String {
        let response_url = format!("http://{}/respond/{}", self.fake.address, self.number());
        let fields = [
            ("team_id", TEAM),
            ("user_id", who),
            ("channel_id", "C0NOBODY"),
            ("channel_name", "random"),
            ("command", "/idp"),
            ("text", text),
            ("response_url", &response_url),
        ];
        serde_urlencoded::to_string(fields).unwrap()
    }

    /// The body of a click on a button with `words`; `trigger` tells one click from another.
    pub fn click(&self, trigger: &str, words: &str) -> String {
        let payload = json!({
            "type": "block_actions", "trigger_id": trigger,
            "team": { "id": TEAM }, "user": { "id": "U0ADA", "team_id": TEAM },
            "channel": { "id": "C0NOBODY", "name": "random" },
            "container": { "message_ts": "1.5", "is_ephemeral": true },
            "response_url": format!("http://{}/respond/{trigger}", self.fake.address),
            "actions": [{ "type": "button", "action_id": "idp:0", "value": words }],
        });
        interaction(&payload)
    }

    /// Until it is rolled back, or dropped, `history` waits.
    pub async fn holds_history_up(&self) -> Transaction<'static, Postgres> {
        let mut holder = self.fresh.pool.begin().await.unwrap();
        let hold = "lock table idp.change in access exclusive mode";
        sqlx::query(hold).execute(&mut *holder).await.unwrap();
        holder
    }

    /// A request that Slack signed now.
    pub async fn sends(&self, path: &str, body: &str) -> Answer {
        sends(self.address, path, body).await
    }

    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

/// The routes of both platforms over `app`, and where they listen until `stop`.
async fn process(
    app: &Arc<App>,
    (fake, fake_discord): (&FakeSlack, &FakeDiscord),
    answer_within: Duration,
    (stop, tasks): (&CancellationToken, &TaskTracker),
) -> (Arc<Dispatcher>, Arc<discord::dispatcher::Dispatcher>, SocketAddr) {
    let api_url = format!("http://{}/api/", fake.address).parse().unwrap();
    let api = SlackApi::new(&api_url, Some(SecretString::from("xoxb-of-the-world")), &[]).unwrap();
    let api = Arc::new(api);
    // Of several processes over one app the first asks.
    let _ = app.profiles.set(api.clone());
    let dispatcher = Dispatcher::new(app.clone(), api, tasks.clone());
    let dispatcher = Arc::new(dispatcher.answering_within(answer_within));
    let slack = Slack::new(&SecretString::from(SECRET), dispatcher.clone()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (discord, route) = discord_world::route(app, fake_discord, answer_within, tasks);
    tokio::spawn(dispatcher.outbox().keep(dispatcher.clone(), stop.clone()));
    tokio::spawn(discord.outbox().keep(discord.clone(), stop.clone()));
    let web = Web {
        app: app.clone(),
        slack: Some(Arc::new(slack)),
        discord: Some(route),
        links: Vec::new(),
    };
    tokio::spawn(server::serve(listener, web::router(web), stop.clone()));
    (dispatcher, discord, address)
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The body of an interaction.
pub fn interaction(payload: &Value) -> String {
    serde_urlencoded::to_string([("payload", payload.to_string())]).unwrap()
}

/// An event: `who` says `text` to the bot in a channel.
pub fn mention(id: &str, who: &str, text: &str) -> Value {
    json!({
        "type": "event_callback", "team_id": TEAM, "event_id": id,
        "event": {
            "type": "app_mention", "user": who, "channel": "C0NOBODY", "ts": "1700000000.000100",
            "text": format!("<@{BOT}> {text}"),
        },
    })
}

pub fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// The headers that Slack signs `body` with.
pub fn signed(body: &[u8]) -> Vec<(String, String)> {
    let secret = SigningSecret::new(&SecretString::from(SECRET)).unwrap();
    let now_s = now_s();
    vec![
        ("x-slack-request-timestamp".into(), now_s.to_string()),
        ("x-slack-signature".into(), secret.sign(now_s, body)),
    ]
}

/// `body` is sent to `address` as Slack sends it, signed now.
pub async fn sends(address: SocketAddr, path: &str, body: &str) -> Answer {
    let mut headers = signed(body.as_bytes());
    headers.push(("content-length".into(), body.len().to_string()));
    request(address, "POST", path, headers, body.as_bytes().to_vec()).await
}

pub async fn gets(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path, Vec::new(), Vec::new()).await
}

/// One request, written to the wire as it stands here; also what no client would send.
pub async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let exchange = move || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(head.as_bytes())?;
        // The server may have refused by its head alone, and closed.
        let _ = stream.write_all(&body);
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(_) if !answer.is_empty() => {}
            read => drop(read?),
        }
        Ok::<Vec<u8>, std::io::Error>(answer)
    };
    let Ok(answer) = tokio::task::spawn_blocking(exchange).await.unwrap() else {
        return Answer { status: 0, body: String::new() };
    };
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or(0);
    Answer { status, body: body.to_string() }
}

/// Slack's Web API and response URLs: takes everything, remembers it in its order.
pub struct FakeSlack {
    pub address: SocketAddr,
    heard: Mutex<UnboundedReceiver<Heard>>,
    pub moods: Arc<Moods>,
}

/// How the fake answers besides taking everything.
#[derive(Default)]
pub struct Moods {
    /// How many requests are still to be turned away.
    away_for: AtomicUsize,
    /// The account that `users.info` tells of, and how often it was asked.
    pub account: std::sync::Mutex<Value>,
    pub accounts_told: AtomicUsize,
    /// Every response URL is used up, and each use heard as `/gone`.
    pub urls_are_gone: AtomicBool,
    /// The bot is in no channel; a try to post there is heard as `/outside`.
    pub is_outside: AtomicBool,
    /// A message with a picture in it is refused, and heard as `/images`.
    pub takes_no_images: AtomicBool,
    /// The organisation that `auth.test` tells; null where there is none.
    pub enterprise: std::sync::Mutex<Value>,
    /// The public channels; two pages, where there are two.
    pub channels: std::sync::Mutex<Vec<Value>>,
    /// Headers of the answer to `auth.test`: the scopes that it tells, the time that it is there.
    pub scopes: std::sync::Mutex<String>,
    pub date: std::sync::Mutex<Option<String>>,
    /// Pictures on their way.
    pub uploads: Uploads,
    /// The answer to `apps.connections.open`, and how often it was given.
    pub socket: std::sync::Mutex<Value>,
    pub sockets_opened: AtomicUsize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// `/api/chat.postMessage`, `/respond/7`
    pub path: String,
    pub body: Value,
}

impl FakeSlack {
    pub async fn start() -> FakeSlack {
        let (hear, heard) = mpsc::unbounded_channel();
        let moods = Arc::new(Moods::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().fallback(any(answer)).with_state((hear, moods.clone()));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        FakeSlack { address, heard: Mutex::new(heard), moods }
    }

    /// Turns the next `requests` away, each heard as `/away`.
    pub fn is_away_for(&self, requests: usize) {
        self.moods.away_for.store(requests, Ordering::SeqCst);
    }

    /// The next thing that the bot said.
    pub async fn hears(&self) -> Heard {
        let next = async { self.heard.lock().await.recv().await.unwrap() };
        tokio::time::timeout(PATIENCE, next).await.expect("the bot said nothing")
    }

    /// Everything that the bot said and nobody listened to yet.
    pub async fn heard(&self) -> Vec<Heard> {
        let mut heard = self.heard.lock().await;
        std::iter::from_fn(|| heard.try_recv().ok()).collect()
    }
}

type Hearing = (UnboundedSender<Heard>, Arc<Moods>);

async fn answer(
    State((hear, moods)): State<Hearing>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let is_outside = |place: &str| moods.is_outside.load(Ordering::SeqCst) && place == "C0NOBODY";
    if let Some(said) = moods.uploads.answer(&uri, &headers, &body, is_outside) {
        return said.to_string().into_response();
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let path = uri.path().to_string();
    if path == "/api/auth.test" {
        let enterprise = moods.enterprise.lock().unwrap().clone();
        let said =
            json!({ "ok": true, "team_id": TEAM, "user_id": BOT, "enterprise_id": enterprise });
        let said = said.to_string();
        let scopes = moods.scopes.lock().unwrap().clone();
        let mut answer = ([("x-oauth-scopes", scopes)], said).into_response();
        if let Some(date) = &*moods.date.lock().unwrap() {
            answer.headers_mut().insert("date", date.parse().unwrap());
        }
        return answer;
    }
    if path == "/api/conversations.list" {
        let second = uri.query().is_some_and(|query| query.contains("cursor=second"));
        let channels = moods.channels.lock().unwrap();
        let (first, rest) = channels.split_at(channels.len() / 2);
        let (page, next) = if second { (rest, "") } else { (first, "second") };
        let next = json!({ "next_cursor": next });
        return json!({ "ok": true, "channels": page, "response_metadata": next })
            .to_string()
            .into_response();
    }
    if path == "/api/apps.connections.open" {
        moods.sockets_opened.fetch_add(1, Ordering::SeqCst);
        return moods.socket.lock().unwrap().to_string().into_response();
    }
    let one_less = |left: usize| left.checked_sub(1);
    if moods.away_for.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
        let _ = hear.send(Heard { path: "/away".into(), body });
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if path == "/api/users.info" {
        moods.accounts_told.fetch_add(1, Ordering::SeqCst);
        let account = moods.account.lock().unwrap().clone();
        return json!({ "ok": true, "user": account }).to_string().into_response();
    }
    let refused = if path.starts_with("/respond/") && moods.urls_are_gone.load(Ordering::SeqCst) {
        Some(("/gone", StatusCode::NOT_FOUND, "used_url"))
    } else if moods.is_outside.load(Ordering::SeqCst) && body["channel"] == "C0NOBODY" {
        Some(("/outside", StatusCode::OK, "not_in_channel"))
    } else if moods.takes_no_images.load(Ordering::SeqCst)
        && body["blocks"].to_string().contains("slack_file")
    {
        Some(("/images", StatusCode::OK, "invalid_blocks"))
    } else {
        None
    };
    if let Some((path, status, error)) = refused {
        let _ = hear.send(Heard { path: path.into(), body });
        return (status, json!({ "ok": false, "error": error }).to_string()).into_response();
    }
    // A world that went away hears nothing more.
    let _ = hear.send(Heard { path, body });
    json!({ "ok": true, "channel": "C0NOBODY", "ts": "1700000000.000200", "view": { "id": "V1" },
        "scheduled_message_id": "Q1" })
    .to_string()
    .into_response()
}
