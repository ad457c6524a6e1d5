//! What an answer means for an order: whether it arrived, whether to wait, and what may be repeated of it.

use std::time::Duration;

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::NotSent;
use crate::integrations::http::{Answer, HttpError};

/// The longest that a receiver is taken at its word: a wrong `Retry-After` must not hold an order for a day.
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);
/// How much is repeated of what others say.
const WORDS_CHARACTERS_MAX: usize = 300;

/// Whose answer it is, and who can mend a refusal.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    /// `GitHub`, `ops.acme.example`
    pub name: &'a str,
    /// A sentence: what to do about 401 and 403.
    pub mend: &'a str,
    /// What must not be repeated.
    pub secrets: &'a [SecretString],
}

impl Whose<'_> {
    /// Why an order that met `error` was not sent, or may have been.
    pub fn failure(&self, error: &HttpError) -> NotSent {
        let why = format!("{}: {error}.", self.name);
        match error {
            HttpError::Refused { .. } => NotSent::Refused { why },
            HttpError::Unreachable { .. } => NotSent::NotNow { why, wait: None },
            HttpError::TimedOut { .. } | HttpError::TooLarge { .. } | HttpError::Broken { .. } => {
                NotSent::Unknown { why, wait: None }
            }
        }
    }

    /// What an answer that is no 2xx means.
    pub fn refusal(&self, answer: &Answer, now: DateTime<Utc>) -> NotSent {
        let name = self.name;
        let said = match self.words(answer) {
            Some(words) => format!("{name} answered {}: {words}", answer.status),
            None => format!("{name} answered {}.", answer.status),
        };
        let wait = wait(&answer.headers, now);
        match answer.status {
            403 if is_rate_limit(answer) => NotSent::NotNow { why: said, wait },
            401 | 403 => NotSent::Refused { why: format!("{said} {}", self.mend) },
            409 | 425 | 429 => NotSent::NotNow { why: said, wait },
            // After 303 the effect is there and its description elsewhere.
            303 | 408 | 500.. => NotSent::Unknown { why: said, wait },
            300..=308 => {
                let why = format!(
                    "{said} It leads elsewhere, and orders follow nobody. Give its final address."
                );
                NotSent::Refused { why }
            }
            400.. => NotSent::Refused { why: said },
            _ => NotSent::Unknown { why: said, wait },
        }
    }

    /// A 2xx that does not say what it should.
    pub fn malformed(&self, answer: &Answer) -> NotSent {
        let name = self.name;
        NotSent::unknown(format!("{name} answered {}, and not as it should.", answer.status))
    }

    /// What `answer` says of itself to a person, as one sentence; `None` for HTML, nothing, and what is no text.
    pub fn words(&self, answer: &Answer) -> Option<String> {
        #[derive(Deserialize)]
        struct Said {
            message: Option<serde_json::Value>,
            error: Option<serde_json::Value>,
        }
        let text = std::str::from_utf8(&answer.body).ok()?.trim();
        let said = match serde_json::from_str::<Said>(text) {
            Ok(Said { message, error }) => match message.or(error)? {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            },
            Err(_) if text.starts_with(['<', '{', '[']) => return None,
            Err(_) => text.to_string(),
        };
        self.shown(&said)
    }

    /// `text` of somebody else's on one line, cut, without our secrets.
    pub fn shown(&self, text: &str) -> Option<String> {
        shown(text, self.secrets)
    }
}

/// `text` of somebody else's on one line, cut at 300 characters, with `…` in place of each of `secrets`.
pub fn shown(text: &str, secrets: &[SecretString]) -> Option<String> {
    let mut text = text.to_string();
    for secret in secrets.iter().map(SecretString::expose_secret).filter(|it| !it.is_empty()) {
        text = text.replace(secret, "…");
    }
    let words: Vec<&str> = text
        .split(|it: char| it.is_whitespace() || it.is_control())
        .filter(|it| !it.is_empty())
        .collect();
    let line = words.join(" ");
    if line.is_empty() {
        return None;
    }
    let mut cut: String = line.chars().take(WORDS_CHARACTERS_MAX).collect();
    if cut.len() < line.len() {
        cut.push('…');
    } else if !cut.ends_with(['.', '!', '?']) {
        cut.push('.');
    }
    Some(cut)
}

/// GitHub and GitLab answer 403 to who asks too often.
///
/// Source: <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api>
fn is_rate_limit(answer: &Answer) -> bool {
    let header = |name: &str| answer.headers.get(name).and_then(|it| it.to_str().ok());
    header("x-ratelimit-remaining") == Some("0") || header("retry-after").is_some()
}

