//! Texts of an `invoke:` with places in them: `restart {{target.name}}`.
//!
//! A place names a value and does nothing else: there are no helpers, no conditions, no loops, and what is filled in is
//! never read again.

use std::fmt;

use serde_json::{Map, Value};

use super::{NotSent, Order};

/// The most places of one text.
const PLACES_MAX: usize = 20;

/// What a place may name of the target, besides its annotations and labels.
pub const TARGET: [&str; 10] =
    ["ref", "kind", "namespace", "name", "title", "type", "lifecycle", "tier", "owner", "system"];
/// What a place may name of the request.
pub const REQUEST: [&str; 6] = ["id", "step", "action", "by", "intent", "key"];

/// A text with places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Place(Place),
}

/// What a place names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `name`, or `annotations.github.com/project-slug`.
    Target(String),
    Input(String),
    /// One of [`REQUEST`].
    Request(String),
    /// What an earlier step gave.
    Step {
        step: String,
        output: String,
    },
}

/// Why a text is not one with places; a full sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    pub message: String,
    pub hint: &'static str,
}

/// A value of JSON with texts in it.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    Text(Text),
    /// Without places.
    Plain(Value),
    List(Vec<Form>),
    Map(Vec<(String, Form)>),
}

impl Text {
    /// `text` with what stands between `{{` and `}}` as its places. Whether they name anything is not looked at.
    ///
    /// # Errors
    /// What is not a place, and how one is written.
    pub fn read(text: &str) -> Result<Text, Malformed> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("{{") {
            let (before, after) = (&rest[..start], &rest[start + 2..]);
            let end = after.find("}}").ok_or_else(|| Malformed {
                message: "A `{{` is not closed.".into(),
                hint: "Write `{{target.name}}`.",
            })?;
            if !before.is_empty() {
                parts.push(Part::Literal(before.to_string()));
            }
            parts.push(Part::Place(Place::read(after[..end].trim())?));
            rest = &after[end + 2..];
        }
        if !rest.is_empty() || parts.is_empty() {
            parts.push(Part::Literal(rest.to_string()));
        }
        let text = Text { parts };
        if text.places().count() > PLACES_MAX {
            let message = format!("More than {PLACES_MAX} places are in one text.");
            return Err(Malformed { message, hint: "Split it." });
        }
        Ok(text)
    }

    /// A text that is what it says.
    pub fn literal(text: &str) -> Text {
        Text { parts: vec![Part::Literal(text.to_string())] }
    }

    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.parts.iter().filter_map(|part| match part {
            Part::Place(place) => Some(place),
            Part::Literal(_) => None,
        })
    }

    /// The whole text, where there is no place in it.
    pub fn as_literal(&self) -> Option<&str> {
        match &self.parts[..] {
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// What comes before the first place.
    pub fn head(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(text)) => text,
            _ => "",
        }
    }

    /// The value: what the place names where the text is nothing but one place, otherwise a text.
    ///
    /// # Errors
    /// A text would be put together with what is not there.
    pub fn value(&self, order: &Order) -> Result<Value, NotSent> {
        match &self.parts[..] {
            [Part::Place(place)] => Ok(place.value(order).unwrap_or_default()),
            _ => self.text(order).map(Value::String),
        }
    }

    /// The text that it makes.
    ///
    /// # Errors
    /// Something in it is not there.
    pub fn text(&self, order: &Order) -> Result<String, NotSent> {
        self.text_with(order, |text| text)
    }

    /// The text that it makes, each value as `change` leaves it.
    ///
    /// # Errors
    /// As [`Text::text`].
    pub fn text_with(
        &self,
        order: &Order,
        change: impl Fn(String) -> String,
    ) -> Result<String, NotSent> {
        let mut made = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => made.push_str(text),
                Part::Place(place) => match place.value(order).as_ref().and_then(written) {
                    Some(text) => made.push_str(&change(text)),
                    None => return Err(NotSent::refused(place.missing(order))),
                },
            }
        }
        Ok(made)
    }
}

