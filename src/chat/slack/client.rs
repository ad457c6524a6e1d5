//! What the bot says to Slack of its own accord: messages, late answers, who it is.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use slack_morphism::errors::SlackClientError;
use slack_morphism::{SlackApiToken, SlackApiTokenValue, SlackClient, SlackClientHttpConnector};
use tracing::Span;
use url::Url;

use super::channels::SharedChannels;
use super::connector::{self, Connector};
use super::errors;
use super::pace::Pace;
use super::profile::Account;
use crate::chat::api::{Api, is_loopback};
use crate::chat::layout::cut;
use crate::chat::outbox::{Policy, Unsent};
use crate::conversation::Picture;
use crate::integrations::http::web_socket::WebSocket;
use crate::integrations::http::{Client, HttpError};

/// Slack's hosts: for everybody, and for the government of the USA.
const HOSTS: [&str; 2] = ["slack.com", "slack-gov.com"];

/// How often one message is sent while Slack answers that it is too early.
const SENDS_MAX: usize = 3;

/// The title of a file is read above its picture.
const FILE_TITLE_CHARACTERS_MAX: usize = 150;
/// What a file shows in words goes into an address, where a letter may take nine characters.
const FILE_ALT_CHARACTERS_MAX: usize = 400;
/// The longest that a picture waits its turn; beyond it the words do without.
const PICTURE_PATIENCE: Duration = Duration::from_secs(30);

/// Where Slack says no more than that it is too early.
const WAIT: Duration = Duration::from_secs(1);

/// Slack's Web API, called as our bot. Each call ends within 10 s, once its turn has come.
#[derive(Debug)]
pub struct SlackApi {
    client: SlackClient<Connector>,
    /// `None`: only [`SlackApi::respond`] works.
    token: Option<SecretString>,
    pace: Mutex<Pace>,
    shared: Mutex<SharedChannels>,
}

/// Who the bot is, as `auth.test` says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Identity {
    /// The workspace of the bot's token.
    pub team_id: String,
    /// What people mention.
    #[serde(rename = "user_id")]
    pub bot_user_id: String,
    /// The organisation of the workspace; `None` where it has none.
    #[serde(default)]
    pub enterprise_id: Option<String>,
}

/// The bot's token, as Slack sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    pub identity: Identity,
    /// `None` where Slack does not tell.
    pub scopes: Option<Vec<String>>,
    /// Slack's clock, to the second.
    pub told_at: Option<DateTime<Utc>>,
}

/// A message that was posted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Posted {
    pub channel: String,
    /// Its timestamp, by which it is updated or answered in a thread.
    pub ts: String,
}

/// A view that was opened.
#[derive(Deserialize)]
struct Shown {
    view: Opened,
}

#[derive(Deserialize)]
struct Opened {
    id: String,
}

/// Why a call had no effect, by what can be done about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlackError {
    /// Say it elsewhere: to the person directly, or not at all.
    #[error("the bot cannot speak in this channel ({code}); invite it with `/invite @idp`")]
    Channel { code: String },
    /// The same: what is decided is not told to others.
    #[error("the channel is shared with another company")]
    Shared,
    /// Say it in the channel, or not at all.
    #[error("the thread is gone or closed ({code})")]
    Thread { code: String },
    /// The message, or the right to answer, is no more; there is nobody to tell.
    #[error("what was to be answered is gone ({code})")]
    Gone { code: String },
    /// No call works until a person mends it.
    #[error(
        "Slack does not take the bot's token ({code}); install the app anew and set `SLACK_BOT_TOKEN`"
    )]
    Token { code: String },
    /// Nothing was sent, and some time later it may be.
    #[error("Slack does not take this message now ({code})")]
    Later { code: String },
    /// Nothing was sent.
    #[error("Slack takes no more messages for {} s", wait.as_secs())]
    Limited { wait: Duration },
    /// Ours to put right: Slack does not understand what we sent.
    #[error("Slack refused the call ({code})")]
    Rejected { code: String },
    /// Nothing was sent: Slack is not there, or takes nothing.
    #[error("Slack is away: {why}")]
    Away { why: String },
    /// It may or may not have arrived: Slack has no way to ask, so it is not sent again.
    #[error("Slack could not be asked: {why}")]
    Unavailable { why: String },
}

