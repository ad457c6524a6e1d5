//! `idp access`: which account of a chat is whose.

use std::process::ExitCode;

use anyhow::bail;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;

use super::arguments::{self, ReportFormat};
use super::check::{counted, listed};
use super::setup::{self, Usage};
use crate::access;
use crate::access::code::{MINUTES, Offer};
use crate::access::flow;
use crate::access::link::{Link, LinkSet};
use crate::access::listing::Report;
use crate::audit;
use crate::catalog::{self, EntityRef};
use crate::config::Config;
use crate::conversation::{Platform, Speaker};
use crate::postgres::{self, Db};

pub async fn run(
    config: &Config,
    install: bool,
    command: arguments::Access,
) -> anyhow::Result<ExitCode> {
    let db = postgres::open(&setup::database(config, install)).await?;
    let mut code = ExitCode::SUCCESS;
    match command {
        arguments::Access::Import { file, format } => {
            let snapshot = catalog::flow::load(&db.pool, &[]).await?;
            let report = flow::import(&db.pool, &file, &snapshot, now()).await?;
            if !report.problems.is_empty() {
                code = ExitCode::FAILURE;
            }
            match format {
                ReportFormat::Json => super::print_json(&report)?,
                ReportFormat::Text => super::print(&said(&report))?,
            }
        }
        arguments::Access::List { format } => {
            let links = flow::load(&db.pool).await?;
            let rows = rows(&links);
            match format {
                ReportFormat::Json => super::print_json(&rows)?,
                ReportFormat::Text => super::print(&table(&rows))?,
            }
        }
        arguments::Access::Code { user } => super::print(&new_code(&db, &user).await?)?,
        arguments::Access::ResetTotp { user } => {
            let user = named(&user)?;
            if !reset_totp(&db, &user).await? {
                bail!("`{user}` has no second factor");
            }
            super::print(&format!("`{user}` has no second factor any more.\n"))?;
        }
        arguments::Access::Remove { platform, tenant, user_id } => {
            let Some(platform) = Platform::from_word(&platform) else {
                return Err(Usage(format!("`{platform}` is neither `slack` nor `discord`")).into());
            };
            let account = Speaker { platform, tenant, user_id };
            if !flow::remove(&db.pool, &account).await? {
                bail!("that account is linked to nobody; `idp access list` shows those that are");
            }
            super::print("The account is linked to nobody now.\n")?;
        }
    }
    db.close().await?;
    Ok(code)
}

/// What an import did, for a person.
fn said(report: &Report) -> String {
    let Report { created, changed, unchanged, problems } = report;
    let problems_said = counted(problems.len(), "problem");
    let counts =
        format!("{created} created, {changed} changed, {unchanged} unchanged; {problems_said}");
    format!("{}{counts}\n", listed(problems))
}

/// One link, as programs read it.
#[derive(Debug, Serialize)]
struct Row<'a> {
    platform: Platform,
    tenant: &'a str,
    user_id: &'a str,
    #[serde(flatten)]
    link: &'a Link,
}

/// In the order of platforms, workspaces and Users.
fn rows(links: &LinkSet) -> Vec<Row<'_>> {
    let rows = links.by_account.iter().map(|(account, link)| {
        let Speaker { platform, tenant, user_id } = account;
        Row { platform: *platform, tenant, user_id, link }
    });
    let mut rows: Vec<Row<'_>> = rows.collect();
    rows.sort_by_key(|it| (it.platform.word(), it.tenant, it.link.user.as_str()));
    rows
}

fn table(rows: &[Row<'_>]) -> String {
    let line = |row: &Row<'_>| {
        let Link { user, guest, made_by, created_at, .. } = row.link;
        let guest = if *guest { ", a guest" } else { "" };
        let (platform, date) = (row.platform.word(), created_at.format("%Y-%m-%d"));
        let account = format!("{platform} {} {}", row.tenant, row.user_id);
        format!("{account}: {user}{guest} (by {} on {date})\n", made_by.word())
    };
    let lines: String = rows.iter().map(line).collect();
    super::visible(&format!("{lines}{}\n", counted(rows.len(), "link")))
}

async fn reset_totp(db: &Db, user: &EntityRef) -> anyhow::Result<bool> {
    let mut tx = db.pool.begin().await?;
    if !access::totp::flow::forget(&mut tx, user).await? {
        return Ok(false);
    }
    let entry = audit::Entry {
        kind: "totp.removed",
        subject: user.to_string(),
        actor: "terminal".into(),
        body: json!({ "reason": "lost" }),
    };
    audit::store::append(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(true)
}

/// The User whose reference `text` is.
fn named(text: &str) -> anyhow::Result<EntityRef> {
    match EntityRef::parse(text, Some("user"), "default") {
        Ok(user) if user.kind() == "user" => Ok(user),
        _ => Err(Usage(format!("`{text}` is no User's reference")).into()),
    }
}

async fn new_code(db: &Db, user: &str) -> anyhow::Result<String> {
    let user = named(user)?;
    let snapshot = catalog::flow::load(&db.pool, &[]).await?;
    if snapshot.find(user.as_str()).is_none() {
        bail!("the catalog has no `{user}`; check the name, or import the User first");
    }
    let code = flow::issue(&db.pool, &Offer { user: user.clone(), guest: false }).await?;
    let code = code.shown();
    Ok(format!(
        "Whoever types this in Slack or Discord within {MINUTES} minutes is `{user}`, once:\n\n  /idp link {code}\n"
    ))
}

#[expect(clippy::disallowed_methods, reason = "a command asks the clock when it makes a link")]
fn now() -> DateTime<Utc> {
    Utc::now()
}
