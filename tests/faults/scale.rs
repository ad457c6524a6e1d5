//! How often a test does what it does many times.

/// `count` with `IDP_TEST_FULL=1`, otherwise a tenth of it, at least one: two slow cores pass the
/// whole suite in minutes.
pub fn at_full(count: usize) -> usize {
    full_or(count, (count / 10).max(1))
}

/// `count` with `IDP_TEST_FULL=1`, otherwise `fewer`, where each takes long.
pub fn full_or(count: usize, fewer: usize) -> usize {
    match std::env::var_os("IDP_TEST_FULL").is_some_and(|value| value == "1") {
        true => count,
        false => fewer,
    }
}
