//! SCTP's common header and its checksum, CRC32c. Source: RFC 9260.

use crate::view::view;

view! { 12;
    /// Source port.
    src, set_src: u16 = 0..16;
    /// Destination port.
    dst, set_dst: u16 = 16..32;
    /// Verification tag.
    tag, set_tag: u32 = 32..64;
    /// Checksum as the octets stand: see [`crc`].
    csum, set_csum: u32 = 64..96;
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

/// CRC32c over octets, in the form in which it is written as a big-endian number into the header.
pub fn crc(octets: &[u8]) -> u32 {
    let crc = octets.iter().fold(u32::MAX, |crc, o| (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ o)]);
    (!crc).swap_bytes()
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Computes the checksum over all octets.
    pub fn fill_csum(&mut self) {
        self.set_csum(0);
        let csum = crc(self.0.as_ref());
        self.set_csum(csum);
    }
}
