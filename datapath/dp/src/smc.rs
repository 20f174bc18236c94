//! The signature cache: sixteen bits of a packet's hash to a flow that is then asked whether it matches. Large and
//! thin: a megaflow shared by many packets is found without a walk through subtables.

use crate::flows::FlowRef;

/// Entries.
const ENTRIES: usize = 1 << 20;
/// Entries that share a place.
const WAYS: usize = 4;

#[derive(Clone, Copy)]
struct Bucket {
    signatures: [u16; WAYS],
    flows: [FlowRef; WAYS],
}

pub(crate) struct Smc {
    /// Empty until first used: 16 MiB.
    buckets: Vec<Bucket>,
}

#[inline]
fn signature(hash: u64) -> u16 {
    (hash >> 48) as u16 | 1
}

#[inline]
fn place(hash: u64) -> usize {
    hash as usize % (ENTRIES / WAYS)
}

impl Smc {
    pub(crate) fn new() -> Self {
        Self { buckets: Vec::new() }
    }

    /// Flows whose packets had such a hash.
    #[inline]
    pub(crate) fn candidates(&self, hash: u64) -> impl Iterator<Item = FlowRef> + '_ {
        let want = signature(hash);
        let bucket = self.buckets.get(place(hash));
        bucket.into_iter().flat_map(move |b| {
            b.signatures.iter().zip(&b.flows).filter(move |(s, _)| **s == want).map(|(_, flow)| *flow)
        })
    }

    pub(crate) fn insert(&mut self, hash: u64, flow: FlowRef) {
        if self.buckets.is_empty() {
            let empty = Bucket { signatures: [0; WAYS], flows: [FlowRef::NONE; WAYS] };
            self.buckets = vec![empty; ENTRIES / WAYS];
        }
        let bucket = &mut self.buckets[place(hash)];
        let want = signature(hash);
        let way = (bucket.signatures.iter().position(|s| *s == want))
            .or_else(|| bucket.signatures.iter().position(|s| *s == 0))
            .unwrap_or((hash >> 32) as usize % WAYS);
        bucket.signatures[way] = want;
        bucket.flows[way] = flow;
    }

    /// Forgets everything, memory included.
    pub(crate) fn clear(&mut self) {
        self.buckets = Vec::new();
    }
}
