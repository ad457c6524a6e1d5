//! What people read of a request: its card, and the lines below it.

use std::fmt::Write;

use serde_json::Value;

use super::delegation::Delegation;
use super::gate;
use super::input::{Given, MASKED};
use super::intent::{canonical, shown};
use super::rule::{Factor, Meant, Who};
use super::{
    Action, ActionSet, Execution, Progress, Request, Risk, State, Verdict, Vote, Whole, clock,
};
use crate::access::Links;
use crate::catalog::snapshot::Filter;
use crate::catalog::{EntityRef, Snapshot};
use crate::conversation::{
    Audience, Platform, Reply, Untrusted, button, code_block, form_button, mention,
};

/// The most characters of a value that a card shows; what is longer must be opened.
const VALUE_CHARACTERS_MAX: usize = 160;
/// Of all values together.
const VALUES_CHARACTERS_MAX: usize = 800;
/// The most names of one list.
const NAMES_MAX: usize = 5;
/// The most people whom a card mentions.
const MENTIONS_MAX: usize = 8;

/// What a card is read by.
pub struct Scene<'a> {
    pub snapshot: &'a Snapshot,
    pub links: &'a Links,
    /// `None`: there is no such action any more.
    pub action: Option<&'a Action>,
    /// Whom the rule of the request means.
    pub meant: &'a Meant,
}

/// Whether a card has no room for all of `given`: who approves must see the whole of it.
pub fn is_long(given: &[Given]) -> bool {
    let shown: Vec<String> = given.iter().map(|it| text_of(&it.value)).collect();
    let all: usize = shown.iter().map(|it| it.chars().count()).sum();
    let is_hidden =
        |it: &String| it.chars().count() > VALUE_CHARACTERS_MAX || it.contains(['\n', '\t']);
    all > VALUES_CHARACTERS_MAX || shown.iter().any(is_hidden)
}

/// A value as one reads it.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(_) => MASKED.to_string(),
        other => other.to_string(),
    }
}

/// The card of a request: the same message from its first day to its last.
pub fn card(whole: &Whole, scene: &Scene<'_>) -> Reply {
    let mut text = head(whole, scene);
    let request = &whole.request;
    if let Some(reason) = &request.break_glass {
        let _ = write!(text, "\n\n🚨 **Without approval**: {}", plain(reason));
        text.push_str(&reviewed(whole, scene));
    }
    text.push_str(&inputs(whole, scene));
    if request.state == State::Pending {
        text.push_str(&blast_radius(whole, scene));
        text.push_str(&needed(whole, scene));
    }
    text.push_str(&what_was_said(whole, scene));
    if let Some(note) = &request.note
        && request.state != State::Denied
    {
        let _ = write!(text, "\n\n> {}", plain(note));
    }
    if let Some(execution) = &whole.execution {
        text.push_str(&steps(execution));
    }
    text.push_str(&buttons(whole, scene));
    Reply {
        markdown: text,
        audience: Audience::Channel,
        command: "requests".into(),
        ..Reply::default()
    }
}

/// All of a request, for one person.
pub fn details(whole: &Whole, scene: &Scene<'_>) -> String {
    let mut text = head(whole, scene);
    let request = &whole.request;
    if let Some(reason) = &request.break_glass {
        let _ = write!(text, "\n\n🚨 **Without approval**: {}", plain(reason));
        text.push_str(&reviewed(whole, scene));
    }
    for (name, value) in &request.inputs {
        let _ = write!(text, "\n\n**{}**\n\n{}", plain(name), code_block(&text_of(value)));
    }
    for (name, value) in &request.pinned {
        let value = Untrusted::from(canonical(value).as_str()).to_code();
        let _ = write!(text, "\n\nFixed: {} {value}", plain(name));
    }
    if request.state == State::Pending {
        text.push_str(&blast_radius(whole, scene));
        text.push_str(&needed(whole, scene));
    }
    text.push_str(&what_was_said(whole, scene));
    if let Some(execution) = &whole.execution {
        text.push_str(&steps(execution));
    }
    text.push_str(&buttons(whole, scene));
    text
}

