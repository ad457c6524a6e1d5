//! Argo CD: an application synchronised to a fixed revision, or rolled back.
//!
//! An application does one thing at a time. It is looked at before anything is sent: when its operation is ours, it is not
//! sent again. A sync carries the key as the info `idp-key`; a rollback can carry nothing, and is known by its revision and by when it
//! began. Source: <https://argo-cd.readthedocs.io/en/stable/developer-guide/api-docs/>

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::invocation::template::Text;
use super::invocation::{Means, NotSent, Order, Sent, Status};
use super::vendor::{Vendor, is_commit, named, segment, short, without_effect};

const MEND: &str = "The token's project role needs `get` and `sync` on this application.";
/// The info of an operation that has the key.
const KEY: &str = "idp-key";
const IN_PROGRESS: &str = "another operation is already in progress";
const REVISION_CHARACTERS_MAX: usize = 100;
/// A clock of theirs may be behind ours by as much.
const SKEW: TimeDelta = TimeDelta::seconds(30);

/// What an application is to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// `payments-prod`, or with its namespace `team-a/payments-prod`.
    pub application: Text,
    /// The applications that are meant; empty: any.
    pub within: Vec<glob::Pattern>,
    pub kind: Kind,
    /// What it is synchronised to: without it, what Argo CD finds at its target when it is asked for. What it is rolled
    /// back to: a commit of its history; without it, what was there before.
    pub revision: Option<Text>,
    pub prune: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sync,
    Rollback,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::Sync, Kind::Rollback];

    pub fn word(self) -> &'static str {
        match self {
            Kind::Sync => "sync",
            Kind::Rollback => "rollback",
        }
    }
}

/// As Argo CD tells it; what a field that is null means, its absence means, too.
#[derive(Deserialize)]
struct App {
    #[serde(default)]
    metadata: Metadata,
    /// What is about to begin.
    operation: Option<Doing>,
    #[serde(default)]
    status: AppStatus,
}

#[derive(Deserialize, Default)]
struct Metadata {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize, Default)]
struct AppStatus {
    sync: Option<Revisions>,
    history: Option<Vec<Past>>,
    #[serde(rename = "operationState")]
    state: Option<State>,
}

#[derive(Deserialize, Clone, PartialEq)]
struct Revisions {
    revision: Option<String>,
    revisions: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Past {
    #[serde(default)]
    id: i64,
    #[serde(flatten)]
    revisions: Revisions,
}

#[derive(Deserialize)]
struct State {
    phase: Option<String>,
    message: Option<String>,
    operation: Option<Doing>,
    #[serde(rename = "startedAt")]
    started_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct Doing {
    info: Option<Vec<Info>>,
    #[serde(rename = "initiatedBy")]
    initiated_by: Option<By>,
    sync: Option<Syncing>,
}

#[derive(Deserialize)]
struct Info {
    name: Option<String>,
    value: Option<String>,
}

#[derive(Deserialize)]
struct By {
    username: Option<String>,
    automated: Option<bool>,
}

#[derive(Deserialize)]
struct Syncing {
    #[serde(flatten)]
    revisions: Revisions,
    /// Only a rollback has it.
    source: Option<IgnoredAny>,
    sources: Option<IgnoredAny>,
}

impl Revisions {
    /// One for each source.
    fn all(&self) -> Vec<String> {
        match &self.revisions {
            Some(several) if !several.is_empty() => several.clone(),
            _ => self.revision.iter().filter(|it| !it.is_empty()).cloned().collect(),
        }
    }
}

impl Operation {
    pub(super) fn texts(&self) -> Vec<&Text> {
        std::iter::once(&self.application).chain(&self.revision).collect()
    }

    pub(super) fn place(&self, order: &Order) -> Result<String, NotSent> {
        Ok(format!("{} {}", self.kind.word(), self.filled(order)?))
    }

    fn filled(&self, order: &Order) -> Result<String, NotSent> {
        let within = (&self.within[..], is_application as fn(&str) -> bool);
        named(&self.application, order, "an application", within)
    }

