//! Flows from text: `table=1,priority=5,tcp,tp_dst=80,actions=…`.
//!
//! Source: ovs-ofctl(8), "Flow Syntax".

use flow::Key;
use flow::field::{Field, Fixed, Value, text as field_text};
use flow::key::TUN_METADATA_BYTES;

use super::{FlowFlags, FlowMod, FlowModCommand, FlowStatsRequest, GROUP_ALL, GROUP_ANY};
use crate::action::{self, Check, Subfield};
use crate::matching::{Match, normalize};
use crate::names::Names;
use crate::nxm;
use crate::words::{Words, u16_of, u64_of};
use crate::{OfPort, Protocols};

/// What text is to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A flow-mod of this kind.
    Mod(FlowModCommand),
    /// A flow-mod whose kind the text may name first (`add`, `delete`, `modify_strict`…); `add` without.
    Named,
    /// A request for statistics.
    Request,
}

/// A flow-mod from text.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedFlowMod {
    /// The flow-mod.
    pub flow_mod: FlowMod,
    /// Protocols that can express it.
    pub usable: Protocols,
    /// The match as it will be understood, when it says things that packets of its kind do not have.
    pub normalized: Option<Match>,
}

/// A request for statistics from text.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedRequest {
    /// The request.
    pub request: FlowStatsRequest,
    /// Protocols that can express it.
    pub usable: Protocols,
}

/// Names that stand for an EtherType and IP protocol.
const SHORTHANDS: [(&str, u16, u8); 18] = [
    ("ip", 0x0800, 0),
    ("ipv4", 0x0800, 0),
    ("ip4", 0x0800, 0),
    ("arp", 0x0806, 0),
    ("icmp", 0x0800, 1),
    ("tcp", 0x0800, 6),
    ("udp", 0x0800, 17),
    ("sctp", 0x0800, 132),
    ("ipv6", 0x86dd, 0),
    ("ip6", 0x86dd, 0),
    ("icmp6", 0x86dd, 58),
    ("icmpv6", 0x86dd, 58),
    ("tcp6", 0x86dd, 6),
    ("udp6", 0x86dd, 17),
    ("sctp6", 0x86dd, 132),
    ("rarp", 0x8035, 0),
    ("mpls", 0x8847, 0),
    ("mplsm", 0x8848, 0),
];

fn shorthand(name: &str) -> Option<(u16, u8)> {
    SHORTHANDS.iter().find(|(n, ..)| *n == name).map(|(_, t, p)| (*t, *p))
}

/// The protocols whose matches can have an exact value of a field.
pub fn usable_exact(field: Field) -> Protocols {
    usable(field, |fixed| fixed != Fixed::No)
}

/// The protocols whose matches can have a field under a mask.
pub fn usable_for(field: Field, mask: &Value) -> Protocols {
    let bits = mask.to_u128() as u32;
    if mask.is_ones() {
        usable_exact(field)
    } else if mask.is_zero() && !matches!(field, Field::TunMetadata(_)) {
        Protocols::ANY
    } else if mask.len() == 4 && bits.leading_ones() + bits.trailing_zeros() >= 32 {
        usable(field, |fixed| matches!(fixed, Fixed::Cidr | Fixed::Bitwise))
    } else {
        usable(field, |fixed| fixed == Fixed::Bitwise)
    }
}

fn usable(field: Field, can: impl Fn(Fixed) -> bool) -> Protocols {
    let meta = field.meta();
    let (of10, of11) = (can(meta.of10), can(meta.of11));
    let mut set = Protocols::NONE;
    if of10 {
        set |= Protocols::OF10_ANY;
    }
    if of11 {
        set |= Protocols::OF11_STD;
    }
    // A field without a number of its own is expressed by its relatives where the fixed matches have it.
    if !meta.headers.is_empty() || meta.of10 != Fixed::No {
        set |= Protocols::NXM_OXM_ANY;
    }
    set
}

/// Adds `name=value` to a match. Returns the protocols that can express it.
///
/// # Errors
/// A text for a user.
pub fn parse_match_field(m: &mut Match, field: Field, value: &str, names: Names<'_>) -> Result<Protocols, String> {
    // Without a value, the field's mere presence is meant.
    let value = if value.is_empty() { "0/0" } else { value };
    let (value, mask) = names.parse_masked(field, value)?;
    if matches!(field, Field::TunMetadata(_)) && !m.is_wild(field) {
        return Err(format!("field {} set multiple times", field.name()));
    }
    if let Field::TunMetadata(_) = field {
        let used =
            m.tun.as_ref().map_or(0, |table| table.total_len()) + value.len() - nxm::leading(field, &value, &mask);
        if used > TUN_METADATA_BYTES {
            return Err(format!(
                "field {} exceeds maximum size for tunnel metadata (used {used}, max {TUN_METADATA_BYTES})",
                field.name()
            ));
        }
    }
    let wild = mask.is_zero() && !matches!(field, Field::TunMetadata(_));
    if !wild {
        m.constrain(field, &value, &mask, None);
    } else if !m.is_wild(field) {
        field.set_mask(&mut m.mask, &mask);
        let mask = m.mask.clone();
        m.key.apply(&mask);
    }
    m.add_ethernet_prereq(field);
    Ok(usable_for(field, &mask))
}

