//! The SQL of what was counted and said.

use chrono::NaiveDate;
use sqlx::{PgConnection, Row};

use super::feedback::{FEEDBACK_MAX, Feedback, Said};
use super::latency::Histogram;
use super::report::{ASKING, OfCommand, OfTeam, OfWeek, Period, Total};
use super::{Count, KEPT_DAYS, Key, Who};
use crate::conversation::{Platform, Way};

/// So many old rows are deleted at a time, so that nobody waits for it.
const PRUNED_MAX: i64 = 5_000;

/// Adds `counts` to what was counted before.
pub async fn keep(db: &mut PgConnection, counts: &[(Key, Count)]) -> sqlx::Result<()> {
    let (mut users, mut tenants, mut accounts) = (Vec::new(), Vec::new(), Vec::new());
    for (key, _) in counts {
        let (user, tenant, account) = parts(&key.who);
        users.push(user);
        tenants.push(tenant);
        accounts.push(account);
    }
    let texts = |of: fn(&Key) -> &str| counts.iter().map(|(key, _)| of(key)).collect::<Vec<_>>();
    let days: Vec<NaiveDate> = counts.iter().map(|(key, _)| key.day).collect();
    let times: Vec<i64> = counts.iter().map(|(_, count)| signed(count.times)).collect();
    sqlx::query(
        "insert into idp.usage as known (day, person, team, command, platform, way, outcome, times)
         select day, person, team, command, platform, way, outcome, sum(times)::bigint
         from unnest(
                 $1::date[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                 $9::text[], $10::bigint[]
             ) as it (day, user_ref, tenant, account, team, command, platform, way, outcome, times)
         cross join lateral idp.usage_person(user_ref, platform, tenant, account) as person
         group by day, person, team, command, platform, way, outcome
         order by day, person, team, command, platform, way, outcome
         on conflict (day, person, team, command, platform, way, outcome) do update
         set times = known.times + excluded.times",
    )
    .bind(&days)
    .bind(users)
    .bind(tenants)
    .bind(accounts)
    .bind(texts(|key| &key.team))
    .bind(texts(|key| &key.command))
    .bind(texts(|key| key.platform.word()))
    .bind(texts(|key| key.way.word()))
    .bind(texts(|key| key.outcome))
    .bind(times)
    .execute(&mut *db)
    .await?;
    keep_latency(db, counts).await
}

async fn keep_latency(db: &mut PgConnection, counts: &[(Key, Count)]) -> sqlx::Result<()> {
    let buckets = || {
        let buckets = |it: &'_ (Key, Count)| it.1.latency.counted().collect::<Vec<_>>();
        counts.iter().flat_map(move |it| buckets(it).into_iter().map(|counted| (&it.0, counted)))
    };
    let days: Vec<NaiveDate> = buckets().map(|(key, _)| key.day).collect();
    let commands: Vec<&str> = buckets().map(|(key, _)| &*key.command).collect();
    let platforms: Vec<&str> = buckets().map(|(key, _)| key.platform.word()).collect();
    let ways: Vec<&str> = buckets().map(|(key, _)| key.way.word()).collect();
    let numbers: Vec<i16> = buckets().map(|(_, (bucket, _))| bucket as i16).collect();
    let times: Vec<i64> = buckets().map(|(_, (_, times))| signed(times)).collect();
    sqlx::query(
        "insert into idp.usage_latency as known (day, command, platform, way, bucket, times)
         select day, command, platform, way, bucket, sum(times)::bigint
         from unnest($1::date[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::bigint[])
             as it (day, command, platform, way, bucket, times)
         group by day, command, platform, way, bucket
         order by day, command, platform, way, bucket
         on conflict (day, command, platform, way, bucket) do update
         set times = known.times + excluded.times",
    )
    .bind(days)
    .bind(commands)
    .bind(platforms)
    .bind(ways)
    .bind(numbers)
    .bind(times)
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes some of what is older than is kept.
pub async fn prune(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "delete from idp.usage
         where ctid = any (array(
             select ctid
             from idp.usage
             where day < (clock_timestamp() at time zone 'utc')::date - $1
             limit $2
             for update skip locked
         ))",
    )
    .bind(KEPT_DAYS)
    .bind(PRUNED_MAX)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "delete from idp.usage_latency
         where ctid = any (array(
             select ctid
             from idp.usage_latency
             where day < (clock_timestamp() at time zone 'utc')::date - $1
             limit $2
             for update skip locked
         ))",
    )
    .bind(KEPT_DAYS)
    .bind(PRUNED_MAX)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "delete from idp.feedback
         where ctid = any (array(
             select ctid
             from idp.feedback
             where at < now() - make_interval(days => $1)
             limit $2
             for update skip locked
         ))",
    )
    .bind(KEPT_DAYS)
    .bind(PRUNED_MAX)
    .execute(db)
    .await?;
    Ok(())
}

