//! Flow-mods: checked here, applied by the tables, reported to whoever wants to know.

use std::sync::Arc;

use flow::Field;
use openflow::action::{Action, Actions, CtZone};
use openflow::flow_mod::{FlowFlags, FlowMod, FlowModCommand, PackedFlowMod, TABLE_ALL};
use openflow::message::async_config::AsyncKind;
use openflow::message::flow_removed::{FlowRemoved, FlowRemovedReason};
use openflow::message::nx::FlowFormat;
use openflow::message::role::Role;
use openflow::message::{Dialect, Message};
use openflow::{ErrorCode, Version};

use super::change::{Changes, Owed};
use super::{Bridge, ConnId, Incoming, N_TABLES};
use crate::rule::Rule;
use crate::table::{Change, Event, RemovalReason, Removed, RuleFilter, TableView};
use crate::view::{CtSupport, INTERNAL_TABLE};

/// Flow-mods of one connection that are staged together at the most.
pub(super) const BATCH: usize = 4096;

/// How tables look that a bundle has changed, of those that differ from what stands.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen<'a>(pub(super) &'a [Arc<TableView>]);

/// Whether a flow-mod looks for its tables by the rules there, which those before it must have changed by then.
pub(super) fn looks_around(message: &Incoming) -> bool {
    let Ok(Message::FlowMod { flow_mod, .. }) = &message.body else { return false };
    matches!(flow_mod.command, FlowModCommand::Modify | FlowModCommand::ModifyStrict)
        && (flow_mod.table == TABLE_ALL || refers(&flow_mod.actions))
}

/// Whether actions name groups or meters.
fn refers(actions: &Actions) -> bool {
    actions.iter().any(|action| match action {
        Action::Group(_) | Action::Meter(_) => true,
        Action::WriteActions(nested) | Action::Clone(nested) => refers(nested),
        _ => false,
    })
}

impl Bridge {
    /// A run of flow-mods of one connection.
    pub(super) fn flow_mods(&mut self, conn: ConnId, requests: Vec<Incoming>) {
        let mut changes = Changes::new(conn);
        let secondary = self.conns.get(&conn).is_some_and(|c| c.role == Role::Secondary);
        let table_id = self.conns.get(&conn).is_some_and(|c| c.table_id);
        for mut request in requests {
            self.reread(table_id, &mut request);
            let body = std::mem::replace(&mut request.body, Ok(Message::BarrierRequest));
            let checked = match &body {
                Err(error) if secondary && openflow::message::kind::head(&request.raw).is_err() => Err(error.code),
                _ if secondary => Err(ErrorCode::OFPBRC_IS_SECONDARY),
                Ok(Message::FlowMod { flow_mod, .. }) => Self::check_flow_mod_itself(flow_mod)
                    .map(|()| flow_mod.pack(&mut self.shapes))
                    .and_then(|flow_mod| self.check_against_rules(&flow_mod, Seen::default()).map(|()| flow_mod)),
                Ok(_) => continue,
                Err(error) => Err(error.code),
            };
            match checked {
                Err(code) => self.refuse(conn, &request, code),
                Ok(flow_mod) => {
                    changes.request(Owed { xid: request.xid, raw: request.raw });
                    self.push_flow_mod(&mut changes, flow_mod);
                }
            }
        }
        self.run_changes(changes);
    }

    /// A flow-mod of a bundle, with regard to what those before it have changed in tables as far as it is seen.
    pub(super) fn gather_flow_mod(
        &self,
        changes: &mut Changes,
        flow_mod: PackedFlowMod,
        seen: Seen<'_>,
    ) -> Result<(), ErrorCode> {
        self.check_against_rules(&flow_mod, seen)?;
        self.push_flow_mod(changes, flow_mod);
        Ok(())
    }

    /// Whether it takes the rules that are there to say whether a flow-mod is refused: it modifies some, if there are any.
    pub(super) fn must_see(&self, change: &PackedFlowMod) -> bool {
        change.changes_only() && self.check_content(change).is_err()
    }

    /// Hands a flow-mod to the tables that it concerns.
    fn push_flow_mod(&self, changes: &mut Changes, flow_mod: PackedFlowMod) {
        changes.flow_mod(flow_mod.command);
        let priority = i32::from(flow_mod.priority);
        if flow_mod.table == INTERNAL_TABLE {
            // A deletion of none of the switch's own rules.
            return;
        }
        if flow_mod.table != TABLE_ALL {
            return changes.push(flow_mod.table, Change::FlowMod { flow_mod, priority });
        }
        for table in self.tables_of(&flow_mod, changes) {
            changes.push(table, Change::FlowMod { flow_mod: flow_mod.clone(), priority });
        }
    }

