//! A mapping of memory shared with the kernel: a ring's slots or blocks, a BPF array.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64};

use crate::error::{Error, Result};

/// Memory the kernel writes while we look. Only atomic access, or plain access to a part the ring's
/// protocol has handed over, is lawful.
#[derive(Debug)]
pub(crate) struct Map {
    base: *mut u8,
    len: usize,
    /// Memory of the heap instead: nobody else's, and Miri's to watch.
    #[cfg(test)]
    is_plain: bool,
}

// SAFETY: the mapping is process-wide and `Map` is its only owner; the pointer is as good on any thread.
unsafe impl Send for Map {}

impl Map {
    /// Maps `len` bytes of the ring or array behind `fd`.
    pub(crate) fn new(fd: BorrowedFd<'_>, len: usize) -> Result<Self> {
        // SAFETY: a fresh shared mapping at an address the kernel picks: nobody else's memory is touched.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(Error::last("map memory of the kernel"));
        }
        Ok(Self {
            base: base.cast(),
            len,
            #[cfg(test)]
            is_plain: false,
        })
    }

    /// Memory that looks like a ring's, whose kernel is a test.
    #[cfg(test)]
    pub(crate) fn plain(len: usize) -> Self {
        // SAFETY: the layout is not empty; the memory is this map's until its drop.
        let base = unsafe { std::alloc::alloc_zeroed(Self::layout(len)) };
        assert!(!base.is_null());
        Self { base, len, is_plain: true }
    }

    #[cfg(test)]
    fn layout(len: usize) -> std::alloc::Layout {
        std::alloc::Layout::from_size_align(len.max(1), 4096).expect("a layout")
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The word at byte offset `at`, shared with the kernel.
    pub(crate) fn word(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4) && at + 4 <= self.len, "offset {at} outside the ring");
        // SAFETY: aligned and inside the mapping (checked), which lives as long as `self`; the kernel
        // writes such words with single aligned stores, so an atomic is the right view of them.
        unsafe { AtomicU32::from_ptr(self.base.add(at).cast()) }
    }

    /// The word of eight bytes at byte offset `at`, shared with the kernel.
    pub(crate) fn long(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at + 8 <= self.len, "offset {at} outside the memory");
        // SAFETY: as for `word`.
        unsafe { AtomicU64::from_ptr(self.base.add(at).cast()) }
    }

    /// The half word at byte offset `at`, shared with the kernel.
    pub(crate) fn half(&self, at: usize) -> &AtomicU16 {
        assert!(at.is_multiple_of(2) && at + 2 <= self.len, "offset {at} outside the ring");
        // SAFETY: as for `word`.
        unsafe { AtomicU16::from_ptr(self.base.add(at).cast()) }
    }

    /// Bytes `from..to`, as long as the caller likes.
    ///
    /// # Safety
    /// The ring's protocol must have handed these bytes to us, for longer than `'a`; no other slice of them
    /// may exist, and the mapping must outlive `'a`.
    pub(crate) unsafe fn bytes<'a>(&self, from: usize, to: usize) -> &'a mut [u8] {
        assert!(from <= to && to <= self.len, "range {from}..{to} outside the ring");
        // SAFETY: inside the mapping (checked); exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.base.add(from), to - from) }
    }

    /// Overwrites bytes `from..to` with zeroes.
    ///
    /// # Safety
    /// As for [`Map::bytes`], for the time of the call.
    pub(crate) unsafe fn zero(&self, from: usize, to: usize) {
        assert!(from <= to && to <= self.len, "range {from}..{to} outside the ring");
        // SAFETY: inside the mapping (checked); exclusive by the caller's promise.
        unsafe { std::ptr::write_bytes(self.base.add(from), 0, to - from) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        #[cfg(test)]
        if self.is_plain {
            // SAFETY: what `plain` allocated, with the same layout.
            return unsafe { std::alloc::dealloc(self.base, Self::layout(self.len)) };
        }
        // SAFETY: exactly the range `new` mapped; all borrows of it have ended with the ring.
        unsafe { libc::munmap(self.base.cast(), self.len) };
    }
}
