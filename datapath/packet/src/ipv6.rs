//! IPv6 and its extension headers. Source: RFC 8200, RFC 4302 (authentication header).

use crate::{Malformed, view::view};

view! { 40;
    /// 6.
    version, set_version: u8 = 0..4;
    /// DSCP and ECN.
    traffic_class, set_traffic_class: u8 = 4..12;
    /// Flow label.
    label, set_label: u32 = 12..32;
    /// Octets behind this header.
    payload_len, set_payload_len: u16 = 32..48;
    /// What follows.
    next_header, set_next_header: u8 = 48..56;
    /// Hop limit.
    hop_limit, set_hop_limit: u8 = 56..64;
    /// Source address.
    src, set_src: u128 = 64..192;
    /// Destination address.
    dst, set_dst: u128 = 192..320;
}

/// Extension header numbers.
pub mod extension {
    /// Hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// Routing.
    pub const ROUTING: u8 = 43;
    /// Fragment.
    pub const FRAGMENT: u8 = 44;
    /// Authentication (RFC 4302).
    pub const AUTHENTICATION: u8 = 51;
    /// Nothing follows.
    pub const NO_NEXT: u8 = 59;
    /// Destination options.
    pub const DESTINATION: u8 = 60;
}

/// What a chain of extension headers leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Protocol behind the last extension header walked.
    pub proto: u8,
    /// Where it begins, in octets from the IPv6 header.
    pub offset: usize,
    /// Where the octet stands that names `proto`.
    pub next_header_at: usize,
    /// Where a fragment header stands.
    pub fragment: Option<usize>,
    /// Where a type 0 or type 4 routing header with segments left stands: it, not the header, names the destination.
    pub routing: Option<usize>,
    /// Whether this is a fragment other than the first.
    pub later_fragment: bool,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Whether the payload fits the octets.
    pub fn check_len(&self) -> Result<(), Malformed> {
        let fits = HEADER_LEN + usize::from(self.payload_len()) <= self.0.as_ref().len();
        if fits { Ok(()) } else { Err(Malformed) }
    }

    /// Payload without padding, extension headers included; empty if lengths contradict.
    pub fn payload(&self) -> &[u8] {
        self.0.as_ref().get(HEADER_LEN..HEADER_LEN + usize::from(self.payload_len())).unwrap_or(&[])
    }

    /// Walks the extension headers within the octets at hand (the payload length is not looked at). A later fragment ends
    /// the walk.
    pub fn chain(&self) -> Result<Chain, Malformed> {
        let octets = self.0.as_ref();
        let mut chain = Chain {
            proto: self.next_header(),
            offset: HEADER_LEN,
            next_header_at: 6,
            fragment: None,
            routing: None,
            later_fragment: false,
        };
        loop {
            let head = octets.get(chain.offset..chain.offset + 8);
            let len = match chain.proto {
                extension::FRAGMENT => 8,
                extension::AUTHENTICATION => (usize::from(head.ok_or(Malformed)?[1]) + 2) * 4,
                extension::HOP_BY_HOP | extension::ROUTING | extension::DESTINATION => {
                    (usize::from(head.ok_or(Malformed)?[1]) + 1) * 8
                }
                _ => return Ok(chain),
            };
            let head = head.ok_or(Malformed)?;
            match chain.proto {
                extension::FRAGMENT => {
                    chain.fragment = Some(chain.offset);
                    chain.later_fragment = u16::from_be_bytes([head[2], head[3]]) & 0xfff8 != 0;
                }
                extension::ROUTING if head[3] > 0 => chain.routing = Some(chain.offset),
                _ => {}
            }
            chain.next_header_at = chain.offset;
            chain.offset += len;
            chain.proto = head[0];
            if chain.offset > octets.len() {
                return Err(Malformed);
            }
            if chain.later_fragment {
                return Ok(chain);
            }
        }
    }

    /// The final destination that transport checksums cover: of a routing header with segments left, its last address.
    pub fn csum_dst(&self, chain: &Chain) -> u128 {
        let Some(routing) = chain.routing.and_then(|at| self.0.as_ref().get(at..chain.offset)) else {
            return self.dst();
        };
        // Type 0: addresses in order, the last is final. Type 4 (segment routing): the first listed is final.
        let len = (usize::from(routing[1]) + 1) * 8;
        let at = match routing[2] {
            0 if len >= 24 => len - 16,
            4 if len >= 24 => 8,
            _ => return self.dst(),
        };
        match routing.get(at..at + 16) {
            Some(address) => address.iter().fold(0, |n, o| (n << 8) | u128::from(*o)),
            None => self.dst(),
        }
    }
}
