//! Actions from text, in the syntax of ovs-actions(7) with all its older forms, and with Open vSwitch's error texts.

use flow::field::{Field, Value, text as field_text};

use super::check::{Instruction, verify_list};
use super::parse_learn::parse_learn;
use super::parse_nat::parse_nat;
use super::print::reason_named;
use super::subfield::{parse_field, parse_int};
use super::*;
use crate::names::Names;
use crate::nxm;
use crate::words::{Words, atoi, hex_octets, ip_of, mac_of, u8_of, u16_of, u32_of, u64_of};
use crate::{Protocols, Version};

/// Most octets of actions in a rule.
const MAX_TEXT: usize = 4 << 20;
/// Most actions in a list; more would not fit into a message.
const MAX_ACTIONS: usize = 16384;
/// Deepest nesting in text.
const MAX_TEXT_DEPTH: usize = 100;

pub(super) type Parsed<T = Action> = Result<T, String>;

/// Reads actions and instructions. Returns the protocols that can express them beside them.
///
/// # Errors
/// A text for a user.
pub fn parse_instructions(text: &str, names: Names<'_>) -> Parsed<(Actions, Protocols)> {
    parse_all(text, names, Instruction::ALL)
}

/// Reads actions. Returns the protocols that can express them beside them.
///
/// # Errors
/// A text for a user.
pub fn parse_actions(text: &str, names: Names<'_>) -> Parsed<(Actions, Protocols)> {
    parse_all(text, names, Instruction::APPLY_OR_METER)
}

fn parse_all(text: &str, names: Names<'_>, allowed: u8) -> Parsed<(Actions, Protocols)> {
    let mut parser = Parser { names, usable: Protocols::ANY, depth: 0 };
    let list = parser.list(text, allowed, None)?;
    Ok((list.into(), parser.usable))
}

pub(super) struct Parser<'a> {
    pub(super) names: Names<'a>,
    pub(super) usable: Protocols,
    depth: usize,
}

