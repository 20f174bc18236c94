//! Patch ports: translation goes on in the other bridge, and comes back as if nothing had happened there.

use openflow::OfPort;

use super::Effect;
use super::context::Context;
use super::record::NodeKind;
use super::table::Lookup;
use crate::view::PortRef;

impl Context<'_> {
    pub(super) fn output_patch(&mut self, from: OfPort, peer: PortRef, is_last: bool) {
        let view = self.view;
        // Where the packet ends for want of the peer, the verdict depends on that bridge as well: the peer may come.
        if !self.bridges.contains(&peer.bridge) {
            self.bridges.push(peer.bridge);
        }
        let Some(bridge) = view.bridges.get(&peer.bridge) else { return };
        let Some(port) = bridge.ports.get(&peer.port).cloned() else { return };
        let old_bridge = self.bridge;
        let old_flow = self.flow.clone();
        let old_wc = self.wc.clone();
        let (old_conntracked, old_was_mpls, old_was_tagged) = (self.conntracked, self.was_mpls, self.was_tagged);
        let old_stack = std::mem::take(&mut self.stack);
        let old_set = std::mem::take(&mut self.action_set);
        let old_has_group = std::mem::take(&mut self.action_set_has_group);
        let old_mirrors = self.mirrors;
        let tx = self.port_ref(from);

        self.enter_bridge_flow(peer);
        self.bridge = bridge;
        if bridge.id != old_bridge.id {
            self.mirrors = 0;
        }
        let outer = self.enter(NodeKind::Bridge, |ctx| format!("bridge(\"{}\")", ctx.bridge.name));
        if !self.process_special(&port) && self.may_receive(&port) {
            let forwards = port.stp.forwards();
            let (old_base, old_len) = (self.base.clone(), self.odp.len());
            let to = Lookup {
                table: 0,
                in_port: self.flow.in_port(),
                may_packet_in: true,
                honor_miss: true,
                with_ct_orig: false,
            };
            self.go_to_table(to, is_last, true);
            if forwards {
                if !self.freezing {
                    self.run_action_set();
                }
                if self.freezing {
                    self.finish_freezing();
                }
            } else {
                self.base = old_base;
                self.odp.truncate(old_len);
                self.cancel_freeze();
            }
        }
        self.leave_to(outer);
        self.bridge = old_bridge;
        self.flow = old_flow;
        self.stack = old_stack;
        self.action_set = old_set;
        self.action_set_has_group = old_has_group;
        self.mirrors = old_mirrors;
        // What the other bridge says of tunnels concerns a packet that has none.
        for i in 0..flow::key::REG_WORD - 1 {
            self.wc.0[i] = old_wc.0[i];
        }
        self.was_mpls = old_was_mpls;
        self.was_tagged = old_was_tagged;
        self.conntracked = old_conntracked;
        self.exit = false;
        self.error = None;
        self.effect(Effect::Port { tx: Some(tx), rx: Some(peer) });
    }

    /// Only the packet crosses: no tunnel, no metadata, no registers, no connection.
    fn enter_bridge_flow(&mut self, peer: PortRef) {
        let flow = &mut self.flow;
        flow.0[..flow::key::REG_WORD + 8].fill(0);
        flow.set_in_port(peer.port.to_11());
        flow.set_actset_output(OfPort::UNSET.to_11());
        for i in 0..flow::key::REG_WORD - 1 {
            self.wc.0[i] = 0;
        }
        self.clear_conntrack();
    }
}
