//! A match without the words that do not matter: a shape (which bits of which words) shared by many, and the values.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::key::word;
use crate::{Key, Mask, STAGE_END, WORDS};

/// Which bits of which words matter.
#[derive(Debug)]
pub struct Shape {
    /// Word index and mask, by index.
    words: Box<[(u8, u64)]>,
    /// How many of `words` lie in the stages up to each.
    stage_ends: [u8; STAGE_END.len()],
    /// Of `words`.
    hash: u64,
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.words == other.words
    }
}

impl Eq for Shape {}

impl Hash for Shape {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Shape {
    /// The shape of a mask.
    pub fn of(mask: &Mask) -> Self {
        let words: Box<[(u8, u64)]> =
            mask.0.iter().enumerate().filter(|(_, m)| **m != 0).map(|(i, m)| (i as u8, *m)).collect();
        let stage_ends = STAGE_END.map(|end| words.iter().filter(|(i, _)| usize::from(*i) < end).count() as u8);
        Self { words, stage_ends, hash: Self::hash_of(mask) }
    }

    /// Whether it is this mask's.
    pub(super) fn is_of(&self, mask: &Mask) -> bool {
        self.words.iter().all(|(i, m)| mask.0[usize::from(*i)] == *m)
            && mask.0.iter().filter(|m| **m != 0).count() == self.words.len()
    }

    /// Whether every bit that a mask cares for matters here too.
    pub fn covers_mask(&self, mask: &Mask) -> bool {
        let mut own = self.words.iter();
        mask.0.iter().enumerate().filter(|(_, m)| **m != 0).all(|(i, m)| {
            let here = own.find(|(at, _)| usize::from(*at) >= i);
            here.is_some_and(|(at, have)| usize::from(*at) == i && m & !have == 0)
        })
    }

    /// A hash of a mask's words and their places.
    pub(super) fn hash_of(mask: &Mask) -> u64 {
        mask.0.iter().enumerate().filter(|(_, m)| **m != 0).fold(0, |h, (i, m)| mix(mix(h, i as u64), *m))
    }

    /// Word indexes and masks.
    #[inline]
    pub fn words(&self) -> &[(u8, u64)] {
        &self.words
    }

    /// The words of stage `stage` (0 to 3) as a range into [`Shape::words`].
    #[inline]
    pub fn stage(&self, stage: usize) -> std::ops::Range<usize> {
        let start = if stage == 0 { 0 } else { self.stage_ends[stage - 1] };
        usize::from(start)..usize::from(self.stage_ends[stage])
    }

    /// The mask of one word, 0 when nothing of it matters.
    pub fn word(&self, word: usize) -> u64 {
        self.words.iter().find(|(i, _)| usize::from(*i) == word).map_or(0, |(_, m)| *m)
    }

    /// The mask in full.
    pub fn mask(&self) -> Mask {
        let mut mask = Mask::EMPTY;
        self.join_into(&mut mask, self.words.len());
        mask
    }

    /// Adds the first `n` words to `mask`.
    #[inline]
    pub fn join_into(&self, mask: &mut Mask, n: usize) {
        for (i, m) in &self.words[..n] {
            mask.0[usize::from(*i)] |= m;
        }
    }

    /// Whether every bit of `other` matters here too.
    pub fn covers(&self, other: &Shape) -> bool {
        other.words.iter().all(|(i, m)| self.word(usize::from(*i)) & m == *m)
    }

    /// Continues `hash` over the words in `range` of `key`.
    #[inline]
    pub fn hash_key(&self, key: &Key, range: std::ops::Range<usize>, hash: u64) -> u64 {
        self.words[range].iter().fold(hash, |h, (i, m)| mix(h, key.0[usize::from(*i)] & m))
    }