    /// What can be said of a flow-mod without knowing any rule or group.
    pub(super) fn check_flow_mod_itself(fm: &FlowMod) -> Result<(), ErrorCode> {
        if fm.table == INTERNAL_TABLE && !is_delete(fm.command) {
            return Err(ErrorCode::OFPBRC_EPERM);
        }
        if fm.buffer_id.is_some() && !is_delete(fm.command) {
            return Err(ErrorCode::OFPBRC_BUFFER_UNKNOWN);
        }
        Ok(())
    }

    /// Tables that a flow-mod concerns which names none.
    fn tables_of(&self, change: &PackedFlowMod, changes: &Changes) -> Vec<u8> {
        if change.command == FlowModCommand::Add {
            return vec![0];
        }
        let mut tables = self.table_ids();
        if is_delete(change.command) {
            // What was added before it in the same bundle goes as well.
            tables.extend(changes.tables());
            tables.sort_unstable();
            tables.dedup();
            tables.retain(|t| *t < N_TABLES);
            return tables;
        }
        tables.retain(|t| *t < N_TABLES && self.may_match(change, *t, Seen::default()));
        if tables.is_empty() {
            // A modification of nothing adds, once, in the first table.
            tables.push(0);
        }
        tables
    }

    /// Whether a table may have a rule that a modification means.
    fn may_match(&self, change: &PackedFlowMod, table: u8, seen: Seen<'_>) -> bool {
        let seen = seen.0.iter().find(|view| view.id == table);
        let Some(table) = seen.or_else(|| self.view.table(table)) else { return false };
        let mini = &change.matching.mini;
        let is_meant = |rule: &Arc<Rule>| (rule.cookie ^ change.cookie) & change.cookie_mask == 0;
        match change.command {
            FlowModCommand::ModifyStrict => table.rules.exact(mini, i32::from(change.priority)).is_some_and(is_meant),
            _ => table.rules.within(mini).any(is_meant),
        }
    }

    /// What can be said of a flow-mod with regard to the rules, groups and meters that there are.
    fn check_against_rules(&self, change: &PackedFlowMod, seen: Seen<'_>) -> Result<(), ErrorCode> {
        if self.means_hidden_alone(change) {
            return Err(ErrorCode::OFPBRC_EPERM);
        }
        if is_delete(change.command) {
            return Ok(());
        }
        let finds = || match change.table {
            TABLE_ALL => self.table_ids().into_iter().any(|table| self.may_match(change, table, seen)),
            table => self.may_match(change, table, seen),
        };
        self.check_content(change).or_else(|code| if change.changes_only() && !finds() { Ok(()) } else { Err(code) })
    }

    /// Whether a flow-mod deletes rules of the switch's own and no other. Where it names a cookie in full, those of all
    /// tables are found by it, the last one's too.
    fn means_hidden_alone(&self, change: &PackedFlowMod) -> bool {
        let any_table = change.table == TABLE_ALL && change.cookie_mask == u64::MAX;
        is_delete(change.command)
            && (change.table == INTERNAL_TABLE || any_table)
            && self.means_hidden(change)
            && !(any_table && self.finds(change))
    }

    /// Whether a deletion that names no table finds a rule that it may take out.
    fn finds(&self, change: &PackedFlowMod) -> bool {
        let filter = RuleFilter::of(change);
        let mini = &change.matching.mini;
        let priority = i32::from(change.priority);
        self.view.tables.iter().flatten().filter(|table| table.id < N_TABLES).any(|table| match change.command {
            FlowModCommand::DeleteStrict => table.rules.exact(mini, priority).is_some_and(|rule| filter.admits(rule)),
            _ => table.rules.within(mini).any(|rule| !rule.is_hidden() && filter.admits(rule)),
        })
    }

    /// Whether what a flow-mod makes rules refer to exists, and the switch can do it; a modification of nothing makes none.
    fn check_content(&self, change: &PackedFlowMod) -> Result<(), ErrorCode> {
        self.check_references(&change.actions)
            .and_then(|()| check_own_fields(change))
            .and_then(|()| check_support(&self.live.support.ct, change))
    }

