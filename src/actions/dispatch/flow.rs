//! Claiming what was approved, sending it, following it to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgPool;
use tokio::time::{sleep, timeout};

use super::order::flow::order;
use super::store::{self, Claimed, Found, StepRow};
use super::{
    Approach, LEASE, LOOK_AFTER_MAX, Next, PATIENCE, SEND_WITHIN, Stage, Turn, after, approach,
    looked, sent, turn,
};
use crate::access::{Authority, Links, Person};
use crate::actions::flow::{Desk, account_of, card_key, is_fresh, note};
use crate::actions::message::Occasion;
use crate::actions::store as requests;
use crate::actions::{Action, ActionSet, Progress, Request, Risk, Whole, freeze, retry, say};
use crate::announcements;
use crate::catalog::Snapshot;
use crate::config::SecretReference;
use crate::conversation::Platform;
use crate::fail_point::reached;
use crate::integrations::http::Client;
use crate::integrations::invocation::{self, Class, Means, NotSent, Order, Outcome, Sent, Status};
use crate::integrations::{Integrations, github};
use crate::on_call::Rotas;
use crate::vault::Key;

/// How many things one process does at a time.
const AT_ONCE: i64 = 32;
/// How long what waits for its lane, or for the end of an emergency stop, waits before it is looked at again.
const TURN_AFTER: Duration = Duration::from_secs(2);
/// How often, after a failover, who says by itself how it goes is asked once more.
const ASKED_AGAIN_MAX: u32 = 3;
/// How long a freeze is slept over at most: the action's file may change meanwhile.
const FREEZE_AFTER_MAX: Duration = Duration::from_secs(60);

/// All that doing something takes, as it is at one moment.
pub struct Office {
    pub db: PgPool,
    /// The name of this process among all of them.
    pub owner: String,
    pub key: Key,
    pub actions: Arc<ActionSet>,
    pub snapshot: Arc<Snapshot>,
    pub links: Arc<Links>,
    pub authority: Authority,
    pub connected: Vec<Platform>,
    pub rotas: Arc<Rotas>,
    /// Where it is said, too, that something is done without approval.
    pub alarm: Vec<(Platform, String)>,
    pub http: Client,
    pub integrations: Integrations,
    pub secrets: BTreeMap<String, SecretReference>,
    pub tokens: Arc<github::Tokens>,
    /// Where receivers reach this idp; `None`: nowhere.
    pub public_url: Option<String>,
    pub now: DateTime<Utc>,
}

impl Office {
    pub fn desk(&self) -> Desk<'_> {
        Desk {
            db: &self.db,
            key: &self.key,
            actions: &self.actions,
            snapshot: &self.snapshot,
            links: &self.links,
            authority: &self.authority,
            connected: &self.connected,
            means: self.means(),
            rotas: &self.rotas,
            alarm: &self.alarm,
            now: self.now,
        }
    }

    fn means(&self) -> Means<'_> {
        Means {
            http: &self.http,
            now: self.now,
            integrations: &self.integrations,
            secrets: &self.secrets,
            tokens: &self.tokens,
            patience: PATIENCE,
        }
    }
}

/// What this process is to do now.
///
/// # Errors
/// The database.
pub async fn claim(db: &PgPool, owner: &str) -> anyhow::Result<Vec<Claimed>> {
    let claimed = store::claim(db, owner, LEASE.as_secs_f64(), AT_ONCE).await;
    claimed.context("could not look for what is to be done")
}

/// Does what `claimed` says as far as it goes now, and lets go of it. The lease is renewed meanwhile; where it is lost,
/// whoever has it goes on.
///
/// # Errors
/// The database's: its lease ends, and it is taken up again.
pub async fn advance(office: &Office, claimed: &Claimed) -> anyhow::Result<()> {
    let beat = async {
        loop {
            sleep(LEASE / 3).await;
            let renewed =
                store::renew(&office.db, claimed.request, &office.owner, LEASE.as_secs_f64());
            if !matches!(renewed.await, Ok(true)) {
                return;
            }
        }
    };
    tokio::select! {
        done = go_on(office, claimed) => done,
        () = beat => bail!("the lease on request {} was lost", claimed.request),
    }
}

