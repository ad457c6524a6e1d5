//! How what a team owns stands by scorecards: the part of a digest that is evaluated.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::file::Digest;
use super::week::Named;
use crate::catalog::{Entity, EntityRef, Snapshot};
use crate::scorecards::evaluate::Score;
use crate::scorecards::exemption::Exemption;
use crate::scorecards::flow::{Behind, Kept};
use crate::scorecards::level::Climb;
use crate::scorecards::summary::{
    Advice, DayChange, Flip, Net, Point, Summary, advice, net, trend,
};
use crate::scorecards::{Effort, Scorecard, ScorecardSet};

/// How far back a trend goes.
pub const TREND: TimeDelta = TimeDelta::days(56);
/// What a team that has heard no digest hears of what changed.
pub const FIRST: TimeDelta = TimeDelta::days(7);
/// An exemption that ends within that is told of.
const ENDING: TimeDelta = TimeDelta::days(14);

/// What is kept of everything that some teams own, by entity.
#[derive(Debug, Clone, Default)]
pub struct Scored {
    scores: HashMap<EntityRef, Vec<Score>>,
    days: HashMap<EntityRef, Vec<(String, DayChange)>>,
    flips: HashMap<EntityRef, Vec<Flip>>,
    is_cut: bool,
    exemptions: HashMap<EntityRef, Vec<Exemption>>,
    at: DateTime<Utc>,
    /// Whether nothing was ever evaluated: nobody knows how things stood before.
    is_first: bool,
    pub behind: Option<Behind>,
}

impl From<Kept> for Scored {
    fn from(kept: Kept) -> Scored {
        let Kept { scores, days, flips, is_cut, exemptions, at, behind } = kept;
        let is_first = behind.is_some_and(|it| it.evaluated_at.is_none());
        let mut scored = Scored { is_cut, at, is_first, behind, ..Scored::default() };
        scored.judge(scores);
        for (entity, scorecard, change) in days {
            scored.days.entry(entity).or_default().push((scorecard, change));
        }
        for flip in flips {
            scored.flips.entry(flip.entity.clone()).or_default().push(flip);
        }
        for exemption in exemptions {
            scored.exemptions.entry(exemption.entity.clone()).or_default().push(exemption);
        }
        scored
    }
}

impl Scored {
    /// Puts `scores` in the place of those that are kept.
    pub fn judge(&mut self, scores: Vec<Score>) {
        self.scores.clear();
        for score in scores {
            self.scores.entry(score.entity.clone()).or_default().push(score);
        }
    }
}

/// The scorecards that `digest` tells of; never drafts.
pub fn scorecards<'a>(digest: &Digest, all: &'a ScorecardSet) -> Vec<&'a Scorecard> {
    let named =
        |it: &&Scorecard| digest.scorecards.is_empty() || digest.scorecards.contains(&it.name);
    all.iter().filter(|it| !it.draft).filter(named).collect()
}

/// What a digest tells one team of its scores.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standings {
    /// Of each scorecard that is about anything.
    pub cards: Vec<Card>,
    /// What counts against the team and did not, the newest first.
    pub regressions: Vec<Turned>,
    /// What passes and did not, the newest first.
    pub passed: Vec<Turned>,
    /// Whether the oldest of both may be missing.
    pub is_cut: bool,
    pub next: Option<NextStep>,
    /// The first rule that anything fails.
    pub failing: Option<(Named, String)>,
    pub ending: Vec<Ending>,
    /// Set where not everything is evaluated.
    pub behind: Option<Behind>,
    pub told: Option<Told>,
}

/// How the team's things stand by one scorecard.
#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    pub title: String,
    /// Names of levels, the lowest first.
    pub levels: Vec<String>,
    pub now: Summary,
    /// As the team heard it the last time.
    pub before: Option<ToldCard>,
    /// At the end of each day.
    pub points: Vec<Point>,
}

/// A rule that finds something else of something than before.
#[derive(Debug, Clone, PartialEq)]
pub struct Turned {
    pub entity: Named,
    /// What means the rule in a command: `production-readiness/runbook`.
    pub rule: String,
    pub title: String,
    pub scorecard: String,
    /// Whether nobody knows any more.
    pub is_unknown: bool,
    /// Why, in plain text.
    pub cause: String,
}

/// The cheapest way of anything to a level above.
#[derive(Debug, Clone, PartialEq)]
pub struct NextStep {
    pub entity: Named,
    /// Of the way: titles of rules, the cheapest first.
    pub rules: Vec<String>,
    pub scorecard: String,
    /// That it reaches; `None` where the scorecard has none above: it rises all the same.
    pub level: Option<String>,
    /// Of the whole way; `None` where nobody said it of a step.
    pub effort: Option<Effort>,
    /// Of the first step.
    pub remedy: Option<String>,
    pub link: Option<String>,
}

