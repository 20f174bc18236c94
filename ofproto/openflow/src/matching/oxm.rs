//! Matches as lists of fields: NXM (Nicira, OpenFlow 1.0) and OXM (OpenFlow 1.2 and later).
//!
//! Source: OpenFlow 1.5.1 section 7.2.3, ovs-fields(7).

use std::sync::{Arc, LazyLock};

use flow::field::{Field, Location, TunTable, Value};

use super::{Match, dl_type, fixed, is_own_mask};
use crate::message::wire;
use crate::nxm::{self, Entry, Place};
use crate::wire::{Put, be16};
use crate::{ErrorCode, OfError, Version};

/// How to read a list of fields.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading<'a> {
    /// Skip unknown fields and do not look at prerequisites.
    pub loose: bool,
    /// Refuse fields of the packet itself.
    pub pipeline_only: bool,
    /// Allow the cookie's pseudo field.
    pub cookie: bool,
    /// The bridge's tunnel options; `None` reads them without knowledge of any.
    pub tun: Option<&'a Arc<TunTable>>,
}

/// Cookie and its mask.
type Cookie = (u64, u64);

/// Reads a list of fields, and the cookie when [`Reading::cookie`] allows one (mask 0 without).
///
/// # Errors
/// The OFPBMC_* codes.
pub fn pull_nxm(b: &[u8], reading: Reading<'_>) -> Result<(Match, Cookie), OfError> {
    let mut m = Match::any();
    let cookie = pull_nxm_into(&mut m, b, reading)?;
    Ok((m, cookie))
}

/// As [`pull_nxm`], into a match that says nothing yet.
pub(crate) fn pull_nxm_into(m: &mut Match, mut b: &[u8], reading: Reading<'_>) -> Result<Cookie, OfError> {
    let mut cookie = (0, 0);
    while !b.is_empty() {
        match take_plain(m, b, reading) {
            Some(rest) => b = rest,
            None => take_any(m, &mut cookie, &mut b, reading)?,
        }
    }
    Ok(cookie)
}

/// Takes one entry, whatever it is.
fn take_any(m: &mut Match, cookie: &mut Cookie, b: &mut &[u8], reading: Reading<'_>) -> Result<(), OfError> {
    let entry = nxm::pull_entry(b, Place::Match, reading.tun.map(Arc::as_ref))?;
    if entry.header.is_cookie() && entry.field.is_err() {
        if !reading.cookie {
            return if reading.loose { Ok(()) } else { Err(ErrorCode::OFPBMC_BAD_FIELD.into()) };
        }
        if cookie.1 != 0 {
            return Err(ErrorCode::OFPBMC_DUP_FIELD.into());
        }
        *cookie = (entry.value.to_u128() as u64, entry.mask.to_u128() as u64);
        return Ok(());
    }
    match entry.field {
        Err(_) if reading.loose => Ok(()),
        Err(e) => Err(e.into()),
        Ok(field) => add_entry(m, field, &entry, reading),
    }
}

/// Takes what most entries are: a known field of the packet's own bits, good and allowed here. What is behind it is
/// given. Anything else is left as it is, for [`take_any`] to judge.
fn take_plain<'a>(m: &mut Match, b: &'a [u8], reading: Reading<'_>) -> Option<&'a [u8]> {
    let (field, value, mask, rest) = nxm::take_number(b)?;
    let meta = field.meta();
    let Location::Bits { last_word, offset, bits } = meta.location else { return None };
    let whole = u128::MAX >> (128 - u32::from(meta.n_bytes) * 8);
    let good = value & !mask == 0
        && (meta.maskable || mask == whole || mask == 0)
        && field.is_number_valid(value)
        && (reading.loose || m.meets(meta.prereq))
        && m.mask.bits(last_word.into(), offset.into(), bits.into()) == 0;
    if !good || reading.pipeline_only || field == Field::IpFrag || is_own_mask(field) {
        return None;
    }
    field.constrain_bits(&mut m.key, &mut m.mask, value, mask);
    m.add_ethernet_prereq(field);
    Some(rest)
}

