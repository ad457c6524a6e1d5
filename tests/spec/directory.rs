//! A directory of descriptors that a test writes and imports.

use std::path::{Path, PathBuf};
use std::time::Duration;

use idp::catalog::flow::{self, ImportOptions, ImportReport};
use idp::catalog::sources::Source;
use idp::integrations::http::{Client, Policy};
use sqlx::PgPool;
use tempfile::TempDir;

pub struct Directory {
    dir: TempDir,
    pub options: ImportOptions,
}

impl Directory {
    pub fn new() -> Directory {
        let dir = tempfile::tempdir().unwrap();
        let options = options(dir.path());
        Directory { dir, options }
    }

    pub fn with(files: &[(&str, &str)]) -> Directory {
        let directory = Directory::new();
        for (file, text) in files {
            directory.write(file, text);
        }
        directory
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn write(&self, file: &str, text: &str) {
        let path = self.dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // At once, so that nobody reads half of it.
        let half = path.with_extension("half");
        std::fs::write(&half, text).unwrap();
        std::fs::rename(half, path).unwrap();
    }

    pub fn remove(&self, file: &str) {
        std::fs::remove_file(self.dir.path().join(file)).unwrap();
    }

    pub fn source(&self) -> Source {
        path(self.dir.path())
    }

    pub async fn import(&self, db: &PgPool) -> ImportReport {
        flow::import(db, &[self.source()], &self.options).await.unwrap()
    }
}

pub fn options(base: &Path) -> ImportOptions {
    ImportOptions {
        base: base.to_path_buf(),
        cache: base.join(".cache"),
        orphan_grace: Duration::from_secs(7 * 86_400),
        mass_delete_percent: 10,
        confirm_deletions: false,
        http: Client::new(Policy::default()),
    }
}

pub fn path(path: &Path) -> Source {
    Source::Path { path: PathBuf::from(path), kinds: Vec::new() }
}

/// A document that describes a component.
pub fn component(name: &str, owner: &str) -> String {
    let metadata =
        format!("apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\n");
    format!("---\n{metadata}spec: {{type: service, lifecycle: production, owner: {owner}}}\n")
}
