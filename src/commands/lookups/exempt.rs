//! That a rule does not count for an entity for a while: asked for, listed, decided on.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::{Named, PAGE_ROWS, Page, json, missing, required};
use crate::announcements::{Announcement, Place};
use crate::catalog::snapshot::Target;
use crate::catalog::{EntityRef, Snapshot};
use crate::commands::resolve::Question;
use crate::conversation::Untrusted;
use crate::error::{Error, Refusal, Result};
use crate::scorecards::exemption::{self, Decision, Exemption, Request, State};
use crate::scorecards::{Scorecard, ScorecardSet};

/// Without any said.
const DAYS: u32 = 30;

/// What is asked for now.
#[derive(Debug, Serialize)]
struct Asked<'a> {
    #[serde(flatten)]
    row: Row<'a>,
    /// Who decides; empty: the portal's admins.
    approvers: Vec<Named<'a>>,
    /// Where else it is said.
    announce: Option<Announcement>,
}

/// What is asked for and what holds.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    /// What was just decided.
    decided: Option<Decided<'a>>,
    total: usize,
    exemptions: Vec<Row<'a>>,
    page: Option<Page>,
    /// What whoever asked is told of the decision.
    announce: Option<Announcement>,
}

#[derive(Debug, Serialize)]
struct Decided<'a> {
    #[serde(flatten)]
    row: Row<'a>,
    by: Named<'a>,
    note: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub struct Row<'a> {
    pub id: i64,
    pub entity: Named<'a>,
    /// The title of the rule and of the scorecard; their names where these are no more.
    pub rule: &'a str,
    pub scorecard: &'a str,
    pub reason: &'a str,
    pub days: i32,
    pub asked_by: Named<'a>,
    pub asked_at: DateTime<Utc>,
    pub state: State,
    /// Set where it holds.
    pub ends_at: Option<DateTime<Utc>>,
    /// Whether who reads this asked for it.
    pub mine: bool,
    /// Whether who reads this may decide on it.
    pub may_decide: bool,
}

/// Who asks for something, or decides.
///
/// # Errors
/// Nobody the catalog knows.
pub fn who<'a>(question: &Question<'a>) -> Result<&'a EntityRef> {
    question.person.user.as_ref().ok_or_else(|| {
        Error::Refusal(Refusal::NotAllowed {
            rule: "Exemptions are asked for and decided on by name.".into(),
            next: "Say who you are, in the terminal by `--as your-name`.".into(),
            instead: Vec::new(),
        })
    })
}

/// What `question` asks for; the rule is one of `scorecards`, which are about the entity.
///
/// # Errors
/// No entity, rule or reason; what [`exemption::request`] refuses.
pub fn request(question: &Question<'_>, scorecards: &[&Scorecard]) -> Result<Request> {
    let entity = required(question, "entity")?;
    let typed = question.call.get("rule").ok_or_else(|| missing(question, "rule"))?;
    let reason = question.call.get("reason").unwrap_or_default();
    let days = question.call.number("days").unwrap_or(DAYS);
    let rule = exemption::rule(scorecards, typed)?;
    Ok(exemption::request(&entity.reference, rule, days, reason, who(question)?)?)
}

/// What is asked for now: what `question` asks for, or what somebody asked before.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn asked(
    question: &Question<'_>,
    all: &ScorecardSet,
    asked: &Exemption,
    (admins, place): (&[EntityRef], impl Fn(&EntityRef) -> Option<Place>),
) -> Result<Value> {
    let snapshot = question.snapshot;
    let approvers = exemption::approvers(all, &asked.scorecard);
    let places = approvers.unwrap_or(admins).iter().filter_map(place);
    let places: Vec<Place> = places.filter(|it| !it.is_at(question.address)).collect();
    let key = format!("exemption {}", asked.id);
    let approvers = approvers.unwrap_or_default();
    json(Asked {
        announce: (!places.is_empty()).then_some(Announcement { key, places, markdown: None }),
        row: row(snapshot, all, asked, question.person.user.as_ref(), false),
        approvers: approvers.iter().map(|it| named(snapshot, it)).collect(),
    })
}

