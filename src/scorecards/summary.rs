//! What the scores of many entities come to: for a team, for a scorecard, for a digest.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Serialize;

use super::cause::Cause;
use super::evaluate::Score;
use super::judge::EFFORT_UNKNOWN;
use super::{Check, Effort, Rule, Scorecard};
use crate::catalog::EntityRef;

/// How many entities stand where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub entities: usize,
    /// The mean of the percentages; `None` where there is none.
    pub mean: Option<u8>,
    /// How many have each level, the lowest first.
    pub levels: Vec<usize>,
    /// How many are below the lowest.
    pub below: usize,
}

/// What a rule finds of many entities.
#[derive(Debug, Clone)]
pub struct RuleTotals<'a> {
    pub check: &'a Check,
    pub rule: &'a Rule,
    pub passed: usize,
    pub failed: usize,
    pub unknown: usize,
    pub exempt: usize,
}

/// A rule that some entities do not pass yet.
#[derive(Debug, Clone)]
pub struct Advice<'a> {
    pub check: &'a Check,
    pub rule: &'a Rule,
    /// Which, in the order in which they came; those of which it is unknown among them.
    pub entities: Vec<&'a EntityRef>,
    pub unknown: usize,
    /// By how many percent points their scores would rise, one by one.
    pub gains: Vec<f64>,
}

/// How the standings of many entities changed on one day, from one level to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayChange {
    pub day: NaiveDate,
    /// `None`: the scorecard was not about them; `Some(None)`: below the lowest.
    pub level_before: Option<Option<usize>>,
    pub level: Option<Option<usize>>,
    pub entities: i64,
    /// How many of them had a percentage, and the sum of these.
    pub scored_before: i64,
    pub sum_before: i64,
    pub scored: i64,
    pub sum: i64,
}

/// How many stood where at the end of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Point {
    pub day: NaiveDate,
    #[serde(flatten)]
    pub summary: Summary,
}

/// A rule that found something else of an entity than before.
#[derive(Debug, Clone, PartialEq)]
pub struct Flip {
    pub at: DateTime<Utc>,
    pub entity: EntityRef,
    pub scorecard: String,
    pub rule: String,
    /// Letters of outcomes.
    pub was: char,
    pub became: char,
    pub cause: Cause,
}

/// What flips of many rules of many entities come to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Net {
    /// What does not pass and did before, or did not count, the newest first: the last flip of each.
    pub regressions: Vec<Flip>,
    /// What passes now and did not before, the newest first.
    pub passed: Vec<Flip>,
}

impl Summary {
    pub fn of<'a>(scorecard: &Scorecard, scores: impl IntoIterator<Item = &'a Score>) -> Summary {
        let mut totals = Totals::of(scorecard);
        for score in scores {
            totals.add(score.level, 1);
            totals.scored += i64::from(score.percent.is_some());
            totals.sum += i64::from(score.percent.unwrap_or(0));
        }
        totals.summary()
    }
}

/// Counts that can be taken back.
#[derive(Debug, Clone)]
struct Totals {
    levels: Vec<i64>,
    below: i64,
    scored: i64,
    sum: i64,
}

impl Totals {
    fn of(scorecard: &Scorecard) -> Totals {
        Totals { levels: vec![0; scorecard.levels.all.len()], below: 0, scored: 0, sum: 0 }
    }

    /// A level that the scorecard no longer has counts as its highest.
    fn add(&mut self, level: Option<usize>, entities: i64) {
        let last = self.levels.len().checked_sub(1);
        match level.zip(last) {
            Some((level, last)) => self.levels[level.min(last)] += entities,
            None => self.below += entities,
        }
    }

    fn summary(&self) -> Summary {
        let count = |it: i64| usize::try_from(it).unwrap_or(0);
        let levels: Vec<usize> = self.levels.iter().map(|it| count(*it)).collect();
        let mean = (self.scored > 0).then(|| self.sum as f64 / self.scored as f64);
        Summary {
            entities: levels.iter().sum::<usize>() + count(self.below),
            mean: mean.map(|it| it.round().clamp(0.0, 100.0) as u8),
            levels,
            below: count(self.below),
        }
    }
}

