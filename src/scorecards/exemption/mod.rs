//! Exemptions: a rule does not count for one entity, for a reason and for a while.
//!
//! ```text
//! asked ──granted by another──▶ granted ──its days are over, or somebody ends it──▶ it counts again
//!   ├────refused by another───▶ refused
//!   └────by who asked─────────▶ withdrawn
//! ```
//! Who decides stands in the scorecard, as `exemptions: {approvers: […]}`; without, the portal's admins do. The
//! database refuses what this module should never ask for: a decision of who asked, and a second one.

pub mod flow;
pub mod store;

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::{Rule, Scorecard, ScorecardSet};
use crate::catalog::EntityRef;
use crate::error::Refusal;

/// The most characters of a reason, and of what is said with a decision.
pub const REASON_CHARACTERS_MAX: usize = 500;
/// How long what was asked waits for somebody to decide.
pub const OPEN_DAYS: i64 = 30;

/// How long people waited for a decision.
#[derive(Debug, Clone, Copy, Default, PartialEq, sqlx::FromRow)]
pub struct Decisions {
    pub decided: i64,
    /// Of half of what was decided no longer than this, in seconds; `None` where nothing was.
    pub median_s: Option<f64>,
    /// The longest, in seconds.
    pub longest_s: Option<f64>,
    /// What waits now.
    pub waiting: i64,
}

/// What somebody asked for, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exemption {
    pub id: i64,
    pub entity: EntityRef,
    pub scorecard: String,
    pub rule: String,
    pub reason: String,
    pub days: i32,
    /// A User of the catalog.
    pub asked_by: EntityRef,
    pub asked_at: DateTime<Utc>,
    pub state: State,
    pub decided_by: Option<EntityRef>,
    pub decided_at: Option<DateTime<Utc>>,
    /// What was said with the decision.
    pub note: Option<String>,
    /// Set where it was granted.
    pub ends_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Asked,
    Granted,
    Refused,
    Withdrawn,
    Ended,
}

impl State {
    const ALL: [State; 5] =
        [State::Asked, State::Granted, State::Refused, State::Withdrawn, State::Ended];

    /// As the database and people call it.
    pub fn word(self) -> &'static str {
        match self {
            State::Asked => "asked",
            State::Granted => "granted",
            State::Refused => "refused",
            State::Withdrawn => "withdrawn",
            State::Ended => "ended",
        }
    }

    pub fn from_word(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|it| it.word() == word)
    }
}

/// What somebody wants to become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Grant,
    Refuse,
    /// Who asked wants it no more.
    Withdraw,
    /// The rule counts again before the days are over.
    End,
}

impl Decision {
    pub fn from_word(word: &str) -> Option<Decision> {
        match word {
            "grant" => Some(Decision::Grant),
            "refuse" => Some(Decision::Refuse),
            "withdraw" => Some(Decision::Withdraw),
            "end" => Some(Decision::End),
            _ => None,
        }
    }

    /// What it leads to.
    pub fn state(self) -> State {
        match self {
            Decision::Grant => State::Granted,
            Decision::Refuse => State::Refused,
            Decision::Withdraw => State::Withdrawn,
            Decision::End => State::Ended,
        }
    }

    /// Whether only who answers for the scorecard may.
    pub fn needs_right(self, of: &Exemption, by: &EntityRef) -> bool {
        match self {
            Decision::Grant | Decision::Refuse => true,
            Decision::Withdraw => false,
            Decision::End => of.asked_by != *by,
        }
    }
}

impl Exemption {
    /// Whether somebody can still decide on it.
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.state == State::Asked && self.asked_at + TimeDelta::days(OPEN_DAYS) > now
    }

    /// Whether the rule does not count.
    pub fn holds(&self, now: DateTime<Utc>) -> bool {
        self.state == State::Granted && self.ends_at.is_some_and(|ends_at| ends_at > now)
    }

    /// What it becomes when `by` decides so, who may.
    ///
    /// # Errors
    /// What is settled already; a request of one's own; one that waited too long.
    pub fn decide(
        &self,
        decision: Decision,
        by: &EntityRef,
        now: DateTime<Utc>,
    ) -> Result<State, Refusal> {
        let state = decision.state();
        // Who clicks twice hears the same twice.
        let is_done = self.state == state && self.decided_by.as_ref() == Some(by);
        if is_done && (state != State::Granted || self.holds(now)) {
            return Ok(state);
        }
        let may_change =
            if decision == Decision::End { self.holds(now) } else { self.is_open(now) };
        if !may_change {
            return Err(self.settled(now));
        }
        match decision {
            Decision::Withdraw if self.asked_by != *by => Err(self.not_yours()),
            Decision::Grant | Decision::Refuse if self.asked_by == *by => Err(own_request()),
            _ => Ok(state),
        }
    }

    fn settled(&self, now: DateTime<Utc>) -> Refusal {
        let by = self.decided_by.as_ref().map(|by| format!(" by `{by}`")).unwrap_or_default();
        let at = self.decided_at.map(|at| format!(" at {}", at.format("%Y-%m-%d %H:%M UTC")));
        let at = at.unwrap_or_default();
        let why = match self.state {
            State::Asked => format!("nobody decided on it within {OPEN_DAYS} days; ask again"),
            State::Granted if !self.holds(now) => "its days are over".to_string(),
            state => format!("it was {}{by}{at}", state.word()),
        };
        refused(self.id, why)
    }

    fn not_yours(&self) -> Refusal {
        refused(self.id, format!("only who asked can withdraw it: `{}`", self.asked_by))
    }
}

