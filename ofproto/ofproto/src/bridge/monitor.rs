//! Flow monitors: controllers that want to hear of changes of rules.
//!
//! Changes of one request are told in one message. Whoever made a change hears of it in short, unless it asked for all. A
//! connection that does not read is paused: it hears of deletions of rules that it knows and of nothing else; once it has
//! read everything, it is told what came and changed meanwhile.
//!
//! Source: OpenFlow 1.4 section 7.3.5.17, ONF extension 187, ovs-ofctl(8) `monitor`.

use std::collections::BTreeMap;
use std::sync::Arc;

use flow::classifier::MiniMatch;
use openflow::action::{Actions, outputs_to_group, outputs_to_port};
use openflow::flow_mod::{GROUP_ANY, TABLE_ALL};
use openflow::message::monitor::{FlowUpdateEvent, FullUpdate, MonitorCommand, monitor_flag};
use openflow::message::{FlowMonitorRequest, FlowUpdate, Message};
use openflow::{ErrorCode, OfPort, Version};

use super::{Bridge, Conn, ConnId, Incoming, N_TABLES};
use crate::rule::{Rule, RuleId};
use crate::table::{Event, sort_by_shape};
use crate::view::INTERNAL_TABLE;

/// Octets of updates that wait at which a connection's monitors pause.
const PAUSE_OCTETS: usize = 128 * 1024;
/// Monitors of a connection at the most.
const MONITORS_AT_MOST: usize = 1 << 12;

/// With any of these, own changes are told in full; Nicira's flag `own` is read as the second.
const WHOLE: u16 = monitor_flag::NO_ABBREV | monitor_flag::ONLY_OWN;

/// One monitor.
#[derive(Debug, Clone)]
pub(crate) struct Monitor {
    flags: u16,
    out_port: OfPort,
    out_group: u32,
    table: u8,
    mini: MiniMatch,
}

/// A connection's monitors.
#[derive(Debug, Default)]
pub(crate) struct Monitors {
    by_id: BTreeMap<u32, Monitor>,
    /// To be told when the request is done.
    updates: Vec<FlowUpdate>,
    sent_abbrev: bool,
    /// While paused: rules added (`true`) or changed since.
    paused: Option<BTreeMap<RuleId, (Arc<Rule>, bool)>>,
    backlog: usize,
}

impl Monitor {
    fn of(request: &FlowMonitorRequest) -> Monitor {
        Monitor {
            flags: request.flags,
            out_port: request.out_port,
            out_group: request.out_group,
            table: request.table_id,
            mini: MiniMatch::new(&request.matching.key, &request.matching.mask),
        }
    }

    fn sees(&self, rule: &Rule, old_actions: Option<&Actions>) -> bool {
        let sends = |actions: &Actions| self.out_port == OfPort::ANY || outputs_to_port(actions, self.out_port);
        (self.table == TABLE_ALL || self.table == rule.table())
            && (sends(&rule.actions) || old_actions.is_some_and(sends))
            // Open vSwitch 3.1 asks the old actions for the port alone.
            && (self.out_group == GROUP_ANY || outputs_to_group(&rule.actions, self.out_group))
            && rule.mini.is_within(&self.mini)
    }
}

impl Monitors {
    /// Whether there is any.
    pub(super) fn are_any(&self) -> bool {
        !self.by_id.is_empty()
    }

    /// The flags of all monitors, of those that see an event, together.
    fn flags_for(&self, wanted: u16, rule: &Rule, old_actions: Option<&Actions>) -> u16 {
        // As Open vSwitch takes it, ONLY_OWN keeps nothing away.
        let seen = self.by_id.values().filter(|m| m.flags & wanted != 0 && m.sees(rule, old_actions));
        seen.fold(0, |flags, m| flags | m.flags)
    }
}

fn update(event: FlowUpdateEvent, rule: &Rule, reason: u8, flags: u16) -> FlowUpdate {
    let with_actions = flags & monitor_flag::INSTRUCTIONS != 0;
    FlowUpdate::Full(Box::new(FullUpdate {
        event,
        reason: reason.into(),
        idle_timeout: rule.idle_timeout,
        hard_timeout: rule.hard_timeout,
        priority: u16::try_from(rule.priority).unwrap_or(u16::MAX),
        table_id: rule.table(),
        cookie: rule.cookie,
        matching: rule.matching(),
        actions: if with_actions { rule.actions.clone() } else { Actions::from([]) },
    }))
}

