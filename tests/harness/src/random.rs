//! Numbers that are random enough, and the same for the same seed.

/// A generator (xorshift64*).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Numbers of `seed`; neighbouring seeds have nothing in common.
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.word() >> 33) as usize % n
    }

    /// True so many times of a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// A value of `n_bits`, small ones and ones at the edges more often than chance has it.
    pub fn bits(&mut self, n_bits: u32) -> u128 {
        let n_bits = n_bits.min(128);
        let all = if n_bits == 128 { u128::MAX } else { (1 << n_bits) - 1 };
        let any = (u128::from(self.word()) << 64 | u128::from(self.word())) & all;
        match self.below(8) {
            0 => 0,
            1 => all,
            2 => any & 0xff & all,
            3 => any >> self.below(n_bits as usize),
            _ => any,
        }
    }
}
