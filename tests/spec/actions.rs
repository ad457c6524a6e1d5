//! Actions: asked for by one, approved by others, done once.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use idp::access::Link;
use idp::actions::dispatch::order::{REDEEM, token};
use idp::actions::dispatch::report::{Taken, flow as receiver};
use idp::actions::{ActionSet, file};
use idp::app::App;
use idp::catalog::EntityRef;
use idp::chat::discord::outbound::Message as DiscordMessage;
use idp::chat::slack::outbound::Message as SlackMessage;
use idp::commands::CommandSet;
use idp::config::SecretReference;
use idp::conversation::{Invocation, Platform, Reply, Speaker, Way};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio_util::task::TaskTracker;

use crate::asking::{Asking, import_links, invocation};
use crate::scale::full_or;
use crate::waiting::until;
use crate::{discord_judge, slack_judge};

/// Who asks, of a team that owns nothing of it.
pub const ASKER: &str = "priya-raman";
/// An owner of the target.
pub const OWNER: &str = "zoe-laurent";
/// Of the platform team, which the rule asks as well.
pub const PLATFORM: &str = "daniel-kim";

/// Somewhere that things are started, which counts what it was sent.
#[derive(Clone, Default)]
pub struct Ops(pub Arc<Seen>);

#[derive(Default)]
pub struct Seen {
    /// How often each key came, and how often something ran for it.
    pub keys: Mutex<BTreeMap<String, (usize, usize)>>,
    pub sent: Mutex<Vec<(HeaderMap, Value)>>,
    /// So many answers are lost after the effect.
    pub losing: AtomicUsize,
    /// Whether it knows keys.
    pub forgets: std::sync::atomic::AtomicBool,
    /// The step of a body that fails.
    pub failing: Mutex<String>,
    /// What it answers, where it is not that it is done.
    pub answer: Mutex<Option<(u16, Value)>>,
}

impl Ops {
    async fn start() -> (Ops, String) {
        let ops = Ops::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/restart", post(Ops::take)).with_state(ops.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (ops, format!("http://{address}/restart"))
    }

    async fn take(State(ops): State<Ops>, headers: HeaderMap, body: Bytes) -> Response {
        let key = headers["idempotency-key"].to_str().unwrap().to_string();
        let seen = &ops.0;
        {
            let mut keys = seen.keys.lock().unwrap();
            let (times, runs) = keys.entry(key).or_default();
            *times += 1;
            if *runs == 0 || seen.forgets.load(Ordering::SeqCst) {
                *runs += 1;
            }
        }
        let body: Value = serde_json::from_slice(&body).unwrap();
        let fails = body["step"].as_str().is_some_and(|it| *seen.failing.lock().unwrap() == it);
        seen.sent.lock().unwrap().push((headers, body));
        let lost =
            seen.losing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1));
        if lost.is_ok() {
            return (StatusCode::BAD_GATEWAY, "lost on the way").into_response();
        }
        if fails {
            return axum::Json(json!({ "status": "failed", "message": "no quorum" }))
                .into_response();
        }
        let answer = seen.answer.lock().unwrap().clone();
        let (status, answer) = answer.unwrap_or((200, json!({ "status": "succeeded" })));
        (StatusCode::from_u16(status).unwrap(), axum::Json(answer)).into_response()
    }

    pub fn answers(&self, status: u16, body: Value) {
        *self.0.answer.lock().unwrap() = Some((status, body));
    }

    /// How often something was sent, and how often something ran.
    pub fn counts(&self) -> (usize, usize) {
        let keys = self.0.keys.lock().unwrap();
        keys.values().fold((0, 0), |(times, runs), it| (times + it.0, runs + it.1))
    }
}

pub struct Doing {
    pub asking: Arc<Asking>,
    pub ops: Ops,
    pub url: String,
    _secret: tempfile::NamedTempFile,
}

/// An action of one step at `url`, with `more` in its file.
pub fn action(url: &str, more: &str) -> String {
    let approve = match more.contains("approve:") {
        true => "",
        false => "approve: {by: [owner, {who: group:platform}], within: 4h}\n",
    };
    let risk = if more.contains("risk:") { "" } else { "risk: low\n" };
    let steps = match more.contains("invoke:") {
        true => String::new(),
        false => format!("invoke: {{webhook: \"{url}\", secret: ops}}\n"),
    };
    format!(
        "name: restart\ntitle: Restart\ntarget: {{kinds: [Component]}}\ninputs:\n  - {{name: reason, title: Why}}\n{risk}{approve}{steps}{more}"
    )
}

impl Doing {
    pub async fn acme() -> Doing {
        Doing::with("").await
    }

    /// With `more` in the action's file.
    pub async fn with(more: &str) -> Doing {
        let (ops, url) = Ops::start().await;
        let mut secret = tempfile::NamedTempFile::new().unwrap();
        write!(secret, "a secret of operations").unwrap();
        let path = secret.path().to_path_buf();
        let asking = Asking::with(CommandSet::built_in(), move |settings| {
            settings.secrets.insert("ops".into(), SecretReference::File(path));
            settings.public_url = Some("http://idp.acme.example".into());
        });
        let doing = Doing { asking: Arc::new(asking.await), ops, url, _secret: secret };
        doing.defines(&action(&doing.url, more));
        doing
    }

    pub fn app(&self) -> &App {
        &self.asking.app
    }