impl SlackApi {
    /// A client of the API at `api_url`, which ends with `/`; `allowed_hosts` are those of the settings.
    ///
    /// # Errors
    /// An `api_url` that is neither Slack's, nor on this machine, nor allowed: it would be told the token.
    pub fn new(
        api_url: &Url,
        token: Option<SecretString>,
        allowed_hosts: &[String],
    ) -> anyhow::Result<SlackApi> {
        let api = Api { platform: "Slack", variable: "SLACK_API_URL", hosts: &HOSTS };
        let policy = api.policy(api_url, allowed_hosts)?;
        let connector = Connector { http: Client::new(policy), api_url: api_url.clone() };
        let (pace, shared) = (Mutex::default(), Mutex::default());
        Ok(SlackApi { client: SlackClient::new(connector), token, pace, shared })
    }

    /// `message`, an object, is posted in `channel`, in the thread `thread_ts` where there is one.
    ///
    /// Waits for the channel's turn, no longer than `patience`. A message that Slack asks us to hold back is sent
    /// when the time has come, where that is as soon. Who has no patience keeps to the channels' pace by themselves.
    ///
    /// # Errors
    /// [`SlackError`]
    pub async fn post_message(
        &self,
        channel: &str,
        thread_ts: Option<&str>,
        message: &Value,
        patience: Duration,
    ) -> Result<Posted, SlackError> {
        self.post("chat.postMessage", channel, thread_ts, message.clone(), patience).await
    }

    /// `message`, an object, is shown in `channel` to `user` alone, in the thread `thread_ts` where there is one;
    /// returns its timestamp. Waits as [`SlackApi::post_message`] does.
    ///
    /// # Errors
    /// [`SlackError`]
    pub async fn post_ephemeral(
        &self,
        channel: &str,
        user: &str,
        thread_ts: Option<&str>,
        message: &Value,
        patience: Duration,
    ) -> Result<String, SlackError> {
        #[derive(Deserialize)]
        struct Shown {
            #[serde(default)]
            message_ts: String,
        }
        let mut body = message.clone();
        body["user"] = user.into();
        let shown = self.post("chat.postEphemeral", channel, thread_ts, body, patience).await;
        shown.map(|shown: Shown| shown.message_ts)
    }

    /// `message`, an object, takes the place of what the bot's message `ts` in the channel `channel_id` shows.
    ///
    /// # Errors
    /// [`SlackError`]
    pub async fn update_message(
        &self,
        channel_id: &str,
        ts: &str,
        message: &Value,
    ) -> Result<(), SlackError> {
        self.may_call()?;
        let mut body = message.clone();
        body["channel"] = channel_id.into();
        body["ts"] = ts.into();
        self.call("chat.update", &body).await.map(|_: Value| ())
    }

    /// [`SlackApi::call_in_turn`] of what is said in `channel`, in the thread `thread_ts` where there is one.
    async fn post<T>(
        &self,
        method: &str,
        channel: &str,
        thread_ts: Option<&str>,
        mut body: Value,
        patience: Duration,
    ) -> Result<T, SlackError>
    where
        T: for<'de> Deserialize<'de> + Send,
    {
        body["channel"] = channel.into();
        if let Some(thread_ts) = thread_ts {
            body["thread_ts"] = thread_ts.into();
        }
        self.call_in_turn(method, channel, &body, patience).await
    }

    /// Calls when it is the channel's turn, and again where Slack asks for it.
    async fn call_in_turn<T>(
        &self,
        method: &str,
        channel: &str,
        body: &Value,
        patience: Duration,
    ) -> Result<T, SlackError>
    where
        T: for<'de> Deserialize<'de> + Send,
    {
        let mut posted = Err(SlackError::Limited { wait: Duration::ZERO });
        for _ in 0..SENDS_MAX {
            self.wait_for_turn(channel, patience).await?;
            posted = self.call(method, body).await;
            // Nothing was posted; the next turn comes after the pause that Slack asked for.
            if patience.is_zero() || !matches!(posted, Err(SlackError::Limited { .. })) {
                break;
            }
        }
        posted
    }

