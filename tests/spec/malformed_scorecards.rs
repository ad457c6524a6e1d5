//! Scorecards that are none, facts that are no facts, and expressions that try to take long: each is told or unknown,
//! and none passes.

use std::cell::Cell;
use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use idp::catalog::EntityRef;
use idp::facts::{self, Fact, Kind};
use idp::scorecards::expression::{Expression, Stop, Subject, Vocabulary};
use idp::scorecards::judge::{Known, judge};
use idp::scorecards::{Keys, Scorecard, file};
use serde_json::{Map, Value, json};

use crate::bombs;

/// One of everything that a file may say, as JSON, which is YAML: each key stands in a line of its own.
fn good() -> Value {
    json!({
        "name": "service",
        "title": "Service",
        "description": "What a service needs.",
        "draft": false,
        "filter": {
            "kinds": ["Component"],
            "types": ["service"],
            "lifecycles": ["production"],
            "tags": ["pci"],
            "when": "entity.tier != \"3\"",
        },
        "facts": {
            "coverage": { "type": "number", "valid_for": "7d" },
            "ci.green": { "type": "bool" },
            "seen_at": { "type": "time" },
            "licences": { "type": "list" },
        },
        "checks": [{
            "name": "docs",
            "title": "Documentation",
            "weight": 2,
            "rules": [{
                "name": "runbook",
                "title": "A runbook is linked",
                "weight": 3,
                "filter": "entity.type == \"service\"",
                "pass": "entity.links.exists(it, it.type == \"runbook\")",
                "from": "2026-03-01",
                "effort": "S",
                "remedy": { "text": "Link it.", "link": "https://wiki.example/runbooks", "action": "add-runbook" },
            }],
        }],
        "levels": [{ "name": "Bronze", "from": 60, "colour": "#b08d57" }, { "name": "Gold", "from": 90 }],
        "exemptions": { "enabled": true, "days_max": 30, "approvers": ["group:platform"] },
    })
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

/// A file that must be refused, and the line where it must be, where that is known.
struct Malformed {
    what: String,
    text: String,
    line: Option<usize>,
}

/// Every place in `value`: the pointers of all keys and items.
fn places(value: &Value, path: &str, found: &mut Vec<String>) {
    let fields: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(key, it)| (key.clone(), it)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(place, it)| (place.to_string(), it)).collect()
        }
        _ => return,
    };
    for (key, field) in fields {
        let path = format!("{path}/{key}");
        found.push(path.clone());
        places(field, &path, found);
    }
}

/// The line from which on the two differ, from 1.
fn first_difference(one: &str, other: &str) -> usize {
    one.lines().zip(other.lines()).position(|(one, other)| one != other).unwrap_or_default() + 1
}

fn changed(what: String, value: &Value) -> Malformed {
    let text = pretty(value);
    let line = first_difference(&pretty(&good()), &text);
    Malformed { what, text, line: Some(line) }
}

/// Each value as one of other kinds, each key misspelt or said twice, and what is needed left out.
fn systematic() -> Vec<Malformed> {
    let base = good();
    let mut places_of = Vec::new();
    places(&base, "", &mut places_of);
    let mut all = Vec::new();
    for place in &places_of {
        let value = base.pointer(place).unwrap();
        let wrong: Vec<Value> = match value {
            Value::Object(_) => vec![json!([["x"]]), json!([1])],
            Value::Array(_) => vec![json!({ "zzz": 1 })],
            Value::Number(_) => vec![
                json!(-1),
                json!(0.5),
                json!("many"),
                json!([1]),
                json!({ "zzz": 1 }),
                json!(100_001),
            ],
            Value::Bool(_) => vec![json!("perhaps"), json!(2), json!([true])],
            _ => vec![json!(["x"]), json!({ "zzz": "x" }), json!("x".repeat(2_000))],
        };
        for wrong in wrong {
            let mut changed_value = base.clone();
            *changed_value.pointer_mut(place).unwrap() = wrong.clone();
            let shown: String = wrong.to_string().chars().take(20).collect();
            all.push(changed(format!("{place} = {shown}"), &changed_value));
        }
        let (parent, key) = place.rsplit_once('/').unwrap();
        let Some(Value::Object(fields)) = base.pointer(parent) else { continue };
        // The keys of facts are names of one's own; each is asked for once more below.
        if parent != "/facts" {
            let mut misspelt = base.clone();
            let renamed: Map<String, Value> = fields
                .iter()
                .map(|(it, value)| {
                    (if it == key { format!("{it}x") } else { it.clone() }, value.clone())
                })
                .collect();
            *misspelt.pointer_mut(parent).unwrap() = Value::Object(renamed);
            all.push(changed(format!("{place} misspelt"), &misspelt));
        }
        let said = serde_json::to_string(key).unwrap();
        if let Value::String(_) | Value::Number(_) | Value::Bool(_) = value {
            // Said twice: the line again, after itself.
            let text = pretty(&base);
            let needle = format!("{said}: {value}");
            let at = text.find(&needle).unwrap();
            let twice = format!("{}{needle},\n{}", &text[..at], &text[at..]);
            all.push(Malformed { what: format!("{place} twice"), text: twice, line: None });
        }
    }
    for needed in [
        "/name",
        "/checks",
        "/checks/0/name",
        "/checks/0/rules",
        "/checks/0/rules/0/name",
        "/checks/0/rules/0/pass",
        "/levels/0/name",
        "/levels/0/from",
    ] {
        let (parent, key) = needed.rsplit_once('/').unwrap();
        for empty in [None, Some(Value::Null), Some(json!("")), Some(json!([]))] {
            let mut lacking = base.clone();
            let fields = lacking.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            match &empty {
                None => drop(fields.shift_remove(key)),
                Some(empty) => drop(fields.insert(key.into(), empty.clone())),
            }
            let what = format!("{needed} left out as {empty:?}");
            all.push(Malformed { what, text: pretty(&lacking), line: None });
        }
    }
    all
}

