//! What the counts of some weeks come to.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Days, NaiveDate, Utc};
use serde::Serialize;

use super::latency::Histogram;
use super::{ANSWER, FAULT};
use crate::conversation::{Platform, Way};
use crate::pictures::chart::{Bar, Bars, Chart, Line, Part, Trend};

/// The ways in which somebody asks something, and waits for the answer.
pub const ASKING: [Way; 5] = [Way::Command, Way::Message, Way::Button, Way::Filled, Way::Shortcut];

/// How much a report looks back at.
const PERIOD_DAYS: u64 = 28;
/// How much its picture does.
pub const WEEKS: u64 = 12;
/// The most commands that are drawn.
const COMMANDS_DRAWN_MAX: usize = 8;

/// Whole days of UTC, both ends among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Period {
    pub from: NaiveDate,
    pub to: NaiveDate,
}

impl Period {
    /// The four weeks that end today.
    pub fn until(now: DateTime<Utc>) -> Period {
        let to = now.date_naive();
        Period { from: to - Days::new(PERIOD_DAYS - 1), to }
    }

    /// As many days, just before.
    pub fn before(self) -> Period {
        let to = self.from - Days::new(1);
        Period { from: to - Days::new(PERIOD_DAYS - 1), to }
    }

    pub fn days(self) -> i64 {
        (self.to - self.from).num_days() + 1
    }
}

/// The Monday of the week that `day` is in.
pub fn monday(day: NaiveDate) -> NaiveDate {
    day - Days::new(day.weekday().num_days_from_monday().into())
}

/// The Monday on which the picture begins.
pub fn first_week(period: Period) -> NaiveDate {
    monday(period.to) - Days::new(7 * (WEEKS - 1))
}

/// What was counted in a period.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// How many Users asked something, and how many in as many days just before.
    pub people: u64,
    pub people_before: u64,
    /// How many accounts that are linked to nobody.
    pub accounts: u64,
    pub totals: Vec<Total>,
    /// The most asked first.
    pub commands: Vec<OfCommand>,
    /// The one that asked most first; the empty reference is nobody's.
    pub teams: Vec<OfTeam>,
    /// Those of the last [`WEEKS`] in which anything was asked, the oldest first.
    pub weeks: Vec<OfWeek>,
    /// Of what was asked, refusals too.
    pub latency: Histogram,
    pub helpful: u64,
    pub not_helpful: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Total {
    pub platform: Platform,
    pub way: Way,
    pub outcome: String,
    pub times: u64,
}

/// What was asked of one command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OfCommand {
    /// Empty where no command was understood.
    pub command: String,
    pub times: u64,
    pub answered: u64,
    /// How many asked, those that are linked to nobody too.
    pub people: u64,
}

/// What one team asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfTeam {
    /// A reference; empty for those that are in none.
    pub team: String,
    pub times: u64,
    pub people: u64,
}

/// What was asked in one week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfWeek {
    pub monday: NaiveDate,
    pub times: u64,
    pub people: u64,
}

impl Figures {
    /// How often something was asked.
    pub fn asked(&self) -> u64 {
        self.asking().map(|it| it.times).sum()
    }

    pub fn answered(&self) -> u64 {
        self.asking().filter(|it| it.outcome == ANSWER).map(|it| it.times).sum()
    }

    fn asking(&self) -> impl Iterator<Item = &Total> {
        self.totals.iter().filter(|it| ASKING.contains(&it.way))
    }

    /// How often something came in by this `way` and was `answered`.
    pub fn shown(&self, way: Way) -> u64 {
        let of_way = self.totals.iter().filter(|it| it.way == way && it.outcome == ANSWER);
        of_way.map(|it| it.times).sum()
    }

    /// How often each platform was asked, the most asked first.
    pub fn platforms(&self) -> Vec<(Platform, u64)> {
        let of = |platform| self.asking().filter(move |it| it.platform == platform);
        let times = Platform::ALL.map(|it| (it, of(it).map(|total| total.times).sum::<u64>()));
        let mut times: Vec<_> = times.into_iter().filter(|(_, times)| *times > 0).collect();
        times.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
        times
    }

    /// Why there was no answer, in words, and how often; the most frequent first.
    pub fn refused(&self) -> Vec<(&'static str, u64)> {
        let mut times: BTreeMap<&'static str, u64> = BTreeMap::new();
        for total in self.asking().filter(|it| it.outcome != ANSWER) {
            *times.entry(why(&total.outcome)).or_default() += total.times;
        }
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
        times
    }

