//! Port's scorecards: JSON.
//!
//! Source: Port's documentation, "Concepts and structure" of scorecards, and its OpenAPI description.

use serde_json::{Map, Value, json};

use super::ask::{Ask, Literal, Of, Test, key};
use super::draft::{self, Draft, DraftRule};
use super::{Exported, Imported, Note, asked, left_out};
use crate::catalog::Problem;
use crate::catalog::formats::fields;
use crate::catalog::formats::yaml::{Content, Node};
use crate::scorecards::Scorecard;
use crate::scorecards::level::Climb;

/// Levels of a scorecard that names none; the first is everybody's.
const LEVELS: [&str; 4] = ["Basic", "Bronze", "Silver", "Gold"];

/// How deep conditions may lie in each other.
const DEPTH_MAX: usize = 10;

/// Blueprints that are a kind or type of ours.
const BLUEPRINTS: [(&str, &str, &str); 8] = [
    ("service", "Component", "service"),
    ("microservice", "Component", "service"),
    ("library", "Component", "library"),
    ("website", "Component", "website"),
    ("api", "API", ""),
    ("domain", "Domain", ""),
    ("system", "System", ""),
    ("_team", "Group", ""),
];

/// Spans of time that Port has names for, in days.
const PRESETS: [(&str, i64); 9] = [
    ("today", 1),
    ("yesterday", 2),
    ("lastWeek", 7),
    ("last2Weeks", 14),
    ("lastMonth", 30),
    ("last3Months", 91),
    ("last6Months", 182),
    ("last12Months", 365),
    ("lastYear", 365),
];

/// # Errors
/// Every problem of a file that is no scorecard of Port's, with its place.
pub fn import(text: &str, file: &str) -> Result<Vec<Imported>, Vec<Problem>> {
    // Tabs indent JSON, and not YAML; outside of texts both are blanks.
    let root = fields::read(&text.replace('\t', " "), file).map_err(|it| vec![*it])?;
    let mut imported = Vec::new();
    for (scorecard, blueprint) in scorecards(&root, None) {
        imported.push(one(scorecard, blueprint, file)?);
    }
    if imported.is_empty() {
        let message = "There is no scorecard of Port's in it.";
        let hint = "Give the JSON of a scorecard, with `identifier`, `title` and `rules`; or a list of them.";
        return Err(vec![fields::problem(file, root.at, "scorecard", message, hint)]);
    }
    Ok(imported)
}

/// The scorecards in `node` with their blueprints: one, a list, or `{blueprint, data: [...]}` as in a template.
fn scorecards<'a>(node: &'a Node, blueprint: Option<&'a str>) -> Vec<(&'a Node, Option<&'a str>)> {
    let own = node.get("blueprint").and_then(Node::text).or(blueprint);
    if node.get("rules").is_some() || node.get("identifier").is_some() {
        return vec![(node, own)];
    }
    let inner = node.get("data").unwrap_or(node);
    inner.items().iter().flat_map(|it| scorecards(it, own)).collect()
}

fn one(node: &Node, blueprint: Option<&str>, file: &str) -> Result<Imported, Vec<Problem>> {
    let identifier = required(node, "identifier", file)?;
    let title = text(node, "title").unwrap_or(identifier);
    let mut draft = Draft {
        name: draft::name(identifier),
        title: title.to_string(),
        description: text(node, "description").unwrap_or_default().to_string(),
        exempt: true,
        ..Draft::default()
    };
    match blueprint.map(|it| (it, BLUEPRINTS.iter().find(|(name, ..)| *name == it))) {
        None => draft.note(
            node.at.line,
            "blueprint",
            "It names none: it is about everything until `filter` says more.",
        ),
        Some((_, Some((_, kind, class)))) => {
            draft.kinds = vec![(*kind).to_string()];
            draft.types.extend((!class.is_empty()).then(|| (*class).to_string()));
        }
        Some((other, None)) => {
            draft.types = vec![other.to_string()];
            let message = format!("The blueprint `{other}` is taken for a type.");
            draft.note(node.at.line, "blueprint", message);
        }
    }
    if let Some(filter) = node.get("filter").filter(|it| !it.is_null()) {
        match query(filter, 0) {
            Ok(ask) => draft.when = Some(ask),
            Err(why) => {
                draft.is_draft = true;
                let message = format!(
                    "Its filter is left out, and it is a draft until one stands there: {why}."
                );
                draft.note(filter.at.line, "filter", message);
            }
        }
    }
    let levels: Vec<String> = match node.get("levels") {
        Some(levels) => {
            levels.items().iter().filter_map(|it| text(it, "title")).map(str::to_string).collect()
        }
        None => LEVELS.map(str::to_string).to_vec(),
    };
    // The first is everybody's, and no rule's.
    draft.levels = levels.iter().skip(1).map(|it| (it.clone(), None)).collect();
    let rules = node.get("rules").map(Node::items).unwrap_or_default();
    for rule in rules {
        take(rule, &levels, &mut draft, file)?;
    }
    draft.finish(rules.len())
}

