//! Evaluating again what changed, and only that; one process at a time.
//!
//! ```text
//!            ┌── nothing changed ──────────────── idle, no lock
//! peek ──────┼── somebody else is at it ───────── elsewhere
//!            └── hold ──▶ whom it touches ──▶ pieces of 500: judge, compare, write ──▶ finish
//! ```
//!
//! Whoever evaluates writes its name into one row, and again with each piece, in the piece's own transaction: a process
//! that stood still for too long has lost it, and writes nothing more. A piece that was written is not undone by a crash;
//! the next to hold evaluates the whole change again and finds it as it should be.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::cause::{self, Cause, Happened};
use super::evaluate::{self, Definitions, Differences, Score, Turn};
use super::exemption::{self, Exempt, Exemption};
use super::store::{self, State};
use super::summary::{DayChange, Flip};
use super::{Scorecard, ScorecardSet, judge};
use crate::catalog::flow::Change;
use crate::catalog::snapshot::Revision;
use crate::catalog::{Catalog, EntityRef, RelationKind, Snapshot};
use crate::facts::touched::touched;
use crate::facts::{Changed, Fact};

/// How many entities are evaluated and written at once.
const PIECE: usize = 500;

/// How long others wait for who evaluates and says nothing, in seconds.
const HELD_S: i32 = 30;

/// How often the database is asked although nobody said anything.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How long history is kept, in days.
pub const KEPT_DAYS: i32 = 400;

/// How much goes at once, and how often at most each time.
const FORGOTTEN_AT_ONCE: i64 = 5_000;
const ROUNDS_MAX: u32 = 200;

/// The scorecards as this process read them.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub scorecards: Arc<ScorecardSet>,
    /// Of two processes that read other ones, who read them last is right.
    pub read_at: Instant,
}

/// What an evaluation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evaluated {
    /// There was nothing to do.
    Idle,
    /// Somebody else is at it, or knows a newer catalog or newer scorecards.
    Elsewhere,
    Done {
        /// How many entities were looked at.
        entities: usize,
        /// How many scores were written.
        scores: usize,
        /// How many rules found something else than before.
        flips: usize,
    },
}

/// Evaluates; it remembers the catalog that was evaluated last, to see what surrounded what changed since.
#[derive(Debug, Default)]
pub struct Evaluator {
    last: Option<Arc<Snapshot>>,
}

/// What is to be evaluated.
enum Work {
    /// Every entity that there is, and every one that has a score.
    Whole,
    Some(BTreeSet<EntityRef>),
}

impl Evaluator {
    /// The catalog that was evaluated last, as far as this process knows it.
    pub fn last(&self) -> Option<&Arc<Snapshot>> {
        self.last.as_ref()
    }

    /// Evaluates what changed since anybody did, when nobody is at it.
    ///
    /// # Errors
    /// The database. What was not finished is evaluated again the next time.
    pub async fn evaluate(
        &mut self,
        db: &PgPool,
        snapshot: Arc<Snapshot>,
        loaded: &Loaded,
    ) -> anyhow::Result<Evaluated> {
        if snapshot.why_unread().is_some() {
            return Ok(Evaluated::Elsewhere);
        }
        let mut connection = db.acquire().await?;
        let state = store::state(&mut connection).await?;
        let names = fingerprints(&loaded.scorecards);
        let read_at = state.now - TimeDelta::from_std(loaded.read_at.elapsed()).unwrap_or_default();
        let is_ours = state.scorecards == names;
        if is_ours && state.catalog == *snapshot.revision() && !has_moved(&state) {
            self.last = Some(snapshot);
            return Ok(Evaluated::Idle);
        }
        let is_outdated = !is_ours && state.scorecards_read_at.is_some_and(|at| at >= read_at);
        let is_behind = state.catalog.number > snapshot.revision().number;
        if state.is_held || is_outdated || is_behind {
            // A catalog that will not be needed is not kept in memory.
            self.last = self.last.take().filter(|_| !is_outdated);
            return Ok(Evaluated::Elsewhere);
        }
        drop(connection);
        if !crate::catalog::flow::is_of(db, &snapshot).await? {
            return Ok(Evaluated::Elsewhere);
        }
        let holder = holder();
        let mut tx = db.begin().await?;
        if !store::hold(&mut tx, &holder, HELD_S).await? {
            return Ok(Evaluated::Elsewhere);
        }
        let held = store::state(&mut tx).await?;
        tx.commit().await?;
        // Whoever held it in between may have done it already.
        let is_newer = held.catalog.number > snapshot.revision().number
            || (held.scorecards != names
                && held.scorecards_read_at.is_some_and(|at| at >= read_at));
        let done = match is_newer {
            true => Ok(Evaluated::Elsewhere),
            false => {
                let exempt = Arc::new(exemption::flow::live(db, None).await?);
                let piecework = Piecework {
                    db,
                    snapshot: &snapshot,
                    loaded,
                    before: &held,
                    holder: &holder,
                    exempt: &exempt,
                };
                self.work(&piecework, names, read_at).await
            }
        };
        if !matches!(done, Ok(Evaluated::Done { .. })) {
            let mut connection = db.acquire().await?;
            store::let_go(&mut connection, &holder).await?;
        }
        done
    }

