//! IPv4. Source: RFC 791, RFC 2474 (DSCP), RFC 3168 (ECN).

use crate::{Malformed, checksum, view::view};

view! { 20;
    /// 4.
    version, set_version: u8 = 0..4;
    /// Header length in 32-bit words.
    ihl, set_ihl: u8 = 4..8;
    /// DSCP and ECN.
    tos, set_tos: u8 = 8..16;
    /// Octets of header and payload.
    total_len, set_total_len: u16 = 16..32;
    /// Identification.
    id, set_id: u16 = 32..48;
    /// Do not fragment.
    dont_frag, set_dont_frag: u8 = 49..50;
    /// More fragments follow.
    more_frags, set_more_frags: u8 = 50..51;
    /// Place of this fragment, in units of 8 octets.
    frag_offset, set_frag_offset: u16 = 51..64;
    /// Time to live.
    ttl, set_ttl: u8 = 64..72;
    /// Protocol of the payload.
    proto, set_proto: u8 = 72..80;
    /// Header checksum.
    csum, set_csum: u16 = 80..96;
    /// Source address.
    src, set_src: u32 = 96..128;
    /// Destination address.
    dst, set_dst: u32 = 128..160;
}

/// Internet protocol numbers.
pub mod proto {
    /// ICMP (RFC 792).
    pub const ICMP: u8 = 1;
    /// IGMP (RFC 3376).
    pub const IGMP: u8 = 2;
    /// TCP (RFC 9293).
    pub const TCP: u8 = 6;
    /// UDP (RFC 768).
    pub const UDP: u8 = 17;
    /// GRE (RFC 2784).
    pub const GRE: u8 = 47;
    /// ICMPv6 (RFC 4443).
    pub const ICMPV6: u8 = 58;
    /// SCTP (RFC 9260).
    pub const SCTP: u8 = 132;
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Octets of the header with options.
    pub fn header_len(&self) -> usize {
        usize::from(self.ihl()) * 4
    }

    /// Whether header and payload fit the octets.
    pub fn check_len(&self) -> Result<(), Malformed> {
        let total = usize::from(self.total_len());
        let fits = self.header_len() >= HEADER_LEN && self.header_len() <= total && total <= self.0.as_ref().len();
        if fits { Ok(()) } else { Err(Malformed) }
    }

    /// Whether it is a fragment.
    pub fn is_fragment(&self) -> bool {
        self.more_frags() != 0 || self.frag_offset() != 0
    }

    /// Payload without padding; empty if lengths contradict.
    pub fn payload(&self) -> &[u8] {
        self.0.as_ref().get(self.header_len()..self.total_len().into()).unwrap_or(&[])
    }

    /// Whether the header's checksum is right.
    pub fn is_csum_valid(&self) -> bool {
        self.0.as_ref().get(..self.header_len()).is_some_and(|h| checksum::of(h) == 0)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Computes the header's checksum.
    pub fn fill_csum(&mut self) {
        self.set_csum(0);
        let len = self.header_len();
        let csum = self.0.as_ref().get(..len).map_or(0, checksum::of);
        self.set_csum(csum);
    }
}
