//! Whether a list of actions makes sense: in itself ([`verify`]) and with a match ([`check()`]).
//!
//! Source: OpenFlow 1.3.5 section 5.9, ovs-actions(7).

use std::borrow::Cow;
use std::sync::Arc;

use flow::field::{Field, Prereq, TunTable};

use super::*;
use crate::matching::Match;
use crate::nxm;
use crate::{ErrorCode, OfError, OfPort, Protocols, Version};

/// Instructions, in the order in which they may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Instruction {
    Meter,
    ApplyActions,
    ClearActions,
    WriteActions,
    WriteMetadata,
    GotoTable,
}

impl Instruction {
    /// Instructions allowed everywhere that instructions are, as bits.
    pub(crate) const ALL: u8 = 0x3f;
    /// Allowed in lists of actions that are not nested.
    pub(crate) const APPLY_OR_METER: u8 = 0x03;
    /// Allowed in nested lists.
    pub(crate) const APPLY_ONLY: u8 = 0x02;

    fn of(action: &Action, version: Version) -> Instruction {
        match action {
            Action::Meter(_) if version < Version::V15 => Instruction::Meter,
            Action::ClearActions => Instruction::ClearActions,
            Action::WriteActions(_) => Instruction::WriteActions,
            Action::WriteMetadata { .. } => Instruction::WriteMetadata,
            Action::GotoTable(_) => Instruction::GotoTable,
            _ => Instruction::ApplyActions,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Instruction::Meter => "meter",
            Instruction::ApplyActions => "apply_actions",
            Instruction::ClearActions => "clear_actions",
            Instruction::WriteActions => "write_actions",
            Instruction::WriteMetadata => "write_metadata",
            Instruction::GotoTable => "goto_table",
        }
    }
}

/// An error's code and its text for a user.
pub(crate) type Refusal = (ErrorCode, String);

/// Verifies that actions stand where they may: their order as instructions, and what may be nested in what. `outer` is the
/// name of the action that holds the list.
pub(crate) fn verify_list(
    actions: &[Action],
    version: Version,
    allowed: u8,
    outer: Option<&'static str>,
) -> Result<(), Refusal> {
    let mut present = Instruction::Meter;
    for (i, action) in actions.iter().enumerate() {
        if matches!(action, Action::Conjunction { .. }) {
            return verify_conjunction(actions);
        }
        verify_nested(action, outer)?;
        let next = Instruction::of(action, version);
        let bad_order = if present == Instruction::ApplyActions { next < present } else { next <= present };
        if i > 0 && bad_order {
            let text = if next == present {
                format!("duplicate {} instruction not allowed, for OpenFlow 1.1+ compatibility", present.name())
            } else {
                format!(
                    "invalid instruction ordering: {} must appear before {}, for OpenFlow 1.1+ compatibility",
                    next.name(),
                    present.name()
                )
            };
            return Err((ErrorCode::OFPBAC_UNSUPPORTED_ORDER, text));
        }
        if allowed & (1 << next as u8) == 0 {
            let text = format!("{} instruction not allowed here", next.name());
            return Err((ErrorCode::OFPBIC_UNSUP_INST, text));
        }
        present = next;
    }
    Ok(())
}

fn verify_conjunction(actions: &[Action]) -> Result<(), Refusal> {
    match actions.iter().find(|a| !matches!(a, Action::Conjunction { .. } | Action::Note(_))) {
        None => Ok(()),
        Some(other) => Err((
            ErrorCode::NXBAC_BAD_CONJUNCTION,
            format!(
                "\"conjunction\" actions may be used along with \"note\" but not any other kind of action (such as the \
                 \"{}\" action used here)",
                other.name()
            ),
        )),
    }
}