fn refused(id: i64, why: String) -> Refusal {
    Refusal::Settled { what: format!("request {id}"), why, instead: vec!["exemptions".into()] }
}

fn own_request() -> Refusal {
    Refusal::NotAllowed {
        rule: "Nobody decides on what they asked for themselves.".into(),
        next: "Ask somebody else who answers for the scorecard.".into(),
        instead: vec!["exemptions".into()],
    }
}

/// What is asked for, read and found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub entity: EntityRef,
    pub scorecard: String,
    pub rule: String,
    pub reason: String,
    pub days: i32,
    pub asked_by: EntityRef,
}

/// The rule that `typed` names, of one of `scorecards`.
///
/// # Errors
/// What [`scorecards::rule`](super::rule) refuses; a scorecard that knows no exemptions.
pub fn rule<'a>(
    scorecards: &[&'a Scorecard],
    typed: &str,
) -> Result<(&'a Scorecard, &'a Rule), Refusal> {
    let (scorecard, rule) = super::rule(scorecards, typed)?;
    if scorecard.exemptions.enabled {
        return Ok((scorecard, rule));
    }
    Err(Refusal::InvalidArgument {
        argument: "rule".into(),
        value: typed.to_string(),
        expected: format!("take another: the scorecard `{}` knows no exemptions", scorecard.name),
    })
}

/// The request that a person's words make.
///
/// # Errors
/// Days beyond what the scorecard allows; no reason, or a very long one.
pub fn request(
    entity: &EntityRef,
    (scorecard, rule): (&Scorecard, &Rule),
    days: u32,
    reason: &str,
    asked_by: &EntityRef,
) -> Result<Request, Refusal> {
    let days_max = scorecard.exemptions.days_max;
    if days == 0 || days > days_max {
        return Err(Refusal::InvalidArgument {
            argument: "days".into(),
            value: days.to_string(),
            expected: format!("the scorecard `{}` allows 1 to {days_max} days", scorecard.name),
        });
    }
    let reason = said("reason", reason)?.ok_or_else(|| Refusal::InvalidArgument {
        argument: "reason".into(),
        value: String::new(),
        expected: "say why the rule cannot be met for now".into(),
    })?;
    Ok(Request {
        entity: entity.clone(),
        scorecard: scorecard.name.clone(),
        rule: rule.name.clone(),
        reason,
        days: i32::try_from(days).unwrap_or(i32::MAX),
        asked_by: asked_by.clone(),
    })
}

