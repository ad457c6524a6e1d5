//! Schedules over every time zone and ten years, with `croner` as an independent judge.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use chrono::{
    DateTime, Datelike, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc,
};
use chrono_tz::{TZ_VARIANTS, Tz};
use idp::jobs::schedule::{Schedule, Slot};

use crate::scale::full_or;

/// The days that are looked at: 3,653 of them.
const FROM: NaiveDate = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
const TO: NaiveDate = NaiveDate::from_ymd_opt(2036, 1, 1).unwrap();

/// A day before and behind them, for zones on either side of the date line.
fn bounds() -> (DateTime<Utc>, DateTime<Utc>) {
    let day = |date: NaiveDate| date.and_time(chrono::NaiveTime::MIN).and_utc();
    (day(FROM) - TimeDelta::days(2), day(TO) + TimeDelta::days(2))
}

/// How far the clock of `zone` is from UTC at `at`, in seconds.
fn offset_s(zone: Tz, at: DateTime<Utc>) -> i32 {
    zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()
}

/// When the clock of `zone` is set, and by how many seconds.
fn changes(zone: Tz) -> Vec<(DateTime<Utc>, i32)> {
    let (mut at, end) = bounds();
    let mut changes = Vec::new();
    while at < end {
        let next = at + TimeDelta::hours(6);
        if offset_s(zone, at) != offset_s(zone, next) {
            let (mut before, mut after) = (at, next);
            while after - before > TimeDelta::seconds(1) {
                let middle = before + (after - before) / 2;
                match offset_s(zone, middle) == offset_s(zone, at) {
                    true => before = middle,
                    false => after = middle,
                }
            }
            // Clocks are set at a full second.
            let exact = DateTime::from_timestamp(after.timestamp(), 0).unwrap();
            changes.push((exact, offset_s(zone, next) - offset_s(zone, at)));
        }
        at = next;
    }
    changes
}

/// A week's schedule that the clock of `zone` makes as hard as it can: at a time that it skips, or else that comes
/// twice, where there is one.
fn hard(zone: Tz) -> String {
    let changes = changes(zone);
    let forward = changes.iter().find(|(_, by)| *by > 0).or(changes.first());
    let time = match forward {
        // What the clock would have shown, or shows again.
        Some((at, by)) if *by > 0 => {
            (*at + TimeDelta::minutes(10)).naive_utc()
                + TimeDelta::seconds(offset_s(zone, *at - TimeDelta::hours(1)).into())
        }
        Some((at, _)) => (*at + TimeDelta::minutes(10)).with_timezone(&zone).naive_local(),
        None => FROM.and_hms_opt(9, 0, 0).unwrap(),
    };
    format!("{} {} * * {}", time.minute(), time.hour(), time.weekday().num_days_from_sunday())
}

/// What `expression` is due at in `zone`, as ours says.
fn ours(expression: &str, zone: Tz) -> Vec<Slot> {
    let (from, to) = bounds();
    let schedule = Schedule::read(expression).unwrap();
    schedule.slots(zone, from).take_while(|slot| slot.at < to).collect()
}

/// The same, as `croner` says.
fn croners(expression: &str, zone: Tz) -> Vec<DateTime<Utc>> {
    let (from, to) = bounds();
    let cron = croner::Cron::from_str(expression).unwrap();
    let slots = cron.iter_after(from.with_timezone(&zone)).map(|it| it.to_utc());
    slots.take_while(|at| *at < to).collect()
}

/// The same, as the crate `cron` says of which ours makes use. It takes no 0 for Sunday: the weekday is shifted for it.
fn bare(expression: &str, zone: Tz) -> Vec<DateTime<Utc>> {
    let (from, to) = bounds();
    let (rest, weekday) = expression.rsplit_once(' ').unwrap();
    let weekday = weekday.parse::<u32>().unwrap() + 1;
    let cron = cron::Schedule::from_str(&format!("0 {rest} {weekday}")).unwrap();
    let slots = cron.after_owned(from.with_timezone(&zone)).map(|it| it.to_utc());
    slots.take_while(|at| *at < to).collect()
}

/// The dates of the days on which `expression`, which is due on one day of the week, is due.
fn dates(expression: &str) -> Vec<NaiveDate> {
    let weekday: u32 = expression.rsplit(' ').next().unwrap().parse().unwrap();
    let days = FROM.iter_days().take_while(|date| *date < TO);
    days.filter(|date| date.weekday().num_days_from_sunday() == weekday).collect()
}

