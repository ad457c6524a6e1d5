//! Writing posts down, sending those whose turn has come, and what becomes of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use sqlx::{PgConnection, PgPool};
use tokio::time::{sleep, timeout};

use super::hold::Gate;
use super::store::{self, Outcome, Row};
use super::worker::{Outbox, Posts};
use super::{Next, PAUSE_MAX, Policy, Post, Priority, Reason, Route, To, Unsent};
use crate::announcements::{self, store::Waiting};
use crate::chat::backoff;
use crate::chat::inbox::{self, Delivery};
use crate::chat::link::Standing;
use crate::conversation::Platform;
use crate::fail_point::reached;

/// Longer than anything takes to send; after it the process that was sending counts as dead.
pub(super) const LEASE: Duration = Duration::from_secs(60);

pub(super) const SEND_WITHIN: Duration = Duration::from_secs(50);

/// The longest that a post waits its turn in memory; beyond it the news is stale.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often what became of a post is written down while the database does not take it.
pub(super) const SETTLES_MAX: u32 = 4;
pub(super) const SETTLE_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// How a post that nobody can read is called.
pub(super) const UNREADABLE: &str = "another version wrote it down";

/// Whether a post is written down.
enum Written {
    /// It is, and these are to be sent now.
    Down(Vec<Row>),
    /// The connection broke when it was about to be.
    Unknown(Vec<Row>),
    No,
}

/// Writes `posts` down, in the transaction of what they announce.
///
/// # Errors
/// The database's, after which the transaction is of no use.
pub async fn enqueue(db: &mut PgConnection, posts: &[Post]) -> sqlx::Result<()> {
    let mut lanes: Vec<(String, Route, &Post)> =
        posts.iter().map(|post| (post.lane(post.route()), post.route(), post)).collect();
    // Each lane is held until the transaction ends: two that hold several hold them in one order.
    lanes.sort_by(|one, other| one.0.cmp(&other.0));
    for (lane, route, post) in lanes {
        let body =
            serde_json::to_string(post).map_err(|error| sqlx::Error::Encode(error.into()))?;
        store::insert(db, post, &body, route, &lane).await?;
    }
    Ok(())
}

impl Outbox {
    /// `post` is sent at once where its turn has come, otherwise later; by then the delivery that it `answers` is
    /// done. While the database is away it is sent from memory.
    pub async fn post<P: Posts>(&self, posts: &Arc<P>, post: Post, answers: Option<&Delivery>) {
        let written = match self.acks() {
            Some(db) => self.write_down(&db, &post, answers).await,
            None => Written::No,
        };
        match written {
            Written::Down(due) => {
                if due.is_empty() {
                    self.wake();
                }
                for row in due {
                    self.send(posts, row).await;
                }
            }
            Written::Unknown(due) => {
                // Where it is not written down, the delivery is not done either: it is answered again, unless it is now.
                for row in due {
                    let is_said = row.key == post.key;
                    self.send(posts, row).await;
                    if is_said {
                        self.finish(answers).await;
                    }
                }
            }
            Written::No => {
                self.send_from_memory(posts, &post).await;
                self.finish(answers).await;
            }
        }
    }

    async fn write_down(&self, db: &PgPool, post: &Post, answers: Option<&Delivery>) -> Written {
        let mut committing = None;
        let written = timeout(self.pauses.write, async {
            let mut tx = db.begin().await?;
            if let Some(delivery) = answers {
                inbox::store::finish(&mut *tx, delivery).await?;
            }
            enqueue(&mut tx, std::slice::from_ref(post)).await?;
            let due = match self.gate() {
                Gate::Open => self.claim(&mut tx, Some(&post.lane(post.route())), 1).await?,
                Gate::Ask | Gate::Shut(_) => Vec::new(),
            };
            committing = Some(due);
            tx.commit().await
        });
        let error = match written.await {
            Ok(Ok(())) => return Written::Down(committing.unwrap_or_default()),
            Ok(Err(error)) => format!("{:#}", anyhow::Error::new(error)),
            Err(_) => "it takes too long".to_string(),
        };
        match committing {
            Some(due) => {
                tracing::warn!(
                    error,
                    "the database does not tell whether an answer is written down"
                );
                Written::Unknown(due)
            }
            None => {
                tracing::warn!(error, "could not write an answer down: sending it from memory");
                Written::No
            }
        }
    }

    /// What is to be said on this platform of what was asked elsewhere becomes posts, each once.
    pub(super) async fn take_announcements(&self, db: &PgPool) -> sqlx::Result<()> {
        if !announcements::store::is_any(db, self.platform).await? {
            return Ok(());
        }
        let mut tx = db.begin().await?;
        let waiting = announcements::store::take(&mut tx, self.platform).await?;
        let posts: Vec<Post> = waiting.into_iter().filter_map(|it| self.announced(it)).collect();
        enqueue(&mut tx, &posts).await?;
        tx.commit().await
    }

