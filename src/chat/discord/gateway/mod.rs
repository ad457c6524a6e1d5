//! The gateway: Discord's events over a WebSocket that we open, so that idp needs no public address.
//!
//! ```text
//!          ┌──────────── breaks, or is asked to leave: RESUME ◀──────────┐
//! claim ─▶ open ─▶ hello ─┬─ a session is known ─▶ RESUME ─▶ what was missed ─┴─▶ stands
//!   │                     └─ none: IDENTIFY, where there is budget ─▶ ready ──────▶ stands
//!   └─ another process is connected: stand by                  over: IDENTIFY ◀─────┘
//! ```
//! A RESUME costs nothing and loses nothing; Discord resets the token of a bot that identifies 1,000 times
//! within a day. So a session outlives its connection and its process: it is written down as far as what it
//! told is taken care of, and the process that takes over resumes it. One process at a time is connected, by
//! a lease in the database; while the database is away nobody can take it, and whoever has it hears on. At
//! most [`BEGINS_MAX`] sessions are begun within a day, by our own count and by Discord's, which holds
//! without a database too.
//!
//! The connection is the one of [`WebSocket`], not serenity's: that one resolves and connects by itself, past
//! the rules of [`crate::integrations::http`], identifies as often as it likes, and writes what it cannot read
//! into the log. Serenity's models say what is on the wire.
//! Source: <https://docs.discord.com/developers/events/gateway>

pub mod frame;
pub mod store;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use rand::Rng;
use secrecy::SecretString;
use serde_json::value::RawValue;
use serenity::model::gateway::{BotGateway, SessionStartLimit};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::frame::{End, Event, Frame, Session};
use self::store::Claim;
use super::dispatcher::Dispatcher;
use super::inbound::Inbound;
use crate::app::App;
use crate::chat::backoff;
use crate::chat::link::{Link, Standing};
use crate::integrations::http::web_socket::WebSocket;

/// How many sessions are begun within a day at most. Discord allows 1,000.
pub const BEGINS_MAX: u64 = 200;

/// How long an answer may take: it is a call of its own, and Discord waits three seconds.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// After so many failures a session is taken up where new ones begin.
const FAILURES_AT_ITS_PLACE: u32 = 3;

/// What we close with. After 1000 and 1001 Discord would forget the session.
const TAKEN_UP_LATER: u16 = 4_200;

/// Nothing that such a bot hears is for us.
const ANOTHERS_TOKEN: &str = "`DISCORD_BOT_TOKEN` is of another application than `DISCORD_APPLICATION_ID`: \
                              copy both from one Discord app, then restart idp";

/// How long the database may take: meanwhile nothing is heard.
const ASK_WITHIN: Duration = Duration::from_millis(1_500);

/// How long a connection may take to close.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub struct Pauses {
    /// Discord says hello within this.
    pub hello: Duration,
    /// Before the second try to connect; the next is twice as long, and so on.
    pub retry: Duration,
    /// A connection that stood for less counts as a failure.
    pub lived: Duration,
    /// Between a session that is over and the next, at least; up to five times as long.
    pub anew: Duration,
    /// Discord takes one IDENTIFY within this.
    pub identify: Duration,
    /// How often is written down where we are.
    pub note: Duration,
    /// How long after the last note another process may take over.
    pub lease: Duration,
    /// How often a process that stands by looks whether it may take over.
    pub stand_by: Duration,
    /// How long nothing is tried once no session may be begun.
    pub exhausted: Duration,
}

impl Default for Pauses {
    fn default() -> Pauses {
        Pauses {
            hello: Duration::from_secs(10),
            retry: Duration::from_secs(1),
            lived: Duration::from_secs(10),
            anew: Duration::from_secs(1),
            identify: Duration::from_secs(5),
            note: Duration::from_secs(5),
            lease: Duration::from_secs(30),
            stand_by: Duration::from_secs(5),
            exhausted: Duration::from_secs(600),
        }
    }
}

/// What keeps the connection.
pub struct Gateway {
    app: Arc<App>,
    dispatcher: Arc<Dispatcher>,
    token: SecretString,
    pauses: Pauses,
    link: Link,
    /// How the lease calls this process.
    holder: String,
    /// The bot as people mention it, once Discord has said so.
    bot_user_id: OnceLock<String>,
    progress: Mutex<Progress>,
    /// Something is to be written down at once.
    begun: Notify,
    /// What is being answered.
    answers: TaskTracker,
}

