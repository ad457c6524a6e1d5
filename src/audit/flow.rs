//! Sealing what was appended, signing how far it is, forgetting what is old, and asking whether all is as it was.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::checkpoint::{self, Checkpoint, What};
use super::store::{self, End};
use super::verify::{Bad, Sealed, Verifier, Witness};
use super::{Entry, FILE, Head, PURPOSE, Row, Terms};
use crate::fail_point::reached;
use crate::vault::{Key, Signer};

/// How often is looked for rows to seal.
const SEAL_EVERY: Duration = Duration::from_millis(500);

/// How often is looked for checkpoints that the file does not have.
const COPY_EVERY: Duration = Duration::from_secs(5);

/// How long it waits after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How many rows are sealed at once.
const BATCH: usize = 4_000;

/// A checkpoint is signed after so many rows, or when the last one is so old.
const CHECKPOINT_ROWS: i64 = 1_000;
const CHECKPOINT_S: f64 = 60.0;

/// How often is looked for rows that are too old, and how often at most rows are forgotten each time.
const FORGET_EVERY: Duration = Duration::from_secs(60 * 60);
const ROUNDS_MAX: u32 = 200;

/// How often it is said that the log is another one.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// How many rows are read at once.
const PAGE: i64 = 10_000;

/// The log in the database is not the one that the file has checkpoints of.
#[derive(Debug, thiserror::Error)]
#[error(
    "the audit log is not the one that {} has checkpoints of: the database was put back to an earlier state, or its \
     log was changed. `idp audit verify` names the place; once it is explained, move the file away and a new one begins",
    .0.display()
)]
pub struct Forked(PathBuf);

/// Where checkpoints are kept outside of the database.
pub fn file(data_dir: &Path, terms: &Terms) -> PathBuf {
    data_dir.join(terms.checkpoints.as_deref().unwrap_or(Path::new(FILE)))
}

/// Seals, signs and forgets until `stop`, as `terms` say each time.
pub async fn keep(
    db: PgPool,
    key: Key,
    data_dir: PathBuf,
    terms: impl Fn() -> Terms,
    stop: CancellationToken,
) {
    let signer = key.signer(PURPOSE);
    let (mut copy_at, mut tell_at, mut forget_at) =
        (Instant::now(), Instant::now(), Instant::now());
    loop {
        let terms = terms();
        let wait = match seal(&db, &signer).await {
            // There may be more.
            Ok(BATCH..) => Duration::ZERO,
            Ok(_) => SEAL_EVERY,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "could not seal the audit log");
                RETRY_AFTER
            }
        };
        if copy_at <= Instant::now() {
            copy_at = Instant::now() + COPY_EVERY;
            let copied = copy(&db, &file(&data_dir, &terms)).await;
            let is_forked = copied.as_ref().is_err_and(|error| error.is::<Forked>());
            metrics::gauge!("idp_audit_forked").set(if is_forked { 1.0 } else { 0.0 });
            if let Err(error) = copied
                && tell_at <= Instant::now()
            {
                tell_at = Instant::now() + TELL_EVERY;
                let error = format!("{error:#}");
                tracing::error!(error, "audit checkpoints are not kept outside of the database");
            }
        }
        if let Some(keep) = terms.keep
            && forget_at <= Instant::now()
        {
            forget_at = Instant::now() + FORGET_EVERY;
            match forget(&db, &signer, keep).await {
                Ok(0) => {}
                Ok(many) => tracing::info!(many, "forgot the oldest rows of the audit log"),
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "could not forget old rows of the audit log");
                }
            }
        }
        if stop.run_until_cancelled(sleep(wait)).await.is_none() {
            return;
        }
    }
}

/// Appends `entry`, where nothing else is decided with it.
///
/// # Errors
/// The database.
pub async fn append(db: &PgPool, entry: &Entry) -> anyhow::Result<()> {
    let mut tx = db.begin().await?;
    store::append(&mut tx, entry).await?;
    Ok(tx.commit().await?)
}

