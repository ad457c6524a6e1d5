//! Whether the process lives and can answer, and its figures.

use std::sync::OnceLock;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Web;

/// Where a request counts in the histogram of latencies, in seconds.
const LATENCIES_S: [f64; 12] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// How often what was counted is filed.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// From here on the process counts. A second call changes nothing.
pub(super) fn start_metrics() {
    RECORDER.get_or_init(|| {
        let latencies = Matcher::Suffix("_seconds".into());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(latencies, &LATENCIES_S);
        builder
            .and_then(PrometheusBuilder::install_recorder)
            .inspect_err(|error| {
                tracing::error!(error = error.to_string(), "no metrics");
            })
            .ok()
    });
}

/// The process answers.
pub async fn livez() -> &'static str {
    "ok\n"
}

/// 200 as soon as questions get answers, be it from the copy on disk; 503 before, and why. A connection that is down does not
/// make it 503: what comes in another way is answered, and a restart mends nothing.
pub async fn readyz(State(web): State<Web>) -> (StatusCode, Json<Value>) {
    let catalog = &web.app.catalog;
    let snapshot = web.app.snapshot();
    let has_database = web.app.db.load().is_some();
    let age_s = catalog.age_s(now());
    let is_confirmed = has_database && age_s.is_none();
    let reason = match snapshot.why_unread() {
        Some(why) => Some(why.why()),
        None if is_confirmed || !snapshot.is_empty() => None,
        None => Some("the database does not answer, and the copy on disk is empty"),
    };
    let is_ready = reason.is_none();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let links = web.links.iter().map(|(name, link)| (name.to_string(), json!(link.standing())));
    let said = json!({
        "ready": is_ready,
        "reason": reason,
        "database": if is_confirmed { "up" } else { "down" },
        "catalog": {
            "entities": snapshot.len(),
            "revision": snapshot.revision().number,
            "age_s": age_s,
        },
        "connections": serde_json::Map::from_iter(links),
    });
    (status, Json(said))
}

/// The figures of the process in Prometheus's text format.
pub async fn metrics(State(web): State<Web>) -> Result<String, StatusCode> {
    let Some(Some(recorder)) = RECORDER.get() else { return Err(StatusCode::NOT_FOUND) };
    let catalog = &web.app.catalog;
    let snapshot = catalog.snapshot();
    let age_s = catalog.age_s(now());
    metrics::gauge!("idp_catalog_entities").set(snapshot.len() as f64);
    metrics::gauge!("idp_catalog_revision").set(snapshot.revision().number as f64);
    metrics::gauge!("idp_catalog_age_seconds").set(age_s.unwrap_or(0) as f64);
    let is_up = web.app.db.load().is_some() && age_s.is_none();
    metrics::gauge!("idp_database_up").set(if is_up { 1.0 } else { 0.0 });
    Ok(recorder.render())
}

/// Files what was counted into the histograms now and then, until `stop`: a process whose figures nobody
/// asks for would keep each single latency.
pub async fn keep_metrics(stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(UPKEEP_EVERY)).await.is_some() {
        if let Some(Some(recorder)) = RECORDER.get() {
            recorder.run_upkeep();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a door asks the clock")]
fn now() -> DateTime<Utc> {
    Utc::now()
}
