//! G1 to G4 through the whole way: descriptors, the import, each built-in command, signed HTTP, Block Kit.
//!
//! Each hostile text has a component, a team, a person and a file of its own, so that every command has
//! something hostile to say. The judge reads nothing but the JSON that Slack would get.

use std::sync::Arc;

use idp::access::{Authority, Terms};
use idp::chat::ANSWER_WITHIN;
use idp::commands::CommandSet;
use idp::conversation::is_hidden;
use idp::on_call::{self, Rota, Rotas};
use idp::scorecards::{Keys, ScorecardSet, file};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::directory::{self, Directory};
use crate::hostile_text::{HOSTILE, has_hidden};
use crate::scale::at_full;
use crate::slack_judge::{over_a_limit, seen, shape};
use crate::world::{TEAM, World, sends};

pub const HARMLESS: &str = "harmless";
pub const SEED: u64 = 1;

/// Hostile texts alone, then in pairs, one behind another or one in another, some encoded once more.
pub fn texts(count: usize) -> Vec<String> {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut texts: Vec<String> = HOSTILE.iter().map(ToString::to_string).collect();
    texts.retain(|it| !it.contains('\0'));
    let alone = texts.clone();
    while texts.len() < count {
        let mut any = || alone[random.random_range(0..alone.len())].as_str();
        let (first, second) = (any(), any());
        let half = first.char_indices().nth(first.chars().count() / 2).map_or(0, |(at, _)| at);
        texts.push(match random.random_range(0..4) {
            0 => format!("{first} {second}"),
            1 => format!("{}{second}{}", &first[..half], &first[half..]),
            2 => format!("{first}{}", second.replace('&', "&amp;").replace('<', "&lt;")),
            // So that a label, a column or a line is cut somewhere within.
            _ => format!("{}{first}", "&lt;".repeat(random.random_range(0..30))),
        });
    }
    texts.truncate(count);
    texts
}

/// A name that no other is a typo of.
pub fn name(number: usize) -> String {
    hex::encode(Sha256::digest(number.to_string()))[..24].to_string()
}

pub fn slack_user(number: usize) -> String {
    format!("U0VICTIM{number}")
}