/// An exemption that ends soon.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    pub entity: Named,
    pub title: String,
    pub at: DateTime<Utc>,
}

/// What a digest told of scores, as it is kept for the next one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Until when it told of what changed.
    pub until: DateTime<Utc>,
    /// By the name of the scorecard.
    pub scorecards: BTreeMap<String, ToldCard>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToldCard {
    pub mean: Option<u8>,
    /// How many have each level, by its name.
    pub levels: BTreeMap<String, usize>,
    pub below: usize,
}

impl Standings {
    /// How `owned` stand by `cards`, when a digest told `before` and what changed until `since`.
    pub fn of(
        snapshot: &Snapshot,
        owned: &[&Entity],
        cards: &[&Scorecard],
        scored: &Scored,
        (since, before): (DateTime<Utc>, Option<&Told>),
    ) -> Standings {
        let is_evaluated = scored.behind.is_none_or(|it| it.evaluated_at.is_some());
        let mut found = Standings { behind: scored.behind, ..Standings::default() };
        if !is_evaluated {
            return found;
        }
        let mut told = BTreeMap::new();
        let mut ways = Vec::new();
        for scorecard in cards {
            let scores = scores(owned, scorecard, scored);
            if scores.is_empty() {
                continue;
            }
            let card = card(scorecard, owned, &scores, scored, before);
            told.insert(scorecard.name.clone(), tell(&card));
            found.cards.push(card);
            ways.extend(way(snapshot, scorecard, &scores));
            found.failing = found.failing.take().or_else(|| failing(snapshot, scorecard, &scores));
        }
        found.next = ways.into_iter().min_by_key(|(cost, _)| *cost).map(|(_, way)| way);
        let flips = owned.iter().flat_map(|it| scored.flips.get(&it.reference));
        let flips: Vec<Flip> = flips.flatten().filter(|it| it.at > since).cloned().collect();
        let Net { regressions, passed } = net(&flips);
        let turned = |flips: Vec<Flip>| -> Vec<Turned> {
            flips.iter().filter_map(|flip| turned(snapshot, cards, scored, flip)).collect()
        };
        (found.regressions, found.passed) = (turned(regressions), turned(passed));
        found.is_cut = scored.is_cut;
        found.ending = ending(snapshot, owned, cards, scored);
        // What is half evaluated is told again in full.
        let until = scored.behind.and_then(|it| it.evaluated_at).unwrap_or(scored.at);
        found.told = Some(Told { until, scorecards: told });
        found
    }
}

fn scores(owned: &[&Entity], scorecard: &Scorecard, scored: &Scored) -> Vec<Score> {
    let all = owned.iter().filter_map(|it| scored.scores.get(&it.reference)).flatten();
    all.filter(|it| it.scorecard == scorecard.name).cloned().collect()
}

fn card(
    scorecard: &Scorecard,
    owned: &[&Entity],
    scores: &[Score],
    scored: &Scored,
    before: Option<&Told>,
) -> Card {
    let days = owned.iter().filter_map(|it| scored.days.get(&it.reference)).flatten();
    let mut days: Vec<DayChange> =
        days.filter(|(name, _)| *name == scorecard.name).map(|(_, it)| it.clone()).collect();
    days.sort_by_key(|it| std::cmp::Reverse(it.day));
    let today: NaiveDate = scored.at.date_naive();
    let since = today.checked_sub_signed(TREND).unwrap_or(today);
    Card {
        title: scorecard.title.clone(),
        levels: scorecard.levels.all.iter().map(|it| it.name.clone()).collect(),
        now: Summary::of(scorecard, scores),
        before: before.and_then(|told| told.scorecards.get(&scorecard.name)).cloned(),
        points: match scored.is_first {
            true => Vec::new(),
            false => trend(scorecard, scores, &days, since, today),
        },
    }
}

fn tell(card: &Card) -> ToldCard {
    let Summary { mean, levels, below, .. } = &card.now;
    let levels = card.levels.iter().cloned().zip(levels.iter().copied()).collect();
    ToldCard { mean: *mean, levels, below: *below }
}

/// What `flip` is called; `None` where the rule is no more, or says something else by now.
fn turned(
    snapshot: &Snapshot,
    cards: &[&Scorecard],
    scored: &Scored,
    flip: &Flip,
) -> Option<Turned> {
    let scorecard = cards.iter().find(|it| it.name == flip.scorecard)?;
    let place = scorecard.rules().position(|(_, rule)| rule.name == flip.rule)?;
    let scores = scored.scores.get(&flip.entity)?;
    let score = scores.iter().find(|it| it.scorecard == flip.scorecard)?;
    if score.outcomes.chars().nth(place)? != flip.became {
        return None;
    }
    let (_, rule) = scorecard.rule(&flip.rule)?;
    Some(Turned {
        entity: Named::of(snapshot, snapshot.find(flip.entity.as_str())?),
        rule: format!("{}/{}", scorecard.name, rule.name),
        title: rule.title.clone(),
        scorecard: scorecard.title.clone(),
        is_unknown: flip.became == 'u',
        cause: flip.cause.to_string(),
    })
}

