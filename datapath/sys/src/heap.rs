//! When memory that was freed goes back to the kernel, where mimalloc is the process's allocator.

/// The number of mimalloc 2's option `purge_delay` (mimalloc.h, `mi_option_t`), which its crate does not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Has the allocator give freed pages back after a millisecond, and whole areas after ten, in place of 10 and 100: what a
/// great change took for itself alone is gone when the change is. It costs no time that could be measured.
pub fn return_freed_soon() {
    // SAFETY: the call takes no memory of ours; an option is one word, which the allocator itself reads and writes at any time.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 1) };
}

/// Gives back what others have freed of the calling thread's own memory, which they leave for it to find.
pub fn give_back() {
    // SAFETY: the call takes no memory of ours, and looks at nothing but the calling thread's heap and areas nobody owns.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

#[cfg(test)]
mod tests {
    #[test]
    fn memory_in_use_stays() {
        let mut kept: Vec<Box<[u8]>> = (0..1000).map(|i| vec![i as u8; 100].into()).collect();
        let gone = kept.split_off(500);
        assert!(std::thread::spawn(move || drop(gone)).join().is_ok());
        super::give_back();
        assert!(kept.iter().enumerate().all(|(i, octets)| octets.iter().all(|octet| *octet == i as u8)));
    }
}