fn take(rule: &Node, levels: &[String], draft: &mut Draft, file: &str) -> Result<(), Vec<Problem>> {
    let identifier = required(rule, "identifier", file)?;
    let title = text(rule, "title").unwrap_or(identifier).to_string();
    let level = text(rule, "level");
    let line = rule.at.line;
    let Some(level) = level.filter(|it| levels.iter().skip(1).any(|level| level == it)) else {
        let names =
            levels.iter().skip(1).map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
        draft.note(line, &title, format!("It is left out: its level is none of {names}."));
        return Ok(());
    };
    let asked = rule.get("query").ok_or_else(|| "it has no `query`".to_string());
    match asked.and_then(|it| query(it, 0)) {
        Ok(pass) => draft.rules.push(DraftRule {
            name: draft::name(identifier),
            title,
            weight: 1,
            level: Some(level.to_string()),
            kinds: Vec::new(),
            types: Vec::new(),
            when: None,
            pass,
            from: None,
            remedy: text(rule, "description").map(str::to_string),
            line,
        }),
        Err(why) => draft.note(line, &title, format!("It is left out: {why}.")),
    }
    Ok(())
}

/// `{combinator, conditions}`
fn query(node: &Node, depth: usize) -> Result<Ask, String> {
    if depth > DEPTH_MAX {
        return Err(format!("its conditions lie more than {DEPTH_MAX} deep in each other"));
    }
    let conditions =
        node.get("conditions").or(node.get("rules")).map(Node::items).unwrap_or_default();
    if conditions.is_empty() {
        return Err("it has no conditions".into());
    }
    let asked: Result<Vec<Ask>, String> = conditions
        .iter()
        .map(|it| match it.get("combinator") {
            Some(_) => query(it, depth + 1),
            None => condition(it),
        })
        .collect();
    let mut asked = asked?;
    if asked.len() == 1 {
        return Ok(asked.remove(0));
    }
    match text(node, "combinator").unwrap_or("and") {
        "and" => Ok(Ask::All(asked)),
        "or" => Ok(Ask::Any(asked)),
        other => Err(format!("its combinator is `{other}`")),
    }
}

fn condition(node: &Node) -> Result<Ask, String> {
    let of = match (text(node, "property"), text(node, "relation")) {
        (Some(property), None) => property_of(property)?,
        (None, Some(relation)) => relation_of(relation)?,
        _ => return Err("a condition has neither `property` nor `relation`".into()),
    };
    let operator = text(node, "operator").ok_or("a condition has no `operator`")?;
    let value = node.get("value");
    let (operator, is_negated) = match operator {
        "!=" => ("=", true),
        "isNotEmpty" => ("isEmpty", true),
        "doesNotContains" | "doesNotContain" => ("contains", true),
        "doesNotBeginsWith" => ("beginsWith", true),
        "doesNotEndsWith" => ("endsWith", true),
        "notBetween" => ("between", true),
        "notIn" => ("in", true),
        other => (other, false),
    };
    let asked = tested(of, operator, value)?;
    let is_not = matches!(node.get("not").map(|it| &it.content), Some(Content::Bool(true)));
    Ok(if is_negated != is_not { asked.denied() } else { asked })
}

