//! Forms in Slack: opened by a click, filled in with suggestions, answered where they were opened.

use idp::access::{Authority, Links, Object, Person};
use idp::actions::ActionSet;
use idp::catalog::Snapshot;
use idp::catalog::snapshot::Unread;
use idp::chat::slack::modal::{self, Origin};
use idp::commands::CommandSet;
use idp::commands::form;
use idp::commands::parse::begun;
use idp::conversation::Way;
use idp::terminal::ask::typed;
use serde_json::{Value, json};

use crate::descriptors::shared;
use crate::slack_judge::{against_description, modal_over_a_limit};
use crate::world::{TEAM, World, interaction, request};

/// A click of Ada's on a button that opens the form of `words`.
fn opens(world: &World, trigger: &str, words: &str) -> String {
    let payload = json!({
        "type": "block_actions", "trigger_id": trigger,
        "team": { "id": TEAM }, "user": { "id": "U0ADA", "team_id": TEAM },
        "channel": { "id": "C0NOBODY", "name": "random" },
        "container": { "message_ts": "1.5", "thread_ts": "1.1", "is_ephemeral": true },
        "response_url": format!("http://{}/respond/{trigger}", world.fake.address),
        "actions": [{ "type": "button", "action_id": "idp-form:0", "value": words }],
    });
    interaction(&payload)
}

/// The form `view` sent with `values`, as its elements hold them.
fn sent(view: &Value, trigger: &str, values: &[(&str, &str)]) -> String {
    let mut state = json!({});
    for block in view["blocks"].as_array().unwrap().iter().filter(|it| it["type"] == "input") {
        let (name, element) = (block["block_id"].as_str().unwrap(), &block["element"]);
        let given = values.iter().find(|(it, _)| *it == name).map(|(_, value)| *value);
        let kind = element["type"].as_str().unwrap();
        let action = element["action_id"].as_str().unwrap();
        state[name][action] = match kind {
            "plain_text_input" => json!({ "type": kind, "value": given }),
            _ => json!({ "type": kind, "selected_option": given.map(|it| json!({ "value": it })) }),
        };
    }
    let mut view = view.clone();
    view["id"] = json!("V1");
    view["state"] = json!({ "values": state });
    interaction(&json!({
        "type": "view_submission", "trigger_id": trigger,
        "team": { "id": TEAM }, "user": { "id": "U0ADA", "team_id": TEAM }, "view": view,
    }))
}

/// Somebody types `typed` into the field `name` of `view`.
fn typing(view: &Value, name: &str, typed: &str) -> String {
    interaction(&json!({
        "type": "block_suggestion", "block_id": name, "action_id": format!("idp-field:{name}"),
        "value": typed, "view": view,
        "team": { "id": TEAM }, "user": { "id": "U0ADA", "team_id": TEAM },
    }))
}

async fn opened(world: &World, words: &str) -> Value {
    let answer = world.sends("/slack/interactions", &opens(world, "t-open", words)).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
    let heard = world.fake.hears().await;
    assert_eq!(heard.path, "/api/views.open");
    assert_eq!(heard.body["trigger_id"], "t-open");
    heard.body["view"].clone()
}

