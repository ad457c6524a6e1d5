//! The picture of a digest goes with its message, and never costs it.

use std::sync::atomic::Ordering;

use chrono::Utc;
use idp::catalog::EntityRef;
use idp::chat::digests::Carrier;
use idp::conversation::Reply;
use idp::digests::delivery::{Delivery, Doubt, mark};
use idp::pictures::chart::{Chart, Line, Part, Trend};
use serde_json::json;

use crate::slack_judge;
use crate::world::World;

fn reply() -> Reply {
    let line = Line {
        label: "Production readiness".into(),
        colour: None,
        values: vec![Some(61.0), Some(78.0)],
    };
    let trend = Trend {
        title: "Average score".into(),
        unit: "%".into(),
        steps: vec!["2 Mar".into(), "9 Mar".into()],
        lines: vec![line],
        top: Some(100.0),
    };
    let chart = Chart { title: "Payments".into(), parts: vec![Part::Trend(trend)] };
    let text = "## Payments: Your week\n\nYou own 2 things.\n\n_Monday, as of 09:00_";
    Reply { answer: json!({ "chart": chart }), ..Reply::markdown(text) }
}

fn delivery(channel: &str) -> Delivery {
    let (team, now) = (EntityRef::new("group", "default", "payments"), Utc::now());
    Delivery {
        id: 1,
        mark: mark("weekly", &team, now.date_naive()),
        digest: "weekly".into(),
        team,
        date: now.date_naive(),
        channel: channel.into(),
        send_at: now,
        is_late: false,
        body: String::new(),
        attempts: 1,
        doubt: Doubt::None,
        message_id: None,
    }
}

#[tokio::test]
async fn in_slack_the_picture_is_scheduled_with_the_message() {
    let world = World::new().await;
    let handed = world.dispatcher.hand_over(&delivery("C1"), &reply()).await;
    assert_eq!(handed, Ok("Q1".to_string()));
    let kept = world.fake.moods.uploads.shared.next().await;
    assert!(kept.bytes.starts_with(b"\x89PNG") && kept.alt.contains("78"), "{}", kept.alt);
    assert_eq!(kept.place, "", "nobody sees it but in the message");
    let heard = world.fake.hears().await;
    assert_eq!(heard.path, "/api/chat.scheduleMessage");
    assert_eq!(slack_judge::over_a_limit(&heard.body), Ok(()));
    let blocks = heard.body["blocks"].as_array().unwrap();
    let image = blocks.iter().find(|it| it["type"] == "image").unwrap();
    assert_eq!(image["slack_file"], json!({ "id": "F000000000" }));
    assert!(image["alt_text"].as_str().unwrap().contains("Production readiness"), "{image}");
    assert_eq!(blocks.last().unwrap()["type"], "context", "the small print stands last");
    assert!(heard.body["text"].as_str().unwrap().contains("idp-"), "it has its mark");
}

#[tokio::test]
async fn a_picture_that_slack_does_not_take_costs_no_digest() {
    let world = World::new().await;
    world.fake.moods.takes_no_images.store(true, Ordering::SeqCst);
    let handed = world.dispatcher.hand_over(&delivery("C1"), &reply()).await;
    assert_eq!(handed, Ok("Q1".to_string()));
    assert_eq!(world.fake.hears().await.path, "/images", "it was refused with its picture");
    let heard = world.fake.hears().await;
    assert_eq!(heard.path, "/api/chat.scheduleMessage");
    assert!(!heard.body.to_string().contains("slack_file"), "{}", heard.body);
    // Nor does one that cannot be uploaded.
    *world.fake.moods.uploads.refused.lock().unwrap() = Some("missing_scope");
    let handed = world.dispatcher.hand_over(&delivery("C1"), &reply()).await;
    assert_eq!(handed, Ok("Q1".to_string()));
    assert!(!world.fake.hears().await.body.to_string().contains("slack_file"));
    assert_eq!(world.fake.heard().await, [], "once");
}

#[tokio::test]
async fn on_discord_the_picture_is_posted_with_the_message() {
    let world = World::new().await;
    let delivery = delivery("700000000000000001");
    let handed = world.discord.hand_over(&delivery, &reply()).await;
    assert!(handed.is_ok(), "{handed:?}");
    let sent = world.fake_discord.pictures().next().await;
    assert!(sent.bytes.starts_with(b"\x89PNG"), "{} bytes", sent.bytes.len());
    assert_eq!(sent.place, "POST /channels/700000000000000001/messages");
    assert_eq!(sent.message["nonce"], delivery.mark);
    assert_eq!(sent.message["enforce_nonce"], true);
    assert!(sent.alt.contains("Production readiness"), "{}", sent.alt);
    assert!(sent.message["embeds"].to_string().contains(&delivery.mark), "{}", sent.message);
}

#[tokio::test]
async fn a_picture_that_discord_does_not_take_costs_no_digest() {
    let world = World::new().await;
    world.fake_discord.takes_no_files();
    let delivery = delivery("700000000000000001");
    let handed = world.discord.hand_over(&delivery, &reply()).await;
    assert!(handed.is_ok(), "{handed:?}");
    let heard = world.fake_discord.hears().await;
    assert_eq!(heard.body["nonce"], delivery.mark);
    assert_eq!(heard.body["attachments"], json!([]), "{}", heard.body);
    assert_eq!(world.fake_discord.heard().await.len(), 0, "once");
}
