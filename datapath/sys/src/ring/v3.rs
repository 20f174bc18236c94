//! A `TPACKET_V3` ring with its alarm, which grows when it must: the sockets around [`Blocks`].

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

use super::alarm::Alarm;
use super::blocks::Blocks;
use super::resize::{Resize, Share};
use super::{ETH_P_ALL, RingConfig, RingStats, await_frames_under_way, open_socket};
use crate::bpf::PortPrograms;
use crate::error::Result;
use crate::frame::Frame;
use crate::map::Map;
use crate::socket::PacketSocket;

/// Blocks that say that frames were lost before it is no longer waited for to know of all holes among them.
const PRESSING: u32 = 8;

#[derive(Debug)]
pub(super) struct V3 {
    // Before the sockets, so that it is unmapped before the close.
    blocks: Blocks,
    socket: PacketSocket,
    alarm: Alarm,
    ifindex: u32,
    config: RingConfig,
    resize: Resize,
    share: Share,
    /// What its sockets ask of each frame.
    programs: Option<Arc<PortPrograms>>,
    /// A ring bound already, to be read once this one is empty.
    next: Option<(PacketSocket, Map)>,
    /// The ring before this one: what was on its way to it when that took over may still come.
    former: Option<Former>,
    stats: RingStats,
    /// Frames that the kernel had dropped, and holes among them, when that was looked at last.
    judged: (u64, u64),
}

/// A ring that was followed by another.
#[derive(Debug)]
struct Former {
    // Unmapped before the close.
    blocks: Blocks,
    socket: PacketSocket,
    /// Nothing is on its way to it any more.
    is_settled: Arc<AtomicBool>,
}

impl Former {
    fn is_over(&self) -> bool {
        // In this order: what came last came before it was settled.
        self.is_settled.load(Acquire) && !self.blocks.has_frame()
    }
}

impl V3 {
    /// A ring with its alarm that hears nothing yet, for which this share is taken.
    pub(super) fn make(config: &RingConfig, share: Share) -> Result<Self> {
        let own = config.of_size(config.ring_bytes);
        // In this order, see `alarm`.
        let (alarm, ring) = (Alarm::open_socket()?, Self::open_socket(&own)?);
        // Making a ring waits for a grace period of the kernel: better both at once.
        let (alarm, ring) = std::thread::scope(|scope| {
            let alarm = scope.spawn(|| Alarm::new(alarm));
            let ring = Self::map_ring(ring, &own);
            (alarm.join(), ring)
        });
        let alarm = alarm.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let (socket, map) = ring?;
        Ok(Self {
            resize: Resize::new(config, map.len()),
            share,
            programs: None,
            next: None,
            former: None,
            judged: (0, 0),
            ifindex: 0,
            config: *config,
            blocks: Blocks::new(map, &own),
            socket,
            alarm,
            stats: RingStats::default(),
        })
    }

    /// Listens to the device from now on.
    pub(super) fn bind(&mut self, ifindex: u32) -> Result<()> {
        self.ifindex = ifindex;
        self.alarm.bind(ifindex)?;
        Self::hear_others(&self.socket, ifindex, &self.config)?;
        self.socket.bind(ifindex, ETH_P_ALL)
    }

    /// Has programs asked from now on; the ingress filter's must be in force already.
    pub(super) fn set_programs(&mut self, programs: &Arc<PortPrograms>) -> Result<()> {
        // In this order: what the ring's takes must wake nobody.
        self.alarm.socket().attach(&programs.alarm)?;
        self.socket.attach(&programs.ring)?;
        self.programs = Some(Arc::clone(programs));
        Ok(())
    }

    /// Asks for frames addressed to others too, if they are wanted. The kernel may let this wait long, until others are
    /// done with their devices.
    fn hear_others(socket: &PacketSocket, ifindex: u32, config: &RingConfig) -> Result<()> {
        if config.promiscuous { socket.set_promiscuous(ifindex) } else { Ok(()) }
    }

    fn open_socket(config: &RingConfig) -> Result<PacketSocket> {
        open_socket(libc::tpacket_versions::TPACKET_V3 as i32, config.headroom)
    }

    /// A ring that needs nothing but to be bound to the device.
    fn open_ring(ifindex: u32, config: &RingConfig) -> Result<(PacketSocket, Map)> {
        let (socket, map) = Self::map_ring(Self::open_socket(config)?, config)?;
        Self::hear_others(&socket, ifindex, config)?;
        Ok((socket, map))
    }