fn parse_match_subfield(m: &mut Match, name: &str, text: &str) -> Result<Protocols, String> {
    let sub = Subfield::parse(name)?;
    let n = usize::from(sub.field.meta().n_bytes);
    let number = action::parse_int(text, n).filter(|(_, rest)| rest.is_empty());
    let number = number.ok_or_else(|| format!("{name}: cannot parse integer value: {text}"))?.0;
    if (usize::from(sub.n_bits)..n * 8).any(|bit| number.bit(bit)) {
        let shown = field_text::format(sub.field, &number, None, None);
        return Err(format!("{name}: value {shown} does not fit into {} bits", sub.n_bits));
    }
    let (mut value, mut mask) = m.get(sub.field);
    for side in [&mut value, &mut mask] {
        if side.len() < n {
            let mut wide = Value::zeros(n);
            wide.0[n - side.len()..].copy_from_slice(&side.0);
            *side = wide;
        }
    }
    for bit in 0..usize::from(sub.n_bits) {
        let at = usize::from(sub.ofs) + bit;
        value.set_subfield(at, 1, number.bit(bit).into());
        mask.set_subfield(at, 1, 1);
    }
    m.constrain(sub.field, &value, &mask, None);
    m.add_ethernet_prereq(sub.field);
    Ok(usable_for(sub.field, &mask))
}

/// Which keywords a command takes.
struct Allowed {
    out_port: bool,
    actions: bool,
    importance: bool,
    timeout: bool,
    priority: bool,
    flags: bool,
}

impl Allowed {
    fn of(command: Command) -> Allowed {
        let (add, change, strict) = match command {
            Command::Mod(FlowModCommand::Add) => (true, true, true),
            Command::Mod(FlowModCommand::Modify | FlowModCommand::ModifyStrict) => (false, true, true),
            Command::Mod(FlowModCommand::DeleteStrict) => (false, false, true),
            _ => (false, false, false),
        };
        Allowed {
            out_port: !change,
            actions: change,
            importance: add,
            timeout: change,
            priority: strict,
            flags: change,
        }
    }
}

/// Takes a command's name off the front of a text.
fn named_command(text: &str) -> (FlowModCommand, &str) {
    let text = text.trim_start_matches([' ', '\t', '\r', '\n']);
    let len = text.find([',', ' ', '\t', '\r', '\n']).unwrap_or(text.len());
    let word = &text[..len];
    let commands = [
        ("add", FlowModCommand::Add),
        ("delete", FlowModCommand::Delete),
        ("delete_strict", FlowModCommand::DeleteStrict),
        ("modify", FlowModCommand::Modify),
        ("modify_strict", FlowModCommand::ModifyStrict),
    ];
    // An abbreviation will do, of the first that it fits.
    match commands.into_iter().find(|(name, _)| name.starts_with(word)) {
        Some((_, command)) => (command, &text[len..]),
        None => (FlowModCommand::Add, text),
    }
}

/// Splits a text at `actions=`.
fn split_actions(text: &str) -> Option<(&str, &str)> {
    let at = text.find("action")?;
    let equals = text[at + 1..].find('=')?;
    Some((&text[..at], &text[at + 1 + equals + 1..]))
}

struct FlowParser<'a> {
    names: Names<'a>,
    allowed: Allowed,
    command: Command,
    f: FlowMod,
    usable: Protocols,
}