impl Parser<'_> {
    fn list(&mut self, text: &str, allowed: u8, outer: Option<&'static str>) -> Parsed<Vec<Action>> {
        if self.depth >= MAX_TEXT_DEPTH {
            return Err("Action nested too deeply".to_string());
        }
        if text.len() > MAX_TEXT {
            return Err("input too big".to_string());
        }
        self.depth += 1;
        let mut list = Vec::new();
        let mut drop = false;
        for (key, value) in Words(text) {
            if key.eq_ignore_ascii_case("drop") {
                drop = true;
                continue;
            }
            let action = self.action(key, value)?;
            if matches!(action, Action::Meter(_)) && allowed != Instruction::ALL {
                // Where no instruction may stand, it is the action of 1.5.
                self.usable &= Protocols::OF15_UP;
            }
            list.push(action);
            if list.len() > MAX_ACTIONS {
                return Err("input too big".to_string());
            }
        }
        self.depth -= 1;
        if drop && !list.is_empty() {
            return Err("\"drop\" must not be accompanied by any other action or instruction".to_string());
        }
        verify_list(&list, Version::V11, allowed, outer).map_err(|(_, text)| text)?;
        Ok(list)
    }

    fn action(&mut self, key: &str, value: &str) -> Parsed {
        let lower = key.to_ascii_lowercase();
        match lower.as_str() {
            "output" | "output_reg" => self.output(value),
            "output_trunc" => Err(format!("unknown action {value}")),
            "group" => u32_of(value).map(Action::Group),
            "controller" => controller(value),
            "enqueue" => self.enqueue(value),
            "bundle" => self.bundle(value, false),
            "bundle_load" => self.bundle(value, true),
            "set_field" => self.set_field(value),
            "load" => load(value),
            "move" => parse_move(value).map(|(src, dst)| Action::RegMove { src, dst, onf: false }),
            "push" => stack(value).map(Action::StackPush),
            "pop" => stack(value).map(Action::StackPop),
            "delete_field" => parse_field(value).map(Action::DeleteField),
            "resubmit" => self.resubmit(value),
            "learn" => parse_learn(self, value),
            "multipath" => multipath(value),
            "sample" => self.sample(value),
            "ct" => self.ct(value),
            "nat" => parse_nat(value),
            "clone" => {
                // As in Open vSwitch, what the actions before it ask of a protocol is forgotten.
                self.usable = Protocols::ANY;
                let list = self.list(value, Instruction::APPLY_OR_METER, Some("clone"))?;
                Ok(Action::Clone(list.into()))
            }
            "write_actions" => {
                let list = self.list(value, Instruction::APPLY_OR_METER, Some("write_actions"))?;
                Ok(Action::WriteActions(list.into()))
            }
            "encap" => self.encap(value),
            "decap" => decap(value),
            "meter" => {
                self.usable &= Protocols::OF13_UP;
                u32_of(value).map(Action::Meter)
            }
            "write_metadata" => {
                self.usable &= Protocols::NXM_OXM_ANY | Protocols::OF11_UP;
                let (metadata, mask) = value.split_once('/').unwrap_or((value, ""));
                let mask = if value.contains('/') { u64_of(mask)? } else { u64::MAX };
                Ok(Action::WriteMetadata { metadata: u64_of(metadata)?, mask })
            }
            "goto_table" => match self.names.parse_table(value) {
                Some(table) => Ok(Action::GotoTable(table)),
                None => Err(format!("unknown table \"{value}\"")),
            },
            "push_vlan" => {
                self.usable &= Protocols::OF11_UP;
                let ethertype = u16_of(value, "ethertype")?;
                if !matches!(ethertype, 0x8100 | 0x88a8) {
                    return Err(format!("{value}: not a valid VLAN ethertype"));
                }
                Ok(Action::PushVlan { ethertype })
            }
            "mod_nw_src" => self.ip_of(value).map(Action::SetIpv4Src),
            "mod_nw_dst" => self.ip_of(value).map(Action::SetIpv4Dst),
            "unroll_xlate" => Err("UNROLL is an internal action that shouldn't be used via OpenFlow".to_string()),
            "apply_actions" => Err("apply_actions is the default instruction".to_string()),
            name => simple(name, value).unwrap_or_else(|| match self.names.parse_port(key) {
                Some(port) => Ok(Action::Output { port, max_len: 0 }),
                None => Err(format!("unknown action {key}")),
            }),
        }
    }

    fn ip_of(&self, text: &str) -> Parsed<u32> {
        ip_of(text).inspect_err(|_| {
            if let Some(notes) = self.names.notes {
                notes.err("socket_util", format!("\"{text}\" is not a valid IP address"));
            }
        })
    }

    fn output(&mut self, text: &str) -> Parsed {
        if text.contains("port") && text.contains("max_len") {
            return self.output_trunc(text);
        }
        if let Some(port) = self.names.parse_port(text) {
            let max_len = if port == OfPort::CONTROLLER { u16::MAX } else { 0 };
            return Ok(Action::Output { port, max_len });
        }
        match Subfield::parse(text) {
            Ok(src) => Ok(Action::OutputReg { src, max_len: u16::MAX, long_form: false }),
            Err(_) => Err(format!("{text}: output to unknown port")),
        }
    }

    fn output_trunc(&mut self, text: &str) -> Parsed {
        let (mut port, mut max_len) = (OfPort(0), 0);
        for (key, value) in Words(text) {
            match key {
                "port" => {
                    let unknown = || format!("output to unknown truncate port: {value}");
                    port = self.names.parse_port(value).ok_or_else(unknown)?;
                    if port.0 > crate::port_no::MAX && !matches!(port, OfPort::LOCAL | OfPort::IN_PORT) {
                        return Err(format!("output to unsupported truncate port: {value}"));
                    }
                }
                "max_len" => {
                    max_len = u32_of(value)?;
                    if max_len < 14 {
                        return Err(format!("max_len {max_len} is less than the minimum value 14"));
                    }
                }
                _ => return Err(format!("invalid key '{key}' in output_trunc argument")),
            }
        }
        Ok(Action::OutputTrunc { port, max_len })
    }

    fn enqueue(&mut self, text: &str) -> Parsed {
        let text = text.trim_start_matches([':', 'q', ',']);
        let (port, queue) = text
            .split_once([':', 'q', ','])
            .filter(|(_, queue)| !queue.is_empty())
            .ok_or("\"enqueue\" syntax is \"enqueue:PORT:QUEUE\" or \"enqueue(PORT,QUEUE)\"")?;
        let unknown = || format!("{port}: enqueue to unknown port");
        let port = self.names.parse_port(port).ok_or_else(unknown)?;
        Ok(Action::Enqueue { port, queue: u32_of(queue)? })
    }

    fn bundle(&mut self, text: &str, load: bool) -> Parsed {
        let mut tokens = Tokens(text);
        let mut next = || tokens.next(", ");
        let (fields, basis, algorithm, member_type) = (next(), next(), next(), next());
        let dst = if load { next() } else { None };
        let Some(delimiter) = tokens.next(": ") else {
            return Err(format!("{text}: not enough arguments to bundle action"));
        };
        if !delimiter.eq_ignore_ascii_case("members") && !delimiter.eq_ignore_ascii_case("slaves") {
            return Err(format!("{text}: missing member delimiter, expected `members', got `{delimiter}'"));
        }
        let mut members = Vec::new();
        while let Some(member) = tokens.next(", []") {
            if members.len() >= 2048 {
                break;
            }
            let bad = || format!("{member}: bad port number");
            members.push(self.names.parse_port(member).ok_or_else(bad)?);
        }
        let fields = hash_fields(text, fields.unwrap_or(""))?;
        let algorithm = algorithm.unwrap_or("");
        let algorithm = match algorithm.to_ascii_lowercase().as_str() {
            "hrw" => BundleAlgorithm::Hrw,
            "active_backup" => BundleAlgorithm::ActiveBackup,
            _ => return Err(format!("{text}: unknown algorithm `{algorithm}'")),
        };
        let member_type = member_type.unwrap_or("");
        if !member_type.eq_ignore_ascii_case("ofport") {
            return Err(format!("{text}: unknown member_type `{member_type}'"));
        }
        let dst = match dst {
            Some(dst) => Some(standard_header(text, dst, Subfield::parse(dst)?)?),
            None => None,
        };
        let basis = atoi(basis.unwrap_or("")) as u16;
        Ok(Action::Bundle(Box::new(Bundle { fields, basis, algorithm, dst, members })))
    }

    fn set_field(&mut self, text: &str) -> Parsed {
        let (value_text, key) = split_arrow(text)?;
        let field = Field::by_name(key).ok_or_else(|| format!("{key} is not a valid OXM field name"))?;
        if !field.meta().writable {
            return Err(format!("{key} is read-only"));
        }
        let (value, mask) = self.names.parse_masked(field, value_text)?;
        if !field.is_value_valid(&value) {
            return Err(format!("{value_text} is not a valid value for field {key}"));
        }
        self.usable &= crate::flow_mod::usable_exact(field);
        Ok(set(field, value, mask, SetFieldForm::SetField))
    }

    fn resubmit(&mut self, text: &str) -> Parsed {
        let mut parts = text.split(',');
        let mut part = || parts.next().filter(|p| !p.is_empty());
        let in_port = match part() {
            Some(port) => {
                let unknown = || format!("{port}: resubmit to unknown port");
                self.names.parse_port(port).ok_or_else(unknown)?
            }
            None => OfPort::IN_PORT,
        };
        let table = match part() {
            Some(table) => {
                let unknown = || format!("{table}: resubmit to unknown table");
                self.names.parse_table(table).ok_or_else(unknown)?
            }
            None => 255,
        };
        let with_ct_orig = match part() {
            Some("ct") => true,
            Some(other) => return Err(format!("{other}: unknown parameter")),
            None => false,
        };
        if in_port == OfPort::IN_PORT && table == 255 {
            return Err("at least one \"in_port\" or \"table\" must be specified on resubmit".to_string());
        }
        let form = if with_ct_orig { ResubmitForm::TableCt } else { ResubmitForm::Table };
        Ok(Action::Resubmit(Resubmit { in_port, table, with_ct_orig, form }))
    }

    fn sample(&mut self, text: &str) -> Parsed {
        let mut s = Sample {
            probability: 0,
            collector_set_id: 0,
            obs_domain_id: 0,
            obs_point_id: 0,
            sampling_port: OfPort::NONE,
            direction: SampleDirection::Default,
            form: 1,
        };
        for (key, value) in Words(text) {
            match key {
                "probability" => {
                    s.probability = u16_of(value, "probability")?;
                    if s.probability == 0 {
                        return Err(format!("invalid probability value \"{value}\""));
                    }
                }
                "collector_set_id" => s.collector_set_id = u32_of(value)?,
                "obs_domain_id" => s.obs_domain_id = u32_of(value)?,
                "obs_point_id" => s.obs_point_id = u32_of(value)?,
                "sampling_port" => {
                    let unknown = || format!("{value}: unknown port");
                    s.sampling_port = self.names.parse_port(value).ok_or_else(unknown)?;
                }
                "ingress" => s.direction = SampleDirection::Ingress,
                "egress" => s.direction = SampleDirection::Egress,
                _ => return Err(format!("invalid key \"{key}\" in \"sample\" argument")),
            }
        }
        if s.probability == 0 {
            return Err("non-zero \"probability\" must be specified on sample".to_string());
        }
        Ok(Action::Sample(Box::new(s)))
    }

    fn ct(&mut self, text: &str) -> Parsed {
        let (mut commit, mut force, mut table, mut alg) = (false, false, None, 0);
        let mut zone = CtZone::Imm(0);
        let mut actions = Vec::new();
        for (key, value) in Words(text) {
            match key {
                "commit" => commit = true,
                "force" => force = true,
                "table" => {
                    let unknown = || format!("unknown table {value}");
                    let number = self.names.parse_table(value).ok_or_else(unknown)?;
                    if number == 0xff {
                        return Err("invalid table 0xff".to_string());
                    }
                    table = Some(number);
                }
                "zone" => {
                    zone = match (u16_of(value, "zone"), zone) {
                        // A field that was named first stays.
                        (Ok(_), CtZone::Field(field)) => CtZone::Field(field),
                        (Ok(number), CtZone::Imm(_)) => CtZone::Imm(number),
                        (Err(_), _) => CtZone::Field(Subfield::parse(value)?),
                    };
                }
                "alg" => {
                    alg = match value {
                        "ftp" => 21,
                        "tftp" => 69,
                        _ => return Err(format!("invalid conntrack helper \"{value}\"")),
                    };
                }
                "nat" => actions.push(parse_nat(value)?),
                "exec" => {
                    let nested = self.list(value, Instruction::APPLY_OR_METER, Some("ct"))?;
                    actions.extend(nested);
                }
                _ => return Err(format!("invalid argument to \"ct\" action: `{key}'")),
            }
        }
        if force && !commit {
            return Err("\"force\" flag requires \"commit\" flag.".to_string());
        }
        Ok(Action::Ct(Box::new(Ct { commit, force, table, zone, alg, flags: 0, actions: actions.into() })))
    }

    fn encap(&mut self, text: &str) -> Parsed {
        self.usable &= Protocols::OF13_UP;
        let Some((header, value)) = Words(text).next() else {
            return Err(format!("Missing encap hdr: {text}"));
        };
        let new_packet_type = match header {
            "ethernet" => 0,
            "nsh" => 0x0001_894f,
            "mpls" => 0x0001_8847,
            "mpls_mc" => 0x0001_8848,
            _ => return Err(format!("Encap hdr not supported: {value}")),
        };
        let mut props = Vec::new();
        for (key, value) in Words(value) {
            match (header, key) {
                ("nsh", "md_type" | "tlv") if value.is_empty() => {
                    return Err("Value missing for encap property".to_string());
                }
                ("nsh", "md_type") => {
                    let md_type = u8_of(value, "md_type")?;
                    if !(1..=2).contains(&md_type) {
                        return Err("invalid md_type".to_string());
                    }
                    props.push(EncapProp::NshMdType(md_type));
                }
                ("nsh", "tlv") => {
                    props.push(nsh_tlv(value).ok_or_else(|| format!("Invalid NSH TLV header: {value}"))?);
                }
                _ => return Err(format!("Invalid property: {key}")),
            }
        }
        Ok(Action::Encap(Box::new(Encap { new_packet_type, hdr_size: 0, props })))
    }
}

