//! How long answers took, counted in buckets: enough to tell a percentile, and small.

use std::time::Duration;

/// What each bucket but the last goes up to, in microseconds; the last has no bound.
const BOUNDS_US: [u64; 15] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000,
];

pub const BUCKETS: usize = BOUNDS_US.len() + 1;

/// How often it took how long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Histogram([u64; BUCKETS]);

impl Histogram {
    pub fn add(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.add_times(BOUNDS_US.partition_point(|bound| *bound < us), 1);
    }

    /// A bucket that there is not is none of ours.
    pub fn add_times(&mut self, bucket: usize, times: u64) {
        if let Some(counted) = self.0.get_mut(bucket) {
            *counted = counted.saturating_add(times);
        }
    }

    pub fn merge(&mut self, other: &Histogram) {
        other.counted().for_each(|(bucket, times)| self.add_times(bucket, times));
    }

    /// The buckets in which there is anything, each with how much.
    pub fn counted(&self) -> impl Iterator<Item = (usize, u64)> {
        self.0.iter().copied().enumerate().filter(|(_, times)| *times > 0)
    }

    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |all, times| all.saturating_add(*times))
    }

    /// The bound, in milliseconds, that `percent` of all did not pass; `None` where nothing was counted, or where
    /// that many passed the last bound.
    pub fn percentile_ms(&self, percent: f64) -> Option<f64> {
        let total = self.total();
        let wanted = (total as f64 * percent / 100.0).ceil().max(1.0) as u64;
        let mut so_far = 0;
        let bucket = self.0.iter().position(|times| {
            so_far += times;
            so_far >= wanted
        })?;
        BOUNDS_US.get(bucket).filter(|_| total > 0).map(|bound| *bound as f64 / 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_bound_that_so_many_did_not_pass() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile_ms(50.0), None);
        for us in [0, 100, 101, 250, 900] {
            histogram.add(Duration::from_micros(us));
        }
        let percentiles = [1.0, 40.0, 41.0, 80.0, 81.0, 99.0].map(|it| histogram.percentile_ms(it));
        assert_eq!(percentiles.map(Option::unwrap), [0.1, 0.1, 0.25, 0.25, 1.0, 1.0]);
        histogram.add(Duration::MAX);
        assert_eq!(histogram.percentile_ms(99.0), None);
        assert_eq!(histogram.total(), 6);
    }

    #[test]
    fn what_was_counted_apart_is_merged() {
        let (mut one, mut other) = (Histogram::default(), Histogram::default());
        one.add(Duration::from_millis(1));
        other.add_times(3, 2);
        other.add_times(99, 7);
        one.merge(&other);
        assert_eq!(one.counted().collect::<Vec<_>>(), [(3, 3)]);
    }
}
