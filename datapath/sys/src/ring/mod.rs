//! Receiving by packet rings: one safe type over two ways of laying out the shared memory.
//!
//! `TPACKET_V3` packs frames into blocks and is the faster of the two, but hands a block over only when it
//! is full or its timer fires. [`blocks`] reads the open block early instead, and an [`alarm`] wakes a sleeping
//! reader; see there for the order of writes that makes this lawful. `TPACKET_V2` ([`v2`]) has a slot a
//! frame and needs neither.
//!
//! Frames borrow the ring: as long as one lives, nothing can be given back. The memory goes back with the
//! next call that may do so ([`RxRing::release`], [`RxRing::receive`], [`RxRing::prepare_sleep`]).
//!
//! Source: packet_mmap.rst of the kernel's documentation; packet(7).

mod alarm;
mod arena;
mod blocks;
mod early;
mod resize;
mod stock;
mod v2;
mod v3;

pub use early::{EarlySocket, await_frames_under_way};
pub(crate) use resize::Share;
pub use stock::RingStock;

use std::os::fd::{AsFd, BorrowedFd};
use std::panic::resume_unwind;
use std::sync::Arc;

use crate::bpf::PortPrograms;
use crate::error::Result;
use crate::frame::Frame;
use crate::socket::PacketSocket;

/// Every EtherType (`ETH_P_ALL`).
const ETH_P_ALL: u16 = 3;
/// The longest frame a ring accepts, bytes: the largest GSO frame with room for two tags.
pub(crate) const MAX_FRAME: usize = 65_536 + 22;
/// A slot or block belongs to user space.
const TP_STATUS_USER: u32 = libc::TP_STATUS_USER;

/// Blocks that a ring cannot do without.
const LEAST_BLOCKS: usize = 2;
/// Blocks of a ring that has grown at the least, and the largest block.
const BLOCKS_AT_LEAST: usize = 8;
const LARGE_BLOCK: usize = 1 << 20;

/// The layout of a ring's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingKind {
    /// `TPACKET_V3`, read early. Sound on x86-64 only; elsewhere [`RxRing::open`] takes V2 instead.
    V3,
    /// `TPACKET_V2`, a slot a frame.
    V2,
}

/// How to build a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingConfig {
    /// The layout.
    pub kind: RingKind,
    /// Memory of the ring, bytes; rounded to whole blocks, at least two of them. With two begins a ring that may grow
    /// where the rings of the process have 32 MiB already.
    pub ring_bytes: usize,
    /// As large may a ring of [`RingKind::V3`] become by itself when it fills; it shrinks again after ten quiet
    /// minutes. All rings of a process together stay below 1 GiB, and an eighth of the host's memory, by growing.
    pub max_ring_bytes: usize,
    /// Bytes of a block: a power of two, at least 128 KiB so that the largest GSO frame fits. Rings of
    /// [`RingKind::V3`] have larger blocks where they are large themselves, up to 1 MiB: less is wasted at their ends.
    pub block_bytes: usize,
    /// Bytes that may be pushed before a frame in place, beside 24 that are always there.
    pub headroom: u32,
    /// The kernel's timer for open blocks, ms; only a net under frames it could not finish, behind which a reader waits as
    /// long. It closes blocks that are next to empty as well: who does not read for as many times so long as there are
    /// blocks loses frames, however few there are.
    pub retire_ms: u32,
    /// Bytes of frames after which a batch ends, so that giving it back stays in cache.
    pub batch_bytes: usize,
    /// Whether to see frames addressed to others.
    pub promiscuous: bool,
}

impl Default for RingConfig {
    fn default() -> Self {
        Self {
            kind: RingKind::V3,
            ring_bytes: 1 << 20,
            max_ring_bytes: 32 << 20,
            block_bytes: 128 << 10,
            headroom: 32,
            retire_ms: 100,
            batch_bytes: 32 << 10,
            promiscuous: true,
        }
    }
}

impl RingConfig {
    /// The same for a ring of `bytes`.
    fn of_size(&self, bytes: usize) -> Self {
        let fitting = (bytes / BLOCKS_AT_LEAST).next_power_of_two().min(LARGE_BLOCK);
        Self { ring_bytes: bytes, block_bytes: fitting.max(self.block_bytes), ..*self }
    }

    fn blocks(&self) -> usize {
        (self.ring_bytes / self.block_bytes).max(LEAST_BLOCKS)
    }
}

