//! Why a rule finds something else than before.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Filter, Rule};
use crate::catalog::EntityRef;
use crate::catalog::flow::{Change, FieldChange};
use crate::facts::Changed;

/// What made a rule flip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// A document says something else, its own or that of something around it.
    Catalog {
        #[serde(rename = "ref")]
        reference: EntityRef,
        /// `updated`, `created`, `orphaned`, `restored`, `removed`.
        what: String,
        file: String,
        /// The field that the rule looks at, as far as one can be named.
        field: Option<FieldChange>,
        at: DateTime<Utc>,
    },
    /// Somebody reported another value.
    Fact { key: String, source: String, was: Option<Value>, became: Value, at: DateTime<Utc> },
    /// A fact no longer holds.
    Stale { key: String, since: DateTime<Utc> },
    /// The rule counts from this day on.
    Begins { from: DateTime<Utc> },
    /// The scorecard itself is another one.
    Scorecard,
    /// Somebody was exempt from the rule, or no longer is.
    Exemption { granted: bool },
    /// The rule asks for the time.
    Time,
}

impl fmt::Display for Cause {
    /// As the reason in a sentence, in plain text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Catalog { reference, what, file, field: Some(field), .. } => {
                let (path, after) = (&field.path, shown(&field.after));
                match after.is_empty() {
                    true => write!(f, "{path} of {reference} was removed in {file}")?,
                    false => write!(f, "{path} of {reference} became {after} in {file}")?,
                }
                if what != "updated" { write!(f, " ({what})") } else { Ok(()) }
            }
            Cause::Catalog { reference, what, file, field: None, .. } => {
                write!(f, "{reference} was {what} in {file}")
            }
            Cause::Fact { key, source, was, became, .. } => {
                let (was, became) = (was.as_ref().map(shown), shown(became));
                match was.filter(|was| !was.is_empty()) {
                    Some(was) => write!(f, "{source} reported {key}: {was} became {became}"),
                    None => write!(f, "{source} reported {key}: {became}"),
                }
            }
            Cause::Stale { key, since } => {
                write!(f, "{key} is stale since {}", since.format("%Y-%m-%d %H:%M UTC"))
            }
            Cause::Begins { from } => write!(f, "the rule counts from {}", from.format("%Y-%m-%d")),
            Cause::Scorecard => f.write_str("the scorecard was changed"),
            Cause::Exemption { granted: true } => f.write_str("an exemption was granted"),
            Cause::Exemption { granted: false } => f.write_str("an exemption ended"),
            Cause::Time => f.write_str("time went by"),
        }
    }
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// What happened since the last evaluation, as far as it may concern one entity.
#[derive(Debug, Clone, Copy, Default)]
pub struct Happened<'a> {
    /// Whether the rules are those of another version of the scorecard.
    pub is_redefined: bool,
    /// Of the entity itself, the newest first.
    pub own: &'a [Change],
    /// Of what is around it, the newest first.
    pub around: &'a [Change],
    /// Of its facts, the newest first.
    pub facts: &'a [Changed],
    /// The facts that no longer hold, with since when.
    pub stale: &'a [(String, DateTime<Utc>)],
}

/// Why `rule` went from `was` to `became`, which are letters of outcomes.
pub fn cause(rule: &Rule, was: char, became: char, happened: &Happened<'_>) -> Cause {
    if became == 'e' || was == 'e' {
        return Cause::Exemption { granted: became == 'e' };
    }
    if happened.is_redefined {
        return Cause::Scorecard;
    }
    if let (Some(from), 'l') = (rule.counts_from(), was) {
        return Cause::Begins { from };
    }
    let reads = &rule.pass.reads.facts;
    if let Some(changed) = happened.facts.iter().find(|it| reads.contains(&it.key)) {
        let Changed { key, source, was, became, at, .. } = changed.clone();
        return Cause::Fact { key, source, was, became, at };
    }
    if let Some((key, since)) = happened.stale.iter().find(|(key, _)| reads.contains(key)) {
        return Cause::Stale { key: key.clone(), since: *since };
    }
    let looks = looks(rule);
    let own = happened.own.iter().find_map(|change| Some((change, field(change, &looks)?)));
    if let Some((change, field)) = own {
        return of_change(change, Some(field));
    }
    // Of what is around it, a rule sees what it says and whether it is there.
    let neighbour = happened.around.first().filter(|_| looks_around(rule));
    match neighbour.or(happened.own.first()).or(happened.around.first()) {
        Some(change) => of_change(change, change.fields.first()),
        None => Cause::Time,
    }
}

