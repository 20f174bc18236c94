//! A persistent hash trie: buckets of values by hash. A clone costs one reference count; a write copies only the
//! branches of its path that a clone still holds. That is what lets a table publish a new version of a million rules in
//! the time of the rules that changed.
//!
//! A value lies in its branch, without a node of its own: 16 octets each, and about as many for its share of the branch.
//! Of a hash 32 bits are kept, so that values whose hashes agree in those share a bucket; who looks one up compares.

use smallvec::SmallVec;
use std::sync::Arc;

const BITS: u32 = 5;
const FANOUT_MASK: u32 = (1 << BITS) - 1;

/// What lies at one place of a branch.
#[derive(Clone, Debug)]
enum Slot<V> {
    /// Nothing: the root of an empty trie, and what is being edited.
    Empty,
    Branch(Arc<Branch<V>>),
    /// The only value under its hash.
    One(u32, V),
    /// All values under a hash.
    Many(u32, Box<SmallVec<[V; 1]>>),
}

#[derive(Clone, Debug)]
struct Branch<V> {
    bitmap: u32,
    /// In the order of the set bits of `bitmap`; none is empty.
    slots: Box<[Slot<V>]>,
}

/// Buckets of values by hash.
#[derive(Debug)]
pub struct Hamt<V> {
    root: Slot<V>,
    buckets: usize,
}

impl<V> Default for Hamt<V> {
    fn default() -> Self {
        Self { root: Slot::Empty, buckets: 0 }
    }
}

impl<V: Clone> Clone for Hamt<V> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), buckets: self.buckets }
    }
}

/// The bits of a hash that place a value.
fn place(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}

fn bit(place: u32, shift: u32) -> u32 {
    1 << ((place >> shift) & FANOUT_MASK)
}

impl<V> Branch<V> {
    fn position(&self, bit: u32) -> usize {
        (self.bitmap & (bit - 1)).count_ones() as usize
    }

    fn insert(&mut self, bit: u32, slot: Slot<V>) {
        let at = self.position(bit);
        let mut slots = std::mem::take(&mut self.slots).into_vec();
        slots.reserve_exact(1);
        slots.insert(at, slot);
        self.slots = slots.into_boxed_slice();
        self.bitmap |= bit;
    }

    fn remove(&mut self, bit: u32) {
        let at = self.position(bit);
        let mut slots = std::mem::take(&mut self.slots).into_vec();
        slots.remove(at);
        self.slots = slots.into_boxed_slice();
        self.bitmap &= !bit;
    }
}

impl<V: Clone> Hamt<V> {
    /// Number of distinct hashes.
    pub fn buckets(&self) -> usize {
        self.buckets
    }

    /// The values under `hash`, and those whose hashes agree with it in the bits that are kept.
    #[inline]
    pub fn get(&self, hash: u64) -> &[V] {
        let place = place(hash);
        let mut slot = &self.root;
        let mut shift = 0;
        loop {
            match slot {
                Slot::Branch(branch) => {
                    let bit = bit(place, shift);
                    if branch.bitmap & bit == 0 {
                        return &[];
                    }
                    slot = &branch.slots[branch.position(bit)];
                    shift += BITS;
                }
                Slot::One(other, value) if *other == place => return std::slice::from_ref(value),
                Slot::Many(other, values) if *other == place => return values,
                _ => return &[],
            }
        }
    }

    /// Edits the bucket of `hash`, which is made when missing and goes away when `edit` leaves it empty.
    pub fn edit<R>(&mut self, hash: u64, edit: impl FnOnce(&mut SmallVec<[V; 1]>) -> R) -> R {
        let (result, added) = edit_slot(&mut self.root, place(hash), 0, edit);
        self.buckets = self.buckets.saturating_add_signed(added);
        result
    }

    /// Every value.
    pub fn iter(&self) -> Iter<'_, V> {
        Iter { stack: vec![&self.root], bucket: [].iter() }
    }
}

