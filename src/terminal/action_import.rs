//! `idp action import`: actions of other products.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::arguments::{ActionFormat, ReportFormat};
use super::check::listed;
use super::score_formats::{read, write};
use crate::actions::port::{self, Imported};
use crate::catalog::EntityRef;

/// Writes each action of `file` into the directory `out`, or prints them where there is none.
pub fn run(
    ActionFormat::Port: ActionFormat,
    file: &Path,
    approvers: &[String],
    out: Option<&Path>,
    format: ReportFormat,
) -> anyhow::Result<ExitCode> {
    let text = read(file)?;
    let name = file.display().to_string();
    let approvers: anyhow::Result<Vec<EntityRef>> =
        approvers.iter().map(|it| approver(it)).collect();
    let imported = match port::import(&text, &name, &approvers?) {
        Ok(imported) => imported,
        Err(problems) => bail!("{name} has no actions\n{}", listed(&problems).trim_end()),
    };
    for (dir, it) in out.iter().flat_map(|dir| imported.iter().map(move |it| (dir, it))) {
        if let Some(text) = &it.text {
            write(dir, &it.name, text)?;
        }
    }
    match (format, out) {
        (ReportFormat::Json, _) => super::print_json(&imported)?,
        (ReportFormat::Text, Some(_)) => super::print(&said(&imported, &name))?,
        (ReportFormat::Text, None) => {
            for it in &imported {
                super::print(&it.text.clone().unwrap_or_default())?;
            }
            // Beside the files, not in them.
            super::say(&said(&imported, &name));
        }
    }
    let is_whole = imported.iter().all(|it| it.text.is_some());
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn approver(typed: &str) -> anyhow::Result<EntityRef> {
    let found = EntityRef::parse(typed, Some("group"), "default");
    let found = found.ok().filter(|it| matches!(it.kind(), "group" | "user"));
    found.with_context(|| {
        format!("`{typed}` is neither a Group nor a User; write `group:platform`, or `user:ada`")
    })
}

fn said(imported: &[Imported], file: &str) -> String {
    let mut out = String::new();
    for it in imported {
        for note in &it.notes {
            let why = if note.why.is_empty() { String::new() } else { format!(": {}", note.why) };
            let fate = note.fate.word();
            out.push_str(&format!("{file}:{}: {}: {fate}{why}\n", note.line, note.key));
        }
        match &it.why {
            Some(why) => out.push_str(&format!("{}: not written: {why}\n", it.name)),
            None => out.push_str(&format!("{}: written; read it before you keep it\n", it.name)),
        }
    }
    super::visible(&out)
}
