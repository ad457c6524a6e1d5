//! Writing down what was counted and said, and reading what it comes to.

use std::time::Duration;

use anyhow::{Context, anyhow};
use sqlx::PgPool;
use tokio::time::timeout;

use super::feedback::{Feedback, Said};
use super::report::{Figures, Period, first_week};
use super::{Count, Key, Usage, store};

/// How long the database may take to write down what was counted: the next try comes soon.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes down what was counted; on a failure `usage` still has it.
///
/// # Errors
/// The database.
pub async fn record(db: &PgPool, usage: &Usage) -> anyhow::Result<()> {
    let counts = usage.take();
    if counts.is_empty() {
        return Ok(());
    }
    let kept = timeout(PATIENCE, keep(db, &counts)).await;
    let kept = kept.map_err(|_| anyhow!("the database needed more than {} s", PATIENCE.as_secs()));
    if let Err(error) = kept.and_then(|kept| kept.map_err(Into::into)) {
        usage.put_back(counts);
        return Err(error).context("could not write down how idp is used");
    }
    Ok(())
}

async fn keep(db: &PgPool, counts: &[(Key, Count)]) -> sqlx::Result<()> {
    let mut tx = db.begin().await?;
    store::keep(&mut tx, counts).await?;
    store::prune(&mut tx).await?;
    tx.commit().await
}

/// What was counted in `period`, as far as it is written down.
///
/// # Errors
/// The database.
pub async fn figures(db: &PgPool, period: Period) -> anyhow::Result<Figures> {
    read_figures(db, period).await.context("could not read how idp is used")
}

async fn read_figures(db: &PgPool, period: Period) -> sqlx::Result<Figures> {
    let mut tx = db.begin().await?;
    let (people, accounts) = store::people(&mut tx, period).await?;
    let (people_before, _) = store::people(&mut tx, period.before()).await?;
    let (helpful, not_helpful) = store::verdicts(&mut tx, period).await?;
    let figures = Figures {
        people,
        people_before,
        accounts,
        totals: store::totals(&mut tx, period).await?,
        commands: store::commands(&mut tx, period).await?,
        teams: store::teams(&mut tx, period).await?,
        weeks: store::weeks(&mut tx, first_week(period), period.to).await?,
        latency: store::latency(&mut tx, period).await?,
        helpful,
        not_helpful,
    };
    tx.rollback().await?;
    Ok(figures)
}

/// Keeps what somebody says of an answer.
///
/// # Errors
/// The database.
pub async fn say(db: &PgPool, feedback: &Feedback) -> anyhow::Result<()> {
    keep_said(db, feedback).await.context("could not keep what somebody says of an answer")
}

async fn keep_said(db: &PgPool, feedback: &Feedback) -> sqlx::Result<()> {
    let mut tx = db.begin().await?;
    store::keep_feedback(&mut tx, feedback).await?;
    tx.commit().await
}

/// What was said of answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllSaid {
    /// One page, the newest first.
    pub page: Vec<Said>,
    pub total: u64,
    /// Of each command how many answers helped and how many did not, those that helped least first.
    pub by_command: Vec<(String, u64, u64)>,
}

/// What was said of answers, `limit` behind the first `offset`.
///
/// # Errors
/// The database.
pub async fn said(db: &PgPool, limit: usize, offset: usize) -> anyhow::Result<AllSaid> {
    read_said(db, limit, offset).await.context("could not read what was said of answers")
}

async fn read_said(db: &PgPool, limit: usize, offset: usize) -> sqlx::Result<AllSaid> {
    let mut tx = db.begin().await?;
    let bound = |it: usize| i64::try_from(it).unwrap_or(i64::MAX);
    let (page, total) = store::feedback(&mut tx, bound(limit), bound(offset)).await?;
    let by_command = store::verdicts_by_command(&mut tx).await?;
    tx.rollback().await?;
    Ok(AllSaid { page, total, by_command })
}
