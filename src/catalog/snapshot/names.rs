//! What entities are called: references, names, titles, aliases, channels.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use unicode_normalization::UnicodeNormalization;
use unicode_security::confusable_detection::skeleton;

use super::record::{Record, channel};
use super::search::Trigrams;
use crate::catalog::EntityRef;

#[derive(Debug)]
pub(super) struct Names {
    aliases: Vec<(String, EntityRef)>,
    /// By the hash of the reference, the record; of two with one hash only the first.
    by_reference: HashMap<u64, u32>,
    /// All records, by name without regard to case.
    by_name: Vec<u32>,
    /// Titles and aliases in [`canonical`] form.
    by_other: HashMap<Box<str>, Vec<u32>>,
    by_channel: HashMap<Box<str>, Vec<u32>>,
    by_slack_user: HashMap<Box<str>, u32>,
    /// The hash of a name's skeleton → a record of that name; in the order of the hashes.
    by_skeleton: Vec<(u64, u32)>,
    /// What `trigrams` numbers: names, then titles and aliases.
    called: Vec<Called>,
    trigrams: Trigrams,
}

/// Some words, and whom they mean.
#[derive(Debug)]
enum Called {
    /// The name of this record, and of those that follow it in `by_name` under the same name.
    Name(u32),
    Other(Box<str>),
}

/// The one form in which words compare: composed, lower case, without space around.
pub(super) fn canonical(text: &str) -> String {
    let trimmed = text.trim();
    match trimmed.is_ascii() {
        true => trimmed.to_ascii_lowercase(),
        false => trimmed.nfkc().collect::<String>().to_lowercase().nfc().collect(),
    }
}

impl Names {
    /// `records` are in the order of their references.
    pub fn new(records: &[Arc<Record>], aliases: &[(String, EntityRef)]) -> Names {
        let mut by_reference = HashMap::with_capacity(records.len());
        let mut by_other: HashMap<Box<str>, Vec<u32>> = HashMap::new();
        let mut by_channel: HashMap<Box<str>, Vec<u32>> = HashMap::new();
        let mut by_slack_user = HashMap::new();
        for (node, record) in (0_u32..).zip(records) {
            by_reference.entry(hash(record.entity.reference.as_str())).or_insert(node);
            if let Some(title) = &record.entity.title {
                by_other.entry(canonical(title).into()).or_default().push(node);
            }
            for channel in &record.channels {
                by_channel.entry(channel.clone()).or_default().push(node);
            }
            if let Some(user) = &record.slack_user {
                by_slack_user.entry(user.clone()).or_insert(node);
            }
        }
        let mut names = Names {
            aliases: aliases.to_vec(),
            by_reference,
            by_name: by_name(records),
            by_other,
            by_channel,
            by_slack_user,
            by_skeleton: Vec::new(),
            called: Vec::new(),
            trigrams: Trigrams::default(),
        };
        for (alias, reference) in aliases {
            if let Some(node) = names.find(records, reference.as_str()) {
                // An alias was given by hand: it means what it says, whatever titles say.
                names.by_other.insert(canonical(alias).into(), vec![node]);
            }
        }
        for nodes in names.by_channel.values_mut() {
            nodes.sort_by_key(|node| rank_in_channel(&records[*node as usize]));
            nodes.dedup();
        }
        names.index(records);
        names
    }

    /// Fills what is searched by likeness.
    fn index(&mut self, records: &[Arc<Record>]) {
        let name = |node: u32| records[node as usize].entity.reference.name();
        let mut last = None;
        for node in &self.by_name {
            if last != Some(name(*node)) {
                last = Some(name(*node));
                self.called.push(Called::Name(*node));
                self.by_skeleton.push((hash(&skeleton(name(*node)).collect::<String>()), *node));
            }
        }
        self.by_skeleton.sort_unstable();
        self.called.extend(self.by_other.keys().cloned().map(Called::Other));
        let texts = self.called.iter().map(|called| match called {
            Called::Name(node) => name(*node),
            Called::Other(text) => text,
        });
        self.trigrams = Trigrams::new(texts);
    }

    pub fn aliases(&self) -> &[(String, EntityRef)] {
        &self.aliases
    }

    pub fn has_aliases(&self, aliases: &[(String, EntityRef)]) -> bool {
        self.aliases == aliases
    }

    /// The record whose canonical reference this is.
    pub fn find(&self, records: &[Arc<Record>], reference: &str) -> Option<u32> {
        let node = *self.by_reference.get(&hash(reference))?;
        if records[node as usize].entity.reference.as_str() == reference {
            return Some(node);
        }
        let place = records.binary_search_by(|it| it.entity.reference.as_str().cmp(reference));
        place.ok().map(|place| place as u32)
    }

