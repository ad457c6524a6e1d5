//! Who is on call, from rotas that are written in YAML.
//!
//! ```text
//!  on-call/*.yaml ──file.rs──▶ Rotas ──of──▶ the rotas that are for an entity ──now──▶ its levels
//! ```
//! - Everything is computed from the file and the moment, in memory: in an incident the database may be what is broken.
//! - An entity's own rota is for it, and else those of its owners, all of them. On each level are the people of all.
//! - A Group takes its turn as one: all its members are on call then. One without members stands for itself: nobody is
//!   better seen than hidden.
//! - Overrides are applied in the order of the file, each to what those before it left. One says who is on call in place
//!   of everybody on its level; with `instead_of`, in place of one person or Group where these are on call, and else
//!   nothing.
//! - Whoever is on call twice on a level counts once.
//! - Times of day are those of the rota's zone, and are found as [`jobs::schedule`](crate::jobs::schedule) finds them.

pub mod file;
pub mod schedule;

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::catalog::formats::yaml::Position;
use crate::catalog::{Entity, EntityRef, RelationKind, Snapshot};
use crate::jobs::schedule::instant;
pub use file::Rotas;
use schedule::Schedule;

/// So far ahead is looked for a change, and at so many moments at most.
const AHEAD: TimeDelta = TimeDelta::days(400);
const MOMENTS_MAX: usize = 200;

/// Who takes turns, by the clock of a zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Rota {
    /// The name of its file.
    pub file: String,
    pub name: String,
    /// What it is for: entities, and Groups with what these own.
    pub subjects: Vec<EntityRef>,
    pub zone: Tz,
    /// The first is called first.
    pub steps: Vec<Step>,
    pub overrides: Vec<Override>,
    /// Whom and what the file names, and where.
    pub named: Vec<(EntityRef, Position)>,
}

/// Those who are called together.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// How long after the step before it; `None` of the first.
    pub after: Option<Duration>,
    pub schedules: Vec<Schedule>,
}

/// Somebody is on call in place of others for a while.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    pub who: EntityRef,
    /// The place of its step.
    pub step: usize,
    /// By the clock of the rota's zone.
    pub from: NaiveDateTime,
    pub until: NaiveDateTime,
    /// `None`: everybody.
    pub instead_of: Option<EntityRef>,
}

/// Who is on call on one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    /// From 1.
    pub number: usize,
    /// How long after the level before it was called; `None` of the first.
    pub after: Option<Duration>,
    /// Nobody is where there is a gap.
    pub people: Vec<OnCall>,
    /// When that changes; `None` where it does not within a year.
    pub until: Option<DateTime<Utc>>,
    /// Who is on call from then on.
    pub next: Vec<OnCall>,
}

/// Somebody who is on call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnCall {
    /// A User; a Group that has no members.
    pub who: EntityRef,
    /// The Group as whose member.
    pub through: Option<EntityRef>,
    /// Whether they are by overrides alone.
    pub is_override: bool,
}

/// The rotas at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Watch<'a> {
    pub rotas: &'a Rotas,
    pub at: DateTime<Utc>,
}

/// Who is on call for `entity` at `at`, by level; nothing where no rota is for it.
pub fn now(rotas: &Rotas, snapshot: &Snapshot, entity: &Entity, at: DateTime<Utc>) -> Vec<Level> {
    levels(&rotas.of(snapshot, entity), snapshot, at)
}

/// The levels of [`now`] that have somebody.
pub fn manned(
    rotas: &Rotas,
    snapshot: &Snapshot,
    entity: &Entity,
    at: DateTime<Utc>,
) -> Vec<Level> {
    let levels = now(rotas, snapshot, entity, at).into_iter();
    levels.filter(|level| !level.people.is_empty()).collect()
}

/// Who is on call for `entity` at `at` on the first `count` levels that have somebody, each once; nobody where no rota is
/// for it.
pub fn called(
    rotas: &Rotas,
    snapshot: &Snapshot,
    entity: &EntityRef,
    at: DateTime<Utc>,
    count: usize,
) -> Vec<EntityRef> {
    let levels = snapshot.find(entity.as_str()).map(|it| manned(rotas, snapshot, it, at));
    let mut called: Vec<EntityRef> = Vec::new();
    for it in levels.unwrap_or_default().into_iter().take(count).flat_map(|level| level.people) {
        if !called.contains(&it.who) {
            called.push(it.who);
        }
    }
    called
}

