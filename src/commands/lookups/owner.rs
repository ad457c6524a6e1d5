//! Who owns an entity, and how to reach them.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::details::{Channel, Details, Link, OnCall};
use super::oncall::{self, Duty};
use super::{Named, Summary, json, required};
use crate::catalog::snapshot::Target;
use crate::catalog::{Entity, RelationKind, Snapshot};
use crate::commands::resolve::Question;
use crate::error::Result;
use crate::on_call::Watch;

/// The most people of a team that one answer names.
const PEOPLE_MAX: usize = 8;
/// The most links that one answer has; `show` has them all.
const LINKS_MAX: usize = 5;

#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    pub entity: Named<'a>,
    #[serde(flatten)]
    pub summary: Summary<'a>,
    /// Whether it is a team, which is its own owner.
    pub is_team: bool,
    /// Whether it is a person, whose teams stand for the owners.
    pub is_person: bool,
    pub owners: Vec<Owner<'a>>,
    /// Its own, or that of its first owner that has one.
    pub channel: Option<Channel<'a>>,
    /// Who is on call by its rotas; `None` where it has none.
    pub rota: Option<Duty>,
    /// Its own, or that of its first owner that has one.
    pub on_call: Option<OnCall<'a>>,
    /// Runbooks first, then dashboards, then repositories.
    pub links: Vec<Link<'a>>,
}

#[derive(Debug, Serialize)]
pub struct Owner<'a> {
    pub team: Named<'a>,
    pub email: Option<Cow<'a, str>>,
    pub channel: Option<Channel<'a>>,
    pub on_call: Option<OnCall<'a>>,
    pub leads: Vec<Person<'a>>,
    /// Without the leads; at most eight.
    pub members: Vec<Person<'a>>,
    /// How many people there are, the leads and those not named among them.
    pub people: usize,
    /// How many are not named.
    pub more: usize,
}

#[derive(Debug, Serialize)]
pub struct Person<'a> {
    #[serde(rename = "ref")]
    pub reference: &'a str,
    pub label: Cow<'a, str>,
}

/// # Errors
/// No entity was given.
pub fn look_up(question: &Question<'_>, watch: Watch<'_>) -> Result<Value> {
    let entity = required(question, "entity")?;
    json(answer(question.snapshot, entity, watch))
}

pub fn answer<'a>(snapshot: &'a Snapshot, entity: &'a Entity, watch: Watch<'_>) -> Answer<'a> {
    let details = Details::of(entity);
    let owners = match entity.reference.kind() {
        "group" => vec![Target::Known(entity)],
        "user" => snapshot.related(entity, RelationKind::MemberOf),
        _ => snapshot.related(entity, RelationKind::OwnedBy),
    };
    let owners: Vec<Owner<'a>> = owners.into_iter().map(|it| owner(snapshot, it)).collect();
    let channel = details.channel.or_else(|| owners.iter().find_map(|it| it.channel.clone()));
    let on_call = details.on_call.or_else(|| owners.iter().find_map(|it| it.on_call.clone()));
    let mut links = details.links;
    links.sort_by_key(|link| match link.class.as_deref() {
        Some("runbook") => 0,
        Some("dashboard") => 1,
        Some("repository") => 2,
        _ => 3,
    });
    links.truncate(LINKS_MAX);
    Answer {
        entity: Named::entity(snapshot, entity),
        summary: Summary::of(entity),
        is_team: entity.reference.kind() == "group",
        is_person: entity.reference.kind() == "user",
        owners,
        channel,
        rota: oncall::duty(snapshot, entity, watch),
        on_call,
        links,
    }
}

fn owner<'a>(snapshot: &'a Snapshot, owner: Target<'a>) -> Owner<'a> {
    let team = Named::target(snapshot, owner);
    let Target::Known(entity) = owner else {
        return Owner {
            team,
            email: None,
            channel: None,
            on_call: None,
            leads: Vec::new(),
            members: Vec::new(),
            people: 0,
            more: 0,
        };
    };
    let details = Details::of(entity);
    let everybody = snapshot.related(entity, RelationKind::HasMember);
    let people = everybody.len();
    let mut leads = Vec::new();
    let mut members = Vec::new();
    for target in everybody {
        let (person, leads_it) = person(target, entity);
        match leads_it {
            true => leads.push(person),
            false if members.len() < PEOPLE_MAX => members.push(person),
            false => {}
        }
    }
    let more = people - leads.len() - members.len();
    Owner {
        team,
        email: details.email,
        channel: details.channel,
        on_call: details.on_call,
        leads,
        members,
        people,
        more,
    }
}

/// The person, and whether they lead `team`.
fn person<'a>(target: Target<'a>, team: &Entity) -> (Person<'a>, bool) {
    match target {
        Target::Known(entity) => {
            let details = Details::of(entity);
            let leads = details.leader_of.contains(&team.reference);
            let title = entity.title.as_deref().unwrap_or(&entity.name);
            let label = details.display_name.unwrap_or(Cow::Borrowed(title));
            (Person { reference: entity.reference.as_str(), label }, leads)
        }
        Target::Missing(reference) => {
            (Person { reference: reference.as_str(), label: reference.name().into() }, false)
        }
    }
}
