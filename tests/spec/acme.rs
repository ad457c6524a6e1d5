//! The sample portal: complete, sound, and with everything in it that the documentation shows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use idp::catalog::formats::backstage::read;
use idp::catalog::sources::file;
use idp::catalog::{Descriptor, Problem, RelationKind};
use idp::portal::Settings;

const PAYMENT_API: &str = "component:default/payment-api";

fn acme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/acme")
}

struct Acme {
    entities: BTreeMap<String, Descriptor>,
    problems: Vec<Problem>,
}

/// Every descriptor of the sample, read as a source reads them.
fn catalog() -> Acme {
    let root = acme().join("catalog").canonicalize().unwrap();
    let mut catalog = Acme { entities: BTreeMap::new(), problems: Vec::new() };
    for listed in file::list(&root, None).unwrap().files {
        let (text, _) = file::read(&root, &listed.name).unwrap();
        let placeholder = |path: &str| {
            let name = file::beside(&listed.name, path)?;
            String::from_utf8(file::read(&root, &name)?.0).map_err(|error| error.to_string())
        };
        let contents = read(&text, &listed.name, &placeholder);
        catalog.problems.extend(contents.problems);
        for descriptor in contents.descriptors {
            let reference = descriptor.reference.to_string();
            assert!(
                catalog.entities.insert(reference.clone(), descriptor).is_none(),
                "{reference}"
            );
        }
    }
    catalog
}

impl Acme {
    fn of_kind(&self, kind: &str) -> Vec<&Descriptor> {
        self.entities.values().filter(|it| it.kind == kind).collect()
    }

    /// What `reference` says it needs to work.
    fn needs(&self, reference: &str) -> BTreeSet<String> {
        let providers = |api: &str| -> Vec<String> {
            let provides = |it: &&Descriptor| {
                it.relations.iter().any(|relation| {
                    relation.kind == RelationKind::ProvidesApi && relation.target.as_str() == api
                })
            };
            self.entities.values().filter(provides).map(|it| it.reference.to_string()).collect()
        };
        let mut needs = BTreeSet::new();
        for relation in self.entities.get(reference).into_iter().flat_map(|it| &it.relations) {
            match relation.kind {
                RelationKind::DependsOn => needs.extend([relation.target.to_string()]),
                RelationKind::ConsumesApi => needs.extend(providers(relation.target.as_str())),
                _ => {}
            }
        }
        needs
    }

    /// What needs `reference`, directly; and what needs it through others.
    fn needed_by(&self, reference: &str) -> (BTreeSet<String>, BTreeSet<String>) {
        let direct = |of: &str| -> BTreeSet<String> {
            self.entities.keys().filter(|it| self.needs(it).contains(of)).cloned().collect()
        };
        let first = direct(reference);
        let mut all = first.clone();
        let mut waiting: Vec<String> = first.iter().cloned().collect();
        while let Some(next) = waiting.pop() {
            waiting.extend(direct(&next).into_iter().filter(|it| all.insert(it.clone())));
        }
        (first, all)
    }

    fn owners(&self, reference: &str) -> Vec<String> {
        let relations = &self.entities[reference].relations;
        let owned = relations.iter().filter(|it| it.kind == RelationKind::OwnedBy);
        owned.map(|it| it.target.to_string()).collect()
    }
}

#[test]
fn the_sample_has_one_warning_on_purpose() {
    let told: Vec<String> = catalog()
        .problems
        .iter()
        .map(|it| format!("{} {:?} {}", it.file, it.severity, it.rule))
        .collect();
    assert_eq!(told, ["shop-front.yaml Warning bare-reference"]);
}

