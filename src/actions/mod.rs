//! Actions: asked for in chat, approved in the thread, done exactly once.
//!
//! ```text
//! run ──▶ pending ──quorum──▶ approved ──▶ ready ──▶ running ──▶ succeeded │ failed │ unknown
//!            │                               │
//!            ├─ a no ──▶ denied              ├─ taken back ──▶ cancelled
//!            ├─ taken back ──▶ cancelled     └─ started too late, or the action is another one ──▶ void
//!            ├─ nobody in time ──▶ expired
//!            └─ the action is another one now ──▶ void          failed ──tried again──▶ ready
//! ```
//! - Each click is one transaction: the request is locked, who clicked is judged by what the catalog and the links say at
//!   that moment, the vote is written, and where the quorum stands, also that it is approved, what is to be done, what
//!   happened for the audit, and what people are told. Of any number of clicks at once one ends it.
//! - What is approved is a hash of all of it ([`intent`]): the revision of the action's file, the target, the inputs. It
//!   stands on the card, in every vote, in the execution, and goes to the receiver.
//! - The tables refuse what must not be, whatever this program believes: see `migrations/0019_actions.sql`.
//! - The clock is the database's.

pub mod delegation;
pub mod dispatch;
pub mod emergency_stop;
pub mod escalation;
pub mod file;
pub mod flow;
pub mod freeze;
pub mod gate;
pub mod input;
pub mod intent;
pub mod invoke;
pub mod message;
pub mod port;
pub mod refusal;
pub mod retry;
pub mod review;
pub mod rule;
pub mod say;
pub mod store;
pub mod vote;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::announcements::Place;
use crate::catalog::{Entity, EntityRef, Snapshot};
use crate::conversation::{Platform, Speaker};
use crate::error::Refusal;
use crate::integrations::github::protection::Gate;
use crate::integrations::invocation::Receiver;
use delegation::Delegation;
use freeze::Freeze;
use input::Input;
use message::Messages;
use review::Review;
use rule::Rule;

/// What stands where inputs are given, with the reason, for what cannot wait for approval.
pub const BREAK_GLASS: &str = "break-glass";

/// The actions of a portal, by name.
#[derive(Debug, Clone, Default)]
pub struct ActionSet(Vec<Action>);

/// Something that people ask for and others approve.
#[derive(Debug, Clone)]
pub struct Action {
    /// The name of its file.
    pub file: String,
    pub name: String,
    pub title: String,
    pub summary: String,
    /// SHA-256 of its file, in hexadecimal digits.
    pub revision: String,
    /// What it is done to; `None`: to nothing in particular.
    pub target: Option<Target>,
    pub inputs: Vec<Input>,
    pub risk: Risk,
    pub requesters: Requesters,
    pub rule: Rule,
    /// Whether who may decide may hand that on.
    pub delegates: bool,
    /// After how long the next level on call is called; `None`: three quarters of its time.
    pub escalate: Option<Duration>,
    /// Where it is approved; empty: in the channel of who owns the target, and where it was asked.
    pub channel: Vec<(Platform, String)>,
    pub freezes: Vec<Freeze>,
    /// Between two of one target.
    pub cooldown: Option<Duration>,
    pub at_once: AtOnce,
    /// Who may do it without approval.
    pub break_glass: Vec<EntityRef>,
    pub timeout: Duration,
    /// What is said below the card.
    pub messages: Messages,
    /// At least one.
    pub steps: Vec<Step>,
}

impl Action {
    /// The environments of which GitHub asks; nobody else asks for it then.
    pub fn gate(&self) -> Option<&Gate> {
        self.steps.iter().find_map(|it| match &it.receiver {
            Receiver::Gate(gate) => Some(gate),
            _ => None,
        })
    }
}

/// What an action is done to: something of one of `kinds`, of one of `types` and so on; all where a list is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    pub kinds: Vec<String>,
    pub types: Vec<String>,
    pub lifecycles: Vec<String>,
    pub tiers: Vec<String>,
    pub tags: Vec<String>,
}

