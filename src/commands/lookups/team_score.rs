//! How what a team owns does by each scorecard, and what it could do next.

use serde::Serialize;

use super::Named;
use super::standings::{OpenRule, Standings, Sum, colour, open_rules};
use crate::catalog::snapshot::Target;
use crate::catalog::{Entity, EntityRef, RelationKind, Snapshot};
use crate::pictures::chart::{Bar, Bars, Chart, PARTS_MAX, Part};
use crate::scorecards::evaluate::Score;
use crate::scorecards::summary::{self, Advice, Summary};
use crate::scorecards::{Scorecard, ScorecardSet};

/// The most scorecards that are told of; the others are counted.
pub const SECTIONS_MAX: usize = 4;
/// The most rules, steps, and entities of a step that one of them names.
const RULES_MAX: usize = 3;
const STEPS_MAX: usize = 4;
const NAMED_MAX: usize = 4;
/// How much of what does worst gets a button.
const LOWEST_MAX: usize = 3;
/// The most entities that are drawn of each scorecard.
const DRAWN_MAX: usize = 12;

/// What `score` says of a team besides the team's own score.
#[derive(Debug, Serialize)]
pub struct Team<'a> {
    /// How many entities it owns.
    pub owned: usize,
    pub sections: Vec<Section<'a>>,
    /// How many scorecards are not told of.
    pub more: usize,
    /// What does worst by any of them.
    pub lowest: Vec<Named<'a>>,
}

/// One scorecard.
#[derive(Debug, Serialize)]
pub struct Section<'a> {
    pub name: &'a str,
    pub title: &'a str,
    pub draft: bool,
    #[serde(flatten)]
    pub sum: Sum,
    pub worst: Vec<OpenRule<'a>>,
    /// What would raise the scores, the cheapest first.
    pub steps: Vec<Step<'a>>,
    /// How many steps are not told.
    pub more: usize,
    pub as_of: Option<chrono::DateTime<chrono::Utc>>,
    pub unasked: Option<&'a str>,
}

/// A rule that some do not pass.
#[derive(Debug, Serialize)]
pub struct Step<'a> {
    pub rule: &'a str,
    pub title: &'a str,
    pub check: &'a str,
    /// For one of them: `30 min`, `4 h`
    pub effort: Option<String>,
    /// By how many percent points it raises each, on average.
    pub gain: u8,
    /// How many wait for it, some of them by name, and how many more.
    pub waiting: usize,
    pub entities: Vec<Named<'a>>,
    pub more: usize,
    pub unknown: usize,
    pub remedy: Option<&'a str>,
    pub link: Option<&'a str>,
}

/// What the team `entity` owns; `None` where it is no team.
pub fn owned<'a>(snapshot: &'a Snapshot, entity: &Entity) -> Option<Vec<&'a Entity>> {
    if entity.reference.kind() != "group" {
        return None;
    }
    let owned = snapshot.related(entity, RelationKind::OwnerOf).into_iter();
    let known = owned.filter_map(|target| match target {
        Target::Known(entity) => Some(entity),
        Target::Missing(_) => None,
    });
    Some(known.collect())
}

/// Those of `all` that may be about any of `owned`, drafts only for those who `see_drafts`.
pub fn about<'a>(all: &'a ScorecardSet, owned: &[&Entity], see_drafts: bool) -> Vec<&'a Scorecard> {
    let may_mean = |it: &&Scorecard| owned.iter().any(|entity| it.filter.may_mean(entity));
    all.iter().filter(|it| see_drafts || !it.draft).filter(may_mean).collect()
}

