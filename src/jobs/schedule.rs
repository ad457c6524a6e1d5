//! Cron expressions, by the wall clock of a time zone.
//!
//! ```text
//! minute hour day-of-month month day-of-week      0 9 * * mon
//! ```
//! The rules are Vixie cron's: weekdays count from Sunday as 0, and 7 is Sunday too; where both days are given, one of
//! them is enough, unless one begins with `*`. The crate `cron` searches the calendar. It does not read the expression:
//! it counts weekdays from 1, and wants both days. Nor does it look at a zone: where a clock is set forward it leaves the
//! slot out, and where it is set back it goes twice.
//!
//! A slot is known by its *local date*, whatever becomes of its time of day: a time that the clock skips is the first
//! instant after the gap, one that comes twice is the first. So each date has its slots, each once, in every zone.

use std::iter::Peekable;
use std::str::FromStr;

use chrono::{
    DateTime, MappedLocalTime, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc,
};
use chrono_tz::Tz;

/// Longer than any expression that a person would write.
const CHARACTERS_MAX: usize = 200;

/// More than any zone is from UTC, and than any clock is set forward by.
const OFFSET_MAX: TimeDelta = TimeDelta::hours(40);

/// A cron expression that comes some day.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    times_a_day: usize,
    /// The days of the month, and those of the week: a date of either is enough.
    calendars: Vec<cron::Schedule>,
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Schedule) -> bool {
        self.text == other.text
    }
}

/// One time at which a schedule is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    pub at: DateTime<Utc>,
    /// By which it is known.
    pub date: NaiveDate,
}

/// Why an expression is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unreadable {
    /// A full sentence that names the field and, where one character is to blame, which.
    pub message: String,
    /// The next step, a full sentence.
    pub hint: String,
}

/// What stands in a place of the expression.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    /// From `least` on.
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, names: &[] },
    Field { name: "hour", least: 0, most: 23, names: &[] },
    Field { name: "day of the month", least: 1, most: 31, names: &[] },
    Field { name: "month", least: 1, most: 12, names: &MONTHS },
    Field { name: "day of the week", least: 0, most: 7, names: &WEEKDAYS },
];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The values of a field.
struct Values {
    /// By number.
    are_in: [bool; 60],
    /// Whether it begins with `*`.
    is_star: bool,
}

impl Values {
    fn count(&self) -> usize {
        self.are_in.iter().filter(|it| **it).count()
    }

    /// As the crate `cron` reads them, counted from `shift` more.
    fn list(&self, shift: usize) -> String {
        let numbers = self.are_in.iter().enumerate().filter(|(_, it)| **it);
        numbers.map(|(number, _)| (number + shift).to_string()).collect::<Vec<_>>().join(",")
    }
}

impl Schedule {
    /// The schedule that `text` is.
    ///
    /// # Errors
    /// [`Unreadable`], also where no date is ever meant, such as the 30th of February.
    pub fn read(text: &str) -> Result<Schedule, Unreadable> {
        let words = words(text);
        if words.len() != FIELDS.len() || text.len() > CHARACTERS_MAX {
            let message = match words.len() {
                5 => format!("The expression has more than {CHARACTERS_MAX} characters."),
                1 => "The expression has 1 field, and a schedule has 5.".to_string(),
                count => format!("The expression has {count} fields, and a schedule has 5."),
            };
            let hint =
                "Write minute, hour, day of the month, month, day of the week: `0 9 * * mon`.";
            return Err(Unreadable { message, hint: hint.into() });
        }
        let mut fields = Vec::with_capacity(FIELDS.len());
        for (field, (at, word)) in FIELDS.iter().zip(&words) {
            fields.push(field.read(word, *at)?);
        }
        let [minutes, hours, days, months, weekdays] = &mut fields[..] else {
            unreachable!("there are as many as there are fields")
        };
        weekdays.are_in[0] |= std::mem::take(&mut weekdays.are_in[7]);
        let calendar = |days: &str, weekdays: &str| {
            let (minutes, hours, months) = (minutes.list(0), hours.list(0), months.list(0));
            let text = format!("0 {minutes} {hours} {days} {months} {weekdays}");
            cron::Schedule::from_str(&text).expect("numbers within the bounds of their fields")
        };
        // Source: cron.c of Vixie cron 4.1, `find_jobs`.
        let calendars = match days.is_star || weekdays.is_star {
            true => vec![calendar(&days.list(0), &weekdays.list(1))],
            false => vec![calendar(&days.list(0), "*"), calendar("*", &weekdays.list(1))],
        };
        let text = words.iter().map(|(_, word)| *word).collect::<Vec<_>>().join(" ");
        let times_a_day = minutes.count() * hours.count();
        let schedule = Schedule { text, times_a_day, calendars };
        match schedule.local_times(DateTime::UNIX_EPOCH.naive_utc()).next() {
            Some(_) => Ok(schedule),
            None => Err(Unreadable {
                message: "No year has such a day.".into(),
                hint: "Look at the day of the month and the month together.".into(),
            }),
        }
    }

