//! What somebody says of an answer: whether it helped, and what was wrong.

use serde::Serialize;
use serde_json::Value;

use super::{BuiltIn, Named, json, related};
use crate::access::Verb;
use crate::catalog::snapshot::Resolution;
use crate::catalog::{Entity, RelationKind};
use crate::commands::file::{ArgumentKind, Lookup};
use crate::commands::parse::{Call, parse, quoted, shortened};
use crate::commands::resolve::{self, Question};
use crate::error::{Refusal, Result};
use crate::usage::Who;
use crate::usage::feedback::{COMMENT_CHARACTERS_MAX, Feedback, comment};

const HELPFUL: &str = "helpful";

#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    pub helpful: bool,
    /// The command whose answer it is about.
    pub command: &'a str,
    /// What that was about; `None` for nothing in particular.
    pub entity: Option<Named<'a>>,
    /// Whose it is.
    pub owners: Vec<Named<'a>>,
}

/// The words that begin to say whether the answer to `question` helped; `None` where that is not asked: below what is
/// not about the catalog, and where the portal has a `feedback` of its own.
pub fn words(question: &Question<'_>) -> Option<String> {
    let Question { commands, call, snapshot, .. } = question;
    let command = commands.find("feedback")?;
    let is_ours = command.lookup == Lookup::BuiltIn(BuiltIn::Feedback);
    let lookup = &call.command.lookup;
    let is_asked = lookup.verb() == Verb::Read && *lookup != Lookup::BuiltIn(BuiltIn::Help);
    let entity = subject(question, call).map(|entity| resolve::words(snapshot, entity));
    let about = match entity {
        Some(entity) => format!("{} {}", call.command.name, quoted(&entity)),
        None => call.command.name.clone(),
    };
    (is_ours && is_asked).then(|| format!("{} {}", command.name, quoted(&about)))
}

/// What is said, and the entity that it is about.
///
/// # Errors
/// What was not asked of any command; a comment that is too long.
pub fn said<'a>(question: &Question<'a>) -> Result<(Feedback, Option<&'a Entity>)> {
    let about = question.call.get("about").unwrap_or_default();
    let invalid = |argument: &str, value: &str, expected: String| Refusal::InvalidArgument {
        argument: argument.into(),
        value: shortened(value),
        expected,
    };
    let call = parse(question.commands, question.snapshot, about).map_err(|_| {
        invalid("question", about, "it is what was asked, such as `owner payment-api`".into())
    })?;
    let written = question.call.get("comment").unwrap_or_default();
    let comment = comment(written).ok_or_else(|| {
        let expected = format!("it takes at most {COMMENT_CHARACTERS_MAX} characters");
        invalid("comment", written, expected)
    })?;
    let entity = subject(question, &call);
    let feedback = Feedback {
        who: Who::of(question.person),
        platform: question.person.speaker.platform,
        command: call.command.name.clone(),
        entity: entity.map(|it| it.reference.to_string()).unwrap_or_default(),
        helpful: question.call.get("verdict") == Some(HELPFUL),
        comment,
    };
    Ok((feedback, entity))
}

/// The first of what the `call` is about that the catalog knows.
fn subject<'a>(question: &Question<'a>, call: &Call<'_>) -> Option<&'a Entity> {
    let names = call.command.arguments.iter().filter_map(|argument| {
        let kinds: &[&str] = match argument.kind {
            ArgumentKind::Entity => &[],
            ArgumentKind::Team => &["group"],
            ArgumentKind::User => &["user"],
            _ => return None,
        };
        Some((call.get(&argument.name)?, kinds))
    });
    names.into_iter().find_map(|(name, kinds)| match question.snapshot.resolve(name, kinds) {
        Resolution::One(entity) => Some(entity),
        Resolution::Several(_) | Resolution::Unknown(_) => None,
    })
}

/// # Errors
/// A fault when the answer is no JSON.
pub fn answer(
    question: &Question<'_>,
    feedback: &Feedback,
    entity: Option<&Entity>,
) -> Result<Value> {
    let snapshot = question.snapshot;
    json(Answer {
        helpful: feedback.helpful,
        command: &feedback.command,
        owners: entity.map(|it| related(snapshot, it, RelationKind::OwnedBy)).unwrap_or_default(),
        entity: entity.map(|it| Named::entity(snapshot, it)),
    })
}
