//! A packet described in full, as `normalize-actions` takes it: groups without masks, each of which says all of its
//! fields, in the order of the text.
//!
//! Unlike [`super::parse_groups`] it tells which groups stand there twice, which are missing and which are too many, each
//! in Open vSwitch 3.1's words. A mask after a number that is a group of its own is read and forgotten; fields of groups
//! take none, and NSH has no text without masks.

use super::exact_tunnel;
use super::key_format::{self as format, Fields};
use super::key_parse as parse;
use super::scan::{Pair, Scan};
use crate::extract::ethertype as et;
use crate::text::{self, PortNames, put};
use crate::{Key, Mask, WORDS};
use std::fmt::Write;

/// Deepest `encap(…)`.
const MAX_DEPTH: usize = 32;
/// Tags that are looked into; what is in one beyond is too much.
const MAX_TAGS: usize = 2;
/// The bit of a tag's control information that every tag has.
const CFI: u16 = 0x1000;

const LACKS_TTL: &str = "tunnel options missing TTL";

static EXACT: Mask = Mask([u64::MAX; WORDS]);

/// A packet as its text has it.
pub(super) struct Described {
    /// All groups, with what 3.1 shows of connection tracking: that it is there.
    pub(super) text: String,
    /// TPID and TCI of each tag, outermost first.
    pub(super) tags: Vec<(u16, u16)>,
    /// The outermost entry of an MPLS packet's label stack.
    pub(super) label: Option<u32>,
    /// What is wrong with it, and the number of that among the errors of the system.
    pub(super) fault: Option<String>,
}

/// Reads a packet's groups.
///
/// # Errors
/// What is left of the text where it is none.
pub(super) fn describe(text: &str, ports: Option<&dyn PortNames>) -> Result<Described, String> {
    let mut scan = Scan::new(text);
    let mut level = Level::default();
    loop {
        scan.skip(", \t\r\n");
        if scan.is_empty() {
            break;
        }
        let start = scan.rest;
        level.read(&mut scan, ports, 0).ok_or_else(|| start.to_owned())?;
    }
    let text = if level.short.is_empty() { "<empty>".to_owned() } else { level.short.clone() };
    let mut described = Described { text, tags: Vec::new(), label: None, fault: None };
    described.fault = level.judge(&mut described.tags, &mut described.label).err().map(|fault| match fault {
        Fault::TooMuch => "(reason unknown) (Operation not permitted)".to_owned(),
        Fault::TooLittle => "(reason unknown) (No such file or directory)".to_owned(),
        Fault::Wrong(what) => format!("({what}; the flow key in error is: {}) (No such process)", level.long),
    });
    Ok(described)
}

/// What is said of a key whose tunnel has no time to live, in Open vSwitch 3.1's words, as [`super::Groups`] tells it.
pub fn missing_ttl(text: &str, ports: Option<&dyn PortNames>) -> String {
    let (mut scan, mut level) = (Scan::new(text), Level::default());
    let shown = loop {
        scan.skip(", \t\r\n");
        if scan.is_empty() {
            break level.long.as_str();
        }
        if level.read(&mut scan, ports, 0).is_none() {
            break text;
        }
    };
    format!("{LACKS_TTL}; the flow key in error is: {shown}")
}

enum Fault {
    TooMuch,
    TooLittle,
    Wrong(String),
}

/// Groups that stand side by side, outside or in one `encap(…)`.
#[derive(Default)]
struct Level {
    /// As they are shown.
    short: String,
    /// As they are shown where one of them is wrong.
    long: String,
    names: Vec<&'static str>,
    key: Key,
    arp_op: u16,
    labels: Vec<u32>,
    /// A tunnel without a time to live.
    lacks_ttl: bool,
    encap: Option<Box<Level>>,
}

/// Groups that any packet may have, outside.
static EVERYWHERE: [&str; 14] = [
    "tunnel",
    "in_port",
    "ct_state",
    "skb_priority",
    "skb_mark",
    "recirc_id",
    "dp_hash",
    "ct_zone",
    "ct_mark",
    "ct_label",
    "eth",
    "packet_type",
    "ct_tuple4",
    "ct_tuple6",
];

