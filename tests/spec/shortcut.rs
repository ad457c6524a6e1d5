//! "Who owns this?" in the menu of a message, on both platforms.

use idp::chat::slack::shortcut::CALLBACK_ID;
use serde_json::{Value, json};

use crate::discord_judge;
use crate::discord_world;
use crate::slack_judge::{over_a_limit, seen};
use crate::slack_socket::{self, envelope};
use crate::world::{TEAM, World, interaction};

/// The alert of a monitoring bot: all that it says stands in an attachment.
fn alert() -> Value {
    json!({
        "type": "message", "subtype": "bot_message", "bot_id": "B1", "ts": "1.5", "text": "",
        "attachments": [{
            "title": "[FIRING:1] HighErrorRate", "title_link": "https://grafana.acme.example/alerting/7",
            "text": "5xx above 2 % for 10 min",
            "fields": [{ "title": "service", "value": "payment-api", "short": true },
                       { "title": "team", "value": "payments", "short": true }],
        }],
    })
}

fn says(text: &str) -> Value {
    json!({ "type": "message", "user": "U0BOB", "ts": "1.5", "text": text })
}

/// Ada chooses ours in the menu of `message`, in the channel `name`.
fn chosen(world: &World, trigger: &str, name: &str, message: Value) -> Value {
    json!({
        "type": "message_action", "callback_id": CALLBACK_ID, "trigger_id": trigger,
        "team": { "id": TEAM }, "user": { "id": "U0ADA", "team_id": TEAM },
        "channel": { "id": "C0NOBODY", "name": name }, "message_ts": "1.5", "message": message,
        "response_url": format!("http://{}/respond/{trigger}", world.fake.address),
    })
}

/// What Ada is answered, found to be for her alone and within Slack's limits.
async fn answered(world: &World, name: &str, message: Value) -> Value {
    let trigger = format!("t{}", world.number());
    let body = interaction(&chosen(world, &trigger, name, message));
    let answer = world.sends("/slack/interactions", &body).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
    let heard = world.fake.hears().await;
    assert_eq!(heard.path, format!("/respond/{trigger}"));
    assert_eq!(heard.body["response_type"], "ephemeral");
    assert_eq!(over_a_limit(&heard.body), Ok(()));
    heard.body
}

/// The words of a message, without what keeps Slack from parsing them.
fn text(message: &Value) -> String {
    message["text"].as_str().unwrap().replace('\u{2060}', "")
}

/// What the buttons of a message say when they are clicked, and the choices of its selects.
fn offers(message: &Value) -> Vec<String> {
    let blocks = message["blocks"].as_array().unwrap();
    let elements = blocks.iter().filter(|it| it["type"] == "actions").map(|it| &it["elements"]);
    let mut offers = Vec::new();
    for element in elements.flat_map(|it| it.as_array().unwrap()) {
        let itself = std::slice::from_ref(element);
        let choices = element["options"].as_array().map_or(itself, Vec::as_slice);
        offers.extend(choices.iter().map(|it| it["value"].as_str().unwrap().to_string()));
    }
    offers
}

#[tokio::test]
async fn the_alert_of_a_bot_leads_to_the_owner_of_what_it_is_about() {
    let world = World::new().await;
    let said = answered(&world, "random", alert()).await;
    assert_eq!(said["blocks"], world.types("U0ADA", "owner payment-api").await["blocks"]);
    let blocks = json!([{ "type": "section", "text": { "type": "mrkdwn", "text": "*service:* payment-api" } },
        { "type": "divider" }, null, 7]);
    let in_blocks = json!({ "type": "message", "text": "", "blocks": blocks });
    assert_eq!(answered(&world, "random", in_blocks).await["blocks"], said["blocks"]);
    let of_a_person = answered(&world, "random", says("is `checkout` down?")).await;
    assert!(text(&of_a_person).starts_with("Checkout"), "{of_a_person}");
}

#[tokio::test]
async fn it_is_answered_once_in_the_thread_of_the_message() {
    let world = World::new().await;
    let mut message = alert();
    message["thread_ts"] = json!("1.1");
    let body = interaction(&chosen(&world, "t-again", "random", message));
    for _ in 0..3 {
        assert_eq!(world.sends("/slack/interactions", &body).await.body, "{}");
    }
    assert_eq!(world.fake.hears().await.body["thread_ts"], "1.1");
    world.mentions("U0ADA", "owner checkout").await;
    assert_eq!(world.fake.hears().await.path, "/api/chat.postMessage");
}

#[tokio::test]
async fn a_message_that_names_several_has_a_button_for_each() {
    let world = World::new().await;
    let said = answered(&world, "random", says("payment-api calls ledger-db and `orders`")).await;
    assert!(text(&said).contains("names"), "{said}");
    let offers = offers(&said);
    assert!(offers.contains(&"owner payment-api".to_string()), "{offers:?}");
    assert!(offers.contains(&"owner orders".to_string()), "{offers:?}");
    world.sends("/slack/interactions", &world.click("t-choice", &offers[0])).await;
    assert!(text(&world.fake.hears().await.body).contains("is owned by"));
}