    fn announced(&self, waiting: Waiting) -> Option<Post> {
        let Waiting { key, channel, person, thread, reply } = waiting;
        let platform = Platform::from_word(self.platform)?;
        let Ok(reply) = serde_json::from_str(&reply) else {
            self.tell_dropped(&key, Reason::Ours, UNREADABLE);
            return None;
        };
        let place = channel.as_deref().or(person.as_deref()).unwrap_or_default();
        let key = format!("announced {key} {place}");
        let to = To { channel: channel.unwrap_or_default(), thread, person, ..To::default() };
        let (priority, tenant, after) = (Priority::Urgent, String::new(), Duration::ZERO);
        Some(Post { platform, tenant, key, priority, to, reply, after })
    }

    /// Up to `limit` posts whose turn has come, of `lane` where it is given.
    pub(super) async fn claim(
        &self,
        db: &mut PgConnection,
        lane: Option<&str>,
        limit: usize,
    ) -> sqlx::Result<Vec<Row>> {
        store::claim(db, self.platform, lane, limit, LEASE.as_secs_f64()).await
    }

    /// Sends what `row` holds, and writes down what became of it.
    pub(super) async fn send<P: Posts>(&self, posts: &Arc<P>, row: Row) {
        let Some((post, route)) = read(&row) else {
            self.tell_dropped(&row.key, Reason::Ours, UNREADABLE);
            let failure = Reason::Ours.word();
            return self.settle(&row, &Outcome::Dropped { failure }, Duration::ZERO).await;
        };
        let tried = row.tried_s.map(Duration::from_secs_f64);
        let is_safe = |tried| P::TOLD_APART_WITHIN.is_some_and(|within| tried < within);
        if tried.is_some_and(|tried| !is_safe(tried)) {
            let why = Reason::MayHaveArrived;
            self.tell_dropped(&post.key, why, "whoever sent it did not learn what became of it");
            let dropped = Outcome::Dropped { failure: why.word() };
            return self.settle(&row, &dropped, self.pauses.between).await;
        }
        reached("post-claimed");
        let sent = timeout(SEND_WITHIN, posts.send(&post, route, Duration::ZERO)).await;
        reached("post-sent");
        let sent = sent
            .unwrap_or_else(|_| Err(Unsent::new(Policy::Uncertain, "it takes too long".into())));
        self.note_sent(route, &sent);
        match sent {
            Ok(sent) => {
                self.count_sent();
                self.settle(&row, &Outcome::Sent(&sent), self.pauses.between).await;
            }
            Err(unsent) => {
                let apart = P::TOLD_APART_WITHIN.is_some();
                self.go_on(&row, &post, route, &unsent, apart).await;
            }
        }
    }

    /// What becomes of a post that was not sent.
    async fn go_on(&self, row: &Row, post: &Post, route: Route, unsent: &Unsent, apart: bool) {
        let attempts = u32::try_from(row.attempts).unwrap_or(u32::MAX);
        // Whether a refused message counts among those of its second, no platform says.
        let (platform, error, between) = (self.platform, &unsent.why, self.pauses.between);
        match post.next(route, unsent, attempts, apart, self.pauses.later) {
            Next::Drop(reason) => {
                self.tell_dropped(&post.key, reason, error);
                let dropped = Outcome::Dropped { failure: reason.word() };
                self.settle(row, &dropped, between).await;
            }
            Next::Elsewhere(route) => {
                tracing::info!(platform, error, to = route.word(), "a message goes elsewhere");
                let lane = post.lane(route);
                self.settle(row, &Outcome::Elsewhere { route, lane: &lane }, between).await;
            }
            Next::After(wait) => {
                tracing::warn!(platform, error, "a message waits");
                let is_limited = unsent.policy == Policy::Limited;
                let put_off = Outcome::PutOff {
                    wait_s: wait.as_secs_f64(),
                    // What this try tells it does not tell of one before it.
                    has_not_arrived: unsent.policy != Policy::Uncertain && row.tried_s.is_none(),
                    pauses_all: is_limited && unsent.everywhere,
                };
                // More urgent messages to the channel keep to its limit as well.
                let free_in = if is_limited { wait.max(between) } else { between };
                self.settle(row, &put_off, free_in).await;
            }
        }
    }

    /// Writes `outcome` down; what waits in the same lane may be sent after `free_in`. Where that cannot be done the
    /// lane stays held until its lease ends, and what became of the message counts as unknown.
    async fn settle(&self, row: &Row, outcome: &Outcome<'_>, free_in: Duration) {
        for failures in 1..=SETTLES_MAX {
            let Some(db) = self.pool() else { return };
            let settled = store::settle(&db, self.platform, row, outcome, free_in.as_secs_f64());
            let Err(error) = settled.await else {
                reached("post-settled");
                return self.wake();
            };
            let error = format!("{:#}", anyhow::Error::new(error));
            tracing::warn!(error, "could not write down what became of a message");
            sleep(backoff::after(failures, SETTLE_AGAIN_AFTER)).await;
        }
    }

