//! `idp score explain`: the values behind what a rule finds of an entity.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::arguments::ReportFormat;
use super::facts::day;
use super::setup;
use crate::catalog::snapshot::Resolution;
use crate::catalog::{self, Entity, Snapshot};
use crate::commands::reply::ago;
use crate::commands::resolve;
use crate::config::Config;
use crate::facts::{self, Fact};
use crate::postgres;
use crate::scorecards::exemption::{self, Exempt};
use crate::scorecards::judge::{self, Known, Outcome, Used};
use crate::scorecards::{Check, Remedy, Rule, Scorecard};

/// The most letters of a value.
const VALUE_LETTERS_MAX: usize = 300;

/// What a rule finds of an entity, and why.
#[derive(Debug, Serialize)]
struct Explained<'a> {
    entity: String,
    scorecard: &'a str,
    check: &'a str,
    rule: &'a str,
    title: &'a str,
    /// `pass`, `fail`, `unknown`, `exempt`, `later`, `outside`
    outcome: &'static str,
    why: Option<String>,
    /// Until when it is exempt, or from when on it counts.
    until: Option<DateTime<Utc>>,
    expression: &'a str,
    filter: Option<&'a str>,
    /// What the expressions look at of the entity, by its path.
    reads: BTreeMap<&'a str, Value>,
    facts: Vec<OfFact<'a>>,
    weight: u32,
    /// By how many percent points the whole would rise; `None` where it passes or does not count.
    gain: Option<f64>,
    effort: Option<String>,
    remedy: &'a Remedy,
    /// What the whole comes to.
    percent: Option<u8>,
    level: Option<&'a str>,
    /// When time alone changes something of the whole.
    changes_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Serialize)]
struct OfFact<'a> {
    key: &'a str,
    /// `None`: nobody has reported it.
    value: Option<&'a Value>,
    source: Option<&'a str>,
    observed_at: Option<DateTime<Utc>>,
    /// Until when it holds for this scorecard; `None`: until another takes its place.
    until: Option<DateTime<Utc>>,
    stale: bool,
    /// What the scorecard takes it for, and whether it is one.
    kind: Option<String>,
    fits: bool,
}

/// Prints what the rule that `rule` names finds of the entity that `typed` names.
pub async fn run(
    config: &Config,
    install: bool,
    portal: Option<&Path>,
    (typed, rule): (&str, &str),
    format: ReportFormat,
) -> anyhow::Result<ExitCode> {
    let (scorecards, _) = setup::scorecards(config, portal)?;
    let db = postgres::open(&setup::database(config, install)).await?;
    let snapshot = catalog::flow::load(&db.pool, &[]).await?;
    let entity = named(&snapshot, typed)?;
    let facts = facts::flow::facts_of(&db.pool, &entity.reference).await?;
    let exempt = exemption::flow::live(&db.pool, Some(&entity.reference)).await?;
    db.close().await?;
    let about: Vec<&Scorecard> =
        scorecards.iter().filter(|it| it.filter.may_mean(entity)).collect();
    if about.is_empty() {
        bail!("no scorecard is about `{}`", resolve::words(&snapshot, entity));
    }
    let (scorecard, rule) = crate::scorecards::rule(&about, rule)?;
    let now = super::facts::now();
    let described = facts::catalog::describe(&snapshot, entity);
    let known = Subject { entity, described: &described, facts: &facts, exempt: &exempt };
    let words = resolve::words(&snapshot, entity);
    let Some(explained) = explained(words, scorecard, rule, &known, now) else {
        bail!("the scorecard `{}` is not about `{}`", scorecard.name, known.entity.reference);
    };
    match format {
        ReportFormat::Json => super::print_json(&explained)?,
        ReportFormat::Text => super::print(&said(&explained, now))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn named<'a>(snapshot: &'a Snapshot, typed: &str) -> anyhow::Result<&'a Entity> {
    match snapshot.resolve(typed, &[]) {
        Resolution::One(entity) => Ok(entity),
        Resolution::Several(entities) => {
            let all: Vec<String> =
                entities.iter().map(|it| format!("`{}`", it.reference)).collect();
            bail!("several are named `{typed}`; say which: {}", all.join(", "))
        }
        Resolution::Unknown(closest) => match closest.first() {
            Some(meant) => bail!(
                "the catalog has no entity `{typed}`; did you mean `{}`?",
                resolve::words(snapshot, meant)
            ),
            None => bail!("the catalog has no entity `{typed}`"),
        },
    }
}

