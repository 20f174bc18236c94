//! Meters. OpenFlow 1.3.5 sections 7.3.4.4 and 7.3.5.11 to 7.3.5.13.

/// Greatest meter number that a meter can have.
pub const METER_MAX: u32 = 0xffff_0000;
/// Meter for slow-path packets.
pub const METER_SLOWPATH: u32 = 0xffff_fffd;
/// Meter for the controller connection.
pub const METER_CONTROLLER: u32 = 0xffff_fffe;
/// All meters, in requests.
pub const METER_ALL: u32 = 0xffff_ffff;

/// Bits of [`MeterConfig::flags`].
#[allow(missing_docs)]
pub mod meter_flag {
    pub const KBPS: u16 = 1;
    pub const PKTPS: u16 = 2;
    pub const BURST: u16 = 4;
    pub const STATS: u16 = 8;
}

/// What a meter-mod does; the number is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
#[allow(missing_docs)]
pub enum MeterCommand {
    Add = 0,
    Modify = 1,
    Delete = 2,
}

/// What a band does with packets above its rate; the number is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
#[allow(missing_docs)]
pub enum BandType {
    Drop = 1,
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
