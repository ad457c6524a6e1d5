//! Dependents, dependencies and paths of random catalogs with cycles, beside a judge that says it the plainest way.

use std::collections::{BTreeMap, BTreeSet};

use idp::catalog::snapshot::{Filter, Reach, Step};
use idp::catalog::{Entity, EntityRef, Place, Relation, RelationKind, Snapshot, StoredEntity};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::scale::at_full;

const KINDS: [&str; 6] = ["component", "component", "component", "api", "resource", "group"];

/// Kinds of relations that say who needs whom, or who provides or owns what.
const SAID: [RelationKind; 8] = [
    RelationKind::DependsOn,
    RelationKind::DependencyOf,
    RelationKind::ConsumesApi,
    RelationKind::ApiConsumedBy,
    RelationKind::ProvidesApi,
    RelationKind::ApiProvidedBy,
    RelationKind::OwnedBy,
    RelationKind::OwnerOf,
];

/// Entities by number, and who says what of whom. The last entity is described by nobody.
struct Drawn {
    references: Vec<EntityRef>,
    relations: Vec<(usize, RelationKind, usize)>,
}

impl Drawn {
    fn new(random: &mut StdRng) -> Drawn {
        let count = random.random_range(2..14);
        let reference = |number: usize, random: &mut StdRng| {
            let kind = KINDS[random.random_range(0..KINDS.len())];
            EntityRef::new(kind, "default", &format!("e{number}"))
        };
        let references = (0..count).map(|number| reference(number, random)).collect();
        let relations = (0..random.random_range(0..3 * count)).map(|_| {
            let kind = SAID[random.random_range(0..SAID.len())];
            (random.random_range(0..count - 1), kind, random.random_range(0..count))
        });
        Drawn { references, relations: relations.collect() }
    }

    fn snapshot(&self) -> Snapshot {
        let entities = self.references[..self.references.len() - 1].iter().enumerate();
        let entities = entities.map(|(number, reference)| StoredEntity {
            reference: reference.clone(),
            body: format!("{{\"metadata\":{{\"name\":\"{}\"}}}}", reference.name()).into(),
            relations: self.said_by(number),
            place: Place { source: "s".into(), file: "f".into(), document: 0, line: 1 },
            orphaned_at: None,
        });
        Snapshot::build(entities.collect::<Vec<_>>(), &[], 1)
    }

    fn said_by(&self, number: usize) -> Vec<Relation> {
        let said = self.relations.iter().filter(|(from, ..)| *from == number);
        let said = said.map(|(_, kind, to)| Relation {
            kind: *kind,
            target: self.references[*to].clone(),
            bare: false,
        });
        said.collect()
    }

    /// Whether `kind` leads from one to the other, whichever of them says so.
    fn is(&self, from: usize, kind: RelationKind, to: usize) -> bool {
        self.relations.contains(&(from, kind, to))
            || self.relations.contains(&(to, kind.inverse(), from))
    }

    fn kind(&self, number: usize) -> &str {
        self.references[number].kind()
    }

    /// Whether `who` breaks at once when `what` does: it needs it `itself`, or an API that it provides.
    fn needs(&self, who: usize, what: usize, itself: impl Fn(usize, usize) -> bool) -> bool {
        let provided =
            |api| self.kind(api) == "api" && self.is(what, RelationKind::ProvidesApi, api);
        itself(who, what) || (0..self.references.len()).any(|api| itself(who, api) && provided(api))
    }

    fn needs_itself(&self, who: usize, what: usize) -> bool {
        self.is(who, RelationKind::DependsOn, what)
            || self.is(who, RelationKind::ConsumesApi, what)
            || self.kind(what) == "resource"
                && self.kind(who) != "group"
                && self.is(what, RelationKind::OwnedBy, who)
    }

    /// How far everything is that `start` leads to by `leads`, without `start` itself.
    fn distances(
        &self,
        start: usize,
        leads: impl Fn(usize, usize) -> bool,
    ) -> BTreeMap<usize, u32> {
        let mut distances = BTreeMap::from([(start, 0)]);
        for distance in 0.. {
            let last = distances.iter().filter(|(_, it)| **it == distance).map(|(at, _)| *at);
            let last: Vec<usize> = last.collect();
            let next =
                (0..self.references.len()).filter(|to| last.iter().any(|at| leads(*at, *to)));
            let next: Vec<usize> = next.filter(|to| !distances.contains_key(to)).collect();
            if next.is_empty() {
                break;
            }
            distances.extend(next.into_iter().map(|to| (to, distance + 1)));
        }
        distances.remove(&start);
        distances
    }

