//! Discord over HTTP: what it is answered, once, and what it is not.

use std::time::Duration;

use ed25519_dalek::{Signer, SigningKey};
use idp::chat::ANSWER_WITHIN;
use idp::commands::CommandSet;
use serde_json::{Value, json};

use crate::discord_world::{APPLICATION, GUILD, call, interaction, sends, sends_with, signed_at};
use crate::scale::at_full;
use crate::world::{World, now_s};

const ADA: &str = "400000000000000001";

/// Everything that a message shows, without the backslashes.
fn shown(message: &Value) -> String {
    let embeds = message["embeds"].as_array().into_iter().flatten();
    let parts = embeds.flat_map(|embed| [&embed["title"], &embed["description"]]);
    parts.filter_map(Value::as_str).collect::<Vec<_>>().join("\n").replace('\\', "")
}

fn owner() -> Value {
    call("owner", &[("entity", json!("payment-api"))])
}

fn click(words: &str) -> Value {
    json!({ "custom_id": format!("idp:0:{words}"), "component_type": 2 })
}

/// The control behind each refusal: the bot still answers, and nothing was said before.
async fn next_is_checkout(world: &World) {
    let said = world.interacts(3, click("owner checkout")).await;
    assert_eq!(said["type"], 5);
    let heard = world.fake_discord.hears().await;
    assert!(shown(&heard.body).to_lowercase().contains("checkout"), "{heard:?}");
}

#[tokio::test]
async fn a_command_of_discord_is_answered_on_its_request() {
    let world = World::new().await;
    let said = world.calls("owner", &[("entity", json!("payment-api"))]).await;
    assert_eq!(said["type"], 4);
    assert!(shown(&said["data"]).contains("is owned by **Payments**"), "{said}");
    assert_eq!(said["data"]["flags"], 0, "everybody in the channel sees it");
    assert_eq!(said["data"]["allowed_mentions"]["parse"], json!([]));
    let said = world.calls("ask", &[("question", json!("who owns chekout?"))]).await;
    assert!(shown(&said["data"]).contains("Did you mean"), "{said}");
    assert_eq!(said["data"]["flags"], 64, "a refusal is for the asker alone");
    assert!(said["data"]["components"].to_string().contains(":owner checkout"), "{said}");
    let said = world.calls("nothing-of-ours", &[]).await;
    assert!(shown(&said["data"]).contains("nothing-of-ours"), "{said}");
}

#[tokio::test]
async fn what_fits_is_offered_while_somebody_types() {
    let world = World::new().await;
    let data = json!({ "id": "1", "name": "idp", "options": [{ "type": 1, "name": "owner", "options": [
        { "type": 3, "name": "entity", "value": "paym", "focused": true },
    ]}]});
    let said = world.interacts(4, data).await;
    assert_eq!(said["type"], 8);
    let choices = said["data"]["choices"].as_array().unwrap();
    assert!(choices.iter().any(|it| it["value"] == "payment-api"), "{said}");
    assert!(choices.len() < 25, "what does not fit is not offered: {said}");
}

#[tokio::test]
async fn a_click_on_discord_is_answered_once_and_only_to_who_clicked() {
    let world = World::new().await;
    let body = interaction(7_001, 3, ADA, click("dependents payment-api"));
    for _ in 0..5 {
        let answer = sends(world.address, &body).await;
        let said = answer.json();
        assert_eq!(
            (answer.status, &said["type"], &said["data"]["flags"]),
            (200, &json!(5), &json!(64))
        );
    }
    let heard = world.fake_discord.hears().await;
    let path = format!("PATCH /webhooks/{APPLICATION}/token-7001/messages/@original");
    assert_eq!(heard.call, path);
    assert!(heard.body.get("flags").is_none(), "an edit sets no flags: {heard:?}");
    next_is_checkout(&world).await;
    // Another process remembers by the database alone.
    let other = world.another_process().await;
    assert_eq!(sends(other, &body).await.status, 200);
    next_is_checkout(&world).await;
    // The control: neither the table nor the process remembers it.
    sqlx::query("delete from idp.inbox").execute(&world.fresh.pool).await.unwrap();
    let forgetful = world.another_process().await;
    assert_eq!(sends(forgetful, &body).await.status, 200);
    assert_eq!(world.fake_discord.hears().await.call, path);
}

#[tokio::test]
async fn the_next_page_takes_the_place_of_one_that_nobody_else_sees() {
    let world = World::new().await;
    let mut body = interaction(7_101, 3, ADA, click("list --page 2"));
    body["message"] = json!({ "id": "1", "flags": 64 });
    assert_eq!(sends(world.address, &body).await.json()["type"], 6);
    assert!(world.fake_discord.hears().await.call.ends_with("token-7101/messages/@original"));
    body = interaction(7_102, 3, ADA, click("list --page 2"));
    assert_eq!(sends(world.address, &body).await.json()["type"], 5);
    world.fake_discord.hears().await;
}

