//! Actions and instructions from the wire.
//!
//! One function reads each form; [`super::wire_table`] knows which number means what in which version.
//! Source: OpenFlow 1.0-1.5, ovs-actions(7).

use flow::field::{Field, TunTable, Value};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::check::{Instruction, check_dst, check_src, output_port_ok, verify_list};
use super::wire_table::{LOG, next_action};
use super::*;
use crate::message::wire;
use crate::nxm::{self, Place};
use crate::wire::{be16, be32, be64, zero_from};
use crate::{ErrorCode, Notes, OfError, OfPort, Version};

/// Circumstances in which actions are read.
#[derive(Clone, Copy, Debug)]
pub struct Decoding<'a> {
    /// Version of the message.
    pub version: Version,
    /// The bridge's tunnel options; `None` reads them without knowledge of any.
    pub tun: Option<&'a TunTable>,
    /// Allow the debugging actions, as a switch under test does.
    pub debug: bool,
    /// Takes what the log is to say of good actions.
    pub notes: Option<&'a Notes>,
}

impl Decoding<'_> {
    /// Reading without a bridge.
    pub fn new(version: Version) -> Decoding<'static> {
        Decoding { version, tun: None, debug: false, notes: None }
    }
}

pub(super) type Res<T> = Result<T, OfError>;

/// Most ports in a bundle.
const MAX_MEMBERS: u16 = 2048;
/// NXM_OF_IN_PORT, the only type of bundle members.
const MEMBER_TYPE: u32 = 0x0000_0002;

/// Packet type of a `decap` that takes what the header says.
pub(super) const USE_NEXT_PROTO: u32 = 0x0000_fffe;

pub(super) fn debug(d: &Decoding<'_>, action: Action) -> Res<Action> {
    if d.debug { Ok(action) } else { Err(ErrorCode::OFPBAC_BAD_VENDOR_TYPE.into()) }
}

pub(super) fn argument(ok: bool, action: Action) -> Res<Action> {
    if ok { Ok(action) } else { Err(ErrorCode::OFPBAC_BAD_ARGUMENT.into()) }
}

pub(super) fn must_be_zero(b: &[u8]) -> Res<()> {
    if zero_from(b, 0) { Ok(()) } else { Err(ErrorCode::NXBRC_MUST_BE_ZERO.into()) }
}

/// Says of an error which action of the list has it.
fn bad_action(error: OfError, list: &[u8], offset: usize) -> OfError {
    let mut dump = crate::print::hex::plain(list);
    dump.pop();
    let text = format!("bad action at offset {offset} ({}):\n{dump}", error.code);
    error.remark(LOG, text)
}

/// Verifies a list that was read.
pub(super) fn verify(list: &[Action], version: Version, allowed: u8, outer: Option<&'static str>) -> Res<()> {
    verify_list(list, version, allowed, outer).map_err(|(code, text)| code.because(LOG, text))
}

fn whole_actions(what: &str, b: &[u8], code: ErrorCode) -> Res<()> {
    if b.len().is_multiple_of(8) {
        return Ok(());
    }
    Err(code.because(LOG, format!("OpenFlow message {what} length {} is not a multiple of 8", b.len())))
}

/// Reads all of `b` as a list of actions, without looking at their order.
pub(super) fn read_list(mut b: &[u8], d: &Decoding<'_>, depth: usize) -> Res<Vec<Action>> {
    whole_actions("actions", b, ErrorCode::OFPBRC_BAD_LEN)?;
    if depth > MAX_DEPTH {
        return Err(ErrorCode::OFPBAC_BAD_ARGUMENT.into());
    }
    let whole = b;
    let mut list = Vec::new();
    while !b.is_empty() {
        let read = next_action(b, d).and_then(|(octets, read)| Ok((read(octets, d, depth)?, octets.len())));
        let (action, len) = read.map_err(|error| bad_action(error, whole, whole.len() - b.len()))?;
        list.push(action);
        b = &b[len..];
    }
    Ok(list)
}

