//! Postgres servers of a test's own, which it kills and promotes.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use idp::postgres::account::Account;
use idp::postgres::binaries::{self, Binaries};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::time::sleep;

use crate::action_world::PATIENCE;
use crate::address::address;

const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(10);

/// A server that runs.
pub struct Postgres {
    pub address: SocketAddr,
    dir: PathBuf,
    server: Child,
}

fn programs() -> Binaries {
    binaries::find(None, None).unwrap()
}

/// `program` as the account that servers run as.
fn command(program: &str, dir: &Path) -> Command {
    let mut command = Command::new(programs().program(program));
    Account::for_data(dir).unwrap().applied_to(&mut command);
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log(dir));
    command
}

fn log(dir: &Path) -> File {
    File::options().create(true).append(true).open(dir.with_file_name("log")).unwrap()
}

fn succeeds(mut command: Command, dir: &Path) {
    let ended = command.status().unwrap();
    let said = || fs::read_to_string(dir.with_file_name("log")).unwrap_or_default();
    assert!(ended.success(), "{command:?}: {ended}: {}", said());
}

/// A directory below `home` for the data of a server, empty.
fn place(home: &Path, name: &str) -> PathBuf {
    let dir = home.join(name).join("data");
    fs::create_dir_all(dir.parent().unwrap()).unwrap();
    let account = Account::for_data(&dir).unwrap();
    account.own(dir.parent().unwrap()).unwrap();
    dir
}

impl Postgres {
    /// A new server below `home`, with an empty database `idp`.
    pub async fn new(home: &Path) -> Postgres {
        let dir = place(home, "first");
        let mut initdb = command("initdb", &dir);
        initdb.args(["-U", "idp", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]);
        initdb.arg("-D").arg(&dir);
        succeeds(initdb, &dir);
        let server = Postgres::start(dir, address()).await;
        let mut db = server.connects("postgres").await;
        sqlx::query("create database idp").execute(&mut db).await.unwrap();
        server
    }

    async fn start(dir: PathBuf, address: SocketAddr) -> Postgres {
        let server = Postgres::starts(&dir, address);
        let mut started = Postgres { address, dir, server };
        started.answers().await;
        started
    }

    fn starts(dir: &Path, address: SocketAddr) -> Child {
        let mut server = command("postgres", dir);
        server.arg("-D").arg(dir);
        for setting in [
            "listen_addresses=127.0.0.1",
            &format!("port={}", address.port()),
            "unix_socket_directories=",
            "fsync=on",
            "max_connections=120",
            "shared_buffers=32MB",
            "wal_keep_size=512MB",
            "wal_receiver_timeout=2s",
            "wal_retrieve_retry_interval=100ms",
        ] {
            server.args(["-c", setting]);
        }
        server.spawn().unwrap()
    }

    /// Waits until it answers; one that ended because the dead before it were not all gone is started again.
    async fn answers(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.tries("postgres").await.is_none() {
            if self.server.try_wait().unwrap().is_some() {
                self.server = Postgres::starts(&self.dir, self.address);
            }
            assert!(Instant::now() < deadline, "a server does not answer");
            sleep(LOOK_EVERY).await;
        }
    }

    pub fn options(&self, database: &str) -> PgConnectOptions {
        let (host, port) = (self.address.ip().to_string(), self.address.port());
        PgConnectOptions::new().host(&host).port(port).username("idp").database(database)
    }

    async fn tries(&self, database: &str) -> Option<PgConnection> {
        self.options(database).connect().await.ok()
    }

    pub async fn connects(&self, database: &str) -> PgConnection {
        self.options(database).connect().await.unwrap()
    }

    /// Runs `statement` in the database of idp.
    pub async fn does(&self, statement: &'static str) {
        let mut db = self.connects("idp").await;
        sqlx::query(statement).execute(&mut db).await.unwrap();
        db.close().await.unwrap();
    }

    /// Whether each commit waits until a standby has it.
    pub async fn waits_for_standby(&self, waits: bool) {
        let mut db = self.connects("idp").await;
        let setting = match waits {
            true => "alter system set synchronous_standby_names = '*'",
            false => "alter system reset synchronous_standby_names",
        };
        sqlx::query(setting).execute(&mut db).await.unwrap();
        sqlx::query("select pg_reload_conf()").execute(&mut db).await.unwrap();
        let shown = if waits { "*" } else { "" };
        let deadline = Instant::now() + PATIENCE;
        // Each process of the server reads it in its own time.
        while {
            let is = "select current_setting('synchronous_standby_names')";
            sqlx::query_scalar::<_, String>(is).fetch_one(&mut db).await.unwrap() != shown
        } {
            assert!(Instant::now() < deadline, "a setting does not take hold");
            sleep(LOOK_EVERY).await;
        }
    }

    /// It stops by `signal`: SIGINT in good order, SIGQUIT at once, SIGKILL without knowing.
    pub async fn stops(&mut self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.server.id()).unwrap()), signal).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while self.server.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "a server does not stop");
            sleep(LOOK_EVERY).await;
        }
    }

    pub async fn starts_again(&mut self) {
        self.server = Postgres::starts(&self.dir, self.address);
        self.answers().await;
    }

    /// A standby of this one by way of `through`, below `home` as `name`; it has all of it.
    pub async fn standby(&self, home: &Path, name: &str, through: SocketAddr) -> Postgres {
        let dir = place(home, name);
        let mut backup = command("pg_basebackup", &dir);
        let from = format!("host=127.0.0.1 port={} user=idp", through.port());
        backup.args(["-d", &from, "-R", "-X", "stream", "-c", "fast", "--no-sync", "-D"]).arg(&dir);
        succeeds(backup, &dir);
        let standby = Postgres::start(dir, address()).await;
        let streams = "select exists (select from pg_stat_replication where state = 'streaming')";
        let mut db = self.connects("idp").await;
        let deadline = Instant::now() + PATIENCE;
        while !sqlx::query_scalar::<_, bool>(streams).fetch_one(&mut db).await.unwrap() {
            assert!(Instant::now() < deadline, "a standby does not follow");
            sleep(LOOK_EVERY).await;
        }
        standby
    }

    /// It is the one that takes writes, from now on.
    pub async fn is_promoted(&self) {
        let mut db = self.connects("idp").await;
        let promoted: bool =
            sqlx::query_scalar("select pg_promote()").fetch_one(&mut db).await.unwrap();
        assert!(promoted, "a standby is not promoted");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once: its data goes with the test.
        let _ = kill(Pid::from_raw(self.server.id().cast_signed()), Signal::SIGQUIT);
        let _ = self.server.wait();
    }
}
