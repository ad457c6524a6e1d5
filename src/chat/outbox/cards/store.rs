//! The SQL of cards on their way to a platform. All times are the database's.

use sqlx::{PgConnection, PgPool};

use crate::chat::outbox::Sent;

/// The lane in which edits keep their pace: no channel is called so.
const EDITS: &str = "edits";

/// A card that is not there: its last state, and what became of the post that was to bring it there.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Unposted {
    pub id: i64,
    pub key: String,
    pub channel: Option<String>,
    pub person: Option<String>,
    pub thread: Option<String>,
    pub reply: String,
    pub version: i64,
    pub posts: i32,
    pub losses: i32,
    /// `None`: none was to.
    pub post_key: Option<String>,
    /// Where it is.
    pub message_channel: Option<String>,
    pub message_id: Option<String>,
    /// Why it is not.
    pub failure: Option<String>,
}

/// A card whose message is to be edited, by us alone while we hold it.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Held {
    pub id: i64,
    pub key: String,
    pub reply: String,
    pub version: i64,
    pub hold: i64,
    pub live: bool,
    /// This one counted.
    pub attempts: i32,
    pub message_channel: String,
    pub message_id: String,
}

/// A card that is there, and below which something is to be said.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Continued {
    pub id: i64,
    pub key: String,
    pub thread: Option<String>,
    pub reply: String,
    pub message_channel: String,
    pub message_id: String,
}

#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Line {
    pub id: i64,
    pub reply: String,
}

/// Whether anything is to be posted on `platform`, a card or below one, or a post of a card to be looked after.
pub async fn is_any(db: &PgPool, platform: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (
             select
             from idp.card
             where platform = $1 and version > done_version and message_id is null
               and not_before <= clock_timestamp())
           or exists (
             select
             from idp.card_line
             join idp.card on card.id = card_line.card_id
             where platform = $1 and said_at is null and message_id is not null)",
    )
    .bind(platform)
    .fetch_one(db)
    .await
}

/// The cards of which another state waits to be posted than the last, while nobody has tried to.
pub async fn outdated(db: &PgPool, platform: &str, limit: i64) -> sqlx::Result<Vec<Unposted>> {
    sqlx::query_as(
        "select card.id, card.key, card.channel, card.person, card.thread, card.reply, card.version, card.posts,
           card.losses, card.post_key, outbox.message_channel, outbox.message_id, outbox.failure
         from idp.card
         join idp.outbox on outbox.platform = card.platform and outbox.tenant = '' and outbox.key = card.post_key
         where card.platform = $1 and version > done_version and card.message_id is null
           and version > post_version and done_at is null and tried_at is null
         order by card.changed_at, card.id
         limit $2",
    )
    .bind(platform)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// What waits to be posted of `card` is `body`, unless somebody tries to post it by now.
pub async fn replace(db: &PgPool, platform: &str, card: &Unposted, body: &str) -> sqlx::Result<()> {
    let mut tx = db.begin().await?;
    let replaced = sqlx::query(
        "update idp.outbox
         set body = $3
         where platform = $1 and tenant = '' and key = $2 and done_at is null and tried_at is null",
    )
    .bind(platform)
    .bind(&card.post_key)
    .bind(body)
    .execute(&mut *tx)
    .await?;
    if replaced.rows_affected() == 0 {
        return Ok(());
    }
    sqlx::query(
        "update idp.card
         set post_version = $3
         where id = $1 and post_key = $2",
    )
    .bind(card.id)
    .bind(&card.post_key)
    .bind(card.version)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Up to `limit` cards of `platform` that are not there, and for which something is to be done: held until the end of
/// the transaction.
pub async fn unposted(
    db: &mut PgConnection,
    platform: &str,
    limit: i64,
) -> sqlx::Result<Vec<Unposted>> {
    let held: Vec<i64> = sqlx::query_scalar(
        "select card.id
         from idp.card
         left join idp.outbox
           on outbox.platform = card.platform and outbox.tenant = '' and outbox.key = card.post_key
         where card.platform = $1 and version > done_version and card.message_id is null
           and card.not_before <= clock_timestamp()
           and (outbox.id is null or outbox.done_at is not null)
         order by card.changed_at, card.id
         limit $2
         for update of card skip locked",
    )
    .bind(platform)
    .bind(limit)
    .fetch_all(&mut *db)
    .await?;
    // Another process may have had one of them posted between the look and the hold: what became of it is read now.
    sqlx::query_as(
        "select card.id, card.key, card.channel, card.person, card.thread, card.reply, card.version, card.posts,
           card.losses, card.post_key, outbox.message_channel, outbox.message_id, outbox.failure
         from idp.card
         left join idp.outbox
           on outbox.platform = card.platform and outbox.tenant = '' and outbox.key = card.post_key
         where card.id = any($1) and version > done_version and card.message_id is null
           and card.not_before <= clock_timestamp()
           and (outbox.id is null or outbox.done_at is not null)
         order by card.changed_at, card.id",
    )
    .bind(&held)
    .fetch_all(db)
    .await
}

/// `card` is to be posted as it is now, by the post of this key.
pub async fn posting(db: &mut PgConnection, card: &Unposted, post_key: &str) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.card
         set post_key = $2, post_version = $3, posts = posts + 1
         where id = $1",
    )
    .bind(card.id)
    .bind(post_key)
    .bind(card.version)
    .execute(db)
    .await?;
    Ok(())
}