    fn map_ring(socket: PacketSocket, config: &RingConfig) -> Result<(PacketSocket, Map)> {
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

    pub(super) fn receive<'a>(&'a mut self, max: usize, each: impl FnMut(Frame<'a>)) -> usize {
        self.release();
        match &mut self.former {
            Some(former) if former.blocks.has_frame() => former.blocks.receive(max, each),
            _ => self.blocks.receive(max, each),
        }
    }

    pub(super) fn release(&mut self) {
        self.blocks.release();
        if let Some(former) = &mut self.former {
            former.blocks.release();
        }
        self.resize.note(self.blocks.is_crowded || self.blocks.losing > 0, self.blocks.now_ns);
        if self.resize.is_due() || self.next.is_some() || self.former.is_some() {
            self.change_size();
        }
    }

    /// Whether the ring filled up, or more was lost than holes make. All of those that were counted are known when there is
    /// nothing left to read; where that never comes, they are not waited for.
    fn is_crowded(&mut self) -> bool {
        if std::mem::take(&mut self.blocks.is_crowded) {
            // Asked, the kernel stops marking blocks until it loses some again.
            self.stats();
            return true;
        }
        let is_pressing = self.blocks.losing >= PRESSING;
        if self.blocks.losing == 0 || self.blocks.has_frame() && !is_pressing {
            return false;
        }
        self.stats();
        if self.blocks.has_frame() && !is_pressing {
            return false;
        }
        self.blocks.losing = 0;
        let now = (self.stats.drops, self.blocks.likely_holes());
        let before = std::mem::replace(&mut self.judged, now);
        now.0.saturating_sub(before.0) > now.1.saturating_sub(before.1)
    }

    /// Goes on with a change of size. No frame is borrowed.
    #[cold]
    fn change_size(&mut self) {
        if self.former.as_ref().is_some_and(Former::is_over) {
            self.bury_former();
        }
        self.resize.take_crowded();
        let crowded = self.is_crowded();
        if self.next.is_none() && self.former.is_none() {
            let ifindex = self.ifindex;
            let make = move |config: &RingConfig| Self::open_ring(ifindex, config);
            let Some(made) = self.resize.step(crowded, make) else { return };
            match made.and_then(|ring| self.follow_by(ring)) {
                Ok(next) => self.next = Some(next),
                // The device may be gone, or memory short: go on with what there is.
                Err(_) => self.resize.give_up(self.blocks.memory_bytes()),
            }
        }
        if self.next.is_some() && !self.blocks.has_frame() {
            self.take_next();
        }
    }

    /// Has another ring hear what comes from now on, and this one nothing more.
    fn follow_by(&mut self, (socket, map): (PacketSocket, Map)) -> Result<(PacketSocket, Map)> {
        match &self.programs {
            // As for what follows an early socket: the kernel shows a frame to the ring that was bound last first, and
            // this one takes what that was not asked about. None is lost, none comes twice.
            Some(programs) => {
                self.socket.attach(&programs.early)?;
                let bound = socket.attach(&programs.ring).and_then(|()| socket.bind(self.ifindex, ETH_P_ALL));
                bound.or_else(|error| self.socket.attach(&programs.ring).and(Err(error)))?;
            }
            None => {
                socket.drop_everything()?;
                socket.bind(self.ifindex, ETH_P_ALL)?;
                // What comes between these two calls is lost, uncounted: nothing that may wait belongs there.
                self.socket.drop_everything()?;
                socket.drop_nothing().or_else(|error| self.socket.drop_nothing().and(Err(error)))?;
            }
        }
        Ok((socket, map))
    }

    /// Goes over to the next ring; the one in use is empty, but for what may be on its way to it.
    fn take_next(&mut self) {
        let Some((socket, map)) = self.next.take() else { return };
        let bytes = map.len();
        let blocks = std::mem::replace(&mut self.blocks, Blocks::new(map, &self.config.of_size(bytes)));
        let socket = std::mem::replace(&mut self.socket, socket);
        let is_settled = Arc::new(AtomicBool::new(false));
        let settled = is_settled.clone();
        let settle = move || {
            // Should the kernel refuse to wait, some microseconds have passed.
            let _ = await_frames_under_way();
            settled.store(true, Release);
        };
        if std::thread::Builder::new().name("ring-settler".into()).spawn(settle).is_err() {
            is_settled.store(true, Release);
        }
        self.share = Share::new(bytes);
        self.former = Some(Former { blocks, socket, is_settled });
    }

    /// Adds up what the ring before this one had counted, and lets it go.
    fn bury_former(&mut self) {
        let Some(Former { blocks, socket, .. }) = self.former.take() else { return };
        self.stats.add_told(&socket);
        self.blocks.truncated += blocks.truncated;
        self.blocks.holes += blocks.likely_holes();
        // Whatever was lost, there is more room now.
        self.judged = (self.stats.drops, self.blocks.holes);
    }

    pub(super) fn prepare_sleep(&mut self) -> bool {
        self.release();
        self.alarm.arm();
        !self.blocks.has_frame() && self.former.as_ref().is_none_or(|former| !former.blocks.has_frame())
    }

    pub(super) fn stay_awake(&self) {
        self.alarm.disarm();
    }

    pub(super) fn stats(&mut self) -> RingStats {
        self.stats.add_told(&self.socket);
        let former = self.former.as_ref().map(|former| &former.blocks);
        if let Some(former) = &self.former {
            self.stats.add_told(&former.socket);
        }
        let sum = |count: fn(&Blocks) -> u64| count(&self.blocks) + former.map_or(0, count);
        RingStats { truncated: sum(|blocks| blocks.truncated), holes: sum(Blocks::likely_holes), ..self.stats }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.blocks.memory_bytes()
    }

    pub(super) fn socket(&self) -> &PacketSocket {
        &self.socket
    }

    pub(super) fn alarm(&self) -> &PacketSocket {
        self.alarm.socket()
    }
}
