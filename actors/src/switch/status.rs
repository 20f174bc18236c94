//! The status columns: computed from what ports and datapaths report, written when they differ from what was written.

use actix::prelude::*;
use futures::future::join_all;
use ofproto::bridge::SpanningPort;
use openflow::message::PortStats;
use ovsdb::Datum;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::columns::{
    Remarks, Told, bridge_row, interface_row, mirror_row, optional, pairs_row, port_row, port_statistics_row,
};
use super::desired::{DesiredPort, Pairs};
use super::*;
use crate::host::{LinkCounters, ReadCounters};
use crate::msg::bridge::{ControllerReport, ReadControllers, ReadTally};
use crate::msg::datapath::{DatapathReport, QueueCounts, ReadStats};
use crate::msg::port::ReadStatus;
use crate::port::device::{dummy_queues, dummy_sending_queues};

const PATIENCE: Duration = Duration::from_secs(5);

impl Switch {
    /// Asks every port and datapath how it is, and writes what changed.
    pub(super) fn refresh_status(&mut self, ctx: &mut Context<Self>) {
        self.refreshed_ms = Some(clock::now_ms());
        let mut ports = Vec::new();
        for (bridge, state) in &self.bridges {
            for (name, port) in &state.ports {
                let (bridge, name, known) = (bridge.clone(), name.clone(), port.status.clone());
                let asked = port.address.ask(ReadStatus, PATIENCE);
                ports.push(async move { (bridge, name, known, asked.await) });
            }
        }
        let datapaths: Vec<_> = self
            .datapaths
            .iter()
            .map(|(kind, backer)| {
                let (kind, asked) = (kind.clone(), backer.address.ask(ReadStats, PATIENCE));
                async move { (kind, asked.await) }
            })
            .collect();
        let host = self.host.as_ref().map(|h| h.address.ask(ReadCounters, PATIENCE));
        let host = async move {
            match host {
                Some(asked) => asked.await.unwrap_or_default(),
                None => Arc::default(),
            }
        };
        let controllers: Vec<_> = self
            .bridges
            .iter()
            .map(|(name, bridge)| {
                let (name, asked) = (name.clone(), bridge.address.ask(ReadControllers, PATIENCE));
                async move { (name, asked.await) }
            })
            .collect();
        let tallies = self.bridges.iter().map(|(name, bridge)| {
            let (name, known) = (name.clone(), bridge.report.clone());
            let asked = bridge.address.ask(ReadTally, PATIENCE);
            async move { (name, known, asked.await) }
        });
        let all = futures::future::join5(
            join_all(ports),
            join_all(datapaths),
            host,
            join_all(controllers),
            join_all(tallies),
        );
        self.refresh_system(ctx);
        let step =
            actix::fut::wrap_future::<_, Self>(all).map(|(ports, datapaths, host, controllers, tallies), this, _| {
                let reports: BTreeMap<String, DatapathReport> =
                    datapaths.into_iter().filter_map(|(kind, r)| Some((kind, r.ok()?))).collect();
                crate::unixctl::coverage::turn(clock::now_ms());
                for (bridge, name, known, status) in ports {
                    if let Ok(status) = status {
                        this.take_status((&bridge, &name), &known, status, &reports, &host);
                    }
                }
                let reports = controllers.into_iter().filter_map(|(name, report)| Some((name, report.ok()?)));
                let mut rows = this.controller_rows(&reports.collect());
                for (name, known, tally) in tallies {
                    let Ok(tally) = tally else { continue };
                    this.take_virtual(&name, &tally.virtual_ports);
                    let Some(row) = this.desired.bridges.get(&name) else { continue };
                    let copied =
                        row.mirrors.iter().filter_map(|m| Some(mirror_row(m.uuid, *tally.mirrors.get(&m.name)?)));
                    rows.extend(copied);
                    let Some(bridge) = this.bridges.get_mut(&name) else { continue };
                    // What it has told since it was asked is newer.
                    if bridge.report == known {
                        bridge.report = tally.report;
                    }
                    for port in row.ports.values() {
                        rows.push(port_statistics_row(port, spanning_port(bridge, port)));
                    }
                }
                this.write_rows(rows, None);
                this.write_status(None);
            });
        ctx.spawn(step);
    }

