//! Ports: description, changes, configuration, with the conversions of their bits between versions.
//!
//! Source: OpenFlow 1.0 section 5.2.1, 1.1 section A.2.1, 1.4 section 7.2.1.

use super::wire::{self, Put, Reader};
use crate::{ErrorCode, OfError, OfPort, Version};

/// Longest name of a port in OpenFlow messages, octets without the final zero.
pub const NAME_MAX: usize = 15;

/// Bits of [`PortDesc::config`], as in OpenFlow 1.1+ where it has them.
pub mod port_config {
    /// The port is set down.
    pub const PORT_DOWN: u32 = 1 << 0;
    /// No spanning tree on the port (OpenFlow 1.0).
    pub const NO_STP: u32 = 1 << 1;
    /// Drop what comes in, except spanning tree messages in OpenFlow 1.0.
    pub const NO_RECV: u32 = 1 << 2;
    /// Drop spanning tree messages that come in (OpenFlow 1.0).
    pub const NO_RECV_STP: u32 = 1 << 3;
    /// Do not flood to the port (OpenFlow 1.0).
    pub const NO_FLOOD: u32 = 1 << 4;
    /// Drop what would go out.
    pub const NO_FWD: u32 = 1 << 5;
    /// Send no packet-in for the port.
    pub const NO_PACKET_IN: u32 = 1 << 6;
}

/// Bits of [`PortDesc::state`].
pub mod port_state {
    /// There is no carrier.
    pub const LINK_DOWN: u32 = 1 << 0;
    /// OpenFlow 1.1+.
    pub const BLOCKED: u32 = 1 << 1;
    /// OpenFlow 1.1+.
    pub const LIVE: u32 = 1 << 2;
    /// The two bits of the spanning tree's state (OpenFlow 1.0).
    pub const STP_MASK: u32 = 3 << 8;
    /// Neither learns nor forwards.
    pub const STP_LISTEN: u32 = 0 << 8;
    /// Learns, does not forward.
    pub const STP_LEARN: u32 = 1 << 8;
    /// Learns and forwards.
    pub const STP_FORWARD: u32 = 2 << 8;
    /// Takes no part in the tree.
    pub const STP_BLOCK: u32 = 3 << 8;
}

/// Bits of a port's features, as in OpenFlow 1.1+.
pub mod port_feature {
    /// 10 Mb/s, half duplex.
    pub const HD_10MB: u32 = 1 << 0;
    /// 10 Mb/s, full duplex.
    pub const FD_10MB: u32 = 1 << 1;
    /// 100 Mb/s, half duplex.
    pub const HD_100MB: u32 = 1 << 2;
    /// 100 Mb/s, full duplex.
    pub const FD_100MB: u32 = 1 << 3;
    /// 1 Gb/s, half duplex.
    pub const HD_1GB: u32 = 1 << 4;
    /// 1 Gb/s, full duplex.
    pub const FD_1GB: u32 = 1 << 5;
    /// 10 Gb/s, full duplex.
    pub const FD_10GB: u32 = 1 << 6;
    /// 40 Gb/s, full duplex.
    pub const FD_40GB: u32 = 1 << 7;
    /// 100 Gb/s, full duplex.
    pub const FD_100GB: u32 = 1 << 8;
    /// 1 Tb/s, full duplex.
    pub const FD_1TB: u32 = 1 << 9;
    /// A speed that the list has not.
    pub const OTHER: u32 = 1 << 10;
    /// Copper.
    pub const COPPER: u32 = 1 << 11;
    /// Fiber.
    pub const FIBER: u32 = 1 << 12;
    /// Speed and duplex are negotiated.
    pub const AUTONEG: u32 = 1 << 13;
    /// Pause frames.
    pub const PAUSE: u32 = 1 << 14;
    /// Pause frames in one direction.
    pub const PAUSE_ASYM: u32 = 1 << 15;
}

/// A port.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PortDesc {
    /// Number.
    pub port: OfPort,
    /// Ethernet address, 48 bits.
    pub hw_addr: u64,
    /// 64-bit address, for ports that have one (1.5 has none; printed by Open vSwitch where set).
    pub hw_addr64: u64,
    /// Name, cut to [`NAME_MAX`] octets on the wire.
    pub name: String,
    /// [`port_config`].
    pub config: u32,
    /// [`port_state`].
    pub state: u32,
    /// Current [`port_feature`]s.
    pub curr: u32,
    /// Advertised to the peer.
    pub advertised: u32,
    /// Supported.
    pub supported: u32,
    /// Advertised by the peer.
    pub peer: u32,
    /// Current speed, kbit/s.
    pub curr_speed: u32,
    /// Greatest speed, kbit/s.
    pub max_speed: u32,
}

/// What happened to a port; the number is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PortReason {
    /// A new port.
    Add = 0,
    /// No more port.
    Delete = 1,
    /// A change of it.
    Modify = 2,
}