fn head(whole: &Whole, scene: &Scene<'_>) -> String {
    let request = &whole.request;
    let (sign, standing) = standing(whole);
    let title = scene.action.map_or(request.action.as_str(), |it| it.title.as_str());
    let of = request
        .target
        .as_ref()
        .map(|target| format!(" of {}", plain(&label(target, scene.snapshot))));
    format!(
        "### Request {}: {}{}\n\n{sign} {standing}\n\nAsked by **{}**{} at {}{}. Risk: {}. Intent `{}`.",
        request.id,
        plain(title),
        of.unwrap_or_default(),
        plain(&label(&request.requester, scene.snapshot)),
        gate::stranger(request),
        clock(request.requested_at),
        match request.state {
            State::Pending => format!(", until {}", clock(request.expires_at)),
            _ => String::new(),
        },
        request.risk.word(),
        shown(&request.intent),
    )
}

/// What a request asks for, of what.
pub fn titled(whole: &Whole, actions: &ActionSet, snapshot: &Snapshot) -> String {
    let request = &whole.request;
    let title = actions.find(&request.action).map_or(&request.action, |it| &it.title);
    let of = request.target.as_ref().map(|it| format!(" of {}", plain(&label(it, snapshot))));
    format!("{}{}", plain(title), of.unwrap_or_default())
}

/// How a request stands, in a sign and in words.
pub fn standing(whole: &Whole) -> (&'static str, String) {
    let request = &whole.request;
    match request.state {
        State::Pending => {
            let standing = whole.standing();
            let of = request.rule.quorum();
            ("⏳", format!("waits for approval, {} of {of}", standing.count()))
        }
        State::Denied => ("❌", "denied".into()),
        State::Expired => ("⌛", "expired: nobody decided in time".into()),
        State::Cancelled => ("↩️", "taken back".into()),
        State::Void => ("⚪", "void".into()),
        State::Approved => match &whole.execution {
            None => ("✅", "approved".into()),
            Some(execution) => {
                let note = execution.note.as_deref().map(|it| format!(": {}", plain(it)));
                let (sign, words) = progress(execution.state);
                let review = if whole.waits_for_review() { ", to be reviewed" } else { "" };
                (sign, format!("{words}{}{review}", note.unwrap_or_default()))
            }
        },
    }
}

/// How far something is done, in a sign and in words.
pub fn progress(state: Progress) -> (&'static str, &'static str) {
    match state {
        Progress::Ready => ("✅", "approved, about to begin"),
        Progress::Running => ("▶️", "running"),
        Progress::Succeeded => ("✅", "succeeded"),
        Progress::Failed => ("❌", "failed"),
        Progress::Unknown => ("❔", "nobody knows whether it ran"),
        Progress::Held => ("✋", "held"),
        Progress::Cancelled => ("↩️", "taken back before it began"),
        Progress::Void => ("⚪", "void: it was not begun"),
    }
}

fn inputs(whole: &Whole, scene: &Scene<'_>) -> String {
    let request = &whole.request;
    let mut text = String::new();
    for (name, value) in &request.inputs {
        let title = scene.action.and_then(|it| it.inputs.iter().find(|it| it.name == *name));
        let title = title.map_or(name.as_str(), |it| it.title.as_str());
        let value = text_of(value);
        let is_cut = value.chars().count() > VALUE_CHARACTERS_MAX || value.contains(['\n', '\t']);
        let shown: String = value.chars().take(VALUE_CHARACTERS_MAX).collect();
        let more = if is_cut { " … (cut)" } else { "" };
        let _ = write!(text, "\n- {}: {}{more}", plain(title), plain(&shown));
    }
    for (name, value) in &request.pinned {
        let value = Untrusted::from(canonical(value).as_str()).to_code();
        let _ = write!(text, "\n- Fixed for {}: {value}", plain(name));
    }
    let mut text = if text.is_empty() { text } else { format!("\n{text}") };
    if request.is_long && request.state == State::Pending {
        text.push_str("\n\n⚠️ Not all of it fits here: who approves opens it first.");
    }
    text
}

