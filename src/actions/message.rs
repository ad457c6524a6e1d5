//! The `messages:` of an action: what its own file says below the card when something becomes of a request.
//!
//! ```yaml
//! messages:
//!   asked: "Look at the [runbook](https://wiki.acme.example/restart) before you approve {{target.name}}."
//!   approved: "{{target.name}} restarts now; sessions are kept."
//!   denied: "Ask in #ops what to do instead."
//!   done: "{{target.name}} was restarted, because {{inputs.reason}}."
//!   failed: "Call whoever is on call: {{target.name}} may be half down."
//! ```
//!
//! It is Markdown of the file. What a place names is text: whatever others wrote makes no link, mention or button.

use super::invoke::{self, Known};
use super::{Request, dispatch};
use crate::catalog::Snapshot;
use crate::catalog::formats::fields::Fields;
use crate::conversation::Untrusted;
use crate::integrations::invocation::Order;
use crate::integrations::invocation::template::{Place, Text};

/// The most characters of a message, as its file says it and as it is said.
const CHARACTERS_MAX: usize = 500;
const SAID_CHARACTERS_MAX: usize = 2_000;

/// When a message is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    Asked,
    Approved,
    Denied,
    Done,
    Failed,
}

impl Occasion {
    pub const ALL: [Occasion; 5] =
        [Occasion::Asked, Occasion::Approved, Occasion::Denied, Occasion::Done, Occasion::Failed];

    /// As files write it.
    pub fn word(self) -> &'static str {
        match self {
            Occasion::Asked => "asked",
            Occasion::Approved => "approved",
            Occasion::Denied => "denied",
            Occasion::Done => "done",
            Occasion::Failed => "failed",
        }
    }
}

/// What an action's file says, each at its occasion.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Messages(Vec<(Occasion, Text)>);

/// The messages under `messages`, as far as they are good; they may name what is `known`, but no secret.
pub fn read(keys: &mut Fields, known: &Known) -> Messages {
    let Some(node) = keys.take("messages") else { return Messages::default() };
    let Some(mut inner) = Fields::of(node, "messages", keys.file, keys.problems) else {
        return Messages::default();
    };
    let mut messages = Vec::new();
    for occasion in Occasion::ALL {
        let key = occasion.word();
        let Some((text, at)) = inner.text(key) else { continue };
        if text.chars().count() > CHARACTERS_MAX {
            let message = format!("`{key}` has more than {CHARACTERS_MAX} characters.");
            inner.problem(at, "messages", message, "Shorten it, and link to the rest.");
            continue;
        }
        let Some(read) = invoke::told((&text, at), &mut inner, known) else { continue };
        let is_of_receivers =
            |it: &&Place| matches!(it, Place::Request(field) if field == "key" || field == "step");
        if let Some(place) = read.places().find(is_of_receivers) {
            let message = format!("A message does not know `{place}`.");
            inner.problem(at, "place", message, "Name the request by `request.id`.");
            continue;
        }
        messages.push((occasion, read));
    }
    inner.refuse_unknown();
    Messages(messages)
}

impl Messages {
    /// The Markdown that is said of `request` at `occasion`; `None` where its file says nothing, or names what it has not.
    pub fn say(
        &self,
        occasion: Occasion,
        request: &Request,
        snapshot: &Snapshot,
    ) -> Option<String> {
        let (_, text) = self.0.iter().find(|(it, _)| *it == occasion)?;
        let order = Order {
            key: String::new(),
            request: request.id,
            step: String::new(),
            intent: hex::encode(&request.intent),
            action: request.action.clone(),
            by: request.requester.name().to_string(),
            target: request.target.as_ref().map(|it| dispatch::order::target(it, snapshot)),
            inputs: request.inputs.clone(),
            secret_inputs: Default::default(),
            outputs: Default::default(),
            pinned: Default::default(),
            since: request.requested_at,
            callback: None,
            redeem: None,
        };
        let said = text.text_with(&order, |value| Untrusted::from(value.as_str()).to_markdown());
        said.ok().filter(|it| it.chars().count() <= SAID_CHARACTERS_MAX)
    }
}
