//! What Discord would make of a message, read from its JSON alone: its limits, its mentions, its links, its shape.
//!
//! It shares no code with what writes messages. Sources: <https://docs.discord.com/developers/reference#message-formatting>,
//! <https://docs.discord.com/developers/resources/message>, and what Discord's client shows.

use std::collections::HashSet;

use serde_json::Value;

/// What a reader would see that is more than text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// `@1`, `@everyone`, `/name:1`, `t:1` of a text; `1 is called`, which no text brings about.
    pub mentions: Vec<String>,
    pub links: Vec<String>,
    /// Marks of formatting in their order: `**`, `- `, `code`.
    pub marks: Vec<String>,
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

pub fn seen(message: &Value) -> Seen {
    let mut seen = Seen::default();
    let allowed = &message["allowed_mentions"];
    let is_none = |name: &str| allowed[name].as_array().is_none_or(Vec::is_empty);
    if !allowed["parse"].as_array().is_some_and(Vec::is_empty) || !is_none("roles") {
        seen.mentions.push("whoever is mentioned is called".into());
    }
    for user in allowed["users"].as_array().into_iter().flatten() {
        seen.mentions.push(format!("{} is called", user.as_str().unwrap_or("somebody")));
    }
    let suppresses = message["flags"].as_u64().unwrap_or_default() & 4 != 0;
    let content = message["content"].as_str().unwrap_or_default();
    read(content, &mut seen);
    if content.contains('.') && !suppresses {
        seen.links.push("the content may be unfurled".into());
    }
    for embed in message["embeds"].as_array().into_iter().flatten() {
        for part in ["title", "description"] {
            seen.marks.push(part.into());
            read(embed[part].as_str().unwrap_or_default(), &mut seen);
        }
        for part in ["url", "image", "thumbnail", "author", "video"] {
            if !embed[part].is_null() {
                seen.links.push(format!("{part} {}", embed[part]));
            }
        }
        seen.marks.push(format!("footer {}", embed["footer"].is_object()));
    }
    for button in components(message) {
        let options = button["options"].as_array().map_or(0, Vec::len);
        seen.marks.push(format!("component {} {} {options}", button["type"], button["style"]));
        if !button["url"].is_null() {
            seen.links.push(button["url"].to_string());
        }
    }
    seen
}

pub fn buttons(message: &Value) -> Vec<&Value> {
    components(message).into_iter().filter(|it| it["type"] == 2).collect()
}

/// Its buttons and selects.
pub fn components(message: &Value) -> Vec<&Value> {
    let rows = message["components"].as_array().into_iter().flatten();
    rows.flat_map(|row| row["components"].as_array().into_iter().flatten()).collect()
}

/// The first limit that `message` breaks, in words.
pub fn over_a_limit(message: &Value) -> Result<(), String> {
    let none = Vec::new();
    let embeds = message["embeds"].as_array().unwrap_or(&none);
    let rows = message["components"].as_array().unwrap_or(&none);
    let content = units(&message["content"]);
    if content + embeds.len() + rows.len() == 0 {
        return Err("nothing to show".into());
    }
    at_most("the content", content, 2_000)?;
    at_most("embeds", embeds.len(), 10)?;
    at_most("rows", rows.len(), 5)?;
    let mut total = 0;
    for embed in embeds {
        let fields = embed["fields"].as_array().unwrap_or(&none);
        at_most("fields", fields.len(), 25)?;
        let mut parts = vec![
            ("a title", units(&embed["title"]), 256),
            ("a description", units(&embed["description"]), 4_096),
            ("a footer", units(&embed["footer"]["text"]), 2_048),
            ("an author", units(&embed["author"]["name"]), 256),
        ];
        for field in fields {
            parts.push(("a field's name", units(&field["name"]), 256));
            parts.push(("a field's value", units(&field["value"]), 1_024));
        }
        let mut of_embed = 0;
        for (what, characters, most) in parts {
            at_most(what, characters, most)?;
            of_embed += characters;
        }
        let is_blank = |part: &str| embed[part].as_str().is_some_and(|it| it.trim().is_empty());
        if of_embed == 0 || is_blank("title") || is_blank("description") {
            return Err(format!("an embed without a text: {embed}"));
        }
        total += of_embed;
    }
    at_most("all embeds", total, 6_000)?;
    let mut ids = HashSet::new();
    for row in rows {
        let components = row["components"].as_array().unwrap_or(&none);
        let has_select = components.iter().any(|it| it["type"] == 3);
        at_most("components", components.len(), if has_select { 1 } else { 5 })?;
        if components.is_empty() {
            return Err("an empty row".into());
        }
    }
    for component in components(message) {
        at_most("an id", units(&component["custom_id"]), 100)?;
        if units(&component["custom_id"]) == 0 || !ids.insert(component["custom_id"].to_string()) {
            return Err(format!("no id, or one twice: {component}"));
        }
        match component["type"].as_u64() {
            Some(2) => {
                at_most("a label", units(&component["label"]), 80)?;
                at_least_a_character("a label", &component["label"])?;
            }
            Some(3) => select(component)?,
            _ => return Err(format!("neither a button nor a select: {component}")),
        }
    }
    Ok(())
}