/// Who looked at what was done without approval, or has to.
fn reviewed(whole: &Whole, scene: &Scene<'_>) -> String {
    if let Some(review) = &whole.request.review {
        let (who, words) = (plain(&label(&review.by, scene.snapshot)), plain(&review.words));
        return format!("\n\n🔎 **{who}** looked at it at {}: {words}", clock(review.at));
    }
    match whole.waits_for_review() {
        true => format!("\n\n🔎 To be reviewed by {}.", reviewers(scene)),
        false => String::new(),
    }
}

/// Whoever could have approved it.
fn reviewers(scene: &Scene<'_>) -> String {
    match scene.meant.all() {
        meant if meant.is_empty() => "an admin".into(),
        meant => names(&meant, scene),
    }
}

/// That something is done without approval, to those who could have approved it.
pub fn alarm(whole: &Whole, scene: &Scene<'_>) -> Reply {
    let request = &whole.request;
    let title = scene.action.map_or(request.action.as_str(), |it| it.title.as_str());
    let target = request.target.as_ref();
    let of = target.map(|it| format!(" of **{}**", plain(&label(it, scene.snapshot))));
    line(format!(
        "🚨 **{}** does **{}**{} without approval, as request {}: {}\n\nTo be reviewed by {}. {} {}",
        plain(&label(&request.requester, scene.snapshot)),
        plain(title),
        of.unwrap_or_default(),
        request.id,
        request.break_glass.as_deref().map(plain).unwrap_or_default(),
        reviewers(scene),
        form_button("Review", &format!("requests review {}", request.handle())),
        button("Details", &format!("requests show {}", request.id)),
    ))
}

/// That nobody has looked at what was done without approval.
pub fn review_reminder(whole: &Whole, scene: &Scene<'_>) -> Reply {
    let handle = whole.request.handle();
    line(format!(
        "🔎 It was done without approval, and nobody has looked at it since: {}. {}",
        reviewers(scene),
        form_button("Review", &format!("requests review {handle}")),
    ))
}

/// That `people`, on call on the level `number`, may decide from now on.
pub fn called(
    request: &Request,
    number: usize,
    people: &[EntityRef],
    links: &Links,
    snapshot: &Snapshot,
) -> Reply {
    let named = people.iter().take(MENTIONS_MAX).map(|it| name(it, links, snapshot));
    line(format!(
        "📣 Nobody has decided yet. {}: you are on call on level {number}, and may decide until {}.",
        named.collect::<Vec<_>>().join(", "),
        clock(request.expires_at),
    ))
}

fn blast_radius(whole: &Whole, scene: &Scene<'_>) -> String {
    let Some(entity) =
        whole.request.target.as_ref().and_then(|it| scene.snapshot.find(it.as_str()))
    else {
        return String::new();
    };
    let reach = scene.snapshot.dependents(entity, &Filter::default(), 0, NAMES_MAX);
    if reach.total == 0 {
        return "\n\nNothing in the catalog depends on it.".into();
    }
    let names: Vec<String> = reach.page.iter().map(|it| plain(&it.entity.name)).collect();
    let more = reach.total.saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let first: Filter = Filter { tier: Some("1".into()), ..Filter::default() };
    let critical = scene.snapshot.dependents(entity, &first, 0, 0).total;
    let critical = match critical {
        0 => String::new(),
        count => format!(", {count} of tier 1"),
    };
    let teams = reach.teams.iter().filter(|(team, _)| team.is_some()).count();
    format!(
        "\n\nWhat depends on it: **{}** of {}{critical}: {}{more}.",
        plural(reach.total, "thing", "things"),
        plural(teams, "team", "teams"),
        names.join(", ")
    )
}

fn needed(whole: &Whole, scene: &Scene<'_>) -> String {
    let request = &whole.request;
    if request.rule.quorum() == 0 {
        return String::new();
    }
    let standing = whole.standing();
    let mut text = String::from("\n\nIt takes, each another person and never who asked:\n");
    for (place, factor) in request.rule.factors.iter().enumerate() {
        let filled = standing.filled.get(place).copied().unwrap_or_default();
        let sign = if filled >= factor.count { "☑" } else { "☐" };
        let empty = Vec::new();
        let meant = scene.meant.0.get(place).unwrap_or(&empty);
        let _ = write!(
            text,
            "\n- {sign} **{}**{}",
            kind_of(factor),
            if meant.is_empty() {
                ": nobody right now".to_string()
            } else {
                format!(": {}", names(meant, scene))
            }
        );
    }
    text
}

