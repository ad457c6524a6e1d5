//! What an action starts elsewhere: what is asked for, of whom, and what is known of it afterwards.
//!
//! ```text
//! pin ──▶ (asked for, approved) ──▶ send ──Started──▶ status, again and again ──▶ Succeeded | Failed | Gone
//!                                    │
//!                                    └─Unknown──▶ by its class: send again · find, then send · ask a person
//! ```
//!
//! The one rule: what may have had an effect is never called refused. Only an answer that says so, or a connection
//! that was never made, means that nothing was started. Everything else is [`NotSent::Unknown`], and what may be done
//! about it depends on the receiver's [`Class`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::http::Client;
use super::{Integrations, argocd, github, gitlab, webhook};
use crate::config::SecretReference;

pub mod answer;
pub mod template;

use template::{Place, Text};

/// How long one call may take in all.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What is started, as the `invoke:` of an action says.
#[derive(Debug, Clone, PartialEq)]
pub enum Receiver {
    Webhook(webhook::Webhook),
    GitHub(github::Workflow),
    GitLab(gitlab::Pipeline),
    ArgoCd(argocd::Operation),
    /// A deployment that waits at GitHub goes on.
    Gate(github::protection::Gate),
}

/// What may be done when nobody knows whether an order arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Sent again: the receiver knows the key.
    Idempotent,
    /// Looked for by its key once the listing must have it, then sent again.
    Searchable,
    /// Sent again: of several runs, the one works that redeems the token.
    Redeem,
    /// Never sent again: a person is asked.
    Blind,
}

/// One thing to be started. What it says does not change from one try to the next.
#[derive(Clone)]
pub struct Order {
    /// The idempotency key, 64 hexadecimal digits.
    pub key: String,
    pub request: i64,
    pub step: String,
    /// The hash of what was approved, in hexadecimal digits.
    pub intent: String,
    pub action: String,
    /// The User who asked.
    pub by: String,
    pub target: Option<Target>,
    pub inputs: Map<String, Value>,
    /// The names of those inputs that nobody may read.
    pub secret_inputs: BTreeSet<String>,
    /// What earlier steps gave: step → output → value.
    pub outputs: Map<String, Value>,
    /// What [`pin`] gave when it was asked for.
    pub pinned: Map<String, Value>,
    /// Before this nothing of it can have been started.
    pub since: DateTime<Utc>,
    /// Where the receiver may say how it goes.
    pub callback: Option<String>,
    /// The token of [`Class::Redeem`].
    pub redeem: Option<SecretString>,
}

/// What an order is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// `component:default/payment-api`
    pub reference: String,
    /// Those of [`template::TARGET`] that it has, and `annotations` and `labels` by key.
    pub values: Map<String, Value>,
}

/// What it takes to send.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    pub http: &'a Client,
    pub now: DateTime<Utc>,
    pub integrations: &'a Integrations,
    /// Of the settings, by name.
    pub secrets: &'a BTreeMap<String, SecretReference>,
    pub tokens: &'a github::Tokens,
    /// How long one call may take; see [`PATIENCE`].
    pub patience: Duration,
}

/// The receiver has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Sent {
    /// It runs. Without a reference it is not known yet where: [`find`] may tell, or the receiver calls back.
    Started {
        reference: Option<String>,
        url: Option<String>,
    },
    Finished {
        outcome: Outcome,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Succeeded {
        outputs: Map<String, Value>,
    },
    /// A sentence.
    Failed {
        why: String,
    },
}

/// Why it was not sent, in sentences. Words of others are cut short, and none of our secrets is among them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// Nothing was started, and trying again changes nothing.
    #[error("{why}")]
    Refused { why: String },
    /// Nothing was started. Without a `wait` nobody said how long.
    #[error("{why}")]
    NotNow { why: String, wait: Option<Duration> },
    /// Nothing was started: the receiver does something else, of `holder`.
    #[error("{holder} is still at work.")]
    Busy { holder: String },
    /// It may have been started.
    #[error("{why}")]
    Unknown { why: String, wait: Option<Duration> },
}

