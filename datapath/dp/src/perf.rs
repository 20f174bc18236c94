//! What a thread's iterations were like, where somebody asks for it (`other_config:pmd-perf-metrics`): histograms, and a
//! history by iterations and by milliseconds (ovs-vswitchd(8), `dpif-netdev/pmd-perf-show`).
//!
//! An iteration is a burst: a thread that has nothing sleeps. Cycles are nanoseconds. An upcall takes from when it is
//! handed up until its answer is here; nobody waits for it meanwhile but the packets of its flow.

use std::collections::VecDeque;

use crate::stats::Stats;

/// Iterations and milliseconds that are remembered.
const HISTORY: usize = 1000;
/// After so long an answer will not come any more, microseconds.
const FORGET_US: u64 = 1_000_000;
/// Upcalls whose time is taken at once.
const ASKED: usize = 65_536;

/// One iteration, or all of a millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Number of the iteration, or the millisecond.
    pub number: u64,
    /// Iterations.
    pub iterations: u64,
    /// Nanoseconds.
    pub cycles: u64,
    /// Packets.
    pub packets: u64,
    /// Bursts with packets.
    pub batches: u64,
    /// Packets handed up because no flow matched.
    pub upcalls: u64,
    /// Nanoseconds that upcalls took whose answers came then.
    pub upcall_cycles: u64,
}

impl Sample {
    fn add(&mut self, other: &Self) {
        self.iterations += other.iterations;
        self.cycles += other.cycles;
        self.packets += other.packets;
        self.batches += other.batches;
        self.upcalls += other.upcalls;
        self.upcall_cycles += other.upcall_cycles;
    }
}

/// How often a figure was in which range: up to each of the walls, and beyond the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// The largest value of each range but the last.
    pub walls: [u64; Histogram::WALLS],
    /// How many were in each.
    pub bins: [u64; Histogram::WALLS + 1],
}

impl Histogram {
    /// Ranges with an end.
    pub const WALLS: usize = 31;

    fn of(walls: impl FnMut(usize) -> u64) -> Self {
        Self { walls: std::array::from_fn(walls), bins: [0; Self::WALLS + 1] }
    }

    /// Ranges of one width.
    fn linear(min: u64, max: u64) -> Self {
        let steps = Self::WALLS as u64 - 1;
        Self::of(|i| min + (max - min) * i as u64 / steps)
    }

    /// Ranges each of which is wider than the one before by a factor; each ends beyond the one before.
    fn logarithmic(min: u64, max: u64) -> Self {
        #[allow(clippy::cast_precision_loss)]
        let (low, high) = ((min.max(1) as f64).ln(), (max as f64).ln());
        // A wall at zero is none of the progression.
        let first = usize::from(min == 0);
        let steps = Self::WALLS - 1 - first;
        let mut last = None;
        Self::of(|i| {
            #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let exact = |step: usize| (low + step as f64 * (high - low) / steps as f64).exp() as u64;
            let wall = match i {
                _ if i < first => min,
                _ if i == Self::WALLS - 1 => max,
                _ => exact(i - first),
            };
            let wall = last.map_or(wall, |last: u64| wall.max(last + 1));
            last = Some(wall);
            wall
        })
    }

    fn add(&mut self, value: u64) {
        self.bins[self.walls.partition_point(|wall| *wall < value)] += 1;
    }
}

/// Which iterations are suspicious, and how much of what is around one is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supervision {
    /// One that takes longer is suspicious, microseconds.
    pub longest_us: u64,
    /// Iterations before it.
    pub before: u64,
    /// Iterations after it.
    pub after: u64,
    /// Another one that comes before those after the first have gone by has as many after it.
    pub extends: bool,
}

impl Supervision {
    /// Most iterations around one that are remembered.
    pub const MOST: u64 = HISTORY as u64 - 2;
}

/// What a supervised iteration shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suspicion {
    /// It is suspicious itself.
    pub itself: Option<Sample>,
    /// It ends what is wanted of the iterations around one: these, newest first.
    pub around: Vec<Sample>,
}

/// What is measured of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Cycles, packets, cycles a packet, packets a batch, fill of a virtual host's queue, upcalls, cycles an upcall.
    pub histograms: [Histogram; 7],
    /// Sums of all.
    pub total: Sample,
    /// Upcalls that were answered.
    pub answered: u64,
    iterations: VecDeque<Sample>,
    milliseconds: VecDeque<Sample>,
    /// What was counted when the last one ended.
    counted: Stats,
    /// When upcalls were handed up that have no answer yet.
    asked: VecDeque<u64>,
    /// Numbers of the first and last iteration that are wanted of those around a suspicious one.
    window: Option<(u64, u64)>,
}

