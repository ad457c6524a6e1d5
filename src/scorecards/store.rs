//! The SQL of scorecards.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::cause::Cause;
use super::evaluate::{Definitions, Score, Standing, Step, Turn};
use super::summary::{DayChange, Flip};
use super::{Scorecard, ScorecardSet};
use crate::catalog::EntityRef;
use crate::catalog::flow::Change;
use crate::catalog::snapshot::Revision;
use crate::facts::{Changed, Fact};

/// How far everything is evaluated, and how far it could be.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// What was evaluated last.
    pub catalog: Revision,
    pub facts: i64,
    pub exemptions: i64,
    pub scorecards: String,
    pub scorecards_read_at: Option<DateTime<Utc>>,
    pub evaluated_at: Option<DateTime<Utc>>,
    /// Whether somebody is at it.
    pub is_held: bool,
    pub newest_facts: i64,
    pub newest_exemptions: i64,
    /// Whether time alone has changed something.
    pub is_due: bool,
    /// By the database's clock.
    pub now: DateTime<Utc>,
}

/// Takes no lock: it is asked often and mostly finds nothing to do.
pub async fn state(db: &mut PgConnection) -> sqlx::Result<State> {
    let row = sqlx::query(
        "select catalog_revision, catalog_mark, score_evaluation.fact_revision as facts,
            score_evaluation.exemption_revision as exemptions, scorecards, scorecards_read_at, evaluated_at,
            coalesce(held_until > clock_timestamp(), false) as is_held,
            (select revision from idp.fact_revision) as newest_facts,
            (select revision from idp.exemption_revision) as newest_exemptions,
            exists (select from idp.score where until <= (select clock_timestamp())) as is_due,
            clock_timestamp() as now
         from idp.score_evaluation",
    )
    .fetch_one(db)
    .await?;
    Ok(State {
        catalog: Revision { number: row.get("catalog_revision"), mark: row.get("catalog_mark") },
        facts: row.get("facts"),
        exemptions: row.get("exemptions"),
        scorecards: row.get("scorecards"),
        scorecards_read_at: row.get("scorecards_read_at"),
        evaluated_at: row.get("evaluated_at"),
        is_held: row.get("is_held"),
        newest_facts: row.get("newest_facts"),
        newest_exemptions: row.get("newest_exemptions"),
        is_due: row.get("is_due"),
        now: row.get("now"),
    })
}

/// Whether `holder` is the one that evaluates from now on, for so many seconds: nobody else is at it.
pub async fn hold(db: &mut PgConnection, holder: &str, seconds: i32) -> sqlx::Result<bool> {
    let held = sqlx::query(
        "update idp.score_evaluation
         set holder = $1::uuid, held_until = clock_timestamp() + make_interval(secs => $2)
         where holder is null or held_until <= clock_timestamp()",
    )
    .bind(holder)
    .bind(f64::from(seconds))
    .execute(db)
    .await?;
    Ok(held.rows_affected() == 1)
}

/// Whether `holder` is still the one that evaluates, for so many seconds more. The row stays locked until the
/// transaction ends: what else it writes, it writes as the holder.
pub async fn hold_on(db: &mut PgConnection, holder: &str, seconds: i32) -> sqlx::Result<bool> {
    let held = sqlx::query(
        "update idp.score_evaluation
         set held_until = clock_timestamp() + make_interval(secs => $2)
         where holder = $1::uuid",
    )
    .bind(holder)
    .bind(f64::from(seconds))
    .execute(db)
    .await?;
    Ok(held.rows_affected() == 1)
}

/// Lets others evaluate. What was evaluated stays as it was before.
pub async fn let_go(db: &mut PgConnection, holder: &str) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.score_evaluation
         set holder = null, held_until = null
         where holder = $1::uuid",
    )
    .bind(holder)
    .execute(db)
    .await?;
    Ok(())
}

/// Everything is evaluated up to `done`, and others may evaluate; nothing where `holder` no longer holds it.
pub async fn finish(db: &mut PgConnection, holder: &str, done: &State) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.score_evaluation
         set holder = null, held_until = null, catalog_revision = $2, catalog_mark = $3, fact_revision = $4,
            exemption_revision = $5, scorecards = $6, scorecards_read_at = $7, evaluated_at = $8
         where holder = $1::uuid",
    )
    .bind(holder)
    .bind(done.catalog.number)
    .bind(&done.catalog.mark)
    .bind(done.facts)
    .bind(done.exemptions)
    .bind(&done.scorecards)
    .bind(done.scorecards_read_at)
    .bind(done.now)
    .execute(db)
    .await?;
    Ok(())
}

