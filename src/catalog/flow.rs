//! From the database to the snapshot that answers, and what is asked of the database alone.

use std::pin::pin;

use anyhow::Context;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::alias::Alias;
pub use super::follow::flow::{POLL, follow};
pub use super::import::changes::FieldChange;
pub use super::import::flow::{
    EntityCounts, ImportOptions, ImportReport, Refresh, import, keep_importing,
};
use super::snapshot::Revision;
use super::{EntityRef, Problem, Snapshot, import, store};

/// The snapshot of the database's newest revision. `aliases` are those in the settings.
pub async fn load(db: &PgPool, aliases: &[(String, EntityRef)]) -> anyhow::Result<Snapshot> {
    let mut tx = db.begin().await?;
    store::read_one_moment(&mut tx).await?;
    let revision = store::revision(&mut tx).await?;
    let aliases = all_aliases(&mut tx, aliases).await?;
    let snapshot = load_whole(&mut tx, aliases, revision).await?;
    tx.commit().await?;
    Ok(snapshot)
}

/// Whether the database is, or was, in the state that `snapshot` shows.
pub async fn is_of(db: &PgPool, snapshot: &Snapshot) -> anyhow::Result<bool> {
    let mut connection = db.acquire().await?;
    Ok(store::was_at(&mut connection, snapshot.revision()).await?)
}

/// How many entities wait to be taken into the snapshot, so that one that is slower does not fill the memory.
const AHEAD: usize = 1_000;

/// The snapshot is built, off the threads that answer, while the database still tells.
pub(super) async fn load_whole(
    db: &mut PgConnection,
    aliases: Vec<(String, EntityRef)>,
    revision: Revision,
) -> anyhow::Result<Snapshot> {
    let (send, mut receive) = mpsc::channel(AHEAD);
    let entities = std::iter::from_fn(move || receive.blocking_recv());
    let build = spawn_blocking(move || Snapshot::build(entities, &aliases, revision));
    let mut entities = pin!(store::entities_since(db, -1));
    while let Some(entity) = entities.try_next().await? {
        if send.send(entity).await.is_err() {
            break;
        }
    }
    drop(send);
    build.await.context("building the snapshot broke off")
}

/// Those of the settings first: where both have one, `idp.yaml` decides.
pub(super) async fn all_aliases(
    db: &mut PgConnection,
    settings: &[(String, EntityRef)],
) -> anyhow::Result<Vec<(String, EntityRef)>> {
    let mut aliases = settings.to_vec();
    aliases.extend(store::aliases(db).await?);
    Ok(aliases)
}

/// Adds `alias`, or gives it another meaning; every process hears of it at once.
pub async fn add_alias(db: &PgPool, alias: &Alias) -> anyhow::Result<()> {
    let mut tx = db.begin().await?;
    let revision = import::store::next_revision(&mut tx).await?;
    store::set_alias(&mut tx, alias).await?;
    import::store::announce(&mut tx, revision).await?;
    Ok(tx.commit().await?)
}

/// Takes back what [`add_alias`] added; whether there was one. `alias` as it is kept.
pub async fn remove_alias(db: &PgPool, alias: &str) -> anyhow::Result<bool> {
    let mut tx = db.begin().await?;
    let revision = import::store::next_revision(&mut tx).await?;
    if !store::remove_alias(&mut tx, alias).await? {
        return Ok(false);
    }
    import::store::announce(&mut tx, revision).await?;
    tx.commit().await?;
    Ok(true)
}

/// Those that were added, by what people say; the aliases in the settings are not among them.
pub async fn aliases(db: &PgPool) -> anyhow::Result<Vec<Alias>> {
    let mut connection = db.acquire().await?;
    let aliases = store::aliases(&mut connection).await?.into_iter();
    Ok(aliases.map(|(alias, reference)| Alias { alias, reference }).collect())
}

/// Open problems, errors first.
pub async fn problems(db: &PgPool) -> anyhow::Result<Vec<Problem>> {
    let mut connection = db.acquire().await?;
    Ok(store::problems(&mut connection, None).await?)
}

/// One change of an entity.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    pub at: DateTime<Utc>,
    pub reference: EntityRef,
    /// `created`, `updated`, `orphaned`, `restored`, `removed`.
    pub what: String,
    /// What differs, `spec.owner`; empty unless updated or restored.
    pub fields: Vec<FieldChange>,
    /// Who owned it from then on, as its document says; of a removal, who did until then.
    pub owners: Vec<String>,
    pub file: String,
}

/// The newest changes of `reference` first; the second value is how many there are.
pub async fn history(
    db: &PgPool,
    reference: &EntityRef,
    offset: i64,
    limit: i64,
) -> anyhow::Result<(Vec<Change>, i64)> {
    let mut connection = db.acquire().await?;
    Ok(store::history(&mut connection, reference, offset, limit).await?)
}
