//! What is counted of packets that connection tracking refuses. Source: ovs-appctl(8), `coverage/show`, for what is worth
//! counting.

use super::conn::Progress;

/// Something that happened to a packet that was to be tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// Its connection found no room, in all or in its zone.
    Full,
    /// The checksum of its IPv4 header is wrong.
    HeaderSum,
    /// Its TCP, UDP or ICMP checksum is wrong.
    TransportSum,
    /// A segment of a connection with flags that no segment has.
    InvalidFlags,
    /// A segment outside its window.
    OutsideWindow,
    /// A segment outside its window that passes, as sequence numbers are not checked.
    Unchecked,
    /// A fragment whose IPv4 header has a wrong checksum.
    FragmentSum,
}

impl Event {
    /// How many there are; each as a number is below.
    pub const COUNT: usize = 7;
}

/// Why a packet cannot be tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Untracked {
    /// It is of no protocol that is followed, or of none that begins or belongs to anything.
    Malformed,
    /// The checksum of its IPv4 header is wrong.
    HeaderSum,
    /// The checksum behind that is.
    TransportSum,
}

impl Untracked {
    pub(super) fn event(self) -> Option<Event> {
        match self {
            Untracked::Malformed => None,
            Untracked::HeaderSum => Some(Event::HeaderSum),
            Untracked::TransportSum => Some(Event::TransportSum),
        }
    }
}

impl Progress {
    pub(super) fn event(self) -> Option<Event> {
        match self {
            Progress::Valid | Progress::ValidNew | Progress::Over => None,
            Progress::Unchecked => Some(Event::Unchecked),
            Progress::Outside => Some(Event::OutsideWindow),
            Progress::Nonsense => Some(Event::InvalidFlags),
        }
    }
}
