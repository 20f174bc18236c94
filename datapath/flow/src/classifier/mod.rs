//! The classifier: which rule of a table matches a packet, and which bits of the packet decided it.
//!
//! Tuple space search: one [`subtable`] a mask, visited by falling highest priority. Three devices keep bits that did not
//! decide out of the answer's mask: stages (a miss in the metadata looks at no header), tries of prefixes shared by the
//! whole table, and a trie of ports in each subtable. Conjunctive matches (ovs-fields(7), "Conjunctive Match Fields") are
//! resolved here too.
//!
//! [`Classifier`] has one writer; [`View`]s of it are immutable, cost a few reference counts and may be read by anyone.
//! The packet-side cache (megaflows, disjoint and without priorities) is not here but in `dp`.

mod hamt;
mod mini_match;
mod shapes;
mod subtable;
mod trie;

pub use hamt::Hamt;
pub use mini_match::{MiniMatch, Shape};
pub use shapes::Shapes;

use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use crate::key::word;
use crate::{Key, Mask};
use subtable::Subtable;
use trie::{Found, Trie};

/// Membership of a rule in one clause of a conjunctive match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conjunction {
    /// The conjunction's identifier.
    pub id: u32,
    /// Clause, from 0.
    pub clause: u8,
    /// Number of clauses, 2 to 64.
    pub n_clauses: u8,
}

/// What a classifier holds.
pub trait Entry {
    /// Its match.
    fn mini(&self) -> &MiniMatch;
    /// Its priority; the highest wins.
    fn priority(&self) -> i32;
    /// The conjunctions it is a part of; a rule that is part of any is not a result by itself.
    fn conjunctions(&self) -> &[Conjunction] {
        &[]
    }
}

/// Fields that a trie can be kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PrefixField {
    /// `nw_dst`.
    Ipv4Dst,
    /// `nw_src`.
    Ipv4Src,
    /// `ipv6_dst`.
    Ipv6Dst,
    /// `ipv6_src`.
    Ipv6Src,
    /// `tun_dst`.
    TunDst,
    /// `tun_src`.
    TunSrc,
    /// `tun_ipv6_dst`.
    TunIpv6Dst,
    /// `tun_ipv6_src`.
    TunIpv6Src,
    /// `tun_id`.
    TunId,
}

impl PrefixField {
    /// First word, shift within it, width.
    fn place(self) -> (usize, u32, u32) {
        match self {
            PrefixField::Ipv4Dst => (word::NW, 0, 32),
            PrefixField::Ipv4Src => (word::NW, 32, 32),
            PrefixField::Ipv6Dst => (word::IPV6_DST, 0, 128),
            PrefixField::Ipv6Src => (word::IPV6_SRC, 0, 128),
            PrefixField::TunDst => (1, 0, 32),
            PrefixField::TunSrc => (1, 32, 32),
            PrefixField::TunIpv6Dst => (4, 0, 128),
            PrefixField::TunIpv6Src => (2, 0, 128),
            PrefixField::TunId => (0, 0, 64),
        }
    }

    /// Its bits out of `words`, left-aligned.
    fn read(self, words: impl Fn(usize) -> u64) -> u128 {
        let (at, shift, width) = self.place();
        match width {
            128 => (u128::from(words(at)) << 64) | u128::from(words(at + 1)),
            64 => u128::from(words(at)) << 64,
            _ => u128::from((words(at) >> shift) as u32) << 96,
        }
    }

    /// Adds the first `n` bits to `wc`.
    fn join_prefix(self, wc: &mut Mask, n: u32) {
        let (at, shift, width) = self.place();
        let ones = if n == 0 { 0 } else { u128::MAX << (128 - n) };
        match width {
            128 => {
                wc.0[at] |= (ones >> 64) as u64;
                wc.0[at + 1] |= ones as u64;
            }
            64 => wc.0[at] |= (ones >> 64) as u64,
            _ => wc.0[at] |= u64::from((ones >> 96) as u32) << shift,
        }
    }

