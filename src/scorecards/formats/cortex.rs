//! Cortex's scorecards: YAML.
//!
//! Source: <https://github.com/cortexapps/cli>, and the provider `cortexapps/cortex` of Terraform.

use super::ask::{Ask, Literal, Of, Test, quoted};
use super::draft::{self, Draft, DraftRule};
use super::{Exported, Imported, Note, asked, cql, left_out};
use crate::catalog::Problem;
use crate::catalog::formats::fields;
use crate::catalog::formats::yaml::{Content, Node};
use crate::scorecards::Scorecard;
use crate::scorecards::level::Climb;

/// Keys that mean nothing here.
const ELSEWHERE: [&str; 2] = ["notifications", "evaluation"];

/// What Cortex calls kinds of ours.
const CATEGORIES: [(&str, &[&str]); 4] = [
    ("SERVICE", &["Component"]),
    ("RESOURCE", &["Resource"]),
    ("DOMAIN", &["Domain", "System"]),
    ("TEAM", &["Group"]),
];

/// # Errors
/// Every problem of a file that is no scorecard of Cortex's, with its place.
pub fn import(text: &str, file: &str) -> Result<Vec<Imported>, Vec<Problem>> {
    let root = fields::read(text, file).map_err(|it| vec![*it])?;
    let problem = |message: String, hint: &str| {
        vec![fields::problem(file, root.at, "required-field", message, hint)]
    };
    if !root.is_mapping() {
        let message = format!("A scorecard of Cortex's is a mapping, and this is {}.", root.what());
        return Err(problem(message, "Give the YAML that Cortex shows of a scorecard."));
    }
    let required = |key: &str| {
        self::text(&root, key).ok_or_else(|| {
            problem(format!("`{key}` is missing."), "Cortex writes it into each scorecard.")
        })
    };
    let tag = required("tag")?;
    let title = required("name")?;
    let rules = root.get("rules").map(Node::items).unwrap_or_default();
    let mut draft = Draft {
        name: draft::name(tag),
        title: title.to_string(),
        description: self::text(&root, "description").unwrap_or_default().to_string(),
        is_draft: flag(&root, "draft").unwrap_or(false),
        exempt: root.get("exemptions").and_then(|it| flag(it, "enabled")).unwrap_or(true),
        ..Draft::default()
    };
    for key in ELSEWHERE {
        if let Some(node) = root.get(key) {
            draft.note(
                node.at.line,
                key,
                "It is left out: digests and the change of a fact decide here.",
            );
        }
    }
    if root.get("exemptions").and_then(|it| flag(it, "autoApprove")) == Some(true) {
        draft.note(1, "exemptions", "`autoApprove` is left out: here somebody approves.");
    }
    if let Some(filter) = root.get("filter").filter(|it| !it.is_null()) {
        match self::filter(filter) {
            Ok(found) => {
                (draft.kinds, draft.types, draft.tags, draft.when) =
                    (found.kinds, found.types, found.tags, found.when);
            }
            Err(why) => {
                draft.is_draft = true;
                let message = format!(
                    "Its filter is left out, and it is a draft until one stands there: {why}."
                );
                draft.note(filter.at.line, "filter", message);
            }
        }
    }
    draft.levels = levels(&root);
    for rule in rules {
        take(rule, &mut draft, file)?;
    }
    Ok(vec![draft.finish(rules.len())?])
}

/// The rungs of the ladder, the lowest first: that of the rank 1.
fn levels(root: &Node) -> Vec<(String, Option<String>)> {
    let levels = root.get("ladder").and_then(|it| it.get("levels"));
    let mut ranked: Vec<(f64, String)> = Vec::new();
    for (place, level) in levels.map(Node::items).unwrap_or_default().iter().enumerate() {
        let rank = match level.get("rank").map(|it| &it.content) {
            Some(Content::Number(rank)) => rank.as_f64().unwrap_or(place as f64),
            _ => place as f64,
        };
        ranked.extend(text(level, "name").map(|name| (rank, name.to_string())));
    }
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    ranked.into_iter().map(|(_, name)| (name, None)).collect()
}

