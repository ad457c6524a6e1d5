//! What an expression says, once its names and kinds are known.

use chrono::{DateTime, TimeDelta, Utc};
use regex::Regex;

#[derive(Debug, Clone)]
pub enum Term {
    Bool(bool),
    Whole(i64),
    Number(f64),
    Text(String),
    Span(TimeDelta),
    List(Vec<Term>),
    Entity,
    Fact(String),
    Now,
    /// What a loop is at, by the depth of the loop.
    Turn(usize),
    /// The value of a field, of a record or a map.
    Field(Box<Term>, String),
    /// The value at a key that is known only then.
    Key(Box<[Term; 2]>),
    /// An element of a list.
    Element(Box<[Term; 2]>),
    /// Whether a map has a key.
    Has(Box<Term>, String),
    Not(Box<Term>),
    Negate(Box<Term>),
    And(Box<[Term; 2]>),
    Or(Box<[Term; 2]>),
    If(Box<[Term; 3]>),
    Compare(Comparison, Box<[Term; 2]>),
    Calculate(Operation, Box<[Term; 2]>),
    In(Box<[Term; 2]>),
    Size(Box<Term>),
    Contains(Box<[Term; 2]>),
    StartsWith(Box<[Term; 2]>),
    EndsWith(Box<[Term; 2]>),
    Matches(Box<Term>, Regex),
    /// A text as a time.
    Time(Box<Term>),
    /// A text or a number as a whole number.
    ToWhole(Box<Term>),
    /// A text or a number as one that may have a fraction.
    ToNumber(Box<Term>),
    Loop(Box<Loop>),
}

#[derive(Debug, Clone)]
pub struct Loop {
    pub what: What,
    pub over: Term,
    pub depth: usize,
    /// Of each turn.
    pub body: Term,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// RFC 3339.
pub fn time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.with_timezone(&Utc))
}

/// `1h30m`, `-90s`, `1.5h`: numbers with `h`, `m`, `s`, `ms`, `us` or `ns`.
///
/// Source: <https://github.com/google/cel-spec/blob/master/doc/langdef.md>, conversion functions
pub fn span(text: &str) -> Option<TimeDelta> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    if rest == "0" {
        return Some(TimeDelta::zero());
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanoseconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|it: char| !it.is_ascii_digit() && it != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest.find(|it: char| it.is_ascii_digit() || it == '.').unwrap_or(rest.len());
        nanoseconds += number
            * match &rest[..end] {
                "h" => 3.6e12,
                "m" => 6e10,
                "s" => 1e9,
                "ms" => 1e6,
                "us" => 1e3,
                "ns" => 1.0,
                _ => return None,
            };
        rest = &rest[end..];
    }
    (nanoseconds < i64::MAX as f64).then(|| TimeDelta::nanoseconds((sign * nanoseconds) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_read_as_cel_reads_it() {
        for (written, seconds) in [
            ("1h30m", 5_400),
            ("90s", 90),
            ("-1.5h", -5_400),
            ("0", 0),
            ("2000ms", 2),
            ("720h", 2_592_000),
        ] {
            assert_eq!(span(written), TimeDelta::try_seconds(seconds), "{written}");
        }
        for written in ["", "-", "h", "1", "1d", "1 h", "1.2.3s", "1hh", "99999999999h"] {
            assert_eq!(span(written), None, "{written}");
        }
    }
}
