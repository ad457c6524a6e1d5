//! What Slack would make of a message, read from its JSON alone: its limits, its mentions, its links, its shape.
//!
//! It shares no code with what writes messages. Sources: <https://docs.slack.dev/reference/block-kit/blocks>,
//! <https://docs.slack.dev/messaging/formatting-message-text>.

use serde_json::Value;

/// What a reader would see that is more than text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// `!channel`, `@U1`, `#C1` of a text; `user U1` of an element, which no text makes.
    pub mentions: Vec<String>,
    pub links: Vec<String>,
}

impl Seen {
    /// What is mentioned besides those who are `meant`, each as often as they are.
    pub fn besides(&self, meant: &[&str]) -> Vec<String> {
        let mut mentions = self.mentions.clone();
        for one in meant {
            if let Some(place) = mentions.iter().position(|it| it == one) {
                mentions.remove(place);
            }
        }
        mentions
    }
}

/// Everything that a view or a message reads.
pub fn text(part: &Value) -> String {
    match part {
        Value::Array(parts) => parts.iter().map(text).collect(),
        Value::Object(fields) => match fields.get("text").and_then(Value::as_str) {
            Some(own) => own.to_string(),
            None => fields.values().map(text).collect(),
        },
        _ => String::new(),
    }
}

pub fn seen(message: &Value) -> Seen {
    let mut seen = Seen::default();
    read_mrkdwn(message["text"].as_str().unwrap_or_default(), &mut seen);
    if message["link_names"] == true || message["parse"] == "full" {
        seen.mentions.push("names are linked".into());
    }
    visit(&message["blocks"], &mut |object| match object["type"].as_str().unwrap_or_default() {
        "mrkdwn" => read_mrkdwn(object["text"].as_str().unwrap_or_default(), &mut seen),
        "user" if is_account(&object["user_id"]) => {
            seen.mentions.push(format!("user {}", object["user_id"].as_str().unwrap_or_default()));
        }
        mention @ ("user" | "usergroup" | "channel" | "broadcast" | "team") => {
            seen.mentions.push(mention.into());
        }
        "link" => seen.links.push(object["url"].as_str().unwrap_or_default().into()),
        "button" if object.get("url").is_some() => seen.links.push(object["url"].to_string()),
        "static_select" => {
            let options = object["options"].as_array().into_iter().flatten();
            let linked = options.filter(|option| option.get("url").is_some());
            seen.links.extend(linked.map(|option| option["url"].to_string()));
        }
        _ => {}
    });
    seen
}

fn is_account(id: &Value) -> bool {
    let id = id.as_str().unwrap_or_default();
    let rest = id.trim_start_matches(['U', 'W']);
    rest.len() < id.len() && rest.chars().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit())
}

/// The types of all blocks and elements in their order, and how each looks; the text is left out.
pub fn shape(message: &Value) -> Vec<String> {
    let mut shape = Vec::new();
    visit(&message["blocks"], &mut |object| {
        if let Some(kind) = object["type"].as_str() {
            shape.push(format!("{kind} {} {}", object["style"], object["url"]));
        }
    });
    shape
}

/// The first limit that `message` breaks, in words.
pub fn over_a_limit(message: &Value) -> Result<(), String> {
    let blocks = message["blocks"].as_array().ok_or("no blocks")?;
    at_most("blocks", blocks.len(), 50)?;
    at_most("the fallback", units(&message["text"]), 4_000)?;
    let (mut total, mut ids) = (0, std::collections::HashSet::new());
    for block in blocks {
        let mut characters = 0;
        let mut of_parts = Ok(());
        visit(block, &mut |object| {
            let text = units(&object["text"]);
            characters += text;
            let judged = match object["type"].as_str().unwrap_or_default() {
                "" => Err("a part without a type".to_string()),
                "header" => at_most("a header", units(&object["text"]["text"]), 150),
                "button" => at_most("a label", units(&object["text"]["text"]), 75)
                    .and(at_most("a value", units(&object["value"]), 2_000))
                    .and(at_most("an id", units(&object["action_id"]), 255))
                    .and(match ids.insert(object["action_id"].to_string()) {
                        true => Ok(()),
                        false => Err("an id twice".to_string()),
                    }),
                "static_select" => select(object)
                    .and(at_most("an id", units(&object["action_id"]), 255))
                    .and(match ids.insert(object["action_id"].to_string()) {
                        true => Ok(()),
                        false => Err("an id twice".to_string()),
                    }),
                "actions" => {
                    at_most("buttons", object["elements"].as_array().map_or(0, Vec::len), 25)
                        .and(at_least_one("buttons", &object["elements"]))
                }
                "context" => {
                    at_most("elements", object["elements"].as_array().map_or(0, Vec::len), 10)
                }
                "rich_text" | "rich_text_section" | "rich_text_list" => {
                    at_least_one("elements", &object["elements"])
                }
                "text" | "plain_text" if text == 0 => Err("an empty text".to_string()),
                _ => Ok(()),
            };
            of_parts = std::mem::replace(&mut of_parts, Ok(())).and(judged);
        });
        of_parts?;
        at_most("a block", characters, 3_000)?;
        total += characters;
    }
    at_most("the message", total, 13_200)
}

