//! Actions as text, as `ovs-ofctl dump-flows` shows them.
//!
//! Source: ovs-actions(7).

use std::fmt::Write;

use flow::field::text as field_text;
use flow::text::{hex, ipv4, ipv6, mac};

use super::decode::REASON_ACTION;
use super::subfield::hex as wide_hex;
use super::*;
use crate::names::Style;

/// Appends formatted text; a `String` never fails.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{ let _ = write!($out, $($arg)*); }};
}

/// Packet-in reasons by number.
const REASONS: [&str; 7] = ["no_match", "action", "invalid_ttl", "action_set", "group", "packet_out", ""];

/// The name of a packet-in reason (OpenFlow 1.4's numbers and Open vSwitch's own).
pub fn reason_name(reason: u8) -> String {
    match REASONS.get(usize::from(reason)) {
        Some(name) => (*name).to_string(),
        // The seventh is never sent, and has no name.
        None if reason == 7 => String::new(),
        None => reason.to_string(),
    }
}

/// The packet-in reason of a name.
pub fn reason_named(name: &str) -> Option<u8> {
    (0..7).find(|r| reason_name(*r).eq_ignore_ascii_case(name))
}

impl HashFields {
    /// As in text.
    pub fn name(self) -> &'static str {
        match self {
            HashFields::EthSrc => "eth_src",
            HashFields::SymmetricL4 => "symmetric_l4",
            HashFields::SymmetricL3L4 => "symmetric_l3l4",
            HashFields::SymmetricL3L4Udp => "symmetric_l3l4+udp",
            HashFields::NwSrc => "nw_src",
            HashFields::NwDst => "nw_dst",
            HashFields::SymmetricL3 => "symmetric_l3",
            HashFields::Unknown(_) => "<unknown>",
        }
    }
}

impl MultipathAlgorithm {
    /// As in text.
    pub fn name(self) -> &'static str {
        match self {
            MultipathAlgorithm::ModuloN => "modulo_n",
            MultipathAlgorithm::HashThreshold => "hash_threshold",
            MultipathAlgorithm::Hrw => "hrw",
            MultipathAlgorithm::IterHash => "iter_hash",
        }
    }
}

/// Actions as text, `drop` for none.
pub fn format(actions: &[Action], style: &Style<'_>) -> String {
    let mut out = String::new();
    write(&mut out, actions, style);
    out
}

/// Appends actions as text, `drop` for none.
pub fn write(out: &mut String, actions: &[Action], style: &Style<'_>) {
    let c = &style.colors;
    if actions.is_empty() {
        put!(out, "{}drop{}", c.drop, c.end);
    }
    for (i, action) in actions.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        Printer { out, style }.action(action);
    }
}

struct Printer<'a> {
    out: &'a mut String,
    style: &'a Style<'a>,
}

