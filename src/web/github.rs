//! What GitHub sends: that a deployment waits. `POST /github/webhooks`, signed with the secret of the GitHub App.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Web;
use super::api::Rejection;
use super::signed::only;
use crate::actions::gate::flow::{self, Taken};
use crate::error::reference;
use crate::integrations::github::protection;
use crate::postgres::is_outage;

const DELIVERY_BYTES_MAX: usize = 100;

/// Takes down that a deployment waits. What GitHub sends again asks for nothing new; what it does not ask for is let be.
///
/// GitHub sends nothing again by itself: what is answered with no 2xx stands in the App's list of deliveries, to be sent
/// again by a person.
pub async fn event(State(web): State<Web>, headers: HeaderMap, body: Bytes) -> Response {
    let answered = async {
        let settings = web.app.settings.load();
        let secret =
            settings.integrations.github.as_ref().and_then(|it| it.webhook_secret.as_ref());
        let Some(secret) = secret else { return Ok(StatusCode::NOT_FOUND.into_response()) };
        let secret = secret.read().map_err(|error| {
            let error = format!("{error:#}");
            tracing::error!(error, "could not read the secret of GitHub's webhook");
            Rejection::unavailable("idp cannot read the secret")
        })?;
        let of = |name: &str| only(&headers, name).unwrap_or_default();
        if !protection::is_signed(&secret, of("x-hub-signature-256"), &body) {
            return Ok(StatusCode::UNAUTHORIZED.into_response());
        }
        if of("x-github-event") != protection::EVENT.as_bytes() {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        let delivery = std::str::from_utf8(of("x-github-delivery")).unwrap_or_default();
        if delivery.is_empty() || delivery.len() > DELIVERY_BYTES_MAX {
            return Err(Rejection::malformed("`X-GitHub-Delivery` is missing."));
        }
        let Some(waiting) = protection::read(&body) else {
            return Err(Rejection::malformed("This asks for no deployment as GitHub does."));
        };
        let db = web.app.pool();
        let db = db.ok_or_else(|| Rejection::unavailable("the database does not answer"))?;
        let office = web.app.office(&db);
        let taken = flow::ask(&office.desk(), &waiting, delivery).await;
        match taken.map_err(|error| broken(&error))? {
            Taken::Asked { request, is_old } => {
                Ok(Json(json!({ "request": request, "is_old": is_old })).into_response())
            }
            Taken::Nobody(why) => {
                let (repository, why) = (&waiting.repository, &*why);
                tracing::warn!(repository, why, "a deployment waits of which no action is meant");
                Err(Rejection::new(StatusCode::UNPROCESSABLE_ENTITY, "no_action", why))
            }
        }
    };
    answered.await.unwrap_or_else(IntoResponse::into_response)
}

fn broken(error: &anyhow::Error) -> Rejection {
    if is_outage(error) {
        return Rejection::unavailable("the database does not answer");
    }
    let reference = reference();
    tracing::error!(reference, error = format!("{error:#}"), "could not take a deployment down");
    let message =
        format!("Something broke on our side. Tell the platform team the reference {reference}.");
    Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, "broken", message)
}