/// Who is on call by all of `rotas` at `at`, by level.
pub fn levels(rotas: &[&Rota], snapshot: &Snapshot, at: DateTime<Utc>) -> Vec<Level> {
    let most = rotas.iter().map(|rota| rota.steps.len()).max().unwrap_or_default();
    (0..most).map(|place| level(rotas, place, snapshot, at)).collect()
}

fn level(rotas: &[&Rota], place: usize, snapshot: &Snapshot, at: DateTime<Utc>) -> Level {
    let people = people(rotas, place, snapshot, at);
    let mut until = None;
    let mut next = Vec::new();
    let mut moment = at;
    for _ in 0..MOMENTS_MAX {
        let later = rotas.iter().filter_map(|rota| rota.next_moment(place, moment)).min();
        let Some(later) = later.filter(|later| *later <= at + AHEAD) else { break };
        moment = later;
        let then = self::people(rotas, place, snapshot, moment);
        if !are_same(&then, &people) {
            (until, next) = (Some(moment), then);
            break;
        }
    }
    let steps = rotas.iter().filter_map(|rota| rota.steps.get(place));
    let after = steps.filter_map(|step| step.after).min();
    Level { number: place + 1, after, people, until, next }
}

/// Whether the same people are on call, in whatever order and as whosever members.
fn are_same(some: &[OnCall], others: &[OnCall]) -> bool {
    let is_among = |one: &OnCall| {
        others.iter().any(|it| it.who == one.who && it.is_override == one.is_override)
    };
    some.len() == others.len() && some.iter().all(is_among)
}

/// Everybody on call on the step `place` of `rotas`, each once.
fn people(rotas: &[&Rota], place: usize, snapshot: &Snapshot, at: DateTime<Utc>) -> Vec<OnCall> {
    let mut people: Vec<OnCall> = Vec::new();
    for found in rotas.iter().flat_map(|rota| rota.people(place, snapshot, at)) {
        match people.iter_mut().find(|it| it.who == found.who) {
            Some(twice) => twice.is_override &= found.is_override,
            None => people.push(found),
        }
    }
    people
}

impl Rota {
    /// Everybody on call on the step `place`, in the order of the file; somebody may come twice.
    fn people(&self, place: usize, snapshot: &Snapshot, at: DateTime<Utc>) -> Vec<OnCall> {
        let Some(step) = self.steps.get(place) else { return Vec::new() };
        let turns = step.schedules.iter().filter_map(|it| it.at(self.zone, at));
        let mut people: Vec<OnCall> = turns.flat_map(|who| each_of(who, false, snapshot)).collect();
        for it in self.overrides_of(place) {
            if !(instant(self.zone, it.from)..instant(self.zone, it.until)).contains(&at) {
                continue;
            }
            let is_meant = |one: &OnCall| match &it.instead_of {
                None => true,
                Some(other) => one.who == *other || one.through.as_ref() == Some(other),
            };
            let before = people.len();
            people.retain(|one| !is_meant(one));
            if it.instead_of.is_none() || people.len() < before {
                people.extend(each_of(&it.who, true, snapshot));
            }
        }
        people
    }

    /// The first moment after `at` at which others may be on call on the step `place`.
    fn next_moment(&self, place: usize, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let schedules = self.steps.get(place)?.schedules.iter();
        let turns = schedules.filter_map(|it| it.next_moment(self.zone, at));
        let ends = self.overrides_of(place).flat_map(|it| [it.from, it.until]);
        let ends = ends.map(|end| instant(self.zone, end)).filter(|end| *end > at);
        turns.chain(ends).min()
    }

    fn overrides_of(&self, place: usize) -> impl Iterator<Item = &Override> {
        self.overrides.iter().filter(move |it| it.step == place)
    }
}