fn add_entry(m: &mut Match, field: Field, entry: &Entry, reading: Reading<'_>) -> Result<(), OfError> {
    let meta = field.meta();
    if !meta.maskable && !entry.mask.is_zero() && !entry.mask.is_ones() {
        return Err(ErrorCode::OFPBMC_BAD_MASK.into());
    }
    if !field.is_value_valid(&entry.value) {
        let bad_port = match field {
            Field::InPortOxm | Field::ActsetOutput => wire::port11(entry.value.to_u128() as u32).err(),
            _ => None,
        };
        return Err(bad_port.map_or(ErrorCode::OFPBMC_BAD_VALUE.into(), |e| e.under(ErrorCode::OFPBMC_BAD_VALUE)));
    }
    if !reading.loose && !m.meets(meta.prereq) {
        return Err(ErrorCode::OFPBMC_BAD_PREREQ.into());
    }
    if !m.is_wild(field) {
        return Err(ErrorCode::OFPBMC_DUP_FIELD.into());
    }
    if reading.pipeline_only && !is_pipeline(field) {
        return Err(ErrorCode::OFPBRC_PIPELINE_FIELDS_ONLY.into());
    }
    m.constrain(field, &entry.value, &entry.mask, reading.tun);
    m.add_ethernet_prereq(field);
    Ok(())
}

/// Whether a field belongs to the pipeline rather than to the packet's octets.
fn is_pipeline(field: Field) -> bool {
    field.is_register()
        || field.is_tunnel()
        || matches!(field, Field::PacketType | Field::Metadata | Field::InPort | Field::InPortOxm)
}

/// Reads a match of OpenFlow 1.1 and later, padding included, and advances `b` beyond it.
///
/// # Errors
/// The OFPBMC_* codes.
pub fn pull_match(b: &mut &[u8], reading: Reading<'_>) -> Result<Match, OfError> {
    let mut m = Match::any();
    pull_match_into(&mut m, b, reading)?;
    Ok(m)
}

/// As [`pull_match`], into a match that says nothing yet.
pub(crate) fn pull_match_into(m: &mut Match, b: &mut &[u8], reading: Reading<'_>) -> Result<(), OfError> {
    let length = usize::from(be16(b, 2));
    if b.len() < 4 {
        return Err(ErrorCode::OFPBMC_BAD_LEN.into());
    }
    match be16(b, 0) {
        0 => {
            let fields = b.get(..fixed::OF11_MATCH_LEN).filter(|_| length == fixed::OF11_MATCH_LEN);
            *m = fixed::pull_of11(fields.ok_or(ErrorCode::OFPBMC_BAD_LEN)?)?;
            *b = &b[fixed::OF11_MATCH_LEN..];
            Ok(())
        }
        1 => {
            let padded = length.next_multiple_of(8);
            if length < 4 || b.len() < padded {
                return Err(ErrorCode::OFPBMC_BAD_LEN.into());
            }
            pull_nxm_into(m, &b[4..length], Reading { cookie: false, ..reading })?;
            *b = &b[padded..];
            Ok(())
        }
        _ => Err(ErrorCode::OFPBMC_BAD_TYPE.into()),
    }
}

/// Appends a match in the form of `version` (1.1 and later), padded to a multiple of 8 octets. Returns its length without
/// the padding.
pub fn put_match(b: &mut Vec<u8>, m: &Match, version: Version) -> usize {
    if version == Version::V11 {
        return fixed::put_of11(b, m);
    }
    let start = b.len();
    b.put16(1);
    b.put16(0);
    put_oxm_fields(b, m, version);
    let len = b.len() - start;
    b.set16(start + 2, len as u16);
    b.pad8(start);
    len
}

/// Appends a match as NXM, padded to a multiple of 8 octets, with a restriction to cookies when `cookie_mask` is not 0.
/// Returns its length without the padding.
pub fn put_nxm(b: &mut Vec<u8>, m: &Match, cookie: u64, cookie_mask: u64) -> usize {
    let start = b.len();
    Writer::new(b, m, None).fields(cookie, cookie_mask);
    let len = b.len() - start;
    b.pad8(start);
    len
}

/// Appends the fields of a match as OXM of `version`, without header and padding.
pub fn put_oxm_fields(b: &mut Vec<u8>, m: &Match, version: Version) {
    Writer::new(b, m, Some(version)).fields(0, 0);
}

