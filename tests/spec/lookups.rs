//! What people type, and what they read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use chrono::Utc;
use idp::commands::{CommandSet, flow};
use idp::config::SecretReference;
use idp::conversation::{Click, Reply, Way};
use idp::integrations::http::{Client, Policy};
use idp::integrations::webhook;
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::asking::{Asking, invocation};

fn code(reply: &Reply) -> &str {
    reply.refusal.as_ref().map_or("", |refused| refused.code.as_str())
}

fn suggestions(reply: &Reply) -> Vec<&str> {
    let refused = reply.refusal.as_ref().unwrap();
    refused.suggestions.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn a_question_is_understood_however_it_is_put() {
    let asking = Asking::acme().await;
    let payment_api = json!({ "entity": "payment-api" });
    let ledger = json!({ "entity": "ledger" });
    let both = json!({ "from": "checkout", "to": "ledger" });
    for (text, command, arguments) in [
        ("owner payment-api", "owner", &payment_api),
        ("OWNER payment-api", "owner", &payment_api),
        ("/idp owner payment-api", "owner", &payment_api),
        ("<@U0BOT> owner payment-api", "owner", &payment_api),
        ("<@U0BOT|idp>, who owns payment-api?", "owner", &payment_api),
        ("owner of payment-api?", "owner", &payment_api),
        ("owner “payment-api”", "owner", &payment_api),
        ("owner `payment-api`", "owner", &payment_api),
        ("who owns the payment-api service?", "owner", &payment_api),
        ("Who is responsible for payment-api", "owner", &payment_api),
        ("hey, can you tell me who owns payment-api, please?", "owner", &payment_api),
        ("who should I talk to about payment-api?", "owner", &payment_api),
        ("what depends on ledger?", "dependents", &ledger),
        ("who uses the ledger", "dependents", &ledger),
        ("what would break if ledger goes down?", "dependents", &ledger),
        ("blast radius of ledger", "dependents", &ledger),
        ("what does ledger depend on?", "dependencies", &ledger),
        ("deps ledger", "dependencies", &ledger),
        ("why does checkout depend on ledger", "path", &both),
        ("path from checkout to ledger", "path", &both),
        ("what does team payments own?", "list", &json!({ "team": "payments" })),
        ("ledger", "show", &ledger),
        ("what changed about ledger?", "history", &ledger),
        ("owner Payment API", "owner", &json!({ "entity": "Payment API" })),
        (
            "owner notifications --kind=API",
            "owner",
            &json!({ "entity": "notifications", "kind": "API" }),
        ),
    ] {
        let reply = asking.says(text).await;
        assert_eq!(reply.command, command, "{text}: {}", reply.markdown);
        assert_eq!(Value::Object(reply.arguments), *arguments, "{text}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_refused_with_what_is_close() {
    let asking = Asking::acme().await;
    for (text, refusal, instead) in [
        ("owner paymnt-api", "unknown_entity", "owner payment-api"),
        ("who owns chekout?", "unknown_entity", "owner checkout"),
        ("dependents paymnt-api --tier 1", "unknown_entity", "dependents payment-api --tier 1"),
        ("onwer payment-api", "unknown_command", "owner payment-api"),
        ("paymnt-api", "unknown_entity", "show component:default/payment-api"),
        ("help onwer", "unknown_command", "help owner"),
        ("is payment-api broken?", "not_understood", "show payment-api"),
    ] {
        let reply = asking.says(text).await;
        assert_eq!(code(&reply), refusal, "{text}: {}", reply.markdown);
        assert_eq!(suggestions(&reply)[0], instead, "{text}");
        assert!(reply.markdown.contains(&format!("(<idp:{instead}>)")), "{}", reply.markdown);
    }
}

#[tokio::test]
async fn whoever_could_mean_several_chooses_with_a_button() {
    let asking = Asking::acme().await;
    let reply = asking.says("dependents notifications --tier 1").await;
    assert_eq!(code(&reply), "ambiguous");
    let whole = [
        "dependents api:default/notifications --tier 1",
        "dependents component:default/notifications --tier 1",
    ];
    assert_eq!(suggestions(&reply), whole);
    let asked = invocation("");
    let click = Click { speaker: asked.speaker, address: asked.address, words: whole[1].into() };
    assert_eq!(asking.app.answer(Way::Button, click.into()).await.command, "dependents");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_harms_nobody() {
    let asking = Asking::acme().await;
    let long = "a".repeat(10_001);
    let many = "owner ".repeat(1_600);
    for (text, refusal) in [
        ("owner", "missing_argument"),
        ("path checkout", "missing_argument"),
        ("path checkout ledger orders", "unexpected_argument"),
        ("whoami now", "unexpected_argument"),
        ("owner ledger --colour red", "unexpected_argument"),
        ("dependents ledger --page", "missing_argument"),
        ("dependents ledger --page 0", "invalid_argument"),
        ("dependents ledger --depth -1", "invalid_argument"),
        ("dependents ledger --page 99999999999999999999", "invalid_argument"),
        ("owner pаyment-api", "invalid_argument"),
        ("pаyment-api", "invalid_argument"),
        ("owner \u{0}\u{1b}[2J", "unknown_entity"),
        ("owner \"", "unknown_entity"),
        ("owner ' or 1=1 --", "unknown_entity"),
        (long.as_str(), "invalid_argument"),
        (many.as_str(), "unknown_entity"),
        ("frobnicate the quux in the morning", "not_understood"),
    ] {
        let reply = asking.says(text).await;
        assert_eq!(code(&reply), refusal, "{text:.60}: {}", reply.markdown);
        assert!(reply.markdown.len() < 4_000, "{text:.60}");
        assert!(!reply.markdown.contains(['\u{0}', '\u{1b}']), "{text:.60}");
    }
    for nothing in ["", "   ", "?", "<@U0BOT>"] {
        assert_eq!(asking.says(nothing).await.command, "help", "{nothing:?}");
    }
}

#[tokio::test]
async fn without_an_argument_the_channels_own_entity_is_meant_and_said() {
    let asking = Asking::acme().await;
    let mut asked = invocation("owner");
    asked.address.channel_id = "C0ACME0104".into();
    let reply = asking.app.answer(Way::Command, asked).await;
    assert!(reply.markdown.starts_with("In this channel: `payment-api`\n"), "{}", reply.markdown);
    assert_eq!(reply.arguments["entity"], "payment-api");
    assert_eq!(code(&asking.says("owner").await), "missing_argument");
}

#[tokio::test]
async fn the_next_page_keeps_the_filters_and_the_totals_are_true() {
    let asking = Asking::acme().await;
    let first = asking.says("dependents identity-service --kind Component").await;
    let next = first.answer["page"]["next"].as_str().unwrap();
    assert_eq!(next, "dependents identity-service --kind Component --page 2");
    let total = first.answer["total"].as_u64().unwrap();
    let (mut seen, mut words) =
        (0, Some("dependents identity-service --kind Component".to_string()));
    while let Some(page) = words {
        let reply = asking.says(&page).await;
        assert_eq!(reply.answer["total"], total);
        let teams = reply.answer["teams"].as_array().unwrap();
        seen += teams.iter().map(|team| team["entities"].as_array().unwrap().len()).sum::<usize>();
        words = reply.answer["page"]["next"].as_str().map(str::to_string);
    }
    assert_eq!(seen as u64, total);
    let behind = asking.says("dependents identity-service --page 10000").await;
    assert_eq!((code(&behind), &behind.answer["page"]["next"]), ("", &Value::Null));
}

#[tokio::test]
async fn an_owner_that_nobody_describes_is_said() {
    let directory = crate::directory::Directory::with(&[(
        "a.yaml",
        &crate::directory::component("ghostly", "ghosts"),
    )]);
    let asking = Asking::with(CommandSet::built_in(), |settings| {
        settings.sources = vec![directory.source()];
    })
    .await;
    let said = asking.reads("owner ghostly").await;
    assert!(
        said.contains("`group:default/ghosts` owns it, but nobody describes that team"),
        "{said}"
    );
}

fn own(text: &str) -> (CommandSet, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("own.yaml"), text).unwrap();
    let (commands, problems) = CommandSet::load(dir.path());
    assert_eq!(problems, []);
    (commands, dir)
}

const DEPLOYS: &str = r#"
name: deploys
summary: What was deployed
arguments:
  - {name: service, type: entity}
  - {name: note, type: text, required: false, rest: true}
lookup:
  sql: |
    -- :not_a_parameter
    select v.version, :note as note, ':service' as text, '2026-01-02'::date as at
    from (values ('payment-api', 'v1'), ('payment-api', 'v2'), ('ledger', 'v3')) v (service, version)
    where v.service = :service
    order by v.version desc
template: |
  {{#each rows}}
  - {{version}} {{note}}
  {{/each}}
nothing: Nothing of {{code arguments.service}} was deployed.
"#;

#[tokio::test]
async fn a_sql_lookup_binds_what_was_typed_and_never_runs_it() {
    let (commands, _dir) = own(DEPLOYS);
    let asking = Asking::with(commands, |_| {}).await;
    let reply = asking.says("deploys payment-api it's '; drop table idp.entity; --").await;
    assert_eq!(
        reply.markdown,
        "- v2 it\\'s \\'\\; drop table idp\\.entity\\; \\-\\-\n- v1 it\\'s \\'\\; drop table idp\\.entity\\; \\-\\-"
    );
    assert_eq!(reply.answer["rows"][0]["text"], ":service");
    assert_eq!(asking.reads("deploys refunds").await, "Nothing of `refunds` was deployed.");
    assert_eq!(asking.says("deploys payment-api").await.answer["rows"][0]["note"], Value::Null);
}

#[tokio::test]
async fn a_sql_lookup_writes_nothing_takes_no_longer_than_two_seconds_and_returns_200_rows() {
    let sql = |statement: &str| {
        format!(
            "name: own\nsummary: s\nlookup:\n  sql: |\n    {statement}\ntemplate: '{{{{total}}}} {{{{cut}}}}'\n"
        )
    };
    for (statement, expected) in [
        ("select generate_series(1, 200)", "200 false"),
        ("select generate_series(1, 1000)", "200 true"),
        ("select pg_sleep(30)", "unavailable"),
        ("select * from idp.entity for update", "fault"),
        ("select set_config('transaction_read_only', 'off', true)", "fault"),
        ("select * from idp.unanswered", "fault"),
    ] {
        let (commands, _dir) = own(&sql(statement));
        let asking = Asking::with(commands, |_| {}).await;
        let reply = asking.says("own").await;
        match expected {
            "unavailable" => assert!(
                reply.markdown.contains("needed more than 2 s"),
                "{statement}: {}",
                reply.markdown
            ),
            "fault" => assert!(
                reply.markdown.contains("Tell the platform team"),
                "{statement}: {}",
                reply.markdown
            ),
            said => assert_eq!(reply.markdown, said, "{statement}"),
        }
    }
}

const FLAGS: &str = r#"
name: flags
summary: Which flags are on
arguments:
  - {name: service, type: entity}
lookup:
  http:
    url: URL
    secret: flags
template: |
  {{#each answer}}
  - {{name}}: {{state}}
  {{/each}}
nothing: No flags.
"#;

/// A service that answers with a status and a body, and keeps what it was sent.
async fn service(
    status: u16,
    body: &'static str,
    wait: Duration,
) -> (String, Arc<Mutex<Vec<(HeaderMap, Bytes)>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let keep = asked.clone();
    let answer = move |headers: HeaderMap, sent: Bytes| {
        keep.lock().unwrap().push((headers, sent));
        async move {
            tokio::time::sleep(wait).await;
            (axum::http::StatusCode::from_u16(status).unwrap(), body)
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/flags", listener.local_addr().unwrap());
    tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/flags", post(answer))).await.unwrap();
    });
    (url, asked)
}

async fn asking_flags(url: &str) -> (Asking, TempDir) {
    let (commands, dir) = own(&FLAGS.replace("URL", url));
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "s3cret\n").unwrap();
    let asking = Asking::with(commands, |settings| {
        settings.secrets = BTreeMap::from([("flags".to_string(), SecretReference::File(secret))]);
    })
    .await;
    (asking, dir)
}

#[tokio::test]
async fn an_http_lookup_is_signed_and_its_answer_is_rendered() {
    let (url, asked) =
        service(200, r#"[{"name":"new_checkout","state":"on"}]"#, Duration::ZERO).await;
    let (asking, _dir) = asking_flags(&url).await;
    assert_eq!(asking.reads("flags payment-api").await, "- new\\_checkout: on");
    let (headers, body) = asked.lock().unwrap().pop().unwrap();
    let text = std::str::from_utf8(&body).unwrap();
    let timestamp = headers["x-idp-timestamp"].to_str().unwrap();
    let signed = |secret: &str| webhook::signature(&SecretString::from(secret), timestamp, text);
    assert_eq!(headers["x-idp-signature"], signed("s3cret"));
    assert_ne!(headers["x-idp-signature"], signed("another"));
    assert!((Utc::now().timestamp() - timestamp.parse::<i64>().unwrap()).abs() < 60);
    let sent: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(sent["arguments"]["service"]["ref"], "component:default/payment-api");
    assert_eq!(sent["asker"]["user"], "user:default/zoe-laurent");
}

#[tokio::test]
async fn a_service_is_asked_as_long_as_its_host_is_listed() {
    let (url, asked) = service(200, "[]", Duration::ZERO).await;
    let (mut asking, _dir) = asking_flags(&url).await;
    let http = Client::new(Policy::default());
    asking.app.http = http.clone();
    let refused = asking.says("flags payment-api").await.refusal.unwrap();
    assert_eq!(refused.code, "unavailable");
    assert!(asked.lock().unwrap().is_empty());

    let host = url.strip_prefix("http://").and_then(|it| it.split('/').next()).unwrap();
    http.allow(vec![host.to_string()]);
    assert_eq!(asking.reads("flags payment-api").await, "No flags.");
    http.allow(Vec::new());
    assert!(asking.says("flags payment-api").await.refusal.is_some());
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_service_that_does_not_answer_well_is_named_and_said() {
    for (status, body, wait, why) in [
        (500, "{}", 0, "status 500"),
        (200, "not json", 0, "not JSON"),
        (200, "[]", 5_000, "within 2 s"),
        (302, "[]", 0, "status 302"),
    ] {
        let (url, _) = service(status, body, Duration::from_millis(wait)).await;
        let (asking, _dir) = asking_flags(&url).await;
        let refused = asking.says("flags payment-api").await.refusal.unwrap();
        assert_eq!(refused.code, "unavailable");
        assert!(
            refused.message.contains("behind `flags`") && refused.message.contains(why),
            "{}",
            refused.message
        );
    }
    let (url, _) = service(200, "[]", Duration::ZERO).await;
    let (asking, _dir) = asking_flags(&url).await;
    assert_eq!(asking.reads("flags payment-api").await, "No flags.");
}

#[tokio::test]
async fn without_a_database_only_what_lies_in_it_cannot_be_asked() {
    let asking = Asking::acme().await;
    asking.app.db.store(Arc::new(None));
    for text in ["history payment-api", "problems"] {
        let reply = asking.says(text).await;
        assert_eq!(code(&reply), "unavailable", "{text}");
        assert!(reply.markdown.contains("the database does not answer"), "{}", reply.markdown);
    }
    let long_ago = Utc::now().timestamp_millis() - 725_000;
    asking.app.catalog.confirmed_at_ms.store(long_ago, std::sync::atomic::Ordering::Relaxed);
    for text in ["owner payment-api", "dependents ledger", "find fraud", "owner paymnt-api"] {
        let reply = asking.says(text).await;
        assert!(reply.age_s.is_some_and(|age| (725..800).contains(&age)), "{text}");
        assert!(
            reply.markdown.contains("(12 min ago): the database does not answer"),
            "{}",
            reply.markdown
        );
    }
}

#[tokio::test]
async fn what_was_asked_in_vain_is_written_down_once_with_its_count() {
    let asking = Asking::acme().await;
    for _ in 0..3 {
        asking.says("who owns chekout?").await;
    }
    asking.says("owner payment-api").await;
    let db = &asking.fresh.pool;
    assert_eq!(flow::unanswered(db, 10).await.unwrap(), []);
    flow::record_unanswered(db, &asking.app.unanswered).await.unwrap();
    asking.says("Who owns chekout").await;
    flow::record_unanswered(db, &asking.app.unanswered).await.unwrap();
    let kept = flow::unanswered(db, 10).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].question.as_str(), kept[0].times), ("who owns chekout", 4));
    assert_eq!(kept[0].refusal, "unknown_entity");
}
