//! Tap devices (tuntap.txt of the kernel's documentation), with virtio headers and offloads.
//!
//! What the host sends into the device is received here, and what is sent here the host receives. A device
//! made here goes away with the last descriptor, unless it is made persistent ([`Tap::set_persistent`]).

use std::any::Any;
use std::fs::{File, OpenOptions};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::closer::SlowFd;
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

/// Names of devices whose first handle is gone, and which are not closed yet.
static LEAVING: Mutex<Vec<String>> = Mutex::new(Vec::new());
static LEFT: Condvar = Condvar::new();
/// How long one that leaves is waited for by the next of its name.
const PATIENCE: Duration = Duration::from_secs(10);

/// A name among those that leave.
struct Leaving(String);

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut leaving = LEAVING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = leaving.iter().position(|name| *name == self.0) {
            leaving.swap_remove(at);
        }
        LEFT.notify_all();
    }
}

/// Waits until no device of this name is being closed.
fn await_namesake(name: &str) {
    let leaving = LEAVING.lock().unwrap_or_else(PoisonError::into_inner);
    // One that does not go makes the attempt fail, which tells more.
    let _ = LEFT.wait_timeout_while(leaving, PATIENCE, |leaving| leaving.iter().any(|other| other == name));
}

/// The open file that all handles of a device share.
#[derive(Debug)]
struct OpenFile {
    fd: ManuallyDrop<SlowFd>,
    name: String,
    /// Dropped when the file is closed.
    kept: Mutex<Vec<Box<dyn Any + Send>>>,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let mut kept = std::mem::take(self.kept.get_mut().unwrap_or_else(PoisonError::into_inner));
        kept.insert(0, Box::new(Leaving(std::mem::take(&mut self.name))));
        // SAFETY: taken once, here, and not used after.
        unsafe { ManuallyDrop::take(&mut self.fd) }.close_before(kept);
    }
}

/// A tap or tun device. The kernel takes some 40 ms to close one: when the last handle is dropped, other threads do.
#[derive(Debug)]
pub struct Tap {
    file: Arc<OpenFile>,
    memory: Box<[u8]>,
    offloads: u32,
    /// The handle that it was opened by.
    is_first: bool,
}

impl Drop for Tap {
    fn drop(&mut self) {
        if self.is_first {
            LEAVING.lock().unwrap_or_else(PoisonError::into_inner).push(self.name().to_owned());
        }
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.fd.as_fd()
    }
}

/// What to wait by for a device's frames; it holds the device open.
#[derive(Debug)]
pub struct WakeFd(Waits);

#[derive(Debug)]
enum Waits {
    Tap(Arc<OpenFile>),
    Socket(SlowFd),
}

impl From<OwnedFd> for WakeFd {
    /// A descriptor of any kind; it will be closed by a thread of its own.
    fn from(fd: OwnedFd) -> Self {
        Self(Waits::Socket(SlowFd::new(fd)))
    }
}

impl AsRawFd for WakeFd {
    fn as_raw_fd(&self) -> RawFd {
        match &self.0 {
            Waits::Tap(file) => file.fd.as_raw_fd(),
            Waits::Socket(fd) => fd.as_raw_fd(),
        }
    }
}

impl Tap {
    /// Makes the device called `name`, or attaches to it, in the calling thread's network namespace; an
    /// empty name or one with `%d` lets the kernel choose. Waits for one of the same name that is being closed: one whose
    /// first handle, the one that this gives, was dropped.
    pub fn open(name: &str, kind: TapKind) -> Result<Self> {
        await_namesake(name);
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
        let fd = ManuallyDrop::new(SlowFd::new(file.into()));
        let file = Arc::new(OpenFile { fd, name, kept: Mutex::default() });
        let mut tap = Self { file, memory, offloads: 0, is_first: true };
        tap.set_header_len()?;
        tap.set_offloads(true)?;
        Ok(tap)
    }

    fn set_header_len(&self) -> Result<()> {
        let len = VNET_HDR_LEN as libc::c_int;
        // SAFETY: the call reads a live integer.
        let rc = unsafe { libc::ioctl(self.file.fd.as_raw_fd(), libc::TUNSETVNETHDRSZ, &len) };
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
            let rc = unsafe { libc::ioctl(self.file.fd.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(bits)) };
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
        let rc = unsafe { libc::ioctl(self.file.fd.as_raw_fd(), libc::TUNSETPERSIST, libc::c_ulong::from(on)) };
        check("make a tap persistent", rc).map(drop)
    }

    /// A second handle on the same device, to send through while the first one's frames are lent.
    pub fn share(&self) -> Self {
        Self { file: self.file.clone(), memory: Box::new([]), offloads: self.offloads, is_first: false }
    }

    /// The same, able to receive.
    pub fn share_with_memory(&self) -> Self {
        let memory = vec![0; BATCH_BYTES + 2 * HEADROOM + MAX_FRAME].into_boxed_slice();
        let mut tap = self.share();
        tap.memory = memory;
        tap
    }

    /// What becomes readable when the host has sent something.
    pub fn wake_fd(&self) -> WakeFd {
        WakeFd(Waits::Tap(self.file.clone()))
    }

    /// Drops what it is given when the device is closed, which is after the last handle is dropped.
    pub fn keep_until_closed(&self, kept: impl Any + Send) {
        self.file.kept.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(kept));
    }

    /// The offloads in force, as `TUN_F_*` bits.
    pub fn offloads(&self) -> u32 {
        self.offloads
    }

    /// The device's name.
    pub fn name(&self) -> &str {
        &self.file.name
    }

    /// Whether the device still exists, be it under another name or in another network namespace.
    pub fn is_attached(&self) -> bool {
        let Ok(mut request) = crate::device::request(self.name()) else { return false };
        // SAFETY: `request` is live and exclusively ours; the call writes an ifreq.
        let rc = unsafe { libc::ioctl(self.file.fd.as_raw_fd(), libc::TUNGETIFF, &mut request) };
        rc == 0
    }

    /// Whether the device is in the calling thread's network namespace, where its index is its own.
    pub fn is_here(&self) -> bool {
        // SAFETY: no memory is passed; the call gives a descriptor.
        let fd = unsafe { libc::ioctl(self.file.fd.as_raw_fd(), TUNGETDEVNETNS) };
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
        let rc = unsafe { libc::ioctl(self.file.fd.as_raw_fd(), libc::TUNSETCARRIER, &value) };
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
            let got = unsafe { libc::read(self.file.fd.as_raw_fd(), room.as_mut_ptr().cast(), room.len()) };
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
            let n = unsafe { libc::writev(self.file.fd.as_raw_fd(), parts.as_ptr(), parts.len() as i32) };
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