impl Bridge {
    pub(super) fn flow_monitors(
        &mut self,
        id: ConnId,
        request: &Incoming,
        wanted: &[FlowMonitorRequest],
    ) -> Result<(), ErrorCode> {
        let mut made = Vec::new();
        for one in wanted {
            if let Err(code) = self.flow_monitor(id, one) {
                self.edit(id, |c| made.iter().for_each(|id| drop(c.monitors.by_id.remove(id))));
                return Err(code);
            }
            if matches!(one.command, MonitorCommand::Add | MonitorCommand::Modify) {
                made.push(one.id);
            }
        }
        let Some(conn) = self.conns.get(&id) else { return Ok(()) };
        // Each rule once, where the first monitor that sees it comes upon it.
        let mut rows: Vec<(Arc<Rule>, u16)> = Vec::new();
        let mut found: BTreeMap<(u8, RuleId), usize> = BTreeMap::new();
        for monitor in made.iter().filter_map(|id| conn.monitors.by_id.get(id)) {
            if monitor.flags & monitor_flag::INITIAL == 0 {
                continue;
            }
            for table in self.view.tables.iter().flatten().filter(|t| t.id < N_TABLES) {
                if monitor.table != TABLE_ALL && monitor.table != table.id {
                    continue;
                }
                let within = table.rules.within(&monitor.mini);
                let mut seen: Vec<&Arc<Rule>> =
                    within.filter(|rule| !rule.is_hidden() && monitor.sees(rule, None)).collect();
                sort_by_shape(&mut seen, |rule| rule);
                for rule in seen {
                    let at = *found.entry((table.id, rule.id)).or_insert_with(|| {
                        rows.push((rule.clone(), 0));
                        rows.len() - 1
                    });
                    rows[at].1 |= monitor.flags;
                }
            }
        }
        rows.extend(self.hidden_initially(made.iter().filter_map(|id| conn.monitors.by_id.get(id))));
        let rows = rows.iter().map(|(rule, flags)| update(FlowUpdateEvent::Initial, rule, 0, *flags)).collect();
        self.reply(id, request.xid, Message::FlowMonitorReply(rows));
        Ok(())
    }

