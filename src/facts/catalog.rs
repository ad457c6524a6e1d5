//! What the catalog itself says of an entity, in the shape that rules read.
//!
//! Nothing in it is `null`: a text that nobody wrote is `""`, a list `[]`. So a rule that asks for it has an answer,
//! and is not unknown.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Kind;
use crate::catalog::snapshot::Target;
use crate::catalog::{Entity, RelationKind, Snapshot};

/// Annotations that say where the documentation of an entity is.
const DOCS: [&str; 2] = ["backstage.io/techdocs-ref", "backstage.io/techdocs-entity"];

/// What [`describe`] gives.
///
/// References and kinds are canonical, all lower case; the rest is as written.
pub fn kind() -> Kind {
    let named = [("ref", Kind::Text), ("known", Kind::Bool)];
    let link =
        [("title", Kind::Text), ("url", Kind::Text), ("type", Kind::Text), ("icon", Kind::Text)];
    Kind::Record(vec![
        ("ref", Kind::Text),
        ("kind", Kind::Text),
        ("name", Kind::Text),
        ("title", Kind::Text),
        ("description", Kind::Text),
        ("type", Kind::Text),
        ("lifecycle", Kind::Text),
        ("tier", Kind::Text),
        ("system", Kind::Text),
        ("tags", Kind::list(Kind::Text)),
        ("labels", Kind::map(Kind::Text)),
        ("annotations", Kind::map(Kind::Text)),
        ("links", Kind::list(Kind::Record(link.into()))),
        (
            "owners",
            Kind::list(Kind::Record(vec![
                ("ref", Kind::Text),
                ("kind", Kind::Text),
                ("known", Kind::Bool),
                ("members", Kind::Number),
            ])),
        ),
        (
            "depends_on",
            Kind::list(Kind::Record(vec![
                ("ref", Kind::Text),
                ("kind", Kind::Text),
                ("name", Kind::Text),
                ("known", Kind::Bool),
                ("orphaned", Kind::Bool),
                ("lifecycle", Kind::Text),
                ("tier", Kind::Text),
                ("owners", Kind::Number),
            ])),
        ),
        ("dependents", Kind::Number),
        ("provides", Kind::list(Kind::Record(named.clone().into()))),
        ("consumes", Kind::list(Kind::Record(named.into()))),
        ("on_call", Kind::Text),
        ("docs", Kind::Bool),
        ("channels", Kind::list(Kind::Text)),
        ("orphaned", Kind::Bool),
    ])
}

/// What the catalog says of `entity`, of the kind of [`kind`].
///
/// - `system` is the reference of the first system that it is part of.
/// - `links` are those of its document; what has no address is left out.
/// - `members` of an owner are its own people, not those of the teams below it.
/// - `dependents` counts the direct ones, those that `dependents` answers with.
/// - `on_call` is what its annotations, or else those of its first owner that has any, say whom to ask.
/// - `docs` is whether an annotation of TechDocs says where its documentation is.
pub fn describe(snapshot: &Snapshot, entity: &Entity) -> Value {
    let mut metadata = metadata(entity);
    let annotations = texts_by_name(metadata.remove("annotations"));
    let docs = DOCS.iter().any(|name| annotations.contains_key(*name));
    let related = |kind| snapshot.related(entity, kind);
    let wholes = related(RelationKind::PartOf);
    let system = wholes.iter().find(|whole| whole.reference().kind() == "system");
    object([
        ("ref", text(entity.reference.as_str())),
        ("kind", text(entity.reference.kind())),
        ("name", text(&entity.name)),
        ("title", text(entity.title.as_deref().unwrap_or_default())),
        ("description", text(entity.description.as_deref().unwrap_or_default())),
        ("type", text(entity.class.as_deref().unwrap_or_default())),
        ("lifecycle", text(entity.lifecycle.as_deref().unwrap_or_default())),
        ("tier", text(entity.tier.as_deref().unwrap_or_default())),
        ("system", text(system.map_or("", |system| system.reference().as_str()))),
        ("tags", metadata.remove("tags").map(texts).unwrap_or_default().into()),
        ("labels", texts_by_name(metadata.remove("labels")).into()),
        ("annotations", annotations.into()),
        ("links", metadata.remove("links").map(links).unwrap_or_default().into()),
        ("owners", each(related(RelationKind::OwnedBy), |it| owner(snapshot, it))),
        ("depends_on", each(related(RelationKind::DependsOn), |it| dependency(snapshot, it))),
        ("dependents", snapshot.direct_dependents(entity).into()),
        ("provides", each(related(RelationKind::ProvidesApi), named)),
        ("consumes", each(related(RelationKind::ConsumesApi), named)),
        ("on_call", text(snapshot.on_call_of(entity).unwrap_or_default())),
        ("docs", docs.into()),
        ("channels", snapshot.channels_of(entity).map(text).collect()),
        ("orphaned", entity.orphaned.into()),
    ])
}

