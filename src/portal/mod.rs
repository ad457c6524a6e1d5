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