/// `0xclass,type,0xdata`.
fn nsh_tlv(text: &str) -> Option<EncapProp> {
    let (class, rest) = text.strip_prefix("0x")?.split_once(',')?;
    let (kind, data) = rest.split_once(',')?;
    let digits = data.strip_prefix("0x")?;
    let (mut data, _) = hex_octets(digits.get(..250).unwrap_or(digits));
    if digits.is_empty() {
        return None;
    }
    let len = data.len() as u8;
    data.resize(data.len().next_multiple_of(8), 0);
    // Of a class that is too long the last digits count.
    if class.is_empty() || !class.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let class = &class[class.len().saturating_sub(4)..];
    Some(EncapProp::NshTlv { class: u16::from_str_radix(class, 16).ok()?, kind: kind.parse().ok()?, len, data })
}

/// Tokens in the manner of C's `strtok`.
pub(super) struct Tokens<'a>(pub(super) &'a str);

impl<'a> Tokens<'a> {
    pub(super) fn next(&mut self, separators: &str) -> Option<&'a str> {
        let text = self.0.trim_start_matches(|c| separators.contains(c));
        if text.is_empty() {
            self.0 = text;
            return None;
        }
        let len = text.find(|c| separators.contains(c)).unwrap_or(text.len());
        self.0 = text.get(len + 1..).unwrap_or("");
        Some(&text[..len])
    }
}

