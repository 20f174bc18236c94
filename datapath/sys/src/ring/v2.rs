//! `TPACKET_V2`: a slot of 2 KiB a frame. Larger frames are kept whole by the kernel (`PACKET_COPY_THRESH`)
//! and fetched by `recv`, in the order of their slots.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::arena::{Arena, FETCH_HEADROOM};
use super::{ETH_P_ALL, MAX_FRAME, RingConfig, RingStats, TP_STATUS_USER, open_socket};
use crate::error::Result;
use crate::frame::{Frame, VNET_HDR_LEN, VnetHdr};
use crate::map::Map;
use crate::socket::PacketSocket;

const SLOT_BYTES: usize = 2048;
/// What the kernel may keep of large frames, bytes.
const RECEIVE_BUFFER: i32 = 8 << 20;

/// Offsets in a slot's header (`tpacket2_hdr` and the `sockaddr_ll` behind it).
mod hdr {
    pub(super) const STATUS: usize = 0;
    pub(super) const LEN: usize = 4;
    pub(super) const SNAPLEN: usize = 8;
    pub(super) const MAC: usize = 12;
    pub(super) const SEC: usize = 16;
    pub(super) const NSEC: usize = 20;
    pub(super) const VLAN_TCI: usize = 24;
    pub(super) const VLAN_TPID: usize = 26;
    /// Where headroom begins.
    pub(super) const END: usize = 52;
}

#[derive(Debug)]
pub(super) struct V2 {
    // Before the socket, so that it is unmapped before the close.
    map: Map,
    socket: PacketSocket,
    slots: usize,
    batch_bytes: usize,
    promiscuous: bool,
    /// The next slot to read, and how many before it were read but not given back.
    next: usize,
    held: usize,
    arena: Arena,
    stats: RingStats,
}

