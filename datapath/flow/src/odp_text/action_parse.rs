//! Reading of datapath actions. Takes more than Open vSwitch does: everything that is printed can be read.

use super::action_format::slow_path_reason;
use super::scan::Scan;
use super::{key_parse, tnl_push};
use crate::key::word;
use crate::odp::{
    Action, Actions, ControllerCookie, Cookie, Ct, CtNat, FlowSampleCookie, HashAlg, InertGroup, MaskedWord, PushNsh,
    Set, SetGroup, Userspace,
};
use crate::text::PortNames;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Deepest nesting of action lists.
const MAX_DEPTH: usize = 16;
/// Octets of the note that goes along where none is given, and of the shortest and the longest.
const COOKIE_LEN: usize = 48;
const MIN_COOKIE: usize = 8;
const MAX_COOKIE: usize = 1024;
/// Most octets of NSH metadata of type 2.
const MAX_MD2: usize = 248;

/// Actions that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syntax error at {rest}")]
pub struct ParseError {
    /// What is left of the text, from the action on.
    pub rest: String,
    /// Octets of an action that can be read, but for what stands behind it; 0 where none can.
    pub taken: usize,
}

impl ParseError {
    /// The reason as Open vSwitch 3.1 tells it, which takes the length of what it could read for an error's number.
    pub fn reason(&self) -> String {
        match self.taken {
            0 => "Invalid argument".to_owned(),
            1 => "End of file".to_owned(),
            taken => format!("Unknown error -{taken}"),
        }
    }
}

/// Reads actions; `drop` and the empty text are none.
pub fn parse_actions(text: &str, ports: Option<&dyn PortNames>) -> Result<Vec<Action>, ParseError> {
    if text.eq_ignore_ascii_case("drop") {
        return Ok(Vec::new());
    }
    let parser = Parser { ports };
    let mut scan = Scan::new(text);
    let mut actions = Vec::new();
    loop {
        scan.skip(", \t\r\n");
        if scan.is_empty() {
            return Ok(actions);
        }
        let start = scan.rest;
        let wrong = |taken| ParseError { rest: start.into(), taken };
        let action = parser.one(&mut scan, 0).ok_or_else(|| wrong(0))?;
        if !scan.is_empty() && !scan.rest.starts_with([',', ' ', '\t', '\r', '\n']) {
            return Err(wrong(start.len() - scan.rest.len()));
        }
        actions.push(action);
    }
}

#[derive(Clone, Copy)]
struct Parser<'a> {
    ports: Option<&'a dyn PortNames>,
}

