//! The controllers a bridge is configured with: whether any is of use, and what the bridge does while none is.
//!
//! A controller fails while it is not connected, or connected and of no use. It is of use from the first message that
//! shows that it means to rule ("admitted"), or from any message after half a minute's connection. See
//! [`crate::fail_open`] and [`crate::in_band`].

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use openflow::OfPort;
use openflow::matching::Match;
use openflow::message::async_config::AsyncKind;
use openflow::message::packet_in::reason;
use openflow::message::{Message, NO_BUFFER, PacketIn, PacketInFormat};

use super::conn::Conn;
use super::service::changes_state;
use super::{Bridge, ConnId, ConnKind, Incoming, Output, RateLimit};
use crate::fail_open::{self, FailOpen, Health, Step};
use crate::in_band::{InBand, Remote};
use crate::note::Note;

/// Connected for so long, any message will do, milliseconds.
const PROBATION_MS: i64 = 30_000;

/// A controller, or a listener for controllers, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerConfig {
    /// Target: `tcp:127.0.0.1:6653`.
    pub target: String,
    /// What those at the other end are: a `primary` one rules, one for `service` does not count.
    pub kind: ConnKind,
    /// Where it is, if it is to be reached through the bridge.
    pub in_band: Option<Remote>,
    /// Silence before a probe, seconds; 0 for never.
    pub probe_s: i64,
    /// Limit of packets for it.
    pub limit: Option<RateLimit>,
    /// Packets that may be under way to it.
    pub queue_size: Option<u32>,
    /// Whether it hears of anything it did not ask for.
    pub enable_async: bool,
}

/// What the database says of controllers and ways to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ControllersConfig {
    /// The controllers.
    pub controllers: Vec<ControllerConfig>,
    /// Others to be reached through the bridge: database managers.
    pub remotes: Vec<Remote>,
    /// Queue of packets for them (`other_config:in-band-queue`).
    pub queue: Option<u32>,
}

#[derive(Debug)]
struct Controller {
    config: ControllerConfig,
    conn: Option<ConnId>,
    connected_ms: i64,
    /// When it was of use last; at first, when it was configured.
    admitted_ms: i64,
    /// Has been of use since it connected.
    proven: bool,
}

/// The controllers of a bridge.
#[derive(Debug, Default)]
pub(crate) struct Controllers {
    by_target: BTreeMap<String, Controller>,
    config: ControllersConfig,
    fail_open: Option<FailOpen>,
    in_band: InBand,
    packets_sent: u64,
}

impl Controller {
    fn is_admitted(&self) -> bool {
        self.conn.is_some() && self.proven
    }
}

impl Controllers {
    fn has_primary(&self) -> bool {
        self.by_target.values().any(|c| c.config.kind == ConnKind::Primary)
    }

    fn health(&self, now_ms: i64) -> Health {
        let primary = || self.by_target.values().filter(|c| c.config.kind == ConnKind::Primary);
        let failing = |c: &Controller| if c.is_admitted() { 0 } else { (now_ms - c.admitted_ms) / 1000 };
        Health {
            failing_s: primary().map(failing).min().unwrap_or(0),
            probe_s: primary().map(|c| c.config.probe_s).max().unwrap_or(0),
            connected: primary().any(|c| c.conn.is_some()),
            admitted: primary().any(Controller::is_admitted),
        }
    }

    /// Hidden rules in table 0.
    pub(crate) fn hidden_rules(&self) -> usize {
        self.in_band.rules() + usize::from(self.fail_open.as_ref().is_some_and(FailOpen::is_active))
    }

    /// When there is something to do.
    pub(crate) fn poll_timeout(&self, now_ms: i64) -> Option<(i64, &'static str)> {
        let open = self.fail_open.as_ref().and_then(|f| f.poll_timeout(self.health(now_ms), now_ms));
        open.into_iter().chain(self.in_band.poll_timeout()).min()
    }
}

impl Bridge {
    /// Whether a controller is configured, connected or not.
    pub fn has_controllers(&self) -> bool {
        self.controllers.has_primary()
    }

