//! What the machine can do: the same client on a route that does nothing, and the same Postgres asked for one row.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use axum::Router;
use axum::routing::post;

use crate::figure::Figures;
use crate::generated::Generated;
use crate::import::Imported;
use crate::load::{self, CONNECTIONS};

pub async fn measure(
    generated: &Generated,
    imported: &Imported,
    duration: Duration,
    figures: &mut Figures,
) {
    println!("control, {} entities", generated.len());
    let name = |figure: &str| format!("control-{}-{figure}", generated.len());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let route = Router::new().route("/slack/commands", post(async || "ok"));
    let server = tokio::spawn(async move { axum::serve(listener, route).await });
    let asked = [format!("owner {}", generated.hub().name)];
    load::commands(address, &asked, duration, &name("axum"), figures).await;
    server.abort();
    figures.add(name("pgbench-rate"), pgbench(imported, generated, duration), "/s");
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
