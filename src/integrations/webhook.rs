//! A webhook of one's own: a signed POST with an idempotency key.
//!
//! It is sent again under the same key when its answer was lost, so its receiver must know keys; one that does not is
//! `blind: true`.

use axum::http::Method;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::Sha256;
use url::Url;

use super::http::{Answer, Call};
use super::invocation::answer::Whose;
use super::invocation::template::{Form, Text};
use super::invocation::{self, Means, NotSent, Order, Outcome, Sent};
use super::vendor::segment;

const REFERENCE_CHARACTERS_MAX: usize = 200;

#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    /// Its host has no places in it.
    pub url: Text,
    /// The name of the secret in the settings that signs.
    pub secret: String,
    /// `None`: everything of the order.
    pub body: Option<Form>,
    /// The receiver knows no keys: it is never sent the same order twice.
    pub blind: bool,
}

/// What a receiver may answer. A key that is there twice is malformed: which one it meant nobody knows.
#[derive(Deserialize)]
struct Said {
    status: Option<String>,
    reference: Option<String>,
    url: Option<String>,
    message: Option<String>,
    outputs: Option<Map<String, Value>>,
}

impl Webhook {
    pub(super) fn texts(&self) -> Vec<&Text> {
        let body = self.body.iter().flat_map(Form::texts);
        std::iter::once(&self.url).chain(body).collect()
    }

    pub(super) fn place(&self, order: &Order) -> Result<String, NotSent> {
        let url = self.address(order)?;
        Ok(format!("{}{}", url.host_str().unwrap_or_default(), url.path()))
    }

    /// Where `order` goes. What is filled in is one segment of the path or one value of the query, whatever it says.
    fn address(&self, order: &Order) -> Result<Url, NotSent> {
        let text = self.url.text_with(order, |value| segment(&value))?;
        let path = text.split(['?', '#']).next().unwrap_or_default();
        // The parser would take these for a way up.
        if path.split('/').any(|it| it == "." || it == "..") {
            return Err(NotSent::refused(format!("`{path}` leads out of the receiver's path.")));
        }
        Url::parse(&text).map_err(|_| {
            NotSent::refused("The address of the webhook is none once it is filled in.")
        })
    }

    fn body(&self, order: &Order) -> Result<Value, NotSent> {
        match &self.body {
            Some(form) => form.value(order),
            None => Ok(everything(order)),
        }
    }
}

/// An order as a receiver reads it.
fn everything(order: &Order) -> Value {
    let mut body = json!({
        "request": order.request,
        "step": order.step,
        "action": order.action,
        "by": order.by,
        "target": order.target.as_ref().map(|it| &it.reference),
        "inputs": order.inputs,
        "intent": order.intent,
        "key": order.key,
    });
    if let Some(callback) = &order.callback {
        body["callback"] = callback.as_str().into();
    }
    if let Some(token) = &order.redeem {
        body["redeem"] = token.expose_secret().into();
    }
    body
}

/// See [`invocation::send`].
pub(super) async fn send(
    webhook: &Webhook,
    means: &Means<'_>,
    order: &Order,
) -> Result<Sent, NotSent> {
    let name = &webhook.secret;
    let reference = means.secrets.get(name).ok_or_else(|| {
        NotSent::refused(format!("idp.yaml has no secret `{name}`: add it to its `secrets:`."))
    })?;
    let secret = invocation::secret("secret to sign the webhook with", reference)?;
    let url = webhook.address(order)?;
    let body = webhook.body(order)?.to_string();
    let timestamp = means.now.timestamp().to_string();
    let signature = signature(&secret, &timestamp, &body);
    let request = order.request.to_string();
    let headers = [
        ("x-idp-timestamp", timestamp.as_str()),
        ("x-idp-signature", &signature),
        ("x-idp-request", &request),
        ("x-idp-intent", &order.intent),
        ("idempotency-key", &order.key),
        ("accept", "application/json"),
    ];
    // A receiver may say again what it was sent.
    let mut secrets = order.secrets();
    secrets.extend([secret, SecretString::from(signature.trim_start_matches("v1="))]);
    let whose = Whose {
        name: url.host_str().unwrap_or_default(),
        mend: "Whoever runs the receiver and whoever runs idp must have the same secret.",
        secrets: &secrets,
    };
    let called = means.http.call(Call {
        method: Method::POST,
        url: url.as_str(),
        headers: &headers,
        body: Some(body.into_bytes()),
        patience: means.patience,
    });
    let answer = called.await.map_err(|error| whose.failure(&error))?;
    read(&answer, &whose, means.now)
}

/// What `answer` says of the order.
fn read(answer: &Answer, whose: &Whose<'_>, now: DateTime<Utc>) -> Result<Sent, NotSent> {
    if !(200..300).contains(&answer.status) {
        return Err(whose.refusal(answer, now));
    }
    let malformed = || whose.malformed(answer);
    let kind =
        answer.headers.get("content-type").and_then(|it| it.to_str().ok()).unwrap_or_default();
    let text = std::str::from_utf8(&answer.body).map_err(|_| malformed())?.trim();
    if text.is_empty() || (kind.starts_with("text/plain") && !text.starts_with(['{', '<'])) {
        return Ok(Sent::Started { reference: None, url: None });
    }
    let said: Said = serde_json::from_str(text).map_err(|_| malformed())?;
    let is_short = |it: &String| it.chars().count() <= REFERENCE_CHARACTERS_MAX;
    let words = said.message.as_deref().and_then(|it| whose.shown(it));
    match said.status.as_deref() {
        Some("succeeded") => {
            let outputs = said.outputs.unwrap_or_default();
            Ok(Sent::Finished { outcome: Outcome::Succeeded { outputs } })
        }
        Some("failed") => {
            let why = words.unwrap_or_else(|| format!("{} says that it failed.", whose.name));
            Ok(Sent::Finished { outcome: Outcome::Failed { why } })
        }
        None | Some("started" | "running" | "queued" | "accepted" | "ok") => Ok(Sent::Started {
            reference: said.reference.filter(is_short),
            url: said.url.filter(is_short).filter(|it| is_page(it)),
        }),
        Some(_) => Err(malformed()),
    }
}

fn is_page(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| crate::conversation::is_web_page(&url))
}

/// The value of `X-Idp-Signature`: `v1=` and the hex HMAC-SHA-256 of `v1:timestamp:body`.
///
/// `timestamp` is the value of `X-Idp-Timestamp`, in seconds since 1970. Receivers refuse old ones.
pub fn signature(secret: &SecretString, timestamp: &str, body: &str) -> String {
    let key = secret.expose_secret().as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length will do");
    mac.update(format!("v1:{timestamp}:{body}").as_bytes());
    format!("v1={}", hex::encode(mac.finalize().into_bytes()))
}
