//! The reader of blocks against a kernel made by hand, step by step, on plain memory: every half-written state that
//! the real one can leave for a moment is held still here.

use super::*;
use crate::ring::{RingConfig, RingKind};
use std::collections::VecDeque;

const BLOCK: usize = 4096;
/// Where a frame begins behind its header, headroom of 32 bytes included.
const MAC: usize = 124;
/// Where its virtio header does.
const VNET: usize = MAC - VNET_HDR_LEN;

/// The writing side: its own view of the same memory, kept in the kernel's order of writes.
struct Kernel {
    blocks: usize,
    block: usize,
    /// Where the next header goes, and where the last one lies; 0 for none.
    at: usize,
    last: usize,
    packets: u32,
    seq: u8,
}

/// How far a frame's header has been written.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
enum Step {
    Counted,
    Payload,
    User,
    Lengths,
    Whole,
}

fn ring(blocks: usize) -> (Blocks, Kernel) {
    let config =
        RingConfig { kind: RingKind::V3, block_bytes: BLOCK, ring_bytes: BLOCK * blocks, ..RingConfig::default() };
    let ring = Blocks::new(Map::plain(BLOCK * blocks), &config);
    let mut kernel = Kernel { blocks, block: 0, at: 0, last: 0, packets: 0, seq: 0 };
    assert!(kernel.open(&ring.map));
    (ring, kernel)
}

impl Kernel {
    fn set(&self, map: &Map, at: usize, value: u32) {
        map.word(self.block * BLOCK + at).store(value, Release);
    }

    /// Begins the current block; `false` while user space has it.
    fn open(&mut self, map: &Map) -> bool {
        if map.word(self.block * BLOCK + block::STATUS).load(Acquire) & TP_STATUS_USER != 0 {
            return false;
        }
        (self.at, self.last, self.packets) = (block::FIRST, 0, 0);
        self.set(map, block::NUM_PKTS, 0);
        self.set(map, block::LEN, block::FIRST as u32);
        true
    }

    fn close(&mut self, map: &Map, status: u32) {
        if self.last != 0 {
            self.set(map, self.last + hdr::NEXT, 0);
        }
        self.set(map, block::STATUS, TP_STATUS_USER | status);
        self.block = (self.block + 1) % self.blocks;
        self.at = 0;
    }

    /// Room for a frame of `len` bytes: where its header goes. `None`: the ring is full.
    fn claim(&mut self, map: &Map, len: usize) -> Option<usize> {
        let size = (hdr::END + 64 + len).next_multiple_of(8);
        if self.at == 0 && !self.open(map) {
            return None;
        }
        if self.at + size > BLOCK {
            self.close(map, 0);
            if !self.open(map) {
                self.at = 0;
                return None;
            }
        }
        let at = self.at;
        self.set(map, at + hdr::NEXT, size as u32);
        self.at += size;
        self.last = at;
        self.packets += 1;
        self.set(map, block::LEN, self.at as u32);
        self.set(map, block::NUM_PKTS, self.packets);
        self.set(map, at + hdr::STATUS, 0);
        Some(at)
    }

    /// Writes a claimed frame, as far as `step`.
    fn write(&mut self, map: &Map, at: usize, len: usize, step: Step) {
        let mac = MAC;
        let base = self.block * BLOCK + at;
        if step >= Step::Payload {
            // SAFETY: the frame's own bytes, which no frame lent covers as it was not handed out yet.
            unsafe { map.bytes(base + mac, base + mac + len) }.fill(self.seq | 1);
            self.seq = self.seq.wrapping_add(2);
        }
        if step >= Step::User {
            self.set(map, at + hdr::STATUS, TP_STATUS_USER);
        }
        if step >= Step::Lengths {
            self.set(map, at + hdr::LEN, len as u32);
            self.set(map, at + hdr::SNAPLEN, len as u32);
            self.set(map, at + hdr::MAC, mac as u32);
        }
        if step >= Step::Whole {
            self.set(map, at + hdr::SEC, 1);
            self.set(map, at + hdr::NSEC, 1);
            map.half(base + hdr::SLL_FAMILY).store(17, Release);
            self.set(map, at + hdr::SLL_IFINDEX, 3);
        }
    }

    /// Writes what a claimed frame that is to be cut has of its virtio header at first, or at last.
    fn to_be_cut(&self, map: &Map, at: usize, kind: u16) {
        let vnet = self.block * BLOCK + at + VNET;
        map.half(vnet + hdr::VNET_SIZE).store(1448, Release);
        map.half(vnet + hdr::VNET_KIND).store(kind, Release);
    }

    fn put(&mut self, map: &Map, len: usize) -> Option<u8> {
        let at = self.claim(map, len)?;
        let byte = self.seq | 1;
        self.write(map, at, len, Step::Whole);
        Some(byte)
    }
}

