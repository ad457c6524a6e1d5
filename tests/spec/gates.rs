//! Deployments that wait at GitHub: asked for by its signed message, decided on in the thread, answered once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::http::HeaderMap;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use idp::access::Link;
use idp::actions::gate::flow as gates;
use idp::actions::{ActionSet, file, flow};
use idp::app::App;
use idp::catalog::EntityRef;
use idp::commands::CommandSet;
use idp::config::SecretReference;
use idp::conversation::{Invocation, Platform, Reply, Speaker, Way};
use idp::integrations::github::{Access, GitHub};
use idp::web::{self, Web};
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::PgPool;
use tokio_util::task::TaskTracker;

use crate::asking::{Asking, invocation};
use crate::database::Fresh;
use crate::invocation_world::{Asked, Fault, HEAD, Said, Server, TOKEN, fits};

const WEBHOOK_SECRET: &str = "canary-of-the-webhook-2c71";
/// Whose push it is: a User whose descriptor says so, of a team that owns nothing of it.
const SENDER: &str = "priya-raman";
/// An owner of the target.
const OWNER: &str = "zoe-laurent";
/// Of the platform team.
const PLATFORM: &str = "daniel-kim";

/// The runs of a GitHub, and what goes wrong with its next answers.
#[derive(Default)]
struct Runs {
    runs: Mutex<BTreeMap<u64, Run>>,
    faults: Mutex<Vec<Fault>>,
    wrong: Mutex<Vec<String>>,
}

struct Run {
    status: &'static str,
    started_at: DateTime<Utc>,
    waits: bool,
    reviews: Vec<Value>,
}

impl Runs {
    fn answer(&self, asked: &Asked) -> Said {
        if let Err(wrong) = fits(asked) {
            self.wrong.lock().unwrap().push(format!("{} {}: {wrong}", asked.method, asked.path));
        }
        if asked.headers["authorization"] != format!("Bearer {TOKEN}") {
            return Said::json(401, json!({ "message": "Bad credentials" }));
        }
        let is_review = asked.path.ends_with("/deployment_protection_rule");
        let fault = is_review.then(|| self.faults.lock().unwrap().pop()).flatten();
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
        let path = asked.bare_path().trim_start_matches("/repos/acme/payment-api/actions/runs/");
        let (id, what) = path.split_once('/').unwrap_or((path, ""));
        let mut runs = self.runs.lock().unwrap();
        let Some(run) = id.parse().ok().and_then(|id: u64| runs.get_mut(&id)) else {
            return Said::json(404, json!({ "message": "Not Found" }));
        };
        match what {
            "" => Said::json(
                200,
                json!({"id": 17, "status": run.status, "conclusion": null, "run_started_at": run.started_at}),
            ),
            "pending_deployments" if run.waits => {
                Said::json(200, json!([{"environment": {"id": 1, "name": "production"}}]))
            }
            "pending_deployments" => Said::json(200, json!([])),
            "deployment_protection_rule" if run.waits => {
                run.reviews.push(asked.json());
                run.waits = false;
                run.status = "in_progress";
                Said::status(204)
            }
            "deployment_protection_rule" => Said::json(422, json!({ "message": "Not waiting" })),
            other => panic!("{other}"),
        }
    }
}

struct Gates {
    app: Arc<App>,
    fresh: Fresh,
    address: SocketAddr,
    github: Arc<Runs>,
    _server: Server,
    _secrets: tempfile::TempDir,
}

fn action(more: &str) -> String {
    let approve = if more.contains("approve:") { "" } else { "approve: {by: [owner]}\n" };
    let risk = if more.contains("risk:") { "" } else { "risk: low\n" };
    format!(
        "name: release\ntitle: Release\ntarget: {{kinds: [Component]}}\n{risk}{approve}{more}invoke: {{github_environment: prod*, within: acme/*}}\n"
    )
}

