//! What Discord sends, read as what somebody said, clicked or filled in.
//!
//! Reading is lenient: Discord adds fields and kinds at any time. What is not for us is [`Inbound::Ignored`];
//! only what cannot be read at all is `None`.
//! Source: <https://docs.discord.com/developers/interactions/receiving-and-responding>

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::outbound::{ANSWER_PREFIX, FORM_PREFIX, SELECT_PREFIX};
use super::shortcut;
use crate::app::shortcut::SHORTCUT;
use crate::conversation::{Address, Platform, Speaker};

#[derive(Debug, Clone, PartialEq)]
pub enum Inbound {
    /// Discord asks whether this is the right address.
    Ping {
        application_id: String,
    },
    Interaction(Box<Interaction>),
    /// Somebody mentioned the bot, or wrote to it alone.
    Said(Said),
    /// Of bots, or of a kind that does not concern us.
    Ignored,
}

/// Somebody in a server wants something of us.
#[derive(Debug, Clone, PartialEq)]
pub struct Interaction {
    pub application_id: String,
    /// Discord's own id of it.
    pub id: String,
    /// What a late answer is sent by, for 15 minutes.
    pub token: String,
    pub speaker: Speaker,
    pub address: Address,
    pub wish: Wish,
}

/// A message to the bot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub message_id: String,
    pub channel_id: String,
    /// `None`: it was written to the bot alone.
    pub guild_id: Option<String>,
    pub user_id: String,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// `/idp command`, with names of options and their values.
    Call { command: String, values: Vec<(String, String)> },
    /// To see what fits what is `typed` so far, beside the `values` of other options.
    Typing { command: String, values: Vec<(String, String)>, field: String, typed: String },
    /// The words behind a button or a choice. The answer `replaces` the message with it, or follows it.
    Click { words: String, replaces: bool },
    /// The form of the command that the words behind a button begin.
    Opening { words: String },
    /// A form that was filled in, with names of fields and their values.
    Filled { command: String, values: Vec<(String, String)> },
    /// Who owns what a message names that says these `texts`; it was chosen in the message's menu.
    Pointed { texts: Vec<String> },
    /// What another version of the program had shown.
    Outdated,
}

/// The type of a command that stands in the menu of messages.
const MESSAGE_COMMAND: u8 = 3;

/// The body of an interaction: JSON.
pub fn interaction(body: &[u8]) -> Option<Inbound> {
    interaction_of(&serde_json::from_slice(body).ok()?)
}

/// An interaction, whichever way it came.
pub fn interaction_of(body: &Value) -> Option<Inbound> {
    let kind = body["type"].as_u64()?;
    let application_id = text(&body["application_id"]).to_string();
    if kind == 1 {
        return Some(Inbound::Ping { application_id });
    }
    let user = match &body["member"]["user"] {
        Value::Null => &body["user"],
        user => user,
    };
    let is_bot = user["bot"] == true || user["system"] == true;
    let (id, token) = (text(&body["id"]), text(&body["token"]));
    let user_id = text(&user["id"]);
    let Some(wish) = wish(kind, body).filter(|_| !is_bot) else { return Some(Inbound::Ignored) };
    if [id, user_id].iter().any(|it| !is_id(it)) || token.is_empty() {
        return None;
    }
    let tenant = text(&body["guild_id"]).to_string();
    let interaction = Interaction {
        application_id,
        id: id.to_string(),
        token: token.to_string(),
        speaker: Speaker {
            platform: Platform::Discord,
            tenant: tenant.clone(),
            user_id: user_id.to_string(),
        },
        address: address(body, tenant),
        wish,
    };
    Some(Inbound::Interaction(Box::new(interaction)))
}

