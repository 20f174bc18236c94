//! A connection: its two tuples, what was noted on it, and when it is over.

use super::helper::Shift;
use super::limits::Admission;
use super::parse::Parsed;
use super::tcp::Tcp;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// One direction of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tuple {
    /// Whether addresses are IPv6; IPv4 addresses are the low 32 bits.
    pub is_v6: bool,
    /// IP protocol.
    pub proto: u8,
    /// Source address.
    pub src: u128,
    /// Destination address.
    pub dst: u128,
    /// Source port; of ICMP the identifier.
    pub sport: u16,
    /// Destination port; of ICMP the identifier.
    pub dport: u16,
    /// ICMP type and code, else 0.
    pub icmp: (u8, u8),
}

impl Tuple {
    /// Whether it is of ICMP, either version.
    pub fn is_icmp(&self) -> bool {
        self.proto == if self.is_v6 { ICMPV6 } else { ICMP }
    }

    /// The other direction.
    pub fn reversed(&self) -> Self {
        let kind = match (self.is_icmp(), self.is_v6, self.icmp.0) {
            (true, false, 0) => 8,
            (true, false, 8) => 0,
            (true, false, 13) => 14,
            (true, false, 14) => 13,
            (true, false, 15) => 16,
            (true, false, 16) => 15,
            (true, true, 128) => 129,
            (true, true, 129) => 128,
            (_, _, kind) => kind,
        };
        Self { src: self.dst, dst: self.src, sport: self.dport, dport: self.sport, icmp: (kind, self.icmp.1), ..*self }
    }
}

/// Times after which a silent connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timeout {
    /// TCP, after the first packet.
    TcpFirst,
    /// TCP, while it opens.
    TcpOpening,
    /// TCP, open.
    TcpEstablished,
    /// TCP, one side has closed.
    TcpClosing,
    /// TCP, both sides have closed.
    TcpFinWait,
    /// TCP, over or reset.
    TcpClosed,
    /// UDP and others, after the first packet.
    OtherFirst,
    /// UDP and others, after several packets of one side.
    OtherMultiple,
    /// UDP and others, when both sides have sent.
    OtherBidir,
    /// ICMP, after a request.
    IcmpFirst,
    /// ICMP, after its answer.
    IcmpReply,
}

/// A value for each [`Timeout`], ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts(pub [u64; 11]);

impl Default for Timeouts {
    fn default() -> Self {
        const S: u64 = 1000;
        Self([30 * S, 30 * S, 86_400 * S, 900 * S, 45 * S, 30 * S, 60 * S, 60 * S, 30 * S, 60 * S, 30 * S])
    }
}

impl Timeouts {
    pub(super) fn get(&self, which: Timeout) -> u64 {
        self.0[which as usize]
    }
}

/// What a packet means to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Valid,
    /// Nobody has answered yet.
    ValidNew,
    /// Outside the window, which nobody asks about.
    Unchecked,
    /// Outside the window.
    Outside,
    /// Flags that no segment has.
    Nonsense,
    /// It begins another connection of the same tuple.
    Over,
}

/// How far a connection is that is not TCP's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    Once,
    Again,
    Both,
}

#[derive(Clone, Debug)]
enum Follow {
    Tcp(Box<Tcp>),
    Other(Spoken),
}

#[derive(Clone, Debug)]
pub(crate) struct Conn {
    pub(super) zone: u16,
    pub(super) original: Tuple,
    pub(super) reply: Tuple,
    pub(super) mark: u32,
    pub(super) label: u128,
    pub(super) expires_ms: u64,
    /// Where it is on the wheel of those to be looked at.
    pub(super) spoke: u64,
    /// The helper's name.
    pub(super) helper: Option<&'static str>,
    /// The connection in which it was agreed on, by its original direction.
    pub(super) parent: Option<Tuple>,
    /// How its numbers moved where its text was rewritten, of the original and the reply direction.
    pub(super) shifts: [Shift; 2],
    /// The connection whose tuple its reply has taken.
    pub(super) hides: Option<u32>,
    /// The limit that counts it.
    pub(super) admission: Option<Admission>,
    timeouts: Timeouts,
    follow: Follow,
}