/// Actions whose argument is at most one number or address; `None` for names that are none of them.
fn simple(name: &str, value: &str) -> Option<Parsed> {
    Some(match name {
        "set_vlan_vid" => vlan_vid(value, false),
        "mod_vlan_vid" => vlan_vid(value, true),
        "set_vlan_pcp" => vlan_pcp(value, false),
        "mod_vlan_pcp" => vlan_pcp(value, true),
        "strip_vlan" => Ok(Action::StripVlan { pop: false }),
        "pop_vlan" => Ok(Action::StripVlan { pop: true }),
        "mod_dl_src" => mac_of(value).map(Action::SetEthSrc),
        "mod_dl_dst" => mac_of(value).map(Action::SetEthDst),
        "mod_nw_tos" => bounded(u8_of(value, "TOS"), |n| n & 3 == 0, value, "TOS").map(Action::SetIpDscp),
        "mod_nw_ecn" => bounded(u8_of(value, "ECN"), |n| n <= 3, value, "ECN").map(Action::SetIpEcn),
        "mod_nw_ttl" | "set_nw_ttl" => u8_of(value, "TTL").map(Action::SetIpTtl),
        "mod_tp_src" => u16_of(value, "source port").map(|port| Action::SetL4SrcPort { port, proto: 0 }),
        "mod_tp_dst" => u16_of(value, "destination port").map(|port| Action::SetL4DstPort { port, proto: 0 }),
        "dec_ttl" => dec_ttl(value),
        "set_mpls_label" if value.is_empty() => Err("set_mpls_label: expected label.".to_string()),
        "set_mpls_label" => bounded(u32_of(value), |n| n <= 0xf_ffff, value, "MPLS label").map(Action::SetMplsLabel),
        "set_mpls_tc" if value.is_empty() => Err("set_mpls_tc: expected tc.".to_string()),
        "set_mpls_tc" => bounded(u8_of(value, "MPLS TC"), |n| n <= 7, value, "MPLS TC").map(Action::SetMplsTc),
        "set_mpls_ttl" if value.is_empty() => Err("set_mpls_ttl: expected ttl.".to_string()),
        "set_mpls_ttl" => u8_of(value, "MPLS TTL").map(Action::SetMplsTtl),
        "dec_mpls_ttl" => Ok(Action::DecMplsTtl),
        "push_mpls" => u16_of(value, "push_mpls").map(|ethertype| Action::PushMpls { ethertype }),
        "pop_mpls" => u16_of(value, "pop_mpls").map(|ethertype| Action::PopMpls { ethertype }),
        "dec_nsh_ttl" => Ok(Action::DecNshTtl),
        "set_tunnel" => u64_of(value).map(|id| Action::SetTunnel { id, wide: false }),
        "set_tunnel64" => u64_of(value).map(|id| Action::SetTunnel { id, wide: true }),
        "set_queue" => u32_of(value).map(Action::SetQueue),
        "pop_queue" => Ok(Action::PopQueue),
        "fin_timeout" => fin_timeout(value),
        "conjunction" => conjunction(value),
        "note" => match hex_octets(value) {
            (octets, "") => Ok(Action::Note(octets.into())),
            _ => Err("bad hex digit in `note' argument".to_string()),
        },
        "exit" => Ok(Action::Exit),
        "ct_clear" => Ok(Action::CtClear),
        "check_pkt_larger" => check_pkt_larger(value),
        "debug_recirc" => Ok(Action::DebugRecirc),
        "debug_slow" => Ok(Action::DebugSlow),
        "clear_actions" => Ok(Action::ClearActions),
        _ => return None,
    })
}

