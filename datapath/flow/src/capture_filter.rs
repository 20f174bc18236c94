//! Filters for captures, in the words of pcap-filter(7): `tcp port 80 and not host 10.0.0.1`.
//!
//! A filter is judged on a packet's key, so that VLAN tags and MPLS labels before the network header do not hide it, as
//! they do from libpcap. `and` and `or` bind equally, from left to right, as there; a bare value takes over the
//! qualifiers of the one before it (`port 80 or 443`).
//!
//! Deliberately absent: byte arithmetic (`tcp[13] & 2 != 0`), names of hosts and services, gateways, and link types
//! other than Ethernet.

use std::net::IpAddr;

use crate::extract::ethertype as et;
use crate::{Key, nw_frag};

/// Words in a filter at the most, and parentheses in parentheses.
const WORDS_AT_MOST: usize = 256;
const DEPTH_AT_MOST: usize = 32;

const TAG_PRESENT: u16 = 0x1000;
const MULTICAST: u64 = 1 << 40;
const BROADCAST: u64 = 0xffff_ffff_ffff;

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// Which way a packet went through its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The switch received it.
    In,
    /// The switch sent it.
    Out,
}

/// Which end of a packet a value is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ends {
    #[default]
    Either,
    Both,
    Source,
    Destination,
}

