//! Scorecards of other products, in and out.
//!
//! ```text
//! Port's JSON ────┐                     ┌──▶ a file of ours, and what it leaves out
//!                 ├──▶ Ask (ask.rs) ────┤
//! Cortex's YAML ──┘        ▲            └──▶ Port's JSON, Cortex's YAML, and what they leave out
//!                     our rules (cel.rs)
//! ```
//! What cannot be said in the other language is left out and told, rule by rule: a rule that asks something else than it
//! did would be worse than none.

pub mod ask;
pub mod cel;
pub mod cortex;
pub mod cql;
mod draft;
pub mod port;

use std::collections::BTreeMap;

use serde::Serialize;

use super::Scorecard;
use super::expression::Expression;
use super::level::Climb;
use crate::catalog::Problem;
use ask::Ask;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Port,
    Cortex,
}

/// What came of one scorecard of another product.
#[derive(Debug, Serialize)]
pub struct Imported {
    /// Also that of its file, without `.yaml`.
    pub name: String,
    /// A good scorecard file; `None` where no rule could be translated.
    pub text: Option<String>,
    pub translated: usize,
    /// How many rules it had.
    pub all: usize,
    /// The facts that it asks for, with their types: who reports them?
    pub facts: BTreeMap<String, String>,
    pub notes: Vec<Note>,
}

/// What was left out or changed, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// In the file that was read, from 1.
    pub line: u32,
    /// The title of a rule, or a key.
    pub about: String,
    /// Full sentences.
    pub message: String,
}

/// A scorecard of ours for another product.
#[derive(Debug, Serialize)]
pub struct Exported {
    pub text: String,
    pub notes: Vec<Note>,
}

/// The scorecards of `text`, which is a file of another product.
///
/// # Errors
/// Every problem of a file that is none, with its place.
pub fn import(format: Format, text: &str, file: &str) -> Result<Vec<Imported>, Vec<Problem>> {
    match format {
        Format::Port => port::import(text, file),
        Format::Cortex => cortex::import(text, file),
    }
}

/// `scorecard` as the other product takes it.
pub fn export(format: Format, scorecard: &Scorecard) -> Exported {
    match format {
        Format::Port => port::export(scorecard),
        Format::Cortex => cortex::export(scorecard),
    }
}

/// What `expression` asks, for another product.
fn asked(expression: &Expression) -> Result<Ask, String> {
    cel::read(&expression.source)
}

/// Notes on what no other product has.
fn left_out(scorecard: &Scorecard) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut note = |about: &str, message: &str| {
        notes.push(Note { line: 1, about: about.to_string(), message: message.to_string() });
    };
    if scorecard.levels.climb == Climb::Thresholds && !scorecard.levels.all.is_empty() {
        note("levels", "Levels by percentages are left out: there a level is a ladder's.");
    }
    if scorecard.checks.len() > 1 {
        note(
            "checks",
            "The rules of all checks stand in one list, without the weights of the checks.",
        );
    }
    if !scorecard.filter.lifecycles.is_empty() || !scorecard.filter.tags.is_empty() {
        note("filter", "`lifecycles` and `tags` of the filter are left out.");
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::ask::{Literal, Of, Test};
    use super::*;
    use crate::scorecards::{Keys, file};

    const PORT: &str = r#"[{"blueprint": "service", "data": [{
        "identifier": "Ownership", "title": "Ownership",
        "filter": {"combinator": "and", "conditions": [{"property": "lifecycle", "operator": "=", "value": "production"}]},
        "levels": [{"title": "Basic"}, {"title": "Bronze"}, {"title": "Silver"}, {"title": "Gold"}],
        "rules": [
            {"identifier": "hasTeam", "title": "Has a team", "level": "Bronze", "description": "Name one.",
             "query": {"combinator": "and", "conditions": [{"property": "$team", "operator": "isNotEmpty"}]}},
            {"identifier": "fewIncidents", "title": "Few incidents", "level": "Silver",
             "query": {"combinator": "or", "conditions": [
                {"property": "open_incidents", "operator": "<", "value": 5},
                {"property": "hasReadme", "operator": "=", "value": true},
                {"property": "language", "operator": "doesNotContains", "value": "COBOL"}]}},
            {"identifier": "domain", "title": "Has a domain", "level": "Silver",
             "query": {"combinator": "and", "conditions": [{"relation": "domain", "operator": "isNotEmpty"}]}},
            {"identifier": "base", "title": "Of the base", "level": "Basic",
             "query": {"combinator": "and", "conditions": [{"property": "a", "operator": "isEmpty"}]}}
        ]}]}]"#;

    const CORTEX: &str = "\
tag: readiness
name: Readiness
draft: false
notifications: {enabled: true}
ladder:
  name: Default
  levels:
  - {name: Gold, rank: 2, color: d4a72c}
  - {name: Bronze, rank: 1}
