//! Sending what waits, as its turn comes: in the background, until told to stop.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::flow::LEASE;
use super::hold::{Gate, Hold};
use super::{Post, Reason, Route, Sent, Unsent, store};
use crate::app::App;
use crate::chat::link::{Link, Standing};
use crate::conversation::Reply;
use crate::postgres::Db;

/// Messages that a process has under way at a time.
const UNDER_WAY_MAX: usize = 64;

/// Between two looks for what is due, at least: a look at thousands of channels costs the database something.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(20);

/// The longest between two looks: another process may have written something down, or died.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(1);

/// What sends the posts of one platform.
pub trait Posts: Send + Sync + 'static {
    /// How long the platform posts a message once, however often it is sent; `None`: it tells no copies apart.
    const TOLD_APART_WITHIN: Option<Duration>;

    /// Sends `post` by `route`, and returns where the message is. Waits for its turn no longer than `patience`.
    fn send(
        self: &Arc<Self>,
        post: &Post,
        route: Route,
        patience: Duration,
    ) -> impl Future<Output = Result<Sent, Unsent>> + Send;

    /// `reply` takes the place of what the message `at` shows, and calls nobody. Where the message is gone, or may be
    /// edited no more, that is for [`Policy::Channel`](super::Policy::Channel).
    fn edit(&self, at: &Sent, reply: &Reply) -> impl Future<Output = Result<(), Unsent>> + Send;

    /// Whether the platform answers us. Nobody sees that it was asked.
    fn ask(&self) -> impl Future<Output = Result<(), Unsent>> + Send;
}

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub struct Pauses {
    /// Between two messages to a channel.
    pub between: Duration,
    /// Between two edits, in whatever channel.
    pub edits: Duration,
    /// Before what is not taken now is sent again; the next is twice as long, and so on.
    pub later: Duration,
    /// Before a platform that is away is asked whether it is back.
    pub away: Duration,
    /// The same where a person must mend something first.
    pub mend: Duration,
    /// Before what came too late is ended, what is long done forgotten, and what waits counted again.
    pub tidy: Duration,
    /// How long it may take to write an answer down: whoever asked waits for it.
    pub write: Duration,
}

impl Default for Pauses {
    fn default() -> Pauses {
        Pauses {
            // Slack: "1 message per second per channel", <https://docs.slack.dev/apis/web-api/rate-limits>.
            between: Duration::from_secs(1),
            // Slack takes "50+ per minute" of `chat.update`, on the same page; and each may be more urgent than it is old.
            edits: Duration::from_secs(1),
            later: Duration::from_secs(5),
            away: Duration::from_millis(500),
            mend: Duration::from_secs(15),
            tidy: Duration::from_secs(10),
            write: Duration::from_millis(1_500),
        }
    }
}

/// The outbox of one platform, as this process sees it.
pub struct Outbox {
    pub(super) platform: &'static str,
    app: Arc<App>,
    pub(super) pauses: Pauses,
    tasks: TaskTracker,
    /// Down while nothing can be posted until somebody mends it.
    pub link: Link,
    hold: Mutex<Hold>,
    /// Told when there may be something to send.
    news: Notify,
    under_way: Arc<Semaphore>,
}

impl Outbox {
    /// `platform` is how the database calls it; `tasks` are waited for before the process ends.
    pub fn new(platform: &'static str, app: Arc<App>, tasks: TaskTracker) -> Outbox {
        Outbox {
            platform,
            app,
            pauses: Pauses::default(),
            tasks,
            link: Link::default(),
            hold: Mutex::default(),
            news: Notify::new(),
            under_way: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
        }
    }

    pub fn pausing(self, pauses: Pauses) -> Outbox {
        Outbox { pauses, ..self }
    }

    /// Sends what waits, whoever wrote it down, until `stop`.
    pub async fn keep<P: Posts>(self: Arc<Self>, posts: Arc<P>, stop: CancellationToken) {
        if self.link.standing() == Standing::Connecting {
            // Nothing is known to be wrong.
            self.link.set(Standing::Up);
        }
        let tidy = async {
            loop {
                self.tidy().await;
                tokio::time::sleep(self.pauses.tidy).await;
            }
        };
        tokio::join!(self.keep_sending(&posts, &stop), stop.run_until_cancelled(tidy));
    }

    async fn keep_sending<P: Posts>(self: &Arc<Self>, posts: &Arc<P>, stop: &CancellationToken) {
        // A look is never broken off: what it has taken would be sent by nobody.
        while !stop.is_cancelled() {
            let wait = self.look(posts).await.clamp(LOOK_EVERY_MIN, LOOK_EVERY_MAX);
            let pause = async {
                tokio::time::sleep(LOOK_EVERY_MIN).await;
                let _ = tokio::time::timeout(wait - LOOK_EVERY_MIN, self.news.notified()).await;
            };
            stop.run_until_cancelled(pause).await;
        }
    }