fn tested(of: Of, operator: &str, value: Option<&Node>) -> Result<Ask, String> {
    let missing = || format!("`{operator}` has no value that idp could compare with");
    let words =
        |value: Option<&Node>| value.and_then(Node::text).map(str::to_string).ok_or_else(missing);
    let test = match operator {
        "isEmpty" => Test::Empty,
        "=" => match literal(value) {
            Some(Literal::Bool(is)) => {
                return match of {
                    Of::Fact(key) => Ok(Ask::flag(&key, is)),
                    _ => Err(missing()),
                };
            }
            Some(Literal::Text(text)) if text.is_empty() => Test::Empty,
            Some(literal) => Test::Is(literal),
            None => return span(of, value),
        },
        "between" => return span(of, value),
        ">" | ">=" | "<" | "<=" => {
            let how = [">", ">=", "<", "<="].into_iter().find(|it| *it == operator).unwrap_or(">");
            match literal(value).ok_or_else(missing)? {
                Literal::Number(number) => Test::Compare(how, number),
                Literal::Text(time) if chrono::DateTime::parse_from_rfc3339(&time).is_ok() => {
                    Test::Time(how, time)
                }
                _ => return Err(missing()),
            }
        }
        "contains" => match &of {
            Of::Many(_) => Test::Has(words(value)?),
            _ => Test::Contains(words(value)?),
        },
        "beginsWith" => Test::StartsWith(words(value)?),
        "endsWith" => Test::EndsWith(words(value)?),
        "in" => {
            let some: Option<Vec<Literal>> = value
                .map(Node::items)
                .unwrap_or_default()
                .iter()
                .map(|it| literal(Some(it)))
                .collect();
            Test::OneOf(some.filter(|it| !it.is_empty()).ok_or_else(missing)?)
        }
        "containsAny" => {
            let some: Option<Vec<String>> = value
                .map(Node::items)
                .unwrap_or_default()
                .iter()
                .map(|it| it.text().map(str::to_string))
                .collect();
            let some = some.filter(|it| !it.is_empty()).ok_or_else(missing)?;
            let mut each: Vec<Ask> =
                some.into_iter().map(|it| Ask::Test(of.clone(), Test::Has(it))).collect();
            return Ok(if each.len() == 1 { each.remove(0) } else { Ask::Any(each) });
        }
        other => return Err(format!("idp does not know the operator `{other}`")),
    };
    match (&of, &test) {
        (Of::Repository | Of::Links(_), _) => Err(missing()),
        (Of::Many(_), Test::Empty | Test::Has(_) | Test::Compare(..)) => Ok(Ask::Test(of, test)),
        (Of::Many(list), _) => Err(format!("`{list}` is a list, and `{operator}` is of one value")),
        (Of::Text(text), Test::Compare(..) | Test::Time(..)) => Err(format!("`{text}` is a text")),
        _ => Ok(Ask::Test(of, test)),
    }
}

/// A span of time: `{preset: lastWeek}`, `{from, to}`.
fn span(of: Of, value: Option<&Node>) -> Result<Ask, String> {
    let value = value.ok_or("a span of time has no value")?;
    if let Some(preset) = text(value, "preset") {
        let days = PRESETS.iter().find(|(name, _)| *name == preset);
        let (_, days) = days.ok_or_else(|| format!("idp does not know the span `{preset}`"))?;
        return Ok(Ask::Test(of, Test::Within(days * 86_400)));
    }
    match (text(value, "from"), text(value, "to")) {
        (Some(from), Some(to)) => Ok(Ask::All(vec![
            Ask::Test(of.clone(), Test::Time(">=", from.to_string())),
            Ask::Test(of, Test::Time("<=", to.to_string())),
        ])),
        _ => Err("it compares with something that idp does not know".into()),
    }
}

/// Fields that the catalog has itself; any other is a fact.
fn property_of(property: &str) -> Result<Of, String> {
    match property {
        "$identifier" => Ok(Of::Text("name")),
        "$title" => Ok(Of::Text("title")),
        "$team" => Ok(Of::Many("owners")),
        "description" => Ok(Of::Text("description")),
        "lifecycle" => Ok(Of::Text("lifecycle")),
        "tier" => Ok(Of::Text("tier")),
        "type" => Ok(Of::Text("type")),
        "on_call" | "oncall" | "onCall" => Ok(Of::Text("on_call")),
        "tags" => Ok(Of::Many("tags")),
        meta if meta.starts_with('$') => Err(format!("`{meta}` is known in Port alone")),
        other => Ok(Of::Fact(key(other))),
    }
}

