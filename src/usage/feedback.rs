//! Whether an answer helped, as somebody says of their own accord.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Who;
use crate::conversation::Platform;

/// The most characters of a comment.
pub const COMMENT_CHARACTERS_MAX: usize = 500;

/// The most that is kept; what was said longest ago goes.
pub const FEEDBACK_MAX: i64 = 10_000;

/// What somebody says of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    pub who: Who,
    pub platform: Platform,
    pub command: String,
    /// The reference of what the answer was about; empty for nothing in particular.
    pub entity: String,
    pub helpful: bool,
    /// Empty where they wrote nothing.
    pub comment: String,
}

/// What somebody said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Said {
    pub platform: Platform,
    /// The reference of a User; `None` for an account that is linked to nobody.
    pub user: Option<String>,
    pub command: String,
    pub entity: Option<String>,
    pub helpful: bool,
    pub comment: Option<String>,
    pub at: DateTime<Utc>,
}

/// `text` as a comment is kept: on one line, with nothing that no database takes. `None` where it is too long.
pub fn comment(text: &str) -> Option<String> {
    let words: Vec<&str> = text
        .split(|it: char| it.is_whitespace() || it.is_control())
        .filter(|it| !it.is_empty())
        .collect();
    let comment = words.join(" ");
    comment.chars().nth(COMMENT_CHARACTERS_MAX).is_none().then_some(comment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_one_line_of_a_few_sentences() {
        assert_eq!(comment(" wrong\nteam\0 "), Some("wrong team".into()));
        assert_eq!(comment(""), Some(String::new()));
        assert!(comment(&"x".repeat(500)).is_some() && comment(&"x".repeat(501)).is_none());
    }
}
