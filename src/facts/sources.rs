//! Who reports facts, and which, as the settings say.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Kind;
use crate::config::SecretReference;

/// Every source of facts. A key belongs to one of them, so that nobody overwrites what another knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources(pub Vec<Source>);

/// One that reports facts: a pipeline, a scanner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub name: String,
    /// What it shows over HTTP; `None`: it reports only from where the database is.
    pub token: Option<SecretReference>,
    pub keys: BTreeMap<String, Key>,
}

/// What is known of the facts of one key before there is any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub kind: Kind,
    /// How long one holds after it was observed; `None`: until another takes its place.
    pub valid_for: Option<Duration>,
}

/// The kinds that facts may be of, by the words of the settings.
pub const KINDS: [&str; 5] = ["bool", "number", "text", "time", "list"];

/// The most bytes of the name of a source or a key.
const NAME_BYTES_MAX: usize = 64;

impl Sources {
    pub fn find(&self, name: &str) -> Option<&Source> {
        self.0.iter().find(|source| source.name == name)
    }

    /// The key that is called `name`, and whose it is.
    pub fn key(&self, name: &str) -> Option<(&Source, &Key)> {
        self.0.iter().find_map(|source| Some((source, source.keys.get(name)?)))
    }

    /// Every key with the kind of its facts.
    pub fn kinds(&self) -> BTreeMap<&str, &Kind> {
        let keys = self.0.iter().flat_map(|source| &source.keys);
        keys.map(|(name, key)| (name.as_str(), &key.kind)).collect()
    }
}

/// The kind that the settings call `word`.
pub fn kind(word: &str) -> Option<Kind> {
    match word {
        "bool" => Some(Kind::Bool),
        "number" => Some(Kind::Number),
        "text" => Some(Kind::Text),
        "time" => Some(Kind::Time),
        "list" => Some(Kind::list(Kind::Text)),
        _ => None,
    }
}

/// Whether a source or a key may be called `name`: `coverage`, `ci.green`.
pub fn is_name(name: &str) -> bool {
    let may_follow =
        |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || matches!(it, b'_' | b'.' | b'-');
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|it: char| it.is_ascii_lowercase())
        && name.bytes().all(may_follow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_need_no_quotes() {
        for good in ["a", "coverage", "ci.green", "sonar-2.open_issues", &"a".repeat(64)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "Coverage", "2fa", ".a", "a b", "a/b", "ä", "a\0", &"a".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn every_word_is_a_kind_and_says_itself() {
        for word in KINDS {
            let said = kind(word).unwrap().to_string();
            assert!(said.starts_with(word), "{word}: {said}");
        }
        assert_eq!(kind("string"), None);
    }
}
