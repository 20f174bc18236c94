//! Flushing of tracked connections: NXT_CT_FLUSH.

use std::net::Ipv6Addr;

use super::wire::{self, Put, Reader};
use crate::{ErrorCode, OfError};

/// One direction's tuple; what is `None` matches all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct CtTuple {
    /// Source address; IPv4 as a mapped IPv6 address.
    pub src: Option<Ipv6Addr>,
    /// Destination address; IPv4 as a mapped IPv6 address.
    pub dst: Option<Ipv6Addr>,
    /// Source port.
    pub src_port: Option<u16>,
    /// Destination port.
    pub dst_port: Option<u16>,
    /// ICMP identifier.
    pub icmp_id: Option<u16>,
    /// ICMP type.
    pub icmp_type: Option<u8>,
    /// ICMP code.
    pub icmp_code: Option<u8>,
}

/// Which connections to flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct CtFlush {
    /// Zone, all if `None`.
    pub zone: Option<u16>,
    /// IP protocol, 0 for any.
    pub ip_proto: u8,
    /// Original direction.
    pub orig: CtTuple,
    /// Reply direction.
    pub reply: CtTuple,
}

const ORIG: u16 = 0;
const REPLY: u16 = 1;
const ZONE: u16 = 2;

/// A property's value, which more octets may follow.
fn leading<const N: usize>(value: &[u8]) -> Result<[u8; N], OfError> {
    value.first_chunk().copied().ok_or(ErrorCode::OFPBPC_BAD_LEN.into())
}

fn address(value: &[u8]) -> Result<Option<Ipv6Addr>, OfError> {
    leading::<16>(value).map(|octets| Some(octets.into()))
}

fn number16(value: &[u8]) -> Result<Option<u16>, OfError> {
    leading(value).map(|octets| Some(u16::from_be_bytes(octets)))
}

fn number8(value: &[u8]) -> Result<Option<u8>, OfError> {
    leading::<1>(value).map(|octets| Some(octets[0]))
}

fn decode_tuple(value: &[u8]) -> Result<CtTuple, OfError> {
    let mut list = Reader::new(value);
    list.skip(4).map_err(|_| ErrorCode::OFPBPC_BAD_LEN)?;
    let mut tuple = CtTuple::default();
    while !list.is_empty() {
        let property = wire::property(&mut list)?;
        match property.kind {
            0 => tuple.src = address(property.value)?,
            1 => tuple.dst = address(property.value)?,
            2 => tuple.src_port = number16(property.value)?,
            3 => tuple.dst_port = number16(property.value)?,
            4 => tuple.icmp_id = number16(property.value)?,
            5 => tuple.icmp_type = number8(property.value)?,
            6 => tuple.icmp_code = number8(property.value)?,
            _ => {}
        }
    }
    Ok(tuple)
}

/// Reads a request. Properties of unknown types say nothing.
pub(super) fn decode(body: &[u8]) -> Result<CtFlush, OfError> {
    let mut body = Reader::new(body);
    let mut flush = CtFlush { ip_proto: body.u8()?, ..CtFlush::default() };
    wire::must_be_zero(body.take(7)?, ErrorCode::NXBRC_MUST_BE_ZERO)?;
    while !body.is_empty() {
        let property = wire::property(&mut body)?;
        match property.kind {
            ORIG => flush.orig = decode_tuple(property.value)?,
            REPLY => flush.reply = decode_tuple(property.value)?,
            ZONE => flush.zone = number16(property.value)?,
            _ => {}
        }
    }
    Ok(flush)
}

fn put16(out: &mut Vec<u8>, kind: u16, value: u16) {
    let start = wire::start_property(out, kind);
    out.put16(value);
    out.zeros(2);
    wire::end_property(out, start);
}

fn encode_tuple(out: &mut Vec<u8>, kind: u16, tuple: &CtTuple) {
    if *tuple == CtTuple::default() {
        return;
    }
    let start = wire::start_property(out, kind);
    out.zeros(4);
    for (kind, address) in [(0, tuple.src), (1, tuple.dst)] {
        if let Some(address) = address {
            let start = wire::start_property(out, kind);
            out.octets(&address.octets());
            wire::end_property(out, start);
        }
    }
    for (kind, number) in [(2, tuple.src_port), (3, tuple.dst_port), (4, tuple.icmp_id)] {
        if let Some(number) = number {
            put16(out, kind, number);
        }
    }
    for (kind, number) in [(5, tuple.icmp_type), (6, tuple.icmp_code)] {
        if let Some(number) = number {
            let start = wire::start_property(out, kind);
            out.put8(number);
            wire::end_property(out, start);
        }
    }
    wire::end_property(out, start);
}

pub(super) fn encode(out: &mut Vec<u8>, flush: &CtFlush) {
    out.put8(flush.ip_proto);
    out.zeros(7);
    encode_tuple(out, ORIG, &flush.orig);
    encode_tuple(out, REPLY, &flush.reply);
    if let Some(zone) = flush.zone {
        put16(out, ZONE, zone);
    }
}
