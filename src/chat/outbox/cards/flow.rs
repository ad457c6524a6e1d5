//! Posting cards, editing them, and saying what is said below them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::time::{sleep, timeout};

use super::store::{self, Continued, Held, Line, Outcome, Unposted};
use super::{Next, Step};
use crate::chat::backoff;
use crate::chat::layout::cut;
use crate::chat::markdown::{self, Block};
use crate::chat::outbox::flow::{LEASE, SETTLE_AGAIN_AFTER, SETTLES_MAX, UNREADABLE, enqueue};
use crate::chat::outbox::worker::{Outbox, Posts};
use crate::chat::outbox::{Policy, Post, Priority, Reason, Sent, To, Unsent};
use crate::conversation::{Platform, Reply};
use crate::fail_point::reached;

/// An edit ends within this, and begins within the same of being held: together sooner than it is held.
const EDIT_WITHIN: Duration = Duration::from_secs(25);

/// So many cards are looked after in one transaction.
const TAKEN_MAX: i64 = 100;

const TITLE_CHARACTERS_MAX: usize = 100;

/// A card that we hold since then.
pub(in crate::chat::outbox) struct Edit {
    card: Held,
    since: Instant,
}

impl Outbox {
    /// What is to be posted of the cards of this platform is in the outbox, each once and as it is now: cards that are
    /// not there, and what is said below those that are.
    pub(in crate::chat::outbox) async fn take_cards(&self, db: &PgPool) -> sqlx::Result<()> {
        if !store::is_any(db, self.platform).await? {
            return Ok(());
        }
        for card in store::outdated(db, self.platform, TAKEN_MAX).await? {
            let key = card.post_key.clone().unwrap_or_default();
            if let Some(body) =
                self.post_of(&card, key).and_then(|it| serde_json::to_string(&it).ok())
            {
                store::replace(db, self.platform, &card, &body).await?;
            }
        }
        let mut tx = db.begin().await?;
        let mut posts = Vec::new();
        for card in store::unposted(&mut tx, self.platform, TAKEN_MAX).await? {
            match card.step() {
                Step::Post => {
                    let key = format!("card {} {}", card.id, card.posts + 1);
                    match self.post_of(&card, key) {
                        Some(post) => {
                            store::posting(&mut tx, &card, &post.key).await?;
                            posts.push(post);
                        }
                        None => {
                            self.tell_dropped(&card.key, Reason::Ours, UNREADABLE);
                            store::refused(&mut tx, &card, Reason::Ours.word()).await?;
                        }
                    }
                }
                Step::Found(at) => store::found(&mut tx, &card, &at).await?,
                Step::PostAnother => {
                    let (platform, key) = (self.platform, &card.key);
                    tracing::warn!(
                        platform,
                        key,
                        "a card may be there twice: its post may have arrived"
                    );
                    store::lost(&mut tx, &card, self.pauses.later.as_secs_f64()).await?;
                }
                // The outbox has told why.
                Step::GiveUp(failure) => store::refused(&mut tx, &card, &failure).await?,
            }
        }
        for card in store::continued(&mut tx, self.platform, TAKEN_MAX).await? {
            let lines = store::lines(&mut tx, card.id).await?;
            posts.extend(lines.iter().filter_map(|line| self.line_of(&card, line)));
            let ids: Vec<i64> = lines.iter().map(|line| line.id).collect();
            store::said(&mut tx, &ids).await?;
        }
        enqueue(&mut tx, &posts).await?;
        if !posts.is_empty() {
            reached("cards-enqueued");
        }
        tx.commit().await?;
        if !posts.is_empty() {
            reached("cards-committed");
        }
        Ok(())
    }

    /// The post that brings `card` where it belongs; `None` where another version of idp wrote it down.
    fn post_of(&self, card: &Unposted, key: String) -> Option<Post> {
        let to = To {
            channel: card.channel.clone().unwrap_or_default(),
            thread: card.thread.clone(),
            person: card.person.clone(),
            ..To::default()
        };
        self.urgent(key, to, &card.reply)
    }

    fn line_of(&self, card: &Continued, line: &Line) -> Option<Post> {
        let key = format!("card line {}", line.id);
        let to = To {
            channel: card.message_channel.clone(),
            // A thread holds no other.
            thread: Some(card.thread.clone().unwrap_or_else(|| card.message_id.clone())),
            title: card.thread.is_none().then(|| card.title()),
            ..To::default()
        };
        let post = self.urgent(key, to, &line.reply);
        if post.is_none() {
            self.tell_dropped(&card.key, Reason::Ours, UNREADABLE);
        }
        post
    }

    fn urgent(&self, key: String, to: To, reply: &str) -> Option<Post> {
        let platform = Platform::from_word(self.platform)?;
        let reply = words(reply)?;
        let (priority, tenant, after) = (Priority::Urgent, String::new(), Duration::ZERO);
        Some(Post { platform, tenant, key, priority, to, reply, after })
    }

    /// In how many seconds the next card may be edited; `None` where none is to be.
    pub(in crate::chat::outbox) async fn edits_due_in_s(
        &self,
        db: &PgPool,
    ) -> sqlx::Result<Option<f64>> {
        store::edit_due_in_s(db, self.platform).await
    }

