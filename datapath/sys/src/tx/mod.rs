//! Sending: batches of frames by `sendmmsg`, straight out of the memory they were received into, or by a ring ([`ring`]).
//!
//! A frame the kernel refuses is stepped past and counted by reason, so that it cannot block those behind
//! it. Nothing waits: what the socket or the device cannot take now is dropped, and counted.

mod ring;
mod slots;

use ring::RingWay;
pub use ring::TxMtu;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use crate::error::{Error, Result};
use crate::frame::{VNET_HDR_LEN, VnetHdr};
use crate::socket::PacketSocket;

/// Frames one system call sends at most.
pub const TX_BATCH: usize = 64;
/// Parts of a message: virtio header, pushed headers, frame.
const PARTS: usize = 3;

/// How to open a sending socket.
#[derive(Clone, Copy, Debug)]
pub struct TxConfig {
    /// Hand frames to the driver past the device's queueing discipline. Priorities then have no effect, and who watches the
    /// device sees none of them.
    pub qdisc_bypass: bool,
    /// Bytes that may be on their way at once.
    pub send_buffer_bytes: i32,
    /// Bytes of the device's MTU if frames are to go by a ring (`PACKET_TX_RING`) of slots for such; those that do not fit,
    /// of segments to be cut later above all, go by `sendmmsg` in their turn.
    pub ring_mtu: Option<u32>,
}

impl Default for TxConfig {
    fn default() -> Self {
        Self { qdisc_bypass: true, send_buffer_bytes: 8 << 20, ring_mtu: None }
    }
}

/// A frame to send, in up to two pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct TxFrame<'a> {
    /// Work left to the kernel or the device.
    pub vnet: VnetHdr,
    /// The front of the frame, if it lies apart from the rest: headers pushed by an encapsulation.
    pub head: &'a [u8],
    /// The frame, or the rest of it.
    pub body: &'a [u8],
    /// The kernel's `skb->priority`, by which queueing disciplines classify.
    pub priority: u32,
}

impl TxFrame<'_> {
    /// Length of the whole frame, bytes.
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The octet at an offset.
    fn octet(&self, at: usize) -> Option<u8> {
        self.head.get(at).or_else(|| self.body.get(at - self.head.len())).copied()
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxOutcome {
    /// Frames taken by the kernel.
    pub sent: u32,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Dropped: no buffer or queue space (`EAGAIN`, `ENOBUFS`).
    pub full: u32,
    /// Dropped: longer than the device's MTU allows (`EMSGSIZE`).
    pub too_long: u32,
    /// Dropped: device down or gone (`ENETDOWN`, `ENXIO`, `ENODEV`).
    pub down: u32,
    /// Dropped: refused for any other reason.
    pub refused: u32,
}

impl TxOutcome {
    /// Frames that were not sent.
    pub fn dropped(&self) -> u32 {
        self.full + self.too_long + self.down + self.refused
    }

    /// Adds another batch's outcome.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.sent_bytes += other.sent_bytes;
        self.full += other.full;
        self.too_long += other.too_long;
        self.down += other.down;
        self.refused += other.refused;
    }
}

/// The arrays of a `sendmmsg`, kept so that they are not cleared for each batch.
struct Messages {
    vnet: [[u8; VNET_HDR_LEN]; TX_BATCH],
    parts: [[libc::iovec; PARTS]; TX_BATCH],
    messages: [libc::mmsghdr; TX_BATCH],
}

// SAFETY: between calls the pointers in the arrays are stale, and never followed: every call fills what it
// passes to the kernel anew.
unsafe impl Send for Messages {}

impl std::fmt::Debug for Messages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Messages")
    }
}

impl Messages {
    fn new() -> Box<Self> {
        let none = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Box::new(Self {
            vnet: [[0; VNET_HDR_LEN]; TX_BATCH],
            parts: [[none; PARTS]; TX_BATCH],
            // SAFETY: all-zero is a valid array of mmsghdr.
            messages: unsafe { std::mem::zeroed() },
        })
    }