    /// Whether a packet has the field: an ARP packet's addresses lie in the same place and are another's.
    fn is_in(self, key: &Key) -> bool {
        match self {
            PrefixField::Ipv4Dst | PrefixField::Ipv4Src => key.network_type() == 0x0800,
            PrefixField::Ipv6Dst | PrefixField::Ipv6Src => key.network_type() == 0x86dd,
            PrefixField::TunDst
            | PrefixField::TunSrc
            | PrefixField::TunIpv6Dst
            | PrefixField::TunIpv6Src
            | PrefixField::TunId => true,
        }
    }

    /// Length of the prefix that `shape` matches on, 0 when it matches on none or on other bits.
    fn prefix_len(self, shape: &Shape) -> u8 {
        let mask = self.read(|i| shape.word(i));
        let len = mask.leading_ones();
        if mask.checked_shl(len).unwrap_or(0) == 0 { len as u8 } else { 0 }
    }
}

/// The trie of a field, as wide as the field at least.
#[derive(Clone, Debug)]
enum PrefixTrie {
    Narrow(Trie<u32>),
    Wide(Trie<u128>),
}

impl PrefixTrie {
    fn of(field: PrefixField) -> Self {
        match field.place() {
            (_, _, 32) => PrefixTrie::Narrow(Trie::default()),
            _ => PrefixTrie::Wide(Trie::default()),
        }
    }

    fn insert(&mut self, value: u128, len: u32) {
        match self {
            PrefixTrie::Narrow(trie) => trie.insert((value >> 96) as u32, len),
            PrefixTrie::Wide(trie) => trie.insert(value, len),
        }
    }

    fn remove(&mut self, value: u128, len: u32) {
        match self {
            PrefixTrie::Narrow(trie) => trie.remove((value >> 96) as u32, len),
            PrefixTrie::Wide(trie) => trie.remove(value, len),
        }
    }

    fn lookup(&self, value: u128) -> Found {
        match self {
            PrefixTrie::Narrow(trie) => trie.lookup((value >> 96) as u32),
            PrefixTrie::Wide(trie) => trie.lookup(value),
        }
    }
}

/// The prefix fields of a table that was told nothing else.
pub const DEFAULT_PREFIX_FIELDS: [PrefixField; 2] = [PrefixField::Ipv4Dst, PrefixField::Ipv4Src];

/// One look-up's answers of the tries, found when first needed.
struct PrefixLookups<'a> {
    tries: &'a [(PrefixField, PrefixTrie)],
    found: SmallVec<[Option<Found>; 4]>,
}

impl<'a> PrefixLookups<'a> {
    fn new(tries: &'a [(PrefixField, PrefixTrie)]) -> Self {
        Self { tries, found: SmallVec::from_elem(None, tries.len()) }
    }

    /// Whether a trie shows that no rule of a subtable with these prefix lengths can match; then `wc` has the bits that
    /// showed it. Considers fields in words `from..to`.
    fn rule_out(&mut self, lens: &[u8], from: usize, to: usize, key: &Key, wc: &mut Mask) -> bool {
        for (i, (field, trie)) in self.tries.iter().enumerate() {
            let len = u32::from(lens.get(i).copied().unwrap_or(0));
            let (at, _, _) = field.place();
            if len == 0 || at < from || at >= to || !field.is_in(key) {
                continue;
            }
            let found = *self.found[i].get_or_insert_with(|| trie.lookup(field.read(|w| key.0[w])));
            if found.lengths & (1 << (len - 1)) != 0 {
                continue;
            }
            // Never look at more bits than the subtable's own mask would, unless they are known already.
            let known = field.read(|w| wc.0[w]).leading_ones() >= found.bits;
            if found.bits <= len || known {
                field.join_prefix(wc, found.bits);
                return true;
            }
        }
        false
    }
}

/// A subtable in its place.
#[derive(Debug)]
struct Ranked<E> {
    /// Highest priority of a rule there.
    priority: i32,
    /// What the writer knows it by.
    id: u32,
    subtable: Arc<Subtable<E>>,
}

impl<E> Clone for Ranked<E> {
    fn clone(&self) -> Self {
        Self { subtable: self.subtable.clone(), ..*self }
    }
}

