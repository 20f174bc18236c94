//! Which number means which action in which version, its name in the log, how long it may be, and what reads it.
//!
//! Source: OpenFlow 1.0-1.5, ovs-actions(7).

use super::check::Instruction;
use super::decode::{self, *};
use super::learn_wire::pull_learn;
use super::*;
use crate::message::wire;
use crate::nxm;
use crate::wire::{be16, be32, be64};
use crate::{ErrorCode, NX_VENDOR_ID, ONF_VENDOR_ID, OfPort, Version};

/// What reads an action, all of its octets given, and how deep it is nested.
pub(super) type Reader = fn(&[u8], &Decoding<'_>, usize) -> Res<Action>;

/// Name, length and reader of an action.
pub(super) type Spec = (&'static str, Length, Reader);

/// How long an action may be: exactly so many octets, or at least.
#[derive(Clone, Copy)]
pub(super) enum Length {
    Exactly(usize),
    AtLeast(usize),
}
use Length::{AtLeast, Exactly};

fn standard(version: Version, kind: u16) -> Option<Spec> {
    let v = version.wire();
    Some(match (kind, v) {
        (0, 1) => ("OFPAT_OUTPUT", Exactly(8), |a, _, _| output(OfPort(be16(a, 4)), be16(a, 6))),
        (0, _) => ("OFPAT_OUTPUT", Exactly(16), |a, _, _| output(wire::port11(be32(a, 4))?, be16(a, 8))),
        (1, 1) => ("OFPAT_SET_VLAN_VID", Exactly(8), |a, _, _| vlan_vid(be16(a, 4), true)),
        (1, _) => ("OFPAT_SET_VLAN_VID", Exactly(8), |a, _, _| vlan_vid(be16(a, 4), false)),
        (2, 1) => ("OFPAT_SET_VLAN_PCP", Exactly(8), |a, _, _| vlan_pcp(a[4], true)),
        (2, _) => ("OFPAT_SET_VLAN_PCP", Exactly(8), |a, _, _| vlan_pcp(a[4], false)),
        (3, 1) => ("OFPAT_STRIP_VLAN", Exactly(8), |_, _, _| Ok(Action::StripVlan { pop: false })),
        (4, 1) | (3, _) => ("OFPAT_SET_DL_SRC", Exactly(16), |a, _, _| Ok(Action::SetEthSrc(be64(a, 4) >> 16))),
        (5, 1) | (4, _) => ("OFPAT_SET_DL_DST", Exactly(16), |a, _, _| Ok(Action::SetEthDst(be64(a, 4) >> 16))),
        (6, 1) | (5, _) => ("OFPAT_SET_NW_SRC", Exactly(8), |a, _, _| Ok(Action::SetIpv4Src(be32(a, 4)))),
        (7, 1) | (6, _) => ("OFPAT_SET_NW_DST", Exactly(8), |a, _, _| Ok(Action::SetIpv4Dst(be32(a, 4)))),
        (8, 1) | (7, _) => ("OFPAT_SET_NW_TOS", Exactly(8), |a, _, _| argument(a[4] & 3 == 0, Action::SetIpDscp(a[4]))),
        (8, _) => ("OFPAT_SET_NW_ECN", Exactly(8), |a, _, _| argument(a[4] & !3 == 0, Action::SetIpEcn(a[4]))),
        (9, _) => ("OFPAT_SET_TP_SRC", Exactly(8), |a, _, _| Ok(Action::SetL4SrcPort { port: be16(a, 4), proto: 0 })),
        (10, _) => ("OFPAT_SET_TP_DST", Exactly(8), |a, _, _| Ok(Action::SetL4DstPort { port: be16(a, 4), proto: 0 })),
        (11, 1) => ("OFPAT_ENQUEUE", Exactly(16), |a, _, _| enqueue(OfPort(be16(a, 4)), be32(a, 12))),
        (13, 2..) => ("OFPAT_SET_MPLS_LABEL", Exactly(8), |a, _, _| Ok(Action::SetMplsLabel(be32(a, 4)))),
        (14, 2..) => ("OFPAT_SET_MPLS_TC", Exactly(8), |a, _, _| Ok(Action::SetMplsTc(a[4]))),
        (15, 2..) => ("OFPAT_SET_MPLS_TTL", Exactly(8), |a, _, _| Ok(Action::SetMplsTtl(a[4]))),
        (16, 2..) => ("OFPAT_DEC_MPLS_TTL", Exactly(8), |_, _, _| Ok(Action::DecMplsTtl)),
        (17, 2..) => ("OFPAT_PUSH_VLAN", Exactly(8), |a, _, _| {
            let ethertype = be16(a, 4);
            argument(matches!(ethertype, 0x8100 | 0x88a8), Action::PushVlan { ethertype })
        }),
        (18, 2..) => ("OFPAT_POP_VLAN", Exactly(8), |_, _, _| Ok(Action::StripVlan { pop: true })),
        (19, 2..) => ("OFPAT_PUSH_MPLS", Exactly(8), |a, _, _| push_mpls(be16(a, 4))),
        (20, 2..) => ("OFPAT_POP_MPLS", Exactly(8), |a, _, _| Ok(Action::PopMpls { ethertype: be16(a, 4) })),
        (21, 2..) => ("OFPAT_SET_QUEUE", Exactly(8), |a, _, _| Ok(Action::SetQueue(be32(a, 4)))),
        (22, 2..) => ("OFPAT_GROUP", Exactly(8), |a, _, _| Ok(Action::Group(be32(a, 4)))),
        (23, 2..) => ("OFPAT_SET_NW_TTL", Exactly(8), |a, _, _| Ok(Action::SetIpTtl(a[4]))),
        (24, 2..) => ("OFPAT_DEC_NW_TTL", Exactly(8), |_, _, _| Ok(Action::DecTtl(None))),
        (25, 3..6) => ("OFPAT_SET_FIELD", AtLeast(8), |a, d, _| set_field(a, d, false)),
        (25, 6) => ("OFPAT_SET_FIELD", AtLeast(8), |a, d, _| set_field(a, d, true)),
        (28, 6) => ("OFPAT_COPY_FIELD", AtLeast(16), |a, d, _| copy_field(a, d, [6, 8, 4], 12, true)),
        (29, 6) => ("OFPAT_METER", Exactly(8), |a, _, _| Ok(Action::Meter(be32(a, 4)))),
        _ => return None,
    })
}

fn nicira(version: Version, kind: u16) -> Option<Spec> {
    let v = version.wire();
    Some(match (kind, v) {
        (1, _) => ("NXAST_RESUBMIT", Exactly(16), |a, _, _| {
            let in_port = OfPort(be16(a, 10));
            Ok(Action::Resubmit(Resubmit { in_port, table: 0xff, with_ct_orig: false, form: ResubmitForm::Port }))
        }),
        (2, _) => {
            ("NXAST_SET_TUNNEL", Exactly(16), |a, _, _| Ok(Action::SetTunnel { id: be32(a, 12).into(), wide: false }))
        }
        (4, 1) => ("OFPAT_SET_QUEUE", Exactly(16), |a, _, _| Ok(Action::SetQueue(be32(a, 12)))),
        (5, _) => ("NXAST_POP_QUEUE", Exactly(16), |_, _, _| Ok(Action::PopQueue)),
        (6, ..6) => ("NXAST_REG_MOVE", AtLeast(16), |a, d, _| copy_field(a, d, [12, 14, 10], 16, false)),
        (7, ..6) => ("NXAST_REG_LOAD", Exactly(24), |a, d, _| reg_load(a, d)),
        (8, _) => ("NXAST_NOTE", AtLeast(16), |a, _, _| Ok(Action::Note(a[10..].into()))),
        (9, _) => ("NXAST_SET_TUNNEL64", Exactly(24), |a, _, _| Ok(Action::SetTunnel { id: be64(a, 16), wide: true })),
        (10, _) => ("NXAST_MULTIPATH", Exactly(32), |a, d, _| multipath(a, d)),
        (12, _) => ("NXAST_BUNDLE", AtLeast(32), |a, d, _| bundle(a, d, false)),
        (13, _) => ("NXAST_BUNDLE_LOAD", AtLeast(32), |a, d, _| bundle(a, d, true)),
        (14, _) => ("NXAST_RESUBMIT_TABLE", Exactly(16), |a, _, _| resubmit_table(a, false)),
        (15, _) => ("NXAST_OUTPUT_REG", Exactly(24), |a, d, _| output_reg(a, d, false)),
        (16, _) => ("NXAST_LEARN", AtLeast(32), |a, d, _| pull_learn(a, d, false)),
        (17, _) => ("NXAST_EXIT", Exactly(16), |_, _, _| Ok(Action::Exit)),
        (18, 1) => ("OFPAT_DEC_NW_TTL", Exactly(16), |_, _, _| Ok(Action::DecTtl(None))),
        (19, _) => ("NXAST_FIN_TIMEOUT", Exactly(16), |a, _, _| {
            Ok(Action::FinTimeout { idle: be16(a, 10), hard: be16(a, 12) })
        }),
        (20, _) => ("NXAST_CONTROLLER", Exactly(16), |a, _, _| Ok(controller(a))),
        (21, _) => ("NXAST_DEC_TTL_CNT_IDS", AtLeast(16), |a, _, _| dec_ttl_ids(a)),
        (22, _) => ("NXAST_WRITE_METADATA", Exactly(32), |a, _, _| {
            must_be_zero(&a[10..16])?;
            Ok(Action::WriteMetadata { metadata: be64(a, 16), mask: be64(a, 24) })
        }),
        (23, 1) => ("OFPAT_PUSH_MPLS", Exactly(16), |a, _, _| push_mpls(be16(a, 10))),
        (24, 1) => ("OFPAT_POP_MPLS", Exactly(16), |a, _, _| Ok(Action::PopMpls { ethertype: be16(a, 10) })),
        (25, 1) => ("OFPAT_SET_MPLS_TTL", Exactly(16), |a, _, _| Ok(Action::SetMplsTtl(a[10]))),
        (26, 1) => ("OFPAT_DEC_MPLS_TTL", Exactly(16), |_, _, _| Ok(Action::DecMplsTtl)),
        (27, _) => ("NXAST_STACK_PUSH", Exactly(24), |a, d, _| stack(a, d, true)),
        (28, _) => ("NXAST_STACK_POP", Exactly(24), |a, d, _| stack(a, d, false)),
        (29, _) => ("NXAST_SAMPLE", Exactly(24), |a, _, _| sample(a, 1)),
        (30, 1) => ("OFPAT_SET_MPLS_LABEL", Exactly(16), |a, _, _| Ok(Action::SetMplsLabel(be32(a, 12)))),
        (31, 1) => ("OFPAT_SET_MPLS_TC", Exactly(16), |a, _, _| Ok(Action::SetMplsTc(a[10]))),
        (32, _) => ("NXAST_OUTPUT_REG2", Exactly(24), |a, d, _| output_reg(a, d, true)),
        (33, ..6) => ("NXAST_REG_LOAD2", AtLeast(16), |a, d, _| reg_load2(a, d)),
        (34, _) => ("NXAST_CONJUNCTION", Exactly(16), |a, _, _| conjunction(a)),
        (35, _) => ("NXAST_CT", AtLeast(24), ct),
        (36, _) => ("NXAST_NAT", AtLeast(16), |a, _, _| nat(a)),
        (37, _) => ("NXAST_CONTROLLER2", AtLeast(16), |a, _, _| controller2(a)),
        (38, _) => ("NXAST_SAMPLE2", Exactly(32), |a, _, _| sample(a, 2)),
        (39, _) => ("NXAST_OUTPUT_TRUNC", Exactly(16), |a, _, _| {
            let (port, max_len) = (OfPort(be16(a, 10)), be32(a, 12));
            argument(max_len >= 14, Action::OutputTrunc { port, max_len })
        }),
        (40, 1) => ("OFPAT_GROUP", Exactly(16), |a, _, _| Ok(Action::Group(be32(a, 12)))),
        (41, _) => ("NXAST_SAMPLE3", Exactly(32), |a, _, _| sample(a, 3)),
        (42, _) => ("NXAST_CLONE", AtLeast(16), |a, d, depth| {
            let list = read_list(&a[16..], d, depth + 1)?;
            decode::verify(&list, d.version, Instruction::APPLY_ONLY, None)?;
            Ok(Action::Clone(list.into()))
        }),
        (43, _) => ("NXAST_CT_CLEAR", Exactly(16), |_, _, _| Ok(Action::CtClear)),
        (44, _) => ("NXAST_RESUBMIT_TABLE_CT", Exactly(16), |a, _, _| resubmit_table(a, true)),
        (45, _) => ("NXAST_LEARN2", AtLeast(40), |a, d, _| pull_learn(a, d, true)),
        (46, 4..) => ("NXAST_ENCAP", AtLeast(16), |a, _, _| encap(a)),
        (47, 4..) => ("NXAST_DECAP", AtLeast(16), |a, _, _| {
            if a.len() > 16 {
                return Err(ErrorCode::NXBAC_UNKNOWN_ED_PROP.into());
            }
            let new = be32(a, 12);
            Ok(Action::Decap { new_packet_type: (new != USE_NEXT_PROTO).then_some(new) })
        }),
        (48, 4..) => ("NXAST_DEC_NSH_TTL", Exactly(16), |_, _, _| Ok(Action::DecNshTtl)),
        (49, _) => ("NXAST_CHECK_PKT_LARGER", AtLeast(24), |a, d, _| check_pkt_larger(a, d)),
        (50, _) => ("NXAST_DELETE_FIELD", Exactly(24), |a, d, _| {
            Ok(Action::DeleteField(nxm::pull_header(&mut &a[10..], d.tun)?))
        }),
        (254, _) => ("NXAST_DEBUG_SLOW", Exactly(16), |_, d, _| debug(d, Action::DebugSlow)),
        (255, _) => ("NXAST_DEBUG_RECIRC", Exactly(16), |_, d, _| debug(d, Action::DebugRecirc)),
        _ => return None,
    })
}

/// Name of the log's module for what is said of actions.
pub(super) const LOG: &str = "ofp_actions";

/// Which action starts at `b`.
fn identify(b: &[u8], d: &Decoding<'_>) -> Res<Spec> {
    if b.len() < 8 {
        return Err(ErrorCode::OFPBAC_BAD_LEN.into());
    }
    let kind = be16(b, 0);
    let unknown = |vendor: u32, kind: u16, code: ErrorCode| {
        let (version, vendor) = (d.version.name(), crate::wire::alternate_hex(vendor));
        code.because(LOG, format!("unknown {version} action for vendor {vendor} and type {kind}"))
    };
    if kind != 0xffff {
        let spec = standard(d.version, kind).ok_or_else(|| unknown(0, kind, ErrorCode::OFPBAC_BAD_TYPE))?;
        if d.version >= Version::V12
            && matches!(kind, 1..=10 | 13..=15)
            && let Some(notes) = d.notes
        {
            notes.info(LOG, format!("{} is deprecated in {} (use Set-Field)", spec.0, d.version.name()));
        }
        return Ok(spec);
    }
    let vendor = be32(b, 4);
    if vendor != NX_VENDOR_ID && vendor != ONF_VENDOR_ID {
        let text = format!("OpenFlow action has unknown vendor {}", crate::wire::alternate_hex(vendor));
        return Err(ErrorCode::OFPBAC_BAD_VENDOR.because(LOG, text));
    }
    if b.len() < 16 {
        return Err(ErrorCode::OFPBAC_BAD_LEN.into());
    }
    let subtype = be16(b, 8);
    let found = match vendor {
        NX_VENDOR_ID => nicira(d.version, subtype),
        _ if subtype == 3200 && matches!(d.version, Version::V13 | Version::V14) => {
            Some(("ONFACT_COPY_FIELD", AtLeast(24), (|a, d, _| copy_field(a, d, [14, 16, 12], 20, true)) as Reader))
        }
        _ => None,
    };
    found.ok_or_else(|| unknown(vendor, subtype, ErrorCode::OFPBAC_BAD_VENDOR_TYPE))
}

/// The octets of the action that starts at `b`, and what reads them.
pub(super) fn next_action<'a>(b: &'a [u8], d: &Decoding<'_>) -> Res<(&'a [u8], Reader)> {
    let (name, length, read) = identify(b, d)?;
    let len = usize::from(be16(b, 2));
    let (min, max) = match length {
        Exactly(n) => (n, n),
        AtLeast(n) => (n, 65528),
    };
    let wrong = if len > b.len() {
        format!("exceeds action buffer length {}", b.len())
    } else if !(min..=max).contains(&len) {
        format!("not in valid range [{min},{max}]")
    } else if len % 8 != 0 {
        "is not a multiple of 8".to_string()
    } else {
        return Ok((&b[..len], read));
    };
    Err(ErrorCode::OFPBAC_BAD_LEN.because(LOG, format!("OpenFlow action {name} length {len} {wrong}")))
}
