//! Floods of small frames. The kernel forwards them where they are sent, one processor's work after the other; by a ring,
//! two processors share it, and more may pass. So where the machine has a processor to spare, such a port's packets get no
//! entries, and those they have go. If no more pass by the ring than did before, the kernel has them again for a while.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use flow::OdpPort;

/// A port brings a flood at so many frames a second, and does no longer at half of that.
const MANY_PPS: u64 = 200_000;
/// Frames are small up to so many octets, on average.
const SMALL: u64 = 256;
/// How long is counted, ms: where much passes, and otherwise as long as there are entries by which it might.
const LOOK_MS: u64 = 50;
const SLOW_LOOK_MS: u64 = 200;
/// The look by which a ring is judged: in the first the port has just come to it.
const JUDGED_BY: u8 = 2;
/// Percent of what there was before that have to come by the ring in that look, and in all that follow.
const WORTH: u64 = 105;
const STILL_WORTH: u64 = 80;
/// How long the kernel keeps what was not worth it, ms: the first time, and at most.
const REST_MS: u64 = 2_000;
const MOST_REST_MS: u64 = 64_000;
/// A second look is no sequel of a first that was so long ago, ms.
const STALE_MS: u64 = 4 * LOOK_MS;

/// What a port brought since the last look.
#[derive(Clone, Copy, Debug, Default)]
struct Brought {
    by_kernel: u64,
    by_ring: u64,
    octets: u64,
}

impl Brought {
    fn packets(&self) -> u64 {
        self.by_kernel + self.by_ring
    }
}

/// A flood that the ring has.
#[derive(Clone, Copy, Debug, Default)]
struct ByRing {
    /// What came of it when the kernel had its part, frames a second.
    before_pps: u64,
    looks: u8,
}

/// Which ports bring floods that rings have.
#[derive(Debug, Default)]
pub(super) struct Floods {
    /// By ports.
    brought: BTreeMap<OdpPort, Brought>,
    /// By ports whose floods the rings have.
    by_ring: BTreeMap<OdpPort, ByRing>,
    looked_ms: u64,
    /// When the next look is due.
    look_ms: Option<u64>,
    /// The last look found a flood, so that the next knows whether a processor is free beside it.
    is_measuring: bool,
    /// Until when the kernel has all.
    rest_until_ms: u64,
    rest_ms: u64,
}

impl Floods {
    /// The kernel forwarded so much of what a port brought.
    pub(super) fn forwarded(&mut self, port: OdpPort, packets: u64, octets: u64) {
        let brought = self.brought.entry(port).or_default();
        brought.by_kernel += packets;
        brought.octets += octets;
    }

    /// An entry was made: soon it shows what it is for.
    pub(super) fn entry_made(&mut self, now_ms: u64) {
        if self.look_ms.is_none() {
            self.begin(now_ms);
        }
        self.look_ms = self.look_ms.min(Some(now_ms + LOOK_MS));
    }

    fn begin(&mut self, now_ms: u64) {
        self.brought.clear();
        (self.looked_ms, self.look_ms) = (now_ms, Some(now_ms + LOOK_MS));
    }

    /// When the next look is due, ms.
    pub(super) fn look_ms(&self) -> Option<u64> {
        self.look_ms
    }

    /// How many ports' floods the rings have.
    pub(super) fn by_ring(&self) -> usize {
        self.by_ring.len()
    }

    /// Whether a port's packets stay with the ring.
    pub(super) fn keeps(&self, port: OdpPort) -> bool {
        self.by_ring.contains_key(&port)
    }

    /// So much was read from a port's ring.
    #[inline]
    pub(super) fn ring_read(&mut self, port: OdpPort, packets: u64, octets: u64) {
        if self.look_ms.is_some() {
            let brought = self.brought.entry(port).or_default();
            brought.by_ring += packets;
            brought.octets += octets;
        }
    }

