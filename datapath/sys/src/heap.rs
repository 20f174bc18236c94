//! The programs' heap, which is mimalloc's, and when memory that was freed goes back to the kernel.

use std::alloc::{GlobalAlloc, Layout};

/// mimalloc as a process's allocator. What is aligned as all its blocks are, which is almost everything, is asked for
/// without a word of alignment: that takes a third of the time.
#[derive(Debug, Default, Clone, Copy)]
pub struct Heap;

/// Every block of so many octets or more is aligned to so many; one of fewer to its size (mimalloc/types.h,
/// `MI_MAX_ALIGN_SIZE`).
const ALIGNED: usize = 16;

/// Whether a block of the size has the alignment by itself.
fn is_aligned_anyway(layout: Layout) -> bool {
    layout.align() <= ALIGNED && layout.align() <= layout.size()
}

// SAFETY: mimalloc's blocks are as large as asked for, aligned as said above or as asked for, nobody else's until they are
// freed, and may be freed and grown by any thread; nothing here unwinds.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size may be asked for, and an alignment that is a power of two.
        unsafe {
            if is_aligned_anyway(layout) {
                libmimalloc_sys::mi_malloc(layout.size()).cast()
            } else {
                libmimalloc_sys::mi_malloc_aligned(layout.size(), layout.align()).cast()
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            if is_aligned_anyway(layout) {
                libmimalloc_sys::mi_zalloc(layout.size()).cast()
            } else {
                libmimalloc_sys::mi_zalloc_aligned(layout.size(), layout.align()).cast()
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller has it from here, and nobody uses it any more.
        unsafe { libmimalloc_sys::mi_free(block.cast()) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let aligned_anyway = Layout::from_size_align(size, layout.align()).is_ok_and(is_aligned_anyway);
        // SAFETY: the caller has it from here; what is said of sizes above holds for the new one.
        unsafe {
            if aligned_anyway {
                libmimalloc_sys::mi_realloc(block.cast(), size).cast()
            } else {
                libmimalloc_sys::mi_realloc_aligned(block.cast(), size, layout.align()).cast()
            }
        }
    }
}

/// The number of mimalloc 2's option `purge_delay` (mimalloc.h, `mi_option_t`), which its crate does not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Has the allocator give freed pages back after a millisecond, and whole areas after ten, in place of 10 and 100: what a
/// great change took for itself alone is gone when the change is. It costs no time that could be measured.
pub fn return_freed_soon() {
    // SAFETY: the call takes no memory of ours; an option is one word, which the allocator itself reads and writes at any time.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 1) };
}

/// Where the process may map only so much, has the C library's allocator, which serves only what is written in C, make do
/// with one heap: it would reserve another for each thread, 64 MiB of addresses each.
pub fn spare_addresses() {
    if crate::memory::is_address_space_limited() {
        // SAFETY: the call takes no memory of ours, and sets a limit that is looked at when a thread needs a heap.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    }
}

/// Gives back what others have freed of the calling thread's own memory, which they leave for it to find.
pub fn give_back() {
    // SAFETY: the call takes no memory of ours, and looks at nothing but the calling thread's heap and areas nobody owns.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_as_asked_for() {
        for align in [1, 2, 4, 8, 16, 32, 64, 4096] {
            for size in [1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 40, 100, 1000, 5000, 100_000] {
                let layout = Layout::from_size_align(size, align).unwrap();
                // SAFETY: blocks of this heap, written within their size only and freed once.
                unsafe {
                    let blocks: Vec<*mut u8> = (0..20)
                        .map(|n| if n % 2 == 0 { Heap.alloc(layout) } else { Heap.alloc_zeroed(layout) })
                        .collect();
                    for (n, block) in blocks.iter().enumerate() {
                        assert_eq!(block.addr() % align, 0, "{layout:?}");
                        assert!(n % 2 == 0 || (0..size).all(|at| *block.add(at) == 0), "{layout:?}");
                        block.write_bytes(n as u8, size);
                    }
                    for (n, block) in blocks.into_iter().enumerate() {
                        let grown = Heap.realloc(block, layout, size * 3);
                        assert_eq!(grown.addr() % align, 0, "{layout:?}");
                        assert!((0..size).all(|at| *grown.add(at) == n as u8), "{layout:?}");
                        Heap.dealloc(grown, Layout::from_size_align(size * 3, align).unwrap());
                    }
                }
            }
        }
    }

    #[test]
    fn memory_in_use_stays() {
        let mut kept: Vec<Box<[u8]>> = (0..1000).map(|i| vec![i as u8; 100].into()).collect();
        let gone = kept.split_off(500);
        assert!(std::thread::spawn(move || drop(gone)).join().is_ok());
        super::give_back();
        assert!(kept.iter().enumerate().all(|(i, octets)| octets.iter().all(|octet| *octet == i as u8)));
    }
}
