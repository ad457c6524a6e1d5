//! Waiting for what must come: looking often, and never for ever.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often is looked: no test fails for it, and no look costs much.
pub const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits for `what`: until `look` gives what is `wanted`, which it gives back. Fails with what it gave last.
pub async fn until<T: Debug>(
    what: &str,
    mut look: impl AsyncFnMut() -> T,
    mut wanted: impl FnMut(&T) -> bool,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look().await;
        if wanted(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "never {what}: {seen:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[tokio::test]
async fn what_comes_late_is_waited_for() {
    let mut looks = 0;
    let mut look = async || {
        looks += 1;
        looks
    };
    assert_eq!(until("the third look", &mut look, |it| *it == 3).await, 3);
    assert_eq!(look().await, 4);
}
