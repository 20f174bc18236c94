//! Small pieces of text that fields, flows, datapath keys and actions share: addresses, masked numbers, flag sets, port
//! names, colours. Formats are Open vSwitch's.

use std::fmt::Write;
use std::net::Ipv6Addr;

/// Names of ports, for text that shows or takes them.
pub trait PortNames: Sync {
    /// The name of a port.
    fn name_of(&self, port: u32) -> Option<&str>;
    /// The port of a name.
    fn port_named(&self, name: &str) -> Option<u32>;
}

/// Escape sequences around parts of a text; empty for plain text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Colors {
    /// The word `actions=`.
    pub actions: &'static str,
    /// `drop`.
    pub drop: &'static str,
    /// Names within `learn`.
    pub learn: &'static str,
    /// Names of parameters.
    pub param: &'static str,
    /// Parentheses.
    pub paren: &'static str,
    /// Actions that are no plain output.
    pub special: &'static str,
    /// Values.
    pub value: &'static str,
    /// Back to plain.
    pub end: &'static str,
}

/// No colours.
pub const PLAIN: Colors =
    Colors { actions: "", drop: "", learn: "", param: "", paren: "", special: "", value: "", end: "" };

/// Appends formatted text; a `String` never fails.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {
        {
            let _ = write!($out, $($arg)*);
        }
    };
}
pub(crate) use put;

/// Appends a decimal number, as `{}` would at several times the cost.
pub fn push_decimal(out: &mut String, mut number: u64) {
    const MAX_DIGITS: usize = 20;
    let mut digits = [0; MAX_DIGITS];
    let mut at = MAX_DIGITS;
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

/// `xx:xx:xx:xx:xx:xx`.
pub fn mac(address: u64) -> String {
    let o = address.to_be_bytes();
    format!("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", o[2], o[3], o[4], o[5], o[6], o[7])
}

/// `xx:…` with `/mask` unless the mask is exact.
pub fn mac_masked(address: u64, mask: u64) -> String {
    if mask == 0xffff_ffff_ffff { mac(address) } else { format!("{}/{}", mac(address), mac(mask)) }
}

/// Dotted quad.
pub fn ipv4(address: u32) -> String {
    let mut out = String::with_capacity(15);
    for (i, octet) in address.to_be_bytes().into_iter().enumerate() {
        if i > 0 {
            out.push('.');
        }
        push_decimal(&mut out, octet.into());
    }
    out
}

/// With `/prefix` or `/mask` unless the mask is exact.
pub fn ipv4_masked(address: u32, mask: u32) -> String {
    match mask {
        u32::MAX => ipv4(address),
        m if m.leading_ones() + m.trailing_zeros() >= 32 => format!("{}/{}", ipv4(address), m.leading_ones()),
        m => format!("{}/{}", ipv4(address), ipv4(m)),
    }
}

/// Colon form as the C library prints it: IPv4-mapped and IPv4-compatible addresses end in a dotted quad.
pub fn ipv6(address: u128) -> String {
    let high = address >> 32;
    let low = address as u32;
    if high == 0 && low > 0xffff { format!("::{}", ipv4(low)) } else { Ipv6Addr::from(address).to_string() }
}

/// With `/prefix` or `/mask` unless the mask is exact.
pub fn ipv6_masked(address: u128, mask: u128) -> String {
    match mask {
        u128::MAX => ipv6(address),
        m if m.leading_ones() + m.trailing_zeros() >= 128 => format!("{}/{}", ipv6(address), m.leading_ones()),
        m => format!("{}/{}", ipv6(address), ipv6(m)),
    }
}

/// `0x…`, but `0` for zero, as C's `%#x`.
pub fn hex(number: u128) -> String {
    if number == 0 { "0".into() } else { format!("{number:#x}") }
}

/// Hexadecimal with `/mask` unless the mask is `exact`.
pub fn hex_masked(number: u128, mask: u128, exact: u128) -> String {
    if mask == exact { hex(number) } else { format!("{}/{}", hex(number), hex(mask)) }
}

/// Decimal, or hexadecimal with `/mask` unless the mask is `exact`.
pub fn decimal_masked(number: u128, mask: u128, exact: u128) -> String {
    if mask == exact { number.to_string() } else { format!("{}/{}", hex(number), hex(mask)) }
}

/// Hexadecimal of any width without leading zeros; `0` for zero.
pub fn hex_octets(octets: &[u8]) -> String {
    let mut out = String::new();
    for octet in octets.iter().skip_while(|o| **o == 0) {
        if out.is_empty() {
            put!(out, "0x{octet:x}");
        } else {
            put!(out, "{octet:02x}");
        }
    }
    if out.is_empty() { "0".into() } else { out }
}

/// Names of the bits of a flag set, the least significant first.
pub type FlagNames = &'static [&'static str];

