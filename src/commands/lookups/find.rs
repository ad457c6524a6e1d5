//! Entities by what is written about them (`find`), or by what they are (`list`).

use serde::Serialize;
use serde_json::Value;

use super::{Named, PAGE_ROWS, Page, Summary, json, label, missing, offset, related};
use crate::catalog::snapshot::Filter;
use crate::catalog::{Entity, RelationKind, Snapshot};
use crate::commands::resolve::{Question, singular};
use crate::error::Result;

#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    /// What was looked for; `None` for a list.
    pub words: Option<String>,
    pub filter: Narrowed,
    pub total: usize,
    /// One page of them; best first, a list by kind and name.
    pub entities: Vec<Row<'a>>,
    pub page: Option<Page>,
}

#[derive(Debug, Serialize)]
pub struct Row<'a> {
    #[serde(flatten)]
    pub entity: Named<'a>,
    #[serde(flatten)]
    pub summary: Summary<'a>,
    pub owners: Vec<Named<'a>>,
}

/// A filter as answers repeat it.
#[derive(Debug, Default, Serialize)]
pub struct Narrowed {
    pub kind: Option<String>,
    /// The name of the team.
    pub team: Option<String>,
    pub tier: Option<String>,
    pub lifecycle: Option<String>,
    #[serde(rename = "type")]
    pub class: Option<String>,
    pub tag: Option<String>,
    pub depth: Option<u32>,
    /// All of it in words: `tier 1`; empty when nothing is left out.
    pub said: Vec<String>,
}

impl Narrowed {
    pub fn of(filter: &Filter, question: &Question<'_>) -> Narrowed {
        let Filter { kind, tier, lifecycle, class, tag, depth, .. } = filter.clone();
        let team = question.entity("team").map(|team| label(team).into_owned());
        let depth_word = depth.map(|depth| depth.to_string());
        let said = [
            ("kind", &kind),
            ("type", &class),
            ("team", &team),
            ("tier", &tier),
            ("lifecycle", &lifecycle),
            ("tag", &tag),
            ("depth", &depth_word),
        ];
        let said = said
            .into_iter()
            .filter_map(|(word, value)| Some(format!("{word} {}", value.as_ref()?)));
        let said = said.collect();
        Narrowed { kind, team, tier, lifecycle, class, tag, depth, said }
    }
}

/// # Errors
/// No words were given.
pub fn find(question: &Question<'_>) -> Result<Value> {
    let words = question.call.get("words").ok_or_else(|| missing(question, "words"))?;
    let filter = question.filter();
    let found = question.snapshot.search(words, &filter, offset(question.page()), PAGE_ROWS);
    json(answer(question, Some(words.to_string()), &filter, found))
}

/// # Errors
/// None that a person could cause.
pub fn list(question: &Question<'_>) -> Result<Value> {
    let mut filter = question.filter();
    let start = offset(question.page());
    let mut found = question.snapshot.list(&filter, start, PAGE_ROWS);
    // `list services` means a type: no kind is called so.
    if let (0, Some(kind), None) = (found.1, &filter.kind, &filter.class) {
        let by_type = Filter { kind: None, class: Some(singular(kind)), ..filter.clone() };
        let of_type = question.snapshot.list(&by_type, start, PAGE_ROWS);
        if of_type.1 > 0 {
            (filter, found) = (by_type, of_type);
        }
    }
    json(answer(question, None, &filter, found))
}

fn answer<'a>(
    question: &Question<'a>,
    words: Option<String>,
    filter: &Filter,
    (entities, total): (Vec<&'a Entity>, usize),
) -> Answer<'a> {
    Answer {
        words,
        filter: Narrowed::of(filter, question),
        total,
        entities: entities.into_iter().map(|entity| row(question.snapshot, entity)).collect(),
        page: Page::of(&question.call, question.page(), total),
    }
}

fn row<'a>(snapshot: &'a Snapshot, entity: &'a Entity) -> Row<'a> {
    Row {
        entity: Named::entity(snapshot, entity),
        summary: Summary::of(entity),
        owners: related(snapshot, entity, RelationKind::OwnedBy),
    }
}
