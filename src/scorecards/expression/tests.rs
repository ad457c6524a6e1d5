use std::cell::Cell;
use std::collections::HashMap;

use cel::Program;
use cel::objects::{Key, Map as CelMap, Value as CelValue};
use chrono::{DateTime, TimeZone, Utc};
use serde_json::{Value, json};

use super::*;

fn vocabulary() -> Vocabulary {
    let facts = [
        ("coverage", Kind::Number),
        ("ci.green", Kind::Bool),
        ("deployed_at", Kind::Time),
        ("teams", Kind::list(Kind::Text)),
    ];
    let facts = facts.map(|(key, kind)| (key.to_string(), kind));
    Vocabulary { entity: crate::facts::catalog::kind(), facts: Some(facts.into()) }
}

fn entity() -> Value {
    json!({
        "ref": "component:default/payment-api", "kind": "component", "name": "payment-api", "title": "Payment API",
        "description": "Authorises, captures and cancels payments.", "type": "service", "lifecycle": "production",
        "tier": "1", "system": "system:default/pay", "tags": ["kotlin", "pci"], "labels": {"tier": "1", "zone": "a"},
        "annotations": {"acme.example/restored-on": "2026-09-14", "replicas": "3"},
        "links": [
            {"title": "Runbook", "url": "https://a.example", "type": "runbook", "icon": ""},
            {"title": "Logs", "url": "https://b.example", "type": "logs", "icon": ""},
        ],
        "owners": [{"ref": "group:default/payments", "kind": "group", "known": true, "members": 5}],
        "depends_on": [
            {"ref": "component:default/ledger", "kind": "component", "name": "ledger", "known": true, "orphaned": false,
             "lifecycle": "production", "tier": "1", "owners": 1},
            {"ref": "resource:default/db", "kind": "resource", "name": "db", "known": false, "orphaned": false,
             "lifecycle": "", "tier": "", "owners": 0},
        ],
        "dependents": 12, "provides": [{"ref": "api:default/payments-v1", "known": true}], "consumes": [],
        "on_call": "PACME014", "docs": true, "channels": ["C1"], "orphaned": false,
    })
}

fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 30, 12, 0, 0).unwrap()
}

fn read(source: &str) -> Expression {
    Expression::read(source, &vocabulary()).unwrap_or_else(|broken| panic!("{source}: {broken:?}"))
}

fn value_of(source: &str, entity: &Value, facts: &BTreeMap<&str, Held<'_>>) -> Result<bool, Stop> {
    let asked_now = Cell::new(false);
    let subject = Subject { entity, facts, now: noon(), asked_now: &asked_now };
    read(source).is_true(&subject)
}

fn value(source: &str) -> Result<bool, Stop> {
    let (coverage, green) = (json!(81.5), json!(true));
    let (deployed_at, teams) = (json!("2026-11-29T12:00:00Z"), json!(["a", "b"]));
    let facts = BTreeMap::from([
        ("coverage", Held::Fresh(&coverage)),
        ("ci.green", Held::Fresh(&green)),
        ("deployed_at", Held::Fresh(&deployed_at)),
        ("teams", Held::Fresh(&teams)),
    ]);
    value_of(source, &entity(), &facts)
}

fn broken(source: &str) -> Broken {
    match Expression::read(source, &vocabulary()) {
        Ok(_) => panic!("`{source}` was taken"),
        Err(broken) => broken,
    }
}

