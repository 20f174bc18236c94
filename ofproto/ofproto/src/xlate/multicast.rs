//! NORMAL for IP multicast with snooping: reports to routers, traffic to listeners. Source: RFC 4541.

use std::collections::BTreeSet;
use std::sync::Arc;

use flow::odp::slow;
use l2proto::mcast_snooping::{GroupKey, McastView};
use l2proto::membership::{Membership, read_igmp, read_mld};

use super::Effect;
use super::context::Context;
use super::record::NodeKind;
use super::vlan::Tags;
use crate::view::{BundleId, BundleView, PortView};

/// IGMP types.
const IGMP_QUERY: u16 = 0x11;
const IGMP_REPORT_V3: u16 = 0x22;
const IGMP_REPORTS: [u16; 4] = [0x12, 0x16, 0x17, IGMP_REPORT_V3];
/// MLD types.
const MLD_QUERY: u16 = 130;
const MLD_REPORTS: [u16; 3] = [131, 132, 143];

/// Why a packet may go to a port.
#[derive(Clone, Copy)]
enum Way {
    Group,
    Router,
    /// A router, but of another VLAN: none.
    RouterElsewhere,
    Flood,
    Report,
}

impl Way {
    /// What a trace says of a packet that goes so.
    fn taken(self) -> &'static str {
        match self {
            Way::Group => "forwarding to mcast group port",
            Way::Router => "forwarding to mcast router port",
            Way::RouterElsewhere => "mcast router is on another vlan, dropping",
            Way::Flood => "forwarding to mcast flood port",
            Way::Report => "forwarding report to mcast flagged port",
        }
    }

    /// What it says where that is the port the packet came in by.
    fn back(self) -> &'static str {
        match self {
            Way::Group => "mcast group port is input port, dropping",
            Way::Router | Way::RouterElsewhere => "mcast router port is input port, dropping",
            Way::Flood => "mcast flood port is input port, dropping",
            Way::Report => "mcast port is input port, dropping the Report",
        }
    }
}

/// A port's bundle by number, and why.
type Target = (u32, Way);

