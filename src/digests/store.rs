//! The SQL of digests. All times are those of the database, as `idp.digest_clock()` tells them.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, PgPool, Row};

use super::delivery::{Delivery, Doubt, Outcome, Planned, Step, mark};
use super::flow::Disowned;
use super::standing::Told;
use crate::catalog::EntityRef;
use crate::conversation::Platform;
use crate::jobs::schedule::Slot;

/// What is longer ago no digest goes back to.
const PAST_DAYS: i32 = 100;

/// The most that is read of what teams say is not their own.
const DISOWNED_MAX: i64 = 10_000;

/// A schedule as the files have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule<'a> {
    pub digest: &'a str,
    pub zone: &'a str,
    pub cron: &'a str,
}

/// How far a schedule is dealt with.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Progress {
    pub digest: String,
    pub zone: String,
    pub since: DateTime<Utc>,
}

/// What a delivery was claimed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be looked for at its platform: it may be there.
    Look,
    /// To be handed over.
    Send,
    /// It was handed over: whether it is there once.
    Audit,
    /// Its time has come: whether it was posted.
    Confirm,
}

impl Purpose {
    fn word(self) -> &'static str {
        match self {
            Purpose::Look => "look",
            Purpose::Send => "send",
            Purpose::Audit => "audit",
            Purpose::Confirm => "confirm",
        }
    }
}

/// How deliveries are handed over to a platform.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    pub platform: Platform,
    /// Whether the platform takes a message ahead of its time, and posts it itself.
    pub ahead: bool,
    /// How long before its time it is handed over then, at least, in seconds.
    pub margin_s: f64,
    /// How long after it was sent it may be sent again, for the platform posts it once; in seconds.
    pub apart_s: f64,
    /// How long nobody else touches what somebody has in hand, in seconds.
    pub lease_s: f64,
}

/// What is to be done on a platform, as far as something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub struct Work {
    pub look: bool,
    pub send: bool,
    pub audit: bool,
    pub confirm: bool,
}

/// The time by which digests go.
pub async fn now(db: &mut PgConnection) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar("select idp.digest_clock()").fetch_one(db).await
}

/// How far each of `schedules` is dealt with, in no order. One that is new counts from now on; one that was in
/// nobody's files while somebody looked counts from when it is back.
pub async fn watch(
    db: &mut PgConnection,
    schedules: &[Schedule<'_>],
) -> sqlx::Result<Vec<Progress>> {
    let digests: Vec<&str> = schedules.iter().map(|it| it.digest).collect();
    let zones: Vec<&str> = schedules.iter().map(|it| it.zone).collect();
    let crons: Vec<&str> = schedules.iter().map(|it| it.cron).collect();
    sqlx::query_as(
        "with given as (
           select digest, zone, cron
           from unnest($1::text[], $2::text[], $3::text[]) as given (digest, zone, cron)
         ), clock as materialized (
           select idp.digest_clock() as now
         ), before as (
           select at from idp.digest_watch
         ), watched as (
           insert into idp.digest_watch (at)
           select now from clock
           on conflict (only_one) do update set at = excluded.at
           where digest_watch.at < excluded.at - interval '1 minute' or digest_watch.at > excluded.at
         ), kept as (
           insert into idp.digest_schedule (digest, zone, cron, since, seen_at)
           select digest, zone, cron, now, now from given, clock
           on conflict (digest, zone, cron) do update
           set seen_at = excluded.seen_at,
             since = greatest(digest_schedule.since, (
               select at from before where at > digest_schedule.seen_at + interval '10 minutes'))
           where digest_schedule.seen_at < excluded.seen_at - interval '1 minute'
             or digest_schedule.seen_at > excluded.seen_at
           returning digest, zone, cron, since
         )
         select digest, zone, since from kept
         union all
         select digest, zone, since
         from idp.digest_schedule
         join given using (digest, zone, cron)
         where not exists (
           select from kept where (kept.digest, kept.zone, kept.cron) = (digest_schedule.digest, digest_schedule.zone, digest_schedule.cron))",
    )
    .bind(digests)
    .bind(zones)
    .bind(crons)
    .fetch_all(db)
    .await
}