    /// Takes over what a port says of itself, with what datapaths and host have counted. `known` is what was known of it
    /// when it was asked.
    fn take_status(
        &mut self,
        (bridge, name): (&str, &str),
        known: &Arc<PortStatus>,
        mut status: PortStatus,
        reports: &BTreeMap<String, DatapathReport>,
        host: &BTreeMap<String, LinkCounters>,
    ) {
        let Some(bridge) = self.bridges.get_mut(bridge) else { return };
        let report = reports.get(&bridge.datapath);
        let Some(port) = bridge.ports.get_mut(name) else { return };
        if !Arc::ptr_eq(known, &port.status) {
            // What it has told since it was asked is newer.
            status = PortStatus::clone(&port.status);
        }
        status.stats = counters(port.odp, report);
        if let Some(queues) = report.and_then(|r| r.dummies.get(&port.odp?)) {
            status.counters = dummy_counters(&status.stats, queues);
        }
        if let Some(kernel) = host.get(name) {
            status.counters = kernel_counters(kernel, &port.kind, (port.odp, report), &mut status.stats);
        } else if !status.open {
            // What was counted last stays to be seen.
            (status.stats, status.counters) = (port.status.stats.clone(), port.status.counters.clone());
        }
        if let Some(tunnel) = &port.tunnel {
            let network = self.host.as_ref().map(|host| host.view.load());
            egress::fill(&mut status, tunnel, &self.view.underlay, network.as_deref());
        }
        // One that stays as it was stays the one that rows were made from.
        if *port.status != status {
            port.status = Arc::new(status);
        }
    }

    /// Takes over what a bridge's ports without a device have carried.
    fn take_virtual(&mut self, bridge: &str, counted: &BTreeMap<openflow::OfPort, ofproto::bridge::VirtualStats>) {
        let Some(bridge) = self.bridges.get_mut(bridge) else { return };
        for port in bridge.ports.values_mut().filter(|p| p.odp.is_none() || p.tunnel.is_some()) {
            let Some(carried) = counted.get(&port.port) else { continue };
            let stats = &mut Arc::make_mut(&mut port.status).stats;
            (stats.rx_packets, stats.rx_bytes) = (carried.rx_packets, carried.rx_bytes);
            (stats.tx_packets, stats.tx_bytes) = (carried.tx_packets, carried.tx_bytes);
        }
    }

    /// Writes the columns that changed; `applied` names the configuration they complete.
    pub(super) fn write_status(&mut self, applied: Option<i64>) {
        let mut rows = Vec::new();
        let mut told = Vec::new();
        let mut silent = std::mem::take(&mut self.silent);
        for (name, bridge) in &self.bridges {
            let Some(row) = self.desired.bridges.get(name) else { continue };
            let dpid = format!("{:016x}", plan::datapath_id(&row.other_config, bridge.mac));
            rows.push(bridge_row(row.uuid, &dpid, &bridge.report));
            for interface in row.ports.values().flat_map(|p| p.interfaces.values()) {
                let port = bridge.ports.get(&interface.name);
                let error = bridge.errors.get(&interface.name);
                let lonely = port.and_then(|p| self.lonely_patch(bridge, p));
                let lacp_current = port.and_then(|p| bridge.report.lacp_current.get(&p.port).copied());
                let liveness = port.map(|p| (p.port, &bridge.report.liveness));
                let remarks =
                    Remarks { error: error.map(String::as_str), warning: lonely.as_deref(), lacp_current, liveness };
                if let Some(port) = port {
                    let now = Told::of(interface.uuid, port, remarks);
                    if port.told.as_ref() == Some(&now) {
                        continue;
                    }
                    told.push((name.clone(), interface.name.clone(), now));
                }
                rows.push(interface_row(interface.uuid, port, remarks));
            }
            for port in row.ports.values() {
                let bundle = bridge.bundles.get(&port.name);
                let active = bundle.and_then(|id| bridge.report.active_members.get(id).copied());
                let spanning = spanning_port(bridge, port);
                if active.is_some() || spanning.is_some() {
                    silent.remove(&port.uuid);
                } else if !silent.insert(port.uuid) {
                    continue;
                }
                rows.push(port_row(port, active, spanning));
            }
        }
        self.silent = silent;
        for (_, uuid) in self.desired.datapaths.iter().filter(|(kind, _)| self.datapaths.contains_key(*kind)) {
            rows.push(pairs_row("Datapath", *uuid, "capabilities", commands::capabilities()));
        }
        for (bridge, interface, now) in told {
            if let Some(port) = self.bridges.get_mut(&bridge).and_then(|b| b.ports.get_mut(&interface)) {
                port.told = Some(now);
            }
        }
        self.forget_rows_gone();
        self.write_rows(rows, applied);
    }

