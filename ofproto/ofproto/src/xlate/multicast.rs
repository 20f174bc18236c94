//! NORMAL for IP multicast with snooping: reports to routers, traffic to listeners. Source: RFC 4541.

use std::collections::BTreeSet;
use std::sync::Arc;

use flow::odp::slow;
use l2proto::mcast_snooping::{GroupKey, McastView};

use super::Effect;
use super::context::Context;
use super::record::NodeKind;
use super::vlan::Tags;
use crate::view::{BundleId, BundleView, PortView};

/// IGMP types.
const IGMP_QUERY: u16 = 0x11;
const IGMP_REPORTS: [u16; 4] = [0x12, 0x16, 0x17, 0x22];
/// MLD types.
const MLD_QUERY: u16 = 130;
const MLD_REPORTS: [u16; 3] = [131, 132, 143];

impl Context<'_> {
    pub(super) fn multicast(&mut self, mcast: &McastView, from: &Arc<BundleView>, tags: &Tags) {
        let v4 = self.flow.dl_type() == 0x0800;
        self.wc.set_nw_proto(u8::MAX);
        let kind = self.flow.tp_src();
        if v4 && self.flow.nw_proto() == 2 {
            self.wc.set_tp_src(u16::MAX);
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
        let routers: Vec<u32> = mcast.routers(tags.vid()).collect();
        let mut targets: Vec<(u32, &str)> = Vec::new();
        match mcast.listeners(&key) {
            Some(listeners) => {
                targets.extend(listeners.map(|id| (id, "forwarding to mcast group port")));
                targets.extend(self.flooding_ports(|p| p.mcast_flood, "forwarding to mcast flood port"));
                targets.extend(routers.into_iter().map(|id| (id, "forwarding to mcast router port")));
            }
            None if mcast.flood_unregistered => {
                self.detail("unregistered multicast, flooding");
                return self.flood(from, tags);
            }
            None => {
                targets.extend(routers.into_iter().map(|id| (id, "forwarding to mcast router port")));
                targets.extend(self.flooding_ports(|p| p.mcast_flood, "forwarding to mcast flood port"));
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
        if report || query {
            let bridge = self.bridge.id;
            self.effect(Effect::McastSnoop { bridge, bundle: from.id, vlan: tags.vid() });
        }
        if report {
            let mut targets: Vec<(u32, &str)> =
                mcast.routers(tags.vid()).map(|id| (id, "forwarding to mcast router port")).collect();
            targets.extend(self.flooding_ports(|p| p.mcast_flood_reports, "forwarding report to mcast flagged port"));
            self.send_each(targets, from, tags);
        } else {
            self.detail(if mld { "MLD query, flooding" } else { "multicast traffic, flooding" });
            self.flood(from, tags);
        }
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

    fn flooding_ports<'t>(&self, flag: impl Fn(&PortView) -> bool, text: &'t str) -> Vec<(u32, &'t str)> {
        let flagged = self.bridge.ports.values().filter(|p| flag(p));
        flagged.filter_map(|p| Some((p.bundle?.0, text))).collect()
    }

    fn send_each(&mut self, targets: Vec<(u32, &str)>, from: &BundleView, tags: &Tags) {
        let bridge = Arc::clone(self.bridge);
        let mut sent = BTreeSet::new();
        for (id, text) in targets {
            let Some(bundle) = bridge.bundles.get(&BundleId(id)) else {
                self.report(NodeKind::Warn, || "mcast port is unknown, dropping".to_owned());
                continue;
            };
            if id == from.id.0 {
                self.detail("mcast port is input port, dropping");
            } else if sent.insert(id) {
                self.detail(text);
                self.output_bundle(bundle, tags);
            }
        }
    }
}
