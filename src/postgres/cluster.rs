//! A Postgres server of our own: starting it, finding it already running, stopping it.
//!
//! ```text
//! DIR/starting.lock   held while a process starts or stops the server: one at a time
//! DIR/users.lock      shared by every idp process that uses the server
//! DIR/server.lock     held by the server's own processes, as their standard input
//! DIR/data/           Postgres's data directory
//! DIR/run/            its socket, open to nobody else; no TCP
//! DIR/server.log
//! ```
//!
//! **The server is alive exactly as long as `server.lock` is held.** Every process of the server
//! inherits it, so it is free once the last of them is gone, and the kernel frees it however they
//! died. That answers what Postgres's own pid file cannot: its number may belong to a zombie, or
//! to another program by now. `initdb` holds it as well, so one that outlived its parent is waited
//! for. When it is free, whatever number the pid file names is wrong, and is replaced by one that
//! no process can have. The file itself stays: it also names the shared memory by which Postgres
//! refuses to run twice on one directory, if somebody starts a server there by hand.
//!
//! **The last one out stops the server.** A process that closes its database stops the server
//! unless another holds `users.lock`. One that is killed leaves it running; the next adopts it.
//!
//! As root, DIR and the locks are root's, and only `data` and `run` belong to the account that the
//! server runs as.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};
use tokio::task::spawn_blocking;
use url::Url;

use super::account::Account;
use super::binaries::{self, Binaries, Missing};
use super::{Private, install};

/// The database of ours, and the role it belongs to.
pub const DATABASE: &str = "idp";
const ROLE: &str = "idp";

/// Only names the socket: there is no TCP.
const PORT: u16 = 5432;
const SOCKET: &str = ".s.PGSQL.5432";

/// The longest path that every system takes for a socket: macOS gives it 104 bytes with the final zero, Linux 108.
const SOCKET_PATH_BYTES_MAX: usize = 103;

/// How long a start may take: after a crash Postgres first replays what it had logged.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// How long a stop may take: Postgres writes everything out first.
const STOP_PATIENCE: Duration = Duration::from_secs(60);
/// How often the state is looked at while waiting for it.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Postgres's code for a server that starts or stops.
const CANNOT_CONNECT_NOW: &str = "57P03";

/// A log longer than this is begun anew at the next start.
const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// How much of the log an error shows.
const LOG_LINES_SHOWN: usize = 8;

/// A number that no process has: Linux counts to 2²², macOS to 99,999.
const NO_PROCESS: i32 = i32::MAX;

/// A running private server, and our part in keeping it running.
#[derive(Debug)]
pub struct Cluster {
    private: Private,
    place: Place,
    options: PgConnectOptions,
    /// Locked, shared, as long as we use the server.
    users: File,
}

/// Where everything of a cluster lies.
#[derive(Debug, Clone)]
struct Place {
    dir: PathBuf,
    data: PathBuf,
    run: PathBuf,
}

