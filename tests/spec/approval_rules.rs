//! Who must say yes: random rules against an independent reference (E15).

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use idp::access::Person;
use idp::actions::rule::{Factor, Meant, Rule, Who};
use idp::actions::{Request, Risk, State, Verdict, Vote, Whole};
use idp::catalog::{EntityRef, Place, Relation, RelationKind, Snapshot, StoredEntity};
use idp::conversation::{Platform, Speaker};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::scale::full_or;

const USERS: usize = 9;
const TEAMS: usize = 4;
const FACTORS_MAX: usize = 4;

/// A company, as the reference knows it.
struct Company {
    /// The users of each team.
    teams: Vec<BTreeSet<usize>>,
    /// Teams and users who own the target.
    owners: Vec<Party>,
    on_call: Vec<Party>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Party {
    Team(usize),
    User(usize),
}

impl Party {
    fn random(random: &mut StdRng) -> Party {
        match random.random_bool(0.5) {
            true => Party::Team(random.random_range(0..TEAMS)),
            false => Party::User(random.random_range(0..USERS)),
        }
    }

    fn reference(self) -> EntityRef {
        match self {
            Party::Team(number) => EntityRef::new("group", "default", &format!("t{number}")),
            Party::User(number) => user(number),
        }
    }
}

fn user(number: usize) -> EntityRef {
    EntityRef::new("user", "default", &format!("u{number}"))
}

fn target() -> EntityRef {
    EntityRef::new("component", "default", "target")
}

/// What a factor asks for, as the reference knows it.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Owner,
    OnCall,
    Named(Party),
}

impl Company {
    fn random(random: &mut StdRng) -> Company {
        let parties = |random: &mut StdRng| {
            let count = random.random_range(0..3);
            let parties: BTreeSet<Party> = (0..count).map(|_| Party::random(random)).collect();
            parties.into_iter().collect::<Vec<Party>>()
        };
        let mut teams = vec![BTreeSet::new(); TEAMS];
        for team in &mut teams {
            for number in 0..USERS {
                if random.random_bool(0.35) {
                    team.insert(number);
                }
            }
        }
        Company { teams, owners: parties(random), on_call: parties(random) }
    }

    fn snapshot(&self) -> Snapshot {
        let teams = (0..TEAMS).map(|it| entity(&Party::Team(it).reference(), Vec::new()));
        let users = (0..USERS).map(|number| {
            let teams = (0..TEAMS).filter(|team| self.teams[*team].contains(&number));
            let relation = |team| relation(RelationKind::MemberOf, &Party::Team(team).reference());
            entity(&user(number), teams.map(relation).collect())
        });
        let owned = self.owners.iter().map(|it| relation(RelationKind::OwnedBy, &it.reference()));
        let owned = entity(&target(), owned.collect());
        Snapshot::build(teams.chain(users).chain([owned]).collect::<Vec<_>>(), &[], 1)
    }

    fn is_meant(&self, asked: Asked, number: usize) -> bool {
        let is = |party: &Party| match party {
            Party::User(other) => *other == number,
            Party::Team(team) => self.teams[*team].contains(&number),
        };
        match asked {
            Asked::Owner => self.owners.iter().any(is),
            Asked::OnCall => self.on_call.iter().any(is),
            Asked::Named(party) => is(&party),
        }
    }

    /// Whether `users` are enough: whichever factors one looks at, as many people may speak for any of them as they
    /// ask for together (the theorem of Hall, which knows nothing of who takes which seat).
    fn is_enough(&self, rule: &[(Asked, usize)], users: &BTreeSet<usize>) -> bool {
        (0..1_usize << rule.len()).all(|chosen| {
            let chosen = || rule.iter().enumerate().filter(move |(it, _)| chosen >> it & 1 == 1);
            let wanted: usize = chosen().map(|(_, (_, count))| count).sum();
            let can = |it: &&usize| chosen().any(|(_, (asked, _))| self.is_meant(*asked, **it));
            users.iter().filter(can).count() >= wanted
        })
    }
}

fn relation(kind: RelationKind, to: &EntityRef) -> Relation {
    Relation { kind, target: to.clone(), bare: false }
}

fn entity(reference: &EntityRef, relations: Vec<Relation>) -> StoredEntity {
    StoredEntity {
        reference: reference.clone(),
        relations,
        body: r#"{"metadata":{},"spec":{}}"#.into(),
        place: Place { source: "s".into(), file: "f".into(), document: 0, line: 1 },
        orphaned_at: None,
    }
}

fn rule(random: &mut StdRng) -> Vec<(Asked, usize)> {
    let factors = random.random_range(1..=FACTORS_MAX);
    let asked = |random: &mut StdRng| match random.random_range(0..4) {
        0 => Asked::Owner,
        1 => Asked::OnCall,
        _ => Asked::Named(Party::random(random)),
    };
    (0..factors).map(|_| (asked(random), random.random_range(1..=2))).collect()
}

