//! MAC learning: which port of a bridge an Ethernet address was last seen on, by VLAN.
//!
//! [`MacTable`] is the one writer's state; [`MacView`] is a snapshot of the addresses that shares memory with it, shard
//! by shard, so that taking one costs 64 reference counts and a later change copies one shard.
//!
//! When the table is full, the port with most addresses loses its oldest one, so that a port that floods source
//! addresses harms itself alone. Time is milliseconds of the switch's clock.
//!
//! Absent here: which packets may teach (see [`MacView::needs_update`] for the cheap part). Source: IEEE 802.1D section
//! 7.8, 7.9; ovs-vswitchd.conf.db(5) `mac-aging-time`, `mac-table-size`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::fairness::Fairness;

/// Shards of the table.
const SHARDS: usize = 64;
/// Aging time unless configured, seconds.
pub const DEFAULT_IDLE_S: u32 = 300;
/// Entries unless configured.
pub const DEFAULT_MAX_ENTRIES: usize = 8192;
/// How long a gratuitous ARP keeps other gratuitous ARPs from moving an entry, milliseconds.
pub const GRAT_ARP_LOCK_MS: i64 = 5000;

/// An address in a VLAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacKey {
    /// VLAN, 0 for none.
    pub vlan: u16,
    /// Ethernet address, 48 bits.
    pub mac: u64,
}

/// What is known of an address. `P` names a port of the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacEntry<P> {
    /// Where it is.
    pub port: P,
    /// When it was last seen, milliseconds.
    pub used_ms: i64,
    /// Gratuitous ARPs are ignored until then.
    pub locked_until_ms: i64,
    /// Set by hand: does not age or move.
    pub is_static: bool,
    /// Place in the order of use.
    rank: u64,
}

/// Name of a port in a table: OpenFlow number of a port, or number of a bundle.
pub trait PortName: Copy + Ord + std::fmt::Debug {}
impl<T: Copy + Ord + std::fmt::Debug> PortName for T {}

type Shard<P> = HashMap<MacKey, MacEntry<P>>;

/// A snapshot of the addresses.
#[derive(Clone, Debug)]
pub struct MacView<P = u32> {
    shards: Arc<[Arc<Shard<P>>]>,
}

impl<P: PortName> Default for MacView<P> {
    fn default() -> Self {
        MacView { shards: (0..SHARDS).map(|_| Arc::default()).collect() }
    }
}

fn shard_of(key: &MacKey) -> usize {
    let mixed = (key.mac ^ u64::from(key.vlan) << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 58) as usize
}

/// Whether an address names a group of stations.
pub fn is_multicast(mac: u64) -> bool {
    mac >> 40 & 1 == 1
}

impl<P: PortName> MacView<P> {
    /// What is known of an address.
    pub fn lookup(&self, key: &MacKey) -> Option<&MacEntry<P>> {
        self.shards[shard_of(key)].get(key)
    }

    /// All addresses.
    pub fn stations(&self) -> impl Iterator<Item = MacKey> + '_ {
        self.shards.iter().flat_map(|shard| shard.keys().copied())
    }

    /// The addresses that are at another port than in an earlier view, known or unknown now.
    pub fn moved_since<'a>(&'a self, earlier: &'a MacView<P>) -> impl Iterator<Item = MacKey> + 'a {
        let pairs = self.shards.iter().zip(earlier.shards.iter()).filter(|(new, old)| !Arc::ptr_eq(new, old));
        pairs.flat_map(|(new, old)| {
            let changed = new.iter().filter(|(k, e)| old.get(k).is_none_or(|o| o.port != e.port)).map(|(k, _)| *k);
            let gone = old.keys().filter(|k| !new.contains_key(k)).copied();
            changed.chain(gone)
        })
    }

    /// Whether a packet from `key` on `port` changes the table: a new address, one not seen for a second, one that
    /// moved, or a gratuitous ARP that must set or respect the lock. The caller has checked that the VLAN may learn.
    pub fn needs_update(&self, key: &MacKey, port: P, grat_arp: bool, is_bond: bool, now_ms: i64) -> bool {
        if is_multicast(key.mac) {
            return false;
        }
        let Some(entry) = self.lookup(key) else { return true };
        if entry.is_static {
            return false;
        }
        if now_ms - entry.used_ms >= 1000 {
            return true;
        }
        if grat_arp {
            if !is_bond {
                return true;
            }
            if now_ms < entry.locked_until_ms {
                return false;
            }
        }
        entry.port != port
    }
}