/// The User, or the workspace or server with the account, of `who`.
fn parts(who: &Who) -> (Option<&str>, Option<&str>, Option<&str>) {
    match who {
        Who::User(user) => (Some(user), None, None),
        Who::Account { tenant, user_id } => (None, Some(tenant), Some(user_id)),
        Who::Unknown => (None, None, None),
    }
}

fn signed(times: u64) -> i64 {
    i64::try_from(times).unwrap_or(i64::MAX)
}

fn unsigned(times: i64) -> u64 {
    u64::try_from(times).unwrap_or(0)
}

fn asking() -> Vec<&'static str> {
    ASKING.iter().map(|way| way.word()).collect()
}

/// How many Users asked something, and how many accounts that are linked to nobody.
pub async fn people(db: &mut PgConnection, period: Period) -> sqlx::Result<(u64, u64)> {
    let (users, accounts) = sqlx::query_as(
        "select
             count(distinct person) filter (where person like 'user:%'),
             count(distinct person) filter (where person like 'account:%')
         from idp.usage
         where day between $1 and $2 and way = any($3)",
    )
    .bind(period.from)
    .bind(period.to)
    .bind(asking())
    .fetch_one(db)
    .await?;
    Ok((unsigned(users), unsigned(accounts)))
}

pub async fn totals(db: &mut PgConnection, period: Period) -> sqlx::Result<Vec<Total>> {
    let rows: Vec<(String, String, String, i64)> = sqlx::query_as(
        "select platform, way, outcome, sum(times)::bigint
         from idp.usage
         where day between $1 and $2
         group by platform, way, outcome",
    )
    .bind(period.from)
    .bind(period.to)
    .fetch_all(db)
    .await?;
    // A way that another version knows is none of ours.
    let totals = rows.into_iter().filter_map(|(platform, way, outcome, times)| {
        Some(Total {
            platform: Platform::from_word(&platform)?,
            way: Way::ALL.into_iter().find(|it| it.word() == way)?,
            outcome,
            times: unsigned(times),
        })
    });
    Ok(totals.collect())
}

/// What was asked of each command, the most asked first.
pub async fn commands(db: &mut PgConnection, period: Period) -> sqlx::Result<Vec<OfCommand>> {
    let rows: Vec<(String, i64, i64, i64)> = sqlx::query_as(
        "select
             command,
             sum(times)::bigint,
             coalesce(sum(times) filter (where outcome = 'answer'), 0)::bigint,
             count(distinct nullif(person, ''))
         from idp.usage
         where day between $1 and $2 and way = any($3)
         group by command
         order by sum(times) desc, command",
    )
    .bind(period.from)
    .bind(period.to)
    .bind(asking())
    .fetch_all(db)
    .await?;
    let commands = rows.into_iter().map(|(command, times, answered, people)| OfCommand {
        command,
        times: unsigned(times),
        answered: unsigned(answered),
        people: unsigned(people),
    });
    Ok(commands.collect())
}

/// What each team asked, the one that asked most first.
pub async fn teams(db: &mut PgConnection, period: Period) -> sqlx::Result<Vec<OfTeam>> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "select team, sum(times)::bigint, count(distinct nullif(person, ''))
         from idp.usage
         where day between $1 and $2 and way = any($3)
         group by team
         order by sum(times) desc, team",
    )
    .bind(period.from)
    .bind(period.to)
    .bind(asking())
    .fetch_all(db)
    .await?;
    let teams = rows.into_iter().map(|(team, times, people)| OfTeam {
        team,
        times: unsigned(times),
        people: unsigned(people),
    });
    Ok(teams.collect())
}

/// What was asked in each week from the one of `monday` on, the oldest first.
pub async fn weeks(
    db: &mut PgConnection,
    monday: NaiveDate,
    to: NaiveDate,
) -> sqlx::Result<Vec<OfWeek>> {
    let rows: Vec<(NaiveDate, i64, i64)> = sqlx::query_as(
        "select date_trunc('week', day)::date, sum(times)::bigint, count(distinct nullif(person, ''))
         from idp.usage
         where day between $1 and $2 and way = any($3)
         group by 1
         order by 1",
    )
    .bind(monday)
    .bind(to)
    .bind(asking())
    .fetch_all(db)
    .await?;
    let weeks = rows.into_iter().map(|(monday, times, people)| OfWeek {
        monday,
        times: unsigned(times),
        people: unsigned(people),
    });
    Ok(weeks.collect())
}

