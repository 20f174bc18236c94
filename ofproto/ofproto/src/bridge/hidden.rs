//! The switch's own rules of the last table, which no table has: those that stand for misses, and those that send the
//! packets of a bond's buckets on their way.
//!
//! Translation knows them by what they stand for ([`crate::view::BridgeView::miss_rule`], [`crate::view::BondView`]);
//! here they are for who asks for rules. Source: observed answers of Open vSwitch 3.1.

use std::sync::Arc;

use flow::field::{Field, Value};
use openflow::OfPort;
use openflow::action::Action;
use openflow::flow_mod::{FlowModCommand, PackedFlowMod};
use openflow::matching::Match;
use openflow::message::AggregateStats;

use super::Bridge;
use crate::rule::{Rule, RuleId, RuleStats};
use crate::table::{Event, RemovalReason, Removed, RuleFilter, Selection};
use crate::view::{INTERNAL_TABLE, internal_rule};

/// Priorities: of what keeps packets of a bond from the other rules, and of buckets.
const NOT_RECIRCULATED: i32 = 2;
const BUCKET: i32 = 20;

/// A rule of a bond's bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct BucketRule {
    member: OfPort,
    since_ms: i64,
    stats: RuleStats,
}

/// The rules of a bond's buckets, by bucket.
pub(super) type BucketRules = Vec<Option<BucketRule>>;

impl BucketRule {
    /// The rule of the bond that recirculates as `recirc_id`, and what it counted.
    fn rule(self, recirc_id: u32, bucket: usize) -> (Arc<Rule>, RuleStats) {
        let BucketRule { member, since_ms, stats } = self;
        let mut matching = Match::any();
        matching.set_exact(Field::RecircId, u128::from(recirc_id));
        let of = |number: u128| Value::from_u128(number, size_of::<u32>());
        matching.constrain(Field::DpHash, &of(bucket as u128), &of(0xff), None);
        let actions = [Action::Output { port: member, max_len: 0 }];
        let mut rule = own(&matching, BUCKET, actions.into(), 5 + bucket as u64, since_ms);
        rule.id.generation = recirc_id;
        (Arc::new(rule), stats)
    }
}

/// Has the rules of a bond's buckets lead to `members`; gives what changed: first what goes, then what comes.
pub(super) fn lead_to(rules: &mut BucketRules, recirc_id: u32, members: &[Option<OfPort>], now_ms: i64) -> Vec<Event> {
    rules.resize(members.len(), None);
    let (mut goes, mut comes) = (Vec::new(), Vec::new());
    for (bucket, (rule, member)) in rules.iter_mut().zip(members).enumerate() {
        if rule.map(|rule| rule.member) != *member {
            let stats = RuleStats { used_ms: now_ms, ..rule.map_or_else(RuleStats::default, |rule| rule.stats) };
            let new = member.map(|member| BucketRule { member, since_ms: now_ms, stats });
            goes.extend(std::mem::replace(rule, new).map(|old| removal(old.rule(recirc_id, bucket))));
            comes.extend(new.map(|new| Event::Added(new.rule(recirc_id, bucket).0, None)));
        }
    }
    goes.append(&mut comes);
    goes
}

/// Takes out the rules of a bond's buckets.
pub(super) fn clear(rules: &mut BucketRules, recirc_id: u32) -> Vec<Event> {
    let old = std::mem::take(rules).into_iter().enumerate();
    old.filter_map(|(bucket, rule)| Some(removal(rule?.rule(recirc_id, bucket)))).collect()
}

fn removal((rule, stats): (Arc<Rule>, RuleStats)) -> Event {
    Event::Removed(Removed { rule, stats, reason: RemovalReason::Delete })
}

/// Counts what left by a bucket.
pub(super) fn credit(rules: &mut BucketRules, bucket: u8, stats: RuleStats) {
    if let Some(Some(rule)) = rules.get_mut(usize::from(bucket)) {
        add(&mut rule.stats, stats);
    }
}

fn add(sum: &mut RuleStats, stats: RuleStats) {
    sum.packets = sum.packets.saturating_add(stats.packets);
    sum.bytes = sum.bytes.saturating_add(stats.bytes);
    sum.used_ms = sum.used_ms.max(stats.used_ms);
}

/// A rule that was made at `since_ms`, the `made`th.
fn own(matching: &Match, priority: i32, actions: openflow::action::Actions, made: u64, since_ms: i64) -> Rule {
    let mini = flow::classifier::MiniMatch::new(&matching.key, &matching.mask);
    let plain = internal_rule(u32::try_from(made).unwrap_or(u32::MAX), actions);
    Rule { mini, priority, made, created_ms: since_ms, modified_ms: since_ms, ..plain }
}

