//! Changes of rules under way: staged in the tables, then made to stand together with the groups and ports that changed
//! beside them, or taken back whole.
//!
//! A batch of a controller's flow-mods stands rule by rule: what fails is answered with an error and disturbs nobody. A
//! bundle stands as a whole or not at all (OpenFlow 1.4 section 6.8).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use openflow::ErrorCode;
use openflow::flow_mod::FlowModCommand;
use openflow::message::PortMod;

use super::bundle::Gathered;
use super::group::{Groups, ToldGroupMod};
use super::upcall::Given;
use super::{Bridge, ConnId, Incoming, teachers};
use crate::bridge::conn::Pending;
use crate::table::TableView;
use crate::table::{Change, Event, Outcome, Staged};

/// What is needed of a request to answer it with an error.
#[derive(Clone, Debug)]
pub(crate) struct Owed {
    pub(super) xid: u32,
    /// Its octets, for the error to quote.
    pub(super) raw: Arc<[u8]>,
}

impl From<&Incoming> for Owed {
    fn from(request: &Incoming) -> Owed {
        Owed { xid: request.xid, raw: request.raw.clone() }
    }
}

/// Changes under way on behalf of a connection.
#[derive(Debug)]
pub(crate) struct Changes {
    pub(super) conn: ConnId,
    /// What each change is owed to.
    pub(super) requests: Vec<Owed>,
    /// Which change of which table belongs to which request, in the order of staging.
    origin: Vec<(u8, usize)>,
    staged: BTreeMap<u8, Vec<Change>>,
    /// Tables that earlier pieces of the same bundle have changed.
    earlier: BTreeSet<u8>,
    /// The flow-mods among the requests.
    commands: Vec<(usize, FlowModCommand)>,
    /// For a bundle, what must be put back if it fails.
    pub(super) bundle: Option<BundleChanges>,
}

/// What a bundle adds to changes. It is staged piece by piece, so that packets need not wait for all of it.
#[derive(Debug)]
pub(crate) struct BundleChanges {
    /// The commit, to be answered.
    pub(super) commit: Owed,
    pub(super) id: u32,
    /// Whether the controller wants it atomic, which port-mods are not.
    pub(super) atomic: bool,
    /// Groups as they were.
    pub(super) groups: Groups,
    /// What is not staged yet.
    pub(super) rest: VecDeque<std::vec::IntoIter<Gathered>>,
    /// The tables that have staged something are asked how they look, for the message that is next.
    pub(super) asks: bool,
    /// How they look, if that is known.
    pub(super) seen: Option<Vec<Arc<TableView>>>,
    /// The message that could not even be staged, and why.
    pub(super) refused: Option<(Owed, ErrorCode)>,
    /// Tables that have staged something.
    pub(super) tables: BTreeSet<u8>,
    /// What there is to tell, by the transaction that did it.
    pub(super) events: Vec<(u32, Vec<Event>)>,
    /// Port-mods to carry out.
    pub(super) port_mods: Vec<PortMod>,
    /// Group-mods to tell others of, by transaction.
    pub(super) group_mods: Vec<(u32, ToldGroupMod)>,
    /// Packets to send once all stands. What becomes of each is decided by what stands before it in the bundle.
    pub(super) packet_outs: Vec<Given>,
    /// Everything is staged; the tables are asked for their views.
    pub(super) complete: bool,
}

impl Changes {
    pub(super) fn new(conn: ConnId) -> Changes {
        Changes {
            conn,
            requests: Vec::new(),
            origin: Vec::new(),
            staged: BTreeMap::new(),
            earlier: BTreeSet::new(),
            commands: Vec::new(),
            bundle: None,
        }
    }

    /// The next piece of a bundle.
    pub(super) fn piece(conn: ConnId, bundle: &BundleChanges) -> Changes {
        Changes { earlier: bundle.tables.clone(), ..Changes::new(conn) }
    }

    /// Tables with changes that nobody else sees yet.
    pub(super) fn tables(&self) -> impl Iterator<Item = u8> {
        self.earlier.iter().chain(self.staged.keys()).copied()
    }

    /// Takes a request in; what it changes follows by [`Changes::push`].
    pub(super) fn request(&mut self, request: Owed) {
        self.requests.push(request);
    }