    /// What monitors of the last table, which alone see its rules from the start, are told first.
    fn hidden_initially<'a>(&self, made: impl Iterator<Item = &'a Monitor>) -> Vec<(Arc<Rule>, u16)> {
        let sees_hidden = |m: &&Monitor| m.table == INTERNAL_TABLE && m.flags & monitor_flag::INITIAL != 0;
        let monitors: Vec<&Monitor> = made.filter(sees_hidden).collect();
        if monitors.is_empty() {
            return Vec::new();
        }
        let flags = |rule: &Rule| monitors.iter().filter(|m| m.sees(rule, None)).fold(0, |flags, m| flags | m.flags);
        let rules = self.hidden_rules().into_iter().map(|(rule, _)| (flags(&rule), rule));
        rules.filter(|(flags, _)| *flags != 0).map(|(flags, rule)| (rule, flags)).collect()
    }

    fn flow_monitor(&mut self, id: ConnId, wanted: &FlowMonitorRequest) -> Result<(), ErrorCode> {
        let Some(conn) = self.conns.get_mut(&id) else { return Ok(()) };
        let monitors = &mut conn.monitors.by_id;
        match wanted.command {
            MonitorCommand::Delete => {
                monitors.remove(&wanted.id).map(drop).ok_or(ErrorCode::OFPMOFC_UNKNOWN_MONITOR)?;
                return Ok(());
            }
            MonitorCommand::Modify => {
                monitors.remove(&wanted.id).map(drop).ok_or(ErrorCode::OFPMOFC_UNKNOWN_MONITOR)?;
            }
            MonitorCommand::Add if monitors.contains_key(&wanted.id) => {
                return Err(ErrorCode::OFPMOFC_MONITOR_EXISTS);
            }
            MonitorCommand::Other(_) => return Ok(()),
            MonitorCommand::Add => {}
        }
        if monitors.len() >= MONITORS_AT_MOST {
            return Err(ErrorCode::OFPMOFC_UNKNOWN);
        }
        monitors.insert(wanted.id, Monitor::of(wanted));
        Ok(())
    }

    pub(super) fn cancel_monitor(&mut self, id: ConnId, monitor: u32) -> Result<(), ErrorCode> {
        let Some(conn) = self.conns.get_mut(&id) else { return Ok(()) };
        conn.monitors.by_id.remove(&monitor).map(drop).ok_or(ErrorCode::OFPMOFC_UNKNOWN_MONITOR)
    }

    /// Notes a change for every monitor that sees it.
    pub(super) fn monitor_event(&mut self, source: Option<(ConnId, u32)>, event: &Event) {
        let (kind, wanted, rule, old_actions, reason) = match event {
            Event::Added(rule, old) => (FlowUpdateEvent::Added, monitor_flag::ADD, rule, old.as_ref(), 0),
            Event::Modified(rule, old) => (FlowUpdateEvent::Modified, monitor_flag::MODIFY, rule, old.as_ref(), 0),
            Event::Removed(gone) => {
                (FlowUpdateEvent::Deleted, monitor_flag::REMOVED, &gone.rule, None, gone.reason as u8)
            }
            Event::Evicting(_) => return,
        };
        if rule.is_hidden() {
            return;
        }
        for conn in self.conns.values_mut().filter(|c| !c.monitors.by_id.is_empty()) {
            note(conn, source, kind, wanted, rule, old_actions, reason);
        }
    }

    /// Tells monitors of changes that nobody asked for, each by itself.
    pub(super) fn tell_monitors(&mut self, events: &[Event]) {
        for event in events {
            self.monitor_event(None, event);
            self.flush_monitors();
        }
    }

    /// Sends what monitors have to tell of the request that is done.
    pub(super) fn flush_monitors(&mut self) {
        let mut sends = Vec::new();
        for conn in self.conns.values_mut() {
            let updates = std::mem::take(&mut conn.monitors.updates);
            conn.monitors.sent_abbrev = false;
            if !updates.is_empty() {
                sends.push((conn.id, Message::FlowMonitorReply(updates)));
            }
        }
        for (conn, message) in sends {
            self.send_async(conn, message);
        }
    }

    /// Tells how many octets of updates wait for a connection to read them.
    pub fn set_backlog(&mut self, id: ConnId, octets: usize) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.monitors.backlog = octets;
        if conn.monitors.paused.is_none() && octets > PAUSE_OCTETS && !conn.monitors.by_id.is_empty() {
            conn.monitors.paused = Some(BTreeMap::new());
            self.events.monitors_paused += 1;
            let paused = if conn.version >= Version::V14 {
                Message::FlowMonitorReply(vec![FlowUpdate::Paused])
            } else {
                Message::FlowMonitorPaused
            };
            self.send_async(id, paused);
        } else if octets == 0
            && let Some(missed) = conn.monitors.paused.take()
        {
            self.events.monitors_resumed += 1;
            self.resume_monitors(id, missed);
        }
    }

    fn resume_monitors(&mut self, id: ConnId, missed: BTreeMap<RuleId, (Arc<Rule>, bool)>) {
        let Some(conn) = self.conns.get(&id) else { return };
        let mut updates = Vec::new();
        for (rule, added) in missed.into_values() {
            let (event, wanted) = if added {
                (FlowUpdateEvent::Added, monitor_flag::ADD)
            } else {
                (FlowUpdateEvent::Modified, monitor_flag::MODIFY)
            };
            let flags = conn.monitors.flags_for(wanted, &rule, None);
            if flags != 0 {
                updates.push(update(event, &rule, 0, flags));
            }
        }
        let standard = conn.version >= Version::V14;
        if standard {
            updates.push(FlowUpdate::Resumed);
        }
        if !updates.is_empty() {
            self.send_async(id, Message::FlowMonitorReply(updates));
        }
        if !standard {
            self.send_async(id, Message::FlowMonitorResumed);
        }
    }
}

/// Notes a change for the monitors of one connection.
fn note(
    conn: &mut Conn,
    source: Option<(ConnId, u32)>,
    kind: FlowUpdateEvent,
    wanted: u16,
    rule: &Arc<Rule>,
    old_actions: Option<&Actions>,
    reason: u8,
) {
    let own = source.filter(|(id, _)| *id == conn.id);
    let monitors = &mut conn.monitors;
    if let Some(missed) = &mut monitors.paused {
        match kind {
            FlowUpdateEvent::Deleted => {
                // What was never told of need not be taken back.
                if missed.remove(&rule.id).is_some_and(|(_, added)| added) {
                    return;
                }
            }
            _ => {
                let added = kind == FlowUpdateEvent::Added;
                let entry = missed.entry(rule.id).or_insert_with(|| (rule.clone(), added));
                *entry = (rule.clone(), entry.1 || added);
                return;
            }
        }
    }
    let flags = monitors.flags_for(wanted, rule, old_actions);
    if flags == 0 {
        return;
    }
    match own {
        Some((_, xid)) if flags & WHOLE == 0 && monitors.paused.is_none() => {
            if !std::mem::replace(&mut monitors.sent_abbrev, true) {
                monitors.updates.push(FlowUpdate::Abbrev { xid });
            }
        }
        _ => monitors.updates.push(update(kind, rule, reason, flags)),
    }
}
