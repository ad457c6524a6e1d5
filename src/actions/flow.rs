//! Asking that something be done, taking it back, and what time brings: reminders and ends.

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use sqlx::{PgConnection, PgPool};

use super::input::{self, Given};
use super::intent::intent;
use super::message::Occasion;
use super::refusal::{
    begun, cooling, frozen, may_break_glass, must_be_meant, nobody_could, too_many,
};
use super::rule::Meant;
use super::store::{self, New, Which};
use super::vote::flow::approve;
use super::{
    Action, ActionSet, Request, Requesters, State, Verdict, Whole, delegation, dispatch,
    escalation, freeze, gate, handle, review, say, unknown,
};
use crate::access::{self, Authority, Links, Object, Person, Verb};
use crate::announcements::{self, Announcement, Place};
use crate::audit::{self, Entry};
use crate::catalog::{self, Entity, EntityRef, Snapshot};
use crate::conversation::{Address, Platform, Way};
use crate::error::{Refusal, Result};
use crate::fail_point::reached;
use crate::integrations::invocation::{self, Means, NotSent, Order};
use crate::on_call::{self, Rotas};
use crate::vault::Key;

/// The most requests of one person that wait.
pub(super) const WAITING_MAX: i64 = 20;
/// So many requests are expired or reminded of at a time.
pub(super) const BATCH: i64 = 50;
/// What a secret of a request is sealed for.
pub(super) const SECRETS: &str = "request secret";

/// What requests are decided by, as it is at one moment.
pub struct Desk<'a> {
    pub db: &'a PgPool,
    pub key: &'a Key,
    pub actions: &'a ActionSet,
    pub snapshot: &'a Snapshot,
    pub links: &'a Links,
    pub authority: &'a Authority,
    pub connected: &'a [Platform],
    pub means: Means<'a>,
    pub rotas: &'a Rotas,
    /// Where it is said, too, that something is done without approval.
    pub alarm: &'a [(Platform, String)],
    pub now: DateTime<Utc>,
}

impl Desk<'_> {
    /// Who is on call for `target` now, on as many levels as were called.
    pub(super) fn on_call(&self, target: Option<&EntityRef>, levels: usize) -> Vec<EntityRef> {
        let called = |it| on_call::called(self.rotas, self.snapshot, it, self.now, levels);
        target.map(called).unwrap_or_default()
    }

    pub(super) fn meant(&self, request: &Request) -> Meant {
        let target = request.target.as_ref();
        let on_call = self.on_call(target, request.level);
        Meant::of(&request.rule, target, &on_call, self.snapshot)
    }

    /// Whether those who approved `whole` could do so now.
    pub(super) fn is_approved_still(&self, whole: &Whole) -> bool {
        let meant = self.meant(&whole.request);
        let mut yeses = Vec::new();
        for vote in whole.votes.iter().filter(|it| it.verdict == Verdict::Approve) {
            let person = Person::of(&vote.account, self.links, self.snapshot);
            let is_them = person.user.as_ref() == Some(&vote.person) && !person.is_guest();
            let factors = || self.factors_of(whole, &person, &meant);
            yeses.push(if is_them { factors() } else { Vec::new() });
        }
        whole.request.rule.standing(&yeses).is_met()
    }

    /// What the card of `whole` is read by.
    pub(super) fn scene<'s>(&'s self, whole: &Whole, meant: &'s Meant) -> say::Scene<'s> {
        say::Scene {
            snapshot: self.snapshot,
            links: self.links,
            action: self.actions.find(&whole.request.action),
            meant,
        }
    }

    /// The factors of its rule that `person` may speak for, by themselves or for somebody else.
    pub(super) fn factors_of(&self, whole: &Whole, person: &Person, meant: &Meant) -> Vec<usize> {
        let user = person.user.as_ref();
        if user.is_some_and(|it| gate::is_theirs(&whole.request, it, self.snapshot)) {
            return Vec::new();
        }
        delegation::factors_of(whole, person, meant, self.links, self.snapshot)
    }

    /// Shows how `whole` stands, wherever its card is.
    pub(super) async fn show(&self, db: &mut PgConnection, whole: &Whole) -> sqlx::Result<()> {
        let meant = self.meant(&whole.request);
        let scene = self.scene(whole, &meant);
        let (key, places) = (card_key(whole.request.id), &whole.request.places);
        announcements::store::show(db, &key, places, &say::card(whole, &scene)).await?;
        if whole.is_over() && !whole.waits_for_review() {
            announcements::store::end(db, &key).await?;
        }
        Ok(())
    }
}

