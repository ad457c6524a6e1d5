//! Whether a request comes from Slack.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::chat::moment::is_fresh;

/// Shorter ones can be guessed; Slack's have 32 characters.
const SECRET_CHARACTERS_MIN: usize = 16;

/// Values that stand in examples.
const EXAMPLES: [&str; 4] = [
    "8f742231b10e8888abcd99yyyzzz85a5",
    "your-signing-secret",
    "changemechangeme",
    "slack-signing-secret",
];

/// The secret that we share with Slack, found fit to sign with.
#[derive(Clone)]
pub struct SigningSecret {
    /// The keyed hash before any message; cloned for each.
    keyed: Hmac<Sha256>,
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SigningSecret")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitSecret {
    #[error("`SLACK_SIGNING_SECRET` is empty; copy it from “Basic Information” of the Slack app")]
    Empty,
    #[error(
        "`SLACK_SIGNING_SECRET` has spaces or control characters; copy it anew from “Basic Information” of the Slack app"
    )]
    Space,
    #[error(
        "`SLACK_SIGNING_SECRET` is shorter than {SECRET_CHARACTERS_MIN} characters; copy all of it from “Basic Information” of the Slack app"
    )]
    Short,
    #[error(
        "`SLACK_SIGNING_SECRET` is one that anybody can guess; copy yours from “Basic Information” of the Slack app"
    )]
    Example,
    #[error(
        "`SLACK_SIGNING_SECRET` holds a token of Slack, not the signing secret; copy that from “Basic Information” of the Slack app"
    )]
    Token,
}

impl SigningSecret {
    /// # Errors
    /// A secret that anybody could sign with. The message names the variable, never the value.
    pub fn new(secret: &SecretString) -> Result<SigningSecret, UnfitSecret> {
        let secret = secret.expose_secret();
        if secret.is_empty() {
            return Err(UnfitSecret::Empty);
        }
        if secret.chars().any(|it| it.is_whitespace() || it.is_control()) {
            return Err(UnfitSecret::Space);
        }
        if secret.chars().count() < SECRET_CHARACTERS_MIN {
            return Err(UnfitSecret::Short);
        }
        let first = secret.chars().next();
        let is_one_character = secret.chars().all(|it| Some(it) == first);
        if is_one_character || EXAMPLES.iter().any(|it| secret.eq_ignore_ascii_case(it)) {
            return Err(UnfitSecret::Example);
        }
        if ["xoxb-", "xoxp-", "xapp-", "xoxe-"].iter().any(|prefix| secret.starts_with(prefix)) {
            return Err(UnfitSecret::Token);
        }
        let keyed = Hmac::new_from_slice(secret.as_bytes()).expect("a key of any length will do");
        Ok(SigningSecret { keyed })
    }

    /// Whether Slack signed `body` with this secret within five minutes of `now_s`.
    ///
    /// `timestamp` and `signature` are the values of the headers `X-Slack-Request-Timestamp`
    /// and `X-Slack-Signature`; all times are in seconds since 1970. The comparison takes the same
    /// time wherever the two differ.
    /// Source: <https://docs.slack.dev/authentication/verifying-requests-from-slack>
    pub fn signed(&self, timestamp: &[u8], signature: &[u8], body: &[u8], now_s: i64) -> bool {
        if !is_fresh(timestamp, now_s) {
            return false;
        }
        let Some(claimed) = signature.strip_prefix(b"v0=").and_then(mac) else { return false };
        let ours = self.mac(timestamp, body);
        ours.ct_eq(&claimed).into()
    }

    /// The value of `X-Slack-Signature` for `body` at `timestamp`: what the demo and the tests sign with.
    pub fn sign(&self, timestamp: i64, body: &[u8]) -> String {
        format!("v0={}", hex::encode(self.mac(timestamp.to_string().as_bytes(), body)))
    }

    fn mac(&self, timestamp: &[u8], body: &[u8]) -> [u8; 32] {
        let mut mac = self.keyed.clone();
        for part in [b"v0:", timestamp, b":", body] {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// 64 lower-case hexadecimal digits.
fn mac(digits: &[u8]) -> Option<[u8; 32]> {
    let mut mac = [0; 32];
    let is_lower = digits.iter().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
    (is_lower && hex::decode_to_slice(digits, &mut mac).is_ok()).then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: i64 = 1_531_420_618;

    fn secret(text: &str) -> Result<SigningSecret, UnfitSecret> {
        SigningSecret::new(&SecretString::from(text))
    }

    fn ours() -> SigningSecret {
        secret("0123456789abcdef0123456789abcdef").unwrap()
    }

    #[test]
    fn what_slack_signed_is_genuine() {
        let signature = ours().sign(NOW_S, b"text=owner");
        assert!(ours().signed(b"1531420618", signature.as_bytes(), b"text=owner", NOW_S));
        assert!(!ours().signed(b"1531420618", signature.as_bytes(), b"text=owners", NOW_S));
        let other = secret("fedcba9876543210fedcba9876543210").unwrap();
        assert!(!other.signed(b"1531420618", signature.as_bytes(), b"text=owner", NOW_S));
    }

    #[test]
    fn the_signature_is_the_one_that_others_make() {
        // `openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef` of `v0:1531420618:text=owner`.
        assert_eq!(
            ours().sign(NOW_S, b"text=owner"),
            "v0=e312b4d6276837db847804268c20e75eb90dc953dde3448ade8086732ecadc2b"
        );
    }

    #[test]
    fn five_minutes_either_way_and_not_a_second_more() {
        let signature = ours().sign(NOW_S, b"");
        let at = |now_s| ours().signed(b"1531420618", signature.as_bytes(), b"", now_s);
        assert!(at(NOW_S + 300) && at(NOW_S - 300));
        assert!(!at(NOW_S + 301) && !at(NOW_S - 301));
        assert!(!at(i64::MIN) && !at(i64::MAX));
    }

    #[test]
    fn only_plain_digits_are_a_time() {
        for timestamp in [
            "",
            " 1531420618",
            "01531420618",
            "+1531420618",
            "1.5e9",
            "-1",
            "1531420618 ",
            "9999999999999",
        ] {
            let signature = format!("v0={}", hex::encode(ours().mac(timestamp.as_bytes(), b"")));
            assert!(
                !ours().signed(timestamp.as_bytes(), signature.as_bytes(), b"", NOW_S),
                "{timestamp}"
            );
        }
    }

    #[test]
    fn a_secret_that_anybody_could_sign_with_is_refused() {
        assert_eq!(secret("").unwrap_err(), UnfitSecret::Empty);
        assert_eq!(secret("0123456789abcde").unwrap_err(), UnfitSecret::Short);
        assert_eq!(secret("0123456789abcdef\n").unwrap_err(), UnfitSecret::Space);
        assert_eq!(secret("aaaaaaaaaaaaaaaaaaaa").unwrap_err(), UnfitSecret::Example);
        assert_eq!(secret("xoxb-1234567890-abcdef").unwrap_err(), UnfitSecret::Token);
    }
}