/// What each rule finds, in the order of the scorecard. `scores` are those by it as it is.
pub fn rules<'a>(scorecard: &'a Scorecard, scores: &[Score]) -> Vec<RuleTotals<'a>> {
    let totals =
        |(check, rule)| RuleTotals { check, rule, passed: 0, failed: 0, unknown: 0, exempt: 0 };
    let mut totals: Vec<RuleTotals> = scorecard.rules().map(totals).collect();
    for score in scores {
        for (of_rule, outcome) in totals.iter_mut().zip(score.outcomes.chars()) {
            match outcome {
                'p' => of_rule.passed += 1,
                'f' => of_rule.failed += 1,
                'u' => of_rule.unknown += 1,
                'e' => of_rule.exempt += 1,
                _ => {}
            }
        }
    }
    totals
}

impl RuleTotals<'_> {
    /// How many of those for whom it counts do not pass, in percent.
    pub fn open_percent(&self) -> usize {
        let open = self.failed + self.unknown;
        (open * 100).checked_div(open + self.passed).unwrap_or(0)
    }
}

/// What would raise the scores, the cheapest first; of two that are as cheap, what more entities wait for. `scores` are
/// those by the scorecard as it is.
pub fn advice<'a>(scorecard: &'a Scorecard, scores: &'a [Score]) -> Vec<Advice<'a>> {
    let new =
        |(check, rule)| Advice { check, rule, entities: Vec::new(), unknown: 0, gains: Vec::new() };
    let mut advice: Vec<Advice> = scorecard.rules().map(new).collect();
    for score in scores {
        let gains = gains(scorecard, &score.outcomes);
        for ((of_rule, outcome), gain) in advice.iter_mut().zip(score.outcomes.chars()).zip(gains) {
            if matches!(outcome, 'f' | 'u') {
                of_rule.entities.push(&score.entity);
                of_rule.gains.push(gain);
                of_rule.unknown += usize::from(outcome == 'u');
            }
        }
    }
    advice.retain(|it| !it.entities.is_empty());
    advice.sort_by(|a, b| {
        let by_effort = a.effort().cmp(&b.effort());
        by_effort.then(b.entities.len().cmp(&a.entities.len()))
    });
    advice
}

impl Advice<'_> {
    /// What it takes for one of them, as far as anybody knows.
    pub fn effort(&self) -> Effort {
        self.rule.effort.unwrap_or(EFFORT_UNKNOWN)
    }
}

/// By how many percent points each rule raises the whole where it passes.
fn gains(scorecard: &Scorecard, outcomes: &str) -> Vec<f64> {
    let letters: Vec<char> = outcomes.chars().collect();
    let counts = |place: usize| matches!(letters.get(place), Some('p' | 'f' | 'u'));
    let mut place = 0;
    let mut of_check = Vec::new();
    for check in &scorecard.checks {
        let rules = check.rules.iter().enumerate();
        let weight: u32 = rules.filter(|(at, _)| counts(place + at)).map(|(_, it)| it.weight).sum();
        of_check.push(weight);
        place += check.rules.len();
    }
    let counted = scorecard.checks.iter().zip(&of_check).filter(|(_, weight)| **weight > 0);
    let whole: u32 = counted.map(|(check, _)| check.weight).sum();
    let checks = scorecard.checks.iter().zip(of_check);
    let gains = checks.flat_map(|(check, weight)| {
        check.rules.iter().map(move |rule| match weight {
            0 => 0.0,
            _ => {
                f64::from(rule.weight) / f64::from(weight) * f64::from(check.weight)
                    / f64::from(whole)
                    * 100.0
            }
        })
    });
    gains.collect()
}