/// Takes `len` octets of actions from a message.
///
/// # Errors
/// `OFPBRC_BAD_LEN` if there are not so many, or so many are no list.
pub(crate) fn take_actions<'a>(body: &mut wire::Reader<'a>, len: u16) -> Res<&'a [u8]> {
    let left = body.len();
    let wrong = if !len.is_multiple_of(8) {
        "is not a multiple of 8".to_string()
    } else if usize::from(len) > left {
        format!("exceeds remaining message length ({left})")
    } else {
        return Ok(body.take(usize::from(len))?);
    };
    Err(ErrorCode::OFPBRC_BAD_LEN.because(LOG, format!("OpenFlow message actions length {len} {wrong}")))
}

/// Reads all of `b` as a list of actions, as packet-outs and group buckets have it.
///
/// # Errors
/// The OFPBAC_*, OFPBMC_*, OFPBIC_* and Nicira codes of what is wrong first.
pub fn pull_actions(b: &[u8], d: &Decoding<'_>) -> Res<Actions> {
    let list = read_list(b, d, 0)?;
    verify(&list, d.version, Instruction::APPLY_OR_METER, None)?;
    Ok(list.into())
}

/// [`pull_actions`] of what is bound to no rule: it may name tunnel options that there are not.
///
/// # Errors
/// As [`pull_actions`], but for NXFMFC_INVALID_TLV_FIELD.
pub(crate) fn pull_unbound(b: &[u8], d: &Decoding<'_>) -> Res<Actions> {
    match pull_actions(b, d) {
        Err(error) if error.code == ErrorCode::NXFMFC_INVALID_TLV_FIELD => {
            pull_actions(b, &Decoding { tun: None, ..*d })
        }
        read => read,
    }
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
    verify(&list, d.version, Instruction::ALL, None)?;
    Ok(list.into())
}

/// Takes `len` octets of a message as instructions; less than none, modulo 2³², are too many.
///
/// # Errors
/// As [`pull_instructions`]; `OFPBRC_BAD_LEN` or `OFPBIC_BAD_LEN` if any are missing.
pub(crate) fn take_instructions(body: &mut wire::Reader<'_>, len: u32, d: &Decoding<'_>) -> Res<Actions> {
    let left = body.len();
    let fits = usize::try_from(len).ok().filter(|len| *len <= left);
    if let Some(len) = fits {
        return pull_instructions(body.take(len)?, d);
    }
    let (what, code) = match d.version {
        Version::V10 => ("actions", ErrorCode::OFPBRC_BAD_LEN),
        _ => ("instructions", ErrorCode::OFPBIC_BAD_LEN),
    };
    let wrong = if len.is_multiple_of(8) {
        format!("exceeds remaining message length ({left})")
    } else {
        "is not a multiple of 8".to_string()
    };
    Err(code.because(LOG, format!("OpenFlow message {what} length {len} {wrong}")))
}

