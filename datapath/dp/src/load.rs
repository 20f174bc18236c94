//! What a queue took of its thread's time lately: in pieces of [`Load::PIECE_S`] seconds, of which the last twelve are
//! kept (ovs-vswitchd(8), `dpif-netdev/pmd-rxq-show`).

/// Busy time by pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Microseconds busy in each whole piece, in a ring.
    pieces: [u64; Load::PIECES],
    /// Whole pieces so far.
    whole: u64,
    /// Microseconds busy in the piece that is not whole.
    busy_us: u64,
    /// When that began.
    since_us: u64,
}

impl Load {
    /// Length of a piece, seconds.
    pub const PIECE_S: u32 = 5;
    /// Pieces remembered.
    pub const PIECES: usize = 12;

    /// Length of a period, two pieces, microseconds.
    pub const PERIOD_US: u64 = Self::PIECE_S as u64 * 2_000_000;
    /// Periods remembered.
    pub const PERIODS: usize = Self::PIECES / 2;

    /// Nothing yet.
    pub fn new(now_us: u64) -> Self {
        Self { since_us: now_us, ..Self::default() }
    }

    /// Adds busy time.
    #[inline]
    pub fn add(&mut self, busy_us: u64) {
        self.busy_us += busy_us;
    }

    /// Ends pieces whose time is over; to be called about once a second.
    pub fn turn(&mut self, now_us: u64) {
        let piece_us = u64::from(Self::PIECE_S) * 1_000_000;
        // After a long time without a call all that is remembered is idle.
        for _ in 0..=Self::PIECES {
            if now_us.saturating_sub(self.since_us) < piece_us {
                return;
            }
            self.pieces[(self.whole % Self::PIECES as u64) as usize] = std::mem::take(&mut self.busy_us);
            self.whole += 1;
            self.since_us += piece_us;
        }
        self.since_us = now_us;
    }

    /// Microseconds busy in the last `seconds`, rounded up to pieces, and microseconds that these lasted: less if the queue
    /// has not been polled for so long. `None`: no piece is whole yet.
    pub fn lately(&self, seconds: u32) -> Option<(u64, u64)> {
        let known = self.whole.min(Self::PIECES as u64);
        let wanted = u64::from(seconds.div_ceil(Self::PIECE_S)).clamp(1, Self::PIECES as u64).min(known);
        let piece = |back: u64| self.pieces[((self.whole - back) % Self::PIECES as u64) as usize];
        let busy_us = (1..=wanted).map(piece).sum();
        (wanted > 0).then_some((busy_us, wanted * u64::from(Self::PIECE_S) * 1_000_000))
    }

    /// Microseconds busy in the period that `back` periods came after; none in one that is not remembered.
    pub fn period_us(&self, back: usize) -> u64 {
        let piece = |back: u64| match back <= self.whole.min(Self::PIECES as u64) {
            true => self.pieces[((self.whole - back) % Self::PIECES as u64) as usize],
            false => 0,
        };
        let last = 2 * back as u64;
        piece(last + 1) + piece(last + 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pieces_count() {
        let mut load = Load::new(100);
        assert_eq!(load.lately(60), None);
        for second in 1..=90u64 {
            load.add(if second <= 80 { 100_000 } else { 500_000 });
            load.turn(100 + second * 1_000_000);
        }
        assert_eq!(load.lately(5), Some((2_500_000, 5_000_000)));
        assert_eq!(load.lately(7), Some((5_000_000, 10_000_000)), "whole pieces");
        assert_eq!(load.lately(60), Some((5_000_000 + 5_000_000, 60_000_000)));
        load.turn(10_000_000_000);
        assert_eq!(load.lately(60), Some((0, 60_000_000)), "long idle");
    }
}
