//! The scores of many entities, and how they differ from those before.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};

use super::exemption::Exempt;
use super::judge::{self, Judged, Known, Outcome};
use super::{Scorecard, ScorecardSet};
use crate::catalog::{EntityRef, Snapshot};
use crate::facts::{self, Fact};

/// The score of an entity, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Score {
    pub entity: EntityRef,
    pub scorecard: String,
    /// Of the scorecard, as the database numbers it.
    pub definition: i64,
    /// `None` where no rule counts.
    pub percent: Option<u8>,
    /// `None` below the lowest.
    pub level: Option<usize>,
    /// One letter for each rule, in the order of the scorecard.
    pub outcomes: String,
    pub until: Option<DateTime<Utc>>,
}

/// A rule that finds something else of an entity than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    pub entity: EntityRef,
    pub scorecard: String,
    pub rule: String,
    pub was: char,
    pub became: char,
    /// Whether the scorecard itself is another one than before.
    pub is_redefined: bool,
}

/// What is to be written.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Scores that are new or others than before.
    pub scores: Vec<Score>,
    /// Scores of entities that the scorecard is no longer about.
    pub gone: Vec<(EntityRef, String)>,
    pub turns: Vec<Turn>,
    /// Whose percentage or level is another one: before and after, `None` where there is no score.
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub entity: EntityRef,
    pub scorecard: String,
    pub before: Option<Standing>,
    pub after: Option<Standing>,
}

/// How an entity stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub percent: Option<u8>,
    pub level: Option<usize>,
}

/// The numbers of the definitions of scorecards, by name; and the rules of every definition that there ever was.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    pub current: BTreeMap<String, i64>,
    pub rules: HashMap<i64, Vec<String>>,
}

/// What is known besides the catalog.
#[derive(Debug, Clone, Copy)]
pub struct Means<'a> {
    pub scorecards: &'a ScorecardSet,
    pub facts: &'a HashMap<EntityRef, Vec<Fact>>,
    pub exempt: &'a Exempt,
    pub definitions: &'a Definitions,
    pub now: DateTime<Utc>,
}

/// What every scorecard finds of `entity`; nothing where none is about it.
pub fn judged<'a>(
    snapshot: &Snapshot,
    reference: &EntityRef,
    means: &Means<'a>,
) -> Vec<(&'a Scorecard, Judged)> {
    let Some(entity) = snapshot.find(reference.as_str()) else { return Vec::new() };
    let mut scorecards = means.scorecards.iter().filter(|it| it.filter.may_mean(entity)).peekable();
    if scorecards.peek().is_none() {
        return Vec::new();
    }
    let described = facts::catalog::describe(snapshot, entity);
    let facts = means.facts.get(reference).map_or(&[][..], Vec::as_slice);
    let judged = scorecards.filter_map(|scorecard| {
        let exempt = means.exempt.of(reference, &scorecard.name);
        let known = Known { entity: &described, facts, exempt };
        Some((scorecard, judge::judge(scorecard, &known, means.now)?))
    });
    judged.collect()
}

/// The scores of `entities`.
pub fn scores(snapshot: &Snapshot, entities: &[EntityRef], means: &Means<'_>) -> Vec<Score> {
    let mut scores = Vec::new();
    for entity in entities {
        for (scorecard, judged) in judged(snapshot, entity, means) {
            scores.push(Score {
                entity: entity.clone(),
                scorecard: scorecard.name.clone(),
                definition: means.definitions.current.get(&scorecard.name).copied().unwrap_or(0),
                percent: judged.percent,
                level: judged.level,
                outcomes: letters(&judged),
                until: judged.until,
            });
        }
    }
    scores
}

/// One letter for each rule.
pub fn letters(judged: &Judged) -> String {
    judged.checks.iter().flat_map(|check| &check.rules).map(Outcome::letter).collect()
}

