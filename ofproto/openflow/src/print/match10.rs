//! OpenFlow 1.0's match as it is on the wire, every field shown, for high verbosity. OpenFlow 1.0 section 5.2.3.

use std::fmt::Write;

use crate::Names;
use crate::message::wire::Reader;

/// A match of 40 octets, wild fields as `*`; empty if there are fewer.
pub(super) fn text(octets: &[u8], names: &Names<'_>) -> String {
    read(octets, names).unwrap_or_default()
}

fn wild(out: &mut String, name: &str, is_wild: bool, value: impl std::fmt::Display) {
    match is_wild {
        true => put!(out, "{name}*,"),
        false => put!(out, "{name}{value},"),
    }
}

fn address(out: &mut String, name: &str, value: u32, wild_bits: u32) {
    out.push_str(name);
    if wild_bits >= 32 {
        out.push_str("*,");
    } else if wild_bits == 0 {
        put!(out, "{},", flow::text::ipv4(value));
    } else {
        put!(out, "{}/{},", flow::text::ipv4(value), 32 - wild_bits);
    }
}

fn read(octets: &[u8], names: &Names<'_>) -> Option<String> {
    let mut r = Reader::new(octets);
    let w = r.u32().ok()?;
    let in_port = names.port(r.port10().ok()?);
    let (src, dst) = (r.u48().ok()?, r.u48().ok()?);
    let (vlan, pcp) = (r.u16().ok()?, r.u8().ok()?);
    r.skip(1).ok()?;
    let (dl_type, tos, proto) = (r.u16().ok()?, r.u8().ok()?, r.u8().ok()?);
    r.skip(2).ok()?;
    let (nw_src, nw_dst, tp_src, tp_dst) = (r.u32().ok()?, r.u32().ok()?, r.u16().ok()?, r.u16().ok()?);
    let is = |bit: u32| w & bit != 0;
    let mut out = String::new();
    let (mut skip_type, mut skip_proto) = (false, false);
    if !is(1 << 4) {
        skip_type = true;
        let name = match (dl_type, is(1 << 5), proto) {
            (0x0800, false, 1) => "icmp,",
            (0x0800, false, 6) => "tcp,",
            (0x0800, false, 17) => "udp,",
            (0x0800, false, 132) => "sctp,",
            (0x0800, ..) => "ip,",
            (0x0806, ..) => "arp,",
            (0x8035, ..) => "rarp,",
            (0x8847, ..) => "mpls,",
            (0x8848, ..) => "mplsm,",
            _ => "",
        };
        skip_type &= !name.is_empty();
        skip_proto = matches!(name, "icmp," | "tcp," | "udp," | "sctp,");
        out.push_str(name);
    }
    wild(&mut out, "in_port=", is(1), in_port);
    wild(&mut out, "dl_vlan=", is(1 << 1), vlan);
    wild(&mut out, "dl_vlan_pcp=", is(1 << 20), pcp);
    wild(&mut out, "dl_src=", is(1 << 2), flow::text::mac(src));
    wild(&mut out, "dl_dst=", is(1 << 3), flow::text::mac(dst));
    if !skip_type {
        wild(&mut out, "dl_type=", is(1 << 4), format!("0x{dl_type:04x}"));
    }
    address(&mut out, "nw_src=", nw_src, (w >> 8) & 0x3f);
    address(&mut out, "nw_dst=", nw_dst, (w >> 14) & 0x3f);
    if !skip_proto {
        wild(&mut out, if dl_type == 0x0806 { "arp_op=" } else { "nw_proto=" }, is(1 << 5), proto);
    }
    wild(&mut out, "nw_tos=", is(1 << 21), tos);
    let names = if proto == 1 { ("icmp_type=", "icmp_code=") } else { ("tp_src=", "tp_dst=") };
    wild(&mut out, names.0, is(1 << 6), tp_src);
    wild(&mut out, names.1, is(1 << 7), tp_dst);
    out.pop();
    Some(out)
}
