//! A small catalog, asked everything.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::catalog::Place;

/// `said` is `"dependsOn component:default/db"`; a `?` before the reference marks it bare.
fn stored(reference: &str, said: &[&str]) -> StoredEntity {
    let reference = EntityRef::parse(reference, None, "default").unwrap();
    let relations = said.iter().map(|said| {
        let (kind, target) = said.split_once(' ').unwrap();
        let bare = target.starts_with('?');
        let target = EntityRef::parse(target.trim_start_matches('?'), None, "default").unwrap();
        Relation { kind: RelationKind::from_word(kind).unwrap(), target, bare }
    });
    let body = serde_json::json!({
        "kind": reference.kind(),
        "metadata": { "name": reference.name() },
        "spec": {},
    });
    StoredEntity {
        relations: relations.collect(),
        body: body.to_string().into(),
        place: Place { source: "s".into(), file: "f".into(), document: 0, line: 1 },
        orphaned_at: None,
        reference,
    }
}

fn with_metadata(mut entity: StoredEntity, metadata: Value) -> StoredEntity {
    let mut body: Value = serde_json::from_str(&entity.body).unwrap();
    let into = body["metadata"].as_object_mut().unwrap();
    into.extend(metadata.as_object().unwrap().clone());
    entity.body = body.to_string().into();
    entity
}

fn shop() -> Snapshot {
    let entities = vec![
        stored("component:checkout", &["ownedBy group:web", "consumesApi api:payments"]),
        stored(
            "component:payment-api",
            &["ownedBy group:pay", "providesApi api:payments", "dependsOn ?component:db"],
        ),
        stored("component:mobile", &["dependsOn component:checkout"]),
        stored("api:payments", &["ownedBy group:pay"]),
        stored("resource:db", &["ownedBy group:pay"]),
        with_metadata(
            stored("group:pay", &["childOf group:money"]),
            serde_json::json!({"title": "Payments Team", "annotations": {"slack.com/channel": "#pay"}}),
        ),
        stored("group:money", &[]),
        stored("system:payments", &["hasPart component:payment-api"]),
    ];
    let aliases = [("the till".to_string(), EntityRef::new("component", "default", "checkout"))];
    Snapshot::build(entities, &aliases, 7)
}

fn names(reach: &Reach) -> Vec<String> {
    reach.page.iter().map(|it| format!("{} {}", it.depth, it.entity.reference)).collect()
}

fn path(steps: &[Step]) -> String {
    let words = steps.iter().map(|step| match step.via {
        Some(via) => format!("-{}-> {}", via.word(), step.target.name()),
        None => step.target.name().to_string(),
    });
    words.collect::<Vec<String>>().join(" ")
}

fn one<'a>(snapshot: &'a Snapshot, reference: &str) -> &'a Entity {
    snapshot.find(reference).unwrap()
}

#[test]
fn a_consumer_of_an_api_depends_on_its_provider() {
    let shop = shop();
    let payment_api = one(&shop, "component:default/payment-api");
    let reach = shop.dependents(payment_api, &Filter::default(), 0, 10);
    assert_eq!(names(&reach), ["1 component:default/checkout", "2 component:default/mobile"]);
    assert_eq!((reach.total, reach.direct), (2, 1));
    assert_eq!(
        path(&reach.page[1].path),
        "payment-api -providesApi-> payments -apiConsumedBy-> checkout -dependencyOf-> mobile"
    );
    let by_team: Vec<(Option<&str>, usize)> =
        reach.teams.iter().map(|(team, many)| (team.map(|it| it.name()), *many)).collect();
    assert_eq!(by_team, [(Some("web"), 1), (None, 1)]);
}

#[test]
fn a_system_stands_for_its_parts() {
    let shop = shop();
    let reach = shop.dependents(one(&shop, "system:default/payments"), &Filter::default(), 0, 10);
    assert_eq!(names(&reach), ["1 component:default/checkout", "2 component:default/mobile"]);
}