    /// The look that is due, after what the kernel forwarded was told: answers the ports whose entries are to go.
    /// `has_spare` says whether a processor had little to do since it was asked last, if that is known.
    pub(super) fn look(
        &mut self,
        now_ms: u64,
        has_entries: bool,
        has_spare: impl FnOnce() -> Option<bool>,
    ) -> Vec<OdpPort> {
        let passed_ms = now_ms.saturating_sub(self.looked_ms).max(1);
        let pps = |packets: u64| packets * 1000 / passed_ms;
        // Those that the kernel has no part of are as they may be.
        let shared =
            || self.brought.iter().filter(|(_, b)| b.by_kernel > 0).map(|(port, b)| (*port, b, pps(b.packets())));
        let has_traffic = shared().any(|(_, _, pps)| pps >= MANY_PPS / 2);
        let floods = shared().filter(|(_, b, pps)| *pps >= MANY_PPS && b.octets <= b.packets() * SMALL);
        let floods: Vec<(OdpPort, u64)> = floods.map(|(port, _, pps)| (port, pps)).collect();
        let brought = &self.brought;
        let mut is_vain = false;
        self.by_ring.retain(|port, flood| {
            flood.looks = flood.looks.saturating_add(1);
            let now_pps = brought.get(port).map_or(0, |b| pps(b.packets()));
            let percent = now_pps * 100 / flood.before_pps.max(1);
            is_vain |= flood.looks == JUDGED_BY && percent < WORTH;
            now_pps >= MANY_PPS / 2
                && match flood.looks.cmp(&JUDGED_BY) {
                    Ordering::Less => true,
                    Ordering::Equal => percent >= WORTH,
                    Ordering::Greater => percent >= STILL_WORTH,
                }
        });
        if is_vain {
            self.rest_ms = (2 * self.rest_ms).clamp(REST_MS, MOST_REST_MS);
            self.rest_until_ms = now_ms + self.rest_ms;
        }
        let mut gone = Vec::new();
        let was_measuring = std::mem::take(&mut self.is_measuring) && passed_ms < STALE_MS;
        if !floods.is_empty() && now_ms >= self.rest_until_ms {
            match has_spare() {
                Some(true) if was_measuring => {
                    let by_ring = |before_pps| ByRing { before_pps, looks: 0 };
                    self.by_ring.extend(floods.iter().map(|(port, before_pps)| (*port, by_ring(*before_pps))));
                    gone.extend(floods.iter().map(|(port, _)| *port));
                }
                _ => self.is_measuring = true,
            }
        }
        self.begin(now_ms);
        if !has_traffic && self.by_ring.is_empty() {
            self.look_ms = has_entries.then_some(now_ms + SLOW_LOOK_MS);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port brings so many packets of so many octets by the kernel, and so many by its ring, in the time of a look, which
    /// is then due.
    fn look(
        floods: &mut Floods,
        now_ms: &mut u64,
        (packets, octets): (u64, u64),
        by_ring: u64,
        has_spare: Option<bool>,
    ) -> Vec<OdpPort> {
        floods.forwarded(1, packets, packets * octets);
        floods.ring_read(1, by_ring, 60 * by_ring);
        *now_ms += LOOK_MS;
        assert_eq!(floods.look_ms(), Some(*now_ms));
        floods.look(*now_ms, false, || has_spare)
    }

    fn begun() -> (Floods, u64) {
        let mut floods = Floods::default();
        floods.entry_made(1_000_000);
        (floods, 1_000_000)
    }

    /// One whose flood, of 400,000 frames a second, the ring has.
    fn flooded() -> (Floods, u64) {
        let (mut floods, mut now_ms) = begun();
        assert!(look(&mut floods, &mut now_ms, (20_000, 60), 0, None).is_empty());
        assert_eq!(look(&mut floods, &mut now_ms, (20_000, 60), 0, Some(true)), [1]);
        assert!(floods.keeps(1) && !floods.keeps(2));
        (floods, now_ms)
    }

    #[test]
    fn floods_of_small_frames_go_by_the_ring_where_a_processor_is_free() {
        flooded();
        for (what, packets, octets, has_spare) in [
            ("few", 9_000, 60, Some(true)),
            ("large", 20_000, 1500, Some(true)),
            ("nobody is free", 20_000, 60, Some(false)),
            ("who knows", 20_000, 60, None),
        ] {
            let (mut floods, mut now_ms) = begun();
            for _ in 0..4 {
                if floods.look_ms().is_none() {
                    floods.entry_made(now_ms);
                }
                assert!(look(&mut floods, &mut now_ms, (packets, octets), 0, has_spare).is_empty(), "{what}");
                assert!(!floods.keeps(1), "{what}");
            }
        }
    }

    #[test]
    fn what_the_ring_has_of_it_counts() {
        for (by_kernel, by_ring, is_flood) in [(5_000, 15_000, true), (0, 20_000, false), (5_000, 4_000, false)] {
            let (mut floods, mut now_ms) = begun();
            assert!(look(&mut floods, &mut now_ms, (by_kernel, 60), by_ring, None).is_empty());
            floods.entry_made(now_ms);
            let gone = look(&mut floods, &mut now_ms, (by_kernel, 60), by_ring, Some(true));
            assert_eq!(!gone.is_empty(), is_flood, "{by_kernel} {by_ring}");
        }
        // It is compared with all there was.
        let (mut floods, mut now_ms) = begun();
        for has_spare in [None, Some(true)] {
            look(&mut floods, &mut now_ms, (5_000, 60), 15_000, has_spare);
        }
        for by_ring in [20_000, 20_900] {
            assert!(floods.keeps(1));
            look(&mut floods, &mut now_ms, (0, 0), by_ring, None);
        }
        assert!(!floods.keeps(1));
    }

    #[test]
    fn a_look_by_itself_says_nothing() {
        let (mut floods, mut now_ms) = begun();
        assert!(look(&mut floods, &mut now_ms, (20_000, 60), 0, Some(true)).is_empty(), "idle since when?");
        assert!(look(&mut floods, &mut now_ms, (0, 0), 0, Some(true)).is_empty());
        assert_eq!(floods.look_ms(), None, "nothing to look at");
        floods.entry_made(now_ms + 1000);
        assert_eq!(floods.look_ms(), Some(now_ms + 1000 + LOOK_MS));
    }

    /// As long as there are entries a flood may come at any time.
    #[test]
    fn entries_are_looked_at_now_and_then() {
        let (mut floods, now_ms) = begun();
        for (has_entries, next) in [(true, Some(now_ms + 50 + SLOW_LOOK_MS)), (false, None)] {
            assert!(floods.look(now_ms + 50, has_entries, || None).is_empty());
            assert_eq!(floods.look_ms(), next);
        }
        floods.look(now_ms + 100, true, || None);
        floods.entry_made(now_ms + 110);
        assert_eq!(floods.look_ms(), Some(now_ms + 160), "one more is worth a look");
        floods.entry_made(now_ms + 120);
        assert_eq!(floods.look_ms(), Some(now_ms + 160), "how many ever there are");
    }

    #[test]
    fn a_ring_is_judged_by_what_passes() {
        // What comes by the ring, and whether it has the flood then.
        for (looks, keeps) in [
            (&[(22_000, true), (22_000, true), (17_000, true), (15_000, false)][..], "it lasts"),
            (&[(9_000, true), (21_000, true), (21_000, true)], "it begins slowly"),
            (&[(22_000, true), (20_900, false)], "no more than before"),
            (&[(22_000, true), (22_000, true), (4_900, false)], "it is over"),
            (&[(4_900, false)], "it is over at once"),
        ] {
            let (mut floods, mut now_ms) = flooded();
            for (by_ring, has) in looks {
                assert!(look(&mut floods, &mut now_ms, (0, 0), *by_ring, None).is_empty());
                assert_eq!(floods.keeps(1), *has, "{keeps}: {by_ring}");
            }
        }
    }

    #[test]
    fn what_was_not_worth_it_is_not_tried_again_soon() {
        let (mut floods, mut now_ms) = flooded();
        for n in 1..=2 {
            for by_ring in [20_000, 20_000] {
                assert!(look(&mut floods, &mut now_ms, (0, 0), by_ring, None).is_empty());
            }
            floods.entry_made(now_ms);
            assert_eq!((floods.keeps(1), floods.rest_until_ms), (false, now_ms + n * REST_MS));
            while now_ms + LOOK_MS < floods.rest_until_ms {
                assert!(look(&mut floods, &mut now_ms, (20_000, 60), 0, Some(true)).is_empty());
            }
            assert!(look(&mut floods, &mut now_ms, (20_000, 60), 0, Some(true)).is_empty(), "measures first");
            assert_eq!(look(&mut floods, &mut now_ms, (20_000, 60), 0, Some(true)), [1]);
        }
    }
}
