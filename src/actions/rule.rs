//! Who must say yes: a quorum over what the catalog knows, each part of it by another person.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::access::Person;
use crate::catalog::{EntityRef, RelationKind, Snapshot};

/// Without any said: one owner, within a day.
pub const WITHIN: Duration = Duration::from_secs(24 * 60 * 60);

/// The most people of one rule.
pub const PEOPLE_MAX: usize = 20;

/// As many as its factors count together must say yes, each person for one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Empty: nobody is asked.
    pub factors: Vec<Factor>,
    pub within_s: u64,
}

/// `count` people of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factor {
    pub who: Who,
    pub count: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// Who owns the target.
    Owner,
    /// Who is on call for the target, on the first level.
    OnCall,
    /// A User, or a member of a Group.
    Named(EntityRef),
}

impl Default for Rule {
    fn default() -> Rule {
        Rule { factors: vec![Factor { who: Who::Owner, count: 1 }], within_s: WITHIN.as_secs() }
    }
}

impl Rule {
    /// How many must say yes.
    pub fn quorum(&self) -> usize {
        self.factors.iter().map(|it| it.count).sum()
    }

    /// Which factors `person` may speak for; `who` are the Users and Groups that each means.
    pub fn factors_of(&self, person: &Person, who: &Meant) -> Vec<usize> {
        let means = |place: &usize| who.0[*place].iter().any(|it| person.is(it));
        (0..self.factors.len()).filter(means).collect()
    }

    /// How far `votes` bring it, each the factors that one person may speak for.
    pub fn standing(&self, votes: &[Vec<usize>]) -> Standing {
        // A seat for each person of each factor; votes are seated by augmenting paths, so that who may speak for
        // several takes the seat that nobody else can.
        let seats: Vec<usize> = (0..self.factors.len())
            .flat_map(|factor| std::iter::repeat_n(factor, self.factors[factor].count))
            .collect();
        let mut taken: Vec<Option<usize>> = vec![None; seats.len()];
        for vote in 0..votes.len() {
            seat(vote, votes, &seats, &mut taken, &mut BTreeSet::new());
        }
        let mut filled = vec![0; self.factors.len()];
        for (factor, by) in seats.iter().zip(&taken) {
            filled[*factor] += usize::from(by.is_some());
        }
        Standing { filled, seats: seats.len() }
    }

    /// Whether people other than `requester` could meet it.
    pub fn could_be_met(&self, who: &Meant, requester: &EntityRef, snapshot: &Snapshot) -> bool {
        let people = who.people(snapshot);
        let others = people.iter().filter(|it| *it != requester);
        let votes: Vec<Vec<usize>> = others
            .map(|person| {
                let is_meant = |place: &usize| {
                    who.0[*place].iter().any(|it| it == person || is_member(it, person, snapshot))
                };
                (0..self.factors.len()).filter(is_meant).collect()
            })
            .collect();
        self.standing(&votes).is_met()
    }
}

/// Gives `vote` a seat, moving others where need be.
fn seat(
    vote: usize,
    votes: &[Vec<usize>],
    seats: &[usize],
    taken: &mut [Option<usize>],
    seen: &mut BTreeSet<usize>,
) -> bool {
    for (place, factor) in seats.iter().enumerate() {
        if !votes[vote].contains(factor) || !seen.insert(place) {
            continue;
        }
        let is_free = match taken[place] {
            None => true,
            Some(other) => seat(other, votes, seats, taken, seen),
        };
        if is_free {
            taken[place] = Some(vote);
            return true;
        }
    }
    false
}

/// How far votes bring a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Of each factor, how many have said yes.
    pub filled: Vec<usize>,
    seats: usize,
}

impl Standing {
    pub fn is_met(&self) -> bool {
        self.count() == self.seats
    }

    /// How many have said yes, of those that count.
    pub fn count(&self) -> usize {
        self.filled.iter().sum()
    }
}

/// The Users and Groups that each factor of a rule means, at one moment and for one target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meant(pub Vec<Vec<EntityRef>>);