fn bounded<T: Copy>(number: Parsed<T>, ok: impl Fn(T) -> bool, text: &str, name: &str) -> Parsed<T> {
    let number = number?;
    if ok(number) { Ok(number) } else { Err(format!("{text}: not a valid {name}")) }
}

fn vlan_vid(text: &str, push_if_needed: bool) -> Parsed {
    let vid = bounded(u16_of(text, "VLAN VID"), |n| n <= 0xfff, text, "VLAN VID")?;
    Ok(Action::SetVlanVid { vid, push_if_needed, flow_has_vlan: false })
}

fn vlan_pcp(text: &str, push_if_needed: bool) -> Parsed {
    let pcp = bounded(u8_of(text, "VLAN PCP"), |n| n <= 7, text, "VLAN PCP")?;
    Ok(Action::SetVlanPcp { pcp, push_if_needed, flow_has_vlan: false })
}

fn dec_ttl(text: &str) -> Parsed {
    if text.is_empty() {
        return Ok(Action::DecTtl(None));
    }
    let mut tokens = Tokens(text);
    let mut ids = Vec::new();
    while let Some(id) = tokens.next(", ") {
        ids.push(atoi(id) as u16);
    }
    if ids.is_empty() {
        return Err("dec_ttl_cnt_ids: expected at least one controller id.".to_string());
    }
    Ok(Action::DecTtl(Some(ids.into())))
}

