//! The whole catalog in memory: every lookup is answered from here, and only from here.
//!
//! ```text
//! StoredEntity ─▶ record ─▶ Snapshot { records, names, graph, words } ◀── Catalog (swapped whole) ◀── questions
//!                                        └────── disk: its copy, for a restart without the database
//! ```
//!
//! A snapshot is one revision and never changes. Records and the index of names are shared from one
//! snapshot to the next, so that a small change among many entities costs little.

pub mod disk;
mod graph;
mod names;
mod reach;
mod record;
mod resolve;
mod search;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{EntityRef, Place, RelationKind, StoredEntity};
use graph::Graph;
use names::{Names, canonical};
use reach::Reaches;
use record::{Record, Strings};
use search::Words;

pub use reach::{Reach, Reached, Step};

/// The database confirms the snapshot at least every 30 s; a missed confirmation and a half is news.
const CONFIRMED_WITHIN_S: i64 = 45;

/// The current snapshot, shared by the whole process; readers never wait.
#[derive(Debug)]
pub struct Catalog {
    pub current: ArcSwap<Snapshot>,
    /// When the database last confirmed that `current` is its newest revision, in ms since 1970;
    /// 0 before it ever did.
    pub confirmed_at_ms: AtomicI64,
    /// Whether the database is known not to answer.
    pub is_away: AtomicBool,
}

/// An entity with what lookups need at hand; the rest is in `body`.
#[derive(Debug, Clone)]
pub struct Entity {
    pub reference: EntityRef,
    /// As written: `Component`.
    pub kind: Arc<str>,
    /// As written: `Payment-API`.
    pub name: Box<str>,
    pub title: Option<Box<str>>,
    pub description: Option<Box<str>>,
    /// `spec.type`
    pub class: Option<Arc<str>>,
    pub lifecycle: Option<Arc<str>>,
    /// From the label or annotation `tier`, or `spec.tier`.
    pub tier: Option<Arc<str>>,
    pub place: Place,
    pub orphaned: bool,
    /// JSON text `{"apiVersion":…,"kind":…,"metadata":…,"spec":…}`.
    pub body: Box<str>,
}

/// The other end of a relation.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    Known(&'a Entity),
    /// Named by someone, described by nobody.
    Missing(&'a EntityRef),
}

/// Which entities a question is about. Words compare without regard to case; `None` means all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    pub kind: Option<String>,
    /// The team that owns it or whose part owns it: a name or a reference.
    pub team: Option<String>,
    pub tier: Option<String>,
    pub lifecycle: Option<String>,
    pub class: Option<String>,
    pub tag: Option<String>,
    /// How many steps away at most.
    pub depth: Option<u32>,
}

