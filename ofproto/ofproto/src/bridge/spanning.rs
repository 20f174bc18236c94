//! The bridge's spanning tree: the machine of `l2proto` that is configured, fed with links and frames, and what becomes of
//! its ports in the view that translation reads.
//!
//! Source: IEEE 802.1D-1998 and 802.1D-2004; ovs-vswitchd.conf.db(5), "Spanning Tree Configuration".

use std::collections::BTreeMap;
use std::sync::Arc;

use l2proto::{rstp, stp};
use openflow::OfPort;
use openflow::message::port::port_state;

use super::{Bridge, Output};
use crate::note::{Level, Note};
use crate::view::StpState;

/// Where units go, and the LLC header before them.
const GROUP: u64 = 0x0180_c200_0000;
const LLC: [u8; 3] = [0x42, 0x42, 0x03];

/// Which protocol a bridge speaks, and on which ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SpanningConfig {
    /// None.
    #[default]
    Off,
    /// IEEE 802.1D-1998.
    Stp {
        /// Of the bridge.
        bridge: stp::BridgeSettings,
        /// Of the ports that take part.
        ports: BTreeMap<OfPort, stp::PortSettings>,
    },
    /// IEEE 802.1D-2004.
    Rstp {
        /// Of the bridge.
        bridge: rstp::BridgeSettings,
        /// Of the ports that take part.
        ports: BTreeMap<OfPort, rstp::PortSettings>,
        /// Ports whose neighbour is to be looked at anew.
        mcheck: Vec<OfPort>,
    },
}

/// The machine.
#[derive(Debug, Default)]
pub enum Spanning {
    /// None.
    #[default]
    Off,
    /// 802.1D-1998.
    Stp(stp::Stp<OfPort>),
    /// 802.1D-2004.
    Rstp(rstp::Rstp<OfPort>),
}

