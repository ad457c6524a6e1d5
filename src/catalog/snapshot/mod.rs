//! The whole catalog in memory: every lookup is answered from here, and only from here.
//!
//! A snapshot is one revision and never changes; a change makes the next one, which shares what stayed
//! the same, and readers swap. Entities are nodes, numbered in the order in which they came; so are the
//! references that nobody describes. Everything else is numbers of nodes.

pub mod disk;
mod entity;
mod graph;
mod index;
pub mod pages;
mod reach;
mod resolve;
mod search;
mod typed;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::entity::{Entity, ON_CALL};
use self::entity::{Interner, Record};
use self::graph::{Edge, Rows};
use self::index::Index;
use self::reach::Memory;
use self::search::Vocabulary;
pub use self::typed::{folded, skeleton};
use super::{EntityRef, Relation, RelationKind, StoredEntity};

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
#[derive(Debug, Clone, Default)]
pub struct Reach<'a> {
    /// One page of them.
    pub page: Vec<Reached<'a>>,
    /// True totals, whatever the page shows.
    pub total: usize,
    pub direct: usize,
    /// Every team concerned with how many of its entities, most first; `None` is nobody's.
    pub teams: Vec<(Option<Target<'a>>, usize)>,
    /// Reached as well, but described by nobody: in no total, whatever the filter.
    pub missing: Vec<&'a EntityRef>,
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

/// A state of the catalog.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    pub number: i64,
    /// What tells it from the same number in another database, or in this one before it was restored;
    /// `None` for a state that no database is known to have had.
    pub mark: Option<String>,
}

impl From<i64> for Revision {
    fn from(number: i64) -> Revision {
        Revision { number, mark: None }
    }
}

/// Why nothing can be said of the catalog yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// The database has not answered since the process started, and there is no copy on disk.
    NoAnswer,
    /// The database answers, and no source was ever read into it.
    NoImport,
    /// Nor will be: the settings list none.
    NoSources,
}

impl Unread {
    /// As the reason in a sentence.
    pub fn why(self) -> &'static str {
        match self {
            Unread::NoAnswer => {
                "its database has not answered since idp started, and there is no copy of it here"
            }
            Unread::NoImport => "the first import is under way",
            Unread::NoSources => "`idp.yaml` lists no sources to read it from",
        }
    }
}

/// Immutable: one revision of the catalog.
#[derive(Debug, Default)]
pub struct Snapshot {
    revision: Revision,
    unread: Option<Unread>,
    nodes: Vec<Node>,
    /// By canonical reference, those that nobody describes as well.
    references: Index,
    /// By folded name.
    names: Index,
    /// By folded title.
    titles: Index,
    /// By the skeleton of the name.
    skeletons: Index,
    /// By folded channel or account.
    channels: Index,
    /// By page of the web, as it is compared.
    pages: Index,
    /// By what people say, folded.
    aliases: BTreeMap<String, EntityRef>,
    /// The described nodes by reference.
    by_reference: Vec<u32>,
    /// The described nodes by name, then reference.
    by_name: Vec<u32>,
    /// The place of each node in `by_name`.
    rank: Vec<u32>,
    /// What documents say, in their order; bare targets as guessed.
    said: Rows,
    /// All relations at both their ends, bare targets resolved.
    near: Rows,
    vocabulary: Vocabulary,
    memory: Memory,
    /// How many nodes came or went since all of it was built.
    drift: usize,
}

#[derive(Debug, Clone)]
enum Node {
    Known(Arc<Record>),
    /// Named by someone, described by nobody.
    Missing(EntityRef),
}

/// An entity with what its document says.
struct Described {
    record: Arc<Record>,
    relations: Vec<Relation>,
}

/// The database confirms the snapshot at least every 30 s; a missed confirmation and a half is news.
const CONFIRMED_WITHIN_S: i64 = 45;

/// The revision before that of any database.
const UNREAD: i64 = -1;

/// The revision of a database into which no source was read yet.
const NO_IMPORT: i64 = 0;

/// So many entities go from one thread to another at once, and so many times that many wait there.
const BATCH: usize = 256;
const BATCHES_AHEAD: usize = 16;

