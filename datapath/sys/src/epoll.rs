//! Waiting for descriptors (epoll(7)) and waking a waiter (eventfd(2)).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::error::{Error, Result, check};

/// Events one wait reports at most.
const EVENTS: usize = 64;

/// A descriptor that became ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// What [`Epoll::add`] was told.
    pub token: u64,
    /// There is something to read.
    pub readable: bool,
    /// There is an error to take.
    pub error: bool,
}

/// A set of descriptors to wait for, level-triggered. It may itself be waited for.
#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}

impl Epoll {
    /// An empty set.
    pub fn new() -> Result<Self> {
        // SAFETY: no memory is passed.
        let fd = check("make an epoll set", unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor is fresh and owned by nobody else.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Waits for `fd` to become readable, from now on, under the name `token`.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64) -> Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        self.control("add to an epoll set", libc::EPOLL_CTL_ADD, fd, &mut event)
    }

    /// Waits for `fd` no longer. A closed descriptor leaves by itself.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> Result<()> {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        self.control("remove from an epoll set", libc::EPOLL_CTL_DEL, fd, &mut event)
    }

    fn control(&self, what: &'static str, op: i32, fd: BorrowedFd<'_>, event: &mut libc::epoll_event) -> Result<()> {
        // SAFETY: `event` is live; the kernel only reads it.
        let rc = unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), op, fd.as_raw_fd(), event) };
        check(what, rc).map(drop)
    }

    /// Waits up to `timeout_ms` (0: not at all, -1: for ever) and names what is ready.
    ///
    /// A signal ends the wait early with nothing ready.
    pub fn wait(&self, timeout_ms: i32, mut each: impl FnMut(Ready)) -> Result<usize> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        // SAFETY: the kernel writes at most `EVENTS` events into the live array.
        let n = unsafe { libc::epoll_wait(self.fd.as_raw_fd(), events.as_mut_ptr(), EVENTS as i32, timeout_ms) };
        if n < 0 {
            let e = Error::last("wait for an epoll set");
            return if e.errno() == libc::EINTR { Ok(0) } else { Err(e) };
        }
        for event in &events[..n as usize] {
            let bits = event.events;
            each(Ready {
                token: event.u64,
                readable: bits & libc::EPOLLIN as u32 != 0,
                error: bits & (libc::EPOLLERR | libc::EPOLLHUP) as u32 != 0,
            });
        }
        Ok(n as usize)
    }
}

/// A counter that wakes whoever waits for it.
#[derive(Debug)]
pub struct EventFd {
    fd: OwnedFd,
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl EventFd {
    /// A counter at zero.
    pub fn new() -> Result<Self> {
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        let fd = check("make an eventfd", fd)?;
        // SAFETY: the descriptor is fresh and owned by nobody else.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Wakes the waiter.
    pub fn notify(&self) {
        let one = 1u64;
        // SAFETY: eight bytes of a live value are read. A full counter is readable already.
        unsafe { libc::write(self.fd.as_raw_fd(), (&one as *const u64).cast(), 8) };
    }

    /// Puts the counter back to zero; whether it was notified.
    pub fn take(&self) -> bool {
        let mut count = 0u64;
        // SAFETY: at most eight bytes are written into a live value.
        let n = unsafe { libc::read(self.fd.as_raw_fd(), (&mut count as *mut u64).cast(), 8) };
        n == 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eventfd_wakes_an_epoll_set() {
        let (epoll, event) = (Epoll::new().unwrap(), EventFd::new().unwrap());
        epoll.add(event.as_fd(), 7).unwrap();
        let mut seen = Vec::new();
        epoll.wait(0, |r| seen.push(r)).unwrap();
        assert_eq!(seen, []);
        event.notify();
        epoll.wait(1000, |r| seen.push(r)).unwrap();
        assert_eq!(seen, [Ready { token: 7, readable: true, error: false }]);
        assert!(event.take());
        assert!(!event.take());
        assert_eq!(epoll.wait(0, |_| ()).unwrap(), 0);
        epoll.remove(event.as_fd()).unwrap();
    }
}