/// Status of the tree for the database: string pairs of columns, counters apart since they change all the time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpanningReport {
    /// Of the bridge: the column `status`.
    pub stp_bridge: Vec<(&'static str, String)>,
    /// Of the bridge: the column `rstp_status`.
    pub rstp_bridge: Vec<(&'static str, String)>,
    /// Of ports.
    pub ports: BTreeMap<OfPort, SpanningPort>,
}

/// Status of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpanningPort {
    /// The column `status`.
    pub status: Vec<(&'static str, String)>,
    /// The column `statistics`.
    pub statistics: Vec<(&'static str, u64)>,
    /// The column `rstp_status`.
    pub rstp_status: Vec<(&'static str, String)>,
    /// The column `rstp_statistics`.
    pub rstp_statistics: Vec<(&'static str, u64)>,
}

impl Spanning {
    fn state(&self, port: OfPort, now_ms: i64) -> StpState {
        match self {
            Spanning::Off => StpState::Disabled,
            Spanning::Stp(machine) => match machine.port_status(port, now_ms).map(|s| s.state) {
                None | Some(stp::State::Disabled) => StpState::Disabled,
                Some(stp::State::Blocking) => StpState::Blocking,
                Some(stp::State::Listening) => StpState::Listening,
                Some(stp::State::Learning) => StpState::Learning,
                Some(stp::State::Forwarding) => StpState::Forwarding,
            },
            Spanning::Rstp(machine) => match machine.port_status(port, now_ms).map(|s| s.state) {
                None => StpState::Disabled,
                Some(rstp::State::Discarding) => StpState::Discarding,
                Some(rstp::State::Learning) => StpState::Learning,
                Some(rstp::State::Forwarding) => StpState::Forwarding,
            },
        }
    }
}

/// Whose words a port's states are told of in.
#[derive(Clone, Copy)]
enum Protocol {
    Stp,
    Rstp,
}

impl Protocol {
    fn state_line(self, port: &str, before: StpState, after: StpState) -> String {
        let lower = |state: StpState| format!("{state:?}").to_lowercase();
        match self {
            Protocol::Stp => format!("port {port}: STP state changed from {} to {}", lower(before), lower(after)),
            Protocol::Rstp => format!("port {port}: RSTP state changed from {before:?} to {after:?}"),
        }
    }
}

/// The state in a port's description; discarding has no word of its own.
pub(super) fn desc_state(state: StpState) -> u32 {
    match state {
        StpState::Disabled | StpState::Listening | StpState::Discarding => port_state::STP_LISTEN,
        StpState::Learning => port_state::STP_LEARN,
        StpState::Forwarding => port_state::STP_FORWARD,
        StpState::Blocking => port_state::STP_BLOCK,
    }
}

impl Bridge {
    /// Takes over what is configured; the view's ports are up to date.
    pub(super) fn configure_spanning(&mut self, now_ms: i64) {
        let config = self.config.spanning.clone();
        match (&config, &mut self.spanning) {
            (SpanningConfig::Off, _) => {
                self.report_stale |= !matches!(self.spanning, Spanning::Off);
                self.spanning = Spanning::Off;
            }
            (SpanningConfig::Stp { bridge, .. }, Spanning::Stp(machine)) => machine.configure(*bridge, now_ms),
            (SpanningConfig::Stp { bridge, .. }, _) => self.spanning = Spanning::Stp(stp::Stp::new(*bridge, now_ms)),
            (SpanningConfig::Rstp { bridge, .. }, Spanning::Rstp(machine)) => machine.configure(*bridge, now_ms),
            (SpanningConfig::Rstp { bridge, .. }, _) => {
                self.spanning = Spanning::Rstp(rstp::Rstp::new(*bridge, now_ms));
                // What was heard by ports that discard now may come to be behind others.
                if let SpanningConfig::Rstp { ports, .. } = &config {
                    ports.keys().for_each(|port| self.forget_behind(*port));
                }
            }
        }
        match (&config, &mut self.spanning) {
            (SpanningConfig::Stp { ports, .. }, Spanning::Stp(machine)) => {
                let gone: Vec<OfPort> = machine.port_names().filter(|p| !ports.contains_key(p)).collect();
                gone.into_iter().for_each(|port| machine.remove_port(port, now_ms));
                let numbers = ports.iter().map(|(port, settings)| (*port, settings.number)).collect();
                machine.renumber(&numbers, now_ms);
                ports.iter().for_each(|(port, settings)| machine.set_port(*port, *settings, now_ms));
            }
            (SpanningConfig::Rstp { ports, mcheck, .. }, Spanning::Rstp(machine)) => {
                let gone: Vec<OfPort> = machine.port_names().filter(|p| !ports.contains_key(p)).collect();
                gone.into_iter().for_each(|port| machine.remove_port(port));
                ports.iter().for_each(|(port, settings)| machine.set_port(*port, *settings, now_ms));
                mcheck.iter().for_each(|port| machine.check_migration(*port));
            }
            _ => {}
        }
        self.run_spanning(now_ms);
    }

    /// A port goes, and with it its state.
    pub(super) fn note_tree_left(&mut self, number: OfPort) {
        let protocol = match self.spanning {
            Spanning::Off => return,
            Spanning::Stp(_) => Protocol::Stp,
            Spanning::Rstp(_) => Protocol::Rstp,
        };
        if let Some(port) = self.view.ports.get(&number).filter(|port| port.stp != StpState::Disabled) {
            let text = protocol.state_line(&port.name, port.stp, StpState::Disabled);
            self.put(Output::Log(Note::new("ofproto_dpif", Level::Dbg, text)));
        }
    }

    /// When the tree has something to do, and what.
    pub(super) fn spanning_timeout(&self) -> Option<(i64, &'static str)> {
        match &self.spanning {
            Spanning::Off => None,
            Spanning::Stp(machine) => machine.poll_timeout(),
            Spanning::Rstp(machine) => machine.poll_timeout(),
        }
    }

    /// Does what is due, sends what is to be sent, and shows the ports' states.
    pub(super) fn run_spanning(&mut self, now_ms: i64) {
        let mut changes = 0;
        let (units, flush_all, flushes) = match &mut self.spanning {
            Spanning::Off => (Vec::new(), false, Vec::new()),
            Spanning::Stp(machine) => {
                machine.run(now_ms);
                changes = machine.take_changes();
                (machine.take_units(), machine.take_flush(), Vec::new())
            }
            Spanning::Rstp(machine) => {
                machine.run(now_ms);
                (machine.take_units(), false, machine.take_flushes())
            }
        };
        self.show_spanning(now_ms);
        for _ in 0..changes {
            let text = format!("{}: detected topology change.", self.view.name);
            self.put(Output::Log(Note::new("stp", Level::Info, text)));
        }
        self.report_stale |= !matches!(self.spanning, Spanning::Off);
        if flush_all {
            self.macs.flush();
            if let Some(groups) = &mut self.groups_heard {
                groups.flush();
            }
            self.macs_changed();
        }
        for port in flushes {
            self.forget_behind(port);
        }
        for (port, unit) in units {
            let payload = [&LLC[..], &unit].concat();
            self.send_frame(port, GROUP, payload.len() as u16, &payload);
        }
    }

    /// Forgets who is behind a port, and whom somebody put there, as Open vSwitch does.
    fn forget_behind(&mut self, port: OfPort) {
        if let Some(bundle) = self.view.ports.get(&port).and_then(|p| p.bundle) {
            self.macs.flush_port(bundle.0, true);
            self.macs_changed();
        }
    }

    fn show_spanning(&mut self, now_ms: i64) {
        let was_rstp = self.view.rstp;
        let speaks = (matches!(self.spanning, Spanning::Stp(_)), matches!(self.spanning, Spanning::Rstp(_)));
        if (self.view.stp, self.view.rstp) != speaks {
            (self.view.stp, self.view.rstp) = speaks;
            self.dirty = true;
        }
        let spanning = &self.spanning;
        let news: Vec<(OfPort, StpState)> = self
            .view
            .ports
            .iter()
            .map(|(number, port)| (*number, port.stp, spanning.state(*number, now_ms)))
            .filter(|(_, before, state)| before != state)
            .map(|(number, _, state)| (number, state))
            .collect();
        let protocol = if was_rstp || speaks.1 { Protocol::Rstp } else { Protocol::Stp };
        if !news.is_empty() {
            match protocol {
                Protocol::Stp => self.events.stp_changes += 1,
                Protocol::Rstp => self.events.rstp_changes += 1,
            }
        }
        let is_learning = |state| matches!(state, StpState::Learning | StpState::Forwarding);
        for (number, state) in news {
            let before = self.view.ports.get(&number).map_or(state, |port| port.stp);
            if matches!(protocol, Protocol::Rstp) && is_learning(before) != is_learning(state) {
                self.forget_behind(number);
            }
            if let Some(port) = self.view.ports.get(&number) {
                let text = protocol.state_line(&port.name, port.stp, state);
                self.put(Output::Log(Note::new("ofproto_dpif", Level::Dbg, text)));
            }
            let config = self.config.ports.get(&number).cloned();
            let before = config.as_ref().map(|port| self.port_desc(port));
            if let Some(port) = self.view.ports.get_mut(&number) {
                Arc::make_mut(port).stp = state;
                self.dirty = true;
            }
            if let (Some(port), Some(before)) = (config, before)
                && self.port_desc(&port) != before
            {
                self.tell_port_changed(before, &port);
            }
        }
    }

    /// A unit came in on a port, behind the Ethernet header of `frame`.
    pub(super) fn hear_spanning(&mut self, port: OfPort, frame: &[u8], now_ms: i64) {
        let Some((length, rest)) = frame.get(12..).and_then(|b| b.split_first_chunk::<2>()) else { return };
        let Some(payload) = rest.get(..usize::from(u16::from_be_bytes(*length))) else { return };
        let Some(unit) = payload.strip_prefix(&LLC) else { return };
        match &mut self.spanning {
            Spanning::Off => return,
            Spanning::Stp(machine) => machine.receive(port, unit, now_ms),
            Spanning::Rstp(machine) => machine.receive(port, unit),
        }
        self.run_spanning(now_ms);
    }

    /// The text of `stp/show` or `rstp/show`, if the bridge speaks that protocol.
    pub fn spanning_text(&self, command: &str) -> Option<String> {
        let name = |port: OfPort| self.view.ports.get(&port).map_or_else(|| port.0.to_string(), |p| p.name.clone());
        let text = match (command, &self.spanning) {
            ("stp/show", Spanning::Stp(machine)) => machine.show(name),
            ("rstp/show", Spanning::Rstp(machine)) => machine.show(name),
            _ => return None,
        };
        Some(format!("---- {} ----\n{text}", self.view.name))
    }

    /// Carries out `stp/tcn` or `rstp/tcn`; false if the bridge does not speak that protocol.
    pub fn spanning_change(&mut self, command: &str, now_ms: i64) -> bool {
        match (command, &mut self.spanning) {
            ("stp/tcn", Spanning::Stp(machine)) => machine.topology_change(now_ms),
            ("rstp/tcn", Spanning::Rstp(machine)) => machine.topology_change(),
            _ => return false,
        }
        self.run_spanning(now_ms);
        true
    }

    /// What the database is told.
    pub(super) fn spanning_report(&self) -> SpanningReport {
        match &self.spanning {
            Spanning::Off => SpanningReport::default(),
            Spanning::Stp(machine) => stp_report(machine, self.now_ms),
            Spanning::Rstp(machine) => rstp_report(machine, self.now_ms),
        }
    }
}

fn stp_report(machine: &stp::Stp<OfPort>, now_ms: i64) -> SpanningReport {
    let id = |id: u64| format!("{:04x}.{:012x}", id >> 48, id & 0xffff_ffff_ffff);
    let port = |port: OfPort| {
        let status = machine.port_status(port, now_ms)?;
        let shown = SpanningPort {
            status: vec![
                ("stp_port_id", status.id.to_string()),
                ("stp_state", status.state.name().to_owned()),
                ("stp_sec_in_state", status.sec_in_state.to_string()),
                ("stp_role", status.role.name().to_owned()),
            ],
            statistics: vec![
                ("stp_tx_count", status.counters.tx),
                ("stp_rx_count", status.counters.rx),
                ("stp_error_count", status.counters.errors),
            ],
            ..SpanningPort::default()
        };
        Some((port, shown))
    };
    SpanningReport {
        stp_bridge: vec![
            ("stp_bridge_id", id(machine.bridge_id())),
            ("stp_designated_root", id(machine.root_id())),
            ("stp_root_path_cost", machine.root_path_cost().to_string()),
        ],
        ports: machine.port_names().filter_map(port).collect(),
        ..SpanningReport::default()
    }
}

fn rstp_report(machine: &rstp::Rstp<OfPort>, now_ms: i64) -> SpanningReport {
    // Priority, system extension and address.
    let id = |id: u64| format!("{:x}.{:03x}.{:012x}", id >> 60, id >> 48 & 0xfff, id & 0xffff_ffff_ffff);
    let root = machine.root_vector();
    let port = |port: OfPort| {
        let status = machine.port_status(port, now_ms)?;
        let held = status.designated;
        let shown = SpanningPort {
            rstp_status: vec![
                ("rstp_port_id", format!("{:04x}", status.id)),
                ("rstp_port_role", status.role.name().to_owned()),
                ("rstp_port_state", status.state.name().to_owned()),
                ("rstp_designated_bridge_id", id(held.bridge)),
                ("rstp_designated_port_id", format!("{:04x}", held.port)),
                ("rstp_designated_path_cost", held.cost.to_string()),
            ],
            rstp_statistics: vec![
                ("rstp_tx_count", status.counters.tx),
                ("rstp_rx_count", status.counters.rx),
                ("rstp_error_count", status.counters.errors),
                ("rstp_uptime", status.uptime_s),
            ],
            ..SpanningPort::default()
        };
        Some((port, shown))
    };
    SpanningReport {
        rstp_bridge: vec![
            ("rstp_bridge_id", id(machine.bridge_id())),
            ("rstp_root_id", id(root.root)),
            ("rstp_root_path_cost", root.cost.to_string()),
            ("rstp_designated_id", id(root.bridge)),
            ("rstp_designated_port_id", format!("{:04x}", root.port)),
            ("rstp_bridge_port_id", format!("{:04x}", machine.root_port().map_or(0, |(_, id)| id))),
        ],
        ports: machine.port_names().filter_map(port).collect(),
        ..SpanningReport::default()
    }
}