/// The descriptors of the victim `number`, wherever a text may stand made of `text`.
pub fn descriptors(number: usize, text: &str) -> String {
    let name = name(number);
    let metadata = |prefix: &str| {
        json!({
            "name": format!("{prefix}{name}"), "title": text, "description": text,
            "links": [{ "title": text, "url": "https://wiki.acme.example/runbook" }],
            "annotations": {
                "slack.com/channel-name": text, "slack.com/user-id": slack_user(number),
                "grafana/overview-dashboard": format!("https://grafana.acme.example/d/{prefix}{name}"),
            },
        })
    };
    let document = |kind: &str, prefix: &str, spec: Value| {
        let document = json!({
            "apiVersion": "backstage.io/v1alpha1", "kind": kind,
            "metadata": metadata(prefix), "spec": spec,
        });
        escaped(&document.to_string())
    };
    let service = |more: Value| {
        let mut spec =
            json!({ "type": text, "lifecycle": text, "tier": text, "owner": format!("t{name}") });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    [
        document(
            "Group",
            "t",
            json!({ "type": "team", "children": [], "profile": { "displayName": text } }),
        ),
        document(
            "User",
            "u",
            json!({ "memberOf": [format!("t{name}")], "profile": { "displayName": text } }),
        ),
        // A reference without a kind is a problem to tell of.
        document("Component", "c", service(json!({ "dependsOn": [format!("d{name}")] }))),
        document("Component", "d", service(json!({}))),
    ]
    .join("\n---\n")
}

/// JSON whose strings have nothing in them that YAML does not take as it stands.
fn escaped(json: &str) -> String {
    let escape = |it: char| match it {
        ' '..='~' => it.to_string(),
        it => format!("\\U{:08x}", it as u32),
    };
    json.chars().map(escape).collect()
}

/// What is asked about the victim `number`, by whom: each built-in command.
pub fn questions(number: usize) -> Vec<String> {
    let name = name(number);
    vec![
        format!("owner c{name}"),
        format!("show c{name}"),
        format!("oncall c{name}"),
        format!("dependents d{name}"),
        format!("dependencies c{name}"),
        format!("path c{name} d{name}"),
        format!("graph d{name}"),
        format!("history c{name}"),
        format!("facts c{name}"),
        format!("find c{name}"),
        format!("list --team t{name}"),
        format!("problems t{name}"),
        format!("score c{name}"),
        format!("score t{name}"),
        "scorecard".into(),
        format!("exempt c{name} on-call 5 because"),
        "exemptions".into(),
        format!("feedback \"owner c{name}\" not-helpful no"),
        format!("alias a{name} c{name}"),
        "adoption".into(),
        format!("digest log t{name}"),
        format!("digest preview weekly t{name}"),
        format!("digest snooze t{name} 3"),
        format!("digest not-ours c{name} no"),
        "run".into(),
        "requests".into(),
        "requests mine".into(),
        "approve 1".into(),
        "deny 1 no".into(),
        "cancel 1".into(),
        "whoami".into(),
        "link".into(),
        "help".into(),
    ]
}

async fn asked(world: &World, number: usize, question: &str) -> Value {
    let body = world.command(&slack_user(number), question);
    let answer = sends(world.address, "/slack/commands", &body).await;
    assert_eq!(answer.status, 200, "{question}: {answer:?}");
    answer.json()
}

/// The message as a renderer would have made it that trusts what it is given: its texts for Slack to parse.
pub fn without_the_guard(message: &Value) -> Value {
    match message {
        Value::Array(parts) => parts.iter().map(without_the_guard).collect(),
        Value::Object(fields) => {
            let is_text =
                matches!(fields.get("type").and_then(Value::as_str), Some("text" | "plain_text"));
            let part = |(name, part): (&String, &Value)| match name.as_str() {
                "type" if is_text => (name.clone(), json!("mrkdwn")),
                _ => (name.clone(), without_the_guard(part)),
            };
            Value::Object(fields.iter().map(part).collect())
        }
        other => other.clone(),
    }
}

/// A world whose catalog has a victim of each of `texts`, from 1; the victim 0 is harmless.
pub async fn victims(texts: &[String]) -> World {
    let directory = Directory::new();
    for (number, text) in
        std::iter::once(HARMLESS).chain(texts.iter().map(String::as_str)).enumerate()
    {
        // What would end code is shown as text: another shape, by design.
        let ends_code = |it: &char| matches!(it, '/' | '`' | '|' | '\\' | '\u{2028}' | '\u{2029}');
        let file: String =
            text.chars().filter(|it| !ends_code(it) && !is_hidden(*it)).take(40).collect();
        directory.write(&format!("f{number} {file}.yaml"), &descriptors(number, text));
    }
    let world = World::with(ANSWER_WITHIN, |settings| {
        settings.sources = vec![directory::path(directory.path())];
        // Everybody may everything, so that every command says something.
        let everybody = "permit (principal, action, resource);";
        settings.access = Authority::with_policies(Terms::default(), everybody).unwrap();
    })
    .await;
    let scorecard = file::read(SCORECARD, "all.yaml", &Keys::new()).unwrap();
    world.app.scorecards.store(Arc::new(ScorecardSet::of(vec![scorecard])));
    world.app.on_call.store(Arc::new(Rotas::new((0..=texts.len()).map(rota).collect())));
    world
}

/// The victim's User is on call for what the victim's team owns.
fn rota(number: usize) -> Rota {
    let name = name(number);
    let text = format!(
        "name: r{number}\nfor: [t{name}]\nzone: UTC\nlevels: [{{schedules: [{{people: [u{name}]}}]}}]\n"
    );
    on_call::file::read(&text, "r.yaml").unwrap()
}

/// One that is about every victim, and asks for something of it.
const SCORECARD: &str = "name: all
filter: {kinds: [Component]}
checks: [{name: people, rules: [{name: on-call, pass: entity.on_call != \"\"}]}]
";

/// What the victim before asked for is listed no more.
pub async fn forgets_requests(world: &World) {
    sqlx::query("delete from idp.exemption").execute(&world.fresh.pool).await.unwrap();
}

#[tokio::test]
async fn no_descriptor_speaks_through_any_command() {
    let texts = texts(if at_full(10) == 10 { 5_000 } else { 200 });
    let world = victims(&texts).await;
    let commands = CommandSet::built_in();
    let asks = questions(0);
    for command in commands.iter() {
        let is_asked = asks.iter().any(|it| it.split(' ').next() == Some(&command.name));
        assert!(is_asked, "nothing asks `{}`", command.name);
    }
    let mut harmless = Vec::new();
    for question in &asks {
        let message = asked(&world, 0, question).await;
        let is_said = message["blocks"].to_string().contains(HARMLESS);
        // A score names its entity by its name alone. What people ask and say is in a database that is empty here;
        // `usage.rs` has hostile ones.
        // Requests have words of their own, which a chapter of theirs is about.
        let of_nobody = [
            "help",
            "adoption",
            "score",
            "scorecard",
            "run",
            "requests",
            "approve",
            "deny",
            "cancel",
        ];
        let is_of_nobody = of_nobody.contains(&question.split(' ').next().unwrap_or_default());
        assert!(is_said || is_of_nobody, "{question} says nothing of the victim: {message}");
        harmless.push((shape(&message), seen(&message)));
    }
    let (mut judged, mut caught) = (0, 0);
    for (number, text) in (1..).zip(&texts) {
        forgets_requests(&world).await;
        for (question, (shape_expected, seen_expected)) in questions(number).iter().zip(&harmless) {
            let message = asked(&world, number, question).await;
            let seen_now = seen(&message);
            assert!(seen_now.mentions.is_empty(), "{question}, {text:?}: {:?}", seen_now.mentions);
            assert_eq!(seen_now.links, seen_expected.links, "{question}, {text:?}: {message}");
            assert_eq!(&shape(&message), shape_expected, "{question}, {text:?}: {message}");
            assert_eq!(over_a_limit(&message), Ok(()), "{question}, {text:?}");
            assert!(!has_hidden(&message), "{question}, {text:?}: {message}");
            judged += 1;
            // The control: the same answer of a renderer that trusts.
            if text.contains("<!channel>") && question.starts_with("owner") {
                // Within other marks it may be seen as a link or another mention.
                assert_ne!(seen(&without_the_guard(&message)), seen_now, "{text:?}");
                caught += 1;
            }
        }
    }
    assert!(caught > 0, "no text was one that the control must catch");
    println!(
        "REL G1-G4 {} hostile texts (seed {SEED}) by {} commands of {TEAM} over signed HTTP: {judged} answers, 0 mentions, \
         0 foreign links, 0 changed shapes; without the guard {caught} of {caught} were seen",
        texts.len(),
        asks.len(),
    );
}
