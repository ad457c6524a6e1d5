//! GitLab: a pipeline of a branch, with variables.
//!
//! The key goes along as the variable `IDP_KEY`, and a pipeline whose start was not answered is found by it.
//! Source: <https://docs.gitlab.com/api/pipelines/#create-a-new-pipeline>

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::invocation::template::{Text, written};
use super::invocation::{Means, NotSent, Order, Sent, Status};
use super::vendor::{
    Vendor, is_commit, is_git_ref, moved, named, pinned_commit, segment, short, without_effect,
};

/// How long after its start a pipeline may be missing from the listing, with a margin.
pub const LISTING_LAG: Duration = Duration::from_secs(30);

pub const VARIABLES_MAX: usize = 50;
/// The variables that are ours.
pub const OUR_VARIABLES: [&str; 3] = ["IDP_KEY", "IDP_REDEEM", "IDP_REQUEST"];

const MEND: &str = "The token needs the scope `api` and the role Developer, or what the project asks of who sets variables.";
const PIPELINES_A_PAGE: usize = 20;
/// As many pipelines of one branch are looked through, each by a call of its own.
const PAGES_MAX: usize = 5;
/// A clock of theirs may be behind ours by as much.
const SKEW: TimeDelta = TimeDelta::minutes(2);

/// A pipeline of a project.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// `group/project`
    pub project: Text,
    /// The projects that are meant; empty: any.
    pub within: Vec<glob::Pattern>,
    /// A branch or a tag.
    pub reference: Text,
    pub variables: Vec<(String, Text)>,
    /// Its first job redeems the token.
    pub redeem: bool,
}

#[derive(Deserialize)]
struct Run {
    id: u64,
    sha: String,
    status: String,
    web_url: String,
    created_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct Variable {
    key: String,
    value: Option<String>,
}

impl Pipeline {
    pub(super) fn texts(&self) -> Vec<&Text> {
        let variables = self.variables.iter().map(|(_, text)| text);
        [&self.project, &self.reference].into_iter().chain(variables).collect()
    }

    pub(super) fn place(&self, order: &Order) -> Result<String, NotSent> {
        let (project, reference) = self.filled(order)?;
        Ok(format!("{project}@{reference}"))
    }

    /// The reference of the pipeline with the number `run`.
    pub(super) fn reference_of(&self, order: &Order, run: &str) -> Option<String> {
        let ((project, _), pinned) = (self.filled(order).ok()?, pinned_commit(order).ok()?);
        let run: u64 = run.parse().ok()?;
        Some(format!("{project}#{run}@{pinned}"))
    }

    /// The project and the branch.
    fn filled(&self, order: &Order) -> Result<(String, String), NotSent> {
        let within = (&self.within[..], is_project as fn(&str) -> bool);
        let project = named(&self.project, order, "a project", within)?;
        let reference = named(&self.reference, order, "a branch or tag", (&[], is_git_ref))?;
        Ok((project, reference))
    }

