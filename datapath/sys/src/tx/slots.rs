//! The slots of a sending ring: who has which, apart from sockets, so that a test may be the kernel.
//!
//! A slot is ours until its status asks the kernel to send it, and again when the kernel has put the status back. The
//! kernel looks at slots in their order, in calls of ours alone, and stops before one it does not take: its place and
//! ours are the same between calls. It copies what it goes on to hold when the memory is ours again (Linux 4.20).

use std::sync::atomic::Ordering::{Acquire, Release};

use super::TxFrame;
use crate::frame::VNET_HDR_LEN;
use crate::map::Map;

/// Where the frame begins in a slot, behind `tpacket2_hdr`.
const DATA: usize = 32;
/// The frame's length, in `tpacket2_hdr`; its status is first.
const LEN: usize = 4;
/// An Ethernet header and two VLAN tags, bytes.
const ETHERNET: usize = 14 + 8;

/// A ring's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Bytes of a slot.
    pub(super) slot: usize,
    /// Slots of a block.
    pub(super) per_block: usize,
}

/// Bytes of a block.
pub(super) const BLOCK: usize = 64 << 10;
/// Blocks of a ring.
pub(super) const BLOCKS: usize = 8;
/// The longest slot, bytes: what is longer is rare, but for what is to be cut later.
const LONGEST: usize = 16 << 10;

impl Shape {
    /// Slots for the frames of a device.
    pub(super) fn of_mtu(mtu: usize) -> Self {
        let least = (DATA + VNET_HDR_LEN + ETHERNET).saturating_add(mtu).min(LONGEST);
        // A slot should not lie across pages where it need not.
        let slot = if least <= 4096 { least.next_power_of_two().max(2048) } else { least.next_multiple_of(64) };
        Self { slot, per_block: BLOCK / slot }
    }

    pub(super) fn slots(&self) -> usize {
        self.per_block * BLOCKS
    }

    /// The longest frame a slot takes, bytes.
    pub(super) fn room(&self) -> usize {
        self.slot - DATA - VNET_HDR_LEN
    }
}

#[derive(Debug)]
pub(super) struct Slots {
    map: Map,
    shape: Shape,
    /// The slot that the kernel looks at next.
    head: usize,
}

