//! A chart: how figures went, how much of each row is what, which of some is how long; several below each other.
//!
//! Each is drawn, is said in one paragraph for who does not see it, and is written in letters for a terminal.

mod colour;
mod svg;
mod words;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use colour::Colour;
pub use svg::svg;
pub use words::{in_letters, in_words};

use super::{png, shown};
use crate::conversation::Picture;

/// More nobody takes in; what is behind them is counted.
pub const PARTS_MAX: usize = 4;
pub const LINES_MAX: usize = 6;
pub const ROWS_MAX: usize = 20;
/// Segments beyond the last but one are counted as one.
pub const SEGMENTS_MAX: usize = 8;
/// A year of weeks, or a quarter of days; the newest are kept.
pub const STEPS_MAX: usize = 92;

const TITLE_LETTERS_MAX: usize = 80;
const LABEL_LETTERS_MAX: usize = 28;
const UNIT_LETTERS_MAX: usize = 8;

/// What is drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chart {
    pub title: String,
    /// Below each other.
    pub parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Part {
    Trend(Trend),
    Shares(Shares),
    Bars(Bars),
}

/// How figures went from step to step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    pub title: String,
    /// What stands behind a figure: `%`; empty for a count.
    pub unit: String,
    /// What days or weeks are called, the oldest first: `2 Mar`.
    pub steps: Vec<String>,
    pub lines: Vec<Line>,
    /// How far up the axis goes at least; `None`: as far as the figures do.
    pub top: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub label: String,
    pub colour: Option<Colour>,
    /// One for each step; `None` where nobody knows it, which breaks the line.
    pub values: Vec<Option<f64>>,
}

/// How much of each row is what, as parts of one whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    pub title: String,
    /// What a row consists of, in the order in which it is drawn from the left.
    pub segments: Vec<Segment>,
    pub rows: Vec<Row>,
    /// How many rows there are besides.
    pub more: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    pub label: String,
    pub colour: Option<Colour>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub label: String,
    /// One for each segment.
    pub counts: Vec<u64>,
}

/// Which of some is how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bars {
    pub title: String,
    /// What stands behind a figure: `%`; empty for a count.
    pub unit: String,
    pub rows: Vec<Bar>,
    /// How many rows there are besides.
    pub more: usize,
    /// How long the longest could be; `None`: as long as the longest is.
    pub top: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    pub label: String,
    pub colour: Option<Colour>,
    pub value: f64,
}

impl Chart {
    /// The chart of an answer, where it has one with anything to draw.
    pub fn of(answer: &Value) -> Option<Chart> {
        let chart = Chart::deserialize(answer.get("chart")?).ok()?;
        chart.parts.iter().any(Part::has_anything).then_some(chart)
    }

    /// How much memory it takes, about.
    pub fn bytes(&self) -> usize {
        let parts = self.parts.iter().map(Part::bytes);
        self.title.len() + parts.sum::<usize>()
    }
}

impl Part {
    fn title(&self) -> &str {
        match self {
            Part::Trend(it) => &it.title,
            Part::Shares(it) => &it.title,
            Part::Bars(it) => &it.title,
        }
    }

    fn has_anything(&self) -> bool {
        match self {
            Part::Trend(it) => it.lines.iter().any(|line| line.values.iter().any(Option::is_some)),
            Part::Shares(it) => it.rows.iter().any(|row| row.counts.iter().any(|count| *count > 0)),
            Part::Bars(it) => !it.rows.is_empty(),
        }
    }

    fn bytes(&self) -> usize {
        let own = size_of::<Part>() + self.title().len();
        own + match self {
            Part::Trend(it) => {
                let steps = it.steps.iter().map(|step| size_of::<String>() + step.len());
                let line = |line: &Line| line.label.len() + size_of_val(line.values.as_slice());
                steps.sum::<usize>() + it.lines.iter().map(line).sum::<usize>()
            }
            Part::Shares(it) => {
                let row = |row: &Row| row.label.len() + size_of_val(row.counts.as_slice());
                it.segments.len() * size_of::<Segment>() + it.rows.iter().map(row).sum::<usize>()
            }
            Part::Bars(it) => {
                it.rows.iter().map(|bar| size_of::<Bar>() + bar.label.len()).sum::<usize>()
            }
        }
    }
}

/// The picture of `chart`, as far as it can be taken in, and how much more there is.
///
/// It takes tens of milliseconds of a processor: not for a thread that others wait for.
///
/// # Errors
/// A chart without anything to draw; a picture that is too large.
pub fn draw(chart: &Chart) -> anyhow::Result<Picture> {
    let chart = bounded(chart);
    anyhow::ensure!(!chart.parts.is_empty(), "a chart without anything to draw");
    Ok(Picture {
        name: "chart.png".into(),
        title: chart.title.clone(),
        alt: in_words(&chart),
        png: png(&svg(&chart))?,
    })
}