fn fin_timeout(text: &str) -> Parsed {
    let (mut idle, mut hard) = (0, 0);
    for (key, value) in Words(text) {
        match key {
            "idle_timeout" => idle = u16_of(value, key)?,
            "hard_timeout" => hard = u16_of(value, key)?,
            _ => return Err(format!("invalid key '{key}' in 'fin_timeout' argument")),
        }
    }
    Ok(Action::FinTimeout { idle, hard })
}

/// A decimal number, of which the low 8 bits count, as `scanf` has it.
fn wrapped_u8(text: &str) -> Option<u8> {
    let (number, rest) = flow::text::parse_wrapping_prefix(text, 10)?;
    rest.trim_start().is_empty().then_some(number as u8)
}

fn conjunction(text: &str) -> Parsed {
    let syntax = || "\"conjunction\" syntax is \"conjunction(id,i/n)\"".to_string();
    let parts = || -> Option<(u32, u8, u8)> {
        let (id, rest) = flow::text::parse_wrapping_prefix(text, 0)?;
        let rest = rest.trim_start().strip_prefix(',')?;
        let (clause, n) = rest.split_once('/')?;
        Some((id as u32, wrapped_u8(clause)?, wrapped_u8(n)?))
    };
    let (id, clause, n_clauses) = parts().ok_or_else(syntax)?;
    if n_clauses < 2 {
        return Err("conjunction must have at least 2 clauses".to_string());
    } else if n_clauses > 64 {
        return Err("conjunction must have at most 64 clauses".to_string());
    } else if clause < 1 {
        return Err("clause index must be positive".to_string());
    } else if clause > n_clauses {
        return Err("clause index must be less than or equal to number of clauses".to_string());
    }
    Ok(Action::Conjunction { id, clause: clause - 1, n_clauses })
}

