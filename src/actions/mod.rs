//! What people ask for to be done elsewhere.

pub mod invoke;
