//! Slack over HTTP: what it is answered, once, and what it is not.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use idp::chat::ANSWER_WITHIN;
use idp::chat::slack::signature::SigningSecret;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::scale::at_full;
use crate::slack_judge;
use crate::world::{Heard, SECRET, TEAM, World, gets, mention, now_s, request, sends, signed};

/// Everything that a message shows, in its order.
fn shown(message: &Value) -> String {
    match message {
        Value::Array(parts) => parts.iter().map(shown).collect(),
        Value::Object(fields) => match &fields.get("text") {
            Some(Value::String(text)) if fields.contains_key("type") => text.clone(),
            _ => fields
                .iter()
                .filter(|(name, _)| *name != "text" || !fields.contains_key("blocks"))
                .map(|(_, part)| shown(part))
                .collect(),
        },
        _ => String::new(),
    }
}

#[tokio::test]
async fn a_slash_command_is_answered_on_its_request() {
    let world = World::new().await;
    let said = world.types("U0ADA", "owner payment-api").await;
    assert!(shown(&said).contains("is owned by Payments"), "{said}");
    assert_eq!(said["response_type"], "in_channel");
    let said = world.types("U0ADA", "who owns chekout?").await;
    assert!(shown(&said).contains("Did you mean"), "{said}");
    assert_eq!(said["response_type"], "ephemeral", "a refusal is for the asker alone");
    let buttons = said["blocks"].to_string();
    assert!(buttons.contains(r#""value":"owner checkout""#), "{buttons}");
}

#[tokio::test]
async fn a_mention_is_answered_in_its_thread_once_however_often_it_is_delivered() {
    let world = World::new().await;
    let body = mention("Ev1", "U0ADA", "who owns payment-api?").to_string();
    let deliveries = (0..8).map(|_| world.sends("/slack/events", &body));
    for answer in futures_of(deliveries).await {
        assert_eq!(answer.status, 200);
    }
    let heard = world.fake.hears().await;
    assert_eq!(heard.path, "/api/chat.postMessage");
    assert_eq!(heard.body["thread_ts"], "1700000000.000100");
    assert!(shown(&heard.body).contains("is owned by Payments"), "{heard:?}");
    // The control: another event is another answer, and nothing came between.
    world.mentions("U0ADA", "owner checkout").await;
    assert!(shown(&world.fake.hears().await.body).to_lowercase().contains("checkout"));
}

#[tokio::test]
async fn a_click_is_answered_once_and_only_to_who_clicked() {
    let world = World::new().await;
    let body = world.click("t1", "dependents payment-api");
    for _ in 0..5 {
        assert_eq!(world.sends("/slack/interactions", &body).await.status, 200);
    }
    let heard = world.fake.hears().await;
    assert_eq!(heard.path, "/respond/t1");
    assert_eq!(heard.body["response_type"], "ephemeral");
    assert_eq!(heard.body["replace_original"], false);
    world.sends("/slack/interactions", &world.click("t2", "list --page 2")).await;
    let heard = world.fake.hears().await;
    assert_eq!(
        (heard.path.as_str(), &heard.body["replace_original"]),
        ("/respond/t2", &json!(true))
    );
}

#[tokio::test]
async fn a_question_that_a_dead_process_took_is_answered_by_another() {
    let world = World::new().await;
    let errand = json!({ "said": {
        "speaker": { "platform": "slack", "tenant": TEAM, "user_id": "U0ADA" },
        "address": { "platform": "slack", "tenant": TEAM, "channel_id": "C1", "channel_name": null, "thread": "1.1" },
        "text": "owner payment-api",
    }});
    for (envelope, received, lease) in [
        ("left", "1 minute", "1 second"),
        ("old", "1 hour", "1 second"),
        ("held", "1 minute", "-1 hour"),
    ] {
        sqlx::query(
            "insert into idp.inbox (platform, tenant, envelope, body, received_at, lease_until)
             values ('slack', $1, $2, $3, now() - $4::text::interval, now() - $5::text::interval)",
        )
        .bind(TEAM)
        .bind(envelope)
        .bind(&errand)
        .bind(received)
        .bind(lease)
        .execute(&world.fresh.pool)
        .await
        .unwrap();
    }
    let stop = CancellationToken::new();
    let kept = tokio::spawn(world.dispatcher.clone().keep(stop.clone()));
    assert!(shown(&world.fake.hears().await.body).contains("is owned by Payments"));
    stop.cancel();
    kept.await.unwrap();
    // Neither the one that is too old nor the one that somebody else is answering.
    world.mentions("U0ADA", "owner checkout").await;
    assert!(shown(&world.fake.hears().await.body).to_lowercase().contains("checkout"));
}

/// D11: Slack turned the answer away; it is sent when Slack answers again, once.
#[tokio::test]
async fn an_answer_that_slack_could_not_take_is_sent_later() {
    let world = World::new().await;
    world.fake.is_away_for(1);
    world.mentions("U0ADA", "owner payment-api").await;
    assert_eq!(world.fake.hears().await.path, "/away");
    let heard = world.fake.hears().await;
    assert_eq!(heard.path, "/api/chat.postMessage");
    assert!(shown(&heard.body).contains("is owned by Payments"), "{heard:?}");
}

/// D1: what one process took no other answers. Without the inbox it would.
#[tokio::test]
async fn a_delivery_to_another_process_is_answered_once() {
    let world = World::new().await;
    let body = mention("EvTwice", "U0ADA", "owner payment-api").to_string();
    assert_eq!(world.sends("/slack/events", &body).await.status, 200);
    world.fake.hears().await;
    let other = world.another_process().await;
    assert_eq!(sends(other, "/slack/events", &body).await.status, 200);
    world.mentions("U0ADA", "owner checkout").await;
    assert!(shown(&world.fake.hears().await.body).to_lowercase().contains("checkout"));
    // The control: neither a table nor the process remembers it.
    for forget in ["delete from idp.inbox", "delete from idp.outbox"] {
        sqlx::query(forget).execute(&world.fresh.pool).await.unwrap();
    }
    let forgetful = world.another_process().await;
    assert_eq!(sends(forgetful, "/slack/events", &body).await.status, 200);
    assert!(shown(&world.fake.hears().await.body).contains("is owned by Payments"));
}

#[tokio::test]
async fn an_answer_that_takes_long_follows_by_its_response_url() {
    let world = World::of_patience(Duration::from_millis(50)).await;
    let holder = world.holds_history_up().await;
    let said = world.types("U0ADA", "history payment-api").await;
    assert_eq!(said, json!({ "response_type": "ephemeral", "text": "Looking it up…" }));
    holder.rollback().await.unwrap();
    let heard = world.fake.hears().await;
    assert!(heard.path.starts_with("/respond/"), "{heard:?}");
    assert!(shown(&heard.body).contains("payment-api"), "{heard:?}");
}

#[tokio::test]
async fn an_answer_that_takes_too_long_for_its_response_url_is_posted() {
    let world = World::of_patience(Duration::from_millis(50)).await;
    world.fake.moods.urls_are_gone.store(true, Ordering::SeqCst);
    let holder = world.holds_history_up().await;
    world.types("U0ADA", "history payment-api").await;
    holder.rollback().await.unwrap();
    assert_eq!(world.fake.hears().await.path, "/gone");
    let heard = world.fake.hears().await;
    assert_eq!(heard.path, "/api/chat.postMessage", "everybody in the channel sees it");
    assert_eq!(heard.body["channel"], "C0NOBODY");
    assert!(shown(&heard.body).contains("payment-api"), "{heard:?}");
}

/// D18: a response URL works five times within 30 minutes.
#[tokio::test]
async fn an_answer_whose_response_url_is_used_up_is_posted_and_nobody_waits_in_vain() {
    let world = World::new().await;
    world.fake.moods.urls_are_gone.store(true, Ordering::SeqCst);
    for is_outside in [false, true] {
        world.fake.moods.is_outside.store(is_outside, Ordering::SeqCst);
        let click = world.click(&format!("gone-{is_outside}"), "owner checkout");
        assert_eq!(world.sends("/slack/interactions", &click).await.status, 200);
        assert_eq!(world.fake.hears().await.path, "/gone");
        if is_outside {
            assert_eq!(world.fake.hears().await.path, "/outside");
        }
        let Heard { path, body } = world.fake.hears().await;
        let to = (body["channel"].as_str().unwrap(), body["user"].as_str());
        match is_outside {
            // Where they clicked, for them alone.
            false => assert_eq!(
                (path.as_str(), to),
                ("/api/chat.postEphemeral", ("C0NOBODY", Some("U0ADA")))
            ),
            // The bot is not there: to them directly.
            true => assert_eq!((path.as_str(), to.0), ("/api/chat.postMessage", "U0ADA")),
        }
        assert!(shown(&body).contains("owned by"), "{body}");
        assert!(body["response_type"].is_null() && body["replace_original"].is_null(), "{body}");
    }
    // The control: a URL that works is all that is used.
    world.fake.moods.urls_are_gone.store(false, Ordering::SeqCst);
    for trigger in ["works", "works-too"] {
        world.sends("/slack/interactions", &world.click(trigger, "owner checkout")).await;
        assert_eq!(world.fake.hears().await.path, format!("/respond/{trigger}"));
    }
}

/// D3: what Slack did not sign exactly so is refused before it is read.
#[tokio::test]
async fn a_request_that_slack_did_not_sign_is_refused() {
    let world = World::new().await;
    let body = world.command("U0ADA", "owner payment-api");
    let length = ("content-length".to_string(), body.len().to_string());
    let [timestamp, signature] = <[_; 2]>::try_from(signed(body.as_bytes())).unwrap();
    let named = |name: &str, value: &str| (name.to_string(), value.to_string());
    let change =
        |it: &(String, String), change: &dyn Fn(&str) -> String| (it.0.clone(), change(&it.1));
    let asked = |headers: Vec<(String, String)>, body: &str| {
        request(world.address, "POST", "/slack/commands", headers, body.as_bytes().to_vec())
    };
    let whole = vec![length.clone(), timestamp.clone(), signature.clone()];
    assert_eq!(asked(whole.clone(), &body).await.status, 200, "the control");

    let upper = change(&signature, &|it| it.replace("v0=", "V0=").to_uppercase());
    let hex_upper = change(&signature, &|it| format!("v0={}", it[3..].to_uppercase()));
    let cases: Vec<(&str, Vec<(String, String)>)> = vec![
        ("no headers", vec![length.clone()]),
        ("no signature", vec![length.clone(), timestamp.clone()]),
        ("no timestamp", vec![length.clone(), signature.clone()]),
        ("two signatures", [whole.clone(), vec![signature.clone()]].concat()),
        ("two timestamps", [whole.clone(), vec![timestamp.clone()]].concat()),
        (
            "another version",
            vec![
                length.clone(),
                timestamp.clone(),
                change(&signature, &|it| it.replace("v0=", "v1=")),
            ],
        ),
        ("upper case", vec![length.clone(), timestamp.clone(), upper]),
        ("upper-case digits", vec![length.clone(), timestamp.clone(), hex_upper]),
        (
            "cut",
            vec![
                length.clone(),
                timestamp.clone(),
                change(&signature, &|it| it[..it.len() - 2].into()),
            ],
        ),
        (
            "longer",
            vec![length.clone(), timestamp.clone(), change(&signature, &|it| format!("{it}00"))],
        ),
        ("empty", vec![length.clone(), timestamp.clone(), change(&signature, &|_| String::new())]),
        (
            "another time",
            vec![
                length.clone(),
                change(&timestamp, &|_| (now_s() + 1).to_string()),
                signature.clone(),
            ],
        ),
        ("packed", [whole.clone(), vec![named("content-encoding", "gzip")]].concat()),
        ("other body", whole.clone()),
    ];
    for (name, headers) in &cases {
        let sent =
            if *name == "other body" { body.replace("payment", "qayment") } else { body.clone() };
        let answer = asked(headers.clone(), &sent).await;
        assert_eq!((answer.status, answer.body.as_str()), (401, ""), "{name}");
    }
    // In pieces it is the same body, and signed.
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let headers = vec![named("transfer-encoding", "chunked"), timestamp.clone(), signature.clone()];
    assert_eq!(asked(headers.clone(), &chunked).await.status, 200);
    let tampered = chunked.replace("payment", "qayment");
    assert_eq!(asked(headers, &tampered).await.status, 401);
    println!("REL D3-http {} shapes, 0 accepted", cases.len() + 1);
}

/// D3 over the wire: one bit of the body is another each time.
#[tokio::test]
async fn no_changed_body_is_accepted() {
    let world = World::new().await;
    let body = world.command("U0ADA", "owner payment-api");
    let headers = signed(body.as_bytes());
    let count = at_full(5_000);
    for number in 0..count {
        let mut changed = body.clone().into_bytes();
        let place = number % changed.len();
        changed[place] ^= 1 << (number / changed.len() % 7);
        let mut headers = headers.clone();
        headers.push(("content-length".into(), changed.len().to_string()));
        let answer = request(world.address, "POST", "/slack/commands", headers, changed).await;
        assert_eq!(answer.status, 401);
    }
    println!("REL D3-wire {count} changed bodies, 0 accepted");
}

/// D4: a copy of a signed request inside the five minutes has no second effect, and none outside.
#[tokio::test]
async fn a_replayed_request_has_no_second_effect() {
    let world = World::new().await;
    let body = mention("EvReplay", "U0ADA", "owner payment-api").to_string();
    let mut headers = signed(body.as_bytes());
    headers.push(("content-length".into(), body.len().to_string()));
    let count = at_full(2_000);
    for _ in 0..count {
        let body = body.clone().into_bytes();
        let answer = request(world.address, "POST", "/slack/events", headers.clone(), body).await;
        assert_eq!(answer.status, 200);
    }
    world.fake.hears().await;
    let secret = SigningSecret::new(&SecretString::from(SECRET)).unwrap();
    for (number, timestamp) in
        [now_s() - 301, now_s() + 310, i64::MIN, i64::MAX, 0].into_iter().enumerate()
    {
        let body = mention(&format!("EvLate{number}"), "U0ADA", "owner payment-api").to_string();
        let headers = vec![
            ("x-slack-request-timestamp".into(), timestamp.to_string()),
            ("x-slack-signature".into(), secret.sign(timestamp, body.as_bytes())),
            ("content-length".into(), body.len().to_string()),
        ];
        let late = body.clone().into_bytes();
        let answer = request(world.address, "POST", "/slack/events", headers, late).await;
        assert_eq!(answer.status, 401, "{timestamp}");
        // The control: the same body signed in time has an effect.
        assert_eq!(world.sends("/slack/events", &body).await.status, 200);
        assert!(shown(&world.fake.hears().await.body).contains("is owned by Payments"));
    }
    world.mentions("U0ADA", "owner checkout").await;
    let next = shown(&world.fake.hears().await.body).to_lowercase();
    assert!(next.contains("checkout"), "the copies had an effect: {next}");
    println!("REL D4 {count} replays, 0 effects");
}

/// D9: the workspace of the request is the one of the settings.
#[tokio::test]
async fn another_workspace_is_refused() {
    let world = World::new().await;
    let others = |body: String| body.replace(TEAM, "T0EVIL");
    let requests = [
        ("/slack/commands", others(world.command("U0ADA", "owner payment-api"))),
        ("/slack/events", others(mention("Ev9", "U0ADA", "owner payment-api").to_string())),
        ("/slack/interactions", others(world.click("t9", "owner payment-api"))),
    ];
    for (path, body) in &requests {
        let answer = world.sends(path, body).await;
        assert_eq!((answer.status, answer.body.as_str()), (401, ""), "{path}");
    }
    // The control: where neither settings nor token name a workspace, the signature alone decides.
    let open = World::with(ANSWER_WITHIN, |settings| settings.slack.team_id = None).await;
    for (path, body) in &requests {
        assert_eq!(open.sends(path, body).await.status, 200, "{path}");
    }
    assert_eq!(open.fake.hears().await.path, "/api/chat.postMessage");
    // Signed for us and by someone of another workspace: a channel shared between companies.
    let mut shared = mention("Ev10", "U0EVIL", "owner payment-api");
    shared["event"]["user_team"] = json!("T0EVIL");
    assert_eq!(world.sends("/slack/events", &shared.to_string()).await.status, 200);
    world.mentions("U0ADA", "owner checkout").await;
    assert!(shown(&world.fake.hears().await.body).to_lowercase().contains("checkout"));
}

/// D19: Slack's test of the address is answered when Slack signed it.
#[tokio::test]
async fn the_address_is_verified_for_slack_alone() {
    let world = World::new().await;
    let body = json!({ "type": "url_verification", "challenge": "c-17" }).to_string();
    let answer = world.sends("/slack/events", &body).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "challenge": "c-17" })));
    let headers = vec![("content-length".to_string(), body.len().to_string())];
    let answer = request(world.address, "POST", "/slack/events", headers, body.into_bytes()).await;
    assert_eq!((answer.status, answer.body.as_str()), (401, ""));
}

