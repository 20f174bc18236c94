//! Packets and the messages that carry them as text.

use std::fmt::Write;

use flow::match_text::{self};

use super::{Options, hex};
use crate::action::reason_name;
use crate::flow_mod::format_match;
use crate::message::{Context, NO_BUFFER, PacketIn, PacketInPrivate, PacketOut};
use crate::names::{Names, Style};
use crate::{OfError, Version};

/// A packet's headers in one line, with the checksum of its transport.
pub fn packet_text(octets: &[u8]) -> String {
    packet_line(octets, flow::text::PLAIN)
}

fn packet_line(octets: &[u8], colors: flow::text::Colors) -> String {
    let (key, _) = flow::extract::extract(octets, 0);
    let options = match_text::Options { colors, ..match_text::Options::default() };
    let mut out = match_text::format_flow(&key, &options);
    checksum(&mut out, octets, &key);
    out.push('\n');
    out
}

/// Where the transport's header starts in a packet whose IP header has no surprises; nothing otherwise.
fn transport(octets: &[u8]) -> Option<&[u8]> {
    let mut at = 12;
    let mut ethertype = u16::from_be_bytes([*octets.get(at)?, *octets.get(at + 1)?]);
    while matches!(ethertype, 0x8100 | 0x88a8) {
        at += 4;
        ethertype = u16::from_be_bytes([*octets.get(at)?, *octets.get(at + 1)?]);
    }
    let ip = octets.get(at + 2..)?;
    match ethertype {
        0x0800 => {
            let len = usize::from(u16::from_be_bytes([*ip.get(2)?, *ip.get(3)?]));
            ip.get(..len).unwrap_or(ip).get(usize::from(ip.first()? & 0xf) * 4..)
        }
        0x86dd => {
            let len = 40 + usize::from(u16::from_be_bytes([*ip.get(4)?, *ip.get(5)?]));
            ip.get(..len).unwrap_or(ip).get(40..)
        }
        _ => None,
    }
}

fn checksum(out: &mut String, octets: &[u8], key: &flow::Key) {
    let ip4 = key.dl_type() == 0x0800;
    let ip6 = key.dl_type() == 0x86dd;
    if !ip4 && !ip6 {
        return;
    }
    let Some(header) = transport(octets) else { return };
    let (name, at, least) = match key.nw_proto() {
        6 => ("tcp_csum", 16, 20),
        17 => ("udp_csum", 6, 8),
        132 => ("sctp_csum", 8, 12),
        1 if ip4 => ("icmp_csum", 2, 8),
        58 if ip6 => ("icmp6_csum", 2, 4),
        _ => return,
    };
    if header.len() < least {
        return;
    }
    let width = if name == "sctp_csum" { 4 } else { 2 };
    let number = header[at..at + width].iter().fold(0u32, |n, o| (n << 8) | u32::from(*o));
    put!(out, " {name}:{number:x}");
}

fn hex_argument(octets: &[u8]) -> String {
    let pairs: Vec<String> = octets.iter().map(|o| format!("{o:02x}")).collect();
    pairs.join(".")
}

pub(super) fn packet_in(
    out: &mut String,
    packet_in: &PacketIn,
    version: Version,
    options: &Options<'_>,
) -> Result<(), OfError> {
    let style = &options.style;
    let private = match &packet_in.continuation {
        Some(private) => (**private).clone(),
        None => {
            let context = Context { loose: true, ..Context::UNKNOWN };
            PacketInPrivate::decode(&packet_in.raw_continuation, version, &context)?
        }
    };
    if packet_in.table_id != 0 {
        put!(out, " table_id={}", style.names.table(packet_in.table_id));
    }
    if packet_in.cookie != u64::MAX {
        put!(out, " cookie=0x{:x}", packet_in.cookie);
    }
    put!(out, " total_len={} ", packet_in.total_len);
    out.push_str(&format_match(&packet_in.flow_metadata, None, style));
    put!(out, " (via {})", reason_name(packet_in.reason));
    let len = packet_in.packet.len();
    put!(out, " data_len={len}");
    if packet_in.buffer_id == NO_BUFFER {
        out.push_str(" (unbuffered)");
        if packet_in.total_len as usize != len {
            out.push_str(" (***total_len != data_len***)");
        }
    } else {
        put!(out, " buffer=0x{:08x}", packet_in.buffer_id);
        if (packet_in.total_len as usize) < len {
            out.push_str(" (***total_len < data_len***)");
        }
    }
    out.push('\n');
    if !packet_in.userdata.is_empty() {
        put!(out, " userdata={}\n", hex_argument(&packet_in.userdata));
    }
    continuation(out, &private, style);
    if options.verbosity > 0 {
        out.push_str(&packet_line(&packet_in.packet, style.colors));
    }
    if options.verbosity > 2 {
        out.push_str(&hex::plain(&packet_in.packet));
    }
    Ok(())
}

fn continuation(out: &mut String, private: &PacketInPrivate, style: &Style<'_>) {
    if private.bridge != 0 {
        let b = format!("{:032x}", private.bridge);
        put!(out, " continuation.bridge={}-{}-{}-{}-{}\n", &b[..8], &b[8..12], &b[12..16], &b[16..20], &b[20..]);
    }
    if !private.stack.is_empty() {
        out.push_str(" continuation.stack=(top)");
        for item in private.stack.iter().rev() {
            put!(out, " {}", hex_number(item));
        }
        out.push_str(" (bottom)\n");
    }
    if private.mirrors != 0 {
        put!(out, " continuation.mirrors=0x{:x}\n", private.mirrors);
    }
    if private.conntracked {
        out.push_str(" continuation.conntracked=true\n");
    }
    if let Some(actions) = &private.actions {
        out.push_str(" continuation.actions=");
        crate::action::write(out, actions, &Style { names: Names::NONE, ..*style });
        out.push('\n');
    }
    if let Some(set) = &private.action_set {
        out.push_str(" continuation.action_set=");
        crate::action::write(out, set, &Style { names: Names::NONE, ..*style });
        out.push('\n');
    }
    if let Some(port) = private.odp_port.filter(|port| *port != 0) {
        put!(out, " continuation.odp_port={port}\n");
    }
}

/// A number of any width in hexadecimal, without leading zeros.
fn hex_number(octets: &[u8]) -> String {
    let digits: String = octets.iter().map(|o| format!("{o:02x}")).collect();
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() { "0".to_string() } else { format!("0x{digits}") }
}

pub(super) fn packet_out(out: &mut String, packet_out: &PacketOut, options: &Options<'_>) {
    let style = &options.style;
    out.push(' ');
    out.push_str(&format_match(&packet_out.flow_metadata, None, style));
    out.push(' ');
    // The word itself has no colour here.
    out.push_str("actions=");
    crate::action::write(out, &packet_out.actions, style);
    if packet_out.buffer_id != NO_BUFFER {
        put!(out, " buffer=0x{:08x}\n", packet_out.buffer_id);
        return;
    }
    put!(out, " data_len={}", packet_out.packet.len());
    if options.verbosity > 0 && !packet_out.packet.is_empty() {
        out.push('\n');
        out.push_str(&packet_line(&packet_out.packet, style.colors));
        if options.verbosity > 2 {
            out.push_str(&hex::plain(&packet_out.packet));
        }
    } else {
        out.push('\n');
    }
}
