//! How a team's services stand, and what changed since it last heard of them.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use super::is_known;
use crate::catalog::snapshot::Target;
use crate::catalog::{Entity, RelationKind, Snapshot};

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
    pub fn of(snapshot: &Snapshot, team: &Entity, title: &str, when: When) -> Option<Week> {
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
        Some(Week {
            team: Named::of(snapshot, team),
            title: title.to_string(),
            when,
            owned: owned.len(),
            without_on_call: names(&without_on_call),
            without_owner: names(&without_owner),
        })
    }
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
