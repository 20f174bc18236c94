//! `learn`: the rule that a packet teaches.

use std::sync::Arc;

use flow::Key;
use flow::classifier::MiniMatch;
use flow::field::Value;
use openflow::OfPort;
use openflow::action::{Action, Learn, LearnDst, LearnSpec, LearnSrc, SetField, SetFieldForm, Subfield};
use openflow::flow_mod::{FlowFlags, FlowMod, FlowModCommand, PackedMatch};
use openflow::matching::Match;
use openflow::nxm::n_bytes;

use super::Effect;
use super::context::{Context, read};
use super::record::NodeKind;
use crate::rule::{Rule, RuleId};
use crate::table::TableView;
use crate::view::BridgeView;

/// The flow-mod that a `learn` action makes of a packet.
pub fn flow_mod_of(learn: &Learn, key: &Key, bridge: &BridgeView) -> FlowMod {
    let mut matching = Match::any();
    let mut actions = Vec::new();
    if learn.fin_idle_timeout != 0 || learn.fin_hard_timeout != 0 {
        actions.push(Action::FinTimeout { idle: learn.fin_idle_timeout, hard: learn.fin_hard_timeout });
    }
    for spec in &learn.specs {
        let number = source(spec, key, bridge);
        match spec.dst {
            LearnDst::Match(dst) => constrain(&mut matching, &dst, number, bridge),
            LearnDst::Load(dst) => actions.push(load(&dst, number, bridge)),
            LearnDst::Output => {
                if let Ok(port) = u16::try_from(number) {
                    let port = OfPort(port);
                    let usable = port.is_physical()
                        || matches!(port, OfPort::IN_PORT | OfPort::FLOOD | OfPort::LOCAL | OfPort::ALL);
                    if usable {
                        actions.push(Action::Output { port, max_len: 0 });
                    }
                }
            }
        }
    }
    FlowMod {
        matching,
        priority: learn.priority,
        new_cookie: learn.cookie,
        modify_cookie: learn.cookie != u64::MAX,
        table: learn.table,
        command: FlowModCommand::ModifyStrict,
        idle_timeout: learn.idle_timeout,
        hard_timeout: learn.hard_timeout,
        flags: if learn.send_flow_rem { FlowFlags::SEND_FLOW_REM } else { FlowFlags::default() },
        actions: actions.into(),
        ..FlowMod::default()
    }
}

fn source(spec: &LearnSpec, key: &Key, bridge: &BridgeView) -> u128 {
    match &spec.src {
        LearnSrc::Field(src) => read(key, src, bridge),
        LearnSrc::Immediate(octets) => Value::from_slice(octets).to_u128(),
    }
}

fn constrain(matching: &mut Match, dst: &Subfield, number: u128, bridge: &BridgeView) {
    let (mut value, mut mask) = matching.get(dst.field);
    let n = n_bytes(dst.field, Some(&bridge.tun_table));
    if value.len() != n {
        value = Value::zeros(n);
        mask = Value::zeros(n);
    }
    value.set_subfield(dst.ofs.into(), dst.n_bits.into(), number);
    mask.set_subfield(dst.ofs.into(), dst.n_bits.into(), u128::MAX);
    if dst.is_whole() {
        mask = Value::ones(n, n * 8);
    }
    matching.constrain(dst.field, &value, &mask, Some(&bridge.tun_table));
    matching.add_ethernet_prereq(dst.field);
}

fn load(dst: &Subfield, number: u128, bridge: &BridgeView) -> Action {
    let n = n_bytes(dst.field, Some(&bridge.tun_table));
    let mut value = Value::zeros(n);
    let mut mask = Value::zeros(n);
    value.set_subfield(dst.ofs.into(), dst.n_bits.into(), number);
    mask.set_subfield(dst.ofs.into(), dst.n_bits.into(), u128::MAX);
    Action::SetField(Box::new(SetField {
        field: dst.field,
        value,
        mask,
        flow_has_vlan: false,
        form: SetFieldForm::Load,
    }))
}

