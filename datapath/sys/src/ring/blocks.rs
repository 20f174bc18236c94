//! `TPACKET_V3`, read ahead of the retirement of its blocks.
//!
//! A block reaches user space when it is full or when its timer retires it, at the earliest after 1 ms. To
//! answer sooner the open block is read as it fills. The kernel's order of writes for a frame, from its
//! source: under the queue's lock the previous header's `tp_next_offset`, block length, `num_pkts + 1`, then
//! `tp_status` = 0 (or the VLAN bits); unlocked the payload, then `tp_status |= USER`, *then* the lengths,
//! `tp_mac`, the time, and last the link-level address, its interface index at the end. When a block closes,
//! no copy is in flight: the last `tp_next_offset` = 0, a barrier, `block_status` = USER. Therefore:
//!
//! * A header of an open block counts only when USER is set and the fields written after it, to the very
//!   last, are nonzero. Each is one aligned store; x86-64 keeps their order, weaker machines use V2.
//! * A next header may fall on what an old frame left, so all of a consumed area is zeroed before its block
//!   goes back, and a block goes back only once `block_status` says USER.
//! * `tp_next_offset` is set before USER; 0 means the block closed meanwhile.
//! * In a closed block a header without USER is a hole: a frame whose virtio header could not be made, as of SCTP that is
//!   to be cut, and which the kernel counts as dropped. In an open one it is that or a frame on its way; both are counted
//!   in `num_pkts`, so there is no sleep. What a hole has of its virtio header tells: a size to cut to, and no kind. What
//!   looks so twice is passed over. It is written under the lock, so the next header's being counted makes it final. The
//!   last one may yet, if its writer is kept from running for long, be a frame: nothing from it on is zeroed until it is
//!   known, and should it be one, that comes late.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{BLOCKS_AT_LEAST, RingConfig, TP_STATUS_USER};
use crate::frame::{Frame, VNET_HDR_LEN, VnetHdr};
use crate::map::Map;

/// Offsets in a block's header (`tpacket_block_desc`).
mod block {
    pub(super) const STATUS: usize = 8;
    pub(super) const NUM_PKTS: usize = 12;
    pub(super) const LEN: usize = 20;
    /// The first frame's header.
    pub(super) const FIRST: usize = 48;
}

/// Offsets in a frame's header (`tpacket3_hdr` and the `sockaddr_ll` behind it).
mod hdr {
    pub(super) const NEXT: usize = 0;
    pub(super) const SEC: usize = 4;
    pub(super) const NSEC: usize = 8;
    pub(super) const SNAPLEN: usize = 12;
    pub(super) const LEN: usize = 16;
    pub(super) const STATUS: usize = 20;
    pub(super) const MAC: usize = 24;
    pub(super) const VLAN_TCI: usize = 32;
    pub(super) const VLAN_TPID: usize = 36;
    pub(super) const SLL_FAMILY: usize = 48;
    pub(super) const SLL_IFINDEX: usize = 52;
    /// Where the kernel stops writing and headroom begins.
    pub(super) const END: usize = 68;
    /// What the kernel leaves for an Ethernet header before it aligns what is behind that, and how it does.
    pub(super) const LINK_ROOM: usize = 16;
    pub(super) const ALIGNMENT: usize = 16;
    /// In a virtio header (`virtio_net_hdr`): flags and kind of segments, and their size.
    pub(super) const VNET_KIND: usize = 0;
    pub(super) const VNET_SIZE: usize = 4;
}

/// Octets of an Ethernet header.
const ETHERNET: usize = 14;

/// A place in the ring.
#[derive(Clone, Copy, Debug)]
struct Place {
    block: usize,
    /// Offset in the block.
    at: usize,
}

/// Reads the blocks of a ring. It knows nothing of sockets: whoever writes the memory in the kernel's order will do.
#[derive(Debug)]
pub(super) struct Blocks {
    map: Map,
    block_bytes: usize,
    blocks: usize,
    batch_bytes: usize,
    /// The next header to read, and the headers read in its block.
    read: Place,
    done: u32,
    /// All before it was given back, or zeroed if its block is still open.
    returned: Place,
    /// From a header's beginning to the virtio header of an Ethernet frame.
    vnet_at: usize,
    /// Where a header looked like a hole's when it was seen last.
    suspect: Option<usize>,
    /// A header in the block that is read that was passed over as a hole, by offset in the ring, and may yet be none.
    doubtful: Option<usize>,
    /// Frames dropped for being cut short.
    pub(super) truncated: u64,
    /// Headers without a frame.
    pub(super) holes: u64,
    /// Half of the ring was found waiting.
    pub(super) is_crowded: bool,
    /// Blocks that said that frames were lost, holes among them.
    pub(super) losing: u32,
    /// When the last frame was seen, ns since the epoch.
    pub(super) now_ns: u64,
}

