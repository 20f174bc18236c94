//! Matches and flows as text: the line that `ovs-ofctl dump-flows` shows of a rule's match, that `ofproto/trace` shows as
//! `Flow:`, `Final flow:` and `Megaflow:`, and that packet-ins show of a packet's headers.
//!
//! A field shows when its mask has bits; which name a header's fields go by depends on the EtherType and protocol.
//! Absent here: cookies, counters, actions. Source: ovs-ofctl(8) "Flow Syntax", ovs-fields(7).

use crate::extract::ethertype as et;
use crate::field::{TunTable, Value};
use crate::key::{REG_WORD, TUN_METADATA_WORD, word};
use crate::text::{self, Colors, PortNames, put};
use crate::{Field, Key, Mask, nw_frag, tun_flag};
use std::fmt::Write;

/// The priority that is not shown.
pub const DEFAULT_PRIORITY: i32 = 32768;

/// How to show.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Shown unless it is the default one; `None` shows nothing.
    pub priority: Option<i32>,
    /// Names to show instead of OpenFlow port numbers.
    pub ports: Option<&'a dyn PortNames>,
    /// Where tunnel options lie; without it they are not shown.
    pub tun: Option<&'a TunTable>,
    /// Escape sequences.
    pub colors: Colors,
}

/// Reads `name=value[/mask]`'s value for a field and adds it to a match. `tun_metadata*` need a table that has them.
pub fn parse_field(
    field: Field,
    s: &str,
    ports: Option<&dyn PortNames>,
    key: &mut Key,
    mask: &mut Mask,
    tun: &TunTable,
) -> Result<(), String> {
    let (value, bits) = crate::field::text::parse(field, s, ports)?;
    if let Field::TunMetadata(_) = field {
        field.set_mask_in(mask, &bits, tun);
        field.set_in(key, &value.and(&bits), tun);
        key.apply(mask);
    } else {
        field.constrain(key, mask, &value, &bits);
    }
    Ok(())
}

/// A match as text; empty if it matches everything.
pub fn format(key: &Key, mask: &Mask, options: &Options<'_>) -> String {
    let mut out = String::with_capacity(80);
    write(&mut out, key, mask, options);
    out
}

/// Appends what [`format()`] gives.
pub fn write(out: &mut String, key: &Key, mask: &Mask, options: &Options<'_>) {
    let start = out.len();
    let mut line = Line { out, key, mask, options, dl_type: key.dl_type(), skip_proto: false };
    if let Some(priority) = &options.priority.filter(|p| *p != DEFAULT_PRIORITY) {
        let Colors { special, end, .. } = options.colors;
        for piece in [special, "priority=", end] {
            line.out.push_str(piece);
        }
        match u64::try_from(*priority) {
            Ok(priority) => text::push_decimal(line.out, priority),
            Err(_) => put!(line.out, "{priority}"),
        }
        line.out.push(',');
    }
    line.metadata();
    line.connection();
    line.packet_type();
    let skip_type = line.shorthand();
    for i in 0..16 {
        let (word, shift) = (REG_WORD + i / 2, if i % 2 == 0 { 32 } else { 0 });
        let (value, m) = ((key.0[word] >> shift) as u32, (mask.0[word] >> shift) as u32);
        if m == 0 {
            continue;
        }
        line.hex(&std::format!("reg{i}"), value.into(), m.into(), u32::MAX.into());
    }
    line.tunnel();
    line.hex("metadata", key.metadata().into(), mask.metadata().into(), u64::MAX.into());
    if mask.in_port() != 0 {
        line.param("in_port", &text::ofp_port(key.in_port(), options.ports));
    }
    line.vlans();
    line.mac("dl_src", key.dl_src(), mask.dl_src());
    line.mac("dl_dst", key.dl_dst(), mask.dl_dst());
    if !skip_type && mask.dl_type() != 0 {
        line.param("dl_type", &std::format!("0x{:04x}", key.dl_type()));
    }
    line.network();
    line.mpls();
    line.fragment();
    line.transport();
    if out.len() > start && out.ends_with(',') {
        out.pop();
    }
}

