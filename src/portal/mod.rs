//! The portal directory: everything an organisation writes.
//!
//! ```text
//! idp.yaml    settings
//! catalog/    descriptors
//! commands/   commands of one's own, or in place of the built-in ones
//! ```

pub mod check;
pub mod settings;
pub mod watch;

use std::path::{Path, PathBuf};

use crate::catalog::{Problem, Severity};
use crate::commands::CommandSet;

pub use check::check;
pub use settings::Settings;
use watch::Stamp;

/// Where command files lie.
const COMMANDS_DIR: &str = "commands";

/// A portal directory that was read and found good.
#[derive(Debug)]
pub struct Portal {
    pub dir: PathBuf,
    pub settings: Settings,
    pub commands: CommandSet,
    /// Of the files as they were read.
    stamp: Stamp,
}

impl Portal {
    /// The settings and commands of `dir`. Descriptors are not read: one bad document never keeps
    /// a portal from starting.
    ///
    /// # Errors
    /// Every problem of the settings and the commands, in the order of files and lines.
    pub fn read(dir: &Path) -> Result<Portal, Vec<Problem>> {
        // Taken first: what changes while it is read will be seen as a change.
        let stamp = Stamp::of_portal(dir);
        let (commands, mut problems) = commands(dir);
        let settings = match Settings::load(dir) {
            Ok(settings) => settings,
            Err(of_settings) => {
                problems.extend(of_settings);
                Settings::default()
            }
        };
        if problems.iter().any(|problem| problem.severity == Severity::Error) {
            return Err(sorted(problems));
        }
        Ok(Portal { dir: dir.to_path_buf(), settings, commands, stamp })
    }
}

/// The portal directory: `given`, or `portal` or `here` itself where that has an `idp.yaml` in it.
///
/// `None` when there is none. It is absolute, so that nothing depends on where the process stands.
///
/// # Errors
/// The `given` one that is no directory.
pub fn locate(given: Option<&Path>, here: &Path) -> Result<Option<PathBuf>, NoPortal> {
    let found = match given {
        Some(given) if here.join(given).is_dir() => Some(here.join(given)),
        Some(given) => return Err(NoPortal { given: given.to_path_buf() }),
        None => [here.join("portal"), here.to_path_buf()]
            .into_iter()
            .find(|dir| dir.join(settings::FILE).is_file()),
    };
    Ok(found.map(|dir| dir.canonicalize().unwrap_or(dir)))
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no portal directory `{}`", given.display())]
pub struct NoPortal {
    given: PathBuf,
}

/// The commands of the portal `dir` over the built-in ones; problems name files as seen from `dir`.
fn commands(dir: &Path) -> (CommandSet, Vec<Problem>) {
    let (commands, mut problems) = CommandSet::load(&dir.join(COMMANDS_DIR));
    for problem in &mut problems {
        problem.file = format!("{COMMANDS_DIR}/{}", problem.file);
    }
    (commands, problems)
}

fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|a, b| {
        (&a.file, a.line, a.column, &a.message).cmp(&(&b.file, b.line, b.column, &b.message))
    });
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portal_is_the_named_directory_or_one_nearby_with_settings() {
        let here = tempfile::tempdir().unwrap();
        let here = here.path().canonicalize().unwrap();
        let locate = |given: Option<&str>| locate(given.map(Path::new), &here);
        assert_eq!(locate(None), Ok(None));
        assert!(locate(Some("portal")).is_err());

        std::fs::write(here.join("idp.yaml"), "").unwrap();
        assert_eq!(locate(None), Ok(Some(here.clone())));

        std::fs::create_dir(here.join("portal")).unwrap();
        assert_eq!(locate(None), Ok(Some(here.clone())));
        assert_eq!(locate(Some("portal")), Ok(Some(here.join("portal"))));

        std::fs::write(here.join("portal/idp.yaml"), "").unwrap();
        assert_eq!(locate(None), Ok(Some(here.join("portal"))));
    }
}
