//! A persistent binary trie of prefixes, path-compressed, which answers for a value: which of the stored prefix lengths
//! contain it, and how many of its leading bits were needed to know.

use std::sync::Arc;

/// Bits of a value; shorter values stand left-aligned.
pub type Bits = u128;

#[derive(Clone, Debug)]
struct Node {
    /// Bits that follow the parent's, left-aligned.
    prefix: Bits,
    n_bits: u32,
    /// How many rules have the prefix that ends here.
    rules: u32,
    children: [Option<Arc<Node>>; 2],
}

/// Prefixes with a count each.
#[derive(Clone, Debug, Default)]
pub struct Trie {
    root: Option<Arc<Node>>,
}

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Bit `n` is set when a stored prefix of `n + 1` bits contains the value.
    pub lengths: u128,
    /// Leading bits of the value that decided it.
    pub bits: u32,
}

fn first(bits: Bits) -> usize {
    (bits >> 127) as usize
}

fn shifted(bits: Bits, n: u32) -> Bits {
    if n >= 128 { 0 } else { bits << n }
}

fn common(a: Bits, b: Bits, max: u32) -> u32 {
    (a ^ b).leading_zeros().min(max)
}

impl Trie {
    /// Stores the prefix of `len` leading bits of `value` once more.
    pub fn insert(&mut self, value: Bits, len: u32) {
        insert(&mut self.root, value, len);
    }

    /// Takes it out once.
    pub fn remove(&mut self, value: Bits, len: u32) {
        remove(&mut self.root, value, len);
    }

    /// Looks up a value of `width` bits.
    pub fn lookup(&self, value: Bits, width: u32) -> Found {
        let mut found = Found { lengths: 0, bits: 0 };
        let mut node = self.root.as_ref();
        let (mut rest, mut at) = (value, 0);
        // Bits tested so far, counting the one that picked an edge; reported only as far as they were decisive.
        while let Some(n) = node {
            let same = common(rest, n.prefix, n.n_bits);
            if same < n.n_bits {
                found.bits = at + same + 1;
                return found;
            }
            at += n.n_bits;
            if n.rules > 0 && at > 0 {
                found.lengths |= 1 << (at - 1);
            }
            if at >= width {
                found.bits = width;
                return found;
            }
            rest = shifted(rest, n.n_bits);
            node = n.children[first(rest)].as_ref();
            if node.is_none() {
                // The bit that picked the missing edge mattered only if the other edge exists.
                found.bits = at + u32::from(n.children.iter().any(Option::is_some));
                return found;
            }
        }
        found
    }
}

fn insert(slot: &mut Option<Arc<Node>>, value: Bits, len: u32) {
    let Some(node) = slot else {
        *slot = Some(Arc::new(Node { prefix: value & top(len), n_bits: len, rules: 1, children: [None, None] }));
        return;
    };
    let node = Arc::make_mut(node);
    let same = common(value, node.prefix, node.n_bits.min(len));
    if same < node.n_bits {
        // Split: the old node continues below a new one that holds the common bits.
        let rest = shifted(node.prefix, same);
        let old = Node {
            prefix: rest,
            n_bits: node.n_bits - same,
            rules: node.rules,
            children: std::mem::take(&mut node.children),
        };
        node.prefix &= top(same);
        node.n_bits = same;
        node.rules = 0;
        node.children[first(rest)] = Some(Arc::new(old));
    }
    if same == len {
        node.rules += 1;
    } else {
        let rest = shifted(value, same);
        insert(&mut node.children[first(rest)], rest, len - same);
    }
}

fn remove(slot: &mut Option<Arc<Node>>, value: Bits, len: u32) {
    let Some(arc) = slot else { return };
    if arc.n_bits > len || common(value, arc.prefix, arc.n_bits) < arc.n_bits {
        return;
    }
    let node = Arc::make_mut(arc);
    if node.n_bits == len {
        node.rules = node.rules.saturating_sub(1);
    } else {
        let rest = shifted(value, node.n_bits);
        remove(&mut node.children[first(rest)], rest, len - node.n_bits);
    }
    if node.rules > 0 {
        return;
    }
    // A node without rules stays only as a fork.
    let keep = match &mut node.children {
        [Some(_), Some(_)] => return,
        [None, None] => None,
        [child @ Some(_), None] | [None, child @ Some(_)] => child.take(),
    };
    *slot = keep.map(|child| {
        let mut joined = (*child).clone();
        joined.prefix = node.prefix | joined.prefix.checked_shr(node.n_bits).unwrap_or(0);
        joined.n_bits += node.n_bits;
        Arc::new(joined)
    });
}

fn top(n: u32) -> Bits {
    if n == 0 { 0 } else { Bits::MAX << (128 - n) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decisive_bits_suffice(
            prefixes in prop::collection::vec((any::<u8>(), 1u32..=8), 0..20),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
            value: u8, noise: u8,
        ) {
            let wide = |v: u8| Bits::from(v) << 120;
            let mut stored = prefixes.clone();
            let mut trie = Trie::default();
            for (v, len) in &prefixes { trie.insert(wide(*v), *len); }
            for index in removed {
                if stored.is_empty() { break; }
                let (v, len) = stored.swap_remove(index.index(stored.len()));
                trie.remove(wide(v), len);
            }
            let expect = |value: u8| stored.iter().filter(|(v, len)| (v ^ value) >> (8 - len) == 0)
                .fold(0u128, |lengths, (_, len)| lengths | 1 << (len - 1));
            let found = trie.lookup(wide(value), 8);
            prop_assert_eq!(found.lengths, expect(value));
            // Whatever stands behind the decisive bits, the answer is the same.
            let keep = if found.bits == 0 { 0 } else { 0xffu8 << (8 - found.bits) };
            let other = (value & keep) | (noise & !keep);
            prop_assert_eq!(trie.lookup(wide(other), 8), found);
            prop_assert_eq!(trie.root.is_none(), stored.is_empty());
        }
    }
}
