//! A persistent hash trie: buckets of values by 64-bit hash. A clone costs one reference count; a write copies only the
//! nodes of its path that a clone still holds. That is what lets a table publish a new version of a million rules in
//! the time of the rules that changed.

use smallvec::SmallVec;
use std::sync::Arc;

const BITS: u32 = 5;
const FANOUT_MASK: u64 = (1 << BITS) - 1;

#[derive(Clone, Debug)]
enum Node<V> {
    /// Children in the order of the set bits of `bitmap`.
    Branch { bitmap: u32, children: Vec<Arc<Node<V>>> },
    /// All values whose hash is `hash`.
    Leaf { hash: u64, bucket: SmallVec<[V; 1]> },
}

/// Buckets of values by hash.
#[derive(Debug)]
pub struct Hamt<V> {
    root: Option<Arc<Node<V>>>,
    buckets: usize,
}

impl<V> Default for Hamt<V> {
    fn default() -> Self {
        Self { root: None, buckets: 0 }
    }
}

impl<V> Clone for Hamt<V> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), buckets: self.buckets }
    }
}

fn slot(hash: u64, shift: u32) -> u32 {
    1 << ((hash >> shift) & FANOUT_MASK)
}

fn position(bitmap: u32, slot: u32) -> usize {
    (bitmap & (slot - 1)).count_ones() as usize
}

impl<V: Clone> Hamt<V> {
    /// Number of distinct hashes.
    pub fn buckets(&self) -> usize {
        self.buckets
    }

    /// The values under `hash`.
    #[inline]
    pub fn get(&self, hash: u64) -> &[V] {
        let mut node = match &self.root {
            Some(node) => node,
            None => return &[],
        };
        let mut shift = 0;
        loop {
            match &**node {
                Node::Leaf { hash: h, bucket } => return if *h == hash { bucket } else { &[] },
                Node::Branch { bitmap, children } => {
                    let slot = slot(hash, shift);
                    if bitmap & slot == 0 {
                        return &[];
                    }
                    node = &children[position(*bitmap, slot)];
                    shift += BITS;
                }
            }
        }
    }

    /// Edits the bucket of `hash`, which is made when missing and goes away when `edit` leaves it empty.
    pub fn edit<R>(&mut self, hash: u64, edit: impl FnOnce(&mut SmallVec<[V; 1]>) -> R) -> R {
        let (result, root, added) = match self.root.take() {
            None => {
                let mut bucket = SmallVec::new();
                let result = edit(&mut bucket);
                let root = (!bucket.is_empty()).then(|| Arc::new(Node::Leaf { hash, bucket }));
                let added = isize::from(root.is_some());
                (result, root, added)
            }
            Some(mut root) => {
                let mut added = 0;
                let (result, empty) = edit_node(&mut root, hash, 0, edit, &mut added);
                (result, (!empty).then_some(root), added)
            }
        };
        self.root = root;
        self.buckets = self.buckets.saturating_add_signed(added);
        result
    }

    /// Every value.
    pub fn iter(&self) -> Iter<'_, V> {
        Iter { stack: self.root.as_deref().into_iter().collect(), bucket: [].iter() }
    }
}

/// Returns what `edit` returned, and whether the node is to go.
fn edit_node<V: Clone, R>(
    node: &mut Arc<Node<V>>,
    hash: u64,
    shift: u32,
    edit: impl FnOnce(&mut SmallVec<[V; 1]>) -> R,
    added: &mut isize,
) -> (R, bool) {
    if let Node::Leaf { hash: other, .. } = **node
        && other != hash
    {
        let mut bucket = SmallVec::new();
        let result = edit(&mut bucket);
        if !bucket.is_empty() {
            *added += 1;
            let leaf = Arc::new(Node::Leaf { hash, bucket });
            *node = join(node.clone(), other, leaf, hash, shift);
        }
        return (result, false);
    }
    match Arc::make_mut(node) {
        Node::Leaf { bucket, .. } => {
            let result = edit(bucket);
            let empty = bucket.is_empty();
            *added -= isize::from(empty);
            (result, empty)
        }
        Node::Branch { bitmap, children } => {
            let slot = slot(hash, shift);
            let at = position(*bitmap, slot);
            if *bitmap & slot != 0 {
                let (result, empty) = edit_node(&mut children[at], hash, shift + BITS, edit, added);
                if empty {
                    children.remove(at);
                    *bitmap &= !slot;
                }
                return (result, children.is_empty());
            }
            let mut bucket = SmallVec::new();
            let result = edit(&mut bucket);
            if !bucket.is_empty() {
                *added += 1;
                children.insert(at, Arc::new(Node::Leaf { hash, bucket }));
                *bitmap |= slot;
            }
            (result, false)
        }
    }
}

/// A branch over two leaves of different hashes.
fn join<V>(a: Arc<Node<V>>, hash_a: u64, b: Arc<Node<V>>, hash_b: u64, shift: u32) -> Arc<Node<V>> {
    let (slot_a, slot_b) = (slot(hash_a, shift), slot(hash_b, shift));
    let children = if slot_a == slot_b {
        vec![join(a, hash_a, b, hash_b, shift + BITS)]
    } else if slot_a < slot_b {
        vec![a, b]
    } else {
        vec![b, a]
    };
    Arc::new(Node::Branch { bitmap: slot_a | slot_b, children })
}

/// Iterator over every value.
pub struct Iter<'a, V> {
    stack: Vec<&'a Node<V>>,
    bucket: std::slice::Iter<'a, V>,
}

impl<'a, V> Iterator for Iter<'a, V> {
    type Item = &'a V;

    fn next(&mut self) -> Option<&'a V> {
        loop {
            if let Some(value) = self.bucket.next() {
                return Some(value);
            }
            match self.stack.pop()? {
                Node::Leaf { bucket, .. } => self.bucket = bucket.iter(),
                Node::Branch { children, .. } => self.stack.extend(children.iter().rev().map(|c| &**c)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn equals_a_map(ops in prop::collection::vec((0u64..64, 0u32..3, any::<bool>()), 0..300)) {
            let mut trie = Hamt::default();
            let mut model: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
            let mut snapshots = Vec::new();
            for (i, (key, value, insert)) in ops.into_iter().enumerate() {
                // Hashes that agree in their low 40 bits exercise the deep branches.
                let hash = (key % 7) | ((key / 7) << 40);
                let bucket = model.entry(hash).or_default();
                if insert { bucket.push(value) } else { bucket.retain(|v| *v != value) }
                trie.edit(hash, |b| if insert { b.push(value) } else { b.retain(|v| *v != value) });
                if bucket.is_empty() { model.remove(&hash); }
                if i % 50 == 0 { snapshots.push((trie.clone(), model.clone())); }
            }
            snapshots.push((trie, model));
            for (trie, model) in snapshots {
                prop_assert_eq!(trie.buckets(), model.len());
                prop_assert_eq!(trie.iter().count(), model.values().map(Vec::len).sum::<usize>());
                for (hash, bucket) in &model {
                    prop_assert_eq!(trie.get(*hash), bucket.as_slice());
                }
            }
        }
    }
}
