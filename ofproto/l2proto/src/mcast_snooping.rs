//! IGMP and MLD snooping: which ports listen to which multicast group, where the routers are, and which ports take all.
//!
//! Group addresses are 128-bit numbers, IPv4 ones mapped (`::ffff:a.b.c.d`). Time is milliseconds of the switch's clock.
//! Translation reads a [`McastView`]; reports, leaves and queries reach [`McastTable`] as effects.
//!
//! Absent here: parsing of the messages (the translation's and the `packet` crate's). Source: RFC 4541;
//! ovs-vswitchd.conf.db(5) `mcast_snooping_enable` and its kin.

use std::collections::BTreeMap;
use std::sync::Arc;

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

/// Listeners of a group: port and when it was last heard.
type Listeners<P> = BTreeMap<P, i64>;

/// Snapshot for translation.
#[derive(Clone, Debug)]
pub struct McastView<P = u32> {
    groups: Arc<BTreeMap<GroupKey, Listeners<P>>>,
    /// Routers: VLAN, port, when last heard.
    routers: Arc<BTreeMap<(u16, P), i64>>,
    /// Unregistered groups go to nobody but routers.
    pub flood_unregistered: bool,
    idle_ms: i64,
}

impl<P: Copy + Ord> Default for McastView<P> {
    fn default() -> Self {
        McastView {
            groups: Arc::default(),
            routers: Arc::default(),
            flood_unregistered: true,
            idle_ms: i64::from(DEFAULT_IDLE_S) * 1000,
        }
    }
}

impl<P: Copy + Ord> McastView<P> {
    /// The ports that listen to a group; `None` when nobody does.
    pub fn listeners(&self, key: &GroupKey) -> Option<impl Iterator<Item = P> + '_> {
        self.groups.get(key).map(|l| l.keys().copied())
    }

    /// The ports of routers in a VLAN.
    pub fn routers(&self, vlan: u16) -> impl Iterator<Item = P> + '_ {
        self.routers.keys().filter(move |(v, _)| *v == vlan).map(|(_, p)| *p)
    }
}

/// The table.
#[derive(Clone, Debug)]
pub struct McastTable<P = u32> {
    view: McastView<P>,
    max_groups: usize,
}

impl<P: Copy + Ord> Default for McastTable<P> {
    fn default() -> Self {
        McastTable { view: McastView::default(), max_groups: DEFAULT_MAX_GROUPS }
    }
}

impl<P: Copy + Ord> McastTable<P> {
    /// A snapshot.
    pub fn view(&self) -> McastView<P> {
        self.view.clone()
    }

    /// Sets the aging time, 15 s to an hour.
    pub fn set_idle_time(&mut self, seconds: u32) {
        self.view.idle_ms = i64::from(seconds.clamp(15, 3600)) * 1000;
    }

    /// Sets the most groups.
    pub fn set_max_groups(&mut self, max: usize) {
        self.max_groups = max.max(10);
    }

    /// Whether unregistered groups are flooded. Gives whether that changes.
    pub fn set_flood_unregistered(&mut self, flood: bool) -> bool {
        std::mem::replace(&mut self.view.flood_unregistered, flood) != flood
    }

    /// A port wants a group. Gives whether forwarding changes.
    pub fn join(&mut self, key: GroupKey, port: P, now_ms: i64) -> bool {
        let groups = Arc::make_mut(&mut self.view.groups);
        if !groups.contains_key(&key) && groups.len() >= self.max_groups {
            let oldest = groups.iter().min_by_key(|(_, l)| l.values().max().copied()).map(|(k, _)| *k);
            if let Some(oldest) = oldest {
                groups.remove(&oldest);
            }
        }
        groups.entry(key).or_default().insert(port, now_ms).is_none()
    }

    /// A port leaves a group. Gives whether forwarding changes.
    pub fn leave(&mut self, key: &GroupKey, port: P) -> bool {
        let groups = Arc::make_mut(&mut self.view.groups);
        let Some(listeners) = groups.get_mut(key) else { return false };
        let was = listeners.remove(&port).is_some();
        if listeners.is_empty() {
            groups.remove(key);
        }
        was
    }

    /// A router was heard. Gives whether forwarding changes.
    pub fn router(&mut self, vlan: u16, port: P, now_ms: i64) -> bool {
        Arc::make_mut(&mut self.view.routers).insert((vlan, port), now_ms).is_none()
    }

    /// Forgets everything.
    pub fn flush(&mut self) {
        self.view.groups = Arc::default();
        self.view.routers = Arc::default();
    }

    /// Forgets everything about a port.
    pub fn flush_port(&mut self, port: P) {
        let groups = Arc::make_mut(&mut self.view.groups);
        groups.retain(|_, listeners| {
            listeners.remove(&port);
            !listeners.is_empty()
        });
        Arc::make_mut(&mut self.view.routers).retain(|(_, p), _| *p != port);
    }

    /// Forgets what has aged. Gives whether forwarding changes.
    pub fn run(&mut self, now_ms: i64) -> bool {
        let idle = self.view.idle_ms;
        let listener_old = |heard: &i64| now_ms >= heard + idle;
        let router_old = |heard: &i64| now_ms >= heard + ROUTER_IDLE_MS;
        let mut changed = false;
        if self.view.groups.values().flat_map(|l| l.values()).any(listener_old) {
            Arc::make_mut(&mut self.view.groups).retain(|_, listeners| {
                listeners.retain(|_, heard| !listener_old(heard));
                !listeners.is_empty()
            });
            changed = true;
        }
        if self.view.routers.values().any(router_old) {
            Arc::make_mut(&mut self.view.routers).retain(|_, heard| !router_old(heard));
            changed = true;
        }
        changed
    }

    /// When the next entry ages.
    pub fn poll_timeout(&self) -> Option<(i64, &'static str)> {
        let listener = self.view.groups.values().flat_map(|l| l.values()).min().map(|t| t + self.view.idle_ms);
        let router = self.view.routers.values().min().map(|t| t + ROUTER_IDLE_MS);
        listener.into_iter().chain(router).min().map(|t| (t, "multicast aging"))
    }

    /// Groups with their listeners and ages in seconds, then routers (`None` as the group).
    pub fn entries(&self, now_ms: i64) -> Vec<(P, u16, Option<u128>, i64)> {
        let age = |heard: i64| (now_ms - heard).max(0) / 1000;
        let groups = self.view.groups.iter().flat_map(|(k, l)| l.iter().map(move |(p, t)| (*p, k, *t)));
        let mut all: Vec<_> = groups.map(|(p, k, t)| (p, k.vlan, Some(k.group), age(t))).collect();
        all.extend(self.view.routers.iter().map(|((vlan, port), t)| (*port, *vlan, None, age(*t))));
        all
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
        table.flush_port(9);
        assert_eq!(table.poll_timeout(), None);
    }
}