/// Connection states.
pub const CT_STATE: FlagNames = &["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"];
/// TCP flags.
pub const TCP_FLAGS: FlagNames =
    &["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]"];
/// Tunnel flags in the order of text: see [`tun_flags_to_text`].
pub const TUN_FLAGS: FlagNames = &["oam", "df", "csum", "key"];
/// Tunnel flags as bits of the OpenFlow field.
pub const TUN_FLAGS_FIELD: FlagNames = &["oam"];

/// Puts a key's tunnel flags into the order of their names in text.
pub const fn tun_flags_to_text(flags: u16) -> u32 {
    ((flags & 7) << 1 | flags >> 3 & 1) as u32
}

/// Undoes [`tun_flags_to_text`].
pub const fn tun_flags_from_text(bits: u32) -> u16 {
    (bits >> 1 & 7 | (bits & 1) << 3) as u16
}

/// `a|b`, with unknown bits as a number, `0` for none.
pub fn flags(bits: u32, names: FlagNames, separator: char) -> String {
    if bits == 0 {
        return "0".into();
    }
    let mut parts: Vec<String> = Vec::new();
    let mut unknown = 0;
    for i in (0..32).filter(|i| bits >> i & 1 == 1) {
        match names.get(i) {
            Some(name) => parts.push((*name).into()),
            None => unknown |= 1 << i,
        }
    }
    if unknown != 0 {
        parts.push(format!("{unknown:#x}"));
    }
    let mut buffer = [0; 4];
    parts.join(separator.encode_utf8(&mut buffer))
}

/// `+a-b` of the bits in `mask`; [`flags`] if the mask is `exact`.
pub fn flags_masked(bits: u32, mask: u32, exact: u32, names: FlagNames) -> String {
    if mask == exact {
        return flags(bits, names, '|');
    }
    if mask == 0 {
        return "0/0".into();
    }
    let mut out = String::new();
    for i in (0..32).filter(|i| mask >> i & 1 == 1) {
        out.push(if bits >> i & 1 == 1 { '+' } else { '-' });
        out.push_str(names.get(i).copied().unwrap_or("[Unknown]"));
    }
    out
}

/// The fragment state's name, for exact and partial masks.
pub fn frag(value: u8, mask: u8) -> &'static str {
    let value = value & mask;
    match (mask & 3, value & 3) {
        (3, 0) | (1, 0) => "no",
        (3, 1) => "first",
        (3, 3) | (2, 2) => "later",
        (1, 1) => "yes",
        (2, 0) => "not_later",
        _ => "<error>",
    }
}

/// Reserved OpenFlow ports (low 16 bits of the 32-bit number) with their names; of equal numbers the first is shown.
pub const RESERVED_PORTS: [(u16, &str); 10] = [
    (0xfff7, "UNSET"),
    (0xfff8, "IN_PORT"),
    (0xfff9, "TABLE"),
    (0xfffa, "NORMAL"),
    (0xfffb, "FLOOD"),
    (0xfffc, "ALL"),
    (0xfffd, "CONTROLLER"),
    (0xfffe, "LOCAL"),
    (0xffff, "ANY"),
    (0xffff, "NONE"),
];

