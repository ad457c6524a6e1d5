//! What was reported of an entity, from whom, and how long it holds; and what the catalog itself says of it in short.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::details::{Details, OnCall};
use super::{Named, PAGE_ROWS, Page, Summary, json, offset, related, required};
use crate::catalog::{Entity, RelationKind};
use crate::commands::reply::ago;
use crate::commands::resolve::Question;
use crate::error::Result;
use crate::facts::Fact;

/// The most characters of a value.
const VALUE_CHARACTERS_MAX: usize = 80;
/// The most items of a list.
const ITEMS_MAX: usize = 5;

#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    pub entity: Named<'a>,
    /// How many facts were reported.
    pub total: usize,
    /// How many of them are stale.
    pub stale: usize,
    /// One page, by key.
    pub facts: Vec<Row>,
    pub catalog: Said<'a>,
    pub page: Option<Page>,
}

#[derive(Debug, Serialize)]
pub struct Row {
    pub key: String,
    /// As people read it.
    pub value: String,
    pub source: String,
    pub observed_at: DateTime<Utc>,
    /// `3 h ago`
    pub age: String,
    /// `None`: it holds until another takes its place.
    pub valid_until: Option<DateTime<Utc>>,
    pub stale: bool,
}

/// What the catalog says.
#[derive(Debug, Serialize)]
pub struct Said<'a> {
    #[serde(flatten)]
    pub summary: Summary<'a>,
    pub owners: Vec<Named<'a>>,
    /// The types of its links, each once.
    pub links: Vec<Cow<'a, str>>,
    pub on_call: Option<OnCall<'a>>,
    /// Whether an annotation says where its documentation is.
    pub docs: bool,
    pub dependencies: usize,
    /// Those that depend on it directly.
    pub dependents: usize,
}

/// The entity whose facts are asked for.
///
/// # Errors
/// No entity was given.
pub fn subject<'a>(question: &Question<'a>) -> Result<&'a Entity> {
    required(question, "entity")
}

/// The answer that `facts` make, which are those of the subject.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn answer(question: &Question<'_>, facts: Vec<Fact>, now: DateTime<Utc>) -> Result<Value> {
    let entity = subject(question)?;
    let total = facts.len();
    let stale = facts.iter().filter(|fact| fact.is_stale(now)).count();
    let page = facts.into_iter().skip(offset(question.page())).take(PAGE_ROWS);
    json(Answer {
        entity: Named::entity(question.snapshot, entity),
        total,
        stale,
        facts: page.map(|fact| row(fact, now)).collect(),
        catalog: said(question, entity),
        page: Page::of(&question.call, question.page(), total),
    })
}

fn row(fact: Fact, now: DateTime<Utc>) -> Row {
    Row {
        value: shown(&fact.value),
        age: ago((now - fact.observed_at).num_seconds().max(0).unsigned_abs()),
        stale: fact.is_stale(now),
        key: fact.key,
        source: fact.source,
        observed_at: fact.observed_at,
        valid_until: fact.valid_until,
    }
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => match DateTime::parse_from_rfc3339(text) {
            Ok(time) => time.to_utc().format("%Y-%m-%d %H:%M UTC").to_string(),
            Err(_) => text.clone(),
        },
        Value::Array(items) if items.is_empty() => "nothing".to_string(),
        Value::Array(items) => {
            let some: Vec<String> = items.iter().take(ITEMS_MAX).map(shown).collect();
            match items.len().saturating_sub(ITEMS_MAX) {
                0 => some.join(", "),
                more => format!("{} and {more} more", some.join(", ")),
            }
        }
        other => other.to_string(),
    };
    match text.char_indices().nth(VALUE_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn said<'a>(question: &Question<'a>, entity: &'a Entity) -> Said<'a> {
    let snapshot = question.snapshot;
    let details = Details::of(entity);
    let mut links: Vec<Cow<'a, str>> = Vec::new();
    for class in details.links.into_iter().filter_map(|link| link.class) {
        if !links.contains(&class) {
            links.push(class);
        }
    }
    let described = crate::facts::catalog::describe(snapshot, entity);
    Said {
        summary: Summary::of(entity),
        owners: related(snapshot, entity, RelationKind::OwnedBy),
        links,
        on_call: details.on_call,
        docs: described["docs"].as_bool().unwrap_or_default(),
        dependencies: snapshot.count_related(entity, RelationKind::DependsOn),
        dependents: snapshot.direct_dependents(entity),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::EntityRef;

    #[test]
    fn a_value_is_shown_as_people_read_it() {
        for (value, said) in [
            (json!(81.5), "81.5"),
            (json!(true), "true"),
            (json!("MIT"), "MIT"),
            (json!("2026-01-12T09:30:00Z"), "2026-01-12 09:30 UTC"),
            (json!([]), "nothing"),
            (json!(["a", "b"]), "a, b"),
            (json!(["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more"),
        ] {
            assert_eq!(shown(&value), said);
        }
        assert_eq!(shown(&json!("é".repeat(100))).chars().count(), VALUE_CHARACTERS_MAX + 1);
    }

    #[test]
    fn a_row_says_how_old_it_is_and_whether_it_holds() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let fact = |valid_until| Fact {
            entity: EntityRef::new("component", "default", "a"),
            key: "coverage".into(),
            value: 81.into(),
            source: "ci".into(),
            observed_at: at(0),
            valid_until,
        };
        let fresh = row(fact(Some(at(7_200))), at(7_199));
        assert_eq!((fresh.age.as_str(), fresh.stale), ("1 h ago", false));
        assert!(row(fact(Some(at(7_200))), at(7_200)).stale);
        assert_eq!(row(fact(None), at(-60)).age, "0 s ago", "clocks differ");
    }
}