/// A port came, went or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStatus {
    /// What happened.
    pub reason: PortReason,
    /// The port.
    pub desc: PortDesc,
}

/// Configure a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortMod {
    /// Which.
    pub port: OfPort,
    /// Its Ethernet address, 48 bits, as a check.
    pub hw_addr: u64,
    /// Its 64-bit address, as a check.
    pub hw_addr64: u64,
    /// New [`port_config`] bits.
    pub config: u32,
    /// Which of them to set.
    pub mask: u32,
    /// New advertised [`port_feature`]s, 0 for no change.
    pub advertise: u32,
}

/// Configuration bits of 1.0.
const CONFIG_10: u32 = 0x7f;
/// Configuration bits of 1.1 and later.
const CONFIG_11: u32 = port_config::PORT_DOWN | port_config::NO_RECV | port_config::NO_FWD | port_config::NO_PACKET_IN;
/// State bits of 1.0.
const STATE_10: u32 = port_state::LINK_DOWN | port_state::STP_MASK;
/// State bits of 1.1 and later.
const STATE_11: u32 = port_state::LINK_DOWN | port_state::BLOCKED | port_state::LIVE;
/// Property with the features of an Ethernet port (descriptions and mods of 1.4 and later).
const ETHERNET: u16 = 0;

fn config_mask(version: Version) -> u32 {
    if version == Version::V10 { CONFIG_10 } else { CONFIG_11 }
}

/// Features as 1.0 writes them: the media and flow control bits follow the seven speeds.
fn features_to_10(features: u32) -> u32 {
    (features & 0x7f) | ((features & 0xf800) >> 4)
}

fn features_from_10(wire: u32) -> u32 {
    (wire & 0x7f) | ((wire & 0xf80) << 4)
}

/// The greatest speed among features, kbit/s; 0 if none is named.
pub fn speed_of(features: u32) -> u32 {
    use port_feature::*;
    let speeds = [
        (FD_1TB, 1_000_000_000),
        (FD_100GB, 100_000_000),
        (FD_40GB, 40_000_000),
        (FD_10GB, 10_000_000),
        (FD_1GB | HD_1GB, 1_000_000),
        (FD_100MB | HD_100MB, 100_000),
        (FD_10MB | HD_10MB, 10_000),
    ];
    speeds.into_iter().find(|(bits, _)| features & bits != 0).map_or(0, |(_, kbps)| kbps)
}

pub(super) fn decode_desc(body: &mut Reader<'_>, version: Version) -> Result<PortDesc, OfError> {
    match version {
        Version::V10 => decode_desc10(body),
        Version::V11 | Version::V12 | Version::V13 => decode_desc11(body),
        Version::V14 | Version::V15 => decode_desc14(body),
    }
}

fn decode_desc10(body: &mut Reader<'_>) -> Result<PortDesc, OfError> {
    let mut desc = PortDesc { port: body.port10()?, hw_addr: body.u48()?, name: body.text(16)?, ..PortDesc::default() };
    desc.config = body.u32()? & CONFIG_10;
    desc.state = body.u32()? & STATE_10;
    for features in [&mut desc.curr, &mut desc.advertised, &mut desc.supported, &mut desc.peer] {
        *features = features_from_10(body.u32()?);
    }
    desc.curr_speed = speed_of(desc.curr);
    desc.max_speed = speed_of(desc.supported);
    Ok(desc)
}

fn decode_features11(body: &mut Reader<'_>, desc: &mut PortDesc) -> Result<(), OfError> {
    for features in [&mut desc.curr, &mut desc.advertised, &mut desc.supported, &mut desc.peer] {
        *features = body.u32()? & 0xffff;
    }
    desc.curr_speed = body.u32()?;
    desc.max_speed = body.u32()?;
    Ok(())
}

fn decode_desc11(body: &mut Reader<'_>) -> Result<PortDesc, OfError> {
    let mut desc = PortDesc { port: body.port11()?, ..PortDesc::default() };
    body.skip(4)?;
    desc.hw_addr = body.u48()?;
    body.skip(2)?;
    desc.name = body.text(16)?;
    desc.config = body.u32()? & CONFIG_11;
    desc.state = body.u32()? & STATE_11;
    decode_features11(body, &mut desc)?;
    Ok(desc)
}

fn decode_desc14(body: &mut Reader<'_>) -> Result<PortDesc, OfError> {
    let mut peek = *body;
    peek.skip(4)?;
    let len = usize::from(peek.u16()?);
    if len < 40 {
        return Err(ErrorCode::OFPBRC_BAD_LEN.into());
    }
    let mut body = body.sub(len)?;
    let mut desc = PortDesc { port: body.port11()?, ..PortDesc::default() };
    body.skip(4)?;
    desc.hw_addr = body.u48()?;
    body.skip(2)?;
    desc.name = body.text(16)?;
    desc.config = body.u32()? & CONFIG_11;
    desc.state = body.u32()? & STATE_11;
    while !body.is_empty() {
        let property = wire::property(&mut body)?;
        if property.kind == ETHERNET {
            let mut value = Reader::new(property.value);
            if value.len() != 28 {
                return Err(ErrorCode::OFPBPC_BAD_LEN.into());
            }
            value.skip(4)?;
            decode_features11(&mut value, &mut desc)?;
        }
    }
    Ok(desc)
}

