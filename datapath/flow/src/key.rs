//! The flow key: every field that a rule or a cached flow can match, in a fixed array of 64-bit words.
//!
//! Words are numbers in host order; a field is a bit range of one word (fields of 128 bits: two words, the more
//! significant first). The words lie in look-up order: metadata, then layer 2, layer 3 and layer 4, so that a staged
//! look-up hashes a prefix of them ([`STAGE_END`]). The same layout serves [`Key`] (values) and [`Mask`] (1 bits matter),
//! so that masking, comparing and hashing are plain word arithmetic, and a field access is a shift.
//!
//! Two placements look odd and are deliberate, because they decide which bits a staged look-up leaves wildcarded: TCP flags
//! stand in the layer 3 stage, the original tuple's ports of a tracked connection in the layer 4 stage.
//!
//! Absent here: names, NXM numbers, prerequisites (see `field`), and extraction from packets (see `extract`).
//! Source: ovs-fields(7).

/// Number of 64-bit words in a key.
pub const WORDS: usize = 84;

/// First word after each look-up stage: metadata, layer 2, layer 3, layer 4.
pub const STAGE_END: [usize; 4] = [59, 64, 75, WORDS];

/// First word of the tunnel option bytes (`tun_metadata*`), 32 words, filled from the most significant byte down.
pub const TUN_METADATA_WORD: usize = 10;
/// Octets of tunnel option data in a key.
pub const TUN_METADATA_BYTES: usize = 256;
/// First of the 8 words that hold the 16 registers: register `2i` is the upper half of word `REG_WORD + i`.
pub const REG_WORD: usize = 43;

/// Words by the fields that fill them, for code that moves whole words.
pub mod word {
    /// `dp_hash` (upper half) and `in_port`.
    pub const IN_PORT: usize = 52;
    /// `eth_dst` (upper 48 bits) and `eth_type`.
    pub const DL_DST_TYPE: usize = 59;
    /// `eth_src`, the upper 48 bits.
    pub const DL_SRC: usize = 60;
    /// Both VLAN tags.
    pub const VLANS: usize = 61;
    /// The first two entries of the label stack.
    pub const LABELS: usize = 62;
    /// `nw_src` (upper half) and `nw_dst`.
    pub const NW: usize = 64;
    /// `ct_nw_src` (upper half) and `ct_nw_dst`.
    pub const CT_NW: usize = 65;
    /// First of the 2 words of `ipv6_src`.
    pub const IPV6_SRC: usize = 66;
    /// First of the 2 words of `ipv6_dst`.
    pub const IPV6_DST: usize = 68;
    /// First of the 4 words of `ct_ipv6_src` and `ct_ipv6_dst`.
    pub const CT_IPV6: usize = 70;
    /// `ipv6_label`, `nw_frag`, `nw_tos`, `nw_ttl` and `nw_proto`.
    pub const IP: usize = 74;
    /// First of the 2 words of `nd_target`.
    pub const ND_TARGET: usize = 75;
    /// `arp_sha` (or `nd_sll`), the upper 48 bits.
    pub const ARP_SHA: usize = 77;
    /// `arp_tha` (or `nd_tll`), the upper 48 bits, and `tcp_flags` (or the type of an ND option).
    pub const ARP_THA_TCP_FLAGS: usize = 78;
    /// Ports of the transport, and what shares their word.
    pub const TP: usize = 82;
}

/// Values of all fields.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key(pub [u64; WORDS]);

/// Which bits of a key matter: 1 = exact, 0 = any.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Mask(pub [u64; WORDS]);

#[inline(always)]
const fn low_bits(bits: u32) -> u64 {
    if bits >= 64 { u64::MAX } else { (1u64 << bits) - 1 }
}