impl Bridge {
    /// The rules that stand for misses, with what they counted, in the order of their making.
    fn miss_rules(&self) -> Vec<(Arc<Rule>, RuleStats)> {
        let since_ms = self.started_ms;
        let view = &self.view;
        let kinds = [&view.miss_rule, &view.no_packet_in_rule, &view.drop_frags_rule];
        let mut rules: Vec<_> = (1..)
            .zip(kinds)
            .zip(self.internal_stats)
            .map(|((register, rule), stats)| {
                let mut matching = Match::any();
                matching.set_exact(Field::Reg(0), u128::from(register));
                let stats = RuleStats { used_ms: stats.used_ms.max(since_ms), ..stats };
                (Arc::new(own(&matching, 0, rule.actions.clone(), register, since_ms)), stats)
            })
            .collect();
        let mut matching = Match::any();
        matching.set_exact(Field::RecircId, 0);
        let stats = RuleStats { used_ms: since_ms, ..RuleStats::default() };
        rules.push((Arc::new(own(&matching, NOT_RECIRCULATED, [].into(), 4, since_ms)), stats));
        rules
    }

    /// The rules of bonds' buckets, with what they counted.
    fn bucket_rules(&self) -> impl Iterator<Item = (Arc<Rule>, RuleStats)> {
        self.bonding.bucket_rules().flat_map(|(recirc_id, rules)| {
            rules.iter().enumerate().filter_map(move |(bucket, rule)| Some((*rule)?.rule(recirc_id, bucket)))
        })
    }

    /// All of them, as Open vSwitch lists them: shape by shape, that of the highest priority first.
    pub(super) fn hidden_rules(&self) -> Vec<(Arc<Rule>, RuleStats)> {
        let mut rules: Vec<_> = self.bucket_rules().chain(self.miss_rules()).collect();
        rules.sort_by_key(|(rule, _)| -rule.priority);
        rules
    }

    /// Those of a selection.
    pub(super) fn select_hidden(&self, selection: &Selection) -> Vec<(Arc<Rule>, RuleStats)> {
        let mut rules = self.hidden_rules();
        rules.retain(|(rule, _)| rule.mini.is_within(&selection.mini) && selection.filter.admits(rule));
        rules
    }

    /// Whether a deletion would take one of them out.
    pub(super) fn means_hidden(&self, change: &PackedFlowMod) -> bool {
        let filter = RuleFilter::of(change);
        let mini = &change.matching.mini;
        let strict = change.command == FlowModCommand::DeleteStrict;
        let is_meant = |rule: &Rule| match strict {
            true => rule.mini == *mini && rule.priority == i32::from(change.priority),
            false => rule.mini.is_within(mini),
        };
        self.hidden_rules().iter().any(|(rule, _)| is_meant(rule) && filter.admits(rule))
    }

    /// Keeps what the rules that stand for misses counted, which no table does.
    pub(super) fn credit_hidden(&mut self, rules: &[(RuleId, RuleStats)]) {
        for (id, stats) in rules.iter().filter(|(id, _)| id.table == INTERNAL_TABLE && id.generation == u32::MAX) {
            if let Some(sum) = self.internal_stats.get_mut(id.slot as usize) {
                add(sum, *stats);
            }
        }
    }
}

/// What rules counted, together.
pub(super) fn sum_of(rules: &[(Arc<Rule>, RuleStats)]) -> AggregateStats {
    let mut sum = AggregateStats { packet_count: 0, byte_count: 0, flow_count: 0 };
    for (_, stats) in rules {
        sum.flow_count += 1;
        sum.packet_count = sum.packet_count.saturating_add(stats.packets);
        sum.byte_count = sum.byte_count.saturating_add(stats.bytes);
    }
    sum
}

/// Rules of one cookie in the order of Open vSwitch's index of cookies: the one it got first, then the others from the
/// newest on. The first of cookie 0 is one of the switch's own.
pub(super) fn in_cookie_order(mut rules: Vec<(Arc<Rule>, RuleStats)>) -> Vec<(Arc<Rule>, RuleStats)> {
    rules.sort_by_key(|(rule, _)| (rule.modified_ms, rule.table() != INTERNAL_TABLE, rule.made, rule.table()));
    let is_first =
        |(rule, _): &(Arc<Rule>, RuleStats)| rule.cookie != 0 || (rule.table() == INTERNAL_TABLE && rule.made == 1);
    let n = usize::from(rules.first().is_some_and(is_first));
    rules[n..].reverse();
    rules
}