    /// Records of this canonical name, in the order of their references.
    pub fn named<'a>(&'a self, records: &'a [Arc<Record>], wanted: &str) -> &'a [u32] {
        let name = |node: &u32| records[*node as usize].entity.reference.name();
        let from = self.by_name.partition_point(|node| name(node) < wanted);
        let many = self.by_name[from..].iter().take_while(|node| name(node) == wanted).count();
        &self.by_name[from..from + many]
    }

    /// Records with this title or alias, in canonical form.
    pub fn titled(&self, wanted: &str) -> &[u32] {
        self.by_other.get(wanted).map_or(&[], Vec::as_slice)
    }

    pub fn in_channel(&self, id: &str, name: Option<&str>) -> impl Iterator<Item = u32> {
        let by_id = self.by_channel.get(&channel(id.to_string()));
        let by_name = name.and_then(|name| self.by_channel.get(&channel(name.to_string())));
        let by_name = by_name.into_iter().flatten();
        let only_by_name = by_name.filter(move |node| by_id.is_none_or(|ids| !ids.contains(node)));
        by_id.into_iter().flatten().chain(only_by_name).copied()
    }

    pub fn slack_user(&self, user_id: &str) -> Option<u32> {
        self.by_slack_user.get(user_id).copied()
    }

    /// A record whose name looks like `text` and is another. Names are ASCII, so nothing looks like plain text.
    ///
    /// Source: UTS #39, section 4, confusable detection.
    pub fn looks_like(&self, text: &str) -> Option<u32> {
        if text.is_ascii() {
            return None;
        }
        let wanted = hash(&skeleton(&canonical(text)).collect::<String>());
        let place = self.by_skeleton.partition_point(|(hash, _)| *hash < wanted);
        let (found, node) = self.by_skeleton.get(place)?;
        (*found == wanted).then_some(*node)
    }

    /// Records whose name, title or alias is close to the canonical `wanted`, best first, among those that `lets` lets.
    pub fn closest(
        &self,
        records: &[Arc<Record>],
        wanted: &str,
        limit: usize,
        lets: impl Fn(u32) -> bool,
    ) -> Vec<u32> {
        let name = |node: u32| records[node as usize].entity.reference.name();
        let mut close: Vec<(usize, u32)> = Vec::new();
        for number in self.trigrams.alike(wanted) {
            let (text, nodes) = match &self.called[number as usize] {
                Called::Name(node) => (name(*node), self.named(records, name(*node))),
                Called::Other(text) => (&**text, self.titled(text)),
            };
            if let Some(distance) = distance(wanted, text) {
                close.extend(nodes.iter().filter(|it| lets(**it)).map(|node| (distance, *node)));
            }
        }
        close.sort_by_key(|(distance, node)| (*distance, name(*node), *node));
        let mut nodes = Vec::with_capacity(limit);
        for (_, node) in close {
            if nodes.len() < limit && !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        nodes
    }
}

/// How far `text` is from what was typed; `None` when nobody would mistake one for the other.
///
/// One slip of the fingers in four letters, or the beginning of a longer name.
pub(super) fn distance(typed: &str, text: &str) -> Option<usize> {
    let letters = typed.chars().count();
    let slips_max = (letters / 4).clamp(1, 4);
    let slips = match letters.abs_diff(text.chars().count()) <= slips_max {
        true => strsim::damerau_levenshtein(typed, text),
        false => usize::MAX,
    };
    if slips <= slips_max {
        return Some(slips);
    }
    (letters >= 3 && text.contains(typed)).then_some(slips_max + 1)
}

fn by_name(records: &[Arc<Record>]) -> Vec<u32> {
    let mut nodes: Vec<u32> = (0..records.len() as u32).collect();
    nodes.sort_by_key(|node| (records[*node as usize].entity.reference.name(), *node));
    nodes
}

/// Components first, then teams, then the rest.
fn rank_in_channel(record: &Record) -> (u8, &EntityRef) {
    let reference = &record.entity.reference;
    let rank = match reference.kind() {
        "component" => 0,
        "group" => 1,
        _ => 2,
    };
    (rank, reference)
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_is_close_and_another_word_is_not() {
        assert_eq!(distance("paymnt-api", "payment-api"), Some(1));
        assert_eq!(distance("chekout", "checkout"), Some(1));
        assert_eq!(distance("ledgre", "ledger"), Some(1));
        assert_eq!(distance("pay", "payment-api"), Some(2));
        assert_eq!(distance("orders", "search"), None);
        assert_eq!(distance("xy", "payment-xy"), None);
    }

    #[test]
    fn one_form_of_each_word() {
        assert_eq!(canonical(" Cafe\u{301} "), canonical("CAFÉ"));
        assert_eq!(canonical("ｐay"), "pay");
    }
}
