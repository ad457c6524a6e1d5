//! H2: catalogs of a shape that hurts: chains without end, hubs, cycles, what depends on itself. Whatever is asked about
//! them is answered in little time, and in one message that the platform takes.

use std::time::Duration;

use idp::app::App;
use idp::catalog::{Catalog, EntityRef, Place, Relation, RelationKind, Snapshot, StoredEntity};
use idp::chat::slack::outbound;
use idp::commands::CommandSet;
use idp::conversation::Way;
use idp::integrations::http::{Client, Policy};
use idp::vault::Key;

use crate::asking::{invocation, open};
use crate::hostile_files::worked;
use crate::scale::at_full;
use crate::slack_judge::over_a_limit;

/// Code that is not optimised takes several times as long.
const TIME_MAX: Duration = Duration::from_millis(if cfg!(debug_assertions) { 3_000 } else { 300 });

/// `kind:name`, and what it says of whom.
fn entity(reference: &str, said: Vec<(RelationKind, String)>) -> StoredEntity {
    let reference = EntityRef::parse(reference, None, "default").unwrap();
    let (kind, name) = (reference.kind(), reference.name());
    let target = |target: &str| EntityRef::parse(target, None, "default").unwrap();
    StoredEntity {
        body: format!(r#"{{"kind":"{kind}","metadata":{{"name":"{name}"}},"spec":{{}}}}"#).into(),
        relations: said
            .into_iter()
            .map(|(kind, to)| Relation { kind, target: target(&to), bare: false })
            .collect(),
        place: Place { source: "s".into(), file: "f".into(), document: 0, line: 1 },
        orphaned_at: None,
        reference,
    }
}

/// `count` entities in each shape: a chain from `link-0` down, a cycle, and around `hub` whatever an entity can have many of.
fn catalog(count: usize) -> Snapshot {
    use RelationKind::{DependsOn, MemberOf, OwnedBy, PartOf};
    let component = |name: String| format!("component:{name}");
    let mut entities = vec![
        entity("component:narcissus", vec![(DependsOn, component("narcissus".into()))]),
        entity("component:hub", Vec::new()),
        entity("group:crowd", Vec::new()),
        entity("system:heap", Vec::new()),
    ];
    let spread = (0..count).map(|it| (DependsOn, component(format!("spoke-{it}"))));
    entities.push(entity("component:spider", spread.collect()));
    for number in 0..count {
        let next = number + 1;
        let below = match next == count {
            true => Vec::new(),
            false => vec![(DependsOn, component(format!("link-{next}")))],
        };
        entities.push(entity(&format!("component:link-{number}"), below));
        let round = component(format!("round-{}", next % count));
        entities.push(entity(&format!("component:round-{number}"), vec![(DependsOn, round)]));
        let spoke = vec![
            (DependsOn, component("hub".into())),
            (OwnedBy, "group:crowd".into()),
            (PartOf, "system:heap".into()),
        ];
        entities.push(entity(&format!("component:spoke-{number}"), spoke));
        let membership = vec![(MemberOf, "group:crowd".into())];
        entities.push(entity(&format!("user:member-{number}"), membership));
    }
    Snapshot::build(entities, &[], 1)
}

#[tokio::test]
#[cfg_attr(not(target_os = "linux"), ignore = "time is measured through /proc")]
async fn no_shape_of_a_catalog_makes_an_answer_late_or_long() {
    let count = at_full(100_000);
    let last = count - 1;
    let catalog = Catalog::new(catalog(count));
    let http = Client::new(Policy::default());
    let app = App::new(catalog, CommandSet::built_in(), open(), None, http, Key::random());
    let mut questions = vec![
        format!("path link-0 link-{last}"),
        format!("path link-{last} link-0"),
        format!("path round-1 round-0"),
        "path narcissus narcissus".to_string(),
        format!("list components --page {}", last.div_ceil(15)),
        "find spoke".to_string(),
        "find link-0".to_string(),
    ];
    let named = ["narcissus", "hub", "crowd", "heap", "spider", "link-0", "round-0", "spoke-0"];
    for name in named.into_iter().map(String::from).chain([format!("link-{last}")]) {
        for command in ["owner", "show", "dependents", "dependencies"] {
            questions.push(format!("{command} {name}"));
        }
        // The last page has the longest ways.
        for command in ["dependents", "dependencies"] {
            questions.push(format!("{command} {name} --page {}", last.div_ceil(15)));
        }
    }
    let mut slowest = (Duration::ZERO, "");
    for question in &questions {
        let began = worked();
        let reply = app.answer(Way::Command, invocation(question)).await;
        let took = worked() - began;
        assert!(reply.refusal.is_none(), "{question}: {}", reply.markdown);
        over_a_limit(&outbound::message(&reply).unwrap()).unwrap();
        slowest = slowest.max((took, question));
    }
    let said = async |question: &str| app.answer(Way::Command, invocation(question)).await.markdown;
    let end = said(&format!("path link-0 link-{last}")).await;
    assert!(end.contains(&format!("in {last} steps")), "{end}");
    let hub = said("dependents hub").await;
    assert!(hub.contains(&format!("{} depend on", count + 1)), "{hub}");
    let round = said("dependents round-0").await;
    assert!(round.contains(&format!("{last} depend on")), "{round}");
    let narcissus = said("dependents narcissus").await;
    assert!(narcissus.contains("Nothing depends on"), "{narcissus}");
    println!(
        "REL H2 {} questions about chains, cycles and hubs of {count}; the slowest took {:?} ({})",
        questions.len(),
        slowest.0,
        slowest.1
    );
    assert!(slowest.0 <= TIME_MAX, "{slowest:?}");
}
