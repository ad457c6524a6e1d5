//! Changes of the portal directory, noticed within about a second.
//!
//! Times and sizes of files are compared, with nothing but the file system: the portal may be
//! a mounted volume whose changes no kernel tells about.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use walkdir::WalkDir;

use super::{COMMANDS_DIR, Portal, settings};
use crate::catalog::Problem;
use crate::catalog::sources::Source;

/// How often the directory is looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// After a look, so many times as long nothing is done: looking at many files never eats a core.
const PAUSES_PER_LOOK: u32 = 20;

/// What has changed in the directory.
#[derive(Debug)]
pub enum Change {
    /// Settings or commands are others now, and good.
    Portal(Box<Portal>),
    /// Settings or commands are others now, and not good: the old ones hold.
    Broken(Vec<Problem>),
    /// Descriptors that the sources of the settings have on this disk are others now.
    Catalog,
}

/// Tells `apply` of every change since `portal` was read, each once, until `stop`.
pub async fn watch(portal: &Portal, stop: CancellationToken, mut apply: impl AsyncFnMut(Change)) {
    let dir = &portal.dir;
    let mut sources = portal.settings.sources.clone();
    let mut known = portal.stamp;
    let mut known_catalog = None;
    loop {
        let started = Instant::now();
        let Ok((stamp, catalog)) = look(dir.clone(), sources.clone()).await else { return };
        if stamp != known {
            known = stamp;
            match Portal::read(dir) {
                Ok(portal) => {
                    sources.clone_from(&portal.settings.sources);
                    known_catalog = None;
                    apply(Change::Portal(Box::new(portal))).await;
                }
                Err(problems) => apply(Change::Broken(problems)).await,
            }
        } else if known_catalog.replace(catalog).is_some_and(|before| before != catalog) {
            apply(Change::Catalog).await;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD.max(started.elapsed() * PAUSES_PER_LOOK)) => {}
        }
    }
}

/// The stamps of the settings with the commands, and of the descriptors; off the threads that answer.
async fn look(
    dir: PathBuf,
    sources: Vec<Source>,
) -> Result<(Stamp, Stamp), tokio::task::JoinError> {
    let both = move || (Stamp::of_portal(&dir), Stamp::of_sources(&dir, &sources));
    tokio::task::spawn_blocking(both).await
}

/// Tells one state of some files from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(u64);

impl Stamp {
    /// Of the settings and the commands of the portal `dir`.
    pub fn of_portal(dir: &Path) -> Stamp {
        Stamp::of([dir.join(settings::FILE), dir.join(COMMANDS_DIR)])
    }

    /// Of the files under those `sources` that lie on this disk.
    fn of_sources(dir: &Path, sources: &[Source]) -> Stamp {
        Stamp::of(sources.iter().filter_map(|source| match source {
            Source::Path { path, .. } => Some(dir.join(path)),
            Source::Git { .. } | Source::Url { .. } => None,
        }))
    }

    fn of(roots: impl IntoIterator<Item = PathBuf>) -> Stamp {
        let mut hasher = DefaultHasher::new();
        for root in roots {
            // What is not there, or cannot be read, is left out: it counts once it can.
            for entry in WalkDir::new(root).sort_by_file_name().into_iter().flatten() {
                let Ok(metadata) = std::fs::metadata(entry.path()) else { continue };
                if metadata.is_file() {
                    entry.path().hash(&mut hasher);
                    metadata.len().hash(&mut hasher);
                    metadata.modified().ok().hash(&mut hasher);
                }
            }
        }
        Stamp(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_changes_with_a_file_that_comes_changes_or_goes() {
        let dir = tempfile::tempdir().unwrap();
        let command = dir.path().join(COMMANDS_DIR).join("deploys.yaml");
        std::fs::create_dir(dir.path().join(COMMANDS_DIR)).unwrap();
        let mut stamps = vec![Stamp::of_portal(dir.path())];
        std::fs::write(&command, "a").unwrap();
        stamps.push(Stamp::of_portal(dir.path()));
        std::fs::write(&command, "ab").unwrap();
        stamps.push(Stamp::of_portal(dir.path()));
        assert!(stamps[0] != stamps[1] && stamps[1] != stamps[2] && stamps[0] != stamps[2]);
        assert_eq!(Stamp::of_portal(dir.path()), stamps[2]);
        std::fs::remove_file(&command).unwrap();
        assert_eq!(Stamp::of_portal(dir.path()), stamps[0]);
    }
}