#[test]
fn the_sample_is_a_company_of_some_size() {
    let catalog = catalog();
    let counts: Vec<(&str, usize)> =
        ["Component", "API", "Resource", "System", "Domain", "User", "Location"]
            .map(|kind| (kind, catalog.of_kind(kind).len()))
            .into();
    assert_eq!(
        counts,
        [
            ("Component", 48),
            ("API", 13),
            ("Resource", 26),
            ("System", 8),
            ("Domain", 4),
            ("User", 30),
            ("Location", 1),
        ]
    );
    let types =
        |class: &str| catalog.of_kind("Group").iter().filter(|it| it.spec["type"] == class).count();
    assert_eq!(["company", "business-unit", "product-area", "team"].map(types), [1, 2, 4, 8]);
}

#[test]
fn everything_that_is_named_exists() {
    let catalog = catalog();
    for entity in catalog.entities.values() {
        for relation in entity.relations.iter().filter(|it| !it.bare) {
            assert!(
                catalog.entities.contains_key(relation.target.as_str()),
                "{} {} {}",
                entity.reference,
                relation.kind.word(),
                relation.target
            );
        }
    }
    let settings = Settings::load(&acme()).unwrap();
    assert_eq!(settings.aliases.len(), 2);
    for meant in settings.aliases.values() {
        assert!(catalog.entities.contains_key(meant.as_str()), "{meant}");
    }
}

#[test]
fn one_name_means_two_things_and_every_other_one() {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entity in catalog().entities.values() {
        let name = entity.reference.name().to_string();
        names.entry(name).or_default().push(entity.reference.kind().to_string());
    }
    names.retain(|_, kinds| kinds.len() > 1);
    let notifications = ("notifications".to_string(), vec!["api".into(), "component".into()]);
    assert_eq!(names, BTreeMap::from([notifications]));
}

#[test]
fn much_of_the_sample_waits_for_the_payment_api() {
    let catalog = catalog();
    let (direct, all) = catalog.needed_by(PAYMENT_API);
    for dependent in ["checkout", "orders", "refunds", "support-console"] {
        assert!(direct.contains(&format!("component:default/{dependent}")), "{dependent}");
    }
    assert!(all.len() > direct.len());
    let teams: BTreeSet<String> = all.iter().flat_map(|it| catalog.owners(it)).collect();
    assert!(teams.len() >= 5, "{teams:?}");
    let needs = catalog.needs(PAYMENT_API);
    for need in [
        "resource:default/payments-db",
        "component:default/ledger",
        "component:default/identity-service",
    ] {
        assert!(needs.contains(need), "{need}");
    }
    assert_eq!(catalog.owners(PAYMENT_API), ["group:default/payments"]);
}

#[test]
fn the_sample_has_hubs_a_circle_and_shared_ownership() {
    let catalog = catalog();
    let (direct, _) = catalog.needed_by("component:default/identity-service");
    assert!(direct.len() >= 15, "{}", direct.len());
    let (_, all) = catalog.needed_by("component:default/inventory");
    assert!(all.contains("component:default/inventory"), "inventory needs itself in the end");
    let shared = catalog.entities.keys().filter(|it| catalog.owners(it).len() > 1);
    assert_eq!(
        shared.collect::<Vec<_>>(),
        ["component:default/fraud-check", "component:default/promotions"]
    );
}

#[test]
fn the_payment_api_shows_what_a_scorecard_looks_for() {
    let catalog = catalog();
    let metadata = &catalog.entities[PAYMENT_API].metadata;
    assert_eq!(metadata["labels"]["tier"], "1");
    for annotation in ["backstage.io/techdocs-ref", "pagerduty.com/service-id", "argocd/app-name"] {
        assert!(metadata["annotations"][annotation].is_string(), "{annotation}");
    }
    let links = metadata["links"].as_array().unwrap();
    for class in ["documentation", "runbook", "dashboard"] {
        assert!(links.iter().any(|it| it["type"] == class), "{class}");
    }
}

#[test]
fn definitions_come_from_files_beside() {
    let catalog = catalog();
    let definition = |api: &str| catalog.entities[api].spec["definition"].as_str().unwrap();
    assert!(definition("api:default/payments-v1").contains("\"openapi\""));
    assert!(definition("api:default/shop-graphql").contains("type Query"));
}
