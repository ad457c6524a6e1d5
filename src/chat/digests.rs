//! Digests on their way: handed over to a platform, looked for there, seen to arrive.
//!
//! Each process takes what is due, a claim at a time; the database keeps them from taking the same, and keeps the pace
//! of all together. What a process had in hand when it died is in doubt, and looked for at the platform.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backoff;
use super::outbox::worker::Outbox;
use super::outbox::{Policy, Unsent};
use crate::app::App;
use crate::conversation::{Picture, Platform, Reply};
use crate::digests::delivery::{Delivery, Doubt, Outcome, Step};
use crate::digests::flow::MARGIN_S;
use crate::digests::store::{self, Claimed, Purpose, Terms};
use crate::digests::{self, count};
use crate::pictures::{self, Drawing};

/// Longer than anything takes that is done with a delivery in hand; after it whoever had it counts as dead.
const LEASE: Duration = Duration::from_secs(60);
const WITHIN: Duration = Duration::from_secs(50);

/// Messages that a process has under way at a time.
const UNDER_WAY_MAX: usize = 64;

/// So long before its time a message that is not in the platform's list was never scheduled: later it may be out of the
/// list because it was posted.
const SURE_BEFORE: TimeDelta = TimeDelta::seconds(15);

/// How often what became of a delivery is written down while the database does not take it.
const SETTLES_MAX: u32 = 4;
const SETTLE_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// What hands digests over to a platform.
pub trait Carrier: Send + Sync + 'static {
    const PLATFORM: Platform;

    /// Whether the platform takes a message ahead of its time, and posts it itself.
    const AHEAD: bool;

    /// How long after it was sent the platform posts a message once, however often it is sent.
    const TOLD_APART_WITHIN: Duration;

    /// How many deliveries can be looked for well within the lease of who looks.
    const LOOKED_FOR_MAX: usize;

    /// Hands `reply` over for the channel of `delivery`; the platform's id of it.
    fn hand_over(
        &self,
        delivery: &Delivery,
        reply: &Reply,
    ) -> impl Future<Output = Result<String, Failure>> + Send;

    /// Whether each of `deliveries` is at the platform: waits there, where it is handed over ahead, else was posted.
    fn look(
        &self,
        deliveries: &[Delivery],
    ) -> impl Future<Output = Vec<Result<Sight, Failure>>> + Send;

    /// `found` is not posted.
    fn take_back(&self, found: &Found) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// How long a digest waits for its picture to be drawn.
const DRAWN_WITHIN: Duration = Duration::from_secs(5);

/// The picture of `reply`; `None` where it has none, or none in time.
pub async fn picture(reply: &Reply) -> Option<Picture> {
    let drawing = Drawing::of(&reply.answer)?;
    let why = match timeout(DRAWN_WITHIN, pictures::drawn(Arc::new(drawing))).await {
        Ok(Ok(picture)) => return Some(picture),
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => "it takes too long to draw".to_string(),
    };
    tracing::warn!(error = why, "a digest goes without its picture");
    None
}

/// A message that the platform has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub message_id: String,
    pub channel: String,
}

/// What was seen of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// At least one message.
    There(Vec<Found>),
    NotThere,
    /// The platform does not let us look, and why.
    Hidden(String),
}

/// Why a call was in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub unsent: Unsent,
    /// How a delivery ends with it, where it does.
    pub outcome: Outcome,
}

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub struct Pauses {
    /// Between two looks for what is due, and the same where little is to be done.
    pub round: Duration,
    /// Between two messages that are handed over, by all processes.
    pub send: Duration,
    /// Between two looks at the platform for what is in doubt.
    pub look: Duration,
    /// Between two looks at all that was handed over.
    pub survey: Duration,
    /// Before what is in doubt is looked for: it may still be on its way.
    pub settle: Duration,
    /// Before what is not taken now is tried again; the next is twice as long, and so on.
    pub later: Duration,
    /// Before what came too late is ended, and what waits counted again.
    pub tidy: Duration,
}

