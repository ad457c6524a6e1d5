//! Slack and Discord are answered alike, whichever way they ask.
//!
//! Every example of every built-in command, then every button, select and form of the answers, over signed HTTP and over
//! a real WebSocket, on both platforms: both ways of one platform must say the same message, and both platforms the same words.

use std::collections::BTreeSet;
use std::sync::Arc;

use idp::commands::CommandSet;
use idp::commands::parse::parse;
use idp::conversation::Speaker;
use pulldown_cmark::{Event, Parser};
use regex::Regex;
use serde_json::{Map, Value, json};

use crate::asking::import_links;
use crate::discord_gateway::{self, ADA, Doors, Process};
use crate::discord_judge;
use crate::discord_world::{GUILD, call};
use crate::slack_socket::{self, Sockets, envelope};
use crate::world::{TEAM, World};

/// Somebody of Acme, who is on both platforms.
const SOMEBODY: &str = "U0ACME0013";

/// Both platforms, each with a process of its own over the same catalog.
struct Platforms {
    slack: World,
    sockets: Arc<Sockets>,
    discord: World,
    doors: Arc<Doors>,
    _process: Process,
}

/// What one platform showed: the words, and what can be clicked or chosen below them.
#[derive(Debug, PartialEq)]
struct Shown {
    words: String,
    offers: Vec<Offer>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Offer {
    label: String,
    words: String,
    by: By,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum By {
    Button,
    /// A button that opens a form.
    Form,
    /// An option of a select.
    Choice,
}

impl Platforms {
    async fn start() -> Platforms {
        let slack_socket::Heard { world: slack, sockets, .. } =
            slack_socket::heard(slack_socket::pauses()).await;
        let (discord, doors, process) = discord_gateway::heard().await;
        let platform = idp::conversation::Platform::Slack;
        let somebody = Speaker { platform, tenant: TEAM.into(), user_id: SOMEBODY.into() };
        let user = slack.app.links.of(&somebody).expect("Acme is linked").user;
        let line = json!({ "platform": "discord", "tenant": GUILD, "user_id": ADA, "user": user });
        import_links(&discord.app, &discord.fresh.pool, vec![line]).await;
        Platforms { slack, sockets, discord, doors, _process: process }
    }

    /// What both ways of Slack answer to `/idp text`.
    async fn types_in_slack(&self, text: &str) -> Value {
        let over_http = steady(self.slack.types(SOMEBODY, text).await);
        let id = format!("e{}", self.slack.number());
        let form: Vec<(String, String)> =
            serde_urlencoded::from_str(&self.slack.command(SOMEBODY, text)).unwrap();
        let mut payload: Map<String, Value> =
            form.into_iter().map(|(name, value)| (name, value.into())).collect();
        payload.insert("trigger_id".into(), json!(id));
        self.sockets.sends(envelope(&id, "slash_commands", payload.into()));
        let over_socket = steady(self.sockets.acknowledged(&id).await["payload"].take());
        assert_eq!(over_http, over_socket, "`{text}` over HTTP and Socket Mode");
        over_http
    }

    /// What both ways of Discord answer to the sub-command `command`.
    async fn calls_in_discord(&self, command: &str, values: &[(&str, Value)]) -> Value {
        let over_http = steady(self.discord.calls(command, values).await);
        let id = self.discord.number();
        self.discord.gateway_tells(&self.doors, id, 2, call(command, values));
        let over_gateway = steady(self.discord.hears_call("POST").await.body);
        assert_eq!(over_http, over_gateway, "`{command}` over HTTP and the gateway");
        assert_eq!(over_http["type"], 4, "{over_http}");
        over_http["data"].clone()
    }

    /// What both ways of Slack answer to who takes the `offer`.
    async fn takes_in_slack(&self, offer: &Offer) -> Value {
        let mut answers = Vec::new();
        for by_socket in [false, true] {
            let id = format!("c{}", self.slack.number());
            let mut payload = click_payload(&self.slack.click(&id, &offer.words));
            payload["user"]["id"] = json!(SOMEBODY);
            payload["actions"][0] = match offer.by {
                By::Button => {
                    json!({ "type": "button", "action_id": "idp:0", "value": offer.words })
                }
                By::Form => {
                    json!({ "type": "button", "action_id": "idp-form:0", "value": offer.words })
                }
                By::Choice => json!({
                    "type": "static_select", "action_id": "idp:0",
                    "selected_option": { "value": offer.words },
                }),
            };
            if by_socket {
                self.sockets.sends(envelope(&id, "interactive", payload));
                self.sockets.acknowledged(&id).await;
            } else {
                let body = crate::world::interaction(&payload);
                assert_eq!(self.slack.sends("/slack/interactions", &body).await.status, 200);
            }
            let mut said = self.slack.fake.hears().await.body;
            // Which click a form was opened by, and where its answer goes.
            said["trigger_id"].take();
            said["view"]["private_metadata"].take();
            answers.push(steady(said));
        }
        assert_eq!(answers[0], answers[1], "`{}` over HTTP and Socket Mode", offer.words);
        answers.remove(0)
    }

    /// What both ways of Discord answer to who takes the `offer`: a message, or a form.
    async fn takes_in_discord(&self, offer: &Offer) -> Value {
        let words = &offer.words;
        let clicked = |id: String| json!({ "custom_id": id, "component_type": 2 });
        let data = match offer.by {
            By::Button => clicked(format!("idp:0:{words}")),
            By::Form => clicked(format!("idp-form:0:{words}")),
            By::Choice => {
                json!({ "custom_id": "idp-select:0", "component_type": 3, "values": [words] })
            }
        };
        let first = self.discord.interacts(3, data.clone()).await;
        let over_http = match offer.by {
            By::Form => first,
            By::Button | By::Choice => self.discord.hears_call("PATCH").await.body,
        };
        let id = self.discord.number();
        self.discord.gateway_tells(&self.doors, id, 3, data);
        let called = self.discord.hears_call("POST").await.body;
        let over_gateway = match offer.by {
            By::Form => called,
            By::Button | By::Choice => self.discord.hears_call("PATCH").await.body,
        };
        let (over_http, over_gateway) = (steady(over_http), steady(over_gateway));
        assert_eq!(over_http, over_gateway, "`{words}` over HTTP and the gateway");
        over_http
    }
}

fn click_payload(form: &str) -> Value {
    let fields: Vec<(String, String)> = serde_urlencoded::from_str(form).unwrap();
    serde_json::from_str(&fields[0].1).unwrap()
}

fn in_slack(message: &Value) -> Shown {
    let (mut words, mut offers) = (String::new(), Vec::new());
    visit(message.get("blocks").unwrap_or(&Value::Null), &mut words, &mut offers);
    Shown { words: plain(&words), offers }
}

/// All texts but those of buttons and options, in their order.
fn visit(part: &Value, words: &mut String, offers: &mut Vec<Offer>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let offer =
        |it: &Value, by| Offer { label: text(&it["text"]["text"]), words: text(&it["value"]), by };
    match part {
        Value::Array(parts) => parts.iter().for_each(|it| visit(it, words, offers)),
        Value::Object(object) if object.get("type") == Some(&json!("button")) => {
            let is_form = text(&part["action_id"]).starts_with("idp-form:");
            if part.get("url").is_none() {
                offers.push(offer(part, if is_form { By::Form } else { By::Button }));
            }
        }
        Value::Object(object) if object.get("type") == Some(&json!("static_select")) => {
            let options = part["options"].as_array().unwrap();
            offers.extend(options.iter().map(|it| offer(it, By::Choice)));
        }
        Value::Object(object) => {
            match object.get("text") {
                Some(Value::String(text)) => words.push_str(text),
                Some(text) => visit(text, words, offers),
                None => {}
            }
            words.push(' ');
            for inner in ["elements", "fields", "accessory"] {
                visit(object.get(inner).unwrap_or(&Value::Null), words, offers);
            }
        }
        _ => {}
    }
}

fn in_discord(message: &Value) -> Shown {
    let mut words = String::new();
    for embed in message["embeds"].as_array().into_iter().flatten() {
        for marked in [&embed["title"], &embed["description"]] {
            words.push_str(&read(marked.as_str().unwrap_or_default()));
        }
        words.push_str(embed["footer"]["text"].as_str().unwrap_or_default());
    }
    let components = discord_judge::components(message);
    Shown { words: plain(&words), offers: components.into_iter().flat_map(offers).collect() }
}

/// What a button of Discord or the options of a select are.
fn offers(component: &Value) -> Vec<Offer> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    if let Some(options) = component["options"].as_array() {
        let offer = |it: &Value| Offer {
            label: text(&it["label"]),
            words: text(&it["value"]),
            by: By::Choice,
        };
        return options.iter().map(offer).collect();
    }
    let id = text(&component["custom_id"]);
    let parts: Vec<&str> = id.splitn(3, ':').collect();
    let [prefix, _, words] = parts[..] else { return Vec::new() };
    let by = if prefix == "idp-form" { By::Form } else { By::Button };
    vec![Offer { label: text(&component["label"]), words: words.to_string(), by }]
}

/// What Discord's Markdown reads.
fn read(markdown: &str) -> String {
    let mut words = String::new();
    for event in Parser::new(markdown) {
        if let Event::Text(text) | Event::Code(text) = event {
            words.push_str(&text);
        }
        words.push(' ');
    }
    words
}

/// `said` without what is another each time: when something was done, and codes.
fn steady(said: Value) -> Value {
    let changing = Regex::new(
        r"[0-9a-f]{32}|as of \d\d(\\\\)?:\d\d|\d{4}(\\\\)?-\d\d(\\\\)?-\d\d \d\d(\\\\)?:\d\d UTC",
    )
    .unwrap();
    serde_json::from_str(&changing.replace_all(&said.to_string(), "then")).unwrap()
}

/// The letters and digits of `words`.
fn plain(words: &str) -> String {
    words.chars().filter(|it| it.is_alphanumeric()).collect()
}

#[tokio::test]
async fn every_command_button_select_and_form_is_the_same_on_both_platforms_by_all_four_ways() {
    let platforms = Platforms::start().await;
    let commands = CommandSet::built_in();
    let snapshot = platforms.slack.app.catalog.snapshot();
    let (mut differ, mut offered, mut examples) = (Vec::new(), BTreeSet::new(), 0);
    for command in commands.iter() {
        for example in &command.examples {
            examples += 1;
            let text = &example.say;
            let call = parse(&commands, &snapshot, text).unwrap();
            assert_eq!(call.command.name, command.name, "{text}");
            let values: Vec<(&str, Value)> =
                call.arguments().map(|(name, value)| (name, json!(value))).collect();
            let slack = in_slack(&platforms.types_in_slack(text).await);
            let discord = in_discord(&platforms.calls_in_discord(&command.name, &values).await);
            let asked =
                in_discord(&platforms.calls_in_discord("ask", &[("question", json!(text))]).await);
            assert!(!slack.words.is_empty(), "{text}");
            if slack != discord || slack != asked {
                differ.push(format!("{text}:\n{slack:?}\n{discord:?}\n{asked:?}"));
            }
            offered.extend(slack.offers);
        }
        // What a command lacks can be filled in.
        if !command.arguments.is_empty() {
            let (label, words) = ("Fill in".to_string(), command.name.clone());
            offered.insert(Offer { label, words, by: By::Form });
        }
    }
    for offer in &offered {
        let (slack, discord) =
            (platforms.takes_in_slack(offer).await, platforms.takes_in_discord(offer).await);
        let is_same = match offer.by {
            By::Form => fields_in_slack(&slack["view"]) == fields_in_discord(&discord["data"]),
            By::Button | By::Choice => in_slack(&slack) == in_discord(&discord),
        };
        if !is_same {
            differ.push(format!("{offer:?}:\n{slack}\n{discord}"));
        }
    }
    let count = |by: By| offered.iter().filter(|offer| offer.by == by).count();
    let (buttons, choices, forms) = (count(By::Button), count(By::Choice), count(By::Form));
    println!(
        "REL PARITY {} commands: {examples} examples, {buttons} buttons, {choices} choices of selects, {forms} forms, \
         each by 4 ways: {} differ",
        commands.names().len(),
        differ.len()
    );
    assert!(differ.is_empty(), "{}", differ.join("\n\n"));
    assert!(
        examples > 20 && buttons > 20 && choices > 20 && forms > 5,
        "hardly anything was tried"
    );
}

/// The names of the fields of a form, and which of them must be filled in.
fn fields_in_slack(view: &Value) -> Vec<(Value, bool)> {
    let blocks = view["blocks"].as_array().into_iter().flatten();
    let inputs = blocks.filter(|block| block["type"] == "input");
    inputs.map(|it| (it["block_id"].clone(), it["optional"] == false)).collect()
}

fn fields_in_discord(modal: &Value) -> Vec<(Value, bool)> {
    let rows = modal["components"].as_array().into_iter().flatten();
    let inputs = rows.map(|row| &row["component"]);
    inputs.map(|it| (it["custom_id"].clone(), it["required"] == true)).collect()
}

#[tokio::test]
async fn another_answer_other_buttons_and_another_form_are_noticed() {
    let platforms = Platforms::start().await;
    let slack = in_slack(&platforms.types_in_slack("owner checkout").await);
    let of = |name: &str| vec![("entity", json!(name))];
    let same = in_discord(&platforms.calls_in_discord("owner", &of("checkout")).await);
    assert_eq!(slack, same);
    let other = in_discord(&platforms.calls_in_discord("owner", &of("ledger")).await);
    assert_ne!(slack.words, other.words);
    assert_ne!(slack.offers, other.offers);
    let form = |words: &str| Offer { label: String::new(), words: words.into(), by: By::Form };
    let slack = platforms.takes_in_slack(&form("path")).await;
    let discord = platforms.takes_in_discord(&form("owner")).await;
    assert_ne!(fields_in_slack(&slack["view"]), fields_in_discord(&discord["data"]));
}