    /// Takes the controllers, after a configuration. The first one coming, or the last one going, empties the tables; so
    /// does another fail mode without any.
    pub fn set_controllers(&mut self, config: ControllersConfig, now_ms: i64) {
        self.set_now(now_ms);
        let had = self.has_controllers();
        let mut before = std::mem::take(&mut self.controllers.by_target);
        for wanted in &config.controllers {
            let old = before.remove(&wanted.target);
            let hears = old.as_ref().is_some_and(|old| old.config.enable_async != wanted.enable_async);
            let controller = match old {
                Some(old) => Controller { config: wanted.clone(), ..old },
                None => Controller {
                    config: wanted.clone(),
                    conn: None,
                    connected_ms: now_ms,
                    admitted_ms: now_ms,
                    proven: false,
                },
            };
            let served = self.conns.values().filter(|c| c.target == wanted.target).map(|c| c.id);
            for conn in served.collect::<Vec<_>>() {
                self.limit_packets(conn, wanted.limit, wanted.queue_size);
                if hears {
                    self.edit(conn, |c| c.hear(wanted.enable_async));
                }
            }
            self.controllers.by_target.insert(wanted.target.clone(), controller);
        }
        self.controllers.config = config;
        self.update_fail_open();
        let goes_on = std::mem::take(&mut self.goes_on);
        let mode_changed = std::mem::take(&mut self.mode_changed) && !self.has_controllers();
        if (had != self.has_controllers() || mode_changed) && !goes_on {
            self.flush_flows();
        }
        self.update_in_band();
        self.run_controllers();
    }

    /// The fail mode, or whether there are controllers, may have changed.
    pub(super) fn update_fail_open(&mut self) {
        let wanted = self.has_controllers() && !self.config.fail_secure;
        match (wanted, self.controllers.fail_open.take()) {
            (true, old) => self.controllers.fail_open = Some(old.unwrap_or_default()),
            (false, Some(mut old)) => {
                if let Some(note) = old.end() {
                    self.put(Output::Log(note));
                    self.own.push_back(vec![(0, fail_open::rule(false))]);
                    self.run_queue();
                }
            }
            (false, None) => {}
        }
    }

    /// Remotes, or the local port's address, may have changed.
    pub(super) fn update_in_band(&mut self) {
        let config = &self.controllers.config;
        let controllers = config.controllers.iter().filter_map(|c| c.in_band);
        let remotes = controllers.chain(config.remotes.iter().copied()).collect();
        self.controllers.in_band.configure(remotes, config.queue, self.config.hw_addr);
        let active = self.controllers.in_band.is_active();
        if self.view.in_band != active {
            self.view.in_band = active;
            self.dirty = true;
        }
        let changes = self.controllers.in_band.changes();
        if !changes.is_empty() {
            self.own.push_back(changes.into_iter().map(|change| (0, change)).collect());
            self.run_queue();
        }
    }

    /// The answer to [`Output::FindNextHops`]: Ethernet addresses of those that were found.
    pub fn next_hops(&mut self, found: BTreeMap<Ipv4Addr, u64>) {
        self.controllers.in_band.set_next_hops(found, self.now_ms);
        self.update_in_band();
    }

    /// Does what is due.
    pub(super) fn run_controllers(&mut self) {
        let now_ms = self.now_ms;
        let due = self.controllers.in_band.due(now_ms);
        if !due.is_empty() {
            self.put(Output::FindNextHops(due));
        }
        let health = self.controllers.health(now_ms);
        let Some(fail_open) = &mut self.controllers.fail_open else { return };
        let (step, note) = fail_open.run(health, now_ms);
        if let Some(note) = note {
            self.put(Output::Log(note));
        }
        match step {
            Some(Step::Open) => {
                self.flush_flows();
                self.own.push_back(vec![(0, fail_open::rule(true))]);
                self.run_queue();
            }
            Some(Step::Recover) => {
                self.own.push_back(vec![(0, fail_open::rule(false))]);
                self.run_queue();
            }
            Some(Step::SendPacket) => self.send_made_up_packet(),
            None => {}
        }
    }

