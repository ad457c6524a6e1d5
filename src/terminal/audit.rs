//! `idp audit`: whether the log of decisions is as it was written, and the log itself.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use chrono::{DateTime, NaiveDate, Utc};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::arguments::{self, ReportFormat};
use super::check::counted;
use super::setup::{self, Usage};
use crate::audit::flow::{self, Verdict};
use crate::audit::verify::{Sealed, Witness};
use crate::audit::{PURPOSE, Terms, checkpoint};
use crate::config::Config;
use crate::postgres;

/// How much is printed at once.
const PRINTED_BYTES: usize = 1 << 16;

pub async fn run(
    config: &Config,
    install: bool,
    command: arguments::Audit,
) -> anyhow::Result<ExitCode> {
    match command {
        arguments::Audit::Verify { portal, checkpoints, public_key, format } => {
            let mut public_keys =
                public_key.iter().map(|it| key(it)).collect::<anyhow::Result<Vec<_>>>()?;
            // Who has a public key needs no other.
            if public_keys.is_empty() {
                public_keys.push(setup::key(config)?.signer(PURPOSE).public_key());
            }
            let files = files(config, portal.as_deref(), checkpoints)?;
            let (outside, unreadable) = outside(&files)?;
            let db = postgres::open(&setup::database(config, install)).await?;
            let verdict = flow::verify(&db.pool, &public_keys, outside).await?;
            db.close().await?;
            match format {
                ReportFormat::Json => super::print_json(&verdict)?,
                ReportFormat::Text => super::print(&said(&verdict, unreadable))?,
            }
            Ok(if verdict.bad.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        arguments::Audit::Export { from, to } => {
            let (from, to) = (moment(from.as_deref())?, moment(to.as_deref())?);
            let db = postgres::open(&setup::database(config, install)).await?;
            let mut out = String::new();
            flow::export(&db.pool, from, to, |sealed| {
                out.push_str(&exported(sealed)?);
                match out.len() >= PRINTED_BYTES {
                    true => super::print(&std::mem::take(&mut out)),
                    false => Ok(()),
                }
            })
            .await?;
            super::print(&out)?;
            db.close().await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn key(text: &str) -> anyhow::Result<[u8; 32]> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    Ok(bytes.ok_or_else(|| Usage("--public-key is 64 hexadecimal digits".into()))?)
}

/// The files that are named, or the one that the settings say, where it is there.
fn files(
    config: &Config,
    portal: Option<&Path>,
    named: Vec<PathBuf>,
) -> anyhow::Result<Vec<PathBuf>> {
    if !named.is_empty() {
        return Ok(named);
    }
    let terms = match setup::portal_dir_if_any(config, portal)? {
        Some(dir) => setup::settings(&dir)?.audit,
        None => Terms::default(),
    };
    Ok(Some(flow::file(&config.data_dir, &terms))
        .filter(|file| file.exists())
        .into_iter()
        .collect())
}

/// The checkpoints in `files`, and how many of their lines are none.
fn outside(files: &[PathBuf]) -> anyhow::Result<(Vec<Witness>, usize)> {
    let (mut witnesses, mut unreadable) = (Vec::new(), 0);
    for file in files {
        let (checkpoints, lines) = checkpoint::read(file)?;
        unreadable += lines;
        witnesses.extend(checkpoints.into_iter().map(|(line, checkpoint)| Witness {
            checkpoint,
            place: format!("line {line} of {}", file.display()),
            is_outside: true,
        }));
    }
    Ok((witnesses, unreadable))
}

fn said(verdict: &Verdict, unreadable: usize) -> String {
    let Verdict { bad, from, to, held, checkpoints, outside, unsealed } = verdict;
    let mut said = match bad {
        Some(bad) => format!("The log is not as it was written. First: {bad}.\n"),
        None if to < from => "The log is good, and empty.\n".into(),
        None => format!("The log is good: rows {from} to {to}.\n"),
    };
    said.push_str(&format!(
        "{} heard, {outside} of them from outside of the database; they hold up to row {held}.\n",
        counted(*checkpoints, "checkpoint")
    ));
    if *unsealed > 0 {
        said.push_str(&format!("{} not sealed yet.\n", counted(*unsealed, "row")));
    }
    if unreadable > 0 {
        said.push_str(&format!("{} no checkpoint.\n", counted(unreadable, "line")));
    }
    if *outside == 0 {
        said.push_str(
            "Without checkpoints from outside of the database nobody can tell whether its end was cut off, or whether it was \
             put back to an earlier state: name their file with --checkpoints.\n",
        );
    }
    super::visible(&said)
}

/// The moment that `text` writes: a date, at its begin, or RFC 3339.
fn moment(text: Option<&str>) -> anyhow::Result<Option<DateTime<Utc>>> {
    let Some(text) = text else { return Ok(None) };
    let date = text.parse::<NaiveDate>().ok().and_then(|it| it.and_hms_opt(0, 0, 0));
    let moment = date.map(|it| it.and_utc()).or_else(|| {
        DateTime::parse_from_rfc3339(text).ok().map(|moment| moment.with_timezone(&Utc))
    });
    let wrong = || Usage(format!("`{text}` is no time: write 2026-05-01, or 2026-05-01T09:30:00Z"));
    Ok(Some(moment.ok_or_else(wrong)?))
}

/// One line of JSON.
fn exported(sealed: &Sealed) -> anyhow::Result<String> {
    let row = sealed.row.as_ref().context("a row without anything in it was chosen")?;
    let at = row.at_us.and_then(DateTime::from_timestamp_micros).context("a row has no time")?;
    let body = row.body.clone().unwrap_or_else(|| "null".into());
    let mut line = Map::new();
    let mut add = |name: &str, value: Value| line.insert(name.into(), value);
    add("no", sealed.no.into());
    add("time", at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true).into());
    add("actor", row.actor.clone().into());
    add("kind", row.kind.clone().into());
    add("subject", row.subject.clone().into());
    add("id", row.id.into());
    add("transaction", row.xid.into());
    add("hash", hex::encode(&sealed.hash).into());
    let line = serde_json::to_string(&line)?;
    // As Postgres writes it: so it was hashed.
    let body = RawValue::from_string(body)?;
    Ok(format!("{},\"body\":{}}}\n", line.trim_end_matches('}'), body.get()))
}