/// What is known of an entity.
struct Subject<'a> {
    entity: &'a Entity,
    described: &'a Value,
    facts: &'a [Fact],
    exempt: &'a Exempt,
}

/// `None` where the scorecard is not about the entity.
fn explained<'a>(
    words: String,
    scorecard: &'a Scorecard,
    rule: &'a Rule,
    subject: &Subject<'a>,
    now: DateTime<Utc>,
) -> Option<Explained<'a>> {
    let Subject { entity, described, facts, exempt } = *subject;
    let exempt = exempt.of(&entity.reference, &scorecard.name);
    let judged = judge::judge(scorecard, &Known { entity: described, facts, exempt }, now)?;
    let outcomes = judged.checks.iter().flat_map(|it| &it.rules);
    let mut rules = scorecard.rules().zip(outcomes);
    let ((check, _), outcome): ((&Check, &Rule), &Outcome) =
        rules.find(|((_, it), _)| it.name == rule.name)?;
    let steps = judge::steps(scorecard, &judged);
    let step = steps.iter().find(|it| it.rule.name == rule.name);
    let (why, until) = match outcome {
        Outcome::Unknown(why) => (Some(why.to_string()), None),
        Outcome::Exempt { until } => (None, *until),
        Outcome::Later { from } => (None, Some(*from)),
        Outcome::Pass | Outcome::Fail | Outcome::Outside => (None, None),
    };
    let when = rule.filter.when.as_ref();
    let paths =
        rule.pass.reads.entity.iter().chain(when.into_iter().flat_map(|it| &it.reads.entity));
    let level = judged.level.and_then(|place| scorecard.levels.all.get(place));
    Some(Explained {
        entity: words,
        scorecard: &scorecard.name,
        check: &check.title,
        rule: &rule.name,
        title: &rule.title,
        outcome: outcome.word(),
        why,
        until,
        expression: rule.pass.source.trim(),
        filter: when.map(|it| it.source.trim()),
        reads: paths.map(|path| (path.as_str(), value_at(described, path))).collect(),
        facts: judge::used(scorecard, rule, facts, now)
            .into_iter()
            .map(|it| of_fact(scorecard, it))
            .collect(),
        weight: rule.weight,
        gain: step.map(|it| it.gain),
        effort: rule.effort.map(|it| it.to_string()),
        remedy: &rule.remedy,
        percent: judged.percent,
        level: level.map(|it| it.name.as_str()),
        changes_at: judged.until,
    })
}

fn of_fact<'a>(scorecard: &Scorecard, used: Used<'a>) -> OfFact<'a> {
    OfFact {
        key: used.key,
        value: used.fact.map(|it| &it.value),
        source: used.fact.map(|it| it.source.as_str()),
        observed_at: used.fact.map(|it| it.observed_at),
        until: used.until,
        stale: used.is_stale,
        kind: scorecard.facts.get(used.key).map(|it| it.kind.to_string()),
        fits: used.fits,
    }
}

/// What stands at `path`, as expressions name it: `description`, `annotations["acme.example/backup"]`.
fn value_at(entity: &Value, path: &str) -> Value {
    let (fields, key) = match path.split_once('[') {
        Some((fields, rest)) => (fields, serde_json::from_str(rest.trim_end_matches(']')).ok()),
        None => (path, None::<String>),
    };
    let mut fields = fields.split('.').map(str::to_string).chain(key);
    let found = fields.try_fold(entity, |value, field| value.get(&field));
    found.cloned().unwrap_or_default()
}

