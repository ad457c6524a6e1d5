//! Looking up: from memory at once; history, problems and lookups of one's own from where they are.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sqlx::{PgPool, Postgres, Transaction};
use tokio::time::error::Elapsed;
use tokio::time::{sleep, timeout};

use super::asked::{AskedLately, KEPT_DAYS, QUESTIONS_MAX};
use super::file::{HttpLookup, Lookup, SqlLookup};
use super::lookups::adoption::{self, View};
use super::lookups::link::{self, Deed, Wish};
use super::lookups::score::Owned;
use super::lookups::standings::Standings;
use super::lookups::whoami::{self, Rights};
use super::lookups::{
    self, BuiltIn, PAGE_ROWS, alias, dependents, digest, exempt, facts, feedback, find, graph,
    help, history, offset, oncall, owner, path, problems, score, scorecard, show, team_score,
};
use super::resolve::Question;
use super::store;
use super::unanswered::{Asked, Unanswered};
use crate::access::code::{self, Offer};
use crate::access::email::{self, Profile, Profiles};
use crate::access::totp::{self, Secret};
use crate::access::{self, Authority, Links, Object, Role, Verb};
use crate::actions::delegation::flow::Handing;
use crate::actions::flow::Ask;
use crate::actions::store::Which;
use crate::actions::vote::{Ballot, FRESH_WITHIN, Voted};
use crate::actions::{self, Action, ActionSet, Verdict};
use crate::announcements::{self, Announcement, Place};
use crate::audit;
use crate::catalog::{self, Catalog, Entity, EntityRef, Snapshot};
use crate::config::SecretReference;
use crate::conversation::{Audience, Platform, Reply, Speaker, Way};
use crate::digests;
use crate::digests::file::Digest;
use crate::digests::flow::Desk;
use crate::error::{Error, Refusal, Result};
use crate::facts::Fact;
use crate::integrations::http::Client;
use crate::integrations::webhook::signature;
use crate::integrations::{Integrations, github, invocation};
use crate::on_call::{Rotas, Watch};
use crate::postgres::{self, is_outage};
use crate::scorecards::evaluate::{self, Definitions};
use crate::scorecards::exemption::{self, Exemption, State};
use crate::scorecards::{self, Scorecard, ScorecardSet};
use crate::usage;
use crate::usage::report::Period;
use crate::vault::Key;

/// How long an answer may wait for a database or a service: chat platforms wait three seconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long what is asked for may take to be fixed: a receiver is asked which commit a branch points at.
const ASKED_WITHIN: Duration = Duration::from_secs(10);
/// How soon who may decide is looked at again, where it changed a moment ago.
const STALE_AGAIN_AFTER: Duration = Duration::from_millis(40);
/// The most rows of a `sql:` lookup.
const ROWS_MAX: usize = 200;
/// The most bytes of a service's answer.
const HTTP_ANSWER_BYTES_MAX: usize = 256 << 10;

/// How answers call what is counted of what people ask, and what is said of answers.
const USAGE: &str = "How the bot is used";
const FEEDBACK: &str = "What is said of answers";
const ALIASES: &str = "What people call things";

/// How answers call what links are kept in.
const LINKS: &str = "Who is linked to whom";

/// The most requests that the Home looks through.
const REQUESTS_MAX: i64 = 200;

/// What a lookup may ask beyond the snapshot.
pub struct Means<'a> {
    /// `None` while there is no database.
    pub db: Option<&'a PgPool>,
    pub http: &'a Client,
    /// How the question came in.
    pub way: Way,
    pub authority: &'a Authority,
    pub links: &'a Links,
    pub scorecards: &'a ScorecardSet,
    pub rotas: &'a Rotas,
    /// What digests are made of.
    pub desk: &'a Desk,
    pub actions: &'a ActionSet,
    /// Where it is said, too, that something is done without approval.
    pub alarm: &'a [(Platform, String)],
    pub integrations: &'a Integrations,
    pub tokens: &'a github::Tokens,
    /// The instance's key.
    pub key: &'a Key,
    /// The catalog as it is now; a question is answered from one moment of it.
    pub catalog: &'a Catalog,
    /// Who can ask Slack about an account; `None` while it is not connected.
    pub profiles: Option<&'a dyn Profiles>,
    /// Aliases that the settings have.
    pub aliases: &'a BTreeMap<String, EntityRef>,
    /// Of `http:` lookups, by the name that command files use.
    pub secrets: &'a BTreeMap<String, SecretReference>,
    pub now: DateTime<Utc>,
}

impl Means<'_> {
    fn watch(&self) -> Watch<'_> {
        Watch { rotas: self.rotas, at: self.now }
    }
}

/// The typed answer to `question`.
///
/// # Errors
/// A refusal when something cannot be asked right now.
pub async fn look_up(question: &Question<'_>, means: &Means<'_>) -> Result<Value> {
    match &question.call.command.lookup {
        Lookup::BuiltIn(BuiltIn::Help) => help::look_up(question),
        Lookup::BuiltIn(BuiltIn::Owner) => owner::look_up(question, means.watch()),
        Lookup::BuiltIn(BuiltIn::Show) => show::look_up(question, means.watch()),
        Lookup::BuiltIn(BuiltIn::OnCall) => {
            oncall::look_up(question, means.watch(), &means.links.now())
        }
        Lookup::BuiltIn(BuiltIn::Find) => find::find(question),
        Lookup::BuiltIn(BuiltIn::List) => find::list(question),
        Lookup::BuiltIn(BuiltIn::Dependents) => dependents::dependents(question),
        Lookup::BuiltIn(BuiltIn::Dependencies) => dependents::dependencies(question),
        Lookup::BuiltIn(BuiltIn::Graph) => graph::look_up(question),
        Lookup::BuiltIn(BuiltIn::Path) => path::look_up(question),
        Lookup::BuiltIn(BuiltIn::Whoami) => whoami::look_up(question, rights(question, means)),
        Lookup::BuiltIn(BuiltIn::Link) => ask_link(question, means).await,
        Lookup::BuiltIn(BuiltIn::History) => ask_history(question, means).await,
        Lookup::BuiltIn(BuiltIn::Facts) => ask_facts(question, means).await,
        Lookup::BuiltIn(BuiltIn::Problems) => ask_problems(question, means).await,
        Lookup::BuiltIn(BuiltIn::Score) => ask_score(question, means).await,
        Lookup::BuiltIn(BuiltIn::Scorecard) => ask_scorecard(question, means).await,
        Lookup::BuiltIn(BuiltIn::Exempt) => ask_exempt(question, means).await,
        Lookup::BuiltIn(BuiltIn::Exemptions) => ask_exemptions(question, means).await,
        Lookup::BuiltIn(BuiltIn::Adoption) => ask_adoption(question, means).await,
        Lookup::BuiltIn(BuiltIn::Feedback) => say_feedback(question, means).await,
        Lookup::BuiltIn(BuiltIn::Alias) => add_alias(question, means).await,
        Lookup::BuiltIn(BuiltIn::Digest) => ask_digest(question, means).await,
        Lookup::BuiltIn(BuiltIn::Run) => ask_run(question, means).await,
        Lookup::BuiltIn(BuiltIn::Requests) => ask_requests(question, means).await,
        Lookup::BuiltIn(BuiltIn::Approve) => decide(question, means, Verdict::Approve).await,
        Lookup::BuiltIn(BuiltIn::Deny) => decide(question, means, Verdict::Deny).await,
        Lookup::BuiltIn(BuiltIn::Cancel) => take_back(question, means).await,
        Lookup::Sql(lookup) => ask_sql(question, lookup, means).await,
        Lookup::Http(lookup) => ask_http(question, lookup, means).await,
    }
}

