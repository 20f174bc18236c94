//! Octets in and out: big-endian numbers of a slice that may be too short, and padding.

/// The 16-bit number at `at`, 0 beyond the end.
pub(crate) fn be16(b: &[u8], at: usize) -> u16 {
    b.get(at..at + 2).map_or(0, |o| u16::from_be_bytes([o[0], o[1]]))
}

/// The 32-bit number at `at`, 0 beyond the end.
pub(crate) fn be32(b: &[u8], at: usize) -> u32 {
    (u32::from(be16(b, at)) << 16) | u32::from(be16(b, at + 2))
}

/// The 64-bit number at `at`, 0 beyond the end.
pub(crate) fn be64(b: &[u8], at: usize) -> u64 {
    (u64::from(be32(b, at)) << 32) | u64::from(be32(b, at + 4))
}

/// Whether every octet from `at` on is zero.
pub(crate) fn zero_from(b: &[u8], at: usize) -> bool {
    b.iter().skip(at).all(|o| *o == 0)
}

/// Appends numbers in network order.
pub(crate) trait Put {
    /// 16 bits.
    fn put16(&mut self, n: u16);
    /// 32 bits.
    fn put32(&mut self, n: u32);
    /// 64 bits.
    fn put64(&mut self, n: u64);
    /// `n` zero octets.
    fn put_zeros(&mut self, n: usize);
    /// Zero octets until the length from `start` is a multiple of 8.
    fn pad8(&mut self, start: usize);
    /// Overwrites the 16-bit number at `at`.
    fn set16(&mut self, at: usize, n: u16);
}

impl Put for Vec<u8> {
    fn put16(&mut self, n: u16) {
        self.extend_from_slice(&n.to_be_bytes());
    }
    fn put32(&mut self, n: u32) {
        self.extend_from_slice(&n.to_be_bytes());
    }
    fn put64(&mut self, n: u64) {
        self.extend_from_slice(&n.to_be_bytes());
    }
    fn put_zeros(&mut self, n: usize) {
        self.resize(self.len() + n, 0);
    }
    fn pad8(&mut self, start: usize) {
        let len = self.len() - start;
        self.put_zeros(len.next_multiple_of(8) - len);
    }
    fn set16(&mut self, at: usize, n: u16) {
        if let Some(two) = self.get_mut(at..at + 2) {
            two.copy_from_slice(&n.to_be_bytes());
        }
    }
}

/// A number as C's `%#x` writes it: 0 has no prefix.
pub(crate) fn alternate_hex(number: u32) -> String {
    if number == 0 { "0".to_string() } else { format!("{number:#x}") }
}