fn controller(text: &str) -> Parsed {
    let mut c = Controller {
        max_len: u16::MAX,
        controller_id: 0,
        reason: super::decode::REASON_ACTION,
        userdata: Vec::new(),
        pause: false,
        meter_id: None,
        property_form: false,
    };
    let mut userdata = None;
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        c.max_len = u16_of(text, "max_len")?;
    } else {
        for (key, value) in Words(text) {
            match key {
                "reason" => {
                    let unknown = || format!("unknown reason \"{value}\"");
                    c.reason = reason_named(value).ok_or_else(unknown)?;
                }
                "max_len" => c.max_len = u16_of(value, "max_len")?,
                "id" => c.controller_id = u16_of(value, "id")?,
                "userdata" => userdata = Some(value),
                "pause" => c.pause = true,
                "meter_id" => c.meter_id = Some(u32_of(value)?).filter(|id| *id != 0),
                _ => return Err(format!("unknown key \"{key}\" parsing controller action")),
            }
        }
    }
    let plain = c.reason == super::decode::REASON_ACTION && c.controller_id == 0 && !c.pause && c.meter_id.is_none();
    let Some(userdata) = userdata else {
        return Ok(if plain {
            Action::Output { port: OfPort::CONTROLLER, max_len: c.max_len }
        } else {
            Action::Controller(Box::new(c))
        });
    };
    match hex_octets(userdata) {
        (octets, "") => c.userdata = octets,
        _ => return Err("bad hex digit in `controller' action `userdata'".to_string()),
    }
    Ok(Action::Controller(Box::new(c)))
}

/// `value->key`.
fn split_arrow(text: &str) -> Parsed<(&str, &str)> {
    match text.split_once("->") {
        None => Err(format!("{text}: missing `->'")),
        Some((_, "")) => Err(format!("{text}: missing field name following `->'")),
        Some(parts) => Ok(parts),
    }
}

fn set(field: Field, value: Value, mask: Value, form: SetFieldForm) -> Action {
    Action::SetField(Box::new(SetField { field, value, mask, flow_has_vlan: false, form }))
}

pub(super) fn cannot_parse(text: &str) -> String {
    format!("{text}: cannot parse integer value")
}

/// The number that a part of a field is to have, at the start of `value`; `text` is what it stands in.
pub(super) fn subvalue(text: &str, value: &str, dst: &Subfield) -> Parsed<Value> {
    let n = usize::from(dst.field.meta().n_bytes);
    let (number, _) = parse_int(value, n).ok_or_else(|| cannot_parse(text))?;
    if (usize::from(dst.n_bits)..n * 8).any(|bit| number.bit(bit)) {
        let shown = field_text::format(dst.field, &number, None, None);
        return Err(format!("{text}: value {shown} does not fit into {} bits", dst.n_bits));
    }
    Ok(number)
}

fn load(text: &str) -> Parsed {
    let (value, key) = split_arrow(text)?;
    let dst = Subfield::parse(key)?;
    let number = subvalue(text, value, &dst)?;
    let (mut placed, mut mask) = (Value::zeros(number.len()), Value::zeros(number.len()));
    for bit in 0..usize::from(dst.n_bits) {
        let at = usize::from(dst.ofs) + bit;
        mask.set_subfield(at, 1, 1);
        placed.set_subfield(at, 1, number.bit(bit).into());
    }
    Ok(set(dst.field, placed, mask, SetFieldForm::Load))
}

/// `src->dst`, both of one width.
pub(super) fn parse_move(text: &str) -> Parsed<(Subfield, Subfield)> {
    let (src, rest) = Subfield::parse_prefix(text)?;
    let Some(rest) = rest.strip_prefix("->") else {
        return Err(format!("{text}: missing `->' following source"));
    };
    let dst = Subfield::parse(rest)?;
    if src.n_bits != dst.n_bits {
        return Err(format!(
            "{text}: source field is {} bits wide but destination is {} bits wide",
            src.n_bits, dst.n_bits
        ));
    }
    Ok((src, dst))
}

