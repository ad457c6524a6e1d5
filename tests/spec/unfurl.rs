//! Links that people post in Slack, and the cards below them.

use idp::access::{Authority, Reach, Terms};
use idp::chat::ANSWER_WITHIN;
use idp::conversation::Reply;
use serde_json::{Value, json};

use crate::descriptors::shared;
use crate::hostile_slack::{name, texts, victims, without_the_guard};
use crate::hostile_text::has_hidden;
use crate::scale::at_full;
use crate::slack_judge::{Seen, against_description, over_a_limit, seen, shape, text};
use crate::slack_socket::{self, envelope};
use crate::world::{Heard, TEAM, World};

const ZOE: &str = "U0ACME0013";
const BOARD: &str = "https://grafana.acme.example/d/payment-api";

/// Zoé posts `addresses` in a channel of the company's own.
fn posted(world: &World, addresses: &[&str]) -> Value {
    let links: Vec<Value> =
        addresses.iter().map(|it| json!({ "domain": "acme.example", "url": it })).collect();
    json!({
        "type": "event_callback", "team_id": TEAM, "event_id": format!("Ev{}", world.number()),
        "is_ext_shared_channel": false,
        "event": { "type": "link_shared", "user": ZOE, "channel": "C0NOBODY", "message_ts": "1.5",
            "is_bot_user_member": false, "links": links },
    })
}

/// Everything that the bot says to `event`.
async fn said_to(world: &World, event: &Value) -> Vec<Heard> {
    let answer = world.sends("/slack/events", &event.to_string()).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
    world.rests().await;
    world.fake.heard().await
}

/// The cards below the links of `event`, by address, found fit for Slack.
async fn cards(world: &World, event: &Value) -> Value {
    let said = said_to(world, event).await;
    let [call] = &said[..] else { panic!("{said:?}") };
    assert_eq!(call.path, "/api/chat.unfurl");
    for card in call.body["unfurls"].as_object().unwrap().values() {
        assert_eq!(over_a_limit(card), Ok(()));
    }
    call.body["unfurls"].clone()
}

#[tokio::test]
async fn a_dashboard_a_repository_and_a_runbook_say_whose_they_are() {
    let world = World::new().await;
    for address in [
        BOARD,
        "https://grafana.acme.example/d/payment-api/errors?from=now-1h&amp;to=now#panel-2",
        "https://github.com/acme/payment-api/pull/7",
        "https://wiki.acme.example/runbooks/payment-api/",
        "https://app.datadoghq.example/dashboard/pay-123",
    ] {
        let cards = cards(&world, &posted(&world, &[address])).await;
        let said = text(&cards[address]);
        assert!(
            said.starts_with("Payment API · component, owned by Payments"),
            "{address}: {cards}"
        );
        assert!(said.contains("Authorises") && said.contains("On call: "), "{said}");
        assert!(said.contains("Tier 1, production"), "{said}");
    }
}

#[tokio::test]
async fn the_call_says_where_the_links_stand_in_slacks_own_words() {
    let world = World::new().await;
    let event = posted(&world, &[BOARD]);
    let said = said_to(&world, &event).await;
    assert_eq!(
        (&said[0].body["channel"], &said[0].body["ts"]),
        (&json!("C0NOBODY"), &json!("1.5"))
    );
    if let Some(file) = shared("specs/slack_web.json") {
        let text = std::fs::read_to_string(file).unwrap();
        let description: Value = serde_json::from_str(&text).unwrap();
        let wrong = against_description(&description, "chat.unfurl", &said[0].body).unwrap();
        assert_eq!(wrong, [""; 0]);
        let control = json!({ "unfurls": {}, "links": [] });
        assert_eq!(against_description(&description, "chat.unfurl", &control).unwrap().len(), 3);
    }
    // While a message is written there is no channel yet. The description is older than that.
    let mut written = posted(&world, &[BOARD]);
    written["event"]["unfurl_id"] = json!("Uabc");
    written["event"]["source"] = json!("composer");
    written["event"]["channel"] = json!("COMPOSER");
    let said = said_to(&world, &written).await;
    let call = &said[0].body;
    assert_eq!((&call["unfurl_id"], &call["source"]), (&json!("Uabc"), &json!("composer")));
    assert_eq!((call.get("channel"), call.get("ts")), (None, None));
}

#[tokio::test]
async fn five_links_at_most_each_once_and_unknown_ones_not_at_all() {
    let world = World::new().await;
    let names = ["payment-api", "checkout", "orders", "ledger", "inventory", "returns", "shipping"];
    let repositories = names.map(|it| format!("https://wiki.acme.example/runbooks/{it}"));
    let known: Vec<&str> = repositories
        .iter()
        .map(String::as_str)
        .filter(|it| !world.app.snapshot().at(it).is_empty())
        .collect();
    assert!(known.len() > 5, "{known:?}");
    let mut addresses = vec!["https://evil.example/", known[0], known[0]];
    addresses.extend(&known);
    let cards = cards(&world, &posted(&world, &addresses)).await;
    let shown: Vec<&String> = cards.as_object().unwrap().keys().collect();
    assert_eq!(shown.len(), 5);
    assert!(shown.iter().all(|it| known[..5].contains(&it.as_str())), "{shown:?}");
    for unknown in
        ["https://evil.example/d/payment-api", "https://grafana.acme.example/", "nonsense"]
    {
        assert_eq!(said_to(&world, &posted(&world, &[unknown])).await, [], "{unknown}");
    }
}

