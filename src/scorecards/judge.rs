//! What a scorecard finds of one entity.

use std::cell::Cell;
use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::expression::{Held, Stop, Subject};
use super::level::Climb;
use super::{Check, Effort, Filter, Rule, Scorecard};
use crate::facts::{Fact, Kind};

/// What is known of one entity, as expressions see it.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// As `facts::catalog::describe` says it.
    pub entity: &'a Value,
    /// What was reported of it, stale or not.
    pub facts: &'a [Fact],
    /// The rules that it is exempt from, with when that ends.
    pub exempt: &'a BTreeMap<String, Option<DateTime<Utc>>>,
}

/// What a scorecard finds of one entity.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// In the order of the scorecard.
    pub checks: Vec<JudgedCheck>,
    /// The weighted mean of the checks; `None` where no rule counts.
    pub percent: Option<u8>,
    /// The place of its level; `None` below the lowest.
    pub level: Option<usize>,
    /// When time alone changes something: a fact no longer holds, a rule begins to count, an exemption ends.
    pub until: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct JudgedCheck {
    /// The weight of what passes over the weight of what counts; `None` where nothing counts.
    pub percent: Option<u8>,
    /// In the order of the check.
    pub rules: Vec<Outcome>,
}

/// What a rule finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Pass,
    Fail,
    /// It counts as if it failed.
    Unknown(Stop),
    /// It would count, and somebody decided that it does not.
    Exempt {
        until: Option<DateTime<Utc>>,
    },
    /// It does not count yet.
    Later {
        from: DateTime<Utc>,
    },
    /// It is not about this entity.
    Outside,
}

/// A fact that a rule reads, as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Used<'a> {
    pub key: &'a str,
    /// `None`: nobody has reported it.
    pub fact: Option<&'a Fact>,
    /// Until when it holds for this scorecard; `None`: until another takes its place.
    pub until: Option<DateTime<Utc>>,
    pub is_stale: bool,
    /// Whether it is of the kind that the scorecard reads.
    pub fits: bool,
}

/// Something that would raise the score.
#[derive(Debug, Clone)]
pub struct Step<'a> {
    pub check: &'a Check,
    pub rule: &'a Rule,
    pub outcome: &'a Outcome,
    /// By how many percent points of the whole.
    pub gain: f64,
}

/// Work that nobody has measured is taken for half a day.
pub const EFFORT_UNKNOWN: Effort = Effort(240);

/// How soon rules are looked at again that ask for the time.
const NOW_EVERY: TimeDelta = TimeDelta::hours(1);

impl Outcome {
    /// Whether it weighs in a percentage.
    pub fn counts(&self) -> bool {
        matches!(self, Outcome::Pass | Outcome::Fail | Outcome::Unknown(_))
    }

    /// A stable word, for programs and for templates.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
            Outcome::Unknown(_) => "unknown",
            Outcome::Exempt { .. } => "exempt",
            Outcome::Later { .. } => "later",
            Outcome::Outside => "outside",
        }
    }

    /// One letter, as the database keeps it.
    pub fn letter(&self) -> char {
        match self {
            Outcome::Pass => 'p',
            Outcome::Fail => 'f',
            Outcome::Unknown(_) => 'u',
            Outcome::Exempt { .. } => 'e',
            Outcome::Later { .. } => 'l',
            Outcome::Outside => '-',
        }
    }
}

/// What `scorecard` finds of the entity that is `known`; `None` where it is not about it.
pub fn judge(scorecard: &Scorecard, known: &Known<'_>, now: DateTime<Utc>) -> Option<Judged> {
    let held = held(scorecard, known.facts, now);
    let asked_now = Cell::new(false);
    let subject = Subject { entity: known.entity, facts: &held, now, asked_now: &asked_now };
    // What cannot be told of it is told rule by rule, not by leaving the entity out.
    if !means(&scorecard.filter, &subject).unwrap_or(true) {
        return None;
    }
    let outcome = |rule: &Rule| outcome(scorecard, rule, &subject, known);
    let checks: Vec<JudgedCheck> = scorecard
        .checks
        .iter()
        .map(|check| {
            let rules: Vec<Outcome> = check.rules.iter().map(outcome).collect();
            let percent = percent(fraction(check, &rules));
            JudgedCheck { percent, rules }
        })
        .collect();
    let percent = percent(overall(scorecard, &checks));
    let level = level(scorecard, &checks, percent);
    let until = until(scorecard, &checks, known, &subject);
    Some(Judged { checks, percent, level, until })
}

