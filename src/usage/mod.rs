//! How idp is used: what was asked, by whom, by which way and how it went, counted; and whether it helped, said.
//!
//! ```text
//! a door ──Use──▶ Usage: counts in memory ──every 10 s──▶ idp.usage ──▶ Report
//! ```
//! Nothing of what people write is counted, and no answer waits: each thread has counts of its own, so that a lock is
//! hardly ever waited for, and the database is written to by one task. What it does not take stays, within bounds.

pub mod feedback;
pub mod flow;
pub mod latency;
pub mod report;
pub mod store;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::NaiveDate;

use crate::access::Person;
use crate::conversation::{Platform, Way};
use latency::Histogram;

/// For so long what was counted, and said, is kept.
pub const KEPT_DAYS: i32 = 400;

/// The most different counts that wait to be written down. From there on it is forgotten who asked, and not that it
/// was asked.
const COUNTS_MAX: usize = 50_000;

/// So many threads count without waiting for each other.
const SHARDS: usize = 16;

/// Something that was asked of idp, and how it went.
#[derive(Debug, Clone, Copy)]
pub struct Use<'a> {
    pub person: &'a Person,
    pub way: Way,
    /// The command that was understood; empty where none was.
    pub command: &'a str,
    pub outcome: &'static str,
    /// From when it was heard to when its answer was ready.
    pub took: Duration,
    pub day: NaiveDate,
}

/// It was answered.
pub const ANSWER: &str = "answer";
/// There was nothing to say, and nothing was said: a link to a page that the catalog does not know.
pub const NOTHING: &str = "nothing";
/// Something broke on our side.
pub const FAULT: &str = "fault";

/// What is counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub day: NaiveDate,
    pub who: Who,
    /// The first of the teams that they are in; empty without one.
    pub team: Box<str>,
    pub command: Box<str>,
    pub platform: Platform,
    pub way: Way,
    pub outcome: &'static str,
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// The reference of a User.
    User(Box<str>),
    /// An account that is linked to nobody, as its platform names it; the database makes it unrecognisable.
    Account { tenant: Box<str>, user_id: Box<str> },
    /// Somebody at a terminal who did not say who they are, or somebody of too many.
    Unknown,
}

impl Who {
    pub fn of(person: &Person) -> Who {
        match &person.user {
            Some(user) => Who::User(user.as_str().into()),
            None if person.speaker.platform == Platform::Terminal => Who::Unknown,
            None => Who::Account {
                tenant: writable(&person.speaker.tenant),
                user_id: writable(&person.speaker.user_id),
            },
        }
    }
}

/// `text` without what no database takes.
fn writable(text: &str) -> Box<str> {
    if text.contains('\0') { text.replace('\0', "").into() } else { text.into() }
}

/// How often something was asked, and how long it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub times: u64,
    pub latency: Histogram,
}

/// What was counted since it was last written down.
#[derive(Debug, Default)]
pub struct Usage {
    shards: [Mutex<HashMap<Key, Count>>; SHARDS],
    /// How many different counts all of them have.
    counts: AtomicUsize,
}

impl Usage {
    pub fn note(&self, it: &Use<'_>) {
        let Use { person, way, command, outcome, took, day } = *it;
        let team = person.teams.first().map_or("", |team| team.as_str());
        let key = Key {
            day,
            who: Who::of(person),
            team: team.into(),
            command: command.into(),
            platform: person.speaker.platform,
            way,
            outcome,
        };
        let mut count = Count { times: 1, ..Count::default() };
        count.latency.add(took);
        self.add(own_shard(), key, count);
    }

