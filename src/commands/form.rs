//! A form for what a command still needs.

use super::file::{ArgumentKind, Command, Opt, Presence};
use super::parse::Call;
use super::{CommandSet, completion};
use crate::access::Permit;
use crate::catalog::Snapshot;
use crate::conversation::{Field, Form, Input, Suggestion};

/// The most fields of one form. A Discord modal has five.
const FIELDS_MAX: usize = 5;

/// The form of `call`'s command for whoever has the `permit`, with what the call has filled in; `None` where there is nothing to ask.
///
/// Arguments come first, then options as far as there is room. What takes few values lists them, unless the call
/// gives another one.
pub fn form(
    permit: Permit<'_>,
    commands: &CommandSet,
    snapshot: &Snapshot,
    call: &Call<'_>,
) -> Option<Form> {
    let command = call.command;
    permit.assert_for(command.lookup.verb());
    let input = |name: &str, is_free: bool| {
        if is_free {
            return Input::Text;
        }
        let is_listed = |all: &Vec<Suggestion>| {
            call.get(name).is_none_or(|value| all.iter().any(|it| it.value == value))
        };
        let all = completion::choices(permit, commands, snapshot, command, name);
        all.filter(is_listed).map_or(Input::Suggested, Input::OneOf)
    };
    let field = |name: &str, is_free: bool, required: bool| Field {
        name: name.to_string(),
        input: input(name, is_free),
        required,
        value: call.get(name).map(str::to_string),
    };
    let arguments = command.arguments.iter().map(|argument| {
        // What is looked for need not be a name.
        let is_free = matches!(argument.kind, ArgumentKind::Text | ArgumentKind::Number);
        field(&argument.name, is_free, argument.presence == Presence::Required)
    });
    // A page is turned, not asked for.
    let options = command.options.iter().filter(|option| **option != Opt::Page);
    let options = options.map(|option| field(option.word(), *option == Opt::Depth, false));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::authority::permitted;
    use crate::commands::completion::tests::entity;
    use crate::commands::parse::begun;

    /// The form of `call` for who may ask it, over a catalog of thirty services of two tiers and of one team.
    fn form(call: &Call<'_>) -> Option<Form> {
        let services = (0..30).map(|number| entity(&format!("component:service-{number}"), "{}"));
        let entities: Vec<_> = services.chain([entity("group:payments", "{}")]).collect();
        let (commands, snapshot) = (CommandSet::built_in(), Snapshot::build(entities, &[], 1));
        let verb = call.command.lookup.verb();
        permitted(verb, |permit| super::form(permit, &commands, &snapshot, call))
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
    fn a_field_of_few_values_lists_them_unless_another_one_is_given() {
        let commands = CommandSet::built_in();
        let input = |call: &str, field: &str| {
            let form = form(&begun(&commands, call).unwrap()).unwrap();
            form.fields.into_iter().find(|it| it.name == field).unwrap().input
        };
        let payments = Suggestion { label: "payments · group".into(), value: "payments".into() };
        for given in ["dependents", "dependents --team payments"] {
            assert_eq!(input(given, "team"), Input::OneOf(vec![payments.clone()]), "{given}");
        }
        assert_eq!(input("dependents --team pay", "team"), Input::Suggested);
        assert_eq!(input("dependents", "entity"), Input::Suggested);
        assert_eq!(input("find", "words"), Input::Text);
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