impl Metrics {
    /// Nothing yet, of a thread that has counted so much.
    pub fn new(counted: Stats) -> Self {
        Self {
            histograms: [
                Histogram::logarithmic(500, 24_000_000),
                Histogram::logarithmic(0, 1000),
                Histogram::linear(100, 30_000),
                Histogram::linear(0, 32),
                Histogram::logarithmic(0, 512),
                Histogram::linear(0, 30),
                Histogram::logarithmic(1000, 1_000_000),
            ],
            total: Sample::default(),
            answered: 0,
            iterations: VecDeque::new(),
            milliseconds: VecDeque::new(),
            counted,
            asked: VecDeque::new(),
            window: None,
        }
    }

    /// An iteration ended that took so long.
    pub fn iteration(&mut self, now_us: u64, spent_us: u64, counted: &Stats) {
        let since = |of: fn(&Stats) -> u64| of(counted).saturating_sub(of(&self.counted));
        let sample = Sample {
            number: self.total.iterations + 1,
            iterations: 1,
            cycles: spent_us * 1000,
            packets: since(|s| s.received),
            batches: since(|s| s.bursts),
            upcalls: since(|s| s.misses),
            upcall_cycles: 0,
        };
        self.counted = *counted;
        self.total.add(&sample);
        let [cycles, packets, packet_cycles, batch, queue, upcalls, _] = &mut self.histograms;
        cycles.add(sample.cycles);
        packets.add(sample.packets);
        queue.add(0);
        upcalls.add(sample.upcalls);
        if let Some(each) = sample.cycles.checked_div(sample.packets) {
            packet_cycles.add(each);
        }
        if let Some(each) = sample.packets.checked_div(sample.batches) {
            batch.add(each);
        }
        keep(&mut self.iterations, sample);
        let now_ms = now_us / 1000;
        match self.milliseconds.back_mut().filter(|last| last.number == now_ms) {
            Some(last) => last.add(&sample),
            None => keep(&mut self.milliseconds, Sample { number: now_ms, ..sample }),
        }
    }

    /// Judges the last iteration.
    pub fn supervise(&mut self, by: &Supervision) -> Suspicion {
        let Some(last) = self.iterations.back().copied() else { return Suspicion::default() };
        let is_slow = last.cycles > by.longest_us.saturating_mul(1000);
        let itself = (is_slow && (by.extends || self.window.is_none())).then_some(last);
        if itself.is_some() {
            let first = self.window.map_or(last.number.saturating_sub(by.before), |(first, _)| first);
            self.window = Some((first, last.number.saturating_add(by.after)));
        }
        let around = match self.window.take_if(|(_, end)| last.number >= *end) {
            Some((first, _)) => self.iterations.iter().rev().take_while(|s| s.number >= first).copied().collect(),
            None => Vec::new(),
        };
        Suspicion { itself, around }
    }

    /// So many upcalls were handed up.
    pub fn asked(&mut self, now_us: u64, upcalls: usize) {
        let room = ASKED.saturating_sub(self.asked.len());
        self.asked.extend(std::iter::repeat_n(now_us, upcalls.min(room)));
    }

    /// So many upcalls were answered: the oldest, since sums are the same whichever.
    pub fn answered(&mut self, now_us: u64, upcalls: usize) {
        while self.asked.front().is_some_and(|then| now_us.saturating_sub(*then) > FORGET_US) {
            self.asked.pop_front();
        }
        for then in self.asked.drain(..upcalls.min(self.asked.len())) {
            let cycles = now_us.saturating_sub(then) * 1000;
            self.histograms[6].add(cycles);
            self.answered += 1;
            let lasts = [self.iterations.back_mut(), self.milliseconds.back_mut(), Some(&mut self.total)];
            lasts.into_iter().flatten().for_each(|last| last.upcall_cycles += cycles);
        }
    }

    /// The last iterations, newest first.
    pub fn last_iterations(&self, n: usize) -> impl Iterator<Item = &Sample> {
        self.iterations.iter().rev().take(n)
    }

    /// The last milliseconds in which there was one, newest first.
    pub fn last_milliseconds(&self, n: usize) -> impl Iterator<Item = &Sample> {
        self.milliseconds.iter().rev().take(n)
    }
}