impl Gates {
    async fn acme() -> Gates {
        let github = Arc::new(Runs::default());
        let answering = github.clone();
        let server = Server::answering(move |asked| answering.answer(asked)).await;
        let secrets = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            std::fs::write(secrets.path().join(name), text).unwrap();
            SecretReference::File(secrets.path().join(name))
        };
        let (token, secret) = (file("token", TOKEN), file("webhook", WEBHOOK_SECRET));
        let url = server.url();
        let asking = Asking::with(CommandSet::built_in(), move |settings| {
            let access = Access::Token(token);
            let webhook_secret = Some(secret);
            settings.integrations.github = Some(GitHub { url, access, webhook_secret });
        });
        let Asking { app, fresh } = asking.await;
        app.connected.store(Arc::new(vec![Platform::Slack]));
        let app = Arc::new(app);
        let web = Web { app: app.clone(), slack: None, discord: None, links: Vec::new() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, web::router(web)).await.unwrap() });
        let gates = Gates { app, fresh, address, github, _server: server, _secrets: secrets };
        gates.defines(&action(""));
        gates.waits(17);
        gates
    }

    fn defines(&self, text: &str) {
        let action = file::read(text, "release.yaml").unwrap_or_else(|it| panic!("{text}: {it:?}"));
        self.app.actions.store(Arc::new(ActionSet::new(vec![action])));
    }

    fn db(&self) -> &PgPool {
        &self.fresh.pool
    }

    /// The run `id` began a minute ago, and waits.
    fn waits(&self, id: u64) {
        let run = Run {
            status: "waiting",
            started_at: Utc::now() - TimeDelta::minutes(1),
            waits: true,
            reviews: Vec::new(),
        };
        self.github.runs.lock().unwrap().insert(id, run);
    }

    fn goes_wrong(&self, fault: Fault) {
        self.github.faults.lock().unwrap().push(fault);
    }

    fn reviews(&self) -> Vec<Value> {
        let runs = self.github.runs.lock().unwrap();
        runs.values().flat_map(|it| it.reviews.clone()).collect()
    }

    /// What the message `body` is answered with, signed and called as `headers` say.
    async fn sends(&self, body: &str, headers: HeaderMap) -> (u16, Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{}/github/webhooks", self.address);
        let said = client.post(url).headers(headers).body(body.to_string()).send().await.unwrap();
        let status = said.status().as_u16();
        (status, serde_json::from_str(&said.text().await.unwrap()).unwrap_or_default())
    }

    async fn asks(&self, event: &Value, delivery: &str) -> (u16, Value) {
        let body = event.to_string();
        self.sends(&body, headers(&signature(WEBHOOK_SECRET, &body), delivery)).await
    }

    /// The request that is made of `event`.
    async fn asked(&self, event: &Value) -> i64 {
        let (status, said) = self.asks(event, &format!("d-{}", event["deployment"]["id"])).await;
        assert_eq!(status, 200, "{said}");
        said["request"].as_i64().unwrap()
    }

    async fn says(&self, who: &str, text: &str) -> Reply {
        let user = EntityRef::new("user", "default", who);
        let links = self.app.links.now();
        let is_theirs = |(account, link): &(&Speaker, &Link)| {
            link.user == user && account.platform == Platform::Slack
        };
        let speaker = links.by_account.iter().find(is_theirs).unwrap().0.clone();
        self.app.answer(Way::Command, Invocation { speaker, ..invocation(text) }).await
    }

    async fn does(&self, who: &str, text: &str) -> Reply {
        let reply = self.says(who, text).await;
        assert_eq!(reply.refusal, None, "{who}: {text}: {}", reply.markdown);
        reply
    }

    /// Does what is due, as every process does, a few times over.
    async fn works(&self) {
        for _ in 0..3 {
            let tasks = TaskTracker::new();
            self.app.do_what_is_due(self.db(), &tasks).await.unwrap();
            tasks.close();
            tasks.wait().await;
            let office = self.app.office(self.db());
            gates::tick(&office).await.unwrap();
            let due = "update idp.execution set next_at = clock_timestamp() where ended_at is null;
                update idp.gate set next_at = clock_timestamp() where answer is null";
            sqlx::raw_sql(due).execute(self.db()).await.unwrap();
        }
    }

    async fn text(&self, sql: &str, id: i64) -> String {
        let read = sqlx::query_scalar::<_, Option<String>>(sqlx::AssertSqlSafe(sql.to_string()));
        read.bind(id).fetch_one(self.db()).await.unwrap().unwrap_or_default()
    }

    async fn state(&self, id: i64) -> String {
        self.text("select state from idp.request where id = $1", id).await
    }

    async fn answer(&self, id: i64) -> String {
        self.text("select answer from idp.gate where request = $1", id).await
    }

    async fn count(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_string())).fetch_one(self.db()).await.unwrap()
    }

    fn is_understood(&self) {
        let wrong = self.github.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn headers(signature: &str, delivery: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("x-hub-signature-256", signature),
        ("x-github-event", "deployment_protection_rule"),
        ("x-github-delivery", delivery),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    headers
}

/// What GitHub sends of the deployment `deployment` of the run 17, which `sender` pushed.
fn event(deployment: u64, sender: &str) -> Value {
    json!({
        "action": "requested", "environment": "production", "event": "push",
        "deployment_callback_url":
            "https://api.github.com/repos/acme/payment-api/actions/runs/17/deployment_protection_rule",
        "deployment": {
            "id": deployment, "sha": HEAD, "ref": "main", "creator": {"login": sender},
            "created_at": Utc::now(),
        },
        "repository": {"id": 1, "full_name": "acme/payment-api"}, "sender": {"login": sender},
    })
}

/// The same of another run.
fn of_run(run: u64, mut event: Value) -> Value {
    let callback = event["deployment_callback_url"].as_str().unwrap();
    event["deployment_callback_url"] = callback.replace("/17/", &format!("/{run}/")).into();
    event
}

fn code(reply: &Reply) -> &str {
    reply.refusal.as_ref().map_or("", |it| it.code.as_str())
}

#[tokio::test]
async fn a_deployment_is_asked_for_by_github_approved_in_the_thread_and_let_go_on_once() {
    let gates = Gates::acme().await;
    let id = gates.asked(&event(5, SENDER)).await;
    let shown = gates.does(OWNER, &format!("requests show {id}")).await.markdown;
    for said in ["Payment API", "**Priya Raman**", HEAD, "production", "acme/payment-api"] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    assert_eq!(gates.count("select count(*) from idp.card").await, 1, "in the owner's channel");
    gates.works().await;
    assert_eq!(gates.reviews(), [json!(null); 0], "nobody has decided yet");
    // Nobody asks for it themselves, and it is in nobody's list.
    assert_eq!(code(&gates.says(SENDER, "run release payment-api").await), "not_allowed");
    assert!(!gates.does(SENDER, "run").await.markdown.contains("release"));

    gates.does(OWNER, &format!("approve {id}")).await;
    gates.works().await;
    let intent =
        gates.text("select left(encode(intent, 'hex'), 8) from idp.request where id = $1", id);
    let comment = format!("Approved in request {id} of idp, intent {}.", intent.await);
    let wanted = json!({"environment_name": "production", "state": "approved", "comment": comment});
    assert_eq!(gates.reviews(), [wanted]);
    gates.works().await;
    assert_eq!(gates.reviews().len(), 1);
    assert_eq!(
        gates.text("select state from idp.execution where request = $1", id).await,
        "succeeded"
    );
    assert_eq!(gates.answer(id).await, "approved");
    gates.is_understood();
}

#[tokio::test]
async fn what_is_not_approved_is_rejected_with_the_reason_and_once() {
    let past = "set session_replication_role = replica;
        update idp.request set expires_at = clock_timestamp() - interval '1 s' where state = 'pending';
        set session_replication_role = origin";
    for (way, state, said) in [
        ("deny", "denied", "Denied in request 1 of idp by Zoé Laurent: the traffic is at its peak"),
        ("take back", "cancelled", "Taken back in request 1 of idp by Priya Raman"),
        ("expire", "expired", "Nobody decided in time in request 1 of idp"),
        (
            "change",
            "void",
            "Not begun in request 1 of idp: the action was changed since: ask again",
        ),
    ] {
        let gates = Gates::acme().await;
        let id = gates.asked(&event(5, SENDER)).await;
        match way {
            "deny" => {
                drop(gates.does(OWNER, &format!("deny {id} the traffic is at its peak")).await)
            }
            "take back" => drop(gates.does(SENDER, &format!("cancel {id}")).await),
            "expire" => drop(sqlx::raw_sql(past).execute(gates.db()).await.unwrap()),
            _ => {
                gates.defines(&action("summary: Something else\n"));
                assert_eq!(code(&gates.says(OWNER, &format!("approve {id}")).await), "settled");
            }
        }
        flow::tick(&gates.app.office(gates.db()).desk()).await.unwrap();
        assert_eq!(gates.state(id).await, state, "{way}");
        gates.works().await;
        let wanted =
            json!({"environment_name": "production", "state": "rejected", "comment": said});
        assert_eq!(gates.reviews(), [wanted], "{way}");
        assert_eq!(gates.answer(id).await, "rejected", "{way}");
        let late = gates.says(OWNER, &format!("approve {id}")).await;
        assert_eq!(code(&late), "settled", "{way}");
        gates.is_understood();
    }
}

#[tokio::test]
async fn what_was_approved_and_did_not_begin_is_rejected() {
    let gates = Gates::acme().await;
    let id = gates.asked(&event(5, SENDER)).await;
    gates.does(OWNER, &format!("approve {id}")).await;
    gates.defines(&action("summary: Something else\n"));
    gates.works().await;
    assert_eq!(gates.text("select state from idp.execution where request = $1", id).await, "void");
    let reviews = gates.reviews();
    assert_eq!((reviews.len(), &reviews[0]["state"]), (1, &json!("rejected")), "{reviews:?}");
}

#[tokio::test]
async fn what_github_did_not_sign_asks_for_nothing() {
    let gates = Gates::acme().await;
    let body = event(5, SENDER).to_string();
    let good = signature(WEBHOOK_SECRET, &body);
    let other_body = body.replace("main", "evil");
    let mut two = headers(&good, "d");
    two.append("x-hub-signature-256", good.parse().unwrap());
    let mut none = headers(&good, "d");
    none.remove("x-hub-signature-256");
    let mut forged = vec![
        (other_body.as_str(), headers(&good, "d")),
        (&body, headers(&signature("another secret", &body), "d")),
        (&body, headers(&signature("", &body), "d")),
        (&body, headers(&good.to_uppercase(), "d")),
        (&body, headers(&good.replace("sha256=", "sha1="), "d")),
        (&body, headers(good.trim_start_matches("sha256="), "d")),
        (&body, headers(&good[..70], "d")),
        (&body, two),
        (&body, none),
        ("", headers(&good, "d")),
    ];
    for place in 7..good.len() {
        let mut changed = good.clone().into_bytes();
        changed[place] = if changed[place] == b'0' { b'1' } else { b'0' };
        let changed = String::from_utf8(changed).unwrap();
        forged.push((&body, headers(&changed, "d")));
    }
    let count = forged.len();
    for (body, headers) in forged {
        let (status, said) = gates.sends(body, headers.clone()).await;
        assert_eq!((status, said), (401, Value::Null), "{headers:?}");
    }
    assert_eq!(gates.count("select count(*) from idp.request").await, 0);
    println!("REL GATES forged={count} taken=0");
    // The control: signed, it does. What GitHub signs of something else does nothing.
    let mut ping = headers(&good, "d");
    ping.insert("x-github-event", "ping".parse().unwrap());
    assert_eq!(gates.sends(&body, ping).await.0, 204);
    assert_eq!(gates.sends(&body, headers(&good, "d")).await.0, 200);
    assert_eq!(gates.count("select count(*) from idp.request").await, 1);
    let bad = json!({"action": "requested"});
    assert_eq!(gates.asks(&bad, "e").await.0, 400);
    // Without a secret nothing is heard.
    let mut settings = (*gates.app.settings.load_full()).clone();
    settings.integrations.github.as_mut().unwrap().webhook_secret = None;
    gates.app.settings.store(Arc::new(settings));
    assert_eq!(gates.sends(&body, headers(&good, "d")).await.0, 404);
}

#[tokio::test]
async fn what_github_sends_again_is_one_request() {
    let gates = Gates::acme().await;
    let event = event(5, SENDER);
    // At once, and later; with its own name, and with another: only the body is signed.
    let all = (0..8).map(|number| {
        let (gates, event) = (&gates, &event);
        async move { gates.asks(event, &format!("d-{}", number % 2)).await }
    });
    let said = futures_util::future::join_all(all).await;
    let first = said[0].1["request"].clone();
    assert!(
        said.iter().all(|(status, said)| *status == 200 && said["request"] == first),
        "{said:?}"
    );
    assert_eq!(said.iter().filter(|(_, said)| said["is_old"] == false).count(), 1, "{said:?}");
    let id = first.as_i64().unwrap();
    gates.does(OWNER, &format!("deny {id} no")).await;
    gates.works().await;
    for delivery in ["d-0", "d-1", "d-9"] {
        let (_, said) = gates.asks(&event, delivery).await;
        assert_eq!(said, json!({"request": id, "is_old": true}));
    }
    gates.works().await;
    assert_eq!(gates.count("select count(*) from idp.request").await, 1);
    assert_eq!(gates.reviews().len(), 1);
}

#[tokio::test]
async fn a_run_that_is_started_again_is_asked_for_again_and_gets_no_old_answer() {
    let gates = Gates::acme().await;
    let approved = gates.asked(&event(5, SENDER)).await;
    gates.does(OWNER, &format!("approve {approved}")).await;
    // Before it is sent, the run is started again.
    let again = Utc::now() + TimeDelta::seconds(1);
    gates.github.runs.lock().unwrap().get_mut(&17).unwrap().started_at = again;
    gates.works().await;
    assert_eq!(gates.reviews().len(), 0);
    assert_eq!(
        gates.text("select state from idp.execution where request = $1", approved).await,
        "failed"
    );
    let mut anew = event(6, SENDER);
    anew["deployment"]["created_at"] = json!(again + TimeDelta::seconds(1));
    let second = gates.asked(&anew).await;
    // And once more, while people decide: the earlier one ends, and nothing is said for it.
    anew["deployment"]["id"] = json!(7);
    let third = gates.asked(&anew).await;
    assert_eq!(
        (gates.state(second).await, gates.state(third).await),
        ("void".into(), "pending".into())
    );
    gates.github.runs.lock().unwrap().get_mut(&17).unwrap().started_at = again;
    gates.does(OWNER, &format!("approve {third}")).await;
    gates.works().await;
    let reviews = gates.reviews();
    assert_eq!((reviews.len(), &reviews[0]["state"]), (1, &json!("approved")), "{reviews:?}");
}

#[tokio::test]
async fn nobody_approves_a_deployment_that_is_their_own_doing() {
    let gates = Gates::acme().await;
    gates.defines(&action("approve: {by: [owner, {who: group:platform}]}\n"));
    // Who pushed is an owner, whom the catalog knows.
    let own = gates.asked(&event(5, "Zoe-Laurent")).await;
    for text in [format!("approve {own}"), format!("deny {own} no")] {
        assert_eq!(code(&gates.says(OWNER, &text).await), "not_allowed", "{text}");
    }
    // Somebody else's push, of which the owner made the deployment.
    let mut made = of_run(18, event(6, "somebody-else"));
    made["deployment"]["creator"]["login"] = json!(OWNER);
    let made = gates.asked(&made).await;
    assert_eq!(code(&gates.says(OWNER, &format!("approve {made}")).await), "not_allowed");
    let shown = gates.does(PLATFORM, &format!("requests show {made}")).await.markdown;
    let stranger = "on GitHub, who is no User of the catalog";
    assert!(shown.contains("somebody") && shown.contains(stranger), "{shown}");
    assert_eq!(gates.count("select count(*) from idp.vote").await, 0);
    // The control: others may, and of a push of nobody's the owner too.
    gates.does(PLATFORM, &format!("approve {own}")).await;
    let of_nobody = gates.asked(&of_run(19, event(7, "somebody-else"))).await;
    gates.does(OWNER, &format!("approve {of_nobody}")).await;
    assert_eq!(gates.count("select count(*) from idp.vote").await, 2);
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_before_it_is_said_again() {
    let lost = || Fault::After(Said::Cut);
    let not_arrived = || Fault::Before(Said::status(502));
    for (verdict, state) in [("approve", "approved"), ("deny", "rejected")] {
        for (faults, answer) in [
            (vec![lost()], if verdict == "approve" { "approved" } else { "gone" }),
            (vec![not_arrived(), not_arrived()], state),
        ] {
            let gates = Gates::acme().await;
            faults.into_iter().for_each(|it| gates.goes_wrong(it));
            let id = gates.asked(&event(5, SENDER)).await;
            let reason = if verdict == "deny" { " no" } else { "" };
            gates.does(OWNER, &format!("{verdict} {id}{reason}")).await;
            for _ in 0..3 {
                gates.works().await;
            }
            let reviews = gates.reviews();
            assert_eq!((reviews.len(), &reviews[0]["state"]), (1, &json!(state)), "{verdict}");
            assert_eq!(gates.answer(id).await, answer, "{verdict}");
        }
    }
}

#[tokio::test]
async fn what_may_not_be_asked_for_now_is_rejected_with_the_reason() {
    for (more, said) in [
        (
            "freeze: [{from: 2020-01-01, until: 2099-01-01, zone: UTC, why: The year ends}]\n",
            "is frozen until 2099",
        ),
        ("approve: {by: [{who: user:priya-raman}]}\n", "Nobody could approve"),
    ] {
        let gates = Gates::acme().await;
        gates.defines(&action(more));
        let id = gates.asked(&event(5, SENDER)).await;
        assert_eq!(gates.state(id).await, "void", "{more}");
        gates.works().await;
        let reviews = gates.reviews();
        assert_eq!((reviews.len(), &reviews[0]["state"]), (1, &json!("rejected")), "{more}");
        assert!(reviews[0]["comment"].as_str().unwrap().contains(said), "{reviews:?}");
    }
}

#[tokio::test]
async fn what_no_action_is_meant_by_waits_and_is_told_to_github() {
    let gates = Gates::acme().await;
    let mut elsewhere = event(5, SENDER);
    elsewhere["environment"] = json!("staging");
    let (status, said) = gates.asks(&elsewhere, "d").await;
    assert_eq!((status, &said["error"]["code"]), (422, &json!("no_action")), "{said}");
    gates.defines(&action("").replace("[Component]", "[API]"));
    let (status, said) = gates.asks(&event(5, SENDER), "d").await;
    assert_eq!(status, 422);
    let message = said["error"]["message"].as_str().unwrap();
    assert!(message.contains("github.com/project-slug: acme/payment-api"), "{message}");
    gates.works().await;
    assert_eq!(gates.reviews().len(), 0);
    // Once there is one, the same message may be sent again.
    gates.defines(&action(""));
    assert_eq!(gates.asks(&event(5, SENDER), "d").await.0, 200);
}

#[tokio::test]
async fn what_takes_more_than_a_click_takes_it_here_too() {
    let gates = Gates::acme().await;
    gates.defines(&action("risk: medium\n"));
    let id = gates.asked(&event(5, SENDER)).await;
    assert_eq!(code(&gates.says(OWNER, &format!("approve {id}")).await), "missing_argument");
    gates.does(OWNER, &format!("approve {id} payment-api")).await;
    // Nothing is said while everything is stopped.
    gates.does(PLATFORM, "requests stop the cluster burns").await;
    gates.works().await;
    assert_eq!(gates.reviews().len(), 0);
    gates.does(PLATFORM, "requests resume").await;
    gates.works().await;
    assert_eq!(gates.reviews().len(), 1);
    gates.defines(&action("risk: high\napprove: {by: [owner, {who: group:platform}]}\n"));
    gates.waits(17);
    let high = gates.asked(&event(6, SENDER)).await;
    assert_eq!(
        code(&gates.says(OWNER, &format!("approve {high} payment-api")).await),
        "missing_argument"
    );
}