/// `chart` with what is drawn of it: texts that can be read, finite figures, as many as each row has to have.
fn bounded(chart: &Chart) -> Chart {
    let parts = chart.parts.iter().filter(|part| part.has_anything()).take(PARTS_MAX);
    let parts = parts.map(|part| match part {
        Part::Trend(it) => Part::Trend(bounded_trend(it)),
        Part::Shares(it) => Part::Shares(bounded_shares(it)),
        Part::Bars(it) => Part::Bars(Bars {
            title: shown(&it.title, TITLE_LETTERS_MAX),
            unit: shown(&it.unit, UNIT_LETTERS_MAX),
            rows: it.rows.iter().take(ROWS_MAX).map(bounded_bar).collect(),
            more: it.more.saturating_add(it.rows.len().saturating_sub(ROWS_MAX)),
            top: it.top.map(finite),
        }),
    });
    Chart { title: shown(&chart.title, TITLE_LETTERS_MAX), parts: parts.collect() }
}

fn bounded_trend(trend: &Trend) -> Trend {
    let label = |text: &String| shown(text, LABEL_LETTERS_MAX);
    let skipped = trend.steps.len().saturating_sub(STEPS_MAX);
    let steps: Vec<String> = trend.steps.iter().skip(skipped).map(label).collect();
    let line = |line: &Line| {
        let values = line.values.iter().skip(skipped).map(|value| value.map(finite));
        let values = values.chain(std::iter::repeat(None)).take(steps.len());
        Line { label: label(&line.label), values: values.collect(), ..line.clone() }
    };
    Trend {
        title: shown(&trend.title, TITLE_LETTERS_MAX),
        unit: shown(&trend.unit, UNIT_LETTERS_MAX),
        lines: trend.lines.iter().take(LINES_MAX).map(line).collect(),
        steps,
        top: trend.top.map(finite),
    }
}

fn bounded_shares(shares: &Shares) -> Shares {
    let label = |text: &String| shown(text, LABEL_LETTERS_MAX);
    let kept = match shares.segments.len() {
        0..=SEGMENTS_MAX => shares.segments.len(),
        _ => SEGMENTS_MAX - 1,
    };
    let own = shares.segments.iter().take(kept);
    let mut segments: Vec<Segment> =
        own.map(|it| Segment { label: label(&it.label), ..it.clone() }).collect();
    if kept < shares.segments.len() {
        segments.push(Segment { label: "others".into(), colour: None });
    }
    let row = |row: &Row| {
        let counts = row.counts.iter().copied().chain(std::iter::repeat(0));
        let mut counts: Vec<u64> = counts.take(shares.segments.len()).collect();
        if kept < counts.len() {
            let others = counts.drain(kept..).fold(0, u64::saturating_add);
            counts.push(others);
        }
        Row { label: label(&row.label), counts }
    };
    Shares {
        title: shown(&shares.title, TITLE_LETTERS_MAX),
        segments,
        rows: shares.rows.iter().take(ROWS_MAX).map(row).collect(),
        more: shares.more.saturating_add(shares.rows.len().saturating_sub(ROWS_MAX)),
    }
}

fn bounded_bar(bar: &Bar) -> Bar {
    Bar { label: shown(&bar.label, LABEL_LETTERS_MAX), value: finite(bar.value), ..bar.clone() }
}

/// A figure that can be drawn: none is below nothing.
fn finite(value: f64) -> f64 {
    const FIGURE_MAX: f64 = 1e15;
    if value.is_nan() { 0.0 } else { value.clamp(0.0, FIGURE_MAX) }
}

/// `75 %`, `1.2 k`, `0.4`.
fn figure(value: f64, unit: &str) -> String {
    let (value, letter) = match value {
        1e9.. => (value / 1e9, " G"),
        1e6.. => (value / 1e6, " M"),
        1e4.. => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let rounded = (value * 10.0).round() / 10.0;
    let number = match rounded.fract() == 0.0 {
        true => format!("{rounded:.0}"),
        false => format!("{rounded:.1}"),
    };
    let joint = if unit.is_empty() { "" } else { " " };
    format!("{number}{letter}{joint}{unit}")
}

/// What is said of rows that are not drawn.
fn more(count: usize) -> Option<String> {
    (count > 0).then(|| format!("and {count} more"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        let said = |value| figure(value, "%");
        assert_eq!([said(75.0), said(0.44), said(66.66)], ["75 %", "0.4 %", "66.7 %"]);
        assert_eq!(figure(12_345.0, ""), "12.3 k");
        assert_eq!(figure(2e6, "ms"), "2 M ms");
        assert_eq!(figure(1.0, ""), "1");
    }

    #[test]
    fn what_no_axis_holds_is_brought_to_one_that_does() {
        assert_eq!([finite(f64::NAN), finite(-3.0), finite(f64::INFINITY)], [0.0, 0.0, 1e15]);
    }

    #[test]
    fn segments_beyond_the_last_are_counted_as_one() {
        let segments = (0..12).map(|it| Segment { label: it.to_string(), colour: None });
        let shares = Shares {
            title: String::new(),
            segments: segments.collect(),
            rows: vec![Row { label: "a".into(), counts: (0..12).collect() }],
            more: 0,
        };
        let shares = bounded_shares(&shares);
        assert_eq!((shares.segments.len(), shares.rows[0].counts.len()), (8, 8));
        assert_eq!(shares.rows[0].counts[7], (7..12).sum::<u64>());
    }
}
