//! Hashing of key words for the caches: two words a multiplication, each at a place of its own. Fast, good enough to
//! spread; the classifier adds a seed, so that nobody outside can aim.

use flow::key::word;
use flow::{Key, STAGE_END, WORDS};

/// Odd constants from the digits of π.
const PI: [u64; 4] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d1, 0x082e_fa98_ec4e_6c89];

/// Multiplies to 128 bits and folds.
#[inline]
pub(crate) fn mum(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

#[inline]
fn spread(hash: u64) -> u64 {
    mum(hash ^ PI[0], PI[2])
}

/// Of what the kernel tells apart by a wide key.
#[inline]
pub(crate) fn stations(key: &Key) -> u64 {
    let [dst, src, vlans] = [word::DL_DST_TYPE, word::DL_SRC, word::VLANS].map(|i| key.0[i]);
    mum(dst ^ PI[0], src ^ PI[1]).wrapping_add(mum(vlans ^ PI[2], u64::from(key.in_port()) ^ PI[3]))
}

/// First word that is not metadata.
pub(crate) const PACKET_WORD: usize = STAGE_END[0];

/// Of a packet's headers and of the metadata that tell passes apart.
#[inline]
pub(crate) fn packet(key: &Key, seed: u64) -> u64 {
    let words = &key.0[PACKET_WORD..WORDS];
    let pass = u64::from(key.in_port()) << 32 | u64::from(key.recirc_id());
    let mut hash = mum(pass ^ PI[1], seed ^ PI[3]);
    let mut place = PI[0];
    for pair in words.chunks(2) {
        place = place.wrapping_add(PI[1]);
        let second = pair.get(1).copied().unwrap_or(0);
        hash = hash.wrapping_add(mum(pair[0] ^ place, second ^ place.rotate_left(32)));
    }
    if key.recirc_id() != 0 {
        // What a recirculated packet carries: dp_hash, connection state, registers.
        for (i, word) in key.0[..PACKET_WORD].iter().enumerate().filter(|(_, w)| **w != 0) {
            hash = hash.wrapping_add(mum(word ^ PI[2], i as u64 ^ PI[1]));
        }
    }
    spread(hash)
}

/// Of words in their order.
#[inline]
pub(crate) fn words(words: impl Iterator<Item = u64>, seed: u64) -> u64 {
    let mut hash = seed;
    for word in words {
        hash = mum(hash ^ word, PI[2]).wrapping_add(PI[1]);
    }
    spread(hash)
}

/// A sequence of numbers that looks random enough to sample by; not for secrets (xorshift64*).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    #[inline]
    pub(crate) fn roll(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }
}
