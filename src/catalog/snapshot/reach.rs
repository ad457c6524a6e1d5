//! What breaks when an entity does, what it needs, and why.
//!
//! An entity depends on what its document says it depends on, on the APIs it consumes, and on whoever
//! provides these. An API stands between its consumer and its provider and is no step of its own there;
//! a System or Domain stands for its parts. Owning and being a member is not depending.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, RwLock};

use super::{Entity, Filter, Snapshot, Target};
use crate::catalog::{EntityRef, RelationKind};

/// The most found entities that are remembered for questions to come; 20 bytes each.
const REMEMBERED_MAX: usize = 2_000_000;

const NONE: u32 = u32::MAX;

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
#[derive(Debug, Clone, Copy)]
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
    /// An entity of several owners counts for each.
    pub teams: Vec<(Option<Target<'a>>, usize)>,
    /// Those that are named on the way and described by nobody.
    pub missing: Vec<&'a EntityRef>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Direction {
    Dependents,
    Dependencies,
}

/// One step of the walk. `from` is the place of the step before it.
#[derive(Debug, Clone, Copy)]
struct Found {
    node: u32,
    depth: u32,
    from: u32,
    /// The API between the two, or [`NONE`].
    through: u32,
    kind: RelationKind,
}

/// Everything that an entity reaches, breadth first. The first places are the entity and its parts.
#[derive(Debug)]
struct Walk {
    found: Vec<Found>,
    /// How many of `found` are what was asked about.
    asked: usize,
}

/// What of a walk passes a filter.
#[derive(Debug)]
struct Passed {
    walk: Arc<Walk>,
    /// Places in the walk; nearest first, then by name.
    places: Vec<u32>,
    direct: usize,
    teams: Vec<(u32, usize)>,
    missing: Vec<u32>,
}

type Question = (u32, Direction, Filter);

/// Answers already worked out for this snapshot.
#[derive(Debug, Default)]
pub(super) struct Reaches {
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    answers: HashMap<Question, Arc<Passed>>,
    found: usize,
}

impl Reaches {
    fn get(&self, question: &Question) -> Option<Arc<Passed>> {
        let known = self.known.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        known.answers.get(question).cloned()
    }

    fn keep(&self, question: Question, answer: &Arc<Passed>) {
        let mut known = self.known.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let found = answer.walk.found.len() + answer.places.len();
        if known.found + found > REMEMBERED_MAX {
            *known = Known::default();
        }
        known.found += found;
        known.answers.insert(question, answer.clone());
    }
}

