//! Whose description a change of the catalog may have changed.
//!
//! What the catalog says of an entity is its own document, and a little of those around it: whether its owners exist and
//! have people, what its dependencies are, how many depend on it. So one changed document touches few entities, and only
//! those are judged again.

use std::collections::BTreeSet;

use crate::catalog::{EntityRef, RelationKind, Snapshot};

/// The entities of which [`super::catalog::describe`] may say something else in `after` than in `before`; those that
/// came and went are among them.
///
/// It costs a look at each entity and what the changed ones are related to. Between snapshots that share nothing, all
/// are touched.
pub fn touched(before: &Snapshot, after: &Snapshot) -> BTreeSet<EntityRef> {
    let mut changed: BTreeSet<EntityRef> =
        after.changed_since(before).into_iter().cloned().collect();
    let meaning: Vec<EntityRef> =
        changed.iter().flat_map(|it| with_another_meaning(before, after, it)).collect();
    changed.extend(meaning);
    let mut touched = changed.clone();
    for snapshot in [before, after] {
        let around = Around { snapshot };
        changed.iter().for_each(|it| around.touch(it, &mut touched));
    }
    touched.retain(|it| [before, after].iter().any(|them| them.find(it.as_str()).is_some()));
    touched
}

/// Those whose documents name `came_or_went` without a kind, and so mean another entity than before.
fn with_another_meaning(
    before: &Snapshot,
    after: &Snapshot,
    came_or_went: &EntityRef,
) -> Vec<EntityRef> {
    let name = came_or_went.as_str();
    let around = match (before.find(name), after.find(name)) {
        (Some(_), None) => Around { snapshot: before },
        (None, Some(_)) => Around { snapshot: after },
        _ => return Vec::new(),
    };
    let means_another = |it: &&EntityRef| {
        let (Some(was), Some(is)) = (before.find(it.as_str()), after.find(it.as_str())) else {
            return false;
        };
        before.said_relations(was) != after.said_relations(is)
    };
    around.all(came_or_went).into_iter().filter(means_another).cloned().collect()
}

struct Around<'a> {
    snapshot: &'a Snapshot,
}

impl<'a> Around<'a> {
    /// Adds those that say something of `entity`, or of what it is related to.
    fn touch(&self, entity: &'a EntityRef, touched: &mut BTreeSet<EntityRef>) {
        use RelationKind::*;
        touched.extend(self.all(entity).into_iter().cloned());
        // How many people a team has is said of what it owns.
        for team in self.related(entity, MemberOf) {
            touched.extend(self.related(team, OwnerOf).into_iter().cloned());
        }
        // How many owners something has is said of what depends on it.
        for owned in self.related(entity, OwnerOf) {
            touched.extend(self.related(owned, DependencyOf).into_iter().cloned());
        }
        // Who depends on an API depends on who provides it, and who depends on a part on the whole.
        let needed = [DependsOn, ConsumesApi, ApiProvidedBy, OwnerOf];
        let needed = needed.into_iter().flat_map(|kind| self.related(entity, kind));
        for it in needed.chain([entity]) {
            for part in self.related(it, ApiProvidedBy).into_iter().chain([it]) {
                touched.insert(part.clone());
                self.touch_wholes(part, touched);
            }
        }
    }

    /// Adds what `part` is part of, and what that is part of.
    fn touch_wholes(&self, part: &'a EntityRef, touched: &mut BTreeSet<EntityRef>) {
        let mut seen = BTreeSet::from([part]);
        let mut open = vec![part];
        while let Some(part) = open.pop() {
            for whole in self.related(part, RelationKind::PartOf) {
                if seen.insert(whole) {
                    touched.insert(whole.clone());
                    open.push(whole);
                }
            }
        }
    }

