//! A deployment that waits for us: GitHub asks, as a custom deployment protection rule, whether a run may go on into an environment.
//!
//! Source: <https://docs.github.com/actions/how-tos/deploy/configure-and-manage-deployments/create-custom-protection-rules>

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::token::{self, Rights};
use super::{is_commit, is_repository};
use crate::integrations::invocation::{Means, NotSent, Order, Outcome, Sent};
use crate::integrations::vendor::{segment, without_effect};

/// The event in `X-GitHub-Event`.
pub const EVENT: &str = "deployment_protection_rule";

const NAME_CHARACTERS_MAX: usize = 255;
const COMMENT_CHARACTERS_MAX: usize = 400;
/// So many digits of an intent people read.
const INTENT_DIGITS: usize = 8;

/// The environments that an action is asked for by, as its `invoke:` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    pub environment: glob::Pattern,
    /// The repositories that are meant; empty: any.
    pub within: Vec<glob::Pattern>,
}

impl Gate {
    pub fn takes(&self, waiting: &Waiting) -> bool {
        let is_meant = |it: &glob::Pattern| it.matches(&waiting.repository);
        self.environment.matches(&waiting.environment)
            && (self.within.is_empty() || self.within.iter().any(is_meant))
    }
}

/// A deployment that waits. All of it is part of what is approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// `acme/payments`
    pub repository: String,
    pub environment: String,
    pub commit: String,
    /// The branch or tag, as GitHub tells it.
    #[serde(rename = "ref")]
    pub reference: String,
    pub run: u64,
    /// The number of the deployment: a run that is started again has another.
    pub deployment: u64,
    /// When GitHub made it, by its clock.
    pub since: DateTime<Utc>,
    /// The login of whoever's push or click it comes from.
    pub sender: String,
    /// The login of who made the deployment, where it is another.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub creator: Option<String>,
}

impl Waiting {
    /// Whose doing it is, by their logins.
    pub fn logins(&self) -> impl Iterator<Item = &str> {
        [Some(&self.sender), self.creator.as_ref()].into_iter().flatten().map(String::as_str)
    }

    /// What was fixed of it when it was asked for.
    pub fn fixed(pinned: &Map<String, Value>) -> Option<Waiting> {
        serde_json::from_value(Value::Object(pinned.clone())).ok()
    }
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
        id: u64,
        sha: String,
        #[serde(rename = "ref")]
        reference: String,
        created_at: DateTime<Utc>,
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
    let creator = deployment.creator.map(|it| it.login);
    let sender = event.sender.map(|it| it.login).or_else(|| creator.clone())?;
    let creator = creator.filter(|it| *it != sender);
    let are_names = [&event.environment, &deployment.reference, &sender]
        .into_iter()
        .chain(&creator)
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
        deployment: deployment.id,
        since: deployment.created_at,
        sender,
        creator,
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

/// What became of a deployment that idp was to answer for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// GitHub has the answer.
    Told,
    /// It does not wait for it any more: it has gone on.
    WentOn,
    /// There is nothing left to answer; a sentence why.
    Over(String),
}

/// Answers for a deployment, where it waits still. It is looked at first: said twice, it is one answer, and a run that was
/// started again meanwhile gets none that was meant for its predecessor.
///
/// # Errors
/// [`NotSent`]
pub async fn answer(
    means: &Means<'_>,
    waiting: &Waiting,
    may_go_on: bool,
    comment: &str,
) -> Result<Answered, NotSent> {
    if let Some(answered) = look(means, waiting).await? {
        return Ok(answered);
    }
    review(means, waiting, may_go_on, comment).await.map(|()| Answered::Told)
}