/// Expressions with their values, `None` where there is none.
const SAID: [(&str, Option<bool>); 78] = [
    ("true", Some(true)),
    ("!true", Some(false)),
    ("entity.docs", Some(true)),
    ("!entity.docs || entity.orphaned", Some(false)),
    ("entity.name == \"payment-api\"", Some(true)),
    ("entity.name == 'payment-api'", Some(true)),
    ("entity[\"name\"] == 'payment-api'", Some(true)),
    ("entity.name != 'payment-api'", Some(false)),
    ("entity.name < 'q'", Some(true)),
    ("entity.name.startsWith('pay')", Some(true)),
    ("entity.name.endsWith('-api')", Some(true)),
    ("entity.name.contains('ent')", Some(true)),
    ("entity.name.contains('')", Some(true)),
    ("entity.name.matches('^pay.*-api$')", Some(true)),
    ("matches(entity.name, '^api')", Some(false)),
    ("entity.name.matches('(?i)PAYMENT')", Some(true)),
    ("size(entity.description) > 20", Some(true)),
    ("entity.description.size() > 20", Some(true)),
    ("size('é') == 1", Some(true)),
    ("size(entity.tags) == 2", Some(true)),
    ("size(entity.labels) == 2", Some(true)),
    ("'pci' in entity.tags", Some(true)),
    ("'go' in entity.tags", Some(false)),
    ("'tier' in entity.labels", Some(true)),
    ("entity.tier in ['1', '2']", Some(true)),
    ("entity.tier in []", Some(false)),
    ("entity.tags == ['kotlin', 'pci']", Some(true)),
    ("entity.tags == ['pci', 'kotlin']", Some(false)),
    ("entity.consumes.size() == 0", Some(true)),
    ("entity.tags != []", Some(true)),
    ("entity.tags[0] == 'kotlin'", Some(true)),
    ("entity.tags[7] == 'kotlin'", None),
    ("entity.tags[-1] == 'kotlin'", None),
    ("entity.labels.tier == '1'", Some(true)),
    ("entity.labels['zone'] == 'a'", Some(true)),
    ("entity.labels.nothing == '1'", None),
    ("has(entity.labels.tier)", Some(true)),
    ("has(entity.labels.nothing)", Some(false)),
    ("has(entity.labels.nothing) && entity.labels.nothing == '1'", Some(false)),
    ("entity.annotations['acme.example/restored-on'] == '2026-09-14'", Some(true)),
    ("entity.labels[entity.tags[0]] == ''", None),
    ("entity.links.exists(it, it.type == 'runbook')", Some(true)),
    ("entity.links.exists(it, it.type == 'dashboard')", Some(false)),
    ("entity.links.all(it, it.url.startsWith('https://'))", Some(true)),
    ("entity.consumes.all(it, it.known)", Some(true)),
    ("entity.consumes.exists(it, it.known)", Some(false)),
    ("entity.links.exists_one(it, it.type == 'logs')", Some(true)),
    ("entity.links.exists_one(it, it.title != '')", Some(false)),
    ("entity.depends_on.filter(it, it.known).size() == 1", Some(true)),
    ("size(entity.depends_on.filter(it, !it.known)) == 1", Some(true)),
    ("entity.depends_on.map(it, it.name) == ['ledger', 'db']", Some(true)),
    ("'db' in entity.depends_on.map(it, it.name)", Some(true)),
    ("entity.depends_on.map(it, it.owners * 2)[0] == 2", Some(true)),
    ("entity.annotations.exists(key, key.endsWith('/restored-on'))", Some(true)),
    ("entity.annotations.exists(key, entity.annotations[key] == '3')", Some(true)),
    ("entity.links.exists(a, entity.links.exists(b, a.type != b.type))", Some(true)),
    ("entity.links.filter(a, entity.tags.exists(b, b == 'pci')).size() == 2", Some(true)),
    ("entity.dependents >= 12 && entity.dependents < 13", Some(true)),
    ("entity.dependents + 1 == 13", Some(true)),
    ("entity.dependents / 5 == 2", Some(true)),
    ("entity.dependents % 5 == 2", Some(true)),
    ("-entity.dependents == -12", Some(true)),
    ("entity.dependents / 0 == 1", None),
    ("9223372036854775807 + 1 == 0", None),
    ("1.5 + 1.5 == 3.0", Some(true)),
    ("1 == 1.0", Some(true)),
    ("1 < 1.5", Some(true)),
    ("entity.tier == '1' ? entity.docs : false", Some(true)),
    ("(entity.tier == '1' ? 2 : 3) == 2", Some(true)),
    ("'a' + 'b' == 'ab'", Some(true)),
    ("entity.tags + ['x'] == ['kotlin', 'pci', 'x']", Some(true)),
    ("int(entity.annotations.replicas) >= 3", Some(true)),
    ("double(entity.annotations.replicas) >= 2.5", Some(true)),
    ("int(entity.name) == 1", None),
    ("now > timestamp('2026-11-30T11:59:59Z')", Some(true)),
    ("now - timestamp('2026-11-29T12:00:00Z') == duration('24h')", Some(true)),
    ("now - duration('1h30m') < now", Some(true)),
    ("timestamp(entity.annotations['acme.example/restored-on'] + 'T00:00:00Z') < now", Some(true)),
];

