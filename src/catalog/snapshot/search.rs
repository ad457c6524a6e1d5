//! The words of all entities, and which entity has them where.

use std::collections::HashMap;
use std::sync::Arc;

use super::entity::Record;
use super::typed::{Letters, Typed, folded, typos_max, words};

/// Where a word stands in an entity; the earlier, the better the entity fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Field {
    /// It is the name.
    Name,
    /// It is a part of the name: `payment` of `payment-api`.
    NamePart,
    /// It is the title.
    WholeTitle,
    Tag,
    Title,
    Description,
}

const FIELDS: [Field; 6] =
    [Field::Name, Field::NamePart, Field::WholeTitle, Field::Tag, Field::Title, Field::Description];

/// A word that only begins as asked fits worse than a whole one, whatever the field; a typo is worse still.
const BEGINS: u8 = FIELDS.len() as u8;
const TYPO: u8 = 2 * BEGINS;

/// An entity that has no such word.
const NONE: u8 = u8::MAX;

/// The words of one description that are found again.
const DESCRIPTION_WORDS_MAX: usize = 200;

/// How well entities fit what was asked: lower is better; nodes that do not fit are left out.
pub type Fits = Vec<(u32, u16)>;

/// The words of all entities; those of a few that changed since are kept apart.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    settled: Arc<Words>,
    fresh: Words,
    /// Nodes whose words in `settled` hold no longer, sorted.
    changed: Vec<u32>,
}

/// So many changed entities are kept apart at most.
const CHANGED_MAX: usize = 1_000;

impl Vocabulary {
    pub fn new<'a>(entities: impl Iterator<Item = (u32, &'a Record)>) -> Vocabulary {
        Vocabulary { settled: Arc::new(Words::new(entities)), ..Vocabulary::default() }
    }

    /// With the entities of `changed`, and of those changed earlier, as they are now; `None` when these have
    /// become many.
    pub fn next<'a>(
        &self,
        changed: &[u32],
        entity: impl Fn(u32) -> Option<&'a Record>,
    ) -> Option<Vocabulary> {
        let mut changed = [&*self.changed, changed].concat();
        changed.sort_unstable();
        changed.dedup();
        if changed.len() > CHANGED_MAX {
            return None;
        }
        let there = changed.iter().filter_map(|node| Some((*node, entity(*node)?)));
        Some(Vocabulary { settled: self.settled.clone(), fresh: Words::new(there), changed })
    }

    /// The entities that have all words of `typed`, with how well they fit, in the order of nodes.
    pub fn search(&self, typed: &str, nodes: usize) -> Fits {
        let typed = folded(typed);
        let mut asked: Vec<&str> = typed.split_whitespace().collect();
        asked.dedup();
        let mut sums: Vec<u16> = vec![0; nodes];
        for word in &asked {
            let fits = self.fits(word, nodes);
            for (sum, fit) in sums.iter_mut().zip(fits) {
                *sum = if fit == NONE { u16::MAX } else { sum.saturating_add(fit.into()) };
            }
        }
        if asked.is_empty() {
            return Vec::new();
        }
        let fits = sums.into_iter().enumerate().filter(|(_, sum)| *sum != u16::MAX);
        fits.map(|(node, sum)| (node as u32, sum)).collect()
    }

    /// How well each node fits one asked word. A word with dashes that is no name is looked up in parts.
    fn fits(&self, asked: &str, nodes: usize) -> Vec<u8> {
        let mut fits = vec![NONE; nodes];
        let begins = self.each(&mut fits, |words, fits| words.beginning_with(asked, fits));
        if begins {
            return fits;
        }
        let parts: Vec<&str> = words(asked).collect();
        if parts.len() > 1 || parts.first().is_some_and(|part| *part != asked) {
            let mut all: Vec<u8> = vec![0; nodes];
            for part in parts {
                let mut fits = vec![NONE; nodes];
                self.each(&mut fits, |words, fits| words.beginning_with(part, fits));
                for (all, fit) in all.iter_mut().zip(fits) {
                    *all = (*all).max(fit);
                }
            }
            if all.iter().any(|fit| *fit != NONE) {
                return all;
            }
        }
        for typos in 1..=typos_max(asked) {
            if self.each(&mut fits, |words, fits| words.with_typos(asked, typos, fits)) {
                break;
            }
        }
        fits
    }

    /// Asks both collections; whether any entity fits.
    fn each(&self, fits: &mut Vec<u8>, ask: impl Fn(&Words, &mut Vec<u8>)) -> bool {
        ask(&self.settled, fits);
        for node in &self.changed {
            if let Some(fit) = fits.get_mut(*node as usize) {
                *fit = NONE;
            }
        }
        ask(&self.fresh, fits);
        fits.iter().any(|fit| *fit != NONE)
    }

    /// The nodes whose whole name or title is at most `typos_max` typos from what was typed, with how many.
    pub fn names_near(&self, typed: &str) -> Vec<(u32, usize)> {
        let mut near = Vec::new();
        self.settled.names_near(typed, &mut near);
        near.retain(|(node, _)| self.changed.binary_search(node).is_err());
        self.fresh.names_near(typed, &mut near);
        near
    }

    /// The nodes whose name or title begins with what was typed, or whose name has a part that does.
    pub fn names_with(&self, typed: &str, nodes: usize) -> Vec<u32> {
        let mut fits = vec![NONE; nodes];
        self.each(&mut fits, |words, fits| words.beginning_with(typed, fits));
        let is_name = |fit: u8| fit % BEGINS <= Field::WholeTitle as u8 && fit < TYPO;
        let with = fits.iter().enumerate().filter(|(_, fit)| is_name(**fit));
        with.map(|(node, _)| node as u32).collect()
    }
}