    /// Its expression, with one space between two fields.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How often it is due on a day on which it is due.
    pub fn times_a_day(&self) -> usize {
        self.times_a_day
    }

    /// Its slots in `zone` after `after`, in their order; until the year 2100.
    pub fn slots(&self, zone: Tz, after: DateTime<Utc>) -> impl Iterator<Item = Slot> + use<> {
        // Who reads an earlier time from the clock there reads it before.
        let local = after.with_timezone(&zone).naive_local();
        let times = self.local_times(local);
        let slots = times.map(move |time| Slot { at: instant(zone, time), date: time.date() });
        // In the hour that comes twice, those that were in the first.
        slots.filter(move |slot| slot.at > after)
    }

    /// What the clock on the wall shows when it is due, after `after`.
    fn local_times(&self, after: NaiveDateTime) -> impl Iterator<Item = NaiveDateTime> + use<> {
        let after = after.and_utc();
        let times = |calendar: &'_ cron::Schedule| {
            let times = calendar.after_owned(after);
            times.map(|time| time.naive_utc()).peekable()
        };
        Merged(self.calendars.iter().map(times).collect())
    }
}

/// What several calendars say, in order, each time once.
struct Merged<I: Iterator>(Vec<Peekable<I>>);

impl<I: Iterator<Item = NaiveDateTime>> Iterator for Merged<I> {
    type Item = NaiveDateTime;

    fn next(&mut self) -> Option<NaiveDateTime> {
        let first = self.0.iter_mut().filter_map(|times| times.peek().copied()).min()?;
        for times in &mut self.0 {
            times.next_if_eq(&first);
        }
        Some(first)
    }
}

/// When the clock of `zone` shows `time`, the first time; where it never does, when it first shows a later one.
pub fn instant(zone: Tz, time: NaiveDateTime) -> DateTime<Utc> {
    match zone.from_local_datetime(&time) {
        MappedLocalTime::Single(at) => at.to_utc(),
        MappedLocalTime::Ambiguous(one, other) => one.min(other).to_utc(),
        MappedLocalTime::None => end_of_gap(zone, time),
    }
}

/// The second at which the clock of `zone` is set forward over `time`.
fn end_of_gap(zone: Tz, time: NaiveDateTime) -> DateTime<Utc> {
    let shows =
        |at: DateTime<Utc>| at.naive_utc() + zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    // Between a second when it shows less and one when it shows more.
    let (mut before, mut after) = (time.and_utc() - OFFSET_MAX, time.and_utc() + OFFSET_MAX);
    while after - before > TimeDelta::seconds(1) {
        let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
        match shows(middle) < time {
            true => before = middle,
            false => after = middle,
        }
    }
    after
}

/// The words of `text`, each with the number of its first character, from 1.
fn words(text: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut from = None;
    for (place, character) in text.char_indices().chain([(text.len(), ' ')]) {
        match (character.is_whitespace(), from) {
            (false, None) => from = Some(place),
            (true, Some(start)) => {
                words.push((text[..start].chars().count() + 1, &text[start..place]));
                from = None;
            }
            _ => {}
        }
    }
    words
}