#[tokio::test]
async fn a_form_asks_for_what_a_button_leaves_out() {
    let world = World::new().await;
    let data = json!({ "custom_id": "idp-form:0:path payment-api", "component_type": 2 });
    let said = world.interacts(3, data).await;
    assert_eq!((&said["type"], &said["data"]["custom_id"]), (&json!(9), &json!("idp-form:path")));
    let field = |number: usize| &said["data"]["components"][number]["component"];
    assert_eq!(
        (&field(0)["custom_id"], &field(0)["value"]),
        (&json!("from"), &json!("payment-api"))
    );
    assert_eq!(field(1)["custom_id"], "to");
    let fields = [("from", "checkout"), ("to", "payment-api")];
    let rows = fields.map(|(name, value)| {
        json!({ "type": 18, "component": { "type": 4, "custom_id": name, "value": value } })
    });
    let said =
        world.interacts(5, json!({ "custom_id": "idp-form:path", "components": rows })).await;
    assert_eq!(said["type"], 5);
    let heard = world.fake_discord.hears().await;
    let expected = world.calls("path", &fields.map(|(name, value)| (name, json!(value)))).await;
    assert_eq!(shown(&heard.body), shown(&expected["data"]));
    // A command that has nothing to ask is answered.
    let said = world.interacts(3, json!({ "custom_id": "idp-form:0:whoami" })).await;
    assert_eq!(said["type"], 5);
    world.fake_discord.hears().await;
}

#[tokio::test]
async fn a_form_lists_what_a_field_takes() {
    let world = World::new().await;
    let mut selects = 0;
    for (command, _) in CommandSet::built_in().names() {
        let data = json!({ "custom_id": format!("idp-form:0:{command}"), "component_type": 2 });
        // A command that has nothing to ask is answered.
        let said = world.interacts(3, data).await;
        let fields = said["data"]["components"].as_array().into_iter().flatten();
        selects += fields.filter(|field| field["component"]["type"] == 3).count();
        if said["type"] == 5 {
            world.fake_discord.hears().await;
        }
    }
    assert!(selects > 10, "hardly anything is listed: {selects}");
    let said = world.interacts(3, json!({ "custom_id": "idp-form:0:list" })).await;
    let fields = said["data"]["components"].as_array().unwrap();
    let tier = fields.iter().find(|it| it["label"] == "tier").unwrap();
    assert_eq!(tier["component"]["options"][0]["value"], "1", "{tier}");
    let chosen = |name: &str, value: &[&str]| json!({ "type": 18, "component": { "type": 3, "custom_id": name, "values": value } });
    let given = [chosen("kind", &["component"]), chosen("team", &[]), chosen("tier", &["1"])];
    world.interacts(5, json!({ "custom_id": "idp-form:list", "components": given })).await;
    let heard = world.fake_discord.hears().await;
    let values = [("kind", json!("component")), ("tier", json!("1"))];
    let expected = world.calls("list", &values).await;
    assert_eq!(shown(&heard.body), shown(&expected["data"]));
}

#[tokio::test]
async fn an_answer_that_takes_long_follows_by_the_token() {
    let world = World::of_patience(Duration::from_millis(50)).await;
    let holder = world.holds_history_up().await;
    world.fake_discord.is_limited_for(2);
    let said = world.calls("history", &[("entity", json!("payment-api"))]).await;
    assert_eq!((&said["type"], &said["data"]["flags"]), (&json!(5), &json!(64)));
    holder.rollback().await.unwrap();
    // Discord asked to come again, twice.
    for _ in 0..2 {
        assert_eq!(world.fake_discord.hears().await.call, "limited");
    }
    let heard = world.fake_discord.hears().await;
    assert!(heard.call.starts_with("PATCH /webhooks/"), "{heard:?}");
    assert!(shown(&heard.body).contains("payment-api"), "{heard:?}");
}

/// D11: Discord turned the answer away; it is sent when Discord answers again.
#[tokio::test]
async fn an_answer_that_discord_could_not_take_is_sent_later() {
    let world = World::new().await;
    world.fake_discord.is_away_for(1);
    world.interacts(3, click("owner payment-api")).await;
    assert_eq!(world.fake_discord.hears().await.call, "away");
    let mut heard = world.fake_discord.hears().await;
    // Is it there again? Whoever was about to look when it went away does not ask.
    if heard.call == "GET /users/@me" {
        heard = world.fake_discord.hears().await;
    }
    assert!(shown(&heard.body).contains("is owned by **Payments**"), "{heard:?}");
}