/// What someone meant by a name.
#[derive(Debug, Clone)]
pub enum Resolution<'a> {
    One(&'a Entity),
    /// Several have this name; in a stable order.
    Several(Vec<&'a Entity>),
    /// None has; the closest, best first.
    Unknown(Vec<&'a Entity>),
}

/// Immutable: one revision of the catalog.
#[derive(Debug)]
pub struct Snapshot {
    revision: i64,
    /// In the order of their references; a node of the graph below `records.len()` is the record of that number.
    records: Vec<Arc<Record>>,
    names: Arc<Names>,
    graph: Graph,
    words: Words,
    reaches: Reaches,
}

impl Catalog {
    pub fn new(snapshot: Snapshot) -> Arc<Catalog> {
        Arc::new(Catalog {
            current: ArcSwap::from_pointee(snapshot),
            confirmed_at_ms: AtomicI64::new(0),
            is_away: AtomicBool::new(false),
        })
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// When the database last confirmed the snapshot; 1970 before it ever did.
    pub fn confirmed_at(&self) -> DateTime<Utc> {
        let confirmed_at_ms = self.confirmed_at_ms.load(Ordering::Relaxed);
        DateTime::from_timestamp_millis(confirmed_at_ms).unwrap_or_default()
    }

    /// How old the answers are, in seconds; `None` while the database answers and confirms them
    /// (within 45 s).
    ///
    /// What no database ever confirmed, and was not read from a copy with a date, counts as fresh.
    pub fn age_s(&self, now: DateTime<Utc>) -> Option<u64> {
        let confirmed_at_ms = self.confirmed_at_ms.load(Ordering::Relaxed);
        let age_s = (now.timestamp_millis() - confirmed_at_ms) / 1_000;
        let is_away = self.is_away.load(Ordering::Relaxed);
        if confirmed_at_ms == 0 || (age_s <= CONFIRMED_WITHIN_S && !is_away) {
            return None;
        }
        Some(u64::try_from(age_s).unwrap_or(0))
    }
}

impl<'a> Target<'a> {
    pub fn reference(&self) -> &'a EntityRef {
        match self {
            Target::Known(entity) => &entity.reference,
            Target::Missing(reference) => reference,
        }
    }

    /// As written by the entity itself, or lower case when nobody describes it.
    pub fn name(&self) -> &'a str {
        match self {
            Target::Known(entity) => &entity.name,
            Target::Missing(reference) => reference.name(),
        }
    }
}

impl Snapshot {
    /// `aliases` are (what people say, reference), from the settings and from administrators.
    pub fn build(
        entities: Vec<StoredEntity>,
        aliases: &[(String, EntityRef)],
        revision: i64,
    ) -> Snapshot {
        let mut strings = Strings::default();
        let mut records: Vec<Arc<Record>> =
            entities.into_iter().map(|it| Arc::new(Record::new(it, &mut strings))).collect();
        records.sort_by(|one, other| one.entity.reference.cmp(&other.entity.reference));
        records.dedup_by(|one, other| one.entity.reference == other.entity.reference);
        let names = Arc::new(Names::new(&records, aliases));
        Snapshot::of(records, names, revision)
    }

    /// The next snapshot: `changed` replace or add, `removed` go.
    pub fn next(
        &self,
        changed: Vec<StoredEntity>,
        removed: &[EntityRef],
        aliases: &[(String, EntityRef)],
        revision: i64,
    ) -> Snapshot {
        let mut strings = Strings::default();
        let mut changed: BTreeMap<EntityRef, Arc<Record>> = changed
            .into_iter()
            .map(|it| (it.reference.clone(), Arc::new(Record::new(it, &mut strings))))
            .collect();
        let removed: HashSet<&EntityRef> =
            removed.iter().filter(|it| !changed.contains_key(*it)).collect();
        let mut same_names = self.names.has_aliases(aliases);
        let mut records = Vec::with_capacity(self.records.len() + changed.len());
        for record in &self.records {
            if removed.contains(&record.entity.reference) {
                same_names = false;
                continue;
            }
            match changed.remove(&record.entity.reference) {
                Some(now) => {
                    same_names &= record.is_called_as(&now);
                    records.push(now);
                }
                None => records.push(record.clone()),
            }
        }
        if !changed.is_empty() {
            same_names = false;
            records.extend(changed.into_values());
            records.sort_by(|one, other| one.entity.reference.cmp(&other.entity.reference));
        }
        let names = match same_names {
            true => self.names.clone(),
            false => Arc::new(Names::new(&records, aliases)),
        };
        Snapshot::of(records, names, revision)
    }

    fn of(records: Vec<Arc<Record>>, names: Arc<Names>, revision: i64) -> Snapshot {
        let graph = Graph::new(&records, &names);
        let words = Words::later();
        Snapshot { revision, records, names, graph, words, reaches: Reaches::default() }
    }

    pub fn revision(&self) -> i64 {
        self.revision
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// All entities, in the order of their references.
    pub fn entities(&self) -> impl Iterator<Item = &Entity> {
        self.records.iter().map(|record| &record.entity)
    }

    /// The entity with this canonical reference.
    pub fn find(&self, reference: &str) -> Option<&Entity> {
        self.names.find(&self.records, reference).map(|node| self.entity(node))
    }

    /// The parsed body: `{"apiVersion","kind","metadata","spec"}`.
    pub fn body(&self, entity: &Entity) -> Value {
        serde_json::from_str(&entity.body).unwrap_or_default()
    }

    /// Outgoing relations, bare targets resolved: those the document says, in its order.
    pub fn said_relations(&self, entity: &Entity) -> Vec<(RelationKind, EntityRef)> {
        let Some(node) = self.node(entity) else { return Vec::new() };
        let said = self.record(node).relations.iter();
        said.map(|it| (it.kind, graph::meant(&self.records, &self.names, it))).collect()
    }

    /// Everything at the other end of `kind`, whichever end said so; sorted, without duplicates.
    pub fn related(&self, entity: &Entity, kind: RelationKind) -> Vec<Target<'_>> {
        let Some(node) = self.node(entity) else { return Vec::new() };
        self.graph.related(node, kind).map(|it| self.target(it)).collect()
    }

    /// Entities whose channel this is (id, or name without `#`): components first, then teams.
    pub fn in_channel(&self, id: &str, name: Option<&str>) -> Vec<&Entity> {
        self.names.in_channel(id, name).map(|node| self.entity(node)).collect()
    }

    /// The User whose annotation `slack.com/user-id` is `user_id`.
    pub fn slack_user(&self, user_id: &str) -> Option<&Entity> {
        self.names.slack_user(user_id).map(|node| self.entity(node))
    }

    /// Entities that pass the filter, by kind and name; the second value is the true total.
    pub fn list(&self, filter: &Filter, offset: usize, limit: usize) -> (Vec<&Entity>, usize) {
        let sieve = self.sieve(filter);
        let mut found: Vec<u32> =
            (0..self.records.len() as u32).filter(|node| sieve.lets(self, *node)).collect();
        found.sort_by_key(|node| {
            let reference = &self.entity(*node).reference;
            (reference.kind(), reference.name(), reference.namespace())
        });
        let total = found.len();
        let page = found.into_iter().skip(offset).take(limit);
        (page.map(|node| self.entity(node)).collect(), total)
    }

    fn record(&self, node: u32) -> &Record {
        &self.records[node as usize]
    }

    fn entity(&self, node: u32) -> &Entity {
        &self.record(node).entity
    }

    /// `None` for an entity of another snapshot that this one does not have.
    fn node(&self, entity: &Entity) -> Option<u32> {
        self.names.find(&self.records, entity.reference.as_str())
    }

    fn target(&self, node: u32) -> Target<'_> {
        match self.records.get(node as usize) {
            Some(record) => Target::Known(&record.entity),
            None => Target::Missing(self.graph.missing(node)),
        }
    }

    /// The owners that `team` names: a reference, or the name of a Group or User.
    fn teams_called(&self, team: &str) -> impl Iterator<Item = u32> {
        let wanted = canonical(team);
        let reference = EntityRef::parse(&wanted, Some("group"), "default").ok();
        let is_named = move |it: &EntityRef| {
            Some(it) == reference.as_ref()
                || matches!(it.kind(), "group" | "user") && it.name() == wanted
        };
        let of_nobody = self.graph.missing_nodes();
        let known = (0_u32..).zip(self.records.iter().map(|it| &it.entity.reference));
        known.chain(of_nobody).filter(move |(_, it)| is_named(it)).map(|(node, _)| node)
    }

    /// `filter` made ready to be asked of many entities.
    fn sieve<'a>(&self, filter: &'a Filter) -> Sieve<'a> {
        let teams = filter.team.as_ref().map(|team| {
            let mut teams: HashSet<u32> = self.teams_called(team).collect();
            let mut waiting: Vec<u32> = teams.iter().copied().collect();
            while let Some(team) = waiting.pop() {
                for part in self.graph.related(team, RelationKind::ParentOf) {
                    if teams.insert(part) {
                        waiting.push(part);
                    }
                }
            }
            teams
        });
        Sieve { filter, teams }
    }
}

struct Sieve<'a> {
    filter: &'a Filter,
    teams: Option<HashSet<u32>>,
}

impl Sieve<'_> {
    fn lets(&self, snapshot: &Snapshot, node: u32) -> bool {
        let Record { entity, tags, .. } = snapshot.record(node);
        let is = |wanted: &Option<String>, has: Option<&str>| match wanted {
            Some(wanted) => has.is_some_and(|has| has.to_lowercase() == wanted.to_lowercase()),
            None => true,
        };
        is(&self.filter.kind, Some(&entity.kind))
            && is(&self.filter.tier, entity.tier.as_deref())
            && is(&self.filter.lifecycle, entity.lifecycle.as_deref())
            && is(&self.filter.class, entity.class.as_deref())
            && self
                .filter
                .tag
                .as_ref()
                .is_none_or(|_| tags.iter().any(|tag| is(&self.filter.tag, Some(tag))))
            && self.teams.as_ref().is_none_or(|teams| {
                snapshot.graph.related(node, RelationKind::OwnedBy).any(|it| teams.contains(&it))
            })
    }
}

#[cfg(test)]
mod tests;
