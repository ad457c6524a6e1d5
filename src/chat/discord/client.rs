//! What the bot says to Discord of its own accord: answers, which commands there are, where its gateway is.

use std::time::Duration;

use axum::http::Method;
use bytes::Bytes;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use serenity::model::gateway::BotGateway;
use url::Url;

use super::errors;
use crate::chat::api::{Api, is_loopback};
use crate::chat::outbox::{Policy, Unsent};
use crate::conversation::Picture;
use crate::integrations::http::web_socket::WebSocket;
use crate::integrations::http::{Answer, Client, HttpError};

const HOSTS: [&str; 1] = ["discord.com"];

/// The gateway's host, and what the hosts of sessions end with.
const GATEWAY_HOST: &str = "discord.gg";

/// How messages of the gateway are written. Discord compresses them only when asked to.
const GATEWAY_QUERY: &str = "v=10&encoding=json";

/// How often one call is made while Discord answers that it is too early.
const CALLS_MAX: usize = 3;

/// The longest that a call waits for its turn; who asks waits with it.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// How long after Discord did not know what was to be edited it is edited again: together longer than it
/// waits for the answer that stands there.
const EDIT_AGAIN_AFTER: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(2)];

/// The message has a thread below it.
const HAS_THREAD: u64 = 160_004;

/// Where Discord says no more than that it is too early.
const WAIT: Duration = Duration::from_secs(1);

/// Discord's API, called as our application. Each call ends within 10 s, once its turn has come.
#[derive(Debug)]
pub struct DiscordApi {
    http: Client,
    /// Ends with `/`.
    url: Url,
    application_id: String,
    /// `None`: late answers alone can be sent.
    token: Option<SecretString>,
}

/// Why a call had no effect, by what can be done about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscordError {
    /// The message, or the right to answer, is no more; there is nobody to tell.
    #[error("what was to be answered is gone ({code})")]
    Gone { code: u64 },
    /// Say it below nothing, or not at all.
    #[error("what was to be replied to is gone ({code})")]
    Message { code: u64 },
    /// The application is not in the server, or may not do this there.
    #[error("Discord does not let the bot do this ({code}); invite it to the server anew")]
    Access { code: u64 },
    /// No call works until a person mends it.
    #[error("Discord does not take the bot's token; set `DISCORD_BOT_TOKEN` to the one of the app")]
    Token,
    /// Nothing was done.
    #[error("Discord takes no more calls for {} s", wait.as_secs())]
    Limited {
        wait: Duration,
        /// Whether of any kind.
        everywhere: bool,
    },
    /// Nothing was done, and some time later it may be.
    #[error("Discord does not take this now ({code})")]
    Later { code: u64 },
    /// Ours to put right: Discord does not understand what we sent.
    #[error("Discord refused the call (status {status}, {code})")]
    Rejected { status: u16, code: u64 },
    /// Nothing was done: Discord is not there, or takes nothing.
    #[error("Discord is away: {why}")]
    Away { why: String },
    /// It may or may not have been done.
    #[error("Discord could not be asked: {why}")]
    Unavailable { why: String },
}

impl DiscordError {
    /// What Discord's answer of `status` with `code` means, zero where there is none.
    fn from_code(status: u16, code: u64) -> DiscordError {
        let why = match code {
            0 => format!("it answers with status {status}"),
            code => format!("it answers with status {status}, {code}"),
        };
        match errors::policy(status, code) {
            Policy::Person => DiscordError::Access { code },
            Policy::Channel => DiscordError::Message { code },
            Policy::Gone => DiscordError::Gone { code },
            Policy::Mend => DiscordError::Token,
            Policy::Later => DiscordError::Later { code },
            Policy::Limited => DiscordError::Limited { wait: WAIT, everywhere: false },
            Policy::Away => DiscordError::Away { why },
            Policy::Uncertain => DiscordError::Unavailable { why },
            Policy::Ours => DiscordError::Rejected { status, code },
        }
    }

