//! The field registry: every field of ovs-fields(7) with its names, widths, prerequisites, textual form, numbers in
//! OpenFlow, and its place in a [`crate::Key`]; reading and writing any field's value or mask.
//!
//! Derived fields (`dl_vlan`, `vlan_vid`, `nw_tos`, `ip_dscp`, `xreg`…) are views of the same bits of the key. The
//! place of `tun_metadata*` is decided by a [`TunTable`]; functions that take none see these fields as empty.
//!
//! Absent here: text ([`text`]), encoding (the OpenFlow crate). Source: ovs-fields(7), OpenFlow 1.5.1 §7.2.3.

mod access;
pub use access::{port_from_of10, port_to_of10};
mod prereq;
mod table;
pub mod text;
mod tun_table;
mod value;

pub use prereq::Prereq;
pub use table::{ALL, Class, Header};
pub use tun_table::{TunEntry, TunError, TunTable};
pub use value::Value;

/// How a field's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Unsigned decimal; with a partial mask hexadecimal.
    Decimal,
    /// `0x…`.
    Hexadecimal,
    /// `xx:xx:xx:xx:xx:xx`.
    Ethernet,
    /// Dotted quad.
    Ipv4,
    /// Colon form.
    Ipv6,
    /// OpenFlow 1.0 port, 16 bits.
    OfpPort,
    /// OpenFlow 1.1 port, 32 bits.
    OfpPort32,
    /// `no`, `yes`, `first`, `later`, `not_later`.
    Frag,
    /// `+trk-est…`.
    CtState,
    /// `+oam…`.
    TunFlags,
    /// `+syn-ack…`.
    TcpFlags,
    /// `(ns,type)`.
    PacketType,
}

/// What a version's fixed-size match (1.0, 1.1) can say of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixed {
    /// Nothing.
    No,
    /// Exact values.
    Exact,
    /// Prefixes.
    Cidr,
    /// Any mask.
    Bitwise,
}

/// Where a field lies in a [`crate::Key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// `bits` (1 to 128) whose least significant one is bit `offset` of `last_word` (see [`crate::Key::bits`]).
    Bits {
        /// Word that holds the least significant bit.
        last_word: u8,
        /// From that word's least significant end.
        offset: u8,
        /// Width in the key; the field's own width may differ.
        bits: u8,
    },
    /// The 16-bit image of the 32-bit input port.
    InPort16,
    /// The VLAN identifier alone: 12 bits, 0xffff stands for "no tag".
    DlVlan,
    /// The VLAN identifier and the bit that tells that there is a tag.
    VlanVid,
    /// The VLAN priority.
    VlanPcp,
    /// The DSCP where it stands in the type of service: the two low bits read as 0.
    NwTos,
    /// As the table of tunnel options has it.
    TunMetadata,
}

/// What there is to know about a field.
#[derive(Clone, Debug)]
pub struct Meta {
    /// Which.
    pub field: Field,
    /// Primary name.
    pub name: &'static str,
    /// Alternative name.
    pub alias: Option<&'static str>,
    /// Octets of a value.
    pub n_bytes: u16,
    /// Of these, the least significant bits that carry information.
    pub n_bits: u16,
    /// Whether a match may be partial.
    pub maskable: bool,
    /// Textual form.
    pub format: Format,
    /// What a packet must be to have the field.
    pub prereq: Prereq,
    /// Whether actions may write it.
    pub writable: bool,
    /// In OpenFlow 1.0's match.
    pub of10: Fixed,
    /// In OpenFlow 1.1's match.
    pub of11: Fixed,
    /// Its numbers in OXM and NXM, the preferred standard one first.
    pub headers: &'static [Header],
    /// Place in the key.
    pub location: Location,
}

macro_rules! fields {
    ($($variant:ident $(($index:ident < $count:literal))?,)*) => {
        /// A field. [`ALL`] has them in order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Field { $(#[doc = concat!("Field `", stringify!($variant), "`.")] $variant $((fields!(@u8 $index)))?,)* }

        #[derive(Clone, Copy)]
        enum Slot { $($variant,)* }

        impl Field {
            #[inline]
            const fn slot(self) -> (usize, usize) {
                match self {
                    $(Field::$variant $(($index))? => (Slot::$variant as usize, fields!(@index $($index)?)),)*
                }
            }
        }
    };
    (@u8 $index:ident) => { u8 };
    (@index) => { 0 };
    (@index $index:ident) => { $index as usize };
}

