//! What is found wrong while a document is read.

use std::fmt;

use super::rule::Rule;
use crate::catalog::formats::yaml::Position;
use crate::catalog::{Problem, Severity};

/// The most problems told about one document; who has more mends these first.
const PROBLEMS_MAX: usize = 10;
/// How much of a value a message quotes, in characters.
const QUOTED_MAX: usize = 80;

/// The problems of one document.
#[derive(Debug)]
pub struct Findings<'a> {
    file: &'a str,
    document: u32,
    /// The entity, as soon as its name is known.
    pub reference: Option<String>,
    pub problems: Vec<Problem>,
    /// Whether one of them keeps the document out of the catalog.
    pub refused: bool,
}

impl<'a> Findings<'a> {
    pub fn new(file: &'a str, document: u32) -> Findings<'a> {
        Findings { file, document, reference: None, problems: Vec::new(), refused: false }
    }

    pub fn add(
        &mut self,
        rule: Rule,
        at: Position,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.refused |= rule.severity() == Severity::Error;
        if self.problems.len() == PROBLEMS_MAX {
            return;
        }
        self.problems.push(Problem {
            file: self.file.to_string(),
            document: self.document,
            line: at.line,
            column: at.column,
            reference: self.reference.clone(),
            severity: rule.severity(),
            rule: rule.word().to_string(),
            message: message.into(),
            hint: hint.into(),
        });
    }
}

/// Where a value lies in its document: `metadata.links[2].url`.
#[derive(Clone, Copy)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Item(usize),
}

impl<'a> Path<'a> {
    pub fn root(key: &'a str) -> Path<'a> {
        Path { parent: None, step: Step::Key(key) }
    }

    pub fn key(&'a self, key: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Key(key) }
    }

    pub fn item(&'a self, index: usize) -> Path<'a> {
        Path { parent: Some(self), step: Step::Item(index) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Key(key) if self.parent.is_some() => write!(f, ".{}", quoted(key)),
            Step::Key(key) => f.write_str(&quoted(key)),
            Step::Item(index) => write!(f, "[{index}]"),
        }
    }
}

/// `text` on one line, cut when it is long.
pub fn quoted(text: &str) -> String {
    let mut quoted: String = text
        .chars()
        .take(QUOTED_MAX)
        .map(|it| if it.is_control() || it == '`' { ' ' } else { it })
        .collect();
    if text.chars().nth(QUOTED_MAX).is_some() {
        quoted.push('…');
    }
    quoted
}
