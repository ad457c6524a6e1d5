//! Why something asked for was not done.

use std::fmt::{self, Display, Formatter};

use crate::conversation::{self, Refused, Reply, Untrusted, button, form_button};

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    UnknownCommand {
        name: String,
        closest: Vec<String>,
    },

    /// `instead` are the whole commands to type, one for each of `closest`.
    UnknownEntity {
        what: String,
        name: String,
        closest: Vec<String>,
        instead: Vec<String>,
    },

    Ambiguous {
        name: String,
        choices: Vec<String>,
        instead: Vec<String>,
    },

    /// `given` are the words of what was given: the beginning of the call.
    MissingArgument {
        usage: String,
        missing: String,
        given: String,
    },

    UnexpectedArgument {
        usage: String,
        extra: String,
    },

    /// In `expected`, and in the texts of those below, names stand between backticks.
    InvalidArgument {
        argument: String,
        value: String,
        expected: String,
    },

    NotUnderstood {
        text: String,
        closest: Vec<String>,
    },

    /// `instead` are the owners of what words of the message may be meant as.
    NothingNamed {
        instead: Vec<String>,
    },

    /// A button, select or form that this version of the program does not know.
    Outdated,

    /// A click or a form that nobody answered for so long that it does not count any more.
    Missed,

    Unavailable {
        what: String,
        why: String,
        next: String,
    },

    /// `why` says how it came to be so; `instead` are commands that help.
    Settled {
        what: String,
        why: String,
        instead: Vec<String>,
    },

    /// `rule` says what refused, `next` who could allow it; `instead` are commands that help.
    NotAllowed {
        rule: String,
        next: String,
        instead: Vec<String>,
    },
}

impl std::error::Error for Refusal {}

impl Display for Refusal {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(&self.sentence(PLAIN))
    }
}

/// How what is not a word of ours stands in a sentence.
#[derive(Clone, Copy)]
struct Pen {
    /// A name, or what somebody typed.
    name: fn(&str) -> String,
    /// A text in which names stand between backticks.
    text: fn(&str) -> String,
}

const PLAIN: Pen = Pen { name: |name| format!("`{name}`"), text: str::to_string };

const MARKDOWN: Pen =
    Pen { name: |name| Untrusted::from(name).to_code(), text: conversation::prose };

impl Pen {
    fn list(self, names: &[String]) -> String {
        let shown = names.iter().take(LISTED_MAX).map(|name| (self.name)(name));
        let shown = shown.collect::<Vec<String>>().join(", ");
        match names.len().saturating_sub(LISTED_MAX) {
            0 => shown,
            more => format!("{shown} and {more} more"),
        }
    }

