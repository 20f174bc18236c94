//! Questions about a table's rules: statistics of those that a controller, or a person, asks for.

use std::sync::Arc;

use flow::classifier::MiniMatch;
use openflow::OfPort;
use openflow::action::{outputs_to_group, outputs_to_port};
use openflow::flow_mod::{FlowFlags, FlowModCommand, FlowStats, FlowStatsRequest, GROUP_ANY, PackedFlowMod};
use openflow::matching::Match;
use openflow::message::AggregateStats;

use super::Table;
use super::stage::sort_by_shape;
use crate::rule::{Rule, RuleStats};

/// Conditions on a rule besides its match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleFilter {
    /// Cookie bits wanted.
    pub cookie: u64,
    /// Which of them matter.
    pub cookie_mask: u64,
    /// An output to this port, or [`OfPort::ANY`].
    pub out_port: OfPort,
    /// This group, or [`GROUP_ANY`].
    pub out_group: u32,
}

impl RuleFilter {
    /// What a flow-mod that changes or deletes rules asks besides its match.
    pub fn of(change: &PackedFlowMod) -> Self {
        let deletes = matches!(change.command, FlowModCommand::Delete | FlowModCommand::DeleteStrict);
        Self {
            cookie: change.cookie,
            cookie_mask: change.cookie_mask,
            out_port: if deletes { change.out_port } else { OfPort::ANY },
            out_group: if deletes { change.out_group } else { GROUP_ANY },
        }
    }

    /// Whether a rule meets the conditions.
    pub fn admits(&self, rule: &Rule) -> bool {
        (rule.cookie ^ self.cookie) & self.cookie_mask == 0
            && (self.out_port == OfPort::ANY || outputs_to_port(&rule.actions, self.out_port))
            && (self.out_group == GROUP_ANY || outputs_to_group(&rule.actions, self.out_group))
    }
}

/// Rules asked for.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Within this match.
    pub mini: MiniMatch,
    /// Meeting these conditions.
    pub filter: RuleFilter,
    /// Hidden ones too.
    pub hidden: bool,
}

impl Selection {
    /// What a statistics request asks for.
    pub fn of(request: &FlowStatsRequest) -> Self {
        Self {
            mini: MiniMatch::new(&request.matching.key, &request.matching.mask),
            filter: RuleFilter {
                cookie: request.cookie,
                cookie_mask: request.cookie_mask,
                out_port: request.out_port,
                out_group: request.out_group,
            },
            hidden: false,
        }
    }

    /// Every rule, hidden ones too.
    pub fn everything() -> Self {
        Self {
            mini: MiniMatch::new(&flow::Key::EMPTY, &flow::Mask::EMPTY),
            filter: RuleFilter { cookie: 0, cookie_mask: 0, out_port: OfPort::ANY, out_group: GROUP_ANY },
            hidden: true,
        }
    }
}

impl Table {
    /// Rules and their counters, as Open vSwitch lists them: matches of one shape together, the shape with the rule of the
    /// highest priority first; within a shape in the order in which they were added or last modified.
    pub fn select_rules(&self, selection: &Selection) -> Vec<(Arc<Rule>, RuleStats)> {
        let mut found: Vec<_> = self.selected(selection).map(|(r, stats)| (r.clone(), stats)).collect();
        sort_by_shape(&mut found, |(r, _)| r);
        found
    }

    fn selected<'a>(&'a self, selection: &'a Selection) -> impl Iterator<Item = (&'a Arc<Rule>, RuleStats)> {
        let within = self.classifier.view().within(&selection.mini);
        within
            .filter(|r| (selection.hidden || !r.is_hidden()) && selection.filter.admits(r))
            .map(|r| (r, self.slots[r.id.slot as usize].stats))
    }

    /// Sums over the rules of a selection.
    pub fn aggregate(&self, selection: &Selection) -> AggregateStats {
        let mut sum = AggregateStats { packet_count: 0, byte_count: 0, flow_count: 0 };
        for (rule, stats) in self.selected(selection) {
            sum.flow_count += 1;
            if !rule.flags.contains(FlowFlags::NO_PACKET_COUNTS) {
                sum.packet_count = sum.packet_count.saturating_add(stats.packets);
            }
            if !rule.flags.contains(FlowFlags::NO_BYTE_COUNTS) {
                sum.byte_count = sum.byte_count.saturating_add(stats.bytes);
            }
        }
        sum
    }
}

/// Rules as statistics show them, one after the other in the same place.
#[derive(Debug)]
pub struct FlowStatsOf {
    stats: FlowStats,
    /// Whose match is in `stats`.
    shown: Option<MiniMatch>,
}

impl Default for FlowStatsOf {
    fn default() -> Self {
        let stats = FlowStats::blank();
        FlowStatsOf { stats, shown: None }
    }
}

impl FlowStatsOf {
    /// A rule as it is at `now_ms`.
    pub fn show(&mut self, rule: &Rule, stats: &RuleStats, now_ms: i64) -> &FlowStats {
        let Match { key, mask, tun } = &mut self.stats.matching;
        if let Some(before) = self.shown.take() {
            before.clear_from(key, mask);
        }
        rule.mini.write_into(key, mask);
        tun.clone_from(&rule.tun);
        self.shown = Some(rule.mini.clone());
        let age_ms = u64::try_from(now_ms - rule.created_ms).unwrap_or(0);
        let age = |since: i64| u32::try_from(((now_ms - since) / 1000).max(0)).unwrap_or(u32::MAX);
        let short = |age: u32| u16::try_from(age).unwrap_or(u16::MAX);
        let row = &mut self.stats;
        row.cookie = rule.cookie;
        row.table = rule.table();
        row.priority = rule.priority.clamp(0, 0xffff) as u16;
        row.duration = Some((u32::try_from(age_ms / 1000).unwrap_or(u32::MAX), (age_ms % 1000) as u32 * 1_000_000));
        (row.idle_timeout, row.hard_timeout) = (rule.idle_timeout, rule.hard_timeout);
        row.importance = rule.importance;
        (row.idle_age, row.hard_age) = (Some(age(stats.used_ms)), Some(short(age(rule.modified_ms))));
        (row.packets, row.bytes) = (Some(stats.packets), Some(stats.bytes));
        row.flags = rule.flags;
        row.actions = rule.actions.clone();
        row
    }
}