/// What the card of a request is kept under.
pub fn card_key(request: i64) -> String {
    format!("request {request}")
}

/// Who does what, for the audit.
pub(super) async fn note(
    db: &mut PgConnection,
    kind: &'static str,
    request: &Request,
    actor: &str,
    body: Value,
) -> sqlx::Result<()> {
    let mut all = json!({
        "action": request.action,
        "revision": request.revision,
        "target": request.target,
        "intent": hex::encode(&request.intent),
    });
    if let (Some(all), Value::Object(body)) = (all.as_object_mut(), body) {
        all.extend(body);
    }
    let subject = card_key(request.id);
    let entry = Entry { kind, subject, actor: actor.to_string(), body: all };
    audit::store::append(db, &entry).await
}

/// The account by which somebody acts, for the audit.
pub(super) fn account_of(person: &Person, way: Way) -> Value {
    let speaker = &person.speaker;
    json!({
        "platform": speaker.platform.word(),
        "tenant": speaker.tenant,
        "account": speaker.user_id,
        "link": person.link.as_ref().map(|it| it.generation),
        "way": way.word(),
    })
}

/// What somebody asks to have done.
pub struct Ask<'a> {
    pub action: &'a Action,
    pub target: Option<&'a Entity>,
    pub typed: Vec<(String, String)>,
    pub person: &'a Person,
    pub way: Way,
    pub address: &'a Address,
    /// Why it is done without approval.
    pub break_glass: Option<String>,
}

/// A request that was made.
pub struct Asked {
    pub whole: Whole,
    /// Whether they had asked for exactly this already.
    pub is_old: bool,
}

/// Who they are.
///
/// # Errors
/// Nobody whom the catalog knows.
pub fn who(person: &Person) -> std::result::Result<&EntityRef, Refusal> {
    person.user.as_ref().ok_or_else(|| Refusal::NotAllowed {
        rule: "Actions are asked for and decided on by name.".into(),
        next: "Type `link` to say who you are; in the terminal, add `--as your-name`.".into(),
        instead: vec!["link".into()],
    })
}

/// Whether `person` may ask for `action` of `target`.
///
/// # Errors
/// What no policy permits.
pub fn may_ask(
    authority: &Authority,
    person: &Person,
    way: Way,
    action: &Action,
    target: Option<&Entity>,
    snapshot: &Snapshot,
) -> std::result::Result<(), Refusal> {
    if let Some(gate) = action.gate() {
        return Err(gate::not_asked_for(action, gate));
    }
    let Requesters::Only { owners, named } = &action.requesters else {
        return authority.authorize(person, way, Verb::Request, Object::Catalog).map(drop);
    };
    let mut may = named.clone();
    if *owners && let Some(target) = target {
        may.extend(super::rule::owners(&target.reference, snapshot));
    }
    authority.authorize(person, way, Verb::Run, Object::Entity { owners: &may }).map(drop)
}