/// `card` is there, as it was when it was posted.
pub async fn found(db: &mut PgConnection, card: &Unposted, at: &Sent) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.card
         set message_channel = $2, message_id = $3, done_version = post_version, failure = null,
           post_key = null, post_version = null, losses = 0
         where id = $1",
    )
    .bind(card.id)
    .bind(&at.channel)
    .bind(&at.message_id)
    .execute(db)
    .await?;
    Ok(())
}

/// Nobody knows where `card` is: it is posted again after `wait_s`.
pub async fn lost(db: &mut PgConnection, card: &Unposted, wait_s: f64) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.card
         set post_key = null, post_version = null, losses = losses + 1,
           not_before = clock_timestamp() + make_interval(secs => $2)
         where id = $1",
    )
    .bind(card.id)
    .bind(wait_s)
    .execute(db)
    .await?;
    Ok(())
}

/// `card` is not posted, until it has another state.
pub async fn refused(db: &mut PgConnection, card: &Unposted, failure: &str) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.card
         set done_version = $2, failure = $3, post_key = null, post_version = null, losses = 0
         where id = $1",
    )
    .bind(card.id)
    .bind(card.version)
    .bind(failure)
    .execute(db)
    .await?;
    Ok(())
}

/// Up to `limit` cards of `platform` that are there, and below which something is to be said: held until the end of
/// the transaction, so that nobody else says what comes after it first.
pub async fn continued(
    db: &mut PgConnection,
    platform: &str,
    limit: i64,
) -> sqlx::Result<Vec<Continued>> {
    sqlx::query_as(
        "select id, key, thread, reply, message_channel, message_id
         from idp.card
         where platform = $1 and message_id is not null
           and id in (select card_id from idp.card_line where said_at is null)
         order by id
         limit $2
         for update skip locked",
    )
    .bind(platform)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// What is to be said below the card of this id, in its order.
pub async fn lines(db: &mut PgConnection, card_id: i64) -> sqlx::Result<Vec<Line>> {
    sqlx::query_as(
        "select id, reply
         from idp.card_line
         where card_id = $1 and said_at is null
         order by id",
    )
    .bind(card_id)
    .fetch_all(db)
    .await
}

/// The outbox has the lines of these ids.
pub async fn said(db: &mut PgConnection, lines: &[i64]) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.card_line
         set said_at = clock_timestamp(), reply = ''
         where id = any($1)",
    )
    .bind(lines)
    .execute(db)
    .await?;
    Ok(())
}

/// In how many seconds the next card of `platform` may be edited; `None` where none is to be.
pub async fn edit_due_in_s(db: &PgPool, platform: &str) -> sqlx::Result<Option<f64>> {
    sqlx::query_scalar(
        "select extract(epoch from
           greatest(min(greatest(card.not_before, card.held_until)), max(outbox_lane.next_at), max(outbox_pause.until))
           - clock_timestamp())::double precision
         from idp.card
         left join idp.outbox_lane on outbox_lane.platform = $1 and outbox_lane.lane = $2
         left join idp.outbox_pause on outbox_pause.platform = $1
         where card.platform = $1 and version > done_version and message_id is not null",
    )
    .bind(platform)
    .bind(EDITS)
    .fetch_one(db)
    .await
}

/// Whether it is our turn to edit something: nobody else's is sooner than in `between_s`.
pub async fn take_turn(
    db: &mut PgConnection,
    platform: &str,
    between_s: f64,
) -> sqlx::Result<bool> {
    let taken = sqlx::query(
        "insert into idp.outbox_lane (platform, lane, next_at)
         values ($1, $2, clock_timestamp() + make_interval(secs => $3))
         on conflict (platform, lane) do update
         set next_at = excluded.next_at
         where outbox_lane.next_at <= clock_timestamp()",
    )
    .bind(platform)
    .bind(EDITS)
    .bind(between_s)
    .execute(db)
    .await?;
    Ok(taken.rows_affected() > 0)
}