/// A message that somebody wrote; `bot_user_id` is the bot itself. A bot that answers bots never stops.
///
/// Source: <https://docs.discord.com/developers/resources/message#message-object>
pub fn message(message: &Value, bot_user_id: &str) -> Inbound {
    let author = &message["author"];
    let is_of_a_person =
        author["bot"] != true && author["system"] != true && message["webhook_id"].is_null();
    // What people write, and what they answer to a message; the rest is Discord's own: joins, pins.
    let is_written = matches!(message["type"].as_u64(), Some(0 | 19));
    let (id, channel_id) = (text(&message["id"]), text(&message["channel_id"]));
    let user_id = text(&author["id"]);
    let guild_id = message["guild_id"].as_str();
    let mentioned = message["mentions"].as_array().into_iter().flatten();
    let is_to_us = guild_id.is_none() || mentioned.into_iter().any(|it| it["id"] == bot_user_id);
    let is_complete = [id, channel_id, user_id].into_iter().all(is_id);
    if !is_of_a_person || !is_written || !is_to_us || !is_complete || user_id == bot_user_id {
        return Inbound::Ignored;
    }
    let said = [format!("<@{bot_user_id}>"), format!("<@!{bot_user_id}>")]
        .iter()
        .fold(value(&message["content"]), |said, mention| said.replace(mention, " "));
    Inbound::Said(Said {
        message_id: id.to_string(),
        channel_id: channel_id.to_string(),
        guild_id: guild_id.map(str::to_string),
        user_id: user_id.to_string(),
        text: said.trim().to_string(),
    })
}

/// `None` where it does not concern us.
fn wish(kind: u64, body: &Value) -> Option<Wish> {
    let data = &body["data"];
    let id = text(&data["custom_id"]);
    match kind {
        2 if data["type"] == MESSAGE_COMMAND => {
            let message = &data["resolved"]["messages"][text(&data["target_id"])];
            let is_ours = data["name"] == SHORTCUT;
            is_ours.then(|| Wish::Pointed { texts: shortcut::texts(message) })
        }
        2 => {
            let called = called(data)?;
            let values = options(called).map(|it| (text(&it["name"]).into(), value(&it["value"])));
            Some(Wish::Call { command: text(&called["name"]).into(), values: values.collect() })
        }
        3 => Some(clicked(id, body).unwrap_or(Wish::Outdated)),
        4 => {
            let called = called(data)?;
            let typed = options(called).find(|it| it["focused"] == true)?;
            let others = options(called).filter(|it| it["focused"] != true);
            let values = others.map(|it| (text(&it["name"]).into(), value(&it["value"])));
            Some(Wish::Typing {
                command: text(&called["name"]).into(),
                values: values.collect(),
                field: text(&typed["name"]).into(),
                typed: value(&typed["value"]),
            })
        }
        5 => {
            let Some(command) = id.strip_prefix(FORM_PREFIX) else { return Some(Wish::Outdated) };
            let values = fields(data).map(|field| {
                let given = field["values"].get(0).unwrap_or(&field["value"]);
                (text(&field["custom_id"]).into(), value(given))
            });
            Some(Wish::Filled { command: command.into(), values: values.collect() })
        }
        _ => None,
    }
}

/// A click on a button of ours, or a choice in a select of ours; `None` for any other.
fn clicked(id: &str, body: &Value) -> Option<Wish> {
    if let Some(rest) = id.strip_prefix(FORM_PREFIX) {
        return Some(Wish::Opening { words: words(rest)? });
    }
    let words = match id.strip_prefix(ANSWER_PREFIX) {
        Some(rest) => words(rest)?,
        None if id.starts_with(SELECT_PREFIX) => said(text(&body["data"]["values"][0]))?,
        None => return None,
    };
    // The next page takes the place of this one, where nobody but who turns it sees it.
    let is_page = words.split_whitespace().any(|word| word.starts_with("--page"));
    let is_ephemeral = body["message"]["flags"].as_u64().unwrap_or_default() & 64 != 0;
    Some(Wish::Click { words, replaces: is_page && is_ephemeral })
}

/// The sub-command that was called, be it in a group.
fn called(data: &Value) -> Option<&Value> {
    let first = data["options"].as_array()?.first()?;
    match first["type"].as_u64()? {
        1 => Some(first),
        2 => first["options"].as_array()?.first().filter(|it| it["type"] == 1),
        _ => None,
    }
}

fn options(called: &Value) -> impl Iterator<Item = &Value> {
    called["options"].as_array().into_iter().flatten()
}

/// The fields of a form: each in its label, or in a row, as Discord had it before.
fn fields(data: &Value) -> impl Iterator<Item = &Value> {
    let parts = data["components"].as_array().into_iter().flatten();
    parts.flat_map(|part| {
        let of_row = part["components"].as_array().into_iter().flatten();
        part.get("component").into_iter().chain(of_row)
    })
}

/// The words of an id `7:show payment-api`.
fn words(rest: &str) -> Option<String> {
    let (_, words) = rest.split_once(':')?;
    said(words)
}

/// `words`, where there are any.
fn said(words: &str) -> Option<String> {
    Some(words.replace('\0', " ")).filter(|words| !words.trim().is_empty())
}

