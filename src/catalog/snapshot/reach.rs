//! Dependents and dependencies by the page, remembered as long as the snapshot lives.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::graph::{Direction, Hop, Sort, walk};
use super::{Entity, Filter, Node, Reach, Reached, Snapshot, Step, Target};
use crate::catalog::{EntityRef, RelationKind};

/// So many reached entities are remembered, over all answers: 12 MB.
const REMEMBERED_MAX: usize = 500_000;

/// A tree of shortest paths, and what of it passes a filter.
#[derive(Debug)]
pub struct Answer {
    tree: Arc<Vec<Hop>>,
    /// Places in the tree: nearest first, then by name.
    listed: Vec<u32>,
    direct: usize,
    /// Owners with how many they own, most first; `None` is nobody.
    teams: Vec<(Option<u32>, usize)>,
    /// Reached, but described by nobody.
    missing: Vec<u32>,
}

/// The answers given so far. When they become too many, it starts anew.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    answers: HashMap<(u32, Direction, Filter), Arc<Answer>>,
    size: usize,
}

impl Memory {
    fn get(&self, asked: &(u32, Direction, Filter)) -> Option<Arc<Answer>> {
        self.lock().answers.get(asked).cloned()
    }

    fn keep(&self, asked: (u32, Direction, Filter), answer: Arc<Answer>) {
        let size = answer.tree.len() + answer.listed.len();
        let mut remembered = self.lock();
        if remembered.size + size > REMEMBERED_MAX {
            *remembered = Remembered::default();
        }
        // One that is larger is remembered alone: it is the dearest to find again, and no larger than the catalog.
        remembered.size += size;
        remembered.answers.insert(asked, answer);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Remembered> {
        // Whoever panicked held nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshot {
    /// Everything that breaks when `entity` does: dependsOn backwards, consumers of its APIs and of
    /// an API it is, owners of data that are no teams; of a system or domain, whatever outside
    /// depends on a part. Not ownership, not membership.
    pub fn dependents(
        &self,
        entity: &Entity,
        filter: &Filter,
        offset: usize,
        limit: usize,
    ) -> Reach<'_> {
        self.reach(entity, Direction::Dependents, filter, offset, limit)
    }

    /// How many break at once when `entity` does: the direct ones of [`Snapshot::dependents`].
    ///
    /// It costs as much as these are; nothing is remembered of it.
    pub fn direct_dependents(&self, entity: &Entity) -> usize {
        let Some(start) = self.node(&entity.reference) else { return 0 };
        let tree = self.walk(start, Direction::Dependents, 1);
        tree.iter().filter(|hop| hop.is_reached && self.record(hop.node).is_some()).count()
    }

    /// Everything whose breaking breaks `entity`: [`Snapshot::dependents`] the other way round.
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
        let start = self.node(&from.reference)?;
        let end = self.node(&to.reference)?;
        let answer = self.answer(start, Direction::Dependencies, &Filter::default());
        let reached = |hop: &Hop| hop.node == end && hop.is_reached;
        let at = answer.tree.iter().position(reached)?;
        Some(self.steps(&answer.tree, at))
    }

