//! `score`: how an entity does, the same wherever it is asked.

use idp::conversation::Way;
use idp::terminal::ask::typed;
use idp::terminal::render::render;
use serde_json::{Value, json};

use crate::asking::Asking;
use crate::discord_world;
use crate::world::World;

/// Somebody of the team that owns the service.
const ZOE: &str = "U0ACME0013";

/// As product and people know it.
const PICTURE: &str = "\
payment-api                          Production readiness
✅ Documentation        [100%]
✅ Monitoring           [100%]
⚠️ On-Call Rotation     [ 80%]
❌ Disaster Recovery    [ 20%]
Overall: 75% – Bronze";

/// The texts in letters of one width that a message of Slack's shows.
fn preformatted(message: &Value, found: &mut Vec<String>) {
    match message {
        Value::Object(fields) if fields.get("type") == Some(&json!("rich_text_preformatted")) => {
            let elements = fields["elements"].as_array().unwrap();
            found.push(elements.iter().map(|it| it["text"].as_str().unwrap()).collect());
        }
        Value::Object(fields) => fields.values().for_each(|it| preformatted(it, found)),
        Value::Array(items) => items.iter().for_each(|it| preformatted(it, found)),
        _ => {}
    }
}

#[tokio::test]
async fn a_score_reads_the_same_in_the_terminal_in_slack_and_in_discord() {
    let world = World::new().await;

    let reply = world.app.answer(Way::Command, typed("score payment-api", None)).await;
    let terminal = render(&reply, 120, false);
    let lines: Vec<&str> = terminal.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert_eq!(lines[..6].join("\n"), PICTURE, "{terminal}");

    let mut in_slack = Vec::new();
    preformatted(&world.types(ZOE, "score payment-api").await, &mut in_slack);
    assert_eq!(in_slack, [PICTURE]);

    let call = discord_world::call("score", &[("entity", json!("payment-api"))]);
    let body = discord_world::interaction(world.number(), 2, "400000000000000001", call);
    let answer = discord_world::sends(world.address, &body).await.json();
    let description = answer["data"]["embeds"][0]["description"].as_str().unwrap();
    assert!(description.contains(&format!("```\n{PICTURE}\n```")), "{description}");
}

#[tokio::test]
async fn what_to_do_next_comes_the_cheapest_first_with_its_remedy() {
    let asking = Asking::acme().await;
    let answer = asking.says("score payment-api").await.answer;
    let card = &answer["scorecards"][0];
    assert_eq!((&card["percent"], &card["level"]), (&json!(75), &json!("Bronze")));
    assert_eq!(card["next"], json!({ "level": "Silver", "points": 5 }));
    let steps = card["steps"].as_array().unwrap();
    assert!(steps.len() >= 3, "{steps:?}");
    assert!(steps.iter().all(|it| it["remedy"].is_string() && it["effort"].is_string()));
    let gained: i64 = steps.iter().map(|it| it["gain"].as_i64().unwrap()).sum();
    assert!((24..=26).contains(&gained), "{steps:?}");
}

#[tokio::test]
async fn without_a_database_what_the_catalog_says_is_scored_all_the_same() {
    let asking = Asking::acme().await;
    asking.app.db.store(std::sync::Arc::new(None));
    let reply = asking.says("score payment-api").await;
    assert_eq!(reply.refusal, None);
    assert!(reply.markdown.contains(PICTURE), "{}", reply.markdown);
}

#[tokio::test]
async fn what_no_scorecard_is_about_is_told_so() {
    let asking = Asking::acme().await;
    let said = asking.reads("score zoe-laurent").await;
    assert!(said.starts_with("No scorecard is about **Zoé Laurent**"), "{said}");
}