fn relation_of(relation: &str) -> Result<Of, String> {
    match relation {
        "team" | "owner" | "owners" | "owning_team" => Ok(Of::Many("owners")),
        "system" => Ok(Of::Text("system")),
        "dependencies" | "depends_on" | "dependsOn" => Ok(Of::Many("depends_on")),
        "apis" | "provides" | "provides_apis" => Ok(Of::Many("provides")),
        other => Err(format!("the relation `{other}` is known in Port alone")),
    }
}

fn literal(node: Option<&Node>) -> Option<Literal> {
    match &node?.content {
        Content::Bool(it) => Some(Literal::Bool(*it)),
        Content::Number(it) => it.as_f64().map(Literal::Number),
        Content::Text(it) => Some(Literal::Text(it.clone())),
        _ => None,
    }
}

fn text<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.get(key).and_then(Node::text).filter(|it| !it.trim().is_empty())
}

fn required<'a>(node: &'a Node, key: &str, file: &str) -> Result<&'a str, Vec<Problem>> {
    text(node, key).ok_or_else(|| {
        let message = format!("`{key}` is missing.");
        vec![fields::problem(
            file,
            node.at,
            "required-field",
            message,
            "Port gives one to each scorecard and rule.",
        )]
    })
}

/// `scorecard` as Port takes it.
pub fn export(scorecard: &Scorecard) -> Exported {
    let mut notes = left_out(scorecard);
    let mut note = |about: &str, message: String| {
        notes.push(Note { line: 1, about: about.to_string(), message });
    };
    let is_ladder = scorecard.levels.climb == Climb::Ladder && !scorecard.levels.all.is_empty();
    let mut levels = vec!["Basic".to_string()];
    match is_ladder {
        true => levels.extend(scorecard.levels.all.iter().map(|it| it.name.clone())),
        false => levels.push("Passed".to_string()),
    }
    let mut rules = Vec::new();
    for (_, rule) in scorecard.rules() {
        if rule.weight != 1 || rule.from.is_some() || rule.filter.when.is_some() {
            note(
                &rule.title,
                "Its weight, filter and date are left out: Port has none of a rule.".into(),
            );
        }
        let query = asked(&rule.pass).and_then(|it| conditions(&it));
        match query {
            Ok(query) => {
                let level = rule
                    .level
                    .and_then(|it| levels.get(it + 1))
                    .unwrap_or(&levels[levels.len() - 1]);
                let mut said = Map::new();
                said.insert("identifier".into(), rule.name.clone().into());
                said.insert("title".into(), rule.title.clone().into());
                said.extend(rule.remedy.text.clone().map(|it| ("description".into(), it.into())));
                said.insert("level".into(), level.clone().into());
                said.insert("query".into(), query);
                rules.push(Value::Object(said));
            }
            Err(why) => note(&rule.title, format!("It is left out: {why}.")),
        }
    }
    let mut said = Map::new();
    said.insert("identifier".into(), scorecard.name.clone().into());
    said.insert("title".into(), scorecard.title.clone().into());
    let blueprint = BLUEPRINTS.iter().find(|(_, kind, class)| {
        let is = |list: &[String], word: &str| list.iter().any(|it| it.eq_ignore_ascii_case(word));
        is(&scorecard.filter.kinds, kind)
            && (class.is_empty() || is(&scorecard.filter.types, class))
    });
    match blueprint {
        Some((name, ..)) => drop(said.insert("blueprint".into(), (*name).into())),
        None => note("filter", "Add the `blueprint` that it is about.".into()),
    }
    if let Some(when) = &scorecard.filter.when {
        match asked(when).and_then(|it| conditions(&it)) {
            Ok(filter) => drop(said.insert("filter".into(), filter)),
            Err(why) => note("filter", format!("It is left out: {why}.")),
        }
    }
    let levels: Vec<Value> = levels
        .iter()
        .zip(COLOURS.iter().cycle())
        .map(|(title, color)| json!({ "color": color, "title": title }))
        .collect();
    said.insert("levels".into(), levels.into());
    said.insert("rules".into(), rules.into());
    let text = format!("{:#}\n", Value::Object(said));
    Exported { text, notes }
}

