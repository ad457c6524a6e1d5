//! How long to wait before the next try.

use std::time::Duration;

use rand::Rng;

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// `first`, twice as long after each of `failures`, at most a minute, and up to half of it less, so that processes
/// do not come all at once.
pub fn after(failures: u32, first: Duration) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    let pause = first.saturating_mul(doubled).min(PAUSE_MAX);
    pause.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_followed_by_a_longer_pause_each_time_and_never_by_an_endless_one() {
        for (failures, whole) in [(1, 1), (2, 2), (4, 8), (7, 60), (100, 60), (u32::MAX, 60)] {
            let pause = after(failures, Duration::from_secs(1));
            let whole = Duration::from_secs(whole);
            assert!(whole / 2 <= pause && pause <= whole, "{failures}: {pause:?}");
        }
    }
}
