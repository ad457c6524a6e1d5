//! The outbox's SQL. All times are the database's.

use sqlx::{PgConnection, PgPool};

use super::{Post, Route, Sent};

/// A post whose turn has come, as it is written down.
#[derive(Debug, sqlx::FromRow)]
pub struct Row {
    pub id: i64,
    pub key: String,
    pub lane: String,
    pub route: String,
    pub body: String,
    /// This one counted.
    pub attempts: i32,
    /// How long ago, in seconds, it was sent and may have arrived; `None` where it surely has not.
    pub tried_s: Option<f64>,
}

/// What waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, sqlx::FromRow)]
pub struct Backlog {
    pub waiting: i64,
    /// How long the oldest has waited, in seconds.
    pub oldest_s: f64,
}

/// Writes `post` down as `body`, which goes by `route` in `lane`; nothing where there is one of its key. Who asks
/// holds the lane until the end of its transaction.
pub async fn insert(
    db: &mut PgConnection,
    post: &Post,
    body: &str,
    route: Route,
    lane: &str,
) -> sqlx::Result<()> {
    touch(db, post.platform.word(), lane).await?;
    sqlx::query(
        "insert into idp.outbox (platform, tenant, key, lane, route, body, priority, not_before, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, clock_timestamp() + make_interval(secs => $8),
           clock_timestamp() + make_interval(secs => $8 + $9))
         on conflict do nothing",
    )
    .bind(post.platform.word())
    .bind(&post.tenant)
    .bind(&post.key)
    .bind(lane)
    .bind(route.word())
    .bind(body)
    .bind(post.priority.number())
    .bind(post.after.as_secs_f64())
    .bind(post.priority.use_within().as_secs_f64())
    .execute(db)
    .await?;
    Ok(())
}

/// There is such a lane, which [`forget`] leaves alone for now.
async fn touch(db: &mut PgConnection, platform: &str, lane: &str) -> sqlx::Result<()> {
    sqlx::query(
        "insert into idp.outbox_lane (platform, lane)
         values ($1, $2)
         on conflict (platform, lane) do update
         set next_at = greatest(outbox_lane.next_at, clock_timestamp())",
    )
    .bind(platform)
    .bind(lane)
    .execute(db)
    .await?;
    Ok(())
}

/// Up to `limit` posts of `platform` whose turn has come, the most urgent first, at most one of each lane; of
/// `lane` alone where it is given. Nobody else takes from their lanes for `lease_s`.
pub async fn claim(
    db: &mut PgConnection,
    platform: &str,
    lane: Option<&str>,
    limit: usize,
    lease_s: f64,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as(
        "with due as (
           select outbox_lane.lane, head.id, head.tried_at
           from idp.outbox_lane
           cross join lateral (
             select id, priority, not_before, tried_at
             from idp.outbox
             where outbox.platform = outbox_lane.platform and outbox.lane = outbox_lane.lane
               and done_at is null and expires_at > clock_timestamp()
               and (attempts > 0 or not_before <= clock_timestamp())
             order by priority, id
             limit 1) as head
           where outbox_lane.platform = $1 and outbox_lane.next_at <= clock_timestamp()
             and ($2::text is null or outbox_lane.lane = $2)
             and head.not_before <= clock_timestamp()
             and not exists (
               select from idp.outbox_pause where platform = $1 and until > clock_timestamp())
           order by head.priority, head.id
           limit $3
           for update of outbox_lane skip locked
         ), held as (
           update idp.outbox_lane
           set next_at = clock_timestamp() + make_interval(secs => $4)
           from due
           where outbox_lane.platform = $1 and outbox_lane.lane = due.lane
         )
         update idp.outbox
         set attempts = attempts + 1, tried_at = coalesce(outbox.tried_at, clock_timestamp())
         from due
         where outbox.id = due.id and outbox.done_at is null
         returning outbox.id, outbox.key, outbox.lane, outbox.route, outbox.body, outbox.attempts,
           extract(epoch from clock_timestamp() - due.tried_at)::double precision as tried_s",
    )
    .bind(platform)
    .bind(lane)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .bind(lease_s)
    .fetch_all(db)
    .await
}

/// In how many seconds the next post of `platform` may be sent; `None` where none waits.
pub async fn due_in_s(db: &PgPool, platform: &str) -> sqlx::Result<Option<f64>> {
    sqlx::query_scalar(
        "select extract(epoch from
           greatest(min(greatest(outbox_lane.next_at, head.not_before)), max(outbox_pause.until))
           - clock_timestamp())::double precision
         from idp.outbox_lane
         cross join lateral (
           select not_before
           from idp.outbox
           where outbox.platform = outbox_lane.platform and outbox.lane = outbox_lane.lane
             and done_at is null
           order by attempts = 0 and not_before > clock_timestamp(), priority, id
           limit 1) as head
         left join idp.outbox_pause on outbox_pause.platform = $1
         where outbox_lane.platform = $1",
    )
    .bind(platform)
    .fetch_one(db)
    .await
}

/// What became of a post that was being sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<'a> {
    Sent(&'a Sent),
    /// It never will be, and why.
    Dropped {
        failure: &'a str,
    },
    /// It keeps its place, and is sent not before `wait_s`.
    PutOff {
        wait_s: f64,
        has_not_arrived: bool,
        /// Whether nothing else is sent for so long, either.
        pauses_all: bool,
    },
    /// It goes by `route` in `lane` from now on.
    Elsewhere {
        route: Route,
        lane: &'a str,
    },
}

