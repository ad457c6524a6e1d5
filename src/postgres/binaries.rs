//! Finding Postgres's programs.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::install;
use crate::config;

/// The oldest major version that our SQL runs on.
pub const MAJOR_MIN: u32 = 15;

/// The programs a private cluster needs; a folder with only clients (`psql`) will not do.
const NEEDED: [&str; 3] = ["initdb", "postgres", "pg_dump"];

/// Where Homebrew keeps the versions of Postgres it installed, on its three kinds of machine.
const HOMEBREW: [&str; 3] =
    ["/opt/homebrew/opt", "/usr/local/opt", "/home/linuxbrew/.linuxbrew/opt"];

/// A folder with Postgres's programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    pub dir: PathBuf,
    /// The major version, `15`.
    pub major: u32,
}

/// There are no programs of Postgres, or only too old ones.
#[derive(Debug)]
pub struct Missing {
    /// Versions that were found and are too old, with their folder.
    pub old: Vec<Binaries>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&missing(self.old.first(), install::by_hand().as_deref()))
    }
}

impl std::error::Error for Missing {}

impl Binaries {
    /// The path of the program `name`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The programs in `dir`, or `None` where one is missing or does not tell its version.
    fn in_dir(dir: &Path) -> Option<Binaries> {
        // PATH may hold a link to the program whose libraries lie beside the real one.
        let dir = fs::canonicalize(dir.join("postgres")).ok()?.parent()?.to_path_buf();
        if !NEEDED.iter().all(|name| dir.join(name).is_file()) {
            return None;
        }
        let output = Command::new(dir.join("postgres")).arg("--version").output().ok()?;
        let major = major(&String::from_utf8_lossy(&output.stdout))?;
        Some(Binaries { dir, major })
    }
}

/// Postgres's programs: those in `bin` when given, otherwise the first that will do of
/// `pg_config --bindir`, PATH, and where distributions and Homebrew put them, newest first.
///
/// Data of the major version `made_by` can only be read by the same version, so that one goes
/// before all others.
///
/// # Errors
/// [`Missing`] when there are none; its text names the command that installs them.
pub fn find(bin: Option<&Path>, made_by: Option<u32>) -> anyhow::Result<Binaries> {
    if let Some(bin) = bin {
        let Some(found) = Binaries::in_dir(bin) else {
            bail!("IDP_PG_BIN is {}, where {} are not all found", bin.display(), NEEDED.join(", "));
        };
        if found.major < MAJOR_MIN {
            bail!(
                "IDP_PG_BIN is {}, which is Postgres {}; idp needs {MAJOR_MIN} or newer",
                bin.display(),
                found.major
            );
        }
        return Ok(found);
    }
    let mut all: Vec<Binaries> = places().iter().filter_map(|dir| Binaries::in_dir(dir)).collect();
    if let Some(same) = all.iter().find(|found| Some(found.major) == made_by) {
        return Ok(same.clone());
    }
    match all.iter().find(|found| found.major >= MAJOR_MIN) {
        Some(first) => Ok(first.clone()),
        None => {
            all.sort_by_key(|found| Reverse(found.major));
            Err(Missing { old: all }.into())
        }
    }
}

/// What a person reads who has no Postgres, or only the version `old`, and can install it with `command`.
fn missing(old: Option<&Binaries>, command: Option<&str>) -> String {
    let found = match old {
        Some(Binaries { dir, major }) => {
            format!(
                "The newest Postgres here is version {major}, in {}; idp needs {MAJOR_MIN} or newer",
                dir.display()
            )
        }
        None => "There is no Postgres on this machine".to_string(),
    };
    match command {
        Some(command) => format!(
            "{found}. Install it with `{command}`; --install-postgres does that for you, and DATABASE_URL uses a server elsewhere."
        ),
        None => format!(
            "{found}. Install Postgres {MAJOR_MIN} or newer, or set DATABASE_URL to a server elsewhere."
        ),
    }
}

/// Every folder where the programs may lie, the likeliest first.
fn places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        places.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    places.extend(on_path("postgres"));
    places.extend(versions("/usr/lib/postgresql", OsStr::to_str));
    places.extend(versions("/usr", |name| name.to_str()?.strip_prefix("pgsql-")));
    for homebrew in HOMEBREW {
        places.extend(versions(homebrew, |name| name.to_str()?.strip_prefix("postgresql@")));
    }
    places
}

/// The folder of PATH that holds `program`, if any.
pub(super) fn on_path(program: &str) -> Option<PathBuf> {
    config::search_path().into_iter().find(|dir| dir.join(program).is_file())
}

/// `parent/*/bin` for each folder whose name `version` reads a major version from, newest first.
fn versions(parent: &str, version: impl Fn(&OsStr) -> Option<&str>) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let major = version(&entry.file_name())?.parse().ok()?;
            Some((major, entry.path().join("bin")))
        })
        .collect();
    found.sort_by_key(|(major, _)| Reverse(*major));
    found.into_iter().map(|(_, dir)| dir).collect()
}

/// The major version in what `postgres --version` prints: `postgres (PostgreSQL) 15.18 (Debian …)`.
fn major(said: &str) -> Option<u32> {
    let version = said.split("(PostgreSQL) ").nth(1)?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The major version of the data in `data`, or `None` where there is no data.
///
/// # Errors
/// When the file that says so cannot be read.
pub fn made_by(data: &Path) -> anyhow::Result<Option<u32>> {
    let file = data.join("PG_VERSION");
    if !file.exists() {
        return Ok(None);
    }
    let said =
        fs::read_to_string(&file).with_context(|| format!("could not read {}", file.display()))?;
    let major =
        said.trim().parse().with_context(|| format!("{} holds no version", file.display()))?;
    Ok(Some(major))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_every_kind_of_build() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major("postgres (PostgreSQL) 17.2\n"), Some(17));
        assert_eq!(major("sh: not found"), None);
    }

    #[test]
    fn the_newest_version_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["9", "15", "16", "contrib"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let found = versions(dir.path().to_str().unwrap(), OsStr::to_str);
        assert_eq!(found, [16, 15, 9].map(|major| dir.path().join(major.to_string()).join("bin")));
    }

    #[test]
    fn who_has_no_postgres_reads_the_one_command_that_installs_it() {
        assert_eq!(
            missing(None, Some("apt-get install postgresql")),
            "There is no Postgres on this machine. Install it with `apt-get install postgresql`; \
             --install-postgres does that for you, and DATABASE_URL uses a server elsewhere."
        );
        let old = Binaries { dir: "/usr/lib/postgresql/14/bin".into(), major: 14 };
        assert_eq!(
            missing(Some(&old), None),
            "The newest Postgres here is version 14, in /usr/lib/postgresql/14/bin; idp needs 15 or newer. \
             Install Postgres 15 or newer, or set DATABASE_URL to a server elsewhere."
        );
    }

    #[test]
    fn a_folder_without_the_programs_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let error = find(Some(dir.path()), None).unwrap_err().to_string();
        assert!(error.starts_with("IDP_PG_BIN is "), "{error}");
        assert!(error.contains("initdb"), "{error}");
    }
}
