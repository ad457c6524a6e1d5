//! The whole catalog in memory: every lookup is answered from here, and only from here.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{EntityRef, Place, RelationKind, StoredEntity};

/// The current snapshot, shared by the whole process; readers never wait.
#[derive(Debug)]
pub struct Catalog {
    pub current: ArcSwap<Snapshot>,
    /// When the database last confirmed that `current` is its newest revision, in ms since 1970.
    pub confirmed_at_ms: AtomicI64,
}

/// An entity with what lookups need at hand; the rest is in `body`.
#[derive(Debug, Clone)]
pub struct Entity {
    pub reference: EntityRef,
    /// As written: `Component`.
    pub kind: Box<str>,
    /// As written: `Payment-API`.
    pub name: Box<str>,
    pub title: Option<Box<str>>,
    pub description: Option<Box<str>>,
    /// `spec.type`
    pub class: Option<Box<str>>,
    pub lifecycle: Option<Box<str>>,
    /// From the label or annotation `tier`, or `spec.tier`.
    pub tier: Option<Box<str>>,
    pub place: Place,
    pub orphaned: bool,
    pub body: Box<str>,
}

/// The other end of a relation.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    Known(&'a Entity),
    /// Named by someone, described by nobody.
    Missing(&'a EntityRef),
}

/// Which entities a question is about. Words compare without regard to case; empty means all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    pub kind: Option<String>,
    /// The team that owns it, a name or a reference.
    pub team: Option<String>,
    pub tier: Option<String>,
    pub lifecycle: Option<String>,
    pub class: Option<String>,
    pub tag: Option<String>,
    /// How many steps away at most.
    pub depth: Option<u32>,
}

/// One entity that another reaches.
#[derive(Debug, Clone)]
pub struct Reached<'a> {
    pub entity: &'a Entity,
    pub depth: u32,
    /// The shortest explanation, from the entity asked about to this one, both included.
    pub path: Vec<Step<'a>>,
    /// Its owners.
    pub teams: Vec<Target<'a>>,
}

/// `via` is the relation from the previous entity to this one; `None` at the start of a path.
#[derive(Debug, Clone)]
pub struct Step<'a> {
    pub target: Target<'a>,
    pub via: Option<RelationKind>,
}

/// What depends on an entity, or what it depends on; nearest first, then by name.
#[derive(Debug, Clone)]
pub struct Reach<'a> {
    /// One page of them.
    pub page: Vec<Reached<'a>>,
    /// True totals, whatever the page shows.
    pub total: usize,
    pub direct: usize,
    /// Every team concerned with how many of its entities, most first; `None` is nobody's.
    pub teams: Vec<(Option<Target<'a>>, usize)>,
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
pub struct Snapshot {}

impl Catalog {
    pub fn new(_snapshot: Snapshot) -> Arc<Catalog> {
        todo!()
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        todo!()
    }

    /// How old the answers are, in seconds; `None` while the database confirms them (within 45 s).
    pub fn age_s(&self, _now: DateTime<Utc>) -> Option<u64> {
        todo!()
    }
}

impl Snapshot {
    /// `aliases` are (what people say, reference), from the settings and from administrators.
    pub fn build(
        _entities: Vec<StoredEntity>,
        _aliases: &[(String, EntityRef)],
        _revision: i64,
    ) -> Snapshot {
        todo!()
    }

    /// The next snapshot: `changed` replace or add, `removed` go.
    pub fn next(
        &self,
        _changed: Vec<StoredEntity>,
        _removed: &[EntityRef],
        _aliases: &[(String, EntityRef)],
        _revision: i64,
    ) -> Snapshot {
        todo!()
    }

    pub fn revision(&self) -> i64 {
        todo!()
    }

    pub fn len(&self) -> usize {
        todo!()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All entities, in the order of their references.
    pub fn entities(&self) -> impl Iterator<Item = &Entity> {
        std::iter::empty()
    }

    /// The entity with this canonical reference.
    pub fn find(&self, _reference: &str) -> Option<&Entity> {
        todo!()
    }

    /// The parsed body: `{"apiVersion","kind","metadata","spec"}`.
    pub fn body(&self, _entity: &Entity) -> Value {
        todo!()
    }

    /// Outgoing relations, bare targets resolved: those the document says, in its order.
    pub fn said_relations(&self, _entity: &Entity) -> Vec<(RelationKind, EntityRef)> {
        todo!()
    }

    /// Everything at the other end of `kind`, whichever end said so; sorted, without duplicates.
    pub fn related(&self, _entity: &Entity, _kind: RelationKind) -> Vec<Target<'_>> {
        todo!()
    }

    /// Exact reference, then exact name among `kinds` (all when empty), then alias and title,
    /// then the closest names. Never a guess presented as an answer.
    pub fn resolve(&self, _typed: &str, _kinds: &[&str]) -> Resolution<'_> {
        todo!()
    }

    /// Entities whose channel this is (id, or name without `#`): components first, then teams.
    pub fn in_channel(&self, _id: &str, _name: Option<&str>) -> Vec<&Entity> {
        todo!()
    }

    /// Everything that breaks when `entity` does: dependsOn backwards, consumers of its APIs and of
    /// an API it is, parts of it that are depended on; not ownership, not membership.
    pub fn dependents(
        &self,
        _entity: &Entity,
        _filter: &Filter,
        _offset: usize,
        _limit: usize,
    ) -> Reach<'_> {
        todo!()
    }

    pub fn dependencies(
        &self,
        _entity: &Entity,
        _filter: &Filter,
        _offset: usize,
        _limit: usize,
    ) -> Reach<'_> {
        todo!()
    }

    /// The shortest chain of dependencies from `from` to `to`; `None` when there is none.
    pub fn path(&self, _from: &Entity, _to: &Entity) -> Option<Vec<Step<'_>>> {
        todo!()
    }

    /// Entities that have all `words` in name, title, description or tags, typos allowed in names;
    /// best first. The second value is the true total.
    pub fn search(
        &self,
        _words: &str,
        _filter: &Filter,
        _offset: usize,
        _limit: usize,
    ) -> (Vec<&Entity>, usize) {
        todo!()
    }

    /// Entities that pass the filter, by kind and name; the second value is the true total.
    pub fn list(&self, _filter: &Filter, _offset: usize, _limit: usize) -> (Vec<&Entity>, usize) {
        todo!()
    }
}
