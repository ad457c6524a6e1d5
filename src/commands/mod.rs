//! Command files: reading them, understanding what was typed, looking it up, saying it.
//!
//! ```text
//! text ──parse──▶ Call ──resolve──▶ Question ──lookups, flow──▶ answer ──reply──▶ Reply
//!        names, phrases   entities,           memory; history,     the command's
//!                         the channel's own   sql and http wait    own template
//! ```

pub mod asked;
pub mod completion;
pub mod file;
pub mod flow;
pub mod form;
pub mod lookups;
pub mod mentioned;
pub mod parse;
pub mod recent;
pub mod reply;
pub mod resolve;
pub mod store;
pub mod template;
pub mod unanswered;

use std::path::Path;
use std::sync::LazyLock;

use include_dir::{Dir, include_dir};

use crate::catalog::formats::folder;
use crate::catalog::{Problem, Severity};
pub use file::Command;

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/commands");

/// The most command files of one portal.
const FILES_MAX: usize = 500;

/// Every command there is, the portal's own in place of built-in ones of the same name.
#[derive(Debug, Clone)]
pub struct CommandSet {
    /// By name, each once.
    commands: Vec<Command>,
}

impl CommandSet {
    /// The built-in commands, embedded in the binary.
    pub fn built_in() -> CommandSet {
        // Read once: a portal is read again with each change of it, and its own files are work enough.
        static READ: LazyLock<CommandSet> = LazyLock::new(|| {
            let commands = BUILT_IN.files().filter(|it| folder::is_yaml(it.path())).map(|it| {
                let name = it.path().to_string_lossy();
                let text = it.contents_utf8().unwrap_or_default();
                file::read(text, &name).expect("the tests read every built-in command")
            });
            CommandSet::of(commands.collect())
        });
        READ.clone()
    }

    /// The built-in commands and those of the directory `dir` over them; what is wrong with its files,
    /// each named as seen from `dir`.
    ///
    /// A broken file costs nobody but itself. A directory that is not there has no files.
    pub fn load(dir: &Path) -> (CommandSet, Vec<Problem>) {
        let (texts, mut problems) = folder::read(dir, "command", FILES_MAX);
        let mut own: Vec<(String, Command)> = Vec::new();
        for (name, text) in texts {
            match file::read(&text, &name) {
                Ok(command) => own.push((name, command)),
                Err(of_file) => problems.extend(of_file),
            }
        }
        let named = own.iter().map(|(file, command)| (file.as_str(), command.name.as_str()));
        problems.extend(folder::twice("command", named));
        let mut commands = CommandSet::built_in().commands;
        // Of two files that define one command the first counts.
        for (_, command) in own.into_iter().rev() {
            commands.retain(|built_in| built_in.name != command.name);
            commands.push(command);
        }
        (CommandSet::of(commands), problems)
    }

    /// What the files of `dir` say now, when nothing is wrong with them; otherwise what to keep `self` for.
    ///
    /// # Errors
    /// Every error of the files.
    pub fn reloaded(dir: &Path) -> Result<CommandSet, Vec<Problem>> {
        let (commands, problems) = CommandSet::load(dir);
        match problems.iter().any(|problem| problem.severity == Severity::Error) {
            true => Err(problems),
            false => Ok(commands),
        }
    }

    fn of(mut commands: Vec<Command>) -> CommandSet {
        commands.sort_by(|a, b| a.name.cmp(&b.name));
        CommandSet { commands }
    }

    /// The command of this name, in lower case.
    pub fn find(&self, name: &str) -> Option<&Command> {
        let place = self.commands.binary_search_by(|it| it.name.as_str().cmp(name)).ok()?;
        Some(&self.commands[place])
    }

    pub fn iter(&self) -> impl Iterator<Item = &Command> {
        self.commands.iter()
    }

    /// Names with summaries, in the order of `help`.
    pub fn names(&self) -> Vec<(&str, &str)> {
        self.iter().map(|it| (it.name.as_str(), it.summary.as_str())).collect()
    }
}
