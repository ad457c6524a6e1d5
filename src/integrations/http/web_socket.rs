//! WebSockets, through the one client: the same names, addresses, certificates and time limits.

use axum::http::{StatusCode, header};
use reqwest::Upgraded;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use url::Url;

use super::{Client, GET_SECONDS_MAX, HttpError, failure, host, within};

/// An open WebSocket.
pub type WebSocket = WebSocketStream<Upgraded>;

/// The largest message that is taken in.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

impl Client {
    /// An open WebSocket to `url`, which begins with `wss:` or `ws:`; it may be asked as with `https:` and `http:`.
    ///
    /// # Errors
    /// [`HttpError`]; an answer that does not open a WebSocket is [`HttpError::Broken`].
    pub async fn web_socket(&self, url: &str) -> Result<WebSocket, HttpError> {
        let url = match url.split_once(':') {
            Some(("wss", rest)) => format!("https:{rest}"),
            Some(("ws", rest)) => format!("http:{rest}"),
            _ => url.to_string(),
        };
        let (url, reach) = self.judge(&url)?;
        let key = generate_key();
        let request = self
            .upgrades(reach)?
            .get(url.clone())
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, &key);
        within(&url, GET_SECONDS_MAX, open(&url, request, &key)).await
    }
}

/// Source: RFC 6455, section 4.1.
async fn open(
    url: &Url,
    request: reqwest::RequestBuilder,
    key: &str,
) -> Result<WebSocket, HttpError> {
    let broken = |why: &str| HttpError::Broken { host: host(url), why: why.into() };
    let answer = request.send().await.map_err(|error| failure(url, &error))?;
    let accepted = answer.headers().get(header::SEC_WEBSOCKET_ACCEPT);
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(broken(&format!("it opens no WebSocket: status {}", answer.status().as_u16())));
    }
    if accepted.is_none_or(|it| it.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(broken("it does not speak WebSocket"));
    }
    let stream = answer.upgrade().await.map_err(|error| failure(url, &error))?;
    let mut config = WebSocketConfig::default();
    config.max_message_size = Some(MESSAGE_BYTES_MAX);
    config.max_frame_size = Some(MESSAGE_BYTES_MAX);
    Ok(WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await)
}
