//! Translation: from a packet's key to datapath actions, the mask of bits that decided, and effects as data.
//!
//! [`translate`] is a pure function of a [`SwitchView`]; recirculation states it makes go into the [`Recirc`] that it is
//! given. With a [`Recorder`] it also tells how it came to its verdict, which is `ofproto/trace`.
//!
//! ```text
//!  start: thaw or table 0 ─► tables ─► actions ─► output, normal, group, ct, … ─► commit of header changes ─► datapath
//! ```
//!
//! Absent here: what is done with the effects (`credit` and the bridge).
//! Source: ovs-actions(7), ovs-fields(7), OpenFlow 1.5.1 section 5; observed behaviour of Open vSwitch 3.1.

mod action;
mod bond;
mod clone;
mod commit;
mod context;
mod controller;
mod ct;
mod effect;
mod encap;
mod fields;
mod freeze;
mod group;
mod hashing;
mod learn;
mod mirror;
mod monitoring;
mod mpls;
mod multicast;
mod native;
mod normal;
mod output;
mod patch;
mod recirc;
mod record;
mod special;
mod start;
mod table;
mod tunnel;
mod vlan;
mod wildcard;

use flow::odp::DropReason;
use flow::{Key, Mask, odp};
use l2proto::mac_learning::MacKey;
use openflow::action::Actions;
use packet::PacketBuf;
use smallvec::{SmallVec, smallvec};

pub use effect::{Effect, condense};
pub use learn::flow_mod_of;
pub use native::listening;
pub use recirc::{FrozenState, Numbers, Recirc, frozen_mask};
pub use record::{Node, NodeKind, Recirculation, Recorder};

use crate::view::{BridgeId, PortKind, SwitchView};
use context::Context;
use wildcard::TUNNEL_WORDS;

/// Deepest recursion of resubmits.
pub const MAX_DEPTH: u32 = 64;
/// Most resubmits of one translation.
pub const MAX_RESUBMITS: u32 = MAX_DEPTH * MAX_DEPTH;

/// Datapath actions of which a Netlink attribute has no room for as many: 64 kB, 8 octets each at least.
pub const MAX_ODP_ACTIONS: usize = 8192;

/// Where the translation begins.
#[derive(Clone, Debug, Default)]
pub enum Start {
    /// With the key: at table 0, or where its recirculation identifier says.
    #[default]
    Key,
    /// With these actions.
    Actions(Actions),
    /// With these actions, as a controller's packet-out.
    PacketOut(Actions),
    /// With a frozen state (a controller's resume).
    Frozen(std::sync::Arc<FrozenState>),
}

/// What is translated.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// The packet's key, its input port an OpenFlow port of `bridge` (see [`resolve`]).
    pub key: &'a Key,
    /// Bridge.
    pub bridge: BridgeId,
    /// The packet, if there is one.
    pub packet: Option<&'a PacketBuf>,
    /// TCP flags seen since the last translation.
    pub tcp_flags: u16,
    /// Begin where.
    pub start: Start,
    /// The effects will be applied: `learn` acts, packet-ins are sent.
    pub side_effects: bool,
    /// Milliseconds of the switch's clock.
    pub now_ms: i64,
}

/// The verdict.
#[derive(Clone, Debug)]
pub struct Translation {
    /// What the datapath does.
    pub actions: Vec<odp::Action>,
    /// Which bits of the key decided; `in_port` is always among them. Of a translation that is recorded and failed, with
    /// the pipeline's own fields, for people to see.
    pub mask: Mask,
    /// Effects of every packet of the flow.
    pub effects: Vec<Effect>,
    /// Why every packet must come up, [`flow::odp::slow`] bits; 0 if the datapath can do it alone.
    pub slow: u32,
    /// States that the actions name; each has one user more until they are released.
    pub recircs: Vec<u32>,
    /// What is wrong with the rules or the bridge, for the log, of a translation that is not recorded.
    pub complaint: Option<Box<str>>,
    /// Why the packet is dropped, if translation failed.
    pub error: Option<DropReason>,
    /// A rule that was to be learned has no room in its table. Everything else is done, but a packet-out is refused.
    pub learn_refused: bool,
    /// The packet's tunnel was marked for congestion, and the packet itself cannot be: it is dropped (RFC 6040, section 4.2).
    pub unmarkable: bool,
    /// The pipeline's flow at the end, of a translation that is recorded.
    pub final_flow: Option<Box<Key>>,
    /// Addresses that were looked up, found or not.
    pub macs: SmallVec<[(BridgeId, MacKey); 1]>,
    /// Bridges that the packet went through.
    pub bridges: SmallVec<[BridgeId; 2]>,
    /// Version of the switch's view.
    pub version: u64,
}

