//! People who ask for actions and approve them in a Slack of ours, and receivers that count what they do.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use idp::chat::slack::signature::SigningSecret;
use idp::postgres::cluster::{self, Cluster};
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::home::{Home, succeed, write};
use crate::invocation_world::{self, TOKEN, Vendor};

const SECRET: &str = "5b1d3c8e0f9a47d2b6e4c1a098f7d635";
/// How long anything may take that must happen.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// How often a control is tried: what had been sent may be reported before it is sent again.
pub const TRIES: usize = 10;
/// Seldom, since dozens of people look at a time, and each look is answered by what is tried.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often a receiver takes up what was sent to it.
const WORKS_EVERY: Duration = Duration::from_millis(80);
/// Slack hangs up after this.
const SLACK_WAITS: Duration = Duration::from_secs(3);

pub const ASKER: &str = "U0ADA";
pub const OWNER: &str = "U0BEA";

/// What happens at a receiver when an answer is lost, and the action that is for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Idempotent,
    Searchable,
    Redeem,
    Blind,
}

impl Class {
    pub const ALL: [Class; 4] = [Class::Idempotent, Class::Searchable, Class::Redeem, Class::Blind];

    pub fn word(self) -> &'static str {
        match self {
            Class::Idempotent => "idempotent",
            Class::Searchable => "searchable",
            Class::Redeem => "redeem",
            Class::Blind => "blind",
        }
    }

    fn file(self, hooks: SocketAddr, receivers: Receivers) -> String {
        let invoke = match self {
            Class::Idempotent => format!("{{webhook: \"http://{hooks}/starts\", secret: ops}}"),
            Class::Blind if receivers == Receivers::Careless => {
                format!("{{webhook: \"http://{hooks}/does\", secret: ops}}")
            }
            Class::Blind => {
                format!("{{webhook: \"http://{hooks}/does\", secret: ops, blind: true}}")
            }
            Class::Searchable => "{github: acme/api, workflow: run.yml, ref: main, \
                                  inputs: {reason: \"{{inputs.reason}}\"}}"
                .into(),
            Class::Redeem => "{github: acme/api, workflow: run.yml, ref: main, redeem: true, \
                              inputs: {reason: \"{{inputs.reason}}\"}}"
                .into(),
        };
        format!(
            "name: {word}\ntitle: Do it\ntarget: {{kinds: [Component]}}\n\
             inputs:\n  - {{name: reason, title: Why}}\n\
             risk: low\nat_once: any\napprove: {{by: [owner], within: 4h}}\ninvoke: {invoke}\n",
            word = self.word()
        )
    }
}

/// What becomes of something that receivers are sent twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receivers {
    /// They are as their action says they are.
    Careful,
    /// The control. They are not: keys are forgotten, runs are not listed, who may not redeem goes on all the same, and
    /// what is blind is said to know keys.
    Careless,
}

/// A webhook that does things, by what it was told as the reason.
#[derive(Clone)]
pub struct Hooks(Arc<Done>);

#[derive(Default)]
struct Done {
    /// How often something was sent for each reason.
    sent: Mutex<BTreeMap<String, usize>>,
    /// With which keys something was done for each reason.
    keys: Mutex<BTreeMap<String, Vec<String>>>,
    /// The addresses at which it is still to be told that something is done.
    told: Mutex<Vec<String>>,
    forgets_keys: bool,
}

