//! Doing what was approved, once.
//!
//! ```text
//! ready ──it is our turn──▶ running ──each step──▶ succeeded │ failed
//!                                       │
//!   step:  ready ──written down──▶ sending ──┬─ it is there ──▶ running ──▶ succeeded │ failed
//!            ▲                               ├─ surely not there, later ──▶ ready
//!            └───────────────────────────────┘
//!                                            └─ who knows ──▶ by its class: sent again with the same key, looked for
//!                                                             first, redeemed once, or a person is asked
//! ```
//! - Whoever does it holds a lease, by the database's clock, and renews it. That a step is about to be sent is written down
//!   before it is, in one statement that asks once more whether the lease is held and nothing is stopped. What was frozen
//!   in between looks at its own clock before it sends.
//! - The key toward a receiver is computed, from the request and its intent: a row that a failed database lost gets the same.
//! - After a failover (the database's timeline is another than the request's) nothing counts as new: what can be looked for
//!   is looked for before it is sent, also where jobs redeem; who says by itself how it goes is asked again with the same
//!   key; and of what cannot be told a person is asked.
//! - Nothing is tried for ever: see [`after`].

pub mod flow;
pub mod order;
pub mod report;
pub mod store;

use std::time::Duration;

use crate::actions::{Step, When};
use crate::integrations::invocation::{Class, NotSent, Outcome, Sent, Status};

/// How long whoever does something holds it without a sign of life.
pub const LEASE: Duration = Duration::from_secs(30);

/// How long one call to a receiver may take; with what comes before and after it is well below the lease.
pub const PATIENCE: Duration = Duration::from_secs(12);

/// What was about to be sent longer ago is not sent: whoever wanted to was frozen meanwhile.
pub const SEND_WITHIN: Duration = Duration::from_secs(5);

/// How often a step is sent, or asked for, before a person has to look.
const ATTEMPTS_MAX: u32 = 8;
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(5 * 60);

/// How often what runs is looked at, at first and at most.
const LOOK_AFTER: Duration = Duration::from_secs(2);
const LOOK_AFTER_MAX: Duration = Duration::from_secs(30);

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nothing of it is anywhere.
    Ready,
    /// It was about to be sent: it may be there.
    Sending,
    Running,
    Succeeded,
    Failed,
    Unknown,
    Skipped,
}

impl Stage {
    pub const ALL: [Stage; 7] = [
        Stage::Ready,
        Stage::Sending,
        Stage::Running,
        Stage::Succeeded,
        Stage::Failed,
        Stage::Unknown,
        Stage::Skipped,
    ];

    /// As the database writes it.
    pub fn word(self) -> &'static str {
        match self {
            Stage::Ready => "ready",
            Stage::Sending => "sending",
            Stage::Running => "running",
            Stage::Succeeded => "succeeded",
            Stage::Failed => "failed",
            Stage::Unknown => "unknown",
            Stage::Skipped => "skipped",
        }
    }

    pub fn from_word(word: &str) -> Option<Stage> {
        Stage::ALL.into_iter().find(|it| it.word() == word)
    }

    fn is_end(self) -> bool {
        matches!(self, Stage::Succeeded | Stage::Failed | Stage::Skipped)
    }
}

/// What is to be done next of something, by where its steps stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It has nothing to do: the one before it went well, or did not.
    Skip(usize),
    Do(usize),
    /// A person has to look at it.
    Wait,
    Succeeded,
    Failed,
}

/// Whose turn it is: `stages` are those of `steps`, in their order.
pub fn turn(steps: &[Step], stages: &[Stage]) -> Turn {
    let has_failed = stages.contains(&Stage::Failed);
    for (place, stage) in stages.iter().enumerate() {
        match stage {
            it if it.is_end() => {}
            Stage::Unknown => return Turn::Wait,
            Stage::Ready => {
                let failed_before = stages[..place].contains(&Stage::Failed);
                let is_its_turn = match steps.get(place).map(|it| it.when) {
                    Some(When::Always) => true,
                    Some(When::Failure) => failed_before,
                    Some(When::Success) | None => !failed_before,
                };
                return if is_its_turn { Turn::Do(place) } else { Turn::Skip(place) };
            }
            _ => return Turn::Do(place),
        }
    }
    if has_failed { Turn::Failed } else { Turn::Succeeded }
}

/// How a step is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approach {
    Send,
    /// It may be there: it is looked for, and sent where it is not.
    FindThenSend,
    /// It may be there, and nobody can tell.
    AskAPerson,
}