/// The fields that a packet has, as text: what [`Mask::for_packet`] names, without metadata that is zero.
pub fn format_flow(key: &Key, options: &Options<'_>) -> String {
    let mut mask = Mask::for_packet(key);
    mask.set_metadata(u64::MAX);
    (0..16).for_each(|i| mask.set_reg(i, u32::MAX));
    for field in [
        Field::InPortOxm,
        Field::SkbPriority,
        Field::PktMark,
        Field::RecircId,
        Field::DpHash,
        Field::CtState,
        Field::CtZone,
        Field::CtMark,
        Field::CtLabel,
        Field::Metadata,
    ] {
        if field.number(key) == 0 {
            clear(&mut mask, field);
        }
    }
    if key.ct_nw_proto() == 0 || key.ct_state() & crate::ct_state::TRK == 0 {
        for field in [Field::CtNwProto, Field::CtTpSrc, Field::CtTpDst] {
            clear(&mut mask, field);
        }
        let addresses = match key.dl_type() {
            et::IPV4 => [Field::CtNwSrc, Field::CtNwDst],
            _ => [Field::CtIpv6Src, Field::CtIpv6Dst],
        };
        if matches!(key.dl_type(), et::IPV4 | et::IPV6) {
            addresses.into_iter().for_each(|f| clear(&mut mask, f));
        }
    }
    for i in (0..16).filter(|i| key.reg(*i) == 0) {
        mask.set_reg(i, 0);
    }
    format(key, &mask, options)
}

/// A packet's octets as text, with a new line: its flow and its transport checksum. `packet_type` is 0 for Ethernet.
pub fn packet_line(octets: &[u8], packet_type: u32) -> String {
    let mut metadata = Key::EMPTY;
    metadata.set_packet_type(packet_type);
    let (key, layers) = crate::extract_with(octets, &metadata, crate::extract::MAX_VLANS);
    let mut line = format_flow(&key, &Options::default());
    let end = octets.len().saturating_sub(layers.l2_pad.into());
    let l4 = octets.get(layers.l4.into()..end).unwrap_or(&[]);
    let (name, min_len, at, len) = match key.nw_proto() {
        6 => ("tcp", 20, 16, 2),
        17 => ("udp", 8, 6, 2),
        132 => ("sctp", 12, 8, 4),
        1 => ("icmp", 8, 2, 2),
        58 => ("icmp6", 8, 2, 2),
        _ => ("", usize::MAX, 0, 0),
    };
    if l4.len() >= min_len {
        let csum = l4[at..at + len].iter().fold(0u32, |n, o| n << 8 | u32::from(*o));
        put!(line, " {name}_csum:{csum:x}");
    }
    line.push('\n');
    line
}

fn clear(mask: &mut Mask, field: Field) {
    field.set_mask(mask, &Value::zeros(field.meta().n_bytes.into()));
}

struct Line<'a> {
    out: &'a mut String,
    key: &'a Key,
    mask: &'a Mask,
    options: &'a Options<'a>,
    /// EtherType that names fields.
    dl_type: u16,
    skip_proto: bool,
}

