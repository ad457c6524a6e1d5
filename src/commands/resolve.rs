//! Which entities a call is about: what was typed, or what the channel is for.

use super::CommandSet;
use super::file::{Argument, ArgumentKind, Command, Lookup, Opt, Presence};
use super::lookups::BuiltIn;
use super::parse::{Call, missing, shortened};

use crate::access::{Permit, Person};
use crate::catalog::snapshot::{Filter, Resolution, Unread};
use crate::catalog::{Entity, Snapshot};
use crate::conversation::Address;
use crate::error::Refusal;

/// The most choices that one refusal offers: as many as a select of Discord holds.
const CHOICES_MAX: usize = 25;

/// A call whose names are known to be entities.
#[derive(Debug)]
pub struct Question<'a> {
    pub commands: &'a CommandSet,
    pub snapshot: &'a Snapshot,
    pub person: &'a Person,
    pub address: &'a Address,
    pub call: Call<'a>,
    /// By the names of arguments and options.
    entities: Vec<(&'a str, &'a Entity)>,
    /// The entity that nobody typed: the channel's own.
    pub of_channel: Option<&'a Entity>,
}

impl<'a> Question<'a> {
    /// What `call` asks for whoever has the `permit`.
    ///
    /// # Errors
    /// A name that nothing or several have, with the whole commands to type instead; a catalog that nobody has read.
    pub fn of(
        permit: Permit<'a>,
        call: Call<'a>,
        commands: &'a CommandSet,
        snapshot: &'a Snapshot,
        address: &'a Address,
    ) -> Result<Question<'a>, Refusal> {
        permit.assert_for(call.command.lookup.verb());
        if let Some(why) = snapshot.why_unread().filter(|_| needs_catalog(call.command)) {
            return Err(unread(why));
        }
        let mut question = Question {
            commands,
            snapshot,
            person: permit.person(),
            address,
            call,
            entities: Vec::new(),
            of_channel: None,
        };
        let command = question.call.command;
        for argument in &command.arguments {
            let kinds: &[&str] = match argument.kind {
                ArgumentKind::Entity => &[],
                ArgumentKind::Team => &["group"],
                ArgumentKind::User => &["user"],
                _ => continue,
            };
            let entity = match question.call.get(&argument.name) {
                Some(typed) => question.resolve(&argument.name, typed, kinds)?,
                None if argument.presence == Presence::OfChannel => {
                    let entity = question.channels_own(&argument.name, kinds)?;
                    question.call = question.call.with(&argument.name, &words(snapshot, entity));
                    question.of_channel = Some(entity);
                    entity
                }
                None => continue,
            };
            question.entities.push((&argument.name, entity));
        }
        if let Some(team) = question.call.get(Opt::Team.word()) {
            let owner = question.resolve(Opt::Team.word(), team, &["group", "user"])?;
            question.entities.push((Opt::Team.word(), owner));
        }
        Ok(question)
    }

    /// The entity of the argument or option `name`; `None` where it was left out.
    pub fn entity(&self, name: &str) -> Option<&'a Entity> {
        self.entities.iter().find(|(given, _)| *given == name).map(|(_, entity)| *entity)
    }

    /// What the options leave of an answer.
    pub fn filter(&self) -> Filter {
        let given = |option: Opt| self.call.get(option.word()).map(str::to_string);
        Filter {
            kind: given(Opt::Kind).map(|kind| singular(&kind)),
            team: self.entity(Opt::Team.word()).map(|team| team.reference.to_string()),
            tier: given(Opt::Tier),
            lifecycle: given(Opt::Lifecycle),
            class: given(Opt::Type),
            tag: given(Opt::Tag),
            depth: self.call.number(Opt::Depth.word()),
        }
    }

    /// From 1.
    pub fn page(&self) -> usize {
        self.call.number(Opt::Page.word()).unwrap_or(1) as usize
    }

    /// That the argument `name` was left out.
    pub(super) fn missing(&self, name: &str) -> Refusal {
        missing(&self.call, name.to_string())
    }

    /// The entity of one of `kinds` that is meant by `typed`, which stands for the argument or option `name`.
    ///
    /// # Errors
    /// A name that nothing or several have, with the whole commands to type instead.
    pub(super) fn resolve(
        &self,
        name: &'a str,
        typed: &str,
        kinds: &[&str],
    ) -> Result<&'a Entity, Refusal> {
        let kind = self.call.get(Opt::Kind.word()).map(singular);
        let kinds = match &kind {
            Some(kind) if kinds.is_empty() && !self.filters_by_kind() => &[kind.as_str()][..],
            _ => kinds,
        };
        match self.snapshot.resolve(typed, kinds) {
            Resolution::One(entity) => Ok(entity),
            Resolution::Several(entities) => Err(self.ambiguous(name, typed, &entities)),
            Resolution::Unknown(_) if let Some(alike) = self.snapshot.confusable_with(typed) => {
                Err(looks_alike(name, typed, alike))
            }
            Resolution::Unknown(closest) => Err(Refusal::UnknownEntity {
                what: match kinds {
                    ["group"] => "team".to_string(),
                    [kind] => kind.to_string(),
                    _ => "entity".to_string(),
                },
                name: shortened(typed),
                closest: closest
                    .iter()
                    .take(CHOICES_MAX)
                    .map(|it| words(self.snapshot, it))
                    .collect(),
                instead: self.instead(name, &closest),
            }),
        }
    }

    /// Whether `--kind` says which of the answer to show, and not what the name is of.
    fn filters_by_kind(&self) -> bool {
        use BuiltIn::{Dependencies, Dependents, Find, List};
        let lookup = &self.call.command.lookup;
        matches!(lookup, Lookup::BuiltIn(Dependencies | Dependents | Find | List))
    }

    /// The entity of one of `kinds` whose channel this is, for the argument `name`.
    ///
    /// # Errors
    /// A channel that is nobody's, or several entities'.
    pub(super) fn channels_own(
        &self,
        name: &'a str,
        kinds: &[&str],
    ) -> Result<&'a Entity, Refusal> {
        let channel = self.address.channel_name.as_deref();
        let mut own = self.snapshot.in_channel(&self.address.channel_id, channel);
        own.retain(|it| kinds.is_empty() || kinds.contains(&it.reference.kind()));
        match own[..] {
            [] => Err(missing(&self.call, name.to_string())),
            [entity] => Ok(entity),
            _ => Err(self.ambiguous(name, "this channel", &own)),
        }
    }

    fn ambiguous(&self, name: &'a str, typed: &str, entities: &[&Entity]) -> Refusal {
        let shown = entities.iter().take(CHOICES_MAX);
        Refusal::Ambiguous {
            name: shortened(typed),
            choices: shown.map(|it| it.reference.to_string()).collect(),
            instead: self.instead(name, entities),
        }
    }

    /// The call with each of `entities` in place of the argument `name`.
    fn instead(&self, name: &'a str, entities: &[&Entity]) -> Vec<String> {
        let shown = entities.iter().take(CHOICES_MAX);
        shown.map(|it| self.call.with(name, &words(self.snapshot, it)).words()).collect()
    }
}

