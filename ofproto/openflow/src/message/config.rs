//! Switch configuration (fragments, octets on a miss) and description. OpenFlow 1.3.5 sections 7.3.2 and 7.3.5.1.

use super::wire::{Put, Reader};
use crate::{ErrorCode, OfError, Version};

/// What becomes of IP fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum FragMode {
    /// No special handling: later fragments have port numbers 0.
    #[default]
    Normal,
    /// Dropped.
    Drop,
    /// Reassembled.
    Reassemble,
    /// Nicira: first fragments match on ports, later ones as port 0, distinguished by `ip_frag`.
    NxMatch,
}

impl FragMode {
    /// The number on the wire.
    pub fn wire(self) -> u16 {
        match self {
            FragMode::Normal => 0,
            FragMode::Drop => 1,
            FragMode::Reassemble => 2,
            FragMode::NxMatch => 3,
        }
    }

    /// The mode with this number.
    pub fn from_wire(number: u16) -> Option<FragMode> {
        [FragMode::Normal, FragMode::Drop, FragMode::Reassemble, FragMode::NxMatch].get(usize::from(number)).copied()
    }

    /// Its name, as in `get-frags`.
    pub fn name(self) -> &'static str {
        match self {
            FragMode::Normal => "normal",
            FragMode::Drop => "drop",
            FragMode::Reassemble => "reassemble",
            FragMode::NxMatch => "nx-match",
        }
    }

    /// The mode with this name, in any case.
    pub fn parse(name: &str) -> Option<FragMode> {
        [FragMode::Normal, FragMode::Drop, FragMode::Reassemble, FragMode::NxMatch]
            .into_iter()
            .find(|mode| mode.name().eq_ignore_ascii_case(name))
    }
}

/// Configuration of the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SwitchConfig {
    /// Fragments.
    pub frags: FragMode,
    /// Whether packets with an invalid TTL go to the controller; `None` where the version cannot say (1.3+).
    pub invalid_ttl_to_controller: Option<bool>,
    /// Octets of a packet sent to the controller on a miss.
    pub miss_send_len: u16,
}

/// Who made the switch.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SwitchDesc {
    /// Manufacturer, at most 255 octets.
    pub mfr: String,
    /// Hardware, at most 255 octets.
    pub hw: String,
    /// Software, at most 255 octets.
    pub sw: String,
    /// Serial number, at most 31 octets.
    pub serial: String,
    /// Datapath description, at most 255 octets.
    pub dp: String,
}

/// Bits of the fragment mode among the flags.
const FRAG_MASK: u16 = 3;
/// Packets with an invalid TTL go to the controller (before 1.3).
const INVALID_TTL: u16 = 4;

/// Whether a version can ask for packets with an invalid TTL; 1.0 by an extension of Open vSwitch.
fn has_invalid_ttl(version: Version) -> bool {
    version <= Version::V12
}

pub(super) fn decode(body: &[u8], version: Version, strict: bool) -> Result<SwitchConfig, OfError> {
    let mut body = Reader::new(body);
    let flags = body.u16()?;
    let miss_send_len = body.u16()?;
    let good = if has_invalid_ttl(version) { FRAG_MASK | INVALID_TTL } else { FRAG_MASK };
    if strict && flags & !good != 0 {
        return Err(ErrorCode::OFPSCFC_BAD_FLAGS.into());
    }
    Ok(SwitchConfig {
        frags: FragMode::from_wire(flags & FRAG_MASK).unwrap_or_default(),
        invalid_ttl_to_controller: has_invalid_ttl(version).then_some(flags & INVALID_TTL != 0),
        miss_send_len,
    })
}

pub(super) fn encode(out: &mut Vec<u8>, config: &SwitchConfig, version: Version) {
    let ttl = has_invalid_ttl(version) && config.invalid_ttl_to_controller == Some(true);
    out.put16(config.frags.wire() | if ttl { INVALID_TTL } else { 0 });
    out.put16(config.miss_send_len);
}

pub(super) fn decode_desc(body: &[u8]) -> Result<SwitchDesc, OfError> {
    let mut body = Reader::new(body);
    Ok(SwitchDesc {
        mfr: body.text(256)?,
        hw: body.text(256)?,
        sw: body.text(256)?,
        serial: body.text(32)?,
        dp: body.text(256)?,
    })
}

pub(super) fn encode_desc(out: &mut Vec<u8>, desc: &SwitchDesc) {
    out.text(&desc.mfr, 256);
    out.text(&desc.hw, 256);
    out.text(&desc.sw, 256);
    out.text(&desc.serial, 32);
    out.text(&desc.dp, 256);
}
