//! Who is connected with whom, and who breaks when something does.
//!
//! One node an entity, and one for each reference that nobody describes.
//! Nodes are numbers; a relation is four bytes at each of its ends.

use std::collections::VecDeque;

use crate::catalog::RelationKind;

/// A relation as one end sees it: its kind, and the node at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge(u32);

const NODE_BITS: u32 = 27;
const BARE: u32 = 1 << NODE_BITS;

/// The most nodes that an [`Edge`] can tell apart: 134 million.
pub const NODES_MAX: usize = BARE as usize;

impl Edge {
    pub fn new(kind: RelationKind, node: u32) -> Edge {
        assert!(node < BARE, "a catalog has fewer than {NODES_MAX} references");
        Edge((kind as u32) << (NODE_BITS + 1) | node)
    }

    /// The same, its document having named no kind for the other end.
    pub fn bare(self) -> Edge {
        Edge(self.0 | BARE)
    }

    pub fn is_bare(self) -> bool {
        self.0 & BARE != 0
    }

    pub fn kind(self) -> RelationKind {
        RelationKind::ALL[(self.0 >> (NODE_BITS + 1)) as usize]
    }

    pub fn node(self) -> u32 {
        self.0 & (BARE - 1)
    }
}

/// For each node a row of edges, all rows in one piece of memory.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Where each row starts, and where the last ends.
    starts: Vec<u32>,
    edges: Vec<Edge>,
}

impl Rows {
    pub fn push(&mut self, row: impl IntoIterator<Item = Edge>) {
        if self.starts.is_empty() {
            self.starts.push(0);
        }
        self.edges.extend(row);
        let end = u32::try_from(self.edges.len()).expect("fewer than 4 billion relations");
        self.starts.push(end);
    }

    /// The part of the row of `node` that is of `kind`, the rows being sorted.
    pub fn of_kind(&self, node: u32, kind: RelationKind) -> &[Edge] {
        let row = self.of(node);
        let start = row.partition_point(|edge| (edge.kind() as u8) < kind as u8);
        let row = &row[start..];
        &row[..row.partition_point(|edge| edge.kind() == kind)]
    }

    /// The row of `node`; empty where it has none.
    pub fn of(&self, node: u32) -> &[Edge] {
        let node = node as usize;
        match self.starts.get(node..node + 2) {
            Some(row) => &self.edges[row[0] as usize..row[1] as usize],
            None => &[],
        }
    }

    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    pub fn shrink(&mut self) {
        self.starts.shrink_to_fit();
        self.edges.shrink_to_fit();
    }

    /// Each edge also at its other end, by kind and node, each once.
    pub fn both_ways(&self, nodes: usize) -> Rows {
        let mut starts = vec![0u32; nodes + 1];
        for from in 0..self.len() {
            for edge in self.of(from as u32) {
                for node in [from, edge.node() as usize] {
                    starts[node + 1] += 1;
                }
            }
        }
        for node in 0..nodes {
            starts[node + 1] += starts[node];
        }
        let mut next = starts.clone();
        let mut edges = vec![Edge(0); starts[nodes] as usize];
        let mut put = |node: usize, edge: Edge| {
            edges[next[node] as usize] = edge;
            next[node] += 1;
        };
        for from in 0..self.len() {
            for edge in self.of(from as u32) {
                put(from, Edge::new(edge.kind(), edge.node()));
                put(edge.node() as usize, Edge::new(edge.kind().inverse(), from as u32));
            }
        }
        let mut rows = Rows::default();
        for node in 0..nodes {
            let row = &mut edges[starts[node] as usize..starts[node + 1] as usize];
            row.sort_unstable();
            let mut last = None;
            rows.push(row.iter().copied().filter(|edge| last.replace(*edge) != Some(*edge)));
        }
        rows.shrink();
        rows
    }
}

/// What a node is, as far as following dependencies asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Api,
    Resource,
    /// A group or a user.
    Team,
    /// A system or a domain: it stands for its parts.
    Whole,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To what breaks when the start does.
    Dependents,
    /// To what the start needs.
    Dependencies,
}

/// A node of the tree of shortest paths.
#[derive(Debug, Clone, Copy)]
pub struct Hop {
    pub node: u32,
    /// Dependencies between the start and this one; being part of, and providing, are none.
    pub depth: u32,
    /// The previous hop, which comes earlier in the tree; `None` for the start.
    pub from: Option<(u32, RelationKind)>,
    /// Not for the start, its parts, and APIs that are only passed through.
    pub is_reached: bool,
}

/// The tree of shortest paths from `start`, nearest first.
///
/// A consumer of an API depends on the API and, at the same depth, on its provider. The owner of data depends
/// on it, unless a team owns it. What lies inside a system or domain that is the start is passed through and not reached.
/// Nothing is followed further than `depth_max`.
pub fn walk(
    edges: &Rows,
    sort: impl Fn(u32) -> Sort,
    start: u32,
    direction: Direction,
    depth_max: u32,
) -> Vec<Hop> {
    let mut walk = Walk {
        edges,
        sort,
        direction,
        tree: Vec::new(),
        seen: Marked::new(edges.len()),
        passed: Marked::new(edges.len()),
        open: VecDeque::new(),
    };
    walk.enter(start);
    while let Some(at) = walk.open.pop_front() {
        // The nearest come first.
        if walk.tree[at as usize].depth >= depth_max {
            break;
        }
        walk.follow(at);
    }
    walk.tree
}