rules:
- title: Has a repository
  expression: git != null
  level: Bronze
  weight: 2
  failureMessage: Register it.
- title: Covered
  identifier: covered
  expression: 'jq(custom(\"lineCoverage\"), \". | tonumber\") >= 80 AND ownership.teams().length > 0'
  level: Gold
  effectiveFrom: 2026-05-01T00:00:00Z
  filter: {category: SERVICE, query: 'hasGroup(\"pci\")'}
- title: Deployed lately
  expression: deploys(lookback=duration(\"P30D\")).length > 0
  level: Gold
filter: {category: SERVICE, types: {exclude: [lambda]}}
";

    #[test]
    fn a_scorecard_of_port_becomes_a_ladder_and_tells_what_it_leaves_out() {
        let imported = import(Format::Port, PORT, "port.json").unwrap().remove(0);
        let text = imported.text.unwrap();
        assert_eq!((imported.translated, imported.all), (2, 4), "{text}");
        assert!(text.contains("levels: [\"Bronze\", \"Silver\"]"), "{text}");
        assert!(text.contains("when: \"entity.lifecycle == \\\"production\\\"\""), "{text}");
        assert!(text.contains("pass: \"size(entity.owners) > 0\""), "{text}");
        let rule = "facts.open_incidents < 5 || facts.has_readme || !(facts.language.contains(\\\"COBOL\\\"))";
        assert!(text.contains(rule), "{text}");
        let facts: Vec<_> =
            imported.facts.iter().map(|(key, kind)| format!("{key}: {kind}")).collect();
        assert_eq!(facts, ["has_readme: bool", "language: text", "open_incidents: number"]);
        let told: Vec<&str> = imported.notes.iter().map(|it| it.about.as_str()).collect();
        assert_eq!(told, ["Has a domain", "Of the base", "Gold"]);
        assert_eq!(imported.notes[0].line, 13);
    }

    /// The trap of the format: the rank 1 is the lowest.
    #[test]
    fn a_scorecard_of_cortex_keeps_its_ladder_weights_and_dates() {
        let imported = import(Format::Cortex, CORTEX, "cortex.yaml").unwrap().remove(0);
        let text = imported.text.unwrap();
        let scorecard = file::read(&text, "readiness.yaml", &Keys::new()).unwrap();
        let levels: Vec<&str> = scorecard.levels.all.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(levels, ["Bronze", "Gold"]);
        let rules: Vec<_> =
            scorecard.rules().map(|(_, it)| (it.name.as_str(), it.weight, it.level)).collect();
        assert_eq!(rules, [("has-a-repository", 2, Some(0)), ("covered", 1, Some(1))]);
        assert!(scorecard.rule("covered").unwrap().1.from.is_some());
        assert!(text.contains("facts.line_coverage >= 80 && size(entity.owners) > 0"), "{text}");
        let told: Vec<_> = imported.notes.iter().map(|it| (it.about.as_str(), it.line)).collect();
        assert_eq!(told, [("notifications", 4), ("Deployed lately", 22)]);
        assert!(imported.notes[1].message.contains("`deploys` is known in Cortex alone"));
    }

    #[test]
    fn what_was_exported_is_imported_as_it_was() {
        for (format, text) in [(Format::Cortex, CORTEX), (Format::Port, PORT)] {
            let first = import(format, text, "a").unwrap().remove(0);
            let once = file::read(&first.text.unwrap(), "a.yaml", &Keys::new()).unwrap();
            let exported = export(format, &once);
            let again = import(format, &exported.text, "b").unwrap().remove(0);
            assert_eq!(again.translated, first.translated, "{}", exported.text);
            let twice = file::read(&again.text.unwrap(), "b.yaml", &Keys::new()).unwrap();
            let said = |it: &Scorecard| -> Vec<String> {
                it.rules().map(|(_, rule)| rule.pass.source.clone()).collect()
            };
            assert_eq!(said(&once), said(&twice));
            assert_eq!(once.levels, twice.levels);
            assert_eq!(once.filter.kinds, twice.filter.kinds);
        }
    }

    #[test]
    fn what_is_asked_is_read_back_from_our_rules() {
        let fact = || Of::Fact("ci.green".into());
        let test = |of: Of, test: Test| Ask::Test(of, test);
        let text = |it: &str| it.to_string();
        let asks = [
            test(Of::Text("description"), Test::Empty).denied(),
            test(Of::Text("name"), Test::Is(Literal::Text("a\"b\\".into()))),
            test(Of::Text("tier"), Test::OneOf(vec![Literal::Text("1".into())])).denied(),
            test(Of::Text("description"), Test::Compare(">=", 20.0)),
            test(Of::Many("owners"), Test::Empty),
            test(Of::Many("owners"), Test::Empty).denied(),
            test(Of::Many("tags"), Test::Has(text("pci"))),
            test(Of::Many("depends_on"), Test::Compare("<", 10.0)),
            test(Of::Links(text("runbook")), Test::Empty).denied(),
            test(Of::Links(text("runbook")), Test::Compare(">=", 2.0)),
            test(Of::Repository, Test::Empty).denied(),
            Ask::flag("ci.green", true),
            Ask::flag("coverage", false),
            test(fact(), Test::Compare(">", 80.5)),
            test(fact(), Test::Matches(text("^v[0-9]+$"))),
            test(fact(), Test::StartsWith(text("a"))).denied(),
            test(fact(), Test::EndsWith(text("é"))),
            test(fact(), Test::Within(604_800)),
            test(fact(), Test::Time(">=", text("2026-01-01T00:00:00Z"))),
            test(fact(), Test::Is(Literal::Number(3.0))).denied(),
        ];
        let both =
            Ask::All(vec![Ask::Any(asks[..3].to_vec()), asks[4].clone(), Ask::flag("a", true)]);
        for ask in asks.into_iter().chain([both]) {
            assert_eq!(cel::read(&ask.to_cel()), Ok(ask.clone()), "{}", ask.to_cel());
        }
    }

    #[test]
    fn what_cortex_asks_is_read_back_from_cortex() {
        for (said, ours) in [
            ("git != null", "[\"github.com/project-slug\""),
            ("oncall == null", "entity.on_call == \"\""),
            ("slack != null", "size(entity.channels) > 0"),
            ("entity.tag() == \"a\"", "entity.name == \"a\""),
            ("entity.description().length >= 20", "size(entity.description) >= 20"),
            ("ownership.teams().length > 0", "size(entity.owners) > 0"),
            (
                "hasGroup(\"pci\") or hasGroup(\"sox\")",
                "\"pci\" in entity.tags || \"sox\" in entity.tags",
            ),
            ("links(\"runbook\").length > 0", "entity.links.exists(it, it.type == \"runbook\")"),
            ("custom(\"owner\") != null", "facts.owner != \"\""),
            ("jq(custom(\"deep\"), \"not\")", "!facts.deep"),
            ("jq(custom(\"lines\"), \". | tonumber\") <= 500", "facts.lines <= 500"),
            ("entity.tag().matchesIn(\"^a+\")", "entity.name.matches(\"^a+\")"),
            ("!(hasGroup(\"a\") and git != null)", "!(\"a\" in entity.tags && "),
        ] {
            let ask = cql::read(said).unwrap_or_else(|why| panic!("{said}: {why}"));
            assert!(ask.to_cel().starts_with(ours), "{said}: {}", ask.to_cel());
            assert_eq!(cql::write(&ask).as_deref(), Ok(said));
        }
        for (said, ours) in [
            (
                "!(entity.tag().matches(\".*claude.*\") OR entity.tag().matches(\".*ai.*\"))",
                "!(entity.name.contains(\"claude\") || entity.name.contains(\"ai\"))",
            ),
            ("entity.tag().matches(\"a-[0-9]+\")", "entity.name.matches(\"^(?:a-[0-9]+)$\")"),
            ("groups().any((group) => group.name == \"pci\")", "\"pci\" in entity.tags"),
            ("not custom('testField') == null", "facts.test_field != \"\""),
        ] {
            assert_eq!(cql::read(said).map(|it| it.to_cel()).as_deref(), Ok(ours), "{said}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_and_nothing_is_guessed() {
        for said in [
            "",
            "git",
            "git !=",
            "(git != null",
            "git != null)",
            "\"a",
            "a ~ b",
            "custom(",
            "jq(custom(\"a\"), \".b\")",
            "entity.destinations(relationshipType = \"x\").length > 0",
            "verifications().lastVerifiedAt().fromNow() > duration(\"P-90D\")",
            "groups().any((group) => group.name.matchesIn(\"tier-\"))",
            "entity.tag() == 7",
        ] {
            let why = cql::read(said).expect_err(said);
            assert!(!why.is_empty() && !why.ends_with('.'), "{said}: {why}");
        }
        assert!(cql::read(&"(".repeat(10_000)).is_err());
        assert!(cql::read(&format!("{}a{}", "(".repeat(1_000), ")".repeat(1_000))).is_err());
    }

    #[test]
    fn a_file_of_another_kind_is_refused_with_its_place() {
        for (format, text, line) in [
            (Format::Port, "", 1),
            (Format::Port, "[]", 1),
            (Format::Port, "{\"title\": \"a\"}", 1),
            (Format::Port, "{\n\"rules\": []}", 1),
            (Format::Port, "{\"identifier\": \"a\",\n\"rules\": [\n{\"title\": \"b\"}]}", 3),
            (Format::Port, "{\"a\": [", 1),
            (Format::Cortex, "", 1),
            (Format::Cortex, "- a", 1),
            (Format::Cortex, "tag: a", 1),
            (Format::Cortex, "tag: a\nname: b\nrules:\n- title: c", 4),
            (Format::Cortex, "tag: [", 1),
        ] {
            let problems = import(format, text, "f").map(|_| ()).expect_err(text);
            assert_eq!(
                (problems[0].line, problems[0].file.as_str()),
                (line, "f"),
                "{text}: {problems:?}"
            );
        }
        let none = import(Format::Cortex, "tag: a\nname: b\nrules: []\n", "f").unwrap().remove(0);
        assert_eq!((none.text, none.all), (None, 0));
    }

    #[test]
    fn a_fact_of_two_kinds_costs_the_second_rule_alone() {
        let text = "tag: a\nname: b\nrules:\n- {title: one, expression: 'custom(\"k\") == \"v\"'}\n- {title: two, expression: 'jq(custom(\"k\"), \"not\")'}\n";
        let imported = import(Format::Cortex, text, "f").unwrap().remove(0);
        assert_eq!((imported.translated, imported.all), (1, 2));
        assert!(
            imported.notes[0].message.contains("takes the fact `k` for a bool"),
            "{:?}",
            imported.notes
        );
    }
}
