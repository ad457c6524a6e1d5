//! When the next message may go out: one a second to a channel, none while Slack asks us to wait.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Source: <https://docs.slack.dev/apis/web-api/rate-limits>, "1 message per second per channel".
const BETWEEN: Duration = Duration::from_secs(1);

/// The longest that anything waits its turn; beyond it the news is stale.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(30);

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
    /// How long it would be, when that is more than [`WAIT_MAX`]; no turn is taken then.
    pub(super) fn take_turn(&mut self, channel: &str, now: Instant) -> Result<Duration, Duration> {
        if self.next.len() >= CHANNELS_MAX {
            self.next.retain(|_, next| *next > now);
        }
        let turn = [self.next.get(channel).copied(), self.paused_until]
            .into_iter()
            .flatten()
            .fold(now, Instant::max);
        let wait = turn - now;
        if wait > WAIT_MAX {
            return Err(wait);
        }
        self.next.insert(channel.to_string(), turn + BETWEEN);
        Ok(wait)
    }

    /// Slack asked us to wait for `pause`; a second when it did not say how long.
    pub(super) fn pause(&mut self, pause: Option<Duration>, now: Instant) {
        let until = now + pause.unwrap_or(BETWEEN).min(PAUSE_MAX);
        self.paused_until = self.paused_until.max(Some(until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_channel_hears_one_message_a_second() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let waits: Vec<_> = (0..3).map(|_| pace.take_turn("C1", now).unwrap()).collect();
        assert_eq!(waits, [seconds(0), seconds(1), seconds(2)]);
        assert_eq!(pace.take_turn("C2", now), Ok(seconds(0)));
        assert_eq!(pace.take_turn("C1", now + seconds(9)), Ok(seconds(0)));
    }

    #[test]
    fn nothing_goes_out_while_slack_asks_us_to_wait() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.pause(Some(seconds(7)), now);
        pace.pause(Some(seconds(2)), now);
        assert_eq!(pace.take_turn("C1", now), Ok(seconds(7)));
        assert_eq!(pace.take_turn("C2", now + seconds(8)), Ok(seconds(0)));
    }

    #[test]
    fn a_wait_that_makes_the_message_stale_is_refused_and_takes_no_turn() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.pause(Some(seconds(1_000_000_000)), now);
        assert_eq!(pace.take_turn("C1", now), Err(PAUSE_MAX));
        assert_eq!(pace.take_turn("C1", now + PAUSE_MAX), Ok(seconds(0)));
    }

    #[test]
    fn channels_are_not_remembered_for_ever() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        for number in 0..CHANNELS_MAX {
            pace.take_turn(&format!("C{number}"), now).unwrap();
        }
        pace.take_turn("C", now + seconds(5)).unwrap();
        assert_eq!(pace.next.len(), 1);
    }
}