/// What whoever asks may do.
fn rights(question: &Question<'_>, means: &Means<'_>) -> Rights {
    let (person, all) = (question.person, Object::Catalog);
    let role = means.authority.role(person, all);
    Rights {
        role,
        is_admin: role == Role::Admin,
        may_read: means.authority.authorize(person, means.way, Verb::Read, all).is_ok(),
    }
}

async fn ask_link(question: &Question<'_>, means: &Means<'_>) -> Result<Value> {
    let profiles = means.profiles.filter(|_| means.authority.terms().link_by_email);
    let wish = Wish::of(question, means.way, profiles)?;
    if matches!(wish, Wish::Tell) {
        return link::told(question, None);
    }
    let db = means.db.ok_or_else(|| no_database(LINKS))?;
    let person = question.person;
    match wish {
        Wish::Tell => link::told(question, None),
        Wish::Issue => {
            let user = person.user.clone().ok_or_else(code::not_good)?;
            let offer = Offer { user, guest: person.is_guest() };
            let issued = timeout(PATIENCE, access::flow::issue(db, &offer)).await;
            link::told(question, Some(&answered(LINKS, issued)?))
        }
        Wish::Redeem(code) => {
            let redeemed = access::flow::redeem(db, means.links, &person.speaker, &code, means.now);
            link::made(question, &settled(LINKS, timeout(PATIENCE, redeemed).await)?)
        }
        Wish::Recognise(profiles) => {
            let profile = timeout(PATIENCE, profiles.profile(&person.speaker)).await;
            let user = email::whose(&told_by_slack(profile)?, question.snapshot)?;
            let made =
                access::flow::link_by_email(db, means.links, &person.speaker, user, means.now);
            link::made(question, &settled(LINKS, timeout(PATIENCE, made).await)?)
        }
        Wish::Factor(deed) => {
            let user = person.user.clone().ok_or_else(code::not_good)?;
            let done = settle_factor(db, means.key, &user, &deed);
            match settled(LINKS, timeout(PATIENCE, done).await)? {
                Some(secret) => link::factor_shown(question, &secret, &user),
                None => link::factor_settled(question, matches!(deed, Deed::Confirm(_))),
            }
        }
        Wish::Overheard(code) => {
            if let Some(code) = code {
                answered(LINKS, timeout(PATIENCE, access::flow::void(db, &code)).await)?;
            }
            Err(code::overheard().into())
        }
    }
}

/// Does with the second factor of `user` what is wanted; the secret that is to be shown, where it is a new one.
async fn settle_factor(
    db: &PgPool,
    key: &Key,
    user: &EntityRef,
    deed: &Deed,
) -> Result<Option<Secret>> {
    let mut tx = db.begin().await?;
    let (done, kind) = match deed {
        Deed::Get => return shown(tx, key, user).await.map(Some),
        Deed::Confirm(code) => {
            (totp::flow::confirm(&mut tx, key, user, code.expose_secret()).await, "totp.enrolled")
        }
        Deed::Remove(code) => {
            (totp::flow::remove(&mut tx, key, user, code.expose_secret()).await, "totp.removed")
        }
    };
    if done.is_ok() {
        let (subject, actor) = (user.to_string(), user.to_string());
        let entry = audit::Entry { kind, subject, actor, body: json!({}) };
        audit::store::append(&mut tx, &entry).await?;
    }
    // A wrong code is counted, too.
    tx.commit().await?;
    done.map(|()| None)
}

async fn shown(mut tx: Transaction<'_, Postgres>, key: &Key, user: &EntityRef) -> Result<Secret> {
    let secret = totp::flow::issue(&mut tx, key, user).await?;
    tx.commit().await?;
    Ok(secret)
}

async fn ask_adoption(question: &Question<'_>, means: &Means<'_>) -> Result<Value> {
    let db = means.db.ok_or_else(|| no_database(USAGE))?;
    let period = Period::until(means.now);
    let figures = async || -> Result<usage::report::Figures> {
        answered(USAGE, timeout(PATIENCE, usage::flow::figures(db, period)).await)
    };
    let in_vain = async || -> Result<Vec<Asked>> {
        answered(USAGE, timeout(PATIENCE, unanswered(db, adoption::IN_VAIN_MAX)).await)
    };
    match View::of(question) {
        View::Overview => {
            let decisions = exemption::flow::decisions(db, period.from, period.to);
            let decisions = answered(USAGE, timeout(PATIENCE, decisions).await)?;
            adoption::overview(question, period, &figures().await?, in_vain().await?, decisions)
        }
        View::Commands => adoption::commands(question, period, figures().await?),
        View::Teams => adoption::teams(question, period, &figures().await?),
        View::Unanswered => adoption::unanswered(question, period, in_vain().await?),
        View::Feedback => {
            let said = usage::flow::said(db, PAGE_ROWS, offset(question.page()));
            adoption::feedback(question, period, answered(FEEDBACK, timeout(PATIENCE, said).await)?)
        }
    }
}