#[tokio::test]
async fn of_very_many_names_the_first_have_buttons_and_the_rest_are_counted() {
    let world = World::new().await;
    let names: Vec<String> = world
        .app
        .snapshot()
        .entities()
        .filter(|it| it.reference.kind() == "component")
        .map(|it| format!("`{}`", it.reference))
        .collect();
    assert!(names.len() > 12);
    let said = answered(&world, "random", says(&names.join(" "))).await;
    assert_eq!(offers(&said).len(), 10);
    let more = format!("and {} more", names.len() - 10);
    assert!(text(&said).contains(&more), "{said}");
}

#[tokio::test]
async fn a_message_that_names_nothing_leads_to_the_channels_own_marked_as_such() {
    let world = World::new().await;
    let said = answered(&world, "payment-api", says("it is slow again, see orders")).await;
    let own = "This message has no whole name that the catalog knows. In this channel: payment-api";
    assert!(text(&said).starts_with(own), "{said}");
    assert!(text(&said).contains("is owned by"), "{said}");
    // A word that is a name too is offered, and never answered.
    assert_eq!(offers(&said).last().unwrap(), "owner orders");
}

#[tokio::test]
async fn where_there_is_nothing_to_go_by_the_next_step_is_said() {
    let world = World::new().await;
    let said = answered(&world, "random", says("lunch?")).await;
    assert!(text(&said).contains("Type find and a word of it"), "{said}");
    let offered = answered(&world, "random", says("orders, please")).await;
    assert_eq!(offers(&offered), ["owner orders"]);
    for text in ["https://evil.example/payment-api", "paymnt-api", ""] {
        assert_eq!(offers(&answered(&world, "random", says(text)).await), [""; 0], "{text}");
    }
}

#[tokio::test]
async fn socket_mode_brings_it_as_well_and_another_shortcut_is_ignored() {
    let slack_socket::Heard { world, sockets, .. } =
        slack_socket::heard(slack_socket::pauses()).await;
    let over_http = answered(&world, "random", alert()).await;
    sockets.sends(envelope("e1", "interactive", chosen(&world, "t-socket", "random", alert())));
    sockets.acknowledged("e1").await;
    assert_eq!(world.fake.hears().await.body, over_http);

    let mut other = chosen(&world, "t-other", "random", alert());
    other["callback_id"] = json!("of-another-app");
    assert_eq!(world.sends("/slack/interactions", &interaction(&other)).await.body, "{}");
    let mut strange = chosen(&world, "t-strange", "random", alert());
    strange["user"]["team_id"] = json!("T0EVIL");
    assert_eq!(world.sends("/slack/interactions", &interaction(&strange)).await.body, "{}");
    world.mentions("U0ADA", "owner checkout").await;
    assert_eq!(world.fake.hears().await.path, "/api/chat.postMessage");
}

/// A choice in the menu of a message in Discord that says `content` and shows `embeds`.
fn menu(name: &str, content: &str, embeds: Value) -> Value {
    json!({
        "id": "1", "type": 3, "name": name, "target_id": "77",
        "resolved": { "messages": { "77": { "id": "77", "content": content, "embeds": embeds } } },
    })
}

#[tokio::test]
async fn discord_answers_the_same_to_the_same_message() {
    let world = World::new().await;
    let embed = json!([{ "title": "HighErrorRate", "fields": [{ "name": "service", "value": "payment-api" }] }]);
    for (content, embeds, slack) in [
        ("", embed, alert()),
        ("payment-api and `orders`", json!([]), says("payment-api and `orders`")),
        ("orders, please", json!([]), says("orders, please")),
        ("lunch?", json!([]), says("lunch?")),
    ] {
        let said = world.interacts(2, menu("Who owns this?", content, embeds)).await;
        assert_eq!((&said["type"], &said["data"]["flags"]), (&json!(5), &json!(64)), "{said}");
        let in_discord = world.hears_call("PATCH").await.body;
        assert_eq!(discord_judge::over_a_limit(&in_discord), Ok(()));
        let buttons = discord_judge::buttons(&in_discord);
        let in_discord: Vec<&str> = buttons
            .iter()
            .filter_map(|it| it["custom_id"].as_str()?.splitn(3, ':').last())
            .collect();
        assert_eq!(in_discord, offers(&answered(&world, "random", slack).await), "{content}");
    }
    let other = menu("Another", "payment-api", json!([]));
    let other = discord_world::interaction(world.number(), 2, "400000000000000001", other);
    assert_eq!(discord_world::sends(world.address, &other).await.body, "{}");
}

#[tokio::test]
async fn whatever_a_message_says_the_answer_says_nothing_of_it() {
    let world = World::new().await;
    for hostile in crate::hostile_text::HOSTILE {
        for names in ["", "payment-api", "payment-api `orders`"] {
            let said = answered(&world, "random", says(&format!("{hostile} {names}"))).await;
            let found = seen(&said);
            assert!(found.mentions.is_empty(), "{hostile:?}: {said}");
            assert!(found.links.iter().all(|it| !it.contains("evil")), "{hostile:?}: {said}");
        }
    }
}