impl FlowParser<'_> {
    fn word(&mut self, name: &str, value: &str) -> Result<(), String> {
        if let Some((dl_type, nw_proto)) = shorthand(name) {
            let m = &mut self.f.matching;
            m.set_exact(Field::EthType, dl_type.into());
            if nw_proto != 0 {
                m.set_exact(Field::IpProto, nw_proto.into());
            }
            m.default_packet_type();
            return Ok(());
        }
        if name == "eth" {
            self.f.matching.set_exact(Field::PacketType, 0);
            return Ok(());
        }
        if self.allowed.flags && self.flag(name) {
            return Ok(());
        }
        if matches!(name, "no_readonly_table" | "allow_hidden_fields") {
            return Ok(());
        }
        if let Some(field) = Field::by_name(name) {
            self.usable &= parse_match_field(&mut self.f.matching, field, value, self.names)?;
            return Ok(());
        }
        if name.contains('[') {
            self.usable &= parse_match_subfield(&mut self.f.matching, name, value)?;
            return Ok(());
        }
        if value.is_empty() {
            return Err(format!("field {name} missing value"));
        }
        self.keyword(name, value)
    }

    fn flag(&mut self, name: &str) -> bool {
        let (flag, usable) = match name {
            "send_flow_rem" => (FlowFlags::SEND_FLOW_REM, Protocols::ANY),
            "check_overlap" => (FlowFlags::CHECK_OVERLAP, Protocols::ANY),
            "reset_counts" => (FlowFlags::RESET_COUNTS, Protocols::OF12_UP),
            "no_packet_counts" => (FlowFlags::NO_PACKET_COUNTS, Protocols::OF13_UP),
            "no_byte_counts" => (FlowFlags::NO_BYTE_COUNTS, Protocols::OF13_UP),
            _ => return false,
        };
        self.f.flags = self.f.flags.with(flag);
        self.usable &= usable;
        true
    }

    fn keyword(&mut self, name: &str, value: &str) -> Result<(), String> {
        let f = &mut self.f;
        match name {
            "table" => {
                let unknown = || format!("unknown table \"{value}\"");
                f.table = self.names.parse_table(value).ok_or_else(unknown)?;
                if f.table != 0xff {
                    self.usable &= Protocols::TABLE_ID;
                }
            }
            "out_port" if self.allowed.out_port => {
                let unknown = || format!("{value} is not a valid OpenFlow port");
                f.out_port = self.names.parse_port(value).ok_or_else(unknown)?;
            }
            "out_group" if self.allowed.out_port => {
                self.usable &= Protocols::OF11_UP;
                let unknown = || format!("{value} is not a valid OpenFlow group");
                f.out_group = parse_group(value).ok_or_else(unknown)?;
            }
            "priority" if self.allowed.priority => f.priority = u16_of(value, name)?,
            "idle_timeout" if self.allowed.timeout => f.idle_timeout = u16_of(value, name)?,
            "hard_timeout" if self.allowed.timeout => f.hard_timeout = u16_of(value, name)?,
            "importance" if self.allowed.importance => f.importance = u16_of(value, name)?,
            "cookie" => self.cookie(value)?,
            // What dumps show is passed over, so that they can be fed back.
            "duration" | "n_packets" | "n_bytes" | "idle_age" | "hard_age" => {}
            _ => return Err(format!("unknown keyword {name}")),
        }
        Ok(())
    }

    fn cookie(&mut self, value: &str) -> Result<(), String> {
        let changes = matches!(
            self.command,
            Command::Mod(FlowModCommand::Add | FlowModCommand::Modify | FlowModCommand::ModifyStrict)
        );
        match value.split_once('/') {
            Some(_) if self.command == Command::Mod(FlowModCommand::Add) => {
                return Err("flow additions cannot use a cookie mask".to_string());
            }
            Some((cookie, mask)) => {
                self.f.cookie = u64_of(cookie)?;
                self.f.cookie_mask = u64_of(mask)?;
                if self.f.cookie_mask != 0 {
                    self.usable &= Protocols::NXM_OXM_ANY | Protocols::OF11_UP;
                }
            }
            None if !changes => {
                let hint = format!("to match on a cookie, specify a mask, e.g. cookie={value}/-1");
                return Err(format!("cannot set cookie ({hint})"));
            }
            None => {
                self.f.new_cookie = u64_of(value)?;
                self.f.modify_cookie = true;
            }
        }
        Ok(())
    }

    /// What follows from the words together.
    fn finish(&mut self) {
        let m = &mut self.f.matching;
        if m.mask.packet_type() == u32::MAX && m.key.packet_type() >> 16 == 1 {
            m.key.set_dl_type(m.key.packet_type() as u16);
        }
        let above_ip = [m.mask.nw_proto() != 0, m.mask.nw_tos() != 0, m.mask.tp_src() != 0, m.mask.tp_dst() != 0];
        if m.key.dl_type() == 0x86dd && above_ip.contains(&true) {
            self.usable &= Protocols::NXM_OXM_ANY;
        }
        let modifies = matches!(self.f.command, FlowModCommand::Modify | FlowModCommand::ModifyStrict);
        if modifies && self.f.cookie_mask == 0 && self.f.new_cookie == u64::MAX {
            // Without a cookie to look for, a modification adds a rule when there is none; its cookie is 0.
            self.f.new_cookie = 0;
        }
    }

    fn actions(&mut self, text: &str) -> Result<(), String> {
        let (actions, usable) = action::parse_instructions(text, self.names)?;
        self.usable &= usable;
        let check = Check { table: self.f.table, ..Check::UNKNOWN };
        let refuse = |error: crate::OfError| {
            if let Some(notes) = self.names.notes {
                notes.error(&error);
            }
            format!("actions are invalid with specified match ({error})")
        };
        let checked = action::check(actions, &self.f.matching, &check).map_err(refuse)?;
        self.usable &= checked.usable;
        if self.usable.is_empty() {
            return Err(refuse(crate::ErrorCode::OFPBAC_MATCH_INCONSISTENT.into()));
        }
        self.f.actions = checked.actions;
        Ok(())
    }
}

