//! The private cluster: found, shared, adopted, brought back, and what it says when it cannot.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;

use idp::postgres::account::Account;
use idp::postgres::cluster::Cluster;
use idp::postgres::{self, Database, binaries, cluster, store};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::database::{self, Server};
use crate::waiting::until;

#[tokio::test]
async fn two_users_share_one_server_and_the_last_one_out_stops_it() {
    let server = Server::new();
    let one = postgres::open(&server.database()).await.unwrap();
    let first_process = postmaster(&server);
    let other = postgres::open(&server.database()).await.unwrap();
    assert_eq!(postmaster(&server), first_process, "the second adopts the first's server");

    one.close().await.unwrap();
    let answer: i32 = sqlx::query_scalar("select 1").fetch_one(&other.pool).await.unwrap();
    assert_eq!(answer, 1, "the other still uses it");

    other.close().await.unwrap();
    assert!(!postgres::stop(&server.database()).await.unwrap(), "nothing runs any more");
}

#[tokio::test]
async fn eight_that_start_at_once_get_one_server_and_one_schema() {
    let server = Server::new();
    let opened = (0..8).map(|_| {
        let database = server.database();
        tokio::spawn(async move { postgres::open(&database).await.unwrap() })
    });
    let mut all = Vec::new();
    for one in opened.collect::<Vec<_>>() {
        all.push(one.await.unwrap());
    }
    let applied: i64 = sqlx::query_scalar("select count(*) from idp.migrations")
        .fetch_one(&all[0].pool)
        .await
        .unwrap();
    assert_eq!(applied, store::migrations().iter().count() as i64);
    let mut processes = Vec::new();
    for one in &all {
        let started: String = sqlx::query_scalar("select pg_postmaster_start_time()::text")
            .fetch_one(&one.pool)
            .await
            .unwrap();
        processes.push(started);
    }
    processes.dedup();
    assert_eq!(processes.len(), 1, "one server: {processes:?}");
}

#[tokio::test]
async fn eight_connections_migrate_one_database_at_once() {
    let empty = database::empty().await;
    let options = PgConnectOptions::from_str(&empty.url).unwrap();
    let migrating = (0..8).map(|_| {
        let options = options.clone();
        tokio::spawn(async move { store::migrate(&options).await })
    });
    for one in migrating.collect::<Vec<_>>() {
        one.await.unwrap().unwrap();
    }
    let mut connection = options.connect().await.unwrap();
    let applied: i64 = sqlx::query_scalar("select count(*) from idp.migrations where success")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(applied, store::migrations().iter().count() as i64);
}

#[tokio::test]
async fn without_the_lock_migrations_at_once_fail() {
    let empty = database::empty().await;
    let options = PgConnectOptions::from_str(&empty.url).unwrap();
    // The rounds make it certain that two meet; the first one usually does.
    for _ in 0..20 {
        let migrating = (0..8).map(|_| {
            let options = options.clone();
            tokio::spawn(async move {
                let mut connection = options.connect().await.unwrap();
                store::migrations()
                    .set_locking(false)
                    .run_direct(None, &mut connection, false)
                    .await
            })
        });
        let mut failed = false;
        for one in migrating.collect::<Vec<_>>() {
            failed |= one.await.unwrap().is_err();
        }
        if failed {
            return;
        }
        let mut connection = options.connect().await.unwrap();
        sqlx::raw_sql("drop schema idp cascade").execute(&mut connection).await.unwrap();
    }
    panic!("the lock makes no difference");
}

