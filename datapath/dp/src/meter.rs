//! Meters: rate limits that flows share (OpenFlow 1.3, 5.7).
//!
//! Each band has a token bucket, filled at its rate up to its burst size. Of the bands a packet exceeds, the one with
//! the highest rate acts on it. A band without burst size gets that of one second.

/// What a band does to what exceeds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BandKind {
    /// Drops it.
    Drop,
    /// Raises its drop precedence by so many levels.
    DscpRemark {
        /// Levels.
        prec_level: u8,
    },
}

/// A band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// What it does.
    pub kind: BandKind,
    /// kbit/s, or packets/s.
    pub rate: u32,
    /// kbit, or packets; 0: one second at its rate.
    pub burst_size: u32,
}

/// A meter as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterConfig {
    /// Rates count packets, not bits.
    pub pktps: bool,
    /// At most a few.
    pub bands: Vec<Band>,
}

/// Counters of a meter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterStats {
    /// Packets that came to it.
    pub packets: u64,
    /// Their octets.
    pub bytes: u64,
    /// Packets and octets each band acted on.
    pub bands: Vec<(u64, u64)>,
}

/// What a meter wants done to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Drop,
    Remark(u8),
}

/// A meter at work.
#[derive(Clone, Debug)]
pub struct Meter {
    config: MeterConfig,
    stats: MeterStats,
    /// Fill of each band's bucket: bits, or thousandths of a packet.
    buckets: Vec<u64>,
    filled_ms: u64,
}

impl Meter {
    /// A meter with full buckets.
    pub fn new(mut config: MeterConfig, now_ms: u64) -> Self {
        for band in &mut config.bands {
            if band.burst_size == 0 {
                band.burst_size = band.rate;
            }
        }
        let buckets = config.bands.iter().map(Self::size).collect();
        let stats = MeterStats { bands: vec![(0, 0); config.bands.len()], ..MeterStats::default() };
        Self { config, stats, buckets, filled_ms: now_ms }
    }

    fn size(band: &Band) -> u64 {
        u64::from(band.burst_size) * 1000
    }

    /// Its counters.
    pub fn stats(&self) -> &MeterStats {
        &self.stats
    }

    /// As configured, burst sizes filled in.
    pub fn config(&self) -> &MeterConfig {
        &self.config
    }

    fn fill(&mut self, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.filled_ms);
        if passed == 0 {
            return;
        }
        self.filled_ms = now_ms;
        for (bucket, band) in self.buckets.iter_mut().zip(&self.config.bands) {
            // rate kbit/s is rate bits a millisecond; rate packets/s is rate thousandths a millisecond.
            *bucket = bucket.saturating_add(passed.saturating_mul(band.rate.into())).min(Self::size(band));
        }
    }

    /// Counts a packet, and decides.
    pub(crate) fn run(&mut self, bytes: usize, now_ms: u64) -> Verdict {
        self.fill(now_ms);
        self.stats.packets += 1;
        self.stats.bytes += bytes as u64;
        let volume = if self.config.pktps { 1000 } else { bytes as u64 * 8 };
        let mut exceeded: Option<usize> = None;
        for (i, (bucket, band)) in self.buckets.iter_mut().zip(&self.config.bands).enumerate() {
            if *bucket >= volume {
                *bucket -= volume;
            } else if exceeded.is_none_or(|best| band.rate > self.config.bands[best].rate) {
                exceeded = Some(i);
            }
        }
        let Some(i) = exceeded else { return Verdict::Pass };
        self.stats.bands[i].0 += 1;
        self.stats.bands[i].1 += bytes as u64;
        match self.config.bands[i].kind {
            BandKind::Drop => Verdict::Drop,
            BandKind::DscpRemark { prec_level } => Verdict::Remark(prec_level),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(pktps: bool, bands: &[(BandKind, u32, u32)]) -> Meter {
        let bands =
            bands.iter().map(|(kind, rate, burst_size)| Band { kind: *kind, rate: *rate, burst_size: *burst_size });
        Meter::new(MeterConfig { pktps, bands: bands.collect() }, 1000)
    }

    fn passed(meter: &mut Meter, n: usize, bytes: usize, now_ms: u64) -> usize {
        (0..n).filter(|_| meter.run(bytes, now_ms) == Verdict::Pass).count()
    }

    #[test]
    fn packets_pass_up_to_the_burst_then_at_the_rate() {
        let mut m = meter(true, &[(BandKind::Drop, 100, 20)]);
        assert_eq!(passed(&mut m, 50, 60, 1000), 20);
        assert_eq!(passed(&mut m, 50, 60, 1100), 10);
        assert_eq!(passed(&mut m, 50, 60, 5000), 20, "no more than the bucket holds");
        assert_eq!(m.stats().bands, [(100, 6000)]);
        assert_eq!((m.stats().packets, m.stats().bytes), (150, 9000));
    }

    #[test]
    fn bits_are_counted_by_length() {
        let mut m = meter(false, &[(BandKind::Drop, 8, 0)]);
        assert_eq!(passed(&mut m, 20, 100, 1000), 10, "8 kbit are 1000 octets");
        assert_eq!(passed(&mut m, 20, 100, 1500), 5);
    }

    #[test]
    fn the_highest_band_exceeded_acts() {
        let mut m = meter(true, &[(BandKind::Drop, 5, 5), (BandKind::DscpRemark { prec_level: 1 }, 2, 2)]);
        let verdicts: Vec<_> = (0..6).map(|_| m.run(60, 1000)).collect();
        assert_eq!(verdicts[..2], [Verdict::Pass; 2]);
        assert_eq!(verdicts[2..5], [Verdict::Remark(1); 3]);
        assert_eq!(verdicts[5], Verdict::Drop);
    }
}