impl Translation {
    /// Of a packet that no bridge looks at: nothing is done with it or its like.
    pub fn nothing(view: &SwitchView, input: &Input<'_>) -> Translation {
        Translation {
            actions: Vec::new(),
            mask: wildcard::initial(input.key, view.support.recirc),
            effects: Vec::new(),
            slow: 0,
            recircs: Vec::new(),
            complaint: None,
            error: None,
            learn_refused: false,
            unmarkable: false,
            final_flow: None,
            macs: SmallVec::new(),
            bridges: smallvec![input.bridge],
            version: view.version,
        }
    }

    /// Of a packet whose tunnel options are not as they should be, or that has one that it may not be taken with by who
    /// does not know it.
    pub fn refused_options(view: &SwitchView, input: &Input<'_>) -> Translation {
        let mut flow = input.key.clone();
        flow.0[..TUNNEL_WORDS].fill(0);
        let bridge = view.bridges.get(&input.bridge).map_or("", |bridge| &bridge.name);
        let flow = flow::match_text::format_flow(&flow, &Default::default());
        Translation {
            actions: vec![odp::Action::Drop(DropReason::InvalidTunnelMetadata)],
            complaint: Some(
                format!("Invalid Geneve tunnel metadata on bridge {bridge} while processing {flow}").into(),
            ),
            error: Some(DropReason::InvalidTunnelMetadata),
            ..Translation::nothing(view, input)
        }
    }

    /// The mask as the datapath needs it: a flow that says nothing of VLAN matches only frames as its key has them.
    pub fn megaflow_mask(&self) -> Mask {
        let mut mask = self.mask.clone();
        if mask.vlan_tci() == 0 {
            mask.set_vlan_tci(0x1fff);
        }
        mask
    }

    /// The actions to install: those of the translation, or, for the slow path, handing up the packet.
    pub fn install_actions(&self, slowpath_meter: Option<u32>) -> Vec<odp::Action> {
        if self.slow == 0 {
            return self.actions.clone();
        }
        let userspace = odp::Action::Userspace(Box::new(odp::Userspace {
            pid: 0,
            cookie: odp::Cookie::SlowPath { reason: self.slow },
            actions: false,
            tunnel_out_port: None,
        }));
        match slowpath_meter {
            Some(meter) => vec![odp::Action::Sample {
                probability: u32::MAX,
                actions: [odp::Action::Meter(meter), userspace].into(),
            }],
            None => vec![userspace],
        }
    }
}

/// Which bridge a packet belongs to, given the key as the datapath has it, which becomes the bridge's. A recirculated
/// packet belongs to the bridge of its state, which the caller knows. `None` for ports that no bridge has; the key is of
/// no use then.
pub fn resolve(view: &SwitchView, key: &mut Key) -> Option<BridgeId> {
    let odp_port = key.in_port();
    let tunnelled = key.tun_dst() != 0 || key.tun_ipv6_dst() != 0;
    let at = if tunnelled { view.tunnels.receive(odp_port, key)? } else { *view.odp_ports.get(&odp_port)? };
    key.set_in_port(at.port.to_11());
    if let Some(bridge) = view.bridges.get(&at.bridge) {
        bridge.tun_table.from_datapath(key);
    }
    let port = view.port(at)?;
    if tunnelled && !matches!(port.kind, PortKind::Tunnel(_)) {
        return None;
    }
    Some(at.bridge)
}

/// What the log is told of a packet out of a tunnel that is no port's here.
pub fn stray_text(key: &Key) -> String {
    format!("receive tunnel port not found ({})", flow::match_text::format_flow(key, &Default::default()))
}

/// Translates. The key's input port is an OpenFlow port.
pub fn translate(
    view: &SwitchView,
    input: &Input<'_>,
    recirc: &mut Recirc,
    recorder: Option<&mut Recorder>,
) -> Translation {
    let Some(bridge) = view.bridges.get(&input.bridge) else {
        let actions = vec![odp::Action::Drop(DropReason::BridgeNotFound)];
        return Translation { actions, error: Some(DropReason::BridgeNotFound), ..Translation::nothing(view, input) };
    };
    Context::new(view, bridge, input, recirc, recorder).run()
}
