//! A chart in words, for who does not see it, and in letters, for who sees it in a terminal.

use super::{Bars, Chart, Line, Part, Row, Shares, Trend, bounded, figure, more};
use crate::pictures::{ALT_CHARACTERS_MAX, letters};

/// From the lowest to the highest, for a line in letters.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Where nobody knows the figure.
const UNKNOWN: char = '·';
/// What the segments of a row are written with, in turn.
const FILLS: [char; 4] = ['█', '▓', '▒', '░'];
/// How long a whole row is.
const BAR_LETTERS: usize = 24;
/// How much of a trend a terminal shows: the newest.
const STEPS_MAX: usize = 60;

/// What the chart shows: `Level of Payments. Overall: 61 % on 2 Mar, 75 % on 18 May. …`; at most 1,000 characters.
pub fn in_words(chart: &Chart) -> String {
    const CUT: &str = " More is drawn.";
    let chart = bounded(chart);
    let mut words = sentence(&chart.title);
    for part in &chart.parts {
        let title = Some(part.title()).filter(|title| !title.is_empty()).map(sentence);
        let said = match part {
            Part::Trend(it) => it.lines.iter().map(|line| line_in_words(it, line)).collect(),
            Part::Shares(it) => it.rows.iter().map(|row| row_in_words(it, row)).collect(),
            Part::Bars(it) => bars_in_words(it),
        };
        for sentence in title.into_iter().chain(said) {
            let so_far = words.encode_utf16().count() + 1 + sentence.encode_utf16().count();
            if so_far > ALT_CHARACTERS_MAX - CUT.len() {
                return words + CUT;
            }
            if !words.is_empty() {
                words.push(' ');
            }
            words.push_str(&sentence);
        }
    }
    words
}

fn sentence(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{text}.") }
}

fn line_in_words(trend: &Trend, line: &Line) -> String {
    let known = trend.steps.iter().zip(&line.values);
    let known: Vec<(&String, f64)> =
        known.filter_map(|(step, value)| Some((step, (*value)?))).collect();
    let said = |(step, value): (&String, f64)| match step.is_empty() {
        true => figure(value, &trend.unit),
        false => format!("{} ({step})", figure(value, &trend.unit)),
    };
    let name = if line.label.is_empty() { String::new() } else { format!("{}: ", line.label) };
    match known[..] {
        [first, .., last] => format!("{name}from {} to {}.", said(first), said(last)),
        [only] => format!("{name}{}.", said(only)),
        [] => format!("{name}unknown."),
    }
}

fn row_in_words(shares: &Shares, row: &Row) -> String {
    format!("{}: {}.", row.label, counts_in_words(shares, row))
}

/// `4 Gold, 2 Bronze`
fn counts_in_words(shares: &Shares, row: &Row) -> String {
    let counts = shares.segments.iter().zip(&row.counts).filter(|(_, count)| **count > 0);
    let counts: Vec<String> = counts.map(|(it, count)| format!("{count} {}", it.label)).collect();
    if counts.is_empty() { "none".into() } else { counts.join(", ") }
}

fn bars_in_words(bars: &Bars) -> Vec<String> {
    let said = |label: &str, value| format!("{label}: {}.", figure(value, &bars.unit));
    bars.rows.iter().map(|bar| said(&bar.label, bar.value)).collect()
}

/// The chart as lines of text, at most about 100 letters wide.
pub fn in_letters(chart: &Chart) -> Vec<String> {
    let chart = bounded(chart);
    let mut lines = vec![chart.title.clone()];
    for part in &chart.parts {
        if !part.title().is_empty() {
            lines.extend([String::new(), part.title().to_string()]);
        }
        match part {
            Part::Trend(it) => lines.extend(trend_in_letters(it)),
            Part::Shares(it) => lines.extend(shares_in_letters(it)),
            Part::Bars(it) => lines.extend(bars_in_letters(it)),
        }
    }
    lines.retain({
        let mut is_first = true;
        move |line| !std::mem::take(&mut is_first) || !line.is_empty()
    });
    lines
}

fn trend_in_letters(trend: &Trend) -> Vec<String> {
    let values = || trend.lines.iter().flat_map(|line| line.values.iter().flatten().copied());
    let top = values().fold(trend.top.unwrap_or(0.0), f64::max);
    let height = |value: &Option<f64>| match value {
        None => UNKNOWN,
        Some(value) if top > 0.0 => HEIGHTS[(value / top * 7.0).round() as usize],
        Some(_) => HEIGHTS[0],
    };
    let labels = widest(trend.lines.iter().map(|line| line.label.as_str()));
    let line = |line: &Line| {
        let newest = line.values.len().saturating_sub(STEPS_MAX);
        let heights: String = line.values[newest..].iter().map(height).collect();
        let known: Vec<f64> = line.values[newest..].iter().flatten().copied().collect();
        let said = match known[..] {
            [first, .., last] => {
                format!("{} → {}", figure(first, &trend.unit), figure(last, &trend.unit))
            }
            [only] => figure(only, &trend.unit),
            [] => "unknown".into(),
        };
        format!("  {}{heights}  {said}", padded(&line.label, labels))
    };
    let newest = trend.steps.len().saturating_sub(STEPS_MAX);
    let ends = match &trend.steps[newest..] {
        [] | [_] => None,
        [first, .., last] => Some(format!("  {}{first} … {last}", padded("", labels))),
    };
    trend.lines.iter().map(line).chain(ends).collect()
}

fn shares_in_letters(shares: &Shares) -> Vec<String> {
    let labels = widest(shares.rows.iter().map(|row| row.label.as_str()));
    let row = |row: &Row| {
        let total = row.counts.iter().fold(0, |all: u64, it| all.saturating_add(*it)).max(1);
        let mut bar = String::new();
        let (mut counted, mut written) = (0_u64, 0);
        for (place, count) in row.counts.iter().enumerate() {
            counted = counted.saturating_add(*count);
            let end = (counted as f64 / total as f64 * BAR_LETTERS as f64).round() as usize;
            bar.extend(std::iter::repeat_n(
                FILLS[place % FILLS.len()],
                end.saturating_sub(written),
            ));
            written = end.max(written);
        }
        bar.extend(std::iter::repeat_n(' ', BAR_LETTERS.saturating_sub(written)));
        format!("  {}{bar}  {}", padded(&row.label, labels), counts_in_words(shares, row))
    };
    shares.rows.iter().map(row).chain(more(shares.more).map(|it| format!("  {it}"))).collect()
}

fn bars_in_letters(bars: &Bars) -> Vec<String> {
    let longest = bars.rows.iter().map(|it| it.value).fold(bars.top.unwrap_or(0.0), f64::max);
    let labels = widest(bars.rows.iter().map(|bar| bar.label.as_str()));
    let rows = bars.rows.iter().map(|bar| {
        let share = if longest > 0.0 { bar.value / longest } else { 0.0 };
        let bar_letters = (share * BAR_LETTERS as f64).round() as usize;
        let drawn = "█".repeat(bar_letters.max(usize::from(bar.value > 0.0)));
        format!("  {}{drawn} {}", padded(&bar.label, labels), figure(bar.value, &bars.unit))
    });
    rows.chain(more(bars.more).map(|it| format!("  {it}"))).collect()
}

fn widest<'a>(labels: impl Iterator<Item = &'a str>) -> usize {
    labels.map(letters).max().unwrap_or(0)
}

/// `label` with space up to the column behind it; nothing where no row has a label.
fn padded(label: &str, wide: usize) -> String {
    if wide == 0 {
        String::new()
    } else {
        format!("{label}{}  ", " ".repeat(wide - letters(label)))
    }
}
