//! A decision that is handed on: who may decide on a request lets somebody else do it.
//!
//! - It is one hop: what was handed to somebody they hand to nobody.
//! - Whoever handed it on says yes no more, so that of the two one person counts. A no of theirs still ends it.
//! - It holds for as long as whoever handed it on could decide themselves, looked at when it is used: who lost the right
//!   hands nothing on any more.
//! - Never to who asked, nor to who has decided already, nor for two.

pub mod flow;
pub mod store;

use chrono::{DateTime, Utc};

use super::rule::Meant;
use super::{Whole, clock};
use crate::access::{Links, Person};
use crate::catalog::{EntityRef, Snapshot};
use crate::conversation::{Platform, Speaker};
use crate::error::Refusal;

/// Whose decision somebody else makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Delegation {
    pub person: EntityRef,
    pub delegate: EntityRef,
    /// The factors of the rule that `person` could speak for then.
    pub factors: Vec<usize>,
    /// By which they handed it on.
    pub account: Speaker,
    pub note: Option<String>,
    pub at: DateTime<Utc>,
}

/// The factors that `person` may speak for on `whole` now: their own, and those that were handed to them by who may speak
/// for them still.
pub fn factors_of(
    whole: &Whole,
    person: &Person,
    meant: &Meant,
    links: &Links,
    snapshot: &Snapshot,
) -> Vec<usize> {
    let rule = &whole.request.rule;
    let mut factors = rule.factors_of(person, meant);
    let handed = whole.delegations.iter().find(|it| Some(&it.delegate) == person.user.as_ref());
    let Some(handed) = handed else { return factors };
    let giver = Person::of(&handed.account, links, snapshot);
    if giver.user.as_ref() == Some(&handed.person) && !giver.is_guest() {
        let theirs = rule.factors_of(&giver, meant).into_iter();
        factors.extend(theirs.filter(|it| handed.factors.contains(it)));
        factors.sort_unstable();
        factors.dedup();
    }
    factors
}

/// `user`, whichever account they have.
pub fn any_account_of(user: &EntityRef, links: &Links, snapshot: &Snapshot) -> Person {
    let speaker =
        Speaker { platform: Platform::Terminal, tenant: String::new(), user_id: user.to_string() };
    Person::of(&speaker, links, snapshot)
}

impl Whole {
    /// Whether `by`, who may themselves speak for `factors`, hands that to `to`, who may speak for `of_to`.
    ///
    /// # Errors
    /// A request that has ended; nobody whom it asks; their own; who has decided, handed it on or been handed it; who may
    /// decide anyway.
    pub fn may_hand_on(
        &self,
        by: &EntityRef,
        factors: &[usize],
        to: &EntityRef,
        of_to: &[usize],
        now: DateTime<Utc>,
    ) -> Result<(), Refusal> {
        self.must_be_open(now)?;
        let request = &self.request;
        if request.requester == *by {
            return Err(super::own(request));
        }
        if factors.is_empty() {
            return Err(match self.delegations.iter().any(|it| it.delegate == *by) {
                true => self.not_handed_on("It was handed to you: you hand it to nobody else."),
                false => super::nobody_asked(request),
            });
        }
        if let Some(handed) = self.delegations.iter().find(|it| it.person == *by) {
            let at = clock(handed.at);
            return Err(
                request.settled(format!("you have handed it to `{}` at {at}", handed.delegate))
            );
        }
        if self.delegations.iter().any(|it| it.delegate == *by) {
            return Err(
                self.not_handed_on("Somebody decides through you: you hand it to nobody else.")
            );
        }
        if self.votes.iter().any(|it| it.person == *by) {
            return Err(request.settled("you have decided on it already".to_string()));
        }
        if to == by {
            return Err(self.not_handed_on("That is you."));
        }
        if *to == request.requester {
            return Err(self.not_handed_on("Who asked for it decides on it for nobody."));
        }
        if self.votes.iter().any(|it| it.person == *to) {
            return Err(self.not_handed_on("They have decided on it already."));
        }
        if self.delegations.iter().any(|it| it.person == *to || it.delegate == *to) {
            return Err(
                self.not_handed_on("They have handed theirs on, or decide for somebody already.")
            );
        }
        if factors.iter().all(|it| of_to.contains(it)) {
            return Err(
                self.not_handed_on("They may decide on it anyway, and count for one person.")
            );
        }
        Ok(())
    }

    fn not_handed_on(&self, rule: &str) -> Refusal {
        Refusal::NotAllowed {
            rule: rule.to_string(),
            next: "Name somebody else, or decide yourself.".into(),
            instead: vec![format!("requests show {}", self.request.id)],
        }
    }
}