    /// Nothing needs to be known of rows that nobody wants any more. They are looked for when there may be as many of
    /// them as of others.
    fn forget_rows_gone(&mut self) {
        if self.status_written.len() + self.silent.len() <= 2 * self.written_then {
            return;
        }
        let mut wanted = HashSet::new();
        for row in self.desired.bridges.values() {
            wanted.insert(row.uuid);
            for port in row.ports.values() {
                wanted.insert(port.uuid);
                wanted.extend(port.interfaces.values().map(|interface| interface.uuid));
            }
        }
        let is_whole = |table: &str| matches!(table, "Bridge" | "Port" | "Interface");
        self.status_written.retain(|row, _| !is_whole(row.0) || wanted.contains(&row.1));
        self.silent.retain(|port| wanted.contains(port));
        self.written_then = self.status_written.len() + self.silent.len();
    }

    /// Has the host's figures written, where they are wanted.
    fn refresh_system(&mut self, ctx: &mut Context<Self>) {
        let Some(root) = self.desired.root else { return };
        if !plan::flag(&self.desired.other_config, "enable-statistics") {
            self.write_rows(vec![pairs_row("Open_vSwitch", root, "statistics", [])], None);
            return;
        }
        let run_dir = self.settings.run_dir.clone();
        let reading = tokio::task::spawn_blocking(move || system_stats::read(&run_dir));
        let step = actix::fut::wrap_future::<_, Self>(reading).map(move |found, this, _| {
            let found = found.unwrap_or_default();
            let pairs = found.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            this.write_rows(vec![pairs_row("Open_vSwitch", root, "statistics", pairs)], None);
        });
        ctx.spawn(step);
    }

    /// What is wrong with a patch port whose peer is not there, or is another's.
    fn lonely_patch(&self, bridge: &BridgeState, port: &PortState) -> Option<String> {
        if port.kind != "patch" {
            return None;
        }
        let own = &port.config.name;
        let peer = port.config.options.get("peer")?;
        let is_peer = |p: &PortState| p.kind == "patch" && p.config.options.get("peer") == Some(own);
        let same = self.bridges.values().filter(|b| b.datapath == bridge.datapath);
        let found = same.filter_map(|b| b.ports.get(peer)).any(is_peer);
        (!found).then(|| format!("No usable peer '{peer}' exists in '{}' datapath.", bridge.datapath))
    }

    /// How each controller is, by what its bridge reported.
    fn controller_rows(&self, reports: &BTreeMap<String, Vec<ControllerReport>>) -> Vec<RowWrite> {
        let mut rows = Vec::new();
        for (name, bridge) in &self.desired.bridges {
            let Some(reports) = reports.get(name) else { continue };
            for controller in &bridge.controllers.controllers {
                let Some(report) = reports.iter().find(|r| r.target == controller.target) else {
                    rows.push(RowWrite { table: "Controller", uuid: controller.uuid, columns: no_controller() });
                    continue;
                };
                let Some(status) = &report.status else { continue };
                let columns = vec![
                    ("is_connected", Datum::one(ovsdb::Atom::Boolean(status.connected))),
                    ("role", optional(report.role.filter(|_| status.connected), Datum::string)),
                    ("status", controller_status(report, status)),
                ];
                rows.push(RowWrite { table: "Controller", uuid: controller.uuid, columns });
            }
        }
        rows
    }