/// A name as text shows it: in quotation marks unless it is a letter followed by letters and digits.
pub fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(|b| b.is_ascii_alphanumeric());
    if plain {
        return name.into();
    }
    let mut out = String::from('"');
    for c in name.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 32 => {
                put!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// An OpenFlow port (32-bit form): reserved name, name, or number in the 16-bit form where it has one.
pub fn ofp_port(port: u32, names: Option<&dyn PortNames>) -> String {
    if port > 0xffff {
        let low = crate::field::port_to_of10(port);
        if let Some((_, name)) = RESERVED_PORTS.iter().find(|(number, _)| *number == low) {
            return (*name).into();
        }
        return low.to_string();
    }
    match names.and_then(|n| n.name_of(port)) {
        Some(name) => quoted(name),
        None => port.to_string(),
    }
}

/// Reads an OpenFlow port, to its 32-bit form: number, reserved name in any case, or name.
pub fn parse_ofp_port(text: &str, names: Option<&dyn PortNames>) -> Option<u32> {
    if let Some(number) = parse_u32(text, 10) {
        return match number {
            0..=0xfeff => Some(number),
            0xff00..=0xffff => Some(number | 0xffff_0000),
            0x1_0000..=0xffff_feff => None,
            _ => Some(number),
        };
    }
    let reserved = RESERVED_PORTS.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
    if let Some((number, _)) = reserved {
        return Some(0xffff_0000 | u32::from(*number));
    }
    let plain = unquoted(text);
    names.and_then(|n| n.port_named(plain.as_deref().unwrap_or(text)))
}

/// Undoes [`quoted`].
fn unquoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next()? {
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'u' => {
                let digits: String = chars.by_ref().take(4).collect();
                out.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
            }
            c => out.push(c),
        }
    }
    Some(out)
}

/// A whole number in the C library's manner: leading blanks, sign; `base` 0 takes 0x and 0 prefixes.
pub fn parse_u32(text: &str, base: u32) -> Option<u32> {
    let (number, rest) = parse_u64_prefix(text, base)?;
    if rest.is_empty() { u32::try_from(number).ok() } else { None }
}

/// A number at the start of a text, and what follows it; `strtoull`'s rules, overflow refused.
pub fn parse_u64_prefix(text: &str, base: u32) -> Option<(u64, &str)> {
    let prefix = NumberPrefix::find(text, base)?;
    let number = u64::from_str_radix(prefix.digits, prefix.base).ok()?;
    Some((prefix.signed(number), prefix.rest))
}

/// A number at the start of a text in the notation of C, whatever follows it; the greatest there is for one too large, 0
/// for none.
pub fn parse_saturating(text: &str) -> u64 {
    match NumberPrefix::find(text, 0) {
        Some(prefix) => {
            u64::from_str_radix(prefix.digits, prefix.base).map_or(u64::MAX, |number| prefix.signed(number))
        }
        None => 0,
    }
}

/// A number at the start of a text, of base 0 in the notation of C, and what follows it; of a number too large the low
/// 64 bits, as `scanf` has it.
pub fn parse_wrapping_prefix(text: &str, base: u32) -> Option<(u64, &str)> {
    let prefix = NumberPrefix::find(text, base)?;
    let digits = prefix.digits.chars().filter_map(|c| c.to_digit(prefix.base));
    let number = digits.fold(0u64, |n, digit| n.wrapping_mul(prefix.base.into()).wrapping_add(digit.into()));
    Some((prefix.signed(number), prefix.rest))
}

/// Where a text begins with a number.
struct NumberPrefix<'a> {
    negative: bool,
    base: u32,
    /// At least one.
    digits: &'a str,
    rest: &'a str,
}