/// An immutable version of a classifier.
#[derive(Debug)]
pub struct View<E> {
    /// By falling highest priority.
    subtables: Vec<Ranked<E>>,
    tries: Vec<(PrefixField, PrefixTrie)>,
    len: usize,
}

impl<E> Clone for View<E> {
    fn clone(&self) -> Self {
        Self { subtables: self.subtables.clone(), tries: self.tries.clone(), len: self.len }
    }
}

impl<E> Default for View<E> {
    fn default() -> Self {
        Self { subtables: Vec::new(), tries: Vec::new(), len: 0 }
    }
}

/// Conjunctive flows that a look-up used, for statistics and tracing.
pub type ConjunctiveFlows<E> = SmallVec<[Arc<E>; 2]>;

impl<E: Entry> View<E> {
    /// Number of rules.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of distinct masks.
    pub fn n_masks(&self) -> usize {
        self.subtables.len()
    }

    /// The highest-priority rule that matches `key`. Adds to `wc` every bit that the answer depended on.
    ///
    /// For a conjunctive match the answer is the `conj_id` rule; the bits of its clauses' rules are in `wc`.
    pub fn lookup(&self, key: &Key, wc: &mut Mask) -> Option<&Arc<E>> {
        self.lookup_with(key, wc, true, None)
    }

    /// As [`View::lookup`], and appends to `used` the clauses' rules when the answer is conjunctive.
    pub fn lookup_conjunctive(&self, key: &Key, wc: &mut Mask, used: &mut ConjunctiveFlows<E>) -> Option<&Arc<E>> {
        self.lookup_with(key, wc, true, Some(used))
    }

    fn lookup_with(
        &self,
        key: &Key,
        wc: &mut Mask,
        conjunctive: bool,
        used: Option<&mut ConjunctiveFlows<E>>,
    ) -> Option<&Arc<E>> {
        let mut prefixes = PrefixLookups::new(&self.tries);
        let mut hard: Option<&Arc<E>> = None;
        let mut soft: SmallVec<[(&Subtable<E>, &Arc<E>); 8]> = SmallVec::new();
        for Ranked { priority, subtable, .. } in &self.subtables {
            if hard.is_some_and(|h| h.priority() >= *priority) {
                break;
            }
            let Some(found) = subtable.lookup(key, wc, &mut prefixes) else { continue };
            if hard.is_some_and(|h| h.priority() >= found.priority()) {
                continue;
            }
            if conjunctive && !found.conjunctions().is_empty() {
                soft.push((subtable, found));
            } else if found.conjunctions().is_empty() {
                hard = Some(found);
            } else {
                hard = next_hard(subtable, found, hard);
            }
        }
        if soft.is_empty() { hard } else { self.resolve(key, wc, hard, soft, used) }
    }

