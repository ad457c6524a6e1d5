//! The SQL of doing what was approved.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};

use super::Stage;
use crate::actions::Progress;

/// Something that is to be done, ours for as long as its lease holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    pub request: i64,
    pub state: Progress,
    /// Whether nothing is begun any more.
    pub is_late: bool,
    /// Whether it runs for longer than it may.
    pub is_overdue: bool,
    /// Whether the database has another history than the request was written in.
    pub is_other_history: bool,
}

/// A step as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRow {
    pub number: i16,
    pub stage: Stage,
    pub attempts: u32,
    pub sent_at: Option<DateTime<Utc>>,
    pub reference: Option<String>,
    pub outputs: Map<String, Value>,
    /// What the job calls its run that redeemed the step's token.
    pub redeemed_by: Option<String>,
    /// At which time of trying it was begun: 0 is the first.
    pub run: i16,
    /// When somebody wanted it tried again; `None` of the first time.
    pub retried_at: Option<DateTime<Utc>>,
}

/// Up to `limit` things whose turn it is, now `owner`'s for `lease_s`.
pub async fn claim(
    db: &PgPool,
    owner: &str,
    lease_s: f64,
    limit: i64,
) -> sqlx::Result<Vec<Claimed>> {
    let rows = sqlx::query(
        "update idp.execution
         set lease_owner = $1, lease_until = clock_timestamp() + make_interval(secs => $2)
         where request in (
           select request
           from idp.execution
           where ended_at is null and state in ('ready', 'running') and next_at <= clock_timestamp()
             and (lease_until is null or lease_until < clock_timestamp())
             and (state = 'running' or not exists (select from idp.emergency_stop)
                  or start_by <= clock_timestamp())
           order by next_at
           limit $3
           for update skip locked)
         returning request, state, start_by <= clock_timestamp() as is_late,
           coalesce(end_by <= clock_timestamp(), false) as is_overdue,
           (select timeline from idp.request where id = execution.request) <> idp.timeline() as is_other_history",
    )
    .bind(owner)
    .bind(lease_s)
    .bind(limit)
    .fetch_all(db)
    .await?;
    let claimed = |row: &PgRow| {
        let state: String = row.try_get("state")?;
        Ok(Claimed {
            request: row.try_get("request")?,
            state: Progress::from_word(&state)
                .ok_or_else(|| sqlx::Error::Decode(format!("no state is `{state}`").into()))?,
            is_late: row.try_get("is_late")?,
            is_overdue: row.try_get("is_overdue")?,
            is_other_history: row.try_get("is_other_history")?,
        })
    };
    rows.iter().map(claimed).collect()
}

/// Whether `owner` holds `request` still, for `lease_s` more from now on.
pub async fn renew(db: &PgPool, request: i64, owner: &str, lease_s: f64) -> sqlx::Result<bool> {
    let renewed = sqlx::query(
        "update idp.execution
         set lease_until = clock_timestamp() + make_interval(secs => $3)
         where request = $1 and lease_owner = $2 and lease_until > clock_timestamp()",
    )
    .bind(request)
    .bind(owner)
    .bind(lease_s)
    .execute(db)
    .await?;
    Ok(renewed.rows_affected() == 1)
}

/// `owner` lets go of `request`, which is looked at again after `after_s`.
pub async fn release(
    db: &mut PgConnection,
    request: i64,
    owner: &str,
    after_s: f64,
    note: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.execution
         set lease_owner = null, lease_until = null, note = $4,
             next_at = clock_timestamp() + make_interval(secs => $3)
         where request = $1 and lease_owner = $2",
    )
    .bind(request)
    .bind(owner)
    .bind(after_s)
    .bind(note)
    .execute(db)
    .await?;
    Ok(())
}

/// Begins `request`, where nothing else of its lane runs and nothing is stopped; whether it could.
pub async fn begin(
    db: &mut PgConnection,
    request: i64,
    owner: &str,
    timeout_s: f64,
) -> sqlx::Result<bool> {
    let begun = sqlx::query(
        "update idp.execution
         set state = 'running', began_at = clock_timestamp(), note = null,
             end_by = clock_timestamp() + make_interval(secs => $3)
         where request = $1 and lease_owner = $2 and lease_until > clock_timestamp() and state = 'ready'
           and not exists (select from idp.emergency_stop)
           and not exists (
             select from idp.execution as other
             where other.lane = execution.lane and other.state in ('running', 'unknown'))",
    )
    .bind(request)
    .bind(owner)
    .bind(timeout_s)
    .execute(db)
    .await?;
    Ok(begun.rows_affected() == 1)
}

/// The steps of `request`, in their order.
pub async fn steps(db: &mut PgConnection, request: i64) -> sqlx::Result<Vec<StepRow>> {
    let rows = sqlx::query(
        "select number, state, attempts, sent_at, reference, outputs, redeemed_by, run,
           (select at from idp.retry where retry.request = step.request and retry.number = step.run) as retried_at
         from idp.step
         where request = $1
         order by number",
    )
    .bind(request)
    .fetch_all(db)
    .await?;
    let step = |row: &PgRow| {
        let state: String = row.try_get("state")?;
        let attempts: i32 = row.try_get("attempts")?;
        let outputs: Value = row.try_get("outputs")?;
        Ok(StepRow {
            number: row.try_get("number")?,
            stage: Stage::from_word(&state)
                .ok_or_else(|| sqlx::Error::Decode(format!("no state is `{state}`").into()))?,
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
            sent_at: row.try_get("sent_at")?,
            reference: row.try_get("reference")?,
            outputs: outputs.as_object().cloned().unwrap_or_default(),
            redeemed_by: row.try_get("redeemed_by")?,
            run: row.try_get("run")?,
            retried_at: row.try_get("retried_at")?,
        })
    };
    rows.iter().map(step).collect()
}

