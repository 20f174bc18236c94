//! How often packets come: often enough that whoever waits for one waits for a processor to wake most of the time, and not
//! so often that processors find no sleep anyway.
//!
//! Pure: the time and a count of packets go in, from look to look.

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

/// How often the packets of one thread come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    looked_ms: u64,
    /// How many had come by then.
    before: u64,
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

    /// So many packets are to be left out.
    pub(crate) fn leave_out(&mut self, packets: u64) {
        self.before += packets;
    }

    /// So many have come by now, in all.
    pub(crate) fn look(&mut self, now_ms: u64, packets: u64) {
        let passed_ms = now_ms.saturating_sub(self.looked_ms);
        if passed_ms == 0 {
            return;
        }
        let pps = packets.saturating_sub(self.before).saturating_mul(1000) / passed_ms;
        let enough = if self.is_brisk { SELDOM_PPS..FLOOD_PPS } else { OFTEN_PPS..EBB_PPS };
        *self = Self { looked_ms: now_ms, before: packets, is_brisk: enough.contains(&pps) };
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
            pace.look(now_ms, packets);
            for &(pps, is_brisk) in steps {
                (now_ms, packets) = (now_ms + 100, packets + pps / 10);
                pace.look(now_ms, packets);
                assert_eq!(pace.is_brisk(), is_brisk, "{pps} of {steps:?}");
                assert_eq!(pace.look_ms(), is_brisk.then_some(now_ms + 250));
            }
        }
    }

    #[test]
    fn a_look_takes_some_time() {
        let mut pace = Pace::default();
        pace.look(5_000, 0);
        for (now_ms, is_due, is_overdue) in
            [(4_000, false, false), (5_099, false, false), (5_100, true, false), (5_250, true, true)]
        {
            assert_eq!((pace.is_due(now_ms), pace.is_overdue(now_ms)), (is_due, is_overdue), "{now_ms}");
        }
        // A burst after a pause is as much as it is on average.
        pace.look(6_000, 4_000);
        assert!(!pace.is_brisk());
        pace.look(6_000, 9_000);
        assert!(!pace.is_brisk(), "no time has passed");
        pace.look(6_200, 5_000);
        assert!(pace.is_brisk());
        pace.look(6_400, 100);
        assert!(!pace.is_brisk(), "who begins to count anew has none");
        pace.leave_out(1_000);
        pace.look(6_500, 1_100);
        assert!(!pace.is_brisk(), "those that another counted");
    }
}
