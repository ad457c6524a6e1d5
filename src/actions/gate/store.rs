//! The SQL of deployments that wait at GitHub.

use sqlx::PgConnection;

use crate::integrations::github::protection::Waiting;

/// The request that was made of `waiting`, or by the message `delivery`, already.
pub async fn known(
    db: &mut PgConnection,
    waiting: &Waiting,
    delivery: &str,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "select request from idp.gate where delivery = $1 or repository = $2 and deployment = $3 limit 1",
    )
    .bind(delivery)
    .bind(&waiting.repository)
    .bind(number(waiting.deployment))
    .fetch_optional(db)
    .await
}

/// The requests that wait for a decision on an earlier start of the same run, locked.
pub async fn earlier(db: &mut PgConnection, waiting: &Waiting) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "select request.id
         from idp.request
         join idp.gate on gate.request = request.id
         where request.state = 'pending' and repository = $1 and run = $2 and environment = $3 and deployment < $4
         for update of request",
    )
    .bind(&waiting.repository)
    .bind(number(waiting.run))
    .bind(&waiting.environment)
    .bind(number(waiting.deployment))
    .fetch_all(db)
    .await
}

pub async fn insert(
    db: &mut PgConnection,
    request: i64,
    waiting: &Waiting,
    delivery: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into idp.gate (request, delivery, repository, environment, run, deployment)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(request)
    .bind(delivery)
    .bind(&waiting.repository)
    .bind(&waiting.environment)
    .bind(number(waiting.run))
    .bind(number(waiting.deployment))
    .execute(db)
    .await?;
    Ok(())
}

/// Up to `limit` requests that were not approved, or not begun, of which GitHub is to be told, and how often it was about to
/// be; nobody else takes them for `for_s`.
pub async fn claim(db: &mut PgConnection, for_s: f64, limit: i64) -> sqlx::Result<Vec<(i64, i32)>> {
    sqlx::query_as(
        "update idp.gate
         set attempts = attempts + 1, next_at = clock_timestamp() + make_interval(secs => $1)
         where request in (
           select gate.request
           from idp.gate
           join idp.request on request.id = gate.request
           left join idp.execution on execution.request = gate.request
           where gate.answer is null and gate.next_at <= clock_timestamp()
             and (request.state in ('denied', 'expired', 'cancelled', 'void')
                  or execution.state in ('cancelled', 'void'))
           order by gate.next_at
           limit $2
           for update of gate skip locked)
         returning request, attempts",
    )
    .bind(for_s)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// What GitHub was told for `request`; whether that is news.
pub async fn answer(db: &mut PgConnection, request: i64, answer: &str) -> sqlx::Result<bool> {
    let answered =
        sqlx::query("update idp.gate set answer = $2 where request = $1 and answer is null")
            .bind(request)
            .bind(answer)
            .execute(db)
            .await?;
    Ok(answered.rows_affected() == 1)
}

/// What was approved is answered by its step: nothing is left to be said of it.
pub async fn close(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.gate
         set answer = case when execution.state = 'succeeded' then 'approved' else 'gone' end
         from idp.execution
         where execution.request = gate.request and gate.answer is null
           and execution.state in ('succeeded', 'failed')",
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A number of GitHub's, as the database has numbers.
fn number(it: u64) -> i64 {
    i64::try_from(it).unwrap_or(i64::MAX)
}
