//! The SQL of facts.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::push::{Known, Step};
use super::{Changed, Fact};
use crate::catalog::EntityRef;

/// The newest revision, and the time. Whoever else reports facts waits until this transaction ends.
pub async fn lock(db: &mut PgConnection) -> sqlx::Result<(i64, DateTime<Utc>)> {
    let row = sqlx::query("select revision from idp.fact_revision for update").fetch_one(&mut *db);
    let revision = row.await?.get("revision");
    // Asked once the lock is held: the time of who waited is not that of who began.
    let now = sqlx::query_scalar("select clock_timestamp()").fetch_one(db).await?;
    Ok((revision, now))
}

/// The newest.
pub async fn revision(db: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("select revision from idp.fact_revision").fetch_one(db).await
}

/// Every process hears of it once the transaction is committed.
pub async fn set_revision(db: &mut PgConnection, revision: i64) -> sqlx::Result<()> {
    sqlx::query(
        "with next as (
            update idp.fact_revision set revision = $1 returning revision
         )
         select from next, pg_notify('idp_facts', '')",
    )
    .bind(revision)
    .execute(db)
    .await?;
    Ok(())
}

/// The facts that are known of these entities and keys, pairwise.
pub async fn known(db: &mut PgConnection, entities: &[&str], keys: &[&str]) -> sqlx::Result<Known> {
    let rows = sqlx::query(
        "select entity, key, value::text as value, source, observed_at, valid_until
         from idp.fact
         where (entity, key) in (select * from unnest($1::text[], $2::text[]))",
    )
    .bind(entities)
    .bind(keys)
    .fetch_all(db)
    .await?;
    let facts = rows.iter().map(|row| {
        let fact = fact(row)?;
        Ok(((fact.entity.clone(), fact.key.clone()), fact))
    });
    facts.collect()
}

/// Puts `facts`, each of another entity or key, in the place of what was known.
pub async fn keep(db: &mut PgConnection, facts: &[Fact], revision: i64) -> sqlx::Result<()> {
    let entities: Vec<&str> = facts.iter().map(|it| it.entity.as_str()).collect();
    let keys: Vec<&str> = facts.iter().map(|it| it.key.as_str()).collect();
    let values: Vec<String> = facts.iter().map(|it| it.value.to_string()).collect();
    let sources: Vec<&str> = facts.iter().map(|it| it.source.as_str()).collect();
    let observed_at: Vec<DateTime<Utc>> = facts.iter().map(|it| it.observed_at).collect();
    let valid_until: Vec<Option<DateTime<Utc>>> = facts.iter().map(|it| it.valid_until).collect();
    sqlx::query(
        "insert into idp.fact (entity, key, value, source, observed_at, valid_until, revision)
         select entity, key, value::jsonb, source, observed_at, valid_until, $7
         from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[])
            as new (entity, key, value, source, observed_at, valid_until)
         on conflict (entity, key) do update
         set value = excluded.value, source = excluded.source, observed_at = excluded.observed_at,
            valid_until = excluded.valid_until, revision = excluded.revision",
    )
    .bind(entities)
    .bind(keys)
    .bind(values)
    .bind(sources)
    .bind(observed_at)
    .bind(valid_until)
    .bind(revision)
    .execute(db)
    .await?;
    Ok(())
}

/// Writes down which values became others.
pub async fn keep_steps(db: &mut PgConnection, steps: &[Step], revision: i64) -> sqlx::Result<()> {
    let facts = || steps.iter().map(|step| &step.fact);
    let entities: Vec<&str> = facts().map(|it| it.entity.as_str()).collect();
    let keys: Vec<&str> = facts().map(|it| it.key.as_str()).collect();
    let was: Vec<Option<String>> =
        steps.iter().map(|step| step.was.as_ref().map(Value::to_string)).collect();
    let became: Vec<String> = facts().map(|it| it.value.to_string()).collect();
    let sources: Vec<&str> = facts().map(|it| it.source.as_str()).collect();
    let observed_at: Vec<DateTime<Utc>> = facts().map(|it| it.observed_at).collect();
    sqlx::query(
        "insert into idp.fact_change (entity, key, was, became, source, observed_at, revision)
         select entity, key, was::jsonb, became::jsonb, source, observed_at, $7
         from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
            with ordinality as new (entity, key, was, became, source, observed_at, place)
         order by place",
    )
    .bind(entities)
    .bind(keys)
    .bind(was)
    .bind(became)
    .bind(sources)
    .bind(observed_at)
    .bind(revision)
    .execute(db)
    .await?;
    Ok(())
}

