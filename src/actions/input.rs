//! What an action asks for: kinds of values, and reading what people typed.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use regex::Regex;
use serde::Serialize;
use serde_json::{Number, Value, json};

use crate::catalog::Snapshot;
use crate::catalog::snapshot::Resolution;
use crate::conversation::is_hidden;
use crate::error::Refusal;

/// The most characters of one value.
pub const CHARACTERS_MAX: usize = 4_000;
/// What a whole number may be without a program on the way reading another one.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
/// So much of a wrong value is repeated.
const QUOTED_CHARACTERS_MAX: usize = 80;
/// What an answer shows of a secret.
pub const MASKED: &str = "••••••";

/// One thing that an action asks for.
#[derive(Debug, Clone)]
pub struct Input {
    pub name: String,
    pub title: String,
    pub kind: Kind,
    pub required: bool,
    /// What it is where nobody says it, as people type it.
    pub default: Option<String>,
}

#[derive(Debug, Clone)]
pub enum Kind {
    /// All of it must match `pattern`.
    Text {
        pattern: Option<Regex>,
        least: usize,
        most: usize,
    },
    Number {
        least: Option<f64>,
        most: Option<f64>,
        whole: bool,
    },
    Flag,
    Choice(Vec<String>),
    /// Something of one of these kinds; of any where there are none.
    Entity(Vec<String>),
    Date,
    /// Kept sealed, shown to nobody.
    Secret,
}

impl Kind {
    /// As action files write it.
    pub fn word(&self) -> &'static str {
        match self {
            Kind::Text { .. } => "string",
            Kind::Number { .. } => "number",
            Kind::Flag => "boolean",
            Kind::Choice(_) => "enum",
            Kind::Entity(kinds) => match kinds.first().map(String::as_str) {
                Some("user") => "user",
                Some("group") => "team",
                _ => "entity",
            },
            Kind::Date => "date",
            Kind::Secret => "secret",
        }
    }
}

/// A value that was read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Given {
    pub name: String,
    pub title: String,
    pub value: Value,
    pub is_secret: bool,
}

impl Input {
    /// The value that `typed` stands for.
    ///
    /// # Errors
    /// One that its kind does not take, with what would be.
    pub fn read(&self, typed: &str, snapshot: &Snapshot) -> Result<Value, Refusal> {
        if typed.chars().nth(CHARACTERS_MAX).is_some() {
            return Err(self.wrong(typed, &format!("write at most {CHARACTERS_MAX} characters")));
        }
        match &self.kind {
            Kind::Secret => self.secret(typed),
            Kind::Text { pattern, least, most } => {
                self.text(typed, pattern.as_ref(), *least, *most)
            }
            Kind::Number { least, most, whole } => self.number(typed, *least, *most, *whole),
            Kind::Flag => match typed.trim().to_lowercase().as_str() {
                "true" | "yes" | "on" => Ok(Value::Bool(true)),
                "false" | "no" | "off" => Ok(Value::Bool(false)),
                _ => Err(self.wrong(typed, "say `yes` or `no`")),
            },
            Kind::Choice(choices) => {
                let typed = typed.trim();
                let found = choices.iter().find(|it| *it == typed);
                let found =
                    found.or_else(|| choices.iter().find(|it| it.eq_ignore_ascii_case(typed)));
                let listed =
                    choices.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
                let found =
                    found.ok_or_else(|| self.wrong(typed, &format!("choose one of {listed}")))?;
                Ok(json!(found))
            }
            Kind::Entity(kinds) => self.entity(typed, kinds, snapshot),
            Kind::Date => match NaiveDate::parse_from_str(typed.trim(), "%Y-%m-%d") {
                Ok(date) => Ok(json!(date.to_string())),
                Err(_) => Err(self.wrong(typed, "write a date such as `2026-03-01`")),
            },
        }
    }

    fn text(
        &self,
        typed: &str,
        pattern: Option<&Regex>,
        least: usize,
        most: usize,
    ) -> Result<Value, Refusal> {
        // What an approver cannot see they cannot approve.
        if typed.chars().any(|it| is_hidden(it) && !matches!(it, '\n' | '\t')) {
            return Err(self.wrong(typed, "leave out characters that nobody sees"));
        }
        let length = typed.chars().count();
        if length < least || length > most {
            return Err(self.wrong(typed, &format!("write {least} to {most} characters")));
        }
        match pattern {
            Some(pattern) if !pattern.is_match(typed) => {
                let shown = pattern.as_str();
                let shown = shown
                    .strip_prefix("^(?:")
                    .and_then(|it| it.strip_suffix(")$"))
                    .unwrap_or(shown);
                Err(self.wrong(typed, &format!("it must match `{}`", shown.replace('`', "'"))))
            }
            _ => Ok(json!(typed)),
        }
    }

