//! All rules of a bridge as text, hidden ones too: `bridge/dump-flows`.

use std::fmt::Write;
use std::sync::Arc;

use flow::match_text::{self, Options};

use super::{Answer, Bridge, Question};
use crate::rule::{Rule, RuleStats};
use crate::table::Selection;

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
        for (rule, stats) in self.hidden_rules() {
            self.dump_rule(&mut out, &rule, &stats, offload, now_ms);
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
}