/// Whether `filter` means the entity.
///
/// # Errors
/// Why that cannot be told.
pub fn means(filter: &Filter, subject: &Subject<'_>) -> Result<bool, Stop> {
    let word = |field: &str| subject.entity.get(field).and_then(Value::as_str).unwrap_or_default();
    let is_in = |list: &[String], field: &str| {
        list.is_empty() || list.iter().any(|it| it.eq_ignore_ascii_case(word(field)))
    };
    let has_tag = || {
        let tags = subject.entity.get("tags").and_then(Value::as_array);
        let mut tags = tags.into_iter().flatten().filter_map(Value::as_str);
        filter.tags.is_empty()
            || tags.any(|tag| filter.tags.iter().any(|it| it.eq_ignore_ascii_case(tag)))
    };
    if !is_in(&filter.kinds, "kind")
        || !is_in(&filter.types, "type")
        || !is_in(&filter.lifecycles, "lifecycle")
        || !has_tag()
    {
        return Ok(false);
    }
    filter.when.as_ref().map_or(Ok(true), |when| when.is_true(subject))
}

fn outcome(
    scorecard: &Scorecard,
    rule: &Rule,
    subject: &Subject<'_>,
    known: &Known<'_>,
) -> Outcome {
    match means(&rule.filter, subject) {
        Ok(true) => {}
        Ok(false) => return Outcome::Outside,
        Err(why) => return Outcome::Unknown(why),
    }
    if let Some(from) = rule.counts_from().filter(|from| *from > subject.now) {
        return Outcome::Later { from };
    }
    if scorecard.exemptions.enabled
        && let Some(until) = known.exempt.get(&rule.name)
        && until.is_none_or(|until| until > subject.now)
    {
        return Outcome::Exempt { until: *until };
    }
    match rule.pass.is_true(subject) {
        Ok(true) => Outcome::Pass,
        Ok(false) => Outcome::Fail,
        Err(why) => Outcome::Unknown(why),
    }
}

/// The facts that `scorecard` reads, as they hold.
pub fn held<'a>(
    scorecard: &'a Scorecard,
    facts: &'a [Fact],
    now: DateTime<Utc>,
) -> BTreeMap<&'a str, Held<'a>> {
    let mut held = BTreeMap::new();
    for fact in facts {
        let Some(terms) = scorecard.facts.get(&fact.key) else { continue };
        let until = holds_until(scorecard, fact);
        let state = match until {
            Some(until) if until <= now => Held::Stale(until),
            _ if !fits(&fact.value, &terms.kind) => Held::Wrong { wanted: &terms.kind },
            _ => Held::Fresh(&fact.value),
        };
        held.insert(fact.key.as_str(), state);
    }
    held
}

/// The facts of `facts` that no longer hold for `scorecard`, with since when.
pub fn stale(
    scorecard: &Scorecard,
    facts: &[Fact],
    now: DateTime<Utc>,
) -> Vec<(String, DateTime<Utc>)> {
    let since = |fact: &Fact| holds_until(scorecard, fact).filter(|until| *until <= now);
    facts.iter().filter_map(|fact| Some((fact.key.clone(), since(fact)?))).collect()
}

/// Until when `fact` holds for `scorecard`.
fn holds_until(scorecard: &Scorecard, fact: &Fact) -> Option<DateTime<Utc>> {
    let own = scorecard.facts.get(&fact.key).and_then(|terms| terms.valid_for);
    match own {
        Some(valid_for) => {
            Some(fact.observed_at.checked_add_signed(valid_for).unwrap_or(DateTime::<Utc>::MAX_UTC))
        }
        None => fact.valid_until,
    }
}

