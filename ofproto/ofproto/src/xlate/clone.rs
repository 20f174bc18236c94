//! Copies of the packet: `clone`, patch ports, and both branches of `check_pkt_larger`.

use flow::odp;
use openflow::action::{Action, Subfield};

use super::context::Context;

/// Levels of samples that copies leave to others. Where a datapath nests no deeper, none is made of samples.
const SAMPLES_KEPT: usize = 3;

/// Whether what the actions do to the packet can be taken back by writing its headers again.
fn is_reversible(actions: &[Action]) -> bool {
    actions.iter().all(|action| match action {
        Action::Ct(_)
        | Action::Meter(_)
        | Action::Nat(_)
        | Action::OutputTrunc { .. }
        | Action::Encap(_)
        | Action::Decap { .. }
        | Action::DecNshTtl => false,
        Action::Clone(list) => is_reversible(list),
        _ => true,
    })
}

impl Context<'_> {
    /// The action set, or the freeze, that ends a packet's way.
    pub(super) fn finish_copy(&mut self) {
        if !self.freezing {
            self.run_action_set();
        }
        if self.freezing {
            self.finish_freezing();
        }
    }

    /// Runs actions on a copy; the packet, its stack and action set stay as they are. An `exit` among them ends the whole
    /// pipeline, as in Open vSwitch.
    pub(super) fn clone_actions(&mut self, actions: &[Action], is_last: bool, in_bucket: bool) {
        let old_stack = self.stack.clone();
        let old_set = self.action_set.clone();
        let old_has_group = self.action_set_has_group;
        let (old_flow, old_was_tagged) = (self.flow.clone(), self.was_tagged);
        if is_last || is_reversible(actions) {
            self.run_actions(actions, is_last, in_bucket);
            self.finish_copy();
        } else if !self.view.support.clone && self.view.support.sample_nesting <= SAMPLES_KEPT {
            self.report_error(|| "Failed to compose clone action".to_owned());
        } else {
            self.commit();
            let (base, was_mpls, conntracked) = (self.base.clone(), self.was_mpls, self.conntracked);
            let outer = std::mem::take(&mut self.odp);
            self.run_actions(actions, true, false);
            self.finish_copy();
            let inner = std::mem::replace(&mut self.odp, outer);
            if !inner.is_empty() {
                // A datapath that makes no copies as such makes those that are samples of every packet.
                self.odp.push(match self.view.support.clone {
                    true => odp::Action::Clone(inner.into()),
                    false => odp::Action::Sample { probability: u32::MAX, actions: inner.into() },
                });
            }
            self.conntracked = conntracked;
            self.was_mpls = was_mpls;
            self.base = base;
        }
        self.stack = old_stack;
        self.action_set = old_set;
        self.action_set_has_group = old_has_group;
        self.flow = old_flow;
        self.was_tagged = old_was_tagged;
    }

    /// `check_pkt_larger(...)`: the rest of the list twice, once for each answer.
    pub(super) fn check_pkt_larger(&mut self, len: u16, dst: &Subfield, rest: &[Action]) {
        self.commit();
        let greater = self.branch(dst, 1, rest);
        self.exit = false;
        let less_equal = self.branch(dst, 0, rest);
        self.odp.push(odp::Action::CheckPktLen { len, greater, less_equal });
    }

    /// The same where the datapath cannot tell: each packet comes up and is measured here.
    pub(super) fn measure_packet(&mut self, len: u16, dst: &Subfield) {
        self.slow |= odp::slow::ACTION;
        if let Some(packet) = self.input.packet {
            self.write(dst, u128::from(packet.len() > usize::from(len)));
        }
    }

    fn branch(&mut self, dst: &Subfield, answer: u128, rest: &[Action]) -> odp::Actions {
        let (flow, base) = (self.flow.clone(), self.base.clone());
        let (was_mpls, was_tagged, conntracked) = (self.was_mpls, self.was_tagged, self.conntracked);
        let set = self.action_set.clone();
        let has_group = self.action_set_has_group;
        let stack = self.stack.clone();
        let outer = std::mem::take(&mut self.odp);
        self.write(dst, answer);
        self.run_actions(rest, true, false);
        self.finish_copy();
        let inner = std::mem::replace(&mut self.odp, outer);
        self.flow = flow;
        self.base = base;
        self.was_mpls = was_mpls;
        self.was_tagged = was_tagged;
        self.conntracked = conntracked;
        self.stack = stack;
        if answer == 1 {
            self.action_set = set;
            self.action_set_has_group = has_group;
        }
        inner.into()
    }
}
