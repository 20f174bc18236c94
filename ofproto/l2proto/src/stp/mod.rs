//! The spanning tree protocol of one bridge. Source: IEEE 802.1D-1998, clause 8; the procedures carry its names.
//!
//! Time is milliseconds of the switch's clock. [`Stp::run`] does what is due, [`Stp::poll_timeout`] says when that is,
//! [`Stp::take_units`] gives what is to be sent, [`Stp::take_flush`] whether learned addresses are to be forgotten.
//!
//! Absent here: the frames around the units (see [`bpdu`]), which ports take part (the bridge's configuration).

pub mod bpdu;
mod show;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bpdu::{Bpdu, Config};

/// Priority of a bridge unless configured.
pub const DEFAULT_BRIDGE_PRIORITY: u16 = 32768;
/// Priority of a port unless configured.
pub const DEFAULT_PORT_PRIORITY: u8 = 128;
/// The largest number of a port.
pub const MAX_PORT_NUMBER: u8 = 255;
/// The least time between two configuration messages of a port.
const HOLD_MS: i64 = 1000;
/// What each bridge adds to the age of what it passes on: one tick.
const AGE_STEP_MS: i64 = 4;

/// State of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Takes no part.
    Disabled,
    /// Hears BPDUs alone.
    Blocking,
    /// On its way: passes nothing, learns nothing.
    Listening,
    /// On its way: learns, passes nothing.
    Learning,
    /// Learns and passes.
    Forwarding,
}

impl State {
    /// Its name in output.
    pub fn name(self) -> &'static str {
        match self {
            State::Disabled => "disabled",
            State::Blocking => "blocking",
            State::Listening => "listening",
            State::Learning => "learning",
            State::Forwarding => "forwarding",
        }
    }

    fn active(self) -> bool {
        matches!(self, State::Learning | State::Forwarding)
    }
}

/// Role of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Toward the root.
    Root,
    /// Serves its segment.
    Designated,
    /// Another way to the root, held back.
    Alternate,
    /// Takes no part.
    Disabled,
}

impl Role {
    /// Its name in output.
    pub fn name(self) -> &'static str {
        match self {
            Role::Root => "root",
            Role::Designated => "designated",
            Role::Alternate => "alternate",
            Role::Disabled => "disabled",
        }
    }
}

/// What a bridge is configured to be; times out of range are brought into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BridgeSettings {
    /// Address, 48 bits.
    pub address: u64,
    /// Priority, less is better.
    pub priority: u16,
    /// Interval of messages, 1 to 10 s.
    pub hello_ms: i64,
    /// 6 to 40 s.
    pub max_age_ms: i64,
    /// 4 to 30 s.
    pub forward_ms: i64,
}

impl BridgeSettings {
    /// The defaults, for an address.
    pub fn new(address: u64) -> BridgeSettings {
        BridgeSettings {
            address,
            priority: DEFAULT_BRIDGE_PRIORITY,
            hello_ms: 2000,
            max_age_ms: 20_000,
            forward_ms: 15_000,
        }
    }

    fn id(&self) -> u64 {
        u64::from(self.priority) << 48 | (self.address & 0xffff_ffff_ffff)
    }

    fn times(&self) -> Times {
        let hello_ms = self.hello_ms.clamp(1000, 10_000);
        let max_age_ms = self.max_age_ms.clamp((2 * (hello_ms + 1000)).max(6000), 40_000);
        let forward_ms = self.forward_ms.clamp((max_age_ms / 2 + 1000).max(4000), 30_000);
        Times { max_age_ms, hello_ms, forward_ms }
    }
}

/// What a port is configured to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortSettings {
    /// Number, 1 to 255, unlike any other of the bridge.
    pub number: u8,
    /// Priority, less is better.
    pub priority: u8,
    /// Cost of its link.
    pub path_cost: u16,
    /// The link is up and somebody wants it.
    pub enabled: bool,
}

impl PortSettings {
    fn id(&self) -> u16 {
        u16::from(self.priority) << 8 | u16::from(self.number)
    }
}