    /// Decides between conjunctive matches and the best other one, from the highest priority down.
    fn resolve<'a>(
        &'a self,
        key: &Key,
        wc: &mut Mask,
        mut hard: Option<&'a Arc<E>>,
        mut soft: SmallVec<[(&'a Subtable<E>, &'a Arc<E>); 8]>,
        used: Option<&mut ConjunctiveFlows<E>>,
    ) -> Option<&'a Arc<E>> {
        let mut used = used;
        loop {
            let hard_priority = hard.map(|h| h.priority());
            soft.retain(|(_, e)| Some(e.priority()) > hard_priority);
            let Some(priority) = soft.iter().map(|(_, e)| e.priority()).max() else { return hard };
            let level: SmallVec<[&Arc<E>; 8]> =
                soft.iter().filter(|(_, e)| e.priority() == priority).map(|(_, e)| *e).collect();
            if let Some(id) = complete_conjunction(&level) {
                let mut with_id = key.clone();
                with_id.set_conj_id(id);
                let found = self.lookup_with(&with_id, wc, false, None);
                if let Some(found) = found {
                    if let Some(used) = used.as_deref_mut() {
                        used.extend(
                            level.iter().filter(|e| e.conjunctions().iter().any(|c| c.id == id)).map(|e| (*e).clone()),
                        );
                    }
                    return Some(found);
                }
            }
            // Nothing at this priority: behind each of its rules there may be one of the same match and less priority.
            for (subtable, entry) in &mut soft {
                if entry.priority() != priority {
                    continue;
                }
                let next = subtable.same(entry.mini()).find(|e| e.priority() < priority);
                match next {
                    Some(next) => {
                        if next.conjunctions().is_empty() && Some(next.priority()) > hard.map(|h| h.priority()) {
                            hard = Some(next);
                        }
                        *entry = next;
                    }
                    None => continue,
                }
            }
            soft.retain(|(_, e)| e.priority() < priority && !e.conjunctions().is_empty());
        }
    }

    /// As [`View::lookup`], for who does not care which bits decided; `key` itself may carry a `conj_id`.
    pub fn find(&self, key: &Key) -> Option<&Arc<E>> {
        self.lookup(key, &mut Mask::EMPTY.clone())
    }

    /// The rule with exactly this match and priority.
    pub fn exact(&self, mini: &MiniMatch, priority: i32) -> Option<&Arc<E>> {
        let ranked = self.subtables.iter().find(|s| s.subtable.shape == *mini.shape())?;
        ranked.subtable.same(mini).find(|e| e.priority() == priority)
    }

    /// This view with a rule more, or in the place of the one with the same match and priority.
    pub fn with(&self, entry: Arc<E>) -> View<E> {
        let mut view = self.clone();
        let (shape, priority) = (entry.mini().shape(), entry.priority());
        let at = view.subtables.iter().position(|s| s.subtable.shape == *shape).unwrap_or_else(|| {
            // Nobody writes to this version: the number is never asked for.
            view.begin_subtable(shape, priority, u32::MAX)
        });
        let old = Arc::make_mut(&mut view.subtables[at].subtable).insert(&entry);
        if old.is_none() {
            view.len += 1;
            view.count_prefixes(at, entry.mini(), true);
            let highest = priority.max(view.subtables[at].priority);
            if view.rank(at, highest) {
                view.settle();
            }
        }
        view
    }

    fn begin_subtable(&mut self, shape: &Arc<Shape>, priority: i32, id: u32) -> usize {
        let fields: Vec<_> = self.tries.iter().map(|(f, _)| *f).collect();
        let at = self.subtables.partition_point(|s| s.priority >= priority);
        let subtable = Arc::new(Subtable::new(shape.clone(), &fields));
        self.subtables.insert(at, Ranked { priority, id, subtable });
        at
    }

    fn count_prefixes(&mut self, at: usize, mini: &MiniMatch, add: bool) {
        for (i, (field, trie)) in self.tries.iter_mut().enumerate() {
            let len = u32::from(self.subtables[at].subtable.prefix_len[i]);
            if len > 0 {
                let value = field.read(|w| mini.word(w));
                if add { trie.insert(value, len) } else { trie.remove(value, len) }
            }
        }
    }

    /// Notes the highest priority of a subtable's rules; [`View::settle`] then puts it in its place.
    fn rank(&mut self, at: usize, highest: i32) -> bool {
        let subtable = &mut self.subtables[at];
        std::mem::replace(&mut subtable.priority, highest) != highest
    }

    /// Brings the subtables into their order: the highest priority first, and equals as they stood.
    fn settle(&mut self) {
        self.subtables.sort_by_key(|s| std::cmp::Reverse(s.priority));
    }

    /// Every rule, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<E>> {
        self.subtables.iter().flat_map(|s| s.subtable.iter())
    }

    /// Every rule whose match lies within `target`; those of one shape come together, shapes by their highest priority.
    pub fn within<'a>(&'a self, target: &'a MiniMatch) -> impl Iterator<Item = &'a Arc<E>> {
        let covering = self.subtables.iter().map(|s| &s.subtable).filter(|s| s.shape.covers(target.shape()));
        covering.flat_map(|s| {
            // In a subtable of the very shape there is one place to look.
            let (same, all) =
                if s.shape == *target.shape() { (Some(s.same(target)), None) } else { (None, Some(s.iter())) };
            same.into_iter().flatten().chain(all.into_iter().flatten().filter(|e| e.mini().is_within(target)))
        })
    }

    /// Whether a rule of this priority can match a packet that `mini` matches.
    pub fn overlaps(&self, mini: &MiniMatch, priority: i32) -> bool {
        self.subtables
            .iter()
            .filter(|s| s.priority >= priority)
            .any(|s| s.subtable.iter().any(|e| e.priority() == priority && e.mini().overlaps(mini)))
    }

    /// Whether any rule matches `key` at exactly this `conj_id`-free view; the subtables visited are not recorded.
    pub fn matches_any(&self, key: &Key) -> bool {
        self.subtables.iter().any(|s| s.subtable.find(key).is_some())
    }
}

