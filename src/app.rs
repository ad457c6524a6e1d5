//! The doors: someone types a command, someone clicks a button.

pub mod actions;
pub mod digests;
pub mod home;
pub mod shortcut;
pub mod unfurl;

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::access::email::Profiles;
use crate::access::{Links, Object, Permit, Person, Verb};
use crate::actions::ActionSet;
use crate::actions::flow::may_ask;
use crate::catalog::snapshot::Unread;
use crate::catalog::{Catalog, Snapshot};
use crate::commands::asked::AskedLately;
use crate::commands::completion::{self, Completions};
use crate::commands::file::Lookup;
use crate::commands::flow::{self, Means};
use crate::commands::parse::{begun, named, parse};
use crate::commands::recent::{Key, Recent, Shown};
use crate::commands::resolve::Question;
use crate::commands::unanswered::Unanswered;
use crate::commands::{CommandSet, form, reply};
use crate::conversation::{
    Click, Form, Invocation, Platform, Query, Reply, Speaker, Suggestion, Way,
};
use crate::digests::DigestSet;
use crate::digests::flow::Desk;
use crate::error::{Error, Refusal, Result};
use crate::integrations::github;
use crate::integrations::http::Client;
use crate::on_call::{Rotas, Watch};
use crate::pictures::Drawing;
use crate::portal::Settings;
use crate::postgres::Db;
use crate::scorecards::ScorecardSet;
use crate::usage::{self, ANSWER, FAULT, NOTHING, Usage, Use};
use crate::vault;

/// How often what was asked is written down, and how often.
const RECORD_EVERY: Duration = Duration::from_secs(10);

/// How many decisions are written down at a time: as many more keep the database from writing down what comes in, and
/// none of them is faster for it.
pub const DECISIONS_MAX: usize = 4;

/// Everything a question may need. Only `catalog` and `commands` are needed for lookups.
pub struct App {
    pub catalog: Arc<Catalog>,
    pub commands: ArcSwap<CommandSet>,
    pub scorecards: ArcSwap<ScorecardSet>,
    pub settings: ArcSwap<Settings>,
    /// Which account is whose.
    pub links: Arc<Links>,
    /// Who can ask Slack about an account, once it is connected.
    pub profiles: OnceLock<Arc<dyn Profiles>>,
    /// What teams are told on a schedule.
    pub digests: ArcSwap<DigestSet>,
    /// What people ask for and others approve.
    pub actions: ArcSwap<ActionSet>,
    /// Who is on call.
    pub on_call: ArcSwap<Rotas>,
    /// The platforms on which something can be posted, once they are connected.
    pub connected: ArcSwap<Vec<Platform>>,
    /// `None` while there is no database: lookups answer all the same.
    pub db: ArcSwap<Option<Db>>,
    pub http: Client,
    /// What values are sealed and signed with.
    pub key: vault::Key,
    /// Of those who decide on requests.
    pub turns: Semaphore,
    /// What was asked in vain and is not written down yet.
    pub unanswered: Unanswered,
    /// What was asked, and is not written down yet.
    pub asked: AskedLately,
    /// What this process is called among all of them.
    pub process: String,
    /// Of the apps that GitHub is called as.
    pub tokens: Arc<github::Tokens>,
    /// How often what was asked, as far as it is not written down yet.
    pub usage: Usage,
    recent: Recent,
}

/// What a question is about, as it stood when it was heard.
struct Heard {
    way: Way,
    at: DateTime<Utc>,
    /// The same moment, by which it is told how long an answer takes.
    since: Instant,
    snapshot: Arc<Snapshot>,
    commands: Arc<CommandSet>,
    settings: Arc<Settings>,
    scorecards: Arc<ScorecardSet>,
    actions: Arc<ActionSet>,
    rotas: Arc<Rotas>,
    person: Person,
}