const COLOURS: [&str; 5] = ["paleBlue", "bronze", "silver", "gold", "green"];

/// `ask` as a query; a list of conditions in it is one of its own.
fn conditions(ask: &Ask) -> Result<Value, String> {
    match ask {
        Ask::All(parts) => combined("and", parts),
        Ask::Any(parts) => combined("or", parts),
        one => combined("and", std::slice::from_ref(one)),
    }
}

fn combined(combinator: &str, parts: &[Ask]) -> Result<Value, String> {
    let parts: Result<Vec<Value>, String> = parts
        .iter()
        .map(|part| match part {
            Ask::All(_) | Ask::Any(_) => conditions(part),
            Ask::Not(inner) => match &**inner {
                Ask::Test(of, test) => one_condition(of, test, true),
                _ => Err("Port denies single conditions alone".into()),
            },
            Ask::Test(of, test) => one_condition(of, test, false),
        })
        .collect();
    Ok(json!({ "combinator": combinator, "conditions": parts? }))
}

fn one_condition(of: &Of, test: &Test, is_not: bool) -> Result<Value, String> {
    let pick = |yes: &'static str, no: &'static str| if is_not { no } else { yes };
    let plain = |operator: &'static str, value: Value| match is_not {
        true => Err(format!("Port has no `{operator}` that is denied")),
        false => Ok((operator, value)),
    };
    let (operator, value) = match test {
        Test::Empty => (pick("isEmpty", "isNotEmpty"), Value::Null),
        Test::Is(literal) => (pick("=", "!="), value(literal)),
        Test::OneOf(some) => (pick("in", "notIn"), some.iter().map(value).collect()),
        Test::Compare(how, number) if matches!(of, Of::Fact(_)) => {
            let number = serde_json::Number::from_f64(*number).map_or(Value::Null, Value::Number);
            match *how {
                "==" => (pick("=", "!="), number),
                how => plain(how, number)?,
            }
        }
        Test::Contains(text) => (pick("contains", "doesNotContains"), text.clone().into()),
        Test::StartsWith(text) => (pick("beginsWith", "doesNotBeginsWith"), text.clone().into()),
        Test::EndsWith(text) => (pick("endsWith", "doesNotEndsWith"), text.clone().into()),
        Test::Has(text) => plain("containsAny", json!([text]))?,
        Test::Time(how, time) => plain(how, time.clone().into())?,
        Test::Within(seconds) => {
            let days = PRESETS.iter().find(|(_, days)| days * 86_400 == *seconds);
            let (preset, _) = days.ok_or("Port has no name for this span of time")?;
            (pick("between", "notBetween"), json!({ "preset": preset }))
        }
        Test::Compare(..) => return Err("Port does not count".into()),
        Test::Matches(_) => return Err("Port has no patterns".into()),
    };
    let mut said = Map::new();
    let (whose, name) = property(of)?;
    said.insert("operator".into(), operator.into());
    said.insert(whose.into(), name.into());
    if !value.is_null() {
        said.insert("value".into(), value);
    }
    Ok(Value::Object(said))
}

fn property(of: &Of) -> Result<(&'static str, String), String> {
    let property = |name: &str| Ok(("property", name.to_string()));
    match of {
        Of::Text("name") => property("$identifier"),
        Of::Text("title") => property("$title"),
        Of::Text("system") => Ok(("relation", "system".into())),
        Of::Text(field) => property(field),
        Of::Many("owners") => property("$team"),
        Of::Many("tags") => property("tags"),
        Of::Many("depends_on") => Ok(("relation", "depends_on".into())),
        Of::Many("provides") => Ok(("relation", "provides".into())),
        Of::Fact(key) => property(key),
        Of::Many(list) => Err(format!("Port does not know `{list}`")),
        Of::Links(_) | Of::Repository => Err("Port does not know links and repositories so".into()),
    }
}

fn value(literal: &Literal) -> Value {
    match literal {
        Literal::Bool(it) => (*it).into(),
        Literal::Number(it) if it.fract() == 0.0 => (*it as i64).into(),
        Literal::Number(it) => (*it).into(),
        Literal::Text(it) => it.clone().into(),
    }
}
