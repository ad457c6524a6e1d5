//! Getting a second factor, showing a code of it, taking it away. Each within the caller's transaction, which is to be
//! committed also where it refuses: that a code was wrong is noted in it.

use sqlx::PgConnection;

use super::store::{self, Kept};
use super::{FAILURES_MAX, Secret, Typed};
use crate::access::code::MINUTES;
use crate::catalog::EntityRef;
use crate::error::Result;
use crate::vault::Key;

/// What the instance's key seals secrets for.
const PURPOSE: &str = "totp";

const PATIENCE_S: f64 = (MINUTES * 60) as f64;

/// A new secret of `user`, to be shown once; it counts from the first code on that is typed of it.
///
/// # Errors
/// A refusal where they have one. The database.
pub async fn issue(db: &mut PgConnection, key: &Key, user: &EntityRef) -> Result<Secret> {
    if let Some(kept) = store::lock(db, user, PATIENCE_S).await?
        && kept.is_confirmed
        && open(key, user, &kept).is_some()
    {
        return Err(super::taken().into());
    }
    let secret = Secret::random();
    let sealed = key.seal(PURPOSE, user.as_str().as_bytes(), secret.bytes());
    store::keep(db, user, &sealed).await?;
    Ok(secret)
}

/// The secret that was shown to `user` is theirs from now on: `code` is of it.
///
/// # Errors
/// A refusal: a code that is not good, a secret that was shown too long ago. The database.
pub async fn confirm(db: &mut PgConnection, key: &Key, user: &EntityRef, code: &str) -> Result<()> {
    let kept = store::lock(db, user, PATIENCE_S).await?;
    let kept = kept.filter(|kept| kept.is_confirmed || kept.is_fresh).ok_or_else(super::none)?;
    if kept.is_confirmed {
        return Err(super::taken().into());
    }
    check(db, key, user, &kept, code).await
}

/// `code` is one of `user`'s second factor, and is used up. Until the transaction ends nobody else shows one of theirs. Commit
/// it also where this refuses: without the failure that is noted in it, who guesses is never stopped.
///
/// # Errors
/// A refusal: no second factor, a code that is not good or was used, too many that were not good. The database.
pub async fn verify(db: &mut PgConnection, key: &Key, user: &EntityRef, code: &str) -> Result<()> {
    let kept = store::lock(db, user, PATIENCE_S).await?;
    let kept = kept.filter(|kept| kept.is_confirmed).ok_or_else(super::none)?;
    check(db, key, user, &kept, code).await
}

/// Takes the second factor of `user` away, of which `code` is one.
///
/// # Errors
/// As [`verify`].
pub async fn remove(db: &mut PgConnection, key: &Key, user: &EntityRef, code: &str) -> Result<()> {
    verify(db, key, user, code).await?;
    store::remove(db, user).await?;
    Ok(())
}

/// Takes the second factor of `user` away, who has lost it; whether there was one.
///
/// # Errors
/// The database.
pub async fn forget(db: &mut PgConnection, user: &EntityRef) -> anyhow::Result<bool> {
    Ok(store::remove(db, user).await?)
}

async fn check(
    db: &mut PgConnection,
    key: &Key,
    user: &EntityRef,
    kept: &Kept,
    code: &str,
) -> Result<()> {
    if store::failures(db, user, PATIENCE_S).await? >= FAILURES_MAX {
        return Err(super::too_many().into());
    }
    let secret = open(key, user, kept).ok_or_else(super::unreadable)?;
    let step = Typed::read(code).and_then(|typed| secret.step(typed, kept.now_s));
    match step {
        Some(step) if step > kept.step => Ok(store::use_up(db, user, step).await?),
        Some(_) => Err(super::used().into()),
        None => {
            store::note_failure(db, user, PATIENCE_S).await?;
            Err(super::not_good().into())
        }
    }
}

fn open(key: &Key, user: &EntityRef, kept: &Kept) -> Option<Secret> {
    key.open(PURPOSE, user.as_str().as_bytes(), &kept.sealed).map(Secret::of)
}
