//! Flows' numbers, found by the hash of what they are looked up by. Half of the hash is kept beside each: what another
//! hash was made of is not looked at, and a table that grows asks nobody for hashes. With some hundred thousand flows
//! either would be a miss of the processor's caches a flow.

use hashbrown::HashTable;

#[derive(Clone, Copy, Debug)]
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

/// Numbers by hash, of which the lower half has to be spread well.
#[derive(Debug, Default)]
pub struct Numbers(HashTable<Entry>);

impl Numbers {
    /// The number under `hash` that `is_it` says yes to.
    #[inline]
    pub fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = hash as u32;
        let sought = Entry { tag, number: 0 };
        self.0.find(sought.hash(), |entry| entry.tag == tag && is_it(entry.number)).map(|entry| entry.number)
    }

    /// Adds a number, which is not there.
    pub fn insert(&mut self, hash: u64, number: u32) {
        let entry = Entry { tag: hash as u32, number };
        self.0.insert_unique(entry.hash(), entry, Entry::hash);
    }

    /// Takes out a number, if it is there.
    pub fn remove(&mut self, hash: u64, number: u32) {
        self.take(hash, |n| n == number);
    }

    /// Takes out the number under `hash` that `is_it` says yes to.
    pub fn take(&mut self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = hash as u32;
        let sought = Entry { tag, number: 0 };
        let entry = self.0.find_entry(sought.hash(), |entry| entry.tag == tag && is_it(entry.number)).ok()?;
        Some(entry.remove().0.number)
    }

    /// All numbers, in no order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|entry| entry.number)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Two numbers to a hash, spread.
    fn hash(number: u32) -> u64 {
        u64::from(number / 2).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
    }

    /// Numbers of one hash in pairs, through growth, each found as itself; those taken out are not.
    #[test]
    fn numbers_of_one_hash_are_told_apart() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.find(0, |_| true), None);
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

    proptest! {
        /// Few hashes, so that many numbers share one: what is there is what a list has.
        #[test]
        fn is_what_a_list_has(turns in proptest::collection::vec((any::<bool>(), 0_u32..40, 0_u64..20), 0..400)) {
            let mut numbers = Numbers::default();
            let mut list: Vec<(u64, u32)> = Vec::new();
            for (comes, number, step) in turns {
                let hash = step.wrapping_sub(10);
                let is_there = list.iter().position(|entry| *entry == (hash, number));
                match (comes, is_there) {
                    (true, None) => {
                        numbers.insert(hash, number);
                        list.push((hash, number));
                    }
                    (false, at) => {
                        let taken = numbers.take(hash, |n| n == number);
                        prop_assert_eq!(taken, at.map(|at| list.swap_remove(at).1));
                    }
                    (true, Some(_)) => {}
                }
                prop_assert_eq!(numbers.len(), list.len());
                for (hash, number) in &list {
                    prop_assert_eq!(numbers.find(*hash, |n| n == *number), Some(*number));
                }
            }
            let mut all: Vec<u32> = numbers.iter().collect();
            let mut of_list: Vec<u32> = list.iter().map(|entry| entry.1).collect();
            all.sort_unstable();
            of_list.sort_unstable();
            prop_assert_eq!(all, of_list);
        }
    }
}
