//! The one HTTP client: every outbound request of idp goes through it.
//!
//! A URL may come from a descriptor that a stranger wrote, so a request reaches public addresses on port 443 only,
//! unless an administrator listed its host; see [`Policy`]. It follows no redirects, heeds no proxy of the
//! environment, ends in time, and takes in no more than it was told to.

use std::error::Error;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use bytes::Bytes;
use reqwest::Certificate;
use reqwest::dns::Resolve;
use reqwest::multipart::{Form, Part};
use url::Url;

mod guard;
pub mod web_socket;

pub use guard::{Policy, is_public};

use guard::{Guarded, Reach, SystemNames};

const CONNECT_SECONDS_MAX: u64 = 5;
const GET_SECONDS_MAX: u64 = 15;
const POST_SECONDS_MAX: u64 = 10;
const POST_ANSWER_BYTES_MAX: usize = 1024 * 1024;
const CALL_CONNECT_SECONDS_MAX: u64 = 3;
const CALL_ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// What is asked of a server that starts something for us.
#[derive(Debug)]
pub struct Call<'a> {
    pub method: Method,
    pub url: &'a str,
    /// Name, value.
    pub headers: &'a [(&'a str, &'a str)],
    /// JSON, sent byte for byte: it may be signed.
    pub body: Option<Vec<u8>>,
    /// How long it may take in all.
    pub patience: Duration,
}

/// None of these says more of a URL than its scheme, host and port: paths and queries can be secrets.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("`{url}` may not be asked: {why}")]
    Refused { url: String, why: String },
    #[error("{host} did not answer within {seconds} s")]
    TimedOut { host: String, seconds: u64 },
    #[error("{host} sent more than {limit_bytes} bytes")]
    TooLarge { host: String, limit_bytes: usize },
    /// Nothing was sent.
    #[error("{host} could not be reached: {why}")]
    Unreachable { host: String, why: String },
    /// What was sent may have arrived.
    #[error("the connection to {host} broke: {why}")]
    Broken { host: String, why: String },
}

/// Every TLS connection of the process uses ring from here on.
///
/// Called first thing in `main` and in the world of the tests: two libraries bring a provider each, and a client
/// that finds none chosen panics inside its task.
pub fn install_tls() {
    // Only the first call can succeed, and it chose the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    policy: ArcSwap<Policy>,
    names: Arc<dyn Resolve>,
    /// Trusted besides the machine's own.
    authorities: Vec<Certificate>,
    /// One for each [`Reach`], built when first asked for: reading the machine's certificates takes time.
    connections: [OnceLock<reqwest::Client>; 3],
    /// The same for [`Client::call`].
    calls: [OnceLock<reqwest::Client>; 3],
    /// The same for connections that become something else than HTTP, which HTTP/2 does not let them.
    upgrades: [OnceLock<reqwest::Client>; 3],
}

impl std::fmt::Debug for Client {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Client").field("policy", &self.inner.policy).finish_non_exhaustive()
    }
}

impl Client {
    pub fn new(policy: Policy) -> Client {
        Client::with(policy, Arc::new(SystemNames), Vec::new())
    }

    /// A client that resolves names by `names` and trusts `authorities` besides the machine's own.
    pub fn with(policy: Policy, names: Arc<dyn Resolve>, authorities: Vec<Certificate>) -> Client {
        install_tls();
        let policy = ArcSwap::from_pointee(policy);
        let (connections, calls, upgrades) = Default::default();
        let inner = Inner { policy, names, authorities, connections, calls, upgrades };
        Client { inner: Arc::new(inner) }
    }

    /// Where it may connect to, as it is now.
    pub fn policy(&self) -> Arc<Policy> {
        self.inner.policy.load_full()
    }

    /// From now on, and for every clone, `hosts` are those that an administrator listed.
    pub fn allow(&self, hosts: Vec<String>) {
        let loopback = self.policy().loopback;
        self.inner.policy.store(Arc::new(Policy { allowed: hosts, loopback }));
    }

    /// A catalog fetch: no redirects, no credentials, 5 s to connect, 15 s in all, at most `limit_bytes`
    /// once unpacked.
    ///
    /// # Errors
    /// [`HttpError`]; an answer of any status is none.
    pub async fn get(&self, url: &str, limit_bytes: usize) -> Result<Answer, HttpError> {
        self.get_with(url, &[], limit_bytes).await
    }

    /// [`Client::get`] with `headers` (name, value).
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_with(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        limit_bytes: usize,
    ) -> Result<Answer, HttpError> {
        let (url, reach) = self.judge(url)?;
        let headers = header_map(&url, headers)?;
        let request = self.connections(reach)?.get(url.clone()).headers(headers);
        within(&url, GET_SECONDS_MAX, exchange(&url, request, limit_bytes)).await
    }

    /// JSON sent with `headers` (name, value) to `url`; 5 s to connect, 10 s in all, 1 MiB back.
    ///
    /// # Errors
    /// [`HttpError`]; an answer of any status is none.
    pub async fn post_json(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: &serde_json::Value,
    ) -> Result<Answer, HttpError> {
        self.send_json(Method::POST, url, headers, body).await
    }

