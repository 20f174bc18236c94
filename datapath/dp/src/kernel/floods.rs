//! Floods of small frames. The kernel forwards them where they are sent, one processor's work after the other; more may pass
//! where two share it. So where the machine has a processor to spare, a port's flood is moved: to a thread of the
//! kernel's that receives what comes by the device, if there can be one and the kernel forwards most of the flood by
//! itself; or else to the ring, and then its packets get no entries, and those they have go. If no more pass than did
//! before, all is for a while as it was.

use std::collections::{BTreeMap, BTreeSet};

use flow::OdpPort;

/// A port brings a flood at so many frames a second, and does no longer at half of that.
const MANY_PPS: u64 = 200_000;
/// Frames are small up to so many octets, on average.
const SMALL: u64 = 256;
/// How long is counted, ms: where much passes, and otherwise as long as there are entries by which it might.
const LOOK_MS: u64 = 50;
const SLOW_LOOK_MS: u64 = 200;
/// Percent of what there was before that have to come in the look by which a move is judged, and in all that follow.
const WORTH: u64 = 105;
const STILL_WORTH: u64 = 80;
/// Percent of a flood that are to be the kernel's before a thread is worth while, and looks that this may take.
const MOST: u64 = 90;
const SHARE_LOOKS: u8 = 20;
/// How long all stays as it was after a move was not worth it, ms: the first time, and at most.
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

/// Who has a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// The ring; the kernel has no entries of the port's.
    Ring,
    /// The kernel, by a thread of its own.
    Thread,
}

impl To {
    /// The look by which it is judged: before, the port has just come to it. A thread is started by somebody else, and that
    /// takes a while.
    fn judged_by(self) -> u8 {
        match self {
            Self::Ring => 2,
            Self::Thread => 4,
        }
    }

    /// Looks in a row that find no flood any more, or less than is worth it, before it ends. To start and to stop a
    /// thread costs more.
    fn patience(self) -> u8 {
        match self {
            Self::Ring => 1,
            Self::Thread => 20,
        }
    }
}

/// A flood that was moved.
#[derive(Clone, Copy, Debug)]
struct Moved {
    to: To,
    /// What came of it before, frames a second.
    before_pps: u64,
    looks: u8,
    /// Looks in a row that found no flood.
    calm: u8,
    /// Looks in a row that found less of it than is worth the move.
    poor: u8,
}

/// What becomes of a moved flood.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Judgement {
    Stays,
    /// It is over.
    Over,
    /// No more pass than before.
    InVain,
}

impl Moved {
    fn new(to: To, before_pps: u64) -> Self {
        Self { to, before_pps, looks: 0, calm: 0, poor: 0 }
    }

    fn judge(&mut self, pps: u64) -> Judgement {
        self.looks = self.looks.saturating_add(1);
        let percent = pps * 100 / self.before_pps.max(1);
        let counted = |is_so: bool, n: u8| if is_so { n.saturating_add(1) } else { 0 };
        self.calm = counted(pps < MANY_PPS / 2, self.calm);
        let judged_by = self.to.judged_by();
        self.poor = counted(self.calm == 0 && self.looks > judged_by && percent < STILL_WORTH, self.poor);
        if self.calm >= self.to.patience() {
            Judgement::Over
        } else if self.calm == 0 && self.looks == judged_by && percent < WORTH {
            Judgement::InVain
        } else if self.poor >= self.to.patience() {
            Judgement::Over
        } else {
            Judgement::Stays
        }
    }
}

/// What a look changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// A port's flood is moved.
    Begins(OdpPort, To),
    /// It is not any more.
    Ends(OdpPort, To),
}

/// What a look may ask.
pub(super) trait Machine {
    /// Whether a processor had little to do since this was asked last, if that is known.
    fn has_spare(&mut self) -> Option<bool>;

    /// Whether a port's packets may be received by a thread of the kernel's.
    fn can_thread(&mut self, port: OdpPort) -> bool;
}

