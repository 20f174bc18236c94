//! Looking on for a moment before sleeping, where that pays.
//!
//! A sleep and a wake cost some ten microseconds, most of it until a processor runs again. What comes within that time
//! is better waited for. Whether something will come is learned a source of work (a datapath's queue, a database's
//! connection). On queues, after a request there is an answer, after the answer there may be nothing for long; an answer
//! comes from another queue, while packets of a stream, from the same one, may as well gather while the thread sleeps and
//! wakes. Where looking on was in vain it is left, and tried again now and then; an idle source costs nothing, and a
//! stream next to nothing.

/// More than three of four times it must have paid.
const WORTH: u8 = 8;
const MOST: u8 = 15;
const PAID: u8 = 1;
const IN_VAIN: u8 = 3;
/// Every so many sleeps it is tried where it was not worth it.
const TRY_AGAIN: u8 = 64;
/// So much is a success worth that came when it was not expected: things have changed.
const CHANGED: u8 = 4;

/// What looking on after a source's work has brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Linger {
    score: u8,
    sleeps: u8,
}

impl Linger {
    /// Whether to look on now.
    pub(crate) fn is_worth_it(&mut self) -> bool {
        if self.score >= WORTH {
            return true;
        }
        self.sleeps += 1;
        let again = self.sleeps >= TRY_AGAIN;
        if again {
            self.sleeps = 0;
        }
        again
    }

    /// Whether an answer came in time.
    pub(crate) fn learn(&mut self, paid: bool) {
        self.score = match (paid, self.score) {
            (true, score) if score < WORTH => score + CHANGED,
            (true, score) => (score + PAID).min(MOST),
            (false, score) => score.saturating_sub(IN_VAIN),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_learned_and_forgotten() {
        let mut linger = Linger::default();
        let tried = (0..640).filter(|_| {
            let tried = linger.is_worth_it();
            if tried {
                linger.learn(false);
            }
            tried
        });
        assert_eq!(tried.count(), 10, "in vain it is tried now and then");
        let first = (0..64).position(|_| linger.is_worth_it());
        assert!(first.is_some());
        linger.learn(true);
        linger.learn(true);
        assert!(linger.is_worth_it(), "what paid twice is done every time");
        let mut vain = 0;
        while linger.is_worth_it() {
            linger.learn(false);
            vain += 1;
        }
        assert!(vain <= 5, "{vain} times in vain");
        // One success of two is not enough.
        let mut linger = Linger { score: MOST, sleeps: 0 };
        let mut tried = 0;
        for i in 0..1000 {
            if linger.is_worth_it() {
                tried += 1;
                linger.learn(i % 2 == 0);
            }
        }
        assert!(tried < 150, "{tried}");
    }
}
