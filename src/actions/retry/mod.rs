//! What failed is tried again, from the step that failed.
//!
//! - It is the same request: what went well is not done again, and what it gave stands in the texts of later steps.
//! - No new approval is asked for, because nothing else is done than was approved, and only in the time in which it was to be
//!   begun. By who may decide on it now; or by who asked, where those who approved it still may. What is of high risk is
//!   judged once more when it begins, as at first.
//! - Never what nobody knows of, nor what took secrets, which are forgotten by then; three times at most.
//! - The keys and tokens of a step are others each time, computed like the first: what comes late from a failed run is of
//!   nothing.

pub mod flow;
pub mod store;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Progress, Whole};
use crate::error::Refusal;

/// So often something is tried again.
pub const RETRIES_MAX: usize = 3;

impl Whole {
    /// Whether it failed such that it may be tried again, as long as there is time.
    pub fn is_retriable(&self) -> bool {
        let has_secrets = self.request.inputs.values().any(Value::is_object);
        let failed = self.execution.as_ref().filter(|it| it.state == Progress::Failed);
        failed.is_some_and(|it| it.retries < RETRIES_MAX) && !has_secrets
    }

    /// Whether it may be tried again at `now`.
    ///
    /// # Errors
    /// It has not failed, or nobody knows; too often, too late; secrets that are forgotten.
    pub fn may_retry(&self, now: DateTime<Utc>) -> Result<(), Refusal> {
        let request = &self.request;
        let Some(execution) = self.execution.as_ref().filter(|it| it.state == Progress::Failed)
        else {
            return Err(request.settled("only what has failed is tried again".to_string()));
        };
        if execution.retries >= RETRIES_MAX {
            return Err(request
                .settled(format!("it was tried again {RETRIES_MAX} times: ask for it again")));
        }
        if !self.is_retriable() {
            return Err(request.settled("its secrets are forgotten: ask for it again".to_string()));
        }
        if execution.start_by <= now {
            return Err(request.settled("its approval is too old: ask for it again".to_string()));
        }
        Ok(())
    }
}
