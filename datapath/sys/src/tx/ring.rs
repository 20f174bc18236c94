//! Sending by `PACKET_TX_RING`: frames are copied into slots, and one call has the kernel send them from there.
//!
//! A call takes frames in order, until one cannot be taken; nothing stays in the ring for a later call, so that what goes by
//! `sendmmsg` next overtakes nothing. `TPACKET_V2`, whose slots are all alike; the kernel leaves out its check of
//! lengths where there are virtio headers, so whoever calls checks them.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::JoinHandle;

use super::slots::{BLOCK, BLOCKS, Shape, Slots};
use super::{TxConfig, TxFrame, TxOutcome, count_failure, set_priority, set_up};
use crate::error::{Error, Result};
use crate::map::Map;
use crate::ring::Share;
use crate::socket::PacketSocket;

/// An Ethernet header, and a VLAN tag, bytes.
const HEADER: usize = 14;
const TAG: usize = 4;

/// The MTU of a sending ring's device, which whoever watches the device tells it of. Frames that are longer go by
/// `sendmmsg`, so that the kernel says what becomes of them.
#[derive(Clone, Debug, Default)]
pub struct TxMtu(Arc<AtomicU32>);

impl TxMtu {
    /// The device has this one now, bytes.
    pub fn set(&self, mtu: u32) {
        self.0.store(mtu, Relaxed);
    }

    fn get(&self) -> usize {
        self.0.load(Relaxed) as usize
    }

    /// Whether the frame is surely no longer than the device takes.
    pub(super) fn takes(&self, frame: &TxFrame<'_>) -> bool {
        let len = frame.len();
        let longest = self.get() + HEADER;
        let is_tagged = || frame.octet(12) == Some(0x81) && frame.octet(13) == Some(0);
        len <= longest || (len <= longest + TAG && is_tagged())
    }
}

/// A ring, or one on its way.
#[derive(Debug)]
pub(super) struct RingWay {
    ifindex: u32,
    config: TxConfig,
    mtu: TxMtu,
    ring: Option<TxRing>,
    making: Option<JoinHandle<Result<TxRing>>>,
    /// One could not be made, or did not work: there is no other.
    is_given_up: bool,
}

impl RingWay {
    /// A ring that is there when this returns, after some 20 ms.
    pub(super) fn open(ifindex: u32, config: &TxConfig, mtu: u32) -> Result<Self> {
        let ring = TxRing::open(ifindex, config, mtu as usize)?;
        let known = TxMtu::default();
        known.set(mtu);
        let config = *config;
        Ok(Self { ifindex, config, mtu: known, ring: Some(ring), making: None, is_given_up: false })
    }

    /// Another for the same device, which is there a little later.
    pub(super) fn another(&self) -> Self {
        let (mtu, config) = (self.mtu.clone(), self.config);
        let mut another =
            Self { ifindex: self.ifindex, config, mtu, ring: None, making: None, is_given_up: self.is_given_up };
        another.look();
        another
    }

    pub(super) fn mtu(&self) -> &TxMtu {
        &self.mtu
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.ring.as_ref().map_or(0, |_| BLOCK * BLOCKS)
    }

    pub(super) fn take_error(&self) -> i32 {
        self.ring.as_ref().map_or(0, |ring| ring.socket.take_error())
    }

    /// Takes a ring that was made, and has one made if there is none for frames of the device's length.
    pub(super) fn look(&mut self) {
        if let Some(making) = self.making.take_if(|making| making.is_finished()) {
            match making.join() {
                Ok(Ok(ring)) => self.ring = Some(ring),
                Ok(Err(_)) | Err(_) => self.is_given_up = true,
            }
        }
        let mtu = self.mtu.get();
        let has_room = self.ring.as_ref().is_some_and(|ring| Shape::of_mtu(mtu).slot <= ring.slots.shape().slot);
        if !has_room && self.making.is_none() && !self.is_given_up {
            let (ifindex, config) = (self.ifindex, self.config);
            let thread = std::thread::Builder::new().name("ring-maker".into());
            self.making = thread.spawn(move || TxRing::open(ifindex, &config, mtu)).ok();
            self.is_given_up = self.making.is_none();
        }
    }

