//! A form as Discord shows it: a modal, within every limit of Discord; and what fits what is typed.
//!
//! Each field stands in a label: a select where there are few values, else a text, for which a modal shows no
//! suggestions. Labels are not parsed. The library knows no labels yet, so these are JSON of ours.
//! Source: <https://docs.discord.com/developers/components/reference#label>

use bytes::Bytes;
use serde_json::{Value, json};
use serenity::builder::{
    AutocompleteChoice, CreateAutocompleteResponse, CreateInteractionResponse,
    CreateSelectMenuOption,
};

use super::outbound::{FORM_PREFIX, OPTIONS_MAX, body, option};
use crate::chat::layout::{cut, measure};
use crate::conversation::{Field, Form, Input, Suggestion};

pub const TITLE_CHARACTERS_MAX: usize = 45;
pub const LABEL_CHARACTERS_MAX: usize = 45;
/// Discord takes 4,000 in a field.
pub const TEXT_CHARACTERS_MAX: usize = 4_000;
pub const CHOICE_CHARACTERS_MAX: usize = 100;

/// How Discord numbers an answer that is a modal.
const MODAL: u8 = 9;
/// How Discord numbers the components of one.
const STRING_SELECT: u8 = 3;
const TEXT_INPUT: u8 = 4;
const LABEL: u8 = 18;
/// A text of one line.
const SHORT: u8 = 1;

/// The answer to a click that opens `form`.
pub fn modal(form: &Form) -> Bytes {
    let (title, _) = cut(&form.title, TITLE_CHARACTERS_MAX);
    let title = if title.trim().is_empty() { form.command.as_str() } else { &title };
    let modal = json!({
        "custom_id": format!("{FORM_PREFIX}{}", form.command),
        "title": title,
        "components": form.fields.iter().map(labelled).collect::<Vec<Value>>(),
    });
    json!({ "type": MODAL, "data": modal }).to_string().into()
}

fn labelled(field: &Field) -> Value {
    let (label, _) = cut(field.label(), LABEL_CHARACTERS_MAX);
    let listed = match &field.input {
        Input::OneOf(choices) => select(choices, field),
        Input::Suggested | Input::Text => None,
    };
    let component = listed.unwrap_or_else(|| text(field));
    json!({ "type": LABEL, "label": label, "component": component })
}

/// `None` where Discord cannot show all `choices`: one of them is typed then.
fn select(choices: &[Suggestion], field: &Field) -> Option<Value> {
    let shown = |it: &Suggestion| {
        let is_given = field.value.as_ref() == Some(&it.value);
        Some(option(&it.label, &it.value)?.default_selection(is_given))
    };
    let options: Option<Vec<CreateSelectMenuOption>> = choices.iter().map(shown).collect();
    let options = options.filter(|it| (1..=OPTIONS_MAX).contains(&it.len()))?;
    Some(json!({
        "type": STRING_SELECT, "custom_id": field.name, "options": options,
        "required": field.required, "min_values": u8::from(field.required),
    }))
}

fn text(field: &Field) -> Value {
    let mut input = json!({
        "type": TEXT_INPUT, "style": SHORT, "custom_id": field.name,
        "required": field.required, "max_length": TEXT_CHARACTERS_MAX,
    });
    if let Some(value) = field.value.as_ref().filter(|it| measure(it) <= TEXT_CHARACTERS_MAX) {
        input["value"] = json!(value);
    }
    input
}

/// The answer to someone who types into an option.
pub fn choices(suggestions: &[Suggestion]) -> Bytes {
    // What Discord does not take is left out: cut it would say something else.
    let taken = suggestions.iter().filter(|it| measure(&it.value) <= CHOICE_CHARACTERS_MAX);
    let choices = taken.map(|it| {
        AutocompleteChoice::new(cut(&it.label, CHOICE_CHARACTERS_MAX).0, it.value.as_str())
    });
    let choices = CreateAutocompleteResponse::new().set_choices(choices.collect());
    body(&CreateInteractionResponse::Autocomplete(choices))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::discord::outbound::OPTION_CHARACTERS_MAX;

    fn field(name: &str, input: Input, value: Option<&str>) -> Field {
        let (name, required) = (name.to_string(), value.is_none());
        let label = String::new();
        Field { name, label, input, required, value: value.map(str::to_string) }
    }

    /// The modal of `fields`.
    fn shown(fields: Vec<Field>) -> Value {
        let title = "How one thing depends on another, and by way of which others".into();
        let form = Form { command: "path".into(), title, fields };
        serde_json::from_slice(&modal(&form)).unwrap()
    }

    #[test]
    fn a_form_asks_with_what_is_filled_in_already() {
        let said = shown(vec![field("from", Input::Suggested, Some("checkout"))]);
        assert_eq!(
            (&said["type"], &said["data"]["custom_id"]),
            (&9.into(), &"idp-form:path".into())
        );
        assert!(measure(said["data"]["title"].as_str().unwrap()) <= TITLE_CHARACTERS_MAX);
        assert_eq!(
            said["data"]["components"],
            json!([{ "type": 18, "label": "from", "component": {
                "type": 4, "style": 1, "custom_id": "from", "value": "checkout",
                "required": false, "max_length": 4_000,
            }}])
        );
    }

    #[test]
    fn a_field_of_few_values_is_a_select() {
        let ways = || Input::OneOf(["up", "down"].map(Suggestion::of).into());
        let said = shown(vec![field("way", ways(), None), field("back", ways(), Some("down"))]);
        let of = |place: usize| &said["data"]["components"][place]["component"];
        assert_eq!(
            of(0),
            &json!({
                "type": 3, "custom_id": "way", "required": true, "min_values": 1, "options": [
                    { "label": "up", "value": "up", "default": false },
                    { "label": "down", "value": "down", "default": false },
                ],
            })
        );
        assert_eq!((&of(1)["required"], &of(1)["min_values"]), (&json!(false), &json!(0)));
        assert_eq!(of(1)["options"][1]["default"], true);
    }

    #[test]
    fn choices_that_discord_does_not_take_are_typed() {
        let long = "x".repeat(OPTION_CHARACTERS_MAX + 1);
        let many: Vec<String> = (0..=OPTIONS_MAX).map(|it| it.to_string()).collect();
        for choices in [vec!["up".to_string(), long], many, Vec::new()] {
            let choices = choices.iter().map(|it| Suggestion::of(it)).collect();
            let said = shown(vec![field("way", Input::OneOf(choices), None)]);
            assert_eq!(said["data"]["components"][0]["component"]["type"], 4);
        }
    }

    #[test]
    fn a_value_that_discord_does_not_take_is_not_offered() {
        let suggestion = |value: String| Suggestion { label: "é".repeat(200), value };
        let said = choices(&[suggestion("x".repeat(101)), suggestion("payment-api".into())]);
        let said: Value = serde_json::from_slice(&said).unwrap();
        let choices = said["data"]["choices"].as_array().unwrap();
        assert_eq!((choices.len(), &choices[0]["value"]), (1, &"payment-api".into()));
        assert_eq!(measure(choices[0]["name"].as_str().unwrap()), CHOICE_CHARACTERS_MAX);
    }
}
