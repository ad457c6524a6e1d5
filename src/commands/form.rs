//! A form for what a command still needs.

use super::file::{Argument, ArgumentKind, Lookup, Opt, Presence};
use super::lookups::BuiltIn;
use super::parse::Call;
use super::{CommandSet, completion};
use crate::access::Permit;
use crate::actions::input::{self, Kind};
use crate::actions::{Action, ActionSet, Target};
use crate::catalog::Snapshot;
use crate::conversation::{Field, Form, Input, Suggestion};

/// The most fields of one form. A Discord modal has five.
const FIELDS_MAX: usize = 5;

/// As many as a select of Discord holds.
const LISTED_MAX: usize = 25;

/// So many characters of what is settled the id of a form holds.
const SETTLED_CHARACTERS_MAX: usize = 80;

/// The form of `call`'s command for whoever has the `permit`, with what the call has filled in; `None` where there is nothing to ask.
///
/// Arguments come first, then options as far as there is room. What takes few values lists them, unless the call
/// gives another one.
pub fn form(
    permit: Permit<'_>,
    commands: &CommandSet,
    actions: &ActionSet,
    snapshot: &Snapshot,
    call: &Call<'_>,
) -> Option<Form> {
    let command = call.command;
    permit.assert_for(command.lookup.verb());
    match &command.lookup {
        Lookup::BuiltIn(BuiltIn::Run) => {
            if let Some(action) = call.get("action").and_then(|it| actions.find(&it.to_lowercase()))
            {
                return Some(of_action(action, call));
            }
        }
        Lookup::BuiltIn(BuiltIn::Approve | BuiltIn::Deny | BuiltIn::Requests)
            if call.get("request").is_some()
                && call.words().chars().count() <= SETTLED_CHARACTERS_MAX =>
        {
            return Some(of_decision(call));
        }
        _ => {}
    }
    let input = |name: &str, is_free: bool| {
        if is_free {
            return Input::Text;
        }
        if command.argument(name).is_some_and(|it| it.kind == ArgumentKind::Action) {
            let all = completion::of_actions(actions, "", LISTED_MAX + 1);
            let is_few = (1..=LISTED_MAX).contains(&all.len());
            return if is_few { Input::OneOf(all) } else { Input::Suggested };
        }
        let is_listed = |all: &Vec<Suggestion>| {
            call.get(name).is_none_or(|value| all.iter().any(|it| it.value == value))
        };
        let all = completion::choices(permit, commands, snapshot, command, name);
        all.filter(is_listed).map_or(Input::Suggested, Input::OneOf)
    };
    let field = |name: &str, is_free: bool, required: bool| Field {
        name: name.to_string(),
        label: String::new(),
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

/// What `action` asks for, and its target where the call names none; what must be given first.
fn of_action(action: &Action, call: &Call<'_>) -> Form {
    let given = call.get("inputs").and_then(|it| input::pairs(it).ok()).unwrap_or_default();
    let mut settled = call.without("inputs");
    if settled.words().chars().count() > SETTLED_CHARACTERS_MAX {
        settled = settled.without("target");
    }
    let target = (action.target.is_some() && settled.get("target").is_none()).then(|| Field {
        name: "target".into(),
        label: String::new(),
        input: Input::Suggested,
        required: true,
        value: call.get("target").map(str::to_string),
    });
    let field = |it: &input::Input| {
        let value = given.iter().find(|(name, _)| *name == it.name).map(|(_, value)| value.clone());
        Field {
            name: it.name.clone(),
            label: it.title.clone(),
            input: match &it.kind {
                Kind::Choice(choices) => {
                    Input::OneOf(choices.iter().map(|it| Suggestion::of(it)).collect())
                }
                Kind::Flag => Input::OneOf(["yes", "no"].map(Suggestion::of).into()),
                Kind::Entity(_) => Input::Suggested,
                _ => Input::Text,
            },
            required: it.required,
            value: value.or_else(|| it.default.clone()),
        }
    };
    let mut fields: Vec<Field> =
        target.into_iter().chain(action.inputs.iter().map(field)).collect();
    fields.sort_by_key(|it| !it.required);
    fields.truncate(FIELDS_MAX);
    Form { command: settled.words(), title: action.title.clone(), fields }
}

/// Whether `call` asks for an action without what must be given first, such that its form is shown at once. What would be
/// lost in a form is answered in words.
pub fn is_lacking(actions: &ActionSet, call: &Call<'_>) -> bool {
    if call.command.lookup != Lookup::BuiltIn(BuiltIn::Run) {
        return false;
    }
    let Some(action) = call.get("action").and_then(|it| actions.find(&it.to_lowercase())) else {
        return false;
    };
    let Ok(given) = input::pairs(call.get("inputs").unwrap_or_default()) else { return false };
    let input = |name: &str| action.inputs.iter().find(|it| it.name == name);
    let has_place = |(name, _): &(String, String)| {
        input(name).is_some_and(|it| !matches!(it.kind, Kind::Secret))
    };
    let is_given = |it: &input::Input| given.iter().any(|(name, _)| *name == it.name);
    let lacks = action.inputs.iter().any(|it| it.required && it.default.is_none() && !is_given(it));
    let lacks_target = action.target.is_some() && call.get("target").is_none();
    given.iter().all(has_place) && (lacks || lacks_target)
}

/// What a decision lacks still.
fn of_decision(call: &Call<'_>) -> Form {
    let command = call.command;
    let lacking = command.arguments.iter().filter(|it| call.get(&it.name).is_none());
    let field = |argument: &Argument| Field {
        name: argument.name.clone(),
        label: match argument.name.as_str() {
            "confirm" => "Type the name of the target".into(),
            "code" => "One-time password, where the risk is high".into(),
            "reason" => "Why".into(),
            "note" if is_delegating(call) => "Who decides in your place?".into(),
            "note" if call.get("view") == Some("review") => "What did you find?".into(),
            "note" => "What do you want to know?".into(),
            _ => String::new(),
        },
        input: match is_delegating(call) {
            true => Input::Suggested,
            false => Input::Text,
        },
        required: argument.name != "code",
        value: None,
    };
    let fields = lacking.map(field).take(FIELDS_MAX).collect();
    Form { command: call.words(), title: command.summary.clone(), fields }
}

/// Whether `call` hands a decision on, and takes a User for that.
pub fn is_delegating(call: &Call<'_>) -> bool {
    call.command.lookup == Lookup::BuiltIn(BuiltIn::Requests)
        && call.get("view") == Some("delegate")
}

/// What the action of `call` may be done to, where that is what `field` takes.
pub fn target_of<'a>(actions: &'a ActionSet, call: &Call<'_>, field: &str) -> Option<&'a Target> {
    let is_run = call.command.lookup == Lookup::BuiltIn(BuiltIn::Run);
    let action = call.get("action").filter(|_| is_run && field == "target");
    actions.find(&action?.to_lowercase())?.target.as_ref()
}

/// The kinds of what an input of an action takes, where that is something of the catalog.
pub fn kinds_of<'a>(actions: &'a ActionSet, call: &Call<'_>, field: &str) -> Option<&'a [String]> {
    let action = actions.find(call.get("action")?)?;
    match &action.inputs.iter().find(|it| it.name == field)?.kind {
        Kind::Entity(kinds) => Some(kinds),
        _ => None,
    }
}

/// The words that say what was filled into the form of `call`: names of fields with their values.
///
/// What the command has no field for is an input of an action, or left out; what is empty is left out, too.
pub fn words(call: &Call<'_>, filled: &[(String, String)]) -> String {
    let command = call.command;
    let is_run = command.lookup == Lookup::BuiltIn(BuiltIn::Run);
    let (mut call, mut inputs) = (call.clone(), Vec::new());
    for (name, value) in filled {
        match command.parameter(name) {
            Some(name) if !value.trim().is_empty() => call = call.with(name, value.trim()),
            None if is_run && !value.is_empty() => inputs.push((name.as_str(), value.as_str())),
            _ => {}
        }
    }
    if !inputs.is_empty() {
        call = call.with("inputs", &input::words(inputs));
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
        let actions = ActionSet::default();
        permitted(verb, |permit| super::form(permit, &commands, &actions, &snapshot, call))
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
        let words = |command: &str, given: &[(String, String)]| {
            super::words(&Call::empty(commands.find(command).unwrap()), given)
        };
        let given = filled(&[("to", "the ledger"), ("from", " checkout "), ("other", "x")]);
        assert_eq!(words("path", &given), "path checkout \"the ledger\"");
        let given = filled(&[("entity", "ledger"), ("tier", "1"), ("team", "")]);
        assert_eq!(words("dependents", &given), "dependents ledger --tier 1");
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