/// What `standings` say of a team that owns `owned` entities; scorecards that are about none of them are left out.
pub fn team<'a>(
    snapshot: &'a Snapshot,
    owned: usize,
    standings: &'a [(&'a Scorecard, Standings)],
    more: usize,
) -> Team<'a> {
    let told = standings.iter().filter(|(_, it)| !it.scores.is_empty());
    let sections: Vec<Section<'_>> =
        told.clone().map(|(scorecard, it)| section(snapshot, scorecard, it)).collect();
    let scores = told.flat_map(|(_, it)| &it.scores);
    let mut lowest: Vec<&Score> = Vec::new();
    for score in lowest_first(scores).into_iter().filter(|it| it.percent != Some(100)) {
        if lowest.len() < LOWEST_MAX && lowest.iter().all(|it| it.entity != score.entity) {
            lowest.push(score);
        }
    }
    Team {
        owned,
        sections,
        more,
        lowest: lowest.into_iter().map(|score| named(snapshot, &score.entity)).collect(),
    }
}

fn section<'a>(
    snapshot: &'a Snapshot,
    scorecard: &'a Scorecard,
    standings: &'a Standings,
) -> Section<'a> {
    let Standings { scores, as_of, unasked } = standings;
    let mut worst = open_rules(scorecard, scores);
    worst.truncate(RULES_MAX);
    let advice = summary::advice(scorecard, scores);
    let steps = advice.iter().take(STEPS_MAX).map(|it| step(snapshot, it));
    Section {
        name: &scorecard.name,
        title: &scorecard.title,
        draft: scorecard.draft,
        sum: Sum::of(scorecard, &Summary::of(scorecard, scores)),
        worst,
        steps: steps.collect(),
        more: advice.len().saturating_sub(STEPS_MAX),
        as_of: *as_of,
        unasked: unasked.as_deref(),
    }
}

fn step<'a>(snapshot: &'a Snapshot, advice: &Advice<'a>) -> Step<'a> {
    let (rule, waiting) = (advice.rule, advice.entities.len());
    let gain = advice.gains.iter().sum::<f64>() / waiting.max(1) as f64;
    Step {
        rule: &rule.name,
        title: &rule.title,
        check: &advice.check.title,
        effort: rule.effort.map(|effort| effort.to_string()),
        gain: (gain.round() as u8).max(1),
        waiting,
        entities: advice.entities.iter().take(NAMED_MAX).map(|it| named(snapshot, it)).collect(),
        more: waiting.saturating_sub(NAMED_MAX),
        unknown: advice.unknown,
        remedy: rule.remedy.text.as_deref(),
        link: rule.remedy.link.as_deref(),
    }
}

/// Each of what the team owns as a bar in the colour of its level, the lowest first, for each scorecard.
pub fn chart(
    snapshot: &Snapshot,
    team: &str,
    standings: &[(&Scorecard, Standings)],
) -> Option<Chart> {
    let drawn = standings.iter().filter(|(_, it)| it.scores.iter().any(|it| it.percent.is_some()));
    let parts: Vec<Part> = drawn
        .take(PARTS_MAX)
        .map(|(scorecard, it)| {
            let scored = lowest_first(&it.scores);
            let bars = scored.iter().take(DRAWN_MAX).map(|score| Bar {
                label: named(snapshot, &score.entity).label.into_owned(),
                colour: colour(scorecard, score.level),
                value: f64::from(score.percent.unwrap_or(0)),
            });
            Part::Bars(Bars {
                title: scorecard.title.clone(),
                unit: "%".into(),
                rows: bars.collect(),
                more: scored.len().saturating_sub(DRAWN_MAX),
                top: Some(100.0),
            })
        })
        .collect();
    (!parts.is_empty()).then(|| Chart { title: format!("Scores of {team}"), parts })
}

/// Those that have a percentage.
fn lowest_first<'a>(scores: impl IntoIterator<Item = &'a Score>) -> Vec<&'a Score> {
    let mut scored: Vec<&Score> = scores.into_iter().filter(|it| it.percent.is_some()).collect();
    scored.sort_by_key(|it| it.percent);
    scored
}

fn named<'a>(snapshot: &'a Snapshot, reference: &'a EntityRef) -> Named<'a> {
    match snapshot.find(reference.as_str()) {
        Some(entity) => Named::entity(snapshot, entity),
        None => Named::target(snapshot, Target::Missing(reference)),
    }
}
