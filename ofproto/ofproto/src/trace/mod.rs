//! `ofproto/trace` and `ofproto/trace-packet-out`: reading what is asked, and telling what the pipeline does.
//!
//! The same translation as for packets, with a recorder; packets that the datapath would bring again are traced on.
//! Source: ovs-vswitchd(8), "ofproto/trace".

mod request;

use std::collections::VecDeque;

use flow::Key;
use flow::match_text::{Options, format, format_flow};
use flow::odp::{DropReason, slow};
use flow::text::{CT_STATE, PortNames};
use openflow::action::{Actions, Nat, NatDirection};
use openflow::names::NameMap;
use packet::PacketBuf;

pub use request::{NO_TUNNEL, parse, stray, type_in};

use crate::view::{BridgeId, SwitchView};
use crate::xlate::{Effect, Input, Recirc, Recirculation, Recorder, Start, Translation, translate};

/// Most recirculations that are followed.
const MAX_RECIRCULATIONS: usize = 4096;

/// What to trace.
#[derive(Clone, Debug)]
pub struct Request {
    /// Bridge.
    pub bridge: BridgeId,
    /// The packet's key, its input port an OpenFlow port of that bridge.
    pub key: Key,
    /// The packet; with one, effects are real.
    pub packet: Option<PacketBuf>,
    /// Connection states of the packet when it comes back from tracking, in order.
    pub ct_states: VecDeque<u8>,
    /// Names of ports instead of numbers.
    pub names: bool,
    /// Actions of a packet-out.
    pub actions: Option<Actions>,
}

/// A trace.
#[derive(Clone, Debug)]
pub struct Traced {
    /// What to show.
    pub text: String,
    /// What to apply: without a packet nothing but questions for neighbours.
    pub effects: Vec<Effect>,
    /// What to have carried out on the packet, if there was one, each time from how it came: all that is not sending it,
    /// which is its way to controllers, collectors, meters and connections.
    pub executions: Vec<flow::Actions>,
}

/// Actions that are left where nothing is to be sent by a port, and nothing to come in anew.
fn without_outputs(actions: &[flow::Action]) -> Vec<flow::Action> {
    use flow::Action as A;
    let nested = |actions: &flow::Actions| without_outputs(actions).into();
    let kept = |action: &A| {
        Some(match action {
            A::Output(_) | A::LbOutput(_) | A::TnlPush(_) | A::TnlPop(_) | A::Recirc(_) => return None,
            A::Clone(inner) => A::Clone(nested(inner)),
            A::Sample { probability, actions } => A::Sample { probability: *probability, actions: nested(actions) },
            A::CheckPktLen { len, greater, less_equal } => {
                A::CheckPktLen { len: *len, greater: nested(greater), less_equal: nested(less_equal) }
            }
            other => other.clone(),
        })
    };
    actions.iter().filter_map(kept).collect()
}

/// Whether actions do anything beside changing the packet.
fn are_felt(actions: &[flow::Action]) -> bool {
    use flow::Action as A;
    actions.iter().any(|action| match action {
        A::Userspace(_) | A::Meter(_) | A::Ct(_) => true,
        A::Clone(actions) | A::Sample { actions, .. } => are_felt(actions),
        A::CheckPktLen { greater, less_equal, .. } => are_felt(greater) || are_felt(less_equal),
        _ => false,
    })
}

/// Names of a bridge's ports.
fn names_of(view: &SwitchView, bridge: BridgeId) -> NameMap {
    view.bridges.get(&bridge).map_or_else(NameMap::new, |b| b.port_names())
}

/// Names of all datapath ports.
pub(crate) fn dp_names_of(view: &SwitchView) -> NameMap {
    let mut names = NameMap::new();
    for (odp, at) in &view.odp_ports {
        if let Some(port) = view.port(*at) {
            names.insert(*odp, &port.name);
        }
    }
    // Tunnels of a kind share a port there.
    let shared: std::collections::BTreeMap<_, _> = view.tunnels.ports.iter().map(|(_, odp, t)| (*odp, t)).collect();
    for (odp, tunnel) in shared {
        names.insert(odp, &tunnel.datapath_port());
    }
    names
}

