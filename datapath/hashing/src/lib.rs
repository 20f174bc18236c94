//! Hashes whose values are those of Open vSwitch, since what goes by them shows: which member of a bond a connection takes,
//! in which order a hash table lists what it has.
//!
//! MurmurHash3's 32-bit mixing (Austin Appleby, public domain), over octets read as little-endian words; the octets left
//! over at the end, filled up with zeros, are taken for a whole word.

mod order;

pub use order::{HashOrder, listed};

/// Mixes one word into a running hash.
#[inline]
pub fn add(hash: u32, word: u32) -> u32 {
    let word = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    (hash ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

/// Mixes a double word into a running hash.
#[inline]
pub fn add64(hash: u32, word: u64) -> u32 {
    add(add(hash, word as u32), (word >> 32) as u32)
}

/// Ends a hash over `len` octets.
#[inline]
pub fn finish(hash: u32, len: u32) -> u32 {
    let mut hash = hash ^ len;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// Of two words.
pub fn two_words(x: u32, y: u32) -> u32 {
    finish(add(add(x, 0), y), 8)
}

/// Hash of octets.
pub fn bytes(octets: &[u8], basis: u32) -> u32 {
    let mut hash = basis;
    for chunk in octets.chunks(4) {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = add(hash, u32::from_le_bytes(word));
    }
    finish(hash, octets.len() as u32)
}
