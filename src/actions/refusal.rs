//! Why something is not asked for, decided or taken back, and what to do then.

use chrono::{DateTime, Utc};

use super::flow::WAITING_MAX;
use super::rule::Meant;
use super::{Action, Request, Whole, clock, intent, say};
use crate::access::Person;
use crate::error::{Error, Refusal};

pub(super) fn may_break_glass(
    action: &Action,
    person: &Person,
) -> std::result::Result<(), Refusal> {
    if action.break_glass.iter().any(|it| person.is(it)) {
        return Ok(());
    }
    let may: Vec<String> = action.break_glass.iter().map(|it| format!("`{it}`")).collect();
    Err(Refusal::NotAllowed {
        rule: format!("You may not do `{}` without approval.", action.name),
        next: match may.is_empty() {
            true => "Its file says `break_glass` for nobody.".into(),
            false => format!("Its file lets these: {}.", may.join(", ")),
        },
        instead: vec![format!("run {}", action.name)],
    })
}

pub(super) fn must_be_meant(
    request: &Request,
    digits: Option<&str>,
) -> std::result::Result<(), Refusal> {
    let shown = intent::shown(&request.intent);
    match digits {
        Some(digits) if digits != shown => Err(request.settled(
            "the card was of something else: look at the request and decide again".to_string(),
        )),
        _ => Ok(()),
    }
}

pub(super) fn frozen(action: &Action, why: &str, until: DateTime<Utc>) -> Refusal {
    Refusal::NotAllowed {
        rule: format!(
            "`{}` is frozen until {}: {}.",
            action.name,
            clock(until),
            why.replace('`', "'")
        ),
        next: match action.break_glass.is_empty() {
            true => "Ask again then.".into(),
            false => "Ask again then, or have it done without approval by who may.".into(),
        },
        instead: Vec::new(),
    }
}

pub(super) fn nobody_could(action: &Action, meant: &Meant) -> Refusal {
    let missing = action.rule.factors.iter().zip(&meant.0).find(|(_, who)| who.is_empty());
    let why = match missing {
        Some((factor, _)) => format!("it takes {}, and there is nobody", say::kind_of(factor)),
        None => "there are too few people besides you".to_string(),
    };
    Refusal::NotAllowed {
        rule: format!("Nobody could approve `{}` for you: {why}.", action.name),
        next: "Give the target an owner or a rota, or change who approves in the action's file."
            .into(),
        instead: Vec::new(),
    }
}

pub(super) fn too_many() -> Refusal {
    Refusal::NotAllowed {
        rule: format!("{WAITING_MAX} requests of yours wait for a decision."),
        next: "Take some back, or ask those whom they name.".into(),
        instead: vec!["requests mine".into()],
    }
}

pub(super) fn cooling(action: &Action, left_s: f64) -> Refusal {
    let minutes = (left_s / 60.0).ceil();
    Refusal::NotAllowed {
        rule: format!("`{}` was done to this a moment ago.", action.name),
        next: format!("Ask again in {minutes} min."),
        instead: Vec::new(),
    }
}

pub(super) fn begun(whole: &Whole) -> Refusal {
    let (_, standing) = say::standing(whole);
    whole.request.settled(format!("it cannot be taken back any more: {standing}"))
}

pub(super) fn not_opened(request: &Request) -> Refusal {
    Refusal::NotAllowed {
        rule: format!("The card of request {} does not show all of it.", request.id),
        next: "Open it, then approve.".into(),
        instead: vec![format!("requests show {}", request.id)],
    }
}

pub(super) fn no_reason(request: &Request) -> Refusal {
    Refusal::MissingArgument {
        usage: "deny <request> <reason>…".into(),
        missing: "reason".into(),
        given: format!("deny {}", request.handle()),
    }
}

pub(super) fn not_typed(request: &Request, name: &str) -> Refusal {
    Refusal::MissingArgument {
        usage: format!("approve {} {name}", request.id),
        missing: "confirm".into(),
        given: format!("approve {}", request.handle()),
    }
}

pub(super) fn no_code(request: &Request, name: &str) -> Refusal {
    Refusal::MissingArgument {
        usage: format!("approve {} {name} <code>", request.id),
        missing: "code".into(),
        given: format!("approve {} {name}", request.handle()),
    }
}

/// That what people may changed a moment ago.
pub fn stale() -> Error {
    Error::Refusal(Refusal::Unavailable {
        what: "Who may decide".into(),
        why: "the catalog or the links changed a moment ago".into(),
        next: "Nothing was done: click again.".into(),
    })
}
