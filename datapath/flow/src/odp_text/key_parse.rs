//! Reading of datapath flow keys.

use super::scan::{Pair, Scan};
use super::tunnel;
use crate::extract::ethertype as et;
use crate::text::{self, PortNames};
use crate::{Key, Mask};

/// Deepest `encap(…)`.
const MAX_DEPTH: usize = 2;

/// Reads a key with its mask. A group that is not there is wildcarded; a field without `/mask` is exact. Values keep
/// their wildcarded bits: verbose text shows them. Without `eth(…)` the
/// packet's type is its EtherType. The error tells where it is.
pub fn parse_key(text: &str, ports: Option<&dyn PortNames>) -> Result<(Key, Mask), String> {
    parse_groups(text, ports).map(|Groups { key, mask, .. }| (key, mask))
}

/// A key as its text has it.
#[derive(Debug, Clone)]
pub struct Groups {
    /// Values, with bits that the mask leaves out.
    pub key: Key,
    /// Which bits decide.
    pub mask: Mask,
    /// Whether no group stands there twice, and none that packets of the key's type do not have.
    pub fit: bool,
    /// A tunnel has no `ttl=`, without which no packet comes out of one.
    pub lacks_ttl: bool,
}

/// Reads a key as [`parse_key`] does, and tells whether its groups go together.
///
/// # Errors
/// Where the text is none, by what is left of it.
pub fn parse_groups(text: &str, ports: Option<&dyn PortNames>) -> Result<Groups, String> {
    let mut parser = Parser::new(ports);
    let mut scan = Scan::new(text);
    loop {
        scan.skip(", \t\r\n");
        if scan.is_empty() {
            break;
        }
        let start = scan.rest;
        parser.group(&mut scan).ok_or_else(|| format!("syntax error at {start}"))?;
    }
    if !parser.has_eth && !parser.has_type && parser.key.dl_type() >= 0x0600 {
        parser.key.set_packet_type(1 << 16 | u32::from(parser.key.dl_type()));
    }
    if parser.mask.dl_type() == 0
        && parser.key.dl_type() == 0
        && let Some(implied) = parser.implied_type
    {
        parser.key.set_dl_type(implied);
    }
    if parser.has_eth && parser.key.dl_type() == 0 {
        parser.key.set_dl_type(et::NONE);
    }
    Ok(Groups { fit: parser.fits(), lacks_ttl: parser.lacks_ttl, key: parser.key, mask: parser.mask })
}

/// Every group there is; some belong to packets of a type alone.
pub(super) static GROUPS: [&str; 30] = [
    "tunnel",
    "in_port",
    "eth_type",
    "vlan",
    "encap",
    "mpls",
    "tcp_flags",
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
    "ipv4",
    "ipv6",
    "arp",
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "icmpv6",
    "nd",
    "nd_ext",
    "nsh",
    "ct_tuple4",
    "ct_tuple6",
];

/// Those that belong to packets of a type alone.
const HEADERS: [&str; 13] =
    ["mpls", "tcp_flags", "ipv4", "ipv6", "arp", "tcp", "udp", "sctp", "icmp", "icmpv6", "nd", "nd_ext", "nsh"];

/// The groups of [`HEADERS`] that packets of a type must have, and those that they may have besides.
pub(super) fn headers(kind: u16, key: &Key) -> [Vec<&'static str>; 2] {
    let mut must = match kind {
        et::IPV4 => vec!["ipv4"],
        et::IPV6 => vec!["ipv6"],
        et::ARP | et::RARP => vec!["arp"],
        et::MPLS | et::MPLS_MULTICAST => vec!["mpls"],
        et::NSH => vec!["nsh"],
        _ => Vec::new(),
    };
    let mut may = Vec::new();
    if !matches!(kind, et::IPV4 | et::IPV6) || key.nw_frag() & crate::nw_frag::LATER != 0 {
        return [must, may];
    }
    match (kind, key.nw_proto()) {
        (_, 6) => {
            must.push("tcp");
            may.push("tcp_flags");
        }
        (_, 17) => must.push("udp"),
        (_, 132) => must.push("sctp"),
        (et::IPV4, 1) => must.push("icmp"),
        (et::IPV6, 58) => {
            must.push("icmpv6");
            if matches!(key.tp_src(), 135 | 136) && key.tp_dst() == 0 {
                must.push("nd");
                may.push("nd_ext");
            }
        }
        _ => {}
    }
    [must, may]
}