fn take(rule: &Node, draft: &mut Draft, file: &str) -> Result<(), Vec<Problem>> {
    let line = rule.at.line;
    let Some(expression) = text(rule, "expression") else {
        let message = "A rule has no `expression`.";
        return Err(vec![fields::problem(
            file,
            rule.at,
            "required-field",
            message,
            "Cortex writes one into each rule.",
        )]);
    };
    let title = text(rule, "title").unwrap_or(expression).to_string();
    let left_out = |why: String| format!("It is left out: {why}.");
    let filter = match rule.get("filter").filter(|it| !it.is_null()).map(self::filter) {
        None => Filter::default(),
        Some(Ok(filter)) => filter,
        Some(Err(why)) => {
            draft.note(line, &title, left_out(format!("of its filter {why}")));
            return Ok(());
        }
    };
    let level = text(rule, "level").map(str::to_string);
    if let Some(level) =
        level.as_ref().filter(|level| draft.levels.iter().all(|(it, _)| it != *level))
    {
        draft.note(line, &title, left_out(format!("the ladder has no level `{level}`")));
        return Ok(());
    }
    let from = text(rule, "effectiveFrom").map(|it| it.chars().take(10).collect::<String>());
    let from = from.filter(|it| chrono::NaiveDate::parse_from_str(it, "%Y-%m-%d").is_ok());
    let weight = match rule.get("weight").map(|it| &it.content) {
        Some(Content::Number(weight)) => weight.as_f64().unwrap_or(1.0),
        _ => 1.0,
    };
    if weight < 1.0 {
        draft.note(line, &title, "Its weight is 1 here: a rule that weighs nothing would be none.");
    }
    let remedy = ["failureMessage", "failure_message", "description"]
        .into_iter()
        .find_map(|it| text(rule, it));
    match cql::read(expression) {
        Ok(pass) => draft.rules.push(DraftRule {
            name: draft::name(text(rule, "identifier").unwrap_or(&title)),
            title,
            weight: (weight.round() as u64).clamp(1, 1_000),
            level,
            kinds: filter.kinds,
            types: filter.types,
            when: filter.when,
            pass,
            from,
            remedy: remedy.map(str::to_string),
            line,
        }),
        Err(why) => draft.note(line, &title, left_out(why)),
    }
    Ok(())
}

#[derive(Default)]
struct Filter {
    kinds: Vec<String>,
    types: Vec<String>,
    tags: Vec<String>,
    when: Option<Ask>,
}

/// `{kind | category, types: {include, exclude}, groups, query}`
fn filter(node: &Node) -> Result<Filter, String> {
    let mut filter = Filter::default();
    let mut when = Vec::new();
    if let Some(category) = text(node, "category").or(text(node, "kind")) {
        match CATEGORIES.iter().find(|(name, _)| name.eq_ignore_ascii_case(category)) {
            Some((_, kinds)) => filter.kinds = kinds.iter().map(|it| (*it).to_string()).collect(),
            None if category.eq_ignore_ascii_case("GENERIC") => {}
            None => return Err(format!("the category `{category}` is known in Cortex alone")),
        }
    }
    if let Some(types) = node.get("types") {
        filter.types = words(types.get("include"));
        let excluded = words(types.get("exclude"));
        if !excluded.is_empty() {
            let excluded = excluded.into_iter().map(Literal::Text).collect();
            when.push(Ask::Test(Of::Text("type"), Test::OneOf(excluded)).denied());
        }
    }
    if let Some(groups) = node.get("groups") {
        filter.tags = match groups.is_mapping() {
            true => words(groups.get("include")),
            false => words(Some(groups)),
        };
        for group in words(groups.get("exclude")) {
            when.push(Ask::Test(Of::Many("tags"), Test::Has(group)).denied());
        }
    }
    if let Some(query) = text(node, "query") {
        when.push(cql::read(query)?);
    }
    filter.when = match when.len() {
        0 => None,
        1 => when.pop(),
        _ => Some(Ask::All(when)),
    };
    Ok(filter)
}

fn words(node: Option<&Node>) -> Vec<String> {
    let items = node.map(Node::items).unwrap_or_default();
    items.iter().filter_map(Node::text).map(str::to_string).collect()
}

