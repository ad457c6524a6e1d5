//! An entity as `idp catalog export` prints it.

use serde_json::{Value, json};

use super::{Entity, Snapshot};

/// One line: `{"ref","kind","metadata","spec","relations","source"}`.
///
/// `relations` are those that the entity's own document says, `"ownedBy group:default/payments"`.
pub fn line(snapshot: &Snapshot, entity: &Entity) -> Value {
    let mut body = snapshot.body(entity);
    let relations = snapshot.said_relations(entity).into_iter();
    let relations: Vec<String> =
        relations.map(|(kind, target)| format!("{} {target}", kind.word())).collect();
    json!({
        "ref": entity.reference,
        "kind": entity.kind,
        "metadata": body["metadata"].take(),
        "spec": body["spec"].take(),
        "relations": relations,
        "source": { "file": entity.place.file, "document": entity.place.document },
    })
}