/// How `after` differs from `before`, both of the same entities.
pub fn differences(
    before: Vec<Score>,
    after: Vec<Score>,
    definitions: &Definitions,
) -> Differences {
    let key = |score: &Score| (score.entity.clone(), score.scorecard.clone());
    let mut before: HashMap<_, Score> = before.into_iter().map(|it| (key(&it), it)).collect();
    let mut found = Differences::default();
    for score in after {
        let was = before.remove(&key(&score));
        if was.as_ref() == Some(&score) {
            continue;
        }
        found.turns.extend(was.iter().flat_map(|was| turns(was, &score, definitions)));
        step(&mut found.steps, &score, was.as_ref().map(standing), Some(standing(&score)));
        found.scores.push(score);
    }
    for (key, was) in before {
        step(&mut found.steps, &was, Some(standing(&was)), None);
        found.gone.push(key);
    }
    found.gone.sort();
    found
}

fn standing(score: &Score) -> Standing {
    Standing { percent: score.percent, level: score.level }
}

fn step(steps: &mut Vec<Step>, of: &Score, before: Option<Standing>, after: Option<Standing>) {
    if before != after {
        let (entity, scorecard) = (of.entity.clone(), of.scorecard.clone());
        steps.push(Step { entity, scorecard, before, after });
    }
}

/// The rules that both know and that find something else.
fn turns(was: &Score, score: &Score, definitions: &Definitions) -> Vec<Turn> {
    let rules =
        |score: &Score| definitions.rules.get(&score.definition).map_or(&[][..], Vec::as_slice);
    let is_redefined = was.definition != score.definition;
    if !is_redefined && was.outcomes == score.outcomes {
        return Vec::new();
    }
    let old: HashMap<&str, char> =
        rules(was).iter().map(String::as_str).zip(was.outcomes.chars()).collect();
    let new = rules(score).iter().zip(score.outcomes.chars());
    let turned = new.filter_map(|(rule, became)| {
        let was = *old.get(rule.as_str())?;
        (was != became).then(|| Turn {
            entity: score.entity.clone(),
            scorecard: score.scorecard.clone(),
            rule: rule.clone(),
            was,
            became,
            is_redefined,
        })
    });
    turned.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(name: &str, definition: i64, percent: u8, outcomes: &str) -> Score {
        Score {
            entity: EntityRef::new("component", "default", name),
            scorecard: "s".into(),
            definition,
            percent: Some(percent),
            level: None,
            outcomes: outcomes.into(),
            until: None,
        }
    }

    fn definitions() -> Definitions {
        let rules = |names: &[&str]| names.iter().map(|it| it.to_string()).collect::<Vec<_>>();
        let rules = [(1, rules(&["a", "b", "c"])), (2, rules(&["c", "d", "a"]))];
        Definitions { current: BTreeMap::from([("s".into(), 2)]), rules: rules.into() }
    }

    fn told(found: &Differences) -> Vec<String> {
        let turns = found.turns.iter();
        turns
            .map(|it| format!("{} {} {}{}", it.entity.name(), it.rule, it.was, it.became))
            .collect()
    }

    #[test]
    fn what_is_the_same_is_not_written() {
        let one = score("x", 1, 50, "pfu");
        let found = differences(vec![one.clone()], vec![one], &definitions());
        assert_eq!(found, Differences::default());
    }

    #[test]
    fn each_rule_that_turned_is_told_and_a_new_entity_has_none() {
        let before = vec![score("x", 1, 50, "pfu"), score("gone", 1, 0, "fff")];
        let after = vec![score("x", 1, 60, "ffp"), score("new", 1, 100, "ppp")];
        let found = differences(before, after, &definitions());
        assert_eq!(told(&found), ["x a pf", "x c up"]);
        assert_eq!(found.scores.len(), 2);
        assert_eq!(found.gone, [(EntityRef::new("component", "default", "gone"), "s".into())]);
        let steps: Vec<_> = found
            .steps
            .iter()
            .map(|it| (it.entity.name(), it.before.is_some(), it.after.is_some()))
            .collect();
        assert_eq!(steps, [("x", true, true), ("new", false, true), ("gone", true, false)]);
    }

    #[test]
    fn rules_of_another_definition_are_compared_by_name() {
        let found = differences(
            vec![score("x", 1, 50, "pfu")],
            vec![score("x", 2, 50, "pff")],
            &definitions(),
        );
        assert_eq!(told(&found), ["x c up", "x a pf"]);
        assert!(found.turns.iter().all(|turn| turn.is_redefined));
        assert!(found.steps.is_empty());
    }
}
