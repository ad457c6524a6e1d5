//! What differs between two versions of an entity.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One field that is not what it was; `null` where there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// `spec.owner`; lists are compared as a whole.
    pub path: String,
    pub before: Value,
    pub after: Value,
}

/// A changed API definition would otherwise be kept twice more.
const VALUE_BYTES_MAX: usize = 1_024;

/// More than this is another entity.
const FIELDS_MAX: usize = 100;

/// The fields of `after` that differ from `before`, in the order of their paths; long values are cut.
pub fn changes(before: &Value, after: &Value) -> Vec<FieldChange> {
    let mut found = Vec::new();
    compare(String::new(), before, after, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.truncate(FIELDS_MAX);
    found
}

fn compare(path: String, before: &Value, after: &Value, found: &mut Vec<FieldChange>) {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        if before != after {
            found.push(FieldChange { path, before: cut(before), after: cut(after) });
        }
        return;
    };
    let added = new.keys().filter(|key| !old.contains_key(*key));
    for key in old.keys().chain(added) {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let [before, after] = [old, new].map(|it| it.get(key).unwrap_or(&Value::Null));
        compare(path, before, after, found);
    }
}

fn cut(value: &Value) -> Value {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => value.to_string(),
        small => return small.clone(),
    };
    if text.len() <= VALUE_BYTES_MAX {
        return value.clone();
    }
    let end = text.floor_char_boundary(VALUE_BYTES_MAX);
    Value::String(format!("{}…", &text[..end]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(before: Value, after: Value) -> Vec<String> {
        let changes = changes(&before, &after);
        changes.iter().map(|it| format!("{} {} {}", it.path, it.before, it.after)).collect()
    }

    #[test]
    fn each_field_is_named_by_its_path() {
        let before =
            json!({"spec": {"owner": "a", "type": "service"}, "metadata": {"tags": ["x"]}});
        let after =
            json!({"spec": {"owner": "b", "type": "service"}, "metadata": {"tags": ["x", "y"]}});
        assert_eq!(
            said(before, after),
            ["metadata.tags [\"x\"] [\"x\",\"y\"]", "spec.owner \"a\" \"b\""]
        );
    }

    #[test]
    fn what_comes_and_goes_is_a_change_from_and_to_nothing() {
        assert_eq!(said(json!({"a": 1}), json!({"b": 2})), ["a 1 null", "b null 2"]);
        assert!(said(json!({"a": {"b": 1}}), json!({"a": {"b": 1}})).is_empty());
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = "é".repeat(VALUE_BYTES_MAX);
        let change = &changes(&json!({"a": ""}), &json!({"a": long}))[0];
        assert_eq!(change.after, json!(format!("{}…", "é".repeat(VALUE_BYTES_MAX / 2))));
    }
}
