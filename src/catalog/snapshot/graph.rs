//! Relations as a graph: both directions of each, whichever end said so.

use std::collections::HashMap;
use std::sync::Arc;

use super::names::Names;
use super::record::Record;
use crate::catalog::{EntityRef, Relation, RelationKind};

/// The lowest bits of an edge are its node, the highest its kind: 268 million nodes.
const NODE_BITS: u32 = 28;

/// Compressed rows. Nodes below `known` are records; those from there on are named by someone and
/// described by nobody.
#[derive(Debug)]
pub(super) struct Graph {
    /// The edges of node `i` are `edges[starts[i]..starts[i + 1]]`, by kind and node.
    starts: Vec<u32>,
    edges: Vec<u32>,
    known: u32,
    missing: Vec<EntityRef>,
}

impl Graph {
    pub fn new(records: &[Arc<Record>], names: &Names) -> Graph {
        let known = records.len() as u32;
        let mut missing: Vec<EntityRef> = Vec::new();
        let mut numbers: HashMap<EntityRef, u32> = HashMap::new();
        let mut pairs: Vec<(u32, u32)> = Vec::new();
        for (from, record) in (0_u32..).zip(records) {
            for relation in &record.relations {
                let target = match names.find(records, relation.target.as_str()) {
                    Some(node) => node,
                    None => {
                        let meant = meant(records, names, relation);
                        names.find(records, meant.as_str()).unwrap_or_else(|| {
                            *numbers.entry(meant).or_insert_with_key(|reference| {
                                missing.push(reference.clone());
                                known + missing.len() as u32 - 1
                            })
                        })
                    }
                };
                pairs.push((from, edge(relation.kind, target)));
                pairs.push((target, edge(relation.kind.inverse(), from)));
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        let mut starts = Vec::with_capacity(known as usize + missing.len() + 1);
        let mut edges = Vec::with_capacity(pairs.len());
        for (node, edge) in pairs {
            while starts.len() <= node as usize {
                starts.push(edges.len() as u32);
            }
            edges.push(edge);
        }
        starts.resize(known as usize + missing.len() + 1, edges.len() as u32);
        Graph { starts, edges, known, missing }
    }

    /// The other ends of `kind`: those described first, in the order of their references.
    pub fn related(&self, node: u32, kind: RelationKind) -> impl Iterator<Item = u32> {
        let edges = self.edges_of(node);
        let from = edges.partition_point(|it| *it < edge(kind, 0));
        let of_kind = edges[from..].iter().take_while(move |it| **it >> NODE_BITS == kind as u32);
        of_kind.map(|it| it & ((1 << NODE_BITS) - 1))
    }

    /// The reference behind a node that nobody describes.
    pub fn missing(&self, node: u32) -> &EntityRef {
        &self.missing[(node - self.known) as usize]
    }

    /// How many nodes there are, described or not.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Every node that nobody describes.
    pub fn missing_nodes(&self) -> impl Iterator<Item = (u32, &EntityRef)> {
        (self.known..).zip(&self.missing)
    }

    fn edges_of(&self, node: u32) -> &[u32] {
        &self.edges[self.starts[node as usize] as usize..self.starts[node as usize + 1] as usize]
    }
}

/// Whom `relation` means: a bare target is the Component, Resource or API of that name, the first there is.
pub(super) fn meant(records: &[Arc<Record>], names: &Names, relation: &Relation) -> EntityRef {
    let target = &relation.target;
    if !relation.bare {
        return target.clone();
    }
    let of_kind = |kind| EntityRef::new(kind, target.namespace(), target.name());
    let mut kinds = ["component", "resource", "api"].into_iter().map(of_kind);
    let described = kinds.find(|it| names.find(records, it.as_str()).is_some());
    described.unwrap_or_else(|| target.clone())
}

fn edge(kind: RelationKind, node: u32) -> u32 {
    (kind as u32) << NODE_BITS | node
}
