//! Which connections to look at next, as their time may be over: a wheel of spokes by time, in which each is once.
//!
//! A connection that goes on is not moved: when its spoke is due it is looked at, and noted anew by what it has left.
//! What is noted for later than the wheel reaches is looked at when that is over. Nothing is taken out: whoever looks
//! compares the spoke with what the connection knows of its own ([`Wheel::note`]'s answer), and passes over what is of
//! another life or has been noted for earlier since.

/// A spoke's time, as a power of two of milliseconds, and how many there are: 17 minutes all in all.
const SPOKE_SHIFT: u32 = 7;
const SPOKES: u64 = 8192;

#[derive(Debug)]
pub(super) struct Wheel {
    spokes: Box<[Vec<u32>]>,
    len: usize,
    /// The spoke that is due, counted from the beginning of time.
    at: u64,
}

impl Default for Wheel {
    fn default() -> Self {
        Self { spokes: (0..SPOKES).map(|_| Vec::new()).collect(), len: 0, at: 0 }
    }
}

/// The first spoke that is due only when this time is over.
pub(super) fn spoke_of(expires_ms: u64) -> u64 {
    (expires_ms >> SPOKE_SHIFT) + 1
}

impl Wheel {
    /// Has a connection be looked at when its time is over; says on which spoke it is.
    pub(super) fn note(&mut self, index: u32, expires_ms: u64, now_ms: u64) -> u64 {
        if self.len == 0 {
            self.at = now_ms >> SPOKE_SHIFT;
        }
        let spoke = spoke_of(expires_ms).clamp(self.at, self.at + SPOKES - 1);
        self.spokes[(spoke % SPOKES) as usize].push(index);
        self.len += 1;
        spoke
    }

    /// The next one to look at, and on which spoke it was.
    pub(super) fn next(&mut self, now_ms: u64) -> Option<(u32, u64)> {
        while self.len > 0 {
            let spoke = &mut self.spokes[(self.at % SPOKES) as usize];
            if let Some(index) = spoke.pop() {
                self.len -= 1;
                return Some((index, self.at));
            }
            *spoke = Vec::new();
            if self.at >= now_ms >> SPOKE_SHIFT {
                break;
            }
            self.at += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_looked_at_soon_after_its_time() {
        let mut wheel = Wheel::default();
        let begin = 1_700_000_000_000;
        assert_eq!(wheel.next(begin), None);
        let all = [(1, 30_000), (2, 0), (3, 60_000), (4, 30_001), (5, 86_400_000)];
        let spokes = all.map(|(index, left)| wheel.note(index, begin + left, begin));
        for (n, (index, left)) in all.into_iter().enumerate().filter(|(_, (_, left))| *left < 86_400_000) {
            assert!(spokes[n] << SPOKE_SHIFT > begin + left, "{index}: not before its time");
        }
        let mut seen = Vec::new();
        for now in (begin..begin + 61_000).step_by(100) {
            while let Some((index, spoke)) = wheel.next(now) {
                let n = all.iter().position(|(other, _)| *other == index).expect("one of them");
                assert_eq!(spoke, spokes[n]);
                assert!(now > begin + all[n].1 && now <= begin + all[n].1 + 300, "{index} at {}", now - begin);
                seen.push(index);
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3, 4]);
        // Long ones are looked at before their time; and a leap is one.
        assert_eq!(wheel.next(begin + 90_000_000), Some((5, spokes[4])));
        assert!(spokes[4] << SPOKE_SHIFT < begin + 1_100_000);
        assert_eq!((wheel.next(begin + 90_000_000), wheel.len), (None, 0));
    }
}
