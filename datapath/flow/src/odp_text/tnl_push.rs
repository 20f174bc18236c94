//! `tnl_push(…)`: an outer header shown and read field by field.

use super::key_parse::Parser;
use super::scan::Scan;
use super::tunnel;
use crate::odp::TnlPush;
use crate::text::{self, PortNames, put};
use packet::{erspan, ethernet, geneve, gre, gtpu, ipv4, ipv6, udp, vxlan};
use std::fmt::Write;

/// `OVS_VPORT_TYPE_*` numbers.
mod kind {
    pub(super) const GRE: u32 = 3;
    pub(super) const VXLAN: u32 = 4;
    pub(super) const GENEVE: u32 = 5;
    pub(super) const ERSPAN: u32 = 107;
    pub(super) const IP6ERSPAN: u32 = 108;
    pub(super) const IP6GRE: u32 = 109;
    pub(super) const GTPU: u32 = 110;
}

/// Longest outer header.
const MAX_HEADER: usize = 512;

pub(super) fn format(out: &mut String, push: &TnlPush, ports: Option<&dyn PortNames>) {
    put!(
        out,
        "tnl_push(tnl_port({}),header(size={},type={},",
        super::port(push.tnl_port, ports),
        push.header.len(),
        push.tnl_type
    );
    if header(out, push).is_none() {
        out.push_str("invalid");
    }
    put!(out, "),out_port({}))", super::port(push.out_port, ports));
}

fn header(out: &mut String, push: &TnlPush) -> Option<()> {
    let octets = &push.header[..];
    let eth = ethernet::Packet::new(octets).ok()?;
    put!(out, "eth(dst={},src={},dl_type=0x{:04x}),", text::mac(eth.dst()), text::mac(eth.src()), eth.ethertype());
    let l3 = &octets[ethernet::HEADER_LEN..];
    let l4 = if eth.ethertype() == 0x86dd {
        let ip = ipv6::Packet::new(l3).ok()?;
        put!(
            out,
            "ipv6(src={},dst={},label={},proto={},tclass=0x{:x},hlimit={}),",
            text::ipv6(ip.src()),
            text::ipv6(ip.dst()),
            ip.label(),
            ip.next_header(),
            ip.traffic_class(),
            ip.hop_limit()
        );
        &l3[ipv6::HEADER_LEN..]
    } else {
        let ip = ipv4::Packet::new(l3).ok()?;
        let frag = u16::from_be_bytes([l3[6], l3[7]]);
        put!(
            out,
            "ipv4(src={},dst={},proto={},tos={},ttl={},frag=0x{frag:x}),",
            text::ipv4(ip.src()),
            text::ipv4(ip.dst()),
            ip.proto(),
            text::hex(ip.tos().into()),
            ip.ttl()
        );
        &l3[ipv4::HEADER_LEN..]
    };
    match push.tnl_type {
        kind::GRE | kind::IP6GRE => format_gre(out, l4),
        kind::ERSPAN | kind::IP6ERSPAN => format_erspan(out, l4),
        kind => {
            let head = udp::Packet::new(l4).ok()?;
            put!(out, "udp(src={},dst={},csum=0x{:x}),", head.src(), head.dst(), head.csum());
            format_udp_tunnel(out, kind, head.payload())
        }
    }
}

fn format_udp_tunnel(out: &mut String, kind: u32, octets: &[u8]) -> Option<()> {
    match kind {
        kind::VXLAN => {
            let flags = u32::from_be_bytes(*octets.first_chunk()?);
            let vxlan = vxlan::Packet::new(octets).ok()?;
            put!(out, "vxlan(flags=0x{flags:x},vni=0x{:x})", vxlan.vni());
        }
        kind::GENEVE => {
            let head = geneve::Packet::new(octets).ok()?;
            out.push_str("geneve(");
            for (set, name) in [(head.oam(), "oam,"), (head.critical(), "crit,")] {
                if set != 0 {
                    out.push_str(name);
                }
            }
            put!(out, "vni=0x{:x}", head.vni());
            if head.option_words() != 0 {
                out.push_str(",options(");
                tunnel::format_options(out, head.option_octets().ok()?, None, false);
                out.push(')');
            }
            out.push(')');
        }
        kind::GTPU => {
            let head = gtpu::Packet::new(octets).ok()?;
            put!(out, "gtpu(flags=0x{:x},msgtype={},teid=0x{:x})", head.flags(), head.msg_type(), head.teid());
        }
        _ => return None,
    }
    Some(())
}

