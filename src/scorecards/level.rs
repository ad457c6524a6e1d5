//! Levels: what a score is called.

use serde::Serialize;

/// The levels of a scorecard, the lowest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Levels {
    pub climb: Climb,
    pub all: Vec<Level>,
}

/// How a level is reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Climb {
    /// By the overall percentage.
    #[default]
    Thresholds,
    /// By passing all rules of the level and those below.
    Ladder,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Level {
    pub name: String,
    /// `#rrggbb`
    pub colour: String,
    /// The percentage from which it is reached; `None` on a ladder.
    pub from: Option<u8>,
}

/// Colours of levels that say none, by name, and in turn for others.
const COLOURS: [(&str, &str); 4] =
    [("bronze", "#b08d57"), ("silver", "#9aa4b1"), ("gold", "#d4a72c"), ("platinum", "#5b8fb9")];

impl Levels {
    /// The place of the level that `percent` reaches; `None` below the lowest, and on a ladder.
    pub fn of_percent(&self, percent: u8) -> Option<usize> {
        self.all.iter().rposition(|level| level.from.is_some_and(|from| from <= percent))
    }

    pub fn place(&self, name: &str) -> Option<usize> {
        self.all.iter().position(|level| level.name == name)
    }
}

/// The colour of the level `name`, which is the `place`th.
pub fn colour(name: &str, place: usize) -> &'static str {
    let name = name.to_lowercase();
    let named = COLOURS.iter().find(|(known, _)| *known == name);
    named.unwrap_or(&COLOURS[place % COLOURS.len()]).1
}

/// Whether `text` is `#rrggbb`.
pub fn is_colour(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or_default();
    digits.len() == 6 && digits.bytes().all(|it| it.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_reached_from_its_threshold_on() {
        let level = |name: &str, from| Level {
            name: name.into(),
            colour: colour(name, 0).into(),
            from: Some(from),
        };
        let all = vec![level("Bronze", 60), level("Silver", 80), level("Gold", 100)];
        let levels = Levels { climb: Climb::Thresholds, all };
        for (percent, place) in [
            (0, None),
            (59, None),
            (60, Some(0)),
            (79, Some(0)),
            (80, Some(1)),
            (99, Some(1)),
            (100, Some(2)),
        ] {
            assert_eq!(levels.of_percent(percent), place, "{percent}");
        }
    }
}
