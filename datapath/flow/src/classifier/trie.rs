//! A persistent trie of prefixes, which answers for a value: which of the stored prefix lengths contain it, and how many
//! of its leading bits were needed to know.
//!
//! Few prefixes lie packed in a leaf; where there are more, the trie forks at the first bit in which they differ. A
//! prefix in a crowd takes little more than its bits and its count, and a look-up ends in one run over memory.

use std::fmt::Debug;
use std::sync::Arc;

/// Bits of a value, the first one highest; shorter values stand left-aligned.
pub trait Bits: Copy + Eq + Debug {
    /// How many there are.
    const WIDTH: u32;

    /// Leading bits that two values have in common.
    fn common(self, other: Self) -> u32;

    /// Bit `at`, counted from the highest.
    fn bit(self, at: u32) -> usize;

    /// The first `n` bits, zeros behind them.
    #[must_use]
    fn top(self, n: u32) -> Self;
}

macro_rules! bits {
    ($of:ty) => {
        impl Bits for $of {
            const WIDTH: u32 = <$of>::BITS;

            fn common(self, other: Self) -> u32 {
                (self ^ other).leading_zeros()
            }

            fn bit(self, at: u32) -> usize {
                usize::from(at < Self::WIDTH && self & (1 << (Self::WIDTH - 1 - at)) != 0)
            }

            fn top(self, n: u32) -> Self {
                self & <$of>::MAX.checked_shl(Self::WIDTH - n.min(Self::WIDTH)).unwrap_or(0)
            }
        }
    };
}

bits!(u32);
bits!(u128);

/// Most prefixes of a leaf that could fork.
const LEAF_AT_MOST: usize = 24;

/// A stored prefix.
#[derive(Clone, Copy, Debug)]
struct Prefix<B> {
    bits: B,
    /// How many rules have it.
    rules: u32,
    len: u8,
}

#[derive(Clone, Debug)]
enum Node<B> {
    Leaf(Vec<Prefix<B>>),
    /// Prefixes that agree in the first `at` bits, and of which some differ in the next.
    Fork {
        bits: B,
        at: u32,
        /// Those of at most `at` bits.
        own: Vec<Prefix<B>>,
        /// The others, by bit `at`; both have some.
        children: [Arc<Node<B>>; 2],
    },
}

/// Prefixes with a count each.
#[derive(Clone, Debug)]
pub struct Trie<B> {
    root: Arc<Node<B>>,
}

impl<B> Default for Trie<B> {
    fn default() -> Self {
        Self { root: Arc::new(Node::Leaf(Vec::new())) }
    }
}

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Bit `n` is set when a stored prefix of `n + 1` bits contains the value.
    pub lengths: u128,
    /// Leading bits of the value that decided it.
    pub bits: u32,
}

impl Found {
    fn add(&mut self, len: u8) {
        if len > 0 {
            self.lengths |= 1 << (len - 1);
        }
    }
}

impl<B: Bits> Trie<B> {
    /// Stores the prefix of `len` leading bits of `value` once more.
    pub fn insert(&mut self, value: B, len: u32) {
        let len = len.min(B::WIDTH);
        add(&mut self.root, Prefix { bits: value.top(len), rules: 1, len: len as u8 });
    }

    /// Takes it out once.
    pub fn remove(&mut self, value: B, len: u32) {
        let len = len.min(B::WIDTH);
        remove(&mut self.root, value.top(len), len as u8);
    }