    /// Whether the groups and meters that actions name exist.
    pub(super) fn check_references(&self, actions: &Actions) -> Result<(), ErrorCode> {
        for action in actions.iter() {
            match action {
                Action::Group(id) if !self.groups.contains_key(id) => return Err(ErrorCode::OFPBAC_BAD_OUT_GROUP),
                Action::Meter(id) if !self.view.meters.contains_key(id) => {
                    return Err(ErrorCode::OFPMMFC_INVALID_METER);
                }
                Action::WriteActions(nested) | Action::Clone(nested) => self.check_references(nested)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Tells whoever wants to know of changes of the rules, monitors of each by itself.
    pub fn flow_events(&mut self, events: Vec<Event>, now_ms: i64) {
        for event in events {
            self.gather_events(None, vec![event]);
            self.flush_monitors();
        }
        self.flush_events(now_ms);
        self.run_queue();
    }

    pub(super) fn flow_removed(&mut self, removed: &Removed, now_ms: i64) {
        let rule = &removed.rule;
        if matches!(removed.reason, RemovalReason::IdleTimeout | RemovalReason::HardTimeout) {
            self.events.rules_expired += 1;
        }
        if !rule.flags.contains(FlowFlags::SEND_FLOW_REM) || rule.is_hidden() {
            return;
        }
        let age_ms = u64::try_from(now_ms - rule.created_ms).unwrap_or(0);
        let message = FlowRemoved {
            dialect: Dialect::Standard,
            matching: rule.matching(),
            priority: rule.priority as u16,
            cookie: rule.cookie,
            table_id: rule.table(),
            reason: match removed.reason {
                RemovalReason::IdleTimeout => FlowRemovedReason::IdleTimeout,
                RemovalReason::HardTimeout => FlowRemovedReason::HardTimeout,
                RemovalReason::Delete => FlowRemovedReason::Delete,
                RemovalReason::GroupDelete => FlowRemovedReason::GroupDelete,
                RemovalReason::MeterDelete => FlowRemovedReason::MeterDelete,
                RemovalReason::Eviction => FlowRemovedReason::Eviction,
            },
            duration_sec: u32::try_from(age_ms / 1000).unwrap_or(u32::MAX),
            duration_nsec: (age_ms % 1000) as u32 * 1_000_000,
            idle_timeout: rule.idle_timeout,
            hard_timeout: rule.hard_timeout,
            packet_count: removed.stats.packets,
            byte_count: removed.stats.bytes,
        };
        let bit = 1u32 << (removed.reason as u8);
        let wants = |c: &&super::Conn| c.wants(AsyncKind::FlowRemoved, bit);
        let conns: Vec<_> = self
            .conns
            .values()
            .filter(wants)
            .map(|c| (c.id, c.version == Version::V10 && c.flow_format == FlowFormat::Nxm))
            .collect();
        for (conn, nicira) in conns {
            let mut message = message.clone();
            if nicira {
                message.dialect = Dialect::Nicira;
            }
            self.send_async(conn, Message::FlowRemoved(Box::new(message)));
        }
    }
}

/// Rules of the switch alone know of recirculation.
fn check_own_fields(change: &PackedFlowMod) -> Result<(), ErrorCode> {
    let mini = &change.matching.mini;
    let has = |field: Field| {
        let place = field.place(0, u32::BITS as u16);
        place.is_some_and(|(word, ofs, _)| (mini.word(word) >> ofs) as u32 != 0)
    };
    if has(Field::RecircId) || has(Field::DpHash) { Err(ErrorCode::OFPBRC_EPERM) } else { Ok(()) }
}

/// Whether the datapath can track connections as a rule wants it to.
fn check_support(support: &CtSupport, change: &PackedFlowMod) -> Result<(), ErrorCode> {
    if *support == CtSupport::default() {
        return Ok(());
    }
    let mask = change.matching.mini.mask();
    let nat = flow::ct_state::SNAT | flow::ct_state::DNAT;
    let tuple = mask.ct_nw_proto() != 0 || mask.ct_tp_src() != 0 || mask.ct_tp_dst() != 0;
    let tuple4 = tuple || mask.ct_nw_src() != 0 || mask.ct_nw_dst() != 0;
    let tuple6 = mask.ct_ipv6_src() != 0 || mask.ct_ipv6_dst() != 0;
    let lacking = mask.ct_state() != 0 && !support.state
        || mask.ct_state() & nat != 0 && !support.state_nat
        || mask.ct_zone() != 0 && !support.zone
        || mask.ct_mark() != 0 && !support.mark
        || mask.ct_label() != 0 && !support.label
        || tuple4 && !support.orig_tuple
        || tuple6 && !support.orig_tuple6;
    if lacking {
        return Err(ErrorCode::NXBMC_CT_DATAPATH_SUPPORT);
    }
    let tracks = change.actions.iter().filter_map(|action| match action {
        Action::Ct(ct) => Some(ct),
        _ => None,
    });
    for ct in tracks {
        let zoned = !matches!(ct.zone, CtZone::Imm(0));
        let asks = |action: &Action| match action {
            Action::Nat(_) => !support.state_nat,
            Action::SetField(set) => match set.field {
                Field::CtMark => !support.mark,
                Field::CtLabel => !support.label,
                _ => false,
            },
            _ => false,
        };
        if !support.state || zoned && !support.zone || ct.actions.iter().any(asks) {
            return Err(ErrorCode::NXBAC_CT_DATAPATH_SUPPORT);
        }
    }
    Ok(())
}

fn is_delete(command: FlowModCommand) -> bool {
    matches!(command, FlowModCommand::Delete | FlowModCommand::DeleteStrict)
}