    /// The request taken in last is a flow-mod, which counts if it succeeds.
    pub(super) fn flow_mod(&mut self, command: FlowModCommand) {
        self.commands.push((self.requests.len().saturating_sub(1), command));
    }

    /// Whether there is anything for the tables to stage.
    pub(super) fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// A change that the request taken in last asks for.
    pub(super) fn push(&mut self, table: u8, change: Change) {
        self.origin.push((table, self.requests.len().saturating_sub(1)));
        self.staged.entry(table).or_default().push(change);
    }
}

impl Bridge {
    /// Stages changes, and waits for the tables; without any, they stand at once.
    pub(super) fn run_changes(&mut self, mut changes: Changes) {
        let mut staged = std::mem::take(&mut changes.staged);
        if let Some(bundle) = &mut changes.bundle {
            bundle.tables.extend(staged.keys());
            if bundle.complete || bundle.asks {
                for table in &bundle.tables {
                    staged.entry(*table).or_default();
                }
            }
        }
        if staged.is_empty() {
            self.changes_staged(changes, Vec::new(), self.now_ms);
            return;
        }
        self.busy = Some(Pending::Changes(Box::new(changes)));
        self.stage(staged);
    }

    /// All tables have staged.
    pub(super) fn changes_staged(&mut self, mut changes: Changes, mut results: Vec<(u8, Option<Staged>)>, now_ms: i64) {
        let mut outcomes: BTreeMap<u8, std::vec::IntoIter<Outcome>> = results
            .iter_mut()
            .filter_map(|(t, s)| s.as_mut().map(|s| (*t, std::mem::take(&mut s.outcomes).into_iter())))
            .collect();
        let mut failed: Vec<Option<ErrorCode>> = vec![None; changes.requests.len()];
        let mut events: BTreeMap<usize, Vec<Event>> = BTreeMap::new();
        for (table, request) in &changes.origin {
            match outcomes.get_mut(table).and_then(Iterator::next) {
                Some(Ok(done)) if done.is_empty() => {}
                Some(Ok(done)) => events.entry(*request).or_default().extend(done),
                Some(Err(code)) => failed[*request] = failed[*request].or(Some(code)),
                None => failed[*request] = failed[*request].or(Some(ErrorCode::OFPFMFC_UNKNOWN)),
            }
        }
        if let Some(conn) = self.conns.get_mut(&changes.conn) {
            for (_, command) in changes.commands.iter().filter(|(i, _)| failed.get(*i).is_some_and(Option::is_none)) {
                conn.flow_mod_log.count(*command, now_ms);
            }
        }
        let xid_of = |i: usize| changes.requests.get(i).map_or(0, |r| r.xid);
        let events = events.into_iter().map(|(i, events)| (xid_of(i), events));
        if let Some(bundle) = &mut changes.bundle {
            bundle.events.extend(events);
            return self.bundle_staged(changes, &results, &failed, now_ms);
        }
        let events: Vec<_> = events.collect();
        self.settle(&results, true);
        self.publish_groups();
        for (request, code) in changes.requests.iter().zip(failed) {
            if let Some(code) = code {
                self.refuse_owed(changes.conn, request, code);
            }
        }
        for (xid, events) in events {
            self.tell_events(Some((changes.conn, xid)), events, now_ms);
        }
    }

    /// Tells whoever wants to know of changes that one request, or the switch itself, made.
    pub(super) fn tell_events(&mut self, source: Option<(ConnId, u32)>, events: Vec<Event>, now_ms: i64) {
        self.gather_events(source, events);
        self.flush_events(now_ms);
    }

    /// Tells what was gathered: monitors first, then who wants to know of the ends of rules.
    pub(super) fn flush_events(&mut self, now_ms: i64) {
        self.flush_monitors();
        for removed in std::mem::take(&mut self.farewells) {
            self.flow_removed(&removed, now_ms);
        }
    }

    /// As [`Bridge::tell_events`], but nobody is told before [`Bridge::flush_events`].
    pub(super) fn gather_events(&mut self, source: Option<(ConnId, u32)>, events: Vec<Event>) {
        for event in events {
            for pupils in self.teachers.heed(&event) {
                let dismissal = Change::flow_mod(&teachers::dismissal(pupils), 0);
                self.own.push_back(vec![(pupils.table, dismissal)]);
            }
            self.monitor_event(source, &event);
            if let Event::Removed(removed) = event {
                self.farewells.push(removed);
            }
        }
    }
}
