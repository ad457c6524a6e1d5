//! What is known of entities: what their descriptors say, and what others observed and reported, for as long as it holds.

pub mod catalog;
pub mod flow;
pub mod kind;
pub mod push;
pub mod recorded;
pub mod sources;
pub mod store;
pub mod token;
pub mod touched;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::kind::Kind;
use crate::catalog::EntityRef;

/// Something that was observed of an entity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    pub entity: EntityRef,
    /// What it says: `coverage`, `ci.green`.
    pub key: String,
    /// Of the kind that the settings give the key.
    pub value: Value,
    /// Who reported it, as the settings name them.
    pub source: String,
    pub observed_at: DateTime<Utc>,
    /// `None`: it holds until another takes its place.
    pub valid_until: Option<DateTime<Utc>>,
}

/// A value that became another one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Changed {
    pub entity: EntityRef,
    pub key: String,
    /// `None`: there was none before.
    pub was: Option<Value>,
    pub became: Value,
    pub source: String,
    pub observed_at: DateTime<Utc>,
    /// When it was reported.
    pub at: DateTime<Utc>,
}

impl Fact {
    /// Whether it holds no more.
    pub fn is_stale(&self, now: DateTime<Utc>) -> bool {
        self.valid_until.is_some_and(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_stale_from_the_instant_on_to_which_it_holds() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let fact = |valid_until| Fact {
            entity: EntityRef::new("component", "default", "payment-api"),
            key: "coverage".into(),
            value: 81.into(),
            source: "ci".into(),
            observed_at: at(0),
            valid_until,
        };
        assert!(!fact(Some(at(60))).is_stale(at(59)));
        assert!(fact(Some(at(60))).is_stale(at(60)));
        assert!(!fact(None).is_stale(at(i32::MAX.into())));
    }
}