    /// Looks up a value.
    pub fn lookup(&self, value: B) -> Found {
        let mut found = Found { lengths: 0, bits: 0 };
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(prefixes) => {
                    // The bit behind the longest agreement matters only where some prefix goes on there.
                    let (mut same, mut beyond) = (0, false);
                    for prefix in prefixes {
                        let len = u32::from(prefix.len);
                        let common = value.common(prefix.bits).min(len);
                        if common == len {
                            found.add(prefix.len);
                        }
                        if common > same {
                            (same, beyond) = (common, common < len);
                        } else if common == same {
                            beyond |= common < len;
                        }
                    }
                    found.bits = same + u32::from(beyond);
                    return found;
                }
                Node::Fork { bits, at, own, children } => {
                    let common = value.common(*bits).min(*at);
                    own.iter().filter(|p| u32::from(p.len) <= common).for_each(|p| found.add(p.len));
                    if common < *at {
                        found.bits = common + 1;
                        return found;
                    }
                    node = &children[value.bit(*at)];
                }
            }
        }
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        matches!(&*self.root, Node::Leaf(prefixes) if prefixes.is_empty())
    }
}

/// Adds to a packed list.
fn put<B: Bits>(prefixes: &mut Vec<Prefix<B>>, new: Prefix<B>) {
    match prefixes.iter_mut().find(|p| (p.bits, p.len) == (new.bits, new.len)) {
        Some(known) => known.rules += new.rules,
        None => prefixes.push(new),
    }
}

/// Takes one rule out of a packed list.
fn take<B: Bits>(prefixes: &mut Vec<Prefix<B>>, bits: B, len: u8) {
    if let Some(at) = prefixes.iter().position(|p| (p.bits, p.len) == (bits, len)) {
        prefixes[at].rules = prefixes[at].rules.saturating_sub(1);
        if prefixes[at].rules == 0 {
            prefixes.swap_remove(at);
        }
    }
}

fn add<B: Bits>(node: &mut Arc<Node<B>>, new: Prefix<B>) {
    let len = u32::from(new.len);
    if let Node::Fork { bits, at, .. } = **node {
        let common = new.bits.common(bits).min(at).min(len);
        if common < at && common < len {
            // It leaves the common way early: a fork in front of this one.
            let mut own = Vec::new();
            if let Node::Fork { own: shorter, .. } = Arc::make_mut(node) {
                (own, *shorter) = std::mem::take(shorter).into_iter().partition(|p| u32::from(p.len) <= common);
            }
            let leaf = Arc::new(Node::Leaf(vec![new]));
            let children = if new.bits.bit(common) == 0 { [leaf, node.clone()] } else { [node.clone(), leaf] };
            *node = Arc::new(Node::Fork { bits: bits.top(common), at: common, own, children });
            return;
        }
    }
    match Arc::make_mut(node) {
        Node::Fork { at, own, children, .. } => {
            if len <= *at {
                put(own, new)
            } else {
                add(&mut children[new.bits.bit(*at)], new)
            }
        }
        Node::Leaf(prefixes) => {
            put(prefixes, new);
            if prefixes.len() > LEAF_AT_MOST
                && let Some(fork) = fork(prefixes)
            {
                *node = Arc::new(fork);
            }
        }
    }
}

/// A leaf's prefixes parted at the first bit in which they differ; nothing if each contains the next.
fn fork<B: Bits>(prefixes: &[Prefix<B>]) -> Option<Node<B>> {
    let longest = prefixes.iter().max_by_key(|p| p.len)?;
    // Whatever does not contain the longest parts from it somewhere; the earliest such place parts the leaf.
    let parts = |p: &Prefix<B>| {
        let common = p.bits.common(longest.bits);
        (common < u32::from(p.len)).then_some(common)
    };
    let at = prefixes.iter().filter_map(parts).min()?;
    let (own, rest): (Vec<Prefix<B>>, Vec<Prefix<B>>) = prefixes.iter().partition(|p| u32::from(p.len) <= at);
    let (ones, zeros): (Vec<Prefix<B>>, Vec<Prefix<B>>) = rest.into_iter().partition(|p| p.bits.bit(at) == 1);
    let leaf = |prefixes: Vec<Prefix<B>>| {
        let deeper = if prefixes.len() > LEAF_AT_MOST { fork(&prefixes) } else { None };
        Arc::new(deeper.unwrap_or(Node::Leaf(prefixes)))
    };
    Some(Node::Fork { bits: longest.bits.top(at), at, own, children: [leaf(zeros), leaf(ones)] })
}

