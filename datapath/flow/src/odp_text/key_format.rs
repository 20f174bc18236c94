//! Printing of datapath flow keys.

use crate::extract::ethertype as et;
use crate::odp::InertGroup;
use crate::text::{self, PortNames, put};
use crate::{Key, Mask, WORDS};
use std::fmt::Write;

use super::tunnel;

/// How to print a key.
#[derive(Clone, Copy, Default)]
pub struct KeyOptions<'a> {
    /// Print wildcarded groups and fields too.
    pub verbose: bool,
    /// Names of datapath ports.
    pub ports: Option<&'a dyn PortNames>,
}

static EXACT: Mask = Mask([u64::MAX; WORDS]);

/// A key as text; without a mask every field is exact.
pub fn format_key(key: &Key, mask: Option<&Mask>, options: &KeyOptions<'_>) -> String {
    let mut printer = Printer {
        out: String::new(),
        key,
        mask: mask.unwrap_or(&EXACT),
        masked: mask.is_some(),
        verbose: options.verbose,
    };
    printer.metadata(options.ports);
    printer.frame();
    printer.out
}

/// The fields of one group.
pub(super) struct Fields<'a> {
    pub(super) out: &'a mut String,
    verbose: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn new(out: &'a mut String, verbose: bool) -> Self {
        Self { out, verbose }
    }

    /// `name=value[/mask],` if the mask has bits or the text is verbose.
    pub(super) fn put(&mut self, name: &str, mask: u128, exact: u128, value: impl Fn(u128) -> String, number: u128) {
        let mask = mask & exact;
        if mask == 0 && !self.verbose {
            return;
        }
        put!(self.out, "{name}={}", value(number));
        if mask != exact {
            put!(self.out, "/{}", value(mask));
        }
        self.out.push(',');
    }

    /// Value in decimal, mask in hexadecimal.
    pub(super) fn decimal(&mut self, name: &str, number: u64, mask: u64, exact: u64) {
        let mask = mask & exact;
        if mask == 0 && !self.verbose {
            return;
        }
        put!(
            self.out,
            "{name}={}",
            text::decimal_masked(number.into(), mask.into(), exact.into()).replace_decimal(number)
        );
        self.out.push(',');
    }

    /// Both in hexadecimal.
    pub(super) fn hex(&mut self, name: &str, number: u64, mask: u64, exact: u64) {
        self.put(name, mask.into(), exact.into(), text::hex, number.into());
    }

    pub(super) fn mac(&mut self, name: &str, number: u64, mask: u64) {
        self.put(name, mask.into(), 0xffff_ffff_ffff, |n| text::mac(n as u64), number.into());
    }

    pub(super) fn ipv4(&mut self, name: &str, number: u32, mask: u32) {
        self.put(name, mask.into(), u32::MAX.into(), |n| text::ipv4(n as u32), number.into());
    }

    pub(super) fn ipv6(&mut self, name: &str, number: u128, mask: u128) {
        self.put(name, mask, u128::MAX, text::ipv6, number);
    }

    fn frag(&mut self, number: u8, mask: u8) {
        if mask & 3 == 3 {
            put!(self.out, "frag={},", text::frag(number, 3));
        } else if mask & 3 != 0 {
            put!(self.out, "error: partial mask not supported for frag ({}),", text::hex((mask & 3).into()));
        }
    }
}

/// Datapath keys print a masked decimal's value in decimal, unlike matches.
trait ReplaceDecimal {
    fn replace_decimal(self, number: u64) -> String;
}

impl ReplaceDecimal for String {
    fn replace_decimal(self, number: u64) -> String {
        match self.split_once('/') {
            Some((_, mask)) => format!("{number}/{mask}"),
            None => self,
        }
    }
}

struct Printer<'a> {
    out: String,
    key: &'a Key,
    mask: &'a Mask,
    masked: bool,
    verbose: bool,
}

