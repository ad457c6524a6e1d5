//! Calling the next level on call.

use anyhow::Context;
use serde_json::json;

use super::{Next, next, store};
use crate::actions::flow::{BATCH, Desk, card_key, note};
use crate::actions::{say, store as requests};
use crate::announcements::{self, Place};
use crate::catalog::EntityRef;
use crate::on_call;

/// Calls the next level on call of what waits for long; how many were looked at.
///
/// # Errors
/// The database.
pub async fn tick(desk: &Desk<'_>) -> anyhow::Result<usize> {
    let what = "could not call who is on call next";
    let mut tx = desk.db.begin().await.context(what)?;
    let due = store::due(&mut tx, BATCH).await.context(what)?;
    for id in &due {
        call(desk, &mut tx, *id).await.context(what)?;
    }
    tx.commit().await.context(what)?;
    Ok(due.len())
}

async fn call(desk: &Desk<'_>, db: &mut sqlx::PgConnection, id: i64) -> sqlx::Result<()> {
    let Some(mut whole) = requests::whole(db, id).await? else { return Ok(()) };
    let target = whole.request.target.as_ref().and_then(|it| desk.snapshot.find(it.as_str()));
    let manned = target.map(|it| on_call::manned(desk.rotas, desk.snapshot, it, desk.now));
    let manned = manned.unwrap_or_default();
    let (level, after) = match next(&whole, &manned) {
        Next::Never => return store::set(db, id, false, None).await,
        Next::Later(after) => return store::set(db, id, false, Some(after)).await,
        Next::Call(level, after) => (level, after),
    };
    store::set(db, id, true, after).await?;
    whole.request.level += 1;
    let people: Vec<EntityRef> = level.people.iter().map(|it| it.who.clone()).collect();
    for who in &people {
        let told = Place::of(who, desk.snapshot, desk.links, desk.connected);
        let places = &mut whole.request.places;
        let told = told.filter(|it| !places.contains(it));
        places.extend(told);
    }
    requests::set_places(db, id, &whole.request.places).await?;
    let body = json!({ "level": level.number, "called": whole.request.level, "people": people });
    note(db, "request.escalated", &whole.request, "", body).await?;
    desk.show(db, &whole).await?;
    let said = say::called(&whole.request, level.number, &people, desk.links, desk.snapshot);
    let line = format!("level {}", whole.request.level);
    announcements::store::say_below(db, &card_key(id), &line, &said).await
}
