//! What may stand at the cursor: commands, options and their values, names of the catalog.

use std::collections::BTreeSet;

use super::CommandSet;
use super::file::{Argument, ArgumentKind, Command, Opt};
use super::form;
use super::lookups::label;
use super::parse::{begun, quoted};
use super::resolve;
use crate::access::{Permit, Verb};
use crate::actions::{Action, ActionSet, Target};
use crate::catalog::snapshot::Filter;
use crate::catalog::{Entity, Snapshot};
use crate::conversation::{Query, Suggestion};

/// The most completions that are offered at once.
const COMPLETIONS_MAX: usize = 40;

/// The most suggestions of one field, and the most that a form lists. Discord takes 25, Slack 100.
const SUGGESTIONS_MAX: usize = 25;

/// So many names are looked at for those that an action may be done to.
const SEARCHED_MAX: usize = 200;

/// What fits the word at the cursor.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Completions {
    /// Where the word starts, in bytes.
    pub start: usize,
    /// Whole words, sorted, with what a person may want to know about them.
    pub words: Vec<(String, Option<String>)>,
}

/// What fits `typed`, the line up to the cursor, for whoever has the `permit`.
pub fn complete(
    permit: Permit<'_>,
    commands: &CommandSet,
    snapshot: &Snapshot,
    typed: &str,
) -> Completions {
    permit.assert_for(Verb::Read);
    let start = typed.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let (before, begun) = typed.split_at(start);
    let before: Vec<&str> = before.split_whitespace().collect();
    let Some((first, given)) = before.split_first() else {
        let named = commands.names().into_iter().filter(|(name, _)| fits(name, begun));
        let words = named.map(|(name, summary)| (name.to_string(), Some(summary.to_string())));
        return Completions { start, words: words.collect() };
    };
    let expected = match commands.find(&first.to_lowercase()) {
        Some(command) => expected(commands, snapshot, command, given, begun),
        // A question in one's own words.
        None => quoted_all(names(snapshot, None)),
    };
    let fitting = expected.into_iter().filter(|word| fits(word, begun)).take(COMPLETIONS_MAX);
    Completions { start, words: fitting.map(|word| (word, None)).collect() }
}

/// What fits the field that someone is filling in, best first; names of the catalog as [`Snapshot::search`] ranks them.
///
/// Nothing for a command or a field that does not exist: the commands may have changed since it was shown.
pub fn suggest(
    permit: Permit<'_>,
    commands: &CommandSet,
    actions: &ActionSet,
    snapshot: &Snapshot,
    query: &Query,
) -> Vec<Suggestion> {
    permit.assert_for(Verb::Read);
    let call = begun(commands, &query.command).ok();
    let command = call.as_ref().map(|call| call.command);
    // A code is no name of the catalog.
    let Some(command) = command.filter(|it| it.lookup.verb() != Verb::Introduce) else {
        return Vec::new();
    };
    let typed = query.typed.trim();
    let kind = command.argument(&query.field).map(|it| &it.kind);
    if kind == Some(&ArgumentKind::Action) {
        return of_actions(actions, typed, SUGGESTIONS_MAX);
    }
    if let Some(target) =
        call.as_ref().and_then(|call| form::target_of(actions, call, &query.field))
    {
        return of_target(snapshot, target, typed);
    }
    if call.as_ref().is_some_and(form::is_delegating) {
        return of_kind(snapshot, Some("user"), typed, SUGGESTIONS_MAX);
    }
    if let Some(kinds) = call.and_then(|call| form::kinds_of(actions, &call, &query.field)) {
        let kind = kinds.first().filter(|_| kinds.len() == 1).map(String::as_str);
        return of_kind(snapshot, kind, typed, SUGGESTIONS_MAX);
    }
    fitting(commands, snapshot, command, &query.field, typed, SUGGESTIONS_MAX)
}

