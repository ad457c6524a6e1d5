//! Whether this process and its database have the same key.

use sqlx::PgPool;

use super::{Key, store};

/// This process has another key than the database's others.
#[derive(Debug, thiserror::Error)]
#[error(
    "this process has another key than the one that the database was used with: give all processes of it the same in \
     `IDP_KEY` or `IDP_KEY_FILE`, or copy the file `key` of the first one's data directory. Where the old one is lost, \
     `idp key accept` makes this one the database's; what was sealed with the old one cannot be read any more"
)]
pub struct OtherKey;

/// The database's key is `key`, from the first time on that it is asked.
///
/// # Errors
/// [`OtherKey`]; the database.
pub async fn hold(db: &PgPool, key: &Key) -> anyhow::Result<()> {
    let mut connection = db.acquire().await?;
    let ours = key.fingerprint();
    match store::hold(&mut connection, &ours).await? == ours {
        true => Ok(()),
        false => Err(OtherKey.into()),
    }
}

/// Makes `key` the database's; whether it was another.
///
/// # Errors
/// The database.
pub async fn accept(db: &PgPool, key: &Key) -> anyhow::Result<bool> {
    let mut connection = db.acquire().await?;
    Ok(store::replace(&mut connection, &key.fingerprint()).await?)
}
