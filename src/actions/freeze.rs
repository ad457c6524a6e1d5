//! When nothing is done: on days of the week, or between dates.

use std::time::Duration;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeZone, Utc, Weekday};
use chrono_tz::Tz;

use crate::catalog::formats::fields::Fields;
use crate::catalog::formats::yaml::{Node, Position};

const FREEZES_MAX: usize = 20;
const WHY_CHARACTERS_MAX: usize = 200;
/// The longest that a freeze is looked ahead: one that never ends is a mistake, or the wish that nothing be done.
const AHEAD_DAYS_MAX: u64 = 400;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    pub zone: Tz,
    pub when: When,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// Both days are of it.
    Dates { from: NaiveDate, until: NaiveDate },
    /// On each of `days`, from one time to another.
    Weekly { days: Vec<Weekday>, from: NaiveTime, until: Option<NaiveTime> },
}

impl Freeze {
    /// Whether it holds at `now`.
    pub fn holds(&self, now: DateTime<Utc>) -> bool {
        let local = now.with_timezone(&self.zone).naive_local();
        match &self.when {
            When::Dates { from, until } => (*from..=*until).contains(&local.date()),
            When::Weekly { days, from, until } => {
                let is_before = until.is_none_or(|until| local.time() < until);
                days.contains(&local.weekday()) && local.time() >= *from && is_before
            }
        }
    }

    /// The first moment after `now` at which it does not hold; `None` where there is none for a year.
    fn ends(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = now.with_timezone(&self.zone).naive_local();
        let midnight = |date: NaiveDate| date.and_time(NaiveTime::MIN);
        let at = match &self.when {
            When::Dates { until, .. } => midnight(until.checked_add_days(Days::new(1))?),
            When::Weekly { until: Some(until), .. } => local.date().and_time(*until),
            When::Weekly { .. } => midnight(local.date().checked_add_days(Days::new(1))?),
        };
        // A time that the clocks skip is the first one after it.
        let found = (0..4).find_map(|hours| {
            self.zone.from_local_datetime(&(at + chrono::TimeDelta::hours(hours))).earliest()
        });
        found.map(|it| it.with_timezone(&Utc)).filter(|it| *it > now)
    }
}

/// Which of `freezes` holds at `now`, and when none does any more.
pub fn holding(freezes: &[Freeze], now: DateTime<Utc>) -> Option<(&Freeze, DateTime<Utc>)> {
    let first = freezes.iter().find(|it| it.holds(now))?;
    let most = now + Duration::from_secs(AHEAD_DAYS_MAX * 24 * 60 * 60);
    let mut at = now;
    while let Some(next) = freezes.iter().find(|it| it.holds(at)) {
        at = next.ends(at)?;
        if at > most {
            break;
        }
    }
    Some((first, at))
}

/// The list `freeze` of an action file.
pub fn read(keys: &mut Fields) -> Vec<Freeze> {
    let nodes = keys.items("freeze");
    if let Some(first) = nodes.get(FREEZES_MAX) {
        let message = format!("There are more than {FREEZES_MAX} freezes.");
        keys.problem(first.at, "freeze", message, "Join some.");
    }
    nodes.into_iter().take(FREEZES_MAX).filter_map(|node| one(keys, node)).collect()
}

fn one(outer: &mut Fields, node: Node) -> Option<Freeze> {
    let at = node.at;
    let mut keys = Fields::of(node, "freeze", outer.file, outer.problems)?;
    let days = keys.texts("days");
    let from = keys.text("from");
    let until = keys.text("until");
    let zone = keys.text("zone");
    let why = keys.required("why").map(|(why, _)| why);
    let zone = match zone {
        None => Some(Tz::UTC),
        Some((name, at)) => {
            let zone = name.parse().ok();
            if zone.is_none() {
                let message = format!("There is no time zone `{name}`.");
                keys.problem(at, "zone", message, "Write it as IANA does: `Europe/Berlin`.");
            }
            zone
        }
    };
    let when = match days {
        Some(days) => weekly(&mut keys, days, from, until),
        None => dates(&mut keys, at, from, until),
    };
    keys.refuse_unknown();
    let why: String = why?.chars().take(WHY_CHARACTERS_MAX).collect();
    Some(Freeze { zone: zone?, when: when?, why })
}

