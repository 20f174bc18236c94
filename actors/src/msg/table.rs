//! To a flow table.

use actix::prelude::*;
use ofproto::bridge::{Answer, Question};
use ofproto::rule::{RuleId, RuleStats};
use ofproto::table::{Change, Staged, TableConfig};

/// Apply a batch; it stands once settled (Q).
#[derive(Debug, Message)]
#[rtype(result = "Staged")]
pub struct FlowMods {
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// Somebody wants to hear of every change, not only of removed rules.
    pub watched: bool,
}

/// Make what is staged stand, or take it back (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Settle {
    /// Stand.
    pub commit: bool,
}

/// Be configured like this; the news of it reach the bridge before the answer (Q).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ConfigureTable(pub TableConfig);

/// Packets for rules, and look-ups for the table (R).
#[derive(Debug, Default, Message)]
#[rtype(result = "()")]
pub struct RuleCredit {
    /// By rule.
    pub entries: Vec<(RuleId, RuleStats)>,
    /// Packets looked up.
    pub lookups: u64,
    /// Packets that matched a rule.
    pub matches: u64,
}

impl RuleCredit {
    /// Brings it to one entry a rule, so that what waits is no more than there are rules.
    pub fn condense(&mut self) {
        self.entries.sort_by_key(|(rule, _)| *rule);
        self.entries.dedup_by(|(rule, stats), (sum_of, sum)| {
            let is_same = rule == sum_of;
            if is_same {
                sum.add(*stats);
            }
            is_same
        });
    }
}

/// Shorten timeouts (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FinTimeout {
    /// Rule.
    pub rule: RuleId,
    /// Seconds.
    pub idle: u16,
    /// Seconds.
    pub hard: u16,
}

/// Answer a question (Q).
#[derive(Debug, Message)]
#[rtype(result = "Option<Answer>")]
pub struct Ask(pub Question);
