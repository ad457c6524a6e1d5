//! Receivers that actions start things at: a server that answers as badly as one asks it to, and GitHub, GitLab and Argo CD
//! behind it. Every request is held against the vendor's own description of its API.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use idp::actions::invoke::{self, Kind, Known};
use idp::catalog::formats::fields::{self, Fields};
use idp::config::SecretReference;
use idp::integrations::github::{Access, GitHub, Tokens};
use idp::integrations::http::{Client, Policy};
use idp::integrations::invocation::{Means, Order, Receiver, Target};
use idp::integrations::{Api, Integrations};
use jsonschema::Validator;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What must never be read in a message.
pub const TOKEN: &str = "canary-of-the-token-7f3a";
pub const SECRET: &str = "canary-of-the-secret-19bc";
pub const REDEEM: &str = "canary-of-the-redeem-5d21";
/// What a GitHub App is given.
pub const APP_TOKEN: &str = "canary-of-the-installation-e81c";
/// What `main` points at.
pub const HEAD: &str = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";
pub const OTHER: &str = "1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b";

/// What came in.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// With its query, as it was sent.
    pub path: String,
    /// By names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub fn bare_path(&self) -> &str {
        self.path.split('?').next().unwrap()
    }

    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.path.split_once('?')?;
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap();
        pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// What goes out.
#[derive(Debug, Clone)]
pub enum Said {
    Http {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// Bytes as they are, and the end.
    Raw(Vec<u8>),
    /// Nothing, and the end.
    Cut,
    /// A head and then a byte now and then, without end.
    Drips,
    /// Nothing, without end.
    Silence,
}

impl Said {
    pub fn json(status: u16, body: Value) -> Said {
        let headers = vec![("content-type".into(), "application/json".into())];
        Said::Http { status, headers, body: body.to_string().into_bytes() }
    }

    pub fn status(status: u16) -> Said {
        Said::Http { status, headers: Vec::new(), body: Vec::new() }
    }

    pub fn with(self, name: &str, value: &str) -> Said {
        match self {
            Said::Http { status, mut headers, body } => {
                headers.push((name.into(), value.into()));
                Said::Http { status, headers, body }
            }
            other => other,
        }
    }
}

/// What goes wrong with one request that would start something.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It is done, and this is said instead.
    After(Said),
    /// It is not done, and this is said.
    Before(Said),
}

type Answering = dyn Fn(&Asked) -> Said + Send + Sync;

/// A server on this machine.
pub struct Server {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<Asked>>>,
    /// What it was asked that it does not know.
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let wrong = self.wrong.lock().unwrap();
        assert!(wrong.is_empty() || std::thread::panicking(), "{wrong:?}");
    }
}

impl Server {
    pub async fn answering(answer: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (answer, hearing): (Arc<Answering>, _) = (Arc::new(answer), heard.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, hearing) = (answer.clone(), hearing.clone());
                tokio::spawn(async move { drop(serve(stream, &*answer, &hearing).await) });
            }
        });
        Server { address, heard, wrong: Arc::default() }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn heard(&self) -> Vec<Asked> {
        self.heard.lock().unwrap().clone()
    }
}