/// Up to `limit` cards of `platform` to be edited, those that have waited longest first. Nobody else edits them for
/// `hold_s`.
pub async fn hold(
    db: &mut PgConnection,
    platform: &str,
    limit: i64,
    hold_s: f64,
) -> sqlx::Result<Vec<Held>> {
    sqlx::query_as(
        "with due as (
           select id
           from idp.card
           where platform = $1 and version > done_version and message_id is not null
             and not_before <= clock_timestamp() and held_until <= clock_timestamp()
             and not exists (
               select from idp.outbox_pause where platform = $1 and until > clock_timestamp())
           order by changed_at, id
           limit $2
           for update skip locked
         )
         update idp.card
         set held_until = clock_timestamp() + make_interval(secs => $3), hold = hold + 1, attempts = attempts + 1
         from due
         where card.id = due.id
         returning card.id, key, reply, version, hold, live, attempts, message_channel, message_id",
    )
    .bind(platform)
    .bind(limit)
    .bind(hold_s)
    .fetch_all(db)
    .await
}

/// What became of a card that was being edited.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome<'a> {
    Shown,
    PutOff {
        wait_s: f64,
        /// Whether nothing else is sent for so long, either.
        pauses_all: bool,
    },
    /// Its message is no more, or may be edited no more: another is posted.
    PostAnother,
    /// It stays as it is, until it has another state.
    GivenUp {
        failure: &'a str,
    },
}

/// Writes down what became of `card`. Where another took it over meanwhile, ours may be what is shown, so that its last
/// state is shown again.
pub async fn settle(
    db: &PgPool,
    platform: &str,
    card: &Held,
    outcome: Outcome<'_>,
) -> sqlx::Result<()> {
    let mut tx = db.begin().await?;
    let is_ours = match outcome {
        Outcome::Shown => done(&mut tx, card, None).await?,
        Outcome::GivenUp { failure } => done(&mut tx, card, Some(failure)).await?,
        Outcome::PutOff { wait_s, pauses_all } => {
            if pauses_all {
                super::super::store::pause(&mut tx, platform, wait_s).await?;
            }
            put_off(&mut tx, card, wait_s).await?
        }
        Outcome::PostAnother => forget_message(&mut tx, card).await?,
    };
    if !is_ours {
        show_again(&mut tx, card).await?;
    }
    tx.commit().await
}

async fn done(db: &mut PgConnection, card: &Held, failure: Option<&str>) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update idp.card
         set done_version = $3, failure = $4, held_until = clock_timestamp(), attempts = 0
         where id = $1 and hold = $2",
    )
    .bind(card.id)
    .bind(card.hold)
    .bind(card.version)
    .bind(failure)
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

async fn put_off(db: &mut PgConnection, card: &Held, wait_s: f64) -> sqlx::Result<bool> {
    let put_off = sqlx::query(
        "update idp.card
         set not_before = clock_timestamp() + make_interval(secs => $3), held_until = clock_timestamp()
         where id = $1 and hold = $2",
    )
    .bind(card.id)
    .bind(card.hold)
    .bind(wait_s)
    .execute(db)
    .await?;
    Ok(put_off.rows_affected() > 0)
}

async fn forget_message(db: &mut PgConnection, card: &Held) -> sqlx::Result<bool> {
    let forgotten = sqlx::query(
        "update idp.card
         set message_channel = null, message_id = null, held_until = clock_timestamp(), attempts = 0
         where id = $1 and hold = $2",
    )
    .bind(card.id)
    .bind(card.hold)
    .execute(db)
    .await?;
    Ok(forgotten.rows_affected() > 0)
}

/// A version more: whoever showed the last one may write down only later that it did.
async fn show_again(db: &mut PgConnection, card: &Held) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.card
         set version = version + 1
         where id = $1 and message_id = $2",
    )
    .bind(card.id)
    .bind(&card.message_id)
    .execute(db)
    .await?;
    Ok(())
}

/// Gives up, as `failure`, what has waited for a day and no post is to bring there; returns the keys.
pub async fn expire(db: &PgPool, failure: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "update idp.card
         set done_version = version, failure = $1
         where version > done_version and post_key is null and held_until <= clock_timestamp()
           and changed_at < clock_timestamp() - interval '1 day'
         returning key",
    )
    .bind(failure)
    .fetch_all(db)
    .await
}

/// How many cards of `platform` show another state than their last.
pub async fn waiting(db: &PgPool, platform: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*)
         from idp.card
         where platform = $1 and version > done_version",
    )
    .bind(platform)
    .fetch_one(db)
    .await
}

/// Deletes cards that have not changed for a quarter of a year.
pub async fn forget(db: &PgPool) -> sqlx::Result<()> {
    sqlx::query("delete from idp.card where changed_at < now() - interval '90 days'")
        .execute(db)
        .await?;
    Ok(())
}
