//! The SQL of actions.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sqlx::error::DatabaseError;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::review::Review;
use super::{
    Execution, Progress, Proof, Request, Risk, State, StepStanding, Verdict, Vote, Whole,
    delegation,
};
use crate::announcements::Place;
use crate::catalog::EntityRef;
use crate::conversation::{Platform, Speaker};

const COLUMNS: &str = "id, nonce, action, revision, target, inputs, pinned, intent, rule, risk, requester, platform, tenant, \
                       account, places, break_glass, is_long, level, state, version, requested_at, expires_at, decided_at, \
                       decided_by, note, reviewed_at, reviewed_by, review";

/// What is written down of a request that is new.
pub struct New<'a> {
    pub action: &'a str,
    pub revision: &'a str,
    pub target: Option<&'a EntityRef>,
    pub inputs: &'a Map<String, Value>,
    pub pinned: &'a Map<String, Value>,
    pub intent: &'a [u8],
    pub rule: &'a Value,
    pub quorum: usize,
    pub risk: Risk,
    pub requester: &'a EntityRef,
    /// `None`: no account of a chat.
    pub asked_by: Option<&'a Speaker>,
    pub break_glass: Option<&'a str>,
    pub is_long: bool,
    pub within_s: f64,
    /// After which the next level on call is called.
    pub escalate_s: Option<f64>,
}

/// The database's time.
pub async fn now(db: &mut PgConnection) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar("select clock_timestamp()").fetch_one(db).await
}

/// Lets one transaction at a time ask for `action` of `target`, until it ends.
pub async fn queue(db: &mut PgConnection, action: &str, target: &str) -> sqlx::Result<()> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(format!("{action} {target}"))
        .execute(db)
        .await?;
    Ok(())
}

/// The request that waits for exactly this, asked by the same person.
pub async fn same(
    db: &mut PgConnection,
    intent: &[u8],
    requester: &EntityRef,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "select id
         from idp.request
         where state = 'pending' and expires_at > clock_timestamp() and intent = $1 and requester = $2
         order by id
         limit 1",
    )
    .bind(intent)
    .bind(requester.as_str())
    .fetch_optional(db)
    .await
}

/// How many requests of `requester` wait.
pub async fn waiting(db: &mut PgConnection, requester: &EntityRef) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*)
         from idp.request
         where state = 'pending' and expires_at > clock_timestamp() and requester = $1",
    )
    .bind(requester.as_str())
    .fetch_one(db)
    .await
}

/// For how many seconds `action` of `target` must not be asked for again, within `cooldown_s` after it was begun.
pub async fn cooling(
    db: &mut PgConnection,
    action: &str,
    target: Option<&EntityRef>,
    cooldown_s: f64,
) -> sqlx::Result<Option<f64>> {
    sqlx::query_scalar(
        "select extract(epoch from max(execution.began_at) + make_interval(secs => $3) - clock_timestamp())::double precision
         from idp.execution
         join idp.request on request.id = execution.request
         where request.action = $1 and request.target is not distinct from $2
           and execution.began_at > clock_timestamp() - make_interval(secs => $3)",
    )
    .bind(action)
    .bind(target.map(EntityRef::as_str))
    .bind(cooldown_s)
    .fetch_one(db)
    .await
}

pub async fn insert(db: &mut PgConnection, new: &New<'_>) -> sqlx::Result<Request> {
    let insert = format!(
        "insert into idp.request
           (action, revision, target, inputs, pinned, intent, rule, quorum, risk, requester, platform, tenant, account,
            break_glass, is_long, places, expires_at, escalate_at, timeline)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, '[]',
                 clock_timestamp() + make_interval(secs => $16), clock_timestamp() + make_interval(secs => $17),
                 idp.timeline())
         returning {COLUMNS}"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(insert))
        .bind(new.action)
        .bind(new.revision)
        .bind(new.target.map(EntityRef::as_str))
        .bind(Value::Object(new.inputs.clone()))
        .bind(Value::Object(new.pinned.clone()))
        .bind(new.intent)
        .bind(new.rule)
        .bind(i32::try_from(new.quorum).unwrap_or(i32::MAX))
        .bind(new.risk.word())
        .bind(new.requester.as_str())
        .bind(new.asked_by.map(|it| it.platform.word()))
        .bind(new.asked_by.map(|it| &it.tenant))
        .bind(new.asked_by.map(|it| &it.user_id))
        .bind(new.break_glass)
        .bind(new.is_long)
        .bind(new.within_s)
        .bind(new.escalate_s)
        .fetch_one(db)
        .await?;
    read(&row)
}