/// Cost of a link of a speed in Mbit/s (table 8-5); 0 for a speed that is not known, which is taken for 10 Gbit/s.
pub fn path_cost(mbps: u32) -> u16 {
    match mbps {
        0 | 10_000.. => 2,
        1000.. => 4,
        100.. => 19,
        16.. => 62,
        10.. => 100,
        4.. => 250,
        _ => 650,
    }
}

/// The times in force: the root's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    max_age_ms: i64,
    hello_ms: i64,
    forward_ms: i64,
}

/// A port's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Units sent.
    pub tx: u64,
    /// Units received.
    pub rx: u64,
    /// Units that could not be read.
    pub errors: u64,
}

/// A port.
#[derive(Clone, Debug)]
struct Port {
    settings: PortSettings,
    state: State,
    designated_root: u64,
    designated_cost: u32,
    designated_bridge: u64,
    designated_port: u16,
    acknowledge: bool,
    config_pending: bool,
    /// When the information received had age 0.
    born_ms: Option<i64>,
    /// When the state that a forward delay ends was entered: the delay is the one in force when it ends.
    forward_since: Option<i64>,
    hold_until: Option<i64>,
    since_ms: i64,
    counters: Counters,
}

/// What a port shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortStatus {
    /// Identifier: priority and number.
    pub id: u16,
    /// State.
    pub state: State,
    /// Role.
    pub role: Role,
    /// How long in this state, seconds.
    pub sec_in_state: u64,
    /// Counters.
    pub counters: Counters,
}

/// The machine; `P` names a port.
#[derive(Clone, Debug)]
pub struct Stp<P> {
    settings: BridgeSettings,
    ports: BTreeMap<P, Port>,
    designated_root: u64,
    root_cost: u32,
    root_port: Option<P>,
    times: Times,
    change_detected: bool,
    /// Changes detected, each told of once until it is over, that the log does not know.
    changes_untold: u32,
    change: bool,
    hello_at: Option<i64>,
    notify_at: Option<i64>,
    change_until: Option<i64>,
    units: Vec<(P, Vec<u8>)>,
    flush: bool,
}

impl<P: Copy + Ord> Stp<P> {
    /// A bridge without ports, its own root.
    pub fn new(settings: BridgeSettings, now_ms: i64) -> Stp<P> {
        let times = settings.times();
        Stp {
            settings,
            ports: BTreeMap::new(),
            designated_root: settings.id(),
            root_cost: 0,
            root_port: None,
            times,
            change_detected: false,
            changes_untold: 0,
            change: false,
            hello_at: Some(now_ms + times.hello_ms),
            notify_at: None,
            change_until: None,
            units: Vec::new(),
            flush: false,
        }
    }

    /// Changes the bridge's settings (clauses 8.8.4 and 8.8.5).
    pub fn configure(&mut self, settings: BridgeSettings, now_ms: i64) {
        if settings == self.settings {
            return;
        }
        let old = self.settings.id();
        let was_root = self.is_root();
        self.settings = settings;
        let new = settings.id();
        for port in self.ports.values_mut().filter(|p| p.designated_bridge == old) {
            port.designated_bridge = new;
        }
        if was_root {
            self.designated_root = new;
            self.times = settings.times();
        }
        self.select(was_root, now_ms);
    }

    /// Ports get these numbers; to be called before [`Stp::set_port`] tells the rest of them. A state is its number's, as in
    /// Open vSwitch: where ports are numbered by their places, those places that stay hold nobody up when ports come and
    /// go between them.
    pub fn renumber(&mut self, numbers: &BTreeMap<P, u8>, now_ms: i64) {
        let moves = |(name, port): (&P, &Port)| numbers.get(name).is_some_and(|n| *n != port.settings.number);
        if !self.ports.iter().any(moves) {
            return;
        }
        let stay: BTreeSet<u8> = numbers.values().copied().collect();
        let lost: Vec<P> = self
            .ports
            .iter()
            .filter(|(_, port)| !stay.contains(&port.settings.number))
            .map(|(name, _)| *name)
            .collect();
        lost.into_iter().for_each(|name| self.remove_port(name, now_ms));
        let root_number = self.root_port.and_then(|root| Some(self.ports.get(&root)?.settings.number));
        let mut by_number: BTreeMap<u8, Port> =
            std::mem::take(&mut self.ports).into_values().map(|port| (port.settings.number, port)).collect();
        self.ports = numbers.iter().filter_map(|(name, n)| Some((*name, by_number.remove(n)?))).collect();
        let is_root = |(_, port): &(&P, &Port)| Some(port.settings.number) == root_number;
        self.root_port = self.ports.iter().find(is_root).map(|(name, _)| *name);
    }