fn take(ring: &mut Blocks) -> Vec<(u8, usize)> {
    let mut frames = Vec::new();
    ring.receive(32, |f| {
        assert!(f.data().iter().all(|b| *b == f.data()[0]), "a frame of two patterns");
        frames.push((f.data()[0], f.len));
    });
    frames
}

#[test]
fn half_written_headers_are_not_read_but_keep_the_reader_awake() {
    for step in [Step::Counted, Step::Payload, Step::User, Step::Lengths] {
        let (mut ring, mut kernel) = ring(4);
        let first = kernel.put(&ring.map, 60).unwrap();
        let at = kernel.claim(&ring.map, 100).unwrap();
        kernel.write(&ring.map, at, 100, step);
        assert_eq!(take(&mut ring), [(first, 60)], "{step:?}");
        assert_eq!(take(&mut ring), [], "{step:?}");
        assert!(ring.has_frame(), "{step:?}: the alarm went off for it already");
        let byte = kernel.seq | 1;
        kernel.write(&ring.map, at, 100, Step::Whole);
        assert_eq!(take(&mut ring), [(byte, 100)], "{step:?}");
        ring.release();
        assert!(!ring.has_frame(), "{step:?}");
    }
}

#[test]
fn a_hole_is_passed_when_its_block_closes() {
    let (mut ring, mut kernel) = ring(4);
    kernel.claim(&ring.map, 60).unwrap();
    let after = kernel.put(&ring.map, 80).unwrap();
    assert_eq!(take(&mut ring), []);
    assert!(ring.has_frame());
    kernel.close(&ring.map, 0);
    assert_eq!(take(&mut ring), [(after, 80)]);
    assert_eq!(ring.holes, 1);
    assert_eq!(take(&mut ring), []);
    ring.release();
    assert!(!ring.has_frame());
}

/// What no virtio header could be made of keeps nobody waiting: at once if something follows, or at the second look.
#[test]
fn a_hole_is_passed_over_in_an_open_block() {
    let (mut ring, mut kernel) = ring(4);
    let hole = |ring: &mut Blocks, kernel: &mut Kernel| {
        let at = kernel.claim(&ring.map, 60).unwrap();
        kernel.to_be_cut(&ring.map, at, 0);
    };
    let first = kernel.put(&ring.map, 60).unwrap();
    hole(&mut ring, &mut kernel);
    let second = kernel.put(&ring.map, 61).unwrap();
    assert_eq!(take(&mut ring), [(first, 60)]);
    assert_eq!(take(&mut ring), [(second, 61)]);
    hole(&mut ring, &mut kernel);
    assert_eq!(take(&mut ring), []);
    assert!(ring.has_frame(), "it may be one yet");
    assert_eq!(take(&mut ring), []);
    assert!(!ring.has_frame(), "there is nothing to stay awake for");
    let third = kernel.put(&ring.map, 62).unwrap();
    assert!(ring.has_frame());
    assert_eq!(take(&mut ring), [(third, 62)]);
    kernel.close(&ring.map, libc::TP_STATUS_LOSING);
    assert_eq!(take(&mut ring), []);
    assert_eq!((ring.holes, ring.losing, ring.is_crowded), (2, 1, false));
    ring.release();
    // SAFETY: no frame is lent.
    assert!(unsafe { ring.map.bytes(block::FIRST, BLOCK) }.iter().all(|b| *b == 0), "all of it is zero again");
}

/// What looked like a hole and is a frame comes late, but whole, whether its block is open then or closed.
#[test]
fn a_frame_taken_for_a_hole_comes_late() {
    for closes in [false, true] {
        let (mut ring, mut kernel) = ring(4);
        let at = kernel.claim(&ring.map, 60).unwrap();
        kernel.to_be_cut(&ring.map, at, 0);
        assert_eq!((take(&mut ring), take(&mut ring)), (vec![], vec![]));
        assert!(!ring.has_frame());
        kernel.to_be_cut(&ring.map, at, 0x0100);
        let late = kernel.seq | 1;
        kernel.write(&ring.map, at, 60, Step::Payload);
        let next = kernel.put(&ring.map, 61).unwrap();
        assert_eq!(take(&mut ring), [(next, 61)]);
        kernel.seq = late;
        kernel.write(&ring.map, at, 60, Step::Whole);
        if closes {
            kernel.close(&ring.map, 0);
        }
        assert!(ring.has_frame(), "closes: {closes}");
        assert_eq!(take(&mut ring), [(late, 60)], "closes: {closes}");
        assert_eq!(take(&mut ring), []);
        ring.release();
        assert_eq!((ring.holes, ring.has_frame()), (0, false));
    }
}

#[test]
fn a_block_closed_early_or_empty_or_by_loss_is_left() {
    let (mut ring, mut kernel) = ring(4);
    let a = kernel.put(&ring.map, 60).unwrap();
    assert_eq!(take(&mut ring), [(a, 60)]);
    // The reader stands behind the last frame when the timer closes the block.
    kernel.close(&ring.map, 0);
    assert!(kernel.open(&ring.map));
    let b = kernel.put(&ring.map, 61).unwrap();
    assert_eq!(take(&mut ring), [(b, 61)]);
    kernel.close(&ring.map, libc::TP_STATUS_LOSING);
    assert_eq!(take(&mut ring), []);
    assert_eq!(ring.losing, 1);
}

