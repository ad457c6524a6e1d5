//! References to entities: `[kind:][namespace/]name`.
//!
//! Source: Backstage `catalog-model/src/entity/ref.ts`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_normalization::UnicodeNormalization;

/// The canonical form `kind:namespace/name`, all lower case, accents composed (NFC): what entities are keyed and
/// compared by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityRef {
    text: Box<str>,
    colon: u32,
    slash: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    #[error("`{text}` has no kind, and this field has no default kind")]
    NoKind { text: String },
    #[error("`{text}` is not a reference `[kind:][namespace/]name`")]
    Malformed { text: String },
}

impl EntityRef {
    pub fn new(kind: &str, namespace: &str, name: &str) -> EntityRef {
        let mut text = format!("{kind}:{namespace}/{name}").to_lowercase();
        if !text.is_ascii() {
            text = text.nfc().collect();
        }
        let text = text.into_boxed_str();
        let colon = text.find(':').unwrap_or(0);
        let slash = colon + text[colon..].find('/').unwrap_or(0);
        EntityRef { text, colon: colon as u32, slash: slash as u32 }
    }

    /// `text` as it is, where it is canonical ASCII: what the database and the copy on disk have by the hundred
    /// thousand.
    fn canonical(text: &str) -> Option<EntityRef> {
        let is_plain = |it: u8| it.is_ascii_graphic() && !it.is_ascii_uppercase();
        let colon = text.find(':').filter(|colon| *colon > 0)?;
        let slash = text.find('/').filter(|slash| *slash > colon + 1 && slash + 1 < text.len())?;
        text.bytes().all(is_plain).then(|| EntityRef {
            text: text.into(),
            colon: colon as u32,
            slash: slash as u32,
        })
    }

    /// Reads `[kind:][namespace/]name`; what is left out is taken from the defaults.
    ///
    /// # Errors
    /// An empty part, or no kind where there is no default.
    pub fn parse(
        text: &str,
        default_kind: Option<&str>,
        default_namespace: &str,
    ) -> Result<EntityRef, ReferenceError> {
        let malformed = || ReferenceError::Malformed { text: text.to_string() };
        if let Some(canonical) = EntityRef::canonical(text) {
            return Ok(canonical);
        }
        let trimmed = text.trim();
        let slash = trimmed.find('/');
        // A `:` behind the `/` belongs to the name.
        let colon = trimmed.find(':').filter(|colon| slash.is_none_or(|slash| *colon < slash));
        let (kind, rest) = match colon {
            Some(colon) => (Some(&trimmed[..colon]), &trimmed[colon + 1..]),
            None => (None, trimmed),
        };
        let (namespace, name) = match rest.find('/') {
            Some(slash) => (&rest[..slash], &rest[slash + 1..]),
            None => (default_namespace, rest),
        };
        if kind == Some("") || namespace.is_empty() || name.is_empty() {
            return Err(malformed());
        }
        match kind.or(default_kind) {
            Some(kind) => Ok(EntityRef::new(kind, namespace, name)),
            None => Err(ReferenceError::NoKind { text: text.to_string() }),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn kind(&self) -> &str {
        &self.text[..self.colon as usize]
    }

    pub fn namespace(&self) -> &str {
        &self.text[self.colon as usize + 1..self.slash as usize]
    }

    pub fn name(&self) -> &str {
        &self.text[self.slash as usize + 1..]
    }
}

impl fmt::Display for EntityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for EntityRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for EntityRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        EntityRef::parse(&text, None, "default").map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        match EntityRef::parse(text, Some("Component"), "shop") {
            Ok(it) => it.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_left_out_comes_from_the_defaults() {
        assert_eq!(parsed("Payment-API"), "component:shop/payment-api");
        assert_eq!(parsed("api:Pay"), "api:shop/pay");
        assert_eq!(parsed("other/pay"), "component:other/pay");
        assert_eq!(parsed("Group:other/Pay"), "group:other/pay");
    }

    #[test]
    fn case_and_composition_make_no_other_reference() {
        for same in ["zo\u{eb}", "zoe\u{308}", "ZO\u{cb}", "ZOE\u{308}"] {
            assert_eq!(parsed(same), "component:shop/zo\u{eb}", "{same}");
        }
        assert_ne!(parsed("zoe"), parsed("zo\u{eb}"));
    }

    #[test]
    fn what_is_canonical_is_read_as_it_is() {
        for text in ["component:shop/pay", "a:b/c:d/e", "a:b/c.d_e-1"] {
            let read = EntityRef::canonical(text).unwrap();
            assert_eq!(read, EntityRef::new(read.kind(), read.namespace(), read.name()), "{text}");
        }
        for text in
            ["a:b", "b/c", ":b/c", "a:/c", "a:b/", "A:b/c", "a:b/c ", "a:b/\u{eb}", "a/b:c/d"]
        {
            assert_eq!(EntityRef::canonical(text), None, "{text}");
        }
    }

    #[test]
    fn a_colon_behind_the_slash_belongs_to_the_name() {
        assert_eq!(parsed("a/b:c"), "component:a/b:c");
    }

    #[test]
    fn an_empty_part_is_refused() {
        for text in ["", ":a", "a:", "/a", "a:/b", "a:b/"] {
            assert!(EntityRef::parse(text, Some("component"), "default").is_err(), "{text}");
        }
        assert!(EntityRef::parse("a", None, "default").is_err());
    }

    #[test]
    fn its_parts_are_read_back() {
        let it = EntityRef::new("Component", "default", "a/b:c");
        assert_eq!((it.kind(), it.namespace(), it.name()), ("component", "default", "a/b:c"));
    }
}
