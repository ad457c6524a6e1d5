//! Finding entities by words: exact, by their beginning, and with slips of the fingers.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::names::{canonical, distance};
use super::record::Record;
use super::{Entity, Filter, Snapshot};

/// The most texts that are compared letter by letter for one question.
const ALIKE_MAX: usize = 200;

/// Which texts share runs of three letters with another.
#[derive(Debug, Default)]
pub(super) struct Trigrams {
    /// Sorted; the texts of `runs[i]` are `texts[starts[i]..starts[i + 1]]`.
    runs: Vec<u32>,
    starts: Vec<u32>,
    texts: Vec<u32>,
    /// How many texts there are.
    count: usize,
}

impl Trigrams {
    /// The texts are numbered from 0.
    pub fn new<'a>(texts: impl Iterator<Item = &'a str>) -> Trigrams {
        let mut pairs: Vec<u64> = Vec::new();
        let mut count = 0;
        for text in texts {
            pairs.extend(runs(text).map(|run| u64::from(run) << 32 | count as u64));
            count += 1;
        }
        pairs.sort_unstable();
        pairs.dedup();
        let mut trigrams = Trigrams { count, ..Trigrams::default() };
        for pair in pairs {
            let run = (pair >> 32) as u32;
            if trigrams.runs.last() != Some(&run) {
                trigrams.runs.push(run);
                trigrams.starts.push(trigrams.texts.len() as u32);
            }
            trigrams.texts.push(pair as u32);
        }
        trigrams.starts.push(trigrams.texts.len() as u32);
        trigrams.texts.shrink_to_fit();
        trigrams
    }

    /// The numbers of the texts that share most with `text`, at most [`ALIKE_MAX`].
    pub fn alike(&self, text: &str) -> Vec<u32> {
        let mut shared = vec![0_u8; self.count];
        let mut asked: Vec<u32> = runs(text).collect();
        asked.sort_unstable();
        asked.dedup();
        for run in &asked {
            let Ok(place) = self.runs.binary_search(run) else { continue };
            let (from, to) = (self.starts[place] as usize, self.starts[place + 1] as usize);
            for number in &self.texts[from..to] {
                shared[*number as usize] = shared[*number as usize].saturating_add(1);
            }
        }
        // One slip spoils three runs; a swap of two letters four.
        let enough = asked.len().saturating_sub(4 * (text.chars().count() / 4).clamp(1, 4)).max(1);
        let enough = u8::try_from(enough).unwrap_or(u8::MAX);
        let mut alike: Vec<u32> =
            (0..self.count as u32).filter(|number| shared[*number as usize] >= enough).collect();
        if alike.len() > ALIKE_MAX {
            alike.select_nth_unstable_by_key(ALIKE_MAX, |number| {
                std::cmp::Reverse(shared[*number as usize])
            });
            alike.truncate(ALIKE_MAX);
        }
        alike
    }
}

/// Each three letters in a row, with two blanks before and one behind.
fn runs(text: &str) -> impl Iterator<Item = u32> {
    let letters = ['\0', '\0'].into_iter().chain(text.chars()).chain(['\0']);
    letters
        .scan(0_u32, |run, letter| {
            // Letters beyond one byte share a byte with others: likeness is checked letter by letter later.
            let byte = (letter as u32 ^ (letter as u32 >> 8)) & 0xFF;
            *run = (*run << 8 | byte) & 0xFF_FFFF;
            Some(*run)
        })
        .skip(2)
}

/// The words of all entities, made when first asked for.
#[derive(Debug)]
pub(super) struct Words {
    made: OnceLock<Made>,
}

#[derive(Debug)]
struct Made {
    /// Sorted; the entities that have `words[i]` are `places[starts[i]..starts[i + 1]]`.
    words: Vec<Box<str>>,
    starts: Vec<u32>,
    places: Vec<Place>,
    trigrams: Trigrams,
}

/// A record, and where in it the word stands: in the name it counts most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    node: u32,
    weight: u8,
}

const IN_NAME: u8 = 4;
const IN_TITLE: u8 = 3;
const IN_TAG: u8 = 2;
const IN_DESCRIPTION: u8 = 1;

impl Words {
    pub fn later() -> Words {
        Words { made: OnceLock::new() }
    }

    fn made(&self, records: &[Arc<Record>]) -> &Made {
        self.made.get_or_init(|| Made::new(records))
    }
}