/// Traces.
pub fn run(view: &SwitchView, request: &Request, recirc: &mut Recirc, now_ms: i64) -> Traced {
    let mut trace = Trace {
        view,
        request,
        out: String::new(),
        effects: Vec::new(),
        executions: Vec::new(),
        queue: VecDeque::new(),
        now_ms,
    };
    // Without actions to begin with, a packet goes through the tables.
    let start = match &request.actions {
        Some(actions) if !actions.is_empty() => Start::Actions(actions.clone()),
        _ => Start::Key,
    };
    let mut held = Vec::new();
    let bridge_of = |recirc: &Recirc, id| recirc.get(id).map_or(request.bridge, |state| state.bridge);
    trace.one(bridge_of(recirc, request.key.recirc_id()), &request.key, start, recirc, &mut held);
    let mut ct_states = request.ct_states.clone();
    let mut n = 0;
    while let Some(next) = trace.queue.pop_front() {
        n += 1;
        if n > MAX_RECIRCULATIONS {
            break;
        }
        let bridge = bridge_of(recirc, next.id);
        let key = trace.head(next, &mut ct_states);
        trace.one(bridge, &key, Start::Key, recirc, &mut held);
    }
    recirc.release(&held, now_ms);
    Traced { text: trace.out, effects: trace.effects, executions: trace.executions }
}

struct Trace<'a> {
    view: &'a SwitchView,
    request: &'a Request,
    out: String,
    effects: Vec<Effect>,
    executions: Vec<flow::Actions>,
    queue: VecDeque<Recirculation>,
    now_ms: i64,
}

impl Trace<'_> {
    fn one(&mut self, bridge: BridgeId, key: &Key, start: Start, recirc: &mut Recirc, held: &mut Vec<u32>) {
        let shown = self.request.bridge;
        let names = self.request.names.then(|| names_of(self.view, shown));
        let ports = names.as_ref().map(|n| n as &dyn PortNames);
        let tun = self.view.bridges.get(&bridge).map(|b| b.tun_table.clone());
        let options = Options { ports, tun: tun.as_deref(), ..Options::default() };
        self.out.push_str(&format!("Flow: {}\n", format_flow(key, &options)));
        // What a packet without Ethernet header is, the pipeline tells by its EtherType as well.
        let mut key = key.clone();
        key.set_dl_type(key.network_type());
        let key = &key;
        let mut recorder = Recorder::default();
        recorder.names = self.request.names;
        recorder.bridge = self.view.bridges.get(&shown).map_or_else(String::new, |bridge| bridge.name.clone());
        let input = Input {
            key,
            bridge,
            packet: self.request.packet.as_ref(),
            tcp_flags: key.tcp_flags(),
            start,
            side_effects: self.request.packet.is_some(),
            now_ms: self.now_ms,
        };
        let translation = translate(self.view, &input, recirc, Some(&mut recorder));
        held.extend_from_slice(&translation.recircs);
        self.out.push_str(&recorder.text());
        self.queue.extend(recorder.recirculations);
        let last = translation.final_flow.as_deref().unwrap_or(key);
        let mut first = key.clone();
        first.set_actset_output(openflow::OfPort::UNSET.to_11());
        self.out.push_str("\nFinal flow: ");
        if *last == first {
            self.out.push_str("unchanged\n");
        } else {
            self.out.push_str(&format!("{}\n", format_flow(last, &options)));
        }
        let megaflow = format(&key.masked(&translation.mask), &translation.mask, &options);
        self.out.push_str(&format!("Megaflow: {megaflow}\n"));
        let dp_names = self.request.names.then(|| dp_names_of(self.view));
        let dp_names = dp_names.as_ref().map(|n| n as &dyn PortNames);
        let actions = flow::odp_text::format_actions(&translation.actions, dp_names);
        self.out.push_str(&format!("Datapath actions: {actions}"));
        self.verdict(&translation);
        let actions = if input.side_effects { without_outputs(&translation.actions) } else { Vec::new() };
        if are_felt(&actions) {
            self.executions.push(actions.into());
        }
        // Neighbours are asked for by traces of whatever kind.
        let is_real = |e: &Effect| input.side_effects || matches!(e, Effect::NeighbourWanted { .. });
        self.effects.extend(translation.effects.into_iter().filter(is_real));
    }

    fn verdict(&mut self, translation: &Translation) {
        if let Some(reason) = translation.error {
            let why = error_text(reason);
            self.out.push_str(&format!("\nTranslation failed ({why}), packet is dropped.\n"));
        } else if translation.slow != 0 {
            self.out.push_str("\nThis flow is handled by the userspace slow path because it:");
            for (bit, text) in SLOW_TEXTS {
                if translation.slow & bit != 0 {
                    self.out.push_str(&format!("\n  - {text}."));
                }
            }
        }
    }

    /// The heading of a packet that comes again, and its key then.
    fn head(&mut self, next: Recirculation, ct_states: &mut VecDeque<u8>) -> Key {
        let rule = "=".repeat(79);
        self.out.push_str(&format!("\n\n{rule}\nrecirc({:#x})", next.id));
        let mut key = *next.flow;
        key.set_recirc_id(next.id);
        key.set_actset_output(0);
        key.set_ct_zone(next.zone);
        let state = match ct_states.pop_front() {
            Some(state) => {
                let names = flow::text::flags(state.into(), CT_STATE, '|');
                self.out.push_str(&format!(" - resume conntrack with ct_state={names}"));
                state
            }
            None => {
                self.out.push_str(" - resume conntrack with default ct_state=trk|new (use --ct-next to customize)");
                flow::ct_state::TRK | flow::ct_state::NEW
            }
        };
        key.set_ct_state(state);
        self.out.push('\n');
        if let Some(nat) = &next.nat {
            self.translate_address(&mut key, nat);
        }
        self.out.push_str(&format!("{rule}\n\n"));
        key
    }

    /// Of an address translation the first address and port are taken.
    fn translate_address(&mut self, key: &mut Key, nat: &Nat) {
        use std::net::IpAddr;
        if nat.direction.is_none() || nat.addresses.is_none_or(|(first, _)| first.is_unspecified()) {
            let head = "Replacing src/dst IP/ports to simulate NAT:";
            self.out.push_str(&format!("{head}\n Initial flow: \n Modified flow: \n"));
            return;
        }
        let src = nat.direction == Some(NatDirection::Src);
        let initial = endpoints(key);
        if let Some((address, _)) = nat.addresses {
            match (address, src) {
                (IpAddr::V4(a), true) => key.set_nw_src(a.into()),
                (IpAddr::V4(a), false) => key.set_nw_dst(a.into()),
                (IpAddr::V6(a), true) => key.set_ipv6_src(a.into()),
                (IpAddr::V6(a), false) => key.set_ipv6_dst(a.into()),
            }
        }
        if let Some((port, _)) = nat.ports {
            if src {
                key.set_tp_src(port);
            } else {
                key.set_tp_dst(port);
            }
        }
        self.out.push_str("Replacing src/dst IP/ports to simulate NAT:\n");
        self.out.push_str(&format!(" Initial flow: {initial}\n Modified flow: {}\n", endpoints(key)));
    }
}

