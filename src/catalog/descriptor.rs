//! An entity on its way: as a document says it, and as the database keeps it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{EntityRef, Relation};

/// One document that was read and found good.
#[derive(Debug, Clone, PartialEq)]
pub struct Descriptor {
    pub reference: EntityRef,
    pub api_version: String,
    /// As written: `Component`.
    pub kind: String,
    /// With placeholders substituted; `relations` and `status` are gone.
    pub metadata: Map<String, Value>,
    pub spec: Value,
    /// Outgoing, without duplicates, in the order of the processor.
    pub relations: Vec<Relation>,
    /// From 0, in the order of the file.
    pub document: u32,
    /// Where the document starts, from 1.
    pub line: u32,
}

/// Where an entity comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The name of the source: `directory:catalog`.
    pub source: Arc<str>,
    pub file: Arc<str>,
    pub document: u32,
    pub line: u32,
}

/// An entity as the database and the copy on disk keep it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredEntity {
    pub reference: EntityRef,
    /// JSON text `{"apiVersion":…,"kind":…,"metadata":…,"spec":…}`.
    pub body: Box<str>,
    pub relations: Vec<Relation>,
    pub place: Place,
    /// When its source stopped yielding it; `None` while it does.
    pub orphaned_at: Option<DateTime<Utc>>,
}