/// What was said; `None` for nothing.
///
/// # Errors
/// More than [`REASON_CHARACTERS_MAX`] characters.
pub fn said(argument: &str, text: &str) -> Result<Option<String>, Refusal> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('\0', "");
    if text.chars().count() > REASON_CHARACTERS_MAX {
        return Err(Refusal::InvalidArgument {
            argument: argument.to_string(),
            value: format!("{}…", text.chars().take(40).collect::<String>()),
            expected: format!("say it in at most {REASON_CHARACTERS_MAX} characters"),
        });
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// Exemptions that hold: by entity and scorecard, the rules with when each ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exempt(HashMap<EntityRef, BTreeMap<String, Rules>>);

/// Rules, with when their exemption ends.
type Rules = BTreeMap<String, Option<DateTime<Utc>>>;

static NO_RULES: Rules = Rules::new();

impl Exempt {
    pub fn of(&self, entity: &EntityRef, scorecard: &str) -> &Rules {
        self.0.get(entity).and_then(|of_entity| of_entity.get(scorecard)).unwrap_or(&NO_RULES)
    }
}

impl FromIterator<Exemption> for Exempt {
    /// Of two for one rule the one that ends later.
    fn from_iter<T: IntoIterator<Item = Exemption>>(all: T) -> Exempt {
        let mut exempt = Exempt::default();
        for it in all {
            let rules = exempt.0.entry(it.entity).or_default().entry(it.scorecard).or_default();
            let ends_at = rules.entry(it.rule).or_default();
            *ends_at = (*ends_at).max(it.ends_at);
        }
        exempt
    }
}

/// Who decides on requests about `scorecard`: those whom it names; `None`: the portal's admins.
pub fn approvers<'a>(all: &'a ScorecardSet, scorecard: &str) -> Option<&'a [EntityRef]> {
    let approvers = &all.find(scorecard)?.exemptions.approvers;
    (!approvers.is_empty()).then_some(approvers.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scorecards::{Keys, file};

    fn at(day: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(day * 86_400, 0).unwrap()
    }

    fn user(name: &str) -> EntityRef {
        EntityRef::new("user", "default", name)
    }

    fn asked() -> Exemption {
        Exemption {
            id: 7,
            entity: EntityRef::new("component", "default", "pay"),
            scorecard: "a".into(),
            rule: "runbook".into(),
            reason: "we move".into(),
            days: 30,
            asked_by: user("zoe"),
            asked_at: at(0),
            state: State::Asked,
            decided_by: None,
            decided_at: None,
            note: None,
            ends_at: None,
        }
    }

    fn granted() -> Exemption {
        Exemption {
            state: State::Granted,
            decided_by: Some(user("kim")),
            decided_at: Some(at(1)),
            ends_at: Some(at(31)),
            ..asked()
        }
    }

    #[test]
    fn another_grants_or_refuses_and_who_asked_withdraws() {
        let decide = |decision, by: &str| asked().decide(decision, &user(by), at(1));
        assert_eq!(decide(Decision::Grant, "kim"), Ok(State::Granted));
        assert_eq!(decide(Decision::Refuse, "kim"), Ok(State::Refused));
        assert_eq!(decide(Decision::Withdraw, "zoe"), Ok(State::Withdrawn));
    }

    #[test]
    fn nobody_decides_on_their_own_request() {
        for decision in [Decision::Grant, Decision::Refuse] {
            assert_eq!(asked().decide(decision, &user("zoe"), at(1)), Err(own_request()));
        }
        assert!(asked().decide(Decision::Withdraw, &user("kim"), at(1)).is_err());
    }

    #[test]
    fn who_decides_twice_hears_the_same_twice() {
        let again = |decision, by: &str, day| granted().decide(decision, &user(by), at(day));
        assert_eq!(again(Decision::Grant, "kim", 2), Ok(State::Granted));
        assert!(again(Decision::Grant, "kim", 31).is_err(), "its days are over");
        assert!(again(Decision::Refuse, "kim", 2).is_err());
    }

    #[test]
    fn what_is_settled_stays_settled() {
        for state in [State::Granted, State::Refused, State::Withdrawn, State::Ended] {
            let settled = Exemption { state, ..granted() };
            for decision in [Decision::Grant, Decision::Refuse, Decision::Withdraw] {
                assert!(settled.decide(decision, &user("lee"), at(2)).is_err(), "{state:?}");
            }
        }
        let late = asked().decide(Decision::Grant, &user("kim"), at(OPEN_DAYS));
        assert!(late.unwrap_err().to_string().contains("nobody decided"));
    }

    #[test]
    fn what_was_granted_ends_by_itself_or_by_somebody() {
        assert!(granted().holds(at(30)) && !granted().holds(at(31)));
        assert_eq!(granted().decide(Decision::End, &user("zoe"), at(2)), Ok(State::Ended));
        assert!(granted().decide(Decision::End, &user("kim"), at(31)).is_err());
        assert!(asked().decide(Decision::End, &user("kim"), at(1)).is_err());
        assert!(!Decision::End.needs_right(&granted(), &user("zoe")));
        assert!(Decision::End.needs_right(&granted(), &user("kim")));
    }

    #[test]
    fn of_two_exemptions_the_later_end_counts() {
        let longer = Exemption { ends_at: Some(at(60)), ..granted() };
        let exempt: Exempt = [longer, granted()].into_iter().collect();
        let rules = exempt.of(&asked().entity, "a");
        assert_eq!(rules.get("runbook"), Some(&Some(at(60))));
        assert!(exempt.of(&asked().entity, "b").is_empty());
    }

    fn card(name: &str, rest: &str) -> Scorecard {
        let rules = "checks: [{name: x, rules: [{name: runbook, pass: entity.docs}]}]";
        file::read(&format!("name: {name}\n{rules}\n{rest}"), "f", &Keys::new()).unwrap()
    }

    #[test]
    fn a_rule_is_named_alone_or_with_its_scorecard() {
        let set = ScorecardSet::of(vec![card("a", ""), card("b", "exemptions: {enabled: false}")]);
        let all: Vec<&Scorecard> = set.iter().collect();
        let named = |typed: &str| rule(&all, typed).map(|(card, _)| card.name.clone());
        assert_eq!(named("a/runbook"), Ok("a".into()));
        assert!(named("runbook").unwrap_err().to_string().contains("`a/runbook`, `b/runbook`"));
        assert!(named("b/runbook").unwrap_err().to_string().contains("knows no exemptions"));
        assert!(named("runbok").unwrap_err().to_string().contains("did you mean `runbook`"));
    }

    #[test]
    fn a_request_says_why_and_for_how_long() {
        let card = card("a", "exemptions: {days_max: 60}");
        let rule = card.rule("runbook").unwrap().1;
        let entity = asked().entity;
        let of = |days, reason: &str| request(&entity, (&card, rule), days, reason, &user("zoe"));
        assert_eq!(of(60, " we\n move ").unwrap().reason, "we move");
        for (days, reason) in [(0, "x"), (61, "x"), (1, " "), (1, &"x".repeat(501))] {
            assert!(of(days, reason).is_err(), "{days} {reason}");
        }
    }
}
