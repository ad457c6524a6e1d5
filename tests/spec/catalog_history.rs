//! History: who owned what when, and what else changed.

use std::time::Duration;

use idp::catalog::EntityRef;
use idp::catalog::flow::{self, Change};
use serde_json::json;
use sqlx::PgPool;

use crate::database::fresh;
use crate::directory::{Directory, component};

async fn history(db: &PgPool, name: &str) -> Vec<Change> {
    let reference = EntityRef::new("component", "default", name);
    let (changes, total) = flow::history(db, &reference, 0, 100).await.unwrap();
    assert_eq!(changes.len() as i64, total);
    changes
}

/// `what owners`, oldest first.
fn told(changes: &[Change]) -> Vec<String> {
    changes.iter().rev().map(|it| format!("{} {}", it.what, it.owners.join(", "))).collect()
}

#[tokio::test]
async fn it_says_who_owned_what_when() {
    let fresh = fresh().await;
    let mut directory = Directory::with(&[("a.yaml", &component("pay", "payments"))]);
    directory.import(&fresh.pool).await;
    directory.write("a.yaml", &component("pay", "[checkout, user:ada]"));
    directory.import(&fresh.pool).await;
    directory.remove("a.yaml");
    directory.import(&fresh.pool).await;
    directory.write("b.yaml", &component("pay", "checkout"));
    directory.import(&fresh.pool).await;
    directory.remove("b.yaml");
    directory.options.orphan_grace = Duration::ZERO;
    directory.import(&fresh.pool).await;

    let changes = history(&fresh.pool, "pay").await;
    assert_eq!(
        told(&changes),
        [
            "created group:default/payments",
            "updated group:default/checkout, user:default/ada",
            "orphaned group:default/checkout, user:default/ada",
            "restored group:default/checkout",
            "orphaned group:default/checkout",
            "removed group:default/checkout",
        ]
    );
    assert!(changes.is_sorted_by_key(|it| std::cmp::Reverse(it.at)));
    assert_eq!(changes[2].file, "b.yaml");
}

#[tokio::test]
async fn an_update_names_each_field_with_what_it_was_and_is() {
    let fresh = fresh().await;
    let directory = Directory::with(&[("a.yaml", &component("pay", "payments"))]);
    directory.import(&fresh.pool).await;
    let changed = component("pay", "checkout").replace("{name: pay}", "{name: pay, tags: [pci]}");
    directory.write("a.yaml", &changed);
    directory.import(&fresh.pool).await;

    let newest = &history(&fresh.pool, "pay").await[0];
    let fields = newest.fields.iter().map(|it| json!([it.path, it.before, it.after]));
    assert_eq!(
        fields.collect::<Vec<_>>(),
        [json!(["metadata.tags", null, ["pci"]]), json!(["spec.owner", "payments", "checkout"])]
    );
}

#[tokio::test]
async fn nothing_is_written_down_when_only_the_place_is_another() {
    let fresh = fresh().await;
    let directory = Directory::with(&[("a.yaml", &component("pay", "payments"))]);
    directory.import(&fresh.pool).await;
    directory.write("a.yaml", &format!("# A comment.\n{}", component("pay", "payments")));
    let report = directory.import(&fresh.pool).await;
    assert_eq!((report.entities.updated, report.entities.unchanged), (0, 1));
    assert_eq!(told(&history(&fresh.pool, "pay").await), ["created group:default/payments"]);
    let line = "select line from idp.entity";
    let line: i32 = sqlx::query_scalar(line).fetch_one(&fresh.pool).await.unwrap();
    assert_eq!(line, 3);
}

#[tokio::test]
async fn it_is_read_a_page_at_a_time_newest_first() {
    let fresh = fresh().await;
    let directory = Directory::new();
    for owner in ["a", "b", "c", "d"] {
        directory.write("pay.yaml", &component("pay", owner));
        directory.import(&fresh.pool).await;
    }
    let reference = EntityRef::new("Component", "default", "PAY");
    let (page, total) = flow::history(&fresh.pool, &reference, 1, 2).await.unwrap();
    assert_eq!(total, 4);
    assert_eq!(told(&page), ["updated group:default/b", "updated group:default/c"]);
}