async fn go_on(office: &Office, claimed: &Claimed) -> anyhow::Result<()> {
    let id = claimed.request;
    let mut connection = office.db.acquire().await?;
    let whole = requests::whole(&mut connection, id).await?.context("a request is gone")?;
    drop(connection);
    reached("work-read");
    let action = office.actions.find(&whole.request.action);
    let same = action.filter(|it| it.revision == whole.request.revision);
    if claimed.state == Progress::Ready {
        let Some(action) = same else {
            return end(
                office,
                &whole.request,
                Progress::Void,
                Some("the action was changed since"),
            )
            .await;
        };
        if !begun(office, claimed, &whole, action).await? {
            return Ok(());
        }
    }
    // What runs was sent as its file said then; without it nothing is known of where.
    let Some(action) = same else {
        let why = "the action's file was changed while it ran: look at the receiver";
        return ask_a_person(office, &whole.request, why).await;
    };
    steps(office, claimed, &whole.request, action).await
}

/// Whether it is begun now; otherwise it was let go of, or has ended.
async fn begun(
    office: &Office,
    claimed: &Claimed,
    whole: &Whole,
    action: &Action,
) -> anyhow::Result<bool> {
    let (id, request) = (claimed.request, &whole.request);
    if claimed.is_late {
        let why = "it could not begin in time: ask again";
        end(office, request, Progress::Void, Some(why)).await?;
        return Ok(false);
    }
    let is_frozen =
        freeze::holding(&action.freezes, office.now).filter(|_| request.break_glass.is_none());
    if let Some((freeze, until)) = is_frozen {
        let left = (until - office.now).to_std().unwrap_or_default().min(FREEZE_AFTER_MAX);
        let why = format!("frozen: {}", freeze.why);
        wait(office, id, left, Some(&why)).await?;
        return Ok(false);
    }
    if request.risk == Risk::High && request.break_glass.is_none() {
        let mut connection = office.db.acquire().await?;
        let knows = is_fresh(&office.desk(), &mut connection).await;
        drop(connection);
        if !knows.context("could not look whether people changed")? {
            let why = "who may decide changed a moment ago";
            wait(office, id, TURN_AFTER, Some(why)).await?;
            return Ok(false);
        }
        if let Some(why) = no_longer_approved(office, whole) {
            hold(office, request, &why).await?;
            return Ok(false);
        }
    }
    let what = "could not begin what was approved";
    let mut tx = office.db.begin().await.context(what)?;
    let timeout_s = action.timeout.as_secs_f64();
    match store::begin(&mut tx, id, &office.owner, timeout_s).await {
        Ok(true) => {}
        Ok(false) => {
            drop(tx);
            let why = "it waits for its turn";
            wait(office, id, TURN_AFTER, Some(why)).await?;
            return Ok(false);
        }
        // Of two of one lane that began at one moment the database took one.
        Err(error) if is_taken(&error) => {
            drop(tx);
            wait(office, id, TURN_AFTER, Some("it waits for its turn")).await?;
            return Ok(false);
        }
        Err(error) => return Err(error).context(what),
    }
    reached("begin-written");
    note(&mut tx, "request.begun", request, "", json!({ "process": office.owner }))
        .await
        .context(what)?;
    show(office, &mut tx, id).await.context(what)?;
    reached("begin-shown");
    tx.commit().await.context(what)?;
    reached("begin-committed");
    Ok(true)
}

