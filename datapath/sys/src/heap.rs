//! When memory that was freed goes back to the kernel, where mimalloc is the process's allocator.

/// The number of mimalloc 2's option `purge_delay` (mimalloc.h, `mi_option_t`), which its crate does not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Has the allocator give freed pages back after a millisecond, and whole areas after ten, in place of 10 and 100: what a
/// great change took for itself alone is gone when the change is. It costs no time that could be measured.
pub fn return_freed_soon() {
    // SAFETY: the call takes no memory of ours; an option is one word, which the allocator itself reads and writes at any time.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 1) };
}
