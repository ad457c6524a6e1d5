//! GitHub Actions: a run of a workflow, started by `workflow_dispatch`.
//!
//! The key goes along as the input `idp_key`, and the workflow shows it in its `run-name`: that is how a run is found whose
//! start was not answered. Source: <https://docs.github.com/rest/actions/workflows#create-a-workflow-dispatch-event>

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::http::Answer;
use super::invocation::template::{Text, written};
use super::invocation::{Means, NotSent, Order, Sent, Status};
use super::vendor::{
    Vendor, is_commit, is_git_ref, moved, named, pinned_commit, segment, short, without_effect,
};
use crate::config::SecretReference;

pub mod protection;
mod token;

use token::Rights;
pub use token::Tokens;

/// How long after its start a run may be missing from the listing, with a margin.
pub const LISTING_LAG: Duration = Duration::from_secs(90);

/// GitHub takes 25; three are ours.
pub const INPUTS_MAX: usize = 22;
/// The inputs that are ours.
pub const OUR_INPUTS: [&str; 3] = ["idp_key", "idp_redeem", "idp_request"];

const RUNS_A_PAGE: usize = 30;
/// As many runs of one workflow are looked through.
const PAGES_MAX: usize = 10;
/// A clock of theirs may be behind ours by as much.
const SKEW: TimeDelta = TimeDelta::minutes(2);

/// Where GitHub is, and as whom idp calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitHub {
    /// Without a `/` at its end.
    pub url: String,
    pub access: Access,
    /// What it signs what it sends us with; see [`protection`].
    pub webhook_secret: Option<SecretReference>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    Token(SecretReference),
    /// A GitHub App: a token of its own for each repository, which ends within the hour.
    App {
        id: u64,
        key: SecretReference,
    },
}

/// A workflow of a repository.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    /// `acme/payments`
    pub repository: Text,
    /// The repositories that are meant; empty: any.
    pub within: Vec<glob::Pattern>,
    /// The name of its file, `restart.yml`.
    pub workflow: Text,
    /// A branch or a tag.
    pub reference: Text,
    pub inputs: Vec<(String, Text)>,
    /// Its first step redeems the token.
    pub redeem: bool,
}

#[derive(Deserialize)]
struct Started {
    workflow_run_id: u64,
    html_url: String,
}

#[derive(Deserialize)]
struct Listed {
    workflow_runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    id: u64,
    name: Option<String>,
    display_title: Option<String>,
    head_sha: String,
    html_url: String,
    status: Option<String>,
    conclusion: Option<String>,
}

impl Workflow {
    pub(super) fn texts(&self) -> Vec<&Text> {
        let inputs = self.inputs.iter().map(|(_, text)| text);
        [&self.repository, &self.workflow, &self.reference].into_iter().chain(inputs).collect()
    }

    pub(super) fn place(&self, order: &Order) -> Result<String, NotSent> {
        let Place { repository, workflow, reference } = self.filled(order)?;
        Ok(format!("{repository} {workflow}@{reference}"))
    }

    /// The reference of the run with the number `run`.
    pub(super) fn reference_of(&self, order: &Order, run: &str) -> Option<String> {
        let (place, pinned) = (self.filled(order).ok()?, pinned_commit(order).ok()?);
        let run: u64 = run.parse().ok()?;
        Some(format!("{}#{run}@{pinned}", place.repository))
    }

    fn filled(&self, order: &Order) -> Result<Place, NotSent> {
        let any: &[glob::Pattern] = &[];
        let within = (&self.within[..], is_repository as fn(&str) -> bool);
        let repository = named(&self.repository, order, "a repository", within)?;
        let workflow = named(&self.workflow, order, "a workflow's file", (any, is_workflow))?;
        let reference = named(&self.reference, order, "a branch or tag", (any, is_git_ref))?;
        Ok(Place { repository, workflow, reference })
    }

