//! What depends on an entity and what it needs, as nodes and edges: what is drawn, and what is said besides.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::Value;

use super::find::Narrowed;
use super::{Named, json, label, related, required};
use crate::catalog::snapshot::{Reach, Reached, Target};
use crate::catalog::{Entity, RelationKind, Snapshot};
use crate::commands::resolve::Question;
use crate::error::Result;
use crate::pictures::graph::{Direction, Edge, Graph, NODES_MAX, Node};

/// So far from the entity things are drawn: farther ones would make everything small.
const DEPTH_MAX: u32 = 4;
/// The most names that one line of the reply says.
const NAMES_MAX: usize = 8;

#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    pub entity: Named<'a>,
    pub filter: Narrowed,
    /// True totals, however many are drawn.
    pub total: usize,
    /// `None` where the other way alone was asked.
    pub dependents: Option<Side<'a>>,
    pub dependencies: Option<Side<'a>>,
    pub graph: Graph,
}

/// All of one way.
#[derive(Debug, Serialize)]
pub struct Side<'a> {
    pub total: usize,
    pub direct: usize,
    /// The nearest, at most eight.
    pub nearest: Vec<Named<'a>>,
    /// How many more there are.
    pub more: usize,
}

/// # Errors
/// No entity was given.
pub fn look_up(question: &Question<'_>) -> Result<Value> {
    let snapshot = question.snapshot;
    let entity = required(question, "entity")?;
    let filter = question.filter();
    let direction = match question.call.get("direction") {
        Some("dependents") => Direction::Dependents,
        Some("dependencies") => Direction::Dependencies,
        _ => Direction::Both,
    };
    let dependents = (direction != Direction::Dependencies)
        .then(|| snapshot.dependents(entity, &filter, 0, NODES_MAX));
    let dependencies = (direction != Direction::Dependents)
        .then(|| snapshot.dependencies(entity, &filter, 0, NODES_MAX));
    let total = |reach: &Option<Reach>| reach.as_ref().map_or(0, |reach| reach.total);
    json(Answer {
        entity: Named::entity(snapshot, entity),
        filter: Narrowed::of(&filter, question),
        total: total(&dependents) + total(&dependencies),
        graph: graph(snapshot, entity, direction, (dependents.as_ref(), dependencies.as_ref())),
        dependents: dependents.map(|reach| side(snapshot, &reach)),
        dependencies: dependencies.map(|reach| side(snapshot, &reach)),
    })
}

fn side<'a>(snapshot: &'a Snapshot, reach: &Reach<'a>) -> Side<'a> {
    let nearest = reach.page.iter().take(NAMES_MAX);
    let nearest: Vec<Named> = nearest.map(|it| Named::entity(snapshot, it.entity)).collect();
    let more = reach.total - nearest.len();
    Side { total: reach.total, direct: reach.direct, nearest, more }
}

/// What is drawn of both ways: the nearest of each in turn, as long as there is room.
fn graph<'a>(
    snapshot: &'a Snapshot,
    entity: &'a Entity,
    direction: Direction,
    (dependents, dependencies): (Option<&Reach<'a>>, Option<&Reach<'a>>),
) -> Graph {
    let mut drawing = Drawing::default();
    drawing.node(Target::Known(entity));
    let (before, behind) = (near(dependents), near(dependencies));
    let mut drawn = [0, 0];
    for place in 0..before.len().max(behind.len()) {
        for (side, near) in [before, behind].into_iter().enumerate() {
            if let Some(reached) = near.get(place) {
                drawn[side] += usize::from(drawing.takes(reached, side == 0));
            }
        }
    }
    drawing.close(snapshot);
    let more = |reach: Option<&Reach>, drawn: usize| reach.map_or(0, |it| it.total - drawn);
    Graph {
        direction,
        nodes: drawing.targets.iter().map(|target| node(snapshot, *target)).collect(),
        edges: drawing.edges,
        more_dependents: more(dependents, drawn[0]),
        more_dependencies: more(dependencies, drawn[1]),
    }
}

/// What of `reach` may be drawn.
fn near<'r, 'a>(reach: Option<&'r Reach<'a>>) -> &'r [Reached<'a>] {
    let page = reach.map_or(&[][..], |reach| &reach.page);
    let near = page.iter().take_while(|it| it.depth <= DEPTH_MAX).count();
    &page[..near]
}

#[derive(Default)]
struct Drawing<'a> {
    targets: Vec<Target<'a>>,
    /// By reference.
    places: HashMap<&'a str, usize>,
    edges: Vec<Edge>,
    seen: HashSet<(usize, usize)>,
}

impl<'a> Drawing<'a> {
    /// Draws `reached` with the way to it, whose steps need those before them where they are `dependents`; whether there
    /// was room.
    fn takes(&mut self, reached: &Reached<'a>, dependents: bool) -> bool {
        let is_new = |target: &Target| !self.places.contains_key(target.reference().as_str());
        let new = reached.path.iter().filter(|step| is_new(&step.target)).count();
        if self.targets.len() + new > NODES_MAX {
            return false;
        }
        let places: Vec<usize> = reached.path.iter().map(|step| self.node(step.target)).collect();
        for pair in places.windows(2) {
            match dependents {
                true => self.edge(pair[1], pair[0]),
                false => self.edge(pair[0], pair[1]),
            }
        }
        true
    }

    fn node(&mut self, target: Target<'a>) -> usize {
        let next = self.targets.len();
        let place = *self.places.entry(target.reference().as_str()).or_insert(next);
        if place == next {
            self.targets.push(target);
        }
        place
    }

    fn edge(&mut self, from: usize, to: usize) {
        if from != to && self.seen.insert((from, to)) {
            self.edges.push(Edge { from, to });
        }
    }

    /// Draws what else there is between the nodes than the shortest ways.
    fn close(&mut self, snapshot: &'a Snapshot) {
        use RelationKind::{ApiProvidedBy, ConsumesApi, DependsOn};
        for from in 0..self.targets.len() {
            let Target::Known(entity) = self.targets[from] else { continue };
            for kind in [DependsOn, ConsumesApi, ApiProvidedBy] {
                for needed in snapshot.related(entity, kind) {
                    if let Some(to) = self.places.get(needed.reference().as_str()) {
                        self.edge(from, *to);
                    }
                }
            }
        }
    }
}

fn node(snapshot: &Snapshot, target: Target<'_>) -> Node {
    let reference = target.reference();
    let (label, kind, owner) = match target {
        Target::Known(entity) => {
            let owner = related(snapshot, entity, RelationKind::OwnedBy).into_iter().next();
            (
                label(entity).into_owned(),
                entity.kind.to_string(),
                owner.map(|it| it.label.into_owned()),
            )
        }
        Target::Missing(it) => (it.name().to_string(), it.kind().to_string(), None),
    };
    let known = matches!(target, Target::Known(_));
    Node { reference: reference.to_string(), label, kind, owner, known }
}
