//! Checkpoints: how far the chain was, signed, and the file that keeps them outside of the database.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Head;
use crate::vault::{self, Signer};

/// The last line is looked for in so many bytes at the end of a file.
const TAIL_BYTES: u64 = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// The chain was this far.
    Head,
    /// What is before the next row was deleted on purpose.
    Forgotten,
}

impl What {
    /// As the database and programs write it.
    pub fn word(self) -> &'static str {
        match self {
            What::Head => "head",
            What::Forgotten => "forgotten",
        }
    }

    pub fn from_word(word: &str) -> Option<What> {
        [What::Head, What::Forgotten].into_iter().find(|it| it.word() == word)
    }
}

/// A line of the file, and a row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub what: What,
    /// The number of the row in the chain.
    pub no: i64,
    /// In hexadecimal digits, as are the others.
    pub hash: String,
    pub at: DateTime<Utc>,
    pub public_key: String,
    pub signature: String,
}

impl Checkpoint {
    pub fn sign(signer: &Signer, what: What, head: Head, at: DateTime<Utc>) -> Checkpoint {
        let hash = hex::encode(head.hash);
        let signature = signer.sign(message(what, head.no, &hash, at).as_bytes());
        Checkpoint {
            what,
            no: head.no,
            hash,
            at,
            public_key: hex::encode(signer.public_key()),
            signature: hex::encode(signature),
        }
    }

    /// Whether the owner of one of `public_keys` signed it.
    pub fn is_signed_by(&self, public_keys: &[[u8; 32]]) -> bool {
        let message = message(self.what, self.no, &self.hash, self.at);
        let Ok(signature) = hex::decode(&self.signature) else { return false };
        let key = public_keys.iter().find(|key| hex::encode(key) == self.public_key);
        key.is_some_and(|key| vault::is_signed(key, message.as_bytes(), &signature))
    }

    /// The head that it tells; `None` where its hash is none.
    pub fn head(&self) -> Option<Head> {
        let hash = hex::decode(&self.hash).ok()?.try_into().ok()?;
        Some(Head { no: self.no, hash })
    }
}

/// What is signed: four lines.
fn message(what: What, no: i64, hash: &str, at: DateTime<Utc>) -> String {
    format!("idp audit {}\n{no}\n{hash}\n{}\n", what.word(), at.timestamp_micros())
}

/// The checkpoints of the file at `path`, each with the number of its line, and how many lines are none: a crash may
/// have cut one.
///
/// # Errors
/// A file that cannot be read.
pub fn read(path: &Path) -> anyhow::Result<(Vec<(usize, Checkpoint)>, usize)> {
    let text = std::fs::read(path)
        .with_context(|| format!("could not read the checkpoints in {}", path.display()))?;
    let (mut checkpoints, mut unreadable) = (Vec::new(), 0);
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        match serde_json::from_slice(line) {
            Ok(checkpoint) => checkpoints.push((number, checkpoint)),
            Err(_) if line.is_empty() => {}
            Err(_) => unreadable += 1,
        }
    }
    Ok((checkpoints, unreadable))
}

/// The last checkpoint of the file at `path`; `None` where there is no file, or nothing in it.
///
/// # Errors
/// The file system's.
pub fn last(path: &Path) -> anyhow::Result<Option<Checkpoint>> {
    match File::open(path) {
        Ok(mut file) => last_of(&mut file),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
    .with_context(|| format!("could not read the checkpoints in {}", path.display()))
}

fn last_of(file: &mut File) -> anyhow::Result<Option<Checkpoint>> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let lines = tail.rsplit(|byte| *byte == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).next())
}

/// Appends those of `checkpoints` that are of rows behind that of the last one of the file at `path`, and waits for the disk.
/// Several processes may share the file.
///
/// # Errors
/// The file system's.
pub fn append(path: &Path, checkpoints: &[Checkpoint]) -> anyhow::Result<()> {
    let appended = || -> anyhow::Result<()> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).mode(0o600).open(path)?;
        file.lock()?;
        let last = last_of(&mut file)?;
        let is_new = |it: &&Checkpoint| last.as_ref().is_none_or(|last| last.no < it.no);
        let mut lines = Vec::new();
        if !ends_a_line(&mut file)? {
            lines.push(b'\n');
        }
        for checkpoint in checkpoints.iter().filter(is_new) {
            serde_json::to_writer(&mut lines, checkpoint)?;
            lines.push(b'\n');
        }
        file.write_all(&lines)?;
        Ok(file.sync_data()?)
    };
    appended().with_context(|| format!("could not write the checkpoints to {}", path.display()))
}

/// Whether the file is empty or ends with a line break; a crash may have cut its last line.
fn ends_a_line(file: &mut File) -> anyhow::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::Key;

    fn at(s: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + s, 0).unwrap()
    }

    fn checkpoint(signer: &Signer, no: i64) -> Checkpoint {
        Checkpoint::sign(signer, What::Head, Head { no, hash: [7; 32] }, at(no))
    }

    #[test]
    fn a_signature_holds_for_exactly_what_was_signed() {
        let signer = Key::random().signer("audit");
        let keys = [signer.public_key()];
        let signed = checkpoint(&signer, 17);
        assert!(signed.is_signed_by(&keys));
        assert!(!signed.is_signed_by(&[Key::random().signer("audit").public_key()]));
        let others = [
            Checkpoint { what: What::Forgotten, ..signed.clone() },
            Checkpoint { no: 18, ..signed.clone() },
            Checkpoint { hash: "00".repeat(32), ..signed.clone() },
            Checkpoint { at: at(0), ..signed.clone() },
            Checkpoint { signature: "00".repeat(64), ..signed.clone() },
            Checkpoint { signature: "hunter2".into(), ..signed.clone() },
        ];
        for other in others {
            assert!(!other.is_signed_by(&keys), "{other:?}");
        }
    }

    #[test]
    fn what_is_appended_is_read_once_in_order_also_after_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("of/checkpoints.jsonl");
        let signer = Key::random().signer("audit");
        let all: Vec<Checkpoint> = (1..=100).map(|no| checkpoint(&signer, no)).collect();
        assert_eq!(last(&path).unwrap(), None);
        append(&path, &all[..60]).unwrap();
        append(&path, &all[40..61]).unwrap();
        assert_eq!(last(&path).unwrap().as_ref(), Some(&all[60]));
        let mut text = std::fs::read(&path).unwrap();
        text.extend_from_slice(b"{\"what\":\"he");
        std::fs::write(&path, text).unwrap();
        assert_eq!(
            last(&path).unwrap().as_ref(),
            Some(&all[60]),
            "the cut line counts for nothing"
        );
        append(&path, &all[61..]).unwrap();
        let (read, unreadable) = read(&path).unwrap();
        assert_eq!(read.into_iter().map(|(_, it)| it).collect::<Vec<_>>(), all);
        assert_eq!(unreadable, 1);
    }
}
