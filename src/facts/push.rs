//! What a source reports, and what becomes of each observation.
//!
//! ```text
//! Observation ──read: settings, catalog──▶ Candidate ──decide: what is stored──▶ taken, unchanged, older
//!                       └──────────────── refused, with a reason ─────────────────────┘
//! ```
//! Of two observations of one fact the later holds, in whatever order they come in; of two at the same instant, the one
//! that came first.

use std::collections::BTreeMap;
use std::ops::Add;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::sources::{Key, Source};
use super::{Fact, Kind};
use crate::catalog::formats::fields::closest;
use crate::catalog::snapshot::Resolution;
use crate::catalog::{EntityRef, Snapshot};

/// The most observations that one report has.
pub const OBSERVATIONS_MAX: usize = 1_000;

/// The most characters of a text, and of each text in a list.
pub const TEXT_CHARS_MAX: usize = 1_000;
/// The most texts of a list.
pub const LIST_MAX: usize = 100;

/// Clocks differ, but by no more.
const AHEAD_MAX: TimeDelta = TimeDelta::minutes(5);

/// To find a name that is close to one costs more than to look one up: only so many are looked for in one report.
const SUGGESTIONS_MAX: usize = 20;

/// One that a source reports, not yet looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// `payment-api`, `component:default/payment-api`
    pub entity: String,
    pub key: String,
    pub value: Value,
    /// `None`: now, by the database's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<DateTime<Utc>>,
}

/// What became of one observation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Outcome {
    /// It is the fact now.
    Taken,
    /// It was known already.
    Unchanged,
    /// A later one is known, and stays.
    Older {
        known: DateTime<Utc>,
    },
    Refused(Reason),
}

impl Outcome {
    /// A stable word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Taken => "taken",
            Outcome::Unchanged => "unchanged",
            Outcome::Older { .. } => "older",
            Outcome::Refused(_) => "refused",
        }
    }
}

/// How many of a report had which outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    pub taken: usize,
    pub unchanged: usize,
    pub older: usize,
    pub refused: usize,
}

impl Tally {
    pub fn of(outcomes: &[Outcome]) -> Tally {
        let mut tally = Tally::default();
        for outcome in outcomes {
            let many = match outcome {
                Outcome::Taken => &mut tally.taken,
                Outcome::Unchanged => &mut tally.unchanged,
                Outcome::Older { .. } => &mut tally.older,
                Outcome::Refused(_) => &mut tally.refused,
            };
            *many += 1;
        }
        tally
    }
}

impl Add for Tally {
    type Output = Tally;

    fn add(self, other: Tally) -> Tally {
        Tally {
            taken: self.taken + other.taken,
            unchanged: self.unchanged + other.unchanged,
            older: self.older + other.older,
            refused: self.refused + other.refused,
        }
    }
}

/// Why an observation is no fact.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reason {
    /// A stable word for programs: `unknown_entity`, `unknown_key`, `value`, `future`.
    pub code: &'static str,
    /// A full sentence, and the next step where there is one.
    pub message: String,
}

/// An observation that may become a fact.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate<'a> {
    pub entity: EntityRef,
    pub key: &'a str,
    kind: &'a Key,
    value: Value,
    observed_at: Option<DateTime<Utc>>,
}

/// A value that became another one.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// With the value that it became.
    pub fact: Fact,
    /// `None`: there was none before.
    pub was: Option<Value>,
}

/// What is to be written of a report.
#[derive(Debug, Default, PartialEq)]
pub struct Decided {
    /// One for each observation, in their order.
    pub outcomes: Vec<Outcome>,
    /// The facts that are new or hold longer, each once.
    pub facts: Vec<Fact>,
    /// In the order in which they happened.
    pub steps: Vec<Step>,
}

/// What is known of entities and keys.
pub type Known = BTreeMap<(EntityRef, String), Fact>;

/// Each of `observations` as `source` may report it of an entity that the catalog has.
pub fn read<'a>(
    observations: &[Observation],
    source: &'a Source,
    snapshot: &Snapshot,
) -> Vec<Result<Candidate<'a>, Reason>> {
    let mut suggestions = SUGGESTIONS_MAX;
    let read = observations.iter().map(|observation| {
        let (key, kind) = source
            .keys
            .get_key_value(&observation.key)
            .ok_or_else(|| unknown_key(source, &observation.key))?;
        let value = fitting(&observation.value, &kind.kind)
            .map_err(|wrong| Reason { code: "value", message: format!("`{key}` {wrong}.") })?;
        let entity = EntityRef::parse(&observation.entity, Some("component"), "default").ok();
        let entity = entity.filter(|it| snapshot.find(it.as_str()).is_some()).ok_or_else(|| {
            let may_look = suggestions > 0;
            suggestions = suggestions.saturating_sub(1);
            unknown_entity(snapshot, &observation.entity, may_look)
        })?;
        Ok(Candidate { entity, key, kind, value, observed_at: observation.observed_at })
    });
    read.collect()
}