#[test]
fn a_bare_dependency_is_looked_for_among_components_resources_and_apis() {
    let shop = shop();
    let payment_api = one(&shop, "component:default/payment-api");
    let reach = shop.dependencies(payment_api, &Filter::default(), 0, 10);
    assert_eq!(names(&reach), ["1 resource:default/db"]);
    let said = shop.said_relations(payment_api);
    assert!(said.contains(&(RelationKind::DependsOn, EntityRef::new("resource", "default", "db"))));
}

#[test]
fn a_filter_hides_entities_and_cuts_no_way() {
    let shop = shop();
    let payment_api = one(&shop, "component:default/payment-api");
    let filter = Filter { team: Some("nobody".into()), ..Filter::default() };
    assert_eq!(shop.dependents(payment_api, &filter, 0, 10).total, 0);
    let filter = Filter { depth: Some(1), ..Filter::default() };
    assert_eq!(shop.dependents(payment_api, &filter, 0, 10).total, 1);
    let filter = Filter { team: Some("web".into()), ..Filter::default() };
    assert_eq!(shop.dependents(payment_api, &filter, 0, 10).total, 1);
}

#[test]
fn a_team_has_what_its_parts_own() {
    let shop = shop();
    let filter = Filter { team: Some("Money".into()), ..Filter::default() };
    let (found, total) = shop.list(&filter, 0, 10);
    let found: Vec<&str> = found.iter().map(|it| it.reference.as_str()).collect();
    assert_eq!(
        found,
        ["api:default/payments", "component:default/payment-api", "resource:default/db"]
    );
    assert_eq!(total, 3);
}

#[test]
fn the_path_says_why() {
    let shop = shop();
    let why = |from, to| shop.path(one(&shop, from), one(&shop, to)).map(|it| path(&it));
    assert_eq!(
        why("component:default/mobile", "resource:default/db").unwrap(),
        "mobile -dependsOn-> checkout -consumesApi-> payments -apiProvidedBy-> payment-api -dependsOn-> db"
    );
    assert_eq!(why("resource:default/db", "component:default/mobile"), None);
}

#[test]
fn a_name_means_one_several_or_nobody() {
    let shop = shop();
    let meant = |typed: &str, kinds: &[&str]| match shop.resolve(typed, kinds) {
        Resolution::One(it) => it.reference.to_string(),
        Resolution::Several(them) => format!("{} of them", them.len()),
        Resolution::Unknown(closest) => {
            let names: Vec<&str> = closest.iter().map(|it| it.reference.as_str()).collect();
            format!("closest: {}", names.join(", "))
        }
    };
    assert_eq!(meant("Payment-API", &[]), "component:default/payment-api");
    assert_eq!(meant("component:checkout", &[]), "component:default/checkout");
    assert_eq!(meant("default/checkout", &[]), "component:default/checkout");
    assert_eq!(meant("payments", &[]), "2 of them");
    assert_eq!(meant("payments", &["system"]), "system:default/payments");
    assert_eq!(meant("payments team", &[]), "group:default/pay");
    assert_eq!(meant("The Till", &[]), "component:default/checkout");
    assert_eq!(meant("chekout", &[]), "closest: component:default/checkout");
    assert_eq!(meant("paymnt-api", &[]), "closest: component:default/payment-api");
    assert_eq!(meant("zzzzzz", &[]), "closest: ");
    assert_eq!(meant("", &[]), "closest: ");
}

#[test]
fn of_two_meanings_of_an_alias_the_first_holds() {
    let means = |name: &str| ("till".to_string(), EntityRef::new("component", "default", name));
    let entities = || vec![stored("component:a", &[]), stored("component:b", &[])];
    for (first, second) in [("a", "b"), ("b", "a")] {
        let catalog = Snapshot::build(entities(), &[means(first), means(second)], 1);
        let Resolution::One(found) = catalog.resolve("Till", &[]) else { panic!("not one") };
        assert_eq!(&*found.name, first);
    }
}

#[test]
fn a_name_in_other_letters_is_told_apart() {
    let shop = shop();
    assert_eq!(shop.confusable_with("p\u{0430}yment-api").unwrap().name.as_ref(), "payment-api");
    assert!(shop.confusable_with("payment-api").is_none());
    assert!(matches!(shop.resolve("p\u{0430}yment-api", &[]), Resolution::Unknown(_)));
}

