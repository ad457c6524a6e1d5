//! Keeping the snapshot of a process at the database's newest revision.
//!
//! ```text
//!  NOTIFY ─┐
//!          ├─▶ newer revision? ─▶ load what changed ─▶ next snapshot, off the request path ─▶ swap ─▶ copy on disk
//!  30 s ───┘
//! ```
//!
//! A notification carries nothing: it is only a reason to look earlier. While the database is away
//! the snapshot answers on, and tells its age.

pub mod flow;

/// What to load to get from one revision to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is the newest.
    Stay,
    /// What changed after this revision.
    Since(i64),
    /// Everything.
    Whole,
}

/// What brings a snapshot at revision `ours` to the database's revision `theirs`.
///
/// `ours` is `None` when the database was never in the snapshot's state: it is another one, or was restored.
/// So is one with a lower number.
pub fn step(ours: Option<i64>, theirs: i64) -> Step {
    match ours {
        Some(ours) if ours == theirs => Step::Stay,
        Some(ours) if ours < theirs => Step::Since(ours),
        _ => Step::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_loaded() {
        assert_eq!(step(Some(7), 7), Step::Stay);
        assert_eq!(step(Some(7), 9), Step::Since(7));
    }

    #[test]
    fn another_database_and_a_restored_one_are_loaded_whole() {
        assert_eq!(step(None, 7), Step::Whole);
        assert_eq!(step(Some(9), 7), Step::Whole);
    }
}
