//! Rules of many masks for the classifier's benchmark, and packets for them: the same each time.

use std::sync::Arc;

use flow::classifier::{Classifier, Entry, MiniMatch};
use flow::{Key, Mask};

/// A rule of nothing but a match and a priority.
#[derive(Debug)]
pub struct Rule {
    mini: MiniMatch,
    priority: i32,
}

impl Entry for Rule {
    fn mini(&self) -> &MiniMatch {
        &self.mini
    }

    fn priority(&self) -> i32 {
        self.priority
    }
}

/// Distinct masks.
pub const MASKS: u32 = 50;

/// A sequence of numbers that look random (a linear congruence; the high bits of each step).
#[derive(Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// The sequence that begins with `seed`.
    pub fn new(seed: u64) -> Self {
        Numbers(seed)
    }

    /// The next one.
    pub fn draw(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }
}

fn prefix(len: u32) -> u32 {
    u32::MAX.checked_shl(32 - len).unwrap_or(0)
}

/// The `n`th mask: prefixes of both addresses, and the ports, one of them, or neither.
fn mask(n: u32) -> Mask {
    let mut mask = Mask::EMPTY;
    mask.set_dl_type(u16::MAX);
    mask.set_nw_proto(u8::MAX);
    mask.set_nw_dst(prefix([8, 16, 24, 28, 32][n as usize % 5]));
    mask.set_nw_src(prefix([0, 12, 24, 32, 0][n as usize / 5 % 5]));
    mask.set_tp_dst(if n.is_multiple_of(2) { u16::MAX } else { 0 });
    mask.set_tp_src(if n >= MASKS / 2 { u16::MAX } else { 0 });
    mask
}

fn packet(numbers: &mut Numbers) -> Key {
    let mut key = Key::EMPTY;
    key.set_dl_type(0x0800);
    key.set_nw_proto(if numbers.draw().is_multiple_of(4) { 17 } else { 6 });
    key.set_nw_src(numbers.draw());
    key.set_nw_dst(numbers.draw());
    key.set_tp_src(numbers.draw() as u16);
    key.set_tp_dst(numbers.draw() as u16);
    key
}

/// A classifier of about `n` rules, and packets of which every other one was made to match one of them.
pub fn classifier(n: usize) -> (Classifier<Rule>, Vec<Key>) {
    const PACKETS: usize = 1024;
    let mut numbers = Numbers::new(1);
    let mut classifier = Classifier::default();
    let mut packets = Vec::new();
    for i in 0..n {
        let key = packet(&mut numbers);
        let mask = mask(numbers.draw() % MASKS);
        let mini = classifier.intern(MiniMatch::new(&key, &mask));
        classifier.insert(Arc::new(Rule { mini, priority: (numbers.draw() % 1000) as i32 }));
        if i.is_multiple_of((2 * n / PACKETS).max(1)) {
            packets.push(key);
            packets.push(packet(&mut numbers));
        }
    }
    (classifier, packets)
}
