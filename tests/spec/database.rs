//! A fresh, migrated database for each test.
//!
//! One private cluster serves all test processes of a user, without fsync, in memory where there is
//! room for it, and stays up for the next run. `DATABASE_URL` names another server instead. A test's
//! database is a copy of a template that is made once for each state of the migrations. It is
//! dropped when the test ends; what a killed run left is dropped by the next.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use idp::postgres::cluster::Cluster;
use idp::postgres::{self, Database, Db, Private, cluster, store};
use nix::sys::statvfs::statvfs;
use nix::unistd::Uid;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, PgPool};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, OnceCell};
use url::Url;

/// The first key of our advisory locks: one for whoever makes a template, one for each run.
const MAKING: i32 = 0x1d90;
const RUNNING: i32 = 0x1d91;

/// Bytes that all databases at a time may take.
const ROOM: u64 = 2 << 30;

/// A database that nobody else uses.
pub struct Fresh {
    pub pool: PgPool,
    pub db: Db,
    /// For a process that connects by itself, as `DATABASE_URL`.
    pub url: String,
    name: String,
}

/// A migrated database without a row of anybody's.
pub async fn fresh() -> Fresh {
    // Copying the files takes a third of the time of the default, which logs every page.
    create(&format!("template {} strategy file_copy", server().await.template)).await
}

/// A database without our schema.
pub async fn empty() -> Fresh {
    create("").await
}

async fn create(how: &str) -> Fresh {
    let server = server().await;
    let name = format!("{}{}", server.prefix, server.made.fetch_add(1, Ordering::Relaxed));
    execute(format!("create database {name} {how}")).await;
    let url = server.url(&name);
    let db = postgres::connect(&url).unwrap();
    Fresh { pool: db.pool.clone(), db, url, name }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // When the process ends first, the next run drops it.
        RUNTIME.spawn(execute(format!("drop database if exists {} with (force)", self.name)));
    }
}

/// A private cluster of one test's own, in a directory that goes with it, for tests that stop it.
pub struct Server {
    private: Private,
    running: Mutex<Option<Db>>,
    _dir: TempDir,
}

impl Server {
    /// A cluster that does not run yet.
    pub fn new() -> Server {
        let dir = tempfile::Builder::new().prefix("idp-").tempdir_in(quick_dir()).unwrap();
        // As root the server is somebody else, who must be able to come here.
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let private =
            Private { dir: dir.path().join("postgres"), bin: None, install: false, fsync: false };
        Server { private, running: Mutex::new(None), _dir: dir }
    }

    /// A cluster in a directory of another name, beside its first one.
    pub fn named(name: &str) -> Server {
        let mut server = Server::new();
        server.private.dir.set_file_name(name);
        server
    }

    pub fn private(&self) -> &Private {
        &self.private
    }

    pub fn database(&self) -> Database {
        Database::Private(self.private.clone())
    }

    /// Starts it; returns the address of its database, which exists and is migrated.
    pub async fn start(&self) -> String {
        *self.running.lock().await = Some(postgres::open(&self.database()).await.unwrap());
        cluster::url(&self.private).unwrap().to_string()
    }

    /// Stops it, whoever uses it.
    pub async fn stop(&self) {
        *self.running.lock().await = None;
        assert!(postgres::stop(&self.database()).await.unwrap(), "the server ran");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let database = self.database();
        // A runtime must not wait inside another.
        let stopped = std::thread::spawn(move || RUNTIME.block_on(postgres::stop(&database)));
        if let Err(error) = stopped.join().unwrap() {
            println!("a test's server was left behind: {error:#}");
        }
    }
}

/// The server of all tests, as this run uses it.
struct Shared {
    /// Any database of it; see [`Shared::url`].
    address: Url,
    template: String,
    /// How the names of this run's databases begin.
    prefix: String,
    made: AtomicU32,
    /// Holds the lock that says that this run lives, and creates and drops.
    connection: Mutex<PgConnection>,
    /// Keeps another process from stopping it.
    _cluster: Option<Cluster>,
}

impl Shared {
    fn url(&self, database: &str) -> String {
        let mut address = self.address.clone();
        address.set_path(database);
        address.to_string()
    }
}

/// Where what outlives a test is done: each test has a runtime of its own.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

async fn server() -> &'static Shared {
    static SHARED: OnceCell<Shared> = OnceCell::const_new();
    SHARED.get_or_init(|| async { RUNTIME.spawn(connect()).await.unwrap() }).await
}

/// Runs `sql` outside of any database of a test.
async fn execute(sql: String) {
    let done = RUNTIME.spawn(async move {
        let mut connection = server().await.connection.lock().await;
        run(&mut connection, sql).await;
    });
    done.await.unwrap();
}

