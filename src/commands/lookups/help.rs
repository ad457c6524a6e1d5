//! What can be asked, and how.

use serde::Serialize;
use serde_json::Value;

use super::json;
use crate::commands::file::{ArgumentKind, Command, Presence};
use crate::commands::parse::shortened;
use crate::commands::resolve::Question;
use crate::error::{Refusal, Result};

/// The most commands that are offered instead of one that is not there.
const CLOSEST_MAX: usize = 3;

#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    /// All of them, by name; empty when one was asked for.
    pub commands: Vec<Line<'a>>,
    pub command: Option<Card<'a>>,
}

#[derive(Debug, Serialize)]
pub struct Line<'a> {
    pub name: &'a str,
    pub usage: String,
    pub summary: &'a str,
    /// How one would say it; `None` without examples.
    pub example: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub struct Card<'a> {
    pub name: &'a str,
    pub usage: String,
    pub summary: &'a str,
    pub arguments: Vec<Argument<'a>>,
    pub options: Vec<&'static str>,
    pub examples: Vec<&'a str>,
    /// Whether only who asked sees the answer.
    pub only_asker: bool,
}

#[derive(Debug, Serialize)]
pub struct Argument<'a> {
    pub name: &'a str,
    /// `entity`, `number`, `one of a, b`.
    #[serde(rename = "type")]
    pub kind: String,
    pub required: bool,
    /// What is meant without it.
    pub default: Option<&'a str>,
}

/// # Errors
/// A command that does not exist, with the closest.
pub fn look_up(question: &Question<'_>) -> Result<Value> {
    let commands = question.commands;
    let Some(name) = question.call.get("command") else {
        return json(Answer { commands: commands.iter().map(line).collect(), command: None });
    };
    let name = name.trim().to_lowercase();
    match commands.find(&name) {
        Some(command) => json(Answer { commands: Vec::new(), command: Some(card(command)) }),
        None => {
            let mut names: Vec<&str> = commands.iter().map(|it| it.name.as_str()).collect();
            names.sort_by(|a, b| {
                strsim::jaro_winkler(&name, b).total_cmp(&strsim::jaro_winkler(&name, a))
            });
            let closest = names.iter().take(CLOSEST_MAX).map(|it| format!("help {it}")).collect();
            Err(Refusal::UnknownCommand { name: shortened(&name), closest }.into())
        }
    }
}

fn line(command: &Command) -> Line<'_> {
    Line {
        name: &command.name,
        usage: command.usage(),
        summary: &command.summary,
        example: command.examples.first().map(|example| example.say.as_str()),
    }
}

fn card(command: &Command) -> Card<'_> {
    let arguments = command.arguments.iter().map(|argument| Argument {
        name: &argument.name,
        kind: match &argument.kind {
            ArgumentKind::Entity => "entity".into(),
            ArgumentKind::Team => "team".into(),
            ArgumentKind::User => "user".into(),
            ArgumentKind::Kind => "kind".into(),
            ArgumentKind::Command => "command".into(),
            ArgumentKind::Action => "action".into(),
            ArgumentKind::Text => "text".into(),
            ArgumentKind::Number => "number".into(),
            ArgumentKind::Choice(choices) => format!("one of {}", choices.join(", ")),
        },
        required: argument.presence == Presence::Required,
        default: match &argument.presence {
            Presence::Default(value) => Some(value),
            Presence::OfChannel => Some("what this channel is for"),
            Presence::Required | Presence::Optional => None,
        },
    });
    Card {
        name: &command.name,
        usage: command.usage(),
        summary: &command.summary,
        arguments: arguments.collect(),
        options: command.options.iter().map(|option| option.word()).collect(),
        examples: command.examples.iter().map(|example| example.say.as_str()).collect(),
        only_asker: command.audience == crate::conversation::Audience::Asker,
    }
}