/// Until when `schedule` is dealt with; nobody else deals with it until the end of the transaction. `None`: somebody
/// does.
pub async fn lock(
    db: &mut PgConnection,
    schedule: &Schedule<'_>,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar(
        "select since
         from idp.digest_schedule
         where digest = $1 and zone = $2 and cron = $3
         for update skip locked",
    )
    .bind(schedule.digest)
    .bind(schedule.zone)
    .bind(schedule.cron)
    .fetch_optional(db)
    .await
}

/// `schedule` is dealt with until `until`.
pub async fn deal_with(
    db: &mut PgConnection,
    schedule: &Schedule<'_>,
    until: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.digest_schedule
         set since = greatest(since, $4), waits_since = null
         where digest = $1 and zone = $2 and cron = $3",
    )
    .bind(schedule.digest)
    .bind(schedule.zone)
    .bind(schedule.cron)
    .bind(until)
    .execute(db)
    .await?;
    Ok(())
}

/// Whether what is due of `schedule` waits on, which it does for `patience_s` from now on, or from when it began to.
pub async fn waits(
    db: &mut PgConnection,
    schedule: &Schedule<'_>,
    patience_s: f64,
) -> sqlx::Result<bool> {
    let waits: Option<bool> = sqlx::query_scalar(
        "update idp.digest_schedule
         set waits_since = coalesce(waits_since, now)
         from (select idp.digest_clock() as now) as clock
         where digest = $1 and zone = $2 and cron = $3
         -- One that began in the future is of a time that the clock has taken back.
         returning waits_since > now - make_interval(secs => $4) and waits_since <= now",
    )
    .bind(schedule.digest)
    .bind(schedule.zone)
    .bind(schedule.cron)
    .bind(patience_s)
    .fetch_optional(db)
    .await?;
    Ok(waits.unwrap_or(false))
}

/// What a digest last told teams, and what it failed to tell them since.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Past {
    /// The last digest that a team heard.
    pub heard: HashMap<String, Heard>,
    /// The dates that it missed since, oldest first.
    pub missed: HashMap<String, Vec<NaiveDate>>,
}

/// A digest that a team heard.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// Of its slot.
    pub date: NaiveDate,
    /// When its words were made.
    pub planned_at: DateTime<Utc>,
    pub told: Option<Told>,
}

impl Heard {
    /// Until when it told of what changed.
    pub fn told_until(&self) -> DateTime<Utc> {
        self.told.as_ref().map_or(self.planned_at, |told| told.until)
    }
}

/// What `digest` told teams in the months before `date`.
pub async fn past(db: &mut PgConnection, digest: &str, date: NaiveDate) -> sqlx::Result<Past> {
    let rows = sqlx::query(
        "with heard as (
           select distinct on (team) team, date, planned_at, told
           from idp.digest_delivery
           where digest = $1 and date < $2 and date > $2 - $3::integer and outcome in ('SENT', 'LATE')
           order by team, date desc
         )
         select team, date, planned_at, told, true as is_heard from heard
         union all
         select missed.team, missed.date, missed.planned_at, null, false
         from idp.digest_delivery as missed
         left join heard using (team)
         where missed.digest = $1 and missed.date < $2 and missed.date > $2 - $3::integer
           and missed.outcome = 'MISSED'
           and (heard.date is null or missed.date > heard.date)
         order by date",
    )
    .bind(digest)
    .bind(date)
    .bind(PAST_DAYS)
    .fetch_all(db)
    .await?;
    let mut past = Past::default();
    for row in rows {
        let (team, date): (String, NaiveDate) = (row.get("team"), row.get("date"));
        if row.get("is_heard") {
            // What another version wrote down is as good as nothing.
            let told = row.try_get::<Option<Json<Told>>, _>("told").ok().flatten();
            let told = told.map(|told| told.0);
            past.heard.insert(team, Heard { date, planned_at: row.get("planned_at"), told });
        } else {
            past.missed.entry(team).or_default().push(date);
        }
    }
    Ok(past)
}