/// Source: <https://docs.discord.com/developers/components/reference#string-select>
fn select(component: &Value) -> Result<(), String> {
    let none = Vec::new();
    let options = component["options"].as_array().unwrap_or(&none);
    at_most("options", options.len(), 25)?;
    at_most("a placeholder", units(&component["placeholder"]), 150)?;
    let mut values = HashSet::new();
    for option in options {
        for part in ["label", "value"] {
            at_least_a_character(part, &option[part])?;
            at_most(part, units(&option[part]), 100)?;
        }
        if !values.insert(option["value"].to_string()) {
            return Err(format!("a value twice: {option}"));
        }
    }
    if options.is_empty() { Err("a select without options".into()) } else { Ok(()) }
}

fn at_least_a_character(what: &str, text: &Value) -> Result<(), String> {
    if units(text) == 0 { Err(format!("{what} is empty")) } else { Ok(()) }
}

fn at_most(what: &str, count: usize, most: usize) -> Result<(), String> {
    if count > most { Err(format!("{what}: {count}, at most {most}")) } else { Ok(()) }
}

/// The larger of the units of UTF-16 and the code points of a string; 0 for anything else.
fn units(value: &Value) -> usize {
    let text = value.as_str().unwrap_or_default();
    text.encode_utf16().count().max(text.chars().count())
}

/// Discord's own markup.
fn read(text: &str, seen: &mut Seen) {
    let mut rest = text;
    let mut is_line_start = true;
    while !rest.is_empty() {
        if is_line_start && let Some(mark) = line_mark(rest) {
            seen.marks.push(mark.trim_start().to_string());
            rest = &rest[mark.len()..];
            // A quote may hold a list.
            continue;
        }
        let taken = token(rest, seen);
        is_line_start = rest[..taken].ends_with('\n');
        rest = &rest[taken..];
    }
}

/// What makes a heading, a point, a quote or small letters of a line, with the spaces before it.
fn line_mark(line: &str) -> Option<&str> {
    let spaces = line.len() - line.trim_start_matches(' ').len();
    let after = &line[spaces..];
    let marks = ["# ", "## ", "### ", "-# ", "- ", "* ", "+ ", "> ", ">>> "];
    let mark = marks.into_iter().find(|mark| after.starts_with(mark)).map(str::len);
    let digits = after.len() - after.trim_start_matches(|it: char| it.is_ascii_digit()).len();
    let number = (digits > 0 && after[digits..].starts_with(". ")).then_some(digits + 2);
    Some(&line[..spaces + mark.or(number)?])
}

