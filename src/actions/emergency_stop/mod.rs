//! The emergency stop: nothing is begun, by any process, until somebody lets things begin again.
//!
//! What was begun goes on, and what is asked for is decided on: it waits.

pub mod flow;
pub mod store;
