//! When a platform sent a request.

/// Slack's own rule: an older request may be a replay. Discord has none; its requests are held to the same.
pub const AGE_S_MAX: u64 = 300;

/// Whether `timestamp`, as a request has it in its head, is within five minutes of `now_s`; both in seconds
/// since 1970.
pub fn is_fresh(timestamp: &[u8], now_s: i64) -> bool {
    seconds(timestamp).is_some_and(|sent_s| sent_s.abs_diff(now_s) <= AGE_S_MAX)
}

/// Plain digits without a leading zero or sign, as the platforms send them.
fn seconds(timestamp: &[u8]) -> Option<i64> {
    let is_plain = (1..=12).contains(&timestamp.len())
        && timestamp.iter().all(u8::is_ascii_digit)
        && timestamp[0] != b'0';
    std::str::from_utf8(timestamp).ok().filter(|_| is_plain)?.parse().ok()
}