#[test]
fn what_looks_like_a_name_is_offered_and_is_never_an_answer() {
    let entities = ["component:common-form", "component:common-fork", "component:form-0"];
    let catalog = Snapshot::build(entities.map(|it| stored(it, &[])), &[], 1);
    for (typed, name) in [("cornrnon-forrn", "common-form"), ("form-O", "form-0")] {
        let Resolution::Unknown(closest) = catalog.resolve(typed, &[]) else {
            panic!("{typed} was taken for a name")
        };
        assert_eq!(closest.first().map(|it| it.reference.name()), Some(name), "{typed}");
        assert!(catalog.confusable_with(typed).is_none());
    }
}

#[test]
fn a_search_takes_words_their_beginnings_and_slips() {
    let shop = shop();
    let found = |typed: &str| -> Vec<String> {
        let (found, total) = shop.search(typed, &Filter::default(), 0, 10);
        assert_eq!(found.len(), total);
        found.iter().map(|it| it.reference.to_string()).collect()
    };
    assert_eq!(found("checkout"), ["component:default/checkout"]);
    assert_eq!(found("mob"), ["component:default/mobile"]);
    assert_eq!(found("chekout"), ["component:default/checkout"]);
    assert_eq!(found("payment api"), ["component:default/payment-api"]);
    assert_eq!(found("nothing-like-it"), Vec::<String>::new());
    assert_eq!(found("%_'\"\\").len(), shop.len());
}

#[test]
fn a_channel_has_its_team() {
    let shop = shop();
    let in_channel: Vec<&str> =
        shop.in_channel("C1", Some("pay")).iter().map(|it| it.reference.as_str()).collect();
    assert_eq!(in_channel, ["group:default/pay"]);
}

#[test]
fn the_next_snapshot_differs_by_what_changed_alone() {
    let shop = shop();
    let changed = vec![
        stored("component:mobile", &["dependsOn component:payment-api"]),
        stored("component:new", &[]),
    ];
    let removed = [EntityRef::new("component", "default", "checkout")];
    let next = shop.next(changed, &removed, &[], 8);
    assert_eq!((next.revision().number, next.len()), (8, shop.len()));
    assert!(next.find("component:default/checkout").is_none());
    assert!(matches!(next.resolve("new", &[]), Resolution::One(_)));
    assert!(matches!(next.resolve("the till", &[]), Resolution::Unknown(_)));
    let payment_api = one(&next, "component:default/payment-api");
    let reach = next.dependents(payment_api, &Filter::default(), 0, 10);
    assert_eq!(names(&reach), ["1 component:default/mobile"]);
}

#[test]
fn the_copy_on_disk_is_read_back_and_a_damaged_one_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog");
    assert!(disk::read(&path).unwrap().is_none());
    let at = DateTime::from_timestamp_millis(1_700_000_000_123).unwrap();
    disk::write(&path, &shop(), at).unwrap();
    let copy = disk::read(&path).unwrap().unwrap();
    assert_eq!(copy.confirmed_at, at);
    assert_eq!(copy.snapshot.len(), shop().len());
    assert!(matches!(copy.snapshot.resolve("the till", &[]), Resolution::One(_)));
    let good = std::fs::read(&path).unwrap();
    for cut in 0..good.len() {
        std::fs::write(&path, &good[..cut]).unwrap();
        assert!(disk::read(&path).is_err(), "cut at {cut}");
    }
    for at in 0..good.len() {
        let mut damaged = good.clone();
        damaged[at] ^= 0x40;
        std::fs::write(&path, &damaged).unwrap();
        assert!(disk::read(&path).is_err(), "damaged at {at}");
    }
}

