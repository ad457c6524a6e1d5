//! J1: what is secret stays so: more than sixty canaries on every way through the real `idp`, which logs all that it can,
//! and not a byte of them in what it logs, answers, posts, measures or prints.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use idp::actions::dispatch::order;
use idp::actions::store;
use idp::chat::slack::signature::SigningSecret;
use idp::vault::Key;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use crate::command_line::CommandLine;
use crate::waiting::{LOOK_EVERY, PATIENCE, until};
use crate::world::{FakeSlack, TEAM, interaction, now_s, request};

/// How many sources of facts there are, and how many secrets of `http:` lookups.
const SOURCES: usize = 20;
const LOOKUPS: usize = 20;
const RESPONSE_URLS: usize = 8;

/// The secrets, each by what it is.
struct Canaries(BTreeMap<String, String>);

impl Canaries {
    fn new() -> Canaries {
        let mut names: Vec<String> = [
            "IDP_KEY",
            "SLACK_SIGNING_SECRET",
            "SLACK_BOT_TOKEN",
            "SLACK_APP_TOKEN",
            "DISCORD_BOT_TOKEN",
            "IDP_FACTS_TOKEN",
            "OPS_SECRET",
            "GITHUB_TOKEN",
            "GITLAB_TOKEN",
            "ARGOCD_TOKEN",
            "password",
            "verification",
            "webhook",
            "input",
            "overheard",
            "email",
        ]
        .map(String::from)
        .to_vec();
        names.extend((0..SOURCES).map(|it| format!("FACTS_{it}")));
        names.extend((0..LOOKUPS).map(|it| format!("LOOKUP_{it}")));
        names.extend((0..RESPONSE_URLS).map(|it| format!("response-{it}")));
        let canary = |name: String| {
            let value = hex::encode(Sha256::digest(format!("canary of {name}")));
            let value = match name.as_str() {
                "SLACK_BOT_TOKEN" => format!("xoxb-{value}"),
                "SLACK_APP_TOKEN" => format!("xapp-{value}"),
                _ => value,
            };
            (name, value)
        };
        Canaries(names.into_iter().map(canary).collect())
    }

    fn of(&self, name: &str) -> &str {
        &self.0[name]
    }

    fn add(&mut self, name: &str, value: &str) {
        self.0.insert(name.into(), value.into());
    }

    /// Which of them, in whichever writing, are in `captured`.
    fn found_in(&self, captured: &str) -> Vec<&str> {
        let captured = captured.to_lowercase();
        let is_in = |value: &str| {
            let mut writings = vec![value.to_string(), STANDARD.encode(value), hex::encode(value)];
            if let Ok(bytes) = hex::decode(value) {
                writings.push(STANDARD.encode(bytes).trim_end_matches('=').to_string());
            }
            let part = value.trim_start_matches("xoxb-").trim_start_matches("xapp-");
            writings.push(part[..part.len().min(24)].to_string());
            writings.iter().any(|it| captured.contains(&it.to_lowercase()))
        };
        let found = self.0.iter().filter(|(_, value)| is_in(value));
        found.map(|(name, _)| name.as_str()).collect()
    }