/// Returns what `edit` returned, and by how many the buckets became more.
fn edit_slot<V: Clone, R>(
    slot: &mut Slot<V>,
    place: u32,
    shift: u32,
    edit: impl FnOnce(&mut SmallVec<[V; 1]>) -> R,
) -> (R, isize) {
    let other = match slot {
        Slot::Branch(branch) => {
            let branch = Arc::make_mut(branch);
            let bit = bit(place, shift);
            let mut fresh = Slot::Empty;
            let at = branch.position(bit);
            let there = branch.bitmap & bit != 0;
            let below = if there { &mut branch.slots[at] } else { &mut fresh };
            let (result, added) = edit_slot(below, place, shift + BITS, edit);
            match (there, matches!(below, Slot::Empty)) {
                (true, true) => branch.remove(bit),
                (false, false) => branch.insert(bit, fresh),
                _ => {}
            }
            if branch.slots.is_empty() {
                *slot = Slot::Empty;
            }
            return (result, added);
        }
        Slot::Empty => None,
        Slot::One(other, _) | Slot::Many(other, _) => Some(*other),
    };
    let mut bucket = SmallVec::new();
    if other == Some(place) {
        match std::mem::replace(slot, Slot::Empty) {
            Slot::One(_, value) => bucket.push(value),
            Slot::Many(_, values) => bucket = *values,
            Slot::Empty | Slot::Branch(_) => {}
        }
    }
    let before = !bucket.is_empty();
    let result = edit(&mut bucket);
    let added = isize::from(!bucket.is_empty()) - isize::from(before);
    let own = match bucket.len() {
        0 => return (result, added),
        1 => bucket.pop().map_or(Slot::Empty, |value| Slot::One(place, value)),
        _ => Slot::Many(place, Box::new(bucket)),
    };
    *slot = match other {
        Some(other) if other != place => join(std::mem::replace(slot, Slot::Empty), other, own, place, shift),
        _ => own,
    };
    (result, added)
}

/// A branch over two buckets of different places.
fn join<V>(a: Slot<V>, place_a: u32, b: Slot<V>, place_b: u32, shift: u32) -> Slot<V> {
    let (bit_a, bit_b) = (bit(place_a, shift), bit(place_b, shift));
    let slots: Box<[Slot<V>]> = if bit_a == bit_b {
        Box::new([join(a, place_a, b, place_b, shift + BITS)])
    } else if bit_a < bit_b {
        Box::new([a, b])
    } else {
        Box::new([b, a])
    };
    Slot::Branch(Arc::new(Branch { bitmap: bit_a | bit_b, slots }))
}

/// Iterator over every value.
pub struct Iter<'a, V> {
    stack: Vec<&'a Slot<V>>,
    bucket: std::slice::Iter<'a, V>,
}

impl<'a, V> Iterator for Iter<'a, V> {
    type Item = &'a V;

    fn next(&mut self) -> Option<&'a V> {
        loop {
            if let Some(value) = self.bucket.next() {
                return Some(value);
            }
            match self.stack.pop()? {
                Slot::Empty => {}
                Slot::One(_, value) => return Some(value),
                Slot::Many(_, values) => self.bucket = values.iter(),
                Slot::Branch(branch) => self.stack.extend(branch.slots.iter().rev()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn equals_a_map(ops in prop::collection::vec((0u64..448, 0u32..3, any::<bool>()), 0..300)) {
            let mut trie = Hamt::default();
            let mut model: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
            let mut snapshots = Vec::new();
            for (i, (key, value, insert)) in ops.into_iter().enumerate() {
                // Hashes that agree in their low 25 bits exercise the deep branches.
                let hash = (key % 7) | ((key / 7) << 25);
                let bucket = model.entry(hash).or_default();
                if insert { bucket.push(value) } else { bucket.retain(|v| *v != value) }
                trie.edit(hash, |b| if insert { b.push(value) } else { b.retain(|v| *v != value) });
                if bucket.is_empty() { model.remove(&hash); }
                if i % 50 == 0 { snapshots.push((trie.clone(), model.clone())); }
            }
            snapshots.push((trie, model));
            for (trie, model) in snapshots {
                prop_assert_eq!(trie.buckets(), model.len());
                prop_assert_eq!(trie.iter().count(), model.values().map(Vec::len).sum::<usize>());
                for (hash, bucket) in &model {
                    prop_assert_eq!(trie.get(*hash), bucket.as_slice());
                }
            }
        }
    }
}
