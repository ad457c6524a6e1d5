//! A rota file: who is on call, as YAML.
//!
//! ```yaml
//! name: payments
//! for: [payments, component:vault]   # what these Groups own, and the Groups themselves; an entity's own rota wins
//! zone: Europe/Berlin                # by whose clock all its times are
//! levels:
//!   - schedules:                     # everybody whose turn it is by any of them is on call
//!       - people: [ada, ben]         # Users, or Groups as `group:ops`; they take turns in this order
//!         every: 1w                  # whole hours, days or weeks: 12h, 1d, 2w
//!         from: 2026-01-05T09:00     # when the first turn began
//!       - people: [group:ops]        # one alone needs no turns
//!         hours: {days: [mon-fri], from: "09:00", until: "17:00"}   # without it: around the clock
//!   - after: 15m                     # who is called when nobody of the level before answered
//!     schedules:
//!       - people: [cleo]
//! overrides:
//!   - {who: cleo, from: 2026-12-24T09:00, until: 2026-12-26T09:00, instead_of: ada}
//!   - {who: ben, level: 2, from: 2026-12-31, until: 2027-01-02}   # without `instead_of`: in place of everybody there
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::schedule::{Hours, Schedule, Turns};
use super::{Override, Rota, Step};
use crate::catalog::formats::fields::{self, Fields};
use crate::catalog::formats::folder;
use crate::catalog::formats::yaml::{Node, Position};
use crate::catalog::{Entity, EntityRef, Problem, RelationKind, Severity, Snapshot};

const NAME_CHARACTERS_MAX: usize = 63;
/// The most of everything: far more than people keep in one file.
const FILES_MAX: usize = 1_000;
const SUBJECTS_MAX: usize = 500;
const LEVELS_MAX: usize = 10;
const SCHEDULES_MAX: usize = 10;
const PEOPLE_MAX: usize = 100;
const OVERRIDES_MAX: usize = 500;

const HOUR: Duration = Duration::from_secs(60 * 60);
const EVERY_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
const AFTER_MIN: Duration = Duration::from_secs(60);
const AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// No clock of a computer is outside.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=2200;

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: TimeDelta = TimeDelta::days(1);

/// The rotas of a portal, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rotas {
    all: Vec<Rota>,
    /// The place in `all` of the one that is for it.
    by_subject: BTreeMap<EntityRef, usize>,
}