/// All that the `field` of `command` takes, for whoever has the `permit` to ask it; `None` where there is nothing, or too much to choose from at a glance.
pub fn choices(
    permit: Permit<'_>,
    commands: &CommandSet,
    snapshot: &Snapshot,
    command: &Command,
    field: &str,
) -> Option<Vec<Suggestion>> {
    permit.assert_for(command.lookup.verb());
    let all = fitting(commands, snapshot, command, field, "", SUGGESTIONS_MAX + 1);
    (1..=SUGGESTIONS_MAX).contains(&all.len()).then_some(all)
}

fn fitting(
    commands: &CommandSet,
    snapshot: &Snapshot,
    command: &Command,
    field: &str,
    typed: &str,
    at_most: usize,
) -> Vec<Suggestion> {
    let option = command.options.iter().copied().find(|it| it.word() == field);
    let kind = match (command.argument(field), option) {
        (Some(argument), _) => match argument.kind {
            ArgumentKind::Entity | ArgumentKind::Text => None,
            ArgumentKind::Team => Some("group"),
            ArgumentKind::User => Some("user"),
            _ => return few(taken(commands, snapshot, argument), typed, at_most),
        },
        (None, Some(Opt::Team)) => Some("group"),
        (None, Some(option)) => return few(values(snapshot, option), typed, at_most),
        (None, None) => return Vec::new(),
    };
    of_kind(snapshot, kind, typed, at_most)
}

/// The actions that `typed` is a part of, of the name or of the title.
pub fn of_actions(actions: &ActionSet, typed: &str, at_most: usize) -> Vec<Suggestion> {
    let typed = typed.to_lowercase();
    let fits = |it: &&Action| it.name.contains(&typed) || it.title.to_lowercase().contains(&typed);
    let suggestion = |it: &Action| {
        let what = if it.summary.is_empty() { &it.title } else { &it.summary };
        Suggestion { label: format!("{} · {what}", it.name), value: it.name.clone() }
    };
    actions.iter().filter(fits).take(at_most).map(suggestion).collect()
}

/// What an action may be done to that fits `typed`.
fn of_target(snapshot: &Snapshot, target: &Target, typed: &str) -> Vec<Suggestion> {
    let takes = |it: &&Entity| target.takes(it, snapshot);
    let found: Vec<&Entity> = match typed.is_empty() {
        true => snapshot.entities().filter(takes).take(SUGGESTIONS_MAX).collect(),
        false => {
            let found = snapshot.search(typed, &Filter::default(), 0, SEARCHED_MAX).0;
            found.into_iter().filter(takes).take(SUGGESTIONS_MAX).collect()
        }
    };
    found.into_iter().map(|it| suggested(snapshot, it)).collect()
}

/// What of `kind`, or of any where there is none, fits `typed`.
fn of_kind(
    snapshot: &Snapshot,
    kind: Option<&str>,
    typed: &str,
    at_most: usize,
) -> Vec<Suggestion> {
    let filter = Filter { kind: kind.map(str::to_string), ..Filter::default() };
    let found = match typed.is_empty() {
        true => snapshot.list(&filter, 0, at_most).0,
        false => snapshot.search(typed, &filter, 0, at_most).0,
    };
    found.into_iter().map(|it| suggested(snapshot, it)).collect()
}

fn suggested(snapshot: &Snapshot, entity: &Entity) -> Suggestion {
    let value = resolve::words(snapshot, entity);
    let label = label(entity);
    let label = match label == *value {
        true => format!("{value} · {}", entity.kind),
        false => format!("{label} ({value}) · {}", entity.kind),
    };
    Suggestion { label, value }
}

/// Those of `all` that contain what was typed.
fn few(all: BTreeSet<&str>, typed: &str, at_most: usize) -> Vec<Suggestion> {
    let typed = typed.to_lowercase();
    let fitting = all.into_iter().filter(|value| value.to_lowercase().contains(&typed));
    fitting.take(at_most).map(Suggestion::of).collect()
}

