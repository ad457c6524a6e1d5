//! What the machine can do: the same client on a route that does nothing, and the same Postgres asked for one row.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;

use crate::figure::Figures;
use crate::generated::Generated;
use crate::import::Imported;
use crate::load::{self, CONNECTIONS};

/// About what an answer to `owner` has.
const ANSWER_BYTES: usize = 2_000;

pub async fn measure(
    generated: &Generated,
    imported: &Imported,
    duration: Duration,
    figures: &mut Figures,
) {
    println!("control, {} entities", generated.len());
    let name = |figure: &str| format!("control-{}-{figure}", generated.len());
    let (server, address) = Route::start();
    let asked = [format!("owner {}", generated.hub().name)];
    load::commands(address, &asked, duration, &name("axum"), figures).await;
    drop(server);
    figures.add(name("pgbench-rate"), pgbench(imported, generated, duration), "/s");
}

/// The bare route, which says as much as an answer has. A process of its own, as `idp serve` is: within the
/// client's process nothing would wait for a core.
struct Route(Child);

impl Route {
    fn start() -> (Route, SocketAddr) {
        let program = std::env::current_exe().unwrap();
        let child = Command::new(program).arg("--bare-route").stdout(Stdio::piped()).spawn();
        let mut route = Route(child.unwrap());
        let mut address = String::new();
        BufReader::new(route.0.stdout.as_mut().unwrap()).read_line(&mut address).unwrap();
        (route, address.trim().parse().unwrap())
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Serves the bare route, and prints where.
pub async fn bare_route() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let answer = async |_: Bytes| "a".repeat(ANSWER_BYTES);
    let route = Router::new().route("/slack/commands", post(answer));
    axum::serve(listener, route).await.unwrap();
}

/// One-row selects a second, by `pgbench` with prepared statements.
fn pgbench(imported: &Imported, generated: &Generated, duration: Duration) -> f64 {
    let options = imported.db.pool.connect_options();
    let mut script = tempfile::NamedTempFile::new().unwrap();
    writeln!(script, "\\set id random(1, {})", generated.len()).unwrap();
    writeln!(script, "select body from idp.stored_entity where id = :id;").unwrap();
    let host = options.get_socket().map_or(options.get_host().into(), |it| it.to_path_buf());
    let out = Command::new("pgbench")
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=1"])
        .arg(format!("--client={CONNECTIONS}"))
        .arg(format!("--time={}", duration.as_secs()))
        .arg(format!("--file={}", script.path().display()))
        .arg(format!("--host={}", host.display()))
        .arg(format!("--port={}", options.get_port()))
        .arg(format!("--username={}", options.get_username()))
        .arg(options.get_database().unwrap())
        .output()
        .expect("pgbench is on the PATH");
    let text = String::from_utf8_lossy(&out.stdout);
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
    let Some(rate) = rate else { panic!("{}", String::from_utf8_lossy(&out.stderr)) };
    rate.parse().unwrap()
}
