//! Actions and instructions to the wire, in the form that each version has for them.
//!
//! What a version cannot express goes out as a Nicira extension or as the nearest standard actions. Source: OpenFlow
//! 1.0-1.5, ovs-actions(7).

use flow::field::{Field, Value};

use super::decode::{NO_METER, REASON_ACTION, USE_NEXT_PROTO};
use super::learn_wire::put_learn;
use super::*;
use crate::nxm;
use crate::wire::Put;
use crate::{NX_VENDOR_ID, ONF_VENDOR_ID, OfPort, Version};

/// Appends actions in the form of `version`. Returns their length in octets.
pub fn put_actions(b: &mut Vec<u8>, actions: &[Action], version: Version) -> usize {
    let start = b.len();
    for action in actions {
        Encoder { b, version }.action(action);
    }
    b.len() - start
}

/// Appends instructions in the form of `version`; in OpenFlow 1.0, actions. Returns their length in octets.
pub fn put_instructions(b: &mut Vec<u8>, actions: &[Action], version: Version) -> usize {
    if version == Version::V10 {
        return put_actions(b, actions, version);
    }
    let start = b.len();
    let mut rest = actions;
    while let Some(first) = rest.first() {
        if !is_applied(first, version) {
            Encoder { b, version }.action(first);
            rest = &rest[1..];
            continue;
        }
        let n = rest.iter().take_while(|a| is_applied(a, version)).count();
        let at = b.len();
        b.put16(4);
        b.put16(8);
        b.put32(0);
        put_actions(b, &rest[..n], version);
        finish_nested(b, at);
        rest = &rest[n..];
    }
    b.len() - start
}

/// Writes the length of an instruction with nested actions, or takes it back if it has none.
fn finish_nested(b: &mut Vec<u8>, at: usize) {
    let len = b.len() - at;
    if len == 8 {
        b.truncate(at);
    } else {
        b.set16(at + 2, len as u16);
    }
}

/// Whether an action belongs into `apply_actions`.
fn is_applied(action: &Action, version: Version) -> bool {
    match action {
        Action::Meter(_) => version >= Version::V15,
        Action::ClearActions | Action::WriteActions(_) | Action::WriteMetadata { .. } | Action::GotoTable(_) => false,
        _ => true,
    }
}

struct Encoder<'a> {
    b: &'a mut Vec<u8>,
    version: Version,
}