    /// Lets controllers show that they are of use.
    fn send_made_up_packet(&mut self) {
        self.controllers.packets_sent += 1;
        let number = self.seed.wrapping_add(self.controllers.packets_sent).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let frame = fail_open::made_up_packet(0x0023_2080_0000 | (number >> 41));
        let mut flow_metadata = Match::default();
        flow_metadata.set_in_port(OfPort::LOCAL);
        let message = PacketIn {
            format: PacketInFormat::Standard,
            total_len: u32::try_from(frame.len()).unwrap_or(0),
            packet: frame.into(),
            buffer_id: NO_BUFFER,
            reason: reason::NO_MATCH,
            table_id: 0,
            cookie: u64::MAX,
            flow_metadata,
            userdata: Default::default(),
            continuation: None,
            raw_continuation: Vec::new(),
        };
        let wants = |c: &&Conn| c.wants(AsyncKind::PacketIn, 1 << reason::NO_MATCH) && c.controller_id == 0;
        let conns: Vec<_> = self.conns.values().filter(wants).map(|c| (c.id, c.packet_in_format)).collect();
        for (conn, format) in conns {
            self.send_packet(conn, Message::PacketIn(Box::new(PacketIn { format, ..message.clone() })));
        }
    }

    /// A connection is there: it gets what its controller is configured to get.
    pub(super) fn controller_connected(&mut self, id: ConnId) {
        let now_ms = self.now_ms;
        let Some(conn) = self.conns.get(&id) else { return };
        let Some(controller) = self.controllers.by_target.get_mut(&conn.target) else { return };
        // Many may come to one that listens; of those none stands for it.
        if conn.name == conn.target {
            (controller.conn, controller.connected_ms, controller.proven) = (Some(id), now_ms, false);
        }
        let config = controller.config.clone();
        self.limit_packets(id, config.limit, config.queue_size);
        if !config.enable_async {
            self.edit(id, |c| c.hear(false));
        }
        self.run_controllers();
    }

    pub(super) fn controller_disconnected(&mut self, id: ConnId) {
        for controller in self.controllers.by_target.values_mut().filter(|c| c.conn == Some(id)) {
            controller.conn = None;
        }
        self.run_controllers();
    }

    /// Messages came: do they show that their sender rules?
    pub(super) fn judge_controller(&mut self, id: ConnId, messages: &[Incoming]) {
        if self.conns.get(&id).is_none_or(|c| c.kind != ConnKind::Primary) || messages.is_empty() {
            return;
        }
        let now_ms = self.now_ms;
        let Some(controller) = self.controllers.by_target.values_mut().find(|c| c.conn == Some(id)) else { return };
        let tried = now_ms - controller.connected_ms >= PROBATION_MS;
        if tried || messages.iter().any(|m| m.body.as_ref().is_ok_and(means_to_rule)) {
            controller.admitted_ms = now_ms;
            if !std::mem::replace(&mut controller.proven, true) {
                self.run_controllers();
            }
        }
    }

    /// Packets that wait for a controller, and what became of those before: for its status column.
    pub fn packet_queues(&self, target: &str) -> Vec<(String, u64)> {
        let conn = self.controllers.by_target.get(target).and_then(|c| c.conn);
        conn.and_then(|id| self.conns.get(&id)).map(|c| c.limits.status()).unwrap_or_default()
    }

    /// Writes a line into the log.
    pub(super) fn log(&mut self, note: Note) {
        self.put(Output::Log(note));
    }
}

/// Whether only a controller that has decided to rule sends this. Whoever is still being made acquainted asks and
/// answers.
fn means_to_rule(body: &Message) -> bool {
    let edits = changes_state(body) && !matches!(body, Message::TlvTableMod(_));
    edits
        || matches!(
            body,
            Message::BarrierRequest | Message::RoleRequest(_) | Message::SetAsync(_) | Message::FlowMonitorRequest(_)
        )
}
