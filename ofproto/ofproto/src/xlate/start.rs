//! Where a translation begins, and its end: the action set, the last freeze, the empty verdict.

use std::sync::Arc;

use flow::odp::{self, DropReason};
use openflow::OfPort;
use openflow::action::Action;

use super::context::Context;
use super::recirc::FrozenState;
use super::record::NodeKind;
use super::{Effect, Start, frozen_mask};
use crate::view::{BondView, BundleView, PacketTypeMode, PortKind};

impl Context<'_> {
    pub(super) fn start(&mut self) {
        let outer = self.enter(NodeKind::Bridge, |ctx| {
            let traced = ctx.recorder.as_ref().map(|recorder| &recorder.bridge);
            format!("bridge(\"{}\")", traced.unwrap_or(&ctx.bridge.name))
        });
        self.begin();
        self.leave_to(outer);
        if self.error.is_none() && self.odp.is_empty() && self.view.support.explicit_drop {
            self.odp.push(odp::Action::Drop(DropReason::OfPipeline));
        }
    }

    fn begin(&mut self) {
        let mut given: Option<Arc<[Action]>> = None;
        match &self.input.start {
            Start::Actions(actions) => given = Some(Arc::clone(actions)),
            Start::PacketOut(actions) => {
                given = Some(Arc::clone(actions));
                self.in_packet_out = true;
            }
            Start::Frozen(state) => given = self.thaw(&Arc::clone(state)),
            Start::Key if self.flow.recirc_id() != 0 => {
                let id = self.flow.recirc_id();
                if let Some(bundle) = self.bond_of(id) {
                    return self.output_bond_member(&bundle);
                }
                let Some(state) = self.recirc.get(id).cloned() else {
                    self.report_error(|| format!("Recirculation context not found for ID {id:x}"));
                    self.error = Some(DropReason::NoRecirculationContext);
                    return;
                };
                if state.from_nowhere && !self.tracing() {
                    self.error = Some(DropReason::NoRecirculationContext);
                    return;
                }
                given = self.thaw(&state);
            }
            Start::Key => {}
        }
        let in_port = self.in_port();
        let port = self.port(in_port).cloned();
        self.from_nowhere = !self.thawed && port.is_none() && !matches!(in_port, OfPort::NONE | OfPort::CONTROLLER);
        if !self.thawed
            && let Some(port) = &port
            && (port.is_patch() || matches!(port.kind, PortKind::Tunnel(_)))
        {
            let rx = Some(self.port_ref(in_port));
            self.effect(Effect::Port { tx: None, rx });
        }
        if !self.thawed
            && self.flow.packet_type() != 0
            && port.as_ref().is_some_and(|p| p.packet_type_mode == PacketTypeMode::LegacyL3)
        {
            // Rules see a packet with an Ethernet header, all zeros but for its type.
            self.flow.set_packet_type(0);
            self.flow.set_dl_src(0);
            self.flow.set_dl_dst(0);
            self.pending = super::context::Pending::EncapEth;
        }
        let outer = self.recorder.as_ref().map_or(0, |r| r.depth());
        let actions = match given {
            Some(actions) => actions,
            None => {
                let table = self.table;
                let rule = self.lookup(table, self.flow.in_port(), true, true);
                self.enter_table(&rule, self.table);
                let actions = Arc::clone(&rule.actions);
                self.use_rule(&rule);
                actions
            }
        };
        self.go(port.as_deref(), &actions);
        self.leave_to(outer);
    }

    fn go(&mut self, port: Option<&crate::view::PortView>, actions: &[Action]) {
        if !self.thawed && port.is_some_and(|p| self.process_special(p)) {
            return;
        }
        if !self.thawed {
            self.begin_sample();
        }
        if let Some(bundle) = port.and_then(|p| self.bundle_of(p)).cloned()
            && self.is_mirror_output(bundle.id)
        {
            let name = &bundle.name;
            self.report_error(|| {
                format!("dropping packet received on port {name}, which is reserved exclusively for mirroring")
            });
            return;
        }
        if port.is_some_and(|p| !self.may_receive(p)) {
            return;
        }
        if !self.thawed && port.is_some_and(|p| p.tunnel().is_some()) && !self.receive_congestion() {
            self.unmarkable = true;
            if self.view.support.explicit_drop {
                self.odp.push(odp::Action::Drop(DropReason::CongestionDrop));
            }
            return;
        }
        self.mirror_ingress();
        self.run_actions(actions, true, false);
        if self.error.is_some() {
            return;
        }
        if port.is_some_and(|p| !p.stp.forwards()) {
            // NORMAL and `learn` have seen the packet; nothing is to be sent.
            self.odp.truncate(self.samples_at_head);
            self.cancel_freeze();
            self.action_set.clear();
            self.error = Some(DropReason::ForwardingDisabled);
            return;
        }
        if !self.freezing {
            self.run_action_set();
        }
        if self.freezing {
            self.finish_freezing();
        }
    }

    /// Takes up a frozen state. Gives the actions to go on with, if any.
    fn thaw(&mut self, state: &FrozenState) -> Option<Arc<[Action]>> {
        self.thawed = true;
        self.table = state.table;
        let outer = self.enter(NodeKind::Thaw, |_| "thaw".to_owned());
        let actions = self.restore(state);
        self.leave_to(outer);
        actions
    }

    fn restore(&mut self, state: &FrozenState) -> Option<Arc<[Action]>> {
        let table = state.table;
        self.detail_of_thaw(|| format!("Resuming from table {table}"));
        self.conntracked = state.conntracked;
        if !state.conntracked {
            self.clear_conntrack();
        }
        let keep = frozen_mask();
        for i in 0..flow::WORDS {
            self.flow.0[i] = (self.flow.0[i] & !keep.0[i]) | (state.metadata.0[i] & keep.0[i]);
        }
        self.base.0[..flow::key::REG_WORD].copy_from_slice(&self.flow.0[..flow::key::REG_WORD]);
        self.stack.clone_from(&state.stack);
        self.mirrors = state.mirrors;
        if !state.action_set.is_empty() {
            self.flow.set_actset_output(OfPort::UNSET.to_11());
            self.report_actions(NodeKind::Thaw, "Restoring action set", &state.action_set);
            self.write_actions(&state.action_set);
        }
        if state.actions.is_empty() {
            return None;
        }
        self.report_actions(NodeKind::Thaw, "Restoring actions", &state.actions);
        Some(Arc::clone(&state.actions))
    }

    fn detail_of_thaw(&mut self, text: impl FnOnce() -> String) {
        self.report(NodeKind::Thaw, text);
    }

    pub(super) fn report_actions(&mut self, kind: NodeKind, title: &str, actions: &[Action]) {
        if self.tracing() {
            let text = self.actions_text(actions);
            self.report(kind, || format!("{title}: {text}"));
        }
    }

    /// The bond that a recirculation identifier stands for.
    fn bond_of(&self, id: u32) -> Option<Arc<BundleView>> {
        let is_it = |b: &BondView| b.recirc_id == id;
        self.bridge.bundles.values().find(|b| b.bond.as_ref().is_some_and(is_it)).cloned()
    }

    fn output_bond_member(&mut self, bundle: &BundleView) {
        self.thawed = true;
        self.wc.set_dp_hash(self.wc.dp_hash() | 0xff);
        let bucket = (self.flow.dp_hash() & 0xff) as u8;
        let member = bundle.bond.as_ref().and_then(|b| b.buckets.get(usize::from(bucket)).copied().flatten());
        let bridge = self.bridge.id;
        self.effect(Effect::Bond { bridge, bundle: bundle.id, bucket, recirculated: true });
        if let Some(port) = member {
            self.flow.set_in_port(OfPort::NONE.to_11());
            self.output_port(port, super::output::Via::Port, true, false);
        }
    }

    /// Executes what `write_actions` has gathered.
    pub(super) fn run_action_set(&mut self) {
        self.in_action_set = true;
        let list = openflow::action::execute_action_set(&std::mem::take(&mut self.action_set));
        self.action_set_has_group = false;
        if !list.is_empty() {
            let outer = self.enter(NodeKind::Table, |_| "--. Executing action set:".to_owned());
            self.run_actions(&list, true, false);
            self.leave_to(outer);
        }
        self.in_action_set = false;
    }
}
