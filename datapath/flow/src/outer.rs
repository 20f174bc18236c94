//! Outer headers of tunnels, made of what a packet's key says of its tunnel.
//!
//! Lengths, the UDP source port, sequence numbers, and checksums that cover the packet are left for whoever puts the header
//! in front of one.
//!
//! Sources: RFC 7348 and draft-ietf-nvo3-vxlan-gpe-12 (VXLAN), RFC 8926 (Geneve), RFC 2784 and 2890 (GRE),
//! draft-foschiano-erspan-03, 3GPP TS 29.281 (GTP-U); ovs-fields(7).

use packet::ipv4::proto::{GRE, UDP};

use crate::extract::ethertype::{IPV4, IPV6, NSH};
use crate::field::TunTable;
use crate::{Key, tun_flag};

/// Where an IPv6 address is an IPv4 one.
const MAPPED: u128 = 0xffff_0000_0000;

/// What packets of a tunnel are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelKind {
    /// VXLAN.
    Vxlan {
        /// With group policy.
        gbp: bool,
        /// With a next protocol.
        gpe: bool,
    },
    /// Geneve.
    Geneve,
    /// GRE over IPv4 or IPv6.
    Gre,
    /// ERSPAN over IPv4 or IPv6.
    Erspan,
    /// GTP-U.
    Gtpu,
}

impl TunnelKind {
    /// The protocol of IP that carries it.
    pub fn protocol(self) -> u8 {
        match self {
            TunnelKind::Gre | TunnelKind::Erspan => GRE,
            TunnelKind::Vxlan { .. } | TunnelKind::Geneve | TunnelKind::Gtpu => UDP,
        }
    }
}

/// The ends of an outer packet; IPv4 addresses mapped into IPv6 (`::ffff:a.b.c.d`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Ends {
    /// Ethernet address it is sent from.
    pub src_mac: u64,
    /// Ethernet address it is sent to.
    pub dst_mac: u64,
    /// Address it is sent from.
    pub src: u128,
    /// Address it is sent to.
    pub dst: u128,
}

/// Whether it is an IPv4 address.
pub fn is_v4(address: u128) -> bool {
    address >> 32 == MAPPED >> 32
}

/// Where a packet's tunnel leads from and to, as its key has it; 0 for an end that it does not tell.
pub fn ends_of(key: &Key) -> (u128, u128) {
    let one = |v4: u32, v6: u128| if v4 != 0 { MAPPED | u128::from(v4) } else { v6 };
    (one(key.tun_src(), key.tun_ipv6_src()), one(key.tun_dst(), key.tun_ipv6_dst()))
}

/// Writes a whole outer header into `out`, which is empty, as a packet's tunnel fields say (options in the datapath's form); `seq`: GRE's
/// packets are numbered. `None` if there is none of the kind for this packet, or of its version.
pub fn write(out: &mut Vec<u8>, kind: TunnelKind, seq: bool, ends: &Ends, flow: &Key) -> Option<()> {
    out.extend_from_slice(&ends.dst_mac.to_be_bytes()[2..]);
    out.extend_from_slice(&ends.src_mac.to_be_bytes()[2..]);
    if is_v4(ends.dst) {
        ipv4(out, kind.protocol(), flow, ends);
    } else {
        ipv6(out, kind.protocol(), flow, ends);
    }
    let flags = flow.tun_flags();
    if kind.protocol() == UDP {
        let csum = flags & tun_flag::CSUM != 0 || !is_v4(ends.dst);
        out.extend_from_slice(&0u16.to_be_bytes());
        out.extend_from_slice(&flow.tun_tp_dst().to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&(if csum { u16::MAX } else { 0 }).to_be_bytes());
    }
    match kind {
        TunnelKind::Vxlan { gbp, gpe } => vxlan(out, gbp, gpe, flow)?,
        TunnelKind::Geneve => geneve(out, flow),
        TunnelKind::Gtpu => {
            out.extend_from_slice(&[packet::gtpu::FLAGS_DEFAULT, packet::gtpu::MSG_GPDU, 0, 0]);
            out.extend_from_slice(&(flow.tun_id() as u32).to_be_bytes());
        }
        TunnelKind::Gre => gre(out, seq, flow),
        TunnelKind::Erspan => erspan(out, flow)?,
    }
    Some(())
}

fn ipv4(out: &mut Vec<u8>, proto: u8, flow: &Key, ends: &Ends) {
    out.extend_from_slice(&IPV4.to_be_bytes());
    let frag = if flow.tun_flags() & tun_flag::DONT_FRAGMENT != 0 { 0x40 } else { 0 };
    let at = out.len();
    out.extend_from_slice(&[0x45, flow.tun_tos(), 0, 0, 0, 0, frag, 0, flow.tun_ttl(), proto, 0, 0]);
    out.extend_from_slice(&(ends.src as u32).to_be_bytes());
    out.extend_from_slice(&(ends.dst as u32).to_be_bytes());
    if let Ok(mut head) = packet::ipv4::Packet::new(&mut out[at..]) {
        head.fill_csum();
    }
}

