//! The doors: someone types a command, someone clicks a button.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::access;
use crate::catalog::Catalog;
use crate::commands::flow::{self, Means};
use crate::commands::parse::parse;
use crate::commands::resolve::Question;
use crate::commands::unanswered::Unanswered;
use crate::commands::{CommandSet, reply};
use crate::conversation::{Click, Invocation, Reply};
use crate::error::{Error, Result};
use crate::integrations::http::Client;
use crate::portal::Settings;
use crate::postgres::Db;

/// How often what was asked in vain is written down.
const RECORD_EVERY: Duration = Duration::from_secs(10);

/// Everything a question may need. Only `catalog` and `commands` are needed for lookups.
pub struct App {
    pub catalog: Arc<Catalog>,
    pub commands: ArcSwap<CommandSet>,
    pub settings: ArcSwap<Settings>,
    /// `None` while there is no database: lookups answer all the same.
    pub db: ArcSwap<Option<Db>>,
    pub http: Client,
    /// What was asked in vain and is not written down yet.
    pub unanswered: Unanswered,
}

impl App {
    /// `db` is `None` while there is no database; the field takes it once it answers.
    pub fn new(
        catalog: Arc<Catalog>,
        commands: CommandSet,
        settings: Settings,
        db: Option<Db>,
        http: Client,
    ) -> App {
        App {
            catalog,
            commands: ArcSwap::from_pointee(commands),
            settings: ArcSwap::from_pointee(settings),
            db: ArcSwap::from_pointee(db),
            http,
            unanswered: Unanswered::default(),
        }
    }

    /// Door one. Never fails: what went wrong is said too.
    pub async fn answer(&self, invocation: Invocation) -> Reply {
        let now = now();
        let answered = isolated(self.run(&invocation, now)).await;
        let reply = answered.unwrap_or_else(Error::into_reply);
        let outcome = reply.refusal.as_ref().map_or("answer", |refused| outcome(&refused.code));
        metrics::counter!("idp_answers_total", "outcome" => outcome).increment(1);
        if let Some(refused) = &reply.refusal {
            self.unanswered.note(&invocation, refused, now);
        }
        reply::aged(reply, self.catalog.age_s(now), now)
    }

    /// Door two: the words behind the button, said by the person who clicked.
    pub async fn click(&self, click: Click) -> Reply {
        let Click { speaker, address, words } = click;
        self.answer(Invocation { speaker, address, text: words }).await
    }

    async fn run(&self, invocation: &Invocation, now: DateTime<Utc>) -> Result<Reply> {
        let snapshot = self.catalog.snapshot();
        let commands = self.commands.load_full();
        let person = access::person(&snapshot, &invocation.speaker);
        let call = parse(&commands, &snapshot, &invocation.text)?;
        let question = Question::of(call, &commands, &snapshot, &person, &invocation.address)?;
        let settings = self.settings.load_full();
        let db = self.db.load_full();
        let db = (*db).as_ref().map(|db| &db.pool);
        let means = Means { db, http: &self.http, secrets: &settings.secrets, now };
        let answer = flow::look_up(&question, &means).await?;
        reply::say(&question, answer)
    }

    /// Writes down what was asked in vain, now and then and once more at the end, until `stop`.
    pub async fn record_unanswered(&self, stop: CancellationToken) {
        loop {
            let is_last =
                stop.run_until_cancelled(tokio::time::sleep(RECORD_EVERY)).await.is_none();
            if let Some(db) = &*self.db.load_full()
                && let Err(error) = flow::record_unanswered(&db.pool, &self.unanswered).await
            {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "could not record unanswered questions"
                );
            }
            if is_last {
                return;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a door asks the clock")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

/// A label of the metric, of which there must not be many.
fn outcome(code: &str) -> &'static str {
    match code {
        "unavailable" => "unavailable",
        _ => "refusal",
    }
}

/// What `work` gives; a panic in it is a fault of this one question and of no other.
async fn isolated<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut work = pin!(work);
    poll_fn(|context| {
        // Nothing outlives a question but counters and swapped pointers, which are whole at all times.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(polled) => polled,
            Err(panic) => {
                Poll::Ready(Err(Error::Fault(anyhow::anyhow!("panic: {}", said(&*panic)))))
            }
        }
    })
    .await
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_question_and_tells_a_reference() {
        let number = "12".to_string();
        let reply = isolated::<Reply>(async move { panic!("secret {number}") })
            .await
            .unwrap_or_else(Error::into_reply);
        assert!(reply.markdown.contains("Tell the platform team the reference"), "{reply:?}");
        assert!(!reply.markdown.contains("secret"), "{reply:?}");
        let fine = isolated(async { Ok(Reply::markdown("fine")) }).await.unwrap();
        assert_eq!(fine.markdown, "fine");
    }

    #[tokio::test]
    #[should_panic(expected = "not isolated")]
    async fn a_panic_that_is_not_isolated_ends_more() {
        async { panic!("not isolated") }.await
    }
}