/// One request and its answer; the connection ends with it.
async fn serve(
    mut stream: TcpStream,
    answer: &Answering,
    heard: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let Some(asked) = read(&mut stream).await? else { return Ok(()) };
    heard.lock().unwrap().push(asked.clone());
    match answer(&asked) {
        Said::Http { status, headers, body } => {
            let mut head = format!("HTTP/1.1 {status} Said\r\nconnection: close\r\n");
            if status != 204 {
                head.push_str(&format!("content-length: {}\r\n", body.len()));
            }
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            stream.write_all(format!("{head}\r\n").as_bytes()).await?;
            stream.write_all(&body).await?;
        }
        Said::Raw(bytes) => stream.write_all(&bytes).await?,
        Said::Cut => {}
        Said::Drips => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
            loop {
                stream.write_all(b" ").await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        // Until the client goes.
        Said::Silence => drop(stream.read(&mut [0]).await?),
    }
    stream.shutdown().await
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Option<Asked>> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break end;
        }
        match stream.read(&mut chunk).await? {
            0 => return Ok(None),
            read => bytes.extend_from_slice(&chunk[..read]),
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap().split(' ');
    let (method, path) = (first.next().unwrap().into(), first.next().unwrap().into());
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    let headers: BTreeMap<String, String> =
        headers.map(|(name, value)| (name.to_lowercase(), value.to_string())).collect();
    let length = headers.get("content-length").map_or(0, |it| it.parse().unwrap());
    let mut body = bytes[head_end + 4..].to_vec();
    while body.len() < length {
        match stream.read(&mut chunk).await? {
            0 => return Ok(None),
            read => body.extend_from_slice(&chunk[..read]),
        }
    }
    Ok(Some(Asked { method, path, headers, body }))
}

/// What it takes to send to one server, and the files that the secrets lie in.
pub struct Office {
    pub http: Client,
    pub integrations: Integrations,
    pub secrets: BTreeMap<String, SecretReference>,
    pub tokens: Tokens,
    pub patience: Duration,
    dir: tempfile::TempDir,
}

impl Office {
    pub fn of(server: &Server) -> Office {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            std::fs::write(dir.path().join(name), text).unwrap();
            SecretReference::File(dir.path().join(name))
        };
        let (token, secret) = (file("token", TOKEN), file("secret", SECRET));
        let api = || Some(Api { url: server.url(), token: token.clone() });
        let github = GitHub {
            url: server.url(),
            access: Access::Token(token.clone()),
            webhook_secret: None,
        };
        Office {
            http: Client::new(Policy { allowed: Vec::new(), loopback: true }),
            integrations: Integrations { github: Some(github), gitlab: api(), argocd: api() },
            secrets: BTreeMap::from([("ops".to_string(), secret)]),
            tokens: Tokens::default(),
            patience: Duration::from_secs(20),
            dir,
        }
    }

    /// GitHub is called as an App with the key in `pem`.
    pub fn is_app(&mut self, pem: &str) {
        let file = self.dir.path().join("app.pem");
        std::fs::write(&file, pem).unwrap();
        let github = self.integrations.github.as_mut().unwrap();
        github.access = Access::App { id: 17, key: SecretReference::File(file) };
    }

    pub fn means(&self) -> Means<'_> {
        Means {
            http: &self.http,
            now: Utc::now(),
            integrations: &self.integrations,
            secrets: &self.secrets,
            tokens: &self.tokens,
            patience: self.patience,
        }
    }
}

/// The receiver that `invoke:` says in YAML.
pub fn receiver(text: &str) -> Receiver {
    let inputs = [
        ("replicas", Kind::Typed),
        ("dry", Kind::Typed),
        ("reason", Kind::Typed),
        ("ref", Kind::Typed),
        ("stage", Kind::OneOf),
        ("password", Kind::Secret),
    ];
    let mut problems = Vec::new();
    let root = fields::read(text, "f").unwrap();
    let mut keys = Fields::of(root, "f", "f", &mut problems).unwrap();
    let known = Known { inputs: &inputs, target: true, steps: &["build"] };
    let receiver = invoke::read(&mut keys, &known);
    receiver.unwrap_or_else(|| panic!("{text}: {problems:?}"))
}

/// Order number `number`: a restart of `payment-api`.
pub fn order(number: u64) -> Order {
    let map = |value: Value| value.as_object().cloned().unwrap();
    Order {
        key: format!("{number:064x}"),
        request: number as i64,
        step: "restart".into(),
        intent: format!("{:064x}", number + 1),
        action: "restart".into(),
        by: "user:default/ada".into(),
        target: Some(Target {
            reference: "component:default/payment-api".into(),
            values: map(json!({
                "ref": "component:default/payment-api", "kind": "Component", "name": "payment-api",
                "annotations": {"github.com/project-slug": "acme/payments"},
            })),
        }),
        inputs: map(json!({"replicas": 3, "dry": true, "stage": "prod", "reason": "slow"})),
        secret_inputs: ["password".to_string()].into(),
        outputs: Map::new(),
        pinned: Map::new(),
        since: Utc::now(),
        callback: None,
        redeem: Some(SecretString::from(REDEEM)),
    }
}

/// GitHub, GitLab or Argo CD: `main`, what runs, and what goes wrong next.
#[derive(Default)]
pub struct Vendor {
    pub state: Mutex<State>,
    /// Of requests that start something, in their order.
    pub faults: Mutex<VecDeque<Fault>>,
    wrong: Arc<Mutex<Vec<String>>>,
}