impl Printer<'_> {
    fn pieces<const N: usize>(&mut self, pieces: [&str; N]) {
        for piece in pieces {
            self.out.push_str(piece);
        }
    }

    /// `name` without argument.
    fn word(&mut self, name: &str) {
        self.pieces([self.style.colors.value, name, self.style.colors.end]);
    }

    /// `name:argument`.
    fn param(&mut self, name: &str, argument: impl std::fmt::Display) {
        self.pieces([self.style.colors.param, name, ":", self.style.colors.end]);
        put!(self.out, "{argument}");
    }

    /// `name:argument` of actions that decide where the packet goes.
    fn special(&mut self, name: &str, argument: impl std::fmt::Display) {
        self.pieces([self.style.colors.special, name, ":", self.style.colors.end]);
        put!(self.out, "{argument}");
    }

    /// `name(`.
    fn open(&mut self, name: &str) {
        self.pieces([self.style.colors.paren, name, "(", self.style.colors.end]);
    }

    /// `)`, after the last comma is taken back.
    fn close(&mut self) {
        if self.out.ends_with(',') {
            self.out.pop();
        }
        put!(self.out, "{}){}", self.style.colors.paren, self.style.colors.end);
    }

    /// `name=argument,`.
    fn argument(&mut self, name: &str, argument: impl std::fmt::Display) {
        put!(self.out, "{}{name}={}{argument},", self.style.colors.param, self.style.colors.end);
    }

    /// `name,`.
    fn flag(&mut self, name: &str) {
        self.word(name);
        self.out.push(',');
    }

    fn action(&mut self, action: &Action) {
        let names = self.style.names;
        let c = self.style.colors;
        match action {
            Action::Output { port, max_len } => {
                if port.is_physical() {
                    put!(self.out, "{}output:{}", c.special, c.end);
                }
                self.out.push_str(&names.port(*port));
                if *port == OfPort::CONTROLLER {
                    put!(self.out, ":{max_len}");
                }
            }
            Action::OutputReg { src, .. } => self.special("output", src),
            Action::OutputTrunc { port, max_len } => {
                put!(self.out, "{}output{}(port={},max_len={max_len})", c.special, c.end, names.port(*port));
            }
            Action::Group(id) => self.special("group", id),
            Action::Controller(controller) => self.controller(controller),
            Action::Enqueue { port, queue } => self.param("enqueue", format_args!("{}:{queue}", names.port(*port))),
            Action::Bundle(bundle) => self.bundle(bundle),
            Action::SetField(set) => self.set_field(set),
            Action::RegMove { src, dst, .. } => {
                put!(self.out, "{}move:{}{src}{}->{}{dst}", c.special, c.end, c.special, c.end);
            }
            Action::StackPush(sub) => self.param("push", sub),
            Action::StackPop(sub) => self.param("pop", sub),
            Action::DeleteField(field) => self.param("delete_field", field.name()),
            Action::FinTimeout { idle, hard } => {
                self.open("fin_timeout");
                for (name, seconds) in [("idle_timeout", *idle), ("hard_timeout", *hard)] {
                    if seconds != 0 {
                        self.argument(name, seconds);
                    }
                }
                self.close();
            }
            Action::Resubmit(resubmit) => self.resubmit(resubmit),
            Action::Learn(learn) => self.learn(learn),
            Action::Conjunction { id, clause, n_clauses } => {
                self.open("conjunction");
                put!(self.out, "{id},{}/{n_clauses}", clause + 1);
                self.close();
            }
            Action::Multipath(m) => {
                self.open("multipath");
                let (fields, algorithm) = (m.fields.name(), m.algorithm.name());
                put!(self.out, "{fields},{},{algorithm},{},{},{}", m.basis, u32::from(m.max_link) + 1, m.arg, m.dst);
                self.close();
            }
            Action::Note(octets) => self.param("note", dotted(octets)),
            Action::Exit => put!(self.out, "{}exit{}", c.special, c.end),
            Action::Sample(sample) => self.sample(sample),
            Action::UnrollXlate { table, cookie } => {
                self.open("unroll_xlate");
                put!(
                    self.out,
                    "{}table={}{}, {}cookie={}{cookie}",
                    c.special,
                    c.end,
                    names.table(*table),
                    c.param,
                    c.end
                );
                self.close();
            }
            Action::Ct(ct) => self.ct(ct),
            Action::Nat(nat) => self.nat(nat),
            Action::Clone(list) => {
                self.open("clone");
                write(self.out, list, self.style);
                self.close_list();
            }
            Action::WriteActions(list) => {
                self.open("write_actions");
                write(self.out, list, self.style);
                self.close_list();
            }
            Action::Encap(encap) => self.encap(encap),
            Action::Decap { new_packet_type } => {
                self.open("decap");
                if let Some(kind) = new_packet_type {
                    put!(self.out, "packet_type(ns={},type={})", kind >> 16, hex((kind & 0xffff).into()));
                }
                self.close_list();
            }
            Action::GotoTable(table) => self.param("goto_table", names.table(*table)),
            _ => self.plain(action),
        }
    }

    /// Actions that show neither ports nor nested lists.
    fn plain(&mut self, action: &Action) {
        let c = self.style.colors;
        match action {
            Action::SetVlanVid { vid, push_if_needed: true, .. } => self.param("mod_vlan_vid", vid),
            Action::SetVlanVid { vid, .. } => self.param("set_vlan_vid", vid),
            Action::SetVlanPcp { pcp, push_if_needed: true, .. } => self.param("mod_vlan_pcp", pcp),
            Action::SetVlanPcp { pcp, .. } => self.param("set_vlan_pcp", pcp),
            Action::StripVlan { pop } => self.word(if *pop { "pop_vlan" } else { "strip_vlan" }),
            Action::PushVlan { ethertype } => self.param("push_vlan", hex((*ethertype).into())),
            Action::SetEthSrc(address) => self.param("mod_dl_src", mac(*address)),
            Action::SetEthDst(address) => self.param("mod_dl_dst", mac(*address)),
            Action::SetIpv4Src(address) => self.param("mod_nw_src", ipv4(*address)),
            Action::SetIpv4Dst(address) => self.param("mod_nw_dst", ipv4(*address)),
            Action::SetIpDscp(dscp) => self.param("mod_nw_tos", dscp),
            Action::SetIpEcn(ecn) => self.param("mod_nw_ecn", ecn),
            Action::SetIpTtl(ttl) => self.param("mod_nw_ttl", ttl),
            Action::SetL4SrcPort { port, .. } => self.param("mod_tp_src", port),
            Action::SetL4DstPort { port, .. } => self.param("mod_tp_dst", port),
            Action::DecTtl(ids) => {
                put!(self.out, "{}dec_ttl{}", c.paren, c.end);
                if let Some(ids) = ids {
                    let ids: Vec<String> = ids.iter().map(u16::to_string).collect();
                    put!(self.out, "{}({}{}{}){}", c.paren, c.end, ids.join(","), c.paren, c.end);
                }
            }
            Action::SetMplsLabel(label) => self.parenthesized("set_mpls_label", label),
            Action::SetMplsTc(tc) => self.parenthesized("set_mpls_tc", tc),
            Action::SetMplsTtl(ttl) => self.parenthesized("set_mpls_ttl", ttl),
            Action::DecMplsTtl => self.word("dec_mpls_ttl"),
            Action::PushMpls { ethertype } => self.param("push_mpls", format_args!("{ethertype:#06x}")),
            Action::PopMpls { ethertype } => self.param("pop_mpls", format_args!("{ethertype:#06x}")),
            Action::DecNshTtl => put!(self.out, "{}dec_nsh_ttl{}", c.special, c.end),
            Action::SetTunnel { id, wide } => {
                let wide = if *wide || *id > u64::from(u32::MAX) { "64" } else { "" };
                put!(self.out, "{}set_tunnel{wide}:{}{}", c.param, c.end, hex((*id).into()));
            }
            Action::SetQueue(id) => self.param("set_queue", id),
            Action::PopQueue => self.word("pop_queue"),
            Action::CtClear => self.word("ct_clear"),
            Action::CheckPktLarger { len, dst } => {
                put!(self.out, "{}check_pkt_larger({}{len})->{dst}", c.param, c.end);
            }
            Action::DebugRecirc => self.word("debug_recirc"),
            Action::DebugSlow => self.word("debug_slow"),
            Action::Meter(id) => self.param("meter", id),
            Action::ClearActions => self.word("clear_actions"),
            Action::WriteMetadata { metadata, mask } => {
                self.param("write_metadata", hex((*metadata).into()));
                if *mask != u64::MAX {
                    put!(self.out, "/{}", hex((*mask).into()));
                }
            }
            _ => {}
        }
    }

    /// `name(argument)`.
    fn parenthesized(&mut self, name: &str, argument: impl std::fmt::Display) {
        self.open(name);
        put!(self.out, "{argument}");
        self.close();
    }

    /// `)` behind a list whose last comma, if any, is its own.
    fn close_list(&mut self) {
        put!(self.out, "{}){}", self.style.colors.paren, self.style.colors.end);
    }

    fn controller(&mut self, c: &Controller) {
        if c.reason == REASON_ACTION
            && c.controller_id == 0
            && c.userdata.is_empty()
            && !c.pause
            && c.meter_id.is_none()
        {
            self.special("CONTROLLER", c.max_len);
            return;
        }
        self.open("controller");
        if c.reason != REASON_ACTION {
            self.argument("reason", reason_name(c.reason));
        }
        if c.max_len != u16::MAX {
            self.argument("max_len", c.max_len);
        }
        if c.controller_id != 0 {
            self.argument("id", c.controller_id);
        }
        if !c.userdata.is_empty() {
            self.argument("userdata", dotted(&c.userdata));
        }
        if c.pause {
            self.flag("pause");
        }
        if let Some(id) = c.meter_id {
            self.argument("meter_id", id);
        }
        self.close();
    }

    fn bundle(&mut self, bundle: &Bundle) {
        let c = self.style.colors;
        let name = if bundle.dst.is_some() { "bundle_load" } else { "bundle" };
        let algorithm = match bundle.algorithm {
            BundleAlgorithm::ActiveBackup => "active_backup",
            BundleAlgorithm::Hrw => "hrw",
            BundleAlgorithm::Unknown(_) => "<unknown>",
        };
        put!(self.out, "{}{name}({}{},{},{algorithm},ofport,", c.paren, c.end, bundle.fields.name(), bundle.basis);
        if let Some(dst) = &bundle.dst {
            put!(self.out, "{dst},");
        }
        put!(self.out, "{}members:{}", c.param, c.end);
        let ports: Vec<String> = bundle.members.iter().map(|p| self.style.names.port(*p)).collect();
        self.out.push_str(&ports.join(","));
        self.close_list();
    }

    fn set_field(&mut self, set: &SetField) {
        let c = self.style.colors;
        if set.form == SetFieldForm::Load {
            for (i, (dst, number)) in super::set::load_segments(set).into_iter().enumerate() {
                let comma = if i > 0 { "," } else { "" };
                let number = hex(number.into());
                put!(self.out, "{comma}{}load:{}{number}{}->{}{dst}", c.special, c.end, c.special, c.end);
            }
            return;
        }
        let value = field_text::format(set.field, &set.value, Some(&set.mask), self.style.names.ports);
        let field = set.field.name();
        put!(self.out, "{}set_field:{}{value}{}->{}{field}", c.special, c.end, c.special, c.end);
    }

    fn resubmit(&mut self, r: &Resubmit) {
        let names = self.style.names;
        if r.in_port != OfPort::IN_PORT && r.table == 255 {
            self.special("resubmit", names.port(r.in_port));
            return;
        }
        self.open("resubmit");
        if r.in_port != OfPort::IN_PORT {
            self.out.push_str(&names.port(r.in_port));
        }
        self.out.push(',');
        if r.table != 255 {
            self.out.push_str(&names.table(r.table));
        }
        if r.with_ct_orig {
            self.out.push_str(",ct");
        }
        self.close_list();
    }

    fn learn(&mut self, learn: &Learn) {
        let c = self.style.colors;
        put!(self.out, "{}learn({}{}table={}", c.learn, c.end, c.special, c.end);
        self.out.push_str(&self.style.names.table(learn.table));
        let mut pair = |name: &str, value: String, is_default: bool| {
            if !is_default {
                put!(self.out, ",{}{name}={}{value}", c.param, c.end);
            }
        };
        pair("idle_timeout", learn.idle_timeout.to_string(), learn.idle_timeout == 0);
        pair("hard_timeout", learn.hard_timeout.to_string(), learn.hard_timeout == 0);
        pair("fin_idle_timeout", learn.fin_idle_timeout.to_string(), learn.fin_idle_timeout == 0);
        // Here Open vSwitch colours the commas too.
        if learn.fin_hard_timeout != 0 {
            put!(self.out, "{},fin_hard_timeout={}{}", c.param, c.end, learn.fin_hard_timeout);
        }
        if learn.priority != crate::flow_mod::DEFAULT_PRIORITY {
            put!(self.out, "{},priority={}{}", c.special, c.end, learn.priority);
        }
        for (name, set) in [("send_flow_rem", learn.send_flow_rem), ("delete_learned", learn.delete_learned)] {
            if set {
                put!(self.out, ",{}{name}{}", c.value, c.end);
            }
        }
        let mut pair = |name: &str, value: String, is_default: bool| {
            if !is_default {
                put!(self.out, ",{}{name}={}{value}", c.param, c.end);
            }
        };
        pair("cookie", hex(learn.cookie.into()), learn.cookie == 0);
        pair("limit", learn.limit.to_string(), learn.limit == 0);
        pair("result_dst", learn.result_dst.map_or_else(String::new, |d| d.to_string()), learn.result_dst.is_none());
        for spec in &learn.specs {
            self.out.push(',');
            self.learn_spec(spec);
        }
        put!(self.out, "{}){}", c.learn, c.end);
    }

    fn learn_spec(&mut self, spec: &LearnSpec) {
        let c = self.style.colors;
        match (&spec.src, &spec.dst) {
            (LearnSrc::Immediate(octets), LearnDst::Match(dst)) => {
                if dst.is_whole() {
                    let n = usize::from(dst.width);
                    let mut value = flow::field::Value::zeros(n);
                    let used = octets.len().min(n);
                    value.0[n - used..].copy_from_slice(&octets[octets.len() - used..]);
                    let value = field_text::format(dst.field, &value, None, self.style.names.ports);
                    put!(self.out, "{}{}={}{value}", c.param, dst.field.name(), c.end);
                } else {
                    put!(self.out, "{}{dst}={}{}", c.param, c.end, wide_hex(octets));
                }
            }
            (LearnSrc::Field(src), LearnDst::Match(dst)) => {
                put!(self.out, "{}{dst}{}", c.param, c.end);
                if (src.field, src.ofs) != (dst.field, dst.ofs) {
                    put!(self.out, "{}={}{src}", c.param, c.end);
                }
            }
            (LearnSrc::Immediate(octets), LearnDst::Load(dst)) => {
                put!(self.out, "{}load:{}{}{}->{}{dst}", c.special, c.end, wide_hex(octets), c.special, c.end);
            }
            (LearnSrc::Field(src), LearnDst::Load(dst)) => {
                put!(self.out, "{}load:{}{src}{}->{}{dst}", c.special, c.end, c.special, c.end);
            }
            (LearnSrc::Field(src), LearnDst::Output) => self.special("output", src),
            (LearnSrc::Immediate(octets), LearnDst::Output) => self.special("output", wide_hex(octets)),
        }
    }

    fn sample(&mut self, s: &Sample) {
        self.open("sample");
        self.argument("probability", s.probability);
        self.argument("collector_set_id", s.collector_set_id);
        self.argument("obs_domain_id", s.obs_domain_id);
        self.argument("obs_point_id", s.obs_point_id);
        if s.sampling_port != OfPort::NONE {
            self.argument("sampling_port", self.style.names.port(s.sampling_port));
        }
        let direction = match s.direction {
            SampleDirection::Default => None,
            SampleDirection::Ingress => Some("ingress"),
            SampleDirection::Egress => Some("egress"),
        };
        if let Some(name) = direction {
            put!(self.out, "{}{name}{}", self.style.colors.param, self.style.colors.end);
        }
        self.close();
    }

    fn ct(&mut self, ct: &Ct) {
        let c = self.style.colors;
        self.open("ct");
        if ct.commit {
            self.flag("commit");
        }
        if ct.force {
            self.flag("force");
        }
        if let Some(table) = ct.table {
            put!(self.out, "{}table={}{},", c.special, c.end, self.style.names.table(table));
        }
        match &ct.zone {
            CtZone::Imm(0) => {}
            CtZone::Imm(zone) => self.argument("zone", zone),
            CtZone::Field(sub) => self.argument("zone", sub),
        }
        let mut rest = &ct.actions[..];
        if let Some((Action::Nat(nat), others)) = rest.split_first() {
            self.nat(nat);
            self.out.push(',');
            rest = others;
        }
        if !rest.is_empty() {
            self.open("exec");
            write(self.out, rest, self.style);
            put!(self.out, "{}),{}", c.paren, c.end);
        }
        match ct.alg {
            0 => {}
            21 => self.argument("alg", "ftp"),
            69 => self.argument("alg", "tftp"),
            port => self.argument("alg", port),
        }
        self.close();
    }

    fn nat(&mut self, nat: &Nat) {
        let c = self.style.colors;
        put!(self.out, "{}nat{}", c.paren, c.end);
        let Some(direction) = nat.direction else { return };
        let name = if direction == NatDirection::Src { "src" } else { "dst" };
        put!(self.out, "{}({}{}{name}{}", c.paren, c.end, c.param, c.end);
        if let Some((min, max)) = nat.addresses {
            let ports = nat.ports.filter(|(port, _)| *port != 0);
            let show = |address: IpAddr| match address {
                IpAddr::V4(a) => a.to_string(),
                IpAddr::V6(a) if ports.is_some() => format!("[{}]", ipv6(a.into())),
                IpAddr::V6(a) => ipv6(a.into()),
            };
            put!(self.out, "{}={}{}", c.param, c.end, show(min));
            if let Some(max) = max.filter(|max| *max != min && !max.is_unspecified()) {
                put!(self.out, "-{}", show(max));
            }
            if let Some((min, max)) = ports {
                put!(self.out, ":{min}");
                if let Some(max) = max.filter(|max| *max != min && *max != 0) {
                    put!(self.out, "-{max}");
                }
            }
            self.out.push(',');
            for (name, set) in [("persistent", nat.persistent), ("hash", nat.hash), ("random", nat.random)] {
                if set {
                    self.flag(name);
                }
            }
        }
        self.close();
    }

    fn encap(&mut self, encap: &Encap) {
        self.open("encap");
        self.out.push_str(match encap.new_packet_type {
            0 => "ethernet",
            0x0001_894f => "nsh",
            0x0001_8847 => "mpls",
            0x0001_8848 => "mpls_mc",
            _ => "UNKNOWN",
        });
        if !encap.props.is_empty() {
            self.open("");
            for prop in &encap.props {
                match prop {
                    EncapProp::NshMdType(md_type) => put!(self.out, "md_type={md_type},"),
                    EncapProp::NshTlv { class, kind, len, data } => {
                        let value = data.get(..usize::from(*len)).unwrap_or(data);
                        put!(self.out, "tlv({class:#06x},{kind},{}),", wide_hex(value));
                    }
                }
            }
            self.close();
        }
        self.close_list();
    }
}

/// `00.11.22`.
fn dotted(octets: &[u8]) -> String {
    let octets: Vec<String> = octets.iter().map(|o| format!("{o:02x}")).collect();
    octets.join(".")
}