    /// The revision that is asked for by name.
    fn wanted(&self, order: &Order) -> Result<Option<String>, NotSent> {
        let Some(text) = &self.revision else { return Ok(None) };
        // An input that nobody filled in.
        if text.value(order)?.is_null() {
            return Ok(None);
        }
        named(text, order, "a revision", (&[], is_revision)).map(Some)
    }
}

/// `payments-prod` or `team-a/payments-prod`, as Kubernetes names things.
pub fn is_application(text: &str) -> bool {
    let is_name = |it: &str| {
        let is_good =
            |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || b"-.".contains(&it);
        !it.is_empty() && it.len() <= 253 && !it.starts_with(['-', '.']) && it.bytes().all(is_good)
    };
    text.split('/').count() <= 2 && text.split('/').all(is_name)
}

fn is_revision(text: &str) -> bool {
    let is_good = |it: char| it.is_ascii_alphanumeric() || "-._+/".contains(it);
    !text.is_empty()
        && text.len() <= REVISION_CHARACTERS_MAX
        && !text.starts_with(['-', '.'])
        && text.chars().all(is_good)
}

/// Whether `revision` means the same tomorrow: a whole commit, or a whole version such as `v1.4.0`.
fn is_fixed(revision: &str) -> bool {
    let version = revision.strip_prefix('v').unwrap_or(revision);
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    let is_number = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    let is_version = numbers.split('.').count() == 3 && numbers.split('.').all(is_number);
    is_commit(revision) || is_version
}

/// How an operation is known to be ours.
#[derive(Debug, PartialEq)]
enum Mark {
    Key(String),
    /// A rollback that began not before this, in seconds since 1970.
    Since(i64),
}

/// An operation of ours: `payments-prod#key:…@…`, `payments-prod#since:…@…`.
#[derive(Debug, PartialEq)]
struct Reference {
    application: String,
    mark: Mark,
    revisions: Vec<String>,
}

impl Reference {
    fn of(operation: &Operation, order: &Order) -> Result<Reference, NotSent> {
        let pinned = order.pinned.get("revisions").and_then(Value::as_array);
        let revisions =
            pinned.into_iter().flatten().filter_map(|it| it.as_str().map(str::to_string));
        let revisions: Vec<String> = revisions.collect();
        if revisions.is_empty() {
            return Err(NotSent::refused(
                "No revision was fixed when it was asked for. Ask again.",
            ));
        }
        let mark = match operation.kind {
            Kind::Sync => Mark::Key(order.key.clone()),
            Kind::Rollback => Mark::Since((order.since - SKEW).timestamp()),
        };
        Ok(Reference { application: operation.filled(order)?, mark, revisions })
    }

    fn read(text: &str) -> Option<Reference> {
        let (application, rest) = text.split_once('#')?;
        let (mark, revisions) = rest.split_once('@')?;
        let mark = match mark.split_once(':')? {
            ("key", key) => Mark::Key(key.to_string()),
            ("since", since) => Mark::Since(since.parse().ok()?),
            _ => return None,
        };
        let revisions = revisions.split(',').map(str::to_string).collect();
        let application = application.to_string();
        is_application(&application).then_some(Reference { application, mark, revisions })
    }

    fn text(&self) -> String {
        let mark = match &self.mark {
            Mark::Key(key) => format!("key:{key}"),
            Mark::Since(since) => format!("since:{since}"),
        };
        format!("{}#{mark}@{}", self.application, self.revisions.join(","))
    }

    /// Whether `doing`, which began at `started`, is it.
    fn is(&self, doing: &Doing, started: Option<DateTime<Utc>>) -> bool {
        match &self.mark {
            Mark::Key(key) => doing.info.iter().flatten().any(|info| {
                info.name.as_deref() == Some(KEY) && info.value.as_deref() == Some(key)
            }),
            Mark::Since(since) => doing.sync.as_ref().is_some_and(|sync| {
                let is_rollback = sync.source.is_some() || sync.sources.is_some();
                let is_later = started.is_none_or(|at| at.timestamp() >= *since);
                is_rollback && is_later && sync.revisions.all() == self.revisions
            }),
        }
    }

