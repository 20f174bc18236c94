//! The macro behind every protocol file: a view of a header over octets, beside a representation.
//!
//! A field is a range of bits counted from the header's first, most significant bit, as the diagrams in the RFCs do.

/// A header does not fit into its octets, or contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("truncated or malformed header")]
pub struct Malformed;

/// The number in bits `from..to` of `octets` (at most 128 bits).
#[inline(always)]
pub(crate) fn bits(octets: &[u8], from: usize, to: usize) -> u128 {
    let (first, last) = (from / 8, to.div_ceil(8));
    let number = octets[first..last].iter().fold(0u128, |n, o| (n << 8) | u128::from(*o));
    let width = to - from;
    let number = number >> (last * 8 - to);
    if width >= 128 { number } else { number & ((1 << width) - 1) }
}

/// Writes what [`bits`] reads; excess bits of `number` are lost.
#[inline(always)]
pub(crate) fn set_bits(octets: &mut [u8], from: usize, to: usize, number: u128) {
    let (first, last) = (from / 8, to.div_ceil(8));
    let shift = last * 8 - to;
    let width = to - from;
    let ones = if width >= 128 { u128::MAX } else { (1 << width) - 1 };
    let (field, mut number) = (ones << shift, (number & ones) << shift);
    let mut keep = !field;
    for octet in octets[first..last].iter_mut().rev() {
        *octet = (*octet & keep as u8) | number as u8;
        keep >>= 8;
        number >>= 8;
    }
}

/// Defines `HEADER_LEN`, `Packet<T>` with a getter and a setter for each field, and `Repr`.
macro_rules! view {
    ($len:literal; $($(#[$doc:meta])* $get:ident, $set:ident: $ty:ty = $from:literal .. $to:literal;)*) => {
        /// Octets of the fixed header.
        pub const HEADER_LEN: usize = $len;

        /// A header, and what follows it, over octets.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Packet<T>(T);

        // A length field is no container's length.
        #[allow(clippy::len_without_is_empty)]
        impl<T: AsRef<[u8]>> Packet<T> {
            /// A view of octets that hold at least the fixed header.
            #[inline]
            pub fn new(octets: T) -> Result<Self, $crate::view::Malformed> {
                if octets.as_ref().len() < HEADER_LEN {
                    return Err($crate::view::Malformed);
                }
                Ok(Self(octets))
            }

            /// The octets.
            pub fn into_inner(self) -> T {
                self.0
            }

            $(
                $(#[$doc])*
                #[inline]
                pub fn $get(&self) -> $ty {
                    $crate::view::bits(self.0.as_ref(), $from, $to) as $ty
                }
            )*
        }

        impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
            $(
                /// Sets the field of the same name; excess bits are lost.
                #[inline]
                pub fn $set(&mut self, value: $ty) {
                    $crate::view::set_bits(self.0.as_mut(), $from, $to, value as u128);
                }
            )*
        }

        /// The fixed header as values.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Repr {
            $($(#[$doc])* pub $get: $ty,)*
        }

        impl Repr {
            /// The values of a header.
            pub fn parse<T: AsRef<[u8]>>(packet: &Packet<T>) -> Repr {
                Repr { $($get: packet.$get(),)* }
            }

            /// Writes all values; bits that are no field are left alone.
            pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, packet: &mut Packet<T>) {
                $(packet.$set(self.$get);)*
            }

            /// The header's octets.
            pub fn octets(&self) -> [u8; HEADER_LEN] {
                let mut octets = [0; HEADER_LEN];
                $($crate::view::set_bits(&mut octets, $from, $to, self.$get as u128);)*
                octets
            }
        }
    };
}
pub(crate) use view;