/// A connection as told to those who ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Zone.
    pub zone: u16,
    /// As it began.
    pub original: Tuple,
    /// As answers are expected.
    pub reply: Tuple,
    /// Mark.
    pub mark: u32,
    /// Label.
    pub label: u128,
    /// When it is over, ms.
    pub expires_ms: u64,
    /// TCP's states of the original and the reply direction.
    pub tcp: Option<(super::tcp::State, super::tcp::State)>,
    /// Whether it was picked up in its middle, where nobody knows how windows scale.
    pub is_liberal: bool,
    /// How the windows of the original and the reply direction scale, as shifts, where that was agreed on.
    pub scales: [Option<u8>; 2],
    /// The helper's name.
    pub helper: Option<&'static str>,
    /// The original direction of the connection in which it was agreed on.
    pub parent: Option<Tuple>,
}

impl Conn {
    pub(super) fn new(zone: u16, packet: &Parsed, reply: Tuple, timeouts: Timeouts, now_ms: u64) -> Self {
        let (follow, first) = match &packet.tcp {
            Some(segment) => (Follow::Tcp(Box::new(Tcp::new(segment))), Timeout::TcpFirst),
            None if packet.tuple.is_icmp() => (Follow::Other(Spoken::Once), Timeout::IcmpFirst),
            None => (Follow::Other(Spoken::Once), Timeout::OtherFirst),
        };
        Self {
            zone,
            original: packet.tuple,
            reply,
            mark: 0,
            label: 0,
            expires_ms: now_ms + timeouts.get(first),
            spoke: 0,
            helper: None,
            parent: None,
            admission: None,
            hides: None,
            shifts: [Shift::default(); 2],
            timeouts,
            follow,
        }
    }

    pub(super) fn update(&mut self, packet: &Parsed, is_reply: bool, checks: bool, now_ms: u64) -> Progress {
        let is_icmp = self.original.is_icmp();
        let (progress, next) = match (&mut self.follow, &packet.tcp) {
            (Follow::Tcp(tcp), Some(segment)) => tcp.update(segment, is_reply, checks),
            (Follow::Other(spoken), _) => {
                let was = *spoken;
                *spoken = match was {
                    _ if is_reply => Spoken::Both,
                    Spoken::Once => Spoken::Again,
                    other => other,
                };
                let is_new = !is_reply && was != Spoken::Both;
                let next = match (is_icmp, *spoken) {
                    (true, Spoken::Both) => Timeout::IcmpReply,
                    (true, _) => Timeout::IcmpFirst,
                    (false, Spoken::Both) => Timeout::OtherBidir,
                    (false, _) => Timeout::OtherMultiple,
                };
                (if is_new { Progress::ValidNew } else { Progress::Valid }, Some(next))
            }
            (Follow::Tcp(_), None) => (Progress::Nonsense, None),
        };
        if let Some(next) = next {
            self.expires_ms = now_ms + self.timeouts.get(next);
        }
        progress
    }

    pub(super) fn told(&self) -> Connection {
        let tcp = match &self.follow {
            Follow::Tcp(tcp) => Some(tcp),
            Follow::Other(_) => None,
        };
        Connection {
            zone: self.zone,
            original: self.original,
            reply: self.reply,
            mark: self.mark,
            label: self.label,
            expires_ms: self.expires_ms,
            tcp: tcp.map(|tcp| tcp.states()),
            is_liberal: tcp.is_some_and(|tcp| tcp.is_liberal()),
            scales: tcp.map(|tcp| tcp.scales()).unwrap_or_default(),
            helper: self.helper,
            parent: self.parent,
        }
    }
}

/// Whether a protocol's connections are told apart by ports.
pub(super) fn has_ports(proto: u8) -> bool {
    matches!(proto, TCP | UDP)
}
