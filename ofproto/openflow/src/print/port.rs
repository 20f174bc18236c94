//! Ports as text.

use std::fmt::Write;

use flow::text::mac;

use super::{Options, bit_names};
use crate::message::port::{PortReason, port_config, port_feature, port_state};
use crate::message::port_stats::RFC2819_NAMES;
use crate::message::{PortDesc, PortMod, PortStats, PortStatus};
use crate::names::Style;

const CONFIG: &[(u32, &str)] = &[
    (port_config::PORT_DOWN, "PORT_DOWN"),
    (port_config::NO_STP, "NO_STP"),
    (port_config::NO_RECV, "NO_RECV"),
    (port_config::NO_RECV_STP, "NO_RECV_STP"),
    (port_config::NO_FLOOD, "NO_FLOOD"),
    (port_config::NO_FWD, "NO_FWD"),
    (port_config::NO_PACKET_IN, "NO_PACKET_IN"),
];

const STATE: &[(u32, &str)] =
    &[(port_state::LINK_DOWN, "LINK_DOWN"), (port_state::BLOCKED, "BLOCKED"), (port_state::LIVE, "LIVE")];

const FEATURES: &[(u32, &str)] = &[
    (port_feature::HD_10MB, "10MB-HD"),
    (port_feature::FD_10MB, "10MB-FD"),
    (port_feature::HD_100MB, "100MB-HD"),
    (port_feature::FD_100MB, "100MB-FD"),
    (port_feature::HD_1GB, "1GB-HD"),
    (port_feature::FD_1GB, "1GB-FD"),
    (port_feature::FD_10GB, "10GB-FD"),
    (port_feature::FD_40GB, "40GB-FD"),
    (port_feature::FD_100GB, "100GB-FD"),
    (port_feature::FD_1TB, "1TB-FD"),
    (port_feature::OTHER, "OTHER"),
    (port_feature::COPPER, "COPPER"),
    (port_feature::FIBER, "FIBER"),
    (port_feature::AUTONEG, "AUTO_NEG"),
    (port_feature::PAUSE, "AUTO_PAUSE"),
    (port_feature::PAUSE_ASYM, "AUTO_PAUSE_ASYM"),
];

fn config(out: &mut String, bits: u32) {
    bit_names(out, bits, CONFIG, ' ');
    out.push('\n');
}

fn state(out: &mut String, bits: u32) {
    let mut bits = bits;
    let stp = bits & port_state::STP_MASK;
    // Listening is not shown: it would stand for every port that has no spanning tree.
    if stp != 0 {
        out.push_str(match stp {
            port_state::STP_LEARN => "STP_LEARN",
            port_state::STP_FORWARD => "STP_FORWARD",
            _ => "STP_BLOCK",
        });
        // Nothing stands between it and the others.
        bits &= !port_state::STP_MASK;
    }
    if bits != 0 || stp == 0 {
        bit_names(out, bits, STATE, ' ');
    }
    out.push('\n');
}

/// Appends the lines that describe a port.
pub fn port_desc(out: &mut String, desc: &PortDesc) {
    // As far as it can be printed.
    let name: String = desc.name.chars().take_while(|c| matches!(c, ' '..='~')).collect();
    let number = crate::names::Names::NONE.port(desc.port);
    put!(out, " {number}({name}): addr:{}\n", mac(desc.hw_addr));
    out.push_str("     config:     ");
    config(out, desc.config);
    out.push_str("     state:      ");
    state(out, desc.state);
    for (title, features) in [
        ("     current:    ", desc.curr),
        ("     advertised: ", desc.advertised),
        ("     supported:  ", desc.supported),
        ("     peer:       ", desc.peer),
    ] {
        if features != 0 {
            out.push_str(title);
            bit_names(out, features, FEATURES, ' ');
            out.push('\n');
        }
    }
    put!(out, "     speed: {} Mbps now, {} Mbps max\n", desc.curr_speed / 1000, desc.max_speed / 1000);
}

pub(super) fn status(out: &mut String, status: &PortStatus) {
    out.push_str(match status.reason {
        PortReason::Add => " ADD:",
        PortReason::Delete => " DEL:",
        PortReason::Modify => " MOD:",
    });
    port_desc(out, &status.desc);
}