/// The teams that want no digest at `at`.
pub async fn snoozed(db: &mut PgConnection, at: DateTime<Utc>) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("select team from idp.digest_snooze where until > $1")
        .bind(at)
        .fetch_all(db)
        .await
}

/// Everything that teams say is not their own, the newest first.
pub async fn disowned(db: &mut PgConnection) -> sqlx::Result<Vec<Disowned>> {
    let rows = sqlx::query(
        "select entity, team, reason, by_user, at
         from idp.disowned
         order by at desc, entity, team
         limit $1",
    );
    let read = |row: &PgRow, column: &str| {
        let text: Option<&str> = row.try_get(column)?;
        let read = text.map(|text| EntityRef::parse(text, None, "default")).transpose();
        read.map_err(|error| sqlx::Error::Decode(error.into()))
    };
    let needed = |row: &PgRow, column: &str| {
        read(row, column)?.ok_or(sqlx::Error::ColumnNotFound(column.into()))
    };
    let disowned = |row: &PgRow| {
        Ok(Disowned {
            entity: needed(row, "entity")?,
            team: needed(row, "team")?,
            reason: row.try_get("reason")?,
            by: read(row, "by_user")?,
            at: row.try_get("at")?,
        })
    };
    rows.bind(DISOWNED_MAX).fetch_all(db).await?.iter().map(disowned).collect()
}

/// `teams` say that `entity` is not their own.
pub async fn disown(
    db: &PgPool,
    entity: &EntityRef,
    teams: &[EntityRef],
    reason: &str,
    by: Option<&EntityRef>,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into idp.disowned (entity, team, reason, by_user, at)
         select $1, team, $3, $4, idp.digest_clock()
         from unnest($2::text[]) as team
         on conflict (entity, team) do update
         set reason = excluded.reason, by_user = excluded.by_user, at = excluded.at",
    )
    .bind(entity.as_str())
    .bind(teams.iter().map(EntityRef::as_str).collect::<Vec<_>>())
    .bind(reason)
    .bind(by.map(EntityRef::as_str))
    .execute(db)
    .await?;
    Ok(())
}

/// `teams` say no more that `entity` is not their own.
pub async fn own(db: &PgPool, entity: &EntityRef, teams: &[EntityRef]) -> sqlx::Result<()> {
    sqlx::query("delete from idp.disowned where entity = $1 and team = any($2)")
        .bind(entity.as_str())
        .bind(teams.iter().map(EntityRef::as_str).collect::<Vec<_>>())
        .execute(db)
        .await?;
    Ok(())
}

/// `team` hears its digests again; whether it did not.
pub async fn wake(db: &PgPool, team: &EntityRef) -> sqlx::Result<bool> {
    let was_snoozed: Option<bool> = sqlx::query_scalar(
        "delete from idp.digest_snooze where team = $1 returning until > idp.digest_clock()",
    )
    .bind(team.as_str())
    .fetch_optional(db)
    .await?;
    Ok(was_snoozed.unwrap_or(false))
}

/// Who had the delivery of `digest` to `team` sent out of turn that is of `date`.
pub async fn asked_by(
    db: &mut PgConnection,
    digest: &str,
    team: &EntityRef,
    date: NaiveDate,
    by: Option<&EntityRef>,
) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.digest_delivery
         set sent_by = $4
         where digest = $1 and team = $2 and date = $3",
    )
    .bind(digest)
    .bind(team.as_str())
    .bind(date)
    .bind(by.map(EntityRef::as_str))
    .execute(db)
    .await?;
    Ok(())
}