    fn did_you_mean(self, closest: &[String]) -> String {
        if closest.is_empty() {
            return String::new();
        }
        let names: Vec<String> = closest.iter().map(|name| (self.name)(name)).collect();
        format!(" Did you mean {}?", names.join(" or "))
    }
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
            Refusal::Missed => "missed",
            Refusal::Unavailable { .. } => "unavailable",
            Refusal::Settled { .. } => "settled",
            Refusal::NotAllowed { .. } => "not_allowed",
        }
    }

    /// Words to type instead, best first.
    pub fn suggestions(&self) -> Vec<String> {
        match self {
            Refusal::UnknownEntity { instead, .. }
            | Refusal::Ambiguous { instead, .. }
            | Refusal::NothingNamed { instead }
            | Refusal::Settled { instead, .. }
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

    /// The message with names as code, and everything else in it literal.
    pub fn to_markdown(&self) -> String {
        self.sentence(MARKDOWN)
    }

    /// The one sentence of each refusal, as `pen` writes it.
    fn sentence(&self, pen: Pen) -> String {
        let Pen { name: code, text: told } = pen;
        match self {
            Refusal::UnknownCommand { name, closest } => {
                format!("There is no command {}.{}", code(name), pen.did_you_mean(closest))
            }
            Refusal::UnknownEntity { what, name, closest, .. } => {
                let closest = pen.did_you_mean(closest);
                format!("There is no {} {}.{closest}", told(what), code(name))
            }
            Refusal::Ambiguous { name, choices, .. } => {
                format!("{} could be any of {}. Choose one.", code(name), pen.list(choices))
            }
            Refusal::MissingArgument { usage, missing, .. } => {
                format!("{} needs {}.", code(usage), code(&format!("<{missing}>")))
            }
            Refusal::UnexpectedArgument { usage, extra } => {
                format!("{} does not take {}.", code(usage), code(extra))
            }
            Refusal::InvalidArgument { argument, value, expected } => {
                let (value, argument) = (code(value), code(argument));
                format!("{value} is not a valid {argument}: {}.", told(expected))
            }
            Refusal::NotUnderstood { text, closest } => format!(
                "I did not understand {}.{} Type {} for what I can answer.",
                code(text),
                pen.did_you_mean(closest),
                code("help")
            ),
            Refusal::NothingNamed { .. } => format!(
                "This message has no whole name that the catalog knows, and the channel belongs to \
                 nothing in it. Type {} and a word of it.",
                code("find")
            ),
            Refusal::Outdated => format!(
                "This is of another version of idp: nothing happened. Ask again, or type {}.",
                code("help")
            ),
            Refusal::Missed => {
                "You clicked while idp was away, and it was too late to do it when it came back. \
                 Unless you see here that it was done, nothing was: click again."
                    .to_string()
            }
            Refusal::Unavailable { what, why, next } => {
                let (what, why, next) = (told(what), told(why), told(next));
                format!("{what} cannot be asked right now: {why}. {next}")
            }
            Refusal::Settled { what, why, .. } => {
                format!("Nothing was done about {}: {}.", told(what), told(why))
            }
            Refusal::NotAllowed { rule, next, .. } => format!("{} {}", told(rule), told(next)),
        }
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
pub fn reference() -> String {
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
    fn names_are_code_and_what_others_wrote_is_only_that() {
        let unknown = |name: &str| Refusal::UnknownEntity {
            what: "service".into(),
            name: name.into(),
            closest: vec!["payment-api".into()],
            instead: Vec::new(),
        };
        assert_eq!(
            unknown("paymnt-api").to_markdown(),
            "There is no service `paymnt-api`. Did you mean `payment-api`?"
        );
        assert_eq!(
            unknown("a`b <!channel>").to_markdown(),
            "There is no service a\\`b \\<\\!channel\\>. Did you mean `payment-api`?"
        );
        let refusal = Refusal::NotAllowed {
            rule: "You may not: `access.guests` [a](https://evil.example) `b".into(),
            next: "Ask `group:default/platform`.".into(),
            instead: Vec::new(),
        };
        assert_eq!(
            refusal.to_markdown(),
            "You may not\\: `access.guests` \\[a\\]\\(https\\:\\/\\/evil\\.example\\) \\`b \
             Ask `group:default/platform`\\."
        );
        assert_eq!(
            refusal.to_string(),
            "You may not: `access.guests` [a](https://evil.example) `b Ask `group:default/platform`."
        );
    }

    #[test]
    fn a_sentence_names_few_choices() {
        let choices: Vec<String> = (0..7).map(|it| it.to_string()).collect();
        let ambiguous = Refusal::Ambiguous { name: "a".into(), choices, instead: Vec::new() };
        assert_eq!(
            ambiguous.to_string(),
            "`a` could be any of `0`, `1`, `2`, `3`, `4` and 2 more. Choose one."
        );
    }

    #[test]
    fn a_fault_tells_the_person_nothing_about_our_insides() {
        let said = Error::Fault(anyhow::anyhow!("password=hunter2 refused")).into_reply();
        assert!(!said.markdown.contains("hunter2"), "{}", said.markdown);
    }
}
