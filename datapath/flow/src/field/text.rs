//! Fields as text: parsing and printing a value, alone or with a mask, as ovs-ofctl(8) does.

use super::{Field, Format, Value};
use crate::text::{self, FlagNames, PortNames};

/// Bits of a connection's state that have names; others are told one by one.
const CT_STATE_BITS: u32 = 0xff;

/// Prints a value; with a mask that is neither empty nor exact, `value/mask` in the field's manner.
pub fn format(field: Field, value: &Value, mask: Option<&Value>, ports: Option<&dyn PortNames>) -> String {
    let mask = match mask {
        Some(mask) if mask.is_zero() => return "ANY".into(),
        Some(mask) if mask.is_ones() => None,
        mask => mask,
    };
    let number = value.to_u128();
    let bits = mask.map_or(u128::MAX, Value::to_u128);
    match field.meta().format {
        Format::OfpPort if mask.is_none() => text::ofp_port(super::port_from_of10(number as u16), ports),
        Format::OfpPort32 if mask.is_none() => text::ofp_port(number as u32, ports),
        Format::Hexadecimal => with_mask(text::hex_octets(&value.0), mask),
        Format::Decimal | Format::OfpPort | Format::OfpPort32 => with_mask(number.to_string(), mask),
        Format::Ethernet => text::mac_masked(number as u64, bits as u64 & 0xffff_ffff_ffff),
        Format::Ipv4 => text::ipv4_masked(number as u32, bits as u32),
        Format::Ipv6 => text::ipv6_masked(number, bits),
        Format::Frag => text::frag(number as u8, bits as u8).into(),
        Format::CtState => text::flags_masked(number as u32, bits as u32, CT_STATE_BITS, text::CT_STATE),
        Format::TunFlags => text::flags_masked(number as u32 & 1, bits as u32 & 1, 1, text::TUN_FLAGS_FIELD),
        Format::TcpFlags => text::flags_masked(number as u32, bits as u32 & 0xfff, 0xfff, text::TCP_FLAGS),
        Format::PacketType => packet_type(number as u32),
    }
}

fn with_mask(value: String, mask: Option<&Value>) -> String {
    match mask {
        Some(mask) => format!("{value}/{}", text::hex_octets(&mask.0)),
        None => value,
    }
}

/// `(ns,type)`.
pub fn packet_type(number: u32) -> String {
    format!("({},{})", number >> 16, text::hex((number & 0xffff).into()))
}

/// Reads `value` or `value/mask`; `*` is any value. Both are as wide as the field. Errors are Open vSwitch's texts.
pub fn parse(field: Field, s: &str, ports: Option<&dyn PortNames>) -> Result<(Value, Value), String> {
    let meta = field.meta();
    let n = usize::from(meta.n_bytes);
    if s == "*" {
        return Ok((Value::zeros(n), Value::zeros(n)));
    }
    let number = |value: u128| Value::from_u128(value, n);
    let exact = || Value::ones(n, n * 8);
    let (value, mask) = match meta.format {
        Format::Decimal | Format::Hexadecimal => parse_integer(field, s)?,
        Format::Ethernet => {
            let (value, mask) = parse_ethernet(s)?;
            (number(value.into()), number(mask.into()))
        }
        Format::Ipv4 => {
            let (value, mask) = text::parse_ipv4_masked(s)?;
            (number(value.into()), number(mask.into()))
        }
        Format::Ipv6 => {
            let (value, mask) = text::parse_ipv6_masked(s)?;
            (number(value), number(mask))
        }
        Format::OfpPort | Format::OfpPort32 => {
            let port = text::parse_ofp_port(s, ports).ok_or_else(|| {
                format!(
                    "{s}: {} for {}",
                    if n == 2 { "invalid or unknown port" } else { "port value out of range" },
                    meta.name
                )
            })?;
            let port = if n == 2 { super::port_to_of10(port).into() } else { port.into() };
            (number(port), exact())
        }
        Format::Frag => parse_frag(s)?,
        Format::CtState => parse_flags(s, n, text::CT_STATE, "ct_state", 0xff, 0xffff_ffff)?,
        Format::TunFlags => parse_flags(s, n, text::TUN_FLAGS_FIELD, "tunnel", 1, 1)?,
        Format::TcpFlags => parse_flags(s, n, text::TCP_FLAGS, "TCP", 0xfff, 0xfff)?,
        Format::PacketType => (number(parse_packet_type(s)?.into()), exact()),
    };
    if !is_mask_valid(field, &mask) {
        return Err(format!("{s}: invalid mask for field {}", meta.name));
    }
    Ok((value, mask))
}