/// The one part of the body that has more than the snapshot; the rest of it is passed over.
fn metadata(entity: &Entity) -> Map<String, Value> {
    #[derive(Deserialize)]
    struct Body {
        metadata: Map<String, Value>,
    }
    serde_json::from_str::<Body>(&entity.body).map(|body| body.metadata).unwrap_or_default()
}

fn owner(snapshot: &Snapshot, owner: Target<'_>) -> Value {
    let members = match owner {
        Target::Known(team) => snapshot.count_related(team, RelationKind::HasMember),
        Target::Missing(_) => 0,
    };
    object([
        ("ref", text(owner.reference().as_str())),
        ("kind", text(owner.reference().kind())),
        ("known", is_known(owner).into()),
        ("members", members.into()),
    ])
}

fn dependency(snapshot: &Snapshot, needed: Target<'_>) -> Value {
    let entity = match needed {
        Target::Known(entity) => Some(entity),
        Target::Missing(_) => None,
    };
    let owners = entity.map_or(0, |it| snapshot.count_related(it, RelationKind::OwnedBy));
    object([
        ("ref", text(needed.reference().as_str())),
        ("kind", text(needed.reference().kind())),
        ("name", text(needed.name())),
        ("known", is_known(needed).into()),
        ("orphaned", entity.is_some_and(|it| it.orphaned).into()),
        ("lifecycle", text(entity.and_then(|it| it.lifecycle.as_deref()).unwrap_or_default())),
        ("tier", text(entity.and_then(|it| it.tier.as_deref()).unwrap_or_default())),
        ("owners", owners.into()),
    ])
}

fn named(target: Target<'_>) -> Value {
    object([("ref", text(target.reference().as_str())), ("known", is_known(target).into())])
}

fn is_known(target: Target<'_>) -> bool {
    matches!(target, Target::Known(_))
}

fn links(links: Value) -> Vec<Value> {
    let Value::Array(links) = links else { return Vec::new() };
    let links = links.into_iter().filter_map(|link| {
        let Value::Object(mut link) = link else { return None };
        let mut part = |name| link.remove(name).and_then(as_text);
        let url = part("url").filter(|url| !url.trim().is_empty())?;
        Some(object([
            ("title", part("title").unwrap_or_default().into()),
            ("url", url.into()),
            ("type", part("type").unwrap_or_default().into()),
            ("icon", part("icon").unwrap_or_default().into()),
        ]))
    });
    links.collect()
}

/// What of `values` is text or can be written as one.
fn texts(values: Value) -> Vec<Value> {
    let Value::Array(values) = values else { return Vec::new() };
    values.into_iter().filter_map(as_text).map(Value::String).collect()
}

/// The same of labels or annotations.
fn texts_by_name(values: Option<Value>) -> Map<String, Value> {
    let Some(Value::Object(mut values)) = values else { return Map::new() };
    for value in values.values_mut() {
        *value = as_text(value.take()).map_or(Value::Null, Value::String);
    }
    values.retain(|_, value| !value.is_null());
    values
}

/// A number or a boolean is the text that was meant.
fn as_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(it) => Some(it.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn text(text: &str) -> Value {
    Value::String(text.to_string())
}

fn each(targets: Vec<Target<'_>>, say: impl Fn(Target<'_>) -> Value) -> Value {
    targets.into_iter().map(say).collect()
}