/// `team` wants no digest until `until`, asked `by` whom.
pub async fn snooze(
    db: &PgPool,
    team: &EntityRef,
    until: DateTime<Utc>,
    by: Option<&EntityRef>,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into idp.digest_snooze (team, until, by_user)
         values ($1, $2, $3)
         on conflict (team) do update
         set until = excluded.until, by_user = excluded.by_user",
    )
    .bind(team.as_str())
    .bind(until)
    .bind(by.map(EntityRef::as_str))
    .execute(db)
    .await?;
    Ok(())
}

/// Writes down deliveries of `digest` for `slot`, which are of use for `use_s` after it; those of teams that have one
/// of that date are left out. How many were written down.
pub async fn insert(
    db: &mut PgConnection,
    (digest, slot, is_late): (&str, &Slot, bool),
    use_s: f64,
    planned: &[Planned],
) -> sqlx::Result<u64> {
    let teams: Vec<&str> = planned.iter().map(|it| it.team.as_str()).collect();
    let place = |it: &Planned| it.place.as_ref().map(|(platform, _)| platform.word());
    let platforms: Vec<Option<&str>> = planned.iter().map(place).collect();
    let channel = |it: &Planned| it.place.as_ref().map_or("", |(_, channel)| channel).to_string();
    let channels: Vec<String> = planned.iter().map(channel).collect();
    let marks: Vec<String> = planned.iter().map(|it| mark(digest, &it.team, slot.date)).collect();
    let send_at: Vec<DateTime<Utc>> = planned.iter().map(|it| it.send_at).collect();
    let outcomes: Vec<Option<&str>> =
        planned.iter().map(|it| it.ended.map(Outcome::word)).collect();
    let bodies: Vec<&str> = planned.iter().map(|it| it.body.as_str()).collect();
    let told: Vec<Option<Json<&Told>>> =
        planned.iter().map(|it| it.told.as_ref().map(Json)).collect();
    let inserted = sqlx::query(
        "insert into idp.digest_delivery
           (digest, team, date, slot_at, platform, channel, mark, send_at, is_late, body, state, doubt, not_before,
            expires_at, planned_at, done_at, outcome, told)
         select $1, team, $2, $3, platform, channel, mark, send_at, $4, body,
           case when outcome is null then 'planned' else 'done' end,
           case when platform = 'slack' and outcome is null then 'forgotten' else 'none' end,
           now, greatest($3, send_at) + make_interval(secs => $5), now,
           case when outcome is null then null else now end, outcome, told
         from unnest($6::text[], $7::text[], $8::text[], $9::text[], $10::timestamptz[], $11::text[], $12::text[],
             $13::jsonb[])
           as planned (team, platform, channel, mark, send_at, outcome, body, told)
         cross join (select idp.digest_clock() as now) as clock
         on conflict do nothing",
    )
    .bind(digest)
    .bind(slot.date)
    .bind(slot.at)
    .bind(is_late)
    .bind(use_s)
    .bind(teams)
    .bind(platforms)
    .bind(channels)
    .bind(marks)
    .bind(send_at)
    .bind(outcomes)
    .bind(bodies)
    .bind(told)
    .execute(db)
    .await?;
    Ok(inserted.rows_affected())
}

/// What is due by the terms `$1` to `$4`, each delivery for its one purpose; nobody has it in hand.
macro_rules! due {
    () => {
        "with clock as materialized (
           select idp.digest_clock() as now
         ), due as (
           select id, attempts, send_at, case
             when state = 'planned' and doubt <> 'none'
               and not coalesce(tried_at > now - make_interval(secs => $3), false) then 'look'
             when state = 'planned' and ($2 or send_at <= now) then 'send'
             when state = 'handed' and send_at <= now - interval '1 minute' then 'confirm'
             when state = 'handed' and audited_at is null and handed_at <= now - interval '1 minute'
               and send_at between now + interval '75 seconds' and now + interval '4 minutes' then 'audit'
             end as purpose
           from idp.digest_delivery
           cross join clock
           where platform = $1 and state <> 'done' and not_before <= now
             -- A lease that is longer than any is of a time that the clock has taken back.
             and not coalesce(leased_until > now and leased_until <= now + make_interval(secs => $4), false)
         )"
    };
}

