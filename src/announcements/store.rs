//! The SQL of announcements and cards, as whoever has something to say writes it.

use sqlx::{PgConnection, PgPool};

use super::{Announcement, Place};
use crate::conversation::Reply;

/// What is to be said in one place.
#[derive(Debug, sqlx::FromRow)]
pub struct Waiting {
    pub key: String,
    pub channel: Option<String>,
    pub person: Option<String>,
    pub thread: Option<String>,
    /// As a reply is written in JSON.
    pub reply: String,
}

/// Writes `reply` down for each place of `announcement`; what is written down already is not written again.
pub async fn write(
    db: &mut PgConnection,
    announcement: &Announcement,
    reply: &Reply,
) -> sqlx::Result<()> {
    let reply = encoded(reply)?;
    for place in &announcement.places {
        sqlx::query(
            "insert into idp.announcement (key, platform, channel, person, thread, reply)
             values ($1, $2, $3, $4, $5, $6)
             on conflict do nothing",
        )
        .bind(&announcement.key)
        .bind(place.platform.word())
        .bind(&place.channel)
        .bind(&place.person)
        .bind(&place.thread)
        .bind(&reply)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// Whether anything waits for `platform`.
pub async fn is_any(db: &PgPool, platform: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar("select exists (select from idp.announcement where platform = $1)")
        .bind(platform)
        .fetch_one(db)
        .await
}

/// Takes what waits for `platform`, the oldest first, and forgets what waited for a day for another that is not there.
pub async fn take(db: &mut PgConnection, platform: &str) -> sqlx::Result<Vec<Waiting>> {
    sqlx::query_as(
        "with forgotten as (
           delete from idp.announcement
           where platform <> $1 and written_at < now() - interval '1 day'
         ), taken as (
           delete from idp.announcement
           where platform = $1
           returning key, channel, person, thread, reply, written_at
         )
         select key, channel, person, thread, reply
         from taken
         order by written_at, key",
    )
    .bind(platform)
    .fetch_all(db)
    .await
}

/// What is said under `key` is `reply` from now on: in each of `places`, and wherever else it was said under this key.
/// Each is one message, which is edited in place once it is there; of its text alone, with its buttons.
pub async fn show(
    db: &mut PgConnection,
    key: &str,
    places: &[Place],
    reply: &Reply,
) -> sqlx::Result<()> {
    let reply = encoded(reply)?;
    // Two that show the same do so one after the other, and hold its cards in no order.
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('idp.card ' || $1, 0))")
        .bind(key)
        .execute(&mut *db)
        .await?;
    sqlx::query(
        "update idp.card
         set reply = $2, version = version + 1, attempts = 0, changed_at = clock_timestamp()
         where key = $1 and reply <> $2",
    )
    .bind(key)
    .bind(&reply)
    .execute(&mut *db)
    .await?;
    for place in places {
        sqlx::query(
            "insert into idp.card (key, platform, channel, person, thread, reply)
             values ($1, $2, $3, $4, $5, $6)
             on conflict do nothing",
        )
        .bind(key)
        .bind(place.platform.word())
        .bind(&place.channel)
        .bind(&place.person)
        .bind(&place.thread)
        .bind(&reply)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// What is shown under `key` is decided: a card that somebody deletes is not posted again.
pub async fn end(db: &mut PgConnection, key: &str) -> sqlx::Result<()> {
    sqlx::query(
        "update idp.card
         set live = false
         where key = $1",
    )
    .bind(key)
    .execute(db)
    .await?;
    Ok(())
}

/// `reply` is said in the thread below each card that is shown under `key` by now, once for each `id`, in the order in
/// which it is asked for: after the card itself is there.
pub async fn say_below(
    db: &mut PgConnection,
    key: &str,
    id: &str,
    reply: &Reply,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into idp.card_line (card_id, line, reply)
         select id, $2, $3
         from idp.card
         where key = $1
         order by id
         on conflict do nothing",
    )
    .bind(key)
    .bind(id)
    .bind(encoded(reply)?)
    .execute(db)
    .await?;
    Ok(())
}

fn encoded(reply: &Reply) -> sqlx::Result<String> {
    serde_json::to_string(reply).map_err(|error| sqlx::Error::Encode(error.into()))
}
