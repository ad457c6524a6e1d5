//! Who is called next: what waits for long is said to the next level on call, who may decide on it from then on.
//!
//! Each level is called once: the row of the request counts them, and it is locked meanwhile. Levels on which nobody is on
//! call are passed over. Who is on call is looked at when somebody clicks, on each level that was called.

pub mod flow;
pub mod store;

use std::time::Duration;

use super::rule::{Rule, Who};
use super::{Action, Whole};
use crate::on_call::Level;

/// Where no level follows right now, it is looked for again after this.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(5 * 60);

/// After how long the next level is called; `None`: nobody on call is asked.
pub fn after(action: &Action) -> Option<Duration> {
    let rule = &action.rule;
    let long = Duration::from_secs(rule.within_s / 4 * 3);
    (!places(rule).is_empty()).then(|| action.escalate.unwrap_or(long))
}

/// The factors of `rule` that are whoever is on call.
fn places(rule: &Rule) -> Vec<usize> {
    (0..rule.factors.len()).filter(|it| rule.factors[*it].who == Who::OnCall).collect()
}

/// What is to be done of a request that waits for long.
#[derive(Debug, PartialEq)]
pub enum Next<'a> {
    /// This level is called, and another one after this long; `None`: it is the last.
    Call(&'a Level, Option<Duration>),
    /// It is looked at again.
    Later(Duration),
    /// Nobody on call would bring it further.
    Never,
}

/// What is to be done of `whole`; `manned` are the levels on which somebody is on call now.
pub fn next<'a>(whole: &Whole, manned: &'a [Level]) -> Next<'a> {
    if !whole.would_count(&places(&whole.request.rule)) {
        return Next::Never;
    }
    let called = whole.request.level;
    match manned.get(called) {
        None => Next::Later(LOOK_AGAIN_AFTER),
        Some(level) => {
            let after = |next: &Level| next.after.unwrap_or(LOOK_AGAIN_AFTER);
            Next::Call(level, manned.get(called + 1).map(after))
        }
    }
}

impl Whole {
    /// Whether a yes of one more person, who may speak for `factors`, would count.
    fn would_count(&self, factors: &[usize]) -> bool {
        let mut yeses = self.yeses();
        let before = self.request.rule.standing(&yeses).count();
        yeses.push(factors.to_vec());
        self.request.rule.standing(&yeses).count() > before
    }
}
