//! Making the order of a step.

use std::collections::BTreeSet;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::{CALLBACK, REDEEM, parts, target, token_of_run};
use crate::actions::dispatch::flow::Office;
use crate::actions::dispatch::store::StepRow;
use crate::actions::flow::SECRETS;
use crate::actions::store as requests;
use crate::actions::{Action, Request};
use crate::integrations::invocation::{Class, Order};

/// What a receiver is to do for a step: the same at each try.
pub async fn order(
    office: &Office,
    request: &Request,
    action: &Action,
    place: usize,
    rows: &[StepRow],
) -> anyhow::Result<Order> {
    let mut connection = office.db.acquire().await?;
    let sealed = requests::secrets(&mut connection, request.id).await?;
    drop(connection);
    let mut inputs = request.inputs.clone();
    let mut secret_inputs = BTreeSet::new();
    for (name, sealed) in sealed {
        let opened = office.key.open(SECRETS, name.as_bytes(), &sealed);
        let opened = opened.context("a secret of a request cannot be opened with this key")?;
        let text =
            String::from_utf8(opened.expose_secret().to_vec()).context("a secret is no text")?;
        inputs.insert(name.clone(), Value::String(text));
        secret_inputs.insert(name);
    }
    let outputs: Map<String, Value> = action
        .steps
        .iter()
        .zip(rows)
        .take(place)
        .map(|(step, row)| (step.name.clone(), Value::Object(row.outputs.clone())))
        .collect();
    let step = &action.steps[place];
    let row = &rows[place];
    let parts = parts(request, row.number, row.run);
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let pinned = request.pinned.get(&step.name).and_then(Value::as_object).cloned();
    let redeem = (step.receiver.class() == Class::Redeem).then(|| {
        SecretString::from(token_of_run(&office.key, REDEEM, request, row.number, row.run))
    });
    let base = office.public_url.as_ref();
    Ok(Order {
        key: hex::encode(office.key.mac("idempotency key", &parts)),
        request: request.id,
        step: step.name.clone(),
        intent: hex::encode(&request.intent),
        action: request.action.clone(),
        by: request.requester.to_string(),
        target: request.target.as_ref().map(|it| target(it, &office.snapshot)),
        inputs,
        secret_inputs,
        outputs,
        pinned: pinned.unwrap_or_default(),
        since: row.retried_at.unwrap_or(request.requested_at),
        callback: base.map(|base| {
            let base = base.trim_end_matches('/');
            let token = token_of_run(&office.key, CALLBACK, request, row.number, row.run);
            format!("{base}/api/v1/callbacks/{token}")
        }),
        redeem,
    })
}
