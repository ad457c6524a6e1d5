//! Reading sources into the database, and the database into the snapshot.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::sources::Source;
use super::{Catalog, EntityRef, Problem};
use crate::integrations::http::Client;

/// What an import did, as `idp catalog import --format json` prints it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ImportReport {
    pub files: u64,
    pub documents: u64,
    pub entities: EntityCounts,
    pub relations: u64,
    pub problems: Vec<Problem>,
    /// Deletions that wait for a person, by source.
    pub held: Vec<String>,
    pub seconds: f64,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct EntityCounts {
    pub total: u64,
    pub created: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub removed: u64,
}

#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// What relative paths of sources are relative to.
    pub base: PathBuf,
    /// Where clones of Git repositories are kept.
    pub cache: PathBuf,
    pub orphan_grace: Duration,
    /// A source that would lose more of its entities than this waits for a person.
    pub mass_delete_percent: u8,
    /// Whether the person is there: `idp catalog import --confirm-deletions`.
    pub confirm_deletions: bool,
    pub http: Client,
}

/// Reads `sources` and brings the database to what they say, each source in one transaction.
///
/// # Errors
/// A source that cannot be read at all (a missing path), or the database.
pub async fn import(
    _db: &PgPool,
    _sources: &[Source],
    _options: &ImportOptions,
) -> anyhow::Result<ImportReport> {
    todo!()
}

/// The snapshot of the database's newest revision.
pub async fn load(
    _db: &PgPool,
    _aliases: &[(String, EntityRef)],
) -> anyhow::Result<super::Snapshot> {
    todo!()
}

/// Keeps `catalog` at the database's newest revision, and its copy on disk, until `stop`:
/// LISTEN, a poll every 30 s, reconnecting as long as it takes.
pub async fn follow(
    _db: PgPool,
    _catalog: Arc<Catalog>,
    _disk_copy: PathBuf,
    _stop: CancellationToken,
) {
    todo!()
}

/// Open problems, errors first.
pub async fn problems(_db: &PgPool) -> anyhow::Result<Vec<Problem>> {
    todo!()
}

/// One change of an entity.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    pub at: chrono::DateTime<chrono::Utc>,
    pub reference: EntityRef,
    /// `created`, `updated`, `orphaned`, `restored`, `removed`.
    pub what: String,
    /// What differs, `spec.owner`; empty unless updated.
    pub fields: Vec<FieldChange>,
    pub file: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct FieldChange {
    pub path: String,
    pub before: serde_json::Value,
    pub after: serde_json::Value,
}

/// The newest changes of `reference` first; the second value is how many there are.
pub async fn history(
    _db: &PgPool,
    _reference: &EntityRef,
    _offset: i64,
    _limit: i64,
) -> anyhow::Result<(Vec<Change>, i64)> {
    todo!()
}
