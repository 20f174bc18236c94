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
pub const ROUTER_IDLE_MS: i64 = 300_000;
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
    /// The ports that listen to a group, longest silent first; `None` when nobody does.
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

/// A group: its place in the order of use, and who listens, with when each was last heard, longest silent first.
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
    idle_ms: i64,
    max_groups: usize,
    /// Listeners and routers that were heard of, and that fell silent.
    pub counts: McastCounts,
}

/// What a table counted; it grows from zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct McastCounts {
    /// Listeners and routers that it learned.
    pub learned: u64,
    /// Those that it forgot, as they were not heard again.
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

    /// Takes a configuration; `flooded` are the ports that get all multicast anyway, of which nothing is learned.
    pub fn configure(&mut self, config: McastConfig, flooded: BTreeSet<P>) {
        self.idle_ms = i64::from(config.idle_s.clamp(15, 3600)) * 1000;
        self.max_groups = config.max_groups.max(10);
        self.view.flood_unregistered = config.flood_unregistered;
        self.flooded = flooded;
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
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.groups.remove(&oldest);
            Arc::make_mut(&mut self.view.groups).remove(&oldest);
        }
        let rank = self.next_rank;
        self.next_rank += 1;
        let group = self.groups.entry(key).or_insert(Group { rank, listeners: Vec::new() });
        self.order.remove(&group.rank);
        group.rank = rank;
        self.order.insert(rank, key);
        let known = group.listeners.iter().position(|(p, _)| *p == port);
        if let Some(at) = known {
            group.listeners.remove(at);
        }
        group.listeners.push((port, now_ms));
        if known.is_none() {
            self.counts.learned += 1;
            self.publish(key);
        }
        known.is_none()
    }

    /// A port leaves a group. Gives whether forwarding changes.
    pub fn leave(&mut self, key: &GroupKey, port: P) -> bool {
        self.drop_listeners(*key, |(p, _)| *p == port)
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
        let groups = keys.into_iter().fold(false, |c, key| self.drop_listeners(key, |(p, _)| *p == port) | c);
        self.drop_routers(|(_, p, _)| *p == port) | groups
    }

    /// Forgets what has aged and what is too much. Gives whether forwarding changes.
    pub fn run(&mut self, now_ms: i64) -> bool {
        let mut changed = false;
        while self.groups.len() > self.max_groups
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.groups.remove(&oldest);
            Arc::make_mut(&mut self.view.groups).remove(&oldest);
            changed = true;
        }
        let idle_ms = self.idle_ms;
        let is_old = |heard: i64| now_ms >= heard + idle_ms;
        let old: Vec<GroupKey> =
            self.groups.iter().filter(|(_, g)| g.listeners.iter().any(|(_, t)| is_old(*t))).map(|(k, _)| *k).collect();
        for key in old {
            let gone = self.drop_listeners(key, |(_, heard)| is_old(*heard));
            self.counts.expired += u64::from(gone);
            changed |= gone;
        }
        let gone = self.drop_routers(|(_, _, heard)| now_ms >= heard + ROUTER_IDLE_MS);
        self.counts.expired += u64::from(gone);
        changed | gone
    }

    /// When the next entry ages.
    pub fn poll_timeout(&self) -> Option<(i64, &'static str)> {
        let oldest = self.groups.values().filter_map(|g| g.listeners.first()).map(|(_, t)| t + self.idle_ms).min();
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

    /// Takes listeners out of a group, and the group if nobody is left. Gives whether any was there.
    fn drop_listeners(&mut self, key: GroupKey, gone: impl Fn(&(P, i64)) -> bool) -> bool {
        let Some(group) = self.groups.get_mut(&key) else { return false };
        let before = group.listeners.len();
        group.listeners.retain(|l| !gone(l));
        let changed = group.listeners.len() != before;
        if group.listeners.is_empty() {
            self.order.remove(&group.rank);
            self.groups.remove(&key);
        }
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
    fn the_group_longest_unused_makes_room() {
        let mut table = McastTable::<u32>::default();
        table.configure(McastConfig { max_groups: 10, ..McastConfig::default() }, BTreeSet::from([7]));
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