/// The first rule that something fails, and what.
fn failing(
    snapshot: &Snapshot,
    scorecard: &Scorecard,
    scores: &[Score],
) -> Option<(Named, String)> {
    let advice = advice(scorecard, scores);
    let first = advice.first()?;
    let entity = snapshot.find(first.entities.first()?.as_str())?;
    Some((Named::of(snapshot, entity), format!("{}/{}", scorecard.name, first.rule.name)))
}

/// The cheapest way of one of `scores` to the level above its own, with what it costs in minutes and steps.
fn way(
    snapshot: &Snapshot,
    scorecard: &Scorecard,
    scores: &[Score],
) -> Option<((u32, usize), NextStep)> {
    let advice = advice(scorecard, scores);
    let mut open: HashMap<&EntityRef, Vec<(&Advice, f64)>> = HashMap::new();
    for step in &advice {
        for (entity, gain) in step.entities.iter().zip(&step.gains) {
            open.entry(*entity).or_default().push((step, *gain));
        }
    }
    let ways = scores.iter().filter_map(|score| {
        let steps = steps(scorecard, score, open.get(&score.entity)?)?;
        let minutes = steps.iter().map(|step| step.effort().0).sum();
        Some(((minutes, steps.len()), score, steps))
    });
    let (cost, score, steps) = ways.min_by_key(|(cost, score, _)| (*cost, &score.entity))?;
    let place = score.level.map_or(0, |place| place + 1);
    let remedy = &steps.first()?.rule.remedy;
    let is_known = steps.iter().all(|step| step.rule.effort.is_some());
    let way = NextStep {
        entity: Named::of(snapshot, snapshot.find(score.entity.as_str())?),
        rules: steps.iter().map(|step| step.rule.title.clone()).collect(),
        scorecard: scorecard.title.clone(),
        level: scorecard.levels.all.get(place).map(|level| level.name.clone()),
        effort: is_known.then_some(Effort(cost.0)),
        remedy: remedy.text.clone(),
        link: remedy.link.clone(),
    };
    Some((cost, way))
}

/// The steps by which what has `score` reaches the level above its own, the cheapest first; at the highest, the
/// cheapest step there is. `open` are the rules that it does not pass, the cheapest first, with what each gains.
fn steps<'a, 'b>(
    scorecard: &Scorecard,
    score: &Score,
    open: &[(&'b Advice<'a>, f64)],
) -> Option<Vec<&'b Advice<'a>>> {
    let place = score.level.map_or(0, |place| place + 1);
    let Some(above) = scorecard.levels.all.get(place) else {
        return Some(vec![open.first()?.0]);
    };
    if scorecard.levels.climb == Climb::Ladder {
        let needed = open.iter().filter(|(step, _)| step.rule.level.is_some_and(|it| it <= place));
        let steps: Vec<&Advice> = needed.map(|(step, _)| *step).collect();
        return (!steps.is_empty()).then_some(steps);
    }
    // Half a point less: percentages are rounded before they are compared with where a level begins.
    let missing = f64::from(above.from?) - f64::from(score.percent?) - 0.5;
    if let Some((alone, _)) = open.iter().find(|(_, gain)| *gain >= missing) {
        return Some(vec![alone]);
    }
    let mut gained = 0.0;
    let mut steps = Vec::new();
    for (step, gain) in open {
        steps.push(*step);
        gained += gain;
        if gained >= missing {
            return Some(steps);
        }
    }
    None
}

/// The exemptions of `owned` that end soon, the soonest first.
fn ending(
    snapshot: &Snapshot,
    owned: &[&Entity],
    cards: &[&Scorecard],
    scored: &Scored,
) -> Vec<Ending> {
    let granted = owned.iter().filter_map(|it| scored.exemptions.get(&it.reference)).flatten();
    let ending = granted.filter_map(|it| {
        let at = it.ends_at.filter(|at| *at <= scored.at + ENDING)?;
        let scorecard = cards.iter().find(|card| card.name == it.scorecard)?;
        let (_, rule) = scorecard.rule(&it.rule)?;
        let entity = Named::of(snapshot, snapshot.find(it.entity.as_str())?);
        Some(Ending { entity, title: rule.title.clone(), at })
    });
    let mut ending: Vec<Ending> = ending.collect();
    ending.sort_by(|one, other| (one.at, &one.title).cmp(&(other.at, &other.title)));
    ending
}