impl Field {
    /// The values that `word` says, which begins at the character `at` of the expression.
    fn read(&self, word: &str, at: usize) -> Result<Values, Unreadable> {
        let mut values = Values { are_in: [false; 60], is_star: word.starts_with('*') };
        let mut at = at;
        for part in word.split(',') {
            let (from, to, step) = self.range(part, at)?;
            (from..=to).step_by(step).for_each(|number| values.are_in[number as usize] = true);
            at += part.chars().count() + 1;
        }
        Ok(values)
    }

    /// The first and last number that `part` says, and by how much they grow.
    fn range(&self, part: &str, at: usize) -> Result<(u32, u32, usize), Unreadable> {
        let (range, step) = match part.split_once('/') {
            None => (part, None),
            Some((range, step)) => (range, Some((step, at + range.chars().count() + 1))),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (self.least, self.most.min(self.last())),
            None => {
                let number = self.number(range, at)?;
                if step.is_some() {
                    let hint = format!("Write `{number}-{}/…`, or the number alone.", self.last());
                    return Err(self.wrong(part, at, "has a step and no range", hint));
                }
                (number, number)
            }
            Some((from, to)) => {
                let to_at = at + from.chars().count() + 1;
                (self.number(from, at)?, self.number(to, to_at)?)
            }
        };
        if from > to {
            let hint = match (self.most, to) {
                (7, 0) => format!("Sunday is 7 there: write `{from}-7`."),
                _ => format!("Write `{from}-{},{}-{to}`.", self.last(), self.least),
            };
            return Err(self.wrong(range, at, "ends before it begins", hint));
        }
        let Some((step, step_at)) = step else { return Ok((from, to, 1)) };
        match step.parse() {
            Ok(step) if step >= 1 && step <= self.most as usize + 1 => Ok((from, to, step)),
            _ => {
                let hint = format!("A step is a number from 1 to {}.", self.most + 1);
                Err(self.wrong(step, step_at, "is no step", hint))
            }
        }
    }

    /// The last value that people write.
    fn last(&self) -> u32 {
        if self.most == 7 { 6 } else { self.most }
    }

    fn number(&self, word: &str, at: usize) -> Result<u32, Unreadable> {
        let name = word.to_ascii_lowercase();
        if let Some(place) = self.names.iter().position(|it| *it == name) {
            return Ok(self.least + place as u32);
        }
        let is_number = !word.is_empty() && word.bytes().all(|it| it.is_ascii_digit());
        match word.parse() {
            Ok(number) if is_number && (self.least..=self.most).contains(&number) => Ok(number),
            _ => {
                let names = match self.names {
                    [] => String::new(),
                    names => format!(", or `{}`", names.join("`, `")),
                };
                let hint = format!("It is a number from {} to {}{names}.", self.least, self.most);
                Err(self.wrong(word, at, "is no value there", hint))
            }
        }
    }