    /// What the run is told. GitHub's inputs are texts; one that is not there keeps the workflow's default.
    fn inputs(&self, order: &Order) -> Result<Map<String, Value>, NotSent> {
        let mut inputs = Map::new();
        for (name, text) in &self.inputs {
            if let Some(text) = written(&text.value(order)?) {
                inputs.insert(name.clone(), text.into());
            }
        }
        inputs.insert("idp_key".into(), order.key.as_str().into());
        if self.redeem {
            let token = order
                .redeem
                .as_ref()
                .ok_or_else(|| NotSent::refused("The run would have no token to redeem."))?;
            inputs.insert("idp_redeem".into(), token.expose_secret().into());
            inputs.insert("idp_request".into(), order.request.to_string().into());
        }
        Ok(inputs)
    }
}

struct Place {
    repository: String,
    workflow: String,
    reference: String,
}

impl Place {
    fn workflow_path(&self) -> String {
        format!("/repos/{}/actions/workflows/{}", self.repository, segment(&self.workflow))
    }
}

/// Where a run is: `acme/payments#17@` and the commit that it must run.
struct Reference<'a> {
    repository: &'a str,
    run: u64,
    commit: &'a str,
}

impl<'a> Reference<'a> {
    fn read(text: &'a str) -> Option<Reference<'a>> {
        let (repository, rest) = text.split_once('#')?;
        let (run, commit) = rest.split_once('@')?;
        let run = run.parse().ok()?;
        (is_repository(repository) && is_commit(commit)).then_some(Reference {
            repository,
            run,
            commit,
        })
    }
}

/// `owner/name`
pub fn is_repository(text: &str) -> bool {
    let is_name = |it: &str| {
        let is_good = |it: u8| it.is_ascii_alphanumeric() || b"-_.".contains(&it);
        !it.is_empty()
            && it.len() <= 100
            && it.bytes().all(is_good)
            && !it.bytes().all(|it| it == b'.')
    };
    text.split_once('/').is_some_and(|(owner, name)| is_name(owner) && is_name(name))
        && !text.starts_with('-')
}

/// The name of a file of `.github/workflows`.
pub fn is_workflow(text: &str) -> bool {
    let stem = text.strip_suffix(".yml").or_else(|| text.strip_suffix(".yaml"));
    stem.is_some_and(|stem| {
        let is_good = |it: u8| it.is_ascii_alphanumeric() || b"-_.".contains(&it);
        !stem.is_empty() && stem.len() <= 100 && !stem.starts_with('-') && stem.bytes().all(is_good)
    })
}

/// The commit that the branch points at.
pub(super) async fn pin(
    workflow: &Workflow,
    means: &Means<'_>,
    order: &Order,
) -> Result<Map<String, Value>, NotSent> {
    let place = workflow.filled(order)?;
    workflow.inputs(order).map(drop).or_else(|why| match order.redeem {
        // There is no token yet.
        None if workflow.redeem => Ok(()),
        _ => Err(why),
    })?;
    let vendor = token::vendor(means, &place.repository, Rights::Runs).await?.about(order);
    let commit = commit(&vendor, &place).await?;
    Ok(Map::from_iter([
        ("repository".into(), place.repository.into()),
        ("ref".into(), place.reference.into()),
        ("commit".into(), commit.into()),
    ]))
}

async fn commit(vendor: &Vendor<'_>, place: &Place) -> Result<String, NotSent> {
    #[derive(Deserialize)]
    struct Commit {
        sha: String,
    }
    let Place { repository, reference, .. } = place;
    // One file a page: a commit lists all that it changed.
    let reference_path: Vec<String> = reference.split('/').map(segment).collect();
    let path = format!("/repos/{repository}/commits/{}?per_page=1", reference_path.join("/"));
    let answer = vendor.get(&path).await?;
    if matches!(answer.status, 404 | 422) {
        let why = format!("`{repository}` has no branch or tag `{reference}` that idp may see.");
        return Err(NotSent::refused(why));
    }
    let Commit { sha } = vendor.parsed(&answer).map_err(without_effect)?;
    if !is_commit(&sha) {
        return Err(NotSent::refused("GitHub named a commit that is none."));
    }
    Ok(sha)
}

/// See [`super::invocation::send`].
pub(super) async fn send(
    workflow: &Workflow,
    means: &Means<'_>,
    order: &Order,
) -> Result<Sent, NotSent> {
    let place = workflow.filled(order)?;
    let inputs = workflow.inputs(order)?;
    let pinned = pinned_commit(order)?;
    let vendor = token::vendor(means, &place.repository, Rights::Runs).await?.about(order);
    let found = commit(&vendor, &place).await?;
    if found != pinned {
        return Err(NotSent::refused(moved(&place.reference, pinned, &found)));
    }
    let path = format!("{}/dispatches", place.workflow_path());
    let mut body = json!({ "ref": place.reference, "inputs": inputs, "return_run_details": true });
    let mut answer = vendor.post(&path, &body).await?;
    // An older server knows no details and refuses the whole; it has started nothing then.
    if matches!(answer.status, 400 | 422) && is_about_details(&vendor, &answer) {
        body.as_object_mut().map(|it| it.remove("return_run_details"));
        answer = vendor.post(&path, &body).await?;
    }
    match answer.status {
        204 => Ok(Sent::Started { reference: None, url: None }),
        404 => Err(NotSent::refused(format!(
            "`{}` has no workflow `{}` that idp may start. Its token needs `actions: write` there.",
            place.repository, place.workflow
        ))),
        422 => Err(unprocessable(&vendor, &answer)),
        _ => {
            let Started { workflow_run_id, html_url } = vendor.parsed(&answer)?;
            let reference = format!("{}#{workflow_run_id}@{pinned}", place.repository);
            Ok(Sent::Started { reference: Some(reference), url: Some(html_url) })
        }
    }
}

/// Whether a refusal may be for `return_run_details`; of those that certainly are not, another try changes nothing.
fn is_about_details(vendor: &Vendor<'_>, answer: &Answer) -> bool {
    let words = vendor.words(answer).unwrap_or_default();
    let others =
        ["Unexpected inputs", "Required input", "No ref found", "workflow_dispatch", "disabled"];
    !others.iter().any(|other| words.contains(other))
}

fn unprocessable(vendor: &Vendor<'_>, answer: &Answer) -> NotSent {
    let words = vendor.words(answer).unwrap_or_else(|| "it does not take this.".into());
    let next = match words.contains("idp_") {
        true => {
            " Declare the inputs `idp_key` and, with `redeem: true`, `idp_redeem` and `idp_request` in the workflow."
        }
        false => "",
    };
    NotSent::refused(format!("GitHub refused the run: {words}{next}"))
}

/// The run whose name has the key in it.
pub(super) async fn find(
    workflow: &Workflow,
    means: &Means<'_>,
    order: &Order,
) -> Result<Option<Sent>, NotSent> {
    let place = workflow.filled(order)?;
    let pinned = pinned_commit(order)?;
    let vendor = token::vendor(means, &place.repository, Rights::Runs).await?.about(order);
    let since = searched_from(order.since);
    let path = place.workflow_path();
    let mut nameless = None;
    for page in 1..=PAGES_MAX {
        let query = format!(
            "event=workflow_dispatch&created=%3E%3D{since}&per_page={RUNS_A_PAGE}&page={page}"
        );
        let Listed { workflow_runs: runs } = vendor.read(&format!("{path}/runs?{query}")).await?;
        let is_last = runs.len() < RUNS_A_PAGE;
        for run in runs {
            let title = [&run.name, &run.display_title].map(|it| it.as_deref().unwrap_or_default());
            if title.iter().any(|it| it.contains(&order.key)) {
                return Ok(Some(found(&place, pinned, run)));
            }
            if !title.iter().any(|it| has_a_key(it)) {
                nameless.get_or_insert(run.html_url);
            }
        }
        if is_last {
            return match nameless {
                // A second run does nothing where only one redeems.
                Some(url) if !workflow.redeem => Err(NotSent::unknown(format!(
                    "A run was started that does not say of whom, and may be this one: {url}. \
                     Its workflow should have `run-name: … ${{{{ inputs.idp_key }}}}`."
                ))),
                _ => Ok(None),
            };
        }
    }
    let runs = PAGES_MAX * RUNS_A_PAGE;
    Err(NotSent::unknown(format!("It is not among the last {runs} runs of its workflow.")))
}

fn found(place: &Place, pinned: &str, run: Run) -> Sent {
    let reference = format!("{}#{}@{pinned}", place.repository, run.id);
    Sent::Started { reference: Some(reference), url: Some(run.html_url) }
}

/// Whether a title has any order's key in it.
fn has_a_key(title: &str) -> bool {
    let is_hex = |it: u8| it.is_ascii_digit() || (b'a'..=b'f').contains(&it);
    title
        .split(|it: char| !it.is_ascii_alphanumeric())
        .any(|it| it.len() == 64 && it.bytes().all(is_hex))
}

fn searched_from(since: DateTime<Utc>) -> String {
    let from = (since - SKEW).to_rfc3339_opts(SecondsFormat::Secs, true);
    segment(&from)
}

/// See [`super::invocation::status`]. A run of another commit than the pinned one is cancelled.
pub(super) async fn status(means: &Means<'_>, reference: &str) -> Result<Status, NotSent> {
    let Some(Reference { repository, run: id, commit }) = Reference::read(reference) else {
        return Ok(Status::Gone);
    };
    let vendor = token::vendor(means, repository, Rights::Runs).await?;
    let path = format!("/repos/{repository}/actions/runs/{id}");
    let answer = vendor.get(&path).await?;
    if matches!(answer.status, 404 | 410) {
        return Ok(Status::Gone);
    }
    let run: Run = vendor.parsed(&answer).map_err(without_effect)?;
    if run.head_sha != commit {
        if run.status.as_deref() != Some("completed") {
            let cancelled = vendor.post(&format!("{path}/cancel"), &json!({})).await;
            cancelled.map_err(without_effect)?;
        }
        let (ran, wanted) = (short(&run.head_sha), short(commit));
        let why =
            format!("The run has the commit {ran}, and {wanted} was approved. It is cancelled.");
        return Ok(Status::Failed { why });
    }
    Ok(match (run.status.as_deref(), run.conclusion.as_deref()) {
        (Some("completed"), Some("success" | "neutral")) => {
            let outputs =
                [("run", id.into()), ("commit", commit.into()), ("url", run.html_url.into())];
            let outputs: [(&str, Value); 3] = outputs;
            let outputs = outputs.map(|(name, value)| (name.to_string(), value));
            Status::Succeeded { outputs: Map::from_iter(outputs) }
        }
        (Some("completed"), conclusion) => {
            let conclusion = vendor.shown(conclusion.unwrap_or("nothing")).unwrap_or_default();
            Status::Failed { why: format!("The run ended with {conclusion}") }
        }
        (Some("waiting"), _) => Status::Running { note: "It waits for a review on GitHub.".into() },
        (Some("in_progress"), _) => Status::Running { note: "It runs.".into() },
        _ => Status::Running { note: "It waits for a runner.".into() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_lead_elsewhere_are_none() {
        for good in ["acme/payments", "a-b/c_d.e", "Acme/.github"] {
            assert!(is_repository(good), "{good}");
        }
        for bad in
            ["acme", "acme/", "/x", "a/b/c", "a/..", "../x", "-a/b", "a/b?c", "a/b\n", "a/b%2f", ""]
        {
            assert!(!is_repository(bad), "{bad:?}");
        }
        assert!(is_workflow("restart.yml") && is_workflow("a.b-c_d.yaml"));
        for bad in ["restart", ".yml", "-x.yml", "../x.yml", "a/b.yml", "17"] {
            assert!(!is_workflow(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_key_in_a_title_is_told_from_a_commit() {
        assert!(has_a_key(&format!("Restart {}", "0a".repeat(32))));
        assert!(!has_a_key(&format!("Restart {}", "0a".repeat(20))));
        assert!(!has_a_key("Restart"));
    }
}