impl Parser<'_> {
    /// A list up to its closing parenthesis, which is read too.
    fn list(self, scan: &mut Scan<'_>, depth: usize) -> Option<Actions> {
        if depth >= MAX_DEPTH {
            return None;
        }
        if scan.eat("drop)") || scan.eat(")") {
            return Some(Actions::from([]));
        }
        let mut actions = Vec::new();
        loop {
            scan.skip(", \t\r\n");
            if scan.eat(")") {
                return Some(actions.into());
            }
            actions.push(self.one(scan, depth + 1)?);
        }
    }

    fn port(self, scan: &mut Scan<'_>) -> Option<u32> {
        if scan.rest.starts_with(|c: char| c.is_ascii_digit()) {
            return scan.low32();
        }
        let name = scan.span(|c| !",() \t\r\n".contains(c))?;
        self.ports?.port_named(name)
    }

    fn one(self, scan: &mut Scan<'_>, depth: usize) -> Option<Action> {
        let mut ahead = *scan;
        let word = ahead.word().unwrap_or("");
        let opens = ahead.peek("(");
        if scan.rest.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit()) {
            return Some(Action::Output(scan.low32()?));
        }
        // Beginnings of names, as whatever follows is the next action's, or wrong; a port's name goes first.
        if self.ports.is_none_or(|ports| ports.port_named(word).is_none()) {
            if scan.eat("pop_vlan") {
                return Some(Action::PopVlan);
            }
            if scan.eat("ct_clear") {
                return Some(Action::CtClear);
            }
            if !scan.peek("ct(") && scan.eat("ct") {
                return Some(Action::Ct(Box::default()));
            }
            if word == "pop_eth" {
                *scan = ahead;
                return Some(Action::PopEth);
            }
        }
        if !opens {
            return self.port(scan).map(Action::Output);
        }
        *scan = ahead;
        scan.expect("(")?;
        self.call(word, scan, depth)
    }

    /// What stands in the parentheses of an action, the closing one included.
    fn call(self, word: &str, scan: &mut Scan<'_>, depth: usize) -> Option<Action> {
        let action = match word {
            "lb_output" => {
                // In decimal.
                let (number, rest) = crate::text::parse_wrapping_prefix(scan.rest, 10)?;
                scan.rest = rest;
                Action::LbOutput(number as u32)
            }
            "trunc" => Action::Trunc(scan.low32()?),
            "recirc" => Action::Recirc(number32(scan)?),
            "meter" => Action::Meter(scan.low32()?),
            "tnl_pop" => Action::TnlPop(self.port(scan)?),
            "pop_nsh" => Action::PopNsh,
            "pop_mpls" => {
                scan.expect("eth_type=")?;
                Action::PopMpls { ethertype: u16::try_from(scan.number()?).ok()? }
            }
            "push_mpls" | "add_mpls" => {
                let (lse, _) = key_parse::label(scan)?;
                scan.expect(",eth_type=")?;
                let ethertype = u16::try_from(scan.number()?).ok()?;
                if word == "push_mpls" {
                    Action::PushMpls { lse, ethertype }
                } else {
                    Action::AddMpls { lse, ethertype }
                }
            }
            "push_eth" => {
                scan.expect("src=")?;
                let (src, _) = scan.mac()?;
                scan.expect(",dst=")?;
                let (dst, _) = scan.mac()?;
                Action::PushEth { src, dst }
            }
            "push_vlan" => push_vlan(scan)?,
            "push_nsh" => Action::PushNsh(Box::new(push_nsh(scan)?)),
            "hash" => hash(scan)?,
            "ct" => Action::Ct(Box::new(ct(scan)?)),
            "userspace" => Action::Userspace(Box::new(self.userspace(scan)?)),
            "set" => Action::Set(self.set(scan)?),
            "clone" => return self.list(scan, depth).map(Action::Clone),
            "sample" => self.sample(scan, depth)?,
            "check_pkt_len" => self.check_pkt_len(scan, depth)?,
            "tnl_push" => {
                return tnl_push::parse(scan, |s| self.port(s)).map(|push| Action::TnlPush(Box::new(push)));
            }
            _ => return None,
        };
        scan.expect(")")?;
        Some(action)
    }

    fn sample(self, scan: &mut Scan<'_>, depth: usize) -> Option<Action> {
        scan.expect("sample=")?;
        let digits = scan.span(|c| c.is_ascii_digit() || c == '.')?;
        let percent: f64 = digits.parse().ok().filter(|p| (0.0..=100.0).contains(p))?;
        scan.expect("%,actions(")?;
        let actions = self.list(scan, depth)?;
        let probability = (f64::from(u32::MAX) * percent / 100.0 + 0.5) as u32;
        Some(Action::Sample { probability, actions })
    }

    fn check_pkt_len(self, scan: &mut Scan<'_>, depth: usize) -> Option<Action> {
        scan.expect("size=")?;
        let len = scan.low16()?;
        scan.expect(",gt(")?;
        let greater = self.list(scan, depth)?;
        scan.expect(",le(")?;
        let less_equal = self.list(scan, depth)?;
        Some(Action::CheckPktLen { len, greater, less_equal })
    }

    fn userspace(self, scan: &mut Scan<'_>) -> Option<Userspace> {
        scan.expect("pid=")?;
        let pid = scan.low32()?;
        let mut ahead = *scan;
        let named = ahead.eat(",") && ahead.word().is_some() && ahead.peek("(");
        if !named {
            // Nothing goes along: as long a note as there is room for, of nothing.
            let actions = scan.eat(",actions");
            let tunnel_out_port = if scan.eat(",tunnel_out_port=") { Some(self.port(scan)?) } else { None };
            return Some(Userspace { pid, cookie: Cookie::Raw(vec![0; COOKIE_LEN]), actions, tunnel_out_port });
        }
        scan.expect(",")?;
        let name = scan.word()?;
        scan.expect("(")?;
        let cookie = match name {
            "slow_path" => {
                let mut reason = 0;
                while !scan.peek(")") {
                    scan.skip(",|");
                    let name = scan.word()?;
                    reason |= if name == "0" { 0 } else { slow_path_reason(name)? };
                }
                Cookie::SlowPath { reason }
            }
            "controller" => Cookie::Controller(Box::new(controller(scan)?)),
            "sFlow" => {
                let vid = field(scan, "vid=")? as u16;
                let pcp = field(scan, ",pcp=")? as u16;
                let output = field(scan, ",output=")? as u32;
                let tag = if vid != 0 || pcp != 0 { 0x1000 } else { 0 };
                Cookie::Sflow { vlan_tci: (pcp & 7) << 13 | tag | (vid & 0xfff), output }
            }
            "flow_sample" => Cookie::FlowSample(Box::new(self.flow_sample(scan)?)),
            "ipfix" => {
                scan.expect("output_port=")?;
                Cookie::Ipfix { output_odp_port: self.port(scan)?, drops: false }
            }
            "userdata" => Cookie::Raw(octets(scan)?),
            _ => return None,
        };
        scan.expect(")")?;
        let actions = scan.eat(",actions");
        let tunnel_out_port = if scan.eat(",tunnel_out_port=") { Some(self.port(scan)?) } else { None };
        Some(Userspace { pid, cookie, actions, tunnel_out_port })
    }

    fn flow_sample(self, scan: &mut Scan<'_>) -> Option<FlowSampleCookie> {
        let probability = field(scan, "probability=")? as u16;
        let collector_set_id = field(scan, ",collector_set_id=")? as u32;
        let obs_domain_id = field(scan, ",obs_domain_id=")? as u32;
        let obs_point_id = field(scan, ",obs_point_id=")? as u32;
        scan.expect(",output_port=")?;
        let output_odp_port = self.port(scan)?;
        let direction = match () {
            () if scan.eat(",ingress") => 1,
            () if scan.eat(",egress") => 2,
            () => 0,
        };
        Some(FlowSampleCookie {
            probability,
            collector_set_id,
            obs_domain_id,
            obs_point_id,
            output_odp_port,
            direction,
            drops: false,
        })
    }

    fn set(self, scan: &mut Scan<'_>) -> Option<Set> {
        let mut ahead = *scan;
        let group = match ahead.word()? {
            "skb_priority" => SetGroup::SkbPriority,
            "skb_mark" => SetGroup::SkbMark,
            "tunnel" => SetGroup::Tunnel,
            "eth" => SetGroup::Eth,
            "mpls" => SetGroup::Mpls,
            "ipv4" => SetGroup::Ipv4,
            "ipv6" => SetGroup::Ipv6,
            "arp" => SetGroup::Arp,
            "tcp" => SetGroup::Tcp,
            "udp" => SetGroup::Udp,
            "sctp" => SetGroup::Sctp,
            "icmp" => SetGroup::Icmp,
            "icmpv6" => SetGroup::Icmpv6,
            "nd" => SetGroup::Nd,
            "nd_ext" => SetGroup::NdExtensions,
            "nsh" => SetGroup::Nsh,
            name => SetGroup::Inert(InertGroup::named(name)?),
        };
        let mut parser = tnl_push::parse_set_group(scan, self.ports)?;
        if group == SetGroup::Tunnel {
            return Some(Set { group, words: Default::default(), tunnel: Some(Box::new(parser.key)) });
        }
        if group == SetGroup::Inert(InertGroup::Vlan) {
            // What is written of a tag is in its group: not the type in front, nor that there is a tag.
            parser.key.set_vlan_tpid(0);
            parser.mask.set_vlan_tpid(0);
        }
        // A label is shown with its bits outside the mask, even if none are in it.
        let is_shown = |i: usize| group == SetGroup::Mpls && i == word::LABELS;
        let words = parser.mask.0.iter().enumerate().filter(|(i, m)| **m != 0 || is_shown(*i));
        let words = words.map(|(i, m)| MaskedWord { word: i as u8, value: parser.key.0[i], mask: *m });
        Some(Set { group, words: words.collect(), tunnel: None })
    }
}