fn as_rule(rule: &[(Asked, usize)]) -> Rule {
    let factor = |(asked, count): &(Asked, usize)| Factor {
        who: match asked {
            Asked::Owner => Who::Owner,
            Asked::OnCall => Who::OnCall,
            Asked::Named(party) => Who::Named(party.reference()),
        },
        count: *count,
    };
    Rule { factors: rule.iter().map(factor).collect(), within_s: 60 }
}

fn account(number: usize) -> Speaker {
    let user_id = user(number).to_string();
    Speaker { platform: Platform::Terminal, tenant: String::new(), user_id }
}

fn request(rule: Rule, requester: usize) -> Whole {
    let request = Request {
        id: 1,
        nonce: "n".into(),
        action: "restart".into(),
        revision: "r".into(),
        target: Some(target()),
        inputs: Default::default(),
        pinned: Default::default(),
        intent: vec![0; 32],
        rule,
        risk: Risk::Low,
        requester: user(requester),
        asked_by: Some(account(requester)),
        places: Vec::new(),
        break_glass: None,
        is_long: false,
        level: 1,
        state: State::Pending,
        version: 0,
        requested_at: noon(),
        expires_at: noon() + TimeDelta::hours(1),
        decided_at: None,
        decided_by: None,
        note: None,
        review: None,
    };
    Whole { request, votes: Vec::new(), delegations: Vec::new(), execution: None }
}

fn noon() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::hours(12)
}

#[test]
fn random_rules_are_met_exactly_when_an_independent_reference_says_so() {
    let mut random = StdRng::seed_from_u64(15);
    let (mut clicks, mut approved, mut refused, mut several, mut impossible) = (0, 0, 0, 0, 0);
    for number in 0..full_or(10_000, 500) {
        let company = Company::random(&mut random);
        let snapshot = company.snapshot();
        let model = rule(&mut random);
        let rule = as_rule(&model);
        let requester = random.random_range(0..USERS);
        let on_call: Vec<EntityRef> = company.on_call.iter().map(|it| it.reference()).collect();
        let meant = Meant::of(&rule, Some(&target()), &on_call, &snapshot);

        let others: BTreeSet<usize> = (0..USERS).filter(|it| *it != requester).collect();
        let could = company.is_enough(&model, &others);
        let told = rule.could_be_met(&meant, &user(requester), &snapshot);
        assert_eq!(told, could, "{number}: {model:?}");
        impossible += usize::from(!could);

        let mut whole = request(rule, requester);
        let mut said: BTreeSet<usize> = BTreeSet::new();
        for _ in 0..3 * USERS {
            let who = random.random_range(0..USERS);
            let person = Person::of(&account(who), &Default::default(), &snapshot);
            let factors = whole.request.rule.factors_of(&person, &meant);
            let may: Vec<usize> =
                (0..model.len()).filter(|factor| company.is_meant(model[*factor].0, who)).collect();
            assert_eq!(factors, may, "{number}: {model:?} of {who}");
            several += usize::from(factors.len() > 1);
            clicks += 1;
            let voted = whole.vote(&user(who), Verdict::Approve, &factors, noon());
            if who == requester || may.is_empty() {
                assert!(voted.is_err(), "{number}: {who} may not: {model:?}");
                refused += 1;
                continue;
            }
            let is_new = said.insert(who);
            let enough = company.is_enough(&model, &said);
            match voted {
                Ok(state) => {
                    assert!(is_new, "{number}: {who} said yes twice");
                    assert_eq!(state == State::Approved, enough, "{number}: {said:?} {model:?}");
                    whole.votes.push(Vote {
                        person: user(who),
                        verdict: Verdict::Approve,
                        factors,
                        account: account(who),
                        note: None,
                        at: noon(),
                    });
                    if state == State::Approved {
                        approved += 1;
                        break;
                    }
                }
                // A yes that brings nothing is refused; it could not have been the last one.
                Err(_) => {
                    refused += 1;
                    assert!(!enough, "{number}: {said:?} are enough for {model:?}");
                }
            }
        }
        let is_met = company.is_enough(&model, &said);
        assert_eq!(whole.standing().is_met(), is_met, "{number}: {said:?} {model:?}");
    }
    println!(
        "REL E15 {clicks} clicks on random rules of up to {FACTORS_MAX} factors: {approved} approved, {refused} \
         refused, {impossible} that nobody could meet, {several} by people who may speak for several factors: 0 \
         differ from the reference"
    );
    assert!(approved > 0 && refused > 0 && impossible > 0 && several > 0);
}

/// The control: counting people for each factor alone, as if one could speak for two, approves what must not be.
#[test]
fn a_rule_that_counts_one_person_twice_is_noticed() {
    let mut random = StdRng::seed_from_u64(16);
    let mut wrong: BTreeMap<bool, usize> = BTreeMap::new();
    for _ in 0..500 {
        let company = Company::random(&mut random);
        let model = rule(&mut random);
        let people: BTreeSet<usize> = (0..USERS).filter(|_| random.random_bool(0.4)).collect();
        let alone = model.iter().all(|(asked, count)| {
            people.iter().filter(|it| company.is_meant(*asked, **it)).count() >= *count
        });
        *wrong.entry(alone != company.is_enough(&model, &people)).or_default() += 1;
    }
    assert!(wrong[&true] > 0, "{wrong:?}");
}