    /// All of `reach` is what `expected` says, by pages of `limit` as well.
    fn agrees<'a>(
        &self,
        expected: &BTreeMap<usize, u32>,
        reach: impl Fn(usize, usize) -> Reach<'a>,
        limit: usize,
    ) {
        let described = self.references.len() - 1;
        let mut listed: Vec<(u32, &EntityRef)> = Vec::new();
        let mut missing = BTreeSet::new();
        for (number, depth) in expected {
            let reference = &self.references[*number];
            if *number < described {
                listed.push((*depth, reference));
            } else {
                missing.insert(reference);
            }
        }
        listed.sort_by_key(|(depth, reference)| (*depth, reference.name()));
        let direct = listed.iter().filter(|(depth, _)| *depth == 1).count();
        let mut shown = Vec::new();
        for offset in (0..=listed.len()).step_by(limit) {
            let reach = reach(offset, limit);
            assert_eq!((reach.total, reach.direct), (listed.len(), direct), "{:?}", self.relations);
            assert_eq!(reach.missing.into_iter().collect::<BTreeSet<_>>(), missing);
            assert!(reach.page.len() <= limit);
            for reached in reach.page {
                assert_eq!(
                    &reached.path.last().unwrap().target.reference(),
                    &&reached.entity.reference
                );
                self.is_way(&reached.path);
                shown.push((reached.depth, reached.entity.reference.clone()));
            }
        }
        let listed: Vec<_> = listed.into_iter().map(|(depth, it)| (depth, it.clone())).collect();
        let (by_name, shown_by_name) = (by_distance(listed), by_distance(shown));
        assert_eq!(by_name, shown_by_name, "{:?}: {:?}", self.references, self.relations);
    }

    /// Each step is a relation that someone says.
    fn is_way(&self, path: &[Step<'_>]) {
        let number = |step: &Step<'_>| {
            self.references.iter().position(|it| it == step.target.reference()).unwrap()
        };
        assert!(path[0].via.is_none());
        for pair in path.windows(2) {
            let (from, to, via) = (number(&pair[0]), number(&pair[1]), pair[1].via.unwrap());
            assert!(self.is(from, via, to), "{from} {via:?} {to}: {:?}", self.relations);
        }
    }
}

/// In order of distance; the order within one distance is that of names.
fn by_distance(reached: Vec<(u32, EntityRef)>) -> Vec<(u32, String)> {
    reached.into_iter().map(|(depth, it)| (depth, it.name().to_string())).collect()
}

#[test]
fn dependents_dependencies_and_paths_are_those_of_the_judge() {
    let seed: u64 = 20_261;
    let mut random = StdRng::seed_from_u64(seed);
    let catalogs = at_full(20_000);
    let (mut reached, mut paths) = (0, 0);
    for _ in 0..catalogs {
        let drawn = Drawn::new(&mut random);
        let snapshot = drawn.snapshot();
        let entity = |number: usize| -> &Entity {
            snapshot.find(drawn.references[number].as_str()).unwrap()
        };
        let described = drawn.references.len() - 1;
        let everything = Filter::default();
        for start in 0..described {
            let limit = random.random_range(1..5);
            let dependents = drawn.distances(start, |at, to| {
                drawn.needs(to, at, |who, what| drawn.needs_itself(who, what))
            });
            let reach =
                |offset, limit| snapshot.dependents(entity(start), &everything, offset, limit);
            drawn.agrees(&dependents, reach, limit);
            // An API needs who provides it.
            let itself = |who, what| {
                drawn.needs_itself(who, what) || drawn.is(who, RelationKind::ApiProvidedBy, what)
            };
            let dependencies = drawn.distances(start, |at, to| drawn.needs(at, to, itself));
            let reach =
                |offset, limit| snapshot.dependencies(entity(start), &everything, offset, limit);
            drawn.agrees(&dependencies, reach, limit);
            reached += dependents.len() + dependencies.len();
            for end in 0..described {
                let path = snapshot.path(entity(start), entity(end));
                assert_eq!(
                    path.is_some(),
                    dependencies.contains_key(&end),
                    "{:?}",
                    drawn.relations
                );
                if let Some(path) = path {
                    drawn.is_way(&path);
                    paths += 1;
                }
            }
        }
    }
    println!(
        "REL graph seed {seed}: {catalogs} catalogs, {reached} reached, {paths} paths, as the judge says"
    );
    assert!(reached > catalogs && paths > catalogs, "the catalogs are too thin to show anything");
}
