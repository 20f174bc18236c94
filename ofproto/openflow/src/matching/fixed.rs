//! Matches as fixed structures: `ofp_match` of OpenFlow 1.0 and 1.1.
//!
//! Source: OpenFlow 1.0.2 section 5.2.3, OpenFlow 1.1 section A.2.3.

use super::Match;
use crate::message::wire;
use crate::wire::{Put, be16, be32, be64};
use crate::{ErrorCode, OfError, OfPort};

/// Octets of OpenFlow 1.0's match.
pub const OF10_MATCH_LEN: usize = 40;
/// Octets of OpenFlow 1.1's match.
pub const OF11_MATCH_LEN: usize = 88;

/// OpenFlow's number for frames without EtherType is the same as the key's.
const CFI: u16 = 0x1000;
const VID: u16 = 0x0fff;
const PCP: u16 = 0xe000;
const MAC: u64 = 0xffff_ffff_ffff;

/// Wildcard bits of OpenFlow 1.0.
mod w10 {
    pub const IN_PORT: u32 = 1;
    pub const DL_VLAN: u32 = 1 << 1;
    pub const DL_SRC: u32 = 1 << 2;
    pub const DL_DST: u32 = 1 << 3;
    pub const DL_TYPE: u32 = 1 << 4;
    pub const NW_PROTO: u32 = 1 << 5;
    pub const TP_SRC: u32 = 1 << 6;
    pub const TP_DST: u32 = 1 << 7;
    pub const NW_SRC_SHIFT: u32 = 8;
    pub const NW_DST_SHIFT: u32 = 14;
    pub const DL_VLAN_PCP: u32 = 1 << 20;
    pub const NW_TOS: u32 = 1 << 21;
    /// All of these together mean that nothing of the packet itself matters.
    pub const DATA: u32 = NW_TOS | NW_PROTO | TP_SRC | TP_DST | DL_SRC | DL_DST | DL_TYPE | DL_VLAN | DL_VLAN_PCP;
}

/// Wildcard bits of OpenFlow 1.1.
mod w11 {
    pub const IN_PORT: u32 = 1;
    pub const DL_VLAN: u32 = 1 << 1;
    pub const DL_VLAN_PCP: u32 = 1 << 2;
    pub const DL_TYPE: u32 = 1 << 3;
    pub const NW_TOS: u32 = 1 << 4;
    pub const NW_PROTO: u32 = 1 << 5;
    pub const TP_SRC: u32 = 1 << 6;
    pub const TP_DST: u32 = 1 << 7;
    pub const MPLS_LABEL: u32 = 1 << 8;
    pub const MPLS_TC: u32 = 1 << 9;
}

fn mac(b: &[u8], at: usize) -> u64 {
    (u64::from(be16(b, at)) << 32) | u64::from(be32(b, at + 2))
}

fn put_mac(b: &mut Vec<u8>, mac: u64) {
    b.extend_from_slice(&mac.to_be_bytes()[2..]);
}

/// The netmask of 6 wildcard bits: how many of the low bits do not matter, 32 and more for all.
fn netmask(wildcards: u32) -> u32 {
    let n = wildcards & 0x3f;
    if n < 32 { u32::MAX << n } else { 0 }
}

/// What [`netmask`] came from.
fn wildcard_bits(mask: u32) -> u32 {
    if mask == 0 { 32 } else { mask.trailing_zeros() }
}