    pub fn db(&self) -> &PgPool {
        &self.asking.fresh.pool
    }

    /// `text` is the one action file from now on.
    pub fn defines(&self, text: &str) {
        let action = file::read(text, "restart.yaml").unwrap_or_else(|it| panic!("{text}: {it:?}"));
        self.app().actions.store(Arc::new(ActionSet::new(vec![action])));
    }

    pub fn account(&self, who: &str) -> Speaker {
        let links = self.app().links.now();
        let user = EntityRef::new("user", "default", who);
        let is_theirs = |(account, link): &(&Speaker, &Link)| {
            link.user == user && account.platform == Platform::Slack
        };
        let found = links.by_account.iter().find(is_theirs);
        found.unwrap_or_else(|| panic!("{who} is linked")).0.clone()
    }

    pub async fn says(&self, who: &str, text: &str) -> Reply {
        self.says_by(Way::Command, who, text).await
    }

    pub async fn says_by(&self, way: Way, who: &str, text: &str) -> Reply {
        let speaker = self.account(who);
        self.app().answer(way, Invocation { speaker, ..invocation(text) }).await
    }

    /// What `who` is answered, which is no refusal.
    pub async fn does(&self, who: &str, text: &str) -> Reply {
        let reply = self.says(who, text).await;
        assert_eq!(reply.refusal, None, "{who}: {text}: {}", reply.markdown);
        reply
    }

    /// The number of a new request of the asker's.
    pub async fn asks(&self, reason: &str) -> i64 {
        let ask = format!("run restart payment-api reason=\"{reason}\"");
        self.does(ASKER, &ask).await.answer["id"].as_i64().unwrap()
    }

    pub async fn approved(&self, reason: &str) -> i64 {
        let id = self.asks(reason).await;
        self.does(OWNER, &format!("approve {id}")).await;
        self.does(PLATFORM, &format!("approve {id}")).await;
        id
    }

    /// Does what is to be done now, to its end as far as it goes.
    pub async fn works(&self) {
        self.tries_to_work().await.unwrap();
    }

    pub async fn tries_to_work(&self) -> anyhow::Result<()> {
        let tasks = TaskTracker::new();
        self.app().do_what_is_due(self.db(), &tasks).await?;
        tasks.close();
        tasks.wait().await;
        Ok(())
    }

    /// What waits for a time is due now.
    pub async fn time_passes(&self) {
        let all = "update idp.execution set next_at = clock_timestamp() where ended_at is null";
        sqlx::query(all).execute(self.db()).await.unwrap();
    }

    pub async fn text(&self, sql: &str, id: i64) -> String {
        sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(sql.to_string()))
            .bind(id)
            .fetch_one(self.db())
            .await
            .unwrap()
    }

    pub async fn state(&self, id: i64) -> String {
        self.text("select state from idp.request where id = $1", id).await
    }

    pub async fn progress(&self, id: i64) -> String {
        self.text("select state from idp.execution where request = $1", id).await
    }

    pub async fn count(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_string())).fetch_one(self.db()).await.unwrap()
    }
}

pub fn code(reply: &Reply) -> &str {
    reply.refusal.as_ref().map_or("", |it| it.code.as_str())
}