/// Reads a value that must be exact.
pub fn parse_value(field: Field, s: &str, ports: Option<&dyn PortNames>) -> Result<Value, String> {
    let (value, mask) = parse(field, s, ports)?;
    // A flag by its sign is a mask, though there is but one that a tunnel may have.
    let signed = field.meta().format == Format::TunFlags && s.starts_with(['+', '-']);
    if mask.is_ones() && !signed { Ok(value) } else { Err(format!("{s}: wildcards not allowed here")) }
}

/// Whether the field may be matched under this mask.
pub fn is_mask_valid(field: Field, mask: &Value) -> bool {
    field.meta().maskable || mask.is_zero() || mask.is_ones()
}

enum IntegerError {
    Syntax,
    Range,
}

/// A number of `n` octets at the start of a text: hexadecimal of any width, or up to 64 bits in C's notation.
fn parse_int(s: &str, n: usize) -> (Result<Value, IntegerError>, &str) {
    let hex = s.strip_prefix("0x").or_else(|| s.strip_prefix("0X"));
    let Some(hex) = hex else {
        return match text::parse_u64_prefix(s, 0) {
            None if s.trim_start().trim_start_matches(['-', '+']).starts_with(|c: char| c.is_ascii_digit()) => {
                (Err(IntegerError::Range), "")
            }
            None => (Err(IntegerError::Syntax), s),
            Some((number, _)) if n < 8 && number >> (n * 8) != 0 => (Err(IntegerError::Range), ""),
            Some((number, rest)) => (Ok(Value::from_u128(number.into(), n)), rest),
        };
    };
    let mut value = Value::zeros(n);
    let mut digits = 0;
    let mut rest = hex;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let Some(digit) = rest.chars().next().and_then(|c| c.to_digit(16)) else { break };
        if digit != 0 || digits > 0 {
            digits += 1;
            if digits > n * 2 {
                return (Err(IntegerError::Range), "");
            }
            let mut carry = digit as u8;
            for octet in value.0.iter_mut().rev() {
                let next = *octet >> 4;
                *octet = (*octet << 4) | carry;
                carry = next;
            }
        }
        rest = &rest[1..];
    }
    (Ok(value), rest)
}

fn parse_integer(field: Field, s: &str) -> Result<(Value, Value), String> {
    let meta = field.meta();
    let n = usize::from(meta.n_bytes);
    let fail = |error: IntegerError, what: &str| match error {
        IntegerError::Range => format!("{s}: {what} too large for {n}-byte field {}", meta.name),
        IntegerError::Syntax => format!("{s}: bad syntax for {} {what}", meta.name),
    };
    let (value, rest) = parse_int(s, n);
    let value = value.map_err(|e| fail(e, "value"))?;
    if rest.is_empty() {
        return Ok((value, Value::ones(n, n * 8)));
    }
    let after = rest.strip_prefix('/').ok_or_else(|| fail(IntegerError::Syntax, "value"))?;
    let (mask, rest) = parse_int(after, n);
    let mask = mask.map_err(|e| fail(e, "mask"))?;
    if rest.is_empty() { Ok((value, mask)) } else { Err(fail(IntegerError::Syntax, "mask")) }
}

fn parse_ethernet(s: &str) -> Result<(u64, u64), String> {
    let invalid = || format!("{s}: invalid Ethernet address");
    let (address, rest) = text::parse_mac_prefix(s).ok_or_else(invalid)?;
    if rest.is_empty() {
        return Ok((address, 0xffff_ffff_ffff));
    }
    let after = rest.strip_prefix('/').ok_or_else(invalid)?;
    match text::parse_mac_prefix(after) {
        Some((mask, "")) => Ok((address, mask)),
        _ => Err(invalid()),
    }
}

fn parse_frag(s: &str) -> Result<(Value, Value), String> {
    let (value, mask) = match s {
        "no" => (0, 3),
        "first" => (1, 3),
        "later" => (3, 3),
        "yes" => (1, 1),
        "not_later" => (0, 2),
        _ => {
            return Err(format!(
                "{s}: unknown fragment type (valid types are \"no\", \"yes\", \"first\", \"later\", \"not_later\""
            ));
        }
    };
    // The bits that the field lacks are set too, so that an exact match has an exact mask.
    Ok((Value::from_u128(value, 1), Value::from_u128(mask | 0xfc, 1)))
}

