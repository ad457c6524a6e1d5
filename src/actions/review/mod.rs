//! What was done without approval is looked at afterwards, by somebody who could have approved it and is not who did it.

pub mod flow;
pub mod store;

use chrono::{DateTime, Utc};

use super::{Progress, State, Whole, clock};
use crate::catalog::EntityRef;
use crate::error::Refusal;

/// What somebody found who looked at what was done without approval.
#[derive(Debug, Clone, PartialEq)]
pub struct Review {
    pub by: EntityRef,
    pub at: DateTime<Utc>,
    pub words: String,
}

impl Whole {
    /// Whether somebody has to look at it, for it was done without approval.
    pub fn waits_for_review(&self) -> bool {
        let request = &self.request;
        let state = self.execution.as_ref().map(|it| it.state);
        request.break_glass.is_some()
            && request.review.is_none()
            && request.state == State::Approved
            && !matches!(state, Some(Progress::Cancelled | Progress::Void))
    }

    /// Whether `by`, who may speak for `factors` of its rule, may say what they found. `nobody_could`: nobody but who did
    /// it could have approved it, so that whom the policies let may.
    ///
    /// # Errors
    /// What needs no review, or had one; who did it; who could not have approved it.
    pub fn may_review(
        &self,
        by: &EntityRef,
        factors: &[usize],
        nobody_could: bool,
    ) -> Result<(), Refusal> {
        let request = &self.request;
        if let Some(review) = &request.review {
            let at = clock(review.at);
            return Err(request.settled(format!("`{}` looked at it at {at}", review.by)));
        }
        if !self.waits_for_review() {
            return Err(request.settled("it was not done without approval".to_string()));
        }
        if request.requester == *by {
            return Err(Refusal::NotAllowed {
                rule: "Nobody reviews what they did themselves.".into(),
                next: "Ask one of those whom the card names.".into(),
                instead: vec![format!("requests show {}", request.id)],
            });
        }
        if factors.is_empty() && !nobody_could {
            return Err(super::nobody_asked(request));
        }
        Ok(())
    }
}