/// Whether `value` is of `kind`.
fn fits(value: &Value, kind: &Kind) -> bool {
    match (kind, value) {
        (Kind::Bool, Value::Bool(_)) | (Kind::Number, Value::Number(_)) => true,
        (Kind::Text, Value::String(_)) => true,
        (Kind::Time, Value::String(text)) => DateTime::parse_from_rfc3339(text).is_ok(),
        (Kind::List(of), Value::Array(items)) => items.iter().all(|item| fits(item, of)),
        (Kind::Map(of), Value::Object(fields)) => fields.values().all(|value| fits(value, of)),
        (Kind::Record(of), Value::Object(fields)) => {
            of.iter().all(|(name, kind)| fields.get(*name).is_some_and(|value| fits(value, kind)))
        }
        _ => false,
    }
}

/// The facts that `rule` reads, as they are.
pub fn used<'a>(
    scorecard: &'a Scorecard,
    rule: &'a Rule,
    facts: &'a [Fact],
    now: DateTime<Utc>,
) -> Vec<Used<'a>> {
    let keys = rule.pass.reads.facts.iter();
    keys.map(|key| {
        let fact = facts.iter().find(|fact| fact.key == *key);
        let until = fact.and_then(|fact| holds_until(scorecard, fact));
        let kind = scorecard.facts.get(key).map(|terms| &terms.kind);
        Used {
            key,
            fact,
            until,
            is_stale: until.is_some_and(|until| until <= now),
            fits: fact.zip(kind).is_some_and(|(fact, kind)| fits(&fact.value, kind)),
        }
    })
    .collect()
}

/// The weight of what passes over the weight of what counts; `None` where nothing counts.
fn fraction(check: &Check, rules: &[Outcome]) -> Option<f64> {
    let (mut passed, mut all) = (0u64, 0u64);
    for (rule, outcome) in check.rules.iter().zip(rules).filter(|(_, outcome)| outcome.counts()) {
        all += u64::from(rule.weight);
        passed += u64::from(rule.weight) * u64::from(*outcome == Outcome::Pass);
    }
    (all > 0).then(|| passed as f64 / all as f64)
}

/// The weighted mean of the checks in which something counts.
fn overall(scorecard: &Scorecard, checks: &[JudgedCheck]) -> Option<f64> {
    let fractions = scorecard.checks.iter().zip(checks).filter_map(|(check, judged)| {
        Some((f64::from(check.weight), fraction(check, &judged.rules)?))
    });
    let (weighted, weight) =
        fractions.fold((0.0, 0.0), |(sum, all), (weight, it)| (sum + weight * it, all + weight));
    (weight > 0.0).then(|| weighted / weight)
}

/// As people read it, and as levels count it: whole percents, and 100 only of what is complete, 0 of nothing.
fn percent(fraction: Option<f64>) -> Option<u8> {
    // Sums of thirds end a hair below one.
    const HAIR: f64 = 1e-9;
    fraction.map(|it| match it {
        it if it >= 1.0 - HAIR => 100,
        it if it <= HAIR => 0,
        it => ((it * 100.0).round() as u8).clamp(1, 99),
    })
}

fn level(scorecard: &Scorecard, checks: &[JudgedCheck], percent: Option<u8>) -> Option<usize> {
    let levels = &scorecard.levels;
    let percent = percent?;
    if levels.climb == Climb::Thresholds {
        return levels.of_percent(percent);
    }
    let outcomes = checks.iter().flat_map(|check| &check.rules);
    let open = scorecard.rules().zip(outcomes).filter_map(|((_, rule), outcome)| {
        rule.level.filter(|_| outcome.counts() && *outcome != Outcome::Pass)
    });
    match open.min() {
        None => levels.all.len().checked_sub(1),
        Some(lowest) => lowest.checked_sub(1),
    }
}

