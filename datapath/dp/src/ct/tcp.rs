//! TCP as seen by one who stands between (RFC 9293; the window rules of van Rooij, "Real stateful TCP packet filtering").
//!
//! Each end has a state of its own, moved by what it sends and by what the other acknowledges.

use std::cmp::max;

use super::conn::{Progress, Timeout};
use super::parse::Segment;

const FIN: u16 = 0x01;
const SYN: u16 = 0x02;
const RST: u16 = 0x04;
const PSH: u16 = 0x08;
const ACK: u16 = 0x10;
const URG: u16 = 0x20;

/// By so much an acknowledgement may lag behind, or an end that was not seen begin stray.
const MAX_ACK_WINDOW: u32 = 0xffff + 1500;
const MAX_WINDOW_SCALE: u8 = 14;

/// State of one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// No connection.
    Closed,
    /// Nothing was sent yet.
    Listen,
    /// Sent a SYN.
    SynSent,
    /// Has the other side's SYN, and answered.
    SynRecv,
    /// Open.
    Established,
    /// The other side has closed.
    CloseWait,
    /// Closed, not yet acknowledged.
    FinWait1,
    /// Both sides closed at once.
    Closing,
    /// Closed after the other side, not yet acknowledged.
    LastAck,
    /// Closed and acknowledged; the other side is open.
    FinWait2,
    /// Both sides have closed and acknowledged.
    TimeWait,
}

/// One end.
#[derive(Clone, Debug)]
struct Peer {
    state: State,
    /// The furthest it has sent.
    sent: u32,
    /// The furthest it may send.
    may_send: u32,
    /// Its largest window, unscaled.
    max_window: u16,
    /// Its window scale, if it asked for one.
    scale: Option<u8>,
}

#[derive(Clone, Debug)]
pub(super) struct Tcp {
    peers: [Peer; 2],
    /// Picked up in its middle: windows may scale by anything.
    is_liberal: bool,
}

/// How a segment fits its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// As it should.
    Inside,
    /// Nearly, where one end is not known well: it passes, and lets the connection live no longer.
    Near,
    /// Not at all, which nobody asks about.
    Unchecked,
    /// Not at all.
    Outside,
}

fn at_least(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) as i32 >= 0
}

/// Flags that no packet may have together, or without others.
pub(super) fn is_nonsense(flags: u16) -> bool {
    let has = |of: u16| flags & of != 0;
    has(SYN) && has(FIN | RST) || !has(SYN | RST | ACK) || !has(ACK) && has(FIN | PSH | URG)
}

/// Whether a segment may begin a connection: not the second of a handshake; one picked up in its middle may.
pub(super) fn may_begin(segment: &Segment) -> bool {
    !is_nonsense(segment.flags) && segment.flags & (SYN | ACK) != SYN | ACK
}

impl Segment {
    /// Sequence numbers it takes.
    fn end(&self) -> u32 {
        let flags = u32::from(self.flags & SYN != 0) + u32::from(self.flags & FIN != 0);
        self.seq.wrapping_add(self.payload).wrapping_add(flags)
    }
}

impl Tcp {
    pub(super) fn new(s: &Segment) -> Self {
        let sender = Peer {
            state: State::SynSent,
            sent: s.end(),
            may_send: s.end().wrapping_add(1),
            max_window: max(s.window, 1),
            scale: if s.flags & SYN != 0 { s.scale } else { None },
        };
        let other = Peer { state: State::Closed, sent: 0, may_send: 1, max_window: 1, scale: None };
        Self { peers: [sender, other], is_liberal: s.flags & SYN == 0 }
    }

    pub(super) fn is_liberal(&self) -> bool {
        self.is_liberal
    }

    pub(super) fn states(&self) -> (State, State) {
        (self.peers[0].state, self.peers[1].state)
    }

    /// How windows scale.
    pub(super) fn scales(&self) -> [Option<u8>; 2] {
        [self.peers[0].scale, self.peers[1].scale]
    }