    fn number(
        &self,
        typed: &str,
        least: Option<f64>,
        most: Option<f64>,
        whole: bool,
    ) -> Result<Value, Refusal> {
        let read = typed.trim().parse::<f64>().ok().filter(|it| it.is_finite());
        let read = read.ok_or_else(|| self.wrong(typed, "write a number"))?;
        if whole && (read.fract() != 0.0 || read.abs() > WHOLE_MAX) {
            return Err(self.wrong(typed, "write a whole number"));
        }
        if least.is_some_and(|least| read < least) || most.is_some_and(|most| read > most) {
            let from = least.map(|it| format!(" from {it}")).unwrap_or_default();
            let to = most.map(|it| format!(" up to {it}")).unwrap_or_default();
            return Err(self.wrong(typed, &format!("write a number{from}{to}")));
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is whole, and within 2^53")]
        let number = match read.fract() == 0.0 && read.abs() <= WHOLE_MAX {
            true => Some(Number::from(read as i64)),
            false => Number::from_f64(read),
        };
        number.map(Value::Number).ok_or_else(|| self.wrong(typed, "write a number"))
    }

    fn entity(&self, typed: &str, kinds: &[String], snapshot: &Snapshot) -> Result<Value, Refusal> {
        let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
        match snapshot.resolve(typed.trim(), &kinds) {
            Resolution::One(entity) => Ok(json!(entity.reference.as_str())),
            Resolution::Several(several) => {
                let shown = several.iter().take(5).map(|it| format!("`{}`", it.reference));
                let shown = shown.collect::<Vec<_>>().join(" or ");
                Err(self.wrong(typed, &format!("it could be {shown}")))
            }
            Resolution::Unknown(closest) => {
                let what = self.kind.word();
                let meant = closest.first().map(|it| format!("; did you mean `{}`?", it.name));
                let meant = meant.unwrap_or_default();
                Err(self.wrong(typed, &format!("there is no such {what}{meant}")))
            }
        }
    }

    fn secret(&self, typed: &str) -> Result<Value, Refusal> {
        match typed.is_empty() {
            true => Err(self.wrong("", "give it in the form")),
            false => Ok(json!(typed)),
        }
    }

    fn wrong(&self, typed: &str, expected: &str) -> Refusal {
        let shown: String = match self.kind {
            Kind::Secret => MASKED.to_string(),
            _ => typed.chars().take(QUOTED_CHARACTERS_MAX).collect(),
        };
        Refusal::InvalidArgument {
            argument: self.name.clone(),
            value: shown,
            expected: expected.to_string(),
        }
    }
}

/// The values of `inputs` as `typed`, by name: in the order of the file, with defaults.
///
/// # Errors
/// A name that none has; a value that is missing, or that its input does not take.
pub fn read(
    inputs: &[Input],
    typed: &[(String, String)],
    snapshot: &Snapshot,
) -> Result<Vec<Given>, Refusal> {
    let mut by_name: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in typed {
        if !inputs.iter().any(|it| it.name == *name) {
            return Err(unknown(inputs, name));
        }
        if by_name.insert(name, value).is_some() {
            return Err(Refusal::InvalidArgument {
                argument: "inputs".into(),
                value: name.clone(),
                expected: "give it once".into(),
            });
        }
    }
    let mut given = Vec::new();
    for input in inputs {
        let typed = by_name.get(input.name.as_str()).copied().or(input.default.as_deref());
        let typed = typed.filter(|it| !it.is_empty());
        let Some(typed) = typed else {
            if input.required {
                return Err(Refusal::MissingArgument {
                    usage: "run".into(),
                    missing: input.name.clone(),
                    given: String::new(),
                });
            }
            continue;
        };
        given.push(Given {
            name: input.name.clone(),
            title: input.title.clone(),
            value: input.read(typed, snapshot)?,
            is_secret: matches!(input.kind, Kind::Secret),
        });
    }
    Ok(given)
}

fn unknown(inputs: &[Input], name: &str) -> Refusal {
    let names: Vec<String> = inputs.iter().map(|it| format!("`{}`", it.name)).collect();
    let expected = match names.is_empty() {
        true => "this action asks for nothing".to_string(),
        false => format!("this action asks for {}", names.join(", ")),
    };
    Refusal::InvalidArgument {
        argument: "inputs".into(),
        value: name.chars().take(QUOTED_CHARACTERS_MAX).collect(),
        expected,
    }
}

/// The names and values that `text` gives: `replicas=3 reason="too many errors" note%=too%20many`.
///
/// After `%=` a value is percent-encoded: so forms write it, in which nothing is lost.
///
/// # Errors
/// Words that give no name a value.
pub fn pairs(text: &str) -> Result<Vec<(String, String)>, Refusal> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let name_end = rest.find(|it: char| it == '=' || it == '%' || it.is_whitespace());
        let name_end = name_end.unwrap_or(rest.len());
        let (name, after) = rest.split_at(name_end);
        if let Some(after) = after.strip_prefix("%=") {
            let end = after.find(char::is_whitespace).unwrap_or(after.len());
            let decoded = percent_decoded(&after[..end]).ok_or_else(|| unreadable(rest))?;
            pairs.push((name.to_string(), decoded));
            rest = after[end..].trim_start();
            continue;
        }
        let after = after.strip_prefix('=').ok_or_else(|| unreadable(rest))?;
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => until_quote(quoted).ok_or_else(|| unreadable(rest))?,
            None => {
                let end = after.find(char::is_whitespace).unwrap_or(after.len());
                (after[..end].to_string(), &after[end..])
            }
        };
        pairs.push((name.to_string(), value));
        rest = left.trim_start();
    }
    Ok(pairs)
}