/// Each word once, sorted, with the entities that have it.
#[derive(Debug, Clone, Default)]
struct Words {
    text: String,
    /// Where each word ends in `text`, and its row in `places`.
    ends: Vec<(u32, u32)>,
    /// The letters of words in names, and of titles; `None` for others, which are not looked up with typos.
    letters: Vec<Option<Letters>>,
    places: Vec<Standing>,
}

/// An entity and the field.
#[derive(Debug, Clone, Copy)]
struct Standing(u32);

impl Standing {
    fn new(node: u32, field: Field) -> Standing {
        Standing(node << 3 | field as u32)
    }

    fn node(self) -> u32 {
        self.0 >> 3
    }

    fn field(self) -> Field {
        FIELDS[(self.0 & 7) as usize]
    }
}

impl Words {
    fn new<'a>(entities: impl Iterator<Item = (u32, &'a Record)>) -> Words {
        let mut numbers: HashMap<Box<str>, u32> = HashMap::new();
        let mut found: Vec<(u32, Standing)> = Vec::new();
        for (node, entity) in entities {
            each_word(entity, |word, field| {
                let number = match numbers.get(word) {
                    Some(number) => *number,
                    None => {
                        let number = numbers.len() as u32;
                        numbers.insert(word.into(), number);
                        number
                    }
                };
                found.push((number, Standing::new(node, field)));
            });
        }
        let mut sorted: Vec<(Box<str>, u32)> = numbers.into_iter().collect();
        sorted.sort_unstable();
        let mut rank = vec![0u32; sorted.len()];
        let mut starts = vec![0u32; sorted.len() + 1];
        let mut text = String::new();
        let mut ends = Vec::with_capacity(sorted.len());
        for (place, (word, number)) in sorted.iter().enumerate() {
            rank[*number as usize] = place as u32;
            text.push_str(word);
            ends.push((text.len() as u32, 0));
        }
        drop(sorted);
        for (number, _) in &found {
            starts[rank[*number as usize] as usize + 1] += 1;
        }
        for place in 0..ends.len() {
            starts[place + 1] += starts[place];
            ends[place].1 = starts[place + 1];
        }
        let mut places = vec![Standing(0); found.len()];
        let mut letters = vec![None; ends.len()];
        for (number, standing) in found {
            let word = rank[number as usize] as usize;
            places[starts[word] as usize] = standing;
            starts[word] += 1;
            if standing.field() <= Field::WholeTitle {
                letters[word] = Some(Letters::default());
            }
        }
        text.shrink_to_fit();
        let mut words = Words { text, ends, letters, places };
        for word in 0..words.ends.len() {
            let of_word = Letters::of(words.word(word));
            if let Some(letters) = &mut words.letters[word] {
                *letters = of_word;
            }
        }
        words
    }

    fn word(&self, place: usize) -> &str {
        let start = if place == 0 { 0 } else { self.ends[place - 1].0 };
        &self.text[start as usize..self.ends[place].0 as usize]
    }

    fn standings(&self, place: usize) -> &[Standing] {
        let start = if place == 0 { 0 } else { self.ends[place - 1].1 };
        &self.places[start as usize..self.ends[place].1 as usize]
    }

    fn beginning_with(&self, asked: &str, fits: &mut [u8]) {
        let first = self.first_from(asked);
        for place in first..self.ends.len() {
            let word = self.word(place);
            if !word.starts_with(asked) {
                break;
            }
            let worse = if word.len() == asked.len() { 0 } else { BEGINS };
            self.improve(place, worse, fits);
        }
    }

    /// The place of the first word that is not before `asked`.
    fn first_from(&self, asked: &str) -> usize {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.word(middle) < asked {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    fn with_typos(&self, asked: &str, typos_max: usize, fits: &mut [u8]) {
        for (place, typos) in self.near(asked, typos_max) {
            self.improve(place, TYPO + typos as u8, fits);
        }
    }

    fn improve(&self, place: usize, worse: u8, fits: &mut [u8]) {
        for standing in self.standings(place) {
            let is_typo = worse >= TYPO;
            if is_typo && standing.field() > Field::WholeTitle {
                continue;
            }
            let fit = &mut fits[standing.node() as usize];
            *fit = (*fit).min(standing.field() as u8 + worse);
        }
    }

    fn names_near(&self, typed: &str, near: &mut Vec<(u32, usize)>) {
        for (place, typos) in self.near(typed, typos_max(typed)) {
            let named = self
                .standings(place)
                .iter()
                .filter(|it| matches!(it.field(), Field::Name | Field::WholeTitle));
            near.extend(named.map(|standing| (standing.node(), typos)));
        }
    }

    /// The words of names that are at most `typos_max` typos from `asked`, with how many.
    fn near(&self, asked: &str, typos_max: usize) -> impl Iterator<Item = (usize, usize)> {
        let typed = Typed::new(asked);
        let in_names = self.letters.iter().enumerate();
        let in_names = in_names.filter_map(|(place, letters)| Some((place, (*letters)?)));
        in_names.filter_map(move |(place, letters)| {
            let typos = typed.as_ref()?.typos(self.word(place), letters, typos_max)?;
            Some((place, typos))
        })
    }
}

fn each_word(record: &Record, mut found: impl FnMut(&str, Field)) {
    let Record { entity, tags, .. } = record;
    let name = folded(&entity.name);
    found(&name, Field::Name);
    for part in words(&name).filter(|part| *part != name) {
        found(part, Field::NamePart);
    }
    for tag in tags {
        found(&folded(tag), Field::Tag);
    }
    if let Some(title) = &entity.title {
        let title = folded(title);
        found(&title, Field::WholeTitle);
        words(&title).for_each(|word| found(word, Field::Title));
    }
    let description = folded(entity.description.as_deref().unwrap_or_default());
    for word in words(&description).take(DESCRIPTION_WORDS_MAX) {
        found(word, Field::Description);
    }
}