/// At which time of trying the step was begun; `None`: there is no such step.
pub async fn run(db: &mut PgConnection, request: i64, number: i16) -> sqlx::Result<Option<i16>> {
    sqlx::query_scalar("select run from idp.step where request = $1 and number = $2")
        .bind(request)
        .bind(number)
        .fetch_optional(db)
        .await
}

/// Writes down that the step is about to be sent, where `owner` holds it for at least `for_s` more and nothing is stopped;
/// whether that is so.
pub async fn about_to_send(
    db: &PgPool,
    request: i64,
    number: i16,
    owner: &str,
    for_s: f64,
) -> sqlx::Result<bool> {
    let written = sqlx::query(
        "update idp.step
         set state = 'sending', attempts = attempts + 1, sent_at = clock_timestamp()
         where request = $1 and number = $2 and state in ('ready', 'sending')
           and exists (
             select from idp.execution
             where execution.request = step.request and lease_owner = $3 and state = 'running'
               and lease_until > clock_timestamp() + make_interval(secs => $4)
             for update)
           and not exists (select from idp.emergency_stop)",
    )
    .bind(request)
    .bind(number)
    .bind(owner)
    .bind(for_s)
    .execute(db)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Writes down that a step, of which too little is known, may have been sent a moment ago; where `owner` holds it.
pub async fn doubt(db: &PgPool, request: i64, number: i16, owner: &str) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.step
         set state = 'sending', sent_at = clock_timestamp()
         where request = $1 and number = $2 and state in ('ready', 'running')
           and exists (
             select from idp.execution
             where execution.request = step.request and lease_owner = $3
               and lease_until > clock_timestamp())",
    )
    .bind(request)
    .bind(number)
    .bind(owner)
    .execute(db)
    .await?;
    Ok(())
}

/// What is written down of a step; what is `None` stays.
#[derive(Debug, Default)]
pub struct Found<'a> {
    pub stage: Option<Stage>,
    pub reference: Option<&'a str>,
    pub url: Option<&'a str>,
    pub outputs: Option<&'a Map<String, Value>>,
    pub note: Option<&'a str>,
}

/// Writes down how a step stands; what has ended stays. Whether it did not.
pub async fn set_step(
    db: &mut PgConnection,
    request: i64,
    number: i16,
    found: &Found<'_>,
) -> sqlx::Result<bool> {
    let set = sqlx::query(
        "update idp.step
         set state = coalesce($3, state), reference = coalesce($4, reference), url = coalesce($5, url),
             outputs = coalesce($6, outputs), note = coalesce(left($7, 2000), note)
         where request = $1 and number = $2 and state not in ('succeeded', 'failed', 'skipped')",
    )
    .bind(request)
    .bind(number)
    .bind(found.stage.map(Stage::word))
    .bind(found.reference)
    .bind(found.url)
    .bind(found.outputs.map(|it| Value::Object(it.clone())))
    .bind(found.note)
    .execute(db)
    .await?;
    Ok(set.rows_affected() == 1)
}

/// How `request` stands now; where that is an end, nobody holds it any more. Whether it had not ended.
pub async fn set_state(
    db: &mut PgConnection,
    request: i64,
    state: Progress,
    note: Option<&str>,
) -> sqlx::Result<bool> {
    let set = sqlx::query(
        "update idp.execution
         set state = $2, note = left($3, 2000),
             lease_owner = null, lease_until = null,
             ended_at = case when $4 then clock_timestamp() end
         where request = $1 and ended_at is null",
    )
    .bind(request)
    .bind(state.word())
    .bind(note)
    .bind(state.is_end())
    .execute(db)
    .await?;
    Ok(set.rows_affected() == 1)
}

/// What waits is looked at at once.
pub async fn wake(db: &mut PgConnection, request: i64) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.execution set next_at = clock_timestamp() where request = $1 and ended_at is null",
    )
    .bind(request)
    .execute(db)
    .await?;
    Ok(())
}

/// What a person was to look at runs again: the receiver itself has said how it goes.
pub async fn back(db: &mut PgConnection, request: i64) -> sqlx::Result<()> {
    sqlx::query("update idp.execution set state = 'running', note = null where request = $1 and state = 'unknown'")
        .bind(request)
        .execute(db)
        .await?;
    Ok(())
}

/// The first of several runs that works: whether `by` is it, now or again.
pub async fn redeem(
    db: &mut PgConnection,
    request: i64,
    number: i16,
    by: &str,
) -> sqlx::Result<bool> {
    let redeemed = sqlx::query(
        "update idp.step
         set redeemed_at = coalesce(redeemed_at, clock_timestamp()), redeemed_by = $3
         where request = $1 and number = $2 and (redeemed_at is null or redeemed_by = $3) and state in ('sending', 'running')
           and exists (
             select from idp.execution
             where execution.request = step.request and execution.state = 'running')",
    )
    .bind(request)
    .bind(number)
    .bind(by)
    .execute(db)
    .await?;
    Ok(redeemed.rows_affected() == 1)
}
