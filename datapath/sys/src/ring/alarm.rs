//! The alarm of a sleeping `TPACKET_V3` reader: a second socket on the device whose ring is a single slot.
//!
//! Slot free = armed: the next frame fills it and wakes the poller. Slot full = disarmed: the kernel gives
//! up at once, so an awake reader pays next to nothing for it. It is bound before the ring it guards, since
//! the kernel calls the socket bound last first: the ring holds the frame before the alarm goes off. Its socket is made
//! before the ring's as well, since a link that comes up again binds a device's sockets anew in the order they were made.

use std::os::fd::AsFd;
use std::sync::atomic::{Ordering, fence};

use super::{ETH_P_ALL, TP_STATUS_USER, open_socket};
use crate::error::Result;
use crate::map::Map;
use crate::socket::PacketSocket;

const SLOT_BYTES: u32 = 4096;
/// So much of the slot is headroom that next to nothing of a frame is copied.
const RESERVE: u32 = 3900;

#[derive(Debug)]
pub(super) struct Alarm {
    // Before the socket, so that it is unmapped before the close.
    map: Map,
    socket: PacketSocket,
}

impl Alarm {
    /// The socket of an alarm to be.
    pub(super) fn open_socket() -> Result<PacketSocket> {
        open_socket(libc::tpacket_versions::TPACKET_V2 as i32, RESERVE)
    }

    /// An alarm that hears nothing yet.
    pub(super) fn new(socket: PacketSocket) -> Result<Self> {
        let request =
            libc::tpacket_req { tp_block_size: SLOT_BYTES, tp_block_nr: 1, tp_frame_size: SLOT_BYTES, tp_frame_nr: 1 };
        socket.set("make an alarm ring", libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let map = Map::new(socket.as_fd(), SLOT_BYTES as usize)?;
        Ok(Self { map, socket })
    }

    /// Listens to the device from now on.
    pub(super) fn bind(&self, ifindex: u32) -> Result<()> {
        self.socket.bind(ifindex, ETH_P_ALL)
    }

    /// Frees the slot. Whoever looks at the ring after this misses nothing: a frame he does not see yet
    /// will find the slot free.
    pub(super) fn arm(&self) {
        let slot = self.map.word(0);
        // Free already: whatever came since then is still on its way to the alarm, and will set it off.
        if slot.load(Ordering::Acquire) != 0 {
            slot.store(0, Ordering::Release);
            fence(Ordering::SeqCst);
        }
    }

    /// Fills the slot: nobody is woken. The kernel may be filling it at the same time, to the same end.
    pub(super) fn disarm(&self) {
        self.map.word(0).store(TP_STATUS_USER, Ordering::Release);
    }

    pub(super) fn socket(&self) -> &PacketSocket {
        &self.socket
    }
}
