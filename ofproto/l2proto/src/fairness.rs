//! Ports by how many addresses were learned on them, for the one that has most to lose its oldest.
//!
//! A binary heap, the port with most at its head. Which of several that have equally many is there follows from how the
//! heap is kept, and is what Open vSwitch has there: a child goes up only past a parent that has fewer, and of two children
//! the left one goes first.

use std::collections::{BTreeMap, BTreeSet};

use crate::mac_learning::PortName;

/// A port's addresses in their order of use, and its place in the heap.
#[derive(Clone, Debug, Default)]
struct Learned {
    ranks: BTreeSet<u64>,
    at: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Fairness<P> {
    heap: Vec<P>,
    ports: BTreeMap<P, Learned>,
}

impl<P> Default for Fairness<P> {
    fn default() -> Self {
        Fairness { heap: Vec::new(), ports: BTreeMap::new() }
    }
}

impl<P: PortName> Fairness<P> {
    /// The oldest address of the port that has most, by its place in the order of use.
    pub(crate) fn victim(&self) -> Option<u64> {
        self.ports.get(self.heap.first()?)?.ranks.first().copied()
    }

    /// An address that is new on a port.
    pub(crate) fn insert(&mut self, port: P, rank: u64) {
        let end = self.heap.len();
        let learned = self.ports.entry(port).or_insert_with(|| Learned { ranks: BTreeSet::new(), at: end });
        learned.ranks.insert(rank);
        let at = learned.at;
        if at == end {
            self.heap.push(port);
        }
        self.raise(at);
    }

    /// An address that was used on the port where it was known.
    pub(crate) fn renew(&mut self, port: P, old: u64, new: u64) {
        if let Some(learned) = self.ports.get_mut(&port) {
            learned.ranks.remove(&old);
            learned.ranks.insert(new);
        }
    }

    /// An address goes from a port.
    pub(crate) fn remove(&mut self, port: P, rank: u64) {
        let Some(learned) = self.ports.get_mut(&port) else { return };
        if !learned.ranks.remove(&rank) {
            return;
        }
        let at = learned.at;
        if !learned.ranks.is_empty() {
            return self.lower(at);
        }
        self.ports.remove(&port);
        self.heap.swap_remove(at);
        if let Some(moved) = self.heap.get(at) {
            if let Some(learned) = self.ports.get_mut(moved) {
                learned.at = at;
            }
            if self.raise(at) == at {
                self.lower(at);
            }
        }
    }

    fn count(&self, at: usize) -> usize {
        self.heap.get(at).and_then(|port| self.ports.get(port)).map_or(0, |learned| learned.ranks.len())
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        for at in [a, b] {
            if let Some(learned) = self.ports.get_mut(&self.heap[at]) {
                learned.at = at;
            }
        }
    }

    fn raise(&mut self, mut at: usize) -> usize {
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.count(at) <= self.count(parent) {
                break;
            }
            self.swap(at, parent);
            at = parent;
        }
        at
    }

    fn lower(&mut self, mut at: usize) {
        loop {
            let mut most = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if self.count(child) > self.count(most) {
                    most = child;
                }
            }
            if most == at {
                return;
            }
            self.swap(at, most);
            at = most;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten addresses on five ports, two each, of which as many go as come on a sixth.
    #[test]
    fn of_ports_that_have_as_many_the_heap_says_which_loses() {
        let mut fairness = Fairness::<u32>::default();
        let mut left = BTreeMap::new();
        for rank in 0..26 {
            let port = if rank < 10 { rank as u32 / 2 + 1 } else { 6 };
            if rank >= 10 {
                let gone = fairness.victim().unwrap();
                let from = left.remove(&gone).unwrap();
                fairness.remove(from, gone);
            }
            fairness.insert(port, rank);
            left.insert(rank, port);
        }
        let left: Vec<u64> = left.into_keys().collect();
        assert_eq!(left, [1, 3, 4, 5, 7, 8, 9, 23, 24, 25]);
    }

    #[test]
    fn ports_come_and_go() {
        let mut fairness = Fairness::<u32>::default();
        assert_eq!(fairness.victim(), None);
        for (port, rank) in [(1, 1), (2, 2), (2, 3), (3, 4), (3, 5), (3, 6)] {
            fairness.insert(port, rank);
        }
        assert_eq!(fairness.victim(), Some(4));
        fairness.renew(3, 4, 7);
        assert_eq!(fairness.victim(), Some(5));
        for rank in [5, 6, 7, 7] {
            fairness.remove(3, rank);
        }
        assert_eq!(fairness.victim(), Some(2));
        fairness.remove(2, 3);
        fairness.remove(2, 2);
        assert_eq!(fairness.victim(), Some(1));
        fairness.remove(1, 1);
        assert_eq!(fairness.victim(), None);
    }
}