pub(super) struct Parser<'a> {
    pub(super) key: Key,
    pub(super) mask: Mask,
    ports: Option<&'a dyn PortNames>,
    depth: usize,
    has_eth: bool,
    has_type: bool,
    /// Groups that were there, outside and in each `encap(…)`, by their place in [`GROUPS`].
    seen: [u32; MAX_DEPTH + 1],
    /// One was there twice.
    repeats: bool,
    lacks_ttl: bool,
    /// The type that a group of a network layer stands for where the text names none.
    implied_type: Option<u16>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(ports: Option<&'a dyn PortNames>) -> Self {
        Self {
            key: Key::EMPTY,
            mask: Mask::EMPTY,
            ports,
            depth: 0,
            has_eth: false,
            has_type: false,
            seen: [0; MAX_DEPTH + 1],
            repeats: false,
            lacks_ttl: false,
            implied_type: None,
        }
    }

    /// One group, name and parentheses included.
    pub(super) fn group(&mut self, scan: &mut Scan<'_>) -> Option<()> {
        if let Some(rest) = scan.rest.strip_prefix("ufid:") {
            scan.rest = rest.trim_start_matches(|c: char| c.is_ascii_hexdigit() || c == '-');
            return Some(());
        }
        let name = scan.word()?;
        scan.expect("(")?;
        if let (Some(i), Some(seen)) = (GROUPS.iter().position(|g| *g == name), self.seen.get_mut(self.depth)) {
            self.repeats |= *seen & 1 << i != 0;
            *seen |= 1 << i;
        }
        match name {
            "ipv4" => self.implied_type = Some(et::IPV4),
            "ipv6" => self.implied_type = Some(et::IPV6),
            "mpls" => self.implied_type = Some(et::MPLS),
            _ => {}
        }
        match name {
            "tunnel" => {
                let text = scan.rest;
                tunnel::parse(scan, &mut self.key, &mut self.mask)?;
                let read = text.get(..text.len() - scan.rest.len())?;
                self.lacks_ttl |= !read.split(',').any(|part| part.trim_start().starts_with("ttl="));
            }
            "in_port" => self.in_port(scan)?,
            "eth_type" => self.eth_type(scan)?,
            "vlan" => self.vlan(scan)?,
            "encap" => return self.encap(scan),
            "mpls" => self.mpls(scan)?,
            "tcp_flags" => {
                let flags = scan.flags(text::TCP_FLAGS, 0xfff)?;
                let mut pair = Pair { key: &mut self.key, mask: &mut self.mask };
                let mask = if flags.1 == 0xfff { 0xffff } else { flags.1 as u16 };
                pair.set((flags.0 as u16, mask), Key::set_tcp_flags, Mask::set_tcp_flags);
            }
            "ct_state" => {
                let (value, mask) = scan.flags(text::CT_STATE, 0xff)?;
                let mut pair = Pair { key: &mut self.key, mask: &mut self.mask };
                pair.set((value as u8, mask as u8), Key::set_ct_state, Mask::set_ct_state);
            }
            "skb_priority" | "skb_mark" | "recirc_id" | "dp_hash" | "ct_zone" | "ct_mark" | "ct_label" => {
                self.number(name, scan)?;
            }
            "eth" | "packet_type" | "ipv4" | "ipv6" | "arp" | "tcp" | "udp" | "sctp" | "icmp" | "icmpv6" | "nd"
            | "nd_ext" | "nsh" | "ct_tuple4" | "ct_tuple6" => self.fields(name, scan)?,
            _ => return None,
        }
        scan.expect(")")
    }

    /// Whether packets of this type have all of the groups, each once.
    fn fits(&self) -> bool {
        let seen = self.seen.iter().fold(0, |all, some| all | some);
        let [must, may] = headers(self.key.dl_type(), &self.key);
        let belongs = |group: &&str| must.contains(group) || may.contains(group) || !HEADERS.contains(group);
        !self.repeats && GROUPS.iter().enumerate().all(|(i, group)| seen & 1 << i == 0 || belongs(group))
    }

    fn number(&mut self, name: &str, scan: &mut Scan<'_>) -> Option<()> {
        let mut pair = Pair { key: &mut self.key, mask: &mut self.mask };
        match name {
            "skb_priority" => pair.set(scan.masked32()?, Key::set_skb_priority, Mask::set_skb_priority),
            "skb_mark" => pair.set(scan.masked32()?, Key::set_pkt_mark, Mask::set_pkt_mark),
            "recirc_id" => pair.set(scan.masked32()?, Key::set_recirc_id, Mask::set_recirc_id),
            "dp_hash" => pair.set(scan.masked32()?, Key::set_dp_hash, Mask::set_dp_hash),
            "ct_zone" => pair.set(scan.masked16()?, Key::set_ct_zone, Mask::set_ct_zone),
            "ct_mark" => pair.set(scan.masked32()?, Key::set_ct_mark, Mask::set_ct_mark),
            _ => pair.set(scan.masked128()?, Key::set_ct_label, Mask::set_ct_label),
        }
        Some(())
    }

    fn in_port(&mut self, scan: &mut Scan<'_>) -> Option<()> {
        let mut pair = Pair { key: &mut self.key, mask: &mut self.mask };
        let mut numeric = *scan;
        if let Some(value) = numeric.masked32().filter(|_| numeric.peek(")")) {
            *scan = numeric;
            pair.set(value, Key::set_in_port, Mask::set_in_port);
            return Some(());
        }
        let name = scan.span(|c| c != ')')?;
        let number = self.ports?.port_named(name)?;
        pair.set((number, u32::MAX), Key::set_in_port, Mask::set_in_port);
        Some(())
    }

    fn eth_type(&mut self, scan: &mut Scan<'_>) -> Option<()> {
        let (value, mask) = scan.masked16()?;
        // What stands for "no type" in text is a type of its own in a key.
        let value = if value == 0 && mask == u16::MAX && self.has_eth { et::NONE } else { value };
        Pair { key: &mut self.key, mask: &mut self.mask }.set((value, mask), Key::set_dl_type, Mask::set_dl_type);
        Some(())
    }

    /// Turns the type read last into the protocol of a tag.
    fn vlan(&mut self, scan: &mut Scan<'_>) -> Option<()> {
        let (mut tci, mut mask, mut tag) = (0, 0, 0x1000);
        while !ends(scan) {
            let name = scan.word()?;
            scan.expect("=")?;
            let (shift, bits) = match name {
                "vid" => (0, 12),
                "pcp" => (13, 3),
                "cfi" => (12, 1),
                _ => return None,
            };
            let (value, m) = scan.masked(bits)?;
            let (value, m) = ((value as u16) << shift, (m as u16) << shift);
            if name == "cfi" {
                tag = value;
            } else {
                (tci, mask) = (tci | value, mask | m);
            }
        }
        let (tci, mask, tpid) = (tci | tag, mask | 0x1000, self.key.dl_type());
        self.key.set_dl_type(0);
        self.mask.set_dl_type(0);
        let mut pair = Pair { key: &mut self.key, mask: &mut self.mask };
        match self.depth {
            0 => {
                pair.set((tci, mask), Key::set_vlan_tci, Mask::set_vlan_tci);
                pair.set((tpid, u16::MAX), Key::set_vlan_tpid, Mask::set_vlan_tpid);
            }
            1 => {
                pair.set((tci, mask), Key::set_vlan2_tci, Mask::set_vlan2_tci);
                pair.set((tpid, u16::MAX), Key::set_vlan2_tpid, Mask::set_vlan2_tpid);
            }
            _ => return None,
        }
        Some(())
    }

    fn encap(&mut self, scan: &mut Scan<'_>) -> Option<()> {
        if self.depth >= MAX_DEPTH {
            return None;
        }
        // A tag that matters in no bit is still there.
        if self.depth == 0 && self.key.vlan_tci() == 0 {
            self.key.set_vlan_tpid(self.key.dl_type());
            self.key.set_vlan_tci(0x1000);
        }
        self.depth += 1;
        loop {
            scan.skip(", \t\r\n");
            if scan.eat(")") {
                break;
            }
            self.group(scan)?;
        }
        self.depth -= 1;
        Some(())
    }

    fn mpls(&mut self, scan: &mut Scan<'_>) -> Option<()> {
        for i in 0..4 {
            scan.skip(", ");
            if scan.peek(")") {
                return (i > 0).then_some(());
            }
            let (lse, mask) = label(scan)?;
            let mut pair = Pair { key: &mut self.key, mask: &mut self.mask };
            match i {
                0 => pair.set((lse, mask), Key::set_mpls_lse0, Mask::set_mpls_lse0),
                1 => pair.set((lse, mask), Key::set_mpls_lse1, Mask::set_mpls_lse1),
                2 => pair.set((lse, mask), Key::set_mpls_lse2, Mask::set_mpls_lse2),
                _ => return None,
            }
        }
        None
    }

    fn fields(&mut self, group: &str, scan: &mut Scan<'_>) -> Option<()> {
        match group {
            "eth" => self.has_eth = true,
            "packet_type" => self.has_type = true,
            _ => {}
        }
        while !ends(scan) {
            let name = scan.word()?;
            scan.expect("=")?;
            field(group, name, scan, Pair { key: &mut self.key, mask: &mut self.mask })?;
        }
        Some(())
    }
}

