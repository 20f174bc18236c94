//! The families of metrics: of a switch, of a database server, and of any program made of actors.

use super::exposition::{Exposition, Kind};
use super::survey::{PortFigures, Survey};
use crate::mailbox;
use crate::switch::commands::DROP_REASONS;
use crate::unixctl::coverage;
use std::collections::BTreeMap;

/// Of a counter or gauge: its name, its help, and how it is read.
type Figure<T> = (&'static str, &'static str, fn(&T) -> u64);

const PORT_COUNTERS: &[Figure<PortFigures>] = &[
    ("troupe_port_receive_packets_total", "Packets received.", |p| p.stats.rx_packets),
    ("troupe_port_receive_bytes_total", "Octets received.", |p| p.stats.rx_bytes),
    ("troupe_port_receive_lost_total", "Packets lost before the switch could receive them.", |p| p.rx_lost),
    ("troupe_port_transmit_packets_total", "Packets sent.", |p| p.stats.tx_packets),
    ("troupe_port_transmit_bytes_total", "Octets sent.", |p| p.stats.tx_bytes),
    ("troupe_port_transmit_dropped_total", "Packets that the port had no room for.", |p| p.stats.tx_dropped),
    ("troupe_port_transmit_errors_total", "Packets that the device refused.", |p| p.stats.tx_errors),
];

const PORT_GAUGES: &[Figure<PortFigures>] = &[
    ("troupe_port_up", "Whether the port's link is up.", |p| u64::from(p.status.link_up)),
    ("troupe_port_mtu_bytes", "The port's MTU.", |p| p.status.mtu.and_then(|m| u64::try_from(m).ok()).unwrap_or(0)),
];

const DATAPATH_COUNTERS: &[Figure<dp::Stats>] = &[
    ("troupe_datapath_packets_total", "Packets received.", |s| s.received),
    ("troupe_datapath_bursts_total", "Bursts with at least one packet.", |s| s.bursts),
    ("troupe_datapath_recirculations_total", "Further passes of packets.", |s| s.recirculated),
    ("troupe_datapath_misses_total", "Passes that no flow matched, handed up.", |s| s.misses),
    ("troupe_datapath_misses_lost_total", "Passes that no flow matched, and that could not be handed up.", |s| s.lost),
    ("troupe_datapath_action_upcalls_total", "Packets handed up by actions.", |s| s.action_upcalls),
    ("troupe_datapath_subtable_lookups_total", "Subtables looked into.", |s| s.subtable_lookups),
    ("troupe_datapath_output_batches_total", "Batches handed to ports.", |s| s.output_batches),
    ("troupe_datapath_output_packets_total", "Packets handed to ports.", |s| s.output_packets),
];

/// The families of a switch.
pub(super) fn of_switch(survey: &Survey, out: &mut Exposition) {
    out.family("troupe_bridge_rules", Kind::Gauge, "OpenFlow rules.");
    for (bridge, rules) in &survey.rules {
        out.sample(&[("bridge", bridge)], rules);
    }
    for (list, kind) in [(PORT_COUNTERS, Kind::Counter), (PORT_GAUGES, Kind::Gauge)] {
        for (name, help, read) in list {
            out.family(name, kind, help);
            for (port, figures) in &survey.ports {
                out.sample(&[("bridge", &figures.bridge), ("port", port)], read(figures));
            }
        }
    }
    of_datapaths(survey, out);
}