async fn say_feedback(question: &Question<'_>, means: &Means<'_>) -> Result<Value> {
    let (said, entity) = feedback::said(question)?;
    let db = means.db.ok_or_else(|| no_database(FEEDBACK))?;
    answered(FEEDBACK, timeout(PATIENCE, usage::flow::say(db, &said)).await)?;
    feedback::answer(question, &said, entity)
}

async fn add_alias(question: &Question<'_>, means: &Means<'_>) -> Result<Value> {
    let alias = alias::alias(question, means.aliases)?;
    let db = means.db.ok_or_else(|| no_database(ALIASES))?;
    answered(ALIASES, timeout(PATIENCE, catalog::flow::add_alias(db, &alias)).await)?;
    alias::answer(question, &alias)
}

/// What Slack said in time; that it did not is a refusal, and in the log.
fn told_by_slack(asked: std::result::Result<anyhow::Result<Profile>, Elapsed>) -> Result<Profile> {
    let why = match asked {
        Ok(Ok(profile)) => return Ok(profile),
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => format!("it did not answer within {} s", PATIENCE.as_secs()),
    };
    tracing::warn!(error = why, "could not ask Slack about an account");
    let refusal = Refusal::Unavailable {
        what: "Slack".into(),
        why: "it does not tell about your account".into(),
        next: "Try again in a minute, or link your account with a code.".into(),
    };
    Err(refusal.into())
}

async fn ask_history(question: &Question<'_>, means: &Means<'_>) -> Result<Value> {
    const WHAT: &str = "The history";
    let subject = history::subject(question)?;
    let db = means.db.ok_or_else(|| no_database(WHAT))?;
    let rows = PAGE_ROWS as i64;
    let offset = (question.page() as i64 - 1) * rows;
    let asked = catalog::flow::history(db, &subject.reference, offset, rows);
    let (changes, total) = answered(WHAT, timeout(PATIENCE, asked).await)?;
    history::answer(question, changes, usize::try_from(total).unwrap_or_default())
}

async fn ask_facts(question: &Question<'_>, means: &Means<'_>) -> Result<Value> {
    const WHAT: &str = "The list of facts";
    let subject = facts::subject(question)?;
    let db = means.db.ok_or_else(|| no_database(WHAT))?;
    let asked = crate::facts::flow::facts_of(db, &subject.reference);
    facts::answer(question, answered(WHAT, timeout(PATIENCE, asked).await)?, means.now)
}

async fn ask_problems(question: &Question<'_>, means: &Means<'_>) -> Result<Value> {
    const WHAT: &str = "The list of problems";
    let db = means.db.ok_or_else(|| no_database(WHAT))?;
    let found = answered(WHAT, timeout(PATIENCE, catalog::flow::problems(db)).await)?;
    problems::answer(question, found)
}

/// What a score is made of besides the snapshot: what was reported, and what does not count.
type Reported = (std::result::Result<Vec<Fact>, String>, exemption::Exempt);

async fn ask_score(question: &Question<'_>, means: &Means<'_>) -> Result<Value> {
    let entity = score::subject(question)?;
    let scorecards = score::about(means.scorecards, entity, sees_drafts(question, means));
    let (facts, exempt) = reported(question, &scorecards, means).await?;
    let owned = match team_score::owned(question.snapshot, entity) {
        Some(entities) => Some(owned(question, &entities, means).await?),
        None => None,
    };
    score::answer(question, &scorecards, facts, &exempt, owned.as_ref(), means.now)
}

async fn ask_scorecard(question: &Question<'_>, means: &Means<'_>) -> Result<Value> {
    let all = scorecard::visible(means.scorecards, sees_drafts(question, means));
    let Some(asked) = scorecard::asked(question, &all)? else { return scorecard::listed(&all) };
    let standings = standings(question, asked, None, means).await?;
    let history = match means.db.filter(|_| standings.as_of.is_some()) {
        Some(db) => history(db, asked, means.now).await?,
        None => scorecard::History::default(),
    };
    scorecard::answer(question, asked, &standings, &history, means.now)
}

/// Whether whoever asks sees scorecards that are drafts.
fn sees_drafts(question: &Question<'_>, means: &Means<'_>) -> bool {
    let role = means.authority.role(question.person, Object::Catalog);
    role == Role::Admin || is_terminal(question)
}

/// How what a team owns does, by the first few scorecards that may be about any of it.
async fn owned<'a>(
    question: &Question<'a>,
    entities: &[&Entity],
    means: &Means<'a>,
) -> Result<Owned<'a>> {
    let see_drafts = sees_drafts(question, means);
    let scorecards = team_score::about(means.scorecards, entities, see_drafts);
    let references: Vec<EntityRef> = entities.iter().map(|it| it.reference.clone()).collect();
    let mut owned = Owned {
        entities: entities.len(),
        standings: Vec::new(),
        more: scorecards.len().saturating_sub(team_score::SECTIONS_MAX),
    };
    for scorecard in scorecards.into_iter().take(team_score::SECTIONS_MAX) {
        let standings = standings(question, scorecard, Some(&references), means).await?;
        owned.standings.push((scorecard, standings));
    }
    Ok(owned)
}

/// How answers call what was evaluated.
const SCORES: &str = "What was evaluated";

/// How `entities` stand, all where none are given: as they were evaluated last; before that, and while the database does
/// not answer, as they are judged now.
async fn standings(
    question: &Question<'_>,
    scorecard: &Scorecard,
    entities: Option<&[EntityRef]>,
    means: &Means<'_>,
) -> Result<Standings> {
    let Some(db) = means.db else {
        return judged_now(question, scorecard, entities, Err(no_database(SCORES)), means).await;
    };
    let asked = scorecards::flow::evaluated_scores(db, scorecard, entities);
    match answered(SCORES, timeout(PATIENCE, asked).await) {
        Ok(Some((at, scores))) => Ok(Standings { scores, as_of: Some(at), unasked: None }),
        Ok(None) => judged_now(question, scorecard, entities, Ok(db), means).await,
        Err(Error::Refusal(why)) => {
            judged_now(question, scorecard, entities, Err(why), means).await
        }
        Err(fault) => Err(fault),
    }
}

