//! The SQL of the key's fingerprint.

use sqlx::PgConnection;

/// The fingerprint of the database's key; `ours`, where it had none.
pub async fn hold(db: &mut PgConnection, ours: &[u8]) -> sqlx::Result<Vec<u8>> {
    sqlx::query("insert into idp.vault_key (fingerprint) values ($1) on conflict do nothing")
        .bind(ours)
        .execute(&mut *db)
        .await?;
    sqlx::query_scalar("select fingerprint from idp.vault_key").fetch_one(db).await
}

/// From now on `ours` is the fingerprint of the database's key; whether it was another.
pub async fn replace(db: &mut PgConnection, ours: &[u8]) -> sqlx::Result<bool> {
    let replaced = sqlx::query(
        "insert into idp.vault_key as kept (fingerprint)
         values ($1)
         on conflict (one) do update
         set fingerprint = excluded.fingerprint, since = clock_timestamp()
         where kept.fingerprint <> excluded.fingerprint",
    )
    .bind(ours)
    .execute(db)
    .await?;
    Ok(replaced.rows_affected() > 0)
}