    /// [`Client::post_json`] by another method.
    ///
    /// # Errors
    /// As [`Client::post_json`].
    pub async fn send_json(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &(impl serde::Serialize + Sync + ?Sized),
    ) -> Result<Answer, HttpError> {
        let (url, reach) = self.judge(url)?;
        let headers = header_map(&url, headers)?;
        let request = self.connections(reach)?.request(method, url.clone()).json(body);
        let request = request.headers(headers);
        within(&url, POST_SECONDS_MAX, exchange(&url, request, POST_ANSWER_BYTES_MAX)).await
    }

    /// `body`, of the media type `kind`, sent to `url` with nothing that says who sends it; times and limits of
    /// [`Client::post_json`].
    ///
    /// # Errors
    /// As [`Client::post_json`].
    pub async fn post_bytes(
        &self,
        url: &str,
        kind: &'static str,
        body: Bytes,
    ) -> Result<Answer, HttpError> {
        let (url, reach) = self.judge(url)?;
        let request = self.connections(reach)?.post(url.clone()).body(body);
        let request = request.header(CONTENT_TYPE, HeaderValue::from_static(kind));
        within(&url, POST_SECONDS_MAX, exchange(&url, request, POST_ANSWER_BYTES_MAX)).await
    }

    /// `body` as the part `payload_json` of a form, and `files` (name of the part, name of the file, media type, bytes)
    /// as its others; times and limits of [`Client::post_json`].
    ///
    /// # Errors
    /// As [`Client::post_json`].
    pub async fn send_with_files(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: String,
        files: Vec<(String, String, &'static str, Bytes)>,
    ) -> Result<Answer, HttpError> {
        let (url, reach) = self.judge(url)?;
        let broken = |error: reqwest::Error| failure(&url, &error);
        let payload = Part::text(body).mime_str("application/json").map_err(broken)?;
        let mut form = Form::new().part("payload_json", payload);
        for (part, name, kind, bytes) in files {
            let length = bytes.len() as u64;
            let file = Part::stream_with_length(bytes, length).file_name(name);
            form = form.part(part, file.mime_str(kind).map_err(broken)?);
        }
        let headers = header_map(&url, headers)?;
        let request = self.connections(reach)?.request(method, url.clone()).multipart(form);
        let request = request.headers(headers);
        within(&url, POST_SECONDS_MAX, exchange(&url, request, POST_ANSWER_BYTES_MAX)).await
    }

    /// What a server answers to `call`: 3 s to connect, [`Call::patience`] in all, 1 MiB back.
    ///
    /// Whether it may have had an effect can be told from the error.
    ///
    /// # Errors
    /// [`HttpError::Refused`] and [`HttpError::Unreachable`]: nothing was sent. All others: it may have arrived.
    /// An answer of any status is none.
    pub async fn call(&self, call: Call<'_>) -> Result<Answer, HttpError> {
        let (url, reach) = self.judge(call.url)?;
        let headers = header_map(&url, call.headers)?;
        let client = self.built(&self.inner.calls[reach as usize], reach, |builder| {
            builder.connect_timeout(Duration::from_secs(CALL_CONNECT_SECONDS_MAX))
        })?;
        let mut request = client.request(call.method, url.clone()).headers(headers);
        if let Some(body) = call.body {
            let kind = HeaderValue::from_static("application/json");
            request = request.header(CONTENT_TYPE, kind).body(body);
        }
        let seconds = call.patience.as_secs().max(1);
        let exchanged = exchange(&url, request, CALL_ANSWER_BYTES_MAX);
        tokio::time::timeout(call.patience, exchanged)
            .await
            .unwrap_or_else(|_| Err(HttpError::TimedOut { host: host(&url), seconds }))
    }

    /// `url` and the addresses behind it, for a program that makes its own connections and must be pinned to these.
    ///
    /// # Errors
    /// [`HttpError::Refused`] as for a request of ours; [`HttpError::Unreachable`] for a name without an address.
    pub async fn pin(&self, url: &str) -> Result<(Url, Vec<IpAddr>), HttpError> {
        let (url, reach) = self.judge(url)?;
        let addresses = match url.host() {
            Some(url::Host::Ipv4(address)) => vec![address.into()],
            Some(url::Host::Ipv6(address)) => vec![address.into()],
            _ => within(&url, CONNECT_SECONDS_MAX, self.resolve(&url, reach)).await?,
        };
        Ok((url, addresses))
    }

    async fn resolve(&self, url: &Url, reach: Reach) -> Result<Vec<IpAddr>, HttpError> {
        let name = host(url).parse().map_err(|_| refused(url, "its host is not a name"))?;
        let found = Guarded { names: self.inner.names.clone(), reach }
            .resolve(name)
            .await
            .map_err(|error| failure(url, error.as_ref()))?;
        Ok(found.map(|it| it.ip()).collect())
    }

    fn judge(&self, text: &str) -> Result<(Url, Reach), HttpError> {
        self.policy().reach(text).map_err(|why| HttpError::Refused { url: origin(text), why })
    }

    fn connections(&self, reach: Reach) -> Result<&reqwest::Client, HttpError> {
        self.built(&self.inner.connections[reach as usize], reach, |builder| builder)
    }

    fn upgrades(&self, reach: Reach) -> Result<&reqwest::Client, HttpError> {
        self.built(&self.inner.upgrades[reach as usize], reach, reqwest::ClientBuilder::http1_only)
    }

    fn built<'a>(
        &self,
        slot: &'a OnceLock<reqwest::Client>,
        reach: Reach,
        change: fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Result<&'a reqwest::Client, HttpError> {
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let client = self.build(reach, change)?;
        Ok(slot.get_or_init(|| client))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    fn build(
        &self,
        reach: Reach,
        change: fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Result<reqwest::Client, HttpError> {
        let builder = || {
            change(reqwest::Client::builder())
                .dns_resolver(Guarded { names: self.inner.names.clone(), reach })
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .referer(false)
                .connect_timeout(Duration::from_secs(CONNECT_SECONDS_MAX))
                .user_agent(concat!("idp/", env!("CARGO_PKG_VERSION")))
        };
        let authorities = self.inner.authorities.clone();
        builder().tls_certs_merge(authorities.clone()).build().or_else(|error| {
            // Without authorities every TLS connection fails, and says so; plain ones to this machine go on.
            tracing::warn!(
                error = causes(&error),
                "no certificate authorities on this machine: install the package ca-certificates"
            );
            builder().tls_certs_only(authorities).build().map_err(|error| HttpError::Unreachable {
                host: "every host".into(),
                why: causes(&error),
            })
        })
    }
}

/// Sends `request` and reads its answer, counting what comes out of the decompression.
async fn exchange(
    url: &Url,
    request: reqwest::RequestBuilder,
    limit_bytes: usize,
) -> Result<Answer, HttpError> {
    let mut response = request.send().await.map_err(|error| failure(url, &error))?;
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(url, &error))? {
        if body.len() + chunk.len() > limit_bytes {
            return Err(HttpError::TooLarge { host: host(url), limit_bytes });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, headers, body })
}

async fn within<T>(
    url: &Url,
    seconds: u64,
    work: impl Future<Output = Result<T, HttpError>>,
) -> Result<T, HttpError> {
    tokio::time::timeout(Duration::from_secs(seconds), work)
        .await
        .unwrap_or_else(|_| Err(HttpError::TimedOut { host: host(url), seconds }))
}

fn header_map(url: &Url, headers: &[(&str, &str)]) -> Result<HeaderMap, HttpError> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let header = HeaderName::try_from(*name).map_err(|_| {
            refused(url, "the name of a header has characters that headers may not have")
        })?;
        let mut value = HeaderValue::try_from(*value).map_err(|_| {
            refused(
                url,
                &format!(
                    "the value of the header {header} has characters that headers may not have"
                ),
            )
        })?;
        value.set_sensitive(header == axum::http::header::AUTHORIZATION);
        map.insert(header, value);
    }
    Ok(map)
}

