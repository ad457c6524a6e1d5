//! Deployments that wait at GitHub: GitHub asks whether a run may go on into an environment, people decide in the thread,
//! and GitHub is told.
//!
//! ```text
//! GitHub ──signed webhook──▶ pending ──quorum──▶ approved ──▶ the step of the action ──▶ "approved"
//!                               │
//!                               └─ denied, expired, taken back, void ──▶ "rejected"
//! ```
//! - It is a request like any other, of an action with `invoke: {github_environment: …}`. What it is done to is the entity
//!   whose annotation names the repository.
//! - Who asks is known by GitHub alone. A User whose descriptor says that the login is theirs is told of as who asked, and
//!   nobody of whom one says so decides on it: what a descriptor says takes rights away, and gives none.
//! - What cannot be asked for now, by a freeze or because nobody could approve it, is rejected with the reason.

pub mod flow;
pub mod store;

use super::{Action, ActionSet, Request, State, Whole, say};
use crate::catalog::{Entity, EntityRef, Snapshot};
use crate::error::Refusal;
use crate::integrations::github::protection::{Gate, Waiting};

/// The annotation of an entity with its repository, `acme/payments`.
const REPOSITORY: &str = "github.com/project-slug";
/// The annotation of a User with their login.
const LOGIN: &str = "github.com/user-login";
/// The kind of who asks and is no User of the catalog.
const STRANGER: &str = "github";

/// The action that `waiting` is asked for by, and what it is done to.
///
/// # Errors
/// None, or several: a sentence for whoever looks at what GitHub sent.
pub fn meant<'a>(
    actions: &'a ActionSet,
    snapshot: &'a Snapshot,
    waiting: &Waiting,
) -> Result<(&'a Action, &'a Entity), String> {
    let Waiting { repository, environment, .. } = waiting;
    let is_here = |it: &&Entity| {
        !it.orphaned
            && annotation(it, REPOSITORY, snapshot)
                .is_some_and(|it| it.eq_ignore_ascii_case(repository))
    };
    let here: Vec<&Entity> = snapshot.entities().filter(is_here).collect();
    let asked = actions.iter().filter(|it| it.gate().is_some_and(|it| it.takes(waiting)));
    let mut is_asked = false;
    let mut found = Vec::new();
    for action in asked {
        is_asked = true;
        let target = action.target.as_ref();
        let takes = |it: &&&Entity| target.is_some_and(|target| target.takes(it, snapshot));
        found.extend(here.iter().filter(takes).map(|it| (action, *it)));
    }
    match (&found[..], is_asked) {
        ([one], _) => Ok(*one),
        ([], false) => Err(format!("No action is asked for by `{environment}` of `{repository}`.")),
        ([], true) => Err(format!(
            "Nothing that the action for `{environment}` is done to has the annotation `{REPOSITORY}: {repository}`."
        )),
        (several, _) => {
            let names =
                several.iter().map(|(action, it)| format!("`{}` of `{}`", action.name, it.name));
            let names = names.take(5).collect::<Vec<_>>().join(", ");
            Err(format!("It may be {names}: narrow the `target` of the action."))
        }
    }
}

/// Who asks: the one User whose login it is, otherwise somebody whom the catalog does not know.
pub fn requester(waiting: &Waiting, snapshot: &Snapshot) -> EntityRef {
    let theirs = users(&waiting.sender, snapshot);
    match &theirs[..] {
        [one] => one.clone(),
        _ => EntityRef::new(STRANGER, "login", &waiting.sender),
    }
}

/// The Users whose descriptors say that `login` is theirs.
fn users(login: &str, snapshot: &Snapshot) -> Vec<EntityRef> {
    let users = snapshot.entities().filter(|it| it.reference.kind() == "user" && !it.orphaned);
    let is_theirs = |it: &&Entity| has_login(it, login, snapshot);
    users.filter(is_theirs).map(|it| it.reference.clone()).collect()
}

fn has_login(user: &Entity, login: &str, snapshot: &Snapshot) -> bool {
    annotation(user, LOGIN, snapshot).is_some_and(|it| it.eq_ignore_ascii_case(login))
}

fn annotation(entity: &Entity, key: &str, snapshot: &Snapshot) -> Option<String> {
    // Most have none of it, and there are many.
    let body = entity.body.contains(key).then(|| snapshot.body(entity))?;
    body["metadata"]["annotations"][key].as_str().map(str::to_string)
}

/// The deployment that `request` is about; `None`: it is about none.
pub fn waiting(request: &Request) -> Option<Waiting> {
    request.pinned.values().find_map(|it| Waiting::fixed(it.as_object()?))
}

/// Whether the deployment that `request` is about is the doing of `person`.
pub fn is_theirs(request: &Request, person: &EntityRef, snapshot: &Snapshot) -> bool {
    // What people ask for has an account.
    let Some(waiting) = waiting(request).filter(|_| request.asked_by.is_none()) else {
        return false;
    };
    let Some(user) = snapshot.find(person.as_str()) else { return false };
    waiting.logins().any(|login| has_login(user, login, snapshot))
}

/// That who asked is no User of the catalog; nothing where they are one.
pub fn stranger(request: &Request) -> &'static str {
    match request.requester.kind() == STRANGER {
        true => " on GitHub, who is no User of the catalog,",
        false => "",
    }
}

/// That people do not ask for `action`.
pub fn not_asked_for(action: &Action, gate: &Gate) -> Refusal {
    Refusal::NotAllowed {
        rule: format!("GitHub asks for `{}`, and nobody else does.", action.name),
        next: format!("Start a run that goes into the environment `{}`.", gate.environment),
        instead: vec!["run".into()],
    }
}

/// What GitHub is told with a no.
fn comment(whole: &Whole, snapshot: &Snapshot) -> String {
    let request = &whole.request;
    let by = request.decided_by.as_ref().map(|by| format!(" by {}", say::label(by, snapshot)));
    let did = match request.state {
        State::Denied => "Denied",
        State::Expired => "Nobody decided in time",
        State::Cancelled => "Taken back",
        State::Pending | State::Approved | State::Void => "Not begun",
    };
    let note = whole.execution.as_ref().and_then(|it| it.note.as_ref()).or(request.note.as_ref());
    let note = note.map(|it| format!(": {it}")).unwrap_or_default();
    format!("{did} in request {} of idp{}{note}", request.id, by.unwrap_or_default())
}