/// Reads OpenFlow 1.0's match.
pub fn pull_of10(b: &[u8]) -> Match {
    let w = be32(b, 0) & 0x3f_ffff;
    let mut m = Match::any();
    let exact = |bit: u32| w & bit == 0;
    let (src_mask, dst_mask) = (netmask(w >> w10::NW_SRC_SHIFT), netmask(w >> w10::NW_DST_SHIFT));
    if w & w10::DATA != w10::DATA || src_mask != 0 || dst_mask != 0 {
        m.default_packet_type();
    }
    if exact(w10::IN_PORT) {
        m.set_in_port(OfPort(be16(b, 4)));
    }
    let (key, mask) = (&mut m.key, &mut m.mask);
    mask.set_dl_src(if exact(w10::DL_SRC) { MAC } else { 0 });
    mask.set_dl_dst(if exact(w10::DL_DST) { MAC } else { 0 });
    mask.set_dl_type(if exact(w10::DL_TYPE) { u16::MAX } else { 0 });
    mask.set_nw_tos(if exact(w10::NW_TOS) { 0xfc } else { 0 });
    mask.set_nw_proto(if exact(w10::NW_PROTO) { u8::MAX } else { 0 });
    mask.set_nw_src(src_mask);
    mask.set_nw_dst(dst_mask);
    mask.set_tp_src(if exact(w10::TP_SRC) { u16::MAX } else { 0 });
    mask.set_tp_dst(if exact(w10::TP_DST) { u16::MAX } else { 0 });
    key.set_dl_src(mac(b, 6));
    key.set_dl_dst(mac(b, 12));
    key.set_dl_type(be16(b, 22));
    key.set_nw_tos(b.get(24).map_or(0, |tos| tos & 0xfc));
    key.set_nw_proto(b.get(25).copied().unwrap_or(0));
    key.set_nw_src(be32(b, 28));
    key.set_nw_dst(be32(b, 32));
    key.set_tp_src(be16(b, 36));
    key.set_tp_dst(be16(b, 38));
    let vlan = be16(b, 18);
    if exact(w10::DL_VLAN) && vlan == 0xffff {
        mask.set_vlan_tci(u16::MAX);
    } else {
        let pcp_mask = if exact(w10::DL_VLAN_PCP) { PCP | CFI } else { 0 };
        let vid_mask = if exact(w10::DL_VLAN) { VID | CFI } else { 0 };
        let pcp = b.get(20).map_or(0, |pcp| u16::from(*pcp) << 13);
        mask.set_vlan_tci(pcp_mask | vid_mask);
        key.set_vlan_tci((vlan & VID) | pcp | CFI);
    }
    let mask = m.mask.clone();
    m.key.apply(&mask);
    m
}

/// Appends OpenFlow 1.0's match; what it cannot say is left out.
pub fn put_of10(b: &mut Vec<u8>, m: &Match) {
    let (key, mask) = (&m.key, &m.mask);
    let (tci, tci_mask) = (key.vlan_tci(), mask.vlan_tci());
    let wild = |is_wild: bool, bit: u32| if is_wild { bit } else { 0 };
    let mut w = wild(mask.in_port() == 0, w10::IN_PORT)
        | wild(mask.dl_type() == 0, w10::DL_TYPE)
        | wild(mask.nw_proto() == 0, w10::NW_PROTO)
        | wild(mask.nw_tos() & 0xfc == 0, w10::NW_TOS)
        | wild(mask.tp_src() == 0, w10::TP_SRC)
        | wild(mask.tp_dst() == 0, w10::TP_DST)
        | wild(mask.dl_src() == 0, w10::DL_SRC)
        | wild(mask.dl_dst() == 0, w10::DL_DST)
        | (wildcard_bits(mask.nw_src()) << w10::NW_SRC_SHIFT)
        | (wildcard_bits(mask.nw_dst()) << w10::NW_DST_SHIFT);
    let (mut vlan, mut pcp) = (0, 0);
    if tci_mask == 0 {
        w |= w10::DL_VLAN | w10::DL_VLAN_PCP;
    } else if tci_mask & CFI != 0 && tci & CFI == 0 {
        vlan = 0xffff;
    } else {
        w |= wild(tci_mask & VID == 0, w10::DL_VLAN) | wild(tci_mask & PCP == 0, w10::DL_VLAN_PCP);
        vlan = if tci_mask & VID == 0 { 0 } else { tci & VID };
        pcp = if tci_mask & PCP == 0 { 0 } else { (tci >> 13) as u8 };
    }
    b.put32(w);
    b.put16(OfPort::from_11(key.in_port()).map_or(0, |port| port.0));
    put_mac(b, key.dl_src());
    put_mac(b, key.dl_dst());
    b.put16(vlan);
    b.extend_from_slice(&[pcp, 0]);
    b.put16(key.dl_type());
    b.extend_from_slice(&[key.nw_tos() & 0xfc, key.nw_proto(), 0, 0]);
    b.put32(key.nw_src());
    b.put32(key.nw_dst());
    b.put16(key.tp_src());
    b.put16(key.tp_dst());
}

