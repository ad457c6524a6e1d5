//! `idp check`: every problem of a portal directory.

use std::path::Path;

use super::{Settings, commands, sorted};
use crate::catalog::Problem;

/// Every problem of the directory `dir`: settings, descriptors, commands.
pub fn check(dir: &Path) -> Vec<Problem> {
    let (_, mut problems) = commands(dir);
    if let Err(of_settings) = Settings::load(dir) {
        problems.extend(of_settings);
    }
    sorted(problems)
}
