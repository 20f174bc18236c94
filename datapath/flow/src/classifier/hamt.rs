//! A persistent hash trie: buckets of values by hash. A clone costs one reference count; a write copies only the
//! branches of its path that a clone still holds. That is what lets a table publish a new version of a million rules in
//! the time of the rules that changed.
//!
//! A value lies in its branch, without a node of its own: 16 octets each, and about as many for its share of the branch.
//! A branch is one piece of memory, of one of a few sizes, so that a step down is one access and few values make it move.
//! Of a hash 32 bits are kept, so that values whose hashes agree in those share a bucket; who looks one up compares.

use smallvec::SmallVec;
use std::sync::Arc;

const BITS: u32 = 5;
const FANOUT_MASK: u32 = (1 << BITS) - 1;

macro_rules! slots {
    ($($size:ident $n:literal)*) => {
        /// What lies at one place of a branch. Branches have room for so many slots; their bitmaps tell of which of 32
        /// places those are, which come first and in order.
        #[derive(Clone, Debug, Default)]
        enum Slot<V> {
            /// Nothing: the root of an empty trie, what is being edited, and room.
            #[default]
            Empty,
            /// The only value under its hash.
            One(u32, V),
            /// All values under a hash.
            Many(u32, Box<SmallVec<[V; 1]>>),
            $($size(u32, Arc<[Slot<V>; $n]>),)*
        }

        impl<V> Slot<V> {
            /// A branch with the bitmap, whose slots `below` gives by number.
            fn branch(bitmap: u32, mut below: impl FnMut(usize) -> Slot<V>) -> Slot<V> {
                let used = bitmap.count_ones() as usize;
                let mut slot = |i| if i < used { below(i) } else { Slot::Empty };
                match used {
                    $(..=$n => Slot::$size(bitmap, Arc::new(std::array::from_fn(&mut slot))),)*
                    _ => Slot::Empty,
                }
            }

            /// A branch's bitmap and slots, with its room.
            #[inline]
            fn below(&self) -> Option<(u32, &[Slot<V>])> {
                match self {
                    Slot::Empty | Slot::One(..) | Slot::Many(..) => None,
                    $(Slot::$size(bitmap, below) => Some((*bitmap, &below[..])),)*
                }
            }
        }

        impl<V: Clone> Slot<V> {
            /// As [`Slot::below`], a copy if anybody else has them.
            fn below_mut(&mut self) -> Option<(&mut u32, &mut [Slot<V>])> {
                match self {
                    Slot::Empty | Slot::One(..) | Slot::Many(..) => None,
                    $(Slot::$size(bitmap, below) => Some((bitmap, &mut Arc::make_mut(below)[..])),)*
                }
            }
        }
    };
}

// With its counts, each but the last fills what the allocator gives.
slots! { Three 3 Seven 7 Eleven 11 Fifteen 15 TwentyThree 23 All 32 }

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

/// Where in a branch's slots the one of a bit is.
fn position(bitmap: u32, bit: u32) -> usize {
    (bitmap & (bit - 1)).count_ones() as usize
}

impl<V: Clone> Slot<V> {
    /// Puts into a branch what it has not at the bit's place.
    fn insert(&mut self, bit: u32, slot: Slot<V>) {
        let Some((bitmap, below)) = self.below_mut() else { return };
        let (used, at) = (bitmap.count_ones() as usize, position(*bitmap, bit));
        *bitmap |= bit;
        if used < below.len() {
            below[used] = slot;
            below[at..=used].rotate_right(1);
            return;
        }
        let bitmap = *bitmap;
        let mut slot = Some(slot);
        *self = Slot::branch(bitmap, |i| match i.cmp(&at) {
            std::cmp::Ordering::Less => std::mem::take(&mut below[i]),
            std::cmp::Ordering::Equal => slot.take().unwrap_or_default(),
            std::cmp::Ordering::Greater => std::mem::take(&mut below[i - 1]),
        });
    }

    /// Takes out of a branch what it has at the bit's place.
    fn remove(&mut self, bit: u32) {
        let Some((bitmap, below)) = self.below_mut() else { return };
        let (used, at) = (bitmap.count_ones() as usize, position(*bitmap, bit));
        *bitmap &= !bit;
        below[at] = Slot::Empty;
        below[at..used].rotate_left(1);
        if used == 1 {
            *self = Slot::Empty;
        } else if (used - 1) * 3 < below.len() {
            let bitmap = *bitmap;
            *self = Slot::branch(bitmap, |i| std::mem::take(&mut below[i]));
        }
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
        while let Some((bitmap, below)) = slot.below() {
            let bit = bit(place, shift);
            if bitmap & bit == 0 {
                return &[];
            }
            slot = &below[position(bitmap, bit)];
            shift += BITS;
        }
        match slot {
            Slot::One(other, value) if *other == place => std::slice::from_ref(value),
            Slot::Many(other, values) if *other == place => values,
            _ => &[],
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
    if let Some((bitmap, _)) = slot.below() {
        let bit = bit(place, shift);
        if bitmap & bit == 0 {
            let mut fresh = Slot::Empty;
            let done = edit_slot(&mut fresh, place, shift + BITS, edit);
            if !matches!(fresh, Slot::Empty) {
                slot.insert(bit, fresh);
            }
            return done;
        }
        if let Some((_, below)) = slot.below_mut() {
            let below = &mut below[position(bitmap, bit)];
            let done = edit_slot(below, place, shift + BITS, edit);
            if matches!(below, Slot::Empty) {
                slot.remove(bit);
            }
            return done;
        }
    }
    let other = match slot {
        Slot::One(other, _) | Slot::Many(other, _) => Some(*other),
        _ => None,
    };
    let mut bucket = SmallVec::new();
    if other == Some(place) {
        match std::mem::replace(slot, Slot::Empty) {
            Slot::One(_, value) => bucket.push(value),
            Slot::Many(_, values) => bucket = *values,
            _ => {}
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
    let (first, second) = match bit_a.cmp(&bit_b) {
        std::cmp::Ordering::Equal => (join(a, place_a, b, place_b, shift + BITS), Slot::Empty),
        std::cmp::Ordering::Less => (a, b),
        std::cmp::Ordering::Greater => (b, a),
    };
    let mut slots = [first, second];
    Slot::branch(bit_a | bit_b, |i| std::mem::take(&mut slots[i]))
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
                Slot::One(_, value) => return Some(value),
                Slot::Many(_, values) => self.bucket = values.iter(),
                branch => self.stack.extend(branch.below().map_or(&[][..], |(_, below)| below).iter().rev()),
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
        fn equals_a_map(ops in prop::collection::vec((0u64..448, 0u32..3, prop::bool::weighted(0.6)), 0..900)) {
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
