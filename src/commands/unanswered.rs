//! Questions that found no answer: what the catalog lacks, told by those who miss it.
//!
//! They are counted in memory and written down now and then, so that no answer waits for the database.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::conversation::{Invocation, Platform, Refused};

/// The most different questions that are kept until they are written down; later ones are not counted.
const QUESTIONS_MAX: usize = 1_000;
/// The most characters of a question that are kept.
const CHARACTERS_MAX: usize = 200;

/// A question with how often it was asked in vain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    pub platform: Platform,
    /// In lower case, without what is around it.
    pub question: String,
    /// Why there was no answer: `unknown_entity`.
    pub refusal: String,
    pub times: i64,
    pub last_at: DateTime<Utc>,
}

/// What was asked in vain since it was last written down.
#[derive(Debug, Default)]
pub struct Unanswered(Mutex<HashMap<(Platform, String), Asked>>);

impl Unanswered {
    /// Counts `invocation` when `refused` means that something is missing in the catalog or in a command.
    pub fn note(&self, invocation: &Invocation, refused: &Refused, now: DateTime<Utc>) {
        let is_unanswered = matches!(
            refused.code.as_str(),
            "unknown_command" | "unknown_entity" | "ambiguous" | "not_understood"
        );
        let question = normal(&invocation.text);
        if is_unanswered && !question.is_empty() {
            let platform = invocation.speaker.platform;
            let refusal = refused.code.clone();
            self.add(Asked { platform, question, refusal, times: 1, last_at: now });
        }
    }

    fn add(&self, asked: Asked) {
        let mut kept = self.kept();
        let is_full = kept.len() >= QUESTIONS_MAX;
        let key = (asked.platform, asked.question.clone());
        match kept.get_mut(&key) {
            Some(known) => {
                known.times += asked.times;
                known.refusal = asked.refusal;
                known.last_at = known.last_at.max(asked.last_at);
            }
            None if is_full => {}
            None => {
                kept.insert(key, asked);
            }
        }
    }

    /// Everything that was counted; it is gone here.
    pub fn take(&self) -> Vec<Asked> {
        self.kept().drain().map(|(_, asked)| asked).collect()
    }

    /// Gives back what could not be written down.
    pub fn put_back(&self, asked: Vec<Asked>) {
        asked.into_iter().for_each(|it| self.add(it));
    }

    /// A panic elsewhere leaves the counts as good as they were.
    fn kept(&self) -> MutexGuard<'_, HashMap<(Platform, String), Asked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One form for all who ask the same.
fn normal(text: &str) -> String {
    let plain: String = text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let question = words.join(" ").to_lowercase();
    question.trim_end_matches(['?', '!', '.']).chars().take(CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;
    use crate::conversation::{Address, Speaker};

    fn asked(text: &str) -> Invocation {
        let platform = Platform::Slack;
        let (tenant, channel_id) = ("T1".to_string(), "C1".to_string());
        Invocation {
            speaker: Speaker { platform, tenant: tenant.clone(), user_id: "U1".into() },
            address: Address { platform, tenant, channel_id, channel_name: None, thread: None },
            text: text.into(),
        }
    }

    fn refused(code: &str) -> Refused {
        Refused { code: code.into(), message: String::new(), suggestions: Vec::new(), blamed: None }
    }

    fn at(second: u32) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 1, 2, 12, 0, second).unwrap()
    }

    #[test]
    fn the_same_question_is_counted_once_for_all_who_ask_it() {
        let unanswered = Unanswered::default();
        unanswered.note(&asked("Who owns  chekout?"), &refused("unknown_entity"), at(1));
        unanswered.note(&asked("who owns chekout"), &refused("unknown_entity"), at(2));
        unanswered.note(&asked("owner"), &refused("missing_argument"), at(3));
        let taken = unanswered.take();
        assert_eq!(taken.len(), 1);
        assert_eq!((taken[0].question.as_str(), taken[0].times), ("who owns chekout", 2));
        assert_eq!(taken[0].last_at, at(2));
        assert_eq!(unanswered.take(), []);
        unanswered.put_back(taken.clone());
        assert_eq!(unanswered.take(), taken);
    }

    #[test]
    fn a_flood_of_questions_does_not_grow() {
        let unanswered = Unanswered::default();
        for number in 0..2_000 {
            let text = format!("{number}\0{}", "a".repeat(10_000));
            unanswered.note(&asked(&text), &refused("not_understood"), at(1));
        }
        let taken = unanswered.take();
        assert_eq!(taken.len(), QUESTIONS_MAX);
        assert!(taken.iter().all(|it| it.question.chars().count() <= CHARACTERS_MAX));
        assert!(taken.iter().all(|it| !it.question.contains('\0')));
    }
}
