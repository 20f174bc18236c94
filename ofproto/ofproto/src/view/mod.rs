//! What translation reads: immutable views of the switch, its bridges, ports, bundles, mirrors, groups and meters.
//!
//! One writer, the bridge, makes a new [`BridgeView`] at a change; everything inside that did not change is shared by
//! `Arc`. A view never changes once published, so that a translation is a pure function of it. The bridge that
//! translates on its own behalf puts its live MAC table into its view before it does.
//!
//! Absent here: who changes what (the bridge actor), statistics (see `credit`).
//! Source: ovs-vswitchd.conf.db(5), ovs-ofctl(8).

mod bond;
mod bundle;
mod group;
mod group_log;
mod meter;
mod mirror;
mod port;
mod port_order;
pub mod show;
mod tunnel;
pub mod underlay;
mod vlan_set;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use flow::classifier::MiniMatch;
use flow::field::TunTable;
use flow::{Key, Mask, OdpPort};
use l2proto::mac_learning::MacView;
use l2proto::mcast_snooping::McastView;
use openflow::OfPort;
use openflow::action::{Action, Actions, Controller};
use openflow::flow_mod::FlowFlags;
use openflow::message::packet_in::reason;

pub use bond::{BOND_BUCKETS, BondMode, BondView};
pub use bundle::{BundleId, BundleView, PriorityTags, VlanMode};
pub use group::{BucketView, GroupView, Selection};
pub use meter::MeterView;
pub use mirror::MirrorView;
pub use port::{BfdHears, CfmHears, PacketTypeMode, PortKind, PortView, StpState, TagQueue};
pub use port_order::PortOrder;
pub use tunnel::{Erspan, Setting, TunnelConfig, TunnelMap};
pub use underlay::{Underlay, UnderlayRoute};
pub use vlan_set::VlanSet;

use crate::rule::{Rule, RuleId};
use crate::table::TableView;

/// The table of the switch's own rules.
pub const INTERNAL_TABLE: u8 = 254;

/// Number of a bridge, for as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BridgeId(pub u32);

/// A port of some bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRef {
    /// Bridge.
    pub bridge: BridgeId,
    /// Port of that bridge.
    pub port: OfPort,
}

/// What a datapath can do, as far as translation and the check of rules heed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Support {
    /// Connection tracking.
    pub ct: CtSupport,
    /// `trunc`.
    pub trunc: bool,
    /// VLAN tags that a key holds.
    pub max_vlan_headers: usize,
    /// MPLS labels that a key holds.
    pub max_mpls_depth: usize,
    /// `recirc`.
    pub recirc: bool,
    /// `set` of some bits of a field.
    pub masked_set: bool,
    /// `tnl_push` and `tnl_pop`.
    pub tnl_push_pop: bool,
    /// Levels of `sample` within `sample`.
    pub sample_nesting: usize,
    /// `clone`.
    pub clone: bool,
    /// `check_pkt_len`.
    pub check_pkt_len: bool,
    /// `drop`.
    pub explicit_drop: bool,
    /// `lb_output`.
    pub lb_output: bool,
    /// Highest number of a hash algorithm.
    pub max_hash_alg: u32,
}

impl Default for Support {
    /// The userspace datapath.
    fn default() -> Self {
        Support {
            ct: CtSupport::default(),
            trunc: true,
            max_vlan_headers: 1,
            max_mpls_depth: 3,
            recirc: true,
            masked_set: true,
            tnl_push_pop: true,
            sample_nesting: 10,
            clone: true,
            check_pkt_len: true,
            explicit_drop: true,
            lb_output: true,
            max_hash_alg: 1,
        }
    }
}

/// What of connection tracking a datapath can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CtSupport {
    /// `ct_state`, and the action.
    pub state: bool,
    /// The states of translated addresses.
    pub state_nat: bool,
    /// `ct_zone`.
    pub zone: bool,
    /// `ct_mark`.
    pub mark: bool,
    /// `ct_label`.
    pub label: bool,
    /// The original direction's IPv4 addresses and ports.
    pub orig_tuple: bool,
    /// The original direction's IPv6 addresses and ports.
    pub orig_tuple6: bool,
}

impl Default for CtSupport {
    /// The userspace datapath.
    fn default() -> Self {
        let (state, state_nat, zone, mark, label) = (true, true, true, true, true);
        CtSupport { state, state_nat, zone, mark, label, orig_tuple: true, orig_tuple6: true }
    }
}