/// What `question` decides on, as number and decision with what is said to it; `None` where it only asks.
///
/// # Errors
/// A decision without a number; a very long note.
pub fn decision(question: &Question<'_>) -> Result<Option<(i64, Decision, Option<String>)>> {
    let Some(decision) = question.call.get("decision").and_then(Decision::from_word) else {
        return Ok(None);
    };
    let id = question.call.number("number").ok_or_else(|| missing(question, "number"))?;
    let note = exemption::said("note", question.call.get("note").unwrap_or_default())?;
    Ok(Some((i64::from(id), decision, note)))
}

/// `current` as a page of `total`, and what was just decided. `may_decide` says on which the reader may.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn listed(
    question: &Question<'_>,
    all: &ScorecardSet,
    decided: Option<&(Exemption, Decision, Option<String>)>,
    (current, total): (&[Exemption], usize),
    may_decide: impl Fn(&Exemption) -> bool,
    place: impl Fn(&EntityRef) -> Option<Place>,
) -> Result<Value> {
    let snapshot = question.snapshot;
    let me = question.person.user.as_ref();
    let row = |it| row(snapshot, all, it, me, may_decide(it));
    let decided_of = decided.map(|(exemption, _, _)| exemption);
    let decided = decided.map(|(exemption, decision, note)| {
        let state = decision.state();
        let by = me.unwrap_or(&exemption.asked_by);
        let note = note.as_deref();
        Decided { row: Row { state, ..row(exemption) }, by: named(snapshot, by), note }
    });
    let announce = decided.as_ref().zip(decided_of).and_then(|(said, exemption)| {
        let place = place(&exemption.asked_by).filter(|_| !said.row.mine)?;
        let key = format!("exemption {} {}", exemption.id, said.row.state.word());
        Some(Announcement { key, places: vec![place], markdown: Some(outcome(said)) })
    });
    json(Listed {
        announce,
        // The answer to a decision is never empty.
        total: total.max(usize::from(decided.is_some())),
        decided,
        exemptions: current.iter().map(row).collect(),
        page: Page::of(&question.call, question.page(), total),
    })
}

/// What whoever asked is told.
fn outcome(decided: &Decided<'_>) -> String {
    let Decided { row, by, note } = decided;
    let plain = |text: &str| Untrusted::from(text).to_markdown();
    let what = match row.state {
        State::Granted => "granted",
        State::Refused => "refused",
        State::Ended => "ended early",
        State::Asked | State::Withdrawn => "withdrew",
    };
    let (by, rule, label) = (plain(&by.label), plain(row.rule), plain(&row.entity.label));
    let mut text = format!(
        "**{by}** {what} what you asked for: that _{rule}_ does not count for **{label}**."
    );
    if let Some(note) = note {
        let _ = write!(text, "\n\n> {}", plain(note));
    }
    text
}

/// `exemption` as `me` reads it.
pub fn row<'a>(
    snapshot: &'a Snapshot,
    all: &'a ScorecardSet,
    exemption: &'a Exemption,
    me: Option<&EntityRef>,
    may_decide: bool,
) -> Row<'a> {
    let (scorecard, rule) = titles(all, &exemption.scorecard, &exemption.rule);
    let mine = me == Some(&exemption.asked_by);
    Row {
        id: exemption.id,
        entity: named(snapshot, &exemption.entity),
        rule,
        scorecard,
        reason: &exemption.reason,
        days: exemption.days,
        asked_by: named(snapshot, &exemption.asked_by),
        asked_at: exemption.asked_at,
        state: exemption.state,
        ends_at: exemption.ends_at,
        mine,
        may_decide: may_decide && !mine,
    }
}

/// From which row on a page lists.
pub fn offset(question: &Question<'_>) -> i64 {
    i64::try_from((question.page() - 1).saturating_mul(PAGE_ROWS)).unwrap_or(i64::MAX)
}

fn titles<'a>(all: &'a ScorecardSet, scorecard: &'a str, rule: &'a str) -> (&'a str, &'a str) {
    match all.find(scorecard) {
        Some(found) => {
            let title = found.rule(rule).map_or(rule, |(_, rule)| rule.title.as_str());
            (&found.title, title)
        }
        None => (scorecard, rule),
    }
}

fn named<'a>(snapshot: &'a Snapshot, reference: &'a EntityRef) -> Named<'a> {
    match snapshot.find(reference.as_str()) {
        Some(entity) => Named::entity(snapshot, entity),
        None => Named::target(snapshot, Target::Missing(reference)),
    }
}
