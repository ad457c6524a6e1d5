//! What someone means by a name.

use super::names::canonical;
use super::{Entity, Resolution, Snapshot};
use crate::catalog::EntityRef;

/// The most names that are suggested instead.
const SUGGESTED_MAX: usize = 3;

/// Nobody types a longer name: a reference has three parts of at most 63 characters.
const TYPED_MAX: usize = 250;

impl Snapshot {
    /// Exact reference, then exact name among `kinds` (all when empty), then alias and title,
    /// then the closest names. Never a guess presented as an answer.
    pub fn resolve(&self, typed: &str, kinds: &[&str]) -> Resolution<'_> {
        if typed.chars().nth(TYPED_MAX).is_some() {
            return Resolution::Unknown(Vec::new());
        }
        let wanted = canonical(typed);
        let is_wanted = |node: &u32| {
            let kind = self.entity(*node).reference.kind();
            kinds.is_empty() || kinds.iter().any(|it| it.eq_ignore_ascii_case(kind))
        };
        let by_reference = self.by_reference(&wanted);
        let by_name = self.names.named(&self.records, &wanted);
        for found in [by_reference.as_slice(), by_name, self.names.titled(&wanted)] {
            let mut found: Vec<u32> = found.iter().copied().filter(is_wanted).collect();
            found.sort_unstable();
            found.dedup();
            match found.as_slice() {
                [] => {}
                [node] => return Resolution::One(self.entity(*node)),
                several => {
                    return Resolution::Several(
                        several.iter().map(|it| self.entity(*it)).collect(),
                    );
                }
            }
        }
        let name = wanted.rsplit(['/', ':']).next().unwrap_or_default();
        let closest =
            self.names.closest(&self.records, name, SUGGESTED_MAX, |node| is_wanted(&node));
        Resolution::Unknown(closest.into_iter().map(|node| self.entity(node)).collect())
    }

    /// An entity whose name looks like `typed` and is written with other letters (UTS #39).
    pub fn confusable_with(&self, typed: &str) -> Option<&Entity> {
        let name = typed.trim().rsplit(['/', ':']).next().unwrap_or_default();
        self.names.looks_like(name).map(|node| self.entity(node))
    }

    /// Whom `wanted` names as a reference: by kind, by namespace, or both.
    fn by_reference(&self, wanted: &str) -> Vec<u32> {
        if !wanted.contains([':', '/']) {
            return Vec::new();
        }
        if let Ok(reference) = EntityRef::parse(wanted, None, "default")
            && let Some(node) = self.names.find(&self.records, reference.as_str())
        {
            return vec![node];
        }
        let (kind, rest) = match wanted.split_once(':') {
            Some((kind, rest)) if !kind.contains('/') => (Some(kind), rest),
            _ => (None, wanted),
        };
        let (namespace, name) = match rest.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, rest),
        };
        let named = self.names.named(&self.records, name).iter().copied();
        named
            .filter(|node| {
                let it = &self.entity(*node).reference;
                kind.is_none_or(|kind| kind == it.kind())
                    && namespace.is_none_or(|namespace| namespace == it.namespace())
            })
            .collect()
    }
}
