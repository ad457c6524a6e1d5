//! What a message says on which somebody chose "Who owns this?" in its menu.
//!
//! Alerts stand in blocks and attachments, so all of them are read.
//! Sources: <https://docs.slack.dev/reference/interaction-payloads/shortcuts-interaction-payload>,
//! <https://docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments>.

use serde_json::Value;

use super::inbound::plain;

/// What the app's manifest calls the shortcut.
pub const CALLBACK_ID: &str = "idp-who-owns";

/// The most characters of a message that are kept until it is answered.
const CHARACTERS_MAX: usize = 40_000;

/// Everything that `message` says and links to, as plain text: code between backticks, fields as `name: value`.
pub fn texts(message: &Value) -> Vec<String> {
    let mut said = Said::default();
    said.text(&message["text"]);
    said.blocks(&message["blocks"]);
    for attachment in list(&message["attachments"]) {
        said.attachment(attachment);
    }
    said.texts
}

#[derive(Default)]
struct Said {
    texts: Vec<String>,
    characters: usize,
}

impl Said {
    /// A text that Slack would parse.
    fn text(&mut self, text: &Value) {
        self.add(parsed(text.as_str().unwrap_or_default()));
    }

    fn blocks(&mut self, blocks: &Value) {
        for block in list(blocks) {
            let mut text = String::new();
            read(block, &mut text);
            self.add(text);
        }
    }

    fn attachment(&mut self, attachment: &Value) {
        for name in ["pretext", "author_name", "title", "text", "footer"] {
            self.text(&attachment[name]);
        }
        for name in ["title_link", "author_link", "from_url", "original_url"] {
            self.add(attachment[name].as_str().unwrap_or_default().to_string());
        }
        for field in list(&attachment["fields"]) {
            let part = |name: &str| parsed(field[name].as_str().unwrap_or_default());
            self.add(format!("{}: {}", part("title"), part("value")));
        }
        self.blocks(&attachment["blocks"]);
    }

    fn add(&mut self, text: String) {
        let characters = text.chars().count();
        if !text.trim().is_empty() && self.characters + characters <= CHARACTERS_MAX {
            self.characters += characters;
            self.texts.push(text.replace('\0', " "));
        }
    }
}

/// Adds what `part` of a message says to `text`, one line for each part that Slack shows on lines of its own.
fn read(part: &Value, text: &mut String) {
    if let Some(parts) = part.as_array() {
        return parts.iter().for_each(|it| read(it, text));
    }
    if !part.is_object() {
        return;
    }
    let own = part["text"].as_str().unwrap_or_default();
    match part["type"].as_str().unwrap_or_default() {
        "text" if part["style"]["code"] == true => text.push_str(&format!("`{own}`")),
        "text" => text.push_str(own),
        "link" => text.push_str(&format!(" {} {own} ", part["url"].as_str().unwrap_or_default())),
        "mrkdwn" => text.push_str(&format!("{}\n", parsed(own))),
        "plain_text" => text.push_str(&format!("{own}\n")),
        "markdown" => text.push_str(own),
        // What it is called says what a click does, and not what the message is about.
        "button" => text.push_str(&format!(" {} ", part["url"].as_str().unwrap_or_default())),
        "user" | "usergroup" | "channel" | "broadcast" | "emoji" => {}
        _ => {
            for name in ["text", "fields", "elements", "accessory", "rows"] {
                read(&part[name], text);
            }
            text.push('\n');
        }
    }
}

/// `text` without Slack's markup: of links both what they show and where they lead, people and channels as such.
fn parsed(text: &str) -> String {
    plain(text, |marked, _| {
        let (target, label) = marked.split_once('|').unwrap_or((marked, ""));
        match target.split_at_checked(1) {
            Some((sign @ ("@" | "#" | "!"), id)) => format!("{sign}{id}"),
            _ => format!("{target} {label}"),
        }
    })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_that_a_message_shows_is_read() {
        let message = json!({
            "text": "Look at <https://a.example/x|the board>, <@U1>, in <#C1|payments> &amp; `ledger`",
            "blocks": [
                { "type": "header", "text": { "type": "plain_text", "text": "Firing" } },
                { "type": "section", "fields": [{ "type": "mrkdwn", "text": "*Service*\ncheckout" }],
                  "accessory": { "type": "button", "url": "https://a.example/y",
                                 "text": { "type": "plain_text", "text": "Silence" } } },
                { "type": "rich_text", "elements": [{ "type": "rich_text_section", "elements": [
                    { "type": "text", "text": "see " },
                    { "type": "text", "text": "orders", "style": { "code": true } },
                    { "type": "link", "url": "https://a.example/z", "text": "here" },
                    { "type": "user", "user_id": "U2" },
                ] }] },
                { "type": "of_tomorrow", "elements": 7 },
            ],
            "attachments": [
                { "title": "Errors", "title_link": "https://a.example/t", "fallback": "again",
                  "fields": [{ "title": "Team", "value": "payments", "short": true }] },
                { "blocks": [{ "type": "section", "text": { "type": "mrkdwn", "text": "within" } }] },
                null,
            ],
        });
        let expected = [
            "Look at https://a.example/x the board, @U1, in #C1 & `ledger`",
            "Firing\n\n",
            "*Service*\ncheckout\n https://a.example/y \n",
            "see `orders` https://a.example/z here \n\n",
            "Errors",
            "https://a.example/t",
            "Team: payments",
            "within\n\n",
        ];
        assert_eq!(texts(&message), expected);
    }

    #[test]
    fn what_is_kept_of_a_message_has_an_end() {
        let long = "x".repeat(CHARACTERS_MAX);
        let message =
            json!({ "text": long, "attachments": [{ "text": "more" }, { "text": long }] });
        assert_eq!(texts(&message), [long]);
        for odd in [json!(null), json!([]), json!({ "text": 7, "blocks": "x", "attachments": {} })]
        {
            assert_eq!(texts(&odd), [""; 0]);
        }
    }
}
