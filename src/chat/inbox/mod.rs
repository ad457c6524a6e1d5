//! What came in and must be answered once: duplicates are told apart, and nothing is lost with its process.
//!
//! ```text
//! delivery ──take──▶ New ──written down──▶ acknowledged ──answered──▶ done
//!              └───▶ Known: acknowledged, nothing else            └─ process dies ─▶ another takes it up
//! ```
//! Where every process was away for minutes, a question is not answered any more, and a click decides nothing: whoever
//! clicked is told so.
//!
//! While the database is away the memory of this process tells duplicates apart, and what came in is
//! answered all the same: a lookup must work in an incident.

pub mod flow;
pub mod store;
pub mod worker;

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// The deliveries that this process took.
#[derive(Debug, Default)]
pub struct Inbox {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    keys: HashSet<String>,
    in_order: VecDeque<String>,
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

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
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