    /// Everything at the other end of a relation.
    fn all(&self, entity: &EntityRef) -> Vec<&'a EntityRef> {
        RelationKind::ALL.into_iter().flat_map(|kind| self.related(entity, kind)).collect()
    }

    fn related(&self, entity: &EntityRef, kind: RelationKind) -> Vec<&'a EntityRef> {
        let related = self.snapshot.related_to(entity, kind);
        related.into_iter().map(|it| it.reference()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::catalog::describe;
    use super::*;
    use crate::catalog::{Entity, Place, Relation, StoredEntity};

    const KINDS: [&str; 6] = ["component", "resource", "api", "group", "user", "system"];
    const SAID: [RelationKind; 8] = [
        RelationKind::OwnedBy,
        RelationKind::PartOf,
        RelationKind::HasPart,
        RelationKind::ProvidesApi,
        RelationKind::ConsumesApi,
        RelationKind::DependsOn,
        RelationKind::DependencyOf,
        RelationKind::MemberOf,
    ];

    /// One of twelve names, of any kind.
    fn reference(number: usize) -> EntityRef {
        EntityRef::new(
            KINDS[number % KINDS.len()],
            "default",
            &format!("e{}", number / KINDS.len()),
        )
    }

    const REFERENCES: usize = 18;

    /// What a document says: a title, whom to page, and its relations.
    type Document = (u8, bool, Vec<(usize, usize, bool)>);

    fn stored(number: usize, (title, is_paged, said): &Document) -> StoredEntity {
        let reference = reference(number);
        let annotations = match is_paged {
            true => json!({ "pagerduty.com/service-id": "P1" }),
            false => json!({}),
        };
        let metadata = json!({
            "name": reference.name(), "title": title.to_string(), "annotations": annotations,
        });
        StoredEntity {
            body: json!({ "kind": "k", "metadata": metadata, "spec": {} }).to_string().into(),
            relations: said.iter().map(|it| relation(*it)).collect(),
            place: Place { source: "s".into(), file: "f".into(), document: 0, line: 1 },
            orphaned_at: None,
            reference,
        }
    }

    fn relation((kind, target, bare): (usize, usize, bool)) -> Relation {
        let (kind, target) = (SAID[kind], reference(target));
        let bare = bare && matches!(kind, RelationKind::DependsOn | RelationKind::DependencyOf);
        let target = match bare {
            true => EntityRef::new("component", "default", target.name()),
            false => target,
        };
        Relation { kind, target, bare }
    }

    fn document() -> impl Strategy<Value = Document> {
        let said = (0..SAID.len(), 0..REFERENCES, any::<bool>());
        (0..3_u8, any::<bool>(), proptest::collection::vec(said, 0..4))
    }

    fn descriptions(snapshot: &Snapshot) -> BTreeMap<EntityRef, Value> {
        let described = |it: &Entity| (it.reference.clone(), describe(snapshot, it));
        snapshot.entities().map(described).collect()
    }

    /// Those that are described in another way, or in one alone.
    fn differing(before: &Snapshot, after: &Snapshot) -> BTreeSet<EntityRef> {
        let (before, after) = (descriptions(before), descriptions(after));
        let all: BTreeSet<&EntityRef> = before.keys().chain(after.keys()).collect();
        let differs = |it: &&EntityRef| before.get(*it) != after.get(*it);
        all.into_iter().filter(differs).cloned().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]
        #[test]
        fn whoever_is_described_in_another_way_is_touched(
            documents in proptest::collection::btree_map(0..REFERENCES, document(), 6..REFERENCES),
            changes in proptest::collection::btree_map(0..REFERENCES, proptest::option::of(document()), 1..3),
        ) {
            let entities = documents.iter().map(|(number, it)| stored(*number, it));
            let before = Snapshot::build(entities.collect::<Vec<_>>(), &[], 1);
            let changed = changes.iter().filter_map(|(number, it)| Some(stored(*number, it.as_ref()?)));
            let removed = changes.iter().filter(|(_, it)| it.is_none()).map(|(number, _)| reference(*number));
            let removed: Vec<EntityRef> = removed.collect();
            let after = before.next(changed.collect(), &removed, &[], 2);
            let touched = touched(&before, &after);
            let missed: Vec<EntityRef> =
                differing(&before, &after).difference(&touched).cloned().collect();
            prop_assert_eq!(missed, Vec::<EntityRef>::new());
        }
    }

    /// 2,000 services of 20 teams in 20 systems; `changed` is the title of one.
    fn company(changed: Option<usize>) -> Vec<StoredEntity> {
        let services = (0..2_000).map(|number| {
            let said = vec![
                (0, 3 + 6 * (number % 20), false),
                (1, 5 + 6 * (number % 20), false),
                (5, 6 * ((number * 7 + 1) % 2_000), false),
            ];
            stored(6 * number, &(u8::from(changed == Some(number)), true, said))
        });
        let teams = (0..20).map(|number| stored(3 + 6 * number, &(0, true, Vec::new())));
        let systems = (0..20).map(|number| stored(5 + 6 * number, &(0, true, Vec::new())));
        services.chain(teams).chain(systems).collect()
    }

    #[test]
    fn one_changed_service_touches_few_and_all_are_told_without_a_common_past() {
        let before = Snapshot::build(company(None), &[], 1);
        let one = stored(0, &(1, true, Vec::new()));
        let after = before.next(vec![one], &[], &[], 2);
        let few = touched(&before, &after);
        assert!(few.contains(&reference(0)) && few.len() < 10, "{few:?}");
        assert_eq!(touched(&after, &after), BTreeSet::new());
        let anew = Snapshot::build(company(None), &[], 3);
        assert_eq!(touched(&before, &anew).len(), anew.len());
    }
}