/// The most entities that are judged while somebody waits.
const JUDGED_MAX: usize = 1_000;

/// # Errors
/// A refusal where so many are asked for that nobody should wait for it.
async fn judged_now(
    question: &Question<'_>,
    scorecard: &Scorecard,
    entities: Option<&[EntityRef]>,
    db: std::result::Result<&PgPool, Refusal>,
    means: &Means<'_>,
) -> Result<Standings> {
    let may_mean = |it: &&Entity| scorecard.filter.may_mean(it);
    let entities: Vec<EntityRef> = match entities {
        Some(entities) => entities.to_vec(),
        None => {
            let all = question.snapshot.entities().filter(may_mean);
            all.map(|it| it.reference.clone()).take(JUDGED_MAX + 1).collect()
        }
    };
    if entities.len() > JUDGED_MAX {
        let (why, next) = match db {
            Err(why) => return Err(why.into()),
            Ok(_) => (
                "this version of the scorecard was not evaluated yet",
                "Try again in a minute; `idp serve` evaluates what changed.",
            ),
        };
        let what = format!("How everything does by `{}`", scorecard.name);
        return Err(Refusal::Unavailable { what, why: why.into(), next: next.into() }.into());
    }
    let asked = match db {
        Ok(db) => {
            let asked = async {
                let exempt = exemption::flow::live(db, None).await?;
                anyhow::Ok((scorecards::flow::facts(db, &entities).await?, exempt))
            };
            answered(SCORES, timeout(PATIENCE, asked).await)
        }
        Err(why) => Err(why.into()),
    };
    let (facts, exempt, unasked) = match asked {
        Ok((facts, exempt)) => (facts, exempt, None),
        Err(Error::Refusal(why)) => {
            let why = Some(why.to_string()).filter(|_| scorecard.reads_facts());
            (HashMap::new(), exemption::Exempt::default(), why)
        }
        Err(fault) => return Err(fault),
    };
    let alone = ScorecardSet::of(vec![scorecard.clone()]);
    let judging = evaluate::Means {
        scorecards: &alone,
        facts: &facts,
        exempt: &exempt,
        definitions: &Definitions::default(),
        now: means.now,
    };
    let scores = evaluate::scores(question.snapshot, &entities, &judging);
    Ok(Standings { scores, as_of: None, unasked })
}

async fn history(
    db: &PgPool,
    scorecard: &Scorecard,
    now: DateTime<Utc>,
) -> Result<scorecard::History> {
    let asked = async {
        let (name, first) = (&scorecard.name, scorecard::first_day(now));
        let since = now - TimeDelta::days(scorecard::LATELY_DAYS);
        let changes = scorecards::flow::day_changes(db, name, None, first).await?;
        let flips = scorecards::flow::flips(db, Some(name), None, since, now).await?;
        anyhow::Ok(scorecard::History { changes, flips })
    };
    answered(SCORES, timeout(PATIENCE, asked).await)
}

/// What the catalog says is scored in an incident too: what was reported counts as unknown then.
async fn reported(
    question: &Question<'_>,
    scorecards: &[&Scorecard],
    means: &Means<'_>,
) -> Result<Reported> {
    const WHAT: &str = "What was reported";
    let reads_facts = |it: &&Scorecard| it.rules().any(|(_, rule)| rule.reads_facts());
    let why = |refusal: &Refusal| refusal.to_string();
    let Some(db) = means.db else {
        let facts = match scorecards.iter().any(reads_facts) {
            true => Err(why(&no_database(WHAT))),
            false => Ok(Vec::new()),
        };
        return Ok((facts, exemption::Exempt::default()));
    };
    let entity = &score::subject(question)?.reference;
    let asked = async {
        let exempt = exemption::flow::live(db, Some(entity)).await?;
        anyhow::Ok((crate::facts::flow::facts_of(db, entity).await?, exempt))
    };
    match answered(WHAT, timeout(PATIENCE, asked).await) {
        Ok((facts, exempt)) => Ok((Ok(facts), exempt)),
        Err(Error::Refusal(refusal)) => Ok((Err(why(&refusal)), exemption::Exempt::default())),
        Err(fault) => Err(fault),
    }
}

fn is_terminal(question: &Question<'_>) -> bool {
    question.person.speaker.platform == Platform::Terminal
}

/// How answers call what exemptions are kept in.
const EXEMPTIONS: &str = "The list of exemptions";

async fn ask_exempt(question: &Question<'_>, means: &Means<'_>) -> Result<Value> {
    means.authority.authorize(question.person, means.way, Verb::Request, Object::Catalog)?;
    let entity = score::subject(question)?;
    let scorecards = score::about(means.scorecards, entity, false);
    let request = exempt::request(question, &scorecards)?;
    let db = means.db.ok_or_else(|| no_database(EXEMPTIONS))?;
    let asked = timeout(PATIENCE, exemption::flow::ask(db, &request)).await;
    let told =
        (means.authority.terms().admins.as_slice(), |it: &EntityRef| place(question, means, it));
    exempt::asked(question, means.scorecards, &answered(EXEMPTIONS, asked)?, told)
}

async fn ask_exemptions(question: &Question<'_>, means: &Means<'_>) -> Result<Value> {
    let db = means.db.ok_or_else(|| no_database(EXEMPTIONS))?;
    let may = |it: &Exemption| may_decide(question, means, it);
    let mut decided = None;
    if let Some((id, decision, note)) = exempt::decision(question)? {
        let by = exempt::who(question)?;
        let deciding = exemption::flow::decide(db, id, decision, by, note.as_deref(), |it| {
            if decision.needs_right(it, by) { may(it) } else { Ok(()) }
        });
        let exemption = settled(EXEMPTIONS, timeout(PATIENCE, deciding).await)?;
        decided = Some((exemption, decision, note));
    }
    let (offset, rows) = (exempt::offset(question), PAGE_ROWS as i64);
    let asked = timeout(PATIENCE, exemption::flow::current(db, None, offset, rows)).await;
    let (current, total) = answered(EXEMPTIONS, asked)?;
    let total = usize::try_from(total).unwrap_or_default();
    let current = (&*current, total);
    let may = |it: &Exemption| may(it).is_ok();
    let place = |it: &EntityRef| place(question, means, it);
    exempt::listed(question, means.scorecards, decided.as_ref(), current, may, place)
}

