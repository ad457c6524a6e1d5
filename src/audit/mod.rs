//! What was decided, by whom and when, such that nobody changes it unnoticed.
//!
//! ```text
//!  a decision's transaction ──append──▶ audit ──sealer──▶ audit_seal: 1 ◀── 2 ◀── 3 …   each hash holds the one before
//!                                                              └──▶ checkpoint, signed ──▶ a file outside the database
//! ```
//! Rows are appended unchained: a chain inside of decisions would let them through one after another. The sealer takes
//! what no running transaction can come before any more, within a second. Whoever rules over the database can rewrite
//! rows and hashes, but signs nothing: a checkpoint outside of it tells that the chain is not the one that was signed.

pub mod checkpoint;
pub mod flow;
pub mod store;
pub mod verify;

use std::path::PathBuf;
use std::time::Duration;

use ring::digest::{Context, SHA256};
use serde_json::Value;

/// What the instance's key signs checkpoints for.
pub const PURPOSE: &str = "audit";

/// Where checkpoints are kept outside of the database, in the data directory.
pub const FILE: &str = "audit-checkpoints.jsonl";

/// What the settings say of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// Where checkpoints are kept outside of the database; `None`: [`FILE`] in the data directory.
    pub checkpoints: Option<PathBuf>,
    /// How long rows are kept; `None`: for ever.
    pub keep: Option<Duration>,
}

/// One thing that was decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// `request.approved`
    pub kind: &'static str,
    /// What it is about: `request:17`
    pub subject: String,
    /// Who decided it: `user:default/ada`
    pub actor: String,
    pub body: Value,
}

impl Entry {
    /// The entry without what Postgres takes in no text.
    fn clean(&self) -> Entry {
        Entry {
            kind: self.kind,
            subject: clean(&self.subject),
            actor: clean(&self.actor),
            body: clean_value(&self.body),
        }
    }
}

fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn clean_value(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Array(values) => values.iter().map(clean_value).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (clean(name), clean_value(value))).collect()
        }
        other => other.clone(),
    }
}

pub type Hash = [u8; 32];

/// How far a chain goes: the number of its last row, and that row's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub no: i64,
    pub hash: Hash,
}

impl Head {
    /// Before the first row.
    pub const START: Head = Head { no: 0, hash: [0; 32] };

    /// The head once `row` has been sealed; `None` for a row that no program of ours wrote.
    pub fn and(&self, row: &Row) -> Option<Head> {
        let no = self.no.checked_add(1)?;
        let mut digest = Context::new(&SHA256);
        digest.update(&self.hash);
        for number in [no, row.id, row.xid?, row.at_us?] {
            digest.update(&number.to_be_bytes());
        }
        let texts = [&row.kind, &row.subject, &row.actor, &row.body];
        for text in texts {
            let text = text.as_deref()?;
            digest.update(&(text.len() as u64).to_be_bytes());
            digest.update(text.as_bytes());
        }
        let hash = digest.finish().as_ref().try_into().expect("SHA-256 has 32 bytes");
        Some(Head { no, hash })
    }
}

/// A row as it stands in the database. Whoever rules over that may have left anything there: what no program of ours
/// writes is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: i64,
    /// The transaction that appended it.
    pub xid: Option<i64>,
    /// In microseconds since 1970.
    pub at_us: Option<i64>,
    pub kind: Option<String>,
    pub subject: Option<String>,
    pub actor: Option<String>,
    /// As Postgres writes `jsonb`.
    pub body: Option<String>,
}

#[cfg(test)]
pub(crate) fn row(id: i64) -> Row {
    Row {
        id,
        xid: Some(700 + id),
        at_us: Some(1_700_000_000_000_000 + id),
        kind: Some("request.approved".into()),
        subject: Some(format!("request:{id}")),
        actor: Some("user:default/ada".into()),
        body: Some(r#"{"intent": "ab12"}"#.into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_field_of_a_row_its_place_and_what_was_before_make_the_hash() {
        let sealed = Head::START.and(&row(1)).unwrap();
        let text = |text: &str| Some(text.to_string());
        let others = [
            Row { id: 2, ..row(1) },
            Row { xid: Some(1), ..row(1) },
            Row { at_us: Some(1), ..row(1) },
            Row { kind: text("request.denied"), ..row(1) },
            Row { subject: text("request:11"), ..row(1) },
            Row { actor: text("user:default/bob"), ..row(1) },
            Row { body: text(r#"{"intent": "ab13"}"#), ..row(1) },
            Row { kind: text("request.approvedr"), subject: text("equest:1"), ..row(1) },
        ];
        for other in others {
            assert_ne!(Head::START.and(&other).unwrap().hash, sealed.hash, "{other:?}");
        }
        for before in [Head { no: 1, ..Head::START }, Head { hash: [1; 32], ..Head::START }] {
            assert_ne!(before.and(&row(1)).unwrap().hash, sealed.hash, "{before:?}");
        }
        assert_eq!(Head::START.and(&Row { at_us: None, ..row(1) }), None);
    }

    #[test]
    fn what_postgres_takes_in_no_text_is_replaced() {
        let entry = Entry {
            kind: "k",
            subject: "a\0b".into(),
            actor: String::new(),
            body: json!({ "x\0": ["\0", 1] }),
        };
        let clean = entry.clean();
        assert_eq!(clean.subject, "a\u{fffd}b");
        assert_eq!(clean.body, json!({ "x\u{fffd}": ["\u{fffd}", 1] }));
    }
}
