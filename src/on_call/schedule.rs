//! One schedule of a rota: who takes turns, and at which hours.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::catalog::EntityRef;
use crate::jobs::schedule::instant;

/// A window that is open began at most so many days ago by the calendar: a night, and a day that its zone left out.
const DAYS_BACK: u64 = 2;
/// The next window begins within so many days: a week, and the same.
const DAYS_AHEAD: u64 = 9;

/// People who take turns.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Users and Groups, in their order; at least one.
    pub people: Vec<EntityRef>,
    /// `None`: the first of `people` has all of it.
    pub turns: Option<Turns>,
    /// `None`: around the clock.
    pub hours: Option<Hours>,
}

/// How turns follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turns {
    /// When the first begins, by the clock of the rota's zone.
    pub from: NaiveDateTime,
    /// By the same clock: a day has 24 hours on it, whether or not it is set. `None`: the first never ends.
    pub every: Option<TimeDelta>,
}

/// The hours of a day, on some days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// From Monday on.
    pub days: [bool; 7],
    pub from: NaiveTime,
    /// By the clock: at most a day.
    pub length: TimeDelta,
}

impl Schedule {
    /// Who is on call at `at`; `None` before the first turn, and outside the hours.
    pub fn at(&self, zone: Tz, at: DateTime<Utc>) -> Option<&EntityRef> {
        if self.hours.is_some_and(|hours| !hours.are_at(zone, at)) {
            return None;
        }
        let turn = match self.turns {
            None => 0,
            Some(turns) => turns.number(zone, at)?,
        };
        let people = i64::try_from(self.people.len()).ok()?;
        self.people.get(usize::try_from(turn % people).ok()?)
    }

    /// The first moment after `at` at which that may be another.
    pub fn next_moment(&self, zone: Tz, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let turn = self.turns.and_then(|turns| match turns.number(zone, at) {
            Some(_) if self.people.len() == 1 => None,
            Some(number) => turns.start(zone, number + 1),
            None => turns.start(zone, 0),
        });
        let hours = self.hours.and_then(|hours| hours.next_moment(zone, at));
        turn.into_iter().chain(hours).min()
    }
}

impl Turns {
    /// The turn at `at`, from 0; `None` before the first.
    fn number(self, zone: Tz, at: DateTime<Utc>) -> Option<i64> {
        if at < instant(zone, self.from) {
            return None;
        }
        let Some(every) = self.every else { return Some(0) };
        // Where the clock is set, what it shows is not far from which turn it is.
        let shown = at.with_timezone(&zone).naive_local();
        let mut number = (shown - self.from).num_seconds().div_euclid(every.num_seconds()).max(0);
        while number > 0 && self.start(zone, number)? > at {
            number -= 1;
        }
        while self.start(zone, number + 1)? <= at {
            number += 1;
        }
        Some(number)
    }

    /// When the turn `number` begins; `None` where there is none.
    fn start(self, zone: Tz, number: i64) -> Option<DateTime<Utc>> {
        let seconds = match self.every {
            None if number > 0 => return None,
            None => 0,
            Some(every) => every.num_seconds().checked_mul(number)?,
        };
        let start = self.from.checked_add_signed(TimeDelta::try_seconds(seconds)?)?;
        Some(instant(zone, start))
    }
}

impl Hours {
    fn are_at(self, zone: Tz, at: DateTime<Utc>) -> bool {
        self.windows(zone, at, 0).any(|(from, until)| from <= at && at < until)
    }

    /// When a window opens or closes next.
    fn next_moment(self, zone: Tz, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let windows = self.windows(zone, at, DAYS_AHEAD);
        windows.flat_map(|(from, until)| [from, until]).filter(|moment| *moment > at).min()
    }

    /// The windows around `at`, until so many days `ahead`.
    fn windows(
        self,
        zone: Tz,
        at: DateTime<Utc>,
        ahead: u64,
    ) -> impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)> {
        let today = at.with_timezone(&zone).date_naive();
        let days = (0..=DAYS_BACK + ahead).filter_map(move |days| {
            (today - Days::new(DAYS_BACK)).checked_add_days(Days::new(days))
        });
        days.filter(move |day| self.days[day.weekday().num_days_from_monday() as usize])
            .map(move |day| self.window(zone, day))
    }

    fn window(self, zone: Tz, day: NaiveDate) -> (DateTime<Utc>, DateTime<Utc>) {
        let from = day.and_time(self.from);
        (instant(zone, from), instant(zone, from + self.length))
    }
}
