//! Importing: what sources say comes into the catalog, and stays right whatever happens to them.

use idp::catalog::flow;
use sqlx::PgPool;

use crate::database::fresh;
use crate::descriptors::shared;
use crate::directory::{Directory, component, options, path};

/// Every reference in the catalog, sorted.
async fn references(db: &PgPool) -> Vec<String> {
    let all = "select ref from idp.stored_entity order by ref";
    sqlx::query_scalar(all).fetch_all(db).await.unwrap()
}

#[tokio::test]
async fn the_public_descriptors_are_imported_whole_and_the_second_time_nothing_changes() {
    let Some(corpus) = shared("corpus/backstage") else { return };
    let fresh = fresh().await;
    let sources = [path(&corpus)];

    let first = flow::import(&fresh.pool, &sources, &options(&corpus)).await.unwrap();
    let second = flow::import(&fresh.pool, &sources, &options(&corpus)).await.unwrap();
    println!(
        "{} files, {} documents, {} entities in {:.2} s; again in {:.3} s; {} problems",
        first.files,
        first.documents,
        first.entities.total,
        first.seconds,
        second.seconds,
        first.problems.len()
    );
    assert_eq!(second.entities.created + second.entities.updated + second.entities.removed, 0);
    assert_eq!(second.entities.unchanged, first.entities.total);
    assert_eq!(second.problems, first.problems);
    assert!(second.seconds < first.seconds / 5.0, "{} s", second.seconds);
}

#[tokio::test]
async fn a_conflict_names_both_places() {
    let fresh = fresh().await;
    let directory = Directory::with(&[
        ("a.yaml", &component("pay", "payments")),
        ("b.yaml", &component("Pay", "checkout")),
    ]);
    let report = directory.import(&fresh.pool).await;
    assert_eq!(references(&fresh.pool).await, ["component:default/pay"]);
    let [problem] = &report.problems[..] else { panic!("{:#?}", report.problems) };
    assert_eq!((problem.file.as_str(), problem.rule.as_str()), ("b.yaml", "conflict"));
    assert!(problem.message.contains("a.yaml"), "{}", problem.message);
}
