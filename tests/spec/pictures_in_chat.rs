//! A picture follows the words of its answer, on both platforms, to nobody who did not see these.

use std::sync::atomic::Ordering;

use idp::access::{Authority, Terms};
use idp::commands::CommandSet;
use idp::conversation::{Reply, Way};
use idp::pictures::ALT_CHARACTERS_MAX;
use idp::pictures::graph::{Graph, draw};
use idp::portal::Settings;
use serde_json::{Value, json};

use crate::asking::{Asking, invocation};
use crate::picture_files::Sent;
use crate::world::World;

const GRAPH: &str = "graph payment-api";
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

fn is_the_graph(sent: &Sent) {
    assert!(sent.bytes.starts_with(SIGNATURE), "{} bytes", sent.bytes.len());
    assert_eq!((sent.name.as_str(), sent.kind.as_str()), ("graph.png", "image/png"));
    assert!(sent.alt.contains("Payment API") && sent.alt.contains("Checkout"), "{}", sent.alt);
}

#[tokio::test]
async fn slack_gets_the_words_at_once_and_the_picture_after_them() {
    let world = World::new().await;
    for _ in 0..2 {
        let said = world.types("U0ADA", GRAPH).await;
        assert!(said.to_string().contains("13 depend on it"), "{said}");
        assert_eq!(said["response_type"], "in_channel");
        let sent = world.fake.moods.uploads.shared.next().await;
        is_the_graph(&sent);
        assert_eq!((sent.place.as_str(), sent.thread.as_deref()), ("C0NOBODY", None));
        assert_eq!(sent.title, "What depends on Payment API, and what it needs");
        assert!(sent.alt.chars().count() <= 400);
        assert!(!sent.has_token, "the bytes go to their address without the token");
    }
}

#[tokio::test]
async fn a_picture_for_one_person_in_slack_goes_to_that_person_alone() {
    let world = World::new().await;
    let click = world.click("c1", GRAPH);
    world.sends("/slack/interactions", &click).await;
    let said = world.fake.hears().await;
    assert_eq!(said.body["response_type"], "ephemeral");
    let sent = world.fake.moods.uploads.shared.next().await;
    is_the_graph(&sent);
    assert_eq!((sent.place.as_str(), sent.thread), ("U0ADA", None));
    world.rests().await;
    assert!(!world.fake.moods.uploads.shared.has_more().await);
}

#[tokio::test]
async fn a_mention_in_slack_has_its_picture_in_its_thread() {
    let world = World::new().await;
    world.mentions("U0ADA", "draw the graph of payment-api").await;
    assert_eq!(world.fake.hears().await.path, "/api/chat.postMessage");
    let sent = world.fake.moods.uploads.shared.next().await;
    is_the_graph(&sent);
    assert_eq!(sent.place, "C0NOBODY");
    assert_eq!(sent.thread.as_deref(), Some("1700000000.000100"));
}

#[tokio::test]
async fn where_the_bot_is_not_in_the_channel_the_picture_goes_to_who_asked() {
    let world = World::new().await;
    world.fake.moods.is_outside.store(true, Ordering::SeqCst);
    world.types("U0ADA", GRAPH).await;
    assert_eq!(world.fake.moods.uploads.shared.next().await.place, "U0ADA");
}

#[tokio::test]
async fn a_picture_that_slack_does_not_take_is_explained() {
    let world = World::new().await;
    for (error, remedy) in [("missing_scope", "files:write"), ("file_uploads_disabled", "again")] {
        *world.fake.moods.uploads.refused.lock().unwrap() = Some(error);
        let said = world.types("U0ADA", GRAPH).await;
        assert!(said.to_string().contains("13 depend on it"), "{said}");
        let told = world.fake.hears().await;
        assert!(told.path.starts_with("/respond/"), "{told:?}");
        assert_eq!(told.body["response_type"], "ephemeral");
        let said = told.body["blocks"].to_string();
        assert!(said.contains("The picture is missing") && said.contains(remedy), "{said}");
        assert!(!said.contains("xoxb"), "{said}");
    }
}