/// The bytes of the first thing in `rest`, which is noted where it is more than text.
fn token(rest: &str, seen: &mut Seen) -> usize {
    let first = rest.chars().next().expect("the rest is not empty");
    if first == '\\' && rest[1..].starts_with(|it: char| it.is_ascii_punctuation()) {
        return 2;
    }
    if let Some(code) = rest.strip_prefix("```")
        && let Some(end) = code.find("```")
    {
        seen.marks.push("code block".into());
        return end + 6;
    }
    if first == '`' {
        let fence = rest.len() - rest.trim_start_matches('`').len();
        let inside = &rest[fence..];
        let ends = inside.match_indices(&"`".repeat(fence)).find(|(at, fence)| {
            !inside[at + fence.len()..].starts_with('`') && !inside[..*at].ends_with('`')
        });
        if let Some((end, _)) = ends {
            seen.marks.push("code".into());
            return end + 2 * fence;
        }
        return fence;
    }
    if first == '<'
        && let Some(end) = rest.find('>')
    {
        let marked = &rest[1..end];
        let is_custom =
            ["@", "#", "/", "t:", ":", "a:", "id:"].iter().any(|it| marked.starts_with(it));
        let is_address = marked.contains(":/") && !marked.contains(char::is_whitespace);
        if is_custom {
            seen.mentions.push(marked.into());
            return end + 1;
        }
        if is_address {
            seen.links.push(marked.into());
            return end + 1;
        }
    }
    if let Some(name) = ["@everyone", "@here"].into_iter().find(|name| rest.starts_with(name)) {
        seen.mentions.push(name.into());
        return name.len();
    }
    for scheme in ["http://", "https://", "steam://", "discord://"] {
        if rest.len() > scheme.len() && rest.starts_with(scheme) {
            let end = rest.find(|it: char| it.is_whitespace() || it == '<').unwrap_or(rest.len());
            seen.links.push(rest[..end].into());
            return end;
        }
    }
    if first == '['
        && let Some((label, url, whole)) = masked_link(rest)
    {
        seen.links.push(url.into());
        read_label(label, seen);
        return whole;
    }
    for mark in ["***", "**", "*", "__", "~~", "||"] {
        if rest.starts_with(mark) {
            seen.marks.push(mark.into());
            return mark.len();
        }
    }
    first.len_utf8()
}

/// Within a label nothing links, but its text may still be formatted or mention.
fn read_label(label: &str, seen: &mut Seen) {
    let mut within = Seen::default();
    read(label, &mut within);
    seen.mentions.extend(within.mentions);
    seen.marks.extend(within.marks);
    seen.links.extend(within.links);
}

/// The label and the address of a link at the start of `text`, and its bytes. The label ends at the first `](`
/// that a backslash before it does not hide: Discord takes no backslash there.
fn masked_link(text: &str) -> Option<(&str, &str, usize)> {
    let middle = text.find("](")?;
    let label = &text[1..middle];
    let after = &text[middle + 2..];
    let end = after.find(')')?;
    let url = after[..end].trim_matches(['<', '>']);
    let plain = url.replace('\\', "");
    let is_link =
        ["http://", "https://", "discord://", "steam://"].iter().any(|it| plain.starts_with(it));
    (is_link && !label.contains("\n\n")).then_some((label, url, middle + 2 + end + 1))
}

#[test]
fn the_judge_sees_what_discord_would() {
    let raw = serde_json::json!({
        "content": "@everyone https://evil.example",
        "embeds": [{
            "title": "a <@&1>",
            "description": "- <@1> [good](https://evil.example) \\<@2> **b**\n> `<#1>` ```\n<#2>\n``` <https://a.example> \\@here",
        }],
    });
    let called = serde_json::json!({
        "content": "<@1>", "allowed_mentions": { "parse": [], "users": ["1", "2"] },
    });
    let meant = ["1 is called", "@1"];
    assert_eq!(seen(&called).mentions, ["1 is called", "2 is called", "@1"]);
    // Whom we mean ourselves is told apart from what a text says.
    assert_eq!(seen(&called).besides(&meant), ["2 is called"]);
    let seen = seen(&raw);
    assert_eq!(seen.besides(&meant).len(), 3, "{seen:?}");
    assert_eq!(seen.mentions, ["whoever is mentioned is called", "@everyone", "@&1", "@1"]);
    assert_eq!(
        seen.links,
        [
            "https://evil.example",
            "the content may be unfurled",
            "https://evil.example",
            "https://a.example"
        ]
    );
    assert_eq!(
        seen.marks,
        ["title", "description", "- ", "**", "**", "> ", "code", "code block", "footer false"]
    );
}
