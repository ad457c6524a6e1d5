//! Taking down what somebody says to a request: who may, what they prove, and what becomes of it.

use anyhow::Context;
use serde_json::json;
use sqlx::PgConnection;

use super::{Ballot, Voted};
use crate::access::{Object, Person, Verb, totp};
use crate::actions::file::START_WITHIN;
use crate::actions::flow::{Desk, account_of, card_key, is_fresh, note, same_action, void, who};
use crate::actions::message::Occasion;
use crate::actions::refusal::{must_be_meant, no_code, no_reason, not_opened, not_typed};
use crate::actions::store::{self, NewStep, NewVote};
use crate::actions::{
    Action, AtOnce, Proof, Request, Risk, State, Verdict, Whole, dispatch, gate, handle, late, own,
    say, unknown,
};
use crate::announcements;
use crate::catalog::EntityRef;
use crate::error::Result;
use crate::fail_point::reached;

/// Writes down what somebody says to a request, and what becomes of it: one transaction, in which it is locked.
///
/// # Errors
/// Who may not; what has ended; a second vote; what was not opened, typed or proved; another definition of the action;
/// the database.
pub async fn vote(desk: &Desk<'_>, ballot: Ballot<'_>) -> Result<Voted> {
    who(ballot.person)?;
    let (id, digits) = handle(ballot.handle)?;
    let what = "could not write down what was decided";
    let mut tx = desk.db.begin().await.context(what)?;
    let locked = store::lock(&mut tx, id).await.context(what)?;
    let (now, request) = locked.ok_or_else(|| unknown(ballot.handle))?;
    reached("vote-locked");
    if !is_fresh(desk, &mut tx).await.context(what)? {
        return Ok(Voted::Stale);
    }
    let whole = store::completed(&mut tx, request).await.context(what)?;
    let request = &whole.request;
    must_be_meant(request, digits.as_deref())?;
    whole.must_be_open(now)?;
    let Some(action) = same_action(desk, request) else {
        let whole = void(desk, &mut tx, whole).await.context(what)?;
        tx.commit().await.context(what)?;
        return Err(whole.ended().into());
    };
    let meant = desk.meant(request);
    // Who they are by what the database says now, not by what was known when they clicked.
    let person = &Person::of(&ballot.person.speaker, desk.links, desk.snapshot);
    let by = who(person)?.clone();
    let factors = desk.factors_of(&whole, person, &meant);
    let mut owners = meant.all();
    // Whom somebody handed their decision to is asked as they were.
    owners.extend((!factors.is_empty()).then(|| by.clone()));
    let object = Object::Entity { owners: &owners };
    desk.authority.authorize(person, ballot.way, Verb::Approve, object)?;
    reached("vote-authorized");
    if gate::is_theirs(request, &by, desk.snapshot) {
        return Err(own(request).into());
    }
    let state = whole.vote(&by, ballot.verdict, &factors, now)?;
    let mut proof = Proof::Click;
    if ballot.verdict == Verdict::Approve {
        if request.is_long && !store::has_opened(&mut tx, id, &by).await.context(what)? {
            return Err(not_opened(request).into());
        }
        proof = match proved(desk, &mut tx, request, &by, &ballot).await {
            Ok(proof) => proof,
            Err(error) => {
                // That a code was wrong is counted, whatever else is not done.
                tx.commit().await.context(what)?;
                return Err(error);
            }
        };
    } else if ballot.note.is_none() {
        return Err(no_reason(request).into());
    }
    let vote = NewVote {
        person: &by,
        verdict: ballot.verdict,
        factors: &factors,
        account: &person.speaker,
        generation: person.link.as_ref().map_or(0, |it| it.generation),
        proof,
        note: ballot.note.as_deref(),
    };
    let Some(said_at) = store::insert_vote(&mut tx, request, &vote).await.context(what)? else {
        return Err(late(request).into());
    };
    reached("vote-written");
    let body = json!({
        "by": account_of(person, ballot.way),
        "verdict": ballot.verdict.word(),
        "factors": factors,
        "proof": proof.word(),
        "note": ballot.note,
        "shown": digits,
    });
    note(&mut tx, "request.vote", request, by.as_str(), body).await.context(what)?;
    reached("vote-noted");
    let request = match state {
        State::Approved => approve(&mut tx, action, request, Some(&by)).await,
        state => {
            let decided =
                store::decide(&mut tx, id, state, ended_by(state, &by), ballot.note.as_deref());
            decided.await
        }
    };
    let request = request.context(what)?;
    if request.state == State::Denied {
        store::forget_secrets(&mut tx, id).await.context(what)?;
        note(&mut tx, "request.denied", &request, by.as_str(), json!({})).await.context(what)?;
    }
    let whole = match state {
        State::Approved => store::completed(&mut tx, request).await.context(what)?,
        _ => Whole { votes: [&*whole.votes, &[vote.said(said_at)]].concat(), request, ..whole },
    };
    desk.show(&mut tx, &whole).await.context(what)?;
    reached("vote-shown");
    let did = match (ballot.verdict, state) {
        (Verdict::Deny, _) => "denied it",
        (Verdict::Approve, State::Approved) => "approved it: it begins",
        (Verdict::Approve, _) => "approved it",
    };
    let occasion = match state {
        State::Approved => Some(Occasion::Approved),
        State::Denied => Some(Occasion::Denied),
        _ => None,
    };
    let message = |it| action.messages.say(it, &whole.request, desk.snapshot);
    let said = say::by(&by, did, ballot.note.as_deref(), desk.snapshot);
    let said = say::with(said, occasion.and_then(message));
    let line = format!("vote {by}");
    announcements::store::say_below(&mut tx, &card_key(id), &line, &said).await.context(what)?;
    reached("vote-said");
    tx.commit().await.context(what)?;
    reached("vote-committed");
    Ok(Voted::Counted(Box::new(whole)))
}