/// Fields after the network layer, in the order in which they are written.
const TUNNEL: [Field; 8] = [
    Field::TunId,
    Field::TunFlags,
    Field::TunSrc,
    Field::TunDst,
    Field::TunIpv6Src,
    Field::TunIpv6Dst,
    Field::TunGbpId,
    Field::TunGbpFlags,
];
const AFTER_OPTIONS: [Field; 16] = [
    Field::TunErspanIdx,
    Field::TunErspanVer,
    Field::TunErspanDir,
    Field::TunErspanHwid,
    Field::TunGtpuFlags,
    Field::TunGtpuMsgtype,
    Field::NshFlags,
    Field::NshTtl,
    Field::NshMdtype,
    Field::NshNp,
    Field::NshSpi,
    Field::NshSi,
    Field::NshC1,
    Field::NshC2,
    Field::NshC3,
    Field::NshC4,
];
const CONNTRACK: [Field; 9] = [
    Field::PktMark,
    Field::CtState,
    Field::CtZone,
    Field::CtMark,
    Field::CtLabel,
    Field::CtNwSrc,
    Field::CtIpv6Src,
    Field::CtNwDst,
    Field::CtIpv6Dst,
];

/// In which words of a mask the fields of each group lie.
struct Words {
    tunnel: u128,
    after_options: u128,
    registers: u128,
    conntrack: u128,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let of = |fields: &[Field]| {
        fields.iter().fold(0, |words, field| match field.meta().location {
            Location::Bits { last_word, .. } => words | (1 << last_word) | (1 << last_word.saturating_sub(1)),
            _ => u128::MAX,
        })
    };
    Words {
        tunnel: of(&TUNNEL),
        after_options: of(&AFTER_OPTIONS),
        registers: of(&[0, 1, 2, 3].map(Field::XxReg)),
        conntrack: of(&CONNTRACK),
    }
});

struct Writer<'a> {
    b: &'a mut Vec<u8>,
    m: &'a Match,
    version: Option<Version>,
    implied_ethernet: bool,
    /// Words of the mask that are not zero, by bit.
    words: u128,
}

