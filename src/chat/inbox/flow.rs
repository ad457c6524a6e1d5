//! Taking deliveries, and taking up what another process left.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::error::DatabaseError;
use tokio::time::timeout;

use super::store::{self, Key};
use super::{Delivery, Finished, Inbox, Left, Taken, Written};

/// Longer than any answer takes; after it the process that took the delivery counts as dead.
const LEASE_S: f64 = 30.0;

/// Slack and Discord wait three seconds for an acknowledgement.
const WRITE_WITHIN: Duration = Duration::from_millis(1_500);

/// What came in longer ago is not done any more: whoever asked has asked again, and who clicked looks elsewhere.
const FRESH_S: f64 = 300.0;

impl Inbox {
    /// Writes `delivery` down, once however often it is delivered, to whichever process. Whoever is told
    /// that it is known may acknowledge it: by then it is written down, or being answered.
    pub async fn take(&self, db: Option<&PgPool>, delivery: &Delivery) -> Taken {
        if self.knows(delivery) {
            return Taken::Known;
        }
        if let Some(db) = db {
            let pool = db.clone();
            let written = self.taking.write(delivery.clone(), move |all| write(pool.clone(), all));
            match timeout(WRITE_WITHIN, written).await {
                Ok(Some(Ok(true))) => {}
                // Whoever wrote it down remembers it.
                Ok(Some(Ok(false))) => return Taken::Known,
                Ok(Some(Err(error))) => {
                    let error = format!("{:#}", anyhow::Error::new(error));
                    tracing::warn!(
                        error,
                        "could not write down what came in; answering it all the same"
                    );
                }
                Ok(None) | Err(_) => tracing::warn!(
                    "the database takes too long to write down what came in; answering it all the same"
                ),
            }
        }
        // Of two at once, of which the database saw only one, one is answered.
        self.note(delivery)
    }

    /// The delivery is answered: nobody need take it up.
    pub async fn finish(&self, db: Option<&PgPool>, delivery: &Delivery) {
        let Some(db) = db.cloned() else { return };
        let finished = self.finishing.write(delivery.clone(), move |all| finish(db.clone(), all));
        if let Some(Err(error)) = finished.await {
            let error = format!("{:#}", anyhow::Error::new(error));
            tracing::warn!(error, "could not note that an answer went out; it may go out again");
        }
    }

    /// What other processes took and did not answer, now ours. What is long done is forgotten.
    ///
    /// # Errors
    /// The database's.
    pub async fn take_up(&self, db: &PgPool, platform: &'static str) -> sqlx::Result<Vec<Left>> {
        store::forget(db).await?;
        store::claim(db, platform, LEASE_S, FRESH_S).await
    }
}

/// Whether each of `deliveries` was new. One that the database cannot hold keeps no other from being written.
async fn write(db: PgPool, deliveries: Vec<Delivery>) -> Vec<Written> {
    match insert(&db, &deliveries).await {
        Err(error) if deliveries.len() > 1 && is_of_data(&error) => {
            let mut each = Vec::new();
            for one in deliveries.chunks(1) {
                each.extend(of_each(one, insert(&db, one).await));
            }
            each
        }
        written => of_each(&deliveries, written),
    }
}

async fn insert(db: &PgPool, deliveries: &[Delivery]) -> sqlx::Result<HashSet<Key>> {
    let inserted = timeout(WRITE_WITHIN, store::insert(db, deliveries, LEASE_S)).await;
    inserted.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// What became of each, where `new` are those that were not there before.
fn of_each(deliveries: &[Delivery], new: sqlx::Result<HashSet<Key>>) -> Vec<Written> {
    let new = new.map_err(Arc::new);
    let is_new = |it: &Delivery| {
        new.as_ref()
            .map(|new| new.contains(&(it.tenant.clone(), it.envelope.clone())))
            .map_err(Arc::clone)
    };
    deliveries.iter().map(is_new).collect()
}

/// Whether it is what is written that the database does not take: the class 22 of its errors.
fn is_of_data(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| code.starts_with("22"))
}

async fn finish(db: PgPool, deliveries: Vec<Delivery>) -> Vec<Finished> {
    let finished = store::finish_all(&db, &deliveries).await.map_err(Arc::new);
    vec![finished; deliveries.len()]
}
