//! Whether anything is sent: a platform that is away, or that does not take us, is asked before it is sent more.

use std::time::{Duration, Instant};

use crate::chat::backoff;

/// The longest pause where nobody need do anything: who waits for an approval learns soon that the platform is back.
const AWAY_MAX: Duration = Duration::from_secs(5);

/// How this process stands with a platform.
#[derive(Debug, Default)]
pub(super) struct Hold {
    failures: u32,
    /// `None`: nothing is known to be wrong.
    until: Option<Instant>,
}

/// What may be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// The platform is to be asked whether it answers; then one message is sent.
    Ask,
    /// Nothing, for this long.
    Shut(Duration),
}

impl Hold {
    pub(super) fn gate(&self, now: Instant) -> Gate {
        match self.until {
            None => Gate::Open,
            Some(until) if until <= now => Gate::Ask,
            Some(until) => Gate::Shut(until - now),
        }
    }

    /// The platform took something.
    pub(super) fn open(&mut self) {
        *self = Hold::default();
    }

    /// The platform took nothing: longer each time, from `first` on. What was under way with the one that failed
    /// says nothing new.
    pub(super) fn shut(&mut self, now: Instant, first: Duration, needs_person: bool) {
        if matches!(self.gate(now), Gate::Shut(_)) {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let pause = backoff::after(self.failures, first);
        self.until = Some(now + if needs_person { pause } else { pause.min(AWAY_MAX) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(1);

    fn pause(hold: &Hold, now: Instant) -> Duration {
        match hold.gate(now) {
            Gate::Shut(pause) => pause,
            gate => panic!("{gate:?}"),
        }
    }

    #[test]
    fn nothing_is_sent_until_the_platform_was_asked_again() {
        let (mut hold, now) = (Hold::default(), Instant::now());
        assert_eq!(hold.gate(now), Gate::Open);
        hold.shut(now, FIRST, false);
        let first = pause(&hold, now);
        assert_eq!(hold.gate(now + first), Gate::Ask);
        hold.open();
        assert_eq!(hold.gate(now), Gate::Open);
    }

    #[test]
    fn the_pauses_grow_and_have_an_end() {
        for (needs_person, longest) in [(false, AWAY_MAX), (true, Duration::from_secs(60))] {
            let (mut hold, mut now) = (Hold::default(), Instant::now());
            let mut pauses = Vec::new();
            for _ in 0..20 {
                hold.shut(now, FIRST, needs_person);
                let next = pause(&hold, now);
                pauses.push(next);
                now += next;
            }
            assert!(pauses[0] <= FIRST && pauses[1] > pauses[0] / 2, "{pauses:?}");
            assert!(pauses[19] > longest / 3 && pauses[19] <= longest, "{pauses:?}");
        }
    }

    #[test]
    fn messages_that_fail_together_are_one_failure() {
        let (mut hold, now) = (Hold::default(), Instant::now());
        for _ in 0..64 {
            hold.shut(now, FIRST, true);
        }
        assert!(pause(&hold, now) <= FIRST);
    }
}
