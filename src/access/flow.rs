//! Making links, taking them away, and keeping those in memory current.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::code::{self, Code, FAILURES_MAX, MINUTES, Offer};
use super::link::{Link, LinkSet, Links, Made};
use super::listing::{self, Report};
use super::{disk, store};
use crate::catalog::{EntityRef, Snapshot};
use crate::conversation::Speaker;
use crate::error::Result;

const CODE_LIFETIME_S: f64 = (MINUTES * 60) as f64;

/// All links as the database has them.
///
/// # Errors
/// The database.
pub async fn load(db: &PgPool) -> anyhow::Result<LinkSet> {
    let mut connection = db.acquire().await?;
    store::links(&mut connection).await.context("could not read who is linked to whom")
}

/// Keeps `links` current, and their copy at `disk_copy`, until `stop`: looks whenever `looked` says that the database
/// was heard or asked.
///
/// While the database is away the links stay as they are.
pub async fn follow(
    db: PgPool,
    links: Arc<Links>,
    disk_copy: PathBuf,
    mut looked: watch::Receiver<()>,
    stop: CancellationToken,
) {
    let mut copied = None;
    loop {
        match catch_up(&db, &links).await {
            Ok(()) if copied == Some(links.now().revision) => {}
            Ok(()) => copied = copy(&disk_copy, links.now()).await,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "could not look for new links");
            }
        }
        match stop.run_until_cancelled(looked.changed()).await {
            Some(Ok(())) => {}
            _ => return,
        }
    }
}

/// Writes `links` to `path`; which revision is there now, `None` where it could not be written.
async fn copy(path: &Path, links: Arc<LinkSet>) -> Option<i64> {
    let (path, revision) = (path.to_path_buf(), links.revision);
    let written = spawn_blocking(move || disk::write(&path, &links)).await;
    if let Err(error) = written.map_err(anyhow::Error::new).and_then(|it| it) {
        tracing::error!(error = format!("{error:#}"), "could not write the copy of the links");
        return None;
    }
    Some(revision)
}

async fn catch_up(db: &PgPool, links: &Links) -> anyhow::Result<()> {
    let mut connection = db.acquire().await?;
    if store::revision(&mut connection).await? != links.now().revision {
        links.set(store::links(&mut connection).await?);
    }
    Ok(())
}

/// Makes the links that the file `file` lists; accounts that it does not name stay as they are.
///
/// # Errors
/// A file that cannot be read, the database.
pub async fn import(
    db: &PgPool,
    file: &Path,
    snapshot: &Snapshot,
    now: DateTime<Utc>,
) -> anyhow::Result<Report> {
    let name = file.display().to_string();
    let text = tokio::fs::read_to_string(file).await;
    let text = text.with_context(|| format!("cannot read {name}; check the path"))?;
    let (listed, mut problems) = listing::read(&text, &name, snapshot);
    let mut tx = db.begin().await?;
    store::lock(&mut tx).await?;
    let links = store::links(&mut tx).await?;
    let changes = listing::changes(&links, listed, &name);
    if !changes.insert.is_empty() {
        let generation = store::next_revision(&mut tx).await?;
        store::remove(&mut tx, &changes.remove).await?;
        let links = changes.insert.iter().map(|line| (&line.account, line.link(generation, now)));
        store::insert(&mut tx, &links.collect::<Vec<_>>()).await?;
    }
    tx.commit().await?;
    problems.extend(changes.report.problems);
    problems.sort_by_key(|problem| (problem.line, problem.column));
    Ok(Report { problems, ..changes.report })
}

/// Takes the link of `account` away; whether there was one.
///
/// # Errors
/// The database.
pub async fn remove(db: &PgPool, account: &Speaker) -> anyhow::Result<bool> {
    let mut tx = db.begin().await?;
    store::lock(&mut tx).await?;
    if store::remove(&mut tx, std::slice::from_ref(account)).await? == 0 {
        return Ok(false);
    }
    store::next_revision(&mut tx).await?;
    tx.commit().await?;
    Ok(true)
}

/// A code that makes whoever uses it first known as `offer` says.
///
/// # Errors
/// The database.
pub async fn issue(db: &PgPool, offer: &Offer) -> anyhow::Result<Code> {
    let code = Code::random();
    let mut tx = db.begin().await?;
    store::keep_code(&mut tx, &code.hash(), offer, CODE_LIFETIME_S).await?;
    tx.commit().await?;
    Ok(code)
}

/// Makes `account` the User's that `code` was issued for, in the database and in `links`; that User.
///
/// # Errors
/// A refusal: a code that is not good, an account or a User that is linked already.
pub async fn redeem(
    db: &PgPool,
    links: &Links,
    account: &Speaker,
    code: &Code,
    now: DateTime<Utc>,
) -> Result<EntityRef> {
    let mut tx = db.begin().await?;
    store::lock(&mut tx).await?;
    if store::failures(&mut tx, account, CODE_LIFETIME_S).await? >= FAILURES_MAX {
        return Err(code::too_many().into());
    }
    let Some(offer) = store::take_code(&mut tx, &code.hash()).await? else {
        store::note_failure(&mut tx, account, CODE_LIFETIME_S).await?;
        tx.commit().await?;
        return Err(code::not_good().into());
    };
    // Where it may not be taken nothing is committed: the code is still good for the right account.
    take(&mut tx, account, &offer, Made::Code, now).await?;
    tx.commit().await?;
    // Whoever asks next is known; other processes hear of it.
    catch_up(db, links).await?;
    Ok(offer.user)
}

/// Makes `account` that of `user`, whose verified address it has, in the database and in `links`.
///
/// # Errors
/// A refusal: an account or a User that is linked already.
pub async fn link_by_email(
    db: &PgPool,
    links: &Links,
    account: &Speaker,
    user: EntityRef,
    now: DateTime<Utc>,
) -> Result<EntityRef> {
    let offer = Offer { user, guest: false };
    let mut tx = db.begin().await?;
    store::lock(&mut tx).await?;
    take(&mut tx, account, &offer, Made::Email, now).await?;
    tx.commit().await?;
    catch_up(db, links).await?;
    Ok(offer.user)
}

/// The `account` takes the `offer`, while nobody else changes links.
async fn take(
    tx: &mut PgConnection,
    account: &Speaker,
    offer: &Offer,
    made_by: Made,
    now: DateTime<Utc>,
) -> Result<()> {
    code::may_take(&store::links(tx).await?, account, offer)?;
    let generation = store::next_revision(tx).await?;
    let Offer { user, guest } = offer.clone();
    let link = Link { user, guest, generation, made_by, created_at: now };
    Ok(store::insert(tx, &[(account, link)]).await?)
}

/// The code, whatever it is, can be used no more: others have read it.
///
/// # Errors
/// The database.
pub async fn void(db: &PgPool, code: &Code) -> anyhow::Result<()> {
    let mut tx = db.begin().await?;
    store::take_code(&mut tx, &code.hash()).await?;
    Ok(tx.commit().await?)
}
