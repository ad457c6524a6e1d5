//! The SQL of decisions that are handed on.

use sqlx::PgConnection;

use super::Delegation;
use crate::access::Person;
use crate::actions::Request;
use crate::actions::store::{factors, in_time, needed, places_of, speaker};
use crate::catalog::EntityRef;

/// What `person` may decide on `request` by `factors`, `delegate` decides from now on. Whether that came in time: if not,
/// the transaction is over.
pub async fn insert(
    db: &mut PgConnection,
    request: &Request,
    person: &Person,
    delegate: &EntityRef,
    factors: &[usize],
    note: Option<&str>,
) -> sqlx::Result<bool> {
    let account = &person.speaker;
    let written = sqlx::query(
        "insert into idp.delegation
           (request, person, delegate, intent, factors, platform, tenant, account, generation, note)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(request.id)
    .bind(person.user.as_ref().map(EntityRef::as_str))
    .bind(delegate.as_str())
    .bind(&request.intent)
    .bind(places_of(factors))
    .bind(account.platform.word())
    .bind(&account.tenant)
    .bind(&account.user_id)
    .bind(person.link.as_ref().map_or(0, |it| it.generation))
    .bind(note)
    .execute(db)
    .await;
    Ok(in_time(written)?.is_some())
}

/// What was handed on of the request, the oldest first.
pub async fn of(db: &mut PgConnection, request: i64) -> sqlx::Result<Vec<Delegation>> {
    let rows = sqlx::query(
        "select person, delegate, factors, platform, tenant, account, note, at
         from idp.delegation
         where request = $1
         order by at, person",
    )
    .bind(request)
    .fetch_all(db)
    .await?;
    let delegation = |row: &sqlx::postgres::PgRow| {
        use sqlx::Row;
        Ok(Delegation {
            person: needed(row, "person")?,
            delegate: needed(row, "delegate")?,
            factors: factors(row)?,
            account: speaker(row)?,
            note: row.try_get("note")?,
            at: row.try_get("at")?,
        })
    };
    rows.iter().map(delegation).collect()
}
