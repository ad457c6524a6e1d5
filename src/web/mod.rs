//! HTTP in.

pub mod api;
pub mod discord;
pub mod github;
pub mod health;
pub mod playground;
pub mod server;
mod signed;
pub mod slack;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};

use crate::app::App;
use crate::chat::link::Links;

/// The largest request; those of the platforms are far smaller, and a report of facts is one that fits.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Everything the routes need.
#[derive(Clone)]
pub struct Web {
    pub app: Arc<App>,
    /// `None`: Slack's routes answer 404.
    pub slack: Option<Arc<slack::Slack>>,
    /// `None`: Discord's route answers 404.
    pub discord: Option<Arc<discord::Discord>>,
    /// The connections that this process keeps.
    pub links: Links,
}

pub fn router(web: Web) -> Router {
    health::start_metrics();
    Router::new()
        .route("/slack/commands", post(slack::command))
        .route("/slack/events", post(slack::event))
        .route("/slack/interactions", post(slack::interaction))
        .route("/discord/interactions", post(discord::interaction))
        .route("/github/webhooks", post(github::event))
        .route("/api/v1/facts", post(api::facts::report))
        .route("/api/v1/callbacks/{token}", post(api::actions::call_back))
        .route("/api/v1/redeem", post(api::actions::redeem))
        .route("/api/v1/openapi.json", get(api::openapi))
        .route("/livez", get(health::livez))
        .route("/healthz", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(count))
        .with_state(web)
}

/// Counts and times the request, and tells it in the log. Nothing that a person wrote is in either.
async fn count(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let response = next.run(request).await;
    let seconds = started.elapsed().as_secs_f64();
    let route = path.as_ref().map_or("other", MatchedPath::as_str).to_string();
    let status = response.status();
    // Who watches the process asks often and learns nothing new: in the log only when it fails.
    let is_watch = !route.starts_with("/slack/") && !route.starts_with("/discord/");
    if !is_watch || !status.is_success() {
        tracing::info!(%method, route, status = status.as_u16(), seconds, "answered a request");
    } else {
        tracing::debug!(%method, route, status = status.as_u16(), seconds, "answered a request");
    }
    let labels = [("route", route), ("status", status.as_str().to_string())];
    metrics::counter!("idp_http_requests_total", &labels).increment(1);
    metrics::histogram!("idp_http_request_seconds", &labels[..1]).record(seconds);
    response
}