/// Addresses and ports as the heading of a translated packet shows them.
fn endpoints(key: &Key) -> String {
    use flow::text::{ipv4, ipv6};
    let (src, dst, prefix) = match key.dl_type() {
        0x86dd => (format!("[{}]", ipv6(key.ipv6_src())), format!("[{}]", ipv6(key.ipv6_dst())), "ipv6"),
        _ => (ipv4(key.nw_src()), ipv4(key.nw_dst()), "nw"),
    };
    format!("{prefix}_src={src},tp_src={},{prefix}_dst={dst},tp_dst={}", key.tp_src(), key.tp_dst())
}

const SLOW_TEXTS: [(u32, &str); 8] = [
    (slow::CFM, "Consists of CFM packets"),
    (slow::BFD, "Consists of BFD packets"),
    (slow::LACP, "Consists of LACP packets"),
    (slow::STP, "Consists of STP packets"),
    (slow::LLDP, "Consists of LLDP packets"),
    (slow::CONTROLLER, "Sends \"packet-in\" messages to the OpenFlow controller"),
    (slow::ACTION, "Uses action(s) not supported by datapath"),
    (slow::MATCH, "Needs more specific match than datapath supports"),
];

/// Why a translation failed, as text.
pub fn error_text(reason: DropReason) -> &'static str {
    match reason {
        DropReason::OfPipeline => "OK",
        DropReason::BridgeNotFound => "Bridge not found",
        DropReason::RecursionTooDeep => "Recursion too deep",
        DropReason::TooManyResubmit => "Too many resubmits",
        DropReason::StackTooDeep => "Stack too deep",
        DropReason::NoRecirculationContext => "No recirculation context",
        DropReason::RecirculationConflict => "Recirculation conflict",
        DropReason::TooManyMplsLabels => "Too many MPLS labels",
        DropReason::InvalidTunnelMetadata => "Invalid tunnel metadata",
        DropReason::UnsupportedPacketType => "Unsupported packet type",
        DropReason::CongestionDrop => "Congestion Drop",
        DropReason::ForwardingDisabled => "Forwarding is disabled",
    }
}
