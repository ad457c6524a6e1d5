//! Where the log goes, and how it looks.

use std::fs::File;
use std::io::IsTerminal;
use std::sync::Mutex;

use anyhow::Context;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::config::{Config, LogFormat};

/// How much a sub-command logs unless `IDP_LOG` says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logs {
    /// A server: everything worth reading later, on standard error.
    Server,
    /// One command at a prompt: only what is wrong, on standard error.
    Command,
    /// A prompt that nothing may write into: a file in the data directory.
    File,
}

/// What is logged of the templates, whatever `IDP_LOG` says: they log each value that they are given, codes and secrets too.
const TELLS_ALL: [&str; 2] = ["handlebars=warn", "handlebars::render=warn"];

/// Starts the log of this process: lines of JSON where no person looks.
///
/// # Errors
/// A log file that cannot be made.
pub fn start(logs: Logs, config: &Config) -> anyhow::Result<()> {
    let default = match logs {
        // The database's notices say that what should be there is there.
        Logs::Server | Logs::File => "info,sqlx=warn",
        // A vacuum after a large import is slow, and not wrong.
        Logs::Command => "warn,sqlx=error",
    };
    let filter = config.log.filter.as_deref().unwrap_or(default);
    let (writer, person) = match logs {
        Logs::File => (BoxMakeWriter::new(Mutex::new(log_file(config)?)), false),
        Logs::Server | Logs::Command => {
            (BoxMakeWriter::new(std::io::stderr), std::io::stderr().is_terminal())
        }
    };
    let by_default =
        if person || logs == Logs::Command { LogFormat::Text } else { LogFormat::Json };
    let mut filter = EnvFilter::try_new(filter).context("`IDP_LOG` is not a filter")?;
    for quiet in TELLS_ALL {
        filter = filter.add_directive(quiet.parse().context("a directive is none")?);
    }
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(person && !crate::config::no_color())
        .with_writer(writer);
    match config.log.format.unwrap_or(by_default) {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}

fn log_file(config: &Config) -> anyhow::Result<File> {
    let path = config.data_dir.join("idp.log");
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("could not make the directory {}", config.data_dir.display()))?;
    let file = File::options().create(true).append(true).open(&path);
    file.with_context(|| format!("could not open the log {}", path.display()))
}