/// Which ports bring floods that were moved.
#[derive(Debug, Default)]
pub(super) struct Floods {
    /// By ports.
    brought: BTreeMap<OdpPort, Brought>,
    moved: BTreeMap<OdpPort, Moved>,
    /// Looks that found a flood of which the kernel has too little for a thread yet.
    growing: BTreeMap<OdpPort, u8>,
    /// Ports that a thread did not help, and whose rings are tried next.
    ring_next: BTreeSet<OdpPort>,
    looked_ms: u64,
    /// When the next look is due.
    look_ms: Option<u64>,
    /// The last look found a flood, so that the next knows whether a processor is free beside it.
    is_measuring: bool,
    /// Until when all stays as it is.
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

    /// How many ports' floods were moved so.
    pub(super) fn count(&self, to: To) -> usize {
        self.moved.values().filter(|moved| moved.to == to).count()
    }

    /// Whether a port's packets stay with the ring.
    pub(super) fn keeps(&self, port: OdpPort) -> bool {
        self.moved.get(&port).is_some_and(|moved| moved.to == To::Ring)
    }

    /// A port's packets come from elsewhere, or not at all any more: what was done to its flood, if anything.
    pub(super) fn forget(&mut self, port: OdpPort) -> Option<To> {
        self.brought.remove(&port);
        self.growing.remove(&port);
        self.ring_next.remove(&port);
        self.moved.remove(&port).map(|moved| moved.to)
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

    /// The look that is due, after what the kernel forwarded was told: answers what changes.
    pub(super) fn look(&mut self, now_ms: u64, has_entries: bool, machine: &mut impl Machine) -> Vec<Turn> {
        let passed_ms = now_ms.saturating_sub(self.looked_ms).max(1);
        let pps = |packets: u64| packets * 1000 / passed_ms;
        let brought = std::mem::take(&mut self.brought);
        let mut turns = Vec::new();
        self.moved.retain(|port, moved| {
            let judgement = moved.judge(brought.get(port).map_or(0, |b| pps(b.packets())));
            if judgement == Judgement::InVain {
                self.rest_ms = (2 * self.rest_ms).clamp(REST_MS, MOST_REST_MS);
                self.rest_until_ms = now_ms + self.rest_ms;
                match moved.to {
                    To::Thread => self.ring_next.insert(*port),
                    To::Ring => self.ring_next.remove(port),
                };
            }
            if judgement != Judgement::Stays {
                turns.push(Turn::Ends(*port, moved.to));
            }
            judgement == Judgement::Stays
        });
        // Those that the kernel has no part of are as they may be.
        let shared = || brought.iter().filter(|(_, b)| b.by_kernel > 0);
        let has_traffic = shared().any(|(_, b)| pps(b.packets()) >= MANY_PPS / 2);
        let is_flood = |b: &Brought| pps(b.packets()) >= MANY_PPS && b.octets <= b.packets() * SMALL;
        let has_just_ended = |port: &OdpPort| turns.iter().any(|turn| matches!(turn, Turn::Ends(p, _) if p == port));
        let is_new = |port: &OdpPort| !self.moved.contains_key(port) && !has_just_ended(port);
        let floods: Vec<(OdpPort, Brought)> =
            shared().filter(|(port, b)| is_flood(b) && is_new(port)).map(|(port, b)| (*port, *b)).collect();
        self.growing.retain(|port, _| floods.iter().any(|(flood, _)| flood == port));
        let was_measuring = std::mem::take(&mut self.is_measuring) && passed_ms < STALE_MS;
        if !floods.is_empty() && now_ms >= self.rest_until_ms {
            let may_move = machine.has_spare() == Some(true) && was_measuring;
            for (port, brought) in floods {
                match self.destination(port, &brought, machine).filter(|_| may_move) {
                    Some(to) => {
                        self.moved.insert(port, Moved::new(to, pps(brought.packets())));
                        turns.push(Turn::Begins(port, to));
                    }
                    None => self.is_measuring = true,
                }
            }
        }
        self.begin(now_ms);
        if !has_traffic && self.moved.is_empty() {
            self.look_ms = has_entries.then_some(now_ms + SLOW_LOOK_MS);
        }
        turns
    }

    /// Where a flood is to be moved; `None`: that is to be seen.
    fn destination(&mut self, port: OdpPort, brought: &Brought, machine: &mut impl Machine) -> Option<To> {
        if self.ring_next.contains(&port) || !machine.can_thread(port) {
            return Some(To::Ring);
        }
        if brought.by_kernel * 100 >= brought.packets() * MOST {
            return Some(To::Thread);
        }
        let looks = self.growing.entry(port).or_default();
        *looks = looks.saturating_add(1);
        (*looks > SHARE_LOOKS).then_some(To::Ring)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TO_RING: [Turn; 1] = [Turn::Begins(1, To::Ring)];
    const TO_THREAD: [Turn; 1] = [Turn::Begins(1, To::Thread)];

    /// Whether a processor is free, and whether there may be threads.
    struct Host(Option<bool>, bool);

    impl Machine for Host {
        fn has_spare(&mut self) -> Option<bool> {
            self.0
        }

        fn can_thread(&mut self, port: OdpPort) -> bool {
            self.1 && port == 1
        }
    }

    /// A port brings so many packets of so many octets by the kernel, and so many by its ring, in the time of a look, which
    /// is then due.
    fn look(
        floods: &mut Floods,
        now_ms: &mut u64,
        (packets, octets): (u64, u64),
        by_ring: u64,
        has_spare: Option<bool>,
    ) -> Vec<Turn> {
        look_at(floods, now_ms, (packets, octets), by_ring, Host(has_spare, false))
    }

    fn look_at(
        floods: &mut Floods,
        now_ms: &mut u64,
        (packets, octets): (u64, u64),
        by_ring: u64,
        mut host: Host,
    ) -> Vec<Turn> {
        floods.forwarded(1, packets, packets * octets);
        floods.ring_read(1, by_ring, 60 * by_ring);
        *now_ms += LOOK_MS;
        assert_eq!(floods.look_ms(), Some(*now_ms));
        floods.look(*now_ms, false, &mut host)
    }

    /// One by a device that threads may receive from; so much by the kernel, and by the ring.
    fn pass(floods: &mut Floods, now_ms: &mut u64, by_kernel: u64, by_ring: u64) -> Vec<Turn> {
        look_at(floods, now_ms, (by_kernel, 60), by_ring, Host(Some(true), true))
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
        assert_eq!(look(&mut floods, &mut now_ms, (20_000, 60), 0, Some(true)), TO_RING);
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
            assert!(floods.look(now_ms + 50, has_entries, &mut Host(None, false)).is_empty());
            assert_eq!(floods.look_ms(), next);
        }
        floods.look(now_ms + 100, true, &mut Host(None, false));
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
                let turns = look(&mut floods, &mut now_ms, (0, 0), *by_ring, None);
                let ends = [Turn::Ends(1, To::Ring)];
                assert_eq!((turns, floods.keeps(1)), (ends[usize::from(*has)..].to_vec(), *has), "{keeps}: {by_ring}");
            }
        }
    }

    #[test]
    fn what_was_not_worth_it_is_not_tried_again_soon() {
        let (mut floods, mut now_ms) = flooded();
        for n in 1..=2 {
            for turns in [&[][..], &[Turn::Ends(1, To::Ring)]] {
                assert_eq!(look(&mut floods, &mut now_ms, (0, 0), 20_000, None), turns);
            }
            floods.entry_made(now_ms);
            assert_eq!((floods.keeps(1), floods.rest_until_ms), (false, now_ms + n * REST_MS));
            while now_ms + LOOK_MS < floods.rest_until_ms {
                assert!(look(&mut floods, &mut now_ms, (20_000, 60), 0, Some(true)).is_empty());
            }
            assert!(look(&mut floods, &mut now_ms, (20_000, 60), 0, Some(true)).is_empty(), "measures first");
            assert_eq!(look(&mut floods, &mut now_ms, (20_000, 60), 0, Some(true)), TO_RING);
        }
    }

    /// One whose flood, of 400,000 frames a second, a thread has.
    fn threaded() -> (Floods, u64) {
        let (mut floods, mut now_ms) = begun();
        assert!(pass(&mut floods, &mut now_ms, 20_000, 0).is_empty(), "is a processor free?");
        assert_eq!(pass(&mut floods, &mut now_ms, 18_000, 2_000), TO_THREAD);
        assert_eq!((floods.keeps(1), floods.count(To::Thread), floods.count(To::Ring)), (false, 1, 0));
        (floods, now_ms)
    }

    #[test]
    fn a_thread_has_what_the_kernel_has_most_of() {
        threaded();
        // It grows, or else the ring has it.
        for grows in [true, false] {
            let (mut floods, mut now_ms) = begun();
            for _ in 0..SHARE_LOOKS {
                assert!(pass(&mut floods, &mut now_ms, 17_000, 3_000).is_empty());
            }
            let (by_kernel, turns) = if grows { (18_000, TO_THREAD) } else { (17_000, TO_RING) };
            assert_eq!(pass(&mut floods, &mut now_ms, by_kernel, 20_000 - by_kernel), turns);
        }
        // Beside it one of a port that cannot have one.
        let (mut floods, mut now_ms) = begun();
        for expect in [vec![], vec![TO_THREAD[0], Turn::Begins(2, To::Ring)], vec![]] {
            floods.forwarded(2, 20_000, 20_000 * 60);
            assert_eq!(pass(&mut floods, &mut now_ms, 20_000, 0), expect);
        }
    }

    #[test]
    fn a_thread_is_judged_by_what_passes() {
        let ends = [Turn::Ends(1, To::Thread)];
        let (slow, fast, calm) = (15_000, 40_000, 4_000);
        for (what, looks, ends_after) in [
            ("it lasts", vec![fast; 60], None),
            ("it begins slowly", [vec![slow; 3], vec![fast; 40]].concat(), None),
            ("it is no faster", vec![20_900; 4], Some(4)),
            ("it is over", [vec![fast; 10], vec![calm; 20]].concat(), Some(30)),
            ("it pauses", [vec![fast; 10], vec![calm; 19], vec![fast; 10], vec![calm; 19]].concat(), None),
            ("less passes than before", [vec![fast; 10], vec![slow; 20]].concat(), Some(30)),
            (
                "now and then less passes",
                [vec![fast; 10], vec![slow; 19], vec![fast; 1], vec![slow; 19]].concat(),
                None,
            ),
        ] {
            let (mut floods, mut now_ms) = threaded();
            for (i, by_kernel) in looks.iter().enumerate() {
                let turns = pass(&mut floods, &mut now_ms, *by_kernel, 0);
                let expect = if Some(i + 1) == ends_after { &ends[..] } else { &[] };
                assert_eq!(turns, expect, "{what}: look {i}");
            }
            assert_eq!(floods.count(To::Thread), usize::from(ends_after.is_none()), "{what}");
        }
    }

    #[test]
    fn the_ring_is_tried_after_a_thread_in_vain_and_the_other_way_round() {
        let (mut floods, mut now_ms) = threaded();
        for turns in [TO_RING, TO_THREAD] {
            for _ in 0..4 {
                pass(&mut floods, &mut now_ms, 20_000, 0);
            }
            assert!(floods.moved.is_empty() && floods.rest_until_ms > now_ms);
            while now_ms + LOOK_MS < floods.rest_until_ms {
                assert!(pass(&mut floods, &mut now_ms, 20_000, 0).is_empty());
            }
            assert!(pass(&mut floods, &mut now_ms, 20_000, 0).is_empty(), "measures first");
            assert_eq!(pass(&mut floods, &mut now_ms, 20_000, 0), turns);
        }
    }

    #[test]
    fn a_port_that_goes_is_forgotten() {
        for ((mut floods, mut now_ms), to) in [(threaded(), To::Thread), (flooded(), To::Ring)] {
            assert_eq!((floods.forget(2), floods.forget(1), floods.forget(1)), (None, Some(to), None));
            assert!(pass(&mut floods, &mut now_ms, 0, 0).is_empty());
        }
    }
}
