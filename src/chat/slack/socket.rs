//! Socket Mode: Slack's requests over WebSockets that we open, so that idp needs no public address.
//!
//! ```text
//!                    ┌─ asked to leave ─▶ another is opened, this one still hears ─▶ closed
//! open ─▶ hello ─▶ stands
//!                    └─ breaks, or is silent ─▶ another is opened
//! ```
//! Slack sends each envelope to one of the connections. Two stand at any time, and the new one stands before
//! the old one goes, so there is always one to send to. An envelope is acknowledged when what is in it is
//! written down; one that was not is sent again, and the inbox knows it.
//! Source: <https://docs.slack.dev/apis/events-api/using-socket-mode>

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use secrecy::SecretString;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, interval, sleep_until, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::SlackError;
use super::dispatcher::Dispatcher;
use super::inbound::{self, Inbound, Us};
use crate::chat::link::{Link, Standing};
use crate::chat::{Rejection, backoff};
use crate::integrations::http::web_socket::WebSocket;

/// Connections that stand at any time. Slack allows ten, for all processes together.
const CONNECTIONS: usize = 2;

/// What ends Socket Mode until somebody does it.
const MEND: &str = "Socket Mode is off for the app, or SLACK_APP_TOKEN is not valid. Switch it on at \
                    https://api.slack.com/apps, which is noticed within ten minutes; or make a new token, and \
                    restart idp with it";

/// The longest that we wait because Slack asked for it.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub struct Pauses {
    /// Slack says hello within this.
    pub hello: Duration,
    /// How often Slack is asked whether it is still there.
    pub ping: Duration,
    /// Who says nothing for so long, not even to a ping, is gone.
    pub silence: Duration,
    /// Before the second try to connect; the next is twice as long, and so on.
    pub retry: Duration,
    /// A connection that stood for less counts as a failure.
    pub lived: Duration,
    /// When there are too many connections, of whichever process.
    pub crowded: Duration,
    /// When a person must mend something first.
    pub mend: Duration,
    /// How long a connection that was asked to leave hears on, and how long acknowledgements may take at the end.
    pub leave: Duration,
}

impl Default for Pauses {
    fn default() -> Pauses {
        Pauses {
            hello: Duration::from_secs(10),
            ping: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            retry: Duration::from_secs(1),
            lived: Duration::from_secs(10),
            crowded: Duration::from_secs(60),
            mend: Duration::from_secs(600),
            leave: Duration::from_secs(15),
        }
    }
}

/// What keeps the connections.
pub struct SocketMode {
    dispatcher: Arc<Dispatcher>,
    app_token: SecretString,
    pauses: Pauses,
    link: Link,
    connections: TaskTracker,
}

/// Why a connection does not stand any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    /// Slack will close it soon, and serves us on.
    Asked,
    Crowded,
    /// Somebody switched Socket Mode off.
    Disabled,
    Broken,
}

/// What to do about a connection that does not stand any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    OpenAfter(Duration),
    /// No connection will stand until a person has mended something; only they know when.
    Mend,
}

/// A message of Slack's.
#[derive(Debug, PartialEq)]
enum Frame {
    Hello,
    Disconnect(Leaving),
    /// `None`: it is not for us, or cannot be read.
    Envelope {
        id: String,
        heard: Option<Box<Inbound>>,
    },
    Unknown,
}

impl SocketMode {
    /// `app_token` begins with `xapp-` and has the scope `connections:write`; `link` is told how the connections are.
    pub fn new(dispatcher: Arc<Dispatcher>, app_token: SecretString, link: Link) -> SocketMode {
        let (pauses, connections) = (Pauses::default(), TaskTracker::new());
        SocketMode { dispatcher, app_token, pauses, link, connections }
    }

    pub fn pausing(self, pauses: Pauses) -> SocketMode {
        SocketMode { pauses, ..self }
    }

    /// Hears Slack until `stop`; what was taken in by then is acknowledged. What a person must mend is in the
    /// log and told to the [`Link`].
    pub async fn run(self, stop: CancellationToken) {
        let keeper = Arc::new(self);
        keeper.clone().keep(&stop).await;
        keeper.connections.close();
        keeper.connections.wait().await;
        gauge(0);
    }