impl Hooks {
    async fn start(receivers: Receivers) -> (Hooks, SocketAddr) {
        let forgets_keys = receivers == Receivers::Careless;
        let hooks = Hooks(Arc::new(Done { forgets_keys, ..Done::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new()
            .route("/starts", post(Hooks::starts))
            .route("/does", post(Hooks::does))
            .with_state(hooks.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        (hooks, address)
    }

    /// It is done once for each key, and says later that it is.
    async fn starts(State(hooks): State<Hooks>, headers: HeaderMap, body: Bytes) -> Response {
        let body = hooks.takes(&headers, &body, true);
        hooks.0.told.lock().unwrap().push(body["callback"].as_str().unwrap().to_string());
        StatusCode::ACCEPTED.into_response()
    }

    /// It is done each time.
    async fn does(State(hooks): State<Hooks>, headers: HeaderMap, body: Bytes) -> Response {
        hooks.takes(&headers, &body, false);
        axum::Json(json!({ "status": "succeeded" })).into_response()
    }

    fn takes(&self, headers: &HeaderMap, body: &[u8], knows_keys: bool) -> Value {
        let body: Value = serde_json::from_slice(body).unwrap();
        let reason = body["inputs"]["reason"].as_str().unwrap().to_string();
        let key = headers["idempotency-key"].to_str().unwrap().to_string();
        *self.0.sent.lock().unwrap().entry(reason.clone()).or_default() += 1;
        let mut keys = self.0.keys.lock().unwrap();
        let keys = keys.entry(reason).or_default();
        if !knows_keys || self.0.forgets_keys || !keys.contains(&key) {
            keys.push(key);
        }
        body
    }

    /// How often it was done for `reason`.
    fn runs(&self, reason: &str) -> usize {
        self.0.keys.lock().unwrap().get(reason).map_or(0, Vec::len)
    }

    /// How often more was sent than there were reasons.
    pub fn resent(&self) -> usize {
        self.0.sent.lock().unwrap().values().map(|it| it - 1).sum()
    }
}

/// A Slack that shows messages.
#[derive(Clone)]
pub struct Slack(Arc<Shown>);

#[derive(Default)]
struct Shown {
    next: AtomicUsize,
    /// What stands in each channel, by its time stamp.
    messages: Mutex<BTreeMap<String, BTreeMap<String, Value>>>,
    /// What whoever clicked was told, by the click.
    told: Mutex<BTreeMap<String, String>>,
}

impl Slack {
    async fn start() -> (Slack, SocketAddr) {
        let slack = Slack(Arc::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().fallback(any(Slack::called)).with_state(slack.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        (slack, address)
    }

    async fn called(State(slack): State<Slack>, uri: Uri, body: String) -> Response {
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        let channel = body["channel"].as_str().unwrap_or_default().to_string();
        let shown = &slack.0;
        if let Some(click) = uri.path().strip_prefix("/respond/") {
            shown.told.lock().unwrap().insert(click.to_string(), body.to_string());
        }
        let answer = match uri.path().trim_start_matches("/api/") {
            "chat.postMessage" => {
                let ts = format!(
                    "{}.000100",
                    1_700_000_000 + shown.next.fetch_add(1, Ordering::Relaxed)
                );
                let mut messages = shown.messages.lock().unwrap();
                messages.entry(channel.clone()).or_default().insert(ts.clone(), body);
                json!({ "ok": true, "channel": channel, "ts": ts, "message": {} })
            }
            "chat.update" => {
                let ts = body["ts"].as_str().unwrap_or_default().to_string();
                let mut messages = shown.messages.lock().unwrap();
                messages.entry(channel.clone()).or_default().insert(ts.clone(), body);
                json!({ "ok": true, "channel": channel, "ts": ts, "text": "" })
            }
            "conversations.info" => json!({ "ok": true, "channel": {
                "id": channel, "is_ext_shared": false, "is_shared": false } }),
            _ => json!({ "ok": true, "team_id": "T1", "user_id": "U9", "bot_id": "B9",
                "channel": channel, "message_ts": "1.5", "ts": "1.5" }),
        };
        axum::Json(answer).into_response()
    }

    /// What whoever made `click` was told.
    fn told(&self, click: &str) -> Option<String> {
        self.0.told.lock().unwrap().get(click).cloned()
    }

    /// The cards that stand in `channel`, the oldest first.
    fn cards(&self, channel: &str) -> Vec<String> {
        let messages = self.0.messages.lock().unwrap();
        let here = messages.get(channel).into_iter().flat_map(BTreeMap::values);
        let cards = here.filter(|it| it["thread_ts"].is_null());
        let cards = cards.map(|it| it["blocks"].to_string());
        cards.filter(|it| it.contains("Request ")).collect()
    }

    /// The words of the button for `command` of the newest card in `channel`.
    pub fn button(&self, channel: &str, command: &str) -> Option<String> {
        let card = self.cards(channel).pop()?;
        let from = card.find(&format!("\"value\":\"{command}"))? + "\"value\":\"".len();
        Some(card[from..].split('"').next()?.to_string())
    }
}

/// An `idp serve`, which ends with whoever started it.
pub struct Process(pub Child);

impl Process {
    /// How it ended, where it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already, where it ended itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct World {
    pub home: Home,
    pub slack: Slack,
    pub hooks: Hooks,
    pub vendor: Arc<Vendor>,
    /// By reason: how many runs of a workflow have worked.
    pub worked: Mutex<BTreeMap<String, Vec<String>>>,
    receivers: Receivers,
    slack_at: SocketAddr,
    _github: invocation_world::Server,
    next: AtomicUsize,
    /// How many clicks were answered with that they do not count.
    pub told_in_vain: AtomicUsize,
}

/// Where the people of a world reach idp, and where its truth lies.
#[derive(Clone)]
pub struct Way {
    pub idp: SocketAddr,
    pub db: PgPool,
}

/// What became of one request.
#[derive(Debug, Clone)]
#[expect(dead_code, reason = "a test that fails tells all of it")]
pub struct Story {
    pub reason: String,
    pub id: i64,
    pub class: Class,
    pub state: String,
    /// How often it was done.
    pub runs: usize,
    /// How many cards stand in the channel.
    pub cards: usize,
    /// Whether one of them shows how it ended.
    pub is_shown: bool,
}

impl World {
    /// `public` is where `receivers` reach idp.
    pub async fn open(public: SocketAddr, receivers: Receivers) -> World {
        let home = Home::new();
        let (slack, slack_at) = Slack::start().await;
        let (hooks, hooks_at) = Hooks::start(receivers).await;
        let (vendor, github) = Vendor::start().await;
        if receivers == Receivers::Careless {
            vendor.state.lock().unwrap().lag = usize::MAX;
        }
        write(home.path().join("ops.secret"), "a secret of operations");
        write(home.path().join("github.token"), TOKEN);
        let settings = format!(
            "sources: [{{path: catalog}}]\npublic_url: http://{public}\n\
             allowed_hosts: [\"{hooks_at}\", \"{github}\"]\n\
             secrets: {{ops: {{file: {dir}/ops.secret}}}}\n\
             integrations: {{github: {{url: \"http://{github}\", token: {{file: {dir}/github.token}}}}}}\n",
            github = github.address,
            dir = home.path().display(),
        );
        write(home.path().join("portal/idp.yaml"), &settings);
        for class in Class::ALL {
            let file = format!("portal/actions/{}.yaml", class.word());
            write(home.path().join(file), &class.file(hooks_at, receivers));
        }
        let user = |name: &str, team: &str| {
            format!(
                "apiVersion: backstage.io/v1alpha1\nkind: User\nmetadata: {{name: {name}}}\n\
                 spec: {{memberOf: [{team}]}}\n---\n"
            )
        };
        let group = |name: &str| {
            format!(
                "apiVersion: backstage.io/v1alpha1\nkind: Group\nmetadata: {{name: {name}}}\n\
                 spec: {{type: team, children: []}}\n---\n"
            )
        };
        let catalog = [
            user("ada", "guests"),
            user("bea", "owners"),
            group("guests"),
            group("owners"),
            "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: api}\n\
             spec: {type: service, lifecycle: production, owner: owners}\n"
                .into(),
        ];
        write(home.path().join("portal/catalog/catalog-info.yaml"), &catalog.concat());
        let links = "- {platform: slack, tenant: T1, user_id: U0ADA, user: ada}\n\
                     - {platform: slack, tenant: T1, user_id: U0BEA, user: bea}\n";
        write(home.path().join("links.yaml"), links);
        World {
            home,
            slack,
            hooks,
            vendor,
            worked: Mutex::default(),
            receivers,
            slack_at,
            _github: github,
            next: AtomicUsize::new(0),
            told_in_vain: AtomicUsize::new(0),
        }
    }

    /// The database of the world, with its catalog and who is who, and its address.
    pub async fn database(&self) -> (Cluster, String) {
        succeed(self.home.idp(&["migrate"]));
        let (started, connection) = self.home.quiet_database().await;
        drop(connection);
        self.knows_people(None);
        let mut url = cluster::url(&self.home.private()).unwrap();
        url.set_path("idp");
        (started, url.to_string())
    }

    /// The catalog and who is who are in the database at `url`, or else in the world's own.
    pub fn knows_people(&self, url: Option<&str>) {
        for arguments in [
            &["catalog", "import", "--portal", "portal", "portal/catalog"][..],
            &["access", "import", "links.yaml"],
        ] {
            let mut idp = self.home.idp(arguments);
            idp.envs(url.map(|url| ("DATABASE_URL", url)));
            succeed(idp);
        }
    }

    /// `idp serve` at `listen` over the database at `url`, with `more` in its environment.
    pub fn serve(&self, listen: SocketAddr, url: &str, more: &[(&str, &str)]) -> Process {
        let listen = listen.to_string();
        let mut serve: Command =
            self.home.idp(&["serve", "--portal", "portal", "--listen", &listen]);
        serve
            .env("DATABASE_URL", url)
            .env("SLACK_API_URL", format!("http://{}/api/", self.slack_at))
            .env("SLACK_SIGNING_SECRET", SECRET)
            .env("SLACK_BOT_TOKEN", "xoxb-of-the-world")
            .envs(more.iter().copied())
            .stdout(Stdio::null())
            .stderr(self.log());
        Process(serve.spawn().unwrap())
    }

    /// What all processes log, in one file.
    fn log(&self) -> File {
        File::options().create(true).append(true).open(self.home.path().join("log")).unwrap()
    }

    pub fn logged(&self) -> String {
        let log = std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(40).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Slack is told that `who` types `text`; what it is answered.
    pub async fn types(&self, way: &Way, who: &str, channel: &str, text: &str) -> Option<String> {
        let trigger = self.number().to_string();
        let form = [
            ("command", "/idp"),
            ("text", text),
            ("team_id", "T1"),
            ("channel_id", channel),
            ("channel_name", "general"),
            ("user_id", who),
            ("trigger_id", &trigger),
            ("response_url", &format!("http://{}/respond/{trigger}", self.slack_at)),
        ];
        sends(way.idp, "/slack/commands", &serde_urlencoded::to_string(form).unwrap()).await
    }

    /// `who` clicks the button of `words`; the click, where it was acknowledged.
    pub async fn clicks(&self, way: &Way, who: &str, channel: &str, words: &str) -> Option<String> {
        let trigger = self.number().to_string();
        let payload = json!({
            "type": "block_actions", "trigger_id": trigger,
            "team": { "id": "T1" }, "user": { "id": who, "team_id": "T1" },
            "channel": { "id": channel, "name": "general" },
            "container": { "message_ts": "1.5" },
            "response_url": format!("http://{}/respond/{trigger}", self.slack_at),
            "actions": [{ "type": "button", "action_id": "idp:0", "value": words }],
        });
        let body = serde_urlencoded::to_string([("payload", payload.to_string())]).unwrap();
        sends(way.idp, "/slack/interactions", &body).await.map(|_| trigger)
    }

    pub fn number(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// One request of `class`, from its question to its end, whatever happens to idp meanwhile: whoever is not
    /// answered tries again, and whoever is answered does not.
    pub async fn story(&self, way: &Way, class: Class) -> Story {
        let number = self.number();
        let (reason, channel) = (format!("reason-{number}"), format!("C{number}"));
        let id = self.asks(way, class, &reason, &channel).await;
        self.approves(way, id, &channel).await;
        let state = self.ends(way, id, &reason, class, &channel).await;
        let what = format!("card of {id} as {state}");
        let is_shown = self.sooner_or_later(&what, async || {
            let shown = self.slack.cards(&channel).iter().any(|it| it.contains(&state));
            if shown { Some(true) } else { self.is_given_up(way, id).await.then_some(false) }
        });
        let is_shown = is_shown.await;
        let cards = self.slack.cards(&channel).len();
        let runs = self.runs(&reason, class);
        Story { reason, id, class, state, runs, cards, is_shown }
    }

    /// Whether the card of a request is posted no more: its post was lost three times on its way, and is there as often.
    async fn is_given_up(&self, way: &Way, id: i64) -> bool {
        let failed = "select exists (
                        select from idp.card
                        where key = $1 and message_id is null and failure is not null and done_version = version)";
        let asked = sqlx::query_scalar(failed).bind(format!("request {id}"));
        asked.fetch_one(&way.db).await.unwrap_or(false)
    }

    /// As [`story`](World::story), where the database may forget what was acknowledged: people look at what it has, and
    /// do again what is missing; but nobody asks again for what a receiver has done.
    pub async fn stubborn(&self, way: &Way, class: Class) -> Story {
        let number = self.number();
        let (reason, channel) = (format!("reason-{number}"), format!("C{number}"));
        let of = "select request.id, request.state, coalesce(execution.state, '')
                  from idp.request left join idp.execution on execution.request = request.id
                  where inputs->>'reason' = $1 order by request.id desc limit 1";
        let (id, state) = self
            .sooner_or_later(&format!("end of {reason}"), async || {
                let found = sqlx::query_as::<_, (i64, String, String)>(of).bind(&reason);
                let found = found.fetch_optional(&way.db).await.ok()?;
                let Some((id, state, progress)) = found else {
                    if self.runs(&reason, class) > 0 {
                        return Some((0, "forgotten".to_string()));
                    }
                    let ask = format!("run {} api reason={reason}", class.word());
                    self.types(way, ASKER, &channel, &ask).await;
                    return None;
                };
                match (state.as_str(), progress.as_str()) {
                    ("pending", _) => {
                        self.types(way, OWNER, &channel, &format!("approve {id}")).await;
                        None
                    }
                    ("approved", "unknown") => {
                        let what = if self.runs(&reason, class) > 0 { "ran" } else { "lost" };
                        self.types(way, OWNER, &channel, &format!("requests {what} {id}")).await;
                        None
                    }
                    ("approved", "succeeded" | "failed") => Some((id, progress)),
                    ("approved", _) => None,
                    (state, _) => panic!("request {id} is {state}"),
                }
            })
            .await;
        let runs = self.runs(&reason, class);
        Story { reason, id, class, state, runs, cards: 1, is_shown: true }
    }

    /// Asks until that is answered with the request; what was answered is there.
    pub async fn asks(&self, way: &Way, class: Class, reason: &str, channel: &str) -> i64 {
        let text = format!("run {} api reason={reason}", class.word());
        let of = "select id from idp.request where inputs->>'reason' = $1";
        let mut is_said = false;
        self.sooner_or_later(&format!("request {reason}"), async || {
            if !is_said {
                let answer = self.types(way, ASKER, channel, &text).await;
                is_said = answer.is_some_and(|it| it.contains("Request "));
            }
            sqlx::query_scalar(of).bind(reason).fetch_optional(&way.db).await.ok()?
        })
        .await
    }

    /// Who asked takes the request back: of one person only so many may wait.
    pub async fn takes_back(&self, way: &Way, id: i64, channel: &str) {
        let is_over = "select state <> 'pending' from idp.request where id = $1";
        self.sooner_or_later(&format!("end of {id}, taken back"), async || {
            self.types(way, ASKER, channel, &format!("cancel {id}")).await;
            let is_over = sqlx::query_scalar::<_, bool>(is_over).bind(id);
            is_over.fetch_one(&way.db).await.ok()?.then_some(())
        })
        .await;
    }

    /// The owner clicks until a click is acknowledged. What was acknowledged counts, unless they are told that it does
    /// not: then they click again.
    pub async fn approves(&self, way: &Way, id: i64, channel: &str) {
        let button = format!("approve {id}");
        // It names the request by its number and the digits of its intent.
        let what = format!("card of {id}");
        let words = self.sooner_or_later(&what, async || {
            let words = self.slack.button(channel, &button);
            match words.is_none() && self.is_given_up(way, id).await {
                true => Some(button.clone()),
                false => words,
            }
        });
        let words = words.await;
        let is_there = "select exists (select from idp.vote where request = $1)";
        let voted =
            async || sqlx::query_scalar::<_, bool>(is_there).bind(id).fetch_one(&way.db).await.ok();
        let mut clicked = None;
        self.sooner_or_later(&format!("vote on {id} that was acknowledged"), async || {
            if clicked.is_none() {
                clicked = self.clicks(way, OWNER, channel, &words).await;
            }
            // Told before looked: what is there by then was there when they were told.
            let told = clicked.as_ref().and_then(|it| self.slack.told(it));
            match voted().await {
                Some(true) => Some(()),
                Some(false) if told.is_some() => {
                    self.told_in_vain.fetch_add(1, Ordering::Relaxed);
                    clicked = None;
                    None
                }
                _ => None,
            }
        })
        .await;
    }

    /// What became of it in the end; a person looks where nobody else knows.
    async fn ends(&self, way: &Way, id: i64, reason: &str, class: Class, channel: &str) -> String {
        let how = "select state from idp.execution where request = $1";
        self.sooner_or_later(&format!("end of {id}"), async || {
            let state: String =
                sqlx::query_scalar(how).bind(id).fetch_optional(&way.db).await.ok()??;
            if state == "unknown" {
                let what = if self.runs(reason, class) > 0 { "ran" } else { "lost" };
                self.types(way, OWNER, channel, &format!("requests {what} {id}")).await;
            }
            ["succeeded", "failed", "void"].contains(&state.as_str()).then_some(state)
        })
        .await
    }

    /// How often what was asked for was done.
    pub fn runs(&self, reason: &str, class: Class) -> usize {
        match class {
            Class::Idempotent | Class::Blind => self.hooks.runs(reason),
            _ => self.worked.lock().unwrap().get(reason).map_or(0, Vec::len),
        }
    }

    /// What `look` gives at last.
    pub async fn sooner_or_later<T>(
        &self,
        what: &str,
        mut look: impl AsyncFnMut() -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(Instant::now() < deadline, "never: {what}\n{}", self.logged());
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until nothing that was begun is open at a receiver.
    pub async fn receivers_are_done(&self) {
        let is_open = || {
            let state = self.vendor.state.lock().unwrap();
            let has_told = self.hooks.0.told.lock().unwrap().is_empty();
            state.runs.iter().any(|run| run.status == "queued") || !has_told
        };
        self.sooner_or_later("the end of what runs", async || (!is_open()).then_some(())).await;
    }

    /// Receivers work: runs of workflows begin, redeem and end, and webhooks tell that they are done. Until it is dropped.
    pub async fn receivers_work(&self, way: &Way) {
        loop {
            let told = std::mem::take(&mut *self.hooks.0.told.lock().unwrap());
            for callback in told {
                let path = callback[callback.find("/api/").unwrap()..].to_string();
                let said = "{\"status\": \"succeeded\"}";
                // Too late is an answer, too.
                let answered = asks_json(way.idp, &path, said).await;
                if !matches!(answered, Some(200 | 409)) {
                    self.hooks.0.told.lock().unwrap().push(callback);
                }
            }
            let runs: Vec<(usize, Value)> = {
                let state = self.vendor.state.lock().unwrap();
                let queued = state.runs.iter().filter(|run| run.status == "queued");
                queued.map(|run| (run.id, run.inputs.clone())).collect()
            };
            for (id, inputs) in runs {
                let reason = inputs["reason"].as_str().unwrap().to_string();
                let goes_on = match inputs["idp_redeem"].as_str() {
                    None => Some(true),
                    Some(token) => {
                        let body = json!({ "token": token, "run_id": id.to_string() }).to_string();
                        match asks_json(way.idp, "/api/v1/redeem", &body).await {
                            Some(200) => Some(true),
                            Some(409) => Some(self.receivers == Receivers::Careless),
                            _ => None,
                        }
                    }
                };
                let Some(goes_on) = goes_on else { continue };
                if goes_on {
                    let mut worked = self.worked.lock().unwrap();
                    worked.entry(reason).or_default().push(id.to_string());
                }
                let mut state = self.vendor.state.lock().unwrap();
                let run = state.runs.iter_mut().find(|run| run.id == id).unwrap();
                run.status = "completed".into();
                run.conclusion = Some(if goes_on { "success" } else { "failure" }.into());
            }
            sleep(WORKS_EVERY).await;
        }
    }
}

/// What waits for no process waits no longer: the pace of edits, the next look at what runs, the listing of a receiver.
const TIME_PASSES: [&str; 4] = [
    "update idp.step set sent_at = sent_at - interval '2 minutes'
     where state = 'sending' and sent_at > clock_timestamp() - interval '1 minute'",
    "update idp.outbox_lane set next_at = clock_timestamp() where lane = 'edits'",
    "update idp.execution set next_at = clock_timestamp()
     where ended_at is null and lease_owner is null and next_at > clock_timestamp()",
    "update idp.card set not_before = clock_timestamp() where not_before > clock_timestamp()",
];

/// What the dead have held they hold no more, as if the longest of their leases had passed.
pub const THE_DEAD_LET_GO: [&str; 5] = [
    "update idp.inbox set lease_until = clock_timestamp() where done_at is null",
    "update idp.execution set lease_until = clock_timestamp() where lease_owner is not null and ended_at is null",
    "update idp.outbox_lane set next_at = clock_timestamp()",
    "update idp.outbox set not_before = clock_timestamp() where done_at is null",
    "update idp.card set held_until = clock_timestamp() where held_until > clock_timestamp()",
];

/// Nobody waits for the pace of things. Until it is dropped.
pub async fn time_passes(db: &PgPool) {
    loop {
        // Where the database is away no time passes.
        let _ = each(db, &TIME_PASSES).await;
        sleep(Duration::from_millis(200)).await;
    }
}

/// What dead processes have held they hold no more, and what they had sent to the database is through.
pub async fn the_dead_let_go(db: &PgPool) {
    let deadline = Instant::now() + PATIENCE;
    let theirs = "select exists (select from pg_stat_activity where application_name = 'idp')";
    while sqlx::query_scalar(theirs).fetch_one(db).await.unwrap() {
        assert!(Instant::now() < deadline, "a session of a dead process stays");
        sleep(Duration::from_millis(10)).await;
    }
    each(db, &THE_DEAD_LET_GO).await.unwrap();
}

/// Each of `statements`, again where another has what it needs.
pub async fn each(db: &PgPool, statements: &[&'static str]) -> sqlx::Result<()> {
    for statement in statements {
        while let Err(error) = sqlx::query(*statement).execute(db).await {
            let code = error.as_database_error().and_then(|it| it.code());
            if code.as_deref() != Some("40P01") {
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Runs `test` to its end, in a runtime of its own: what it waits for holds nothing else up.
pub fn alone(test: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(test);
}

/// The body of the answer with 200 to what Slack sends, signed now; `None`: there was none within its three seconds.
pub async fn sends(to: SocketAddr, path: &str, body: &str) -> Option<String> {
    let secret = SigningSecret::new(&SecretString::from(SECRET)).unwrap();
    let now_s = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    let headers = format!(
        "content-type: application/x-www-form-urlencoded\r\nx-slack-request-timestamp: {now_s}\r\n\
         x-slack-signature: {}\r\n",
        secret.sign(now_s, body.as_bytes())
    );
    let (status, body) = request(to, path, &headers, body).await?;
    (status == 200).then_some(body)
}

async fn asks_json(to: SocketAddr, path: &str, body: &str) -> Option<u16> {
    let headers = "content-type: application/json\r\n";
    request(to, path, headers, body).await.map(|(status, _)| status)
}

async fn request(to: SocketAddr, path: &str, headers: &str, body: &str) -> Option<(u16, String)> {
    let text = format!(
        "POST {path} HTTP/1.1\r\nhost: idp\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let exchange = async {
        let mut stream = TcpStream::connect(to).await.ok()?;
        stream.write_all(text.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let answer = String::from_utf8(answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_string()))
    };
    timeout(SLACK_WAITS, exchange).await.ok()?
}
