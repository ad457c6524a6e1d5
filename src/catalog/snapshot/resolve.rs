//! What someone meant by a name.

use super::entity::Record;
use super::typed::{Letters, Typed, folded, skeleton, typos_max};
use super::{Entity, Node, Resolution, Snapshot};

/// So many names are offered instead of one that is not known.
const CLOSEST_MAX: usize = 3;

/// Nobody types a longer name, in bytes: a reference has three parts of at most 63 characters.
const TYPED_MAX: usize = 1_000;

/// A shorter text is no reason to offer the names that begin with it.
const BEGINNING_MIN: usize = 3;

impl Snapshot {
    /// Exact reference, then exact name among `kinds` (all when empty), then alias and title,
    /// then the closest names. Never a guess presented as an answer.
    pub fn resolve(&self, typed: &str, kinds: &[&str]) -> Resolution<'_> {
        if typed.len() > TYPED_MAX {
            return Resolution::Unknown(Vec::new());
        }
        match self.exactly(typed, kinds)[..] {
            [] => Resolution::Unknown(self.closest(&folded(typed), kinds)),
            [one] => Resolution::One(one),
            ref several => Resolution::Several(several.to_vec()),
        }
    }

    /// What bears `typed` among `kinds` (all when empty): as its reference, else as its name, else as an alias or
    /// title; in a stable order.
    pub fn exactly(&self, typed: &str, kinds: &[&str]) -> Vec<&Entity> {
        if typed.len() > TYPED_MAX {
            return Vec::new();
        }
        let typed = folded(typed);
        let found = [Self::referred, Self::named, Self::said]
            .iter()
            .map(|look| self.wanted(look(self, &typed), kinds))
            .find(|found| !found.is_empty());
        found.unwrap_or_default()
    }

    /// An entity whose name only looks like the one in `typed`: `payments` with a Cyrillic `а`.
    ///
    /// `None` for plain ASCII, in which names are written: there `payrnents` is a slip, and what it looks like
    /// is the closest name.
    pub fn confusable_with(&self, typed: &str) -> Option<&Entity> {
        let name = typed.trim().rsplit([':', '/']).next().unwrap_or_default();
        if name.is_ascii() {
            return None;
        }
        self.known(self.alike(name)).first().copied()
    }

    /// The described nodes whose names look like `name`.
    fn alike(&self, name: &str) -> Vec<u32> {
        let looks = skeleton(name);
        let is_alike =
            |node: &u32| self.entity(*node).is_some_and(|it| skeleton(&it.name) == looks);
        self.skeletons.candidates(&looks).filter(is_alike).collect()
    }

    /// Entities whose channel this is (id, or name without `#`): components first, then teams.
    pub fn in_channel(&self, id: &str, name: Option<&str>) -> Vec<&Entity> {
        let spoken = name.map(|name| folded(name.trim_start_matches('#')));
        let is_it = |channel: &str| {
            channel == id || spoken.as_ref().is_some_and(|it| folded(channel) == *it)
        };
        let by_id = self.with_channel(&folded(id), is_it);
        let by_name = spoken.iter().flat_map(|it| self.with_channel(it, is_it));
        let mut found = self.known(by_id.into_iter().chain(by_name));
        let place = |entity: &Entity| match entity.reference.kind() {
            "component" => 0,
            "group" => 1,
            _ => 2,
        };
        found.sort_by_key(|entity| place(entity));
        found
    }

    /// The nodes with a channel that is `text` in folded form and that `is_it`.
    fn with_channel(&self, text: &str, is_it: impl Fn(&str) -> bool) -> Vec<u32> {
        let nodes = self.channels.candidates(text);
        let has = |node: &u32| {
            self.record(*node).is_some_and(|it| it.channels.iter().any(|channel| is_it(channel)))
        };
        nodes.filter(has).collect()
    }

    /// `kind:name`, `kind:namespace/name` or `namespace/name`.
    fn referred(&self, typed: &str) -> Vec<&Entity> {
        let (kind, rest) = match typed.split_once(':') {
            Some((kind, rest)) if !kind.contains('/') => (Some(kind), rest),
            _ => (None, typed),
        };
        let (namespace, name) = match rest.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, rest),
        };
        if kind.is_none() && namespace.is_none() {
            return Vec::new();
        }
        let mut found = self.named(name);
        found.retain(|entity| {
            let reference = &entity.reference;
            kind.is_none_or(|it| it == reference.kind())
                && namespace.is_none_or(|it| it == reference.namespace())
        });
        let default = found.iter().find(|entity| entity.reference.namespace() == "default");
        match (namespace, default) {
            (None, Some(default)) => vec![*default],
            _ => found,
        }
    }

    fn named(&self, typed: &str) -> Vec<&Entity> {
        let mut found = self.known(self.names.candidates(typed));
        found.retain(|entity| folded(&entity.name) == typed);
        found
    }

    /// By alias or title.
    fn said(&self, typed: &str) -> Vec<&Entity> {
        let aliased = self.aliases.get(typed).and_then(|reference| self.node(reference));
        let titled = self.titles.candidates(typed).filter(|node| {
            let title = self.entity(*node).and_then(|entity| entity.title.as_deref());
            title.is_some_and(|title| folded(title) == typed)
        });
        self.known(aliased.into_iter().chain(titled))
    }

    /// The names next to what was typed: those that look like it, then fewest typos first, then those that begin
    /// with it.
    fn closest(&self, typed: &str, kinds: &[&str]) -> Vec<&Entity> {
        let name = typed.rsplit([':', '/']).next().unwrap_or(typed);
        let mut near = self.vocabulary.names_near(name);
        near.extend(self.aliases_near(typed));
        if name.is_ascii() {
            near.extend(self.alike(name).into_iter().map(|node| (node, 0)));
        }
        if near.is_empty() && name.len() >= BEGINNING_MIN {
            let with = self.vocabulary.names_with(name, self.nodes.len());
            near.extend(with.into_iter().map(|node| (node, 0)));
        }
        near.sort_unstable_by_key(|(node, typos)| (*typos, self.rank[*node as usize]));
        let mut closest: Vec<&Entity> = Vec::new();
        for entity in near.iter().filter_map(|(node, _)| self.entity(*node)) {
            let is_new = closest.iter().all(|it| folded(&it.name) != folded(&entity.name));
            if is_new && is_one_of(kinds, entity) {
                closest.push(entity);
            }
            if closest.len() == CLOSEST_MAX {
                break;
            }
        }
        closest
    }

    fn aliases_near(&self, typed: &str) -> Vec<(u32, usize)> {
        let Some(wanted) = Typed::new(typed) else { return Vec::new() };
        let mut near = Vec::new();
        for (alias, reference) in &self.aliases {
            let Some(typos) = wanted.typos(alias, Letters::of(alias), typos_max(typed)) else {
                continue;
            };
            near.extend(self.node(reference).map(|node| (node, typos)));
        }
        near
    }

    fn wanted<'a>(&self, mut found: Vec<&'a Entity>, kinds: &[&str]) -> Vec<&'a Entity> {
        found.retain(|entity| is_one_of(kinds, entity));
        found
    }

    /// Those of `nodes` that somebody describes, by reference, each once.
    pub(super) fn known(&self, nodes: impl IntoIterator<Item = u32>) -> Vec<&Entity> {
        let mut known: Vec<&Entity> =
            nodes.into_iter().filter_map(|node| self.entity(node)).collect();
        known.sort_unstable_by(|a, b| a.reference.cmp(&b.reference));
        known.dedup_by(|a, b| a.reference == b.reference);
        known
    }

    pub(super) fn entity(&self, node: u32) -> Option<&Entity> {
        self.record(node).map(|record| &record.entity)
    }

    pub(super) fn record(&self, node: u32) -> Option<&Record> {
        match &self.nodes[node as usize] {
            Node::Known(record) => Some(record),
            Node::Missing(_) => None,
        }
    }
}

fn is_one_of(kinds: &[&str], entity: &Entity) -> bool {
    kinds.is_empty() || kinds.iter().any(|kind| entity.reference.kind().eq_ignore_ascii_case(kind))
}
