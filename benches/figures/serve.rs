//! `idp serve`, asked as Slack asks it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::address::address;
use crate::figure::Figures;
use crate::generated::Generated;
use crate::import::Imported;
use crate::load::{self, SECRET};
use crate::process::{Server, memory_mb};

/// So many different questions are asked, as a day of a company would bring; `-of-all` asks about every
/// service in turn, so that hardly an answer is one given lately.
const ASKED: usize = 5_000;

/// How long the server may take until it answers.
const START_MAX: Duration = Duration::from_secs(60);

pub async fn measure(
    generated: &Generated,
    imported: &Imported,
    duration: Duration,
    figures: &mut Figures,
) {
    println!("serve, {} entities", generated.len());
    let name = |figure: &str| format!("serve-{}-{figure}", generated.len());
    let address = address();
    let hub = &generated.hub().name;
    let start = Instant::now();
    let server = start_server(imported, address);
    first_answer(address, hub, start).await;
    figures.add(name("start"), start.elapsed().as_secs_f64(), "s");
    copy_on_disk(imported, start).await;
    figures.add(name("start-memory"), memory_mb(server.id()), "MB");
    drop(server);
    let start = Instant::now();
    let server = start_server(imported, address);
    first_answer(address, hub, start).await;
    figures.add(name("restart"), start.elapsed().as_secs_f64(), "s");
    figures.add(name("memory-idle"), memory_mb(server.id()), "MB");

    let services = generated.entities.iter().filter(|it| it.kind == "Component");
    let services: Vec<&str> = services.map(|it| &*it.name).collect();
    let some = services.iter().step_by((services.len() / ASKED).max(1));
    let owner = |name: &&str| format!("owner {name}");
    let find: Vec<String> = some.clone().map(|it| format!("find {it}")).collect();
    let pages: Vec<String> =
        (1..=ASKED).map(|it| format!("dependents {hub} --page {it}")).collect();
    for (figure, questions) in [
        ("owner", some.map(owner).collect()),
        ("owner-of-all", services.iter().map(owner).collect()),
        ("dependents", vec![format!("dependents {hub}")]),
        ("dependents-pages", pages),
        ("find", find),
    ] {
        load::commands(address, &questions, duration, &name(figure), figures).await;
    }
    figures.add(name("memory"), memory_mb(server.id()), "MB");
}

/// `idp serve`, heard over HTTP at `address`.
fn start_server(imported: &Imported, address: SocketAddr) -> Server {
    let mut idp = imported.idp();
    idp.args(["serve", "--portal", "portal", "--listen", &address.to_string()])
        .env("SLACK_SIGNING_SECRET", SECRET);
    Server::start(idp)
}

/// Waits until the server has written what a restart answers from.
async fn copy_on_disk(imported: &Imported, start: Instant) {
    while !imported.data.path().join("catalog-private.copy").exists() {
        assert!(start.elapsed() < START_MAX, "no copy within {START_MAX:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Asks until the entity is known.
async fn first_answer(address: SocketAddr, name: &str, start: Instant) {
    let mut number = 0;
    loop {
        assert!(start.elapsed() < START_MAX, "no answer within {START_MAX:?}");
        if let Ok(mut stream) = TcpStream::connect(address).await {
            let request = load::slash_command(&format!("owner {name}"), number);
            number += 1;
            stream.write_all(&request).await.unwrap();
            let mut buffer = Vec::new();
            let answer = load::read_answer(&mut stream, &mut buffer).await;
            if answer.contains(name) && !answer.contains("There is no") {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