    /// `picture` is shared with `place`, a channel or a person, in the thread `thread_ts` where there is one.
    ///
    /// Source: <https://docs.slack.dev/messaging/working-with-files#upload>
    ///
    /// # Errors
    /// [`SlackError`]
    pub async fn share_picture(
        &self,
        place: &str,
        thread_ts: Option<&str>,
        picture: &Picture,
    ) -> Result<(), SlackError> {
        let id = self.upload(picture).await?;
        let (title, _) = cut(&picture.title, FILE_TITLE_CHARACTERS_MAX);
        let mut body = json!({ "files": [{ "id": id, "title": title }], "channels": place });
        if let Some(thread_ts) = thread_ts {
            body["thread_ts"] = thread_ts.into();
        }
        let shared =
            self.call_in_turn("files.completeUploadExternal", place, &body, PICTURE_PATIENCE).await;
        shared.map(|_: Value| ())
    }

    /// `picture` is a file of the bot's own, which a message can show; the id of it.
    ///
    /// # Errors
    /// [`SlackError`]
    pub async fn keep_picture(&self, picture: &Picture) -> Result<String, SlackError> {
        let id = self.upload(picture).await?;
        let (title, _) = cut(&picture.title, FILE_TITLE_CHARACTERS_MAX);
        let body = json!({ "files": [{ "id": id, "title": title }] });
        let _: Value = self.call("files.completeUploadExternal", &body).await?;
        Ok(id)
    }

    /// Slack has the bytes of `picture`, and shows them to nobody yet; gives the id of their file.
    async fn upload(&self, picture: &Picture) -> Result<String, SlackError> {
        #[derive(Deserialize)]
        struct Place {
            upload_url: Url,
            file_id: String,
        }
        let length = picture.png.len().to_string();
        let (alt, _) = cut(&picture.alt, FILE_ALT_CHARACTERS_MAX);
        let asked = [
            ("filename", Some(picture.name.as_str())),
            ("length", Some(length.as_str())),
            ("alt_txt", Some(&*alt)),
        ];
        let place: Place = self.get("files.getUploadURLExternal", &asked).await?;
        if !self.is_slacks(&place.upload_url) {
            return Err(SlackError::Rejected { code: "foreign_upload_url".into() });
        }
        // The address says who may: the token is not sent.
        let http = &self.client.http_api.connector.http;
        let sent =
            http.post_bytes(place.upload_url.as_str(), "image/png", picture.png.clone()).await;
        match sent.map_err(|error| SlackError::Away { why: error.to_string() })?.status {
            200 => Ok(place.file_id),
            status @ 500.. => {
                Err(SlackError::Away { why: format!("it answers with status {status}") })
            }
            status => Err(SlackError::Rejected { code: status.to_string() }),
        }
    }

    /// `message` answers the slash command or click whose `response_url` this is; five times within 30 minutes.
    ///
    /// # Errors
    /// [`SlackError`]
    pub async fn respond(
        &self,
        response_url: &str,
        message: &(impl Serialize + Send + Sync),
    ) -> Result<(), SlackError> {
        let gone = || SlackError::Gone { code: "no_response_url".into() };
        let url = Url::parse(response_url).map_err(|_| gone())?;
        if !self.is_slacks(&url) {
            return Err(SlackError::Gone { code: "foreign_response_url".into() });
        }
        self.may_call()?;
        let span = Span::none();
        let context = slack_morphism::SlackClientApiCallContext {
            rate_control_params: None,
            token: None,
            tracing_span: &span,
            is_sensitive_url: true,
        };
        let asked = self.client.http_api.connector.http_post_uri(url, message, context).await;
        match asked.map(|_: Value| ()).map_err(|error| self.judge(error)) {
            // Slack answers so once the address is used up.
            Err(SlackError::Rejected { code }) if code == "404" => Err(SlackError::Gone { code }),
            responded => responded,
        }
    }

    /// Whether `url` is one of Slack's, or of who stands for Slack on this machine.
    fn is_slacks(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let is_under =
            |it: &&str| host == *it || host.strip_suffix(it).is_some_and(|sub| sub.ends_with('.'));
        let policy = self.client.http_api.connector.http.policy();
        HOSTS.iter().any(is_under) || policy.lists(url) || (policy.loopback && is_loopback(url))
    }

