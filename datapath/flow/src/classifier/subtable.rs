//! All rules of one shape: a bucket look-up, with the stages and the port trie that let a miss leave bits wildcarded.

use std::sync::Arc;

use super::hamt::Hamt;
use super::mini_match::{MiniMatch, Shape};
use super::trie::Trie;
use super::{Entry, PrefixField, PrefixLookups};
use crate::key::word;
use crate::{Key, Mask, STAGE_END};

const STAGES: usize = STAGE_END.len();
/// The transport ports in [`word::TP`].
const PORTS_SHIFT: u32 = 32;

/// Rules of one shape.
#[derive(Debug)]
pub(super) struct Subtable<E> {
    pub(super) shape: Arc<Shape>,
    rules: Hamt<Arc<E>>,
    /// Per stage but the last one used: how many buckets' values have each partial hash.
    stages: [Option<Hamt<u32>>; STAGES],
    /// Prefix length of each prefix field in this shape; 0: not a prefix.
    pub(super) prefix_len: Vec<u8>,
    ports: Option<PortTrie>,
}

#[derive(Clone, Debug)]
struct PortTrie {
    trie: Trie<u32>,
    len: u32,
    mask: u32,
}

impl<E> Clone for Subtable<E> {
    fn clone(&self) -> Self {
        Self {
            shape: self.shape.clone(),
            rules: self.rules.clone(),
            stages: self.stages.clone(),
            prefix_len: self.prefix_len.clone(),
            ports: self.ports.clone(),
        }
    }
}

impl<E: Entry> Subtable<E> {
    pub(super) fn new(shape: Arc<Shape>, prefix_fields: &[PrefixField]) -> Self {
        let last = (0..STAGES).rev().find(|s| !shape.stage(*s).is_empty()).unwrap_or(0);
        let stages = std::array::from_fn(|s| (s < last && !shape.stage(s).is_empty()).then(Hamt::default));
        let ports_mask = (shape.word(word::TP) >> PORTS_SHIFT) as u32;
        let ports = (ports_mask != 0).then(|| PortTrie {
            trie: Trie::default(),
            len: 32 - ports_mask.trailing_zeros(),
            mask: ports_mask,
        });
        let mut subtable = Self { shape, rules: Hamt::default(), stages, prefix_len: Vec::new(), ports };
        subtable.set_prefix_fields(prefix_fields);
        subtable
    }

    pub(super) fn set_prefix_fields(&mut self, fields: &[PrefixField]) {
        self.prefix_len = fields.iter().map(|f| f.prefix_len(&self.shape)).collect();
    }

    fn whole_hash(&self, values: &[u64]) -> u64 {
        self.shape.hash_values(values, 0..values.len(), 0)
    }

    /// The rules that have exactly these values, highest priority first.
    pub(super) fn same(&self, mini: &MiniMatch) -> impl Iterator<Item = &Arc<E>> {
        self.rules.get(self.whole_hash(mini.values())).iter().filter(move |e| e.mini().values() == mini.values())
    }

    /// Adds a rule, or puts it in the place of one with the same match and priority, which is returned.
    pub(super) fn insert(&mut self, entry: &Arc<E>) -> Option<Arc<E>> {
        let (values, priority) = (entry.mini().values(), entry.priority());
        let (old, first) = self.rules.edit(self.whole_hash(values), |bucket| {
            let first = !bucket.iter().any(|e| e.mini().values() == values);
            let twin = bucket.iter_mut().find(|e| e.priority() == priority && e.mini().values() == values);
            if let Some(twin) = twin {
                return (Some(std::mem::replace(twin, entry.clone())), false);
            }
            let at = bucket.iter().position(|e| e.priority() < priority).unwrap_or(bucket.len());
            bucket.insert(at, entry.clone());
            (None, first)
        });
        if first {
            self.count_stages(values, true);
        }
        old
    }