/// Where `who` is told of something that is asked elsewhere.
fn place(question: &Question<'_>, means: &Means<'_>, who: &EntityRef) -> Option<Place> {
    Place::of(who, question.snapshot, means.links, &means.desk.connected)
}

/// Writes down what of `reply`, which answers `question`, is to be said elsewhere, too; a warning in the log where the
/// database does not take it.
pub async fn announce(question: &Question<'_>, reply: &Reply, means: &Means<'_>) {
    // What somebody else's service answers announces nothing.
    let Lookup::BuiltIn(BuiltIn::Exempt | BuiltIn::Exemptions) = question.call.command.lookup
    else {
        return;
    };
    let announcement = Announcement::deserialize(&reply.answer["announce"]);
    let (Ok(announcement), Some(db)) = (announcement, means.db) else { return };
    let said = match &announcement.markdown {
        Some(markdown) => Reply::markdown(markdown.clone()),
        None => Reply { feedback: None, audience: Audience::Channel, ..reply.clone() },
    };
    let written = timeout(PATIENCE, async {
        let mut connection = db.acquire().await?;
        announcements::store::write(&mut connection, &announcement, &said).await
    });
    let error = match written.await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => format!("{:#}", anyhow::Error::new(error)),
        Err(_) => "it takes too long".to_string(),
    };
    tracing::warn!(error, key = announcement.key, "could not announce a request");
}

/// The requests that nobody has decided on, the oldest first; none, and a line in the log, where the database does
/// not answer.
pub async fn open_requests(db: &PgPool) -> Vec<Exemption> {
    let asked = timeout(PATIENCE, exemption::flow::current(db, None, 0, REQUESTS_MAX)).await;
    let (mut open, _) = answered(EXEMPTIONS, asked).unwrap_or_else(|error| {
        tracing::warn!(error = error.into_reply().markdown, "could not list requests");
        (Vec::new(), 0)
    });
    open.retain(|it| it.state == State::Asked);
    open
}

/// Whether whoever asks may decide on `exemption`, looked at the moment they do.
fn may_decide(
    question: &Question<'_>,
    means: &Means<'_>,
    exemption: &Exemption,
) -> std::result::Result<(), Refusal> {
    let approvers = exemption::approvers(means.scorecards, &exemption.scorecard);
    let object = Object::Entity { owners: approvers.unwrap_or_default() };
    means.authority.authorize(question.person, means.way, Verb::Excuse, object).map(drop)
}

/// How answers call what requests are kept in.
const REQUESTS: &str = "What was asked for";

/// What requests are decided by, as `snapshot` has it.
fn desk<'a>(
    means: &Means<'a>,
    snapshot: &'a Snapshot,
) -> std::result::Result<actions::flow::Desk<'a>, Refusal> {
    let db = means.db.ok_or_else(|| no_database(REQUESTS))?;
    Ok(actions::flow::Desk {
        db,
        key: means.key,
        actions: means.actions,
        snapshot,
        links: means.links,
        authority: means.authority,
        connected: &means.desk.connected,
        means: invocation::Means {
            http: means.http,
            now: means.now,
            integrations: means.integrations,
            secrets: means.secrets,
            tokens: means.tokens,
            patience: ASKED_WITHIN,
        },
        rotas: means.rotas,
        alarm: means.alarm,
        now: means.now,
    })
}

async fn ask_run(question: &Question<'_>, means: &Means<'_>) -> Result<Value> {
    let (person, way, snapshot) = (question.person, means.way, question.snapshot);
    let target = question.entity("target");
    let Some(action) = lookups::actions::action(question, means.actions)? else {
        let may = |it: &Action| {
            actions::flow::may_ask(means.authority, person, way, it, target, snapshot).is_ok()
        };
        return lookups::actions::list(question, means.actions, may);
    };
    let (typed, break_glass) = lookups::actions::inputs(question)?;
    let given = lookups::actions::without_secrets(question, action, means.way, &typed)?;
    let desk = desk(means, snapshot)?;
    let ask = Ask { action, target, typed, person, way, address: question.address, break_glass };
    let asked = timeout(ASKED_WITHIN, actions::flow::ask(&desk, ask)).await;
    match settled(REQUESTS, asked) {
        Ok(asked) => lookups::actions::asked(&asked),
        // What is filled in need not be typed again.
        Err(Error::Refusal(Refusal::MissingArgument { missing, .. })) => {
            let usage = format!("run {}", action.name);
            Err(Refusal::MissingArgument { usage, missing, given }.into())
        }
        Err(error) => Err(error),
    }
}

async fn decide(question: &Question<'_>, means: &Means<'_>, verdict: Verdict) -> Result<Value> {
    let Some(handle) = question.call.get("request") else {
        return undecided(question, means, verdict.word()).await;
    };
    let note = lookups::actions::note(question, "reason")?;
    let since = Instant::now();
    loop {
        // What people are is looked at now, not when they began to ask.
        let snapshot = means.catalog.snapshot();
        let desk = desk(means, &snapshot)?;
        let ballot = Ballot {
            handle,
            person: question.person,
            way: means.way,
            verdict,
            confirmed: question.call.get("confirm"),
            code: question.call.get("code"),
            note: note.clone(),
        };
        let voted = timeout(PATIENCE, actions::vote::flow::vote(&desk, ballot)).await;
        if let Some(whole) = counted(voted, since).await? {
            return lookups::actions::decided(&whole);
        }
    }
}

/// What somebody's word came to, who has tried `since` then. `None`: what people are changed a moment ago, and by now it
/// may be tried again by what they are then.
async fn counted(
    voted: std::result::Result<Result<Voted>, Elapsed>,
    since: Instant,
) -> Result<Option<actions::Whole>> {
    match settled(REQUESTS, voted)? {
        Voted::Counted(whole) => Ok(Some(*whole)),
        Voted::Stale if since.elapsed() < FRESH_WITHIN => {
            sleep(STALE_AGAIN_AFTER).await;
            Ok(None)
        }
        Voted::Stale => Err(actions::refusal::stale()),
    }
}