fn is_taken(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// Why those who approved something of high risk could not do so now; `None`: they could.
fn no_longer_approved(office: &Office, whole: &Whole) -> Option<String> {
    (!office.desk().is_approved_still(whole)).then(|| {
        "not everybody who approved it still may: somebody who may looks at it and asks again"
            .into()
    })
}

/// Does the steps whose turn it is, one after another, until one has to wait.
async fn steps(
    office: &Office,
    claimed: &Claimed,
    request: &Request,
    action: &Action,
) -> anyhow::Result<()> {
    let id = claimed.request;
    loop {
        let mut connection = office.db.acquire().await?;
        let rows = store::steps(&mut connection, id).await?;
        drop(connection);
        let (written, named) = (rows.len(), action.steps.len());
        ensure!(
            written == named,
            "of request {id} {written} steps are written down, its action has {named}"
        );
        let stages: Vec<Stage> = rows.iter().map(|it| it.stage).collect();
        let place = match turn(&action.steps, &stages) {
            Turn::Succeeded => return end(office, request, Progress::Succeeded, None).await,
            Turn::Failed => return end(office, request, Progress::Failed, None).await,
            Turn::Wait => {
                return ask_a_person(office, request, "nobody knows whether a step ran").await;
            }
            Turn::Skip(place) => {
                let found = Found { stage: Some(Stage::Skipped), ..Found::default() };
                write(office, request, rows[place].number, &found).await?;
                continue;
            }
            Turn::Do(place) => place,
        };
        if claimed.is_overdue && stages[place] != Stage::Ready {
            let why = "it takes longer than its file lets it: look at the receiver";
            let found = Found { stage: Some(Stage::Unknown), note: Some(why), ..Found::default() };
            write(office, request, rows[place].number, &found).await?;
            continue;
        }
        if !step(office, claimed, request, action, place, &rows).await? {
            return Ok(());
        }
    }
}

/// Does one step as far as it goes; whether the next may follow, otherwise it was let go of.
async fn step(
    office: &Office,
    claimed: &Claimed,
    request: &Request,
    action: &Action,
    place: usize,
    rows: &[StepRow],
) -> anyhow::Result<bool> {
    let (row, receiver) = (&rows[place], &action.steps[place].receiver);
    let class = receiver.class();
    let order = order(office, request, action, place, rows).await?;
    reached("step-ordered");
    let is_asked_again = claimed.is_other_history
        && class == Class::Idempotent
        && !receiver.is_followed()
        && row.attempts < ASKED_AGAIN_MAX;
    if row.stage == Stage::Running && !is_asked_again {
        return follow(office, request, action, place, row, &order).await;
    }
    match approach(class, row.stage, claimed.is_other_history) {
        // What another history was told of how it goes is lost: whoever has it is asked with the key that it knows.
        Approach::Send if row.stage == Stage::Running => doubt(office, request, row).await?,
        Approach::Send => {}
        Approach::AskAPerson => {
            let why = "whoever sent it did not learn what became of it";
            let found = Found { stage: Some(Stage::Unknown), note: Some(why), ..Found::default() };
            write(office, request, row.number, &found).await?;
            return Ok(true);
        }
        Approach::FindThenSend => {
            // What another history knew of it is lost: it may have been sent until a moment ago.
            if row.stage == Stage::Ready {
                doubt(office, request, row).await?;
            }
            let age = row.sent_at.map(|it| (office.now - it).to_std().unwrap_or_default());
            let left = receiver.listing_lag().saturating_sub(age.unwrap_or_default());
            if !left.is_zero() {
                wait(office, claimed.request, left, Some("it is looked for")).await?;
                return Ok(false);
            }
            let found = invocation::find(receiver, &office.means(), &order).await;
            reached("step-looked-for");
            match found {
                Ok(Some(found)) => return arrived(office, request, row, &found).await,
                Ok(None) => {}
                Err(error) => {
                    let next = after(class, row.attempts.max(1), true, &error);
                    return not_arrived(office, request, row, next).await;
                }
            }
        }
    }
    let ready_until = Instant::now() + SEND_WITHIN;
    let for_s = (PATIENCE + SEND_WITHIN).as_secs_f64();
    let is_ours =
        store::about_to_send(&office.db, claimed.request, row.number, &office.owner, for_s);
    if !is_ours.await.context("could not write down that something is sent")? {
        wait(office, claimed.request, TURN_AFTER, Some("it waits: nothing is begun right now"))
            .await?;
        return Ok(false);
    }
    reached("step-written-down");
    if Instant::now() > ready_until {
        // Frozen since: somebody else may have it.
        bail!("request {} was held too long before it was sent", claimed.request);
    }
    reached("step-last-look");
    let means = office.means();
    let sending = timeout(PATIENCE, invocation::send(receiver, &means, &order));
    let sent = sending.await.unwrap_or_else(|_| Err(NotSent::unknown("It takes too long.")));
    reached("step-sent");
    match sent {
        Ok(sent) => arrived(office, request, row, &sent).await,
        Err(error) => {
            let was_in_doubt = row.stage == Stage::Sending;
            let next = after(class, row.attempts + 1, was_in_doubt, &error);
            not_arrived(office, request, row, next).await
        }
    }
}

/// A step, of which another history may have known more, may have been sent a moment ago.
async fn doubt(office: &Office, request: &Request, row: &StepRow) -> anyhow::Result<()> {
    let doubted = store::doubt(&office.db, request.id, row.number, &office.owner);
    doubted.await.context("could not write down that a step is in doubt")
}

/// The receiver has the step.
async fn arrived(
    office: &Office,
    request: &Request,
    row: &StepRow,
    found: &Sent,
) -> anyhow::Result<bool> {
    let Next::Stage { stage, note } = sent(found) else { return Ok(true) };
    let (reference, url, outputs) = match found {
        Sent::Started { reference, url } => (reference.as_deref(), url.as_deref(), None),
        Sent::Finished { outcome: Outcome::Succeeded { outputs } } => (None, None, Some(outputs)),
        Sent::Finished { outcome: Outcome::Failed { .. } } => (None, None, None),
    };
    let found = Found { stage: Some(stage), reference, url, outputs, note: note.as_deref() };
    write(office, request, row.number, &found).await?;
    Ok(true)
}

async fn not_arrived(
    office: &Office,
    request: &Request,
    row: &StepRow,
    next: Next,
) -> anyhow::Result<bool> {
    match next {
        Next::Stage { stage, note } => {
            let note = note.as_deref();
            let found = Found { stage: Some(stage), note, ..Found::default() };
            write(office, request, row.number, &found).await?;
            Ok(true)
        }
        Next::Again { stage, after, note } => {
            let found = Found { stage: Some(stage), note: Some(&note), ..Found::default() };
            write(office, request, row.number, &found).await?;
            wait(office, request.id, after, None).await?;
            Ok(false)
        }
    }
}

/// Looks how a step goes that runs.
async fn follow(
    office: &Office,
    request: &Request,
    action: &Action,
    place: usize,
    row: &StepRow,
    order: &Order,
) -> anyhow::Result<bool> {
    let receiver = &action.steps[place].receiver;
    if !receiver.is_followed() {
        // It says itself how it goes.
        wait(office, request.id, LOOK_AFTER_MAX, None).await?;
        return Ok(false);
    }
    // Of several runs that were started it goes as the one goes that redeemed.
    let redeemed = row.redeemed_by.as_deref().and_then(|run| receiver.reference_of(order, run));
    let reference = match redeemed.or_else(|| row.reference.clone()) {
        Some(reference) => reference,
        None => match invocation::find(receiver, &office.means(), order).await {
            Ok(Some(Sent::Started { reference: Some(reference), url })) => {
                let found =
                    Found { reference: Some(&reference), url: url.as_deref(), ..Found::default() };
                write(office, request, row.number, &found).await?;
                reference
            }
            Ok(Some(found @ Sent::Finished { .. })) => {
                return arrived(office, request, row, &found).await;
            }
            Ok(_) | Err(_) => {
                wait(office, request.id, LOOK_AFTER_MAX, None).await?;
                return Ok(false);
            }
        },
    };
    let status = invocation::status(receiver, &office.means(), &reference).await;
    reached("step-followed");
    match looked(&status, row.attempts) {
        Next::Stage { stage, note } => {
            let outputs = match &status {
                Ok(Status::Succeeded { outputs }) => Some(outputs),
                _ => None,
            };
            let found =
                Found { stage: Some(stage), outputs, note: note.as_deref(), ..Found::default() };
            write(office, request, row.number, &found).await?;
            Ok(true)
        }
        Next::Again { after, note, .. } => {
            if !note.is_empty() {
                let found = Found { note: Some(&note), ..Found::default() };
                write(office, request, row.number, &found).await?;
            }
            wait(office, request.id, after, None).await?;
            Ok(false)
        }
    }
}

/// Writes down how a step stands, and shows it.
async fn write(
    office: &Office,
    request: &Request,
    number: i16,
    found: &Found<'_>,
) -> anyhow::Result<()> {
    let what = "could not write down how a step stands";
    let mut tx = office.db.begin().await.context(what)?;
    if store::set_step(&mut tx, request.id, number, found).await.context(what)? {
        if let Some(stage) = found.stage {
            let body = json!({
                "step": number, "stage": stage.word(), "reference": found.reference, "note": found.note,
            });
            note(&mut tx, "request.step", request, "", body).await.context(what)?;
        }
        show(office, &mut tx, request.id).await.context(what)?;
    }
    reached("step-shown");
    tx.commit().await.context(what)?;
    reached("step-committed");
    Ok(())
}

/// Lets go of it for `after`.
async fn wait(
    office: &Office,
    request: i64,
    after: Duration,
    note: Option<&str>,
) -> anyhow::Result<()> {
    let mut connection = office.db.acquire().await?;
    let after_s = after.as_secs_f64();
    let released = store::release(&mut connection, request, &office.owner, after_s, note);
    released.await.context("could not let go of something")?;
    reached("step-let-go");
    Ok(())
}

/// It has ended, as `state`.
async fn end(
    office: &Office,
    request: &Request,
    state: Progress,
    why: Option<&str>,
) -> anyhow::Result<()> {
    let what = "could not write down how something ended";
    let mut tx = office.db.begin().await.context(what)?;
    if store::set_state(&mut tx, request.id, state, why).await.context(what)? {
        requests::forget_secrets(&mut tx, request.id).await.context(what)?;
        let body = json!({ "state": state.word(), "why": why });
        note(&mut tx, "request.ended", request, "", body).await.context(what)?;
        show(office, &mut tx, request.id).await.context(what)?;
        tell(office, &mut tx, request, "ended", state, why).await.context(what)?;
    }
    reached("end-told");
    tx.commit().await.context(what)?;
    reached("end-committed");
    metrics::counter!("idp_actions_ended_total", "state" => state.word()).increment(1);
    Ok(())
}

/// A person has to look before it is begun.
async fn hold(office: &Office, request: &Request, why: &str) -> anyhow::Result<()> {
    set_aside(office, request, Progress::Held, why).await
}

/// A person has to look whether it ran.
async fn ask_a_person(office: &Office, request: &Request, why: &str) -> anyhow::Result<()> {
    set_aside(office, request, Progress::Unknown, why).await
}

async fn set_aside(
    office: &Office,
    request: &Request,
    state: Progress,
    why: &str,
) -> anyhow::Result<()> {
    let what = "could not set something aside";
    let mut tx = office.db.begin().await.context(what)?;
    if store::set_state(&mut tx, request.id, state, Some(why)).await.context(what)? {
        let body = json!({ "why": why });
        let kind = if state == Progress::Held { "request.held" } else { "request.unknown" };
        note(&mut tx, kind, request, "", body).await.context(what)?;
        show(office, &mut tx, request.id).await.context(what)?;
        tell(office, &mut tx, request, state.word(), state, Some(why)).await.context(what)?;
    }
    reached("aside-told");
    tx.commit().await.context(what)?;
    reached("aside-committed");
    Ok(())
}

pub(super) async fn show(
    office: &Office,
    db: &mut sqlx::PgConnection,
    id: i64,
) -> sqlx::Result<()> {
    let Some(whole) = requests::whole(db, id).await? else { return Ok(()) };
    office.desk().show(db, &whole).await
}

/// Says below the card how it stands.
async fn tell(
    office: &Office,
    db: &mut sqlx::PgConnection,
    request: &Request,
    line: &str,
    state: Progress,
    why: Option<&str>,
) -> sqlx::Result<()> {
    let reply = say::ended(request, state, why, &office.links, &office.snapshot);
    let occasion = match state {
        Progress::Succeeded => Some(Occasion::Done),
        Progress::Failed => Some(Occasion::Failed),
        _ => None,
    };
    let action = office.actions.find(&request.action).filter(|it| it.revision == request.revision);
    let message = |it| action.and_then(|action| action.messages.say(it, request, &office.snapshot));
    let reply = say::with(reply, occasion.and_then(message));
    // Once each time that it is tried.
    let line = match retry::store::count(db, request.id).await? {
        0 => line.to_string(),
        retries => format!("{line} {retries}"),
    };
    announcements::store::say_below(db, &card_key(request.id), &line, &reply).await
}

/// What a person says of something of which nobody knew whether it ran.
///
/// # Errors
/// It is not that; who may not; the database.
pub async fn settle(
    desk: &Desk<'_>,
    id: i64,
    person: &Person,
    way: crate::conversation::Way,
    it_ran: bool,
) -> crate::error::Result<Whole> {
    use crate::access::{Object, Verb};
    use crate::actions::unknown;
    let by = crate::actions::flow::who(person)?.clone();
    let what = "could not settle what became of something";
    let mut tx = desk.db.begin().await.context(what)?;
    let locked = requests::lock(&mut tx, id).await.context(what)?;
    let (_, request) = locked.ok_or_else(|| unknown(&id.to_string()))?;
    let meant = desk.meant(&request).all();
    desk.authority.authorize(person, way, Verb::Approve, Object::Entity { owners: &meant })?;
    let whole = requests::completed(&mut tx, request).await.context(what)?;
    let is_open = whole.execution.as_ref().is_some_and(|it| it.state == Progress::Unknown);
    if !is_open {
        return Err(whole.ended().into());
    }
    for row in store::steps(&mut tx, id).await.context(what)? {
        if row.stage == Stage::Unknown {
            let stage = if it_ran { Stage::Succeeded } else { Stage::Failed };
            let note = format!("{by} looked: it {}", if it_ran { "ran" } else { "did not run" });
            let found = Found { stage: Some(stage), note: Some(&note), ..Found::default() };
            store::set_step(&mut tx, id, row.number, &found).await.context(what)?;
        }
    }
    store::set_state(&mut tx, id, Progress::Running, None).await.context(what)?;
    store::wake(&mut tx, id).await.context(what)?;
    let body = json!({ "by": account_of(person, way), "it_ran": it_ran });
    reached("settle-written");
    note(&mut tx, "request.settled", &whole.request, by.as_str(), body).await.context(what)?;
    let whole = requests::completed(&mut tx, whole.request).await.context(what)?;
    desk.show(&mut tx, &whole).await.context(what)?;
    tx.commit().await.context(what)?;
    reached("settle-committed");
    Ok(whole)
}
