//! When work falls due.

pub mod schedule;
