//! Flow-mods: checked here, applied by the tables, reported to whoever wants to know.

use std::sync::Arc;

use openflow::action::{Action, Actions};
use openflow::flow_mod::{FlowFlags, FlowMod, FlowModCommand, TABLE_ALL};
use openflow::message::async_config::AsyncKind;
use openflow::message::flow_removed::{FlowRemoved, FlowRemovedReason};
use openflow::message::nx::FlowFormat;
use openflow::message::role::Role;
use openflow::message::{Dialect, Message};
use openflow::{ErrorCode, Version};

use super::change::Changes;
use super::{Bridge, ConnId, Incoming, N_TABLES};
use crate::table::{Change, Event, RemovalReason, Removed};

/// Flow-mods of one connection that are staged together at the most.
pub(super) const BATCH: usize = 1024;

/// Whether a flow-mod looks for its tables by the rules there, which those before it must have changed by then.
pub(super) fn looks_around(message: &Incoming) -> bool {
    let Ok(Message::FlowMod { flow_mod, .. }) = &message.body else { return false };
    flow_mod.table == TABLE_ALL && matches!(flow_mod.command, FlowModCommand::Modify | FlowModCommand::ModifyStrict)
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
                _ if secondary => Err(ErrorCode::OFPBRC_IS_SECONDARY),
                Ok(Message::FlowMod { flow_mod, .. }) => self.check_flow_mod(flow_mod).map(|tables| (flow_mod, tables)),
                Ok(_) => continue,
                Err(error) => Err(error.code),
            };
            match checked {
                Err(code) => self.refuse(conn, &request, code),
                Ok((flow_mod, tables)) => {
                    changes.request(request);
                    push_flow_mod(&mut changes, flow_mod, tables);
                }
            }
        }
        self.run_changes(changes);
    }

    /// A flow-mod of a bundle.
    pub(super) fn gather_flow_mod(&self, changes: &mut Changes, flow_mod: &FlowMod) -> Result<(), ErrorCode> {
        let tables = self.check_flow_mod(flow_mod)?;
        push_flow_mod(changes, flow_mod, tables);
        Ok(())
    }

    /// What can be said of a flow-mod without knowing any rule or group.
    pub(super) fn check_flow_mod_itself(fm: &FlowMod) -> Result<(), ErrorCode> {
        if fm.table == N_TABLES {
            return Err(ErrorCode::OFPBRC_EPERM);
        }
        if fm.buffer_id.is_some() && !matches!(fm.command, FlowModCommand::Delete | FlowModCommand::DeleteStrict) {
            return Err(ErrorCode::OFPBRC_BUFFER_UNKNOWN);
        }
        Ok(())
    }

    /// Tables that a flow-mod concerns.
    pub(super) fn check_flow_mod(&self, fm: &FlowMod) -> Result<Vec<u8>, ErrorCode> {
        let deletes = matches!(fm.command, FlowModCommand::Delete | FlowModCommand::DeleteStrict);
        if !deletes {
            self.check_references(&fm.actions)?;
        }
        Self::check_flow_mod_itself(fm)?;
        if fm.table != TABLE_ALL {
            return Ok(vec![fm.table]);
        }
        if fm.command == FlowModCommand::Add {
            return Ok(vec![0]);
        }
        let mut tables = self.table_ids();
        tables.retain(|t| *t < N_TABLES && (deletes || self.may_match(fm, *t)));
        if tables.is_empty() && !deletes {
            // A modification of nothing adds, once, in the first table.
            tables.push(0);
        }
        Ok(tables)
    }

    /// Whether a table may have a rule that a modification means.
    fn may_match(&self, fm: &FlowMod, table: u8) -> bool {
        let Some(table) = self.view.table(table) else { return false };
        let mini = flow::classifier::MiniMatch::new(&fm.matching.key, &fm.matching.mask);
        match fm.command {
            FlowModCommand::ModifyStrict => table.rules.exact(&mini, i32::from(fm.priority)).is_some(),
            _ => table.rules.within(&mini).next().is_some(),
        }
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

    /// Tells whoever wants to know of a change of the rules.
    pub fn flow_event(&mut self, event: Event, now_ms: i64) {
        self.tell_events(None, vec![event], now_ms);
    }

    pub(super) fn flow_removed(&mut self, removed: &Removed, now_ms: i64) {
        let rule = &removed.rule;
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

fn push_flow_mod(changes: &mut Changes, flow_mod: &FlowMod, tables: Vec<u8>) {
    let flow_mod = Arc::new(flow_mod.clone());
    let priority = i32::from(flow_mod.priority);
    changes.flow_mod(flow_mod.command);
    for table in tables {
        changes.push(table, Change::FlowMod { flow_mod: flow_mod.clone(), priority });
    }
}
