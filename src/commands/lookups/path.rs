//! Why one entity depends on another.

use serde::Serialize;
use serde_json::Value;

use super::{Named, json, required, verb};
use crate::catalog::Snapshot;
use crate::catalog::snapshot::Step;
use crate::commands::resolve::Question;
use crate::error::Result;

/// The most steps that one answer names: a chain may be as long as the catalog.
const STEPS_MAX: usize = 20;

#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    pub from: Named<'a>,
    pub to: Named<'a>,
    /// Both were the same.
    pub same: bool,
    /// The shortest chain, at most its first twenty; empty when neither depends on the other.
    pub steps: Vec<Leg<'a>>,
    /// How many steps are not named.
    pub more: usize,
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
    let there = snapshot.path(from, to).unwrap_or_default();
    let backwards = there.len() < 2;
    let path = if backwards { snapshot.path(to, from).unwrap_or_default() } else { there };
    let steps = path.windows(2).take(STEPS_MAX).map(|pair| leg(snapshot, &pair[0], &pair[1]));
    let steps: Vec<Leg<'_>> = steps.collect();
    let length = path.len().saturating_sub(1);
    json(Answer {
        from: Named::entity(snapshot, from),
        to: Named::entity(snapshot, to),
        same: from.reference == to.reference,
        backwards: backwards && length > 0,
        more: length - steps.len(),
        length,
        steps,
    })
}

fn leg<'a>(snapshot: &'a Snapshot, from: &Step<'a>, to: &Step<'a>) -> Leg<'a> {
    Leg {
        subject: Named::target(snapshot, from.target),
        relation: to.via.map(|via| via.word()),
        verb: to.via.map_or("leads to", verb),
        object: Named::target(snapshot, to.target),
    }
}
