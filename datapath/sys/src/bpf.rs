//! Programs in the kernel, and the maps they share with us (bpf(2)).
//!
//! Programs come as instructions, made elsewhere; the kernel verifies them. Keys and values are octets whose lengths are
//! checked here. Absent: BTF, pinning, iteration: whoever puts entries into a map knows them.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::closer::SlowFd;
use crate::error::{Error, Result};
use crate::map::Map as Memory;

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_MAP_DELETE_ELEM: libc::c_long = 3;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;
/// Octets of the verifier's log that are kept.
const LOG_BYTES: usize = 64 << 10;
const NAME: &[u8; 16] = b"troupe\0\0\0\0\0\0\0\0\0\0";

/// The call's argument (`union bpf_attr`).
#[repr(align(8))]
struct Attr([u8; 120]);

impl Attr {
    fn new(words: &[(usize, u32)]) -> Self {
        let mut attr = Self([0; 120]);
        words.iter().for_each(|(at, word)| attr.0[*at..at + 4].copy_from_slice(&word.to_ne_bytes()));
        attr
    }

    /// Puts a buffer's address; the buffer must outlive the call.
    fn point(mut self, at: usize, to: *const u8) -> Self {
        self.0[at..at + 8].copy_from_slice(&(to as u64).to_ne_bytes());
        self
    }

    fn name(mut self, at: usize) -> Self {
        self.0[at..at + 16].copy_from_slice(NAME);
        self
    }

