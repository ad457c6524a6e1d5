//! Planning what falls due.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use sha2::{Digest as _, Sha256};
use sqlx::{PgConnection, PgPool};
use tokio::task::spawn_blocking;

use super::delivery::{Outcome, Planned};
use super::due::{Due, due};
use super::file::Digest;
use super::standing::{self, FIRST, Scored, TREND};
use super::store::{self, Heard, Logged, Past, Schedule};
use super::week::{self, Known, Week, When};
use super::{BETWEEN, DigestSet, Hearer, content, count, hearers, lead};
use crate::catalog::{EntityRef, Snapshot};
use crate::conversation::{Platform, Reply};
use crate::jobs::schedule::Slot;
use crate::scorecards::{ScorecardSet, flow as scores};

/// The messages of a slot are spread over so many seconds, so that nobody's list of them is long.
const SPREAD_S: i64 = 50;
/// Between two messages to one channel, in seconds: Slack schedules no more than 30 in five minutes.
const CHANNEL_EVERY_S: i64 = 12;
/// How long before its time a late message is handed over, in seconds.
pub const MARGIN_S: i64 = 180;

/// How long what is due waits for scorecards to be evaluated, in seconds: far less than it is planned ahead.
const PATIENCE_S: f64 = 120.0;

/// What digests are made of.
#[derive(Clone)]
pub struct Desk {
    pub digests: Arc<DigestSet>,
    pub snapshot: Arc<Snapshot>,
    pub scorecards: Arc<ScorecardSet>,
    /// The platforms on which idp can post.
    pub connected: Vec<Platform>,
}

/// Writes down every delivery that is due, and how far that is; how many there are to be sent.
///
/// # Errors
/// The database. What was planned until then is planned.
pub async fn plan(db: &PgPool, desk: &Desk) -> anyhow::Result<usize> {
    let mut planned = 0;
    // A catalog that is not there yet has no teams; nobody may take that for an answer.
    if desk.digests.is_empty() || desk.connected.is_empty() || desk.snapshot.why_unread().is_some()
    {
        return Ok(planned);
    }
    let hearers = all_hearers(desk).await?;
    let slack = |it: &&Hearer| matches!(it.place, Some((Platform::Slack, _)));
    let lead = lead(hearers.iter().flat_map(|(_, all)| all).filter(slack).count());
    let schedules: BTreeSet<(usize, &str)> = hearers
        .iter()
        .enumerate()
        .flat_map(|(place, (_, all))| all.iter().map(move |it| (place, it.zone.name())))
        .collect();
    let digest = |place: usize| &hearers[place].0;
    let watched: Vec<Schedule<'_>> =
        schedules.iter().map(|(place, zone)| schedule(digest(*place), zone)).collect();
    let mut connection = db.acquire().await?;
    let progress = store::watch(&mut connection, &watched).await?;
    let now = store::now(&mut connection).await?;
    drop(connection);
    for at in progress {
        let Some((digest, all)) = hearers.iter().find(|(it, _)| it.name == at.digest) else {
            continue;
        };
        let zone: Tz = at.zone.parse().map_err(anyhow::Error::msg).context("a time zone")?;
        let catch_up = TimeDelta::from_std(digest.catch_up)?;
        if due((&digest.schedule, zone), at.since, now, lead, catch_up).is_some() {
            let all: Vec<Hearer> = all.iter().filter(|it| it.zone == zone).cloned().collect();
            let more = plan_slot(db, desk, digest, (zone, lead), all).await;
            planned += more.with_context(|| format!("could not plan `{}`", digest.name))?;
        }
    }
    Ok(planned)
}

fn schedule<'a>(digest: &'a Digest, zone: &'a str) -> Schedule<'a> {
    Schedule { digest: &digest.name, zone, cron: digest.schedule.text() }
}

