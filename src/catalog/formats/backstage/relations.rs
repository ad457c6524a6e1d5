//! What a document says about its relations to others.

use std::collections::HashSet;

use super::findings::{Findings, quoted};
use super::kinds::{Field, Relates};
use super::rule::Rule;
use crate::catalog::formats::yaml::{Content, Node, Position};
use crate::catalog::{EntityRef, ReferenceError, Relation};

/// The outgoing relations of the entity `own`, each once, in the order of `fields`.
///
/// An entity that names itself is at both ends, so it has the relation and its inverse. Values of another shape than a text or a list of texts are passed over: [`super::shape`] tells of them.
pub fn relations(
    fields: &[Field],
    spec: &Node,
    own: &EntityRef,
    findings: &mut Findings<'_>,
) -> Vec<Relation> {
    let namespace = own.namespace();
    let mut relations: Vec<Relation> = Vec::new();
    for field in fields {
        let (Some(relates), Some(entry)) = (field.relation, spec.entry(field.name)) else {
            continue;
        };
        match &entry.value.content {
            Content::Text(text) => {
                relations.extend(relation(relates, text, entry.value.at, namespace, findings));
            }
            Content::List(items) => {
                for item in items {
                    let Some(text) = item.text() else { continue };
                    relations.extend(relation(relates, text, item.at, namespace, findings));
                }
            }
            _ => {}
        }
    }
    let inverse_of_own: Vec<Relation> = relations
        .iter()
        .filter(|relation| relation.target == *own)
        .map(|relation| Relation { kind: relation.kind.inverse(), ..relation.clone() })
        .collect();
    relations.extend(inverse_of_own);
    let mut seen = HashSet::with_capacity(relations.len());
    relations.retain(|relation| seen.insert(relation.clone()));
    relations
}

fn relation(
    relates: Relates,
    text: &str,
    at: Position,
    namespace: &str,
    findings: &mut Findings<'_>,
) -> Option<Relation> {
    match EntityRef::parse(text, relates.default_kind, namespace) {
        // `shape` tells of it.
        _ if text.is_empty() => None,
        Ok(target) => Some(Relation { kind: relates.by, target, bare: false }),
        Err(ReferenceError::NoKind { .. }) => {
            let name = quoted(text);
            findings.add(
                Rule::BareReference,
                at,
                format!("`{name}` names no kind, and this field has no default one."),
                format!(
                    "Write `component:{name}`, `resource:{name}` or `api:{name}`; until then the first that exists is meant."
                ),
            );
            let target = EntityRef::parse(text, Some("component"), namespace).ok()?;
            Some(Relation { kind: relates.by, target, bare: true })
        }
        Err(ReferenceError::Malformed { .. }) => {
            findings.add(
                Rule::Reference,
                at,
                format!("`{}` is no reference to an entity.", quoted(text)),
                "Write `[kind:][namespace/]name`, for example `component:default/payment-api`.",
            );
            None
        }
    }
}
