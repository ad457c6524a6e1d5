//! The one HTTP client: every outbound request of idp goes through it.

use std::net::IpAddr;

/// Where a client may connect to.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Hosts with ports that may be private or plain HTTP, `ghe.acme.internal:8443`; set by an administrator.
    pub allowed: Vec<String>,
    /// Whether loopback addresses may be asked, over plain HTTP too: tests, the demo.
    pub loopback: bool,
}

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: axum::http::HeaderMap,
    pub body: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("`{url}` may not be asked: {why}")]
    Refused { url: String, why: String },
    #[error("{host} did not answer within {seconds} s")]
    TimedOut { host: String, seconds: u64 },
    #[error("{host} sent more than {limit_bytes} bytes")]
    TooLarge { host: String, limit_bytes: usize },
    #[error("{host} could not be reached: {why}")]
    Unreachable { host: String, why: String },
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {}

impl Client {
    pub fn new(_policy: Policy) -> Client {
        todo!()
    }

    /// A catalog fetch: no redirects, no credentials, 5 s to connect, 15 s in all, at most `limit_bytes`.
    pub async fn get(&self, _url: &str, _limit_bytes: usize) -> Result<Answer, HttpError> {
        todo!()
    }

    /// JSON sent with `headers` (name, value) to `url`; 5 s to connect, 10 s in all, 1 MiB back.
    pub async fn post_json(
        &self,
        _url: &str,
        _headers: &[(&str, &str)],
        _body: &serde_json::Value,
    ) -> Result<Answer, HttpError> {
        todo!()
    }
}

/// Whether `address` is one that anybody on the internet could be asked at.
pub fn is_public(_address: IpAddr) -> bool {
    todo!()
}