    /// Whether the frame goes by the ring.
    pub(super) fn takes(&self, frame: &TxFrame<'_>) -> bool {
        let room = self.ring.as_ref().map(|ring| ring.slots.shape().room());
        room.is_some_and(|room| frame.len() <= room && self.mtu.takes(frame))
    }

    /// Sends frames that all go by the ring, all of one priority.
    pub(super) fn send(&mut self, frames: &[TxFrame<'_>], outcome: &mut TxOutcome) {
        let Some(ring) = &mut self.ring else { return };
        if !ring.send(frames, outcome) {
            // Not in step with the kernel: never again.
            (self.ring, self.is_given_up) = (None, true);
        }
    }
}

#[derive(Debug)]
struct TxRing {
    // Before the socket, so that it is unmapped before the close.
    slots: Slots,
    socket: PacketSocket,
    priority: u32,
    _share: Share,
}

impl TxRing {
    fn open(ifindex: u32, config: &TxConfig, mtu: usize) -> Result<Self> {
        let shape = Shape::of_mtu(mtu);
        let share = Share::within_budget(BLOCK * BLOCKS)?;
        let socket = PacketSocket::open()?;
        socket.set_int("choose a ring version", libc::PACKET_VERSION, libc::tpacket_versions::TPACKET_V2 as i32)?;
        set_up(&socket, config)?;
        let request = libc::tpacket_req {
            tp_block_size: BLOCK as u32,
            tp_block_nr: BLOCKS as u32,
            tp_frame_size: shape.slot as u32,
            tp_frame_nr: shape.slots() as u32,
        };
        socket.set("make a sending ring", libc::SOL_PACKET, libc::PACKET_TX_RING, &request)?;
        let slots = Slots::new(Map::new(socket.as_fd(), BLOCK * BLOCKS)?, shape);
        socket.bind(ifindex, 0)?;
        Ok(Self { slots, socket, priority: 0, _share: share })
    }

    /// Sends them; `false` if the kernel does not look where it should.
    fn send(&mut self, frames: &[TxFrame<'_>], outcome: &mut TxOutcome) -> bool {
        if let Some(first) = frames.first() {
            set_priority(&self.socket, &mut self.priority, first.priority);
        }
        let mut at = 0;
        let mut stale = true;
        while at < frames.len() {
            let left = &frames[at..];
            let filled = self.slots.fill(left);
            if filled == 0 {
                // The device has all of them still.
                outcome.full += left.len() as u32;
                return true;
            }
            let errno = self.kick();
            let taken = self.slots.settle(filled);
            outcome.sent += taken as u32;
            outcome.sent_bytes += left[..taken].iter().map(|f| f.len() as u64).sum::<u64>();
            at += taken;
            if taken == filled {
                continue;
            }
            match errno {
                // Had it taken some before, it tells of an error with the next call.
                None if taken > 0 => {}
                None => {
                    outcome.refused += (left.len() - taken) as u32;
                    return false;
                }
                // The first error may be what is left of a link that was down and is up again.
                Some(libc::ENETDOWN) if taken == 0 && std::mem::take(&mut stale) => {}
                Some(errno) => at += count_failure(errno, frames.len() - at, outcome),
            }
        }
        true
    }

    /// Has the kernel send what is asked for; the error with which it stopped.
    fn kick(&self) -> Option<i32> {
        // SAFETY: no memory is passed; what the kernel reads is the ring, which stays mapped.
        let rc = unsafe { libc::send(self.socket.as_fd().as_raw_fd(), std::ptr::null(), 0, libc::MSG_DONTWAIT) };
        (rc < 0).then(|| Error::last("send a ring").errno())
    }
}