/// What waits that whoever asks may `verb`.
async fn undecided(question: &Question<'_>, means: &Means<'_>, verb: &str) -> Result<Value> {
    let desk = desk(means, question.snapshot)?;
    let which = Which { open: true, ..Which::default() };
    let asked = timeout(PATIENCE, actions::flow::list(desk.db, &which, 0, REQUESTS_MAX)).await;
    let (mut found, _) = answered(REQUESTS, asked)?;
    found.retain(|it| match verb {
        "cancel" => Some(&it.request.requester) == question.person.user.as_ref() && !it.is_over(),
        _ => actions::flow::may_decide(&desk, it, question.person),
    });
    lookups::actions::undecided(question, means.actions, &found, verb)
}

/// What waits that `person` may decide on, those that wait longest last; none, and a line in the log, where the database
/// does not answer.
pub async fn undecided_of(
    desk: &actions::flow::Desk<'_>,
    person: &crate::access::Person,
) -> Vec<actions::Whole> {
    if person.user.is_none() {
        return Vec::new();
    }
    let which = Which { open: true, ..Which::default() };
    let asked = timeout(PATIENCE, actions::flow::list(desk.db, &which, 0, REQUESTS_MAX)).await;
    let (mut found, _) = answered(REQUESTS, asked).unwrap_or_else(|error| {
        tracing::warn!(error = error.into_reply().markdown, "could not list what waits");
        (Vec::new(), 0)
    });
    found.retain(|it| actions::flow::may_decide(desk, it, person));
    found
}

async fn take_back(question: &Question<'_>, means: &Means<'_>) -> Result<Value> {
    let Some(handle) = question.call.get("request") else {
        return undecided(question, means, "cancel").await;
    };
    let reason = lookups::actions::note(question, "reason")?;
    let desk = desk(means, question.snapshot)?;
    let taken = actions::flow::cancel(&desk, handle, question.person, means.way, reason);
    lookups::actions::decided(&settled(REQUESTS, timeout(PATIENCE, taken).await)?)
}

/// Writes down what whoever asks found of what was done without approval.
async fn review(question: &Question<'_>, means: &Means<'_>) -> Result<Value> {
    let handle = question.call.get("request").ok_or_else(|| question.missing("request"))?;
    let words = lookups::actions::note(question, "note")?;
    let words = words.ok_or_else(|| question.missing("note"))?;
    let since = Instant::now();
    loop {
        let snapshot = means.catalog.snapshot();
        let desk = desk(means, &snapshot)?;
        let found =
            actions::review::flow::review(&desk, handle, question.person, means.way, &words);
        if let Some(whole) = counted(timeout(PATIENCE, found).await, since).await? {
            return lookups::actions::decided(&whole);
        }
    }
}

/// Has what failed tried again.
async fn retry(question: &Question<'_>, means: &Means<'_>) -> Result<Value> {
    let handle = question.call.get("request").ok_or_else(|| question.missing("request"))?;
    let since = Instant::now();
    loop {
        let snapshot = means.catalog.snapshot();
        let desk = desk(means, &snapshot)?;
        let again = actions::retry::flow::retry(&desk, handle, question.person, means.way);
        if let Some(whole) = counted(timeout(PATIENCE, again).await, since).await? {
            return lookups::actions::decided(&whole);
        }
    }
}

/// Lets somebody else decide in place of whoever asks.
async fn delegate(question: &Question<'_>, means: &Means<'_>) -> Result<Value> {
    let handle = question.call.get("request").ok_or_else(|| question.missing("request"))?;
    let (to, note) = lookups::actions::delegate(question)?;
    let since = Instant::now();
    loop {
        let snapshot = means.catalog.snapshot();
        let desk = desk(means, &snapshot)?;
        let (person, way, note) = (question.person, means.way, note.clone());
        let handing = Handing { handle, person, way, to: &to.reference, note };
        let handed = timeout(PATIENCE, actions::delegation::flow::delegate(&desk, handing)).await;
        if let Some(whole) = counted(handed, since).await? {
            return lookups::actions::handed_on(&whole, to, question.snapshot);
        }
    }
}

async fn ask_requests(question: &Question<'_>, means: &Means<'_>) -> Result<Value> {
    use lookups::actions::View;
    let (person, way) = (question.person, means.way);
    let desk = desk(means, question.snapshot)?;
    let which = match View::of(question) {
        View::Show => {
            let id = lookups::actions::number(question)?;
            let shown = timeout(PATIENCE, actions::flow::show(&desk, id, person)).await;
            let whole = settled(REQUESTS, shown)?;
            return lookups::actions::told(id, actions::flow::details(&desk, &whole));
        }
        View::Ask => {
            let id = lookups::actions::number(question)?;
            let by = actions::flow::who(person)?;
            let text = lookups::actions::note(question, "note")?;
            let text = text.ok_or_else(|| question.missing("note"))?;
            let asked = timeout(PATIENCE, actions::flow::inquire(&desk, id, by, &text)).await;
            settled(REQUESTS, asked)?;
            let said = format!("Your question stands below the card of request {id}.");
            return lookups::actions::told(id, said);
        }
        View::Delegate => return delegate(question, means).await,
        View::Review => return review(question, means).await,
        View::Retry => return retry(question, means).await,
        View::Ran | View::Lost => {
            let id = lookups::actions::number(question)?;
            let it_ran = View::of(question) == View::Ran;
            let settling = actions::dispatch::flow::settle(&desk, id, person, way, it_ran);
            let whole = settled(REQUESTS, timeout(PATIENCE, settling).await)?;
            return lookups::actions::decided(&whole);
        }
        View::Stop => {
            let reason = lookups::actions::all_words(question)?;
            let reason = reason.ok_or_else(|| question.missing("note"))?;
            let stopped =
                timeout(PATIENCE, actions::emergency_stop::flow::stop(&desk, person, way, &reason))
                    .await;
            settled(REQUESTS, stopped)?;
            return lookups::actions::stopped(true);
        }
        View::Resume => {
            let resumed =
                timeout(PATIENCE, actions::emergency_stop::flow::resume(&desk, person, way)).await;
            settled(REQUESTS, resumed)?;
            return lookups::actions::stopped(false);
        }
        View::Open => Which { open: true, ..Which::default() },
        View::Mine => Which { requester: Some(actions::flow::who(person)?), ..Which::default() },
        View::All => Which::default(),
    };
    let (offset, rows) = (lookups::actions::offset(question), PAGE_ROWS as i64);
    let asked = timeout(PATIENCE, actions::flow::list(desk.db, &which, offset, rows)).await;
    let (found, total) = answered(REQUESTS, asked)?;
    let total = usize::try_from(total).unwrap_or_default();
    lookups::actions::requests(question, means.actions, &found, total)
}