/// A group number, or `any` or `all`.
fn parse_group(text: &str) -> Option<u32> {
    if text.eq_ignore_ascii_case("any") {
        return Some(GROUP_ANY);
    }
    if text.eq_ignore_ascii_case("all") {
        return Some(GROUP_ALL);
    }
    flow::text::parse_u32(text, 10)
}

fn parse(text: &str, command: Command, names: Names<'_>) -> Result<(FlowMod, Protocols), String> {
    let (command, text) = match command {
        Command::Named => {
            let (command, rest) = named_command(text);
            (Command::Mod(command), rest)
        }
        command => (command, text),
    };
    let mut f = FlowMod::default();
    if let Command::Mod(command) = command {
        f.command = command;
    }
    if matches!(f.command, FlowModCommand::Modify | FlowModCommand::ModifyStrict) {
        f.new_cookie = u64::MAX;
    }
    let mut parser = FlowParser { names, allowed: Allowed::of(command), command, f, usable: Protocols::ANY };
    let (words, actions) = if parser.allowed.actions {
        let (words, actions) = split_actions(text).ok_or("must specify an action")?;
        (words, Some(actions))
    } else {
        (text, None)
    };
    for (name, value) in Words(words) {
        parser.word(name, value)?;
    }
    parser.finish();
    if let Some(actions) = actions {
        parser.actions(actions)?;
    }
    Ok((parser.f, parser.usable))
}

/// Reads a flow-mod.
///
/// # Errors
/// A text for a user.
pub fn parse_flow_mod(text: &str, command: Command, names: Names<'_>) -> Result<ParsedFlowMod, String> {
    let (flow_mod, usable) = parse(text, command, names)?;
    let mut copy = flow_mod.matching.clone();
    let normalized = normalize(&mut copy).then_some(copy);
    Ok(ParsedFlowMod { flow_mod, usable, normalized })
}

/// Reads a request for flow or aggregate statistics.
///
/// # Errors
/// A text for a user.
pub fn parse_stats_request(text: &str, aggregate: bool, names: Names<'_>) -> Result<ParsedRequest, String> {
    let (f, mut usable) = parse(text, Command::Request, names)?;
    // A request names its table in every protocol.
    if usable.contains(Protocols::OF10_STD_TID) {
        usable |= Protocols::OF10_STD;
    }
    if usable.contains(Protocols::OF10_NXM_TID) {
        usable |= Protocols::OF10_NXM;
    }
    let request = FlowStatsRequest {
        aggregate,
        matching: f.matching,
        cookie: f.cookie,
        cookie_mask: f.cookie_mask,
        out_port: f.out_port,
        out_group: f.out_group,
        table: f.table,
    };
    Ok(ParsedRequest { request, usable })
}

/// Reads a packet's headers and metadata: exact fields, in an order that meets their prerequisites.
///
/// # Errors
/// A text for a user.
pub fn parse_exact_flow(text: &str, names: Names<'_>) -> Result<Match, String> {
    let mut m = Match::any();
    for (name, value) in Words(text) {
        if let Some((dl_type, nw_proto)) = shorthand(name) {
            if m.key.dl_type() != 0 {
                return Err(format!("{text}: Ethernet type set multiple times"));
            }
            if nw_proto != 0 && m.key.nw_proto() != 0 {
                return Err(format!("{text}: network protocol set multiple times"));
            }
            m.set_exact(Field::EthType, dl_type.into());
            if nw_proto != 0 {
                m.set_exact(Field::IpProto, nw_proto.into());
            }
            continue;
        }
        let field = Field::by_name(name).ok_or_else(|| format!("{text}: unknown field {name}"))?;
        if !m.meets(field.meta().prereq) {
            return Err(format!("{text}: prerequisites not met for setting {name}"));
        }
        if field_is_set(field, &m.key) {
            return Err(format!("{text}: field {name} set multiple times"));
        }
        let value = names.parse_value(field, value).map_err(|e| format!("{text}: bad value for {name} ({e})"))?;
        let ones = Value::ones(value.len(), value.len() * 8);
        m.constrain(field, &value, &ones, None);
    }
    if m.key.in_port() == 0 {
        m.key.set_in_port(OfPort::NONE.to_11());
    }
    Ok(m)
}

fn field_is_set(field: Field, key: &Key) -> bool {
    field.number(key) != 0
}