type Text = Option<(String, Position)>;

fn weekly(
    keys: &mut Fields,
    days: Vec<(String, Position)>,
    from: Text,
    until: Text,
) -> Option<When> {
    let mut found = Vec::new();
    for (word, at) in days {
        match word.parse::<Weekday>() {
            Ok(day) => found.push(day),
            Err(_) => {
                let message = format!("`{word}` is no day of the week.");
                keys.problem(at, "freeze", message, "Write `mon`, `tue`, `wed` and so on.");
            }
        }
    }
    let from = match from {
        None => NaiveTime::MIN,
        Some((text, at)) => time(keys, &text, at)?,
    };
    let until = match until {
        None => None,
        Some((text, _)) if text == "24:00" => None,
        Some((text, at)) => Some((time(keys, &text, at)?, at)),
    };
    if let Some((end, at)) = until
        && end <= from
    {
        let hint = "A night is two: one until `24:00`, and one from `00:00`.";
        keys.problem(at, "freeze", "It ends before it begins.", hint);
        return None;
    }
    Some(When::Weekly { days: found, from, until: until.map(|(end, _)| end) })
}

fn dates(keys: &mut Fields, at: Position, from: Text, until: Text) -> Option<When> {
    let (Some((from, from_at)), Some((until, until_at))) = (from, until) else {
        let hint = "Write `from: 2026-12-20` and `until: 2027-01-03`, or `days: [fri]`.";
        keys.problem(at, "freeze", "It says no days.", hint);
        return None;
    };
    let from = date(keys, &from, from_at);
    let until = date(keys, &until, until_at);
    let (from, until) = (from?, until?);
    if until < from {
        keys.problem(until_at, "freeze", "It ends before it begins.", "Swap the two days.");
        return None;
    }
    Some(When::Dates { from, until })
}

fn time(keys: &mut Fields, text: &str, at: Position) -> Option<NaiveTime> {
    let read = NaiveTime::parse_from_str(text, "%H:%M").ok();
    if read.is_none() {
        let message = format!("`{text}` is no time of day.");
        keys.problem(at, "freeze", message, "Write it in quotes, as `\"16:00\"`.");
    }
    read
}

fn date(keys: &mut Fields, text: &str, at: Position) -> Option<NaiveDate> {
    let read = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    if read.is_none() {
        let message = format!("`{text}` is no day.");
        keys.problem(at, "freeze", message, "Write it as `2026-12-20`.");
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn berlin(when: When) -> Freeze {
        Freeze { zone: Tz::Europe__Berlin, when, why: "it is late".into() }
    }

    #[test]
    fn a_freeze_holds_by_its_own_clock_and_ends() {
        let from = NaiveTime::from_hms_opt(16, 0, 0).unwrap();
        let friday = berlin(When::Weekly { days: vec![Weekday::Fri], from, until: None });
        // A Friday; Berlin is two hours ahead in summer.
        assert!(!friday.holds(at("2026-07-03T13:59:59Z")));
        assert!(friday.holds(at("2026-07-03T14:00:00Z")));
        assert!(friday.holds(at("2026-07-03T21:59:59Z")));
        assert!(!friday.holds(at("2026-07-03T22:00:00Z")));
        let weekend = berlin(When::Weekly {
            days: vec![Weekday::Sat, Weekday::Sun],
            from: NaiveTime::MIN,
            until: None,
        });
        let freezes = [friday, weekend];
        let (first, ends) = holding(&freezes, at("2026-07-03T15:00:00Z")).unwrap();
        assert_eq!(first, &freezes[0]);
        assert_eq!(ends, at("2026-07-05T22:00:00Z"));
        assert_eq!(holding(&freezes, ends), None);
    }

    #[test]
    fn what_never_ends_holds_all_the_same() {
        let days = vec![
            Weekday::Mon,
            Weekday::Tue,
            Weekday::Wed,
            Weekday::Thu,
            Weekday::Fri,
            Weekday::Sat,
            Weekday::Sun,
        ];
        let always = berlin(When::Weekly { days, from: NaiveTime::MIN, until: None });
        assert!(holding(&[always], at("2026-07-03T15:00:00Z")).is_some());
    }
}
