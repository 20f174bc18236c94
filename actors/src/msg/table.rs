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

/// What packets did to a table: packets for rules, timeouts of theirs to shorten, look-ups (R).
#[derive(Debug, Default, Message)]
#[rtype(result = "()")]
pub struct RuleCredit {
    /// By rule.
    pub entries: Vec<(RuleId, RuleStats)>,
    /// Whose timeouts to shorten, and to how many seconds: idle and hard. Before packets are credited.
    pub fins: Vec<(RuleId, u16, u16)>,
    /// Packets looked up.
    pub lookups: u64,
    /// Packets that matched a rule.
    pub matches: u64,
}

impl RuleCredit {
    /// Brings it to one entry a rule, so that what waits is no more than there are rules.
    pub fn condense(&mut self) {
        self.fins.sort_unstable();
        self.fins.dedup();
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

/// Answer a question (Q).
#[derive(Debug, Message)]
#[rtype(result = "Option<Answer>")]
pub struct Ask(pub Question);