/// Writes down what somebody asks for, and shows its card to who decides.
///
/// # Errors
/// What it is not done to; inputs that are wrong; who may not ask; a freeze; what was done a moment ago; nobody who could
/// approve it; the database.
pub async fn ask(desk: &Desk<'_>, ask: Ask<'_>) -> Result<Asked> {
    let requester = who(ask.person)?.clone();
    let (action, target) = (ask.action, target(ask.action, ask.target, desk.snapshot)?);
    may_ask(desk.authority, ask.person, ask.way, action, target, desk.snapshot)?;
    if ask.break_glass.is_some() {
        may_break_glass(action, ask.person)?;
    }
    let given = input::read(&action.inputs, &ask.typed, desk.snapshot)?;
    let reference = target.map(|it| &it.reference);
    let on_call = desk.on_call(reference, 1);
    let meant = Meant::of(&action.rule, reference, &on_call, desk.snapshot);
    if ask.break_glass.is_none() {
        if let Some((freeze, until)) = freeze::holding(&action.freezes, desk.now) {
            return Err(frozen(action, &freeze.why, until).into());
        }
        if !action.rule.could_be_met(&meant, &requester, desk.snapshot) {
            return Err(nobody_could(action, &meant).into());
        }
    }
    let (inputs, secrets) = sealed(desk.key, given.clone());
    let pinned = pinned(desk, action, reference, &inputs, &requester).await?;
    reached("ask-pinned");
    let intent =
        intent(&action.name, &action.revision, reference.map(EntityRef::as_str), &inputs, &pinned);
    let rule = serde_json::to_value(&action.rule).context("could not write a rule")?;
    let new = New {
        action: &action.name,
        revision: &action.revision,
        target: reference,
        inputs: &inputs,
        pinned: &pinned,
        intent: &intent,
        rule: &rule,
        quorum: action.rule.quorum(),
        risk: action.risk,
        requester: &requester,
        asked_by: Some(&ask.person.speaker),
        break_glass: ask.break_glass.as_deref(),
        is_long: say::is_long(&given),
        within_s: action.rule.within_s as f64,
        escalate_s: escalation::after(action).map(|it| it.as_secs_f64()),
    };
    let what = "could not write a request down";
    let mut tx = desk.db.begin().await.context(what)?;
    let lane = reference.map_or("", |it| it.as_str());
    store::queue(&mut tx, &action.name, lane).await.context(what)?;
    reached("ask-locked");
    if let Some(same) = store::same(&mut tx, &intent, &requester).await.context(what)? {
        let whole = store::whole(&mut tx, same).await.context(what)?;
        if let Some(whole) = whole.filter(|_| ask.break_glass.is_none()) {
            return Ok(Asked { whole, is_old: true });
        }
    }
    if store::waiting(&mut tx, &requester).await.context(what)? >= WAITING_MAX {
        return Err(too_many().into());
    }
    if let Some(cooldown) = action.cooldown.filter(|_| ask.break_glass.is_none()) {
        let left = store::cooling(&mut tx, &action.name, reference, cooldown.as_secs_f64());
        if let Some(left) = left.await.context(what)?.filter(|left| *left > 0.0) {
            return Err(cooling(action, left).into());
        }
    }
    let mut request = store::insert(&mut tx, &new).await.context(what)?;
    reached("ask-written");
    for (name, sealed) in &secrets {
        store::keep_secret(&mut tx, request.id, name, sealed).await.context(what)?;
    }
    request.places = places(desk, action, &meant, Some(ask.address));
    store::set_places(&mut tx, request.id, &request.places).await.context(what)?;
    let body = json!({ "by": account_of(ask.person, ask.way), "inputs": request.inputs });
    note(&mut tx, "request.asked", &request, requester.as_str(), body).await.context(what)?;
    reached("ask-noted");
    if let Some(reason) = &ask.break_glass {
        let body = json!({ "by": account_of(ask.person, ask.way), "reason": reason });
        note(&mut tx, "request.break_glass", &request, requester.as_str(), body)
            .await
            .context(what)?;
    }
    if ask.break_glass.is_some() || action.rule.quorum() == 0 {
        request = approve(&mut tx, action, &request, None).await.context(what)?;
    }
    let whole = store::completed(&mut tx, request).await.context(what)?;
    desk.show(&mut tx, &whole).await.context(what)?;
    reached("ask-shown");
    if let Some(message) = action.messages.say(Occasion::Asked, &whole.request, desk.snapshot) {
        let (key, said) = (card_key(whole.request.id), say::line(message));
        announcements::store::say_below(&mut tx, &key, "asked", &said).await.context(what)?;
    }
    if whole.request.break_glass.is_some() {
        alarm(desk, &mut tx, action, &whole).await.context(what)?;
    }
    tx.commit().await.context(what)?;
    reached("ask-committed");
    Ok(Asked { whole, is_old: false })
}

/// Says to those who could have approved it that something is done without approval: below its card, in the channels where
/// it would have been decided, and where the portal wants it said, too.
async fn alarm(
    desk: &Desk<'_>,
    db: &mut PgConnection,
    action: &Action,
    whole: &Whole,
) -> sqlx::Result<()> {
    let meant = desk.meant(&whole.request);
    let said = say::alarm(whole, &desk.scene(whole, &meant));
    let key = card_key(whole.request.id);
    announcements::store::say_below(db, &key, "without approval", &said).await?;
    let mut places = fixed_places(&action.channel, desk.connected);
    if places.is_empty() {
        let of_card = whole.request.places.iter();
        places.extend(of_card.filter(|it| it.channel.is_some() && it.thread.is_none()).cloned());
    }
    for place in fixed_places(desk.alarm, desk.connected) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    let key = format!("{key} without approval");
    let announcement = Announcement { key, places, markdown: None };
    announcements::store::write(db, &announcement, &said).await
}