    /// Sets what a port is; adds it when it is new (clauses 8.8.1, 8.8.2, 8.8.6, 8.8.7). One that gets a
    /// number that is nobody's ([`Stp::renumber`]) is another port, and begins anew.
    pub fn set_port(&mut self, name: P, settings: PortSettings, now_ms: i64) {
        if self.ports.get(&name).is_some_and(|port| port.settings.number != settings.number) {
            self.remove_port(name, now_ms);
        }
        let id = self.settings.id();
        match self.ports.get_mut(&name) {
            None => {
                self.ports.insert(name, Port::new(settings, now_ms));
                self.become_designated(name);
                if settings.enabled {
                    self.initialize(name, now_ms);
                }
            }
            Some(port) if port.settings == settings => return,
            Some(port) => {
                let before = std::mem::replace(&mut port.settings, settings);
                if port.designated_bridge == id && port.designated_port == before.id() {
                    port.designated_port = settings.id();
                }
                match (before.enabled, settings.enabled) {
                    (false, true) => self.initialize(name, now_ms),
                    (true, false) => self.disable(name, now_ms),
                    _ => {}
                }
            }
        }
        let was_root = self.is_root();
        self.select(was_root, now_ms);
    }

    /// Takes a port out.
    pub fn remove_port(&mut self, name: P, now_ms: i64) {
        if !self.ports.contains_key(&name) {
            return;
        }
        self.disable(name, now_ms);
        self.ports.remove(&name);
    }

