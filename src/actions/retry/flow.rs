//! Trying again what failed.

use anyhow::Context;
use serde_json::json;

use super::{RETRIES_MAX, store};
use crate::access::{Object, Person, Verb};
use crate::actions::flow::{Desk, account_of, card_key, is_fresh, may_ask, note, same_action, who};
use crate::actions::refusal::{may_break_glass, must_be_meant};
use crate::actions::vote::Voted;
use crate::actions::{Action, Whole, handle, say, store as requests, unknown};
use crate::announcements;
use crate::conversation::Way;
use crate::error::{Refusal, Result};

/// What of a request failed is done again: one transaction, in which it is locked.
///
/// # Errors
/// What has not failed, or too often, or too long ago; an action that was changed; who may not; the database.
pub async fn retry(desk: &Desk<'_>, typed: &str, person: &Person, way: Way) -> Result<Voted> {
    who(person)?;
    let (id, digits) = handle(typed)?;
    let what = "could not try something again";
    let mut tx = desk.db.begin().await.context(what)?;
    let locked = requests::lock(&mut tx, id).await.context(what)?;
    let (now, request) = locked.ok_or_else(|| unknown(typed))?;
    if !is_fresh(desk, &mut tx).await.context(what)? {
        return Ok(Voted::Stale);
    }
    let whole = requests::completed(&mut tx, request).await.context(what)?;
    let request = &whole.request;
    must_be_meant(request, digits.as_deref())?;
    whole.may_retry(now)?;
    let Some(action) = same_action(desk, request) else {
        return Err(request
            .settled("the action was changed since: ask for it again".into())
            .into());
    };
    let person = &Person::of(&person.speaker, desk.links, desk.snapshot);
    let by = who(person)?;
    may_retry(desk, &whole, action, person, way)?;
    let number = whole.execution.as_ref().map_or(0, |it| it.retries) + 1;
    let run = i16::try_from(number).unwrap_or(i16::MAX);
    let step = store::again(&mut tx, request, run, person).await.context(what)?;
    let body = json!({ "by": account_of(person, way), "number": number, "step": step });
    note(&mut tx, "request.retried", request, by.as_str(), body).await.context(what)?;
    let whole = requests::completed(&mut tx, whole.request).await.context(what)?;
    desk.show(&mut tx, &whole).await.context(what)?;
    let did = match step {
        Some(step) => {
            format!("tries it again from {}, {number} of {RETRIES_MAX}", say::name_of(&step))
        }
        None => format!("tries it again, {number} of {RETRIES_MAX}"),
    };
    let said = say::by(by, &did, None, desk.snapshot);
    let line = format!("retry {number}");
    announcements::store::say_below(&mut tx, &card_key(id), &line, &said).await.context(what)?;
    tx.commit().await.context(what)?;
    Ok(Voted::Counted(Box::new(whole)))
}

/// Whether `person` may have `whole` tried again.
///
/// # Errors
/// Nobody who may decide on it now, nor who asked, or who asked and those who approved it no longer may.
fn may_retry(
    desk: &Desk<'_>,
    whole: &Whole,
    action: &Action,
    person: &Person,
    way: Way,
) -> std::result::Result<(), Refusal> {
    let request = &whole.request;
    if person.user.as_ref() != Some(&request.requester) {
        let meant = desk.meant(request);
        let factors = desk.factors_of(whole, person, &meant);
        let mut owners = meant.all();
        owners.extend(person.user.clone().filter(|_| !factors.is_empty()));
        let object = Object::Entity { owners: &owners };
        desk.authority.authorize(person, way, Verb::Approve, object)?;
        return match factors.is_empty() {
            true => Err(crate::actions::nobody_asked(request)),
            false => Ok(()),
        };
    }
    let target = request.target.as_ref().and_then(|it| desk.snapshot.find(it.as_str()));
    may_ask(desk.authority, person, way, action, target, desk.snapshot)?;
    if request.break_glass.is_some() {
        return may_break_glass(action, person);
    }
    match desk.is_approved_still(whole) {
        true => Ok(()),
        false => {
            Err(request.settled("not everybody who approved it still may: ask for it again".into()))
        }
    }
}