    /// What is done about a post that was answered so.
    fn policy(&self) -> Policy {
        match self {
            DiscordError::Access { .. } => Policy::Person,
            DiscordError::Message { .. } => Policy::Channel,
            DiscordError::Gone { .. } => Policy::Gone,
            DiscordError::Token => Policy::Mend,
            DiscordError::Later { .. } => Policy::Later,
            DiscordError::Limited { .. } => Policy::Limited,
            DiscordError::Away { .. } => Policy::Away,
            DiscordError::Unavailable { .. } => Policy::Uncertain,
            DiscordError::Rejected { .. } => Policy::Ours,
        }
    }
}

impl From<DiscordError> for Unsent {
    fn from(error: DiscordError) -> Unsent {
        let (wait, everywhere) = match error {
            DiscordError::Limited { wait, everywhere } => (wait, everywhere),
            _ => (Duration::ZERO, false),
        };
        Unsent { policy: error.policy(), wait, everywhere, why: error.to_string() }
    }
}

impl DiscordApi {
    /// A client of the API at `url`, which ends with `/`; `allowed_hosts` are those of the settings.
    ///
    /// # Errors
    /// A `url` that is neither Discord's, nor on this machine, nor allowed: it would be told the token.
    pub fn new(
        url: &Url,
        application_id: &str,
        token: Option<SecretString>,
        allowed_hosts: &[String],
    ) -> anyhow::Result<DiscordApi> {
        let api = Api { platform: "Discord", variable: "DISCORD_API_URL", hosts: &HOSTS };
        let http = Client::new(api.policy(url, allowed_hosts)?);
        let application_id = application_id.to_string();
        Ok(DiscordApi { http, url: url.clone(), application_id, token })
    }

    pub fn application_id(&self) -> &str {
        &self.application_id
    }

    /// `answer` is what the interaction `id` of this `token` is answered; within three seconds of it.
    ///
    /// # Errors
    /// [`DiscordError`]; [`DiscordError::Gone`] where it was answered before.
    pub async fn answer(
        &self,
        id: &str,
        token: &str,
        answer: &RawValue,
    ) -> Result<(), DiscordError> {
        let path = ["interactions", id, token, "callback"];
        self.call(WAIT_MAX, Method::POST, &path, &[], answer).await.map(|_| ())
    }

    /// `message` is what the interaction of this `token` is answered, in the place of what it was answered
    /// before; within 15 minutes of it. The answer before may still be on its way to Discord. Where Discord asks us to
    /// wait, it is sent again when the time has come, unless that is after `patience`.
    ///
    /// # Errors
    /// [`DiscordError`]
    pub async fn edit_answer(
        &self,
        token: &str,
        message: &Value,
        patience: Duration,
    ) -> Result<(), DiscordError> {
        self.edit_answer_with(token, message, &[], patience).await
    }

    /// [`DiscordApi::edit_answer`] with `pictures`, which `message` names as its attachments.
    ///
    /// # Errors
    /// [`DiscordError`]
    pub async fn edit_answer_with(
        &self,
        token: &str,
        message: &Value,
        pictures: &[Picture],
        patience: Duration,
    ) -> Result<(), DiscordError> {
        let path = ["webhooks", &self.application_id, token, "messages", "@original"];
        let mut pauses = EDIT_AGAIN_AFTER.into_iter();
        loop {
            // The token in the address says who may: no other is sent.
            let edited = self.call_with(patience, Method::PATCH, &path, &[], message, pictures);
            let edited = edited.await.map(|_| ());
            match (&edited, pauses.next()) {
                (Err(DiscordError::Gone { .. } | DiscordError::Message { .. }), Some(pause)) => {
                    tokio::time::sleep(pause).await;
                }
                _ => return edited,
            }
        }
    }