    pub(super) fn update(&mut self, s: &Segment, is_reply: bool, checks: bool) -> (Progress, Option<Timeout>) {
        if is_nonsense(s.flags) {
            return (Progress::Nonsense, None);
        }
        let is_liberal = self.is_liberal;
        let [a, b] = &mut self.peers;
        let (src, dst) = if is_reply { (b, a) } else { (a, b) };
        if s.flags & (SYN | ACK) == SYN {
            if src.state >= State::FinWait2 && dst.state >= State::FinWait2 {
                return (Progress::Over, None);
            }
            if src.state <= State::SynSent {
                src.state = State::SynSent;
                if !is_reply && dst.state < State::SynSent {
                    // Once more, perhaps with another number; how windows scale was said the first time.
                    let again = Peer { scale: src.scale, ..Self::new(s).peers[0].clone() };
                    *self = Self { peers: [again, dst.clone()], is_liberal: false };
                }
                return (Progress::ValidNew, Some(Timeout::TcpFirst));
            }
        }
        match Self::fits((src, dst), s, checks, is_liberal) {
            Fit::Outside => (Progress::Outside, None),
            Fit::Unchecked => (Progress::Unchecked, Some(Self::timeout(src, dst))),
            Fit::Near => (Progress::Valid, None),
            Fit::Inside => (Progress::Valid, Some(Self::timeout(src, dst))),
        }
    }

    /// Moves the ends by a segment.
    fn fits((src, dst): (&mut Peer, &mut Peer), s: &Segment, checks: bool, is_liberal: bool) -> Fit {
        let both_scale = src.scale.is_some() && dst.scale.is_some();
        let unknown = if is_liberal && s.flags & SYN == 0 { MAX_WINDOW_SCALE } else { 0 };
        let scale_of = |peer: &Peer| if both_scale { peer.scale.unwrap_or(0) } else { unknown };
        let end = s.end();
        // What it acknowledges first may be of a SYN that was sent again with another number.
        let is_first = src.state < State::SynSent;
        if is_first {
            if s.flags & SYN != 0 {
                // Both say so, or none does.
                let both = s.scale.zip(dst.scale);
                (src.scale, dst.scale) = both.unzip();
            }
            src.sent = s.seq;
            let limit = end.wrapping_add(max(1, u32::from(dst.max_window) << scale_of(dst)));
            if src.may_send == 1 || at_least(limit, src.may_send) {
                src.may_send = limit;
            }
            src.state = State::SynSent;
            src.max_window = max(src.max_window, s.window);
        }
        // Windows in segments of the handshake are never scaled.
        let src_scale = if s.flags & SYN != 0 { 0 } else { scale_of(src) };
        let dst_scale = scale_of(dst);
        let unset = s.flags & ACK == 0 || s.ack == 0 && s.flags & RST != 0;
        let ack = if unset { dst.sent } else { s.ack };
        let (seq, end) = if s.seq == end { (src.sent, src.sent) } else { (s.seq, end) };
        let skew = if is_first { 0 } else { dst.sent.wrapping_sub(ack) as i32 };
        let back = u32::from(dst.max_window) << dst_scale;
        let in_window = at_least(src.may_send, end)
            && at_least(seq, src.sent.wrapping_sub(back))
            && skew >= -(MAX_ACK_WINDOW as i32)
            && i64::from(skew) <= i64::from(MAX_ACK_WINDOW) << src_scale.min(MAX_WINDOW_SCALE)
            && (s.flags & RST == 0 || s.seq.wrapping_sub(src.sent).wrapping_add(1) <= 2);
        let is_loose = dst.state < State::SynSent || dst.state >= State::FinWait2 || src.state >= State::FinWait2;
        let strays = is_loose
            && at_least(src.may_send.wrapping_add(MAX_ACK_WINDOW), end)
            && at_least(seq, src.sent.wrapping_sub(MAX_ACK_WINDOW));
        let fit = match () {
            () if in_window => Fit::Inside,
            () if !checks => Fit::Unchecked,
            () if strays => Fit::Near,
            () => return Fit::Outside,
        };
        src.max_window = max(src.max_window, s.window);
        if at_least(end, src.sent) {
            src.sent = end;
        }
        let window = u32::from(s.window) << src_scale;
        if at_least(ack.wrapping_add(window), dst.may_send) {
            dst.may_send = ack.wrapping_add(max(window, 1));
        }
        if s.flags & FIN != 0 && src.state < State::Closing {
            src.state = State::Closing;
        }
        if s.flags & ACK != 0 && fit != Fit::Near {
            match dst.state {
                State::SynSent => dst.state = State::Established,
                State::Closing => dst.state = State::FinWait2,
                _ => {}
            }
        }
        if s.flags & RST != 0 {
            (src.state, dst.state) = (State::TimeWait, State::TimeWait);
        }
        fit
    }

    fn timeout(src: &Peer, dst: &Peer) -> Timeout {
        let (low, high) = (src.state.min(dst.state), src.state.max(dst.state));
        match () {
            () if low >= State::FinWait2 => Timeout::TcpClosed,
            () if low >= State::Closing => Timeout::TcpFinWait,
            () if low < State::Established => Timeout::TcpOpening,
            () if high >= State::Closing => Timeout::TcpClosing,
            () => Timeout::TcpEstablished,
        }
    }
}
