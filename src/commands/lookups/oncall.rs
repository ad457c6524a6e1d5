//! Who is on call for something, until when, and who comes next.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use serde_json::Value;

use super::details::{self, Details};
use super::{Named, json, label, owner, required};
use crate::access::link::LinkSet;
use crate::catalog::{Entity, EntityRef, Snapshot};
use crate::commands::resolve::Question;
use crate::error::Result;
use crate::on_call::{self, Level, OnCall, Rota, Watch};

/// The most people of a level that one answer names.
const PEOPLE_MAX: usize = 8;

#[derive(Debug, Serialize)]
struct Answer<'a> {
    entity: Named<'a>,
    /// Its own, or those of its owners.
    rotas: Vec<Rostered<'a>>,
    /// Whom to ask where there is no rota: its own annotation's, or that of its first owner that has one.
    on_call: Option<details::OnCall<'a>>,
}

/// A rota, as it stands.
#[derive(Debug, Serialize)]
struct Rostered<'a> {
    name: &'a str,
    file: &'a str,
    zone: &'static str,
    levels: Vec<Called>,
}

#[derive(Debug, Serialize)]
struct Called {
    /// From 1.
    number: usize,
    /// How long after the level before: `15 min`; `None` of the first.
    after: Option<String>,
    /// At most eight.
    people: Vec<Somebody>,
    /// How many are not named.
    more: usize,
    /// `None` where it does not change within a year.
    until: Option<Moment>,
    /// At most eight.
    next: Vec<Somebody>,
}

#[derive(Debug, Serialize)]
struct Somebody {
    #[serde(rename = "ref")]
    reference: EntityRef,
    label: String,
    email: Option<String>,
    /// The Group as whose member.
    through: Option<String>,
    is_override: bool,
    /// Whether a chat account is linked to them.
    has_account: bool,
}

/// A moment, as the people of a rota read it from the wall.
#[derive(Debug, Clone, Serialize)]
struct Moment {
    at: DateTime<Utc>,
    /// `Mon 2026-01-05 09:00`
    local: String,
    zone: &'static str,
}

/// Who is on call, in a line.
#[derive(Debug, Serialize)]
pub struct Duty {
    /// `Ada until Mon 2026-01-05 09:00 (Europe/Berlin)`
    pub text: String,
    /// From 1: the first with somebody on it.
    pub level: usize,
    people: Vec<EntityRef>,
    until: Option<DateTime<Utc>>,
}

/// # Errors
/// No entity was given.
pub fn look_up(question: &Question<'_>, watch: Watch<'_>, links: &LinkSet) -> Result<Value> {
    let (snapshot, entity) = (question.snapshot, required(question, "entity")?);
    let rotas = watch.rotas.of(snapshot, entity);
    let levels: Vec<Vec<Level>> =
        rotas.iter().map(|rota| on_call::levels(&[rota], snapshot, watch.at)).collect();
    let named = levels.iter().flatten().flat_map(|level| level.people.iter().chain(&level.next));
    let linked = linked(named.map(|it| &it.who).collect(), links);
    let rostered = rotas.iter().zip(&levels).map(|(rota, levels)| Rostered {
        name: &rota.name,
        file: &rota.file,
        zone: rota.zone.name(),
        levels: levels.iter().map(|level| called(level, rota, snapshot, &linked)).collect(),
    });
    json(Answer {
        entity: Named::entity(snapshot, entity),
        rotas: rostered.collect(),
        on_call: owner::answer(snapshot, entity, watch).on_call,
    })
}

/// Who is on call for `entity` on the first level that has somebody; `None` where no rota is for it.
pub fn duty(snapshot: &Snapshot, entity: &Entity, watch: Watch<'_>) -> Option<Duty> {
    let rotas = watch.rotas.of(snapshot, entity);
    let zone = rotas.first()?.zone;
    let levels = on_call::levels(&rotas, snapshot, watch.at);
    let manned = levels.iter().find(|level| !level.people.is_empty());
    let level = manned.or(levels.first())?;
    let mut text = match &level.people[..] {
        [] => "nobody".to_string(),
        people => {
            let labels = people.iter().take(PEOPLE_MAX).map(|it| label_of(&it.who, snapshot));
            let more = match people.len().saturating_sub(PEOPLE_MAX) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            labels.collect::<Vec<_>>().join(", ") + &more
        }
    };
    if level.number > 1 {
        text = format!("nobody on level 1; on level {} {text}", level.number);
    }
    if let Some(until) = level.until {
        let Moment { local, zone, .. } = moment(until, zone);
        text.push_str(&format!(" until {local} ({zone})"));
    }
    let people = level.people.iter().map(|it| it.who.clone()).collect();
    Some(Duty { text, level: level.number, people, until: level.until })
}

fn called(level: &Level, rota: &Rota, snapshot: &Snapshot, linked: &HashSet<&EntityRef>) -> Called {
    let named = |people: &[OnCall]| {
        let people = people.iter().take(PEOPLE_MAX);
        people.map(|it| somebody(it, snapshot, linked.contains(&it.who))).collect()
    };
    Called {
        number: level.number,
        after: level.after.map(length),
        people: named(&level.people),
        more: level.people.len().saturating_sub(PEOPLE_MAX),
        until: level.until.map(|until| moment(until, rota.zone)),
        next: named(&level.next),
    }
}

fn somebody(on_call: &OnCall, snapshot: &Snapshot, has_account: bool) -> Somebody {
    let known = snapshot.find(on_call.who.as_str());
    let email = known.and_then(|it| Details::of(it).email);
    Somebody {
        label: label_of(&on_call.who, snapshot),
        email: email.map(|it| it.into_owned()),
        through: on_call.through.as_ref().map(|it| label_of(it, snapshot)),
        is_override: on_call.is_override,
        has_account,
        reference: on_call.who.clone(),
    }
}

/// What people call `who`; the reference where nobody describes them.
fn label_of(who: &EntityRef, snapshot: &Snapshot) -> String {
    let known = snapshot.find(who.as_str());
    known.map_or_else(|| who.to_string(), |it| label(it).into_owned())
}

/// Those of `people` to whom an account of any platform is linked.
fn linked<'a>(people: HashSet<&'a EntityRef>, links: &LinkSet) -> HashSet<&'a EntityRef> {
    let users = links.by_account.values().filter_map(|link| people.get(&link.user));
    users.copied().collect()
}

fn moment(at: DateTime<Utc>, zone: Tz) -> Moment {
    let local = at.with_timezone(&zone).format("%a %Y-%m-%d %H:%M").to_string();
    Moment { at, local, zone: zone.name() }
}

/// `15 min`, `2 h`, `1 h 30 min`
fn length(length: Duration) -> String {
    let minutes = length.as_secs() / 60;
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_read_at_a_glance() {
        let told = [60, 15 * 60, 7_200, 5_400].map(|it| length(Duration::from_secs(it)));
        assert_eq!(told, ["1 min", "15 min", "2 h", "1 h 30 min"]);
    }
}