/// `edges` are (who, on whom): dependencies among components `c0`, `c1`, ….
fn depending(count: usize, edges: &[(usize, usize)]) -> Snapshot {
    let mut said: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (who, on) in edges {
        said.entry(*who).or_default().push(format!("dependsOn component:c{on}"));
    }
    let entities = (0..count).map(|number| {
        let said: Vec<&str> = said.get(&number).into_iter().flatten().map(String::as_str).collect();
        stored(&format!("component:c{number}"), &said)
    });
    Snapshot::build(entities, &[], 1)
}

/// The plainest way to say it.
fn distances(edges: &[(usize, usize)], to: usize) -> HashMap<String, u32> {
    let mut distances = HashMap::new();
    let mut seen = HashSet::from([to]);
    let mut waiting = VecDeque::from([(to, 0)]);
    while let Some((at, distance)) = waiting.pop_front() {
        for (who, on) in edges {
            if *on == at && seen.insert(*who) {
                distances.insert(format!("c{who}"), distance + 1);
                waiting.push_back((*who, distance + 1));
            }
        }
    }
    distances
}

proptest! {
    #[test]
    fn dependents_are_those_of_the_plainest_walk(
        edges in proptest::collection::vec((0..12_usize, 0..12_usize), 0..40),
        to in 0..12_usize,
    ) {
        let snapshot = depending(12, &edges);
        let entity = snapshot.find(&format!("component:default/c{to}")).unwrap();
        let reach = snapshot.dependents(entity, &Filter::default(), 0, usize::MAX);
        let expected = distances(&edges, to);
        prop_assert_eq!(reach.total, expected.len());
        prop_assert_eq!(snapshot.direct_dependents(entity), reach.direct);
        let mut last = 0;
        for reached in &reach.page {
            prop_assert_eq!(expected.get(&*reached.entity.name), Some(&reached.depth));
            prop_assert_eq!(reached.path.len() as u32, reached.depth + 1);
            prop_assert!(last <= reached.depth);
            last = reached.depth;
        }
        let page = snapshot.dependents(entity, &Filter::default(), 1, 2).page;
        let same: Vec<&str> = reach.page.iter().skip(1).take(2).map(|it| &*it.entity.name).collect();
        prop_assert_eq!(page.iter().map(|it| &*it.entity.name).collect::<Vec<&str>>(), same);
    }
}

#[test]
fn a_chain_and_a_fan_of_a_hundred_thousand_are_walked() {
    let many = 100_000;
    let chain: Vec<(usize, usize)> = (1..many).map(|it| (it, it - 1)).collect();
    let snapshot = depending(many, &chain);
    let first = snapshot.find("component:default/c0").unwrap();
    let reach = snapshot.dependents(first, &Filter::default(), many - 2, 1);
    assert_eq!((reach.total, reach.direct, reach.page[0].depth), (many - 1, 1, many as u32 - 1));

    let fan: Vec<(usize, usize)> = (1..many).map(|it| (it, 0)).collect();
    let snapshot = depending(many, &fan);
    let hub = snapshot.find("component:default/c0").unwrap();
    let reach = snapshot.dependents(hub, &Filter::default(), 0, 5);
    assert_eq!((reach.total, reach.direct, reach.page.len()), (many - 1, many - 1, 5));
}

/// References that the changes below are about; two of one name, and one that nobody describes.
const CHANGING: [&str; 8] = [
    "component:a",
    "api:b",
    "resource:c",
    "system:d",
    "group:e",
    "component:f",
    "resource:f",
    "component:nobody",
];

