//! To a port.

use actix::prelude::*;
use openflow::message::PortStats;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

use crate::switch::desired::DesiredInterface;

/// Open the device and hand it to the datapath (Q).
#[derive(Debug, Message)]
#[rtype(result = "Result<PortStatus, String>")]
pub struct Open;

/// The interface is not wanted any more: let go of the device, and take it away if it is the switch's own (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Discard {
    /// Dropped when the device is gone, or nothing is to go.
    pub told: oneshot::Sender<()>,
}

impl Discard {
    /// The message, and what ends when the device is gone.
    pub fn new() -> (Self, oneshot::Receiver<()>) {
        let (told, gone) = oneshot::channel();
        (Self { told }, gone)
    }
}

/// The program ends: let go of the device, and leave it as it is (Q).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Leave;

/// The configuration changed (Q).
#[derive(Debug, Message)]
#[rtype(result = "PortStatus")]
pub struct Reconfigure(pub DesiredInterface);

/// Leave the datapath and come back under another number (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Renumber(pub flow::OdpPort);

/// The host tells that the device changed, came or went (C).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LinkChanged {
    /// How often its link went or came; `None` if it is not there.
    pub carrier_changes: Option<u32>,
    /// Somebody watches what passes there.
    pub watched: bool,
}

/// Set the device up or down (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SetAdmin(pub bool);

/// Give the device this Ethernet address, 48 bits (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SetMac(pub u64);

/// Give the bridge's own device these addresses, one after the other (Q).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SetIpv4(pub Vec<crate::switch::local_address::LocalAddress>);

/// Give a dummy one more address (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AddAddress(pub std::net::IpAddr);

/// Give the device this MTU, octets (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SetMtu(pub u32);

/// Quality of service to have (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SetQos(pub Option<crate::switch::desired::DesiredQos>);

/// The queueing discipline as it stands (Q).
#[derive(Debug, Message)]
#[rtype(result = "Option<crate::qos::Shaping>")]
pub struct ReadShaping;

/// The datapath has forgotten the port: open the device anew for it (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Reattach;

/// The port as it is (Q).
#[derive(Debug, Message)]
#[rtype(result = "PortStatus")]
pub struct ReadStatus;

/// What a port knows of its device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortStatus {
    /// The device is there and the switch uses it.
    pub open: bool,
    /// The device is set up.
    pub admin_up: bool,
    /// There is a carrier.
    pub link_up: bool,
    /// 48 bits.
    pub mac: u64,
    /// Largest payload of a frame, in octets.
    pub mtu: Option<i64>,
    /// The device's number on the host.
    pub ifindex: Option<i64>,
    /// Of a dummy; the host knows those of its devices.
    pub addresses: Vec<std::net::IpAddr>,
    /// Speed of the link, in bits a second.
    pub link_speed_bps: Option<i64>,
    /// Full or half duplex, where the device says so.
    pub duplex_full: Option<bool>,
    /// How often the carrier changed.
    pub link_resets: i64,
    /// The `status` column.
    pub status: BTreeMap<String, String>,
    /// OpenFlow feature bits.
    pub features: u32,
    /// Counters that OpenFlow has as well.
    pub stats: PortStats,
    /// More counters, by the names of the statistics column.
    pub counters: BTreeMap<String, i64>,
}

/// Whether a dummy's active wire is connected; `None` for a port without one (Q).
#[derive(Debug, Message)]
#[rtype(result = "Option<bool>")]
pub struct ReadWire;
