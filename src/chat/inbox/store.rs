//! The inbox's SQL.

use serde_json::Value;
use sqlx::{PgExecutor, PgPool};

use super::{Delivery, Left};

/// `false` when the delivery was there before.
pub async fn insert(db: &PgPool, delivery: &Delivery, lease_s: f64) -> sqlx::Result<bool> {
    let inserted = sqlx::query(
        "insert into idp.inbox (platform, tenant, envelope, body, lease_until)
         values ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5))
         on conflict do nothing",
    )
    .bind(delivery.platform)
    .bind(&delivery.tenant)
    .bind(&delivery.envelope)
    .bind(&delivery.body)
    .bind(lease_s)
    .execute(db)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub async fn finish(db: impl PgExecutor<'_>, delivery: &Delivery) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.inbox
         set done_at = clock_timestamp(), body = '{}'
         where platform = $1 and tenant = $2 and envelope = $3",
    )
    .bind(delivery.platform)
    .bind(&delivery.tenant)
    .bind(&delivery.envelope)
    .execute(db)
    .await?;
    Ok(())
}

/// Unfinished deliveries of `platform` whose lease has ended; those are late that are older than `fresh_s`.
pub async fn claim(
    db: &PgPool,
    platform: &'static str,
    lease_s: f64,
    fresh_s: f64,
) -> sqlx::Result<Vec<Left>> {
    let rows: Vec<(String, String, Value, bool)> = sqlx::query_as(
        "update idp.inbox
         set lease_until = clock_timestamp() + make_interval(secs => $2)
         where (platform, tenant, envelope) in (
           select platform, tenant, envelope
           from idp.inbox
           where platform = $1 and done_at is null and lease_until < clock_timestamp()
           order by received_at
           limit 100
           for update skip locked)
         returning tenant, envelope, body, received_at <= clock_timestamp() - make_interval(secs => $3)",
    )
    .bind(platform)
    .bind(lease_s)
    .bind(fresh_s)
    .fetch_all(db)
    .await?;
    let left = |(tenant, envelope, body, is_late)| {
        let delivery = Delivery { platform, tenant, envelope, body };
        Left { delivery, is_late }
    };
    Ok(rows.into_iter().map(left).collect())
}

/// Deletes what came in a day ago: no platform delivers anything again so late.
pub async fn forget(db: &PgPool) -> sqlx::Result<()> {
    sqlx::query("delete from idp.inbox where received_at < now() - interval '1 day'")
        .execute(db)
        .await?;
    Ok(())
}
