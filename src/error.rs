//! Why something asked for was not done.

use crate::conversation::{Refused, Reply, Untrusted, button, form_button};

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The person can put it right. They read the message as it is.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// Ours to put right. The log gets the whole chain, the person a reference to it.
    #[error(transparent)]
    Fault(#[from] anyhow::Error),
}

/// So many choices a sentence names; the rest are below it.
const LISTED_MAX: usize = 5;

/// Each message says what was wrong and, where there is one, the next step.
///
/// `Display` is plain text for programs and logs; [`Refusal::to_markdown`] is what people read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("There is no command `{name}`.{}", did_you_mean(closest))]
    UnknownCommand { name: String, closest: Vec<String> },

    /// `instead` are the whole commands to type, one for each of `closest`.
    #[error("There is no {what} `{name}`.{}", did_you_mean(closest))]
    UnknownEntity { what: String, name: String, closest: Vec<String>, instead: Vec<String> },

    #[error("`{name}` could be any of {}. Choose one.", list(choices))]
    Ambiguous { name: String, choices: Vec<String>, instead: Vec<String> },

    /// `given` are the words of what was given: the beginning of the call.
    #[error("`{usage}` needs `<{missing}>`.")]
    MissingArgument { usage: String, missing: String, given: String },

    #[error("`{usage}` does not take `{extra}`.")]
    UnexpectedArgument { usage: String, extra: String },

    #[error("`{value}` is not a valid `{argument}`: {expected}.")]
    InvalidArgument { argument: String, value: String, expected: String },

    #[error(
        "I did not understand `{text}`.{} Type `help` for what I can answer.",
        did_you_mean(closest)
    )]
    NotUnderstood { text: String, closest: Vec<String> },

    /// `instead` are the owners of what words of the message may be meant as.
    #[error(
        "This message has no whole name that the catalog knows, and the channel belongs to nothing in it. \
         Type `find` and a word of it."
    )]
    NothingNamed { instead: Vec<String> },

    /// A button, select or form that this version of the program does not know.
    #[error("This is of another version of idp: nothing happened. Ask again, or type `help`.")]
    Outdated,

    #[error("{what} cannot be asked right now: {why}. {next}")]
    Unavailable { what: String, why: String, next: String },

    /// `rule` says what refused, `next` who could allow it; `instead` are commands that help.
    #[error("{rule} {next}")]
    NotAllowed { rule: String, next: String, instead: Vec<String> },
}

fn list(words: &[String]) -> String {
    let shown = words.iter().take(LISTED_MAX).map(|word| format!("`{word}`"));
    let shown = shown.collect::<Vec<String>>().join(", ");
    match words.len().saturating_sub(LISTED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn did_you_mean(closest: &[String]) -> String {
    if closest.is_empty() {
        return String::new();
    }
    let quoted: Vec<String> = closest.iter().map(|name| format!("`{name}`")).collect();
    format!(" Did you mean {}?", quoted.join(" or "))
}

impl Refusal {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::UnknownCommand { .. } => "unknown_command",
            Refusal::UnknownEntity { .. } => "unknown_entity",
            Refusal::Ambiguous { .. } => "ambiguous",
            Refusal::MissingArgument { .. } => "missing_argument",
            Refusal::UnexpectedArgument { .. } => "unexpected_argument",
            Refusal::InvalidArgument { .. } => "invalid_argument",
            Refusal::NotUnderstood { .. } => "not_understood",
            Refusal::NothingNamed { .. } => "nothing_named",
            Refusal::Outdated => "outdated",
            Refusal::Unavailable { .. } => "unavailable",
            Refusal::NotAllowed { .. } => "not_allowed",
        }
    }

    /// Words to type instead, best first.
    pub fn suggestions(&self) -> Vec<String> {
        match self {
            Refusal::UnknownEntity { instead, .. }
            | Refusal::Ambiguous { instead, .. }
            | Refusal::NothingNamed { instead }
            | Refusal::NotAllowed { instead, .. } => instead.clone(),
            Refusal::UnknownCommand { closest, .. } | Refusal::NotUnderstood { closest, .. } => {
                closest.clone()
            }
            _ => Vec::new(),
        }
    }

    /// The value that it is about, or the name of the argument that was left out.
    fn blamed(&self) -> Option<&str> {
        match self {
            Refusal::UnknownEntity { name, .. } | Refusal::Ambiguous { name, .. } => Some(name),
            Refusal::MissingArgument { missing, .. } => Some(missing),
            Refusal::UnexpectedArgument { extra, .. } => Some(extra),
            Refusal::InvalidArgument { value, .. } => Some(value),
            _ => None,
        }
    }

    /// What the person reads, with the words to type instead, or the form to fill in, as buttons.
    pub fn to_reply(&self) -> Reply {
        let suggestions = self.suggestions();
        let mut buttons: Vec<String> =
            suggestions.iter().map(|words| button(words, words)).collect();
        if let Refusal::MissingArgument { given, .. } = self {
            buttons.push(form_button("Fill in", given));
        }
        let markdown = match buttons.is_empty() {
            true => self.to_markdown(),
            false => format!("{}\n\n{}", self.to_markdown(), buttons.join(" ")),
        };
        Reply {
            markdown,
            refusal: Some(Refused {
                code: self.code().to_string(),
                message: self.to_string(),
                suggestions,
                blamed: self.blamed().map(str::to_string),
            }),
            ..Reply::default()
        }
    }

    /// The message with everything in it literal.
    pub fn to_markdown(&self) -> String {
        Untrusted::from(self.to_string().as_str()).to_markdown()
    }
}

impl Error {
    /// What the person reads. A fault is logged here, once, with the reference they are given.
    pub fn into_reply(self) -> Reply {
        match self {
            Error::Refusal(refusal) => refusal.to_reply(),
            Error::Fault(fault) => {
                let reference = reference();
                tracing::error!(reference, error = format!("{fault:#}"), "could not answer");
                let refusal = Refusal::Unavailable {
                    what: "This".into(),
                    why: "something broke on our side".into(),
                    next: format!("Tell the platform team the reference {reference}."),
                };
                refusal.to_reply()
            }
        }
    }
}

/// Short enough to read out, long enough to find in a day's log.
fn reference() -> String {
    let since_1970 =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{:06x}", since_1970.as_micros() & 0xff_ffff)
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Error::Fault(anyhow::Error::new(error).context("database"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_next_step() {
        let refusal = Refusal::UnknownEntity {
            what: "service".into(),
            name: "paymnt-api".into(),
            closest: vec!["payment-api".into()],
            instead: vec!["owner payment-api".into()],
        };
        assert_eq!(
            refusal.to_string(),
            "There is no service `paymnt-api`. Did you mean `payment-api`?"
        );
        assert_eq!(refusal.suggestions(), ["owner payment-api"]);
    }

    #[test]
    fn a_fault_tells_the_person_nothing_about_our_insides() {
        let said = Error::Fault(anyhow::anyhow!("password=hunter2 refused")).into_reply();
        assert!(!said.markdown.contains("hunter2"), "{}", said.markdown);
    }
}
