//! Taking down that a deployment waits, and telling GitHub that it does not go on.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Map, Value, json};
use sqlx::PgConnection;

use super::store;
use super::{comment, meant, requester, waiting};
use crate::actions::dispatch::flow::Office;
use crate::actions::flow::{Desk, WAITING_MAX, card_key, note, places};
use crate::actions::intent::intent;
use crate::actions::refusal::{cooling, frozen, nobody_could, too_many};
use crate::actions::rule::Meant;
use crate::actions::store::{self as requests, New};
use crate::actions::vote::flow::approve;
use crate::actions::{Action, State, Whole, escalation, freeze, say};
use crate::announcements;
use crate::catalog::EntityRef;
use crate::conversation::prose;
use crate::error::Refusal;
use crate::integrations::github::protection::{self, Answered, Waiting};
use crate::integrations::invocation::NotSent;

/// So many deployments are answered for at a time.
const BATCH: i64 = 5;
/// How long whoever answers for one has for it.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How often GitHub is told of one before a person has to look.
const ATTEMPTS_MAX: i32 = 20;
/// As the database has room for.
const NOTE_CHARACTERS_MAX: usize = 500;

/// What came of a deployment that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is decided on as this request.
    Asked { request: i64, is_old: bool },
    /// No action is meant by it; a sentence why.
    Nobody(String),
}

/// Writes down that GitHub asks for `waiting` in its message `delivery`, and shows its card to who decides.
///
/// What may not be asked for now is written down all the same, as void: GitHub is told why.
///
/// # Errors
/// The database.
pub async fn ask(desk: &Desk<'_>, waiting: &Waiting, delivery: &str) -> anyhow::Result<Taken> {
    let (action, target) = match meant(desk.actions, desk.snapshot, waiting) {
        Ok(meant) => meant,
        Err(why) => return Ok(Taken::Nobody(why)),
    };
    let what = "could not write a deployment down";
    let reference = &target.reference;
    let requester = requester(waiting, desk.snapshot);
    let on_call = desk.on_call(Some(reference), 1);
    let who = Meant::of(&action.rule, Some(reference), &on_call, desk.snapshot);
    let (inputs, pinned) = (Map::new(), pinned(action, waiting).context(what)?);
    let intent = intent(&action.name, &action.revision, Some(reference.as_str()), &inputs, &pinned);
    let rule = serde_json::to_value(&action.rule).context("could not write a rule")?;
    let new = New {
        action: &action.name,
        revision: &action.revision,
        target: Some(reference),
        inputs: &inputs,
        pinned: &pinned,
        intent: &intent,
        rule: &rule,
        quorum: action.rule.quorum(),
        risk: action.risk,
        requester: &requester,
        asked_by: None,
        break_glass: None,
        is_long: false,
        within_s: action.rule.within_s as f64,
        escalate_s: escalation::after(action).map(|it| it.as_secs_f64()),
    };
    let mut tx = desk.db.begin().await.context(what)?;
    requests::queue(&mut tx, "gate", &waiting.repository).await.context(what)?;
    if let Some(request) = store::known(&mut tx, waiting, delivery).await.context(what)? {
        return Ok(Taken::Asked { request, is_old: true });
    }
    for id in store::earlier(&mut tx, waiting).await.context(what)? {
        let why = "the run was started again: GitHub asks anew";
        void(desk, &mut tx, id, why).await.context(what)?;
    }
    requests::queue(&mut tx, &action.name, reference.as_str()).await.context(what)?;
    let refusal = refusal(desk, &mut tx, action, (reference, &requester), &who).await;
    let refusal = refusal.context(what)?;
    let mut request = requests::insert(&mut tx, &new).await.context(what)?;
    let id = request.id;
    store::insert(&mut tx, id, waiting, delivery).await.context(what)?;
    request.places = places(desk, action, &who, None);
    requests::set_places(&mut tx, id, &request.places).await.context(what)?;
    let by = json!({ "platform": "github", "account": waiting.sender, "delivery": delivery });
    note(&mut tx, "request.asked", &request, requester.as_str(), json!({ "by": by }))
        .await
        .context(what)?;
    match refusal {
        Some(why) => void(desk, &mut tx, id, &why).await.context(what)?,
        None => {
            if action.rule.quorum() == 0 {
                request = approve(&mut tx, action, &request, None).await.context(what)?;
            }
            let whole = requests::completed(&mut tx, request).await.context(what)?;
            desk.show(&mut tx, &whole).await.context(what)?;
        }
    }
    tx.commit().await.context(what)?;
    Ok(Taken::Asked { request: id, is_old: false })
}