impl Printer<'_> {
    fn open(&mut self, name: &str) {
        if !self.out.is_empty() && !self.out.ends_with('(') {
            self.out.push(',');
        }
        put!(self.out, "{name}(");
    }

    fn close(&mut self) {
        if self.out.ends_with(',') {
            self.out.pop();
        }
        self.out.push(')');
    }

    /// One group, printed if it is not `wild`.
    fn group(&mut self, name: &str, wild: bool, fill: impl FnOnce(&mut Fields<'_>, &Key, &Mask)) {
        if wild && !self.verbose {
            return;
        }
        self.open(name);
        let (key, mask) = (self.key, self.mask);
        fill(&mut Fields { out: &mut self.out, verbose: self.verbose }, key, mask);
        self.close();
    }

    /// A group of one hexadecimal number.
    fn number(&mut self, name: &str, number: u128, mask: u128, exact: u128) {
        if mask == 0 && !self.verbose {
            return;
        }
        self.open(name);
        self.out.push_str(&text::hex_masked(number, mask, exact));
        self.close();
    }

    fn number32(&mut self, name: &str, number: u32, mask: u32) {
        self.number(name, number.into(), mask.into(), u32::MAX.into());
    }

    fn metadata(&mut self, ports: Option<&dyn PortNames>) {
        let (key, mask) = (self.key, self.mask);
        self.number32("skb_priority", key.skb_priority(), mask.skb_priority());
        if tunnel::is_set(key) {
            self.open("tunnel");
            tunnel::format(&mut self.out, key, self.masked.then_some(mask), self.verbose);
            self.close();
        }
        self.number32("skb_mark", key.pkt_mark(), mask.pkt_mark());
        self.ct_state();
        self.number("ct_zone", key.ct_zone().into(), mask.ct_zone().into(), u16::MAX.into());
        self.number32("ct_mark", key.ct_mark(), mask.ct_mark());
        self.number("ct_label", key.ct_label(), mask.ct_label(), u128::MAX);
        self.ct_tuple();
        self.number32("recirc_id", key.recirc_id(), mask.recirc_id());
        self.number32("dp_hash", key.dp_hash(), mask.dp_hash());
        match mask.in_port() {
            u32::MAX => {
                if key.in_port() != u32::MAX {
                    self.open("in_port");
                    self.out.push_str(&super::port(key.in_port(), ports));
                    self.close();
                }
            }
            0 if !self.verbose => {}
            m => {
                self.open("in_port");
                put!(self.out, "{}/{}", key.in_port(), text::hex(m.into()));
                self.close();
            }
        }
        let wild = mask.packet_type() == 0;
        self.group("packet_type", wild, packet_type);
    }

    fn ct_state(&mut self) {
        let (state, mask) = (u32::from(self.key.ct_state()), u32::from(self.mask.ct_state()));
        if self.verbose {
            // The field has 32 bits in the datapath, of which a mask of the switch's has 8.
            self.number("ct_state", state.into(), mask.into(), if self.masked { u32::MAX.into() } else { 0xff });
        } else if mask != 0 {
            self.open("ct_state");
            // A key alone lists its states; a masked one says of each whether it must be set.
            let exact = if self.masked { u32::MAX } else { mask };
            self.out.push_str(&text::flags_masked(state, mask, exact, text::CT_STATE));
            self.close();
        }
    }

    fn ct_tuple(&mut self) {
        if self.key.ct_nw_proto() == 0 {
            return;
        }
        let mask = self.mask;
        let ports_wild = mask.ct_nw_proto() == 0 && mask.ct_tp_src() == 0 && mask.ct_tp_dst() == 0;
        match self.key.dl_type() {
            et::IPV4 => {
                let wild = ports_wild && mask.ct_nw_src() == 0 && mask.ct_nw_dst() == 0;
                self.group("ct_tuple4", wild, ct_tuple4);
            }
            et::IPV6 => {
                let wild = ports_wild && mask.ct_ipv6_src() == 0 && mask.ct_ipv6_dst() == 0;
                self.group("ct_tuple6", wild, ct_tuple6);
            }
            _ => {}
        }
    }

    fn frame(&mut self) {
        let (key, mask) = (self.key, self.mask);
        let mut depth = 0;
        let mut truncated = false;
        if key.packet_type() == 0 {
            let wild = mask.dl_src() == 0 && mask.dl_dst() == 0;
            if wild && !self.verbose && mask.packet_type() == 0 {
                // That it is a frame shows nowhere else.
                self.open("eth");
                self.close();
            }
            self.group("eth", wild, eth);
            let tags = [
                (key.vlan_tpid(), key.vlan_tci(), mask.vlan_tci()),
                (key.vlan2_tpid(), key.vlan2_tci(), mask.vlan2_tci()),
            ];
            for (tpid, tci, m) in tags {
                // A tag cut short stands in the type alone. A second one's type may as well be that of a tag beyond the
                // limit, which is what it mostly is.
                let cut = tci == 0 && depth == 0 && matches!(key.dl_type(), et::VLAN | et::QINQ);
                if tci == 0 && !cut {
                    break;
                }
                self.open("eth_type");
                put!(self.out, "0x{:04x}", if cut { key.dl_type() } else { tpid });
                self.close();
                if m != 0 || self.verbose {
                    self.open("vlan");
                    vlan(&mut self.out, tci, m, self.verbose);
                    self.close();
                }
                self.open("encap");
                depth += 1;
                truncated = cut;
                if cut {
                    break;
                }
            }
        }
        // Behind a tag, no type at all says that a frame is none of Ethernet II.
        if !truncated && (depth == 0 || key.dl_type() >= 0x0600) {
            self.layer3();
        }
        for _ in 0..depth {
            self.close();
        }
    }

    fn layer3(&mut self) {
        let (key, mask) = (self.key, self.mask);
        if key.dl_type() < 0x0600 {
            if self.masked {
                // Not an Ethernet II frame: no type to show, but none is what matters.
                if !self.out.is_empty() && !self.out.ends_with('(') {
                    self.out.push(',');
                }
                self.out.push_str("eth_type(0/0xffff)");
            }
            return;
        }
        if mask.dl_type() != 0 || self.verbose {
            self.open("eth_type");
            put!(self.out, "0x{:04x}", key.dl_type());
            if mask.dl_type() != u16::MAX {
                put!(self.out, "/0x{:04x}", mask.dl_type());
            }
            self.close();
        }
        let masks = [mask.nw_proto(), mask.nw_tos(), mask.nw_ttl(), mask.nw_frag() & 3];
        let ip_wild = masks.iter().all(|m| *m == 0);
        match key.dl_type() {
            et::IPV4 => {
                let wild = ip_wild && mask.nw_src() == 0 && mask.nw_dst() == 0;
                self.group("ipv4", wild, ipv4);
            }
            et::IPV6 => {
                let wild = ip_wild && mask.ipv6_src() == 0 && mask.ipv6_dst() == 0 && mask.ipv6_label() == 0;
                self.group("ipv6", wild, ipv6);
            }
            et::ARP | et::RARP => {
                let wild = mask.nw_proto() == 0
                    && (mask.nw_src(), mask.nw_dst()) == (0, 0)
                    && (mask.arp_sha(), mask.arp_tha()) == (0, 0);
                self.group("arp", wild, arp);
            }
            et::MPLS | et::MPLS_MULTICAST => self.mpls(),
            et::NSH => {
                self.open("nsh");
                nsh(&mut self.out, key, mask, self.masked, false);
                self.close();
            }
            _ => {}
        }
        if matches!(key.dl_type(), et::IPV4 | et::IPV6) && key.nw_frag() & crate::nw_frag::LATER == 0 {
            self.transport();
        }
    }

    fn mpls(&mut self) {
        let (key, mask) = (self.key, self.mask);
        let n = label_count(key);
        let entries = [
            (key.mpls_lse0(), mask.mpls_lse0()),
            (key.mpls_lse1(), mask.mpls_lse1()),
            (key.mpls_lse2(), mask.mpls_lse2()),
        ];
        let entries = &entries[..n];
        if entries.iter().all(|(_, m)| *m == 0) && !self.verbose {
            return;
        }
        let exact = entries.iter().all(|(_, m)| *m == u32::MAX);
        self.open("mpls");
        for (lse, m) in entries {
            self.out.push_str(&label(*lse, (!exact).then_some(*m)));
            self.out.push(',');
        }
        self.close();
    }

    fn transport(&mut self) {
        let (key, mask) = (self.key, self.mask);
        let wild = mask.tp_src() == 0 && mask.tp_dst() == 0;
        match (key.dl_type(), key.nw_proto()) {
            (_, 6) => {
                self.group("tcp", wild, ports);
                let flags = u32::from(mask.tcp_flags() & 0xfff);
                let bits = u32::from(key.tcp_flags() & 0xfff);
                let is_there = bits != 0 || self.masked && flags != 0;
                if is_there && (flags != 0 || self.verbose) {
                    self.open("tcp_flags");
                    match flags {
                        0 => self.out.push_str("0/0"),
                        _ => self.out.push_str(&text::flags_masked(bits, flags, 0xfff, text::TCP_FLAGS)),
                    }
                    self.close();
                }
            }
            (_, 17) => self.group("udp", wild, ports),
            (_, 132) => self.group("sctp", wild, ports),
            (et::IPV4, 1) => self.group("icmp", wild, icmp),
            (et::IPV6, 58) => {
                self.group("icmpv6", wild, icmp);
                if key.is_nd() {
                    // The group exists only where type and code are exact.
                    let exact = mask.tp_src() & 0xff == 0xff && mask.tp_dst() & 0xff == 0xff;
                    let none = mask.nd_target() == 0 && mask.arp_sha() == 0 && mask.arp_tha() == 0;
                    self.group("nd", none || !exact, nd);
                }
            }
            _ => {}
        }
    }
}