/// The numbers of `scorecards` as they are, and the rules of all definitions that scores have.
pub async fn definitions(
    db: &mut PgConnection,
    scorecards: &ScorecardSet,
) -> sqlx::Result<Definitions> {
    for scorecard in scorecards.iter() {
        let rules: Vec<&str> = scorecard.rules().map(|(_, rule)| rule.name.as_str()).collect();
        let levels: Vec<&str> =
            scorecard.levels.all.iter().map(|level| level.name.as_str()).collect();
        sqlx::query(
            "insert into idp.scorecard_definition (scorecard, fingerprint, rules, levels)
             values ($1, $2, $3, $4)
             on conflict (scorecard, fingerprint) do nothing",
        )
        .bind(&scorecard.name)
        .bind(&scorecard.fingerprint)
        .bind(rules)
        .bind(levels)
        .execute(&mut *db)
        .await?;
    }
    let rows =
        sqlx::query("select id, scorecard, fingerprint, rules from idp.scorecard_definition");
    let mut definitions = Definitions::default();
    for row in rows.fetch_all(db).await? {
        let (id, name): (i64, &str) = (row.get("id"), row.get("scorecard"));
        let is_current = scorecards
            .find(name)
            .is_some_and(|it| it.fingerprint == row.get::<&str, _>("fingerprint"));
        if is_current {
            definitions.current.insert(name.to_string(), id);
        }
        definitions.rules.insert(id, row.get("rules"));
    }
    Ok(definitions)
}

/// The number of `scorecard` as it is; `None` before it was evaluated.
pub async fn definition(db: &mut PgConnection, scorecard: &Scorecard) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "select id from idp.scorecard_definition where scorecard = $1 and fingerprint = $2",
    )
    .bind(&scorecard.name)
    .bind(&scorecard.fingerprint)
    .fetch_optional(db)
    .await
}

