//! The process calls a daemon needs and no ordinary crate offers safely: to fork, to die of a signal, to change its title.

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

/// Waits for the end of a child; whether it ended by itself, with exit code 0.
///
/// # Errors
/// Those of waitpid(2).
pub(crate) fn ended_well(child: i32) -> io::Result<bool> {
    let mut status = 0;
    loop {
        // SAFETY: the kernel writes one number into the live variable.
        if unsafe { libc::waitpid(child, &mut status, 0) } == child {
            return Ok(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Ends a forked process: nothing that its parent has begun is finished by it as well.
pub(crate) fn end_at_once(code: i32) -> ! {
    // SAFETY: no memory is passed, and nothing of this process goes on.
    unsafe { libc::_exit(code) }
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

/// Shows `title` instead of the command line in `ps` and the like, cut to the command line's length. What
/// `/proc/self/cmdline` held before brings the command line back.
///
/// # Errors
/// `EBUSY` when the process has other threads, which might read their arguments; what reading `/proc/self/stat` gives.
pub fn set_title(title: &[u8]) -> io::Result<()> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (start, end) = argument_area(&stat).ok_or(io::ErrorKind::InvalidData)?;
    // The last octet stays zero: so ends whatever of the arguments is read again.
    let room = end - start - 1;
    let len = title.len().min(room);
    // SAFETY: the kernel laid the command line at [start, end) of this process's stack, mapped and writable for as long
    // as the process lives (proc(5), arg_start and arg_end). This thread is the only one, so nobody reads it meanwhile;
    // each argument that the runtime's `argv` points to still ends in a zero within the area.
    unsafe {
        let area = std::ptr::with_exposed_provenance_mut::<u8>(start);
        std::ptr::write_bytes(area, 0, end - start);
        std::ptr::copy_nonoverlapping(title.as_ptr(), area, len);
    }
    Ok(())
}

/// Where `/proc/PID/stat` says that the command line begins and ends: fields 48 and 49 of proc(5).
fn argument_area(stat: &str) -> Option<(usize, usize)> {
    // The second field, the name, is the only one that may hold blanks and parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(45);
    let (start, end) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (start != 0 && end > start).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_area_is_found_behind_any_name() {
        let fields = |name: &str, start: &str, end: &str| {
            let zeros = vec!["0"; 44].join(" ");
            format!("12 ({name}) S {zeros} {start} {end} 7 7 0\n")
        };
        for (stat, expect) in [
            (fields("sh", "4096", "4100"), Some((4096, 4100))),
            (fields("a) b (c", "4096", "4100"), Some((4096, 4100))),
            (fields("sh", "0", "0"), None),
            (fields("sh", "4100", "4096"), None),
            ("12 (sh) S 1".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(argument_area(&stat), expect, "{stat}");
        }
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let (start, end) = argument_area(&stat).unwrap();
        let line = std::fs::read("/proc/self/cmdline").unwrap();
        assert_eq!(end - start, line.len());
    }
}