pub async fn keep_secret(
    db: &mut PgConnection,
    request: i64,
    name: &str,
    sealed: &[u8],
) -> sqlx::Result<()> {
    sqlx::query("insert into idp.request_secret (request, name, sealed) values ($1, $2, $3)")
        .bind(request)
        .bind(name)
        .bind(sealed)
        .execute(db)
        .await?;
    Ok(())
}

/// The secrets of a request, sealed.
pub async fn secrets(db: &mut PgConnection, request: i64) -> sqlx::Result<Vec<(String, Vec<u8>)>> {
    sqlx::query_as("select name, sealed from idp.request_secret where request = $1")
        .bind(request)
        .fetch_all(db)
        .await
}

pub async fn forget_secrets(db: &mut PgConnection, request: i64) -> sqlx::Result<()> {
    sqlx::query("delete from idp.request_secret where request = $1")
        .bind(request)
        .execute(db)
        .await?;
    Ok(())
}

pub async fn set_places(db: &mut PgConnection, request: i64, places: &[Place]) -> sqlx::Result<()> {
    let places = serde_json::to_value(places).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query("update idp.request set places = $2 where id = $1")
        .bind(request)
        .bind(places)
        .execute(db)
        .await?;
    Ok(())
}

/// The database's time and the request `id`, which nobody else decides on until the transaction ends.
pub async fn lock(
    db: &mut PgConnection,
    id: i64,
) -> sqlx::Result<Option<(DateTime<Utc>, Request)>> {
    let locked = format!(
        "select clock_timestamp() as now, {COLUMNS} from idp.request where id = $1 for update"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(locked)).bind(id).fetch_optional(db).await?;
    row.map(|row| Ok((row.try_get("now")?, read(&row)?))).transpose()
}

/// The request `id` with all that was said to it and done of it.
pub async fn whole(db: &mut PgConnection, id: i64) -> sqlx::Result<Option<Whole>> {
    let one = format!("select {COLUMNS} from idp.request where id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(one)).bind(id).fetch_optional(&mut *db).await?;
    let Some(row) = row else { return Ok(None) };
    let request = read(&row)?;
    completed(db, request).await.map(Some)
}

/// `request` with all that was said to it and done of it.
pub async fn completed(db: &mut PgConnection, request: Request) -> sqlx::Result<Whole> {
    let votes = sqlx::query(
        "select person, verdict, factors, platform, tenant, account, note, at
         from idp.vote
         where request = $1
         order by at, person",
    )
    .bind(request.id)
    .fetch_all(&mut *db)
    .await?;
    let votes = votes.iter().map(vote).collect::<sqlx::Result<_>>()?;
    let delegations = delegation::store::of(&mut *db, request.id).await?;
    let execution =
        sqlx::query("select state, note, retries, start_by, began_at, ended_at from idp.execution where request = $1")
            .bind(request.id)
            .fetch_optional(&mut *db)
            .await?;
    let execution = match execution {
        None => None,
        Some(row) => Some(Execution {
            state: word(&row, "state", Progress::from_word)?,
            note: row.try_get("note")?,
            steps: steps(db, request.id).await?,
            retries: usize::try_from(row.try_get::<i16, _>("retries")?).unwrap_or_default(),
            start_by: row.try_get("start_by")?,
            began_at: row.try_get("began_at")?,
            ended_at: row.try_get("ended_at")?,
        }),
    };
    Ok(Whole { request, votes, delegations, execution })
}

async fn steps(db: &mut PgConnection, request: i64) -> sqlx::Result<Vec<StepStanding>> {
    let rows = sqlx::query(
        "select name, state, url, note from idp.step where request = $1 order by number",
    )
    .bind(request)
    .fetch_all(db)
    .await?;
    let step = |row: &PgRow| {
        Ok(StepStanding {
            name: row.try_get("name")?,
            state: row.try_get("state")?,
            url: row.try_get("url")?,
            note: row.try_get("note")?,
        })
    };
    rows.iter().map(step).collect()
}

/// Who has opened what of the request does not stand on its card.
pub async fn open(
    db: &mut PgConnection,
    request: &Request,
    person: &EntityRef,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into idp.request_opened (request, person, intent) values ($1, $2, $3) on conflict do nothing",
    )
    .bind(request.id)
    .bind(person.as_str())
    .bind(&request.intent)
    .execute(db)
    .await?;
    Ok(())
}