fn ended_by(state: State, by: &EntityRef) -> Option<&EntityRef> {
    (state != State::Pending).then_some(by)
}

/// What whoever approves did to show that it is them.
///
/// # Errors
/// A name that was not typed, or typed wrong; a one-time password that is missing or not good.
async fn proved(
    desk: &Desk<'_>,
    db: &mut PgConnection,
    request: &Request,
    by: &EntityRef,
    ballot: &Ballot<'_>,
) -> Result<Proof> {
    if request.risk == Risk::Low {
        return Ok(Proof::Click);
    }
    let name = request.target_name(desk.snapshot).unwrap_or(&request.action);
    let typed = ballot.confirmed.map(str::trim);
    if !typed.is_some_and(|typed| typed.eq_ignore_ascii_case(name)) {
        return Err(not_typed(request, name).into());
    }
    if request.risk == Risk::Medium {
        return Ok(Proof::Typed);
    }
    let code = ballot.code.ok_or_else(|| no_code(request, name))?;
    totp::flow::verify(db, desk.key, by, code).await?;
    Ok(Proof::OneTimePassword)
}

/// The request is approved, and what it asks for is to be done.
pub(in crate::actions) async fn approve(
    db: &mut PgConnection,
    action: &Action,
    request: &Request,
    by: Option<&EntityRef>,
) -> sqlx::Result<Request> {
    let approved = store::decide(db, request.id, State::Approved, by, None).await?;
    reached("approve-decided");
    let lane = match (action.at_once, &request.target) {
        (AtOnce::Target, Some(target)) => Some(format!("target {target}")),
        (AtOnce::Target | AtOnce::Action, _) => Some(format!("action {}", action.name)),
        (AtOnce::Any, _) => None,
    };
    let steps: Vec<NewStep<'_>> = action
        .steps
        .iter()
        .map(|it| NewStep { name: &it.name, class: dispatch::word(it.receiver.class()) })
        .collect();
    let within = START_WITHIN.as_secs_f64();
    store::insert_execution(db, &approved, lane.as_deref(), within, &steps).await?;
    reached("approve-execution");
    let body = json!({ "class": steps.iter().map(|it| it.class).collect::<Vec<_>>() });
    note(db, "request.approved", &approved, by.map_or("", EntityRef::as_str), body).await?;
    Ok(approved)
}
