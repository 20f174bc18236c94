//! Meters. OpenFlow 1.3.5 sections 7.3.4.4 and 7.3.5.11 to 7.3.5.13.

use super::wire::{Put, Reader};
use crate::{ErrorCode, OfError};

/// Greatest meter number that a meter can have.
pub const METER_MAX: u32 = 0xffff_0000;
/// Meter for slow-path packets.
pub const METER_SLOWPATH: u32 = 0xffff_fffd;
/// Meter for the controller connection.
pub const METER_CONTROLLER: u32 = 0xffff_fffe;
/// All meters, in requests.
pub const METER_ALL: u32 = 0xffff_ffff;

/// Bits of [`MeterConfig::flags`].
pub mod meter_flag {
    /// Rates are kilobits a second.
    pub const KBPS: u16 = 1;
    /// Rates are packets a second.
    pub const PKTPS: u16 = 2;
    /// Bands have bursts.
    pub const BURST: u16 = 4;
    /// Statistics are kept.
    pub const STATS: u16 = 8;
}

/// What a meter-mod does; the number is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum MeterCommand {
    /// New meter.
    Add = 0,
    /// Other bands for a meter.
    Modify = 1,
    /// No more meter.
    Delete = 2,
}

/// What a band does with packets above its rate; the number is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum BandType {
    /// What exceeds the rate is dropped.
    Drop = 1,
    /// What exceeds the rate has its drop precedence raised.
    DscpRemark = 2,
}

/// A band.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MeterBand {
    /// What it does.
    pub kind: BandType,
    /// Drop precedence levels to add (remark only).
    pub prec_level: u8,
    /// kbit/s or packets a second.
    pub rate: u32,
    /// kbit or packets, 0 if the flag is not set.
    pub burst_size: u32,
}

/// A meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterConfig {
    /// Which.
    pub meter_id: u32,
    /// [`meter_flag`].
    pub flags: u16,
    /// Bands.
    pub bands: Vec<MeterBand>,
}

/// Add, modify or delete a meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterMod {
    /// What to do.
    pub command: MeterCommand,
    /// Flags and bands are empty to delete.
    pub meter: MeterConfig,
}

/// Counters of a band.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct BandStats {
    /// Packets.
    pub packet_count: u64,
    /// Octets.
    pub byte_count: u64,
}

/// Counters of a meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterStats {
    /// Which.
    pub meter_id: u32,
    /// Flows that use it.
    pub flow_count: u32,
    /// Packets.
    pub packet_in_count: u64,
    /// Octets.
    pub byte_in_count: u64,
    /// How long it has been there, seconds.
    pub duration_sec: u32,
    /// And nanoseconds.
    pub duration_nsec: u32,
    /// By band.
    pub bands: Vec<BandStats>,
}

/// What meters can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MeterFeatures {
    /// Most meters.
    pub max_meters: u32,
    /// Bit n: [`BandType`] n.
    pub band_types: u32,
    /// [`meter_flag`].
    pub capabilities: u32,
    /// Most bands of a meter.
    pub max_bands: u8,
    /// Most colors.
    pub max_color: u8,
}

/// Most bands of a meter that are read: what fits in a message.
const BANDS_MAX: usize = 4096;

fn decode_bands(body: &mut Reader<'_>) -> Result<Vec<MeterBand>, OfError> {
    let mut bands = Vec::new();
    while body.len() >= 12 && bands.len() < BANDS_MAX {
        let mut peek = *body;
        let kind = peek.u16()?;
        let len = usize::from(peek.u16()?);
        if len != 16 || len > body.len() {
            return Err(ErrorCode::OFPBRC_BAD_LEN.into());
        }
        let kind = match kind {
            1 => BandType::Drop,
            2 => BandType::DscpRemark,
            _ => return Err(ErrorCode::OFPMMFC_BAD_BAND.into()),
        };
        let mut band = body.sub(len)?;
        band.skip(4)?;
        let (rate, burst_size, prec_level) = (band.u32()?, band.u32()?, band.u8()?);
        let prec_level = if kind == BandType::DscpRemark { prec_level } else { 0 };
        bands.push(MeterBand { kind, prec_level, rate, burst_size });
    }
    if body.is_empty() { Ok(bands) } else { Err(ErrorCode::OFPBRC_BAD_LEN.into()) }
}

fn encode_bands(out: &mut Vec<u8>, bands: &[MeterBand]) {
    for band in bands {
        out.put16(band.kind as u16);
        out.put16(16);
        out.put32(band.rate);
        out.put32(band.burst_size);
        out.put8(band.prec_level);
        out.zeros(3);
    }
}