/// Counters of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MacStats {
    /// Addresses learned.
    pub learned: u64,
    /// Addresses that grew too old.
    pub expired: u64,
    /// Addresses that made room for others.
    pub evicted: u64,
    /// Addresses that showed at another port.
    pub moved: u64,
    /// Addresses put there by hand.
    pub static_entries: u64,
    /// Packets from addresses put there by hand that came in on another port.
    pub static_kept: u64,
}

/// What an update did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<P> {
    /// Nothing that changes forwarding.
    None,
    /// A new address: flooded flows may be narrower now.
    Learned,
    /// The address was elsewhere.
    Moved {
        /// There.
        from: P,
    },
}

/// The table, with its order of use and its limits.
#[derive(Clone, Debug)]
pub struct MacTable<P = u32> {
    view: MacView<P>,
    /// Use order of all entries.
    order: BTreeMap<u64, MacKey>,
    /// Use order by port, static entries left out.
    ports: Fairness<P>,
    next_rank: u64,
    len: usize,
    idle_ms: i64,
    max_entries: usize,
    /// Counters.
    pub stats: MacStats,
}

impl<P: PortName> Default for MacTable<P> {
    fn default() -> Self {
        MacTable {
            view: MacView::default(),
            order: BTreeMap::new(),
            ports: Fairness::default(),
            next_rank: 0,
            len: 0,
            idle_ms: i64::from(DEFAULT_IDLE_S) * 1000,
            max_entries: DEFAULT_MAX_ENTRIES,
            stats: MacStats::default(),
        }
    }
}

impl<P: PortName> MacTable<P> {
    /// A snapshot.
    pub fn view(&self) -> MacView<P> {
        self.view.clone()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Most entries.
    pub fn max_entries(&self) -> usize {
        self.max_entries
    }

    /// Sets the aging time; below 15 s counts as 15 s, above an hour as an hour.
    pub fn set_idle_time(&mut self, seconds: u32) {
        self.idle_ms = i64::from(seconds.clamp(15, 3600)) * 1000;
    }

    /// Sets the most entries, 10 to 1,000,000; entries too many go at the next [`Self::run`].
    pub fn set_max_entries(&mut self, max: usize) {
        self.max_entries = max.clamp(10, 1_000_000);
    }

    /// What is known of an address.
    pub fn lookup(&self, key: &MacKey) -> Option<&MacEntry<P>> {
        self.view.lookup(key)
    }

    /// All entries, least recently used first, with their age in seconds.
    pub fn entries(&self, now_ms: i64) -> impl Iterator<Item = (MacKey, MacEntry<P>, i64)> + '_ {
        self.order.values().filter_map(move |key| {
            let entry = *self.view.lookup(key)?;
            Some((*key, entry, (now_ms - entry.used_ms).max(0) / 1000))
        })
    }

    fn shard(&mut self, key: &MacKey) -> &mut Shard<P> {
        let index = shard_of(key);
        if Arc::get_mut(&mut self.view.shards).is_none() {
            self.view.shards = self.view.shards.iter().cloned().collect();
        }
        match Arc::get_mut(&mut self.view.shards) {
            Some(shards) => Arc::make_mut(&mut shards[index]),
            None => unreachable!("the shards were just made unique"),
        }
    }

