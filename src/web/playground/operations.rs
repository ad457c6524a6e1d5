//! Acme's operations: what the demo's actions are sent to. They check the signature, do each key once, and say how it goes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::time::sleep;

use super::{Here, Playground};
use crate::actions::ActionSet;
use crate::config::SecretReference;
use crate::integrations::invocation::Receiver;
use crate::integrations::invocation::template::Text;
use crate::integrations::webhook;
use crate::portal::Settings;

/// The host that Acme's actions name.
const HOST: &str = "https://ops.acme.example/";
/// The name of the secret that they sign with.
const SECRET: &str = "ops";
/// How long one of the instances takes.
const INSTANCE_TAKES: Duration = Duration::from_millis(700);
const INSTANCES: u32 = 3;
/// The most keys that are remembered.
const KEYS_MAX: usize = 10_000;

impl Playground {
    /// Writes the secret of Acme's operations to `dir`, and gives back what has a portal use them here.
    ///
    /// # Errors
    /// A directory that cannot be written to.
    pub fn operations(
        self: &Arc<Self>,
        dir: &Path,
    ) -> anyhow::Result<impl Fn(&mut Settings, &mut ActionSet) + Send + Sync + 'static> {
        let file = dir.join("operations-secret");
        std::fs::write(&file, self.secret.expose_secret())
            .with_context(|| format!("could not write {}", file.display()))?;
        let here = self.clone();
        Ok(move |settings: &mut Settings, actions: &mut ActionSet| {
            settings.secrets.insert(SECRET.into(), SecretReference::File(file.clone()));
            settings.allowed_hosts.push(here.address.to_string());
            settings.public_url = Some(format!("http://{}", here.address));
            let base = format!("{}operations/", here.url());
            for receiver in actions.receivers() {
                let Receiver::Webhook(webhook) = receiver else { continue };
                let path = webhook.url.as_literal().and_then(|it| it.strip_prefix(HOST));
                if let Some(Ok(url)) = path.map(|path| Text::read(&format!("{base}{path}"))) {
                    webhook.url = url;
                }
            }
        })
    }

    /// Whether a key is new.
    fn is_new(&self, key: &str) -> bool {
        let mut keys = self.keys.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if keys.len() >= KEYS_MAX {
            keys.clear();
        }
        keys.insert(key.to_string())
    }
}

/// Takes an order, and does it where its key is new.
pub async fn take(State(here): State<Here>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let (timestamp, shown) = (header("x-idp-timestamp"), header("x-idp-signature"));
    let text = String::from_utf8_lossy(&body);
    let signature = webhook::signature(&here.playground.secret, timestamp, &text);
    if !bool::from(signature.as_bytes().ct_eq(shown.as_bytes())) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Ok(order) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let key = header("idempotency-key");
    if here.playground.is_new(key) {
        tokio::spawn(work(
            here.clone(),
            order["callback"].as_str().unwrap_or_default().to_string(),
        ));
    }
    let reference = format!("job-{}", key.get(..8).unwrap_or_default());
    let started = json!({ "status": "started", "reference": reference });
    (StatusCode::ACCEPTED, Json(started)).into_response()
}

/// Restarts one instance after another, and says so.
async fn work(here: Here, callback: String) {
    for instance in 1..=INSTANCES {
        sleep(INSTANCE_TAKES).await;
        let note = format!("{instance} of {INSTANCES} instances");
        say(&here, &callback, &json!({ "status": "running", "note": note })).await;
    }
    say(&here, &callback, &json!({ "status": "succeeded" })).await;
}

async fn say(here: &Here, callback: &str, report: &Value) {
    if let Err(error) = here.app.http.post_json(callback, &[], report).await {
        let error = error.to_string();
        tracing::warn!(error, "the demo's operations could not say how it goes");
    }
}
