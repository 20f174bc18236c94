//! Looking a packet up in tables, and going on with the rule found.

use std::sync::Arc;

use flow::nw_frag;
use flow::odp::DropReason;
use openflow::OfPort;
use openflow::message::port::port_config;
use openflow::message::table::TableMiss;

use super::context::Context;
use super::record::NodeKind;
use super::{Effect, MAX_DEPTH, MAX_ODP_ACTIONS, MAX_RESUBMITS};
use crate::rule::Rule;
use crate::table::TableView;
use crate::view::{FragHandling, INTERNAL_TABLE};

/// What a resubmit asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lookup {
    pub table: u8,
    /// Input port to look up with, 32-bit form.
    pub in_port: u32,
    pub may_packet_in: bool,
    pub honor_miss: bool,
    pub with_ct_orig: bool,
}

impl Context<'_> {
    /// The rule for the packet in `table` or, where a table's configuration says so, a later one; sets the table.
    pub fn lookup(&mut self, table: u8, in_port: u32, may_packet_in: bool, honor_miss: bool) -> Arc<Rule> {
        self.table = table;
        let drops_frags = matches!(self.bridge.frag, FragHandling::Drop | FragHandling::Reassemble);
        if self.flow.nw_frag() & nw_frag::ANY != 0 && drops_frags {
            self.credit_table(table, true);
            return Arc::clone(&self.bridge.drop_frags_rule);
        }
        let (old_in_port, old_ports) = (self.flow.in_port(), (self.flow.tp_src(), self.flow.tp_dst()));
        if self.flow.nw_frag() & nw_frag::ANY != 0 && self.bridge.frag == FragHandling::Normal {
            // No fragment's ports are seen, so that all fragments of a datagram fare alike.
            self.flow.set_tp_src(0);
            self.flow.set_tp_dst(0);
        }
        self.flow.set_in_port(in_port);
        let found = self.lookup_chain(table, honor_miss);
        self.flow.set_in_port(old_in_port);
        self.flow.set_tp_src(old_ports.0);
        self.flow.set_tp_dst(old_ports.1);
        match found {
            Ok(rule) => rule,
            Err(miss) => self.miss(miss, old_in_port, may_packet_in),
        }
    }

    /// A table of the bridge with the rules that this translation has taught it, if there are any.
    pub fn taught(&self, id: u8) -> Option<&Arc<TableView>> {
        let mut taught = self.taught.iter();
        taught.find(|(bridge, table)| (*bridge, table.id) == (self.bridge.id, id)).map(|(_, table)| table)
    }

    fn lookup_chain(&mut self, first: u8, honor_miss: bool) -> Result<Arc<Rule>, TableMiss> {
        let mut miss = TableMiss::Default;
        let mut id = first;
        loop {
            self.table = id;
            if let Some(taught) = self.taught(id).cloned() {
                // What the packet itself has taught matters, but is not for it.
                taught.lookup(&self.flow, &mut self.wc);
            }
            let view = self.bridge.table(id);
            let rule = view.and_then(|t| t.lookup(&self.flow, &mut self.wc)).cloned();
            self.credit_table(id, rule.is_some());
            if let Some(rule) = rule {
                return Ok(rule);
            }
            if honor_miss {
                miss = view.map_or(TableMiss::Default, |t| t.miss);
            }
            let next = id.saturating_add(1);
            if !honor_miss || miss != TableMiss::Continue || next >= INTERNAL_TABLE {
                return Err(miss);
            }
            id = next;
        }
    }

    fn miss(&self, miss: TableMiss, in_port: u32, may_packet_in: bool) -> Arc<Rule> {
        let asks = || {
            let port = OfPort::from_11(in_port).and_then(|p| self.bridge.ports.get(&p));
            port.is_some_and(|p| p.config & port_config::NO_PACKET_IN == 0)
        };
        let to_controller = may_packet_in
            && match miss {
                TableMiss::Continue | TableMiss::Controller => asks(),
                TableMiss::Default => self.bridge.miss_to_controller,
                TableMiss::Drop => false,
            };
        Arc::clone(if to_controller { &self.bridge.miss_rule } else { &self.bridge.no_packet_in_rule })
    }

    fn credit_table(&mut self, table: u8, matched: bool) {
        let bridge = self.bridge.id;
        self.effect(Effect::Table { bridge, table, matched });
    }

    /// The rule's counters take the packet, and its actions are its own from here on.
    pub fn use_rule(&mut self, rule: &Arc<Rule>) {
        let bridge = self.bridge.id;
        self.effect(Effect::Rule { bridge, rule: Arc::clone(rule) });
        self.rule_cookie = rule.cookie;
        self.rule = Some(Arc::clone(rule));
    }

    pub fn enter_table(&mut self, rule: &Arc<Rule>, table: u8) -> usize {
        self.enter(NodeKind::Table, |ctx| format!("{table:2}. {}", ctx.rule_text(rule)))
    }

    fn rule_text(&self, rule: &Arc<Rule>) -> String {
        let internal = [
            (&self.bridge.miss_rule, "No match, and a \"packet-in\" is called for."),
            (&self.bridge.no_packet_in_rule, "No match."),
            (&self.bridge.drop_frags_rule, "Packets are IP fragments and the fragment handling mode is \"drop\"."),
        ];
        for (i, (own, text)) in internal.into_iter().enumerate() {
            if Arc::ptr_eq(rule, own) {
                // Behind a patch port these are shown as what they are in the internal table.
                let first = self.bridge.id == self.input.bridge;
                return if first { text.to_owned() } else { format!("reg0={:#x}, priority 0", i + 1) };
            }
        }
        let matching = rule.matching();
        let tun = matching.tun.as_deref();
        let names = self.port_names();
        let ports = names.as_ref().map(|n| n as _);
        let options = flow::match_text::Options { tun, ports, ..Default::default() };
        let mut text = flow::match_text::format(&matching.key, &matching.mask, &options);
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&format!("priority {}", rule.priority));
        if rule.cookie != 0 {
            text.push_str(&format!(", cookie {:#x}", rule.cookie));
        }
        text
    }

    /// Whether the limits leave room for one more step.
    pub fn may_go_on(&mut self) -> bool {
        let (text, reason) = if self.depth >= MAX_DEPTH {
            (format!("over max translation depth {MAX_DEPTH}"), Some(DropReason::RecursionTooDeep))
        } else if self.resubmits >= MAX_RESUBMITS {
            (format!("over {MAX_RESUBMITS} resubmit actions"), Some(DropReason::TooManyResubmit))
        } else if self.odp.len() >= MAX_ODP_ACTIONS {
            self.exit = true;
            ("resubmits yielded over 64 kB of actions".to_owned(), None)
        } else if self.stack.iter().map(|value| value.len() + 1).sum::<usize>() >= 65536 {
            ("resubmits yielded over 64 kB of stack".to_owned(), Some(DropReason::StackTooDeep))
        } else {
            return true;
        };
        self.report_error(|| text);
        if reason.is_some() {
            self.error = reason;
        }
        false
    }

    /// Goes on in a table. `isolate`: as across a patch, with its own stack and action set.
    pub fn go_to_table(&mut self, to: Lookup, is_last: bool, isolate: bool) {
        if self.was_mpls {
            self.trigger_freeze();
        }
        if self.exit && self.freezing {
            return;
        }
        if !self.may_go_on() {
            return;
        }
        let old_table = self.table;
        self.table = to.table;
        if to.with_ct_orig {
            if self.flow.ct_nw_proto() == 0 || !super::wildcard::is_ip(&self.flow) {
                self.report_error(|| "resubmit(ct) with non-tracked or non-IP packet!".to_owned());
                self.table = old_table;
                return;
            }
            self.swap_tuple();
        }
        let rule = self.lookup(to.table, to.in_port, to.may_packet_in, to.honor_miss);
        if to.with_ct_orig {
            self.swap_tuple();
        }
        // Where a table had no match and its miss goes on to the next, what was asked for is what is shown.
        let outer = self.enter_table(&rule, to.table);
        self.recurse(&rule, to.table <= old_table, is_last, isolate);
        self.leave_to(outer);
        self.table = old_table;
    }

    fn recurse(&mut self, rule: &Arc<Rule>, deepens: bool, is_last: bool, isolate: bool) {
        let (old_rule, old_cookie) = (self.rule.take(), self.rule_cookie);
        self.depth += u32::from(deepens);
        self.resubmits += 1;
        self.use_rule(rule);
        let actions = Arc::clone(&rule.actions);
        if isolate {
            self.clone_actions(&actions, is_last, false);
        } else {
            self.run_actions(&actions, is_last, false);
        }
        self.rule = old_rule;
        self.rule_cookie = old_cookie;
        self.depth -= u32::from(deepens);
    }

    /// Exchanges addresses, protocol and ports with those of the connection's original direction.
    fn swap_tuple(&mut self) {
        use flow::key::word;
        let mut words = Vec::new();
        if self.flow.dl_type() == 0x0800 {
            words.push((word::NW, word::CT_NW));
        } else {
            words.extend((0..4).map(|i| (word::IPV6_SRC + i, word::CT_IPV6 + i)));
        }
        for (a, b) in words {
            self.flow.0.swap(a, b);
            self.wc.0.swap(a, b);
        }
        let (proto, ct_proto) = (self.flow.nw_proto(), self.flow.ct_nw_proto());
        self.flow.set_nw_proto(ct_proto);
        self.flow.set_ct_nw_proto(proto);
        let (proto, ct_proto) = (self.wc.nw_proto(), self.wc.ct_nw_proto());
        self.wc.set_nw_proto(ct_proto);
        self.wc.set_ct_nw_proto(proto);
        let swap_ports = |get: (u16, u16), ct: (u16, u16)| (ct, get);
        let (ports, ct) =
            swap_ports((self.flow.tp_src(), self.flow.tp_dst()), (self.flow.ct_tp_src(), self.flow.ct_tp_dst()));
        self.flow.set_tp_src(ports.0);
        self.flow.set_tp_dst(ports.1);
        self.flow.set_ct_tp_src(ct.0);
        self.flow.set_ct_tp_dst(ct.1);
        let (ports, ct) = swap_ports((self.wc.tp_src(), self.wc.tp_dst()), (self.wc.ct_tp_src(), self.wc.ct_tp_dst()));
        self.wc.set_tp_src(ports.0);
        self.wc.set_tp_dst(ports.1);
        self.wc.set_ct_tp_src(ct.0);
        self.wc.set_ct_tp_dst(ct.1);
    }
}