/// How answers call what deliveries are kept in, and what teams say of their digests.
const DELIVERIES: &str = "The log of digests";

async fn ask_digest(question: &Question<'_>, means: &Means<'_>) -> Result<Value> {
    use digest::Wish;
    let wish = Wish::of(question, &means.desk.digests)?;
    let may_send = |digest: &Digest| {
        let approvers = approvers(digest, means.scorecards);
        let object = Object::Entity { owners: &approvers };
        means.authority.authorize(question.person, means.way, Verb::Send, object).map(drop)
    };
    // What is not allowed is refused before it is asked whether there is a database.
    match &wish {
        Wish::Send { digest, .. } => {
            may_send(digest)?;
            if !digest::is_connected(digest, &means.desk.connected) {
                return Err(digest::not_connected().into());
            }
        }
        Wish::Snooze { team, .. } | Wish::Wake { team } => {
            may_speak(question, means, std::slice::from_ref(&team.reference))?;
        }
        Wish::Disown { entity, .. } | Wish::Own { entity } => {
            let owners = digest::owners(question.snapshot, entity);
            let owners = digest::speaks_for(question, entity, &owners)?;
            may_speak(question, means, &owners)?;
        }
        Wish::Log { .. } | Wish::Preview { .. } | Wish::Disowned => {}
    }
    let db = means.db.ok_or_else(|| no_database(DELIVERIES))?;
    let (desk, by) = (means.desk, question.person.user.as_ref());
    match wish {
        Wish::Log { digest, team } => {
            let (offset, rows) = digest::rows(question);
            let (name, of) = (digest.map(|it| it.name.as_str()), team.map(|it| &it.reference));
            let asked = digests::flow::log(db, name, of, offset, rows);
            let logged = answered(DELIVERIES, timeout(PATIENCE, asked).await)?;
            digest::log(question, (digest, team), &logged)
        }
        Wish::Preview { digest, team } => {
            let made = digests::flow::preview(db, desk, digest, &team.reference);
            let (hearer, reply) = answered(DELIVERIES, timeout(PATIENCE, made).await)?;
            let may_send = may_send(digest).is_ok()
                && reply.is_some()
                && digest::is_connected(digest, &desk.connected);
            digest::preview(question, (digest, team), &hearer, reply.as_ref(), may_send)
        }
        Wish::Send { digest, team } => {
            let sent = digests::flow::send(db, desk, digest, &team.reference, by);
            let sent = answered(DELIVERIES, timeout(PATIENCE, sent).await)?;
            digest::sent(question, (digest, team), sent)
        }
        Wish::Snooze { team, days } => {
            let until = digests::flow::snooze(db, &team.reference, days, by);
            let until = answered(DELIVERIES, timeout(PATIENCE, until).await)?;
            digest::snoozed(question, team, Some(until), false)
        }
        Wish::Wake { team } => {
            let woken = digests::flow::wake(db, &team.reference);
            let was_snoozed = answered(DELIVERIES, timeout(PATIENCE, woken).await)?;
            digest::snoozed(question, team, None, was_snoozed)
        }
        Wish::Disowned => {
            let all = digests::flow::disowned(db);
            let all = answered(DELIVERIES, timeout(PATIENCE, all).await)?;
            digest::disowned_list(question, &all)
        }
        Wish::Disown { entity, reason } => {
            let teams = digest::owners(question.snapshot, entity);
            let teams = digest::speaks_for(question, entity, &teams)?;
            let said = digests::flow::disown(db, &entity.reference, &teams, &reason, by);
            answered(DELIVERIES, timeout(PATIENCE, said).await)?;
            digest::disowned(question, entity, &teams, Some(&reason))
        }
        Wish::Own { entity } => {
            let teams = digest::owners(question.snapshot, entity);
            let teams = digest::speaks_for(question, entity, &teams)?;
            let taken_back = digests::flow::own(db, &entity.reference, &teams);
            answered(DELIVERIES, timeout(PATIENCE, taken_back).await)?;
            digest::disowned(question, entity, &teams, None)
        }
    }
}

/// Who answers for the scorecards of `digest`.
fn approvers(digest: &Digest, all: &ScorecardSet) -> Vec<EntityRef> {
    let scorecards = digests::standing::scorecards(digest, all).into_iter();
    scorecards.flat_map(|it| it.exemptions.approvers.clone()).collect()
}

/// Whether whoever asks speaks for one of `teams`.
fn may_speak(question: &Question<'_>, means: &Means<'_>, teams: &[EntityRef]) -> Result<()> {
    let object = Object::Entity { owners: teams };
    let may = means.authority.authorize(question.person, means.way, Verb::Speak, object);
    match may {
        Ok(_) => Ok(()),
        // Who is linked to nobody hears how to change that.
        Err(refusal) if question.person.user.is_none() => Err(refusal.into()),
        Err(_) => {
            let whom: Vec<&str> = teams.iter().map(EntityRef::as_str).collect();
            Err(digest::not_a_member(&whom).into())
        }
    }
}

/// What the database did in time, or why it was not to be done.
fn settled<T>(what: &str, done: std::result::Result<Result<T>, Elapsed>) -> Result<T> {
    match done {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(Error::Refusal(refusal))) => Err(refusal.into()),
        Ok(Err(Error::Fault(fault))) => answered(what, Ok(Err(fault))),
        Err(late) => answered(what, Err(late)),
    }
}