/// The best non-conjunctive rule behind `found` in its subtable, or `hard`.
fn next_hard<'a, E: Entry>(
    subtable: &'a Subtable<E>,
    found: &'a Arc<E>,
    hard: Option<&'a Arc<E>>,
) -> Option<&'a Arc<E>> {
    let next = subtable.same(found.mini()).find(|e| e.conjunctions().is_empty());
    match (next, hard) {
        (Some(next), Some(hard)) if next.priority() <= hard.priority() => Some(hard),
        (Some(next), _) => Some(next),
        (None, hard) => hard,
    }
}

/// The first conjunction (in order of the rules) of which every clause is met.
fn complete_conjunction<E: Entry>(level: &[&Arc<E>]) -> Option<u32> {
    let mut met: SmallVec<[(u32, u64); 8]> = SmallVec::new();
    for entry in level {
        for c in entry.conjunctions() {
            let at = met.iter().position(|(id, _)| *id == c.id).unwrap_or_else(|| {
                met.push((c.id, 0));
                met.len() - 1
            });
            met[at].1 |= 1 << c.clause.min(63);
            let all = if c.n_clauses >= 64 { u64::MAX } else { (1 << c.n_clauses) - 1 };
            if met[at].1 == all {
                return Some(c.id);
            }
        }
    }
    None
}

/// A classifier's writer.
#[derive(Debug)]
pub struct Classifier<E> {
    view: View<E>,
    shapes: HashMap<Arc<Shape>, Known, BuildHasherDefault<ShapeHash>>,
    next_id: u32,
}

/// Shapes bring a hash of their own.
#[derive(Default)]
struct ShapeHash(u64);

impl Hasher for ShapeHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        octets.iter().for_each(|octet| self.write_u64((*octet).into()));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = self.0.rotate_left(8) ^ hash;
    }
}

/// What the writer knows of a subtable.
#[derive(Debug)]
struct Known {
    id: u32,
    /// How many rules have each priority.
    priorities: BTreeMap<i32, usize>,
}

impl<E: Entry> Default for Classifier<E> {
    fn default() -> Self {
        let mut classifier = Self { view: View::default(), shapes: HashMap::default(), next_id: 0 };
        classifier.set_prefix_fields(&DEFAULT_PREFIX_FIELDS);
        classifier
    }
}

impl<E: Entry> Classifier<E> {
    /// The rules as they are now.
    pub fn view(&self) -> &View<E> {
        &self.view
    }

    /// The rule with exactly this match and priority.
    pub fn exact(&self, mini: &MiniMatch, priority: i32) -> Option<&Arc<E>> {
        let at = self.position(mini.shape())?;
        self.view.subtables[at].subtable.same(mini).find(|e| e.priority() == priority)
    }

    /// Chooses the fields that tries are kept for.
    pub fn set_prefix_fields(&mut self, fields: &[PrefixField]) {
        self.view.tries = fields.iter().map(|f| (*f, PrefixTrie::of(*f))).collect();
        for ranked in &mut self.view.subtables {
            let subtable = Arc::make_mut(&mut ranked.subtable);
            subtable.set_prefix_fields(fields);
            for (i, (field, trie)) in self.view.tries.iter_mut().enumerate() {
                let len = u32::from(subtable.prefix_len[i]);
                for entry in subtable.iter().filter(|_| len > 0) {
                    trie.insert(field.read(|w| entry.mini().word(w)), len);
                }
            }
        }
    }

