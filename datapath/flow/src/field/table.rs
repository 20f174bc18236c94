//! The table behind the registry: one row a field, in the order of ovs-fields(7)'s enumeration.
//!
//! Columns: (field, name, alias), (octets, bits), (maskable, format), (prerequisite, writable), (OpenFlow 1.0, 1.1 match),
//! numbers, place in the key.

use super::{Field, Fixed, Format, Location, Meta, Prereq};
use std::collections::HashMap;
use std::sync::LazyLock;

/// OXM classes and experimenters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    /// `oxm_class`.
    pub class: u16,
    /// Experimenter of class 0xffff, else 0.
    pub experimenter: u32,
}

impl Class {
    /// Nicira's form of OpenFlow 1.0's fields.
    pub const NXM_0: Class = Class { class: 0x0000, experimenter: 0 };
    /// Nicira's own fields.
    pub const NXM_1: Class = Class { class: 0x0001, experimenter: 0 };
    /// Ericsson's fields of neighbour discovery.
    pub const ERICSSON: Class = Class { class: 0x1000, experimenter: 0 };
    /// `OFPXMC_OPENFLOW_BASIC`.
    pub const BASIC: Class = Class { class: 0x8000, experimenter: 0 };
    /// `OFPXMC_PACKET_REGS`, the 64-bit registers.
    pub const PACKET_REGS: Class = Class { class: 0x8001, experimenter: 0 };
    /// Extensions of the Open Networking Foundation.
    pub const ONF: Class = Class { class: Class::EXPERIMENTER, experimenter: 0x4f4e_4600 };
    /// Nicira's fields with an experimenter's number.
    pub const NICIRA: Class = Class { class: Class::EXPERIMENTER, experimenter: 0x0000_2320 };
    /// Fields of the network service header.
    pub const NSH: Class = Class { class: Class::EXPERIMENTER, experimenter: 0x005a_d650 };
    /// Class number of experimenter fields.
    pub const EXPERIMENTER: u16 = 0xffff;
}

/// One number of a field in OXM or NXM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Name, for instance `NXM_OF_IN_PORT`.
    pub name: &'static str,
    /// Class and experimenter.
    pub class: Class,
    /// `oxm_field`.
    pub number: u8,
    /// First OpenFlow wire version (1.2 = 3, 1.3 = 4, 1.5 = 6) that has it; 0: an extension for all versions;
    /// 255: it is read, but no version writes it.
    pub since: u8,
}

/// [`Header::since`] of names that are only read.
const READ_ONLY: u8 = 255;

impl Header {
    const fn new(name: &'static str, class: Class, number: u8, since: u8) -> Self {
        Self { name, class, number, since }
    }
}

use Field as F;
use Fixed as X;
use Prereq as P;

const M: bool = true;
const E: bool = false;
const RW: bool = true;
const RO: bool = false;

const fn bits(last_word: u8, offset: u8, bits: u8) -> Location {
    Location::Bits { last_word, offset, bits }
}

const fn row(
    (field, name, alias): (Field, &'static str, &'static str),
    (n_bytes, n_bits): (u16, u16),
    (maskable, format): (bool, Format),
    (prereq, writable): (Prereq, bool),
    (of10, of11): (Fixed, Fixed),
    headers: &'static [Header],
    location: Location,
) -> Meta {
    let alias = if alias.is_empty() { None } else { Some(alias) };
    Meta { field, name, alias, n_bytes, n_bits, maskable, format, prereq, writable, of10, of11, headers, location }
}

pub(super) const COUNT: usize = 183;

/// All fields, in order.
pub static ALL: [Field; COUNT] = {
    let mut all = [Field::DpHash; COUNT];
    let mut i = 0;
    while i < COUNT {
        all[i] = METAS[i].field;
        i += 1;
    }
    all
};

static BY_NAME: LazyLock<HashMap<&'static str, Field>> = LazyLock::new(|| {
    let primary = METAS.iter().map(|m| (m.name, m.field));
    primary.chain(METAS.iter().filter_map(|m| Some((m.alias?, m.field)))).collect()
});