    async fn work(
        &mut self,
        piecework: &Piecework<'_>,
        names: String,
        read_at: DateTime<Utc>,
    ) -> anyhow::Result<Evaluated> {
        let Piecework { db, snapshot, loaded, before, holder, .. } = *piecework;
        let mut connection = db.acquire().await?;
        let definitions = Arc::new(store::definitions(&mut connection, &loaded.scorecards).await?);
        let work = self.whom(piecework, &names, &mut connection).await?;
        drop(connection);
        let mut done = Total::default();
        let is_whole = matches!(work, Work::Whole);
        let entities: Vec<EntityRef> = match work {
            Work::Some(entities) => entities.into_iter().collect(),
            Work::Whole => snapshot.entities().map(|it| it.reference.clone()).collect(),
        };
        if !piecework.pieces(&entities, &definitions, &mut done).await?
            || (is_whole && !piecework.gone(&definitions, &mut done).await?)
        {
            return Ok(Evaluated::Elsewhere);
        }
        let finished = State {
            catalog: snapshot.revision().clone(),
            facts: before.newest_facts,
            exemptions: before.newest_exemptions,
            scorecards: names,
            scorecards_read_at: Some(read_at),
            ..before.clone()
        };
        let mut connection = db.acquire().await?;
        store::finish(&mut connection, holder, &finished).await?;
        self.last = Some(snapshot.clone());
        let Total { entities, scores, flips } = done;
        metrics::counter!("idp_scores_evaluated_total").increment(entities as u64);
        Ok(Evaluated::Done { entities, scores, flips })
    }

    /// Whom what changed touches.
    async fn whom(
        &self,
        piecework: &Piecework<'_>,
        names: &str,
        db: &mut sqlx::PgConnection,
    ) -> anyhow::Result<Work> {
        let Piecework { snapshot, before, .. } = *piecework;
        if before.scorecards != names || before.catalog.number < 0 {
            return Ok(Work::Whole);
        }
        let mut entities: BTreeSet<EntityRef> = BTreeSet::new();
        if before.catalog != *snapshot.revision() {
            // Only who has the catalog of then knows what surrounded what is gone since.
            let Some(last) = self.last.as_ref().filter(|it| *it.revision() == before.catalog)
            else {
                return Ok(Work::Whole);
            };
            let (last, snapshot) = (last.clone(), snapshot.clone());
            let around = spawn_blocking(move || touched(&last, &snapshot));
            entities = around.await.context("looking around broke off")?;
        }
        let moved = store::moved_since(db, before.facts, before.exemptions, before.now).await?;
        entities.extend(moved);
        Ok(Work::Some(entities))
    }
}

#[derive(Debug, Default)]
struct Total {
    entities: usize,
    scores: usize,
    flips: usize,
}

/// What scorecards found of a piece, and what they saw.
struct Judged<'a> {
    entities: &'a [EntityRef],
    scores: Vec<Score>,
    facts: HashMap<EntityRef, Vec<Fact>>,
}

/// What changed about an entity since the last evaluation.
#[derive(Default)]
struct Changes {
    own: Vec<Change>,
    /// About what it has relations with.
    around: Vec<Change>,
    facts: Vec<Changed>,
}

/// What all pieces of one evaluation share.
#[derive(Clone, Copy)]
struct Piecework<'a> {
    db: &'a PgPool,
    snapshot: &'a Arc<Snapshot>,
    loaded: &'a Loaded,
    /// As it was when it began.
    before: &'a State,
    holder: &'a str,
    exempt: &'a Arc<Exempt>,
}