/// What is to be done now by these `terms`.
pub async fn work(db: &mut PgConnection, terms: &Terms) -> sqlx::Result<Work> {
    sqlx::query_as(concat!(
        due!(),
        " select coalesce(bool_or(purpose = 'look'), false) as look,
           coalesce(bool_or(purpose = 'send'), false) as send,
           coalesce(bool_or(purpose = 'audit'), false) as audit,
           coalesce(bool_or(purpose = 'confirm'), false) as confirm
         from due"
    ))
    .bind(terms.platform.word())
    .bind(terms.ahead)
    .bind(terms.apart_s)
    .bind(terms.lease_s)
    .fetch_one(db)
    .await
}

/// Up to `limit` deliveries that are due for `purpose` by these `terms`, the soonest first, now in the hand of the
/// process `by` alone for the lease. One that is to be handed over counts as sent from now on, and is to be in its channel no
/// sooner than the margin lets it.
pub async fn claim(
    db: &mut PgConnection,
    terms: &Terms,
    purpose: Purpose,
    limit: usize,
    by: &str,
) -> sqlx::Result<Vec<Claimed>> {
    let rows = sqlx::query(concat!(
        due!(),
        ", picked as (
           select digest_delivery.id, digest_delivery.doubt
           from idp.digest_delivery
           join due on due.id = digest_delivery.id and due.attempts = digest_delivery.attempts
           where purpose = $5 and state <> 'done'
           order by due.send_at, digest_delivery.id
           limit $6
           for update of digest_delivery skip locked
         )
         update idp.digest_delivery
         set attempts = attempts + 1, leased_until = now + make_interval(secs => $4), leased_by = $8,
           doubt = case when $5 = 'send' then 'unanswered' else picked.doubt end,
           tried_at = case when $5 = 'send' then coalesce(tried_at, now) else tried_at end,
           send_at = case when $5 = 'send' and $2 then greatest(send_at, now + make_interval(secs => $7))
             else send_at end
         from picked, clock
         where digest_delivery.id = picked.id
         returning digest_delivery.id, digest, team, date, channel, mark, send_at, is_late, attempts, picked.doubt,
           message_id, case when $5 = 'send' then body else '' end as body, now"
    ))
    .bind(terms.platform.word())
    .bind(terms.ahead)
    .bind(terms.apart_s)
    .bind(terms.lease_s)
    .bind(purpose.word())
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .bind(terms.margin_s)
    .bind(by)
    .fetch_all(db)
    .await?;
    rows.iter().map(claimed).collect()
}

/// A row that was claimed.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    pub id: i64,
    pub attempts: i32,
    /// `None` where another version of idp wrote what this one does not know.
    pub delivery: Option<Delivery>,
    /// When it was claimed.
    pub now: DateTime<Utc>,
}

fn claimed(row: &PgRow) -> sqlx::Result<Claimed> {
    let team = EntityRef::parse(row.try_get("team")?, None, "default").ok();
    let doubt = Doubt::from_word(row.try_get("doubt")?);
    let (id, attempts) = (row.try_get("id")?, row.try_get("attempts")?);
    let delivery = match (team, doubt) {
        (Some(team), Some(doubt)) => Some(Delivery {
            id,
            digest: row.try_get("digest")?,
            team,
            date: row.try_get("date")?,
            channel: row.try_get("channel")?,
            mark: row.try_get("mark")?,
            send_at: row.try_get("send_at")?,
            is_late: row.try_get("is_late")?,
            body: row.try_get("body")?,
            attempts,
            doubt,
            message_id: row.try_get("message_id")?,
        }),
        _ => None,
    };
    Ok(Claimed { id, attempts, delivery, now: row.try_get("now")? })
}