/// One field's value, with an optional mask.
pub(super) fn field(group: &str, name: &str, scan: &mut Scan<'_>, pair: Pair<'_>) -> Option<()> {
    match group {
        "eth" | "arp" | "nd" => address_field(group, name, scan, pair),
        "ipv4" | "ipv6" => ip_field(group, name, scan, pair),
        "nsh" => nsh_field(name, scan, pair),
        "ct_tuple4" | "ct_tuple6" => tuple_field(group, name, scan, pair),
        _ => small_field(group, name, scan, pair),
    }
}

/// Whether a group's fields are over: a comma may stand behind the last.
fn ends(scan: &mut Scan<'_>) -> bool {
    scan.skip(", ");
    scan.peek(")")
}

/// `label=…,tc=…,ttl=…,bos=…`, each with an optional mask.
pub(super) fn label(scan: &mut Scan<'_>) -> Option<(u32, u32)> {
    let (mut lse, mut mask) = (0, 0);
    let mut any = false;
    // Some may be left out; what follows one that came is the next entry's.
    for (name, shift, bits) in [("label=", 12, 20), ("tc=", 9, 3), ("ttl=", 0, 8), ("bos=", 8, 1)] {
        let mut ahead = *scan;
        if any && !ahead.eat(",") || !ahead.eat(name) {
            continue;
        }
        *scan = ahead;
        any = true;
        let (value, m) = scan.masked(bits)?;
        lse |= (value as u32) << shift;
        mask |= (m as u32) << shift;
    }
    any.then_some((lse, mask))
}

