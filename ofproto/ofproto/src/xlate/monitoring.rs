//! What flow monitoring needs of a translation: sFlow's sample of every packet, NetFlow's flow, and which way packets go.

use flow::odp;

use super::Effect;
use super::context::Context;
use crate::export::netflow::{self, FlowId};
use crate::export::sflow;

/// The way out so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct WayOut {
    /// As NetFlow tells it.
    netflow: u16,
    /// Outputs, and the host's number of the last one's device.
    outputs: u32,
    ifindex: u32,
}

impl Default for WayOut {
    fn default() -> Self {
        WayOut { netflow: netflow::OUT_DROP, outputs: 0, ifindex: 0 }
    }
}

impl Context<'_> {
    /// A packet goes out of a port.
    pub fn note_output(&mut self, port: openflow::OfPort, ifindex: u32) {
        self.way_out.netflow = port.0;
        self.way_out.outputs += 1;
        self.way_out.ifindex = ifindex;
    }

    /// A packet is flooded.
    pub fn note_flood(&mut self) {
        self.way_out.netflow = netflow::OUT_FLOOD;
    }

    /// One output action begins; what came before it is given to [`Context::end_output`].
    pub fn begin_output(&mut self) -> u16 {
        std::mem::replace(&mut self.way_out.netflow, netflow::OUT_DROP)
    }

    pub fn end_output(&mut self, before: u16) {
        let now = &mut self.way_out.netflow;
        *now = match (before, *now) {
            (netflow::OUT_FLOOD, _) => netflow::OUT_FLOOD,
            (before, netflow::OUT_DROP) => before,
            (netflow::OUT_DROP, now) => now,
            (_, netflow::OUT_FLOOD) => netflow::OUT_FLOOD,
            _ => netflow::OUT_MULTI,
        };
    }

    /// Has packets sampled before anything else is done with them. Where they go is put in by [`Context::end_monitoring`].
    pub fn begin_sample(&mut self) {
        let Some(probability) = self.bridge.sflow else { return };
        self.sampled_by = Some(self.bridge.id);
        let userspace = odp::Action::Userspace(Box::new(odp::Userspace {
            pid: 0,
            cookie: odp::Cookie::Sflow { vlan_tci: 0, output: 0 },
            actions: true,
            tunnel_out_port: None,
        }));
        self.odp.push(match probability {
            u32::MAX => userspace,
            _ => odp::Action::Sample { probability, actions: [userspace].into() },
        });
    }

    /// Completes the sample at the head of the actions, and the flow that NetFlow counts.
    pub fn end_monitoring(&mut self) {
        if self.sampled_by.is_some() {
            let output = match self.way_out.outputs {
                0 => sflow::output::DROPPED,
                1 if self.way_out.ifindex != 0 => self.way_out.ifindex,
                n => sflow::output::several(n),
            };
            let vlan_tci = self.base.vlan_tci();
            if let Some(action) = self.odp.first_mut() {
                complete(action, vlan_tci, output);
            }
        }
        if self.netflow
            && !self.thawed
            && let Some(id) = FlowId::of(self.input.key)
        {
            let (bridge, out) = (self.input.bridge, self.way_out.netflow);
            self.effect(Effect::Netflow { bridge, flow: Box::new(id), out });
        }
    }
}

fn complete(action: &mut odp::Action, tci: u16, way: u32) {
    match action {
        odp::Action::Userspace(userspace) => {
            if let odp::Cookie::Sflow { vlan_tci, output } = &mut userspace.cookie {
                (*vlan_tci, *output) = (tci, way);
            }
        }
        odp::Action::Sample { actions, .. } => {
            let mut own = actions.to_vec();
            own.iter_mut().for_each(|action| complete(action, tci, way));
            *actions = own.into();
        }
        _ => {}
    }
}
