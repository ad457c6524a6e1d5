//! The commands that Discord offers while people type: `/idp`, with a sub-command for each of the portal's; and the
//! one in the menu of every message.
//!
//! Source: <https://docs.discord.com/developers/interactions/application-commands#application-command-object>

use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::{Map, Value, json};
use serenity::builder::{CreateCommand, CreateCommandOption};
use serenity::model::application::{CommandOptionType, CommandType};

use super::dispatcher::{ASK, QUESTION};
use super::modal::CHOICE_CHARACTERS_MAX;
use crate::app::shortcut::SHORTCUT;
use crate::chat::layout::{cut, measure};
use crate::commands::CommandSet;
use crate::commands::file::{Argument, ArgumentKind, Command, Opt, Presence};

/// The one command, of which all others are sub-commands.
const NAME: &str = "idp";
const DESCRIPTION: &str = "Ask the developer portal";
const MORE_DESCRIPTION: &str = "What is asked for now and then";
pub const SUB_COMMANDS_MAX: usize = 25;
/// The group of what is asked for now and then: `/idp more facts`.
const MORE: &str = "more";
/// What stands in it: twenty-five are the most beside each other.
const NOW_AND_THEN: [&str; 8] =
    ["adoption", "alias", "exempt", "exemptions", "facts", "feedback", "history", "problems"];
pub const OPTIONS_MAX: usize = 25;
pub const CHOICES_MAX: usize = 25;
pub const DESCRIPTION_CHARACTERS_MAX: usize = 100;
/// Of all names, descriptions and values of a command with its sub-commands.
pub const COMMAND_CHARACTERS_MAX: usize = 8_000;

/// What Discord is to offer.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// The list of commands, as Discord takes it.
    pub commands: Value,
    /// The commands that found no place; they can still be asked by `/idp ask`.
    pub left_out: Vec<String>,
}