impl Level {
    /// One group, name and parentheses included.
    fn read(&mut self, scan: &mut Scan<'_>, ports: Option<&dyn PortNames>, depth: usize) -> Option<()> {
        if scan.eat("ufid:") {
            super::parse_ufid(scan.rest.get(..36)?)?;
            scan.rest = scan.rest.get(36..)?;
            return (!scan.is_empty()).then_some(());
        }
        let word = scan.word()?;
        // There is no text of NSH without masks.
        let name = *parse::GROUPS.iter().find(|n| **n == word && word != "nsh")?;
        scan.expect("(")?;
        let (short, long) = self.contents(name, scan, ports, depth)?;
        scan.expect(")")?;
        self.names.push(name);
        for (text, contents) in [(&mut self.short, &short), (&mut self.long, long.as_ref().unwrap_or(&short))] {
            if !text.is_empty() {
                text.push(',');
            }
            put!(text, "{name}({contents})");
        }
        Some(())
    }

    /// What stands in a group's parentheses, as it is shown, and as it is shown where something is wrong if that differs.
    fn contents(
        &mut self,
        name: &str,
        scan: &mut Scan<'_>,
        ports: Option<&dyn PortNames>,
        depth: usize,
    ) -> Option<(String, Option<String>)> {
        let hex = |n: u32| text::hex(n.into());
        let both = match name {
            "encap" => {
                let inner = Self::nested(scan, ports, depth)?;
                let texts = (inner.short.clone(), Some(inner.long.clone()));
                self.encap = Some(Box::new(inner));
                return Some(texts);
            }
            "tunnel" => {
                let exact = exact_tunnel::describe(scan)?;
                self.lacks_ttl |= exact.lacks_ttl;
                return Some((exact.short, Some(exact.long)));
            }
            "ct_state" => {
                let (state, _) = scan.flags_some(text::CT_STATE, 0xff)?;
                return Some((text::flags(state, text::CT_STATE, '|'), Some(hex(state))));
            }
            "ct_zone" => (String::new(), Some(text::hex(scan.masked16()?.0.into()))),
            "ct_mark" => (String::new(), Some(hex(scan.masked32()?.0))),
            "ct_label" => (String::new(), Some(text::hex(scan.masked128()?.0))),
            "skb_priority" | "skb_mark" | "dp_hash" => (hex(scan.masked32()?.0), None),
            "recirc_id" => (hex(scan.low32()?), None),
            "in_port" => (port(scan, ports)?.to_string(), None),
            "eth_type" => {
                self.key.set_dl_type(scan.masked16()?.0);
                (format!("0x{:04x}", self.key.dl_type()), None)
            }
            "tcp_flags" => (text::flags(scan.flags_some(text::TCP_FLAGS, 0xfff)?.0, text::TCP_FLAGS, '|'), None),
            "vlan" => (self.vlan(scan)?, None),
            "mpls" => (self.mpls(scan)?, None),
            _ => (self.fields(name, scan)?, None),
        };
        Some(both)
    }

    fn nested(scan: &mut Scan<'_>, ports: Option<&dyn PortNames>, depth: usize) -> Option<Self> {
        if depth >= MAX_DEPTH {
            return None;
        }
        let mut inner = Self::default();
        loop {
            scan.skip(", \t\r\n");
            if scan.peek(")") {
                return Some(inner);
            }
            inner.read(scan, ports, depth + 1)?;
        }
    }

    fn vlan(&mut self, scan: &mut Scan<'_>) -> Option<String> {
        let mut tci = CFI;
        each_field(scan, |name, scan| {
            let (at, mask) = match name {
                "vid" => (0, 0xfff),
                "pcp" => (13, 7),
                "cfi" => (12, 1),
                _ => return None,
            };
            let value = scan.small(mask)?;
            tci = tci & !((mask as u16) << at) | (value as u16) << at;
            Some(())
        })?;
        self.key.set_vlan_tci(tci);
        let cfi = if tci & CFI == 0 { ",cfi=0" } else { "" };
        Some(format!("vid={},pcp={}{cfi}", tci & 0xfff, tci >> 13))
    }