/// D3: what Discord did not sign exactly so is refused before it is read.
#[tokio::test]
async fn an_interaction_that_discord_did_not_sign_is_refused() {
    let world = World::new().await;
    let body = interaction(1, 2, ADA, owner()).to_string();
    let now = now_s().to_string();
    let whole = signed_at(&now, body.as_bytes());
    let [timestamp, signature, length] = <[_; 3]>::try_from(whole.clone()).unwrap();
    assert_eq!(sends_with(world.address, whole.clone(), &body).await.status, 200, "the control");
    let change =
        |it: &(String, String), change: &dyn Fn(&str) -> String| (it.0.clone(), change(&it.1));
    let of_another = SigningKey::from_bytes(&[18; 32]);
    let of_another = of_another.sign(&[now.as_bytes(), body.as_bytes()].concat()).to_bytes();
    let signed = |it: (String, String)| vec![length.clone(), timestamp.clone(), it];
    let packed = ("content-encoding".to_string(), "gzip".to_string());
    let cases = [
        ("no headers", vec![length.clone()]),
        ("no signature", vec![length.clone(), timestamp.clone()]),
        ("no timestamp", vec![length.clone(), signature.clone()]),
        ("two signatures", [whole.clone(), vec![signature.clone()]].concat()),
        ("two timestamps", [whole.clone(), vec![timestamp.clone()]].concat()),
        ("upper case", signed(change(&signature, &|it| it.to_uppercase()))),
        ("cut", signed(change(&signature, &|it| it[2..].into()))),
        ("longer", signed(change(&signature, &|it| format!("{it}00")))),
        ("empty", signed(change(&signature, &|_| String::new()))),
        ("noughts", signed(change(&signature, &|_| "0".repeat(128)))),
        ("of another key", signed(change(&signature, &|_| hex::encode(of_another)))),
        (
            "another time",
            vec![
                length.clone(),
                change(&timestamp, &|_| (now_s() + 1).to_string()),
                signature.clone(),
            ],
        ),
        ("packed", [whole.clone(), vec![packed]].concat()),
        ("other body", whole.clone()),
    ];
    for (name, headers) in &cases {
        let sent =
            if *name == "other body" { body.replace("payment", "qayment") } else { body.clone() };
        let answer = sends_with(world.address, headers.clone(), &sent).await;
        assert_eq!((answer.status, answer.body.as_str()), (401, ""), "{name}");
    }
    println!("REL D3-discord {} shapes, 0 accepted", cases.len());
}

/// D3 over the wire: one bit of the body is another each time.
#[tokio::test]
async fn no_changed_interaction_is_accepted() {
    let world = World::new().await;
    let body = interaction(1, 2, ADA, owner()).to_string();
    let headers = signed_at(&now_s().to_string(), body.as_bytes());
    let count = at_full(2_000);
    for number in 0..count {
        let mut changed = body.clone().into_bytes();
        let place = number % changed.len();
        // The lowest bits keep the text one of ASCII.
        changed[place] ^= 1 << (number / changed.len() % 5);
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(sends_with(world.address, headers.clone(), &changed).await.status, 401);
    }
    println!("REL D3-discord-wire {count} changed bodies, 0 accepted");
}

/// D4: a copy of a signed click has no second effect inside the five minutes, and none outside.
#[tokio::test]
async fn a_replayed_interaction_has_no_second_effect() {
    let world = World::new().await;
    let body = interaction(7_201, 3, ADA, click("owner payment-api")).to_string();
    let headers = signed_at(&now_s().to_string(), body.as_bytes());
    let count = at_full(1_000);
    for _ in 0..count {
        assert_eq!(sends_with(world.address, headers.clone(), &body).await.status, 200);
    }
    world.fake_discord.hears().await;
    for (number, timestamp) in [now_s() - 301, now_s() + 310, i64::MIN, 0].into_iter().enumerate() {
        let body = interaction(7_300 + number as u64, 3, ADA, click("owner payment-api"));
        let late = signed_at(&timestamp.to_string(), body.to_string().as_bytes());
        let answer = sends_with(world.address, late, &body.to_string()).await;
        assert_eq!((answer.status, answer.body.as_str()), (401, ""), "{timestamp}");
        // The control: the same body signed in time has an effect.
        assert_eq!(sends(world.address, &body).await.status, 200);
        assert!(shown(&world.fake_discord.hears().await.body).contains("is owned by"));
    }
    next_is_checkout(&world).await;
    println!("REL D4-discord {count} replays, 0 effects");
}