fn keep(history: &mut VecDeque<Sample>, sample: Sample) {
    if history.len() == HISTORY {
        history.pop_front();
    }
    history.push_back(sample);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of Open vSwitch 3.1, but for those that lie at a power of ten, where it is one less by rounding.
    #[test]
    fn walls_are_open_vswitchs() {
        let new = Metrics::new(Stats::default());
        let of = |i: usize| new.histograms[i].walls;
        assert_eq!(of(0)[1..5], [716, 1025, 1469, 2104]);
        assert_eq!(of(0)[26..], [5_702_243, 8_167_461, 11_698_454, 16_755_981, 24_000_000]);
        assert_eq!(of(1)[..14], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 17]);
        assert_eq!(of(1)[27..], [489, 621, 788, 1000]);
        assert_eq!(of(2)[..4], [100, 1096, 2093, 3090]);
        assert_eq!((of(3)[14], of(3)[15], of(3)[30]), (14, 16, 32));
        assert_eq!((of(4)[13], of(4)[14], of(4)[29], of(4)[30]), (13, 16, 412, 512));
        assert!(of(5).into_iter().eq(0..31));
        assert_eq!((of(6)[1], of(6)[2], of(6)[29], of(6)[30]), (1258, 1584, 794_328, 1_000_000));
    }

    #[test]
    fn iterations_are_told_apart_and_added_up() {
        let mut metrics = Metrics::new(Stats { received: 7, ..Stats::default() });
        let counted = |received, bursts, misses| Stats { received, bursts, misses, ..Stats::default() };
        metrics.iteration(5_000, 40, &counted(11, 1, 2));
        metrics.iteration(5_900, 10, &counted(12, 2, 2));
        metrics.iteration(8_000, 100, &counted(44, 3, 2));
        let all: Vec<_> = metrics.last_iterations(9).map(|s| (s.number, s.cycles, s.packets, s.upcalls)).collect();
        assert_eq!(all, [(3, 100_000, 32, 0), (2, 10_000, 1, 0), (1, 40_000, 4, 2)]);
        let all: Vec<_> = metrics.last_milliseconds(9).map(|s| (s.number, s.iterations, s.packets)).collect();
        assert_eq!(all, [(8, 1, 32), (5, 2, 5)]);
        assert_eq!((metrics.last_iterations(1).count(), metrics.total.packets, metrics.total.cycles), (1, 37, 150_000));
        let bins = |i: usize| metrics.histograms[i].bins;
        assert_eq!((bins(3)[1], bins(3)[4], bins(3)[30], bins(5)[0], bins(5)[2]), (1, 1, 1, 2, 1));
        assert!(metrics.histograms[..6].iter().all(|h| h.bins.iter().sum::<u64>() == 3));
    }

    #[test]
    fn what_is_beyond_the_last_wall_is_counted_there() {
        let mut histogram = Histogram::linear(0, 30);
        [0, 30, 31, u64::MAX].into_iter().for_each(|value| histogram.add(value));
        assert_eq!((histogram.bins[0], histogram.bins[30], histogram.bins[31]), (1, 1, 2));
    }

    #[test]
    fn an_upcall_takes_until_it_is_answered() {
        let mut metrics = Metrics::new(Stats::default());
        metrics.iteration(100, 5, &Stats { misses: 3, ..Stats::default() });
        metrics.asked(100, 3);
        metrics.answered(150, 1);
        metrics.answered(200, 2);
        assert_eq!((metrics.answered, metrics.total.upcall_cycles), (3, 250_000));
        assert_eq!(metrics.last_iterations(1).next().map(|s| s.upcall_cycles), Some(250_000));
        assert_eq!(metrics.histograms[6].bins.iter().sum::<u64>(), 3);
        // Nobody's answer, and one that never comes.
        metrics.answered(300, 5);
        metrics.asked(300, 1);
        metrics.asked(300 + FORGET_US, 1);
        metrics.answered(400 + FORGET_US, 1);
        assert_eq!((metrics.answered, metrics.total.upcall_cycles), (4, 350_000));
    }

    #[test]
    fn history_is_bounded() {
        let mut metrics = Metrics::new(Stats::default());
        (0..3000).for_each(|i| metrics.iteration(i * 1000, 1, &Stats::default()));
        assert_eq!(
            (metrics.last_iterations(5000).count(), metrics.last_milliseconds(5000).count()),
            (HISTORY, HISTORY)
        );
        assert_eq!(metrics.last_iterations(1).next().map(|s| s.number), Some(3000));
        metrics.asked(1, 1 << 20);
        assert_eq!(metrics.asked.len(), ASKED);
    }

    #[test]
    fn suspicious_iterations_are_told_with_their_neighbours() {
        let run = |extends: bool| {
            let mut metrics = Metrics::new(Stats::default());
            let by = Supervision { longest_us: 9, before: 2, after: 1, extends };
            let mut told = Vec::new();
            for spent_us in [1, 2, 3, 10, 11, 4, 5, 12, 6] {
                metrics.iteration(1000, spent_us, &Stats::default());
                let Suspicion { itself, around } = metrics.supervise(&by);
                told.extend(itself.map(|s| vec![s.number]));
                let around: Vec<u64> = around.iter().map(|s| s.cycles / 1000).collect();
                told.extend(Some(around).filter(|a| !a.is_empty()));
            }
            told
        };
        assert_eq!(run(false), [vec![4], vec![11, 10, 3, 2], vec![8], vec![6, 12, 5, 4]]);
        assert_eq!(run(true), [vec![4], vec![5], vec![4, 11, 10, 3, 2], vec![8], vec![6, 12, 5, 4]]);
    }
}
