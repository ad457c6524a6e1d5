//! What is too much for buttons is one select, and a choice in it is a click.

use serde_json::{Value, json};

use crate::discord_judge::{self, components};
use crate::discord_world::{interaction, sends};
use crate::slack_judge;
use crate::world::{TEAM, World, interaction as slack_interaction};

const ADA: &str = "400000000000000001";

/// A choice of Ada's in Slack of the option that says `words`.
fn chooses_in_slack(world: &World, trigger: &str, words: &str) -> String {
    slack_interaction(&json!({
        "type": "block_actions", "trigger_id": trigger,
        "team": { "id": TEAM }, "user": { "id": "U0ADA", "team_id": TEAM },
        "channel": { "id": "C0NOBODY", "name": "random" },
        "container": { "message_ts": "1.5" },
        "response_url": format!("http://{}/respond/{trigger}", world.fake.address),
        "actions": [{ "type": "static_select", "action_id": "idp:0", "selected_option": {
            "text": { "type": "plain_text", "text": "a choice" }, "value": words,
        }}],
    }))
}

fn chosen_in_discord(words: &str) -> Value {
    json!({ "custom_id": "idp-select:0", "component_type": 3, "values": [words] })
}

/// The select of a message of Slack.
fn select(message: &Value) -> &Value {
    let blocks = message["blocks"].as_array().unwrap().iter();
    let mut elements = blocks.filter_map(|block| block["elements"].as_array()).flatten();
    elements.find(|element| element["type"] == "static_select").expect("there is a select")
}

#[tokio::test]
async fn a_choice_in_slack_is_answered_once_however_often_it_is_delivered() {
    let world = World::new().await;
    let said = world.types("U0ADA", "list --team payments").await;
    assert_eq!(slack_judge::over_a_limit(&said), Ok(()));
    let options = select(&said)["options"].as_array().unwrap();
    assert_eq!(options.len(), 15, "one for each row");
    let words = options[0]["value"].as_str().unwrap();
    assert_eq!(
        (words, &options[0]["text"]["text"]),
        ("show ledger-events", &json!("ledger-events"))
    );
    let body = chooses_in_slack(&world, "t-chosen", words);
    for _ in 0..5 {
        assert_eq!(world.sends("/slack/interactions", &body).await.body, "{}");
    }
    let heard = world.fake.hears().await;
    assert_eq!(
        (heard.path.as_str(), &heard.body["response_type"]),
        ("/respond/t-chosen", &json!("ephemeral"))
    );
    assert!(heard.body.to_string().contains("ledger-events"), "{heard:?}");
    // The control: nothing came between, and another choice is another answer.
    world.sends("/slack/interactions", &chooses_in_slack(&world, "t-other", words)).await;
    assert_eq!(world.fake.hears().await.path, "/respond/t-other");
}

#[tokio::test]
async fn a_choice_in_discord_is_answered_once_however_often_it_is_delivered() {
    let world = World::new().await;
    let said = world.calls("list", &[("team", json!("payments"))]).await;
    assert_eq!(discord_judge::over_a_limit(&said["data"]), Ok(()));
    let components = components(&said["data"]);
    let select = components.into_iter().find(|it| it["type"] == 3).expect("there is a select");
    assert_eq!(select["options"].as_array().unwrap().len(), 15, "one for each row");
    let words = select["options"][0]["value"].as_str().unwrap();
    assert_eq!(words, "show ledger-events");
    let body = interaction(8_001, 3, ADA, chosen_in_discord(words));
    for _ in 0..5 {
        assert_eq!(sends(world.address, &body).await.json()["type"], 5);
    }
    let heard = world.fake_discord.hears().await;
    assert!(heard.call.contains("/token-8001/"), "{heard:?}");
    assert!(heard.body.to_string().contains("ledger"), "{heard:?}");
    // The control: nothing came between, and another choice is another answer.
    sends(world.address, &interaction(8_002, 3, ADA, chosen_in_discord(words))).await;
    assert!(world.fake_discord.hears().await.call.contains("/token-8002/"));
}

/// What is chosen comes back from the platform: it need not be what was offered.
#[tokio::test]
async fn a_value_that_was_never_offered_is_only_what_that_person_says() {
    let world = World::new().await;
    let long = format!("show {}", "x".repeat(20_000));
    let values = [
        "show <!channel> <@U1>",
        "show @everyone <@1>",
        "show [a](https://evil.example)",
        "idp:show ledger",
        "owner\u{0}nobody",
        "\u{202e}wohs",
        "no-such-command",
        long.as_str(),
    ];
    for (number, words) in values.into_iter().enumerate() {
        let trigger = format!("t{number}");
        let body = chooses_in_slack(&world, &trigger, words);
        assert_eq!(world.sends("/slack/interactions", &body).await.status, 200);
        let heard = world.fake.hears().await;
        assert_eq!(heard.path, format!("/respond/{trigger}"), "{words:.40}");
        assert_eq!(slack_judge::seen(&heard.body), slack_judge::Seen::default(), "{words:.40}");
        assert_eq!(slack_judge::over_a_limit(&heard.body), Ok(()), "{words:.40}");

        let said = world.interacts(3, chosen_in_discord(words)).await;
        assert_eq!(said["type"], 5, "{words:.40}");
        let heard = world.fake_discord.hears().await.body;
        let seen = discord_judge::seen(&heard);
        assert!(seen.mentions.is_empty() && seen.links.is_empty(), "{words:.40}: {heard}");
        assert_eq!(discord_judge::over_a_limit(&heard), Ok(()), "{words:.40}");
    }
}
