//! The SQL of the gateway's session, and of how often one was begun.

use sqlx::PgPool;

use super::frame::Session;

/// What a process that wants to hear Discord finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It may; `None`: there is no session to take up.
    Ours(Option<Session>),
    /// Another process does.
    Anothers,
}

/// `holder` hears Discord for the next `lease_s`, unless another does.
pub async fn claim(
    db: &PgPool,
    application_id: &str,
    holder: &str,
    lease_s: f64,
) -> sqlx::Result<Claim> {
    type Row = (Option<String>, Option<String>, Option<i64>, Option<bool>);
    let row: Option<Row> = sqlx::query_as(
        "insert into idp.discord_session as held (application_id, holder, lease_until)
         values ($1, $2, clock_timestamp() + make_interval(secs => $3))
         on conflict (application_id) do update
         set holder = excluded.holder, lease_until = excluded.lease_until
         where held.holder = excluded.holder or held.lease_until < clock_timestamp()
         returning session_id, url, sequence, messages",
    )
    .bind(application_id)
    .bind(holder)
    .bind(lease_s)
    .fetch_optional(db)
    .await?;
    Ok(match row {
        None => Claim::Anothers,
        Some((Some(id), Some(url), Some(sequence), Some(messages))) => {
            let sequence = sequence.unsigned_abs();
            Claim::Ours(Some(Session { id, url, sequence, messages }))
        }
        Some(_) => Claim::Ours(None),
    })
}

/// Writes down where `holder` is in its session, and that it hears on for `lease_s`; `false` when another
/// process does.
pub async fn note(
    db: &PgPool,
    application_id: &str,
    holder: &str,
    session: Option<&Session>,
    lease_s: f64,
) -> sqlx::Result<bool> {
    let noted = sqlx::query(
        "update idp.discord_session
         set session_id = $3, url = $4, sequence = $5, messages = $6,
           lease_until = clock_timestamp() + make_interval(secs => $7)
         where application_id = $1 and holder = $2",
    )
    .bind(application_id)
    .bind(holder)
    .bind(session.map(|it| &it.id))
    .bind(session.map(|it| &it.url))
    .bind(session.map(|it| it.sequence.cast_signed()))
    .bind(session.map(|it| it.messages))
    .bind(lease_s)
    .execute(db)
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// How many sessions were begun within a day, by whichever process.
pub async fn begun_within_a_day(db: &PgPool, application_id: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*)
         from idp.discord_identify
         where application_id = $1 and at > clock_timestamp() - interval '1 day'",
    )
    .bind(application_id)
    .fetch_one(db)
    .await
}

/// A session is about to be begun. What is older than a day is forgotten.
pub async fn begin(db: &PgPool, application_id: &str) -> sqlx::Result<()> {
    sqlx::query(
        "with forgotten as (
           delete from idp.discord_identify where at < now() - interval '1 day')
         insert into idp.discord_identify (application_id) values ($1)",
    )
    .bind(application_id)
    .execute(db)
    .await?;
    Ok(())
}