    /// Whether there is a token to call with.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Who the bot's token belongs to.
    ///
    /// # Errors
    /// [`SlackError`]
    pub async fn auth_test(&self) -> Result<Identity, SlackError> {
        self.call("auth.test", &json!({})).await
    }

    /// What Slack knows about the account `user_id`.
    ///
    /// # Errors
    /// [`SlackError`]
    pub async fn users_info(&self, user_id: &str) -> Result<Account, SlackError> {
        #[derive(Deserialize)]
        struct Told {
            user: Account,
        }
        let told: Told = self.get("users.info", &[("user", Some(user_id))]).await?;
        Ok(told.user)
    }

    /// What Slack says of the bot's token.
    ///
    /// # Errors
    /// [`SlackError`]
    pub async fn inspect(&self) -> Result<Inspection, SlackError> {
        let Some(token) = &self.token else {
            return Err(SlackError::Token { code: "no token".into() });
        };
        let connector = &self.client.http_api.connector;
        let url = connector.create_method_uri_path("auth.test").map_err(|it| self.judge(it))?;
        let bearer = Zeroizing::new(format!("Bearer {}", token.expose_secret()));
        let headers = [("authorization", bearer.as_str())];
        let answer = connector.http.post_json(url.as_str(), &headers, &json!({})).await;
        let answer = answer.map_err(|error| SlackError::Away { why: error.to_string() })?;
        let header = |name: &str| answer.headers.get(name).and_then(|it| it.to_str().ok());
        let scopes = header("x-oauth-scopes")
            .map(|scopes| scopes.split(',').map(|scope| scope.trim().to_string()).collect());
        let told_at = header("date").and_then(|it| DateTime::parse_from_rfc2822(it).ok());
        let told_at = told_at.map(|at| at.to_utc());
        let identity = connector::read(answer).map_err(|error| self.judge(error))?;
        Ok(Inspection { identity, scopes, told_at })
    }

    /// The modal `view` is open for whoever clicked; `trigger_id` is of that click, not older than three seconds.
    /// The view's id.
    ///
    /// # Errors
    /// [`SlackError`]
    pub async fn open_view(&self, trigger_id: &str, view: &Value) -> Result<String, SlackError> {
        let body = json!({ "trigger_id": trigger_id, "view": view });
        self.call("views.open", &body).await.map(|it: Shown| it.view.id)
    }

    /// As [`SlackApi::open_view`], above the modal that was clicked in.
    ///
    /// # Errors
    /// [`SlackError`]
    pub async fn push_view(&self, trigger_id: &str, view: &Value) -> Result<String, SlackError> {
        let body = json!({ "trigger_id": trigger_id, "view": view });
        self.call("views.push", &body).await.map(|it: Shown| it.view.id)
    }

    /// `view` takes the place of what the view `view_id` shows.
    ///
    /// # Errors
    /// [`SlackError`]
    pub async fn update_view(&self, view_id: &str, view: &Value) -> Result<(), SlackError> {
        let body = json!({ "view_id": view_id, "view": view });
        self.call("views.update", &body).await.map(|_: Value| ())
    }

    /// Shows cards below links: `call` says below which, and what.
    ///
    /// # Errors
    /// [`SlackError`]
    pub async fn unfurl(&self, call: &Value) -> Result<(), SlackError> {
        self.call("chat.unfurl", call).await.map(|_: Value| ())
    }

    /// `view` is the Home of the account `user_id`.
    ///
    /// # Errors
    /// [`SlackError`]
    pub async fn publish_home(&self, user_id: &str, view: &Value) -> Result<(), SlackError> {
        let body = json!({ "user_id": user_id, "view": view });
        self.call("views.publish", &body).await.map(|_: Value| ())
    }

    /// A WebSocket on which Slack will say hello, then send what it would send to our address; `app_token`
    /// begins with `xapp-`.
    ///
    /// # Errors
    /// [`SlackError`]
    pub async fn open_socket(&self, app_token: &SecretString) -> Result<WebSocket, SlackError> {
        #[derive(Deserialize)]
        struct Opened {
            url: Url,
        }
        let opened: Opened = self.call_as(app_token, "apps.connections.open", &json!({})).await?;
        if !self.is_slacks(&opened.url) {
            return Err(SlackError::Rejected { code: "foreign_socket_url".into() });
        }
        let http = &self.client.http_api.connector.http;
        let opened = http.web_socket(opened.url.as_str()).await;
        opened.map_err(|error| SlackError::Away { why: error.to_string() })
    }