fn verify_nested(action: &Action, outer: Option<&'static str>) -> Result<(), Refusal> {
    let field = match action {
        Action::SetField(set) => Some(set.field),
        Action::RegMove { dst, .. } => Some(dst.field),
        _ => None,
    };
    let is_ct_field = matches!(field, Some(Field::CtMark | Field::CtLabel));
    if is_ct_field && outer != Some("ct") {
        let text = "cannot set CT fields outside of ct action".to_string();
        return Err((ErrorCode::OFPBAC_BAD_SET_ARGUMENT, text));
    }
    if matches!(action, Action::Nat(_)) {
        return match outer {
            Some("ct") => Ok(()),
            _ => {
                Err((ErrorCode::OFPBAC_BAD_SET_ARGUMENT, "Cannot have NAT action outside of \"ct\" action".to_string()))
            }
        };
    }
    let Some(outer) = outer else { return Ok(()) };
    let unsupported = || {
        let text = format!("{outer} action doesn't support nested action {}", action.name());
        Err((ErrorCode::OFPBAC_BAD_ARGUMENT, text))
    };
    if outer == "ct" {
        match field {
            None => return unsupported(),
            Some(field) if !is_ct_field => {
                let text = format!("{outer} action doesn't support nested modification of {}", field.name());
                return Err((ErrorCode::OFPBAC_BAD_ARGUMENT, text));
            }
            Some(_) => {}
        }
    }
    if matches!(action, Action::Meter(_)) { unsupported() } else { Ok(()) }
}

/// Verifies the order and nesting of a rule's actions and instructions.
///
/// # Errors
/// The code and a text for a user.
pub fn verify(actions: &[Action], version: Version) -> Result<(), (ErrorCode, String)> {
    verify_list(actions, version, Instruction::ALL, None)
}

impl Action {
    /// The name under which text knows the action's kind.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Output { .. } => "output",
            Action::OutputReg { .. } => "output_reg",
            Action::OutputTrunc { .. } => "output_trunc",
            Action::Group(_) => "group",
            Action::Controller(_) => "controller",
            Action::Enqueue { .. } => "enqueue",
            Action::Bundle(_) => "bundle",
            Action::SetField(_) => "set_field",
            Action::SetVlanVid { .. } => "set_vlan_vid",
            Action::SetVlanPcp { .. } => "set_vlan_pcp",
            Action::StripVlan { .. } => "strip_vlan",
            Action::PushVlan { .. } => "push_vlan",
            Action::SetEthSrc(_) => "mod_dl_src",
            Action::SetEthDst(_) => "mod_dl_dst",
            Action::SetIpv4Src(_) => "mod_nw_src",
            Action::SetIpv4Dst(_) => "mod_nw_dst",
            Action::SetIpDscp(_) => "mod_nw_tos",
            Action::SetIpEcn(_) => "mod_nw_ecn",
            Action::SetIpTtl(_) => "mod_nw_ttl",
            Action::SetL4SrcPort { .. } => "mod_tp_src",
            Action::SetL4DstPort { .. } => "mod_tp_dst",
            Action::RegMove { .. } => "move",
            Action::StackPush(_) => "push",
            Action::StackPop(_) => "pop",
            Action::DecTtl(_) => "dec_ttl",
            Action::SetMplsLabel(_) => "set_mpls_label",
            Action::SetMplsTc(_) => "set_mpls_tc",
            Action::SetMplsTtl(_) => "set_mpls_ttl",
            Action::DecMplsTtl => "dec_mpls_ttl",
            Action::PushMpls { .. } => "push_mpls",
            Action::PopMpls { .. } => "pop_mpls",
            Action::DecNshTtl => "dec_nsh_ttl",
            Action::DeleteField(_) => "delete_field",
            Action::SetTunnel { .. } => "set_tunnel",
            Action::SetQueue(_) => "set_queue",
            Action::PopQueue => "pop_queue",
            Action::FinTimeout { .. } => "fin_timeout",
            Action::Resubmit(_) => "resubmit",
            Action::Learn(_) => "learn",
            Action::Conjunction { .. } => "conjunction",
            Action::Multipath(_) => "multipath",
            Action::Note(_) => "note",
            Action::Exit => "exit",
            Action::Sample(_) => "sample",
            Action::UnrollXlate { .. } => "unroll_xlate",
            Action::Ct(_) => "ct",
            Action::CtClear => "ct_clear",
            Action::Nat(_) => "nat",
            Action::Clone(_) => "clone",
            Action::CheckPktLarger { .. } => "check_pkt_larger",
            Action::Encap(_) => "encap",
            Action::Decap { .. } => "decap",
            Action::DebugRecirc => "debug_recirc",
            Action::DebugSlow => "debug_slow",
            Action::Meter(_) => "meter",
            Action::ClearActions => "clear_actions",
            Action::WriteActions(_) => "write_actions",
            Action::WriteMetadata { .. } => "write_metadata",
            Action::GotoTable(_) => "goto_table",
        }
    }
}

