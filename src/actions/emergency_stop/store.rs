//! The emergency stop's SQL.

use sqlx::PgConnection;

/// From now on nothing is begun; whether it was before.
pub async fn stop(db: &mut PgConnection, by: &str, reason: &str) -> sqlx::Result<bool> {
    let stopped = sqlx::query(
        "insert into idp.emergency_stop (by, reason) values ($1, $2) on conflict do nothing",
    )
    .bind(by)
    .bind(reason)
    .execute(db)
    .await?;
    Ok(stopped.rows_affected() == 1)
}

/// From now on what is approved is done again; whether it was not before.
pub async fn resume(db: &mut PgConnection) -> sqlx::Result<bool> {
    let resumed = sqlx::query("delete from idp.emergency_stop").execute(db).await?;
    Ok(resumed.rows_affected() == 1)
}