/// Whether nothing can be said to `command` without a catalog.
fn needs_catalog(command: &Command) -> bool {
    match command.lookup {
        Lookup::BuiltIn(BuiltIn::Help) => false,
        Lookup::BuiltIn(_) => true,
        Lookup::Sql(_) | Lookup::Http(_) => command.arguments.iter().any(Argument::is_name),
    }
}

/// Before the catalog was read nobody knows what there is not.
pub fn unread(why: Unread) -> Refusal {
    let next = match why {
        Unread::NoAnswer => "Try again in a minute.",
        Unread::NoImport => {
            "Try again in a minute; `idp catalog problems` tells of sources that cannot be read."
        }
        Unread::NoSources => "Add one under `sources`.",
    };
    Refusal::Unavailable { what: "The catalog".into(), why: why.why().into(), next: next.into() }
}

/// A name written with letters of another script is more likely a trap than a slip: nothing is offered to click.
pub fn looks_alike(argument: &str, typed: &str, alike: &Entity) -> Refusal {
    tracing::warn!(alike = %alike.reference, "someone typed a name that looks like another");
    Refusal::InvalidArgument {
        argument: argument.to_string(),
        value: shortened(typed),
        expected: format!("it looks like `{}` and is written with other letters", alike.name),
    }
}

/// The shortest words that mean `entity` and nothing else.
pub fn words(snapshot: &Snapshot, entity: &Entity) -> String {
    match snapshot.resolve(&entity.name, &[]) {
        Resolution::One(found) if found.reference == entity.reference => entity.name.to_string(),
        _ => entity.reference.to_string(),
    }
}

/// `Components` is `component`.
pub fn singular(kind: &str) -> String {
    let kind = kind.to_lowercase();
    match kind.as_str() {
        "team" | "teams" => "group".to_string(),
        "person" | "people" => "user".to_string(),
        _ if kind.ends_with("ss") => kind,
        _ => kind.strip_suffix("ies").map_or_else(
            || kind.strip_suffix('s').unwrap_or(&kind).to_string(),
            |stem| format!("{stem}y"),
        ),
    }
}