/// How far the session is.
#[derive(Debug, Default)]
struct Progress {
    session: Option<Session>,
    /// Whether the lease was ours when it was last asked for.
    holds: bool,
    /// The events that are not taken care of yet.
    under_way: Arc<Mutex<BTreeSet<u64>>>,
    identified_at: Option<Instant>,
    /// Whether the session that begins tells messages.
    begins_with_messages: bool,
}

impl Progress {
    fn begins(&mut self, session: Session) {
        self.session = Some(session);
        // Those of the session before count by other numbers.
        self.under_way = Arc::default();
    }

    /// The session as another process may take it up: all that was heard before is taken care of.
    fn settled(&self) -> Option<Session> {
        let first = locked(&self.under_way).first().copied();
        let session = self.session.clone()?;
        let sequence = first.map_or(session.sequence, |first| first.saturating_sub(1));
        Some(Session { sequence, ..session })
    }
}

/// An event that is not taken care of until this is dropped.
struct UnderWay {
    sequence: u64,
    all: Arc<Mutex<BTreeSet<u64>>>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        locked(&self.all).remove(&self.sequence);
    }
}

impl Gateway {
    /// `token` is the bot's; `link` is told how the connection is.
    pub fn new(
        app: Arc<App>,
        dispatcher: Arc<Dispatcher>,
        token: SecretString,
        link: Link,
    ) -> Gateway {
        Gateway {
            app,
            dispatcher,
            token,
            pauses: Pauses::default(),
            link,
            holder: format!("{:032x}", rand::rng().random::<u128>()),
            bot_user_id: OnceLock::new(),
            progress: Mutex::default(),
            begun: Notify::new(),
            answers: TaskTracker::new(),
        }
    }

    pub fn pausing(self, pauses: Pauses) -> Gateway {
        Gateway { pauses, ..self }
    }

    /// Hears Discord until `stop`; what was heard by then is answered, and the session left for who comes next.
    ///
    /// Returns before `stop` only when a person must mend something; the log and the [`Link`] say what.
    pub async fn run(self, stop: CancellationToken) {
        let gateway = Arc::new(self);
        gateway.keep(&stop).await;
        gauge(false);
        gateway.answers.close();
        gateway.answers.wait().await;
        gateway.note(Duration::ZERO).await;
    }