/// Reads OpenFlow 1.1's match, header included.
///
/// # Errors
/// OFPBMC_BAD_VALUE and OFPBMC_BAD_FIELD for values that no packet has.
pub fn pull_of11(b: &[u8]) -> Result<Match, OfError> {
    let w = be32(b, 8);
    let exact = |bit: u32| w & bit == 0;
    let mut m = Match::any();
    if exact(w11::IN_PORT) {
        m.set_in_port(wire::port11(be32(b, 4)).map_err(|error| error.under(ErrorCode::OFPBMC_BAD_VALUE))?);
    }
    let (src_mask, dst_mask) = (!mac(b, 18) & MAC, !mac(b, 30) & MAC);
    if src_mask != 0 || dst_mask != 0 {
        m.mask.set_dl_src(src_mask);
        m.key.set_dl_src(mac(b, 12) & src_mask);
        m.mask.set_dl_dst(dst_mask);
        m.key.set_dl_dst(mac(b, 24) & dst_mask);
        m.default_packet_type();
    }
    if exact(w11::DL_VLAN) {
        pull_vlan11(b, &mut m, exact(w11::DL_VLAN_PCP))?;
        m.default_packet_type();
    }
    if exact(w11::DL_TYPE) {
        m.key.set_dl_type(be16(b, 40));
        m.mask.set_dl_type(u16::MAX);
        m.default_packet_type();
    }
    let dl_type = m.key.dl_type();
    if dl_type == 0x0800 && exact(w11::NW_TOS) {
        let tos = b[42];
        if tos & 3 != 0 {
            return Err(ErrorCode::OFPBMC_BAD_VALUE.into());
        }
        m.key.set_nw_tos(tos);
        m.mask.set_nw_tos(0xfc);
    }
    if matches!(dl_type, 0x0800 | 0x0806 | 0x8035) {
        if exact(w11::NW_PROTO) {
            m.key.set_nw_proto(b[43]);
            m.mask.set_nw_proto(u8::MAX);
        }
        let (src_mask, dst_mask) = (!be32(b, 48), !be32(b, 56));
        m.mask.set_nw_src(src_mask);
        m.key.set_nw_src(be32(b, 44) & src_mask);
        m.mask.set_nw_dst(dst_mask);
        m.key.set_nw_dst(be32(b, 52) & dst_mask);
    }
    if dl_type == 0x0800 {
        pull_ports11(b, &mut m, exact(w11::TP_SRC), exact(w11::TP_DST))?;
    }
    if matches!(dl_type, 0x8847 | 0x8848) {
        if exact(w11::MPLS_LABEL) {
            m.set_exact(flow::Field::MplsLabel, be32(b, 64).into());
        }
        if exact(w11::MPLS_TC) {
            m.set_exact(flow::Field::MplsTc, b[68].into());
        }
    }
    m.mask.set_metadata(!be64(b, 80));
    m.key.set_metadata(be64(b, 72) & !be64(b, 80));
    Ok(m)
}

fn pull_vlan11(b: &[u8], m: &mut Match, pcp_exact: bool) -> Result<(), OfError> {
    let (mut tci, mut mask) = match be16(b, 36) {
        0xffff => {
            m.mask.set_vlan_tci(u16::MAX);
            return Ok(());
        }
        0xfffe => (CFI, CFI),
        vid if vid <= VID => (CFI | vid, CFI | VID),
        _ => return Err(ErrorCode::OFPBMC_BAD_VALUE.into()),
    };
    if pcp_exact {
        if b[38] > 7 {
            return Err(ErrorCode::OFPBMC_BAD_VALUE.into());
        }
        tci |= u16::from(b[38]) << 13;
        mask |= PCP;
    }
    m.key.set_vlan_tci(tci);
    m.mask.set_vlan_tci(mask);
    Ok(())
}