impl<'a> NumberPrefix<'a> {
    /// Looks for one after white space; base 0 is that which the number's own prefix tells.
    fn find(text: &'a str, base: u32) -> Option<Self> {
        let trimmed = text.trim_start_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
        let (negative, digits) = match trimmed.as_bytes().first()? {
            b'-' => (true, &trimmed[1..]),
            b'+' => (false, &trimmed[1..]),
            _ => (false, trimmed),
        };
        let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
        let hex = hex.filter(|h| h.starts_with(|c: char| c.is_ascii_hexdigit()));
        let (base, digits) = match (base, hex) {
            (0 | 16, Some(hex)) => (16, hex),
            (0, None) if digits.starts_with('0') => (8, digits),
            (0, None) => (10, digits),
            (base, _) => (base, digits),
        };
        let len = digits.find(|c: char| !c.is_digit(base)).unwrap_or(digits.len());
        let (digits, rest) = digits.split_at(len);
        (len > 0).then_some(NumberPrefix { negative, base, digits, rest })
    }

    /// The number with the sign.
    fn signed(&self, number: u64) -> u64 {
        if self.negative { number.wrapping_neg() } else { number }
    }
}

/// Six hexadecimal numbers with colons at the start of a text, and what follows. As `scanf(3)` reads them, blanks, a sign
/// and `0x` may stand before each, and of the number eight bits count.
pub fn parse_mac_prefix(text: &str) -> Option<(u64, &str)> {
    let mut rest = text;
    let mut address = 0;
    for i in 0..6 {
        if i > 0 {
            rest = rest.strip_prefix(':')?;
        }
        let number;
        (number, rest) = parse_octet_prefix(rest)?;
        address = (address << 8) | u64::from(number);
    }
    Some((address, rest))
}

/// The low eight bits of a hexadecimal number at the start of a text, and what follows.
fn parse_octet_prefix(text: &str) -> Option<(u8, &str)> {
    let text = text.trim_start_matches(|c: char| c.is_ascii_whitespace());
    let negative = text.starts_with('-');
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_digit = |c: char| c.is_ascii_hexdigit();
    let bare = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let text = bare.filter(|rest| rest.starts_with(is_digit)).unwrap_or(text);
    let len = text.find(|c| !is_digit(c)).unwrap_or(text.len());
    let (digits, rest) = text.split_at(len);
    let number = digits.chars().fold(0u8, |n, c| (n << 4) | c.to_digit(16).unwrap_or(0) as u8);
    (len > 0).then_some((if negative { number.wrapping_neg() } else { number }, rest))
}

/// Four decimal numbers with dots at the start of a text, and what follows; each may have a sign, and its low 8 bits count.
pub fn parse_ipv4_prefix(text: &str) -> Option<(u32, &str)> {
    let mut rest = text.trim_start();
    let mut address = 0;
    for i in 0..4 {
        if i > 0 {
            rest = rest.strip_prefix('.')?;
        }
        let (number, after) = parse_wrapping_prefix(rest, 10)?;
        address = (address << 8) | (number & 0xff) as u32;
        rest = after;
    }
    Some((address, rest))
}

/// Reads `address`, `address/prefix` or `address/mask`.
pub fn parse_ipv4_masked(text: &str) -> Result<(u32, u32), String> {
    let invalid = || format!("{text}: invalid IP address");
    let (address, rest) = parse_ipv4_prefix(text).ok_or_else(invalid)?;
    let Some(after) = rest.strip_prefix('/') else {
        return if rest.is_empty() { Ok((address, u32::MAX)) } else { Err(invalid()) };
    };
    if let Some((mask, rest)) = parse_ipv4_prefix(after) {
        return if rest.is_empty() { Ok((address, mask)) } else { Err(invalid()) };
    }
    let (prefix, rest) = prefix_number(after).ok_or_else(invalid)?;
    if prefix > 32 {
        return Err(format!("{text}: IPv4 network prefix bits not between 0 and 32, inclusive"));
    }
    let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
    if rest.is_empty() { Ok((address, mask)) } else { Err(invalid()) }
}

/// A decimal number with or without a sign, and what follows it; `u32::MAX` for one that is no number of bits.
fn prefix_number(text: &str) -> Option<(u32, &str)> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let len = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    if len == 0 {
        return None;
    }
    let number: u32 = digits[..len].parse().unwrap_or(u32::MAX);
    Some((if negative && number > 0 { u32::MAX } else { number }, &digits[len..]))
}