    /// What a process is given.
    fn environment(&self) -> Vec<(&str, &str)> {
        let given = self.0.iter().filter(|(name, _)| name.chars().all(|it| !it.is_lowercase()));
        given.map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

/// The portal, its environment, and everything that came out so far.
struct Stage {
    idp: CommandLine,
    canaries: Canaries,
    captured: String,
    url: String,
    slack: FakeSlack,
    receiver: Receiver,
}

/// Where things are started: it remembers all that it is sent, and first breaks, saying it all back.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Vec<(HeaderMap, Value)>>>);

impl Receiver {
    async fn start() -> (Receiver, SocketAddr) {
        let receiver = Receiver::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(Receiver::take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (receiver, address)
    }

    async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
        let mut sent = receiver.0.lock().unwrap();
        let said = format!("broken: {headers:?} {}", String::from_utf8_lossy(&body));
        sent.push((headers, serde_json::from_slice(&body).unwrap_or_default()));
        match sent.len() {
            1 => (StatusCode::INTERNAL_SERVER_ERROR, said).into_response(),
            _ => (StatusCode::ACCEPTED, axum::Json(json!({ "status": "started" }))).into_response(),
        }
    }
}

/// Who decides.
const BOB: &str = "
apiVersion: backstage.io/v1alpha1
kind: User
metadata: {name: bob}
spec: {memberOf: [payments]}
";

impl Stage {
    async fn new() -> Stage {
        let (idp, canaries) = (CommandLine::new().await, Canaries::new());
        let database = idp.database.as_ref().unwrap();
        let mut url: Url = database.url.parse().unwrap();
        url.set_password(Some(canaries.of("password"))).unwrap();
        let slack = FakeSlack::start().await;
        let (receiver, address) = Receiver::start().await;
        let mut settings = format!(
            "allowed_hosts: [\"127.0.0.1:9\", \"{address}\"]\npublic_url: https://idp.acme.example\n\
             integrations:\n  github: {{token: {{env: GITHUB_TOKEN}}}}\n  gitlab: {{token: {{env: GITLAB_TOKEN}}}}\n\
             secrets:\n  ops: {{env: OPS_SECRET}}\n"
        );
        idp.write("portal/catalog/bob.yaml", BOB);
        idp.write(
            "portal/actions/restart.yaml",
            &format!(
                "name: restart\ntitle: Restart\ntarget: {{kinds: [Component]}}\n\
                 inputs:\n  - {{name: reason, title: Why}}\n  - {{name: word, title: Word, type: secret}}\n\
                 risk: low\napprove: {{by: [owner], within: 4h}}\nchannel: {{slack: C1}}\n\
                 invoke: {{webhook: \"http://{address}/hooks/{}\", secret: ops}}\n",
                canaries.of("webhook")
            ),
        );
        for number in 0..LOOKUPS {
            settings.push_str(&format!("  lookup-{number}: {{env: LOOKUP_{number}}}\n"));
            idp.write(
                &format!("portal/commands/ask-{number}.yaml"),
                &format!(
                    "name: ask-{number}\nsummary: Asks elsewhere\nlookup:\n  http:\n    \
                     url: http://127.0.0.1:9/it\n    secret: lookup-{number}\ntemplate: nothing\n"
                ),
            );
        }
        settings.push_str("facts:\n");
        for number in 0..SOURCES {
            settings.push_str(&format!(
                "  - source: s{number}\n    token: {{env: FACTS_{number}}}\n    keys: {{k{number}: {{type: number}}}}\n"
            ));
        }
        let access = "organisation: Acme\naccess: {strangers: read, link_by_email: true}\n";
        idp.write("portal/idp.yaml", &format!("{access}{settings}"));
        let links = "- {platform: slack, tenant: T0ACME, user_id: U1, user: ada}\n- {platform: slack, tenant: T0ACME, user_id: U2, user: bob}\n";
        idp.write("links.yaml", links);
        let fact =
            r#"{"entity":"payment-api","key":"k1","value":1,"observed_at":"2026-01-01T00:00:00Z"}"#;
        idp.write("facts.json", fact);
        let url = url.to_string();
        Stage { idp, canaries, captured: String::new(), url, slack, receiver }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.idp.command(arguments);
        command
            .envs(self.canaries.environment())
            .env("DATABASE_URL", &self.url)
            .env("DISCORD_APPLICATION_ID", "17")
            .env("SLACK_API_URL", format!("http://{}/api/", self.slack.address))
            .env("DISCORD_API_URL", "http://127.0.0.1:9/api/")
            .env("IDP_LOG", "trace")
            .env("IDP_LOG_FORMAT", "json");
        command
    }

    /// A line in which the canary stands.
    fn around(&self, name: &str) -> String {
        let value = self.canaries.of(name).to_lowercase();
        let line = self
            .captured
            .lines()
            .find(|it| it.to_lowercase().contains(&value[..value.len().min(24)]));
        line.unwrap_or_default().chars().take(600).collect()
    }

    fn runs(&mut self, arguments: &[&str]) {
        let command = self.command(arguments);
        self.captures(command);
    }

    fn captures(&mut self, mut command: Command) {
        let output = command.output().unwrap();
        for bytes in [output.stdout, output.stderr] {
            self.captured.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    /// Each of the variables with a value that it does not take, and that a secret was pasted into.
    fn runs_with_broken_variables(&mut self) {
        for name in [
            "IDP_KEY",
            "DATABASE_URL",
            "SLACK_API_URL",
            "DISCORD_API_URL",
            "IDP_LISTEN",
            "IDP_LOG",
            "IDP_LOG_FORMAT",
            "DISCORD_APPLICATION_ID",
            "DISCORD_PUBLIC_KEY",
        ] {
            let pasted = &self.canaries.of("IDP_KEY")[..40];
            let mut command = self.command(&["doctor", "--portal", "portal"]);
            command.env(name, format!("idp={pasted}:{pasted}@"));
            self.captures(command);
        }
    }

    /// What is answered to `body` at `path`, with these headers.
    async fn sends(
        &mut self,
        address: SocketAddr,
        path: &str,
        mut headers: Vec<(String, String)>,
        body: &str,
    ) -> String {
        headers.push(("content-length".into(), body.len().to_string()));
        request(address, "POST", path, headers, body.as_bytes().to_vec()).await.body
    }

    /// As Slack signs it.
    fn signed(&self, body: &str) -> Vec<(String, String)> {
        let secret = SecretString::from(self.canaries.of("SLACK_SIGNING_SECRET"));
        let signature = SigningSecret::new(&secret).unwrap().sign(now_s(), body.as_bytes());
        vec![
            ("x-slack-request-timestamp".into(), now_s().to_string()),
            ("x-slack-signature".into(), signature),
        ]
    }

    fn slash(&self, who: &str, text: &str, number: usize) -> String {
        let response = self.canaries.of(&format!("response-{}", number % RESPONSE_URLS));
        let response = format!("https://hooks.slack.com/commands/T1/{response}");
        let trigger = format!("{number}.{}", self.captured.len());
        let fields = [
            ("token", self.canaries.of("verification")),
            ("team_id", TEAM),
            ("user_id", who),
            ("channel_id", "C1"),
            ("channel_name", "general"),
            ("command", "/idp"),
            ("text", text),
            ("trigger_id", &trigger),
            ("response_url", &response),
        ];
        serde_urlencoded::to_string(fields).unwrap()
    }

    /// What `text` of Ada's is answered.
    async fn asks(&mut self, address: SocketAddr, text: &str, number: usize) -> String {
        self.asks_as("U1", address, text, number).await
    }

    async fn asks_as(
        &mut self,
        who: &str,
        address: SocketAddr,
        text: &str,
        number: usize,
    ) -> String {
        let body = self.slash(who, text, number);
        let headers = self.signed(&body);
        self.sends(address, "/slack/commands", headers, &body).await
    }

    /// Every way in, with good, bad and broken requests.
    async fn attacks(&mut self, address: SocketAddr) {
        let mut said = String::new();
        for number in 0..LOOKUPS {
            said += &self.asks(address, &format!("ask-{number}"), number).await;
        }
        // What is shown to who it is for, is for nobody else.
        let shown = self.asks(address, "link totp", 100).await.replace('\\', "");
        let secret = shown.split("secret=").nth(1).unwrap_or_else(|| panic!("{shown}"));
        self.canaries.add("totp", &secret[..32]);
        said += &self.asks(address, "link totp 000000", 101).await;
        let shown = self.asks(address, "link", 102).await;
        let is_code = |it: &&str| it.len() == 32;
        let code = shown.split(|it: char| !it.is_ascii_hexdigit()).find(is_code);
        self.canaries.add("link", code.unwrap_or_else(|| panic!("{shown}")));
        for (number, text) in
            ["owner payment-api", "owner nobody", "history checkout", "link 1234", "\u{0}", "'"]
                .into_iter()
                .enumerate()
        {
            said += &self.asks(address, text, 103 + number).await;
        }
        // Signed with something else; the signature that would have been good is derived from a secret, too.
        let body = self.slash("U1", "owner payment-api", 200);
        let good = self.signed(&body).remove(1).1;
        self.canaries.add("signature", good.trim_start_matches("v0="));
        for signature in ["v0=00", "", "v1=hunter2"] {
            let mut headers = self.signed(&body);
            headers[1].1 = signature.into();
            said += &self.sends(address, "/slack/commands", headers, &body).await;
        }
        for broken in ["", "{", "payload=%7B", "payload=%7B%22type%22%3A1%7D", "=&&==%ff"] {
            for path in ["/slack/commands", "/slack/interactions", "/slack/events", "/nowhere"] {
                let headers = self.signed(broken);
                said += &self.sends(address, path, headers, broken).await;
            }
        }
        for number in 0..SOURCES {
            let token = self.canaries.of(&format!("FACTS_{number}")).to_string();
            let fact = |key: &str| {
                format!(r#"{{"facts":[{{"entity":"payment-api","key":"{key}","value":1}}]}}"#)
            };
            let bodies = [fact(&format!("k{number}")), fact("other"), "{".into(), String::new()];
            for body in bodies {
                let json = ("content-type".to_string(), "application/json".to_string());
                let bearer = ("authorization".to_string(), format!("Bearer {token}"));
                let headers = vec![json, bearer];
                said += &self.sends(address, "/api/v1/facts", headers, &body).await;
            }
            for (name, value) in
                [("authorization", format!("Basic {token}")), ("x-token", token.clone())]
            {
                let headers = vec![(name.to_string(), value)];
                said += &self.sends(address, "/api/v1/facts", headers, "{}").await;
            }
        }
        for path in ["/metrics", "/readyz", "/livez", "/api/v1/openapi.json", "/"] {
            said += &request(address, "GET", path, Vec::new(), Vec::new()).await.body;
        }
        self.captured += &said;
    }

    /// Ada sends the form of a restart, with a secret in it.
    async fn fills_in(&mut self, address: SocketAddr) -> String {
        let field = |name: &str, value: &str| {
            let action = format!("idp-field:{name}");
            json!({ action: { "type": "plain_text_input", "value": value } })
        };
        let response = format!("http://{}/respond/1", self.slack.address);
        let origin = json!({ "channel_id": "C1", "response_url": response });
        let values = json!({ "reason": field("reason", "x"), "word": field("word", self.canaries.of("input")) });
        let payload = json!({
            "type": "view_submission", "trigger_id": "form-1", "team": { "id": TEAM }, "user": { "id": "U1", "team_id": TEAM },
            "view": { "id": "V1", "callback_id": "idp-form:run restart payment-api",
                "private_metadata": origin.to_string(), "state": { "values": values } },
        });
        let body = interaction(&payload);
        let headers = self.signed(&body);
        self.sends(address, "/slack/interactions", headers, &body).await
    }

    /// Links accounts once there is a catalog, and waits until the server knows.
    async fn links(&mut self, address: SocketAddr) {
        let database = self.idp.database.as_ref().unwrap().pool.clone();
        let is_there = async || {
            let is_there =
                "select exists (select from idp.stored_entity where ref = 'user:default/bob')";
            sqlx::query_scalar::<_, bool>(is_there).fetch_one(&database).await.unwrap()
        };
        until("the catalog is read", is_there, |it| *it).await;
        self.runs(&["access", "import", "links.yaml"]);
        let deadline = Instant::now() + PATIENCE;
        let mut number = 1_000;
        while !self.asks_as("U2", address, "whoami", number).await.contains("bob") {
            assert!(Instant::now() < deadline, "nobody is linked: {}", self.captured);
            tokio::time::sleep(LOOK_EVERY).await;
            number += 1;
        }
    }

    /// Something is asked for with a secret, approved, and done by a receiver that breaks first and says all back; then
    /// it is reported by good and bad tokens.
    async fn acts(&mut self, address: SocketAddr) {
        let overheard =
            format!("run restart payment-api reason=x word={}", self.canaries.of("overheard"));
        let mut said = self.asks(address, &overheard, 300).await;
        said += &self.fills_in(address).await;
        said += &self.asks(address, "requests", 301).await;
        said += &self.asks_as("U2", address, "requests show 1", 302).await;
        let mut posts = String::new();
        let is_posted = async || {
            for heard in self.slack.heard().await {
                posts += &format!("{} {}", heard.path, heard.body);
            }
            posts.contains("/api/chat.postMessage")
        };
        until("a card is posted", is_posted, |it| *it).await;
        said += &posts;
        let approved = self.asks_as("U2", address, "approve 1", 303).await;
        assert!(approved.contains("approved"), "{approved}\n{}", self.captured);
        said += &approved;
        let database = self.idp.database.as_ref().unwrap().pool.clone();
        let times = async || self.receiver.0.lock().unwrap().len();
        until("it was sent", times, |it| *it >= 1).await;
        let wake = "update idp.execution set next_at = clock_timestamp() where ended_at is null";
        let times = async || {
            sqlx::query(wake).execute(&database).await.unwrap();
            self.receiver.0.lock().unwrap().len()
        };
        until("it was sent again", times, |it| *it >= 2).await;
        let (headers, body) = self.receiver.0.lock().unwrap()[1].clone();
        assert_eq!(body["inputs"]["word"], self.canaries.of("input"), "the control: it arrives");
        let callback = body["callback"].as_str().unwrap().rsplit('/').next().unwrap().to_string();
        let signature = headers["x-idp-signature"].to_str().unwrap().trim_start_matches("v1=");
        let mut db = database.acquire().await.unwrap();
        let whole = store::whole(&mut db, 1).await.unwrap().unwrap();
        let key = SecretString::from(self.canaries.of("IDP_KEY"));
        let key = Key::new(idp::config::key_bytes(&key).unwrap());
        let redeem = order::token(&key, order::REDEEM, &whole.request, 0);
        let mac = |token: &str| token.rsplit('-').next().unwrap().to_string();
        self.canaries.add("signature of an order", signature);
        self.canaries.add("callback", &mac(&callback));
        self.canaries.add("redeem", &mac(&redeem));
        let json = || vec![("content-type".to_string(), "application/json".to_string())];
        for token in
            [&callback, &redeem, &format!("{callback}0"), &format!("2-0-{}", mac(&callback))]
        {
            for report in [
                json!({ "status": "running", "note": "3 of 4" }),
                json!({ "status": "done" }),
                json!(null),
                json!({ "status": "failed", "note": "no" }),
                json!({ "status": "succeeded" }),
            ] {
                let path = format!("/api/v1/callbacks/{token}");
                said += &self.sends(address, &path, json(), &report.to_string()).await;
            }
            let body = json!({ "token": token, "run_id": "7" }).to_string();
            said += &self.sends(address, "/api/v1/redeem", json(), &body).await;
        }
        said += &self.asks(address, "requests show 1", 304).await;
        said += &request(address, "GET", "/metrics", Vec::new(), Vec::new()).await.body;
        self.captured += &said;
    }

    /// Somebody whom only Slack knows asks: their address is asked for.
    async fn introduces(&mut self, address: SocketAddr) {
        let email = format!("{}@acme.example", self.canaries.of("email"));
        let account = json!({ "id": "U7", "team_id": TEAM, "profile": { "email": email },
            "is_email_confirmed": true });
        *self.slack.moods.account.lock().unwrap() = account;
        for (number, text) in ["whoami", "owner payment-api"].into_iter().enumerate() {
            let said = self.asks_as("U7", address, text, 400 + number).await;
            self.captured += &said;
        }
    }

    /// The real server, attacked, and its settings broken while it runs; everything that it logged.
    async fn serves(&mut self) {
        let log = self.idp.path("log");
        let mut command = self.command(&["serve", "--portal", "portal", "--listen", "127.0.0.1:0"]);
        command.stderr(std::fs::File::create(&log).unwrap()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let look = || std::fs::read_to_string(&log).unwrap();
        let listening = wait_for(r#""message":"listening""#, look);
        let listening =
            listening.lines().find(|it| it.contains(r#""message":"listening""#)).unwrap();
        let (_, port) = listening.split_once(r#""address":"127.0.0.1:"#).unwrap();
        let port: String = port.chars().take_while(char::is_ascii_digit).collect();
        let address = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
        self.links(address).await;
        self.attacks(address).await;
        self.introduces(address).await;
        self.acts(address).await;
        let settings =
            "organisation: Acme\nsecrets: {deploys: {env: SLACK_BOT_TOKEN, file: x}}\nfacts: 1\n";
        self.idp.write("portal/idp.yaml", settings);
        wait_for("the portal's change has errors", look);
        kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
        child.wait().unwrap();
        self.captured += &look();
        for heard in self.slack.heard().await {
            self.captured += &heard.body.to_string();
        }
    }
}

fn wait_for(words: &str, look: impl Fn() -> String) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look();
        if seen.contains(words) {
            return seen;
        }
        assert!(Instant::now() < deadline, "never logged {words:?}: {seen}");
        std::thread::sleep(LOOK_EVERY);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn not_a_byte_of_a_secret_is_logged_answered_measured_or_printed() {
    let mut stage = Stage::new().await;
    stage.runs(&["access", "import", "links.yaml"]);
    for arguments in [
        &["check", "portal"][..],
        &["doctor", "--portal", "portal"],
        &["migrate"],
        &["key", "public"],
        &["key", "accept"],
        &["audit", "verify"],
        &["audit", "export"],
        &["access", "list"],
        &["facts", "push", "--url", "http://127.0.0.1:9/", "facts.json"],
        &["ask", "--portal", "portal", "ask-1"],
        &["ask", "--portal", "portal", "requests"],
        &["nonsense"],
        &["discord", "check", "--portal", "portal"],
    ] {
        stage.runs(arguments);
    }
    stage.runs_with_broken_variables();
    stage.serves().await;
    // Where there is no database its address is told least of all.
    let url = format!("postgres://idp:{}@127.0.0.1:9/idp", stage.canaries.of("password"));
    stage.url = url;
    stage.runs(&["migrate"]);
    stage.runs(&["ask", "--portal", "portal", "owner", "payment-api"]);

    // What is decided is printed once more, with the request in it.
    stage.url = stage.idp.database.as_ref().unwrap().url.clone();
    for arguments in
        [&["audit", "export"][..], &["audit", "verify"], &["doctor", "--portal", "portal"]]
    {
        stage.runs(arguments);
    }
    assert!(stage.captured.contains("request.approved"), "the log of decisions was printed");
    assert!(stage.captured.lines().count() > 200, "{}", stage.captured);
    let found = stage.canaries.found_in(&stage.captured);
    let around: Vec<String> = found.iter().map(|it| stage.around(it)).collect();
    assert!(found.is_empty(), "{found:?}: {around:#?}");
    println!(
        "REL J1 {} canaries, {} bytes captured: 0 bytes of a secret",
        stage.canaries.0.len(),
        stage.captured.len()
    );
}

/// The control: whatever is let out, in whichever writing, is seen.
#[test]
fn the_judge_sees_every_canary() {
    let canaries = Canaries::new();
    assert!(canaries.0.len() >= 60);
    for (name, value) in &canaries.0 {
        for said in [
            value.clone(),
            value.to_uppercase(),
            STANDARD.encode(value),
            hex::encode(value),
            format!("error: `{}…`", &value[..40]),
        ] {
            let captured = format!("{{\"message\":\"could not: {said}\"}}");
            assert!(canaries.found_in(&captured).contains(&name.as_str()), "{name}: {said}");
        }
    }
}
