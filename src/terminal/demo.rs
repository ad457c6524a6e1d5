//! `idp demo`: a sample company, a private database and a prompt. Nothing of it touches anything real.

use std::io::{BufRead, IsTerminal};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use include_dir::{Dir, include_dir};
use tokio::task::spawn_blocking;

use super::ask::typed;
use super::logs::{self, Logs};
use super::prompt::Reader;
use super::running::{Running, WithoutCatalog};
use super::{print, render, serve};
use crate::app::App;
use crate::config::Config;
use crate::conversation::Way;
use crate::web::playground::{self, Playground};

/// The sample company, for who has no checkout.
static ACME: Dir = include_dir!("$CARGO_MANIFEST_DIR/examples/acme");

/// Where it lies in a checkout: who stands there sees their own changes at once.
const IN_CHECKOUT: &str = "examples/acme";

/// Answers the lines of a prompt, or of standard input where nobody sits, until they end.
pub async fn run(config: &Config, install: bool) -> anyhow::Result<ExitCode> {
    let listener = serve::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let playground = Playground::new(listener.local_addr()?)?;
    let config = own_config(config, &playground)?;
    logs::start(Logs::File, &config)?;
    let dir = acme(&config.data_dir)?;
    let running = Running::open(&config, &dir, install, WithoutCatalog::Fail).await?;
    let playground = Arc::new(playground);
    running.stand_in(playground.operations(&config.data_dir)?);
    running.import_first().await?;
    running.report_recorded().await?;
    let is_prompt = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if is_prompt {
        running.link(&playground::links(&running.app)).await?;
        running.keep_current();
        print(&greeting(&config, &dir, &playground))?;
        serve::in_background(&running, listener, playground)?;
        answer_prompt(&running.app, &config.data_dir.join("history")).await?;
    } else {
        answer_lines(&running.app).await?;
    }
    running.close().await?;
    Ok(ExitCode::SUCCESS)
}

/// A directory and a database of the demo's own, and a page for Slack and Discord, whatever is set for the real ones.
fn own_config(config: &Config, playground: &Playground) -> anyhow::Result<Config> {
    let mut own = config.clone();
    own.data_dir = config.data_dir.join("demo");
    own.database_url = None;
    own.key = None;
    playground.stand_in(&mut own)?;
    Ok(own)
}

/// The sample company: of the checkout, or unpacked into `data_dir`.
fn acme(data_dir: &Path) -> anyhow::Result<PathBuf> {
    let in_checkout = Path::new(IN_CHECKOUT);
    if in_checkout.join("idp.yaml").is_file() {
        return in_checkout.canonicalize().context("could not find the sample company");
    }
    let dir = data_dir.join("acme");
    std::fs::create_dir_all(&dir)
        .and_then(|()| ACME.extract(&dir))
        .with_context(|| format!("could not unpack the sample company to {}", dir.display()))?;
    Ok(dir)
}

fn greeting(config: &Config, dir: &Path, playground: &Playground) -> String {
    format!(
        "This is Acme, a sample company ({}). Try:\n\n  \
           owner payment-api\n  \
           dependents payment-api\n  \
           who owns chekout?\n  \
           help\n\n\
         Tab completes, Ctrl-D leaves. Open this page to ask as in Slack and in Discord; its address is a key to it:\n  \
           {}\n\
         The log is {}.\n\n",
        dir.display(),
        playground.url(),
        config.data_dir.join("idp.log").display(),
    )
}

async fn answer_prompt(app: &Arc<App>, history: &Path) -> anyhow::Result<()> {
    let mut reader = Reader::new(app.clone(), history)?;
    loop {
        // Reading blocks until a person has typed.
        let read = spawn_blocking(move || (reader.read(), reader)).await?;
        let line;
        (line, reader) = read;
        match line?.as_deref().map(str::trim) {
            None | Some("exit" | "quit") => return Ok(()),
            Some("") => {}
            Some(line) => answer(app, line).await?,
        }
    }
}

async fn answer_lines(app: &App) -> anyhow::Result<()> {
    for line in std::io::stdin().lock().lines() {
        let line = line.context("could not read from standard input")?;
        if !line.trim().is_empty() {
            answer(app, line.trim()).await?;
        }
    }
    Ok(())
}

/// A refusal is an answer too: the conversation goes on.
async fn answer(app: &App, line: &str) -> anyhow::Result<()> {
    let reply = app.answer(Way::Command, typed(line, None)).await;
    print(&format!("{}\n", render::for_standard_output(&reply)))
}