/// Seals the rows that come next, and signs how far the chain is where that is due; how many rows. None, while another
/// process does.
///
/// # Errors
/// The database.
pub async fn seal(db: &PgPool, signer: &Signer) -> anyhow::Result<usize> {
    let mut tx = db.begin().await?;
    if !store::lock(&mut tx).await? {
        return Ok(0);
    }
    let end = store::end(&mut tx).await?;
    let rows = store::next(&mut tx, &end, BATCH as i64).await?;
    let head = match rows.is_empty() {
        true => end.head,
        false => chain(&mut tx, &end, &rows).await?,
    };
    sign(&mut tx, signer, head).await?;
    if !rows.is_empty() {
        reached("seal-signed");
    }
    tx.commit().await?;
    if !rows.is_empty() {
        reached("seal-committed");
    }
    metrics::counter!("idp_audit_sealed_total").increment(rows.len() as u64);
    Ok(rows.len())
}

/// Adds `rows` to the chain; its new head.
async fn chain(tx: &mut PgConnection, end: &End, rows: &[Row]) -> anyhow::Result<Head> {
    let mut head = end.head;
    let mut sealed = Vec::with_capacity(rows.len());
    for row in rows {
        head = head
            .and(row)
            .with_context(|| format!("row {} of idp.audit is none that idp wrote", row.id))?;
        sealed.push((head, row));
    }
    store::seal(tx, &sealed).await?;
    Ok(head)
}

/// Signs that the chain is as far as `head`, where that is due.
async fn sign(tx: &mut PgConnection, signer: &Signer, head: Head) -> anyhow::Result<()> {
    let last = store::last_checkpoint(tx, &signer.public_key()).await?;
    let (last, age_s) = last.unwrap_or((0, f64::INFINITY));
    let new = head.no - last;
    if new >= CHECKPOINT_ROWS || (new > 0 && age_s >= CHECKPOINT_S) {
        let checkpoint = Checkpoint::sign(signer, What::Head, head, store::clock(tx).await?);
        store::keep_checkpoint(tx, &checkpoint).await?;
    }
    Ok(())
}

/// Signs how far the chain is, due or not.
///
/// # Errors
/// The database.
pub async fn sign_now(db: &PgPool, signer: &Signer) -> anyhow::Result<()> {
    let mut tx = db.begin().await?;
    let head = store::end(&mut tx).await?.head;
    if head != Head::START {
        let checkpoint = Checkpoint::sign(signer, What::Head, head, store::clock(&mut tx).await?);
        store::keep_checkpoint(&mut tx, &checkpoint).await?;
    }
    Ok(tx.commit().await?)
}

/// Appends the checkpoints to `file` that it does not have, and says each in the log of the process.
///
/// # Errors
/// [`Forked`]; the database, the file system.
pub async fn copy(db: &PgPool, file: &Path) -> anyhow::Result<()> {
    let path = file.to_path_buf();
    let last = spawn_blocking(move || checkpoint::last(&path)).await??;
    let mut connection = db.acquire().await?;
    let last = last.map_or((0, String::new()), |last| (last.no, last.hash));
    if last.0 > store::forgotten(&mut connection).await? {
        let hash = store::hash_at(&mut connection, last.0).await?;
        if hash.map(hex::encode).as_ref() != Some(&last.1) {
            return Err(Forked(file.to_path_buf()).into());
        }
    }
    let new = store::checkpoints(&mut connection, What::Head, last.0).await?;
    drop(connection);
    if new.is_empty() {
        return Ok(());
    }
    for Checkpoint { no, hash, signature, .. } in &new {
        tracing::info!(no, hash, signature, "audit checkpoint");
    }
    let path = file.to_path_buf();
    spawn_blocking(move || checkpoint::append(&path, &new)).await?
}

/// Forgets rows that were sealed longer than `keep` ago, as far as a checkpoint; how many.
///
/// # Errors
/// The database.
pub async fn forget(db: &PgPool, signer: &Signer, keep: Duration) -> anyhow::Result<u64> {
    let mut forgotten = 0;
    for _ in 0..ROUNDS_MAX {
        let mut tx = db.begin().await?;
        if !store::lock(&mut tx).await? {
            break;
        }
        let Some(no) = store::to_forget(&mut tx, keep.as_secs_f64()).await? else {
            // At once, so that nobody else waits for the lock.
            tx.rollback().await?;
            break;
        };
        let hash = store::hash_at(&mut tx, no).await?.and_then(|hash| hash.try_into().ok());
        let hash = hash.with_context(|| format!("the audit log has no row {no} any more"))?;
        let at = store::clock(&mut tx).await?;
        let checkpoint = Checkpoint::sign(signer, What::Forgotten, Head { no, hash }, at);
        store::keep_checkpoint(&mut tx, &checkpoint).await?;
        forgotten += store::forget(&mut tx).await?;
        tx.commit().await?;
    }
    Ok(forgotten)
}