/// Counters of a ring since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingStats {
    /// Frames the kernel put into the ring, or would have.
    pub packets: u64,
    /// Frames the kernel dropped: because the ring was full, or as holes.
    pub drops: u64,
    /// Frames that came truncated and were dropped here.
    pub truncated: u64,
    /// Slots the kernel left empty.
    pub holes: u64,
}

impl RingStats {
    /// Adds what the kernel tells of a ring's socket since it was last asked; it forgets what it told.
    fn add_told(&mut self, socket: &PacketSocket) {
        let words = socket.get_words::<2>("read ring statistics", libc::SOL_PACKET, libc::PACKET_STATISTICS);
        if let Ok([packets, drops]) = words {
            self.packets += u64::from(packets);
            self.drops += u64::from(drops);
        }
    }
}

#[derive(Debug)]
enum Layout {
    V3(Box<v3::V3>),
    V2(v2::V2),
}

/// A receive queue of one device.
#[derive(Debug)]
pub struct RxRing {
    layout: Layout,
    config: RingConfig,
    ifindex: u32,
    has_programs: bool,
}

impl RxRing {
    /// Opens a ring that takes every frame the device receives. It takes the kernel a grace period, some 20 ms: see
    /// [`RingStock`].
    pub fn open(ifindex: u32, config: &RingConfig) -> Result<Self> {
        let mut ring = Self::make(config)?;
        ring.bind(ifindex)?;
        Ok(ring)
    }

    /// A ring that hears nothing yet.
    fn make(config: &RingConfig) -> Result<Self> {
        let mut config = *config;
        if !cfg!(target_arch = "x86_64") {
            config.kind = RingKind::V2;
        }
        let layout = match config.kind {
            RingKind::V3 => {
                let (beginning, share) = resize::beginning(&config);
                config = beginning;
                Layout::V3(Box::new(v3::V3::make(&config, share)?))
            }
            RingKind::V2 => Layout::V2(v2::V2::make(&config)?),
        };
        Ok(Self { layout, config, ifindex: 0, has_programs: false })
    }

    /// Listens to a device from now on; for the first time.
    fn bind(&mut self, ifindex: u32) -> Result<()> {
        self.ifindex = ifindex;
        match &mut self.layout {
            Layout::V3(ring) => ring.bind(ifindex),
            Layout::V2(ring) => ring.bind(ifindex),
        }
    }

