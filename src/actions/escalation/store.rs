//! The SQL of who is called next.

use std::time::Duration;

use sqlx::PgConnection;

/// Up to `limit` requests that wait for so long that the next level is called, locked; nobody else takes them.
pub async fn due(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "select id
         from idp.request
         where state = 'pending' and escalate_at <= clock_timestamp() and expires_at > clock_timestamp()
         order by escalate_at
         limit $1
         for update skip locked",
    )
    .bind(limit)
    .fetch_all(db)
    .await
}

/// The request has called one level more where `is_called`, and is looked at again after `after`; `None`: no more.
pub async fn set(
    db: &mut PgConnection,
    request: i64,
    is_called: bool,
    after: Option<Duration>,
) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.request
         set level = level + $2::boolean::integer, escalate_at = clock_timestamp() + make_interval(secs => $3)
         where id = $1",
    )
    .bind(request)
    .bind(is_called)
    .bind(after.map(|it| it.as_secs_f64()))
    .execute(db)
    .await?;
    Ok(())
}