fn instructions(b: &[u8], d: &Decoding<'_>) -> Res<Vec<Action>> {
    whole_actions("instructions", b, ErrorCode::OFPBIC_BAD_LEN)?;
    // By number: goto-table, write-metadata, write-actions, apply-actions, clear-actions, meter.
    let mut found: [Option<&[u8]>; 7] = [None; 7];
    let mut rest = b;
    while !rest.is_empty() {
        let len = usize::from(be16(rest, 2));
        if len % 8 != 0 || len < 8 || len > rest.len() {
            let text = format!("bad instruction format at offset {}", b.len() - rest.len());
            return Err(ErrorCode::OFPBIC_BAD_LEN.because(LOG, text));
        }
        let kind = usize::from(be16(rest, 0));
        let length_ok = match kind {
            1 | 5 | 6 => len == 8,
            2 => len == 24,
            3 | 4 => true,
            0xffff => return Err(ErrorCode::OFPBIC_BAD_EXPERIMENTER.into()),
            _ => return Err(ErrorCode::OFPBIC_UNKNOWN_INST.into()),
        };
        if !length_ok {
            return Err(ErrorCode::OFPBIC_BAD_LEN.into());
        }
        if kind == 6 && d.version >= Version::V15 {
            return Err(ErrorCode::OFPBIC_UNKNOWN_INST.into());
        }
        if found[kind].replace(&rest[..len]).is_some() {
            return Err(ErrorCode::OFPBIC_DUP_INST.into());
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
            return Err(ErrorCode::OFPBAC_BAD_TYPE.because(LOG, "disallowed action in action set".into()));
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

pub(super) fn output(port: OfPort, max_len: u16) -> Res<Action> {
    if output_port_ok(port, OfPort(crate::port_no::MAX)) {
        Ok(Action::Output { port, max_len })
    } else {
        Err(ErrorCode::OFPBAC_BAD_OUT_PORT.into())
    }
}

pub(super) fn enqueue(port: OfPort, queue: u32) -> Res<Action> {
    if port.is_physical() || matches!(port, OfPort::IN_PORT | OfPort::LOCAL) {
        Ok(Action::Enqueue { port, queue })
    } else {
        Err(ErrorCode::OFPBAC_BAD_OUT_PORT.into())
    }
}

pub(super) fn vlan_vid(vid: u16, push_if_needed: bool) -> Res<Action> {
    argument(vid <= 0xfff, Action::SetVlanVid { vid, push_if_needed, flow_has_vlan: false })
}

pub(super) fn vlan_pcp(pcp: u8, push_if_needed: bool) -> Res<Action> {
    argument(pcp <= 7, Action::SetVlanPcp { pcp, push_if_needed, flow_has_vlan: false })
}

pub(super) fn push_mpls(ethertype: u16) -> Res<Action> {
    argument(matches!(ethertype, 0x8847 | 0x8848), Action::PushMpls { ethertype })
}

/// The subfield of a 32-bit header and 16 bits of `(ofs << 6) | (n_bits - 1)`.
pub(super) fn subfield32(header: u32, ofs_nbits: u16, d: &Decoding<'_>) -> Res<Subfield> {
    let field = nxm::from_header32(header, d.tun)?;
    Ok(Subfield::of(field, ofs_nbits >> 6, (ofs_nbits & 0x3f) + 1, d.tun))
}

pub(super) fn set_field(a: &[u8], d: &Decoding<'_>, may_mask: bool) -> Res<Action> {
    let mut b = &a[4..];
    let entry = nxm::pull_entry(&mut b, Place::Action, d.tun)?;
    let field = entry.field?;
    if entry.header.has_mask && !may_mask {
        return Err(ErrorCode::OFPBAC_BAD_SET_MASK.into());
    }
    if !field.meta().writable {
        return Err(unwritable(field));
    }
    if !zero_from(b, 0) || field == Field::InPortOxm {
        return Err(ErrorCode::OFPBAC_BAD_SET_ARGUMENT.into());
    }
    let is_vid_without_present =
        field == Field::VlanVid && (entry.mask.to_u128() & 0x1000 == 0 || entry.value.to_u128() & 0x1000 == 0);
    if !field.is_value_valid(&entry.value) || is_vid_without_present {
        let value = flow::field::text::format(field, &entry.value, None, None);
        let text = format!("Invalid value for set field {}: {value}", field.name());
        return Err(ErrorCode::OFPBAC_BAD_SET_ARGUMENT.because(LOG, text));
    }
    Ok(set(field, entry.value, entry.mask, SetFieldForm::SetField))
}

fn unwritable(field: Field) -> OfError {
    let text = format!("destination field {} is not writable", field.meta().name);
    ErrorCode::OFPBAC_BAD_SET_ARGUMENT.because(LOG, text)
}

fn set(field: Field, value: Value, mask: Value, form: SetFieldForm) -> Action {
    Action::SetField(Box::new(SetField { field, value: value.and(&mask), mask, flow_has_vlan: false, form }))
}

pub(super) fn reg_load(a: &[u8], d: &Decoding<'_>) -> Res<Action> {
    let dst = subfield32(be32(a, 12), be16(a, 10), d)?;
    check_dst(&dst, None, d.tun)?;
    let number = be64(a, 16);
    if dst.n_bits < 64 && number >> dst.n_bits != 0 {
        return Err(ErrorCode::OFPBAC_BAD_ARGUMENT.into());
    }
    let mut value = Value::zeros(nxm::n_bytes(dst.field, d.tun));
    let mut mask = value.clone();
    value.set_subfield(dst.ofs.into(), dst.n_bits.into(), number.into());
    mask.set_subfield(dst.ofs.into(), dst.n_bits.into(), u128::MAX);
    Ok(set(dst.field, value, mask, SetFieldForm::Load))
}

pub(super) fn reg_load2(a: &[u8], d: &Decoding<'_>) -> Res<Action> {
    let mut b = &a[10..];
    let entry = nxm::pull_entry(&mut b, Place::Action, d.tun)?;
    let field = entry.field?;
    if !field.meta().writable {
        return Err(unwritable(field));
    }
    if !zero_from(b, 0) {
        return Err(ErrorCode::OFPBAC_BAD_SET_ARGUMENT.into());
    }
    Ok(set(field, entry.value, entry.mask, SetFieldForm::LongLoad))
}

/// Reads a copy of bits; `at` has the places of source offset, destination offset and number of bits.
pub(super) fn copy_field(a: &[u8], d: &Decoding<'_>, at: [usize; 3], headers: usize, onf: bool) -> Res<Action> {
    let n_bits = be16(a, at[2]);
    let mut b = &a[headers..];
    let src = Subfield::of(nxm::pull_header(&mut b, d.tun)?, be16(a, at[0]), n_bits, d.tun);
    let dst = Subfield::of(nxm::pull_header(&mut b, d.tun)?, be16(a, at[1]), n_bits, d.tun);
    must_be_zero(b)?;
    check_src(&src, None, d.tun)?;
    check_dst(&dst, None, d.tun)?;
    Ok(Action::RegMove { src, dst, onf })
}

pub(super) fn stack(a: &[u8], d: &Decoding<'_>, push: bool) -> Res<Action> {
    let mut b = &a[12..];
    let field = nxm::pull_header(&mut b, d.tun)?;
    let sub = Subfield::of(field, be16(a, 10), be16(b, 0), d.tun);
    must_be_zero(&b[2..])?;
    if push {
        check_src(&sub, None, d.tun)?;
        Ok(Action::StackPush(sub))
    } else {
        check_dst(&sub, None, d.tun)?;
        Ok(Action::StackPop(sub))
    }
}

pub(super) fn output_reg(a: &[u8], d: &Decoding<'_>, long_form: bool) -> Res<Action> {
    let (src, max_len) = if long_form {
        let mut b = &a[14..];
        let field = nxm::pull_header(&mut b, d.tun)?;
        must_be_zero(b)?;
        let ofs_nbits = be16(a, 10);
        (Subfield::of(field, ofs_nbits >> 6, (ofs_nbits & 0x3f) + 1, d.tun), be16(a, 12))
    } else {
        if !zero_from(a, 18) {
            return Err(ErrorCode::OFPBAC_BAD_ARGUMENT.into());
        }
        (subfield32(be32(a, 12), be16(a, 10), d)?, be16(a, 16))
    };
    check_src(&src, None, d.tun)?;
    Ok(Action::OutputReg { src, max_len, long_form })
}

pub(super) fn multipath(a: &[u8], d: &Decoding<'_>) -> Res<Action> {
    use MultipathAlgorithm as M;
    let dst = subfield32(be32(a, 28), be16(a, 26), d)?;
    let fields = HashFields::from_wire(be16(a, 10));
    if !fields.is_known() {
        return Err(ErrorCode::OFPBAC_BAD_ARGUMENT.because(LOG, format!("unsupported fields {}", fields.wire())));
    }
    let number = be16(a, 16);
    let Some(&algorithm) = [M::ModuloN, M::HashThreshold, M::Hrw, M::IterHash].get(usize::from(number)) else {
        return Err(ErrorCode::OFPBAC_BAD_ARGUMENT.because(LOG, format!("unsupported algorithm {number}")));
    };
    let max_link = be16(a, 18);
    if u32::from(dst.n_bits) < 32 - u32::from(max_link).leading_zeros() {
        return Err(ErrorCode::OFPBAC_BAD_ARGUMENT.into());
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

/// What is unknown in the fixed part of a `bundle` or `bundle_load`, for the log.
fn bundle_oddities(a: &[u8]) -> Vec<String> {
    let (fields, algorithm, kind) = (HashFields::from_wire(be16(a, 12)), be16(a, 10), be32(a, 16));
    let first = if !fields.is_known() {
        Some(format!("unsupported fields {}", fields.wire()))
    } else if be16(a, 20) > MAX_MEMBERS {
        Some("too many members".to_string())
    } else if algorithm > 1 {
        Some(format!("unsupported algorithm {algorithm}"))
    } else {
        (kind != MEMBER_TYPE).then(|| format!("unsupported member type {kind}"))
    };
    let reserved = (!zero_from(&a[28..32], 0)).then(|| "reserved field is nonzero".to_string());
    first.into_iter().chain(reserved).collect()
}

/// What is odd in a `bundle_load` is told to the log and taken; in a `bundle` it is an error.
pub(super) fn bundle(a: &[u8], d: &Decoding<'_>, load: bool) -> Res<Action> {
    let mut odd = bundle_oddities(a);
    let mut good = load || odd.is_empty();
    if !load && !zero_from(&a[22..28], 0) {
        odd.push("bundle action has nonzero reserved fields".to_string());
        good = false;
    }
    let warn = |text: String| {
        if let Some(notes) = d.notes {
            notes.warn(LOG, text);
        }
    };
    odd.into_iter().for_each(warn);
    let mut dst = None;
    if load {
        let n_bits = (be16(a, 22) & 0x3f) + 1;
        dst = Some(Subfield::of(nxm::from_header32(be32(a, 24), d.tun)?, be16(a, 22) >> 6, n_bits, d.tun));
        if n_bits < 16 {
            warn("bundle_load action requires at least 16 bit destination.".to_string());
            good = false;
        }
    }
    let n = usize::from(be16(a, 20));
    let Some(members) = a[32..].get(..n * 2) else {
        let (name, room) = (if load { "bundle_load" } else { "bundle" }, a.len() - 32);
        warn(format!(
            "Nicira action {name} only has {room} bytes allocated for members.  {} bytes are required for {n} members.",
            n * 2
        ));
        return Err(ErrorCode::OFPBAC_BAD_LEN.into());
    };
    if !good {
        return Err(ErrorCode::OFPBAC_BAD_ARGUMENT.into());
    }
    let bundle = Bundle {
        fields: HashFields::from_wire(be16(a, 12)),
        basis: be16(a, 14),
        algorithm: BundleAlgorithm::from_wire(be16(a, 10)),
        dst,
        members: members.chunks_exact(2).map(|o| OfPort(be16(o, 0))).collect(),
    };
    super::check::check_bundle(&bundle, OfPort(crate::port_no::MAX), None, d.tun)?;
    Ok(Action::Bundle(Box::new(bundle)))
}

pub(super) fn resubmit_table(a: &[u8], with_ct_orig: bool) -> Res<Action> {
    if !zero_from(a, 13) {
        return Err(ErrorCode::OFPBAC_BAD_ARGUMENT.into());
    }
    let form = if with_ct_orig { ResubmitForm::TableCt } else { ResubmitForm::Table };
    Ok(Action::Resubmit(Resubmit { in_port: OfPort(be16(a, 10)), table: a[12], with_ct_orig, form }))
}

pub(super) fn controller(a: &[u8]) -> Action {
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

pub(super) fn controller2(a: &[u8]) -> Res<Action> {
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
    let mut list = wire::Reader::new(&a[16..]);
    while !list.is_empty() {
        let property = wire::property(&mut list)?;
        let value = property.value;
        let least = |n: usize| if value.len() >= n { Ok(()) } else { Err(ErrorCode::OFPBPC_BAD_LEN) };
        match property.kind {
            0 => least(2).map(|()| c.max_len = be16(value, 0))?,
            1 => least(2).map(|()| c.controller_id = be16(value, 0))?,
            2 => least(1).map(|()| c.reason = value[0])?,
            3 => c.userdata = value.to_vec(),
            4 => c.pause = true,
            5 if value.len() != 4 => return Err(ErrorCode::OFPBPC_BAD_LEN.into()),
            5 => c.meter_id = Some(be32(value, 0)).filter(|id| *id != NO_METER),
            _ => return Err(property.unknown(LOG, "NXAST_RAW_CONTROLLER2")),
        }
    }
    Ok(Action::Controller(Box::new(c)))
}

/// Meter number of a `controller` without one.
pub(super) const NO_METER: u32 = 0;
/// Packet-in reason `action`.
pub(super) const REASON_ACTION: u8 = 1;

pub(super) fn dec_ttl_ids(a: &[u8]) -> Res<Action> {
    must_be_zero(&a[12..16])?;
    let n = usize::from(be16(a, 10));
    let Some(ids) = a[16..].get(..n * 2) else {
        let text = format!(
            "Nicira action dec_ttl_cnt_ids only has {} bytes allocated for controller ids.  \
             {} bytes are required for {n} controllers.",
            a.len() - 16,
            n * 2
        );
        return Err(ErrorCode::OFPBAC_BAD_LEN.because(LOG, text));
    };
    Ok(Action::DecTtl(Some(ids.chunks_exact(2).map(|o| be16(o, 0)).collect())))
}

pub(super) fn sample(a: &[u8], form: u8) -> Res<Action> {
    if form == 3 && !zero_from(a, 27) {
        return Err(ErrorCode::NXBRC_MUST_BE_ZERO.into());
    }
    let direction = match a.get(26).filter(|_| form == 3) {
        None | Some(0) => SampleDirection::Default,
        Some(1) => SampleDirection::Ingress,
        Some(2) => SampleDirection::Egress,
        Some(other) => {
            return Err(ErrorCode::OFPBAC_BAD_ARGUMENT.because(LOG, format!("invalid sample direction {other}")));
        }
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

pub(super) fn conjunction(a: &[u8]) -> Res<Action> {
    let (clause, n_clauses) = (a[10], a[11]);
    if !(2..=64).contains(&n_clauses) || clause >= n_clauses {
        return Err(ErrorCode::NXBAC_BAD_CONJUNCTION.into());
    }
    Ok(Action::Conjunction { id: be32(a, 12), clause, n_clauses })
}

pub(super) fn ct(a: &[u8], d: &Decoding<'_>, depth: usize) -> Res<Action> {
    let flags = be16(a, 10);
    let (commit, force) = (flags & 1 != 0, flags & 2 != 0);
    if force && !commit {
        return Err(ErrorCode::OFPBAC_BAD_ARGUMENT.into());
    }
    let zone = match be32(a, 12) {
        0 => CtZone::Imm(be16(a, 16)),
        header => {
            let src = subfield32(header, be16(a, 16), d)?;
            check_src(&src, None, d.tun)?;
            if src.n_bits != 16 {
                let text = format!("zone n_bits {} not within valid range [16..16]", src.n_bits);
                return Err(ErrorCode::OFPBAC_BAD_SET_LEN.because(LOG, text));
            }
            CtZone::Field(src)
        }
    };
    let list = read_list(&a[24..], d, depth + 1)?;
    verify(&list, d.version, Instruction::APPLY_ONLY, Some("ct"))?;
    let plain_nat = |a: &Action| {
        let Action::Nat(nat) = a else { return false };
        nat.addresses.is_none() && nat.direction.is_none() && !nat.persistent && !nat.hash && !nat.random
    };
    if !commit && !list.iter().all(plain_nat) {
        let text = "CT action requires commit flag if actions other than NAT without arguments are specified.";
        return Err(ErrorCode::OFPBAC_BAD_ARGUMENT.because(LOG, text.into()));
    }
    let table = Some(a[18]).filter(|table| *table != 0xff);
    let ct = Ct { commit, force, table, zone, alg: be16(a, 22), flags: flags & !3, actions: list.into() };
    Ok(Action::Ct(Box::new(ct)))
}

pub(super) fn nat(a: &[u8]) -> Res<Action> {
    const BAD: ErrorCode = ErrorCode::OFPBAC_BAD_ARGUMENT;
    let (flags, present) = (be16(a, 12), be16(a, 14));
    if flags & !0x1f != 0 || flags & 3 == 3 || flags & 0x18 == 0x18 {
        return Err(BAD.into());
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
        return Err(BAD.into());
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
        return Err(BAD.into());
    }
    let mut ports = None;
    if has(4) {
        let min = be16(take(2)?, 0);
        let max = if has(5) { Some(be16(take(2)?, 0)) } else { None };
        if addresses.is_none() || min == 0 || max.is_some_and(|max| max < min) {
            return Err(BAD.into());
        }
        ports = Some((min, max));
    } else if has(5) {
        return Err(BAD.into());
    }
    let direction = match flags & 3 {
        1 => Some(NatDirection::Src),
        2 => Some(NatDirection::Dst),
        _ => None,
    };
    let (persistent, hash, random) = (flags & 4 != 0, flags & 8 != 0, flags & 16 != 0);
    Ok(Action::Nat(Box::new(Nat { direction, persistent, hash, random, addresses, ports })))
}

pub(super) fn check_pkt_larger(a: &[u8], d: &Decoding<'_>) -> Res<Action> {
    let mut b = &a[14..];
    let field = nxm::pull_header(&mut b, d.tun)?;
    must_be_zero(b)?;
    let dst = Subfield::of(field, be16(a, 12), 1, d.tun);
    check_dst(&dst, None, d.tun)?;
    Ok(Action::CheckPktLarger { len: be16(a, 10), dst })
}

pub(super) fn encap(a: &[u8]) -> Res<Action> {
    let new_packet_type = be32(a, 12);
    if !matches!(new_packet_type, 0 | 0x0001_894f | 0x0001_8847 | 0x0001_8848) {
        return Err(ErrorCode::NXBAC_BAD_HEADER_TYPE.into());
    }
    let mut props = Vec::new();
    let mut rest = &a[16..];
    while !rest.is_empty() {
        let len = usize::from(rest.get(3).copied().unwrap_or(0));
        let padded = len.next_multiple_of(8);
        if padded > rest.len() || len < 4 {
            return Err(ErrorCode::OFPBAC_BAD_LEN.into());
        }
        props.push(match (be16(rest, 0), rest[2]) {
            (4, 1) if len <= 8 => EncapProp::NshMdType(rest[4]),
            (4, 1) => return Err(ErrorCode::NXBAC_BAD_ED_PROP.into()),
            (4, 2) => {
                let n = usize::from(rest.get(7).copied().unwrap_or(0));
                if len < 8 || len != 8 + n.next_multiple_of(8) {
                    return Err(ErrorCode::NXBAC_BAD_ED_PROP.into());
                }
                EncapProp::NshTlv { class: be16(rest, 4), kind: rest[6], len: n as u8, data: rest[8..len].to_vec() }
            }
            _ => return Err(ErrorCode::NXBAC_UNKNOWN_ED_PROP.into()),
        });
        rest = &rest[padded..];
    }
    Ok(Action::Encap(Box::new(Encap { new_packet_type, hdr_size: be16(a, 10), props })))
}
