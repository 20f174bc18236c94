//! Output to tunnel ports: the outer header's fields as data for the datapath.

use std::sync::Arc;

use flow::odp::{self, Set, SetGroup};
use flow::outer;
use flow::tun_flag;

use super::Effect;
use super::context::Context;
use crate::view::{PortView, Setting, TunnelConfig};

impl Context<'_> {
    pub(super) fn output_tunnel(&mut self, to: &PortView, config: &Arc<TunnelConfig>, is_last: bool) {
        let saved: Vec<u64> = self.flow.0[..flow::key::REG_WORD - 1].to_vec();
        let Some(odp_port) = to.odp else { return };
        self.fill_tunnel(config);
        let dst = outer::ends_of(&self.flow).1;
        if dst == outer::ends_of(self.input.key).1 {
            self.warn("Not tunneling to our own address");
            // As in Open vSwitch, what was written for this tunnel stands.
            return;
        }
        let tx = Some(self.port_ref(to.port));
        self.effect(Effect::Port { tx, rx: None });
        let outputs = self.outputs();
        if config.native && self.view.support.tnl_push_pop {
            self.output_native(to, config, dst, is_last);
            self.note_tunnelled(outputs);
            self.flow.0[..flow::key::REG_WORD - 1].copy_from_slice(&saved);
            return;
        }
        self.detail("output to kernel tunnel");
        self.commit_tunnel();
        self.flow.0[..flow::key::REG_WORD - 1].copy_from_slice(&saved);
        self.commit();
        self.note_output(to.port, 0);
        self.odp.push(odp::Action::Output(odp_port));
    }

    /// Fills in the outer header for a sample of what leaves by a tunnel. As in Open vSwitch it stays: rules that follow may
    /// match on it.
    pub(super) fn sample_tunnel(&mut self, config: &TunnelConfig) {
        self.fill_tunnel(config);
        if !(config.native && self.view.support.tnl_push_pop) {
            self.commit_tunnel();
        }
    }

    /// Fills in what the port's configuration says.
    fn fill_tunnel(&mut self, config: &TunnelConfig) {
        let set_address = |setting: Setting<u128>, v4: &mut dyn FnMut(u32), v6: &mut dyn FnMut(u128)| match setting {
            Setting::Flow => {}
            Setting::Absent => {
                v4(0);
                v6(0);
            }
            Setting::Value(a) if outer::is_v4(a) => {
                v4(a as u32);
                v6(0);
            }
            Setting::Value(a) => {
                v4(0);
                v6(a);
            }
        };
        let mut v4 = (self.flow.tun_src(), self.flow.tun_dst());
        let mut v6 = (self.flow.tun_ipv6_src(), self.flow.tun_ipv6_dst());
        set_address(config.local, &mut |a| v4.0 = a, &mut |a| v6.0 = a);
        set_address(config.remote, &mut |a| v4.1 = a, &mut |a| v6.1 = a);
        let flow = &mut self.flow;
        flow.set_tun_src(v4.0);
        flow.set_tun_dst(v4.1);
        flow.set_tun_ipv6_src(v6.0);
        flow.set_tun_ipv6_dst(v6.1);
        let has_key = !matches!(config.out_key, Setting::Absent);
        match config.out_key {
            Setting::Value(key) => flow.set_tun_id(key),
            Setting::Absent => flow.set_tun_id(0),
            Setting::Flow => {}
        }
        if config.ttl_inherit && super::wildcard::is_ip(flow) {
            self.wc.set_nw_ttl(u8::MAX);
            flow.set_tun_ttl(flow.nw_ttl());
        } else {
            flow.set_tun_ttl(if config.ttl != 0 { config.ttl } else { 64 });
        }
        let mut tos = config.tos;
        if super::wildcard::is_ip(flow) {
            if config.tos_inherit {
                self.wc.set_nw_tos(u8::MAX);
                tos = flow.nw_tos() & 0xfc;
            }
            // The outer header carries the inner one's congestion mark.
            self.wc.set_nw_tos(self.wc.nw_tos() | 3);
            let ecn = flow.nw_tos() & 3;
            tos |= if ecn == 3 { 2 } else { ecn };
        }
        flow.set_tun_tos(tos);
        let mut flags = flow.tun_flags() & tun_flag::OAM;
        if config.df_default {
            flags |= tun_flag::DONT_FRAGMENT;
        }
        if config.csum {
            flags |= tun_flag::CSUM;
        }
        if has_key {
            flags |= tun_flag::KEY;
        }
        flow.set_tun_flags(flags);
        let erspan = &config.erspan;
        flow.set_tun_erspan_ver(settled(erspan.version, flow.tun_erspan_ver()));
        flow.set_tun_erspan_idx(settled(erspan.index, flow.tun_erspan_idx()));
        flow.set_tun_erspan_dir(settled(erspan.direction, flow.tun_erspan_dir()));
        flow.set_tun_erspan_hwid(settled(erspan.hardware, flow.tun_erspan_hwid()));
        flow.set_tun_tp_dst(config.dst_port);
        flow.set_tun_tp_src(0);
        if let Some(mark) = config.egress_pkt_mark {
            flow.set_pkt_mark(mark);
            self.wc.set_pkt_mark(u32::MAX);
        }
    }

    /// Takes over the outer header's congestion mark. Gives false for a packet that was marked and could not have been.
    /// Source: RFC 6040 section 4.2.
    pub(super) fn receive_congestion(&mut self) -> bool {
        if self.flow.tun_tos() & 3 != 3 || !super::wildcard::is_ip(&self.flow) {
            return true;
        }
        self.wc.set_nw_tos(self.wc.nw_tos() | 3);
        let tos = self.flow.nw_tos();
        if tos & 3 == 0 {
            return false;
        }
        self.flow.set_nw_tos(tos | 3);
        true
    }

    fn commit_tunnel(&mut self) {
        let n = flow::key::REG_WORD - 1;
        if self.flow.0[..n] == self.base.0[..n] {
            return;
        }
        self.base.0[..n].copy_from_slice(&self.flow.0[..n]);
        let mut tunnel = flow::Key::EMPTY;
        tunnel.0[..n].copy_from_slice(&self.flow.0[..n]);
        self.bridge.tun_table.to_datapath(&mut tunnel);
        let set = Set { group: SetGroup::Tunnel, words: Default::default(), tunnel: Some(Box::new(tunnel)) };
        self.odp.push(odp::Action::Set(set));
    }
}

/// A field of the outer header: what the port says, or what the packet has where the port leaves it to the flow.
pub(super) fn settled<T: Default>(setting: Setting<T>, of_flow: T) -> T {
    match setting {
        Setting::Value(value) => value,
        Setting::Flow => of_flow,
        Setting::Absent => T::default(),
    }
}