/// Each field of an entity misspelt and taken for something else, and each function misused.
fn expressions() -> Vec<String> {
    let Kind::Record(fields) = facts::catalog::kind() else { panic!("an entity is a record") };
    let mut all = Vec::new();
    for (field, kind) in &fields {
        all.push(format!("entity.{field}x == \"\""));
        all.push(match kind {
            Kind::Text => format!("entity.{field} == 1"),
            Kind::Bool => format!("entity.{field} == \"true\""),
            Kind::Number => format!("entity.{field} == \"1\""),
            _ => format!("entity.{field} > 1"),
        });
        // What is no truth is no rule.
        if *kind != Kind::Bool {
            all.push(format!("entity.{field}"));
        }
    }
    all.extend(WRONG_EXPRESSIONS.map(str::to_string));
    all
}

const WRONG_EXPRESSIONS: [&str; 62] = [
    "&&",
    "entity.",
    "entity.docs &&",
    "(entity.docs",
    "entity.docs)",
    "entity.docs || || entity.docs",
    "\"open",
    "entity.docs = true",
    "entity.docs == ",
    "!",
    "entity..docs",
    "entity[\"docs\"",
    "1 +",
    "? : ",
    "[1, 2",
    "true",
    "false",
    "1",
    "\"yes\"",
    "1 + 1",
    "entity",
    "facts",
    "now",
    "null",
    "entity.docs == null",
    "facts.covrage > 80",
    "facts.ci.green",
    "facts[entity.name]",
    "facts.coverage > \"80\"",
    "facts.coverage",
    "facts.coverage == true",
    "facts.licences == \"MIT\"",
    "facts.seen_at > 5",
    "facts[\"ci.green\"] > 1",
    "has(facts.coverage)",
    "has(entity.docs)",
    "has(entity)",
    "entty.docs",
    "foo(1)",
    "type(1) == int",
    "entity.links.exist(it, it.type == 'a')",
    "entity.links.exists(it, it.tipe == 'a')",
    "entity.links.exists(it, it.type)",
    "entity.links.exists(1, true)",
    "entity.links.exists(entity, true)",
    "entity.name.exists(it, true)",
    "exists(entity.links, it)",
    "entity.links.all(it)",
    "entity.tags.map(it)",
    "entity.name.matches(entity.title)",
    "entity.name.matches('(')",
    "entity.name.matches('(?=a)')",
    "entity.links[0] == entity.links[1]",
    "entity == entity",
    "entity.docs > true",
    "entity.name + 1 == ''",
    "{'a': 1} == {}",
    "[1, 'a'] == []",
    "timestamp('yesterday') < now",
    "now - now < duration('3 days')",
    "size(1) == 1",
    "entity.name.startsWith(1)",
];

