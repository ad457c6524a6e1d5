//! The built-in lookups: each turns a question into the typed answer that its command's template renders.
//!
//! All but those that [`Lookup::is_of_catalog`](super::file::Lookup::is_of_catalog) leaves out, which `flow.rs` asks others for, read the snapshot and the rotas and nothing else.

pub mod actions;
pub mod adoption;
pub mod alias;
pub mod dependents;
pub mod details;
pub mod digest;
pub mod exempt;
pub mod facts;
pub mod feedback;
pub mod find;
pub mod graph;
pub mod help;
pub mod history;
pub mod link;
pub mod oncall;
pub mod owner;
pub mod path;
pub mod problems;
pub mod score;
pub mod scorecard;
pub mod show;
pub mod standings;
pub mod team_score;
pub mod whoami;

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use details::Details;

use super::parse::{self, Call};
use super::resolve::{self, Question};
use crate::catalog::snapshot::Target;
use crate::catalog::{Entity, RelationKind, Snapshot};
use crate::error::{Error, Result};

/// The most rows one reply says: what a person takes in, and far below any platform's limit.
pub const PAGE_ROWS: usize = 15;

/// A lookup that command files name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltIn {
    Help,
    Owner,
    Show,
    OnCall,
    Find,
    List,
    Dependents,
    Dependencies,
    Graph,
    Path,
    History,
    Facts,
    Problems,
    Score,
    Scorecard,
    Exempt,
    Exemptions,
    Whoami,
    Link,
    Adoption,
    Feedback,
    Alias,
    Digest,
    Run,
    Requests,
    Approve,
    Deny,
    Cancel,
}

impl BuiltIn {
    pub const ALL: &[BuiltIn] = &[
        BuiltIn::Help,
        BuiltIn::Owner,
        BuiltIn::Show,
        BuiltIn::OnCall,
        BuiltIn::Find,
        BuiltIn::List,
        BuiltIn::Dependents,
        BuiltIn::Dependencies,
        BuiltIn::Graph,
        BuiltIn::Path,
        BuiltIn::History,
        BuiltIn::Facts,
        BuiltIn::Problems,
        BuiltIn::Score,
        BuiltIn::Scorecard,
        BuiltIn::Exempt,
        BuiltIn::Exemptions,
        BuiltIn::Whoami,
        BuiltIn::Link,
        BuiltIn::Adoption,
        BuiltIn::Feedback,
        BuiltIn::Alias,
        BuiltIn::Digest,
        BuiltIn::Run,
        BuiltIn::Requests,
        BuiltIn::Approve,
        BuiltIn::Deny,
        BuiltIn::Cancel,
    ];

    pub fn word(self) -> &'static str {
        match self {
            BuiltIn::Help => "help",
            BuiltIn::Owner => "owner",
            BuiltIn::Show => "show",
            BuiltIn::OnCall => "oncall",
            BuiltIn::Find => "find",
            BuiltIn::List => "list",
            BuiltIn::Dependents => "dependents",
            BuiltIn::Dependencies => "dependencies",
            BuiltIn::Graph => "graph",
            BuiltIn::Path => "path",
            BuiltIn::History => "history",
            BuiltIn::Facts => "facts",
            BuiltIn::Problems => "problems",
            BuiltIn::Score => "score",
            BuiltIn::Scorecard => "scorecard",
            BuiltIn::Exempt => "exempt",
            BuiltIn::Exemptions => "exemptions",
            BuiltIn::Whoami => "whoami",
            BuiltIn::Link => "link",
            BuiltIn::Adoption => "adoption",
            BuiltIn::Feedback => "feedback",
            BuiltIn::Alias => "alias",
            BuiltIn::Digest => "digest",
            BuiltIn::Run => "run",
            BuiltIn::Requests => "requests",
            BuiltIn::Approve => "approve",
            BuiltIn::Deny => "deny",
            BuiltIn::Cancel => "cancel",
        }
    }

    /// Whether it asks for something to be done, or decides on it: its words may hold what nobody is to read again.
    pub fn is_of_actions(self) -> bool {
        use BuiltIn::{Approve, Cancel, Deny, Requests, Run};
        matches!(self, Run | Requests | Approve | Deny | Cancel)
    }

    /// Whether it decides on a request, or takes it back.
    pub fn is_decision(self) -> bool {
        matches!(self, BuiltIn::Approve | BuiltIn::Deny | BuiltIn::Cancel)
    }

    /// The arguments without which it cannot be asked.
    pub fn needs(self) -> &'static [&'static str] {
        match self {
            BuiltIn::Owner
            | BuiltIn::Show
            | BuiltIn::OnCall
            | BuiltIn::Dependents
            | BuiltIn::Dependencies
            | BuiltIn::Graph
            | BuiltIn::Facts
            | BuiltIn::Score
            | BuiltIn::History => &["entity"],
            BuiltIn::Exempt => &["entity", "rule", "reason"],
            BuiltIn::Find => &["words"],
            BuiltIn::Path => &["from", "to"],
            BuiltIn::Feedback => &["about", "verdict"],
            BuiltIn::Alias => &["name", "entity"],
            BuiltIn::Scorecard
            | BuiltIn::Exemptions
            | BuiltIn::Help
            | BuiltIn::List
            | BuiltIn::Problems
            | BuiltIn::Whoami
            | BuiltIn::Link
            | BuiltIn::Adoption
            | BuiltIn::Digest
            | BuiltIn::Run
            | BuiltIn::Requests
            | BuiltIn::Approve
            | BuiltIn::Deny
            | BuiltIn::Cancel => &[],
        }
    }
}

