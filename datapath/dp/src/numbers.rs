//! Flows' numbers, found by the hash of what they are looked up by. Half of the hash is kept beside each: what another
//! hash was made of is not looked at, and a table that grows asks nobody for hashes. With some hundred thousand flows
//! either would be a miss of the processor's caches a flow.

use hashbrown::HashTable;

#[derive(Clone, Copy)]
struct Entry {
    tag: u32,
    number: u32,
}

impl Entry {
    /// The hash as the table has it: of its two ends, one chooses the place and one tells neighbours apart.
    #[inline]
    fn hash(&self) -> u64 {
        u64::from(self.tag) << 32 | u64::from(self.tag)
    }
}

#[derive(Default)]
pub(crate) struct Numbers(HashTable<Entry>);

impl Numbers {
    /// The number under `hash` that `is_it` says yes to.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = hash as u32;
        let sought = Entry { tag, number: 0 };
        self.0.find(sought.hash(), |entry| entry.tag == tag && is_it(entry.number)).map(|entry| entry.number)
    }

    /// Adds a number, which is not there.
    pub(crate) fn insert(&mut self, hash: u64, number: u32) {
        let entry = Entry { tag: hash as u32, number };
        self.0.insert_unique(entry.hash(), entry, Entry::hash);
    }

    /// Takes out a number, if it is there.
    pub(crate) fn remove(&mut self, hash: u64, number: u32) {
        let sought = Entry { tag: hash as u32, number };
        if let Ok(entry) = self.0.find_entry(sought.hash(), |entry| entry.number == number) {
            entry.remove();
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|entry| entry.number)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix;

    fn hash(number: u32) -> u64 {
        mix::words([u64::from(number / 2)].into_iter(), 7)
    }

    /// Numbers of one hash in pairs, through growth, each found as itself; those taken out are not.
    #[test]
    fn numbers_of_one_hash_are_told_apart() {
        let mut numbers = Numbers::default();
        for number in 0..10_000 {
            numbers.insert(hash(number), number);
        }
        for number in (0..10_000).step_by(3) {
            numbers.remove(hash(number), number);
        }
        numbers.remove(hash(1), 2);
        for number in 0..10_000 {
            let found = numbers.find(hash(number), |n| n == number);
            assert_eq!(found, (number % 3 != 0).then_some(number), "{number}");
        }
        assert_eq!(numbers.len(), 6_666);
        assert_eq!(numbers.iter().map(u64::from).sum::<u64>(), (0..10_000).filter(|n| n % 3 != 0).sum::<u64>());
        assert_eq!(numbers.find(hash(20_000), |_| true), None);
        numbers.clear();
        assert!(numbers.is_empty());
    }
}
