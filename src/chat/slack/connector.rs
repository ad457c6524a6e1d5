//! How slack-morphism speaks HTTP here: through our one client.

use std::pin::Pin;
use std::time::Duration;

use axum::http::StatusCode;
use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use slack_morphism::errors::{
    SlackClientApiError, SlackClientError, SlackClientHttpError, SlackClientSystemError,
    SlackRateLimitError, map_serde_error,
};
use slack_morphism::multipart_form::FileMultipartData;
use slack_morphism::{
    ClientResult, SlackClientApiCallContext, SlackClientHttpConnector, SlackClientId,
    SlackClientSecret, SlackEnvelopeMessage,
};
use url::Url;

use crate::integrations::http::{Answer, Client};

/// The most bytes of an answer to a question; a profile has a few thousand.
const ANSWER_BYTES_MAX: usize = 256 << 10;

type Asking<'a, T> = Pin<Box<dyn Future<Output = ClientResult<T>> + Send + 'a>>;

/// Sends JSON by POST, which every method takes that does something, and asks by GET.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) http: Client,
    /// Ends with `/`.
    pub(super) api_url: Url,
}

impl SlackClientHttpConnector for Connector {
    fn create_method_uri_path(&self, method: &str) -> ClientResult<Url> {
        Ok(self.api_url.join(method)?)
    }

    fn http_post_uri<'a, RQ, RS>(
        &'a self,
        url: Url,
        body: &'a RQ,
        context: SlackClientApiCallContext<'a>,
    ) -> Asking<'a, RS>
    where
        RQ: Serialize + Send + Sync,
        RS: for<'de> serde::Deserialize<'de> + Send + 'a,
    {
        Box::pin(async move {
            let body = serde_json::to_value(body).map_err(|error| map_serde_error(error, None))?;
            let bearer = bearer(&context);
            let answer = self.http.post_json(url.as_str(), &headers(&bearer), &body).await;
            read(answer.map_err(|error| system_error(error.into()))?)
        })
    }

    fn http_get_uri<'a, RS>(
        &'a self,
        url: Url,
        context: SlackClientApiCallContext<'a>,
    ) -> Asking<'a, RS>
    where
        RS: for<'de> serde::Deserialize<'de> + Send + 'a,
    {
        Box::pin(async move {
            let bearer = bearer(&context);
            let answer =
                self.http.get_with(url.as_str(), &headers(&bearer), ANSWER_BYTES_MAX).await;
            read(answer.map_err(|error| system_error(error.into()))?)
        })
    }

    fn http_get_with_client_secret<'a, RS>(
        &'a self,
        _: Url,
        _: &'a SlackClientId,
        _: &'a SlackClientSecret,
    ) -> Asking<'a, RS>
    where
        RS: for<'de> serde::Deserialize<'de> + Send + 'a,
    {
        not_called()
    }

    fn http_post_uri_multipart_form<'a, 'p, RS, PT, TS>(
        &'a self,
        _: Url,
        _: Option<FileMultipartData<'p>>,
        _: &'p PT,
        _: SlackClientApiCallContext<'a>,
    ) -> Asking<'a, RS>
    where
        RS: for<'de> serde::Deserialize<'de> + Send + 'a,
        PT: IntoIterator<Item = (&'p str, Option<TS>)> + Clone,
        TS: AsRef<str> + 'p + Send,
    {
        not_called()
    }

    fn http_post_uri_binary<'a, 'p, RS>(
        &'a self,
        _: Url,
        _: String,
        _: &'a [u8],
        _: SlackClientApiCallContext<'a>,
    ) -> Asking<'a, RS>
    where
        RS: for<'de> serde::Deserialize<'de> + Send + 'a,
    {
        not_called()
    }
}

/// What proves to Slack who calls.
fn bearer(context: &SlackClientApiCallContext<'_>) -> Option<Zeroizing<String>> {
    context.token.map(|token| Zeroizing::new(format!("Bearer {}", token.token_value.0)))
}

fn headers(bearer: &Option<Zeroizing<String>>) -> Vec<(&str, &str)> {
    bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect()
}

fn not_called<'a, RS: Send + 'a>() -> Asking<'a, RS> {
    let why = "this method is sent in a way that the connector does not have";
    Box::pin(std::future::ready(Err(system_error(why.into()))))
}

fn system_error(cause: Box<dyn std::error::Error + Send + Sync>) -> SlackClientError {
    SlackClientError::SystemError(SlackClientSystemError::new().with_cause(cause))
}

/// What Slack's `answer` says. Nothing of its body goes into an error: it may repeat what we sent.
pub(super) fn read<RS: DeserializeOwned>(answer: Answer) -> ClientResult<RS> {
    if answer.status == 429 {
        let seconds =
            answer.headers.get("retry-after").and_then(|it| it.to_str().ok()?.parse().ok());
        return Err(SlackClientError::RateLimitError(
            SlackRateLimitError::new().opt_retry_after(seconds.map(Duration::from_secs)),
        ));
    }
    let said: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let code =
        match said.as_ref().map(|it| serde_json::from_value::<SlackEnvelopeMessage>(it.clone())) {
            Some(Ok(envelope)) if !envelope.ok => Some(envelope.error.unwrap_or_default()),
            _ => None,
        };
    if let Some(code) = code {
        return Err(SlackClientError::ApiError(SlackClientApiError::new(code)));
    }
    if answer.status != 200 {
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
        return Err(SlackClientError::HttpError(SlackClientHttpError::new(status)));
    }
    // A `response_url` answers with the bare word `ok`.
    let said = said.filter(Value::is_object).unwrap_or_else(|| Value::Object(Default::default()));
    serde_json::from_value(said).map_err(|error| map_serde_error(error, None))
}
