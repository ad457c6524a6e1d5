//! Why one entity depends on another.

use serde::Serialize;
use serde_json::Value;

use super::{Named, json, required, verb};
use crate::catalog::snapshot::Step;
use crate::catalog::{Entity, Snapshot};
use crate::commands::resolve::Question;
use crate::error::Result;

#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    pub from: Named<'a>,
    pub to: Named<'a>,
    /// Both were the same.
    pub same: bool,
    /// The shortest chain; empty when `from` does not depend on `to`.
    pub steps: Vec<Leg<'a>>,
    /// Whether the steps lead from `to` to `from`, because only that way depends.
    pub backwards: bool,
    pub length: usize,
}

/// One relation of the chain: `subject` `verb` `object`.
#[derive(Debug, Serialize)]
pub struct Leg<'a> {
    pub subject: Named<'a>,
    /// Backstage's word: `dependsOn`.
    pub relation: Option<&'static str>,
    /// `depends on`
    pub verb: &'static str,
    pub object: Named<'a>,
}

/// # Errors
/// One of the two was not given.
pub fn look_up(question: &Question<'_>) -> Result<Value> {
    let snapshot = question.snapshot;
    let from = required(question, "from")?;
    let to = required(question, "to")?;
    let there = legs(snapshot, from, to);
    let backwards = there.is_empty();
    let steps = if backwards { legs(snapshot, to, from) } else { there };
    json(Answer {
        from: Named::entity(snapshot, from),
        to: Named::entity(snapshot, to),
        same: from.reference == to.reference,
        backwards: backwards && !steps.is_empty(),
        length: steps.len(),
        steps,
    })
}

fn legs<'a>(snapshot: &'a Snapshot, from: &'a Entity, to: &'a Entity) -> Vec<Leg<'a>> {
    let path: Vec<Step<'a>> = snapshot.path(from, to).unwrap_or_default();
    path.windows(2)
        .map(|pair| Leg {
            subject: Named::target(snapshot, pair[0].target),
            relation: pair[1].via.map(|via| via.word()),
            verb: pair[1].via.map_or("leads to", verb),
            object: Named::target(snapshot, pair[1].target),
        })
        .collect()
}
