//! The command line and the prompt.
//!
//! What a program may read goes to standard output, alone; everything said about it goes to
//! standard error. Exit codes: 0 an answer, 1 a refusal or a failure, 2 a call that makes no sense.

pub mod access;
pub mod action_import;
pub mod alias;
pub mod arguments;
pub mod ask;
pub mod audit;
pub mod catalog;
pub mod check;
pub mod database;
pub mod demo;
pub mod discord;
pub mod doctor;
pub mod facts;
pub mod key;
pub mod logs;
pub mod prompt;
pub mod render;
pub mod running;
pub mod score_explain;
pub mod score_formats;
pub mod score_preview;
pub mod serve;
pub mod setup;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::config::Config;
use arguments::{Arguments, Command};
use logs::Logs;
use setup::Usage;

/// Does what `arguments` ask for; the exit code says how it ended.
pub async fn run(arguments: Arguments) -> ExitCode {
    match dispatch(arguments).await {
        Ok(code) => code,
        // Who closed the pipe has read enough: `idp catalog export | head`.
        Err(error) if error.is::<ReaderGone>() => ExitCode::SUCCESS,
        Err(error) => {
            say_error(&error);
            match error.is::<Usage>() {
                true => ExitCode::from(2),
                false => ExitCode::FAILURE,
            }
        }
    }
}

async fn dispatch(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let config = Config::from_env()?;
    let install = arguments.install_postgres;
    match &arguments.command {
        // It starts its own, where it does not disturb the prompt.
        Command::Demo => {}
        Command::Serve(_) => logs::start(Logs::Server, &config)?,
        _ => logs::start(Logs::Command, &config)?,
    }
    match arguments.command {
        Command::Catalog { command } => catalog::run(&config, install, command).await,
        Command::Check(check) => check::run(check),
        Command::Doctor(doctor) => doctor::run(&config, install, doctor).await,
        Command::Migrate => database::migrate(&config, install).await,
        Command::Demo => demo::run(&config, install).await,
        Command::Ask(ask) => ask::run(&config, install, ask).await,
        Command::Serve(serve) => serve::run(&config, install, serve).await,
        Command::Discord { command } => discord::run(&config, command).await,
        Command::Facts { command } => facts::run(&config, install, command).await,
        Command::Score { command } => score(&config, install, command).await,
        Command::Action { command } => {
            let arguments::Action::Import { from, file, approver, out, format } = command;
            action_import::run(from, &file, &approver, out.as_deref(), format)
        }
        Command::Access { command } => access::run(&config, install, command).await,
        Command::Audit { command } => audit::run(&config, install, command).await,
        Command::Key { command } => key::run(&config, install, command).await,
        Command::Db { command } => database::run(&config, command).await,
    }
}

async fn score(
    config: &Config,
    install: bool,
    command: arguments::Score,
) -> anyhow::Result<ExitCode> {
    match command {
        arguments::Score::Import { from, file, out, format } => {
            score_formats::import(from, &file, out.as_deref(), format)
        }
        arguments::Score::Export { to, portal, scorecard } => {
            score_formats::export(config, to, portal.as_deref(), &scorecard)
        }
        arguments::Score::Preview { portal, file, format } => {
            score_preview::run(config, install, portal.as_deref(), &file, format).await
        }
        arguments::Score::Explain { portal, entity, rule, format } => {
            let asked = (entity.as_str(), rule.as_str());
            score_explain::run(config, install, portal.as_deref(), asked, format).await
        }
    }
}

/// Says `text` about what is on standard output.
fn say(text: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// One message on standard error: what was tried, why it failed, the next step.
fn say_error(error: &anyhow::Error) {
    let message = visible(&format!("{error:#}"));
    // Nobody is left to tell when standard error is closed too.
    let _ = writeln!(io::stderr(), "idp: {message}");
}

/// Whoever read our standard output closed it. No other broken pipe is one: that of a database that died
/// in the middle of an import must not end in success.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads standard output any more")]
struct ReaderGone;

/// Prints `text` and nothing else on standard output.
///
/// # Errors
/// A closed pipe, a full disk.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    printed.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => ReaderGone.into(),
        _ => anyhow::Error::new(error).context("could not print"),
    })
}

/// `value` as JSON, indented, alone on standard output.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// `text` with everything that a terminal would obey, or a reader could not see, made visible.
///
/// Line breaks stay; they are ours.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => out.push('\n'),
            '\t' => out.push(' '),
            it if crate::conversation::is_hidden(it) => {
                out.push_str(&format!("⟨U+{:04X}⟩", it as u32));
            }
            it => out.push(it),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        assert_eq!(
            visible("a\u{1b}[2Jb\r\u{7}\n\u{202e}c"),
            "a⟨U+001B⟩[2Jb⟨U+000D⟩⟨U+0007⟩\n⟨U+202E⟩c"
        );
    }
}