/// What went wrong with the connection to `url`, told from the causes of `error`.
fn failure(url: &Url, error: &(dyn Error + 'static)) -> HttpError {
    if let Some(reach) = chain(error).find_map(|it| it.downcast_ref::<Reach>()) {
        return refused(url, &reach.to_string());
    }
    let is = |what: fn(&reqwest::Error) -> bool| {
        chain(error).any(|it| it.downcast_ref::<reqwest::Error>().is_some_and(what))
    };
    let host = host(url);
    // What the system itself gave up waiting for may have arrived before.
    match (is(reqwest::Error::is_connect), is(reqwest::Error::is_timeout)) {
        (true, true) => HttpError::Unreachable { host, why: "no connection in time".into() },
        (true, false) => HttpError::Unreachable { host, why: causes(error) },
        (false, _) => HttpError::Broken { host, why: causes(error) },
    }
}

/// `error`, then what caused it, and so on.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |it| (*it).source())
}

/// The causes of `error`, without reqwest's own words, which repeat the URL.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut causes: Vec<String> =
        chain(error).filter(|it| !it.is::<reqwest::Error>()).map(ToString::to_string).collect();
    causes.dedup();
    if causes.is_empty() { "the connection broke".into() } else { causes.join(": ") }
}

fn refused(url: &Url, why: &str) -> HttpError {
    HttpError::Refused { url: origin(url.as_str()), why: why.into() }
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_string()
}

/// The scheme, host and port of `text`, which may be no URL at all.
fn origin(text: &str) -> String {
    match Url::parse(text) {
        Ok(url) => match url.port() {
            Some(port) => format!("{}://{}:{port}", url.scheme(), host(&url)),
            None => format!("{}://{}", url.scheme(), host(&url)),
        },
        Err(_) => "the address".into(),
    }
}
