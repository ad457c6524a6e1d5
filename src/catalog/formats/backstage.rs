//! Backstage descriptors: `catalog-info.yaml`.

use crate::catalog::{Descriptor, Problem};

/// What one file has in it.
#[derive(Debug, Default)]
pub struct FileContents {
    /// How many documents it has, empty ones left out.
    pub documents: u32,
    pub descriptors: Vec<Descriptor>,
    /// Files that its Locations point to, as written, with what is needed to report on them.
    pub targets: Vec<LocationTarget>,
    pub problems: Vec<Problem>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocationTarget {
    /// As written; relative to the file, may have globs: `./services/*/catalog-info.yaml`.
    pub target: String,
    /// `file` or `url`, when the document says so.
    pub kind: Option<String>,
    /// Whether a missing target is no problem (`presence: optional`).
    pub optional: bool,
    pub document: u32,
    pub line: u32,
    pub column: u32,
}

/// Reads what a placeholder `$text`, `$json`, `$yaml` names, relative to the file it stands in.
///
/// # Errors
/// A sentence that says why not: missing, outside the source's root, too large.
pub type ReadPlaceholder<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Reads every document of `text`. One bad document never costs a neighbour.
///
/// `file` is what problems name.
pub fn read(_text: &[u8], _file: &str, _placeholder: ReadPlaceholder<'_>) -> FileContents {
    todo!()
}
