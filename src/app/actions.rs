//! A door of its own: what was approved is done, and what nobody decided on ends.

use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{App, now};
use crate::actions::dispatch::flow::{self, Office};
use crate::actions::flow::tick;
use crate::actions::gate;
use crate::fail_point::reached;

/// How often it is looked for what is to be done: whoever approves waits for it.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often it is looked for requests whose time is over: so many looks later.
const TICK_EVERY: u32 = 10;

impl App {
    /// Does what was approved and ends what nobody decided on, until `stop`; what it has begun is waited for.
    pub async fn keep_actions(&self, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let mut looks = 0_u32;
        loop {
            if let Some(db) = self.pool() {
                if let Err(error) = self.do_what_is_due(&db, &tasks).await {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "could not do what was approved");
                }
                if looks.is_multiple_of(TICK_EVERY) {
                    self.end_what_is_overdue(&db).await;
                    self.answer_for_deployments(&db, &tasks);
                }
            }
            looks = looks.wrapping_add(1);
            if stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
                break;
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    /// Takes up what is to be done now, each in a task of `tasks`; how much there was.
    ///
    /// # Errors
    /// The database.
    pub async fn do_what_is_due(&self, db: &PgPool, tasks: &TaskTracker) -> anyhow::Result<usize> {
        let claimed = flow::claim(db, &self.process).await?;
        let count = claimed.len();
        if count > 0 {
            reached("work-claimed");
        }
        for it in claimed {
            let office = self.office(db);
            tasks.spawn(async move {
                if let Err(error) = flow::advance(&office, &it).await {
                    let (request, error) = (it.request, format!("{error:#}"));
                    tracing::warn!(request, error, "could not go on with what was approved");
                }
            });
        }
        Ok(count)
    }

    async fn end_what_is_overdue(&self, db: &PgPool) {
        if let Err(error) = tick(&self.office(db).desk()).await {
            let error = format!("{error:#}");
            tracing::warn!(error, "could not end requests whose time is over");
        }
    }

    /// Tells GitHub of deployments that do not go on, in a task of `tasks`.
    fn answer_for_deployments(&self, db: &PgPool, tasks: &TaskTracker) {
        let office = self.office(db);
        if office.integrations.github.is_none() {
            return;
        }
        tasks.spawn(async move {
            if let Err(error) = gate::flow::tick(&office).await {
                let error = format!("{error:#}");
                tracing::warn!(error, "could not tell GitHub of deployments");
            }
        });
    }

    /// All that doing something takes, as it is now.
    pub fn office(&self, db: &PgPool) -> Office {
        let settings = self.settings.load();
        Office {
            db: db.clone(),
            owner: self.process.clone(),
            key: self.key.clone(),
            actions: self.actions.load_full(),
            snapshot: self.snapshot(),
            links: self.links.clone(),
            authority: settings.access.clone(),
            connected: self.connected.load().to_vec(),
            rotas: self.on_call.load_full(),
            alarm: settings.break_glass.clone(),
            http: self.http.clone(),
            integrations: settings.integrations.clone(),
            secrets: settings.secrets.clone(),
            tokens: self.tokens.clone(),
            public_url: settings.public_url.clone(),
            now: now(),
        }
    }

    /// The database, where there is one.
    pub fn pool(&self) -> Option<PgPool> {
        (**self.db.load()).as_ref().map(|db| db.pool.clone())
    }
}