/// What becomes of each that was `read`, given the facts that are `known`; it is `now` by the database's clock.
pub fn decide(
    read: Vec<Result<Candidate<'_>, Reason>>,
    source: &str,
    mut known: Known,
    now: DateTime<Utc>,
) -> Decided {
    let mut decided = Decided::default();
    let mut written: Known = BTreeMap::new();
    for candidate in read {
        let outcome = match candidate {
            Err(reason) => Outcome::Refused(reason),
            Ok(candidate) => {
                let place = (candidate.entity.clone(), candidate.key.to_string());
                let before = known.get(&place);
                let outcome = candidate.outcome(before, now);
                if outcome == Outcome::Taken {
                    let was = before.map(|fact| fact.value.clone());
                    let fact = candidate.into_fact(source, now);
                    if !was.as_ref().is_some_and(|was| is_same(was, &fact.value)) {
                        decided.steps.push(Step { fact: fact.clone(), was });
                    }
                    written.insert(place.clone(), fact.clone());
                    known.insert(place, fact);
                }
                outcome
            }
        };
        decided.outcomes.push(outcome);
    }
    decided.facts = written.into_values().collect();
    decided
}

impl Candidate<'_> {
    fn outcome(&self, known: Option<&Fact>, now: DateTime<Utc>) -> Outcome {
        let observed_at = self.observed_at.unwrap_or(now);
        if observed_at > now + AHEAD_MAX {
            let ahead_s = (observed_at - now).num_seconds();
            let message = format!(
                "It is observed {ahead_s} s after now. Send UTC or an offset, and set the clock of who observes."
            );
            return Outcome::Refused(Reason { code: "future", message });
        }
        let Some(known) = known else { return Outcome::Taken };
        let is_same = is_same(&known.value, &self.value);
        if observed_at == known.observed_at && is_same {
            return Outcome::Unchanged;
        }
        if observed_at <= known.observed_at {
            return Outcome::Older { known: known.observed_at };
        }
        Outcome::Taken
    }

    fn into_fact(self, source: &str, now: DateTime<Utc>) -> Fact {
        let observed_at = self.observed_at.unwrap_or(now);
        let valid_for = self.kind.valid_for.and_then(|it| TimeDelta::from_std(it).ok());
        Fact {
            entity: self.entity,
            key: self.key.to_string(),
            value: self.value,
            source: source.to_string(),
            observed_at,
            valid_until: valid_for.map(|it| observed_at + it),
        }
    }
}

/// `value` as facts of `kind` are kept; otherwise what is wrong with it, as the end of a sentence.
fn fitting(value: &Value, kind: &Kind) -> Result<Value, String> {
    let wrong = || Err(format!("is to be a {kind}, and this is {}", what(value)));
    match (kind, value) {
        (Kind::Bool, Value::Bool(_)) | (Kind::Number, Value::Number(_)) => Ok(value.clone()),
        (Kind::Text, Value::String(text)) => is_short(text).map(|()| value.clone()),
        (Kind::Time, Value::String(text)) => match DateTime::parse_from_rfc3339(text) {
            Ok(time) => Ok(time.to_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true).into()),
            Err(_) => Err("is to be a time, such as `2026-03-02T09:00:00Z`".into()),
        },
        (Kind::List(of), Value::Array(items)) => {
            if items.len() > LIST_MAX {
                return Err(format!("has {} items; a list has at most {LIST_MAX}", items.len()));
            }
            items.iter().map(|item| fitting(item, of)).collect()
        }
        _ => wrong(),
    }
}

fn is_short(text: &str) -> Result<(), String> {
    if text.contains('\0') {
        return Err("has a character in it that no text has, U+0000".into());
    }
    match text.chars().count() {
        0..=TEXT_CHARS_MAX => Ok(()),
        many => Err(format!("has {many} characters; a text has at most {TEXT_CHARS_MAX}")),
    }
}

