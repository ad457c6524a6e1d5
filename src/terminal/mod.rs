//! The command line and the prompt.

use crate::conversation::Reply;

pub mod prompt;

/// `reply` for a terminal `columns` wide; with ANSI colours when `styled`.
pub fn render(_reply: &Reply, _columns: usize, _styled: bool) -> String {
    todo!()
}
