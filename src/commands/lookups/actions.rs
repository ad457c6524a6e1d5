//! Actions: what can be asked for, what was, and what was said to it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::{PAGE_ROWS, Page, json, missing};
use crate::actions::flow::Asked;
use crate::actions::input::{Kind, MASKED, words as words_of};
use crate::actions::say::{self, label};
use crate::actions::{Action, ActionSet, BREAK_GLASS, Whole};
use crate::catalog::{Entity, Snapshot};
use crate::commands::resolve::Question;
use crate::conversation::{Platform, Untrusted, Way, button};
use crate::error::{Refusal, Result};

/// What can be asked for.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    total: usize,
    actions: Vec<Row<'a>>,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    name: &'a str,
    title: &'a str,
    summary: &'a str,
    risk: &'static str,
}

/// What was asked for, as our renderer says it.
#[derive(Debug, Serialize)]
struct Said {
    id: i64,
    said: String,
}

/// Requests as a list.
#[derive(Debug, Serialize)]
struct Requests<'a> {
    total: usize,
    requests: Vec<RequestRow<'a>>,
    page: Option<Page>,
}

#[derive(Debug, Serialize)]
struct RequestRow<'a> {
    id: i64,
    title: &'a str,
    target: Option<String>,
    requester: String,
    requested_at: DateTime<Utc>,
    sign: &'static str,
    standing: String,
}

/// The action that `question` names; `None` where it names none.
///
/// # Errors
/// A name that no action has.
pub fn action<'a>(
    question: &Question<'_>,
    actions: &'a ActionSet,
) -> std::result::Result<Option<&'a Action>, Refusal> {
    let Some(typed) = question.call.get("action") else { return Ok(None) };
    named(actions, typed).map(Some)
}

/// The action of this name.
///
/// # Errors
/// A name that none has, with the closest.
pub fn named<'a>(actions: &'a ActionSet, typed: &str) -> std::result::Result<&'a Action, Refusal> {
    let found = actions.find(&typed.to_lowercase());
    found.ok_or_else(|| {
        let names = actions.iter().map(|it| it.name.as_str());
        let closest = crate::catalog::formats::fields::closest(typed, names);
        let closest: Vec<String> = closest.into_iter().map(str::to_string).collect();
        Refusal::UnknownEntity {
            what: "action".into(),
            name: typed.chars().take(80).collect(),
            instead: closest.iter().map(|it| format!("run {it}")).collect(),
            closest,
        }
    })
}

/// The actions that `may` be asked for, of the entity that is meant where one is.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn list(
    question: &Question<'_>,
    actions: &ActionSet,
    may: impl Fn(&Action) -> bool,
) -> Result<Value> {
    let target = question.entity("target");
    let fits = |it: &&Action| match (&it.target, target) {
        (Some(target), Some(entity)) => target.takes(entity, question.snapshot),
        _ => target.is_none(),
    };
    let rows: Vec<Row<'_>> = actions
        .iter()
        .filter(fits)
        .filter(|it| may(it))
        .map(|it| Row {
            name: &it.name,
            title: &it.title,
            summary: &it.summary,
            risk: it.risk.word(),
        })
        .collect();
    json(Listed { total: rows.len(), actions: rows })
}

/// Names and values as they were typed.
type Pairs = Vec<(String, String)>;

/// The text of the inputs that `question` gives, and why it is to be done without approval.
///
/// # Errors
/// Words that are no inputs.
pub fn inputs(question: &Question<'_>) -> std::result::Result<(Pairs, Option<String>), Refusal> {
    let text = question.call.get("inputs").unwrap_or_default();
    let mut pairs = crate::actions::input::pairs(text)?;
    let place = pairs.iter().position(|(name, _)| name == BREAK_GLASS);
    let reason = place.map(|place| pairs.remove(place).1);
    if reason.as_ref().is_some_and(|it| it.trim().is_empty()) {
        return Err(Refusal::InvalidArgument {
            argument: BREAK_GLASS.into(),
            value: String::new(),
            expected: "say why it cannot wait for approval".into(),
        });
    }
    Ok((pairs, reason))
}