impl Target {
    /// Whether `entity` is such a thing.
    pub fn takes(&self, entity: &Entity, snapshot: &Snapshot) -> bool {
        let is_in = |list: &[String], word: Option<&str>| {
            list.is_empty()
                || word.is_some_and(|word| list.iter().any(|it| it.eq_ignore_ascii_case(word)))
        };
        let has_tag = || {
            let tags = &snapshot.body(entity)["metadata"]["tags"];
            let tags = tags.as_array().map(Vec::as_slice).unwrap_or_default();
            tags.iter().any(|it| self.tags.iter().any(|tag| it.as_str() == Some(tag)))
        };
        !entity.orphaned
            && is_in(&self.kinds, Some(&entity.kind))
            && is_in(&self.types, entity.class.as_deref())
            && is_in(&self.lifecycles, entity.lifecycle.as_deref())
            && is_in(&self.tiers, entity.tier.as_deref())
            && (self.tags.is_empty() || has_tag())
    }
}

impl Target {
    /// What it takes, in words with names between backticks.
    pub fn said(&self) -> String {
        let list = |words: &[String]| {
            words.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(" or ")
        };
        let parts = [
            ("", &self.kinds),
            ("of the type ", &self.types),
            ("of the lifecycle ", &self.lifecycles),
            ("of tier ", &self.tiers),
            ("tagged ", &self.tags),
        ];
        let said: Vec<String> = parts
            .iter()
            .filter(|(_, words)| !words.is_empty())
            .map(|(what, words)| format!("{what}{}", list(words)))
            .collect();
        if said.is_empty() {
            "anything in the catalog".into()
        } else {
            format!("what is {}", said.join(", "))
        }
    }
}

/// One thing that is done.
#[derive(Debug, Clone)]
pub struct Step {
    pub name: String,
    pub when: When,
    pub receiver: Receiver,
}

/// When a step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Once all before it went well.
    Success,
    /// Once one before it failed.
    Failure,
    Always,
}

/// How sure idp makes itself of who approves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// A click.
    Low,
    /// A click, and the target's name typed.
    Medium,
    /// A one-time password, and two people.
    High,
}

impl Risk {
    pub const ALL: [Risk; 3] = [Risk::Low, Risk::Medium, Risk::High];

    /// As files and the database write it.
    pub fn word(self) -> &'static str {
        match self {
            Risk::Low => "low",
            Risk::Medium => "medium",
            Risk::High => "high",
        }
    }

    pub fn from_word(word: &str) -> Option<Risk> {
        Risk::ALL.into_iter().find(|it| it.word() == word)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requesters {
    /// Everybody whose account is linked to a User, and is no guest's.
    Members,
    /// Who owns the target, and these Users and members of Groups.
    Only { owners: bool, named: Vec<EntityRef> },
}

/// How many are done at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtOnce {
    /// One of each target, by whichever action.
    Target,
    /// One of this action.
    Action,
    Any,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Pending,
    Approved,
    Denied,
    Expired,
    Cancelled,
    /// What was asked for is something else now.
    Void,
}

impl State {
    pub const ALL: [State; 6] = [
        State::Pending,
        State::Approved,
        State::Denied,
        State::Expired,
        State::Cancelled,
        State::Void,
    ];

    /// As the database writes it.
    pub fn word(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Approved => "approved",
            State::Denied => "denied",
            State::Expired => "expired",
            State::Cancelled => "cancelled",
            State::Void => "void",
        }
    }

    pub fn from_word(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|it| it.word() == word)
    }
}

/// How far what was approved is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// Its turn has not come.
    Ready,
    Running,
    Succeeded,
    Failed,
    /// It may have been done: a person has to look.
    Unknown,
    /// A person has to look before it is begun.
    Held,
    Cancelled,
    Void,
}

impl Progress {
    pub const ALL: [Progress; 8] = [
        Progress::Ready,
        Progress::Running,
        Progress::Succeeded,
        Progress::Failed,
        Progress::Unknown,
        Progress::Held,
        Progress::Cancelled,
        Progress::Void,
    ];