impl Pauses {
    /// As the limits of `platform` have it.
    pub fn of(platform: Platform) -> Pauses {
        Pauses {
            round: Duration::from_secs(1),
            send: match platform {
                Platform::Slack => digests::BETWEEN,
                // Each channel has a limit of its own; of all calls Discord takes 50 a second.
                Platform::Discord | Platform::Terminal => Duration::from_millis(50),
            },
            look: Duration::from_secs(5),
            survey: Duration::from_secs(45),
            settle: Duration::from_secs(30),
            later: Duration::from_secs(10),
            tidy: Duration::from_secs(10),
        }
    }

    fn between(&self, purpose: Purpose) -> Duration {
        match purpose {
            Purpose::Send => self.send,
            Purpose::Look => self.look,
            Purpose::Audit | Purpose::Confirm => self.survey,
        }
    }
}

/// What a process does about the digests of one platform.
pub struct Deliveries<C> {
    app: Arc<App>,
    carrier: Arc<C>,
    /// Knows whether the platform answers.
    outbox: Arc<Outbox>,
    tasks: TaskTracker,
    pauses: Pauses,
    under_way: Arc<Semaphore>,
    /// Told when there may be more to do.
    news: Notify,
    /// What this process calls itself.
    name: String,
}

impl<C: Carrier> Deliveries<C> {
    /// `tasks` are waited for before the process ends.
    pub fn new(
        app: Arc<App>,
        carrier: Arc<C>,
        outbox: Arc<Outbox>,
        tasks: TaskTracker,
    ) -> Deliveries<C> {
        Deliveries {
            app,
            carrier,
            outbox,
            tasks,
            pauses: Pauses::of(C::PLATFORM),
            under_way: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
            news: Notify::new(),
            name: format!("{:016x}", rand::random::<u64>()),
        }
    }