    /// Entries of a label stack: a field that has come begins the next.
    fn mpls(&mut self, scan: &mut Scan<'_>) -> Option<String> {
        let mut entries = vec![(0u32, 0u32)];
        each_field(scan, |name, scan| {
            let (at, mask) = match name {
                "label" => (12, 0xf_ffff),
                "tc" => (9, 7),
                "ttl" => (0, 0xff),
                "bos" => (8, 1),
                _ => return None,
            };
            let value = scan.small(mask)? as u32;
            let taken = entries.iter().position(|(_, seen)| *seen & 1 << at == 0);
            let i = taken.unwrap_or(entries.len());
            if i == entries.len() {
                entries.push((0, 0));
            }
            let (entry, seen) = entries.get_mut(i).filter(|_| i < 3)?;
            (*entry, *seen) = (*entry | value << at, *seen | 1 << at);
            Some(())
        })?;
        self.labels = entries.iter().map(|(entry, _)| *entry).collect();
        let shown: Vec<String> = self.labels.iter().map(|entry| format::label(*entry, None)).collect();
        Some(shown.join(","))
    }

    /// Fields of a group, those that are not there being zero.
    fn fields(&mut self, group: &str, scan: &mut Scan<'_>) -> Option<String> {
        let mut key = Key::EMPTY;
        let mut op = 0;
        each_field(scan, |name, scan| {
            let (mut mask, start) = (Mask::EMPTY, scan.rest);
            if (group, name) == ("arp", "op") {
                op = scan.low16()?;
                return Some(());
            }
            let pair = Pair { key: &mut key, mask: &mut mask };
            parse::field(group, name, scan, pair)?;
            let read = start.len() - scan.rest.len();
            (!start[..read].contains('/')).then_some(())
        })?;
        let mut out = String::new();
        let fields = &mut Fields::new(&mut out, false);
        match group {
            "eth" => format::eth(fields, &key, &EXACT),
            "packet_type" => format::packet_type(fields, &key, &EXACT),
            "ipv4" => format::ipv4(fields, &key, &EXACT),
            "ipv6" => format::ipv6(fields, &key, &EXACT),
            "tcp" | "udp" | "sctp" => format::ports(fields, &key, &EXACT),
            "icmp" | "icmpv6" => format::icmp(fields, &key, &EXACT),
            "nd" => format::nd(fields, &key, &EXACT),
            "nd_ext" => format::nd_extensions(fields, &key, &EXACT),
            "ct_tuple4" => format::ct_tuple4(fields, &key, &EXACT),
            "ct_tuple6" => format::ct_tuple6(fields, &key, &EXACT),
            "arp" => {
                fields.ipv4("sip", key.nw_src(), u32::MAX);
                fields.ipv4("tip", key.nw_dst(), u32::MAX);
                fields.decimal("op", op.into(), 0xffff, 0xffff);
                fields.mac("sha", key.arp_sha(), u64::MAX);
                fields.mac("tha", key.arp_tha(), u64::MAX);
            }
            _ => return None,
        }
        match group {
            "ipv4" | "ipv6" => {
                self.key.set_nw_proto(key.nw_proto());
                self.key.set_nw_frag(key.nw_frag());
            }
            "icmpv6" => {
                self.key.set_tp_src(key.tp_src());
                self.key.set_tp_dst(key.tp_dst());
            }
            "arp" => self.arp_op = op,
            _ => {}
        }
        out.pop();
        Some(if group == "nd_ext" && key.igmp_group() == 0 { out.replacen("=0,", "=0x0,", 1) } else { out })
    }

    fn has(&self, name: &str) -> bool {
        self.names.contains(&name)
    }