    async fn keep(self: &Arc<Self>, stop: &CancellationToken) {
        let mut failures = 0;
        loop {
            let Some(held) = stop.run_until_cancelled(self.claim()).await else { return };
            let pause = if held {
                self.link.set(Standing::Connecting);
                let Some(opened) = stop.run_until_cancelled(self.open(failures)).await else {
                    return;
                };
                match opened {
                    Ok(Some((socket, heartbeat))) => {
                        let Some(pause) = self.stand(socket, heartbeat, &mut failures, stop).await
                        else {
                            return;
                        };
                        pause
                    }
                    Ok(None) => self.pauses.exhausted,
                    Err(error) => {
                        failures += 1;
                        let error = format!("{error:#}");
                        tracing::warn!(error, failures, "could not connect to Discord's gateway");
                        backoff::after(failures, self.pauses.retry)
                    }
                }
            } else {
                self.link.set(Standing::StandingBy);
                self.pauses.stand_by
            };
            if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Whether this process may connect; it has the session then that the one before left.
    async fn claim(&self) -> bool {
        let lease_s = self.pauses.lease.as_secs_f64();
        let claimed =
            self.asked(async |db, id| store::claim(db, id, &self.holder, lease_s).await).await;
        let mut progress = self.progress();
        match claimed {
            Some(Claim::Ours(left)) => {
                // Who held it before knows better than what is written down: its session may be over.
                let held_before = std::mem::replace(&mut progress.holds, true);
                if let (false, None, Some(session)) = (held_before, &progress.session, left) {
                    progress.begins(session);
                }
                true
            }
            Some(Claim::Anothers) => {
                progress.holds = false;
                progress.session = None;
                false
            }
            // Nobody else can ask it either.
            None => true,
        }
    }

    /// A connection on which Discord has said hello and been told which session we want, and how often it wants
    /// to hear that we are there; `None` where no session may be begun now.
    async fn open(&self, failures: u32) -> anyhow::Result<Option<(WebSocket, Duration)>> {
        self.learn_bot().await?;
        let messages = self.hears_messages();
        let session = {
            let mut progress = self.progress();
            progress.session = progress.session.take().filter(|it| it.messages == messages);
            progress.session.clone()
        };
        let begins = session.is_none();
        let (url, first) = match session {
            Some(session) if failures < FAILURES_AT_ITS_PLACE => {
                (session.url.clone(), frame::resume(&self.token, &session))
            }
            Some(session) => {
                (self.dispatcher.api.gateway().await?.url, frame::resume(&self.token, &session))
            }
            None => {
                let Some(url) = self.where_to_begin().await? else { return Ok(None) };
                self.progress().begins_with_messages = messages;
                (url, frame::identify(&self.token, messages))
            }
        };
        let mut socket = self.dispatcher.api.open_gateway(&url).await?;
        let heartbeat = self.hello(&mut socket).await?;
        if begins {
            self.count_beginning().await;
        }
        socket.send(Message::text(first.as_str())).await?;
        Ok(Some((socket, heartbeat)))
    }

    /// How often Discord wants to hear that we are there.
    async fn hello(&self, socket: &mut WebSocket) -> anyhow::Result<Duration> {
        let by = Instant::now() + self.pauses.hello;
        loop {
            let message = timeout_at(by, socket.next()).await.context("it does not say hello")?;
            match message.context("it closed before it said hello")?? {
                Message::Text(text) => {
                    if let Frame::Hello { heartbeat } = frame::frame(&text, "") {
                        return Ok(heartbeat);
                    }
                }
                Message::Close(_) => bail!("it closed before it said hello"),
                _ => {}
            }
        }
    }

    /// Learns who the bot is, where it hears messages: that it is called by them.
    async fn learn_bot(&self) -> anyhow::Result<()> {
        if self.hears_messages() && self.bot_user_id.get().is_none() {
            let id = self.dispatcher.api.bot_user_id().await.context("who the bot is")?;
            let _ = self.bot_user_id.set(id);
        }
        Ok(())
    }

    /// Where a session may be begun; `None`, and told, where too many were.
    async fn where_to_begin(&self) -> anyhow::Result<Option<String>> {
        let BotGateway { url, session_start_limit: limit, .. } =
            self.dispatcher.api.gateway().await?;
        let begun = self.asked(async |db, id| store::begun_within_a_day(db, id).await).await;
        let begun = begun.unwrap_or_default();
        if !may_begin(begun.unsigned_abs(), &limit) {
            let mend = format!(
                "idp began {BEGINS_MAX} sessions with Discord within a day, or Discord allows no more: see in \
                 the log why they end; it goes on by itself within a day"
            );
            tracing::error!(begun, remaining = limit.remaining, "{mend}");
            self.link.set(Standing::Down { mend });
            return Ok(None);
        }
        let identified_at = self.progress().identified_at;
        if let Some(at) = identified_at {
            sleep_until(at + self.pauses.identify).await;
        }
        Ok(Some(url))
    }

    /// Counts before it is done, so that none is done uncounted.
    async fn count_beginning(&self) {
        self.asked(async |db, id| store::begin(db, id).await).await;
        self.progress().identified_at = Some(Instant::now());
        metrics::counter!("idp_discord_identify_total").increment(1);
    }

    /// Hears what comes until the connection is no more. How long to wait before the next; `None`: there is none.
    async fn stand(
        self: &Arc<Self>,
        mut socket: WebSocket,
        heartbeat: Duration,
        failures: &mut u32,
        stop: &CancellationToken,
    ) -> Option<Duration> {
        let mut stood_at = None;
        let end = tokio::select! {
            end = self.hear(&mut socket, heartbeat, &mut stood_at) => Some(end),
            () = self.hold() => {
                tracing::info!("another process hears Discord now");
                Some(End::Asked)
            }
            () = stop.cancelled() => None,
        };
        gauge(false);
        let reason = CloseFrame { code: TAKEN_UP_LATER.into(), reason: "back soon".into() };
        // Where it is broken it does not close, and need not.
        let _ = timeout(CLOSE_WITHIN, socket.close(Some(reason))).await;
        let lived = stood_at.is_some_and(|at: Instant| at.elapsed() >= self.pauses.lived);
        *failures = if lived { 0 } else { *failures + 1 };
        let pause = match *failures {
            0 => Duration::ZERO,
            failures => backoff::after(failures, self.pauses.retry),
        };
        match end? {
            End::Asked | End::Broken => Some(pause),
            End::Over => {
                self.progress().session = None;
                let anew = self.pauses.anew.mul_f64(rand::rng().random_range(1.0..=5.0));
                Some(pause.max(anew))
            }
            End::Mend(mend) => {
                tracing::error!("Discord's gateway is not heard any more: {mend}");
                self.progress().session = None;
                self.link.set(Standing::Down { mend: mend.into() });
                None
            }
        }
    }

    /// Hears what comes until the connection is no more; `stood_at` is when Discord began to tell.
    async fn hear(
        self: &Arc<Self>,
        socket: &mut WebSocket,
        heartbeat: Duration,
        stood_at: &mut Option<Instant>,
    ) -> End {
        // Not all at once, when Discord comes back and thousands connect.
        let mut beat_at = Instant::now() + heartbeat.mul_f64(rand::rng().random_range(0.0..1.0));
        let mut is_beat_heard = true;
        let broken = |why: &str| {
            tracing::warn!(why, "the connection to Discord broke");
            End::Broken
        };
        loop {
            let message = tokio::select! {
                () = sleep_until(beat_at) => {
                    if !is_beat_heard {
                        return broken("it does not hear our heartbeats");
                    }
                    is_beat_heard = false;
                    beat_at = Instant::now() + heartbeat;
                    if let Err(error) = self.beat(socket).await {
                        return broken(&error.to_string());
                    }
                    continue;
                }
                message = socket.next() => message,
            };
            let text = match message {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(Some(frame)))) => {
                    let code = u16::from(frame.code);
                    tracing::info!(code, "Discord closed the connection");
                    return frame::closed(code);
                }
                Some(Ok(Message::Close(None))) | None => return broken("Discord closed it"),
                Some(Err(error)) => return broken(&error.to_string()),
                Some(Ok(_)) => continue,
            };
            let bot_user_id = self.bot_user_id.get().map(String::as_str).unwrap_or_default();
            match frame::frame(&text, bot_user_id) {
                Frame::BeatHeard => is_beat_heard = true,
                Frame::Beat => {
                    if let Err(error) = self.beat(socket).await {
                        return broken(&error.to_string());
                    }
                }
                Frame::Reconnect => {
                    tracing::info!("Discord asks us to connect anew");
                    return End::Asked;
                }
                Frame::Invalid { resumable: true } => return End::Asked,
                Frame::Invalid { resumable: false } => {
                    tracing::info!("Discord does not know the session any more");
                    return End::Over;
                }
                Frame::Event { event: Event::Ready { application_id, .. }, .. }
                    if application_id != self.dispatcher.api.application_id() =>
                {
                    return End::Mend(ANOTHERS_TOKEN);
                }
                Frame::Event { sequence, event } => {
                    if matches!(event, Event::Ready { .. } | Event::Resumed) {
                        *stood_at = Some(Instant::now());
                        self.link.set(Standing::Up);
                        gauge(true);
                    }
                    self.take(sequence, event);
                }
                Frame::Hello { .. } | Frame::Unknown => {
                    tracing::debug!("Discord says something new");
                }
            }
        }
    }

