//! Flows' numbers, found by the hash of what they are looked up by: open addressing, one place behind the other (linear
//! probing; Knuth, TAOCP 6.4, algorithms L and R). A number and half of its hash fill eight octets: a look-up waits for
//! memory once, where it finds something and where it does not, what another hash was made of is not looked at, and a
//! table that grows asks nobody for hashes.

/// A number, and the tag beside it, from the hash. A place that is empty is 0: numbers are kept one higher.
#[derive(Clone, Copy)]
struct Place(u64);

impl Place {
    const EMPTY: Self = Self(0);

    #[inline]
    fn new(tag: u32, number: u32) -> Self {
        Self(u64::from(tag) << 32 | u64::from(number.wrapping_add(1)))
    }

    #[inline]
    fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline]
    fn tag(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline]
    fn number(self) -> u32 {
        (self.0 as u32).wrapping_sub(1)
    }
}

/// Fewest places of a table that is not empty.
const FEWEST: usize = 8;

/// Numbers below `u32::MAX` by hash, of which the lower half has to be spread well.
#[derive(Debug, Default)]
pub struct Numbers {
    /// A power of two of them, or none; at most three of four are taken, so that each search ends.
    places: Vec<Place>,
    len: usize,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_empty() { f.write_str("-") } else { write!(f, "{:#010x}:{}", self.tag(), self.number()) }
    }
}

impl Numbers {
    #[inline]
    fn mask(&self) -> usize {
        self.places.len().wrapping_sub(1)
    }

    /// Where a number under `tag` is that `is_it` says yes to.
    #[inline]
    fn position(&self, tag: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<usize> {
        let mut at = tag as usize & self.mask();
        loop {
            // There are no places yet, or this one is empty.
            let place = *self.places.get(at)?;
            if place.is_empty() {
                return None;
            }
            if place.tag() == tag && is_it(place.number()) {
                return Some(at);
            }
            at = (at + 1) & self.mask();
        }
    }

    /// The number under `hash` that `is_it` says yes to.
    #[inline]
    pub fn find(&self, hash: u64, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.position(hash as u32, is_it).map(|at| self.places[at].number())
    }

    /// What is at the place of a hash, for nothing but to have it at hand when it is looked up.
    #[inline]
    pub fn touch(&self, hash: u64) -> u64 {
        self.places.get(hash as u32 as usize & self.mask()).map_or(0, |place| place.0)
    }

    /// Puts it into the first empty place from where its tag says.
    fn put(&mut self, place: Place) {
        let mut at = place.tag() as usize & self.mask();
        while !self.places[at].is_empty() {
            at = (at + 1) & self.mask();
        }
        self.places[at] = place;
    }

    /// Adds a number, which is not there.
    pub fn insert(&mut self, hash: u64, number: u32) {
        debug_assert!(number < u32::MAX, "a number that cannot be told from none");
        if (self.len + 1) * 4 > self.places.len() * 3 {
            let more = (self.places.len() * 2).max(FEWEST);
            let before = std::mem::replace(&mut self.places, vec![Place::EMPTY; more]);
            before.into_iter().filter(|place| !place.is_empty()).for_each(|place| self.put(place));
        }
        self.put(Place::new(hash as u32, number));
        self.len += 1;
    }

    /// Takes out a number, if it is there.
    pub fn remove(&mut self, hash: u64, number: u32) {
        self.take(hash, |n| n == number);
    }

    /// Takes out the number under `hash` that `is_it` says yes to.
    pub fn take(&mut self, hash: u64, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut hole = self.position(hash as u32, is_it)?;
        let taken = self.places[hole].number();
        // Those behind it move up, as far as none comes before the place that its tag says.
        let mask = self.mask();
        let mut at = (hole + 1) & mask;
        while !self.places[at].is_empty() {
            let moved_on = at.wrapping_sub(self.places[at].tag() as usize) & mask;
            if moved_on >= at.wrapping_sub(hole) & mask {
                self.places[hole] = self.places[at];
                hole = at;
            }
            at = (at + 1) & mask;
        }
        self.places[hole] = Place::EMPTY;
        self.len -= 1;
        Some(taken)
    }

    /// All numbers, in no order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.places.iter().filter(|place| !place.is_empty()).map(|place| place.number())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all of them, and gives their memory back.
    pub fn clear(&mut self) {
        *self = Self::default();
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
        /// Few hashes, so that places run into each other and around the end: what is there is what a list has.
        #[test]
        fn is_what_a_list_has(turns in proptest::collection::vec((any::<bool>(), 0_u32..40, 0_u64..20), 0..400)) {
            let mut numbers = Numbers::default();
            let mut list: Vec<(u64, u32)> = Vec::new();
            for (comes, number, step) in turns {
                // The last places of a table of any size, and its first ones.
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