    async fn wait_for_turn(&self, channel: &str, patience: Duration) -> Result<(), SlackError> {
        if patience.is_zero() {
            return self.may_call();
        }
        let turn = self.pace().take_turn(channel, Instant::now(), patience);
        let wait = turn.map_err(|wait| SlackError::Limited { wait })?;
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Asks a method that changes nothing.
    pub(super) async fn get<'p, T, P>(
        &self,
        method: &str,
        parameters: &'p P,
    ) -> Result<T, SlackError>
    where
        T: for<'de> Deserialize<'de> + Send,
        P: IntoIterator<Item = (&'p str, Option<&'p str>)> + Clone + Sync,
    {
        let Some(token) = &self.token else { return Err(no_token()) };
        let token = SlackApiToken::new(SlackApiTokenValue(token.expose_secret().into()));
        let session = self.client.open_session(&token);
        let asked = session.http_session_api.http_get(method, parameters, None).await;
        asked.map_err(|error| self.judge(error))
    }

    /// # Errors
    /// How long Slack still asks us to call nothing.
    pub(super) fn may_call(&self) -> Result<(), SlackError> {
        let is_time = self.pace().may_send(Instant::now());
        is_time.map_err(|wait| SlackError::Limited { wait })
    }

    pub(super) async fn call<T>(&self, method: &str, body: &Value) -> Result<T, SlackError>
    where
        T: for<'de> Deserialize<'de> + Send,
    {
        let Some(token) = &self.token else { return Err(no_token()) };
        self.call_as(token, method, body).await
    }

    async fn call_as<T>(
        &self,
        token: &SecretString,
        method: &str,
        body: &Value,
    ) -> Result<T, SlackError>
    where
        T: for<'de> Deserialize<'de> + Send,
    {
        let token = SlackApiToken::new(SlackApiTokenValue(token.expose_secret().into()));
        let session = self.client.open_session(&token);
        let asked = session.http_session_api.http_post(method, body, None).await;
        asked.map_err(|error| self.judge(error))
    }

    /// What `error` means for us. A pause that Slack asks for is kept by every call from now on.
    fn judge(&self, error: SlackClientError) -> SlackError {
        match error {
            SlackClientError::ApiError(error) => match SlackError::from_code(&error.code) {
                SlackError::Limited { .. } => self.pause(None),
                error => error,
            },
            SlackClientError::RateLimitError(error) => self.pause(error.retry_after),
            SlackClientError::HttpError(error) if error.status_code.is_client_error() => {
                SlackError::Rejected { code: error.status_code.as_u16().to_string() }
            }
            SlackClientError::HttpError(error)
                if error.status_code == StatusCode::SERVICE_UNAVAILABLE =>
            {
                SlackError::Away { why: "it answers with status 503".into() }
            }
            SlackClientError::HttpError(error) => SlackError::Unavailable {
                why: format!("it answers with status {}", error.status_code),
            },
            SlackClientError::SystemError(error) => {
                let cause = error.cause.as_deref();
                let why = cause.map(ToString::to_string).or(error.message).unwrap_or_default();
                match cause.and_then(|cause| cause.downcast_ref()) {
                    Some(HttpError::Unreachable { .. }) => SlackError::Away { why },
                    _ => SlackError::Unavailable { why },
                }
            }
            SlackClientError::ProtocolError(_) => {
                SlackError::Unavailable { why: "its answer is not what it documents".into() }
            }
            _ => SlackError::Unavailable { why: "the connection broke".into() },
        }
    }

    fn pause(&self, wait: Option<Duration>) -> SlackError {
        let wait = wait.unwrap_or(WAIT);
        self.pace().pause(wait, Instant::now());
        SlackError::Limited { wait }
    }

    pub(super) fn shared(&self) -> std::sync::MutexGuard<'_, SharedChannels> {
        // Whoever panicked while holding it left a list of what Slack said.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pace(&self) -> std::sync::MutexGuard<'_, Pace> {
        // Whoever panicked while holding it left two numbers that are still numbers.
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_token() -> SlackError {
    SlackError::Token { code: "no token".into() }
}

impl SlackError {
    /// Whether nothing was done, and later something may be.
    pub fn is_passing(&self) -> bool {
        matches!(self.policy(), Policy::Limited | Policy::Later | Policy::Away)
    }