/// Whether something may be done for `purpose` on `platform` now; the next may `between_s` later, by whichever process.
pub async fn take_turn(
    db: &mut PgConnection,
    platform: Platform,
    purpose: Purpose,
    between_s: f64,
) -> sqlx::Result<bool> {
    let turn = sqlx::query(
        "insert into idp.digest_pace (platform, purpose, next_at)
         select $1, $2, now + make_interval(secs => $3)
         from (select idp.digest_clock() as now) as clock
         on conflict (platform, purpose) do update
         -- Whoever waited for another's turn to be written down has a later one than when it began to wait.
         set next_at = idp.digest_clock() + make_interval(secs => $3)
         where digest_pace.next_at <= idp.digest_clock()
           -- No pause is that long: the clock was set back.
           or digest_pace.next_at > idp.digest_clock() + interval '1 hour'",
    )
    .bind(platform.word())
    .bind(purpose.word())
    .bind(between_s)
    .execute(db)
    .await?;
    Ok(turn.rows_affected() > 0)
}

/// Nothing is asked of `platform` by anybody for `wait_s`.
pub async fn pause(db: &PgPool, platform: Platform, wait_s: f64) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.digest_pace
         set next_at = greatest(next_at, idp.digest_clock() + make_interval(secs => $2))
         where platform = $1",
    )
    .bind(platform.word())
    .bind(wait_s)
    .execute(db)
    .await?;
    Ok(())
}

/// Writes down what became of deliveries, each known by its id and the attempt that had it in hand; whoever was
/// overtaken meanwhile writes nothing.
pub async fn settle(db: &PgPool, steps: &[(i64, i32, Step)]) -> sqlx::Result<()> {
    let mut ids = Vec::with_capacity(steps.len());
    let mut attempts = Vec::with_capacity(steps.len());
    let mut kinds: Vec<&str> = Vec::with_capacity(steps.len());
    let mut message_ids: Vec<Option<&str>> = Vec::with_capacity(steps.len());
    let mut waits_s: Vec<f64> = Vec::with_capacity(steps.len());
    let mut outcomes: Vec<Option<&str>> = Vec::with_capacity(steps.len());
    let mut details: Vec<Option<&str>> = Vec::with_capacity(steps.len());
    for (id, attempt, step) in steps {
        ids.push(*id);
        attempts.push(*attempt);
        let wait = |step: &Step| match step {
            Step::PutOff { wait, .. } => wait.as_seconds_f64(),
            _ => 0.0,
        };
        waits_s.push(wait(step));
        let (kind, message_id, outcome, detail) = match step {
            Step::Handed { message_id } => ("handed", Some(message_id.as_str()), None, None),
            Step::Confirmed => ("confirmed", None, None, None),
            Step::NotThere | Step::PutOff { arrived: false, .. } => ("not there", None, None, None),
            Step::PutOff { arrived: true, .. } => ("put off", None, None, None),
            Step::Ended { outcome, detail, message_id } => {
                ("ended", message_id.as_deref(), Some(outcome.word()), detail.as_deref())
            }
        };
        kinds.push(kind);
        message_ids.push(message_id);
        outcomes.push(outcome);
        details.push(detail);
    }
    sqlx::query(
        "update idp.digest_delivery
         set leased_until = null, leased_by = null,
           not_before = now + make_interval(secs => wait_s),
           state = case kind when 'handed' then 'handed' when 'ended' then 'done' else state end,
           doubt = case when kind in ('handed', 'not there', 'ended') then 'none' else doubt end,
           tried_at = case kind when 'not there' then null else tried_at end,
           handed_at = case kind when 'handed' then now else handed_at end,
           audited_at = case kind when 'confirmed' then now else audited_at end,
           message_id = coalesce(step.message_id, digest_delivery.message_id),
           done_at = case kind when 'ended' then now end,
           body = case kind when 'ended' then '' else body end,
           outcome = step.outcome,
           detail = step.detail
         from unnest($1::bigint[], $2::integer[], $3::text[], $4::text[], $5::double precision[], $6::text[], $7::text[])
           as step (id, attempts, kind, message_id, wait_s, outcome, detail)
         cross join (select idp.digest_clock() as now) as clock
         where digest_delivery.id = step.id and digest_delivery.attempts = step.attempts and state <> 'done'",
    )
    .bind(ids)
    .bind(attempts)
    .bind(kinds)
    .bind(message_ids)
    .bind(waits_s)
    .bind(outcomes)
    .bind(details)
    .execute(db)
    .await?;
    Ok(())
}