/// The first limit that a modal breaks, in words.
///
/// Sources: <https://docs.slack.dev/reference/views/modal-views>, <https://docs.slack.dev/reference/block-kit/blocks/input-block>,
/// <https://docs.slack.dev/reference/block-kit/composition-objects/option-object>.
pub fn modal_over_a_limit(view: &Value) -> Result<(), String> {
    if view["type"] != "modal" {
        return Err("not a modal".into());
    }
    let blocks = view["blocks"].as_array().ok_or("no blocks")?;
    at_most("blocks", blocks.len(), 100)?;
    for text in ["title", "submit", "close"] {
        plain(&view[text], 24)?;
    }
    at_most("a callback id", units(&view["callback_id"]), 255)?;
    at_most("the metadata", units(&view["private_metadata"]), 3_000)?;
    let mut ids = std::collections::HashSet::new();
    for block in blocks.iter().filter(|block| block["type"] == "input") {
        plain(&block["label"], 2_000)?;
        at_most("a block id", units(&block["block_id"]), 255)?;
        let element = &block["element"];
        at_most("an action id", units(&element["action_id"]), 255)?;
        if !ids.insert(block["block_id"].to_string())
            || !ids.insert(element["action_id"].to_string())
        {
            return Err("an id twice".into());
        }
        match element["type"].as_str().unwrap_or_default() {
            "static_select" => select(element)?,
            "external_select" => element.get("initial_option").map_or(Ok(()), option)?,
            "plain_text_input" => at_most("a text", units(&element["initial_value"]), 3_000)?,
            other => return Err(format!("an element `{other}`")),
        }
    }
    Ok(())
}

/// The first limit that a view which asks nothing breaks, in words: a Home, or a modal with an answer.
///
/// Source: <https://docs.slack.dev/reference/views>
pub fn view_over_a_limit(view: &Value) -> Result<(), String> {
    over_a_limit(view)?;
    at_most("the metadata", units(&view["private_metadata"]), 3_000)?;
    at_most("a callback id", units(&view["callback_id"]), 255)?;
    match view["type"].as_str() {
        Some("home") => Ok(()),
        Some("modal") => ["title", "close"].iter().try_for_each(|text| plain(&view[text], 24)),
        other => Err(format!("a view of the type {other:?}")),
    }
}

/// Sources: <https://docs.slack.dev/reference/block-kit/block-elements/select-menu-element>,
/// <https://docs.slack.dev/reference/block-kit/composition-objects/option-object>.
fn select(element: &Value) -> Result<(), String> {
    at_least_one("options", &element["options"])?;
    let options = element["options"].as_array().expect("there is one");
    at_most("options", options.len(), 100)?;
    options.iter().try_for_each(option)?;
    if let Some(placeholder) = element.get("placeholder") {
        plain(placeholder, 150)?;
    }
    match element.get("initial_option") {
        Some(chosen) if !options.contains(chosen) => Err("a choice that is none".into()),
        _ => Ok(()),
    }
}

fn option(option: &Value) -> Result<(), String> {
    plain(&option["text"], 75)?;
    at_least_a_character("an option's value", &option["value"])?;
    at_most("an option's value", units(&option["value"]), 150)
}