#[tokio::test]
async fn a_restart_is_denied_asked_for_again_approved_by_two_and_done_once() {
    let doing = Doing::acme().await;
    let first = doing.asks("too many errors").await;
    let no_reason = doing.says(OWNER, &format!("deny {first}")).await;
    assert_eq!(code(&no_reason), "missing_argument", "{}", no_reason.markdown);
    doing.does(OWNER, &format!("deny {first} The traffic is at its peak")).await;
    assert_eq!(doing.state(first).await, "denied");
    let late = doing.says(PLATFORM, &format!("approve {first}")).await;
    assert_eq!(code(&late), "settled");
    assert!(late.markdown.contains("it was denied by"), "{}", late.markdown);

    let second = doing.asks("too many errors").await;
    assert_ne!(first, second);
    let one = doing.does(OWNER, &format!("approve {second}")).await;
    assert!(one.markdown.contains("1 of 2"), "{}", one.markdown);
    doing.works().await;
    assert_eq!(doing.ops.counts(), (0, 0), "one of two is not enough");
    let two = doing.does(PLATFORM, &format!("approve {second}")).await;
    assert!(two.markdown.contains("approved, about to begin"), "{}", two.markdown);
    doing.works().await;
    assert_eq!(doing.ops.counts(), (1, 1));
    assert_eq!(doing.progress(second).await, "succeeded");
    doing.works().await;
    doing.time_passes().await;
    doing.works().await;
    assert_eq!(doing.ops.counts(), (1, 1));
    let (headers, body) = doing.ops.0.sent.lock().unwrap()[0].clone();
    let intent =
        doing.text("select encode(intent, 'hex') from idp.request where id = $1", second).await;
    assert_eq!(headers["x-idp-intent"].to_str().unwrap(), intent);
    assert_eq!(body["inputs"], json!({ "reason": "too many errors" }));
    assert_eq!(body["target"], "component:default/payment-api");
    let shown = doing.does(ASKER, &format!("requests show {second}")).await.markdown;
    for said in ["succeeded", "**Zoé Laurent** approved", "**Daniel Kim** approved", &intent[..8]]
    {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    assert!(doing.does(ASKER, "requests mine").await.markdown.contains("**2 requests**"));
}

#[tokio::test]
async fn nobody_decides_on_their_own_request_nor_who_is_not_asked() {
    let doing = Doing::acme().await;
    let id = doing.asks("mine").await;
    for text in [format!("approve {id}"), format!("deny {id} no")] {
        assert_eq!(code(&doing.says(ASKER, &text).await), "not_allowed");
        assert_eq!(code(&doing.says("tomas-novak", &text).await), "not_allowed");
        let unknown = Speaker { user_id: "U0STRANGER".into(), ..doing.account(ASKER) };
        let stranger = Invocation { speaker: unknown, ..invocation(&text) };
        let stranger = doing.app().answer(Way::Command, stranger).await;
        assert_ne!(code(&stranger), "", "{}", stranger.markdown);
    }
    // An owner who asks is no approver of it either, whatever else they are.
    let own = doing.does(OWNER, "run restart payment-api reason=own").await.answer["id"].clone();
    assert_eq!(code(&doing.says(OWNER, &format!("approve {own}")).await), "not_allowed");
    assert_eq!(doing.count("select count(*) from idp.vote").await, 0);
    doing.does(OWNER, &format!("approve {id}")).await;
    let twice = doing.says(OWNER, &format!("approve {id}")).await;
    assert_eq!(code(&twice), "settled", "{}", twice.markdown);
    assert_eq!(doing.state(id).await, "pending", "the same person counts once");
}

#[tokio::test]
async fn a_card_of_something_else_is_not_approved() {
    let doing = Doing::acme().await;
    let (one, other) = (doing.asks("one").await, doing.asks("other").await);
    let digits = doing
        .text("select left(encode(intent, 'hex'), 8) from idp.request where id = $1", one)
        .await;
    let mixed = doing.says(OWNER, &format!("approve {other}-{digits}")).await;
    assert_eq!(code(&mixed), "settled", "{}", mixed.markdown);
    doing.does(OWNER, &format!("approve {one}-{digits}")).await;
    assert_eq!(doing.count("select count(*) from idp.vote").await, 1);
}

/// E6: between the request and its approval, and between its approval and its beginning.
#[tokio::test]
async fn what_a_changed_definition_makes_of_a_request_is_nothing() {
    let doing = Doing::acme().await;
    let same = action(&doing.url, "");
    let changes = [
        Some(action(&doing.url, "summary: Something else\n")),
        Some(action(&doing.url, "risk: medium\n")),
        Some(action(&doing.url, "approve: {by: [owner], within: 4h}\n")),
        Some(action(&doing.url.replace("/restart", "/elsewhere"), "")),
        Some(same.replace("name: restart", "name: reboot")),
        None,
    ];
    let requests = full_or(5_000, 24);
    for round in 0..requests {
        doing.defines(&same);
        let change = &changes[round / 2 % changes.len()];
        let changed = || match change {
            Some(text) => doing.defines(text),
            None => doing.app().actions.store(Arc::default()),
        };
        if round % 2 == 0 {
            let id = doing.asks(&format!("before {round}")).await;
            changed();
            assert_eq!(code(&doing.says(OWNER, &format!("approve {id}")).await), "settled");
            assert_eq!(doing.state(id).await, "void");
        } else {
            let id = doing.approved(&format!("after {round}")).await;
            changed();
            doing.works().await;
            assert_eq!(doing.progress(id).await, "void");
        }
    }
    println!("REL E6 requests={requests} changes={} begun={}", changes.len(), doing.ops.counts().0);
    assert_eq!(doing.ops.counts(), (0, 0));
    doing.defines(changes[0].as_ref().unwrap());
    doing.approved("the control").await;
    doing.works().await;
    assert_eq!(doing.ops.counts(), (1, 1));
}

/// Whoever lost what made them an approver is refused at the next click, and what is of high risk does not begin either.
#[tokio::test]
async fn rights_are_looked_at_when_they_are_used() {
    let doing = Doing::acme().await;
    let id = doing.asks("rights").await;
    let account = doing.account(OWNER);
    // Another process removes the link; this one has not heard of it.
    idp::access::flow::remove(doing.db(), &account).await.unwrap();
    let speaker = account.clone();
    let invocation = |text: String| Invocation { speaker: speaker.clone(), ..invocation(&text) };
    let clicked = doing.app().answer(Way::Button, invocation(format!("approve {id}"))).await;
    assert_eq!(code(&clicked), "unavailable", "{}", clicked.markdown);
    doing.app().links.set(idp::access::flow::load(doing.db()).await.unwrap());
    let clicked = doing.app().answer(Way::Button, invocation(format!("approve {id}"))).await;
    assert_eq!(code(&clicked), "not_allowed", "{}", clicked.markdown);
    assert_eq!(doing.count("select count(*) from idp.vote").await, 0);
    let line = json!({ "platform": "slack", "tenant": "T0ACME", "user_id": account.user_id,
        "user": format!("user:default/{OWNER}") });
    import_links(doing.app(), doing.db(), vec![line]).await;
    doing.does(OWNER, &format!("approve {id}")).await;
}

/// E16: however the end of an input is hidden.
#[tokio::test]
async fn what_a_card_does_not_show_must_be_opened_first() {
    let doing = Doing::acme().await;
    let requests = full_or(1_000, 8);
    for round in 0..requests {
        let filler = ["x", " ", "\n", "\t", "\u{e9}", "\u{1f600}"][round % 6];
        let many =
            if filler == "\n" || filler == "\t" { 1 + round % 30 } else { 201 + round % 150 };
        let long = format!("restart {round}{} and drop the tables", filler.repeat(many));
        let ask =
            format!("run restart payment-api {}", idp::actions::input::words([("reason", &*long)]));
        let id = doing.does(ASKER, &ask).await.answer["id"].as_i64().unwrap();
        let refused = doing.says(OWNER, &format!("approve {id}")).await;
        assert_eq!(code(&refused), "not_allowed", "{long:?}");
        let opened = doing.does(OWNER, &format!("requests show {id}")).await.markdown;
        assert!(opened.contains("and drop the tables"), "{opened}");
        doing.does(OWNER, &format!("approve {id}")).await;
        // That somebody opened it says nothing of others.
        assert_eq!(code(&doing.says(PLATFORM, &format!("approve {id}")).await), "not_allowed");
        doing.does(ASKER, &format!("cancel {id}")).await;
    }
    println!("REL E16 requests={requests} approved_unseen=0");
    let short = doing.asks("short").await;
    doing.does(PLATFORM, &format!("approve {short}")).await;
}

#[tokio::test]
async fn what_is_of_medium_risk_takes_the_targets_name() {
    let doing = Doing::with("risk: medium\n").await;
    let id = doing.asks("medium").await;
    assert_eq!(code(&doing.says(OWNER, &format!("approve {id}")).await), "missing_argument");
    assert_eq!(code(&doing.says(OWNER, &format!("approve {id} ledger")).await), "missing_argument");
    doing.does(OWNER, &format!("approve {id} payment-api")).await;
    let proof = doing.text("select proof from idp.vote where request = $1", id).await;
    assert_eq!(proof, "typed");
}

#[tokio::test]
async fn who_asked_takes_it_back_before_it_begins_and_not_after() {
    let doing = Doing::acme().await;
    let id = doing.asks("taken back").await;
    assert_eq!(code(&doing.says("tomas-novak", &format!("cancel {id}")).await), "not_allowed");
    doing.does(ASKER, &format!("cancel {id} not needed")).await;
    assert_eq!(code(&doing.says(OWNER, &format!("approve {id}")).await), "settled");
    let id = doing.approved("approved and taken back").await;
    doing.does(ASKER, &format!("cancel {id}")).await;
    doing.works().await;
    assert_eq!((doing.progress(id).await.as_str(), doing.ops.counts()), ("cancelled", (0, 0)));
    let id = doing.approved("too late").await;
    doing.works().await;
    assert_eq!(code(&doing.says(ASKER, &format!("cancel {id}")).await), "settled");
    assert_eq!(doing.ops.counts(), (1, 1));
}

#[tokio::test]
async fn what_nobody_decides_on_expires_by_the_databases_clock() {
    let doing = Doing::acme().await;
    let id = doing.asks("slow").await;
    doing.does(OWNER, &format!("approve {id}")).await;
    // The trigger keeps requests as they were asked: only a superuser's session can let time pass.
    let past = "set session_replication_role = replica;
        update idp.request set expires_at = clock_timestamp() - interval '1 s', requested_at = clock_timestamp() - interval '4 h';
        set session_replication_role = origin";
    sqlx::raw_sql(past).execute(doing.db()).await.unwrap();
    let late = doing.says(PLATFORM, &format!("approve {id}")).await;
    assert_eq!(code(&late), "settled", "{}", late.markdown);
    let office = doing.app().office(doing.db());
    // What somebody holds right now ends with the next look.
    let look = async || idp::actions::flow::tick(&office.desk()).await.unwrap();
    until("the request ended", look, |ended| *ended == 1).await;
    assert_eq!(doing.state(id).await, "expired");
    assert_eq!(idp::actions::flow::tick(&office.desk()).await.unwrap(), 0);
}

/// Ends the time of a request while what somebody says to it is written into `table`.
pub fn time_ends(when: &str, table: &str) -> String {
    format!(
        "create function idp.time_ends() returns trigger language plpgsql as $$
         begin
             set local session_replication_role = replica;
             update idp.request set expires_at = clock_timestamp() where id = new.request;
             set local session_replication_role = origin;
             return new;
         end $$;
         create trigger a_moment_later {when} insert on idp.{table} for each row execute function idp.time_ends()"
    )
}

#[tokio::test]
async fn what_is_said_in_time_counts_however_long_writing_it_down_takes() {
    for (said, state) in [("approve {}", "approved"), ("deny {} enough", "denied")] {
        let doing = Doing::acme().await;
        let id = doing.asks("just in time").await;
        doing.does(OWNER, &format!("approve {id}")).await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(time_ends("after", "vote")))
            .execute(doing.db())
            .await
            .unwrap();
        doing.does(PLATFORM, &said.replace("{}", &id.to_string())).await;
        assert_eq!(doing.state(id).await, state);
        let in_time = "select count(*) from idp.request where decided_at < expires_at and expires_at < clock_timestamp()";
        assert_eq!(doing.count(in_time).await, 1, "{said}");
    }
}