fn address_field(group: &str, name: &str, scan: &mut Scan<'_>, mut pair: Pair<'_>) -> Option<()> {
    match (group, name) {
        ("eth", "src") => pair.set(scan.mac()?, Key::set_dl_src, Mask::set_dl_src),
        ("eth", "dst") => pair.set(scan.mac()?, Key::set_dl_dst, Mask::set_dl_dst),
        ("arp", "sip") => pair.set(scan.ipv4()?, Key::set_nw_src, Mask::set_nw_src),
        ("arp", "tip") => pair.set(scan.ipv4()?, Key::set_nw_dst, Mask::set_nw_dst),
        ("arp", "op") => {
            let (value, mask) = scan.masked16()?;
            let value = if value == u16::MAX { u8::MAX } else { u8::try_from(value).unwrap_or(0) };
            pair.set((value, mask as u8), Key::set_nw_proto, Mask::set_nw_proto);
        }
        ("arp", "sha") | ("nd", "sll") => pair.set(scan.mac()?, Key::set_arp_sha, Mask::set_arp_sha),
        ("arp", "tha") | ("nd", "tll") => pair.set(scan.mac()?, Key::set_arp_tha, Mask::set_arp_tha),
        ("nd", "target") => pair.set(scan.ipv6()?, Key::set_nd_target, Mask::set_nd_target),
        _ => return None,
    }
    Some(())
}