    /// As the database writes it.
    pub fn word(self) -> &'static str {
        match self {
            Progress::Ready => "ready",
            Progress::Running => "running",
            Progress::Succeeded => "succeeded",
            Progress::Failed => "failed",
            Progress::Unknown => "unknown",
            Progress::Held => "held",
            Progress::Cancelled => "cancelled",
            Progress::Void => "void",
        }
    }

    pub fn from_word(word: &str) -> Option<Progress> {
        Progress::ALL.into_iter().find(|it| it.word() == word)
    }

    /// Whether nothing more is done.
    pub fn is_end(self) -> bool {
        use Progress::{Cancelled, Failed, Succeeded, Void};
        matches!(self, Succeeded | Failed | Cancelled | Void)
    }
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub id: i64,
    /// Part of every key toward a receiver.
    pub nonce: String,
    pub action: String,
    pub revision: String,
    pub target: Option<EntityRef>,
    pub inputs: Map<String, Value>,
    pub pinned: Map<String, Value>,
    pub intent: Vec<u8>,
    pub rule: Rule,
    pub risk: Risk,
    pub requester: EntityRef,
    /// Who asked, by their account; `None`: GitHub did, for [`gate`].
    pub asked_by: Option<Speaker>,
    /// Where its card is shown.
    pub places: Vec<Place>,
    /// Why it was done without approval.
    pub break_glass: Option<String>,
    /// Whether its inputs are too long for a card.
    pub is_long: bool,
    /// How many levels on call were called.
    pub level: usize,
    pub state: State,
    pub version: i32,
    pub requested_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub decided_at: Option<DateTime<Utc>>,
    pub decided_by: Option<EntityRef>,
    pub note: Option<String>,
    /// What somebody found who looked at what was done without approval.
    pub review: Option<Review>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Approve,
    Deny,
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Approve => "approve",
            Verdict::Deny => "deny",
        }
    }

    pub fn from_word(word: &str) -> Option<Verdict> {
        [Verdict::Approve, Verdict::Deny].into_iter().find(|it| it.word() == word)
    }
}

/// What somebody did to show that it was them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    Click,
    /// The target's name, typed.
    Typed,
    OneTimePassword,
}

impl Proof {
    pub fn word(self) -> &'static str {
        match self {
            Proof::Click => "click",
            Proof::Typed => "typed",
            Proof::OneTimePassword => "one_time_password",
        }
    }
}

/// What somebody said to a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Vote {
    pub person: EntityRef,
    pub verdict: Verdict,
    /// The factors of the rule that they may speak for.
    pub factors: Vec<usize>,
    pub account: Speaker,
    pub note: Option<String>,
    pub at: DateTime<Utc>,
}

/// What was done of a request, as far as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Execution {
    pub state: Progress,
    pub note: Option<String>,
    pub steps: Vec<StepStanding>,
    /// How often it was tried again.
    pub retries: usize,
    /// After it nothing is begun any more.
    pub start_by: DateTime<Utc>,
    pub began_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepStanding {
    pub name: String,
    /// ready, sending, running, succeeded, failed, unknown, skipped
    pub state: String,
    pub url: Option<String>,
    pub note: Option<String>,
}

/// A request with all that was said to it and done of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole {
    pub request: Request,
    /// The oldest first.
    pub votes: Vec<Vote>,
    /// What was handed on, the oldest first.
    pub delegations: Vec<Delegation>,
    pub execution: Option<Execution>,
}

impl Whole {
    /// The factors that each yes may speak for.
    fn yeses(&self) -> Vec<Vec<usize>> {
        let yeses = self.votes.iter().filter(|it| it.verdict == Verdict::Approve);
        yeses.map(|it| it.factors.clone()).collect()
    }

    /// How far the votes bring it.
    pub fn standing(&self) -> rule::Standing {
        self.request.rule.standing(&self.yeses())
    }

    /// What becomes of it when `by`, who may speak for `factors` of its rule, says `verdict` at `now`.
    ///
    /// # Errors
    /// Their own request; one that has ended, or expired; a second vote; nobody whom the rule means.
    pub fn vote(
        &self,
        by: &EntityRef,
        verdict: Verdict,
        factors: &[usize],
        now: DateTime<Utc>,
    ) -> Result<State, Refusal> {
        self.must_be_open(now)?;
        let request = &self.request;
        if request.requester == *by {
            return Err(own(request));
        }
        if let Some(vote) = self.votes.iter().find(|it| it.person == *by) {
            return Err(request.settled(format!(
                "you have said {} at {} already",
                if vote.verdict == Verdict::Approve { "yes" } else { "no" },
                clock(vote.at)
            )));
        }
        if factors.is_empty() {
            return Err(nobody_asked(request));
        }
        if verdict == Verdict::Deny {
            return Ok(State::Denied);
        }
        if let Some(handed) = self.delegations.iter().find(|it| it.person == *by) {
            return Err(request.settled(format!(
                "you have handed your yes to `{}` at {}",
                handed.delegate,
                clock(handed.at)
            )));
        }
        let mut yeses = self.yeses();
        let before = request.rule.standing(&yeses).count();
        yeses.push(factors.to_vec());
        let standing = request.rule.standing(&yeses);
        if standing.count() == before {
            return Err(request
                .settled("somebody has said yes already for what you may speak for".to_string()));
        }
        Ok(if standing.is_met() { State::Approved } else { State::Pending })
    }

