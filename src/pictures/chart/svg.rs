//! A chart as SVG, laid out for the size at which it is read.

use std::fmt::Write;

use super::{Bars, Chart, Colour, Part, Shares, Trend, bounded, figure, more};
use crate::pictures::{FAINT, INK, LINE, Letters, opened, text, width};

const WIDTH: f64 = 760.0;
const MARGIN: f64 = 24.0;
const TITLE_SIZE: f64 = 16.0;
const HEADING_SIZE: f64 = 13.0;
const SIZE: f64 = 11.0;
/// From a title or heading to what is below it.
const GAP: f64 = 12.0;
/// Between two parts.
const PART_GAP: f64 = 26.0;
const ROW_HEIGHT: f64 = 26.0;
const BAR_HEIGHT: f64 = 18.0;
const PLOT_HEIGHT: f64 = 150.0;
const SWATCH: f64 = 11.0;
const LEGEND_HEIGHT: f64 = 20.0;
const GRID: &str = "#d8dee4";

const HEADING: Letters = Letters { anchor: "start", size: HEADING_SIZE, ink: INK, is_bold: true };
const LABEL: Letters = Letters { anchor: "start", size: SIZE, ink: INK, is_bold: false };
const FAINT_LABEL: Letters = Letters { ink: FAINT, ..LABEL };

/// The picture of `chart` as SVG.
pub fn svg(chart: &Chart) -> String {
    let chart = bounded(chart);
    let mut page = Page { drawn: String::new(), y: MARGIN + TITLE_SIZE };
    let letters = Letters { size: TITLE_SIZE, ..HEADING };
    text(&mut page.drawn, (MARGIN, page.y), letters, &chart.title);
    for (place, part) in chart.parts.iter().enumerate() {
        page.y += if place == 0 { GAP } else { PART_GAP };
        // One part alone may say it all by the title of the chart.
        if !part.title().is_empty() {
            page.y += HEADING_SIZE;
            text(&mut page.drawn, (MARGIN, page.y), HEADING, part.title());
            page.y += GAP;
        }
        match part {
            Part::Trend(it) => page.trend(it),
            Part::Shares(it) => page.shares(it),
            Part::Bars(it) => page.bars(it),
        }
    }
    let Page { drawn, y } = page;
    let title = width(&chart.title, TITLE_SIZE) + 2.0 * MARGIN;
    format!("{}{drawn}</svg>", opened(WIDTH.max(title), y + MARGIN))
}

/// What is drawn, and how far down it reaches.
struct Page {
    drawn: String,
    y: f64,
}

impl Page {
    fn trend(&mut self, trend: &Trend) {
        let colour = |place: usize| Colour::or_own(trend.lines[place].colour, place);
        if trend.lines.len() > 1 {
            let labels = trend.lines.iter().enumerate();
            self.legend(labels.map(|(place, line)| (line.label.as_str(), colour(place))));
        }
        let values = || trend.lines.iter().flat_map(|line| line.values.iter().flatten().copied());
        let highest = values().fold(trend.top.unwrap_or(0.0), f64::max);
        let ticks = ticks(highest);
        let top = ticks.last().copied().unwrap_or(1.0);
        let said: Vec<String> = ticks.iter().map(|it| figure(*it, &trend.unit)).collect();
        let widest = |all: &[String]| all.iter().map(|it| width(it, SIZE)).fold(0.0, f64::max);
        let newest: Vec<Option<f64>> =
            trend.lines.iter().map(|it| it.values.iter().rev().find_map(|it| *it)).collect();
        let ends: Vec<String> =
            newest.iter().flatten().map(|it| figure(*it, &trend.unit)).collect();
        let (left, right) = (MARGIN + widest(&said) + 8.0, WIDTH - MARGIN - widest(&ends) - 10.0);
        let bottom = self.y + SIZE + PLOT_HEIGHT;
        let down = |value: f64| bottom - value / top * PLOT_HEIGHT;
        let steps = trend.steps.len();
        let across = |step: usize| match steps {
            0 | 1 => (left + right) / 2.0,
            _ => left + (right - left) * step as f64 / (steps - 1) as f64,
        };
        for (tick, said) in ticks.iter().zip(&said) {
            let y = down(*tick);
            let ink = if *tick == 0.0 { LINE } else { GRID };
            self.path(&format!("M{left:.1} {y:.1} H{right:.1}"), ink, 1.0);
            let letters = Letters { anchor: "end", ..FAINT_LABEL };
            text(&mut self.drawn, (left - 8.0, y + SIZE / 3.0), letters, said);
        }
        for (place, line) in trend.lines.iter().enumerate() {
            self.line(&line.values, &colour(place).to_string(), (&across, &down));
        }
        let ends = newest.iter().enumerate().filter_map(|(it, value)| Some((it, (*value)?)));
        let mut ends: Vec<(usize, f64)> = ends.collect();
        ends.sort_by(|one, other| other.1.total_cmp(&one.1));
        // What would stand on another end stands below it.
        let mut free = f64::MIN;
        for (place, value) in ends {
            let y = (down(value) + SIZE / 3.0).max(free);
            free = y + SIZE + 2.0;
            let ink = colour(place).to_string();
            let letters = Letters { ink: &ink, is_bold: true, ..LABEL };
            text(&mut self.drawn, (right + 8.0, y), letters, &figure(value, &trend.unit));
        }
        let room = widest(&trend.steps) + 14.0;
        let each = if steps > 1 { (right - left) / (steps - 1) as f64 } else { room };
        let stride = (room / each).ceil().max(1.0) as usize;
        // The newest is always named.
        for step in (0..steps).rev().step_by(stride) {
            let at = (across(step), bottom + SIZE + 6.0);
            let letters = Letters { anchor: "middle", ..FAINT_LABEL };
            text(&mut self.drawn, at, letters, &trend.steps[step]);
        }
        self.y = free.max(bottom + SIZE + 10.0);
    }

