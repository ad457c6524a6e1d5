//! A form as Discord shows it: a modal, within every limit of Discord; and what fits what is typed.
//!
//! A modal has fields of text alone, and shows no suggestions. Labels are not parsed.
//! Source: <https://docs.discord.com/developers/components/reference#text-input>

use bytes::Bytes;
use serenity::builder::{
    AutocompleteChoice, CreateActionRow, CreateAutocompleteResponse, CreateInputText,
    CreateInteractionResponse, CreateModal,
};
use serenity::model::application::InputTextStyle;

use super::outbound::{FORM_PREFIX, body};
use crate::chat::layout::{cut, measure};
use crate::conversation::{Field, Form, Input, Suggestion};

pub const TITLE_CHARACTERS_MAX: usize = 45;
pub const LABEL_CHARACTERS_MAX: usize = 45;
pub const PLACEHOLDER_CHARACTERS_MAX: usize = 100;
/// Discord takes 4,000 in a field.
pub const TEXT_CHARACTERS_MAX: usize = 4_000;
pub const CHOICE_CHARACTERS_MAX: usize = 100;

/// The answer to a click that opens `form`.
pub fn modal(form: &Form) -> Bytes {
    let (title, _) = cut(&form.title, TITLE_CHARACTERS_MAX);
    let title = if title.trim().is_empty() { form.command.as_str() } else { &title };
    let fields = form.fields.iter().map(|field| CreateActionRow::InputText(input(field)));
    let modal = CreateModal::new(format!("{FORM_PREFIX}{}", form.command), title);
    body(&CreateInteractionResponse::Modal(modal.components(fields.collect())))
}

fn input(field: &Field) -> CreateInputText {
    let (label, _) = cut(&field.name, LABEL_CHARACTERS_MAX);
    let mut input = CreateInputText::new(InputTextStyle::Short, label, &field.name)
        .required(field.required)
        .max_length(TEXT_CHARACTERS_MAX as u16);
    if let Some(value) = field.value.as_ref().filter(|it| measure(it) <= TEXT_CHARACTERS_MAX) {
        input = input.value(value);
    }
    if let Input::OneOf(choices) = &field.input {
        input = input.placeholder(cut(choices.join(", "), PLACEHOLDER_CHARACTERS_MAX).0);
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
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_form_asks_with_what_is_filled_in_already() {
        let field = |name: &str, input: Input, value: Option<&str>| Field {
            name: name.into(),
            input,
            required: value.is_none(),
            value: value.map(str::to_string),
        };
        let form = Form {
            command: "path".into(),
            title: "How one thing depends on another, and by way of which others".into(),
            fields: vec![
                field("from", Input::Suggested, Some("checkout")),
                field("way", Input::OneOf(vec!["up".into(), "down".into()]), None),
            ],
        };
        let said: Value = serde_json::from_slice(&modal(&form)).unwrap();
        assert_eq!(
            (&said["type"], &said["data"]["custom_id"]),
            (&9.into(), &"idp-form:path".into())
        );
        assert!(measure(said["data"]["title"].as_str().unwrap()) <= TITLE_CHARACTERS_MAX);
        let fields = &said["data"]["components"];
        assert_eq!(fields[0]["components"][0]["value"], "checkout");
        assert_eq!(fields[0]["components"][0]["required"], false);
        assert_eq!(fields[1]["components"][0]["placeholder"], "up, down");
        assert_eq!(fields[1]["components"][0]["custom_id"], "way");
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
