//! What a receiver is sent: its key and tokens, and what of the catalog its texts may name.

pub mod flow;

use serde_json::{Map, Value, json};

use crate::actions::Request;
use crate::catalog::{EntityRef, Snapshot};
use crate::integrations::invocation;
use crate::vault::Key;

/// What a token is for.
pub const REDEEM: &str = "redeem";
pub const CALLBACK: &str = "callback";

/// What a key toward the receiver of a step is computed from, at the time `run` of trying it: 0 is the first.
pub(super) fn parts(request: &Request, number: i16, run: i16) -> Vec<Vec<u8>> {
    let mut parts = vec![
        request.nonce.as_bytes().to_vec(),
        request.id.to_be_bytes().to_vec(),
        request.intent.clone(),
        number.to_be_bytes().to_vec(),
    ];
    parts.extend((run > 0).then(|| run.to_be_bytes().to_vec()));
    parts
}

/// What nobody but this instance can make: it names the request and the step, and is good for `what` alone.
pub fn token(key: &Key, what: &str, request: &Request, number: i16) -> String {
    token_of_run(key, what, request, number, 0)
}

/// As [`token`], of the time `run` of trying the step.
pub(super) fn token_of_run(
    key: &Key,
    what: &str,
    request: &Request,
    number: i16,
    run: i16,
) -> String {
    let parts = parts(request, number, run);
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    format!("{}-{number}-{}", request.id, hex::encode(key.mac(what, &parts)))
}

/// What of the catalog a receiver's texts may name.
pub fn target(reference: &EntityRef, snapshot: &Snapshot) -> invocation::Target {
    let mut values = Map::new();
    values.insert("ref".into(), json!(reference.as_str()));
    values.insert("kind".into(), json!(reference.kind()));
    values.insert("namespace".into(), json!(reference.namespace()));
    values.insert("name".into(), json!(reference.name()));
    if let Some(entity) = snapshot.find(reference.as_str()) {
        values.insert("kind".into(), json!(entity.kind));
        values.insert("name".into(), json!(entity.name));
        let mut set = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                values.insert(name.into(), json!(value));
            }
        };
        set("title", entity.title.as_deref());
        set("type", entity.class.as_deref());
        set("lifecycle", entity.lifecycle.as_deref());
        set("tier", entity.tier.as_deref());
        let body = snapshot.body(entity);
        set("owner", body["spec"]["owner"].as_str());
        set("system", body["spec"]["system"].as_str());
        for key in ["annotations", "labels"] {
            if let Some(map) = body["metadata"][key].as_object() {
                values.insert(key.into(), Value::Object(map.clone()));
            }
        }
    }
    invocation::Target { reference: reference.to_string(), values }
}