pub(super) fn port_mod(out: &mut String, port_mod: &PortMod, style: &Style<'_>) {
    put!(out, " port: {}: addr:{}\n", style.names.port(port_mod.port), mac(port_mod.hw_addr));
    out.push_str("     config: ");
    config(out, port_mod.config);
    out.push_str("     mask:   ");
    config(out, port_mod.mask);
    out.push_str("     advertise: ");
    if port_mod.advertise == 0 {
        out.push_str("UNCHANGED\n");
    } else {
        bit_names(out, port_mod.advertise, FEATURES, ' ');
        out.push('\n');
    }
}

/// A counter behind its name, `?` if it is not known.
pub(super) fn counter(out: &mut String, title: &str, value: u64, last: bool) {
    out.push_str(title);
    if value == u64::MAX {
        out.push('?');
    } else {
        put!(out, "{value}");
    }
    out.push_str(if last { "\n" } else { ", " });
}

/// Names of the RFC 2819 counters as printed, without the direction.
fn rfc2819(out: &mut String, stats: &PortStats) {
    if stats.rfc2819.iter().all(|c| *c == u64::MAX) {
        return;
    }
    const RX: &[usize] = &[0, 1, 2, 3, 4, 5, 6, 15, 17, 18, 19, 20];
    const TX: &[usize] = &[7, 8, 9, 10, 11, 12, 13, 14, 16];
    for (title, order) in [("           rx rfc2819 ", RX), ("           tx rfc2819 ", TX)] {
        if order.iter().all(|i| stats.rfc2819[*i] == u64::MAX) {
            continue;
        }
        put!(out, "{title}");
        for i in order.iter().filter(|i| stats.rfc2819[**i] != u64::MAX) {
            let name = RFC2819_NAMES[*i];
            let name = match *i {
                19 | 20 => name,
                _ => &name[3..],
            };
            put!(out, "{name}={}, ", stats.rfc2819[*i]);
        }
        out.push('\n');
    }
}

fn custom(out: &mut String, stats: &PortStats) {
    if stats.custom.is_empty() {
        return;
    }
    out.push_str("           CUSTOM Statistics\n");
    let known: Vec<&(String, u64)> = stats.custom.iter().filter(|(_, value)| *value != u64::MAX).collect();
    for line in known.chunks(3) {
        out.push_str("                     ");
        for (name, value) in line {
            put!(out, " {name}={value},");
        }
        out.push('\n');
    }
}

pub(super) fn stats(out: &mut String, ports: &[PortStats], options: &Options<'_>) {
    put!(out, " {} ports\n", ports.len());
    if options.verbosity < 1 {
        return;
    }
    for stats in ports {
        one_stats(out, stats, options);
    }
}

fn one_stats(out: &mut String, stats: &PortStats, options: &Options<'_>) {
    let name = options.style.names.port(stats.port);
    let pad = if stats.port.0 < 10 { " " } else { "" };
    put!(out, "  port {pad}{name}: rx ");
    counter(out, "pkts=", stats.rx_packets, false);
    counter(out, "bytes=", stats.rx_bytes, false);
    counter(out, "drop=", stats.rx_dropped, false);
    counter(out, "errs=", stats.rx_errors, false);
    counter(out, "frame=", stats.rx_frame_err, false);
    counter(out, "over=", stats.rx_over_err, false);
    counter(out, "crc=", stats.rx_crc_err, true);
    out.push_str("           tx ");
    counter(out, "pkts=", stats.tx_packets, false);
    counter(out, "bytes=", stats.tx_bytes, false);
    counter(out, "drop=", stats.tx_dropped, false);
    counter(out, "errs=", stats.tx_errors, false);
    counter(out, "coll=", stats.collisions, true);
    if stats.duration_sec != u32::MAX {
        out.push_str("           duration=");
        super::duration(out, stats.duration_sec, stats.duration_nsec);
        out.push('\n');
    }
    rfc2819(out, stats);
    custom(out, stats);
}