/// What there is to say of a log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Verdict {
    /// The first thing that is not as it was.
    pub bad: Option<Bad>,
    /// The number of the first row that is there.
    pub from: i64,
    /// The number of the last row that was looked at.
    pub to: i64,
    /// Up to which row a checkpoint holds; whoever rules over the database can change those behind it unnoticed.
    pub held: i64,
    /// How many checkpoints were heard, and how many of them from outside of the database.
    pub checkpoints: usize,
    pub outside: usize,
    /// How many rows wait for their seal.
    pub unsealed: usize,
}

/// Whether the log is as it was appended and sealed, by its own checkpoints and those `outside` of the database.
///
/// # Errors
/// The database.
pub async fn verify(
    db: &PgPool,
    public_keys: &[[u8; 32]],
    outside: Vec<Witness>,
) -> anyhow::Result<Verdict> {
    let mut connection = db.acquire().await?;
    let mut tx = connection.begin_with("begin isolation level repeatable read read only").await?;
    verify_in(&mut tx, public_keys, outside).await
}

/// As [`verify`], of what the transaction of `db` sees.
///
/// # Errors
/// The database.
pub async fn verify_in(
    db: &mut PgConnection,
    public_keys: &[[u8; 32]],
    outside: Vec<Witness>,
) -> anyhow::Result<Verdict> {
    let now_us = store::clock(db).await?.timestamp_micros();
    let mut inside = store::checkpoints(db, What::Head, i64::MIN).await?;
    inside.extend(store::checkpoints(db, What::Forgotten, i64::MIN).await?);
    let inside = inside.into_iter().map(|checkpoint| Witness {
        checkpoint,
        place: "the database".into(),
        is_outside: false,
    });
    let mut verdict = Verdict {
        bad: None,
        from: 0,
        to: 0,
        held: 0,
        checkpoints: inside.len() + outside.len(),
        outside: outside.len(),
        unsealed: 0,
    };
    let mut verifier = match Verifier::new(inside.chain(outside).collect(), public_keys) {
        Ok(verifier) => verifier,
        Err(bad) => return Ok(Verdict { bad: Some(bad), ..verdict }),
    };
    verdict.from = verifier.head().no + 1;
    verdict.bad = walk(db, &mut verifier, &mut verdict.unsealed, now_us).await?.err();
    Ok(Verdict { to: verifier.head().no, held: verifier.held(), ..verdict })
}

async fn walk(
    db: &mut PgConnection,
    verifier: &mut Verifier,
    unsealed: &mut usize,
    now_us: i64,
) -> anyhow::Result<Result<(), Bad>> {
    let mut after = i64::MIN;
    loop {
        let page = store::sealed(db, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.no;
        if let Err(bad) = page.iter().try_for_each(|sealed| verifier.take(sealed)) {
            return Ok(Err(bad));
        }
    }
    if let Err(bad) = verifier.end(now_us) {
        return Ok(Err(bad));
    }
    let mut after = i64::MIN;
    loop {
        let page = store::unsealed(db, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(Ok(())) };
        after = last.id;
        *unsealed += page.len();
        if let Err(bad) = page.iter().try_for_each(|row| verifier.wait(row, now_us)) {
            return Ok(Err(bad));
        }
    }
}

/// The rows of the chain whose time is from `from` on and before `to`, each given to `take`.
///
/// # Errors
/// The database; what `take` says.
pub async fn export(
    db: &PgPool,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    mut take: impl FnMut(&Sealed) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let us = |at: DateTime<Utc>| (at - DateTime::UNIX_EPOCH).num_microseconds();
    let (from, to) = (from.and_then(us).unwrap_or(i64::MIN), to.and_then(us).unwrap_or(i64::MAX));
    let mut connection = db.acquire().await?;
    let mut after = i64::MIN;
    loop {
        let page = store::sealed(&mut connection, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.no;
        let at = |it: &Sealed| it.row.as_ref().and_then(|row| row.at_us);
        let is_wanted = |it: &&Sealed| at(it).is_some_and(|at| (from..to).contains(&at));
        page.iter().filter(is_wanted).try_for_each(&mut take)?;
    }
}