/// How something that was started goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Status {
    Running {
        note: String,
    },
    Succeeded {
        outputs: Map<String, Value>,
    },
    /// A sentence.
    Failed {
        why: String,
    },
    /// The receiver knows nothing of it any more.
    Gone,
}

/// What a setting lacks that a receiver needs: a sentence, and the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    pub message: String,
    pub hint: String,
}

impl Receiver {
    pub fn class(&self) -> Class {
        match self {
            Receiver::Webhook(webhook) if webhook.blind => Class::Blind,
            Receiver::Webhook(_) | Receiver::ArgoCd(_) | Receiver::Gate(_) => Class::Idempotent,
            Receiver::GitHub(github::Workflow { redeem: true, .. })
            | Receiver::GitLab(gitlab::Pipeline { redeem: true, .. }) => Class::Redeem,
            Receiver::GitHub(_) | Receiver::GitLab(_) => Class::Searchable,
        }
    }

    /// As a card calls it.
    pub fn word(&self) -> &'static str {
        match self {
            Receiver::Webhook(_) => "webhook",
            Receiver::GitHub(_) | Receiver::Gate(_) => "GitHub",
            Receiver::GitLab(_) => "GitLab",
            Receiver::ArgoCd(_) => "Argo CD",
        }
    }

    /// Whether [`status`] tells how it goes; otherwise only the receiver itself does, by calling back.
    pub fn is_followed(&self) -> bool {
        !matches!(self, Receiver::Webhook(_))
    }

    /// The reference of the run that its job calls `run`, where this receiver's jobs redeem; `None`: there is no such run.
    pub fn reference_of(&self, order: &Order, run: &str) -> Option<String> {
        match self {
            Receiver::GitHub(workflow) => workflow.reference_of(order, run),
            Receiver::GitLab(pipeline) => pipeline.reference_of(order, run),
            Receiver::Webhook(_) | Receiver::ArgoCd(_) | Receiver::Gate(_) => None,
        }
    }

    /// How long after an order [`find`] may still miss it.
    pub fn listing_lag(&self) -> Duration {
        match self {
            Receiver::GitHub(_) => github::LISTING_LAG,
            Receiver::GitLab(_) => gitlab::LISTING_LAG,
            Receiver::Webhook(_) | Receiver::ArgoCd(_) | Receiver::Gate(_) => Duration::ZERO,
        }
    }

    /// Where it goes, for a card: `acme/payments restart.yml@main`.
    ///
    /// # Errors
    /// Something that its name is put together from is not there.
    pub fn place(&self, order: &Order) -> Result<String, NotSent> {
        match self {
            Receiver::Webhook(webhook) => webhook.place(order),
            Receiver::GitHub(workflow) => workflow.place(order),
            Receiver::GitLab(pipeline) => pipeline.place(order),
            Receiver::ArgoCd(operation) => operation.place(order),
            Receiver::Gate(_) => github::protection::place(order),
        }
    }

    /// What the settings do not have that it needs.
    pub fn lacking(
        &self,
        integrations: &Integrations,
        secrets: &BTreeMap<String, SecretReference>,
    ) -> Option<Lacking> {
        let not_set = |name: &str| Lacking {
            message: format!("idp.yaml does not say how {} is called.", self.word()),
            hint: format!("Add `{name}: {{token: {{env: …}}}}` to its `integrations:`."),
        };
        match self {
            Receiver::Webhook(webhook) if !secrets.contains_key(&webhook.secret) => Some(Lacking {
                message: format!("idp.yaml has no secret `{}`.", webhook.secret),
                hint: "Add it to its `secrets:`, as `{env: NAME}` or `{file: /path}`.".into(),
            }),
            Receiver::GitHub(_) | Receiver::Gate(_) if integrations.github.is_none() => {
                Some(not_set("github"))
            }
            Receiver::Gate(_)
                if integrations.github.as_ref().is_some_and(|it| it.webhook_secret.is_none()) =>
            {
                Some(Lacking {
                    message: "idp.yaml does not say how GitHub signs what it asks.".into(),
                    hint: "Add `webhook_secret: {env: …}` to its `integrations: github:`.".into(),
                })
            }
            Receiver::GitLab(_) if integrations.gitlab.is_none() => Some(not_set("gitlab")),
            Receiver::ArgoCd(_) if integrations.argocd.is_none() => Some(not_set("argocd")),
            _ => None,
        }
    }

    /// Every text with places.
    pub fn texts(&self) -> Vec<&Text> {
        match self {
            Receiver::Webhook(webhook) => webhook.texts(),
            Receiver::GitHub(workflow) => workflow.texts(),
            Receiver::GitLab(pipeline) => pipeline.texts(),
            Receiver::ArgoCd(operation) => operation.texts(),
            Receiver::Gate(_) => Vec::new(),
        }
    }
}

