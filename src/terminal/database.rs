//! `idp migrate` and `idp db`.

use std::process::ExitCode;

use super::{arguments, setup};
use crate::config::Config;
use crate::postgres;

/// Brings the database to this version's tables; every other sub-command does so too, when it starts.
pub async fn migrate(config: &Config, install: bool) -> anyhow::Result<ExitCode> {
    let db = postgres::open(&setup::database(config, install)).await?;
    db.close().await?;
    super::print("The database is up to date.\n")?;
    Ok(ExitCode::SUCCESS)
}

pub async fn run(config: &Config, command: arguments::Database) -> anyhow::Result<ExitCode> {
    let database = setup::database(config, false);
    match command {
        arguments::Database::Stop => {
            let said = match postgres::stop(&database).await? {
                true => "The private database has stopped.\n",
                false => "The private database was not running.\n",
            };
            super::print(said)?;
        }
        arguments::Database::Export => postgres::export(&database, None).await?,
    }
    Ok(ExitCode::SUCCESS)
}
