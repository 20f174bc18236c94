//! Floods of small frames. The kernel forwards them where they are sent, one processor's work after the other; by a ring,
//! two processors share it, and more pass. So where the machine has a processor to spare, such a port's packets get no
//! entries, and those they have go; as soon as the thread cannot keep up with its rings, the kernel has them all again.

use std::collections::BTreeMap;

use flow::OdpPort;

/// A port brings a flood at so many frames a second, and does no longer at half of that.
const MANY_PPS: u64 = 200_000;
/// Frames are small up to so many octets, on average.
const SMALL: u64 = 256;
/// How long is counted, ms.
const LOOK_MS: u64 = 50;
/// How long the rings may never be empty, ms: then the thread cannot keep up with them.
const FULL_MS: u64 = 30;
/// How long the kernel then has all, ms: the first time, and at most.
const REST_MS: u64 = 2_000;
const MOST_REST_MS: u64 = 64_000;
/// A second look is no sequel of a first that was so long ago, ms.
const STALE_MS: u64 = 4 * LOOK_MS;

/// What a port brought since the last look.
#[derive(Clone, Copy, Debug, Default)]
struct Brought {
    packets: u64,
    octets: u64,
}

/// A flood that the ring has.
#[derive(Clone, Copy, Debug, Default)]
struct ByRing {
    /// Packets since the last look, as far as entries were thought of.
    packets: u64,
    /// When the ring was empty last, ms.
    empty_ms: u64,
}

/// Which ports bring floods that rings have.
#[derive(Debug, Default)]
pub(super) struct Floods {
    /// By ports whose packets the kernel has.
    below: BTreeMap<OdpPort, Brought>,
    /// By ports whose floods the rings have.
    by_ring: BTreeMap<OdpPort, ByRing>,
    looked_ms: u64,
    /// When the next look is due.
    look_ms: Option<u64>,
    /// The last look found a flood, but did not know whether a processor was free.
    is_measuring: bool,
    /// Until when the kernel has all.
    rest_until_ms: u64,
    rest_ms: u64,
}

impl Floods {
    /// The kernel forwarded so much of what a port brought.
    pub(super) fn forwarded(&mut self, port: OdpPort, packets: u64, octets: u64) {
        let brought = self.below.entry(port).or_default();
        brought.packets += packets;
        brought.octets += octets;
    }

    /// An entry was made: soon it shows what it is for.
    pub(super) fn entry_made(&mut self, now_ms: u64) {
        if self.look_ms.is_none() {
            self.begin(now_ms);
        }
    }