    /// Up to `limit` cards that are to be edited, by nobody else for a while.
    pub(in crate::chat::outbox) async fn claim_edits(
        &self,
        db: &PgPool,
        limit: usize,
    ) -> sqlx::Result<Vec<Edit>> {
        let between = self.pauses.edits;
        let limit = if between.is_zero() { limit } else { limit.min(1) };
        let is_due = async || {
            let due_in_s = store::edit_due_in_s(db, self.platform).await?;
            Ok::<_, sqlx::Error>(due_in_s.is_some_and(|due_in_s| due_in_s <= 0.0))
        };
        if limit == 0 || !is_due().await? {
            return Ok(Vec::new());
        }
        let mut tx = db.begin().await?;
        if !between.is_zero()
            && !store::take_turn(&mut tx, self.platform, between.as_secs_f64()).await?
        {
            return Ok(Vec::new());
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let since = Instant::now();
        let held = store::hold(&mut tx, self.platform, limit, LEASE.as_secs_f64()).await?;
        // Whose turn was for nothing has not had it.
        if !held.is_empty() {
            tx.commit().await?;
        }
        Ok(held.into_iter().map(|card| Edit { card, since }).collect())
    }

    /// Has the message of a card show its last state, and writes down what became of it.
    pub(in crate::chat::outbox) async fn edit<P: Posts>(&self, posts: &Arc<P>, edit: Edit) {
        let Edit { card, since } = edit;
        let Some(reply) = words(&card.reply) else {
            self.tell_dropped(&card.key, Reason::Ours, UNREADABLE);
            let failure = Reason::Ours.word();
            return self.settle_edit(&card, Outcome::GivenUp { failure }).await;
        };
        // A process that was stopped meanwhile may be taken for dead.
        if since.elapsed() > EDIT_WITHIN {
            let put_off = Outcome::PutOff { wait_s: 0.0, pauses_all: false };
            return self.settle_edit(&card, put_off).await;
        }
        let at =
            Sent { channel: card.message_channel.clone(), message_id: card.message_id.clone() };
        reached("edit-held");
        let edited = timeout(EDIT_WITHIN, posts.edit(&at, &reply)).await;
        reached("edit-sent");
        let edited = edited
            .unwrap_or_else(|_| Err(Unsent::new(Policy::Uncertain, "it takes too long".into())));
        self.note(&edited);
        let outcome = match &edited {
            Ok(()) => {
                metrics::counter!("idp_cards_edited_total", "platform" => self.platform)
                    .increment(1);
                Outcome::Shown
            }
            Err(unsent) => self.after_edit(&card, unsent),
        };
        self.settle_edit(&card, outcome).await;
    }

    fn after_edit(&self, card: &Held, unsent: &Unsent) -> Outcome<'static> {
        let (platform, key, error) = (self.platform, &card.key, &unsent.why);
        match card.next(unsent, self.pauses.later) {
            Next::After(wait) => {
                tracing::warn!(platform, key, error, "an edit waits");
                let pauses_all = unsent.policy == Policy::Limited && unsent.everywhere;
                Outcome::PutOff { wait_s: wait.as_secs_f64(), pauses_all }
            }
            Next::PostAnother => {
                tracing::info!(platform, key, error, "a card is posted again");
                Outcome::PostAnother
            }
            Next::GiveUp(reason) => {
                self.tell_dropped(key, reason, error);
                Outcome::GivenUp { failure: reason.word() }
            }
        }
    }

    /// Where that cannot be written down, it is edited again once nobody holds it any more.
    async fn settle_edit(&self, card: &Held, outcome: Outcome<'_>) {
        for failures in 1..=SETTLES_MAX {
            let Some(db) = self.pool() else { return };
            let Err(error) = store::settle(&db, self.platform, card, outcome).await else {
                return reached("edit-settled");
            };
            let error = format!("{:#}", anyhow::Error::new(error));
            tracing::warn!(error, "could not write down what became of an edit");
            sleep(backoff::after(failures, SETTLE_AGAIN_AFTER)).await;
        }
    }

    /// Gives up what came too late, counts what waits, forgets what is long done.
    pub(in crate::chat::outbox) async fn tidy_cards(&self, db: &PgPool) -> sqlx::Result<()> {
        for key in store::expire(db, Reason::Expired.word()).await? {
            self.tell_dropped(&key, Reason::Expired, "its time ran out");
        }
        let waiting = store::waiting(db, self.platform).await?;
        metrics::gauge!("idp_cards_waiting", "platform" => self.platform).set(waiting as f64);
        store::forget(db).await
    }
}

impl Continued {
    /// What the thread below it is called: as the card is, or else by its key.
    fn title(&self) -> String {
        let blocks = words(&self.reply).map(|reply| markdown::read(&reply.markdown));
        let heading = blocks.into_iter().flatten().find_map(|block| match block {
            Block::Heading { text, .. } => Some(markdown::plain(&text)),
            _ => None,
        });
        let title = heading.filter(|it| !it.trim().is_empty());
        let title = title.unwrap_or_else(|| self.key.clone()).replace('\n', " ");
        cut(title, TITLE_CHARACTERS_MAX).0.into_owned()
    }
}

/// What a card says, with nothing that is edited into a message later; `None` where another version of idp wrote it.
fn words(reply: &str) -> Option<Reply> {
    let reply: Reply = serde_json::from_str(reply).ok()?;
    Some(Reply::markdown(reply.markdown))
}