/// `who` themselves, or each member of the Group.
fn each_of(who: &EntityRef, is_override: bool, snapshot: &Snapshot) -> Vec<OnCall> {
    let members = match who.kind() {
        "group" => snapshot.related_to(who, RelationKind::HasMember),
        _ => Vec::new(),
    };
    if members.is_empty() {
        return vec![OnCall { who: who.clone(), through: None, is_override }];
    }
    let through = Some(who.clone());
    let member = |it: &EntityRef| OnCall { who: it.clone(), through: through.clone(), is_override };
    members.iter().map(|it| member(it.reference())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Place, Relation, StoredEntity};

    /// Who is on call by `levels` and what follows of the file, at `at`: of each level the names, `*` behind those by
    /// an override, then until when, and who is next.
    fn told(rest: &str, at: &str) -> Vec<String> {
        let text = format!("name: a\nfor: [group:payments]\nzone: Europe/Berlin\n{rest}");
        let rota = file::read(&text, "a.yaml").unwrap();
        let levels = levels(&[&rota], &snapshot(), at.parse().unwrap());
        levels.iter().map(|level| shown(level, rota.zone)).collect()
    }

    fn shown(level: &Level, zone: Tz) -> String {
        let until = level.until.map_or_else(
            || "always".to_string(),
            |at| at.with_timezone(&zone).format("%a %m-%d %H:%M").to_string(),
        );
        format!("{} | {until} | {}", names(&level.people), names(&level.next))
    }

    fn names(people: &[OnCall]) -> String {
        let star = |it: &OnCall| if it.is_override { "*" } else { "" };
        let names = people.iter().map(|it| format!("{}{}", it.who.name(), star(it)));
        names.collect::<Vec<_>>().join(" ")
    }

    /// `payments` owns `ledger`, both teams own `shared`, and `own` has a rota of its own; `ops` has two members.
    fn snapshot() -> Snapshot {
        let entity = |reference: &str, relations: &[(RelationKind, &str)]| StoredEntity {
            reference: reference.parse_reference(),
            relations: relations
                .iter()
                .map(|(kind, target)| Relation {
                    kind: *kind,
                    target: target.parse_reference(),
                    bare: false,
                })
                .collect(),
            body: r#"{"metadata":{},"spec":{}}"#.into(),
            place: Place { source: "s".into(), file: "f".into(), document: 0, line: 1 },
            orphaned_at: None,
        };
        use RelationKind::{MemberOf, OwnedBy};
        let entities = [
            entity("group:payments", &[]),
            entity("group:ops", &[]),
            entity("user:ada", &[(MemberOf, "group:ops")]),
            entity("user:ben", &[(MemberOf, "group:ops")]),
            entity("component:ledger", &[(OwnedBy, "group:payments")]),
            entity("component:own", &[(OwnedBy, "group:payments")]),
            entity("component:shared", &[(OwnedBy, "group:payments"), (OwnedBy, "group:ops")]),
            entity("component:nobodys", &[]),
        ];
        Snapshot::build(entities, &[], 1)
    }

    trait ParseReference {
        fn parse_reference(&self) -> EntityRef;
    }

    impl ParseReference for str {
        fn parse_reference(&self) -> EntityRef {
            EntityRef::parse(self, None, "default").unwrap()
        }
    }

    const WEEKS: &str = "levels:\n- schedules:\n  - people: [user:ada, user:ben]\n    every: 1w\n    \
                         from: 2026-01-05T09:00\n";

    #[test]
    fn a_week_goes_from_nine_to_nine_where_clocks_are_set_too() {
        // On the 29th of March an hour is left out: the turn that began on the 23rd is shorter.
        assert_eq!(told(WEEKS, "2026-03-30T06:59:00Z"), ["ben | Mon 03-30 09:00 | ada"]);
        assert_eq!(told(WEEKS, "2026-03-30T07:00:00Z"), ["ada | Mon 04-06 09:00 | ben"]);
    }

    #[test]
    fn nobody_is_on_call_before_the_first_turn() {
        assert_eq!(told(WEEKS, "2026-01-05T07:59:00Z"), [" | Mon 01-05 09:00 | ada"]);
    }

    #[test]
    fn outside_its_hours_a_schedule_has_nobody() {
        let hours =
            format!("{WEEKS}    hours: {{days: [mon-fri], from: \"09:00\", until: \"17:00\"}}\n");
        // A Friday in the week of Ada.
        assert_eq!(told(&hours, "2026-01-09T15:59:00Z"), ["ada | Fri 01-09 17:00 | "]);
        assert_eq!(told(&hours, "2026-01-09T16:00:00Z"), [" | Mon 01-12 09:00 | ben"]);
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let nights = "levels:\n- schedules:\n  - people: [user:ada]\n    \
                      hours: {days: [fri], from: \"22:00\", until: \"06:00\"}\n";
        assert_eq!(told(nights, "2026-01-10T04:59:00Z"), ["ada | Sat 01-10 06:00 | "]);
        assert_eq!(told(nights, "2026-01-10T21:30:00Z"), [" | Fri 01-16 22:00 | ada"]);
    }

    #[test]
    fn each_level_is_told_and_whoever_comes_twice_counts_once() {
        let levels = "levels:\n- schedules: [{people: [user:ada]}, {people: [group:ops]}]\n\
                      - after: 15m\n  schedules: [{people: [user:cleo]}]\n";
        let expected = ["ada ben | always | ", "cleo | always | "];
        assert_eq!(told(levels, "2026-01-10T00:00:00Z"), expected);
        let text = format!("name: a\nfor: [ops]\nzone: UTC\n{levels}");
        let rota = file::read(&text, "a").unwrap();
        let after = self::levels(&[&rota], &snapshot(), DateTime::UNIX_EPOCH);
        assert_eq!(after[1].after, Some(Duration::from_secs(15 * 60)));
    }

    #[test]
    fn an_override_is_in_place_of_everybody_or_of_one_where_they_are_on_call() {
        let over = |it: &str| {
            let both = WEEKS.replace("- people", "- people: [user:dan]\n  - people");
            let times = "from: 2026-01-06T12:00, until: 2026-01-07T12:00";
            told(&format!("{both}overrides:\n- {{who: {it}, {times}}}\n"), "2026-01-06T11:00:00Z")
        };
        assert_eq!(over("user:cleo"), ["cleo* | Wed 01-07 12:00 | dan ada"]);
        let instead = over("user:cleo, instead_of: user:ada");
        assert_eq!(instead, ["dan cleo* | Wed 01-07 12:00 | dan ada"]);
        // It is not Ben's week.
        assert_eq!(
            over("user:cleo, instead_of: user:ben"),
            ["dan ada | Mon 01-12 09:00 | dan ben"]
        );
        // Dan is on call already.
        let twice = over("user:dan, instead_of: user:ada");
        assert_eq!(twice, ["dan | Wed 01-07 12:00 | dan ada"]);
    }

    #[test]
    fn overrides_build_on_those_before_them() {
        let times = "from: 2026-01-06T12:00, until: 2026-01-07T12:00";
        let chain = format!(
            "{WEEKS}overrides:\n- {{who: user:cleo, {times}, instead_of: user:ada}}\n\
             - {{who: group:ops, {times}, instead_of: user:cleo}}\n\
             - {{who: user:eve, {times}, instead_of: group:ops}}\n"
        );
        assert_eq!(told(&chain, "2026-01-06T11:00:00Z"), ["eve* | Wed 01-07 12:00 | ada"]);
    }

    #[test]
    fn the_own_rota_wins_over_those_of_all_owners() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, of: &str, who: &str| {
            let text = format!(
                "name: {name}\nfor: [{of}]\nzone: UTC\nlevels: [{{schedules: [{{people: [{who}]}}]}}]\n"
            );
            std::fs::write(dir.path().join(format!("{name}.yaml")), text).unwrap();
        };
        write("own", "component:own", "user:cleo");
        write("payments", "payments", "user:ada");
        write("ops", "ops", "user:ben");
        let (rotas, problems) = Rotas::load(dir.path());
        assert_eq!(problems, []);
        let snapshot = snapshot();
        let told = |entity: &str| {
            let entity = snapshot.find(entity.parse_reference().as_str()).unwrap();
            let levels = now(&rotas, &snapshot, entity, DateTime::UNIX_EPOCH);
            levels.iter().map(|level| names(&level.people)).collect::<Vec<_>>()
        };
        assert_eq!(told("component:own"), ["cleo"]);
        assert_eq!(told("component:ledger"), ["ada"]);
        assert_eq!(told("component:shared"), ["ben ada"]);
        assert_eq!(told("group:payments"), ["ada"]);
        assert_eq!(told("component:nobodys"), [""; 0]);
        let shared = "component:shared".parse_reference();
        let first = called(&rotas, &snapshot, &shared, DateTime::UNIX_EPOCH, 1);
        assert_eq!(first, ["user:ben".parse_reference(), "user:ada".parse_reference()]);
    }
}