/// What `command` takes where `given` is typed already and `begun` is being typed.
fn expected(
    commands: &CommandSet,
    snapshot: &Snapshot,
    command: &Command,
    given: &[&str],
    begun: &str,
) -> BTreeSet<String> {
    if let Some(option) = given.last().and_then(|word| option(command, word)) {
        return quoted_all(values(snapshot, option));
    }
    let next = command.arguments.get(position(command, given));
    match next.or_else(|| command.arguments.last().filter(|last| last.rest)) {
        Some(argument) if !begun.starts_with('-') => {
            quoted_all(taken(commands, snapshot, argument))
        }
        _ => {
            let options = command.options.iter().map(|option| format!("--{}", option.word()));
            options.filter(|option| !given.contains(&option.as_str())).collect()
        }
    }
}

/// The option that `word` is the name of, and whose value comes next.
fn option(command: &Command, word: &str) -> Option<Opt> {
    let name = word.strip_prefix("--")?;
    command.options.iter().copied().find(|option| option.word().eq_ignore_ascii_case(name))
}

/// How many arguments stand in `given`.
fn position(command: &Command, given: &[&str]) -> usize {
    let is_value = |at: usize| at > 0 && option(command, given[at - 1]).is_some();
    let is_argument = |at: &usize| !given[*at].starts_with("--") && !is_value(*at);
    (0..given.len()).filter(is_argument).count()
}

fn quoted_all(values: BTreeSet<&str>) -> BTreeSet<String> {
    values.into_iter().map(quoted).collect()
}

/// What `argument` takes.
fn taken<'a>(
    commands: &'a CommandSet,
    snapshot: &'a Snapshot,
    argument: &'a Argument,
) -> BTreeSet<&'a str> {
    match &argument.kind {
        ArgumentKind::Entity | ArgumentKind::Text => names(snapshot, None),
        ArgumentKind::Team => names(snapshot, Some("group")),
        ArgumentKind::User => names(snapshot, Some("user")),
        ArgumentKind::Kind => values(snapshot, Opt::Kind),
        ArgumentKind::Command => commands.iter().map(|it| &*it.name).collect(),
        ArgumentKind::Choice(choices) => choices.iter().map(|it| &**it).collect(),
        ArgumentKind::Action | ArgumentKind::Number => BTreeSet::new(),
    }
}

/// The values of `option` for which the catalog has something.
fn values(snapshot: &Snapshot, option: Opt) -> BTreeSet<&str> {
    let each = |value: fn(&Entity) -> Option<&str>| snapshot.entities().filter_map(value).collect();
    match option {
        Opt::Kind => each(|it| Some(&it.kind)),
        Opt::Tier => each(|it| it.tier.as_deref()),
        Opt::Lifecycle => each(|it| it.lifecycle.as_deref()),
        Opt::Type => each(|it| it.class.as_deref()),
        Opt::Tag => snapshot.tags().collect(),
        Opt::Team => names(snapshot, Some("group")),
        Opt::Depth | Opt::Page => BTreeSet::new(),
    }
}

/// The names of `kind`, of every kind without one.
fn names<'a>(snapshot: &'a Snapshot, kind: Option<&str>) -> BTreeSet<&'a str> {
    let wanted = |it: &&Entity| kind.is_none_or(|kind| it.reference.kind() == kind);
    snapshot.entities().filter(wanted).map(|it| &*it.name).collect()
}