macro_rules! accessors {
    ($($(#[$doc:meta])* $get:ident, $set:ident: $ty:ty = $word:expr, $shift:expr, $bits:expr;)*) => {
        accessors!(@impl Key; $($(#[$doc])* $get, $set: $ty = $word, $shift, $bits;)*);
        accessors!(@impl Mask; $($(#[$doc])* $get, $set: $ty = $word, $shift, $bits;)*);
    };
    (@impl $for:ident; $($(#[$doc:meta])* $get:ident, $set:ident: $ty:ty = $word:expr, $shift:expr, $bits:expr;)*) => {
        impl $for {
            $(
                $(#[$doc])*
                #[inline]
                pub fn $get(&self) -> $ty {
                    ((self.0[$word] >> $shift) & low_bits($bits)) as $ty
                }
                /// Sets the field of the same name.
                #[inline]
                pub fn $set(&mut self, value: $ty) {
                    let field = low_bits($bits) << $shift;
                    self.0[$word] = (self.0[$word] & !field) | (((value as u64) << $shift) & field);
                }
            )*
        }
    };
}

macro_rules! accessors128 {
    ($($(#[$doc:meta])* $get:ident, $set:ident = $word:expr;)*) => {
        accessors128!(@impl Key; $($(#[$doc])* $get, $set = $word;)*);
        accessors128!(@impl Mask; $($(#[$doc])* $get, $set = $word;)*);
    };
    (@impl $for:ident; $($(#[$doc:meta])* $get:ident, $set:ident = $word:expr;)*) => {
        impl $for {
            $(
                $(#[$doc])*
                #[inline]
                pub fn $get(&self) -> u128 {
                    (u128::from(self.0[$word]) << 64) | u128::from(self.0[$word + 1])
                }
                /// Sets the field of the same name.
                #[inline]
                pub fn $set(&mut self, value: u128) {
                    self.0[$word] = (value >> 64) as u64;
                    self.0[$word + 1] = value as u64;
                }
            )*
        }
    };
}

accessors! {
    /// Tunnel identifier (VNI, key), 64 bits.
    tun_id, set_tun_id: u64 = 0, 0, 64;
    /// Outer IPv4 source.
    tun_src, set_tun_src: u32 = 1, 32, 32;
    /// Outer IPv4 destination.
    tun_dst, set_tun_dst: u32 = 1, 0, 32;
    /// Tunnel flags: [`crate::tun_flag`].
    tun_flags, set_tun_flags: u16 = 6, 48, 16;
    /// Outer type of service.
    tun_tos, set_tun_tos: u8 = 6, 40, 8;
    /// Outer time to live.
    tun_ttl, set_tun_ttl: u8 = 6, 32, 8;
    /// Outer transport source port.
    tun_tp_src, set_tun_tp_src: u16 = 6, 16, 16;
    /// Outer transport destination port.
    tun_tp_dst, set_tun_tp_dst: u16 = 6, 0, 16;
    /// VXLAN group policy identifier.
    tun_gbp_id, set_tun_gbp_id: u16 = 7, 48, 16;
    /// VXLAN group policy flags.
    tun_gbp_flags, set_tun_gbp_flags: u8 = 7, 40, 8;
    /// ERSPAN version (4 bits used).
    tun_erspan_ver, set_tun_erspan_ver: u8 = 7, 32, 8;
    /// ERSPAN direction (1 bit used).
    tun_erspan_dir, set_tun_erspan_dir: u8 = 7, 24, 8;
    /// ERSPAN hardware identifier (6 bits used).
    tun_erspan_hwid, set_tun_erspan_hwid: u8 = 7, 16, 8;
    /// GTP-U flags.
    tun_gtpu_flags, set_tun_gtpu_flags: u8 = 7, 8, 8;
    /// GTP-U message type.
    tun_gtpu_msgtype, set_tun_gtpu_msgtype: u8 = 7, 0, 8;
    /// ERSPAN index (20 bits used).
    tun_erspan_idx, set_tun_erspan_idx: u32 = 8, 32, 32;
    /// Bit i: `tun_metadata`i is present.
    tun_metadata_present, set_tun_metadata_present: u64 = 9, 0, 64;
    /// OpenFlow metadata.
    metadata, set_metadata: u64 = 42, 0, 64;
    /// Queueing priority (`skb_priority`).
    skb_priority, set_skb_priority: u32 = 51, 32, 32;
    /// Packet mark.
    pkt_mark, set_pkt_mark: u32 = 51, 0, 32;
    /// Hash computed by the datapath.
    dp_hash, set_dp_hash: u32 = 52, 32, 32;
    /// Input port: a datapath port number in the datapath, an OpenFlow port number above it.
    in_port, set_in_port: u32 = word::IN_PORT, 0, 32;
    /// Recirculation identifier, 0 when the packet has not been recirculated.
    recirc_id, set_recirc_id: u32 = 53, 32, 32;
    /// Conjunction identifier.
    conj_id, set_conj_id: u32 = 53, 0, 32;
    /// Connection tracking zone.
    ct_zone, set_ct_zone: u16 = 54, 48, 16;
    /// Connection tracking state: [`crate::ct_state`].
    ct_state, set_ct_state: u8 = 54, 40, 8;
    /// IP protocol of the original direction tuple.
    ct_nw_proto, set_ct_nw_proto: u8 = 54, 32, 8;
    /// Transport source of the original direction tuple.
    ct_tp_src, set_ct_tp_src: u16 = 82, 16, 16;
    /// Transport destination of the original direction tuple.
    ct_tp_dst, set_ct_tp_dst: u16 = 82, 0, 16;
    /// Connection mark.
    ct_mark, set_ct_mark: u32 = 55, 32, 32;
    /// Output port in the action set.
    actset_output, set_actset_output: u32 = 55, 0, 32;
    /// Packet type: name space in the upper half, type in the lower; Ethernet is 0.
    packet_type, set_packet_type: u32 = 58, 32, 32;
    /// IPv4 source of the original direction tuple.
    ct_nw_src, set_ct_nw_src: u32 = 65, 32, 32;
    /// IPv4 destination of the original direction tuple.
    ct_nw_dst, set_ct_nw_dst: u32 = 65, 0, 32;
    /// Ethernet destination, 48 bits.
    dl_dst, set_dl_dst: u64 = 59, 16, 48;
    /// EtherType, or 0x05ff for an 802.2 frame without SNAP.
    dl_type, set_dl_type: u16 = 59, 0, 16;
    /// Ethernet source, 48 bits.
    dl_src, set_dl_src: u64 = 60, 16, 48;
    /// TPID of the outer VLAN tag, 0 without one.
    vlan_tpid, set_vlan_tpid: u16 = 61, 48, 16;
    /// TCI of the outer VLAN tag, with bit 0x1000 set when there is one.
    vlan_tci, set_vlan_tci: u16 = 61, 32, 16;
    /// TPID of the second VLAN tag.
    vlan2_tpid, set_vlan2_tpid: u16 = 61, 16, 16;
    /// TCI of the second VLAN tag, with bit 0x1000 set when there is one.
    vlan2_tci, set_vlan2_tci: u16 = 61, 0, 16;
    /// Outermost MPLS label stack entry.
    mpls_lse0, set_mpls_lse0: u32 = 62, 32, 32;
    /// Second MPLS label stack entry.
    mpls_lse1, set_mpls_lse1: u32 = 62, 0, 32;
    /// Third MPLS label stack entry.
    mpls_lse2, set_mpls_lse2: u32 = 63, 32, 32;
    /// IPv4 source, or ARP sender protocol address.
    nw_src, set_nw_src: u32 = 64, 32, 32;
    /// IPv4 destination, or ARP target protocol address.
    nw_dst, set_nw_dst: u32 = 64, 0, 32;
    /// IPv6 flow label, 20 bits used.
    ipv6_label, set_ipv6_label: u32 = 74, 32, 32;
    /// Fragment state: [`crate::nw_frag`].
    nw_frag, set_nw_frag: u8 = 74, 24, 8;
    /// DSCP and ECN as on the wire.
    nw_tos, set_nw_tos: u8 = 74, 16, 8;
    /// Time to live or hop limit.
    nw_ttl, set_nw_ttl: u8 = 74, 8, 8;
    /// IP protocol, or the low 8 bits of the ARP opcode.
    nw_proto, set_nw_proto: u8 = 74, 0, 8;
    /// ARP sender hardware address, or ND source link-layer address; 48 bits.
    arp_sha, set_arp_sha: u64 = 77, 16, 48;
    /// ARP target hardware address, or ND target link-layer address; 48 bits.
    arp_tha, set_arp_tha: u64 = 78, 16, 48;
    /// NSH flags.
    nsh_flags, set_nsh_flags: u8 = 79, 56, 8;
    /// NSH time to live.
    nsh_ttl, set_nsh_ttl: u8 = 79, 48, 8;
    /// NSH metadata type.
    nsh_mdtype, set_nsh_mdtype: u8 = 79, 40, 8;
    /// NSH next protocol.
    nsh_np, set_nsh_np: u8 = 79, 32, 8;
    /// NSH service path identifier, 24 bits.
    nsh_spi, set_nsh_spi: u32 = 79, 8, 24;
    /// NSH service index.
    nsh_si, set_nsh_si: u8 = 79, 0, 8;
    /// NSH context header 1.
    nsh_c1, set_nsh_c1: u32 = 80, 32, 32;
    /// NSH context header 2.
    nsh_c2, set_nsh_c2: u32 = 80, 0, 32;
    /// NSH context header 3.
    nsh_c3, set_nsh_c3: u32 = 81, 32, 32;
    /// NSH context header 4.
    nsh_c4, set_nsh_c4: u32 = 81, 0, 32;
    /// Transport source port, or ICMP type.
    tp_src, set_tp_src: u16 = 82, 48, 16;
    /// Transport destination port, or ICMP code.
    tp_dst, set_tp_dst: u16 = 82, 32, 16;
    /// TCP flags (12 bits used), or the ND option type.
    tcp_flags, set_tcp_flags: u16 = 78, 0, 16;
    /// IGMP group, or the ND reserved word.
    igmp_group, set_igmp_group: u32 = 83, 32, 32;
}

accessors128! {
    /// Outer IPv6 source.
    tun_ipv6_src, set_tun_ipv6_src = 2;
    /// Outer IPv6 destination.
    tun_ipv6_dst, set_tun_ipv6_dst = 4;
    /// Connection label.
    ct_label, set_ct_label = 56;
    /// IPv6 source of the original direction tuple.
    ct_ipv6_src, set_ct_ipv6_src = 70;
    /// IPv6 destination of the original direction tuple.
    ct_ipv6_dst, set_ct_ipv6_dst = 72;
    /// IPv6 source.
    ipv6_src, set_ipv6_src = 66;
    /// IPv6 destination.
    ipv6_dst, set_ipv6_dst = 68;
    /// ND target address.
    nd_target, set_nd_target = 75;
}

macro_rules! common {
    ($for:ident) => {
        impl $for {
            /// All words zero.
            pub const EMPTY: $for = $for([0; WORDS]);

            /// Register `i`, 0 to 15.
            #[inline]
            pub fn reg(&self, i: usize) -> u32 {
                let word = self.0[REG_WORD + i / 2];
                if i % 2 == 0 { (word >> 32) as u32 } else { word as u32 }
            }

            /// Sets register `i`, 0 to 15.
            #[inline]
            pub fn set_reg(&mut self, i: usize, value: u32) {
                let shift = if i % 2 == 0 { 32 } else { 0 };
                let word = &mut self.0[REG_WORD + i / 2];
                *word = (*word & !(0xffff_ffffu64 << shift)) | (u64::from(value) << shift);
            }

            /// The `bits` (1 to 128) that start `offset` bits above the least significant end of the number formed by
            /// the words up to and including `last_word`.
            #[inline]
            pub fn bits(&self, last_word: usize, offset: u32, bits: u32) -> u128 {
                let low = u128::from(self.0[last_word]);
                let wide = if offset + bits > 64 { low | (u128::from(self.0[last_word - 1]) << 64) } else { low };
                let value = wide >> offset;
                if bits >= 128 { value } else { value & ((1u128 << bits) - 1) }
            }

            /// Writes what [`Self::bits`] reads; excess bits of `value` are ignored.
            #[inline]
            pub fn set_bits(&mut self, last_word: usize, offset: u32, bits: u32, value: u128) {
                let ones = if bits >= 128 { u128::MAX } else { (1u128 << bits) - 1 };
                let (field, value) = (ones << offset, (value & ones) << offset);
                self.0[last_word] = (self.0[last_word] & !(field as u64)) | value as u64;
                if offset + bits > 64 {
                    let high = &mut self.0[last_word - 1];
                    *high = (*high & !((field >> 64) as u64)) | (value >> 64) as u64;
                }
            }
        }

        impl Default for $for {
            fn default() -> Self {
                Self::EMPTY
            }
        }

        impl std::fmt::Debug for $for {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut words = f.debug_map();
                for (i, word) in self.0.iter().enumerate().filter(|(_, w)| **w != 0) {
                    words.entry(&i, &format_args!("{word:#x}"));
                }
                words.finish()
            }
        }
    };
}
common!(Key);
common!(Mask);

impl Key {
    /// Clears every bit that `mask` does not care for.
    #[inline]
    pub fn apply(&mut self, mask: &Mask) {
        for (word, m) in self.0.iter_mut().zip(&mask.0) {
            *word &= m;
        }
    }

    /// A copy with only the bits that `mask` cares for.
    #[inline]
    pub fn masked(&self, mask: &Mask) -> Key {
        let mut key = self.clone();
        key.apply(mask);
        key
    }

    /// Whether both keys agree in every bit of `mask`.
    #[inline]
    pub fn matches(&self, other: &Key, mask: &Mask) -> bool {
        (0..WORDS).all(|i| (self.0[i] ^ other.0[i]) & mask.0[i] == 0)
    }
}

impl Mask {
    /// Adds the bits of `other`.
    #[inline]
    pub fn join(&mut self, other: &Mask) {
        for (word, o) in self.0.iter_mut().zip(&other.0) {
            *word |= o;
        }
    }

    /// Whether every bit that `other` cares for matters here too.
    pub fn covers(&self, other: &Mask) -> bool {
        self.0.iter().zip(&other.0).all(|(m, o)| o & !m == 0)
    }

    /// Whether nothing matters.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|w| *w == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_overlap() {
        let mut key = Key::EMPTY;
        key.set_dl_dst(u64::MAX);
        assert_eq!((key.dl_dst(), key.dl_type()), (0xffff_ffff_ffff, 0));
        key.set_nsh_spi(0xff_ffff);
        assert_eq!((key.nsh_si(), key.nsh_np()), (0, 0));
        key.set_ct_label(1 << 64);
        assert_eq!((key.0[56], key.0[57]), (1, 0));
    }

    #[test]
    fn bit_ranges_cross_words() {
        let mut key = Key::EMPTY;
        key.set_bits(REG_WORD + 1, 32, 64, 0x1122_3344_5566_7788);
        assert_eq!((key.reg(1), key.reg(2)), (0x1122_3344, 0x5566_7788));
        assert_eq!(key.bits(REG_WORD + 1, 32, 64), 0x1122_3344_5566_7788);
    }
}