    /// Keeps as many connections standing as there should be.
    async fn keep(self: Arc<Self>, stop: &CancellationToken) {
        let (leave, mut left) = unbounded_channel();
        let (mut standing, mut failures, mut open_at) = (0, 0, Instant::now());
        loop {
            gauge(standing);
            let next = tokio::select! {
                () = stop.cancelled() => return,
                Some((leaving, lived)) = left.recv() => {
                    standing -= 1;
                    failures = if lived { 0 } else { failures + 1 };
                    self.pauses.after(leaving, failures)
                }
                () = sleep_until(open_at), if standing < CONNECTIONS => {
                    let Some(opened) = stop.run_until_cancelled(self.open()).await else { return };
                    match opened {
                        Ok(Ok(socket)) => {
                            standing += 1;
                            self.link.set(Standing::Up);
                            let stand = self.clone().stand(socket, leave.clone(), stop.clone());
                            self.connections.spawn(stand);
                            continue;
                        }
                        Ok(Err(leaving)) => self.pauses.after(leaving, failures),
                        Err(error) => {
                            failures += 1;
                            let next = self.pauses.after_error(&error, failures);
                            let error = format!("{error:#}");
                            tracing::warn!(error, standing, "could not connect to Slack");
                            next
                        }
                    }
                }
            };
            match next {
                Next::OpenAfter(pause) => open_at = open_at.max(Instant::now() + pause),
                Next::Mend => {
                    open_at = Instant::now() + self.pauses.mend;
                    tracing::error!("Slack is not heard any more: {MEND}");
                    self.link.set(Standing::Down { mend: MEND.into() });
                }
            }
        }
    }

    /// A connection on which Slack has said hello; or why it said something else.
    async fn open(&self) -> anyhow::Result<Result<WebSocket, Leaving>> {
        let mut socket = self.dispatcher.api.open_socket(&self.app_token).await?;
        let hello_by = Instant::now() + self.pauses.hello;
        loop {
            let message = timeout_at(hello_by, socket.next()).await;
            let message = message.context("Slack does not say hello")?;
            match message.context("Slack closed before it said hello")?? {
                Message::Text(text) => match frame(&text, &Us::default()) {
                    Frame::Hello => return Ok(Ok(socket)),
                    Frame::Disconnect(leaving) => return Ok(Err(leaving)),
                    // It will come again: it is not acknowledged.
                    Frame::Envelope { .. } | Frame::Unknown => {}
                },
                Message::Close(_) => bail!("Slack closed before it said hello"),
                _ => {}
            }
        }
    }

