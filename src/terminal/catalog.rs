//! `idp catalog`: descriptors in, entities and problems out.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde_json::{Value, json};

use super::arguments::{self, ReportFormat};
use super::check::{counted, listed};
use super::{alias, setup};
use crate::catalog::flow::{self, ImportReport};
use crate::catalog::sources::Source;
use crate::catalog::{Entity, Snapshot};
use crate::commands::{self, unanswered::Asked};
use crate::config::Config;
use crate::portal::Settings;
use crate::postgres;

pub async fn run(
    config: &Config,
    install: bool,
    command: arguments::Catalog,
) -> anyhow::Result<ExitCode> {
    match command {
        arguments::Catalog::Import { portal, paths, format, confirm_deletions } => {
            let report =
                import(config, install, portal.as_deref(), &paths, confirm_deletions).await?;
            match format {
                ReportFormat::Json => super::print_json(&report)?,
                ReportFormat::Text => super::print(&said(&report))?,
            }
        }
        arguments::Catalog::Export { kind } => {
            let db = postgres::open(&setup::database(config, install)).await?;
            let snapshot = flow::load(&db.pool, &[]).await?;
            export(&snapshot, kind.as_deref())?;
        }
        arguments::Catalog::Problems { format } => {
            let db = postgres::open(&setup::database(config, install)).await?;
            let problems = flow::problems(&db.pool).await?;
            match format {
                ReportFormat::Json => super::print_json(&problems)?,
                ReportFormat::Text => {
                    let sum = counted(problems.len(), "problem");
                    super::print(&format!("{}{sum}\n", listed(&problems)))?;
                }
            }
        }
        arguments::Catalog::Alias { command } => return alias::run(config, install, command).await,
        arguments::Catalog::Unanswered { limit, format } => {
            let db = postgres::open(&setup::database(config, install)).await?;
            let asked = commands::flow::unanswered(&db.pool, limit.into()).await?;
            match format {
                ReportFormat::Json => super::print_json(&asked)?,
                ReportFormat::Text => super::print(&asked_in_vain(&asked))?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What was asked in vain, for a person.
fn asked_in_vain(asked: &[Asked]) -> String {
    let mut out = String::new();
    for Asked { question, refusal, times, last_at, .. } in asked {
        let times = counted(usize::try_from(*times).unwrap_or_default(), "time");
        let last = last_at.format("%Y-%m-%d");
        out.push_str(&format!("{question}: {times}, last on {last} ({refusal})\n"));
    }
    if !asked.is_empty() {
        out.push_str(
            "    `idp catalog alias add NAME REF` answers what is known by another name.\n",
        );
    }
    out.push_str(&counted(asked.len(), "question"));
    out.push('\n');
    super::visible(&out)
}

async fn import(
    config: &Config,
    install: bool,
    portal: Option<&Path>,
    paths: &[PathBuf],
    confirm_deletions: bool,
) -> anyhow::Result<ImportReport> {
    let dir = setup::portal_dir_if_any(config, portal)?;
    let settings = match &dir {
        Some(dir) => setup::settings(dir)?,
        None => Settings::default(),
    };
    // Without a portal sources are known by their whole path, wherever the import is started from.
    let base = dir.unwrap_or_else(|| PathBuf::from("/"));
    let sources = paths.iter().map(|path| path_source(path, &base, &settings.sources));
    let sources = sources.collect::<anyhow::Result<Vec<_>>>()?;
    let db = postgres::open(&setup::database(config, install)).await?;
    let http = setup::http_client(&settings);
    let mut options = setup::import_options(config, &settings, &base, http);
    options.confirm_deletions = confirm_deletions;
    let report = flow::import(&db.pool, &sources, &options).await?;
    db.close().await?;
    Ok(report)
}

/// The source that `path` names: the one of the settings when it is listed there, so that the same
/// files are not two sources that claim the same entities.
fn path_source(path: &Path, base: &Path, listed: &[Source]) -> anyhow::Result<Source> {
    let absolute = path
        .canonicalize()
        .with_context(|| format!("cannot read {}; check the path", path.display()))?;
    let same = |source: &&Source| match source {
        Source::Path { path, .. } => base.join(path).canonicalize().is_ok_and(|it| it == absolute),
        Source::Git { .. } | Source::Url { .. } => false,
    };
    if let Some(source) = listed.iter().find(same) {
        return Ok(source.clone());
    }
    let relative = absolute.strip_prefix(base).map(PathBuf::from).unwrap_or(absolute);
    Ok(Source::Path { path: relative, kinds: Vec::new() })
}

/// What an import did, for a person.
fn said(report: &ImportReport) -> String {
    let counts = &report.entities;
    let mut out = listed(&report.problems);
    for held in &report.held {
        out.push_str(&format!("held: {}\n", super::visible(held)));
    }
    if !report.held.is_empty() {
        out.push_str("    Add --confirm-deletions when they are meant to go.\n");
    }
    out.push_str(&format!(
        "{} files, {} documents, {} entities: {} created, {} updated, {} unchanged, {} removed; \
         {} relations; {}; {:.2} s\n",
        report.files,
        report.documents,
        counts.total,
        counts.created,
        counts.updated,
        counts.unchanged,
        counts.removed,
        report.relations,
        counted(report.problems.len(), "problem"),
        report.seconds,
    ));
    out
}

/// Every entity of `kind`, all without one, as one JSON object a line, in the order of their references.
fn export(snapshot: &Snapshot, kind: Option<&str>) -> anyhow::Result<()> {
    let wanted = |entity: &&Entity| kind.is_none_or(|kind| entity.kind.eq_ignore_ascii_case(kind));
    let mut out = String::new();
    for entity in snapshot.entities().filter(wanted) {
        out.push_str(&exported(snapshot, entity).to_string());
        out.push('\n');
        if out.len() >= PRINTED_BYTES {
            super::print(&std::mem::take(&mut out))?;
        }
    }
    super::print(&out)
}

/// How much is printed at once.
const PRINTED_BYTES: usize = 1 << 16;

fn exported(snapshot: &Snapshot, entity: &Entity) -> Value {
    let body = snapshot.body(entity);
    let relations: Vec<String> = snapshot
        .said_relations(entity)
        .iter()
        .map(|(kind, target)| format!("{} {target}", kind.word()))
        .collect();
    json!({
        "ref": entity.reference,
        "kind": entity.kind,
        "metadata": body["metadata"],
        "spec": body["spec"],
        "relations": relations,
        "source": { "file": entity.place.file, "document": entity.place.document },
    })
}
