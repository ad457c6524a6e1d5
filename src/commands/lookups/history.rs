//! What changed about an entity, and when.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::{Named, Page, json, required};
use crate::catalog::Entity;
use crate::catalog::flow::Change;
use crate::commands::resolve::Question;
use crate::error::Result;

/// The most characters of a value that changed.
const VALUE_CHARACTERS_MAX: usize = 60;
/// The most fields of one change that are told.
const FIELDS_MAX: usize = 6;

#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    pub entity: Named<'a>,
    pub total: usize,
    /// The newest first.
    pub changes: Vec<Row>,
    pub page: Option<Page>,
}

#[derive(Debug, Serialize)]
pub struct Row {
    pub at: DateTime<Utc>,
    /// `created`, `updated`, `orphaned`, `restored`, `removed`.
    pub what: String,
    pub file: String,
    pub fields: Vec<Field>,
    /// How many fields are not told.
    pub more: usize,
}

/// A field that changed; a value that was not there is `None`.
#[derive(Debug, Serialize)]
pub struct Field {
    pub path: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// The entity whose history is asked for.
///
/// # Errors
/// No entity was given.
pub fn subject<'a>(question: &Question<'a>) -> Result<&'a Entity> {
    required(question, "entity")
}

/// # Errors
/// A fault when the answer is no JSON.
pub fn answer(question: &Question<'_>, changes: Vec<Change>, total: usize) -> Result<Value> {
    json(Answer {
        entity: Named::entity(question.snapshot, subject(question)?),
        total,
        changes: changes.into_iter().map(row).collect(),
        page: Page::of(&question.call, question.page(), total),
    })
}

fn row(change: Change) -> Row {
    let more = change.fields.len().saturating_sub(FIELDS_MAX);
    let fields = change.fields.into_iter().take(FIELDS_MAX).map(|field| Field {
        path: field.path,
        before: shown(&field.before),
        after: shown(&field.after),
    });
    Row { at: change.at, what: change.what, file: change.file, fields: fields.collect(), more }
}

fn shown(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Some(match text.char_indices().nth(VALUE_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    })
}