impl Snapshot {
    /// Everything that breaks when `entity` does.
    pub fn dependents(
        &self,
        entity: &Entity,
        filter: &Filter,
        offset: usize,
        limit: usize,
    ) -> Reach<'_> {
        self.reach(entity, Direction::Dependents, filter, offset, limit)
    }

    /// Everything that `entity` needs.
    pub fn dependencies(
        &self,
        entity: &Entity,
        filter: &Filter,
        offset: usize,
        limit: usize,
    ) -> Reach<'_> {
        self.reach(entity, Direction::Dependencies, filter, offset, limit)
    }

    /// The shortest chain of dependencies from `from` to `to`; `None` when there is none.
    pub fn path(&self, from: &Entity, to: &Entity) -> Option<Vec<Step<'_>>> {
        let (from, to) = (self.node(from)?, self.node(to)?);
        let walk = self.walk(from, Direction::Dependencies, Some(to));
        let place = walk.found.iter().position(|found| found.node == to)?;
        Some(self.steps(&walk, place as u32))
    }

    fn reach(
        &self,
        entity: &Entity,
        direction: Direction,
        filter: &Filter,
        offset: usize,
        limit: usize,
    ) -> Reach<'_> {
        let Some(node) = self.node(entity) else {
            let (page, teams, missing) = (Vec::new(), Vec::new(), Vec::new());
            return Reach { page, total: 0, direct: 0, teams, missing };
        };
        let passed = self.passed(node, direction, filter);
        let page = passed.places.iter().skip(offset).take(limit);
        let page = page.map(|place| self.reached(&passed.walk, *place)).collect();
        let team = |node: u32| (node != NONE).then(|| self.target(node));
        Reach {
            page,
            total: passed.places.len(),
            direct: passed.direct,
            teams: passed.teams.iter().map(|(node, many)| (team(*node), *many)).collect(),
            missing: passed.missing.iter().map(|node| self.graph.missing(*node)).collect(),
        }
    }

    fn reached(&self, walk: &Walk, place: u32) -> Reached<'_> {
        let Found { node, depth, .. } = walk.found[place as usize];
        let owners = self.graph.related(node, RelationKind::OwnedBy);
        Reached {
            entity: self.entity(node),
            depth,
            path: self.steps(walk, place),
            teams: owners.map(|owner| self.target(owner)).collect(),
        }
    }

    /// The way to `place`, from the start.
    fn steps(&self, walk: &Walk, place: u32) -> Vec<Step<'_>> {
        let mut steps = Vec::new();
        let mut at = place;
        while at != NONE {
            let Found { node, from, through, kind, .. } = walk.found[at as usize];
            let via = (from != NONE).then_some(kind);
            steps.push(Step { target: self.target(node), via });
            if through != NONE {
                let before = walk.found[from as usize].node;
                let via = Some(self.relation_to_api(before, through));
                steps.push(Step { target: self.target(through), via });
            }
            at = from;
        }
        steps.reverse();
        steps
    }

    /// How `node` is related to an API that stands on its way.
    fn relation_to_api(&self, node: u32, api: u32) -> RelationKind {
        let ways = [RelationKind::ProvidesApi, RelationKind::ConsumesApi, RelationKind::DependsOn];
        let holds = |kind: &RelationKind| self.graph.related(node, *kind).any(|it| it == api);
        ways.into_iter().find(holds).unwrap_or(RelationKind::DependsOn)
    }

    fn passed(&self, node: u32, direction: Direction, filter: &Filter) -> Arc<Passed> {
        let question = (node, direction, filter.clone());
        if let Some(known) = self.reaches.get(&question) {
            return known;
        }
        let everything = (node, direction, Filter::default());
        let walk = match self.reaches.get(&everything) {
            Some(known) => known.walk.clone(),
            None => Arc::new(self.walk(node, direction, None)),
        };
        let passed = Arc::new(self.pass(walk, filter));
        self.reaches.keep(question, &passed);
        passed
    }

    /// A filter hides entities from the answer; it does not cut the ways through them.
    fn pass(&self, walk: Arc<Walk>, filter: &Filter) -> Passed {
        let sieve = self.sieve(filter);
        let (mut places, mut missing) = (Vec::new(), Vec::new());
        let mut teams: HashMap<u32, usize> = HashMap::new();
        for (place, found) in walk.found.iter().enumerate().skip(walk.asked) {
            if filter.depth.is_some_and(|depth| found.depth > depth) {
                continue;
            }
            if found.node as usize >= self.records.len() {
                missing.push(found.node);
                continue;
            }
            if !sieve.lets(self, found.node) {
                continue;
            }
            places.push(place as u32);
            let mut owners = self.graph.related(found.node, RelationKind::OwnedBy).peekable();
            if owners.peek().is_none() {
                *teams.entry(NONE).or_default() += 1;
            }
            owners.for_each(|owner| *teams.entry(owner).or_default() += 1);
        }
        places.sort_by_key(|place| {
            let Found { node, depth, .. } = walk.found[*place as usize];
            let reference = &self.entity(node).reference;
            (depth, reference.name(), node)
        });
        let direct = places.iter().filter(|place| walk.found[**place as usize].depth == 1).count();
        let mut teams: Vec<(u32, usize)> = teams.into_iter().collect();
        teams.sort_by_key(|(node, many)| (std::cmp::Reverse(*many), *node));
        Passed { walk, places, direct, teams, missing }
    }

    /// Breadth first from `start`; stops early once `until` is found.
    fn walk(&self, start: u32, direction: Direction, until: Option<u32>) -> Walk {
        let mut found = self.asked_about(start);
        let asked = found.len();
        let mut seen = vec![false; self.graph.len()];
        found.iter().for_each(|it| seen[it.node as usize] = true);
        let mut waiting: VecDeque<u32> = (0..asked as u32).collect();
        while let Some(from) = waiting.pop_front() {
            let Found { node, depth, .. } = found[from as usize];
            if until == Some(node) {
                break;
            }
            self.next_to(node, direction, |next, through, kind| {
                if !std::mem::replace(&mut seen[next as usize], true) {
                    waiting.push_back(found.len() as u32);
                    found.push(Found { node: next, depth: depth + 1, from, through, kind });
                }
            });
        }
        Walk { found, asked }
    }

    /// The entity itself; of a System or Domain also everything that is part of it.
    fn asked_about(&self, start: u32) -> Vec<Found> {
        let kind = RelationKind::HasPart;
        let mut asked = vec![Found { node: start, depth: 0, from: NONE, through: NONE, kind }];
        let is_whole = |node: u32| {
            let of = self.target(node).reference().kind();
            of == "system" || of == "domain"
        };
        let mut seen = std::collections::HashSet::from([start]);
        let mut from = 0;
        while from < asked.len() {
            let node = asked[from].node;
            if is_whole(node) {
                for part in self.graph.related(node, kind) {
                    if seen.insert(part) {
                        let from = from as u32;
                        asked.push(Found { node: part, depth: 0, from, through: NONE, kind });
                    }
                }
            }
            from += 1;
        }
        asked
    }

    /// Calls `visit(next, through, kind)` for each entity one step from `node`.
    fn next_to(
        &self,
        node: u32,
        direction: Direction,
        mut visit: impl FnMut(u32, u32, RelationKind),
    ) {
        use RelationKind::{ApiConsumedBy, ApiProvidedBy, ConsumesApi, DependencyOf, DependsOn};
        let graph = &self.graph;
        match direction {
            Direction::Dependents => {
                for kind in [DependencyOf, ApiConsumedBy] {
                    graph.related(node, kind).for_each(|next| visit(next, NONE, kind));
                }
                for api in graph.related(node, RelationKind::ProvidesApi) {
                    for kind in [ApiConsumedBy, DependencyOf] {
                        graph.related(api, kind).for_each(|next| visit(next, api, kind));
                    }
                }
            }
            Direction::Dependencies => {
                graph.related(node, ApiProvidedBy).for_each(|it| visit(it, NONE, ApiProvidedBy));
                for kind in [DependsOn, ConsumesApi] {
                    graph.related(node, kind).for_each(|next| visit(next, NONE, kind));
                }
                for kind in [DependsOn, ConsumesApi] {
                    for api in graph.related(node, kind) {
                        graph
                            .related(api, ApiProvidedBy)
                            .for_each(|it| visit(it, api, ApiProvidedBy));
                    }
                }
            }
        }
    }
}