/// How a step of `class` is sent that stands at `stage`. `is_other_history`: the database is not the one that it was asked
/// for in, and may have forgotten that it was sent.
pub fn approach(class: Class, stage: Stage, is_other_history: bool) -> Approach {
    if stage == Stage::Ready && !is_other_history {
        return Approach::Send;
    }
    match class {
        // What redeemed, another history may have forgotten.
        Class::Redeem if is_other_history => Approach::FindThenSend,
        Class::Idempotent | Class::Redeem => Approach::Send,
        Class::Searchable => Approach::FindThenSend,
        Class::Blind => Approach::AskAPerson,
    }
}

/// What becomes of a step after it was sent, looked for or looked at.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    Stage {
        stage: Stage,
        note: Option<String>,
    },
    /// It stands as it is, and is taken up again after this.
    Again {
        stage: Stage,
        after: Duration,
        note: String,
    },
}

/// What becomes of a step that the receiver has.
pub fn sent(sent: &Sent) -> Next {
    match sent {
        Sent::Started { .. } => Next::Stage { stage: Stage::Running, note: None },
        Sent::Finished { outcome: Outcome::Succeeded { .. } } => {
            Next::Stage { stage: Stage::Succeeded, note: None }
        }
        Sent::Finished { outcome: Outcome::Failed { why } } => {
            Next::Stage { stage: Stage::Failed, note: Some(why.clone()) }
        }
    }
}

/// What becomes of a step of `class` that was not sent, at the `attempts`-th time. `was_in_doubt`: an earlier time may have
/// arrived.
pub fn after(class: Class, attempts: u32, was_in_doubt: bool, not_sent: &NotSent) -> Next {
    let why = not_sent.to_string();
    let is_last = attempts >= ATTEMPTS_MAX;
    let asked = |wait: Option<Duration>| wait.unwrap_or_default().max(pause(attempts));
    match not_sent {
        // That this time was refused says nothing of an earlier one.
        NotSent::Refused { .. } if was_in_doubt && class != Class::Redeem => {
            Next::Stage { stage: Stage::Unknown, note: Some(why) }
        }
        NotSent::Refused { .. } => Next::Stage { stage: Stage::Failed, note: Some(why) },
        NotSent::NotNow { .. } | NotSent::Busy { .. } if class == Class::Blind => {
            Next::Stage { stage: Stage::Failed, note: Some(why) }
        }
        // Another operation ends; who waits for it is not tired.
        NotSent::Busy { .. } => {
            let stage = if was_in_doubt { Stage::Sending } else { Stage::Ready };
            Next::Again { stage, after: LOOK_AFTER_MAX, note: why }
        }
        NotSent::NotNow { wait, .. } => match (is_last, was_in_doubt) {
            (true, true) => Next::Stage { stage: Stage::Unknown, note: Some(why) },
            (true, false) => Next::Stage { stage: Stage::Failed, note: Some(why) },
            (false, true) => Next::Again { stage: Stage::Sending, after: asked(*wait), note: why },
            (false, false) => Next::Again { stage: Stage::Ready, after: asked(*wait), note: why },
        },
        NotSent::Unknown { wait, .. } => match (class, is_last) {
            (Class::Blind, _) | (_, true) => Next::Stage { stage: Stage::Unknown, note: Some(why) },
            _ => Next::Again { stage: Stage::Sending, after: asked(*wait), note: why },
        },
    }
}

/// What becomes of a step that runs, by how it is; `looks` times it was looked at.
pub fn looked(status: &Result<Status, NotSent>, looks: u32) -> Next {
    let after = LOOK_AFTER.saturating_mul(1 + looks / 3).min(LOOK_AFTER_MAX);
    match status {
        Ok(Status::Running { note }) => {
            Next::Again { stage: Stage::Running, after, note: note.clone() }
        }
        Ok(Status::Succeeded { .. }) => Next::Stage { stage: Stage::Succeeded, note: None },
        Ok(Status::Failed { why }) => Next::Stage { stage: Stage::Failed, note: Some(why.clone()) },
        Ok(Status::Gone) => Next::Stage {
            stage: Stage::Unknown,
            note: Some("the receiver knows nothing of it any more".into()),
        },
        Err(NotSent::NotNow { why, wait } | NotSent::Unknown { why, wait }) => Next::Again {
            stage: Stage::Running,
            after: wait.unwrap_or_default().max(LOOK_AFTER_MAX),
            note: why.clone(),
        },
        Err(other) => {
            Next::Again { stage: Stage::Running, after: LOOK_AFTER_MAX, note: other.to_string() }
        }
    }
}