/// A number is the same with and without a fraction of zero.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn what(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn unknown_key(source: &Source, key: &str) -> Reason {
    let keys = || source.keys.keys().map(String::as_str);
    let next = match closest(key, keys()) {
        Some(close) => format!("Did you mean `{close}`?"),
        None => "idp.yaml lists its keys under `facts`.".to_string(),
    };
    let message = format!("The source `{}` has no key `{}`. {next}", source.name, shortened(key));
    Reason { code: "unknown_key", message }
}

fn unknown_entity(snapshot: &Snapshot, typed: &str, may_look: bool) -> Reason {
    let close = match may_look.then(|| snapshot.resolve(typed, &[])) {
        Some(Resolution::Unknown(close)) => close.first().map(|it| it.reference.to_string()),
        Some(Resolution::One(one)) => Some(one.reference.to_string()),
        Some(Resolution::Several(several)) => several.first().map(|it| it.reference.to_string()),
        None => None,
    };
    let close = close.map(|it| format!(" Did you mean `{it}`?")).unwrap_or_default();
    let message = format!("The catalog has no entity `{}`.{close}", shortened(typed));
    Reason { code: "unknown_entity", message }
}

/// What somebody sent is repeated no longer than names are.
fn shortened(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 100;
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::catalog::{Place, StoredEntity};

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn ci() -> Source {
        let key = |kind, valid_for_s: Option<u64>| Key {
            kind,
            valid_for: valid_for_s.map(Duration::from_secs),
        };
        let keys = [
            ("coverage", key(Kind::Number, Some(60))),
            ("green", key(Kind::Bool, None)),
            ("note", key(Kind::Text, None)),
            ("deployed", key(Kind::Time, None)),
            ("licences", key(Kind::list(Kind::Text), None)),
        ];
        let keys = keys.map(|(name, key)| (name.to_string(), key));
        Source { name: "ci".into(), token: None, keys: keys.into() }
    }

    fn catalog() -> Snapshot {
        let reference = EntityRef::new("component", "default", "payment-api");
        let entity = StoredEntity {
            body: r#"{"kind":"Component","metadata":{"name":"payment-api"}}"#.into(),
            place: Place { source: "s".into(), file: "f".into(), document: 0, line: 1 },
            relations: Vec::new(),
            orphaned_at: None,
            reference,
        };
        Snapshot::build([entity], &[], 1)
    }

    fn coverage(value: impl Into<Value>, observed_at: i64) -> Observation {
        Observation {
            entity: "payment-api".into(),
            key: "coverage".into(),
            value: value.into(),
            observed_at: Some(at(observed_at)),
        }
    }

    /// What becomes of `observations` when `before` were reported earlier; it is the second 1,000.
    fn reported(before: &[Observation], observations: &[Observation]) -> Decided {
        let (source, snapshot) = (ci(), catalog());
        let report = |observations: &[Observation], known| {
            decide(read(observations, &source, &snapshot), "ci", known, at(1_000))
        };
        let facts = report(before, Known::new()).facts;
        let known = facts.into_iter().map(|fact| ((fact.entity.clone(), fact.key.clone()), fact));
        report(observations, known.collect())
    }

    fn words(decided: &Decided) -> Vec<&'static str> {
        decided.outcomes.iter().map(Outcome::word).collect()
    }

    #[test]
    fn the_later_observation_holds_in_whatever_order_they_come() {
        let (early, late) = (coverage(80, 100), coverage(81, 200));
        let in_order = reported(std::slice::from_ref(&early), std::slice::from_ref(&late));
        assert_eq!(words(&in_order), ["taken"]);
        assert_eq!(in_order.facts[0].value, 81);
        assert_eq!(in_order.facts[0].valid_until, Some(at(260)));
        assert_eq!(in_order.steps[0].was, Some(80.into()));
        let late_first = reported(&[late], &[early]);
        assert_eq!(late_first.outcomes, [Outcome::Older { known: at(200) }]);
        assert_eq!((late_first.facts.len(), late_first.steps.len()), (0, 0));
    }

    #[test]
    fn the_same_observation_twice_is_one() {
        let it = coverage(81, 100);
        let twice = reported(std::slice::from_ref(&it), std::slice::from_ref(&it));
        assert_eq!(words(&twice), ["unchanged"]);
        assert_eq!(twice.facts, []);
        let in_one_report = reported(&[], &[it.clone(), it, coverage(81.0, 100)]);
        assert_eq!(words(&in_one_report), ["taken", "unchanged", "unchanged"]);
        assert_eq!(in_one_report.steps.len(), 1);
    }

    #[test]
    fn the_same_value_later_holds_longer_and_is_no_change() {
        let again = reported(&[coverage(81, 100)], &[coverage(81, 130)]);
        assert_eq!(words(&again), ["taken"]);
        assert_eq!(again.facts[0].valid_until, Some(at(190)));
        assert_eq!(again.steps, []);
    }

    #[test]
    fn of_two_at_the_same_instant_the_first_stays() {
        let other = reported(&[coverage(81, 100)], &[coverage(82, 100)]);
        assert_eq!(other.outcomes, [Outcome::Older { known: at(100) }]);
    }

    #[test]
    fn several_of_one_fact_in_one_report_are_taken_in_their_order() {
        let decided = reported(
            &[],
            &[coverage(1, 100), coverage(3, 300), coverage(2, 200), coverage(4, 400)],
        );
        assert_eq!(words(&decided), ["taken", "taken", "older", "taken"]);
        assert_eq!(decided.facts.len(), 1);
        assert_eq!(decided.facts[0].value, 4);
        let steps = decided.steps.iter().map(|step| (step.was.clone(), step.fact.value.clone()));
        let expected = [(None, 1.into()), (Some(1.into()), 3.into()), (Some(3.into()), 4.into())];
        assert_eq!(steps.collect::<Vec<(Option<Value>, Value)>>(), expected);
    }

    #[test]
    fn nothing_is_observed_in_the_future_and_without_a_time_it_is_now() {
        let decided = reported(&[], &[coverage(1, 1_301), coverage(2, 1_300)]);
        assert_eq!(words(&decided), ["refused", "taken"]);
        let now = Observation { observed_at: None, ..coverage(3, 0) };
        assert_eq!(reported(&[], &[now]).facts[0].observed_at, at(1_000));
    }

    #[test]
    fn each_refusal_says_what_was_wrong_and_what_is_close() {
        let refused = |entity: &str, key: &str, value: Value| {
            let observation =
                Observation { entity: entity.into(), key: key.into(), value, observed_at: None };
            match &reported(&[], &[observation]).outcomes[0] {
                Outcome::Refused(reason) => reason.message.clone(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            refused("paymnt-api", "coverage", json!(1)),
            "The catalog has no entity `paymnt-api`. Did you mean `component:default/payment-api`?"
        );
        assert_eq!(
            refused("payment-api", "covrage", json!(1)),
            "The source `ci` has no key `covrage`. Did you mean `coverage`?"
        );
        for (key, value, expected) in [
            ("coverage", json!("81"), "`coverage` is to be a number, and this is a text."),
            ("coverage", json!(null), "`coverage` is to be a number, and this is nothing."),
            ("green", json!(1), "`green` is to be a bool, and this is a number."),
            ("note", json!(["a"]), "`note` is to be a text, and this is a list."),
            (
                "note",
                json!("a".repeat(1_001)),
                "`note` has 1001 characters; a text has at most 1000.",
            ),
            ("note", json!("a\0"), "`note` has a character in it that no text has, U+0000."),
            (
                "deployed",
                json!("yesterday"),
                "`deployed` is to be a time, such as `2026-03-02T09:00:00Z`.",
            ),
            ("licences", json!([1]), "`licences` is to be a text, and this is a number."),
            (
                "licences",
                json!(vec!["a"; 101]),
                "`licences` has 101 items; a list has at most 100.",
            ),
        ] {
            assert_eq!(refused("payment-api", key, value), expected);
        }
    }

    #[test]
    fn a_value_is_kept_as_its_kind_wants_it() {
        for (kind, value, kept) in [
            (Kind::Number, json!(81.5), json!(81.5)),
            (Kind::Time, json!("2026-03-02T10:00:00+01:00"), json!("2026-03-02T09:00:00Z")),
            (Kind::list(Kind::Text), json!([]), json!([])),
            (Kind::Text, json!("é".repeat(1_000)), json!("é".repeat(1_000))),
        ] {
            assert_eq!(fitting(&value, &kind), Ok(kept));
        }
    }

    #[test]
    fn what_is_repeated_of_a_name_is_short() {
        let observation = Observation { entity: "ü".repeat(10_000), ..coverage(1, 0) };
        let Outcome::Refused(reason) = &reported(&[], &[observation]).outcomes[0] else { panic!() };
        assert!(reason.message.len() < 300, "{}", reason.message);
    }
}
