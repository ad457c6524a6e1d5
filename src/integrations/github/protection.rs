//! A deployment that waits for us: GitHub asks, as a custom deployment protection rule, whether a run may go on into an environment.
//!
//! Source: <https://docs.github.com/actions/how-tos/deploy/configure-and-manage-deployments/create-custom-protection-rules>

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;

use super::token::{self, Rights};
use super::{is_commit, is_repository};
use crate::integrations::invocation::{Means, NotSent};
use crate::integrations::vendor::segment;

/// The event in `X-GitHub-Event`.
pub const EVENT: &str = "deployment_protection_rule";

const NAME_CHARACTERS_MAX: usize = 255;
const COMMENT_CHARACTERS_MAX: usize = 400;

/// A deployment that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// `acme/payments`
    pub repository: String,
    pub environment: String,
    pub commit: String,
    /// The branch or tag, as GitHub tells it.
    pub reference: String,
    pub run: u64,
    /// The login of whoever's push or click it comes from.
    pub requester: String,
}

/// Whether GitHub signed `body` with `secret`. `signature` is the value of `X-Hub-Signature-256`.
///
/// Source: <https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries>
pub fn is_signed(secret: &SecretString, signature: &[u8], body: &[u8]) -> bool {
    let Some(digits) = signature.strip_prefix(b"sha256=") else { return false };
    // Other spellings of the same number are not GitHub's.
    if digits.len() != 64 || digits.iter().any(u8::is_ascii_uppercase) {
        return false;
    }
    let Ok(given) = hex::decode(digits) else { return false };
    let key = secret.expose_secret().as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length will do");
    mac.update(body);
    mac.verify_slice(&given).is_ok()
}

/// The deployment that a signed `body` asks for; `None` for one that asks for nothing, or not as GitHub does.
pub fn read(body: &[u8]) -> Option<Waiting> {
    #[derive(Deserialize)]
    struct Event {
        action: String,
        environment: String,
        deployment_callback_url: String,
        deployment: Deployment,
        repository: Repository,
        sender: Option<Account>,
    }
    #[derive(Deserialize)]
    struct Deployment {
        sha: String,
        #[serde(rename = "ref")]
        reference: String,
        creator: Option<Account>,
    }
    #[derive(Deserialize)]
    struct Repository {
        full_name: String,
    }
    #[derive(Deserialize)]
    struct Account {
        login: String,
    }
    let event: Event = serde_json::from_slice(body).ok()?;
    let Event { deployment, repository: Repository { full_name: repository }, .. } = event;
    let run = run_of(&event.deployment_callback_url, &repository)?;
    let requester = deployment.creator.or(event.sender)?.login;
    let are_names = [&event.environment, &deployment.reference, &requester]
        .iter()
        .all(|it| !it.is_empty() && it.chars().count() <= NAME_CHARACTERS_MAX);
    let is_whole = event.action == "requested"
        && is_repository(&repository)
        && is_commit(&deployment.sha)
        && are_names;
    is_whole.then_some(Waiting {
        repository,
        environment: event.environment,
        commit: deployment.sha,
        reference: deployment.reference,
        run,
        requester,
    })
}

/// The run of `repository` that the answer belongs to. The address itself is never asked: it is theirs, and the token ours.
fn run_of(callback: &str, repository: &str) -> Option<u64> {
    let url = url::Url::parse(callback).ok()?;
    let (before, rest) = url.path().split_once("/repos/")?;
    let is_api = before.is_empty() || before == "/api/v3";
    let run = rest.strip_prefix(repository)?.strip_prefix("/actions/runs/")?;
    let run = run.strip_suffix("/deployment_protection_rule")?;
    is_api.then(|| run.parse().ok())?
}

