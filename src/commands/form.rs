//! A form for what a command still needs.

use super::file::{Argument, ArgumentKind, Command, Opt, Presence};
use super::parse::Call;
use crate::access::Permit;
use crate::conversation::{Field, Form, Input};

/// The most fields of one form. A Discord modal has five.
const FIELDS_MAX: usize = 5;
/// The most choices that a field lists; longer lists are suggested from. Discord and Slack both show this many.
const CHOICES_MAX: usize = 25;

/// The form of `call`'s command for whoever has the `permit`, with what the call has filled in; `None` where there is nothing to ask.
///
/// Arguments come first, then options as far as there is room.
pub fn form(permit: Permit<'_>, call: &Call<'_>) -> Option<Form> {
    let command = call.command;
    permit.assert_for(command.lookup.verb());
    let value = |name: &str| call.get(name).map(str::to_string);
    let arguments = command.arguments.iter().map(|argument| Field {
        name: argument.name.clone(),
        input: input(argument),
        required: argument.presence == Presence::Required,
        value: value(&argument.name),
    });
    // A page is turned, not asked for.
    let options = command.options.iter().filter(|option| **option != Opt::Page);
    let options = options.map(|option| Field {
        name: option.word().to_string(),
        input: if *option == Opt::Depth { Input::Text } else { Input::Suggested },
        required: false,
        value: value(option.word()),
    });
    let fields: Vec<Field> = arguments.chain(options).take(FIELDS_MAX).collect();
    let form = Form { command: command.name.clone(), title: command.summary.clone(), fields };
    (!form.fields.is_empty()).then_some(form)
}

/// The words that say what was filled into the form of `command`: names of fields with their values.
///
/// What the command has no field for is left out, and so is what is empty.
pub fn words(command: &Command, filled: &[(String, String)]) -> String {
    let mut call = Call::empty(command);
    for (name, value) in filled {
        let value = value.trim();
        if let Some(name) = command.parameter(name).filter(|_| !value.is_empty()) {
            call = call.with(name, value);
        }
    }
    call.words()
}

fn input(argument: &Argument) -> Input {
    match &argument.kind {
        ArgumentKind::Choice(choices) if choices.len() <= CHOICES_MAX => {
            Input::OneOf(choices.clone())
        }
        // What is looked for need not be a name.
        ArgumentKind::Text | ArgumentKind::Number => Input::Text,
        _ => Input::Suggested,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::authority::permitted;
    use crate::commands::CommandSet;
    use crate::commands::parse::begun;

    /// The form of `call` for who may ask it.
    fn form(call: &Call<'_>) -> Option<Form> {
        permitted(call.command.lookup.verb(), |permit| super::form(permit, call))
    }

    #[test]
    fn a_form_asks_for_what_the_words_leave_out() {
        let commands = CommandSet::built_in();
        let form = form(&begun(&commands, "path payment-api").unwrap()).unwrap();
        let asked: Vec<_> = form
            .fields
            .iter()
            .map(|it| (it.name.as_str(), it.value.as_deref(), it.required))
            .collect();
        assert_eq!(asked, [("from", Some("payment-api"), true), ("to", None, true)]);
        assert!(form.fields.iter().all(|field| field.input == Input::Suggested));
    }

    #[test]
    fn what_was_filled_in_is_said() {
        let commands = CommandSet::built_in();
        let filled = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
        };
        let path = commands.find("path").unwrap();
        let given = filled(&[("to", "the ledger"), ("from", " checkout "), ("other", "x")]);
        assert_eq!(words(path, &given), "path checkout \"the ledger\"");
        let dependents = commands.find("dependents").unwrap();
        let given = filled(&[("entity", "ledger"), ("tier", "1"), ("team", "")]);
        assert_eq!(words(dependents, &given), "dependents ledger --tier 1");
    }

    #[test]
    fn a_command_without_arguments_has_no_form() {
        let commands = CommandSet::built_in();
        assert_eq!(form(&begun(&commands, "whoami").unwrap()), None);
    }

    #[test]
    fn a_form_fits_every_platform() {
        let commands = CommandSet::built_in();
        for command in commands.iter() {
            let Some(form) = form(&Call::empty(command)) else { continue };
            assert!(form.fields.len() <= FIELDS_MAX, "{}", command.name);
        }
    }
}
