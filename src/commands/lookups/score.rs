//! How an entity does by the scorecards that are about it, and what to do next.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::standings::Standings;
use super::team_score::{self, Team};
use super::{Named, json, label, required};
use crate::catalog::Entity;
use crate::commands::resolve::Question;
use crate::error::Result;
use crate::facts::{self, Fact};
use crate::pictures::chart::Chart;
use crate::scorecards::exemption::Exempt;
use crate::scorecards::judge::{self, Judged, Known, Outcome, Step};
use crate::scorecards::level::Climb;
use crate::scorecards::{Scorecard, ScorecardSet};

/// The most steps that are told: who has done them asks again.
const STEPS_MAX: usize = 5;
/// How wide the names of checks are at least, in letters.
const CHECK_WIDTH: usize = 20;
/// Where the title of a scorecard begins, in letters.
const TITLE_COLUMN: usize = 37;
/// From so many percent on a check is no failure.
const HALF: u8 = 50;

#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    pub entity: Named<'a>,
    /// How many scorecards are about it, or about what it owns.
    pub total: usize,
    pub scorecards: Vec<Card<'a>>,
    /// Why reported facts could not be asked: rules that read them are unknown.
    pub unasked: Option<String>,
    /// How what it owns does; `None` where it is no team, or no scorecard is about what it owns.
    pub team: Option<Team<'a>>,
    pub chart: Option<Chart>,
}

/// What a team owns.
#[derive(Debug)]
pub struct Owned<'a> {
    pub entities: usize,
    pub standings: Vec<(&'a Scorecard, Standings)>,
    /// How many scorecards were not asked.
    pub more: usize,
}

/// One scorecard.
#[derive(Debug, Serialize)]
pub struct Card<'a> {
    pub name: &'a str,
    pub title: &'a str,
    pub draft: bool,
    /// All of it as lines of text: bars per check, overall, level.
    pub picture: String,
    pub checks: Vec<Row<'a>>,
    /// `None`: no rule counts.
    pub percent: Option<u8>,
    pub level: Option<&'a str>,
    pub next: Option<Next<'a>>,
    /// What would raise it, the cheapest first.
    pub steps: Vec<Todo<'a>>,
    /// How many steps are not told.
    pub more: usize,
    /// Rules that it is exempt from.
    pub exempt: Vec<Ending<'a>>,
    /// Rules that do not count yet.
    pub later: Vec<Ending<'a>>,
}

#[derive(Debug, Serialize)]
pub struct Row<'a> {
    pub name: &'a str,
    pub title: &'a str,
    pub percent: Option<u8>,
}

/// The level above.
#[derive(Debug, Serialize)]
pub struct Next<'a> {
    pub level: &'a str,
    /// How many percent points it is away; `None` on a ladder.
    pub points: Option<u8>,
}

/// A rule that does not pass.
#[derive(Debug, Serialize)]
pub struct Todo<'a> {
    pub rule: &'a str,
    pub title: &'a str,
    pub check: &'a str,
    /// Why nobody knows; `None`: it fails.
    pub unknown: Option<String>,
    /// `30 min`, `4 h`
    pub effort: Option<String>,
    /// By how many percent points of the whole it is more.
    pub gain: u8,
    pub remedy: Option<&'a str>,
    pub link: Option<&'a str>,
}

/// A rule, and when what is told of it ends; `None`: when somebody ends it.
#[derive(Debug, Serialize)]
pub struct Ending<'a> {
    pub rule: &'a str,
    pub title: &'a str,
    pub until: Option<DateTime<Utc>>,
}

/// The entity whose score is asked for.
///
/// # Errors
/// No entity was given.
pub fn subject<'a>(question: &Question<'a>) -> Result<&'a Entity> {
    required(question, "entity")
}

/// Those of `all` that may be about `entity`, drafts only for those who `see_drafts`.
pub fn about<'a>(all: &'a ScorecardSet, entity: &Entity, see_drafts: bool) -> Vec<&'a Scorecard> {
    all.iter().filter(|it| it.filter.may_mean(entity) && (see_drafts || !it.draft)).collect()
}

