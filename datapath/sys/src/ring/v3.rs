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
//! * In a closed block a header without USER is a hole (a frame whose virtio header could not be made).

use std::os::fd::AsFd;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::alarm::Alarm;
use super::resize::{Resize, Share};
use super::{ETH_P_ALL, RingConfig, RingStats, TP_STATUS_USER, open_socket};
use crate::error::Result;
use crate::frame::{Frame, VNET_HDR_LEN, VnetHdr};
use crate::map::Map;
use crate::socket::PacketSocket;

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
}

/// A place in the ring.
#[derive(Clone, Copy, Debug)]
struct Place {
    block: usize,
    /// Offset in the block.
    at: usize,
}

#[derive(Debug)]
pub(super) struct V3 {
    // Before the sockets, so that it is unmapped before the close.
    map: Map,
    socket: PacketSocket,
    alarm: Alarm,
    ifindex: u32,
    promiscuous: bool,
    resize: Resize,
    share: Share,
    /// A ring bound already, to be read once this one is empty.
    next: Option<(PacketSocket, Map)>,
    block_bytes: usize,
    blocks: usize,
    batch_bytes: usize,
    /// The next header to read, and the headers read in its block.
    read: Place,
    done: u32,
    /// All before it was given back, or zeroed if its block is still open.
    returned: Place,
    stats: RingStats,
}

impl V3 {
    pub(super) fn open(ifindex: u32, config: &RingConfig) -> Result<Self> {
        // Making a ring waits for a grace period of the kernel: better both at once.
        let (alarm, ring) = std::thread::scope(|scope| {
            let alarm = scope.spawn(Alarm::open);
            let ring = Self::open_ring(config);
            (alarm.join(), ring)
        });
        let alarm = alarm.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let (socket, map) = ring?;
        alarm.bind(ifindex)?;
        Self::listen(&socket, ifindex, config.promiscuous)?;
        let first = Place { block: 0, at: block::FIRST };
        Ok(Self {
            resize: Resize::new(config, map.len()),
            share: Share::new(map.len()),
            next: None,
            ifindex,
            promiscuous: config.promiscuous,
            map,
            socket,
            alarm,
            block_bytes: config.block_bytes,
            blocks: config.blocks(),
            batch_bytes: config.batch_bytes,
            read: first,
            done: 0,
            returned: first,
            stats: RingStats::default(),
        })
    }

    fn listen(socket: &PacketSocket, ifindex: u32, promiscuous: bool) -> Result<()> {
        if promiscuous {
            socket.set_promiscuous(ifindex)?;
        }
        socket.bind(ifindex, ETH_P_ALL)
    }

    /// A ring that receives nothing yet.
    fn open_ring(config: &RingConfig) -> Result<(PacketSocket, Map)> {
        let socket = open_socket(libc::tpacket_versions::TPACKET_V3 as i32, config.headroom)?;
        let blocks = config.blocks();
        let request = libc::tpacket_req3 {
            tp_block_size: config.block_bytes as u32,
            tp_block_nr: blocks as u32,
            tp_frame_size: 2048,
            tp_frame_nr: (config.block_bytes / 2048 * blocks) as u32,
            tp_retire_blk_tov: config.retire_ms,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        socket.set("make a receive ring", libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let map = Map::new(socket.as_fd(), config.block_bytes * blocks)?;
        Ok((socket, map))
    }

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
            let status = self.map.word(base + block::STATUS).load(Acquire);
            let closed = status & TP_STATUS_USER != 0;
            let in_block = self.map.word(base + block::NUM_PKTS).load(Relaxed);
            let at = base + self.read.at;
            let past_end = at + hdr::END > end;
            if closed && (self.done >= in_block || past_end) {
                self.resize.note_block(status & libc::TP_STATUS_LOSING != 0);
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
            if !(closed || user && self.is_complete(at)) {
                return None;
            }
            let step = self.map.word(at + hdr::NEXT).load(Acquire) as usize;
            self.done += 1;
            // 0: the last of its block; what follows is found by the block's status.
            self.read.at = if step == 0 { self.block_bytes } else { (self.read.at + step).min(self.block_bytes) };
            if user {
                return Some((at, end));
            }
            self.stats.holes += 1;
        }
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
            self.stats.truncated += 1;
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
        self.resize.note_time(timestamp_ns);
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
            let status = self.map.word(self.returned.block * self.block_bytes + block::STATUS);
            status.store(0, Release);
            let next = (self.returned.block + 1) % self.blocks;
            self.returned = Place { block: next, at: block::FIRST };
        }
        if self.returned.at < self.read.at {
            self.zero_to(self.read.at);
            self.returned.at = self.read.at;
        }
        if self.resize.is_due() || self.next.is_some() {
            self.change_size();
        }
    }

    /// Goes on with a change of size. No frame is borrowed.
    #[cold]
    fn change_size(&mut self) {
        let lost = self.resize.take_losing();
        if lost {
            // Asked, the kernel stops marking blocks until it loses some again.
            self.stats();
        }
        if self.next.is_none() {
            let Some(made) = self.resize.step(lost, Self::open_ring) else { return };
            let bound = made.and_then(|(socket, map)| {
                self.socket.drop_everything()?;
                Self::listen(&socket, self.ifindex, self.promiscuous)?;
                Ok((socket, map))
            });
            match bound {
                Ok(next) => self.next = Some(next),
                Err(_) => {
                    // The device may be gone, or memory short: go on with what there is.
                    let _ = self.socket.drop_nothing();
                    self.resize.give_up(self.map.len());
                }
            }
        }
        if !self.has_frame() {
            self.take_next();
        }
    }

    /// Goes over to the next ring; the one in use is empty.
    fn take_next(&mut self) {
        let Some((socket, map)) = self.next.take() else { return };
        self.stats();
        self.share = Share::new(map.len());
        self.blocks = map.len() / self.block_bytes;
        self.read = Place { block: 0, at: block::FIRST };
        self.returned = self.read;
        self.done = 0;
        // In this order, so that the old memory is unmapped before its socket is closed.
        self.map = map;
        self.socket = socket;
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

    pub(super) fn prepare_sleep(&mut self) -> bool {
        self.release();
        self.alarm.arm();
        !self.has_frame()
    }

    /// Whether there is something to read, without reading it.
    fn has_frame(&self) -> bool {
        let base = self.read.block * self.block_bytes;
        if self.map.word(base + block::STATUS).load(Acquire) & TP_STATUS_USER != 0 {
            return true;
        }
        let at = base + self.read.at;
        // USER alone is enough to stay awake for: the rest of the header is being written.
        at + hdr::END <= base + self.block_bytes && self.map.word(at + hdr::STATUS).load(Acquire) & TP_STATUS_USER != 0
    }

    pub(super) fn stats(&mut self) -> RingStats {
        let words = self.socket.get_words::<3>("read ring statistics", libc::SOL_PACKET, libc::PACKET_STATISTICS);
        if let Ok([packets, drops, _freezes]) = words {
            // The kernel forgets what it told.
            self.stats.packets += u64::from(packets);
            self.stats.drops += u64::from(drops);
        }
        self.stats
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.map.len()
    }

    pub(super) fn socket(&self) -> &PacketSocket {
        &self.socket
    }

    pub(super) fn alarm(&self) -> &PacketSocket {
        self.alarm.socket()
    }
}