pub async fn has_opened(
    db: &mut PgConnection,
    request: i64,
    person: &EntityRef,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from idp.request_opened where request = $1 and person = $2)",
    )
    .bind(request)
    .bind(person.as_str())
    .fetch_one(db)
    .await
}

/// What is written down of a vote.
pub struct NewVote<'a> {
    pub person: &'a EntityRef,
    pub verdict: Verdict,
    pub factors: &'a [usize],
    pub account: &'a Speaker,
    pub generation: i64,
    pub proof: Proof,
    pub note: Option<&'a str>,
}

impl NewVote<'_> {
    /// What was written down of it `at` that time.
    pub fn said(&self, at: DateTime<Utc>) -> Vote {
        Vote {
            person: self.person.clone(),
            verdict: self.verdict,
            factors: self.factors.to_vec(),
            account: self.account.clone(),
            note: self.note.map(str::to_string),
            at,
        }
    }
}

/// Writes a vote down, and when that was; `None` where it came too late, and the transaction is over.
pub async fn insert_vote(
    db: &mut PgConnection,
    request: &Request,
    vote: &NewVote<'_>,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    let written = sqlx::query_scalar(
        "insert into idp.vote
           (request, person, verdict, intent, factors, platform, tenant, account, generation, proof, note)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         returning at",
    )
    .bind(request.id)
    .bind(vote.person.as_str())
    .bind(vote.verdict.word())
    .bind(&request.intent)
    .bind(places_of(vote.factors))
    .bind(vote.account.platform.word())
    .bind(&vote.account.tenant)
    .bind(&vote.account.user_id)
    .bind(vote.generation)
    .bind(vote.proof.word())
    .bind(vote.note)
    .fetch_one(db)
    .await;
    in_time(written)
}

