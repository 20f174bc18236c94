//! Rules whose `learn` actions say `delete_learned`: when the last that teaches under a cookie and into a table is
//! gone, so are the rules of that cookie there. Source: ovs-actions(7), `learn`.

use std::collections::{BTreeMap, HashMap};

use openflow::flow_mod::{FlowMod, FlowModCommand};

use crate::rule::{Pupils, Rule, RuleId};
use crate::table::Event;

/// Who teaches what.
#[derive(Debug, Default)]
pub(crate) struct Teachers {
    of: HashMap<RuleId, Vec<Pupils>>,
    uses: BTreeMap<Pupils, usize>,
}

impl Teachers {
    /// Takes note of a change of the rules. Gives those who have nobody left to teach them.
    pub(crate) fn heed(&mut self, event: &Event) -> Vec<Pupils> {
        match event {
            Event::Added(rule, _) | Event::Evicting(rule) | Event::Modified(rule, _) => {
                self.set(rule.id, rule.pupils())
            }
            Event::Removed(removed) => self.set(removed.rule.id, Vec::new()),
        }
    }

    /// Takes a rule in that is there.
    pub(crate) fn adopt(&mut self, rule: &Rule) {
        self.set(rule.id, rule.pupils());
    }

    fn set(&mut self, rule: RuleId, now: Vec<Pupils>) -> Vec<Pupils> {
        for pupils in &now {
            *self.uses.entry(*pupils).or_default() += 1;
        }
        let before = if now.is_empty() { self.of.remove(&rule) } else { self.of.insert(rule, now) };
        let mut left = Vec::new();
        for pupils in before.unwrap_or_default() {
            let Some(uses) = self.uses.get_mut(&pupils) else { continue };
            *uses = uses.saturating_sub(1);
            if *uses == 0 {
                self.uses.remove(&pupils);
                left.push(pupils);
            }
        }
        left
    }
}

/// The flow-mod that takes out what was taught.
pub(super) fn dismissal(pupils: Pupils) -> FlowMod {
    let Pupils { cookie, table } = pupils;
    FlowMod { command: FlowModCommand::Delete, table, cookie, cookie_mask: u64::MAX, ..FlowMod::default() }
}