impl Cluster {
    /// A cluster that answers: adopted if its server runs, else started, after it was made if need be.
    ///
    /// # Errors
    /// When there are no programs of Postgres (the text names the command that installs them), when
    /// the data was made by another major version, or when the server does not come up; the end of
    /// its log is part of the text.
    pub async fn start(private: &Private) -> anyhow::Result<Cluster> {
        let place = Place::prepare(&private.dir)?;
        let users = place.open("users.lock")?;
        let options = place.options();
        let cluster = Cluster { private: private.clone(), place, options, users };
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            cluster.take_up().await?;
            match cluster.options.connect().await {
                Ok(connection) => {
                    connection.close().await.context("could not close a connection")?;
                    return Ok(cluster);
                }
                // It died or was stopped this very moment, after it had been seen alive.
                Err(error) if is_going(&error) && Instant::now() < deadline => {}
                Err(error) => {
                    return Err(error).context("could not connect to the private Postgres server");
                }
            }
        }
    }

    /// Has the server run, and counts us among its users.
    async fn take_up(&self) -> anyhow::Result<()> {
        let (place, private) = (self.place.clone(), self.private.clone());
        let users = self.users.try_clone().context("could not keep users.lock")?;
        blocking(move || {
            let starting = place.lock_starting()?;
            users.lock_shared().context("could not lock users.lock")?;
            bring_up(&place, &private)?;
            starting.unlock().context("could not release starting.lock")
        })
        .await
    }

    /// How to connect to the server. Names no database.
    #[must_use]
    pub fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Starts the server again if it died. Whether it had to.
    ///
    /// A server that was stopped in good order is left stopped: somebody wanted it so.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn revive(&self) -> anyhow::Result<bool> {
        let (place, private) = (self.place.clone(), self.private.clone());
        blocking(move || {
            if place.is_listening() || !place.pid_file().exists() {
                return Ok(false);
            }
            let starting = place.lock_starting()?;
            let started = bring_up(&place, &private)?;
            starting.unlock().context("could not release starting.lock")?;
            Ok(started)
        })
        .await
    }

    /// Gives the server up, and stops it unless another process uses it.
    ///
    /// # Errors
    /// When the server does not stop in time.
    pub async fn leave(&self) -> anyhow::Result<()> {
        let place = self.place.clone();
        let users = self.users.try_clone().context("could not keep users.lock")?;
        blocking(move || {
            let starting = place.lock_starting()?;
            users.unlock().context("could not release users.lock")?;
            match users.try_lock() {
                Ok(()) => {
                    bring_down(&place)?;
                    users.unlock().context("could not release users.lock")?;
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => {
                    return Err(error).context("could not lock users.lock");
                }
            }
            starting.unlock().context("could not release starting.lock")
        })
        .await
    }

    /// Stops the server of this cluster, whoever uses it. Whether one ran.
    ///
    /// # Errors
    /// When the server does not stop in time.
    pub async fn stop(private: &Private) -> anyhow::Result<bool> {
        let dir = private.dir.clone();
        blocking(move || {
            if !dir.exists() {
                return Ok(false);
            }
            let place = Place::prepare(&dir)?;
            let starting = place.lock_starting()?;
            let ran = bring_down(&place)?;
            starting.unlock().context("could not release starting.lock")?;
            Ok(ran)
        })
        .await
    }
}

/// Whether a server that is dying, stopping or starting answered so, or did not get to answer.
fn is_going(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(error, sqlx::Error::Io(_)) || code.as_deref() == Some(CANNOT_CONNECT_NOW)
}

/// The address of our database in a private cluster, as other programs take it.
///
/// # Errors
/// When the cluster's directory cannot be had.
pub fn url(private: &Private) -> anyhow::Result<Url> {
    let place = Place::prepare(&private.dir)?;
    let run = utf8_percent_encode(&place.run.to_string_lossy(), NON_ALPHANUMERIC).to_string();
    Url::parse(&format!("postgres://{ROLE}@{run}:{PORT}/{DATABASE}"))
        .context("could not write the address")
}

/// Waiting for locks and processes blocks, which the threads of the runtime must not.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    spawn_blocking(work)
        .await
        .context("the thread that looks after the private Postgres server panicked")?
}

impl Place {
    /// The places in `dir`, which exists afterwards and is ours.
    fn prepare(dir: &Path) -> anyhow::Result<Place> {
        let failed = || format!("could not create the database's directory {}", dir.display());
        DirBuilder::new().recursive(true).mode(0o755).create(dir).with_context(failed)?;
        let dir = fs::canonicalize(dir).with_context(failed)?;
        let owner = fs::metadata(&dir).with_context(failed)?.uid();
        if owner != Uid::effective().as_raw() {
            bail!(
                "{} belongs to another user (id {owner}): set IDP_DATA_DIR to a directory of your own",
                dir.display()
            );
        }
        let run = socket_dir(&dir, Uid::effective().as_raw());
        Ok(Place { data: dir.join("data"), run, dir })
    }

    fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.run)
            .port(PORT)
            .username(ROLE)
            .database("postgres")
            .ssl_mode(PgSslMode::Disable)
    }

    fn open(&self, name: &str) -> anyhow::Result<File> {
        let path = self.dir.join(name);
        OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("could not open {}", path.display()))
    }

    /// Waits until no other process starts or stops the server, and keeps it so.
    fn lock_starting(&self) -> anyhow::Result<File> {
        let file = self.open("starting.lock")?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            tracing::info!(
                "another idp starts or stops the private Postgres server: waiting for it"
            );
            file.lock().context("could not lock starting.lock")?;
        }
        Ok(file)
    }

    fn is_listening(&self) -> bool {
        UnixStream::connect(self.run.join(SOCKET)).is_ok()
    }

    fn pid_file(&self) -> PathBuf {
        self.data.join("postmaster.pid")
    }

    /// The server's first process and whether it takes questions yet, as it says itself.
    /// Only to be believed while the server is alive.
    fn server(&self) -> Option<(Pid, bool)> {
        let said = fs::read_to_string(self.pid_file()).ok()?;
        let mut lines = said.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        // Line 8 is the state: `starting`, `stopping`, `ready`, `standby`.
        let ready = lines.nth(6).is_some_and(|state| state.trim() == "ready");
        Some((Pid::from_raw(pid), ready))
    }

    fn is_ready(&self) -> bool {
        self.server().is_some_and(|(_, ready)| ready) && self.is_listening()
    }

    /// The last lines of the log, for an error.
    fn log_end(&self) -> String {
        let path = self.dir.join("server.log");
        let Ok(log) = fs::read_to_string(&path) else {
            return format!("{} cannot be read", path.display());
        };
        let lines: Vec<&str> = log.lines().collect();
        let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
        format!("the end of {}:\n{}", path.display(), shown.join("\n"))
    }
}

/// Where the socket of the cluster in `dir` lies: beside the data, or where that path is too
/// long for a socket, in a directory named for it that only `uid`'s server can enter.
fn socket_dir(dir: &Path, uid: u32) -> PathBuf {
    let beside = dir.join("run");
    if beside.join(SOCKET).as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return beside;
    }
    let name = hex::encode(Sha256::digest(dir.as_os_str().as_encoded_bytes()));
    PathBuf::from(format!("/tmp/idp-{uid}-{}", &name[..16]))
}

/// Has the server answer. Whether it had to be started. `starting.lock` is held.
fn bring_up(place: &Place, private: &Private) -> anyhow::Result<bool> {
    let server = place.open("server.lock")?;
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        match server.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                return Err(error).context("could not lock server.lock");
            }
        }
        if place.is_ready() {
            return Ok(false);
        }
        if Instant::now() > deadline {
            bail!(
                "the private Postgres server runs but does not answer: `idp db stop` stops it; {}",
                place.log_end()
            );
        }
        thread::sleep(LOOK_EVERY);
    }
    let binaries = programs(place, private)?;
    let account = Account::for_data(&place.data)?;
    if let Some(folder) = account.shut_out_of(&place.data) {
        bail!(
            "the unprivileged user that Postgres must run as may not enter {0}: let it with `chmod o+x {0}`, or set IDP_DATA_DIR to another directory",
            folder.display()
        );
    }
    if !place.data.exists() {
        make_data(place, account, &binaries, private.fsync, &server)?;
    }
    run(place, account, &binaries, private.fsync, server)?;
    Ok(true)
}

/// The program `name` of the Postgres that the private cluster was made by.
///
/// # Errors
/// When it is not there.
pub fn program(private: &Private, name: &str) -> anyhow::Result<PathBuf> {
    let place = Place::prepare(&private.dir)?;
    Ok(programs(&place, private)?.program(name))
}

