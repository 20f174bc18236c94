//! `learn` on the wire: NXAST_LEARN and NXAST_LEARN2.
//!
//! Source: ovs-actions(7), "The learn action".

use super::decode::Decoding;
use super::{Action, Learn, LearnDst, LearnSpec, LearnSrc, Subfield};
use crate::nxm;
use crate::wire::{Put, be16, be32, be64, zero_from};
use crate::{ErrorCode, NX_VENDOR_ID, OfError};

const SRC_IMMEDIATE: u16 = 1 << 13;
const DST_MASK: u16 = 3 << 11;
const DST_LOAD: u16 = 1 << 11;
const DST_OUTPUT: u16 = 2 << 11;
const N_BITS: u16 = 0x3ff;

const F_SEND_FLOW_REM: u16 = 1;
const F_DELETE_LEARNED: u16 = 2;
const F_WRITE_RESULT: u16 = 4;

pub(super) fn pull_learn(a: &[u8], d: &Decoding<'_>, long_form: bool) -> Result<Action, OfError> {
    const BAD: ErrorCode = ErrorCode::OFPBAC_BAD_ARGUMENT;
    if long_form && be16(a, 38) != 0 {
        return Err(ErrorCode::NXBAC_MUST_BE_ZERO.into());
    }
    let (flags, table) = (be16(a, 24), a[26]);
    let known = if long_form { 7 } else { 3 };
    if a[27] != 0 || table == 0xff || flags & !known != 0 {
        return Err(BAD.into());
    }
    let mut rest = &a[if long_form { 40 } else { 32 }..];
    let mut result_dst = None;
    if flags & F_WRITE_RESULT != 0 {
        let field = nxm::pull_header(&mut rest, d.tun)?;
        if !field.meta().writable {
            return Err(ErrorCode::OFPBAC_BAD_SET_ARGUMENT.into());
        }
        result_dst = Some(Subfield::of(field, be16(a, 36), 1, d.tun));
    } else if long_form && be16(a, 36) != 0 {
        return Err(BAD.into());
    }
    Ok(Action::Learn(Box::new(Learn {
        idle_timeout: be16(a, 10),
        hard_timeout: be16(a, 12),
        fin_idle_timeout: be16(a, 28),
        fin_hard_timeout: be16(a, 30),
        priority: be16(a, 14),
        table,
        cookie: be64(a, 16),
        send_flow_rem: flags & F_SEND_FLOW_REM != 0,
        delete_learned: flags & F_DELETE_LEARNED != 0,
        limit: if long_form { be32(a, 32) } else { 0 },
        result_dst,
        specs: pull_specs(rest, d)?,
        long_form,
    })))
}

fn pull_specs(mut b: &[u8], d: &Decoding<'_>) -> Result<Vec<LearnSpec>, OfError> {
    let mut specs = Vec::new();
    let pull_subfield = |b: &mut &[u8], n_bits: u16| -> Result<Subfield, OfError> {
        let six = b.get(..6).ok_or(ErrorCode::OFPBAC_BAD_LEN)?;
        *b = &b[6..];
        Ok(Subfield::of(nxm::from_header32(be32(six, 0), d.tun)?, be16(six, 4), n_bits, d.tun))
    };
    while b.len() >= 2 {
        let header = be16(b, 0);
        if header == 0 {
            break;
        }
        b = &b[2..];
        let (immediate, dst, n_bits) = (header & SRC_IMMEDIATE != 0, header & DST_MASK, header & N_BITS);
        if dst == DST_MASK || dst == DST_OUTPUT && immediate {
            return Err(ErrorCode::OFPBAC_BAD_ARGUMENT.into());
        }
        let (bytes, padded) = (usize::from(n_bits.div_ceil(8)), usize::from(n_bits.div_ceil(16)) * 2);
        let need = if immediate { padded } else { 6 } + if dst == DST_OUTPUT { 0 } else { 6 };
        if b.len() < need {
            return Err(ErrorCode::OFPBAC_BAD_LEN.into());
        }
        let src = if immediate {
            let value = b[padded - bytes..padded].to_vec();
            b = &b[padded..];
            LearnSrc::Immediate(value)
        } else {
            LearnSrc::Field(pull_subfield(&mut b, n_bits)?)
        };
        let dst = match dst {
            DST_OUTPUT => LearnDst::Output,
            DST_LOAD => LearnDst::Load(pull_subfield(&mut b, n_bits)?),
            _ => LearnDst::Match(pull_subfield(&mut b, n_bits)?),
        };
        specs.push(LearnSpec { src, dst, n_bits });
    }
    if zero_from(b, 0) { Ok(specs) } else { Err(ErrorCode::OFPBAC_BAD_ARGUMENT.into()) }
}

pub(super) fn put_learn(b: &mut Vec<u8>, learn: &Learn) {
    let start = b.len();
    let long = learn.long_form || learn.limit != 0 || learn.result_dst.is_some();
    b.put16(0xffff);
    b.put16(0);
    b.put32(NX_VENDOR_ID);
    b.put16(if long { 45 } else { 16 });
    b.put16(learn.idle_timeout);
    b.put16(learn.hard_timeout);
    b.put16(learn.priority);
    b.put64(learn.cookie);
    let flag = |set: bool, bit: u16| if set { bit } else { 0 };
    b.put16(
        flag(learn.send_flow_rem, F_SEND_FLOW_REM)
            | flag(learn.delete_learned, F_DELETE_LEARNED)
            | flag(learn.result_dst.is_some(), F_WRITE_RESULT),
    );
    b.extend_from_slice(&[learn.table, 0]);
    b.put16(learn.fin_idle_timeout);
    b.put16(learn.fin_hard_timeout);
    if long {
        b.put32(learn.limit);
        b.put16(learn.result_dst.map_or(0, |dst| dst.ofs));
        b.put16(0);
    }
    if let Some(dst) = learn.result_dst {
        nxm::put_header(b, dst.field, None, false, dst.width.into());
    }
    let put_subfield = |b: &mut Vec<u8>, sub: &Subfield| {
        b.put32(nxm::header32(sub.field, sub.width.into()));
        b.put16(sub.ofs);
    };
    for spec in &learn.specs {
        let src = if matches!(spec.src, LearnSrc::Immediate(_)) { SRC_IMMEDIATE } else { 0 };
        let dst = match spec.dst {
            LearnDst::Match(_) => 0,
            LearnDst::Load(_) => DST_LOAD,
            LearnDst::Output => DST_OUTPUT,
        };
        b.put16(src | dst | spec.n_bits);
        match &spec.src {
            LearnSrc::Field(sub) => put_subfield(b, sub),
            LearnSrc::Immediate(value) => {
                b.put_zeros(usize::from(spec.n_bits.div_ceil(16)) * 2 - value.len());
                b.extend_from_slice(value);
            }
        }
        if let LearnDst::Match(sub) | LearnDst::Load(sub) = &spec.dst {
            put_subfield(b, sub);
        }
    }
    b.pad8(start);
    let len = b.len() - start;
    b.set16(start + 2, len as u16);
}
