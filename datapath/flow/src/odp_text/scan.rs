//! A cursor over text, and pairs of value and mask.

use crate::text::{self, FlagNames};
use crate::{Key, Mask};

/// What is left to read.
#[derive(Clone, Copy)]
pub(super) struct Scan<'a> {
    pub(super) rest: &'a str,
}

/// A key and its mask, written together.
pub(super) struct Pair<'a> {
    pub(super) key: &'a mut Key,
    pub(super) mask: &'a mut Mask,
}

impl Pair<'_> {
    /// Writes value and mask.
    pub(super) fn set<T>(&mut self, (value, mask): (T, T), set: fn(&mut Key, T), set_mask: fn(&mut Mask, T)) {
        set(self.key, value);
        set_mask(self.mask, mask);
    }
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn peek(&self, token: &str) -> bool {
        self.rest.starts_with(token)
    }

    /// Steps over a token if it is next.
    pub(super) fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    pub(super) fn expect(&mut self, token: &str) -> Option<()> {
        self.eat(token).then_some(())
    }

    /// Steps over any of these characters.
    pub(super) fn skip(&mut self, chars: &str) {
        self.rest = self.rest.trim_start_matches(|c| chars.contains(c));
    }

    /// Characters that satisfy `pred`, at least one.
    pub(super) fn span(&mut self, pred: impl Fn(char) -> bool) -> Option<&'a str> {
        let len = self.rest.find(|c| !pred(c)).unwrap_or(self.rest.len());
        let (span, rest) = self.rest.split_at(len);
        self.rest = rest;
        (!span.is_empty()).then_some(span)
    }

    /// A name.
    pub(super) fn word(&mut self) -> Option<&'a str> {
        self.span(|c| c.is_ascii_alphanumeric() || c == '_')
    }

    /// A number in C's notation.
    pub(super) fn number(&mut self) -> Option<u64> {
        if !self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let (number, rest) = text::parse_u64_prefix(self.rest, 0)?;
        self.rest = rest;
        Some(number)
    }

    /// A number in C's notation, of one too large the low bits, as `scanf` has it: white space and a sign may stand before.
    pub(super) fn low_bits(&mut self) -> Option<u64> {
        let (number, rest) = text::parse_wrapping_prefix(self.rest, 0)?;
        self.rest = rest;
        Some(number)
    }

    /// The low 16 bits of a number.
    pub(super) fn low16(&mut self) -> Option<u16> {
        self.low_bits().map(|n| n as u16)
    }

    /// The low 32 bits of a number.
    pub(super) fn low32(&mut self) -> Option<u32> {
        self.low_bits().map(|n| n as u32)
    }

    /// A number of at most `bits` bits, fewer than 32, with an optional `/mask`.
    pub(super) fn masked(&mut self, bits: u32) -> Option<(u64, u64)> {
        let ones = (1 << bits) - 1;
        let value = self.small(ones)?;
        let mask = if self.eat("/") { self.small(ones)? } else { ones };
        Some((value, mask))
    }

    /// The low 32 bits of a number, none of which is beyond `ones`.
    pub(super) fn small(&mut self, ones: u64) -> Option<u64> {
        self.low32().map(u64::from).filter(|n| n & !ones == 0)
    }

    /// A number with an optional `/mask`, of both the low bits; all bits where no mask is given.
    pub(super) fn masked64(&mut self) -> Option<(u64, u64)> {
        let value = self.low_bits()?;
        let mask = if self.eat("/") { self.low_bits()? } else { u64::MAX };
        Some((value, mask))
    }

    pub(super) fn masked8(&mut self) -> Option<(u8, u8)> {
        self.masked64().map(|(v, m)| (v as u8, m as u8))
    }

    pub(super) fn masked16(&mut self) -> Option<(u16, u16)> {
        self.masked64().map(|(v, m)| (v as u16, m as u16))
    }

    pub(super) fn masked32(&mut self) -> Option<(u32, u32)> {
        self.masked64().map(|(v, m)| (v as u32, m as u32))
    }

    /// 128 bits in decimal or hexadecimal with an optional `/mask`.
    pub(super) fn masked128(&mut self) -> Option<(u128, u128)> {
        let value = self.number128()?;
        let mask = if self.eat("/") { self.number128()? } else { u128::MAX };
        Some((value, mask))
    }

    fn number128(&mut self) -> Option<u128> {
        if self.eat("0x") {
            return u128::from_str_radix(self.span(|c| c.is_ascii_hexdigit())?, 16).ok();
        }
        self.span(|c| c.is_ascii_digit())?.parse().ok()
    }

    pub(super) fn mac(&mut self) -> Option<(u64, u64)> {
        let (value, rest) = text::parse_mac_prefix(self.rest)?;
        self.rest = rest;
        if !self.eat("/") {
            return Some((value, 0xffff_ffff_ffff));
        }
        let (mask, rest) = text::parse_mac_prefix(self.rest)?;
        self.rest = rest;
        Some((value, mask))
    }

    pub(super) fn ipv4(&mut self) -> Option<(u32, u32)> {
        let (value, rest) = text::parse_ipv4_prefix(self.rest)?;
        self.rest = rest;
        if !self.eat("/") {
            return Some((value, u32::MAX));
        }
        let (mask, rest) = text::parse_ipv4_prefix(self.rest)?;
        self.rest = rest;
        Some((value, mask))
    }

    pub(super) fn ipv6_address(&mut self) -> Option<u128> {
        let span = self.span(|c| c.is_ascii_hexdigit() || c == ':' || c == '.')?;
        span.parse::<std::net::Ipv6Addr>().ok().map(u128::from)
    }

    pub(super) fn ipv6(&mut self) -> Option<(u128, u128)> {
        let value = self.ipv6_address()?;
        let mask = if self.eat("/") { self.ipv6_address()? } else { u128::MAX };
        Some((value, mask))
    }

    /// `0x…`, or a number in decimal, into exactly `len` octets, right-aligned.
    pub(super) fn hex_octets(&mut self, len: usize) -> Option<Vec<u8>> {
        let decimal;
        let digits = if self.eat("0x") {
            self.span(|c| c.is_ascii_hexdigit())?
        } else {
            decimal = format!("{:x}", self.number()?);
            &decimal
        };
        let digits = digits.trim_start_matches('0');
        if digits.len() > len * 2 {
            return None;
        }
        let padded = format!("{digits:0>width$}", width = len * 2);
        (0..len).map(|i| u8::from_str_radix(&padded[2 * i..2 * i + 2], 16).ok()).collect()
    }

    /// `a|b`, a number (with `/mask`), or `+a-b`, up to a closing parenthesis.
    pub(super) fn flags(&mut self, names: FlagNames, all: u32) -> Option<(u32, u32)> {
        if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            let (value, mask) = self.masked32()?;
            let mask = if mask == u32::MAX { all } else { mask };
            return Some((value, mask)).filter(|(v, m)| (v | m) & !all == 0);
        }
        let (mut value, mut mask) = (0, 0);
        if !self.rest.starts_with(['+', '-']) {
            while !self.peek(")") {
                self.skip("| ");
                value |= self.flag(names)?;
            }
            return Some((value, all));
        }
        while !self.peek(")") {
            let set = self.eat("+");
            if !set {
                self.expect("-")?;
            }
            let bit = self.flag(names)?;
            mask |= bit;
            value |= if set { bit } else { 0 };
        }
        Some((value, mask))
    }

    /// As [`Scan::flags`], but names stand without spaces, and are some.
    pub(super) fn flags_some(&mut self, names: FlagNames, all: u32) -> Option<(u32, u32)> {
        if self.rest.starts_with(|c: char| c.is_ascii_digit() || "+-".contains(c)) {
            return self.flags(names, all);
        }
        let mut value = 0;
        loop {
            value |= self.flag(names)?;
            if !self.eat("|") || self.peek(")") {
                return Some((value, all));
            }
        }
    }

    fn flag(&mut self, names: FlagNames) -> Option<u32> {
        let name = self.span(|c| c.is_ascii_alphanumeric() || "_[]".contains(c))?;
        names.iter().position(|known| *known == name).map(|i| 1 << i)
    }
}
