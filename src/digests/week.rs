//! How a team's services stand, and what changed since it last heard of them.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use super::flow::Disowned;
use super::is_known;
use super::standing::{Scored, Standings, Told};
use crate::catalog::snapshot::Target;
use crate::catalog::{Entity, EntityRef, RelationKind, Snapshot};
use crate::scorecards::Scorecard;

/// What one digest tells one team.
#[derive(Debug, Clone, PartialEq)]
pub struct Week {
    pub team: Named,
    pub title: String,
    pub when: When,
    /// Everything that the team owns.
    pub owned: usize,
    /// What of it is in production, and has nobody on call.
    pub without_on_call: Vec<Named>,
    /// What is part of the team's systems, and is nobody's.
    pub without_owner: Vec<Named>,
    /// What the team said is not its own, and is still written down as its own.
    pub disowned: Vec<Named>,
    pub standings: Standings,
}

/// What a digest of many teams is made of besides the catalog.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Those that the digest tells of.
    pub scorecards: &'a [&'a Scorecard],
    pub scored: &'a Scored,
    /// What teams say is not their own.
    pub disowned: &'a [Disowned],
}

/// The time of a digest, and of the one before.
#[derive(Debug, Clone, PartialEq)]
pub struct When {
    /// Of the slot, where the team is.
    pub date: NaiveDate,
    pub zone: Tz,
    /// When its words were made.
    pub as_of: DateTime<Utc>,
    /// When it was due, where it comes late.
    pub was_due: Option<DateTime<Utc>>,
    /// The date of the last one that the team heard; `None`: it is the first.
    pub since: Option<NaiveDate>,
    /// Until when it heard of what changed.
    pub told_until: DateTime<Utc>,
    /// What the last one told of scores.
    pub told: Option<Told>,
    /// Those that it missed since, oldest first.
    pub missed: Vec<NaiveDate>,
}

/// Something of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// What people call it.
    pub label: String,
    /// What means it in a command.
    pub words: String,
}

impl Named {
    pub fn of(snapshot: &Snapshot, entity: &Entity) -> Named {
        let meant = snapshot.exactly(&entity.name, &[]);
        let is_meant = matches!(meant[..], [only] if only.reference == entity.reference);
        Named {
            label: label(snapshot, entity),
            words: match is_meant {
                true => entity.name.to_string(),
                false => entity.reference.to_string(),
            },
        }
    }
}

fn label(snapshot: &Snapshot, entity: &Entity) -> String {
    if let Some(title) = &entity.title {
        return title.to_string();
    }
    let is_group = entity.reference.kind() == "group";
    let body = if is_group { snapshot.body(entity) } else { Value::Null };
    let display_name = body["spec"]["profile"]["displayName"].as_str();
    display_name.filter(|it| !it.trim().is_empty()).unwrap_or(&entity.name).to_string()
}

impl Week {
    /// How what `team` owns stands in `snapshot`; `None` where it owns nothing.
    pub fn of(
        snapshot: &Snapshot,
        team: &Entity,
        title: &str,
        when: When,
        known: &Known<'_>,
    ) -> Option<Week> {
        let owned = entities(snapshot, team, RelationKind::OwnerOf);
        if owned.is_empty() {
            return None;
        }
        let names = |entities: &[&Entity]| {
            let mut names: Vec<Named> = entities.iter().map(|it| Named::of(snapshot, it)).collect();
            names.sort_by(|one, other| one.label.cmp(&other.label));
            names
        };
        let runs = |it: &&&Entity| {
            it.reference.kind() == "component" && it.lifecycle.as_deref() == Some("production")
        };
        let without_on_call: Vec<&Entity> = owned
            .iter()
            .filter(runs)
            .filter(|it| snapshot.on_call_of(it).is_none())
            .copied()
            .collect();
        let systems = owned.iter().filter(|it| it.reference.kind() == "system");
        let parts = systems.flat_map(|it| entities(snapshot, it, RelationKind::HasPart));
        let mut without_owner: Vec<&Entity> =
            parts.filter(|it| snapshot.related(it, RelationKind::OwnedBy).is_empty()).collect();
        without_owner.sort_by(|one, other| one.reference.cmp(&other.reference));
        without_owner.dedup_by(|one, other| one.reference == other.reference);
        let is_disowned = |it: &&&Entity| {
            let mut said = known.disowned.iter();
            said.any(|said| said.entity == it.reference && said.team == team.reference)
        };
        let disowned: Vec<&Entity> = owned.iter().filter(is_disowned).copied().collect();
        let heard = (when.told_until, when.told.as_ref());
        let standings = Standings::of(snapshot, &owned, known.scorecards, known.scored, heard);
        Some(Week {
            team: Named::of(snapshot, team),
            title: title.to_string(),
            when,
            owned: owned.len(),
            without_on_call: names(&without_on_call),
            without_owner: names(&without_owner),
            disowned: names(&disowned),
            standings,
        })
    }
}

/// What `team` owns.
pub fn owned<'a>(snapshot: &'a Snapshot, team: &EntityRef) -> Vec<&'a Entity> {
    let team = snapshot.find(team.as_str());
    team.map(|team| entities(snapshot, team, RelationKind::OwnerOf)).unwrap_or_default()
}

/// What is at the other end of `kind`, as far as a source still describes it.
fn entities<'a>(snapshot: &'a Snapshot, entity: &Entity, kind: RelationKind) -> Vec<&'a Entity> {
    let related = snapshot.related(entity, kind).into_iter();
    let known = related.filter(is_known);
    let entities = known.filter_map(|target| match target {
        Target::Known(entity) => Some(entity),
        Target::Missing(_) => None,
    });
    entities.collect()
}