fn stack(text: &str) -> Parsed<Subfield> {
    match Subfield::parse_prefix(text)? {
        (sub, "") => Ok(sub),
        (_, rest) => Err(format!("{rest}: trailing garbage following push or pop")),
    }
}

fn hash_fields(text: &str, name: &str) -> Parsed<HashFields> {
    let known = (0..).map(HashFields::from_wire).take_while(|f| f.is_known());
    let named = known.into_iter().find(|f| f.name().eq_ignore_ascii_case(name));
    named.ok_or_else(|| format!("{text}: unknown fields `{name}'"))
}

/// A subfield of a field that older actions can name.
pub(super) fn standard_header(text: &str, name: &str, sub: Subfield) -> Parsed<Subfield> {
    if nxm::has_header32(sub.field) {
        Ok(sub)
    } else {
        Err(format!("{text}: experimenter OXM field '{name}' not supported"))
    }
}

fn multipath(text: &str) -> Parsed {
    use MultipathAlgorithm as M;
    let mut tokens = Tokens(text);
    let mut next = || tokens.next(", ");
    let parts = (next(), next(), next(), next(), next(), next());
    let (Some(fields), Some(basis), Some(algorithm), Some(n_links), Some(arg), Some(dst_text)) = parts else {
        return Err(format!("{text}: not enough arguments to multipath action"));
    };
    let fields = hash_fields(text, fields)?;
    let known = [M::ModuloN, M::HashThreshold, M::Hrw, M::IterHash];
    let found = known.into_iter().find(|a| a.name().eq_ignore_ascii_case(algorithm));
    let algorithm = found.ok_or_else(|| format!("{text}: unknown algorithm `{algorithm}'"))?;
    let n_links = atoi(n_links);
    if !(1..=65536).contains(&n_links) {
        return Err(format!("{text}: n_links {n_links} is not in valid range 1 to 65536"));
    }
    let dst = standard_header(text, dst_text, Subfield::parse(dst_text)?)?;
    if dst.n_bits < 16 && n_links > 1 << dst.n_bits {
        return Err(format!(
            "{text}: {}-bit destination field has {} possible values, less than specified n_links {n_links}",
            dst.n_bits,
            1u32 << dst.n_bits
        ));
    }
    let (basis, max_link, arg) = (atoi(basis) as u16, (n_links - 1) as u16, atoi(arg) as u32);
    Ok(Action::Multipath(Box::new(Multipath { fields, basis, algorithm, max_link, arg, dst })))
}

fn check_pkt_larger(text: &str) -> Parsed {
    let (value, key) = split_arrow(text)?;
    let dst = Subfield::parse(key)?;
    if dst.n_bits != 1 {
        return Err("Only 1-bit destination field is allowed".to_string());
    }
    let len = u16_of(value.strip_suffix(')').unwrap_or(value), "(null)")?;
    Ok(Action::CheckPktLarger { len, dst })
}

/// The highest name space of packet types that OpenFlow knows (1.5.1 section 7.2.3.11).
const PACKET_TYPE_NAMESPACE_AT_MOST: u16 = 4;

fn decap(text: &str) -> Parsed {
    let Some((key, value)) = Words(text).next() else {
        return Ok(Action::Decap { new_packet_type: None });
    };
    if key != "packet_type" {
        return Err(format!("Invalid decap argument: {key}"));
    }
    let mut words = Words(value);
    let mut attribute = |name: &str| match words.next() {
        Some((key, value)) if key == name => u16_of(value, name),
        _ => Err(format!("Missing packet_type attribute {name}")),
    };
    let ns = attribute("ns")?;
    if ns > PACKET_TYPE_NAMESPACE_AT_MOST {
        return Err(format!("Unsupported ns value: {ns}"));
    }
    let kind = (u32::from(ns) << 16) | u32::from(attribute("type")?);
    Ok(Action::Decap { new_packet_type: Some(kind).filter(|k| *k != super::decode::USE_NEXT_PROTO) })
}
