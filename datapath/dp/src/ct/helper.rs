//! Helpers: protocols that agree on a further connection inside a connection (FTP's data, TFTP's answers).
//!
//! What was agreed on is an [`Expectation`]: the packet that fits it begins a connection that is related to its parent,
//! notes and translation included. Where the parent is translated, the address inside the text is rewritten; everything
//! behind it is then numbered anew, in both directions ([`Shift`]).
//!
//! Source: RFC 959 (`PORT`, 227), RFC 2428 (`EPRT`, 229), RFC 1350 (TFTP answers from another port); ovs-actions(7),
//! `alg`.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::conn::{Conn, Tuple};

/// Text is looked at no further than this, octets.
const MESSAGE: usize = 128;
/// Expectations at most.
const MOST: usize = 16_384;
const TFTP_PORT: u16 = 69;
const UDP: u8 = 17;
const TCP: u8 = 6;

/// Where a packet must come from and go to to fit: its tuple with any source port.
type Fit = (u16, Tuple);

/// A connection that was agreed on inside another.
#[derive(Clone, Debug)]
pub(super) struct Expectation {
    /// The connection's number, and its original direction.
    pub(super) parent: u32,
    pub(super) parent_tuple: Tuple,
    pub(super) mark: u32,
    pub(super) label: u128,
    /// Addresses, and source port, of answers, if it is to be translated as its parent is.
    src: u128,
    dst: u128,
    sport: u16,
}

impl Expectation {
    /// The answers' tuple of a connection of this original direction.
    pub(super) fn reply(&self, original: &Tuple) -> Tuple {
        Tuple { src: self.src, dst: self.dst, sport: self.sport, ..original.reversed() }
    }
}

/// All expectations, by who fits.
#[derive(Debug, Default)]
pub(super) struct Expectations(HashMap<Fit, Expectation>);

impl Expectations {
    fn fit(zone: u16, tuple: &Tuple) -> Fit {
        (zone, Tuple { sport: 0, ..*tuple })
    }

    pub(super) fn find(&self, zone: u16, tuple: &Tuple) -> Option<&Expectation> {
        if self.0.is_empty() { None } else { self.0.get(&Self::fit(zone, tuple)) }
    }

    /// The connection is gone, and with it what was agreed on in it.
    pub(super) fn forget(&mut self, parent: u32) {
        self.0.retain(|_, e| e.parent != parent);
    }

    /// Expects a connection to `port`: of the end that is asked to answer if the other end named it (`is_reply`: the
    /// server did).
    fn expect(&mut self, index: u32, conn: &Conn, is_reply: bool, port: u16, real_port: u16) {
        let (from, to) = match is_reply {
            true => (conn.original, conn.reply),
            false => (conn.reply, conn.original),
        };
        let tuple = Tuple { dport: port, ..from };
        let expectation = Expectation {
            parent: index,
            parent_tuple: conn.original,
            mark: conn.mark,
            label: conn.label,
            src: to.src,
            dst: to.dst,
            sport: real_port,
        };
        if self.0.len() < MOST {
            self.0.entry(Self::fit(conn.zone, &tuple)).or_insert(expectation);
        }
    }
}

/// Numbers of one direction: those after `from` are moved by `after`, earlier ones by `before`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shift {
    from: u32,
    before: i32,
    after: i32,
}

impl Shift {
    /// By how much a sequence number of this direction moves.
    fn forth(&self, seq: u32) -> i32 {
        if seq.wrapping_sub(self.from) as i32 > 0 { self.after } else { self.before }
    }

    /// By how much an acknowledgement of this direction moves back.
    pub(super) fn back(&self, ack: u32) -> i32 {
        let from = self.from.wrapping_add_signed(self.before);
        if ack.wrapping_sub(from) as i32 > 0 { self.after } else { self.before }
    }

