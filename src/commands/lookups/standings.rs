//! How many entities stand where by a scorecard, as answers and charts tell it.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::pictures::chart::{Colour, Segment};
use crate::scorecards::evaluate::Score;
use crate::scorecards::summary::{self, Summary};
use crate::scorecards::{Level, Scorecard};

/// The colour of what is below the lowest level.
const BELOW: &str = "light-gray";

/// The scores of many entities by one scorecard.
#[derive(Debug)]
pub struct Standings {
    pub scores: Vec<Score>,
    /// When they were evaluated last; `None`: they were judged now.
    pub as_of: Option<DateTime<Utc>>,
    /// Why reported facts could not be asked: rules that read them are unknown.
    pub unasked: Option<String>,
}

/// What the scores of some entities come to.
#[derive(Debug, Serialize)]
pub struct Sum {
    pub entities: usize,
    /// The mean of the percentages; `None` where there is none.
    pub mean: Option<u8>,
    pub has_mean: bool,
    /// The highest first, those below the lowest at last; what nobody has is left out.
    pub levels: Vec<AtLevel>,
}

#[derive(Debug, Serialize)]
pub struct AtLevel {
    /// `Bronze`, `below Bronze`
    pub level: String,
    pub entities: usize,
}

/// A rule that some do not pass.
#[derive(Debug, Serialize)]
pub struct OpenRule<'a> {
    pub rule: &'a str,
    pub title: &'a str,
    pub check: &'a str,
    /// How many do not pass it, those among them of which nobody knows, and for how many it counts.
    pub open: usize,
    pub unknown: usize,
    pub of: usize,
    pub open_percent: usize,
    /// How many are exempt from it.
    pub exempt: usize,
}

impl Sum {
    pub fn of(scorecard: &Scorecard, summary: &Summary) -> Sum {
        let all = named(scorecard).into_iter().zip(counts(summary));
        let levels = all.filter(|(_, entities)| *entities > 0);
        Sum {
            entities: summary.entities,
            mean: summary.mean,
            has_mean: summary.mean.is_some(),
            levels: levels
                .map(|((level, _), entities)| AtLevel { level, entities: entities as usize })
                .collect(),
        }
    }
}

/// The rules that some of `scores` do not pass, what most wait for first.
pub fn open_rules<'a>(scorecard: &'a Scorecard, scores: &[Score]) -> Vec<OpenRule<'a>> {
    let rules = summary::rules(scorecard, scores).into_iter().map(|it| OpenRule {
        rule: &it.rule.name,
        title: &it.rule.title,
        check: &it.check.title,
        open: it.failed + it.unknown,
        unknown: it.unknown,
        of: it.passed + it.failed + it.unknown,
        open_percent: it.open_percent(),
        exempt: it.exempt,
    });
    let mut open: Vec<OpenRule<'_>> = rules.filter(|it| it.open > 0).collect();
    open.sort_by_key(|it| std::cmp::Reverse(it.open));
    open
}

/// What a row of a chart consists of: the levels of `scorecard`, the highest first. Empty where it has none.
pub fn segments(scorecard: &Scorecard) -> Vec<Segment> {
    let all = named(scorecard).into_iter();
    all.map(|(label, colour)| Segment { label, colour }).collect()
}

/// How many there are of each of [`segments`].
pub fn counts(summary: &Summary) -> Vec<u64> {
    let levels = summary.levels.iter().rev().map(|it| *it as u64);
    levels.chain([summary.below as u64]).collect()
}

/// The colour of the level at `place`.
pub fn colour(scorecard: &Scorecard, place: Option<usize>) -> Option<Colour> {
    let level = place.and_then(|place| scorecard.levels.all.get(place));
    Colour::parse(level.map_or(BELOW, |level| &level.colour))
}

fn named(scorecard: &Scorecard) -> Vec<(String, Option<Colour>)> {
    let all = &scorecard.levels.all;
    let levels = all.iter().rev().map(|it: &Level| (it.name.clone(), Colour::parse(&it.colour)));
    let below = all.first().map(|lowest| (format!("below {}", lowest.name), Colour::parse(BELOW)));
    levels.chain(below).collect()
}
