//! The SQL of commands: `sql:` lookups, what was asked in vain, and lately.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::asked::{self, KEPT_DAYS};
use super::file::SqlLookup;
use super::unanswered::Asked;
use crate::conversation::{Platform, Speaker};

/// The most questions that are kept; those asked longest ago go.
const QUESTIONS_MAX: i64 = 10_000;

/// What a `sql:` lookup found: its rows as JSON objects, in its order, at most `rows_max` of them,
/// and whether there were more.
///
/// It reads as the role `idp_reader`, in a transaction that cannot write, and gives up after `patience`.
/// `values` are bound as text, in the order of the lookup's parameters.
pub async fn rows(
    db: &PgPool,
    lookup: &SqlLookup,
    values: &[Option<&str>],
    rows_max: usize,
    patience: Duration,
) -> sqlx::Result<(Vec<Value>, bool)> {
    let mut tx = db.begin().await?;
    sqlx::query("set transaction read only").execute(&mut *tx).await?;
    // Who may not be the reader reads as who we are: it still cannot write.
    sqlx::query(
        "select set_config('statement_timeout', $1, true), set_config('role', role.name, true)
         from (
             select coalesce(max(rolname) filter (where pg_has_role(oid, 'member')), 'none') as name
             from pg_roles
             where rolname = 'idp_reader'
         ) role",
    )
    .bind(format!("{}ms", patience.as_millis()))
    .execute(&mut *tx)
    .await?;
    // The statement is the command file's; what people typed is bound.
    let statement = format!(
        "select row_to_json(found) from (\n{}\n) found limit {}",
        lookup.statement,
        rows_max + 1
    );
    let mut query = sqlx::query_scalar(AssertSqlSafe(statement)).persistent(false);
    for value in values {
        query = query.bind(*value);
    }
    let mut rows: Vec<Value> = query.fetch_all(&mut *tx).await?;
    tx.rollback().await?;
    let is_cut = rows.len() > rows_max;
    rows.truncate(rows_max);
    Ok((rows, is_cut))
}

/// Adds `asked` to what was asked in vain before.
pub async fn keep_unanswered(db: &mut PgConnection, asked: &[Asked]) -> sqlx::Result<()> {
    let platforms: Vec<&str> = asked.iter().map(|it| it.platform.word()).collect();
    let questions: Vec<&str> = asked.iter().map(|it| it.question.as_str()).collect();
    let refusals: Vec<&str> = asked.iter().map(|it| it.refusal.as_str()).collect();
    let times: Vec<i64> = asked.iter().map(|it| it.times).collect();
    let last_at: Vec<_> = asked.iter().map(|it| it.last_at).collect();
    sqlx::query(
        "insert into idp.unanswered as known (platform, question, refusal, times, first_at, last_at)
         select platform, question, refusal, times, at, at
         from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[])
             as it (platform, question, refusal, times, at)
         order by platform, question
         on conflict (platform, question) do update
         set times = known.times + excluded.times,
             refusal = excluded.refusal,
             last_at = greatest(known.last_at, excluded.last_at)",
    )
    .bind(platforms)
    .bind(questions)
    .bind(refusals)
    .bind(times)
    .bind(last_at)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "delete from idp.unanswered
         where (platform, question) in (
             select platform, question
             from idp.unanswered
             order by last_at desc
             offset $1
         )",
    )
    .bind(QUESTIONS_MAX)
    .execute(db)
    .await?;
    Ok(())
}

/// What was asked in vain most often, at most `limit`.
pub async fn unanswered(db: &PgPool, limit: i64) -> sqlx::Result<Vec<Asked>> {
    let rows: Vec<(String, String, String, i64, _)> = sqlx::query_as(
        "select platform, question, refusal, times, last_at
         from idp.unanswered
         order by times desc, last_at desc, question
         limit $1",
    )
    .bind(limit)
    .fetch_all(db)
    .await?;
    let asked = rows.into_iter().filter_map(|(platform, question, refusal, times, last_at)| {
        Some(Asked { platform: Platform::from_word(&platform)?, question, refusal, times, last_at })
    });
    Ok(asked.collect())
}

/// Adds `asked` to what was asked before, of which each account keeps the newest `questions_max`.
pub async fn keep_asked(
    db: &mut PgConnection,
    asked: &[asked::Asked],
    questions_max: i64,
) -> sqlx::Result<()> {
    let platforms: Vec<&str> = asked.iter().map(|it| it.speaker.platform.word()).collect();
    let tenants: Vec<&str> = asked.iter().map(|it| it.speaker.tenant.as_str()).collect();
    let users: Vec<&str> = asked.iter().map(|it| it.speaker.user_id.as_str()).collect();
    let words: Vec<&str> = asked.iter().map(|it| it.words.as_str()).collect();
    let at: Vec<_> = asked.iter().map(|it| it.at).collect();
    sqlx::query(
        "insert into idp.recent_question as known
             (platform, tenant, platform_user, words, asked_at)
         select platform, tenant, platform_user, words, max(at)
         from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
             as it (platform, tenant, platform_user, words, at)
         group by platform, tenant, platform_user, words
         order by platform, tenant, platform_user, words
         on conflict (platform, tenant, platform_user, words) do update
         set asked_at = greatest(known.asked_at, excluded.asked_at)",
    )
    .bind(&platforms)
    .bind(&tenants)
    .bind(&users)
    .bind(words)
    .bind(at)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "delete from idp.recent_question
         where (platform, tenant, platform_user, words) in (
             select platform, tenant, platform_user, words
             from (
                 select platform, tenant, platform_user, words, row_number() over (
                     partition by platform, tenant, platform_user
                     order by asked_at desc, words
                 ) as place
                 from idp.recent_question
                 where (platform, tenant, platform_user) in (
                     select * from unnest($1::text[], $2::text[], $3::text[])
                 )
             ) own
             where place > $4
         )",
    )
    .bind(platforms)
    .bind(tenants)
    .bind(users)
    .bind(questions_max)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "delete from idp.recent_question
         where asked_at < now() - make_interval(days => $1)",
    )
    .bind(KEPT_DAYS)
    .execute(db)
    .await?;
    Ok(())
}

/// What `speaker` asked since `since`, newest first.
pub async fn asked(
    db: &PgPool,
    speaker: &Speaker,
    since: DateTime<Utc>,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select words
         from idp.recent_question
         where platform = $1 and tenant = $2 and platform_user = $3 and asked_at > $4
         order by asked_at desc, words",
    )
    .bind(speaker.platform.word())
    .bind(&speaker.tenant)
    .bind(&speaker.user_id)
    .bind(since)
    .fetch_all(db)
    .await
}
