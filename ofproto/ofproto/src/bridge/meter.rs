//! Meters: the table of OpenFlow meters, and which meter of the datapath each one is.
//!
//! The datapath counts and limits; a bridge asks for its meters by [`Output::SetMeter`] and for their counters by
//! [`super::Question::Meters`]. Two meters are not for rules: `controller` limits packets for controllers, `slowpath` limits
//! packets that the bridge itself has to send on. Source: OpenFlow 1.3.5 section 5.7; observed answers of Open vSwitch 3.1.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use flow::hash;
use openflow::action;
use openflow::message::meter::{
    BandStats, BandType, METER_ALL, METER_CONTROLLER, METER_MAX, METER_SLOWPATH, MeterCommand, meter_flag,
};
use openflow::message::{Message, MeterConfig, MeterFeatures, MeterMod, MeterStats};
use openflow::{ErrorCode, Version};

use super::change::Changes;
use super::{Answer, Bridge, ConnId, Incoming, Output};
use crate::table::Change;
use crate::view::MeterView;

/// Meters that a datapath has.
const MAX_METERS: u32 = 262_144;
/// Bands of a meter at the most.
const MAX_BANDS: usize = 8;

/// Where the bridges of a datapath take the numbers of its meters from, the lowest that is free first.
#[derive(Clone, Debug, Default)]
pub struct MeterNumbers(Arc<Mutex<FreeNumbers>>);

#[derive(Debug, Default)]
struct FreeNumbers {
    /// All from here on are free.
    next: u32,
    /// Of those below.
    below: BTreeSet<u32>,
}

impl MeterNumbers {
    fn with<R>(&self, act: impl FnOnce(&mut FreeNumbers) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A number that no other meter has; `None`: there are as many as may be.
    fn take(&self) -> Option<u32> {
        self.with(|free| {
            if let Some(number) = free.below.pop_first() {
                return Some(number);
            }
            (free.next < MAX_METERS).then(|| {
                free.next += 1;
                free.next - 1
            })
        })
    }

    fn give(&self, number: u32) {
        self.with(|free| free.below.insert(number));
    }
}

/// A meter as a datapath is to have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatapathMeter {
    /// Rates and bursts are of packets, else of kilobits.
    pub pktps: bool,
    /// The bands.
    pub bands: Vec<DatapathBand>,
}

/// A band of a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatapathBand {
    /// Packets or kilobits a second.
    pub rate: u32,
    /// Packets or kilobits that may come at once.
    pub burst: u32,
    /// Instead of dropping, raise the drop precedence by so much.
    pub prec_level: Option<u8>,
}

/// What a datapath's meter has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatapathMeterStats {
    /// Datapath meter.
    pub id: u32,
    /// Packets.
    pub packets: u64,
    /// Octets.
    pub bytes: u64,
    /// Packets and octets by band.
    pub bands: Vec<(u64, u64)>,
}

/// An OpenFlow meter; shown in the view for whoever goes on from there.
pub(super) type Meter = Arc<MeterView>;

fn is_virtual(id: u32) -> bool {
    matches!(id, METER_SLOWPATH | METER_CONTROLLER)
}

/// Whether a meter may have this number.
fn is_valid(id: u32) -> bool {
    (1..=METER_MAX).contains(&id) || is_virtual(id)
}

/// What a datapath asks of a meter.
fn check(config: &MeterConfig) -> Result<(), ErrorCode> {
    let rate_flags = config.flags & (meter_flag::KBPS | meter_flag::PKTPS);
    let known = meter_flag::KBPS | meter_flag::PKTPS | meter_flag::BURST | meter_flag::STATS;
    if rate_flags == 0 || config.flags & !known != 0 {
        return Err(ErrorCode::OFPMMFC_BAD_FLAGS);
    }
    if config.bands.is_empty() {
        return Err(ErrorCode::OFPMMFC_OUT_OF_BANDS);
    }
    if config.bands.iter().any(|b| b.rate == 0) {
        return Err(ErrorCode::OFPMMFC_BAD_RATE);
    }
    if config.bands.iter().any(|b| b.kind != BandType::Drop) {
        return Err(ErrorCode::OFPMMFC_BAD_BAND);
    }
    Ok(())
}

pub(super) fn for_datapath(config: &MeterConfig) -> DatapathMeter {
    let pktps = config.flags & meter_flag::PKTPS != 0;
    let band = |b: &openflow::message::meter::MeterBand| DatapathBand {
        rate: b.rate,
        burst: b.burst_size,
        prec_level: (b.kind == BandType::DscpRemark).then_some(b.prec_level),
    };
    DatapathMeter { pktps, bands: config.bands.iter().map(band).collect() }
}

impl Bridge {
    pub(super) fn meter_mod(&mut self, conn: ConnId, request: &Incoming, wanted: &MeterMod) -> Result<(), ErrorCode> {
        let mut gone = Vec::new();
        let mut wanted = wanted.clone();
        for band in wanted.meter.bands.iter_mut().filter(|b| b.burst_size == 0) {
            // Without a burst of its own a band lets one second's worth through at once.
            band.burst_size = band.rate;
        }
        match wanted.command {
            MeterCommand::Add | MeterCommand::Modify => self.set_meter(&wanted)?,
            MeterCommand::Delete => gone = self.delete_meters(wanted.meter.meter_id),
        }
        let told = Message::MeterMod(wanted);
        self.forward_request(conn, request.xid, 1, |version| (version >= Version::V13).then_some(&told));
        let mut changes = Changes::new(conn);
        changes.request(request.into());
        for table in self.table_ids() {
            for id in &gone {
                changes.push(table, Change::MeterGone(*id));
            }
        }
        self.run_changes(changes);
        Ok(())
    }

