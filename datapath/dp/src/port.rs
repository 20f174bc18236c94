//! What a port must provide: the receiving half of a queue, and the sending half of the port.
//!
//! The halves are apart since a burst's frames stay lent by the one while they are sent through others, its own port's
//! included. An implementation over rings is a few lines; tests bring vectors.

use ebpf::Exit;
use flow::capture_filter::Direction;
use packet::Offload;

use crate::burst::Burst;

/// The receiving half of one queue of a port.
pub trait RxQueue: Send {
    /// Puts up to `max` packets into `burst`, which is empty, and returns at once.
    ///
    /// The memory lent may be taken back with the next call of any method.
    fn receive<'a>(&'a mut self, max: usize, burst: &mut Burst<'a>);

    /// Takes back the memory lent; all of it is free again.
    fn release(&mut self) {}

    /// Asks to be woken when something comes. `false`: something is here already, stay awake.
    fn prepare_sleep(&mut self) -> bool {
        true
    }

    /// Is polled again without having woken anybody, and need not wake anybody until it is asked to.
    fn stay_awake(&mut self) {}

    /// Takes the error that woke somebody. `false`: the queue is of no use any more.
    fn recover(&mut self) -> bool {
        true
    }

    /// The number of the device it receives from, if the kernel can be told to forward some of its packets by itself.
    fn device(&self) -> Option<u32> {
        None
    }

    /// Packets lost before anybody received them.
    fn losses(&mut self) -> RxLosses {
        RxLosses::default()
    }
}

/// Packets lost before they were received; from the queue's beginning on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxLosses {
    /// There was no room for them.
    pub dropped: u64,
    /// They came truncated.
    pub errors: u64,
}

/// A packet to send.
#[derive(Clone, Copy, Debug)]
pub struct TxPacket<'a> {
    /// Its octets.
    pub octets: &'a [u8],
    /// What it owes. Only what [`TxPort::offloads`] says the port can take.
    pub offload: Offload,
    /// Queueing priority.
    pub priority: u32,
}

/// What became of packets to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxReport {
    /// Packets sent.
    pub packets: u64,
    /// Octets sent.
    pub bytes: u64,
    /// Packets dropped: no room, too long.
    pub dropped: u64,
    /// How many of those were too long.
    pub too_long: u64,
    /// Packets refused for other reasons.
    pub errors: u64,
}

/// Debts that a port takes over with a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Completes checksums.
    pub csum: bool,
    /// Cuts TCP segments.
    pub tso: bool,
    /// Cuts UDP datagrams.
    pub uso: bool,
}

impl Offloads {
    /// Everything.
    pub const ALL: Self = Self { csum: true, tso: true, uso: true };

    /// Whether a packet can go as it is.
    pub(crate) fn take(self, offload: &Offload) -> bool {
        let cut = match offload.gso {
            None => true,
            Some(gso) if gso.kind & !packet::offload::GSO_ECN == packet::offload::GSO_UDP_L4 => self.uso,
            Some(_) => self.tso,
        };
        cut && (self.csum || offload.partial_csum.is_none())
    }
}

/// Sees a port's packets go by: as they were received, before anything is done to them, and as they are sent.
///
/// It is called for every packet of its port, on the datapath's thread: it must be quick, and never wait.
pub trait Watcher: Send {
    /// A packet's octets, debts of checksum and segmentation not settled.
    fn see(&mut self, octets: &[u8], direction: Direction);

    /// The same for what another thread receives and sends by the port; `None`: that goes unseen.
    fn share(&self) -> Option<Box<dyn Watcher>> {
        None
    }
}

/// A port for another thread: a sending half, and who sees what it receives and sends there.
pub type PortShare = (Box<dyn TxPort>, Option<Box<dyn Watcher>>);

/// The sending half of a port.
pub trait TxPort: Send {
    /// Sends the packets in order, without waiting.
    fn send(&mut self, packets: &[TxPacket<'_>]) -> TxReport;

    /// Another sending half of the same port, for another thread; `None`: there can be one alone.
    fn share(&self) -> Option<Box<dyn TxPort>> {
        None
    }

    /// Where it sends, if the kernel may as well do so by itself.
    fn exit(&self) -> Option<Exit> {
        None
    }

    /// The address that the host sends packets of a mark from to this one (IPv4 ones mapped into IPv6), of a tunnel's port that
    /// the host's stack sends by; `None`: there is no way.
    fn source(&mut self, _to: u128, _mark: u32) -> Option<u128> {
        None
    }

    /// What it can take. Packets that owe more are settled in software before.
    fn offloads(&self) -> Offloads {
        Offloads::ALL
    }
}
