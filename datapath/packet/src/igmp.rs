//! IGMP versions 1 to 3: the common head, and version 3's reports. Source: RFC 2236, RFC 3376.

use crate::{checksum, view::view};

view! { 8;
    /// Type.
    kind, set_kind: u8 = 0..8;
    /// Maximum response time in tenths of a second.
    code, set_code: u8 = 8..16;
    /// Checksum of the whole message.
    csum, set_csum: u16 = 16..32;
    /// Group; in a version 3 report a reserved half and the number of records.
    group, set_group: u32 = 32..64;
}

/// Types.
pub mod kind {
    /// Membership query.
    pub const QUERY: u8 = 0x11;
    /// Membership report of version 1.
    pub const V1_REPORT: u8 = 0x12;
    /// Membership report of version 2.
    pub const V2_REPORT: u8 = 0x16;
    /// Leave group, of version 2.
    pub const LEAVE: u8 = 0x17;
    /// Membership report of version 3.
    pub const V3_REPORT: u8 = 0x22;
}

/// One record of a version 3 report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Record type, 1 to 6.
    pub kind: u8,
    /// Number of sources.
    pub sources: u16,
    /// Group.
    pub group: u32,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Records of a version 3 report, as far as there are octets.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let octets = self.0.as_ref();
        let count = self.group() & 0xffff;
        let mut at = HEADER_LEN;
        (0..count).map_while(move |_| {
            let head = octets.get(at..at + 8)?;
            let sources = u16::from_be_bytes([head[2], head[3]]);
            at += 8 + usize::from(sources) * 4 + usize::from(head[1]) * 4;
            Some(Record { kind: head[0], sources, group: u32::from_be_bytes([head[4], head[5], head[6], head[7]]) })
        })
    }

    /// Whether the checksum over all octets is right.
    pub fn is_csum_valid(&self) -> bool {
        checksum::of(self.0.as_ref()) == 0
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Computes the checksum over all octets.
    pub fn fill_csum(&mut self) {
        self.set_csum(0);
        let csum = checksum::of(self.0.as_ref());
        self.set_csum(csum);
    }
}