/// Each digest with its hearers.
async fn all_hearers(desk: &Desk) -> anyhow::Result<Vec<(Digest, Vec<Hearer>)>> {
    let desk = desk.clone();
    let listed = spawn_blocking(move || {
        let digests = desk.digests.iter().cloned();
        let listed = digests.map(|digest| {
            let all = hearers(&digest, &desk.snapshot, &desk.connected);
            (digest, all)
        });
        listed.collect()
    });
    listed.await.context("listing the teams broke off")
}

/// Plans what is due of `digest` in `zone`, in one transaction, unless another process does; how many are to be sent.
async fn plan_slot(
    db: &PgPool,
    desk: &Desk,
    digest: &Digest,
    (zone, lead): (Tz, TimeDelta),
    hearers: Vec<Hearer>,
) -> anyhow::Result<usize> {
    let mut tx = db.begin().await?;
    let schedule = schedule(digest, zone.name());
    let Some(since) = store::lock(&mut tx, &schedule).await? else { return Ok(0) };
    let now = store::now(&mut tx).await?;
    let catch_up = TimeDelta::from_std(digest.catch_up)?;
    let Some(due) = due((&digest.schedule, zone), since, now, lead, catch_up) else {
        return Ok(0);
    };
    let mut made = None;
    if let Some(slot) = due.slot {
        let paper = paper(&mut tx, db, desk, digest, slot, &hearers).await?;
        let is_behind = paper.scored.behind.is_some();
        if is_behind && store::waits(&mut tx, &schedule, PATIENCE_S).await? {
            tx.commit().await?;
            return Ok(0);
        }
        made = Some((slot, paper));
    }
    let use_s = digest.catch_up.as_secs_f64();
    let mut outcomes: Vec<Option<Outcome>> = Vec::new();
    for slot in &due.missed {
        let missed: Vec<Planned> =
            hearers.iter().map(|it| ended(it, slot.at, Outcome::Missed)).collect();
        store::insert(&mut tx, (&digest.name, slot, false), use_s, &missed).await?;
        outcomes.extend(missed.iter().map(|it| it.ended));
    }
    if let Some((slot, mut paper)) = made {
        // Those that were just missed are told of.
        paper.past = store::past(&mut tx, &digest.name, slot.date).await?;
        let planned = words(desk, digest, (&due, slot, now), paper, hearers).await?;
        store::insert(&mut tx, (&digest.name, &slot, due.is_late), use_s, &planned).await?;
        outcomes.extend(planned.iter().map(|it| it.ended));
    }
    store::deal_with(&mut tx, &schedule, due.until).await?;
    tx.commit().await?;
    outcomes.iter().flatten().for_each(|outcome| count(None, *outcome, 1));
    Ok(outcomes.iter().filter(|it| it.is_none()).count())
}

/// What the words of a digest are made of, besides the catalog.
#[derive(Debug, Default)]
struct Paper {
    past: Past,
    snoozed: BTreeSet<String>,
    scored: Scored,
    disowned: Vec<Disowned>,
}

/// What the words of `slot` are made of for `hearers`.
async fn paper(
    tx: &mut PgConnection,
    db: &PgPool,
    desk: &Desk,
    digest: &Digest,
    slot: Slot,
    hearers: &[Hearer],
) -> anyhow::Result<Paper> {
    let past = store::past(tx, &digest.name, slot.date).await?;
    let snoozed: BTreeSet<String> = store::snoozed(tx, slot.at).await?.into_iter().collect();
    let disowned = store::disowned(tx).await?;
    let hear = |it: &&Hearer| it.place.is_some() && !snoozed.contains(it.team.as_str());
    let hear: Vec<&EntityRef> = hearers.iter().filter(hear).map(|it| &it.team).collect();
    let scored = scored(db, desk, digest, &past, &hear).await?;
    Ok(Paper { past, snoozed, scored, disowned })
}