#[test]
fn an_expression_has_the_value_it_says() {
    for (source, said) in SAID {
        assert_eq!(value(source).ok(), said, "{source}: {:?}", value(source));
    }
}

#[test]
fn the_interpreter_of_cel_says_the_same() {
    let as_cel = |value: &Value| as_cel(value);
    let mut context = cel::Context::default();
    context.add_variable_from_value("entity", as_cel(&entity()));
    context.add_variable_from_value("now", CelValue::Timestamp(noon().fixed_offset()));
    for (source, said) in SAID {
        let program = Program::compile(source).unwrap();
        let theirs = match program.execute(&context) {
            Ok(CelValue::Bool(it)) => Some(it),
            Ok(other) => panic!("{source}: {other:?}"),
            Err(_) => None,
        };
        assert_eq!(theirs, said, "{source}");
    }
}

fn as_cel(value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(it) => CelValue::Bool(*it),
        Value::Number(it) => match it.as_i64() {
            Some(whole) => CelValue::Int(whole),
            None => CelValue::Float(it.as_f64().unwrap()),
        },
        Value::String(it) => CelValue::String(it.clone().into()),
        Value::Array(items) => CelValue::List(items.iter().map(as_cel).collect::<Vec<_>>().into()),
        Value::Object(fields) => {
            let map: HashMap<Key, CelValue> = fields
                .iter()
                .map(|(key, it)| (Key::String(key.clone().into()), as_cel(it)))
                .collect();
            CelValue::Map(CelMap { map: map.into() })
        }
    }
}

#[test]
fn facts_are_read_by_their_keys() {
    for source in [
        "facts.coverage > 80",
        "facts['coverage'] > 80",
        "facts.coverage == 81.5",
        "facts[\"ci.green\"]",
        "now - facts.deployed_at <= duration('24h')",
        "'a' in facts.teams && size(facts.teams) == 2",
    ] {
        assert_eq!(value(source), Ok(true), "{source}");
    }
}

#[test]
fn a_fact_that_does_not_hold_decides_nothing_whatever_else_is_said() {
    let (number, text) = (Kind::Number, json!("81"));
    let stale = Held::Stale(noon());
    let wrong = Held::Wrong { wanted: &number };
    let fresh = json!(81);
    for source in [
        "facts.coverage > 80",
        "facts.coverage <= 80",
        "true || facts.coverage > 80",
        "facts.coverage > 80 || true",
        "!(facts.coverage > 80)",
        "true ? true : facts.coverage > 80",
        "entity.tags.all(it, true || facts.coverage > 80)",
        "entity.consumes.all(it, facts.coverage > 80)",
        "facts.coverage == facts.coverage",
    ] {
        let with = |held: Option<Held<'_>>| {
            let facts = held.map(|held| ("coverage", held)).into_iter().collect();
            value_of(source, &entity(), &facts)
        };
        assert!(matches!(with(None), Err(Stop::Missing { .. })), "{source}");
        assert!(matches!(with(Some(stale)), Err(Stop::Stale { .. })), "{source}");
        assert!(matches!(with(Some(wrong)), Err(Stop::WrongKind { .. })), "{source}");
        // It is the fact that keeps it from a value, and not the expression.
        assert!(with(Some(Held::Fresh(&fresh))).is_ok(), "{source}");
    }
    // Were its kind not looked at, a text would be found where a number should be.
    let unlooked = BTreeMap::from([("coverage", Held::Fresh(&text))]);
    assert!(matches!(value_of("facts.coverage > 80", &entity(), &unlooked), Err(Stop::Error(_))));
}