    fn count_sent(&self) {
        metrics::counter!("idp_outbox_sent_total", "platform" => self.platform).increment(1);
    }

    /// It is in the log, once, and counted.
    pub(super) fn tell_dropped(&self, key: &str, reason: Reason, error: &str) {
        let (platform, why) = (self.platform, reason.word());
        match reason {
            Reason::Ours => tracing::error!(platform, key, why, error, "dropped a message"),
            _ => tracing::warn!(platform, key, why, error, "dropped a message"),
        }
        let labels = [("platform", platform), ("reason", why)];
        metrics::counter!("idp_outbox_dropped_total", &labels).increment(1);
    }

    /// An answer was not taken where what was asked is answered: how long it waits before it is posted `to` them,
    /// there or elsewhere.
    ///
    /// # Errors
    /// It cannot be said once.
    pub fn after_answer(
        &self,
        to: &mut To,
        unsent: Unsent,
        tells_copies_apart: bool,
    ) -> anyhow::Result<Duration> {
        if unsent.is_final(tells_copies_apart) {
            bail!("{}", unsent.why);
        }
        tracing::info!(platform = self.platform, error = unsent.why, "an answer is posted instead");
        if unsent.policy == Policy::Gone {
            to.answer = None;
        }
        let wait = unsent.wait.min(PAUSE_MAX);
        self.note_sent::<()>(Route::Answer, &Err(unsent));
        Ok(wait)
    }

    /// How the platform is, as what was sent by `route` shows. An answer where what was asked is answered needs no
    /// token, and says nothing of it.
    fn note_sent<T>(&self, route: Route, sent: &Result<T, Unsent>) {
        let is_away = |unsent: &Unsent| matches!(unsent.policy, Policy::Away | Policy::Uncertain);
        if route != Route::Answer || sent.as_ref().is_err_and(is_away) {
            self.note(sent);
        }
    }

    /// A call that posts nothing failed: where that is for the token, posts would fail too.
    pub fn note_token(&self, unsent: &Unsent) {
        if unsent.policy == Policy::Mend {
            self.note::<()>(&Err(unsent.clone()));
        }
    }

    /// How the platform is, as a call shows that something else than posts made.
    pub fn note_call(&self, called: &Result<(), Unsent>) {
        self.note(called);
    }

    /// How the platform is, as this shows.
    pub(super) fn note<T>(&self, sent: &Result<T, Unsent>) {
        let (now, pauses) = (Instant::now(), &self.pauses);
        match sent {
            Err(Unsent { policy: Policy::Mend, why, .. }) => {
                self.hold().shut(now, pauses.mend, true);
                if !matches!(self.link.standing(), Standing::Down { .. }) {
                    let platform = self.platform;
                    tracing::error!(
                        platform,
                        error = why,
                        "nothing is posted until this is mended"
                    );
                }
                self.link.set(Standing::Down { mend: why.clone() });
            }
            Err(Unsent { policy: Policy::Away | Policy::Uncertain, .. }) => {
                self.hold().shut(now, pauses.away, false);
            }
            // What could be said of the token was not looked at.
            Err(Unsent { policy: Policy::Limited, .. }) => {}
            // Also a no to this message is an answer.
            Ok(_) | Err(_) => {
                self.hold().open();
                self.link.set(Standing::Up);
            }
        }
    }

    /// Sends `post` with nothing written down: what cannot be sent soon is lost.
    async fn send_from_memory<P: Posts>(&self, posts: &Arc<P>, post: &Post) {
        let mut route = post.route();
        loop {
            let unsent = match posts.send(post, route, PATIENCE).await {
                Ok(_) => return self.count_sent(),
                Err(unsent) => unsent,
            };
            let error = unsent.why.as_str();
            match post.next(route, &unsent, 1, false, Duration::ZERO) {
                Next::Elsewhere(next) => route = next,
                Next::Drop(reason) => return self.tell_dropped(&post.key, reason, error),
                Next::After(_) => {
                    return self.tell_dropped(&post.key, Reason::NoDatabase, error);
                }
            }
        }
    }

    async fn finish(&self, delivery: Option<&Delivery>) {
        let (Some(delivery), Some(db)) = (delivery, self.acks()) else { return };
        if let Err(error) = inbox::store::finish(&db, delivery).await {
            let error = format!("{:#}", anyhow::Error::new(error));
            tracing::warn!(error, "could not note that an answer went out; it may go out again");
        }
    }
}

/// What is written down in `row`; `None` where another version of idp wrote what this one does not know.
fn read(row: &Row) -> Option<(Post, Route)> {
    Some((serde_json::from_str(&row.body).ok()?, Route::from_word(&row.route)?))
}
