//! The megaflow classifier of one input port: tuple space search. A subtable holds the flows of one mask; a packet is
//! looked up in each, the most used first, and the first hit decides, for megaflows do not overlap.
//!
//! Each port has a classifier of its own and a bound on its subtables: whoever floods one port with headers crafted to
//! need ever new masks slows down that port's look-ups alone, and those up to the bound. While the bound keeps flows
//! out, those of masks that no packet has used lately are marked as in the way ([`Classifier::mark`]), and idle out
//! sooner.

use std::sync::Arc;

use flow::Key;
use flow::classifier::Shape;
use flow::numbers::Numbers;
use smallvec::SmallVec;

use crate::mix;

/// The words of a key that a mask cares for, masked.
pub(crate) type Picked = SmallVec<[u64; 12]>;

/// Finds a flow's picked words by its number.
pub(crate) trait PickedWords {
    fn picked(&self, flow: u32) -> &[u64];
}

struct Subtable {
    shape: Arc<Shape>,
    flows: Numbers,
    hits: u64,
}

/// Flows by number, to be marked.
pub(crate) trait Markable {
    /// Whether packets have used it lately.
    fn is_used(&self, flow: u32) -> bool;
    /// Says whether it is in the way.
    fn mark(&mut self, flow: u32, is_in_the_way: bool);
}

/// Most flows of a mask that is thrown out for the sake of others: looking after one port takes bounded work.
const COLD_FLOWS: usize = 64;

impl Subtable {
    #[inline]
    fn hash(&self, key: &Key, seed: u64) -> u64 {
        mix::words(self.shape.words().iter().map(|(i, m)| key.0[*i as usize] & m), seed)
    }

    #[inline]
    fn matches(&self, key: &Key, picked: &[u64]) -> bool {
        self.shape.words().iter().zip(picked).all(|((i, m), p)| key.0[*i as usize] & m == *p)
    }
}

#[derive(Default)]
pub(crate) struct Classifier {
    subtables: Vec<Subtable>,
    seed: u64,
    /// A flow was refused for its mask since flows were last marked.
    is_crowded: bool,
    /// Some flows are marked.
    has_marks: bool,
    /// How many of its flows are not simple.
    pub(crate) others: u32,
}

/// Where a flow that is not there yet would be.
#[derive(Clone, Copy)]
pub(crate) struct Vacancy {
    subtable: usize,
    hash: u64,
}

/// Why there is no vacancy.
pub(crate) enum Taken {
    /// A flow has this mask and these values.
    ByFlow,
    /// There are as many masks as may be.
    MaskLimit,
}

impl Classifier {
    pub(crate) fn new(seed: u64) -> Self {
        Self { subtables: Vec::new(), seed, is_crowded: false, has_marks: false, others: 0 }
    }

    /// The flow that matches, and how many subtables were looked into.
    #[inline]
    pub(crate) fn find(&mut self, key: &Key, flows: &impl PickedWords) -> (Option<u32>, usize) {
        for (i, subtable) in self.subtables.iter_mut().enumerate() {
            let hash = subtable.hash(key, self.seed);
            let found = subtable.flows.find(hash, |flow| subtable.matches(key, flows.picked(flow)));
            if found.is_some() {
                subtable.hits += 1;
                return (found, i + 1);
            }
        }
        (None, self.subtables.len())
    }

    fn subtable(&self, shape: &Arc<Shape>) -> Option<usize> {
        let same = self.subtables.iter().position(|s| Arc::ptr_eq(&s.shape, shape));
        same.or_else(|| self.subtables.iter().position(|s| s.shape == *shape))
    }

    /// The place of a flow to be, in a subtable made if need be, and if there are not `limit` of them.
    pub(crate) fn vacancy(
        &mut self,
        shape: &Arc<Shape>,
        values: &[u64],
        limit: usize,
        flows: &impl PickedWords,
    ) -> Result<Vacancy, Taken> {
        let hash = mix::words(values.iter().copied(), self.seed);
        if let Some(subtable) = self.subtable(shape) {
            let is_there = self.subtables[subtable].flows.find(hash, |flow| flows.picked(flow) == values).is_some();
            return if is_there { Err(Taken::ByFlow) } else { Ok(Vacancy { subtable, hash }) };
        }
        if self.subtables.len() >= limit {
            self.is_crowded = true;
            return Err(Taken::MaskLimit);
        }
        self.subtables.push(Subtable { shape: Arc::clone(shape), flows: Numbers::default(), hits: 0 });
        Ok(Vacancy { subtable: self.subtables.len() - 1, hash })
    }

    /// Puts a flow in its place, made by [`Classifier::vacancy`] just before.
    pub(crate) fn insert(&mut self, flow: u32, at: Vacancy) {
        self.subtables[at.subtable].flows.insert(at.hash, flow);
    }

    /// The shape of a place.
    pub(crate) fn shape(&self, at: Vacancy) -> &Arc<Shape> {
        &self.subtables[at.subtable].shape
    }

    /// Takes a flow out, and its subtable if that is empty then.
    pub(crate) fn remove(&mut self, flow: u32, shape: &Arc<Shape>, flows: &impl PickedWords) {
        let Some(i) = self.subtable(shape) else { return };
        let hash = mix::words(flows.picked(flow).iter().copied(), self.seed);
        self.subtables[i].flows.remove(hash, flow);
        if self.subtables[i].flows.is_empty() {
            self.subtables.remove(i);
        }
    }

    /// Puts the subtables hit most since the last time in front.
    pub(crate) fn rank(&mut self) {
        self.subtables.sort_by_key(|s| std::cmp::Reverse(s.hits));
        for subtable in &mut self.subtables {
            subtable.hits = 0;
        }
    }

    /// Where flows were refused for their masks since the last time, says of each flow whether it is in the way: no
    /// flow of its mask is in use. Where none were any more, that none is.
    pub(crate) fn mark(&mut self, flows: &mut impl Markable) {
        let is_crowded = std::mem::take(&mut self.is_crowded);
        if !is_crowded && !self.has_marks {
            return;
        }
        self.has_marks = is_crowded;
        for subtable in self.subtables.iter().filter(|s| s.flows.len() <= COLD_FLOWS) {
            let is_cold = is_crowded && !subtable.flows.iter().any(|flow| flows.is_used(flow));
            subtable.flows.iter().for_each(|flow| flows.mark(flow, is_cold));
        }
    }

    pub(crate) fn masks(&self) -> usize {
        self.subtables.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.subtables.is_empty()
    }
}
