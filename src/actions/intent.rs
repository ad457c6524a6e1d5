//! What exactly is approved: a hash of all of it, the same wherever it is computed.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// So many hexadecimal digits of an intent people read.
pub const SHOWN_DIGITS: usize = 8;

/// SHA-256 of the canonical JSON of what is to be done: of which action and which revision of it, to what, with which
/// inputs, and with what was fixed when it was asked for.
///
/// An input that is a secret stands in `inputs` as a code that only the instance's key makes of it.
pub fn intent(
    action: &str,
    revision: &str,
    target: Option<&str>,
    inputs: &Map<String, Value>,
    pinned: &Map<String, Value>,
) -> [u8; 32] {
    let all = serde_json::json!({
        "action": action,
        "revision": revision,
        "target": target,
        "inputs": inputs,
        "pinned": pinned,
    });
    Sha256::digest(canonical(&all)).into()
}

/// As people read it.
pub fn shown(intent: &[u8]) -> String {
    let mut digits = hex::encode(intent);
    digits.truncate(SHOWN_DIGITS);
    digits
}

/// JSON with the keys of each object in the order of their bytes, and no space between.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(entries) => {
            let mut entries: Vec<(&String, &Value)> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_bytes());
            text.push('{');
            for (place, (key, value)) in entries.into_iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_keys_is_nothing() {
        let one: Value =
            serde_json::from_str(r#"{"b": [1, {"y": null, "x": "é\n"}], "a": 1.5}"#).unwrap();
        let other: Value =
            serde_json::from_str(r#"{"a":1.5,"b":[1,{"x":"é\n","y":null}]}"#).unwrap();
        assert_eq!(canonical(&one), canonical(&other));
        assert_eq!(canonical(&one), r#"{"a":1.5,"b":[1,{"x":"é\n","y":null}]}"#);
    }

    #[test]
    fn every_part_of_what_is_approved_changes_it() {
        let object = |value: Value| value.as_object().unwrap().clone();
        let inputs = object(json!({"replicas": 2}));
        let pinned = object(json!({"commit": "abc"}));
        let one = intent("restart", "r1", Some("component:default/a"), &inputs, &pinned);
        let others = [
            intent("stop", "r1", Some("component:default/a"), &inputs, &pinned),
            intent("restart", "r2", Some("component:default/a"), &inputs, &pinned),
            intent("restart", "r1", Some("component:default/b"), &inputs, &pinned),
            intent("restart", "r1", None, &inputs, &pinned),
            intent(
                "restart",
                "r1",
                Some("component:default/a"),
                &object(json!({"replicas": "2"})),
                &pinned,
            ),
            intent(
                "restart",
                "r1",
                Some("component:default/a"),
                &inputs,
                &object(json!({"commit": "abd"})),
            ),
        ];
        for other in others {
            assert_ne!(one, other);
        }
        assert_eq!(shown(&one).len(), SHOWN_DIGITS);
    }
}
