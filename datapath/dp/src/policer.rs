//! Policing what comes in by a port: two token buckets, of bits and of packets (`ingress_policing_*` of
//! ovs-vswitchd.conf.db(5)). What exceeds either is dropped before it is looked at. No shaping, nothing waits.

use crate::meter::{Band, BandKind, Meter, MeterConfig, Verdict};

/// Burst of bits where none is given, kilobits.
const BURST_KB: u32 = 8_000;
/// Burst of packets where none is given, thousands.
const BURST_KPKTS: u32 = 16;

/// What a port may bring in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicerConfig {
    /// kbit/s; 0 for no limit.
    pub rate_kbps: u32,
    /// kbit; 0 for the default of 8000.
    pub burst_kb: u32,
    /// Thousand packets/s; 0 for no limit.
    pub rate_kpps: u32,
    /// Thousand packets; 0 for the default of 16.
    pub burst_kpkts: u32,
}

#[derive(Debug)]
pub(crate) struct Policer {
    bits: Option<Meter>,
    packets: Option<Meter>,
}

impl Policer {
    pub(crate) fn new(config: &PolicerConfig, now_ms: u64) -> Self {
        let meter = |pktps, rate: u32, burst_size: u32| {
            let band = Band { kind: BandKind::Drop, rate, burst_size };
            (rate != 0).then(|| Meter::new(MeterConfig { pktps, bands: vec![band] }, now_ms))
        };
        let or = |n: u32, default: u32| if n == 0 { default } else { n };
        Self {
            bits: meter(false, config.rate_kbps, or(config.burst_kb, BURST_KB)),
            packets: meter(
                true,
                config.rate_kpps.saturating_mul(1000),
                or(config.burst_kpkts, BURST_KPKTS).saturating_mul(1000),
            ),
        }
    }

    /// Whether a frame of so many octets may come in.
    pub(crate) fn admits(&mut self, octets: usize, now_ms: u64) -> bool {
        let pass = |meter: &mut Option<Meter>| meter.as_mut().is_none_or(|m| m.run(octets, now_ms) == Verdict::Pass);
        pass(&mut self.bits) && pass(&mut self.packets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(policer: &mut Policer, n: usize, octets: usize, now_ms: u64) -> usize {
        (0..n).filter(|_| policer.admits(octets, now_ms)).count()
    }

    #[test]
    fn bits_pass_at_the_rate_after_the_burst() {
        let config = PolicerConfig { rate_kbps: 8_000, burst_kb: 800, ..PolicerConfig::default() };
        let mut policer = Policer::new(&config, 1000);
        assert_eq!(admitted(&mut policer, 1000, 1000, 1000), 100, "800 kbit are 100 frames of 1000 octets");
        assert_eq!(admitted(&mut policer, 1000, 1000, 1050), 50, "8 Mbit/s are 1000 frames a second");
    }

    #[test]
    fn packets_are_counted_in_thousands() {
        let config = PolicerConfig { rate_kpps: 1, burst_kpkts: 1, ..PolicerConfig::default() };
        let mut policer = Policer::new(&config, 1000);
        assert_eq!(admitted(&mut policer, 5000, 60, 1000), 1000);
        assert_eq!(admitted(&mut policer, 5000, 60, 1100), 100);
    }
}
