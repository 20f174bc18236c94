//! Rows of status as the database is to have them.
//!
//! Source: ovs-vswitchd.conf.db(5), and what Open vSwitch 3.1 writes.

use l2proto::cfm::fault;
use ofproto::bridge::{BridgeReport, CfmReport, LivenessReport, SpanningPort};
use openflow::OfPort;
use openflow::message::PortStats;
use ovsdb::{Atom, Datum, Uuid};
use std::sync::Arc;

use super::PortState;
use super::desired::DesiredPort;
use crate::msg::port::PortStatus;
use crate::msg::switch::RowWrite;
use crate::port::device::mac_text;

/// `ofport` of an interface that could not be had.
const NO_OFPORT: i64 = -1;

/// An optional column.
pub(super) fn optional<T>(value: Option<T>, make: impl Fn(T) -> Datum) -> Datum {
    value.map_or_else(Datum::empty, make)
}

fn integer(n: i64) -> Datum {
    Datum::one(Atom::Integer(n))
}

fn up_down(up: bool) -> Datum {
    Datum::string(if up { "up" } else { "down" })
}

/// What else is known of an interface than its device.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Remarks<'a> {
    /// Why it could not be had.
    pub error: Option<&'a str>,
    /// What is wrong although it lives.
    pub warning: Option<&'a str>,
    /// Whether its LACP partner is known, if it speaks LACP.
    pub lacp_current: Option<bool>,
    /// Its number, and what BFD and CFM say.
    pub liveness: Option<(OfPort, &'a LivenessReport)>,
}

/// All that the row of an interface is made from: while that stays the row does, and to compare it takes a fraction of
/// making a row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    uuid: Uuid,
    port: OfPort,
    status: Arc<PortStatus>,
    error: Option<String>,
    warning: Option<String>,
    lacp_current: Option<bool>,
    bfd: Vec<(&'static str, String)>,
    cfm: Option<CfmReport>,
}

impl Told {
    /// What a row would be made from now.
    pub(super) fn of(uuid: Uuid, port: &PortState, remarks: Remarks<'_>) -> Told {
        Told {
            uuid,
            port: port.port,
            status: port.status.clone(),
            error: remarks.error.map(str::to_owned),
            warning: remarks.warning.map(str::to_owned),
            lacp_current: remarks.lacp_current,
            bfd: remarks.bfd().map_or(Vec::new(), Vec::clone),
            cfm: remarks.cfm().cloned(),
        }
    }
}

impl<'a> Remarks<'a> {
    fn bfd(self) -> Option<&'a Vec<(&'static str, String)>> {
        self.liveness.and_then(|(port, report)| report.bfd.get(&port))
    }

    fn cfm(self) -> Option<&'a CfmReport> {
        self.liveness.and_then(|(port, report)| report.cfm.get(&port))
    }
}

/// The address to show: a device that is there and has none shows zeros, one that is gone nothing.
fn shown_mac(status: &PortStatus) -> Option<String> {
    (status.mac != 0 || status.ifindex.is_some_and(|n| n > 0)).then(|| mac_text(status.mac))
}