/// D9: the server and the application of the request are those of the settings.
#[tokio::test]
async fn another_server_or_application_is_refused() {
    let world = World::new().await;
    let wishes = [
        (2, owner()),
        (3, click("owner payment-api")),
        (3, json!({ "custom_id": "idp-form:0:path" })),
        (
            4,
            json!({ "options": [{ "type": 1, "name": "owner", "options": [
                { "name": "entity", "value": "pay", "focused": true },
            ]}]}),
        ),
        (5, json!({ "custom_id": "idp-form:owner", "components": [] })),
    ];
    for (number, (kind, data)) in wishes.into_iter().enumerate() {
        let ours = interaction(7_400 + number as u64, kind, ADA, data);
        for (field, other) in [
            ("guild_id", json!("700000000000000002")),
            ("guild_id", json!(null)),
            ("application_id", json!("800000000000000002")),
        ] {
            let mut foreign = ours.clone();
            foreign[field] = other;
            let answer = sends(world.address, &foreign).await;
            assert_eq!((answer.status, answer.body.as_str()), (401, ""), "{kind} {field}");
        }
        assert_eq!(sends(world.address, &ours).await.status, 200, "the control of {kind}");
    }
    // Without a list nobody is answered: anybody may invite the application into a server of their own.
    let closed = World::with(ANSWER_WITHIN, |settings| settings.discord.guild_ids.clear()).await;
    let body = interaction(1, 2, ADA, owner());
    assert_eq!(sends(closed.address, &body).await.status, 401);
    let other = |settings: &mut idp::portal::Settings| {
        settings.discord.guild_ids.push("700000000000000002".into());
    };
    let open = World::with(ANSWER_WITHIN, other).await;
    let mut body = body;
    body["guild_id"] = json!("700000000000000002");
    assert_eq!(sends(open.address, &body).await.status, 200, "the control: the list decides");
    assert_ne!(body["guild_id"], GUILD);
}

/// D19: Discord's test of the address is answered when Discord signed it, for our application.
#[tokio::test]
async fn a_ping_is_answered_when_it_is_signed() {
    let world = World::new().await;
    let ping = json!({ "type": 1, "id": "1", "token": "t", "application_id": APPLICATION });
    let answer = sends(world.address, &ping).await;
    assert_eq!((answer.status, &answer.json()["type"]), (200, &json!(1)));
    let mut headers = signed_at(&now_s().to_string(), b"another body");
    headers[2].1 = ping.to_string().len().to_string();
    let answer = sends_with(world.address, headers, &ping.to_string()).await;
    assert_eq!((answer.status, answer.body.as_str()), (401, ""), "the probe that Discord sends");
    let mut other = ping.clone();
    other["application_id"] = json!("1");
    assert_eq!(sends(world.address, &other).await.status, 401);
}

/// D20: a bot that answers bots never stops.
#[tokio::test]
async fn bots_of_discord_are_not_answered() {
    let world = World::new().await;
    for mark in ["bot", "system"] {
        let mut body = interaction(world.number(), 3, ADA, click("owner payment-api"));
        body["member"]["user"][mark] = json!(true);
        let answer = sends(world.address, &body).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
        next_is_checkout(&world).await;
        // The control: without that one mark it is a person's, and answered.
        body["member"]["user"][mark] = json!(false);
        assert_eq!(sends(world.address, &body).await.status, 200);
        assert!(shown(&world.fake_discord.hears().await.body).contains("is owned by"));
    }
}

/// G10, G14: what is signed may still be anything.
#[tokio::test]
async fn odd_interactions_are_refused_and_break_nothing() {
    let world = World::new().await;
    let deep = "[".repeat(100_000);
    let ours = interaction(1, 2, ADA, json!(null)).to_string();
    let long = interaction(2, 2, ADA, call("owner", &[("entity", json!("x".repeat(500_000)))]));
    let bodies = [
        "",
        "{",
        "null",
        "{\"type\":2}",
        "{\"type\":1e400}",
        "{\"type\":3,\"data\":{\"custom_id\":\"\\ud800\"}}",
        &deep,
        &ours,
        &long.to_string(),
    ];
    for body in bodies {
        let headers = signed_at(&now_s().to_string(), body.as_bytes());
        let status = sends_with(world.address, headers, body).await.status;
        assert!(matches!(status, 200 | 400 | 401), "{body:.40}: {status}");
    }
    let large =
        interaction(3, 2, ADA, call("owner", &[("entity", json!("x".repeat(1024 * 1024)))]));
    assert_eq!(sends(world.address, &large).await.status, 413);
    let said = world.calls("owner", &[("entity", json!("payment-api"))]).await;
    assert!(shown(&said["data"]).contains("is owned by"));
}
