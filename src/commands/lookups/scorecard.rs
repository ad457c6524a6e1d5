//! How everything does by a scorecard: levels, teams, the rules that fewest pass, and how that went.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;

use super::standings::{OpenRule, Standings, Sum, counts, open_rules, segments};
use super::{Named, PAGE_ROWS, Page, json, offset};
use crate::catalog::formats::fields::closest;
use crate::catalog::snapshot::Target;
use crate::catalog::{Entity, RelationKind, Snapshot};
use crate::commands::parse::shortened;
use crate::commands::resolve::Question;
use crate::error::{Refusal, Result};
use crate::pictures::chart::{Bar, Bars, Chart, Line, Part, Row, Shares, Trend};
use crate::scorecards::evaluate::Score;
use crate::scorecards::summary::{self, DayChange, Flip, Point, Summary};
use crate::scorecards::{Scorecard, ScorecardSet};

/// How far the trend looks back.
const WEEKS: i64 = 12;
/// How many days what flipped lately is told of.
pub const LATELY_DAYS: i64 = 7;
/// The most rules, and of those the most regressions, that are named.
const RULES_MAX: usize = 5;
const REGRESSIONS_MAX: usize = 3;
/// The most scorecards that are listed, and the most that the sentence of a refusal names.
const LISTED_MAX: usize = 20;
const OFFERED_MAX: usize = 5;
/// The most teams and rules that are drawn.
const TEAMS_DRAWN_MAX: usize = 12;
const RULES_DRAWN_MAX: usize = 8;

/// How the standings came to be; empty where that is not known.
#[derive(Debug, Default)]
pub struct History {
    /// The newest first.
    pub changes: Vec<DayChange>,
    /// Of the last [`LATELY_DAYS`], the oldest first.
    pub flips: Vec<Flip>,
}

/// Which scorecards there are.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    total: usize,
    scorecards: Vec<Told<'a>>,
    more: usize,
}

#[derive(Debug, Serialize)]
struct Told<'a> {
    name: &'a str,
    title: &'a str,
    description: &'a str,
    draft: bool,
    rules: usize,
}

#[derive(Debug, Serialize)]
struct Answer<'a> {
    /// How many it is about.
    total: usize,
    scorecard: Told<'a>,
    #[serde(flatten)]
    sum: Sum,
    /// What fewest pass first.
    worst: Vec<OpenRule<'a>>,
    more_rules: usize,
    /// One page, the lowest first.
    teams: Vec<OfTeam<'a>>,
    of_teams: usize,
    /// How many belong to no team that the catalog describes.
    of_nobody: usize,
    went: Option<Went>,
    lately: Option<Lately<'a>>,
    as_of: Option<DateTime<Utc>>,
    unasked: Option<&'a str>,
    page: Option<Page>,
    chart: Option<Chart>,
}

#[derive(Debug, Serialize)]
struct OfTeam<'a> {
    team: Named<'a>,
    #[serde(flatten)]
    sum: Sum,
}

/// What it was on the first day that is known, at most [`WEEKS`] ago.
#[derive(Debug, Serialize)]
struct Went {
    from: NaiveDate,
    entities: usize,
    mean: Option<u8>,
    has_mean: bool,
}

/// What rules began to find, and no longer find.
#[derive(Debug, Serialize)]
struct Lately<'a> {
    days: i64,
    passed: usize,
    regressed: usize,
    /// The newest.
    regressions: Vec<Regression<'a>>,
}

#[derive(Debug, Serialize)]
struct Regression<'a> {
    entity: Named<'a>,
    rule: &'a str,
    cause: String,
}

/// Those of `all` that whoever asks may see.
pub fn visible(all: &ScorecardSet, see_drafts: bool) -> Vec<&Scorecard> {
    all.iter().filter(|it| see_drafts || !it.draft).collect()
}