fields! {
    DpHash, RecircId, PacketType, ConjId,
    TunId, TunSrc, TunDst, TunIpv6Src, TunIpv6Dst, TunFlags, TunTtl, TunTos, TunGbpId, TunGbpFlags,
    TunErspanIdx, TunErspanVer, TunErspanDir, TunErspanHwid, TunGtpuFlags, TunGtpuMsgtype,
    TunMetadata(i < 64),
    Metadata, InPort, InPortOxm, ActsetOutput, SkbPriority, PktMark,
    CtState, CtZone, CtMark, CtLabel, CtNwProto, CtNwSrc, CtNwDst, CtIpv6Src, CtIpv6Dst, CtTpSrc, CtTpDst,
    Reg(i < 16), XReg(i < 8), XxReg(i < 4),
    EthSrc, EthDst, EthType, VlanTci, DlVlan, VlanVid, DlVlanPcp, VlanPcp,
    MplsLabel, MplsTc, MplsBos, MplsTtl,
    Ipv4Src, Ipv4Dst, Ipv6Src, Ipv6Dst, Ipv6Label, IpProto, NwTos, IpDscp, IpEcn, IpTtl, IpFrag,
    ArpOp, ArpSpa, ArpTpa, ArpSha, ArpTha,
    TcpSrc, TcpDst, TcpFlags, UdpSrc, UdpDst, SctpSrc, SctpDst,
    Icmpv4Type, Icmpv4Code, Icmpv6Type, Icmpv6Code, NdTarget, NdSll, NdTll, NdReserved, NdOptionsType,
    NshFlags, NshMdtype, NshNp, NshSpi, NshSi, NshC1, NshC2, NshC3, NshC4, NshTtl,
}

impl Field {
    /// Number of fields.
    pub const COUNT: usize = table::COUNT;

    /// Its rank in [`ALL`]; dense, below [`Field::COUNT`].
    #[inline]
    pub const fn index(self) -> usize {
        let (slot, i) = self.slot();
        let mut index = slot + i;
        if slot > Slot::TunMetadata as usize {
            index += 63;
        }
        if slot > Slot::Reg as usize {
            index += 15;
        }
        if slot > Slot::XReg as usize {
            index += 7;
        }
        if slot > Slot::XxReg as usize {
            index += 3;
        }
        index
    }

    /// What there is to know about it.
    #[inline]
    pub fn meta(self) -> &'static Meta {
        &table::METAS[self.index().min(Field::COUNT - 1)]
    }

    /// The field of this primary or alternative name.
    pub fn by_name(name: &str) -> Option<Field> {
        table::by_name(name)
    }

    /// The field of this OXM class, experimenter (0 unless the class is [`Class::EXPERIMENTER`]) and field number.
    pub fn by_header(class: u16, experimenter: u32, number: u8) -> Option<(Field, &'static Header)> {
        table::by_header(class, experimenter, number)
    }

    /// The field whose OXM or NXM header has this name, for instance `NXM_NX_REG0`.
    pub fn by_header_name(name: &str) -> Option<(Field, &'static Header)> {
        table::by_header_name(name)
    }

    /// Primary name.
    pub fn name(self) -> &'static str {
        self.meta().name
    }

    /// Whether it is one of `reg*`, `xreg*`, `xxreg*`.
    pub const fn is_register(self) -> bool {
        matches!(self, Field::Reg(_) | Field::XReg(_) | Field::XxReg(_))
    }

    /// Whether it describes the packet's pipeline rather than its octets, and is a tunnel field.
    pub const fn is_tunnel(self) -> bool {
        let slot = self.slot().0;
        slot >= Slot::TunId as usize && slot <= Slot::TunMetadata as usize
    }
}

#[cfg(test)]
mod tests;