    /// A packet from `key` came in on `port`.
    pub fn learn(&mut self, key: MacKey, port: P, grat_arp: bool, is_bond: bool, now_ms: i64) -> Change<P> {
        if is_multicast(key.mac) {
            return Change::None;
        }
        let old = self.view.lookup(&key).copied();
        if let Some(entry) = old.filter(|e| e.is_static) {
            self.stats.static_kept += u64::from(entry.port != port);
            return Change::None;
        }
        let mut locked_until_ms = old.map_or(i64::MIN, |e| e.locked_until_ms);
        if grat_arp && !is_bond {
            // Only a port that is no bond may be trusted to have seen the sender itself rather than a reflection.
            locked_until_ms = now_ms + GRAT_ARP_LOCK_MS;
        } else if grat_arp && now_ms < locked_until_ms {
            self.put(key, MacEntry { used_ms: now_ms, ..old.unwrap_or(fresh(port, now_ms)) });
            return Change::None;
        }
        if old.is_none() {
            if self.len >= self.max_entries {
                self.evict();
            }
            self.stats.learned += 1;
        }
        self.put(key, MacEntry { locked_until_ms, ..fresh(port, now_ms) });
        match old {
            None => Change::Learned,
            Some(entry) if entry.port != port => {
                self.stats.moved += 1;
                Change::Moved { from: entry.port }
            }
            Some(_) => Change::None,
        }
    }

    /// A flow that teaches `key` on `port` carried packets: keeps the entry young if it still stands. Says whether it does.
    pub fn refresh(&mut self, key: MacKey, port: P, now_ms: i64) -> bool {
        let Some(entry) = self.view.lookup(&key).copied().filter(|entry| entry.port == port) else { return false };
        if !entry.is_static && entry.used_ms < now_ms {
            self.put(key, MacEntry { used_ms: now_ms, ..entry });
        }
        true
    }

    /// Takes over the addresses of another table's snapshot, the oldest first.
    pub fn adopt(&mut self, view: &MacView<P>) {
        let mut entries: Vec<_> = view.shards.iter().flat_map(|shard| shard.iter()).collect();
        entries.sort_by_key(|(_, entry)| entry.rank);
        for (key, entry) in entries {
            if entry.is_static {
                self.add_static(*key, entry.port, entry.used_ms);
            } else {
                self.learn(*key, entry.port, false, false, entry.used_ms);
            }
        }
    }

    /// Adds a static entry. Gives whether forwarding changes.
    pub fn add_static(&mut self, key: MacKey, port: P, now_ms: i64) -> bool {
        let old = self.view.lookup(&key).copied();
        if old.is_none() && self.len >= self.max_entries {
            self.evict();
        }
        if !old.is_some_and(|e| e.is_static) {
            self.stats.static_entries += 1;
        }
        self.put(key, MacEntry { is_static: true, ..fresh(port, now_ms) });
        !old.is_some_and(|e| e.is_static && e.port == port)
    }

    /// Removes an entry of either kind.
    pub fn remove(&mut self, key: &MacKey) -> Option<MacEntry<P>> {
        let entry = self.shard(key).remove(key)?;
        self.forget_rank(&entry);
        self.len -= 1;
        if entry.is_static {
            self.stats.static_entries = self.stats.static_entries.saturating_sub(1);
        }
        Some(entry)
    }

    /// Forgets everything learned; static entries stay.
    pub fn flush(&mut self) {
        self.retain(|_, entry| entry.is_static);
    }

    /// Forgets what was learned on a port, or, with `all`, every entry there.
    pub fn flush_port(&mut self, port: P, all: bool) {
        self.retain(|_, entry| entry.port != port || (entry.is_static && !all));
    }

    /// Forgets entries that `keep` does not want.
    pub fn retain(&mut self, keep: impl Fn(&MacKey, &MacEntry<P>) -> bool) {
        let gone: Vec<MacKey> =
            self.order.values().filter(|k| self.lookup(k).is_some_and(|e| !keep(k, e))).copied().collect();
        for key in gone {
            self.remove(&key);
        }
    }

    /// Forgets what has aged and what is too many. Gives the addresses that went.
    pub fn run(&mut self, now_ms: i64) -> Vec<MacKey> {
        let mut gone = Vec::new();
        while self.len > self.max_entries {
            match self.evict() {
                Some(key) => gone.push(key),
                None => break,
            }
        }
        let old = self.order.values().filter_map(|k| Some((*k, self.view.lookup(k)?)));
        let aged = |e: &MacEntry<P>| !e.is_static && now_ms >= e.used_ms + self.idle_ms;
        let expired: Vec<MacKey> =
            old.filter(|(_, e)| !e.is_static).take_while(|(_, e)| aged(e)).map(|(k, _)| k).collect();
        for key in &expired {
            self.remove(key);
            self.stats.expired += 1;
        }
        gone.extend(expired);
        gone
    }

