//! What of a schedule is to be planned now.
//!
//! ```text
//!        since                     now      lead
//! ─────────┼────○────────○──────────┼────────●──────▶
//!              missed   missed           planned
//! ```
//! Of the slots that nobody has dealt with yet only the newest is planned: after an outage of weeks a team hears one
//! digest, not several. The others are missed, and the next digest says so.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::jobs::schedule::{Schedule, Slot};

/// The most missed slots that are written down; a longer outage needs no longer list.
const MISSED_MAX: usize = 10;

/// A digest that comes later than this says that it is late.
const PUNCTUAL_WITHIN: TimeDelta = TimeDelta::minutes(10);

/// What is to be done about a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// `None`: it is too late for any.
    pub slot: Option<Slot>,
    pub is_late: bool,
    /// Oldest first.
    pub missed: Vec<Slot>,
    /// Everything until then is dealt with by this.
    pub until: DateTime<Utc>,
}

/// What is due of `schedule` in `zone`, whose slots until `since` are dealt with; `None`: nothing.
///
/// A slot is planned `lead` before its time, and no later than `catch_up` after it.
pub fn due(
    (schedule, zone): (&Schedule, Tz),
    since: DateTime<Utc>,
    now: DateTime<Utc>,
    lead: TimeDelta,
    catch_up: TimeDelta,
) -> Option<Due> {
    let mut missed: VecDeque<Slot> = VecDeque::new();
    for slot in schedule.slots(zone, since).take_while(|slot| slot.at <= now + lead) {
        if missed.len() > MISSED_MAX {
            missed.pop_front();
        }
        missed.push_back(slot);
    }
    let newest = *missed.back()?;
    let slot = (now - newest.at <= catch_up).then_some(newest);
    if slot.is_some() {
        missed.pop_back();
    }
    if missed.len() > MISSED_MAX {
        missed.pop_front();
    }
    let is_late = now - newest.at > PUNCTUAL_WITHIN;
    Some(Due { slot, is_late, missed: missed.into(), until: newest.at })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAD: TimeDelta = TimeDelta::minutes(20);

    fn at(text: &str) -> DateTime<Utc> {
        format!("{text}:00Z").parse().unwrap()
    }

    /// What is due at `now` of a digest on Mondays at nine: the planned date, whether late, the missed dates.
    fn due_at(since: &str, now: &str) -> Option<(Option<String>, bool, Vec<String>)> {
        let weekly = Schedule::read("0 9 * * mon").unwrap();
        let due = due((&weekly, Tz::UTC), at(since), at(now), LEAD, TimeDelta::hours(24))?;
        let date = |slot: &Slot| slot.date.to_string();
        assert!(due.until <= at(now) + LEAD);
        Some((due.slot.as_ref().map(date), due.is_late, due.missed.iter().map(date).collect()))
    }

    #[test]
    fn a_slot_is_planned_shortly_before_its_time() {
        assert_eq!(due_at("2026-04-27T09:00", "2026-05-04T08:39"), None);
        let planned = (Some("2026-05-04".into()), false, vec![]);
        assert_eq!(due_at("2026-04-27T09:00", "2026-05-04T08:40"), Some(planned));
        assert_eq!(due_at("2026-05-04T09:00", "2026-05-04T08:40"), None, "it was dealt with");
    }

    #[test]
    fn after_an_hour_of_outage_it_is_late_and_after_26_it_is_missed() {
        let late = (Some("2026-05-04".into()), true, vec![]);
        assert_eq!(due_at("2026-04-27T09:00", "2026-05-04T10:00"), Some(late));
        let missed = (None, true, vec!["2026-05-04".into()]);
        assert_eq!(due_at("2026-04-27T09:00", "2026-05-05T11:00"), Some(missed));
        let hardly = (Some("2026-05-04".into()), false, vec![]);
        assert_eq!(due_at("2026-04-27T09:00", "2026-05-04T09:10"), Some(hardly));
    }

    #[test]
    fn after_three_weeks_of_outage_at_most_one_is_sent() {
        let dates = ["2026-04-20", "2026-04-27"].map(String::from);
        let back_in_time = (Some("2026-05-04".into()), true, dates.to_vec());
        assert_eq!(due_at("2026-04-13T09:00", "2026-05-05T08:00"), Some(back_in_time));
        let (slot, _, missed) = due_at("2026-04-13T09:00", "2026-05-07T08:00").unwrap();
        assert_eq!((slot, missed.len()), (None, 3));
    }

    #[test]
    fn where_the_next_is_at_hand_the_last_is_not_caught_up() {
        let daily = Schedule::read("0 9 * * *").unwrap();
        let now = at("2026-05-05T08:50");
        let since = at("2026-05-03T09:00");
        let due = due((&daily, Tz::UTC), since, now, LEAD, TimeDelta::hours(24)).unwrap();
        assert_eq!(due.slot.unwrap().date.to_string(), "2026-05-05");
        assert_eq!((due.is_late, due.missed.len()), (false, 1));
    }

    #[test]
    fn years_of_outage_make_no_long_list() {
        let daily = Schedule::read("0 9 * * *").unwrap();
        let (since, now) = (at("2020-05-03T09:00"), at("2026-05-05T12:00"));
        let due = due((&daily, Tz::UTC), since, now, LEAD, TimeDelta::hours(2)).unwrap();
        assert_eq!((due.slot, due.missed.len()), (None, MISSED_MAX));
        assert_eq!(due.missed.last().unwrap().date.to_string(), "2026-05-05");
    }
}