fn ip_field(group: &str, name: &str, scan: &mut Scan<'_>, mut pair: Pair<'_>) -> Option<()> {
    match (group, name) {
        ("ipv4", "src") => pair.set(scan.ipv4()?, Key::set_nw_src, Mask::set_nw_src),
        ("ipv4", "dst") => pair.set(scan.ipv4()?, Key::set_nw_dst, Mask::set_nw_dst),
        ("ipv6", "src") => pair.set(scan.ipv6()?, Key::set_ipv6_src, Mask::set_ipv6_src),
        ("ipv6", "dst") => pair.set(scan.ipv6()?, Key::set_ipv6_dst, Mask::set_ipv6_dst),
        ("ipv6", "label") => {
            let (value, mask) = scan.masked(20)?;
            let mask = if mask == 0xf_ffff { u32::MAX } else { mask as u32 };
            pair.set((value as u32, mask), Key::set_ipv6_label, Mask::set_ipv6_label);
        }
        (_, "proto") => pair.set(scan.masked8()?, Key::set_nw_proto, Mask::set_nw_proto),
        ("ipv4", "tos") | ("ipv6", "tclass") => pair.set(scan.masked8()?, Key::set_nw_tos, Mask::set_nw_tos),
        ("ipv4", "ttl") | ("ipv6", "hlimit") => pair.set(scan.masked8()?, Key::set_nw_ttl, Mask::set_nw_ttl),
        (_, "frag") => {
            let value = match scan.word()? {
                "no" => 0,
                "first" => 1,
                "later" => 3,
                _ => return None,
            };
            pair.set((value, u8::MAX), Key::set_nw_frag, Mask::set_nw_frag);
        }
        _ => return None,
    }
    Some(())
}

fn nsh_field(name: &str, scan: &mut Scan<'_>, mut pair: Pair<'_>) -> Option<()> {
    match name {
        "flags" => pair.set(scan.masked8()?, Key::set_nsh_flags, Mask::set_nsh_flags),
        "ttl" => pair.set(scan.masked8()?, Key::set_nsh_ttl, Mask::set_nsh_ttl),
        "mdtype" => pair.set(scan.masked8()?, Key::set_nsh_mdtype, Mask::set_nsh_mdtype),
        "np" => pair.set(scan.masked8()?, Key::set_nsh_np, Mask::set_nsh_np),
        "spi" => {
            let (value, mask) = scan.masked(24)?;
            pair.set((value as u32, mask as u32), Key::set_nsh_spi, Mask::set_nsh_spi);
        }
        "si" => pair.set(scan.masked8()?, Key::set_nsh_si, Mask::set_nsh_si),
        "c1" => pair.set(scan.masked32()?, Key::set_nsh_c1, Mask::set_nsh_c1),
        "c2" => pair.set(scan.masked32()?, Key::set_nsh_c2, Mask::set_nsh_c2),
        "c3" => pair.set(scan.masked32()?, Key::set_nsh_c3, Mask::set_nsh_c3),
        "c4" => pair.set(scan.masked32()?, Key::set_nsh_c4, Mask::set_nsh_c4),
        _ => return None,
    }
    Some(())
}