/// What is kept of all that `teams` own, by the scorecards of `digest`.
async fn scored(
    db: &PgPool,
    desk: &Desk,
    digest: &Digest,
    past: &Past,
    teams: &[&EntityRef],
) -> anyhow::Result<Scored> {
    let wanted = standing::scorecards(digest, &desk.scorecards);
    if wanted.is_empty() || teams.is_empty() {
        return Ok(Scored::default());
    }
    let now = scores::now(db).await?;
    let heard = teams.iter().map(|team| past.heard.get(team.as_str()));
    let since = heard.map(|heard| heard.map_or(now - FIRST, Heard::told_until)).min();
    let days = (now - TREND).date_naive();
    let owned = teams.iter().flat_map(|team| week::owned(&desk.snapshot, team));
    let mut owned: Vec<EntityRef> = owned.map(|it| it.reference.clone()).collect();
    owned.sort();
    owned.dedup();
    let kept = scores::kept(
        db,
        &desk.snapshot,
        (&desk.scorecards, &wanted),
        &owned,
        (since.unwrap_or(now), days),
    );
    Ok(kept.await?.into())
}

/// What `hearers` are to be told of `slot`, as it is now.
async fn words(
    desk: &Desk,
    digest: &Digest,
    (due, slot, now): (&Due, Slot, DateTime<Utc>),
    paper: Paper,
    hearers: Vec<Hearer>,
) -> anyhow::Result<Vec<Planned>> {
    let (desk, digest, is_late) = (desk.clone(), digest.clone(), due.is_late);
    let said = spawn_blocking(move || {
        let mut times = Times::new(slot, is_late, now);
        let planned = hearers.into_iter().map(|hearer| {
            let outcome = match &hearer.place {
                None => Some(Outcome::NoChannel),
                Some(_) if paper.snoozed.contains(hearer.team.as_str()) => Some(Outcome::Snoozed),
                Some(_) => None,
            };
            if let Some(outcome) = outcome {
                return Ok(ended(&hearer, slot.at, outcome));
            }
            let when = when(&paper, &hearer, slot, is_late, now);
            match week(&desk, &digest, &hearer.team, when, &paper) {
                None => Ok(ended(&hearer, slot.at, Outcome::Empty)),
                Some(week) => {
                    let send_at = times.next(&hearer);
                    let body = serde_json::to_string(&content::say(&week))?;
                    let Hearer { team, place, .. } = hearer;
                    let told = week.standings.told;
                    Ok(Planned { team, place, send_at, ended: None, body, told })
                }
            }
        });
        planned.collect::<anyhow::Result<Vec<Planned>>>()
    });
    said.await.context("making the words broke off")?
}

fn ended(hearer: &Hearer, at: DateTime<Utc>, outcome: Outcome) -> Planned {
    let Hearer { team, place, .. } = hearer.clone();
    let (ended, body, told) = (Some(outcome), String::new(), None);
    Planned { team, place, send_at: at, ended, body, told }
}

fn when(paper: &Paper, hearer: &Hearer, slot: Slot, is_late: bool, now: DateTime<Utc>) -> When {
    let team = hearer.team.as_str();
    let heard = paper.past.heard.get(team);
    When {
        date: slot.date,
        zone: hearer.zone,
        as_of: now,
        was_due: is_late.then_some(slot.at),
        since: heard.map(|heard| heard.date),
        told_until: heard.map_or(now - FIRST, Heard::told_until),
        told: heard.and_then(|heard| heard.told.clone()),
        missed: paper.past.missed.get(team).cloned().unwrap_or_default(),
    }
}

/// How `team` stands by `digest`; `None` where it owns nothing.
fn week(desk: &Desk, digest: &Digest, team: &EntityRef, when: When, paper: &Paper) -> Option<Week> {
    let team = desk.snapshot.find(team.as_str())?;
    let scorecards = standing::scorecards(digest, &desk.scorecards);
    let Paper { scored, disowned, .. } = paper;
    let known = Known { scorecards: &scorecards, scored, disowned };
    Week::of(&desk.snapshot, team, &digest.title, when, &known)
}

