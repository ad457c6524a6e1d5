//! As whom GitHub is called: a token of the settings, or one that a GitHub App is given for one repository.
//!
//! Source: <https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app>

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::{Access, GitHub};
use crate::integrations::invocation::{self, Means, NotSent};
use crate::integrations::vendor::{Vendor, not_set, without_effect};

const NAME: &str = "GitHub";
const MEND: &str = "An admin of the repository, or of the GitHub App, must give idp `actions: write` and `contents: read` there.";
const HEADERS: &[(&str, &str)] =
    &[("accept", "application/vnd.github+json"), ("x-github-api-version", "2022-11-28")];

/// A token is not used any more when it has less than this left.
const LEFT_MIN: TimeDelta = TimeDelta::minutes(5);
/// The most tokens that are kept.
const TOKENS_MAX: usize = 1_000;
/// GitHub takes ten minutes at most, by its own clock.
const CLAIM: TimeDelta = TimeDelta::minutes(9);
const CLAIM_SKEW: TimeDelta = TimeDelta::minutes(1);

/// What a token is for: it can no more than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Rights {
    /// Starting, following and cancelling runs.
    Runs,
    /// Answering for deployments that wait.
    Deployments,
}

impl Rights {
    fn permissions(self) -> serde_json::Value {
        match self {
            Rights::Runs => json!({ "actions": "write", "contents": "read" }),
            Rights::Deployments => json!({ "actions": "read", "deployments": "write" }),
        }
    }
}

/// The tokens of repositories, until shortly before they end.
#[derive(Default)]
pub struct Tokens(Mutex<HashMap<(String, Rights), Token>>);

struct Token {
    token: SecretString,
    until: DateTime<Utc>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    fn get(&self, of: &(String, Rights), now: DateTime<Utc>) -> Option<SecretString> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = tokens.get(of).filter(|it| it.until - LEFT_MIN > now)?;
        Some(kept.token.clone())
    }

    fn keep(&self, of: (String, Rights), token: Token, now: DateTime<Utc>) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, it| it.until - LEFT_MIN > now);
        if tokens.len() < TOKENS_MAX {
            tokens.insert(of, token);
        }
    }

    /// The next call for `repository` asks for a new one.
    pub(in crate::integrations) fn forget(&self, repository: &str) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|(of, _), _| of != repository);
    }
}

/// GitHub, called with a token that is good for `repository`.
///
/// # Errors
/// [`NotSent`], never [`NotSent::Unknown`].
pub(super) async fn vendor<'a>(
    means: &'a Means<'a>,
    repository: &str,
    rights: Rights,
) -> Result<Vendor<'a>, NotSent> {
    let of = (repository.to_string(), rights);
    let github = means.integrations.github.as_ref().ok_or_else(|| not_set(NAME, "github"))?;
    let token = match &github.access {
        Access::Token(reference) => invocation::secret("token for GitHub", reference)?,
        Access::App { id, key } => match means.tokens.get(&of, means.now) {
            Some(token) => token,
            None => {
                let key = invocation::secret("key of the GitHub App", key)?;
                let claim = claim(*id, &key, means.now)?;
                let asked = installed(means, github, &of, &claim).await;
                let token = asked.map_err(without_effect)?;
                let given = token.token.clone();
                means.tokens.keep(of, token, means.now);
                given
            }
        },
    };
    Ok(Vendor { repository: Some(repository.to_string()), ..called(means, github, token) })
}

fn called<'a>(means: &'a Means<'a>, github: &'a GitHub, token: SecretString) -> Vendor<'a> {
    let (url, secrets) = (&*github.url, Vec::new());
    let (headers, repository) = (HEADERS, None);
    Vendor { name: NAME, mend: MEND, url, token, headers, means, secrets, repository }
}

/// A token of the App's installation in `repository`, for it alone and for no more than it takes.
async fn installed(
    means: &Means<'_>,
    github: &GitHub,
    (repository, rights): &(String, Rights),
    claim: &SecretString,
) -> Result<Token, NotSent> {
    #[derive(Deserialize)]
    struct Installation {
        id: u64,
    }
    #[derive(Deserialize)]
    struct Given {
        token: String,
        expires_at: DateTime<Utc>,
    }
    let vendor = called(means, github, claim.clone());
    let answer = vendor.get(&format!("/repos/{repository}/installation")).await?;
    if answer.status == 404 {
        let why = format!(
            "The GitHub App of idp is not installed in `{repository}`: an admin of it can do that."
        );
        return Err(NotSent::refused(why));
    }
    let Installation { id } = vendor.parsed(&answer)?;
    let name = repository.split_once('/').map_or(repository.as_str(), |(_, name)| name);
    let wanted = json!({
        "repositories": [name],
        "permissions": rights.permissions(),
    });
    let path = format!("/app/installations/{id}/access_tokens");
    let Given { token, expires_at } = vendor.parsed(&vendor.post(&path, &wanted).await?)?;
    Ok(Token { token: SecretString::from(token), until: expires_at })
}

/// What the App says of itself, signed with its key: a JWT by RS256.
///
/// # Errors
/// [`NotSent::Refused`]: the key is none.
fn claim(id: u64, key: &SecretString, now: DateTime<Utc>) -> Result<SecretString, NotSent> {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({ "alg": "RS256", "typ": "JWT" }));
    let (from, until) = ((now - CLAIM_SKEW).timestamp(), (now + CLAIM).timestamp());
    let claims = part(json!({ "iat": from, "exp": until, "iss": id.to_string() }));
    let signed = format!("{header}.{claims}");
    let pair = key_pair(key).ok_or_else(|| {
        NotSent::refused(
            "The key of the GitHub App is no RSA key in PEM: download a new one on GitHub.",
        )
    })?;
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| NotSent::refused("The key of the GitHub App does not sign."))?;
    Ok(SecretString::from(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

/// The key in a PEM file of either kind.
fn key_pair(pem: &SecretString) -> Option<RsaKeyPair> {
    let lines: String =
        pem.expose_secret().lines().map(str::trim).filter(|it| !it.starts_with("-----")).collect();
    let der = secrecy::zeroize::Zeroizing::new(STANDARD.decode(lines).ok()?);
    RsaKeyPair::from_der(&der).or_else(|_| RsaKeyPair::from_pkcs8(&der)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_until_shortly_before_it_ends_and_never_shown() {
        let (tokens, now) = (Tokens::default(), DateTime::UNIX_EPOCH);
        let of = |repository: &str| (repository.to_string(), Rights::Runs);
        let token = Token { token: SecretString::from("canary"), until: now + TimeDelta::hours(1) };
        tokens.keep(of("acme/a"), token, now);
        assert!(tokens.get(&of("acme/a"), now + TimeDelta::minutes(54)).is_some());
        assert!(tokens.get(&of("acme/a"), now + TimeDelta::minutes(56)).is_none());
        assert!(tokens.get(&of("acme/b"), now).is_none());
        assert!(!format!("{tokens:?}").contains("canary"));
        tokens.forget("acme/a");
        assert!(tokens.get(&of("acme/a"), now).is_none());
    }

    #[test]
    fn what_is_no_key_is_refused_without_repeating_it() {
        let refused = claim(1, &SecretString::from("hunter2"), DateTime::UNIX_EPOCH).unwrap_err();
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
}