/// Longer each time.
fn pause(attempts: u32) -> Duration {
    let doubled = PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(16));
    doubled.min(PAUSE_MAX)
}

/// The word of a class, as the database writes it.
pub fn word(class: Class) -> &'static str {
    match class {
        Class::Idempotent => "idempotent",
        Class::Searchable => "searchable",
        Class::Redeem => "redeem",
        Class::Blind => "blind",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: [Class; 4] = [Class::Idempotent, Class::Searchable, Class::Redeem, Class::Blind];

    fn unknown() -> NotSent {
        NotSent::Unknown { why: "the answer was lost".into(), wait: None }
    }

    #[test]
    fn what_cannot_be_told_apart_is_never_sent_twice() {
        for stage in Stage::ALL.into_iter().filter(|it| *it != Stage::Ready) {
            assert_eq!(approach(Class::Blind, stage, false), Approach::AskAPerson, "{stage:?}");
        }
        assert_eq!(approach(Class::Blind, Stage::Ready, true), Approach::AskAPerson);
        let next = after(Class::Blind, 1, false, &unknown());
        assert!(matches!(next, Next::Stage { stage: Stage::Unknown, .. }));
        let not_now = NotSent::NotNow { why: "busy".into(), wait: None };
        let next = after(Class::Blind, 1, false, &not_now);
        assert!(matches!(next, Next::Stage { stage: Stage::Failed, .. }));
    }

    #[test]
    fn what_can_be_looked_for_is_looked_for_before_it_is_sent_again() {
        assert_eq!(approach(Class::Searchable, Stage::Ready, false), Approach::Send);
        assert_eq!(approach(Class::Searchable, Stage::Sending, false), Approach::FindThenSend);
        assert_eq!(approach(Class::Searchable, Stage::Ready, true), Approach::FindThenSend);
    }

    #[test]
    fn a_doubt_is_never_forgotten() {
        let refused = NotSent::refused("it is no workflow");
        let not_now = NotSent::NotNow { why: "busy".into(), wait: None };
        let busy = NotSent::Busy { holder: "another sync".into() };
        for class in [Class::Idempotent, Class::Searchable] {
            for attempts in 1..20 {
                for not_sent in [&refused, &not_now, &busy, &unknown()] {
                    let stage = match after(class, attempts, true, not_sent) {
                        Next::Stage { stage, .. } | Next::Again { stage, .. } => stage,
                    };
                    assert!(
                        matches!(stage, Stage::Unknown | Stage::Sending),
                        "{class:?} {attempts} {not_sent:?}: {stage:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn nothing_is_tried_for_ever() {
        let not_now = NotSent::NotNow { why: "busy".into(), wait: None };
        for class in CLASSES {
            for not_sent in [&not_now, &unknown()] {
                for in_doubt in [false, true] {
                    let next = after(class, ATTEMPTS_MAX, in_doubt, not_sent);
                    assert!(matches!(next, Next::Stage { .. }), "{class:?} {not_sent:?}");
                }
            }
        }
    }

    #[test]
    fn a_step_waits_for_its_turn() {
        use Stage::{Failed, Ready, Skipped, Succeeded, Unknown};
        let step = |when| Step {
            name: "s".into(),
            when,
            receiver: crate::integrations::invocation::tests::receiver(),
        };
        let steps = [When::Success, When::Success, When::Failure, When::Always].map(step);
        assert_eq!(turn(&steps, &[Ready, Ready, Ready, Ready]), Turn::Do(0));
        assert_eq!(turn(&steps, &[Succeeded, Ready, Ready, Ready]), Turn::Do(1));
        assert_eq!(turn(&steps, &[Succeeded, Succeeded, Ready, Ready]), Turn::Skip(2));
        assert_eq!(turn(&steps, &[Succeeded, Succeeded, Skipped, Ready]), Turn::Do(3));
        assert_eq!(turn(&steps, &[Failed, Ready, Ready, Ready]), Turn::Skip(1));
        assert_eq!(turn(&steps, &[Failed, Skipped, Ready, Ready]), Turn::Do(2));
        assert_eq!(turn(&steps, &[Failed, Skipped, Succeeded, Succeeded]), Turn::Failed);
        assert_eq!(turn(&steps, &[Succeeded, Succeeded, Skipped, Succeeded]), Turn::Succeeded);
        assert_eq!(turn(&steps, &[Succeeded, Unknown, Ready, Ready]), Turn::Wait);
    }
}