    /// The ports that take part.
    pub fn port_names(&self) -> impl Iterator<Item = P> + '_ {
        self.ports.keys().copied()
    }

    /// What a port shows.
    pub fn port_status(&self, name: P, now_ms: i64) -> Option<PortStatus> {
        let port = self.ports.get(&name)?;
        Some(PortStatus {
            id: port.settings.id(),
            state: port.state,
            role: self.role(name),
            sec_in_state: u64::try_from((now_ms - port.since_ms) / 1000).unwrap_or(0),
            counters: port.counters,
        })
    }

    /// The bridge's identifier.
    pub fn bridge_id(&self) -> u64 {
        self.settings.id()
    }

    /// The root's identifier.
    pub fn root_id(&self) -> u64 {
        self.designated_root
    }

    /// Cost of the path to the root.
    pub fn root_path_cost(&self) -> u32 {
        self.root_cost
    }

    /// Whether this bridge is the root.
    pub fn is_root(&self) -> bool {
        self.designated_root == self.settings.id()
    }

    /// Units to be sent, by port.
    pub fn take_units(&mut self) -> Vec<(P, Vec<u8>)> {
        std::mem::take(&mut self.units)
    }

    /// Whether learned addresses are to be forgotten.
    pub fn take_flush(&mut self) -> bool {
        std::mem::take(&mut self.flush)
    }

    /// How many topology changes were detected since this was asked last, for the log.
    pub fn take_changes(&mut self) -> u32 {
        std::mem::take(&mut self.changes_untold)
    }

    /// A topology change by command (`stp/tcn`).
    pub fn topology_change(&mut self, now_ms: i64) {
        self.change_detected(now_ms);
    }

    /// When [`Stp::run`] has something to do, and what.
    pub fn poll_timeout(&self) -> Option<(i64, &'static str)> {
        let own = [
            (self.hello_at, "spanning tree: hello"),
            (self.notify_at, "spanning tree: a change is notified again"),
            (self.change_until, "spanning tree: a change ends"),
        ];
        let (max_age, forward) = (self.times.max_age_ms, self.times.forward_ms);
        let ports = self.ports.values().flat_map(move |port| {
            [
                (port.born_ms.map(|b| b + max_age), "spanning tree: information ages"),
                (port.forward_since.map(|s| s + forward), "spanning tree: a port changes its state"),
                (port.hold_until.filter(|_| port.config_pending), "spanning tree: a message was held back"),
            ]
        });
        own.into_iter().chain(ports).filter_map(|(at, why)| Some((at?, why))).min()
    }

    /// Does what is due.
    pub fn run(&mut self, now_ms: i64) {
        if due(&mut self.hello_at, now_ms) {
            self.generate_configs(now_ms);
            self.hello_at = Some(now_ms + self.times.hello_ms);
        }
        if due(&mut self.notify_at, now_ms) {
            self.transmit_notification(now_ms);
        }
        if due(&mut self.change_until, now_ms) {
            self.change_detected = false;
            self.change = false;
        }
        let names: Vec<P> = self.ports.keys().copied().collect();
        for &name in &names {
            let max_age = self.times.max_age_ms;
            if self.ports[&name].born_ms.is_some_and(|b| b + max_age <= now_ms) {
                self.age_expired(name, now_ms);
            }
        }
        for &name in &names {
            let delayed_since = now_ms - self.times.forward_ms;
            if self.ports.get_mut(&name).is_some_and(|p| due(&mut p.forward_since, delayed_since)) {
                self.forward_delay_expired(name, now_ms);
            }
            let Some(port) = self.ports.get_mut(&name) else { continue };
            if due(&mut port.hold_until, now_ms) && port.config_pending {
                self.transmit_config(name, now_ms);
            }
        }
    }

    /// A unit arrived on a port (clauses 8.7.1 and 8.7.2).
    pub fn receive(&mut self, name: P, bytes: &[u8], now_ms: i64) {
        let Some(port) = self.ports.get_mut(&name) else { return };
        if port.state == State::Disabled {
            return;
        }
        match Bpdu::parse(bytes) {
            None => port.counters.errors += 1,
            Some(Bpdu::ChangeNotification) => {
                port.counters.rx += 1;
                if self.is_designated(name) {
                    self.change_detected(now_ms);
                    self.acknowledge(name, now_ms);
                }
            }
            Some(Bpdu::Config(config)) if config.age_ms >= config.max_age_ms => port.counters.errors += 1,
            Some(Bpdu::Config(config)) => {
                port.counters.rx += 1;
                self.received_config(name, &config, now_ms);
            }
        }
    }

    fn received_config(&mut self, name: P, config: &Config, now_ms: i64) {
        let was_root = self.is_root();
        if self.supersedes(name, config) {
            self.record(name, config, now_ms);
            self.update();
            self.select_states(now_ms);
            if was_root && !self.is_root() {
                self.hello_at = None;
                if self.change_detected {
                    self.change_until = None;
                    self.transmit_notification(now_ms);
                }
            }
            if self.root_port == Some(name) {
                self.times =
                    Times { max_age_ms: config.max_age_ms, hello_ms: config.hello_ms, forward_ms: config.forward_ms };
                // As long as the root tells of a change, each of its messages has addresses forgotten, as in Open vSwitch.
                self.flush |= config.change;
                self.change = config.change;
                self.generate_configs(now_ms);
                if config.ack {
                    self.change_detected = false;
                    self.notify_at = None;
                }
            }
        } else if self.is_designated(name) {
            self.transmit_config(name, now_ms);
        }
    }

    fn supersedes(&self, name: P, config: &Config) -> bool {
        let port = &self.ports[&name];
        let ours = (port.designated_root, port.designated_cost, port.designated_bridge);
        let theirs = (config.root, config.cost, config.bridge);
        theirs < ours || theirs == ours && (config.bridge != self.settings.id() || config.port <= port.designated_port)
    }

    fn record(&mut self, name: P, config: &Config, now_ms: i64) {
        let Some(port) = self.ports.get_mut(&name) else { return };
        port.designated_root = config.root;
        port.designated_cost = config.cost;
        port.designated_bridge = config.bridge;
        port.designated_port = config.port;
        port.born_ms = Some(now_ms - config.age_ms);
    }

    fn is_designated(&self, name: P) -> bool {
        let port = &self.ports[&name];
        port.designated_bridge == self.settings.id() && port.designated_port == port.settings.id()
    }

    fn role(&self, name: P) -> Role {
        if self.ports[&name].state == State::Disabled {
            Role::Disabled
        } else if self.root_port == Some(name) {
            Role::Root
        } else if self.is_designated(name) {
            Role::Designated
        } else {
            Role::Alternate
        }
    }

    /// Root and designated ports anew, with what follows when this bridge becomes the root.
    fn select(&mut self, was_root: bool, now_ms: i64) {
        self.update();
        self.select_states(now_ms);
        if self.is_root() && !was_root {
            self.times = self.settings.times();
            self.change_detected(now_ms);
            self.notify_at = None;
            self.generate_configs(now_ms);
            self.hello_at = Some(now_ms + self.times.hello_ms);
        }
    }

    /// Clauses 8.6.7 to 8.6.9.
    fn update(&mut self) {
        let own = self.settings.id();
        let best = self
            .ports
            .iter()
            .filter(|(name, port)| {
                port.state != State::Disabled && !self.is_designated(**name) && port.designated_root < own
            })
            .map(|(name, port)| {
                let cost = port.designated_cost.saturating_add(u32::from(port.settings.path_cost));
                let order =
                    (port.designated_root, cost, port.designated_bridge, port.designated_port, port.settings.id());
                (order, *name)
            })
            .min();
        match best {
            None => {
                self.root_port = None;
                self.designated_root = own;
                self.root_cost = 0;
            }
            Some(((root, cost, ..), name)) => {
                self.root_port = Some(name);
                self.designated_root = root;
                self.root_cost = cost;
            }
        }
        let offer = (self.designated_root, self.root_cost, own);
        let taken: Vec<P> = self
            .ports
            .iter()
            .filter(|(name, port)| {
                let held = (port.designated_cost, port.designated_bridge, port.designated_port);
                self.is_designated(**name)
                    || port.designated_root != offer.0
                    || (offer.1, offer.2, port.settings.id()) < held
            })
            .map(|(name, _)| *name)
            .collect();
        taken.into_iter().for_each(|name| self.become_designated(name));
    }

    fn become_designated(&mut self, name: P) {
        let (root, cost, bridge) = (self.designated_root, self.root_cost, self.settings.id());
        let Some(port) = self.ports.get_mut(&name) else { return };
        port.designated_root = root;
        port.designated_cost = cost;
        port.designated_bridge = bridge;
        port.designated_port = port.settings.id();
    }

    /// Clause 8.6.11.
    fn select_states(&mut self, now_ms: i64) {
        let names: Vec<P> = self.ports.keys().copied().collect();
        for name in names {
            let role = self.role(name);
            let Some(port) = self.ports.get_mut(&name) else { continue };
            match role {
                Role::Disabled => continue,
                Role::Root | Role::Designated => {
                    if role == Role::Root {
                        port.config_pending = false;
                        port.acknowledge = false;
                    } else {
                        port.born_ms = None;
                    }
                    if port.state == State::Blocking {
                        port.forward_since = Some(now_ms);
                        self.enter(name, State::Listening, now_ms);
                    }
                }
                Role::Alternate => {
                    port.config_pending = false;
                    port.acknowledge = false;
                    port.forward_since = None;
                    let was_active = port.state.active();
                    self.enter(name, State::Blocking, now_ms);
                    if was_active {
                        self.change_detected(now_ms);
                    }
                }
            }
        }
    }

    fn enter(&mut self, name: P, state: State, now_ms: i64) {
        let Some(port) = self.ports.get_mut(&name) else { return };
        if port.state == state {
            return;
        }
        self.flush |= port.state.active() || state.active();
        port.state = state;
        port.since_ms = now_ms;
    }

    fn initialize(&mut self, name: P, now_ms: i64) {
        self.become_designated(name);
        self.enter(name, State::Blocking, now_ms);
        let Some(port) = self.ports.get_mut(&name) else { return };
        port.acknowledge = false;
        port.config_pending = false;
        port.born_ms = None;
        port.forward_since = None;
        port.hold_until = None;
    }

    /// Clause 8.8.2.
    fn disable(&mut self, name: P, now_ms: i64) {
        let was_root = self.is_root();
        self.become_designated(name);
        self.enter(name, State::Disabled, now_ms);
        if let Some(port) = self.ports.get_mut(&name) {
            port.acknowledge = false;
            port.config_pending = false;
            port.born_ms = None;
            port.forward_since = None;
        }
        self.select(was_root, now_ms);
    }

    /// Clause 8.7.5.
    fn age_expired(&mut self, name: P, now_ms: i64) {
        let was_root = self.is_root();
        if let Some(port) = self.ports.get_mut(&name) {
            port.born_ms = None;
        }
        self.become_designated(name);
        self.select(was_root, now_ms);
    }

    /// Clause 8.7.6.
    fn forward_delay_expired(&mut self, name: P, now_ms: i64) {
        match self.ports.get(&name).map(|p| p.state) {
            Some(State::Listening) => {
                self.enter(name, State::Learning, now_ms);
                if let Some(port) = self.ports.get_mut(&name) {
                    port.forward_since = Some(now_ms);
                }
            }
            Some(State::Learning) => {
                self.enter(name, State::Forwarding, now_ms);
                let own = self.settings.id();
                if self.ports.values().any(|p| p.designated_bridge == own) {
                    self.change_detected(now_ms);
                }
            }
            _ => {}
        }
    }

    /// Clause 8.6.14.
    fn change_detected(&mut self, now_ms: i64) {
        self.changes_untold += 1;
        if self.is_root() {
            self.change = true;
            self.flush = true;
            let times = self.settings.times();
            self.change_until = Some(now_ms + times.max_age_ms + times.forward_ms);
        } else if !self.change_detected {
            self.transmit_notification(now_ms);
        }
        self.change_detected = true;
    }

    /// Clause 8.6.16.
    fn acknowledge(&mut self, name: P, now_ms: i64) {
        if let Some(port) = self.ports.get_mut(&name) {
            port.acknowledge = true;
        }
        self.transmit_config(name, now_ms);
    }

    fn generate_configs(&mut self, now_ms: i64) {
        let names: Vec<P> = self.ports.keys().copied().collect();
        for name in names {
            if self.role(name) == Role::Designated {
                self.transmit_config(name, now_ms);
            }
        }
    }

    /// Clause 8.6.1.
    fn transmit_config(&mut self, name: P, now_ms: i64) {
        let root_age = self.root_port.and_then(|root| self.ports.get(&root)?.born_ms);
        let (root, cost, bridge) = (self.designated_root, self.root_cost, self.settings.id());
        let is_root = self.is_root();
        let (times, change) = (self.times, self.change);
        let Some(port) = self.ports.get_mut(&name) else { return };
        if port.hold_until.is_some_and(|until| until > now_ms) {
            port.config_pending = true;
            return;
        }
        let age_ms = if is_root { 0 } else { root_age.map_or(0, |born| now_ms - born + AGE_STEP_MS) };
        if age_ms >= times.max_age_ms {
            return;
        }
        let config = Config {
            change,
            ack: std::mem::take(&mut port.acknowledge),
            root,
            cost,
            bridge,
            port: port.settings.id(),
            age_ms,
            max_age_ms: times.max_age_ms,
            hello_ms: times.hello_ms,
            forward_ms: times.forward_ms,
        };
        port.config_pending = false;
        port.hold_until = Some(now_ms + HOLD_MS);
        port.counters.tx += 1;
        self.units.push((name, Bpdu::Config(config).emit()));
    }

    /// Clause 8.6.6; notified again each hello time until it is acknowledged.
    fn transmit_notification(&mut self, now_ms: i64) {
        let Some(name) = self.root_port else { return };
        if let Some(port) = self.ports.get_mut(&name) {
            port.counters.tx += 1;
        }
        self.units.push((name, Bpdu::ChangeNotification.emit()));
        self.notify_at = Some(now_ms + self.settings.times().hello_ms);
    }
}

impl Port {
    fn new(settings: PortSettings, now_ms: i64) -> Port {
        Port {
            settings,
            state: State::Disabled,
            designated_root: 0,
            designated_cost: 0,
            designated_bridge: 0,
            designated_port: 0,
            acknowledge: false,
            config_pending: false,
            born_ms: None,
            forward_since: None,
            hold_until: None,
            since_ms: now_ms,
            counters: Counters::default(),
        }
    }
}

/// Whether a deadline has come; it is taken then.
fn due(deadline: &mut Option<i64>, now_ms: i64) -> bool {
    deadline.take_if(|at| *at <= now_ms).is_some()
}