    /// Fills message `i`, whose pointers are good as long as the frame and the array stay.
    fn fill(&mut self, i: usize, frame: &TxFrame<'_>) {
        let part = |bytes: &[u8]| libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        self.vnet[i] = frame.vnet.to_bytes();
        self.parts[i][0] = part(&self.vnet[i]);
        let used = if frame.head.is_empty() {
            self.parts[i][1] = part(frame.body);
            2
        } else {
            self.parts[i][1] = part(frame.head);
            self.parts[i][2] = part(frame.body);
            3
        };
        self.messages[i].msg_hdr.msg_iov = self.parts[i].as_mut_ptr();
        self.messages[i].msg_hdr.msg_iovlen = used;
    }
}

/// Knows whether a device is still the one it was, which neither its name nor its index tell: both may come back.
#[derive(Debug)]
pub struct DeviceWatch(PacketSocket);

impl DeviceWatch {
    /// Whether the device has neither gone nor moved to another namespace.
    pub fn is_there(&self) -> bool {
        self.0.is_attached()
    }
}

/// The sending half of a port; it receives nothing.
#[derive(Debug)]
pub struct TxSocket {
    socket: PacketSocket,
    ifindex: u32,
    config: TxConfig,
    priority: u32,
    messages: Box<Messages>,
    ring: Option<Box<RingWay>>,
}

/// What every sending socket needs before it is bound, and before its ring is made.
fn set_up(socket: &PacketSocket, config: &TxConfig) -> Result<()> {
    socket.set_int("ask for virtio headers", libc::PACKET_VNET_HDR, 1)?;
    let bypass = i32::from(config.qdisc_bypass);
    socket.set_int("choose the queueing discipline", libc::PACKET_QDISC_BYPASS, bypass)?;
    socket.set_buffer(libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, config.send_buffer_bytes);
    Ok(())
}

/// Has a socket send by a priority.
fn set_priority(socket: &PacketSocket, current: &mut u32, priority: u32) {
    if priority != *current {
        let value = priority as i32;
        // A priority that is refused sends by the last one that was not.
        let _ = socket.set("set a priority", libc::SOL_SOCKET, libc::SO_PRIORITY, &value);
        *current = priority;
    }
}

/// Counts the failure of the first of `left` frames; says how many to step past.
fn count_failure(errno: i32, left: usize, outcome: &mut TxOutcome) -> usize {
    match errno {
        libc::EINTR => 0,
        // The socket's buffer is full, for all of them.
        libc::EAGAIN => {
            outcome.full += left as u32;
            left
        }
        libc::ENOBUFS => {
            outcome.full += 1;
            1
        }
        libc::EMSGSIZE => {
            outcome.too_long += 1;
            1
        }
        libc::ENETDOWN | libc::ENXIO | libc::ENODEV => {
            outcome.down += left as u32;
            left
        }
        _ => {
            outcome.refused += 1;
            1
        }
    }
}

impl TxSocket {
    /// Opens a socket that sends through the device. A ring takes the kernel a grace period, some 20 ms.
    pub fn open(ifindex: u32, config: &TxConfig) -> Result<Self> {
        let ring = config.ring_mtu.map(|mtu| RingWay::open(ifindex, config, mtu).map(Box::new)).transpose()?;
        Self::with(ifindex, config, ring)
    }

    fn with(ifindex: u32, config: &TxConfig, ring: Option<Box<RingWay>>) -> Result<Self> {
        let socket = PacketSocket::open()?;
        set_up(&socket, config)?;
        socket.bind(ifindex, 0)?;
        Ok(Self { socket, ifindex, config: *config, priority: 0, messages: Messages::new(), ring })
    }

    /// Another that sends through the same device, for another thread: each has a priority, a send buffer and a ring of its
    /// own. The ring comes a little later, and nothing waits for it.
    pub fn another(&self) -> Result<Self> {
        Self::with(self.ifindex, &self.config, self.ring.as_ref().map(|ring| Box::new(ring.another())))
    }

