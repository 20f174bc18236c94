//! OXM and NXM fields on the wire: headers, and entries of value and mask.
//!
//! A header is `class (16), field (7), has mask (1), length (8)`; class 0xffff is followed by an experimenter number that
//! the length counts. Source: OpenFlow 1.5.1 section 7.2.3.2, ovs-fields(7).

use std::sync::LazyLock;

use flow::field::{ALL, Class, Field, Header, TunTable, Value};
use flow::hash;

use crate::wire::{Put, be16, be32};
use crate::{ErrorCode, OfError, Version};

/// A header as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawHeader {
    /// `oxm_class`.
    pub class: u16,
    /// Experimenter of class 0xffff, else 0.
    pub experimenter: u32,
    /// `oxm_field`.
    pub number: u8,
    /// Whether a mask follows the value.
    pub has_mask: bool,
    /// Octets of value and mask together.
    pub payload: usize,
}

/// Class and number of the pseudo field that restricts a request to cookies.
const COOKIE: (u16, u8) = (1, 30);

impl RawHeader {
    /// Octets of the value alone.
    pub fn width(&self) -> usize {
        if self.has_mask { self.payload / 2 } else { self.payload }
    }

    /// Whether it is the cookie's pseudo field.
    pub fn is_cookie(&self) -> bool {
        (self.class, self.number) == COOKIE && self.width() == 8 && self.payload == if self.has_mask { 16 } else { 8 }
    }

    /// The field, and its name in this form.
    fn lookup(&self) -> Option<(Field, &'static Header)> {
        Field::by_header(self.class, self.experimenter, self.number)
    }
}

/// Whether errors are those of an action or those of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Inside an action.
    Action,
    /// Inside a match.
    Match,
}

impl Place {
    /// What is wrong with a header that names no field: its number is nobody's, or its length not the field's.
    fn unknown(self, header: &RawHeader) -> ErrorCode {
        match self {
            Place::Action if shares_bucket(header) => ErrorCode::OFPBAC_BAD_SET_LEN,
            Place::Action => ErrorCode::OFPBAC_BAD_SET_TYPE,
            Place::Match => ErrorCode::OFPBMC_BAD_FIELD,
        }
    }
}

/// Buckets of the hash table of headers by which Open vSwitch looks for a field.
const BUCKETS: usize = 128;

/// Lengths of the fields in each bucket.
static BUCKET_LENGTHS: LazyLock<Vec<Vec<usize>>> = LazyLock::new(|| {
    let mut buckets = vec![Vec::new(); BUCKETS];
    for meta in ALL.iter().map(|field| field.meta()) {
        for header in meta.headers {
            let (class, number) = (header.class, header.number);
            let length = usize::from(meta.n_bytes) + experimenter_len(class.class);
            buckets[bucket_of(class.class, class.experimenter, number, length)].push(length);
        }
    }
    buckets
});

/// The length counts with its highest bit alone.
fn bucket_of(class: u16, experimenter: u32, number: u8, length: usize) -> usize {
    let header = u32::from(class) << 16 | u32::from(number) << 9 | (length & 0x80) as u32;
    hash::finish(hash::add(hash::add(0, experimenter), header), 8) as usize % BUCKETS
}

/// Octets of the experimenter's number, which a length counts.
fn experimenter_len(class: u16) -> usize {
    if class == Class::EXPERIMENTER { 4 } else { 0 }
}

/// Whether a field of another length is met on the search for a header. Open vSwitch then calls the length bad, whatever
/// field it was that has another, and the type otherwise.
fn shares_bucket(header: &RawHeader) -> bool {
    let length = header.width() + experimenter_len(header.class);
    let bucket = bucket_of(header.class, header.experimenter, header.number, length);
    length > 0 && BUCKET_LENGTHS[bucket].iter().any(|other| *other != length)
}

/// Octets of a field's value: those of a mapped tunnel option, else the field's own.
pub fn n_bytes(field: Field, tun: Option<&TunTable>) -> usize {
    match (field, tun) {
        (Field::TunMetadata(i), Some(tun)) => {
            tun.entry(i).map_or(usize::from(field.meta().n_bytes), |e| usize::from(e.len))
        }
        _ => usize::from(field.meta().n_bytes),
    }
}

/// Bits of a field: those of a mapped tunnel option, else the field's own.
pub fn n_bits(field: Field, tun: Option<&TunTable>) -> usize {
    match field {
        Field::TunMetadata(_) => n_bytes(field, tun) * 8,
        _ => usize::from(field.meta().n_bits),
    }
}