/// What an entity says anew; `None` when it goes.
type Said = Option<(Vec<(usize, usize, bool)>, Option<&'static str>)>;

/// So many that a few changes do not make the next snapshot from scratch, and many changes do.
fn unchanging() -> Vec<StoredEntity> {
    (0..120)
        .map(|it| stored(&format!("component:still{it}"), &["dependsOn ?component:f"]))
        .collect()
}

fn changing(reference: &str, said: &Said) -> Option<StoredEntity> {
    let (relations, title) = said.as_ref()?;
    let relations = relations.iter().map(|(kind, target, bare)| {
        let kind = RelationKind::ALL[*kind].word();
        let target = CHANGING[*target];
        match bare {
            true => format!("{kind} ?component:{}", target.split(':').nth(1).unwrap()),
            false => format!("{kind} {target}"),
        }
    });
    let relations: Vec<String> = relations.collect();
    let entity = stored(reference, &relations.iter().map(String::as_str).collect::<Vec<_>>());
    let Some(title) = title else { return Some(entity) };
    let metadata = serde_json::json!({
        "title": title,
        "description": format!("it is {title}"),
        "annotations": {"slack.com/channel": title},
    });
    Some(with_metadata(entity, metadata))
}

/// Everything that a catalog says when it is asked everything.
fn answers(snapshot: &Snapshot) -> Vec<String> {
    let references = |them: Vec<&Entity>| -> Vec<String> {
        them.iter().map(|it| it.reference.to_string()).collect()
    };
    let mut said = Vec::new();
    for entity in snapshot.entities() {
        said.push(format!("{entity:?} {:?}", snapshot.said_relations(entity)));
        for kind in RelationKind::ALL {
            let related = snapshot.related(entity, kind);
            let related: Vec<&EntityRef> = related.iter().map(Target::reference).collect();
            said.push(format!("{kind:?} {related:?}"));
        }
        for reach in [Snapshot::dependents, Snapshot::dependencies] {
            let Reach { page, total, direct, teams, missing } =
                reach(snapshot, entity, &Filter::default(), 0, usize::MAX);
            let page = page.iter().map(|it| (it.entity.reference.as_str(), it.depth));
            let teams = teams.iter().map(|(team, count)| (team.map(|it| it.reference()), count));
            let (page, teams) = (page.collect::<Vec<_>>(), teams.collect::<Vec<_>>());
            said.push(format!("{page:?} {total} {direct} {teams:?} {missing:?}"));
        }
    }
    for typed in ["a", "f", "still7", "stil7", "nobody", "Tills", "tils", "money", "it is", "s"] {
        let (found, total) = snapshot.search(typed, &Filter::default(), 0, 20);
        said.push(format!("{typed} {total} {:?}", references(found)));
        said.push(match snapshot.resolve(typed, &[]) {
            Resolution::One(it) => it.reference.to_string(),
            Resolution::Several(them) => format!("several {:?}", references(them)),
            Resolution::Unknown(closest) => format!("unknown {:?}", references(closest)),
        });
        said.push(format!("{:?}", references(snapshot.in_channel("C1", Some(typed)))));
    }
    let kind = Filter { kind: Some("component".into()), ..Filter::default() };
    said.push(format!("{:?}", references(snapshot.list(&kind, 0, usize::MAX).0)));
    said
}

fn saying() -> impl Strategy<Value = Said> {
    let relation = (0..RelationKind::ALL.len(), 0..CHANGING.len(), any::<bool>());
    let titles = prop_oneof![Just(None), Just(Some("Tills")), Just(Some("Money"))];
    proptest::option::weighted(0.75, (proptest::collection::vec(relation, 0..4), titles))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_next_snapshot_is_the_one_built_anew(
        steps in proptest::collection::vec(
            proptest::collection::btree_map(0..CHANGING.len() - 1, saying(), 1..4),
            1..8,
        ),
    ) {
        let mut snapshot = Snapshot::build(unchanging(), &[], 0);
        let mut current: BTreeMap<usize, StoredEntity> = BTreeMap::new();
        for step in steps {
            let mut changed = Vec::new();
            let mut removed = Vec::new();
            for (number, said) in step {
                match changing(CHANGING[number], &said) {
                    Some(entity) => {
                        current.insert(number, entity.clone());
                        changed.push(entity);
                    }
                    None if current.remove(&number).is_some() => {
                        removed.push(EntityRef::parse(CHANGING[number], None, "default").unwrap());
                    }
                    None => {}
                }
            }
            snapshot = snapshot.next(changed, &removed, &[], 0);
            let all = unchanging().into_iter().chain(current.values().cloned());
            let anew = Snapshot::build(all.collect::<Vec<_>>(), &[], 0);
            prop_assert_eq!(answers(&snapshot), answers(&anew));
        }
    }
}