/// Labels that a key has.
pub(super) fn label_count(key: &Key) -> usize {
    let entries = [key.mpls_lse0(), key.mpls_lse1(), key.mpls_lse2()];
    match entries.iter().position(|e| e & 0x100 != 0) {
        Some(i) => i + 1,
        None => entries.iter().filter(|e| **e != 0).count(),
    }
}

/// One label stack entry.
pub(super) fn label(lse: u32, mask: Option<u32>) -> String {
    let (label, tc, ttl, bos) = (lse >> 12, lse >> 9 & 7, lse & 0xff, lse >> 8 & 1);
    match mask {
        None => format!("label={label},tc={tc},ttl={ttl},bos={bos}"),
        Some(m) => format!(
            "label={label}/0x{:x},tc={tc}/{:x},ttl={ttl}/0x{:x},bos={bos}/{:x}",
            m >> 12,
            m >> 9 & 7,
            m & 0xff,
            m >> 8 & 1
        ),
    }
}

/// The contents of `vlan(…)`.
pub(super) fn vlan(out: &mut String, tci: u16, mask: u16, verbose: bool) {
    let (vid, pcp) = (tci & 0xfff, tci >> 13);
    let (vid_mask, pcp_mask) = (mask & 0xfff, mask >> 13);
    if verbose || vid != 0 || vid_mask != 0 {
        put!(out, "vid={vid}");
        if vid_mask != 0xfff {
            put!(out, "/0x{vid_mask:x}");
        }
        out.push(',');
    }
    if verbose || pcp != 0 || pcp_mask != 0 {
        put!(out, "pcp={pcp}");
        if pcp_mask != 7 {
            put!(out, "/0x{pcp_mask:x}");
        }
        out.push(',');
    }
    if tci & 0x1000 == 0 {
        out.push_str("cfi=0,");
    }
}