/// When time alone changes something.
fn until(
    scorecard: &Scorecard,
    checks: &[JudgedCheck],
    known: &Known<'_>,
    subject: &Subject<'_>,
) -> Option<DateTime<Utc>> {
    let now = subject.now;
    let outcomes = checks.iter().flat_map(|check| &check.rules);
    let mut soonest: Option<DateTime<Utc>> = None;
    let mut note = |at: Option<DateTime<Utc>>| {
        let at = at.filter(|at| *at > now);
        soonest = [soonest, at].into_iter().flatten().min();
    };
    for ((_, rule), outcome) in scorecard.rules().zip(outcomes) {
        match outcome {
            Outcome::Later { from } => note(Some(*from)),
            Outcome::Exempt { until } => note(*until),
            Outcome::Pass | Outcome::Fail => {
                let read = &rule.pass.reads.facts;
                let facts = known.facts.iter().filter(|fact| read.contains(&fact.key));
                facts.for_each(|fact| note(holds_until(scorecard, fact)));
            }
            Outcome::Unknown(_) | Outcome::Outside => {}
        }
    }
    if subject.asked_now.get() {
        note(Some(now + NOW_EVERY));
    }
    soonest
}

/// What would raise the score, the cheapest first; of two that are as cheap, what raises it more.
pub fn steps<'a>(scorecard: &'a Scorecard, judged: &'a Judged) -> Vec<Step<'a>> {
    let weight: f64 = scorecard
        .checks
        .iter()
        .zip(&judged.checks)
        .filter(|(_, it)| it.percent.is_some())
        .map(|(check, _)| f64::from(check.weight))
        .sum();
    let mut steps = Vec::new();
    for (check, judged) in scorecard.checks.iter().zip(&judged.checks) {
        let counted = check.rules.iter().zip(&judged.rules).filter(|(_, it)| it.counts());
        let of_check: f64 = counted.clone().map(|(rule, _)| f64::from(rule.weight)).sum();
        for (rule, outcome) in counted.filter(|(_, it)| **it != Outcome::Pass) {
            let share = f64::from(rule.weight) / of_check * f64::from(check.weight) / weight;
            steps.push(Step { check, rule, outcome, gain: share * 100.0 });
        }
    }
    steps.sort_by(|a, b| {
        let (ours, theirs) = (a.effort(), b.effort());
        ours.cmp(&theirs).then(b.gain.total_cmp(&a.gain))
    });
    steps
}