fn of_change(change: &Change, field: Option<&FieldChange>) -> Cause {
    Cause::Catalog {
        reference: change.reference.clone(),
        what: change.what.clone(),
        file: change.file.clone(),
        field: field.cloned(),
        at: change.at,
    }
}

/// The field of `change` at which one of `looks` looks.
fn field<'a>(change: &'a Change, looks: &[String]) -> Option<&'a FieldChange> {
    let is_seen = |field: &&FieldChange| {
        looks
            .iter()
            .any(|path| field.path.starts_with(path.as_str()) || path.starts_with(&field.path))
    };
    change.fields.iter().find(is_seen)
}

/// Where in a document it stands what `rule` looks at.
fn looks(rule: &Rule) -> Vec<String> {
    let Filter { when, .. } = &rule.filter;
    let read = when.iter().chain([&rule.pass]).flat_map(|it| &it.reads.entity);
    let mut looks: Vec<String> = read.flat_map(|path| in_document(path)).collect();
    // What is deeper says more: `metadata.annotations.a` before `metadata.annotations`.
    looks.sort_by_key(|path| std::cmp::Reverse(path.len()));
    looks
}

/// Where in a document it stands what expressions call `path`.
fn in_document(path: &str) -> Vec<String> {
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let rest = path[end..].trim_start_matches(['.', '[', '"']).trim_end_matches(['"', ']']);
    let of_metadata = |field: &str| match rest {
        "" => vec![format!("metadata.{field}")],
        rest => vec![format!("metadata.{field}.{rest}")],
    };
    let listed = |paths: &[&str]| paths.iter().map(|it| it.to_string()).collect();
    match &path[..end] {
        field @ ("description" | "title" | "tags" | "links" | "labels" | "annotations") => {
            of_metadata(field)
        }
        field @ ("type" | "lifecycle" | "system") => vec![format!("spec.{field}")],
        "tier" => listed(&["metadata.labels.tier", "metadata.annotations.tier", "spec.tier"]),
        "owners" => listed(&["spec.owner"]),
        "depends_on" => listed(&["spec.dependsOn"]),
        "provides" => listed(&["spec.providesApis"]),
        "consumes" => listed(&["spec.consumesApis"]),
        "on_call" => listed(&[
            "metadata.annotations.pagerduty.com",
            "metadata.annotations.opsgenie.com",
            "metadata.annotations.splunk.com",
            "metadata.annotations.rootly.com",
            "spec.owner",
        ]),
        "docs" => listed(&["metadata.annotations.backstage.io/techdocs"]),
        "channels" => listed(&["metadata.annotations.slack.com"]),
        _ => Vec::new(),
    }
}