    fn set_meter(&mut self, wanted: &MeterMod) -> Result<(), ErrorCode> {
        let id = wanted.meter.meter_id;
        let old = self.meters.get(&id);
        match (wanted.command, old) {
            _ if !is_valid(id) => return Err(ErrorCode::OFPMMFC_INVALID_METER),
            _ if wanted.meter.bands.len() > MAX_BANDS => return Err(ErrorCode::OFPMMFC_OUT_OF_BANDS),
            (MeterCommand::Add, Some(_)) => return Err(ErrorCode::OFPMMFC_METER_EXISTS),
            (MeterCommand::Modify, None) => return Err(ErrorCode::OFPMMFC_UNKNOWN_METER),
            _ => check(&wanted.meter)?,
        }
        let (dp_id, created_ms) = match old.map(|old| (old.dp_id, old.created_ms)) {
            Some(old) => old,
            None => (self.meter_numbers.take().ok_or(ErrorCode::OFPMMFC_OUT_OF_METERS)?, self.now_ms),
        };
        self.put(Output::SetMeter { id: dp_id, config: Some(for_datapath(&wanted.meter)) });
        self.keep_meter(id, Arc::new(MeterView { config: wanted.meter.clone(), created_ms, dp_id }));
        self.publish_meters();
        Ok(())
    }

    /// Takes a meter in, or what it has become. Meters are listed as a hash table of their numbers has them.
    pub(super) fn keep_meter(&mut self, id: u32, meter: Meter) {
        if Arc::make_mut(&mut self.meters).insert(id, meter).is_none() {
            self.meter_order.insert(hash::two_words(id, 0), id);
        }
    }

    pub(super) fn delete_meters(&mut self, id: u32) -> Vec<u32> {
        let gone: Vec<u32> = match id {
            METER_ALL => self.meters.keys().copied().collect(),
            id => self.meters.contains_key(&id).then_some(id).into_iter().collect(),
        };
        for id in &gone {
            if let Some(meter) = Arc::make_mut(&mut self.meters).remove(id) {
                self.meter_order.remove_hashed(hash::two_words(*id, 0), *id);
                self.meter_numbers.give(meter.dp_id);
                self.put(Output::SetMeter { id: meter.dp_id, config: None });
            }
        }
        self.publish_meters();
        gone
    }

    pub(super) fn publish_meters(&mut self) {
        self.view.meters = Arc::clone(&self.meters);
        self.view.controller_meter = self.meters.get(&METER_CONTROLLER).map(|m| m.dp_id);
        self.view.slowpath_meter = self.meters.get(&METER_SLOWPATH).map(|m| m.dp_id);
        self.dirty = true;
    }

    /// Meters that a request asks for.
    fn meters_asked(&self, id: u32) -> Result<Vec<&Meter>, ErrorCode> {
        match id {
            METER_ALL => Ok(self.meter_order.iter().filter_map(|id| self.meters.get(&id)).collect()),
            id => Ok(vec![self.meters.get(&id).ok_or(ErrorCode::OFPMMFC_UNKNOWN_METER)?]),
        }
    }

    pub(super) fn meter_configs(&self, id: u32) -> Result<Vec<MeterConfig>, ErrorCode> {
        Ok(self.meters_asked(id)?.into_iter().map(|m| m.config.clone()).collect())
    }

    /// Datapath meters whose counters a request needs.
    pub(super) fn meter_ids(&self, id: u32) -> Result<Vec<u32>, ErrorCode> {
        Ok(self.meters_asked(id)?.into_iter().map(|m| m.dp_id).collect())
    }

    pub(super) fn meter_stats(&self, id: u32, answers: &[Answer]) -> Vec<MeterStats> {
        let mut uses: std::collections::BTreeMap<u32, u32> = std::collections::BTreeMap::new();
        for rule in self.view.tables.iter().flatten().flat_map(|t| t.rules.iter()) {
            if let Some(meter) = action::meter(&rule.actions) {
                *uses.entry(meter).or_default() += 1;
            }
        }
        let counted = answers.iter().filter_map(|a| if let Answer::Meters(m) = a { Some(m) } else { None }).flatten();
        let counted: std::collections::BTreeMap<u32, &DatapathMeterStats> = counted.map(|m| (m.id, m)).collect();
        let none = DatapathMeterStats::default();
        let one = |meter: &Meter| {
            let stats = counted.get(&meter.dp_id).copied().unwrap_or(&none);
            let age_ms = u64::try_from(self.now_ms - meter.created_ms).unwrap_or(0);
            let band = |i: usize| stats.bands.get(i).copied().unwrap_or((0, 0));
            MeterStats {
                meter_id: meter.config.meter_id,
                flow_count: uses.get(&meter.config.meter_id).copied().unwrap_or(0),
                packet_in_count: stats.packets,
                byte_in_count: stats.bytes,
                duration_sec: u32::try_from(age_ms / 1000).unwrap_or(u32::MAX),
                duration_nsec: (age_ms % 1000) as u32 * 1_000_000,
                bands: (0..meter.config.bands.len())
                    .map(|i| BandStats { packet_count: band(i).0, byte_count: band(i).1 })
                    .collect(),
            }
        };
        self.meters_asked(id).unwrap_or_default().into_iter().map(one).collect()
    }

    pub(super) fn meter_features() -> MeterFeatures {
        MeterFeatures {
            max_meters: MAX_METERS,
            band_types: 1 << BandType::Drop as u32,
            capabilities: u32::from(meter_flag::KBPS | meter_flag::PKTPS | meter_flag::BURST | meter_flag::STATS),
            max_bands: MAX_BANDS as u8,
            max_color: 0,
        }
    }
}