    /// Whether the groups go together, and the tags and the label that the packet has.
    fn judge(&self, tags: &mut Vec<(u16, u16)>, label: &mut Option<u32>) -> Result<(), Fault> {
        let mut level = self;
        level.has_no_repeats()?;
        if level.lacks_ttl {
            return Err(Fault::Wrong(LACKS_TTL.to_owned()));
        }
        // What any packet may have, whatever it is.
        let mut expected: Vec<&'static str> = EVERYWHERE.to_vec();
        let mut kind = level.ethertype()?;
        while tags.len() < MAX_TAGS && level.has("eth_type") && matches!(kind, et::VLAN | et::QINQ) {
            let tci = level.key.vlan_tci();
            let Some(inner) = level.encap.as_deref().filter(|_| level.has("vlan")) else {
                return Err(Fault::TooLittle);
            };
            if tci == 0 {
                // A tag cut short.
                return if inner.names.is_empty() { Ok(()) } else { Err(Fault::TooMuch) };
            }
            if tci & CFI == 0 {
                return Err(Fault::Wrong(format!("OVS_KEY_ATTR_VLAN {tci:#x} is nonzero but CFI bit is not set")));
            }
            tags.push((kind, tci));
            inner.has_no_repeats()?;
            kind = inner.ethertype()?;
            (level, expected) = (inner, Vec::new());
        }
        expected.push("eth_type");
        level.judge_contents(kind, expected, label)
    }

    fn has_no_repeats(&self) -> Result<(), Fault> {
        match self.names.iter().enumerate().find(|(i, name)| self.names[..*i].contains(name)) {
            Some((_, name)) => Err(Fault::Wrong(format!("duplicate {name} attribute in flow key"))),
            None => Ok(()),
        }
    }

    /// The type that it names, or that its groups stand for.
    fn ethertype(&self) -> Result<u16, Fault> {
        match self.key.dl_type() {
            kind if self.has("eth_type") && kind < 0x0600 => {
                Err(Fault::Wrong(format!("invalid Ethertype {kind} in flow key")))
            }
            kind if self.has("eth_type") => Ok(kind),
            _ if self.has("ipv4") => Ok(et::IPV4),
            _ if self.has("ipv6") => Ok(et::IPV6),
            _ if self.has("mpls") => Ok(et::MPLS),
            _ => Ok(et::NONE),
        }
    }

    /// What must be there, or may, behind all tags.
    fn judge_contents(&self, kind: u16, mut may: Vec<&'static str>, label: &mut Option<u32>) -> Result<(), Fault> {
        match kind {
            et::MPLS | et::MPLS_MULTICAST => {
                *label = self.labels.first().copied();
                let inner = self.labels.split_last();
                if inner.is_some_and(|(_, outer)| outer.iter().any(|entry| entry & 0x100 != 0)) {
                    return Err(Fault::Wrong("MPLS BOS set in non-innermost label".to_owned()));
                }
                if inner.is_none_or(|(last, outer)| outer.len() < 2 && last & 0x100 == 0) {
                    return Err(Fault::TooLittle);
                }
            }
            et::ARP | et::RARP if self.arp_op > 0xff => {
                return Err(Fault::Wrong(format!("unsupported ARP opcode {} in flow key", self.arp_op)));
            }
            _ => {}
        }
        let [must, besides] = parse::headers(kind, &self.key);
        may.extend(besides);
        if must.iter().any(|name| !self.has(name)) {
            return Err(Fault::TooLittle);
        }
        let belongs = |name: &&str| must.contains(name) || may.contains(name);
        if self.names.iter().all(belongs) { Ok(()) } else { Err(Fault::TooMuch) }
    }
}

/// `name=value` each, with commas between; one may stand behind the last.
pub(super) fn each_field(scan: &mut Scan<'_>, mut read: impl FnMut(&str, &mut Scan<'_>) -> Option<()>) -> Option<()> {
    while !scan.peek(")") {
        let name = scan.word()?;
        scan.expect("=")?;
        read(name, scan)?;
        if !scan.eat(",") {
            break;
        }
    }
    scan.peek(")").then_some(())
}

fn port(scan: &mut Scan<'_>, ports: Option<&dyn PortNames>) -> Option<u32> {
    let mut numeric = *scan;
    if let Some((number, _)) = numeric.masked32().filter(|_| numeric.peek(")")) {
        *scan = numeric;
        return Some(number);
    }
    ports?.port_named(scan.span(|c| c != ')')?)
}
