//! `idp key`: the instance's key.

use std::process::ExitCode;

use serde_json::json;

use super::{arguments, setup};
use crate::audit::{self, Entry};
use crate::config::Config;
use crate::postgres;
use crate::vault;

pub async fn run(
    config: &Config,
    install: bool,
    command: arguments::Key,
) -> anyhow::Result<ExitCode> {
    let key = setup::key(config)?;
    let signer = key.signer(audit::PURPOSE);
    if let arguments::Key::Public = command {
        super::print(&format!("{}\n", hex::encode(signer.public_key())))?;
        return Ok(ExitCode::SUCCESS);
    }
    let db = postgres::open(&setup::database(config, install)).await?;
    let said = match vault::flow::accept(&db.pool, &key).await? {
        true => {
            let entry = Entry {
                kind: "key.accepted",
                subject: format!("key:{}", hex::encode(key.fingerprint())),
                actor: "terminal".into(),
                body: json!({ "public_key": hex::encode(signer.public_key()) }),
            };
            audit::flow::append(&db.pool, &entry).await?;
            // What the key before has signed is held by this one from here on.
            audit::flow::sign_now(&db.pool, &signer).await?;
            "This key is the database's now. Start every process with it; what was sealed with another is lost.\n"
        }
        false => "This key is the database's already.\n",
    };
    super::print(said)?;
    db.close().await?;
    Ok(ExitCode::SUCCESS)
}