/// The words that [`pairs`] reads as exactly these.
pub fn words<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let words: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}%={}", percent_encoded(value)))
        .collect();
    words.join(" ")
}

fn until_quote(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.push(characters.next()?.1),
            '"' => return Some((value, &quoted[at + 1..])),
            it => value.push(it),
        }
    }
    None
}

fn percent_encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => encoded.push(char::from(byte)),
            byte => encoded.push_str(&format!("%{byte:02x}")),
        }
    }
    encoded
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

fn unreadable(rest: &str) -> Refusal {
    Refusal::InvalidArgument {
        argument: "inputs".into(),
        value: rest.chars().take(QUOTED_CHARACTERS_MAX).collect(),
        expected: "write each as a name, `=` and its value; in quotes where there are spaces"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(kind: Kind) -> Input {
        Input { name: "it".into(), title: "It".into(), kind, required: true, default: None }
    }

    fn read_one(kind: Kind, typed: &str) -> Option<Value> {
        let snapshot = Snapshot::build(Vec::new(), &[], 1);
        input(kind).read(typed, &snapshot).ok()
    }

    #[test]
    fn what_is_typed_is_read_as_its_kind_says() {
        let number = || Kind::Number { least: Some(1.0), most: Some(10.0), whole: true };
        assert_eq!(read_one(number(), "3"), Some(json!(3)));
        for wrong in ["0", "11", "2.5", "x", "", "NaN", "inf", "1e400"] {
            assert_eq!(read_one(number(), wrong), None, "{wrong}");
        }
        let any = || Kind::Number { least: None, most: None, whole: false };
        assert_eq!(read_one(any(), "2.5"), Some(json!(2.5)));
        assert_eq!(read_one(Kind::Flag, "Yes"), Some(json!(true)));
        assert_eq!(read_one(Kind::Flag, "maybe"), None);
        let choice = || Kind::Choice(vec!["eu".into(), "us".into()]);
        assert_eq!(read_one(choice(), "EU"), Some(json!("eu")));
        assert_eq!(read_one(choice(), "asia"), None);
        assert_eq!(read_one(Kind::Date, "2026-02-28"), Some(json!("2026-02-28")));
        assert_eq!(read_one(Kind::Date, "2026-02-30"), None);
        let text = |pattern: &str| Kind::Text {
            pattern: Regex::new(&format!("^(?:{pattern})$")).ok(),
            least: 1,
            most: 5,
        };
        assert_eq!(read_one(text("[a-z]+"), "abc"), Some(json!("abc")));
        for wrong in ["", "abcdef", "a-b", "a\u{202E}b"] {
            assert_eq!(read_one(text("[a-z\u{202E}]+"), wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_secret_is_never_repeated() {
        let secret = Input { kind: Kind::Secret, ..input(Kind::Flag) };
        let snapshot = Snapshot::build(Vec::new(), &[], 1);
        let long = "hunter2".repeat(CHARACTERS_MAX);
        let refused = secret.read(&long, &snapshot).unwrap_err();
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }

    #[test]
    fn names_and_values_are_told_apart() {
        let pairs = |text: &str| pairs(text).ok();
        let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
        assert_eq!(
            pairs(r#"replicas=3 reason="too \"many\" errors" empty= "#),
            Some(vec![
                pair("replicas", "3"),
                pair("reason", "too \"many\" errors"),
                pair("empty", "")
            ])
        );
        assert_eq!(pairs(""), Some(Vec::new()));
        for wrong in ["replicas", "reason=\"open", "a%=%zz", "a%=%ff"] {
            assert_eq!(pairs(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_a_form_holds_is_read_as_it_was_written() {
        for value in ["", "too many", "a\n\"b\" --c é 🦀 %20", "  'x' `y` \\ = "] {
            let words = words([("note", value), ("other", "1")]);
            assert!(!words.contains(['"', '\'', '`', '\n']), "{words}");
            let expected = [("note".to_string(), value.to_string()), ("other".into(), "1".into())];
            assert_eq!(pairs(&words).unwrap(), expected, "{words}");
        }
    }
}
