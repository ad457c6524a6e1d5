//! Importing again and again, as `idp serve` does.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use idp::catalog::flow::{self, Refresh};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::database::fresh;
use crate::directory::{Directory, component, path};

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
async fn until(db: &PgPool, names: &[&str]) {
    let began = Instant::now();
    let all = "select case when orphaned_at is null then name else '(' || name || ')' end
               from idp.entity order by name";
    loop {
        let found: Vec<String> = sqlx::query_scalar(all).fetch_all(db).await.unwrap();
        if found == names {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{found:?} instead of {names:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const SOON: Duration = Duration::from_millis(20);

#[tokio::test]
async fn changes_come_in_by_themselves_until_it_is_told_to_stop() {
    let fresh = fresh().await;
    let directory = Directory::with(&[("a.yaml", &component("pay", "payments"))]);
    let importing = Importing::of(&[&directory], &fresh.pool, SOON);
    until(&fresh.pool, &["pay"]).await;
    directory.write("b.yaml", &component("cart", "checkout"));
    until(&fresh.pool, &["cart", "pay"]).await;
    importing.stop().await;
}

#[tokio::test]
async fn a_source_that_cannot_be_read_is_listed_and_stops_no_other() {
    let fresh = fresh().await;
    let directory = Directory::with(&[("a.yaml", &component("pay", "payments"))]);
    let importing = Importing::of(&[&directory], &fresh.pool, SOON);
    let missing = path(&directory.path().join("missing"));
    importing.refresh.lock().unwrap().sources.insert(0, missing);
    until(&fresh.pool, &["pay"]).await;
    directory.write("b.yaml", &component("cart", "checkout"));
    until(&fresh.pool, &["cart", "pay"]).await;

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
    let count = |db: PgPool| async move {
        let count = "select count(*) filter (where orphaned_at is null) || ' of ' || count(*) from idp.entity";
        sqlx::query_scalar::<_, String>(count).fetch_one(&db).await.unwrap()
    };
    let began = Instant::now();
    while count(fresh.pool.clone()).await != "20 of 20" {
        assert!(began.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(SOON).await;
    }
    importing.refresh.lock().unwrap().sources = vec![path(&old.path().join("new"))];
    while count(fresh.pool.clone()).await != "1 of 20" {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", count(fresh.pool.clone()).await);
        tokio::time::sleep(SOON).await;
    }
    importing.refresh.lock().unwrap().options.orphan_grace = Duration::ZERO;
    until(&fresh.pool, &["c1"]).await;
    let sources = "select name from idp.source";
    while sqlx::query_scalar::<_, String>(sources).fetch_all(&fresh.pool).await.unwrap()
        != ["directory:new"]
    {
        assert!(began.elapsed() < Duration::from_secs(20), "the source is still known");
        tokio::time::sleep(SOON).await;
    }
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
        let sought = format!(
            "select exists (select from idp.change where 'group:default/owner{owner}' = any(owners))"
        );
        let began = Instant::now();
        while !sqlx::query_scalar::<_, bool>(sqlx::AssertSqlSafe(sought.clone()))
            .fetch_one(&fresh.pool)
            .await
            .unwrap()
        {
            assert!(began.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(SOON).await;
        }
    }
    for replica in replicas {
        replica.stop().await;
    }
    let changes = "select count(*) from idp.change";
    let changes: i64 = sqlx::query_scalar(changes).fetch_one(&fresh.pool).await.unwrap();
    assert_eq!(changes, 10, "each change was written down once");
}