/// Hexadecimal digits, two an octet; a note is filled up to the shortest there is.
fn octets(scan: &mut Scan<'_>) -> Option<Vec<u8>> {
    let digits = scan.span(|c| c.is_ascii_hexdigit()).unwrap_or("");
    if !digits.len().is_multiple_of(2) || digits.len() > MAX_COOKIE * 2 {
        return None;
    }
    let pairs = (0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).ok());
    let mut octets: Vec<u8> = pairs.collect::<Option<_>>()?;
    octets.resize(octets.len().max(MIN_COOKIE), 0);
    Some(octets)
}

fn number32(scan: &mut Scan<'_>) -> Option<u32> {
    u32::try_from(scan.low_bits()?).ok()
}

/// The low 16 bits of a number in decimal, without a sign.
fn decimal16(scan: &mut Scan<'_>) -> Option<u16> {
    scan.skip(" \t\r\n");
    let digits = scan.span(|c| c.is_ascii_digit())?;
    Some(digits.bytes().fold(0, |n: u16, d| n.wrapping_mul(10).wrapping_add(u16::from(d - b'0'))))
}

fn field(scan: &mut Scan<'_>, name: &str) -> Option<u64> {
    scan.expect(name)?;
    scan.low_bits()
}

fn controller(scan: &mut Scan<'_>) -> Option<ControllerCookie> {
    Some(ControllerCookie {
        reason: field(scan, "reason=")? as u8,
        dont_send: field(scan, ",dont_send=")? != 0,
        continuation: field(scan, ",continuation=")? != 0,
        recirc_id: field(scan, ",recirc_id=")? as u32,
        rule_cookie: field(scan, ",rule_cookie=")?,
        controller_id: field(scan, ",controller_id=")? as u16,
        max_len: field(scan, ",max_len=")? as u16,
    })
}

