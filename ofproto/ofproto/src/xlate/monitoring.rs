//! What flow monitoring needs of a translation: sFlow's and IPFIX's samples, NetFlow's flow, and which way packets go.

use flow::{OdpPort, odp};
use openflow::OfPort;
use openflow::action::{Sample, SampleDirection};

use super::Effect;
use super::context::Context;
use crate::export::netflow::{self, FlowId};
use crate::export::sflow;
use crate::view::PortView;

/// No port, in a datapath's numbers.
const NO_PORT: OdpPort = u32::MAX;

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

    /// A packet goes into a tunnel. However it goes on from there, it has gone out once, by no device of the host's.
    pub fn note_tunnelled(&mut self, before: (u32, u32)) {
        (self.way_out.outputs, self.way_out.ifindex) = (before.0 + 1, 0);
    }

    /// Outputs so far, and the host's number of the last one's device.
    pub fn outputs(&self) -> (u32, u32) {
        (self.way_out.outputs, self.way_out.ifindex)
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
        // What the switch itself sends came in nowhere.
        if self.in_port() == OfPort::NONE {
            return;
        }
        let before = self.odp.len();
        if let Some(probability) = self.bridge.sflow {
            self.push_sample(probability, odp::Cookie::Sflow { vlan_tci: 0, output: 0 }, None);
        }
        if let Some(probability) = self.bridge.ipfix.input {
            self.push_sample(probability, odp::Cookie::Ipfix { output_odp_port: NO_PORT, drops: false }, None);
        }
        self.samples_at_head = self.odp.len() - before;
    }

    /// Has packets sampled as they go out of a port.
    pub fn sample_output(&mut self, to: &PortView, odp_port: OdpPort) {
        if let Some(probability) = self.bridge.ipfix.output {
            let tunnel = (to.tunnel().is_some() && self.bridge.ipfix.tunnels).then_some(odp_port);
            self.push_sample(probability, odp::Cookie::Ipfix { output_odp_port: odp_port, drops: false }, tunnel);
        }
    }

    /// `sample(...)`.
    pub fn sample(&mut self, sample: &Sample) {
        if !self.bridge.ipfix.samples {
            return;
        }
        let (mut output_odp_port, mut tunnel) = (NO_PORT, None);
        let at = sample.sampling_port;
        if at != OfPort::NONE && at != self.in_port() {
            let Some((odp_port, config)) = self.port(at).and_then(|p| Some((p.odp?, p.tunnel().cloned()))) else {
                self.report_error(|| format!("can't use unknown port {} in flow sample action", at.0));
                return;
            };
            (output_odp_port, tunnel) = (odp_port, config.is_some().then_some(odp_port));
            if let Some(config) = config {
                self.sample_tunnel(&config);
            }
        }
        self.commit();
        let cookie = odp::FlowSampleCookie {
            probability: sample.probability,
            collector_set_id: sample.collector_set_id,
            obs_domain_id: sample.obs_domain_id,
            obs_point_id: sample.obs_point_id,
            output_odp_port,
            direction: match sample.direction {
                SampleDirection::Default => 0,
                SampleDirection::Ingress => 1,
                SampleDirection::Egress => 2,
            },
            drops: false,
        };
        // 65535 is every packet.
        let probability = u32::from(sample.probability) << 16 | u32::from(sample.probability);
        self.push_sample(probability, odp::Cookie::FlowSample(Box::new(cookie)), tunnel);
    }

    fn push_sample(&mut self, probability: u32, cookie: odp::Cookie, tunnel_out_port: Option<OdpPort>) {
        self.sampled = true;
        let actions = matches!(cookie, odp::Cookie::Sflow { .. });
        let userspace = odp::Action::Userspace(Box::new(odp::Userspace { pid: 0, cookie, actions, tunnel_out_port }));
        // The meter of the slow path limits samples too.
        self.odp.push(match (self.bridge.slowpath_meter, probability) {
            (Some(meter), _) => {
                odp::Action::Sample { probability, actions: [odp::Action::Meter(meter), userspace].into() }
            }
            (None, u32::MAX) => userspace,
            (None, _) => odp::Action::Sample { probability, actions: [userspace].into() },
        });
    }

    /// Completes the samples among the actions, and the flow that NetFlow counts.
    pub fn end_monitoring(&mut self) {
        if self.sampled {
            let output = match self.way_out.outputs {
                0 => sflow::output::DROPPED,
                1 if self.way_out.ifindex != 0 => self.way_out.ifindex,
                n => sflow::output::several(n),
            };
            let vlan_tci = self.base.vlan_tci();
            self.odp.iter_mut().for_each(|action| complete(action, vlan_tci, output));
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
            let goes_nowhere = way == sflow::output::DROPPED;
            match &mut userspace.cookie {
                odp::Cookie::Sflow { vlan_tci, output } => (*vlan_tci, *output) = (tci, way),
                odp::Cookie::Ipfix { drops, .. } => *drops = goes_nowhere,
                odp::Cookie::FlowSample(sample) => sample.drops = goes_nowhere,
                _ => {}
            }
        }
        odp::Action::Sample { actions, .. } | odp::Action::Clone(actions) => {
            let mut own = actions.to_vec();
            own.iter_mut().for_each(|action| complete(action, tci, way));
            *actions = own.into();
        }
        _ => {}
    }
}