/// What a bare target may be, best first.
const BARE_KINDS: [&str; 3] = ["component", "resource", "api"];

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
    /// What there is until the catalog is read for the first time.
    pub fn unread(why: Unread) -> Snapshot {
        Snapshot { revision: UNREAD.into(), unread: Some(why), ..Snapshot::default() }
    }

    /// `None` when the catalog was read: only then can be said what is not in it.
    pub fn why_unread(&self) -> Option<Unread> {
        self.unread
    }

    /// `aliases` are (what people say, reference), from the settings and from administrators; of two meanings
    /// the first holds. Of an entity that comes twice, the later one does.
    ///
    /// `entities` are taken one by one on a thread of their own: they may come from a file or a channel.
    pub fn build(
        entities: impl IntoIterator<Item = StoredEntity, IntoIter: Send>,
        aliases: &[(String, EntityRef)],
        revision: impl Into<Revision>,
    ) -> Snapshot {
        let mut entities = entities.into_iter();
        thread::scope(|scope| {
            let (send, receive) = sync_channel(BATCHES_AHEAD);
            scope.spawn(move || {
                let mut interner = Interner::default();
                loop {
                    let batch = described(entities.by_ref().take(BATCH), &mut interner);
                    if batch.is_empty() || send.send(batch).is_err() {
                        return;
                    }
                }
            });
            Snapshot::of(receive.into_iter().flatten(), aliases, revision.into())
        })
    }

    /// The next snapshot: `changed` replace or add, `removed` go.
    pub fn next(
        &self,
        changed: Vec<StoredEntity>,
        removed: &[EntityRef],
        aliases: &[(String, EntityRef)],
        revision: impl Into<Revision>,
    ) -> Snapshot {
        let revision = revision.into();
        let changed = described(changed, &mut Interner::default());
        if self.drift + changed.len() + removed.len() > self.len() / 8 {
            return self.anew(changed, removed, aliases, revision);
        }
        let mut next = self.shared(aliases, revision);
        let mut rows: HashMap<u32, Vec<Edge>> = HashMap::new();
        let mut touched = Vec::new();
        for node in removed.iter().filter_map(|reference| self.node(reference)) {
            next.forget(node);
            rows.insert(node, Vec::new());
            touched.push(node);
        }
        for Described { record, relations } in changed {
            let node = next.node_or_new(&record.entity.reference);
            next.forget(node);
            next.learn(node, record);
            let row = relations.iter().map(|relation| next.edge(relation)).collect();
            rows.insert(node, row);
            touched.push(node);
        }
        next.order(&touched);
        for node in 0..next.nodes.len() as u32 {
            match rows.remove(&node) {
                Some(row) => next.said.push(row),
                None => next.said.push(self.said.of(node).iter().copied()),
            }
        }
        next.near = next.connected();
        let vocabulary = self.vocabulary.next(&touched, |node| next.record(node));
        next.vocabulary = vocabulary.unwrap_or_else(|| next.words());
        next
    }

    /// Whether `aliases` are those that it was built with.
    pub fn has_aliases(&self, aliases: &[(String, EntityRef)]) -> bool {
        self.aliases == by_word(aliases)
    }

    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    pub fn len(&self) -> usize {
        self.by_reference.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All entities, in the order of their references.
    pub fn entities(&self) -> impl Iterator<Item = &Entity> {
        self.by_reference.iter().filter_map(|node| self.entity(*node))
    }

    /// The entities whose documents came, changed or went since `before`, by which is meant since this snapshot was made
    /// from that one; of one that was made anew, all.
    pub fn changed_since<'a>(&'a self, before: &'a Snapshot) -> Vec<&'a EntityRef> {
        let is_same = |entity: &&Entity| match (
            self.record_of(&entity.reference),
            before.record_of(&entity.reference),
        ) {
            (Some(is), Some(was)) => Arc::ptr_eq(is, was),
            _ => false,
        };
        let now = self.entities().filter(|it| !is_same(it));
        let gone = before.entities().filter(|it| self.record_of(&it.reference).is_none());
        now.chain(gone).map(|it| &it.reference).collect()
    }

    fn record_of(&self, reference: &EntityRef) -> Option<&Arc<Record>> {
        match &self.nodes[self.node(reference)? as usize] {
            Node::Known(record) => Some(record),
            Node::Missing(_) => None,
        }
    }

    /// Every tag, as often as entities have it.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        let records = self.by_reference.iter().filter_map(|node| self.record(*node));
        records.flat_map(|record| record.tags.iter().map(|tag| &**tag))
    }

    /// Every channel, id or name as written, as often as entities have it.
    pub fn channels(&self) -> impl Iterator<Item = &str> {
        let records = self.by_reference.iter().filter_map(|node| self.record(*node));
        records.flat_map(|record| record.channels.iter().map(|channel| &**channel))
    }

    /// The entity with this canonical reference.
    pub fn find(&self, reference: &str) -> Option<&Entity> {
        let is_it = |entity: &&Entity| entity.reference.as_str() == reference;
        self.references.candidates(reference).filter_map(|node| self.entity(node)).find(is_it)
    }

    /// The parsed body: `{"apiVersion","kind","metadata","spec"}`; `null` where the database has no JSON.
    pub fn body(&self, entity: &Entity) -> Value {
        serde_json::from_str(&entity.body).unwrap_or(Value::Null)
    }

    /// Outgoing relations, bare targets resolved: those the document says, in its order.
    pub fn said_relations(&self, entity: &Entity) -> Vec<(RelationKind, EntityRef)> {
        let Some(node) = self.node(&entity.reference) else { return Vec::new() };
        let said = self.said.of(node).iter().map(|edge| self.resolved(*edge));
        said.map(|edge| (edge.kind(), self.reference(edge.node()).clone())).collect()
    }

    /// Everything at the other end of `kind`, whichever end said so; sorted, without duplicates.
    pub fn related(&self, entity: &Entity, kind: RelationKind) -> Vec<Target<'_>> {
        self.related_to(&entity.reference, kind)
    }

    /// The same of what somebody names, though nobody may describe it.
    pub fn related_to(&self, reference: &EntityRef, kind: RelationKind) -> Vec<Target<'_>> {
        let Some(node) = self.node(reference) else { return Vec::new() };
        let edges = self.near.of_kind(node, kind).iter();
        let mut nodes: Vec<u32> = edges.map(|edge| edge.node()).collect();
        nodes.sort_unstable_by_key(|node| self.reference(*node));
        nodes.into_iter().map(|node| self.target(node)).collect()
    }

    /// How many are at the other end of `kind`.
    pub fn count_related(&self, entity: &Entity, kind: RelationKind) -> usize {
        self.node(&entity.reference).map_or(0, |node| self.near.of_kind(node, kind).len())
    }

    /// Whom to ask who is on call: as its own annotations say, or those of its first owner that says it.
    pub fn on_call_of(&self, entity: &Entity) -> Option<&str> {
        let node = self.node(&entity.reference)?;
        if let Some(own) = &self.record(node)?.on_call {
            return Some(own);
        }
        let owners = self.owners(node).filter_map(|owner| {
            Some((self.reference(owner), self.record(owner)?.on_call.as_deref()?))
        });
        owners.min_by_key(|(owner, _)| *owner).map(|(_, on_call)| on_call)
    }

    /// The channels of `entity`, ids or names without `#`, as written.
    pub fn channels_of(&self, entity: &Entity) -> impl Iterator<Item = &str> {
        let node = self.node(&entity.reference);
        let record = node.and_then(|node| self.record(node));
        record.into_iter().flat_map(|record| record.channels.iter().map(|channel| &**channel))
    }

    /// Entities that have all `words` in name, title, description or tags, typos allowed in names;
    /// best first. The second value is the true total.
    pub fn search(
        &self,
        words: &str,
        filter: &Filter,
        offset: usize,
        limit: usize,
    ) -> (Vec<&Entity>, usize) {
        if !words.chars().any(char::is_alphanumeric) {
            return self.list(filter, offset, limit);
        }
        let passes = self.passes(filter);
        let mut fits = self.vocabulary.search(words, self.nodes.len());
        fits.retain(|(node, _)| self.record(*node).is_some_and(|record| passes(*node, record)));
        let place = |(node, fit): &(u32, u16)| (*fit, self.rank[*node as usize]);
        let total = fits.len();
        let shown = offset.saturating_add(limit).min(total);
        if shown < total {
            fits.select_nth_unstable_by_key(shown, place);
            fits.truncate(shown);
        }
        fits.sort_unstable_by_key(place);
        let page = fits.into_iter().skip(offset).filter_map(|(node, _)| self.entity(node));
        (page.collect(), total)
    }

    /// Entities that pass the filter, by kind and name; the second value is the true total.
    pub fn list(&self, filter: &Filter, offset: usize, limit: usize) -> (Vec<&Entity>, usize) {
        let passes = self.passes(filter);
        let known = self.by_name.iter().filter_map(|node| Some((*node, self.record(*node)?)));
        let passing = known.filter(|(node, record)| passes(*node, record));
        let mut listed: Vec<&Entity> = passing.map(|(_, record)| &record.entity).collect();
        listed.sort_by(|a, b| a.reference.kind().cmp(b.reference.kind()));
        let total = listed.len();
        (listed.into_iter().skip(offset).take(limit).collect(), total)
    }

    /// Whether an entity, with its node, is one that `filter` is about; its depth is not looked at.
    fn passes<'a>(&'a self, filter: &'a Filter) -> impl Fn(u32, &Record) -> bool + 'a {
        let teams = filter.team.as_deref().map(|team| self.teams_called(&folded(team)));
        let is = |value: Option<&str>, wanted: &Option<String>| match wanted {
            None => true,
            Some(wanted) => value.is_some_and(|value| folded(value) == folded(wanted)),
        };
        move |node, Record { entity, tags, .. }| {
            is(Some(entity.reference.kind()), &filter.kind)
                && is(entity.tier.as_deref(), &filter.tier)
                && is(entity.lifecycle.as_deref(), &filter.lifecycle)
                && is(entity.class.as_deref(), &filter.class)
                && (filter.tag.is_none() || tags.iter().any(|tag| is(Some(tag), &filter.tag)))
                && teams
                    .as_ref()
                    .is_none_or(|teams| self.owners(node).any(|owner| teams.contains(&owner)))
        }
    }

    /// The Groups and Users that `called` names, by name or reference, with all their parts.
    fn teams_called(&self, called: &str) -> HashSet<u32> {
        let reference = EntityRef::parse(called, Some("group"), "default").ok();
        let is_named = |it: &EntityRef| {
            Some(it) == reference.as_ref()
                || matches!(it.kind(), "group" | "user") && it.name() == called
        };
        let nodes = 0..self.nodes.len() as u32;
        let mut teams: HashSet<u32> = nodes.filter(|it| is_named(self.reference(*it))).collect();
        let mut open: Vec<u32> = teams.iter().copied().collect();
        while let Some(team) = open.pop() {
            let edges = self.near.of(team).iter();
            for part in edges.filter(|edge| edge.kind() == RelationKind::ParentOf) {
                if teams.insert(part.node()) {
                    open.push(part.node());
                }
            }
        }
        teams
    }

    fn of(
        described: impl IntoIterator<Item = Described>,
        aliases: &[(String, EntityRef)],
        revision: Revision,
    ) -> Snapshot {
        let unread = (revision.number == NO_IMPORT).then_some(Unread::NoImport);
        let aliases = by_word(aliases);
        let mut snapshot = Snapshot { revision, unread, aliases, ..Snapshot::default() };
        // In the order in which entities come, which is not that of nodes: a target may come first.
        let mut edges: Vec<Edge> = Vec::new();
        let mut rows: Vec<Range<usize>> = Vec::new();
        let mut known: Vec<u32> = Vec::new();
        for Described { record, relations } in described {
            let node = snapshot.node_or_new(&record.entity.reference);
            match snapshot.record(node) {
                Some(_) => snapshot.forget(node),
                None => known.push(node),
            }
            snapshot.learn(node, record);
            let start = edges.len();
            edges.extend(relations.iter().map(|relation| snapshot.edge(relation)));
            rows.resize(snapshot.nodes.len(), 0..0);
            rows[node as usize] = start..edges.len();
        }
        rows.into_iter().for_each(|row| snapshot.said.push(edges[row].iter().copied()));
        drop(edges);
        let (vocabulary, near, (by_reference, by_name)) = thread::scope(|scope| {
            let vocabulary = scope.spawn(|| snapshot.words());
            let near = snapshot.connected();
            let sorted = snapshot.sorted(known);
            (vocabulary.join(), near, sorted)
        });
        snapshot.vocabulary = vocabulary.unwrap_or_else(|panic| resume_unwind(panic));
        snapshot.near = near;
        snapshot.by_reference = by_reference;
        snapshot.by_name = by_name;
        snapshot.rank_all();
        snapshot.drift = 0;
        snapshot.shrink();
        snapshot
    }

    fn shrink(&mut self) {
        self.nodes.shrink_to_fit();
        self.said.shrink();
        for index in [
            &mut self.references,
            &mut self.names,
            &mut self.titles,
            &mut self.skeletons,
            &mut self.channels,
            &mut self.pages,
        ] {
            index.shrink();
        }
    }

    /// All of it built again, entities that stayed the same shared.
    fn anew(
        &self,
        changed: Vec<Described>,
        removed: &[EntityRef],
        aliases: &[(String, EntityRef)],
        revision: Revision,
    ) -> Snapshot {
        let mut gone = vec![false; self.nodes.len()];
        let changes = changed.iter().map(|it| &it.record.entity.reference).chain(removed);
        for node in changes.filter_map(|reference| self.node(reference)) {
            gone[node as usize] = true;
        }
        let same = self.nodes.iter().zip(0..).filter(|(_, node)| !gone[*node as usize]);
        let same = same.filter_map(|(known, node)| match known {
            Node::Known(record) => {
                let relations = self.stored_relations(node);
                Some(Described { record: record.clone(), relations })
            }
            Node::Missing(_) => None,
        });
        Snapshot::of(same.chain(changed), aliases, revision)
    }

    /// A snapshot with the same nodes, relations and words still to come.
    fn shared(&self, aliases: &[(String, EntityRef)], revision: Revision) -> Snapshot {
        Snapshot {
            revision,
            unread: None,
            nodes: self.nodes.clone(),
            references: self.references.clone(),
            names: self.names.clone(),
            titles: self.titles.clone(),
            skeletons: self.skeletons.clone(),
            channels: self.channels.clone(),
            pages: self.pages.clone(),
            aliases: by_word(aliases),
            by_reference: self.by_reference.clone(),
            by_name: self.by_name.clone(),
            rank: Vec::new(),
            said: Rows::default(),
            near: Rows::default(),
            vocabulary: Vocabulary::default(),
            memory: Memory::default(),
            drift: self.drift,
        }
    }

    fn node(&self, reference: &EntityRef) -> Option<u32> {
        self.references
            .candidates(reference.as_str())
            .find(|node| self.reference(*node) == reference)
    }

    fn node_or_new(&mut self, reference: &EntityRef) -> u32 {
        if let Some(node) = self.node(reference) {
            return node;
        }
        let node = self.nodes.len() as u32;
        self.nodes.push(Node::Missing(reference.clone()));
        self.references.insert(reference.as_str(), node);
        self.drift += 1;
        node
    }

    fn learn(&mut self, node: u32, record: Arc<Record>) {
        each_key(&record, |index, text| index(self).insert(text, node));
        self.nodes[node as usize] = Node::Known(record);
    }

    fn forget(&mut self, node: u32) {
        let Node::Known(record) = self.nodes[node as usize].clone() else { return };
        each_key(&record, |index, text| index(self).remove(text, node));
        self.nodes[node as usize] = Node::Missing(record.entity.reference.clone());
        self.drift += 1;
    }

    fn edge(&mut self, relation: &Relation) -> Edge {
        let edge = Edge::new(relation.kind, self.node_or_new(&relation.target));
        if relation.bare { edge.bare() } else { edge }
    }

    /// The edge to what a bare one means; where there is nothing of any kind, the guess stays.
    fn resolved(&self, edge: Edge) -> Edge {
        if !edge.is_bare() {
            return edge;
        }
        let guess = self.reference(edge.node());
        let meant = BARE_KINDS.iter().find_map(|kind| {
            let node = self.node(&EntityRef::new(kind, guess.namespace(), guess.name()))?;
            self.entity(node).map(|_| node)
        });
        Edge::new(edge.kind(), meant.unwrap_or(edge.node()))
    }

    /// All relations at both their ends, bare targets resolved.
    fn connected(&self) -> Rows {
        let mut resolved = Rows::default();
        for node in 0..self.nodes.len() as u32 {
            resolved.push(self.said.of(node).iter().map(|edge| self.resolved(*edge)));
        }
        resolved.both_ways(self.nodes.len())
    }

    fn words(&self) -> Vocabulary {
        let known =
            (0..self.nodes.len() as u32).filter_map(|node| Some((node, self.record(node)?)));
        Vocabulary::new(known)
    }

    /// The `known` nodes by reference and by name. What comes in order, as from the copy on disk, costs little.
    fn sorted(&self, known: Vec<u32>) -> (Vec<u32>, Vec<u32>) {
        let mut by_reference = known;
        by_reference.sort_by_key(|node| self.reference(*node));
        let mut by_name = by_reference.clone();
        // Those of one name stay in the order of their references.
        by_name.sort_by_key(|node| self.reference(*node).name());
        (by_reference, by_name)
    }

    /// Puts the `touched` nodes at their places, or takes them out.
    fn order(&mut self, touched: &[u32]) {
        let mut by_reference = std::mem::take(&mut self.by_reference);
        let mut by_name = std::mem::take(&mut self.by_name);
        let mut is_touched = vec![false; self.nodes.len()];
        touched.iter().for_each(|node| is_touched[*node as usize] = true);
        by_reference.retain(|node| !is_touched[*node as usize]);
        by_name.retain(|node| !is_touched[*node as usize]);
        for node in (0..self.nodes.len() as u32).filter(|node| is_touched[*node as usize]) {
            let Some(entity) = self.entity(node) else { continue };
            let it = &entity.reference;
            let place = by_reference.partition_point(|other| self.reference(*other) < it);
            by_reference.insert(place, node);
            let place = by_name.partition_point(|other| {
                let other = self.reference(*other);
                (other.name(), other) < (it.name(), it)
            });
            by_name.insert(place, node);
        }
        self.by_reference = by_reference;
        self.by_name = by_name;
        self.rank_all();
    }

    fn rank_all(&mut self) {
        self.rank = vec![u32::MAX; self.nodes.len()];
        for (place, node) in self.by_name.iter().enumerate() {
            self.rank[*node as usize] = place as u32;
        }
    }

    /// What the document of `node` says, as the database keeps it.
    fn stored_relations(&self, node: u32) -> Vec<Relation> {
        let said = self.said.of(node).iter().map(|edge| Relation {
            kind: edge.kind(),
            target: self.reference(edge.node()).clone(),
            bare: edge.is_bare(),
        });
        said.collect()
    }

    /// What people say, and whom they mean.
    fn aliases(&self) -> impl Iterator<Item = (String, EntityRef)> {
        self.aliases.iter().map(|(word, reference)| (word.clone(), reference.clone()))
    }

    fn stored(&self) -> impl Iterator<Item = StoredEntity> {
        let known = self.by_reference.iter().filter_map(|node| Some((*node, self.record(*node)?)));
        known.map(|(node, Record { entity, orphaned_at, .. })| StoredEntity {
            reference: entity.reference.clone(),
            body: entity.body.clone(),
            relations: self.stored_relations(node),
            place: entity.place.clone(),
            orphaned_at: *orphaned_at,
        })
    }
}