/// Reads `+a-b` (a masked match), `a|b` or a number (an exact one), `number/mask`. `allowed` bits have names.
fn parse_flags(
    s: &str,
    n: usize,
    names: FlagNames,
    what: &str,
    allowed: u32,
    full: u32,
) -> Result<(Value, Value), String> {
    let unknown = |name: &str| format!("{name}: unknown {what} flag(s)");
    let pair = |value: u32, mask: u32| (Value::from_u128(value.into(), n), Value::from_u128(mask.into(), n));
    if let Some((value, rest)) = text::parse_wrapping_prefix(s, 0) {
        let (mask, rest) = match rest.strip_prefix('/') {
            None => (u64::from(full), rest),
            // What follows the mask's digits is not looked at.
            Some(after) => match text::parse_wrapping_prefix(after, 0) {
                Some((mask, _)) => (mask, ""),
                None => return Err(unknown(s)),
            },
        };
        if rest.is_empty() && !s.starts_with(['+', '-']) {
            let bits = value | if s.contains('/') { mask } else { 0 };
            // Of a greater number the low 32 bits count.
            if bits as u32 & !allowed != 0 {
                return Err(unknown(s));
            }
            return Ok(if mask as u32 == full { exact_pair(value as u32, n) } else { pair(value as u32, mask as u32) });
        }
    }
    if !s.starts_with(['+', '-']) {
        // Names and numbers; a number ends where its digits do.
        let mut value = 0;
        let mut rest = s;
        while !rest.is_empty() {
            let (bits, after) = match text::parse_wrapping_prefix(rest, 0) {
                Some((number, after)) => (number as u32, after),
                None => {
                    let (name, after) = rest.split_at(rest.find('|').unwrap_or(rest.len()));
                    let bit = names.iter().position(|known| *known == name).ok_or_else(|| unknown(s))?;
                    (1 << bit, after)
                }
            };
            value |= bits;
            rest = after.strip_prefix('|').unwrap_or(after);
        }
        return if value & !allowed == 0 { Ok(exact_pair(value, n)) } else { Err(unknown(s)) };
    }
    let (mut value, mut mask) = (0u32, 0u32);
    let mut rest = s;
    while !rest.is_empty() {
        let set = match rest.as_bytes()[0] {
            b'+' => true,
            b'-' => false,
            _ => return Err(format!("{s}: {what} flag must be preceded by '+' (for SET) or '-' (NOT SET)")),
        };
        rest = &rest[1..];
        let len = rest.find(['+', '-']).unwrap_or(rest.len());
        let name = &rest[..len];
        let bit = names.iter().position(|known| *known == name).ok_or_else(|| unknown(rest))?;
        if mask >> bit & 1 == 1 {
            return Err(format!("{name}: Each {what} flag can be specified only once"));
        }
        mask |= 1 << bit;
        value |= u32::from(set) << bit;
        rest = &rest[len..];
    }
    Ok(if mask == full && n < 4 { exact_pair(value, n) } else { pair(value, mask) })
}

fn exact_pair(value: u32, n: usize) -> (Value, Value) {
    (Value::from_u128(value.into(), n), Value::ones(n, n * 8))
}

fn parse_packet_type(s: &str) -> Result<u32, String> {
    let after = s.strip_prefix('(').ok_or_else(|| format!("{s}: bad syntax for packet type missing '('"))?;
    let bad = |text: &str, what: &str| format!("{text}: bad syntax for packet type {what}");
    let read =
        |text: &str| text::parse_u64_prefix(text, 0).and_then(|(n, rest)| Some((u16::try_from(n).ok()?, rest.len())));
    let (ns, left) = read(after).ok_or_else(|| bad(after, "ns"))?;
    let kinds = after[after.len() - left..].strip_prefix(',').ok_or_else(|| bad(after, "missing ','"))?;
    let (kind, left) = read(kinds).ok_or_else(|| bad(kinds, "ns_type"))?;
    if !kinds[kinds.len() - left..].starts_with(')') {
        return Err(bad(kinds, "missing ')'"));
    }
    Ok(u32::from(ns) << 16 | u32::from(kind))
}