/// The one of `all` that is asked for; `None` where none is named.
///
/// # Errors
/// A name that none has.
pub fn asked<'a>(question: &Question<'_>, all: &[&'a Scorecard]) -> Result<Option<&'a Scorecard>> {
    let Some(typed) = question.call.get("name") else { return Ok(None) };
    let is_meant = |it: &&&Scorecard| {
        it.name.eq_ignore_ascii_case(typed) || it.title.to_lowercase() == typed.to_lowercase()
    };
    if let Some(found) = all.iter().find(is_meant) {
        return Ok(Some(found));
    }
    let words = all.iter().flat_map(|it| [it.name.as_str(), it.title.as_str()]);
    let meant = closest(typed, words);
    let meant =
        all.iter().filter(|it| meant.is_some_and(|word| it.name == word || it.title == word));
    let mut names: Vec<String> = meant.map(|it| it.name.clone()).collect();
    if names.is_empty() {
        names = all.iter().take(OFFERED_MAX).map(|it| it.name.clone()).collect();
    }
    let call = |name: &String| question.call.with("name", name).words();
    Err(Refusal::UnknownEntity {
        what: "scorecard".into(),
        name: shortened(typed),
        instead: names.iter().map(call).collect(),
        closest: names,
    }
    .into())
}

/// Which there are.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn listed(all: &[&Scorecard]) -> Result<Value> {
    json(Listed {
        total: all.len(),
        scorecards: all.iter().take(LISTED_MAX).map(|it| told(it)).collect(),
        more: all.len().saturating_sub(LISTED_MAX),
    })
}

fn told(scorecard: &Scorecard) -> Told<'_> {
    Told {
        name: &scorecard.name,
        title: &scorecard.title,
        description: &scorecard.description,
        draft: scorecard.draft,
        rules: scorecard.rules().count(),
    }
}

/// The day on which the trend begins.
pub fn first_day(now: DateTime<Utc>) -> NaiveDate {
    (now - TimeDelta::weeks(WEEKS)).date_naive()
}

/// How everything does by `scorecard`, page by page of the teams.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn answer(
    question: &Question<'_>,
    scorecard: &Scorecard,
    standings: &Standings,
    history: &History,
    now: DateTime<Utc>,
) -> Result<Value> {
    let Standings { scores, as_of, unasked } = standings;
    let snapshot = question.snapshot;
    let summary = Summary::of(scorecard, scores);
    let (teams, of_nobody) = teams(snapshot, scorecard, scores);
    let mut worst = open_rules(scorecard, scores);
    let points = as_of.map(|_| {
        let (since, today) = (first_day(now), now.date_naive());
        summary::trend(scorecard, scores, &history.changes, since, today)
    });
    let points = points.unwrap_or_default();
    let chart = chart(scorecard, &summary, &teams, &worst, &points);
    let more_rules = worst.len().saturating_sub(RULES_MAX);
    worst.truncate(RULES_MAX);
    let number = question.page();
    let rows = teams.iter().skip(offset(number)).take(PAGE_ROWS);
    json(Answer {
        total: summary.entities,
        scorecard: told(scorecard),
        sum: Sum::of(scorecard, &summary),
        worst,
        more_rules,
        teams: rows
            .map(|(team, summary)| OfTeam {
                team: Named::entity(snapshot, team),
                sum: Sum::of(scorecard, summary),
            })
            .collect(),
        of_teams: teams.len(),
        of_nobody,
        went: points.first().filter(|it| it.day < now.date_naive()).map(went),
        lately: as_of.map(|_| lately(snapshot, scorecard, &history.flips)),
        as_of: *as_of,
        unasked: unasked.as_deref(),
        page: Page::of(&question.call, number, teams.len()),
        chart,
    })
}

