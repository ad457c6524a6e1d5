//! Importing again and again, as `idp serve` does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use idp::catalog::flow::{self, Refresh};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::database::fresh;
use crate::directory::{Directory, component, path};
use crate::waiting::until;

struct Importing {
    refresh: Arc<Mutex<Refresh>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Importing {
    fn of(directories: &[&Directory], db: &PgPool, every: Duration) -> Importing {
        let sources = directories.iter().map(|it| it.source()).collect();
        let options = directories[0].options.clone();
        let refresh = Arc::new(Mutex::new(Refresh { sources, options, every }));
        let stop = CancellationToken::new();
        let asked = refresh.clone();
        let importing =
            flow::keep_importing(db.clone(), move || asked.lock().unwrap().clone(), stop.clone());
        Importing { refresh, stop, task: tokio::spawn(importing) }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// Waits until the names in the catalog, orphans in brackets, are `names`.
async fn until_named(db: &PgPool, names: &[&str]) {
    let all = "select case when orphaned_at is null then name else '(' || name || ')' end
               from idp.entity order by name";
    until("these names", async || texts(db, all).await, |found| found == names).await;
}

async fn texts(db: &PgPool, sql: &'static str) -> Vec<String> {
    sqlx::query_scalar(sql).fetch_all(db).await.unwrap()
}

const SOON: Duration = Duration::from_millis(20);

#[tokio::test]
async fn changes_come_in_by_themselves_until_it_is_told_to_stop() {
    let fresh = fresh().await;
    let directory = Directory::with(&[("a.yaml", &component("pay", "payments"))]);
    let importing = Importing::of(&[&directory], &fresh.pool, SOON);
    until_named(&fresh.pool, &["pay"]).await;
    directory.write("b.yaml", &component("cart", "checkout"));
    until_named(&fresh.pool, &["cart", "pay"]).await;
    importing.stop().await;
}

#[tokio::test]
async fn a_source_that_cannot_be_read_is_listed_and_stops_no_other() {
    let fresh = fresh().await;
    let directory = Directory::with(&[("a.yaml", &component("pay", "payments"))]);
    let importing = Importing::of(&[&directory], &fresh.pool, SOON);
    let missing = path(&directory.path().join("missing"));
    importing.refresh.lock().unwrap().sources.insert(0, missing);
    until_named(&fresh.pool, &["pay"]).await;
    directory.write("b.yaml", &component("cart", "checkout"));
    until_named(&fresh.pool, &["cart", "pay"]).await;

    let problems = flow::problems(&fresh.pool).await.unwrap();
    let [problem] = &problems[..] else { panic!("{problems:#?}") };
    assert_eq!((&*problem.file, &*problem.rule), ("directory:missing", "source"));
    importing.stop().await;
}

#[tokio::test]
async fn what_a_source_had_that_is_listed_no_more_becomes_orphans_for_others_to_take() {
    let fresh = fresh().await;
    let old = Directory::new();
    let both: String = (0..20).map(|it| component(&format!("c{it}"), "old")).collect();
    old.write("old/all.yaml", &both);
    old.write("new/some.yaml", &component("c1", "new"));
    let importing = Importing::of(&[&old], &fresh.pool, SOON);
    importing.refresh.lock().unwrap().sources = vec![path(&old.path().join("old"))];
    let orphans = "select count(*) filter (where orphaned_at is not null) || ' of ' || count(*)
                   from idp.entity";
    let counted = async || texts(&fresh.pool, orphans).await;
    until("all of the old", counted, |it| *it == ["0 of 20"]).await;
    importing.refresh.lock().unwrap().sources = vec![path(&old.path().join("new"))];
    until("all but one an orphan", counted, |it| *it == ["19 of 20"]).await;
    importing.refresh.lock().unwrap().options.orphan_grace = Duration::ZERO;
    until_named(&fresh.pool, &["c1"]).await;
    let sources = async || texts(&fresh.pool, "select name from idp.source").await;
    until("the new source alone", sources, |it| *it == ["directory:new"]).await;
    importing.stop().await;
}

#[tokio::test]
async fn of_several_processes_one_imports() {
    let fresh = fresh().await;
    let directory = Directory::with(&[("a.yaml", &component("pay", "payments"))]);
    let replicas: Vec<Importing> =
        (0..4).map(|_| Importing::of(&[&directory], &fresh.pool, SOON)).collect();
    for owner in 0..10 {
        directory.write("a.yaml", &component("pay", &format!("owner{owner}")));
        let owner = format!("group:default/owner{owner}");
        let seen = async || {
            let sought = "select exists (select from idp.change where $1 = any(owners))";
            sqlx::query_scalar(sought).bind(&owner).fetch_one(&fresh.pool).await.unwrap()
        };
        until("the change of the owner", seen, |it: &bool| *it).await;
    }
    for replica in replicas {
        replica.stop().await;
    }
    let changes = "select count(*) from idp.change";
    let changes: i64 = sqlx::query_scalar(changes).fetch_one(&fresh.pool).await.unwrap();
    assert_eq!(changes, 10, "each change was written down once");
}
