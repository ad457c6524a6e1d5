//! The SQL of trying again.

use sqlx::PgConnection;

use crate::access::Person;
use crate::actions::Request;
use crate::catalog::EntityRef;

/// What `request` failed at is as new, for the `number`-th time, because `person` wants that; the first of those steps.
pub async fn again(
    db: &mut PgConnection,
    request: &Request,
    number: i16,
    person: &Person,
) -> sqlx::Result<Option<String>> {
    let account = &person.speaker;
    sqlx::query(
        "insert into idp.retry (request, number, person, intent, platform, tenant, account, generation)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(request.id)
    .bind(number)
    .bind(person.user.as_ref().map(EntityRef::as_str))
    .bind(&request.intent)
    .bind(account.platform.word())
    .bind(&account.tenant)
    .bind(&account.user_id)
    .bind(person.link.as_ref().map_or(0, |it| it.generation))
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "update idp.execution
         set state = 'ready', retries = $2, ended_at = null, end_by = null, note = null, next_at = clock_timestamp(),
             lease_owner = null, lease_until = null
         where request = $1",
    )
    .bind(request.id)
    .bind(number)
    .execute(&mut *db)
    .await?;
    let steps: Vec<(i16, String)> = sqlx::query_as(
        "with failed as (
           select number, state from idp.step where request = $1 and state in ('failed', 'skipped')
         ), again as (
           update idp.step
           set state = 'ready', run = $2, attempts = 0, sent_at = null, reference = null, url = null, note = null,
               outputs = '{}', redeemed_at = null, redeemed_by = null
           where request = $1 and state in ('failed', 'skipped')
           returning number, name
         )
         select again.number, name
         from again
         join failed using (number)
         where failed.state = 'failed'
         order by number",
    )
    .bind(request.id)
    .bind(number)
    .fetch_all(&mut *db)
    .await?;
    Ok(steps.into_iter().next().map(|(_, name)| name))
}

/// How often `request` was tried again.
pub async fn count(db: &mut PgConnection, request: i64) -> sqlx::Result<i16> {
    sqlx::query_scalar("select retries from idp.execution where request = $1")
        .bind(request)
        .fetch_one(db)
        .await
}
