//! A form as Slack shows it: a modal, within every limit of Slack.
//!
//! Texts are `plain_text`, which Slack does not parse.
//! Sources: <https://docs.slack.dev/surfaces/modals>, <https://docs.slack.dev/reference/block-kit/blocks/input-block>,
//! <https://docs.slack.dev/reference/interaction-payloads/view-interactions-payload>.

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::outbound::{self, FORM_PREFIX};
use crate::chat::layout::{cut, measure};
use crate::chat::markdown::{self, Block};
use crate::conversation::{Field, Form, Input, Reply, Suggestion};

/// What the ids of the fields of our modals begin with; the name of the field follows.
pub const FIELD_PREFIX: &str = "idp-field:";
pub const TITLE_CHARACTERS_MAX: usize = 24;
pub const LABEL_CHARACTERS_MAX: usize = 75;
/// Slack takes 3,000 in a field.
pub const TEXT_CHARACTERS_MAX: usize = 3_000;
pub const METADATA_CHARACTERS_MAX: usize = 3_000;
/// What is shown below a field; Slack names no limit.
const ERROR_CHARACTERS_MAX: usize = 500;

/// Where a form was opened, and where its answer goes. The modal carries it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub channel_id: String,
    pub channel_name: Option<String>,
    pub thread: Option<String>,
    pub response_url: String,
    /// How many modals are above the bot's Home, with the form; 0 where it was opened from a message.
    #[serde(default)]
    pub depth: u8,
}

/// The modal that asks for what `form` asks for.
///
/// # Errors
/// An `origin` that finds no place in it.
pub fn view(form: &Form, origin: &Origin) -> anyhow::Result<Value> {
    let metadata =
        serde_json::to_string(origin).context("could not write where a form was opened")?;
    ensure!(
        measure(&metadata) <= METADATA_CHARACTERS_MAX,
        "where the form was opened is too long for Slack"
    );
    let about =
        json!({ "type": "context", "elements": [plain_text(&form.title, TEXT_CHARACTERS_MAX)] });
    let mut blocks = Vec::from_iter((!form.title.trim().is_empty()).then_some(about));
    blocks.extend(form.fields.iter().map(input));
    Ok(json!({
        "type": "modal",
        "callback_id": format!("{FORM_PREFIX}{}", form.command),
        "private_metadata": metadata,
        "title": plain_text(&form.command, TITLE_CHARACTERS_MAX),
        "submit": plain_text("Ask", TITLE_CHARACTERS_MAX),
        "close": plain_text("Cancel", TITLE_CHARACTERS_MAX),
        "blocks": blocks,
    }))
}

/// The answer to someone who types into a field.
pub fn options(suggestions: &[Suggestion]) -> Value {
    let options = suggestions.iter().filter_map(|it| option(&it.label, &it.value));
    json!({ "options": options.collect::<Vec<Value>>() })
}

/// The answer to a form that was `filled` in (names of fields and their values): what `reply` says of one
/// of them, shown below it; `None` where it is about none.
pub fn errors(filled: &[(String, String)], reply: &Reply) -> Option<Value> {
    let blamed = reply.refusal.as_ref()?.blamed.as_deref()?;
    let is_blamed = |(name, value): &&(String, String)| value.trim() == blamed || name == blamed;
    let (name, _) = filled.iter().find(is_blamed)?;
    let said = markdown::read(&reply.markdown).into_iter().find_map(|block| match block {
        Block::Paragraph(text) => Some(markdown::plain(&text)),
        _ => None,
    })?;
    let (said, _) = cut(said, ERROR_CHARACTERS_MAX);
    Some(json!({ "response_action": "errors", "errors": { name: said } }))
}

fn input(field: &Field) -> Value {
    json!({
        "type": "input",
        "block_id": field.name,
        "label": plain_text(field.label(), LABEL_CHARACTERS_MAX),
        "optional": !field.required,
        "element": element(field),
    })
}

fn element(field: &Field) -> Value {
    let value = field.value.as_deref().filter(|value| !value.is_empty());
    let chosen = match &field.input {
        Input::Text => None,
        Input::Suggested => suggested(value),
        Input::OneOf(choices) => listed(choices, value),
    };
    let mut element = chosen.unwrap_or_else(|| text(value));
    element["action_id"] = json!(format!("{FIELD_PREFIX}{}", field.name));
    element
}

/// `None` where Slack cannot show `value` as chosen: it must be typed.
fn suggested(value: Option<&str>) -> Option<Value> {
    let mut element = json!({ "type": "external_select", "min_query_length": 0 });
    if let Some(value) = value {
        element["initial_option"] = option(value, value)?;
    }
    Some(element)
}