/// How long answers to what was asked took.
pub async fn latency(db: &mut PgConnection, period: Period) -> sqlx::Result<Histogram> {
    let rows: Vec<(i16, i64)> = sqlx::query_as(
        "select bucket, sum(times)::bigint
         from idp.usage_latency
         where day between $1 and $2 and way = any($3)
         group by bucket",
    )
    .bind(period.from)
    .bind(period.to)
    .bind(asking())
    .fetch_all(db)
    .await?;
    let mut histogram = Histogram::default();
    for (bucket, times) in rows {
        histogram.add_times(usize::try_from(bucket).unwrap_or(usize::MAX), unsigned(times));
    }
    Ok(histogram)
}

/// Keeps what somebody says, in the place of what they said of the same before.
pub async fn keep_feedback(db: &mut PgConnection, feedback: &Feedback) -> sqlx::Result<()> {
    let (user, tenant, account) = parts(&feedback.who);
    sqlx::query(
        "insert into idp.feedback (person, command, entity, platform, helpful, comment)
         values (idp.usage_person($1, $4, $2, $3), $5, $6, $4, $7, $8)
         on conflict (person, command, entity) do update
         set platform = excluded.platform,
             helpful = excluded.helpful,
             comment = excluded.comment,
             at = excluded.at",
    )
    .bind(user)
    .bind(tenant)
    .bind(account)
    .bind(feedback.platform.word())
    .bind(&feedback.command)
    .bind(&feedback.entity)
    .bind(feedback.helpful)
    .bind(&feedback.comment)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "delete from idp.feedback
         where ctid = any (array(
             select ctid
             from idp.feedback
             order by at desc
             offset $1
             for update skip locked
         ))",
    )
    .bind(FEEDBACK_MAX)
    .execute(db)
    .await?;
    Ok(())
}

/// How many answers helped, and how many did not, as people said in the period.
pub async fn verdicts(db: &mut PgConnection, period: Period) -> sqlx::Result<(u64, u64)> {
    let (helpful, not_helpful) = sqlx::query_as(
        "select count(*) filter (where helpful), count(*) filter (where not helpful)
         from idp.feedback
         where (at at time zone 'utc')::date between $1 and $2",
    )
    .bind(period.from)
    .bind(period.to)
    .fetch_one(db)
    .await?;
    Ok((unsigned(helpful), unsigned(not_helpful)))
}

/// What was said of the answers of each command: how many helped, how many did not; those that helped least first.
pub async fn verdicts_by_command(db: &mut PgConnection) -> sqlx::Result<Vec<(String, u64, u64)>> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "select command, count(*) filter (where helpful), count(*) filter (where not helpful)
         from idp.feedback
         group by command
         order by 3 desc, 2 desc, 1",
    )
    .fetch_all(db)
    .await?;
    let unsigned =
        |(command, helpful, not): (String, i64, i64)| (command, unsigned(helpful), unsigned(not));
    Ok(rows.into_iter().map(unsigned).collect())
}

/// What was said, what did not help first and then the newest; `limit` of it, behind the first `offset`; and how much
/// there is.
pub async fn feedback(
    db: &mut PgConnection,
    limit: i64,
    offset: i64,
) -> sqlx::Result<(Vec<Said>, u64)> {
    let total: i64 =
        sqlx::query_scalar("select count(*) from idp.feedback").fetch_one(&mut *db).await?;
    let rows = sqlx::query(
        "select platform, person, command, entity, helpful, comment, at
         from idp.feedback
         order by at desc, person, command, entity
         limit $1
         offset $2",
    )
    .bind(limit)
    .bind(offset)
    .fetch_all(db)
    .await?;
    let said = rows.iter().filter_map(|row| {
        let text = |column: &str| Some(row.get::<String, _>(column)).filter(|it| !it.is_empty());
        Some(Said {
            platform: Platform::from_word(row.get("platform"))?,
            user: text("person").filter(|it| it.starts_with("user:")),
            command: row.get("command"),
            entity: text("entity"),
            helpful: row.get("helpful"),
            comment: text("comment"),
            at: row.get("at"),
        })
    });
    Ok((said.collect(), unsigned(total)))
}
