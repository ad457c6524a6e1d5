//! Answering what came in: in the background, once, and again where an answer did not go out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Delivery, Inbox, Left, Taken};
use crate::app::App;
use crate::chat::Rejection;
use crate::chat::outbox::Post;
use crate::chat::outbox::worker::{Outbox, Pauses, Posts};
use crate::fail_point::reached;

/// How often what other processes left unanswered is looked for.
const TAKE_UP_EVERY: Duration = Duration::from_secs(15);

/// What answers the deliveries of one platform.
pub trait Answers: Posts {
    /// Answers `delivery`, or tells what is to be posted.
    ///
    /// # Errors
    /// The platform's, which are not worth another try, or a delivery that cannot be read.
    fn answer(
        self: &Arc<Self>,
        delivery: &Delivery,
    ) -> impl Future<Output = anyhow::Result<Answered>> + Send;

    /// Tells whoever clicked, or filled in a form, that `delivery` came too late to be done; others wait no longer.
    ///
    /// # Errors
    /// As [`Answers::answer`].
    fn excuse(
        self: &Arc<Self>,
        delivery: &Delivery,
    ) -> impl Future<Output = anyhow::Result<Answered>> + Send;
}

/// What came of a delivery.
#[derive(Debug, Clone, PartialEq)]
pub enum Answered {
    /// The answer went out, or there is none.
    Done,
    /// The answer is to be posted.
    Post(Box<Post>),
    /// It cannot be answered now: once its lease has ended it is taken up again, for as long as it is fresh.
    NotNow,
}

/// Takes the deliveries of one platform, and has them answered. Cheap to clone.
#[derive(Clone)]
pub struct Worker {
    platform: &'static str,
    app: Arc<App>,
    inbox: Arc<Inbox>,
    pub outbox: Arc<Outbox>,
    /// The answers under way.
    tasks: TaskTracker,
}

impl Worker {
    /// `platform` is how the database calls it; `tasks` are waited for before the process ends.
    pub fn new(platform: &'static str, app: Arc<App>, tasks: TaskTracker) -> Worker {
        let outbox = Outbox::new(platform, app.clone(), tasks.clone());
        Worker { platform, app, inbox: Arc::default(), outbox: Arc::new(outbox), tasks }
    }

    pub fn pausing(self, pauses: Pauses) -> Worker {
        let outbox = Outbox::new(self.platform, self.app.clone(), self.tasks.clone());
        Worker { outbox: Arc::new(outbox.pausing(pauses)), ..self }
    }

    /// Writes down what came in; `None` when it was known already.
    ///
    /// # Errors
    /// An `errand` that JSON does not hold.
    pub async fn take(
        &self,
        tenant: String,
        envelope: String,
        errand: &(impl Serialize + Sync),
    ) -> Result<Option<Delivery>, Rejection> {
        let body = serde_json::to_value(errand).map_err(|error| {
            tracing::error!(error = error.to_string(), "could not write down what came in");
            Rejection::Broken
        })?;
        let delivery = Delivery { platform: self.platform, tenant, envelope, body };
        reached("click-read");
        let since = Instant::now();
        let taken = self.inbox.take(self.acks().as_ref(), &delivery).await;
        metrics::histogram!("idp_taken_seconds", "platform" => self.platform)
            .record(since.elapsed().as_secs_f64());
        reached("click-taken");
        Ok((taken == Taken::New).then_some(delivery))
    }

    /// Whether this process has met the envelope before; it has from now on. Nothing is written down.
    pub fn has_met(&self, tenant: String, envelope: String) -> bool {
        let delivery = Delivery { platform: self.platform, tenant, envelope, body: Value::Null };
        self.inbox.note(&delivery) == Taken::Known
    }

    /// Has `delivery` answered in the background.
    pub fn work<A: Answers>(&self, answers: Arc<A>, delivery: Delivery) {
        let worker = self.clone();
        self.tasks.spawn(async move {
            // While many wait for their turn the lease of some ends, and they are found again.
            let Some(_under_way) = worker.inbox.begin(&delivery) else { return };
            reached("click-begun");
            let answered = answers.answer(&delivery).await;
            reached("click-answered");
            worker.conclude(&answers, &delivery, answered).await;
            reached("click-finished");
        });
    }

    /// Has what was left answered in the background, or excused.
    fn take_on<A: Answers>(&self, answers: Arc<A>, left: Left) {
        let Left { delivery, is_late } = left;
        if !is_late {
            return self.work(answers, delivery);
        }
        let worker = self.clone();
        self.tasks.spawn(async move {
            let Some(_under_way) = worker.inbox.begin(&delivery) else { return };
            let excused = answers.excuse(&delivery).await;
            worker.conclude(&answers, &delivery, excused).await;
        });
    }

    /// Posts what is to be posted; the delivery is done then, unless it cannot be answered now.
    pub async fn conclude<P: Posts>(
        &self,
        posts: &Arc<P>,
        delivery: &Delivery,
        answered: anyhow::Result<Answered>,
    ) {
        match answered {
            Ok(Answered::Done) => self.finish(delivery).await,
            Ok(Answered::Post(post)) => self.outbox.post(posts, *post, Some(delivery)).await,
            Ok(Answered::NotNow) => {}
            Err(error) => {
                let platform = self.platform;
                tracing::warn!(platform, error = format!("{error:#}"), "could not send an answer");
                self.finish(delivery).await;
            }
        }
    }

    /// Nothing more is to be answered to `delivery`.
    pub async fn finish(&self, delivery: &Delivery) {
        self.inbox.finish(self.acks().as_ref(), delivery).await;
    }

    /// Has answered what other processes took and left, and posted what waits, until `stop`.
    pub async fn keep<A: Answers>(&self, answers: Arc<A>, stop: CancellationToken) {
        let take_up = self.take_up(answers.clone(), stop.clone());
        tokio::join!(take_up, self.outbox.clone().keep(answers, stop));
    }

    async fn take_up<A: Answers>(&self, answers: Arc<A>, stop: CancellationToken) {
        loop {
            if let Some(db) = self.acks() {
                match self.inbox.take_up(&db, self.platform).await {
                    Ok(left) => {
                        if !left.is_empty() {
                            reached("click-taken-up");
                        }
                        left.into_iter().for_each(|it| self.take_on(answers.clone(), it));
                    }
                    Err(error) => {
                        let error = format!("{:#}", anyhow::Error::new(error));
                        tracing::warn!(error, "could not look for unanswered questions");
                    }
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(TAKE_UP_EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// The connections kept for acknowledgements.
    fn acks(&self) -> Option<PgPool> {
        (**self.app.db.load()).as_ref().map(|db| db.acks.clone())
    }
}
