//! The portal directory: everything an organisation writes.

use std::path::Path;

use crate::catalog::Problem;

pub mod settings;
pub mod yaml;

pub use settings::Settings;

/// Every problem of the directory `dir`: settings, descriptors, commands.
pub fn check(_dir: &Path) -> Vec<Problem> {
    todo!()
}
