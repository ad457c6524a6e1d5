//! The doors: someone types a command, someone clicks a button.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::access::{Links, Person};
use crate::catalog::{Catalog, Snapshot};
use crate::commands::flow::{self, Means};
use crate::commands::parse::{begun, parse};
use crate::commands::recent::{Key, Recent};
use crate::commands::resolve::Question;
use crate::commands::unanswered::Unanswered;
use crate::commands::{CommandSet, completion, form, reply};
use crate::conversation::{Click, Form, Invocation, Query, Reply, Suggestion};
use crate::error::{Error, Refusal, Result};
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
    /// Which account is whose.
    pub links: Links,
    /// `None` while there is no database: lookups answer all the same.
    pub db: ArcSwap<Option<Db>>,
    pub http: Client,
    /// What was asked in vain and is not written down yet.
    pub unanswered: Unanswered,
    recent: Recent,
}

/// What a question is about, as it stood when it was heard.
struct Heard {
    snapshot: Arc<Snapshot>,
    commands: Arc<CommandSet>,
    person: Person,
}

impl Heard {
    fn question<'a>(&'a self, invocation: &'a Invocation) -> Result<Question<'a>> {
        let Heard { snapshot, commands, person } = self;
        let call = parse(commands, snapshot, &invocation.text)?;
        Ok(Question::of(call, commands, snapshot, person, &invocation.address)?)
    }
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
            links: Links::default(),
            db: ArcSwap::from_pointee(db),
            http,
            unanswered: Unanswered::default(),
            recent: Recent::default(),
        }
    }

    /// Door one. Never fails: what went wrong is said too.
    pub async fn answer(&self, invocation: Invocation) -> Reply {
        let now = now();
        let heard = self.heard(&invocation);
        let answered =
            isolated(async { self.reply(&heard.question(&invocation)?, now).await }).await;
        self.said(&invocation, answered, now)
    }

    /// Door one for a platform: what [`App::answer`] says, as `show` makes it.
    ///
    /// `show` must depend on nothing but the reply: what was shown lately is shown again.
    pub async fn answer_shown(&self, invocation: Invocation, show: fn(&Reply) -> Bytes) -> Bytes {
        let now = now();
        let heard = self.heard(&invocation);
        let recent = self.recent.of(&heard.snapshot, &heard.commands);
        let is_live = self.catalog.age_s(now).is_none();
        let mut key = None;
        let answered = isolated(async {
            let question = heard.question(&invocation)?;
            key = Key::of(&question, invocation.speaker.platform).filter(|_| is_live);
            if let Some(shown) = key.as_ref().and_then(|key| recent.find(key)) {
                return Ok(Err(shown));
            }
            self.reply(&question, now).await.map(Ok)
        });
        let reply = match answered.await {
            Ok(Err(shown)) => {
                count("answer");
                return shown;
            }
            Ok(Ok(reply)) => self.said(&invocation, Ok(reply), now),
            Err(error) => self.said(&invocation, Err(error), now),
        };
        let shown = show(&reply);
        if let (Some(key), None, None) = (key, &reply.refusal, reply.age_s) {
            recent.keep(key, shown.clone());
        }
        shown
    }

    /// Door two: the words behind the button, said by the person who clicked.
    pub async fn click(&self, click: Click) -> Reply {
        let Click { speaker, address, words } = click;
        self.answer(Invocation { speaker, address, text: words }).await
    }

    /// The form of the command that `words` begin, with what they give of it; `None` where there is nothing to ask.
    ///
    /// # Errors
    /// Words that begin with no command.
    pub fn form(&self, words: &str) -> Result<Option<Form>> {
        Ok(form::form(&begun(&self.commands.load(), words)?))
    }

    /// The words that the form of `command` says, filled in with names of fields and their values.
    ///
    /// # Errors
    /// A command that is no longer there.
    pub fn filled(&self, command: &str, values: &[(String, String)]) -> Result<String> {
        let commands = self.commands.load();
        let command = commands.find(command).ok_or_else(|| Refusal::UnknownCommand {
            name: command.to_string(),
            closest: Vec::new(),
        })?;
        Ok(form::words(command, values))
    }

    /// What fits the field that someone is filling in, best first; at most 25.
    pub fn suggestions(&self, query: &Query) -> Vec<Suggestion> {
        completion::suggest(&self.commands.load(), &self.catalog.snapshot(), query)
    }

    fn heard(&self, invocation: &Invocation) -> Heard {
        let snapshot = self.catalog.snapshot();
        let person = Person::of(&invocation.speaker, &self.links, &snapshot);
        Heard { snapshot, commands: self.commands.load_full(), person }
    }

    async fn reply(&self, question: &Question<'_>, now: DateTime<Utc>) -> Result<Reply> {
        let settings = self.settings.load_full();
        let db = self.db.load_full();
        let db = (*db).as_ref().map(|db| &db.pool);
        let means = Means { db, http: &self.http, secrets: &settings.secrets, now };
        let answer = flow::look_up(question, &means).await?;
        reply::say(question, answer)
    }

    /// What `answered` says, be it a no; counted, and with its age where it is not live.
    fn said(&self, invocation: &Invocation, answered: Result<Reply>, now: DateTime<Utc>) -> Reply {
        let reply = answered.unwrap_or_else(Error::into_reply);
        count(reply.refusal.as_ref().map_or("answer", |refused| outcome(&refused.code)));
        if let Some(refused) = &reply.refusal {
            self.unanswered.note(invocation, refused, now);
        }
        reply::aged(reply, self.catalog.age_s(now), now)
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

fn count(outcome: &'static str) {
    metrics::counter!("idp_answers_total", "outcome" => outcome).increment(1);
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
