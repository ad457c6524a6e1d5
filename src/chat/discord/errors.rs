//! What to do about each error of Discord's.
//!
//! Source: <https://docs.discord.com/developers/topics/opcodes-and-status-codes#json>

use crate::chat::outbox::Policy;

/// The codes that a call may be answered with, each with what is done about it.
pub const ERRORS: [(u64, Policy); 43] = [
    // The channel is gone, or the bot may not write there. A thread that is closed is a channel of its own.
    (10_003, Policy::Person),
    (10_004, Policy::Person),
    (40_058, Policy::Person),
    (50_001, Policy::Person),
    (50_008, Policy::Person),
    (50_013, Policy::Person),
    (50_024, Policy::Person),
    (50_083, Policy::Person),
    (160_005, Policy::Person),
    // The server's own rules keep the words out.
    (200_000, Policy::Person),
    (200_001, Policy::Person),
    // What was to be replied to is gone, or may not be read.
    (10_008, Policy::Channel),
    (160_002, Policy::Channel),
    // The right to answer has ended.
    (10_015, Policy::Gone),
    (10_062, Policy::Gone),
    (40_060, Policy::Gone),
    (50_027, Policy::Gone),
    // The person cannot be written to.
    (10_007, Policy::Gone),
    (10_013, Policy::Gone),
    (50_007, Policy::Gone),
    (50_278, Policy::Gone),
    // The token is not valid, or the app was locked.
    (10_002, Policy::Mend),
    (10_012, Policy::Mend),
    (20_012, Policy::Mend),
    (40_001, Policy::Mend),
    (40_002, Policy::Mend),
    (50_014, Policy::Mend),
    (50_025, Policy::Mend),
    // It passes.
    (20_016, Policy::Later),
    (20_028, Policy::Later),
    (20_029, Policy::Later),
    (40_003, Policy::Later),
    (40_062, Policy::Later),
    (110_001, Policy::Later),
    (130_000, Policy::Away),
    // What we sent is wrong.
    (20_001, Policy::Ours),
    (20_009, Policy::Ours),
    (50_006, Policy::Ours),
    (50_035, Policy::Ours),
    (50_109, Policy::Ours),
    (40_005, Policy::Ours),
    (50_041, Policy::Ours),
    (240_000, Policy::Ours),
];

/// What to do about an answer of `status` with `code`, zero where there is none. One that nobody has told of is
/// ours: it is not tried again, and is in the log.
pub fn policy(status: u16, code: u64) -> Policy {
    if status == 429 {
        return Policy::Limited;
    }
    if let Some((_, policy)) = ERRORS.iter().find(|(it, _)| *it == code) {
        return *policy;
    }
    match status {
        401 => Policy::Mend,
        403 => Policy::Person,
        503 => Policy::Away,
        500.. => Policy::Uncertain,
        _ => Policy::Ours,
    }
}
