//! `idp serve`: starts, answers, notices changes, stops.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::AssertSqlSafe;

use crate::command_line::CommandLine;
use crate::database;
use crate::discord_gateway::Doors;
use crate::discord_world::{APPLICATION, BOT_TOKEN, FakeDiscord, GUILD, call, interaction};
use crate::waiting::{LOOK_EVERY, PATIENCE, until};
use crate::world::gets;

static NEXT_TRIGGER: AtomicU64 = AtomicU64::new(1);

const SECRET: &str = "5b1d3c8e0f9a47d2b6e4c1a098f7d635";

const FRESH: &str = "\
apiVersion: backstage.io/v1alpha1
kind: API
metadata: {name: fresh}
spec: {type: openapi, lifecycle: production, owner: payments, definition: x}
";

/// A running `idp serve` and what it logs.
struct Server {
    child: Child,
    address: String,
    /// What it logged until it listened.
    started: Vec<Value>,
    log: Receiver<Value>,
}

impl Server {
    fn start(idp: &CommandLine) -> Server {
        Server::of(idp.command(&["serve", "--portal", "portal", "--listen", "127.0.0.1:0"]))
    }

    fn of(mut command: std::process::Command) -> Server {
        command.env("SLACK_SIGNING_SECRET", SECRET).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (send, log) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let record = serde_json::from_str(&line).unwrap_or(Value::String(line));
                // The test may have ended before the server.
                let _ = send.send(record);
            }
        });
        let (started, address) = (Vec::new(), String::new());
        let mut server = Server { child, address, started, log };
        let (started, listening) = server.logs_after("listening");
        server.started = started;
        server.address = listening["address"].as_str().unwrap().to_string();
        server
    }

    /// Waits until it logs `message`. The record.
    fn logs(&self, message: &str) -> Value {
        self.logs_after(message).1
    }

    /// Waits until it logs `message`. All records before it, and the record.
    fn logs_after(&self, message: &str) -> (Vec<Value>, Value) {
        let deadline = Instant::now() + PATIENCE;
        let mut before = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.log.recv_timeout(left) {
                Ok(record) if record["message"] == message => return (before, record),
                Ok(record) => before.push(record),
                Err(error) => panic!("never logged {message:?}: {error}: {before:#?}"),
            }
        }
    }

    /// What the slash command answers to `text`.
    fn says(&self, text: &str) -> Value {
        // Each is another: a copy of the same is not answered.
        let trigger = NEXT_TRIGGER.fetch_add(1, Ordering::Relaxed).to_string();
        let form = [
            ("command", "/idp"),
            ("text", text),
            ("team_id", "T1"),
            ("channel_id", "C1"),
            ("channel_name", "general"),
            ("user_id", "U1"),
            ("trigger_id", &trigger),
            ("response_url", "https://hooks.slack.com/commands/1"),
        ];
        let answer = self.post("/slack/commands", &serde_urlencoded::to_string(form).unwrap());
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// Asks `text` again and again until the answer contains `expected`.
    fn says_at_last(&self, text: &str, expected: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.says(text).to_string();
            if said.contains(expected) {
                return;
            }
            assert!(Instant::now() < deadline, "never said {expected:?}: {said}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// What `/readyz` says, with its status.
    async fn ready(&self) -> (u16, Value) {
        let answer = gets(self.address.parse().unwrap(), "/readyz").await;
        (answer.status, answer.json())
    }

    fn post(&self, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(self.signed(path, body).as_bytes()).unwrap();
        body_of(stream)
    }

    fn signed(&self, path: &str, body: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(format!("v0:{now}:{body}").as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        format!(
            "POST {path} HTTP/1.1\r\nhost: idp\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\
             x-slack-request-timestamp: {now}\r\nx-slack-signature: v0={signature}\r\n\r\n{body}",
            body.len()
        )
    }

    fn tell(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Its exit code, once it has ended.
    fn ends(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already when the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The body of the answer that `stream` brings.
fn body_of(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    body.to_string()
}

#[tokio::test]
async fn it_answers_slack_and_stops_when_told() {
    let idp = CommandLine::new().await;
    let mut server = Server::start(&idp);
    server.says_at_last("owner payment-api", "payments");
    server.tell(Signal::SIGTERM);
    assert_eq!(server.ends(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_bots_token_alone_discord_is_heard_over_its_gateway() {
    let idp = CommandLine::new().await;
    let discord = FakeDiscord::start().await;
    let doors = Doors::of(&discord).await;
    idp.set(&format!("discord: {{guild_ids: ['{GUILD}']}}\n"));
    let mut command = idp.command(&["serve", "--portal", "portal", "--listen", "127.0.0.1:0"]);
    let own = [("DISCORD_APPLICATION_ID", APPLICATION), ("DISCORD_BOT_TOKEN", BOT_TOKEN)];
    command.envs(own).env("DISCORD_API_URL", discord.url());
    let mut server = Server::of(command);
    doors.stands_after(0).await;
    server.says_at_last("owner payment-api", "payments");
    discord.tells("token-1");
    let asked = call("owner", &[("entity", json!("payment-api"))]);
    assert!(doors.tells("INTERACTION_CREATE", interaction(1, 2, "400000000000000001", asked)));
    let answered = async || loop {
        let heard = discord.hears().await;
        if heard.call == "POST /interactions/1/token-1/callback" {
            return heard.body;
        }
    };
    assert!(answered().await.to_string().contains("is owned by"));
    let (_, ready) = server.ready().await;
    let up = json!({ "state": "up" });
    assert_eq!(ready["connections"], json!({ "discord_gateway": up, "discord_messages": up }));
    server.tell(Signal::SIGTERM);
    assert_eq!(server.ends(), Some(0));
}

#[tokio::test]
async fn a_request_that_has_begun_is_answered_before_it_stops() {
    let idp = CommandLine::new().await;
    let mut server = Server::start(&idp);
    server.says_at_last("owner payment-api", "payments");
    let form = "command=%2Fidp&text=help&team_id=T1&channel_id=C1&user_id=U1";
    let request = server.signed("/slack/commands", form).replacen(
        "host:",
        "expect: 100-continue\r\nhost:",
        1,
    );
    let (head, body) = request.split_at(request.len() - form.len());
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut begun = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut begun).unwrap();

    server.tell(Signal::SIGTERM);
    server.logs("stopping: no new connections, finishing what has begun");
    stream.write_all(body.as_bytes()).unwrap();
    assert!(body_of(stream).contains("owner"));
    assert_eq!(server.ends(), Some(0));
    assert!(TcpStream::connect(&server.address).is_err());
}

#[tokio::test]
async fn a_portal_that_is_not_good_keeps_it_from_starting() {
    let idp = CommandLine::new().await;
    idp.write("portal/idp.yaml", "refresh: soon\norganization: Acme\n");
    let ended = idp.runs(&["serve", "--portal", "portal", "--listen", "127.0.0.1:0"]);
    assert_eq!(ended.code, 1);
    for place in ["idp.yaml:1:10", "idp.yaml:2:1"] {
        assert!(ended.error.contains(place), "{}", ended.error);
    }
}

#[tokio::test]
async fn a_changed_descriptor_is_answered_without_a_restart() {
    let idp = CommandLine::new().await;
    let server = Server::start(&idp);
    server.says_at_last("owner payment-api", "payments");
    idp.write("portal/catalog/new.yaml", FRESH);
    server.says_at_last("owner fresh", "payments");
}

#[tokio::test]
async fn a_changed_setting_is_taken_and_a_broken_one_is_not() {
    let idp = CommandLine::new().await;
    let server = Server::start(&idp);
    idp.set("aliases: {till: checkout}\n");
    server.says_at_last("owner till", "payments");

    idp.set("aliases: {till: checkout\n");
    let told = server.logs("the portal's change has errors: everything stays as it was");
    assert!(told["problems"].as_str().unwrap().contains("idp.yaml:3:"), "{told}");
    assert!(server.says("owner till").to_string().contains("payments"));

    idp.set("aliases: {till: checkout, kiosk: checkout}\n");
    server.says_at_last("owner kiosk", "payments");
}

#[tokio::test]
async fn what_was_asked_in_vain_is_listed_and_an_alias_answers_it_at_once() {
    let idp = CommandLine::new().await;
    let mut server = Server::start(&idp);
    server.says_at_last("owner payment-api", "payments");
    for _ in 0..2 {
        assert!(server.says("owner kasse").to_string().contains("There is no entity"));
    }
    server.says("who owns the moon?");
    let added = idp.runs(&["catalog", "alias", "add", "Kasse", "checkout"]);
    assert_eq!(added.code, 0, "{}", added.error);
    server.says_at_last("owner kasse", "payments");
    let listed = idp.runs(&["catalog", "alias", "list", "--format", "json"]).json();
    assert_eq!(listed, json!([{ "alias": "kasse", "ref": "component:default/checkout" }]));

    assert_eq!(idp.runs(&["catalog", "alias", "remove", "KASSE"]).code, 0);
    server.says_at_last("owner kasse", "There is no entity");
    assert_eq!(idp.runs(&["catalog", "alias", "remove", "kasse"]).code, 1);

    server.tell(Signal::SIGTERM);
    assert_eq!(server.ends(), Some(0));
    let asked = idp.runs(&["catalog", "unanswered", "--format", "json"]).json();
    let times = |it: &Value| it["times"].as_i64().unwrap();
    let asked = asked.as_array().unwrap();
    let kasse = asked.iter().find(|it| it["question"] == "owner kasse").unwrap();
    assert!(times(kasse) >= 3 && asked.iter().any(|it| it["question"] == "who owns the moon"));
    assert!(asked.is_sorted_by_key(|it| -times(it)), "{asked:?}");
    let text = idp.runs(&["catalog", "unanswered", "--limit", "1"]).out;
    assert!(text.ends_with("1 question\n"), "{text}");
}

#[tokio::test]
async fn an_alias_that_nobody_would_hear_is_refused() {
    let idp = CommandLine::new().await;
    idp.set("aliases: {till: checkout}\n");
    assert_eq!(idp.runs(&["catalog", "import", "portal/catalog"]).code, 0);
    for (alias, means, why) in [
        ("till", "payment-api", "is an alias in idp.yaml"),
        ("checkout", "payment-api", "names go first"),
        ("kasse", "chekout", "Did you mean `component:default/checkout`?"),
    ] {
        let ended = idp.runs(&["catalog", "alias", "add", alias, means]);
        assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{alias}");
        assert!(ended.error.contains(why), "{}", ended.error);
    }
}

#[tokio::test]
async fn a_host_that_was_just_listed_may_be_asked() {
    let idp = CommandLine::new().await;
    let secret = idp.path("secret");
    idp.write("secret", "s3cret");
    // Nothing listens there.
    let command = "name: flags\nsummary: Flags\ntemplate: a\n\
                   lookup: {http: {url: 'http://127.0.0.1:1/', secret: flags}}\n";
    idp.write("portal/commands/flags.yaml", command);
    let settings = |hosts: &str| {
        let file = secret.display();
        format!("secrets: {{flags: {{file: {file}}}}}\nallowed_hosts: [{hosts}]\n")
    };
    idp.set(&settings(""));
    let server = Server::start(&idp);
    assert!(server.says("flags").to_string().contains("may not be asked"));
    idp.set(&settings("'127.0.0.1:1'"));
    server.says_at_last("flags", "could not be reached");
    idp.set(&settings(""));
    server.says_at_last("flags", "may not be asked");
}

#[tokio::test]
async fn each_request_is_one_line_of_the_log_without_what_was_said() {
    let idp = CommandLine::new().await;
    let server = Server::start(&idp);
    server.says("owner payment-api");
    let told = server.logs("answered a request");
    assert_eq!((&told["method"], &told["route"]), (&"POST".into(), &"/slack/commands".into()));
    assert_eq!((&told["status"], told["seconds"].is_f64()), (&200.into(), true));
    for private in ["payment-api", "general", "hooks.slack.com"] {
        assert!(!told.to_string().contains(private), "{told}");
    }
}

#[tokio::test]
async fn a_changed_command_is_taken_and_a_broken_one_is_not() {
    let idp = CommandLine::new().await;
    let server = Server::start(&idp);
    server.says_at_last("owner payment-api", "payments");
    let command = |text: &str| {
        format!("name: motto\nsummary: What we live by\nlookup: help\ntemplate: {text}\n")
    };
    idp.write("portal/commands/motto.yaml", &command("Measure twice"));
    server.says_at_last("motto", "Measure twice");

    idp.write("portal/commands/motto.yaml", &command("'{{#if'"));
    let told = server.logs("the portal's change has errors: everything stays as it was");
    assert!(told["problems"].as_str().unwrap().contains("commands/motto.yaml:4:"), "{told}");
    assert!(server.says("motto").to_string().contains("Measure twice"));

    idp.write("portal/commands/motto.yaml", &command("Cut once"));
    server.says_at_last("motto", "Cut once");
}

#[tokio::test]
async fn with_the_database_stopped_it_answers_with_its_age_and_takes_up_changes_afterwards() {
    let database = database::Server::new();
    let idp = CommandLine::on(database.start().await);
    let mut server = Server::start(&idp);
    server.says_at_last("owner payment-api", "payments");

    database.stop().await;
    server.logs("the database is away; lookups are answered from memory");
    server.says_at_last("owner payment-api", "the database does not answer");

    server.tell(Signal::SIGTERM);
    assert_eq!(server.ends(), Some(0));
    let server = Server::start(&idp);
    server.says_at_last("owner payment-api", "the database does not answer");

    database.start().await;
    idp.write("portal/catalog/new.yaml", FRESH);
    server.says_at_last("owner fresh", "payments");
}

#[tokio::test]
async fn a_catalog_that_was_never_read_is_not_said_to_be_empty() {
    let database = database::Server::new();
    let idp = CommandLine::on(database.start().await);
    database.stop().await;
    let server = Server::start(&idp);
    for asked in ["owner payment-api", "who owns payment-api?", "payment-api", "find pay", "list"] {
        let said = server.says(asked).to_string();
        assert!(said.contains("The catalog cannot be asked right now"), "{asked}: {said}");
    }
    assert!(server.says("help").to_string().contains("owner"));
    let asked = idp.runs(&["ask", "--format", "json", "owner", "payment-api"]);
    assert_eq!((asked.code, &asked.json()["refusal"]), (1, &"unavailable".into()));
    assert!(asked.error.contains("DATABASE_URL"), "{}", asked.error);

    database.start().await;
    server.says_at_last("owner payment-api", "payments");
    assert!(server.says("owner paymnt-api").to_string().contains("Did you mean"));
}

/// Keeps whoever asks for the table waiting, until it is dropped.
async fn hold(idp: &CommandLine, table: &str) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut held = idp.database.as_ref().unwrap().pool.begin().await.unwrap();
    let lock = format!("lock table {table} in access exclusive mode");
    sqlx::query(AssertSqlSafe(lock)).execute(&mut *held).await.unwrap();
    held
}

#[tokio::test]
async fn before_the_first_import_is_in_nothing_is_said_not_to_be_there() {
    let idp = CommandLine::new().await;
    // An import asks for it, and nothing else does.
    let importing = hold(&idp, "idp.file").await;
    let server = Server::start(&idp);
    for asked in ["owner payment-api", "who owns payment-api?", "payment-api", "list"] {
        let said = server.says(asked).to_string();
        assert!(said.contains("right now: the first import is under way"), "{asked}: {said}");
    }
    let (status, said) = server.ready().await;
    assert_eq!((status, &said["database"]), (503, &"up".into()), "{said}");
    assert_eq!(said["reason"], "the first import is under way");

    importing.rollback().await.unwrap();
    server.says_at_last("owner payment-api", "payments");
    assert!(server.says("owner nobody-has-it").to_string().contains("There is no entity"));
    assert_eq!(server.ready().await.0, 200);
}

#[tokio::test]
async fn an_empty_source_is_a_catalog_and_no_source_is_none() {
    let idp = CommandLine::new().await;
    idp.set("sources: []\n");
    let server = Server::start(&idp);
    let said = server.says("owner payment-api").to_string();
    assert!(said.contains(" lists no sources to read it from. Add one under "), "{said}");
    let (status, said) = server.ready().await;
    assert_eq!((status, said["ready"].as_bool()), (503, Some(false)), "{said}");

    idp.write("portal/empty/note.txt", "");
    idp.set("sources: [{path: empty}]\n");
    server.says_at_last("owner payment-api", "There is no entity");
    assert_eq!(server.ready().await.0, 200);
}

/// `idp serve` answers, stops, and leaves the copy of the catalog on disk.
async fn leaves_a_copy(idp: &CommandLine) {
    let mut server = Server::start(idp);
    server.says_at_last("owner payment-api", "payments");
    server.tell(Signal::SIGTERM);
    assert_eq!(server.ends(), Some(0));
    copied(idp).await;
}

/// The copy of the catalog on disk, once it is written.
async fn copied(idp: &CommandLine) {
    let is_copied = async || {
        let files = std::fs::read_dir(idp.path("data")).into_iter().flatten().flatten();
        let names = files.map(|it| it.file_name().to_string_lossy().into_owned());
        names.filter(|it| it.starts_with("catalog-") && it.ends_with(".copy")).count()
    };
    until("a copy of the catalog", is_copied, |copies| *copies == 1).await;
}

#[tokio::test]
async fn the_copy_on_disk_answers_until_a_change_is_loaded() {
    let idp = CommandLine::new().await;
    leaves_a_copy(&idp).await;
    idp.write("portal/catalog/new.yaml", FRESH);
    assert_eq!(idp.runs(&["catalog", "import", "portal/catalog"]).code, 0);

    // Nothing can be loaded, and the database is there.
    let loading = hold(&idp, "idp.stored_entity").await;
    let server = Server::start(&idp);
    assert!(server.says("owner payment-api").to_string().contains("payments"));
    assert!(server.says("owner fresh").to_string().contains("There is no entity"));
    loading.rollback().await.unwrap();
    server.says_at_last("owner fresh", "payments");
}

#[tokio::test]
async fn the_copy_of_another_database_answers_nothing() {
    let idp = CommandLine::new().await;
    leaves_a_copy(&idp).await;

    // Another one under the same address.
    let pool = &idp.database.as_ref().unwrap().pool;
    sqlx::query("drop schema idp cascade").execute(pool).await.unwrap();
    idp.set("sources: []\n");
    let server = Server::start(&idp);
    let is_told =
        |it: &Value| it["message"] == "the copy on disk is of another database, or an older one";
    assert!(server.started.iter().any(is_told), "{:#?}", server.started);
    let said = server.says("owner payment-api").to_string();
    assert!(said.contains("lists no sources"), "{said}");
}

#[tokio::test]
async fn two_processes_share_the_private_database() {
    let idp = CommandLine::private();
    let first = Server::start(&idp);
    let mut second = Server::start(&idp);
    for server in [&first, &second] {
        server.says_at_last("owner payment-api", "payments");
    }
    second.tell(Signal::SIGTERM);
    assert_eq!(second.ends(), Some(0));

    // The one that is left still has its database.
    idp.write("portal/catalog/new.yaml", FRESH);
    first.says_at_last("owner fresh", "payments");
    drop(first);
    assert_eq!(idp.runs(&["db", "stop"]).code, 0);
}