/// What became of it already; `None`: it waits.
async fn look(means: &Means<'_>, waiting: &Waiting) -> Result<Option<Answered>, NotSent> {
    #[derive(Deserialize)]
    struct Run {
        status: Option<String>,
        conclusion: Option<String>,
        run_started_at: Option<DateTime<Utc>>,
    }
    #[derive(Deserialize)]
    struct Pending {
        environment: Environment,
    }
    #[derive(Deserialize)]
    struct Environment {
        name: Option<String>,
    }
    let Waiting { repository, environment, run, since, .. } = waiting;
    if !is_repository(repository) {
        return Err(NotSent::refused("The deployment is of no repository."));
    }
    let vendor = token::vendor(means, repository, Rights::Deployments).await?;
    let path = format!("/repos/{repository}/actions/runs/{run}");
    let over = |why: &str| Ok(Some(Answered::Over(why.to_string())));
    let answer = vendor.get(&path).await?;
    if matches!(answer.status, 404 | 410) {
        return over("GitHub knows nothing of the run any more.");
    }
    let found: Run = vendor.parsed(&answer).map_err(without_effect)?;
    if found.run_started_at.is_some_and(|it| it > *since) {
        return over("The run was started again: GitHub asks anew.");
    }
    let pending: Vec<Pending> = vendor.read(&format!("{path}/pending_deployments")).await?;
    let is_it = |it: &Pending| {
        it.environment.name.as_ref().is_some_and(|it| it.eq_ignore_ascii_case(environment))
    };
    if pending.iter().any(is_it) {
        return Ok(None);
    }
    match (found.status.as_deref(), found.conclusion.as_deref()) {
        (Some("completed"), Some("success")) => Ok(Some(Answered::WentOn)),
        (Some("completed"), _) => over("The run has ended without it."),
        _ => Ok(Some(Answered::WentOn)),
    }
}

/// See [`super::super::invocation::send`].
pub(in crate::integrations) async fn send(
    means: &Means<'_>,
    order: &Order,
) -> Result<Sent, NotSent> {
    let waiting = fixed(order)?;
    let intent: String = order.intent.chars().take(INTENT_DIGITS).collect();
    let comment = format!("Approved in request {} of idp, intent {intent}.", order.request);
    let outcome = match answer(means, &waiting, true, &comment).await? {
        Answered::Told | Answered::WentOn => {
            let run = ("run".to_string(), waiting.run.into());
            let outputs = Map::from_iter([run, ("commit".into(), waiting.commit.into())]);
            Outcome::Succeeded { outputs }
        }
        Answered::Over(why) => Outcome::Failed { why },
    };
    Ok(Sent::Finished { outcome })
}

pub(in crate::integrations) fn place(order: &Order) -> Result<String, NotSent> {
    let Waiting { repository, environment, run, .. } = fixed(order)?;
    Ok(format!("{repository} run {run} into {environment}"))
}

fn fixed(order: &Order) -> Result<Waiting, NotSent> {
    let waiting = Waiting::fixed(&order.pinned);
    waiting.ok_or_else(|| NotSent::refused("GitHub has not asked for this."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Value {
        json!({
            "action": "requested", "environment": "production", "event": "push",
            "deployment_callback_url":
                "https://api.github.com/repos/acme/payments/actions/runs/17/deployment_protection_rule",
            "deployment": {
                "id": 5, "sha": "0a".repeat(20), "ref": "main", "creator": {"login": "ada"},
                "created_at": "2026-03-02T09:00:00Z",
            },
            "repository": {"id": 1, "full_name": "acme/payments"}, "sender": {"login": "ada"},
        })
    }

    #[test]
    fn a_deployment_that_waits_is_read() {
        let waiting = read(asked().to_string().as_bytes()).unwrap();
        assert_eq!((&*waiting.repository, waiting.run), ("acme/payments", 17));
        assert_eq!((&*waiting.environment, &*waiting.sender), ("production", "ada"));
        let mut of_enterprise = asked();
        of_enterprise["deployment_callback_url"] =
            "https://ghe.acme.test/api/v3/repos/acme/payments/actions/runs/18/deployment_protection_rule".into();
        assert_eq!(read(of_enterprise.to_string().as_bytes()).unwrap().run, 18);
        let mut of_two = asked();
        of_two["deployment"]["creator"]["login"] = "ben".into();
        let of_two = read(of_two.to_string().as_bytes()).unwrap();
        assert_eq!(of_two.logins().collect::<Vec<_>>(), ["ada", "ben"]);
        // What is fixed of it is all of it.
        let pinned = serde_json::to_value(&of_two).unwrap();
        assert_eq!(Waiting::fixed(pinned.as_object().unwrap()), Some(of_two));
    }

    #[test]
    fn what_asks_for_nothing_or_for_another_is_not_read() {
        for (place, value) in [
            ("/action", json!("completed")),
            ("/environment", json!("")),
            ("/repository/full_name", json!("acme/other")),
            ("/repository/full_name", json!("../payments")),
            ("/deployment/sha", json!("main")),
            ("/deployment/id", json!(-1)),
            ("/deployment/created_at", json!("yesterday")),
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
