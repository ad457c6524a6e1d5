//! YAML as a tree that knows its lines, read key by key so that every mistake is told, not the first.

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use crate::catalog::{Problem, Severity};

/// The most bytes of one file of the portal.
const FILE_BYTES_MAX: usize = 1 << 20;

/// A value, and where it starts.
#[derive(Debug, Clone)]
pub struct Node {
    pub value: Value,
    pub place: Place,
}

/// From 1, as editors count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

#[derive(Debug, Clone)]
pub enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file; no key twice.
    Map(Vec<(Key, Node)>),
}

#[derive(Debug, Clone)]
pub struct Key {
    pub text: String,
    pub place: Place,
}

impl Place {
    pub const START: Place = Place { line: 1, column: 1 };

    fn of(location: Location) -> Place {
        Place { line: location.line().max(1) as u32, column: location.column().max(1) as u32 }
    }
}

impl Value {
    /// What it is, in words of a person.
    pub fn what(&self) -> &'static str {
        match self {
            Value::Null => "empty",
            Value::Bool(_) => "true or false",
            Value::Integer(_) | Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// The one document of `text`; an empty file is an empty mapping.
///
/// # Errors
/// What is wrong with the YAML, and where.
pub fn read(text: &str, file: &str) -> Result<Node, Problem> {
    if text.len() > FILE_BYTES_MAX {
        let message = format!("The file has more than {FILE_BYTES_MAX} bytes.");
        return Err(problem(file, Place::START, "yaml", message, "Split it or shorten it."));
    }
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    match serde_saphyr::from_str_with_options::<Option<Spanned<Value>>>(text, options) {
        Ok(Some(root)) => Ok(Node::from(root)),
        Ok(None) => Ok(Node { value: Value::Null, place: Place::START }),
        Err(error) => {
            let place = error.location().map_or(Place::START, Place::of);
            let message = format!("This is not valid YAML: {}.", without_place(&error));
            let hint = "Look at the indentation, quotes and colons of this line and the one above.";
            Err(problem(file, place, "yaml", message, hint))
        }
    }
}

/// The sentence of `error` without its ` at line 2, column 4`, which the problem says already.
fn without_place(error: &serde_saphyr::Error) -> String {
    if let serde_saphyr::Error::MultipleDocuments { .. } = error.without_snippet() {
        return "there is a second document, after `---`".to_string();
    }
    let sentence = error.without_snippet().to_string();
    let first_line = sentence.lines().next().unwrap_or_default();
    first_line.split(" at line ").next().unwrap_or(first_line).to_string()
}

pub fn problem(
    file: &str,
    place: Place,
    rule: &str,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Problem {
    Problem {
        file: file.to_string(),
        document: 0,
        line: place.line,
        column: place.column,
        reference: None,
        severity: Severity::Error,
        rule: rule.to_string(),
        message: message.into(),
        hint: hint.into(),
    }
}

/// The keys of one mapping, taken one by one; what is wrong with them goes to `problems`.
pub struct Fields<'a> {
    pub file: &'a str,
    pub place: Place,
    entries: Vec<(Key, Node)>,
    known: Vec<&'static str>,
    pub problems: &'a mut Vec<Problem>,
}

impl<'a> Fields<'a> {
    /// `None`, and a problem, when `node` is not a mapping; an empty value is an empty one.
    pub fn of(
        node: Node,
        what: &str,
        file: &'a str,
        problems: &'a mut Vec<Problem>,
    ) -> Option<Fields<'a>> {
        let entries = match node.value {
            Value::Map(entries) => entries,
            Value::Null => Vec::new(),
            other => {
                problems.push(wrong_type(file, node.place, what, "a mapping of keys", &other));
                return None;
            }
        };
        Some(Fields { file, place: node.place, entries, known: Vec::new(), problems })
    }

    /// The value of `key`; `None` when it is missing or empty.
    pub fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        let at = self.entries.iter().position(|(it, _)| it.text == key)?;
        let (_, node) = self.entries.remove(at);
        (!matches!(node.value, Value::Null)).then_some(node)
    }

    /// Text with something in it.
    pub fn text(&mut self, key: &'static str) -> Option<(String, Place)> {
        let node = self.take(key)?;
        self.as_text(node, key)
    }

    /// A list of texts; one text alone counts as a list of one.
    pub fn texts(&mut self, key: &'static str) -> Option<Vec<(String, Place)>> {
        let node = self.take(key)?;
        match node.value {
            Value::List(items) => {
                Some(items.into_iter().filter_map(|item| self.as_text(item, key)).collect())
            }
            _ => self.as_text(node, key).map(|text| vec![text]),
        }
    }

    /// Every key that is left, as its owner chose it: names of aliases, of secrets.
    pub fn rest(&mut self) -> Vec<(Key, Node)> {
        std::mem::take(&mut self.entries)
    }

