//! The copy of the links on disk: after a restart while the database is away, who was known is known.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::link::{Link, LinkSet};
use crate::conversation::Speaker;

#[derive(Debug, Serialize, Deserialize)]
struct Copy {
    revision: i64,
    links: Vec<(Speaker, Link)>,
}

/// Puts `links` in the place of whatever is at `path`, whole or not at all; only we can read it.
///
/// # Errors
/// The file system's.
pub fn write(path: &Path, links: &LinkSet) -> anyhow::Result<()> {
    let all = links.by_account.iter().map(|(account, link)| (account.clone(), link.clone()));
    let copy = Copy { revision: links.revision, links: all.collect() };
    let unfinished = path.with_extension("unfinished");
    let written = || -> anyhow::Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(&serde_json::to_vec(&copy)?)?;
        file.sync_all()?;
        Ok(fs::rename(&unfinished, path)?)
    };
    written().with_context(|| format!("could not write {}", path.display()))
}

/// The copy at `path`; `None` when there is none.
///
/// # Errors
/// A file that is damaged, or of another version.
pub fn read(path: &Path) -> anyhow::Result<Option<LinkSet>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("could not read {}", path.display()));
        }
    };
    let Copy { revision, links } = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no copy of the links", path.display()))?;
    Ok(Some(LinkSet { revision, by_account: links.into_iter().collect() }))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::super::link::Made;
    use super::*;
    use crate::catalog::EntityRef;
    use crate::conversation::Platform;

    #[test]
    fn what_was_written_is_read_and_a_damaged_copy_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("of/links.copy");
        assert_eq!(read(&path).unwrap(), None);
        let account =
            Speaker { platform: Platform::Slack, tenant: "T1".into(), user_id: "U1".into() };
        let link = Link {
            user: EntityRef::new("user", "default", "ada"),
            guest: true,
            generation: 7,
            made_by: Made::Code,
            created_at: DateTime::UNIX_EPOCH,
        };
        let links = LinkSet { revision: 7, by_account: [(account, link)].into() };
        write(&path, &links).unwrap();
        assert_eq!(read(&path).unwrap(), Some(links));
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert!(read(&path).is_err());
    }
}