fn looks_around(rule: &Rule) -> bool {
    let when = rule.filter.when.iter();
    let mut read = when.chain([&rule.pass]).flat_map(|it| &it.reads.entity);
    read.any(|path| {
        ["owners", "depends_on", "dependents", "provides", "consumes", "on_call", "system"]
            .iter()
            .any(|field| path.starts_with(field))
    })
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use serde_json::json;

    use super::*;
    use crate::scorecards::{Keys, file};

    fn rule(pass: &str, more: &str) -> Rule {
        let text = format!(
            "name: a\nfacts: {{coverage: {{type: number}}}}\nchecks: [{{name: b, rules: [{{name: c, pass: '{pass}'{more}}}]}}]\n"
        );
        let scorecard = file::read(&text, "f", &Keys::new()).unwrap();
        scorecard.rule("c").unwrap().1.clone()
    }

    fn at(hour: u32) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 3, 1, hour, 0, 0).unwrap()
    }

    fn change(name: &str, what: &str, paths: &[&str]) -> Change {
        let field = |path: &&str| FieldChange {
            path: path.to_string(),
            before: json!("old"),
            after: json!("new"),
        };
        Change {
            at: at(1),
            reference: EntityRef::new("component", "default", name),
            what: what.into(),
            fields: paths.iter().map(field).collect(),
            owners: Vec::new(),
            file: format!("{name}.yaml"),
        }
    }

    fn said(rule: &Rule, was: char, became: char, happened: &Happened<'_>) -> String {
        cause(rule, was, became, happened).to_string()
    }

    #[test]
    fn the_field_that_the_rule_looks_at_is_named_and_its_file() {
        let own = [
            change("a", "updated", &["metadata.title", "spec.owner"]),
            change("a", "updated", &["metadata.annotations.x.example/backup", "metadata.links"]),
        ];
        let happened = Happened { own: &own, ..Happened::default() };
        for (pass, said) in [
            ("size(entity.owners) > 0", "spec.owner of component:default/a became new in a.yaml"),
            (
                "size(entity.links) > 0",
                "metadata.links of component:default/a became new in a.yaml",
            ),
            (
                "entity.annotations[\"x.example/backup\"] != \"\"",
                "metadata.annotations.x.example/backup of component:default/a became new in a.yaml",
            ),
            (
                "entity.annotations.exists(key, key != \"\")",
                "metadata.annotations.x.example/backup of component:default/a became new in a.yaml",
            ),
        ] {
            assert_eq!(self::said(&rule(pass, ""), 'p', 'f', &happened), said, "{pass}");
        }
    }

    #[test]
    fn what_is_around_it_is_named_where_the_rule_looks_around() {
        let own = [change("a", "updated", &["metadata.title"])];
        let around = [change("b", "orphaned", &[])];
        let happened = Happened { own: &own, around: &around, ..Happened::default() };
        assert_eq!(
            said(&rule("entity.depends_on.all(it, it.known)", ""), 'p', 'f', &happened),
            "component:default/b was orphaned in b.yaml"
        );
    }

    #[test]
    fn exemptions_definitions_days_facts_and_time_are_told_apart() {
        let of_fact = rule("facts.coverage > 80", "");
        let plain = rule("entity.docs", ", from: 2026-03-01");
        let changed = [Changed {
            entity: EntityRef::new("component", "default", "a"),
            key: "coverage".into(),
            was: Some(json!(81)),
            became: json!(79.5),
            source: "ci".into(),
            observed_at: at(1),
            at: at(1),
        }];
        let stale = [("coverage".to_string(), at(2))];
        let facts = Happened { facts: &changed, ..Happened::default() };
        let gone = Happened { stale: &stale, ..Happened::default() };
        let redefined = Happened { is_redefined: true, ..facts };
        let nothing = Happened::default();
        for (rule, was, became, happened, said) in [
            (&of_fact, 'p', 'f', &facts, "ci reported coverage: 81 became 79.5"),
            (&of_fact, 'p', 'u', &gone, "coverage is stale since 2026-03-01 02:00 UTC"),
            (&of_fact, 'p', 'f', &redefined, "the scorecard was changed"),
            (&of_fact, 'f', 'e', &redefined, "an exemption was granted"),
            (&of_fact, 'e', 'f', &nothing, "an exemption ended"),
            (&plain, 'l', 'f', &nothing, "the rule counts from 2026-03-01"),
            (&plain, 'p', 'f', &nothing, "time went by"),
        ] {
            assert_eq!(self::said(rule, was, became, happened), said);
        }
    }

    #[test]
    fn a_cause_is_read_as_it_is_written() {
        let own = [change("a", "updated", &["spec.owner"])];
        let happened = Happened { own: &own, ..Happened::default() };
        let cause = cause(&rule("size(entity.owners) > 0", ""), 'p', 'f', &happened);
        let written = serde_json::to_value(&cause).unwrap();
        assert_eq!(written["kind"], "catalog");
        assert_eq!(serde_json::from_value::<Cause>(written).unwrap(), cause);
    }
}