    /// How it goes; `None`: the application does or did something else.
    fn status(&self, app: &App, vendor: &Vendor<'_>) -> Option<Status> {
        if app.operation.as_ref().is_some_and(|doing| self.is(doing, None)) {
            return Some(Status::Running { note: "It is about to begin.".into() });
        }
        let state = app.status.state.as_ref()?;
        state.operation.as_ref().filter(|doing| self.is(doing, state.started_at))?;
        let message = state.message.as_deref().and_then(|it| vendor.shown(it));
        Some(match state.phase.as_deref() {
            Some("Succeeded") => {
                let revision = self.revisions.join(",").into();
                Status::Succeeded { outputs: Map::from_iter([("revision".into(), revision)]) }
            }
            Some("Failed" | "Error") => {
                Status::Failed { why: message.unwrap_or_else(|| "The operation failed.".into()) }
            }
            _ => Status::Running { note: message.unwrap_or_else(|| "It runs.".into()) },
        })
    }
}

fn vendor<'a>(means: &'a Means<'a>) -> Result<Vendor<'a>, NotSent> {
    Vendor::of(means.integrations.argocd.as_ref(), ("Argo CD", "argocd"), MEND, means)
}

/// The path of an application, and the query that says its namespace.
fn path(application: &str, what: &str) -> String {
    match application.split_once('/') {
        Some((namespace, name)) => {
            format!(
                "/api/v1/applications/{}{what}?appNamespace={}",
                segment(name),
                segment(namespace)
            )
        }
        None => format!("/api/v1/applications/{}{what}", segment(application)),
    }
}

async fn app(vendor: &Vendor<'_>, application: &str) -> Result<App, NotSent> {
    let answer = vendor.get(&path(application, "")).await?;
    if answer.status == 404 {
        let why = format!("Argo CD has no application `{application}`.");
        return Err(NotSent::refused(why));
    }
    vendor.parsed(&answer).map_err(without_effect)
}

/// The revision of each source, and of a rollback the entry of the history.
pub(super) async fn pin(
    operation: &Operation,
    means: &Means<'_>,
    order: &Order,
) -> Result<Map<String, Value>, NotSent> {
    let application = operation.filled(order)?;
    let wanted = operation.wanted(order)?;
    let vendor = vendor(means)?.about(order);
    let app = app(&vendor, &application).await?;
    let mut pinned = Map::from_iter([("application".into(), application.as_str().into())]);
    let revisions = match operation.kind {
        Kind::Rollback => {
            let past = past(&app, &application, wanted.as_deref())?;
            pinned.insert("history".into(), past.id.into());
            past.revisions.all()
        }
        Kind::Sync => match wanted {
            Some(revision) if is_fixed(&revision) => vec![revision],
            Some(revision) => {
                let why = format!(
                    "`{revision}` may mean something else by then: give a whole commit, or a whole version such as `v1.4.0`."
                );
                return Err(NotSent::refused(why));
            }
            None => app.status.sync.as_ref().map(Revisions::all).unwrap_or_default(),
        },
    };
    if revisions.is_empty() {
        let why = format!(
            "Argo CD has not compared `{application}` with its target yet. Ask again in a minute."
        );
        return Err(NotSent::NotNow { why, wait: None });
    }
    pinned.insert("revisions".into(), revisions.into());
    Ok(pinned)
}

/// The entry of the history with the revision `wanted`, or the one before the last.
fn past<'a>(app: &'a App, application: &str, wanted: Option<&str>) -> Result<&'a Past, NotSent> {
    let history = app.status.history.as_deref().unwrap_or_default();
    let found = match wanted {
        Some(wanted) => {
            history.iter().rev().find(|past| past.revisions.all().iter().any(|it| it == wanted))
        }
        None => history.iter().rev().nth(1),
    };
    found.ok_or_else(|| {
        let known = history.iter().rev().take(5).flat_map(|past| past.revisions.all());
        let known: Vec<String> = known.map(|it| format!("`{}`", short(&it))).collect();
        NotSent::refused(match (wanted, known.is_empty()) {
            (Some(wanted), false) => {
                format!(
                    "`{wanted}` is not in the history of `{application}`, whose last are {}.",
                    known.join(", ")
                )
            }
            _ => format!("`{application}` has nothing in its history to go back to."),
        })
    })
}

/// See [`super::invocation::send`]. It is sent only where it is not there already.
pub(super) async fn send(
    operation: &Operation,
    means: &Means<'_>,
    order: &Order,
) -> Result<Sent, NotSent> {
    let reference = Reference::of(operation, order)?;
    let application = &reference.application;
    let vendor = vendor(means)?.about(order);
    let app = app(&vendor, application).await?;
    if reference.status(&app, &vendor).is_some() {
        return Ok(started(&reference, &vendor));
    }
    if let Some(holder) = holder(&app, &vendor) {
        return Err(NotSent::Busy { holder });
    }
    let (what, body) = match operation.kind {
        Kind::Sync => ("/sync", sync_body(operation, &reference, order)),
        Kind::Rollback => ("/rollback", rollback_body(operation, &reference, order, &app)?),
    };
    let answer = vendor.post(&path(application, what), &body).await?;
    let words = vendor.words(&answer).unwrap_or_default();
    if answer.status == 400 && words.contains(IN_PROGRESS) {
        return Err(NotSent::Busy { holder: format!("Another operation of `{application}`") });
    }
    let App { metadata, .. } = vendor.parsed(&answer)?;
    if metadata.name.is_empty() {
        return Err(NotSent::unknown("Argo CD answered with something that is no application."));
    }
    Ok(started(&reference, &vendor))
}

fn started(reference: &Reference, vendor: &Vendor<'_>) -> Sent {
    let url = format!("{}/applications/{}", vendor.url, reference.application);
    Sent::Started { reference: Some(reference.text()), url: Some(url) }
}

