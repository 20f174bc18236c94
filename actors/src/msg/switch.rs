//! To the switch, and from it to its database client.

use actix::prelude::*;
use ofproto::view::BridgeView;
use ovsdb::{Datum, Uuid};
use std::sync::Arc;

use crate::mailbox::Address;
use crate::port::Port;
use crate::switch::desired::{DesiredInterface, DesiredSwitch, Pairs};

/// The configuration the database asks for (C).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ConfigChanged(pub DesiredSwitch);

/// A port's device is not as it was (C).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PortChanged {
    /// Bridge.
    pub bridge: String,
    /// Port.
    pub port: String,
    /// As it is now.
    pub status: crate::msg::port::PortStatus,
}

/// Devices of the host came, went or changed (B: ports look for themselves as well).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DevicesChanged {
    /// Names of those that are there.
    pub present: std::collections::BTreeSet<String>,
}

/// News of a bridge (C for views, R for starts).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum BridgeNews {
    /// It has a new view.
    Published(Arc<BridgeView>),
    /// It was started, for the first time or anew, and wants its configuration.
    Started(String),
}

/// Answer when every bridge has been sent the views told before this, and, if asked for, when what became of ports'
/// devices has been told to their bridges (Q).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Share {
    /// Devices too.
    pub devices: bool,
}

/// The status of a bridge's protocols is not as it was (C).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct BridgeReported {
    /// Bridge.
    pub bridge: String,
    /// As it is now.
    pub report: ofproto::bridge::BridgeReport,
}

/// A datapath was started anew and has no ports (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DatapathReturned {
    /// Its type.
    pub datapath: String,
    /// How often it has been started anew.
    pub lives: u64,
    /// What the flows carried that fell with it.
    pub fallen: Vec<flow::FlowReported>,
}

/// Queues of these ports of a datapath fell with the thread that polled them (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct QueuesLost {
    /// Type of the datapath.
    pub datapath: String,
    /// The ports.
    pub ports: std::collections::BTreeSet<flow::OdpPort>,
}

/// What commands have set of a datapath's connection tracking (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TrackingSet {
    /// The datapath's type.
    pub datapath: String,
    /// All of it.
    pub settings: dp::ct::Settings,
}

/// Columns to write.
#[derive(Debug, Clone, PartialEq)]
pub struct RowWrite {
    /// Table.
    pub table: &'static str,
    /// Row.
    pub uuid: Uuid,
    /// Column and value.
    pub columns: Vec<(&'static str, Datum)>,
}

/// Write status columns; once written, the configuration of this number counts as applied (C).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StatusWrite {
    /// Rows.
    pub rows: Vec<RowWrite>,
    /// Number of the configuration these rows complete.
    pub applied: Option<i64>,
}

impl StatusWrite {
    /// This and then the other, as one.
    #[must_use]
    pub fn followed_by(mut self, next: StatusWrite) -> StatusWrite {
        self.rows.extend(next.rows);
        StatusWrite { rows: self.rows, applied: next.applied.or(self.applied) }
    }
}

/// The database has been read anew, and may not have what was written: all status is to be written that differs (B).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StatusAnew;

/// Run a control command that concerns the whole switch (Q).
#[derive(Debug, Message)]
#[rtype(result = "Result<String, String>")]
pub struct SwitchControl {
    /// Command.
    pub name: &'static str,
    /// Arguments.
    pub args: Vec<String>,
}

/// A change of what is known of the network under tunnels (Q). Addresses are in the form of
/// [`ofproto::view::underlay::mapped`], prefix lengths are of 128 bits.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), String>")]
pub enum UnderlayEdit {
    /// The host's own network is this now.
    Host(ofproto::view::underlay::HostNetwork),
    /// A device has this address.
    Address {
        /// Device.
        device: String,
        /// Address and prefix length.
        address: (u128, u8),
    },
    /// Packets to a prefix leave by a bridge's own port.
    AddRoute {
        /// Prefix.
        to: (u128, u8),
        /// Bridge.
        bridge: String,
        /// Next hop.
        gateway: Option<u128>,
        /// Mark of the packets.
        mark: u32,
    },
    /// They no longer do.
    DeleteRoute {
        /// Prefix.
        to: (u128, u8),
        /// Mark of the packets.
        mark: u32,
    },
    /// A neighbour of a bridge has this Ethernet address, 48 bits.
    Neighbour {
        /// Bridge.
        bridge: String,
        /// Neighbour.
        address: u128,
        /// Ethernet address.
        mac: u64,
    },
    /// A neighbour is still of use.
    NeighbourUsed {
        /// Bridge.
        bridge: String,
        /// Its address.
        address: u128,
    },
    /// Tunnels send from these UDP ports, as [`dp::Config::tunnel_sources`] has them.
    Sources((u16, u16)),
    /// Neighbours that nobody hears of or uses are known for so many seconds.
    Aging(u32),
    /// No neighbours are known.
    FlushNeighbours,
}

/// The end is near: take everything down (Q).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CleanUp {
    /// What was made of the kernel's stays for the next start.
    pub keeps_devices: bool,
}

/// A change that people make to datapaths by hand (Q). Datapaths are called `TYPE@NAME`. The answer to a new port is
/// its actor, which is still to open its device.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<Address<Port>>, EditRefused>")]
pub enum DatapathEdit {
    /// A new datapath.
    Make {
        /// Type.
        kind: String,
        /// Name.
        name: String,
    },
    /// It goes, with its ports.
    Unmake(String),
    /// A new port.
    AddPort {
        /// Datapath.
        datapath: String,
        /// Its name, type and options.
        interface: Box<DesiredInterface>,
        /// The number asked for.
        number: Option<u32>,
    },
    /// A port has these options as well.
    SetPort {
        /// Datapath.
        datapath: String,
        /// Port.
        name: String,
        /// Options.
        options: Pairs,
    },
    /// Flows are to be translated as for a datapath that can do so much.
    Features(Box<ofproto::view::Support>),
    /// Queues of a datapath that bridges use are dealt out anew.
    Rebalance {
        /// Its type.
        kind: String,
        /// What queues took of their threads' time lately, nanoseconds, by port and number.
        costs: std::collections::BTreeMap<(flow::OdpPort, u32), u64>,
    },
    /// A dummy of a bridge gets another number in its datapath.
    Renumber {
        /// Type of the datapath.
        kind: String,
        /// Port.
        name: String,
        /// The number.
        number: flow::OdpPort,
    },
    /// A port goes.
    RemovePort {
        /// Datapath.
        datapath: String,
        /// Port.
        name: String,
    },
}

/// Why a [`DatapathEdit`] was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditRefused {
    /// There is one of that name.
    Exists,
    /// There is none of that name.
    Missing,
    /// The number is another port's.
    Busy,
    /// There are too many.
    NoRoom,
    /// No device is of this type.
    UnknownType,
    /// The device is in use as one of another type.
    OtherType,
}
