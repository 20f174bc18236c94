//! Flow-mods: checked here, applied by the tables, reported to whoever wants to know.

use std::sync::Arc;

use openflow::ErrorCode;
use openflow::action::{Action, Actions};
use openflow::flow_mod::{FlowFlags, FlowMod, FlowModCommand, TABLE_ALL};
use openflow::message::async_config::AsyncKind;
use openflow::message::flow_removed::{FlowRemoved, FlowRemovedReason};
use openflow::message::{Dialect, Message};

use super::{Bridge, ConnId, Incoming, N_TABLES};
use crate::bridge::conn::Pending;
use crate::table::{Change, Event, RemovalReason, Removed, Staged};

/// Flow-mods of one connection that are staged together at the most.
pub(super) const BATCH: usize = 1024;

/// Flow-mods under way.
#[derive(Debug)]
pub(crate) struct FlowModBatch {
    conn: ConnId,
    requests: Vec<Incoming>,
    /// Which change of which table belongs to which request, in the order of staging.
    origin: Vec<(u8, usize)>,
}

impl Bridge {
    pub(super) fn flow_mods(&mut self, conn: ConnId, requests: Vec<Incoming>) {
        let mut changes = Vec::new();
        let mut origin = Vec::new();
        let secondary = self.conns.get(&conn).is_some_and(|c| c.role == openflow::message::role::Role::Secondary);
        for (i, request) in requests.iter().enumerate() {
            let Ok(Message::FlowMod { flow_mod, .. }) = &request.body else { continue };
            let checked =
                if secondary { Err(ErrorCode::OFPBRC_IS_SECONDARY) } else { self.check_flow_mod(flow_mod) };
            match checked {
                Err(code) => self.refuse(conn, request, code),
                Ok(tables) => {
                    let flow_mod = Arc::new((**flow_mod).clone());
                    for table in tables {
                        origin.push((table, i));
                        let priority = i32::from(flow_mod.priority);
                        changes.push((table, Change::FlowMod { flow_mod: flow_mod.clone(), priority }));
                    }
                }
            }
        }
        if changes.is_empty() {
            return;
        }
        self.busy = Some(Pending::FlowMods(FlowModBatch { conn, requests, origin }));
        self.stage(changes);
    }

    /// Tables that a flow-mod concerns.
    pub(super) fn check_flow_mod(&self, fm: &FlowMod) -> Result<Vec<u8>, ErrorCode> {
        let adds = fm.command == FlowModCommand::Add;
        if fm.table == N_TABLES && fm.table != TABLE_ALL {
            return Err(ErrorCode::OFPFMFC_EPERM);
        }
        if !matches!(fm.command, FlowModCommand::Delete | FlowModCommand::DeleteStrict) {
            self.check_references(&fm.actions)?;
        }
        if fm.table != TABLE_ALL {
            return Ok(vec![fm.table]);
        }
        if adds {
            return Ok(vec![0]);
        }
        let mut tables = self.table_ids();
        tables.retain(|t| *t < N_TABLES);
        if tables.is_empty() && !matches!(fm.command, FlowModCommand::Delete | FlowModCommand::DeleteStrict) {
            tables.push(0);
        }
        Ok(tables)
    }

    /// Whether the groups and meters that actions name exist.
    pub(super) fn check_references(&self, actions: &Actions) -> Result<(), ErrorCode> {
        for action in actions.iter() {
            match action {
                Action::Group(id) if !self.view.groups.contains_key(id) => return Err(ErrorCode::OFPBAC_BAD_OUT_GROUP),
                Action::Meter(id) if !self.view.meters.contains_key(id) => return Err(ErrorCode::OFPMMFC_INVALID_METER),
                Action::WriteActions(nested) | Action::Clone(nested) => self.check_references(nested)?,
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn flow_mods_staged(&mut self, batch: FlowModBatch, results: Vec<(u8, Option<Staged>)>, now_ms: i64) {
        let mut next: std::collections::BTreeMap<u8, usize> = std::collections::BTreeMap::new();
        let mut failed = vec![None; batch.requests.len()];
        let mut events = Vec::new();
        for (table, request) in &batch.origin {
            let at = next.entry(*table).or_default();
            let staged = results.iter().find(|(t, _)| t == table).and_then(|(_, s)| s.as_ref());
            match staged.and_then(|s| s.outcomes.get(*at)) {
                Some(Ok(done)) => events.extend(done.iter().cloned()),
                Some(Err(code)) => failed[*request] = Some(*code),
                None => failed[*request] = Some(ErrorCode::OFPFMFC_UNKNOWN),
            }
            *at += 1;
        }
        self.settle(&results, true);
        for (request, code) in batch.requests.iter().zip(failed) {
            if let Some(code) = code {
                self.refuse(batch.conn, request, code);
            }
        }
        for event in events {
            self.flow_event(event, now_ms);
        }
    }

    /// Tells whoever wants to know of a change of the rules.
    pub fn flow_event(&mut self, event: Event, now_ms: i64) {
        if let Event::Removed(removed) = &event {
            self.flow_removed(removed, now_ms);
        }
    }

    fn flow_removed(&mut self, removed: &Removed, now_ms: i64) {
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
        let conns: Vec<_> =
            self.conns.values().filter(|c| c.wants(AsyncKind::FlowRemoved, bit)).map(|c| c.id).collect();
        for conn in conns {
            self.send_async(conn, Message::FlowRemoved(Box::new(message.clone())));
        }
    }
}