/// The words of `question` without what is secret of `typed`: they may be shown again.
///
/// # Errors
/// A secret that stands where others may read it.
pub fn without_secrets(
    question: &Question<'_>,
    action: &Action,
    way: Way,
    typed: &[(String, String)],
) -> std::result::Result<String, Refusal> {
    let is_secret = |name: &str| {
        action.inputs.iter().any(|it| it.name == name && matches!(it.kind, Kind::Secret))
    };
    let first = typed.iter().find(|(name, _)| is_secret(name));
    let is_overheard = way != Way::Filled && question.address.platform != Platform::Terminal;
    if let Some((name, _)) = first.filter(|_| is_overheard) {
        return Err(Refusal::InvalidArgument {
            argument: name.clone(),
            value: MASKED.into(),
            expected: "it is secret: give it in the form, and take another one, for this was read"
                .into(),
        });
    }
    let open = typed.iter().filter(|(name, _)| !is_secret(name));
    let open: Vec<(&str, &str)> =
        open.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let call = question.call.without("inputs");
    Ok(match open.is_empty() {
        true => call.words(),
        false => call.with("inputs", &words_of(open)).words(),
    })
}

/// That it was asked for, and where it is talked about.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn asked(asked: &Asked) -> Result<Value> {
    let request = &asked.whole.request;
    let (sign, standing) = say::standing(&asked.whole);
    let again = if asked.is_old { "You have asked for exactly this already. " } else { "" };
    let shown = match request.places.len() {
        0 => "No channel is known where it could be shown: who decides finds it by `requests`.",
        1 => "Its card is in the channel where it is decided on.",
        _ => "Its card is in the channels where it is decided on.",
    };
    let details = button("Details", &format!("requests show {}", request.id));
    let back = button("Take back", &format!("cancel {}", request.handle()));
    let said =
        format!("{again}{sign} **Request {}** {standing}. {shown}\n\n{details} {back}", request.id);
    json(Said { id: request.id, said })
}

/// Which way is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    Open,
    Mine,
    All,
    Show,
    Ask,
    /// Somebody else decides.
    Delegate,
    /// Somebody looked at what was done without approval.
    Review,
    /// What nobody knew of ran.
    Ran,
    /// What nobody knew of did not run.
    Lost,
    /// What failed is tried again.
    Retry,
    Stop,
    Resume,
}

impl View {
    pub fn of(question: &Question<'_>) -> View {
        match question.call.get("view") {
            Some("mine") => View::Mine,
            Some("all") => View::All,
            Some("show") => View::Show,
            Some("ask") => View::Ask,
            Some("delegate") => View::Delegate,
            Some("review") => View::Review,
            Some("ran") => View::Ran,
            Some("lost") => View::Lost,
            Some("retry") => View::Retry,
            Some("stop") => View::Stop,
            Some("resume") => View::Resume,
            _ => View::Open,
        }
    }
}

/// All words after the view: where no request is meant, the first of them is no number.
///
/// # Errors
/// Very much.
pub fn all_words(question: &Question<'_>) -> std::result::Result<Option<String>, Refusal> {
    let first = question.call.get("request").unwrap_or_default();
    let rest = question.call.get("note").unwrap_or_default();
    crate::scorecards::exemption::said("note", &format!("{first} {rest}"))
}

/// That nothing is begun any more, or that it is again.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn stopped(is_stopped: bool) -> Result<Value> {
    let said = match is_stopped {
        true => format!(
            "🛑 **Nothing is begun any more**, by no process, until an admin lets it. What runs goes on. {}",
            button("Let it begin again", "requests resume")
        ),
        false => "▶️ What is approved is begun again.".to_string(),
    };
    json(Said { id: 0, said })
}

/// How `whole` stands now, after what was just said to it.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn decided(whole: &Whole) -> Result<Value> {
    let (sign, standing) = say::standing(whole);
    json(Said {
        id: whole.request.id,
        said: format!("{sign} **Request {}**: {standing}.", whole.request.id),
    })
}

