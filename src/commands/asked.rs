//! What people asked lately, each for their own eyes: one click in the Home asks it again.
//!
//! It is noted in memory and written down now and then, so that no answer waits for the database.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use super::file::Lookup;
use super::lookups::BuiltIn;
use super::resolve::Question;
use crate::access::Verb;
use crate::conversation::{Platform, Speaker, Way};

/// So many questions of one account are kept.
pub const QUESTIONS_MAX: usize = 5;
/// For so long.
pub const KEPT_DAYS: i32 = 30;
/// A longer question is not kept: no button would show what it asks.
const CHARACTERS_MAX: usize = 200;
/// The most questions that wait to be written down; the oldest go.
const WAITING_MAX: usize = 4_096;

/// A question that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub speaker: Speaker,
    /// What asks it again.
    pub words: String,
    pub at: DateTime<Utc>,
}

/// What was asked since it was last written down, oldest first.
#[derive(Debug, Default)]
pub struct AskedLately(Mutex<VecDeque<Asked>>);

impl AskedLately {
    /// Notes `question`, which came in by `way` and was answered, where it is one to ask again.
    pub fn note(&self, question: &Question<'_>, way: Way, now: DateTime<Utc>) {
        // A click follows an answer; nobody thought of it.
        let is_thought_of = matches!(way, Way::Command | Way::Message | Way::Filled);
        let lookup = &question.call.command.lookup;
        // What introduces somebody may hold a code, and what was done is not done again by looking at it.
        let is_deed = match lookup {
            Lookup::BuiltIn(BuiltIn::Exempt | BuiltIn::Exemptions) => true,
            Lookup::BuiltIn(built_in) => built_in.is_of_actions(),
            _ => false,
        };
        let is_worth_it = lookup.verb() == Verb::Read
            && !is_deed
            && !matches!(lookup, Lookup::BuiltIn(BuiltIn::Help));
        let speaker = &question.person.speaker;
        // No other platform has a place to show them.
        if !is_thought_of || !is_worth_it || speaker.platform != Platform::Slack {
            return;
        }
        let words = question.call.words();
        if words.len() <= CHARACTERS_MAX {
            self.push(Asked { speaker: speaker.clone(), words, at: now });
        }
    }

    fn push(&self, asked: Asked) {
        let mut waiting = self.waiting();
        if waiting.len() == WAITING_MAX {
            waiting.pop_front();
        }
        waiting.push_back(asked);
    }

    /// What waits of `speaker`'s, newest first.
    pub fn of(&self, speaker: &Speaker) -> Vec<String> {
        let waiting = self.waiting();
        let own = waiting.iter().rev().filter(|it| it.speaker == *speaker);
        own.map(|it| it.words.clone()).collect()
    }

    /// Everything that waits; it is gone here.
    pub fn take(&self) -> Vec<Asked> {
        self.waiting().drain(..).collect()
    }

    /// Gives back what could not be written down, behind what came meanwhile.
    pub fn put_back(&self, asked: Vec<Asked>) {
        let mut waiting = self.waiting();
        for it in asked.into_iter().rev() {
            if waiting.len() < WAITING_MAX {
                waiting.push_front(it);
            }
        }
    }

    /// A panic elsewhere leaves the list as good as it was.
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Asked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(user_id: &str, number: usize) -> Asked {
        let speaker =
            Speaker { platform: Platform::Slack, tenant: "T1".into(), user_id: user_id.into() };
        Asked { speaker, words: format!("owner a{number}"), at: DateTime::UNIX_EPOCH }
    }

    #[test]
    fn what_waits_has_an_end_and_the_newest_stay() {
        let lately = AskedLately::default();
        (0..WAITING_MAX + 10).for_each(|number| lately.push(asked("U1", number)));
        let taken = lately.take();
        assert_eq!((taken.len(), &taken[0]), (WAITING_MAX, &asked("U1", 10)));
        lately.push(asked("U1", 9_999));
        lately.put_back(taken);
        let waiting = lately.take();
        assert_eq!((waiting.len(), waiting.last()), (WAITING_MAX, Some(&asked("U1", 9_999))));
        assert_eq!(waiting[0], asked("U1", 11));
    }

    #[test]
    fn everybody_sees_their_own_newest_first() {
        let lately = AskedLately::default();
        [asked("U1", 1), asked("U2", 2), asked("U1", 3)].into_iter().for_each(|it| lately.push(it));
        assert_eq!(lately.of(&asked("U1", 0).speaker), ["owner a3", "owner a1"]);
        assert_eq!(lately.of(&asked("U3", 0).speaker), [""; 0]);
    }
}