impl Piecework<'_> {
    /// Evaluates `entities` piece by piece and writes what differs; `false` where somebody else evaluates by now.
    async fn pieces(
        &self,
        entities: &[EntityRef],
        definitions: &Arc<Definitions>,
        total: &mut Total,
    ) -> anyhow::Result<bool> {
        for piece in entities.chunks(PIECE) {
            let judged = self.judge(piece, definitions).await?;
            if !self.keep(judged, definitions, total).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What the scorecards find of `entities`.
    async fn judge<'e>(
        &self,
        entities: &'e [EntityRef],
        definitions: &Arc<Definitions>,
    ) -> anyhow::Result<Judged<'e>> {
        let facts = match self.loaded.scorecards.iter().any(Scorecard::reads_facts) {
            true => store::facts(&mut *self.db.acquire().await?, &names(entities)).await?,
            false => HashMap::new(),
        };
        let (snapshot, scorecards) = (self.snapshot.clone(), self.loaded.scorecards.clone());
        let (of, numbers, now) = (entities.to_vec(), definitions.clone(), self.before.now);
        let exempt = self.exempt.clone();
        // Hundreds of entities by dozens of rules: not where somebody waits for an answer.
        let judged = spawn_blocking(move || {
            let means = evaluate::Means {
                scorecards: &scorecards,
                facts: &facts,
                exempt: &exempt,
                definitions: &numbers,
                now,
            };
            (evaluate::scores(&snapshot, &of, &means), facts)
        });
        let (scores, facts) = judged.await.context("the evaluation broke off")?;
        Ok(Judged { entities, scores, facts })
    }

    /// Writes what `judged` differs in from what is written down; `false` where somebody else evaluates by now.
    async fn keep(
        &self,
        judged: Judged<'_>,
        definitions: &Arc<Definitions>,
        total: &mut Total,
    ) -> anyhow::Result<bool> {
        let Judged { entities, scores, facts } = judged;
        let mut tx = self.db.begin().await?;
        if !store::hold_on(&mut tx, self.holder, HELD_S).await? {
            return Ok(false);
        }
        let before = store::lock_scores(&mut tx, &names(entities)).await?;
        let numbers = definitions.clone();
        let compared = spawn_blocking(move || evaluate::differences(before, scores, &numbers));
        let found = compared.await.context("the comparison broke off")?;
        self.write(&mut tx, &found, &facts).await?;
        tx.commit().await?;
        total.entities += entities.len();
        total.scores += found.scores.len() + found.gone.len();
        total.flips += found.turns.len();
        Ok(true)
    }

    async fn write(
        &self,
        tx: &mut sqlx::PgConnection,
        found: &Differences,
        facts: &HashMap<EntityRef, Vec<Fact>>,
    ) -> anyhow::Result<()> {
        if !found.scores.is_empty() {
            store::keep_scores(tx, &found.scores).await?;
        }
        if !found.gone.is_empty() {
            store::remove_scores(tx, &found.gone).await?;
        }
        if !found.steps.is_empty() {
            store::keep_steps(tx, &found.steps, self.before.now.date_naive()).await?;
        }
        if !found.turns.is_empty() {
            let causes = self.causes(tx, &found.turns, facts).await?;
            let turns: Vec<(Turn, Cause)> = found.turns.iter().cloned().zip(causes).collect();
            store::keep_flips(tx, &turns).await?;
        }
        Ok(())
    }

    /// Why each of `turns` came.
    async fn causes(
        &self,
        db: &mut sqlx::PgConnection,
        turns: &[Turn],
        facts: &HashMap<EntityRef, Vec<Fact>>,
    ) -> anyhow::Result<Vec<Cause>> {
        let (snapshot, before) = (self.snapshot, self.before);
        // Of what another definition did, nothing else is asked.
        let turned: BTreeSet<&EntityRef> =
            turns.iter().filter(|turn| !turn.is_redefined).map(|turn| &turn.entity).collect();
        let around: HashMap<&EntityRef, BTreeSet<&EntityRef>> = turned
            .iter()
            .map(|entity| {
                let near = RelationKind::ALL.into_iter();
                let near = near.flat_map(|kind| snapshot.related_to(entity, kind));
                (*entity, near.map(|it| it.reference()).collect())
            })
            .collect();
        let concerned: BTreeSet<&str> = turned
            .iter()
            .copied()
            .chain(around.values().flatten().copied())
            .map(|it| it.as_str())
            .collect();
        let concerned: Vec<&str> = concerned.into_iter().collect();
        let changes = match before.catalog == *snapshot.revision() {
            true => Vec::new(),
            false => store::changes(db, &concerned, before.catalog.number).await?,
        };
        let names: Vec<&str> = turned.iter().map(|it| it.as_str()).collect();
        let reported = store::fact_changes(db, &names, before.facts).await?;
        let of = |is_its: &dyn Fn(&EntityRef) -> bool| -> Vec<Change> {
            changes.iter().filter(|it| is_its(&it.reference)).cloned().collect()
        };
        let happened: HashMap<&EntityRef, Changes> = around
            .iter()
            .map(|(entity, near)| {
                let facts = reported.iter().filter(|it| it.entity == **entity).cloned().collect();
                let (own, around) = (of(&|it| it == *entity), of(&|it| near.contains(it)));
                (*entity, Changes { own, around, facts })
            })
            .collect();
        let nothing = Changes::default();
        let causes = turns.iter().map(|turn| {
            let Some(scorecard) = self.loaded.scorecards.find(&turn.scorecard) else {
                return Cause::Scorecard;
            };
            let Some((_, rule)) = scorecard.rule(&turn.rule) else { return Cause::Scorecard };
            let changes = happened.get(&turn.entity).unwrap_or(&nothing);
            let known = facts.get(&turn.entity).map_or(&[][..], Vec::as_slice);
            let stale = judge::stale(scorecard, known, before.now);
            let happened = Happened {
                is_redefined: turn.is_redefined,
                own: &changes.own,
                around: &changes.around,
                facts: &changes.facts,
                stale: &stale,
            };
            cause::cause(rule, turn.was, turn.became, &happened)
        });
        Ok(causes.collect())
    }

    /// Forgets the scores of entities that are gone; `false` where somebody else evaluates by now.
    async fn gone(
        &self,
        definitions: &Arc<Definitions>,
        total: &mut Total,
    ) -> anyhow::Result<bool> {
        let mut after = String::new();
        loop {
            let mut connection = self.db.acquire().await?;
            let scored = store::scored_after(&mut connection, &after, PIECE as i64).await?;
            drop(connection);
            let Some(last) = scored.last() else { return Ok(true) };
            after = last.to_string();
            let gone: Vec<EntityRef> =
                scored.into_iter().filter(|it| self.snapshot.find(it.as_str()).is_none()).collect();
            if !gone.is_empty() && !self.pieces(&gone, definitions, total).await? {
                return Ok(false);
            }
        }
    }
}