/// Lets the deployment go on, or ends it, and says why.
///
/// It may be said twice: GitHub knows the run.
///
/// # Errors
/// [`NotSent`]
pub async fn review(
    means: &Means<'_>,
    waiting: &Waiting,
    may_go_on: bool,
    comment: &str,
) -> Result<(), NotSent> {
    let Waiting { repository, environment, run, .. } = waiting;
    if !is_repository(repository) {
        return Err(NotSent::refused("The deployment is of no repository."));
    }
    let vendor = token::vendor(means, repository, Rights::Deployments).await?;
    let comment: String = comment.chars().take(COMMENT_CHARACTERS_MAX).collect();
    let state = if may_go_on { "approved" } else { "rejected" };
    let said = json!({ "environment_name": environment, "state": state, "comment": comment });
    let run = segment(&run.to_string());
    let path = format!("/repos/{repository}/actions/runs/{run}/deployment_protection_rule");
    let answer = vendor.post(&path, &said).await?;
    match answer.status {
        200..=299 => Ok(()),
        404 | 422 => {
            let why = "The run does not wait any more, or idp may not answer for it. Its GitHub App needs `deployments: write`.";
            Err(NotSent::refused(why))
        }
        _ => Err(vendor.refusal(&answer)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn asked() -> Value {
        json!({
            "action": "requested", "environment": "production", "event": "push",
            "deployment_callback_url":
                "https://api.github.com/repos/acme/payments/actions/runs/17/deployment_protection_rule",
            "deployment": {
                "id": 5, "sha": "0a".repeat(20), "ref": "main", "creator": {"login": "ada"},
            },
            "repository": {"id": 1, "full_name": "acme/payments"}, "sender": {"login": "ada"},
        })
    }

    #[test]
    fn a_deployment_that_waits_is_read() {
        let waiting = read(asked().to_string().as_bytes()).unwrap();
        assert_eq!((&*waiting.repository, waiting.run), ("acme/payments", 17));
        assert_eq!((&*waiting.environment, &*waiting.requester), ("production", "ada"));
        let mut of_enterprise = asked();
        of_enterprise["deployment_callback_url"] =
            "https://ghe.acme.test/api/v3/repos/acme/payments/actions/runs/18/deployment_protection_rule".into();
        assert_eq!(read(of_enterprise.to_string().as_bytes()).unwrap().run, 18);
    }

    #[test]
    fn what_asks_for_nothing_or_for_another_is_not_read() {
        for (place, value) in [
            ("/action", json!("completed")),
            ("/environment", json!("")),
            ("/repository/full_name", json!("acme/other")),
            ("/repository/full_name", json!("../payments")),
            ("/deployment/sha", json!("main")),
            ("/deployment_callback_url", json!("https://evil.example/17")),
            (
                "/deployment_callback_url",
                json!("https://a/x/repos/acme/payments/actions/runs/1/deployment_protection_rule"),
            ),
            (
                "/deployment_callback_url",
                json!("https://a/repos/acme/payments/actions/runs/../deployment_protection_rule"),
            ),
        ] {
            let mut body = asked();
            *body.pointer_mut(place).unwrap() = value.clone();
            assert_eq!(read(body.to_string().as_bytes()), None, "{place} {value}");
        }
        for body in ["", "null", "[]", "{\"action\":\"requested\"}"] {
            assert_eq!(read(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn only_what_github_signed_is_genuine() {
        let (secret, body) = (SecretString::from("hunter2"), asked().to_string());
        let mut mac = Hmac::<Sha256>::new_from_slice(b"hunter2").unwrap();
        mac.update(body.as_bytes());
        let good = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        assert!(is_signed(&secret, good.as_bytes(), body.as_bytes()));
        assert!(!is_signed(&secret, good.as_bytes(), format!("{body} ").as_bytes()));
        assert!(!is_signed(&SecretString::from("hunter3"), good.as_bytes(), body.as_bytes()));
        let upper = format!("sha256={}", good[7..].to_uppercase());
        for bad in [&good[7..], &good[..70], &upper, "", "sha256=", "sha1=00", &format!("{good}00")]
        {
            assert!(!is_signed(&secret, bad.as_bytes(), body.as_bytes()), "{bad}");
        }
    }
}
