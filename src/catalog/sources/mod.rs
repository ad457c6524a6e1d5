//! Where descriptors come from: directories and files, Git repositories, single URLs.
//!
//! A source is first listed, so that what has not changed is never read; then its files are read
//! a few at a time.

pub mod file;
pub mod git;
pub mod url;

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Problem;

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

/// Kinds that say who people are and who belongs to which team. A repository that a team writes
/// to may not say that unless `kinds` lists them: its authors would choose their own approvers.
const KINDS_OF_PEOPLE: [&str; 2] = ["user", "group"];

impl Source {
    /// What the database knows it by: `directory:catalog`, `git:https://host/repository`.
    ///
    /// The same for all replicas, as long as the source lies inside `base`, the portal's directory.
    pub fn name(&self, base: &Path) -> String {
        match self {
            Source::Path { path, .. } => {
                let path = without_dots(&base.join(path));
                let sort = if is_yaml(&path) { "file" } else { "directory" };
                let shown = path.strip_prefix(without_dots(base)).unwrap_or(&path);
                let shown = if shown.as_os_str().is_empty() { Path::new(".") } else { shown };
                format!("{sort}:{}", shown.display())
            }
            Source::Git { git, branch: None, .. } => format!("git:{git}"),
            Source::Git { git, branch: Some(branch), .. } => format!("git:{git}#{branch}"),
            Source::Url { url, .. } => format!("url:{url}"),
        }
    }

    /// Whether its files may describe entities of `kind`, in whatever case.
    pub fn allows(&self, kind: &str) -> bool {
        let kinds = self.kinds();
        if !kinds.is_empty() {
            return kinds.iter().any(|it| it.eq_ignore_ascii_case(kind));
        }
        let is_ours = matches!(self, Source::Path { .. });
        is_ours || !KINDS_OF_PEOPLE.iter().any(|it| it.eq_ignore_ascii_case(kind))
    }

    /// As listed; empty when nothing is.
    pub fn kinds(&self) -> &[String] {
        match self {
            Source::Path { kinds, .. } | Source::Git { kinds, .. } | Source::Url { kinds, .. } => {
                kinds
            }
        }
    }
}

/// What a source has at the moment, none of it parsed.
#[derive(Debug, Default)]
pub struct SourceContents {
    /// Where its files lie, links resolved; nothing outside is ever read. `None`: there is only what was fetched.
    pub root: Option<PathBuf>,
    /// Sorted by name.
    pub files: Vec<SourceFile>,
    /// What kept us from seeing all of it.
    pub problems: Vec<Problem>,
    /// Directories that could not be looked into, relative to the root: of what is in them nothing is known.
    pub unseen: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Relative to the root, parts separated by `/`; or the URL.
    pub name: String,
    /// Whether someone says that it is a descriptor: its name, a Location, the settings.
    /// Of other files only those that look like one are read.
    pub is_named: bool,
    pub text: FileText,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileText {
    OnDisk(Stamp),
    /// `etag` names this version, where the server names its versions.
    Fetched {
        text: Vec<u8>,
        etag: Option<String>,
    },
    /// The server says that it is what it was.
    Unchanged,
}

/// What changes, as a rule, whenever a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub bytes: u64,
    /// Since 1970.
    pub modified_ns: i64,
}

fn is_yaml(path: &Path) -> bool {
    path.extension()
        .is_some_and(|it| it.eq_ignore_ascii_case("yaml") || it.eq_ignore_ascii_case("yml"))
}

/// `a/./b/../c` → `a/c`, without asking the file system.
fn without_dots(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(out.components().next_back(), Some(Component::Normal(_))) =>
            {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> Source {
        Source::Path { path: path.into(), kinds: Vec::new() }
    }

    #[test]
    fn a_source_has_the_same_name_on_every_replica() {
        for base in ["/srv/portal", "/home/ada/portal/"] {
            assert_eq!(path("./catalog/").name(Path::new(base)), "directory:catalog");
            assert_eq!(path("x/../all.yaml").name(Path::new(base)), "file:all.yaml");
            assert_eq!(path(".").name(Path::new(base)), "directory:.");
        }
        assert_eq!(path("../more").name(Path::new("/srv/portal")), "directory:/srv/more");
    }

    #[test]
    fn a_repository_does_not_say_who_people_are_unless_it_may() {
        let repository = |kinds: &[&str]| Source::Git {
            git: "https://git.example/shop".into(),
            branch: None,
            files: catalog_info(),
            kinds: kinds.iter().map(|it| it.to_string()).collect(),
        };
        assert!(repository(&[]).allows("Component"));
        assert!(!repository(&[]).allows("User"));
        assert!(!repository(&[]).allows("group"));
        assert!(repository(&["User"]).allows("user"));
        assert!(!repository(&["User"]).allows("Component"));
        assert!(path("catalog").allows("Group"));
    }
}
