//! Everything the catalog knows of one entity, on one card.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::details::{Channel, Details, Link, OnCall};
use super::oncall::{self, Duty};
use super::{Named, Summary, json, related, required};
use crate::catalog::RelationKind;
use crate::catalog::snapshot::Filter;
use crate::commands::resolve::Question;
use crate::error::Result;
use crate::on_call::Watch;

/// The most entities of one relation that the card names.
const RELATED_MAX: usize = 10;

#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    pub entity: Named<'a>,
    pub is_team: bool,
    pub is_person: bool,
    #[serde(flatten)]
    pub summary: Summary<'a>,
    pub tags: Vec<Cow<'a, str>>,
    pub email: Option<Cow<'a, str>>,
    pub channel: Option<Channel<'a>>,
    /// Who is on call by its rotas; `None` where it has none.
    pub rota: Option<Duty>,
    pub on_call: Option<OnCall<'a>>,
    pub links: Vec<Link<'a>>,
    pub owners: Vec<Named<'a>>,
    /// What it is related to, ownership aside; only relations that it has.
    pub relations: Vec<Relation<'a>>,
    /// How many depend on it, directly and through others.
    pub dependents: usize,
    pub place: Place<'a>,
}

#[derive(Debug, Serialize)]
pub struct Relation<'a> {
    /// Backstage's word: `dependsOn`.
    pub relation: &'static str,
    /// Said of the entity: `depends on`.
    pub verb: &'static str,
    /// At most ten.
    pub entities: Vec<Named<'a>>,
    /// How many are not named.
    pub more: usize,
}

#[derive(Debug, Serialize)]
pub struct Place<'a> {
    pub source: &'a str,
    pub file: &'a str,
    pub line: u32,
}

/// In the order of the card.
const SHOWN: [RelationKind; 12] = [
    RelationKind::PartOf,
    RelationKind::HasPart,
    RelationKind::ProvidesApi,
    RelationKind::ApiProvidedBy,
    RelationKind::ConsumesApi,
    RelationKind::ApiConsumedBy,
    RelationKind::DependsOn,
    RelationKind::DependencyOf,
    RelationKind::ChildOf,
    RelationKind::ParentOf,
    RelationKind::MemberOf,
    RelationKind::HasMember,
];

/// # Errors
/// No entity was given.
pub fn look_up(question: &Question<'_>, watch: Watch<'_>) -> Result<Value> {
    let snapshot = question.snapshot;
    let entity = required(question, "entity")?;
    let details = Details::of(entity);
    let relations = SHOWN.into_iter().filter_map(|kind| {
        let targets = snapshot.related(entity, kind);
        let more = targets.len().saturating_sub(RELATED_MAX);
        let shown = targets.into_iter().take(RELATED_MAX);
        let entities: Vec<_> = shown.map(|target| Named::target(snapshot, target)).collect();
        let (relation, verb) = (kind.word(), super::verb(kind));
        (!entities.is_empty()).then_some(Relation { relation, verb, entities, more })
    });
    json(Answer {
        entity: Named::entity(snapshot, entity),
        is_team: entity.reference.kind() == "group",
        is_person: entity.reference.kind() == "user",
        summary: Summary::of(entity),
        tags: details.tags,
        email: details.email,
        channel: details.channel,
        rota: oncall::duty(snapshot, entity, watch),
        on_call: details.on_call,
        links: details.links,
        owners: related(snapshot, entity, RelationKind::OwnedBy),
        relations: relations.collect(),
        dependents: snapshot.dependents(entity, &Filter::default(), 0, 0).total,
        place: Place {
            source: &entity.place.source,
            file: &entity.place.file,
            line: entity.place.line,
        },
    })
}