/// Ends what came too late; returns how each of them ended.
pub async fn expire(db: &PgPool, platform: Platform) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "update idp.digest_delivery
         set state = 'done', done_at = now, body = '',
           outcome = case
             when state = 'handed' then 'NOT_POSTED'
             when doubt = 'unanswered' then 'MAY_HAVE_ARRIVED'
             else 'EXPIRED' end
         from (select idp.digest_clock() as now) as clock
         where platform = $1 and state <> 'done' and expires_at <= now
           and (leased_until is null or leased_until <= now)
         returning outcome",
    )
    .bind(platform.word())
    .fetch_all(db)
    .await
}

/// What waits of a platform.
#[derive(Debug, Clone, Copy, Default, PartialEq, FromRow)]
pub struct Backlog {
    /// To be handed over.
    pub planned: i64,
    /// Handed over, and not posted yet.
    pub handed: i64,
    /// How long after its time the latest waits, in seconds; zero where none is late.
    pub late_s: f64,
}

pub async fn backlog(db: &PgPool, platform: Platform) -> sqlx::Result<Backlog> {
    sqlx::query_as(
        "select count(*) filter (where state = 'planned') as planned,
           count(*) filter (where state = 'handed') as handed,
           greatest(0, coalesce(extract(epoch from idp.digest_clock() - min(slot_at)
             filter (where state = 'planned')), 0))::double precision as late_s
         from idp.digest_delivery
         where platform = $1 and state <> 'done'",
    )
    .bind(platform.word())
    .fetch_one(db)
    .await
}

/// Deletes what is of no use to anybody any more.
pub async fn forget(db: &PgPool) -> sqlx::Result<()> {
    sqlx::query(
        "delete from idp.digest_delivery
         where slot_at < (select idp.digest_clock()) - interval '400 days' and state = 'done'",
    )
    .execute(db)
    .await?;
    sqlx::query(
        "delete from idp.digest_snooze where until < (select idp.digest_clock()) - interval '30 days'",
    )
    .execute(db)
    .await?;
    sqlx::query(
        "delete from idp.disowned where at < (select idp.digest_clock()) - interval '400 days'",
    )
    .execute(db)
    .await?;
    sqlx::query(
        "delete from idp.digest_schedule where seen_at < (select idp.digest_clock()) - interval '400 days'",
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A delivery as people look it up.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct Logged {
    pub digest: String,
    pub team: String,
    pub date: NaiveDate,
    pub slot_at: DateTime<Utc>,
    pub platform: Option<String>,
    pub channel: String,
    /// `planned`, `handed` or `done`
    pub state: String,
    pub send_at: DateTime<Utc>,
    pub done_at: Option<DateTime<Utc>>,
    pub outcome: Option<String>,
    pub detail: Option<String>,
    /// How many there are on all pages.
    pub total: i64,
}

/// `limit` deliveries after the first `offset`, the newest first; of `digest` and `team` alone where they are given.
pub async fn log(
    db: &PgPool,
    digest: Option<&str>,
    team: Option<&EntityRef>,
    offset: i64,
    limit: i64,
) -> sqlx::Result<Vec<Logged>> {
    sqlx::query_as(
        "select digest, team, date, slot_at, platform, channel, state, send_at, done_at, outcome, detail,
           count(*) over () as total
         from idp.digest_delivery
         where ($1::text is null or digest = $1) and ($2::text is null or team = $2)
         order by slot_at desc, team, digest
         offset $3
         limit $4",
    )
    .bind(digest)
    .bind(team.map(EntityRef::as_str))
    .bind(offset)
    .bind(limit)
    .fetch_all(db)
    .await
}