    /// Opens `n` rings that share a device's frames by the hash of their flows.
    ///
    /// The rings belong together: they do not grow, and when one is to be rebuilt, rebuild all.
    pub fn open_group(ifindex: u32, n: usize, config: &RingConfig) -> Result<Vec<Self>> {
        if n <= 1 {
            return Ok(vec![Self::open(ifindex, config)?]);
        }
        // A ring that replaced a member would stand outside the group.
        let config = &RingConfig { max_ring_bytes: config.ring_bytes, ..*config };
        // All wait for the same grace period of the kernel.
        let made: Vec<_> = std::thread::scope(|scope| {
            let making: Vec<_> = (0..n).map(|_| scope.spawn(|| Self::make(config))).collect();
            making.into_iter().map(|made| made.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        let mut rings = made.into_iter().collect::<Result<Vec<Self>>>()?;
        for ring in &mut rings {
            ring.bind(ifindex)?;
        }
        // Alarms first: the group that joins last is called first, and a ring must be filled before its
        // alarm. The same order of members in both makes the same hash pick ring and alarm of one queue.
        join_fanout(rings.iter().filter_map(Self::alarm_socket))?;
        join_fanout(rings.iter().map(Self::ring_socket))?;
        Ok(rings)
    }

    /// Has the kernel ask programs about each frame; that of the device's ingress filter must be in force already. A
    /// ring of [`RingKind::V2`] has none: it wakes by itself, there is no alarm to keep quiet.
    pub fn set_programs(&mut self, programs: &Arc<PortPrograms>) -> Result<()> {
        if let Layout::V3(ring) = &mut self.layout {
            ring.set_programs(programs)?;
            self.has_programs = true;
        }
        Ok(())
    }

    /// Whether programs are asked.
    pub fn has_programs(&self) -> bool {
        self.has_programs
    }

    /// Takes up to `max` frames, hands each to `each`, and says how many there were.
    ///
    /// What the last call handed out is given back first. A batch may end early, at
    /// [`RingConfig::batch_bytes`] or for want of memory; 0 says there is nothing now.
    pub fn receive<'a>(&'a mut self, max: usize, each: impl FnMut(Frame<'a>)) -> usize {
        match &mut self.layout {
            Layout::V3(ring) => ring.receive(max, each),
            Layout::V2(ring) => ring.receive(max, each),
        }
    }

    /// Gives the memory of the frames handed out back to the kernel.
    pub fn release(&mut self) {
        match &mut self.layout {
            Layout::V3(ring) => ring.release(),
            Layout::V2(ring) => ring.release(),
        }
    }

    /// Arms the alarm. `true`: nothing is here, and [`RxRing::poll_fd`] becomes readable when something
    /// comes; `false`: there are frames, stay awake.
    pub fn prepare_sleep(&mut self) -> bool {
        match &mut self.layout {
            Layout::V3(ring) => ring.prepare_sleep(),
            Layout::V2(ring) => ring.prepare_sleep(),
        }
    }

    /// Disarms the alarm of a ring that is being read again without it having gone off.
    pub fn stay_awake(&mut self) {
        match &self.layout {
            Layout::V3(ring) => ring.stay_awake(),
            // Every frame wakes, whatever is done.
            Layout::V2(_) => {}
        }
    }

    /// What to wait for (readable, level-triggered) once [`RxRing::prepare_sleep`] said so.
    ///
    /// An error on it stays until [`RxRing::take_error`] is called. Before the ring is dropped or rebuilt, take the
    /// descriptor out of every set that waits for it: it is closed a little later.
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.alarm_socket().unwrap_or_else(|| self.ring_socket()).as_fd()
    }

    /// Takes the pending error off every descriptor of the ring: `ENETDOWN` after the link went down or
    /// the device went away; 0 if there was none.
    pub fn take_error(&self) -> i32 {
        let alarm = self.alarm_socket().map_or(0, PacketSocket::take_error);
        let ring = self.ring_socket().take_error();
        if ring != 0 { ring } else { alarm }
    }

    /// Counters since the ring was opened.
    pub fn stats(&mut self) -> RingStats {
        match &mut self.layout {
            Layout::V3(ring) => ring.stats(),
            Layout::V2(ring) => ring.stats(),
        }
    }

    /// How the ring was built, before it grew by itself.
    pub fn config(&self) -> &RingConfig {
        &self.config
    }

    /// The device's index.
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// Memory mapped for the ring, bytes.
    pub fn memory_bytes(&self) -> usize {
        match &self.layout {
            Layout::V3(ring) => ring.memory_bytes(),
            Layout::V2(ring) => ring.memory_bytes(),
        }
    }

    /// Replaces the ring by one of another shape. Frames not yet received from the old one are lost:
    /// drain it first. On an error the old ring stays.
    ///
    /// Not for members of a group.
    pub fn rebuild(&mut self, config: &RingConfig) -> Result<()> {
        *self = Self::open(self.ifindex, config)?;
        Ok(())
    }

    fn alarm_socket(&self) -> Option<&PacketSocket> {
        match &self.layout {
            Layout::V3(ring) => Some(ring.alarm()),
            Layout::V2(_) => None,
        }
    }

    fn ring_socket(&self) -> &PacketSocket {
        match &self.layout {
            Layout::V3(ring) => ring.socket(),
            Layout::V2(ring) => ring.socket(),
        }
    }
}

/// Makes the sockets one fanout group, members in the order given.
fn join_fanout<'a>(sockets: impl Iterator<Item = &'a PacketSocket>) -> Result<()> {
    const WHAT: &str = "join a fanout group";
    let mode = libc::PACKET_FANOUT_HASH | libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
    let mut group = None;
    for socket in sockets {
        let id = group.unwrap_or(0);
        let unique = if group.is_none() { libc::PACKET_FANOUT_FLAG_UNIQUEID } else { 0 };
        let arg = id | ((mode | unique) << 16);
        socket.set_int(WHAT, libc::PACKET_FANOUT, arg as i32)?;
        if group.is_none() {
            let [word] = socket.get_words::<1>(WHAT, libc::SOL_PACKET, libc::PACKET_FANOUT)?;
            group = Some(word & 0xffff);
        }
    }
    Ok(())
}

/// Opens a packet socket with what both layouts need before their ring.
fn open_socket(version: i32, headroom: u32) -> Result<PacketSocket> {
    let socket = PacketSocket::open()?;
    socket.set_int("choose a ring version", libc::PACKET_VERSION, version)?;
    socket.set_int("ask for virtio headers", libc::PACKET_VNET_HDR, 1)?;
    socket.set_int("ignore outgoing frames", libc::PACKET_IGNORE_OUTGOING, 1)?;
    socket.set_int("reserve headroom", libc::PACKET_RESERVE, headroom as i32)?;
    Ok(socket)
}