fn tuple_field(group: &str, name: &str, scan: &mut Scan<'_>, mut pair: Pair<'_>) -> Option<()> {
    match (group, name) {
        ("ct_tuple4", "src") => pair.set(scan.ipv4()?, Key::set_ct_nw_src, Mask::set_ct_nw_src),
        ("ct_tuple4", "dst") => pair.set(scan.ipv4()?, Key::set_ct_nw_dst, Mask::set_ct_nw_dst),
        ("ct_tuple6", "src") => pair.set(scan.ipv6()?, Key::set_ct_ipv6_src, Mask::set_ct_ipv6_src),
        ("ct_tuple6", "dst") => pair.set(scan.ipv6()?, Key::set_ct_ipv6_dst, Mask::set_ct_ipv6_dst),
        (_, "proto") => pair.set(scan.masked8()?, Key::set_ct_nw_proto, Mask::set_ct_nw_proto),
        (_, "tp_src" | "src_port") => pair.set(scan.masked16()?, Key::set_ct_tp_src, Mask::set_ct_tp_src),
        (_, "tp_dst" | "dst_port") => pair.set(scan.masked16()?, Key::set_ct_tp_dst, Mask::set_ct_tp_dst),
        _ => return None,
    }
    Some(())
}

fn small_field(group: &str, name: &str, scan: &mut Scan<'_>, mut pair: Pair<'_>) -> Option<()> {
    // ICMP's types and codes are octets that lie in wider fields of the key.
    let octet = |scan: &mut Scan<'_>| {
        let (value, mask) = scan.masked8()?;
        Some((u16::from(value), if mask == 0xff { 0xffff } else { u16::from(mask) }))
    };
    match (group, name) {
        ("tcp" | "udp" | "sctp", "src") => pair.set(scan.masked16()?, Key::set_tp_src, Mask::set_tp_src),
        ("tcp" | "udp" | "sctp", "dst") => pair.set(scan.masked16()?, Key::set_tp_dst, Mask::set_tp_dst),
        ("icmp" | "icmpv6", "type") => pair.set(octet(scan)?, Key::set_tp_src, Mask::set_tp_src),
        ("icmp" | "icmpv6", "code") => pair.set(octet(scan)?, Key::set_tp_dst, Mask::set_tp_dst),
        ("nd_ext", "nd_reserved") => pair.set(scan.masked32()?, Key::set_igmp_group, Mask::set_igmp_group),
        ("nd_ext", "nd_options_type") => pair.set(octet(scan)?, Key::set_tcp_flags, Mask::set_tcp_flags),
        ("packet_type", "ns") => {
            let (value, mask) = scan.masked16()?;
            let (k, m) = (pair.key.packet_type() & 0xffff, pair.mask.packet_type() & 0xffff);
            let pair_value = (u32::from(value) << 16 | k, u32::from(mask) << 16 | m);
            pair.set(pair_value, Key::set_packet_type, Mask::set_packet_type);
        }
        ("packet_type", "id") => {
            let (value, mask) = scan.masked16()?;
            let (k, m) = (pair.key.packet_type() & !0xffff, pair.mask.packet_type() & !0xffff);
            pair.set((u32::from(value) | k, u32::from(mask) | m), Key::set_packet_type, Mask::set_packet_type);
        }
        _ => return None,
    }
    Some(())
}