    /// What Slack's error `code` means.
    fn from_code(code: &str) -> SlackError {
        let code = code.to_string();
        match errors::policy(&code) {
            Policy::Person => SlackError::Channel { code },
            Policy::Channel => SlackError::Thread { code },
            Policy::Gone => SlackError::Gone { code },
            Policy::Mend => SlackError::Token { code },
            Policy::Later => SlackError::Later { code },
            Policy::Limited => SlackError::Limited { wait: Duration::ZERO },
            Policy::Away => SlackError::Away { why: code },
            Policy::Uncertain => SlackError::Unavailable { why: code },
            Policy::Ours => SlackError::Rejected { code },
        }
    }

    /// What is done about a post that was answered so.
    fn policy(&self) -> Policy {
        match self {
            SlackError::Channel { .. } | SlackError::Shared => Policy::Person,
            SlackError::Thread { .. } => Policy::Channel,
            SlackError::Gone { .. } => Policy::Gone,
            SlackError::Token { .. } => Policy::Mend,
            SlackError::Later { .. } => Policy::Later,
            SlackError::Limited { .. } => Policy::Limited,
            SlackError::Away { .. } => Policy::Away,
            SlackError::Unavailable { .. } => Policy::Uncertain,
            SlackError::Rejected { .. } => Policy::Ours,
        }
    }
}

impl From<SlackError> for Unsent {
    fn from(error: SlackError) -> Unsent {
        let wait = match error {
            SlackError::Limited { wait } => wait,
            _ => Duration::ZERO,
        };
        // Slack does not say which of its limits it was.
        Unsent { policy: error.policy(), wait, everywhere: true, why: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(url: &str, allowed: &[&str]) -> anyhow::Result<SlackApi> {
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        SlackApi::new(&Url::parse(url).unwrap(), Some("xoxb-secret".into()), &allowed)
    }

    #[test]
    fn the_token_goes_to_slack_to_this_machine_or_to_whom_the_settings_allow() {
        for url in [
            "https://slack.com/api/",
            "https://slack-gov.com/api/",
            "http://127.0.0.1:9/",
            "http://localhost:9/",
        ] {
            assert!(api(url, &[]).is_ok(), "{url}");
        }
        for url in [
            "https://slack.com.evil.test/api/",
            "https://evil.test/",
            "http://10.0.0.1/",
            "https://api.slack.com/",
        ] {
            let error = api(url, &[]).unwrap_err().to_string();
            assert!(error.contains("allowed_hosts"), "{url}: {error}");
        }
        assert!(api("https://slack.acme.test/api/", &["slack.acme.test:443"]).is_ok());
    }

    #[test]
    fn late_answers_go_to_slack_alone() {
        let is_slacks = |api_url: &str, url: &str| {
            api(api_url, &[]).unwrap().is_slacks(&Url::parse(url).unwrap())
        };
        let slack = "https://slack.com/api/";
        assert!(is_slacks(slack, "https://hooks.slack.com/commands/T1/2/3"));
        for foreign in [
            "https://evil.example/commands",
            "https://hooks.slack.com.evil.example/commands",
            "https://notslack.com/commands",
            "http://127.0.0.1:8080/commands",
        ] {
            assert!(!is_slacks(slack, foreign), "{foreign}");
        }
        assert!(is_slacks("http://127.0.0.1:8081/api/", "http://127.0.0.1:8081/respond/1"));
    }

    #[test]
    fn nothing_shows_the_token() {
        assert!(!format!("{:?}", api("https://slack.com/api/", &[])).contains("secret"));
    }

    #[test]
    fn each_error_of_slack_says_what_is_done_about_it() {
        for (code, policy) in errors::ERRORS {
            assert_eq!(SlackError::from_code(code).policy(), policy, "{code}");
        }
        for code in ["an_error_of_tomorrow", ""] {
            assert_eq!(SlackError::from_code(code).policy(), Policy::Ours, "{code}");
        }
    }
}