/// Writes down what became of `row`; the lane that it was in is free in `free_in_s`.
pub async fn settle(
    db: &PgPool,
    platform: &str,
    row: &Row,
    outcome: &Outcome<'_>,
    free_in_s: f64,
) -> sqlx::Result<()> {
    let mut tx = db.begin().await?;
    // Lanes come before what is in them, and in one order: so does whoever writes something down.
    match *outcome {
        Outcome::Elsewhere { lane, .. } if lane < row.lane.as_str() => {
            touch(&mut tx, platform, lane).await?;
            free(&mut tx, platform, &row.lane, free_in_s).await?;
        }
        Outcome::Elsewhere { lane, .. } => {
            free(&mut tx, platform, &row.lane, free_in_s).await?;
            touch(&mut tx, platform, lane).await?;
        }
        _ => free(&mut tx, platform, &row.lane, free_in_s).await?,
    }
    match *outcome {
        Outcome::Sent(sent) => finish(&mut tx, row, Some(sent), None).await?,
        Outcome::Dropped { failure } => finish(&mut tx, row, None, Some(failure)).await?,
        Outcome::PutOff { wait_s, has_not_arrived, pauses_all } => {
            put_off(&mut tx, row, wait_s, has_not_arrived).await?;
            if pauses_all {
                pause(&mut tx, platform, wait_s).await?;
            }
        }
        Outcome::Elsewhere { route, lane } => {
            redirect(&mut tx, row, route, lane).await?;
        }
    }
    tx.commit().await
}

async fn finish(
    db: &mut PgConnection,
    row: &Row,
    sent: Option<&Sent>,
    failure: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.outbox
         set done_at = clock_timestamp(), body = '', message_channel = $2, message_id = $3, failure = $4
         where id = $1",
    )
    .bind(row.id)
    .bind(sent.map(|it| &it.channel))
    .bind(sent.map(|it| &it.message_id))
    .bind(failure)
    .execute(db)
    .await?;
    Ok(())
}

async fn put_off(
    db: &mut PgConnection,
    row: &Row,
    wait_s: f64,
    has_not_arrived: bool,
) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.outbox
         set not_before = clock_timestamp() + make_interval(secs => $2),
           tried_at = case when $3 then null else tried_at end
         where id = $1",
    )
    .bind(row.id)
    .bind(wait_s)
    .bind(has_not_arrived)
    .execute(db)
    .await?;
    Ok(())
}

async fn redirect(db: &mut PgConnection, row: &Row, route: Route, lane: &str) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.outbox
         set route = $2, lane = $3, attempts = 0, tried_at = null
         where id = $1",
    )
    .bind(row.id)
    .bind(route.word())
    .bind(lane)
    .execute(db)
    .await?;
    Ok(())
}

async fn free(
    db: &mut PgConnection,
    platform: &str,
    lane: &str,
    free_in_s: f64,
) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.outbox_lane
         set next_at = clock_timestamp() + make_interval(secs => $3)
         where platform = $1 and lane = $2",
    )
    .bind(platform)
    .bind(lane)
    .bind(free_in_s)
    .execute(db)
    .await?;
    Ok(())
}

/// Nothing of `platform` is sent by anybody for `wait_s`.
pub(super) async fn pause(db: &mut PgConnection, platform: &str, wait_s: f64) -> sqlx::Result<()> {
    sqlx::query(
        "insert into idp.outbox_pause (platform, until)
         values ($1, clock_timestamp() + make_interval(secs => $2))
         on conflict (platform) do update
         set until = greatest(outbox_pause.until, excluded.until)",
    )
    .bind(platform)
    .bind(wait_s)
    .execute(db)
    .await?;
    Ok(())
}

/// Ends what came too late, unless it is being sent, for which it has `lease_s`; returns the keys.
pub async fn expire(
    db: &PgPool,
    platform: &str,
    failure: &str,
    lease_s: f64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "update idp.outbox
         set done_at = clock_timestamp(), body = '', failure = $2
         where platform = $1 and done_at is null and expires_at <= clock_timestamp()
           and (tried_at is null or tried_at < clock_timestamp() - make_interval(secs => $3))
         returning key",
    )
    .bind(platform)
    .bind(failure)
    .bind(lease_s)
    .fetch_all(db)
    .await
}

/// What waits to be sent on `platform`.
pub async fn backlog(db: &PgPool, platform: &str) -> sqlx::Result<Backlog> {
    sqlx::query_as(
        "select count(*) as waiting,
           coalesce(extract(epoch from clock_timestamp() - min(queued_at)), 0)::double precision as oldest_s
         from idp.outbox
         where platform = $1 and done_at is null",
    )
    .bind(platform)
    .fetch_one(db)
    .await
}

/// Deletes what was done a day ago, and lanes in which nothing has waited for long.
pub async fn forget(db: &PgPool) -> sqlx::Result<()> {
    sqlx::query("delete from idp.outbox where done_at < now() - interval '1 day'")
        .execute(db)
        .await?;
    // Who writes something down for a lane holds it, and makes it young.
    sqlx::query(
        "delete from idp.outbox_lane
         where (platform, lane) in (
           select platform, lane
           from idp.outbox_lane
           where next_at < now() - interval '10 minutes'
             and not exists (
               select
               from idp.outbox
               where outbox.platform = outbox_lane.platform and outbox.lane = outbox_lane.lane
                 and done_at is null)
           for update skip locked)",
    )
    .execute(db)
    .await?;
    Ok(())
}