/// D20: a bot that answers bots never stops.
#[tokio::test]
async fn bots_are_not_answered() {
    let world = World::new().await;
    let changes: [(&str, Value); 5] = [
        ("bot_id", json!("B1")),
        ("subtype", json!("bot_message")),
        ("user", json!("USLACKBOT")),
        ("app_id", json!("A1")),
        ("edited", json!({ "ts": "1" })),
    ];
    for (number, (field, value)) in changes.into_iter().enumerate() {
        let mut event = mention(&format!("EvBot{number}"), "U0ADA", "owner payment-api");
        let of_a_person = event.to_string();
        event["event"][field] = value;
        assert_eq!(world.sends("/slack/events", &event.to_string()).await.status, 200);
        world.mentions("U0ADA", "owner checkout").await;
        let next = shown(&world.fake.hears().await.body).to_lowercase();
        assert!(next.contains("checkout"), "a bot was answered, by {field}: {next}");
        // The control: without that one mark it is a person's, and answered.
        assert_eq!(world.sends("/slack/events", &of_a_person).await.status, 200);
        assert!(shown(&world.fake.hears().await.body).contains("is owned by Payments"));
    }
}

#[tokio::test]
async fn a_request_larger_than_a_megabyte_is_refused_before_its_signature_is_looked_at() {
    let world = World::new().await;
    let body = world.command("U0ADA", &"x".repeat(1024 * 1024));
    assert_eq!(world.sends("/slack/commands", &body).await.status, 413);
    let body = world.command("U0ADA", &"x".repeat(1024 * 1024 - 1_000));
    assert_eq!(world.sends("/slack/commands", &body).await.status, 200);
}

