//! Reporting facts, reading them, and forgetting what became of old ones.

use anyhow::Context;
use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::push::{self, Observation, Outcome};
use super::sources::Source;
use super::{Changed, Fact, store};
use crate::catalog::{EntityRef, Snapshot};

/// How long it is known which values became others.
pub const KEPT_DAYS: i32 = 400;

/// How much goes at once, and how often at most each time.
const FORGOTTEN_AT_ONCE: i64 = 5_000;
const ROUNDS_MAX: u32 = 200;

/// What became of each of `observations`, in their order. Those that are taken are facts when it returns.
///
/// # Errors
/// The database: nothing is taken then.
pub async fn push(
    db: &PgPool,
    source: &Source,
    snapshot: &Snapshot,
    observations: &[Observation],
) -> anyhow::Result<Vec<Outcome>> {
    let read = push::read(observations, source, snapshot);
    let candidates = || read.iter().flatten();
    let entities: Vec<&str> = candidates().map(|it| it.entity.as_str()).collect();
    let keys: Vec<&str> = candidates().map(|it| it.key).collect();
    let mut tx = db.begin().await?;
    let (revision, now) = store::lock(&mut tx).await?;
    let known = store::known(&mut tx, &entities, &keys).await?;
    let decided = push::decide(read, &source.name, known, now);
    if !decided.facts.is_empty() {
        store::keep(&mut tx, &decided.facts, revision + 1).await?;
        store::keep_steps(&mut tx, &decided.steps, revision + 1).await?;
        store::set_revision(&mut tx, revision + 1).await?;
    }
    tx.commit().await?;
    count(&source.name, &decided.outcomes);
    Ok(decided.outcomes)
}

fn count(source: &str, outcomes: &[Outcome]) {
    for outcome in outcomes {
        let labels = [("source", source.to_string()), ("result", outcome.word().to_string())];
        metrics::counter!("idp_facts_reported_total", &labels).increment(1);
    }
}

/// What is known of `entity`, stale or not, by key.
///
/// # Errors
/// The database.
pub async fn facts_of(db: &PgPool, entity: &EntityRef) -> anyhow::Result<Vec<Fact>> {
    let mut connection = db.acquire().await?;
    store::facts_of(&mut connection, entity).await.context("could not read the facts of an entity")
}

/// Every fact that was reported after `revision`, and the revision that they are of; all of them after -1.
///
/// Stale ones are among them: whoever reads them asks [`Fact::is_stale`] with their own `now`.
///
/// # Errors
/// The database.
pub async fn facts_since(db: &PgPool, revision: i64) -> anyhow::Result<(i64, Vec<Fact>)> {
    let mut tx = db.begin().await?;
    // Read first: what is reported meanwhile is read again the next time.
    let newest = store::revision(&mut tx).await?;
    let facts = match newest == revision {
        true => Vec::new(),
        false => store::facts_since(&mut tx, revision).await?,
    };
    tx.commit().await?;
    Ok((newest, facts))
}

/// The facts that became stale after `since`, until `now`.
///
/// # Errors
/// The database.
pub async fn stale_since(
    db: &PgPool,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> anyhow::Result<Vec<Fact>> {
    let mut connection = db.acquire().await?;
    store::stale_since(&mut connection, since, now).await.context("could not read stale facts")
}

/// The values that became others after `revision`, the newest `limit` first.
///
/// # Errors
/// The database.
pub async fn changes_since(db: &PgPool, revision: i64, limit: i64) -> anyhow::Result<Vec<Changed>> {
    let mut connection = db.acquire().await?;
    let changes = store::changes_since(&mut connection, revision, limit).await;
    changes.context("could not read which facts changed")
}

/// The values of `entity` that became others, the newest `limit` first.
///
/// # Errors
/// The database.
pub async fn changes_of(
    db: &PgPool,
    entity: &EntityRef,
    limit: i64,
) -> anyhow::Result<Vec<Changed>> {
    let mut connection = db.acquire().await?;
    let changes = store::changes_of(&mut connection, entity, limit).await;
    changes.context("could not read which facts of an entity changed")
}

/// Forgets what is older than 400 days, so many at once that nobody waits for it; how many.
///
/// # Errors
/// The database.
pub async fn forget(db: &PgPool) -> anyhow::Result<u64> {
    let mut many = 0;
    for _ in 0..ROUNDS_MAX {
        let mut connection = db.acquire().await?;
        let changes = store::forget_changes(&mut connection, KEPT_DAYS, FORGOTTEN_AT_ONCE).await?;
        let facts = store::forget_facts(&mut connection, KEPT_DAYS, FORGOTTEN_AT_ONCE).await?;
        many += changes + facts;
        if changes + facts == 0 {
            break;
        }
    }
    Ok(many)
}