/// The `channels` that are on a platform of `connected`.
fn fixed_places(channels: &[(Platform, String)], connected: &[Platform]) -> Vec<Place> {
    let there = channels.iter().filter(|(platform, _)| connected.contains(platform));
    let place = |(platform, channel): &(Platform, String)| Place {
        platform: *platform,
        channel: Some(channel.clone()),
        person: None,
        thread: None,
    };
    there.map(place).collect()
}

/// What each step fixes when it is asked for, by its name.
///
/// # Errors
/// A receiver that refuses, or does not answer.
async fn pinned(
    desk: &Desk<'_>,
    action: &Action,
    target: Option<&EntityRef>,
    inputs: &Map<String, Value>,
    requester: &EntityRef,
) -> std::result::Result<Map<String, Value>, Refusal> {
    let mut pinned = Map::new();
    for step in &action.steps {
        let order = Order {
            key: String::new(),
            request: 0,
            step: step.name.clone(),
            intent: String::new(),
            action: action.name.clone(),
            by: requester.to_string(),
            target: target.map(|it| dispatch::order::target(it, desk.snapshot)),
            inputs: inputs.clone(),
            secret_inputs: Default::default(),
            outputs: Map::new(),
            pinned: Map::new(),
            since: desk.now,
            callback: None,
            redeem: None,
        };
        let fixed = invocation::pin(&step.receiver, &desk.means, &order).await;
        let fixed = fixed.map_err(|error| not_pinned(action, &step.name, &error))?;
        if !fixed.is_empty() {
            pinned.insert(step.name.clone(), Value::Object(fixed));
        }
    }
    Ok(pinned)
}

fn not_pinned(action: &Action, step: &str, error: &NotSent) -> Refusal {
    let what = format!("`{}` cannot be asked for: the step `{step}` cannot be fixed.", action.name);
    Refusal::NotAllowed {
        rule: what,
        next: error.to_string().replace('`', "'"),
        instead: vec![format!("run {}", action.name)],
    }
}

/// Takes a request back: before it is decided, or approved and not yet begun.
///
/// # Errors
/// Somebody else's request, where they are no admin; what has ended or begun; the database.
pub async fn cancel(
    desk: &Desk<'_>,
    typed: &str,
    person: &Person,
    way: Way,
    reason: Option<String>,
) -> Result<Whole> {
    let by = who(person)?.clone();
    let (id, digits) = handle(typed)?;
    let what = "could not take a request back";
    let mut tx = desk.db.begin().await.context(what)?;
    let locked = store::lock(&mut tx, id).await.context(what)?;
    let (now, request) = locked.ok_or_else(|| unknown(typed))?;
    must_be_meant(&request, digits.as_deref())?;
    let owner = [request.requester.clone()];
    let object = Object::Entity { owners: &owner };
    desk.authority.authorize(person, way, Verb::Cancel, object)?;
    let whole = store::completed(&mut tx, request).await.context(what)?;
    let request = match whole.request.state {
        State::Pending => {
            whole.must_be_open(now)?;
            let state = State::Cancelled;
            store::decide(&mut tx, id, state, Some(&by), reason.as_deref()).await.context(what)?
        }
        State::Approved => {
            if !store::cancel_execution(&mut tx, id).await.context(what)? {
                return Err(begun(&whole).into());
            }
            whole.request
        }
        _ => return Err(whole.ended().into()),
    };
    store::forget_secrets(&mut tx, id).await.context(what)?;
    let body = json!({ "by": account_of(person, way), "note": reason });
    note(&mut tx, "request.cancelled", &request, by.as_str(), body).await.context(what)?;
    let whole = store::completed(&mut tx, request).await.context(what)?;
    desk.show(&mut tx, &whole).await.context(what)?;
    let said = say::by(&by, "took it back", reason.as_deref(), desk.snapshot);
    let key = card_key(id);
    announcements::store::say_below(&mut tx, &key, "cancelled", &said).await.context(what)?;
    tx.commit().await.context(what)?;
    Ok(whole)
}