impl Blocks {
    /// Reads all of the memory from its start, as blocks of the configured size.
    pub(super) fn new(map: Map, config: &RingConfig) -> Self {
        let first = Place { block: 0, at: block::FIRST };
        Self {
            blocks: map.len() / config.block_bytes,
            map,
            block_bytes: config.block_bytes,
            batch_bytes: config.batch_bytes,
            read: first,
            done: 0,
            returned: first,
            vnet_at: (hdr::END + hdr::LINK_ROOM).next_multiple_of(hdr::ALIGNMENT) + config.headroom as usize - ETHERNET,
            suspect: None,
            doubtful: None,
            truncated: 0,
            holes: 0,
            is_crowded: false,
            losing: 0,
            now_ns: 0,
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.map.len()
    }

    /// Hands out up to `max` frames, after what the last call handed out went back.
    pub(super) fn receive<'a>(&'a mut self, max: usize, mut each: impl FnMut(Frame<'a>)) -> usize {
        self.release();
        let (mut n, mut bytes) = (0, 0);
        while n < max && bytes < self.batch_bytes {
            let Some(header) = self.next_header() else { break };
            if let Some(frame) = self.frame(header) {
                bytes += frame.len;
                n += 1;
                each(frame);
            }
        }
        n
    }

    /// Finds the next finished header, steps past it, and says where it is and where its block ends.
    fn next_header(&mut self) -> Option<(usize, usize)> {
        loop {
            let base = self.read.block * self.block_bytes;
            let end = base + self.block_bytes;
            if let Some(at) = self.doubtful
                && self.is_late_frame(at)
            {
                return Some((at, end));
            }
            let status = self.map.word(base + block::STATUS).load(Acquire);
            let closed = status & TP_STATUS_USER != 0;
            let in_block = self.map.word(base + block::NUM_PKTS).load(Acquire);
            let at = base + self.read.at;
            let past_end = at + hdr::END > end;
            if closed && (self.done >= in_block || past_end) {
                if let Some(at) = self.doubtful
                    && self.is_late_frame(at)
                {
                    return Some((at, end));
                }
                self.suspect = None;
                self.losing += u32::from(status & libc::TP_STATUS_LOSING != 0);
                self.is_crowded |= self.is_half_full();
                let next = (self.read.block + 1) % self.blocks;
                if next == self.returned.block {
                    return None;
                }
                self.read = Place { block: next, at: block::FIRST };
                self.done = 0;
                continue;
            }
            if past_end {
                return None;
            }
            let user = self.map.word(at + hdr::STATUS).load(Acquire) & TP_STATUS_USER != 0;
            let is_whole = closed || user && self.is_complete(at);
            if !(is_whole || self.done < in_block && self.passes_over(at, end)) {
                return None;
            }
            let step = self.map.word(at + hdr::NEXT).load(Acquire) as usize;
            self.done += 1;
            // 0: the last of its block; what follows is found by the block's status.
            self.read.at = if step == 0 { self.block_bytes } else { (self.read.at + step).min(self.block_bytes) };
            match (is_whole, user) {
                // Its fate is known when the next one is counted, or the block closes.
                (false, _) => self.doubtful = Some(at),
                (true, false) => self.holes += 1,
                (true, true) => return Some((at, end)),
            }
        }
    }

    /// Whether an unfinished header in an open block is to be passed over as a hole.
    #[cold]
    fn passes_over(&mut self, at: usize, end: usize) -> bool {
        let looks_so = self.doubtful.is_none() && self.looks_like_hole(at, end);
        let twice = looks_so && self.suspect == Some(at);
        self.suspect = looks_so.then_some(at);
        twice
    }

    fn looks_like_hole(&self, at: usize, end: usize) -> bool {
        let vnet = at + self.vnet_at;
        // Where the next one goes is known from the beginning, unless the block is about to close.
        self.map.word(at + hdr::NEXT).load(Acquire) != 0
            && vnet.is_multiple_of(2)
            && vnet + VNET_HDR_LEN <= end
            && self.map.word(at + hdr::STATUS).load(Acquire) & TP_STATUS_USER == 0
            && self.map.half(vnet + hdr::VNET_SIZE).load(Acquire) != 0
            && self.map.half(vnet + hdr::VNET_KIND).load(Acquire) == 0
    }

    /// Whether what was passed over as a hole is a frame, and finished; if its fate is known it is doubtful no longer.
    #[cold]
    fn is_late_frame(&mut self, at: usize) -> bool {
        let base = self.read.block * self.block_bytes;
        // In this order: what is not finished when the block is closed never will be.
        let closed = self.map.word(base + block::STATUS).load(Acquire) & TP_STATUS_USER != 0;
        let has_next = self.map.word(base + block::NUM_PKTS).load(Acquire) > self.done;
        let user = self.map.word(at + hdr::STATUS).load(Acquire) & TP_STATUS_USER != 0;
        let is_frame = user && (closed || self.is_complete(at));
        let is_hole = closed && !user || has_next && self.looks_like_hole(at, base + self.block_bytes);
        if is_frame || is_hole {
            self.doubtful = None;
            self.holes += u64::from(!is_frame);
        }
        is_frame
    }

    /// Holes so far, one that may yet turn out to be none included.
    pub(super) fn likely_holes(&self) -> u64 {
        self.holes + u64::from(self.doubtful.is_some())
    }

    /// Whether so much waits to be read that frames may soon be lost. Blocks that were read and not given back are too
    /// few to be taken for such, but in rings that are too small to tell.
    fn is_half_full(&self) -> bool {
        let ahead = (self.read.block + self.blocks / 2) % self.blocks;
        let status = self.map.word(ahead * self.block_bytes + block::STATUS).load(Relaxed);
        self.blocks >= BLOCKS_AT_LEAST && status & TP_STATUS_USER != 0
    }

    /// Whether the kernel has written the last of an open block's header.
    fn is_complete(&self, at: usize) -> bool {
        self.map.word(at + hdr::SLL_IFINDEX).load(Acquire) != 0
            && self.map.half(at + hdr::SLL_FAMILY).load(Acquire) != 0
            && self.map.half(at + hdr::MAC).load(Acquire) != 0
            && self.map.word(at + hdr::SNAPLEN).load(Acquire) != 0
            && self.map.word(at + hdr::LEN).load(Acquire) != 0
    }

    /// The frame behind a finished header; `None` if it came truncated or makes no sense.
    fn frame<'a>(&mut self, (at, end): (usize, usize)) -> Option<Frame<'a>> {
        let word = |field: usize| self.map.word(at + field).load(Relaxed);
        let mac = self.map.half(at + hdr::MAC).load(Relaxed) as usize;
        let len = word(hdr::SNAPLEN) as usize;
        if (word(hdr::LEN) as usize) > len || mac < hdr::END + VNET_HDR_LEN || at + mac + len > end {
            self.truncated += 1;
            return None;
        }
        // SAFETY: the header is finished: the kernel, the only other party, writes this area again only
        // after its block went back in `release`, which needs the ring, borrowed for the frame's life.
        // Headers never overlap, so no other frame has these bytes; `END` is past what the kernel may
        // still be writing of the header.
        let buf: &'a mut [u8] = unsafe { self.map.bytes(at + hdr::END, at + mac + len) };
        let start = mac - hdr::END;
        let mut vnet = [0; VNET_HDR_LEN];
        vnet.copy_from_slice(&buf[start - VNET_HDR_LEN..start]);
        let timestamp_ns = u64::from(word(hdr::SEC)) * 1_000_000_000 + u64::from(word(hdr::NSEC));
        let mut frame = Frame { buf, start, len, vnet: VnetHdr::from_bytes(&vnet), timestamp_ns };
        let status = word(hdr::STATUS);
        self.now_ns = timestamp_ns;
        if status & libc::TP_STATUS_VLAN_VALID != 0 {
            let tpid = if status & libc::TP_STATUS_VLAN_TPID_VALID != 0 {
                self.map.half(at + hdr::VLAN_TPID).load(Relaxed)
            } else {
                libc::ETH_P_8021Q as u16
            };
            frame.restore_vlan(tpid, word(hdr::VLAN_TCI) as u16);
        }
        Some(frame)
    }

    /// Zeroes what was read, and gives the blocks read to their end back.
    pub(super) fn release(&mut self) {
        while self.returned.block != self.read.block {
            self.zero_to(self.block_bytes);
            let base = self.returned.block * self.block_bytes;
            // Until the kernel opens the block anew, it has none.
            self.map.word(base + block::NUM_PKTS).store(0, Relaxed);
            self.map.word(base + block::STATUS).store(0, Release);
            let next = (self.returned.block + 1) % self.blocks;
            self.returned = Place { block: next, at: block::FIRST };
        }
        // What may yet be written to stays as it is.
        let base = self.read.block * self.block_bytes;
        let until = self.doubtful.map_or(self.read.at, |at| self.read.at.min(at - base));
        if self.returned.at < until {
            self.zero_to(until);
            self.returned.at = until;
        }
    }

    /// Zeroes the first block not given back, from what is zero already up to offset `to`, or to what was
    /// ever written there.
    fn zero_to(&self, to: usize) {
        let base = self.returned.block * self.block_bytes;
        let written = (self.map.word(base + block::LEN).load(Acquire) as usize).next_multiple_of(8);
        let to = to.min(written.min(self.block_bytes));
        if self.returned.at < to {
            // SAFETY: frames up to `to` are finished and read, so the kernel is done with them until the
            // block goes back; and no frame is borrowed, for this ring is not.
            unsafe { self.map.zero(base + self.returned.at, base + to) };
        }
    }

    /// Whether there is something to read, without reading it.
    pub(super) fn has_frame(&self) -> bool {
        let base = self.read.block * self.block_bytes;
        if self.map.word(base + block::STATUS).load(Acquire) & TP_STATUS_USER != 0 {
            return true;
        }
        // What is counted but cannot be read yet is being written, or is a hole: the alarm went off for it already. What was
        // passed over is looked at as soon as anything comes.
        self.map.word(base + block::NUM_PKTS).load(Acquire) > self.done
            || self.doubtful.is_some_and(|at| self.map.word(at + hdr::STATUS).load(Acquire) & TP_STATUS_USER != 0)
    }
}

#[cfg(test)]
#[path = "blocks_test.rs"]
mod tests;