fn push_vlan(scan: &mut Scan<'_>) -> Option<Action> {
    let tpid = if scan.eat("tpid=") {
        let tpid = scan.low16()?;
        scan.expect(",")?;
        tpid
    } else {
        0x8100
    };
    // In this order; only the last goes without saying.
    scan.expect("vid=")?;
    let vid = scan.small(0xfff)?;
    scan.expect(",pcp=")?;
    let pcp = scan.small(7)?;
    let cfi = if scan.peek(")") { 1 } else { field(scan, ",cfi=")? };
    Some(Action::PushVlan { tpid, tci: (pcp << 13) as u16 | (u16::from(cfi != 0) << 12) | vid as u16 })
}

fn push_nsh(scan: &mut Scan<'_>) -> Option<PushNsh> {
    let mut nsh = PushNsh { flags: 0, ttl: 63, mdtype: 1, np: 3, path_hdr: 255, context: [0; 4], md2: Vec::new() };
    while !scan.peek(")") {
        scan.skip(", ");
        let name = scan.word()?;
        scan.expect("=")?;
        if name == "md2" {
            scan.expect("0x")?;
            let digits = scan.span(|c| c.is_ascii_hexdigit())?;
            if digits.len() % 2 != 0 || digits.len() > MAX_MD2 * 2 {
                return None;
            }
            let octets = (0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).ok());
            nsh.md2 = octets.collect::<Option<_>>()?;
            continue;
        }
        let value = scan.low32()?;
        match name {
            "flags" => nsh.flags = value as u8,
            "ttl" => nsh.ttl = value as u8,
            "mdtype" => nsh.mdtype = value as u8,
            "np" => nsh.np = value as u8,
            "spi" if value > 0xff_ffff => return None,
            "spi" => nsh.path_hdr = value << 8 | (nsh.path_hdr & 0xff),
            "si" => nsh.path_hdr = (nsh.path_hdr & !0xff) | (value & 0xff),
            "c1" => nsh.context[0] = value,
            "c2" => nsh.context[1] = value,
            "c3" => nsh.context[2] = value,
            "c4" => nsh.context[3] = value,
            _ => return None,
        }
    }
    Some(nsh)
}