/// Whether actions may output to a port of a switch with ports below `max_ports`.
pub(crate) fn output_port_ok(port: OfPort, max_ports: OfPort) -> bool {
    match port {
        OfPort::IN_PORT
        | OfPort::TABLE
        | OfPort::NORMAL
        | OfPort::FLOOD
        | OfPort::ALL
        | OfPort::CONTROLLER
        | OfPort::LOCAL => true,
        OfPort::NONE => false,
        port => port < max_ports,
    }
}

/// Name of the log's module for what is said of fields.
const FIELD_LOG: &str = "meta_flow";

/// `role`: `source` or `destination`.
fn check_subfield(sub: &Subfield, m: Option<&Match>, tun: Option<&TunTable>, role: &str) -> Result<(), OfError> {
    let width = nxm::n_bits(sub.field, tun);
    let (ofs, n_bits) = (usize::from(sub.ofs), usize::from(sub.n_bits));
    let name = || format!("{role} field {}", sub.field.meta().name);
    let wrong = if n_bits == 0 {
        format!("zero bit {}", name())
    } else if ofs >= width {
        format!("bit offset {ofs} exceeds {width}-bit width of {}", name())
    } else if ofs + n_bits > width {
        format!("bit offset {ofs} and width {n_bits} exceeds {width}-bit width of {}", name())
    } else if m.is_some_and(|m| !m.meets(sub.field.meta().prereq)) {
        let text = format!("{} lacks correct prerequisites", name());
        return Err(ErrorCode::OFPBAC_MATCH_INCONSISTENT.because(FIELD_LOG, text));
    } else {
        return Ok(());
    };
    Err(ErrorCode::OFPBAC_BAD_SET_LEN.because(FIELD_LOG, wrong))
}

/// Checks a subfield to be read, with a match also its prerequisites.
pub(crate) fn check_src(sub: &Subfield, m: Option<&Match>, tun: Option<&TunTable>) -> Result<(), OfError> {
    check_subfield(sub, m, tun, "source")
}

/// Checks a subfield to be written, with a match also its prerequisites.
pub(crate) fn check_dst(sub: &Subfield, m: Option<&Match>, tun: Option<&TunTable>) -> Result<(), OfError> {
    check_subfield(sub, m, tun, "destination")?;
    if sub.field.meta().writable {
        return Ok(());
    }
    let text = format!("destination field {} is not writable", sub.field.meta().name);
    Err(ErrorCode::OFPBAC_BAD_SET_ARGUMENT.because(FIELD_LOG, text))
}

pub(crate) fn check_bundle(
    bundle: &Bundle,
    max_ports: OfPort,
    m: Option<&Match>,
    tun: Option<&TunTable>,
) -> Result<(), OfError> {
    if let Some(dst) = &bundle.dst {
        check_dst(dst, m, tun)?;
    }
    let ok = |p: &OfPort| *p == OfPort::NONE || *p != OfPort::CONTROLLER && output_port_ok(*p, max_ports);
    match bundle.members.iter().find(|port| !ok(port)) {
        None => Ok(()),
        Some(&OfPort::CONTROLLER) => {
            Err(ErrorCode::OFPBAC_BAD_OUT_PORT.because("bundle", "unsupported controller member".into()))
        }
        Some(port) => {
            Err(ErrorCode::OFPBAC_BAD_OUT_PORT.because("bundle", format!("invalid member {}", u32::from(port.0))))
        }
    }
}

/// Circumstances of [`check()`].
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    /// First port number that the switch cannot have.
    pub max_ports: OfPort,
    /// Table of the rule, 0xff when unknown.
    pub table: u8,
    /// Number of tables, 255 when unknown.
    pub n_tables: u8,
    /// The bridge's tunnel options.
    pub tun: Option<&'a TunTable>,
}