    /// What this process calls itself where it has something in hand.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn pausing(self, pauses: Pauses) -> Deliveries<C> {
        Deliveries { pauses, ..self }
    }

    /// Does what is due, whoever planned it, until `stop`.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut tidied: Option<Instant> = None;
        // A round is never broken off: what it has claimed would wait for its lease.
        while !stop.is_cancelled() {
            let is_busy = self.round().await.unwrap_or_else(|error| {
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::warn!(error, "could not look for digests that are due");
                false
            });
            if tidied.is_none_or(|at| at.elapsed() >= self.pauses.tidy) {
                self.tidy().await;
                tidied = Some(Instant::now());
            }
            let pause = async {
                match is_busy {
                    true => sleep(self.pauses.send.min(self.pauses.round)).await,
                    false => {
                        let _ = timeout(self.pauses.round, self.news.notified()).await;
                    }
                }
            };
            stop.run_until_cancelled(pause).await;
        }
    }

    /// Does what is due now; whether there was something to hand over.
    async fn round(self: &Arc<Self>) -> sqlx::Result<bool> {
        let Some(db) = self.pool() else { return Ok(false) };
        // Whoever posts asks the platform whether it is back.
        if !self.outbox.is_open() {
            return Ok(false);
        }
        let work = store::work(&mut *db.acquire().await?, &self.terms()).await?;
        if work.look {
            self.survey(&db, Purpose::Look).await?;
        }
        if work.audit {
            self.survey(&db, Purpose::Audit).await?;
        }
        if work.confirm {
            self.survey(&db, Purpose::Confirm).await?;
        }
        if work.send {
            self.send_due(&db).await?;
        }
        Ok(work.send || work.look)
    }

    fn terms(&self) -> Terms {
        Terms {
            platform: C::PLATFORM,
            ahead: C::AHEAD,
            margin_s: if C::AHEAD { MARGIN_S as f64 } else { 0.0 },
            apart_s: C::TOLD_APART_WITHIN.as_secs_f64(),
            lease_s: LEASE.as_secs_f64(),
        }
    }

    /// Up to `limit` deliveries to do `purpose` with, if it is time for that.
    async fn claim(
        &self,
        db: &PgPool,
        purpose: Purpose,
        limit: usize,
    ) -> sqlx::Result<Vec<Claimed>> {
        let between = self.pauses.between(purpose);
        let mut tx = db.begin().await?;
        if !between.is_zero()
            && !store::take_turn(&mut tx, C::PLATFORM, purpose, between.as_secs_f64()).await?
        {
            return Ok(Vec::new());
        }
        let claimed = store::claim(&mut tx, &self.terms(), purpose, limit, &self.name).await?;
        // Whose turn was for nothing has not had it.
        if !claimed.is_empty() {
            tx.commit().await?;
        }
        Ok(claimed)
    }

    async fn send_due(self: &Arc<Self>, db: &PgPool) -> sqlx::Result<()> {
        let free = self.under_way.available_permits();
        let limit = if self.pauses.send.is_zero() { free } else { free.min(1) };
        if limit == 0 {
            return Ok(());
        }
        let began = Instant::now();
        for claimed in self.claim(db, Purpose::Send, limit).await? {
            let (this, permit) = (self.clone(), self.under_way.clone().try_acquire_owned());
            self.tasks.spawn(async move {
                let step = this.send(&claimed, began).await;
                this.settle(vec![(claimed.id, claimed.attempts, step)]).await;
                drop(permit);
                this.news.notify_one();
            });
        }
        Ok(())
    }

    /// Hands one delivery over that was claimed after it `began`.
    async fn send(&self, claimed: &Claimed, began: Instant) -> Step {
        let read = claimed
            .delivery
            .as_ref()
            .and_then(|it| Some((it, serde_json::from_str::<Reply>(&it.body).ok()?)));
        let Some((delivery, reply)) = read else { return unreadable(claimed) };
        // A process that was stopped meanwhile may be taken for dead: others look for what it would send only now.
        if began.elapsed() > LEASE / 2 {
            return Step::PutOff { wait: TimeDelta::zero(), arrived: true };
        }
        let handed = timeout(WITHIN, self.carrier.hand_over(delivery, &reply)).await;
        let handed = handed.unwrap_or_else(|_| Err(Failure::late()));
        self.note(&handed).await;
        match handed {
            Ok(message_id) if C::AHEAD => Step::Handed { message_id },
            Ok(message_id) => Step::sent(delivery, Some(message_id)),
            Err(failure) => self.after(delivery, failure),
        }
    }

    /// What becomes of a delivery that was not handed over.
    fn after(&self, delivery: &Delivery, failure: Failure) -> Step {
        let Failure { unsent, outcome } = failure;
        let (platform, mark, error) = (C::PLATFORM.word(), &delivery.mark, &unsent.why);
        let attempts = u32::try_from(delivery.attempts).unwrap_or(u32::MAX);
        let later = backoff::after(attempts, self.pauses.later);
        // That this try was in vain says nothing of those before it.
        let is_in_doubt = delivery.doubt == Doubt::Unanswered;
        let put_off = |wait: Duration, arrived| {
            tracing::warn!(platform, mark, error, "a digest waits");
            let arrived = arrived || is_in_doubt;
            Step::PutOff { wait: TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX), arrived }
        };
        let end = |outcome| {
            tracing::warn!(platform, mark, error, ?outcome, "a digest is not sent");
            Step::Ended { outcome, detail: Some(unsent.why.clone()), message_id: None }
        };
        match unsent.policy {
            Policy::Person | Policy::Channel | Policy::Gone => end(outcome),
            Policy::Ours => {
                tracing::error!(platform, mark, error, "a digest is refused");
                end(Outcome::Refused)
            }
            Policy::Later | Policy::Away | Policy::Mend => put_off(later.max(unsent.wait), false),
            Policy::Limited => put_off(unsent.wait.max(self.pauses.send), false),
            // Where copies are told apart it can be sent again while they are.
            Policy::Uncertain if C::TOLD_APART_WITHIN.is_zero() => {
                put_off(self.pauses.settle, true)
            }
            Policy::Uncertain => put_off(later, true),
        }
    }

    /// Looks at the platform for what is due to be looked for.
    async fn survey(self: &Arc<Self>, db: &PgPool, purpose: Purpose) -> sqlx::Result<()> {
        let claimed = self.claim(db, purpose, C::LOOKED_FOR_MAX).await?;
        let Some(now) = claimed.first().map(|it| it.now) else { return Ok(()) };
        let began = Instant::now();
        let mut steps = Vec::with_capacity(claimed.len());
        let mut deliveries = Vec::with_capacity(claimed.len());
        for claimed in claimed {
            match claimed.delivery {
                Some(delivery) => deliveries.push(delivery),
                None => {
                    let step = unreadable(&claimed);
                    steps.push((claimed.id, claimed.attempts, step));
                }
            }
        }
        let looked = timeout(WITHIN, self.carrier.look(&deliveries)).await;
        let looked = looked.unwrap_or_else(|_| vec![Err(Failure::late()); deliveries.len()]);
        let now = now + TimeDelta::from_std(began.elapsed()).unwrap_or_default();
        for (delivery, seen) in deliveries.iter().zip(looked) {
            self.note(&seen).await;
            let step = match seen {
                Ok(sight) => {
                    let (step, surplus) = judge(purpose, C::AHEAD, delivery, sight, now);
                    for found in surplus {
                        self.take_back(delivery, &found).await;
                    }
                    step
                }
                Err(Failure { unsent, .. }) => {
                    let error = &unsent.why;
                    tracing::warn!(
                        platform = C::PLATFORM.word(),
                        error,
                        "could not look for a digest"
                    );
                    let attempts = u32::try_from(delivery.attempts).unwrap_or(u32::MAX);
                    let wait = backoff::after(attempts, self.pauses.later).max(unsent.wait);
                    let wait = TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
                    Step::PutOff { wait, arrived: true }
                }
            };
            steps.push((delivery.id, delivery.attempts, step));
        }
        self.settle(steps).await;
        Ok(())
    }

    async fn take_back(&self, delivery: &Delivery, found: &Found) {
        let (platform, mark) = (C::PLATFORM.word(), &delivery.mark);
        match timeout(WITHIN, self.carrier.take_back(found)).await {
            Ok(Ok(())) => tracing::info!(platform, mark, "took a second copy of a digest back"),
            Ok(Err(Failure { unsent, .. })) => {
                let error = unsent.why;
                tracing::error!(platform, mark, error, "could not take a digest back");
            }
            Err(_) => tracing::error!(platform, mark, "taking a digest back takes too long"),
        }
    }

    /// How the platform is, as a call shows; where it asks all to wait, all do.
    async fn note<T>(&self, called: &Result<T, Failure>) {
        match called {
            Ok(_) => self.outbox.note_call(&Ok(())),
            Err(Failure { unsent, .. }) => {
                self.outbox.note_call(&Err::<(), _>(unsent.clone()));
                if unsent.policy == Policy::Limited
                    && unsent.everywhere
                    && let Some(db) = self.pool()
                    && let Err(error) =
                        store::pause(&db, C::PLATFORM, unsent.wait.as_secs_f64()).await
                {
                    let error = format!("{:#}", anyhow::Error::new(error));
                    tracing::warn!(error, "could not tell the others to wait");
                }
            }
        }
    }

    /// Writes down what became of deliveries. Where that cannot be done they are in doubt once their lease has ended.
    async fn settle(&self, steps: Vec<(i64, i32, Step)>) {
        for failures in 1..=SETTLES_MAX {
            let Some(db) = self.pool() else { return };
            let Err(error) = store::settle(&db, &steps).await else {
                for (_, _, step) in &steps {
                    if let Step::Ended { outcome, .. } = step {
                        count(Some(C::PLATFORM), *outcome, 1);
                    }
                }
                return;
            };
            let error = format!("{:#}", anyhow::Error::new(error));
            tracing::warn!(error, "could not write down what became of digests");
            sleep(backoff::after(failures, SETTLE_AGAIN_AFTER)).await;
        }
    }

    /// Ends what came too late, counts what waits, forgets what is long done.
    async fn tidy(&self) {
        let Some(db) = self.pool() else { return };
        let platform = C::PLATFORM;
        let tidied = async {
            for outcome in store::expire(&db, platform).await? {
                let outcome = Outcome::from_word(&outcome).unwrap_or(Outcome::Expired);
                if !outcome.is_heard() {
                    tracing::warn!(platform = platform.word(), ?outcome, "a digest came too late");
                }
                count(Some(platform), outcome, 1);
            }
            let backlog = store::backlog(&db, platform).await?;
            let gauge = |state: &'static str, number: i64| {
                let labels = [("platform", platform.word()), ("state", state)];
                metrics::gauge!("idp_digests_waiting", &labels).set(number as f64);
            };
            gauge("planned", backlog.planned);
            gauge("handed", backlog.handed);
            metrics::gauge!("idp_digests_late_seconds", "platform" => platform.word())
                .set(backlog.late_s);
            store::forget(&db).await
        };
        if let Err(error) = tidied.await {
            let error = format!("{:#}", anyhow::Error::new(error));
            tracing::warn!(error, "could not tidy up after digests");
        }
    }

    fn pool(&self) -> Option<PgPool> {
        (**self.app.db.load()).as_ref().map(|db| db.pool.clone())
    }
}