    /// The text at `seq` grew by so much.
    fn grow(&mut self, seq: u32, by: i32) {
        let is_later = (self.before, self.after) == (0, 0) || seq.wrapping_sub(self.from) as i32 > 0;
        if is_later && by != 0 {
            *self = Self { from: seq, before: self.after, after: self.after.wrapping_add(by) };
        }
    }
}

/// What is to be changed in a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Octets of the payload, and what they become.
    pub(crate) payload: Option<(Range<usize>, Vec<u8>)>,
    /// Added to the sequence number.
    pub(crate) seq: i32,
    /// Subtracted from the acknowledgement.
    pub(crate) ack: i32,
}

impl Edit {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// An address and a port that one end names in its text.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    /// Where in the text the address is; `None` if the port alone is named.
    address: Option<(IpAddr, Range<usize>)>,
    port: u16,
}

/// Follows a connection that has a helper. `payload` is a segment's at `seq` that acknowledges `ack`. Where the packet is
/// not translated, text and numbers stay as they are.
pub(super) fn follow(
    expectations: &mut Expectations,
    (index, conn): (u32, &mut Conn),
    is_reply: bool,
    (seq, ack, payload): (u32, u32, &[u8]),
    translates: bool,
) -> Edit {
    let mut edit = Edit::default();
    if translates {
        edit.seq = conn.shifts[usize::from(is_reply)].forth(seq);
        edit.ack = conn.shifts[usize::from(!is_reply)].back(ack);
    }
    if conn.helper != Some("ftp") || conn.original.proto != TCP {
        return edit;
    }
    let Some(named) = read(payload, is_reply, conn.original.is_v6) else { return edit };
    let (own, seen) = match is_reply {
        true => (conn.reply.src, conn.original.dst),
        false => (conn.original.src, conn.reply.dst),
    };
    if named.port == 0 {
        return edit;
    }
    if let Some((address, range)) = named.address {
        if address != ip(own, conn.original.is_v6) {
            return edit;
        }
        if own != seen && translates {
            let text = match ip(seen, conn.original.is_v6) {
                IpAddr::V4(address) => address.to_string().replace('.', ","),
                IpAddr::V6(address) => address.to_string(),
            };
            let by = text.len() as i32 - range.len() as i32;
            conn.shifts[usize::from(is_reply)].grow(seq, by);
            edit.payload = Some((range, text.into_bytes()));
        }
    }
    expectations.expect(index, conn, is_reply, named.port, named.port);
    edit
}

/// A datagram of a connection that has a helper.
pub(super) fn datagram(expectations: &mut Expectations, index: u32, conn: &Conn, is_reply: bool) {
    let is_request = conn.helper == Some("tftp") && conn.original.proto == UDP && !is_reply;
    if is_request && conn.original.dport == TFTP_PORT {
        expectations.expect(index, conn, false, conn.reply.dport, conn.original.sport);
    }
}

fn ip(number: u128, is_v6: bool) -> IpAddr {
    if is_v6 { Ipv6Addr::from(number).into() } else { Ipv4Addr::from(number as u32).into() }
}

/// Reads what a client (a command) or a server (an answer) names.
fn read(payload: &[u8], is_reply: bool, is_v6: bool) -> Option<Named> {
    let text = &payload[..payload.len().min(MESSAGE)];
    let word = match (is_v6, is_reply) {
        (false, false) => "PORT",
        (false, true) => "227",
        (true, false) => "EPRT",
        (true, true) => "229",
    };
    text.get(..word.len()).filter(|t| t.eq_ignore_ascii_case(word.as_bytes()))?;
    match (is_v6, is_reply) {
        (false, _) => read_commas(text, word.len()),
        (true, false) => read_eprt(text, word.len()),
        (true, true) => read_epsv(text, word.len()),
    }
}

/// A number that ends before something that is not a digit; and where that is.
fn number(text: &[u8], at: usize) -> Option<(u32, usize)> {
    let digits = text.get(at..)?.iter().take_while(|o| o.is_ascii_digit()).count();
    let value = std::str::from_utf8(text.get(at..at + digits)?).ok()?.parse().ok()?;
    text.get(at + digits)?;
    Some((value, at + digits))
}

