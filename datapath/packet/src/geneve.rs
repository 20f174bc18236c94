//! Geneve and its options. Source: RFC 8926.

use crate::{Malformed, view::view};

view! { 8;
    /// 0.
    version, set_version: u8 = 0..2;
    /// Octets of options, in units of 4.
    option_words, set_option_words: u8 = 2..8;
    /// Control packet.
    oam, set_oam: u8 = 8..9;
    /// There are critical options.
    critical, set_critical: u8 = 9..10;
    /// EtherType of the payload.
    protocol, set_protocol: u16 = 16..32;
    /// Network identifier.
    vni, set_vni: u32 = 32..56;
}

/// UDP port.
pub const PORT: u16 = 6081;

/// Of an option's type: who does not know it must drop the packet.
pub const CRITICAL: u8 = 0x80;

/// One option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneveOption<'a> {
    /// Class.
    pub class: u16,
    /// Type; bit 0x80: critical.
    pub kind: u8,
    /// Data, a multiple of 4 octets.
    pub data: &'a [u8],
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Octets of header and options.
    pub fn header_len(&self) -> usize {
        HEADER_LEN + 4 * usize::from(self.option_words())
    }

    /// The octets of all options.
    pub fn option_octets(&self) -> Result<&[u8], Malformed> {
        self.0.as_ref().get(HEADER_LEN..self.header_len()).ok_or(Malformed)
    }

    /// The options; one that is longer than there are octets is an error and the last.
    pub fn options(&self) -> impl Iterator<Item = Result<GeneveOption<'_>, Malformed>> {
        options(self.option_octets().unwrap_or(&[]))
    }
}

/// The options in octets.
pub fn options(octets: &[u8]) -> impl Iterator<Item = Result<GeneveOption<'_>, Malformed>> {
    let mut rest = octets;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let whole = rest;
        rest = &[];
        let parsed = whole.first_chunk::<4>().and_then(|head| {
            let data = whole.get(4..4 + 4 * usize::from(head[3] & 0x1f))?;
            rest = &whole[4 + data.len()..];
            Some(GeneveOption { class: u16::from_be_bytes([head[0], head[1]]), kind: head[2], data })
        });
        Some(parsed.ok_or(Malformed))
    })
}