/// When each message of a slot is to be in its channel.
struct Times {
    slot: Slot,
    is_late: bool,
    now: DateTime<Utc>,
    count: i32,
    /// How many go to each channel.
    channels: HashMap<(Platform, String), i64>,
}

impl Times {
    fn new(slot: Slot, is_late: bool, now: DateTime<Utc>) -> Times {
        Times { slot, is_late, now, count: 0, channels: HashMap::new() }
    }

    /// On time: within a minute of the slot, always the same second for a team. Late: as soon as its turn can come.
    fn next(&mut self, hearer: &Hearer) -> DateTime<Utc> {
        let before = hearer.place.clone().map_or(0, |place| {
            let count = self.channels.entry(place).or_default();
            *count += 1;
            *count - 1
        });
        let in_channel = TimeDelta::seconds(before * CHANNEL_EVERY_S);
        if self.is_late || self.slot.at <= self.now {
            self.count = self.count.saturating_add(1);
            let turn = TimeDelta::from_std(BETWEEN).unwrap_or_default() * self.count;
            return self.now + TimeDelta::seconds(MARGIN_S) + turn.max(in_channel);
        }
        let spread = i64::from(Sha256::digest(hearer.team.as_str())[0]) % SPREAD_S;
        self.slot.at + TimeDelta::seconds(spread) + in_channel
    }
}

/// What `digest` would tell `team` now, and where. Nothing is written down, and scores are those of now, evaluated or
/// not. `None` where the team owns nothing.
///
/// # Errors
/// The database.
pub async fn preview(
    db: &PgPool,
    desk: &Desk,
    digest: &Digest,
    team: &EntityRef,
) -> anyhow::Result<(Hearer, Option<Reply>)> {
    let mut tx = db.begin().await?;
    let now = store::now(&mut tx).await?;
    let hearer = hearer_of(desk, digest, team);
    let slot = Slot { at: now, date: now.with_timezone(&hearer.zone).date_naive() };
    let teams = std::slice::from_ref(&hearer);
    let mut paper = paper(&mut tx, db, desk, digest, slot, teams).await?;
    if hearer.place.is_none() || paper.snoozed.contains(team.as_str()) {
        paper.scored = scored(db, desk, digest, &paper.past, &[team]).await?;
    }
    tx.commit().await?;
    if paper.scored.behind.take().is_some() {
        let owned = week::owned(&desk.snapshot, team);
        let owned: Vec<EntityRef> = owned.into_iter().map(|it| it.reference.clone()).collect();
        let (snapshot, scorecards) = (desk.snapshot.clone(), desk.scorecards.clone());
        paper.scored.judge(scores::judged_now(db, snapshot, scorecards, owned).await?);
    }
    let when = when(&paper, &hearer, slot, false, now);
    let said = week(desk, digest, team, when, &paper).map(|week| content::say(&week));
    Ok((hearer, said))
}

/// `team` as it hears `digest`, whether or not it is among those whom it is for.
fn hearer_of(desk: &Desk, digest: &Digest, team: &EntityRef) -> Hearer {
    let audience =
        super::file::Audience { teams: Some([team.clone()].into()), ..Default::default() };
    let only = Digest { audience, ..digest.clone() };
    let found = hearers(&only, &desk.snapshot, &desk.connected).into_iter().next();
    found.unwrap_or_else(|| Hearer { team: team.clone(), zone: Tz::UTC, place: None })
}