    /// Hears what comes until the connection is no more, and tells `leave` once that it does not stand, and
    /// whether it stood long enough to count.
    async fn stand(
        self: Arc<Self>,
        mut socket: WebSocket,
        leave: UnboundedSender<(Leaving, bool)>,
        stop: CancellationToken,
    ) {
        let stood_at = Instant::now();
        let tell = |leaving| {
            let _ = leave.send((leaving, stood_at.elapsed() >= self.pauses.lived));
        };
        let (ack, mut acks) = unbounded_channel();
        let mut pings = interval(self.pauses.ping);
        let mut heard_at = Instant::now();
        let mut asked_at: Option<Instant> = None;
        let why = loop {
            let until = match asked_at {
                Some(asked_at) => asked_at + self.pauses.leave,
                None => heard_at + self.pauses.silence,
            };
            let broken = tokio::select! {
                () = stop.cancelled() => break None,
                () = sleep_until(until) => break asked_at.is_none().then_some("it is silent".into()),
                Some(answer) = acks.recv() => socket.send(answer).await.err(),
                _ = pings.tick() => socket.send(Message::Ping(Default::default())).await.err(),
                message = socket.next() => {
                    heard_at = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => {
                            if let Some(leaving) = self.hear(&text, &ack) && asked_at.is_none() {
                                asked_at = Some(heard_at);
                                tell(leaving);
                            }
                            None
                        }
                        Some(Ok(Message::Close(_))) | None => break Some("Slack closed it".to_string()),
                        Some(Ok(_)) => None,
                        Some(Err(error)) => Some(error),
                    }
                }
            };
            if let Some(error) = broken {
                break Some(error.to_string());
            }
        };
        if let (Some(why), None) = (&why, asked_at) {
            tracing::warn!(why, "a connection to Slack broke");
            tell(Leaving::Broken);
        }
        drop(ack);
        if why.is_none() {
            self.part(socket, acks).await;
        }
    }

    /// Sends the acknowledgements that are still under way, then closes.
    async fn part(&self, mut socket: WebSocket, mut acks: UnboundedReceiver<Message>) {
        let parted = timeout(self.pauses.leave, async {
            while let Some(answer) = acks.recv().await {
                socket.send(answer).await?;
            }
            socket.close(None).await
        });
        if !matches!(parted.await, Ok(Ok(()))) {
            tracing::info!("a connection to Slack did not close as it should");
        }
    }

    /// Answers `text` on `ack` in the background; why the connection is to be left, if that is what it says.
    fn hear(self: &Arc<Self>, text: &str, ack: &UnboundedSender<Message>) -> Option<Leaving> {
        match frame(text, &self.dispatcher.us()) {
            Frame::Hello => None,
            Frame::Disconnect(leaving) => {
                tracing::info!(?leaving, "Slack asks a connection to leave");
                Some(leaving)
            }
            Frame::Envelope { id, heard } => {
                let (dispatcher, ack) = (self.dispatcher.clone(), ack.clone());
                self.dispatcher.tasks.spawn(async move {
                    let answer = match heard {
                        Some(heard) => dispatcher.hear(*heard).await,
                        None => Ok("{}".into()),
                    };
                    if let Some(message) = acknowledgement(&id, answer) {
                        // Where the connection is gone Slack sends it again, on another.
                        let _ = ack.send(message);
                    }
                });
                None
            }
            Frame::Unknown => {
                tracing::debug!("Slack says something new");
                None
            }
        }
    }
}

impl Pauses {
    /// What follows when a connection does not stand any more; `failures` in a row, this one counted.
    fn after(&self, leaving: Leaving, failures: u32) -> Next {
        match leaving {
            Leaving::Asked if failures == 0 => Next::OpenAfter(Duration::ZERO),
            Leaving::Crowded => Next::OpenAfter(self.crowded),
            Leaving::Disabled => Next::Mend,
            Leaving::Asked | Leaving::Broken => {
                Next::OpenAfter(backoff::after(failures, self.retry))
            }
        }
    }

    fn after_error(&self, error: &anyhow::Error, failures: u32) -> Next {
        match error.downcast_ref() {
            Some(SlackError::Token { .. }) => Next::Mend,
            Some(SlackError::Limited { wait }) => {
                Next::OpenAfter(backoff::after(failures, self.retry).max(*wait).min(WAIT_MAX))
            }
            _ => Next::OpenAfter(backoff::after(failures, self.retry)),
        }
    }
}

/// What `text` is.
fn frame(text: &str, us: &Us<'_>) -> Frame {
    let Ok(message) = serde_json::from_str::<Value>(text) else { return Frame::Unknown };
    let word = |name: &str| message[name].as_str().unwrap_or_default();
    let payload = &message["payload"];
    let heard = match word("type") {
        "hello" => return Frame::Hello,
        "disconnect" => {
            return Frame::Disconnect(match word("reason") {
                "link_disabled" => Leaving::Disabled,
                "too_many_websockets" => Leaving::Crowded,
                // `warning`, `refresh_requested`, and whatever Slack calls it tomorrow.
                _ => Leaving::Asked,
            });
        }
        "slash_commands" => inbound::slash_command_of(payload, us),
        "events_api" => Some(inbound::event_of(payload, us)),
        "interactive" => Some(inbound::interaction_of(payload, us)),
        _ => None,
    };
    match word("envelope_id") {
        "" => Frame::Unknown,
        id => Frame::Envelope { id: id.to_string(), heard: heard.map(Box::new) },
    }
}

