//! The figures: throughput, waiting, memory, start. `cargo bench` prints them all.
//!
//! `cargo bench -- --entities 1000000 --seconds 10` asks for others; `--only snapshot` for one part, `cargo bench -- clicks` too.
//!
//! | part           | what is measured                                                       |
//! |----------------|------------------------------------------------------------------------|
//! | [`snapshot`]   | the catalog in memory, without any door                                |
//! | [`import`]     | descriptors on disk into Postgres, beside COPY into the same tables    |
//! | [`serve`]      | signed Slack commands over HTTP to `idp serve`, a process of its own   |
//! | [`platforms`]  | the same process, connected to both platforms by WebSockets            |
//! | [`scorecards`] | all entities by twenty rules, and one that changed, beside plain writes |
//! | [`clicks`]     | clicks that decide, beside lookups, until they are acknowledged; plain inserts |
//! | [`control`]    | the same client on a bare route; pgbench on the same server            |

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a figure that cannot be had ends it")]

#[path = "../../tests/faults/address.rs"]
mod address;
mod bombs;
mod clicks;
mod control;
mod figure;
mod generated;
mod import;
mod load;
mod platforms;
mod process;
mod scorecards;
mod serve;
mod snapshot;

use std::time::Duration;

use clap::{Parser, ValueEnum};

use figure::Figures;
use generated::Generated;

#[derive(Debug, Parser)]
struct Arguments {
    /// How many entities; several sizes one after the other
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000")]
    entities: Vec<usize>,
    /// How long each question is asked
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// The same seed gives the same catalog
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// The same: `cargo bench -- clicks`
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Be the bare route of the control
    #[arg(long, hide = true)]
    bare_route: bool,
    /// Cargo says so to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Snapshot,
    Import,
    Serve,
    Platforms,
    Scorecards,
    Clicks,
    Control,
}

#[tokio::main]
async fn main() {
    idp::integrations::http::install_tls();
    let arguments = Arguments::parse();
    if arguments.bare_route {
        return control::bare_route().await;
    }
    let only: Vec<Part> = arguments.only.iter().chain(&arguments.parts).copied().collect();
    let wants = |part| only.is_empty() || only.contains(&part);
    let duration = Duration::from_secs(arguments.seconds);
    let mut figures = Figures::default();
    figures.add("load-average-before", process::load_average(), "");
    for count in &arguments.entities {
        let generated = Generated::new(*count, arguments.seed);
        if wants(Part::Snapshot) {
            snapshot::measure(&generated, &mut figures);
        }
        let of_database =
            [Part::Import, Part::Serve, Part::Platforms, Part::Scorecards, Part::Control];
        if of_database.into_iter().any(wants) {
            let imported = import::measure(&generated, &mut figures).await;
            if wants(Part::Serve) {
                serve::measure(&generated, &imported, duration, &mut figures).await;
            }
            if wants(Part::Platforms) {
                platforms::measure(&generated, &imported, &mut figures).await;
            }
            if wants(Part::Scorecards) {
                scorecards::measure(&generated, &imported, &mut figures).await;
            }
            if wants(Part::Control) {
                control::measure(&generated, &imported, duration, &mut figures).await;
            }
            imported.close().await;
        }
    }
    if wants(Part::Clicks) {
        let generated = Generated::new(clicks::ENTITIES, arguments.seed);
        let imported = import::measure(&generated, &mut figures).await;
        clicks::measure(&imported, &mut figures).await;
        imported.close().await;
    }
    figures.add("load-average-after", process::load_average(), "");
    figures.print();
}
