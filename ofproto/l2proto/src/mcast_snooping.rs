//! IGMP and MLD snooping: which ports listen to which multicast group, where the routers are, and which ports take all.
//!
//! Group addresses are 128-bit numbers, IPv4 ones mapped (`::ffff:a.b.c.d`). Time is milliseconds of the switch's clock.
//! Translation reads a [`McastView`], which changes only when forwarding does; reports, leaves and queries are decoded by
//! [`crate::membership`] and reach [`McastTable`] as effects.
//!
//! Source: RFC 4541; ovs-vswitchd.conf.db(5) `mcast_snooping_enable` and its kin.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::membership::Membership;

/// How long a router's port is remembered, milliseconds.
pub const ROUTER_IDLE_MS: i64 = 180_000;
/// How long a listener is remembered unless configured, seconds.
pub const DEFAULT_IDLE_S: u32 = 300;
/// Most groups unless configured.
pub const DEFAULT_MAX_GROUPS: usize = 2048;

/// A group in a VLAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey {
    /// VLAN, 0 for none.
    pub vlan: u16,
    /// Address.
    pub group: u128,
}

/// What is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct McastConfig {
    /// How long a listener is remembered, seconds; 15 to 3600.
    pub idle_s: u32,
    /// Most groups, at least 10.
    pub max_groups: usize,
    /// Groups that nobody is known to listen to go to every port.
    pub flood_unregistered: bool,
}

impl Default for McastConfig {
    fn default() -> Self {
        Self { idle_s: DEFAULT_IDLE_S, max_groups: DEFAULT_MAX_GROUPS, flood_unregistered: true }
    }
}

/// Snapshot for translation.
#[derive(Clone, Debug)]
pub struct McastView<P = u32> {
    groups: Arc<BTreeMap<GroupKey, Vec<P>>>,
    routers: Arc<Vec<(u16, P)>>,
    /// Unregistered groups go to everybody, else to nobody but routers.
    pub flood_unregistered: bool,
}

impl<P> Default for McastView<P> {
    fn default() -> Self {
        McastView { groups: Arc::default(), routers: Arc::default(), flood_unregistered: true }
    }
}

impl<P: Copy + Ord> McastView<P> {
    /// The ports that listen to a group, longest silent first; `None` for a group that is not known. One that all have left
    /// stays known for a while.
    pub fn listeners(&self, key: &GroupKey) -> Option<impl Iterator<Item = P> + '_> {
        self.groups.get(key).map(|ports| ports.iter().copied())
    }

    /// All routers' VLANs and ports, longest silent first.
    pub fn all_routers(&self) -> impl Iterator<Item = (u16, P)> + '_ {
        self.routers.iter().copied()
    }

    /// The ports of routers in a VLAN, longest silent first.
    pub fn routers(&self, vlan: u16) -> impl Iterator<Item = P> + '_ {
        self.routers.iter().filter(move |(v, _)| *v == vlan).map(|(_, p)| *p)
    }
}

/// A group: its place in the order of use, and who listens, with when each was last heard, longest silent first. As in Open
/// vSwitch one that nobody listens to any more, and whoever fell silent in it, stay until the group is the one that is
/// longest unused.
#[derive(Clone, Debug)]
struct Group<P> {
    rank: u64,
    listeners: Vec<(P, i64)>,
}

/// The table.
#[derive(Clone, Debug)]
pub struct McastTable<P = u32> {
    view: McastView<P>,
    groups: BTreeMap<GroupKey, Group<P>>,
    order: BTreeMap<u64, GroupKey>,
    next_rank: u64,
    /// VLAN, port, when last heard; longest silent first.
    routers: Vec<(u16, P, i64)>,
    /// Ports that get all multicast anyway.
    flooded: BTreeSet<P>,
    /// Ports that get all reports.
    reporting: BTreeSet<P>,
    idle_ms: i64,
    max_groups: usize,
    /// Listeners and routers that were heard of, and that fell silent.
    pub counts: McastCounts,
}

/// What a table counted; it grows from zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct McastCounts {
    /// Groups and routers that it learned.
    pub learned: u64,
    /// Groups, listeners and routers that it forgot, as they were not heard again.
    pub expired: u64,
}