fn of_datapaths(survey: &Survey, out: &mut Exposition) {
    for (name, help, read) in DATAPATH_COUNTERS {
        out.family(name, Kind::Counter, help);
        for (datapath, report) in &survey.datapaths {
            out.sample(&[("datapath", datapath)], read(&report.stats));
        }
    }
    out.family("troupe_datapath_hits_total", Kind::Counter, "Passes decided by a cache.");
    for (datapath, report) in &survey.datapaths {
        let stats = &report.stats;
        for (cache, hits) in [
            ("simple", stats.simple_hits),
            ("exact", stats.emc_hits),
            ("signature", stats.smc_hits),
            ("megaflow", stats.megaflow_hits),
        ] {
            out.sample(&[("datapath", datapath), ("cache", cache)], hits);
        }
    }
    out.family("troupe_datapath_drops_total", Kind::Counter, "Packets dropped, by reason.");
    for (datapath, report) in &survey.datapaths {
        for (reason, text) in DROP_REASONS {
            out.sample(&[("datapath", datapath), ("reason", text)], report.stats.dropped(*reason));
        }
    }
    for (name, help, read) in [
        ("troupe_datapath_flows", "Cached flows.", (|r| r.flows) as fn(&crate::msg::datapath::DatapathReport) -> usize),
        ("troupe_datapath_masks", "Masks of cached flows.", |r| r.masks),
        ("troupe_datapath_exact_match_entries", "Entries of the exact-match cache in use.", |r| r.emc_entries),
    ] {
        out.family(name, Kind::Gauge, help);
        for (datapath, report) in &survey.datapaths {
            out.sample(&[("datapath", datapath)], read(report));
        }
    }
}

/// The families of a database server, from the figures of its `memory/show`: words `KIND:NUMBER`.
pub(super) fn of_database(figures: &str, out: &mut Exposition) {
    out.family("troupe_ovsdb_objects", Kind::Gauge, "What the database server keeps in memory.");
    for (kind, number) in figures.split_whitespace().filter_map(|word| word.split_once(':')) {
        if let Ok(number) = number.parse::<u64>() {
            out.sample(&[("kind", kind)], number);
        }
    }
}

/// The families that every program made of actors has.
pub(super) fn of_process(out: &mut Exposition) {
    out.family("troupe_info", Kind::Gauge, "The program's version.");
    out.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    if let Some(octets) = resident_octets() {
        out.family("process_resident_memory_bytes", Kind::Gauge, "Memory in use.");
        out.sample(&[], octets);
    }
    out.family("troupe_events_total", Kind::Counter, "Events of coverage/show.");
    for (event, total) in coverage::totals() {
        out.sample(&[("event", event)], total);
    }
    let actors = actors();
    let figures: [MailboxFigure; 5] = [
        ("troupe_actor_mailbox_depth", Kind::Gauge, "Messages that wait.", |m| m.depth),
        ("troupe_actor_mailbox_capacity", Kind::Gauge, "Messages that fit.", |m| m.capacity),
        ("troupe_actor_messages_total", Kind::Counter, "Messages handled.", |m| m.handled),
        ("troupe_actor_messages_lost_total", Kind::Counter, "Messages lost for want of room.", |m| m.lost),
        ("troupe_actor_restarts_total", Kind::Counter, "Times an actor was started anew.", |m| m.restarts),
    ];
    for (name, kind, help, read) in figures {
        out.family(name, kind, help);
        for ((kind, actor), mailbox) in &actors {
            out.sample(&[("actor", actor), ("kind", kind)], read(mailbox));
        }
    }
}

/// Name, kind and help of a family, and how it is read.
type MailboxFigure = (&'static str, Kind, &'static str, fn(&Mailbox) -> u64);

#[derive(Default)]
struct Mailbox {
    depth: u64,
    capacity: u64,
    handled: u64,
    lost: u64,
    restarts: u64,
}

/// Every actor by kind and name; sessions, which come and go, summed up under one name a kind.
fn actors() -> BTreeMap<(&'static str, String), Mailbox> {
    let mut actors: BTreeMap<(&'static str, String), Mailbox> = BTreeMap::new();
    for card in mailbox::cards() {
        let name = if card.name().contains("session") { "sessions".to_owned() } else { card.name().to_owned() };
        let counts = card.counts();
        let sum = actors.entry((card.kind(), name)).or_default();
        sum.depth += counts.depth;
        sum.capacity += counts.capacity as u64;
        sum.handled += counts.handled;
        sum.lost += counts.lost;
        sum.restarts += counts.restarts;
    }
    actors
}

/// Memory in use, octets.
fn resident_octets() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kb| kb * 1024)
}
