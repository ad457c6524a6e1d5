//! When the next message may go out: one a second to a channel, none while Slack asks us to wait.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Source: <https://docs.slack.dev/apis/web-api/rate-limits>, "1 message per second per channel".
const BETWEEN: Duration = Duration::from_secs(1);

/// The longest that Slack is taken at its word: a wrong `Retry-After` must not silence us for a day.
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);

/// Channels remembered before those whose turn is over are dropped.
const CHANNELS_MAX: usize = 1000;

#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the next message of each channel may go out.
    next: HashMap<String, Instant>,
    /// Slack asked for silence until then.
    paused_until: Option<Instant>,
}

impl Pace {
    /// How long to wait before sending to `channel`; the turn is taken.
    ///
    /// # Errors
    /// How long it would be, when that is more than `patience`; no turn is taken then.
    pub(super) fn take_turn(
        &mut self,
        channel: &str,
        now: Instant,
        patience: Duration,
    ) -> Result<Duration, Duration> {
        if self.next.len() >= CHANNELS_MAX {
            self.next.retain(|_, next| *next > now);
        }
        let turn = [self.next.get(channel).copied(), self.paused_until]
            .into_iter()
            .flatten()
            .fold(now, Instant::max);
        let wait = turn - now;
        if wait > patience {
            return Err(wait);
        }
        self.next.insert(channel.to_string(), turn + BETWEEN);
        Ok(wait)
    }

    /// What is of no channel may be sent.
    ///
    /// # Errors
    /// How long Slack still asks us to send nothing.
    pub(super) fn may_send(&self, now: Instant) -> Result<(), Duration> {
        match self.paused_until.and_then(|until| until.checked_duration_since(now)) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(()),
        }
    }

    /// Slack asked us to wait for `pause`.
    pub(super) fn pause(&mut self, pause: Duration, now: Instant) {
        let until = now + pause.min(PAUSE_MAX);
        self.paused_until = self.paused_until.max(Some(until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = seconds(30);

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_channel_hears_one_message_a_second() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let waits: Vec<_> = (0..3).map(|_| pace.take_turn("C1", now, PATIENCE).unwrap()).collect();
        assert_eq!(waits, [seconds(0), seconds(1), seconds(2)]);
        assert_eq!(pace.take_turn("C2", now, PATIENCE), Ok(seconds(0)));
        assert_eq!(pace.take_turn("C1", now + seconds(9), PATIENCE), Ok(seconds(0)));
    }

    #[test]
    fn nothing_goes_out_while_slack_asks_us_to_wait() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.pause(seconds(7), now);
        pace.pause(seconds(2), now);
        assert_eq!(pace.may_send(now), Err(seconds(7)));
        assert_eq!(pace.may_send(now + seconds(7)), Ok(()));
        assert_eq!(pace.take_turn("C1", now, PATIENCE), Ok(seconds(7)));
        assert_eq!(pace.take_turn("C2", now + seconds(8), PATIENCE), Ok(seconds(0)));
    }

    #[test]
    fn a_wait_that_makes_the_message_stale_is_refused_and_takes_no_turn() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.pause(seconds(1_000_000_000), now);
        assert_eq!(pace.take_turn("C1", now, PATIENCE), Err(PAUSE_MAX));
        assert_eq!(pace.take_turn("C1", now + PAUSE_MAX, PATIENCE), Ok(seconds(0)));
    }

    #[test]
    fn channels_are_not_remembered_for_ever() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        for number in 0..CHANNELS_MAX {
            pace.take_turn(&format!("C{number}"), now, PATIENCE).unwrap();
        }
        pace.take_turn("C", now + seconds(5), PATIENCE).unwrap();
        assert_eq!(pace.next.len(), 1);
    }
}