#[tokio::test]
async fn what_is_said_a_moment_too_late_is_told_so_and_does_not_count() {
    let doing = Doing::acme().await;
    let id = doing.asks("a moment too late").await;
    doing.does(OWNER, &format!("approve {id}")).await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(time_ends("before", "vote")))
        .execute(doing.db())
        .await
        .unwrap();
    let late = doing.says(PLATFORM, &format!("approve {id}")).await;
    assert_eq!(code(&late), "settled", "{}", late.markdown);
    assert!(late.markdown.contains("in time"), "{}", late.markdown);
    assert_eq!(doing.count("select count(*) from idp.vote").await, 1);
    assert_eq!(doing.count("select count(*) from idp.execution").await, 0);
}

#[tokio::test]
async fn a_request_that_nobody_could_approve_is_not_made() {
    let doing = Doing::with("approve: {by: [{who: user:priya-raman}]}\n").await;
    let refused = doing.says(ASKER, "run restart payment-api reason=x").await;
    assert_eq!(code(&refused), "not_allowed");
    assert!(refused.markdown.contains("Nobody could approve"), "{}", refused.markdown);
    doing.does(OWNER, "run restart payment-api reason=x").await;
    assert_eq!(doing.count("select count(*) from idp.request").await, 1);
}

#[tokio::test]
async fn what_cannot_wait_is_done_without_approval_by_who_may_with_a_reason() {
    let doing = Doing::with("break_glass: [group:platform]\n").await;
    let text = "run restart payment-api reason=down break-glass=\"everything is down\"";
    assert_eq!(code(&doing.says(ASKER, text).await), "not_allowed");
    let no_reason = "run restart payment-api reason=down break-glass=\" \"";
    assert_eq!(code(&doing.says(PLATFORM, no_reason).await), "invalid_argument");
    let id = doing.does(PLATFORM, text).await.answer["id"].as_i64().unwrap();
    doing.works().await;
    assert_eq!((doing.progress(id).await.as_str(), doing.ops.counts()), ("succeeded", (1, 1)));
}