/// What the vendor's description of its API says against a call of `method` with `arguments`.
///
/// `None`: the method is not described.
pub fn against_description(
    description: &Value,
    method: &str,
    arguments: &Value,
) -> Option<Vec<String>> {
    let methods = description["paths"].get(format!("/{method}"))?.as_object()?;
    let parameters = methods.values().next()?["parameters"].as_array()?;
    let name = |parameter: &Value| parameter["name"].as_str().unwrap_or_default().to_string();
    let missing = parameters
        .iter()
        // It goes into a header.
        .filter(|it| it["required"] == true && it["name"] != "token")
        .filter(|it| arguments.get(name(it)).is_none())
        .map(|it| format!("{method} needs `{}`", it["name"]));
    let known: Vec<String> = parameters.iter().map(name).collect();
    let given = arguments.as_object()?.keys();
    let unknown =
        given.filter(|it| !known.contains(it)).map(|it| format!("{method} knows no `{it}`"));
    Some(missing.chain(unknown).collect())
}

fn plain(text: &Value, characters_max: usize) -> Result<(), String> {
    if text["type"] != "plain_text" {
        return Err(format!("not plain text: {text}"));
    }
    at_least_a_character("a text", &text["text"])?;
    at_most("a text", units(&text["text"]), characters_max)
}

fn at_least_a_character(what: &str, text: &Value) -> Result<(), String> {
    if units(text) == 0 { Err(format!("{what} is empty")) } else { Ok(()) }
}

fn at_most(what: &str, count: usize, most: usize) -> Result<(), String> {
    if count > most { Err(format!("{what}: {count}, at most {most}")) } else { Ok(()) }
}

fn at_least_one(what: &str, elements: &Value) -> Result<(), String> {
    let is_empty = elements.as_array().is_none_or(Vec::is_empty);
    if is_empty { Err(format!("no {what}")) } else { Ok(()) }
}

/// The larger of the units of UTF-16 and the code points of a string; 0 for anything else.
fn units(value: &Value) -> usize {
    let text = value.as_str().unwrap_or_default();
    text.encode_utf16().count().max(text.chars().count())
}

/// Each object in `value` that has a type, or stands where one belongs, outermost first.
fn visit(value: &Value, look: &mut dyn FnMut(&Value)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| visit(item, look)),
        Value::Object(fields) => {
            if fields.contains_key("type") {
                look(value);
            }
            fields.values().for_each(|field| visit(field, look));
        }
        _ => {}
    }
}

/// Slack's own markup: `<…>` outside of entities, and bare addresses.
fn read_mrkdwn(text: &str, seen: &mut Seen) {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('<') {
        let Some((marked, behind)) = after.split_once('>') else { break };
        match marked.chars().next() {
            Some('@' | '#' | '!') => seen.mentions.push(marked.into()),
            Some(_) => seen.links.push(marked.into()),
            None => {}
        }
        rest = behind;
    }
    for scheme in ["http://", "https://", "mailto:", "slack://"] {
        if text.contains(scheme) {
            seen.links.push(scheme.into());
        }
    }
}

#[test]
fn the_judge_sees_what_slack_would() {
    let raw = serde_json::json!({
        "text": "<!channel> <@U1> <https://evil.example|good> https://evil.example",
        "blocks": [
            { "type": "section", "text": { "type": "mrkdwn", "text": "<#C1> and &lt;!here&gt;" } },
            { "type": "rich_text", "elements": [{ "type": "rich_text_section", "elements": [
                { "type": "user", "user_id": "U1" }, { "type": "user", "user_id": "@U1" },
                { "type": "broadcast", "range": "here" }, { "type": "link", "url": "https://a.example" },
            ]}]},
            { "type": "actions", "elements": [{ "type": "static_select", "options": [
                { "text": { "type": "mrkdwn", "text": "<@U2>" }, "url": "https://b.example" },
            ]}]},
        ],
    });
    let seen = seen(&raw);
    assert_eq!(seen.mentions, ["!channel", "@U1", "#C1", "user U1", "user", "broadcast", "@U2"]);
    // Whom we mean ourselves is told apart from what a text says.
    assert_eq!(seen.besides(&["user U1"]), ["!channel", "@U1", "#C1", "user", "broadcast", "@U2"]);
    assert_eq!(seen.links.len(), 4, "{seen:?}");
}