impl Line<'_> {
    fn param(&mut self, name: &str, value: &str) {
        let Colors { param, end, .. } = self.options.colors;
        for piece in [param, name, "=", end, value, ","] {
            self.out.push_str(piece);
        }
    }

    /// `name=0x…`, with a mask unless it is `exact`.
    fn hex(&mut self, name: &str, value: u128, mask: u128, exact: u128) {
        if mask != 0 {
            self.param(name, &text::hex_masked(value, mask, exact));
        }
    }

    /// `name=decimal`, or hexadecimal with a mask.
    fn decimal(&mut self, name: &str, value: u128, mask: u128, exact: u128) {
        if mask != 0 {
            self.param(name, &text::decimal_masked(value, mask, exact));
        }
    }

    fn decimal16(&mut self, name: &str, value: u16, mask: u16) {
        if mask != 0 && value == 0 && mask != u16::MAX {
            // Unlike wider numbers, a zero keeps its prefix.
            return self.param(name, &std::format!("0x0/{mask:#x}"));
        }
        self.decimal(name, value.into(), mask.into(), u16::MAX.into());
    }

    fn decimal32(&mut self, name: &str, value: u32, mask: u32) {
        self.decimal(name, value.into(), mask.into(), u32::MAX.into());
    }

    /// Decimal, or hexadecimal in full width beside a mask.
    fn entry32(&mut self, name: &str, value: u32, mask: u32) {
        match mask {
            0 => {}
            u32::MAX => self.param(name, &value.to_string()),
            _ => self.param(name, &format!("{value:#010x}/{mask:#010x}")),
        }
    }

    fn mac(&mut self, name: &str, value: u64, mask: u64) {
        if mask != 0 {
            self.param(name, &text::mac_masked(value, mask));
        }
    }

    fn ipv4(&mut self, name: &str, value: u32, mask: u32) {
        if mask != 0 {
            self.param(name, &text::ipv4_masked(value, mask));
        }
    }

    fn ipv6(&mut self, name: &str, value: u128, mask: u128) {
        if mask != 0 {
            self.param(name, &text::ipv6_masked(value, mask));
        }
    }

    /// A name that says it all.
    fn word(&mut self, word: &str) {
        let Colors { value, end, .. } = self.options.colors;
        for piece in [value, word, end, ","] {
            self.out.push_str(piece);
        }
    }

    fn metadata(&mut self) {
        let (key, mask) = (self.key, self.mask);
        let all = u128::from(u32::MAX);
        self.hex("pkt_mark", key.pkt_mark().into(), mask.pkt_mark().into(), all);
        self.hex("recirc_id", key.recirc_id().into(), mask.recirc_id().into(), all);
        self.hex("dp_hash", key.dp_hash().into(), mask.dp_hash().into(), all);
        if mask.conj_id() != 0 {
            let Colors { param, end, .. } = self.options.colors;
            put!(self.out, "{param}conj_id{end}={},", key.conj_id());
        }
        if mask.skb_priority() != 0 {
            self.param("skb_priority", &text::hex(key.skb_priority().into()));
        }
        if mask.actset_output() != 0 {
            self.param("actset_output", &text::ofp_port(key.actset_output(), self.options.ports));
        }
    }

    fn connection(&mut self) {
        let (key, mask) = (self.key, self.mask);
        if mask.ct_state() != 0 {
            let state = text::flags_masked(key.ct_state().into(), mask.ct_state().into(), 0xff, text::CT_STATE);
            self.param("ct_state", &state);
        }
        self.decimal16("ct_zone", key.ct_zone(), mask.ct_zone());
        self.hex("ct_mark", key.ct_mark().into(), mask.ct_mark().into(), u32::MAX.into());
        self.hex("ct_label", key.ct_label(), mask.ct_label(), u128::MAX);
        self.ipv4("ct_nw_src", key.ct_nw_src(), mask.ct_nw_src());
        self.ipv6("ct_ipv6_src", key.ct_ipv6_src(), mask.ct_ipv6_src());
        self.ipv4("ct_nw_dst", key.ct_nw_dst(), mask.ct_nw_dst());
        self.ipv6("ct_ipv6_dst", key.ct_ipv6_dst(), mask.ct_ipv6_dst());
        if mask.ct_nw_proto() != 0 {
            self.param("ct_nw_proto", &key.ct_nw_proto().to_string());
            self.decimal16("ct_tp_src", key.ct_tp_src(), mask.ct_tp_src());
            self.decimal16("ct_tp_dst", key.ct_tp_dst(), mask.ct_tp_dst());
        }
    }

    /// Ethernet goes without saying, except where a recirculation identifier tells that this is a cached flow.
    fn packet_type(&mut self) {
        let (key, mask) = (self.key, self.mask);
        if mask.packet_type() == 0 || (key.packet_type() == 0 && mask.recirc_id() == 0) {
            return;
        }
        if key.packet_type() == 0 && mask.packet_type() == u32::MAX {
            self.out.push_str("eth,");
            return;
        }
        let number = |n: u32| if n < 10 { n.to_string() } else { text::hex(n.into()) };
        let (ns, kind) = (number(key.packet_type() >> 16), number(key.packet_type() & 0xffff));
        put!(self.out, "packet_type=({ns},{kind}),");
        if key.packet_type() >> 16 == 1 {
            self.dl_type = key.packet_type() as u16;
        }
    }

    /// The name of type and protocol, if they have one; whether the type is said.
    fn shorthand(&mut self) -> bool {
        if self.mask.dl_type() == 0 {
            return false;
        }
        let proto = if self.mask.nw_proto() != 0 { Some(self.key.nw_proto()) } else { None };
        let (word, says_proto) = match (self.dl_type, proto) {
            (et::IPV4, Some(1)) => ("icmp", true),
            (et::IPV4, Some(6)) => ("tcp", true),
            (et::IPV4, Some(17)) => ("udp", true),
            (et::IPV4, Some(132)) => ("sctp", true),
            (et::IPV4, _) => ("ip", false),
            (et::IPV6, Some(58)) => ("icmp6", true),
            (et::IPV6, Some(6)) => ("tcp6", true),
            (et::IPV6, Some(17)) => ("udp6", true),
            (et::IPV6, Some(132)) => ("sctp6", true),
            (et::IPV6, _) => ("ipv6", false),
            (et::ARP, _) => ("arp", false),
            (et::RARP, _) => ("rarp", false),
            (et::MPLS, _) => ("mpls", false),
            (et::MPLS_MULTICAST, _) => ("mplsm", false),
            _ => return false,
        };
        self.word(word);
        self.skip_proto = says_proto;
        true
    }

    fn tunnel(&mut self) {
        let (key, mask) = (self.key, self.mask);
        self.hex("tun_id", key.tun_id().into(), mask.tun_id().into(), u64::MAX.into());
        self.ipv4("tun_src", key.tun_src(), mask.tun_src());
        self.ipv4("tun_dst", key.tun_dst(), mask.tun_dst());
        self.ipv6("tun_ipv6_src", key.tun_ipv6_src(), mask.tun_ipv6_src());
        self.ipv6("tun_ipv6_dst", key.tun_ipv6_dst(), mask.tun_ipv6_dst());
        self.decimal16("tun_gbp_id", key.tun_gbp_id(), mask.tun_gbp_id());
        if mask.tun_gbp_flags() != 0 {
            put!(self.out, "tun_gbp_flags={},", text::hex(key.tun_gbp_flags().into()));
        }
        if mask.tun_tos() != 0 {
            put!(self.out, "tun_tos={:x},", key.tun_tos());
        }
        if mask.tun_ttl() != 0 {
            put!(self.out, "tun_ttl={},", key.tun_ttl());
        }
        let version = key.tun_erspan_ver();
        if mask.tun_erspan_ver() != 0 {
            put!(self.out, "tun_erspan_ver={version},");
        }
        if mask.tun_erspan_idx() != 0 && version == 1 {
            put!(self.out, "tun_erspan_idx={},", text::hex(key.tun_erspan_idx().into()));
        }
        if mask.tun_erspan_dir() != 0 && version == 2 {
            put!(self.out, "tun_erspan_dir={},", key.tun_erspan_dir());
        }
        if mask.tun_erspan_hwid() != 0 && version == 2 {
            put!(self.out, "tun_erspan_hwid={},", text::hex(key.tun_erspan_hwid().into()));
        }
        if mask.tun_gtpu_flags() != 0 {
            put!(self.out, "gtpu_flags={},", text::hex(key.tun_gtpu_flags().into()));
        }
        if mask.tun_gtpu_msgtype() != 0 {
            put!(self.out, "gtpu_msgtype={},", key.tun_gtpu_msgtype());
        }
        let (bits, flags) = (text::tun_flags_to_text(key.tun_flags()), text::tun_flags_to_text(mask.tun_flags()));
        if flags != 0 {
            self.param("tun_flags", &text::flags_masked(bits, flags, 0xf, text::TUN_FLAGS));
        }
        self.tunnel_options();
    }

    fn tunnel_options(&mut self) {
        let Some(table) = self.options.tun else { return };
        let present = self.mask.tun_metadata_present();
        for (i, entry) in table.entries().filter(|(i, _)| present >> (i & 63) & 1 == 1) {
            let field = Field::TunMetadata(i);
            let (value, mask) = (field.get_in(self.key, table), field.mask_in(self.mask, table));
            if self.key.tun_metadata_present() >> (i & 63) & 1 == 0 {
                // What matters is that the option is not there.
                self.param(field.name(), "NP");
            } else if entry.len == 0 && !entry.masked {
                self.param(field.name(), "0");
            } else if mask.is_zero() {
                let Colors { param, end, .. } = self.options.colors;
                put!(self.out, "{param}tun_metadata{i}{end},");
            } else {
                self.param(field.name(), &crate::field::text::format(field, &value, Some(&mask), None));
            }
        }
    }

    fn vlans(&mut self) {
        let (key, mask) = (self.key, self.mask);
        let tags = [("", key.vlan_tci(), mask.vlan_tci()), ("1", key.vlan2_tci(), mask.vlan2_tci())];
        for (i, tci, m) in tags {
            if m == 0 {
                break;
            }
            let (vid, pcp) = (m & 0x0fff, m & 0xe000);
            let whole = matches!(vid, 0 | 0x0fff) && matches!(pcp, 0 | 0xe000) && m & 0xefff != 0;
            if m & tci & 0x1000 != 0 && whole {
                if vid != 0 {
                    self.param(&std::format!("dl_vlan{i}"), &(tci & 0x0fff).to_string());
                }
                if pcp != 0 {
                    self.param(&std::format!("dl_vlan_pcp{i}"), &(tci >> 13).to_string());
                }
            } else if m == 0xffff {
                self.param(&std::format!("vlan_tci{i}"), &std::format!("0x{tci:04x}"));
            } else {
                self.param(&std::format!("vlan_tci{i}"), &std::format!("0x{tci:04x}/0x{m:04x}"));
            }
        }
    }

    fn network(&mut self) {
        let (key, mask) = (self.key, self.mask);
        let is_arp = matches!(self.dl_type, et::ARP | et::RARP);
        match self.dl_type {
            et::IPV6 => {
                self.ipv6("ipv6_src", key.ipv6_src(), mask.ipv6_src());
                self.ipv6("ipv6_dst", key.ipv6_dst(), mask.ipv6_dst());
                let (label, m) = (key.ipv6_label(), mask.ipv6_label());
                if m == u32::MAX {
                    self.param("ipv6_label", &std::format!("0x{label:05x}"));
                } else if m != 0 {
                    self.param("ipv6_label", &std::format!("0x{label:05x}/0x{m:05x}"));
                }
            }
            et::ARP | et::RARP => {
                self.ipv4("arp_spa", key.nw_src(), mask.nw_src());
                self.ipv4("arp_tpa", key.nw_dst(), mask.nw_dst());
            }
            et::NSH => self.nsh(),
            _ => {
                self.ipv4("nw_src", key.nw_src(), mask.nw_src());
                self.ipv4("nw_dst", key.nw_dst(), mask.nw_dst());
            }
        }
        if !self.skip_proto && mask.nw_proto() != 0 {
            self.param(if is_arp { "arp_op" } else { "nw_proto" }, &key.nw_proto().to_string());
        }
        if is_arp {
            self.mac("arp_sha", key.arp_sha(), mask.arp_sha());
            self.mac("arp_tha", key.arp_tha(), mask.arp_tha());
        }
        if mask.nw_tos() & 0xfc != 0 {
            self.param("nw_tos", &(key.nw_tos() & 0xfc).to_string());
        }
        if mask.nw_tos() & 3 != 0 {
            self.param("nw_ecn", &(key.nw_tos() & 3).to_string());
        }
        if mask.nw_ttl() != 0 {
            self.param("nw_ttl", &key.nw_ttl().to_string());
        }
    }

    fn nsh(&mut self) {
        let (key, mask) = (self.key, self.mask);
        let small = u128::from(u8::MAX);
        match mask.nsh_flags() {
            0 => {}
            u8::MAX => self.param("nsh_flags", &key.nsh_flags().to_string()),
            bits => self.param("nsh_flags", &std::format!("{:#04x}/{bits:#04x}", key.nsh_flags())),
        }
        self.decimal("nsh_ttl", key.nsh_ttl().into(), mask.nsh_ttl().into(), small);
        self.decimal("nsh_mdtype", key.nsh_mdtype().into(), mask.nsh_mdtype().into(), small);
        self.decimal("nsh_np", key.nsh_np().into(), mask.nsh_np().into(), small);
        self.padded("nsh_spi", key.nsh_spi(), mask.nsh_spi(), 0xff_ffff);
        self.decimal("nsh_si", key.nsh_si().into(), mask.nsh_si().into(), small);
        if key.nsh_mdtype() == 1 {
            self.padded("nsh_c1", key.nsh_c1(), mask.nsh_c1(), u32::MAX);
            self.padded("nsh_c2", key.nsh_c2(), mask.nsh_c2(), u32::MAX);
            self.padded("nsh_c3", key.nsh_c3(), mask.nsh_c3(), u32::MAX);
            self.padded("nsh_c4", key.nsh_c4(), mask.nsh_c4(), u32::MAX);
        }
    }

    /// Hexadecimal that shows its prefix even for 0.
    fn padded(&mut self, name: &str, value: u32, mask: u32, exact: u32) {
        if mask == exact {
            self.param(name, &std::format!("0x{value:x}"));
        } else if mask != 0 {
            self.param(name, &std::format!("0x{value:x}/0x{mask:x}"));
        }
    }

    fn mpls(&mut self) {
        let (key, mask) = (self.key, self.mask);
        let (lse, m) = (key.mpls_lse0(), mask.mpls_lse0());
        if m >> 12 != 0 {
            self.param("mpls_label", &(lse >> 12).to_string());
        }
        if m >> 9 & 7 != 0 {
            self.param("mpls_tc", &(lse >> 9 & 7).to_string());
        }
        if m & 0xff != 0 {
            self.param("mpls_ttl", &(lse & 0xff).to_string());
        }
        if m & 0x100 != 0 {
            self.param("mpls_bos", &(lse >> 8 & 1).to_string());
        }
        self.entry32("mpls_lse1", key.mpls_lse1(), mask.mpls_lse1());
        self.entry32("mpls_lse2", key.mpls_lse2(), mask.mpls_lse2());
    }

    fn fragment(&mut self) {
        let mask = self.mask.nw_frag() & (nw_frag::ANY | nw_frag::LATER);
        if mask != 0 {
            self.param("nw_frag", text::frag(self.key.nw_frag(), mask));
        }
    }

    fn transport(&mut self) {
        let (key, mask) = (self.key, self.mask);
        let (source, destination) = match (self.dl_type, key.nw_proto()) {
            (et::IPV4, 1) | (et::IPV6, 58) => ("icmp_type", "icmp_code"),
            _ => ("tp_src", "tp_dst"),
        };
        self.decimal16(source, key.tp_src(), mask.tp_src());
        self.decimal16(destination, key.tp_dst(), mask.tp_dst());
        if (self.dl_type, key.nw_proto()) == (et::IPV6, 58) {
            self.ipv6("nd_target", key.nd_target(), mask.nd_target());
            self.mac("nd_sll", key.arp_sha(), mask.arp_sha());
            self.mac("nd_tll", key.arp_tha(), mask.arp_tha());
            self.decimal32("nd_reserved", key.igmp_group(), mask.igmp_group());
            self.decimal16("nd_options_type", key.tcp_flags(), mask.tcp_flags());
        }
        let is_ip = matches!(self.dl_type, et::IPV4 | et::IPV6);
        let flags = mask.tcp_flags() & 0xfff;
        if is_ip && key.nw_proto() == 6 && flags != 0 {
            let bits = u32::from(key.tcp_flags() & 0xfff);
            self.param("tcp_flags", &text::flags_masked(bits, flags.into(), 0xfff, text::TCP_FLAGS));
        }
    }
}