/// The programs that can run this cluster, installed if they are missing and may be.
fn programs(place: &Place, private: &Private) -> anyhow::Result<Binaries> {
    let made_by = binaries::made_by(&place.data)?;
    let found = match binaries::find(private.bin.as_deref(), made_by) {
        Err(error) if private.install && error.is::<Missing>() => {
            install::run()?;
            binaries::find(None, made_by)?
        }
        found => found?,
    };
    if let Some(made_by) = made_by
        && made_by != found.major
    {
        bail!(
            "the database in {} was made by Postgres {made_by}, and only Postgres {} was found (in {}): set IDP_PG_BIN to the programs of Postgres {made_by}, \
             or move {} away to begin with an empty database",
            place.data.display(),
            found.major,
            found.dir.display(),
            place.data.display(),
        );
    }
    Ok(found)
}

/// Makes the data directory: whole or not at all.
fn make_data(
    place: &Place,
    account: Account,
    binaries: &Binaries,
    fsync: bool,
    server: &File,
) -> anyhow::Result<()> {
    let unfinished = place.dir.join("data.unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)
            .with_context(|| format!("could not remove {}", unfinished.display()))?;
    }
    private_dir(&unfinished, account)?;
    let mut initdb = Command::new(binaries.program("initdb"));
    initdb
        .arg("--pgdata")
        .arg(&unfinished)
        .args(["--username", ROLE, "--encoding=UTF8", "--locale=C"])
        // The socket's directory is closed to everybody else.
        .args(["--auth-local=trust", "--auth-host=reject"])
        .args((!fsync).then_some("--no-sync"))
        .stdin(server.try_clone().context("could not share server.lock")?);
    let output = account
        .applied_to(&mut initdb)
        .env_clear()
        .current_dir(&unfinished)
        .process_group(0)
        .output()
        .with_context(|| format!("could not run {}", binaries.program("initdb").display()))?;
    if !output.status.success() {
        bail!(
            "initdb failed: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    fs::rename(&unfinished, &place.data)
        .context("could not put the new data directory in its place")?;
    if fsync {
        File::open(&place.dir)
            .and_then(|dir| dir.sync_all())
            .with_context(|| format!("could not write {} to disk", place.dir.display()))?;
    }
    Ok(())
}

/// Runs the server until it answers. `server` is locked, and inherited by it.
fn run(
    place: &Place,
    account: Account,
    binaries: &Binaries,
    fsync: bool,
    server: File,
) -> anyhow::Result<()> {
    private_dir(&place.run, account)?;
    forget_dead_server(place)?;
    let log = place.open("server.log")?;
    if log.metadata().is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
        log.set_len(0).context("could not begin server.log anew")?;
    }
    let mut postgres = Command::new(binaries.program("postgres"));
    postgres.arg("-D").arg(&place.data);
    for (name, value) in settings(&place.run, fsync) {
        postgres.args(["-c", &format!("{name}={value}")]);
    }
    let mut child = account
        .applied_to(&mut postgres)
        // Ours may hold tokens of chat platforms, and the account can read its processes' own.
        .env_clear()
        .current_dir(&place.data)
        // Ctrl-C is for us. The server stops when we have closed our connections.
        .process_group(0)
        .stdin(server)
        .stdout(log.try_clone().context("could not share server.log")?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("could not run {}", binaries.program("postgres").display()))?;
    // The command keeps a copy of the lock.
    drop(postgres);
    let (tell, exited) = mpsc::channel::<std::io::Result<ExitStatus>>();
    // Somebody must ask how it ended, or a server that dies stays as a zombie as long as we live.
    // Nobody listens any more once it answered.
    thread::spawn(move || tell.send(child.wait()));
    let deadline = Instant::now() + START_PATIENCE;
    while !place.is_ready() {
        match exited.recv_timeout(LOOK_EVERY) {
            Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
            Err(_) => bail!(
                "the private Postgres server did not come up in {} s; {}",
                START_PATIENCE.as_secs(),
                place.log_end()
            ),
            Ok(Ok(status)) => {
                bail!("the private Postgres server did not start ({status}); {}", place.log_end())
            }
            Ok(Err(error)) => {
                return Err(error).context("could not wait for the private Postgres server");
            }
        }
    }
    Ok(())
}

/// What the server is told at its start: reachable only for us, and small.
fn settings(run: &Path, fsync: bool) -> Vec<(&'static str, String)> {
    let on_off = |on: bool| if on { "on" } else { "off" }.to_string();
    let mut settings = vec![
        ("listen_addresses", String::new()),
        ("port", PORT.to_string()),
        ("unix_socket_directories", run.display().to_string()),
        ("unix_socket_permissions", "0700".to_string()),
        ("max_connections", "200".to_string()),
        ("shared_buffers", "32MB".to_string()),
        ("max_wal_size", "512MB".to_string()),
        ("jit", "off".to_string()),
        ("fsync", on_off(fsync)),
        ("synchronous_commit", on_off(fsync)),
        ("full_page_writes", on_off(fsync)),
        ("timezone", "UTC".to_string()),
        ("log_timezone", "UTC".to_string()),
        // A statement may hold what people wrote.
        ("log_min_error_statement", "panic".to_string()),
    ];
    if cfg!(target_os = "linux") {
        // After a crash: one call for the whole file system, instead of one for each of a thousand files (5 s).
        settings.push(("recovery_init_sync_method", "syncfs".to_string()));
    }
    settings
}

/// A directory that belongs to `account` and is closed to others.
fn private_dir(path: &Path, account: Account) -> anyhow::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return account.own(path),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            return Err(error).with_context(|| format!("could not create {}", path.display()));
        }
    }
    // In /tmp anybody could have put something there before.
    let there = fs::symlink_metadata(path)
        .with_context(|| format!("could not look at {}", path.display()))?;
    if !there.is_dir() || there.uid() != account.uid() || there.permissions().mode() & 0o077 != 0 {
        bail!(
            "{} exists and is not the closed directory of user {}: remove it",
            path.display(),
            account.uid()
        );
    }
    Ok(())
}