/// That `to` decides on `whole` in place of whoever asked for that.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn handed_on(whole: &Whole, to: &Entity, snapshot: &Snapshot) -> Result<Value> {
    let who = Untrusted::from(label(&to.reference, snapshot).as_str()).to_markdown();
    let id = whole.request.id;
    let said = format!(
        "↪️ **{who}** decides on request {id} in your place, and was told. Your no still counts."
    );
    json(Said { id, said })
}

/// What of `found` whoever asks may `verb`, with a button each.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn undecided(
    question: &Question<'_>,
    actions: &ActionSet,
    found: &[Whole],
    verb: &str,
) -> Result<Value> {
    let plain = |text: &str| Untrusted::from(text).to_markdown();
    let line = |whole: &Whole| {
        let request = &whole.request;
        let title = actions.find(&request.action).map_or(&request.action, |it| &it.title);
        let target = request.target.as_ref();
        let of = target.map(|it| format!(" of {}", plain(&label(it, question.snapshot))));
        let (sign, standing) = say::standing(whole);
        // What its card asks more of is asked by its own buttons.
        let show = button("Details", &format!("requests show {}", request.id));
        format!(
            "- {sign} **{}** {}{}: {standing} {show}",
            request.id,
            plain(title),
            of.unwrap_or_default()
        )
    };
    let lines: Vec<String> = found.iter().take(PAGE_ROWS).map(line).collect();
    let said = match (lines.is_empty(), verb) {
        (true, "cancel") => "You have asked for nothing that could be taken back.".to_string(),
        (true, _) => "Nothing waits for a decision of yours.".to_string(),
        (false, _) => lines.join("\n"),
    };
    json(Said { id: 0, said })
}

/// `said` about the request `id`.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn told(id: i64, said: String) -> Result<Value> {
    json(Said { id, said })
}

/// `found` as a page of `total`.
///
/// # Errors
/// A fault when the answer is no JSON.
pub fn requests(
    question: &Question<'_>,
    actions: &ActionSet,
    found: &[Whole],
    total: usize,
) -> Result<Value> {
    let row = |whole: &'_ Whole| {
        let request = &whole.request;
        let (sign, standing) = say::standing(whole);
        let action = actions.find(&request.action);
        RequestRow {
            id: request.id,
            title: action.map_or("", |it| it.title.as_str()),
            target: request.target.as_ref().map(|it| label(it, question.snapshot)),
            requester: label(&request.requester, question.snapshot),
            requested_at: request.requested_at,
            sign,
            standing,
        }
    };
    let mut rows: Vec<RequestRow<'_>> = found.iter().map(row).collect();
    for (row, whole) in rows.iter_mut().zip(found) {
        if row.title.is_empty() {
            row.title = &whole.request.action;
        }
    }
    json(Requests { total, requests: rows, page: Page::of(&question.call, question.page(), total) })
}

/// From which row on a page lists.
pub fn offset(question: &Question<'_>) -> i64 {
    i64::try_from((question.page() - 1).saturating_mul(PAGE_ROWS)).unwrap_or(i64::MAX)
}

/// Whom `question` names first in its words, a User, and the words after that.
///
/// # Errors
/// Nobody; a name that nobody has; very much.
pub fn delegate<'a>(question: &Question<'a>) -> Result<(&'a Entity, Option<String>)> {
    let words = question.call.get("note").ok_or_else(|| missing(question, "note"))?.trim();
    let (name, why) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
    let user = question.resolve("note", name.trim_start_matches('@'), &["user"])?;
    Ok((user, crate::scorecards::exemption::said("note", why)?))
}

/// The number of the request that `question` names.
///
/// # Errors
/// None was named, or it is no number.
pub fn number(question: &Question<'_>) -> Result<i64> {
    let typed = question.call.get("request").ok_or_else(|| missing(question, "request"))?;
    Ok(crate::actions::handle(typed)?.0)
}

/// What is said with a decision; `None` for nothing.
///
/// # Errors
/// Very much.
pub fn note(question: &Question<'_>, name: &str) -> std::result::Result<Option<String>, Refusal> {
    crate::scorecards::exemption::said(name, question.call.get(name).unwrap_or_default())
}

/// The Markdown of ours that an answer brings along, which stands in it as it is.
pub fn words(answer: &Value) -> Option<&str> {
    answer.get("said")?.as_str()
}
