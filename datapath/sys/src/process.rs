//! The two process calls a daemon needs and no ordinary crate offers safely: to fork, and to die of a signal.

use std::io;

/// Which side of a fork this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// The process that was there before, and the child's process id.
    Parent(i32),
    /// The new process.
    Child,
}

/// Forks a process that has one thread only.
///
/// # Errors
/// Those of fork(2), and `EBUSY` when the process has other threads: a child would inherit their locks held.
pub fn fork() -> io::Result<Fork> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    // SAFETY: this thread is the only one, so no lock is held by a thread that the child lacks, and both
    // processes go on in a consistent state.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// Gives SIGSEGV and SIGBUS their default action back.
///
/// Rust's runtime catches them to tell of stack overflows, and swallows the first one that another process
/// sends; a daemon under a monitor is expected to die of it.
pub fn die_of_faults() {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: `action` is fully initialised (all zero but the handler), and the default action runs no
        // code of ours.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = libc::SIG_DFL;
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
}

/// Ends the process by `signal`'s default action, so that its parent sees what killed it.
pub fn die_by_signal(signal: i32) -> ! {
    // SAFETY: `action` is fully initialised (all zero but the handler), and the default action runs no code
    // of ours; the mask is a local that sigemptyset and sigaddset initialise.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(signal, &action, std::ptr::null_mut());
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut mask);
        libc::sigaddset(&mut mask, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &mask, std::ptr::null_mut());
        libc::raise(signal);
    }
    // The default action of this signal does not end a process.
    std::process::exit(128_i32.saturating_add(signal))
}