fn object<const FIELDS: usize>(fields: [(&'static str, Value); FIELDS]) -> Value {
    let mut object = Map::with_capacity(FIELDS);
    object.extend(fields.map(|(name, value)| (name.to_string(), value)));
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;
    use crate::catalog::snapshot::Filter;
    use crate::catalog::{EntityRef, Place, Relation, StoredEntity};

    fn stored(reference: &str, said: &[(RelationKind, &str)], rest: Value) -> StoredEntity {
        let reference = EntityRef::parse(reference, None, "default").unwrap();
        let mut metadata = json!({ "name": reference.name() });
        metadata
            .as_object_mut()
            .unwrap()
            .extend(rest["metadata"].as_object().cloned().unwrap_or_default());
        let relations = said.iter().map(|(kind, target)| Relation {
            kind: *kind,
            target: EntityRef::parse(target, None, "default").unwrap(),
            bare: false,
        });
        StoredEntity {
            relations: relations.collect(),
            body: json!({ "kind": "Component", "metadata": metadata, "spec": rest["spec"] })
                .to_string()
                .into(),
            place: Place { source: "s".into(), file: "f".into(), document: 0, line: 1 },
            orphaned_at: rest["orphaned"].as_bool().and_then(|_| DateTime::from_timestamp(0, 0)),
            reference,
        }
    }

    fn shop() -> Snapshot {
        use RelationKind::*;
        let entities = vec![
            stored(
                "component:payment-api",
                &[
                    (OwnedBy, "group:pay"),
                    (OwnedBy, "group:gone"),
                    (ProvidesApi, "api:payments"),
                    (DependsOn, "resource:db"),
                    (DependsOn, "component:lost"),
                    (PartOf, "system:money"),
                ],
                json!({
                    "metadata": {
                        "title": "Payment API", "description": "Takes money.",
                        "tags": ["pci", 7, null], "labels": { "tier": 1, "odd": [] },
                        "annotations": { "backstage.io/techdocs-ref": "dir:.", "slack.com/channel": "#pay" },
                        "links": [{ "url": "https://wiki.example/a", "type": "runbook" }, { "title": "no address" }],
                    },
                    "spec": { "type": "service", "lifecycle": "production" },
                }),
            ),
            stored("component:till", &[(ConsumesApi, "api:payments")], json!({})),
            stored("resource:db", &[(OwnedBy, "group:pay")], json!({ "orphaned": true })),
            stored("api:payments", &[], json!({})),
            stored(
                "group:pay",
                &[(HasMember, "user:a")],
                json!({ "metadata": { "annotations": { "pagerduty.com/schedule-id": "P1" } } }),
            ),
            stored("user:b", &[(MemberOf, "group:pay")], json!({})),
            stored("system:money", &[], json!({})),
        ];
        Snapshot::build(entities, &[], 1)
    }

    fn described(snapshot: &Snapshot, reference: &str) -> Value {
        describe(snapshot, snapshot.find(reference).unwrap())
    }

    #[test]
    fn an_entity_is_described_with_what_it_is_related_to() {
        let payment_api = described(&shop(), "component:default/payment-api");
        let expected = json!({
            "ref": "component:default/payment-api", "kind": "component", "name": "payment-api",
            "title": "Payment API", "description": "Takes money.", "type": "service",
            "lifecycle": "production", "tier": "1", "system": "system:default/money",
            "tags": ["pci", "7"], "labels": { "tier": "1" },
            "annotations": { "backstage.io/techdocs-ref": "dir:.", "slack.com/channel": "#pay" },
            "links": [{ "title": "", "url": "https://wiki.example/a", "type": "runbook", "icon": "" }],
            "owners": [
                { "ref": "group:default/gone", "kind": "group", "known": false, "members": 0 },
                { "ref": "group:default/pay", "kind": "group", "known": true, "members": 2 },
            ],
            "depends_on": [
                { "ref": "component:default/lost", "kind": "component", "name": "lost", "known": false,
                  "orphaned": false, "lifecycle": "", "tier": "", "owners": 0 },
                { "ref": "resource:default/db", "kind": "resource", "name": "db", "known": true,
                  "orphaned": true, "lifecycle": "", "tier": "", "owners": 1 },
            ],
            "dependents": 1,
            "provides": [{ "ref": "api:default/payments", "known": true }],
            "consumes": [], "on_call": "P1", "docs": true, "channels": ["pay"], "orphaned": false,
        });
        assert_eq!(payment_api, expected);
    }

    #[test]
    fn every_field_is_there_and_of_its_kind() {
        let shop = shop();
        for entity in shop.entities() {
            let described = describe(&shop, entity);
            assert_eq!(mistake(&described, &kind()), None, "{described:#}");
        }
        let all = described(&shop, "component:default/payment-api");
        for list in ["tags", "links", "owners", "depends_on", "provides", "channels"] {
            assert_ne!(all[list], json!([]), "{list} is looked into");
        }
    }

    #[test]
    fn a_field_of_another_kind_is_noticed() {
        let shop = shop();
        let mut described = described(&shop, "component:default/payment-api");
        described["owners"][0]["members"] = Value::Null;
        assert_eq!(mistake(&described, &kind()).as_deref(), Some(".owners[].members is null"));
        described["owners"] = json!([{}]);
        assert_eq!(mistake(&described, &kind()).as_deref(), Some(".owners[] has no ref"));
    }

    #[test]
    fn direct_dependents_are_those_of_the_lookup() {
        let shop = shop();
        for entity in shop.entities() {
            let reach = shop.dependents(entity, &Filter::default(), 0, 10);
            assert_eq!(shop.direct_dependents(entity), reach.direct, "{}", entity.reference);
        }
    }

    /// What in `value` is not of `kind`; `None` when all of it is.
    fn mistake(value: &Value, kind: &Kind) -> Option<String> {
        match (kind, value) {
            (Kind::Bool, Value::Bool(_))
            | (Kind::Number, Value::Number(_))
            | (Kind::Text, Value::String(_)) => None,
            (Kind::List(of), Value::Array(items)) => {
                items.iter().find_map(|item| Some(format!("[]{}", mistake(item, of)?)))
            }
            (Kind::Map(of), Value::Object(fields)) => {
                fields.iter().find_map(|(name, it)| Some(format!(".{name}{}", mistake(it, of)?)))
            }
            (Kind::Record(fields), Value::Object(values)) => {
                let unheard = values.keys().find(|name| fields.iter().all(|(it, _)| it != name));
                if let Some(name) = unheard {
                    return Some(format!(" has {name} besides"));
                }
                fields.iter().find_map(|(name, kind)| match values.get(*name) {
                    None => Some(format!(" has no {name}")),
                    Some(value) => Some(format!(".{name}{}", mistake(value, kind)?)),
                })
            }
            (_, other) => Some(format!(" is {other}")),
        }
    }
}