/// Reads a header, which names no field if it is unknown, and advances `b` beyond it.
///
/// # Errors
/// OFPBMC_BAD_LEN for what is no header at all.
pub fn pull_raw_header(b: &mut &[u8]) -> Result<RawHeader, OfError> {
    if b.len() < 4 {
        return Err(ErrorCode::OFPBMC_BAD_LEN.into());
    }
    let (class, length) = (be16(b, 0), usize::from(b[3]));
    let is_experimenter = class == Class::EXPERIMENTER;
    if is_experimenter && b.len() < 8 {
        return Err(ErrorCode::OFPBMC_BAD_LEN.into());
    }
    if is_experimenter && length < 4 {
        let header = format!("{:#x}:{class}:{}:{}:{length}", be32(b, 4), b[2] >> 1, b[2] & 1);
        let text = format!("OXM header {header} has invalid length {length} (minimum is 8)");
        return Err(ErrorCode::OFPBMC_BAD_LEN.because("nx_match", text));
    }
    let header = RawHeader {
        class,
        experimenter: if is_experimenter { be32(b, 4) } else { 0 },
        number: b[2] >> 1,
        has_mask: b[2] & 1 != 0,
        payload: if is_experimenter { length - 4 } else { length },
    };
    *b = &b[if is_experimenter { 8 } else { 4 }..];
    Ok(header)
}

/// The field that a header names.
///
/// # Errors
/// The errors of `place` for an unknown field or a length that is not the field's; and for an unmapped tunnel option.
pub fn resolve(header: &RawHeader, place: Place, tun: Option<&TunTable>) -> Result<Field, ErrorCode> {
    let (field, _) = header.lookup().ok_or(place.unknown(header))?;
    if let Field::TunMetadata(i) = field {
        return match tun {
            _ if header.width() > TUN_MAX_LEN => Err(place.unknown(header)),
            Some(tun) if tun.entry(i).is_none() => Err(ErrorCode::NXFMFC_INVALID_TLV_FIELD),
            _ => Ok(field),
        };
    }
    if header.width() == usize::from(field.meta().n_bytes) { Ok(field) } else { Err(place.unknown(header)) }
}

/// Reads a header without mask and advances `b` beyond it.
///
/// # Errors
/// As [`resolve`]; OFPBMC_BAD_MASK for a mask.
pub fn pull_header(b: &mut &[u8], tun: Option<&TunTable>) -> Result<Field, OfError> {
    let header = pull_raw_header(b)?;
    let field = resolve(&header, Place::Match, tun)?;
    if header.has_mask { Err(ErrorCode::OFPBMC_BAD_MASK.into()) } else { Ok(field) }
}

/// The field of a 32-bit header, as the older Nicira actions have it; mask and length do not matter.
///
/// # Errors
/// OFPBAC_BAD_SET_TYPE for an unknown field.
pub fn from_header32(header: u32, tun: Option<&TunTable>) -> Result<Field, ErrorCode> {
    let octets = header.to_be_bytes();
    let header = pull_raw_header(&mut &octets[..]).map_err(|_| ErrorCode::OFPBAC_BAD_SET_TYPE)?;
    resolve(&header, Place::Action, tun).map_err(|e| match e {
        ErrorCode::OFPBAC_BAD_SET_LEN => ErrorCode::OFPBAC_BAD_SET_TYPE,
        e => e,
    })
}

/// What [`pull_entry`] reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As on the wire.
    pub header: RawHeader,
    /// The field, or why there is none.
    pub field: Result<Field, ErrorCode>,
    /// Value, as wide as the field.
    pub value: Value,
    /// Mask, as wide as the field; all ones without one.
    pub mask: Value,
}

/// Longest value of a tunnel option that is taken, though its field has 124 octets.
const TUN_MAX_LEN: usize = 127;

/// A value's octets at the width of the field: on the right for tunnel options, of which the last are kept.
fn widen(payload: &[u8], width: usize) -> Value {
    let mut value = Value::zeros(width);
    let n = payload.len().min(width);
    value.0[width - n..].copy_from_slice(&payload[payload.len() - n..]);
    value
}

/// Reads an entry and advances `b` beyond it. An unknown field is told in the entry, so that the caller may skip it.
///
/// # Errors
/// OFPBMC_BAD_LEN when it is cut, OFPBMC_BAD_WILDCARDS for value bits outside the mask.
pub fn pull_entry(b: &mut &[u8], place: Place, tun: Option<&TunTable>) -> Result<Entry, OfError> {
    let header = pull_raw_header(b)?;
    let field = resolve(&header, place, tun);
    if let Err(e) = field
        && e != ErrorCode::OFPBMC_BAD_FIELD
        && !header.is_cookie()
    {
        return Err(e.into());
    }
    let payload = b.get(..header.payload).ok_or(ErrorCode::OFPBMC_BAD_LEN)?;
    *b = &b[header.payload..];
    let width = header.width();
    let (value, mask) = if header.has_mask { payload.split_at(width) } else { (payload, &[][..]) };
    if header.has_mask && value.iter().zip(mask).any(|(v, m)| v & !m != 0) {
        let RawHeader { class, experimenter, number, has_mask, payload } = header;
        // A length counts the experimenter, which is shown with its prefix unless there is none.
        let (experimenter, payload) = match experimenter {
            0 => ("0".to_owned(), payload),
            id => (format!("{id:#x}"), payload + 4),
        };
        let header = format!("{experimenter}:{class}:{number}:{}:{payload}", u8::from(has_mask));
        let text = format!("Rejecting NXM/OXM entry {header} with 1-bits in value for bits wildcarded by the mask.");
        return Err(ErrorCode::OFPBMC_BAD_WILDCARDS.because("nx_match", text));
    }
    let wide = field.map_or(width, |f| n_bytes(f, tun));
    let mask = if header.has_mask { widen(&mask[..width], wide) } else { Value::ones(wide, wide * 8) };
    Ok(Entry { header, field, value: widen(value, wide), mask })
}