/// Says `question` below the card of a request; it stays as it is.
///
/// # Errors
/// What has ended; the database.
pub async fn inquire(desk: &Desk<'_>, id: i64, by: &EntityRef, question: &str) -> Result<Whole> {
    let what = "could not ask about a request";
    let mut tx = desk.db.begin().await.context(what)?;
    let (now, request) =
        store::lock(&mut tx, id).await.context(what)?.ok_or_else(|| unknown(&id.to_string()))?;
    let whole = store::completed(&mut tx, request).await.context(what)?;
    whole.must_be_open(now)?;
    let body = json!({ "question": question });
    note(&mut tx, "request.question", &whole.request, by.as_str(), body).await.context(what)?;
    let said = say::by(by, "asks", Some(question), desk.snapshot);
    let line = format!("question {by} {}", now.timestamp_micros());
    announcements::store::say_below(&mut tx, &card_key(id), &line, &said).await.context(what)?;
    tx.commit().await.context(what)?;
    Ok(whole)
}

/// All of a request, for who looks at it: what its card has no room for counts as opened by them.
///
/// # Errors
/// A number that nobody was given; the database.
pub async fn show(desk: &Desk<'_>, id: i64, person: &Person) -> Result<Whole> {
    let what = "could not read a request";
    let mut tx = desk.db.begin().await.context(what)?;
    let whole = store::whole(&mut tx, id).await.context(what)?;
    let whole = whole.ok_or_else(|| unknown(&id.to_string()))?;
    if let Some(user) = person.user.as_ref().filter(|_| whole.request.is_long) {
        store::open(&mut tx, &whole.request, user).await.context(what)?;
    }
    tx.commit().await.context(what)?;
    Ok(whole)
}

/// What of a request is said to whoever looks at it.
pub fn details(desk: &Desk<'_>, whole: &Whole) -> String {
    let meant = desk.meant(&whole.request);
    say::details(whole, &desk.scene(whole, &meant))
}

/// Whether `person` is among those who may decide on `whole` now.
pub fn may_decide(desk: &Desk<'_>, whole: &Whole, person: &Person) -> bool {
    let Some(by) = &person.user else { return false };
    let factors = desk.factors_of(whole, person, &desk.meant(&whole.request));
    whole.vote(by, Verdict::Approve, &factors, desk.now).is_ok()
}

/// The requests that `which` means, those that wait first; and how many there are.
///
/// # Errors
/// The database.
pub async fn list(
    db: &PgPool,
    which: &Which<'_>,
    offset: i64,
    rows: i64,
) -> anyhow::Result<(Vec<Whole>, i64)> {
    let mut connection = db.acquire().await?;
    Ok(store::list(&mut connection, which, offset, rows).await?)
}

/// Ends what nobody decided on in time, reminds of what waits for half its time, calls who is on call next, and reminds of
/// what nobody has reviewed; how many there were.
///
/// # Errors
/// The database.
pub async fn tick(desk: &Desk<'_>) -> anyhow::Result<usize> {
    let what = "could not look for requests whose time is over";
    let mut tx = desk.db.begin().await.context(what)?;
    let overdue = store::overdue(&mut tx, BATCH).await.context(what)?;
    for id in &overdue {
        let request =
            store::decide(&mut tx, *id, State::Expired, None, None).await.context(what)?;
        store::forget_secrets(&mut tx, *id).await.context(what)?;
        note(&mut tx, "request.expired", &request, "", json!({})).await.context(what)?;
        let whole = store::completed(&mut tx, request).await.context(what)?;
        desk.show(&mut tx, &whole).await.context(what)?;
        let said = say::line("Nobody decided in time: it has expired.".into());
        announcements::store::say_below(&mut tx, &card_key(*id), "expired", &said)
            .await
            .context(what)?;
    }
    let reminded = store::to_remind(&mut tx, BATCH).await.context(what)?;
    for id in &reminded {
        let Some(whole) = store::whole(&mut tx, *id).await.context(what)? else { continue };
        let meant = desk.meant(&whole.request);
        let said = say::line(say::reminder(&whole, &desk.scene(&whole, &meant)));
        announcements::store::say_below(&mut tx, &card_key(*id), "reminder", &said)
            .await
            .context(what)?;
    }
    tx.commit().await.context(what)?;
    let called = escalation::flow::tick(desk).await?;
    let reviews = review::flow::tick(desk).await?;
    Ok(overdue.len() + reminded.len() + called + reviews)
}

