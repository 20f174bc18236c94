//! Connections as text, as `dpctl/dump-conntrack` shows them.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::conn::{Connection, Tuple};
use super::tcp::State;

impl Tuple {
    fn address(&self, number: u128) -> String {
        if self.is_v6 { Ipv6Addr::from(number).to_string() } else { Ipv4Addr::from(number as u32).to_string() }
    }

    /// `src=…,dst=…` and what else tells connections apart.
    fn text(&self) -> String {
        let mut text = format!("src={},dst={}", self.address(self.src), self.address(self.dst));
        let (sport, dport, (kind, code)) = (self.sport, self.dport, self.icmp);
        // Writing to a string does not fail.
        let _ = if self.is_icmp() {
            write!(text, ",id={sport},type={kind},code={code}")
        } else {
            write!(text, ",sport={sport},dport={dport}")
        };
        text
    }
}

/// A protocol's name.
fn name(proto: u8) -> String {
    let name = match proto {
        1 => "icmp",
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        58 => "icmpv6",
        132 => "sctp",
        136 => "udplite",
        2 => "igmp",
        other => return other.to_string(),
    };
    name.into()
}

fn state(state: State) -> &'static str {
    match state {
        State::Closed => "CLOSED",
        State::Listen => "LISTEN",
        State::SynSent => "SYN_SENT",
        State::SynRecv => "SYN_RECV",
        State::Established => "ESTABLISHED",
        State::CloseWait => "CLOSE_WAIT",
        State::FinWait1 => "FIN_WAIT_1",
        State::Closing => "CLOSING",
        State::LastAck => "LAST_ACK",
        State::FinWait2 => "FIN_WAIT_2",
        State::TimeWait => "TIME_WAIT",
    }
}

impl Connection {
    /// One state of TCP for both ends.
    pub fn tcp_state(&self) -> Option<State> {
        let (original, reply) = self.tcp?;
        Some(match original.max(reply) {
            State::FinWait2 => State::TimeWait,
            State::SynRecv => State::Established,
            state => state,
        })
    }

    /// What else is known of both ends of a TCP connection. Scales are told where one is not 0.
    fn tcp_details(&self, text: &mut String) -> std::fmt::Result {
        let [original, reply] = self.scales.map(|scale| scale.unwrap_or(0));
        if (original, reply) != (0, 0) {
            write!(text, ",wscale_orig={original},wscale_reply={reply}")?;
        }
        let [original, reply] = self.scales.map(|scale| match (scale, self.is_liberal) {
            (Some(_), false) => "WINDOW_SCALE",
            (Some(_), true) => "WINDOW_SCALE|BE_LIBERAL",
            (None, true) => "BE_LIBERAL",
            (None, false) => "0",
        });
        write!(text, ",flags_orig={original},flags_reply={reply})")
    }

    /// One line; with the time left if `now_ms` is given, with everything if `is_verbose`.
    pub fn text(&self, now_ms: Option<u64>, is_verbose: bool) -> String {
        let mut text =
            format!("{},orig=({}),reply=({})", name(self.original.proto), self.original.text(), self.reply.text());
        if is_verbose {
            text += ",id=0";
        }
        if self.zone != 0 {
            let _ = write!(text, ",zone={}", self.zone);
        }
        if is_verbose {
            text += ",status=0";
        }
        if let Some(now_ms) = now_ms {
            let _ = write!(text, ",timeout={}", self.expires_ms.saturating_sub(now_ms) / 1000);
        }
        if self.mark != 0 {
            let _ = write!(text, ",mark={}", self.mark);
        }
        if self.label != 0 {
            let _ = write!(text, ",labels={:#x}", self.label);
        }
        if let (Some((original, reply)), Some(both)) = (self.tcp, self.tcp_state()) {
            let _ = if is_verbose {
                write!(text, ",protoinfo=(state_orig={},state_reply={}", state(original), state(reply))
                    .and_then(|()| self.tcp_details(&mut text))
            } else {
                write!(text, ",protoinfo=(state={})", state(both))
            };
        }
        if let Some(helper) = self.helper {
            let _ = write!(text, ",helper={helper}");
        }
        if let Some(parent) = self.parent.filter(|_| is_verbose) {
            let _ = write!(text, ",parent=({})", parent.text());
        }
        text
    }
}