impl Heard {
    fn watch(&self) -> Watch<'_> {
        Watch { rotas: &self.rotas, at: self.at }
    }

    /// `command` takes the name of the one that is meant, be it answered or not.
    fn question<'a>(
        &'a self,
        invocation: &'a Invocation,
        command: &mut &'a str,
    ) -> Result<Question<'a>> {
        let Heard { snapshot, commands, .. } = self;
        let call = parse(commands, snapshot, &invocation.text);
        let meant =
            || named(commands, &invocation.text).map_or("", |command| command.name.as_str());
        *command = call.as_ref().map_or_else(|_| meant(), |call| call.command.name.as_str());
        // Who may not ask learns nothing from words that were not understood, either.
        let verb = call.as_ref().map_or(Verb::Read, |call| call.command.lookup.verb());
        let permit = self.permit(verb)?;
        Ok(Question::of(permit, call?, commands, snapshot, &invocation.address)?)
    }

    /// As [`Heard::question`], of a form.
    fn form<'a>(&'a self, click: &Click, command: &mut &'a str) -> Result<Option<Form>> {
        let call = begun(&self.commands, &click.words);
        *command = call.as_ref().map_or("", |call| call.command.name.as_str());
        let verb = call.as_ref().map_or(Verb::Read, |call| call.command.lookup.verb());
        let permit = self.permit(verb)?;
        Ok(form::form(permit, &self.commands, &self.actions, &self.snapshot, &call?))
    }

    fn permit(&self, verb: Verb) -> std::result::Result<Permit<'_>, Refusal> {
        self.settings.access.authorize(&self.person, self.way, verb, Object::Catalog)
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
        key: vault::Key,
    ) -> App {
        App {
            catalog,
            commands: ArcSwap::from_pointee(commands),
            scorecards: ArcSwap::default(),
            settings: ArcSwap::from_pointee(settings),
            digests: ArcSwap::default(),
            actions: ArcSwap::default(),
            on_call: ArcSwap::default(),
            connected: ArcSwap::default(),
            links: Arc::default(),
            profiles: OnceLock::new(),
            db: ArcSwap::from_pointee(db),
            http,
            key,
            turns: Semaphore::new(DECISIONS_MAX),
            unanswered: Unanswered::default(),
            asked: AskedLately::default(),
            usage: Usage::default(),
            process: format!("{:016x}", rand::random::<u64>()),
            tokens: Arc::default(),
            recent: Recent::default(),
        }
    }

    /// Door one, for what came in by `way`. Never fails: what went wrong is said too.
    pub async fn answer(&self, way: Way, invocation: Invocation) -> Reply {
        let _turn = self.turn(&invocation).await;
        let heard = self.heard(way, &invocation.speaker);
        let (answered, command) = self.answered(&heard, &invocation).await;
        self.note(&heard, command, how(&answered));
        self.said(&heard, &invocation, answered)
    }

    /// [`App::answer`] to what was answered before, when the answer could not be shown: it is counted once.
    pub async fn answer_again(&self, way: Way, invocation: Invocation) -> Reply {
        let heard = self.heard(way, &invocation.speaker);
        let (answered, _) = self.answered(&heard, &invocation).await;
        self.said(&heard, &invocation, answered)
    }

    /// The answer, and the name of the command that is meant.
    async fn answered<'a>(
        &self,
        heard: &'a Heard,
        invocation: &'a Invocation,
    ) -> (Result<Reply>, &'a str) {
        let mut command = "";
        let answered = isolated(async {
            let question = heard.question(invocation, &mut command)?;
            self.reply(heard, &question).await
        });
        let answered = answered.await;
        (answered, command)
    }

    /// What is said to `speaker`, who came in by `way`, where nothing can be asked because of `error`.
    pub fn refuse(&self, way: Way, speaker: &Speaker, error: Error) -> Reply {
        self.noted(&self.heard(way, speaker), Err(error))
    }

    /// What `answered` says, which no command did; counted.
    fn noted(&self, heard: &Heard, answered: Result<Reply>) -> Reply {
        self.note(heard, "", how(&answered));
        answered.unwrap_or_else(Error::into_reply)
    }

    /// Door one for a platform's commands: what [`App::answer`] says, as `show` makes it.
    ///
    /// `show` must depend on nothing but the reply: what was shown lately is shown again.
    pub async fn answer_shown(&self, invocation: Invocation, show: fn(&Reply) -> Bytes) -> Shown {
        let heard = self.heard(Way::Command, &invocation.speaker);
        let recent = self.recent.of(&heard.snapshot, &heard.commands, &heard.rotas);
        let is_live = self.catalog.age_s(heard.at).is_none();
        let (mut key, mut command) = (None, "");
        let answered = isolated(async {
            let question = heard.question(&invocation, &mut command)?;
            let kept = Key::of(&question, heard.watch(), invocation.speaker.platform);
            key = kept.filter(|_| is_live);
            if let Some(shown) = key.as_ref().and_then(|key| recent.find(key)) {
                self.asked.note(&question, heard.way, heard.at);
                return Ok(Err(shown));
            }
            self.reply(&heard, &question).await.map(Ok)
        });
        let answered = match answered.await {
            Ok(Err(shown)) => {
                count("answer");
                self.note(&heard, command, ANSWER);
                return shown;
            }
            Ok(Ok(reply)) => Ok(reply),
            Err(error) => Err(error),
        };
        let outcome = how(&answered);
        let reply = self.said(&heard, &invocation, answered);
        let message = show(&reply);
        let is_kept = reply.refusal.is_none() && reply.age_s.is_none();
        let drawing = Drawing::of(&reply.answer).map(Arc::new);
        let shown = Shown { message, audience: reply.audience, drawing };
        if let Some(key) = key.filter(|_| is_kept) {
            recent.keep(key, shown.clone());
        }
        self.note(&heard, command, outcome);
        shown
    }

    /// Door two: the form of the command that the clicked words begin, with what they give of it; `None` where
    /// there is nothing to ask, and the words are to be answered.
    ///
    /// # Errors
    /// Words that begin with no command; a person who may not ask it.
    pub fn form(&self, click: &Click) -> Result<Option<Form>> {
        let heard = self.heard(Way::Form, &click.speaker);
        let mut command = "";
        let form = heard.form(click, &mut command);
        match &form {
            Ok(Some(_)) => self.note(&heard, command, ANSWER),
            // What answers it is counted.
            Ok(None) => {}
            Err(error) => self.note(&heard, command, why(error)),
        }
        form
    }

    /// The form that `invocation` is answered with: it asks for an action without what must be given first. `None`: it is
    /// answered in words. From memory alone, for a platform waits three seconds for a form.
    pub fn form_at_once(&self, invocation: &Invocation) -> Option<Form> {
        let heard = self.heard(Way::Form, &invocation.speaker);
        let mut command = "";
        let question = heard.question(invocation, &mut command).ok()?;
        let call = &question.call;
        if !form::is_lacking(&heard.actions, call) {
            return None;
        }
        let action = heard.actions.find(&call.get("action")?.to_lowercase())?;
        let target = question.entity("target");
        let (access, snapshot) = (&heard.settings.access, &heard.snapshot);
        let fits = match (&action.target, target) {
            (Some(takes), Some(target)) => takes.takes(target, snapshot),
            (None, Some(_)) => false,
            (_, None) => true,
        };
        let may = target.is_none()
            || may_ask(access, &heard.person, Way::Command, action, target, snapshot).is_ok();
        if !fits || !may {
            return None;
        }
        let permit = heard.permit(call.command.lookup.verb()).ok()?;
        let form = form::form(permit, &heard.commands, &heard.actions, snapshot, call)?;
        self.note(&heard, command, ANSWER);
        Some(form)
    }

    /// The words that the form of `command` says, a name with what is settled, filled in with names of fields and
    /// their values.
    ///
    /// # Errors
    /// A command that is no longer there.
    pub fn filled(&self, command: &str, values: &[(String, String)]) -> Result<String> {
        let commands = self.commands.load();
        let call = begun(&commands, command).map_err(|_| Refusal::UnknownCommand {
            name: command.to_string(),
            closest: Vec::new(),
        })?;
        Ok(form::words(&call, values))
    }

    /// Door three: what fits the field that someone is filling in, best first; at most 25.
    ///
    /// Nothing for who may not ask: a list has no room for a refusal, which they hear when they send the form.
    pub fn suggestions(&self, query: &Query) -> Vec<Suggestion> {
        let heard = self.heard(Way::Typing, &query.speaker);
        let command =
            named(&heard.commands, &query.command).map_or("", |command| command.name.as_str());
        let suggest = |permit| {
            completion::suggest(permit, &heard.commands, &heard.actions, &heard.snapshot, query)
        };
        let suggestions = heard.permit(Verb::Read).map(suggest);
        self.note_shown(&heard, command, suggestions.as_ref().map(|it| !it.is_empty()));
        suggestions.unwrap_or_default()
    }

    /// Door three for a prompt: what fits the word at the end of `typed`.
    pub fn completions(&self, speaker: &Speaker, typed: &str) -> Completions {
        let heard = self.heard(Way::Typing, speaker);
        let complete =
            |permit| completion::complete(permit, &heard.commands, &heard.snapshot, typed);
        let completions = heard.permit(Verb::Read).map(complete);
        self.note_shown(&heard, "", completions.as_ref().map(|it| !it.words.is_empty()));
        completions.unwrap_or_default()
    }

    /// What questions are answered from.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        let snapshot = self.catalog.snapshot();
        match snapshot.why_unread() {
            Some(Unread::NoImport) if self.settings.load().sources.is_empty() => {
                Arc::new(Snapshot::unread(Unread::NoSources))
            }
            _ => snapshot,
        }
    }

    /// What decides waits for its turn, before anything is looked at that it depends on; nothing else does.
    async fn turn(&self, invocation: &Invocation) -> Option<SemaphorePermit<'_>> {
        let is_decision = match named(&self.commands.load(), &invocation.text)?.lookup {
            Lookup::BuiltIn(built_in) => built_in.is_decision(),
            _ => false,
        };
        if !is_decision {
            return None;
        }
        let since = Instant::now();
        let turn = self.turns.acquire().await.ok();
        metrics::histogram!("idp_decision_wait_seconds").record(since.elapsed().as_secs_f64());
        turn
    }

    fn heard(&self, way: Way, speaker: &Speaker) -> Heard {
        let (at, since) = (now(), Instant::now());
        let snapshot = self.snapshot();
        let person = Person::of(speaker, &self.links, &snapshot);
        let (commands, settings) = (self.commands.load_full(), self.settings.load_full());
        let (scorecards, rotas) = (self.scorecards.load_full(), self.on_call.load_full());
        let actions = self.actions.load_full();
        Heard { way, at, since, snapshot, commands, settings, scorecards, actions, rotas, person }
    }

    async fn reply(&self, heard: &Heard, question: &Question<'_>) -> Result<Reply> {
        let db = self.db.load_full();
        let db = (*db).as_ref().map(|db| &db.pool);
        let settings = &heard.settings;
        let desk = Desk {
            digests: self.digests.load_full(),
            snapshot: heard.snapshot.clone(),
            scorecards: heard.scorecards.clone(),
            connected: self.connected.load().to_vec(),
        };
        let means = Means {
            db,
            http: &self.http,
            way: heard.way,
            authority: &settings.access,
            links: &self.links,
            scorecards: &heard.scorecards,
            rotas: &heard.rotas,
            desk: &desk,
            actions: &heard.actions,
            alarm: &settings.break_glass,
            integrations: &settings.integrations,
            tokens: &self.tokens,
            key: &self.key,
            catalog: &self.catalog,
            profiles: self.profiles.get().map(Arc::as_ref),
            aliases: &settings.aliases,
            secrets: &settings.secrets,
            now: heard.at,
        };
        let answer = flow::look_up(question, &means).await?;
        self.asked.note(question, heard.way, heard.at);
        let reply = reply::say(question, answer)?;
        flow::announce(question, &reply, &means).await;
        Ok(reply)
    }

    /// What `answered` says, be it a no; counted for who watches the process, and with its age where it is not live.
    fn said(&self, heard: &Heard, invocation: &Invocation, answered: Result<Reply>) -> Reply {
        let reply = answered.unwrap_or_else(Error::into_reply);
        count(reply.refusal.as_ref().map_or("answer", |refused| outcome(&refused.code)));
        // What asks for something to be done may hold what nobody is to read.
        let meant = named(&heard.commands, &invocation.text).map(|it| &it.lookup);
        let is_of_actions =
            matches!(meant, Some(Lookup::BuiltIn(built_in)) if built_in.is_of_actions());
        if let Some(refused) = reply.refusal.as_ref().filter(|_| !is_of_actions) {
            self.unanswered.note(invocation, refused, heard.at);
        }
        reply::aged(reply, self.catalog.age_s(heard.at), heard.at)
    }

    /// Counts what was asked, and how it went.
    fn note(&self, heard: &Heard, command: &str, outcome: &'static str) {
        let Heard { way, person, .. } = heard;
        let (took, day) = (heard.since.elapsed(), heard.at.date_naive());
        self.usage.note(&Use { person, way: *way, command, outcome, took, day });
    }

    /// Counts what is shown to who does not wait for it: whether there `is` anything.
    fn note_shown(&self, heard: &Heard, command: &str, is: std::result::Result<bool, &Refusal>) {
        let outcome = match is {
            Ok(true) => ANSWER,
            Ok(false) => NOTHING,
            Err(refusal) => refusal.code(),
        };
        self.note(heard, command, outcome);
    }

    /// Writes down what was asked, in vain or lately, and how often, now and then until `stop`.
    pub async fn keep_recording(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(RECORD_EVERY)).await.is_some() {
            self.record().await;
        }
    }

    /// Writes down what was asked since, as far as there is a database; what it does not take is kept.
    pub async fn record(&self) {
        let Some(db) = &*self.db.load_full() else { return };
        let in_vain = flow::record_unanswered(&db.pool, &self.unanswered).await;
        let lately = flow::record_asked(&db.pool, &self.asked).await;
        let usage = usage::flow::record(&db.pool, &self.usage).await;
        for error in [in_vain, lately, usage].into_iter().filter_map(std::result::Result::err) {
            tracing::warn!(error = format!("{error:#}"), "could not record what was asked");
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

/// How it went, in a word that is counted.
fn how(answered: &Result<Reply>) -> &'static str {
    answered.as_ref().map_or_else(why, |_| ANSWER)
}

/// Why it was not answered, in a word that is counted.
fn why(error: &Error) -> &'static str {
    match error {
        Error::Refusal(refusal) => refusal.code(),
        Error::Fault(_) => FAULT,
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