fn ipv6_span(text: &str) -> usize {
    text.find(|c: char| !(c.is_ascii_hexdigit() || c == ':' || c == '.')).unwrap_or(text.len())
}

/// Reads `address`, `address/prefix` or `address/mask`.
pub fn parse_ipv6_masked(text: &str) -> Result<(u128, u128), String> {
    let invalid = || format!("{text}: invalid IPv6 address");
    let trimmed = text.trim_start();
    let len = ipv6_span(trimmed);
    let address: Ipv6Addr = trimmed[..len].parse().map_err(|_| invalid())?;
    let address = u128::from(address);
    let rest = &trimmed[len..];
    let Some(after) = rest.strip_prefix('/') else {
        return if rest.is_empty() { Ok((address, u128::MAX)) } else { Err(invalid()) };
    };
    // A mask that starts with a decimal digit is taken for a number of bits, as Open vSwitch does.
    if let Some((prefix, rest)) = prefix_number(after) {
        if prefix > 128 {
            return Err(format!("{text}: IPv6 network prefix bits not between 0 and 128, inclusive"));
        }
        if !rest.is_empty() {
            return Err(invalid());
        }
        return Ok((address, u128::MAX.checked_shl(128 - prefix).unwrap_or(0)));
    }
    let len = ipv6_span(after);
    if len == 0 {
        return Err(invalid());
    }
    let mask: Ipv6Addr = after[..len].parse().map_err(|_| format!("{text}: Invalid IPv6 mask"))?;
    if len == after.len() { Ok((address, mask.into())) } else { Err(format!("{text}: Invalid IPv6 mask")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(ipv6(0xffff_0102_0304), "::ffff:1.2.3.4");
        assert_eq!(ipv6(0x0102_0304), "::1.2.3.4");
        assert_eq!((ipv6(1), ipv6(0)), ("::1".into(), "::".into()));
        assert_eq!(ipv4_masked(0x0a00_0000, 0xff00_0000), "10.0.0.0/8");
        assert_eq!(ipv4_masked(0x0a00_0000, 0xff00_00ff), "10.0.0.0/255.0.0.255");
        assert_eq!(parse_ipv6_masked("1::1/64"), Ok((0x0001 << 112 | 1, u128::MAX << 64)));
        assert_eq!(parse_mac_prefix("1:2:3:4:5:101/x"), Some((0x0102_0304_0501, "/x")));
        assert_eq!(parse_mac_prefix("-10:+1:0x2: 3:-0xff:0x"), Some((0xf001_0203_0100, "x")));
        assert_eq!(parse_mac_prefix("-:1:2:3:4:5"), None);
    }

    #[test]
    fn numbers_as_the_c_library_reads_them() {
        assert_eq!(parse_u64_prefix("010x", 0), Some((8, "x")));
        assert_eq!(parse_u64_prefix(" 0x1g", 0), Some((1, "g")));
        assert_eq!(parse_u64_prefix("-1", 0), Some((u64::MAX, "")));
        assert_eq!(parse_u64_prefix("x", 0), None);
        assert_eq!(parse_u64_prefix("18446744073709551616", 0), None);
        assert_eq!(parse_wrapping_prefix("18446744073709551619/", 0), Some((3, "/")));
        assert_eq!(parse_wrapping_prefix("-0x10000000000000001", 0), Some((u64::MAX, "")));
        assert_eq!(parse_wrapping_prefix("/1", 0), None);
        assert_eq!(parse_u64_prefix("0xg", 0), Some((0, "xg")));
    }

    #[test]
    fn names() {
        assert_eq!(
            (quoted("aB1"), quoted("a_b"), quoted("9abc"), quoted("we ird")),
            ("aB1".into(), "\"a_b\"".into(), "\"9abc\"".into(), "\"we ird\"".into())
        );
        assert_eq!(unquoted("\"a\\\"b\"").as_deref(), Some("a\"b"));
    }
}