    /// Whether nothing more becomes of it.
    pub fn is_over(&self) -> bool {
        match (self.request.state, &self.execution) {
            (State::Pending, _) => false,
            (State::Approved, execution) => execution.as_ref().is_some_and(|it| it.state.is_end()),
            _ => true,
        }
    }

    /// Whether anything can still be said to it.
    ///
    /// # Errors
    /// It has ended, or its time is over.
    pub fn must_be_open(&self, now: DateTime<Utc>) -> Result<(), Refusal> {
        let request = &self.request;
        if request.state != State::Pending {
            return Err(self.ended());
        }
        if request.expires_at <= now {
            return Err(late(request));
        }
        Ok(())
    }

    /// That it has ended, by whom and when.
    pub fn ended(&self) -> Refusal {
        let request = &self.request;
        let by = request.decided_by.as_ref().map(|by| format!(" by `{by}`")).unwrap_or_default();
        let at = request.decided_at.map(|at| format!(" at {}", clock(at))).unwrap_or_default();
        request.settled(format!("it was {}{by}{at}", request.state.word()))
    }
}

impl Request {
    pub(crate) fn settled(&self, why: String) -> Refusal {
        Refusal::Settled {
            what: format!("request {}", self.id),
            why,
            instead: vec![format!("requests show {}", self.id)],
        }
    }

    /// As people write it: its number with the first digits of its intent.
    pub fn handle(&self) -> String {
        format!("{}-{}", self.id, intent::shown(&self.intent))
    }

    /// What it is done to, in a word.
    pub fn target_name<'a>(&'a self, snapshot: &'a Snapshot) -> Option<&'a str> {
        let target = self.target.as_ref()?;
        Some(snapshot.find(target.as_str()).map_or(target.name(), |it| it.name.as_ref()))
    }
}

fn late(request: &Request) -> Refusal {
    request.settled("nobody decided on it in time; ask again".to_string())
}

fn own(request: &Request) -> Refusal {
    Refusal::NotAllowed {
        rule: "Nobody approves or denies what they asked for themselves.".into(),
        next: "Ask one of those whom the card names; you can take it back.".into(),
        instead: vec![format!("cancel {}", request.id), format!("requests show {}", request.id)],
    }
}

fn nobody_asked(request: &Request) -> Refusal {
    Refusal::NotAllowed {
        rule: format!("You are not among those who approve request {}.", request.id),
        next: "Ask one of those whom it names.".into(),
        instead: vec![format!("requests show {}", request.id)],
    }
}