impl Step<'_> {
    /// What it takes, as far as anybody knows.
    pub fn effort(&self) -> Effort {
        self.rule.effort.unwrap_or(EFFORT_UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use serde_json::json;

    use super::*;
    use crate::catalog::EntityRef;
    use crate::scorecards::{Keys, file};

    fn noon() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap()
    }

    fn scorecard(rest: &str) -> Scorecard {
        let text = format!("name: a\n{rest}");
        file::read(&text, "f.yaml", &Keys::new()).unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    fn entity(tier: &str) -> Value {
        json!({
            "ref": "component:default/a", "kind": "component", "name": "a", "title": "", "description": "Does it.",
            "type": "service", "lifecycle": "production", "tier": tier, "system": "", "tags": ["pci"], "labels": {},
            "annotations": {}, "links": [], "owners": [], "depends_on": [], "dependents": 0, "provides": [],
            "consumes": [], "on_call": "", "docs": true, "channels": [], "orphaned": false,
        })
    }

    fn fact(value: Value, observed_at: DateTime<Utc>, valid_until: Option<DateTime<Utc>>) -> Fact {
        Fact {
            entity: EntityRef::new("component", "default", "a"),
            key: "coverage".into(),
            value,
            source: "ci".into(),
            observed_at,
            valid_until,
        }
    }

    fn judged(scorecard: &Scorecard, facts: &[Fact], exempt: &[(&str, i64)]) -> Judged {
        let until = |days: i64| Some(noon() + TimeDelta::days(days));
        let exempt = exempt.iter().map(|(rule, days)| (rule.to_string(), until(*days))).collect();
        let known = Known { entity: &entity("1"), facts, exempt: &exempt };
        judge(scorecard, &known, noon()).unwrap()
    }

    fn words(judged: &Judged) -> String {
        judged.checks.iter().flat_map(|check| &check.rules).map(Outcome::letter).collect()
    }

    const TWO: &str = "checks:
  - name: x
    weight: 3
    rules:
      - {name: p1, pass: entity.docs, weight: 4}
      - {name: f1, pass: \"!entity.docs\"}
  - name: y
    rules:
      - {name: f2, pass: entity.on_call != \"\"}
      - {name: out, pass: entity.docs, filter: entity.tier == \"3\"}
      - {name: later, pass: entity.docs, from: 2026-03-02}
levels: [{name: Bronze, from: 60}, {name: Gold, from: 100}]
";

    #[test]
    fn percentages_are_weights_of_what_passes_over_what_counts() {
        let judged = judged(&scorecard(TWO), &[], &[]);
        assert_eq!(words(&judged), "pff-l");
        let percents: Vec<_> = judged.checks.iter().map(|it| it.percent).collect();
        assert_eq!(
            (percents, judged.percent, judged.level),
            (vec![Some(80), Some(0)], Some(60), Some(0))
        );
        assert_eq!(judged.until, Some(Utc.with_ymd_and_hms(2026, 3, 2, 0, 0, 0).unwrap()));
    }

    #[test]
    fn a_rule_counts_from_its_day_on() {
        let scorecard = scorecard(TWO);
        let (entity, exempt) = (entity("1"), BTreeMap::new());
        let known = Known { entity: &entity, facts: &[], exempt: &exempt };
        let letter = |at| words(&judge(&scorecard, &known, at).unwrap()).chars().last().unwrap();
        let midnight = Utc.with_ymd_and_hms(2026, 3, 2, 0, 0, 0).unwrap();
        assert_eq!((letter(midnight - TimeDelta::seconds(1)), letter(midnight)), ('l', 'p'));
    }

    #[test]
    fn what_somebody_is_exempt_from_counts_neither_way_until_it_ends() {
        let scorecard = scorecard(TWO);
        let exempt = judged(&scorecard, &[], &[("f1", 3)]);
        assert_eq!((&*words(&exempt), exempt.percent), ("pef-l", Some(75)));
        assert_eq!(exempt.checks[0].percent, Some(100));
        assert_eq!(words(&judged(&scorecard, &[], &[("f1", 0)])), "pff-l");
        let all = judged(&scorecard, &[], &[("f2", 1)]);
        assert_eq!((all.checks[1].percent, all.percent), (None, Some(80)));
        let off = self::scorecard(&format!("{TWO}exemptions: {{enabled: false}}\n"));
        assert_eq!(words(&judged(&off, &[], &[("f1", 3)])), "pff-l");
    }

    const OF_FACT: &str = "facts: {coverage: {type: number}}
checks: [{name: x, rules: [{name: r, pass: facts.coverage > 80}]}]
";

    #[test]
    fn only_a_fact_that_is_there_fresh_and_of_its_kind_passes() {
        let scorecard = scorecard(OF_FACT);
        let (past, future) = (noon() - TimeDelta::days(10), noon() + TimeDelta::days(1));
        for (facts, letter) in [
            (vec![fact(json!(81), past, Some(future))], "p"),
            (vec![fact(json!(81), past, None)], "p"),
            (vec![fact(json!(80), past, None)], "f"),
            (vec![], "u"),
            (vec![fact(json!(81), past, Some(noon()))], "u"),
            (vec![fact(json!("81"), past, None)], "u"),
            (vec![fact(json!(null), past, None)], "u"),
            (vec![fact(json!([81]), past, None)], "u"),
        ] {
            let judged = judged(&scorecard, &facts, &[]);
            assert_eq!(words(&judged), letter, "{facts:?}");
            assert_eq!(judged.percent, Some(if letter == "p" { 100 } else { 0 }), "{facts:?}");
        }
    }

    #[test]
    fn a_scorecard_says_for_how_long_a_fact_holds_for_it() {
        let short = scorecard(&OF_FACT.replace("number}", "number, valid_for: 7d}"));
        let long = scorecard(&OF_FACT.replace("number}", "number, valid_for: 20d}"));
        let observed_at = noon() - TimeDelta::days(10);
        let holds = fact(json!(81), observed_at, None);
        let over = fact(json!(81), observed_at, Some(noon() - TimeDelta::days(1)));
        assert_eq!(words(&judged(&scorecard(OF_FACT), std::slice::from_ref(&holds), &[])), "p");
        assert_eq!(words(&judged(&short, &[holds], &[])), "u");
        assert_eq!(words(&judged(&scorecard(OF_FACT), std::slice::from_ref(&over), &[])), "u");
        let judged = judged(&long, &[over], &[]);
        assert_eq!((&*words(&judged), judged.until), ("p", Some(noon() + TimeDelta::days(10))));
    }

    #[test]
    fn a_ladder_is_climbed_rung_by_rung() {
        let ladder = |bronze: &str, silver: &str| {
            let text = format!(
                "checks: [{{name: x, rules: [{{name: b, pass: '{bronze}', level: B}}, {{name: s, pass: '{silver}', level: S}}]}}]
levels: [B, S]\n"
            );
            judged(&scorecard(&text), &[], &[]).level
        };
        let (yes, no) = ("entity.docs", "entity.orphaned");
        assert_eq!(ladder(yes, yes), Some(1));
        assert_eq!(ladder(yes, no), Some(0));
        assert_eq!(ladder(no, yes), None);
        assert_eq!(ladder(yes, "entity.tags[9] == \"\""), Some(0));
    }

    #[test]
    fn a_filter_leaves_out_whom_it_does_not_mean() {
        let of = |filter: &str| {
            let scorecard = scorecard(&format!("filter: {filter}\n{TWO}"));
            let (entity, exempt) = (entity("1"), BTreeMap::new());
            judge(&scorecard, &Known { entity: &entity, facts: &[], exempt: &exempt }, noon())
                .is_some()
        };
        assert!(of(
            "{kinds: [Component, API], types: [Service], lifecycles: [production], tags: [x, PCI]}"
        ));
        for other in [
            "{kinds: [API]}",
            "{types: [library]}",
            "{lifecycles: [old]}",
            "{tags: [x]}",
            "entity.orphaned",
        ] {
            assert!(!of(other), "{other}");
        }
        // What cannot be told does not let anybody off.
        assert!(of("entity.tags[9] == \"x\""));
    }

    #[test]
    fn the_cheapest_step_comes_first_and_of_two_the_one_that_gains_more() {
        let scorecard = scorecard(
            "checks:
  - name: x
    rules:
      - {name: large, pass: entity.orphaned, effort: L, weight: 9}
      - {name: small, pass: entity.orphaned, effort: 5}
      - {name: small-too, pass: entity.orphaned, effort: 5, weight: 2}
      - {name: nobody-knows, pass: entity.orphaned}
      - {name: done, pass: entity.docs, effort: 1}
",
        );
        let judged = judged(&scorecard, &[], &[]);
        let steps = steps(&scorecard, &judged);
        let names: Vec<_> = steps.iter().map(|step| &*step.rule.name).collect();
        assert_eq!(names, ["small-too", "small", "nobody-knows", "large"]);
        let gained: f64 = steps.iter().map(|step| step.gain).sum();
        assert!((gained - (100.0 - 100.0 / 14.0)).abs() < 1e-9, "{gained}");
    }

    #[test]
    fn only_what_is_complete_is_100_percent() {
        assert_eq!(percent(Some(0.9999)), Some(99));
        assert_eq!(percent(Some(1.0)), Some(100));
        assert_eq!(percent(Some(0.0001)), Some(1));
        assert_eq!(percent(Some(0.0)), Some(0));
        assert_eq!(percent(Some(2.0 / 3.0)), Some(67));
        assert_eq!(percent(None), None);
    }
}