impl Ends {
    fn agree(self, source: bool, destination: bool) -> bool {
        match self {
            Ends::Either => source || destination,
            Ends::Both => source && destination,
            Ends::Source => source,
            Ends::Destination => destination,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Went(Direction),
    EtherType(u16),
    /// Tagged, with this number if one is given.
    Vlan(Option<u16>),
    Mpls(Option<u32>),
    IpProto(u8),
    Ether(Ends, u64),
    /// Bits of the destination address that are all set.
    EtherGroup(u64),
    /// An address of either version, the bits of it that matter, the EtherType it is limited to.
    Net(Ends, IpAddr, u128, Option<u16>),
    /// First and last port, the protocol it is limited to.
    Port(Ends, u16, u16, Option<u8>),
    Longer(usize),
    Shorter(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expr {
    Any,
    Test(Test),
    Not(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
}

/// A filter, ready to judge packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(Expr);

impl Filter {
    /// Reads a filter; an empty text lets everything through.
    ///
    /// # Errors
    /// What is wrong, and with which word.
    pub fn parse(text: &str) -> Result<Filter, String> {
        let words = words_of(text);
        if words.is_empty() {
            return Ok(Filter(Expr::Any));
        }
        if words.len() > WORDS_AT_MOST {
            return Err(format!("filter: more than {WORDS_AT_MOST} words"));
        }
        let mut reader = Reader { words: &words, at: 0, depth: 0, last: None };
        let expr = reader.expr()?;
        match reader.peek() {
            Some(word) => Err(format!("filter: \"{word}\" is one too many")),
            None => Ok(Filter(expr)),
        }
    }

    /// Whether a packet of `len` octets with this key passes.
    pub fn passes(&self, key: &Key, len: usize, direction: Direction) -> bool {
        judge(&self.0, key, len, direction)
    }

    /// Whether every packet passes.
    pub fn is_any(&self) -> bool {
        self.0 == Expr::Any
    }
}

fn judge(expr: &Expr, key: &Key, len: usize, direction: Direction) -> bool {
    match expr {
        Expr::Any => true,
        Expr::Test(test) => holds(test, key, len, direction),
        Expr::Not(of) => !judge(of, key, len, direction),
        Expr::And(a, b) => judge(a, key, len, direction) && judge(b, key, len, direction),
        Expr::Or(a, b) => judge(a, key, len, direction) || judge(b, key, len, direction),
    }
}

fn is_ip(key: &Key) -> bool {
    matches!(key.dl_type(), et::IPV4 | et::IPV6)
}

fn holds(test: &Test, key: &Key, len: usize, direction: Direction) -> bool {
    match test {
        Test::Went(wanted) => *wanted == direction,
        Test::EtherType(kind) => key.dl_type() == *kind,
        Test::Vlan(number) => [key.vlan_tci(), key.vlan2_tci()]
            .iter()
            .any(|tci| tci & TAG_PRESENT != 0 && number.is_none_or(|n| tci & 0xfff == n)),
        Test::Mpls(label) => {
            matches!(key.dl_type(), et::MPLS | et::MPLS_MULTICAST)
                && label
                    .is_none_or(|l| [key.mpls_lse0(), key.mpls_lse1(), key.mpls_lse2()].iter().any(|e| e >> 12 == l))
        }
        Test::IpProto(proto) => is_ip(key) && key.nw_proto() == *proto,
        Test::Ether(ends, address) => ends.agree(key.dl_src() == *address, key.dl_dst() == *address),
        Test::EtherGroup(bits) => key.dl_dst() & bits == *bits,
        Test::Net(ends, address, mask, kind) => {
            if kind.is_some_and(|k| k != key.dl_type()) {
                return false;
            }
            let (wanted, source, destination) = match (address, key.dl_type()) {
                (IpAddr::V4(a), et::IPV4 | et::ARP | et::RARP) => {
                    (u128::from(a.to_bits()), u128::from(key.nw_src()), u128::from(key.nw_dst()))
                }
                (IpAddr::V6(a), et::IPV6) => (a.to_bits(), key.ipv6_src(), key.ipv6_dst()),
                _ => return false,
            };
            ends.agree((source ^ wanted) & mask == 0, (destination ^ wanted) & mask == 0)
        }
        Test::Port(ends, first, last, proto) => {
            let carries = match proto {
                Some(proto) => key.nw_proto() == *proto,
                None => matches!(key.nw_proto(), TCP | UDP | SCTP),
            };
            let within = |port: u16| (*first..=*last).contains(&port);
            carries
                && is_ip(key)
                && key.nw_frag() & nw_frag::LATER == 0
                && ends.agree(within(key.tp_src()), within(key.tp_dst()))
        }
        Test::Longer(than) => len >= *than,
        Test::Shorter(than) => len <= *than,
    }
}

/// Words, with parentheses and `!` as words of their own.
fn words_of(text: &str) -> Vec<String> {
    let mut spaced = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '(' | ')' | '!' => {
                spaced.push(' ');
                spaced.push(c);
                spaced.push(' ');
            }
            c => spaced.push(c),
        }
    }
    spaced.replace("&&", " && ").replace("||", " || ").split_whitespace().map(str::to_owned).collect()
}

/// Protocols that a value can be limited to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proto {
    Ether,
    Kind(u16),
    Ip(u8),
}

fn proto_named(word: &str) -> Option<Proto> {
    Some(match word {
        "ether" => Proto::Ether,
        "ip" => Proto::Kind(et::IPV4),
        "ip6" => Proto::Kind(et::IPV6),
        "arp" => Proto::Kind(et::ARP),
        "rarp" => Proto::Kind(et::RARP),
        "icmp" => Proto::Ip(1),
        "igmp" => Proto::Ip(2),
        "tcp" => Proto::Ip(TCP),
        "udp" => Proto::Ip(UDP),
        "esp" => Proto::Ip(50),
        "ah" => Proto::Ip(51),
        "icmp6" => Proto::Ip(58),
        "sctp" => Proto::Ip(SCTP),
        _ => return None,
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Host,
    Net,
    Port,
    PortRange,
    Proto,
}

fn type_named(word: &str) -> Option<Type> {
    Some(match word {
        "host" => Type::Host,
        "net" => Type::Net,
        "port" => Type::Port,
        "portrange" => Type::PortRange,
        "proto" => Type::Proto,
        _ => return None,
    })
}

/// What stands before a value.
#[derive(Clone, Copy, Debug, Default)]
struct Qualifiers {
    proto: Option<Proto>,
    ends: Ends,
    kind: Option<Type>,
}

struct Reader<'a> {
    words: &'a [String],
    at: usize,
    depth: usize,
    /// Of the value read last, for a bare one after it.
    last: Option<Qualifiers>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<&str> {
        self.words.get(self.at).map(String::as_str)
    }

    fn take(&mut self) -> Option<&str> {
        self.at += 1;
        self.words.get(self.at - 1).map(String::as_str)
    }

    fn take_if(&mut self, is: impl Fn(&str) -> bool) -> bool {
        let found = self.peek().is_some_and(is);
        self.at += usize::from(found);
        found
    }

    fn expr(&mut self) -> Result<Expr, String> {
        let mut left = self.term()?;
        loop {
            if self.take_if(|w| w == "and" || w == "&&") {
                left = Expr::And(Box::new(left), Box::new(self.term()?));
            } else if self.take_if(|w| w == "or" || w == "||") {
                left = Expr::Or(Box::new(left), Box::new(self.term()?));
            } else {
                return Ok(left);
            }
        }
    }

    fn term(&mut self) -> Result<Expr, String> {
        let mut negated = false;
        while self.take_if(|w| w == "not" || w == "!") {
            negated = !negated;
        }
        let term = if self.take_if(|w| w == "(") {
            self.depth += 1;
            if self.depth > DEPTH_AT_MOST {
                return Err("filter: parentheses nested too deep".to_owned());
            }
            let inner = self.expr()?;
            self.depth -= 1;
            if !self.take_if(|w| w == ")") {
                return Err("filter: a parenthesis is not closed".to_owned());
            }
            inner
        } else {
            Expr::Test(self.primitive()?)
        };
        Ok(if negated { Expr::Not(Box::new(term)) } else { term })
    }

    fn primitive(&mut self) -> Result<Test, String> {
        let Some(word) = self.peek().map(str::to_owned) else { return Err("filter: ends too early".to_owned()) };
        let simple = match word.as_str() {
            "inbound" => Some(Test::Went(Direction::In)),
            "outbound" => Some(Test::Went(Direction::Out)),
            "broadcast" => Some(Test::EtherGroup(BROADCAST)),
            "multicast" => Some(Test::EtherGroup(MULTICAST)),
            _ => None,
        };
        if let Some(test) = simple {
            self.at += 1;
            return Ok(test);
        }
        match word.as_str() {
            "vlan" => {
                self.at += 1;
                return Ok(Test::Vlan(self.number_if_any()));
            }
            "mpls" => {
                self.at += 1;
                return Ok(Test::Mpls(self.number_if_any()));
            }
            "less" | "greater" | "len" => {
                self.at += 1;
                let relation = if word == "len" { self.take().unwrap_or_default().to_owned() } else { word };
                let len = self.number::<usize>()?;
                return match relation.as_str() {
                    "less" | "<=" => Ok(Test::Shorter(len)),
                    "greater" | ">=" => Ok(Test::Longer(len)),
                    "<" => Ok(Test::Shorter(len.saturating_sub(1))),
                    ">" => Ok(Test::Longer(len.saturating_add(1))),
                    other => Err(format!("filter: \"{other}\" is none of <, <=, >, >=")),
                };
            }
            _ => {}
        }
        self.qualified()
    }

    /// Qualifiers and their value, or a protocol alone.
    fn qualified(&mut self) -> Result<Test, String> {
        let start = self.at;
        let mut q = Qualifiers::default();
        if let Some(proto) = self.peek().and_then(proto_named) {
            q.proto = Some(proto);
            self.at += 1;
        }
        if q.proto == Some(Proto::Ether) && self.take_if(|w| w == "broadcast") {
            return Ok(Test::EtherGroup(BROADCAST));
        }
        if q.proto == Some(Proto::Ether) && self.take_if(|w| w == "multicast") {
            return Ok(Test::EtherGroup(MULTICAST));
        }
        self.ends(&mut q)?;
        if let Some(kind) = self.peek().and_then(type_named) {
            q.kind = Some(kind);
            self.at += 1;
        }
        let alone = q.ends == Ends::Either && q.kind.is_none();
        let over = self.peek().is_none_or(|w| matches!(w, "and" | "&&" | "or" | "||" | ")" | "!" | "not" | "("));
        match q.proto {
            Some(Proto::Kind(kind)) if alone && over => return Ok(Test::EtherType(kind)),
            Some(Proto::Ip(proto)) if alone && over => return Ok(Test::IpProto(proto)),
            _ => {}
        }
        if self.at == start {
            q = self.last.unwrap_or_default();
        }
        self.last = Some(q);
        let Some(value) = self.take().map(str::to_owned) else { return Err("filter: ends too early".to_owned()) };
        test_of(&q, &value)
    }

    fn ends(&mut self, q: &mut Qualifiers) -> Result<(), String> {
        let end = |word: &str| match word {
            "src" => Some(Ends::Source),
            "dst" => Some(Ends::Destination),
            _ => None,
        };
        let Some(first) = self.peek().and_then(end) else { return Ok(()) };
        self.at += 1;
        q.ends = first;
        let (Some(op), Some(second)) = (self.peek(), self.words.get(self.at + 1).and_then(|w| end(w))) else {
            return Ok(());
        };
        // `src or dst port 80`; not `src 10.0.0.1 or dst …`, where a value stands between.
        q.ends = match op {
            "or" | "||" if second != first => Ends::Either,
            "and" | "&&" if second != first => Ends::Both,
            _ => return Err(format!("filter: \"{op}\" after src or dst")),
        };
        self.at += 2;
        Ok(())
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, String> {
        let word = self.take().unwrap_or_default();
        word.parse().map_err(|_| format!("filter: \"{word}\" is no number that fits here"))
    }

    fn number_if_any<T: std::str::FromStr>(&mut self) -> Option<T> {
        let number = self.peek()?.parse().ok();
        self.at += usize::from(number.is_some());
        number
    }
}

fn test_of(q: &Qualifiers, value: &str) -> Result<Test, String> {
    let kind = q.kind.unwrap_or(Type::Host);
    let wrong = |what: &str| format!("filter: \"{value}\" is no {what}");
    match (kind, q.proto) {
        (Type::Host, Some(Proto::Ether)) => {
            Ok(Test::Ether(q.ends, parse_ether(value).ok_or_else(|| wrong("Ethernet address"))?))
        }
        (Type::Host | Type::Net, proto) => {
            let (address, mask) = parse_net(value).ok_or_else(|| wrong("address"))?;
            match proto {
                None => Ok(Test::Net(q.ends, address, mask, None)),
                Some(Proto::Kind(kind)) => Ok(Test::Net(q.ends, address, mask, Some(kind))),
                Some(_) => Err("filter: a host goes with ip, ip6, arp, rarp or ether".to_owned()),
            }
        }
        (Type::Port | Type::PortRange, proto) => {
            let proto = match proto {
                None => None,
                Some(Proto::Ip(proto @ (TCP | UDP | SCTP))) => Some(proto),
                Some(_) => return Err("filter: a port goes with tcp, udp or sctp".to_owned()),
            };
            let (first, last) = value.split_once('-').unwrap_or((value, value));
            match (first.parse(), last.parse()) {
                (Ok(first), Ok(last)) => Ok(Test::Port(q.ends, first, last, proto)),
                _ => Err(wrong("port number")),
            }
        }
        (Type::Proto, Some(Proto::Ether)) => {
            if let Some(Proto::Kind(kind)) = proto_named(value) {
                return Ok(Test::EtherType(kind));
            }
            let digits = value.strip_prefix("0x");
            let kind = digits.map_or_else(|| value.parse().ok(), |hex| u16::from_str_radix(hex, 16).ok());
            kind.map(Test::EtherType).ok_or_else(|| wrong("EtherType"))
        }
        (Type::Proto, _) => match proto_named(value) {
            Some(Proto::Ip(proto)) => Ok(Test::IpProto(proto)),
            _ => value.parse().map(Test::IpProto).map_err(|_| wrong("IP protocol")),
        },
    }
}

/// An Ethernet address, 48 bits.
fn parse_ether(text: &str) -> Option<u64> {
    let mut octets = text.split([':', '-']);
    let mut address = 0;
    for _ in 0..6 {
        let octet = octets.next().filter(|o| matches!(o.len(), 1 | 2))?;
        address = address << 8 | u64::from(u8::from_str_radix(octet, 16).ok()?);
    }
    octets.next().is_none().then_some(address)
}

/// `ADDRESS[/LENGTH]`, and the bits that matter.
fn parse_net(text: &str) -> Option<(IpAddr, u128)> {
    let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let length: u32 = length.map_or(Some(bits), |l| l.parse().ok())?;
    let host_bits = bits.checked_sub(length)?;
    let all = if address.is_ipv4() { u128::from(u32::MAX) } else { u128::MAX };
    Some((address, all & u128::MAX.checked_shl(host_bits).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A TCP packet 10.0.0.1:40000 > 10.0.1.2:80 in VLAN 5.
    fn tcp() -> Key {
        let mut key = Key::EMPTY;
        key.set_dl_src(0x02_00_00_00_00_01);
        key.set_dl_dst(0x02_00_00_00_00_02);
        key.set_dl_type(et::IPV4);
        key.set_vlan_tpid(et::VLAN);
        key.set_vlan_tci(TAG_PRESENT | 5);
        key.set_nw_src(0x0a00_0001);
        key.set_nw_dst(0x0a00_0102);
        key.set_nw_proto(TCP);
        key.set_tp_src(40_000);
        key.set_tp_dst(80);
        key
    }

    #[test]
    fn what_passes() {
        for (text, passes) in [
            ("", true),
            ("tcp", true),
            ("ip", true),
            ("ip6 or arp", false),
            ("udp", false),
            ("port 80", true),
            ("tcp port 80", true),
            ("udp port 80", false),
            ("src port 80", false),
            ("tcp dst port 80", true),
            ("src or dst port 80", true),
            ("src and dst port 80", false),
            ("portrange 79-81", true),
            ("port 22 or 443 or 80", true),
            ("host 10.0.0.1", true),
            ("10.0.0.1", true),
            ("dst host 10.0.0.1", false),
            ("host 10.0.0.3 or 10.0.1.2", true),
            ("net 10.0.0.0/8 and not net 10.0.0.0/16", false),
            ("arp host 10.0.0.1", false),
            ("ether src 02:00:00:00:00:01", true),
            ("ether host 2:0:0:0:0:3", false),
            ("ether proto 0x0800", true),
            ("ip proto 6 && ip proto tcp", true),
            ("broadcast || multicast", false),
            ("vlan", true),
            ("vlan 5 and tcp", true),
            ("vlan 6", false),
            ("mpls", false),
            ("inbound", true),
            ("outbound", false),
            ("less 60", false),
            ("greater 60 and len < 65", true),
            ("not (udp or icmp)", true),
            ("!udp&&!(tcp)", false),
            // Left to right: (udp or tcp) and port 81.
            ("tcp or udp and port 81", false),
            ("host ::1", false),
        ] {
            let filter = Filter::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(filter.passes(&tcp(), 64, Direction::In), passes, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, error) in [
            ("tcp port", "filter: ends too early"),
            ("port http", "filter: \"http\" is no port number"),
            ("host x", "filter: \"x\" is no address"),
            ("tcp host 10.0.0.1", "filter: a host goes with ip, ip6, arp, rarp or ether"),
            ("icmp port 3", "filter: a port goes with tcp, udp or sctp"),
            ("(tcp", "filter: a parenthesis is not closed"),
            ("tcp )", "filter: \")\" is one too many"),
            ("net 10.0.0.0/33", "filter: \"10.0.0.0/33\" is no address"),
            ("ether host 10.0.0.1", "filter: \"10.0.0.1\" is no Ethernet address"),
            ("less x", "filter: \"x\" is no number that fits here"),
        ] {
            assert_eq!(Filter::parse(text).unwrap_err(), error, "{text}");
        }
        assert!(Filter::parse(&"(".repeat(100)).is_err());
        assert!(Filter::parse(&"tcp or ".repeat(1000)).is_err());
    }
}
