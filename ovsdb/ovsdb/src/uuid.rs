//! UUIDs: their text form (RFC 4122), and a source of new ones that is fed, not drawn from the
//! operating system.

use std::fmt;

/// A universally unique identifier, ordered as its text is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid([u8; 16]);

/// The value of each hexadecimal digit, and 255 for everything else.
const DIGITS: [u8; 256] = {
    let mut values = [255; 256];
    let mut n = 0;
    while n < 16 {
        values[b"0123456789abcdef"[n] as usize] = n as u8;
        values[b"0123456789ABCDEF"[n] as usize] = n as u8;
        n += 1;
    }
    values
};

impl Uuid {
    /// All zeros.
    pub const ZERO: Uuid = Uuid([0; 16]);

    /// From its 16 bytes, most significant first.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Uuid(bytes)
    }

    /// Its 16 bytes, most significant first.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Its most significant 32 bits: the hash by which Open vSwitch keeps rows.
    #[must_use]
    pub fn first_word(&self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }

    /// Whether all bits are zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Uuid::ZERO
    }

    /// Reads exactly `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, hex digits of either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
        if [8, 13, 18, 23].into_iter().any(|at| text[at] != b'-') {
            return None;
        }
        let mut bytes = [0; 16];
        // What is no digit has bits that no digit has.
        let mut digits = 0;
        let places = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
        for (byte, at) in bytes.iter_mut().zip(places) {
            let (high, low) = (DIGITS[usize::from(text[at])], DIGITS[usize::from(text[at + 1])]);
            digits |= high | low;
            *byte = high << 4 | low;
        }
        if digits > 15 {
            return None;
        }
        Some(Uuid(bytes))
    }

    /// Whether `text` begins a UUID: hex digits and hyphens in their places, at most 36 of them.
    #[must_use]
    pub fn is_prefix(text: &str) -> bool {
        text.len() <= 36
            && text
                .bytes()
                .enumerate()
                .all(|(i, b)| if matches!(i, 8 | 13 | 18 | 23) { b == b'-' } else { b.is_ascii_hexdigit() })
    }

    /// The text form, in lower case.
    #[must_use]
    pub fn to_text(&self) -> [u8; 36] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                at += 1;
            }
            text[at] = HEX[usize::from(byte >> 4)];
            text[at + 1] = HEX[usize::from(byte & 15)];
            at += 2;
        }
        text
    }

    /// Appends the text form.
    pub fn write(&self, out: &mut String) {
        let text = self.to_text();
        out.push_str(std::str::from_utf8(&text).unwrap_or_default());
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_text()).unwrap_or_default())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Uuid {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Uuid::parse(text).ok_or(())
    }
}

/// A source of new UUIDs. Whoever makes it hands in 128 random bits, once; tests hand in a number.
#[derive(Debug, Clone)]
pub struct UuidSource {
    state: [u64; 4],
}

impl UuidSource {
    /// A source from 128 random bits.
    #[must_use]
    pub fn new(seed: u128) -> Self {
        let mut mix = [(seed >> 64) as u64, seed as u64];
        let mut next = |i: usize| {
            // SplitMix64 spreads the seed over the state.
            mix[i & 1] = mix[i & 1].wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = mix[i & 1];
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        UuidSource { state: [next(0), next(1), next(0), next(1) | 1] }
    }

    /// 64 bits (xoshiro256**).
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let out = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }

    /// A new random (version 4) UUID.
    pub fn next_uuid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next_u64().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next_u64().to_be_bytes());
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Uuid(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip() {
        let text = "550e8400-e29b-41d4-a716-446655440000";
        let uuid = Uuid::parse(text).unwrap();
        assert_eq!(uuid.to_string(), text);
        assert_eq!(Uuid::parse(&text.to_uppercase()), Some(uuid));
        for bad in ["", "550e8400e29b41d4a716446655440000", &text[..35], "550e8400-e29b-41d4-a716_446655440000"] {
            assert_eq!(Uuid::parse(bad), None, "{bad}");
        }
        for at in 0..36 {
            for wrong in ["g", "/", ":", "@", "G", "`", "-", "é"] {
                let bad = format!("{}{wrong}{}", &text[..at], &text[at + 1..]);
                assert_eq!(Uuid::parse(&bad).is_some(), bad == text, "{bad}");
            }
        }
        assert!(Uuid::is_prefix("550e8400-e2") && !Uuid::is_prefix("550e8400e"));
    }

    #[test]
    fn new_ones_differ_and_are_version_4() {
        let mut source = UuidSource::new(7);
        let a = source.next_uuid();
        let b = source.next_uuid();
        assert_ne!(a, b);
        assert_eq!(a.to_string().as_bytes()[14], b'4');
    }
}
