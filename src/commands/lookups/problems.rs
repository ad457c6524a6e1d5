//! What is wrong with descriptors, and what to do about it.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::{Named, PAGE_ROWS, Page, json, offset};
use crate::catalog::snapshot::Filter;
use crate::catalog::{Entity, Problem, Severity, Snapshot};
use crate::commands::resolve::Question;
use crate::error::Result;

#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    /// `None` for everybody's.
    pub team: Option<Named<'a>>,
    pub total: usize,
    pub errors: usize,
    pub warnings: usize,
    /// One page; errors first.
    pub problems: Vec<Problem>,
    pub page: Option<Page>,
}

/// # Errors
/// A fault when the answer is no JSON.
pub fn answer(question: &Question<'_>, problems: Vec<Problem>) -> Result<Value> {
    let snapshot = question.snapshot;
    let team = question.entity("team");
    let problems: Vec<Problem> = match team {
        None => problems,
        Some(team) => of_team(snapshot, team, problems),
    };
    let count = |severity| problems.iter().filter(|it| it.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let total = problems.len();
    let page = problems.into_iter().skip(offset(question.page())).take(PAGE_ROWS);
    json(Answer {
        team: team.map(|team| Named::entity(snapshot, team)),
        total,
        errors,
        warnings,
        problems: page.collect(),
        page: Page::of(&question.call, question.page(), total),
    })
}

/// Those about an entity of `team`, and those about nothing known in a file that describes one:
/// a document that was never good has no owner yet.
fn of_team(snapshot: &Snapshot, team: &Entity, problems: Vec<Problem>) -> Vec<Problem> {
    let filter = Filter { team: Some(team.reference.to_string()), ..Filter::default() };
    let (entities, _) = snapshot.list(&filter, 0, usize::MAX);
    let references: BTreeSet<&str> = entities.iter().map(|it| it.reference.as_str()).collect();
    let files: BTreeSet<&str> = entities.iter().map(|it| &*it.place.file).collect();
    let is_theirs = |problem: &Problem| match &problem.reference {
        Some(reference) if snapshot.find(reference).is_some() => {
            references.contains(reference.as_str()) || *reference == *team.reference.as_str()
        }
        _ => files.contains(problem.file.as_str()),
    };
    problems.into_iter().filter(is_theirs).collect()
}