/// What people write by mistake, and what is no such file at all.
const BY_HAND: [(&str, &str); 44] = [
    ("nothing", ""),
    ("a comment", "# name: a\n"),
    ("a text", "production readiness\n"),
    ("a list", "- name: a\n"),
    ("a number", "3\n"),
    ("half a mapping", "name: a\nchecks: [\n"),
    ("a tab", "name: a\n\tchecks: []\n"),
    (
        "two documents",
        "name: a\nchecks: [{name: b, rules: [{name: c, pass: entity.docs}]}]\n---\nname: b\n",
    ),
    ("a scorecard of Port", "identifier: a\nrules: []\n"),
    ("a descriptor", "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: a}\n"),
    ("an alias of nobody", "name: *a\nchecks: []\n"),
    ("a capital", "name: A\nchecks: [{name: b, rules: [{name: c, pass: entity.docs}]}]\n"),
    (
        "a blank in a name",
        "name: a b\nchecks: [{name: b, rules: [{name: c, pass: entity.docs}]}]\n",
    ),
    (
        "a name that begins with a digit",
        "name: 1a\nchecks: [{name: b, rules: [{name: c, pass: entity.docs}]}]\n",
    ),
    (
        "a path for a name",
        "name: ../a\nchecks: [{name: b, rules: [{name: c, pass: entity.docs}]}]\n",
    ),
    (
        "a slash in a rule",
        "name: a\nchecks: [{name: b, rules: [{name: c/d, pass: entity.docs}]}]\n",
    ),
    ("no check", "name: a\nchecks: []\n"),
    ("no rule", "name: a\nchecks: [{name: b, rules: []}]\n"),
    ("a rule without pass", "name: a\nchecks: [{name: b, rules: [{name: c}]}]\n"),
    ("a rule that is a text", "name: a\nchecks: [{name: b, rules: [entity.docs]}]\n"),
    ("a check that is a text", "name: a\nchecks: [docs]\n"),
    (
        "a check twice",
        "name: a\nchecks: [{name: b, rules: [{name: c, pass: entity.docs}]}, {name: b, rules: [{name: d, pass: entity.docs}]}]\n",
    ),
    (
        "a rule twice",
        "name: a\nchecks: [{name: b, rules: [{name: c, pass: entity.docs}, {name: c, pass: entity.docs}]}]\n",
    ),
    (
        "a rule twice in two checks",
        "name: a\nchecks: [{name: b, rules: [{name: c, pass: entity.docs}]}, {name: d, rules: [{name: c, pass: entity.docs}]}]\n",
    ),
    ("always", "name: a\nchecks: [{name: b, rules: [{name: c, pass: true}]}]\n"),
    ("never", "name: a\nchecks: [{name: b, rules: [{name: c, pass: false}]}]\n"),
    (
        "a fact of nobody",
        "name: a\nchecks: [{name: b, rules: [{name: c, pass: facts.coverage > 1}]}]\n",
    ),
    (
        "a fact without a type",
        "name: a\nfacts: {coverage: {valid_for: 7d}}\nchecks: [{name: b, rules: [{name: c, pass: facts.coverage > 1}]}]\n",
    ),
    (
        "a fact of another type",
        "name: a\nfacts: {coverage: {type: percent}}\nchecks: [{name: b, rules: [{name: c, pass: facts.coverage > 1}]}]\n",
    ),
    (
        "facts in a filter",
        "name: a\nfilter: facts.coverage > 1\nfacts: {coverage: {type: number}}\nchecks: [{name: b, rules: [{name: c, pass: entity.docs}]}]\n",
    ),
    (
        "facts in the filter of a rule",
        "name: a\nfacts: {coverage: {type: number}}\nchecks: [{name: b, rules: [{name: c, filter: facts.coverage > 1, pass: entity.docs}]}]\n",
    ),
    (
        "a day that there is not",
        "name: a\nchecks: [{name: b, rules: [{name: c, pass: entity.docs, from: 2026-02-30}]}]\n",
    ),
    (
        "a day as people write it",
        "name: a\nchecks: [{name: b, rules: [{name: c, pass: entity.docs, from: 1.3.2026}]}]\n",
    ),
    (
        "an effort of nobody",
        "name: a\nchecks: [{name: b, rules: [{name: c, pass: entity.docs, effort: XXL}]}]\n",
    ),
    (
        "a script for a link",
        "name: a\nchecks: [{name: b, rules: [{name: c, pass: entity.docs, remedy: {link: 'javascript:alert(1)'}}]}]\n",
    ),
    (
        "a level that nobody reaches",
        "name: a\nchecks: [{name: b, rules: [{name: c, pass: entity.docs}]}]\nlevels: [{name: Gold, from: 101}]\n",
    ),
    (
        "two levels from one percentage",
        "name: a\nchecks: [{name: b, rules: [{name: c, pass: entity.docs}]}]\nlevels: [{name: A, from: 60}, {name: B, from: 60}]\n",
    ),
    (
        "two levels of one name",
        "name: a\nchecks: [{name: b, rules: [{name: c, pass: entity.docs}]}]\nlevels: [{name: A, from: 60}, {name: A, from: 70}]\n",
    ),
    (
        "half a ladder",
        "name: a\nchecks: [{name: b, rules: [{name: c, pass: entity.docs}]}]\nlevels: [A, {name: B, from: 70}]\n",
    ),
    (
        "a rung that no rule asks for",
        "name: a\nchecks: [{name: b, rules: [{name: c, pass: entity.docs, level: A}]}]\nlevels: [A, B]\n",
    ),
    (
        "a rung that there is not",
        "name: a\nchecks: [{name: b, rules: [{name: c, pass: entity.docs, level: C}]}]\nlevels: [A]\n",
    ),
    (
        "a rung where percentages count",
        "name: a\nchecks: [{name: b, rules: [{name: c, pass: entity.docs, level: A}]}]\nlevels: [{name: A, from: 60}]\n",
    ),
    (
        "an approver that is none",
        "name: a\nchecks: [{name: b, rules: [{name: c, pass: entity.docs}]}]\nexemptions: {approvers: ['component:a']}\n",
    ),
    (
        "a level that is a colour",
        "name: a\nchecks: [{name: b, rules: [{name: c, pass: entity.docs}]}]\nlevels: [{name: A, from: 60, colour: red;fill}]\n",
    ),
];