/// How long the answer asks to be left alone, at most [`WAIT_MAX`]; `None` when it does not, or not so that it can be
/// understood.
fn wait(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let header = |name: &str| headers.get(name).and_then(|it| it.to_str().ok()).map(str::trim);
    let until = |at: DateTime<Utc>| (at - now).to_std().unwrap_or_default();
    let asked = match header("retry-after") {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit()) => {
            // More digits than a number holds are many seconds, too.
            Duration::from_secs(digits.parse().unwrap_or(u64::MAX))
        }
        Some(date) => until(DateTime::parse_from_rfc2822(date).ok()?.to_utc()),
        None if header("x-ratelimit-remaining") == Some("0") => {
            until(DateTime::from_timestamp(header("x-ratelimit-reset")?.parse().ok()?, 0)?)
        }
        None => return None,
    };
    Some(asked.min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOSE: Whose<'_> = Whose { name: "ops", mend: "Ask Ada.", secrets: &[] };

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Answer { status, headers: headers.collect(), body: body.into() }
    }

    fn waits(headers: &[(&'static str, &str)]) -> Option<u64> {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        match WHOSE.refusal(&answer(429, headers, ""), now) {
            NotSent::NotNow { wait, .. } => wait.map(|it| it.as_secs()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_receiver_is_left_alone_as_long_as_it_asks_and_no_longer_than_a_quarter_of_an_hour() {
        assert_eq!(waits(&[]), None);
        assert_eq!(waits(&[("retry-after", "7")]), Some(7));
        assert_eq!(waits(&[("retry-after", "1000000000")]), Some(900));
        assert_eq!(waits(&[("retry-after", "99999999999999999999999")]), Some(900));
        assert_eq!(waits(&[("retry-after", "Fri, 15 Jan 2027 08:01:00 GMT")]), Some(60));
        assert_eq!(waits(&[("retry-after", "Fri, 15 Jan 2021 08:01:00 GMT")]), Some(0));
        assert_eq!(waits(&[("retry-after", "soon")]), None);
        assert_eq!(waits(&[("retry-after", "-1")]), None);
        let reset = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1800000030")];
        assert_eq!(waits(&reset), Some(30));
    }

    #[test]
    fn only_an_answer_that_says_so_is_a_refusal() {
        let class =
            |status: u16| match WHOSE.refusal(&answer(status, &[], ""), DateTime::UNIX_EPOCH) {
                NotSent::Refused { .. } => 'r',
                NotSent::NotNow { .. } => 'n',
                NotSent::Busy { .. } => 'b',
                NotSent::Unknown { .. } => 'u',
            };
        for (statuses, wanted) in [
            (&[301, 302, 307, 308, 400, 401, 403, 404, 405, 410, 413, 418, 422, 451][..], 'r'),
            (&[409, 425, 429], 'n'),
            (&[100, 199, 303, 408, 500, 501, 502, 503, 504, 599, 999], 'u'),
        ] {
            for status in statuses {
                assert_eq!(class(*status), wanted, "{status}");
            }
        }
    }

    #[test]
    fn who_asks_too_often_waits_and_who_may_not_is_told_whom_to_ask() {
        let limited = answer(403, &[("x-ratelimit-remaining", "0")], "");
        assert!(matches!(WHOSE.refusal(&limited, DateTime::UNIX_EPOCH), NotSent::NotNow { .. }));
        let refused = WHOSE.refusal(&answer(403, &[], r#"{"message":"no"}"#), DateTime::UNIX_EPOCH);
        assert_eq!(refused, NotSent::refused("ops answered 403: no. Ask Ada."));
    }

    #[test]
    fn words_of_others_are_cut_and_have_no_secret_in_them() {
        let secrets = [SecretString::from("hunter2")];
        let said = shown("bad\n\ttoken\u{1b}[31m hunter2", &secrets).unwrap();
        assert_eq!(said, "bad token [31m ….");
        assert_eq!(shown(&"x".repeat(1000), &[]).unwrap().chars().count(), 301);
        assert_eq!(shown(" \n", &[]), None);
        assert_eq!(WHOSE.words(&answer(500, &[], "<html>hunter2</html>")), None);
        assert_eq!(WHOSE.words(&answer(500, &[], r#"{"error":["a"]}"#)), Some(r#"["a"]."#.into()));
    }
}