    /// # Safety
    /// Every address in it must be that of a live buffer as large as the command's other members say.
    unsafe fn call(&self, what: &'static str, command: libc::c_long) -> Result<i32> {
        // SAFETY: the argument is live and its own size is passed; what it points to is the caller's promise.
        let rc = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_ptr(), self.0.len()) };
        if rc < 0 { Err(Error::last(what)) } else { Ok(rc as i32) }
    }

    /// # Safety
    /// As for [`Attr::call`]; and the command must be one that gives a descriptor.
    unsafe fn open(&self, what: &'static str, command: libc::c_long) -> Result<OwnedFd> {
        // SAFETY: the caller's promise.
        let fd = unsafe { self.call(what, command) }?;
        // SAFETY: the descriptor is fresh and owned by nobody else.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

fn create(kind: u32, key: usize, value: usize, entries: u32, flags: u32) -> Result<OwnedFd> {
    let attr = Attr::new(&[(0, kind), (4, key as u32), (8, value as u32), (12, entries), (16, flags)]).name(28);
    // SAFETY: the command reads nothing but the argument, and gives a descriptor.
    unsafe { attr.open("make a BPF map", BPF_MAP_CREATE) }
}

/// A hash map; keys of `K` octets, values of `V`.
#[derive(Debug)]
pub struct HashMap<const K: usize, const V: usize>(OwnedFd);

impl<const K: usize, const V: usize> HashMap<K, V> {
    /// One of at most `entries`, whose memory is taken as it is used.
    pub fn new(entries: u32) -> Result<Self> {
        const BPF_MAP_TYPE_HASH: u32 = 1;
        const BPF_F_NO_PREALLOC: u32 = 1;
        create(BPF_MAP_TYPE_HASH, K, V, entries, BPF_F_NO_PREALLOC).map(Self)
    }

    /// Sets what a key leads to. `EEXIST`: it leads somewhere already. `E2BIG`: the map is full.
    pub fn insert(&self, key: &[u8; K], value: &[u8; V]) -> Result<()> {
        const BPF_NOEXIST: u32 = 1;
        let attr = Attr::new(&[(0, self.0.as_raw_fd() as u32), (24, BPF_NOEXIST)]);
        let attr = attr.point(8, key.as_ptr()).point(16, value.as_ptr());
        // SAFETY: the kernel reads `K` and `V` octets, as the map was made, from live arrays of these lengths.
        unsafe { attr.call("add to a BPF map", BPF_MAP_UPDATE_ELEM) }.map(drop)
    }

    /// Takes a key away. `ENOENT`: it was not there.
    pub fn remove(&self, key: &[u8; K]) -> Result<()> {
        let attr = Attr::new(&[(0, self.0.as_raw_fd() as u32)]).point(8, key.as_ptr());
        // SAFETY: the kernel reads `K` octets, as the map was made, from a live array of this length.
        unsafe { attr.call("remove from a BPF map", BPF_MAP_DELETE_ELEM) }.map(drop)
    }

    /// Its descriptor's number, for programs.
    pub fn number(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

/// An array of one element for each processor, for programs alone.
#[derive(Debug)]
pub struct PerCpu(OwnedFd);

impl PerCpu {
    /// An element of `octets` for each processor.
    pub fn new(octets: usize) -> Result<Self> {
        const BPF_MAP_TYPE_PERCPU_ARRAY: u32 = 6;
        create(BPF_MAP_TYPE_PERCPU_ARRAY, 4, octets, 1, 0).map(Self)
    }

    /// Its descriptor's number, for programs.
    pub fn number(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

/// An array that lies in our memory as well as in the kernel's.
#[derive(Debug)]
pub struct Array {
    fd: OwnedFd,
    memory: Memory,
    element: usize,
}

// SAFETY: the memory is only ever reached through atomics, which any thread may use at any time.
unsafe impl Sync for Array {}

impl Array {
    /// `n` elements of `octets` each, a multiple of eight; zero at first.
    pub fn new(octets: usize, n: u32) -> Result<Self> {
        const BPF_MAP_TYPE_ARRAY: u32 = 2;
        const BPF_F_MMAPABLE: u32 = 1 << 10;
        let element = octets.next_multiple_of(8);
        let fd = create(BPF_MAP_TYPE_ARRAY, 4, element, n, BPF_F_MMAPABLE)?;
        let memory = Memory::new(fd.as_fd(), (element * n as usize).next_multiple_of(4096))?;
        Ok(Self { fd, memory, element })
    }

    /// The word of 4 octets at `offset` in element `i`.
    ///
    /// # Panics
    /// If it lies outside the array.
    pub fn word(&self, i: u32, offset: usize) -> &AtomicU32 {
        self.memory.word(self.element * i as usize + offset)
    }

    /// The word of 8 octets at `offset` in element `i`.
    ///
    /// # Panics
    /// If it lies outside the array.
    pub fn long(&self, i: u32, offset: usize) -> &AtomicU64 {
        self.memory.long(self.element * i as usize + offset)
    }

    /// Its descriptor's number, for programs.
    pub fn number(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}

/// What a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramKind {
    /// Says how much of a frame a socket is to have.
    SocketFilter = 1,
    /// Says what becomes of a frame at a device's ingress or egress.
    Classifier = 3,
}

/// A program that the kernel has taken.
#[derive(Debug)]
pub struct Program(OwnedFd);

impl Program {
    /// Has the kernel verify a program. What it objects to stands in the error.
    pub fn load(kind: ProgramKind, code: &[u64]) -> Result<Self> {
        let first = Self::try_load(kind, code, None);
        let Err(refused) = first else { return first };
        if !matches!(refused.errno(), libc::EINVAL | libc::EACCES) {
            return Err(refused);
        }
        let mut log = vec![0u8; LOG_BYTES];
        let again = Self::try_load(kind, code, Some(&mut log));
        again.map_err(|error| {
            let text = String::from_utf8_lossy(log.split(|b| *b == 0).next().unwrap_or_default()).into_owned();
            let last = text.lines().rev().take(12).collect::<Vec<_>>();
            let told = last.into_iter().rev().collect::<Vec<_>>().join("; ");
            Error { what: error.what, source: std::io::Error::new(error.source.kind(), told) }
        })
    }

    fn try_load(kind: ProgramKind, code: &[u64], log: Option<&mut [u8]>) -> Result<Self> {
        // Redirection and the clock are not reserved to the kernel's own licence.
        let license = c"Apache-2.0";
        let attr = Attr::new(&[(0, kind as u32), (4, code.len() as u32)])
            .point(8, code.as_ptr().cast())
            .point(16, license.as_ptr().cast())
            .name(48);
        let attr = match log {
            Some(log) => {
                let mut attr = attr.point(32, log.as_mut_ptr());
                attr.0[24..28].copy_from_slice(&1u32.to_ne_bytes());
                attr.0[28..32].copy_from_slice(&(log.len() as u32).to_ne_bytes());
                attr
            }
            None => attr,
        };
        // SAFETY: instructions, licence and log are live and as long as said; the kernel writes to the log alone, which
        // is exclusively ours. The command gives a descriptor.
        unsafe { attr.open("load a BPF program", BPF_PROG_LOAD) }.map(Self)
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A program at a device's egress, ahead of its queues; there no longer soon after this is dropped, or its process ends.
#[derive(Debug)]
pub struct EgressLink {
    /// The attachment lasts as long as this.
    held: SlowFd,
}

impl EgressLink {
    /// Has the program asked about each frame that the host sends by the device, before all others that are there.
    /// `EINVAL`: the kernel is older than 6.6. `EEXIST`: it is there already. It takes the kernel a grace period, some
    /// 10 ms.
    pub fn attach(ifindex: u32, program: &Program) -> Result<Self> {
        const BPF_TCX_EGRESS: u32 = 47;
        const BPF_F_BEFORE: u32 = 1 << 3;
        let prog = program.as_fd().as_raw_fd() as u32;
        let attr = Attr::new(&[(0, prog), (4, ifindex), (8, BPF_TCX_EGRESS), (12, BPF_F_BEFORE)]);
        // SAFETY: the command reads nothing but the argument, and gives a descriptor.
        let held = unsafe { attr.open("attach a program to a device", BPF_LINK_CREATE) }?;
        Ok(Self { held: SlowFd::new(held) })
    }

    /// Takes it away; it is gone when this returns, after a grace period of the kernel.
    pub fn detach(self) {
        self.held.close_now();
    }
}

/// The programs of a port, which work together: what the ring's takes, wakes nobody, and the ingress filter passes on.
#[derive(Debug)]
pub struct PortPrograms {
    /// Of the ring's socket, which is asked first.
    pub ring: Program,
    /// Of the alarm's socket.
    pub alarm: Program,
    /// Of the socket that a port has before it has a ring ([`crate::EarlySocket`]).
    pub early: Program,
    /// Of the ingress filter ([`crate::host_stack::stop_with`]).
    pub ingress: Program,
    /// Of a tap, which works alone ([`EgressLink::attach`]).
    pub tap: Program,
}

/// Nanoseconds of the clock that programs read (`CLOCK_MONOTONIC`).
pub fn clock_ns() -> u64 {
    // SAFETY: all-zero is a valid timespec.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes the live value.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