/// What came of writing down what somebody said; `None` where it was too late.
pub fn in_time<T>(written: sqlx::Result<T>) -> sqlx::Result<Option<T>> {
    match written {
        Ok(written) => Ok(Some(written)),
        Err(error) if is_late(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_late(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(DatabaseError::constraint) == Some("said_in_time")
}

/// What became of the request `id`. What people said yes or no to is decided when the last of them said so.
pub async fn decide(
    db: &mut PgConnection,
    id: i64,
    state: State,
    by: Option<&EntityRef>,
    note: Option<&str>,
) -> sqlx::Result<Request> {
    let decide = format!(
        "update idp.request
         set state = $2, version = version + 1, decided_by = $3, note = $4,
             decided_at = case
               when $2 = 'pending' then null
               when $2 in ('approved', 'denied')
                 then coalesce((select max(at) from idp.vote where request = $1), clock_timestamp())
               else clock_timestamp()
             end
         where id = $1
         returning {COLUMNS}"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(decide))
        .bind(id)
        .bind(state.word())
        .bind(by.map(EntityRef::as_str))
        .bind(note)
        .fetch_one(db)
        .await?;
    read(&row)
}

/// A step that is to be done.
pub struct NewStep<'a> {
    pub name: &'a str,
    pub class: &'a str,
}

/// What is approved is to be done, in `lane`.
pub async fn insert_execution(
    db: &mut PgConnection,
    request: &Request,
    lane: Option<&str>,
    start_within_s: f64,
    steps: &[NewStep<'_>],
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into idp.execution (request, intent, lane, start_by)
         values ($1, $2, $3, clock_timestamp() + make_interval(secs => $4))",
    )
    .bind(request.id)
    .bind(&request.intent)
    .bind(lane)
    .bind(start_within_s)
    .execute(&mut *db)
    .await?;
    for (number, step) in steps.iter().enumerate() {
        sqlx::query("insert into idp.step (request, number, name, class) values ($1, $2, $3, $4)")
            .bind(request.id)
            .bind(i16::try_from(number).unwrap_or(i16::MAX))
            .bind(step.name)
            .bind(step.class)
            .execute(&mut *db)
            .await?;
    }
    Ok(())
}

/// Takes the execution of `id` back, where its turn has not come; whether it has not.
pub async fn cancel_execution(db: &mut PgConnection, id: i64) -> sqlx::Result<bool> {
    let cancelled = sqlx::query(
        "update idp.execution
         set state = 'cancelled', ended_at = clock_timestamp(), lease_owner = null, lease_until = null
         where request = $1 and state in ('ready', 'held')",
    )
    .bind(id)
    .execute(db)
    .await?;
    Ok(cancelled.rows_affected() == 1)
}

/// Which requests are listed.
#[derive(Debug, Clone, Default)]
pub struct Which<'a> {
    /// Only theirs.
    pub requester: Option<&'a EntityRef>,
    /// Only those that wait for a decision or a review, or are being done.
    pub open: bool,
    pub target: Option<&'a EntityRef>,
}

/// `rows` requests from `offset` on, those that wait first, then the newest first; and how many there are.
pub async fn list(
    db: &mut PgConnection,
    which: &Which<'_>,
    offset: i64,
    rows: i64,
) -> sqlx::Result<(Vec<Whole>, i64)> {
    let list = format!(
        "select {COLUMNS}, count(*) over () as total
         from idp.request
         where ($1::text is null or requester = $1)
           and ($2::text is null or target = $2)
           and (not $3 or state = 'pending' and expires_at > clock_timestamp()
                or exists (select from idp.execution where execution.request = request.id and ended_at is null)
                or break_glass is not null and reviewed_at is null and state = 'approved' and not exists (
                  select from idp.execution
                  where execution.request = request.id and execution.state in ('cancelled', 'void')))
         order by (state = 'pending' and expires_at > clock_timestamp()) desc, id desc
         offset $4 limit $5"
    );
    let found = sqlx::query(sqlx::AssertSqlSafe(list))
        .bind(which.requester.map(EntityRef::as_str))
        .bind(which.target.map(EntityRef::as_str))
        .bind(which.open)
        .bind(offset)
        .bind(rows)
        .fetch_all(&mut *db)
        .await?;
    let total = found.first().map_or(Ok(0), |row| row.try_get("total"))?;
    let mut all = Vec::with_capacity(found.len());
    for row in &found {
        all.push(completed(db, read(row)?).await?);
    }
    Ok((all, total))
}

/// Up to `limit` requests whose time is over, locked; nobody else takes them.
pub async fn overdue(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "select id
         from idp.request
         where state = 'pending' and expires_at <= clock_timestamp()
         order by expires_at
         limit $1
         for update skip locked",
    )
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Up to `limit` requests half of whose time is over, of which nobody was reminded; they count as such from now on.
pub async fn to_remind(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "update idp.request
         set reminded_at = clock_timestamp()
         where id in (
           select id
           from idp.request
           where state = 'pending' and reminded_at is null and quorum > 0
             and clock_timestamp() > requested_at + (expires_at - requested_at) / 2
             and expires_at > clock_timestamp()
           order by expires_at
           limit $1
           for update skip locked)
         returning id",
    )
    .bind(limit)
    .fetch_all(db)
    .await
}

fn read(row: &PgRow) -> sqlx::Result<Request> {
    Ok(Request {
        id: row.try_get("id")?,
        nonce: row.try_get("nonce")?,
        action: row.try_get("action")?,
        revision: row.try_get("revision")?,
        target: reference(row, "target")?,
        inputs: json(row, "inputs")?,
        pinned: json(row, "pinned")?,
        intent: row.try_get("intent")?,
        rule: json(row, "rule")?,
        risk: word(row, "risk", Risk::from_word)?,
        requester: needed(row, "requester")?,
        asked_by: asked_by(row)?,
        places: json(row, "places")?,
        break_glass: row.try_get("break_glass")?,
        is_long: row.try_get("is_long")?,
        level: usize::try_from(row.try_get::<i32, _>("level")?).unwrap_or(1),
        state: word(row, "state", State::from_word)?,
        version: row.try_get("version")?,
        requested_at: row.try_get("requested_at")?,
        expires_at: row.try_get("expires_at")?,
        decided_at: row.try_get("decided_at")?,
        decided_by: reference(row, "decided_by")?,
        note: row.try_get("note")?,
        review: review(row)?,
    })
}

fn review(row: &PgRow) -> sqlx::Result<Option<Review>> {
    let (Some(by), Some(at)) = (reference(row, "reviewed_by")?, row.try_get("reviewed_at")?) else {
        return Ok(None);
    };
    Ok(Some(Review { by, at, words: row.try_get::<Option<_>, _>("review")?.unwrap_or_default() }))
}

fn vote(row: &PgRow) -> sqlx::Result<Vote> {
    Ok(Vote {
        person: needed(row, "person")?,
        verdict: word(row, "verdict", Verdict::from_word)?,
        factors: factors(row)?,
        account: speaker(row)?,
        note: row.try_get("note")?,
        at: row.try_get("at")?,
    })
}

/// The factors that a row names, by place.
pub(super) fn factors(row: &PgRow) -> sqlx::Result<Vec<usize>> {
    let factors: Vec<i32> = row.try_get("factors")?;
    Ok(factors.into_iter().filter_map(|it| usize::try_from(it).ok()).collect())
}

/// Factors as the database writes them.
pub(super) fn places_of(factors: &[usize]) -> Vec<i32> {
    factors.iter().filter_map(|it| i32::try_from(*it).ok()).collect()
}

fn asked_by(row: &PgRow) -> sqlx::Result<Option<Speaker>> {
    let platform: Option<String> = row.try_get("platform")?;
    platform.map(|_| speaker(row)).transpose()
}

pub(super) fn speaker(row: &PgRow) -> sqlx::Result<Speaker> {
    Ok(Speaker {
        platform: word(row, "platform", Platform::from_word)?,
        tenant: row.try_get("tenant")?,
        user_id: row.try_get("account")?,
    })
}

fn json<T: DeserializeOwned>(row: &PgRow, column: &str) -> sqlx::Result<T> {
    let value: Value = row.try_get(column)?;
    serde_json::from_value(value).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn word<T>(row: &PgRow, column: &str, read: fn(&str) -> Option<T>) -> sqlx::Result<T> {
    let word: String = row.try_get(column)?;
    read(&word).ok_or_else(|| sqlx::Error::Decode(format!("no {column} is `{word}`").into()))
}

fn reference(row: &PgRow, column: &str) -> sqlx::Result<Option<EntityRef>> {
    let text: Option<String> = row.try_get(column)?;
    let read = text.map(|text| EntityRef::parse(&text, None, "default")).transpose();
    read.map_err(|error| sqlx::Error::Decode(error.into()))
}

pub(super) fn needed(row: &PgRow, column: &str) -> sqlx::Result<EntityRef> {
    reference(row, column)?.ok_or_else(|| sqlx::Error::ColumnNotFound(column.into()))
}