/// The whole switch: all bridges of one datapath type.
#[derive(Clone, Debug, Default)]
pub struct SwitchView {
    /// Grows with every change that is published.
    pub version: u64,
    /// Types of datapaths that there are: `netdev`, `dummy`.
    pub datapaths: BTreeSet<String>,
    /// Bridges.
    pub bridges: BTreeMap<BridgeId, Arc<BridgeView>>,
    /// Which port a datapath port is; of tunnels, the many that share one are found through `tunnels`.
    pub odp_ports: HashMap<OdpPort, PortRef>,
    /// Tunnel ports.
    pub tunnels: Arc<TunnelMap>,
    /// The network under those that are encapsulated here.
    pub underlay: Arc<Underlay>,
    /// What the datapath can do.
    pub support: Support,
}

impl SwitchView {
    /// The bridge of this name.
    pub fn bridge_by_name(&self, name: &str) -> Option<&Arc<BridgeView>> {
        self.bridges.values().find(|b| b.name == name)
    }

    /// The port of this name: a bridge's own, or another.
    pub fn device(&self, name: &str) -> Option<PortRef> {
        if let Some(bridge) = self.bridge_by_name(name) {
            return Some(PortRef { bridge: bridge.id, port: OfPort::LOCAL });
        }
        self.bridges.values().find_map(|bridge| {
            let port = bridge.ports.values().find(|port| port.name == name)?;
            Some(PortRef { bridge: bridge.id, port: port.port })
        })
    }

    /// Whether a recirculation identifier stands for a bond.
    pub fn is_bond(&self, recirc_id: u32) -> bool {
        let is_it = |b: &Arc<BundleView>| b.bond.as_ref().is_some_and(|bond| bond.recirc_id == recirc_id);
        self.bridges.values().any(|b| b.bundles.values().any(is_it))
    }

    /// The port behind a reference.
    pub fn port(&self, at: PortRef) -> Option<&Arc<PortView>> {
        self.bridges.get(&at.bridge)?.ports.get(&at.port)
    }

    /// The same switch with one bridge's view replaced, for a bridge that translates with its live state.
    #[must_use]
    pub fn with_bridge(&self, bridge: Arc<BridgeView>) -> SwitchView {
        let mut view = self.clone();
        view.bridges.insert(bridge.id, bridge);
        view
    }
}

/// What a bridge has sampled for IPFIX.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IpfixView {
    /// What comes in: probability of 2^32 - 1.
    pub input: Option<u32>,
    /// What goes out: likewise.
    pub output: Option<u32>,
    /// Tunnels are told of.
    pub tunnels: bool,
    /// `sample` actions sample: there are collectors, of whichever set.
    pub samples: bool,
}

/// How fragments are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FragHandling {
    /// Fragments as other packets, without ports.
    #[default]
    Normal,
    /// Fragments are dropped.
    Drop,
    /// Fragments are put together; no switch of ours can.
    Reassemble,
    /// First fragments have their ports, later ones ports of 0.
    NxMatch,
}

/// One bridge.
#[derive(Clone, Debug)]
pub struct BridgeView {
    /// Which.
    pub id: BridgeId,
    /// Name.
    pub name: String,
    /// UUID, for continuations.
    pub uuid: u128,
    /// Version of this view; part of what a cached flow remembers.
    pub version: u64,
    /// Flow tables, by number; the last is the internal one.
    pub tables: Vec<Option<Arc<TableView>>>,
    /// Whether a miss goes to controllers in tables whose configuration does not say.
    pub miss_to_controller: bool,
    /// One of those who listen is a controller that is configured: cached flows heed it. For a person's tool that comes
    /// and goes they stay as they are, as in Open vSwitch.
    pub controller_wants_misses: bool,
    /// Rule credited with misses that go to the controllers.
    pub miss_rule: Arc<Rule>,
    /// Rule credited with misses that do not.
    pub no_packet_in_rule: Arc<Rule>,
    /// Rule credited with fragments dropped by configuration.
    pub drop_frags_rule: Arc<Rule>,
    /// Ports.
    pub ports: BTreeMap<OfPort, Arc<PortView>>,
    /// The order in which ports are listed and flooded to.
    pub port_order: Arc<PortOrder>,
    /// Bundles.
    pub bundles: BTreeMap<BundleId, Arc<BundleView>>,
    /// Mirrors, at most 32; a mirror's bit is its index.
    pub mirrors: Vec<Arc<MirrorView>>,
    /// Groups.
    pub groups: Arc<BTreeMap<u32, Arc<GroupView>>>,
    /// Meters.
    pub meters: Arc<BTreeMap<u32, Arc<MeterView>>>,
    /// Learned addresses; `None` when the bridge does not learn.
    pub mac: Option<MacView>,
    /// Learned multicast groups; `None` without snooping.
    pub mcast: Option<McastView>,
    /// VLANs that are flooded and not learned upon.
    pub flood_vlans: VlanSet,
    /// Fragments.
    pub frag: FragHandling,
    /// Reserved multicast addresses are forwarded.
    pub forward_bpdu: bool,
    /// 802.1D runs.
    pub stp: bool,
    /// 802.1w runs.
    pub rstp: bool,
    /// Hidden in-band rules exist.
    pub in_band: bool,
    /// Its ports' packets go to OpenFlow only once flows have been restored.
    pub flow_restore_wait: bool,
    /// Timeout policies of connection tracking, by zone: the datapath's number.
    pub ct_timeouts: BTreeMap<u16, u32>,
    /// Flows are sampled by NetFlow: its fields are always matched.
    pub netflow: bool,
    /// Datapath meter for packet-ins, if configured.
    pub controller_meter: Option<u32>,
    /// Datapath meter for the slow path, if configured.
    pub slowpath_meter: Option<u32>,
    /// Where tunnel options lie.
    pub tun_table: Arc<TunTable>,
    /// sFlow: probability of 2^32 - 1.
    pub sflow: Option<u32>,
    /// IPFIX.
    pub ipfix: IpfixView,
    /// Hardware address of the local port.
    pub hw_addr: u64,
}