impl Made {
    fn new(records: &[Arc<Record>]) -> Made {
        let mut found: HashMap<String, Vec<Place>> = HashMap::new();
        for (node, record) in (0_u32..).zip(records) {
            let mut add = |text: &str, weight: u8| {
                for word in words(text) {
                    let places = found.entry(word).or_default();
                    match places.last_mut().filter(|last| last.node == node) {
                        Some(last) => last.weight = last.weight.max(weight),
                        None => places.push(Place { node, weight }),
                    }
                }
            };
            add(record.entity.reference.name(), IN_NAME);
            add(record.entity.title.as_deref().unwrap_or_default(), IN_TITLE);
            record.tags.iter().for_each(|tag| add(tag, IN_TAG));
            add(record.entity.description.as_deref().unwrap_or_default(), IN_DESCRIPTION);
        }
        let mut found: Vec<(String, Vec<Place>)> = found.into_iter().collect();
        found.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let trigrams = Trigrams::new(found.iter().map(|(word, _)| word.as_str()));
        let mut made = Made { words: Vec::new(), starts: Vec::new(), places: Vec::new(), trigrams };
        for (word, places) in found {
            made.words.push(word.into());
            made.starts.push(made.places.len() as u32);
            made.places.extend(places);
        }
        made.starts.push(made.places.len() as u32);
        made
    }

    /// How well each record answers `word`, 0 for not at all.
    fn score(&self, word: &str, records: usize) -> Vec<u8> {
        let mut scores = vec![0_u8; records];
        let mut give = |number: usize, times: u8| {
            let (from, to) = (self.starts[number] as usize, self.starts[number + 1] as usize);
            for place in &self.places[from..to] {
                let score = &mut scores[place.node as usize];
                *score = (*score).max(place.weight * times);
            }
        };
        let from = self.words.partition_point(|it| &**it < word);
        let beginning = self.words[from..].iter().take_while(|it| it.starts_with(word));
        let mut none_begins_so = true;
        for (number, found) in (from..).zip(beginning) {
            none_begins_so = false;
            give(number, if &**found == word { 8 } else { 4 });
        }
        if none_begins_so && word.chars().count() >= 3 {
            for number in self.trigrams.alike(word) {
                let found = &self.words[number as usize];
                if let Some(slips) = distance(word, found) {
                    give(number as usize, if slips <= 1 { 2 } else { 1 });
                }
            }
        }
        scores
    }
}

/// The words of `text`: runs of letters and digits, lower case.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|it: char| !it.is_alphanumeric()).filter(|it| !it.is_empty()).map(canonical)
}

impl Snapshot {
    /// Entities that have all `words` in name, title, description or tags, slips allowed;
    /// best first. The second value is the true total.
    pub fn search(
        &self,
        typed: &str,
        filter: &Filter,
        offset: usize,
        limit: usize,
    ) -> (Vec<&Entity>, usize) {
        let made = self.words.made(&self.records);
        let mut wanted: Vec<String> = words(typed).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.truncate(WORDS_MAX);
        if wanted.is_empty() {
            return self.list(filter, offset, limit);
        }
        let mut totals = vec![0_u32; self.records.len()];
        for (number, word) in wanted.iter().enumerate() {
            for (total, score) in totals.iter_mut().zip(made.score(word, self.records.len())) {
                let is_in_all_before = number == 0 || *total > 0;
                *total = if is_in_all_before && score > 0 { *total + u32::from(score) } else { 0 };
            }
        }
        let whole = canonical(typed);
        for node in self.names.named(&self.records, &whole) {
            totals[*node as usize] += 1_000;
        }
        let sieve = self.sieve(filter);
        let mut found: Vec<u32> = (0..self.records.len() as u32)
            .filter(|node| totals[*node as usize] > 0 && sieve.lets(self, *node))
            .collect();
        let count = found.len();
        let order = |node: &u32| {
            let reference = &self.entity(*node).reference;
            (std::cmp::Reverse(totals[*node as usize]), reference.name(), *node)
        };
        let needed = offset.saturating_add(limit);
        if needed < count {
            found.select_nth_unstable_by(needed, |one, other| order(one).cmp(&order(other)));
            found.truncate(needed);
        }
        found.sort_unstable_by(|one, other| order(one).cmp(&order(other)));
        let page = found.into_iter().skip(offset).take(limit);
        (page.map(|node| self.entity(node)).collect(), count)
    }

    /// Makes ready what the first search would otherwise wait for.
    pub fn warm(&self) {
        self.words.made(&self.records);
    }
}

/// The most words of a question that count.
const WORDS_MAX: usize = 12;