fn has_moved(state: &State) -> bool {
    state.facts != state.newest_facts || state.exemptions != state.newest_exemptions || state.is_due
}

/// What tells one set of scorecards from another.
fn fingerprints(scorecards: &ScorecardSet) -> String {
    scorecards.iter().map(fingerprint).collect::<Vec<_>>().join(" ")
}

fn fingerprint(scorecard: &Scorecard) -> String {
    format!("{}:{}", scorecard.name, scorecard.fingerprint)
}

/// A name that nobody else has: a random UUID.
fn holder() -> String {
    let random = || RandomState::new().hash_one(std::process::id());
    let (a, b) = (random(), random());
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        b >> 52,
        b & 0xffff_ffff_ffff
    )
}

/// Evaluates again and again what changed, until `stop`: when `looked` says that the catalog was looked at, and now and
/// then. `loaded` are the scorecards.
pub async fn keep_evaluating(
    db: PgPool,
    catalog: Arc<Catalog>,
    mut loaded: watch::Receiver<Loaded>,
    mut looked: watch::Receiver<()>,
    stop: CancellationToken,
) {
    let mut evaluator = Evaluator::default();
    loop {
        let current = loaded.borrow_and_update().clone();
        let evaluated = evaluator.evaluate(&db, catalog.snapshot(), &current);
        match stop.run_until_cancelled(evaluated).await {
            None => return,
            Some(Ok(Evaluated::Done { entities, scores, flips })) => {
                tracing::info!(entities, scores, flips, "evaluated scorecards");
            }
            Some(Ok(Evaluated::Idle | Evaluated::Elsewhere)) => {}
            Some(Err(error)) => {
                tracing::warn!(error = format!("{error:#}"), "could not evaluate scorecards");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
            Ok(()) = looked.changed() => {}
            Ok(()) = loaded.changed() => {}
        }
    }
}

/// Forgets what is older than 400 days, so many at once that nobody waits for it; how many.
///
/// # Errors
/// The database.
pub async fn forget(db: &PgPool) -> anyhow::Result<u64> {
    let mut many = 0;
    for _ in 0..ROUNDS_MAX {
        let mut connection = db.acquire().await?;
        let days = store::forget_days(&mut connection, KEPT_DAYS, FORGOTTEN_AT_ONCE).await?;
        let flips = store::forget_flips(&mut connection, KEPT_DAYS, FORGOTTEN_AT_ONCE).await?;
        many += days + flips;
        if days + flips == 0 {
            break;
        }
    }
    Ok(many)
}

/// The scores by `scorecard` as they were evaluated last, by entity; of `entities` only, where some are given. Those by
/// another version of it are left out: their rules may be others.
///
/// # Errors
/// The database.
pub async fn scores(
    db: &PgPool,
    scorecard: &Scorecard,
    entities: Option<&[EntityRef]>,
) -> anyhow::Result<Vec<Score>> {
    let mut connection = db.acquire().await?;
    let entities = entities.map(names);
    let current = store::definition(&mut connection, scorecard).await?;
    let scores = store::scores(&mut connection, &scorecard.name, entities.as_deref()).await;
    let mut scores = scores.context("could not read scores")?;
    scores.retain(|score| Some(score.definition) == current);
    Ok(scores)
}

/// As [`scores`], with when everything was evaluated last; `None` before all of it was by this version of the scorecard.
///
/// # Errors
/// The database.
pub async fn evaluated_scores(
    db: &PgPool,
    scorecard: &Scorecard,
    entities: Option<&[EntityRef]>,
) -> anyhow::Result<Option<(DateTime<Utc>, Vec<Score>)>> {
    let mut connection = db.acquire().await?;
    let state = store::state(&mut connection).await?;
    drop(connection);
    let own = fingerprint(scorecard);
    let is_evaluated = state.scorecards.split(' ').any(|it| it == own);
    let Some(at) = state.evaluated_at.filter(|_| is_evaluated) else { return Ok(None) };
    Ok(Some((at, scores(db, scorecard, entities).await?)))
}

/// How the standings by `scorecard` changed on each day from `since` on, the newest first; of `entities` only, where some
/// are given.
///
/// # Errors
/// The database.
pub async fn day_changes(
    db: &PgPool,
    scorecard: &str,
    entities: Option<&[EntityRef]>,
    since: NaiveDate,
) -> anyhow::Result<Vec<DayChange>> {
    let mut connection = db.acquire().await?;
    let entities = entities.map(names);
    let changes = store::day_changes(&mut connection, scorecard, entities.as_deref(), since).await;
    changes.context("could not read how scores changed")
}

/// The most flips that are read at once.
pub const FLIPS_MAX: i64 = 10_000;

/// What flipped after `since`, until `until`, the oldest first; of `scorecard` and `entities` only, where they are given.
/// Of more than ten thousand the newest.
///
/// # Errors
/// The database.
pub async fn flips(
    db: &PgPool,
    scorecard: Option<&str>,
    entities: Option<&[EntityRef]>,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
) -> anyhow::Result<Vec<Flip>> {
    let mut connection = db.acquire().await?;
    let entities = entities.map(names);
    let entities = entities.as_deref();
    let flips = store::flips(&mut connection, scorecard, entities, since, until, FLIPS_MAX).await;
    flips.context("could not read what flipped")
}

/// Up to when, and up to which catalog, everything is evaluated; `None` before anything was.
///
/// # Errors
/// The database.
pub async fn evaluated(db: &PgPool) -> anyhow::Result<Option<(DateTime<Utc>, Revision)>> {
    let mut connection = db.acquire().await?;
    let state = store::state(&mut connection).await?;
    Ok(state.evaluated_at.map(|at| (at, state.catalog)))
}

/// The time by which scores go.
///
/// # Errors
/// The database.
pub async fn now(db: &PgPool) -> anyhow::Result<DateTime<Utc>> {
    let mut connection = db.acquire().await?;
    Ok(store::state(&mut connection).await?.now)
}

/// What is kept of many entities, all of it as it stood at one moment.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// By the scorecards as they are, of each scorecard those of each entity.
    pub scores: Vec<Score>,
    /// Of each scorecard, the newest first.
    pub days: Vec<(EntityRef, String, DayChange)>,
    /// The oldest first.
    pub flips: Vec<Flip>,
    /// Whether there were more than are read at once: the oldest are missing.
    pub is_cut: bool,
    /// The exemptions that hold, of all entities.
    pub exemptions: Vec<Exemption>,
    /// The moment, by the database's clock.
    pub at: DateTime<Utc>,
    /// Set where something is not evaluated, or only half.
    pub behind: Option<Behind>,
}

