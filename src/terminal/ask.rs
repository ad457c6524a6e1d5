//! `idp ask`: one question, one answer.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use serde_json::{Value, json};

use super::arguments::{AnswerFormat, Ask};
use super::render;
use super::running::{NoCatalog, Running, WithoutCatalog};
use super::setup::{self, Usage};
use crate::catalog::EntityRef;
use crate::catalog::snapshot::Unread;
use crate::chat::slack;
use crate::commands::resolve;
use crate::config::Config;
use crate::conversation::{Address, Invocation, Platform, Reply, Speaker, Way};
use crate::pictures::Drawing;

/// Prints the answer; fails when it is a refusal.
pub async fn run(config: &Config, install: bool, ask: Ask) -> anyhow::Result<ExitCode> {
    let asker = ask.asker.as_deref().map(user).transpose()?;
    let dir = setup::portal_dir(config, ask.portal.as_deref())?;
    let running = match Running::open(config, &dir, install, WithoutCatalog::Fail).await {
        Ok(running) => running,
        Err(error) => {
            // A program gets its refusal, a person the reason.
            if error.is::<NoCatalog>() && ask.format != AnswerFormat::Text {
                print(ask.format, &resolve::unread(Unread::NoAnswer).to_reply())?;
            }
            return Err(error);
        }
    };
    running.import_first().await?;
    let reply = running.app.answer(Way::Command, typed(&words(&ask.words), asker.as_ref())).await;
    running.close().await?;
    print(ask.format, &reply)?;
    if let Some(file) = &ask.picture {
        write_picture(file, &reply)?;
    }
    Ok(if reply.refusal.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes the picture of `reply` to `file`; a refusal has said already why there is none.
fn write_picture(file: &Path, reply: &Reply) -> anyhow::Result<()> {
    match Drawing::of(&reply.answer) {
        Some(drawing) => std::fs::write(file, &drawing.draw()?.png)
            .with_context(|| format!("could not write the picture to {}", file.display())),
        None if reply.refusal.is_some() => Ok(()),
        None => anyhow::bail!("this answer has no picture; `idp ask graph payment-api` has one"),
    }
}

fn print(format: AnswerFormat, reply: &Reply) -> anyhow::Result<()> {
    match format {
        AnswerFormat::Text => super::print(&render::for_standard_output(reply)),
        AnswerFormat::Json => super::print_json(&as_json(reply)),
        AnswerFormat::Slack => super::print_json(&slack::outbound::Message::of(reply)),
    }
}

/// The User that `text` names.
fn user(text: &str) -> anyhow::Result<EntityRef> {
    let user = EntityRef::parse(text, Some("user"), "default");
    Ok(user.map_err(|error| Usage(format!("--as names a User of the catalog: {error}")))?)
}

/// What someone typed in the terminal, as they would have in chat.
pub fn typed(text: &str, asker: Option<&EntityRef>) -> Invocation {
    Invocation {
        speaker: Speaker {
            platform: Platform::Terminal,
            tenant: String::new(),
            user_id: asker.map(EntityRef::to_string).unwrap_or_default(),
        },
        address: Address {
            platform: Platform::Terminal,
            tenant: String::new(),
            channel_id: "terminal".into(),
            channel_name: None,
            thread: None,
        },
        text: text.to_string(),
    }
}

/// One line again: a word that the shell had in quotes gets them back, unless it is all there is.
fn words(words: &[String]) -> String {
    match words {
        [question] => question.clone(),
        several => {
            let quoted = several.iter().map(|word| match word.contains(char::is_whitespace) {
                true => format!("\"{word}\""),
                false => word.clone(),
            });
            quoted.collect::<Vec<_>>().join(" ")
        }
    }
}

fn as_json(reply: &Reply) -> Value {
    match &reply.refusal {
        Some(refused) => json!({
            "refusal": refused.code,
            "message": refused.message,
            "suggestions": refused.suggestions,
        }),
        None => json!({
            "command": reply.command,
            "arguments": reply.arguments,
            "answer": reply.answer,
            "markdown": reply.markdown,
            "age_s": reply.age_s,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_the_shell_had_in_quotes_get_them_back() {
        let words =
            |typed: &[&str]| words(&typed.iter().map(|it| it.to_string()).collect::<Vec<_>>());
        assert_eq!(words(&["who owns payment-api?"]), "who owns payment-api?");
        assert_eq!(words(&["owner", "Payment API"]), "owner \"Payment API\"");
        assert_eq!(words(&["find", "pay", "--kind", "api"]), "find pay --kind api");
    }
}
