//! How often packets come: often enough that whoever waits for one waits for a processor to wake most of the time, and not
//! so often, nor so large, that processors find no sleep anyway, or nobody waits.
//!
//! Pure: the time and counts of packets and octets go in, from look to look.

/// Between two looks at least, ms.
const LOOK_MS: u64 = 100;
/// And at the most, while packets come often. What the kernel forwards is counted every 200 ms, which is to come before.
const LATEST_MS: u64 = 250;
/// Packets a second from which on they come often, and below which no longer.
const OFTEN_PPS: u64 = 5_000;
const SELDOM_PPS: u64 = 2_500;
/// From so many on they keep their processors awake by themselves, and below so many no longer.
const FLOOD_PPS: u64 = 200_000;
const EBB_PPS: u64 = 150_000;
/// Octets that they have at the most, on average, where somebody waits for each: larger ones are a transfer's, cut by nobody yet.
const BULK: u64 = 4_096;

/// How often the packets of one thread come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    looked_ms: u64,
    /// How many had come by then, and their octets.
    before: (u64, u64),
    is_brisk: bool,
}

impl Pace {
    /// Whether a look would tell anything.
    #[inline]
    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.looked_ms) >= LOOK_MS
    }

    /// Whether it is to wait for nothing any more.
    pub(crate) fn is_overdue(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.looked_ms) >= LATEST_MS
    }

    /// When the next look is due at the latest, ms: none while there is nothing to find out.
    pub(crate) fn look_ms(&self) -> Option<u64> {
        self.is_brisk.then_some(self.looked_ms + LATEST_MS)
    }

    /// Whether packets come often.
    #[inline]
    pub(crate) fn is_brisk(&self) -> bool {
        self.is_brisk
    }

    /// So many packets are to be left out, and octets.
    pub(crate) fn leave_out(&mut self, (packets, octets): (u64, u64)) {
        self.before.0 += packets;
        self.before.1 += octets;
    }

    /// So many packets have come by now, in all, and octets.
    pub(crate) fn look(&mut self, now_ms: u64, counted: (u64, u64)) {
        let passed_ms = now_ms.saturating_sub(self.looked_ms);
        if passed_ms == 0 {
            return;
        }
        let (packets, octets) = (counted.0.saturating_sub(self.before.0), counted.1.saturating_sub(self.before.1));
        let pps = packets.saturating_mul(1000) / passed_ms;
        let is_bulk = octets > packets.saturating_mul(BULK);
        let enough = if self.is_brisk { SELDOM_PPS..FLOOD_PPS } else { OFTEN_PPS..EBB_PPS };
        *self = Self { looked_ms: now_ms, before: counted, is_brisk: enough.contains(&pps) && !is_bulk };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_often_from_a_rate_on_and_up_to_one() {
        // Rates, one look after the other, and whether packets come often then.
        for steps in [
            &[(4_990, false), (5_000, true), (2_500, true), (2_490, false), (4_990, false), (5_000, true), (0, false)]
                [..],
            &[(149_990, true), (199_990, true), (200_000, false), (150_000, false), (149_990, true)],
            &[(1_000_000, false), (100_000, true), (1_000_000, false), (3_000, false)],
        ] {
            let (mut pace, mut now_ms, mut packets) = (Pace::default(), 5_000, 77);
            pace.look(now_ms, (packets, 60 * packets));
            for &(pps, is_brisk) in steps {
                (now_ms, packets) = (now_ms + 100, packets + pps / 10);
                pace.look(now_ms, (packets, 60 * packets));
                assert_eq!(pace.is_brisk(), is_brisk, "{pps} of {steps:?}");
                assert_eq!(pace.look_ms(), is_brisk.then_some(now_ms + 250));
            }
        }
    }

    #[test]
    fn a_look_takes_some_time() {
        let mut pace = Pace::default();
        pace.look(5_000, (0, 0));
        for (now_ms, is_due, is_overdue) in
            [(4_000, false, false), (5_099, false, false), (5_100, true, false), (5_250, true, true)]
        {
            assert_eq!((pace.is_due(now_ms), pace.is_overdue(now_ms)), (is_due, is_overdue), "{now_ms}");
        }
        // A burst after a pause is as much as it is on average.
        pace.look(6_000, (4_000, 0));
        assert!(!pace.is_brisk());
        pace.look(6_000, (9_000, 0));
        assert!(!pace.is_brisk(), "no time has passed");
        pace.look(6_200, (5_000, 0));
        assert!(pace.is_brisk());
        pace.look(6_400, (100, 0));
        assert!(!pace.is_brisk(), "who begins to count anew has none");
        pace.leave_out((1_000, 0));
        pace.look(6_500, (1_100, 0));
        assert!(!pace.is_brisk(), "those that another counted");
    }

    #[test]
    fn a_transfer_waits_for_nothing() {
        let mut pace = Pace::default();
        pace.look(5_000, (0, 0));
        pace.leave_out((70, 1 << 40));
        let (mut now_ms, mut packets, mut octets) = (5_000, 70, 1 << 40);
        for (size, is_brisk) in [(60, true), (4_096, true), (4_097, false), (60_000, false), (1_500, true)] {
            (now_ms, packets, octets) = (now_ms + 100, packets + 1_000, octets + 1_000 * size);
            pace.look(now_ms, (packets, octets));
            assert_eq!(pace.is_brisk(), is_brisk, "{size}");
        }
    }
}