#[tokio::test]
async fn nothing_is_shown_where_another_company_reads_along() {
    let world = World::new().await;
    let good = posted(&world, &[BOARD]);
    assert_eq!(said_to(&world, &good).await.len(), 1, "the control");
    let mut shared = posted(&world, &[BOARD]);
    shared["is_ext_shared_channel"] = json!(true);
    let mut unsaid = posted(&world, &[BOARD]);
    unsaid.as_object_mut().unwrap().remove("is_ext_shared_channel");
    let mut strange = posted(&world, &[BOARD]);
    strange["event"]["user_team"] = json!("T0OTHER");
    let mut nobodys = posted(&world, &[BOARD]);
    nobodys["event"]["user"] = Value::Null;
    let mut placeless = posted(&world, &[BOARD]);
    placeless["event"]["message_ts"] = Value::Null;
    for event in [shared, unsaid, strange, nobodys, placeless] {
        assert_eq!(said_to(&world, &event).await, [], "{event}");
    }
}

#[tokio::test]
async fn what_somebody_may_not_ask_their_links_do_not_show() {
    let world = World::new().await;
    let mut event = posted(&world, &[BOARD]);
    event["event"]["user"] = json!("U0STRANGER");
    for (strangers, cards) in [(Reach::Nothing, 0), (Reach::Read, 1)] {
        let mut settings = (**world.app.settings.load()).clone();
        settings.access = Authority::new(Terms { strangers, ..Terms::default() });
        world.app.settings.store(std::sync::Arc::new(settings));
        assert_eq!(said_to(&world, &event).await.len(), cards, "{strangers:?}");
    }
}

#[tokio::test]
async fn a_page_of_the_web_catalog_is_known_by_the_settings() {
    let world = World::with(ANSWER_WITHIN, |settings| {
        settings.catalog_url = Some("https://backstage.acme.example/catalog".into());
    })
    .await;
    let address = "https://backstage.acme.example/catalog/default/component/payment-api/docs";
    let cards = cards(&world, &posted(&world, &[address])).await;
    assert!(text(&cards[address]).starts_with("Payment API"), "{cards}");
    let other = "https://backstage.acme.example/catalog/default/component/no-such";
    assert_eq!(said_to(&world, &posted(&world, &[other])).await, []);
}

#[tokio::test]
async fn socket_mode_brings_links_as_well() {
    let slack_socket::Heard { world, sockets, .. } =
        slack_socket::heard(slack_socket::pauses()).await;
    let event = posted(&world, &[BOARD]);
    let over_http = cards(&world, &event).await;
    sockets.sends(envelope("e1", "events_api", event));
    sockets.acknowledged("e1").await;
    assert_eq!(world.fake.hears().await.body["unfurls"], over_http);
}

#[tokio::test]
async fn a_message_that_links_to_a_known_page_names_what_it_is_about() {
    let world = World::new().await;
    let speaker = crate::asking::invocation("").speaker;
    let address = crate::asking::invocation("").address;
    let texts = vec![format!("look at {BOARD}?from=now-1h")];
    let pointing = idp::conversation::Pointing { speaker, address, texts };
    let Reply { markdown, .. } = world.app.answer_about(pointing).await;
    assert!(markdown.starts_with("**Payment API**"), "{markdown}");
}

#[tokio::test]
async fn no_hostile_name_changes_what_a_card_is() {
    let texts = texts(at_full(500));
    let world = victims(&texts).await;
    let page = |number: usize| format!("https://grafana.acme.example/d/c{}", name(number));
    let harmless = cards(&world, &posted(&world, &[&page(0)])).await[page(0)].clone();
    assert!(text(&harmless).contains(crate::hostile_slack::HARMLESS), "{harmless}");
    let mut caught = 0;
    for (number, hostile) in (1..).zip(&texts) {
        let card = cards(&world, &posted(&world, &[&page(number)])).await[page(number)].clone();
        let found = seen(&card);
        assert_eq!(found, Seen::default(), "{hostile:?}: {card}");
        assert_eq!(shape(&card), shape(&harmless), "{hostile:?}: {card}");
        let shown = json!({ "blocks": card["blocks"], "text": "" });
        assert!(!has_hidden(&shown), "{hostile:?}: {card}");
        // The control: the same card of a renderer that trusts.
        if hostile.contains("<!channel>") {
            assert_ne!(seen(&without_the_guard(&card)), found, "{hostile:?}");
            caught += 1;
        }
    }
    assert!(caught > 0);
    println!(
        "REL G1-G4 {} cards: 0 mentions, 0 links, 0 changed shapes; without the guard {caught} of {caught} seen",
        texts.len()
    );
}