fn flag(node: &Node, key: &str) -> Option<bool> {
    match node.get(key)?.content {
        Content::Bool(it) => Some(it),
        _ => None,
    }
}

fn text<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.get(key).and_then(Node::text).filter(|it| !it.trim().is_empty())
}

/// `scorecard` as Cortex takes it.
pub fn export(scorecard: &Scorecard) -> Exported {
    let mut notes = left_out(scorecard);
    let mut note = |about: &str, message: String| {
        notes.push(Note { line: 1, about: about.to_string(), message });
    };
    let mut out = format!("tag: {}\nname: {}\n", quoted(&scorecard.name), quoted(&scorecard.title));
    if !scorecard.description.is_empty() {
        out.push_str(&format!("description: {}\n", quoted(&scorecard.description)));
    }
    out.push_str(&format!("draft: {}\n", scorecard.draft));
    out.push_str(&format!("exemptions:\n  enabled: {}\n", scorecard.exemptions.enabled));
    let filter = written_filter(&scorecard.filter).unwrap_or_else(|why| {
        note("filter", format!("It is left out: {why}."));
        Vec::new()
    });
    if !filter.is_empty() {
        out.push_str("filter:\n");
        filter.iter().for_each(|line| out.push_str(&format!("  {line}\n")));
    }
    let is_ladder = scorecard.levels.climb == Climb::Ladder && !scorecard.levels.all.is_empty();
    if is_ladder {
        out.push_str("ladder:\n  name: Default Ladder\n  levels:\n");
        for (place, level) in scorecard.levels.all.iter().enumerate() {
            let colour = level.colour.trim_start_matches('#');
            out.push_str(&format!(
                "  - name: {}\n    rank: {}\n    color: {}\n",
                quoted(&level.name),
                place + 1,
                quoted(colour)
            ));
        }
    }
    let mut rules = String::new();
    for (_, rule) in scorecard.rules() {
        let filter = match written_filter(&rule.filter) {
            Ok(filter) => filter,
            Err(why) => {
                note(&rule.title, format!("It is left out: of its filter {why}."));
                continue;
            }
        };
        let expression = match asked(&rule.pass).and_then(|it| cql::write(&it)) {
            Ok(expression) => expression,
            Err(why) => {
                note(&rule.title, format!("It is left out: {why}."));
                continue;
            }
        };
        rules.push_str(&format!(
            "- title: {}\n  identifier: {}\n  expression: {}\n  weight: {}\n",
            quoted(&rule.title),
            quoted(&rule.name),
            quoted(&expression),
            rule.weight
        ));
        if let Some(level) =
            rule.level.filter(|_| is_ladder).and_then(|it| scorecard.levels.all.get(it))
        {
            rules.push_str(&format!("  level: {}\n", quoted(&level.name)));
        }
        if !filter.is_empty() {
            rules.push_str("  filter:\n");
            filter.iter().for_each(|line| rules.push_str(&format!("    {line}\n")));
        }
        if let Some(from) = rule.from {
            rules.push_str(&format!("  effectiveFrom: \"{from}\"\n"));
        }
        if let Some(text) = &rule.remedy.text {
            rules.push_str(&format!("  failureMessage: {}\n", quoted(text)));
        }
    }
    out.push_str(if rules.is_empty() { "rules: []\n" } else { "rules:\n" });
    out.push_str(&rules);
    Exported { text: out, notes }
}

fn written_filter(filter: &crate::scorecards::Filter) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    let category = CATEGORIES.iter().find(|(_, kinds)| {
        filter
            .kinds
            .first()
            .is_some_and(|it| kinds.iter().any(|kind| kind.eq_ignore_ascii_case(it)))
    });
    lines.extend(category.map(|(name, _)| format!("category: {name}")));
    if !filter.types.is_empty() {
        let types: Vec<String> = filter.types.iter().map(|it| quoted(it)).collect();
        lines.push(format!("types: {{include: [{}]}}", types.join(", ")));
    }
    if let Some(when) = &filter.when {
        lines.push(format!("query: {}", quoted(&cql::write(&asked(when)?)?)));
    }
    Ok(lines)
}