fn ipv6(out: &mut Vec<u8>, proto: u8, flow: &Key, ends: &Ends) {
    out.extend_from_slice(&IPV6.to_be_bytes());
    let word = 6u32 << 28 | u32::from(flow.tun_tos()) << 20;
    out.extend_from_slice(&word.to_be_bytes());
    out.extend_from_slice(&[0, 0, proto, flow.tun_ttl()]);
    out.extend_from_slice(&ends.src.to_be_bytes());
    out.extend_from_slice(&ends.dst.to_be_bytes());
}

fn vxlan(out: &mut Vec<u8>, gbp: bool, gpe: bool, flow: &Key) -> Option<()> {
    let mut flags = u32::from(packet::vxlan::HAS_VNI) << 24;
    if gbp && flow.tun_gbp_id() != 0 {
        flags |= u32::from(packet::vxlan::HAS_GBP) << 24
            | u32::from(flow.tun_gbp_flags()) << 16
            | u32::from(flow.tun_gbp_id());
    } else if gpe {
        flags |= u32::from(packet::vxlan::HAS_NEXT) << 24 | u32::from(next_protocol(flow.packet_type())?);
    }
    out.extend_from_slice(&flags.to_be_bytes());
    out.extend_from_slice(&((flow.tun_id() as u32) << 8).to_be_bytes());
    Some(())
}

/// What VXLAN calls what it carries; `None` for what it has no number for. Source: draft-ietf-nvo3-vxlan-gpe-12, section 3.1.
fn next_protocol(packet_type: u32) -> Option<u8> {
    Some(match packet_type as u16 {
        _ if packet_type == 0 => 3,
        IPV4 => 1,
        IPV6 => 2,
        NSH => 4,
        _ => return None,
    })
}

fn geneve(out: &mut Vec<u8>, flow: &Key) {
    let options = TunTable::wire_options(flow);
    let critical =
        packet::geneve::options(&options).map_while(Result::ok).any(|o| o.kind & packet::geneve::CRITICAL != 0);
    let oam = flow.tun_flags() & tun_flag::OAM != 0;
    out.extend_from_slice(&[(options.len() / 4) as u8, u8::from(oam) << 7 | u8::from(critical) << 6]);
    out.extend_from_slice(&packet::gre::ETHERNET.to_be_bytes());
    out.extend_from_slice(&((flow.tun_id() as u32) << 8).to_be_bytes());
    out.extend_from_slice(&options);
}

fn gre(out: &mut Vec<u8>, seq: bool, flow: &Key) {
    let has = |flag: u16| flow.tun_flags() & flag != 0;
    let (csum, has_key) = (has(tun_flag::CSUM), has(tun_flag::KEY));
    let mut flags = 0u16;
    for (on, bit) in [(csum, 0x8000), (has_key, 0x2000), (seq, 0x1000)] {
        flags |= if on { bit } else { 0 };
    }
    let carried = if flow.packet_type() == 0 { packet::gre::ETHERNET } else { flow.packet_type() as u16 };
    out.extend_from_slice(&flags.to_be_bytes());
    out.extend_from_slice(&carried.to_be_bytes());
    if csum {
        out.extend_from_slice(&[0; 4]);
    }
    if has_key {
        out.extend_from_slice(&(flow.tun_id() as u32).to_be_bytes());
    }
    if seq {
        out.extend_from_slice(&[0; 4]);
    }
}

fn erspan(out: &mut Vec<u8>, flow: &Key) -> Option<()> {
    let version = flow.tun_erspan_ver();
    if !(1..=2).contains(&version) {
        return None;
    }
    let session = (flow.tun_id() & 0x3ff) as u16;
    let carried = if version == 1 { packet::gre::ERSPAN2 } else { packet::gre::ERSPAN3 };
    out.extend_from_slice(&0x1000u16.to_be_bytes());
    out.extend_from_slice(&carried.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(u16::from(version) << 12).to_be_bytes());
    out.extend_from_slice(&session.to_be_bytes());
    if version == 1 {
        let index = flow.tun_erspan_idx();
        out.extend_from_slice(&(index & 0xf_ffff).to_be_bytes());
    } else {
        let direction = u16::from(flow.tun_erspan_dir() & 1);
        let hardware = u16::from(flow.tun_erspan_hwid() & 0x3f);
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&(hardware << 4 | direction << 3).to_be_bytes());
    }
    Some(())
}
