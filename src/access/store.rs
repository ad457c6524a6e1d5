//! The SQL of links and codes.

use std::collections::HashMap;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::code::Offer;
use super::link::{Link, LinkSet, Made};
use crate::catalog::EntityRef;
use crate::conversation::{Platform, Speaker};

pub async fn revision(db: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("select revision from idp.access_revision").fetch_one(db).await
}

/// Whoever else changes links waits until this transaction ends.
pub async fn lock(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("select from idp.access_revision for update").execute(db).await?;
    Ok(())
}

/// Counts the revision up; every process hears of it once the transaction is committed.
pub async fn next_revision(db: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "with next as (
            update idp.access_revision set revision = revision + 1 returning revision
         )
         select revision from next, pg_notify('idp_access', '')",
    )
    .fetch_one(db)
    .await
}

/// All links as they are now.
pub async fn links(db: &mut PgConnection) -> sqlx::Result<LinkSet> {
    let rows = sqlx::query(
        "select revision, platform, tenant, platform_user, user_ref, guest, generation, made_by, created_at
         from idp.access_revision
         left join idp.identity_link on true",
    )
    .fetch_all(db)
    .await?;
    let revision = rows.first().map_or(0, |row| row.get("revision"));
    let linked = rows.iter().filter(|row| row.get::<Option<&str>, _>("platform").is_some());
    let by_account = linked.map(|row| Ok((account(row)?, link(row)?)));
    Ok(LinkSet { revision, by_account: by_account.collect::<sqlx::Result<HashMap<_, _>>>()? })
}

fn account(row: &PgRow) -> sqlx::Result<Speaker> {
    let platform: &str = row.get("platform");
    Ok(Speaker {
        platform: Platform::from_word(platform).ok_or_else(|| unreadable(platform))?,
        tenant: row.get("tenant"),
        user_id: row.get("platform_user"),
    })
}

fn link(row: &PgRow) -> sqlx::Result<Link> {
    let made_by: &str = row.get("made_by");
    let made = Made::ALL.into_iter().find(|it| it.word() == made_by);
    Ok(Link {
        user: user(row)?,
        guest: row.get("guest"),
        generation: row.get("generation"),
        made_by: made.ok_or_else(|| unreadable(made_by))?,
        created_at: row.get("created_at"),
    })
}

fn user(row: &PgRow) -> sqlx::Result<EntityRef> {
    let text: &str = row.get("user_ref");
    EntityRef::parse(text, None, "default").map_err(|error| sqlx::Error::Decode(error.into()))
}

fn unreadable(word: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("`{word}` is of another version").into())
}

/// Adds links of accounts that have none.
pub async fn insert(db: &mut PgConnection, links: &[(&Speaker, Link)]) -> sqlx::Result<()> {
    let platforms: Vec<&str> = links.iter().map(|(account, _)| account.platform.word()).collect();
    let tenants: Vec<&str> = links.iter().map(|(account, _)| account.tenant.as_str()).collect();
    let accounts: Vec<&str> = links.iter().map(|(account, _)| account.user_id.as_str()).collect();
    let users: Vec<&str> = links.iter().map(|(_, link)| link.user.as_str()).collect();
    let guests: Vec<bool> = links.iter().map(|(_, link)| link.guest).collect();
    let generations: Vec<i64> = links.iter().map(|(_, link)| link.generation).collect();
    let made_by: Vec<&str> = links.iter().map(|(_, link)| link.made_by.word()).collect();
    let created_at: Vec<_> = links.iter().map(|(_, link)| link.created_at).collect();
    sqlx::query(
        "insert into idp.identity_link
            (platform, tenant, platform_user, user_ref, guest, generation, made_by, created_at)
         select *
         from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::bigint[],
            $7::text[], $8::timestamptz[])",
    )
    .bind(platforms)
    .bind(tenants)
    .bind(accounts)
    .bind(users)
    .bind(guests)
    .bind(generations)
    .bind(made_by)
    .bind(created_at)
    .execute(db)
    .await?;
    Ok(())
}

/// Takes the links of `accounts` away, and the codes of whom they were: whoever had the account may have asked for
/// one. How many had a link.
pub async fn remove(db: &mut PgConnection, accounts: &[Speaker]) -> sqlx::Result<i64> {
    let platforms: Vec<&str> = accounts.iter().map(|it| it.platform.word()).collect();
    let tenants: Vec<&str> = accounts.iter().map(|it| it.tenant.as_str()).collect();
    let users: Vec<&str> = accounts.iter().map(|it| it.user_id.as_str()).collect();
    sqlx::query_scalar(
        "with removed as (
            delete from idp.identity_link
            where (platform, tenant, platform_user) in (
                select * from unnest($1::text[], $2::text[], $3::text[])
            )
            returning user_ref
         ), void as (
            delete from idp.link_code
            where user_ref in (select user_ref from removed)
         )
         select count(*) from removed",
    )
    .bind(platforms)
    .bind(tenants)
    .bind(users)
    .fetch_one(db)
    .await
}

/// Keeps the hash of a code for `lifetime_s` seconds; codes that are older go.
pub async fn keep_code(
    db: &mut PgConnection,
    hash: &[u8],
    offer: &Offer,
    lifetime_s: f64,
) -> sqlx::Result<()> {
    sqlx::query("delete from idp.link_code where expires_at < now()").execute(&mut *db).await?;
    sqlx::query(
        "insert into idp.link_code (hash, user_ref, guest, expires_at)
         values ($1, $2, $3, clock_timestamp() + make_interval(secs => $4))",
    )
    .bind(hash)
    .bind(offer.user.as_str())
    .bind(offer.guest)
    .bind(lifetime_s)
    .execute(db)
    .await?;
    Ok(())
}

/// What the code was issued for; it is gone then. `None` for one that was never issued, was used, or is too old.
pub async fn take_code(db: &mut PgConnection, hash: &[u8]) -> sqlx::Result<Option<Offer>> {
    let row = sqlx::query(
        "delete from idp.link_code
         where hash = $1
         returning user_ref, guest, expires_at > clock_timestamp() as is_fresh",
    )
    .bind(hash)
    .fetch_optional(db)
    .await?;
    let fresh = row.filter(|row| row.get("is_fresh"));
    fresh.map(|row| Ok(Offer { user: user(&row)?, guest: row.get("guest") })).transpose()
}

/// How many codes `account` got wrong in the last `seconds`.
pub async fn failures(db: &mut PgConnection, account: &Speaker, seconds: f64) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*)
         from idp.link_failure
         where platform = $1 and tenant = $2 and platform_user = $3
            and at > clock_timestamp() - make_interval(secs => $4)",
    )
    .bind(account.platform.word())
    .bind(&account.tenant)
    .bind(&account.user_id)
    .bind(seconds)
    .fetch_one(db)
    .await
}

/// Notes that `account` got a code wrong; what is older than `seconds` is forgotten.
pub async fn note_failure(
    db: &mut PgConnection,
    account: &Speaker,
    seconds: f64,
) -> sqlx::Result<()> {
    sqlx::query("delete from idp.link_failure where at < now() - make_interval(secs => $1)")
        .bind(seconds)
        .execute(&mut *db)
        .await?;
    sqlx::query(
        "insert into idp.link_failure (platform, tenant, platform_user) values ($1, $2, $3)",
    )
    .bind(account.platform.word())
    .bind(&account.tenant)
    .bind(&account.user_id)
    .execute(db)
    .await?;
    Ok(())
}