fn name_and_namespace(application: &str) -> Map<String, Value> {
    match application.split_once('/') {
        Some((namespace, name)) => Map::from_iter([
            ("name".into(), name.into()),
            ("appNamespace".into(), namespace.into()),
        ]),
        None => Map::from_iter([("name".into(), application.into())]),
    }
}

fn sync_body(operation: &Operation, reference: &Reference, order: &Order) -> Value {
    let mut body = name_and_namespace(&reference.application);
    match &reference.revisions[..] {
        [one] => drop(body.insert("revision".into(), one.as_str().into())),
        several => {
            let positions = (1..=several.len()).map(|it| it.to_string());
            body.insert("sourcePositions".into(), positions.collect::<Vec<_>>().into());
            body.insert("revisions".into(), several.into());
        }
    }
    body.insert("prune".into(), operation.prune.into());
    let request = order.request.to_string();
    body.insert(
        "infos".into(),
        json!([{ "name": KEY, "value": order.key }, { "name": "idp-request", "value": request }]),
    );
    body.into()
}

fn rollback_body(
    operation: &Operation,
    reference: &Reference,
    order: &Order,
    app: &App,
) -> Result<Value, NotSent> {
    let id = order.pinned.get("history").and_then(Value::as_i64);
    let history = app.status.history.as_deref().unwrap_or_default();
    let is_same = |past: &&Past| Some(past.id) == id && past.revisions.all() == reference.revisions;
    let Some(past) = history.iter().find(is_same) else {
        let application = &reference.application;
        let why = format!(
            "The history of `{application}` does not have this revision any more. Ask again."
        );
        return Err(NotSent::refused(why));
    };
    let mut body = name_and_namespace(&reference.application);
    body.insert("id".into(), past.id.into());
    body.insert("prune".into(), operation.prune.into());
    Ok(body.into())
}

/// Whose operation is under way.
fn holder(app: &App, vendor: &Vendor<'_>) -> Option<String> {
    let state = app.status.state.as_ref();
    let is_running = |it: &&State| matches!(it.phase.as_deref(), Some("Running" | "Terminating"));
    let running = state.filter(is_running).map(|it| it.operation.as_ref());
    let doing = app.operation.as_ref().map(Some).or(running)?;
    let by = doing.and_then(|doing| doing.initiated_by.as_ref());
    let who = match by {
        Some(By { automated: Some(true), .. }) => return Some("An automatic sync".into()),
        by => by.and_then(|by| by.username.as_deref()).and_then(|it| vendor.shown(it)),
    };
    Some(match who {
        Some(who) => format!("An operation of {}", who.trim_end_matches('.')),
        None => "Another operation".into(),
    })
}

/// The operation under the order's mark.
pub(super) async fn find(
    operation: &Operation,
    means: &Means<'_>,
    order: &Order,
) -> Result<Option<Sent>, NotSent> {
    let reference = Reference::of(operation, order)?;
    let vendor = vendor(means)?.about(order);
    let app = app(&vendor, &reference.application).await?;
    Ok(reference.status(&app, &vendor).map(|_| started(&reference, &vendor)))
}

/// See [`super::invocation::status`].
pub(super) async fn status(means: &Means<'_>, reference: &str) -> Result<Status, NotSent> {
    let Some(reference) = Reference::read(reference) else { return Ok(Status::Gone) };
    let vendor = vendor(means)?;
    let app = app(&vendor, &reference.application).await?;
    Ok(reference.status(&app, &vendor).unwrap_or(Status::Gone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_means_the_same_tomorrow_is_fixed() {
        for fixed in [&"0a".repeat(20), "v1.4.0", "1.4.0", "1.4.0-rc.1"] {
            assert!(is_fixed(fixed), "{fixed}");
        }
        for moving in ["main", "HEAD", "1.4", "1.x.0", "0a0a0a0", "latest", "v1", ""] {
            assert!(!is_fixed(moving), "{moving}");
        }
    }

    #[test]
    fn an_operation_is_found_again_by_its_reference() {
        for mark in [Mark::Key("ab".repeat(32)), Mark::Since(1_800_000_000)] {
            let revisions = vec!["0a".repeat(20), "v1.4.0".into()];
            let reference = Reference { application: "team-a/payments".into(), mark, revisions };
            assert_eq!(Reference::read(&reference.text()), Some(reference));
        }
        assert_eq!(Reference::read("../x#key:a@b"), None);
    }

    #[test]
    fn names_that_would_lead_elsewhere_are_none() {
        assert!(is_application("payments-prod") && is_application("team-a/payments"));
        for bad in ["", "a/b/c", "../a", "a?b", "A", "-a", "a b", "a%2f"] {
            assert!(!is_application(bad), "{bad:?}");
        }
    }
}