    /// Continues `hash` over `values`, which are of this shape.
    pub fn hash_values(&self, values: &[u64], range: std::ops::Range<usize>, hash: u64) -> u64 {
        values[range].iter().fold(hash, |h, v| mix(h, *v))
    }
}

/// One step of the hash of a sequence of words.
#[inline]
fn mix(hash: u64, word: u64) -> u64 {
    let x = (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^ (x >> 29)
}

/// A match, compact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MiniMatch {
    /// What matters.
    pub(super) shape: Arc<Shape>,
    /// The values of the shape's words.
    pub(super) values: Box<[u64]>,
}

impl MiniMatch {
    /// Packs `key` under `mask`.
    pub fn new(key: &Key, mask: &Mask) -> Self {
        Self::of_shape(Arc::new(Shape::of(mask)), key)
    }

    /// Packs `key` under a mask whose shape is known.
    pub fn of_shape(shape: Arc<Shape>, key: &Key) -> Self {
        let values = shape.words.iter().map(|(i, m)| key.0[usize::from(*i)] & m).collect();
        Self { shape, values }
    }

    /// Of a shape and the values of its words.
    pub fn of_values(shape: Arc<Shape>, values: &[u64]) -> Self {
        Self { shape, values: values.into() }
    }

    /// The datapath's input port, if it matters whole.
    pub fn in_port(&self) -> Option<u32> {
        let at = self.shape.words.iter().position(|(i, _)| usize::from(*i) == word::IN_PORT)?;
        let is_exact = self.shape.words[at].1 as u32 == u32::MAX;
        is_exact.then_some(self.values[at] as u32)
    }

    /// What matters.
    pub fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    /// The values of the shape's words.
    #[inline]
    pub fn values(&self) -> &[u64] {
        &self.values
    }

    /// The value of one word, 0 when nothing of it matters.
    pub fn word(&self, word: usize) -> u64 {
        self.shape.words.iter().position(|(i, _)| usize::from(*i) == word).map_or(0, |at| self.values[at])
    }

    /// The values in full.
    pub fn key(&self) -> Key {
        let mut key = Key([0; WORDS]);
        for ((i, _), v) in self.shape.words.iter().zip(&self.values) {
            key.0[usize::from(*i)] = *v;
        }
        key
    }

    /// The mask in full.
    pub fn mask(&self) -> Mask {
        self.shape.mask()
    }

    /// Puts values and mask into empty ones.
    pub fn write_into(&self, key: &mut Key, mask: &mut Mask) {
        for ((i, m), v) in self.shape.words.iter().zip(&self.values) {
            (key.0[usize::from(*i)], mask.0[usize::from(*i)]) = (*v, *m);
        }
    }

    /// Empties what [`MiniMatch::write_into`] wrote.
    pub fn clear_from(&self, key: &mut Key, mask: &mut Mask) {
        for (i, _) in &self.shape.words {
            (key.0[usize::from(*i)], mask.0[usize::from(*i)]) = (0, 0);
        }
    }

    /// Whether `key` matches.
    #[inline]
    pub fn matches(&self, key: &Key) -> bool {
        self.shape.words.iter().zip(&self.values).all(|((i, m), v)| key.0[usize::from(*i)] & m == *v)
    }

    /// Whether whatever matches this matches `other` too.
    pub fn is_within(&self, other: &MiniMatch) -> bool {
        let everything = other.shape.words.is_empty();
        everything
            || self.shape.covers(&other.shape)
                && other.shape.words.iter().zip(&other.values).all(|((i, m), v)| self.word(usize::from(*i)) & m == *v)
    }

    /// Whether some packet matches both.
    pub fn overlaps(&self, other: &MiniMatch) -> bool {
        other
            .shape
            .words
            .iter()
            .zip(&other.values)
            .all(|((i, m), v)| (self.word(usize::from(*i)) ^ v) & m & self.shape.word(usize::from(*i)) == 0)
    }

    /// Whether both have the same values under the same shape.
    pub fn same_as(&self, other: &MiniMatch) -> bool {
        self.values == other.values && (Arc::ptr_eq(&self.shape, &other.shape) || self.shape == other.shape)
    }
}
