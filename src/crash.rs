//! Where a test ends the process, to see what is left: in a release build nowhere.

use std::sync::OnceLock;

/// The point at which this process ends, and how often it passes it before.
static CHOSEN: OnceLock<(String, AtomicU32)> = OnceLock::new();

use std::sync::atomic::{AtomicU32, Ordering};

/// From now on the process ends at the point `chosen`: `dispatch.after_send`, or `dispatch.after_send:2` the second time.
pub fn at(chosen: &str) {
    let (name, times) = chosen.split_once(':').unwrap_or((chosen, "1"));
    let times = times.parse().unwrap_or(1);
    let _ = CHOSEN.set((name.to_string(), AtomicU32::new(times)));
}

/// Ends the process, as a kill would, where a test chose so.
pub fn point(name: &str) {
    if cfg!(debug_assertions)
        && let Some((chosen, times)) = CHOSEN.get()
        && chosen == name
        && times.fetch_sub(1, Ordering::SeqCst) == 1
    {
        std::process::abort();
    }
}
