//! The megaflow classifier of one input port: tuple space search. A subtable holds the flows of one mask; a packet is
//! looked up in each, the most used first, and the first hit decides, for megaflows do not overlap.
//!
//! Each port has a classifier of its own and a bound on its subtables: whoever floods one port with headers crafted to
//! need ever new masks slows down that port's look-ups alone, and those up to the bound.

use std::sync::Arc;

use flow::{Key, Mask, MiniMask};
use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::mix;

/// The words of a key that a mask cares for, masked.
pub(crate) type Picked = SmallVec<[u64; 12]>;

/// Finds a flow's picked words by its number.
pub(crate) trait PickedWords {
    fn picked(&self, flow: u32) -> &[u64];
}

pub(crate) struct Subtable {
    mask: Arc<MiniMask>,
    /// Word numbers and their masks.
    words: Vec<(u8, u64)>,
    flows: HashTable<u32>,
    hits: u64,
}

impl Subtable {
    fn new(mask: &Mask) -> Self {
        let mask = Arc::new(MiniMask::from(mask));
        let words = mask.iter().map(|(i, m)| (i as u8, m)).collect();
        Self { mask, words, flows: HashTable::new(), hits: 0 }
    }

    #[inline]
    fn hash(&self, key: &Key, seed: u64) -> u64 {
        mix::words(self.words.iter().map(|(i, m)| key.0[*i as usize] & m), seed)
    }

    #[inline]
    fn matches(&self, key: &Key, picked: &[u64]) -> bool {
        self.words.iter().zip(picked).all(|((i, m), p)| key.0[*i as usize] & m == *p)
    }

    pub(crate) fn pick(&self, key: &Key) -> Picked {
        self.words.iter().map(|(i, m)| key.0[*i as usize] & m).collect()
    }

    pub(crate) fn mask(&self) -> &Arc<MiniMask> {
        &self.mask
    }
}

#[derive(Default)]
pub(crate) struct Classifier {
    subtables: Vec<Subtable>,
    seed: u64,
}

impl Classifier {
    pub(crate) fn new(seed: u64) -> Self {
        Self { subtables: Vec::new(), seed }
    }

    /// The flow that matches, and how many subtables were looked into.
    #[inline]
    pub(crate) fn find(&mut self, key: &Key, flows: &impl PickedWords) -> (Option<u32>, usize) {
        for (i, subtable) in self.subtables.iter_mut().enumerate() {
            let hash = subtable.hash(key, self.seed);
            let found = subtable.flows.find(hash, |flow| subtable.matches(key, flows.picked(*flow)));
            if let Some(flow) = found {
                subtable.hits += 1;
                return (Some(*flow), i + 1);
            }
        }
        (None, self.subtables.len())
    }

    fn subtable(&self, mask: &MiniMask) -> Option<usize> {
        self.subtables.iter().position(|s| *s.mask == *mask)
    }

    /// The subtable of a mask, made if need be; `None` if there would be more than `limit`.
    pub(crate) fn subtable_for(&mut self, mask: &Mask, limit: usize) -> Option<&mut Subtable> {
        let i = match self.subtable(&MiniMask::from(mask)) {
            Some(i) => i,
            None if self.subtables.len() >= limit => return None,
            None => {
                self.subtables.push(Subtable::new(mask));
                self.subtables.len() - 1
            }
        };
        Some(&mut self.subtables[i])
    }

    /// The flow of exactly this mask and masked key.
    pub(crate) fn find_exact(&self, key: &Key, mask: &MiniMask, flows: &impl PickedWords) -> Option<u32> {
        let subtable = &self.subtables[self.subtable(mask)?];
        let hash = subtable.hash(key, self.seed);
        subtable.flows.find(hash, |flow| subtable.matches(key, flows.picked(*flow))).copied()
    }

    /// Adds a flow whose subtable is there.
    pub(crate) fn insert(&mut self, flow: u32, mask: &MiniMask, flows: &impl PickedWords) {
        let seed = self.seed;
        let Some(i) = self.subtable(mask) else { return };
        let hash_of = |flow: &u32| mix::words(flows.picked(*flow).iter().copied(), seed);
        self.subtables[i].flows.insert_unique(hash_of(&flow), flow, hash_of);
    }

    /// Takes a flow out, and its subtable if that is empty then.
    pub(crate) fn remove(&mut self, flow: u32, mask: &MiniMask, flows: &impl PickedWords) {
        let Some(i) = self.subtable(mask) else { return };
        let hash = mix::words(flows.picked(flow).iter().copied(), self.seed);
        if let Ok(entry) = self.subtables[i].flows.find_entry(hash, |f| *f == flow) {
            entry.remove();
        }
        if self.subtables[i].flows.is_empty() {
            self.subtables.remove(i);
        }
    }

    /// Puts the subtables hit most since the last time in front.
    pub(crate) fn rank(&mut self) {
        self.subtables.sort_by_key(|s| std::cmp::Reverse(s.hits));
        for subtable in &mut self.subtables {
            subtable.hits = 0;
        }
    }

    pub(crate) fn masks(&self) -> usize {
        self.subtables.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.subtables.is_empty()
    }
}
