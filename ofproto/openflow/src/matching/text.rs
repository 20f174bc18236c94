//! Lists of fields as text, name by name: `NXM_OF_ETH_TYPE(0800), NXM_OF_IP_SRC_W(0a000000/ff000000)`.
//!
//! What `ovs-ofctl parse-nx-match` reads and `ofp-print` shows of an NXM flow-mod at high verbosity. Unlike a match it
//! keeps order, repetitions and unknown fields.

use std::fmt::Write;

use flow::field::{Class, Field};

use crate::nxm::{self, RawHeader, pull_raw_header};
use crate::words::hex_octets;

/// Octets shown of a value.
const MAX_VALUE: usize = 128;

fn hex(octets: &[u8]) -> String {
    octets.iter().take(MAX_VALUE).map(|o| format!("{o:02x}")).collect()
}

fn name_of(header: &RawHeader) -> String {
    let wild = if header.has_mask { "_W" } else { "" };
    match Field::by_header(header.class, header.experimenter, header.number) {
        Some((field, named)) if nxm::resolve(header, nxm::Place::Match, None) == Ok(field) => {
            format!("{}{wild}", named.name)
        }
        _ if header.is_cookie() => format!("NXM_NX_COOKIE{wild}"),
        _ => format!("{}:{}", header.class, header.number),
    }
}

/// A list of fields as text; what cannot be read at its end is counted.
pub fn nxm_to_text(octets: &[u8]) -> String {
    if octets.is_empty() {
        return "<any>".to_string();
    }
    let mut out = String::new();
    let mut rest = octets;
    while !rest.is_empty() {
        let mut after = rest;
        let Ok(header) = pull_raw_header(&mut after) else { break };
        let Some(payload) = after.get(..header.payload) else { break };
        let (value, mask) = payload.split_at(header.width());
        if header.has_mask && value.iter().zip(mask).any(|(v, m)| v & !m != 0) {
            // Nothing is said of it, but it has been read.
            rest = &after[header.payload..];
            break;
        }
        let comma = if out.is_empty() { "" } else { ", " };
        // Open vSwitch shows zeros for tunnel options, which no table maps here.
        let is_option = matches!(nxm::resolve(&header, nxm::Place::Match, None), Ok(Field::TunMetadata(_)));
        let shown = |octets: &[u8]| if is_option { "00".repeat(octets.len()) } else { hex(octets) };
        let _ = write!(out, "{comma}{}({}", name_of(&header), shown(value));
        if header.has_mask {
            let _ = write!(out, "/{}", shown(mask));
        }
        out.push(')');
        rest = &after[header.payload..];
    }
    if !rest.is_empty() {
        let comma = if out.is_empty() { "" } else { ", " };
        let _ = write!(out, "{comma}<{} invalid bytes>", rest.len());
    }
    out
}

/// A header by name: octets in front of the payload, whether a mask follows, and octets of the value.
struct Named {
    class: Class,
    number: u8,
    has_mask: bool,
    width: usize,
    variable: bool,
}

fn named(name: &str) -> Option<Named> {
    let (plain, has_mask) = name.strip_suffix("_W").map_or((name, false), |plain| (plain, true));
    if let Some((field, header)) = Field::by_header_name(plain).filter(|(f, _)| !has_mask || f.meta().maskable) {
        return Some(Named {
            class: header.class,
            number: header.number,
            has_mask,
            width: field.meta().n_bytes.into(),
            variable: matches!(field, Field::TunMetadata(_)),
        });
    }
    if plain == "NXM_NX_COOKIE" {
        return Some(Named { class: Class::NXM_1, number: 30, has_mask, width: 8, variable: false });
    }
    // A header's own octets, to see what errors it makes.
    let octets = match hex_octets(name) {
        (octets, "") if matches!((octets.len(), name.len()), (4, 8) | (8, 16)) => octets,
        _ => return None,
    };
    let header = pull_raw_header(&mut &octets[..]).ok()?;
    let class = Class { class: header.class, experimenter: header.experimenter };
    let variable = nxm::resolve(&header, nxm::Place::Match, None).is_ok_and(|f| matches!(f, Field::TunMetadata(_)));
    Some(Named { class, number: header.number, has_mask: header.has_mask, width: header.width(), variable })
}

