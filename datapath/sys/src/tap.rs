//! Tap devices (tuntap.txt of the kernel's documentation), with virtio headers and offloads.
//!
//! What the host sends into the device is received here, and what is sent here the host receives. A device
//! made here goes away with the last descriptor, unless it is made persistent ([`Tap::set_persistent`]).

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use crate::error::{Error, Result, check};
use crate::frame::{Frame, VNET_HDR_LEN, VnetHdr};
use crate::ring::MAX_FRAME;
use crate::tx::{TxFrame, TxOutcome};

/// Room before a received frame, bytes.
const HEADROOM: usize = 128;
/// Bytes of frames after which a batch ends.
const BATCH_BYTES: usize = 32 << 10;

/// Asks for the namespace of a device: `_IO('T', 227)` of linux/if_tun.h.
const TUNGETDEVNETNS: libc::Ioctl = 0x54e3;

/// What travels through a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapKind {
    /// Ethernet frames.
    Tap,
    /// IP packets.
    Tun,
}

/// A tap or tun device.
#[derive(Debug)]
pub struct Tap {
    file: File,
    name: String,
    memory: Box<[u8]>,
    offloads: u32,
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Tap {
    /// Makes the device called `name`, or attaches to it, in the calling thread's network namespace; an
    /// empty name or one with `%d` lets the kernel choose.
    pub fn open(name: &str, kind: TapKind) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open("/dev/net/tun")
            .map_err(|source| Error { what: "open /dev/net/tun", source })?;
        let mut request = crate::device::request(if name.is_empty() { "tap%d" } else { name })?;
        let kind = match kind {
            TapKind::Tap => libc::IFF_TAP,
            TapKind::Tun => libc::IFF_TUN,
        };
        request.ifr_ifru.ifru_flags = (kind | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as i16;
        // SAFETY: `request` is live and exclusively ours; the call reads and writes an ifreq.
        let rc = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &mut request) };
        check("open a tap device", rc)?;
        let bytes = request.ifr_name.iter().map(|c| *c as u8).take_while(|b| *b != 0).collect();
        let name = String::from_utf8(bytes).map_err(|_| Error::os("name a device", libc::EINVAL))?;
        let memory = vec![0; BATCH_BYTES + 2 * HEADROOM + MAX_FRAME].into_boxed_slice();
        let mut tap = Self { file, name, memory, offloads: 0 };
        tap.set_header_len()?;
        tap.set_offloads(true)?;
        Ok(tap)
    }

    fn set_header_len(&self) -> Result<()> {
        let len = VNET_HDR_LEN as libc::c_int;
        // SAFETY: the call reads a live integer.
        let rc = unsafe { libc::ioctl(self.file.as_raw_fd(), libc::TUNSETVNETHDRSZ, &len) };
        check("size a tap's virtio header", rc).map(drop)
    }

    /// Says whether the host may hand over frames with checksums and segmentation left undone.
    pub fn set_offloads(&mut self, on: bool) -> Result<()> {
        let basic = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
        let udp = libc::TUN_F_USO4 | libc::TUN_F_USO6;
        let wanted: &[u32] = if on { &[basic | udp, basic] } else { &[0] };
        let mut last = Ok(());
        for &bits in wanted {
            // SAFETY: the argument is a number, no memory is passed.
            let rc = unsafe { libc::ioctl(self.file.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(bits)) };
            last = check("set a tap's offloads", rc).map(drop);
            if last.is_ok() {
                self.offloads = bits;
                break;
            }
        }
        last
    }

    /// Lets the device, with its addresses, outlive the last descriptor, or not.
    pub fn set_persistent(&self, on: bool) -> Result<()> {
        // SAFETY: the argument is a number, no memory is passed.
        let rc = unsafe { libc::ioctl(self.file.as_raw_fd(), libc::TUNSETPERSIST, libc::c_ulong::from(on)) };
        check("make a tap persistent", rc).map(drop)
    }

    /// A second handle on the same device, to send through while the first one's frames are lent.
    pub fn try_clone(&self) -> Result<Self> {
        let file = self.file.try_clone().map_err(|source| Error { what: "duplicate a tap", source })?;
        Ok(Self { file, name: self.name.clone(), memory: Box::new([]), offloads: self.offloads })
    }

    /// The same, able to receive.
    pub fn try_clone_with_memory(&self) -> Result<Self> {
        let memory = vec![0; BATCH_BYTES + 2 * HEADROOM + MAX_FRAME].into_boxed_slice();
        Ok(Self { memory, ..self.try_clone()? })
    }

    /// The offloads in force, as `TUN_F_*` bits.
    pub fn offloads(&self) -> u32 {
        self.offloads
    }

    /// The device's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the device still exists, be it under another name or in another network namespace.
    pub fn is_attached(&self) -> bool {
        let Ok(mut request) = crate::device::request(&self.name) else { return false };
        // SAFETY: `request` is live and exclusively ours; the call writes an ifreq.
        let rc = unsafe { libc::ioctl(self.file.as_raw_fd(), libc::TUNGETIFF, &mut request) };
        rc == 0
    }

    /// Whether the device is in the calling thread's network namespace, where its index is its own.
    pub fn is_here(&self) -> bool {
        // SAFETY: no memory is passed; the call gives a descriptor.
        let fd = unsafe { libc::ioctl(self.file.as_raw_fd(), TUNGETDEVNETNS) };
        if fd < 0 {
            return false;
        }
        // SAFETY: the descriptor is fresh and owned by nobody else.
        let there = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        let (Ok(there), Ok(here)) = (there.metadata(), std::fs::metadata("/proc/thread-self/ns/net")) else {
            return false;
        };
        (there.dev(), there.ino()) == (here.dev(), here.ino())
    }

    /// Tells the host whether the link is there.
    pub fn set_carrier(&self, on: bool) -> Result<()> {
        let value = libc::c_int::from(on);
        // SAFETY: the call reads a live integer.
        let rc = unsafe { libc::ioctl(self.file.as_raw_fd(), libc::TUNSETCARRIER, &value) };
        check("set a tap's carrier", rc).map(drop)
    }

    /// Takes up to `max` frames, hands each to `each`, and says how many there were.
    ///
    /// An error says that the device is down or gone; frames received before it count.
    pub fn receive<'a>(&'a mut self, max: usize, mut each: impl FnMut(Frame<'a>)) -> Result<usize> {
        let mut free: &'a mut [u8] = &mut self.memory;
        let mut n = 0;
        while n < max && free.len() >= HEADROOM + MAX_FRAME {
            let room = &mut free[HEADROOM - VNET_HDR_LEN..HEADROOM + MAX_FRAME];
            // SAFETY: at most `room.len()` bytes are written into `room`, exclusively ours.
            let got = unsafe { libc::read(self.file.as_raw_fd(), room.as_mut_ptr().cast(), room.len()) };
            let Ok(got) = usize::try_from(got) else {
                let e = Error::last("read a tap");
                match e.errno() {
                    libc::EINTR => continue,
                    libc::EAGAIN => break,
                    _ if n > 0 => break,
                    _ => return Err(e),
                }
            };
            if got <= VNET_HDR_LEN {
                break;
            }
            let len = got - VNET_HDR_LEN;
            let (buf, rest) = std::mem::take(&mut free).split_at_mut(HEADROOM + len);
            free = rest;
            let mut vnet = [0; VNET_HDR_LEN];
            vnet.copy_from_slice(&buf[HEADROOM - VNET_HDR_LEN..HEADROOM]);
            let vnet = VnetHdr::from_bytes(&vnet);
            each(Frame { buf, start: HEADROOM, len, vnet, timestamp_ns: 0 });
            n += 1;
        }
        Ok(n)
    }

    /// Sends the frames in order; priorities mean nothing here.
    pub fn send(&mut self, frames: &[TxFrame<'_>]) -> TxOutcome {
        let mut outcome = TxOutcome::default();
        for frame in frames {
            match self.write(frame) {
                0 => {
                    outcome.sent += 1;
                    outcome.sent_bytes += frame.len() as u64;
                }
                libc::EAGAIN | libc::ENOBUFS => outcome.full += 1,
                // EIO and EBADFD: the device is down, or gone.
                libc::EIO | libc::EBADFD | libc::ENETDOWN => outcome.down += 1,
                libc::EMSGSIZE => outcome.too_long += 1,
                _ => outcome.refused += 1,
            }
        }
        outcome
    }

    /// Writes one frame; 0 or the error number.
    fn write(&self, frame: &TxFrame<'_>) -> i32 {
        let vnet = frame.vnet.to_bytes();
        let part = |bytes: &[u8]| libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let parts = [part(&vnet), part(frame.head), part(frame.body)];
        loop {
            // SAFETY: the parts are live; the kernel only reads them, and keeps no pointer.
            let n = unsafe { libc::writev(self.file.as_raw_fd(), parts.as_ptr(), parts.len() as i32) };
            if n >= 0 {
                return 0;
            }
            match Error::last("write a tap").errno() {
                libc::EINTR => {}
                errno => return errno,
            }
        }
    }
}