type Which = fn(&mut Snapshot) -> &mut Index;

/// Every text by which `entity` is found, and the index for it.
fn each_key(record: &Record, mut key: impl FnMut(Which, &str)) {
    let Record { entity, channels, pages, .. } = record;
    key(|it| &mut it.names, &folded(&entity.name));
    key(|it| &mut it.skeletons, &skeleton(&entity.name));
    if let Some(title) = &entity.title {
        key(|it| &mut it.titles, &folded(title));
    }
    for channel in channels {
        key(|it| &mut it.channels, &folded(channel));
    }
    for page in pages {
        key(|it| &mut it.pages, page);
    }
}

fn described(
    entities: impl IntoIterator<Item = StoredEntity>,
    interner: &mut Interner,
) -> Vec<Described> {
    let described = entities.into_iter().map(|mut stored| {
        let relations = std::mem::take(&mut stored.relations);
        Described { record: Arc::new(Record::read(stored, interner)), relations }
    });
    described.collect()
}

/// Of two meanings the first holds.
fn by_word(aliases: &[(String, EntityRef)]) -> BTreeMap<String, EntityRef> {
    let mut by_word = BTreeMap::new();
    for (word, reference) in aliases {
        by_word.entry(folded(word).into_owned()).or_insert_with(|| reference.clone());
    }
    by_word
}

#[cfg(test)]
mod tests;