fn format_gre(out: &mut String, octets: &[u8]) -> Option<()> {
    let head = gre::Packet::new(octets).ok()?;
    let flags = u16::from_be_bytes([octets[0], octets[1]]);
    put!(out, "gre((flags=0x{flags:x},proto=0x{:x})", head.protocol());
    if head.has_csum() != 0 {
        put!(out, ",csum=0x{:x}", u16::from_be_bytes([*octets.get(4)?, *octets.get(5)?]));
    }
    if let Some(key) = head.key() {
        put!(out, ",key=0x{key:x}");
    }
    if let Some(seq) = head.seq() {
        put!(out, ",seq=0x{seq:x}");
    }
    out.push(')');
    Some(())
}

fn format_erspan(out: &mut String, octets: &[u8]) -> Option<()> {
    let gre = gre::Packet::new(octets).ok()?;
    let octets = octets.get(gre.header_len()..)?;
    let head = erspan::Packet::new(octets).ok()?;
    let version = head.version();
    put!(out, "erspan(ver={version},sid=0x{:x},", head.session());
    if version == 1 {
        put!(out, "idx=0x{:x})", head.word() & 0xf_ffff);
    } else {
        let tail = u16::from_be_bytes([*octets.get(10)?, *octets.get(11)?]);
        put!(out, "dir={},hwid=0x{:x})", tail >> 3 & 1, tail >> 4 & 0x3f);
    }
    Some(())
}

/// Reads the contents of `tnl_push(…)`, the closing parenthesis included.
pub(super) fn parse(scan: &mut Scan<'_>, port: impl Fn(&mut Scan<'_>) -> Option<u32>) -> Option<TnlPush> {
    scan.expect("tnl_port(")?;
    let tnl_port = port(scan)?;
    scan.expect("),header(size=")?;
    let size = usize::try_from(scan.number()?).ok().filter(|n| *n <= MAX_HEADER)?;
    scan.expect(",type=")?;
    let tnl_type = u32::try_from(scan.number()?).ok()?;
    scan.expect(",")?;
    let header = parse_header(scan, tnl_type)?;
    scan.expect("),out_port(")?;
    let out_port = port(scan)?;
    scan.expect("))")?;
    (header.len() == size).then_some(TnlPush { tnl_port, out_port, tnl_type, header })
}

/// A number's low bits, in decimal.
fn field(scan: &mut Scan<'_>, name: &str) -> Option<u64> {
    scan.expect(name)?;
    scan.low_bits()
}

/// A number's low bits, in hexadecimal alone.
fn hex_field(scan: &mut Scan<'_>, name: &str) -> Option<u64> {
    scan.expect(name)?;
    if scan.peek("0x") { scan.low_bits() } else { None }
}

fn parse_header(scan: &mut Scan<'_>, tnl_type: u32) -> Option<Vec<u8>> {
    scan.expect("eth(dst=")?;
    let (dst, _) = scan.mac()?;
    scan.expect(",src=")?;
    let (src, _) = scan.mac()?;
    let ethertype = hex_field(scan, ",dl_type=")? as u16;
    scan.expect("),")?;
    let mut header = ethernet::Repr { dst, src, ethertype }.octets().to_vec();
    if scan.eat("ipv6(src=") {
        let src = scan.ipv6_address()?;
        scan.expect(",dst=")?;
        let dst = scan.ipv6_address()?;
        let label = field(scan, ",label=")? as u32;
        let next_header = field(scan, ",proto=")? as u8;
        let traffic_class = hex_field(scan, ",tclass=")? as u8;
        let hop_limit = field(scan, ",hlimit=")? as u8;
        let ip = ipv6::Repr { version: 6, traffic_class, label, payload_len: 0, next_header, hop_limit, src, dst };
        header.extend(ip.octets());
    } else {
        scan.expect("ipv4(src=")?;
        let (src, _) = scan.ipv4()?;
        scan.expect(",dst=")?;
        let (dst, _) = scan.ipv4()?;
        let proto = field(scan, ",proto=")? as u8;
        let tos = field(scan, ",tos=")? as u8;
        let ttl = field(scan, ",ttl=")? as u8;
        let frag = hex_field(scan, ",frag=")? as u16;
        let ip = ipv4::Repr { version: 4, ihl: 5, tos, ttl, proto, src, dst, ..Default::default() };
        let mut octets = ip.octets();
        octets[6..8].copy_from_slice(&frag.to_be_bytes());
        if let Ok(mut ip) = ipv4::Packet::new(&mut octets[..]) {
            ip.fill_csum();
        }
        header.extend(octets);
    }
    scan.expect("),")?;
    match tnl_type {
        kind::GRE | kind::IP6GRE => header.extend(parse_gre(scan)?),
        kind::ERSPAN | kind::IP6ERSPAN => header.extend(parse_erspan(scan)?),
        _ => {
            let src = field(scan, "udp(src=")? as u16;
            let dst = field(scan, ",dst=")? as u16;
            let csum = hex_field(scan, ",csum=")? as u16;
            scan.expect("),")?;
            header.extend(udp::Repr { src, dst, len: 0, csum }.octets());
            header.extend(parse_udp_tunnel(scan, tnl_type)?);
        }
    }
    Some(header)
}