    /// A line through `values`, broken where there is none; a value between two gaps is a dot.
    fn line(
        &mut self,
        values: &[Option<f64>],
        colour: &str,
        (across, down): (&dyn Fn(usize) -> f64, &dyn Fn(f64) -> f64),
    ) {
        let mut path = String::new();
        let mut is_open = false;
        for (step, value) in values.iter().enumerate() {
            let Some(value) = value else {
                is_open = false;
                continue;
            };
            let (x, y) = (across(step), down(*value));
            let _ = write!(path, "{}{x:.1} {y:.1} ", if is_open { 'L' } else { 'M' });
            let is_alone = !is_open && !matches!(values.get(step + 1), Some(Some(_)));
            let is_newest = values[step + 1..].iter().all(Option::is_none);
            is_open = true;
            if is_alone || is_newest {
                let _ = write!(
                    self.drawn,
                    "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"6\" height=\"6\" rx=\"3\" fill=\"{colour}\"/>",
                    x - 3.0,
                    y - 3.0
                );
            }
        }
        self.path(path.trim_end(), colour, 2.0);
    }

    fn shares(&mut self, shares: &Shares) {
        let colour = |place: usize| Colour::or_own(shares.segments[place].colour, place);
        let labels = shares.segments.iter().enumerate();
        self.legend(labels.map(|(place, segment)| (segment.label.as_str(), colour(place))));
        let total = |counts: &[u64]| counts.iter().fold(0, |all: u64, it| all.saturating_add(*it));
        let said = |counts: &[u64]| figure(total(counts) as f64, "");
        let labels = shares.rows.iter().map(|row| width(&row.label, SIZE)).fold(0.0, f64::max);
        let totals = shares.rows.iter().map(|row| width(&said(&row.counts), SIZE));
        let (left, right) =
            (MARGIN + labels + 10.0, WIDTH - MARGIN - totals.fold(0.0, f64::max) - 10.0);
        for row in &shares.rows {
            self.label(&row.label);
            let whole = total(&row.counts).max(1) as f64;
            let mut x = left;
            for (place, count) in row.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                let long = (right - left) * *count as f64 / whole;
                self.bar(x, long, colour(place));
                let words = figure(*count as f64, "");
                if width(&words, SIZE) + 4.0 <= long {
                    let letters = Letters { anchor: "middle", ink: colour(place).ink(), ..LABEL };
                    let at = (x + long / 2.0, self.y + ROW_HEIGHT / 2.0 + SIZE / 3.0);
                    text(&mut self.drawn, at, letters, &words);
                }
                x += long;
            }
            self.end_row(right, &said(&row.counts));
        }
        self.foot(shares.more);
    }

    fn bars(&mut self, bars: &Bars) {
        let longest = bars.rows.iter().map(|it| it.value).fold(bars.top.unwrap_or(0.0), f64::max);
        let said = |value: f64| figure(value, &bars.unit);
        let labels = bars.rows.iter().map(|bar| width(&bar.label, SIZE)).fold(0.0, f64::max);
        let figures = bars.rows.iter().map(|bar| width(&said(bar.value), SIZE));
        let (left, right) =
            (MARGIN + labels + 10.0, WIDTH - MARGIN - figures.fold(0.0, f64::max) - 10.0);
        for bar in &bars.rows {
            self.label(&bar.label);
            let long = if longest > 0.0 { (right - left) * bar.value / longest } else { 0.0 };
            self.bar(left, long, Colour::or_own(bar.colour, 0));
            self.end_row(left + long, &said(bar.value));
        }
        self.foot(bars.more);
    }

    /// The label of a row.
    fn label(&mut self, label: &str) {
        text(&mut self.drawn, (MARGIN, self.y + ROW_HEIGHT / 2.0 + SIZE / 3.0), LABEL, label);
    }

    /// A bar in the open row, with a line of paper at its end that parts it from the next.
    fn bar(&mut self, x: f64, long: f64, colour: Colour) {
        let _ = write!(
            self.drawn,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR_HEIGHT}\" fill=\"{colour}\"/>",
            self.y + (ROW_HEIGHT - BAR_HEIGHT) / 2.0,
            (long - 1.0).max(1.0)
        );
    }

    fn end_row(&mut self, x: f64, words: &str) {
        let at = (x + 8.0, self.y + ROW_HEIGHT / 2.0 + SIZE / 3.0);
        text(&mut self.drawn, at, FAINT_LABEL, words);
        self.y += ROW_HEIGHT;
    }

    /// How many rows are not drawn.
    fn foot(&mut self, rows: usize) {
        if let Some(words) = more(rows) {
            self.y += SIZE + 6.0;
            text(&mut self.drawn, (MARGIN, self.y), FAINT_LABEL, &words);
        }
    }

    fn path(&mut self, path: &str, ink: &str, wide: f64) {
        let _ = write!(
            self.drawn,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{ink}\" stroke-width=\"{wide}\" stroke-linejoin=\"round\"/>"
        );
    }

    /// Which colour is what, in as many lines as it takes.
    fn legend<'a>(&mut self, labels: impl Iterator<Item = (&'a str, Colour)>) {
        let mut x = MARGIN;
        for (label, colour) in labels {
            let long = SWATCH + 6.0 + width(label, SIZE) + 16.0;
            if x > MARGIN && x + long > WIDTH - MARGIN {
                x = MARGIN;
                self.y += LEGEND_HEIGHT;
            }
            let _ = write!(
                self.drawn,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{SWATCH}\" height=\"{SWATCH}\" fill=\"{colour}\"/>",
                self.y
            );
            text(&mut self.drawn, (x + SWATCH + 6.0, self.y + SIZE - 1.0), LABEL, label);
            x += long;
        }
        self.y += LEGEND_HEIGHT;
    }
}

/// Round figures from nothing to one that is not below `highest`: 3 to 6 of them.
fn ticks(highest: f64) -> Vec<f64> {
    let wanted = if highest > 0.0 { highest / 4.0 } else { 0.25 };
    let power = 10_f64.powf(wanted.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|it| it * power);
    let step = step.into_iter().find(|it| *it >= wanted * 0.999).unwrap_or(10.0 * power);
    let count = (highest / step * 0.999).ceil().max(1.0) as usize;
    (0..=count).map(|it| it as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_few_round_figures_and_reaches_the_highest() {
        assert_eq!(ticks(100.0), [0.0, 25.0, 50.0, 75.0, 100.0]);
        assert_eq!(ticks(7.0), [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!(ticks(0.0), [0.0, 0.25]);
        for highest in [1e-9, 0.3, 1.0, 3.0, 11.0, 99.0, 101.0, 12_345.0, 1e15] {
            let ticks = ticks(highest);
            assert!((2..=6).contains(&ticks.len()), "{highest}: {ticks:?}");
            assert!(ticks[ticks.len() - 1] >= highest * 0.998, "{highest}: {ticks:?}");
        }
    }
}