#[tokio::test]
async fn what_a_call_lacks_is_asked_for_and_answered_where_it_was_asked() {
    let world = World::new().await;
    let said = world.types("U0ADA", "path payment-api").await;
    let button = &said["blocks"].as_array().unwrap().last().unwrap()["elements"][0];
    assert_eq!(button["text"]["text"], "Fill in");
    assert!(button["action_id"].as_str().unwrap().starts_with("idp-form:"), "{button}");

    let view = opened(&world, button["value"].as_str().unwrap()).await;
    assert_eq!(modal_over_a_limit(&view), Ok(()));
    assert_eq!(view["title"]["text"], "path");
    let from = view["blocks"].as_array().unwrap().iter().find(|it| it["block_id"] == "from");
    assert_eq!(from.unwrap()["element"]["initial_option"]["value"], "payment-api");

    let suggested = world.sends("/slack/interactions", &typing(&view, "to", "ledg")).await.json();
    let values = suggested["options"].to_string();
    assert!(values.contains(r#""value":"ledger"#), "{values}");

    let body = sent(&view, "t-sent", &[("from", "checkout"), ("to", "payment-api")]);
    for _ in 0..3 {
        assert_eq!(world.sends("/slack/interactions", &body).await.body, "{}");
    }
    let heard = world.fake.hears().await;
    assert_eq!(heard.path, "/respond/t-open", "where the form was opened");
    assert_eq!(
        (&heard.body["thread_ts"], &heard.body["replace_original"]),
        (&json!("1.1"), &json!(false))
    );
    let shown = heard.body.to_string();
    assert!(shown.contains("checkout") && shown.contains("payment-api"), "{shown}");
    // However often it was sent, it was answered once.
    world.mentions("U0ADA", "owner checkout").await;
    assert_eq!(world.fake.hears().await.path, "/api/chat.postMessage");
}

#[tokio::test]
async fn what_is_wrong_with_a_field_is_said_below_it() {
    let world = World::new().await;
    let view = opened(&world, "path payment-api").await;
    let body = sent(&view, "t-wrong", &[("from", "paymnt-api"), ("to", "checkout")]);
    let answer = world.sends("/slack/interactions", &body).await.json();
    assert_eq!(answer["response_action"], "errors");
    let said = answer["errors"]["from"].as_str().unwrap();
    assert!(said.contains("Did you mean") && said.contains("payment-api"), "{said}");
    assert_eq!(answer["errors"].as_object().unwrap().len(), 1);
    // The person puts it right and sends it again: that is what is answered, and nothing else.
    let body = sent(&view, "t-right", &[("from", "payment-api"), ("to", "checkout")]);
    assert_eq!(world.sends("/slack/interactions", &body).await.body, "{}");
    assert_eq!(world.fake.hears().await.path, "/respond/t-open");
}

#[tokio::test]
async fn a_form_that_slack_does_not_open_is_told_to_who_clicked() {
    let world = World::new().await;
    world.fake.is_away_for(1);
    world.sends("/slack/interactions", &opens(&world, "t-late", "path")).await;
    assert_eq!(world.fake.hears().await.path, "/away");
    let heard = world.fake.hears().await;
    assert_eq!(heard.path, "/respond/t-late");
    assert!(heard.body.to_string().contains("help path"), "{heard:?}");
    // A command without anything to ask is answered, one that is not there is refused.
    for (words, said) in [("whoami", "U0ADA"), ("no-such-command", "help")] {
        world.sends("/slack/interactions", &opens(&world, words, words)).await;
        let heard = world.fake.hears().await;
        assert_eq!(heard.path, format!("/respond/{words}"));
        assert!(heard.body.to_string().contains(said), "{heard:?}");
    }
}

#[tokio::test]
async fn suggestions_are_for_slack_alone_and_a_strange_form_has_none() {
    let world = World::new().await;
    let view = opened(&world, "path").await;
    let body = typing(&view, "to", "pay");
    let headers = vec![("content-length".to_string(), body.len().to_string())];
    let answer =
        request(world.address, "POST", "/slack/interactions", headers, body.into_bytes()).await;
    assert_eq!((answer.status, answer.body.as_str()), (401, ""));
    let others = typing(&view, "to", "pay").replace(TEAM, "T0EVIL");
    assert_eq!(world.sends("/slack/interactions", &others).await.status, 401);
    let mut of_another_app = view.clone();
    of_another_app["callback_id"] = json!("another-app");
    let answer = world.sends("/slack/interactions", &typing(&of_another_app, "to", "pay")).await;
    assert_eq!(answer.body, "{}");
    of_another_app["callback_id"] = json!("idp-form:gone");
    let answer = world.sends("/slack/interactions", &typing(&of_another_app, "to", "pay")).await;
    assert_eq!(answer.json(), json!({ "options": [] }));
}

#[tokio::test]
async fn the_form_of_every_command_is_within_the_limits_and_as_slack_describes() {
    let commands = CommandSet::built_in();
    let authority = Authority::default();
    let speaker = typed("", None).speaker;
    let unread = Snapshot::unread(Unread::NoAnswer);
    let person = Person::of(&speaker, &Links::default(), &unread);
    let origin = Origin {
        channel_id: "C0123456789".into(),
        channel_name: Some("x".repeat(80)),
        thread: Some("1700000000.000100".into()),
        response_url: format!("https://hooks.slack.com/actions/{}", "x".repeat(100)),
        depth: 1,
    };
    let mut count = 0;
    for (name, _) in commands.names() {
        for given in [name.to_string(), format!("{name} {}", "ü𝒳".repeat(200))] {
            // Some arguments cannot be just anything.
            let Ok(call) = begun(&commands, &given) else { continue };
            let verb = call.command.lookup.verb();
            let permit = authority.authorize(&person, Way::Form, verb, Object::Catalog).unwrap();
            let Some(form) = form::form(permit, &commands, &ActionSet::default(), &unread, &call)
            else {
                continue;
            };
            let view = modal::view(&form, &origin).unwrap();
            assert_eq!(modal_over_a_limit(&view), Ok(()), "{view}");
            count += 1;
        }
    }
    assert!(count > 10, "{count}");
    let Some(file) = shared("specs/slack_web.json") else { return };
    let description = std::fs::read_to_string(file).unwrap();
    let description: Value = serde_json::from_str(&description).unwrap();
    let against = |call: Value| against_description(&description, "views.open", &call).unwrap();
    assert!(against(json!({ "trigger_id": "t", "view": {} })).is_empty());
    // The control.
    assert_eq!(against(json!({ "view": {}, "user": "U1" })).len(), 2);
}