/// The contents of `nsh(…)`, of a key or as an action writes them; wildcarded fields never show.
pub(super) fn nsh(out: &mut String, key: &Key, mask: &Mask, masked: bool, is_written: bool) {
    let mut first = true;
    let mut field = |name: &str, value: u32, m: u32, exact: u32, decimal: bool| {
        if m == 0 {
            return;
        }
        if !first {
            out.push(',');
        }
        first = false;
        match (decimal, m == exact) {
            (true, true) => put!(out, "{name}={value}"),
            (true, false) => put!(out, "{name}=0x{value:02x}/0x{m:02x}"),
            (false, true) => put!(out, "{name}=0x{value:x}"),
            (false, false) => put!(out, "{name}=0x{value:x}/0x{m:08x}"),
        };
    };
    field("flags", key.nsh_flags().into(), mask.nsh_flags().into(), 0xff, true);
    field("ttl", key.nsh_ttl().into(), mask.nsh_ttl().into(), 0xff, true);
    field("mdtype", key.nsh_mdtype().into(), mask.nsh_mdtype().into(), 0xff, true);
    field("np", key.nsh_np().into(), mask.nsh_np().into(), 0xff, true);
    field("spi", key.nsh_spi(), mask.nsh_spi(), 0xff_ffff, false);
    field("si", key.nsh_si().into(), mask.nsh_si().into(), 0xff, true);
    if key.nsh_mdtype() == 1 || is_written {
        field("c1", key.nsh_c1(), mask.nsh_c1(), u32::MAX, false);
        field("c2", key.nsh_c2(), mask.nsh_c2(), u32::MAX, false);
        field("c3", key.nsh_c3(), mask.nsh_c3(), u32::MAX, false);
        field("c4", key.nsh_c4(), mask.nsh_c4(), u32::MAX, false);
    } else if masked {
        // Contexts that headers of this form have not are told as zeros that count, as by Open vSwitch.
        ["c1", "c2", "c3", "c4"].into_iter().for_each(|name| field(name, 0, u32::MAX, u32::MAX, false));
    }
}

