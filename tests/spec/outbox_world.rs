//! A platform that takes messages, and processes that post them, over one database.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use idp::app::App;
use idp::catalog::snapshot::Unread;
use idp::catalog::{Catalog, Snapshot};
use idp::chat::discord::client::DiscordApi;
use idp::chat::outbox::worker::{Outbox, Pauses};
use idp::chat::outbox::{Post, Priority, To, flow};
use idp::chat::slack::client::SlackApi;
use idp::chat::{discord, slack};
use idp::commands::CommandSet;
use idp::conversation::{Platform, Reply};
use idp::integrations::http::{Client, Policy};
use idp::vault::Key;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::database::{self, Fresh};
use crate::waiting::until;

/// Pauses that no test waits for.
pub const SHORT: Pauses = Pauses {
    between: Duration::from_millis(10),
    edits: Duration::from_millis(1),
    later: Duration::from_millis(10),
    away: Duration::from_millis(10),
    mend: Duration::from_millis(10),
    tidy: Duration::from_millis(20),
    write: Duration::from_millis(1_500),
};

/// Something that the platform was asked.
#[derive(Debug, Clone)]
pub struct Call {
    pub at: Instant,
    /// `chat.postMessage C1 below 1.5`, `POST channels/C1/messages below 1.5`
    pub call: String,
    pub channel: String,
    /// Whether a message was to be posted.
    pub posts: bool,
    /// The number of the message.
    pub number: Option<usize>,
    pub nonce: Option<String>,
}

/// What answers a call; `None`: as if nothing were wrong.
pub type Answering = Box<dyn FnMut(&Call) -> Option<Response> + Send>;

/// Slack, or Discord, as far as a bot that posts sees it.
pub struct Fake {
    pub platform: Platform,
    pub address: SocketAddr,
    state: Arc<Remembers>,
    open: Mutex<CancellationToken>,
}

struct Remembers {
    platform: Platform,
    calls: Mutex<Vec<Call>>,
    answering: Mutex<Answering>,
}

impl Fake {
    pub async fn start(platform: Platform) -> Fake {
        let state = Arc::new(Remembers {
            platform,
            calls: Mutex::default(),
            answering: Mutex::new(Box::new(|_| None)),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let fake = Fake { platform, address, state, open: Mutex::default() };
        fake.serve(listener);
        fake
    }

    fn serve(&self, listener: TcpListener) {
        let routes = Router::new().fallback(any(answer)).with_state(self.state.clone());
        let open = CancellationToken::new();
        *self.open.lock().unwrap() = open.clone();
        tokio::spawn(async move {
            let served = axum::serve(listener, routes).into_future();
            open.run_until_cancelled(served).await;
        });
    }

    /// Nobody listens there any more.
    pub async fn closes(&self) {
        self.open.lock().unwrap().cancel();
        let refused = async || tokio::net::TcpStream::connect(self.address).await.is_err();
        until("closed", refused, |it| *it).await;
    }

    pub async fn opens_again(&self) {
        self.serve(TcpListener::bind(self.address).await.unwrap());
    }

    /// From now on.
    pub fn answers(&self, answering: impl FnMut(&Call) -> Option<Response> + Send + 'static) {
        *self.state.answering.lock().unwrap() = Box::new(answering);
    }

    /// What it was asked since it was last asked this.
    pub fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.state.calls.lock().unwrap())
    }

    /// As [`Fake::calls`], to be read.
    pub fn told(&self) -> Vec<String> {
        self.calls().into_iter().map(|it| it.call).collect()
    }
}