fn address(body: &Value, tenant: String) -> Address {
    let channel = &body["channel"];
    let id = match text(&channel["id"]) {
        "" => text(&body["channel_id"]),
        id => id,
    };
    // Threads of news, public and private ones: Discord says the name of the thread, not of its channel.
    let is_thread = matches!(channel["type"].as_u64(), Some(10..=12));
    let (channel_id, name) = match is_thread {
        true => (text(&channel["parent_id"]), None),
        false => (id, channel["name"].as_str().map(str::to_string)),
    };
    Address {
        platform: Platform::Discord,
        tenant,
        channel_id: channel_id.to_string(),
        channel_name: name,
        thread: is_thread.then(|| id.to_string()),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What was typed or chosen, be it a number.
fn value(value: &Value) -> String {
    match value {
        Value::String(text) => text.replace('\0', " "),
        Value::Number(number) => number.to_string(),
        Value::Bool(is_on) => is_on.to_string(),
        _ => String::new(),
    }
}

/// Discord's ids are numbers, as texts.
fn is_id(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn heard(kind: u64, more: Value) -> Option<Inbound> {
        let mut body = json!({
            "type": kind, "id": "10", "application_id": "1", "token": "t", "guild_id": "2",
            "channel_id": "3", "channel": { "id": "3", "type": 0, "name": "random" },
            "member": { "user": { "id": "4" }, "roles": [] },
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        interaction(body.to_string().as_bytes())
    }

    fn wish(kind: u64, data: Value) -> Option<Wish> {
        match heard(kind, json!({ "data": data })) {
            Some(Inbound::Interaction(interaction)) => Some(interaction.wish),
            _ => None,
        }
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn a_command_has_typed_options() {
        let data = json!({ "name": "idp", "options": [{ "type": 1, "name": "dependents", "options": [
            { "type": 3, "name": "entity", "value": "ledger\u{0}" },
            { "type": 4, "name": "depth", "value": 3 },
        ]}]});
        let values = pairs(&[("entity", "ledger "), ("depth", "3")]);
        assert_eq!(wish(2, data), Some(Wish::Call { command: "dependents".into(), values }));
        let bare = json!({ "name": "idp", "options": [{ "type": 1, "name": "whoami" }] });
        assert_eq!(wish(2, bare), Some(Wish::Call { command: "whoami".into(), values: vec![] }));
        assert_eq!(wish(2, json!({ "name": "other" })), None);
    }

    #[test]
    fn what_is_typed_is_the_focused_option() {
        let data = json!({ "options": [{ "type": 1, "name": "path", "options": [
            { "name": "from", "value": "checkout" },
            { "name": "to", "value": "pay", "focused": true },
        ]}]});
        let typing = Wish::Typing {
            command: "path".into(),
            values: pairs(&[("from", "checkout")]),
            field: "to".into(),
            typed: "pay".into(),
        };
        assert_eq!(wish(4, data), Some(typing));
    }

    #[test]
    fn a_click_says_the_words_of_its_button() {
        let click = |id: &str, flags: u64| {
            let heard =
                heard(3, json!({ "data": { "custom_id": id }, "message": { "flags": flags } }));
            match heard {
                Some(Inbound::Interaction(interaction)) => Some(interaction.wish),
                _ => None,
            }
        };
        let said = |words: &str, replaces| Some(Wish::Click { words: words.into(), replaces });
        assert_eq!(click("idp:0:show a:b", 64), said("show a:b", false));
        assert_eq!(click("idp:3:list --page 2", 64), said("list --page 2", true));
        assert_eq!(click("idp:3:list --page 2", 0), said("list --page 2", false));
        assert_eq!(click("idp-form:1:path a", 0), Some(Wish::Opening { words: "path a".into() }));
        for other in ["another-app", "idp:show a", "idp:0: ", ""] {
            assert_eq!(click(other, 0), Some(Wish::Outdated), "{other}");
        }
    }

    #[test]
    fn a_choice_says_the_words_of_its_option() {
        let choice = |id: &str, values: Value| {
            wish(3, json!({ "custom_id": id, "component_type": 3, "values": values }))
        };
        let said = Wish::Click { words: "show ledger".into(), replaces: false };
        assert_eq!(choice("idp-select:0", json!(["show ledger"])), Some(said));
        for (id, values) in [
            ("another-app", json!(["show ledger"])),
            ("idp-select:0", json!([])),
            ("idp-select:0", json!([" "])),
            ("idp-select:0", json!([7])),
            ("idp-select:0", json!("show ledger")),
            ("idp-select:0", json!(null)),
        ] {
            assert_eq!(choice(id, values.clone()), Some(Wish::Outdated), "{id} {values}");
        }
    }

    #[test]
    fn a_form_is_its_fields() {
        let data = json!({ "custom_id": "idp-form:path", "components": [
            { "type": 18, "component": { "type": 4, "custom_id": "from", "value": "checkout" } },
            { "type": 18, "component": { "type": 3, "custom_id": "tier", "values": ["1"] } },
            { "type": 18, "component": { "type": 3, "custom_id": "team", "values": [] } },
            { "type": 1, "components": [{ "type": 4, "custom_id": "to", "value": "" }] },
            { "type": 10 }, 7,
        ]});
        let values = pairs(&[("from", "checkout"), ("tier", "1"), ("team", ""), ("to", "")]);
        assert_eq!(wish(5, data), Some(Wish::Filled { command: "path".into(), values }));
    }

    #[test]
    fn a_thread_is_in_its_channel() {
        let data = json!({ "options": [{ "type": 1, "name": "whoami" }] });
        let channel = json!({ "id": "9", "type": 11, "name": "a thread", "parent_id": "3" });
        let Some(Inbound::Interaction(it)) = heard(2, json!({ "data": data, "channel": channel }))
        else {
            panic!("not heard");
        };
        let Address { channel_id, channel_name, thread, tenant, .. } = it.address;
        assert_eq!((channel_id.as_str(), channel_name, thread.as_deref()), ("3", None, Some("9")));
        assert_eq!((tenant.as_str(), it.speaker.user_id.as_str()), ("2", "4"));
    }

    #[test]
    fn a_message_to_the_bot_is_its_words_and_every_other_is_ignored() {
        let heard = |more: Value| {
            let mut said = json!({
                "id": "10", "channel_id": "3", "guild_id": "2", "type": 0,
                "author": { "id": "4" }, "mentions": [{ "id": "1" }], "content": "<@1> owner ledger",
            });
            said.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            message(&said, "1")
        };
        let said = Said {
            message_id: "10".into(),
            channel_id: "3".into(),
            guild_id: Some("2".into()),
            user_id: "4".into(),
            text: "owner ledger".into(),
        };
        assert_eq!(heard(json!({})), Inbound::Said(said.clone()));
        assert_eq!(heard(json!({ "type": 19 })), Inbound::Said(said.clone()));
        let alone = json!({ "guild_id": null, "mentions": [], "content": "owner ledger" });
        assert_eq!(heard(alone), Inbound::Said(Said { guild_id: None, ..said }));
        for other in [
            json!({ "author": { "id": "4", "bot": true } }),
            json!({ "author": { "id": "4", "system": true } }),
            json!({ "author": { "id": "1" } }),
            json!({ "author": {} }),
            json!({ "webhook_id": "7" }),
            json!({ "mentions": [] }),
            json!({ "mentions": null }),
            json!({ "mentions": [{ "id": "5" }] }),
            json!({ "type": 7 }),
            json!({ "type": null }),
            json!({ "id": "x" }),
        ] {
            assert_eq!(heard(other.clone()), Inbound::Ignored, "{other}");
        }
    }

    #[test]
    fn bots_and_other_kinds_are_ignored_and_what_cannot_be_read_is_nothing() {
        let data = json!({ "options": [{ "type": 1, "name": "whoami" }] });
        let bot = json!({ "user": { "id": "4", "bot": true } });
        assert_eq!(heard(2, json!({ "data": data, "member": bot })), Some(Inbound::Ignored));
        assert_eq!(heard(99, json!({})), Some(Inbound::Ignored));
        let ping = Inbound::Ping { application_id: "1".into() };
        assert_eq!(heard(1, json!({})), Some(ping));
        for (field, value) in
            [("id", json!("x")), ("id", json!(null)), ("member", json!({})), ("token", json!(""))]
        {
            let more = json!({ "data": data, field: value });
            assert_eq!(heard(2, more), None, "{field}");
        }
        let deep = "[".repeat(100_000);
        for body in ["", "{", "null", "{\"type\":-1}", "\"\\ud800\"", &deep] {
            assert_eq!(interaction(body.as_bytes()), None, "{body:.20}");
        }
    }
}