/// The entities of which facts were reported after `facts`, or whose exemptions changed after `exemptions`, or of
/// which time alone changed something until `now`.
pub async fn moved_since(
    db: &mut PgConnection,
    facts: i64,
    exemptions: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<EntityRef>> {
    let rows = sqlx::query(
        "select entity from idp.fact where revision > $1
         union
         select entity from idp.exemption where revision > $2
         union
         select entity from idp.score where until <= $3",
    );
    entities(rows.bind(facts).bind(exemptions).bind(now).fetch_all(db).await?)
}

/// The next `limit` entities after `after` that have a score, in their order.
pub async fn scored_after(
    db: &mut PgConnection,
    after: &str,
    limit: i64,
) -> sqlx::Result<Vec<EntityRef>> {
    let rows = sqlx::query(
        "select distinct entity
         from idp.score
         where entity > $1
         order by entity
         limit $2",
    );
    entities(rows.bind(after).bind(limit).fetch_all(db).await?)
}

/// What was reported of `entities`, stale or not.
pub async fn facts(
    db: &mut PgConnection,
    entities: &[&str],
) -> sqlx::Result<HashMap<EntityRef, Vec<Fact>>> {
    let rows = sqlx::query(
        "select entity, key, value::text as value, source, observed_at, valid_until
         from idp.fact
         where entity = any($1)
         order by entity, key",
    )
    .bind(entities)
    .fetch_all(db)
    .await?;
    let mut facts: HashMap<EntityRef, Vec<Fact>> = HashMap::new();
    for row in rows {
        let fact = Fact {
            entity: entity(&row)?,
            key: row.get("key"),
            value: json(row.get("value"))?,
            source: row.get("source"),
            observed_at: row.get("observed_at"),
            valid_until: row.get("valid_until"),
        };
        facts.entry(fact.entity.clone()).or_default().push(fact);
    }
    Ok(facts)
}

/// The scores of `entities`; nobody else changes them until the transaction ends.
pub async fn lock_scores(db: &mut PgConnection, entities: &[&str]) -> sqlx::Result<Vec<Score>> {
    let rows = sqlx::query(
        "select entity, scorecard, definition, percent, level, outcomes, until
         from idp.score
         where entity = any($1)
         order by entity, scorecard
         for update",
    );
    rows.bind(entities).fetch_all(db).await?.iter().map(score).collect()
}

/// The scores by `scorecard`, by entity; of `entities` only, where some are given.
pub async fn scores(
    db: &mut PgConnection,
    scorecard: &str,
    entities: Option<&[&str]>,
) -> sqlx::Result<Vec<Score>> {
    let rows = sqlx::query(
        "select entity, scorecard, definition, percent, level, outcomes, until
         from idp.score
         where scorecard = $1 and ($2::text[] is null or entity = any($2))
         order by entity",
    );
    rows.bind(scorecard).bind(entities).fetch_all(db).await?.iter().map(score).collect()
}

fn score(row: &PgRow) -> sqlx::Result<Score> {
    Ok(Score {
        entity: entity(row)?,
        scorecard: row.get("scorecard"),
        definition: row.get("definition"),
        percent: percent(row.get("percent")),
        level: usize::try_from(row.get::<i16, _>("level")).ok(),
        outcomes: row.get("outcomes"),
        until: row.get("until"),
    })
}

/// Puts `scores` in the place of those before.
pub async fn keep_scores(db: &mut PgConnection, scores: &[Score]) -> sqlx::Result<()> {
    let entities: Vec<&str> = scores.iter().map(|it| it.entity.as_str()).collect();
    let scorecards: Vec<&str> = scores.iter().map(|it| it.scorecard.as_str()).collect();
    let definitions: Vec<i64> = scores.iter().map(|it| it.definition).collect();
    let percents: Vec<Option<i16>> = scores.iter().map(|it| it.percent.map(i16::from)).collect();
    let levels: Vec<i16> = scores.iter().map(|it| level(it.level)).collect();
    let outcomes: Vec<&str> = scores.iter().map(|it| it.outcomes.as_str()).collect();
    let until: Vec<Option<DateTime<Utc>>> = scores.iter().map(|it| it.until).collect();
    sqlx::query(
        "insert into idp.score (entity, scorecard, definition, percent, level, outcomes, until)
         select * from unnest(
            $1::text[], $2::text[], $3::bigint[], $4::smallint[], $5::smallint[], $6::text[], $7::timestamptz[]
         )
         on conflict (entity, scorecard) do update
         set definition = excluded.definition, percent = excluded.percent, level = excluded.level,
            outcomes = excluded.outcomes, until = excluded.until",
    )
    .bind(entities)
    .bind(scorecards)
    .bind(definitions)
    .bind(percents)
    .bind(levels)
    .bind(outcomes)
    .bind(until)
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets the scores of these entities by these scorecards, pairwise.
pub async fn remove_scores(
    db: &mut PgConnection,
    gone: &[(EntityRef, String)],
) -> sqlx::Result<()> {
    let entities: Vec<&str> = gone.iter().map(|it| it.0.as_str()).collect();
    let scorecards: Vec<&str> = gone.iter().map(|it| it.1.as_str()).collect();
    sqlx::query(
        "delete from idp.score
         where (entity, scorecard) in (select * from unnest($1::text[], $2::text[]))",
    )
    .bind(entities)
    .bind(scorecards)
    .execute(db)
    .await?;
    Ok(())
}

/// Writes down how entities stand at the end of `day`, so far.
pub async fn keep_steps(db: &mut PgConnection, steps: &[Step], day: NaiveDate) -> sqlx::Result<()> {
    let column = |of: fn(&Step) -> Option<Standing>| {
        let standings = || steps.iter().map(of);
        let percents: Vec<Option<i16>> =
            standings().map(|it| it.and_then(|it| it.percent).map(i16::from)).collect();
        let levels: Vec<Option<i16>> = standings().map(|it| it.map(|it| level(it.level))).collect();
        (percents, levels)
    };
    let (percents_before, levels_before) = column(|step| step.before);
    let (percents, levels) = column(|step| step.after);
    sqlx::query(
        "insert into idp.score_day
            (entity, scorecard, day, percent_before, level_before, percent, level)
         select entity, scorecard, $7, percent_before, level_before, percent, level
         from unnest($1::text[], $2::text[], $3::smallint[], $4::smallint[], $5::smallint[], $6::smallint[])
            as new (entity, scorecard, percent_before, level_before, percent, level)
         on conflict (scorecard, entity, day) do update
         set percent = excluded.percent, level = excluded.level",
    )
    .bind(steps.iter().map(|it| it.entity.as_str()).collect::<Vec<_>>())
    .bind(steps.iter().map(|it| it.scorecard.as_str()).collect::<Vec<_>>())
    .bind(percents_before)
    .bind(levels_before)
    .bind(percents)
    .bind(levels)
    .bind(day)
    .execute(db)
    .await?;
    Ok(())
}

/// Writes down each of `turns` with why it came.
pub async fn keep_flips(db: &mut PgConnection, turns: &[(Turn, Cause)]) -> sqlx::Result<()> {
    let turn = || turns.iter().map(|(turn, _)| turn);
    let causes: Result<Vec<Value>, _> =
        turns.iter().map(|(_, cause)| serde_json::to_value(cause)).collect();
    let causes = causes.map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query(
        "insert into idp.score_flip (entity, scorecard, rule, was, became, cause)
         select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[])",
    )
    .bind(turn().map(|it| it.entity.as_str()).collect::<Vec<_>>())
    .bind(turn().map(|it| it.scorecard.as_str()).collect::<Vec<_>>())
    .bind(turn().map(|it| it.rule.as_str()).collect::<Vec<_>>())
    .bind(turn().map(|it| it.was.to_string()).collect::<Vec<_>>())
    .bind(turn().map(|it| it.became.to_string()).collect::<Vec<_>>())
    .bind(causes)
    .execute(db)
    .await?;
    Ok(())
}

/// What changed in the catalog about `entities` after `revision`, the newest first; of each the newest five.
pub async fn changes(
    db: &mut PgConnection,
    entities: &[&str],
    revision: i64,
) -> sqlx::Result<Vec<Change>> {
    let rows = sqlx::query(
        "select change.ref as entity, at, what, fields, owners, file
         from unnest($1::text[]) as asked (ref)
         cross join lateral (
            select *
            from idp.change
            where change.ref = asked.ref and revision > $2
            order by id desc
            limit 5
         ) as change
         order by change.id desc",
    )
    .bind(entities)
    .bind(revision)
    .fetch_all(db)
    .await?;
    let change = |row: &PgRow| {
        Ok(Change {
            at: row.get("at"),
            reference: entity(row)?,
            what: row.get("what"),
            fields: row.try_get::<sqlx::types::Json<_>, _>("fields")?.0,
            owners: row.get("owners"),
            file: row.get("file"),
        })
    };
    rows.iter().map(change).collect()
}

/// The values of facts of `entities` that became others after `revision`, the newest first.
pub async fn fact_changes(
    db: &mut PgConnection,
    entities: &[&str],
    revision: i64,
) -> sqlx::Result<Vec<Changed>> {
    let rows = sqlx::query(
        "select entity, key, was::text as was, became::text as became, source, observed_at, at
         from idp.fact_change
         where entity = any($1) and revision > $2
         order by id desc",
    )
    .bind(entities)
    .bind(revision)
    .fetch_all(db)
    .await?;
    let changed = |row: &PgRow| {
        Ok(Changed {
            entity: entity(row)?,
            key: row.get("key"),
            was: row.get::<Option<&str>, _>("was").map(json).transpose()?,
            became: json(row.get("became"))?,
            source: row.get("source"),
            observed_at: row.get("observed_at"),
            at: row.get("at"),
        })
    };
    rows.iter().map(changed).collect()
}

/// How the standings by `scorecard` changed on each day from `since` on, the newest first; of `entities` only, where some
/// are given.
pub async fn day_changes(
    db: &mut PgConnection,
    scorecard: &str,
    entities: Option<&[&str]>,
    since: NaiveDate,
) -> sqlx::Result<Vec<DayChange>> {
    let rows = sqlx::query(
        "select day, level_before, level, count(*) as entities,
            count(percent_before) as scored_before, coalesce(sum(percent_before), 0)::bigint as sum_before,
            count(percent) as scored, coalesce(sum(percent), 0)::bigint as sum
         from idp.score_day
         where scorecard = $1 and day >= $3 and ($2::text[] is null or entity = any($2))
         group by day, level_before, level
         order by day desc, level_before, level",
    )
    .bind(scorecard)
    .bind(entities)
    .bind(since)
    .fetch_all(db)
    .await?;
    let place = |level: Option<i16>| level.map(|level| usize::try_from(level).ok());
    let change = |row: &PgRow| DayChange {
        day: row.get("day"),
        level_before: place(row.get("level_before")),
        level: place(row.get("level")),
        entities: row.get("entities"),
        scored_before: row.get("scored_before"),
        sum_before: row.get("sum_before"),
        scored: row.get("scored"),
        sum: row.get("sum"),
    };
    Ok(rows.iter().map(change).collect())
}

/// What the rest of the transaction reads is as it stood at one moment. It writes nothing.
pub async fn read_one_moment(db: &mut PgConnection) -> sqlx::Result<()> {
    let once = sqlx::query("set transaction isolation level repeatable read, read only");
    once.execute(db).await?;
    Ok(())
}

/// How the standing of each of `entities` by `scorecard` changed on each day from `since` on, the newest first.
pub async fn days(
    db: &mut PgConnection,
    scorecard: &str,
    entities: &[&str],
    since: NaiveDate,
) -> sqlx::Result<Vec<(EntityRef, DayChange)>> {
    let rows = sqlx::query(
        "select entity, day, level_before, level, percent_before, percent
         from idp.score_day
         where scorecard = $1 and day >= $3 and entity = any($2)
         order by day desc",
    )
    .bind(scorecard)
    .bind(entities)
    .bind(since)
    .fetch_all(db)
    .await?;
    let place = |level: Option<i16>| level.map(|level| usize::try_from(level).ok());
    let change = |row: &PgRow| {
        let (before, percent): (Option<i16>, Option<i16>) =
            (row.get("percent_before"), row.get("percent"));
        let change = DayChange {
            day: row.get("day"),
            level_before: place(row.get("level_before")),
            level: place(row.get("level")),
            entities: 1,
            scored_before: i64::from(before.is_some()),
            sum_before: before.map_or(0, i64::from),
            scored: i64::from(percent.is_some()),
            sum: percent.map_or(0, i64::from),
        };
        Ok((entity(row)?, change))
    };
    rows.iter().map(change).collect()
}

/// What flipped after `since`, until `until`, the oldest first, at most `limit`; of `scorecard` and `entities` only, where
/// they are given.
pub async fn flips(
    db: &mut PgConnection,
    scorecard: Option<&str>,
    entities: Option<&[&str]>,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<Flip>> {
    let rows = sqlx::query(
        "select at, entity, scorecard, rule, was, became, cause
         from (
            select *
            from idp.score_flip
            where at > $3 and at <= $4
                and ($1::text is null or scorecard = $1)
                and ($2::text[] is null or entity = any($2))
            order by id desc
            limit $5
         ) as newest
         order by id",
    )
    .bind(scorecard)
    .bind(entities)
    .bind(since)
    .bind(until)
    .bind(limit)
    .fetch_all(db)
    .await?;
    let letter = |text: &str| text.chars().next().unwrap_or('-');
    let flip = |row: &PgRow| {
        Ok(Flip {
            at: row.get("at"),
            entity: entity(row)?,
            scorecard: row.get("scorecard"),
            rule: row.get("rule"),
            was: letter(row.get("was")),
            became: letter(row.get("became")),
            cause: row.try_get::<sqlx::types::Json<_>, _>("cause")?.0,
        })
    };
    rows.iter().map(flip).collect()
}

/// Forgets at most `limit` days that are older than `days`; how many.
pub async fn forget_days(db: &mut PgConnection, days: i32, limit: i64) -> sqlx::Result<u64> {
    let forgotten = sqlx::query(
        "delete from idp.score_day
         where (scorecard, entity, day) in (
            select scorecard, entity, day
            from idp.score_day
            where day < (clock_timestamp() at time zone 'utc')::date - $1
            order by day
            limit $2
            for update skip locked
         )",
    );
    Ok(forgotten.bind(days).bind(limit).execute(db).await?.rows_affected())
}

/// Forgets at most `limit` flips that are older than `days`; how many.
pub async fn forget_flips(db: &mut PgConnection, days: i32, limit: i64) -> sqlx::Result<u64> {
    let forgotten = sqlx::query(
        "delete from idp.score_flip
         where id in (
            select id
            from idp.score_flip
            where at < now() - make_interval(days => $1)
            order by at
            limit $2
            for update skip locked
         )",
    );
    Ok(forgotten.bind(days).bind(limit).execute(db).await?.rows_affected())
}

fn entities(rows: Vec<PgRow>) -> sqlx::Result<Vec<EntityRef>> {
    rows.iter().map(entity).collect()
}

fn entity(row: &PgRow) -> sqlx::Result<EntityRef> {
    let text: &str = row.get("entity");
    EntityRef::parse(text, None, "default").map_err(|error| sqlx::Error::Decode(error.into()))
}

fn json(text: &str) -> sqlx::Result<Value> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn percent(percent: Option<i16>) -> Option<u8> {
    percent.and_then(|it| u8::try_from(it).ok())
}

/// As the database numbers levels: -1 below the lowest.
fn level(level: Option<usize>) -> i16 {
    level.and_then(|it| i16::try_from(it).ok()).unwrap_or(-1)
}