    /// What the pipeline is told; a value that is not there is left out.
    fn variables(&self, order: &Order) -> Result<Vec<Value>, NotSent> {
        let mut variables = vec![json!({ "key": "IDP_KEY", "value": order.key })];
        for (key, text) in &self.variables {
            let Some(value) = written(&text.value(order)?) else { continue };
            // A runner fills variables into the values of others.
            if value.contains('$') && text.as_literal().is_none() {
                let why = format!("GitLab would read the `$` in `{key}` as a variable of its own.");
                return Err(NotSent::refused(why));
            }
            variables.push(json!({ "key": key, "value": value }));
        }
        if self.redeem {
            let token = order
                .redeem
                .as_ref()
                .ok_or_else(|| NotSent::refused("The pipeline would have no token to redeem."))?;
            variables.push(json!({ "key": "IDP_REDEEM", "value": token.expose_secret() }));
            let request = order.request.to_string();
            variables.push(json!({ "key": "IDP_REQUEST", "value": request }));
        }
        Ok(variables)
    }
}

/// `group/project`, with groups in groups.
pub fn is_project(text: &str) -> bool {
    let is_name = |it: &str| {
        let is_good = |it: char| it.is_alphanumeric() || "-_.".contains(it);
        !it.is_empty() && !it.starts_with(['-', '.']) && it.len() <= 255 && it.chars().all(is_good)
    };
    let segments = text.split('/').count();
    (2..=21).contains(&segments) && text.split('/').all(is_name)
}

/// The name of a variable, none of ours.
pub fn is_variable(text: &str) -> bool {
    let is_good = |it: u8| it.is_ascii_alphanumeric() || it == b'_';
    !text.is_empty()
        && text.len() <= 255
        && text.bytes().all(is_good)
        && !text.as_bytes()[0].is_ascii_digit()
}

/// Where a pipeline is: `group/project#17@` and the commit that it must run.
fn read_reference(text: &str) -> Option<(&str, u64, &str)> {
    let (project, rest) = text.split_once('#')?;
    let (id, commit) = rest.split_once('@')?;
    let id = id.parse().ok()?;
    (is_project(project) && is_commit(commit)).then_some((project, id, commit))
}

fn vendor<'a>(means: &'a Means<'a>) -> Result<Vendor<'a>, NotSent> {
    Vendor::of(means.integrations.gitlab.as_ref(), ("GitLab", "gitlab"), MEND, means)
}

fn base(project: &str) -> String {
    format!("/api/v4/projects/{}", segment(project))
}

/// The commit that the branch points at.
pub(super) async fn pin(
    pipeline: &Pipeline,
    means: &Means<'_>,
    order: &Order,
) -> Result<Map<String, Value>, NotSent> {
    let (project, reference) = pipeline.filled(order)?;
    if !pipeline.redeem {
        pipeline.variables(order)?;
    }
    let vendor = vendor(means)?.about(order);
    let commit = commit(&vendor, &project, &reference).await?;
    Ok(Map::from_iter([
        ("project".into(), project.into()),
        ("ref".into(), reference.into()),
        ("commit".into(), commit.into()),
    ]))
}

async fn commit(vendor: &Vendor<'_>, project: &str, reference: &str) -> Result<String, NotSent> {
    #[derive(Deserialize)]
    struct Commit {
        id: String,
    }
    let query = format!("ref_name={}&per_page=1", segment(reference));
    let answer = vendor.get(&format!("{}/repository/commits?{query}", base(project))).await?;
    let nothing = || {
        NotSent::refused(format!(
            "`{project}` has no branch or tag `{reference}` that idp may see."
        ))
    };
    if answer.status == 404 {
        return Err(nothing());
    }
    let commits: Vec<Commit> = vendor.parsed(&answer).map_err(without_effect)?;
    let first = commits.into_iter().next().ok_or_else(nothing)?;
    match is_commit(&first.id) {
        true => Ok(first.id),
        false => Err(NotSent::refused("GitLab named a commit that is none.")),
    }
}

/// See [`super::invocation::send`].
pub(super) async fn send(
    pipeline: &Pipeline,
    means: &Means<'_>,
    order: &Order,
) -> Result<Sent, NotSent> {
    let (project, reference) = pipeline.filled(order)?;
    let variables = pipeline.variables(order)?;
    let pinned = pinned_commit(order)?;
    let vendor = vendor(means)?.about(order);
    let found = commit(&vendor, &project, &reference).await?;
    if found != pinned {
        return Err(NotSent::refused(moved(&reference, pinned, &found)));
    }
    let body = json!({ "ref": reference, "variables": variables });
    let answer = vendor.post(&format!("{}/pipeline", base(&project)), &body).await?;
    let run: Run = vendor.parsed(&answer)?;
    if run.sha != pinned {
        // Its status says so, and tries again where this fails.
        let cancel = format!("{}/pipelines/{}/cancel", base(&project), run.id);
        drop(vendor.post(&cancel, &json!({})).await);
    }
    Ok(started(&project, pinned, run))
}

fn started(project: &str, pinned: &str, run: Run) -> Sent {
    let reference = format!("{project}#{}@{pinned}", run.id);
    Sent::Started { reference: Some(reference), url: Some(run.web_url) }
}

/// The pipeline that has the key among its variables.
pub(super) async fn find(
    pipeline: &Pipeline,
    means: &Means<'_>,
    order: &Order,
) -> Result<Option<Sent>, NotSent> {
    let (project, reference) = pipeline.filled(order)?;
    let pinned = pinned_commit(order)?;
    let vendor = vendor(means)?.about(order);
    let since = order.since - SKEW;
    let after = segment(&since.to_rfc3339_opts(SecondsFormat::Secs, true));
    for page in 1..=PAGES_MAX {
        let query = format!(
            "ref={}&source=api&updated_after={after}&per_page={PIPELINES_A_PAGE}&page={page}",
            segment(&reference)
        );
        let runs: Vec<Run> = vendor.read(&format!("{}/pipelines?{query}", base(&project))).await?;
        let is_last = runs.len() < PIPELINES_A_PAGE;
        for run in runs.into_iter().filter(|run| run.created_at.is_none_or(|at| at >= since)) {
            let path = format!("{}/pipelines/{}/variables", base(&project), run.id);
            let variables: Vec<Variable> = vendor.read(&path).await?;
            let is_ours =
                |it: &Variable| it.key == "IDP_KEY" && it.value.as_ref() == Some(&order.key);
            if variables.iter().any(is_ours) {
                return Ok(Some(started(&project, pinned, run)));
            }
        }
        if is_last {
            return Ok(None);
        }
    }
    let runs = PAGES_MAX * PIPELINES_A_PAGE;
    Err(NotSent::unknown(format!("It is not among the last {runs} pipelines of `{reference}`.")))
}

/// See [`super::invocation::status`]. A pipeline of another commit than the pinned one is cancelled.
pub(super) async fn status(means: &Means<'_>, reference: &str) -> Result<Status, NotSent> {
    let Some((project, id, commit)) = read_reference(reference) else { return Ok(Status::Gone) };
    let vendor = vendor(means)?;
    let path = format!("{}/pipelines/{id}", base(project));
    let answer = vendor.get(&path).await?;
    if answer.status == 404 {
        return Ok(Status::Gone);
    }
    let run: Run = vendor.parsed(&answer).map_err(without_effect)?;
    let has_ended = matches!(&*run.status, "success" | "failed" | "canceled" | "skipped");
    if run.sha != commit {
        if !has_ended {
            let cancelled = vendor.post(&format!("{path}/cancel"), &json!({})).await;
            cancelled.map_err(without_effect)?;
        }
        let (ran, wanted) = (short(&run.sha), short(commit));
        let why = format!(
            "The pipeline has the commit {ran}, and {wanted} was approved. It is cancelled."
        );
        return Ok(Status::Failed { why });
    }
    let running = |note: &str| Status::Running { note: note.into() };
    Ok(match &*run.status {
        "success" => Status::Succeeded {
            outputs: Map::from_iter([
                ("pipeline".into(), id.into()),
                ("commit".into(), commit.into()),
                ("url".into(), run.web_url.into()),
            ]),
        },
        "failed" => Status::Failed { why: "The pipeline failed.".into() },
        "canceled" => Status::Failed { why: "The pipeline was cancelled on GitLab.".into() },
        "skipped" => Status::Failed { why: "The pipeline was skipped.".into() },
        "running" => running("It runs."),
        "canceling" => running("It is being cancelled on GitLab."),
        "manual" => running("It waits for somebody to start a job on GitLab."),
        "scheduled" => running("It waits for its time."),
        _ => running("It waits for a runner."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_lead_elsewhere_are_none() {
        for good in ["acme/payments", "acme/shop/payment-api", "a.b/c_d"] {
            assert!(is_project(good), "{good}");
        }
        for bad in
            ["acme", "a//b", "../b", "a/../b", "-a/b", "a/b?c", "a/b c", "a/b\n", "a%2fb/c", ""]
        {
            assert!(!is_project(bad), "{bad:?}");
        }
        assert!(is_variable("SERVICE_1") && is_variable("_a"));
        for bad in ["", "1A", "A-B", "A B", "A=B", "Ä"] {
            assert!(!is_variable(bad), "{bad:?}");
        }
    }
}