impl Failure {
    fn late() -> Failure {
        let why = "it takes too long".to_string();
        let unsent =
            Unsent { policy: Policy::Uncertain, wait: Duration::ZERO, everywhere: false, why };
        Failure { unsent, outcome: Outcome::Refused }
    }
}

/// What is written down cannot be read: it is in the log, and ends.
fn unreadable(claimed: &Claimed) -> Step {
    let id = claimed.id;
    tracing::error!(id, "a digest cannot be read that another version wrote down");
    Step::end(Outcome::Unreadable)
}

/// What becomes of `delivery` after what was seen of it at `now`, and what is to be taken back.
fn judge(
    purpose: Purpose,
    is_ahead: bool,
    delivery: &Delivery,
    sight: Sight,
    now: DateTime<Utc>,
) -> (Step, Vec<Found>) {
    let found = match sight {
        Sight::There(found) => found,
        Sight::NotThere => Vec::new(),
        Sight::Hidden(why) => {
            let (outcome, detail) = (Outcome::MayHaveArrived, Some(why));
            return (Step::Ended { outcome, detail, message_id: None }, Vec::new());
        }
    };
    let own = delivery.message_id.as_ref();
    let kept = found.iter().find(|it| Some(&it.message_id) == own).or(found.first()).cloned();
    let surplus = found.into_iter().filter(|it| Some(it) != kept.as_ref());
    let surplus: Vec<Found> = surplus.filter(|_| is_ahead).collect();
    let step = match (purpose, kept) {
        (Purpose::Confirm, None) => Step::sent(delivery, None),
        // By its clock, or because it is busy, its time has not come.
        (Purpose::Confirm, Some(_)) => Step::PutOff { wait: TimeDelta::minutes(5), arrived: true },
        (Purpose::Audit, Some(it)) if Some(&it.message_id) != own => {
            Step::Handed { message_id: it.message_id }
        }
        // The platform has told its id: that it is in no list says less.
        (Purpose::Audit, _) => Step::Confirmed,
        (Purpose::Look | Purpose::Send, Some(it)) if is_ahead => {
            Step::Handed { message_id: it.message_id }
        }
        (Purpose::Look | Purpose::Send, Some(it)) => Step::sent(delivery, Some(it.message_id)),
        (Purpose::Look | Purpose::Send, None) => {
            let is_sure = !is_ahead || now < delivery.send_at - SURE_BEFORE;
            match delivery.doubt {
                Doubt::Unanswered if !is_sure => Step::end(Outcome::MayHaveArrived),
                _ => Step::NotThere,
            }
        }
    };
    (step, surplus)
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;
    use crate::catalog::EntityRef;

    fn at(minute: u32) -> DateTime<Utc> {
        let day = NaiveDate::from_ymd_opt(2026, 5, 4).unwrap();
        (day.and_hms_opt(9, 0, 0).unwrap() + TimeDelta::minutes(minute.into())).and_utc()
    }

    /// To be in its channel at 9:30.
    fn delivery(doubt: Doubt, message_id: Option<&str>) -> Delivery {
        Delivery {
            id: 1,
            digest: "weekly".into(),
            team: EntityRef::new("group", "default", "payments"),
            date: at(0).date_naive(),
            channel: "C1".into(),
            mark: "idp-1".into(),
            send_at: at(30),
            is_late: false,
            body: String::new(),
            attempts: 1,
            doubt,
            message_id: message_id.map(String::from),
        }
    }

    fn there(ids: &[&str]) -> Sight {
        let found = |id: &&str| Found { message_id: id.to_string(), channel: "C1".into() };
        Sight::There(ids.iter().map(found).collect())
    }

    fn handed(id: &str) -> Step {
        Step::Handed { message_id: id.into() }
    }

    fn ids(found: &[Found]) -> Vec<&str> {
        found.iter().map(|it| it.message_id.as_str()).collect()
    }

    #[test]
    fn what_was_lost_on_the_way_is_found_or_sent_again_while_there_is_time() {
        let lost = delivery(Doubt::Unanswered, None);
        let look = |sight, minute| judge(Purpose::Look, true, &lost, sight, at(minute)).0;
        assert_eq!(look(there(&["Q1"]), 5), handed("Q1"));
        assert_eq!(look(Sight::NotThere, 5), Step::NotThere);
        assert_eq!(look(Sight::NotThere, 30), Step::end(Outcome::MayHaveArrived));
    }

    #[test]
    fn what_was_never_sent_is_sent_however_late_it_is() {
        let new = delivery(Doubt::Forgotten, None);
        let look = |sight, minute| judge(Purpose::Look, true, &new, sight, at(minute)).0;
        assert_eq!(look(Sight::NotThere, 50), Step::NotThere);
        // A database that was set back has forgotten it.
        assert_eq!(look(there(&["Q1"]), 5), handed("Q1"));
    }

    #[test]
    fn of_two_copies_one_is_taken_back() {
        let lost = delivery(Doubt::Unanswered, None);
        let (step, surplus) = judge(Purpose::Look, true, &lost, there(&["Q1", "Q2"]), at(5));
        assert_eq!((step, ids(&surplus)), (handed("Q1"), vec!["Q2"]));
        let known = delivery(Doubt::None, Some("Q2"));
        let (step, surplus) = judge(Purpose::Audit, true, &known, there(&["Q1", "Q2"]), at(5));
        assert_eq!((step, ids(&surplus)), (Step::Confirmed, vec!["Q1"]));
        let alone = judge(Purpose::Audit, true, &known, Sight::NotThere, at(5));
        assert_eq!(alone, (Step::Confirmed, vec![]));
    }

    #[test]
    fn what_is_in_no_list_any_more_after_its_time_was_posted() {
        let known = delivery(Doubt::None, Some("Q1"));
        let confirm = |sight, minute| judge(Purpose::Confirm, true, &known, sight, at(minute));
        assert_eq!(confirm(Sight::NotThere, 31).0, Step::sent(&known, None));
        assert!(matches!(confirm(there(&["Q1"]), 31).0, Step::PutOff { .. }));
    }

    #[test]
    fn where_messages_are_posted_at_once_a_look_tells_for_good() {
        let lost = delivery(Doubt::Unanswered, None);
        let look = |sight| judge(Purpose::Look, false, &lost, sight, at(50)).0;
        assert_eq!(look(there(&["9"])), Step::sent(&lost, Some("9".into())));
        assert_eq!(look(Sight::NotThere), Step::NotThere);
        let hidden = look(Sight::Hidden("no".into()));
        assert!(matches!(hidden, Step::Ended { outcome: Outcome::MayHaveArrived, .. }));
    }
}
