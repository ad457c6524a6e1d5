//! From a text to the nodes that bear it, without keeping the text a second time.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use hashbrown::HashTable;

/// Keyed anew in each process, so that nobody can choose texts that collide.
static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Nodes by the hash of a text; whoever asks compares the text itself.
#[derive(Debug, Clone, Default)]
pub struct Index(HashTable<Slot>);

#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u32,
    node: u32,
}

impl Index {
    pub fn insert(&mut self, text: &str, node: u32) {
        let hash = hash(text);
        self.0.insert_unique(spread(hash), Slot { hash, node }, |slot| spread(slot.hash));
    }

    pub fn remove(&mut self, text: &str, node: u32) {
        if let Ok(slot) = self.0.find_entry(spread(hash(text)), |slot| slot.node == node) {
            slot.remove();
        }
    }

    /// The nodes that may bear `text`, in no order.
    pub fn candidates(&self, text: &str) -> impl Iterator<Item = u32> {
        let hash = hash(text);
        self.0.iter_hash(spread(hash)).filter(move |slot| slot.hash == hash).map(|slot| slot.node)
    }

    pub fn shrink(&mut self) {
        self.0.shrink_to_fit(|slot| spread(slot.hash));
    }
}

fn hash(text: &str) -> u32 {
    KEY.hash_one(text) as u32
}

/// The table looks at the highest bits and at the lowest.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
