//! `idp key`: the instance's key.

use std::process::ExitCode;

use super::{arguments, setup};
use crate::config::Config;
use crate::postgres;
use crate::vault;

pub async fn run(
    config: &Config,
    install: bool,
    command: arguments::Key,
) -> anyhow::Result<ExitCode> {
    let key = setup::key(config)?;
    let db = postgres::open(&setup::database(config, install)).await?;
    match command {
        arguments::Key::Accept => {
            let said = match vault::flow::accept(&db.pool, &key).await? {
                true => {
                    "This key is the database's now. Start every process with it; what was sealed with another is lost.\n"
                }
                false => "This key is the database's already.\n",
            };
            super::print(said)?;
        }
    }
    db.close().await?;
    Ok(ExitCode::SUCCESS)
}
