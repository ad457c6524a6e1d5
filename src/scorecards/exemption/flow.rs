//! Asking for exemptions, and deciding on them.

use anyhow::Context;
use chrono::NaiveDate;
use sqlx::PgPool;

use super::{Decision, Decisions, Exempt, Exemption, Request, store};
use crate::catalog::EntityRef;
use crate::error::{Refusal, Result};

/// Writes `request` down, and gives back what is asked for now: it, or what somebody asked before.
///
/// # Errors
/// The database.
pub async fn ask(db: &PgPool, request: &Request) -> anyhow::Result<Exemption> {
    let what = "could not ask for an exemption";
    let mut tx = db.begin().await.context(what)?;
    let asked = store::ask(&mut tx, request).await.context(what)?;
    tx.commit().await.context(what)?;
    Ok(asked)
}

/// Decides on the exemption `id`, and gives back what it was. `may` says whether `by` may decide so on what they see.
///
/// # Errors
/// A number that nobody was given; what `may` refuses; what cannot be decided on any more; the database.
pub async fn decide(
    db: &PgPool,
    id: i64,
    decision: Decision,
    by: &EntityRef,
    note: Option<&str>,
    may: impl FnOnce(&Exemption) -> std::result::Result<(), Refusal>,
) -> Result<Exemption> {
    let what = "could not decide on an exemption";
    let mut tx = db.begin().await.context(what)?;
    let locked = store::lock(&mut tx, id).await.context(what)?;
    let (now, exemption) = locked.ok_or_else(|| Refusal::InvalidArgument {
        argument: "number".into(),
        value: id.to_string(),
        expected: "take the number of a request that `exemptions` lists".into(),
    })?;
    may(&exemption)?;
    let state = exemption.decide(decision, by, now)?;
    if state != exemption.state {
        store::decide(&mut tx, id, state, by, note).await.context(what)?;
    }
    tx.commit().await.context(what)?;
    Ok(exemption)
}

/// Those that hold, of all entities or of one.
///
/// # Errors
/// The database.
pub async fn live(db: &PgPool, entity: Option<&EntityRef>) -> anyhow::Result<Exempt> {
    let mut connection = db.acquire().await?;
    Ok(store::live(&mut connection, entity).await?.into_iter().collect())
}

/// What waits for a decision and what holds: `rows` of them from `offset` on, and how many there are. `asked_by`: only
/// theirs.
///
/// # Errors
/// The database.
pub async fn current(
    db: &PgPool,
    asked_by: Option<&EntityRef>,
    offset: i64,
    rows: i64,
) -> anyhow::Result<(Vec<Exemption>, i64)> {
    let mut connection = db.acquire().await?;
    Ok(store::current(&mut connection, asked_by, offset, rows).await?)
}

/// How long people waited for the decisions of the days `from` to `to`, of UTC.
///
/// # Errors
/// The database.
pub async fn decisions(db: &PgPool, from: NaiveDate, to: NaiveDate) -> anyhow::Result<Decisions> {
    let mut connection = db.acquire().await?;
    Ok(store::decisions(&mut connection, from, to).await?)
}