/// The contents of a group that nothing sets.
pub(super) fn inert(out: &mut String, group: InertGroup, key: &Key, mask: &Mask) {
    let hex = |value: u32, mask: u32| text::hex_masked(value.into(), mask.into(), u32::MAX.into());
    match group {
        InertGroup::InPort => {
            put!(out, "{}", key.in_port());
            if mask.in_port() != u32::MAX {
                put!(out, "/{}", text::hex(mask.in_port().into()));
            }
        }
        InertGroup::EthType => {
            put!(out, "0x{:04x}", key.dl_type());
            if mask.dl_type() != u16::MAX {
                put!(out, "/0x{:04x}", mask.dl_type());
            }
        }
        InertGroup::Vlan => {
            vlan(out, key.vlan_tci(), mask.vlan_tci(), false);
        }
        InertGroup::RecircId => out.push_str(&hex(key.recirc_id(), mask.recirc_id())),
        InertGroup::DpHash => out.push_str(&hex(key.dp_hash(), mask.dp_hash())),
        InertGroup::CtMark => out.push_str(&hex(key.ct_mark(), mask.ct_mark())),
        InertGroup::CtZone => {
            out.push_str(&text::hex_masked(key.ct_zone().into(), mask.ct_zone().into(), u16::MAX.into()));
        }
        InertGroup::CtLabel => out.push_str(&text::hex_masked(key.ct_label(), mask.ct_label(), u128::MAX)),
        InertGroup::CtState => {
            let (state, mask) = (key.ct_state().into(), mask.ct_state().into());
            out.push_str(&text::flags_masked(state, mask, u32::MAX, text::CT_STATE));
        }
        InertGroup::TcpFlags => {
            let (flags, mask) = (u32::from(key.tcp_flags() & 0xfff), u32::from(mask.tcp_flags() & 0xfff));
            out.push_str(&text::flags_masked(flags, mask, 0xfff, text::TCP_FLAGS));
        }
        InertGroup::PacketType => packet_type(&mut Fields::new(out, false), key, mask),
        InertGroup::CtTuple4 => ct_tuple4(&mut Fields::new(out, false), key, mask),
        InertGroup::CtTuple6 => ct_tuple6(&mut Fields::new(out, false), key, mask),
    }
}

pub(super) fn packet_type(f: &mut Fields<'_>, k: &Key, m: &Mask) {
    f.decimal("ns", (k.packet_type() >> 16).into(), (m.packet_type() >> 16).into(), 0xffff);
    f.hex("id", (k.packet_type() & 0xffff).into(), (m.packet_type() & 0xffff).into(), 0xffff);
}

pub(super) fn ct_tuple4(f: &mut Fields<'_>, k: &Key, m: &Mask) {
    f.ipv4("src", k.ct_nw_src(), m.ct_nw_src());
    f.ipv4("dst", k.ct_nw_dst(), m.ct_nw_dst());
    f.decimal("proto", k.ct_nw_proto().into(), m.ct_nw_proto().into(), 0xff);
    f.decimal("tp_src", k.ct_tp_src().into(), m.ct_tp_src().into(), 0xffff);
    f.decimal("tp_dst", k.ct_tp_dst().into(), m.ct_tp_dst().into(), 0xffff);
}