impl Mask {
    /// The mask of all fields that a packet with this key has. Registers, `metadata`, `conj_id` and `actset_output` are
    /// not among them.
    pub fn for_packet(key: &Key) -> Mask {
        let mut mask = Mask::EMPTY;
        mask.cover_tunnel(key);
        mask.set_skb_priority(u32::MAX);
        mask.set_pkt_mark(u32::MAX);
        mask.set_dp_hash(u32::MAX);
        mask.set_in_port(u32::MAX);
        mask.set_recirc_id(u32::MAX);
        mask.set_ct_zone(u16::MAX);
        mask.set_ct_state(u8::MAX);
        mask.set_ct_mark(u32::MAX);
        mask.set_ct_label(u128::MAX);
        mask.set_packet_type(u32::MAX);
        if key.packet_type() == 0 {
            mask.set_dl_dst(u64::MAX);
            mask.set_dl_type(u16::MAX);
            mask.set_dl_src(u64::MAX);
            mask.set_vlan_tpid(u16::MAX);
            mask.set_vlan_tci(u16::MAX);
            if key.vlan_tci() != 0 {
                mask.set_vlan2_tpid(u16::MAX);
                mask.set_vlan2_tci(u16::MAX);
            }
        }
        mask.cover_network(key);
        mask
    }