fn remove<B: Bits>(node: &mut Arc<Node<B>>, bits: B, len: u8) {
    let joined = match Arc::make_mut(node) {
        Node::Leaf(prefixes) => return take(prefixes, bits, len),
        Node::Fork { at, own, children, .. } => {
            if u32::from(len) <= *at {
                take(own, bits, len);
            } else {
                remove(&mut children[bits.bit(*at)], bits, len);
            }
            joined(own, children)
        }
    };
    if let Some(joined) = joined {
        *node = joined;
    }
}

/// What a fork becomes that has become superfluous: a child without prefixes leaves the other one, small leaves are one.
fn joined<B: Bits>(own: &[Prefix<B>], children: &[Arc<Node<B>>; 2]) -> Option<Arc<Node<B>>> {
    let [Node::Leaf(a), b] = children.each_ref().map(|c| &**c) else {
        let Node::Leaf(b) = &*children[1] else { return None };
        return b.is_empty().then(|| with(children[0].clone(), own));
    };
    match b {
        Node::Leaf(b) if a.is_empty() || b.is_empty() || own.len() + a.len() + b.len() <= LEAF_AT_MOST / 2 => {
            Some(Arc::new(Node::Leaf([own, a, b].concat())))
        }
        _ if a.is_empty() => Some(with(children[1].clone(), own)),
        _ => None,
    }
}

fn with<B: Bits>(mut node: Arc<Node<B>>, own: &[Prefix<B>]) -> Arc<Node<B>> {
    own.iter().for_each(|p| add(&mut node, *p));
    node
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Many values under few bits, so that leaves fork and join again.
    fn crowd() -> impl Strategy<Value = Vec<(u16, u32)>> {
        prop::collection::vec((any::<u16>(), 1u32..=16), 0..200)
    }

    proptest! {
        #[test]
        fn decisive_bits_suffice(
            prefixes in crowd(),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..200),
            values in prop::collection::vec((any::<u16>(), any::<u16>()), 1..20),
        ) {
            let wide = |v: u16| u32::from(v) << 16;
            let mut stored = prefixes.clone();
            let mut trie = Trie::default();
            for (v, len) in &prefixes { trie.insert(wide(*v), *len); }
            let before = trie.clone();
            for index in removed {
                if stored.is_empty() { break; }
                let (v, len) = stored.swap_remove(index.index(stored.len()));
                trie.remove(wide(v), len);
            }
            for (trie, stored) in [(&trie, &stored), (&before, &prefixes)] {
                for (value, noise) in &values {
                    let expect = stored.iter().filter(|(v, len)| (v ^ value) >> (16 - len) == 0)
                        .fold(0u128, |lengths, (_, len)| lengths | 1 << (len - 1));
                    let found = trie.lookup(wide(*value));
                    prop_assert_eq!(found.lengths, expect);
                    // Whatever stands behind the decisive bits, the answer is the same.
                    let keep = (u32::MAX.checked_shl(32 - found.bits).unwrap_or(0) >> 16) as u16;
                    let other = (value & keep) | (noise & !keep);
                    prop_assert_eq!(trie.lookup(wide(other)), found);
                    // The longest agreement, and the bit behind it where a prefix that agrees so far goes on.
                    let agree = |(v, len): &(u16, u32)| (v ^ value).leading_zeros().min(*len);
                    let longest = stored.iter().map(agree).max().unwrap_or(0);
                    let goes_on = stored.iter().any(|p| agree(p) == longest && p.1 > longest);
                    prop_assert_eq!(found.bits, longest + u32::from(goes_on));
                }
                prop_assert_eq!(trie.is_empty(), stored.is_empty());
            }
        }
    }
}
