//! A `TPACKET_V3` ring with its alarm, which grows when it must: the sockets around [`Blocks`].

use std::os::fd::AsFd;
use std::sync::Arc;

use super::alarm::Alarm;
use super::blocks::Blocks;
use super::resize::{Resize, Share};
use super::{ETH_P_ALL, RingConfig, RingStats, open_socket};
use crate::bpf::PortPrograms;
use crate::error::Result;
use crate::frame::Frame;
use crate::map::Map;
use crate::socket::PacketSocket;

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
    stats: RingStats,
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
        self.blocks.receive(max, each)
    }

    pub(super) fn release(&mut self) {
        self.blocks.release();
        self.resize.note(self.blocks.is_crowded, self.blocks.now_ns);
        if self.resize.is_due() || self.next.is_some() {
            self.change_size();
        }
    }

    /// Goes on with a change of size. No frame is borrowed.
    #[cold]
    fn change_size(&mut self) {
        self.blocks.is_crowded = false;
        let crowded = self.resize.take_crowded();
        if crowded {
            // Asked, the kernel stops marking blocks until it loses some again.
            self.stats();
        }
        if self.next.is_none() {
            let ifindex = self.ifindex;
            let make = move |config: &RingConfig| Self::open_ring(ifindex, config);
            let Some(made) = self.resize.step(crowded, make) else { return };
            let bound = made.and_then(|(socket, map)| {
                if let Some(programs) = &self.programs {
                    socket.attach(&programs.ring)?;
                }
                // What comes between these two calls is lost, uncounted: nothing that may wait belongs there.
                self.socket.drop_everything()?;
                socket.bind(self.ifindex, ETH_P_ALL)?;
                Ok((socket, map))
            });
            match bound {
                Ok(next) => self.next = Some(next),
                Err(_) => {
                    // The device may be gone, or memory short: go on with what there is.
                    let _ = match &self.programs {
                        Some(programs) => self.socket.attach(&programs.ring),
                        None => self.socket.drop_nothing(),
                    };
                    self.resize.give_up(self.blocks.memory_bytes());
                }
            }
        }
        if !self.blocks.has_frame() {
            self.take_next();
        }
    }

    /// Goes over to the next ring; the one in use is empty.
    fn take_next(&mut self) {
        let Some((socket, map)) = self.next.take() else { return };
        self.stats();
        let bytes = map.len();
        self.share = Share::new(bytes);
        // In this order, so that the old memory is unmapped before its socket is closed.
        let old = std::mem::replace(&mut self.blocks, Blocks::new(map, &self.config.of_size(bytes)));
        (self.blocks.truncated, self.blocks.holes) = (old.truncated, old.holes);
        drop(old);
        self.socket = socket;
    }

    pub(super) fn prepare_sleep(&mut self) -> bool {
        self.release();
        self.alarm.arm();
        !self.blocks.has_frame()
    }

    pub(super) fn stay_awake(&self) {
        self.alarm.disarm();
    }

    pub(super) fn stats(&mut self) -> RingStats {
        let words = self.socket.get_words::<3>("read ring statistics", libc::SOL_PACKET, libc::PACKET_STATISTICS);
        if let Ok([packets, drops, _freezes]) = words {
            // The kernel forgets what it told.
            self.stats.packets += u64::from(packets);
            self.stats.drops += u64::from(drops);
        }
        RingStats { truncated: self.blocks.truncated, holes: self.blocks.holes, ..self.stats }
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
