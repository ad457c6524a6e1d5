//! Crashes: processes are killed with SIGKILL at random moments, and then nothing may be half done.
//!
//! A binary of its own, because it kills. Each test prints its seed and its figures in a line that
//! begins with `REL`; `IDP_TEST_SEED` repeats the same kills and delays, `IDP_TEST_FULL=1` does all
//! of them instead of a tenth, or of a sample.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on says so")]
#![allow(clippy::disallowed_methods, reason = "tests ask the clock and have settings of their own")]

mod action_world;
mod address;
mod crash_matrix;
#[path = "../spec/digest_platform.rs"]
#[allow(dead_code, reason = "what else it can, the specification asks for")]
mod digest_platform;
mod digests;
mod failover;
mod first_start;
mod frozen;
mod home;
mod imports;
#[path = "../spec/invocation_world.rs"]
#[allow(dead_code, reason = "what else it can, the specification asks for")]
mod invocation_world;
mod pair;
mod relay;
mod scale;