    /// When the next entry ages.
    pub fn poll_timeout(&self) -> Option<(i64, &'static str)> {
        let oldest = self.order.values().find_map(|k| self.lookup(k).filter(|e| !e.is_static))?;
        Some((oldest.used_ms + self.idle_ms, "MAC aging"))
    }

    fn put(&mut self, key: MacKey, mut entry: MacEntry<P>) {
        entry.rank = self.next_rank;
        self.next_rank += 1;
        let old = self.view.lookup(&key).copied();
        match old {
            Some(old) if old.port == entry.port && !old.is_static && !entry.is_static => {
                self.order.remove(&old.rank);
                self.ports.renew(entry.port, old.rank, entry.rank);
            }
            _ => {
                match old {
                    Some(old) => self.forget_rank(&old),
                    None => self.len += 1,
                }
                if !entry.is_static {
                    self.ports.insert(entry.port, entry.rank);
                }
            }
        }
        self.order.insert(entry.rank, key);
        self.shard(&key).insert(key, entry);
    }

    fn forget_rank(&mut self, entry: &MacEntry<P>) {
        self.order.remove(&entry.rank);
        self.ports.remove(entry.port, entry.rank);
    }

    /// Removes the oldest entry of the port that has most.
    fn evict(&mut self) -> Option<MacKey> {
        let key = *self.order.get(&self.ports.victim()?)?;
        self.remove(&key);
        self.stats.evicted += 1;
        Some(key)
    }
}

fn fresh<P>(port: P, now_ms: i64) -> MacEntry<P> {
    MacEntry { port, used_ms: now_ms, locked_until_ms: i64::MIN, is_static: false, rank: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(mac: u64) -> MacKey {
        MacKey { vlan: 0, mac }
    }

    #[test]
    fn learns_moves_and_ages() {
        let mut table = MacTable::<u32>::default();
        let view = table.view();
        assert_eq!(table.learn(key(1), 7, false, false, 0), Change::Learned);
        assert!(view.lookup(&key(1)).is_none(), "a snapshot does not change");
        assert_eq!(table.learn(key(1), 7, false, false, 10), Change::None);
        assert_eq!(table.learn(key(1), 8, false, false, 20), Change::Moved { from: 7 });
        assert!(table.run(300_019).is_empty());
        assert_eq!(table.poll_timeout().map(|t| t.0), Some(300_020));
        assert_eq!(table.run(300_020), [key(1)]);
        assert!(table.is_empty());
    }

    #[test]
    fn the_greedy_port_pays() {
        let mut table = MacTable::<u32>::default();
        table.set_max_entries(10);
        for mac in 0..3 {
            table.learn(key(mac), 1, false, false, 0);
        }
        for mac in 100..200 {
            table.learn(key(mac), 2, false, false, 1);
        }
        assert_eq!(table.len(), 10);
        assert!((0..3).all(|mac| table.lookup(&key(mac)).is_some()));
        assert!(table.lookup(&key(199)).is_some() && table.lookup(&key(192)).is_none());
    }

    #[test]
    fn gratuitous_arp_locks_against_reflections() {
        let mut table = MacTable::<u32>::default();
        table.learn(key(1), 1, true, false, 0);
        assert!(!table.view().needs_update(&key(1), 2, true, true, 100));
        assert_eq!(table.learn(key(1), 2, true, true, 100), Change::None);
        assert_eq!(table.learn(key(1), 2, true, true, 6000), Change::Moved { from: 1 });
    }

    #[test]
    fn static_entries_stay() {
        let mut table = MacTable::<u32>::default();
        assert!(table.add_static(key(1), 1, 0));
        assert_eq!(table.learn(key(1), 2, false, false, 1), Change::None);
        assert!(table.run(10_000_000).is_empty());
        table.flush();
        assert_eq!((table.len(), table.stats.static_entries), (1, 1));
        table.remove(&key(1));
        assert_eq!((table.len(), table.stats.static_entries), (0, 0));
    }
}
