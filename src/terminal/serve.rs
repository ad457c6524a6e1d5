//! `idp serve`: answers until told to stop.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::arguments::Serve;
use super::running::{Running, WithoutCatalog};
use super::setup;
use crate::chat::discord::signature::PublicKey;
use crate::chat::slack::signature::SigningSecret;
use crate::config::Config;
use crate::fail_point;
use crate::web::playground::Playground;
use crate::web::{self, server};

/// Answers until SIGTERM or SIGINT, then finishes what it has begun.
pub async fn run(config: &Config, install: bool, serve: Serve) -> anyhow::Result<ExitCode> {
    let dir = setup::portal_dir(config, serve.portal.as_deref())?;
    if let Some(chosen) = &config.fail_point {
        fail_point::choose(chosen)?;
    }
    if let Some(secret) = &config.slack.signing_secret {
        SigningSecret::new(secret)?;
    }
    if let Some(key) = &config.discord.public_key {
        PublicKey::new(key)?;
    }
    // First, so that a port that is taken is told before a database is started.
    let listener = listen(serve.listen.unwrap_or(config.listen)).await?;
    let address = listener.local_addr()?;
    let stop = stop_signal()?;
    let running = Running::open(config, &dir, install, WithoutCatalog::Wait).await?;
    running.keep_current();
    running.answerable().await;
    tracing::info!(%address, portal = %dir.display(), "listening");
    server::serve(listener, web::router(running.web()?), stop).await;
    running.close().await?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Answers on `listener` in the background until `running` is closed, with the page of `playground`.
///
/// # Errors
/// As [`Running::web`].
pub fn in_background(
    running: &Running,
    listener: TcpListener,
    playground: Arc<Playground>,
) -> anyhow::Result<()> {
    let adapters = web::router(running.web()?);
    let stop = running.stop.clone();
    let page = playground.router(running.app.clone(), adapters.clone(), stop.clone());
    running.tasks.spawn(server::serve(listener, adapters.merge(page), stop));
    Ok(())
}

pub(super) async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("could not listen on {address}; choose another with --listen"))
}

/// Cancelled as soon as the process is told to stop.
fn stop_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (told, mut term, mut interrupt) =
        (stop.clone(), signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: no new connections, finishing what has begun");
        told.cancel();
    });
    Ok(stop)
}
