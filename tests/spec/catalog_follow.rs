//! Following the database: every process answers from the newest catalog, and goes on while the database is away.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use idp::catalog::flow::{self, POLL};
use idp::catalog::snapshot::{Filter, Resolution, disk};
use idp::catalog::{Catalog, EntityRef, RelationKind, Snapshot};
use idp::postgres;
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::database::{Server, fresh};
use crate::directory::{Directory, component};
use crate::scale::at_full;
use crate::waiting::until;

/// A process that answers.
struct Replica {
    catalog: Arc<Catalog>,
    aliases: watch::Sender<Vec<(String, EntityRef)>>,
    disk: TempDir,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Replica {
    fn of(db: &PgPool, poll: Duration) -> Replica {
        Replica::from(Snapshot::build(Vec::new(), &[], 0), db, poll)
    }

    fn from(snapshot: Snapshot, db: &PgPool, poll: Duration) -> Replica {
        let catalog = Catalog::new(snapshot);
        let (aliases, told) = watch::channel(Vec::new());
        let disk = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let copy = disk.path().join("catalog");
        let following = flow::follow(
            db.clone(),
            catalog.clone(),
            told,
            copy,
            poll,
            watch::Sender::new(()),
            stop.clone(),
        );
        Replica { catalog, aliases, disk, stop, task: tokio::spawn(following) }
    }

    fn copy(&self) -> PathBuf {
        self.disk.path().join("catalog")
    }

    fn owners(&self, name: &str) -> Vec<String> {
        let snapshot = self.catalog.snapshot();
        let Some(entity) = snapshot.find(&format!("component:default/{name}")) else {
            return Vec::new();
        };
        let owners = snapshot.said_relations(entity).into_iter();
        let owners = owners.filter(|(kind, _)| *kind == RelationKind::OwnedBy);
        owners.map(|(_, target)| target.name().to_string()).collect()
    }

    /// Waits until the owner of `name` is `owner`; gives how long that took.
    async fn until_owned(&self, name: &str, owner: &str) -> Duration {
        let began = Instant::now();
        until("the owner", async || self.owners(name), |owners| *owners == [owner]).await;
        began.elapsed()
    }

    async fn stop(self) -> TempDir {
        self.stop.cancel();
        self.task.await.unwrap();
        self.disk
    }
}

/// Nothing would be seen in time by asking.
const NEVER: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_change_is_answered_by_every_process_at_once() {
    let fresh = fresh().await;
    let directory = Directory::with(&[("a.yaml", &component("pay", "payments"))]);
    let replicas = [Replica::of(&fresh.pool, NEVER), Replica::of(&fresh.pool, NEVER)];
    for owner in ["payments", "checkout", "shop"] {
        directory.write("a.yaml", &component("pay", owner));
        directory.import(&fresh.pool).await;
        for replica in &replicas {
            let took = replica.until_owned("pay", owner).await;
            println!("seen after {took:?}");
        }
    }
}

#[tokio::test]
async fn a_lost_notification_is_made_up_for_by_asking() {
    let fresh = fresh().await;
    let directory = Directory::with(&[("a.yaml", &component("pay", "payments"))]);
    directory.import(&fresh.pool).await;
    let asks = Replica::of(&fresh.pool, Duration::from_millis(50));
    let only_listens = Replica::of(&fresh.pool, NEVER);
    asks.until_owned("pay", "payments").await;
    only_listens.until_owned("pay", "payments").await;

    // As an import does it, but nobody is told.
    sqlx::raw_sql(
        "begin;
         update idp.catalog_revision set revision = revision + 1;
         update idp.stated_relation set target = 'group:default/checkout' where kind = 'ownedBy';
         update idp.stored_entity set revision = (select revision from idp.catalog_revision);
         commit",
    )
    .execute(&fresh.pool)
    .await
    .unwrap();
    asks.until_owned("pay", "checkout").await;
    assert_eq!(only_listens.owners("pay"), ["payments"], "it was told after all");
    assert_eq!(POLL, Duration::from_secs(30));
}

#[tokio::test]
async fn what_is_removed_is_answered_no_more() {
    let fresh = fresh().await;
    let mut directory = Directory::with(&[
        ("a.yaml", &component("pay", "payments")),
        ("b.yaml", &component("cart", "checkout")),
    ]);
    directory.options.orphan_grace = Duration::ZERO;
    directory.import(&fresh.pool).await;
    let replica = Replica::of(&fresh.pool, NEVER);
    replica.until_owned("pay", "payments").await;

    directory.remove("a.yaml");
    directory.write("b.yaml", &component("cart", "payments"));
    directory.import(&fresh.pool).await;
    replica.until_owned("cart", "payments").await;
    assert!(replica.catalog.snapshot().find("component:default/pay").is_none());
}

#[tokio::test]
async fn the_copy_of_another_database_is_not_mixed_in() {
    let (this, other) = (fresh().await, fresh().await);
    let there = Directory::new();
    for owner in ["a", "b", "c", "d"] {
        there.write("a.yaml", &component("elsewhere", owner));
        there.import(&other.pool).await;
    }
    let here = Directory::with(&[("a.yaml", &component("pay", "payments"))]);
    here.import(&this.pool).await;

    let copy = flow::load(&other.pool, &[]).await.unwrap();
    let replica = Replica::from(copy, &this.pool, NEVER);
    replica.until_owned("pay", "payments").await;
    assert!(replica.owners("elsewhere").is_empty());

    // A database that was restored from an older backup counts from there.
    sqlx::raw_sql("update idp.catalog_revision set revision = 0; notify idp_catalog")
        .execute(&this.pool)
        .await
        .unwrap();
    here.write("a.yaml", &component("pay", "restored"));
    here.import(&this.pool).await;
    replica.until_owned("pay", "restored").await;
    assert_eq!(replica.catalog.snapshot().revision().number, 1);
}

#[tokio::test]
async fn lookups_go_on_while_postgres_is_away_and_changes_are_seen_soon_after_it_is_back() {
    let server = Server::new();
    let url = server.start().await;
    let db = postgres::connect(&url).unwrap().pool;
    let directory = Directory::with(&[("a.yaml", &component("pay", "payments"))]);
    directory.import(&db).await;
    let replica = Replica::of(&db, POLL);
    replica.until_owned("pay", "payments").await;

    for owner in ["checkout", "shop"] {
        server.stop().await;
        assert_eq!(replica.owners("pay").len(), 1, "it answers from memory");
        directory.write("a.yaml", &component("pay", owner));
        server.start().await;
        let began = Instant::now();
        directory.import(&db).await;
        let imported = began.elapsed();
        replica.until_owned("pay", owner).await;
        println!("imported {imported:?} after Postgres was back, seen after {:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    replica.stop().await;
    drop(db);
}

#[tokio::test]
async fn the_copy_on_disk_is_the_catalog() {
    let fresh = fresh().await;
    let directory = Directory::with(&[("a.yaml", &component("pay", "payments"))]);
    directory.import(&fresh.pool).await;
    let replica = Replica::of(&fresh.pool, NEVER);
    replica.until_owned("pay", "payments").await;
    let copy = replica.copy();
    // Whoever is told to stop writes what is not written yet.
    let _disk = replica.stop().await;
    let copy = disk::read(&copy).unwrap().unwrap();
    assert_eq!(copy.snapshot.len(), 1);
    assert!(copy.snapshot.find("component:default/pay").is_some());
}

#[tokio::test]
async fn other_aliases_are_answered_at_once() {
    let fresh = fresh().await;
    let directory = Directory::with(&[("a.yaml", &component("pay", "payments"))]);
    directory.import(&fresh.pool).await;
    let replica = Replica::of(&fresh.pool, NEVER);
    replica.until_owned("pay", "payments").await;
    let pay = EntityRef::new("component", "default", "pay");
    replica.aliases.send(vec![("the till".into(), pay)]).unwrap();
    let meant = async || match replica.catalog.snapshot().resolve("the till", &[]) {
        Resolution::One(found) => found.name.to_string(),
        other => format!("{other:?}"),
    };
    until("the alias", meant, |it| it == "pay").await;
}

#[tokio::test]
async fn chains_cycles_and_crowds_are_answered_in_time() {
    let fresh = fresh().await;
    let directory = Directory::new();
    let count = at_full(100_000);
    let depending = |name: &str, on: &str| {
        component(name, "team").replace("owner: team", &format!("owner: team, dependsOn: ['{on}']"))
    };
    for first in (0..count).step_by(1_000) {
        let range = || first..(first + 1_000).min(count);
        let chain = range()
            .map(|it| depending(&format!("chain{it}"), &format!("component:chain{}", it + 1)));
        directory.write(&format!("chain{first}.yaml"), &chain.collect::<String>());
        let crowd = range().map(|it| depending(&format!("fan{it}"), "component:hub"));
        directory.write(&format!("fan{first}.yaml"), &crowd.collect::<String>());
    }
    directory.write("hub.yaml", &component("hub", "team"));
    directory.write(
        "circle.yaml",
        &[("a", "b"), ("b", "c"), ("c", "a"), ("self", "self")]
            .map(|(name, on)| depending(name, &format!("component:{on}")))
            .concat(),
    );
    let report = directory.import(&fresh.pool).await;
    assert_eq!(report.entities.total, 2 * count as u64 + 5);
    println!("{} entities imported in {:.2} s", report.entities.total, report.seconds);

    let began = Instant::now();
    let snapshot = flow::load(&fresh.pool, &[]).await.unwrap();
    println!("loaded in {:.2} s", began.elapsed().as_secs_f64());
    let last = format!("chain{}", count - 1);
    for (name, dependents) in
        [(last.as_str(), count - 1), ("hub", count), ("a", 2), ("self", 0), ("chain0", 0)]
    {
        let entity = snapshot.find(&format!("component:default/{name}")).unwrap();
        let began = Instant::now();
        let reach = snapshot.dependents(entity, &Filter::default(), 0, 20);
        println!("{} dependents of {name} in {:?}", reach.total, began.elapsed());
        assert_eq!(reach.total, dependents, "{name}");
    }
}