/// `digest` is sent to `team` now, out of turn: the one of today, and the only one of today. What cannot be sent is not
/// written down: the one whose time comes may be sent all the same. `by`: who asked for it.
///
/// # Errors
/// The database.
pub async fn send(
    db: &PgPool,
    desk: &Desk,
    digest: &Digest,
    team: &EntityRef,
    by: Option<&EntityRef>,
) -> anyhow::Result<Sending> {
    let mut tx = db.begin().await?;
    let now = store::now(&mut tx).await?;
    let hearer = hearer_of(desk, digest, team);
    let slot = Slot { at: now, date: now.with_timezone(&hearer.zone).date_naive() };
    let due = Due { slot: Some(slot), is_late: false, missed: Vec::new(), until: now };
    let hearers = vec![hearer];
    let paper = paper(&mut tx, db, desk, digest, slot, &hearers).await?;
    let planned = words(desk, digest, (&due, slot, now), paper, hearers).await?;
    let Some(only) = planned.into_iter().next() else { bail!("nothing was planned") };
    if let Some(outcome) = only.ended {
        return Ok(Sending::NotSent(outcome));
    }
    let use_s = digest.catch_up.as_secs_f64();
    let all = std::slice::from_ref(&only);
    let inserted = store::insert(&mut tx, (&digest.name, &slot, false), use_s, all).await?;
    if inserted == 0 {
        return Ok(Sending::SentToday);
    }
    store::asked_by(&mut tx, &digest.name, team, slot.date, by).await?;
    tx.commit().await?;
    Ok(Sending::At(only.send_at))
}

/// What comes of sending out of turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    At(DateTime<Utc>),
    NotSent(Outcome),
    /// The team has one of today.
    SentToday,
}

/// `team` wants no digest for so many days from now on, asked `by` whom; until when.
///
/// # Errors
/// The database.
pub async fn snooze(
    db: &PgPool,
    team: &EntityRef,
    days: u32,
    by: Option<&EntityRef>,
) -> anyhow::Result<DateTime<Utc>> {
    let mut connection = db.acquire().await?;
    let until = store::now(&mut connection).await? + TimeDelta::days(days.into());
    drop(connection);
    store::snooze(db, team, until, by).await?;
    Ok(until)
}

/// `team` hears its digests again; whether it did not.
///
/// # Errors
/// The database.
pub async fn wake(db: &PgPool, team: &EntityRef) -> anyhow::Result<bool> {
    Ok(store::wake(db, team).await?)
}

/// What a team says is not its own, whatever the catalog has.
#[derive(Debug, Clone, PartialEq)]
pub struct Disowned {
    pub entity: EntityRef,
    pub team: EntityRef,
    /// Empty where none was said.
    pub reason: String,
    pub by: Option<EntityRef>,
    pub at: DateTime<Utc>,
}

/// Everything that teams say is not their own, the newest first.
///
/// # Errors
/// The database.
pub async fn disowned(db: &PgPool) -> anyhow::Result<Vec<Disowned>> {
    let mut connection = db.acquire().await?;
    Ok(store::disowned(&mut connection).await?)
}

/// `teams` say that `entity` is not their own.
///
/// # Errors
/// The database.
pub async fn disown(
    db: &PgPool,
    entity: &EntityRef,
    teams: &[EntityRef],
    reason: &str,
    by: Option<&EntityRef>,
) -> anyhow::Result<()> {
    Ok(store::disown(db, entity, teams, reason, by).await?)
}

/// `teams` say no more that `entity` is not their own.
///
/// # Errors
/// The database.
pub async fn own(db: &PgPool, entity: &EntityRef, teams: &[EntityRef]) -> anyhow::Result<()> {
    Ok(store::own(db, entity, teams).await?)
}

/// `limit` deliveries after the first `offset`, the newest first, each with its team; of `digest` and `team` alone where
/// they are given.
///
/// # Errors
/// The database.
pub async fn log(
    db: &PgPool,
    digest: Option<&str>,
    team: Option<&EntityRef>,
    offset: i64,
    limit: i64,
) -> anyhow::Result<Vec<(EntityRef, Logged)>> {
    let logged = store::log(db, digest, team, offset, limit).await?;
    let with_team = logged.into_iter().map(|it| {
        // What another version wrote down is shown all the same.
        let team = EntityRef::parse(&it.team, None, "default");
        (team.unwrap_or_else(|_| EntityRef::new("group", "default", "unknown")), it)
    });
    Ok(with_team.collect())
}
