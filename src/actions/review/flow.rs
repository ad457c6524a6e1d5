//! Saying what one found of what was done without approval, and reminding of it.

use anyhow::Context;
use serde_json::json;

use super::store;
use crate::access::{Object, Person, Verb};
use crate::actions::flow::{BATCH, Desk, account_of, card_key, is_fresh, note, who};
use crate::actions::refusal::must_be_meant;
use crate::actions::vote::Voted;
use crate::actions::{handle, say, store as requests, unknown};
use crate::announcements;
use crate::conversation::Way;
use crate::error::Result;

/// So often is reminded of one, a week apart.
const REMINDERS_MAX: i32 = 12;

/// Writes down what `person` found of a request that was done without approval.
///
/// # Errors
/// What needs no review; who did it, or could not have approved it; the database.
pub async fn review(
    desk: &Desk<'_>,
    typed: &str,
    person: &Person,
    way: Way,
    words: &str,
) -> Result<Voted> {
    who(person)?;
    let (id, digits) = handle(typed)?;
    let what = "could not write a review down";
    let mut tx = desk.db.begin().await.context(what)?;
    let locked = requests::lock(&mut tx, id).await.context(what)?;
    let (_, request) = locked.ok_or_else(|| unknown(typed))?;
    if !is_fresh(desk, &mut tx).await.context(what)? {
        return Ok(Voted::Stale);
    }
    let whole = requests::completed(&mut tx, request).await.context(what)?;
    let request = &whole.request;
    must_be_meant(request, digits.as_deref())?;
    let meant = desk.meant(request);
    let owners = meant.all();
    let person = &Person::of(&person.speaker, desk.links, desk.snapshot);
    let by = who(person)?;
    desk.authority.authorize(person, way, Verb::Approve, Object::Entity { owners: &owners })?;
    let factors = request.rule.factors_of(person, &meant);
    let others = meant.people(desk.snapshot);
    let nobody_could = !others.iter().any(|it| *it != request.requester);
    whole.may_review(by, &factors, nobody_could)?;
    store::set(&mut tx, id, by, words).await.context(what)?;
    let body = json!({ "by": account_of(person, way), "found": words });
    note(&mut tx, "request.reviewed", request, by.as_str(), body).await.context(what)?;
    let whole = requests::whole(&mut tx, id).await.context(what)?.ok_or_else(|| unknown(typed))?;
    desk.show(&mut tx, &whole).await.context(what)?;
    let said = say::by(by, "looked at it", Some(words), desk.snapshot);
    announcements::store::say_below(&mut tx, &card_key(id), "reviewed", &said)
        .await
        .context(what)?;
    tx.commit().await.context(what)?;
    Ok(Voted::Counted(Box::new(whole)))
}

/// Reminds of what was done without approval and nobody has looked at; how many there were.
///
/// # Errors
/// The database.
pub async fn tick(desk: &Desk<'_>) -> anyhow::Result<usize> {
    let what = "could not remind of what is to be reviewed";
    let mut tx = desk.db.begin().await.context(what)?;
    let due = store::to_remind(&mut tx, REMINDERS_MAX, BATCH).await.context(what)?;
    for (id, number) in &due {
        let Some(whole) = requests::whole(&mut tx, *id).await.context(what)? else { continue };
        let meant = desk.meant(&whole.request);
        let said = say::review_reminder(&whole, &desk.scene(&whole, &meant));
        let line = format!("review reminder {number}");
        announcements::store::say_below(&mut tx, &card_key(*id), &line, &said)
            .await
            .context(what)?;
    }
    tx.commit().await.context(what)?;
    Ok(due.len())
}