fn all() -> Vec<Malformed> {
    let of_expression = |source: String| {
        let mut value = good();
        value["checks"][0]["rules"][0]["pass"] = json!(source);
        let line = first_difference(&pretty(&good()), &pretty(&value));
        Malformed { what: format!("pass: {source}"), text: pretty(&value), line: Some(line) }
    };
    let of_filter = |source: &str| {
        let mut value = good();
        value["filter"]["when"] = json!(source);
        Malformed { what: format!("when: {source}"), text: pretty(&value), line: None }
    };
    let by_hand = BY_HAND.iter().map(|(what, text)| Malformed {
        what: what.to_string(),
        text: text.to_string(),
        line: None,
    });
    let expressions = expressions().into_iter().map(of_expression);
    let filters = WRONG_EXPRESSIONS[..16].iter().map(|it| of_filter(it));
    systematic().into_iter().chain(expressions).chain(filters).chain(by_hand).collect()
}

#[test]
fn every_malformed_scorecard_is_told_with_its_place_and_none_is_taken() {
    let base = file::read(&pretty(&good()), "good.yaml", &Keys::new());
    assert!(base.is_ok(), "the control: {base:#?}");
    let all = all();
    let (mut accepted, mut unclear) = (Vec::new(), Vec::new());
    for Malformed { what, text, line } in &all {
        let Err(problems) = file::read(text, "bad.yaml", &Keys::new()) else {
            accepted.push(what);
            continue;
        };
        let is_clear = problems.iter().all(|it| {
            let is_told = it.message.len() > 8
                && it.message.len() < 600
                && it.message.ends_with(['.', '?', ')']);
            it.file == "bad.yaml" && it.line > 0 && it.column > 0 && is_told && !it.hint.is_empty()
        });
        let is_there = line.is_none_or(|line| {
            problems.iter().any(|it| (line..=line + 1).contains(&(it.line as usize)))
        });
        if problems.is_empty() || !is_clear || !is_there {
            unclear.push(format!("{what}, in line {line:?}: {problems:#?}"));
        }
    }
    println!(
        "REL malformed scorecards {}: {} accepted, {} unclear",
        all.len(),
        accepted.len(),
        unclear.len()
    );
    assert!(all.len() >= 300, "{}", all.len());
    assert!(accepted.is_empty() && unclear.is_empty(), "{accepted:#?}\n{}", unclear.join("\n"));
}

fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap()
}

/// What `scorecard` finds by its only rule when `fact` is all that was reported.
fn letter(scorecard: &Scorecard, fact: Option<Fact>) -> char {
    let (entity, exempt) = (json!({ "docs": true }), BTreeMap::new());
    let facts: Vec<Fact> = fact.into_iter().collect();
    let known = Known { entity: &entity, facts: &facts, exempt: &exempt };
    judge(scorecard, &known, noon()).unwrap().checks[0].rules[0].letter()
}

