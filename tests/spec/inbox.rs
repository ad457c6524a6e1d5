//! What comes in several times at once is taken once, and nobody hears that it is known before it is written down.

use std::sync::Arc;

use futures_util::future::join_all;
use idp::chat::inbox::{Delivery, Inbox, Taken};
use serde_json::json;
use sqlx::PgPool;

use crate::database;
use crate::scale::at_full;

/// How many copies arrive at once.
const COPIES: usize = 8;

fn delivery(number: usize) -> Delivery {
    let (tenant, envelope) = ("T0ACME".to_string(), format!("Ev{number}"));
    Delivery { platform: "slack", tenant, envelope, body: json!({ "number": number }) }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_copies_that_come_at_once_one_is_taken_and_all_find_it_written_down() {
    let fresh = database::fresh().await;
    let inbox = Arc::new(Inbox::default());
    let deliveries = at_full(10_000);
    for number in 0..deliveries {
        let copies = (0..COPIES).map(|_| {
            let (inbox, db) = (inbox.clone(), fresh.pool.clone());
            tokio::spawn(async move {
                let taken = inbox.take(Some(&db), &delivery(number)).await;
                let written: i64 =
                    sqlx::query_scalar("select count(*) from idp.inbox where envelope = $1")
                        .bind(delivery(number).envelope)
                        .fetch_one(&db)
                        .await
                        .unwrap();
                (taken, written)
            })
        });
        let mut taken = 0;
        for copy in join_all(copies).await {
            let (of_copy, written) = copy.unwrap();
            assert_eq!(written, 1, "delivery {number} was acknowledged before it was written down");
            taken += usize::from(of_copy == Taken::New);
        }
        assert_eq!(taken, 1, "delivery {number}");
    }
    println!(
        "REL D1-inbox {deliveries} deliveries, {COPIES} copies at once: each taken once, written down before any was told"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_one_of_the_copies_is_taken_too() {
    let inbox = Arc::new(Inbox::default());
    for number in 0..1_000 {
        let copies = (0..COPIES).map(|_| {
            let inbox = inbox.clone();
            tokio::spawn(async move { inbox.take(None, &delivery(number)).await })
        });
        let taken =
            join_all(copies).await.into_iter().filter(|it| *it.as_ref().unwrap() == Taken::New);
        assert_eq!(taken.count(), 1, "delivery {number}");
    }
}

/// Two processes have no memory in common: without the row each of them takes it.
#[tokio::test]
async fn what_is_not_written_down_is_taken_by_each_process() {
    let (one, other) = (Inbox::default(), Inbox::default());
    assert_eq!(one.take(None, &delivery(1)).await, Taken::New);
    assert_eq!(other.take(None, &delivery(1)).await, Taken::New);
    let fresh = database::fresh().await;
    assert_eq!(one.take(Some(&fresh.pool), &delivery(2)).await, Taken::New);
    assert_eq!(other.take(Some(&fresh.pool), &delivery(2)).await, Taken::Known);
}

/// What is taken at once while nothing can be written; in how many transactions it was written then.
async fn taken_at_once(inboxes: &[Inbox], deliveries: Vec<Delivery>, pool: &PgPool) -> i64 {
    let mut held = pool.begin().await.unwrap();
    sqlx::raw_sql("lock table idp.inbox in exclusive mode").execute(&mut *held).await.unwrap();
    let all = deliveries.iter().zip(inboxes.iter().cycle());
    let all = join_all(all.map(|(delivery, inbox)| inbox.take(Some(pool), delivery)));
    let waits = "select exists (select from pg_locks where relation = 'idp.inbox'::regclass and not granted)";
    let released = async {
        while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut *held).await.unwrap() {
            tokio::task::yield_now().await;
        }
        held.commit().await.unwrap();
    };
    let (taken, ()) = tokio::join!(all, released);
    assert!(taken.iter().all(|it| *it == Taken::New), "{taken:?}");
    let transactions = "select count(distinct xmin::text) from idp.inbox";
    sqlx::query_scalar(transactions).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn what_comes_while_the_database_is_slow_is_written_down_together() {
    let fresh = database::fresh().await;
    let deliveries = (0..40).map(delivery).collect();
    let transactions = taken_at_once(&[Inbox::default()], deliveries, &fresh.pool).await;
    assert!(transactions <= 2, "{transactions} transactions");
}

/// The control: nobody gathers what others take.
#[tokio::test]
async fn what_comes_to_several_processes_each_writes_down_for_itself() {
    let fresh = database::fresh().await;
    let inboxes: Vec<_> = (0..8).map(|_| Inbox::default()).collect();
    let deliveries = (0..8).map(delivery).collect();
    assert_eq!(taken_at_once(&inboxes, deliveries, &fresh.pool).await, 8);
}

/// It is answered all the same, from memory.
#[tokio::test]
async fn what_the_database_cannot_hold_keeps_no_other_from_being_written_down() {
    let fresh = database::fresh().await;
    let mut deliveries: Vec<_> = (0..10).map(delivery).collect();
    deliveries[5].body = json!({ "text": "a\0b" });
    taken_at_once(&[Inbox::default()], deliveries, &fresh.pool).await;
    let written = "select string_agg(envelope, ' ' order by envelope) from idp.inbox";
    let written: String = sqlx::query_scalar(written).fetch_one(&fresh.pool).await.unwrap();
    assert_eq!(written, "Ev0 Ev1 Ev2 Ev3 Ev4 Ev6 Ev7 Ev8 Ev9");
}