/// As it stands in a text; `None` for nothing.
pub fn written(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

impl Place {
    fn read(path: &str) -> Result<Place, Malformed> {
        let malformed = |message: String| Malformed {
            message,
            hint: "Places are `target.…`, `inputs.…`, `request.…` and `steps.…`.",
        };
        if path.chars().any(|it| it.is_whitespace() || it.is_control() || "{}\"'`".contains(it)) {
            return Err(malformed(format!("`{}` is not the name of a value.", shortened(path))));
        }
        let (root, rest) = path.split_once('.').unwrap_or((path, ""));
        if rest.is_empty() {
            return Err(malformed(format!("`{}` is not the name of a value.", shortened(path))));
        }
        match root {
            "target" => Ok(Place::Target(rest.to_string())),
            "inputs" => Ok(Place::Input(rest.to_string())),
            "request" => Ok(Place::Request(rest.to_string())),
            "steps" => match rest.split_once('.') {
                Some((step, output)) if !output.is_empty() => {
                    Ok(Place::Step { step: step.to_string(), output: output.to_string() })
                }
                _ => Err(malformed(format!("`{}` names no output of a step.", shortened(path)))),
            },
            _ => Err(malformed(format!("There is nothing called `{}`.", shortened(path)))),
        }
    }

    /// What it names, as it was when the order was pinned; `None`: it is not there.
    pub fn value(&self, order: &Order) -> Option<Value> {
        match self {
            Place::Target(path) => match order.pinned.get("target").and_then(|it| it.get(path)) {
                Some(pinned) => Some(pinned.clone()),
                None => in_target(order.target.as_ref()?, path).cloned(),
            },
            Place::Input(name) => order.inputs.get(name).cloned(),
            Place::Request(field) => of_request(order, field),
            Place::Step { step, output } => order.outputs.get(step)?.get(output).cloned(),
        }
    }

    fn missing(&self, order: &Order) -> String {
        let name = order.target.as_ref().map_or("The target", |target| &target.reference);
        match self {
            Place::Target(path) => match path.split_once('.') {
                Some((of @ ("annotations" | "labels"), key)) => {
                    format!("`{name}` has no {} `{key}`.", of.trim_end_matches('s'))
                }
                _ => format!("`{name}` has no `{path}`."),
            },
            Place::Input(input) => format!("The input `{input}` has no value."),
            Place::Request(field) => format!("The request has no `{field}`."),
            Place::Step { step, output } => format!("The step `{step}` gave no `{output}`."),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Target(path) => write!(out, "target.{path}"),
            Place::Input(name) => write!(out, "inputs.{name}"),
            Place::Request(field) => write!(out, "request.{field}"),
            Place::Step { step, output } => write!(out, "steps.{step}.{output}"),
        }
    }
}

fn of_request(order: &Order, field: &str) -> Option<Value> {
    Some(match field {
        "id" => order.request.into(),
        "step" => order.step.clone().into(),
        "action" => order.action.clone().into(),
        "by" => order.by.clone().into(),
        "intent" => order.intent.clone().into(),
        "key" => order.key.clone().into(),
        _ => return None,
    })
}

/// `path` of the target; what follows `annotations.` and `labels.` is a key as it stands there, with its dots.
fn in_target<'a>(target: &'a super::Target, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        Some((of @ ("annotations" | "labels"), key)) => target.values.get(of)?.get(key),
        _ => target.values.get(path),
    }
}

impl Form {
    /// Every text in it.
    pub fn texts(&self) -> Vec<&Text> {
        match self {
            Form::Text(text) => vec![text],
            Form::Plain(_) => Vec::new(),
            Form::List(items) => items.iter().flat_map(Form::texts).collect(),
            Form::Map(entries) => entries.iter().flat_map(|(_, form)| form.texts()).collect(),
        }
    }

    /// The JSON that it makes.
    ///
    /// # Errors
    /// As [`Text::value`].
    pub fn value(&self, order: &Order) -> Result<Value, NotSent> {
        Ok(match self {
            Form::Text(text) => text.value(order)?,
            Form::Plain(value) => value.clone(),
            Form::List(items) => {
                Value::Array(items.iter().map(|it| it.value(order)).collect::<Result<_, _>>()?)
            }
            Form::Map(entries) => {
                let made = entries.iter().map(|(key, it)| Ok((key.clone(), it.value(order)?)));
                Value::Object(made.collect::<Result<Map<_, _>, NotSent>>()?)
            }
        })
    }
}

fn shortened(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(60).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::integrations::invocation::tests::order;

    fn value(text: &str) -> Result<Value, String> {
        Text::read(text).unwrap().value(&order()).map_err(|it| it.to_string())
    }

    #[test]
    fn one_place_alone_keeps_its_type_and_in_a_text_it_is_written() {
        assert_eq!(value("{{inputs.replicas}}"), Ok(json!(3)));
        assert_eq!(value("{{ inputs.dry }}"), Ok(json!(true)));
        assert_eq!(value("{{inputs.replicas}} of {{target.name}}"), Ok(json!("3 of payment-api")));
        assert_eq!(value("plain"), Ok(json!("plain")));
        assert_eq!(value(""), Ok(json!("")));
    }

    #[test]
    fn a_key_of_an_annotation_may_have_dots_and_slashes() {
        let slug = "{{target.annotations.github.com/project-slug}}";
        assert_eq!(value(slug), Ok(json!("acme/payments")));
    }

    #[test]
    fn what_was_pinned_is_meant_and_not_what_the_target_says_today() {
        let mut order = order();
        order.pinned = json!({"target": {"name": "as-asked"}}).as_object().cloned().unwrap();
        assert_eq!(Text::read("{{target.name}}").unwrap().text(&order).unwrap(), "as-asked");
    }

    #[test]
    fn nothing_alone_is_null_and_in_a_text_it_is_refused() {
        assert_eq!(value("{{inputs.reason}}"), Ok(Value::Null));
        let refused = value("because {{inputs.reason}}").unwrap_err();
        assert_eq!(refused, "The input `reason` has no value.");
        let refused = value("x {{target.annotations.a.b/c}}").unwrap_err();
        assert_eq!(refused, "`component:default/payment-api` has no annotation `a.b/c`.");
    }

    #[test]
    fn what_is_filled_in_is_not_read_again() {
        let mut order = order();
        order.inputs.insert("reason".into(), json!("{{request.key}}"));
        let text = Text::read("x {{inputs.reason}}").unwrap();
        assert_eq!(text.text(&order).unwrap(), "x {{request.key}}");
    }

    #[test]
    fn what_is_not_a_place_is_told() {
        for bad in ["{{", "{{}}", "{{target}}", "{{target.}}", "{{env.HOME}}", "{{#if inputs.a}}"] {
            assert!(Text::read(bad).is_err(), "{bad}");
        }
        for bad in ["{{lookup inputs \"a\"}}", "{{{inputs.a}}}", "{{steps.build}}"] {
            assert!(Text::read(bad).is_err(), "{bad}");
        }
    }
}
