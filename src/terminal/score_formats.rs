//! `idp score import` and `idp score export`: scorecards of other products, in and out.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::arguments::{ReportFormat, ScorecardFormat};
use super::check::{counted, listed};
use crate::config::Config;
use crate::scorecards::formats::{self, Format, Imported, Note};
use crate::scorecards::{Scorecard, file};

use super::setup;

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Writes each scorecard of `file` into the directory `out`, or prints them where there is none.
pub fn import(
    from: ScorecardFormat,
    file: &Path,
    out: Option<&Path>,
    format: ReportFormat,
) -> anyhow::Result<ExitCode> {
    let text = read(file)?;
    let name = file.display().to_string();
    let imported = match formats::import(from.into(), &text, &name) {
        Ok(imported) => imported,
        Err(problems) => bail!("{name} is no scorecard file\n{}", listed(&problems).trim_end()),
    };
    if let Some(dir) = out {
        for it in &imported {
            if let Some(text) = &it.text {
                write(dir, &it.name, text)?;
            }
        }
    }
    match (format, out) {
        (ReportFormat::Json, _) => super::print_json(&imported)?,
        (ReportFormat::Text, Some(_)) => super::print(&said(&imported, &name))?,
        (ReportFormat::Text, None) => {
            for it in &imported {
                super::print(&it.text.clone().unwrap_or_default())?;
            }
            // Beside the file, not in it.
            super::say(&said(&imported, &name));
        }
    }
    let is_whole = imported.iter().all(|it| it.text.is_some());
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The text of a scorecard file.
///
/// # Errors
/// What cannot be read, or is larger than any scorecard.
pub fn read(file: &Path) -> anyhow::Result<String> {
    let size = std::fs::metadata(file).map(|it| it.len());
    let size = size.with_context(|| format!("cannot read {}; check the path", file.display()))?;
    if size > FILE_BYTES_MAX {
        bail!("{} has more than {FILE_BYTES_MAX} bytes", file.display());
    }
    std::fs::read_to_string(file)
        .with_context(|| format!("cannot read {}; it must be UTF-8 text", file.display()))
}

/// A file that is there stays: somebody may have changed it.
pub fn write(dir: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path: PathBuf = dir.join(format!("{name}.yaml"));
    std::fs::create_dir_all(dir)
        .and_then(|()| {
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).open(&path)?;
            std::io::Write::write_all(&mut file, text.as_bytes())
        })
        .with_context(|| format!("could not write {}; a file that is there stays", path.display()))
}

fn said(imported: &[Imported], file: &str) -> String {
    let mut out = String::new();
    for it in imported {
        out.push_str(&notes(&it.notes, file));
        if !it.facts.is_empty() {
            let facts: Vec<String> =
                it.facts.iter().map(|(key, kind)| format!("{key} ({kind})")).collect();
            out.push_str(&format!(
                "{}: it reads facts that a source in idp.yaml must report: {}\n",
                it.name,
                facts.join(", ")
            ));
        }
        out.push_str(&format!(
            "{}: {} of {} translated\n",
            it.name,
            it.translated,
            counted(it.all, "rule")
        ));
    }
    super::visible(&out)
}

fn notes(notes: &[Note], file: &str) -> String {
    let line = |it: &Note| format!("{file}:{}: {}: {}\n", it.line, it.about, it.message);
    notes.iter().map(line).collect()
}

/// Prints the scorecard `named`, a file or the name of one of the portal's, as the other product takes it.
pub fn export(
    config: &Config,
    to: ScorecardFormat,
    portal: Option<&Path>,
    named: &str,
) -> anyhow::Result<ExitCode> {
    let scorecard = find(config, portal, named)?;
    let exported = formats::export(to.into(), &scorecard);
    super::print(&exported.text)?;
    super::say(&super::visible(&notes(&exported.notes, named)));
    Ok(ExitCode::SUCCESS)
}

fn find(config: &Config, portal: Option<&Path>, named: &str) -> anyhow::Result<Scorecard> {
    let (set, keys) = setup::scorecards(config, portal)?;
    let path = Path::new(named);
    if path.is_file() {
        let text = read(path)?;
        return file::read(&text, named, &keys).or_else(|problems| {
            bail!("{named} is no scorecard file\n{}", listed(&problems).trim_end())
        });
    }
    set.find(named).cloned().with_context(|| {
        let names: Vec<String> = set.iter().map(|it| format!("`{}`", it.name)).collect();
        format!("there is no scorecard `{named}`; there are {}", names.join(", "))
    })
}

impl From<ScorecardFormat> for Format {
    fn from(format: ScorecardFormat) -> Format {
        match format {
            ScorecardFormat::Port => Format::Port,
            ScorecardFormat::Cortex => Format::Cortex,
        }
    }
}