async fn answer(
    State(state): State<Arc<Remembers>>,
    method: Method,
    uri: Uri,
    body: String,
) -> Response {
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    let path = uri.path().trim_start_matches("/api/").trim_start_matches("v10/");
    let text = |value: &Value| value.as_str().map(str::to_string);
    let (call, channel, posts) = match state.platform {
        Platform::Discord => {
            let channel = path.split('/').nth(1).unwrap_or_default().to_string();
            let below = text(&body["message_reference"]["message_id"]);
            let posts = path.ends_with("/messages");
            (said(format!("{method} {path}"), below), channel, posts)
        }
        _ => {
            let channel = text(&body["channel"]).unwrap_or_default();
            let call = match path {
                "auth.test" | "conversations.info" => path.to_string(),
                _ => format!("{path} {channel}"),
            };
            (said(call, text(&body["thread_ts"])), channel, path.starts_with("chat."))
        }
    };
    let number = body.to_string().split_once("numbered").and_then(|(_, after)| {
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    let nonce = text(&body["nonce"]);
    let call = Call { at: Instant::now(), call, channel, posts, number, nonce };
    let answered = (state.answering.lock().unwrap())(&call);
    state.calls.lock().unwrap().push(call);
    let usual = || match (state.platform, path) {
        (Platform::Discord, "users/@me/channels") => {
            json!({ "id": format!("D-{}", body["recipient_id"].as_str().unwrap_or_default()) })
        }
        (Platform::Discord, _) => json!({ "id": "9" }),
        _ => json!({ "ok": true, "channel": "C", "ts": "1.7", "team_id": "T1", "user_id": "U9" }),
    };
    answered.unwrap_or_else(|| axum::Json(usual()).into_response())
}

fn said(call: String, below: Option<String>) -> String {
    match below {
        Some(below) => format!("{call} below {below}"),
        None => call,
    }
}

/// The platform asks to wait.
pub fn limited(seconds: u64) -> Response {
    let body = json!({ "message": "slow down", "retry_after": seconds, "global": true });
    let headers = [("retry-after", seconds.to_string())];
    (StatusCode::TOO_MANY_REQUESTS, headers, body.to_string()).into_response()
}

/// A database, and an app over it, which has nothing to answer.
pub struct Office {
    pub fresh: Fresh,
    pub app: Arc<App>,
    pub stop: CancellationToken,
    /// The processes that post.
    kept: TaskTracker,
}

impl Office {
    pub async fn open() -> Office {
        let fresh = database::fresh().await;
        let http = Client::new(Policy { loopback: true, ..Policy::default() });
        let app = App::new(
            Catalog::new(Snapshot::unread(Unread::NoAnswer)),
            CommandSet::built_in(),
            crate::asking::open(),
            Some(fresh.db.clone()),
            http,
            Key::random(),
        );
        let (stop, kept) = (CancellationToken::new(), TaskTracker::new());
        Office { fresh, app: Arc::new(app), stop, kept }
    }

    /// All processes stop, by `stop`; they have taken nothing that they do not send.
    pub async fn stops(&self, stop: &CancellationToken) {
        stop.cancel();
        self.kept.close();
        self.kept.wait().await;
        self.kept.reopen();
    }

    /// A process that posts to `fake` what waits; what it has in common with others is the database.
    pub fn process(&self, fake: &Fake, pauses: Pauses) -> Process {
        self.process_until(fake, pauses, &self.stop)
    }

    /// As [`Office::process`], until `stop`.
    pub fn process_until(&self, fake: &Fake, pauses: Pauses, stop: &CancellationToken) -> Process {
        self.process_until_at(fake.platform, fake.address, pauses, stop)
    }

    /// As [`Office::process`], to who stands for `platform` at `address`.
    pub fn process_at(&self, platform: Platform, address: SocketAddr, pauses: Pauses) -> Process {
        self.process_until_at(platform, address, pauses, &self.stop)
    }

    /// As [`Office::process_at`], until `stop`.
    pub fn process_until_at(
        &self,
        platform: Platform,
        address: SocketAddr,
        pauses: Pauses,
        stop: &CancellationToken,
    ) -> Process {
        let (app, token) = (self.app.clone(), Some(SecretString::from("xoxb-of-the-world")));
        match platform {
            Platform::Discord => {
                let url = format!("http://{address}/api/v10/").parse().unwrap();
                let api = DiscordApi::new(&url, "8", token, &[]).unwrap();
                let it = discord::dispatcher::Dispatcher::new(app, api, TaskTracker::new());
                let it = Arc::new(it.pausing(pauses));
                self.kept.spawn(it.outbox().keep(it.clone(), stop.clone()));
                Process::Discord(it)
            }
            _ => {
                let url = format!("http://{address}/api/").parse().unwrap();
                let api = SlackApi::new(&url, token, &[]).unwrap();
                let it = slack::dispatcher::Dispatcher::new(app, api, TaskTracker::new());
                let it = Arc::new(it.pausing(pauses));
                self.kept.spawn(it.outbox().keep(it.clone(), stop.clone()));
                Process::Slack(it)
            }
        }
    }

    /// `posts` are written down, as with what they announce.
    pub async fn enqueues(&self, posts: &[Post]) {
        for some in posts.chunks(500) {
            let mut tx = self.fresh.pool.begin().await.unwrap();
            flow::enqueue(&mut tx, some).await.unwrap();
            tx.commit().await.unwrap();
        }
    }

    /// How many posts wait.
    pub async fn waiting(&self) -> i64 {
        let count = "select count(*) from idp.outbox where done_at is null";
        sqlx::query_scalar(count).fetch_one(&self.fresh.pool).await.unwrap()
    }

    /// What became of the post of this `key`: the id of its message, or why there is none.
    pub async fn end_of(&self, key: &str) -> Result<String, String> {
        let ended =
            "select message_id, failure from idp.outbox where key = $1 and done_at is not null";
        let look = async || {
            let row: Option<(Option<String>, Option<String>)> =
                sqlx::query_as(ended).bind(key).fetch_optional(&self.fresh.pool).await.unwrap();
            row
        };
        let (sent, failure) = until("the end of a message", look, Option::is_some).await.unwrap();
        sent.ok_or_else(|| failure.unwrap())
    }

    /// The time of the post of this `key` has run out.
    pub async fn runs_out(&self, key: &str) {
        let late =
            "update idp.outbox set expires_at = clock_timestamp(), tried_at = null where key = $1";
        sqlx::query(late).bind(key).execute(&self.fresh.pool).await.unwrap();
    }

    /// Whoever was sending is dead since `ago_s`.
    pub async fn dies_while_sending(&self, key: &str, ago_s: f64) {
        let dead = "update idp.outbox
                    set attempts = 1, tried_at = clock_timestamp() - make_interval(secs => $2)
                    where key = $1";
        sqlx::query(dead).bind(key).bind(ago_s).execute(&self.fresh.pool).await.unwrap();
    }

    /// So many seconds pass for what waits, and its turn comes.
    pub async fn passes(&self, seconds: f64) {
        for passing in [
            "update idp.outbox set not_before = clock_timestamp(), tried_at = tried_at - make_interval(secs => $1)",
            "update idp.outbox_pause set until = until - make_interval(secs => $1)",
            "update idp.outbox_lane set next_at = least(next_at - make_interval(secs => $1), clock_timestamp())",
        ] {
            sqlx::query(passing).bind(seconds).execute(&self.fresh.pool).await.unwrap();
        }
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[derive(Clone)]
pub enum Process {
    Slack(Arc<slack::dispatcher::Dispatcher>),
    Discord(Arc<discord::dispatcher::Dispatcher>),
}

impl Process {
    /// `post` is posted, at once where it can be.
    pub async fn posts(&self, post: Post) {
        match self {
            Process::Slack(it) => it.outbox().post(it, post, None).await,
            Process::Discord(it) => it.outbox().post(it, post, None).await,
        }
    }

    pub fn outbox(&self) -> Arc<Outbox> {
        match self {
            Process::Slack(it) => it.outbox(),
            Process::Discord(it) => it.outbox(),
        }
    }
}

/// The message of this number, for everybody in `channel`, below a message; whoever it is for is `U-of-…`.
pub fn message(platform: Platform, channel: &str, number: usize) -> Post {
    Post {
        platform,
        tenant: "T1".into(),
        key: format!("key-{number}"),
        priority: Priority::Answer,
        to: To {
            channel: channel.into(),
            thread: Some("1.5".into()),
            person: Some(format!("U-of-{channel}")),
            ..To::default()
        },
        reply: Reply::markdown(format!("This is numbered{number}.")),
        after: Duration::ZERO,
    }
}
