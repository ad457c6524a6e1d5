//! What a rule asks, in a form that several products can say.

use std::collections::BTreeMap;

use crate::facts::Kind;

/// True, false, or unknown where a fact is missing.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    All(Vec<Ask>),
    Any(Vec<Ask>),
    Not(Box<Ask>),
    Test(Of, Test),
}

/// What is asked about.
#[derive(Debug, Clone, PartialEq)]
pub enum Of {
    /// A text of the entity: `description`.
    Text(&'static str),
    /// A list of it: `owners`.
    Many(&'static str),
    /// Its links of one type.
    Links(String),
    /// Whether an annotation names its repository; only [`Test::Empty`].
    Repository,
    Fact(String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    Is(Literal),
    OneOf(Vec<Literal>),
    /// Of a number, or of how long a text or a list is: `<`, `<=`, `>`, `>=`, `==`.
    Compare(&'static str, f64),
    Contains(String),
    StartsWith(String),
    EndsWith(String),
    /// A pattern that may be anywhere in the text.
    Matches(String),
    /// A list of texts has this one.
    Has(String),
    Empty,
    /// A time that is no longer ago, in seconds.
    Within(i64),
    /// A time before or after another, in RFC 3339.
    Time(&'static str, String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Bool(bool),
    Number(f64),
    Text(String),
}

/// Texts of an entity, and its lists.
pub const TEXTS: [&str; 8] =
    ["name", "title", "description", "type", "lifecycle", "tier", "system", "on_call"];
pub const LISTS: [&str; 7] =
    ["tags", "channels", "owners", "depends_on", "links", "provides", "consumes"];

/// Annotations that name a repository.
pub const REPOSITORIES: [&str; 4] = [
    "github.com/project-slug",
    "gitlab.com/project-slug",
    "bitbucket.com/project-slug",
    "dev.azure.com/project-repo",
];

pub type Kinds = BTreeMap<String, Kind>;

impl Ask {
    pub fn denied(self) -> Ask {
        match self {
            Ask::Not(inner) => *inner,
            other => Ask::Not(Box::new(other)),
        }
    }

    /// That a bool fact is `value`.
    pub fn flag(key: &str, value: bool) -> Ask {
        let is = Ask::Test(Of::Fact(key.to_string()), Test::Is(Literal::Bool(true)));
        if value { is } else { is.denied() }
    }

    /// Adds the facts that are asked for, with the kinds that the questions give them.
    ///
    /// # Errors
    /// A fact of two kinds, as the end of a sentence.
    pub fn facts(&self, kinds: &mut Kinds) -> Result<(), String> {
        match self {
            Ask::All(parts) | Ask::Any(parts) => parts.iter().try_for_each(|it| it.facts(kinds)),
            Ask::Not(inner) => inner.facts(kinds),
            Ask::Test(Of::Fact(key), test) => {
                let kind = test.kind();
                match kinds.get(key) {
                    Some(known) if *known != kind => Err(format!(
                        "it takes the fact `{key}` for a {kind}, and another rule for a {known}"
                    )),
                    _ => {
                        kinds.insert(key.clone(), kind);
                        Ok(())
                    }
                }
            }
            Ask::Test(..) => Ok(()),
        }
    }

    /// As rules are written.
    pub fn to_cel(&self) -> String {
        match self {
            Ask::All(parts) => joined(parts, " && "),
            Ask::Any(parts) => joined(parts, " || "),
            Ask::Not(inner) => match &**inner {
                Ask::Test(of, test) => test.negated(of),
                other => format!("!({})", other.to_cel()),
            },
            Ask::Test(of, test) => test.said(of),
        }
    }
}

fn joined(parts: &[Ask], by: &str) -> String {
    let said: Vec<String> = parts
        .iter()
        .map(|it| match it {
            Ask::All(_) | Ask::Any(_) => format!("({})", it.to_cel()),
            _ => it.to_cel(),
        })
        .collect();
    said.join(by)
}

impl Test {
    /// The kind of the fact that it asks for.
    fn kind(&self) -> Kind {
        match self {
            Test::Is(literal) => literal.kind(),
            Test::OneOf(some) => some.first().map_or(Kind::Text, Literal::kind),
            Test::Compare(..) => Kind::Number,
            Test::Has(_) => Kind::list(Kind::Text),
            Test::Within(_) | Test::Time(..) => Kind::Time,
            _ => Kind::Text,
        }
    }

    fn said(&self, of: &Of) -> String {
        let whose = of.said();
        match self {
            Test::Is(Literal::Bool(true)) => whose,
            Test::Is(literal) => format!("{whose} == {}", literal.said()),
            Test::OneOf(some) => {
                let some: Vec<String> = some.iter().map(Literal::said).collect();
                format!("{whose} in [{}]", some.join(", "))
            }
            Test::Compare(op, number) => format!("{} {op} {}", of.counted(), plain(*number)),
            Test::Contains(text) => format!("{whose}.contains({})", quoted(text)),
            Test::StartsWith(text) => format!("{whose}.startsWith({})", quoted(text)),
            Test::EndsWith(text) => format!("{whose}.endsWith({})", quoted(text)),
            Test::Matches(pattern) => format!("{whose}.matches({})", quoted(pattern)),
            Test::Has(text) => format!("{} in {whose}", quoted(text)),
            Test::Empty => match of {
                Of::Text(_) | Of::Fact(_) => format!("{whose} == \"\""),
                Of::Many(_) => format!("size({whose}) == 0"),
                Of::Links(_) | Of::Repository => format!("!{whose}"),
            },
            Test::Within(seconds) => format!("now - {whose} <= duration(\"{seconds}s\")"),
            Test::Time(op, time) => format!("{whose} {op} timestamp({})", quoted(time)),
        }
    }

    fn negated(&self, of: &Of) -> String {
        let whose = of.said();
        match (self, of) {
            (Test::Is(Literal::Bool(true)), _) => format!("!{whose}"),
            (Test::Is(literal), _) => format!("{whose} != {}", literal.said()),
            (Test::Empty, Of::Text(_) | Of::Fact(_)) => format!("{whose} != \"\""),
            (Test::Empty, Of::Many(_)) => format!("size({whose}) > 0"),
            (Test::Empty, Of::Links(_) | Of::Repository) => whose,
            _ => format!("!({})", self.said(of)),
        }
    }
}

impl Of {
    fn said(&self) -> String {
        match self {
            Of::Text(field) | Of::Many(field) => format!("entity.{field}"),
            Of::Links(class) => format!("entity.links.exists(it, it.type == {})", quoted(class)),
            Of::Repository => {
                let names: Vec<String> = REPOSITORIES.iter().map(|it| quoted(it)).collect();
                format!("[{}].exists(it, it in entity.annotations)", names.join(", "))
            }
            Of::Fact(key) => match key.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_') {
                true => format!("facts.{key}"),
                false => format!("facts[{}]", quoted(key)),
            },
        }
    }

    /// How long it is, or a fact itself.
    fn counted(&self) -> String {
        match self {
            Of::Fact(_) => self.said(),
            Of::Links(class) => {
                format!("size(entity.links.filter(it, it.type == {}))", quoted(class))
            }
            _ => format!("size({})", self.said()),
        }
    }
}

impl Literal {
    fn kind(&self) -> Kind {
        match self {
            Literal::Bool(_) => Kind::Bool,
            Literal::Number(_) => Kind::Number,
            Literal::Text(_) => Kind::Text,
        }
    }

    fn said(&self) -> String {
        match self {
            Literal::Bool(it) => it.to_string(),
            Literal::Number(it) => plain(*it),
            Literal::Text(it) => quoted(it),
        }
    }
}

/// A number as people write it.
pub fn plain(number: f64) -> String {
    match number.fract() == 0.0 && number.abs() < 1e15 {
        true => format!("{number:.0}"),
        false => number.to_string(),
    }
}

/// In quotes, as CEL, CQL, JSON and YAML all read them.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// `hasReadme` and `Has readme?` as the key of a fact: `has_readme`.
pub fn key(name: &str) -> String {
    let mut key = String::new();
    let mut was_lower = false;
    for character in name.chars() {
        match character {
            it if it.is_ascii_uppercase() => {
                if was_lower {
                    key.push('_');
                }
                key.push(it.to_ascii_lowercase());
            }
            it if it.is_ascii_lowercase() || it.is_ascii_digit() || matches!(it, '.' | '-') => {
                key.push(it);
            }
            _ if key.ends_with('_') => {}
            _ => key.push('_'),
        }
        was_lower = character.is_ascii_lowercase() || character.is_ascii_digit();
    }
    let key = key.trim_matches('_');
    let start = if key.starts_with(|it: char| it.is_ascii_lowercase()) { "" } else { "f_" };
    let key: String = format!("{start}{key}").chars().take(64).collect();
    key
}