    /// Adds a rule, or puts it in the place of one with the same match and priority, which is returned.
    pub fn insert(&mut self, entry: Arc<E>) -> Option<Arc<E>> {
        let (mini, priority) = (entry.mini(), entry.priority());
        let at = self.position(mini.shape()).unwrap_or_else(|| self.begin_subtable(mini.shape(), priority));
        let old = Arc::make_mut(&mut self.view.subtables[at].subtable).insert(&entry);
        if old.is_none() {
            self.view.len += 1;
            self.view.count_prefixes(at, mini, true);
            if let Some(known) = self.shapes.get_mut(mini.shape()) {
                *known.priorities.entry(priority).or_default() += 1;
            }
            if self.rank(at) {
                self.view.settle();
            }
        }
        old
    }

    /// Takes out the rule with exactly this match and priority.
    pub fn remove(&mut self, mini: &MiniMatch, priority: i32) -> Option<Arc<E>> {
        let (old, moved) = self.take(mini, priority)?;
        if moved {
            self.view.settle();
        }
        Some(old)
    }

    /// [`Classifier::remove`], and whether the subtables are to be [settled](View::settle).
    fn take(&mut self, mini: &MiniMatch, priority: i32) -> Option<(Arc<E>, bool)> {
        let at = self.position(mini.shape())?;
        let old = Arc::make_mut(&mut self.view.subtables[at].subtable).remove(mini, priority)?;
        self.view.len -= 1;
        self.view.count_prefixes(at, mini, false);
        if let Some(known) = self.shapes.get_mut(mini.shape())
            && let Some(n) = known.priorities.get_mut(&priority)
        {
            *n -= 1;
            if *n == 0 {
                known.priorities.remove(&priority);
            }
        }
        Some((old, self.rank(at)))
    }

    /// Takes out many rules, which must all be here; `stays` tells which others do. What would leave less than half of a
    /// large table is rather made anew from what stays.
    pub fn remove_all(&mut self, rules: &[Arc<E>], stays: impl Fn(&E) -> bool) {
        if rules.len() * 2 < self.view.len || rules.len() < REBUILD_AT_LEAST {
            let mut moved = false;
            for rule in rules {
                moved |= self.take(rule.mini(), rule.priority()).is_some_and(|(_, moved)| moved);
            }
            if moved {
                self.view.settle();
            }
            return;
        }
        let fields: Vec<_> = self.view.tries.iter().map(|(f, _)| *f).collect();
        let before = std::mem::take(&mut self.view);
        self.shapes.clear();
        self.set_prefix_fields(&fields);
        if before.len > rules.len() {
            before.iter().filter(|e| stays(e)).for_each(|e| drop(self.insert(e.clone())));
        }
    }

    /// A shape that the classifier already has in place of an equal one, so that rules share it.
    pub fn intern(&self, mini: MiniMatch) -> MiniMatch {
        match self.shapes.get_key_value(&mini.shape) {
            Some((shape, _)) => MiniMatch { shape: shape.clone(), ..mini },
            None => mini,
        }
    }

    /// Where the subtable of a shape is.
    fn position(&self, shape: &Arc<Shape>) -> Option<usize> {
        let id = self.shapes.get(shape)?.id;
        self.view.subtables.iter().position(|s| s.id == id)
    }

    fn begin_subtable(&mut self, shape: &Arc<Shape>, priority: i32) -> usize {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        self.shapes.insert(shape.clone(), Known { id, priorities: BTreeMap::new() });
        self.view.begin_subtable(shape, priority, id)
    }

    /// Notes the highest priority of a subtable after a change, or takes an empty one away: the last one takes its place.
    /// True if the subtables are to be [settled](View::settle).
    fn rank(&mut self, at: usize) -> bool {
        let known = self.shapes.get(&self.view.subtables[at].subtable.shape);
        match known.and_then(|k| k.priorities.keys().next_back().copied()) {
            Some(highest) => self.view.rank(at, highest),
            None => {
                let gone = self.view.subtables.swap_remove(at);
                self.shapes.remove(&gone.subtable.shape);
                true
            }
        }
    }
}

/// Fewer rules than this are taken out one by one.
const REBUILD_AT_LEAST: usize = 256;
