//! `idp catalog alias`: what people say instead of a name.

use std::process::ExitCode;

use anyhow::bail;

use super::arguments::{self, ReportFormat};
use super::setup;
use crate::catalog::alias::{Alias, spoken};
use crate::catalog::{EntityRef, flow};
use crate::config::Config;
use crate::postgres::{self, Db};

pub async fn run(
    config: &Config,
    install: bool,
    command: arguments::Alias,
) -> anyhow::Result<ExitCode> {
    let db = postgres::open(&setup::database(config, install)).await?;
    let said = match command {
        arguments::Alias::Add { alias, reference } => add(config, &db, &alias, &reference).await?,
        arguments::Alias::Remove { alias } => remove(&db, &alias).await?,
        arguments::Alias::List { format } => list(&db, format).await?,
    };
    super::print(&said)?;
    db.close().await?;
    Ok(ExitCode::SUCCESS)
}

async fn add(config: &Config, db: &Db, said: &str, meant: &str) -> anyhow::Result<String> {
    let of_settings = of_settings(config)?;
    let snapshot = flow::load(&db.pool, &of_settings).await?;
    let alias = Alias::of(&snapshot, said, meant)?;
    if of_settings.iter().any(|(other, _)| spoken(other) == alias.alias) {
        bail!("`{}` is an alias in idp.yaml, which goes first; change it there", alias.alias);
    }
    flow::add_alias(&db.pool, &alias).await?;
    Ok(super::visible(&format!("`{}` means `{}` now.\n", alias.alias, alias.reference)))
}

/// The aliases of the portal that is set or nearby.
fn of_settings(config: &Config) -> anyhow::Result<Vec<(String, EntityRef)>> {
    match setup::portal_dir_if_any(config, None)? {
        Some(dir) => Ok(setup::settings(&dir)?.alias_list()),
        None => Ok(Vec::new()),
    }
}

async fn remove(db: &Db, said: &str) -> anyhow::Result<String> {
    let alias = spoken(said);
    if !flow::remove_alias(&db.pool, &alias).await? {
        bail!("no alias `{alias}` was added; `idp catalog alias list` shows those that were");
    }
    Ok(super::visible(&format!("`{alias}` means nothing of its own now.\n")))
}

async fn list(db: &Db, format: ReportFormat) -> anyhow::Result<String> {
    let aliases = flow::aliases(&db.pool).await?;
    match format {
        ReportFormat::Json => Ok(format!("{}\n", serde_json::to_string_pretty(&aliases)?)),
        ReportFormat::Text => {
            let lines = aliases.iter().map(|it| format!("{}: {}\n", it.alias, it.reference));
            Ok(super::visible(&lines.collect::<String>()))
        }
    }
}