/// The teams that own any of those that have a score, the lowest first; and how many no team owns.
fn teams<'a>(
    snapshot: &'a Snapshot,
    scorecard: &Scorecard,
    scores: &[Score],
) -> (Vec<(&'a Entity, Summary)>, usize) {
    let mut of_team: BTreeMap<&str, (&Entity, Vec<&Score>)> = BTreeMap::new();
    let mut of_nobody = 0;
    for score in scores {
        let mut is_owned = false;
        for owner in snapshot.related_to(&score.entity, RelationKind::OwnedBy) {
            if let Target::Known(team) = owner
                && team.reference.kind() == "group"
            {
                let of = of_team.entry(team.reference.as_str()).or_insert((team, Vec::new()));
                of.1.push(score);
                is_owned = true;
            }
        }
        of_nobody += usize::from(!is_owned);
    }
    let summed = of_team.into_values();
    let mut teams: Vec<(&Entity, Summary)> =
        summed.map(|(team, of)| (team, Summary::of(scorecard, of))).collect();
    // Those without any percentage come last; of two that are alike the one that owns more comes first.
    teams.sort_by_key(|(_, it)| (it.mean.is_none(), it.mean, std::cmp::Reverse(it.entities)));
    (teams, of_nobody)
}

fn went(point: &Point) -> Went {
    let Summary { entities, mean, .. } = point.summary;
    Went { from: point.day, entities, mean, has_mean: mean.is_some() }
}

fn lately<'a>(snapshot: &'a Snapshot, scorecard: &'a Scorecard, flips: &[Flip]) -> Lately<'a> {
    let net = summary::net(flips);
    let regressions = net.regressions.iter().filter_map(|flip| {
        Some(Regression {
            entity: Named::entity(snapshot, snapshot.find(flip.entity.as_str())?),
            rule: &scorecard.rule(&flip.rule)?.1.title,
            cause: flip.cause.to_string(),
        })
    });
    Lately {
        days: LATELY_DAYS,
        passed: net.passed.len(),
        regressed: net.regressions.len(),
        regressions: regressions.take(REGRESSIONS_MAX).collect(),
    }
}

/// Levels of all and by teams, the mean by weeks, and what fewest pass.
fn chart(
    scorecard: &Scorecard,
    summary: &Summary,
    teams: &[(&Entity, Summary)],
    worst: &[OpenRule<'_>],
    points: &[Point],
) -> Option<Chart> {
    if summary.entities == 0 {
        return None;
    }
    let row = |label: &str, summary: &Summary| Row { label: label.into(), counts: counts(summary) };
    let of_teams = teams.iter().take(TEAMS_DRAWN_MAX);
    let rows = of_teams.map(|(team, summary)| row(&super::label(team), summary));
    let levels = Part::Shares(Shares {
        title: "Levels, all and by teams, the lowest first".into(),
        segments: segments(scorecard),
        rows: std::iter::once(row("all", summary)).chain(rows).collect(),
        more: teams.len().saturating_sub(TEAMS_DRAWN_MAX),
    });
    let bars = worst.iter().take(RULES_DRAWN_MAX).map(|it| Bar {
        label: it.title.to_string(),
        colour: None,
        value: it.open_percent as f64,
    });
    let rules = Part::Bars(Bars {
        title: "Not passed, of those for whom it counts".into(),
        unit: "%".into(),
        rows: bars.collect(),
        more: worst.len().saturating_sub(RULES_DRAWN_MAX),
        top: Some(100.0),
    });
    let has_levels = !scorecard.levels.all.is_empty();
    let parts = has_levels.then_some(levels).into_iter().chain(trend(points)).chain([rules]);
    Some(Chart { title: scorecard.title.clone(), parts: parts.collect() })
}

/// The mean at the end of each week, today the last; `None` where no week before is known.
fn trend(points: &[Point]) -> Option<Part> {
    let today = points.last()?.day;
    let ends: Vec<NaiveDate> =
        (0..=WEEKS).rev().map(|weeks| today - TimeDelta::weeks(weeks)).collect();
    let at = |day: &NaiveDate| points.iter().find(|it| it.day == *day);
    let mean = |day| Some(f64::from(at(day)?.summary.mean?));
    let values: Vec<Option<f64>> = ends.iter().map(mean).collect();
    if values.iter().flatten().count() < 2 {
        return None;
    }
    Some(Part::Trend(Trend {
        title: "Mean, by weeks".into(),
        unit: "%".into(),
        steps: ends.iter().map(|it| it.format("%-d %b").to_string()).collect(),
        lines: vec![Line { label: String::new(), colour: None, values }],
        top: Some(100.0),
    }))
}