/// Removes what a server that is no more says about itself. `server.lock` is ours, so nothing of it lives.
fn forget_dead_server(place: &Place) -> anyhow::Result<()> {
    for name in [SOCKET.to_string(), format!("{SOCKET}.lock")] {
        remove(&place.run.join(name))?;
    }
    let path = place.pid_file();
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        // The server's account owns this directory, and we may be root.
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(&path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(error).with_context(|| format!("could not open {}", path.display()));
        }
    };
    let failed = || format!("could not correct {}", path.display());
    let mut said = String::new();
    file.read_to_string(&mut said).with_context(failed)?;
    let Some((_, rest)) = said.split_once('\n') else {
        // Cut off while it was written: there is no shared memory to know of yet.
        return remove(&path);
    };
    file.rewind().with_context(failed)?;
    file.set_len(0).with_context(failed)?;
    write!(file, "{NO_PROCESS}\n{rest}").with_context(failed)
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Stops the server and waits until nothing of it lives. Whether it ran. `starting.lock` is held.
fn bring_down(place: &Place) -> anyhow::Result<bool> {
    let server = place.open("server.lock")?;
    let deadline = Instant::now() + STOP_PATIENCE;
    let mut told = false;
    let mut ran = false;
    loop {
        match server.try_lock() {
            Ok(()) => {
                server.unlock().context("could not release server.lock")?;
                return Ok(ran);
            }
            Err(TryLockError::WouldBlock) => ran = true,
            Err(TryLockError::Error(error)) => {
                return Err(error).context("could not lock server.lock");
            }
        }
        // Who listens is alive, so the number in its file is its own.
        if !told
            && place.is_listening()
            && let Some((pid, _)) = place.server()
        {
            // Postgres's fast shutdown: sessions end, everything is written.
            kill(pid, Signal::SIGINT).with_context(|| {
                format!("could not stop the private Postgres server (process {pid})")
            })?;
            told = true;
        }
        if Instant::now() > deadline {
            bail!(
                "the private Postgres server did not stop in {} s; {}",
                STOP_PATIENCE.as_secs(),
                place.log_end()
            );
        }
        thread::sleep(LOOK_EVERY);
    }
}