/// How a card calls a factor.
pub fn kind_of(factor: &Factor) -> String {
    match (&factor.who, factor.count) {
        (Who::Owner, count) => plural(count, "owner", "owners"),
        (Who::OnCall, count) => plural(count, "person on call", "people on call"),
        (Who::Named(who), 1) if who.kind() == "user" => "this person".into(),
        (Who::Named(_), count) => plural(count, "member", "members"),
    }
}

/// Users are mentioned, Groups named.
fn names(meant: &[EntityRef], scene: &Scene<'_>) -> String {
    let shown = meant.iter().take(MENTIONS_MAX).map(|it| name(it, scene.links, scene.snapshot));
    let shown: Vec<String> = shown.collect();
    let more = meant.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// Somebody, mentioned where they have an account.
fn name(who: &EntityRef, links: &Links, snapshot: &Snapshot) -> String {
    let links = links.now();
    let accounts: Vec<(Platform, &str)> = links
        .by_account
        .iter()
        .filter(|(_, link)| link.user == *who)
        .map(|(account, _)| (account.platform, account.user_id.as_str()))
        .collect();
    mention(&label(who, snapshot), &accounts)
}

/// What was handed on, and who said yes or no.
fn what_was_said(whole: &Whole, scene: &Scene<'_>) -> String {
    let handed = whole.delegations.iter().map(|it| handed(it, scene));
    handed.chain(whole.votes.iter().map(|it| said(it, scene.snapshot))).collect()
}

fn handed(it: &Delegation, scene: &Scene<'_>) -> String {
    let who = plain(&label(&it.person, scene.snapshot));
    let to = name(&it.delegate, scene.links, scene.snapshot);
    let note = it.note.as_deref().map(|it| format!(": {}", plain(it))).unwrap_or_default();
    format!("\n\n↪️ **{who}** lets {to} decide, since {}{note}", clock(it.at))
}

/// That somebody decides in place of another, said to them.
pub fn handed_on(
    by: &EntityRef,
    to: &EntityRef,
    note: Option<&str>,
    links: &Links,
    snapshot: &Snapshot,
) -> Reply {
    let note = note.map(|it| format!(": {}", plain(it))).unwrap_or_default();
    let who = plain(&label(by, snapshot));
    line(format!("↪️ {}: **{who}** lets you decide{note}", name(to, links, snapshot)))
}

fn said(vote: &Vote, snapshot: &Snapshot) -> String {
    let who = plain(&label(&vote.person, snapshot));
    let (sign, verb) = match vote.verdict {
        Verdict::Approve => ("✅", "approved"),
        Verdict::Deny => ("❌", "denied"),
    };
    let note = vote.note.as_deref().map(|it| format!(": {}", plain(it))).unwrap_or_default();
    format!("\n\n{sign} **{who}** {verb} at {}{note}", clock(vote.at))
}

fn steps(execution: &Execution) -> String {
    let mut text = String::new();
    for step in &execution.steps {
        let sign = match step.state.as_str() {
            "succeeded" => "✅",
            "failed" => "❌",
            "running" | "sending" => "▶️",
            "unknown" => "❔",
            "skipped" => "⏭️",
            _ => "·",
        };
        let name = match &step.url {
            Some(url) => crate::conversation::link(&step.name, url),
            None => plain(&step.name),
        };
        let note = step.note.as_deref().map(|it| format!(": {}", plain(it))).unwrap_or_default();
        let _ = write!(text, "\n- {sign} {name}{note}");
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

fn buttons(whole: &Whole, scene: &Scene<'_>) -> String {
    let request = &whole.request;
    let handle = request.handle();
    let mut buttons = Vec::new();
    match (request.state, whole.execution.as_ref().map(|it| it.state)) {
        (State::Pending, _) => {
            let approve = format!("approve {handle}");
            buttons.push(match request.risk {
                Risk::Low => button("Approve", &approve),
                Risk::Medium | Risk::High => form_button("Approve", &approve),
            });
            buttons.push(form_button("Deny", &format!("deny {handle}")));
            if request.is_long {
                buttons.push(button("Show all", &format!("requests show {}", request.id)));
            }
            if scene.action.is_some_and(|it| it.delegates) {
                buttons.push(form_button("Delegate", &format!("requests delegate {handle}")));
            }
            buttons.push(form_button("Ask", &format!("requests ask {}", request.id)));
            buttons.push(button("Take back", &format!("cancel {handle}")));
        }
        (State::Approved, Some(Progress::Ready | Progress::Held)) => {
            buttons.push(button("Take back", &format!("cancel {handle}")));
        }
        (State::Approved, Some(Progress::Unknown)) => {
            buttons.push(button("It ran", &format!("requests ran {}", request.id)));
            buttons.push(button("It did not", &format!("requests lost {}", request.id)));
        }
        (State::Approved, Some(Progress::Failed)) if whole.is_retriable() => {
            buttons.push(button("Try again", &format!("requests retry {handle}")));
        }
        _ => {}
    }
    if whole.waits_for_review() {
        buttons.push(form_button("Review", &format!("requests review {handle}")));
    }
    if !request.is_long || request.state != State::Pending {
        buttons.push(button("Details", &format!("requests show {}", request.id)));
    }
    format!("\n\n{}", buttons.join(" "))
}

/// That a request waits still, to those who have not answered.
pub fn reminder(whole: &Whole, scene: &Scene<'_>) -> String {
    let request = &whole.request;
    let standing = whole.standing();
    let open = request.rule.factors.iter().enumerate().filter(|(place, factor)| {
        standing.filled.get(*place).copied().unwrap_or_default() < factor.count
    });
    let asked: Vec<String> = open
        .filter_map(|(place, factor)| {
            let meant = scene.meant.0.get(place).filter(|it| !it.is_empty())?;
            Some(format!("{} ({})", kind_of(factor), names(meant, scene)))
        })
        .collect();
    format!(
        "Half of its time is over, and it waits still, until {}: {}.",
        clock(request.expires_at),
        if asked.is_empty() { "nobody is there to approve it".into() } else { asked.join(", ") }
    )
}

/// How something ended, or why a person has to look, said to who asked.
pub fn ended(
    request: &Request,
    state: Progress,
    why: Option<&str>,
    links: &Links,
    snapshot: &Snapshot,
) -> Reply {
    let (sign, words) = progress(state);
    let why = why.map(|it| format!(": {}", plain(it))).unwrap_or_default();
    line(format!("{sign} {}: {words}{why}", name(&request.requester, links, snapshot)))
}

/// One line below a card.
pub fn line(text: String) -> Reply {
    Reply {
        markdown: text,
        audience: Audience::Channel,
        command: "requests".into(),
        ..Reply::default()
    }
}

/// `reply`, and below it what the action's own file says.
pub fn with(mut reply: Reply, message: Option<String>) -> Reply {
    if let Some(message) = message {
        let _ = write!(reply.markdown, "\n\n{message}");
    }
    reply
}

/// A line that says who did something.
pub fn by(who: &EntityRef, did: &str, note: Option<&str>, snapshot: &Snapshot) -> Reply {
    let note = note.map(|it| format!(": {}", plain(it))).unwrap_or_default();
    line(format!("**{}** {did}{note}", plain(&label(who, snapshot))))
}

/// A name that people know, of what the catalog describes.
pub fn label(who: &EntityRef, snapshot: &Snapshot) -> String {
    let Some(found) = snapshot.find(who.as_str()) else { return who.name().to_string() };
    if let Some(title) = &found.title {
        return title.to_string();
    }
    let display = &snapshot.body(found)["spec"]["profile"]["displayName"];
    display.as_str().unwrap_or(&found.name).to_string()
}

/// A name of a file's, as code.
pub fn name_of(step: &str) -> String {
    Untrusted::from(step).to_code()
}

fn plain(text: &str) -> String {
    Untrusted::from(text).to_markdown()
}

fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