/// The answer as JSON.
///
/// # Errors
/// A fault when a struct of ours is no JSON.
pub fn json(answer: impl Serialize) -> Result<Value> {
    serde_json::to_value(answer).map_err(|error| Error::Fault(error.into()))
}

/// The entity that the argument `name` is, which the command file makes required.
fn required<'a>(question: &Question<'a>, name: &str) -> Result<&'a Entity> {
    question.entity(name).ok_or_else(|| missing(question, name))
}

/// A portal's own command may use a built-in lookup and leave out what it needs.
fn missing(question: &Question<'_>, name: &str) -> Error {
    Error::Refusal(parse::missing(&question.call, name.to_string()))
}

/// An entity as answers name it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Named<'a> {
    #[serde(rename = "ref")]
    pub reference: &'a str,
    /// The shortest words that mean it: `payment-api`.
    pub words: String,
    pub kind: &'a str,
    /// As written.
    pub name: &'a str,
    /// What people call it: its title, the display name of a person or team, otherwise its name.
    pub label: Cow<'a, str>,
    /// Whether the catalog describes it, and does not only name it.
    pub known: bool,
    /// Whether its source no longer yields it.
    pub orphaned: bool,
}

impl<'a> Named<'a> {
    pub fn entity(snapshot: &Snapshot, entity: &'a Entity) -> Named<'a> {
        Named {
            reference: entity.reference.as_str(),
            words: resolve::words(snapshot, entity),
            kind: &entity.kind,
            name: &entity.name,
            label: label(entity),
            known: true,
            orphaned: entity.orphaned,
        }
    }

    pub fn target(snapshot: &Snapshot, target: Target<'a>) -> Named<'a> {
        match target {
            Target::Known(entity) => Named::entity(snapshot, entity),
            Target::Missing(reference) => Named {
                reference: reference.as_str(),
                words: reference.to_string(),
                kind: reference.kind(),
                name: reference.name(),
                label: Cow::Borrowed(reference.name()),
                known: false,
                orphaned: false,
            },
        }
    }
}

/// What an entity is, in its own words.
#[derive(Debug, Serialize)]
pub struct Summary<'a> {
    pub description: Option<&'a str>,
    #[serde(rename = "type")]
    pub class: Option<&'a str>,
    pub lifecycle: Option<&'a str>,
    pub tier: Option<&'a str>,
}

impl<'a> Summary<'a> {
    fn of(entity: &'a Entity) -> Summary<'a> {
        Summary {
            description: entity.description.as_deref(),
            class: entity.class.as_deref(),
            lifecycle: entity.lifecycle.as_deref(),
            tier: entity.tier.as_deref(),
        }
    }
}

/// What people call `entity`.
pub fn label(entity: &Entity) -> Cow<'_, str> {
    if let Some(title) = &entity.title {
        return Cow::Borrowed(title);
    }
    let has_profile = matches!(entity.reference.kind(), "group" | "user");
    let display_name = has_profile.then(|| Details::of(entity).display_name).flatten();
    display_name.unwrap_or(Cow::Borrowed(&entity.name))
}

/// Everything at the other end of `kind`.
fn related<'a>(snapshot: &'a Snapshot, entity: &Entity, kind: RelationKind) -> Vec<Named<'a>> {
    let targets = snapshot.related(entity, kind);
    targets.into_iter().map(|target| Named::target(snapshot, target)).collect()
}

/// Which part of a long answer is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    /// From 1.
    pub number: usize,
    pub of: usize,
    /// Which rows are on it: `1 to 15`; or that there are none, behind the last page.
    pub rows: String,
    /// The words that show the next page; `None` on the last.
    pub next: Option<String>,
    pub previous: Option<String>,
}

impl Page {
    /// The page of `total` rows that `call` asks for; `None` when all of them are on it.
    pub fn of(call: &Call<'_>, number: usize, total: usize) -> Option<Page> {
        let of = total.div_ceil(PAGE_ROWS);
        if of <= 1 && number == 1 {
            return None;
        }
        let page = |number: usize| call.with("page", &number.to_string()).words();
        let rows = match number <= of {
            true => format!("{} to {}", offset(number) + 1, (number * PAGE_ROWS).min(total)),
            false => format!("none of them on page {number}"),
        };
        Some(Page {
            number,
            of,
            rows,
            next: (number < of).then(|| page(number + 1)),
            previous: (number > 1).then(|| page((number - 1).min(of))),
        })
    }
}

/// How many rows come before the page `number`.
pub(super) fn offset(number: usize) -> usize {
    (number - 1).saturating_mul(PAGE_ROWS)
}

/// `relation` as a verb, said of the entity that has it.
pub fn verb(relation: RelationKind) -> &'static str {
    match relation {
        RelationKind::OwnedBy => "is owned by",
        RelationKind::OwnerOf => "owns",
        RelationKind::PartOf => "is part of",
        RelationKind::HasPart => "has the part",
        RelationKind::ProvidesApi => "provides",
        RelationKind::ApiProvidedBy => "is provided by",
        RelationKind::ConsumesApi => "consumes",
        RelationKind::ApiConsumedBy => "is consumed by",
        RelationKind::DependsOn => "depends on",
        RelationKind::DependencyOf => "is needed by",
        RelationKind::ParentOf => "is above",
        RelationKind::ChildOf => "is below",
        RelationKind::MemberOf => "is in",
        RelationKind::HasMember => "has the member",
    }
}