impl Context<'_> {
    pub(super) fn learn(&mut self, learn: &Learn) {
        for spec in &learn.specs {
            if let LearnSrc::Field(src) = &spec.src {
                self.mask_subfield(src);
            }
        }
        if !self.input.side_effects {
            self.warn("suppressing side effects, so learn action ignored");
            return;
        }
        let flow_mod = Arc::new(flow_mod_of(learn, &self.flow, self.bridge));
        if self.tracing() {
            let text = describe(&flow_mod);
            self.report(NodeKind::Detail, || text);
        }
        let learned = learn.limit == 0 || self.has_room(&flow_mod, learn.limit);
        if let Some(dst) = &learn.result_dst {
            self.mask_subfield(dst);
            self.write(dst, u128::from(learned));
            self.report_subfield(dst);
        }
        if !learned {
            self.detail("Limit exceeded, learn failed");
        }
        if learned && !self.teach(&flow_mod) {
            self.learn_refused = true;
            self.report_error(|| "LEARN action execution failed (OFPFMFC_TABLE_FULL).".to_owned());
        }
        let bridge = self.bridge.id;
        self.effect(Effect::Learn { bridge, flow_mod, limit: learn.limit });
    }

    /// Later look-ups of the translation heed the rule's match, as those of the packets that follow will. False if its
    /// table has no room for it.
    fn teach(&mut self, flow_mod: &FlowMod) -> bool {
        let bridge = self.bridge.id;
        let mini = MiniMatch::new(&flow_mod.matching.key, &flow_mod.matching.mask);
        let matching = PackedMatch { mini, tun: flow_mod.matching.tun.clone() };
        let rule = Rule::made_by(flow_mod, matching, RuleId::unborn(flow_mod.table), self.input.now_ms);
        let view = self.taught(flow_mod.table).or_else(|| self.bridge.table(flow_mod.table));
        let known = view.and_then(|view| view.rules.exact(&rule.mini, rule.priority));
        if known.is_some_and(|known| known.is_as_taught(flow_mod)) {
            return true;
        }
        if known.is_none() && view.is_some_and(|view| view.is_full()) {
            return false;
        }
        let id = known.map_or(rule.id, |known| known.id);
        let empty = TableView::empty(flow_mod.table);
        let table = Arc::new(view.map_or(&empty, |view| view).with(Rule { id, ..rule }));
        match self.taught.iter_mut().find(|(at, taught)| (*at, taught.id) == (bridge, table.id)) {
            Some((_, taught)) => *taught = table,
            None => self.taught.push((bridge, table)),
        }
        true
    }

    /// Whether the rule is there already as it is to be, or fewer than `limit` have its cookie.
    fn has_room(&self, flow_mod: &FlowMod, limit: u32) -> bool {
        let taught = self.taught(flow_mod.table);
        let Some(table) = taught.or_else(|| self.bridge.table(flow_mod.table)) else { return true };
        table.knows(flow_mod) || table.has_room(flow_mod, limit)
    }
}

fn describe(flow_mod: &FlowMod) -> String {
    let m = &flow_mod.matching;
    let options = flow::match_text::Options { tun: m.tun.as_deref(), ..Default::default() };
    let mut text = format!("table={} {}", flow_mod.table, flow::match_text::format(&m.key, &m.mask, &options));
    text.push_str(&format!(" priority={}", flow_mod.priority));
    if flow_mod.new_cookie != 0 {
        text.push_str(&format!(" cookie={:#x}", flow_mod.new_cookie));
    }
    if flow_mod.idle_timeout != 0 {
        text.push_str(&format!(" idle={}", flow_mod.idle_timeout));
    }
    if flow_mod.hard_timeout != 0 {
        text.push_str(&format!(" hard={}", flow_mod.hard_timeout));
    }
    if flow_mod.flags.contains(FlowFlags::SEND_FLOW_REM) {
        text.push_str(" send_flow_rem");
    }
    text.push_str(" actions=");
    openflow::action::write(&mut text, &flow_mod.actions, &openflow::names::Style::PLAIN);
    text
}
