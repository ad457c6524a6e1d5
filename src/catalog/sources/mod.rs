//! Where descriptors come from: directories and files, Git repositories, single URLs.

pub mod git;
pub mod url;

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One place to read descriptors from, as `idp.yaml` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields, untagged)]
pub enum Source {
    /// A directory (every `*.yaml` and `*.yml` under it) or one file; relative to the portal.
    Path {
        path: PathBuf,
        #[serde(default)]
        kinds: Vec<String>,
    },
    /// A Git repository, cloned shallowly with the `git` binary.
    Git {
        git: String,
        #[serde(default)]
        branch: Option<String>,
        /// Globs of the descriptors in it.
        #[serde(default = "catalog_info")]
        files: Vec<String>,
        #[serde(default)]
        kinds: Vec<String>,
    },
    /// One descriptor behind a URL.
    Url {
        url: String,
        #[serde(default)]
        kinds: Vec<String>,
    },
}

/// The names that Backstage gives descriptors.
pub fn catalog_info() -> Vec<String> {
    vec!["**/catalog-info.yaml".into(), "**/catalog-info.yml".into()]
}