/// What is fixed when the order is asked for, so that what is approved is what is sent: the values of the target that
/// the receiver's texts name, and what the receiver adds, such as the commit that a branch points at.
///
/// # Errors
/// [`NotSent`]; nothing is ever started by it.
pub async fn pin(
    receiver: &Receiver,
    means: &Means<'_>,
    order: &Order,
) -> Result<Map<String, Value>, NotSent> {
    let mut pinned = Map::new();
    let mut target = Map::new();
    for text in receiver.texts() {
        for place in text.places() {
            if let Place::Target(path) = place {
                target.insert(path.clone(), place.value(order).unwrap_or_default());
            }
        }
    }
    if !target.is_empty() {
        pinned.insert("target".into(), target.into());
    }
    let more = match receiver {
        Receiver::Webhook(_) => Map::new(),
        Receiver::GitHub(workflow) => github::pin(workflow, means, order).await?,
        Receiver::GitLab(pipeline) => gitlab::pin(pipeline, means, order).await?,
        Receiver::ArgoCd(operation) => argocd::pin(operation, means, order).await?,
        Receiver::Gate(_) => return Err(NotSent::refused("Only GitHub asks for this.")),
    };
    pinned.extend(more);
    Ok(pinned)
}

/// Starts what `order` says, once as far as this call goes.
///
/// # Errors
/// [`NotSent`]
pub async fn send(receiver: &Receiver, means: &Means<'_>, order: &Order) -> Result<Sent, NotSent> {
    match receiver {
        Receiver::Webhook(webhook) => webhook::send(webhook, means, order).await,
        Receiver::GitHub(workflow) => github::send(workflow, means, order).await,
        Receiver::GitLab(pipeline) => gitlab::send(pipeline, means, order).await,
        Receiver::ArgoCd(operation) => argocd::send(operation, means, order).await,
        Receiver::Gate(_) => github::protection::send(means, order).await,
    }
}

/// What was started under the key of `order`; `None`: nothing that could be found, and of a webhook never anything.
///
/// # Errors
/// [`NotSent`]; [`NotSent::Unknown`] where what there is may be it or may not.
pub async fn find(
    receiver: &Receiver,
    means: &Means<'_>,
    order: &Order,
) -> Result<Option<Sent>, NotSent> {
    match receiver {
        // What sends it looks first.
        Receiver::Webhook(_) | Receiver::Gate(_) => Ok(None),
        Receiver::GitHub(workflow) => github::find(workflow, means, order).await,
        Receiver::GitLab(pipeline) => gitlab::find(pipeline, means, order).await,
        Receiver::ArgoCd(operation) => argocd::find(operation, means, order).await,
    }
}

/// How that goes which [`Sent::Started`] called `reference`.
///
/// # Errors
/// [`NotSent`]; ask again later, whichever it is.
pub async fn status(
    receiver: &Receiver,
    means: &Means<'_>,
    reference: &str,
) -> Result<Status, NotSent> {
    match receiver {
        Receiver::Webhook(_) => Ok(Status::Running { note: String::new() }),
        Receiver::GitHub(_) => github::status(means, reference).await,
        Receiver::GitLab(_) => gitlab::status(means, reference).await,
        Receiver::ArgoCd(_) => argocd::status(means, reference).await,
        // It is over once GitHub has been told.
        Receiver::Gate(_) => Ok(Status::Gone),
    }
}