    /// Writes the VLANs that Auto-Attach mappings add to ports, or take away.
    pub(super) fn attach(&mut self) {
        self.attached.retain(|name, _| self.desired.bridges.contains_key(name));
        let bridges = self.desired.bridges.iter();
        let rows: Vec<RowWrite> = bridges
            .flat_map(|(name, row)| auto_attach::rows(row, self.attached.entry(name.clone()).or_default()))
            .collect();
        // People write these columns as well: what was written last does not matter.
        if let Some((_, idl)) = &self.idl
            && !rows.is_empty()
        {
            idl.send_merged(StatusWrite { rows, applied: None }, StatusWrite::followed_by);
        }
    }

    /// Writes those of the rows that differ from what was written last.
    fn write_rows(&mut self, mut rows: Vec<RowWrite>, applied: Option<i64>) {
        rows.retain(|row| self.status_written.get(&row_key(row)) != Some(row));
        for row in &rows {
            self.status_written.insert(row_key(row), row.clone());
        }
        if let Some((_, idl)) = &self.idl
            && (applied.is_some() || !rows.is_empty())
        {
            idl.send_merged(StatusWrite { rows, applied }, StatusWrite::followed_by);
        }
    }
}

impl Handler<StatusAnew> for Switch {
    type Result = ();

    fn handle(&mut self, _: StatusAnew, ctx: &mut Context<Self>) {
        self.desk.received();
        self.status_written.clear();
        self.silent.clear();
        for port in self.bridges.values_mut().flat_map(|bridge| bridge.ports.values_mut()) {
            port.told = None;
        }
        if !self.busy {
            self.write_status(None);
            self.refresh_status(ctx);
        }
    }
}

/// A row is written in parts that change at their own pace: table, row, first column of the part.
pub(super) type RowKey = (&'static str, ovsdb::Uuid, &'static str);

fn row_key(row: &RowWrite) -> RowKey {
    (row.table, row.uuid, row.columns.first().map_or("", |(column, _)| *column))
}

/// What the spanning tree says of a port.
fn spanning_port<'a>(bridge: &'a BridgeState, port: &DesiredPort) -> Option<&'a SpanningPort> {
    let number = bridge.ports.get(port.interfaces.keys().next()?)?.port;
    bridge.report.spanning.ports.get(&number)
}

/// The columns of a controller that nobody connects to.
fn no_controller() -> Vec<(&'static str, Datum)> {
    let none = Datum::one(ovsdb::Atom::Boolean(false));
    vec![("is_connected", none), ("role", Datum::empty()), ("status", Datum::empty())]
}

/// The `status` column of a controller.
fn controller_status(report: &ControllerReport, status: &ofproto::rconn::Status) -> Datum {
    let mut pairs: Vec<(String, String)> = vec![("state".to_owned(), status.state.name().to_owned())];
    pairs.extend(status.last_error.clone().map(|error| ("last_error".to_owned(), error)));
    pairs.extend(status.since_connect_s.map(|s| ("sec_since_connect".to_owned(), s.to_string())));
    pairs.extend(status.since_disconnect_s.map(|s| ("sec_since_disconnect".to_owned(), s.to_string())));
    pairs.extend(report.queues.iter().map(|(name, n)| (name.clone(), n.to_string())));
    Datum::string_map(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())))
}

/// What the datapath counted of a port.
pub(crate) fn counters(odp: Option<flow::OdpPort>, report: Option<&DatapathReport>) -> PortStats {
    let mut stats = PortStats { rx_packets: 0, tx_packets: 0, rx_bytes: 0, tx_bytes: 0, ..PortStats::default() };
    let found = report.and_then(|r| r.ports.iter().find(|(n, ..)| Some(*n) == odp));
    if let Some((number, counted, lost)) = found {
        stats.rx_packets = counted.rx_packets;
        stats.rx_bytes = counted.rx_bytes;
        stats.tx_packets = counted.tx_packets;
        stats.tx_bytes = counted.tx_bytes;
        if report.is_some_and(|r| r.dummies.contains_key(number)) {
            return stats;
        }
        stats.rx_dropped = *lost;
        stats.rx_errors = 0;
        stats.tx_dropped = counted.tx_dropped;
        stats.tx_errors = counted.tx_errors;
    }
    stats
}

/// What the datapath has of a port's counters.
fn counted(odp: Option<flow::OdpPort>, report: Option<&DatapathReport>) -> dp::PortStats {
    let found = report.and_then(|r| r.ports.iter().find(|(n, ..)| Some(*n) == odp));
    found.map(|(_, counted, _)| *counted).unwrap_or_default()
}