pub(super) fn decode_mod(body: &[u8]) -> Result<MeterMod, OfError> {
    let mut body = Reader::new(body);
    let (command, flags, meter_id) = (body.u16()?, body.u16()?, body.u32()?);
    let command = match command {
        0 => MeterCommand::Add,
        1 => MeterCommand::Modify,
        2 => MeterCommand::Delete,
        _ => return Err(ErrorCode::OFPMMFC_BAD_COMMAND.into()),
    };
    if command == MeterCommand::Delete {
        return Ok(MeterMod { command, meter: MeterConfig { meter_id, flags: 0, bands: Vec::new() } });
    }
    if flags & meter_flag::KBPS != 0 && flags & meter_flag::PKTPS != 0 {
        return Err(ErrorCode::OFPMMFC_BAD_FLAGS.into());
    }
    let bands = decode_bands(&mut body)?;
    Ok(MeterMod { command, meter: MeterConfig { meter_id, flags, bands } })
}

pub(super) fn encode_mod(out: &mut Vec<u8>, meter_mod: &MeterMod) {
    out.put16(meter_mod.command as u16);
    out.put16(meter_mod.meter.flags);
    out.put32(meter_mod.meter.meter_id);
    encode_bands(out, &meter_mod.meter.bands);
}

pub(super) fn decode_config(body: &mut Reader<'_>) -> Result<MeterConfig, OfError> {
    let mut peek = *body;
    let len = usize::from(peek.u16()?);
    if len < 8 {
        return Err(ErrorCode::OFPBRC_BAD_LEN.into());
    }
    let mut body = body.sub(len)?;
    body.skip(2)?;
    let (flags, meter_id) = (body.u16()?, body.u32()?);
    Ok(MeterConfig { meter_id, flags, bands: decode_bands(&mut body)? })
}

pub(super) fn encode_config(out: &mut Vec<u8>, meter: &MeterConfig) {
    out.put16((8 + 16 * meter.bands.len()) as u16);
    out.put16(meter.flags);
    out.put32(meter.meter_id);
    encode_bands(out, &meter.bands);
}

pub(super) fn decode_stats(body: &mut Reader<'_>) -> Result<MeterStats, OfError> {
    if body.len() < 40 {
        let text = format!("OFPMP_METER reply has {} leftover bytes at end", body.len());
        return Err(ErrorCode::OFPBRC_BAD_LEN.because("ofp_meter", text));
    }
    let mut peek = *body;
    peek.skip(4)?;
    let len = usize::from(peek.u16()?);
    if len < 40 {
        return Err(ErrorCode::OFPBRC_BAD_LEN.into());
    }
    let mut body = body.sub(len)?;
    let meter_id = body.u32()?;
    body.skip(8)?;
    let mut stats = MeterStats {
        meter_id,
        flow_count: body.u32()?,
        packet_in_count: body.u64()?,
        byte_in_count: body.u64()?,
        duration_sec: body.u32()?,
        duration_nsec: body.u32()?,
        bands: Vec::new(),
    };
    if body.len() % 16 != 0 {
        return Err(ErrorCode::OFPBRC_BAD_LEN.into());
    }
    while !body.is_empty() {
        stats.bands.push(BandStats { packet_count: body.u64()?, byte_count: body.u64()? });
    }
    Ok(stats)
}

pub(super) fn encode_stats(out: &mut Vec<u8>, stats: &MeterStats) {
    out.put32(stats.meter_id);
    out.put16((40 + 16 * stats.bands.len()) as u16);
    out.zeros(6);
    out.put32(stats.flow_count);
    out.put64(stats.packet_in_count);
    out.put64(stats.byte_in_count);
    out.put32(stats.duration_sec);
    out.put32(stats.duration_nsec);
    for band in &stats.bands {
        out.put64(band.packet_count);
        out.put64(band.byte_count);
    }
}

pub(super) fn decode_features(body: &[u8]) -> Result<MeterFeatures, OfError> {
    let mut body = Reader::new(body);
    Ok(MeterFeatures {
        max_meters: body.u32()?,
        band_types: body.u32()?,
        capabilities: body.u32()?,
        max_bands: body.u8()?,
        max_color: body.u8()?,
    })
}

pub(super) fn encode_features(out: &mut Vec<u8>, features: &MeterFeatures) {
    out.put32(features.max_meters);
    out.put32(features.band_types);
    out.put32(features.capabilities);
    out.put8(features.max_bands);
    out.put8(features.max_color);
    out.zeros(2);
}