#[tokio::test]
async fn nothing_is_begun_while_it_is_stopped() {
    let doing = Doing::acme().await;
    assert_eq!(code(&doing.says(OWNER, "requests stop the cluster burns").await), "not_allowed");
    let id = doing.approved("stopped").await;
    doing.does(PLATFORM, "requests stop the cluster burns").await;
    for _ in 0..3 {
        doing.works().await;
        doing.time_passes().await;
    }
    assert_eq!((doing.progress(id).await.as_str(), doing.ops.counts()), ("ready", (0, 0)));
    doing.does(PLATFORM, "requests resume").await;
    doing.time_passes().await;
    doing.works().await;
    assert_eq!((doing.progress(id).await.as_str(), doing.ops.counts()), ("succeeded", (1, 1)));
}

/// What is written into a restored database before any process starts on it.
#[tokio::test]
async fn the_row_that_the_runbook_writes_lets_nothing_begin() {
    let page = std::fs::read_to_string("deploy/runbook.md").unwrap();
    let row = page.split("```sql").nth(1).and_then(|it| it.split("```").next()).unwrap();
    let doing = Doing::acme().await;
    let id = doing.approved("before the restore").await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(row.to_string())).execute(doing.db()).await.unwrap();
    doing.works().await;
    assert_eq!((doing.progress(id).await.as_str(), doing.ops.counts()), ("ready", (0, 0)));
    doing.does(PLATFORM, "requests resume").await;
    doing.works().await;
    assert_eq!(doing.ops.counts(), (1, 1));
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let doing = Doing::acme().await;
    doing.ops.0.losing.store(3, Ordering::SeqCst);
    let id = doing.approved("lost").await;
    for _ in 0..4 {
        doing.works().await;
        doing.time_passes().await;
    }
    assert_eq!(doing.progress(id).await, "succeeded");
    assert_eq!(doing.ops.counts(), (4, 1), "sent four times, run once");
    // The control: a receiver that knows no keys runs it each time.
    doing.ops.0.forgets.store(true, Ordering::SeqCst);
    doing.ops.0.losing.store(1, Ordering::SeqCst);
    doing.approved("lost again").await;
    for _ in 0..2 {
        doing.works().await;
        doing.time_passes().await;
    }
    assert_eq!(doing.ops.counts(), (6, 3));
}

#[tokio::test]
async fn what_cannot_be_told_apart_is_sent_once_and_a_person_is_asked() {
    let doing = Doing::acme().await;
    let blind = format!("invoke: {{webhook: \"{}\", secret: ops, blind: true}}\n", doing.url);
    doing.defines(&action(&doing.url, &blind));
    doing.ops.0.forgets.store(true, Ordering::SeqCst);
    doing.ops.0.losing.store(1, Ordering::SeqCst);
    let id = doing.approved("blind").await;
    for _ in 0..4 {
        doing.works().await;
        doing.time_passes().await;
    }
    assert_eq!((doing.progress(id).await.as_str(), doing.ops.counts()), ("unknown", (1, 1)));
    assert_eq!(code(&doing.says(ASKER, &format!("requests ran {id}")).await), "not_allowed");
    doing.does(OWNER, &format!("requests ran {id}")).await;
    doing.works().await;
    assert_eq!((doing.progress(id).await.as_str(), doing.ops.counts()), ("succeeded", (1, 1)));
}