impl BridgeView {
    /// Names of its ports.
    pub fn port_names(&self) -> openflow::names::NameMap {
        let mut names = openflow::names::NameMap::new();
        for port in self.ports.values() {
            names.insert_port(port.port, &port.name);
        }
        names
    }

    /// The Ethernet address of a port, 48 bits.
    pub fn mac_of(&self, port: OfPort) -> Option<u64> {
        if port == OfPort::LOCAL { Some(self.hw_addr) } else { Some(self.ports.get(&port)?.hw_addr) }
    }

    /// An empty bridge with room for 255 tables.
    pub fn new(id: BridgeId, name: &str) -> BridgeView {
        let internal = |slot, actions: Vec<Action>| Arc::new(internal_rule(slot, actions.into()));
        let to_controller = Action::Controller(Box::new(Controller {
            max_len: u16::MAX,
            controller_id: 0,
            reason: reason::IMPLICIT_MISS,
            userdata: Vec::new(),
            pause: false,
            meter_id: None,
            property_form: false,
        }));
        BridgeView {
            id,
            name: name.to_owned(),
            uuid: 0,
            version: 0,
            tables: vec![None; 255],
            miss_to_controller: true,
            controller_wants_misses: true,
            miss_rule: internal(0, vec![to_controller]),
            no_packet_in_rule: internal(1, Vec::new()),
            drop_frags_rule: internal(2, Vec::new()),
            ports: BTreeMap::new(),
            port_order: Arc::default(),
            bundles: BTreeMap::new(),
            mirrors: Vec::new(),
            groups: Arc::default(),
            meters: Arc::default(),
            mac: None,
            mcast: None,
            flood_vlans: VlanSet::default(),
            frag: FragHandling::Normal,
            forward_bpdu: false,
            stp: false,
            rstp: false,
            in_band: false,
            flow_restore_wait: false,
            ct_timeouts: BTreeMap::new(),
            netflow: false,
            controller_meter: None,
            slowpath_meter: None,
            tun_table: Arc::default(),
            sflow: None,
            ipfix: IpfixView::default(),
            hw_addr: 0,
        }
    }

    /// The bundle that a port belongs to.
    pub fn bundle_of(&self, port: &PortView) -> Option<&Arc<BundleView>> {
        self.bundles.get(&port.bundle?)
    }

    /// A table, when it has rules.
    pub fn table(&self, id: u8) -> Option<&Arc<TableView>> {
        self.tables.get(usize::from(id))?.as_ref()
    }
}

/// A rule that stands for a packet's fate where no table has one.
pub(crate) fn internal_rule(slot: u32, actions: Actions) -> Rule {
    Rule {
        id: RuleId { table: INTERNAL_TABLE, slot, generation: u32::MAX },
        priority: 0,
        mini: MiniMatch::new(&Key::EMPTY, &Mask::EMPTY),
        tun: None,
        cookie: 0,
        idle_timeout: 0,
        hard_timeout: 0,
        importance: 0,
        flags: FlowFlags::default(),
        actions,
        conjunctions: Box::default(),
        made: 0,
        created_ms: 0,
        modified_ms: 0,
    }
}
