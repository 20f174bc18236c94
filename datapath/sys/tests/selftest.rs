//! The start-up self-test itself.

mod common;

use std::process::Command;

#[test]
fn early_reading_works_here() {
    match sys::early_reading_works() {
        Ok(works) => assert!(works, "early reading of TPACKET_V3 does not work on this kernel"),
        Err(e) => panic!("the self-test needs root and a kernel with veth: {e}"),
    }
}

/// Takes a capability from this thread, and those that it starts.
fn give_up(capability: u32) {
    const VERSION_3: u32 = 0x2008_0522;
    // Version and thread; effective, permitted and inheritable, each of 32 bits twice.
    let header = [VERSION_3, 0];
    let mut sets = [[0u32; 3]; 2];
    // SAFETY: the kernel reads the live header, and writes two sets of three words.
    let got = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) };
    assert_eq!(got, 0);
    sets[capability as usize / 32].iter_mut().for_each(|set| *set &= !(1 << (capability % 32)));
    // SAFETY: the kernel reads the live header and sets.
    let set = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    assert_eq!(set, 0);
}

/// A container with what it takes to have rings, but not to have namespaces, is told as well; nothing stays behind.
#[test]
fn early_reading_is_tested_without_a_namespace() {
    common::in_namespace(|| {
        const CAP_SYS_ADMIN: u32 = 21;
        give_up(CAP_SYS_ADMIN);
        assert_eq!(sys::thread::enter_new_network_namespace().unwrap_err().errno(), libc::EPERM);
        assert!(sys::early_reading_works().expect("a test"));
        sys::finish_closing();
        let links = Command::new("ip").args(["-br", "link"]).output().expect("run ip").stdout;
        assert!(!String::from_utf8_lossy(&links).contains("rst"), "{}", String::from_utf8_lossy(&links));
    });
}
