//! Taking deliveries, and taking up what another process left.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::timeout;

use super::{Delivery, Inbox, Left, Taken, store};

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
            match timeout(WRITE_WITHIN, store::insert(db, delivery, LEASE_S)).await {
                Ok(Ok(true)) => {}
                // Whoever wrote it down remembers it.
                Ok(Ok(false)) => return Taken::Known,
                Ok(Err(error)) => {
                    let error = format!("{:#}", anyhow::Error::new(error));
                    tracing::warn!(
                        error,
                        "could not write down what came in; answering it all the same"
                    );
                }
                Err(_) => tracing::warn!(
                    "the database takes too long to write down what came in; answering it all the same"
                ),
            }
        }
        // Of two at once, of which the database saw only one, one is answered.
        self.note(delivery)
    }

    /// The delivery is answered: nobody need take it up.
    pub async fn finish(&self, db: Option<&PgPool>, delivery: &Delivery) {
        let Some(db) = db else { return };
        if let Err(error) = store::finish(db, delivery).await {
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
