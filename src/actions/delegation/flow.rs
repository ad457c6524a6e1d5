//! Handing a decision on.

use anyhow::Context;
use serde_json::json;

use super::{any_account_of, store};
use crate::access::{Object, Person, Verb};
use crate::actions::flow::{Desk, account_of, card_key, is_fresh, note, same_action, void, who};
use crate::actions::refusal::must_be_meant;
use crate::actions::vote::Voted;
use crate::actions::{Action, gate, handle, late, own, say, store as requests, unknown};
use crate::announcements::{self, Place};
use crate::catalog::EntityRef;
use crate::conversation::Way;
use crate::error::{Refusal, Result};

/// What somebody hands on.
pub struct Handing<'a> {
    /// The request's number, with the digits of its intent where they were given.
    pub handle: &'a str,
    pub person: &'a Person,
    pub way: Way,
    /// A User.
    pub to: &'a EntityRef,
    pub note: Option<String>,
}

/// Writes down who decides in place of somebody, and tells them: one transaction, in which the request is locked.
///
/// # Errors
/// Who may not; to whom it is not; an action that does not let it; what has ended; the database.
pub async fn delegate(desk: &Desk<'_>, handing: Handing<'_>) -> Result<Voted> {
    who(handing.person)?;
    let (id, digits) = handle(handing.handle)?;
    let what = "could not write down who decides";
    let mut tx = desk.db.begin().await.context(what)?;
    let locked = requests::lock(&mut tx, id).await.context(what)?;
    let (now, request) = locked.ok_or_else(|| unknown(handing.handle))?;
    if !is_fresh(desk, &mut tx).await.context(what)? {
        return Ok(Voted::Stale);
    }
    let mut whole = requests::completed(&mut tx, request).await.context(what)?;
    must_be_meant(&whole.request, digits.as_deref())?;
    whole.must_be_open(now)?;
    let Some(action) = same_action(desk, &whole.request) else {
        let whole = void(desk, &mut tx, whole).await.context(what)?;
        tx.commit().await.context(what)?;
        return Err(whole.ended().into());
    };
    if !action.delegates {
        return Err(not_let(action).into());
    }
    let meant = desk.meant(&whole.request);
    let owners = meant.all();
    let person = &Person::of(&handing.person.speaker, desk.links, desk.snapshot);
    let (by, to) = (who(person)?.clone(), handing.to);
    desk.authority.authorize(
        person,
        handing.way,
        Verb::Approve,
        Object::Entity { owners: &owners },
    )?;
    if [&by, to].into_iter().any(|it| gate::is_theirs(&whole.request, it, desk.snapshot)) {
        return Err(own(&whole.request).into());
    }
    let rule = &whole.request.rule;
    let factors = rule.factors_of(person, &meant);
    let of_to = rule.factors_of(&any_account_of(to, desk.links, desk.snapshot), &meant);
    whole.may_hand_on(&by, &factors, to, &of_to, now)?;
    let why = handing.note.as_deref();
    let is_in_time = store::insert(&mut tx, &whole.request, person, to, &factors, why).await;
    if !is_in_time.context(what)? {
        return Err(late(&whole.request).into());
    }
    let told = Place::of(to, desk.snapshot, desk.links, desk.connected);
    let places = &mut whole.request.places;
    places.extend(told.filter(|it| !places.contains(it)));
    requests::set_places(&mut tx, id, &whole.request.places).await.context(what)?;
    let body = json!({
        "by": account_of(person, handing.way), "to": to, "factors": factors, "note": why,
    });
    note(&mut tx, "request.delegated", &whole.request, by.as_str(), body).await.context(what)?;
    let whole = requests::completed(&mut tx, whole.request).await.context(what)?;
    desk.show(&mut tx, &whole).await.context(what)?;
    let said = say::handed_on(&by, to, why, desk.links, desk.snapshot);
    let line = format!("delegated {by}");
    announcements::store::say_below(&mut tx, &card_key(id), &line, &said).await.context(what)?;
    tx.commit().await.context(what)?;
    Ok(Voted::Counted(Box::new(whole)))
}

fn not_let(action: &Action) -> Refusal {
    Refusal::NotAllowed {
        rule: format!("Nobody hands a decision on `{}` on.", action.name),
        next: "Its file would have to say `delegate: true` in `approve`.".into(),
        instead: Vec::new(),
    }
}
