//! What rules, groups and the action set ask about lists of actions.
//!
//! Source: OpenFlow 1.5.1 section 5.6 (action set), ovs-actions(7).

use flow::field::Field;

use super::{Action, LearnDst, LearnSrc, SetField, Subfield};
use crate::OfPort;

/// Calls `f` for every action, nested ones in place of those that hold them, until it returns true.
fn any(actions: &[Action], f: &mut dyn FnMut(&Action) -> bool) -> bool {
    actions.iter().any(|action| match action {
        Action::Clone(list) | Action::WriteActions(list) => any(list, f),
        Action::Ct(ct) => any(&ct.actions, f),
        action => f(action),
    })
}

/// Whether any action, nested ones included, outputs to `port`.
pub fn outputs_to_port(actions: &[Action], port: OfPort) -> bool {
    any(actions, &mut |action| match action {
        Action::Output { port: p, .. } | Action::Enqueue { port: p, .. } => *p == port,
        Action::Controller(_) => port == OfPort::CONTROLLER,
        _ => false,
    })
}

/// Whether any action, nested ones included, goes to group `id`.
pub fn outputs_to_group(actions: &[Action], id: u32) -> bool {
    any(actions, &mut |action| matches!(action, Action::Group(group) if *group == id))
}

/// Whether any action, nested ones included, reads or writes a field that `is_meant`.
pub fn names_field(actions: &[Action], is_meant: &dyn Fn(Field) -> bool) -> bool {
    let part = |subfield: &Subfield| is_meant(subfield.field);
    any(actions, &mut |action| match action {
        Action::SetField(set) => is_meant(set.field),
        Action::DeleteField(field) => is_meant(*field),
        Action::RegMove { src, dst, .. } => part(src) || part(dst),
        Action::StackPush(place) | Action::StackPop(place) => part(place),
        Action::OutputReg { src, .. } => part(src),
        Action::CheckPktLarger { dst, .. } => part(dst),
        Action::Multipath(multipath) => part(&multipath.dst),
        Action::Bundle(bundle) => bundle.dst.as_ref().is_some_and(part),
        Action::Learn(learn) => {
            learn.result_dst.as_ref().is_some_and(part)
                || learn.specs.iter().any(|spec| {
                    matches!(&spec.src, LearnSrc::Field(place) if part(place))
                        || matches!(&spec.dst, LearnDst::Match(place) | LearnDst::Load(place) if part(place))
                })
        }
        _ => false,
    })
}

/// The meter instruction in front of the actions.
pub fn meter(actions: &[Action]) -> Option<u32> {
    match actions.first() {
        Some(Action::Meter(id)) => Some(*id),
        _ => None,
    }
}

/// Class of an action in the action set.
enum Class {
    /// Only the last counts; executed in this order.
    Slot(usize),
    /// One of these ends the set; of several the highest, of equals the last.
    Final(u8),
    /// All are executed, in the order of writing.
    SetOrMove,
    /// Not allowed.
    Invalid,
}

/// Number of [`Class::Slot`]s.
const N_SLOTS: usize = 9;

fn classify(action: &Action) -> Class {
    match action {
        Action::StripVlan { .. } => Class::Slot(0),
        Action::PopMpls { .. } => Class::Slot(1),
        Action::Decap { .. } => Class::Slot(2),
        Action::Encap(_) => Class::Slot(3),
        Action::PushMpls { .. } => Class::Slot(4),
        Action::PushVlan { .. } => Class::Slot(5),
        Action::DecTtl(_) => Class::Slot(6),
        Action::DecMplsTtl => Class::Slot(7),
        Action::DecNshTtl => Class::Slot(8),
        Action::Ct(_) => Class::Final(0),
        Action::CtClear => Class::Final(1),
        Action::Resubmit(_) => Class::Final(2),
        Action::Output { .. } => Class::Final(3),
        Action::Group(_) => Class::Final(4),
        Action::SetField(_)
        | Action::RegMove { .. }
        | Action::SetEthDst(_)
        | Action::SetEthSrc(_)
        | Action::SetIpDscp(_)
        | Action::SetIpEcn(_)
        | Action::SetIpTtl(_)
        | Action::SetIpv4Dst(_)
        | Action::SetIpv4Src(_)
        | Action::SetL4DstPort { .. }
        | Action::SetL4SrcPort { .. }
        | Action::SetMplsLabel(_)
        | Action::SetMplsTc(_)
        | Action::SetMplsTtl(_)
        | Action::SetQueue(_)
        | Action::SetTunnel { .. }
        | Action::SetVlanPcp { .. }
        | Action::SetVlanVid { .. } => Class::SetOrMove,
        _ => Class::Invalid,
    }
}

/// Whether an action may be written to the action set.
pub fn is_allowed_in_set(action: &Action) -> bool {
    !matches!(classify(action), Class::Invalid)
}

/// The list that executes an action set, given everything written to it in order: empty unless something in it ends the
/// packet's way.
pub fn execute_action_set(written: &[Action]) -> Vec<Action> {
    let mut slots: [Option<&Action>; N_SLOTS] = [None; N_SLOTS];
    let mut changes = Vec::new();
    let mut last: Option<(u8, &Action)> = None;
    for action in written {
        match classify(action) {
            Class::Slot(i) => slots[i] = Some(action),
            Class::Final(rank) if last.is_none_or(|(r, _)| rank >= r) => last = Some((rank, action)),
            Class::SetOrMove => changes.push(action),
            Class::Final(_) | Class::Invalid => {}
        }
    }
    match last {
        Some((_, action)) => slots.into_iter().flatten().chain(changes).chain([action]).cloned().collect(),
        None => Vec::new(),
    }
}

/// The runs of at most 64 bits that a `set_field` writes, with the numbers written.
pub(crate) fn load_segments(set: &SetField) -> smallvec::SmallVec<[(Subfield, u64); 2]> {
    let n_bits = match set.field {
        flow::Field::TunMetadata(_) => set.value.len() * 8,
        field => usize::from(field.meta().n_bits),
    };
    let mut segments = smallvec::SmallVec::new();
    let mut at = 0;
    while let Some(ofs) = (at..n_bits).find(|i| set.mask.bit(*i)) {
        let limit = n_bits.min(ofs + 64);
        let end = (ofs + 1..limit).find(|i| !set.mask.bit(*i)).unwrap_or(limit);
        let sub = Subfield::of(set.field, ofs as u16, (end - ofs) as u16, None);
        segments.push((sub, set.value.subfield(ofs, end - ofs) as u64));
        at = end;
    }
    segments
}
