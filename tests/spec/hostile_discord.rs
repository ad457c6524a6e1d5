//! G1 to G4 through the whole way: descriptors, the import, each built-in command, signed HTTP, embeds.
//!
//! As `hostile_slack.rs`, with the same texts; the judge reads nothing but the JSON that Discord would get.

use idp::chat::ANSWER_WITHIN;
use idp::conversation::is_hidden;
use serde_json::{Value, json};

use crate::directory::{self, Directory};
use crate::discord_judge::{Seen, over_a_limit, seen};
use crate::hostile_slack::{HARMLESS, SEED, descriptors, forgets_requests, questions, texts};
use crate::scale::at_full;
use crate::world::World;

async fn asked(world: &World, question: &str) -> Value {
    let said = world.calls("ask", &[("question", json!(question))]).await;
    assert_eq!(said["type"], 4, "{question}: {said}");
    said["data"].clone()
}

/// The message as a renderer would have made it that trusts what it is given.
fn without_the_guard(message: &Value) -> Value {
    match message {
        Value::String(text) => text.replace(['\\', '\u{2060}'], "").into(),
        Value::Array(parts) => parts.iter().map(without_the_guard).collect(),
        Value::Object(fields) => {
            let part = |(name, part): (&String, &Value)| (name.clone(), without_the_guard(part));
            Value::Object(fields.iter().map(part).collect())
        }
        other => other.clone(),
    }
}

fn has_hidden(message: &Value) -> bool {
    match message {
        // The joiner is ours: it keeps marks apart.
        Value::String(text) => {
            text.chars().any(|it| is_hidden(it) && it != '\n' && it != '\u{2060}')
        }
        Value::Array(parts) => parts.iter().any(has_hidden),
        Value::Object(fields) => fields.values().any(has_hidden),
        _ => false,
    }
}

#[tokio::test]
async fn no_descriptor_speaks_through_any_command_of_discord() {
    let texts = texts(if at_full(10) == 10 { 5_000 } else { 50 });
    let directory = Directory::new();
    for (number, text) in
        std::iter::once(HARMLESS).chain(texts.iter().map(String::as_str)).enumerate()
    {
        directory.write(&format!("f{number}.yaml"), &descriptors(number, text));
    }
    let world = World::with(ANSWER_WITHIN, |settings| {
        settings.sources = vec![directory::path(directory.path())];
    })
    .await;
    let mut harmless: Vec<Seen> = Vec::new();
    for question in questions(0) {
        let message = asked(&world, &question).await;
        // Who asks on Discord is nobody of the catalog yet.
        let of_nobody = [
            "help",
            "whoami",
            "link",
            "exempt",
            "exemptions",
            "score",
            "scorecard",
            "feedback",
            "alias",
            "adoption",
            "digest",
            "run",
            "requests",
            "approve",
            "deny",
            "cancel",
        ];
        let is_of_nobody = of_nobody.contains(&question.split(' ').next().unwrap_or_default());
        assert!(is_of_nobody || message.to_string().contains(HARMLESS), "{question}: {message}");
        harmless.push(seen(&message));
    }
    let (mut judged, mut caught) = (0, 0);
    for (number, text) in (1..).zip(&texts) {
        forgets_requests(&world).await;
        for (question, expected) in questions(number).iter().zip(&harmless) {
            let message = asked(&world, question).await;
            let seen_now = seen(&message);
            assert!(seen_now.mentions.is_empty(), "{question}, {text:?}: {:?}", seen_now.mentions);
            assert_eq!(seen_now.links, expected.links, "{question}, {text:?}: {message}");
            assert_eq!(seen_now.marks, expected.marks, "{question}, {text:?}: {message}");
            assert_eq!(over_a_limit(&message), Ok(()), "{question}, {text:?}");
            assert!(!has_hidden(&message), "{question}, {text:?}: {message}");
            judged += 1;
            // The control: the same answer of a renderer that trusts.
            if text.contains("<@&1>") && question.starts_with("owner") {
                assert_ne!(seen(&without_the_guard(&message)), seen_now, "{text:?}");
                caught += 1;
            }
        }
    }
    assert!(caught > 0, "no text was one that the control must catch");
    println!(
        "REL G1-G4-discord {} hostile texts (seed {SEED}) over signed HTTP: {judged} answers, 0 mentions, \
         0 foreign links, 0 changed shapes; without the guard {caught} of {caught} were seen",
        texts.len(),
    );
}