fn parse_udp_tunnel(scan: &mut Scan<'_>, tnl_type: u32) -> Option<Vec<u8>> {
    let mut octets = match tnl_type {
        kind::VXLAN => {
            let flags = hex_field(scan, "vxlan(flags=")? as u32;
            let vni = hex_field(scan, ",vni=")? as u32;
            [flags.to_be_bytes(), (vni << 8).to_be_bytes()].concat()
        }
        kind::GENEVE => {
            scan.expect("geneve(")?;
            let oam = u8::from(scan.eat("oam,"));
            let critical = u8::from(scan.eat("crit,"));
            let vni = hex_field(scan, "vni=")? as u32;
            let mut options = Vec::new();
            if scan.eat(",options(") {
                (options, _) = tunnel::parse_options(scan)?;
                scan.expect(")")?;
            }
            let option_words = (options.len() / 4) as u8;
            let head = geneve::Repr { option_words, oam, critical, protocol: gre::ETHERNET, vni, ..Default::default() };
            [&head.octets()[..], &options].concat()
        }
        kind::GTPU => {
            let flags = hex_field(scan, "gtpu(flags=")? as u8;
            let msg_type = field(scan, ",msgtype=")? as u8;
            let teid = hex_field(scan, ",teid=")? as u32;
            gtpu::Repr { flags, msg_type, len: 0, teid }.octets().to_vec()
        }
        _ => return None,
    };
    scan.expect(")")?;
    octets.shrink_to_fit();
    Some(octets)
}

fn parse_gre(scan: &mut Scan<'_>) -> Option<Vec<u8>> {
    let flags = hex_field(scan, "gre((flags=")? as u16;
    let proto = hex_field(scan, ",proto=")? as u16;
    scan.expect(")")?;
    let mut octets = [flags.to_be_bytes(), proto.to_be_bytes()].concat();
    if flags & 0x8000 != 0 {
        let csum = hex_field(scan, ",csum=")? as u16;
        octets.extend(csum.to_be_bytes());
        octets.extend([0, 0]);
    }
    for (flag, name) in [(0x2000, ",key="), (0x1000, ",seq=")] {
        if flags & flag != 0 {
            octets.extend((hex_field(scan, name)? as u32).to_be_bytes());
        }
    }
    scan.expect(")")?;
    Some(octets)
}

fn parse_erspan(scan: &mut Scan<'_>) -> Option<Vec<u8>> {
    let version = field(scan, "erspan(ver=")? as u8;
    let session = hex_field(scan, ",sid=")? as u16;
    let protocol = if version == 1 { gre::ERSPAN2 } else { gre::ERSPAN3 };
    let mut octets = gre::Repr { has_seq: 1, protocol, ..Default::default() }.octets().to_vec();
    octets.extend([0; 4]);
    if version == 1 {
        let word = hex_field(scan, ",idx=")? as u32 & 0xf_ffff;
        octets.extend(erspan::Repr { version, session, word, ..Default::default() }.octets());
    } else {
        let dir = field(scan, ",dir=")? as u16 & 1;
        let hwid = hex_field(scan, ",hwid=")? as u16 & 0x3f;
        octets.extend(erspan::Repr { version, session, ..Default::default() }.octets());
        octets.extend([0, 0]);
        octets.extend((hwid << 4 | dir << 3).to_be_bytes());
    }
    scan.expect(")")?;
    Some(octets)
}

/// Reads one group of a `set(…)`.
pub(super) fn parse_set_group<'a>(scan: &mut Scan<'_>, ports: Option<&'a dyn PortNames>) -> Option<Parser<'a>> {
    let mut parser = Parser::new(ports);
    parser.group(scan)?;
    Some(parser)
}
