//! Words of flow and action text: `key`, `key=value`, `key:value`, `key(value)`, separated by commas and blanks; numbers
//! as the C library reads them, with Open vSwitch's error texts.
//!
//! Source: ovs-ofctl(8), "Flow Syntax".

use flow::text::{parse_ipv4_prefix, parse_mac_prefix, parse_u64_prefix};

/// Between words.
fn is_separator(c: char) -> bool {
    matches!(c, ',' | ' ' | '\t' | '\r' | '\n')
}

/// Takes words off the front of a text.
pub(crate) struct Words<'a>(pub(crate) &'a str);

impl<'a> Iterator for Words<'a> {
    type Item = (&'a str, &'a str);

    /// The next key and its value, empty without one.
    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let text = self.0.trim_start_matches(is_separator);
        if text.is_empty() {
            self.0 = text;
            return None;
        }
        let key_len = text.find(|c| matches!(c, ':' | '=' | '(') || is_separator(c)).unwrap_or(text.len());
        let (key, rest) = text.split_at(key_len);
        let Some(delimiter) = rest.chars().next() else {
            self.0 = rest;
            return Some((key, ""));
        };
        let rest = &rest[1..];
        let mut len = match delimiter {
            ':' | '=' => value_len(rest, is_separator),
            '(' => value_len(rest, |c| c == ')'),
            _ => {
                self.0 = rest;
                return Some((key, ""));
            }
        };
        // `check_pkt_larger(x)->y`: the value goes on behind the parenthesis.
        if delimiter == '(' && rest[len..].starts_with(")->") {
            len += value_len(&rest[len..], is_separator);
        }
        self.0 = rest.get(len + 1..).unwrap_or("");
        Some((key, &rest[..len]))
    }
}

/// Octets up to the first character outside parentheses that ends a value.
fn value_len(text: &str, ends: impl Fn(char) -> bool) -> usize {
    let mut level = 0u32;
    for (i, c) in text.char_indices() {
        if level == 0 && ends(c) {
            return i;
        }
        match c {
            '(' => level += 1,
            ')' => level = level.saturating_sub(1),
            _ => {}
        }
    }
    text.len()
}

/// A whole number, `None` for garbage or more than 64 bits.
fn whole(text: &str) -> Option<u64> {
    parse_u64_prefix(text, 0).filter(|(_, rest)| rest.is_empty()).map(|(number, _)| number)
}

/// A 16-bit number.
pub(crate) fn u16_of(text: &str, name: &str) -> Result<u16, String> {
    let number = whole(text).and_then(|n| u16::try_from(n).ok());
    number.ok_or_else(|| format!("invalid {name} \"{text}\""))
}

/// An 8-bit number.
pub(crate) fn u8_of(text: &str, name: &str) -> Result<u8, String> {
    let number = whole(text).and_then(|n| u8::try_from(n).ok());
    number.ok_or_else(|| format!("invalid {name} \"{text}\""))
}

/// A 64-bit number.
pub(crate) fn u64_of(text: &str) -> Result<u64, String> {
    if text.is_empty() {
        return Err("missing required numeric argument".to_string());
    }
    whole(text).ok_or_else(|| format!("invalid numeric format {text}"))
}

/// A 32-bit number; excess bits are lost, as they always were.
pub(crate) fn u32_of(text: &str) -> Result<u32, String> {
    u64_of(text).map(|number| number as u32)
}

/// A number in the manner of C's `atoi`: what is no number is 0, and what follows it does not matter. Of one that does
/// not fit into 64 bits the low 32 bits of the nearest that does are left.
pub(crate) fn atoi(text: &str) -> i64 {
    match parse_u64_prefix(text, 10) {
        Some((number, _)) => number as i32 as i64,
        None if text.trim_start().trim_start_matches('+').starts_with(|c: char| c.is_ascii_digit()) => -1,
        None => 0,
    }
}

/// A MAC address; what follows it does not matter.
pub(crate) fn mac_of(text: &str) -> Result<u64, String> {
    parse_mac_prefix(text).map(|(mac, _)| mac).ok_or_else(|| format!("invalid mac address {text}"))
}

/// An IPv4 address.
pub(crate) fn ip_of(text: &str) -> Result<u32, String> {
    match parse_ipv4_prefix(text) {
        Some((ip, "")) if text.parse::<std::net::Ipv4Addr>().is_ok() => Ok(ip),
        _ => Err(format!("{text}: could not convert to IP address")),
    }
}

/// Pairs of hexadecimal digits, with dots or blanks between them; what follows them.
pub fn hex_octets(text: &str) -> (Vec<u8>, &str) {
    let mut octets = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n', '.']);
        let pair = rest.get(..2).filter(|p| p.bytes().all(|b| b.is_ascii_hexdigit()));
        match pair.and_then(|p| u8::from_str_radix(p, 16).ok()) {
            Some(octet) => octets.push(octet),
            None => return (octets, rest),
        }
        rest = &rest[2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let text = " a, b=1,c:2(3,4) d(e(f),g)\th(1)->x[0..3],i(j";
        let words: Vec<_> = Words(text).collect();
        let expect = [("a", ""), ("b", "1"), ("c", "2(3,4)"), ("d", "e(f),g"), ("h", "1)->x[0..3]"), ("i", "j")];
        assert_eq!(words, expect);
    }

    #[test]
    fn numbers() {
        assert_eq!(u16_of("65536", "x"), Err("invalid x \"65536\"".to_string()));
        assert_eq!(u32_of(""), Err("missing required numeric argument".to_string()));
        assert_eq!(u32_of("1x"), Err("invalid numeric format 1x".to_string()));
        assert_eq!(hex_octets("00.1122 3"), (vec![0, 0x11, 0x22], "3"));
        assert_eq!(atoi("12x"), 12);
    }
}
