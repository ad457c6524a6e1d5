//! Answers given lately, as a platform was sent them.
//!
//! The same question to the same catalog has the same answer. Rendering it is most of what an answer costs, and in an
//! incident everybody asks for the same few services: so it is rendered once.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::CommandSet;
use super::file::Lookup;
use super::lookups::BuiltIn;
use super::resolve::Question;
use crate::catalog::Snapshot;
use crate::conversation::{Audience, Platform};
use crate::on_call::{self, Rotas, Watch};
use crate::pictures::Drawing;

/// All answers that are kept, with what finds them: some thousands.
const BYTES_MAX: u64 = 16 << 20;
/// A guess, by which room is made beforehand.
const ANSWER_BYTES: u64 = 4 << 10;

/// An answer as a platform is sent it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    pub message: Bytes,
    pub audience: Audience,
    /// What is drawn besides.
    pub drawing: Option<Arc<Drawing>>,
}

/// The answers to one catalog, one set of commands and one of rotas; those to the one before are forgotten.
#[derive(Default)]
pub struct Recent(ArcSwap<Era>);

/// What was said while neither the catalog nor the commands nor the rotas changed.
pub struct Era {
    /// Weak, so that a catalog nobody asks any more goes.
    snapshot: Weak<Snapshot>,
    commands: Weak<CommandSet>,
    rotas: Weak<Rotas>,
    answers: Cache<Key, Shown, Weight>,
}

/// What tells a question from every other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    platform: Platform,
    /// The command, then names and values of all it was given.
    words: String,
    /// Whether the answer says that it is about the channel's own entity.
    is_of_channel: bool,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Shown> for Weight {
    fn weight(&self, key: &Key, answer: &Shown) -> u64 {
        let drawing = answer.drawing.as_ref().map_or(0, |drawing| drawing.bytes());
        (size_of::<(Key, Shown)>() + key.words.len() + answer.message.len() + drawing) as u64
    }
}

impl Default for Era {
    fn default() -> Era {
        Era::new(Weak::new(), Weak::new(), Weak::new())
    }
}

impl Era {
    fn new(snapshot: Weak<Snapshot>, commands: Weak<CommandSet>, rotas: Weak<Rotas>) -> Era {
        let count = (BYTES_MAX / ANSWER_BYTES) as usize;
        let answers = Cache::with_weighter(count, BYTES_MAX, Weight);
        Era { snapshot, commands, rotas, answers }
    }

    /// `None` when it was not said lately.
    pub fn find(&self, key: &Key) -> Option<Shown> {
        self.answers.get(key)
    }

    pub fn keep(&self, key: Key, answer: Shown) {
        self.answers.insert(key, answer);
    }
}

impl Recent {
    /// The answers to exactly this catalog, these commands and these rotas.
    pub fn of(
        &self,
        snapshot: &Arc<Snapshot>,
        commands: &Arc<CommandSet>,
        rotas: &Arc<Rotas>,
    ) -> Arc<Era> {
        let era = self.0.load();
        // A weak pointer keeps the address from being given to another.
        let is_same = era.snapshot.as_ptr() == Arc::as_ptr(snapshot)
            && era.commands.as_ptr() == Arc::as_ptr(commands)
            && era.rotas.as_ptr() == Arc::as_ptr(rotas);
        if is_same {
            return Arc::clone(&era);
        }
        let next = Arc::new(Era::new(
            Arc::downgrade(snapshot),
            Arc::downgrade(commands),
            Arc::downgrade(rotas),
        ));
        self.0.store(next.clone());
        next
    }
}

impl Key {
    /// `None` when the answer depends on more than the catalog, the commands and the rotas: on who asks, on the database.
    pub fn of(question: &Question<'_>, watch: Watch<'_>, platform: Platform) -> Option<Key> {
        let command = question.call.command;
        if !command.lookup.is_of_catalog() {
            return None;
        }
        // No value has a control character in it: those became spaces when the question was read.
        let mut words = command.name.clone();
        for (name, value) in question.call.arguments() {
            for part in ["\0", name, "\0", value] {
                words.push_str(part);
            }
        }
        // Until others are on call it is the same answer.
        if matches!(command.lookup, Lookup::BuiltIn(BuiltIn::Owner | BuiltIn::Show))
            && let Some(entity) = question.entity("entity")
        {
            for level in on_call::now(watch.rotas, question.snapshot, entity, watch.at) {
                let until = level.until.map(|until| until.timestamp());
                words.push_str(&format!("\0{until:?}"));
            }
        }
        Some(Key { platform, words, is_of_channel: question.of_channel.is_some() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(words: &str) -> Key {
        Key { platform: Platform::Slack, words: words.into(), is_of_channel: false }
    }

    fn shown(message: &'static [u8]) -> Shown {
        let message = Bytes::from_static(message);
        Shown { message, audience: Audience::Channel, drawing: None }
    }

    #[test]
    fn another_catalog_other_commands_and_other_rotas_have_their_own_answers() {
        let recent = Recent::default();
        let catalog = || Arc::new(Snapshot::build(Vec::new(), &[], 1));
        let commands = || Arc::new(CommandSet::built_in());
        let (first, set, rotas) = (catalog(), commands(), Arc::new(Rotas::default()));
        recent.of(&first, &set, &rotas).keep(key("owner"), shown(b"a"));
        assert_eq!(recent.of(&first, &set, &rotas).find(&key("owner")), Some(shown(b"a")));
        assert_eq!(recent.of(&first, &set, &rotas).find(&key("show")), None);

        // The same revision, and perhaps the same place in memory.
        drop(first);
        let second = catalog();
        assert_eq!(recent.of(&second, &set, &rotas).find(&key("owner")), None);
        recent.of(&second, &set, &rotas).keep(key("owner"), shown(b"b"));
        assert_eq!(recent.of(&second, &commands(), &rotas).find(&key("owner")), None);
        recent.of(&second, &set, &rotas).keep(key("owner"), shown(b"c"));
        assert_eq!(recent.of(&second, &set, &Arc::default()).find(&key("owner")), None);
    }

    #[test]
    fn a_catalog_that_nobody_asks_any_more_goes() {
        let recent = Recent::default();
        let catalog = Arc::new(Snapshot::build(Vec::new(), &[], 1));
        let gone = Arc::downgrade(&catalog);
        recent.of(&catalog, &Arc::new(CommandSet::built_in()), &Arc::default());
        drop(catalog);
        assert!(gone.upgrade().is_none());
    }

    #[test]
    fn the_memory_has_an_end() {
        let era = Era::default();
        let answer = Shown { message: Bytes::from(vec![b'a'; 8 << 10]), ..shown(b"") };
        for number in 0..10_000 {
            era.keep(key(&number.to_string()), answer.clone());
        }
        assert!(era.answers.weight() <= BYTES_MAX, "{} bytes", era.answers.weight());
        assert!(era.answers.weight() > BYTES_MAX / 2, "{} bytes", era.answers.weight());
    }
}
