//! One installation of idp: its data, its private cluster with fsync on, and what is killed of it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use idp::postgres::Private;
use idp::postgres::cluster::Cluster;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tempfile::TempDir;

/// How long anything may take that must happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which processes a kill hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    Idp,
    Postmaster,
    Both,
}

impl Victim {
    pub const ALL: [Victim; 3] = [Victim::Idp, Victim::Postmaster, Victim::Both];
}

pub struct Home {
    dir: TempDir,
}

impl Home {
    pub fn new() -> Home {
        let dir = tempfile::Builder::new().prefix("idp-faults-").tempdir().unwrap();
        // As root the server is somebody else, who must be able to come here.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        Home { dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The program with `arguments`, as somebody without any setting runs it.
    pub fn idp(&self, arguments: &[&str]) -> Command {
        let mut idp = Command::new(env!("CARGO_BIN_EXE_idp"));
        idp.args(arguments)
            .current_dir(self.path())
            .env_remove("DATABASE_URL")
            .env_remove("IDP_PORTAL")
            .env("IDP_DATA_DIR", self.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        idp
    }

    pub fn private(&self) -> Private {
        let dir = self.path().join("data/postgres");
        Private { dir, bin: None, install: false, fsync: true }
    }

    /// The first process of the server, if there is one that its file names.
    pub fn postmaster(&self) -> Option<Pid> {
        let said = fs::read_to_string(self.private().dir.join("data/postmaster.pid")).ok()?;
        let pid: i32 = said.lines().next()?.parse().ok()?;
        // What a dead server's file was corrected to names nobody.
        kill(Pid::from_raw(pid), None).ok().map(|()| Pid::from_raw(pid))
    }

    /// Kills what `victim` says, once all of it is there. Whether it was, before `idp` ended.
    pub fn kill(&self, victim: Victim, idp: &mut Child) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let postmaster = loop {
            if idp.try_wait().unwrap().is_some() {
                return false;
            }
            match self.postmaster() {
                Some(pid) => break Some(pid),
                None if victim == Victim::Idp => break None,
                None => assert!(Instant::now() < deadline, "the server does not come up"),
            }
            std::thread::yield_now();
        };
        if victim != Victim::Idp {
            // It may be gone this moment: then `idp` is, too, which the caller finds out.
            let _ = kill(postmaster.unwrap(), Signal::SIGKILL);
        }
        if victim != Victim::Postmaster {
            idp.kill().unwrap();
        }
        true
    }

    /// A server that answers, and a connection to it once nobody else has one: what a killed
    /// `idp` had asked for last may still be going on.
    pub async fn quiet_database(&self) -> (Cluster, PgConnection) {
        let cluster = Cluster::start(&self.private()).await.unwrap();
        let options: PgConnectOptions = cluster.options().clone().database("idp");
        let mut connection = options.connect().await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let others: i64 = sqlx::query_scalar(
                "select count(*)
                 from pg_stat_activity
                 where backend_type = 'client backend'
                 and pid <> pg_backend_pid()",
            )
            .fetch_one(&mut connection)
            .await
            .unwrap();
            if others == 0 {
                return (cluster, connection);
            }
            assert!(Instant::now() < deadline, "a session of the killed process stays");
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let mut stop = self.idp(&["db", "stop"]);
        match stop.output() {
            Ok(output) if output.status.success() => {}
            ended => println!("a server was left in {}: {ended:?}", self.path().display()),
        }
    }
}

/// What `idp` said when it ended; fails when it does not end.
pub fn ended(mut idp: Child) -> Output {
    let deadline = Instant::now() + PATIENCE;
    while idp.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "idp hangs");
        std::thread::sleep(Duration::from_millis(5));
    }
    idp.wait_with_output().unwrap()
}

/// Runs to its end and fails when it fails.
pub fn succeed(mut idp: Command) -> Output {
    let output = ended(idp.spawn().unwrap());
    assert!(output.status.success(), "{idp:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Random numbers that can be had again: the seed is printed, and `IDP_TEST_SEED` gives it.
pub fn random(test: &str) -> StdRng {
    let seed = match std::env::var("IDP_TEST_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => rand::rng().random(),
    };
    println!("REL {test}: IDP_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// Writes `text` to `path`, and the folders on the way.
pub fn write(path: PathBuf, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}