/// What is known of `entity`, stale or not, by key.
pub async fn facts_of(db: &mut PgConnection, entity: &EntityRef) -> sqlx::Result<Vec<Fact>> {
    let rows = sqlx::query(
        "select entity, key, value::text as value, source, observed_at, valid_until
         from idp.fact
         where entity = $1
         order by key",
    )
    .bind(entity.as_str())
    .fetch_all(db)
    .await?;
    rows.iter().map(fact).collect()
}

/// Every fact, stale or not, that was reported after `revision`, by entity and key; all of them after -1.
pub async fn facts_since(db: &mut PgConnection, revision: i64) -> sqlx::Result<Vec<Fact>> {
    let rows = sqlx::query(
        "select entity, key, value::text as value, source, observed_at, valid_until
         from idp.fact
         where revision > $1
         order by entity, key",
    )
    .bind(revision)
    .fetch_all(db)
    .await?;
    rows.iter().map(fact).collect()
}

/// The facts that became stale after `since`, `now` included, by entity and key.
pub async fn stale_since(
    db: &mut PgConnection,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Fact>> {
    let rows = sqlx::query(
        "select entity, key, value::text as value, source, observed_at, valid_until
         from idp.fact
         where valid_until > $1 and valid_until <= $2
         order by entity, key",
    )
    .bind(since)
    .bind(now)
    .fetch_all(db)
    .await?;
    rows.iter().map(fact).collect()
}

/// The values that became others after `revision`, the newest `limit` first.
pub async fn changes_since(
    db: &mut PgConnection,
    revision: i64,
    limit: i64,
) -> sqlx::Result<Vec<Changed>> {
    let rows = sqlx::query(
        "select entity, key, was::text as was, became::text as became, source, observed_at, at
         from idp.fact_change
         where revision > $1
         order by id desc
         limit $2",
    )
    .bind(revision)
    .bind(limit)
    .fetch_all(db)
    .await?;
    rows.iter().map(changed).collect()
}

/// The values of `entity` that became others, the newest `limit` first.
pub async fn changes_of(
    db: &mut PgConnection,
    entity: &EntityRef,
    limit: i64,
) -> sqlx::Result<Vec<Changed>> {
    let rows = sqlx::query(
        "select entity, key, was::text as was, became::text as became, source, observed_at, at
         from idp.fact_change
         where entity = $1
         order by id desc
         limit $2",
    )
    .bind(entity.as_str())
    .bind(limit)
    .fetch_all(db)
    .await?;
    rows.iter().map(changed).collect()
}

/// Forgets at most `limit` changes that are older than `days`; how many.
pub async fn forget_changes(db: &mut PgConnection, days: i32, limit: i64) -> sqlx::Result<u64> {
    let forgotten = sqlx::query(
        "delete from idp.fact_change
         where id in (
            select id
            from idp.fact_change
            where at < now() - make_interval(days => $1)
            order by at
            limit $2
            for update skip locked
         )",
    )
    .bind(days)
    .bind(limit)
    .execute(db)
    .await?;
    Ok(forgotten.rows_affected())
}

/// Forgets at most `limit` facts that are older than `days` and of entities that the catalog no longer has; how many.
pub async fn forget_facts(db: &mut PgConnection, days: i32, limit: i64) -> sqlx::Result<u64> {
    let forgotten = sqlx::query(
        "delete from idp.fact
         where (entity, key) in (
            select entity, key
            from idp.fact
            where observed_at < now() - make_interval(days => $1)
                and not exists (select from idp.stored_entity where ref = entity)
            limit $2
            for update skip locked
         )",
    )
    .bind(days)
    .bind(limit)
    .execute(db)
    .await?;
    Ok(forgotten.rows_affected())
}

fn fact(row: &PgRow) -> sqlx::Result<Fact> {
    Ok(Fact {
        entity: entity(row)?,
        key: row.get("key"),
        value: value(row.get("value"))?,
        source: row.get("source"),
        observed_at: row.get("observed_at"),
        valid_until: row.get("valid_until"),
    })
}

fn changed(row: &PgRow) -> sqlx::Result<Changed> {
    Ok(Changed {
        entity: entity(row)?,
        key: row.get("key"),
        was: row.get::<Option<&str>, _>("was").map(value).transpose()?,
        became: value(row.get("became"))?,
        source: row.get("source"),
        observed_at: row.get("observed_at"),
        at: row.get("at"),
    })
}

fn entity(row: &PgRow) -> sqlx::Result<EntityRef> {
    let text: &str = row.get("entity");
    EntityRef::parse(text, None, "default").map_err(|error| sqlx::Error::Decode(error.into()))
}

fn value(text: &str) -> sqlx::Result<Value> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
}
