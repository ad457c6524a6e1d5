//! The database: a private cluster that idp runs itself when none is given, connections, migrations.
//!
//! Postgres is the record of everything, and nobody should have to set one up to try idp. So
//! without `DATABASE_URL` idp finds Postgres's programs ([`binaries`]), lets the system's package
//! manager install them when told to ([`install`]), and runs a server of its own ([`cluster`]).
//! From there on both ways are one: two pools to a database whose schema `idp` is up to date.

pub mod account;
pub mod binaries;
pub mod cluster;
pub mod install;
pub mod store;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::process::Command;

use cluster::Cluster;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Connections for everything but acknowledgements.
const CONNECTIONS_MAX: u32 = 16;
/// Connections for acknowledgements, which chat platforms await for three seconds: what came in, what is answered, and
/// what others left, are each written by one.
const ACK_CONNECTIONS_MAX: u32 = 3;
/// How long a caller waits for a connection before it hears that there is none.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(3);
const ACK_CONNECTION_PATIENCE: Duration = Duration::from_millis(1500);
/// How long [`open_patiently`] waits between attempts, at first and at most.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How often [`Db::tend`] looks whether the private server still runs.
const TEND_EVERY: Duration = Duration::from_secs(1);

/// What every connection of ours asks of the server.
///
/// The server gives up on a statement, an idle transaction and a silent client, because a client
/// that was killed or cut off cannot.
const SESSION: [(&str, &str); 6] = [
    ("search_path", "idp,public"),
    ("statement_timeout", "60s"),
    ("idle_in_transaction_session_timeout", "60s"),
    ("tcp_keepalives_idle", "15"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// Which database to use.
#[derive(Debug, Clone)]
pub enum Database {
    /// `DATABASE_URL`.
    Url(SecretString),
    /// A cluster that idp runs itself.
    Private(Private),
}

/// A private cluster and how to run it.
#[derive(Debug, Clone)]
pub struct Private {
    /// Where its data, its log and its locks lie. Created when missing.
    pub dir: PathBuf,
    /// Where Postgres's programs lie (`IDP_PG_BIN`). `None`: wherever they are found.
    pub bin: Option<PathBuf>,
    /// Whether the system's package manager may install Postgres when it is missing.
    pub install: bool,
    /// Whether commits wait for the disk. Only tests do without.
    pub fsync: bool,
}

/// Connections to a database.
#[derive(Debug, Clone)]
pub struct Db {
    /// Everything but acknowledgements.
    pub pool: PgPool,
    /// Kept for acknowledgements.
    pub acks: PgPool,
    cluster: Option<Arc<Cluster>>,
}

/// Connects to `database`, starting or adopting the private cluster, and runs the migrations.
///
/// # Errors
/// When there is no server, when it does not answer, or when a migration fails. Nothing is left
/// half done: the next call continues.
pub async fn open(database: &Database) -> anyhow::Result<Db> {
    let db = match database {
        Database::Url(url) => connect(url.expose_secret())?,
        Database::Private(private) => {
            let cluster = Cluster::start(private).await?;
            store::create_database(cluster.options(), cluster::DATABASE).await?;
            let options = cluster.options().clone().database(cluster::DATABASE);
            pools(&options, Some(Arc::new(cluster)))
        }
    };
    store::migrate(&db.pool.connect_options()).await?;
    Ok(db)
}

/// Pools to the database at `url`, which need not answer yet. Nothing is migrated.
///
/// # Errors
/// When `url` is not an address of a Postgres database.
pub fn connect(url: &str) -> anyhow::Result<Db> {
    let options = PgConnectOptions::from_str(url).context("could not read DATABASE_URL")?;
    Ok(pools(&options, None))
}

/// Like [`open`], but tries until it succeeds, waiting a little longer after each failure.
///
/// For a server that answers from its copy on disk meanwhile.
pub async fn open_patiently(database: &Database) -> Db {
    let mut wait = RETRY_FIRST;
    loop {
        match open(database).await {
            Ok(db) => return db,
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    retry_in_ms = wait.as_millis(),
                    "no database yet"
                );
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}

fn pools(options: &PgConnectOptions, cluster: Option<Arc<Cluster>>) -> Db {
    let options = options.clone().application_name("idp").options(SESSION);
    let pool = |connections, patience| {
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(patience)
            .connect_lazy_with(options.clone())
    };
    Db {
        pool: pool(CONNECTIONS_MAX, CONNECTION_PATIENCE),
        acks: pool(ACK_CONNECTIONS_MAX, ACK_CONNECTION_PATIENCE),
        cluster,
    }
}

impl Db {
    /// Closes the connections, and stops the private server when no other process uses it.
    ///
    /// # Errors
    /// When the server does not stop.
    pub async fn close(self) -> anyhow::Result<()> {
        self.pool.close().await;
        self.acks.close().await;
        match self.cluster {
            Some(cluster) => cluster.leave().await,
            None => Ok(()),
        }
    }

    /// Starts the private server again whenever it dies, until dropped. Idle for a server of others.
    ///
    /// The pools find the new server by themselves: it listens in the same place.
    pub async fn tend(&self) {
        let Some(cluster) = &self.cluster else { return std::future::pending().await };
        loop {
            tokio::time::sleep(TEND_EVERY).await;
            match cluster.revive().await {
                Ok(false) => {}
                Ok(true) => {
                    tracing::warn!("the private Postgres server had died and was started again")
                }
                Err(error) => tracing::error!(
                    error = format!("{error:#}"),
                    "could not start the private Postgres server again"
                ),
            }
        }
    }
}

/// Stops the private server, whoever uses it. Whether one ran.
///
/// # Errors
/// When it does not stop, or when `database` is a server of others.
pub async fn stop(database: &Database) -> anyhow::Result<bool> {
    match database {
        Database::Private(private) => Cluster::stop(private).await,
        Database::Url(_) => {
            bail!("DATABASE_URL names a server that idp does not run: stop it where it runs")
        }
    }
}

/// Writes the whole database as SQL to `file`, or to standard output, with `pg_dump`.
///
/// `psql --file` reads it into an empty database. Nothing of other schemas is in it.
///
/// # Errors
/// When there is no `pg_dump`, or when it fails; its own words go to standard error.
pub async fn export(database: &Database, file: Option<&Path>) -> anyhow::Result<()> {
    let db = open(database).await?;
    let (program, mut url) = match database {
        Database::Private(private) => {
            (cluster::program(private, "pg_dump")?, cluster::url(private)?)
        }
        Database::Url(url) => (
            binaries::find(None, None)?.program("pg_dump"),
            Url::parse(url.expose_secret()).context("could not read DATABASE_URL")?,
        ),
    };
    let output = match file {
        Some(file) => {
            let created = File::create(file);
            Stdio::from(created.with_context(|| format!("could not write {}", file.display()))?)
        }
        None => Stdio::inherit(),
    };
    let mut pg_dump = Command::new(&program);
    // Other people can read a command line, so the password goes by the environment.
    if let Some(password) = url.password() {
        pg_dump.env("PGPASSWORD", percent_decode_str(password).decode_utf8_lossy().as_ref());
        url.set_password(None).ok().context("DATABASE_URL names no host")?;
    }
    let status = pg_dump
        .args(["--no-owner", "--no-privileges", "--schema=idp", "--dbname", url.as_str()])
        .stdout(output)
        .status()
        .await
        .with_context(|| format!("could not run {}", program.display()))?;
    db.close().await?;
    if !status.success() {
        bail!("pg_dump failed: {status}");
    }
    Ok(())
}

/// Whether the database is away, which is nobody's mistake here.
pub fn is_outage(error: &anyhow::Error) -> bool {
    use sqlx::Error::{Io, PoolClosed, PoolTimedOut, Protocol, Tls, WorkerCrashed};
    let database = error.chain().find_map(|cause| cause.downcast_ref::<sqlx::Error>());
    let is_cut_off = database.is_some_and(|it| {
        matches!(it, Io(_) | PoolTimedOut | PoolClosed | Tls(_) | Protocol(_) | WorkerCrashed)
    });
    // Class 57P: shutting down, crashed, starting up; class 08: connections; 53300: too many of them.
    is_cut_off
        || code(error)
            .is_some_and(|it| it.starts_with("57P") || it.starts_with("08") || it == "53300")
}

/// The error code of Postgres; `None` where the error is not its own.
pub fn code(error: &anyhow::Error) -> Option<String> {
    let database = error.chain().find_map(|cause| cause.downcast_ref::<sqlx::Error>());
    Some(database?.as_database_error()?.code()?.into_owned())
}