    /// Has sent what is due; how long there is nothing to do then.
    async fn look<P: Posts>(self: &Arc<Self>, posts: &Arc<P>) -> Duration {
        let looked = match self.gate() {
            Gate::Shut(wait) => return wait,
            Gate::Ask => self.send_one(posts).await,
            Gate::Open => self.send_due(posts).await,
        };
        looked.unwrap_or_else(|error| {
            let error = format!("{:#}", anyhow::Error::new(error));
            tracing::warn!(error, "could not look for what is to be posted");
            LOOK_EVERY_MAX
        })
    }

    async fn send_due<P: Posts>(self: &Arc<Self>, posts: &Arc<P>) -> sqlx::Result<Duration> {
        let Some(db) = self.pool() else { return Ok(LOOK_EVERY_MAX) };
        let free = self.under_way.available_permits();
        if free == 0 {
            // Whoever is done says so.
            return Ok(LOOK_EVERY_MAX);
        }
        self.take_announcements(&db).await?;
        self.take_cards(&db).await?;
        // Meanwhile a message may have shown that the platform is away: it is asked first.
        if !self.is_open() {
            return Ok(Duration::ZERO);
        }
        let due = self.claim(&mut *db.acquire().await?, None, free).await?;
        let edits = self.claim_edits(&db, free.saturating_sub(due.len())).await?;
        if due.is_empty() && edits.is_empty() {
            let posts_due_in_s = store::due_in_s(&db, self.platform).await?;
            let edits_due_in_s = self.edits_due_in_s(&db).await?;
            let due_in_s = posts_due_in_s.into_iter().chain(edits_due_in_s).reduce(f64::min);
            return Ok(due_in_s.map_or(LOOK_EVERY_MAX, |it| Duration::from_secs_f64(it.max(0.0))));
        }
        for edit in edits {
            let (outbox, posts) = (self.clone(), posts.clone());
            let permit = self.under_way.clone().try_acquire_owned();
            self.tasks.spawn(async move {
                outbox.edit(&posts, edit).await;
                drop(permit);
                outbox.wake();
            });
        }
        for row in due {
            let (outbox, posts) = (self.clone(), posts.clone());
            let permit = self.under_way.clone().try_acquire_owned();
            self.tasks.spawn(async move {
                outbox.send(&posts, row).await;
                drop(permit);
                outbox.wake();
            });
        }
        Ok(Duration::ZERO)
    }

    /// The platform did not answer, or not us: once something is due it is asked, then sent the most urgent post. Only
    /// when it takes that are others sent.
    async fn send_one<P: Posts>(&self, posts: &Arc<P>) -> sqlx::Result<Duration> {
        let Some(db) = self.pool() else { return Ok(LOOK_EVERY_MAX) };
        let posts_due_in_s = store::due_in_s(&db, self.platform).await?;
        let edits_due_in_s = self.edits_due_in_s(&db).await?;
        let due_in_s = posts_due_in_s.into_iter().chain(edits_due_in_s).reduce(f64::min);
        if let Some(wait_s) = due_in_s.filter(|wait_s| *wait_s > 0.0) {
            return Ok(Duration::from_secs_f64(wait_s));
        }
        let answered = posts.ask().await;
        if answered.is_err() || posts_due_in_s.is_none_or(|wait_s| wait_s > 0.0) {
            self.note(&answered);
            return Ok(Duration::ZERO);
        }
        // What waited while the platform was away shows what is true now.
        self.take_cards(&db).await?;
        for row in self.claim(&mut *db.acquire().await?, None, 1).await? {
            self.send(posts, row).await;
        }
        Ok(Duration::ZERO)
    }

    /// Ends what came too late, counts what waits, forgets what is long done.
    async fn tidy(&self) {
        let Some(db) = self.pool() else { return };
        let tidied = async {
            let expired = Reason::Expired;
            let lease_s = LEASE.as_secs_f64();
            for key in store::expire(&db, self.platform, expired.word(), lease_s).await? {
                self.tell_dropped(&key, expired, "its time ran out");
            }
            let backlog = store::backlog(&db, self.platform).await?;
            metrics::gauge!("idp_outbox_waiting", "platform" => self.platform)
                .set(backlog.waiting as f64);
            metrics::gauge!("idp_outbox_oldest_seconds", "platform" => self.platform)
                .set(backlog.oldest_s);
            self.tidy_cards(&db).await?;
            store::forget(&db).await
        };
        if let Err(error) = tidied.await {
            let error = format!("{:#}", anyhow::Error::new(error));
            tracing::warn!(error, "could not tidy what was to be posted");
        }
    }

    /// There may be something to send.
    pub(super) fn wake(&self) {
        self.news.notify_one();
    }

    /// Whether the platform is known to answer, or nothing is known of it.
    pub fn is_open(&self) -> bool {
        self.gate() == Gate::Open
    }

    pub(super) fn gate(&self) -> Gate {
        self.hold().gate(Instant::now())
    }

    pub(super) fn hold(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn db(&self) -> Option<Db> {
        (**self.app.db.load()).clone()
    }

    pub(super) fn pool(&self) -> Option<PgPool> {
        self.db().map(|db| db.pool)
    }

    /// The connections of those for whom somebody waits.
    pub(super) fn acks(&self) -> Option<PgPool> {
        self.db().map(|db| db.acks)
    }
}