#[tokio::test]
async fn a_receiver_says_how_it_goes_by_a_token_that_is_good_for_nothing_else() {
    let doing = Doing::acme().await;
    doing.ops.answers(202, json!({ "status": "started", "reference": "job-7" }));
    let (one, other) = (doing.approved("one").await, {
        doing.works().await;
        doing.asks("other").await
    });
    assert_eq!(doing.progress(one).await, "running");
    let body = doing.ops.0.sent.lock().unwrap()[0].1.clone();
    let callback = body["callback"].as_str().unwrap();
    let token = callback.rsplit('/').next().unwrap().to_string();
    let office = doing.app().office(doing.db());
    let report = |status: &str| {
        serde_json::from_value(json!({ "status": status, "note": "3 of 4" })).unwrap()
    };
    for forged in forged(&token, other) {
        let taken = receiver::report(&office, &forged, &report("succeeded")).await.unwrap();
        assert_eq!(taken, Taken::Unknown, "{forged}");
        assert_eq!(receiver::redeem(&office, &forged, "run").await.unwrap(), None, "{forged}");
    }
    // The token of a callback redeems nothing.
    assert_eq!(receiver::redeem(&office, &token, "run").await.unwrap(), None);
    let taken = receiver::report(&office, &token, &report("running")).await.unwrap();
    assert_eq!(taken, Taken::Taken);
    let taken = receiver::report(&office, &token, &report("succeeded")).await.unwrap();
    assert_eq!(taken, Taken::Taken);
    doing.works().await;
    assert_eq!(doing.progress(one).await, "succeeded");
    // What has ended stays as it is, whatever comes again or late.
    for status in ["failed", "running", "succeeded"] {
        let taken = receiver::report(&office, &token, &report(status)).await.unwrap();
        assert_eq!(taken, Taken::TooLate, "{status}");
    }
    assert_eq!(doing.progress(one).await, "succeeded");
    assert_eq!(doing.state(other).await, "pending");
}

/// Tokens that are not `token`: of another request or step, of other digits, cut, longer, or none.
fn forged(token: &str, other: i64) -> Vec<String> {
    let mac = token.rsplit('-').next().unwrap();
    let mut forged = vec![
        format!("{other}-0-{mac}"),
        token.replacen("-0-", "-1-", 1),
        token.replacen("-0-", "--1-", 1),
        format!("{token}0"),
        token[..token.len() - 1].to_string(),
        token.to_uppercase(),
        String::new(),
        "1".into(),
        "1-0-".into(),
        "9223372036854775808-0-00".into(),
        format!("0{token}"),
    ];
    for place in 0..mac.len() {
        let mut changed: Vec<u8> = mac.bytes().collect();
        changed[place] = if changed[place] == b'0' { b'1' } else { b'0' };
        forged.push(token.replace(mac, std::str::from_utf8(&changed).unwrap()));
    }
    forged.retain(|it| it != token);
    forged
}

#[tokio::test]
async fn of_several_runs_of_one_step_one_works() {
    let doing = Doing::acme().await;
    doing.ops.answers(202, json!({ "status": "started" }));
    let id = doing.approved("redeemed").await;
    let office = doing.app().office(doing.db());
    let mut db = doing.db().acquire().await.unwrap();
    let request = idp::actions::store::whole(&mut db, id).await.unwrap().unwrap().request;
    let token = token(&office.key, REDEEM, &request, 0);
    let redeems = async |run: &str| receiver::redeem(&office, &token, run).await.unwrap();
    assert_eq!(redeems("early").await, Some(false), "nothing was sent yet");
    doing.works().await;
    assert_eq!(redeems("run-1").await, Some(true));
    assert_eq!(redeems("run-1").await, Some(true), "its answer was lost, and it asks again");
    for other in ["run-2", "run-3"] {
        assert_eq!(redeems(other).await, Some(false));
    }
}

#[tokio::test]
async fn one_thing_of_a_target_is_done_at_a_time() {
    let doing = Doing::acme().await;
    doing.ops.answers(202, json!({ "status": "started" }));
    let (one, other) = (doing.approved("one").await, doing.approved("other").await);
    doing.works().await;
    doing.time_passes().await;
    doing.works().await;
    let mut states = [doing.progress(one).await, doing.progress(other).await];
    states.sort_unstable();
    assert_eq!(states, ["ready", "running"]);
    assert_eq!(doing.ops.counts(), (1, 1));
}

#[tokio::test]
async fn steps_are_done_in_order_and_after_a_failure_only_those_that_are_meant_for_it() {
    let doing = Doing::acme().await;
    let step = |name: &str, more: &str| {
        let url = &doing.url;
        format!(
            "  - {{name: {name}, {more}invoke: {{webhook: \"{url}\", secret: ops, body: {{step: {name}}}}}}}\n"
        )
    };
    let steps = [
        step("drain", ""),
        step("restart", ""),
        step("page", "on_failure: true, "),
        step("undrain", "always: true, "),
    ];
    let text =
        action(&doing.url, "invoke:").replace("invoke:", &format!("steps:\n{}", steps.join("")));
    doing.defines(&text);
    let id = doing.approved("steps").await;
    doing.works().await;
    assert_eq!(doing.progress(id).await, "succeeded");
    let done = |doing: &Doing| -> Vec<String> {
        let sent = doing.ops.0.sent.lock().unwrap();
        sent.iter().map(|(_, body)| body["step"].as_str().unwrap().to_string()).collect()
    };
    assert_eq!(done(&doing), ["drain", "restart", "undrain"]);
    doing.ops.answers(200, json!({ "status": "failed", "message": "no quorum" }));
    let id = doing.approved("steps that fail").await;
    doing.works().await;
    assert_eq!(doing.progress(id).await, "failed");
    assert_eq!(done(&doing)[3..], ["drain", "page", "undrain"]);
    let shown = doing.does(ASKER, &format!("requests show {id}")).await.markdown;
    assert!(shown.contains("no quorum"), "{shown}");
}