    pub(super) fn remove(&mut self, mini: &MiniMatch, priority: i32) -> Option<Arc<E>> {
        let values = mini.values();
        let (old, last) = self.rules.edit(self.whole_hash(values), |bucket| {
            let at = bucket.iter().position(|e| e.priority() == priority && e.mini().values() == values);
            let old = at.map(|at| bucket.remove(at));
            (old, !bucket.iter().any(|e| e.mini().values() == values))
        });
        if old.is_some() && last {
            self.count_stages(values, false);
        }
        old
    }

    /// Counts distinct values in, or out of, the stage indexes and the port trie.
    fn count_stages(&mut self, values: &[u64], add: bool) {
        let mut hash = 0;
        for (stage, index) in self.stages.iter_mut().enumerate() {
            hash = self.shape.hash_values(values, self.shape.stage(stage), hash);
            if let Some(index) = index {
                index.edit(hash, |count| match (count.first_mut(), add) {
                    (Some(n), true) => *n += 1,
                    (None, true) => count.push(1),
                    (Some(n), false) if *n > 1 => *n -= 1,
                    (_, false) => count.clear(),
                });
            }
        }
        if let Some(ports) = &mut self.ports {
            let at = self.shape.words().iter().position(|(i, _)| usize::from(*i) == word::TP);
            let value = at.map_or(0, |at| (values[at] >> PORTS_SHIFT) as u32);
            if add { ports.trie.insert(value, ports.len) } else { ports.trie.remove(value, ports.len) }
        }
    }

    /// Finds the best rule for `key` and adds the bits that decided to `wc`.
    pub(super) fn lookup(&self, key: &Key, wc: &mut Mask, prefixes: &mut PrefixLookups<'_>) -> Option<&Arc<E>> {
        let shape = &*self.shape;
        let mut hash = 0;
        let mut seen = 0;
        for (stage, index) in self.stages.iter().enumerate() {
            let Some(index) = index else { continue };
            if prefixes.rule_out(&self.prefix_len, 0, STAGE_END[stage], key, wc) {
                shape.join_into(wc, seen);
                return None;
            }
            // Stages without an index hold no words, so the range is contiguous.
            let end = shape.stage(stage).end;
            hash = shape.hash_key(key, seen..end, hash);
            seen = end;
            if index.get(hash).is_empty() {
                shape.join_into(wc, seen);
                return None;
            }
        }
        if prefixes.rule_out(&self.prefix_len, 0, usize::MAX, key, wc) {
            shape.join_into(wc, seen);
            return None;
        }
        let all = shape.words().len();
        hash = shape.hash_key(key, seen..all, hash);
        let found = self.rules.get(hash).iter().find(|e| e.mini().matches(key));
        match (&self.ports, found) {
            (Some(ports), None) => {
                let value = (key.0[word::TP] >> PORTS_SHIFT) as u32 & ports.mask;
                let bits = ports.trie.lookup(value).bits;
                let decisive = if bits == 0 { 0 } else { u32::MAX << (32 - bits) };
                // All but the ports of the last stage were needed to know that only ports are left to differ.
                let before = shape.words().iter().position(|(i, _)| usize::from(*i) == word::TP).unwrap_or(all);
                shape.join_into(wc, before);
                wc.0[word::TP] |= u64::from(ports.mask & decisive) << PORTS_SHIFT;
                for (i, m) in &shape.words()[before..] {
                    // What shares the word or follows it was compared as well.
                    let m = if usize::from(*i) == word::TP { m & u64::from(u32::MAX) } else { *m };
                    wc.0[usize::from(*i)] |= m;
                }
                None
            }
            _ => {
                shape.join_into(wc, all);
                found
            }
        }
    }

    /// The same, for who does not care which bits decided.
    pub(super) fn find(&self, key: &Key) -> Option<&Arc<E>> {
        let hash = self.shape.hash_key(key, 0..self.shape.words().len(), 0);
        self.rules.get(hash).iter().find(|e| e.mini().matches(key))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<E>> {
        self.rules.iter()
    }
}