/// Reads a list of fields.
///
/// # Errors
/// A text for a user.
pub fn nxm_from_text(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    if text == "<any>" {
        return Ok(out);
    }
    let mut rest = text.trim_start_matches([',', ' ']);
    while !rest.is_empty() {
        let Some((name, after)) = rest.split_once('(') else {
            return Err(format!("{text}: missing ( at end of nx_match"));
        };
        let mut field = named(name).ok_or_else(|| format!("{text}: unknown field `{name}'"))?;
        let (value, after) = hex_octets(after);
        if value.len() != field.width {
            if !field.variable {
                return Err(format!("expected to read {} bytes but got {}", field.width, value.len()));
            }
            if value.len() > field.width {
                return Err(format!("expected to read at most {} bytes but got {}", field.width, value.len()));
            }
            field.width = value.len();
        }
        nxm::put_raw_header(&mut out, field.class, field.number, field.has_mask, field.width);
        out.extend_from_slice(&value);
        let mut after = after.trim_start_matches(' ');
        if field.has_mask {
            let masked = after.strip_prefix('/');
            let masked = masked.ok_or_else(|| format!("{text}: missing / in masked field {name}"))?;
            let (mask, tail) = hex_octets(masked);
            if mask.len() != field.width {
                return Err(format!("{}: hex digits expected", tail.chars().take(2).collect::<String>()));
            }
            out.extend_from_slice(&mask);
            after = tail.trim_start_matches(' ');
        }
        let tail = after.strip_prefix(')').ok_or_else(|| format!("{text}: missing ) following field {name}"))?;
        rest = tail.trim_start_matches([',', ' ']);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for (text, octets) in [
            ("<any>", &[][..]),
            ("NXM_OF_ETH_TYPE(0800)", &[0, 0, 6, 2, 8, 0]),
            ("NXM_OF_IP_SRC_W(0a000000/ff000000)", &[0, 0, 0x0f, 8, 10, 0, 0, 0, 255, 0, 0, 0]),
            ("NXM_NX_COOKIE(0000000000000005)", &[0, 1, 0x3c, 8, 0, 0, 0, 0, 0, 0, 0, 5]),
        ] {
            assert_eq!(nxm_to_text(octets), text);
            assert_eq!(nxm_from_text(text).as_deref(), Ok(octets));
        }
        assert_eq!(nxm_to_text(&[0x12, 0x34, 2, 1, 7, 0, 0]), "4660:1(07), <2 invalid bytes>");
        let outside = [0, 0, 0x0f, 8, 10, 0, 0, 1, 255, 0, 0, 0];
        assert_eq!(nxm_to_text(&outside), "");
        assert_eq!(nxm_to_text(&[&outside[..], &[0, 0, 6, 2, 8, 0]].concat()), "<6 invalid bytes>");
        assert_eq!(nxm_to_text(&[0, 1, 0x51, 2, 5, 7]), "NXM_NX_TUN_METADATA0_W(00/00)");
        assert_eq!(nxm_from_text("12340201(07)"), Ok(vec![0x12, 0x34, 2, 1, 7]));
    }

    #[test]
    fn errors() {
        for (text, error) in [
            ("NXM_OF_ETH_TYPE", "NXM_OF_ETH_TYPE: missing ( at end of nx_match"),
            ("FOO(00)", "FOO(00): unknown field `FOO'"),
            ("NXM_OF_ETH_TYPE(08)", "expected to read 2 bytes but got 1"),
            ("NXM_OF_ETH_TYPE(0800", "NXM_OF_ETH_TYPE(0800: missing ) following field NXM_OF_ETH_TYPE"),
            ("NXM_OF_IP_SRC_W(0a000000)", "NXM_OF_IP_SRC_W(0a000000): missing / in masked field NXM_OF_IP_SRC_W"),
        ] {
            assert_eq!(nxm_from_text(text), Err(error.to_string()));
        }
    }
}