fn said(it: &Explained<'_>, now: DateTime<Utc>) -> String {
    let finds = match (it.outcome, it.until) {
        ("pass", _) => "passes".to_string(),
        ("fail", _) => "fails".to_string(),
        ("unknown", _) => {
            format!("unknown, which counts as a failure: {}", it.why.as_deref().unwrap_or_default())
        }
        ("exempt", Some(until)) => format!("does not count until {}: it is exempt", day(until)),
        ("exempt", None) => "does not count: it is exempt".to_string(),
        ("later", Some(from)) => format!("counts from {} on", day(from)),
        _ => "is not about it: its filter leaves it out".to_string(),
    };
    let mut out =
        format!("{}: {} ({}/{}, {})\n", it.entity, it.title, it.scorecard, it.rule, it.check);
    out.push_str(&format!("  {finds}\n\n"));
    if let Some(filter) = it.filter {
        out.push_str(&format!("  for whom: {}\n", on_one_line(filter)));
    }
    out.push_str(&format!("  passes where: {}\n", on_one_line(it.expression)));
    for (path, value) in &it.reads {
        out.push_str(&format!("  entity.{path} = {}\n", cut(&value.to_string())));
    }
    for fact in &it.facts {
        out.push_str(&format!("  {}\n", fact_said(fact, now)));
    }
    let overall = it.percent.map_or("nothing counts".to_string(), |it| format!("{it}%"));
    let level = it.level.map(|it| format!(", {it}")).unwrap_or_default();
    out.push_str(&format!("\n  overall: {overall}{level}\n"));
    if let Some(gain) = it.gain {
        let effort = it.effort.as_deref().unwrap_or("nobody said how much work");
        out.push_str(&format!("  what it takes: {effort}, for +{:.0}% overall\n", gain.max(1.0)));
        for text in [&it.remedy.text, &it.remedy.link].into_iter().flatten() {
            out.push_str(&format!("    {}\n", on_one_line(text)));
        }
        if let Some(action) = &it.remedy.action {
            out.push_str(&format!("    by the action `{action}`\n"));
        }
    }
    if let Some(at) = it.changes_at {
        out.push_str(&format!("  time alone may change something at {}\n", day(at)));
    }
    super::visible(&out)
}

/// `facts.coverage = 81.5 (ci, 3 h ago; holds until 2026-03-02 09:00 UTC)`
fn fact_said(fact: &OfFact<'_>, now: DateTime<Utc>) -> String {
    let key = format!("facts[\"{}\"]", fact.key);
    let (Some(value), Some(source), Some(at)) = (fact.value, fact.source, fact.observed_at) else {
        return format!("{key}: nobody has reported it");
    };
    let age = ago((now - at).num_seconds().unsigned_abs());
    let holds = match fact.until {
        Some(until) if fact.stale => format!("; stale since {}", day(until)),
        Some(until) => format!("; holds until {}", day(until)),
        None => "; holds until another takes its place".to_string(),
    };
    let kind = match &fact.kind {
        Some(kind) if !fact.fits => format!("; it is no {kind}"),
        _ => String::new(),
    };
    format!("{key} = {} ({source}, {age}{holds}{kind})", cut(&value.to_string()))
}

fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(VALUE_LETTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_names_a_value_of_the_entity() {
        let entity =
            json!({"description": "Does it.", "annotations": {"a/b]c": "x"}, "labels": {"b": 1}});
        assert_eq!(value_at(&entity, "description"), "Does it.");
        assert_eq!(value_at(&entity, "annotations[\"a/b]c\"]"), "x");
        assert_eq!(value_at(&entity, "annotations[\"other\"]"), Value::Null);
        assert_eq!(value_at(&entity, "labels.b"), 1);
        assert_eq!(value_at(&entity, "links"), Value::Null);
    }
}
