//! Running a list of actions.

use flow::odp::{self, slow};
use openflow::OfPort;
use openflow::action::{Action, Resubmit, Subfield};

use super::Effect;
use super::context::Context;
use super::record::NodeKind;
use super::table::Lookup;

/// Whether to go on with the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Next,
    Stop,
}

impl Context<'_> {
    /// Runs actions in order. `is_last`: nothing is done with the packet afterwards. `in_bucket`: a group's.
    pub fn run_actions(&mut self, actions: &[Action], is_last: bool, in_bucket: bool) {
        if actions.is_empty() {
            self.report(NodeKind::Action, || "drop".to_owned());
            return;
        }
        for (i, action) in actions.iter().enumerate() {
            if self.error.is_some() {
                break;
            }
            self.freeze_for_mpls(action);
            if self.exit {
                if self.freezing {
                    self.freeze_actions(&actions[i..]);
                }
                break;
            }
            let last = is_last && i + 1 == actions.len() && self.action_set.is_empty();
            if self.tracing() {
                let one = std::slice::from_ref(action);
                let text = self.actions_text(one);
                self.report(NodeKind::Action, || text);
            }
            if self.run_action(action, &actions[i + 1..], last, in_bucket) == Flow::Stop {
                return;
            }
            if self.error.is_none() && self.exit && self.is_freeze_new() {
                let from = if self.done_before_freeze(action) { i + 1 } else { i };
                self.freeze_actions(&actions[from..]);
                break;
            }
        }
    }

    /// Whether an action that froze the packet has been carried out, or must be run again.
    fn done_before_freeze(&self, action: &Action) -> bool {
        self.pause.is_some() && matches!(action, Action::Controller(_))
            || matches!(action, Action::DebugRecirc | Action::Decap { .. })
    }

    fn run_action(&mut self, action: &Action, rest: &[Action], last: bool, in_bucket: bool) -> Flow {
        match action {
            Action::Output { port, max_len } => self.output(*port, *max_len, last, false, in_bucket),
            Action::OutputReg { src, max_len, .. } => self.output_reg(src, *max_len, last, in_bucket),
            Action::OutputTrunc { port, max_len } => self.output_trunc(*port, *max_len, last, in_bucket),
            Action::Enqueue { port, queue } => self.enqueue(*port, *queue, last),
            Action::Group(id) => {
                if self.group(*id, last) {
                    return Flow::Stop;
                }
            }
            Action::Controller(controller) => self.controller(controller),
            Action::Bundle(bundle) => self.bundle(bundle, last, in_bucket),
            Action::Multipath(multipath) => self.multipath(multipath),
            Action::DecTtl(ids) => {
                if self.dec_ttl(ids.as_deref().unwrap_or(&[0])) {
                    return Flow::Stop;
                }
            }
            Action::DecMplsTtl => {
                if self.dec_mpls_ttl() {
                    return Flow::Stop;
                }
            }
            Action::DecNshTtl => {
                if self.dec_nsh_ttl() {
                    return Flow::Stop;
                }
            }
            Action::PushMpls { ethertype } => self.push_mpls(*ethertype),
            Action::PopMpls { ethertype } => self.pop_mpls(*ethertype),
            Action::Resubmit(resubmit) => self.resubmit(resubmit, last),
            Action::GotoTable(table) => self.goto_table(*table, last),
            Action::Learn(learn) => self.learn(learn),
            Action::FinTimeout { idle, hard } => self.fin_timeout(*idle, *hard),
            Action::Exit => self.exit = true,
            Action::UnrollXlate { table, cookie } => {
                self.table = *table;
                self.rule_cookie = *cookie;
                // The cookie is told in the order of the wire, as 3.1 does.
                let told = match cookie.swap_bytes() {
                    0 => "0".to_owned(),
                    cookie => format!("{cookie:#x}"),
                };
                self.report(NodeKind::Thaw, || format!("restored state: table={table}, cookie={told}"));
            }
            Action::Ct(ct) => self.ct(ct, last),
            Action::CtClear => {
                if self.conntracked || self.flow.ct_state() != 0 {
                    self.ct_clear();
                }
            }
            Action::Nat(nat) => self.ct_nat = Some((**nat).clone()),
            Action::Clone(list) => self.clone_actions(list, last, false),
            Action::CheckPktLarger { len, dst } => {
                if !self.view.support.check_pkt_len {
                    self.measure_packet(*len, dst);
                } else {
                    self.check_pkt_larger(*len, dst, rest);
                    return Flow::Stop;
                }
            }
            Action::Encap(encap) => self.encap(encap),
            Action::Decap { new_packet_type } => self.decap(*new_packet_type),
            Action::DebugRecirc => self.trigger_freeze(),
            Action::DebugSlow => self.slow |= slow::ACTION,
            Action::Meter(id) => {
                if let Some(meter) = self.bridge.meters.get(id) {
                    self.odp.push(odp::Action::Meter(meter.dp_id));
                }
            }
            Action::ClearActions => {
                self.report_action_set("was");
                self.action_set.clear();
                self.action_set_has_group = false;
                self.flow.set_actset_output(OfPort::UNSET.to_11());
            }
            Action::WriteActions(list) => {
                self.write_actions(list);
                self.report_action_set("is");
            }
            Action::Sample(sample) => self.sample(sample),
            // Conjunctions are the classifier's; notes say nothing.
            Action::Conjunction { .. } | Action::Note(_) => {}
            _ => self.set_something(action),
        }
        Flow::Next
    }

    pub(super) fn report_action_set(&mut self, verb: &str) {
        if !self.tracing() {
            return;
        }
        let list = openflow::action::execute_action_set(&self.action_set);
        if list.is_empty() {
            self.report(NodeKind::Detail, || format!("action set {verb} empty"));
        } else {
            let text = self.actions_text(&list);
            self.report(NodeKind::Detail, || format!("action set {verb}: {text}"));
        }
    }

    /// Adds to the action set, and keeps `actset_output` true to it.
    pub fn write_actions(&mut self, list: &[Action]) {
        if !self.action_set_has_group {
            for action in list {
                match action {
                    Action::Output { port, .. } => self.flow.set_actset_output(port.to_11()),
                    Action::Group(_) => {
                        self.flow.set_actset_output(OfPort::UNSET.to_11());
                        self.action_set_has_group = true;
                        break;
                    }
                    _ => {}
                }
            }
        }
        self.action_set.extend_from_slice(list);
    }

    fn resubmit(&mut self, resubmit: &Resubmit, last: bool) {
        let in_port = match resubmit.in_port {
            OfPort::IN_PORT => self.flow.in_port(),
            port => port.to_11(),
        };
        let mut may_packet_in = false;
        let mut honor_miss = false;
        if self.rule.as_ref().is_some_and(|r| r.table() == crate::view::INTERNAL_TABLE) {
            may_packet_in = true;
            honor_miss = true;
        }
        let table = if resubmit.table == 0xff { self.table } else { resubmit.table };
        let with_ct_orig = resubmit.with_ct_orig;
        self.go_to_table(Lookup { table, in_port, may_packet_in, honor_miss, with_ct_orig }, last, false);
    }

    fn goto_table(&mut self, table: u8, last: bool) {
        let in_port = self.flow.in_port();
        let to = Lookup { table, in_port, may_packet_in: true, honor_miss: true, with_ct_orig: false };
        self.go_to_table(to, last, false);
    }

    fn fin_timeout(&mut self, idle: u16, hard: u16) {
        self.wc.set_nw_proto(u8::MAX);
        if let Some(rule) = self.rule.clone() {
            let bridge = self.bridge.id;
            self.effect(Effect::FinTimeout { bridge, rule, idle, hard });
        }
    }

    /// Writes a subfield if the packet has it, and says so.
    pub(super) fn load(&mut self, dst: &Subfield, number: u128) {
        if self.meets(dst.field) {
            self.mask_subfield(dst);
            self.write(dst, number);
        }
    }
}