    async fn beat(&self, socket: &mut WebSocket) -> anyhow::Result<()> {
        let sequence = self.progress().session.as_ref().map(|session| session.sequence);
        Ok(socket.send(Message::text(frame::beat(sequence))).await?)
    }

    /// Takes `event` in, unless it was before; it is answered in the background.
    fn take(self: &Arc<Self>, sequence: u64, event: Event) {
        let mut progress = self.progress();
        if let Event::Ready { session_id: id, url, .. } = event {
            let messages = progress.begins_with_messages;
            progress.begins(Session { id, url, sequence, messages });
            self.begun.notify_one();
            return;
        }
        let Some(session) = &mut progress.session else { return };
        if sequence <= session.sequence {
            return;
        }
        session.sequence = sequence;
        let Event::Heard(heard) = event else { return };
        let all = progress.under_way.clone();
        locked(&all).insert(sequence);
        let (gateway, under_way) = (self.clone(), UnderWay { sequence, all });
        self.answers.spawn(async move {
            gateway.answer(*heard).await;
            drop(under_way);
        });
    }

    /// Answers what was heard.
    async fn answer(&self, heard: Inbound) {
        let to = match &heard {
            Inbound::Interaction(it) => Some((it.id.clone(), it.token.clone())),
            _ => None,
        };
        // Whom it does not answer is in the log.
        let (Ok(answer), Some((id, token))) = (self.dispatcher.hear(heard).await, to) else {
            return;
        };
        let sent = async {
            let answer: &RawValue = serde_json::from_slice(&answer)?;
            anyhow::Ok(self.dispatcher.api.answer(&id, &token, answer).await?)
        };
        if let Err(error) = sent.await {
            tracing::warn!(error = format!("{error:#}"), "could not answer an interaction");
        }
    }