async fn ask_sql(question: &Question<'_>, lookup: &SqlLookup, means: &Means<'_>) -> Result<Value> {
    let what = format!("The lookup of `{}`", question.call.command.name);
    let db = means.db.ok_or_else(|| no_database(&what))?;
    let arguments: Vec<Option<String>> =
        lookup.parameters.iter().map(|name| bound(question, name)).collect();
    let values: Vec<Option<&str>> = arguments.iter().map(Option::as_deref).collect();
    // The server gives up first, so that the reason is its own.
    let asked = store::rows(db, lookup, &values, ROWS_MAX, PATIENCE);
    let asked = timeout(PATIENCE + Duration::from_millis(300), asked).await;
    let (rows, is_cut) = answered(&what, asked.map(|it| it.map_err(anyhow::Error::new)))?;
    Ok(json!({ "total": rows.len(), "rows": rows, "cut": is_cut }))
}

/// What a parameter is bound to: an entity's name as written, anything else as it was typed.
fn bound(question: &Question<'_>, name: &str) -> Option<String> {
    let entity = question.entity(name).map(|entity| entity.name.to_string());
    entity.or_else(|| question.call.get(name).map(str::to_string))
}

async fn ask_http(
    question: &Question<'_>,
    lookup: &HttpLookup,
    means: &Means<'_>,
) -> Result<Value> {
    let what = format!("The service behind `{}`", question.call.command.name);
    let unavailable = |why: String| Refusal::Unavailable {
        what: what.clone(),
        why,
        next: "Try again in a minute.".into(),
    };
    let reference = means.secrets.get(&lookup.secret);
    let reference =
        reference.with_context(|| format!("idp.yaml has no secret `{}`", lookup.secret))?;
    let secret = reference.read().context("could not read the secret of an `http:` lookup")?;
    let body = http_body(question);
    let timestamp = means.now.timestamp().to_string();
    let signature = signature(&secret, &timestamp, &body.to_string());
    let headers = [("x-idp-timestamp", timestamp.as_str()), ("x-idp-signature", &signature)];
    let asked = timeout(PATIENCE, means.http.post_json(&lookup.url, &headers, &body)).await;
    let answer = match asked {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(unavailable(error.to_string()).into()),
        Err(_) => {
            let why = format!("it did not answer within {} s", PATIENCE.as_secs());
            return Err(unavailable(why).into());
        }
    };
    if !(200..300).contains(&answer.status) {
        return Err(unavailable(format!("it answered with status {}", answer.status)).into());
    }
    if answer.body.len() > HTTP_ANSWER_BYTES_MAX {
        let why = format!("it answered with more than {HTTP_ANSWER_BYTES_MAX} bytes");
        return Err(unavailable(why).into());
    }
    match serde_json::from_slice::<Value>(&answer.body) {
        Ok(answer) => Ok(json!({ "answer": answer })),
        Err(_) => Err(unavailable("it answered with something that is not JSON".into()).into()),
    }
}

/// What a service is sent: who asks for what, entities in full.
fn http_body(question: &Question<'_>) -> Value {
    let arguments: Map<String, Value> = question
        .call
        .arguments()
        .map(|(name, value)| {
            let value = match question.entity(name) {
                Some(entity) => json!({
                    "ref": entity.reference,
                    "kind": entity.kind,
                    "namespace": entity.reference.namespace(),
                    "name": entity.name,
                }),
                None => Value::from(value),
            };
            (name.to_string(), value)
        })
        .collect();
    json!({
        "command": question.call.command.name,
        "arguments": arguments,
        "asker": { "platform": question.person.speaker.platform, "user": question.person.user },
    })
}

fn no_database(what: &str) -> Refusal {
    unanswering(what, "the database does not answer".into())
}

fn unanswering(what: &str, why: String) -> Refusal {
    let next = "Who owns what, and what depends on what, can still be asked.".to_string();
    Refusal::Unavailable { what: what.to_string(), why, next }
}

/// What the database said in time. That it does not answer is a refusal, anything else a fault.
fn answered<T>(what: &str, asked: std::result::Result<anyhow::Result<T>, Elapsed>) -> Result<T> {
    match asked {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) if is_late(&error) => {
            let why = format!("the database needed more than {} s", PATIENCE.as_secs());
            Err(unanswering(what, why).into())
        }
        Ok(Err(error)) if is_outage(&error) => Err(no_database(what).into()),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(no_database(what).into()),
    }
}

/// Whether the server stopped a statement that took too long.
fn is_late(error: &anyhow::Error) -> bool {
    postgres::code(error).is_some_and(|code| code == "57014")
}

/// Writes down what was asked in vain; on a failure `unanswered` still has it.
///
/// # Errors
/// The database.
pub async fn record_unanswered(db: &PgPool, unanswered: &Unanswered) -> anyhow::Result<()> {
    let asked = unanswered.take();
    if asked.is_empty() {
        return Ok(());
    }
    let kept = async {
        let mut tx = db.begin().await?;
        store::keep_unanswered(&mut tx, &asked).await?;
        tx.commit().await
    };
    if let Err(error) = kept.await {
        unanswered.put_back(asked);
        return Err(error).context("could not write down what was asked in vain");
    }
    Ok(())
}

/// Writes down what was asked; on a failure `asked` still has it.
///
/// # Errors
/// The database.
pub async fn record_asked(db: &PgPool, asked: &AskedLately) -> anyhow::Result<()> {
    let taken = asked.take();
    if taken.is_empty() {
        return Ok(());
    }
    let kept = async {
        let mut tx = db.begin().await?;
        store::keep_asked(&mut tx, &taken, QUESTIONS_MAX as i64).await?;
        tx.commit().await
    };
    if let Err(error) = kept.await {
        asked.put_back(taken);
        return Err(error).context("could not write down what was asked");
    }
    Ok(())
}

/// What `speaker` asked lately, newest first; nothing while the database does not answer, which is in the log.
pub async fn asked_lately(db: &PgPool, speaker: &Speaker, now: DateTime<Utc>) -> Vec<String> {
    let since = now - TimeDelta::days(KEPT_DAYS.into());
    let error = match timeout(PATIENCE / 2, store::asked(db, speaker, since)).await {
        Ok(Ok(asked)) => return asked,
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => "the database needed too long".into(),
    };
    tracing::warn!(error, "could not read what somebody asked lately");
    Vec::new()
}

/// What was asked in vain most often, at most `limit`.
///
/// # Errors
/// The database.
pub async fn unanswered(db: &PgPool, limit: i64) -> anyhow::Result<Vec<Asked>> {
    store::unanswered(db, limit).await.context("could not read what was asked in vain")
}