pub(super) fn encode_desc(out: &mut Vec<u8>, desc: &PortDesc, version: Version) {
    match version {
        Version::V10 => {
            out.port10(desc.port);
            out.put48(desc.hw_addr);
            out.text(&desc.name, 16);
            out.put32(desc.config & CONFIG_10);
            out.put32(desc.state & STATE_10);
            for features in [desc.curr, desc.advertised, desc.supported, desc.peer] {
                out.put32(features_to_10(features));
            }
        }
        Version::V11 | Version::V12 | Version::V13 => {
            out.port11(desc.port);
            out.zeros(4);
            encode_common(out, desc);
            encode_features11(out, desc);
        }
        Version::V14 | Version::V15 => {
            out.port11(desc.port);
            out.put16(72);
            out.zeros(2);
            encode_common(out, desc);
            let start = wire::start_property(out, ETHERNET);
            out.zeros(4);
            encode_features11(out, desc);
            wire::end_property(out, start);
        }
    }
}

fn encode_common(out: &mut Vec<u8>, desc: &PortDesc) {
    out.put48(desc.hw_addr);
    out.zeros(2);
    out.text(&desc.name, 16);
    out.put32(desc.config & CONFIG_11);
    out.put32(desc.state & STATE_11);
}

fn encode_features11(out: &mut Vec<u8>, desc: &PortDesc) {
    for features in [desc.curr, desc.advertised, desc.supported, desc.peer] {
        out.put32(features & 0xffff);
    }
    out.put32(desc.curr_speed);
    out.put32(desc.max_speed);
}

pub(super) fn decode_status(body: &[u8], version: Version) -> Result<PortStatus, OfError> {
    let mut body = Reader::new(body);
    let reason = match body.u8()? {
        0 => PortReason::Add,
        1 => PortReason::Delete,
        2 => PortReason::Modify,
        _ => return Err(ErrorCode::NXBRC_BAD_REASON.into()),
    };
    body.skip(7)?;
    let desc = decode_desc(&mut body, version)?;
    Ok(PortStatus { reason, desc })
}

pub(super) fn encode_status(out: &mut Vec<u8>, status: &PortStatus, version: Version) {
    out.put8(status.reason as u8);
    out.zeros(7);
    encode_desc(out, &status.desc, version);
}

pub(super) fn decode_mod(body: &[u8], version: Version, loose: bool) -> Result<PortMod, OfError> {
    let mut body = Reader::new(body);
    let v10 = version == Version::V10;
    let port = if v10 { body.port10()? } else { body.port11()? };
    if !v10 {
        body.skip(4)?;
    }
    let hw_addr = body.u48()?;
    if !v10 {
        body.skip(2)?;
    }
    let config = body.u32()? & config_mask(version);
    let mask = body.u32()? & config_mask(version);
    let config = config & mask;
    let mut advertise = 0;
    if v10 {
        advertise = features_from_10(body.u32()?);
    } else if version < Version::V14 {
        advertise = body.u32()? & 0xffff;
    } else {
        while !body.is_empty() {
            let property = wire::property(&mut body)?;
            if property.kind != ETHERNET {
                if loose {
                    continue;
                }
                return Err(property.unknown("ofp_port", "port_mod"));
            }
            if property.value.len() != 4 {
                return Err(ErrorCode::OFPBPC_BAD_LEN.into());
            }
            advertise = Reader::new(property.value).u32()? & 0xffff;
        }
    }
    Ok(PortMod { port, hw_addr, hw_addr64: 0, config, mask, advertise })
}

pub(super) fn encode_mod(out: &mut Vec<u8>, port_mod: &PortMod, version: Version) {
    let v10 = version == Version::V10;
    if v10 {
        out.port10(port_mod.port);
        out.put48(port_mod.hw_addr);
    } else {
        out.port11(port_mod.port);
        out.zeros(4);
        out.put48(port_mod.hw_addr);
        out.zeros(2);
    }
    out.put32(port_mod.config & config_mask(version));
    out.put32(port_mod.mask & config_mask(version));
    if v10 {
        out.put32(features_to_10(port_mod.advertise));
        out.zeros(4);
    } else if version < Version::V14 {
        out.put32(port_mod.advertise);
        out.zeros(4);
    } else if port_mod.advertise != 0 {
        let start = wire::start_property(out, ETHERNET);
        out.put32(port_mod.advertise);
        wire::end_property(out, start);
    }
}