/// Scores are not those of what is known now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// Of when they are; `None`: nothing was ever evaluated.
    pub evaluated_at: Option<DateTime<Utc>>,
}

/// Facts come all the time: what came within so many seconds is no reason to call scores old.
const FRESH: TimeDelta = TimeDelta::seconds(60);

/// What is kept of `entities` by `wanted`, which are some of `all`; their flips since `flips`, their days since `days`.
/// `snapshot` is the catalog that the reader has.
///
/// # Errors
/// The database.
pub async fn kept(
    db: &PgPool,
    snapshot: &Snapshot,
    (all, wanted): (&ScorecardSet, &[&Scorecard]),
    entities: &[EntityRef],
    (flips, days): (DateTime<Utc>, NaiveDate),
) -> anyhow::Result<Kept> {
    let names = names(entities);
    let mut tx = db.begin().await?;
    store::read_one_moment(&mut tx).await?;
    let state = store::state(&mut tx).await?;
    let behind = !is_current(&state, snapshot, all);
    let behind = behind.then_some(Behind { evaluated_at: state.evaluated_at });
    let mut kept = Kept { at: state.now, behind, ..Kept::default() };
    for scorecard in wanted {
        let current = store::definition(&mut tx, scorecard).await?;
        let mut scores = store::scores(&mut tx, &scorecard.name, Some(&names)).await?;
        scores.retain(|score| Some(score.definition) == current);
        kept.scores.append(&mut scores);
        let of_days = store::days(&mut tx, &scorecard.name, &names, days).await?;
        let named = |(entity, change)| (entity, scorecard.name.clone(), change);
        kept.days.extend(of_days.into_iter().map(named));
    }
    for names in names.chunks(PIECE) {
        let flips = store::flips(&mut tx, None, Some(names), flips, state.now, FLIPS_MAX).await?;
        kept.is_cut |= flips.len() as i64 == FLIPS_MAX;
        kept.flips.extend(flips);
    }
    kept.exemptions = exemption::store::live(&mut tx, None).await?;
    tx.commit().await?;
    Ok(kept)
}

