//! Connection tracking: `ct`, `ct_clear`, and what of the flow they make invalid.

use flow::odp;
use openflow::action::{Ct, CtZone, Nat, NatDirection};

use super::context::Context;

/// Events of a connection that are told.
const EVENTS: u32 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 10;

impl Context<'_> {
    /// The connection's fields are valid only right after tracking.
    pub(super) fn clear_conntrack(&mut self) {
        self.conntracked = false;
        let flow = &mut self.flow;
        flow.set_ct_state(0);
        flow.set_ct_zone(0);
        flow.set_ct_mark(0);
        flow.set_ct_label(0);
        flow.set_ct_nw_proto(0);
        flow.set_ct_tp_src(0);
        flow.set_ct_tp_dst(0);
        if flow.dl_type() == 0x0800 {
            flow.set_ct_nw_src(0);
            flow.set_ct_nw_dst(0);
        } else if flow.dl_type() == 0x86dd {
            flow.set_ct_ipv6_src(0);
            flow.set_ct_ipv6_dst(0);
        }
    }

    pub(super) fn ct_clear(&mut self) {
        self.clear_conntrack();
        self.odp.push(odp::Action::CtClear);
    }

    pub(super) fn ct(&mut self, ct: &Ct, is_last: bool) {
        let zone = match ct.zone {
            CtZone::Imm(zone) => zone,
            CtZone::Field(src) => {
                let frozen = self.thawed && is_frozen_metadata(src.field);
                if frozen { self.read(&src) as u16 } else { self.read_exact(&src) as u16 }
            }
        };
        self.commit();
        let (old_mark, old_label) = (self.wc.ct_mark(), self.wc.ct_label());
        self.ct_nat = None;
        self.wc.set_ct_mark(0);
        self.wc.set_ct_label(0);
        self.run_actions(&ct.actions, is_last, false);
        let (mark_mask, label_mask) = (self.wc.ct_mark(), self.wc.ct_label());
        let mark = (mark_mask != 0).then(|| (self.flow.ct_mark() & mark_mask, mark_mask));
        let label = (label_mask != 0).then(|| (self.flow.ct_label() & label_mask, label_mask));
        let helper = match ct.alg {
            21 => Some("ftp"),
            69 => Some("tftp"),
            _ => None,
        };
        // The policy holds from a connection's beginning.
        let timeout = self.bridge.ct_timeouts.get(&zone).filter(|_| ct.commit).map(|n| n.to_string().into());
        let nat = self.ct_nat.as_ref().map(odp_nat);
        self.odp.push(odp::Action::Ct(Box::new(odp::Ct {
            commit: ct.commit,
            force: ct.force,
            zone,
            mark,
            label,
            helper,
            timeout,
            nat,
            event_mask: ct.commit.then_some(EVENTS),
        })));
        self.wc.set_ct_mark(old_mark);
        self.wc.set_ct_label(old_label);
        if let Some(table) = ct.table {
            self.conntracked = true;
            self.fork_recirculation(table, zone);
        }
        self.ct_nat = None;
        self.detail("Sets the packet to an untracked state, and clears all the conntrack fields.");
        self.clear_conntrack();
    }
}

fn is_frozen_metadata(field: flow::Field) -> bool {
    use flow::Field as F;
    field.is_register() || field.is_tunnel() || matches!(field, F::Metadata | F::InPort | F::InPortOxm)
}

fn odp_nat(nat: &Nat) -> odp::CtNat {
    let (ip_min, ip_max) = match nat.addresses {
        Some((first, last)) => (Some(first), last),
        None => (None, None),
    };
    let (port_min, port_max) = match nat.ports {
        Some((first, last)) => (first, last.unwrap_or(0)),
        None => (0, 0),
    };
    odp::CtNat {
        src: nat.direction.map(|d| d == NatDirection::Src),
        ip_min,
        ip_max,
        port_min,
        port_max,
        persistent: nat.persistent,
        hash: nat.hash,
        random: nat.random,
    }
}
