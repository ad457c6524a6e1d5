//! The SQL of second factors.

use sqlx::{PgConnection, Row};

use crate::catalog::EntityRef;

/// A second factor as it is kept.
#[derive(Debug)]
pub struct Kept {
    pub sealed: Vec<u8>,
    pub is_confirmed: bool,
    /// Whether it was shown within the time in which it can be confirmed.
    pub is_fresh: bool,
    /// The step whose code was used last.
    pub step: i64,
    /// What time it is, in seconds since 1970.
    pub now_s: i64,
}

/// That of `user`; whoever else asks for it waits until this transaction ends.
pub async fn lock(
    db: &mut PgConnection,
    user: &EntityRef,
    fresh_s: f64,
) -> sqlx::Result<Option<Kept>> {
    let row = sqlx::query(
        "select secret, confirmed_at is not null as is_confirmed, step,
            shown_at > clock_timestamp() - make_interval(secs => $2) as is_fresh
         from idp.totp
         where user_ref = $1
         for update",
    )
    .bind(user.as_str())
    .bind(fresh_s)
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    // Of after the wait for the lock.
    let now_s = sqlx::query_scalar("select floor(extract(epoch from clock_timestamp()))::bigint")
        .fetch_one(db)
        .await?;
    Ok(Some(Kept {
        sealed: row.get("secret"),
        is_confirmed: row.get("is_confirmed"),
        is_fresh: row.get("is_fresh"),
        step: row.get("step"),
        now_s,
    }))
}

/// Keeps a secret of `user` that is not confirmed, in the place of whichever was.
pub async fn keep(db: &mut PgConnection, user: &EntityRef, sealed: &[u8]) -> sqlx::Result<()> {
    sqlx::query(
        "insert into idp.totp (user_ref, secret)
         values ($1, $2)
         on conflict (user_ref) do update
         set secret = excluded.secret, shown_at = clock_timestamp(), confirmed_at = null, step = 0",
    )
    .bind(user.as_str())
    .bind(sealed)
    .execute(db)
    .await?;
    Ok(())
}

/// The code of `step` was used.
pub async fn use_up(db: &mut PgConnection, user: &EntityRef, step: i64) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.totp
         set step = $2, confirmed_at = coalesce(confirmed_at, clock_timestamp())
         where user_ref = $1",
    )
    .bind(user.as_str())
    .bind(step)
    .execute(db)
    .await?;
    Ok(())
}

/// Takes that of `user` away; whether there was one.
pub async fn remove(db: &mut PgConnection, user: &EntityRef) -> sqlx::Result<bool> {
    let removed = sqlx::query("delete from idp.totp where user_ref = $1")
        .bind(user.as_str())
        .execute(db)
        .await?;
    Ok(removed.rows_affected() > 0)
}

/// How many codes of `user` were wrong in the last `seconds`.
pub async fn failures(db: &mut PgConnection, user: &EntityRef, seconds: f64) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*)
         from idp.totp_failure
         where user_ref = $1 and at > clock_timestamp() - make_interval(secs => $2)",
    )
    .bind(user.as_str())
    .bind(seconds)
    .fetch_one(db)
    .await
}

/// Notes that a code of `user` was wrong; what is older than `seconds` is forgotten.
pub async fn note_failure(
    db: &mut PgConnection,
    user: &EntityRef,
    seconds: f64,
) -> sqlx::Result<()> {
    sqlx::query("delete from idp.totp_failure where at < now() - make_interval(secs => $1)")
        .bind(seconds)
        .execute(&mut *db)
        .await?;
    sqlx::query("insert into idp.totp_failure (user_ref) values ($1)")
        .bind(user.as_str())
        .execute(db)
        .await?;
    Ok(())
}
