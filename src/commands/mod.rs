//! Command files: reading them, understanding what was typed, looking it up, saying it.

use std::path::Path;

use crate::catalog::Problem;

/// Every command there is, the portal's own in place of built-in ones of the same name.
#[derive(Debug)]
pub struct CommandSet {}

impl CommandSet {
    /// The built-in commands, embedded in the binary.
    pub fn built_in() -> CommandSet {
        todo!()
    }

    /// The built-in commands and those of the directory `dir` over them; what is wrong with its files.
    pub fn load(_dir: &Path) -> (CommandSet, Vec<Problem>) {
        todo!()
    }

    /// Names with summaries, in the order of `help`.
    pub fn names(&self) -> Vec<(&str, &str)> {
        todo!()
    }
}