/// What the kernel counted at a device, as the switch sees it. Of a tap that leaves out what the fast path forwards.
fn as_switch_sees(kernel: &LinkCounters, kind: &str, counted: dp::PortStats) -> Option<LinkCounters> {
    match kind {
        // What the host sends into a device of ours is what we receive.
        "internal" | "tap" => {
            let own = kernel.swapped();
            Some(LinkCounters {
                rx_packets: own.rx_packets.wrapping_add(counted.rx_unseen.packets),
                rx_bytes: own.rx_bytes.wrapping_add(counted.rx_unseen.bytes),
                tx_packets: own.tx_packets.wrapping_add(counted.tx_unseen.packets),
                tx_bytes: own.tx_bytes.wrapping_add(counted.tx_unseen.bytes),
                ..own
            })
        }
        "system" | "afxdp" | "afxdp-nonpmd" => Some(*kernel),
        _ => None,
    }
}

/// Puts the kernel's counters of a device in place of the datapath's, and says those that OpenFlow has no word for.
pub(crate) fn kernel_counters(
    kernel: &LinkCounters,
    kind: &str,
    counted_by: (Option<flow::OdpPort>, Option<&DatapathReport>),
    stats: &mut PortStats,
) -> BTreeMap<String, i64> {
    let Some(own) = as_switch_sees(kernel, kind, counted(counted_by.0, counted_by.1)) else {
        return BTreeMap::new();
    };
    let lost = if !matches!(kind, "internal" | "tap") { stats.rx_dropped } else { 0 };
    *stats = PortStats {
        rx_packets: own.rx_packets,
        tx_packets: own.tx_packets,
        rx_bytes: own.rx_bytes,
        tx_bytes: own.tx_bytes,
        rx_dropped: own.rx_dropped.saturating_add(lost),
        tx_dropped: own.tx_dropped,
        rx_errors: own.rx_errors,
        tx_errors: own.tx_errors,
        rx_frame_err: own.rx_frame_err,
        rx_over_err: own.rx_over_err,
        rx_crc_err: own.rx_crc_err,
        collisions: own.collisions,
        ..stats.clone()
    };
    [("rx_multicast_packets", own.rx_multicast), ("rx_missed_errors", own.rx_missed_errors)]
        .into_iter()
        .map(|(name, n)| (name.to_owned(), i64::try_from(n).unwrap_or(i64::MAX)))
        .collect()
}

/// The counters of a device that has carried nothing yet.
pub(super) fn fresh_counters(port: &PortState) -> (PortStats, BTreeMap<String, i64>) {
    let stats = counters(port.odp, None);
    let options = &port.config.options;
    let n = |queues: fn(&Pairs) -> u32| if port.kind == "dummy-pmd" { queues(options) } else { 1 };
    let none = |n: u32| vec![(0, 0); n as usize];
    let queues = QueueCounts { received: none(n(dummy_queues)), sent: none(n(dummy_sending_queues)) };
    let more = if port.kind.starts_with("dummy") { dummy_counters(&stats, &queues) } else { BTreeMap::new() };
    (stats, more)
}

/// The further counters of a dummy: those of its queues each way, and two counters of its own that count the same. One
/// queue alone has carried all.
pub(crate) fn dummy_counters(stats: &PortStats, queues: &QueueCounts) -> BTreeMap<String, i64> {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let own = ["rx_custom_packets_1", "rx_custom_packets_2"].map(|name| (name.to_owned(), number(stats.rx_packets)));
    let (received, sent) = ((stats.rx_packets, stats.rx_bytes), (stats.tx_packets, stats.tx_bytes));
    let of_queues = [("rx", &queues.received, received), ("tx", &queues.sent, sent)];
    let counted = of_queues.into_iter().flat_map(|(way, each, all)| {
        let each = if each.len() > 1 { each.clone() } else { vec![all] };
        let names = move |(i, (packets, bytes))| {
            [(format!("{way}_q{i}_packets"), number(packets)), (format!("{way}_q{i}_bytes"), number(bytes))]
        };
        each.into_iter().enumerate().flat_map(names)
    });
    own.into_iter().chain(counted).collect()
}
