//! Keys and masks without their zero words: small to store, quick to hash and compare in caches.
//!
//! A [`Mini`] of a mask says which words of a key matter at all; a packet's full key is then hashed and compared by those
//! words alone. Bitmap bit `i` stands for word `i`.

use smallvec::SmallVec;

use crate::{Key, Mask, WORDS, hash};

/// The nonzero words of a key or mask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mini {
    map: u128,
    words: SmallVec<[u64; 16]>,
}

/// A key without its zero words.
pub type MiniKey = Mini;
/// A mask without its zero words.
pub type MiniMask = Mini;

impl From<&Key> for Mini {
    fn from(key: &Key) -> Self {
        Self::of(&key.0)
    }
}

impl From<&Mask> for Mini {
    fn from(mask: &Mask) -> Self {
        Self::of(&mask.0)
    }
}

impl Mini {
    fn of(all: &[u64; WORDS]) -> Self {
        let mut mini = Self::default();
        for (i, word) in all.iter().enumerate().filter(|(_, w)| **w != 0) {
            mini.map |= 1 << i;
            mini.words.push(*word);
        }
        mini
    }

    /// The words with their indices, in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let mut map = self.map;
        self.words.iter().map(move |word| {
            let i = map.trailing_zeros() as usize;
            map &= map.wrapping_sub(1);
            (i, *word)
        })
    }

    /// Which words are there.
    pub fn map(&self) -> u128 {
        self.map
    }

    /// The words that are there.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Number of nonzero words.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether all words are zero.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    fn expand(&self) -> [u64; WORDS] {
        let mut all = [0; WORDS];
        for (i, word) in self.iter() {
            all[i] = word;
        }
        all
    }

    /// The full key.
    pub fn to_key(&self) -> Key {
        Key(self.expand())
    }

    /// The full mask.
    pub fn to_mask(&self) -> Mask {
        Mask(self.expand())
    }

    /// Hash of all words and their places.
    pub fn hash(&self, basis: u32) -> u32 {
        let map = hash::add64(hash::add64(basis, self.map as u64), (self.map >> 64) as u64);
        let hash = self.words.iter().fold(map, |h, w| hash::add64(h, *w));
        hash::finish(hash, self.words.len() as u32 * 8)
    }

    /// With `self` a mask: the hash of `key`'s bits that it cares for.
    #[inline]
    pub fn hash_in_mask(&self, key: &Key, basis: u32) -> u32 {
        let hash = self.iter().fold(basis, |h, (i, m)| hash::add64(h, key.0[i] & m));
        hash::finish(hash, self.words.len() as u32 * 8)
    }

    /// With `self` a mask: the words of `key` that it cares for, masked, one for each word of the mask, zero or not.
    pub fn pick(&self, key: &Key) -> SmallVec<[u64; 16]> {
        self.iter().map(|(i, m)| key.0[i] & m).collect()
    }

    /// With `self` a mask: whether `key` agrees with words picked from another key.
    #[inline]
    pub fn picks(&self, key: &Key, picked: &[u64]) -> bool {
        self.words.len() == picked.len() && self.iter().zip(picked).all(|((i, m), p)| key.0[i] & m == *p)
    }

    /// Whether `key`'s nonzero words are exactly these.
    #[inline]
    pub fn equals(&self, key: &Key) -> bool {
        let mut mine = self.iter();
        let mut next = mine.next();
        for (i, word) in key.0.iter().enumerate() {
            let want = match next {
                Some((at, w)) if at == i => {
                    next = mine.next();
                    w
                }
                _ => 0,
            };
            if *word != want {
                return false;
            }
        }
        true
    }
}
