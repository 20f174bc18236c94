//! Keys without their zero words: small to keep by the hundred thousand. Bitmap bit `i` stands for word `i`.
//!
//! Masks are [`crate::classifier::Shape`]s, which many flows share.

use smallvec::SmallVec;

use crate::{Key, WORDS};

/// Words kept without memory of their own: those of IPv6's transport, with some to spare.
const INLINE: usize = 12;

/// The nonzero words of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MiniKey {
    map: u128,
    words: SmallVec<[u64; INLINE]>,
}

impl From<&Key> for MiniKey {
    fn from(key: &Key) -> Self {
        let mut mini = Self::default();
        for (i, word) in key.0.iter().enumerate().filter(|(_, w)| **w != 0) {
            mini.map |= 1 << i;
            mini.words.push(*word);
        }
        mini
    }
}

impl MiniKey {
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

    /// The full key.
    pub fn to_key(&self) -> Key {
        let mut all = [0; WORDS];
        for (i, word) in self.iter() {
            all[i] = word;
        }
        Key(all)
    }
}