/// The row of an interface.
pub(super) fn interface_row(uuid: Uuid, port: Option<&PortState>, remarks: Remarks<'_>) -> RowWrite {
    let none = PortStatus::default();
    let status = port.map_or(&none, |p| &p.status);
    let open = port.is_some() && remarks.error.is_none();
    let number = port.filter(|_| open).map_or(NO_OFPORT, |p| i64::from(p.port.0));
    let shown = |datum: Datum| if open { datum } else { Datum::empty() };
    let statistics = Datum::map(
        statistics_of(&status.stats)
            .into_iter()
            .chain(status.counters.iter().map(|(k, v)| (k.as_str(), *v)))
            .map(|(k, v)| (Atom::string(k), Atom::Integer(v))),
    );
    let (bfd, cfm) = (remarks.bfd(), remarks.cfm());
    let pairs = Datum::string_map(status.status.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    let mut columns = vec![
        ("ofport", integer(number)),
        ("error", optional(remarks.error.or(remarks.warning).filter(|text| !text.is_empty()), Datum::string)),
        ("mac_in_use", shown(optional(shown_mac(status), |m| Datum::string(&m)))),
        ("mtu", shown(optional(status.mtu, integer))),
        ("ifindex", shown(integer(status.ifindex.unwrap_or(0)))),
        ("admin_state", shown(up_down(status.admin_up))),
        ("link_state", shown(up_down(status.link_up))),
        ("link_speed", shown(optional(status.link_speed_bps, integer))),
        ("duplex", shown(optional(status.duplex_full, |full| Datum::string(if full { "full" } else { "half" })))),
        ("lacp_current", optional(remarks.lacp_current, |on| Datum::one(Atom::Boolean(on)))),
        ("status", shown(pairs)),
        ("statistics", shown(statistics)),
    ];
    // So does its last session, where it cannot be had any more.
    columns.extend((open || bfd.is_some()).then(|| ("bfd_status", strings(bfd.map_or(&[], Vec::as_slice)))));
    // What a device counted outlives it.
    columns.extend(open.then(|| ("link_resets", integer(status.link_resets))));
    columns.extend(cfm_columns(cfm));
    RowWrite { table: "Interface", uuid, columns }
}

fn cfm_columns(cfm: Option<&CfmReport>) -> [(&'static str, Datum); 6] {
    let faults = cfm.map_or(0, |c| c.faults);
    let remotes = cfm.map_or(&[][..], |c| c.remote_mpids.as_slice());
    [
        ("cfm_fault", optional(cfm, |c| Datum::one(Atom::Boolean(c.faults != 0)))),
        ("cfm_fault_status", Datum::set(fault::names(faults).map(Atom::string))),
        ("cfm_flap_count", optional(cfm, |c| integer(whole(c.flap_count)))),
        ("cfm_health", optional(cfm.and_then(|c| c.health), |n| integer(n.into()))),
        ("cfm_remote_mpids", Datum::set(remotes.iter().map(|n| Atom::Integer(whole(*n))))),
        ("cfm_remote_opstate", optional(cfm.and_then(|c| c.remote_up), up_down)),
    ]
}

fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn strings(pairs: &[(&'static str, String)]) -> Datum {
    Datum::string_map(pairs.iter().map(|(key, value)| (*key, value.as_str())))
}

fn numbers(pairs: &[(&'static str, u64)]) -> Datum {
    Datum::map(pairs.iter().map(|(key, n)| (Atom::string(key), Atom::Integer(whole(*n)))))
}

/// The row of a bridge.
pub(super) fn bridge_row(uuid: Uuid, datapath_id: &str, report: &BridgeReport) -> RowWrite {
    let columns = vec![
        ("datapath_id", Datum::string(datapath_id)),
        ("datapath_version", Datum::string("<built-in>")),
        ("status", strings(&report.spanning.stp_bridge)),
        ("rstp_status", strings(&report.spanning.rstp_bridge)),
    ];
    RowWrite { table: "Bridge", uuid, columns }
}

/// The row of a port; `active` is, of a bond, the address of its active member, 0 for none. A port that is no bond any more
/// keeps the last one.
pub(super) fn port_row(port: &DesiredPort, active: Option<u64>, spanning: Option<&SpanningPort>) -> RowWrite {
    let mut columns = vec![
        ("status", strings(spanning.map_or(&[], |s| &s.status))),
        ("rstp_status", strings(spanning.map_or(&[], |s| &s.rstp_status))),
    ];
    columns.extend(active.map(|mac| ("bond_active_slave", Datum::string(&mac_text(mac)))));
    RowWrite { table: "Port", uuid: port.uuid, columns }
}

/// The columns of a port that count.
pub(super) fn port_statistics_row(port: &DesiredPort, spanning: Option<&SpanningPort>) -> RowWrite {
    let columns = vec![
        ("statistics", numbers(spanning.map_or(&[], |s| &s.statistics))),
        ("rstp_statistics", numbers(spanning.map_or(&[], |s| &s.rstp_statistics))),
    ];
    RowWrite { table: "Port", uuid: port.uuid, columns }
}

/// The row of a mirror with what it has copied.
pub(super) fn mirror_row(uuid: Uuid, (packets, octets): (u64, u64)) -> RowWrite {
    let number = |n: u64| Atom::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    let pairs = [("tx_packets", packets), ("tx_bytes", octets)];
    let statistics = Datum::map(pairs.into_iter().map(|(name, n)| (Atom::string(name), number(n))));
    RowWrite { table: "Mirror", uuid, columns: vec![("statistics", statistics)] }
}

/// A row with one column of string pairs.
pub(super) fn pairs_row<'a>(
    table: &'static str,
    uuid: Uuid,
    column: &'static str,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> RowWrite {
    RowWrite { table, uuid, columns: vec![(column, Datum::string_map(pairs))] }
}

/// The known counters by their names in the statistics column.
fn statistics_of(stats: &PortStats) -> Vec<(&'static str, i64)> {
    [
        ("rx_packets", stats.rx_packets),
        ("rx_bytes", stats.rx_bytes),
        ("rx_dropped", stats.rx_dropped),
        ("rx_errors", stats.rx_errors),
        ("tx_packets", stats.tx_packets),
        ("tx_bytes", stats.tx_bytes),
        ("tx_dropped", stats.tx_dropped),
        ("tx_errors", stats.tx_errors),
        ("rx_frame_err", stats.rx_frame_err),
        ("rx_over_err", stats.rx_over_err),
        ("rx_crc_err", stats.rx_crc_err),
        ("collisions", stats.collisions),
    ]
    .into_iter()
    .filter(|(_, n)| *n != u64::MAX)
    .map(|(name, n)| (name, i64::try_from(n).unwrap_or(i64::MAX)))
    .collect()
}