    /// Who is to be told of the device's MTU, if frames go by a ring.
    pub fn ring_mtu(&self) -> Option<TxMtu> {
        self.ring.as_ref().map(|ring| ring.mtu().clone())
    }

    /// Memory mapped for its ring, bytes.
    pub fn ring_bytes(&self) -> usize {
        self.ring.as_ref().map_or(0, |ring| ring.memory_bytes())
    }

    /// The index of its device; `None` once that is gone, or in another namespace.
    pub fn device(&self) -> Option<u32> {
        self.socket.is_attached().then_some(self.ifindex)
    }

    /// Sends the frames in order.
    pub fn send(&mut self, frames: &[TxFrame<'_>]) -> TxOutcome {
        let mut outcome = TxOutcome::default();
        let mut rest = frames;
        while let Some(first) = rest.first() {
            let priority = first.priority;
            let same = rest.iter().take_while(|f| f.priority == priority).take(TX_BATCH).count();
            let (run, after) = rest.split_at(same);
            self.send_alike(run, &mut outcome);
            rest = after;
        }
        outcome
    }

    /// Sends frames of one priority: by turns, where there is a ring. What has gone one way has gone before the next goes
    /// the other, so that none overtakes another.
    fn send_alike(&mut self, frames: &[TxFrame<'_>], outcome: &mut TxOutcome) {
        if let Some(ring) = &mut self.ring {
            ring.look();
        }
        let mut rest = frames;
        while let Some(first) = rest.first() {
            let by_ring = |frame: &TxFrame<'_>| self.ring.as_ref().is_some_and(|ring| ring.takes(frame));
            let is_by_ring = by_ring(first);
            let alike = rest.iter().take(TX_BATCH).take_while(|frame| by_ring(frame) == is_by_ring).count();
            let (run, after) = rest.split_at(alike);
            if let Some(ring) = self.ring.as_mut().filter(|_| is_by_ring) {
                ring.send(run, outcome);
            } else {
                set_priority(&self.socket, &mut self.priority, first.priority);
                self.send_run(run, outcome);
            }
            rest = after;
        }
    }

    /// Sends up to [`TX_BATCH`] frames of one priority.
    fn send_run(&mut self, frames: &[TxFrame<'_>], outcome: &mut TxOutcome) {
        let frames = &frames[..frames.len().min(TX_BATCH)];
        for (i, frame) in frames.iter().enumerate() {
            self.messages.fill(i, frame);
        }
        let mut at = 0;
        let mut stale = true;
        while at < frames.len() {
            let rest = &mut self.messages.messages[at..frames.len()];
            // SAFETY: every message points to live parts: headers in the box beside them, frames borrowed by the
            // caller; the kernel only reads them, and keeps no pointer after the call.
            let n = unsafe {
                libc::sendmmsg(
                    self.socket.as_fd().as_raw_fd(),
                    rest.as_mut_ptr(),
                    rest.len() as libc::c_uint,
                    libc::MSG_DONTWAIT,
                )
            };
            if n > 0 {
                let sent = &frames[at..at + n as usize];
                outcome.sent += n as u32;
                outcome.sent_bytes += sent.iter().map(|f| f.len() as u64).sum::<u64>();
                at += n as usize;
                continue;
            }
            // The first error may be what is left of a link that was down and is up again.
            if std::mem::take(&mut stale) && Error::last("send").errno() == libc::ENETDOWN {
                continue;
            }
            at += count_failure(Error::last("send").errno(), frames.len() - at, outcome);
        }
    }

    /// What tells whether the device is still there, while the socket itself is elsewhere.
    pub fn watch(&self) -> Result<DeviceWatch> {
        self.socket.try_clone().map(DeviceWatch)
    }

    /// The descriptor, to watch it for errors.
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Takes the pending error, 0 if there was none.
    pub fn take_error(&self) -> i32 {
        let ring = self.ring.as_ref().map_or(0, |ring| ring.take_error());
        match self.socket.take_error() {
            0 => ring,
            error => error,
        }
    }
}