/// How many stood where at the end of each day from `since` to `today`, when they stand as `scores` now and `changes`
/// tells how that came, the newest first. `None` before anything was evaluated.
pub fn trend(
    scorecard: &Scorecard,
    scores: &[Score],
    changes: &[DayChange],
    since: NaiveDate,
    today: NaiveDate,
) -> Vec<Point> {
    let mut totals = Totals::of(scorecard);
    for score in scores {
        totals.add(score.level, 1);
        totals.scored += i64::from(score.percent.is_some());
        totals.sum += i64::from(score.percent.unwrap_or(0));
    }
    let mut changes = changes.iter().peekable();
    let mut points = Vec::new();
    let mut day = today;
    while day >= since {
        points.push(Point { day, summary: totals.summary() });
        while let Some(change) = changes.next_if(|it| it.day >= day) {
            if let Some(level) = change.level {
                totals.add(level, -change.entities);
            }
            if let Some(level) = change.level_before {
                totals.add(level, change.entities);
            }
            totals.scored += change.scored_before - change.scored;
            totals.sum += change.sum_before - change.sum;
        }
        let Some(before) = day.checked_sub_signed(TimeDelta::days(1)) else { break };
        day = before;
    }
    points.reverse();
    let first = points.iter().position(|point| point.summary.entities > 0);
    points.drain(..first.unwrap_or(points.len()));
    points
}