/// Whether everything is evaluated that a reader with `snapshot` and `scorecards` knows of.
fn is_current(state: &State, snapshot: &Snapshot, scorecards: &ScorecardSet) -> bool {
    let (evaluated, known) = (&state.catalog, snapshot.revision());
    let is_of_catalog = evaluated == known || evaluated.number > known.number;
    let is_fresh = state.evaluated_at.is_some_and(|at| at > state.now - FRESH);
    is_of_catalog
        && !state.is_held
        && state.scorecards == fingerprints(scorecards)
        && (is_fresh || !has_moved(state))
}

/// What `scorecards` find of `entities` now, whatever was evaluated.
///
/// # Errors
/// The database.
pub async fn judged_now(
    db: &PgPool,
    snapshot: Arc<Snapshot>,
    scorecards: Arc<ScorecardSet>,
    entities: Vec<EntityRef>,
) -> anyhow::Result<Vec<Score>> {
    let facts = facts(db, &entities).await?;
    let exempt = exemption::flow::live(db, None).await?;
    let mut connection = db.acquire().await?;
    let now = store::state(&mut connection).await?.now;
    let judged = spawn_blocking(move || {
        let definitions = Definitions::default();
        let means = evaluate::Means {
            scorecards: &scorecards,
            facts: &facts,
            exempt: &exempt,
            definitions: &definitions,
            now,
        };
        evaluate::scores(&snapshot, &entities, &means)
    });
    judged.await.context("the evaluation broke off")
}

/// What was reported of `entities`, stale or not.
///
/// # Errors
/// The database.
pub async fn facts(
    db: &PgPool,
    entities: &[EntityRef],
) -> anyhow::Result<HashMap<EntityRef, Vec<Fact>>> {
    let mut connection = db.acquire().await?;
    let facts = store::facts(&mut connection, &names(entities)).await;
    facts.context("could not read facts")
}

fn names(entities: &[EntityRef]) -> Vec<&str> {
    entities.iter().map(EntityRef::as_str).collect()
}
