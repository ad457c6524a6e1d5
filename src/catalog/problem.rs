//! What is wrong with a document, where, and what to do about it.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Kept, and worth a look.
    Info,
    /// Kept, though not as its author may think.
    Warning,
    /// Not taken into the catalog; the last good version stays.
    Error,
}

impl Severity {
    /// As the database and programs write it.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// As the source names it: a path relative to the source's root, or a URL.
    pub file: String,
    /// From 0, in the order of the file; 0 for the file itself.
    pub document: u32,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// The entity, as far as it could be read.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    pub severity: Severity,
    /// A stable word: `yaml`, `name`, `required-field`, `conflict`.
    pub rule: String,
    pub message: String,
    /// The next step.
    pub hint: String,
}

impl Problem {
    /// An error of a file as a whole.
    pub fn of_file(file: &str, rule: &str, message: String, hint: &str) -> Problem {
        Problem {
            file: file.to_string(),
            document: 0,
            line: 1,
            column: 1,
            reference: None,
            severity: Severity::Error,
            rule: rule.to_string(),
            message,
            hint: hint.to_string(),
        }
    }
}
