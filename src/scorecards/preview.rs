//! What publishing a scorecard would change: who moves, and what its rules find.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::evaluate::Score;
use super::summary::{self, RuleTotals, Summary};
use super::{Filter, Rule, Scorecard};
use crate::catalog::EntityRef;

/// What differs between a scorecard as it is published and as it would be.
#[derive(Debug, Serialize)]
pub struct Preview {
    /// `None`: no scorecard of this name is published.
    pub before: Option<Side>,
    pub after: Side,
    /// By entity.
    pub moves: Vec<Move>,
    /// Rules that are new, others, or gone, and those that find something else; in the order of the file, what is gone
    /// at last.
    pub rules: Vec<RuleChange>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    pub entities: usize,
    pub mean: Option<u8>,
}

/// An entity that stands elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Move {
    pub entity: EntityRef,
    /// `None`: the scorecard is not about it.
    pub before: Option<Standing>,
    pub after: Option<Standing>,
    pub way: Way,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// `None` where no rule counts.
    pub percent: Option<u8>,
    /// `None` below the lowest.
    pub level: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    Up,
    Down,
    /// The scorecard was not about it.
    In,
    /// The scorecard would no longer be about it.
    Out,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct RuleChange {
    pub rule: String,
    pub title: String,
    pub what: What,
    pub before: Option<Found>,
    pub after: Option<Found>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    New,
    /// The file says something else of it.
    Changed,
    /// It says the same, and is asked of others.
    Same,
    Gone,
}

/// What a rule finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Found {
    pub passed: usize,
    pub failed: usize,
    pub unknown: usize,
    pub exempt: usize,
}

/// What differs between the scorecard that is published, if one is, and `after`; each with the scores by it.
pub fn preview(
    before: Option<(&Scorecard, &[Score])>,
    (after, scores): (&Scorecard, &[Score]),
) -> Preview {
    let side = |scorecard, scores: &[Score]| {
        let Summary { entities, mean, .. } = Summary::of(scorecard, scores);
        Side { entities, mean }
    };
    Preview {
        before: before.map(|(scorecard, scores)| side(scorecard, scores)),
        after: side(after, scores),
        moves: moves(before, (after, scores)),
        rules: rules(before, (after, scores)),
    }
}

fn moves(
    before: Option<(&Scorecard, &[Score])>,
    (after, scores): (&Scorecard, &[Score]),
) -> Vec<Move> {
    let of = |scores: &'_ [Score]| -> BTreeMap<EntityRef, Score> {
        scores.iter().map(|it| (it.entity.clone(), it.clone())).collect()
    };
    let was = before.map(|(_, scores)| of(scores)).unwrap_or_default();
    let becomes = of(scores);
    let all: BTreeSet<&EntityRef> = was.keys().chain(becomes.keys()).collect();
    let moves = all.into_iter().filter_map(|entity| {
        let standing = |scorecard: &Scorecard, score: &Score| Standing {
            percent: score.percent,
            level: level(scorecard, score).map(str::to_string),
        };
        let old = before.and_then(|(scorecard, _)| Some(standing(scorecard, was.get(entity)?)));
        let new = becomes.get(entity).map(|score| standing(after, score));
        let way = way(after, old.as_ref(), new.as_ref())?;
        Some(Move { entity: entity.clone(), before: old, after: new, way })
    });
    moves.collect()
}

fn level<'a>(scorecard: &'a Scorecard, score: &Score) -> Option<&'a str> {
    score.level.and_then(|place| scorecard.levels.all.get(place)).map(|it| it.name.as_str())
}

/// `None` where it stays at its level; where there are no levels, at its percentage.
fn way(after: &Scorecard, was: Option<&Standing>, becomes: Option<&Standing>) -> Option<Way> {
    let (was, becomes) = match (was, becomes) {
        (Some(was), Some(becomes)) => (was, becomes),
        (None, Some(_)) => return Some(Way::In),
        (Some(_), None) => return Some(Way::Out),
        (None, None) => return None,
    };
    let has_levels = !after.levels.all.is_empty() || was.level.is_some();
    if was.level == becomes.level && (has_levels || was.percent == becomes.percent) {
        return None;
    }
    // A level that is no longer there is compared by the percentage.
    let place = |level: &Option<String>| match level {
        None => Some(0),
        Some(name) => after.levels.place(name).map(|place| place + 1),
    };
    let is_up = match (place(&was.level), place(&becomes.level)) {
        (Some(old), Some(new)) if old != new => new > old,
        _ => becomes.percent >= was.percent,
    };
    Some(if is_up { Way::Up } else { Way::Down })
}