/// Whether what this process knows of people and owners is what the database has.
pub(super) async fn is_fresh(desk: &Desk<'_>, db: &mut PgConnection) -> sqlx::Result<bool> {
    let catalog = catalog::store::revision(db).await?;
    let links = access::store::revision(db).await?;
    Ok(catalog == *desk.snapshot.revision() && links == desk.links.now().revision)
}

/// The action that the request asks for, where it is the same still.
pub(super) fn same_action<'a>(desk: &Desk<'a>, request: &Request) -> Option<&'a Action> {
    desk.actions.find(&request.action).filter(|it| it.revision == request.revision)
}

/// The request ends: what it asks for is something else now.
pub(super) async fn void(
    desk: &Desk<'_>,
    db: &mut PgConnection,
    whole: Whole,
) -> sqlx::Result<Whole> {
    let id = whole.request.id;
    let why = match desk.actions.find(&whole.request.action) {
        Some(_) => "the action was changed since: ask again",
        None => "there is no such action any more",
    };
    let request = store::decide(db, id, State::Void, None, Some(why)).await?;
    store::forget_secrets(db, id).await?;
    note(db, "request.void", &request, "", json!({ "why": why })).await?;
    let whole = store::completed(db, request).await?;
    desk.show(db, &whole).await?;
    Ok(whole)
}

/// What `action` is done to.
fn target<'a>(
    action: &Action,
    given: Option<&'a Entity>,
    snapshot: &Snapshot,
) -> std::result::Result<Option<&'a Entity>, Refusal> {
    match (&action.target, given) {
        (None, None) => Ok(None),
        (None, Some(entity)) => Err(Refusal::InvalidArgument {
            argument: "target".into(),
            value: entity.name.to_string(),
            expected: format!("`{}` is done to nothing in particular", action.name),
        }),
        (Some(_), None) => Err(Refusal::MissingArgument {
            usage: format!("run {}", action.name),
            missing: "target".into(),
            given: format!("run {}", action.name),
        }),
        (Some(target), Some(entity)) if target.takes(entity, snapshot) => Ok(Some(entity)),
        (Some(target), Some(entity)) => Err(Refusal::InvalidArgument {
            argument: "target".into(),
            value: entity.name.to_string(),
            expected: format!("`{}` is done to {}", action.name, target.said()),
        }),
    }
}

/// The name of a secret, and what only the instance's key opens.
type Sealed = (String, Vec<u8>);

/// Secrets as codes in what everybody may read, and sealed.
fn sealed(key: &Key, given: Vec<Given>) -> (Map<String, Value>, Vec<Sealed>) {
    let (mut inputs, mut secrets) = (Map::new(), Vec::new());
    for it in given {
        let value = match (it.is_secret, &it.value) {
            (true, Value::String(secret)) => {
                secrets.push((
                    it.name.clone(),
                    key.seal(SECRETS, it.name.as_bytes(), secret.as_bytes()),
                ));
                let code = key.mac(SECRETS, &[it.name.as_bytes(), secret.as_bytes()]);
                json!({ "secret": hex::encode(&code[..16]) })
            }
            _ => it.value,
        };
        inputs.insert(it.name, value);
    }
    (inputs, secrets)
}

/// Where the card is shown: as the action says; otherwise to who decides, and where it was asked.
pub(super) fn places(
    desk: &Desk<'_>,
    action: &Action,
    meant: &Meant,
    asked_at: Option<&Address>,
) -> Vec<Place> {
    let mut places = fixed_places(&action.channel, desk.connected);
    if places.is_empty() {
        let told = meant.all().into_iter();
        let told = told.filter_map(|it| Place::of(&it, desk.snapshot, desk.links, desk.connected));
        for place in told {
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    let Some(asked_at) = asked_at else { return places };
    let is_there = places.iter().any(|it| it.is_at(asked_at));
    if !is_there && desk.connected.contains(&asked_at.platform) && !asked_at.channel_id.is_empty() {
        places.push(Place {
            platform: asked_at.platform,
            channel: Some(asked_at.channel_id.clone()),
            person: None,
            thread: asked_at.thread.clone(),
        });
    }
    places
}