#[test]
fn nonsense_in_a_closed_block_is_dropped_and_counted() {
    let spoil: [(usize, u32); 4] = [(hdr::MAC, 0), (hdr::MAC, 0xfff0), (hdr::SNAPLEN, 5000), (hdr::LEN, 61)];
    for (field, value) in spoil {
        let (mut ring, mut kernel) = ring(4);
        kernel.put(&ring.map, 60).unwrap();
        kernel.set(&ring.map, kernel.last + field, value);
        let good = kernel.put(&ring.map, 64).unwrap();
        kernel.close(&ring.map, 0);
        assert_eq!(take(&mut ring), [(good, 64)], "{field} = {value}");
        assert_eq!(ring.truncated, 1);
    }
    // A step that leads out of the block ends it.
    let (mut ring, mut kernel) = ring(4);
    let one = kernel.put(&ring.map, 60).unwrap();
    kernel.put(&ring.map, 60).unwrap();
    kernel.set(&ring.map, block::FIRST + hdr::NEXT, !7);
    kernel.close(&ring.map, 0);
    assert_eq!(take(&mut ring), [(one, 60)]);
    assert_eq!(take(&mut ring), []);
}

/// Frames of many sizes, written and read in changing steps, with closings in between: each comes once, in order.
#[test]
fn every_frame_comes_once_whatever_the_pace() {
    let rounds = if cfg!(miri) { 300 } else { 50_000 };
    let mut seed = 7u64;
    let mut below = |n: usize| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize % n
    };
    let (mut ring, mut kernel) = ring(4);
    let mut expected = VecDeque::new();
    let (mut full, mut holes) = (0, 0);
    for _ in 0..rounds {
        match below(9) {
            8 => {
                // A hole, or what looks like one until it is finished, before anything else comes.
                let len = 14 + below(1500);
                let Some(at) = kernel.claim(&ring.map, len) else { continue };
                kernel.to_be_cut(&ring.map, at, 0);
                let looks = below(3);
                for _ in 0..looks {
                    for frame in take(&mut ring) {
                        assert_eq!(Some(frame), expected.pop_front());
                    }
                }
                if below(2) == 0 {
                    expected.push_back((kernel.seq | 1, len));
                    kernel.to_be_cut(&ring.map, at, 0x0100);
                    kernel.write(&ring.map, at, len, Step::Whole);
                } else {
                    holes += 1;
                }
            }
            0..4 => {
                let len = 14 + below(1500);
                match kernel.put(&ring.map, len) {
                    Some(byte) => expected.push_back((byte, len)),
                    None => full += 1,
                }
            }
            4 if kernel.at > block::FIRST => kernel.close(&ring.map, 0),
            5 => ring.release(),
            _ => {
                for frame in take(&mut ring) {
                    assert_eq!(Some(frame), expected.pop_front());
                }
            }
        }
    }
    loop {
        let frames = take(&mut ring);
        if frames.is_empty() {
            break;
        }
        for frame in frames {
            assert_eq!(Some(frame), expected.pop_front());
        }
    }
    assert_eq!((expected.len(), ring.likely_holes()), (0, holes));
    assert!(full > 0 || cfg!(miri), "the ring was never full");
    ring.release();
    assert!(!ring.has_frame());
}

/// A reader that finds half of the ring waiting says so before anything is lost.
#[test]
fn a_ring_that_fills_is_crowded() {
    for (full, crowded) in [(4, false), (5, true), (7, true)] {
        let (mut ring, mut kernel) = ring(8);
        for _ in 0..full {
            kernel.put(&ring.map, 3000).unwrap();
            kernel.close(&ring.map, 0);
        }
        assert!(kernel.put(&ring.map, 100).is_some(), "there is still room");
        assert!(!ring.is_crowded);
        while !take(&mut ring).is_empty() {}
        assert_eq!(ring.is_crowded, crowded, "{full} blocks of 8 waited");
    }
}

/// What is written over a frame, its headroom included, is no header later.
#[test]
fn what_users_leave_in_frames_is_zeroed() {
    let (mut ring, mut kernel) = ring(2);
    for _ in 0..200 {
        for _ in 0..5 {
            kernel.put(&ring.map, 300);
        }
        ring.receive(32, |f| f.buf.fill(0xff));
        ring.release();
        assert!(!ring.has_frame());
        let base = ring.read.block * BLOCK;
        // SAFETY: no frame is lent.
        let rest = unsafe { ring.map.bytes(base + ring.read.at, base + BLOCK) };
        assert!(rest.iter().all(|b| *b == 0), "old bytes where a header will be");
    }
}