/// What `flips`, the oldest first, come to: what turned back and forth and is as before is left out.
pub fn net(flips: &[Flip]) -> Net {
    let mut spans: BTreeMap<(&EntityRef, &str, &str), (char, &Flip)> = BTreeMap::new();
    for flip in flips {
        let key = (&flip.entity, flip.scorecard.as_str(), flip.rule.as_str());
        spans.entry(key).and_modify(|span| span.1 = flip).or_insert((flip.was, flip));
    }
    let mut net = Net::default();
    for (was, last) in spans.into_values() {
        match (was, last.became) {
            ('p' | 'e' | 'l', 'f' | 'u') => net.regressions.push(last.clone()),
            ('f' | 'u' | 'l', 'p') => net.passed.push(last.clone()),
            _ => {}
        }
    }
    net.regressions.sort_by_key(|flip| std::cmp::Reverse(flip.at));
    net.passed.sort_by_key(|flip| std::cmp::Reverse(flip.at));
    net
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;
    use crate::scorecards::{Keys, file};

    fn scorecard() -> Scorecard {
        let text = "name: s
checks:
  - name: x
    weight: 3
    rules:
      - {name: a, pass: entity.docs, effort: L}
      - {name: b, pass: entity.docs, weight: 3, effort: 5}
  - name: y
    rules:
      - {name: c, pass: entity.docs}
levels: [{name: Bronze, from: 50}, {name: Gold, from: 90}]
";
        file::read(text, "f", &Keys::new()).unwrap()
    }

    fn score(name: &str, percent: u8, level: Option<usize>, outcomes: &str) -> Score {
        Score {
            entity: EntityRef::new("component", "default", name),
            scorecard: "s".into(),
            definition: 1,
            percent: Some(percent),
            level,
            outcomes: outcomes.into(),
            until: None,
        }
    }

    fn scores() -> Vec<Score> {
        vec![
            score("one", 100, Some(1), "ppp"),
            score("two", 56, Some(0), "fp-"),
            score("three", 0, None, "fuf"),
        ]
    }

    #[test]
    fn a_summary_counts_levels_and_means_percentages() {
        let summary = Summary::of(&scorecard(), &scores());
        let expected = Summary { entities: 3, mean: Some(52), levels: vec![1, 1], below: 1 };
        assert_eq!(summary, expected);
        assert_eq!(Summary::of(&scorecard(), &[]).mean, None);
    }

    #[test]
    fn rules_are_counted_by_what_they_find() {
        let scorecard = scorecard();
        let totals = rules(&scorecard, &scores());
        let told: Vec<_> =
            totals.iter().map(|it| (it.passed, it.failed, it.unknown, it.open_percent())).collect();
        assert_eq!(told, [(1, 2, 0, 66), (2, 0, 1, 33), (1, 1, 0, 50)]);
    }

    #[test]
    fn the_cheapest_advice_comes_first_with_what_each_would_gain() {
        let (scorecard, scores) = (scorecard(), scores());
        let advice = advice(&scorecard, &scores);
        let told: Vec<_> = advice
            .iter()
            .map(|it| {
                (
                    &*it.rule.name,
                    it.entities.len(),
                    it.unknown,
                    it.gains.iter().map(|it| it.round() as i32).collect::<Vec<_>>(),
                )
            })
            .collect();
        assert_eq!(told, [("b", 1, 1, vec![56]), ("c", 1, 0, vec![25]), ("a", 2, 0, vec![25, 19])]);
    }

    #[test]
    fn the_trend_is_found_from_the_present_backwards() {
        let day = |day| NaiveDate::from_ymd_opt(2026, 3, day).unwrap();
        let change = |at, level_before, level, before: Option<i64>, after: Option<i64>| DayChange {
            day: day(at),
            level_before,
            level,
            entities: 1,
            scored_before: i64::from(before.is_some()),
            sum_before: before.unwrap_or(0),
            scored: i64::from(after.is_some()),
            sum: after.unwrap_or(0),
        };
        // One rose to 100 on the 9th; two and three came on the 5th, one on the 3rd; another left on the 7th.
        let changes = [
            change(9, Some(Some(0)), Some(Some(1)), Some(70), Some(100)),
            change(7, Some(None), None, Some(10), None),
            change(5, None, Some(Some(0)), None, Some(56)),
            change(5, None, Some(None), None, Some(0)),
            change(5, None, Some(None), None, Some(10)),
            change(3, None, Some(Some(0)), None, Some(70)),
        ];
        let points = trend(&scorecard(), &scores(), &changes, day(1), day(10));
        let told: Vec<_> = points
            .iter()
            .map(|it| {
                (
                    it.day.to_string()[8..].to_string(),
                    it.summary.entities,
                    it.summary.mean.unwrap(),
                    it.summary.levels.clone(),
                    it.summary.below,
                )
            })
            .collect();
        let expected = [
            ("03", 1, 70, [1, 0], 0),
            ("04", 1, 70, [1, 0], 0),
            ("05", 4, 34, [2, 0], 2),
            ("06", 4, 34, [2, 0], 2),
            ("07", 3, 42, [2, 0], 1),
            ("08", 3, 42, [2, 0], 1),
            ("09", 3, 52, [1, 1], 1),
            ("10", 3, 52, [1, 1], 1),
        ];
        let expected: Vec<_> =
            expected.iter().map(|it| (it.0.to_string(), it.1, it.2, it.3.to_vec(), it.4)).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn what_turned_back_is_no_regression() {
        let flip = |hour, rule: &str, was, became| Flip {
            at: Utc.with_ymd_and_hms(2026, 3, 1, hour, 0, 0).unwrap(),
            entity: EntityRef::new("component", "default", "one"),
            scorecard: "s".into(),
            rule: rule.into(),
            was,
            became,
            cause: Cause::Time,
        };
        let net = net(&[
            flip(1, "a", 'p', 'f'),
            flip(2, "a", 'f', 'p'),
            flip(3, "b", 'p', 'u'),
            flip(4, "b", 'u', 'f'),
            flip(5, "c", 'f', 'p'),
            flip(6, "d", 'p', 'e'),
            flip(7, "e", 'p', 'f'),
        ]);
        let names = |flips: &[Flip]| flips.iter().map(|it| it.rule.clone()).collect::<Vec<_>>();
        assert_eq!(names(&net.regressions), ["e", "b"]);
        assert_eq!(net.regressions[1].became, 'f');
        assert_eq!(names(&net.passed), ["c"]);
    }
}