/// As people read a moment, by UTC.
pub fn clock(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// The number of a request, and the digits of its intent where they were given: `17`, or `17-3f2a91bc`.
///
/// # Errors
/// Anything else.
pub fn handle(typed: &str) -> Result<(i64, Option<String>), Refusal> {
    let typed = typed.trim().trim_start_matches('#');
    let (number, digits) = match typed.split_once('-') {
        Some((number, digits)) => (number, Some(digits.to_lowercase())),
        None => (typed, None),
    };
    let is_hex = |it: &String| {
        it.len() == intent::SHOWN_DIGITS && it.bytes().all(|it| it.is_ascii_hexdigit())
    };
    match number.parse::<i64>() {
        Ok(id) if id > 0 && digits.as_ref().is_none_or(is_hex) => Ok((id, digits)),
        _ => Err(unknown(typed)),
    }
}

/// That there is no such request.
pub fn unknown(typed: &str) -> Refusal {
    Refusal::InvalidArgument {
        argument: "number".into(),
        value: typed.chars().take(40).collect(),
        expected: "take the number of a request that `requests` lists".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rule::{Factor, Who};

    const ASKER: &str = "user:default/ada";

    fn user(name: &str) -> EntityRef {
        EntityRef::parse(name, Some("user"), "default").unwrap()
    }

    fn noon() -> DateTime<Utc> {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn speaker() -> Speaker {
        Speaker { platform: Platform::Slack, tenant: "T1".into(), user_id: "U1".into() }
    }

    fn waiting() -> Whole {
        let factors = [Who::Owner, Who::OnCall].map(|who| Factor { who, count: 1 });
        let request = Request {
            id: 17,
            nonce: String::new(),
            action: "restart".into(),
            revision: String::new(),
            target: None,
            inputs: Map::new(),
            pinned: Map::new(),
            intent: vec![0; 32],
            rule: Rule { factors: factors.into(), within_s: 60 },
            risk: Risk::Low,
            requester: user(ASKER),
            asked_by: Some(speaker()),
            places: Vec::new(),
            break_glass: None,
            is_long: false,
            level: 1,
            state: State::Pending,
            version: 1,
            requested_at: noon(),
            expires_at: noon() + Duration::from_secs(60),
            decided_at: None,
            decided_by: None,
            note: None,
            review: None,
        };
        Whole { request, votes: Vec::new(), delegations: Vec::new(), execution: None }
    }

    fn with_yes(mut whole: Whole, by: &str, factors: &[usize]) -> Whole {
        whole.votes.push(Vote {
            person: user(by),
            verdict: Verdict::Approve,
            factors: factors.to_vec(),
            account: speaker(),
            note: None,
            at: noon(),
        });
        whole
    }

    #[test]
    fn nobody_decides_on_their_own_request() {
        for verdict in [Verdict::Approve, Verdict::Deny] {
            let refused = waiting().vote(&user(ASKER), verdict, &[0, 1], noon()).unwrap_err();
            assert_eq!(refused.code(), "not_allowed");
        }
    }

    #[test]
    fn it_is_approved_when_each_factor_has_another_person() {
        let first = waiting().vote(&user("ben"), Verdict::Approve, &[0, 1], noon());
        assert_eq!(first, Ok(State::Pending));
        let one = with_yes(waiting(), "ben", &[0, 1]);
        assert_eq!(one.vote(&user("cleo"), Verdict::Approve, &[0], noon()), Ok(State::Approved));
        assert_eq!(one.vote(&user("cleo"), Verdict::Approve, &[1], noon()), Ok(State::Approved));
        let taken = with_yes(waiting(), "ben", &[0]);
        assert!(taken.vote(&user("cleo"), Verdict::Approve, &[0], noon()).is_err());
    }

    #[test]
    fn one_no_ends_it_and_a_second_word_of_one_person_does_not_count() {
        assert_eq!(waiting().vote(&user("ben"), Verdict::Deny, &[1], noon()), Ok(State::Denied));
        let one = with_yes(waiting(), "ben", &[0]);
        assert!(one.vote(&user("ben"), Verdict::Approve, &[0], noon()).is_err());
        assert!(one.vote(&user("ben"), Verdict::Deny, &[0], noon()).is_err());
    }

    #[test]
    fn who_is_not_asked_and_who_comes_late_is_refused() {
        assert!(waiting().vote(&user("ben"), Verdict::Approve, &[], noon()).is_err());
        let late = noon() + Duration::from_secs(60);
        assert!(waiting().vote(&user("ben"), Verdict::Approve, &[0], late).is_err());
        for state in State::ALL.into_iter().filter(|it| *it != State::Pending) {
            let mut ended = waiting();
            ended.request.state = state;
            assert!(ended.vote(&user("ben"), Verdict::Approve, &[0], noon()).is_err(), "{state:?}");
        }
    }

    #[test]
    fn a_request_is_named_by_its_number_and_its_intent() {
        assert_eq!(handle("17"), Ok((17, None)));
        assert_eq!(handle(" #17-3F2A91BC"), Ok((17, Some("3f2a91bc".into()))));
        for wrong in ["", "x", "-1", "0", "17-", "17-3f2a91b", "17-3f2a91bg", "17-3f2a91bc-1"] {
            assert!(handle(wrong).is_err(), "{wrong}");
        }
    }
}
