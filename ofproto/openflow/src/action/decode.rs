//! Actions and instructions from the wire.
//!
//! One function reads each form; [`identify`] knows which number means what in which version, and how long it may be.
//! Source: OpenFlow 1.0-1.5, ovs-actions(7).

use flow::field::{Field, TunTable, Value};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::check::{Instruction, check_dst, check_src, output_port_ok, verify_list};
use super::learn_wire::pull_learn;
use super::*;
use crate::nxm::{self, Place};
use crate::wire::{be16, be32, be64, zero_from};
use crate::{ErrorCode, NX_VENDOR_ID, ONF_VENDOR_ID, OfPort, Version};

/// Circumstances in which actions are read.
#[derive(Clone, Copy, Debug)]
pub struct Decoding<'a> {
    /// Version of the message.
    pub version: Version,
    /// The bridge's tunnel options; `None` reads them without knowledge of any.
    pub tun: Option<&'a TunTable>,
    /// Allow the debugging actions, as a switch under test does.
    pub debug: bool,
}

impl Decoding<'_> {
    /// Reading without a bridge.
    pub fn new(version: Version) -> Decoding<'static> {
        Decoding { version, tun: None, debug: false }
    }
}

type Res<T> = Result<T, ErrorCode>;
type Reader = fn(&[u8], &Decoding<'_>, usize) -> Res<Action>;

/// How long an action may be: exactly so many octets, or at least.
#[derive(Clone, Copy)]
enum Length {
    Exactly(usize),
    AtLeast(usize),
}
use Length::{AtLeast, Exactly};

/// Most ports in a bundle.
const MAX_MEMBERS: u16 = 2048;
/// NXM_OF_IN_PORT, the only type of bundle members.
const MEMBER_TYPE: u32 = 0x0000_0002;

fn standard(version: Version, kind: u16) -> Option<(Length, Reader)> {
    let v = version.wire();
    Some(match (kind, v) {
        (0, 1) => (Exactly(8), |a, _, _| output(OfPort(be16(a, 4)), be16(a, 6))),
        (0, _) => (Exactly(16), |a, _, _| {
            output(OfPort::from_11(be32(a, 4)).ok_or(ErrorCode::OFPBAC_BAD_OUT_PORT)?, be16(a, 8))
        }),
        (1, 1) => (Exactly(8), |a, _, _| vlan_vid(be16(a, 4), true)),
        (1, _) => (Exactly(8), |a, _, _| vlan_vid(be16(a, 4), false)),
        (2, 1) => (Exactly(8), |a, _, _| vlan_pcp(a[4], true)),
        (2, _) => (Exactly(8), |a, _, _| vlan_pcp(a[4], false)),
        (3, 1) => (Exactly(8), |_, _, _| Ok(Action::StripVlan { pop: false })),
        (4, 1) | (3, _) => (Exactly(16), |a, _, _| Ok(Action::SetEthSrc(be64(a, 4) >> 16))),
        (5, 1) | (4, _) => (Exactly(16), |a, _, _| Ok(Action::SetEthDst(be64(a, 4) >> 16))),
        (6, 1) | (5, _) => (Exactly(8), |a, _, _| Ok(Action::SetIpv4Src(be32(a, 4)))),
        (7, 1) | (6, _) => (Exactly(8), |a, _, _| Ok(Action::SetIpv4Dst(be32(a, 4)))),
        (8, 1) | (7, _) => (Exactly(8), |a, _, _| argument(a[4] & 3 == 0, Action::SetIpDscp(a[4]))),
        (8, _) => (Exactly(8), |a, _, _| argument(a[4] & !3 == 0, Action::SetIpEcn(a[4]))),
        (9, _) => (Exactly(8), |a, _, _| Ok(Action::SetL4SrcPort { port: be16(a, 4), proto: 0 })),
        (10, _) => (Exactly(8), |a, _, _| Ok(Action::SetL4DstPort { port: be16(a, 4), proto: 0 })),
        (11, 1) => (Exactly(16), |a, _, _| enqueue(OfPort(be16(a, 4)), be32(a, 12))),
        (13, 2..) => (Exactly(8), |a, _, _| Ok(Action::SetMplsLabel(be32(a, 4)))),
        (14, 2..) => (Exactly(8), |a, _, _| Ok(Action::SetMplsTc(a[4]))),
        (15, 2..) => (Exactly(8), |a, _, _| Ok(Action::SetMplsTtl(a[4]))),
        (16, 2..) => (Exactly(8), |_, _, _| Ok(Action::DecMplsTtl)),
        (17, 2..) => (Exactly(8), |a, _, _| {
            let ethertype = be16(a, 4);
            argument(matches!(ethertype, 0x8100 | 0x88a8), Action::PushVlan { ethertype })
        }),
        (18, 2..) => (Exactly(8), |_, _, _| Ok(Action::StripVlan { pop: true })),
        (19, 2..) => (Exactly(8), |a, _, _| push_mpls(be16(a, 4))),
        (20, 2..) => (Exactly(8), |a, _, _| Ok(Action::PopMpls { ethertype: be16(a, 4) })),
        (21, 2..) => (Exactly(8), |a, _, _| Ok(Action::SetQueue(be32(a, 4)))),
        (22, 2..) => (Exactly(8), |a, _, _| Ok(Action::Group(be32(a, 4)))),
        (23, 2..) => (Exactly(8), |a, _, _| Ok(Action::SetIpTtl(a[4]))),
        (24, 2..) => (Exactly(8), |_, _, _| Ok(Action::DecTtl(None))),
        (25, 3..6) => (AtLeast(8), |a, d, _| set_field(a, d, false)),
        (25, 6) => (AtLeast(8), |a, d, _| set_field(a, d, true)),
        (28, 6) => (AtLeast(16), |a, d, _| copy_field(a, d, [6, 8, 4], 12, true)),
        (29, 6) => (Exactly(8), |a, _, _| Ok(Action::Meter(be32(a, 4)))),
        _ => return None,
    })
}

fn nicira(version: Version, kind: u16) -> Option<(Length, Reader)> {
    let v = version.wire();
    Some(match (kind, v) {
        (1, _) => (Exactly(16), |a, _, _| {
            let in_port = OfPort(be16(a, 10));
            Ok(Action::Resubmit(Resubmit { in_port, table: 0xff, with_ct_orig: false, form: ResubmitForm::Port }))
        }),
        (2, _) => (Exactly(16), |a, _, _| Ok(Action::SetTunnel { id: be32(a, 12).into(), wide: false })),
        (4, 1) => (Exactly(16), |a, _, _| Ok(Action::SetQueue(be32(a, 12)))),
        (5, _) => (Exactly(16), |_, _, _| Ok(Action::PopQueue)),
        (6, ..6) => (AtLeast(16), |a, d, _| copy_field(a, d, [12, 14, 10], 16, false)),
        (7, ..6) => (Exactly(24), |a, d, _| reg_load(a, d)),
        (8, _) => (AtLeast(16), |a, _, _| Ok(Action::Note(a[10..].into()))),
        (9, _) => (Exactly(24), |a, _, _| Ok(Action::SetTunnel { id: be64(a, 16), wide: true })),
        (10, _) => (Exactly(32), |a, d, _| multipath(a, d)),
        (12, _) => (AtLeast(32), |a, d, _| bundle(a, d, false)),
        (13, _) => (AtLeast(32), |a, d, _| bundle(a, d, true)),
        (14, _) => (Exactly(16), |a, _, _| resubmit_table(a, false)),
        (15, _) => (Exactly(24), |a, d, _| output_reg(a, d, false)),
        (16, _) => (AtLeast(32), |a, d, _| pull_learn(a, d, false)),
        (17, _) => (Exactly(16), |_, _, _| Ok(Action::Exit)),
        (18, 1) => (Exactly(16), |_, _, _| Ok(Action::DecTtl(None))),
        (19, _) => (Exactly(16), |a, _, _| Ok(Action::FinTimeout { idle: be16(a, 10), hard: be16(a, 12) })),
        (20, _) => (Exactly(16), |a, _, _| Ok(controller(a))),
        (21, _) => (AtLeast(16), |a, _, _| dec_ttl_ids(a)),
        (22, _) => (Exactly(32), |a, _, _| {
            must_be_zero(&a[10..16])?;
            Ok(Action::WriteMetadata { metadata: be64(a, 16), mask: be64(a, 24) })
        }),
        (23, 1) => (Exactly(16), |a, _, _| push_mpls(be16(a, 10))),
        (24, 1) => (Exactly(16), |a, _, _| Ok(Action::PopMpls { ethertype: be16(a, 10) })),
        (25, 1) => (Exactly(16), |a, _, _| Ok(Action::SetMplsTtl(a[10]))),
        (26, 1) => (Exactly(16), |_, _, _| Ok(Action::DecMplsTtl)),
        (27, _) => (Exactly(24), |a, d, _| stack(a, d, true)),
        (28, _) => (Exactly(24), |a, d, _| stack(a, d, false)),
        (29, _) => (Exactly(24), |a, _, _| sample(a, 1)),
        (30, 1) => (Exactly(16), |a, _, _| Ok(Action::SetMplsLabel(be32(a, 12)))),
        (31, 1) => (Exactly(16), |a, _, _| Ok(Action::SetMplsTc(a[10]))),
        (32, _) => (Exactly(24), |a, d, _| output_reg(a, d, true)),
        (33, ..6) => (AtLeast(16), |a, d, _| reg_load2(a, d)),
        (34, _) => (Exactly(16), |a, _, _| conjunction(a)),
        (35, _) => (AtLeast(24), ct),
        (36, _) => (AtLeast(16), |a, _, _| nat(a)),
        (37, _) => (AtLeast(16), |a, _, _| controller2(a)),
        (38, _) => (Exactly(32), |a, _, _| sample(a, 2)),
        (39, _) => (Exactly(16), |a, _, _| {
            let (port, max_len) = (OfPort(be16(a, 10)), be32(a, 12));
            argument(max_len >= 14, Action::OutputTrunc { port, max_len })
        }),
        (40, 1) => (Exactly(16), |a, _, _| Ok(Action::Group(be32(a, 12)))),
        (41, _) => (Exactly(32), |a, _, _| sample(a, 3)),
        (42, _) => (AtLeast(16), |a, d, depth| {
            let list = read_list(&a[16..], d, depth + 1)?;
            verify_list(&list, d.version, Instruction::APPLY_ONLY, None).map_err(|e| e.0)?;
            Ok(Action::Clone(list.into()))
        }),
        (43, _) => (Exactly(16), |_, _, _| Ok(Action::CtClear)),
        (44, _) => (Exactly(16), |a, _, _| resubmit_table(a, true)),
        (45, _) => (AtLeast(40), |a, d, _| pull_learn(a, d, true)),
        (46, 4..) => (AtLeast(16), |a, _, _| encap(a)),
        (47, 4..) => (AtLeast(16), |a, _, _| {
            if a.len() > 16 {
                return Err(ErrorCode::NXBAC_UNKNOWN_ED_PROP);
            }
            let new = be32(a, 12);
            Ok(Action::Decap { new_packet_type: (new != USE_NEXT_PROTO).then_some(new) })
        }),
        (48, 4..) => (Exactly(16), |_, _, _| Ok(Action::DecNshTtl)),
        (49, _) => (Exactly(24), |a, d, _| check_pkt_larger(a, d)),
        (50, _) => (Exactly(24), |a, d, _| Ok(Action::DeleteField(nxm::pull_header(&mut &a[10..], d.tun)?))),
        (254, _) => (Exactly(16), |_, d, _| debug(d, Action::DebugSlow)),
        (255, _) => (Exactly(16), |_, d, _| debug(d, Action::DebugRecirc)),
        _ => return None,
    })
}

/// Packet type of a `decap` that takes what the header says.
pub(super) const USE_NEXT_PROTO: u32 = 0x0000_fffe;

fn debug(d: &Decoding<'_>, action: Action) -> Res<Action> {
    if d.debug { Ok(action) } else { Err(ErrorCode::OFPBAC_BAD_VENDOR_TYPE) }
}

fn argument(ok: bool, action: Action) -> Res<Action> {
    if ok { Ok(action) } else { Err(ErrorCode::OFPBAC_BAD_ARGUMENT) }
}

fn must_be_zero(b: &[u8]) -> Res<()> {
    if zero_from(b, 0) { Ok(()) } else { Err(ErrorCode::NXBRC_MUST_BE_ZERO) }
}

/// Which action starts at `b`.
fn identify(b: &[u8], d: &Decoding<'_>) -> Res<(Length, Reader)> {
    if b.len() < 8 {
        return Err(ErrorCode::OFPBAC_BAD_LEN);
    }
    let kind = be16(b, 0);
    if kind != 0xffff {
        return standard(d.version, kind).ok_or(ErrorCode::OFPBAC_BAD_TYPE);
    }
    let vendor = be32(b, 4);
    if vendor != NX_VENDOR_ID && vendor != ONF_VENDOR_ID {
        return Err(ErrorCode::OFPBAC_BAD_VENDOR);
    }
    if b.len() < 16 {
        return Err(ErrorCode::OFPBAC_BAD_LEN);
    }
    let subtype = be16(b, 8);
    let found = match vendor {
        NX_VENDOR_ID => nicira(d.version, subtype),
        _ if subtype == 3200 && matches!(d.version, Version::V13 | Version::V14) => {
            Some((AtLeast(24), (|a, d, _| copy_field(a, d, [14, 16, 12], 20, true)) as Reader))
        }
        _ => None,
    };
    found.ok_or(ErrorCode::OFPBAC_BAD_VENDOR_TYPE)
}

/// Reads all of `b` as a list of actions, without looking at their order.
fn read_list(mut b: &[u8], d: &Decoding<'_>, depth: usize) -> Res<Vec<Action>> {
    if !b.len().is_multiple_of(8) {
        return Err(ErrorCode::OFPBRC_BAD_LEN);
    }
    if depth > MAX_DEPTH {
        return Err(ErrorCode::OFPBAC_BAD_ARGUMENT);
    }
    let mut list = Vec::new();
    while !b.is_empty() {
        let (length, read) = identify(b, d)?;
        let len = usize::from(be16(b, 2));
        let fits = match length {
            Exactly(n) => len == n,
            AtLeast(n) => len >= n,
        };
        if !fits || len > b.len() || len % 8 != 0 {
            return Err(ErrorCode::OFPBAC_BAD_LEN);
        }
        list.push(read(&b[..len], d, depth)?);
        b = &b[len..];
    }
    Ok(list)
}

/// Reads all of `b` as a list of actions, as packet-outs and group buckets have it.
///
/// # Errors
/// The OFPBAC_*, OFPBMC_*, OFPBIC_* and Nicira codes of what is wrong first.
pub fn pull_actions(b: &[u8], d: &Decoding<'_>) -> Res<Actions> {
    let list = read_list(b, d, 0)?;
    verify_list(&list, d.version, Instruction::APPLY_OR_METER, None).map_err(|e| e.0)?;
    Ok(list.into())
}

/// Reads all of `b` as instructions (OpenFlow 1.0: as actions), as flow-mods and flow statistics have it.
///
/// # Errors
/// The OFPBIC_* codes, and those of [`pull_actions`].
pub fn pull_instructions(b: &[u8], d: &Decoding<'_>) -> Res<Actions> {
    let list = match d.version {
        Version::V10 => read_list(b, d, 0)?,
        _ => instructions(b, d)?,
    };
    verify_list(&list, d.version, Instruction::ALL, None).map_err(|e| e.0)?;
    Ok(list.into())
}

fn instructions(b: &[u8], d: &Decoding<'_>) -> Res<Vec<Action>> {
    if !b.len().is_multiple_of(8) {
        return Err(ErrorCode::OFPBIC_BAD_LEN);
    }
    // By number: goto-table, write-metadata, write-actions, apply-actions, clear-actions, meter.
    let mut found: [Option<&[u8]>; 7] = [None; 7];
    let mut rest = b;
    while !rest.is_empty() {
        let len = usize::from(be16(rest, 2));
        if len % 8 != 0 || len < 8 || len > rest.len() {
            return Err(ErrorCode::OFPBIC_BAD_LEN);
        }
        let kind = usize::from(be16(rest, 0));
        let length_ok = match kind {
            1 | 5 | 6 => len == 8,
            2 => len == 24,
            3 | 4 => true,
            0xffff => return Err(ErrorCode::OFPBIC_BAD_EXPERIMENTER),
            _ => return Err(ErrorCode::OFPBIC_UNKNOWN_INST),
        };
        if !length_ok {
            return Err(ErrorCode::OFPBIC_BAD_LEN);
        }
        if kind == 6 && d.version >= Version::V15 {
            return Err(ErrorCode::OFPBIC_UNKNOWN_INST);
        }
        if found[kind].replace(&rest[..len]).is_some() {
            return Err(ErrorCode::OFPBIC_DUP_INST);
        }
        rest = &rest[len..];
    }
    let mut list = Vec::new();
    if let Some(i) = found[6] {
        list.push(Action::Meter(be32(i, 4)));
    }
    if let Some(i) = found[4] {
        list.extend(read_list(&i[8..], d, 0)?);
    }
    if found[5].is_some() {
        list.push(Action::ClearActions);
    }
    if let Some(i) = found[3] {
        let set = read_list(&i[8..], d, 1)?;
        if !set.iter().all(super::set::is_allowed_in_set) {
            return Err(ErrorCode::OFPBAC_BAD_TYPE);
        }
        list.push(Action::WriteActions(set.into()));
    }
    if let Some(i) = found[2] {
        list.push(Action::WriteMetadata { metadata: be64(i, 8), mask: be64(i, 16) });
    }
    if let Some(i) = found[1] {
        list.push(Action::GotoTable(i[4]));
    }
    Ok(list)
}

fn output(port: OfPort, max_len: u16) -> Res<Action> {
    if output_port_ok(port, OfPort(crate::port_no::MAX)) {
        Ok(Action::Output { port, max_len })
    } else {
        Err(ErrorCode::OFPBAC_BAD_OUT_PORT)
    }
}

fn enqueue(port: OfPort, queue: u32) -> Res<Action> {
    if port.is_physical() || matches!(port, OfPort::IN_PORT | OfPort::LOCAL) {
        Ok(Action::Enqueue { port, queue })
    } else {
        Err(ErrorCode::OFPBAC_BAD_OUT_PORT)
    }
}

fn vlan_vid(vid: u16, push_if_needed: bool) -> Res<Action> {
    argument(vid <= 0xfff, Action::SetVlanVid { vid, push_if_needed, flow_has_vlan: false })
}

fn vlan_pcp(pcp: u8, push_if_needed: bool) -> Res<Action> {
    argument(pcp <= 7, Action::SetVlanPcp { pcp, push_if_needed, flow_has_vlan: false })
}

fn push_mpls(ethertype: u16) -> Res<Action> {
    argument(matches!(ethertype, 0x8847 | 0x8848), Action::PushMpls { ethertype })
}

/// The subfield of a 32-bit header and 16 bits of `(ofs << 6) | (n_bits - 1)`.
pub(super) fn subfield32(header: u32, ofs_nbits: u16, d: &Decoding<'_>) -> Res<Subfield> {
    let field = nxm::from_header32(header, d.tun)?;
    Ok(Subfield { field, ofs: ofs_nbits >> 6, n_bits: (ofs_nbits & 0x3f) + 1 })
}

fn set_field(a: &[u8], d: &Decoding<'_>, may_mask: bool) -> Res<Action> {
    let mut b = &a[4..];
    let entry = nxm::pull_entry(&mut b, Place::Action, d.tun)?;
    let field = entry.field?;
    if entry.header.has_mask && !may_mask {
        return Err(ErrorCode::OFPBAC_BAD_SET_MASK);
    }
    let is_vid_without_present =
        field == Field::VlanVid && (entry.mask.to_u128() & 0x1000 == 0 || entry.value.to_u128() & 0x1000 == 0);
    if !zero_from(b, 0)
        || field == Field::InPortOxm
        || !field.meta().writable
        || !field.is_value_valid(&entry.value)
        || is_vid_without_present
    {
        return Err(ErrorCode::OFPBAC_BAD_SET_ARGUMENT);
    }
    Ok(set(field, entry.value, entry.mask, SetFieldForm::SetField))
}

fn set(field: Field, value: Value, mask: Value, form: SetFieldForm) -> Action {
    Action::SetField(Box::new(SetField { field, value: value.and(&mask), mask, flow_has_vlan: false, form }))
}

fn reg_load(a: &[u8], d: &Decoding<'_>) -> Res<Action> {
    let dst = subfield32(be32(a, 12), be16(a, 10), d)?;
    check_dst(&dst, None, d.tun)?;
    let number = be64(a, 16);
    if dst.n_bits < 64 && number >> dst.n_bits != 0 {
        return Err(ErrorCode::OFPBAC_BAD_ARGUMENT);
    }
    let mut value = Value::zeros(nxm::n_bytes(dst.field, d.tun));
    let mut mask = value.clone();
    value.set_subfield(dst.ofs.into(), dst.n_bits.into(), number.into());
    mask.set_subfield(dst.ofs.into(), dst.n_bits.into(), u128::MAX);
    Ok(set(dst.field, value, mask, SetFieldForm::Load))
}

fn reg_load2(a: &[u8], d: &Decoding<'_>) -> Res<Action> {
    let mut b = &a[10..];
    let entry = nxm::pull_entry(&mut b, Place::Action, d.tun)?;
    let field = entry.field?;
    if !zero_from(b, 0) || !field.meta().writable {
        return Err(ErrorCode::OFPBAC_BAD_SET_ARGUMENT);
    }
    Ok(set(field, entry.value, entry.mask, SetFieldForm::LongLoad))
}

/// Reads a copy of bits; `at` has the places of source offset, destination offset and number of bits.
fn copy_field(a: &[u8], d: &Decoding<'_>, at: [usize; 3], headers: usize, onf: bool) -> Res<Action> {
    let n_bits = be16(a, at[2]);
    let mut b = &a[headers..];
    let src = Subfield { field: nxm::pull_header(&mut b, d.tun)?, ofs: be16(a, at[0]), n_bits };
    let dst = Subfield { field: nxm::pull_header(&mut b, d.tun)?, ofs: be16(a, at[1]), n_bits };
    must_be_zero(b)?;
    check_src(&src, None, d.tun)?;
    check_dst(&dst, None, d.tun)?;
    Ok(Action::RegMove { src, dst, onf })
}

fn stack(a: &[u8], d: &Decoding<'_>, push: bool) -> Res<Action> {
    let mut b = &a[12..];
    let field = nxm::pull_header(&mut b, d.tun)?;
    let sub = Subfield { field, ofs: be16(a, 10), n_bits: be16(b, 0) };
    must_be_zero(&b[2..])?;
    if push {
        check_src(&sub, None, d.tun)?;
        Ok(Action::StackPush(sub))
    } else {
        check_dst(&sub, None, d.tun)?;
        Ok(Action::StackPop(sub))
    }
}

fn output_reg(a: &[u8], d: &Decoding<'_>, long_form: bool) -> Res<Action> {
    let (src, max_len) = if long_form {
        let mut b = &a[14..];
        let field = nxm::pull_header(&mut b, d.tun)?;
        must_be_zero(b)?;
        let ofs_nbits = be16(a, 10);
        (Subfield { field, ofs: ofs_nbits >> 6, n_bits: (ofs_nbits & 0x3f) + 1 }, be16(a, 12))
    } else {
        if !zero_from(a, 18) {
            return Err(ErrorCode::OFPBAC_BAD_ARGUMENT);
        }
        (subfield32(be32(a, 12), be16(a, 10), d)?, be16(a, 16))
    };
    check_src(&src, None, d.tun)?;
    Ok(Action::OutputReg { src, max_len, long_form })
}

/// The fields to hash of a number on the wire.
pub(super) fn hash_fields(number: u16) -> Option<HashFields> {
    use HashFields as H;
    [H::EthSrc, H::SymmetricL4, H::SymmetricL3L4, H::SymmetricL3L4Udp, H::NwSrc, H::NwDst, H::SymmetricL3]
        .into_iter()
        .find(|f| *f as u16 == number)
}

fn multipath(a: &[u8], d: &Decoding<'_>) -> Res<Action> {
    use MultipathAlgorithm as M;
    let dst = subfield32(be32(a, 28), be16(a, 26), d)?;
    let fields = hash_fields(be16(a, 10)).ok_or(ErrorCode::OFPBAC_BAD_ARGUMENT)?;
    let algorithms = [M::ModuloN, M::HashThreshold, M::Hrw, M::IterHash];
    let algorithm = *algorithms.get(usize::from(be16(a, 16))).ok_or(ErrorCode::OFPBAC_BAD_ARGUMENT)?;
    let max_link = be16(a, 18);
    if u32::from(dst.n_bits) < 32 - u32::from(max_link).leading_zeros() {
        return Err(ErrorCode::OFPBAC_BAD_ARGUMENT);
    }
    check_dst(&dst, None, d.tun)?;
    Ok(Action::Multipath(Box::new(Multipath {
        fields,
        basis: be16(a, 12),
        algorithm,
        max_link,
        arg: be32(a, 20),
        dst,
    })))
}

fn bundle(a: &[u8], d: &Decoding<'_>, load: bool) -> Res<Action> {
    let n = be16(a, 20);
    let algorithm = be16(a, 10);
    let reserved_ok = load || be32(a, 16) == MEMBER_TYPE && zero_from(&a[28..32], 0);
    let field = if load { Some(nxm::from_header32(be32(a, 24), d.tun)?) } else { None };
    let members = a[32..].get(..usize::from(n) * 2).ok_or(ErrorCode::OFPBAC_BAD_LEN)?;
    let fields = hash_fields(be16(a, 12)).ok_or(ErrorCode::OFPBAC_BAD_ARGUMENT)?;
    if n > MAX_MEMBERS || algorithm > 1 || !reserved_ok {
        return Err(ErrorCode::OFPBAC_BAD_ARGUMENT);
    }
    let dst = if let Some(field) = field {
        let dst = Subfield { field, ofs: be16(a, 22) >> 6, n_bits: (be16(a, 22) & 0x3f) + 1 };
        if dst.n_bits < 16 {
            return Err(ErrorCode::OFPBAC_BAD_ARGUMENT);
        }
        Some(dst)
    } else if zero_from(&a[22..28], 0) {
        None
    } else {
        return Err(ErrorCode::OFPBAC_BAD_ARGUMENT);
    };
    let members: Vec<OfPort> = members.chunks_exact(2).map(|o| OfPort(be16(o, 0))).collect();
    let bundle = Bundle { fields, basis: be16(a, 14), hrw: algorithm == 1, dst, members };
    super::check::check_bundle(&bundle, OfPort(crate::port_no::MAX), None, d.tun)?;
    Ok(Action::Bundle(Box::new(bundle)))
}

fn resubmit_table(a: &[u8], with_ct_orig: bool) -> Res<Action> {
    if !zero_from(a, 13) {
        return Err(ErrorCode::OFPBAC_BAD_ARGUMENT);
    }
    let form = if with_ct_orig { ResubmitForm::TableCt } else { ResubmitForm::Table };
    Ok(Action::Resubmit(Resubmit { in_port: OfPort(be16(a, 10)), table: a[12], with_ct_orig, form }))
}

fn controller(a: &[u8]) -> Action {
    Action::Controller(Box::new(Controller {
        max_len: be16(a, 10),
        controller_id: be16(a, 12),
        reason: a[14],
        userdata: Vec::new(),
        pause: false,
        meter_id: None,
        property_form: false,
    }))
}

fn controller2(a: &[u8]) -> Res<Action> {
    must_be_zero(&a[10..16])?;
    let mut c = Controller {
        max_len: u16::MAX,
        controller_id: 0,
        reason: REASON_ACTION,
        userdata: Vec::new(),
        pause: false,
        meter_id: None,
        property_form: true,
    };
    let mut rest = &a[16..];
    while !rest.is_empty() {
        let len = usize::from(be16(rest, 2));
        let padded = len.next_multiple_of(8);
        if rest.len() < 4 || len < 4 || padded > rest.len() {
            return Err(ErrorCode::OFPBPC_BAD_LEN);
        }
        let body = &rest[4..len];
        let least = |n: usize| if body.len() >= n { Ok(()) } else { Err(ErrorCode::OFPBPC_BAD_LEN) };
        match be16(rest, 0) {
            0 => least(2).map(|()| c.max_len = be16(body, 0))?,
            1 => least(2).map(|()| c.controller_id = be16(body, 0))?,
            2 => least(1).map(|()| c.reason = body[0])?,
            3 => c.userdata = body.to_vec(),
            4 => c.pause = true,
            5 if body.len() != 4 => return Err(ErrorCode::OFPBPC_BAD_LEN),
            5 => c.meter_id = Some(be32(body, 0)).filter(|id| *id != NO_METER),
            0xffff if body.len() < 8 => return Err(ErrorCode::OFPBPC_BAD_LEN),
            0xffff if matches!(be32(body, 0), NX_VENDOR_ID | ONF_VENDOR_ID) => {
                return Err(ErrorCode::OFPBPC_BAD_EXP_TYPE);
            }
            0xffff => return Err(ErrorCode::OFPBPC_BAD_EXPERIMENTER),
            _ => return Err(ErrorCode::OFPBPC_BAD_TYPE),
        }
        rest = &rest[padded..];
    }
    Ok(Action::Controller(Box::new(c)))
}

/// Meter number of a `controller` without one.
pub(super) const NO_METER: u32 = 0;
/// Packet-in reason `action`.
pub(super) const REASON_ACTION: u8 = 1;

fn dec_ttl_ids(a: &[u8]) -> Res<Action> {
    must_be_zero(&a[12..16])?;
    let n = usize::from(be16(a, 10));
    let ids = a[16..].get(..n * 2).ok_or(ErrorCode::OFPBAC_BAD_LEN)?;
    Ok(Action::DecTtl(Some(ids.chunks_exact(2).map(|o| be16(o, 0)).collect())))
}

fn sample(a: &[u8], form: u8) -> Res<Action> {
    if form == 3 && !zero_from(a, 27) {
        return Err(ErrorCode::NXBRC_MUST_BE_ZERO);
    }
    let direction = match a.get(26).filter(|_| form == 3) {
        None | Some(0) => SampleDirection::Default,
        Some(1) => SampleDirection::Ingress,
        Some(2) => SampleDirection::Egress,
        Some(_) => return Err(ErrorCode::OFPBAC_BAD_ARGUMENT),
    };
    let sampling_port = if form == 1 { OfPort::NONE } else { OfPort(be16(a, 24)) };
    let sample = Sample {
        probability: be16(a, 10),
        collector_set_id: be32(a, 12),
        obs_domain_id: be32(a, 16),
        obs_point_id: be32(a, 20),
        sampling_port,
        direction,
        form,
    };
    argument(sample.probability != 0, Action::Sample(Box::new(sample)))
}

fn conjunction(a: &[u8]) -> Res<Action> {
    let (clause, n_clauses) = (a[10], a[11]);
    if !(2..=64).contains(&n_clauses) || clause >= n_clauses {
        return Err(ErrorCode::NXBAC_BAD_CONJUNCTION);
    }
    Ok(Action::Conjunction { id: be32(a, 12), clause, n_clauses })
}

fn ct(a: &[u8], d: &Decoding<'_>, depth: usize) -> Res<Action> {
    let flags = be16(a, 10);
    let (commit, force) = (flags & 1 != 0, flags & 2 != 0);
    if force && !commit {
        return Err(ErrorCode::OFPBAC_BAD_ARGUMENT);
    }
    let zone = match be32(a, 12) {
        0 => CtZone::Imm(be16(a, 16)),
        header => {
            let src = subfield32(header, be16(a, 16), d)?;
            check_src(&src, None, d.tun)?;
            if src.n_bits != 16 {
                return Err(ErrorCode::OFPBAC_BAD_SET_LEN);
            }
            CtZone::Field(src)
        }
    };
    let list = read_list(&a[24..], d, depth + 1)?;
    verify_list(&list, d.version, Instruction::APPLY_ONLY, Some("ct")).map_err(|e| e.0)?;
    let plain_nat = |a: &Action| {
        let Action::Nat(nat) = a else { return false };
        nat.addresses.is_none() && nat.direction.is_none() && !nat.persistent && !nat.hash && !nat.random
    };
    if !commit && !list.iter().all(plain_nat) {
        return Err(ErrorCode::OFPBAC_BAD_ARGUMENT);
    }
    let table = Some(a[18]).filter(|table| *table != 0xff);
    let ct = Ct { commit, force, table, zone, alg: be16(a, 22), flags: flags & !3, actions: list.into() };
    Ok(Action::Ct(Box::new(ct)))
}

fn nat(a: &[u8]) -> Res<Action> {
    const BAD: ErrorCode = ErrorCode::OFPBAC_BAD_ARGUMENT;
    let (flags, present) = (be16(a, 12), be16(a, 14));
    if flags & !0x1f != 0 || flags & 3 == 3 || flags & 0x18 == 0x18 {
        return Err(BAD);
    }
    let mut rest = &a[16..];
    let mut take = |n: usize| -> Res<&[u8]> {
        let (head, tail) = rest.split_at_checked(n).ok_or(BAD)?;
        rest = tail;
        Ok(head)
    };
    let has = |bit: u16| present & (1 << bit) != 0;
    let v4 = |o: &[u8]| IpAddr::V4(Ipv4Addr::from(be32(o, 0)));
    let v6 = |o: &[u8]| IpAddr::V6(Ipv6Addr::from((u128::from(be64(o, 0)) << 64) | u128::from(be64(o, 8))));
    let mut addresses = None;
    if has(0) && present & 0xc != 0 || !has(0) && has(1) || !has(2) && has(3) {
        return Err(BAD);
    }
    if has(0) {
        let min = v4(take(4)?);
        addresses = Some((min, if has(1) { Some(v4(take(4)?)) } else { None }));
    } else if has(2) {
        let min = v6(take(16)?);
        addresses = Some((min, if has(3) { Some(v6(take(16)?)) } else { None }));
    }
    if let Some((min, max)) = addresses
        && (min.is_unspecified() || max.is_some_and(|max| max < min))
    {
        return Err(BAD);
    }
    let mut ports = None;
    if has(4) {
        let min = be16(take(2)?, 0);
        let max = if has(5) { Some(be16(take(2)?, 0)) } else { None };
        if addresses.is_none() || min == 0 || max.is_some_and(|max| max < min) {
            return Err(BAD);
        }
        ports = Some((min, max));
    } else if has(5) {
        return Err(BAD);
    }
    let direction = match flags & 3 {
        1 => Some(NatDirection::Src),
        2 => Some(NatDirection::Dst),
        _ => None,
    };
    let (persistent, hash, random) = (flags & 4 != 0, flags & 8 != 0, flags & 16 != 0);
    Ok(Action::Nat(Box::new(Nat { direction, persistent, hash, random, addresses, ports })))
}

fn check_pkt_larger(a: &[u8], d: &Decoding<'_>) -> Res<Action> {
    let mut b = &a[14..];
    let field = nxm::pull_header(&mut b, d.tun)?;
    must_be_zero(b)?;
    let dst = Subfield { field, ofs: be16(a, 12), n_bits: 1 };
    check_dst(&dst, None, d.tun)?;
    Ok(Action::CheckPktLarger { len: be16(a, 10), dst })
}

fn encap(a: &[u8]) -> Res<Action> {
    let new_packet_type = be32(a, 12);
    if !matches!(new_packet_type, 0 | 0x0001_894f | 0x0001_8847 | 0x0001_8848) {
        return Err(ErrorCode::NXBAC_BAD_HEADER_TYPE);
    }
    let mut props = Vec::new();
    let mut rest = &a[16..];
    while !rest.is_empty() {
        let len = usize::from(rest.get(3).copied().unwrap_or(0));
        let padded = len.next_multiple_of(8);
        if padded > rest.len() || len == 0 {
            return Err(ErrorCode::OFPBAC_BAD_LEN);
        }
        props.push(match (be16(rest, 0), rest[2]) {
            (4, 1) if len <= 8 => EncapProp::NshMdType(rest[4]),
            (4, 1) => return Err(ErrorCode::NXBAC_BAD_ED_PROP),
            (4, 2) => {
                let n = usize::from(rest.get(7).copied().unwrap_or(0));
                if len < 8 || len != 8 + n.next_multiple_of(8) {
                    return Err(ErrorCode::NXBAC_BAD_ED_PROP);
                }
                EncapProp::NshTlv { class: be16(rest, 4), kind: rest[6], data: rest[8..8 + n].to_vec() }
            }
            _ => return Err(ErrorCode::NXBAC_UNKNOWN_ED_PROP),
        });
        rest = &rest[padded..];
    }
    Ok(Action::Encap(Box::new(Encap { new_packet_type, hdr_size: be16(a, 10), props })))
}