/// The registration of `commands`.
///
/// # Errors
/// None that a command can cause.
pub fn registration(commands: &CommandSet) -> anyhow::Result<Registration> {
    let (mut offered, mut more_of_them, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    let mut characters = NAME.len() + DESCRIPTION.len() + MORE.len() + MORE_DESCRIPTION.len();
    let ask = commands.find(ASK).is_none().then(ask);
    let named = commands.iter().map(|command| (command.name.as_str(), sub_command(command)));
    for (name, sub_command) in ask.map(|it| (ASK, it)).into_iter().chain(named) {
        let written = serde_json::to_value(&sub_command).context("could not write a command")?;
        let more = measure_all(&written);
        let is_rare = NOW_AND_THEN.contains(&name);
        let (group, most) = match is_rare {
            true => (&mut more_of_them, SUB_COMMANDS_MAX),
            // One place is the group's.
            false => (&mut offered, SUB_COMMANDS_MAX - 1),
        };
        if group.len() == most || characters + more > COMMAND_CHARACTERS_MAX {
            left_out.push(name.to_string());
            continue;
        }
        characters += more;
        group.push(sub_command);
    }
    if !more_of_them.is_empty() {
        let group = option(CommandOptionType::SubCommandGroup, MORE, MORE_DESCRIPTION, false);
        offered.push(more_of_them.into_iter().fold(group, CreateCommandOption::add_sub_option));
    }
    let command = CreateCommand::new(NAME).description(DESCRIPTION).set_options(offered);
    let shortcut = CreateCommand::new(SHORTCUT).kind(CommandType::Message);
    let commands = [command, shortcut];
    let commands = serde_json::to_value(commands).context("could not write the commands")?;
    Ok(Registration { commands, left_out })
}

/// How what Discord has, `found`, differs from the `wanted` commands, a sentence each; nothing where it does not.
pub fn differences(wanted: &Value, found: &Value) -> Vec<String> {
    let (wanted, found) = (told(wanted), told(found));
    let mut differences = Vec::new();
    for (name, command) in &wanted {
        match found.get(name) {
            None => differences.push(format!("`{name}` is missing.")),
            Some(found) if found != command => {
                differences.push(format!("`{name}` is not as the portal has it."));
            }
            Some(_) => {}
        }
    }
    let gone = found.keys().filter(|name| !wanted.contains_key(*name));
    differences.extend(gone.map(|name| format!("`{name}` is no command of the portal.")));
    differences
}

fn ask() -> CreateCommandOption {
    let question = option(CommandOptionType::String, QUESTION, "Who owns payment-api?", true);
    sub_command_of(ASK, "Ask in your own words", vec![question])
}

fn sub_command(command: &Command) -> CreateCommandOption {
    let is_required = |it: &&Argument| it.presence == Presence::Required;
    // Discord wants what is required first.
    let required = command.arguments.iter().filter(is_required);
    let others = command.arguments.iter().filter(|it| !is_required(it));
    let arguments = required.chain(others).map(argument);
    // A page is turned by its button.
    let narrowing = command.options.iter().filter(|it| **it != Opt::Page).map(|it| narrowing(*it));
    let options = arguments.chain(narrowing).take(OPTIONS_MAX);
    sub_command_of(&command.name, &command.summary, options.collect())
}

fn sub_command_of(
    name: &str,
    description: &str,
    options: Vec<CreateCommandOption>,
) -> CreateCommandOption {
    let sub_command = option(CommandOptionType::SubCommand, name, description, false);
    options.into_iter().fold(sub_command, CreateCommandOption::add_sub_option)
}

fn argument(argument: &Argument) -> CreateCommandOption {
    let (kind, description) = match &argument.kind {
        ArgumentKind::Entity => (CommandOptionType::String, "A name of the catalog"),
        ArgumentKind::Team => (CommandOptionType::String, "A team"),
        ArgumentKind::User => (CommandOptionType::String, "A person"),
        ArgumentKind::Kind => (CommandOptionType::String, "A kind of the catalog"),
        ArgumentKind::Command => (CommandOptionType::String, "A command"),
        ArgumentKind::Action => (CommandOptionType::String, "What is to be done"),
        ArgumentKind::Choice(_) => (CommandOptionType::String, "One of a few words"),
        ArgumentKind::Text => (CommandOptionType::String, "What to look for"),
        ArgumentKind::Number => (CommandOptionType::Number, "A number"),
    };
    let required = argument.presence == Presence::Required;
    let option = option(kind, &argument.name, description, required);
    match &argument.kind {
        ArgumentKind::Choice(choices) if are_listed(choices) => {
            choices.iter().fold(option, |option, it| option.add_string_choice(it, it))
        }
        ArgumentKind::Text | ArgumentKind::Number => option,
        _ => option.set_autocomplete(true),
    }
}

/// Whether Discord can list `choices`; others are suggested.
fn are_listed(choices: &[String]) -> bool {
    choices.len() <= CHOICES_MAX && choices.iter().all(|it| measure(it) <= CHOICE_CHARACTERS_MAX)
}

fn narrowing(narrowing: Opt) -> CreateCommandOption {
    let (kind, description) = match narrowing {
        Opt::Kind => (CommandOptionType::String, "Only of this kind"),
        Opt::Team => (CommandOptionType::String, "Only of this team"),
        Opt::Tier => (CommandOptionType::String, "Only of this tier"),
        Opt::Lifecycle => (CommandOptionType::String, "Only of this lifecycle"),
        Opt::Type => (CommandOptionType::String, "Only of this type"),
        Opt::Tag => (CommandOptionType::String, "Only with this tag"),
        Opt::Depth => (CommandOptionType::Integer, "How many steps away"),
        Opt::Page => (CommandOptionType::Integer, "Which page"),
    };
    let is_suggested = kind == CommandOptionType::String;
    option(kind, narrowing.word(), description, false).set_autocomplete(is_suggested)
}

fn option(
    kind: CommandOptionType,
    name: &str,
    description: &str,
    required: bool,
) -> CreateCommandOption {
    let (description, _) = cut(description, DESCRIPTION_CHARACTERS_MAX);
    // Discord takes no empty one.
    let description = if description.trim().is_empty() { name } else { &description };
    CreateCommandOption::new(kind, name, description).required(required)
}

/// The characters of all names, descriptions and values in `written`.
fn measure_all(written: &Value) -> usize {
    match written {
        Value::Array(parts) => parts.iter().map(measure_all).sum(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, part)| match (name.as_str(), part) {
                ("name" | "description" | "value", Value::String(text)) => measure(text),
                (_, part) => measure_all(part),
            })
            .sum(),
        _ => 0,
    }
}

