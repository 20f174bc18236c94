//! Meters as text.

use std::fmt::Write;

use super::duration;
use crate::message::meter::{
    BandType, METER_ALL, METER_CONTROLLER, METER_MAX, METER_SLOWPATH, MeterBand, MeterCommand, meter_flag,
};
use crate::message::{MeterConfig, MeterFeatures, MeterMod, MeterStats};

pub(super) fn id(out: &mut String, id: u32, separator: char) {
    match id {
        METER_SLOWPATH => put!(out, "meter{separator}slowpath"),
        METER_CONTROLLER => put!(out, "meter{separator}controller"),
        METER_ALL => put!(out, "meter{separator}all"),
        id if id > METER_MAX => put!(out, "meter{separator}unknown"),
        id => put!(out, "meter{separator}{id}"),
    }
}

const FLAGS: [(u16, &str); 4] = [
    (meter_flag::KBPS, "kbps"),
    (meter_flag::PKTPS, "pktps"),
    (meter_flag::BURST, "burst"),
    (meter_flag::STATS, "stats"),
];

fn flags(out: &mut String, flags: u16) {
    let mut left = flags;
    for (bit, name) in FLAGS {
        if flags & bit != 0 {
            put!(out, "{name} ");
            left &= !bit;
        }
    }
    if left != 0 {
        put!(out, "flags:0x{left:x} ");
    }
}

/// Appends the line of a band.
pub fn meter_band(out: &mut String, band: &MeterBand, burst: bool) {
    out.push_str("\ntype=");
    out.push_str(match band.kind {
        BandType::Drop => "drop",
        BandType::DscpRemark => "dscp_remark",
    });
    put!(out, " rate={}", band.rate);
    if burst {
        put!(out, " burst_size={}", band.burst_size);
    }
    if band.kind == BandType::DscpRemark {
        put!(out, " prec_level={}", band.prec_level);
    }
}

/// Appends the lines of a meter.
pub fn meter_config(out: &mut String, meter: &MeterConfig) {
    id(out, meter.meter_id, '=');
    out.push(' ');
    flags(out, meter.flags);
    out.push_str("bands=");
    for band in &meter.bands {
        meter_band(out, band, meter.flags & meter_flag::BURST != 0);
    }
    out.push('\n');
}

pub(super) fn meter_mod(out: &mut String, meter_mod: &MeterMod) {
    out.push_str(match meter_mod.command {
        MeterCommand::Add => " ADD ",
        MeterCommand::Modify => " MOD ",
        MeterCommand::Delete => " DEL ",
    });
    meter_config(out, &meter_mod.meter);
}

pub(super) fn stats(out: &mut String, meters: &[MeterStats]) {
    for meter in meters {
        out.push('\n');
        id(out, meter.meter_id, ':');
        put!(out, " flow_count:{} ", meter.flow_count);
        put!(out, "packet_in_count:{} ", meter.packet_in_count);
        put!(out, "byte_in_count:{} duration:", meter.byte_in_count);
        duration(out, meter.duration_sec, meter.duration_nsec);
        out.push_str(" bands:\n");
        for (i, band) in meter.bands.iter().enumerate() {
            put!(out, "{i}: packet_count:{} byte_count:{}\n", band.packet_count, band.byte_count);
        }
    }
}

pub(super) fn features(out: &mut String, features: &MeterFeatures) {
    put!(out, "\nmax_meter:{}", features.max_meters);
    put!(out, " max_bands:{}", features.max_bands);
    put!(out, " max_color:{}\n", features.max_color);
    out.push_str("band_types: ");
    let names = [(1 << BandType::Drop as u32, "drop"), (1 << BandType::DscpRemark as u32, "dscp_remark")];
    super::bit_names(out, features.band_types, &names, ' ');
    out.push_str("\ncapabilities: ");
    let names = FLAGS.map(|(bit, name)| (u32::from(bit), name));
    super::bit_names(out, features.capabilities, &names, ' ');
    out.push('\n');
}