#[tokio::test]
async fn no_bytes_go_to_an_address_that_is_not_slacks() {
    let world = World::new().await;
    *world.fake.moods.uploads.elsewhere.lock().unwrap() = Some("https://evil.example/upload");
    world.types("U0ADA", GRAPH).await;
    let said = world.fake.hears().await.body["blocks"].to_string();
    assert!(said.contains("foreign"), "{said}");
    world.rests().await;
    assert!(!world.fake.moods.uploads.shared.has_more().await);
}

#[tokio::test]
async fn discord_gets_the_words_at_once_and_the_picture_into_them() {
    let world = World::new().await;
    let said = world.calls("graph", &[("entity", json!("payment-api"))]).await;
    assert_eq!(said["type"], 4);
    let sent = world.fake_discord.pictures().next().await;
    is_the_graph(&sent);
    assert!(sent.place.starts_with("PATCH /webhooks/"), "{}", sent.place);
    assert!(!sent.has_token, "the address says who may");
    let embeds = &sent.message["embeds"];
    assert_eq!(embeds[0]["image"]["url"], "attachment://graph.png");
    assert_eq!(embeds[0]["description"], said["data"]["embeds"][0]["description"]);
    assert_eq!(sent.message["components"], said["data"]["components"]);
    assert!(sent.alt.encode_utf16().count() <= ALT_CHARACTERS_MAX);

    // A click is answered below it, with a picture too.
    let data = json!({ "custom_id": format!("idp:0:{GRAPH}"), "component_type": 2 });
    world.interacts(3, data).await;
    is_the_graph(&world.fake_discord.pictures().next().await);
}

#[tokio::test]
async fn a_picture_that_discord_does_not_take_is_explained() {
    let world = World::new().await;
    world.fake_discord.takes_no_files();
    world.calls("graph", &[("entity", json!("payment-api"))]).await;
    let told = world.fake_discord.hears().await;
    assert!(told.call.starts_with("PATCH /webhooks/"), "{told:?}");
    let embeds = told.body["embeds"].as_array().unwrap();
    assert!(embeds[0]["description"].as_str().unwrap().contains("13 depend on it"), "{told:?}");
    let why = embeds[1]["description"].as_str().unwrap();
    assert!(why.contains("Attach Files"), "{why}");
    assert_eq!(told.body["attachments"], json!([]));
}

/// Whoever may not ask is sent no picture either.
#[tokio::test]
async fn who_may_not_ask_gets_no_picture() {
    let closed = |settings: &mut Settings| settings.access = Authority::new(Terms::default());
    let asking = Asking::with(CommandSet::built_in(), closed).await;
    let mut stranger = invocation(GRAPH);
    stranger.speaker.user_id = "U0NOBODY".into();
    let reply = asking.app.answer(Way::Message, stranger).await;
    assert!(reply.refusal.is_some() && Graph::of(&reply.answer).is_none(), "{}", reply.markdown);
    let reply = asking.says(GRAPH).await;
    assert!(Graph::of(&reply.answer).is_some(), "the control");
}

#[tokio::test]
async fn a_reply_with_its_picture_survives_being_written_down() {
    let asking = Asking::acme().await;
    let reply = asking.says(GRAPH).await;
    let written: Value = serde_json::to_value(&reply).unwrap();
    let read: Reply = serde_json::from_value(written).unwrap();
    let (before, after) = (Graph::of(&reply.answer).unwrap(), Graph::of(&read.answer).unwrap());
    assert_eq!(draw(&after).unwrap(), draw(&before).unwrap());
}

#[tokio::test]
async fn what_has_no_neighbours_has_words_and_no_picture() {
    let asking = Asking::acme().await;
    let alone = asking.says("graph payments dependents").await;
    assert_eq!(Graph::of(&alone.answer), None, "{}", alone.markdown);
    assert!(alone.markdown.contains("Nothing depends on"), "{}", alone.markdown);
}