    fn begin(&mut self, now_ms: u64) {
        self.below.clear();
        self.by_ring.values_mut().for_each(|flood| flood.packets = 0);
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

    /// Whether a port's packets stay with the ring; `packets` like this one have come.
    pub(super) fn keeps(&mut self, port: OdpPort, packets: u64) -> bool {
        self.by_ring.get_mut(&port).map(|flood| flood.packets += packets).is_some()
    }

    /// A port's ring was read, which is empty now or is not. Where the thread cannot keep up with a flood, the kernel has
    /// all from here on.
    pub(super) fn ring_read(&mut self, port: OdpPort, is_empty: bool, now_ms: u64) {
        let Some(flood) = self.by_ring.get_mut(&port) else { return };
        if is_empty {
            flood.empty_ms = now_ms;
        } else if now_ms >= flood.empty_ms + FULL_MS {
            self.by_ring.clear();
            self.rest_ms = (2 * self.rest_ms).clamp(REST_MS, MOST_REST_MS);
            self.rest_until_ms = now_ms + self.rest_ms;
        }
    }

    /// The look that is due, after what the kernel forwarded was told: answers the ports whose entries are to go.
    /// `has_spare` says whether a processor had little to do since it was asked last, if that is known.
    pub(super) fn look(&mut self, now_ms: u64, has_spare: impl FnOnce() -> Option<bool>) -> Vec<OdpPort> {
        let passed_ms = now_ms.saturating_sub(self.looked_ms).max(1);
        let is_many = |packets: u64, pps: u64| packets * 1000 >= pps * passed_ms;
        let is_flood = |b: &Brought| is_many(b.packets, MANY_PPS) && b.octets <= b.packets * SMALL;
        let has_traffic = self.below.values().any(|b| is_many(b.packets, MANY_PPS / 8));
        let floods: Vec<OdpPort> = self.below.iter().filter(|(_, b)| is_flood(b)).map(|(port, _)| *port).collect();
        self.by_ring.retain(|_, flood| is_many(flood.packets, MANY_PPS / 2));
        let mut gone = Vec::new();
        let was_measuring = std::mem::take(&mut self.is_measuring) && passed_ms < STALE_MS;
        if !floods.is_empty() && now_ms >= self.rest_until_ms {
            match has_spare() {
                Some(true) if was_measuring => {
                    self.by_ring.extend(floods.iter().map(|port| (*port, ByRing { packets: 0, empty_ms: now_ms })));
                    gone = floods;
                }
                _ => self.is_measuring = true,
            }
        }
        self.begin(now_ms);
        // Where little passes the usual round is soon enough.
        if !has_traffic && self.by_ring.is_empty() {
            self.look_ms = None;
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port brings so many packets of so many octets by the kernel in the time of a look, which is then due.
    fn look(floods: &mut Floods, now_ms: &mut u64, packets: u64, octets: u64, has_spare: Option<bool>) -> Vec<OdpPort> {
        floods.forwarded(1, packets, packets * octets);
        *now_ms += LOOK_MS;
        assert_eq!(floods.look_ms(), Some(*now_ms));
        floods.look(*now_ms, || has_spare)
    }

    fn begun() -> (Floods, u64) {
        let mut floods = Floods::default();
        floods.entry_made(1_000_000);
        (floods, 1_000_000)
    }

    /// One whose flood the ring has.
    fn flooded() -> (Floods, u64) {
        let (mut floods, mut now_ms) = begun();
        assert!(look(&mut floods, &mut now_ms, 20_000, 60, None).is_empty());
        assert_eq!(look(&mut floods, &mut now_ms, 20_000, 60, Some(true)), [1]);
        assert!(floods.keeps(1, 64) && !floods.keeps(2, 64));
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
                assert!(look(&mut floods, &mut now_ms, packets, octets, has_spare).is_empty(), "{what}");
                assert!(!floods.keeps(1, 64), "{what}");
            }
        }
    }

    #[test]
    fn a_look_by_itself_says_nothing() {
        let (mut floods, mut now_ms) = begun();
        assert!(look(&mut floods, &mut now_ms, 20_000, 60, Some(true)).is_empty(), "idle since when?");
        assert!(look(&mut floods, &mut now_ms, 0, 0, Some(true)).is_empty());
        assert_eq!(floods.look_ms(), None, "nothing to look at");
        floods.entry_made(now_ms + 1000);
        assert_eq!(floods.look_ms(), Some(now_ms + 1000 + LOOK_MS));
    }

    #[test]
    fn a_flood_that_ends_has_entries_again() {
        let (mut floods, mut now_ms) = flooded();
        for packets in [10_000, 6_000, 4_000] {
            assert!(floods.keeps(1, packets), "{packets}");
            assert!(look(&mut floods, &mut now_ms, 0, 0, None).is_empty());
        }
        assert!(!floods.keeps(1, 64));
    }

    #[test]
    fn a_thread_that_cannot_keep_up_is_relieved() {
        let (mut floods, mut now_ms) = flooded();
        floods.ring_read(1, false, now_ms + FULL_MS - 1);
        floods.ring_read(2, false, now_ms + FULL_MS);
        floods.ring_read(1, true, now_ms + FULL_MS);
        floods.ring_read(1, false, now_ms + 2 * FULL_MS - 1);
        assert!(floods.keeps(1, 10_000), "it was empty just now");
        floods.ring_read(1, false, now_ms + 2 * FULL_MS);
        assert!(!floods.keeps(1, 64));
        let rest_until_ms = now_ms + 2 * FULL_MS + REST_MS;
        while now_ms + LOOK_MS < rest_until_ms {
            assert!(look(&mut floods, &mut now_ms, 20_000, 60, Some(true)).is_empty());
        }
        assert!(look(&mut floods, &mut now_ms, 20_000, 60, Some(true)).is_empty(), "measures first");
        assert_eq!(look(&mut floods, &mut now_ms, 20_000, 60, Some(true)), [1]);
        // The next time it takes longer.
        floods.ring_read(1, false, now_ms + FULL_MS);
        assert_eq!(floods.rest_until_ms, now_ms + FULL_MS + 2 * REST_MS);
    }
}
