//! The heap's freed memory, which the C library keeps for later unless it is asked to give it back: malloc_trim(3).

/// Gives the pages of the heap that nothing lies in back to the kernel. Takes milliseconds where much was freed; other
/// threads may have to wait for memory meanwhile. Does nothing where the C library has no such thing.
pub fn give_back_freed() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes no memory of ours, and glibc locks each arena while it works on it.
    unsafe {
        libc::malloc_trim(0);
    }
}