/// What `scorecards` find of the subject, and what others find of what is `owned` by it. `facts` are those reported of it, or why they could not be asked.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn answer(
    question: &Question<'_>,
    scorecards: &[&Scorecard],
    facts: std::result::Result<Vec<Fact>, String>,
    exempt: &Exempt,
    owned: Option<&Owned<'_>>,
    now: DateTime<Utc>,
) -> Result<Value> {
    let entity = subject(question)?;
    let (facts, unasked) = match facts {
        Ok(facts) => (facts, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let described = facts::catalog::describe(question.snapshot, entity);
    let named = Named::entity(question.snapshot, entity);
    let cards: Vec<(&Scorecard, Judged)> = scorecards
        .iter()
        .filter_map(|scorecard| {
            let exempt = exempt.of(&entity.reference, &scorecard.name);
            let known = Known { entity: &described, facts: &facts, exempt };
            Some((*scorecard, judge::judge(scorecard, &known, now)?))
        })
        .collect();
    let cards: Vec<Card<'_>> =
        cards.iter().map(|(scorecard, judged)| card(&named.words, scorecard, judged)).collect();
    let unasked = unasked.filter(|_| !cards.is_empty());
    let snapshot = question.snapshot;
    let team = owned.map(|it| team_score::team(snapshot, it.entities, &it.standings, it.more));
    let team = team.filter(|it| !it.sections.is_empty());
    json(Answer {
        total: cards.len() + team.as_ref().map_or(0, |it| it.sections.len()),
        scorecards: cards,
        unasked,
        chart: owned.and_then(|it| team_score::chart(snapshot, &label(entity), &it.standings)),
        team,
        entity: named,
    })
}

fn card<'a>(entity: &str, scorecard: &'a Scorecard, judged: &'a Judged) -> Card<'a> {
    let checks: Vec<Row<'_>> = scorecard
        .checks
        .iter()
        .zip(&judged.checks)
        .map(|(check, it)| Row { name: &check.name, title: &check.title, percent: it.percent })
        .collect();
    let level = judged.level.and_then(|place| scorecard.levels.all.get(place));
    let level = level.map(|level| level.name.as_str());
    let steps = judge::steps(scorecard, judged);
    let outcomes = judged.checks.iter().flat_map(|check| &check.rules);
    let rules = || scorecard.rules().map(|(_, rule)| rule).zip(outcomes.clone());
    let exempt = rules().filter_map(|(rule, outcome)| match outcome {
        Outcome::Exempt { until } => {
            Some(Ending { rule: &rule.name, title: &rule.title, until: *until })
        }
        _ => None,
    });
    let later = rules().filter_map(|(rule, outcome)| match outcome {
        Outcome::Later { from } => {
            Some(Ending { rule: &rule.name, title: &rule.title, until: Some(*from) })
        }
        _ => None,
    });
    Card {
        name: &scorecard.name,
        title: &scorecard.title,
        draft: scorecard.draft,
        picture: picture(entity, scorecard, &checks, judged.percent, level),
        percent: judged.percent,
        level,
        next: next(scorecard, judged),
        more: steps.len().saturating_sub(STEPS_MAX),
        steps: steps.iter().take(STEPS_MAX).map(todo).collect(),
        exempt: exempt.collect(),
        later: later.collect(),
        checks,
    }
}

/// ```text
/// payment-api                          Production readiness
/// ✅ Documentation        [100%]
/// ❌ Disaster Recovery    [ 20%]
/// Overall: 75% – Bronze
/// ```
fn picture(
    entity: &str,
    scorecard: &Scorecard,
    checks: &[Row<'_>],
    percent: Option<u8>,
    level: Option<&str>,
) -> String {
    let width = |text: &str| text.chars().count();
    let widest = checks.iter().map(|check| width(check.title)).max().unwrap_or_default();
    let widest = widest.max(CHECK_WIDTH);
    let gap = TITLE_COLUMN.saturating_sub(width(entity)).max(2);
    let mut lines = vec![format!("{entity}{:gap$}{}", "", scorecard.title)];
    for check in checks {
        let (mark, percent) = match check.percent {
            Some(100) => ("✅", "100%".to_string()),
            Some(some @ HALF..) => ("⚠️", format!("{some:>3}%")),
            Some(few) => ("❌", format!("{few:>3}%")),
            None => ("➖", "  – ".to_string()),
        };
        let pad = widest - width(check.title);
        lines.push(format!("{mark} {}{:pad$} [{percent}]", check.title, ""));
    }
    let overall = percent.map_or("nothing counts".to_string(), |percent| format!("{percent}%"));
    lines.push(match (level, scorecard.levels.all.first()) {
        (Some(level), _) => format!("Overall: {overall} – {level}"),
        (None, Some(lowest)) => format!("Overall: {overall} – below {}", lowest.name),
        (None, None) => format!("Overall: {overall}"),
    });
    lines.join("\n")
}

fn next<'a>(scorecard: &'a Scorecard, judged: &Judged) -> Option<Next<'a>> {
    let place = judged.level.map_or(0, |place| place + 1);
    let above = scorecard.levels.all.get(place)?;
    let percent = judged.percent?;
    let points = above.from.filter(|_| scorecard.levels.climb == Climb::Thresholds);
    Some(Next { level: &above.name, points: points.map(|from| from.saturating_sub(percent)) })
}

fn todo<'a>(step: &Step<'a>) -> Todo<'a> {
    Todo {
        rule: &step.rule.name,
        title: &step.rule.title,
        check: &step.check.title,
        unknown: match step.outcome {
            Outcome::Unknown(why) => Some(why.to_string()),
            _ => None,
        },
        effort: step.rule.effort.map(|effort| effort.to_string()),
        gain: (step.gain.round() as u8).max(1),
        remedy: step.rule.remedy.text.as_deref(),
        link: step.rule.remedy.link.as_deref(),
    }
}