impl Encoder<'_> {
    fn v10(&self) -> bool {
        self.version == Version::V10
    }

    /// A standard action: number and the octets after the header, padded.
    fn of(&mut self, kind: u16, body: &[u8]) {
        let start = self.b.len();
        self.b.put16(kind);
        self.b.put16(0);
        self.b.extend_from_slice(body);
        if body.len() < 4 {
            self.b.put_zeros(4 - body.len());
        }
        self.finish(start);
    }

    /// A Nicira action: number and the octets after the subtype, at least 6, padded.
    fn nx(&mut self, subtype: u16, body: &[u8]) {
        let start = self.begin(NX_VENDOR_ID, subtype);
        self.b.extend_from_slice(body);
        if body.len() < 6 {
            self.b.put_zeros(6 - body.len());
        }
        self.finish(start);
    }

    /// A Nicira action whose body `write` appends, filled up with zeros to `least` octets.
    fn nicira(&mut self, subtype: u16, least: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.begin(NX_VENDOR_ID, subtype);
        let body = self.b.len();
        write(self.b);
        if self.b.len() < body + least {
            self.b.resize(body + least, 0);
        }
        self.finish(start);
    }

    fn begin(&mut self, vendor: u32, subtype: u16) -> usize {
        let start = self.b.len();
        self.b.put16(0xffff);
        self.b.put16(0);
        self.b.put32(vendor);
        self.b.put16(subtype);
        start
    }

    fn finish(&mut self, start: usize) {
        self.b.pad8(start);
        let len = self.b.len() - start;
        self.b.set16(start + 2, len as u16);
    }

    /// A 32-bit argument of a Nicira action.
    fn nx32(&mut self, subtype: u16, number: u32) {
        let mut body = vec![0; 2];
        body.put32(number);
        self.nx(subtype, &body);
    }

    /// An action that is standard from 1.1 on and Nicira's in 1.0: numbers there and here, and its argument.
    fn of11_or_nx(&mut self, kind: u16, subtype: u16, argument: &[u8]) {
        match (self.v10(), argument.len()) {
            (false, _) => self.of(kind, argument),
            (true, 4) => self.nicira(subtype, 6, |body| {
                body.put16(0);
                body.extend_from_slice(argument);
            }),
            (true, _) => self.nx(subtype, argument),
        }
    }

    fn instruction(&mut self, kind: u16, body: &[u8]) {
        self.b.put16(kind);
        self.b.put16((4 + body.len()) as u16);
        self.b.extend_from_slice(body);
    }

    /// A standard set-field of a number, for version 1.2 and later.
    fn set_number(&mut self, field: Field, number: u64) {
        let n = usize::from(field.meta().n_bytes);
        self.set_field(field, &Value::from_u128(number.into(), n), &Value::ones(n, n * 8));
    }

    fn set_field(&mut self, field: Field, value: &Value, mask: &Value) {
        let start = self.b.len();
        self.b.put16(25);
        self.b.put16(0);
        nxm::put_entry(self.b, field, Some(self.version), value, mask);
        self.finish(start);
    }

    fn reg_load(&mut self, field: Field, ofs: u16, n_bits: u16, number: u64) {
        self.nicira(7, 6, |body| {
            body.put16((ofs << 6) | (n_bits.wrapping_sub(1) & 0x3f));
            body.put32(nxm::header32(field, field.meta().n_bytes.into()));
            body.put64(number);
        });
    }

    /// A number that versions before 1.2 set by an action of their own (by its numbers in 1.0 and 1.1) and later ones by
    /// set-field.
    fn legacy(&mut self, kinds: (u16, u16), body: &[u8], field: Field, number: u64) {
        match self.version {
            Version::V10 => self.of(kinds.0, body),
            Version::V11 => self.of(kinds.1, body),
            _ => self.set_number(field, number),
        }
    }

    fn action(&mut self, action: &Action) {
        match action {
            Action::Output { port, max_len } => self.output(*port, *max_len),
            Action::OutputReg { src, max_len, long_form } => self.output_reg(src, *max_len, *long_form),
            Action::OutputTrunc { port, max_len } => {
                self.nicira(39, 6, |body| {
                    body.put16(port.0);
                    body.put32(*max_len);
                });
            }
            Action::Group(id) => self.of11_or_nx(22, 40, &id.to_be_bytes()),
            Action::Controller(c) => self.controller(c),
            Action::Enqueue { port, queue } => self.enqueue(*port, *queue),
            Action::Bundle(bundle) => self.bundle(bundle),
            Action::SetField(set) => self.set(set),
            Action::Learn(learn) => put_learn(self.b, learn),
            Action::RegMove { src, dst, onf } => self.reg_move(src, dst, *onf),
            Action::StackPush(sub) => self.stack(27, sub),
            Action::StackPop(sub) => self.stack(28, sub),
            Action::DeleteField(field) => {
                self.nicira(50, 14, |body| {
                    nxm::put_header(body, *field, None, false, field.meta().n_bytes.into());
                });
            }
            Action::Multipath(m) => self.multipath(m),
            Action::Note(note) => self.nx(8, note),
            Action::Sample(s) => self.sample(s),
            Action::Ct(ct) => self.ct(ct),
            Action::Nat(nat) => self.nat(nat),
            Action::Clone(list) => {
                let start = self.begin(NX_VENDOR_ID, 42);
                self.b.put_zeros(6);
                put_actions(self.b, list, self.version);
                self.finish(start);
            }
            Action::CheckPktLarger { len, dst } => {
                self.nicira(49, 14, |body| {
                    body.put16(*len);
                    body.put16(dst.ofs);
                    nxm::put_header(body, dst.field, None, false, dst.width.into());
                });
            }
            Action::Encap(encap) => self.encap(encap),
            Action::Decap { new_packet_type } => self.nx32(47, new_packet_type.unwrap_or(USE_NEXT_PROTO)),
            Action::UnrollXlate { .. } => {}
            _ => self.simple(action),
        }
    }

    fn simple(&mut self, action: &Action) {
        match action {
            Action::DecTtl(Some(ids)) => {
                self.nicira(21, 6, |body| {
                    body.put16(ids.len() as u16);
                    body.put32(0);
                    ids.iter().for_each(|id| body.put16(*id));
                });
            }
            Action::DecTtl(None) => self.of11_or_nx(24, 18, &[]),
            Action::PopQueue => self.nx(5, &[]),
            Action::Exit => self.nx(17, &[]),
            Action::CtClear => self.nx(43, &[]),
            Action::DecNshTtl => self.nx(48, &[]),
            Action::DebugSlow => self.nx(254, &[]),
            Action::DebugRecirc => self.nx(255, &[]),
            Action::SetQueue(id) => self.of11_or_nx(21, 4, &id.to_be_bytes()),
            Action::DecMplsTtl => self.of11_or_nx(16, 26, &[]),
            Action::SetMplsTtl(ttl) => self.of11_or_nx(15, 25, &[*ttl]),
            Action::PushMpls { ethertype } => self.of11_or_nx(19, 23, &ethertype.to_be_bytes()),
            Action::PopMpls { ethertype } => self.of11_or_nx(20, 24, &ethertype.to_be_bytes()),
            Action::SetTunnel { id, wide } => match u32::try_from(*id) {
                _ if self.version >= Version::V12 => self.set_number(Field::TunId, *id),
                Ok(id) if !wide => self.nx32(2, id),
                _ => self.nicira(9, 14, |body| {
                    body.put_zeros(6);
                    body.put64(*id);
                }),
            },
            Action::FinTimeout { idle, hard } => {
                self.nicira(19, 6, |body| {
                    body.put16(*idle);
                    body.put16(*hard);
                });
            }
            Action::Resubmit(r) if r.table == 0xff && r.form == ResubmitForm::Port => {
                self.nx(1, &r.in_port.0.to_be_bytes());
            }
            Action::Resubmit(r) => {
                let port = r.in_port.0.to_be_bytes();
                self.nx(if r.with_ct_orig { 44 } else { 14 }, &[port[0], port[1], r.table]);
            }
            Action::Conjunction { id, clause, n_clauses } => {
                self.nicira(34, 6, |body| {
                    body.extend_from_slice(&[*clause, *n_clauses]);
                    body.put32(*id);
                });
            }
            Action::Meter(id) => match self.version {
                Version::V13 | Version::V14 => self.instruction(6, &id.to_be_bytes()),
                Version::V15 => self.of(29, &id.to_be_bytes()),
                _ => {}
            },
            Action::ClearActions if !self.v10() => self.instruction(5, &[0; 4]),
            Action::WriteActions(set) if !self.v10() => {
                let at = self.b.len();
                self.instruction(3, &[0; 4]);
                put_actions(self.b, set, self.version);
                finish_nested(self.b, at);
            }
            Action::WriteMetadata { metadata, mask } => {
                let mut body = vec![0; if self.v10() { 6 } else { 4 }];
                body.put64(*metadata);
                body.put64(*mask);
                if self.v10() { self.nx(22, &body) } else { self.instruction(2, &body) }
            }
            Action::GotoTable(table) if self.v10() => {
                let port = OfPort::IN_PORT.0.to_be_bytes();
                self.nx(14, &[port[0], port[1], *table]);
            }
            Action::GotoTable(table) => self.instruction(1, &[*table, 0, 0, 0]),
            _ => self.header(action),
        }
    }

    /// Actions that write a header field, each with its own number in the older versions.
    fn header(&mut self, action: &Action) {
        match action {
            Action::SetVlanVid { vid, push_if_needed, flow_has_vlan } => {
                self.push_vlan_if_needed(*push_if_needed && !flow_has_vlan);
                self.legacy((1, 1), &vid.to_be_bytes(), Field::VlanVid, u64::from(*vid) | 0x1000);
            }
            Action::SetVlanPcp { pcp, push_if_needed, flow_has_vlan } => {
                self.push_vlan_if_needed(*push_if_needed && !flow_has_vlan);
                self.legacy((2, 2), &[*pcp], Field::VlanPcp, (*pcp).into());
            }
            Action::StripVlan { .. } => self.of(if self.v10() { 3 } else { 18 }, &[]),
            // OpenFlow 1.0 has no push; setting the tag's parts, which follows, pushes it.
            Action::PushVlan { ethertype } if !self.v10() => self.of(17, &ethertype.to_be_bytes()),
            Action::SetEthSrc(mac) => self.legacy((4, 3), &mac_body(*mac), Field::EthSrc, *mac),
            Action::SetEthDst(mac) => self.legacy((5, 4), &mac_body(*mac), Field::EthDst, *mac),
            Action::SetIpv4Src(ip) => self.legacy((6, 5), &ip.to_be_bytes(), Field::Ipv4Src, (*ip).into()),
            Action::SetIpv4Dst(ip) => self.legacy((7, 6), &ip.to_be_bytes(), Field::Ipv4Dst, (*ip).into()),
            Action::SetIpDscp(dscp) => self.legacy((8, 7), &[*dscp], Field::IpDscp, u64::from(*dscp) >> 2),
            Action::SetIpEcn(ecn) if self.v10() => self.reg_load(Field::IpEcn, 0, 2, (*ecn).into()),
            Action::SetIpEcn(ecn) => self.legacy((0, 8), &[*ecn], Field::IpEcn, (*ecn).into()),
            Action::SetIpTtl(ttl) if self.v10() => self.reg_load(Field::IpTtl, 0, 8, (*ttl).into()),
            Action::SetIpTtl(ttl) => self.of(23, &[*ttl]),
            Action::SetL4SrcPort { port, proto } => {
                self.l4_port(9, *port, *proto, [Field::TcpSrc, Field::UdpSrc, Field::SctpSrc]);
            }
            Action::SetL4DstPort { port, proto } => {
                self.l4_port(10, *port, *proto, [Field::TcpDst, Field::UdpDst, Field::SctpDst]);
            }
            Action::SetMplsLabel(label) if self.version < Version::V12 => {
                self.of11_or_nx(13, 30, &label.to_be_bytes());
            }
            Action::SetMplsLabel(label) => self.set_number(Field::MplsLabel, (*label).into()),
            Action::SetMplsTc(tc) if self.version < Version::V12 => self.of11_or_nx(14, 31, &[*tc]),
            Action::SetMplsTc(tc) => self.set_number(Field::MplsTc, (*tc).into()),
            _ => {}
        }
    }

    fn push_vlan_if_needed(&mut self, needed: bool) {
        if needed && !self.v10() {
            self.of(17, &[0x81, 0x00]);
        }
    }

    fn l4_port(&mut self, kind: u16, port: u16, proto: u8, fields: [Field; 3]) {
        let field = match proto {
            6 => Some(fields[0]),
            17 => Some(fields[1]),
            132 => Some(fields[2]),
            _ => None,
        };
        match field {
            Some(field) if self.version >= Version::V12 => self.set_number(field, port.into()),
            _ => self.of(kind, &port.to_be_bytes()),
        }
    }

    fn output(&mut self, port: OfPort, max_len: u16) {
        let [max_high, max_low] = max_len.to_be_bytes();
        if self.v10() {
            let [port_high, port_low] = port.0.to_be_bytes();
            return self.of(0, &[port_high, port_low, max_high, max_low]);
        }
        let [a, b, c, d] = port.to_11().to_be_bytes();
        self.of(0, &[a, b, c, d, max_high, max_low, 0, 0, 0, 0, 0, 0]);
    }

    fn output_reg(&mut self, src: &Subfield, max_len: u16, long_form: bool) {
        let ofs_nbits = (src.ofs << 6) | src.n_bits.wrapping_sub(1);
        let mut body = ofs_nbits.to_be_bytes().to_vec();
        let width = usize::from(src.width);
        if long_form || !nxm::has_header32(src.field) {
            body.put16(max_len);
            nxm::put_header(&mut body, src.field, None, false, width);
            body.resize(14, 0);
            self.nx(32, &body);
        } else {
            body.put32(nxm::header32(src.field, width));
            body.put16(max_len);
            body.put_zeros(6);
            self.nx(15, &body);
        }
    }

    fn controller(&mut self, c: &Controller) {
        if c.userdata.is_empty() && !c.pause && c.meter_id.is_none() && !c.property_form {
            self.nicira(20, 6, |body| {
                body.put16(c.max_len);
                body.put16(c.controller_id);
                body.push(c.reason);
            });
            return;
        }
        let start = self.begin(NX_VENDOR_ID, 37);
        self.b.put_zeros(6);
        if c.max_len != u16::MAX {
            self.property(0, &(u32::from(c.max_len) << 16).to_be_bytes());
        }
        if c.controller_id != 0 {
            self.property(1, &(u32::from(c.controller_id) << 16).to_be_bytes());
        }
        if c.reason != REASON_ACTION {
            self.property(2, &[c.reason]);
        }
        if !c.userdata.is_empty() {
            self.property(3, &c.userdata);
        }
        if c.pause {
            self.property(4, &[]);
        }
        if let Some(id) = c.meter_id.filter(|id| *id != NO_METER) {
            self.property(5, &id.to_be_bytes());
        }
        self.finish(start);
    }

    fn property(&mut self, kind: u16, body: &[u8]) {
        let start = self.b.len();
        self.b.put16(kind);
        self.b.put16((4 + body.len()) as u16);
        self.b.extend_from_slice(body);
        self.b.pad8(start);
    }

    fn enqueue(&mut self, port: OfPort, queue: u32) {
        if self.v10() {
            let mut body = port.0.to_be_bytes().to_vec();
            body.put_zeros(6);
            body.put32(queue);
            self.of(11, &body);
        } else {
            self.of(21, &queue.to_be_bytes());
            self.output(port, u16::MAX);
            self.nx(5, &[]);
        }
    }

    fn bundle(&mut self, bundle: &Bundle) {
        let mut body = bundle.algorithm.wire().to_be_bytes().to_vec();
        body.put16(bundle.fields.wire());
        body.put16(bundle.basis);
        body.put32(2);
        body.put16(bundle.members.len() as u16);
        match &bundle.dst {
            Some(dst) => {
                body.put16((dst.ofs << 6) | dst.n_bits.wrapping_sub(1));
                body.put32(nxm::header32(dst.field, dst.width.into()));
            }
            None => body.put_zeros(6),
        }
        body.put_zeros(4);
        bundle.members.iter().for_each(|port| body.put16(port.0));
        self.nx(if bundle.dst.is_some() { 13 } else { 12 }, &body);
    }

    fn set(&mut self, set: &SetField) {
        if self.version >= Version::V15 {
            self.set_field(set.field, &set.value, &set.mask);
        } else if set.form != SetFieldForm::SetField {
            self.nicira_set(set);
        } else if self.version < Version::V12 {
            self.legacy_set(set);
        } else if set.mask.is_ones() {
            self.set_field(set.field, &set.value, &set.mask);
        } else {
            self.nicira_set(set);
        }
    }

    fn nicira_set(&mut self, set: &SetField) {
        let is_option = matches!(set.field, Field::TunMetadata(_));
        if set.form == SetFieldForm::LongLoad || !nxm::has_header32(set.field) || is_option {
            let start = self.begin(NX_VENDOR_ID, 33);
            nxm::put_entry(self.b, set.field, None, &set.value, &set.mask);
            self.finish(start);
            return;
        }
        for (dst, number) in super::set::load_segments(set) {
            self.reg_load(dst.field, dst.ofs, dst.n_bits, number);
        }
    }

    /// A whole field by an action of OpenFlow 1.0 or 1.1, if there is one.
    fn legacy_set(&mut self, set: &SetField) {
        let number = set.value.to_u128() as u64;
        let of10 = self.v10();
        let kind = |k10: u16, k11: u16| if of10 { k10 } else { k11 };
        match set.field {
            Field::VlanTci if number & 0x1000 == 0 => self.of(kind(3, 18), &[]),
            Field::VlanTci => {
                self.push_vlan_if_needed(!set.flow_has_vlan);
                self.of(1, &(number as u16 & 0xfff).to_be_bytes());
                self.of(2, &[(number >> 13) as u8]);
            }
            Field::VlanVid => self.of(1, &(number as u16 & 0xfff).to_be_bytes()),
            Field::VlanPcp => self.of(2, &[number as u8]),
            Field::EthSrc => self.of(kind(4, 3), &mac_body(number)),
            Field::EthDst => self.of(kind(5, 4), &mac_body(number)),
            Field::Ipv4Src => self.of(kind(6, 5), &(number as u32).to_be_bytes()),
            Field::Ipv4Dst => self.of(kind(7, 6), &(number as u32).to_be_bytes()),
            Field::NwTos => self.of(kind(8, 7), &[number as u8]),
            Field::IpDscp => self.of(kind(8, 7), &[(number as u8) << 2]),
            Field::IpEcn => self.action(&Action::SetIpEcn(number as u8)),
            Field::TcpSrc | Field::UdpSrc => self.of(9, &(number as u16).to_be_bytes()),
            Field::TcpDst | Field::UdpDst => self.of(10, &(number as u16).to_be_bytes()),
            _ => self.nicira_set(set),
        }
    }

    fn reg_move(&mut self, src: &Subfield, dst: &Subfield, onf: bool) {
        let start = self.b.len();
        let mut version = Some(self.version);
        if self.version >= Version::V15 {
            self.b.put16(28);
            self.b.put16(0);
            [dst.n_bits, src.ofs, dst.ofs, 0].iter().for_each(|n| self.b.put16(*n));
        } else if self.version == Version::V13 && onf {
            self.begin(ONF_VENDOR_ID, 3200);
            [0, dst.n_bits, src.ofs, dst.ofs, 0].iter().for_each(|n| self.b.put16(*n));
        } else {
            self.begin(NX_VENDOR_ID, 6);
            [dst.n_bits, src.ofs, dst.ofs].iter().for_each(|n| self.b.put16(*n));
            version = None;
        }
        for sub in [src, dst] {
            nxm::put_header(self.b, sub.field, version, false, sub.width.into());
        }
        self.finish(start);
    }

    fn stack(&mut self, subtype: u16, sub: &Subfield) {
        self.nicira(subtype, 14, |body| {
            body.put16(sub.ofs);
            nxm::put_header(body, sub.field, None, false, sub.width.into());
            body.put16(sub.n_bits);
        });
    }

    fn multipath(&mut self, m: &Multipath) {
        let mut body = m.fields.wire().to_be_bytes().to_vec();
        [m.basis, 0, m.algorithm as u16, m.max_link].iter().for_each(|n| body.put16(*n));
        body.put32(m.arg);
        body.put16(0);
        body.put16((m.dst.ofs << 6) | m.dst.n_bits.wrapping_sub(1));
        body.put32(nxm::header32(m.dst.field, m.dst.width.into()));
        self.nx(10, &body);
    }

    fn sample(&mut self, s: &Sample) {
        let mut body = s.probability.to_be_bytes().to_vec();
        [s.collector_set_id, s.obs_domain_id, s.obs_point_id].iter().for_each(|n| body.put32(*n));
        let subtype = if s.form == 3 || s.direction != SampleDirection::Default {
            41
        } else if s.form == 2 || s.sampling_port != OfPort::NONE {
            38
        } else {
            29
        };
        if subtype != 29 {
            body.put16(s.sampling_port.0);
            body.push(s.direction as u8);
            body.put_zeros(5);
        }
        self.nx(subtype, &body);
    }

    fn ct(&mut self, ct: &Ct) {
        let start = self.begin(NX_VENDOR_ID, 35);
        self.b.put16(ct.flags | u16::from(ct.commit) | (u16::from(ct.force) << 1));
        match &ct.zone {
            CtZone::Imm(zone) => {
                self.b.put32(0);
                self.b.put16(*zone);
            }
            CtZone::Field(sub) => {
                self.b.put32(nxm::header32(sub.field, sub.width.into()));
                self.b.put16((sub.ofs << 6) | sub.n_bits.wrapping_sub(1));
            }
        }
        self.b.extend_from_slice(&[ct.table.unwrap_or(0xff), 0, 0, 0]);
        self.b.put16(ct.alg);
        put_actions(self.b, &ct.actions, self.version);
        self.finish(start);
    }

    fn nat(&mut self, nat: &Nat) {
        let direction = match nat.direction {
            Some(NatDirection::Src) => 1,
            Some(NatDirection::Dst) => 2,
            None => 0,
        };
        let bit = |set: bool, bit: u16| if set { bit } else { 0 };
        let flags = direction | bit(nat.persistent, 4) | bit(nat.hash, 8) | bit(nat.random, 16);
        let mut present = 0;
        let mut options = Vec::new();
        if let Some((min, max)) = nat.addresses {
            for (i, address) in [Some(min), max].into_iter().enumerate() {
                match address.filter(|a| !a.is_unspecified()) {
                    Some(IpAddr::V4(a)) => {
                        options.extend_from_slice(&a.octets());
                        present |= 1 << i;
                    }
                    Some(IpAddr::V6(a)) => {
                        options.extend_from_slice(&a.octets());
                        present |= 4 << i;
                    }
                    None => {}
                }
            }
            let ports = nat.ports.map_or([0, 0], |(min, max)| [min, max.unwrap_or(0)]);
            for (i, port) in ports.into_iter().enumerate().filter(|(_, port)| *port != 0) {
                options.put16(port);
                present |= 16 << i;
            }
        }
        let mut body = vec![0; 2];
        body.put16(flags);
        body.put16(present);
        body.extend_from_slice(&options);
        self.nx(36, &body);
    }

    fn encap(&mut self, encap: &Encap) {
        let mut body = encap.hdr_size.to_be_bytes().to_vec();
        body.put32(encap.new_packet_type);
        for prop in &encap.props {
            match prop {
                EncapProp::NshMdType(md_type) => body.extend_from_slice(&[0, 4, 1, 5, *md_type, 0, 0, 0]),
                EncapProp::NshTlv { class, kind, len, data } => {
                    body.extend_from_slice(&[0, 4, 2, (8 + data.len()) as u8]);
                    body.put16(*class);
                    body.extend_from_slice(&[*kind, *len]);
                    body.extend_from_slice(data);
                }
            }
        }
        self.nx(46, &body);
    }
}

/// A MAC address and the padding behind it.
fn mac_body(mac: u64) -> [u8; 12] {
    let mut body = [0; 12];
    body[..6].copy_from_slice(&mac.to_be_bytes()[2..]);
    body
}