    /// Call it last: what is left are keys that nobody asked for.
    pub fn refuse_unknown(mut self) {
        for (key, _) in std::mem::take(&mut self.entries) {
            let hint = match closest(&key.text, self.known.iter().copied()) {
                Some(known) => format!("Did you mean `{known}`?"),
                None => format!("The keys here are {}.", quoted(&self.known)),
            };
            let message = format!("There is no setting `{}` here.", key.text);
            self.problem(key.place, "unknown-key", message, hint);
        }
    }

    pub fn as_text(&mut self, node: Node, what: &str) -> Option<(String, Place)> {
        match node.value {
            Value::Text(text) if !text.trim().is_empty() => Some((text, node.place)),
            Value::Text(_) => {
                let message = format!("`{what}` is empty.");
                self.problem(node.place, "type", message, "Give it a value, or leave it out.");
                None
            }
            other => {
                self.problems.push(wrong_type(self.file, node.place, what, "text", &other));
                None
            }
        }
    }

    pub fn problem(
        &mut self,
        place: Place,
        rule: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.problems.push(problem(self.file, place, rule, message, hint));
    }
}

/// It tells the type of `found` and never its value, which may be a secret in the wrong place.
pub fn wrong_type(file: &str, place: Place, what: &str, wanted: &str, found: &Value) -> Problem {
    let message = format!("`{what}` should be {wanted} and is {}.", found.what());
    let hint = match found {
        Value::Bool(_) | Value::Integer(_) | Value::Float(_) if wanted == "text" => {
            "Put it in quotes.".to_string()
        }
        _ => format!("Write {wanted}."),
    };
    problem(file, place, "type", message, hint)
}

/// The one of `names` that `typed` was probably meant to be.
pub fn closest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |name: &str| strsim::jaro_winkler(&typed.to_lowercase(), name);
    let close = names.into_iter().filter(|name| likeness(name) >= LIKENESS_MIN);
    close.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}

/// Below it, two words have little more in common than their letters.
const LIKENESS_MIN: f64 = 0.8;

fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

impl From<Spanned<Value>> for Node {
    fn from(spanned: Spanned<Value>) -> Node {
        Node { value: spanned.value, place: Place::of(spanned.referenced) }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, it: bool) -> Result<Value, E> {
        Ok(Value::Bool(it))
    }

    fn visit_i64<E>(self, it: i64) -> Result<Value, E> {
        Ok(Value::Integer(it))
    }

    fn visit_u64<E>(self, it: u64) -> Result<Value, E> {
        Ok(i64::try_from(it).map_or(Value::Float(it as f64), Value::Integer))
    }

    fn visit_f64<E>(self, it: f64) -> Result<Value, E> {
        Ok(Value::Float(it))
    }

    fn visit_str<E>(self, it: &str) -> Result<Value, E> {
        Ok(Value::Text(it.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Value>>()? {
            list.push(Node::from(item));
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<Value>>()? {
            let Value::Text(text) = key.value else {
                return Err(de::Error::custom(format!("a key is {}, not text", key.value.what())));
            };
            let key = Key { text, place: Place::of(key.referenced) };
            map.push((key, Node::from(entries.next_value::<Spanned<Value>>()?)));
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_and_key_knows_where_it_starts() {
        let root = read("a: 1\nb:\n  - x: yes\n    y: [true, null, 2.5]\n", "f").unwrap();
        let Value::Map(map) = root.value else { panic!() };
        assert_eq!((map[1].0.text.as_str(), map[1].0.place.line), ("b", 2));
        let Value::List(list) = &map[1].1.value else { panic!() };
        let Value::Map(inner) = &list[0].value else { panic!() };
        assert_eq!(inner[1].0.place, Place { line: 4, column: 5 });
        assert!(matches!(&inner[0].1.value, Value::Text(it) if it == "yes"));
        let Value::List(values) = &inner[1].1.value else { panic!() };
        assert_eq!(values[2].place, Place { line: 4, column: 21 });
        assert!(matches!(values[0].value, Value::Bool(true)));
        assert!(matches!(values[1].value, Value::Null));
    }

    #[test]
    fn what_is_not_yaml_is_told_with_its_line() {
        for (text, line) in [
            ("a: 1\nb: [\n", 2),
            ("a: 1\na: 2\n", 2),
            ("a:\n\t- 1\n", 2),
            ("? [a]\n: 1\n", 1),
            ("a: 1\n---\nb: 1\n", 3),
        ] {
            let problem = read(text, "f").unwrap_err();
            assert_eq!(problem.line, line, "{text:?}: {problem:?}");
            assert!(!problem.message.contains("line"), "{problem:?}");
        }
        assert!(matches!(read("", "f").unwrap().value, Value::Null));
        assert!(matches!(read("# nothing\n", "f").unwrap().value, Value::Null));
    }
}