/// `None` where Slack cannot show all `choices`, or `value` as one of them.
fn listed(choices: &[Suggestion], value: Option<&str>) -> Option<Value> {
    let options: Option<Vec<Value>> =
        choices.iter().map(|it| option(&it.label, &it.value)).collect();
    let options = options.filter(|options| !options.is_empty())?;
    let mut element = json!({ "type": "static_select" });
    if let Some(value) = value {
        element["initial_option"] = options.iter().find(|it| it["value"] == value)?.clone();
    }
    element["options"] = options.into();
    Some(element)
}

fn text(value: Option<&str>) -> Value {
    let mut element = json!({ "type": "plain_text_input", "max_length": TEXT_CHARACTERS_MAX });
    if let Some(value) = value.filter(|value| measure(value) <= TEXT_CHARACTERS_MAX) {
        element["initial_value"] = json!(value);
    }
    element
}

/// [`outbound::option`] as a value.
fn option(label: &str, value: &str) -> Option<Value> {
    outbound::option(label, value).map(|option| json!(option))
}

pub(super) fn plain_text(text: &str, characters_max: usize) -> Value {
    let (text, _) = cut(text, characters_max);
    json!({ "type": "plain_text", "text": text, "emoji": false })
}

#[cfg(test)]
mod tests {
    use super::outbound::OPTION_VALUE_CHARACTERS_MAX;
    use super::*;
    use crate::error::Refusal;

    fn origin(response_url: &str) -> Origin {
        Origin {
            channel_id: "C1".into(),
            channel_name: None,
            thread: None,
            response_url: response_url.into(),
            depth: 0,
        }
    }

    fn form(fields: Vec<Field>) -> Form {
        Form { command: "path".into(), title: "How two things hang together".into(), fields }
    }

    fn field(input: Input, value: Option<&str>) -> Field {
        Field {
            name: "from".into(),
            label: String::new(),
            input,
            required: true,
            value: value.map(str::to_string),
        }
    }

    fn element_of(input: Input, value: Option<&str>) -> Value {
        let view = view(&form(vec![field(input, value)]), &origin("https://hooks.slack.com/1"));
        view.unwrap()["blocks"][1]["element"].clone()
    }

    #[test]
    fn what_is_given_is_chosen_already() {
        let chosen = &element_of(Input::Suggested, Some("checkout"))["initial_option"];
        assert_eq!(chosen["value"], "checkout");
        let typed = element_of(Input::Text, Some("checkout"));
        assert_eq!(typed["initial_value"], "checkout");
        let ways = Input::OneOf(["up", "down"].map(Suggestion::of).into());
        let listed = element_of(ways.clone(), None);
        assert_eq!(listed["options"][1]["value"], "down");
        assert_eq!(listed.get("initial_option"), None);
        let listed = element_of(ways.clone(), Some("down"));
        assert_eq!(listed["initial_option"], listed["options"][1]);
        assert_eq!(element_of(ways, Some("left"))["initial_value"], "left");
    }

    #[test]
    fn a_value_that_slack_cannot_choose_is_typed_and_never_cut() {
        let long = "x".repeat(OPTION_VALUE_CHARACTERS_MAX + 1);
        let element = element_of(Input::Suggested, Some(&long));
        assert_eq!(element["type"], "plain_text_input");
        assert_eq!(element["initial_value"], long);
        let suggestion = |value: &str| Suggestion { label: "x".into(), value: value.into() };
        let shown = options(&[suggestion(&long), suggestion("checkout")]);
        assert_eq!(shown["options"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn an_origin_that_finds_no_place_is_an_error() {
        let long = origin(&"x".repeat(METADATA_CHARACTERS_MAX));
        assert!(view(&form(vec![field(Input::Text, None)]), &long).is_err());
    }

    #[test]
    fn a_no_stands_below_the_field_that_it_is_about() {
        let refusal = Refusal::UnknownEntity {
            what: "service".into(),
            name: "paymnt".into(),
            closest: vec!["payment-api".into()],
            instead: Vec::new(),
        };
        let filled = [("from", "checkout"), ("to", "paymnt")];
        let filled = filled.map(|(name, value)| (name.to_string(), value.to_string()));
        let shown = errors(&filled, &refusal.to_reply()).unwrap();
        assert_eq!(shown["errors"]["to"], "There is no service paymnt. Did you mean payment-api?");
        assert_eq!(shown["errors"].as_object().unwrap().len(), 1);
        assert_eq!(errors(&filled[..1], &refusal.to_reply()), None);
        assert_eq!(errors(&filled, &Reply::markdown("fine")), None);
    }
}