/// Each command and sub-command by what people type, with what Discord shows of it.
fn told(commands: &Value) -> BTreeMap<String, Value> {
    let mut told = BTreeMap::new();
    for command in commands.as_array().into_iter().flatten() {
        let kind = command["type"].as_u64().unwrap_or(1);
        let is_typed = if kind == 1 { "/" } else { "" };
        let name = format!("{is_typed}{}", command["name"].as_str().unwrap_or_default());
        for option in command["options"].as_array().into_iter().flatten() {
            let sub_command = option["name"].as_str().unwrap_or_default();
            told.insert(format!("{name} {sub_command}"), looks(option));
        }
        // What stands in a menu has none; Discord says it is empty.
        let description = command["description"].as_str().unwrap_or_default();
        let of_its_own = json!({ "type": kind, "description": description });
        told.insert(name, of_its_own);
    }
    told
}

/// What an option looks like, without what is as it always is, which Discord leaves out.
fn looks(option: &Value) -> Value {
    let mut told = Map::new();
    for name in ["type", "name", "description", "required", "autocomplete"] {
        if !matches!(option[name], Value::Null | Value::Bool(false)) {
            told.insert(name.into(), option[name].clone());
        }
    }
    let list = |name: &str| option[name].as_array().into_iter().flatten();
    let choices = list("choices").map(|it| json!({ "name": it["name"], "value": it["value"] }));
    told.insert("choices".into(), choices.collect());
    told.insert("options".into(), list("options").map(looks).collect());
    told.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built_in() -> Registration {
        registration(&CommandSet::built_in()).unwrap()
    }

    #[test]
    fn each_command_is_a_sub_command_with_typed_options() {
        let Registration { commands, left_out } = built_in();
        assert_eq!((commands.as_array().unwrap().len(), left_out), (2, Vec::new()));
        let offered = commands[0]["options"].as_array().unwrap();
        let now_and_then = offered.iter().find(|it| it["name"] == MORE).unwrap();
        let now_and_then = now_and_then["options"].as_array().unwrap();
        // The group is one more, and the question in one's own words.
        let all = offered.len() - 1 + now_and_then.len();
        assert_eq!(all, CommandSet::built_in().iter().count() + 1);
        let find = |name: &str| offered.iter().find(|it| it["name"] == name).unwrap();
        let path = &find("path")["options"];
        assert_eq!((&path[0]["name"], &path[0]["required"]), (&json!("from"), &json!(true)));
        assert_eq!(path[0]["autocomplete"], true);
        let dependents = find("dependents")["options"].as_array().unwrap();
        let option = |name: &str| dependents.iter().find(|it| it["name"] == name);
        assert_eq!(option("depth").unwrap()["type"], 4);
        assert_eq!(option("page"), None);
        assert_eq!(find(ASK)["options"][0]["name"], QUESTION);
        assert_eq!((&commands[1]["type"], &commands[1]["name"]), (&json!(3), &json!(SHORTCUT)));
    }

    #[test]
    fn what_finds_no_place_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..40 {
            let text = format!(
                "name: own-{number}\nsummary: {}\nlookup: help\ntemplate: x\n",
                "s".repeat(300)
            );
            std::fs::write(dir.path().join(format!("{number}.yaml")), text).unwrap();
        }
        let (commands, problems) = CommandSet::load(dir.path());
        assert!(problems.is_empty(), "{problems:?}");
        let Registration { commands: written, left_out } = registration(&commands).unwrap();
        let offered = written[0]["options"].as_array().unwrap();
        assert!(
            offered.len() <= SUB_COMMANDS_MAX && measure_all(&written) <= COMMAND_CHARACTERS_MAX
        );
        let group = offered.iter().find(|it| it["name"] == MORE).unwrap();
        let inside = group["options"].as_array().unwrap().len();
        assert_eq!(offered.len() - 1 + inside + left_out.len(), commands.iter().count() + 1);
        let is_within = |it: &Value| measure(it["description"].as_str().unwrap()) <= 100;
        assert!(offered.iter().all(is_within));
    }

    #[test]
    fn a_difference_is_told_by_what_people_type() {
        let Registration { commands: wanted, .. } = built_in();
        assert_eq!(differences(&wanted, &wanted), [""; 0]);
        let missing = differences(&wanted, &json!([]));
        assert!(missing.contains(&"`/idp owner` is missing.".to_string()), "{missing:?}");
        let mut found = wanted.clone();
        found[0]["options"][1]["description"] = json!("Something else");
        found[0]["options"].as_array_mut().unwrap().push(json!({ "name": "old", "type": 1 }));
        let told = differences(&wanted, &found);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].ends_with("is not as the portal has it."), "{told:?}");
        assert_eq!(told[1], "`/idp old` is no command of the portal.");
    }
}