#[test]
fn each_mistake_is_told_with_its_place() {
    for (source, line, column, message, hint) in [
        ("", 1, 1, "This is not an expression", ""),
        ("entity.", 1, 8, "This is not an expression", ""),
        ("entity.docs &&", 1, 15, "This is not an expression", ""),
        ("entity.docs\n  && (", 2, 7, "This is not an expression", ""),
        ("entity.dcs", 1, 1, "`entity` has no `dcs`", "`docs`"),
        (
            "true &&\n  entity.descripton == ''",
            2,
            3,
            "`entity` has no `descripton`",
            "Did you mean `description`?",
        ),
        ("'é' == entity.nam", 1, 8, "has no `nam`", "Did you mean `name`?"),
        ("entity.name", 1, 1, "The expression is text and should be true or false", "Compare"),
        ("size(entity.tags)", 1, 1, "is a number and should be true or false", "Compare"),
        ("entity.tags", 1, 1, "is a list of text", "Compare"),
        (
            "entity.tags > 1",
            1,
            1,
            "`entity.tags` is a list of text, `1` is a number",
            "Count it: `size(…)`",
        ),
        ("entity.tier == 1", 1, 1, "`entity.tier` is text, `1` is a number", "in quotes"),
        ("facts.coverage > '80'", 1, 1, "is a number, `\"80\"` is text", "without quotes"),
        ("facts.covrage > 80", 1, 1, "There is no fact `covrage`", "Did you mean `coverage`?"),
        ("facts.ci.green", 1, 1, "There is no fact `ci`", "Did you mean `facts[\"ci.green\"]`?"),
        ("facts == 1", 1, 1, "not a value of its own", "facts.coverage"),
        ("facts[entity.name]", 1, 7, "not computed", "facts["),
        ("has(facts.coverage)", 1, 5, "`has` does not ask for facts", "Leave it out"),
        ("has(entity.docs)", 1, 5, "always there", "entity.labels"),
        ("has(entity)", 1, 5, "takes the key of a map", ""),
        ("entty.docs", 1, 1, "There is no `entty`", "Did you mean `entity`?"),
        (
            "entity.links.exist(it, it.type == 'a')",
            1,
            1,
            "There is no function `exist`",
            "Did you mean `exists`?",
        ),
        (
            "entity.links.exists(it, it.tipe == 'a')",
            1,
            25,
            "`it` has no `tipe`",
            "Did you mean `type`?",
        ),
        (
            "entity.links.exists(it, it.type)",
            1,
            25,
            "`it.type` is text and should be a bool",
            "Compare",
        ),
        ("entity.links.exists(1, true)", 1, 21, "first argument of a loop is a name", ""),
        ("entity.links.exists(entity, true)", 1, 21, "meaning of its own", ""),
        ("entity.name.exists(it, true)", 1, 1, "is text, not a list", ""),
        (
            "exists(entity.links, it)",
            1,
            1,
            "`exists` is not called like this",
            "entity.links.exists",
        ),
        ("entity.name.matches(entity.title)", 1, 21, "A pattern is not computed", ""),
        ("entity.name.matches('(')", 1, 21, "This pattern cannot be used", ""),
        ("entity.name.matches('(?=a)')", 1, 21, "This pattern cannot be used", "look-around"),
        (
            "entity.links[0] == entity.links[1]",
            1,
            1,
            "An object cannot be compared",
            "one of its fields",
        ),
        ("entity == entity", 1, 1, "An object cannot be compared", ""),
        ("entity.docs > true", 1, 1, "neither more nor less", "=="),
        ("entity.name + 1 == ''", 1, 1, "cannot be calculated with", ""),
        ("entity.owner.name == ''", 1, 1, "`entity` has no `owner`", "Did you mean `owners`?"),
        ("entity.name.first == ''", 1, 1, "is text, which has no fields", ""),
        ("null == entity.name", 1, 1, "Nothing is `null`", ""),
        ("{'a': 1} == {}", 1, 1, "Maps are not taken", ""),
        ("b'a' == b'a'", 1, 1, "not taken", ""),
        ("[1, 'a'] == []", 1, 5, "This list has a number and text", ""),
        ("timestamp('yesterday') < now", 1, 11, "is not a time", "2026"),
        ("now - now < duration('3 days')", 1, 22, "is not a duration", "720h"),
        ("now - now < 5", 1, 1, "is a duration, `5` is a number", ""),
        ("entity.docs ? 1 : 'a'", 1, 19, "is text and should be a number", ""),
        ("1 + 1", 1, 1, "is a number and should be true or false", ""),
        ("size(1) == 1", 1, 6, "has no size", ""),
        ("foo(1)", 1, 1, "There is no function `foo`", "There are"),
        ("type(1) == int", 1, 1, "There is no function `type`", ""),
        ("entity.?docs", 1, 7, "This is not an expression", ""),
    ] {
        let found = broken(source);
        assert_eq!((found.line, found.column), (line, column), "{source}: {found:?}");
        assert!(found.message.contains(message), "{source}: {found:?}");
        assert!(found.hint.contains(hint), "{source}: {found:?}");
        assert!(found.message.ends_with('.'), "{source}: {found:?}");
        assert!(!found.message.contains("Error"), "{source}: {found:?}");
    }
}

