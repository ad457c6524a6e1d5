//! What was measured, as a table for people and as lines for programs.

use std::time::Duration;

use comfy_table::{Table, presets};

#[derive(Default)]
pub struct Figures(Vec<Figure>);

struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
}

impl Figures {
    pub fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        let figure = Figure { name: name.into(), value, unit };
        println!("  {:<44} {:>12.3} {}", figure.name, figure.value, figure.unit);
        self.0.push(figure);
    }

    /// The durations of single answers, and how many there were in `whole`.
    pub fn add_answers(&mut self, name: &str, mut answers: Vec<Duration>, whole: Duration) {
        answers.sort_unstable();
        self.add(format!("{name}-rate"), answers.len() as f64 / whole.as_secs_f64(), "/s");
        for (word, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
            let place = ((answers.len() - 1) as f64 * share).round() as usize;
            self.add(format!("{name}-{word}"), answers[place].as_secs_f64() * 1e3, "ms");
        }
    }

    /// The table, then one line `REL name value` for each.
    pub fn print(&self) {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header(["figure", "value", "unit"]);
        for Figure { name, value, unit } in &self.0 {
            table.add_row([name.clone(), format!("{value:.3}"), (*unit).to_string()]);
        }
        println!("{table}");
        for Figure { name, value, .. } in &self.0 {
            println!("REL {name} {value:.6}");
        }
    }
}