    /// Writes down where we are, now and then; returns once another process hears Discord.
    async fn hold(&self) {
        loop {
            tokio::select! {
                () = sleep(self.pauses.note) => {}
                () = self.begun.notified() => {}
            }
            if !self.note(self.pauses.lease).await {
                return;
            }
        }
    }

    /// Writes down where we are, and that no other process may take over for the `lease`; whether none has.
    async fn note(&self, lease: Duration) -> bool {
        let settled = self.progress().settled();
        let (settled, lease_s) = (settled.as_ref(), lease.as_secs_f64());
        let noted =
            async |db: &PgPool, id: &str| store::note(db, id, &self.holder, settled, lease_s).await;
        self.asked(noted).await.unwrap_or(true)
    }

    /// What the database says when asked by `ask` about our application; `None` while it does not.
    async fn asked<T>(&self, ask: impl AsyncFnOnce(&PgPool, &str) -> sqlx::Result<T>) -> Option<T> {
        let db = (**self.app.db.load()).as_ref().map(|db| db.acks.clone())?;
        let why = match timeout(ASK_WITHIN, ask(&db, self.dispatcher.api.application_id())).await {
            Ok(Ok(said)) => return Some(said),
            Ok(Err(error)) => format!("{:#}", anyhow::Error::new(error)),
            Err(_) => "it takes too long".to_string(),
        };
        tracing::warn!(why, "the database does not keep the session with Discord now");
        None
    }

    fn hears_messages(&self) -> bool {
        self.app.settings.load().discord.messages
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        locked(&self.progress)
    }
}

/// Whether one more session may be begun, `begun` being those within a day that we know of. Discord counts them too.
fn may_begin(begun: u64, limit: &SessionStartLimit) -> bool {
    let counted = limit.total.saturating_sub(limit.remaining);
    begun.max(counted) < BEGINS_MAX && limit.remaining > 0
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gauge(is_up: bool) {
    metrics::gauge!("idp_discord_connections").set(if is_up { 1.0 } else { 0.0 });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(total: u64, remaining: u64) -> SessionStartLimit {
        serde_json::from_value(serde_json::json!({
            "total": total, "remaining": remaining, "reset_after": 1, "max_concurrency": 1,
        }))
        .unwrap()
    }

    #[test]
    fn a_session_is_begun_two_hundred_times_a_day_by_either_count() {
        assert!(may_begin(0, &limit(1_000, 1_000)));
        assert!(may_begin(199, &limit(1_000, 1_000)));
        assert!(!may_begin(200, &limit(1_000, 1_000)));
        assert!(may_begin(0, &limit(1_000, 801)));
        assert!(!may_begin(0, &limit(1_000, 800)));
        assert!(!may_begin(0, &limit(100, 0)));
    }

    #[test]
    fn what_is_under_way_is_told_again_to_who_takes_over() {
        let mut progress = Progress::default();
        assert_eq!(progress.settled(), None);
        progress.begins(Session { id: "s".into(), url: "u".into(), sequence: 9, messages: false });
        assert_eq!(progress.settled().unwrap().sequence, 9);
        let all = progress.under_way.clone();
        locked(&all).extend([7, 8]);
        let under_way = UnderWay { sequence: 7, all };
        assert_eq!(progress.settled().unwrap().sequence, 6);
        drop(under_way);
        assert_eq!(progress.settled().unwrap().sequence, 7);
        progress.begins(Session { id: "t".into(), url: "u".into(), sequence: 1, messages: false });
        assert_eq!(progress.settled().unwrap().sequence, 1);
    }
}
