//! Rules as expressions of CEL: read, checked for the kinds of their values, and evaluated within bounds.
//!
//! The crate `cel` parses them. What they may say is the part of the language that `check` takes; it knows the
//! kind of every value before any entity is looked at. They are evaluated here and not by the crate's interpreter,
//! for three reasons. It cannot be stopped: two loops in each other over a thousand dependencies take a second.
//! Its `map` and `filter` copy at each turn what they have so far. And its `||` forgives what fails in one of its
//! halves, so that a rule could pass on a fact that is not there. Here an evaluation has a fixed number of steps,
//! borrows what it reads, and stops at the first value that cannot be had.
//! `tests.rs` holds both against each other, expression by expression.

mod check;
mod run;
mod term;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use cel::Env;

pub use self::run::{Held, Stop, Subject};
use self::term::Term;
use crate::facts::Kind;

/// The most bytes of one expression.
pub const SOURCE_BYTES_MAX: usize = 2 << 10;

/// The most signs of one expression, such as dots, brackets and operators. The parser goes one call deeper for some of
/// them, and takes time by their square.
const SIGNS_MAX: usize = 200;

/// The most characters of what is said to be wrong.
const MESSAGE_CHARACTERS_MAX: usize = 300;

/// An expression that was read and found good.
#[derive(Debug, Clone)]
pub struct Expression {
    /// As written.
    pub source: String,
    pub reads: Reads,
    term: Term,
}

/// What an expression looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    /// Paths in `entity`: `description`, `annotations["acme.example/backup"]`.
    pub entity: BTreeSet<String>,
    /// The keys of facts.
    pub facts: BTreeSet<String>,
    /// Whether it asks for the time.
    pub now: bool,
}

impl Reads {
    /// Whether it looks at nothing: the value is the same for everything.
    pub fn is_empty(&self) -> bool {
        self.entity.is_empty() && self.facts.is_empty() && !self.now
    }
}

/// What is wrong with an expression, and where in it; both from 1, the column in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub line: u32,
    pub column: u32,
    pub message: String,
    pub hint: String,
}

/// What expressions may name.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    /// The shape of `entity`.
    pub entity: Kind,
    /// Facts by key. `None` where only `entity` may be asked, as in filters.
    pub facts: Option<BTreeMap<String, Kind>>,
}

impl Expression {
    /// Reads `source`, whose value must be a bool.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(source: &str, vocabulary: &Vocabulary) -> Result<Expression, Broken> {
        if source.len() > SOURCE_BYTES_MAX {
            let message = format!("The expression has more than {SOURCE_BYTES_MAX} bytes.");
            return Err(Broken::at(source, 0, message, "Write several rules."));
        }
        if let Some((offset, _)) = signs(source).nth(SIGNS_MAX) {
            let message =
                format!("The expression has more than {SIGNS_MAX} dots, brackets and operators.");
            return Err(Broken::at(source, offset, message, "Write several rules."));
        }
        // Without macros a loop stays the call that was written, and knows where it stands.
        let parser = Env::default().with_optional_support(false);
        let program = parser.compile(source).map_err(|errors| unreadable(source, &errors))?;
        let (term, reads) = check::check(source, &program, vocabulary)?;
        Ok(Expression { source: source.to_string(), reads, term })
    }

    /// Its value for `subject`.
    ///
    /// # Errors
    /// Why it has none.
    pub fn is_true(&self, subject: &Subject<'_>) -> Result<bool, Stop> {
        run::is_true(&self.term, &self.reads.facts, subject)
    }
}

impl Broken {
    /// `offset` is the place in `source` in bytes.
    fn at(
        source: &str,
        offset: usize,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Broken {
        let before = &source[..source.floor_char_boundary(offset)];
        let line = before.matches('\n').count() as u32 + 1;
        let last = before.rsplit('\n').next().unwrap_or_default();
        let column = last.chars().count() as u32 + 1;
        let mut message = message.into();
        // What is wrong may be as long as the expression, or longer: a list of a list of a list.
        if let Some((end, _)) = message.char_indices().nth(MESSAGE_CHARACTERS_MAX) {
            message.replace_range(end.., "….");
        }
        Broken { line, column, message, hint: hint.into() }
    }
}

/// What is neither a word nor a text nor a blank, with its place.
fn signs(source: &str) -> impl Iterator<Item = (usize, char)> {
    let mut quote = None;
    let mut is_escaped = false;
    source.char_indices().filter(move |(_, it)| {
        match quote {
            Some(_) if is_escaped => is_escaped = false,
            Some(_) if *it == '\\' => is_escaped = true,
            Some(open) if *it == open => quote = None,
            Some(_) => {}
            None if matches!(it, '"' | '\'') => quote = Some(*it),
            None => return !it.is_alphanumeric() && !it.is_whitespace() && *it != '_',
        }
        false
    })
}

/// The first of the parser's errors.
fn unreadable(source: &str, errors: &cel::ParseErrors) -> Broken {
    const HINT: &str =
        "It is an expression of CEL, such as `size(entity.owners) > 0 && entity.docs`.";
    let Some(first) = errors.errors.first() else {
        return Broken::at(source, 0, "This is not an expression.", HINT);
    };
    let (line, column) = (first.pos.0.max(1) as usize, first.pos.1.max(1) as usize);
    let start: usize = source.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let said = first.msg.trim_start_matches("Syntax error: ").trim_end_matches('.');
    let said: String = said.chars().take(160).collect();
    // What it says of its own limits is meant for programmers.
    let message = match said.contains("Error") {
        true => "The expression goes too deep.".to_string(),
        false => format!("This is not an expression: {}.", said.replace('\n', " ")),
    };
    Broken::at(source, (start + column - 1).min(source.len()), message, HINT)
}
