//! What a message says on which somebody chose "Who owns this?" in its menu.
//!
//! Alerts stand in embeds, so these are read too.
//! Sources: <https://docs.discord.com/developers/interactions/application-commands#message-commands>,
//! <https://docs.discord.com/developers/resources/message#embed-object>.

use serde_json::Value;

/// The most characters of a message that are kept until it is answered; ten embeds have 6,000.
const CHARACTERS_MAX: usize = 20_000;

/// Everything that `message` says and links to: Discord's Markdown, fields as `name: value`.
pub fn texts(message: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().replace('\0', " ");
    let mut texts = vec![text(&message["content"])];
    for embed in list(&message["embeds"]) {
        for part in [
            "/provider/name",
            "/author/name",
            "/author/url",
            "/title",
            "/url",
            "/description",
            "/footer/text",
        ] {
            texts.extend(embed.pointer(part).map(text));
        }
        let fields = list(&embed["fields"]);
        texts.extend(
            fields.iter().map(|it| format!("{}: {}", text(&it["name"]), text(&it["value"]))),
        );
    }
    let mut characters = 0;
    texts.retain(|it| {
        characters += it.chars().count();
        !it.trim().is_empty() && characters <= CHARACTERS_MAX
    });
    texts
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
        let message = json!({ "content": "look at `ledger`", "embeds": [
            { "title": "Errors", "url": "https://a.example/t", "description": "5xx",
              "author": { "name": "Grafana" }, "footer": { "text": "prod" },
              "fields": [{ "name": "Service", "value": "checkout" }] },
            7,
        ] });
        let expected = [
            "look at `ledger`",
            "Grafana",
            "Errors",
            "https://a.example/t",
            "5xx",
            "prod",
            "Service: checkout",
        ];
        assert_eq!(texts(&message), expected);
    }

    #[test]
    fn what_is_kept_of_a_message_has_an_end() {
        let long = "x".repeat(CHARACTERS_MAX);
        let message = json!({ "content": long, "embeds": [{ "description": "more" }] });
        assert_eq!(texts(&message), [long]);
        assert_eq!(texts(&json!(null)), [""; 0]);
    }
}
