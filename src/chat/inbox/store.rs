//! The inbox's SQL.

use std::collections::HashSet;

use serde_json::Value;
use sqlx::types::Json;
use sqlx::{PgExecutor, PgPool};

use super::{Delivery, Left};

/// Tenant and envelope: what identifies a delivery on its platform.
pub type Key = (String, String);

/// The keys of deliveries, a list for each column.
struct Keys<'a> {
    platforms: Vec<&'a str>,
    tenants: Vec<&'a str>,
    envelopes: Vec<&'a str>,
}

impl<'a> Keys<'a> {
    fn of(deliveries: &'a [Delivery]) -> Keys<'a> {
        Keys {
            platforms: deliveries.iter().map(|it| it.platform).collect(),
            tenants: deliveries.iter().map(|it| it.tenant.as_str()).collect(),
            envelopes: deliveries.iter().map(|it| it.envelope.as_str()).collect(),
        }
    }
}

/// The keys of those that were not there before; all are of one platform.
///
/// In the order of their keys, so that two who write the same do not wait for each other.
pub async fn insert(
    db: &PgPool,
    deliveries: &[Delivery],
    lease_s: f64,
) -> sqlx::Result<HashSet<Key>> {
    let Keys { platforms, tenants, envelopes } = Keys::of(deliveries);
    let bodies: Vec<_> = deliveries.iter().map(|it| Json(&it.body)).collect();
    let inserted = sqlx::query_as(
        "insert into idp.inbox (platform, tenant, envelope, body, lease_until)
         select platform, tenant, envelope, body, clock_timestamp() + make_interval(secs => $5)
         from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[]) as new (platform, tenant, envelope, body)
         order by platform, tenant, envelope
         on conflict do nothing
         returning tenant, envelope",
    )
    .bind(platforms)
    .bind(tenants)
    .bind(envelopes)
    .bind(bodies)
    .bind(lease_s)
    .fetch_all(db)
    .await?;
    Ok(inserted.into_iter().collect())
}

/// [`finish`] of each.
pub async fn finish_all(db: &PgPool, deliveries: &[Delivery]) -> sqlx::Result<()> {
    let Keys { platforms, tenants, envelopes } = Keys::of(deliveries);
    sqlx::query(
        "update idp.inbox
         set done_at = clock_timestamp(), body = '{}'
         from unnest($1::text[], $2::text[], $3::text[]) as done (platform, tenant, envelope)
         where (inbox.platform, inbox.tenant, inbox.envelope) = (done.platform, done.tenant, done.envelope)",
    )
    .bind(platforms)
    .bind(tenants)
    .bind(envelopes)
    .execute(db)
    .await?;
    Ok(())
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