fn pull_ports11(b: &[u8], m: &mut Match, src_exact: bool, dst_exact: bool) -> Result<(), OfError> {
    let proto = m.key.nw_proto();
    let (src, dst) = (be16(b, 60), be16(b, 62));
    if !matches!(proto, 1 | 6 | 17 | 132) {
        return Ok(());
    }
    // ICMP's type and code have 8 bits; the specification leaves them out, but OpenFlow 1.0 had them.
    if proto == 1 && (src_exact && src > 0xff || dst_exact && dst > 0xff) {
        return Err(ErrorCode::OFPBMC_BAD_FIELD.into());
    }
    if src_exact {
        m.key.set_tp_src(src);
        m.mask.set_tp_src(u16::MAX);
    }
    if dst_exact {
        m.key.set_tp_dst(dst);
        m.mask.set_tp_dst(u16::MAX);
    }
    Ok(())
}

/// Appends OpenFlow 1.1's match, header included; what it cannot say is left out. Returns its length.
pub fn put_of11(b: &mut Vec<u8>, m: &Match) -> usize {
    let (key, mask) = (&m.key, &m.mask);
    let (tci, tci_mask) = (key.vlan_tci(), mask.vlan_tci());
    let lse_mask = mask.mpls_lse0();
    let wild = |is_wild: bool, bit: u32| if is_wild { bit } else { 0 };
    let mut w = wild(mask.in_port() == 0, w11::IN_PORT)
        | wild(mask.dl_type() == 0, w11::DL_TYPE)
        | wild(mask.nw_tos() & 0xfc == 0, w11::NW_TOS)
        | wild(mask.nw_proto() == 0, w11::NW_PROTO)
        | wild(mask.tp_src() == 0, w11::TP_SRC)
        | wild(mask.tp_dst() == 0, w11::TP_DST)
        | wild(lse_mask >> 12 == 0, w11::MPLS_LABEL)
        | wild(lse_mask >> 9 & 7 == 0, w11::MPLS_TC);
    let (mut vlan, mut pcp) = (0, 0);
    if tci_mask == 0 {
        w |= w11::DL_VLAN | w11::DL_VLAN_PCP;
    } else if tci_mask & CFI != 0 && tci & CFI == 0 {
        vlan = 0xffff;
        w |= w11::DL_VLAN_PCP;
    } else {
        vlan = if tci_mask & VID == 0 { 0xfffe } else { tci & VID };
        w |= wild(tci_mask & PCP == 0, w11::DL_VLAN_PCP);
        pcp = if tci_mask & PCP == 0 { 0 } else { (tci >> 13) as u8 };
    }
    b.put16(0);
    b.put16(OF11_MATCH_LEN as u16);
    b.put32(key.in_port());
    b.put32(w);
    put_mac(b, key.dl_src());
    put_mac(b, !mask.dl_src());
    put_mac(b, key.dl_dst());
    put_mac(b, !mask.dl_dst());
    b.put16(vlan);
    b.extend_from_slice(&[pcp, 0]);
    b.put16(key.dl_type());
    b.extend_from_slice(&[key.nw_tos() & 0xfc, key.nw_proto()]);
    b.put32(key.nw_src());
    b.put32(!mask.nw_src());
    b.put32(key.nw_dst());
    b.put32(!mask.nw_dst());
    b.put16(key.tp_src());
    b.put16(key.tp_dst());
    b.put32(if lse_mask >> 12 == 0 { 0 } else { key.mpls_lse0() >> 12 });
    b.extend_from_slice(&[if lse_mask >> 9 & 7 == 0 { 0 } else { (key.mpls_lse0() >> 9) as u8 & 7 }, 0, 0, 0]);
    b.put64(key.metadata());
    b.put64(!mask.metadata());
    OF11_MATCH_LEN
}