pub struct State {
    /// What `main` points at.
    pub head: String,
    /// What the next run gets instead.
    pub raced: Option<String>,
    pub runs: Vec<Run>,
    /// How many listings a run is missing from.
    pub lag: usize,
    /// Knows `return_run_details`.
    pub tells_runs: bool,
    /// Workflows show the key.
    pub names_runs: bool,
    /// What the application does, as Argo CD tells it.
    pub app: Value,
    pub syncs: Vec<Value>,
}

impl Default for State {
    fn default() -> State {
        State {
            head: HEAD.into(),
            raced: None,
            runs: Vec::new(),
            lag: 0,
            tells_runs: true,
            names_runs: true,
            app: json!({"metadata": {"name": "payments-prod"}, "spec": {}, "status": {
                "sync": {"revision": HEAD},
                "history": [{"id": 4, "revision": OTHER}, {"id": 5, "revision": HEAD}],
            }}),
            syncs: Vec::new(),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Run {
    pub id: usize,
    pub key: String,
    pub sha: String,
    pub inputs: Value,
    pub hidden_for: usize,
    pub status: String,
    pub conclusion: Option<String>,
    pub created_at: DateTime<Utc>,
}

impl Vendor {
    pub async fn start() -> (Arc<Vendor>, Server) {
        let vendor = Arc::new(Vendor::default());
        let (answering, wrong) = (vendor.clone(), vendor.wrong.clone());
        let mut server = Server::answering(move |asked| answering.answer(asked)).await;
        server.wrong = wrong;
        (vendor, server)
    }

    pub fn goes_wrong(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }

    /// How many runs or syncs have the key of `order`.
    pub fn runs_of(&self, order: &Order) -> usize {
        let state = self.state.lock().unwrap();
        let runs = state.runs.iter().filter(|run| run.key == order.key).count();
        let syncs = state.syncs.iter().filter(|it| it.to_string().contains(&order.key)).count();
        runs + syncs
    }

    pub fn answer(&self, asked: &Asked) -> Said {
        let bearer = asked.headers.get("authorization").map(String::as_str).unwrap_or_default();
        if let Err(wrong) = fits(asked) {
            self.wrong.lock().unwrap().push(format!("{} {}: {wrong}", asked.method, asked.path));
        }
        let tokens = [TOKEN, APP_TOKEN].map(|it| format!("Bearer {it}"));
        if !tokens.iter().any(|it| it == bearer) {
            return Said::json(401, json!({ "message": "Bad credentials" }));
        }
        let starts = ["/dispatches", "/pipeline", "/sync", "/rollback"];
        let is_start = starts.iter().any(|it| asked.bare_path().ends_with(it));
        let fault = is_start.then(|| self.faults.lock().unwrap().pop_front()).flatten();
        match fault {
            Some(Fault::Before(said)) => said,
            Some(Fault::After(said)) => {
                self.done(asked);
                said
            }
            None => self.done(asked),
        }
    }

    fn done(&self, asked: &Asked) -> Said {
        let mut state = self.state.lock().unwrap();
        let path = asked.bare_path().to_string();
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (asked.method.as_str(), &segments[..]) {
            (_, ["repos", _, _, rest @ ..]) => state.github(asked, rest),
            (_, ["api", "v4", "projects", _, rest @ ..]) => state.gitlab(asked, rest),
            (_, ["api", "v1", "applications", _, rest @ ..]) => state.argocd(asked, rest),
            _ => Said::status(404),
        }
    }
}

impl State {
    fn started(&mut self, key: &Value, inputs: Value) -> Run {
        let sha = self.raced.take().unwrap_or_else(|| self.head.clone());
        let run = Run {
            id: self.runs.len() + 1,
            key: key.as_str().unwrap_or_default().into(),
            sha,
            inputs,
            hidden_for: self.lag,
            status: "queued".into(),
            conclusion: None,
            created_at: Utc::now(),
        };
        self.runs.push(run.clone());
        run
    }

    /// What a listing has, which some are missing from for a while.
    fn listed(&mut self) -> Vec<Run> {
        let visible = self.runs.iter().rev().filter(|run| run.hidden_for == 0).cloned().collect();
        self.runs.iter_mut().for_each(|run| run.hidden_for = run.hidden_for.saturating_sub(1));
        visible
    }

    fn github(&mut self, asked: &Asked, rest: &[&str]) -> Said {
        match (asked.method.as_str(), rest) {
            ("GET", ["commits", reference @ ..]) => match reference.join("/").as_str() {
                "main" => Said::json(200, json!({ "sha": self.head })),
                _ => Said::json(422, json!({ "message": "No commit found for SHA" })),
            },
            ("POST", ["actions", "workflows", _, "dispatches"]) => {
                let body = asked.json();
                let wants_details = body["return_run_details"] == true;
                if wants_details && !self.tells_runs {
                    let message = "Invalid request. \"return_run_details\" is not a permitted key.";
                    return Said::json(422, json!({ "message": message }));
                }
                let run = self.started(&body["inputs"]["idp_key"], body["inputs"].clone());
                match wants_details {
                    true => Said::json(
                        200,
                        json!({
                            "workflow_run_id": run.id, "run_url": "https://api.github.example/r",
                            "html_url": format!("https://github.example/runs/{}", run.id),
                        }),
                    ),
                    false => Said::status(204),
                }
            }
            ("GET", ["actions", "workflows", _, "runs"]) => {
                assert_eq!(asked.query("event").as_deref(), Some("workflow_dispatch"));
                assert!(asked.query("created").unwrap().starts_with(">="));
                let (page, size) = page(asked);
                let runs = self.listed();
                let runs: Vec<Value> = runs
                    .iter()
                    .skip((page - 1) * size)
                    .take(size)
                    .map(|run| self.as_github(run))
                    .collect();
                Said::json(200, json!({ "total_count": runs.len(), "workflow_runs": runs }))
            }
            ("GET", ["actions", "runs", id]) => {
                match self.runs.iter().find(|run| run.id.to_string() == *id) {
                    Some(run) => Said::json(200, self.as_github(run)),
                    None => Said::json(404, json!({ "message": "Not Found" })),
                }
            }
            ("POST", ["actions", "runs", id, "cancel"]) => {
                self.cancel(id);
                Said::json(202, json!({}))
            }
            _ => Said::json(404, json!({ "message": "Not Found" })),
        }
    }

    fn as_github(&self, run: &Run) -> Value {
        let title = match self.names_runs {
            true => format!("Restart ({})", run.key),
            false => "Restart".to_string(),
        };
        json!({
            "id": run.id, "name": "Restart", "display_title": title, "head_sha": run.sha, "event": "workflow_dispatch",
            "html_url": format!("https://github.example/runs/{}", run.id),
            "status": run.status, "conclusion": run.conclusion, "created_at": run.created_at,
        })
    }

    fn cancel(&mut self, id: &str) {
        let run = self.runs.iter_mut().find(|run| run.id.to_string() == id).unwrap();
        run.status = "canceled".into();
    }

    fn gitlab(&mut self, asked: &Asked, rest: &[&str]) -> Said {
        let as_gitlab = |run: &Run| {
            json!({
                "id": run.id, "iid": run.id, "sha": run.sha, "ref": "main", "source": "api",
                "status": match run.status.as_str() { "queued" => "pending", other => other },
                "web_url": format!("https://gitlab.example/p/{}", run.id), "created_at": run.created_at,
            })
        };
        match (asked.method.as_str(), rest) {
            ("GET", ["repository", "commits"]) => match asked.query("ref_name").as_deref() {
                Some("main") => {
                    Said::json(200, json!([{ "id": self.head, "short_id": &self.head[..8] }]))
                }
                _ => Said::json(404, json!({ "message": "404 Commit Not Found" })),
            },
            ("POST", ["pipeline"]) => {
                let body = asked.json();
                let variables = body["variables"].as_array().cloned().unwrap_or_default();
                let key = variables
                    .iter()
                    .find(|it| it["key"] == "IDP_KEY")
                    .map(|it| it["value"].clone());
                let run = self.started(&key.unwrap_or_default(), body["variables"].clone());
                Said::json(201, as_gitlab(&run))
            }
            ("GET", ["pipelines"]) => {
                assert_eq!(asked.query("source").as_deref(), Some("api"));
                let (page, size) = page(asked);
                let runs = self.listed();
                let runs: Vec<Value> =
                    runs.iter().skip((page - 1) * size).take(size).map(as_gitlab).collect();
                Said::json(200, json!(runs))
            }
            ("GET", ["pipelines", id, "variables"]) => {
                match self.runs.iter().find(|run| run.id.to_string() == *id) {
                    Some(run) => Said::json(200, run.inputs.clone()),
                    None => Said::json(404, json!({ "message": "404 Not found" })),
                }
            }
            ("GET", ["pipelines", id]) => {
                match self.runs.iter().find(|run| run.id.to_string() == *id) {
                    Some(run) => Said::json(200, as_gitlab(run)),
                    None => Said::json(404, json!({ "message": "404 Not found" })),
                }
            }
            ("POST", ["pipelines", id, "cancel"]) => {
                self.cancel(id);
                let run = self.runs.iter().find(|run| run.id.to_string() == *id).unwrap();
                Said::json(201, as_gitlab(run))
            }
            _ => Said::json(404, json!({ "message": "404 Not Found" })),
        }
    }

    fn argocd(&mut self, asked: &Asked, rest: &[&str]) -> Said {
        let running = self.app["status"]["operationState"]["phase"] == "Running";
        let pending = !self.app["operation"].is_null();
        match (asked.method.as_str(), rest) {
            ("GET", []) => Said::json(200, self.app.clone()),
            ("POST", ["sync" | "rollback"]) if running || pending => {
                let message = "another operation is already in progress";
                Said::json(400, json!({ "error": message, "code": 9, "message": message }))
            }
            ("POST", ["sync"]) => {
                let body = asked.json();
                self.app["operation"] = json!({
                    "sync": { "revision": body["revision"] }, "info": body["infos"],
                    "initiatedBy": { "username": "idp" },
                });
                self.syncs.push(body);
                Said::json(200, self.app.clone())
            }
            ("POST", ["rollback"]) => {
                let body = asked.json();
                let past = self.app["status"]["history"].as_array().unwrap().iter();
                let past = past.clone().find(|it| it["id"] == body["id"]).unwrap().clone();
                self.app["operation"] = json!({
                    "sync": { "revision": past["revision"], "source": { "repoURL": "https://git.example/a" } },
                    "initiatedBy": { "username": "idp" },
                });
                self.syncs.push(body);
                Said::json(200, self.app.clone())
            }
            _ => Said::json(404, json!({ "message": "not found" })),
        }
    }

    /// The application's operation is taken up, and ends as `phase` where that is said.
    pub fn works(&mut self, phase: &str) {
        if let Some(operation) = self.app.as_object_mut().unwrap().remove("operation") {
            let state = json!({ "operation": operation, "phase": phase, "startedAt": Utc::now() });
            self.app["status"]["operationState"] = state;
        }
        self.app["status"]["operationState"]["phase"] = phase.into();
    }
}

fn page(asked: &Asked) -> (usize, usize) {
    let number = |name: &str| asked.query(name).unwrap().parse().unwrap();
    (number("page"), number("per_page"))
}

/// Whether the vendor's own description has the call: its path, its query and its body.
pub fn fits(asked: &Asked) -> Result<(), String> {
    let path = asked.bare_path();
    let file = match path {
        _ if path.starts_with("/api/v4/") => "gitlab.json",
        _ if path.starts_with("/api/v1/") => "argocd.json",
        _ => "github.json",
    };
    // These are documented, and not in the part of the description that is here.
    let others = ["/installation", "/deployment_protection_rule", "/pending_deployments"];
    if others.iter().any(|it| path.ends_with(it)) {
        return Ok(());
    }
    let Some(description) = description(file) else { return Ok(()) };
    let method = asked.method.to_lowercase();
    let (template, call) = template(description, path, &method).ok_or("it is not described")?;
    let resolve = |it: &Value| match it["$ref"].as_str() {
        Some(place) => description.pointer(place.trim_start_matches('#')).unwrap().clone(),
        None => it.clone(),
    };
    let parameters: Vec<Value> =
        call["parameters"].as_array().into_iter().flatten().map(resolve).collect();
    let query = path_and_query(&asked.path);
    for (name, value) in &query {
        let known = parameters.iter().find(|it| it["in"] == "query" && it["name"] == **name);
        let known = known.ok_or(format!("there is no parameter `{name}`"))?;
        let of = known.get("enum").or(known["schema"].get("enum"));
        if of.and_then(Value::as_array).is_some_and(|it| !it.contains(&json!(value))) {
            return Err(format!("`{name}` is none of its values"));
        }
    }
    for needed in parameters.iter().filter(|it| it["in"] == "query" && it["required"] == true) {
        let name = needed["name"].as_str().unwrap();
        query.iter().find(|(it, _)| it == name).ok_or(format!("`{name}` is missing"))?;
    }
    let in_body = parameters.iter().find(|it| it["in"] == "body").map(|it| it["schema"].clone());
    let schema = call.pointer("/requestBody/content/application~1json/schema").cloned().or(in_body);
    match schema {
        Some(schema) => {
            fits_schema(file, &format!("{method} {template}"), description, schema, &asked.json())
        }
        None if asked.body.is_empty() || asked.json() == json!({}) => Ok(()),
        None => Err("there should be no body".into()),
    }
}

fn fits_schema(
    file: &str,
    call: &str,
    description: &Value,
    mut schema: Value,
    body: &Value,
) -> Result<(), String> {
    static JUDGES: Mutex<BTreeMap<String, Arc<Validator>>> = Mutex::new(BTreeMap::new());
    let judge = || {
        // Not everything that is described is a schema, so what is not referred to is left out.
        let (mut places, mut named) = (Vec::new(), Vec::new());
        references(&schema, &mut places);
        while let Some(place) = places.pop() {
            if !named.contains(&place) {
                references(description.pointer(&place).unwrap(), &mut places);
                named.push(place);
            }
        }
        for place in named {
            let names: Vec<&str> = place.trim_start_matches('/').split('/').collect();
            let (last, before) = names.split_last().unwrap();
            let parent = before.iter().fold(&mut schema, |at, name| &mut at[*name]);
            parent[*last] = description.pointer(&place).unwrap().clone();
        }
        Arc::new(jsonschema::validator_for(&schema).unwrap())
    };
    let validator =
        JUDGES.lock().unwrap().entry(format!("{file} {call}")).or_insert_with(judge).clone();
    let wrong: Vec<String> =
        validator.iter_errors(body).map(|it| format!("{}: {it}", it.instance_path())).collect();
    if wrong.is_empty() { Ok(()) } else { Err(format!("{}\n{body}", wrong.join("\n"))) }
}

/// The places that `part` refers to.
fn references(part: &Value, places: &mut Vec<String>) {
    match part {
        Value::Object(fields) => {
            let place = fields.get("$ref").and_then(Value::as_str);
            places.extend(place.map(|it| it.trim_start_matches('#').to_string()));
            fields.values().for_each(|it| references(it, places));
        }
        Value::Array(items) => items.iter().for_each(|it| references(it, places)),
        _ => {}
    }
}

/// The described path that `path` is one of, and its `method`; one with fewer places goes first.
fn template<'a>(description: &'a Value, path: &str, method: &str) -> Option<(&'a str, &'a Value)> {
    let paths = description["paths"].as_object().unwrap();
    let parts: Vec<&str> = path.split('/').collect();
    let fitting = paths.iter().filter(|(template, methods)| {
        let wanted: Vec<&str> = template.split('/').collect();
        let is_long = template.ends_with("/commits/{ref}") && parts.len() > wanted.len();
        methods.get(method).is_some()
            && (wanted.len() == parts.len() || is_long)
            && wanted.iter().zip(&parts).all(|(want, part)| {
                want == part || (want.starts_with('{') && want.ends_with('}') && !part.is_empty())
            })
    });
    let (template, methods) = fitting.min_by_key(|(template, _)| template.matches('{').count())?;
    Some((template, &methods[method]))
}

fn path_and_query(path: &str) -> Vec<(String, String)> {
    let (_, query) = path.split_once('?').unwrap_or((path, ""));
    serde_urlencoded::from_str(query).unwrap()
}

/// `None` where it is not there: said once.
fn description(file: &'static str) -> Option<&'static Value> {
    type Read = BTreeMap<&'static str, Option<&'static Value>>;
    static DESCRIPTIONS: OnceLock<Mutex<Read>> = OnceLock::new();
    let read = || {
        let shared = std::env::var("IDP_SHARED").unwrap_or_else(|_| "../shared".into());
        let path = PathBuf::from(shared).join("specs").join(file);
        let Ok(text) = std::fs::read_to_string(&path) else {
            println!("skipped: {} is not there, so calls are not held against it", path.display());
            return None;
        };
        Some(&*Box::leak(Box::new(serde_json::from_str(&text).unwrap())))
    };
    *DESCRIPTIONS.get_or_init(Mutex::default).lock().unwrap().entry(file).or_insert_with(read)
}