pub(super) fn ct_tuple6(f: &mut Fields<'_>, k: &Key, m: &Mask) {
    f.ipv6("src", k.ct_ipv6_src(), m.ct_ipv6_src());
    f.ipv6("dst", k.ct_ipv6_dst(), m.ct_ipv6_dst());
    f.decimal("proto", k.ct_nw_proto().into(), m.ct_nw_proto().into(), 0xff);
    f.decimal("src_port", k.ct_tp_src().into(), m.ct_tp_src().into(), 0xffff);
    f.decimal("dst_port", k.ct_tp_dst().into(), m.ct_tp_dst().into(), 0xffff);
}

pub(super) fn eth(f: &mut Fields<'_>, k: &Key, m: &Mask) {
    f.mac("src", k.dl_src(), m.dl_src());
    f.mac("dst", k.dl_dst(), m.dl_dst());
}

pub(super) fn ipv4(f: &mut Fields<'_>, k: &Key, m: &Mask) {
    f.ipv4("src", k.nw_src(), m.nw_src());
    f.ipv4("dst", k.nw_dst(), m.nw_dst());
    f.decimal("proto", k.nw_proto().into(), m.nw_proto().into(), 0xff);
    f.hex("tos", k.nw_tos().into(), m.nw_tos().into(), 0xff);
    f.decimal("ttl", k.nw_ttl().into(), m.nw_ttl().into(), 0xff);
    f.frag(k.nw_frag(), m.nw_frag());
}

pub(super) fn ipv6(f: &mut Fields<'_>, k: &Key, m: &Mask) {
    f.ipv6("src", k.ipv6_src(), m.ipv6_src());
    f.ipv6("dst", k.ipv6_dst(), m.ipv6_dst());
    f.hex("label", k.ipv6_label().into(), m.ipv6_label().into(), 0xf_ffff);
    f.decimal("proto", k.nw_proto().into(), m.nw_proto().into(), 0xff);
    f.hex("tclass", k.nw_tos().into(), m.nw_tos().into(), 0xff);
    f.decimal("hlimit", k.nw_ttl().into(), m.nw_ttl().into(), 0xff);
    f.frag(k.nw_frag(), m.nw_frag());
}

pub(super) fn arp(f: &mut Fields<'_>, k: &Key, m: &Mask) {
    f.ipv4("sip", k.nw_src(), m.nw_src());
    f.ipv4("tip", k.nw_dst(), m.nw_dst());
    let op = if m.nw_proto() == 0xff { 0xffff } else { u64::from(m.nw_proto()) };
    // The largest stands for all that are larger.
    let number = if k.nw_proto() == 0xff { 0xffff } else { u64::from(k.nw_proto()) };
    f.decimal("op", number, op, 0xffff);
    f.mac("sha", k.arp_sha(), m.arp_sha());
    f.mac("tha", k.arp_tha(), m.arp_tha());
}

pub(super) fn ports(f: &mut Fields<'_>, k: &Key, m: &Mask) {
    f.decimal("src", k.tp_src().into(), m.tp_src().into(), 0xffff);
    f.decimal("dst", k.tp_dst().into(), m.tp_dst().into(), 0xffff);
}

pub(super) fn icmp(f: &mut Fields<'_>, k: &Key, m: &Mask) {
    f.decimal("type", k.tp_src().into(), m.tp_src().into(), 0xff);
    f.decimal("code", k.tp_dst().into(), m.tp_dst().into(), 0xff);
}

pub(super) fn nd(f: &mut Fields<'_>, k: &Key, m: &Mask) {
    f.ipv6("target", k.nd_target(), m.nd_target());
    f.mac("sll", k.arp_sha(), m.arp_sha());
    f.mac("tll", k.arp_tha(), m.arp_tha());
}

pub(super) fn nd_extensions(f: &mut Fields<'_>, k: &Key, m: &Mask) {
    f.hex("nd_reserved", k.igmp_group().into(), m.igmp_group().into(), 0xffff_ffff);
    f.decimal("nd_options_type", k.tcp_flags().into(), m.tcp_flags().into(), 0xff);
}