impl Check<'_> {
    /// Nothing known of the switch.
    pub const UNKNOWN: Check<'static> =
        Check { max_ports: OfPort(crate::port_no::MAX), table: 0xff, n_tables: 255, tun: None };
}

/// What [`check()`] finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The actions, with what the match tells of them noted (tags present, transport protocol).
    pub actions: Actions,
    /// Protocols that tolerate what actions and match lack of each other: OpenFlow 1.0 alone if something does.
    pub usable: Protocols,
}

/// Checks that actions suit the packets of a match.
///
/// # Errors
/// OFPBAC_MATCH_INCONSISTENT and the codes of arguments out of range.
pub fn check(actions: Actions, m: &Match, c: &Check<'_>) -> Result<Checked, OfError> {
    let mut checker = Checker { m: Cow::Borrowed(m), c, usable: Protocols::ANY };
    let mut actions = actions;
    if !actions.is_empty() {
        checker.list(Arc::make_mut(&mut actions))?;
    }
    Ok(Checked { actions, usable: checker.usable })
}

/// As [`check()`], but takes what only OpenFlow 1.0 tolerates for an error unless `protocol` is of that version.
///
/// # Errors
/// As [`check()`].
pub fn check_consistency(actions: Actions, m: &Match, protocol: Protocols, c: &Check<'_>) -> Result<Actions, OfError> {
    let checked = check(actions, m, c)?;
    if checked.usable.contains(protocol) {
        Ok(checked.actions)
    } else {
        Err(ErrorCode::OFPBAC_MATCH_INCONSISTENT.into())
    }
}

struct Checker<'a> {
    /// What is known of the packet at this place in the list; most actions tell nothing new.
    m: Cow<'a, Match>,
    c: &'a Check<'a>,
    usable: Protocols,
}

const CFI: u16 = 0x1000;

