//! Discord's side of the world: it signs interactions, and its API hears what the bot says of its own accord.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as Lock};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use ed25519_dalek::{Signer, SigningKey};
use idp::app::App;
use idp::chat::discord::client::DiscordApi;
use idp::chat::discord::dispatcher::Dispatcher;
use idp::web::discord::Discord;
use jsonschema::Validator;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio_util::task::TaskTracker;

use crate::picture_files::{Sending, Sent, of_form};
use crate::world::{Answer, World, now_s, request};

pub const GUILD: &str = "700000000000000001";
pub const APPLICATION: &str = "800000000000000001";
pub const BOT_USER: &str = "900000000000000001";
pub const BOT_TOKEN: &str = "a-token-of-the-world";
const PATH: &str = "/discord/interactions";

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What Discord signs with.
pub fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[17; 32])
}

pub fn public_key() -> String {
    hex::encode(signing_key().verifying_key().as_bytes())
}

/// Discord's route over `app`.
pub fn route(
    app: &Arc<App>,
    fake: &FakeDiscord,
    answer_within: Duration,
    tasks: &TaskTracker,
) -> (Arc<Dispatcher>, Arc<Discord>) {
    let api = fake.api();
    let dispatcher = Dispatcher::new(app.clone(), api, tasks.clone());
    let dispatcher = Arc::new(dispatcher.answering_within(answer_within));
    let discord = Discord::new(&public_key(), dispatcher.clone()).unwrap();
    (dispatcher, Arc::new(discord))
}

/// The headers that Discord signs `body` with.
pub fn signed_at(timestamp: &str, body: &[u8]) -> Vec<(String, String)> {
    let signature = signing_key().sign(&[timestamp.as_bytes(), body].concat());
    vec![
        ("x-signature-timestamp".into(), timestamp.into()),
        ("x-signature-ed25519".into(), hex::encode(signature.to_bytes())),
        ("content-length".into(), body.len().to_string()),
    ]
}

/// `body` is sent to `address` as Discord sends it, signed now.
pub async fn sends(address: SocketAddr, body: &Value) -> Answer {
    let body = body.to_string();
    sends_with(address, signed_at(&now_s().to_string(), body.as_bytes()), &body).await
}

/// `body` is sent with these headers.
pub async fn sends_with(address: SocketAddr, headers: Vec<(String, String)>, body: &str) -> Answer {
    request(address, "POST", PATH, headers, body.as_bytes().to_vec()).await
}

/// An interaction of `kind` that `who` makes in a channel; `id` tells one from another.
pub fn interaction(id: u64, kind: u8, who: &str, data: Value) -> Value {
    json!({
        "type": kind, "id": id.to_string(), "token": format!("token-{id}"), "version": 1,
        "application_id": APPLICATION, "guild_id": GUILD, "channel_id": "600000000000000001",
        "channel": { "id": "600000000000000001", "type": 0, "name": "random" },
        "member": { "user": { "id": who, "username": "ada" }, "roles": [] },
        "data": data,
    })
}

/// `/idp command` with names of options and their values.
pub fn call(command: &str, values: &[(&str, Value)]) -> Value {
    let options =
        values.iter().map(|(name, value)| json!({ "type": 3, "name": name, "value": value }));
    let options: Vec<Value> = options.collect();
    json!({ "id": "1", "name": "idp", "type": 1, "options": [
        { "type": 1, "name": command, "options": options },
    ]})
}

impl World {
    /// `/idp command` in Discord; what Discord is answered on the request, found fit for it.
    pub async fn calls(&self, command: &str, values: &[(&str, Value)]) -> Value {
        self.interacts(2, call(command, values)).await
    }

    /// An interaction of its own; what Discord is answered on the request, found fit for it.
    pub async fn interacts(&self, kind: u8, data: Value) -> Value {
        let body = interaction(self.number(), kind, "400000000000000001", data);
        let answer = sends(self.address, &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let said = answer.json();
        let path = "/interactions/{interaction_id}/{interaction_token}/callback";
        fits(path, "post", &said).unwrap();
        said
    }
}

/// Discord's API on this machine: takes what its description allows, remembers it in its order.
pub struct FakeDiscord {
    pub address: SocketAddr,
    heard: Mutex<UnboundedReceiver<Heard>>,
    state: Arc<Remembers>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// `PATCH /webhooks/…`
    pub call: String,
    pub body: Value,
}

/// How often an interaction was answered, refusals counted, and how often its answer was edited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    pub answers: usize,
    pub edits: usize,
}

