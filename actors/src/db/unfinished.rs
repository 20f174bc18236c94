//! What peers have sent of requests that are not all there yet, which has to be kept: of each no more than its memory
//! allows, and of all together no more than leaves room for those that ask for something.

use jsonrpc::Limits;
use std::cell::Cell;
use std::io;
use std::thread::LocalKey;

/// Beyond so many octets what a peer has sent is much: who has gone beyond leaves memory that is given back at once, as the
/// allocator keeps it otherwise for as long as nobody asks for as much.
const MUCH: usize = 4 << 20;
/// The longest request where there is memory for it, octets. To bring back a great database is one of hundreds of MiB.
const LONGEST: usize = 1 << 30;
/// The longest that is taken however little memory there is, octets.
const ALWAYS: usize = 16 << 20;
/// A request may take this share of the memory: read, it takes up to eleven times as much as its text.
const SHARE: u64 = 16;
/// All of them together may take so many times as much as one.
const TOGETHER: usize = 4;

thread_local! {
    /// What all sessions of this thread, which are those of the database, have unfinished.
    static ALL: Cell<usize> = const { Cell::new(0) };
}

/// How much is kept of a session's peer.
pub(super) fn limits() -> Limits {
    Limits { size: longest(sys::memory::of_process()), ..Limits::default() }
}

/// The longest request of a process that may have so many octets of memory.
fn longest(memory: u64) -> usize {
    usize::try_from(memory / SHARE).map_or(LONGEST, |share| share.clamp(ALWAYS, LONGEST))
}

/// What one peer has unfinished, in the account of all.
#[derive(Debug)]
pub(super) struct Unfinished {
    octets: usize,
    /// Of all together.
    most: usize,
    all: &'static LocalKey<Cell<usize>>,
    /// It has been much.
    was_much: bool,
}

impl Unfinished {
    pub(super) fn new() -> Unfinished {
        Unfinished { octets: 0, most: limits().size.saturating_mul(TOGETHER), all: &ALL, was_much: false }
    }

    /// There are so many octets now.
    ///
    /// # Errors
    /// `ENOMEM` if there is no room for them beside those of others, and they are not few.
    pub(super) fn note(&mut self, octets: usize) -> io::Result<()> {
        let all = self.all.get() - self.octets + octets;
        self.all.set(all);
        self.octets = octets;
        self.was_much |= octets > MUCH;
        if all > self.most && octets > MUCH { Err(io::Error::from_raw_os_error(libc::ENOMEM)) } else { Ok(()) }
    }

    /// The connection is over, and what it left unfinished is gone.
    pub(super) fn forget(&mut self) {
        self.all.set(self.all.get() - self.octets);
        self.octets = 0;
    }

    pub(super) fn was_much(&self) -> bool {
        self.was_much
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_long_as_there_is_memory_for() {
        let mib = |n: u64| n << 20;
        assert_eq!([mib(64), mib(1024), mib(64 << 10), u64::MAX].map(longest), [ALWAYS, 64 << 20, LONGEST, LONGEST]);
    }

    #[test]
    fn who_sends_much_leaves_room_for_others() {
        let begin = || Unfinished { most: 10 * MUCH, ..Unfinished::new() };
        let (mut one, mut two, mut three) = (begin(), begin(), begin());
        assert!(one.note(6 * MUCH).is_ok() && two.note(4 * MUCH).is_ok() && three.note(MUCH).is_ok());
        let error = two.note(4 * MUCH + 1).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOMEM), "more than there is room for");
        one.forget();
        assert!(two.note(5 * MUCH).is_ok(), "one has finished");
        assert!(one.was_much() && !three.was_much());
        drop(two);
        assert!(three.note(10 * MUCH).is_ok(), "two is gone");
        drop((one, three));
        assert_eq!(ALL.get(), 0);
    }
}
