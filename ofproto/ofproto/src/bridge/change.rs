//! Changes of rules under way: staged in the tables, then made to stand together with the groups and ports that changed
//! beside them, or taken back whole.
//!
//! A batch of a controller's flow-mods stands rule by rule: what fails is answered with an error and disturbs nobody. A
//! bundle stands as a whole or not at all (OpenFlow 1.4 section 6.8).

use std::collections::BTreeMap;

use openflow::ErrorCode;
use openflow::flow_mod::FlowModCommand;
use openflow::message::PacketOut;

use super::group::Groups;
use super::{Bridge, ConnId, Incoming};
use crate::bridge::conn::Pending;
use crate::table::{Change, Event, Staged};

/// Changes under way on behalf of a connection.
#[derive(Debug)]
pub(crate) struct Changes {
    pub(super) conn: ConnId,
    /// What each change is owed to.
    pub(super) requests: Vec<Incoming>,
    /// Which change of which table belongs to which request, in the order of staging.
    origin: Vec<(u8, usize)>,
    staged: Vec<(u8, Change)>,
    /// The flow-mods among the requests.
    commands: Vec<(usize, FlowModCommand)>,
    /// For a bundle, what must be put back if it fails.
    pub(super) bundle: Option<BundleChanges>,
}

/// What a bundle adds to changes.
#[derive(Debug)]
pub(crate) struct BundleChanges {
    /// The commit, to be answered.
    pub(super) commit: Incoming,
    pub(super) id: u32,
    /// Groups as they were.
    pub(super) groups: Groups,
    /// The message that could not even be staged, and why.
    pub(super) refused: Option<(usize, ErrorCode)>,
    /// Port-mods to carry out, by request.
    pub(super) port_mods: Vec<usize>,
    /// Packets to send once all stands.
    pub(super) packet_outs: Vec<PacketOut>,
}

impl Changes {
    pub(super) fn new(conn: ConnId) -> Changes {
        Changes {
            conn,
            requests: Vec::new(),
            origin: Vec::new(),
            staged: Vec::new(),
            commands: Vec::new(),
            bundle: None,
        }
    }

    /// Takes a request in; what it changes follows by [`Changes::push`].
    pub(super) fn request(&mut self, request: Incoming) {
        self.requests.push(request);
    }

    /// The request taken in last is a flow-mod, which counts if it succeeds.
    pub(super) fn flow_mod(&mut self, command: FlowModCommand) {
        self.commands.push((self.requests.len().saturating_sub(1), command));
    }

    /// A change that the request taken in last asks for.
    pub(super) fn push(&mut self, table: u8, change: Change) {
        self.origin.push((table, self.requests.len().saturating_sub(1)));
        self.staged.push((table, change));
    }
}

impl Bridge {
    /// Stages changes, and waits for the tables; without any, they stand at once.
    pub(super) fn run_changes(&mut self, mut changes: Changes) {
        let staged = std::mem::take(&mut changes.staged);
        if staged.is_empty() {
            self.changes_staged(changes, &[], self.now_ms);
            return;
        }
        self.busy = Some(Pending::Changes(changes));
        self.stage(staged);
    }

    /// All tables have staged.
    pub(super) fn changes_staged(&mut self, changes: Changes, results: &[(u8, Option<Staged>)], now_ms: i64) {
        let mut next: BTreeMap<u8, usize> = BTreeMap::new();
        let mut failed: Vec<Option<ErrorCode>> = vec![None; changes.requests.len()];
        let mut events: Vec<Vec<Event>> = vec![Vec::new(); changes.requests.len()];
        let staged: BTreeMap<u8, &Staged> = results.iter().filter_map(|(t, s)| s.as_ref().map(|s| (*t, s))).collect();
        for (table, request) in &changes.origin {
            let at = next.entry(*table).or_default();
            match staged.get(table).and_then(|s| s.outcomes.get(*at)) {
                Some(Ok(done)) => events[*request].extend(done.iter().cloned()),
                Some(Err(code)) => failed[*request] = failed[*request].or(Some(*code)),
                None => failed[*request] = failed[*request].or(Some(ErrorCode::OFPFMFC_UNKNOWN)),
            }
            *at += 1;
        }
        if let Some(conn) = self.conns.get_mut(&changes.conn) {
            for (_, command) in changes.commands.iter().filter(|(i, _)| failed.get(*i).is_some_and(Option::is_none)) {
                conn.flow_mod_log.count(*command, now_ms);
            }
        }
        match changes.bundle {
            Some(bundle) => {
                self.bundle_staged(changes.conn, &changes.requests, bundle, results, &failed, events, now_ms)
            }
            None => {
                self.settle(results, true);
                self.publish_groups();
                for (request, code) in changes.requests.iter().zip(failed) {
                    if let Some(code) = code {
                        self.refuse(changes.conn, request, code);
                    }
                }
                for (request, events) in changes.requests.iter().zip(events) {
                    self.tell_events(Some((changes.conn, request.xid)), events, now_ms);
                }
            }
        }
    }

    /// Tells whoever wants to know of changes that one request, or the switch itself, made.
    pub(super) fn tell_events(&mut self, source: Option<(ConnId, u32)>, events: Vec<Event>, now_ms: i64) {
        self.gather_events(source, events, now_ms);
        self.flush_monitors();
    }

    /// As [`Bridge::tell_events`], but monitors are told later, together with what else there is to tell.
    pub(super) fn gather_events(&mut self, source: Option<(ConnId, u32)>, events: Vec<Event>, now_ms: i64) {
        for event in events {
            self.monitor_event(source, &event);
            if let Event::Removed(removed) = &event {
                self.flow_removed(removed, now_ms);
            }
        }
    }
}
