//! What a receiver says of a step, to the address and with the token that it was sent.

pub mod flow;

use serde::Deserialize;
use serde_json::{Map, Value};

/// What a receiver says of a step.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    pub status: Reported,
    /// A sentence for people.
    #[serde(default)]
    pub note: Option<String>,
    /// Where people see it.
    #[serde(default)]
    pub url: Option<String>,
    #[serde(default)]
    pub outputs: Option<Map<String, Value>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reported {
    Running,
    Succeeded,
    Failed,
}

/// What came of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Taken,
    /// The step has ended, or was not sent: nothing goes back.
    TooLate,
    /// There is no such token.
    Unknown,
}