fn fits(word: &str, begun: &str) -> bool {
    word.get(..begun.len()).is_some_and(|start| start.eq_ignore_ascii_case(begun))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::access::authority::permitted;
    use crate::catalog::snapshot::Unread;
    use crate::catalog::{EntityRef, Place, StoredEntity};

    pub fn entity(reference: &str, spec: &str) -> StoredEntity {
        let reference = EntityRef::parse(reference, None, "default").unwrap();
        let (kind, name) = (reference.kind(), reference.name());
        let metadata = format!(r#"{{"name":"{name}","tags":["pci"],"labels":{{"tier":"1"}}}}"#);
        StoredEntity {
            body: format!(r#"{{"kind":"{kind}","metadata":{metadata},"spec":{spec}}}"#).into(),
            relations: Vec::new(),
            place: Place { source: "s".into(), file: "f".into(), document: 0, line: 1 },
            orphaned_at: None,
            reference,
        }
    }

    /// What fits `typed` for who may ask.
    fn complete(snapshot: &Snapshot, typed: &str) -> Completions {
        let commands = CommandSet::built_in();
        permitted(Verb::Read, |permit| super::complete(permit, &commands, snapshot, typed))
    }

    /// The words that are offered behind `typed`.
    fn offered(typed: &str) -> Vec<String> {
        let entities = vec![
            entity("component:payment-api", r#"{"type":"service","lifecycle":"end of life"}"#),
            entity("component:checkout", r#"{"type":"website","lifecycle":"production"}"#),
            entity("group:payments", "{}"),
            entity("user:paula", "{}"),
        ];
        let snapshot = Snapshot::build(entities, &[], 1);
        let completions = complete(&snapshot, typed);
        completions.words.into_iter().map(|(word, _)| word).collect()
    }

    #[test]
    fn a_command_comes_first() {
        assert_eq!(offered("OWN"), ["owner"]);
        assert_eq!(offered("depend"), ["dependencies", "dependents"]);
        assert_eq!(offered("help hist"), ["history"]);
    }

    #[test]
    fn a_name_is_completed_in_a_command_and_in_a_question() {
        assert_eq!(offered("owner PAY"), ["payment-api", "payments"]);
        assert_eq!(offered("who owns che"), ["checkout"]);
        assert_eq!(offered("path checkout pay"), ["payment-api", "payments"]);
        assert!(offered("owner zzz").is_empty() && offered("owner é").is_empty());
    }

    #[test]
    fn options_are_offered_once_and_where_names_end() {
        assert_eq!(offered("dependents payment-api --ti"), ["--tier"]);
        assert_eq!(offered("dependents payment-api --tier 1 --ti"), [""; 0]);
        assert!(offered("dependents payment-api ").contains(&"--kind".to_string()));
        assert!(offered("dependents --tier 1 pay").contains(&"payment-api".to_string()));
        assert_eq!(offered("owner --zzz"), [""; 0]);
    }

    #[test]
    fn the_values_of_an_option_are_those_of_the_catalog() {
        assert_eq!(offered("list --kind "), ["component", "group", "user"]);
        assert_eq!(offered("dependents x --tier "), ["1"]);
        assert_eq!(offered("dependents x --team "), ["payments"]);
        assert_eq!(offered("find x --tag "), ["pci"]);
        assert_eq!(offered("find x --type s"), ["service"]);
        assert_eq!(offered("find x --lifecycle "), ["\"end of life\"", "production"]);
        assert_eq!(offered("dependents x --depth "), [""; 0]);
    }

    #[test]
    fn what_is_few_is_all_there_is_to_choose_from() {
        let commands = CommandSet::built_in();
        let chosen = |entities: usize, command: &str, field: &str| {
            let services = (0..entities).map(|it| {
                entity(&format!("component:service-{it}"), r#"{"lifecycle":"end of life"}"#)
            });
            let snapshot = Snapshot::build(services.collect::<Vec<_>>(), &[], 1);
            let command = commands.find(command).unwrap();
            let all = permitted(Verb::Read, |permit| {
                choices(permit, &commands, &snapshot, command, field)
            });
            all.map(|all| all.into_iter().map(|it| it.value).collect::<Vec<_>>())
        };
        assert_eq!(chosen(2, "owner", "entity").unwrap(), ["service-0", "service-1"]);
        assert_eq!(chosen(25, "owner", "entity").unwrap().len(), 25);
        assert_eq!(chosen(26, "owner", "entity"), None);
        assert_eq!(chosen(26, "list", "lifecycle").unwrap(), ["end of life"]);
        assert_eq!(chosen(26, "list", "team"), None, "there is none");
        assert_eq!(chosen(26, "list", "no-such-field"), None);
    }

    #[test]
    fn the_word_at_the_cursor_is_replaced() {
        let start = |typed| complete(&Snapshot::unread(Unread::NoAnswer), typed).start;
        assert_eq!((start(""), start("own"), start("owner pay"), start("owner ")), (0, 0, 6, 6));
    }
}