/// Rules that pass of the value beside them, one for each type of fact.
fn rules() -> [(&'static str, &'static str, Value); 5] {
    [
        ("bool", "facts.it", json!(true)),
        ("number", "facts.it >= 80", json!(81.5)),
        ("text", "facts.it != \"\"", json!("green")),
        ("time", "facts.it < now", json!("2026-01-01T00:00:00Z")),
        ("list", "size(facts.it) > 0", json!(["MIT"])),
    ]
}

#[test]
fn no_fact_of_another_type_and_no_stale_one_passes() {
    let values = [
        json!(true),
        json!(81.5),
        json!("green"),
        json!("2026-01-01T00:00:00Z"),
        json!(["MIT"]),
        json!(null),
        json!([1]),
        json!({ "a": 1 }),
        json!([[]]),
        json!([null]),
        json!({}),
        json!("81.5"),
        json!("true"),
    ];
    let (hour, mut tried) = (TimeDelta::hours(1), 0);
    for (kind, pass, good) in rules() {
        // What stands around a fact that does not hold changes nothing.
        for around in ["#", "entity.docs || #", "!(#) || #", "# || !(#)", "entity.docs ? # : true"]
        {
            let pass = around.replace('#', &format!("({pass})"));
            let text = format!(
                "name: a\nfacts: {{it: {{type: {kind}}}}}\nchecks:\n  - name: b\n    rules:\n      - name: c\n        pass: '{pass}'\n"
            );
            let scorecard = file::read(&text, "a.yaml", &Keys::new())
                .unwrap_or_else(|it| panic!("{text}\n{it:#?}"));
            let fact = |value: &Value, valid_until| {
                Some(Fact {
                    entity: EntityRef::new("component", "default", "a"),
                    key: "it".into(),
                    value: value.clone(),
                    source: "ci".into(),
                    observed_at: noon() - hour,
                    valid_until,
                })
            };
            assert_eq!(
                letter(&scorecard, fact(&good, Some(noon() + hour))),
                'p',
                "the control: {text}"
            );
            assert_eq!(letter(&scorecard, None), 'u', "missing: {text}");
            for until in [noon(), noon() - TimeDelta::seconds(1), noon() - TimeDelta::days(400)] {
                assert_eq!(letter(&scorecard, fact(&good, Some(until))), 'u', "stale: {text}");
                tried += 1;
            }
            for value in values.iter().filter(|it| !is_of(it, kind)) {
                assert_eq!(letter(&scorecard, fact(value, None)), 'u', "{value}: {text}");
                tried += 1;
            }
        }
    }
    println!("REL facts of other types and stale ones {tried}: 0 passed");
}

/// Whether `value` is of the type `kind`, told without the code that is tested.
fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "bool" => value.is_boolean(),
        "number" => value.is_number(),
        "text" => value.is_string(),
        "time" => value == "2026-01-01T00:00:00Z",
        _ => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
    }
}

#[test]
fn every_bomb_is_refused_or_unknown() {
    let vocabulary = Vocabulary {
        entity: facts::catalog::kind(),
        facts: Some(BTreeMap::from([("a".to_string(), Kind::Bool)])),
    };
    let (large, nothing) = (bombs::large(), BTreeMap::new());
    let (mut refused, mut unknown, mut answered) = (0, 0, 0);
    for source in bombs::to_read().iter().chain(&bombs::to_evaluate()) {
        let shown: String = source.chars().take(60).collect();
        let expression = match Expression::read(source, &vocabulary) {
            Ok(expression) => expression,
            Err(broken) => {
                assert!(
                    broken.line > 0 && broken.message.len() < 400 && !broken.hint.is_empty(),
                    "{shown}: {broken:?}"
                );
                refused += 1;
                continue;
            }
        };
        let asked_now = Cell::new(false);
        let subject =
            Subject { entity: &large, facts: &nothing, now: noon(), asked_now: &asked_now };
        match expression.is_true(&subject) {
            Err(Stop::Error(why)) => {
                assert!(why.contains("more than"), "{shown}: {why}");
                unknown += 1;
            }
            Err(other) => panic!("{shown}: {other}"),
            // It is true or false within what it may cost.
            Ok(_) => answered += 1,
        }
    }
    println!(
        "REL bombs {refused} refused, {unknown} unknown, {answered} answered within their bounds"
    );
    assert!(refused > 15 && unknown > 4, "{refused} {unknown} {answered}");
}