impl Meant {
    /// What `rule` means for `target`; `on_call` are on call for it.
    pub fn of(
        rule: &Rule,
        target: Option<&EntityRef>,
        on_call: &[EntityRef],
        snapshot: &Snapshot,
    ) -> Meant {
        let meant = |factor: &Factor| match &factor.who {
            Who::Owner => target.map(|it| owners(it, snapshot)).unwrap_or_default(),
            Who::OnCall => on_call.to_vec(),
            Who::Named(reference) => vec![reference.clone()],
        };
        Meant(rule.factors.iter().map(meant).collect())
    }

    /// All of them, each once, in the order of the rule.
    pub fn all(&self) -> Vec<EntityRef> {
        let mut all: Vec<EntityRef> = Vec::new();
        for it in self.0.iter().flatten() {
            if !all.contains(it) {
                all.push(it.clone());
            }
        }
        all
    }

    /// The Users among them, and the members of the Groups.
    pub fn people(&self, snapshot: &Snapshot) -> BTreeSet<EntityRef> {
        let mut people = BTreeSet::new();
        for it in self.all() {
            if it.kind() == "user" {
                let is_known = snapshot.find(it.as_str()).is_some_and(|user| !user.orphaned);
                people.extend(is_known.then_some(it));
            } else {
                people.extend(members(&it, snapshot));
            }
        }
        people
    }
}

/// Who owns `target`; a Group or User owns itself.
pub fn owners(target: &EntityRef, snapshot: &Snapshot) -> Vec<EntityRef> {
    if matches!(target.kind(), "group" | "user") {
        return vec![target.clone()];
    }
    let owners = snapshot.find(target.as_str());
    let owners = owners.map(|it| snapshot.related(it, RelationKind::OwnedBy)).unwrap_or_default();
    owners.iter().map(|it| it.reference().clone()).collect()
}

/// The members of `group` whom the catalog describes.
fn members(group: &EntityRef, snapshot: &Snapshot) -> Vec<EntityRef> {
    let members = snapshot.related_to(group, RelationKind::HasMember);
    let is_known = |it: &&EntityRef| {
        it.kind() == "user" && snapshot.find(it.as_str()).is_some_and(|user| !user.orphaned)
    };
    members.iter().map(|it| it.reference()).filter(is_known).cloned().collect()
}

fn is_member(group: &EntityRef, person: &EntityRef, snapshot: &Snapshot) -> bool {
    members(group, snapshot).contains(person)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(counts: &[usize]) -> Rule {
        let factor = |count: &usize| Factor { who: Who::Owner, count: *count };
        Rule { factors: counts.iter().map(factor).collect(), within_s: 60 }
    }

    #[test]
    fn each_factor_takes_another_person() {
        let both = rule(&[1, 1]);
        assert!(!both.standing(&[]).is_met());
        // Who is an owner and on call counts for one of the two.
        assert!(!both.standing(&[vec![0, 1]]).is_met());
        assert!(!both.standing(&[vec![0], vec![0]]).is_met());
        assert!(both.standing(&[vec![0, 1], vec![0]]).is_met());
        assert!(both.standing(&[vec![0], vec![0, 1]]).is_met());
        assert_eq!(both.standing(&[vec![0], vec![0]]).filled, [1, 0]);
    }

    #[test]
    fn who_may_speak_for_several_takes_the_seat_that_nobody_else_can() {
        let three = rule(&[1, 2]);
        let votes = [vec![0, 1], vec![0, 1], vec![0]];
        assert!(three.standing(&votes).is_met());
        assert_eq!(three.standing(&votes[..2]).count(), 2);
        assert!(!rule(&[3]).standing(&[vec![0], vec![0]]).is_met());
    }

    #[test]
    fn nobody_is_asked_where_there_is_no_factor() {
        assert!(rule(&[]).standing(&[]).is_met());
        assert_eq!(rule(&[]).quorum(), 0);
    }
}
