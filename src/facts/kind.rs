//! What values are: those of facts, of the fields of `entity`, and of the expressions of rules. One vocabulary for all.

use std::fmt;

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`
    Bool,
    /// As JSON has them, whole or not.
    Number,
    Text,
    /// RFC 3339 as JSON.
    Time,
    /// From one time to another. No fact is one: expressions make them.
    Duration,
    List(Box<Kind>),
    /// Values by names that nobody can tell beforehand: labels, annotations.
    Map(Box<Kind>),
    /// Values by the names of fields.
    Record(Vec<(&'static str, Kind)>),
}

impl Kind {
    pub fn list(of: Kind) -> Kind {
        Kind::List(Box::new(of))
    }

    pub fn map(of: Kind) -> Kind {
        Kind::Map(Box::new(of))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Bool => f.write_str("bool"),
            Kind::Number => f.write_str("number"),
            Kind::Text => f.write_str("text"),
            Kind::Time => f.write_str("time"),
            Kind::Duration => f.write_str("duration"),
            Kind::List(of) => write!(f, "list of {of}"),
            Kind::Map(of) => write!(f, "map of {of}"),
            Kind::Record(_) => f.write_str("object"),
        }
    }
}