fn hash(scan: &mut Scan<'_>) -> Option<Action> {
    let alg = match scan.word()? {
        "l4" | "hash_l4" => HashAlg::L4,
        "sym_l4" => HashAlg::SymL4,
        _ => return None,
    };
    scan.expect("(")?;
    let basis = number32(scan)?;
    scan.expect(")")?;
    Some(Action::Hash { alg, basis })
}

/// Keywords, which need nothing between them.
fn ct(scan: &mut Scan<'_>) -> Option<Ct> {
    let mut ct = Ct::default();
    let (mut commit, mut force) = (false, false);
    while !scan.peek(")") {
        scan.skip(", \t\r\n");
        if scan.eat("commit") {
            commit = true;
        } else if scan.eat("force_commit") {
            force = true;
        } else if scan.eat("zone=") {
            ct.zone = decimal16(scan)?;
        } else if scan.eat("mark=") {
            ct.mark = Some(scan.masked32()?).filter(|(_, mask)| *mask != 0);
        } else if scan.eat("label=") {
            ct.label = Some(scan.masked128()?).filter(|(_, mask)| *mask != 0);
        } else if scan.eat("helper=") {
            let name = scan.span(|c| !", ()\t\r\n".contains(c))?;
            ct.helper = Some(["ftp", "tftp"].into_iter().find(|known| *known == name)?);
        } else if scan.eat("timeout=") {
            ct.timeout = Some(scan.span(|c| !", ()\t\r\n".contains(c))?.into());
        } else if scan.eat("nat") {
            ct.nat = Some(nat(scan)?);
        } else {
            return None;
        }
    }
    if commit && force {
        return None;
    }
    (ct.commit, ct.force) = (commit || force, force);
    Some(ct)
}

fn nat(scan: &mut Scan<'_>) -> Option<CtNat> {
    let mut nat = CtNat::default();
    if !scan.eat("(") {
        return Some(nat);
    }
    while !scan.peek(")") {
        scan.skip(", \t\r\n");
        if nat.src != Some(false) && scan.eat("src") {
            nat.src = Some(true);
        } else if nat.src != Some(true) && scan.eat("dst") {
            nat.src = Some(false);
        } else if scan.eat("persistent") {
            nat.persistent = true;
            continue;
        } else if scan.eat("hash") {
            nat.hash = true;
            continue;
        } else if scan.eat("random") {
            nat.random = true;
            continue;
        } else {
            return None;
        }
        if scan.eat("=") {
            nat_range(scan, &mut nat)?;
        }
    }
    scan.expect(")")?;
    if nat.hash && nat.random {
        return None;
    }
    // How to choose matters where there is something to choose from.
    if nat.src.is_none() || nat.ip_min.is_none() {
        (nat.persistent, nat.hash, nat.random) = (false, false, false);
    }
    Some(nat)
}

/// Addresses and ports, each last one not before the first.
fn nat_range(scan: &mut Scan<'_>, nat: &mut CtNat) -> Option<()> {
    let first = address(scan)?;
    nat.ip_min = Some(first);
    if scan.eat("-") {
        let last = address(scan).filter(|last| last.is_ipv4() == first.is_ipv4() && *last >= first)?;
        nat.ip_max = Some(last);
    }
    if scan.eat(":") {
        nat.port_min = decimal16(scan)?;
        if scan.eat("-") {
            nat.port_max = decimal16(scan).filter(|last| *last >= nat.port_min || *last == 0)?;
        }
    }
    Some(())
}

/// An IPv4 address, or an IPv6 one that may be in brackets.
fn address(scan: &mut Scan<'_>) -> Option<IpAddr> {
    if scan.eat("[") {
        let address = scan.ipv6_address()?;
        scan.expect("]")?;
        return Some(Ipv6Addr::from(address).into());
    }
    let mut ahead = *scan;
    if let Some((address, rest)) = crate::text::parse_ipv4_prefix(ahead.rest) {
        ahead.rest = rest;
        *scan = ahead;
        return Some(Ipv4Addr::from(address).into());
    }
    Some(Ipv6Addr::from(scan.ipv6_address()?).into())
}