    /// `message`, an object, is posted in the channel `channel_id`; once for each `nonce` in it. Returns its id.
    /// Where Discord asks us to wait, it is sent again when the time has come, unless that is after `patience`.
    ///
    /// # Errors
    /// [`DiscordError`]
    pub async fn post_message(
        &self,
        channel_id: &str,
        message: &Value,
        patience: Duration,
    ) -> Result<String, DiscordError> {
        let path = ["channels", channel_id, "messages"];
        let posted = self.call_as_bot_within(patience, Method::POST, &path, message).await?;
        Ok(posted["id"].as_str().unwrap_or_default().to_string())
    }

    /// [`DiscordApi::post_message`] at once, with `pictures`, which `message` names as its attachments.
    ///
    /// # Errors
    /// [`DiscordError`]
    pub async fn post_message_with(
        &self,
        channel_id: &str,
        message: &Value,
        pictures: &[Picture],
    ) -> Result<String, DiscordError> {
        let bot = self.bot()?;
        let path = ["channels", channel_id, "messages"];
        let headers = [("authorization", bot.as_str())];
        let posted =
            self.call_with(Duration::ZERO, Method::POST, &path, &headers, message, pictures);
        Ok(posted.await?["id"].as_str().unwrap_or_default().to_string())
    }

    /// `message` takes the place of the bot's message `message_id` in the channel `channel_id`, with `pictures`, which
    /// it names as its attachments. Waits where Discord asks for it, each time no longer than `patience`.
    ///
    /// # Errors
    /// [`DiscordError`]
    pub async fn edit_message(
        &self,
        channel_id: &str,
        message_id: &str,
        message: &Value,
        pictures: &[Picture],
        patience: Duration,
    ) -> Result<(), DiscordError> {
        let bot = self.bot()?;
        let path = ["channels", channel_id, "messages", message_id];
        let headers = [("authorization", bot.as_str())];
        let edited =
            self.call_with(patience, Method::PATCH, &path, &headers, message, pictures).await;
        edited.map(|_| ())
    }

