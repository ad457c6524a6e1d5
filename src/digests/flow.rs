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
use super::store::{self, Past, Schedule};
use super::week::{Week, When};
use super::{BETWEEN, DigestSet, Hearer, content, count, hearers, lead};
use crate::catalog::{EntityRef, Snapshot};
use crate::conversation::{Platform, Reply};
use crate::jobs::schedule::Slot;

/// The messages of a slot are spread over so many seconds, so that nobody's list of them is long.
const SPREAD_S: i64 = 50;
/// Between two messages to one channel, in seconds: Slack schedules no more than 30 in five minutes.
const CHANNEL_EVERY_S: i64 = 12;
/// How long before its time a late message is handed over, in seconds.
pub const MARGIN_S: i64 = 180;

/// What digests are made of.
#[derive(Clone)]
pub struct Desk {
    pub digests: Arc<DigestSet>,
    pub snapshot: Arc<Snapshot>,
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
    let use_s = digest.catch_up.as_secs_f64();
    let mut outcomes: Vec<Option<Outcome>> = Vec::new();
    for slot in &due.missed {
        let missed: Vec<Planned> =
            hearers.iter().map(|it| ended(it, slot.at, Outcome::Missed)).collect();
        store::insert(&mut tx, (&digest.name, slot, false), use_s, &missed).await?;
        outcomes.extend(missed.iter().map(|it| it.ended));
    }
    if let Some(slot) = due.slot {
        let planned = words(&mut tx, desk, digest, (&due, slot, now), hearers).await?;
        store::insert(&mut tx, (&digest.name, &slot, due.is_late), use_s, &planned).await?;
        outcomes.extend(planned.iter().map(|it| it.ended));
    }
    store::deal_with(&mut tx, &schedule, due.until).await?;
    tx.commit().await?;
    outcomes.iter().flatten().for_each(|outcome| count(None, *outcome, 1));
    Ok(outcomes.iter().filter(|it| it.is_none()).count())
}

/// What `hearers` are to be told of `slot`, as it is now.
async fn words(
    db: &mut PgConnection,
    desk: &Desk,
    digest: &Digest,
    (due, slot, now): (&Due, Slot, DateTime<Utc>),
    hearers: Vec<Hearer>,
) -> anyhow::Result<Vec<Planned>> {
    let past = store::past(db, &digest.name, slot.date).await?;
    let snoozed: BTreeSet<String> = store::snoozed(db, slot.at).await?.into_iter().collect();
    let (desk, digest, is_late) = (desk.clone(), digest.clone(), due.is_late);
    let said = spawn_blocking(move || {
        let mut times = Times::new(slot, is_late, now);
        let planned = hearers.into_iter().map(|hearer| {
            let outcome = match &hearer.place {
                None => Some(Outcome::NoChannel),
                Some(_) if snoozed.contains(hearer.team.as_str()) => Some(Outcome::Snoozed),
                Some(_) => None,
            };
            if let Some(outcome) = outcome {
                return Ok(ended(&hearer, slot.at, outcome));
            }
            let when = when(&past, &hearer, slot, is_late, now);
            match reply(&desk.snapshot, &digest, &hearer.team, when) {
                None => Ok(ended(&hearer, slot.at, Outcome::Empty)),
                Some(reply) => {
                    let send_at = times.next(&hearer);
                    let body = serde_json::to_string(&reply)?;
                    let Hearer { team, place, .. } = hearer;
                    Ok(Planned { team, place, send_at, ended: None, body })
                }
            }
        });
        planned.collect::<anyhow::Result<Vec<Planned>>>()
    });
    said.await.context("making the words broke off")?
}

fn ended(hearer: &Hearer, at: DateTime<Utc>, outcome: Outcome) -> Planned {
    let Hearer { team, place, .. } = hearer.clone();
    Planned { team, place, send_at: at, ended: Some(outcome), body: String::new() }
}

fn when(past: &Past, hearer: &Hearer, slot: Slot, is_late: bool, now: DateTime<Utc>) -> When {
    let team = hearer.team.as_str();
    When {
        date: slot.date,
        zone: hearer.zone,
        as_of: now,
        was_due: is_late.then_some(slot.at),
        since: past.heard.get(team).map(|(date, _)| *date),
        missed: past.missed.get(team).cloned().unwrap_or_default(),
    }
}

/// What `digest` tells `team`; `None`: nothing.
fn reply(snapshot: &Snapshot, digest: &Digest, team: &EntityRef, when: When) -> Option<Reply> {
    let team = snapshot.find(team.as_str())?;
    Week::of(snapshot, team, &digest.title, when).map(|week| content::say(&week))
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

/// What `digest` would tell `team` now. Nothing is written down.
///
/// # Errors
/// The database.
pub async fn preview(
    db: &PgPool,
    desk: &Desk,
    digest: &Digest,
    team: &EntityRef,
) -> anyhow::Result<Option<Reply>> {
    let mut connection = db.acquire().await?;
    let now = store::now(&mut connection).await?;
    let hearer = hearer_of(desk, digest, team);
    let slot = Slot { at: now, date: now.with_timezone(&hearer.zone).date_naive() };
    let past = store::past(&mut connection, &digest.name, slot.date).await?;
    let when = when(&past, &hearer, slot, false, now);
    Ok(reply(&desk.snapshot, digest, team, when))
}

/// `team` as it hears `digest`, whether or not it is among those whom it is for.
fn hearer_of(desk: &Desk, digest: &Digest, team: &EntityRef) -> Hearer {
    let audience =
        super::file::Audience { teams: Some([team.clone()].into()), ..Default::default() };
    let only = Digest { audience, ..digest.clone() };
    let found = hearers(&only, &desk.snapshot, &desk.connected).into_iter().next();
    found.unwrap_or_else(|| Hearer { team: team.clone(), zone: Tz::UTC, place: None })
}

/// `digest` is sent to `team` now, out of turn: the one of today, and the only one of today.
///
/// # Errors
/// The database. A team that has one of today already.
pub async fn send(
    db: &PgPool,
    desk: &Desk,
    digest: &Digest,
    team: &EntityRef,
) -> anyhow::Result<Sending> {
    let mut tx = db.begin().await?;
    let now = store::now(&mut tx).await?;
    let hearer = hearer_of(desk, digest, team);
    let slot = Slot { at: now, date: now.with_timezone(&hearer.zone).date_naive() };
    let due = Due { slot: Some(slot), is_late: false, missed: Vec::new(), until: now };
    let planned = words(&mut tx, desk, digest, (&due, slot, now), vec![hearer]).await?;
    let Some(only) = planned.into_iter().next() else { bail!("nothing was planned") };
    let use_s = digest.catch_up.as_secs_f64();
    let inserted =
        store::insert(&mut tx, (&digest.name, &slot, false), use_s, std::slice::from_ref(&only));
    let inserted = inserted.await?;
    tx.commit().await?;
    Ok(match (inserted, only.ended) {
        (0, _) => Sending::SentToday,
        (_, Some(outcome)) => Sending::NotSent(outcome),
        (_, None) => Sending::At(only.send_at),
    })
}

/// What comes of sending out of turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    At(DateTime<Utc>),
    NotSent(Outcome),
    /// The team has one of today.
    SentToday,
}
