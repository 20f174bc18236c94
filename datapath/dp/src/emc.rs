//! The exact-match cache: a packet's whole key to its flow. Two places a key may lie in, replaced without regret.
//!
//! Hashes lie apart from keys, so that a miss touches one line of a small table. Entries name a flow with its
//! generation: one that was removed is found stale, nothing needs to be swept.

use flow::Key;

use crate::flows::FlowRef;
use crate::mix::PACKET_WORD;

/// Entries.
pub(crate) const ENTRIES: usize = 8192;

#[derive(Clone)]
struct Entry {
    key: Key,
    flow: FlowRef,
}

pub(crate) struct Emc {
    /// Hashes; 0: empty.
    tags: Box<[u32]>,
    entries: Vec<Option<Box<Entry>>>,
}

#[inline]
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32 | 1
}

#[inline]
fn places(hash: u64) -> [usize; 2] {
    [hash as usize % ENTRIES, (hash >> 13) as usize % ENTRIES]
}

/// Whether the keys agree; of packets as received (`plain`) only the port of the metadata can differ.
#[inline]
fn same(a: &Key, b: &Key, plain: bool) -> bool {
    if plain {
        a.in_port() == b.in_port()
            && a.packet_type() == b.packet_type()
            && a.0[PACKET_WORD..] == b.0[PACKET_WORD..]
            && b.recirc_id() == 0
    } else {
        a == b
    }
}

/// Whether a packet is as it was received: of its metadata it has port and packet type alone.
pub(crate) fn is_plain(key: &Key) -> bool {
    let mut bare = Key::EMPTY;
    bare.set_in_port(key.in_port());
    bare.set_packet_type(key.packet_type());
    key.0[..PACKET_WORD] == bare.0[..PACKET_WORD]
}

impl Emc {
    pub(crate) fn new() -> Self {
        Self { tags: vec![0; ENTRIES].into_boxed_slice(), entries: vec![None; ENTRIES] }
    }

    /// `plain`: all metadata but port and packet type are zero in the key, and in every entry without recirculation.
    #[inline]
    pub(crate) fn find(&self, key: &Key, hash: u64, plain: bool) -> Option<FlowRef> {
        let tag = tag(hash);
        for place in places(hash) {
            if self.tags[place] == tag
                && let Some(entry) = &self.entries[place]
                && same(key, &entry.key, plain)
            {
                return Some(entry.flow);
            }
        }
        None
    }

    /// Takes the key in; of its two places the one that is free or stale, else the first.
    pub(crate) fn insert(&mut self, key: &Key, hash: u64, flow: FlowRef, is_live: impl Fn(FlowRef) -> bool) {
        let places = places(hash);
        let free = |p: &usize| self.entries[*p].as_ref().is_none_or(|e| self.tags[*p] == 0 || !is_live(e.flow));
        let same_key = |p: &usize| self.entries[*p].as_ref().is_some_and(|e| e.key == *key);
        let place = places
            .iter()
            .find(|p| same_key(p))
            .or_else(|| places.iter().find(|p| free(p)))
            .unwrap_or(&places[(hash >> 63) as usize]);
        let place = *place;
        self.tags[place] = tag(hash);
        match &mut self.entries[place] {
            Some(entry) => {
                entry.key.0 = key.0;
                entry.flow = flow;
            }
            empty => *empty = Some(Box::new(Entry { key: key.clone(), flow })),
        }
    }

    /// Forgets the keys that are told of.
    pub(crate) fn forget(&mut self, is_told: impl Fn(&Key) -> bool) {
        for (tag, entry) in self.tags.iter_mut().zip(&self.entries) {
            if entry.as_ref().is_some_and(|entry| is_told(&entry.key)) {
                *tag = 0;
            }
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.tags.fill(0);
    }

    /// Entries whose flow is there.
    pub(crate) fn live(&self, is_live: impl Fn(FlowRef) -> bool) -> usize {
        let used = self.tags.iter().zip(&self.entries).filter(|(tag, _)| **tag != 0);
        used.filter(|(_, e)| e.as_ref().is_some_and(|e| is_live(e.flow))).count()
    }
}