/// How many of `dates` have not exactly one of `slots`.
fn wrong(dates: &[NaiveDate], slots: impl Iterator<Item = NaiveDate>) -> usize {
    let mut counts: BTreeMap<NaiveDate, usize> = BTreeMap::new();
    slots.for_each(|date| *counts.entry(date).or_default() += 1);
    let outside = |date: &&NaiveDate| (FROM..TO).contains(*date) && !dates.contains(date);
    let strange = counts.keys().filter(outside).count();
    strange + dates.iter().filter(|date| counts.get(date) != Some(&1)).count()
}

/// Whether the clock of `zone` never shows `time`.
fn is_skipped(zone: Tz, time: NaiveDateTime) -> bool {
    zone.from_local_datetime(&time).earliest().is_none()
}

#[test]
fn each_week_has_exactly_one_slot_in_every_zone() {
    let step = full_or(1, 10);
    // Some are as hard as it gets: a clock that skips midnight, or by half an hour, or what is left of a day.
    let hardest = [Tz::America__Santiago, Tz::Australia__Lord_Howe, Tz::America__Nuuk];
    let some = TZ_VARIANTS.into_iter().step_by(step).filter(|it| !hardest.contains(it));
    let (mut zones, mut slots, mut one_each, mut skipped) = (0, 0, 0, 0);
    let (mut differences, mut unexplained, mut bare_wrong) = (0, 0, 0);
    for zone in some.chain(hardest) {
        let expression = hard(zone);
        let ours = ours(&expression, zone);
        let dates = dates(&expression);
        let in_years = ours.iter().filter(|slot| (FROM..TO).contains(&slot.date));
        zones += 1;
        slots += in_years.clone().count();
        one_each += dates.len() - wrong(&dates, in_years.map(|slot| slot.date));
        let (minute, hour) = expression.split_once(' ').unwrap();
        let hour = hour.split(' ').next().unwrap();
        let time =
            chrono::NaiveTime::from_hms_opt(hour.parse().unwrap(), minute.parse().unwrap(), 0);
        skipped += dates.iter().filter(|it| is_skipped(zone, it.and_time(time.unwrap()))).count();

        // By our rule a date has its slot also where the clock skips the rest of it; `croner` leaves that one out.
        let croners: BTreeSet<_> = croners(&expression, zone).into_iter().collect();
        let only_ours = ours.iter().filter(|slot| !croners.contains(&slot.at));
        for slot in only_ours {
            differences += 1;
            if slot.at.with_timezone(&zone).date_naive() == slot.date {
                unexplained += 1;
                println!("{zone}: `{expression}` of {} is only ours: {}", slot.date, slot.at);
            }
        }
        let ours: BTreeSet<_> = ours.iter().map(|slot| slot.at).collect();
        for at in croners.difference(&ours) {
            unexplained += 1;
            println!("{zone}: `{expression}` is only croner's: {at}");
        }
        // The control: without our part of it slots are missing, double, or of another day.
        let local = |at: &DateTime<Utc>| at.with_timezone(&zone).date_naive();
        bare_wrong += wrong(&dates, bare(&expression, zone).iter().map(local));
    }
    println!(
        "REL F4 zones={zones} slots={slots} one_each={one_each} skipped_times={skipped} \
         differences={differences} unexplained={unexplained} control_wrong={bare_wrong}"
    );
    assert_eq!((slots, unexplained), (one_each, 0));
    assert!(bare_wrong > 0, "the control finds nothing wrong");
    assert!(skipped > 0, "no time was skipped");
}

/// Where the judge keeps to other rules than Vixie's, that is the only difference.
#[test]
fn days_are_meant_as_by_vixies_cron() {
    let (zone, mut compared) = (Tz::Europe__Berlin, 0);
    for days in ["*", "13", "1-7", "13,29", "*/2", "*/31"] {
        for weekdays in ["*", "1", "1-5", "0,6", "*/2", "7"] {
            let expression = format!("30 2 {days} * {weekdays}");
            // `croner` takes `*/2` for days that are given; by Vixie's rule a star is a star.
            let judged = match days.starts_with("*/") || weekdays.starts_with("*/") {
                true => format!("30 2 {days} * +{weekdays}"),
                false => expression.clone(),
            };
            let ours: Vec<_> = ours(&expression, zone).into_iter().map(|slot| slot.at).collect();
            assert_eq!(ours, croners(&judged, zone), "{expression}");
            compared += ours.len();
        }
    }
    println!("REL F4 days compared={compared} unexplained=0");
}