impl Checker<'_> {
    fn inconsistent_unless(&mut self, ok: bool) {
        if !ok {
            self.usable &= Protocols::OF10_ANY;
        }
    }

    fn list(&mut self, actions: &mut [Action]) -> Result<(), OfError> {
        actions.iter_mut().try_for_each(|action| self.action(action))
    }

    /// A nested list, of which the following actions see nothing.
    fn nested(&mut self, actions: &mut Actions) -> Result<(), OfError> {
        if actions.is_empty() {
            return Ok(());
        }
        let before = self.m.clone();
        let result = self.list(Arc::make_mut(actions));
        self.m = before;
        result
    }

    fn has_vlan(&self) -> bool {
        self.m.key.vlan_tci() & CFI != 0
    }

    fn action(&mut self, action: &mut Action) -> Result<(), OfError> {
        let (max_ports, tun) = (self.c.max_ports, self.c.tun);
        match action {
            Action::Output { port, .. } if !output_port_ok(*port, max_ports) => {
                return Err(ErrorCode::OFPBAC_BAD_OUT_PORT.into());
            }
            Action::OutputTrunc { port, .. } if !output_port_ok(*port, max_ports) => {
                return Err(ErrorCode::OFPBAC_BAD_OUT_PORT.into());
            }
            Action::Enqueue { port, .. } if *port >= max_ports && !matches!(*port, OfPort::IN_PORT | OfPort::LOCAL) => {
                return Err(ErrorCode::OFPBAC_BAD_OUT_PORT.into());
            }
            Action::OutputReg { src, .. } => check_src(src, Some(&self.m), tun)?,
            Action::Bundle(bundle) => check_bundle(bundle, max_ports, Some(&self.m), tun)?,
            Action::SetField(set) => return self.set_field(set),
            Action::SetVlanVid { push_if_needed, flow_has_vlan, .. }
            | Action::SetVlanPcp { push_if_needed, flow_has_vlan, .. } => {
                *flow_has_vlan = self.m.key.vlan_tci() & CFI != 0;
                let ok = *flow_has_vlan || *push_if_needed;
                self.inconsistent_unless(ok);
                let tci = self.m.key.vlan_tci();
                self.m.to_mut().key.set_vlan_tci(tci | CFI);
            }
            Action::StripVlan { .. } => self.strip_vlan(),
            Action::PushVlan { .. } => self.push_vlan()?,
            Action::SetIpv4Src(_) | Action::SetIpv4Dst(_) => self.inconsistent_unless(self.m.dl_type() == 0x0800),
            Action::SetIpDscp(_) | Action::SetIpEcn(_) | Action::SetIpTtl(_) | Action::DecTtl(_) => {
                self.inconsistent_unless(self.m.meets(Prereq::Ip));
            }
            Action::SetL4SrcPort { proto, .. } | Action::SetL4DstPort { proto, .. } => {
                let key = &self.m.key;
                *proto = key.nw_proto();
                let first = key.nw_frag() & flow::nw_frag::LATER == 0;
                let ok = self.m.meets(Prereq::Ip) && first && matches!(*proto, 6 | 17 | 132);
                self.inconsistent_unless(ok);
            }
            Action::RegMove { src, dst, .. } => {
                check_src(src, Some(&self.m), tun)?;
                check_dst(dst, Some(&self.m), tun)?;
            }
            Action::StackPush(sub) => check_src(sub, Some(&self.m), tun)?,
            Action::StackPop(sub) => check_dst(sub, Some(&self.m), tun)?,
            Action::Multipath(m) => check_dst(&m.dst, Some(&self.m), tun)?,
            Action::Learn(learn) => self.learn(learn)?,
            Action::Resubmit(r) if r.with_ct_orig && !self.m.meets(Prereq::Ct) => {
                return Err(ErrorCode::OFPBAC_MATCH_INCONSISTENT.into());
            }
            Action::Ct(ct) => return self.ct(ct),
            Action::Nat(nat) => {
                let family = match nat.addresses {
                    Some((IpAddr::V4(_), _)) => 0x0800,
                    Some((IpAddr::V6(_), _)) => 0x86dd,
                    None => self.m.dl_type(),
                };
                if !matches!(family, 0x0800 | 0x86dd) || self.m.dl_type() != family {
                    return Err(ErrorCode::OFPBAC_MATCH_INCONSISTENT.into());
                }
            }
            Action::Clone(list) => return self.nested(list),
            Action::WriteActions(list) => {
                // An action set's order is not this list's, so that only outright errors count.
                let usable = self.usable;
                let result = self.nested(list);
                self.usable = usable;
                return result;
            }
            Action::DeleteField(field) if !matches!(field, Field::TunMetadata(_)) => {
                return Err(ErrorCode::OFPBAC_BAD_ARGUMENT.into());
            }
            Action::Meter(id) if *id == 0 || *id > 0xffff_0000 => {
                return Err(ErrorCode::OFPMMFC_INVALID_METER.into());
            }
            Action::GotoTable(table) => {
                let c = self.c;
                if c.table != 255 && *table <= c.table || c.n_tables != 255 && *table >= c.n_tables {
                    return Err(ErrorCode::OFPBIC_BAD_TABLE_ID.into());
                }
            }
            Action::UnrollXlate { .. } => return Err(ErrorCode::OFPBAC_BAD_TYPE.into()),
            Action::FinTimeout { .. } => self.inconsistent_unless(self.m.key.nw_proto() == 6),
            _ => self.headers(action),
        }
        Ok(())
    }

    fn strip_vlan(&mut self) {
        self.inconsistent_unless(self.has_vlan());
        let key = &mut self.m.to_mut().key;
        key.set_vlan_tci(key.vlan2_tci());
        key.set_vlan_tpid(key.vlan2_tpid());
        key.set_vlan2_tci(0);
        key.set_vlan2_tpid(0);
    }

    fn push_vlan(&mut self) -> Result<(), OfError> {
        let key = &mut self.m.to_mut().key;
        if key.vlan2_tci() & CFI != 0 {
            return Err(ErrorCode::OFPBAC_BAD_TAG.into());
        }
        key.set_vlan2_tci(key.vlan_tci());
        key.set_vlan_tci(CFI);
        Ok(())
    }

    /// Actions that change which headers the packet has.
    fn headers(&mut self, action: &Action) {
        let is_mpls = matches!(self.m.dl_type(), 0x8847 | 0x8848);
        let is_ethernet = self.m.key.packet_type() == 0;
        match action {
            Action::SetMplsLabel(_) | Action::SetMplsTc(_) | Action::SetMplsTtl(_) | Action::DecMplsTtl => {
                self.inconsistent_unless(is_mpls);
            }
            Action::PushMpls { ethertype } => {
                self.inconsistent_unless(is_ethernet);
                self.m.to_mut().key.set_dl_type(*ethertype);
                self.m.to_mut().key.set_nw_proto(0);
            }
            Action::PopMpls { ethertype } => {
                self.inconsistent_unless(is_ethernet && is_mpls);
                self.m.to_mut().key.set_dl_type(*ethertype);
            }
            Action::Encap(encap) => {
                let kind = encap.new_packet_type;
                self.m.to_mut().key.set_packet_type(kind);
                if kind >> 16 == 1 {
                    self.m.to_mut().key.set_dl_type(kind as u16);
                }
                if !self.m.meets(Prereq::Ip) {
                    self.m.to_mut().key.set_nw_proto(0);
                }
            }
            Action::Decap { .. } if is_ethernet => {
                let kind = u32::from(self.m.key.dl_type());
                self.m.to_mut().key.set_packet_type(0x0001_0000 | kind);
            }
            Action::Decap { .. } => {
                self.m.to_mut().key.set_packet_type(u32::MAX);
                self.m.to_mut().key.set_dl_type(u16::MAX);
            }
            Action::DecNshTtl => {
                let nsh = self.m.key.packet_type() == 0x0001_894f || self.m.key.dl_type() == 0x894f;
                self.inconsistent_unless(nsh);
            }
            _ => {}
        }
    }

    fn set_field(&mut self, set: &mut SetField) -> Result<(), OfError> {
        let has_vlan = self.has_vlan();
        if !self.m.meets(set.field.meta().prereq) || set.field == Field::VlanVid && !has_vlan {
            let text = format!("set_field {} lacks correct prerequisites", set.field.meta().name);
            return Err(ErrorCode::OFPBAC_MATCH_INCONSISTENT.because("ofp_actions", text));
        }
        set.flow_has_vlan = has_vlan;
        if set.field == Field::VlanTci {
            self.m.to_mut().key.set_vlan_tci(set.value.to_u128() as u16);
        }
        Ok(())
    }

    fn ct(&mut self, ct: &mut Ct) -> Result<(), OfError> {
        let key = &self.m.key;
        let invalid = key.ct_state() & flow::ct_state::INV != 0 && ct.commit;
        let proto = key.nw_proto();
        if !matches!(self.m.dl_type(), 0x0800 | 0x86dd)
            || invalid
            || ct.alg == 21 && proto != 6
            || ct.alg == 69 && proto != 17
        {
            return Err(ErrorCode::OFPBAC_MATCH_INCONSISTENT.into());
        }
        if let CtZone::Field(sub) = &ct.zone {
            return check_src(sub, Some(&self.m), self.c.tun);
        }
        self.nested(&mut ct.actions)
    }

    fn learn(&self, learn: &Learn) -> Result<(), OfError> {
        let mut new = Match::any();
        for spec in &learn.specs {
            if let LearnSrc::Field(sub) = &spec.src {
                check_src(sub, Some(&self.m), self.c.tun)?;
            }
            match &spec.dst {
                LearnDst::Match(dst) => {
                    check_src(dst, Some(&new), self.c.tun)?;
                    if let LearnSrc::Immediate(octets) = &spec.src {
                        write_bits(&mut new, dst, octets);
                    }
                    new.add_ethernet_prereq(dst.field);
                }
                LearnDst::Load(dst) => check_dst(dst, Some(&new), self.c.tun)?,
                LearnDst::Output => {}
            }
        }
        Ok(())
    }
}

/// Makes a match have a constant in some bits of a field.
fn write_bits(m: &mut Match, dst: &Subfield, octets: &[u8]) {
    if matches!(dst.field, Field::TunMetadata(_)) {
        return;
    }
    let (mut value, mut mask) = m.get(dst.field);
    let number = flow::field::Value::from_slice(octets).to_u128();
    value.set_subfield(dst.ofs.into(), dst.n_bits.into(), number);
    mask.set_subfield(dst.ofs.into(), dst.n_bits.into(), u128::MAX);
    m.constrain(dst.field, &value, &mask, None);
}
