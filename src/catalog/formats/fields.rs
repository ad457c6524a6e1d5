//! The keys of a YAML file taken one by one, so that every mistake is told, not only the first.

use std::time::Duration;

use super::yaml::{self, Content, Entry, Node, Position};
use crate::catalog::{Problem, Severity};

/// Where a file starts.
pub const START: Position = Position { line: 1, column: 1 };

/// The most bytes of one file.
const FILE_BYTES_MAX: usize = 1 << 20;
/// Below it, two words have little more in common than their letters.
const LIKENESS_MIN: f64 = 0.8;
/// So much of a word is repeated.
const WORD_CHARACTERS_MAX: usize = 80;
const DAY_S: u64 = 24 * 60 * 60;

/// The one document of `text`; an empty file is an empty value.
///
/// # Errors
/// What is wrong with the YAML, and where.
pub fn read(text: &str, file: &str) -> Result<Node, Box<Problem>> {
    if text.len() > FILE_BYTES_MAX {
        let message = format!("The file has more than {FILE_BYTES_MAX} bytes.");
        return Err(Box::new(problem(file, START, "yaml", message, "Split it or shorten it.")));
    }
    let mut documents = yaml::documents(text);
    let Some(first) = documents.next() else {
        return Ok(Node { content: Content::Null, at: START });
    };
    let root = first.root.map_err(|broken| {
        let hint = "Look at the indentation, quotes and colons of this line and the one above.";
        Box::new(problem(file, broken.at, "yaml", broken.reason.to_string(), hint))
    })?;
    match documents.next() {
        None => Ok(root),
        Some(second) => {
            let message = "A second document starts here.";
            let hint = "Remove the `---`; everything belongs into one.";
            Err(Box::new(problem(file, second.at, "yaml", message, hint)))
        }
    }
}

/// The keys of one mapping; what is wrong with them goes to `problems`.
pub struct Fields<'a> {
    pub file: &'a str,
    pub at: Position,
    entries: Vec<Entry>,
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
        if !node.is_mapping() && !node.is_null() {
            problems.push(wrong_type(file, what, "a mapping of keys", &node));
            return None;
        }
        let at = node.at;
        Some(Fields { file, at, entries: node.into_entries(), known: Vec::new(), problems })
    }

    /// The value of `key`; `None` when it is missing or empty.
    pub fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        let place = self.entries.iter().position(|it| it.key == key)?;
        let node = self.entries.remove(place).value;
        (!node.is_null()).then_some(node)
    }

    /// The text of `key`, with something in it.
    pub fn text(&mut self, key: &'static str) -> Option<(String, Position)> {
        let node = self.take(key)?;
        self.as_text(node, key)
    }

    /// The text of `key`, which must be there.
    pub fn required(&mut self, key: &'static str) -> Option<(String, Position)> {
        let Some(node) = self.take(key) else {
            let message = format!("`{key}` is missing.");
            self.problem(self.at, "required-field", message, format!("Add `{key}: …`."));
            return None;
        };
        self.as_text(node, key)
    }

    /// The items of the list `key`; one value alone is a list of one.
    pub fn items(&mut self, key: &'static str) -> Vec<Node> {
        match self.take(key) {
            None => Vec::new(),
            Some(Node { content: Content::List(items), .. }) => items,
            Some(node) => vec![node],
        }
    }

    /// A length of time from `least` to `most`.
    pub fn duration(
        &mut self,
        key: &'static str,
        least: Duration,
        most: Duration,
    ) -> Option<Duration> {
        let node = self.take(key)?;
        let parsed = match &node.content {
            Content::Text(text) => parse_duration(text),
            _ => None,
        };
        match parsed {
            Some(duration) if (least..=most).contains(&duration) => parsed,
            Some(_) => {
                let message = format!("`{key}` is too short or too long.");
                let days = most.as_secs() / DAY_S;
                let hint = format!("It may be from {} s to {days} d.", least.as_secs());
                self.problem(node.at, "duration", message, hint);
                None
            }
            None => {
                let message = format!("`{key}` is not a length of time.");
                let hint = "Write a number and one of `s`, `m`, `h`, `d`, `w`, such as `7d`.";
                self.problem(node.at, "duration", message, hint);
                None
            }
        }
    }

    /// `true` or `false`.
    pub fn flag(&mut self, key: &'static str) -> Option<bool> {
        let node = self.take(key)?;
        let Content::Bool(flag) = node.content else {
            self.problems.push(wrong_type(self.file, key, "`true` or `false`", &node));
            return None;
        };
        Some(flag)
    }

    /// A list of texts; one text alone counts as a list of one.
    pub fn texts(&mut self, key: &'static str) -> Option<Vec<(String, Position)>> {
        let node = self.take(key)?;
        match node.content {
            Content::List(items) => {
                Some(items.into_iter().filter_map(|item| self.as_text(item, key)).collect())
            }
            _ => self.as_text(node, key).map(|text| vec![text]),
        }
    }

    /// The entries of the mapping `key`, whose keys are names that the file's author chose.
    pub fn named(&mut self, key: &'static str) -> Vec<Entry> {
        let Some(node) = self.take(key) else { return Vec::new() };
        let inner = Fields::of(node, key, self.file, self.problems);
        inner.map(|inner| inner.entries).unwrap_or_default()
    }

    /// Whether `key` is there, and nobody took it yet.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// Whether there is a key that is none of `keys`.
    pub fn has_other_than(&self, keys: &[&str]) -> bool {
        self.entries.iter().any(|entry| !keys.contains(&entry.key.as_str()))
    }

    /// Call it last: what is left are keys that nobody asked for.
    pub fn refuse_unknown(mut self) {
        for entry in std::mem::take(&mut self.entries) {
            let hint = match closest(&entry.key, self.known.iter().copied()) {
                Some(known) => format!("Did you mean `{known}`?"),
                None => format!("The keys here are {}.", quoted(&self.known)),
            };
            let message = format!("There is no key `{}` here.", entry.key);
            self.problem(entry.key_at, "unknown-key", message, hint);
        }
    }

    pub fn as_text(&mut self, node: Node, what: &str) -> Option<(String, Position)> {
        match node.content {
            Content::Text(text) if !text.trim().is_empty() => Some((text, node.at)),
            Content::Text(_) => {
                let message = format!("`{what}` is empty.");
                self.problem(node.at, "type", message, "Give it a value, or leave it out.");
                None
            }
            _ => {
                self.problems.push(wrong_type(self.file, what, "text", &node));
                None
            }
        }
    }

    /// Says that `word` is none of the words that `key` takes.
    pub fn not_one_of(&mut self, at: Position, key: &str, word: &str, known: &[&str]) {
        let hint = match closest(word, known.iter().copied()) {
            Some(known) => format!("Did you mean `{known}`?"),
            None => format!("There are {}.", known.join(", ")),
        };
        let word: String = word.chars().take(WORD_CHARACTERS_MAX).collect();
        self.problem(at, "choice", format!("`{word}` is no `{key}`."), hint);
    }

    pub fn problem(
        &mut self,
        at: Position,
        rule: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.problems.push(problem(self.file, at, rule, message, hint));
    }
}