/// G10, G14: what is signed may still be anything.
#[tokio::test]
async fn odd_bodies_are_refused_and_break_nothing() {
    let world = World::new().await;
    let deep = "[".repeat(100_000);
    let numbers = json!({ "type": "event_callback", "event": { "ts": 1e308 } }).to_string();
    let bodies = [
        "",
        "{",
        "null",
        "payload=",
        "payload={",
        "payload=[1e400]",
        "payload=%7B%22type%22%3A-0%7D",
        "text=%00&user_id=U1",
        "user_id=%FF%FE",
        "=&=&=",
        deep.as_str(),
        numbers.as_str(),
        r#"{"type":"event_callback","type":"url_verification","challenge":9007199254740993}"#,
        r#"{"type":"event_callback","event":{"text":"\ud800"}}"#,
    ];
    for path in ["/slack/commands", "/slack/events", "/slack/interactions"] {
        for body in bodies {
            let status = world.sends(path, body).await.status;
            assert!(matches!(status, 200 | 400 | 401), "{path} {body:.40}: {status}");
        }
    }
    let said = world.types("U0ADA", "owner payment-api").await;
    assert!(shown(&said).contains("is owned by Payments"));
}

/// G5, G6, G8: names in other letters, SQL and patterns are names like any other, and nobody's.
#[tokio::test]
async fn a_hostile_name_is_nobodys_name() {
    let world = World::new().await;
    let names = [
        "p\u{0430}yment-api",
        "\u{0440}ayments",
        "';drop table idp.stored_entity;--",
        "%",
        "_",
        "payment%",
        "'' or 1=1",
        "1::regclass",
        "\\",
        "(a+)+$",
        "pay & ments | !x",
        "\u{ff50}ayment-apii",
    ];
    for name in names {
        for command in ["owner", "show", "dependents", "history"] {
            let said = world.types("U0ADA", &format!("{command} {name}")).await;
            assert_eq!(slack_judge::seen(&said), slack_judge::Seen::default(), "{said}");
        }
    }
    let said = world.types("U0ADA", "owner p\u{0430}yment-api").await;
    assert!(!shown(&said).contains("is owned by"), "another letter is another name: {said}");
    let count: i64 = sqlx::query_scalar("select count(*) from idp.stored_entity")
        .fetch_one(&world.fresh.pool)
        .await
        .unwrap();
    assert!(count > 0);
    println!("REL G8 {} hostile names, 0 errors", names.len());
}

#[tokio::test]
async fn the_process_tells_how_it_is() {
    let world = World::new().await;
    world.types("U0ADA", "owner very-secret-name").await;
    assert_eq!(gets(world.address, "/livez").await.status, 200);
    let ready = gets(world.address, "/readyz").await;
    assert_eq!((ready.status, &ready.json()["ready"]), (200, &json!(true)));
    let metrics = gets(world.address, "/metrics").await.body;
    for figure in [
        "idp_http_requests_total",
        "idp_http_request_seconds_bucket",
        "idp_catalog_entities",
        "idp_answers_total",
    ] {
        assert!(metrics.contains(figure), "{figure} is not in {metrics}");
    }
    assert!(!metrics.contains("very-secret-name"));
    let names: HashSet<&str> =
        metrics.lines().filter_map(|it| it.split(['{', ' ']).next()).collect();
    assert!(names.len() > 5, "{names:?}");
}

async fn futures_of<T>(work: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut done = Vec::new();
    let mut set: Vec<_> = work.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        set.retain_mut(|it| match it.as_mut().poll(context) {
            std::task::Poll::Ready(value) => {
                done.push(value);
                false
            }
            std::task::Poll::Pending => true,
        });
        if set.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}
