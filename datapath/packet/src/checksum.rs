//! The Internet checksum: whole (RFC 1071), with pseudo headers, and incremental (RFC 1624, equation 3).
//!
//! Sums are one's complement sums in 64 bits, unfolded, over the octets as big-endian 16-bit words.

/// Adds octets to a running sum. Only the last piece of a message may have an odd length.
pub fn sum(octets: &[u8], start: u64) -> u64 {
    let mut sum = start;
    let mut eights = octets.chunks_exact(8);
    for chunk in &mut eights {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        let (total, carry) = sum.overflowing_add(u64::from_be_bytes(word));
        sum = total + u64::from(carry);
    }
    let mut word = [0; 8];
    let rest = eights.remainder();
    word[..rest.len()].copy_from_slice(rest);
    let (total, carry) = sum.overflowing_add(u64::from_be_bytes(word));
    total + u64::from(carry)
}

/// Folds a sum to 16 bits.
#[inline]
pub fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

/// The checksum that a sum makes.
#[inline]
pub fn finish(sum: u64) -> u16 {
    !fold(sum)
}

/// The checksum of octets; 0 if they contain their right one.
pub fn of(octets: &[u8]) -> u16 {
    finish(sum(octets, 0))
}

/// Sum of IPv4's pseudo header; `len` is that of the transport header and payload in octets.
pub fn pseudo_v4(src: u32, dst: u32, proto: u8, len: u32) -> u64 {
    u64::from(src) + u64::from(dst) + u64::from(proto) + u64::from(len)
}

/// Sum of IPv6's pseudo header.
pub fn pseudo_v6(src: u128, dst: u128, proto: u8, len: u32) -> u64 {
    let addresses = [src, dst].iter().fold(0, |s, a| sum(&a.to_be_bytes(), s));
    sum(&(u32::from(proto) + len).to_be_bytes(), u64::from(fold(addresses)))
}

/// The checksum after a 16-bit word it covers changed.
#[inline]
pub fn update16(csum: u16, old: u16, new: u16) -> u16 {
    finish(u64::from(!csum) + u64::from(!old) + u64::from(new))
}

/// The checksum after a 32-bit word it covers changed.
#[inline]
pub fn update32(csum: u16, old: u32, new: u32) -> u16 {
    finish(u64::from(!csum) + u64::from(!old) + u64::from(new))
}

/// The checksum after 128 bits that it covers changed.
pub fn update128(csum: u16, old: u128, new: u128) -> u16 {
    let sum = sum(&(!old).to_be_bytes(), u64::from(!csum));
    finish(u64::from(fold(sum)) + u64::from(fold(self::sum(&new.to_be_bytes(), 0))))
}

/// The checksum after an even number of octets that it covers changed, at an even place.
pub fn update(csum: u16, old: &[u8], new: &[u8]) -> u16 {
    finish(u64::from(!csum) + u64::from(!fold(sum(old, 0))) + u64::from(fold(sum(new, 0))))
}