    /// How people and questions went by weeks, and which commands they asked; `None` before anything was asked.
    pub fn chart(&self, period: Period) -> Option<Chart> {
        let first = self.weeks.first()?.monday;
        let mondays = first.iter_weeks().take_while(|it| *it <= period.to);
        let mondays: Vec<NaiveDate> = mondays.collect();
        let trend = |title: &str, figure: fn(&OfWeek) -> u64| {
            // No week of those is unknown: in one that is not there nobody asked.
            let of = |monday: &NaiveDate| self.weeks.iter().find(|it| it.monday == *monday);
            let values = mondays.iter().map(|it| Some(of(it).map_or(0, figure) as f64));
            Part::Trend(Trend {
                title: title.into(),
                unit: String::new(),
                steps: mondays.iter().map(|it| it.format("%-d %b").to_string()).collect(),
                lines: vec![Line { label: String::new(), colour: None, values: values.collect() }],
                top: None,
            })
        };
        let named = self.commands.iter().filter(|it| !it.command.is_empty());
        let bars = named.clone().take(COMMANDS_DRAWN_MAX).map(|it| Bar {
            label: it.command.clone(),
            colour: None,
            value: it.times as f64,
        });
        let bars = Part::Bars(Bars {
            title: format!("Commands, {} days", period.days()),
            unit: String::new(),
            rows: bars.collect(),
            more: named.count().saturating_sub(COMMANDS_DRAWN_MAX),
            top: None,
        });
        Some(Chart {
            title: "How idp is used".into(),
            parts: vec![
                trend("People who asked, by weeks", |it| it.people),
                trend("Questions, by weeks", |it| it.times),
                bars,
            ],
        })
    }
}

/// Why there was no answer, as people read it.
fn why(outcome: &str) -> &'static str {
    match outcome {
        "unknown_command" => "a command that there is not",
        "unknown_entity" => "a name that the catalog does not know",
        "ambiguous" => "a name that several have",
        "missing_argument" | "unexpected_argument" | "invalid_argument" => {
            "too little, too much or what does not fit"
        }
        "not_understood" => "not understood",
        "nothing_named" => "a message that names nothing",
        "not_allowed" => "not allowed",
        "outdated" => "a button of another version",
        "missed" => "a click while idp was away",
        "unavailable" => "something could not be asked",
        FAULT => "something broke on our side",
        _ => "another reason",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn figures(weeks: Vec<OfWeek>) -> Figures {
        let total = |platform, way, outcome: &str, times| Total {
            platform,
            way,
            outcome: outcome.into(),
            times,
        };
        Figures {
            people: 3,
            people_before: 2,
            accounts: 0,
            totals: vec![
                total(Platform::Slack, Way::Command, ANSWER, 5),
                total(Platform::Discord, Way::Button, ANSWER, 7),
                total(Platform::Slack, Way::Filled, "missing_argument", 1),
                total(Platform::Slack, Way::Message, "invalid_argument", 1),
                total(Platform::Slack, Way::Message, FAULT, 3),
                total(Platform::Slack, Way::Typing, ANSWER, 100),
                total(Platform::Slack, Way::Home, ANSWER, 9),
                total(Platform::Slack, Way::Unfurl, "nothing", 8),
            ],
            commands: vec![OfCommand {
                command: "owner".into(),
                times: 12,
                answered: 9,
                people: 3,
            }],
            teams: Vec::new(),
            weeks,
            latency: Histogram::default(),
            helpful: 0,
            not_helpful: 0,
        }
    }

    #[test]
    fn four_weeks_end_today_and_four_before_them_do_not_overlap() {
        let period = Period::until("2026-03-29T23:59:59Z".parse().unwrap());
        assert_eq!(
            (period.from, period.to, period.days()),
            (day("2026-03-02"), day("2026-03-29"), 28)
        );
        let before = period.before();
        assert_eq!((before.from, before.to), (day("2026-02-02"), day("2026-03-01")));
        assert_eq!(monday(day("2026-03-29")), day("2026-03-23"));
        assert_eq!(monday(day("2026-03-23")), day("2026-03-23"));
        assert_eq!(first_week(period), day("2026-01-05"));
    }

    #[test]
    fn what_is_typed_and_what_is_opened_is_no_question() {
        let figures = figures(Vec::new());
        assert_eq!((figures.asked(), figures.answered()), (17, 12));
        assert_eq!(
            [Way::Home, Way::Typing, Way::Unfurl].map(|way| figures.shown(way)),
            [9, 100, 0]
        );
        assert_eq!(figures.platforms(), [(Platform::Slack, 10), (Platform::Discord, 7)]);
        assert_eq!(
            figures.refused(),
            [("something broke on our side", 3), ("too little, too much or what does not fit", 2)]
        );
        assert_eq!(figures.chart(Period::until("2026-03-29T12:00:00Z".parse().unwrap())), None);
    }

    #[test]
    fn a_week_in_which_nobody_asked_is_drawn_as_such() {
        let week = |monday: &str, people| OfWeek { monday: day(monday), times: 10, people };
        let figures = figures(vec![week("2026-03-02", 2), week("2026-03-23", 3)]);
        let chart = figures.chart(Period::until("2026-03-29T12:00:00Z".parse().unwrap())).unwrap();
        let Part::Trend(people) = &chart.parts[0] else { panic!("{chart:?}") };
        assert_eq!(people.steps, ["2 Mar", "9 Mar", "16 Mar", "23 Mar"]);
        assert_eq!(people.lines[0].values, [2.0, 0.0, 0.0, 3.0].map(Some));
    }
}
