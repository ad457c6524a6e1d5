//! What came in and must be answered once: duplicates are told apart, and nothing is lost with its process.
//!
//! ```text
//! delivery ──take──▶ New ──written down──▶ acknowledged ──answered──▶ done
//!              └───▶ Known: acknowledged, nothing else            └─ process dies ─▶ another takes it up
//! ```
//! Where every process was away for minutes, a question is not answered any more, and a click decides nothing: whoever
//! clicked is told so.
//!
//! What comes in is written down together with whatever else does meanwhile ([`group_commit`]), and before what was
//! acknowledged is decided: who clicks waits for two commits, however many click.
//!
//! While the database is away the memory of this process tells duplicates apart, and what came in is
//! answered all the same: a lookup must work in an incident.

pub mod flow;
pub mod group_commit;
pub mod store;
pub mod worker;

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use group_commit::GroupCommit;

/// How many deliveries a process remembers: some hours of a busy workspace.
const REMEMBERED_MAX: usize = 65_536;

/// Whether a delivery was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    New,
    Known,
}

/// What identifies a delivery, and what is to be answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// `slack`
    pub platform: &'static str,
    pub tenant: String,
    pub envelope: String,
    pub body: serde_json::Value,
}

/// What another process took and left.
#[derive(Debug, Clone, PartialEq)]
pub struct Left {
    pub delivery: Delivery,
    /// Whether it came so long ago that it is not done any more.
    pub is_late: bool,
}

/// Whether a delivery was new.
type Written = Result<bool, Arc<sqlx::Error>>;
type Finished = Result<(), Arc<sqlx::Error>>;

/// The deliveries of one platform that this process took.
#[derive(Debug, Default)]
pub struct Inbox {
    seen: Mutex<Seen>,
    /// What is to be written down.
    taking: GroupCommit<Delivery, Written>,
    /// What is answered.
    finishing: GroupCommit<Delivery, Finished>,
}

#[derive(Debug, Default)]
struct Seen {
    keys: HashSet<String>,
    in_order: VecDeque<String>,
    /// What waits for its answer here, however long that takes.
    under_way: HashSet<String>,
}

/// Ends, when dropped, that a delivery is under way.
#[derive(Debug)]
pub struct UnderWay<'a> {
    inbox: &'a Inbox,
    key: String,
}

impl Inbox {
    /// Whether this process has taken the delivery.
    fn knows(&self, delivery: &Delivery) -> bool {
        self.seen().keys.contains(&delivery.key())
    }

    /// Remembers the delivery; whether it is the first of its kind here.
    fn note(&self, delivery: &Delivery) -> Taken {
        let key = delivery.key();
        let mut seen = self.seen();
        if !seen.keys.insert(key.clone()) {
            return Taken::Known;
        }
        seen.in_order.push_back(key);
        if seen.in_order.len() > REMEMBERED_MAX
            && let Some(oldest) = seen.in_order.pop_front()
        {
            seen.keys.remove(&oldest);
        }
        Taken::New
    }

    /// `delivery` is being answered, until what this gives is dropped; `None` when it is already.
    fn begin(&self, delivery: &Delivery) -> Option<UnderWay<'_>> {
        let key = delivery.key();
        self.seen().under_way.insert(key.clone()).then(|| UnderWay { inbox: self, key })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.inbox.seen().under_way.remove(&self.key);
    }
}

impl Delivery {
    fn key(&self) -> String {
        let Delivery { platform, tenant, envelope, .. } = self;
        format!("{platform} {tenant} {envelope}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(number: usize) -> Delivery {
        Delivery {
            platform: "slack",
            tenant: "T1".into(),
            envelope: format!("Ev{number}"),
            body: serde_json::Value::Null,
        }
    }

    #[test]
    fn the_second_delivery_is_known() {
        let inbox = Inbox::default();
        assert_eq!(inbox.note(&delivery(1)), Taken::New);
        assert_eq!(inbox.note(&delivery(1)), Taken::Known);
        let other_tenant = Delivery { tenant: "T2".into(), ..delivery(1) };
        assert_eq!(inbox.note(&other_tenant), Taken::New);
    }

    #[test]
    fn what_is_under_way_does_not_begin_again() {
        let inbox = Inbox::default();
        let begun = inbox.begin(&delivery(1));
        assert!(begun.is_some());
        assert!(inbox.begin(&delivery(1)).is_none(), "it began twice");
        assert!(inbox.begin(&delivery(2)).is_some());
        drop(begun);
        assert!(inbox.begin(&delivery(1)).is_some(), "it never ended");
    }

    #[test]
    fn the_memory_has_an_end() {
        let inbox = Inbox::default();
        for number in 0..=REMEMBERED_MAX {
            inbox.note(&delivery(number));
        }
        assert_eq!(inbox.seen.lock().unwrap().keys.len(), REMEMBERED_MAX);
        assert_eq!(inbox.note(&delivery(REMEMBERED_MAX)), Taken::Known);
        assert_eq!(inbox.note(&delivery(0)), Taken::New);
    }
}