/// An entry of a field that fits a number and has its own length, without an experimenter: field, value, mask, and what
/// is behind it. Anything else is [`pull_entry`]'s.
#[inline]
pub(crate) fn take_number(b: &[u8]) -> Option<(Field, u128, u128, &[u8])> {
    let (header, b) = b.split_first_chunk::<4>()?;
    let class = be16(header, 0);
    if class == Class::EXPERIMENTER {
        return None;
    }
    let (field, _) = Field::by_header(class, 0, header[2] >> 1)?;
    let (n, has_mask) = (usize::from(field.meta().n_bytes), header[2] & 1 != 0);
    if !(1..=16).contains(&n) || usize::from(header[3]) != if has_mask { 2 * n } else { n } {
        return None;
    }
    let (value, rest) = b.split_at_checked(n)?;
    let whole = u128::MAX >> (128 - 8 * n);
    if !has_mask {
        return Some((field, number(value), whole, rest));
    }
    let (mask, rest) = rest.split_at_checked(n)?;
    Some((field, number(value), number(mask), rest))
}

/// Octets as a number.
fn number(octets: &[u8]) -> u128 {
    if octets.len() <= 8 {
        return octets.iter().fold(0u64, |number, octet| number << 8 | u64::from(*octet)).into();
    }
    octets.iter().fold(0, |number, octet| number << 8 | u128::from(*octet))
}

/// The number of a field in `version`; `None` prefers the Nicira one.
pub fn header_for(field: Field, version: Option<Version>) -> Option<&'static Header> {
    let headers = field.meta().headers;
    let oldest = headers.iter().min_by_key(|h| h.since);
    match version {
        None => oldest,
        Some(v) => headers.iter().filter(|h| h.since <= v.wire()).max_by_key(|h| h.since).or(oldest),
    }
}

/// Whether a 32-bit header can name the field.
pub fn has_header32(field: Field) -> bool {
    header_for(field, None).is_some_and(|h| h.class.class != Class::EXPERIMENTER)
}

pub(crate) fn put_raw_header(b: &mut Vec<u8>, class: Class, number: u8, has_mask: bool, width: usize) {
    let experimenter = class.class == Class::EXPERIMENTER;
    let payload = if has_mask { width * 2 } else { width };
    let length = payload + if experimenter { 4 } else { 0 };
    b.put16(class.class);
    b.push((number << 1) | u8::from(has_mask));
    b.push(length as u8);
    if experimenter {
        b.put32(class.experimenter);
    }
}

/// Appends the header of a field of `width` octets. A field that has no number gets an empty header, which nobody takes.
pub fn put_header(b: &mut Vec<u8>, field: Field, version: Option<Version>, has_mask: bool, width: usize) {
    match header_for(field, version) {
        Some(header) => put_raw_header(b, header.class, header.number, has_mask, width),
        None => b.put32(0),
    }
}

/// The 32-bit header of a field of `width` octets, 0 if it has none.
pub fn header32(field: Field, width: usize) -> u32 {
    match header_for(field, None) {
        Some(header) if header.class.class != Class::EXPERIMENTER => {
            (u32::from(header.class.class) << 16) | (u32::from(header.number) << 9) | width as u32
        }
        _ => 0,
    }
}

/// Appends an entry. A mask of all ones is left out; tunnel options lose their leading zero octets.
pub fn put_entry(b: &mut Vec<u8>, field: Field, version: Option<Version>, value: &Value, mask: &Value) {
    let skip = leading(field, value, mask);
    let has_mask = !mask.is_ones();
    let (value, mask) = (&value.octets()[skip..], &mask.octets()[skip..]);
    match header_for(field, version) {
        Some(header) => put_raw_header(b, header.class, header.number, has_mask, value.len()),
        None => put_raw_header(b, Class::NXM_0, 0, has_mask, value.len()),
    }
    b.extend_from_slice(value);
    if has_mask {
        b.extend_from_slice(mask);
    }
}

/// Leading octets of a tunnel option that carry nothing, which may be all.
pub fn leading(field: Field, value: &Value, mask: &Value) -> usize {
    let Field::TunMetadata(_) = field else { return 0 };
    let exact = mask.is_ones();
    value.octets().iter().zip(mask.octets()).take_while(|(v, m)| **v == 0 && (exact || **m == 0)).count()
}

/// Appends the pseudo field that restricts a request to cookies.
pub fn put_cookie(b: &mut Vec<u8>, cookie: u64, mask: u64) {
    let has_mask = mask != u64::MAX;
    put_raw_header(b, Class::NXM_1, COOKIE.1, has_mask, 8);
    b.put64(cookie & mask);
    if has_mask {
        b.put64(mask);
    }
}