    fn cover_tunnel(&mut self, key: &Key) {
        if key.tun_dst() == 0 && key.tun_ipv6_dst() == 0 {
            if key.tun_id() != 0 {
                self.set_tun_id(u64::MAX);
            }
            return;
        }
        if key.tun_flags() & tun_flag::KEY != 0 {
            self.set_tun_id(u64::MAX);
        }
        self.0[1..9].fill(u64::MAX);
        self.set_tun_metadata_present(key.tun_metadata_present());
        if key.tun_metadata_present() != 0 {
            self.0[TUN_METADATA_WORD..TUN_METADATA_WORD + 32].fill(u64::MAX);
        }
    }

    fn cover_network(&mut self, key: &Key) {
        let dl_type = key.network_type();
        match dl_type {
            et::IPV4 => {
                self.0[word::NW] = u64::MAX;
                self.0[word::CT_NW] = u64::MAX;
            }
            et::IPV6 => {
                self.0[word::IPV6_SRC..word::IPV6_SRC + 4].fill(u64::MAX);
                self.set_ipv6_label(u32::MAX);
                if key.is_nd() {
                    self.set_arp_sha(u64::MAX);
                    self.set_arp_tha(u64::MAX);
                    self.set_nd_target(u128::MAX);
                } else {
                    self.0[word::CT_IPV6..word::CT_IPV6 + 4].fill(u64::MAX);
                }
            }
            et::ARP | et::RARP => {
                self.0[word::NW] = u64::MAX;
                self.set_nw_proto(u8::MAX);
                self.set_arp_sha(u64::MAX);
                self.set_arp_tha(u64::MAX);
                return;
            }
            et::MPLS | et::MPLS_MULTICAST => {
                self.set_mpls_lse0(u32::MAX);
                if key.mpls_lse0() & 0x100 == 0 {
                    self.set_mpls_lse1(u32::MAX);
                    if key.mpls_lse1() & 0x100 == 0 {
                        self.set_mpls_lse2(u32::MAX);
                    }
                }
                return;
            }
            et::NSH if key.dl_type() == et::NSH => {
                self.0[79] = u64::MAX;
                if key.nsh_mdtype() == 1 {
                    self.0[80..82].fill(u64::MAX);
                }
            }
            _ => return,
        }
        self.set_nw_frag(u8::MAX);
        self.set_nw_tos(u8::MAX);
        self.set_nw_ttl(u8::MAX);
        self.set_nw_proto(u8::MAX);
        self.set_ct_nw_proto(u8::MAX);
        self.set_ct_tp_src(u16::MAX);
        self.set_ct_tp_dst(u16::MAX);
        // Later fragments show no ports, but 3.1 shows their ICMPv6 type.
        let is_whole = key.nw_frag() & nw_frag::LATER == 0 || (dl_type, key.nw_proto()) == (et::IPV6, 58);
        if is_whole && matches!(key.nw_proto(), 1 | 2 | 6 | 17 | 58 | 132) {
            self.set_tp_src(u16::MAX);
            self.set_tp_dst(u16::MAX);
            match key.nw_proto() {
                6 => self.set_tcp_flags(u16::MAX),
                2 => self.set_igmp_group(u32::MAX),
                _ => {}
            }
        }
    }
}

impl Key {
    /// The EtherType of the network layer: of the frame, or of a packet that has none its packet type's.
    pub fn network_type(&self) -> u16 {
        match self.packet_type() {
            0 => self.dl_type(),
            packet_type if packet_type >> 16 == 1 => packet_type as u16,
            _ => et::NONE,
        }
    }

    /// Whether it is a neighbor solicitation or advertisement.
    pub fn is_nd(&self) -> bool {
        let is_icmpv6 = self.network_type() == et::IPV6 && self.nw_proto() == 58;
        is_icmpv6 && self.nw_frag() & nw_frag::LATER == 0 && self.tp_dst() == 0 && matches!(self.tp_src(), 135 | 136)
    }
}