impl<'a> Writer<'a> {
    fn new(b: &'a mut Vec<u8>, m: &'a Match, version: Option<Version>) -> Writer<'a> {
        let words = m.mask.0.iter().enumerate().fold(0, |words, (i, word)| words | (u128::from(*word != 0) << i));
        Writer { b, m, version, implied_ethernet: false, words }
    }

    /// Writes what the match says of some fields, which lie in `words`.
    fn put_all(&mut self, words: u128, fields: &[Field]) {
        if self.words & words != 0 {
            fields.iter().for_each(|field| self.put(*field));
        }
    }

    fn fields(mut self, cookie: u64, cookie_mask: u64) {
        let start = self.b.len();
        let m = self.m;
        if m.mask.packet_type() != 0 && !m.has_default_packet_type() {
            self.put(Field::PacketType);
        }
        for field in [Field::DpHash, Field::RecircId, Field::ConjId] {
            self.put(field);
        }
        self.put(if self.version.is_some() { Field::InPortOxm } else { Field::InPort });
        for field in [Field::ActsetOutput, Field::EthSrc, Field::EthDst] {
            self.put(field);
        }
        self.eth_type();
        self.vlan();
        self.layer3();
        self.put_all(WORDS.tunnel, &TUNNEL);
        self.tunnel_options();
        self.put_all(WORDS.after_options, &AFTER_OPTIONS);
        if self.words & WORDS.registers != 0 {
            self.registers();
        }
        self.put_all(WORDS.conntrack, &CONNTRACK);
        if m.key.ct_nw_proto() != 0 {
            for field in [Field::CtNwProto, Field::CtTpSrc, Field::CtTpDst] {
                self.put(field);
            }
        }
        self.put(Field::Metadata);
        if cookie_mask != 0 {
            nxm::put_cookie(self.b, cookie, cookie_mask);
        }
        if m.has_default_packet_type() && !self.implied_ethernet {
            // What goes first is known last: it is written at the end and turned to the front.
            let end = self.b.len();
            nxm::put_entry(self.b, Field::PacketType, self.version, &Value::zeros(4), &Value::ones(4, 32));
            let len = self.b.len() - end;
            self.b[start..].rotate_right(len);
        }
    }

    fn entry(&mut self, field: Field, value: &Value, mask: &Value) {
        nxm::put_entry(self.b, field, self.version, value, mask);
        self.implied_ethernet |= field.meta().prereq != flow::field::Prereq::None;
    }

    /// Writes the field if the match says anything of it.
    fn put(&mut self, field: Field) {
        // Most fields do not matter in most matches: one look at the mask's words tells.
        if let Location::Bits { last_word, offset, bits } = field.meta().location
            && self.m.mask.bits(last_word.into(), offset.into(), bits.into()) == 0
        {
            return;
        }
        let (value, mask) = self.m.get(field);
        if mask.is_zero() {
            return;
        }
        let mask = match field {
            _ if !field.meta().maskable => Value::ones(value.len(), value.len() * 8),
            // Of the flags only one is known: the others are never said anything of.
            Field::TunFlags => Value::from_u128(1, 2),
            // Eight of 32 states are known.
            Field::CtState => mask.and(&Value::from_u128(0xff, 4)),
            _ if is_own_mask(field) => value.clone(),
            _ => mask,
        };
        self.entry(field, &value, &mask);
    }

    fn number(&mut self, field: Field, number: u128) {
        let n = usize::from(field.meta().n_bytes);
        self.entry(field, &Value::from_u128(number, n), &Value::ones(n, n * 8));
    }

    fn eth_type(&mut self) {
        if self.m.mask.dl_type() != 0 {
            self.number(Field::EthType, self.m.key.dl_type().into());
        }
    }

    fn vlan(&mut self) {
        let (tci, mask) = (self.m.key.vlan_tci(), self.m.mask.vlan_tci());
        if self.version.is_none() {
            self.put(Field::VlanTci);
            return;
        }
        self.put(Field::VlanVid);
        if tci & 0x1fff != 0 && mask & 0xe000 != 0 {
            self.number(Field::VlanPcp, (tci >> 13).into());
        }
    }

    fn layer3(&mut self) {
        let key = &self.m.key;
        match dl_type(key) {
            0x8847 | 0x8848 => {
                for field in [Field::MplsTc, Field::MplsBos, Field::MplsTtl, Field::MplsLabel] {
                    self.put(field);
                }
            }
            0x0800 => self.ip(&[Field::Ipv4Src, Field::Ipv4Dst]),
            0x86dd => self.ip(&[Field::Ipv6Src, Field::Ipv6Dst]),
            0x0806 | 0x8035 => {
                for field in [Field::ArpOp, Field::ArpSpa, Field::ArpTpa, Field::ArpSha, Field::ArpTha] {
                    if field == Field::ArpOp && self.m.mask.nw_proto() != 0 {
                        self.number(field, key.nw_proto().into());
                    } else if field != Field::ArpOp {
                        self.put(field);
                    }
                }
            }
            _ => {}
        }
    }

    fn ip(&mut self, addresses: &[Field]) {
        let (key, mask) = (&self.m.key, &self.m.mask);
        for field in addresses {
            self.put(*field);
        }
        match mask.nw_frag() & 3 {
            0 => {}
            3 => self.number(Field::IpFrag, (key.nw_frag() & 3).into()),
            bits => {
                let value = Value::from_u128((key.nw_frag() & 3).into(), 1);
                self.entry(Field::IpFrag, &value, &Value::from_u128(bits.into(), 1));
            }
        }
        if mask.nw_tos() & 0xfc != 0 {
            match self.version {
                Some(_) => self.number(Field::IpDscp, (key.nw_tos() >> 2).into()),
                None => self.number(Field::NwTos, (key.nw_tos() & 0xfc).into()),
            }
        }
        if mask.nw_tos() & 3 != 0 {
            self.number(Field::IpEcn, (key.nw_tos() & 3).into());
        }
        if mask.nw_ttl() != 0 {
            self.number(Field::IpTtl, key.nw_ttl().into());
        }
        if mask.ipv6_label() != 0 {
            let bits = mask.ipv6_label();
            let bits = if bits & 0xf_ffff == 0xf_ffff { u32::MAX } else { bits };
            let value = Value::from_u128(key.ipv6_label().into(), 4);
            self.entry(Field::Ipv6Label, &value, &Value::from_u128(bits.into(), 4));
        }
        if mask.nw_proto() != 0 {
            self.number(Field::IpProto, key.nw_proto().into());
            self.layer4();
        }
    }

    fn layer4(&mut self) {
        let key = &self.m.key;
        let fields: &[Field] = match (key.nw_proto(), dl_type(key)) {
            (6, _) => &[Field::TcpSrc, Field::TcpDst, Field::TcpFlags],
            (17, _) => &[Field::UdpSrc, Field::UdpDst],
            (132, _) => &[Field::SctpSrc, Field::SctpDst],
            (1, 0x0800) => &[Field::Icmpv4Type, Field::Icmpv4Code],
            (58, 0x86dd) => &[Field::Icmpv6Type, Field::Icmpv6Code],
            _ => return,
        };
        for field in fields {
            self.put(*field);
        }
        if fields[0] != Field::Icmpv6Type || key.tp_dst() != 0 {
            return;
        }
        let nd: &[Field] = match key.tp_src() {
            135 => &[Field::NdReserved, Field::NdTarget, Field::NdOptionsType, Field::NdSll],
            136 => &[Field::NdReserved, Field::NdTarget, Field::NdOptionsType, Field::NdTll],
            _ => return,
        };
        for field in nd {
            self.put(*field);
        }
    }

    fn tunnel_options(&mut self) {
        if self.m.mask.tun_metadata_present() == 0 {
            return;
        }
        for i in 0..64u8 {
            if self.m.mask.tun_metadata_present() & (1 << i) == 0 {
                continue;
            }
            // Of a packet's key all bits matter, also of fields that no option is mapped to.
            let Some(entry) = self.m.tun.as_ref().and_then(|tun| tun.entry(i)) else { continue };
            let (value, mask) = self.m.get(Field::TunMetadata(i));
            let masked = entry.masked || !mask.is_ones();
            nxm::put_header(self.b, Field::TunMetadata(i), self.version, masked, value.len());
            self.b.extend_from_slice(value.octets());
            if masked {
                self.b.extend_from_slice(mask.octets());
            }
        }
    }

    fn registers(&mut self) {
        if self.version >= Some(Version::V15) {
            for i in 0..8 {
                self.put(Field::XReg(i));
            }
        } else {
            for i in 0..16 {
                self.put(Field::Reg(i));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::field::ALL;
    use proptest::prelude::*;

    /// One entry: a field, its octets and its mask's; what comes in front so that it may be there at all.
    fn entry() -> impl Strategy<Value = (usize, Vec<u8>, Option<Vec<u8>>, u8)> {
        let octets = || prop::collection::vec(prop_oneof![Just(0u8), Just(0xff), Just(1), any::<u8>()], 16);
        (0..ALL.len(), octets(), prop::option::of(octets()), 0u8..40)
    }

    fn put(b: &mut Vec<u8>, (field, value, mask, length): &(usize, Vec<u8>, Option<Vec<u8>>, u8)) {
        let field = ALL[*field];
        // Now and then of another length.
        let n = if *length == 0 { 3 } else { usize::from(field.meta().n_bytes).min(16) };
        let Some(header) = nxm::header_for(field, None) else { return };
        nxm::put_raw_header(b, header.class, header.number, mask.is_some(), n);
        let mask = mask.as_ref().map(|mask| &mask[..n]);
        // Mostly without bits outside the mask, which are refused.
        let bit = |i: usize| mask.filter(|_| *length != 1).map_or(0xff, |mask| mask[i]);
        b.extend((0..n).map(|i| value[i] & bit(i)));
        b.extend(mask.unwrap_or_default());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn the_short_way_leads_where_the_long_one_does(
            network in prop::sample::select(vec![None, Some((0x0800u16, 6u8)), Some((0x86dd, 58)), Some((0x0806, 0))]),
            entries in prop::collection::vec(entry(), 0..5),
            (loose, pipeline_only) in (any::<bool>(), prop::bool::weighted(0.1)),
        ) {
            let mut b = Vec::new();
            if let Some((dl_type, nw_proto)) = network {
                nxm::put_entry(&mut b, Field::EthType, None, &Value::from_u128(dl_type.into(), 2), &Value::ones(2, 16));
                if nw_proto != 0 {
                    nxm::put_entry(&mut b, Field::IpProto, None, &Value::from_u128(nw_proto.into(), 1), &Value::ones(1, 8));
                }
            }
            entries.iter().for_each(|entry| put(&mut b, entry));
            let reading = Reading { loose, pipeline_only, ..Reading::default() };
            let (mut m, mut cookie, mut rest) = (Match::any(), (0, 0), &b[..]);
            let mut long = Ok(());
            while long.is_ok() && !rest.is_empty() {
                long = take_any(&mut m, &mut cookie, &mut rest, reading);
            }
            let short = pull_nxm(&b, reading);
            prop_assert_eq!(format!("{short:?}"), format!("{:?}", long.map(|()| (m, cookie))));
        }
    }
}