impl<P: Copy + Ord> Default for McastTable<P> {
    fn default() -> Self {
        McastTable {
            view: McastView::default(),
            groups: BTreeMap::new(),
            order: BTreeMap::new(),
            next_rank: 0,
            routers: Vec::new(),
            flooded: BTreeSet::new(),
            reporting: BTreeSet::new(),
            idle_ms: i64::from(DEFAULT_IDLE_S) * 1000,
            max_groups: DEFAULT_MAX_GROUPS,
            counts: McastCounts::default(),
        }
    }
}

impl<P: Copy + Ord> McastTable<P> {
    /// A snapshot.
    pub fn view(&self) -> McastView<P> {
        self.view.clone()
    }

    /// Takes a configuration; `flooded` are the ports that get all multicast anyway, of which nothing is learned,
    /// `reporting` those that get all reports, so that there is likely more than one host behind each: neither kind leaves a
    /// group because one of them does.
    pub fn configure(&mut self, config: McastConfig, flooded: BTreeSet<P>, reporting: BTreeSet<P>) {
        self.idle_ms = i64::from(config.idle_s.clamp(15, 3600)) * 1000;
        self.max_groups = config.max_groups.max(10);
        self.view.flood_unregistered = config.flood_unregistered;
        self.flooded = flooded;
        self.reporting = reporting;
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether no group is known.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Does what a message from `port` asks for. Gives whether forwarding changes.
    pub fn hear(&mut self, vlan: u16, port: P, message: &Membership, now_ms: i64) -> bool {
        match message {
            Membership::Join(group) => self.join(GroupKey { vlan, group: *group }, port, now_ms),
            Membership::Leave(group) => self.leave(&GroupKey { vlan, group: *group }, port),
            Membership::Query => self.router(vlan, port, now_ms),
        }
    }

    /// A port wants a group. Gives whether forwarding changes.
    pub fn join(&mut self, key: GroupKey, port: P, now_ms: i64) -> bool {
        // Where a router is, or everything goes anyway, nothing has to be known.
        if self.flooded.contains(&port) || self.routers.iter().any(|(v, p, _)| (*v, *p) == (key.vlan, port)) {
            return false;
        }
        if !self.groups.contains_key(&key)
            && self.groups.len() >= self.max_groups
            && let Some(oldest) = self.order.first_key_value().map(|(_, key)| *key)
        {
            self.forget_group(&oldest);
        }
        let rank = self.next_rank;
        self.next_rank += 1;
        let group = self.groups.entry(key).or_insert_with(|| {
            self.counts.learned += 1;
            Group { rank, listeners: Vec::new() }
        });
        self.order.remove(&group.rank);
        group.rank = rank;
        self.order.insert(rank, key);
        let known = group.listeners.iter().position(|(p, _)| *p == port);
        if let Some(at) = known {
            group.listeners.remove(at);
        }
        group.listeners.push((port, now_ms));
        if known.is_none() {
            self.publish(key);
        }
        known.is_none()
    }

    /// A port leaves a group. Gives whether forwarding changes.
    pub fn leave(&mut self, key: &GroupKey, port: P) -> bool {
        let stays = self.flooded.contains(&port) || self.reporting.contains(&port);
        !stays && self.drop_listeners(*key, |(p, _)| *p == port)
    }

    /// A router was heard. Gives whether forwarding changes.
    pub fn router(&mut self, vlan: u16, port: P, now_ms: i64) -> bool {
        if self.flooded.contains(&port) {
            return false;
        }
        let known = self.routers.iter().position(|(v, p, _)| (*v, *p) == (vlan, port));
        if let Some(at) = known {
            self.routers.remove(at);
        }
        self.routers.push((vlan, port, now_ms));
        if known.is_none() {
            self.counts.learned += 1;
            self.publish_routers();
        }
        known.is_none()
    }

    /// Forgets everything.
    pub fn flush(&mut self) {
        self.groups.clear();
        self.order.clear();
        self.routers.clear();
        self.view.groups = Arc::default();
        self.view.routers = Arc::default();
    }

    /// Forgets everything about a port. Gives whether forwarding changes.
    pub fn flush_port(&mut self, port: P) -> bool {
        let keys: Vec<GroupKey> = self.groups.keys().copied().collect();
        let mut groups = false;
        for key in keys {
            if self.drop_listeners(key, |(p, _)| *p == port) {
                groups = true;
                if self.groups.get(&key).is_some_and(|group| group.listeners.is_empty()) {
                    self.forget_group(&key);
                }
            }
        }
        self.drop_routers(|(_, p, _)| *p == port) | groups
    }

    /// Forgets what has aged and what is too much. Gives whether forwarding changes.
    pub fn run(&mut self, now_ms: i64) -> bool {
        let mut changed = false;
        while let Some(key) = self.order.first_key_value().map(|(_, key)| *key) {
            if self.groups.len() > self.max_groups {
                self.forget_group(&key);
            } else if !self.prune(key, now_ms) {
                break;
            }
            changed = true;
        }
        let gone = self.drop_routers(|(_, _, heard)| now_ms >= heard + ROUTER_IDLE_MS);
        self.counts.expired += u64::from(gone);
        changed | gone
    }

    /// Takes out of a group who fell silent, and the group if nobody is left. Gives whether anything went.
    fn prune(&mut self, key: GroupKey, now_ms: i64) -> bool {
        let Some(group) = self.groups.get_mut(&key) else { return false };
        let silent = group.listeners.iter().take_while(|(_, heard)| now_ms >= heard + self.idle_ms).count();
        group.listeners.drain(..silent);
        self.counts.expired += silent as u64;
        if group.listeners.is_empty() {
            self.counts.expired += 1;
            self.forget_group(&key);
            return true;
        }
        if silent > 0 {
            self.publish(key);
        }
        silent > 0
    }

    fn forget_group(&mut self, key: &GroupKey) {
        if let Some(group) = self.groups.remove(key) {
            self.order.remove(&group.rank);
        }
        Arc::make_mut(&mut self.view.groups).remove(key);
    }

    /// When the next entry ages. It is long ago where something is to go that was not told to age.
    pub fn poll_timeout(&self) -> Option<(i64, &'static str)> {
        let longest_unused = self.order.first_key_value().and_then(|(_, key)| self.groups.get(key));
        let oldest = longest_unused.map(|group| match group.listeners.first() {
            Some((_, heard)) if self.groups.len() <= self.max_groups => heard + self.idle_ms,
            _ => i64::MIN,
        });
        let router = self.routers.first().map(|(_, _, t)| t + ROUTER_IDLE_MS);
        oldest.into_iter().chain(router).min().map(|t| (t, "multicast aging"))
    }

    /// Groups with their listeners and ages in seconds, longest unused first, then routers (`None` as the group).
    pub fn entries(&self, now_ms: i64) -> Vec<(P, u16, Option<u128>, i64)> {
        let age = |heard: i64| (now_ms - heard).max(0) / 1000;
        let mut all = Vec::new();
        for key in self.order.values() {
            let listeners = self.groups.get(key).map_or(&[][..], |g| &g.listeners);
            all.extend(listeners.iter().map(|(port, heard)| (*port, key.vlan, Some(key.group), age(*heard))));
        }
        all.extend(self.routers.iter().map(|(vlan, port, heard)| (*port, *vlan, None, age(*heard))));
        all
    }

    /// Takes listeners out of a group. Gives whether any was there.
    fn drop_listeners(&mut self, key: GroupKey, gone: impl Fn(&(P, i64)) -> bool) -> bool {
        let Some(group) = self.groups.get_mut(&key) else { return false };
        let before = group.listeners.len();
        group.listeners.retain(|l| !gone(l));
        let changed = group.listeners.len() != before;
        if changed {
            self.publish(key);
        }
        changed
    }

    fn drop_routers(&mut self, gone: impl Fn(&(u16, P, i64)) -> bool) -> bool {
        let before = self.routers.len();
        self.routers.retain(|r| !gone(r));
        let changed = self.routers.len() != before;
        if changed {
            self.publish_routers();
        }
        changed
    }

    fn publish(&mut self, key: GroupKey) {
        let view = Arc::make_mut(&mut self.view.groups);
        match self.groups.get(&key) {
            Some(group) => view.insert(key, group.listeners.iter().map(|(p, _)| *p).collect()),
            None => view.remove(&key),
        };
    }

    fn publish_routers(&mut self) {
        self.view.routers = Arc::new(self.routers.iter().map(|(v, p, _)| (*v, *p)).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_leaves_and_ages() {
        let mut table = McastTable::<u32>::default();
        let key = GroupKey { vlan: 1, group: 5 };
        assert!(table.join(key, 3, 0));
        assert!(!table.join(key, 3, 1000));
        assert!(table.view().listeners(&key).is_some());
        assert!(!table.run(300_999) && table.run(301_000));
        assert!(table.view().listeners(&key).is_none());
        assert!(table.router(1, 9, 0));
        assert_eq!(table.view().routers(1).collect::<Vec<_>>(), [9]);
        assert!(table.flush_port(9));
        assert_eq!(table.poll_timeout(), None);
    }

    #[test]
    fn who_fell_silent_stays_until_the_group_is_the_longest_unused() {
        let mut table = McastTable::<u32>::default();
        let key = |group| GroupKey { vlan: 0, group };
        let groups = |table: &McastTable| table.entries(0).into_iter().map(|e| (e.0, e.2.unwrap())).collect::<Vec<_>>();
        table.join(key(1), 1, 0);
        table.join(key(2), 2, 100_000);
        table.join(key(1), 2, 200_000);
        assert_eq!(table.counts, McastCounts { learned: 2, expired: 0 }, "a group is learned once");
        assert!(!table.run(350_000), "another group is longer unused, and is fresh");
        assert_eq!(groups(&table), [(2, 2), (1, 1), (2, 1)]);
        table.join(key(2), 2, 350_000);
        assert!(table.poll_timeout().unwrap().0 <= 350_000 && table.run(350_000));
        assert_eq!((groups(&table), table.counts.expired), (vec![(2, 1), (2, 2)], 1));
        // All have left: it is gone once it is the longest unused, and known to have nobody until then.
        assert!(table.leave(&key(2), 2) && !table.run(350_000));
        assert_eq!(table.view().listeners(&key(2)).map(Iterator::count), Some(0));
        assert!(table.leave(&key(1), 2));
        assert!(table.poll_timeout().unwrap().0 <= 350_000 && table.run(350_000));
        assert!(table.view().listeners(&key(2)).is_none() && table.is_empty());
        assert_eq!(table.counts.expired, 3);
    }

    #[test]
    fn a_port_that_gets_everything_or_all_reports_leaves_no_group() {
        let mut table = McastTable::<u32>::default();
        let key = GroupKey { vlan: 0, group: 1 };
        (1..4).for_each(|port| assert!(table.join(key, port, 0)));
        table.configure(McastConfig::default(), BTreeSet::from([1]), BTreeSet::from([2]));
        assert_eq!([1, 2, 3].map(|port| table.leave(&key, port)), [false, false, true]);
        // A port that goes takes its groups along; that is no ageing.
        assert!(table.flush_port(1) && table.flush_port(2) && table.is_empty());
        assert_eq!(table.counts.expired, 0);
    }

    #[test]
    fn a_smaller_table_loses_groups_at_once() {
        let mut table = McastTable::<u32>::default();
        (0..12).for_each(|group| assert!(table.join(GroupKey { vlan: 0, group }, 1, 5)));
        assert!(!table.run(5));
        table.configure(McastConfig { max_groups: 2, ..McastConfig::default() }, BTreeSet::new(), BTreeSet::new());
        assert!(table.poll_timeout().unwrap().0 <= 5 && table.run(5));
        assert_eq!((table.len(), table.counts.expired), (10, 0));
    }

    #[test]
    fn the_group_longest_unused_makes_room() {
        let mut table = McastTable::<u32>::default();
        table.configure(McastConfig { max_groups: 10, ..McastConfig::default() }, BTreeSet::from([7]), BTreeSet::new());
        for group in 0..10 {
            table.join(GroupKey { vlan: 0, group }, 1, group as i64);
        }
        table.join(GroupKey { vlan: 0, group: 0 }, 1, 20);
        table.join(GroupKey { vlan: 0, group: 10 }, 1, 21);
        assert!(!table.join(GroupKey { vlan: 0, group: 11 }, 7, 22), "it gets everything anyway");
        let groups: Vec<u128> = table.entries(30).into_iter().filter_map(|e| e.2).collect();
        assert_eq!(groups, [2, 3, 4, 5, 6, 7, 8, 9, 0, 10]);
        assert!(table.view().listeners(&GroupKey { vlan: 0, group: 1 }).is_none());
    }
}