fn rules(
    before: Option<(&Scorecard, &[Score])>,
    (after, scores): (&Scorecard, &[Score]),
) -> Vec<RuleChange> {
    let old = before.map(|(scorecard, scores)| summary::rules(scorecard, scores));
    let old = old.unwrap_or_default();
    let new = summary::rules(after, scores);
    let named = |all: &[RuleTotals<'_>], name: &str| all.iter().position(|it| it.rule.name == name);
    let changed = new.iter().filter_map(|it| {
        let was = named(&old, &it.rule.name).map(|place| &old[place]);
        let what = match (was, before) {
            (Some(was), Some((scorecard, _))) => {
                match said(scorecard, was.rule) == said(after, it.rule) {
                    true => What::Same,
                    false => What::Changed,
                }
            }
            _ => What::New,
        };
        let (old, new) = (was.map(found), found(it));
        let is_told = what != What::Same || old != Some(new);
        is_told.then(|| RuleChange {
            rule: it.rule.name.clone(),
            title: it.rule.title.clone(),
            what,
            before: old,
            after: Some(new),
        })
    });
    let gone = old.iter().filter(|it| named(&new, &it.rule.name).is_none()).map(|it| RuleChange {
        rule: it.rule.name.clone(),
        title: it.rule.title.clone(),
        what: What::Gone,
        before: Some(found(it)),
        after: None,
    });
    changed.chain(gone).collect()
}

fn found(totals: &RuleTotals<'_>) -> Found {
    let RuleTotals { passed, failed, unknown, exempt, .. } = *totals;
    Found { passed, failed, unknown, exempt }
}

/// All that the file says of what `rule` finds, and of how much it weighs.
fn said(scorecard: &Scorecard, rule: &Rule) -> String {
    let Filter { kinds, types, lifecycles, tags, when } = &rule.filter;
    let when = when.as_ref().map(|it| &it.source);
    let level = rule.level.and_then(|place| scorecard.levels.all.get(place)).map(|it| &it.name);
    let (pass, weight, from) = (&rule.pass.source, rule.weight, rule.from);
    format!("{:?}", (kinds, types, lifecycles, tags, when, pass, weight, from, level))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scorecards::{Keys, file};

    fn scorecard(rules: &str, levels: &str) -> Scorecard {
        let mut text = format!("name: s\nchecks: [{{name: x, rules: [{rules}]}}]\n");
        if !levels.is_empty() {
            text.push_str(&format!("levels: [{levels}]\n"));
        }
        file::read(&text, "s.yaml", &Keys::new()).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    fn score(name: &str, percent: u8, level: Option<usize>, outcomes: &str) -> Score {
        Score {
            entity: EntityRef::new("component", "default", name),
            scorecard: "s".into(),
            definition: 1,
            percent: Some(percent),
            level,
            outcomes: outcomes.into(),
            until: None,
        }
    }

    const OLD: &str = "{name: a, pass: entity.docs}, {name: b, pass: entity.orphaned}";
    const NEW: &str =
        "{name: a, pass: entity.docs, weight: 2}, {name: c, pass: entity.tier != \"\"}";

    #[test]
    fn who_moves_is_told_with_the_way() {
        let old = scorecard(OLD, "{name: Bronze, from: 50}, {name: Gold, from: 100}");
        let new = scorecard(NEW, "{name: Bronze, from: 60}, {name: Silver, from: 90}");
        let was = [
            score("stays", 60, Some(0), "pf"),
            score("falls", 50, Some(0), "pf"),
            score("renamed", 100, Some(1), "pp"),
            score("leaves", 0, None, "ff"),
        ];
        let becomes = [
            score("stays", 70, Some(0), "pf"),
            score("falls", 33, None, "fp"),
            score("renamed", 100, Some(1), "pp"),
            score("comes", 67, Some(0), "pf"),
        ];
        let preview = preview(Some((&old, &was)), (&new, &becomes));
        let told: Vec<_> = preview
            .moves
            .iter()
            .map(|it| {
                let level = |it: &Option<Standing>| it.as_ref().and_then(|it| it.level.clone());
                (it.entity.name(), level(&it.before), level(&it.after), it.way)
            })
            .collect();
        let bronze = || Some("Bronze".to_string());
        assert_eq!(
            told,
            [
                ("comes", None, bronze(), Way::In),
                ("falls", bronze(), None, Way::Down),
                ("leaves", None, None, Way::Out),
                ("renamed", Some("Gold".into()), Some("Silver".into()), Way::Up),
            ]
        );
        assert_eq!(preview.before, Some(Side { entities: 4, mean: Some(53) }));
    }

    #[test]
    fn each_rule_that_is_new_another_or_gone_is_told_with_what_it_finds() {
        let (old, new) = (scorecard(OLD, ""), scorecard(NEW, ""));
        let (was, becomes) = ([score("x", 50, None, "pf")], [score("x", 67, None, "pu")]);
        let told: Vec<_> = preview(Some((&old, &was)), (&new, &becomes))
            .rules
            .into_iter()
            .map(|it| (it.rule, it.what, it.before.is_some(), it.after.map(|it| it.unknown)))
            .collect();
        assert_eq!(
            told,
            [
                ("a".into(), What::Changed, true, Some(0)),
                ("c".into(), What::New, false, Some(1)),
                ("b".into(), What::Gone, true, None),
            ]
        );
        let same = preview(Some((&old, &was)), (&old, &was));
        assert!(same.rules.is_empty() && same.moves.is_empty());
        let asked_of_more = [score("x", 50, None, "pf"), score("y", 50, None, "pf")];
        let same = preview(Some((&old, &was)), (&old, &asked_of_more));
        assert!(same.rules.iter().all(|it| it.what == What::Same) && same.rules.len() == 2);
    }

    #[test]
    fn without_levels_who_has_another_percentage_moves() {
        let old = scorecard(OLD, "");
        let (was, becomes) = ([score("x", 50, None, "pf")], [score("x", 40, None, "pf")]);
        let moves = preview(Some((&old, &was)), (&old, &becomes)).moves;
        assert_eq!(moves[0].way, Way::Down);
        let first = preview(None, (&old, &becomes));
        assert_eq!((first.before, first.moves[0].way), (None, Way::In));
    }
}
