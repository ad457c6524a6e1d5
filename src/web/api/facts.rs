//! `POST /api/v1/facts`: a source reports what it observed.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::Rejection;
use crate::error::reference;
use crate::facts::push::{OBSERVATIONS_MAX, Observation, Outcome, Tally};
use crate::facts::sources::Source;
use crate::facts::{flow, token};
use crate::postgres::is_outage;
use crate::web::{BODY_BYTES_MAX, Web};

/// How long a source may take to send its report.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// How long the database may take to write it down.
const WRITTEN_WITHIN: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Report<'a> {
    #[serde(borrow)]
    facts: Vec<&'a RawValue>,
}

/// What became of a report.
#[derive(Serialize)]
struct Reported {
    #[serde(flatten)]
    tally: Tally,
    /// One for each fact, in their order.
    results: Vec<Outcome>,
}

/// Takes what the source observed whose token is shown; the answer says what became of each.
pub async fn report(State(web): State<Web>, request: Request) -> Response {
    let reported = reported(web, request).await;
    reported.map_or_else(IntoResponse::into_response, |it| Json(it).into_response())
}

async fn reported(web: Web, request: Request) -> Result<Reported, Rejection> {
    let settings = web.app.settings.load_full();
    // First: who has no token cannot make us read anything.
    let shown = bearer(request.headers()).ok_or_else(Rejection::unauthorized)?;
    let source = token::whose(&settings.facts, &shown).ok_or_else(Rejection::unauthorized)?;
    is_json(request.headers())?;
    let body = body(request).await?;
    let observations = observations(&body)?;
    written(&web, source, &observations).await
}

async fn written(
    web: &Web,
    source: &Source,
    observations: &[Observation],
) -> Result<Reported, Rejection> {
    let snapshot = web.app.catalog.snapshot();
    if let Some(why) = snapshot.why_unread() {
        return Err(Rejection::unavailable(&format!(
            "the catalog is not read yet, since {}",
            why.why()
        )));
    }
    let away = || Rejection::unavailable("the database does not answer");
    let db = web.app.db.load_full();
    let db = (*db).as_ref().ok_or_else(away)?;
    let pushed = flow::push(&db.pool, source, &snapshot, observations);
    let results = match timeout(WRITTEN_WITHIN, pushed).await {
        Ok(Ok(results)) => results,
        Ok(Err(error)) if is_outage(&error) => return Err(away()),
        Ok(Err(error)) => return Err(broken(&error)),
        Err(_) => return Err(away()),
    };
    Ok(Reported { tally: Tally::of(&results), results })
}

/// Ours to put right: in the log, under a reference.
fn broken(error: &anyhow::Error) -> Rejection {
    let reference = reference();
    tracing::error!(reference, error = format!("{error:#}"), "could not take a report of facts");
    let message =
        format!("Something broke on our side. Tell the platform team the reference {reference}.");
    Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, "broken", message)
}

/// The token that is shown, exactly once.
fn bearer(headers: &HeaderMap) -> Option<SecretString> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?.to_str().ok()?, values.next()) else { return None };
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| SecretString::from(token.trim()))
}

fn is_json(headers: &HeaderMap) -> Result<(), Rejection> {
    let unsupported = |message| {
        Err(Rejection::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message))
    };
    let named = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let kind = named.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return unsupported("Send JSON, with `Content-Type: application/json`.");
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return unsupported("Send it unpacked, without `Content-Encoding`.");
    }
    Ok(())
}

async fn body(request: Request) -> Result<Bytes, Rejection> {
    match timeout(BODY_WITHIN, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let message = format!("A report has at most {BODY_BYTES_MAX} bytes. Send several.");
            Err(Rejection::too_large(message))
        }
        Ok(Err(_)) => Err(Rejection::malformed("The request broke off.")),
        Err(_) => {
            let message =
                format!("The request took more than {} s to come.", BODY_WITHIN.as_secs());
            Err(Rejection::new(StatusCode::REQUEST_TIMEOUT, "too_slow", message))
        }
    }
}

/// The facts of a report; of one that is wrong, which and how.
fn observations(body: &[u8]) -> Result<Vec<Observation>, Rejection> {
    let report: Report<'_> = serde_json::from_slice(body).map_err(|error| {
        Rejection::malformed(format!("This is not a report of facts: {error}."))
    })?;
    if report.facts.len() > OBSERVATIONS_MAX {
        let many = report.facts.len();
        let message = format!(
            "A report has at most {OBSERVATIONS_MAX} facts, and this one {many}. Send several."
        );
        return Err(Rejection::too_large(message));
    }
    let read = report.facts.iter().enumerate().map(|(item, text)| {
        serde_json::from_str(text.get()).map_err(|error| Rejection {
            item: Some(item),
            ..Rejection::malformed(format!("`facts[{item}]` is not a fact: {error}."))
        })
    });
    read.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(body: &str) -> Rejection {
        observations(body.as_bytes()).unwrap_err()
    }

    #[test]
    fn what_is_wrong_is_told_by_its_place() {
        let fact = r#"{"entity": "a", "key": "b", "value": 1}"#;
        for (wrong, message) in [
            (r#"{"entity": "a", "value": 1}"#, "missing field `key`"),
            (r#"{"entity": "a", "key": "b"}"#, "missing field `value`"),
            (r#"{"entity": 1, "key": "b", "value": 1}"#, "invalid type: integer"),
            (r#"{"entity": "a", "key": "b", "value": 1, "vlaue": 2}"#, "unknown field `vlaue`"),
            (
                r#"{"entity": "a", "entity": "b", "key": "b", "value": 1}"#,
                "duplicate field `entity`",
            ),
            (
                r#"{"entity": "a", "key": "b", "value": 1, "observed_at": "today"}"#,
                "input contains",
            ),
            (r#""payment-api""#, "invalid type: string"),
            ("null", "invalid type: null"),
        ] {
            let rejected = rejected(&format!(r#"{{"facts": [{fact}, {wrong}]}}"#));
            assert_eq!(
                (rejected.status, rejected.item),
                (StatusCode::BAD_REQUEST, Some(1)),
                "{wrong}"
            );
            assert!(rejected.message.starts_with("`facts[1]` is not a fact: "), "{rejected:?}");
            assert!(rejected.message.contains(message), "{rejected:?}");
        }
        for wrong in
            ["", "[]", "{}", "{", r#"{"facts": {}}"#, r#"{"facts": [], "more": 1}"#, "\u{1}"]
        {
            assert_eq!(rejected(wrong).code, "malformed", "{wrong}");
        }
        let many = vec![fact; OBSERVATIONS_MAX + 1].join(",");
        assert_eq!(rejected(&format!(r#"{{"facts": [{many}]}}"#)).code, "too_large");
    }

    #[test]
    fn a_number_of_any_length_and_any_depth_of_lists_is_only_wrong() {
        for value in ["1e999", &format!("{}{}", "[".repeat(500), "]".repeat(500))] {
            let body = format!(r#"{{"facts": [{{"entity": "a", "key": "b", "value": {value}}}]}}"#);
            assert_eq!(rejected(&body).code, "malformed", "{value}");
        }
    }

    #[test]
    fn a_token_is_shown_once_and_as_a_bearer() {
        let shown = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, (*value).parse().unwrap());
            }
            bearer(&headers).is_some()
        };
        assert!(shown(&["Bearer abc"]) && shown(&["bearer abc"]));
        for wrong in [&[][..], &["abc"], &["Basic abc"], &["Bearer"], &["Bearer a", "Bearer a"]] {
            assert!(!shown(wrong), "{wrong:?}");
        }
    }
}
