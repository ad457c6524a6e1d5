//! What receivers and their jobs say of what they were asked to do: `POST /api/v1/callbacks/{token}`, `POST /api/v1/redeem`.
//!
//! Each token is made by this instance alone, for one step of one request and for one of the two.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::Rejection;
use crate::actions::dispatch::flow::Office;
use crate::actions::dispatch::report::{Report, Taken, flow};
use crate::error::reference;
use crate::postgres::is_outage;
use crate::web::Web;

/// The most bytes of a run's name.
const RUN_BYTES_MAX: usize = 200;

/// Takes down how a step goes.
pub async fn call_back(State(web): State<Web>, Path(token): Path<String>, body: Bytes) -> Response {
    let answered = async {
        let report: Report = serde_json::from_slice(&body).map_err(|error| {
            Rejection::malformed(format!(
                "This is no report: {error}. Send `{{\"status\": \"succeeded\"}}`."
            ))
        })?;
        let taken =
            flow::report(&office(&web)?, &token, &report).await.map_err(|it| broken(&it))?;
        match taken {
            Taken::Taken => Ok(Json(json!({ "taken": true })).into_response()),
            Taken::TooLate => {
                let message = "The step has ended already: it stays as it is.";
                Err(Rejection::new(StatusCode::CONFLICT, "ended", message))
            }
            Taken::Unknown => Err(unknown()),
        }
    };
    answered.await.unwrap_or_else(IntoResponse::into_response)
}

#[derive(Deserialize)]
struct Redemption {
    token: String,
    /// What the job calls its run.
    run_id: String,
}

/// Whether the run may work: of all that were started for one step, one.
pub async fn redeem(State(web): State<Web>, body: Bytes) -> Response {
    let answered = async {
        let Redemption { token, run_id } = serde_json::from_slice(&body)
            .map_err(|error| Rejection::malformed(format!("This is no redemption: {error}.")))?;
        if run_id.is_empty() || run_id.len() > RUN_BYTES_MAX {
            return Err(Rejection::malformed("`run_id` must be what the run is called."));
        }
        let redeemed = flow::redeem(&office(&web)?, &token, &run_id).await;
        match redeemed.map_err(|it| broken(&it))? {
            Some(true) => Ok(Json(json!({ "redeemed": true })).into_response()),
            Some(false) => {
                let message = "Another run works on this, or it is over: do nothing, and end.";
                Err(Rejection::new(StatusCode::CONFLICT, "redeemed", message))
            }
            None => Err(unknown()),
        }
    };
    answered.await.unwrap_or_else(IntoResponse::into_response)
}

fn office(web: &Web) -> Result<Office, Rejection> {
    let db =
        web.app.pool().ok_or_else(|| Rejection::unavailable("the database does not answer"))?;
    Ok(web.app.office(&db))
}

/// Whoever guesses learns nothing but that.
fn unknown() -> Rejection {
    Rejection::new(StatusCode::NOT_FOUND, "unknown_token", "There is no such token.")
}

fn broken(error: &anyhow::Error) -> Rejection {
    if is_outage(error) {
        return Rejection::unavailable("the database does not answer");
    }
    let reference = reference();
    tracing::error!(
        reference,
        error = format!("{error:#}"),
        "could not take down what a receiver says"
    );
    let message =
        format!("Something broke on our side. Tell the platform team the reference {reference}.");
    Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, "broken", message)
}
