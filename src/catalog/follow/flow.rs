//! Listening, loading, swapping, copying.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use futures_util::TryStreamExt;
use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Step, step};
use crate::catalog::flow::{all_aliases, load_whole};
use crate::catalog::snapshot::disk;
use crate::catalog::{Catalog, EntityRef, Snapshot, store};

/// How often the database is asked although it said nothing.
pub const POLL: Duration = Duration::from_secs(30);

/// How long an attempt to connect, and the pause before the next one, take at most.
const PAUSE_MAX_MS: u64 = 1_000;

/// Changes come in bursts; the copy on disk is written once after each.
const COPY_AFTER: Duration = Duration::from_secs(2);

/// Keeps `catalog` at the database's newest revision, and its copy at `disk_copy`, until `stop`.
///
/// It hears of changes at once, asks every `poll` all the same, and reconnects as long as it takes:
/// a change is picked up within two seconds of the database being back. `aliases` are those in the
/// settings; others are taken up at once. Each time that it has caught up it says so to `looked`, for who keeps
/// something else of the same database current: links and scores, of which it hears as well.
pub async fn follow(
    db: PgPool,
    catalog: Arc<Catalog>,
    aliases: watch::Receiver<Vec<(String, EntityRef)>>,
    disk_copy: PathBuf,
    poll: Duration,
    looked: watch::Sender<()>,
    stop: CancellationToken,
) {
    let mut follower = Follower {
        db: listening_pool(&db),
        catalog,
        aliases,
        used_aliases: None,
        disk_copy,
        poll,
        looked,
        copy_at: None,
    };
    while let Some(Err(error)) = stop.run_until_cancelled(follower.listen()).await {
        // Once an outage, not once a second.
        if !follower.catalog.is_away.swap(true, Ordering::Relaxed) {
            let error = format!("{error:#}");
            tracing::warn!(error, "the database is away; lookups are answered from memory");
        }
        // What was learnt just before must outlive a restart during the outage.
        if follower.copy_at.is_some() {
            follower.write_copy().await;
        }
        stop.run_until_cancelled(sleep(pause())).await;
    }
    if follower.copy_at.is_some() {
        follower.write_copy().await;
    }
}

struct Follower {
    db: PgPool,
    catalog: Arc<Catalog>,
    aliases: watch::Receiver<Vec<(String, EntityRef)>>,
    /// Those that the current snapshot was built with; `None` before the database was asked.
    used_aliases: Option<Vec<(String, EntityRef)>>,
    disk_copy: PathBuf,
    poll: Duration,
    looked: watch::Sender<()>,
    /// `None` while the copy is the current snapshot's.
    copy_at: Option<Instant>,
}

impl Follower {
    /// Catches up again and again, until the connection breaks.
    async fn listen(&mut self) -> anyhow::Result<Infallible> {
        let mut listener = PgListener::connect_with(&self.db).await?;
        listener.eager_reconnect(false);
        listener.listen_all(["idp_catalog", "idp_access", "idp_facts", "idp_scores"]).await?;
        loop {
            self.catch_up().await?;
            self.looked.send_replace(());
            if self.catalog.is_away.swap(false, Ordering::Relaxed) {
                tracing::info!("the database is back");
            }
            let copy_at = self.copy_at;
            tokio::select! {
                heard = listener.try_recv() => {
                    if heard?.is_none() {
                        bail!("the connection that listens broke");
                    }
                    // One look is enough for all of them.
                    while listener.next_buffered().is_some() {}
                }
                () = sleep(self.poll) => {}
                Ok(()) = self.aliases.changed() => {}
                () = sleep_until(copy_at.unwrap_or_else(Instant::now)), if copy_at.is_some() => {
                    self.write_copy().await;
                }
            }
        }
    }

    async fn catch_up(&mut self) -> anyhow::Result<()> {
        let aliases = self.aliases.borrow_and_update().clone();
        let current = self.catalog.snapshot();
        let mut tx = self.db.begin().await?;
        store::read_one_moment(&mut tx).await?;
        let newest = store::revision(&mut tx).await?;
        let is_ours = store::was_at(&mut tx, current.revision()).await?;
        let ours = is_ours.then(|| current.revision().number);
        let next = match step(ours, newest.number) {
            Step::Stay if self.used_aliases.as_ref() == Some(&aliases) => None,
            Step::Stay => {
                let aliases = all_aliases(&mut tx, &aliases).await?;
                match current.has_aliases(&aliases) {
                    true => None,
                    false => {
                        let next = move || current.next(Vec::new(), &[], &aliases, newest);
                        Some(off_the_answers(next).await?)
                    }
                }
            }
            Step::Since(ours) => {
                let changed = store::entities_since(&mut tx, ours).try_collect().await?;
                let removed = store::removed_since(&mut tx, ours).await?;
                let aliases = all_aliases(&mut tx, &aliases).await?;
                let next = move || current.next(changed, &removed, &aliases, newest);
                Some(off_the_answers(next).await?)
            }
            Step::Whole => {
                let aliases = all_aliases(&mut tx, &aliases).await?;
                Some(load_whole(&mut tx, aliases, newest).await?)
            }
        };
        tx.commit().await?;
        if let Some(next) = next {
            self.catalog.current.store(Arc::new(next));
            self.copy_at.get_or_insert(Instant::now() + COPY_AFTER);
        }
        self.used_aliases = Some(aliases);
        self.catalog.confirmed_at_ms.store(now_ms(), Ordering::Relaxed);
        Ok(())
    }

    async fn write_copy(&mut self) {
        let (path, snapshot) = (self.disk_copy.clone(), self.catalog.snapshot());
        let confirmed_at = self.catalog.confirmed_at();
        let written = spawn_blocking(move || disk::write(&path, &snapshot, confirmed_at)).await;
        self.copy_at = None;
        if let Err(error) = written.map_err(anyhow::Error::new).and_then(|it| it) {
            let error = format!("{error:#}");
            tracing::error!(error, "could not write the copy of the catalog");
        }
    }
}

/// Builds a snapshot where nobody waits for an answer.
async fn off_the_answers(
    next: impl FnOnce() -> Snapshot + Send + 'static,
) -> anyhow::Result<Snapshot> {
    spawn_blocking(next).await.context("building the snapshot broke off")
}

/// Two connections of our own: while the others wait for a database that is away, for longer and
/// longer, these try every second.
fn listening_pool(db: &PgPool) -> PgPool {
    PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(Duration::from_millis(PAUSE_MAX_MS))
        .connect_lazy_with((*db.connect_options()).clone())
}

/// Another one each time, so that replicas do not all come back at once.
fn pause() -> Duration {
    Duration::from_millis(RandomState::new().hash_one(()) % PAUSE_MAX_MS)
}

fn now_ms() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}
