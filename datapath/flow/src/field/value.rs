//! A field's value or mask: octets in network order, as wide as the field.

use smallvec::SmallVec;

/// The `bits` lowest bits of a number.
fn low(bits: usize) -> u128 {
    if bits >= 128 { u128::MAX } else { (1 << bits) - 1 }
}

/// Octets of one field, most significant first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub SmallVec<[u8; 16]>);

impl Value {
    /// `n` zero octets.
    #[inline]
    pub fn zeros(n: usize) -> Self {
        Self::filled(0, n)
    }

    /// `n` times the same octet. Values are made for every field of every match, and nearly all of them are short.
    #[inline]
    fn filled(octet: u8, n: usize) -> Self {
        Self(if n <= 16 { SmallVec::from_buf_and_len([octet; 16], n) } else { SmallVec::from_elem(octet, n) })
    }

    /// `n` octets with the `bits` least significant bits set.
    #[inline]
    pub fn ones(n: usize, bits: usize) -> Self {
        if bits == n * 8 {
            return Self::filled(0xff, n);
        }
        let mut value = Self::zeros(n);
        let (whole, rest) = (bits.min(n * 8) / 8, bits.min(n * 8) % 8);
        value.0[n - whole..].fill(0xff);
        if rest > 0 {
            value.0[n - 1 - whole] = (1 << rest) - 1;
        }
        value
    }

    /// A number in `n` octets (at most 16 of them carry it); excess high bits are lost.
    #[inline]
    pub fn from_u128(number: u128, n: usize) -> Self {
        let mut value = Self::zeros(n);
        let octets = number.to_be_bytes();
        let used = n.min(16);
        value.0[n - used..].copy_from_slice(&octets[16 - used..]);
        value
    }

    /// A copy of octets.
    #[inline]
    pub fn from_slice(octets: &[u8]) -> Self {
        Self(SmallVec::from_slice(octets))
    }

    /// The least significant 128 bits as a number.
    #[inline]
    pub fn to_u128(&self) -> u128 {
        let start = self.0.len().saturating_sub(16);
        let low = &self.0[start..];
        let mut octets = [0; 16];
        octets[16 - low.len()..].copy_from_slice(low);
        u128::from_be_bytes(octets)
    }

    /// Octets.
    #[inline]
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// Number of octets.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no octets.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every bit is 0.
    #[inline]
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|o| *o == 0)
    }

    /// Whether every bit of every octet is 1.
    #[inline]
    pub fn is_ones(&self) -> bool {
        self.0.iter().all(|o| *o == 0xff)
    }

    /// Bit `i`, counted from the least significant; beyond the width 0.
    pub fn bit(&self, i: usize) -> bool {
        let n = self.0.len();
        i / 8 < n && self.0[n - 1 - i / 8] & (1 << (i % 8)) != 0
    }

    /// The bitwise and of two values of one width.
    pub fn and(&self, other: &Value) -> Value {
        let mut both = Value::from_slice(&self.0);
        both.0.truncate(other.0.len());
        both.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= b);
        both
    }

    /// `n_bits` bits from bit `offset` up (counted from the least significant), right-aligned in a number of up to 128 bits.
    pub fn subfield(&self, offset: usize, n_bits: usize) -> u128 {
        if self.0.len() <= 16 && offset < 128 {
            return (self.to_u128() >> offset) & low(n_bits);
        }
        (0..n_bits.min(128)).fold(0, |n, i| n | (u128::from(self.bit(offset + i)) << i))
    }

    /// Writes what [`Self::subfield`] reads.
    pub fn set_subfield(&mut self, offset: usize, n_bits: usize, number: u128) {
        let n = self.0.len();
        if n <= 16 && offset < 128 {
            let bits = low(n_bits) << offset;
            *self = Self::from_u128((self.to_u128() & !bits) | ((number << offset) & bits), n);
            return;
        }
        for i in 0..n_bits.min(128) {
            let at = offset + i;
            if at / 8 >= n {
                break;
            }
            let octet = &mut self.0[n - 1 - at / 8];
            let bit = 1 << (at % 8);
            *octet = if number >> i & 1 == 1 { *octet | bit } else { *octet & !bit };
        }
    }
}
