//! What somebody says to a request, and what comes of it.

pub mod flow;

use std::time::Duration;

use super::{Verdict, Whole};
use crate::access::Person;
use crate::conversation::Way;

/// How long whoever is stale waits for news before it is asked again.
pub const FRESH_WITHIN: Duration = Duration::from_millis(1_500);

/// What somebody says to a request.
pub struct Ballot<'a> {
    /// Its number, with the digits of its intent where they were given.
    pub handle: &'a str,
    pub person: &'a Person,
    pub way: Way,
    pub verdict: Verdict,
    /// The target's name, typed.
    pub confirmed: Option<&'a str>,
    /// A one-time password.
    pub code: Option<&'a str>,
    pub note: Option<String>,
}

/// What came of a vote.
pub enum Voted {
    Counted(Box<Whole>),
    /// What this process knows of people is not what the database has: nothing was done, try again in a moment.
    Stale,
}