impl Context<'_> {
    pub(super) fn multicast(&mut self, mcast: &McastView, from: &Arc<BundleView>, tags: &Tags) {
        let v4 = self.flow.dl_type() == 0x0800;
        self.wc.set_nw_proto(u8::MAX);
        let kind = self.flow.tp_src();
        if v4 && self.flow.nw_proto() == 2 {
            return self.membership(mcast, from, tags, IGMP_REPORTS.contains(&kind), kind == IGMP_QUERY, false);
        }
        if !v4 && self.flow.nw_proto() == 58 {
            self.wc.set_tp_src(u16::MAX);
            if kind == MLD_QUERY || MLD_REPORTS.contains(&kind) {
                return self.membership(mcast, from, tags, kind != MLD_QUERY, kind == MLD_QUERY, true);
            }
        }
        if self.is_local_scope(v4) {
            self.detail("RFC4541: section 2.1.2, item 2, flooding");
            return self.flood(from, tags);
        }
        let group = if v4 { 0xffff_0000_0000 | u128::from(self.flow.nw_dst()) } else { self.flow.ipv6_dst() };
        let key = GroupKey { vlan: tags.vid(), group };
        let routers = routers(mcast, tags.vid());
        let mut targets: Vec<Target> = Vec::new();
        match mcast.listeners(&key) {
            Some(listeners) => {
                targets.extend(listeners.map(|id| (id, Way::Group)));
                targets.extend(self.flooding_ports(|p| p.mcast_flood, Way::Flood));
                targets.extend(routers);
            }
            None if mcast.flood_unregistered => {
                self.detail("unregistered multicast, flooding");
                return self.flood(from, tags);
            }
            None => {
                targets.extend(routers);
                targets.extend(self.flooding_ports(|p| p.mcast_flood, Way::Flood));
            }
        }
        self.send_each(targets, from, tags);
    }

    /// Membership messages come up each, and reports go to routers only.
    fn membership(
        &mut self,
        mcast: &McastView,
        from: &Arc<BundleView>,
        tags: &Tags,
        report: bool,
        query: bool,
        mld: bool,
    ) {
        self.slow |= slow::ACTION;
        if (report || query) && self.input.side_effects {
            self.snoop(mcast, from, tags.vid(), mld);
        }
        if report {
            let mut targets = routers(mcast, tags.vid());
            targets.extend(self.flooding_ports(|p| p.mcast_flood_reports, Way::Report));
            self.send_each(targets, from, tags);
        } else {
            self.detail(if mld { "MLD query, flooding" } else { "multicast traffic, flooding" });
            self.flood(from, tags);
        }
    }

    /// Hears what the packet at hand says; nothing while a cached flow is looked at without one.
    fn snoop(&mut self, mcast: &McastView, from: &BundleView, vlan: u16, mld: bool) {
        let Some(packet) = self.input.packet else { return };
        let (key, layers) = flow::extract(packet.data(), 0);
        // Padding of the frame is no part of the message.
        let end = packet.len().saturating_sub(usize::from(layers.l2_pad));
        let message = packet.data().get(usize::from(layers.l4)..end).unwrap_or_default();
        let said =
            if mld { read_mld(message, key.ipv6_src(), key.ipv6_dst()) } else { read_igmp(message, key.nw_src()) };
        let name = &from.name;
        let protocol = if mld { "MLD" } else { "IGMP" };
        let Some(said) = said else {
            return self
                .detail(&format!("multicast snooping received bad {protocol} checksum on port {name} in VLAN {vlan}"));
        };
        if self.tracing()
            && let Some(text) = self.snooped(mcast, from, vlan, &said, &key)
        {
            self.detail(&format!("multicast snooping {text} port {name} in VLAN {vlan}"));
        }
        if !said.is_empty() {
            let bridge = self.bridge.id;
            self.effect(Effect::McastSnoop { bridge, bundle: from.id, vlan, said });
        }
    }

    /// What a trace says of a message that changes something.
    fn snooped(
        &self,
        mcast: &McastView,
        from: &BundleView,
        vlan: u16,
        said: &[Membership],
        key: &flow::Key,
    ) -> Option<String> {
        let own = from.id.0;
        let is_router = mcast.routers(vlan).any(|p| p == own);
        let flagged =
            |flag: fn(&PortView) -> bool| from.ports.iter().filter_map(|p| self.bridge.ports.get(p)).any(|p| flag(p));
        let flooded = flagged(|p| p.mcast_flood);
        let stays = flooded || flagged(|p| p.mcast_flood_reports);
        let changes = |m: &Membership| match m {
            Membership::Join(group) => {
                !is_router && !flooded && mcast.listeners(&GroupKey { vlan, group: *group }).is_none()
            }
            Membership::Leave(group) => {
                !stays && mcast.listeners(&GroupKey { vlan, group: *group }).is_some_and(|mut l| l.any(|p| p == own))
            }
            Membership::Query => !is_router && !flooded,
        };
        let count = said.iter().filter(|m| changes(m)).count();
        if count == 0 {
            return None;
        }
        let v4 = key.dl_type() == 0x0800;
        let ip = |group: &u128| flow::text::ipv4(*group as u32);
        Some(match said {
            [Membership::Query] if v4 => format!("query from {} is on", flow::text::ipv4(key.nw_src())),
            [Membership::Query] => "query on".to_owned(),
            [Membership::Join(group)] if v4 && key.tp_src() != IGMP_REPORT_V3 => {
                format!("learned that {} is on", ip(group))
            }
            [Membership::Leave(group)] if v4 && key.tp_src() != IGMP_REPORT_V3 => {
                format!("leaving {} is on", ip(group))
            }
            _ => format!("processed {count} addresses on"),
        })
    }

    fn is_local_scope(&mut self, v4: bool) -> bool {
        if v4 {
            self.wc.set_nw_dst(u32::MAX);
            self.flow.nw_dst() >> 8 == 0xe0_0000
        } else {
            self.wc.set_ipv6_dst(u128::MAX);
            self.flow.ipv6_dst() == 0xff02 << 112 | 1
        }
    }

    fn flooding_ports(&self, flag: impl Fn(&PortView) -> bool, way: Way) -> Vec<Target> {
        let flagged = self.bridge.ports.values().filter(|p| flag(p));
        flagged.filter_map(|p| Some((p.bundle?.0, way))).collect()
    }

    fn send_each(&mut self, targets: Vec<Target>, from: &BundleView, tags: &Tags) {
        let bridge = Arc::clone(self.bridge);
        let mut sent = BTreeSet::new();
        for (id, way) in targets {
            if matches!(way, Way::RouterElsewhere) {
                self.detail(way.taken());
                continue;
            }
            let Some(bundle) = bridge.bundles.get(&BundleId(id)) else {
                self.report(NodeKind::Warn, || "mcast port is unknown, dropping".to_owned());
                continue;
            };
            if id == from.id.0 {
                self.detail(way.back());
            } else if sent.insert(id) {
                self.detail(way.taken());
                self.output_bundle(bundle, tags);
            }
        }
    }
}

/// All routers, as they are to a packet of a VLAN.
fn routers(mcast: &McastView, vlan: u16) -> Vec<Target> {
    mcast.all_routers().map(|(v, id)| (id, if v == vlan { Way::Router } else { Way::RouterElsewhere })).collect()
}
