//! What a sub-command works with, made of the process's settings: a portal, a database, places for files.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::check::listed;
use crate::catalog::Problem;
use crate::catalog::flow::ImportOptions;
use crate::config::Config;
use crate::integrations::http::{Client, Policy};
use crate::portal::{self, Portal, Settings};
use crate::postgres::{Database, Private};
use crate::scorecards::{Keys, ScorecardSet};
use crate::vault::{self, Key};

/// A call that makes no sense: the process ends with 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// The portal directory: the named one, `IDP_PORTAL`, or one nearby.
///
/// # Errors
/// [`Usage`] when there is none.
pub fn portal_dir(config: &Config, named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let next = "name one with --portal or IDP_PORTAL, or go where an `idp.yaml` is";
    let dir = portal_dir_if_any(config, named)?;
    dir.ok_or_else(|| Usage(format!("there is no portal directory here; {next}")).into())
}

/// Like [`portal_dir`], for sub-commands that can do without one.
///
/// # Errors
/// [`Usage`] when the one that was named is no directory.
pub fn portal_dir_if_any(config: &Config, named: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    let here = std::env::current_dir().context("there is no current directory")?;
    let named = named.or(config.portal.as_deref());
    portal::locate(named, &here)
        .map_err(|error| Usage(format!("{error}; name another with --portal or IDP_PORTAL")).into())
}

/// Settings and commands of the portal `dir`.
///
/// # Errors
/// Every problem that it has, with its place.
pub fn portal(dir: &Path) -> anyhow::Result<Portal> {
    Portal::read(dir).map_err(|problems| not_good(dir, &problems))
}

/// The settings of the portal `dir`, whatever its commands are like.
///
/// # Errors
/// Every problem that they have, with its place.
pub fn settings(dir: &Path) -> anyhow::Result<Settings> {
    Settings::load(dir).map_err(|problems| not_good(dir, &problems))
}

/// The scorecards of the portal directory, as [`portal_dir_if_any`] finds it, and the kinds of the facts that they read;
/// the built-in ones where there is none. A broken file of it is left out.
///
/// # Errors
/// Every problem of the settings, with its place.
pub fn scorecards(config: &Config, named: Option<&Path>) -> anyhow::Result<(ScorecardSet, Keys)> {
    let Some(dir) = portal_dir_if_any(config, named)? else {
        return Ok((ScorecardSet::built_in(), Keys::new()));
    };
    let settings = settings(&dir)?;
    let (keys, built_in) = (portal::keys(&settings), settings.built_in_scorecards);
    let (set, _) = ScorecardSet::load(&dir.join(portal::SCORECARDS_DIR), &keys, built_in);
    Ok((set, keys))
}

fn not_good(dir: &Path, problems: &[Problem]) -> anyhow::Error {
    let listed = listed(problems);
    anyhow!("the portal {} has errors; mend them\n{}", dir.display(), listed.trim_end())
}

/// The server that is set, or a private cluster of idp's own.
pub fn database(config: &Config, install: bool) -> Database {
    match &config.database_url {
        Some(url) => Database::Url(url.clone()),
        None => Database::Private(Private {
            dir: config.data_dir.join("postgres"),
            bin: config.pg_bin.clone(),
            install,
            fsync: true,
        }),
    }
}

/// The instance's key: the one that is set, or that of the data directory, which is made where there is none.
///
/// # Errors
/// A file that cannot be made or read, or that holds no key.
pub fn key(config: &Config) -> anyhow::Result<Key> {
    match &config.key {
        Some(bytes) => Ok(Key::new(bytes.clone())),
        None => vault::file::read_or_make(&config.data_dir),
    }
}

/// Where the copy of the catalog lies that answers while there is no database: one a database, so
/// that none answers for another.
pub fn disk_copy(config: &Config) -> PathBuf {
    config.data_dir.join(format!("catalog-{}.copy", name_of_database(config)))
}

/// Where the copy of the links lies that tells who is who while there is no database.
pub fn links_copy(config: &Config) -> PathBuf {
    config.data_dir.join(format!("links-{}.copy", name_of_database(config)))
}

fn name_of_database(config: &Config) -> String {
    match &config.database_url {
        Some(url) => hex::encode(&Sha256::digest(url.expose_secret())[..8]),
        None => "private".to_string(),
    }
}

/// The client of sources and of `http:` lookups. Slack has its own, which alone may ask this machine.
pub fn http_client(settings: &Settings) -> Client {
    Client::new(Policy { allowed: settings.allowed_hosts.clone(), loopback: false })
}

/// How the sources of the portal at `base` are imported.
pub fn import_options(
    config: &Config,
    settings: &Settings,
    base: &Path,
    http: Client,
) -> ImportOptions {
    ImportOptions {
        base: base.to_path_buf(),
        cache: config.data_dir.join("clones"),
        orphan_grace: settings.orphan_grace,
        mass_delete_percent: settings.mass_delete_percent,
        confirm_deletions: false,
        http,
    }
}