/// Also: the folder it is started in is closed to the server, as a checkout in root's home is.
#[tokio::test]
async fn the_server_of_a_killed_idp_is_adopted() {
    let server = Server::named("data/demo/postgres");
    let home = server.private().dir.ancestors().nth(3).unwrap();
    let checkout = home.join("checkout");
    fs::create_dir(&checkout).unwrap();
    fs::set_permissions(&checkout, fs::Permissions::from_mode(0o700)).unwrap();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_idp"))
        .arg("demo")
        .current_dir(&checkout)
        .env("IDP_DATA_DIR", home.join("data"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    demo.stdin.as_mut().unwrap().write_all(b"owner payment-api\n").unwrap();
    let mut answer = String::new();
    BufReader::new(demo.stdout.as_mut().unwrap()).read_line(&mut answer).unwrap();
    assert!(answer.contains("payment-api"), "{answer}");
    let process = postmaster(&server);
    demo.kill().unwrap();
    demo.wait().unwrap();

    let db = postgres::open(&server.database()).await.unwrap();
    sqlx::query("select 1").execute(&db.pool).await.unwrap();
    assert_eq!(postmaster(&server), process, "it still is the same server");
}

#[tokio::test]
async fn a_server_that_died_is_brought_back_and_the_pools_find_it() {
    let server = Server::new();
    let db = postgres::open(&server.database()).await.unwrap();
    let dead = postmaster(&server);
    let tending = tokio::spawn({
        let db = db.clone();
        async move { db.tend().await }
    });
    kill(dead, Signal::SIGKILL).unwrap();
    let is_new = async || {
        sqlx::query("select 1").execute(&db.pool).await.is_ok() && postmaster(&server) != dead
    };
    until("the server answers again", is_new, |it| *it).await;
    tending.abort();
}

#[tokio::test]
async fn a_server_that_was_stopped_is_left_stopped() {
    let server = Server::new();
    let cluster = Cluster::start(server.private()).await.unwrap();
    assert!(postgres::stop(&server.database()).await.unwrap());
    assert!(!cluster.revive().await.unwrap());
    assert!(!postgres::stop(&server.database()).await.unwrap(), "it does not run");
}

#[tokio::test]
async fn a_pid_file_that_names_another_process_stops_nobody() {
    for program in ["sleep", "true"] {
        let server = Server::new();
        crash(&server).await;
        let account = Account::for_data(&data(&server)).unwrap();
        let mut other = Command::new(program);
        // Without arguments `sleep` ends too. Nobody asks how, so that it stays as a zombie.
        let mut other = account
            .applied_to(&mut other)
            .args((program == "sleep").then_some("60"))
            .spawn()
            .unwrap();
        name_process(&data(&server).join("postmaster.pid"), other.id());
        name_process(&socket_dir(&server).join(".s.PGSQL.5432.lock"), other.id());
        let refusal = postgres_alone(&server, account);
        assert!(
            refusal.contains("already exists"),
            "Postgres alone takes `{program}` for the server: {refusal}"
        );

        let db = postgres::open(&server.database()).await.unwrap();
        sqlx::query("select 1").execute(&db.pool).await.unwrap();
        other.kill().unwrap();
        other.wait().unwrap();
    }
}

#[tokio::test]
async fn a_pid_file_that_was_cut_off_stops_nobody() {
    let server = Server::new();
    crash(&server).await;
    fs::write(data(&server).join("postmaster.pid"), "").unwrap();
    let account = Account::for_data(&data(&server)).unwrap();
    let refusal = postgres_alone(&server, account);
    assert!(refusal.contains("is empty"), "Postgres alone refuses: {refusal}");
    postgres::open(&server.database()).await.unwrap();
}

#[tokio::test]
async fn an_initdb_that_was_cut_off_is_done_again() {
    let server = Server::new();
    let unfinished = server.private().dir.join("data.unfinished");
    fs::create_dir_all(unfinished.join("base")).unwrap();
    fs::write(unfinished.join("PG_VERSION"), "15").unwrap();
    let db = postgres::open(&server.database()).await.unwrap();
    sqlx::query("select 1").execute(&db.pool).await.unwrap();
    assert!(!unfinished.exists());
}

#[tokio::test]
async fn an_initdb_that_outlived_its_parent_is_waited_for() {
    let server = Server::new();
    fs::create_dir_all(&server.private().dir).unwrap();
    let lock = File::create(server.private().dir.join("server.lock")).unwrap();
    lock.lock().unwrap();
    let mut outliving = Command::new("sleep").arg("60").stdin(lock).spawn().unwrap();
    let opening = tokio::spawn({
        let database = server.database();
        async move { postgres::open(&database).await }
    });
    let is_locked = async || {
        File::open(server.private().dir.join("starting.lock"))
            .is_ok_and(|lock| lock.try_lock().is_err())
    };
    until("it holds the lock that everybody takes first", is_locked, |it| *it).await;
    assert!(!server.private().dir.join("data.unfinished").exists(), "it begins nothing meanwhile");
    outliving.kill().unwrap();
    outliving.wait().unwrap();
    opening.await.unwrap().unwrap();
}

#[tokio::test]
async fn data_of_another_version_is_left_alone_and_named() {
    let server = Server::new();
    postgres::open(&server.database()).await.unwrap().close().await.unwrap();
    fs::write(data(&server).join("PG_VERSION"), "9\n").unwrap();
    let error = format!("{:#}", postgres::open(&server.database()).await.unwrap_err());
    assert!(error.contains("was made by Postgres 9, and only Postgres 1"), "{error}");
    assert!(error.contains(data(&server).to_str().unwrap()), "{error}");
    assert!(error.contains("set IDP_PG_BIN"), "{error}");
}

#[tokio::test]
async fn root_hears_which_folder_its_postgres_may_not_enter() {
    if !Uid::effective().is_root() {
        println!("skipped: only root runs the server as somebody else");
        return;
    }
    let server = Server::new();
    let closed = server.private().dir.parent().unwrap();
    fs::set_permissions(closed, fs::Permissions::from_mode(0o700)).unwrap();
    let error = format!("{:#}", postgres::open(&server.database()).await.unwrap_err());
    assert!(error.contains(&format!("`chmod o+x {}`", closed.display())), "{error}");
}

#[tokio::test]
async fn a_directory_of_somebody_else_is_refused() {
    if !Uid::effective().is_root() {
        println!("skipped: only root can give a directory away");
        return;
    }
    let server = Server::new();
    fs::create_dir(&server.private().dir).unwrap();
    std::os::unix::fs::chown(&server.private().dir, Some(4_000_000), None).unwrap();
    let error = format!("{:#}", postgres::open(&server.database()).await.unwrap_err());
    assert!(error.contains("belongs to another user (id 4000000): set IDP_DATA_DIR"), "{error}");
    fs::remove_dir(&server.private().dir).unwrap();
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_has_its_socket_elsewhere() {
    let server = Server::named(&"long".repeat(30));
    let db = postgres::open(&server.database()).await.unwrap();
    sqlx::query("select 1").execute(&db.pool).await.unwrap();
    let socket_dir = socket_dir(&server);
    assert!(socket_dir.starts_with("/tmp"), "{}", socket_dir.display());
    let mode = fs::metadata(&socket_dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    db.close().await.unwrap();
    fs::remove_dir(socket_dir).unwrap();
}

#[tokio::test]
async fn a_database_that_is_down_is_waited_for() {
    let server = Server::new();
    let url = server.start().await;
    server.stop().await;
    let database = Database::Url(url.into());
    assert!(postgres::open(&database).await.is_err());
    let waiting = tokio::spawn(async move { postgres::open_patiently(&database).await });
    server.start().await;
    let db = waiting.await.unwrap();
    sqlx::query("select 1").execute(&db.pool).await.unwrap();
}

#[tokio::test]
async fn an_export_makes_the_same_database_elsewhere() {
    let server = Server::new();
    let db = postgres::open(&server.database()).await.unwrap();
    let file = server.private().dir.with_file_name("export.sql");
    postgres::export(&server.database(), Some(&file)).await.unwrap();

    let elsewhere = database::empty().await;
    let psql = binaries::find(None, None).unwrap().program("psql");
    let read = Command::new(psql)
        .args(["--quiet", "--set=ON_ERROR_STOP=1", "--file"])
        .arg(&file)
        .arg(&elsewhere.url)
        .output()
        .unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let columns = "select table_name || '.' || column_name
         from information_schema.columns
         where table_schema = 'idp'
         order by 1";
    let here: Vec<String> = sqlx::query_scalar(columns).fetch_all(&db.pool).await.unwrap();
    let there: Vec<String> = sqlx::query_scalar(columns).fetch_all(&elsewhere.pool).await.unwrap();
    assert!(here.len() > 20, "{here:?}");
    assert_eq!(here, there);
}

/// Starts the server, kills its first process, and waits until the last one is gone.
async fn crash(server: &Server) {
    drop(postgres::open(&server.database()).await.unwrap());
    kill(postmaster(server), Signal::SIGKILL).unwrap();
    let is_free = async || {
        let lock = File::open(server.private().dir.join("server.lock")).unwrap();
        lock.try_lock().is_ok()
    };
    until("nothing of the server lives", is_free, |it| *it).await;
}

/// What `postgres` says that is started on this data by somebody else than us.
fn postgres_alone(server: &Server, account: Account) -> String {
    let mut postgres = Command::new(binaries::find(None, None).unwrap().program("postgres"));
    let output = account
        .applied_to(&mut postgres)
        // One session on its standard input instead of a server: it ends by itself.
        .arg("--single")
        .arg("-D")
        .arg(data(server))
        .arg("postgres")
        .current_dir(data(server))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8(output.stderr).unwrap()
}

fn data(server: &Server) -> PathBuf {
    server.private().dir.join("data")
}

fn socket_dir(server: &Server) -> PathBuf {
    let url = cluster::url(server.private()).unwrap();
    PgConnectOptions::from_url(&url).unwrap().get_socket().unwrap().clone()
}

/// The first process of the server, as its pid file says.
fn postmaster(server: &Server) -> Pid {
    let said = fs::read_to_string(data(server).join("postmaster.pid")).unwrap();
    Pid::from_raw(said.lines().next().unwrap().parse().unwrap())
}

/// Puts the number of a process into the first line of a pid file.
fn name_process(pid_file: &Path, process: u32) {
    let said = fs::read_to_string(pid_file).unwrap();
    let (_, rest) = said.split_once('\n').unwrap();
    fs::write(pid_file, format!("{process}\n{rest}")).unwrap();
}