async fn run(connection: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

async fn connect() -> Shared {
    let (address, cluster) = find_server().await;
    let mut connection =
        PgConnectOptions::from_str(address.as_str()).unwrap().connect().await.unwrap();
    let run_key = rand::random_range(1..i32::MAX);
    sqlx::query("select pg_advisory_lock($1, $2)")
        .bind(RUNNING)
        .bind(run_key)
        .execute(&mut connection)
        .await
        .unwrap();
    drop_what_killed_runs_left(&mut connection).await;
    let mut shared = Shared {
        address,
        template: template_name(),
        prefix: format!("idp_test_{run_key}_"),
        made: AtomicU32::new(0),
        connection: Mutex::new(connection),
        _cluster: cluster,
    };
    make_template(&mut shared).await;
    shared
}

/// The address of a database to begin with, and the cluster if it is ours.
async fn find_server() -> (Url, Option<Cluster>) {
    #[expect(clippy::disallowed_methods, reason = "the one setting of the tests")]
    if let Ok(url) = std::env::var("DATABASE_URL") {
        return (url.parse().unwrap(), None);
    }
    let dir = quick_dir().join(format!("idp-tests-{}", Uid::effective()));
    #[expect(clippy::disallowed_methods, reason = "as the README's test command sets it")]
    let install = std::env::var_os("IDP_INSTALL_POSTGRES").is_some();
    let private = Private { dir, bin: None, install, fsync: false };
    let cluster = Cluster::start(&private).await.unwrap();
    store::create_database(cluster.options(), cluster::DATABASE).await.unwrap();
    (cluster::url(&private).unwrap(), Some(cluster))
}

/// Where hundreds of files for each test cost least: in memory, which needs no disk to make and forget them.
fn quick_dir() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let room = statvfs(memory).map(|it| it.blocks_available() * it.fragment_size());
    match room {
        Ok(room) if room >= ROOM => memory.to_path_buf(),
        _ => std::env::temp_dir(),
    }
}

/// The template of this state of the migrations: another state has another name.
fn template_name() -> String {
    let mut sum = Sha256::new();
    for migration in store::migrations().iter() {
        sum.update(&migration.checksum);
    }
    format!("idp_template_{}", &hex::encode(sum.finalize())[..16])
}

/// Makes the template unless it is there: under another name first, so that it is whole or not there.
async fn make_template(shared: &mut Shared) {
    let connection = shared.connection.get_mut();
    sqlx::query("select pg_advisory_lock($1, 0)")
        .bind(MAKING)
        .execute(&mut *connection)
        .await
        .unwrap();
    let exists: bool =
        sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(&shared.template)
            .fetch_one(&mut *connection)
            .await
            .unwrap();
    if !exists {
        let unfinished = "idp_template_unfinished";
        run(connection, format!("drop database if exists {unfinished} with (force)")).await;
        run(connection, format!("create database {unfinished}")).await;
        let url = shared.url(unfinished);
        store::migrate(&PgConnectOptions::from_str(&url).unwrap()).await.unwrap();
        let connection = shared.connection.get_mut();
        run(connection, format!("alter database {unfinished} rename to {}", shared.template)).await;
    }
    let connection = shared.connection.get_mut();
    sqlx::query("select pg_advisory_unlock($1, 0)").bind(MAKING).execute(connection).await.unwrap();
}

/// Drops the databases of runs that no longer hold their lock.
async fn drop_what_killed_runs_left(connection: &mut PgConnection) {
    let left: Vec<String> = sqlx::query_scalar(
        "select datname
         from pg_database
         where datname ~ '^idp_test_[0-9]+_[0-9]+$'
         and not exists (
            select from pg_locks
            where locktype = 'advisory'
            and database = (select oid from pg_database where datname = current_database())
            and classid = $1
            and objid = split_part(datname, '_', 3)::int
         )",
    )
    .bind(RUNNING)
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    for name in left {
        // Another run that begins now may be dropping it as well.
        run(connection, format!("drop database if exists {name} with (force)")).await;
    }
}

#[tokio::test]
async fn each_test_has_an_empty_migrated_database_of_its_own() {
    let (one, other) = (fresh().await, fresh().await);
    sqlx::raw_sql("create table idp.only_here ()").execute(&one.pool).await.unwrap();
    let tables = "select count(*) from pg_tables where tablename = $1";
    for (database, name, expected) in
        [(&one, "only_here", 1_i64), (&other, "only_here", 0), (&other, "migrations", 1)]
    {
        let found: i64 =
            sqlx::query_scalar(tables).bind(name).fetch_one(&database.pool).await.unwrap();
        assert_eq!(found, expected, "{name} in {}", database.url);
    }
}

#[tokio::test]
async fn a_fresh_database_takes_milliseconds() {
    drop(fresh().await);
    let start = std::time::Instant::now();
    let mut all = Vec::new();
    for _ in 0..50 {
        all.push(fresh().await);
    }
    println!("REL 50 fresh databases: {:.2} s", start.elapsed().as_secs_f64());
    let names: std::collections::BTreeSet<_> = all.iter().map(|one| &one.name).collect();
    assert_eq!(names.len(), 50);
}