impl Order {
    /// What may never be read in a message: the two tokens, and the inputs that are secrets.
    pub fn secrets(&self) -> Vec<SecretString> {
        let of_inputs = self.secret_inputs.iter().filter_map(|name| self.inputs.get(name));
        let texts = of_inputs.filter_map(template::written);
        let callback = self.callback.as_deref().and_then(|it| it.rsplit('/').next());
        let tokens = self.redeem.clone().into_iter().chain(callback.map(SecretString::from));
        texts.map(SecretString::from).chain(tokens).collect()
    }

    /// `name` of what was pinned, as text.
    pub fn pinned(&self, name: &str) -> Option<&str> {
        self.pinned.get(name)?.as_str()
    }
}

/// Without the inputs, which may be secrets.
impl fmt::Debug for Order {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Order")
            .field("request", &self.request)
            .field("step", &self.step)
            .field("action", &self.action)
            .field("target", &self.target.as_ref().map(|it| &it.reference))
            .finish_non_exhaustive()
    }
}

impl NotSent {
    pub fn refused(why: impl Into<String>) -> NotSent {
        NotSent::Refused { why: why.into() }
    }

    pub fn unknown(why: impl Into<String>) -> NotSent {
        NotSent::Unknown { why: why.into(), wait: None }
    }
}

/// `reference` read now. What is wrong with it is for whoever runs idp to mend, and goes into the log in full.
///
/// # Errors
/// [`NotSent::NotNow`]: it may be there in a minute.
pub(super) fn secret(what: &str, reference: &SecretReference) -> Result<SecretString, NotSent> {
    match reference.read() {
        Ok(secret) if !secret.expose_secret().trim().is_empty() => Ok(secret),
        read => {
            let error = read.err().map(|error| format!("{error:#}"));
            tracing::error!(what, error, "could not read a secret");
            let why = format!("idp has no {what}: whoever runs it finds the reason in its log.");
            Err(NotSent::NotNow { why, wait: None })
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    /// A restart of `payment-api` with three replicas.
    pub fn order() -> Order {
        Order {
            key: "ab".repeat(32),
            request: 7,
            step: "restart".into(),
            intent: "cd".repeat(32),
            action: "restart".into(),
            by: "user:default/ada".into(),
            target: Some(Target {
                reference: "component:default/payment-api".into(),
                values: map(json!({
                    "name": "payment-api",
                    "annotations": {"github.com/project-slug": "acme/payments"},
                })),
            }),
            inputs: map(json!({"replicas": 3, "dry": true})),
            secret_inputs: BTreeSet::new(),
            outputs: Map::new(),
            pinned: Map::new(),
            since: DateTime::UNIX_EPOCH,
            callback: None,
            redeem: Some(SecretString::from("redeem-canary")),
        }
    }

    /// A webhook that knows keys.
    pub fn receiver() -> Receiver {
        let url = Text::literal("https://ops.acme.example/restart");
        let secret = "ops".into();
        Receiver::Webhook(webhook::Webhook { url, secret, body: None, blind: false })
    }

    #[test]
    fn a_receiver_that_knows_no_keys_is_never_sent_to_twice() {
        let mut receiver = receiver();
        assert_eq!(receiver.class(), Class::Idempotent);
        if let Receiver::Webhook(webhook) = &mut receiver {
            webhook.blind = true;
        }
        assert_eq!(receiver.class(), Class::Blind);
    }

    #[test]
    fn what_the_settings_lack_is_told_with_the_next_step() {
        let lacking = receiver().lacking(&Integrations::default(), &BTreeMap::new()).unwrap();
        assert_eq!(lacking.message, "idp.yaml has no secret `ops`.");
        let secrets = BTreeMap::from([("ops".into(), SecretReference::Env("OPS".into()))]);
        assert_eq!(receiver().lacking(&Integrations::default(), &secrets), None);
    }

    #[test]
    fn an_order_does_not_say_its_inputs_or_its_token() {
        let mut order = order();
        order.inputs.insert("password".into(), json!("hunter2"));
        let said = format!("{order:?}");
        assert!(!said.contains("hunter2") && !said.contains("canary"), "{said}");
    }
}