type Named = (Field, &'static Header);
type ByHeader = HashMap<(Class, u8), Named>;
static BY_HEADER: LazyLock<ByHeader> = LazyLock::new(|| {
    METAS.iter().flat_map(|m| m.headers.iter().map(|h| ((h.class, h.number), (m.field, h)))).collect()
});

pub(super) fn by_name(name: &str) -> Option<Field> {
    BY_NAME.get(name).copied()
}

/// Fields of the classes that nearly all headers are of, by number.
static COMMON: LazyLock<[[Option<Named>; 128]; 3]> =
    LazyLock::new(|| COMMON_CLASSES.map(|class| std::array::from_fn(|n| BY_HEADER.get(&(class, n as u8)).copied())));

const COMMON_CLASSES: [Class; 3] = [Class::NXM_0, Class::NXM_1, Class::BASIC];

pub(super) fn by_header(class: u16, experimenter: u32, number: u8) -> Option<Named> {
    let class = Class { class, experimenter };
    match COMMON_CLASSES.iter().position(|common| *common == class) {
        Some(common) if number < 128 => COMMON[common][usize::from(number)],
        _ => BY_HEADER.get(&(class, number)).copied(),
    }
}

pub(super) fn by_header_name(name: &str) -> Option<(Field, &'static Header)> {
    METAS.iter().find_map(|m| m.headers.iter().find(|h| h.name == name).map(|h| (m.field, h)))
}

#[rustfmt::skip]
pub(super) static METAS: [Meta; COUNT] = [
    row((F::DpHash, "dp_hash", ""), (4, 32), (M, Format::Hexadecimal), (P::None, RO), (X::No, X::No), &[Header::new("NXM_NX_DP_HASH", Class::NXM_1, 35, 0), Header::new("NXOXM_ET_DP_HASH", Class::NICIRA, 0, READ_ONLY)], bits(52, 32, 32)),
    row((F::RecircId, "recirc_id", ""), (4, 32), (E, Format::Decimal), (P::None, RO), (X::No, X::No), &[Header::new("NXM_NX_RECIRC_ID", Class::NXM_1, 36, 0)], bits(53, 32, 32)),
    row((F::PacketType, "packet_type", ""), (4, 32), (E, Format::PacketType), (P::None, RO), (X::No, X::No), &[Header::new("OXM_OF_PACKET_TYPE", Class::BASIC, 44, 6)], bits(58, 32, 32)),
    row((F::ConjId, "conj_id", ""), (4, 32), (E, Format::Decimal), (P::None, RO), (X::No, X::No), &[Header::new("NXM_NX_CONJ_ID", Class::NXM_1, 37, 0)], bits(53, 0, 32)),
    row((F::TunId, "tun_id", "tunnel_id"), (8, 64), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("OXM_OF_TUNNEL_ID", Class::BASIC, 38, 4), Header::new("NXM_NX_TUN_ID", Class::NXM_1, 16, 0)], bits(0, 0, 64)),
    row((F::TunSrc, "tun_src", ""), (4, 32), (M, Format::Ipv4), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_IPV4_SRC", Class::NXM_1, 31, 0)], bits(1, 32, 32)),
    row((F::TunDst, "tun_dst", ""), (4, 32), (M, Format::Ipv4), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_IPV4_DST", Class::NXM_1, 32, 0)], bits(1, 0, 32)),
    row((F::TunIpv6Src, "tun_ipv6_src", ""), (16, 128), (M, Format::Ipv6), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_IPV6_SRC", Class::NXM_1, 109, 0)], bits(3, 0, 128)),
    row((F::TunIpv6Dst, "tun_ipv6_dst", ""), (16, 128), (M, Format::Ipv6), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_IPV6_DST", Class::NXM_1, 110, 0)], bits(5, 0, 128)),
    row((F::TunFlags, "tun_flags", ""), (2, 1), (M, Format::TunFlags), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_FLAGS", Class::NXM_1, 104, 0)], bits(6, 51, 1)),
    row((F::TunTtl, "tun_ttl", ""), (1, 8), (E, Format::Decimal), (P::None, RO), (X::No, X::No), &[], bits(6, 32, 8)),
    row((F::TunTos, "tun_tos", ""), (1, 8), (E, Format::Decimal), (P::None, RO), (X::No, X::No), &[], bits(6, 40, 8)),
    row((F::TunGbpId, "tun_gbp_id", ""), (2, 16), (M, Format::Decimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_GBP_ID", Class::NXM_1, 38, 0)], bits(7, 48, 16)),
    row((F::TunGbpFlags, "tun_gbp_flags", ""), (1, 8), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_GBP_FLAGS", Class::NXM_1, 39, 0)], bits(7, 40, 8)),
    row((F::TunErspanIdx, "tun_erspan_idx", ""), (4, 20), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXOXM_ET_ERSPAN_IDX", Class::NICIRA, 11, 0)], bits(8, 32, 32)),
    row((F::TunErspanVer, "tun_erspan_ver", ""), (1, 4), (M, Format::Decimal), (P::None, RW), (X::No, X::No), &[Header::new("NXOXM_ET_ERSPAN_VER", Class::NICIRA, 12, 0)], bits(7, 32, 8)),
    row((F::TunErspanDir, "tun_erspan_dir", ""), (1, 1), (M, Format::Decimal), (P::None, RW), (X::No, X::No), &[Header::new("NXOXM_ET_ERSPAN_DIR", Class::NICIRA, 13, 0)], bits(7, 24, 8)),
    row((F::TunErspanHwid, "tun_erspan_hwid", ""), (1, 6), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXOXM_ET_ERSPAN_HWID", Class::NICIRA, 14, 0)], bits(7, 16, 8)),
    row((F::TunGtpuFlags, "tun_gtpu_flags", ""), (1, 8), (M, Format::Hexadecimal), (P::None, RO), (X::No, X::No), &[Header::new("NXOXM_ET_GTPU_FLAGS", Class::NICIRA, 15, 0)], bits(7, 8, 8)),
    row((F::TunGtpuMsgtype, "tun_gtpu_msgtype", ""), (1, 8), (M, Format::Decimal), (P::None, RO), (X::No, X::No), &[Header::new("NXOXM_ET_GTPU_MSGTYPE", Class::NICIRA, 16, 0)], bits(7, 0, 8)),
    row((F::TunMetadata(0), "tun_metadata0", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA0", Class::NXM_1, 40, 0)], Location::TunMetadata),
    row((F::TunMetadata(1), "tun_metadata1", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA1", Class::NXM_1, 41, 0)], Location::TunMetadata),
    row((F::TunMetadata(2), "tun_metadata2", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA2", Class::NXM_1, 42, 0)], Location::TunMetadata),
    row((F::TunMetadata(3), "tun_metadata3", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA3", Class::NXM_1, 43, 0)], Location::TunMetadata),
    row((F::TunMetadata(4), "tun_metadata4", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA4", Class::NXM_1, 44, 0)], Location::TunMetadata),
    row((F::TunMetadata(5), "tun_metadata5", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA5", Class::NXM_1, 45, 0)], Location::TunMetadata),
    row((F::TunMetadata(6), "tun_metadata6", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA6", Class::NXM_1, 46, 0)], Location::TunMetadata),
    row((F::TunMetadata(7), "tun_metadata7", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA7", Class::NXM_1, 47, 0)], Location::TunMetadata),
    row((F::TunMetadata(8), "tun_metadata8", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA8", Class::NXM_1, 48, 0)], Location::TunMetadata),
    row((F::TunMetadata(9), "tun_metadata9", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA9", Class::NXM_1, 49, 0)], Location::TunMetadata),
    row((F::TunMetadata(10), "tun_metadata10", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA10", Class::NXM_1, 50, 0)], Location::TunMetadata),
    row((F::TunMetadata(11), "tun_metadata11", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA11", Class::NXM_1, 51, 0)], Location::TunMetadata),
    row((F::TunMetadata(12), "tun_metadata12", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA12", Class::NXM_1, 52, 0)], Location::TunMetadata),
    row((F::TunMetadata(13), "tun_metadata13", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA13", Class::NXM_1, 53, 0)], Location::TunMetadata),
    row((F::TunMetadata(14), "tun_metadata14", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA14", Class::NXM_1, 54, 0)], Location::TunMetadata),
    row((F::TunMetadata(15), "tun_metadata15", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA15", Class::NXM_1, 55, 0)], Location::TunMetadata),
    row((F::TunMetadata(16), "tun_metadata16", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA16", Class::NXM_1, 56, 0)], Location::TunMetadata),
    row((F::TunMetadata(17), "tun_metadata17", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA17", Class::NXM_1, 57, 0)], Location::TunMetadata),
    row((F::TunMetadata(18), "tun_metadata18", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA18", Class::NXM_1, 58, 0)], Location::TunMetadata),
    row((F::TunMetadata(19), "tun_metadata19", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA19", Class::NXM_1, 59, 0)], Location::TunMetadata),
    row((F::TunMetadata(20), "tun_metadata20", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA20", Class::NXM_1, 60, 0)], Location::TunMetadata),
    row((F::TunMetadata(21), "tun_metadata21", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA21", Class::NXM_1, 61, 0)], Location::TunMetadata),
    row((F::TunMetadata(22), "tun_metadata22", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA22", Class::NXM_1, 62, 0)], Location::TunMetadata),
    row((F::TunMetadata(23), "tun_metadata23", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA23", Class::NXM_1, 63, 0)], Location::TunMetadata),
    row((F::TunMetadata(24), "tun_metadata24", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA24", Class::NXM_1, 64, 0)], Location::TunMetadata),
    row((F::TunMetadata(25), "tun_metadata25", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA25", Class::NXM_1, 65, 0)], Location::TunMetadata),
    row((F::TunMetadata(26), "tun_metadata26", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA26", Class::NXM_1, 66, 0)], Location::TunMetadata),
    row((F::TunMetadata(27), "tun_metadata27", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA27", Class::NXM_1, 67, 0)], Location::TunMetadata),
    row((F::TunMetadata(28), "tun_metadata28", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA28", Class::NXM_1, 68, 0)], Location::TunMetadata),
    row((F::TunMetadata(29), "tun_metadata29", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA29", Class::NXM_1, 69, 0)], Location::TunMetadata),
    row((F::TunMetadata(30), "tun_metadata30", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA30", Class::NXM_1, 70, 0)], Location::TunMetadata),
    row((F::TunMetadata(31), "tun_metadata31", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA31", Class::NXM_1, 71, 0)], Location::TunMetadata),
    row((F::TunMetadata(32), "tun_metadata32", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA32", Class::NXM_1, 72, 0)], Location::TunMetadata),
    row((F::TunMetadata(33), "tun_metadata33", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA33", Class::NXM_1, 73, 0)], Location::TunMetadata),
    row((F::TunMetadata(34), "tun_metadata34", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA34", Class::NXM_1, 74, 0)], Location::TunMetadata),
    row((F::TunMetadata(35), "tun_metadata35", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA35", Class::NXM_1, 75, 0)], Location::TunMetadata),
    row((F::TunMetadata(36), "tun_metadata36", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA36", Class::NXM_1, 76, 0)], Location::TunMetadata),
    row((F::TunMetadata(37), "tun_metadata37", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA37", Class::NXM_1, 77, 0)], Location::TunMetadata),
    row((F::TunMetadata(38), "tun_metadata38", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA38", Class::NXM_1, 78, 0)], Location::TunMetadata),
    row((F::TunMetadata(39), "tun_metadata39", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA39", Class::NXM_1, 79, 0)], Location::TunMetadata),
    row((F::TunMetadata(40), "tun_metadata40", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA40", Class::NXM_1, 80, 0)], Location::TunMetadata),
    row((F::TunMetadata(41), "tun_metadata41", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA41", Class::NXM_1, 81, 0)], Location::TunMetadata),
    row((F::TunMetadata(42), "tun_metadata42", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA42", Class::NXM_1, 82, 0)], Location::TunMetadata),
    row((F::TunMetadata(43), "tun_metadata43", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA43", Class::NXM_1, 83, 0)], Location::TunMetadata),
    row((F::TunMetadata(44), "tun_metadata44", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA44", Class::NXM_1, 84, 0)], Location::TunMetadata),
    row((F::TunMetadata(45), "tun_metadata45", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA45", Class::NXM_1, 85, 0)], Location::TunMetadata),
    row((F::TunMetadata(46), "tun_metadata46", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA46", Class::NXM_1, 86, 0)], Location::TunMetadata),
    row((F::TunMetadata(47), "tun_metadata47", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA47", Class::NXM_1, 87, 0)], Location::TunMetadata),
    row((F::TunMetadata(48), "tun_metadata48", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA48", Class::NXM_1, 88, 0)], Location::TunMetadata),
    row((F::TunMetadata(49), "tun_metadata49", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA49", Class::NXM_1, 89, 0)], Location::TunMetadata),
    row((F::TunMetadata(50), "tun_metadata50", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA50", Class::NXM_1, 90, 0)], Location::TunMetadata),
    row((F::TunMetadata(51), "tun_metadata51", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA51", Class::NXM_1, 91, 0)], Location::TunMetadata),
    row((F::TunMetadata(52), "tun_metadata52", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA52", Class::NXM_1, 92, 0)], Location::TunMetadata),
    row((F::TunMetadata(53), "tun_metadata53", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA53", Class::NXM_1, 93, 0)], Location::TunMetadata),
    row((F::TunMetadata(54), "tun_metadata54", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA54", Class::NXM_1, 94, 0)], Location::TunMetadata),
    row((F::TunMetadata(55), "tun_metadata55", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA55", Class::NXM_1, 95, 0)], Location::TunMetadata),
    row((F::TunMetadata(56), "tun_metadata56", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA56", Class::NXM_1, 96, 0)], Location::TunMetadata),
    row((F::TunMetadata(57), "tun_metadata57", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA57", Class::NXM_1, 97, 0)], Location::TunMetadata),
    row((F::TunMetadata(58), "tun_metadata58", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA58", Class::NXM_1, 98, 0)], Location::TunMetadata),
    row((F::TunMetadata(59), "tun_metadata59", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA59", Class::NXM_1, 99, 0)], Location::TunMetadata),
    row((F::TunMetadata(60), "tun_metadata60", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA60", Class::NXM_1, 100, 0)], Location::TunMetadata),
    row((F::TunMetadata(61), "tun_metadata61", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA61", Class::NXM_1, 101, 0)], Location::TunMetadata),
    row((F::TunMetadata(62), "tun_metadata62", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA62", Class::NXM_1, 102, 0)], Location::TunMetadata),
    row((F::TunMetadata(63), "tun_metadata63", ""), (124, 992), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_TUN_METADATA63", Class::NXM_1, 103, 0)], Location::TunMetadata),
    row((F::Metadata, "metadata", ""), (8, 64), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::Bitwise), &[Header::new("OXM_OF_METADATA", Class::BASIC, 2, 3)], bits(42, 0, 64)),
    row((F::InPort, "in_port", ""), (2, 16), (E, Format::OfpPort), (P::None, RW), (X::Exact, X::Exact), &[Header::new("NXM_OF_IN_PORT", Class::NXM_0, 0, 0)], Location::InPort16),
    row((F::InPortOxm, "in_port_oxm", ""), (4, 32), (E, Format::OfpPort32), (P::None, RW), (X::No, X::Exact), &[Header::new("OXM_OF_IN_PORT", Class::BASIC, 0, 3)], bits(52, 0, 32)),
    row((F::ActsetOutput, "actset_output", ""), (4, 32), (E, Format::OfpPort32), (P::None, RO), (X::No, X::No), &[Header::new("ONFOXM_ET_ACTSET_OUTPUT", Class::ONF, 43, 4), Header::new("OXM_OF_ACTSET_OUTPUT", Class::BASIC, 43, 6)], bits(55, 0, 32)),
    row((F::SkbPriority, "skb_priority", ""), (4, 32), (E, Format::Hexadecimal), (P::None, RO), (X::No, X::No), &[], bits(51, 32, 32)),
    row((F::PktMark, "pkt_mark", ""), (4, 32), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_PKT_MARK", Class::NXM_1, 33, 0)], bits(51, 0, 32)),
    row((F::CtState, "ct_state", ""), (4, 32), (M, Format::CtState), (P::None, RO), (X::No, X::No), &[Header::new("NXM_NX_CT_STATE", Class::NXM_1, 105, 0)], bits(54, 40, 8)),
    row((F::CtZone, "ct_zone", ""), (2, 16), (E, Format::Hexadecimal), (P::None, RO), (X::No, X::No), &[Header::new("NXM_NX_CT_ZONE", Class::NXM_1, 106, 0)], bits(54, 48, 16)),
    row((F::CtMark, "ct_mark", ""), (4, 32), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_CT_MARK", Class::NXM_1, 107, 0)], bits(55, 32, 32)),
    row((F::CtLabel, "ct_label", ""), (16, 128), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_CT_LABEL", Class::NXM_1, 108, 0)], bits(57, 0, 128)),
    row((F::CtNwProto, "ct_nw_proto", ""), (1, 8), (E, Format::Decimal), (P::Ct, RO), (X::No, X::No), &[Header::new("NXM_NX_CT_NW_PROTO", Class::NXM_1, 119, 0)], bits(54, 32, 8)),
    row((F::CtNwSrc, "ct_nw_src", ""), (4, 32), (M, Format::Ipv4), (P::Ct, RO), (X::No, X::No), &[Header::new("NXM_NX_CT_NW_SRC", Class::NXM_1, 120, 0)], bits(65, 32, 32)),
    row((F::CtNwDst, "ct_nw_dst", ""), (4, 32), (M, Format::Ipv4), (P::Ct, RO), (X::No, X::No), &[Header::new("NXM_NX_CT_NW_DST", Class::NXM_1, 121, 0)], bits(65, 0, 32)),
    row((F::CtIpv6Src, "ct_ipv6_src", ""), (16, 128), (M, Format::Ipv6), (P::Ct, RO), (X::No, X::No), &[Header::new("NXM_NX_CT_IPV6_SRC", Class::NXM_1, 122, 0)], bits(71, 0, 128)),
    row((F::CtIpv6Dst, "ct_ipv6_dst", ""), (16, 128), (M, Format::Ipv6), (P::Ct, RO), (X::No, X::No), &[Header::new("NXM_NX_CT_IPV6_DST", Class::NXM_1, 123, 0)], bits(73, 0, 128)),
    row((F::CtTpSrc, "ct_tp_src", ""), (2, 16), (M, Format::Decimal), (P::Ct, RO), (X::No, X::No), &[Header::new("NXM_NX_CT_TP_SRC", Class::NXM_1, 124, 0)], bits(82, 16, 16)),
    row((F::CtTpDst, "ct_tp_dst", ""), (2, 16), (M, Format::Decimal), (P::Ct, RO), (X::No, X::No), &[Header::new("NXM_NX_CT_TP_DST", Class::NXM_1, 125, 0)], bits(82, 0, 16)),
    row((F::Reg(0), "reg0", ""), (4, 32), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_REG0", Class::NXM_1, 0, 0)], bits(43, 32, 32)),
    row((F::Reg(1), "reg1", ""), (4, 32), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_REG1", Class::NXM_1, 1, 0)], bits(43, 0, 32)),
    row((F::Reg(2), "reg2", ""), (4, 32), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_REG2", Class::NXM_1, 2, 0)], bits(44, 32, 32)),
    row((F::Reg(3), "reg3", ""), (4, 32), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_REG3", Class::NXM_1, 3, 0)], bits(44, 0, 32)),
    row((F::Reg(4), "reg4", ""), (4, 32), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_REG4", Class::NXM_1, 4, 0)], bits(45, 32, 32)),
    row((F::Reg(5), "reg5", ""), (4, 32), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_REG5", Class::NXM_1, 5, 0)], bits(45, 0, 32)),
    row((F::Reg(6), "reg6", ""), (4, 32), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_REG6", Class::NXM_1, 6, 0)], bits(46, 32, 32)),
    row((F::Reg(7), "reg7", ""), (4, 32), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_REG7", Class::NXM_1, 7, 0)], bits(46, 0, 32)),
    row((F::Reg(8), "reg8", ""), (4, 32), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_REG8", Class::NXM_1, 8, 0)], bits(47, 32, 32)),
    row((F::Reg(9), "reg9", ""), (4, 32), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_REG9", Class::NXM_1, 9, 0)], bits(47, 0, 32)),
    row((F::Reg(10), "reg10", ""), (4, 32), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_REG10", Class::NXM_1, 10, 0)], bits(48, 32, 32)),
    row((F::Reg(11), "reg11", ""), (4, 32), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_REG11", Class::NXM_1, 11, 0)], bits(48, 0, 32)),
    row((F::Reg(12), "reg12", ""), (4, 32), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_REG12", Class::NXM_1, 12, 0)], bits(49, 32, 32)),
    row((F::Reg(13), "reg13", ""), (4, 32), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_REG13", Class::NXM_1, 13, 0)], bits(49, 0, 32)),
    row((F::Reg(14), "reg14", ""), (4, 32), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_REG14", Class::NXM_1, 14, 0)], bits(50, 32, 32)),
    row((F::Reg(15), "reg15", ""), (4, 32), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_REG15", Class::NXM_1, 15, 0)], bits(50, 0, 32)),
    row((F::XReg(0), "xreg0", ""), (8, 64), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("OXM_OF_PKT_REG0", Class::PACKET_REGS, 0, 4)], bits(43, 0, 64)),
    row((F::XReg(1), "xreg1", ""), (8, 64), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("OXM_OF_PKT_REG1", Class::PACKET_REGS, 1, 4)], bits(44, 0, 64)),
    row((F::XReg(2), "xreg2", ""), (8, 64), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("OXM_OF_PKT_REG2", Class::PACKET_REGS, 2, 4)], bits(45, 0, 64)),
    row((F::XReg(3), "xreg3", ""), (8, 64), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("OXM_OF_PKT_REG3", Class::PACKET_REGS, 3, 4)], bits(46, 0, 64)),
    row((F::XReg(4), "xreg4", ""), (8, 64), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("OXM_OF_PKT_REG4", Class::PACKET_REGS, 4, 4)], bits(47, 0, 64)),
    row((F::XReg(5), "xreg5", ""), (8, 64), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("OXM_OF_PKT_REG5", Class::PACKET_REGS, 5, 4)], bits(48, 0, 64)),
    row((F::XReg(6), "xreg6", ""), (8, 64), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("OXM_OF_PKT_REG6", Class::PACKET_REGS, 6, 4)], bits(49, 0, 64)),
    row((F::XReg(7), "xreg7", ""), (8, 64), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("OXM_OF_PKT_REG7", Class::PACKET_REGS, 7, 4)], bits(50, 0, 64)),
    row((F::XxReg(0), "xxreg0", ""), (16, 128), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_XXREG0", Class::NXM_1, 111, 0)], bits(44, 0, 128)),
    row((F::XxReg(1), "xxreg1", ""), (16, 128), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_XXREG1", Class::NXM_1, 112, 0)], bits(46, 0, 128)),
    row((F::XxReg(2), "xxreg2", ""), (16, 128), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_XXREG2", Class::NXM_1, 113, 0)], bits(48, 0, 128)),
    row((F::XxReg(3), "xxreg3", ""), (16, 128), (M, Format::Hexadecimal), (P::None, RW), (X::No, X::No), &[Header::new("NXM_NX_XXREG3", Class::NXM_1, 114, 0)], bits(50, 0, 128)),
    row((F::EthSrc, "eth_src", "dl_src"), (6, 48), (M, Format::Ethernet), (P::Ethernet, RW), (X::Exact, X::Bitwise), &[Header::new("OXM_OF_ETH_SRC", Class::BASIC, 4, 3), Header::new("NXM_OF_ETH_SRC", Class::NXM_0, 2, 0)], bits(60, 16, 48)),
    row((F::EthDst, "eth_dst", "dl_dst"), (6, 48), (M, Format::Ethernet), (P::Ethernet, RW), (X::Exact, X::Bitwise), &[Header::new("OXM_OF_ETH_DST", Class::BASIC, 3, 3), Header::new("NXM_OF_ETH_DST", Class::NXM_0, 1, 0)], bits(59, 16, 48)),
    row((F::EthType, "eth_type", "dl_type"), (2, 16), (E, Format::Hexadecimal), (P::Ethernet, RO), (X::Exact, X::Exact), &[Header::new("OXM_OF_ETH_TYPE", Class::BASIC, 5, 3), Header::new("NXM_OF_ETH_TYPE", Class::NXM_0, 3, 0)], bits(59, 0, 16)),
    row((F::VlanTci, "vlan_tci", ""), (2, 16), (M, Format::Hexadecimal), (P::Ethernet, RW), (X::Exact, X::Exact), &[Header::new("NXM_OF_VLAN_TCI", Class::NXM_0, 4, 0)], bits(61, 32, 16)),
    row((F::DlVlan, "dl_vlan", ""), (2, 12), (E, Format::Decimal), (P::Ethernet, RW), (X::Exact, X::Exact), &[], Location::DlVlan),
    row((F::VlanVid, "vlan_vid", ""), (2, 12), (M, Format::Decimal), (P::Ethernet, RW), (X::Exact, X::Exact), &[Header::new("OXM_OF_VLAN_VID", Class::BASIC, 6, 3)], Location::VlanVid),
    row((F::DlVlanPcp, "dl_vlan_pcp", ""), (1, 3), (E, Format::Decimal), (P::Ethernet, RW), (X::Exact, X::Exact), &[], Location::VlanPcp),
    row((F::VlanPcp, "vlan_pcp", ""), (1, 3), (E, Format::Decimal), (P::VlanVid, RW), (X::Exact, X::Exact), &[Header::new("OXM_OF_VLAN_PCP", Class::BASIC, 7, 3)], Location::VlanPcp),
    row((F::MplsLabel, "mpls_label", ""), (4, 20), (E, Format::Decimal), (P::Mpls, RW), (X::No, X::Exact), &[Header::new("OXM_OF_MPLS_LABEL", Class::BASIC, 34, 3)], bits(62, 44, 20)),
    row((F::MplsTc, "mpls_tc", ""), (1, 3), (E, Format::Decimal), (P::Mpls, RW), (X::No, X::Exact), &[Header::new("OXM_OF_MPLS_TC", Class::BASIC, 35, 3)], bits(62, 41, 3)),
    row((F::MplsBos, "mpls_bos", ""), (1, 1), (E, Format::Decimal), (P::Mpls, RO), (X::No, X::No), &[Header::new("OXM_OF_MPLS_BOS", Class::BASIC, 36, 4)], bits(62, 40, 1)),
    row((F::MplsTtl, "mpls_ttl", ""), (1, 8), (E, Format::Decimal), (P::Mpls, RW), (X::No, X::No), &[Header::new("NXM_NX_MPLS_TTL", Class::NXM_1, 30, 0)], bits(62, 32, 8)),
    row((F::Ipv4Src, "ip_src", "nw_src"), (4, 32), (M, Format::Ipv4), (P::Ipv4, RW), (X::Cidr, X::Bitwise), &[Header::new("OXM_OF_IPV4_SRC", Class::BASIC, 11, 3), Header::new("NXM_OF_IP_SRC", Class::NXM_0, 7, 0)], bits(64, 32, 32)),
    row((F::Ipv4Dst, "ip_dst", "nw_dst"), (4, 32), (M, Format::Ipv4), (P::Ipv4, RW), (X::Cidr, X::Bitwise), &[Header::new("OXM_OF_IPV4_DST", Class::BASIC, 12, 3), Header::new("NXM_OF_IP_DST", Class::NXM_0, 8, 0)], bits(64, 0, 32)),
    row((F::Ipv6Src, "ipv6_src", ""), (16, 128), (M, Format::Ipv6), (P::Ipv6, RW), (X::No, X::No), &[Header::new("OXM_OF_IPV6_SRC", Class::BASIC, 26, 3), Header::new("NXM_NX_IPV6_SRC", Class::NXM_1, 19, 0)], bits(67, 0, 128)),
    row((F::Ipv6Dst, "ipv6_dst", ""), (16, 128), (M, Format::Ipv6), (P::Ipv6, RW), (X::No, X::No), &[Header::new("OXM_OF_IPV6_DST", Class::BASIC, 27, 3), Header::new("NXM_NX_IPV6_DST", Class::NXM_1, 20, 0)], bits(69, 0, 128)),
    row((F::Ipv6Label, "ipv6_label", ""), (4, 20), (M, Format::Hexadecimal), (P::Ipv6, RW), (X::No, X::No), &[Header::new("OXM_OF_IPV6_FLABEL", Class::BASIC, 28, 3), Header::new("NXM_NX_IPV6_LABEL", Class::NXM_1, 27, 0)], bits(74, 32, 32)),
    row((F::IpProto, "nw_proto", "ip_proto"), (1, 8), (E, Format::Decimal), (P::Ip, RO), (X::Exact, X::Exact), &[Header::new("OXM_OF_IP_PROTO", Class::BASIC, 10, 3), Header::new("NXM_OF_IP_PROTO", Class::NXM_0, 6, 0)], bits(74, 0, 8)),
    row((F::NwTos, "nw_tos", ""), (1, 8), (E, Format::Decimal), (P::Ip, RW), (X::Exact, X::Exact), &[Header::new("NXM_OF_IP_TOS", Class::NXM_0, 5, 0)], Location::NwTos),
    row((F::IpDscp, "ip_dscp", ""), (1, 6), (E, Format::Decimal), (P::Ip, RW), (X::Exact, X::Exact), &[Header::new("OXM_OF_IP_DSCP", Class::BASIC, 8, 3)], bits(74, 18, 6)),
    row((F::IpEcn, "nw_ecn", "ip_ecn"), (1, 2), (E, Format::Decimal), (P::Ip, RW), (X::No, X::Exact), &[Header::new("OXM_OF_IP_ECN", Class::BASIC, 9, 3), Header::new("NXM_NX_IP_ECN", Class::NXM_1, 28, 0)], bits(74, 16, 2)),
    row((F::IpTtl, "nw_ttl", ""), (1, 8), (E, Format::Decimal), (P::Ip, RW), (X::No, X::No), &[Header::new("NXM_NX_IP_TTL", Class::NXM_1, 29, 0)], bits(74, 8, 8)),
    row((F::IpFrag, "ip_frag", "nw_frag"), (1, 2), (M, Format::Frag), (P::Ip, RO), (X::No, X::No), &[Header::new("NXM_NX_IP_FRAG", Class::NXM_1, 26, 0)], bits(74, 24, 8)),
    row((F::ArpOp, "arp_op", ""), (2, 16), (E, Format::Decimal), (P::Arp, RW), (X::Exact, X::Exact), &[Header::new("OXM_OF_ARP_OP", Class::BASIC, 21, 3), Header::new("NXM_OF_ARP_OP", Class::NXM_0, 15, 0)], bits(74, 0, 8)),
    row((F::ArpSpa, "arp_spa", ""), (4, 32), (M, Format::Ipv4), (P::Arp, RW), (X::Cidr, X::Bitwise), &[Header::new("OXM_OF_ARP_SPA", Class::BASIC, 22, 3), Header::new("NXM_OF_ARP_SPA", Class::NXM_0, 16, 0)], bits(64, 32, 32)),
    row((F::ArpTpa, "arp_tpa", ""), (4, 32), (M, Format::Ipv4), (P::Arp, RW), (X::Cidr, X::Bitwise), &[Header::new("OXM_OF_ARP_TPA", Class::BASIC, 23, 3), Header::new("NXM_OF_ARP_TPA", Class::NXM_0, 17, 0)], bits(64, 0, 32)),
    row((F::ArpSha, "arp_sha", ""), (6, 48), (M, Format::Ethernet), (P::Arp, RW), (X::No, X::No), &[Header::new("OXM_OF_ARP_SHA", Class::BASIC, 24, 3), Header::new("NXM_NX_ARP_SHA", Class::NXM_1, 17, 0)], bits(77, 16, 48)),
    row((F::ArpTha, "arp_tha", ""), (6, 48), (M, Format::Ethernet), (P::Arp, RW), (X::No, X::No), &[Header::new("OXM_OF_ARP_THA", Class::BASIC, 25, 3), Header::new("NXM_NX_ARP_THA", Class::NXM_1, 18, 0)], bits(78, 16, 48)),
    row((F::TcpSrc, "tcp_src", "tp_src"), (2, 16), (M, Format::Decimal), (P::Tcp, RW), (X::Exact, X::Exact), &[Header::new("OXM_OF_TCP_SRC", Class::BASIC, 13, 3), Header::new("NXM_OF_TCP_SRC", Class::NXM_0, 9, 0)], bits(82, 48, 16)),
    row((F::TcpDst, "tcp_dst", "tp_dst"), (2, 16), (M, Format::Decimal), (P::Tcp, RW), (X::Exact, X::Exact), &[Header::new("OXM_OF_TCP_DST", Class::BASIC, 14, 3), Header::new("NXM_OF_TCP_DST", Class::NXM_0, 10, 0)], bits(82, 32, 16)),
    row((F::TcpFlags, "tcp_flags", ""), (2, 12), (M, Format::TcpFlags), (P::Tcp, RO), (X::No, X::No), &[Header::new("ONFOXM_ET_TCP_FLAGS", Class::ONF, 42, 4), Header::new("OXM_OF_TCP_FLAGS", Class::BASIC, 42, 6), Header::new("NXM_NX_TCP_FLAGS", Class::NXM_1, 34, 0)], bits(78, 0, 16)),
    row((F::UdpSrc, "udp_src", ""), (2, 16), (M, Format::Decimal), (P::Udp, RW), (X::Exact, X::Exact), &[Header::new("OXM_OF_UDP_SRC", Class::BASIC, 15, 3), Header::new("NXM_OF_UDP_SRC", Class::NXM_0, 11, 0)], bits(82, 48, 16)),
    row((F::UdpDst, "udp_dst", ""), (2, 16), (M, Format::Decimal), (P::Udp, RW), (X::Exact, X::Exact), &[Header::new("OXM_OF_UDP_DST", Class::BASIC, 16, 3), Header::new("NXM_OF_UDP_DST", Class::NXM_0, 12, 0)], bits(82, 32, 16)),
    row((F::SctpSrc, "sctp_src", ""), (2, 16), (M, Format::Decimal), (P::Sctp, RW), (X::No, X::Exact), &[Header::new("OXM_OF_SCTP_SRC", Class::BASIC, 17, 3)], bits(82, 48, 16)),
    row((F::SctpDst, "sctp_dst", ""), (2, 16), (M, Format::Decimal), (P::Sctp, RW), (X::No, X::Exact), &[Header::new("OXM_OF_SCTP_DST", Class::BASIC, 18, 3)], bits(82, 32, 16)),
    row((F::Icmpv4Type, "icmp_type", ""), (1, 8), (E, Format::Decimal), (P::Icmpv4, RW), (X::Exact, X::Exact), &[Header::new("OXM_OF_ICMPV4_TYPE", Class::BASIC, 19, 3), Header::new("NXM_OF_ICMP_TYPE", Class::NXM_0, 13, 0)], bits(82, 48, 16)),
    row((F::Icmpv4Code, "icmp_code", ""), (1, 8), (E, Format::Decimal), (P::Icmpv4, RW), (X::Exact, X::Exact), &[Header::new("OXM_OF_ICMPV4_CODE", Class::BASIC, 20, 3), Header::new("NXM_OF_ICMP_CODE", Class::NXM_0, 14, 0)], bits(82, 32, 16)),
    row((F::Icmpv6Type, "icmpv6_type", ""), (1, 8), (E, Format::Decimal), (P::Icmpv6, RW), (X::No, X::No), &[Header::new("OXM_OF_ICMPV6_TYPE", Class::BASIC, 29, 3), Header::new("NXM_NX_ICMPV6_TYPE", Class::NXM_1, 21, 0)], bits(82, 48, 16)),
    row((F::Icmpv6Code, "icmpv6_code", ""), (1, 8), (E, Format::Decimal), (P::Icmpv6, RW), (X::No, X::No), &[Header::new("OXM_OF_ICMPV6_CODE", Class::BASIC, 30, 3), Header::new("NXM_NX_ICMPV6_CODE", Class::NXM_1, 22, 0)], bits(82, 32, 16)),
    row((F::NdTarget, "nd_target", ""), (16, 128), (M, Format::Ipv6), (P::Nd, RW), (X::No, X::No), &[Header::new("OXM_OF_IPV6_ND_TARGET", Class::BASIC, 31, 3), Header::new("NXM_NX_ND_TARGET", Class::NXM_1, 23, 0)], bits(76, 0, 128)),
    row((F::NdSll, "nd_sll", ""), (6, 48), (M, Format::Ethernet), (P::NdSolicit, RW), (X::No, X::No), &[Header::new("OXM_OF_IPV6_ND_SLL", Class::BASIC, 32, 3), Header::new("NXM_NX_ND_SLL", Class::NXM_1, 24, 0)], bits(77, 16, 48)),
    row((F::NdTll, "nd_tll", ""), (6, 48), (M, Format::Ethernet), (P::NdAdvert, RW), (X::No, X::No), &[Header::new("OXM_OF_IPV6_ND_TLL", Class::BASIC, 33, 3), Header::new("NXM_NX_ND_TLL", Class::NXM_1, 25, 0)], bits(78, 16, 48)),
    row((F::NdReserved, "nd_reserved", ""), (4, 32), (E, Format::Decimal), (P::Nd, RW), (X::No, X::No), &[Header::new("ERICOXM_OF_ICMPV6_ND_RESERVED", Class::ERICSSON, 1, 0)], bits(83, 32, 32)),
    row((F::NdOptionsType, "nd_options_type", ""), (1, 8), (E, Format::Decimal), (P::Nd, RW), (X::No, X::No), &[Header::new("ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE", Class::ERICSSON, 2, 0)], bits(78, 0, 16)),
    row((F::NshFlags, "nsh_flags", ""), (1, 8), (M, Format::Decimal), (P::Nsh, RW), (X::No, X::No), &[Header::new("NXOXM_NSH_FLAGS", Class::NSH, 1, 0)], bits(79, 56, 8)),
    row((F::NshMdtype, "nsh_mdtype", ""), (1, 8), (E, Format::Decimal), (P::Nsh, RO), (X::No, X::No), &[Header::new("NXOXM_NSH_MDTYPE", Class::NSH, 2, 0)], bits(79, 40, 8)),
    row((F::NshNp, "nsh_np", ""), (1, 8), (E, Format::Decimal), (P::Nsh, RO), (X::No, X::No), &[Header::new("NXOXM_NSH_NP", Class::NSH, 3, 0)], bits(79, 32, 8)),
    row((F::NshSpi, "nsh_spi", "nsp"), (4, 24), (E, Format::Hexadecimal), (P::Nsh, RW), (X::No, X::No), &[Header::new("NXOXM_NSH_SPI", Class::NSH, 4, 0)], bits(79, 8, 24)),
    row((F::NshSi, "nsh_si", "nsi"), (1, 8), (E, Format::Decimal), (P::Nsh, RW), (X::No, X::No), &[Header::new("NXOXM_NSH_SI", Class::NSH, 5, 0)], bits(79, 0, 8)),
    row((F::NshC1, "nsh_c1", "nshc1"), (4, 32), (M, Format::Hexadecimal), (P::Nsh, RW), (X::No, X::No), &[Header::new("NXOXM_NSH_C1", Class::NSH, 6, 0)], bits(80, 32, 32)),
    row((F::NshC2, "nsh_c2", "nshc2"), (4, 32), (M, Format::Hexadecimal), (P::Nsh, RW), (X::No, X::No), &[Header::new("NXOXM_NSH_C2", Class::NSH, 7, 0)], bits(80, 0, 32)),
    row((F::NshC3, "nsh_c3", "nshc3"), (4, 32), (M, Format::Hexadecimal), (P::Nsh, RW), (X::No, X::No), &[Header::new("NXOXM_NSH_C3", Class::NSH, 8, 0)], bits(81, 32, 32)),
    row((F::NshC4, "nsh_c4", "nshc4"), (4, 32), (M, Format::Hexadecimal), (P::Nsh, RW), (X::No, X::No), &[Header::new("NXOXM_NSH_C4", Class::NSH, 9, 0)], bits(81, 0, 32)),
    row((F::NshTtl, "nsh_ttl", ""), (1, 8), (E, Format::Decimal), (P::Nsh, RW), (X::No, X::No), &[Header::new("NXOXM_NSH_TTL", Class::NSH, 10, 0)], bits(79, 48, 8)),
];
