//! A page on this machine that is a small Slack and a small Discord, to try commands in before there is a workspace.
//!
//! ```text
//! page ──what the platform would send──▶ here: signed ──▶ the real routes ──▶ App
//!   ◀───────── events ───────── here: Slack's and Discord's APIs ◀── what the bot calls
//! ```
//! The page keeps channels, messages and people. Here is only what must not be in a page: the keys, and an address
//! that the bot can call. Who has the token in the address may do what Slack and Discord may, to this process alone.

mod company;
mod operations;
mod platforms;

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use axum::routing::{any, get, post};
use ed25519_dalek::SigningKey;
use futures_util::{Stream, stream};
use include_dir::{Dir, include_dir};
use secrecy::SecretString;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::chat::slack::signature::SigningSecret;
use crate::config::Config;

pub use company::links;

use platforms::{File, Scheduled};

/// So many calls of the bot wait for a page that is slow.
const CALLS_AHEAD: usize = 256;

/// How often is looked whether the commands or the catalog changed.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// What a page may load and ask: what comes from here.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page itself: no step builds it.
static PAGE: Dir = include_dir!("$CARGO_MANIFEST_DIR/src/web/playground/page");

/// What stands for both platforms: their keys, and who listens to what the bot calls.
pub struct Playground {
    /// In the address of all that is here; 32 hexadecimal digits.
    token: String,
    address: SocketAddr,
    secret: SecretString,
    slack: SigningSecret,
    discord: SigningKey,
    /// What the bot uploads to Slack and has not shared yet, the latest last.
    files: Mutex<VecDeque<File>>,
    /// What the bot has Slack post later.
    scheduled: Mutex<Vec<Scheduled>>,
    /// What Acme's operations have done, by key.
    keys: Mutex<HashSet<String>>,
    /// The messages of the bot's in Discord below which there is a thread, the latest last.
    threads: Mutex<VecDeque<String>>,
    /// What the bot called: `{"platform", "method", "path", "body"}`.
    calls: broadcast::Sender<Value>,
}

/// What the routes need.
#[derive(Clone)]
struct Here {
    playground: Arc<Playground>,
    app: Arc<App>,
    /// The routes that Slack and Discord send to.
    adapters: Router,
    stop: CancellationToken,
}

impl Playground {
    /// With keys of its own, for a server at `address`.
    ///
    /// # Errors
    /// None: the keys are random.
    pub fn new(address: SocketAddr) -> anyhow::Result<Playground> {
        let secret = SecretString::from(hex::encode(rand::random::<[u8; 16]>()));
        Ok(Playground {
            token: hex::encode(rand::random::<[u8; 16]>()),
            address,
            slack: SigningSecret::new(&secret)?,
            secret,
            discord: SigningKey::from_bytes(&rand::random()),
            files: Mutex::default(),
            scheduled: Mutex::default(),
            keys: Mutex::default(),
            threads: Mutex::default(),
            calls: broadcast::Sender::new(CALLS_AHEAD),
        })
    }

    /// Where the page is.
    pub fn url(&self) -> String {
        format!("http://{}/playground/{}/", self.address, self.token)
    }

    /// Has the bot take this for Slack and for Discord.
    ///
    /// # Errors
    /// None: the addresses are whole.
    pub fn stand_in(&self, config: &mut Config) -> anyhow::Result<()> {
        let url = self.url();
        config.slack.signing_secret = Some(self.secret.clone());
        config.slack.bot_token = Some(SecretString::from(format!("xoxb-{}", self.token)));
        config.slack.app_token = None;
        config.slack.api_url = format!("{url}slack/api/").parse()?;
        config.discord.public_key = Some(hex::encode(self.discord.verifying_key().as_bytes()));
        config.discord.application_id = Some(platforms::APPLICATION_ID.into());
        config.discord.bot_token = Some(SecretString::from(self.token.clone()));
        config.discord.api_url = format!("{url}discord/api/").parse()?;
        Ok(())
    }

    /// The page and what it talks to, until `stop`; `adapters` are the routes of [`super::router`].
    pub fn router(
        self: Arc<Self>,
        app: Arc<App>,
        adapters: Router,
        stop: CancellationToken,
    ) -> Router {
        let here = Here { playground: self, app, adapters, stop };
        let routes = Router::new()
            .route("/", get(async || asset("index.html")))
            .route("/{asset}", get(async |path: Path<(String, String)>| asset(&path.1)))
            .route("/company", get(company::company))
            .route("/events", get(events))
            .route("/slack/{way}", post(platforms::slack))
            .route("/slack/api/{method}", get(platforms::slack_asked).post(platforms::slack_api))
            .route("/slack/upload/{id}", post(platforms::slack_upload))
            .route("/slack/respond/{id}", post(platforms::slack_respond))
            .route("/operations/{action}", post(operations::take))
            .route("/discord/interactions", post(platforms::discord))
            .route("/discord/api/{*path}", any(platforms::discord_api))
            .layer(from_fn(for_this_page_alone))
            .layer(from_fn_with_state(here.clone(), guard))
            .with_state(here);
        // Nested behind a slash: the page's own addresses are relative to it.
        Router::new().nest("/playground/{token}/", routes)
    }

    /// Tells the page what the bot called. Nobody listening is no error: nobody has the page open.
    fn tell(&self, platform: &str, method: &str, path: &str, body: Value) {
        let call = json!({ "platform": platform, "method": method, "path": path, "body": body });
        let _ = self.calls.send(call);
    }
}

/// A file of the page.
fn asset(name: &str) -> Response {
    let kind = match name.rsplit_once('.') {
        Some((_, "html")) => "text/html; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        _ => "text/javascript; charset=utf-8",
    };
    match PAGE.get_file(name) {
        Some(file) => ([(header::CONTENT_TYPE, kind)], file.contents()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Lets through who knows the token and asked for this machine by its own name: another site's page that had its name
/// point here does not.
async fn guard(
    State(here): State<Here>,
    path: Path<Vec<(String, String)>>,
    request: Request,
    next: Next,
) -> Response {
    let given = path.iter().find(|(name, _)| name == "token").map_or("", |(_, token)| token);
    let is_known = bool::from(given.as_bytes().ct_eq(here.playground.token.as_bytes()));
    let host = request.headers().get(header::HOST).and_then(|it| it.to_str().ok());
    let is_ours = host == Some(here.playground.address.to_string().as_str());
    match is_known && is_ours {
        true => next.run(request).await,
        false => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn for_this_page_alone(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What the bot calls, as it happens; and `changed` when commands or the catalog are others than before.
async fn events(State(here): State<Here>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let calls = here.playground.calls.subscribe();
    let seen = (here.app.commands.load_full(), here.app.catalog.snapshot());
    let events = stream::unfold((here, calls, seen), async |(here, mut calls, mut seen)| {
        loop {
            tokio::select! {
                () = here.stop.cancelled() => return None,
                call = calls.recv() => match call {
                    Ok(call) => {
                        let event = Event::default().event("call").data(call.to_string());
                        return Some((Ok(event), (here, calls, seen)));
                    }
                    // The page missed some; what comes next it can still show.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
                () = tokio::time::sleep(LOOK_EVERY) => {
                    let now = (here.app.commands.load_full(), here.app.catalog.snapshot());
                    let is_same = Arc::ptr_eq(&now.0, &seen.0)
                        && now.1.revision() == seen.1.revision();
                    seen = now;
                    if !is_same {
                        // A browser passes over an event without data.
                        let event = Event::default().event("changed").data("{}");
                        return Some((Ok(event), (here, calls, seen)));
                    }
                }
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}