impl V2 {
    /// A ring that hears nothing yet.
    pub(super) fn make(config: &RingConfig) -> Result<Self> {
        let socket = open_socket(libc::tpacket_versions::TPACKET_V2 as i32, config.headroom)?;
        socket.set_int("ask for whole large frames", libc::PACKET_COPY_THRESH, 1)?;
        socket.set_buffer(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, RECEIVE_BUFFER);
        let blocks = config.blocks();
        let slots = config.block_bytes / SLOT_BYTES * blocks;
        let request = libc::tpacket_req {
            tp_block_size: config.block_bytes as u32,
            tp_block_nr: blocks as u32,
            tp_frame_size: SLOT_BYTES as u32,
            tp_frame_nr: slots as u32,
        };
        socket.set("make a receive ring", libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let map = Map::new(socket.as_fd(), slots * SLOT_BYTES)?;
        let arena_bytes = config.batch_bytes + FETCH_HEADROOM + MAX_FRAME;
        Ok(Self {
            map,
            socket,
            slots,
            batch_bytes: config.batch_bytes,
            promiscuous: config.promiscuous,
            next: 0,
            held: 0,
            arena: Arena::new(arena_bytes),
            stats: RingStats::default(),
        })
    }

    /// Listens to the device from now on.
    pub(super) fn bind(&self, ifindex: u32) -> Result<()> {
        if self.promiscuous {
            self.socket.set_promiscuous(ifindex)?;
        }
        self.socket.bind(ifindex, ETH_P_ALL)
    }

    pub(super) fn receive<'a>(&'a mut self, max: usize, mut each: impl FnMut(Frame<'a>)) -> usize {
        self.release();
        let (mut n, mut bytes) = (0, 0);
        while n < max && bytes < self.batch_bytes && self.held < self.slots && self.arena.has_room() {
            let at = self.next * SLOT_BYTES;
            let status = self.map.word(at + hdr::STATUS).load(Acquire);
            if status & TP_STATUS_USER == 0 {
                break;
            }
            self.next = (self.next + 1) % self.slots;
            self.held += 1;
            let frame = if status & libc::TP_STATUS_COPY != 0 { self.fetch() } else { self.slot(at) };
            let Some(mut frame) = frame else {
                self.stats.truncated += 1;
                continue;
            };
            let sec = self.map.word(at + hdr::SEC).load(Relaxed);
            let nsec = self.map.word(at + hdr::NSEC).load(Relaxed);
            frame.timestamp_ns = u64::from(sec) * 1_000_000_000 + u64::from(nsec);
            if status & libc::TP_STATUS_VLAN_VALID != 0 {
                let tpid = if status & libc::TP_STATUS_VLAN_TPID_VALID != 0 {
                    self.map.half(at + hdr::VLAN_TPID).load(Relaxed)
                } else {
                    libc::ETH_P_8021Q as u16
                };
                frame.restore_vlan(tpid, self.map.half(at + hdr::VLAN_TCI).load(Relaxed));
            }
            bytes += frame.len;
            n += 1;
            each(frame);
        }
        n
    }

    /// The frame in the slot at `at`; `None` if it came truncated or makes no sense.
    fn slot<'a>(&self, at: usize) -> Option<Frame<'a>> {
        let mac = self.map.half(at + hdr::MAC).load(Relaxed) as usize;
        let len = self.map.word(at + hdr::SNAPLEN).load(Relaxed) as usize;
        let whole = self.map.word(at + hdr::LEN).load(Relaxed) as usize;
        if whole > len || mac < hdr::END + VNET_HDR_LEN || mac + len > SLOT_BYTES {
            return None;
        }
        // SAFETY: USER was seen, so the kernel, the only other party, leaves the slot alone until its status
        // is reset in `release`, which needs the ring, borrowed for the frame's life; each slot is handed
        // out once.
        let buf: &'a mut [u8] = unsafe { self.map.bytes(at + hdr::END, at + SLOT_BYTES) };
        let start = mac - hdr::END;
        let mut vnet = [0; VNET_HDR_LEN];
        vnet.copy_from_slice(&buf[start - VNET_HDR_LEN..start]);
        Some(Frame { buf, start, len, vnet: VnetHdr::from_bytes(&vnet), timestamp_ns: 0 })
    }

    /// Fetches a frame too large for its slot.
    fn fetch<'a>(&mut self) -> Option<Frame<'a>> {
        // SAFETY: `used` moves past the part that is handed out, and starts over only in `release`, which
        // needs the ring, borrowed for the frame's life; nobody but this ring knows the memory.
        let room: &'a mut [u8] = unsafe { self.arena.front(FETCH_HEADROOM + MAX_FRAME) }?;
        let mut vnet = [0; VNET_HDR_LEN];
        let frame = &mut room[FETCH_HEADROOM..];
        // The first call may give the error of a link that was down; the frame waits behind it.
        let n =
            self.socket.recv_parts(&mut vnet, frame).or_else(|_| self.socket.recv_parts(&mut vnet, frame)).ok()??;
        let len = n.checked_sub(VNET_HDR_LEN).filter(|len| *len <= MAX_FRAME)?;
        let buf = room.get_mut(..FETCH_HEADROOM + len)?;
        self.arena.used += buf.len();
        Some(Frame { buf, start: FETCH_HEADROOM, len, vnet: VnetHdr::from_bytes(&vnet), timestamp_ns: 0 })
    }

    pub(super) fn release(&mut self) {
        let first = (self.next + self.slots - self.held) % self.slots;
        for i in 0..self.held {
            let slot = (first + i) % self.slots;
            self.map.word(slot * SLOT_BYTES + hdr::STATUS).store(0, Release);
        }
        self.held = 0;
        self.arena.used = 0;
    }

    pub(super) fn prepare_sleep(&mut self) -> bool {
        self.release();
        self.map.word(self.next * SLOT_BYTES + hdr::STATUS).load(Acquire) & TP_STATUS_USER == 0
    }

    pub(super) fn stats(&mut self) -> RingStats {
        let words = self.socket.get_words::<2>("read ring statistics", libc::SOL_PACKET, libc::PACKET_STATISTICS);
        if let Ok([packets, drops]) = words {
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
}