/// `h1,h2,h3,h4,p1,p2`.
fn read_commas(text: &[u8], from: usize) -> Option<Named> {
    let start = from + text.get(from..)?.iter().position(u8::is_ascii_digit)?;
    let (mut octets, mut at, mut address_end) = ([0u8; 6], start, 0);
    for (i, octet) in octets.iter_mut().enumerate() {
        let (value, end) = number(text, at)?;
        *octet = u8::try_from(value).ok()?;
        if i == 3 {
            address_end = end;
        }
        if i < 5 && text.get(end) != Some(&b',') {
            return None;
        }
        at = end + 1;
    }
    let [a, b, c, d, high, low] = octets;
    let address = Some((Ipv4Addr::new(a, b, c, d).into(), start..address_end));
    Some(Named { address, port: u16::from_be_bytes([high, low]) })
}

/// `|2|ADDRESS|PORT|`.
fn read_eprt(text: &[u8], from: usize) -> Option<Named> {
    let start = from + text.get(from..)?.iter().position(|o| *o == b'|')?;
    text.get(start..start + 3).filter(|t| *t == b"|2|")?;
    let start = start + 3;
    let end = start + text.get(start..)?.iter().position(|o| *o == b'|')?;
    let address: Ipv6Addr = std::str::from_utf8(&text[start..end]).ok()?.parse().ok()?;
    let (port, _) = number(text, end + 1)?;
    Some(Named { address: Some((address.into(), start..end)), port: u16::try_from(port).ok()? })
}

/// `(|||PORT|)`.
fn read_epsv(text: &[u8], from: usize) -> Option<Named> {
    let start = from + text.get(from..)?.windows(3).position(|w| w == b"|||")? + 3;
    let (port, _) = number(text, start)?;
    Some(Named { address: None, port: u16::try_from(port).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port_of(text: &str, is_reply: bool, is_v6: bool) -> Option<u16> {
        read(text.as_bytes(), is_reply, is_v6).map(|n| n.port)
    }

    #[test]
    fn what_is_named_is_read() {
        let named = read(b"227 Entering Passive Mode (10,0,0,2,10,21).\r\n", true, false).unwrap();
        assert_eq!(named.address, Some((Ipv4Addr::new(10, 0, 0, 2).into(), 27..35)));
        assert_eq!(named.port, 2581);
        assert_eq!(port_of("port 1,2,3,4,5,6\r\n", false, false), Some(1286));
        assert_eq!(port_of("EPRT |2|fe80::1|4000|\r\n", false, true), Some(4000));
        assert_eq!(port_of("229 Extended (|||4001|)\r\n", true, true), Some(4001));
        let odd = [
            "PORT 1,2,3,4,5",
            "PORT 1,2,3,4,5,256\r\n",
            "PORT 1.2.3.4",
            "PORT",
            "PORTAL",
            "LIST\r\n",
            "",
            "PORT 1,2,3,4,,6\r\n",
        ];
        for text in odd {
            assert_eq!(port_of(text, false, false), None, "{text}");
        }
        for text in ["EPRT |1|1.2.3.4|4000|\r\n", "EPRT |2|zork|4000|\r\n", "EPRT |2|::1|70000|\r\n", "EPRT ||"] {
            assert_eq!(port_of(text, false, true), None, "{text}");
        }
    }

    #[test]
    fn numbers_move_from_where_the_text_grew() {
        let mut shift = Shift::default();
        shift.grow(100, 5);
        shift.grow(100, 5);
        assert_eq!((shift.forth(100), shift.forth(101)), (0, 5));
        assert_eq!((shift.back(100), shift.back(130)), (0, 5));
        shift.grow(500, -2);
        assert_eq!((shift.forth(500), shift.forth(501)), (5, 3));
        assert_eq!((shift.back(505), shift.back(506)), (5, 3));
    }
}
