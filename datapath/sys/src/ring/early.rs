//! Receiving by a plain packet socket, for a device that has sent next to nothing yet. A ring has memory, which the
//! kernel clears as it makes it, and a second socket: of hundreds of ports few are ever busy.
//!
//! When some frames have come a ring takes over ([`super::RingStock::succeed`]). The kernel shows a frame to the ring
//! first, as it was bound last; the ring's program leaves word of that, and the socket's, which is asked about the same
//! frame on the same processor after it, takes what the ring was not asked about. So each frame comes by one of the
//! two, and what came by the socket is older. The device's ingress filter takes the word back behind both.
//!
//! Source: packet(7), `PACKET_AUXDATA` and `PACKET_VNET_HDR`.

use std::os::fd::{AsFd, BorrowedFd};

use super::arena::{Arena, FETCH_HEADROOM};
use super::{ETH_P_ALL, MAX_FRAME, RingConfig, RingStats};
use crate::bpf::PortPrograms;
use crate::error::Result;
use crate::frame::{Frame, VNET_HDR_LEN, VnetHdr};
use crate::socket::PacketSocket;

/// What the kernel may keep of frames that nobody has read yet, bytes; it takes memory as they come.
const RECEIVE_BUFFER: i32 = 8 << 20;

/// A receive queue of one device without memory of its own.
#[derive(Debug)]
pub struct EarlySocket {
    socket: PacketSocket,
    ifindex: u32,
    batch_bytes: usize,
    /// Made when the first frame is there.
    arena: Option<Arena>,
    stats: RingStats,
}

impl EarlySocket {
    /// Opens a socket that takes every frame the device receives. The ingress filter of these programs must be in force
    /// already.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn open(ifindex: u32, config: &RingConfig, programs: &PortPrograms) -> Result<Self> {
        let socket = PacketSocket::open()?;
        socket.set_int("ask for virtio headers", libc::PACKET_VNET_HDR, 1)?;
        socket.set_int("ignore outgoing frames", libc::PACKET_IGNORE_OUTGOING, 1)?;
        socket.set_int("ask for tags", libc::PACKET_AUXDATA, 1)?;
        socket.set_buffer(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, RECEIVE_BUFFER);
        socket.attach(&programs.early)?;
        if config.promiscuous {
            socket.set_promiscuous(ifindex)?;
        }
        socket.bind(ifindex, ETH_P_ALL)?;
        Ok(Self { socket, ifindex, batch_bytes: config.batch_bytes, arena: None, stats: RingStats::default() })
    }

    /// The device's index.
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// Takes up to `max` frames, as [`super::RxRing::receive`] does.
    pub fn receive<'a>(&'a mut self, max: usize, mut each: impl FnMut(Frame<'a>)) -> usize {
        if self.arena.is_none() {
            if !self.socket.has_frame() {
                return 0;
            }
            self.arena = Some(Arena::new(self.batch_bytes + FETCH_HEADROOM + MAX_FRAME));
        }
        let Self { socket, arena: Some(arena), batch_bytes, stats, .. } = self else { return 0 };
        arena.used = 0;
        let (mut n, mut bytes) = (0, 0);
        while n < max && bytes < *batch_bytes && arena.has_room() {
            // SAFETY: `used` moves past the part that is handed out, and starts over only above, which needs the socket,
            // borrowed for the frame's life; nobody but this socket knows the memory.
            let Some(room): Option<&'a mut [u8]> = (unsafe { arena.front(FETCH_HEADROOM + MAX_FRAME) }) else { break };
            let mut vnet = [0; VNET_HDR_LEN];
            let (_, into) = room.split_at_mut(FETCH_HEADROOM);
            // The first call may give the error of a link that was down; frames wait behind it.
            let got = socket.recv_tagged(&mut vnet, into).or_else(|_| socket.recv_tagged(&mut vnet, into));
            let Ok(Some((whole, tag))) = got else { break };
            let Some(len) = whole.checked_sub(VNET_HDR_LEN).filter(|len| *len <= MAX_FRAME) else {
                stats.truncated += 1;
                continue;
            };
            let Some(buf) = room.get_mut(..FETCH_HEADROOM + len) else { break };
            arena.used += buf.len();
            let vnet = VnetHdr::from_bytes(&vnet);
            let mut frame = Frame { buf, start: FETCH_HEADROOM, len, vnet, timestamp_ns: 0 };
            if let Some((tpid, tci)) = tag {
                frame.restore_vlan(tpid, tci);
            }
            bytes += frame.len;
            n += 1;
            each(frame);
        }
        n
    }

    /// Whether nothing is here, so that [`EarlySocket::poll_fd`] becomes readable when something comes.
    pub fn is_empty(&self) -> bool {
        !self.socket.has_frame()
    }

    /// What to wait for.
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Takes the pending error, 0 if there was none.
    pub fn take_error(&self) -> i32 {
        self.socket.take_error()
    }

    /// Counters since it was opened.
    pub fn stats(&mut self) -> RingStats {
        let words = self.socket.get_words::<2>("read a socket's statistics", libc::SOL_PACKET, libc::PACKET_STATISTICS);
        if let Ok([packets, drops]) = words {
            // The kernel forgets what it told.
            self.stats.packets += u64::from(packets);
            self.stats.drops += u64::from(drops);
        }
        self.stats
    }
}

/// Waits until no frame is on its way to a socket that was to have it when this was called: a grace period of the kernel,
/// some 20 ms.
///
/// # Errors
/// There is no socket to be had.
pub fn await_frames_under_way() -> Result<()> {
    // The kernel waits for one whenever it closes a packet socket.
    PacketSocket::open().map(PacketSocket::close_now)
}
