//! Changes of the portal directory, noticed within about a second.
//!
//! Times and sizes of files are compared, with nothing but the file system: the portal may be
//! a mounted volume whose changes no kernel tells about.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use walkdir::WalkDir;

use super::{
    ACTIONS_DIR, COMMANDS_DIR, DIGESTS_DIR, ON_CALL_DIR, Portal, SCORECARDS_DIR, settings,
};
use crate::catalog::Problem;
use crate::catalog::sources::Source;

/// How often the directory is looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// After a look, so many times as long nothing is done: looking at many files never eats a core.
const PAUSES_PER_LOOK: u32 = 20;

/// What has changed in the directory.
#[derive(Debug)]
pub enum Change {
    /// Settings, commands, scorecards, digests or rotas are others now, and good.
    Portal(Box<Portal>),
    /// Settings, commands, scorecards, digests or rotas are others now, and not good: the old ones hold.
    Broken(Vec<Problem>),
    /// Descriptors that the sources of the settings have on this disk are others now.
    Catalog,
}

/// Sends every change since `portal` was read, each once, until `stop` or until nobody receives.
pub async fn watch(portal: Arc<Portal>, changes: mpsc::Sender<Change>, stop: CancellationToken) {
    let mut watched = Watched {
        dir: portal.dir.clone(),
        sources: portal.settings.sources.clone(),
        portal: portal.stamp,
        catalog: None,
    };
    loop {
        let started = Instant::now();
        let Ok((now, change)) = spawn_blocking(move || watched.look()).await else { return };
        watched = now;
        let has_changed = change.is_some();
        if let Some(change) = change
            && changes.send(change).await.is_err()
        {
            return;
        }
        // What was read anew took longer than a look, and whoever writes may write more.
        let pause = match has_changed {
            true => PERIOD,
            false => PERIOD.max(started.elapsed() * PAUSES_PER_LOOK),
        };
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// The directory as it was when it was last looked at.
struct Watched {
    dir: PathBuf,
    sources: Vec<Source>,
    portal: Stamp,
    /// `None` before the first look.
    catalog: Option<Stamp>,
}

impl Watched {
    /// What it is now, and what has changed; of settings and descriptors the settings first.
    fn look(mut self) -> (Watched, Option<Change>) {
        let portal = Stamp::of_portal(&self.dir);
        if portal != self.portal {
            self.portal = portal;
            return match Portal::read(&self.dir) {
                Ok(portal) => {
                    self.sources.clone_from(&portal.settings.sources);
                    self.catalog = None;
                    (self, Some(Change::Portal(Box::new(portal))))
                }
                Err(problems) => (self, Some(Change::Broken(problems))),
            };
        }
        let catalog = Stamp::of_sources(&self.dir, &self.sources);
        let before = self.catalog.replace(catalog);
        let change = before.is_some_and(|before| before != catalog).then_some(Change::Catalog);
        (self, change)
    }
}

/// Tells one state of some files from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(u64);

impl Stamp {
    /// Of the settings, the commands, the scorecards, the digests and the rotas of the portal `dir`.
    pub fn of_portal(dir: &Path) -> Stamp {
        let names =
            [settings::FILE, COMMANDS_DIR, SCORECARDS_DIR, DIGESTS_DIR, ON_CALL_DIR, ACTIONS_DIR];
        Stamp::of(names.map(|name| dir.join(name)))
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
    fn each_change_is_told_once_and_a_broken_one_is_told_too() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        std::fs::create_dir(dir.path().join("catalog")).unwrap();
        write("catalog/a.yaml", "a");
        let portal = Portal::read(dir.path()).unwrap();
        let mut watched = Some(Watched {
            dir: dir.path().to_path_buf(),
            sources: portal.settings.sources,
            portal: portal.stamp,
            catalog: None,
        });
        let mut look = || {
            let (now, change) = watched.take().unwrap().look();
            watched = Some(now);
            change
        };
        assert!(look().is_none());
        write("catalog/a.yaml", "ab");
        assert!(matches!(look(), Some(Change::Catalog)));
        assert!(look().is_none());
        write("idp.yaml", "refresh: soon\n");
        assert!(matches!(look(), Some(Change::Broken(problems)) if problems[0].line == 1));
        assert!(look().is_none());
        write("idp.yaml", "refresh: 9m\n");
        let Some(Change::Portal(portal)) = look() else { panic!() };
        assert_eq!(portal.settings.refresh, Duration::from_secs(9 * 60));
        assert!(look().is_none());
    }

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
