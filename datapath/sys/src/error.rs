//! What can fail: a system call, with its name and the kernel's reason.

use std::io;

/// A system call that failed.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct Error {
    /// What was tried, in a few words.
    pub what: &'static str,
    /// The kernel's answer.
    pub source: io::Error,
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The error of the calling thread's last failed call.
    pub(crate) fn last(what: &'static str) -> Self {
        Self { what, source: io::Error::last_os_error() }
    }

    pub(crate) fn os(what: &'static str, errno: i32) -> Self {
        Self { what, source: io::Error::from_raw_os_error(errno) }
    }

    /// The error number, 0 if the kernel gave none.
    pub fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(0)
    }
}

/// Turns the -1 of a system call into the error it left.
pub(crate) fn check(what: &'static str, rc: libc::c_int) -> Result<libc::c_int> {
    if rc < 0 { Err(Error::last(what)) } else { Ok(rc) }
}