struct Remembers {
    hear: UnboundedSender<Heard>,
    /// How many calls are still to be turned away.
    away_for: AtomicUsize,
    limited_for: AtomicUsize,
    commands: Lock<Value>,
    /// What is said of the gateway.
    gateway: Lock<Value>,
    /// The interactions that the gateway told, by their tokens.
    told: Lock<HashMap<String, Told>>,
    members: Lock<HashSet<String>>,
    pictures: Sending,
    takes_no_files: AtomicBool,
}

impl FakeDiscord {
    pub async fn start() -> FakeDiscord {
        let (hear, heard) = mpsc::unbounded_channel();
        let state = Arc::new(Remembers {
            hear,
            away_for: AtomicUsize::new(0),
            limited_for: AtomicUsize::new(0),
            commands: Lock::new(json!([])),
            gateway: Lock::default(),
            told: Lock::default(),
            members: Lock::default(),
            pictures: Sending::default(),
            takes_no_files: AtomicBool::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().fallback(any(answer)).with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        FakeDiscord { address, heard: Mutex::new(heard), state }
    }

    pub fn url(&self) -> String {
        format!("http://{}/api/v10/", self.address)
    }

    pub fn api(&self) -> DiscordApi {
        let url = self.url().parse().unwrap();
        DiscordApi::new(&url, APPLICATION, Some(SecretString::from(BOT_TOKEN)), &[]).unwrap()
    }

    /// Turns the next `calls` away, each heard as `away`.
    pub fn is_away_for(&self, calls: usize) {
        self.state.away_for.store(calls, Ordering::SeqCst);
    }

    /// Asks the next `calls` to come again in 10 ms, each heard as `limited`.
    pub fn is_limited_for(&self, calls: usize) {
        self.state.limited_for.store(calls, Ordering::SeqCst);
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

    /// From now on the gateway is at `url`, and so many more sessions may be begun of 1,000.
    pub fn has_gateway(&self, url: &str, remaining: u64) {
        *self.state.gateway.lock().unwrap() = json!({ "url": url, "shards": 1, "session_start_limit": {
            "total": 1_000, "remaining": remaining, "reset_after": 86_400_000, "max_concurrency": 1,
        }});
    }

    /// The interaction of this `token` is known from now on, and not answered yet.
    pub fn tells(&self, token: &str) {
        self.state.told.lock().unwrap().insert(token.into(), Told::default());
    }

    /// What became of each interaction that the gateway told.
    pub fn told(&self) -> Vec<(String, Told)> {
        let told = self.state.told.lock().unwrap();
        told.iter().map(|(token, told)| (token.clone(), *told)).collect()
    }

    /// The pictures that were sent; no call that sends one is among what is heard.
    pub fn pictures(&self) -> &Sending {
        &self.state.pictures
    }

    /// From now on the bot may not attach files.
    pub fn takes_no_files(&self) {
        self.state.takes_no_files.store(true, Ordering::SeqCst);
    }

    /// `user_id` is in the server.
    pub fn has_member(&self, user_id: &str) {
        self.state.members.lock().unwrap().insert(user_id.into());
    }

    /// The commands of the server, as they were last set or changed.
    pub fn commands(&self) -> Value {
        self.state.commands.lock().unwrap().clone()
    }

    pub fn change_commands(&self, change: impl FnOnce(&mut Value)) {
        change(&mut self.state.commands.lock().unwrap());
    }
}

async fn answer(
    State(state): State<Arc<Remembers>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = of_form(&format!("{method} {}", uri.path()), &headers, &body).await;
    let body = match &form {
        Some(form) => form.message.clone(),
        None => serde_json::from_slice(&body).unwrap_or_default(),
    };
    let one_less = |left: usize| left.checked_sub(1);
    let takes =
        |it: &AtomicUsize| it.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
    // A world that went away hears nothing more.
    let hear = |call: String| drop(state.hear.send(Heard { call, body: body.clone() }));
    if takes(&state.away_for) {
        hear("away".into());
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if takes(&state.limited_for) {
        hear("limited".into());
        let said = json!({ "message": "slow down", "retry_after": 0.01, "global": false });
        return (StatusCode::TOO_MANY_REQUESTS, said.to_string()).into_response();
    }
    let path = uri.path().strip_prefix("/api/v10").unwrap_or_default();
    if form.is_none() {
        hear(format!("{method} {path}"));
    }
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let is_bot = headers.get("authorization").is_some_and(|it| it == &format!("Bot {BOT_TOKEN}"));
    let refused = |status: StatusCode, code: u64, why: String| {
        (status, json!({ "code": code, "message": why }).to_string()).into_response()
    };
    if form.is_some() && state.takes_no_files.load(Ordering::SeqCst) {
        return refused(StatusCode::FORBIDDEN, 50_013, "Missing Permissions".into());
    }
    match (method.as_str(), parts.as_slice()) {
        ("POST", ["interactions", _, token, "callback"]) => {
            let template = "/interactions/{interaction_id}/{interaction_token}/callback";
            if let Err(why) = fits(template, "post", &body) {
                return refused(StatusCode::BAD_REQUEST, 50_035, why);
            }
            match state.told.lock().unwrap().get_mut(*token) {
                None => refused(StatusCode::NOT_FOUND, 10_062, "Unknown interaction".into()),
                Some(told) => {
                    told.answers += 1;
                    match told.answers {
                        1 => StatusCode::NO_CONTENT.into_response(),
                        _ => refused(StatusCode::BAD_REQUEST, 40_060, "acknowledged".into()),
                    }
                }
            }
        }
        // What was not answered has no answer to edit.
        ("PATCH", ["webhooks", _, token, ..])
            if state.told.lock().unwrap().get(*token).is_some_and(|told| told.answers == 0) =>
        {
            refused(StatusCode::NOT_FOUND, 10_015, "Unknown Webhook".into())
        }
        ("PATCH", ["webhooks", APPLICATION, token, "messages", "@original"]) => {
            let template = "/webhooks/{webhook_id}/{webhook_token}/messages/@original";
            if let Err(why) = fits(template, "patch", &body) {
                return refused(StatusCode::BAD_REQUEST, 50_035, why);
            }
            if form.is_none()
                && let Some(told) = state.told.lock().unwrap().get_mut(*token)
            {
                told.edits += 1;
            }
            if let Some(form) = form {
                state.pictures.keep(Sent { place: format!("{method} {path}"), ..form });
            }
            json!({ "id": "1" }).to_string().into_response()
        }
        (_, ["applications" | "gateway" | "users" | "channels" | "guilds", ..]) if !is_bot => {
            refused(StatusCode::UNAUTHORIZED, 0, "401: Unauthorized".into())
        }
        ("GET", ["gateway", "bot"]) => state.gateway.lock().unwrap().to_string().into_response(),
        ("GET", ["users", "@me"]) => json!({ "id": BOT_USER }).to_string().into_response(),
        ("GET", ["guilds", GUILD, "members", user_id]) => {
            match state.members.lock().unwrap().contains(*user_id) {
                true => json!({ "user": { "id": user_id } }).to_string().into_response(),
                false => refused(StatusCode::NOT_FOUND, 10_007, "Unknown Member".into()),
            }
        }
        ("POST", ["channels", _, "messages"]) => {
            match fits("/channels/{channel_id}/messages", "post", &body) {
                Ok(()) => {
                    if let Some(form) = form {
                        state.pictures.keep(Sent { place: format!("{method} {path}"), ..form });
                    }
                    json!({ "id": "1" }).to_string().into_response()
                }
                Err(why) => refused(StatusCode::BAD_REQUEST, 50_035, why),
            }
        }
        ("PATCH", ["channels", _, "messages", _]) => {
            let template = "/channels/{channel_id}/messages/{message_id}";
            if let Err(why) = fits(template, "patch", &body) {
                return refused(StatusCode::BAD_REQUEST, 50_035, why);
            }
            if let Some(form) = form {
                state.pictures.keep(Sent { place: format!("{method} {path}"), ..form });
            }
            json!({ "id": "1" }).to_string().into_response()
        }
        ("GET", ["applications", APPLICATION, "guilds", GUILD, "commands"]) => {
            state.commands.lock().unwrap().to_string().into_response()
        }
        ("PUT", ["applications", APPLICATION, "guilds", GUILD, "commands"]) => {
            let template = "/applications/{application_id}/guilds/{guild_id}/commands";
            if let Err(why) = fits(template, "put", &body) {
                return refused(StatusCode::BAD_REQUEST, 50_035, why);
            }
            let stored = stored(&body);
            *state.commands.lock().unwrap() = stored.clone();
            stored.to_string().into_response()
        }
        (_, ["applications", APPLICATION, "guilds", ..]) => {
            refused(StatusCode::FORBIDDEN, 50_001, "Missing Access".into())
        }
        _ => refused(StatusCode::NOT_FOUND, 0, "404: Not Found".into()),
    }
}

/// The commands as Discord gives them back: with ids, and without what is as it always is.
fn stored(commands: &Value) -> Value {
    let mut commands = commands.clone();
    for (number, command) in commands.as_array_mut().unwrap().iter_mut().enumerate() {
        let given = command.as_object_mut().unwrap();
        given.insert("id".into(), json!((900 + number).to_string()));
        given.insert("application_id".into(), json!(APPLICATION));
        given.insert("version".into(), json!("1"));
        given.insert("nsfw".into(), json!(false));
        given.entry("type").or_insert(json!(1));
        given.insert("default_member_permissions".into(), Value::Null);
        without_defaults(&mut given["options"]);
    }
    commands
}

fn without_defaults(options: &mut Value) {
    for option in options.as_array_mut().into_iter().flatten() {
        let given = option.as_object_mut().unwrap();
        given.retain(|name, value| {
            let is_usual = *value == json!(false) || *value == json!([]) || value.is_null();
            let may_be_missing =
                ["required", "autocomplete", "choices", "options"].contains(&name.as_str());
            let is_left_out = (is_usual && may_be_missing) || name.ends_with("_localizations");
            !is_left_out
        });
        if let Some(options) = given.get_mut("options") {
            without_defaults(options);
        }
    }
}

/// Whether Discord's own description of the call allows `body`.
pub fn fits(path: &str, method: &str, body: &Value) -> Result<(), String> {
    let Some(description) = description() else { return Ok(()) };
    let place = path.replace('~', "~0").replace('/', "~1");
    let pointer = format!("/paths/{place}/{method}/requestBody/content/application~1json/schema");
    // Reading the description takes long, and there are few calls.
    static JUDGES: Lock<BTreeMap<String, Arc<Validator>>> = Lock::new(BTreeMap::new());
    let judge = || {
        assert!(description.pointer(&pointer).is_some(), "{path} is not described");
        let mut schema = description.clone();
        let place = format!("#{}", pointer.replace('{', "%7B").replace('}', "%7D"));
        schema.as_object_mut().unwrap().insert("$ref".into(), json!(place));
        Arc::new(jsonschema::validator_for(&schema).unwrap())
    };
    let validator = JUDGES.lock().unwrap().entry(pointer.clone()).or_insert_with(judge).clone();
    let wrong: Vec<String> =
        validator.iter_errors(body).map(|it| format!("{}: {it}", it.instance_path())).collect();
    if wrong.is_empty() { Ok(()) } else { Err(format!("{}\n{body}", wrong.join("\n"))) }
}

/// `None` where it is not there: said once.
fn description() -> Option<&'static Value> {
    static DESCRIPTION: std::sync::OnceLock<Option<Value>> = std::sync::OnceLock::new();
    let read = || {
        let shared = std::env::var("IDP_SHARED").unwrap_or_else(|_| "../shared".into());
        let file = PathBuf::from(shared).join("specs/discord.json");
        let Ok(text) = std::fs::read_to_string(&file) else {
            println!("{} is not there: Discord's calls are not checked against it", file.display());
            return None;
        };
        Some(serde_json::from_str(&text).unwrap())
    };
    DESCRIPTION.get_or_init(read).as_ref()
}

#[test]
fn the_description_refuses_what_discord_would() {
    if description().is_none() {
        return;
    }
    let path = "/webhooks/{webhook_id}/{webhook_token}/messages/@original";
    assert_eq!(fits(path, "patch", &json!({ "content": "a" })), Ok(()));
    assert!(fits(path, "patch", &json!({ "content": "a".repeat(2_001) })).is_err());
    assert!(fits(path, "patch", &json!({ "embeds": [{ "title": "a".repeat(257) }] })).is_err());
}
