//! A door of its own: a digest falls due.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::App;
use crate::conversation::Platform;
use crate::digests::flow::{self, Desk};

/// How often it is looked for what falls due: far more often than anything is planned ahead.
const PLAN_EVERY: Duration = Duration::from_secs(15);

impl App {
    /// Plans digests as they fall due, until `stop`.
    pub async fn plan_digests(&self, stop: CancellationToken) {
        loop {
            self.plan_due_digests().await;
            if stop.run_until_cancelled(tokio::time::sleep(PLAN_EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// Plans what is due now; the next look makes up for one that failed.
    pub async fn plan_due_digests(&self) {
        let Some(db) = (**self.db.load()).as_ref().map(|db| db.pool.clone()) else { return };
        match flow::plan(&db, &self.desk()).await {
            Ok(0) => {}
            Ok(deliveries) => tracing::info!(deliveries, "planned digests"),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(error, "could not plan digests");
            }
        }
    }

    /// What digests are made of now.
    pub fn desk(&self) -> Desk {
        Desk {
            digests: self.digests.load_full(),
            snapshot: self.snapshot(),
            scorecards: self.scorecards.load_full(),
            connected: self.connected.load().to_vec(),
        }
    }

    /// Something can be posted on `platform` from now on.
    pub fn connect(&self, platform: Platform) {
        self.connected.rcu(|connected| {
            let mut connected = connected.to_vec();
            if !connected.contains(&platform) {
                connected.push(platform);
            }
            connected
        });
    }
}