struct Walk<'a, F> {
    edges: &'a Rows,
    sort: F,
    direction: Direction,
    tree: Vec<Hop>,
    seen: Marked,
    passed: Marked,
    /// Places in `tree`, by depth.
    open: VecDeque<u32>,
}

impl<F: Fn(u32) -> Sort> Walk<'_, F> {
    /// The start, and everything inside it when it is a system or a domain. A component is more than the
    /// components that call themselves its parts: one of these may depend on it.
    fn enter(&mut self, start: u32) {
        self.seen.mark(start);
        let mut inside = vec![self.add(start, 0, None, false)];
        while let Some(at) = inside.pop() {
            self.open.push_back(at);
            let node = self.tree[at as usize].node;
            if (self.sort)(node) != Sort::Whole {
                continue;
            }
            for edge in self.edges.of(node) {
                if edge.kind() == RelationKind::HasPart && self.seen.mark(edge.node()) {
                    inside.push(self.add(edge.node(), 0, Some((at, edge.kind())), false));
                }
            }
        }
    }

    fn follow(&mut self, at: u32) {
        let Hop { node, depth, .. } = self.tree[at as usize];
        for edge in self.edges.of(node) {
            if self.is_dependency(node, *edge) {
                self.reach(at, *edge, depth + 1);
            }
        }
        for edge in self.edges.of(node) {
            match self.direction {
                Direction::Dependents if edge.kind() == RelationKind::ProvidesApi => {
                    self.pass_to_consumers(at, *edge);
                }
                Direction::Dependencies if self.is_dependency(node, *edge) => {
                    self.pass_to_providers(at, *edge);
                }
                _ => {}
            }
        }
    }

    /// Whoever depends on an API that `at` provides depends on `at`.
    fn pass_to_consumers(&mut self, at: u32, provided: Edge) {
        if (self.sort)(provided.node()) != Sort::Api || !self.passed.mark(provided.node()) {
            return;
        }
        let depth = self.tree[at as usize].depth;
        let mut api = None;
        for edge in self.edges.of(provided.node()) {
            if self.is_dependency(provided.node(), *edge) && !self.seen.is_marked(edge.node()) {
                let from = Some((at, provided.kind()));
                let api = *api.get_or_insert_with(|| {
                    add(&mut self.tree, provided.node(), depth, from, false)
                });
                self.reach(api, *edge, depth + 1);
            }
        }
    }

    /// `at` needs an API: it needs whoever provides it.
    fn pass_to_providers(&mut self, at: u32, needed: Edge) {
        if (self.sort)(needed.node()) != Sort::Api || !self.passed.mark(needed.node()) {
            return;
        }
        let depth = self.tree[at as usize].depth + 1;
        let mut api = None;
        for edge in self.edges.of(needed.node()) {
            if edge.kind() == RelationKind::ApiProvidedBy && !self.seen.is_marked(edge.node()) {
                let from = Some((at, needed.kind()));
                let api = *api
                    .get_or_insert_with(|| add(&mut self.tree, needed.node(), depth, from, false));
                self.reach(api, *edge, depth);
            }
        }
    }

    /// Whether `edge` leads from `node` one dependency further.
    fn is_dependency(&self, node: u32, edge: Edge) -> bool {
        use RelationKind::*;
        match (self.direction, edge.kind()) {
            (Direction::Dependents, DependencyOf | ApiConsumedBy) => true,
            (Direction::Dependents, OwnedBy) => {
                (self.sort)(node) == Sort::Resource && (self.sort)(edge.node()) != Sort::Team
            }
            (Direction::Dependencies, DependsOn | ConsumesApi | ApiProvidedBy) => true,
            (Direction::Dependencies, OwnerOf) => {
                (self.sort)(edge.node()) == Sort::Resource && (self.sort)(node) != Sort::Team
            }
            _ => false,
        }
    }

    fn reach(&mut self, from: u32, edge: Edge, depth: u32) {
        if self.seen.mark(edge.node()) {
            let at = self.add(edge.node(), depth, Some((from, edge.kind())), true);
            self.open.push_back(at);
        }
    }

    fn add(
        &mut self,
        node: u32,
        depth: u32,
        from: Option<(u32, RelationKind)>,
        is_reached: bool,
    ) -> u32 {
        add(&mut self.tree, node, depth, from, is_reached)
    }
}

fn add(
    tree: &mut Vec<Hop>,
    node: u32,
    depth: u32,
    from: Option<(u32, RelationKind)>,
    is_reached: bool,
) -> u32 {
    tree.push(Hop { node, depth, from, is_reached });
    (tree.len() - 1) as u32
}

/// A set of nodes.
struct Marked(Vec<u64>);

impl Marked {
    fn new(nodes: usize) -> Marked {
        Marked(vec![0; nodes.div_ceil(64)])
    }

    /// Whether it was not marked before.
    fn mark(&mut self, node: u32) -> bool {
        let was = self.is_marked(node);
        self.0[node as usize / 64] |= 1 << (node % 64);
        !was
    }

    fn is_marked(&self, node: u32) -> bool {
        self.0[node as usize / 64] & (1 << (node % 64)) != 0
    }
}