    fn wrong(&self, word: &str, at: usize, why: &str, hint: String) -> Unreadable {
        let message = match word {
            "" => format!("The {}, at character {at}, is empty.", self.name),
            word => format!("The {}, at character {at}: `{word}` {why}.", self.name),
        };
        Unreadable { message, hint }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// The first `count` slots of `cron` in `zone` after `after`: the local date, and the time there.
    fn slots(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let zone: Tz = zone.parse().unwrap();
        let slots = Schedule::read(cron).unwrap();
        let slots = slots.slots(zone, at(after)).take(count);
        let told = slots.map(|slot| {
            let there = slot.at.with_timezone(&zone).format("%Y-%m-%d %H:%M");
            let date = slot.date.format("%Y-%m-%d").to_string();
            there
                .to_string()
                .strip_prefix(&date)
                .map_or_else(|| format!("{date}: {there}"), |time| format!("{date}{time}"))
        });
        told.collect()
    }

    #[test]
    fn weekdays_count_from_sunday_as_0_and_7_is_sunday_too() {
        for cron in ["0 9 * * 0", "0 9 * * 7", "0 9 * * sun", "0 9 * * SUN"] {
            let first = slots(cron, "UTC", "2026-05-01T00:00:00Z", 2);
            assert_eq!(first, ["2026-05-03 09:00", "2026-05-10 09:00"], "{cron}");
        }
        let week = slots("0 9 * * 5-7", "UTC", "2026-05-01T00:00:00Z", 4);
        let expected =
            ["2026-05-01 09:00", "2026-05-02 09:00", "2026-05-03 09:00", "2026-05-08 09:00"];
        assert_eq!(week, expected);
        assert_eq!(
            slots("0 9 * * mon-wed/2", "UTC", "2026-05-01T00:00:00Z", 2),
            ["2026-05-04 09:00", "2026-05-06 09:00"]
        );
    }

    #[test]
    fn one_of_two_days_is_enough_unless_one_begins_with_a_star() {
        let either = slots("0 9 13 * fri", "UTC", "2026-05-01T10:00:00Z", 3);
        assert_eq!(either, ["2026-05-08 09:00", "2026-05-13 09:00", "2026-05-15 09:00"]);
        let both = slots("0 9 */2 * fri", "UTC", "2026-05-01T10:00:00Z", 3);
        assert_eq!(both, ["2026-05-15 09:00", "2026-05-29 09:00", "2026-06-05 09:00"]);
        let day = slots("0 9 13 * *", "UTC", "2026-05-01T10:00:00Z", 2);
        assert_eq!(day, ["2026-05-13 09:00", "2026-06-13 09:00"]);
    }

    #[test]
    fn a_time_that_the_clock_skips_is_the_first_instant_after_the_gap() {
        for (zone, cron, after, expected) in [
            ("Europe/Berlin", "30 2 * * sun", "2027-03-27T00:00:00Z", "2027-03-28 03:00"),
            ("America/New_York", "15 2 * * sun", "2027-03-13T00:00:00Z", "2027-03-14 03:00"),
            ("Australia/Lord_Howe", "10 2 * * sun", "2026-10-03T00:00:00Z", "2026-10-04 02:30"),
            // There is no midnight there.
            ("America/Santiago", "0 0 * * sun", "2026-09-05T00:00:00Z", "2026-09-06 01:00"),
            ("Asia/Beirut", "0 0 * * sun", "2027-03-27T00:00:00Z", "2027-03-28 01:00"),
            // There was no such day: the island moved over the date line.
            ("Pacific/Apia", "0 9 30 12 *", "2011-12-01T00:00:00Z", "2011-12-30: 2011-12-31 00:00"),
        ] {
            assert_eq!(slots(cron, zone, after, 1), [expected], "{zone}");
        }
    }

    #[test]
    fn a_time_that_comes_twice_is_the_first() {
        let berlin = Schedule::read("30 2 * * *").unwrap();
        let berlin = berlin.slots(Tz::Europe__Berlin, at("2026-10-24T12:00:00Z"));
        let berlin: Vec<Slot> = berlin.take(2).collect();
        let expected = [("2026-10-25T00:30:00Z", 25), ("2026-10-26T01:30:00Z", 26)];
        let expected = expected.map(|(it, day)| Slot {
            at: at(it),
            date: NaiveDate::from_ymd_opt(2026, 10, day).unwrap(),
        });
        assert_eq!(berlin, expected);
        // Also when it is asked for between the two.
        let between = slots("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 1);
        assert_eq!(between, ["2026-10-26 02:30"]);
        let paused = slots("0 * * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", 2);
        assert_eq!(paused, ["2026-10-25 03:00", "2026-10-25 04:00"]);
    }

    #[test]
    fn leap_days_the_53rd_week_and_the_turn_of_the_year_are_days_like_others() {
        let leap = slots("0 9 29 2 *", "Europe/Berlin", "2026-01-01T00:00:00Z", 3);
        assert_eq!(leap, ["2028-02-29 09:00", "2032-02-29 09:00", "2036-02-29 09:00"]);
        // 2026 has 53 weeks by ISO 8601.
        let weeks = slots("0 9 * * mon", "Asia/Tokyo", "2026-12-20T00:00:00Z", 4);
        assert_eq!(
            weeks,
            ["2026-12-21 09:00", "2026-12-28 09:00", "2027-01-04 09:00", "2027-01-11 09:00"]
        );
        let turn = slots("0 0 * * *", "Pacific/Kiritimati", "2026-12-30T09:59:59Z", 3);
        assert_eq!(turn, ["2026-12-31 00:00", "2027-01-01 00:00", "2027-01-02 00:00"]);
        let end = slots("59 23 31 12 *", "America/Los_Angeles", "2026-06-01T00:00:00Z", 2);
        assert_eq!(end, ["2026-12-31 23:59", "2027-12-31 23:59"]);
        let last = slots("0 9 31 * *", "UTC", "2026-01-31T09:00:00Z", 3);
        assert_eq!(last, ["2026-03-31 09:00", "2026-05-31 09:00", "2026-07-31 09:00"]);
    }

    #[test]
    fn a_slot_comes_after_what_it_is_asked_after() {
        assert_eq!(slots("0 9 * * *", "UTC", "2026-05-04T09:00:00Z", 1), ["2026-05-05 09:00"]);
        assert_eq!(slots("0 9 * * *", "UTC", "2026-05-04T08:59:59.5Z", 1), ["2026-05-04 09:00"]);
        assert_eq!(slots("0 9 * * *", "UTC", "2026-05-04T09:00:00.5Z", 1), ["2026-05-05 09:00"]);
    }

    #[test]
    fn how_often_a_day_it_is_due_can_be_told() {
        let times = |cron: &str| Schedule::read(cron).unwrap().times_a_day();
        assert_eq!(
            (times("0 9 * * mon"), times("0 9,17 * * *"), times("*/20 * * * *")),
            (1, 2, 72)
        );
        assert_eq!(Schedule::read("  0\t9 * *   MON ").unwrap().text(), "0 9 * * MON");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_field_and_its_place() {
        for (cron, message, hint) in [
            ("0 25 * * *", "The hour, at character 3: `25` is no value there.", "from 0 to 23."),
            ("60 9 * * *", "The minute, at character 1: `60` is no value there.", "from 0 to 59."),
            (
                "0 9 0 * *",
                "The day of the month, at character 5: `0` is no value there.",
                "from 1 to 31.",
            ),
            ("0 9 * 1,13 *", "The month, at character 9: `13` is no value there.", "`jan`"),
            (
                "0 9 * * monday",
                "The day of the week, at character 9: `monday` is no value there.",
                "`mon`",
            ),
            (
                "0 9 * * fri-sun",
                "The day of the week, at character 9: `fri-sun` ends before it begins.",
                "`5-7`",
            ),
            (
                "0 22-6 * * *",
                "The hour, at character 3: `22-6` ends before it begins.",
                "`22-23,0-6`",
            ),
            (
                "5/10 9 * * *",
                "The minute, at character 1: `5/10` has a step and no range.",
                "`5-59/…`",
            ),
            ("*/0 9 * * *", "The minute, at character 3: `0` is no step.", "from 1 to 60."),
            ("0 9 1,,2 * *", "The day of the month, at character 7, is empty.", "from 1 to 31."),
            ("0 +9 * * *", "The hour, at character 3: `+9` is no value there.", "from 0 to 23."),
            (
                "0 9 L * *",
                "The day of the month, at character 5: `L` is no value there.",
                "from 1 to 31.",
            ),
            ("0 9 * *", "The expression has 4 fields, and a schedule has 5.", "`0 9 * * mon`"),
            (
                "0 0 9 * * 2 *",
                "The expression has 7 fields, and a schedule has 5.",
                "`0 9 * * mon`",
            ),
            ("@weekly", "The expression has 1 field, and a schedule has 5.", "`0 9 * * mon`"),
            ("", "The expression has 0 fields, and a schedule has 5.", "`0 9 * * mon`"),
            ("0 9 30 2 *", "No year has such a day.", "together."),
        ] {
            let wrong = Schedule::read(cron).unwrap_err();
            assert_eq!(wrong.message, message, "{cron}");
            assert!(wrong.hint.contains(hint), "{cron}: {}", wrong.hint);
        }
        assert!(Schedule::read(&format!("0 9 * * 1{}", ",1".repeat(100))).is_err());
    }

    #[test]
    fn no_text_makes_it_fall_over() {
        use proptest::prelude::*;
        proptest!(|(text in "[0-9*/,a-zé -]{0,24}")| { drop(Schedule::read(&text)); });
    }
}
