//! The order in which a hash table lists what it has, where that order shows: lists of ports, which of several ports that
//! come together is numbered first, which of several faults is told.
//!
//! Buckets go by hash, the newest item of a bucket first; a table that grows turns its buckets' orders around. Observed of
//! Open vSwitch 3.1.

/// Items in the order of a hash table that grows by doubling and never shrinks.
#[derive(Clone, Debug)]
pub struct HashOrder<T> {
    /// A power of two of them.
    buckets: Vec<Vec<(u32, T)>>,
    n: usize,
}

impl<T> Default for HashOrder<T> {
    fn default() -> HashOrder<T> {
        HashOrder { buckets: vec![Vec::new()], n: 0 }
    }
}

impl<T: PartialEq + Copy> HashOrder<T> {
    /// Items by the hashes of their names.
    pub fn by_name<'a>(named: impl IntoIterator<Item = (&'a str, T)>) -> HashOrder<T> {
        let mut order = HashOrder::default();
        for (name, item) in named {
            order.insert(crate::bytes(name.as_bytes(), 0), item);
        }
        order
    }

    fn put(&mut self, hash: u32, item: T) {
        let at = hash as usize & (self.buckets.len() - 1);
        self.buckets[at].insert(0, (hash, item));
        self.n += 1;
    }

    /// Adds an item.
    pub fn insert(&mut self, hash: u32, item: T) {
        self.put(hash, item);
        if self.n / 2 >= self.buckets.len() {
            // It was full at two to a bucket: now there is one to each. There are never just two buckets.
            let old = std::mem::replace(&mut self.buckets, vec![Vec::new(); self.n.max(4)]);
            self.n = 0;
            for (hash, item) in old.into_iter().flatten() {
                self.put(hash, item);
            }
        }
    }

    /// Takes out an item with this hash.
    pub fn remove_hashed(&mut self, hash: u32, item: T) {
        let at = hash as usize & (self.buckets.len() - 1);
        let before = self.buckets[at].len();
        self.buckets[at].retain(|(_, i)| *i != item);
        self.n -= before - self.buckets[at].len();
    }

    /// Takes an item out.
    pub fn remove(&mut self, item: T) {
        for bucket in &mut self.buckets {
            let before = bucket.len();
            bucket.retain(|(_, i)| *i != item);
            self.n -= before - bucket.len();
        }
    }

    /// The items in order.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.buckets.iter().flatten().map(|(_, item)| *item)
    }
}

/// So many items take no memory of their own while they are put in order.
const FEW: usize = 16;

/// The order in which a table lists items that were put into it as their `hashes` stand: their indexes.
pub fn listed(hashes: &[u32]) -> Vec<usize> {
    // Within a bucket items go by rank: a new one gets the least, and growth reverses all, which is a change of sign.
    let (mut buckets, mut sign, mut least, mut greatest) = (1, 1, 0_i64, 0_i64);
    let (mut few, mut many) = ([0; FEW], Vec::new());
    let ranks = if hashes.len() <= FEW {
        &mut few[..hashes.len()]
    } else {
        many.resize(hashes.len(), 0);
        &mut many[..]
    };
    for n in 1..=hashes.len() {
        let rank = if sign > 0 { &mut least } else { &mut greatest };
        *rank -= sign;
        ranks[n - 1] = *rank;
        if n / 2 >= buckets {
            buckets = n.max(4);
            sign = -sign;
        }
    }
    let mut order: Vec<usize> = (0..hashes.len()).collect();
    order.sort_unstable_by_key(|&at| (hashes[at] as usize & (buckets - 1), sign * ranks[at]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_into_a_table_at_once_is_listed_as_one_by_one() {
        for n in 0..200 {
            let hashes: Vec<u32> = (0..n).map(|at| crate::two_words(at, n) % 97).collect();
            let mut table = HashOrder::default();
            hashes.iter().enumerate().for_each(|(at, hash)| table.insert(*hash, at));
            assert_eq!(listed(&hashes), table.iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn names_are_listed_as_they_hash() {
        let listed = |names: &[&'static str]| -> Vec<&str> {
            HashOrder::by_name(names.iter().map(|name| (*name, *name))).iter().collect()
        };
        // As 3.1 numbers ports that are added together.
        assert_eq!(listed(&["br0", "eth0", "eth1", "eth2"]), ["br0", "eth0", "eth2", "eth1"]);
        assert_eq!(listed(&["tap7", "veth1", "vnet12", "x"]), ["tap7", "x", "veth1", "vnet12"]);
    }
}
