//! Memory for frames that do not come in a ring's own.

use super::MAX_FRAME;

/// Room before a fetched frame, bytes.
pub(super) const FETCH_HEADROOM: usize = 128;

/// Memory for frames fetched by `recv`, used from front to back and all over again each batch.
#[derive(Debug)]
pub(super) struct Arena {
    /// A leaked box, reached by this pointer alone: frames handed out lie beside those to come.
    memory: *mut u8,
    len: usize,
    pub(super) used: usize,
}

// SAFETY: the memory is plain, and `Arena` its only owner.
unsafe impl Send for Arena {}

impl Arena {
    pub(super) fn new(len: usize) -> Self {
        let memory = Box::leak(vec![0u8; len].into_boxed_slice());
        Self { memory: memory.as_mut_ptr(), len, used: 0 }
    }

    pub(super) fn has_room(&self) -> bool {
        self.used + FETCH_HEADROOM + MAX_FRAME <= self.len
    }

    /// Bytes of the arena from the first unused one.
    ///
    /// # Safety
    /// The bytes overlap those of the next call until `used` has moved past them, and those of earlier
    /// calls once it has started over: no slice may live that long.
    pub(super) unsafe fn front<'a>(&mut self, len: usize) -> Option<&'a mut [u8]> {
        if self.used + len > self.len {
            return None;
        }
        // SAFETY: inside the leaked box (checked); exclusive by the caller's promise.
        Some(unsafe { std::slice::from_raw_parts_mut(self.memory.add(self.used), len) })
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let memory = std::ptr::slice_from_raw_parts_mut(self.memory, self.len);
        // SAFETY: the very box `new` leaked; all frames in it have ended with the ring.
        drop(unsafe { Box::from_raw(memory) });
    }
}