/// `30s`, `5m`, `12h`, `7d`, `2w`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => DAY_S,
        'w' => 7 * DAY_S,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// An error in `file`.
pub fn problem(
    file: &str,
    at: Position,
    rule: &str,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Problem {
    Problem {
        file: file.to_string(),
        document: 0,
        line: at.line,
        column: at.column,
        reference: None,
        severity: Severity::Error,
        rule: rule.to_string(),
        message: message.into(),
        hint: hint.into(),
    }
}

/// It tells the type of `found` and never its value, which may be a secret in the wrong place.
pub fn wrong_type(file: &str, what: &str, wanted: &str, found: &Node) -> Problem {
    let message = format!("`{what}` should be {wanted} and is {}.", found.what());
    let hint = match found.content {
        Content::Bool(_) | Content::Number(_) if wanted == "text" => "Put it in quotes.".into(),
        _ => format!("Write {wanted}."),
    };
    problem(file, found.at, "type", message, hint)
}

/// The one of `names` that `typed` was probably meant to be.
pub fn closest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let likeness = |name: &str| strsim::jaro_winkler(&typed, &name.to_lowercase());
    let close = names.into_iter().filter(|name| likeness(name) >= LIKENESS_MIN);
    close.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}

fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_one_document_of_yaml_is_told_with_its_line() {
        for (text, line) in
            [("a: 1\nb: [\n", 2), ("a: 1\na: 2\n", 2), ("a:\n\t- 1\n", 2), ("a: 1\n---\nb: 1\n", 2)]
        {
            let problem = read(text, "f").unwrap_err();
            assert_eq!(problem.line, line, "{text:?}: {problem:?}");
        }
        for empty in ["", "# nothing\n", "---\n"] {
            assert!(read(empty, "f").unwrap().is_null(), "{empty:?}");
        }
    }

    #[test]
    fn a_key_nobody_asked_for_is_told_with_the_closest_one() {
        let mut problems = Vec::new();
        let root = read("refresh: 5m\nrefesh: 5m\n", "f").unwrap();
        let mut fields = Fields::of(root, "f", "f", &mut problems).unwrap();
        assert_eq!(fields.text("refresh").unwrap().0, "5m");
        fields.refuse_unknown();
        assert_eq!((problems[0].line, problems[0].column), (2, 1));
        assert_eq!(problems[0].hint, "Did you mean `refresh`?");
    }
}