/// What acknowledges the envelope `id`; `None` where Slack shall send it again.
fn acknowledgement(id: &str, answer: Result<bytes::Bytes, Rejection>) -> Option<Message> {
    let answer = match answer {
        Ok(answer) if answer != "{}" => answer,
        Ok(_) => return Some(Message::text(json!({ "envelope_id": id }).to_string())),
        Err(Rejection::Stranger) => {
            tracing::warn!(
                "Slack sent what is of another workspace than `slack.team_id` in idp.yaml"
            );
            return Some(Message::text(json!({ "envelope_id": id }).to_string()));
        }
        Err(Rejection::Broken) => return None,
    };
    let payload: &RawValue = serde_json::from_slice(&answer).ok()?;
    let id = Value::from(id);
    Some(Message::text(format!(r#"{{"envelope_id":{id},"payload":{payload}}}"#)))
}

#[expect(clippy::cast_precision_loss, reason = "there are two")]
fn gauge(standing: usize) {
    metrics::gauge!("idp_slack_connections").set(standing as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_to_leave_has_its_answer() {
        let of = |reason: &str| {
            let text = json!({ "type": "disconnect", "reason": reason }).to_string();
            let Frame::Disconnect(leaving) = frame(&text, &Us::default()) else {
                panic!("{reason}")
            };
            Pauses::default().after(leaving, 0)
        };
        for reason in ["warning", "refresh_requested", "a_reason_of_tomorrow"] {
            assert_eq!(of(reason), Next::OpenAfter(Duration::ZERO), "{reason}");
        }
        assert_eq!(of("too_many_websockets"), Next::OpenAfter(Duration::from_secs(60)));
        assert_eq!(of("link_disabled"), Next::Mend);
    }

    #[test]
    fn who_says_hello_and_is_gone_again_is_tried_less_and_less_often() {
        let pauses = Pauses::default();
        let of = |leaving, failures| match pauses.after(leaving, failures) {
            Next::OpenAfter(pause) => pause,
            Next::Mend => panic!("nobody need mend it"),
        };
        for leaving in [Leaving::Asked, Leaving::Broken] {
            assert!(of(leaving, 1) <= Duration::from_secs(1), "{leaving:?}");
            assert!(of(leaving, 5) >= Duration::from_secs(8), "{leaving:?}");
        }
        assert_eq!(of(Leaving::Asked, 0), Duration::ZERO);
    }

    #[test]
    fn a_token_that_is_not_valid_is_a_persons_to_mend() {
        let pauses = Pauses::default();
        let token = SlackError::Token { code: "invalid_auth".into() };
        assert_eq!(pauses.after_error(&token.into(), 1), Next::Mend);
        let away = SlackError::Away { why: "x".into() };
        assert_ne!(pauses.after_error(&away.into(), 1), Next::Mend);
    }

    #[test]
    fn what_cannot_be_read_is_acknowledged_when_it_has_an_id() {
        for text in ["", "{", "[]", r#"{"type":7}"#, r#"{"type":"events_api","payload":{}}"#] {
            assert_eq!(frame(text, &Us::default()), Frame::Unknown, "{text}");
        }
        let new = json!({ "type": "of_tomorrow", "envelope_id": "e1" }).to_string();
        assert_eq!(frame(&new, &Us::default()), Frame::Envelope { id: "e1".into(), heard: None });
        let answer = acknowledgement("e1", Ok("{}".into())).unwrap();
        assert_eq!(answer.into_text().unwrap(), r#"{"envelope_id":"e1"}"#);
        let answer = acknowledgement("e1", Ok(r#"{"text":"x"}"#.into())).unwrap();
        assert_eq!(answer.into_text().unwrap(), r#"{"envelope_id":"e1","payload":{"text":"x"}}"#);
        assert_eq!(acknowledgement("e1", Err(Rejection::Broken)), None);
    }
}