/// Whatever a program believes, the tables take no step that must not be.
#[tokio::test]
async fn the_tables_refuse_what_must_not_be() {
    let doing = Doing::acme().await;
    let (id, done) = (doing.asks("pending").await, doing.approved("done").await);
    doing.does(OWNER, &format!("approve {id}")).await;
    doing.works().await;
    let vote = |request: i64, person: &str, intent: &str| {
        format!(
            "insert into idp.vote (request, person, verdict, intent, factors, platform, tenant, account, generation, proof)
             select {request}, '{person}', 'approve', {intent}, '{{0}}', 'slack', 'T', 'U', 1, 'click'
             from idp.request where id = {id}"
        )
    };
    let execution = |request: i64, intent: &str| {
        format!(
            "insert into idp.execution (request, intent, start_by)
             select {request}, {intent}, now() from idp.request where id = {request}"
        )
    };
    let set = |table: &str, what: &str, id: i64| {
        let key = if table == "request" { "id" } else { "request" };
        format!("update idp.{table} set {what} where {key} = {id}")
    };
    let forbidden = [
        ("a vote on one's own", vote(id, "user:default/priya-raman", "intent")),
        ("a second vote", vote(id, "user:default/zoe-laurent", "intent")),
        ("a vote for something else", vote(id, "user:default/x", "sha256('x')")),
        (
            "a late vote",
            vote(done, "user:default/x", "(select intent from idp.request where id = 2)"),
        ),
        ("an execution before the quorum", execution(id, "intent")),
        ("a second execution", execution(done, "intent")),
        (
            "an approval before the quorum",
            set("request", "state = 'approved', decided_at = now()", id),
        ),
        ("a late decision", set("request", "state = 'denied', decided_at = expires_at", id)),
        ("another input", set("request", "inputs = '{}'", id)),
        ("another intent", set("request", "intent = sha256('x')", id)),
        ("another requester", set("request", "requester = 'user:default/x'", id)),
        ("another rule", set("request", "quorum = 0", id)),
        ("a longer time", set("request", "expires_at = 'infinity'", id)),
        ("an end that is none", set("request", "state = 'pending', decided_at = null", done)),
        ("another vote", set("vote", "verdict = 'deny'", id)),
        ("no vote", format!("delete from idp.vote where request = {id}")),
        ("an execution again", set("execution", "state = 'ready', ended_at = null", done)),
        ("an execution of something else", set("execution", "intent = sha256('x')", done)),
        ("a step again", set("step", "state = 'ready'", done)),
        ("fewer attempts", set("step", "attempts = 0", done)),
    ];
    for (what, sql) in &forbidden {
        let refused = sqlx::query(sqlx::AssertSqlSafe(sql.clone())).execute(doing.db()).await;
        assert!(refused.is_err(), "{what}: {refused:?}");
    }
    // The control: the same votes and executions are taken where they are right.
    let other = vote(id, "user:default/x", "intent");
    sqlx::query(sqlx::AssertSqlSafe(other)).execute(doing.db()).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(set("request", "state = 'approved', decided_at = now()", id)))
        .execute(doing.db())
        .await
        .unwrap();
    let right = execution(id, "intent");
    sqlx::query(sqlx::AssertSqlSafe(right)).execute(doing.db()).await.unwrap();
    println!("REL TABLES {} steps that must not be: 0 taken", forbidden.len());
}

#[tokio::test]
async fn a_secret_is_sealed_shown_to_nobody_and_sent_to_the_receiver() {
    let doing = Doing::acme().await;
    let text = action(&doing.url, "")
        .replace("inputs:\n", "inputs:\n  - {name: password, type: secret}\n");
    doing.defines(&text);
    let ask = "run restart payment-api reason=x password%=hunter2%20canary";
    let overheard = doing.says(ASKER, ask).await;
    assert_eq!(code(&overheard), "invalid_argument");
    assert!(!overheard.markdown.contains("canary"), "{}", overheard.markdown);
    let filled = doing.says_by(Way::Filled, ASKER, ask).await;
    let id = filled.answer["id"].as_i64().unwrap();
    let shown = doing.does(OWNER, &format!("requests show {id}")).await;
    assert!(
        !shown.markdown.contains("canary") && shown.markdown.contains("••••"),
        "{}",
        shown.markdown
    );
    let of = async |table: &str| {
        let all = format!("select coalesce(string_agg(t::text, ' '), '') from idp.{table} t");
        sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(all))
            .fetch_one(doing.db())
            .await
            .unwrap()
    };
    for table in ["request", "request_secret", "card", "card_line", "audit", "outbox", "inbox"] {
        assert!(!of(table).await.contains("canary"), "{table}");
    }
    assert!(of("request").await.contains("payment-api"), "the control");
    doing.does(OWNER, &format!("approve {id}")).await;
    doing.does(PLATFORM, &format!("approve {id}")).await;
    doing.works().await;
    assert_eq!(doing.ops.0.sent.lock().unwrap()[0].1["inputs"]["password"], "hunter2 canary");
    assert_eq!(doing.count("select count(*) from idp.request_secret").await, 0, "and forgotten");
}

