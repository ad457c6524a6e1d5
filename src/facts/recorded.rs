//! Facts of a file, as if they had just been observed: those of the sample company.
//!
//! ```yaml
//! - source: ci
//!   hours_ago: 3
//!   facts:
//!     payment-api: {coverage: 81.5, ci.green: true}
//! ```

use std::collections::BTreeMap;

use anyhow::{Context, anyhow};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::push::Observation;
use crate::catalog::formats::fields;

/// Where they lie in a portal.
pub const FILE: &str = "facts.yaml";

/// What one source observed at one time.
#[derive(Debug, PartialEq)]
pub struct Recorded {
    pub source: String,
    pub observations: Vec<Observation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    source: String,
    hours_ago: i64,
    /// By entity and key.
    facts: BTreeMap<String, BTreeMap<String, Value>>,
}

/// What `text` records, observed so many hours before `now`.
///
/// # Errors
/// Another shape than the one above.
pub fn read(text: &str, now: DateTime<Utc>) -> anyhow::Result<Vec<Recorded>> {
    let root =
        fields::read(text, FILE).map_err(|it| anyhow!("{FILE}:{}: {}", it.line, it.message))?;
    let items: Vec<Item> = serde_json::from_value(root.into_json())
        .with_context(|| format!("{FILE} is a list of sources with their facts"))?;
    let recorded = items.into_iter().map(|item| {
        let observed_at = TimeDelta::try_hours(item.hours_ago).map(|ago| now - ago);
        let facts = item.facts.into_iter().flat_map(|(entity, facts)| {
            facts.into_iter().map(move |(key, value)| Observation {
                entity: entity.clone(),
                key,
                value,
                observed_at,
            })
        });
        Recorded { source: item.source, observations: facts.collect() }
    });
    Ok(recorded.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_was_observed_so_many_hours_ago() {
        let now = DateTime::from_timestamp(36_000, 0).unwrap();
        let text =
            "- source: ci\n  hours_ago: 3\n  facts:\n    pay: {coverage: 81.5, ci.green: true}\n";
        let recorded = read(text, now).unwrap();
        assert_eq!((recorded.len(), recorded[0].source.as_str()), (1, "ci"));
        let observed = &recorded[0].observations;
        assert_eq!((observed[0].key.as_str(), &observed[0].value), ("ci.green", &true.into()));
        assert_eq!(observed[1].observed_at, DateTime::from_timestamp(25_200, 0));
        assert!(read("- source: ci\n", now).is_err());
        assert!(read("a: [", now).unwrap_err().to_string().starts_with("facts.yaml:1: "));
    }
}