    /// There is a thread below the message `message_id` of the channel `channel_id`: `name`, where it is begun now. Its id
    /// is the message's.
    ///
    /// Source: <https://docs.discord.com/developers/resources/channel#start-thread-from-message>
    ///
    /// # Errors
    /// [`DiscordError`]
    pub async fn begin_thread(
        &self,
        channel_id: &str,
        message_id: &str,
        name: &str,
        patience: Duration,
    ) -> Result<(), DiscordError> {
        let path = ["channels", channel_id, "messages", message_id, "threads"];
        let body = json!({ "name": name });
        match self.call_as_bot_within(patience, Method::POST, &path, &body).await {
            Ok(_)
            | Err(
                DiscordError::Rejected { code: HAS_THREAD, .. }
                | DiscordError::Access { code: HAS_THREAD },
            ) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The last 50 messages of the channel `channel_id`, the newest first; those older than `before` where it is given.
    ///
    /// # Errors
    /// [`DiscordError`]
    pub async fn messages(
        &self,
        channel_id: &str,
        before: Option<&str>,
    ) -> Result<Vec<Value>, DiscordError> {
        let mut url = self.at(&["channels", channel_id, "messages"]);
        url.query_pairs_mut().append_pair("limit", "50");
        if let Some(before) = before {
            url.query_pairs_mut().append_pair("before", before);
        }
        let said = self.ask(&url).await?;
        match said {
            Value::Array(messages) => Ok(messages),
            _ => Err(DiscordError::Away { why: "it tells no messages".into() }),
        }
    }

    /// Whether anything was ever said in the channel `channel_id`.
    ///
    /// # Errors
    /// [`DiscordError`]
    pub async fn has_messages(&self, channel_id: &str) -> Result<bool, DiscordError> {
        let said = self.ask(&self.at(&["channels", channel_id])).await?;
        Ok(said["last_message_id"].is_string())
    }

    /// Asks once, and waits for no turn.
    async fn ask(&self, url: &Url) -> Result<Value, DiscordError> {
        let bot = self.bot()?;
        let headers = [("authorization", bot.as_str())];
        judge(self.http.get_with(url.as_str(), &headers, ANSWER_BYTES_MAX).await)
    }

    /// The channel in which the bot and `user_id` are alone.
    ///
    /// # Errors
    /// [`DiscordError`]
    pub async fn direct_channel(
        &self,
        user_id: &str,
        patience: Duration,
    ) -> Result<String, DiscordError> {
        let path = ["users", "@me", "channels"];
        let body = json!({ "recipient_id": user_id });
        let opened = self.call_as_bot_within(patience, Method::POST, &path, &body).await?;
        let id = opened["id"].as_str().filter(|id| !id.is_empty()).map(str::to_string);
        id.ok_or_else(|| DiscordError::Away { why: "it does not tell the channel's id".into() })
    }

    /// Whether there is a token to call with.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether `user_id` is in the server `guild_id`, and we are.
    ///
    /// # Errors
    /// [`DiscordError`]
    pub async fn is_member(&self, guild_id: &str, user_id: &str) -> Result<bool, DiscordError> {
        let path = ["guilds", guild_id, "members", user_id];
        match self.call_as_bot(Method::GET, &path, &Value::Null).await {
            Ok(_) => Ok(true),
            // Unknown members, users and servers.
            Err(DiscordError::Gone { .. } | DiscordError::Access { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The bot as people mention it.
    ///
    /// # Errors
    /// [`DiscordError`]
    pub async fn bot_user_id(&self) -> Result<String, DiscordError> {
        let said = self.call_as_bot(Method::GET, &["users", "@me"], &Value::Null).await?;
        let id = said["id"].as_str().filter(|id| !id.is_empty()).map(str::to_string);
        id.ok_or_else(|| DiscordError::Away { why: "it does not tell who the bot is".into() })
    }

    /// Where the gateway is, and how often a session may still be begun.
    ///
    /// # Errors
    /// [`DiscordError`]
    pub async fn gateway(&self) -> Result<BotGateway, DiscordError> {
        let said = self.call_as_bot(Method::GET, &["gateway", "bot"], &Value::Null).await?;
        serde_json::from_value(said).map_err(|error| DiscordError::Away {
            why: format!("it does not tell where its gateway is: {error}"),
        })
    }

    /// A WebSocket to the gateway at `url`, on which Discord will say hello.
    ///
    /// # Errors
    /// [`DiscordError`]; a `url` that is not Discord's, for it would be told the token.
    pub async fn open_gateway(&self, url: &str) -> Result<WebSocket, DiscordError> {
        let away = |why: String| DiscordError::Away { why };
        let mut url = Url::parse(url).map_err(|_| away("its gateway has no address".into()))?;
        if !self.is_gateway(&url) {
            return Err(away("its gateway is said to be elsewhere".into()));
        }
        url.set_query(Some(GATEWAY_QUERY));
        self.http.web_socket(url.as_str()).await.map_err(|error| away(error.to_string()))
    }

    /// Whether `url` is of Discord's gateway, or of who stands for Discord on this machine.
    fn is_gateway(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let sub = host.strip_suffix(GATEWAY_HOST);
        let policy = self.http.policy();
        sub.is_some_and(|sub| sub.is_empty() || sub.ends_with('.'))
            || policy.lists(url)
            || (policy.loopback && is_loopback(url))
    }

    /// The application's commands in the server `guild_id`, as Discord has them.
    ///
    /// # Errors
    /// [`DiscordError`]
    pub async fn commands(&self, guild_id: &str) -> Result<Value, DiscordError> {
        self.call_as_bot(Method::GET, &self.commands_of(guild_id), &Value::Null).await
    }

    /// `commands`, a list, are all that the application has in the server `guild_id` from now on.
    ///
    /// # Errors
    /// [`DiscordError`]
    pub async fn set_commands(&self, guild_id: &str, commands: &Value) -> Result<(), DiscordError> {
        self.call_as_bot(Method::PUT, &self.commands_of(guild_id), commands).await.map(|_| ())
    }

    fn commands_of<'a>(&'a self, guild_id: &'a str) -> [&'a str; 5] {
        ["applications", &self.application_id, "guilds", guild_id, "commands"]
    }

    /// What proves to Discord who calls.
    fn bot(&self) -> Result<Zeroizing<String>, DiscordError> {
        let token = self.token.as_ref().ok_or(DiscordError::Token)?;
        Ok(Zeroizing::new(format!("Bot {}", token.expose_secret())))
    }

    async fn call_as_bot(
        &self,
        method: Method,
        path: &[&str],
        body: &Value,
    ) -> Result<Value, DiscordError> {
        self.call_as_bot_within(WAIT_MAX, method, path, body).await
    }

    async fn call_as_bot_within(
        &self,
        patience: Duration,
        method: Method,
        path: &[&str],
        body: &Value,
    ) -> Result<Value, DiscordError> {
        let bot = self.bot()?;
        self.call(patience, method, path, &[("authorization", &bot)], body).await
    }

    /// Waits where Discord asks for it, each time no longer than `patience`.
    async fn call(
        &self,
        patience: Duration,
        method: Method,
        path: &[&str],
        headers: &[(&str, &str)],
        body: &(impl Serialize + Sync + ?Sized),
    ) -> Result<Value, DiscordError> {
        self.call_with(patience, method, path, headers, body, &[]).await
    }

    /// Calls with `pictures` as the files of the call, where there are any.
    async fn call_with(
        &self,
        patience: Duration,
        method: Method,
        path: &[&str],
        headers: &[(&str, &str)],
        body: &(impl Serialize + Sync + ?Sized),
        pictures: &[Picture],
    ) -> Result<Value, DiscordError> {
        let url = self.at(path);
        let mut called = Err(DiscordError::Limited { wait: Duration::ZERO, everywhere: false });
        for _ in 0..CALLS_MAX {
            let answer = match method {
                Method::GET => self.http.get_with(url.as_str(), headers, ANSWER_BYTES_MAX).await,
                _ if pictures.is_empty() => {
                    self.http.send_json(method.clone(), url.as_str(), headers, body).await
                }
                _ => {
                    let body = serde_json::to_string(body)
                        .map_err(|error| DiscordError::Away { why: error.to_string() })?;
                    let url = url.as_str();
                    self.http
                        .send_with_files(method.clone(), url, headers, body, files(pictures))
                        .await
                }
            };
            called = judge(answer);
            match &called {
                Err(DiscordError::Limited { wait, .. }) if *wait <= patience => {
                    tokio::time::sleep(*wait).await;
                }
                _ => break,
            }
        }
        called
    }

    /// The address of `path`, whose parts come from outside.
    fn at(&self, path: &[&str]) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }
}

/// Source: <https://docs.discord.com/developers/reference#uploading-files>
fn files(pictures: &[Picture]) -> Vec<(String, String, &'static str, Bytes)> {
    let file = |(number, it): (usize, &Picture)| {
        (format!("files[{number}]"), it.name.clone(), "image/png", it.png.clone())
    };
    pictures.iter().enumerate().map(file).collect()
}

/// What Discord's answer means. Nothing of its body goes into an error: it may repeat what we sent.
fn judge(answer: Result<Answer, HttpError>) -> Result<Value, DiscordError> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error @ HttpError::Unreachable { .. }) => {
            return Err(DiscordError::Away { why: error.to_string() });
        }
        Err(error) => return Err(DiscordError::Unavailable { why: error.to_string() }),
    };
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if (200..300).contains(&answer.status) {
        return Ok(said);
    }
    let code = said["code"].as_u64().unwrap_or_default();
    match DiscordError::from_code(answer.status, code) {
        DiscordError::Limited { .. } => {
            let everywhere = said["global"].as_bool().unwrap_or(false);
            Err(DiscordError::Limited { wait: wait(&answer, &said), everywhere })
        }
        error => Err(error),
    }
}

/// How long Discord asks us to wait: to the millisecond in the body, in seconds in the head.
fn wait(answer: &Answer, said: &Value) -> Duration {
    let header = answer.headers.get("retry-after").and_then(|it| it.to_str().ok()?.parse().ok());
    let seconds = said["retry_after"].as_f64().or(header);
    seconds.and_then(|it| Duration::try_from_secs_f64(it).ok()).unwrap_or(WAIT)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;

    fn api(url: &str) -> anyhow::Result<DiscordApi> {
        DiscordApi::new(&Url::parse(url).unwrap(), "1", Some("secret".into()), &[])
    }

    #[test]
    fn the_token_goes_to_discord_or_to_this_machine_and_is_never_shown() {
        for url in ["https://discord.com/api/v10/", "http://127.0.0.1:9/"] {
            assert!(!format!("{:?}", api(url).unwrap()).contains("secret"), "{url}");
        }
        for url in ["https://discord.com.evil.test/", "http://10.0.0.1/", "https://evil.test/"] {
            let error = api(url).unwrap_err().to_string();
            assert!(
                error.contains("allowed_hosts") && error.contains("DISCORD_API_URL"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_gateway_is_discords_or_on_this_machine() {
        let discords = api("https://discord.com/api/v10/").unwrap();
        let is_gateway = |api: &DiscordApi, url: &str| api.is_gateway(&Url::parse(url).unwrap());
        for url in ["wss://gateway.discord.gg", "wss://gateway-us-east1-b.discord.gg/"] {
            assert!(is_gateway(&discords, url), "{url}");
        }
        for url in ["wss://evil-discord.gg", "wss://discord.gg.evil.test", "ws://127.0.0.1:9"] {
            assert!(!is_gateway(&discords, url), "{url}");
        }
        assert!(is_gateway(&api("http://127.0.0.1:9/").unwrap(), "ws://127.0.0.1:8"));
    }

    #[test]
    fn no_part_of_an_address_is_another() {
        let api = api("https://discord.com/api/v10/").unwrap();
        assert_eq!(
            api.at(&["webhooks", "1", "../a?b#c", "@original"]).as_str(),
            "https://discord.com/api/v10/webhooks/1/..%2Fa%3Fb%23c/@original"
        );
    }

    #[test]
    fn each_error_of_discord_says_what_is_done_about_it() {
        let of = |status: u16, body: &str| {
            let body = body.as_bytes().to_vec();
            judge(Ok(Answer { status, headers: HeaderMap::new(), body })).unwrap_err()
        };
        let code = |code: u64| format!(r#"{{"code":{code}}}"#);
        for (it, policy) in errors::ERRORS {
            assert_eq!(of(400, &code(it)).policy(), policy, "{it}");
        }
        let unknown = [
            (401, Policy::Mend),
            (403, Policy::Person),
            (404, Policy::Ours),
            (500, Policy::Uncertain),
            (503, Policy::Away),
        ];
        for (status, policy) in unknown {
            assert_eq!(of(status, "").policy(), policy, "{status}");
        }
        assert_eq!(of(401, &code(0)), DiscordError::Token);
        assert_eq!(
            of(429, r#"{"retry_after":1.5}"#),
            DiscordError::Limited { wait: Duration::from_millis(1_500), everywhere: false }
        );
        assert_eq!(
            of(429, r#"{"retry_after":2,"global":true}"#),
            DiscordError::Limited { wait: Duration::from_secs(2), everywhere: true }
        );
        let a_while = DiscordError::Limited { wait: WAIT, everywhere: false };
        assert_eq!(of(429, "{"), a_while);
        assert_eq!(of(429, r#"{"retry_after":-1}"#), a_while);
        assert_eq!(of(400, &code(50_035)), DiscordError::Rejected { status: 400, code: 50_035 });
    }
}