    fn reach(
        &self,
        entity: &Entity,
        direction: Direction,
        filter: &Filter,
        offset: usize,
        limit: usize,
    ) -> Reach<'_> {
        let Some(start) = self.node(&entity.reference) else { return Reach::default() };
        let answer = self.answer(start, direction, filter);
        let page = answer.listed.iter().skip(offset).take(limit);
        let page = page.filter_map(|at| self.reached(&answer.tree, *at as usize));
        Reach {
            page: page.collect(),
            total: answer.listed.len(),
            direct: answer.direct,
            teams: answer
                .teams
                .iter()
                .map(|(team, count)| (team.map(|it| self.target(it)), *count))
                .collect(),
            missing: answer.missing.iter().map(|node| self.reference(*node)).collect(),
        }
    }

    fn reached(&self, tree: &[Hop], at: usize) -> Option<Reached<'_>> {
        let entity = self.entity(tree[at].node)?;
        Some(Reached {
            entity,
            depth: tree[at].depth,
            path: self.steps(tree, at),
            teams: self.owners(tree[at].node).map(|it| self.target(it)).collect(),
        })
    }

    /// The way in `tree` from its start to the hop `at`.
    fn steps(&self, tree: &[Hop], at: usize) -> Vec<Step<'_>> {
        let mut steps = Vec::new();
        let mut next = Some(at);
        while let Some(at) = next {
            let hop = tree[at];
            let via = hop.from.map(|(_, kind)| kind);
            steps.push(Step { target: self.target(hop.node), via });
            next = hop.from.map(|(from, _)| from as usize);
        }
        steps.reverse();
        steps
    }

    fn answer(&self, start: u32, direction: Direction, filter: &Filter) -> Arc<Answer> {
        let asked = (start, direction, filter.clone());
        if let Some(answer) = self.memory.get(&asked) {
            return answer;
        }
        let tree = match *filter == Filter::default() {
            true => Arc::new(self.walk(start, direction, u32::MAX)),
            false => self.answer(start, direction, &Filter::default()).tree.clone(),
        };
        let answer = Arc::new(self.narrow(tree, filter));
        self.memory.keep(asked, answer.clone());
        answer
    }

    /// What of `tree` passes `filter`; a path may lead through what does not.
    fn narrow(&self, tree: Arc<Vec<Hop>>, filter: &Filter) -> Answer {
        let passes = self.passes(filter);
        let depth_max = filter.depth.unwrap_or(u32::MAX);
        let mut listed = Vec::new();
        let mut missing = Vec::new();
        let mut counts: HashMap<Option<u32>, usize> = HashMap::new();
        let reached = tree.iter().enumerate().filter(|(_, hop)| hop.is_reached);
        for (at, hop) in reached.take_while(|(_, hop)| hop.depth <= depth_max) {
            let Some(record) = self.record(hop.node) else {
                missing.push(hop.node);
                continue;
            };
            if !passes(hop.node, record) {
                continue;
            }
            listed.push(at as u32);
            let mut owners = self.owners(hop.node).peekable();
            if owners.peek().is_none() {
                *counts.entry(None).or_default() += 1;
            }
            owners.for_each(|owner| *counts.entry(Some(owner)).or_default() += 1);
        }
        let hop = |at: u32| tree[at as usize];
        listed.sort_unstable_by_key(|at| (hop(*at).depth, self.rank[hop(*at).node as usize]));
        missing.sort_unstable_by_key(|node| self.reference(*node));
        let mut teams: Vec<_> = counts.into_iter().collect();
        teams.sort_unstable_by_key(|(team, count)| {
            (Reverse(*count), team.is_none(), team.map(|it| self.reference(it)))
        });
        let direct = listed.iter().take_while(|at| hop(**at).depth == 1).count();
        Answer { tree, listed, direct, teams, missing }
    }

    pub(super) fn owners(&self, node: u32) -> impl Iterator<Item = u32> {
        self.near.of_kind(node, RelationKind::OwnedBy).iter().map(|edge| edge.node())
    }

    fn walk(&self, start: u32, direction: Direction, depth_max: u32) -> Vec<Hop> {
        walk(&self.near, |node| self.sort(node), start, direction, depth_max)
    }

    fn sort(&self, node: u32) -> Sort {
        match self.reference(node).kind() {
            "api" => Sort::Api,
            "resource" => Sort::Resource,
            "group" | "user" => Sort::Team,
            "system" | "domain" => Sort::Whole,
            _ => Sort::Other,
        }
    }

    pub(super) fn reference(&self, node: u32) -> &EntityRef {
        match &self.nodes[node as usize] {
            Node::Known(record) => &record.entity.reference,
            Node::Missing(reference) => reference,
        }
    }

    pub(super) fn target(&self, node: u32) -> Target<'_> {
        match &self.nodes[node as usize] {
            Node::Known(record) => Target::Known(&record.entity),
            Node::Missing(reference) => Target::Missing(reference),
        }
    }
}