impl Rotas {
    /// Of two rotas for one thing the first holds.
    pub fn new(all: Vec<Rota>) -> Rotas {
        let mut by_subject = BTreeMap::new();
        for (place, rota) in all.iter().enumerate() {
            for subject in &rota.subjects {
                by_subject.entry(subject.clone()).or_insert(place);
            }
        }
        Rotas { all, by_subject }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Rota> {
        self.all.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The rota that is for `subject` itself.
    pub fn own(&self, subject: &EntityRef) -> Option<&Rota> {
        self.by_subject.get(subject).map(|place| &self.all[*place])
    }

    /// The rotas that are for `entity`: its own, or else those of its owners, by the owners' references.
    pub fn of(&self, snapshot: &Snapshot, entity: &Entity) -> Vec<&Rota> {
        if self.is_empty() {
            return Vec::new();
        }
        if let Some(own) = self.own(&entity.reference) {
            return vec![own];
        }
        let mut found: Vec<&Rota> = Vec::new();
        for owner in snapshot.related(entity, RelationKind::OwnedBy) {
            let rota = self.own(owner.reference());
            found.extend(rota.filter(|rota| found.iter().all(|it| it.name != rota.name)));
        }
        found
    }

    /// The rotas of the directory `dir`; what is wrong with its files, each named as seen from `dir`.
    ///
    /// A broken file costs nobody but itself. A directory that is not there has no files.
    pub fn load(dir: &Path) -> (Rotas, Vec<Problem>) {
        let (texts, mut problems) = folder::read(dir, "rota", FILES_MAX);
        let mut rotas: Vec<Rota> = Vec::new();
        for (file, text) in texts {
            match read(&text, &file) {
                Ok(rota) => rotas.push(rota),
                Err(of_file) => problems.extend(of_file),
            }
        }
        let named = rotas.iter().map(|it| (it.file.as_str(), it.name.as_str()));
        problems.extend(folder::twice("rota", named));
        problems.extend(two_for_one(&rotas));
        // Of two files that say one rota the first counts.
        rotas.sort_by(|one, other| one.name.cmp(&other.name));
        rotas.dedup_by(|later, first| later.name == first.name);
        (Rotas::new(rotas), problems)
    }
}

/// Where two files have a rota for one thing: nobody could tell who is on call.
fn two_for_one(rotas: &[Rota]) -> Vec<Problem> {
    let mut first: BTreeMap<&EntityRef, &Rota> = BTreeMap::new();
    let mut problems = Vec::new();
    for rota in rotas {
        for subject in &rota.subjects {
            let other = *first.entry(subject).or_insert(rota);
            if other.file == rota.file {
                continue;
            }
            let message = format!("`{subject}` has a rota in `{}` already.", other.file);
            let hint = "Leave it out of one of the two; a rota has room for several schedules.";
            problems.push(fields::problem(
                &rota.file,
                rota.place_of(subject),
                "conflict",
                message,
                hint,
            ));
        }
    }
    problems
}

impl Rota {
    /// Where the file names `reference` first.
    fn place_of(&self, reference: &EntityRef) -> Position {
        let named = self.named.iter().find(|(it, _)| it == reference);
        named.map_or(fields::START, |(_, at)| *at)
    }
}

/// The rota that `text` says; `file` is named in problems.
///
/// # Errors
/// Every problem of the file.
pub fn read(text: &str, file: &str) -> Result<Rota, Vec<Problem>> {
    let root = fields::read(text, file).map_err(|problem| vec![*problem])?;
    let mut problems = Vec::new();
    let Some(mut keys) = Fields::of(root, "A rota file", file, &mut problems) else {
        return Err(problems);
    };
    let rota = rota(&mut keys);
    keys.refuse_unknown();
    match rota {
        Some(rota) if !problems.iter().any(|it| it.severity == Severity::Error) => Ok(rota),
        _ => Err(problems),
    }
}

/// Whom and what a file names, and where.
type Named = Vec<(EntityRef, Position)>;

/// `None` only where a problem was told.
fn rota(keys: &mut Fields) -> Option<Rota> {
    let mut named = Named::new();
    let name = name(keys);
    let subjects = subjects(keys, &mut named);
    let zone = zone(keys);
    let steps = steps(keys, &mut named);
    let overrides = overrides(keys, steps.len(), &mut named);
    Some(Rota {
        file: keys.file.to_string(),
        name: name?,
        subjects,
        zone: zone?,
        steps,
        overrides,
        named,
    })
}

fn name(keys: &mut Fields) -> Option<String> {
    let (name, at) = keys.required("name")?;
    let is_letter = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
    let is_name = name.starts_with(|it: char| it.is_ascii_lowercase());
    if is_name && name.len() <= NAME_CHARACTERS_MAX && name.chars().all(is_letter) {
        return Some(name);
    }
    let message = format!("`{name}` cannot be the name of a rota.");
    let hint = format!(
        "Use up to {NAME_CHARACTERS_MAX} lower-case letters, digits and `-`, a letter first."
    );
    keys.problem(at, "name", message, hint);
    None
}

fn subjects(keys: &mut Fields, named: &mut Named) -> Vec<EntityRef> {
    let at = keys.at;
    let mut subjects: Vec<EntityRef> = Vec::new();
    let texts = keys.texts("for").unwrap_or_default();
    let was_told = !keys.problems.is_empty();
    for (text, at) in texts {
        let Ok(subject) = EntityRef::parse(&text, Some("group"), "default") else {
            let hint = "Write a Group's name, or `component:shop/cart`.";
            keys.problem(at, "reference", format!("`{text}` is not a reference."), hint);
            continue;
        };
        if subjects.contains(&subject) {
            let message = format!("`{text}` is named twice.");
            keys.problem(at, "conflict", message, "Remove one of them.");
            continue;
        }
        named.push((subject.clone(), at));
        subjects.push(subject);
    }
    if subjects.is_empty() && !was_told {
        let hint = "Add `for: […]`: the Groups, or entities, for which people are on call.";
        keys.problem(at, "required-field", "Nothing says what the rota is for.", hint);
    }
    not_more_than(keys, at, "for", subjects.len(), SUBJECTS_MAX);
    subjects
}

fn zone(keys: &mut Fields) -> Option<Tz> {
    let (name, at) = keys.required("zone")?;
    let found = name.parse().ok();
    if found.is_none() {
        let known = TZ_VARIANTS.iter().map(|zone| zone.name());
        let hint = match fields::closest(&name, known) {
            Some(known) => format!("Did you mean `{known}`?"),
            None => "Write it as IANA does: `Europe/Berlin`.".to_string(),
        };
        keys.problem(at, "zone", format!("There is no time zone `{name}`."), hint);
    }
    found
}

fn steps(keys: &mut Fields, named: &mut Named) -> Vec<Step> {
    let at = keys.at;
    let nodes = keys.items("levels");
    if nodes.is_empty() {
        let hint = "Add `levels: [{schedules: [{people: […]}]}]`.";
        keys.problem(at, "required-field", "`levels` is missing.", hint);
    }
    not_more_than(keys, at, "levels", nodes.len(), LEVELS_MAX);
    let nodes = nodes.into_iter().take(LEVELS_MAX).enumerate();
    nodes.filter_map(|(place, node)| step(keys, node, place, named)).collect()
}

fn step(keys: &mut Fields, node: Node, place: usize, named: &mut Named) -> Option<Step> {
    let at = node.at;
    let mut inner = Fields::of(node, "A level", keys.file, keys.problems)?;
    let told = inner.problems.len();
    let after = inner.duration("after", AFTER_MIN, AFTER_MAX);
    let was_told = inner.problems.len() > told;
    match (place, after) {
        (0, Some(_)) => {
            let hint = "Leave it out: the first level is called at once.";
            inner.problem(at, "after", "The first level has an `after`.", hint);
        }
        (1.., None) if !was_told => {
            let message = format!("Level {} does not say when it is called.", place + 1);
            let hint = "Add `after: 15m`: how long after the level before it.";
            inner.problem(at, "required-field", message, hint);
        }
        _ => {}
    }
    let nodes = inner.items("schedules");
    if nodes.is_empty() {
        let hint = "Add `schedules: [{people: […]}]`.";
        inner.problem(at, "required-field", "`schedules` is missing.", hint);
    }
    not_more_than(&mut inner, at, "schedules", nodes.len(), SCHEDULES_MAX);
    let nodes = nodes.into_iter().take(SCHEDULES_MAX);
    let schedules = nodes.filter_map(|node| schedule(&mut inner, node, named)).collect();
    inner.refuse_unknown();
    Some(Step { after, schedules })
}

fn schedule(keys: &mut Fields, node: Node, named: &mut Named) -> Option<Schedule> {
    let at = node.at;
    let mut inner = Fields::of(node, "A schedule", keys.file, keys.problems)?;
    let told = inner.problems.len();
    let texts = inner.texts("people").unwrap_or_default();
    let mut people = Vec::new();
    for (text, at) in texts {
        people.extend(person(&mut inner, &text, at, named));
    }
    if people.is_empty() && inner.problems.len() == told {
        inner.problem(at, "required-field", "`people` is missing.", "Add `people: […]`.");
    }
    not_more_than(&mut inner, at, "people", people.len(), PEOPLE_MAX);
    let turns = turns(&mut inner, people.len());
    let hours = inner.take("hours").and_then(|node| hours(&mut inner, node));
    inner.refuse_unknown();
    (!people.is_empty()).then_some(Schedule { people, turns, hours })
}

fn person(keys: &mut Fields, text: &str, at: Position, named: &mut Named) -> Option<EntityRef> {
    match EntityRef::parse(text, Some("user"), "default") {
        Ok(who) if matches!(who.kind(), "user" | "group") => {
            named.push((who.clone(), at));
            Some(who)
        }
        _ => {
            let hint = "Write a User's name, or `group:ops`.";
            keys.problem(at, "reference", format!("`{text}` is no User and no Group."), hint);
            None
        }
    }
}

fn turns(keys: &mut Fields, people: usize) -> Option<Turns> {
    let told = keys.problems.len();
    let every = keys.take("every").and_then(|node| every(keys, &node));
    let from = keys.text("from").and_then(|(text, at)| time(keys, "from", &text, at));
    if keys.problems.len() > told {
        return None;
    }
    match (every, from) {
        (every, Some(from)) if every.is_some() || people < 2 => Some(Turns { from, every }),
        (None, None) if people < 2 => None,
        (every, _) => {
            let (missing, hint) = match every {
                None => ("how long a turn is", "Add `every: 1w`."),
                Some(_) => ("when the first turn began", "Add `from: 2026-01-05T09:00`."),
            };
            keys.problem(keys.at, "required-field", format!("Nothing says {missing}."), hint);
            None
        }
    }
}

/// Whole hours, which a clock shows wherever it is set.
fn every(keys: &mut Fields, node: &Node) -> Option<TimeDelta> {
    let read = node.text().and_then(fields::parse_duration);
    let is_whole = |it: &Duration| it.as_secs().is_multiple_of(HOUR.as_secs());
    let found = read.filter(|it| is_whole(it) && (HOUR..=EVERY_MAX).contains(it));
    if found.is_none() {
        let hint = "Write whole hours, days or weeks, up to a year: `12h`, `1d`, `2w`.";
        keys.problem(node.at, "duration", "A turn cannot be so long.", hint);
    }
    found.and_then(|it| TimeDelta::from_std(it).ok())
}

/// A moment by the clock of the rota's zone.
fn time(keys: &mut Fields, key: &str, text: &str, at: Position) -> Option<NaiveDateTime> {
    let forms = ["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    let read = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let read = read.or_else(|| Some(date()?.and_time(NaiveTime::MIN)));
    let found = read.filter(|it| YEARS.contains(&it.year()));
    if found.is_none() {
        let hint = "Write it as `2026-01-05T09:00`, by the clock of the rota's zone.";
        keys.problem(at, "time", format!("`{key}` is no date and time."), hint);
    }
    found
}

fn hours(keys: &mut Fields, node: Node) -> Option<Hours> {
    let mut inner = Fields::of(node, "hours", keys.file, keys.problems)?;
    let days = match inner.texts("days") {
        None => [true; 7],
        Some(texts) => days(&mut inner, texts),
    };
    let from = inner.required("from").and_then(|(text, at)| of_day(&mut inner, "from", &text, at));
    let until =
        inner.required("until").and_then(|(text, at)| of_day(&mut inner, "until", &text, at));
    inner.refuse_unknown();
    let (from, until) = (from?, until?);
    if from == DAY {
        return None;
    }
    let length = match until > from {
        true => until - from,
        // Until the next day.
        false => until - from + DAY,
    };
    Some(Hours { days, from: NaiveTime::MIN + from, length })
}

/// How long after midnight, by the clock.
fn of_day(keys: &mut Fields, key: &str, text: &str, at: Position) -> Option<TimeDelta> {
    if text == "24:00" && key == "until" {
        return Some(DAY);
    }
    match NaiveTime::parse_from_str(text, "%H:%M") {
        Ok(time) => Some(time - NaiveTime::MIN),
        Err(_) => {
            let hint = "Write it as `\"09:00\"`, with its quotes.";
            keys.problem(at, "time", format!("`{key}` is no time of day."), hint);
            None
        }
    }
}

/// Which days `texts` say, from Monday on: `mon`, `mon-fri`.
fn days(keys: &mut Fields, texts: Vec<(String, Position)>) -> [bool; 7] {
    let mut days = [false; 7];
    for (text, at) in texts {
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        let day = |word: &str| WEEKDAYS.iter().position(|it| *it == word.trim().to_lowercase());
        let (Some(first), Some(last)) = (day(first), day(last)) else {
            let hint =
                format!("There are {}, and from one to another: `mon-fri`.", WEEKDAYS.join(", "));
            keys.problem(at, "days", format!("`{text}` is no day of the week."), hint);
            continue;
        };
        // From Saturday to Monday there is a Sunday.
        let last = if last < first { last + 7 } else { last };
        (first..=last).for_each(|day| days[day % 7] = true);
    }
    days
}

fn overrides(keys: &mut Fields, steps: usize, named: &mut Named) -> Vec<Override> {
    let at = keys.at;
    let nodes = keys.items("overrides");
    not_more_than(keys, at, "overrides", nodes.len(), OVERRIDES_MAX);
    let nodes = nodes.into_iter().take(OVERRIDES_MAX);
    nodes.filter_map(|node| one_override(keys, node, steps, named)).collect()
}

fn one_override(
    keys: &mut Fields,
    node: Node,
    steps: usize,
    named: &mut Named,
) -> Option<Override> {
    let at = node.at;
    let mut inner = Fields::of(node, "An override", keys.file, keys.problems)?;
    let who = inner.required("who");
    let who = who.and_then(|(text, at)| person(&mut inner, &text, at, named));
    let instead_of = inner.text("instead_of");
    let instead_of = instead_of.map(|(text, at)| person(&mut inner, &text, at, named));
    let level = inner.take("level");
    let step = match level {
        None => Some(0),
        Some(node) => level_of(&mut inner, node, steps),
    };
    let from = inner.required("from").and_then(|(text, at)| time(&mut inner, "from", &text, at));
    let until = inner.required("until").and_then(|(text, at)| time(&mut inner, "until", &text, at));
    if let (Some(from), Some(until)) = (from, until)
        && until <= from
    {
        inner.problem(at, "time", "The override ends before it begins.", "Look at its two times.");
    }
    inner.refuse_unknown();
    let instead_of = match instead_of {
        None => None,
        Some(other) => Some(other?),
    };
    Some(Override { who: who?, step: step?, from: from?, until: until?, instead_of })
}

/// The place of the level that `node` says.
fn level_of(keys: &mut Fields, node: Node, steps: usize) -> Option<usize> {
    let at = node.at;
    let number = node.into_json().as_u64().and_then(|it| usize::try_from(it).ok());
    if let Some(number @ 1..) = number
        && number <= steps
    {
        return Some(number - 1);
    }
    let hint = format!("It is a number from 1 to {}.", steps.max(1));
    keys.problem(at, "level", "There is no such level.", hint);
    None
}

fn not_more_than(keys: &mut Fields, at: Position, key: &str, count: usize, most: usize) {
    if count > most {
        let message = format!("`{key}` has {count} items, more than {most}.");
        keys.problem(at, "size", message, "Make several files of it.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with `text`: line, column, rule, and the hint.
    fn wrong(text: &str) -> Vec<(u32, u32, String, String)> {
        let problems = read(text, "f").unwrap_err();
        problems.into_iter().map(|it| (it.line, it.column, it.rule, it.hint)).collect()
    }

    fn rules(text: &str) -> Vec<String> {
        wrong(text).into_iter().map(|it| it.2).collect()
    }

    const HEAD: &str = "name: a\nfor: [payments]\nzone: UTC\n";

    #[test]
    fn the_rota_of_the_head_of_this_file_is_good() {
        let head = include_str!("file.rs").split("```").nth(1).unwrap();
        let text = head.trim_start_matches("yaml").replace("//! ", "").replace("//!", "");
        let rota = read(&text, "f").unwrap();
        assert_eq!((rota.name.as_str(), rota.zone), ("payments", Tz::Europe__Berlin));
        let subjects: Vec<&str> = rota.subjects.iter().map(EntityRef::as_str).collect();
        assert_eq!(subjects, ["group:default/payments", "component:default/vault"]);
        let schedules = &rota.steps[0].schedules;
        assert_eq!(schedules[0].people[0].as_str(), "user:default/ada");
        assert_eq!(schedules[0].turns.unwrap().every, Some(TimeDelta::weeks(1)));
        let hours = schedules[1].hours.unwrap();
        assert_eq!(hours.days, [true, true, true, true, true, false, false]);
        assert_eq!(hours.length, TimeDelta::hours(8));
        assert_eq!(rota.steps[1].after, Some(Duration::from_secs(15 * 60)));
        assert_eq!((rota.overrides[0].step, rota.overrides[1].step), (0, 1));
        assert_eq!(rota.named.len(), 2 + 4 + 3);
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let text = "name: A\nfor: [':x']\nzone: Europe/Berln\nlevels:\n- after: 5m\n  schedules:\n  \
                    - people: [component:x]\n  - people: [ada, ben]\n  - people: [ada]\n    \
                    every: 90m\n    hours: {days: [mo], from: '9', until: '24:00'}\n\
                    - schedules: [{people: [ada], until: x}]\noverrides:\n\
                    - {who: ada, level: 3, from: 2026-01-02, until: 2026-01-01}\n\
                    - {who: ada, from: tomorrow, until: 2026-01-01}\n";
        let told = wrong(text);
        let places: Vec<_> = told.iter().map(|it| (it.0, it.1, it.2.as_str())).collect();
        let expected = [
            (1, 7, "name"),
            (2, 7, "reference"),
            (3, 7, "zone"),
            (5, 3, "after"),
            (7, 14, "reference"),
            (8, 5, "required-field"),
            (10, 12, "duration"),
            (11, 20, "days"),
            (11, 31, "time"),
            (12, 3, "required-field"),
            (12, 31, "unknown-key"),
            (14, 21, "level"),
            (14, 3, "time"),
            (15, 20, "time"),
        ];
        assert_eq!(places, expected);
        assert_eq!(told[2].3, "Did you mean `Europe/Berlin`?");
    }

    #[test]
    fn a_rota_is_for_something_and_has_people() {
        assert_eq!(rules("name: a\nzone: UTC\n"), ["required-field"; 2]);
        assert_eq!(rules(&format!("{HEAD}levels: [{{}}]\n")), ["required-field"]);
        assert_eq!(rules(&format!("{HEAD}levels: [{{schedules: [{{}}]}}]\n")), ["required-field"]);
        let twice = "name: a\nfor: [a, group:a]\nzone: UTC\nlevels: [{schedules: [{people: b}]}]\n";
        assert_eq!(rules(twice), ["conflict"]);
    }

    #[test]
    fn a_time_of_day_may_be_midnight_and_a_window_may_pass_it() {
        let length = |hours: &str| {
            let text =
                format!("{HEAD}levels: [{{schedules: [{{people: b, hours: {{{hours}}}}}]}}]\n");
            read(&text, "f").unwrap().steps[0].schedules[0].hours.unwrap().length.num_hours()
        };
        assert_eq!(length("from: '22:00', until: '06:00'"), 8);
        assert_eq!(length("from: '18:00', until: '24:00'"), 6);
        assert_eq!(length("from: '18:00', until: '00:00'"), 6);
        assert_eq!(length("from: '09:00', until: '09:00'"), 24);
    }

    #[test]
    fn two_files_do_not_define_one_rota_nor_one_for_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, name: &str, of: &str| {
            let text = format!(
                "name: {name}\nzone: UTC\nlevels: [{{schedules: [{{people: b}}]}}]\nfor: [{of}]\n"
            );
            std::fs::write(dir.path().join(file), text).unwrap();
        };
        write("a.yaml", "a", "payments");
        write("b.yaml", "a", "ops");
        write("c.yaml", "c", "search, group:payments");
        write("d.txt", "a", "payments");
        let (rotas, problems) = Rotas::load(dir.path());
        let told: Vec<_> =
            problems.iter().map(|it| (it.file.as_str(), it.line, it.column, &*it.rule)).collect();
        assert_eq!(told, [("b.yaml", 1, 1, "conflict"), ("c.yaml", 4, 15, "conflict")]);
        assert_eq!(rotas.iter().count(), 2);
        let payments = EntityRef::new("group", "default", "payments");
        assert_eq!(rotas.own(&payments).unwrap().name, "a");
        assert!(Rotas::load(&dir.path().join("none")).0.is_empty());
    }
}