#[tokio::test]
async fn what_is_frozen_is_not_asked_for() {
    let frozen = "freeze: [{from: 2000-01-01, until: 2999-01-01, why: Nothing moves}]\n";
    let doing = Doing::with(frozen).await;
    let refused = doing.says(ASKER, "run restart payment-api reason=x").await;
    assert_eq!(code(&refused), "not_allowed");
    assert!(refused.markdown.contains("Nothing moves"), "{}", refused.markdown);
}

#[tokio::test]
async fn who_asks_for_the_same_hears_of_the_same_and_nobody_asks_without_end() {
    let doing = Doing::acme().await;
    assert_eq!(doing.asks("same").await, doing.asks("same").await);
    for number in 0..19 {
        doing.asks(&format!("number {number}")).await;
    }
    let refused = doing.says(ASKER, "run restart payment-api reason=more").await;
    assert_eq!(code(&refused), "not_allowed", "{}", refused.markdown);
}

/// J6: what cannot be written into the log of decisions is not decided.
#[tokio::test]
async fn no_decision_is_made_that_the_log_does_not_take() {
    let doing = Doing::acme().await;
    let id = doing.asks("unlogged").await;
    let full = "create function idp.full() returns trigger language plpgsql as $$ begin raise exception 'full'; end $$;
        create trigger full_log before insert on idp.audit for each row execute function idp.full()";
    sqlx::raw_sql(full).execute(doing.db()).await.unwrap();
    let refused = doing.says(OWNER, &format!("approve {id}")).await;
    assert_eq!(code(&refused), "unavailable", "{}", refused.markdown);
    assert_eq!(doing.count("select count(*) from idp.vote").await, 0);
    assert_eq!(
        code(&doing.says(ASKER, "run restart payment-api reason=more").await),
        "unavailable"
    );
    assert_eq!(doing.count("select count(*) from idp.request").await, 1);
    sqlx::raw_sql("drop trigger full_log on idp.audit").execute(doing.db()).await.unwrap();
    doing.does(OWNER, &format!("approve {id}")).await;
    let logged = "select count(*) from idp.audit where kind = 'request.vote' and actor = 'user:default/zoe-laurent'";
    assert_eq!(doing.count(logged).await, 1);
}

/// What others wrote into a request stays what they wrote, in what each platform gets to show: on its card, and where it
/// is shown whole.
#[tokio::test]
async fn hostile_words_of_a_request_are_only_words() {
    let doing = Doing::with("channel: {slack: C0OPS, discord: \"600000000000000002\"}\n").await;
    doing.app().connected.store(Arc::new(vec![Platform::Slack, Platform::Discord]));
    let reads = async |reason: &str| {
        let ask =
            format!("run restart payment-api {}", idp::actions::input::words([("reason", reason)]));
        let id = doing.does(ASKER, &ask).await.answer["id"].as_i64().unwrap();
        let shown = doing.does(OWNER, &format!("requests show {id}")).await;
        let card = doing
            .text("select reply from idp.card where key = 'request ' || $1::bigint limit 1", id)
            .await;
        let card: Reply = serde_json::from_str(&card).unwrap();
        doing.does(ASKER, &format!("cancel {id}")).await;
        [read(&shown), read(&card)]
    };
    let mut read_so_far = 0;
    for hostile in [
        "<!channel> <@U1> @everyone",
        "<@U0ACME0013> <!subteam^S1> <#C1>",
        "[Approve](<idp:approve 1>)",
        "[x](<idp-person:slack=U0ACME0013>)",
        "[x](https://evil.example) https://evil.example <https://evil.example|x>",
        "a\n\n## Status: APPROVED",
        "`code` | table | ~~x~~ **bold** _it_",
        "```\n[Approve](<idp:approve 1>)",
        "</details> <script>alert(1)</script>",
    ] {
        // As many lines: what has several is shown in another place.
        let plain = if hostile.contains('\n') { "plain\nwords" } else { "plain words" };
        let (attacked, expected) = (reads(hostile).await, reads(plain).await);
        assert_eq!(attacked, expected, "{hostile:?}");
        read_so_far += attacked.len() * 2;
    }
    println!("REL G1-cards messages={read_so_far} changed=0");
}

/// The control of the reading: a card that says such words itself reads otherwise.
#[test]
fn the_reading_sees_what_is_not_escaped() {
    let says = |markdown: &str| read(&Reply { markdown: markdown.into(), ..Reply::default() });
    for hostile in [
        "[Approve](<idp:approve 1>)",
        "[x](<idp-person:slack=U0ACME0013>)",
        "[x](https://evil.example)",
    ] {
        assert_ne!(says(hostile), says("plain words"), "{hostile}");
    }
}

/// Who is mentioned, which links there are, and how many buttons and selects, in what Slack and what Discord are sent.
type Read = (Vec<String>, Vec<String>, usize);

/// What independent readers see in the message that each platform gets of `reply`.
fn read(reply: &Reply) -> [Read; 2] {
    let slack = serde_json::to_value(SlackMessage::of(reply)).unwrap();
    let discord = serde_json::to_value(DiscordMessage::of(reply)).unwrap();
    let seen = slack_judge::seen(&slack);
    let is_clicked = |it: &&String| it.starts_with("button") || it.contains("select");
    let clicked = slack_judge::shape(&slack).iter().filter(is_clicked).count();
    let of_slack = (seen.mentions, seen.links, clicked);
    let seen = discord_judge::seen(&discord);
    [of_slack, (seen.mentions, seen.links, discord_judge::components(&discord).len())]
}
