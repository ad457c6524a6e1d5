//! The SQL of announcements.

use sqlx::{PgConnection, PgPool};

use super::Announcement;
use crate::conversation::Reply;

/// What is to be said in one place.
#[derive(Debug, sqlx::FromRow)]
pub struct Waiting {
    pub key: String,
    pub channel: Option<String>,
    pub person: Option<String>,
    /// As a reply is written in JSON.
    pub reply: String,
}

/// Writes `reply` down for each place of `announcement`; what is written down already is not written again.
pub async fn write(
    db: &mut PgConnection,
    announcement: &Announcement,
    reply: &Reply,
) -> sqlx::Result<()> {
    let reply = serde_json::to_string(reply).map_err(|error| sqlx::Error::Encode(error.into()))?;
    for place in &announcement.places {
        sqlx::query(
            "insert into idp.announcement (key, platform, channel, person, reply)
             values ($1, $2, $3, $4, $5)
             on conflict do nothing",
        )
        .bind(&announcement.key)
        .bind(place.platform.word())
        .bind(&place.channel)
        .bind(&place.person)
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
           where platform <> $1 and written_at < clock_timestamp() - interval '1 day'
         ), taken as (
           delete from idp.announcement
           where platform = $1
           returning key, channel, person, reply, written_at
         )
         select key, channel, person, reply
         from taken
         order by written_at, key",
    )
    .bind(platform)
    .fetch_all(db)
    .await
}