/// What is fixed for the one step of `action`.
fn pinned(action: &Action, waiting: &Waiting) -> anyhow::Result<Map<String, Value>> {
    let waiting = serde_json::to_value(waiting)?;
    Ok(action.steps.iter().map(|step| (step.name.clone(), waiting.clone())).collect())
}

/// Why `action` may not be asked for now; `None`: it may.
async fn refusal(
    desk: &Desk<'_>,
    db: &mut PgConnection,
    action: &Action,
    (target, requester): (&EntityRef, &EntityRef),
    who: &Meant,
) -> sqlx::Result<Option<String>> {
    if let Some((freeze, until)) = freeze::holding(&action.freezes, desk.now) {
        return Ok(Some(said(frozen(action, &freeze.why, until))));
    }
    if !action.rule.could_be_met(who, requester, desk.snapshot) {
        return Ok(Some(said(nobody_could(action, who))));
    }
    if requests::waiting(db, requester).await? >= WAITING_MAX {
        return Ok(Some(said(too_many())));
    }
    if let Some(cooldown) = action.cooldown {
        let left = requests::cooling(db, &action.name, Some(target), cooldown.as_secs_f64());
        if let Some(left) = left.await?.filter(|left| *left > 0.0) {
            return Ok(Some(said(cooling(action, left))));
        }
    }
    Ok(None)
}

/// What a refusal says, where nobody is there to try again.
fn said(refusal: Refusal) -> String {
    let said = match refusal {
        Refusal::NotAllowed { rule, .. } => rule,
        other => other.to_string(),
    };
    said.replace('`', "'").trim_end_matches('.').chars().take(NOTE_CHARACTERS_MAX).collect()
}

/// The request `id` ends: what it asks for cannot be, or not any more.
async fn void(desk: &Desk<'_>, db: &mut PgConnection, id: i64, why: &str) -> sqlx::Result<()> {
    let request = requests::decide(db, id, State::Void, None, Some(why)).await?;
    note(db, "request.void", &request, "", json!({ "why": why })).await?;
    let whole = requests::completed(db, request).await?;
    desk.show(db, &whole).await
}

/// Tells GitHub of deployments that do not go on; how many there were.
///
/// # Errors
/// The database.
pub async fn tick(office: &Office) -> anyhow::Result<usize> {
    let what = "could not look for deployments that do not go on";
    let mut connection = office.db.acquire().await.context(what)?;
    store::close(&mut connection).await.context(what)?;
    let claimed = store::claim(&mut connection, ANSWER_WITHIN.as_secs_f64(), BATCH).await;
    let claimed = claimed.context(what)?;
    drop(connection);
    for (id, attempts) in &claimed {
        reject(office, *id, *attempts).await?;
    }
    Ok(claimed.len())
}

/// Tells GitHub that the deployment of the request `id` does not go on.
async fn reject(office: &Office, id: i64, attempts: i32) -> anyhow::Result<()> {
    let what = "could not write down what GitHub was told";
    let mut connection = office.db.acquire().await.context(what)?;
    let whole = requests::whole(&mut connection, id).await.context(what)?;
    drop(connection);
    let Some(whole) = whole else { return Ok(()) };
    let Some(waiting) = waiting(&whole.request) else { return Ok(()) };
    let comment = comment(&whole, &office.snapshot);
    let desk = office.desk();
    let (answer, line) = match protection::answer(&desk.means, &waiting, false, &comment).await {
        Ok(Answered::Told) => ("rejected", "GitHub was told: the deployment is rejected.".into()),
        Ok(Answered::WentOn) => {
            ("gone", "⚠️ GitHub let the deployment go on before it was told.".into())
        }
        Ok(Answered::Over(why)) => ("gone", why),
        Err(NotSent::Refused { why }) => ("unknown", not_told(&why)),
        Err(error) if attempts >= ATTEMPTS_MAX => ("unknown", not_told(&error.to_string())),
        Err(error) => {
            // Its time comes again.
            let error = error.to_string();
            tracing::warn!(request = id, error, "could not tell GitHub of a deployment");
            return Ok(());
        }
    };
    let mut tx = office.db.begin().await.context(what)?;
    if store::answer(&mut tx, id, answer).await.context(what)? {
        written(&mut tx, &whole, answer, line).await.context(what)?;
    }
    tx.commit().await.context(what)
}

async fn written(
    db: &mut PgConnection,
    Whole { request, .. }: &Whole,
    answer: &str,
    line: String,
) -> sqlx::Result<()> {
    let body = json!({ "answer": answer, "why": line });
    note(db, "request.answered", request, "", body).await?;
    announcements::store::say_below(db, &card_key(request.id), "answered", &say::line(prose(&line)))
        .await
}

fn not_told(why: &str) -> String {
    format!("⚠️ GitHub could not be told: reject the deployment there. {why}")
}