#[test]
fn a_filter_has_no_facts() {
    let filter = Vocabulary { facts: None, ..vocabulary() };
    let found = Expression::read("facts.coverage > 80", &filter).unwrap_err();
    assert_eq!((found.column, &*found.message), (1, "A filter has no facts."));
    assert!(Expression::read("entity.docs", &filter).is_ok());
}

#[test]
fn what_an_expression_reads_is_known() {
    let reads = |source: &str| {
        let reads = read(source).reads;
        (reads.entity.into_iter().collect::<Vec<_>>(), reads.facts.into_iter().collect::<Vec<_>>())
    };
    assert_eq!(
        reads("entity.annotations['acme.example/a'] == entity.labels.b || facts['ci.green']"),
        (
            vec!["annotations[\"acme.example/a\"]".into(), "labels.b".into()],
            vec!["ci.green".into()]
        )
    );
    assert_eq!(reads("entity.links.exists(it, it.type == 'a')").0, ["links"]);
}

/// An entity with all that an expression could loop over.
fn large() -> Value {
    let mut large = entity();
    let dependency = large["depends_on"][0].clone();
    large["depends_on"] = vec![dependency; 3_000].into();
    large["tags"] = (0..3_000).map(|it| Value::from(format!("tag-{it}"))).collect();
    large
}

#[test]
fn what_a_loop_did_not_look_at_decides_nothing() {
    let large = large();
    let value = |source: &str| value_of(source, &large, &BTreeMap::new());
    assert_eq!(value("size(entity.tags) == 3000"), Ok(true));
    assert_eq!(value("entity.tags.exists(it, it == 'tag-999')"), Ok(true));
    assert_eq!(value("entity.tags.all(it, it == 'tag-0')"), Ok(false));
    let why = Err(Stop::Error("there are more than 1000 to look at".into()));
    for source in [
        "entity.tags.exists(it, it == 'tag-1000')",
        "entity.tags.all(it, it.startsWith('tag'))",
        "entity.tags.exists_one(it, it == 'tag-1')",
        "entity.tags.filter(it, it == 'tag-1').size() == 1",
        "entity.tags.map(it, it).size() == 1000",
    ] {
        assert_eq!(value(source), why, "{source}");
    }
}