impl Slots {
    pub(super) fn new(map: Map, shape: Shape) -> Self {
        assert!(map.len() >= BLOCK * BLOCKS && shape.slot * shape.per_block <= BLOCK);
        Self { map, shape, head: 0 }
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// Where the slot begins that is `ahead` of the head.
    fn at(&self, ahead: usize) -> usize {
        let slot = (self.head + ahead) % self.shape.slots();
        slot / self.shape.per_block * BLOCK + slot % self.shape.per_block * self.shape.slot
    }

    /// Fills slots from the head on, and asks the kernel to send them; says how many: as many as are ours. All frames
    /// must fit.
    pub(super) fn fill(&mut self, frames: &[TxFrame<'_>]) -> usize {
        let mut filled = 0;
        for frame in frames.iter().take(self.shape.slots()) {
            let at = self.at(filled);
            if self.map.word(at).load(Acquire) & libc::TP_STATUS_SENDING != 0 {
                break;
            }
            let len = VNET_HDR_LEN + frame.len();
            assert!(
                len <= self.shape.slot - DATA,
                "a frame of {} bytes for a slot of {}",
                frame.len(),
                self.shape.slot
            );
            // SAFETY: the kernel is not in a call of ours, which alone has it look at slots, and is not sending from
            // this one; the slice ends before the next.
            let slot = unsafe { self.map.bytes(at + DATA, at + DATA + len) };
            let (vnet, rest) = slot.split_at_mut(VNET_HDR_LEN);
            let (head, body) = rest.split_at_mut(frame.head.len());
            vnet.copy_from_slice(&frame.vnet.to_bytes());
            head.copy_from_slice(frame.head);
            body.copy_from_slice(frame.body);
            self.map.word(at + LEN).store(len as u32, Release);
            self.map.word(at).store(libc::TP_STATUS_SEND_REQUEST, Release);
            filled += 1;
        }
        filled
    }

    /// Steps past what the kernel has taken of so many filled ones, and takes the others back; says how many it took.
    pub(super) fn settle(&mut self, filled: usize) -> usize {
        const LEFT: u32 = libc::TP_STATUS_SEND_REQUEST | libc::TP_STATUS_WRONG_FORMAT;
        let is_left = |ahead: &usize| self.map.word(self.at(*ahead)).load(Acquire) & LEFT != 0;
        let taken = (0..filled).find(is_left).unwrap_or(filled);
        for ahead in taken..filled {
            self.map.word(self.at(ahead)).store(libc::TP_STATUS_AVAILABLE, Release);
        }
        self.head = (self.head + taken) % self.shape.slots();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::VnetHdr;

    /// A kernel that has its own place, and sends at once or later.
    struct Kernel(usize);

    impl Kernel {
        fn at(&self, slots: &Slots) -> usize {
            let per_block = slots.shape.per_block;
            self.0 / per_block * BLOCK + self.0 % per_block * slots.shape.slot
        }

        /// Takes up to `most` requested slots and leaves `status`; gives what was in them.
        fn take(&mut self, slots: &Slots, most: usize, status: u32) -> Vec<Vec<u8>> {
            let mut seen = Vec::new();
            while seen.len() < most {
                let at = self.at(slots);
                if slots.map.word(at).load(Acquire) != libc::TP_STATUS_SEND_REQUEST {
                    break;
                }
                let len = slots.map.word(at + LEN).load(Acquire) as usize;
                // SAFETY: requested, so the kernel's, which is us.
                seen.push(unsafe { slots.map.bytes(at + DATA, at + DATA + len) }.to_vec());
                slots.map.word(at).store(status, Release);
                self.0 = (self.0 + 1) % slots.shape.slots();
            }
            seen
        }
    }

    fn slots(mtu: usize) -> Slots {
        Slots::new(Map::plain(BLOCK * BLOCKS), Shape::of_mtu(mtu))
    }

    #[test]
    fn slots_hold_the_frames_of_a_device() {
        for (mtu, slot, slots) in [
            (68, 2048, 256),
            (1500, 2048, 256),
            (1984, 2048, 256),
            (1985, 4096, 128),
            (9000, 9088, 56),
            (65_535, 16384, 32),
        ] {
            let shape = Shape::of_mtu(mtu);
            assert_eq!((shape.slot, shape.slots()), (slot, slots), "{mtu}");
            assert!(mtu > LONGEST || shape.room() >= mtu + ETHERNET, "{mtu}");
        }
        assert_eq!(Shape::of_mtu(usize::MAX), Shape::of_mtu(65_535));
    }

    #[test]
    fn frames_go_round_in_order() {
        for mtu in [1500, 9000] {
            let (mut slots, mut kernel) = (slots(mtu), Kernel(0));
            let n = slots.shape.slots();
            let bodies: Vec<_> = (0..n + 5).map(|i| vec![i as u8; 20 + i % 100]).collect();
            let vnet = VnetHdr { flags: 1, csum_start: 3, ..VnetHdr::default() };
            let frames: Vec<_> =
                bodies.iter().map(|b| TxFrame { vnet, head: &b[..4], body: &b[4..], priority: 0 }).collect();
            for _ in 0..3 {
                assert_eq!(slots.fill(&frames), n, "no more than there are");
                let seen = kernel.take(&slots, usize::MAX, libc::TP_STATUS_AVAILABLE);
                let expected = bodies[..n].iter().map(|b| [&vnet.to_bytes()[..], b].concat());
                assert!(seen.into_iter().eq(expected));
                assert_eq!(slots.settle(n), n);
                // Not in step with the ring's end.
                assert_eq!(slots.fill(&frames[..5]), 5);
                kernel.take(&slots, 5, libc::TP_STATUS_AVAILABLE);
                assert_eq!(slots.settle(5), 5);
            }
        }
    }

    #[test]
    fn what_is_not_taken_is_ours_again() {
        let (mut slots, mut kernel) = (slots(1500), Kernel(0));
        let bodies: Vec<_> = (0..8).map(|i| [i; 60]).collect();
        let frames: Vec<_> = bodies.iter().map(|body| TxFrame { body, ..TxFrame::default() }).collect();
        assert_eq!(slots.fill(&frames), 8);
        kernel.take(&slots, 3, libc::TP_STATUS_SENDING);
        // The fourth is refused, and the kernel stays before it.
        let at = kernel.at(&slots);
        slots.map.word(at).store(libc::TP_STATUS_WRONG_FORMAT, Release);
        assert_eq!(slots.settle(8), 3);
        assert!((0..5).all(|ahead| slots.map.word(slots.at(ahead)).load(Acquire) == libc::TP_STATUS_AVAILABLE));
        assert_eq!(slots.fill(&frames[4..]), 4);
        let seen = kernel.take(&slots, usize::MAX, libc::TP_STATUS_SENDING);
        assert!(seen.iter().map(|s| s[VNET_HDR_LEN]).eq(4..8), "those after the refused one");
        assert_eq!(slots.settle(4), 4);
    }

    #[test]
    fn slots_that_are_on_their_way_are_left_alone() {
        let (mut slots, mut kernel) = (slots(1500), Kernel(0));
        let n = slots.shape.slots();
        let frame = [TxFrame { body: &[7; 60], ..TxFrame::default() }];
        for _ in 0..n {
            assert_eq!(slots.fill(&frame), 1);
            kernel.take(&slots, 1, libc::TP_STATUS_SENDING);
            assert_eq!(slots.settle(1), 1);
        }
        assert_eq!(slots.fill(&frame), 0, "the ring is full");
        slots.map.word(slots.at(0)).store(libc::TP_STATUS_AVAILABLE, Release);
        assert_eq!(slots.fill(&[frame[0]; 2]), 1, "one is sent, the next is not");
    }
}