    fn add(&self, shard: usize, mut key: Key, count: Count) {
        let mut counts = self.shard(shard);
        if !counts.contains_key(&key) && self.counts.load(Ordering::Relaxed) >= COUNTS_MAX {
            (key.who, key.team) = (Who::Unknown, "".into());
        }
        match counts.entry(key) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.times = known.times.saturating_add(count.times);
                known.latency.merge(&count.latency);
            }
            Entry::Vacant(free) => {
                free.insert(count);
                self.counts.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Everything that was counted; it is gone here. What several threads counted may be there several times.
    pub fn take(&self) -> Vec<(Key, Count)> {
        let mut taken = Vec::new();
        for shard in 0..SHARDS {
            let counts = std::mem::take(&mut *self.shard(shard));
            self.counts.fetch_sub(counts.len(), Ordering::Relaxed);
            taken.extend(counts);
        }
        taken
    }

    /// Gives back what could not be written down.
    pub fn put_back(&self, counts: Vec<(Key, Count)>) {
        counts.into_iter().for_each(|(key, count)| self.add(0, key, count));
    }

    /// A panic elsewhere leaves the counts as good as they were.
    fn shard(&self, shard: usize) -> MutexGuard<'_, HashMap<Key, Count>> {
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shard in which this thread counts.
fn own_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    OWN.with(|own| *own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::EntityRef;
    use crate::conversation::Speaker;

    fn person(platform: Platform, user: Option<&str>) -> Person {
        let (tenant, user_id) = ("T1".to_string(), "U1".to_string());
        let reference = |kind, name: &str| EntityRef::new(kind, "default", name);
        Person {
            speaker: Speaker { platform, tenant, user_id },
            user: user.map(|it| reference("user", it)),
            teams: user.map(|_| reference("group", "payments")).into_iter().collect(),
            link: None,
        }
    }

    fn note(usage: &Usage, person: &Person, command: &str) {
        let day = NaiveDate::default();
        let took = Duration::from_micros(70);
        usage.note(&Use { person, way: Way::Command, command, outcome: ANSWER, took, day });
    }

    #[test]
    fn the_same_is_counted_together_and_nothing_twice() {
        let usage = Usage::default();
        let ada = person(Platform::Slack, Some("ada"));
        note(&usage, &ada, "owner");
        note(&usage, &ada, "owner");
        note(&usage, &ada, "show");
        let mut taken = usage.take();
        taken.sort_by_key(|(key, _)| key.command.clone());
        let times: Vec<_> = taken.iter().map(|(key, it)| (&*key.command, it.times)).collect();
        assert_eq!(times, [("owner", 2), ("show", 1)]);
        assert_eq!((taken[0].1.latency.total(), &*taken[0].0.team), (2, "group:default/payments"));
        assert_eq!(usage.take(), []);
        usage.put_back(taken.clone());
        note(&usage, &ada, "show");
        let times: u64 = usage.take().iter().map(|(_, it)| it.times).sum();
        assert_eq!(times, 4);
    }

    #[test]
    fn threads_that_count_at_once_lose_nothing() {
        let usage = Usage::default();
        let ada = person(Platform::Slack, Some("ada"));
        let taken = std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..5_000).for_each(|_| note(&usage, &ada, "owner")));
            }
            let taker = scope.spawn(|| {
                let taken = (0..200).flat_map(|_| usage.take());
                taken.map(|(_, it)| it.times).sum::<u64>()
            });
            taker.join().unwrap()
        });
        let left: u64 = usage.take().iter().map(|(_, it)| it.times).sum();
        assert_eq!(taken + left, 20_000);
        assert_eq!(usage.counts.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn of_too_many_it_is_forgotten_who_asked_and_not_that_it_was_asked() {
        let usage = Usage::default();
        let mut somebody = person(Platform::Slack, None);
        for number in 0..COUNTS_MAX + 1_000 {
            somebody.speaker.user_id = format!("U{number}");
            note(&usage, &somebody, "owner");
        }
        let taken = usage.take();
        assert_eq!(taken.len(), COUNTS_MAX + 1);
        let forgotten = taken.iter().find(|(key, _)| key.who == Who::Unknown).unwrap();
        assert_eq!(forgotten.1.times, 1_000);
        note(&usage, &somebody, "owner");
        assert!(usage.take().iter().all(|(key, _)| key.who != Who::Unknown), "there is room again");
    }

    #[test]
    fn an_account_is_told_by_its_user_where_it_has_one() {
        assert_eq!(
            Who::of(&person(Platform::Discord, Some("ada"))),
            Who::User("user:default/ada".into())
        );
        let account = Who::Account { tenant: "T1".into(), user_id: "U1".into() };
        assert_eq!(Who::of(&person(Platform::Slack, None)), account);
        assert_eq!(Who::of(&person(Platform::Terminal, None)), Who::Unknown);
    }
}
