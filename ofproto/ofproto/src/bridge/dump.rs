//! All rules of a bridge as text, hidden ones too: `bridge/dump-flows`.

use std::fmt::Write;
use std::sync::Arc;

use flow::match_text::{self, Options};
use openflow::flow_mod::FlowStats;
use openflow::matching::Match;

use super::{Answer, Bridge, Question};
use crate::rule::{Rule, RuleId, RuleStats};
use crate::table::Selection;
use crate::view::INTERNAL_TABLE;

/// The switch's own rules of the last table: priority, match, actions; which counter is theirs.
const INTERNAL: [(i32, &str, &str, Option<usize>); 4] = [
    (2, "recirc_id=0", "drop", None),
    (0, "reg0=0x1", "controller(reason=)", Some(0)),
    (0, "reg0=0x2", "drop", Some(1)),
    (0, "reg0=0x3", "drop", Some(2)),
];

fn line(out: &mut String, table: u8, age_ms: i64, stats: &RuleStats, offload: bool, rest: std::fmt::Arguments<'_>) {
    if table != 0 {
        let _ = write!(out, "table_id={table}, ");
    }
    let seconds = age_ms.max(0) / 1000;
    let _ = write!(out, "duration={seconds}s, n_packets={}, n_bytes={}, ", stats.packets, stats.bytes);
    if offload {
        out.push_str("n_offload_packets=0, n_offload_bytes=0, ");
    }
    let _ = writeln!(out, "{rest}");
}

impl Bridge {
    /// What to ask to make the text of [`Bridge::dump_flows`].
    pub fn dump_flows_questions(&self) -> Vec<Question> {
        let selection = Arc::new(Selection::everything());
        self.table_ids().into_iter().map(|table| Question::Rules { table, selection: selection.clone() }).collect()
    }

    /// All rules as `bridge/dump-flows` shows them; `offload` adds the counters of hardware, which there is none.
    pub fn dump_flows(&self, answers: &[Answer], offload: bool, now_ms: i64) -> String {
        let mut out = String::new();
        for answer in answers {
            let Answer::Rules(rules) = answer else { continue };
            for (rule, stats) in rules {
                self.dump_rule(&mut out, rule, stats, offload, now_ms);
            }
        }
        for (priority, matching, actions, counter) in INTERNAL {
            let stats = counter.map_or_else(RuleStats::default, |i| self.internal_stats[i]);
            let age_ms = now_ms - self.started_ms;
            let rest = format_args!("priority={priority},{matching},actions={actions}");
            line(&mut out, INTERNAL_TABLE, age_ms, &stats, offload, rest);
        }
        out
    }

    fn dump_rule(&self, out: &mut String, rule: &Rule, stats: &RuleStats, offload: bool, now_ms: i64) {
        let m = rule.matching();
        let options = Options { priority: Some(rule.priority), tun: m.tun.as_deref(), ..Options::default() };
        let matching = match_text::format(&m.key, &m.mask, &options);
        let actions = openflow::action::format(&rule.actions, &openflow::Style::PLAIN);
        let rest = format_args!("{matching},actions={actions}");
        line(out, rule.table(), now_ms - rule.created_ms, stats, offload, rest);
    }

    /// The switch's own rules of the last table, as statistics of that table show them.
    pub(super) fn internal_flow_stats(&self, now_ms: i64) -> Vec<FlowStats> {
        let age_ms = u64::try_from(now_ms - self.started_ms).unwrap_or(0);
        // Nobody changed them since they were made.
        let age_s = u16::try_from(age_ms / 1000).unwrap_or(u16::MAX);
        let actions = [[].into(), self.view.miss_rule.actions.clone(), [].into(), [].into()];
        let rows = INTERNAL.iter().zip(actions).enumerate();
        rows.map(|(i, ((priority, _, _, counter), actions))| {
            let mut matching = Match::any();
            if i == 0 {
                matching.set_exact(flow::Field::RecircId, 0);
            } else {
                matching.set_exact(flow::Field::Reg(0), i as u128);
            }
            let stats = counter.map_or_else(RuleStats::default, |i| self.internal_stats[i]);
            FlowStats {
                matching,
                cookie: 0,
                table: INTERNAL_TABLE,
                priority: *priority as u16,
                duration: Some(((age_ms / 1000) as u32, (age_ms % 1000) as u32 * 1_000_000)),
                idle_timeout: 0,
                hard_timeout: 0,
                importance: 0,
                idle_age: Some(age_s.into()),
                hard_age: Some(age_s),
                packets: Some(stats.packets),
                bytes: Some(stats.bytes),
                flags: openflow::flow_mod::FlowFlags::default(),
                actions,
            }
        })
        .collect()
    }

    /// Keeps what the rules that stand for misses counted, which no table does.
    pub(super) fn credit_internal(&mut self, rules: &[(RuleId, RuleStats)]) {
        for (id, stats) in rules.iter().filter(|(id, _)| id.table == INTERNAL_TABLE && id.generation == u32::MAX) {
            let Some(sum) = self.internal_stats.get_mut(id.slot as usize) else { continue };
            sum.packets = sum.packets.saturating_add(stats.packets);
            sum.bytes = sum.bytes.saturating_add(stats.bytes);
        }
    }
}
