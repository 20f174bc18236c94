//! The rapid spanning tree protocol of one bridge. Source: IEEE 802.1D-2004, clause 17, whose names of machines, states
//! and variables are kept where a reader will look for them.
//!
//! Time is milliseconds of the switch's clock; the protocol's timers count whole seconds, so [`Rstp::run`] ticks once a
//! second. [`Rstp::take_units`] gives what is to be sent, [`Rstp::take_flushes`] the ports whose learned addresses are
//! to be forgotten.
//!
//! Absent here: the frames around the units (LLC 0x42 0x42 0x03), which ports take part (the bridge's configuration).

pub mod bpdu;
mod machines;
mod roles;
mod show;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bpdu::Bpdu;

/// Priority of a bridge unless configured.
pub const DEFAULT_BRIDGE_PRIORITY: u16 = 32768;
/// Priority of a port unless configured.
pub const DEFAULT_PORT_PRIORITY: u8 = 128;
/// The largest number of a port.
pub const MAX_PORT_NUMBER: u16 = 4095;
/// Seconds a port is given to find out which protocol its neighbour speaks.
const MIGRATE_TIME: u16 = 3;
/// Interval of units; the standard leaves no choice.
const HELLO_TIME: u16 = 2;
const TICK_MS: i64 = 1000;
/// The machines of a bridge settle in a few rounds; more would be a mistake of ours, and stops here.
const MOST_ROUNDS: usize = 1000;

/// Role of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Toward the root.
    Root,
    /// Serves its segment.
    Designated,
    /// Another way to the root, held back.
    Alternate,
    /// Another way to a segment that the bridge serves already.
    Backup,
    /// Takes no part.
    Disabled,
}

impl Role {
    /// Its name in output.
    pub fn name(self) -> &'static str {
        match self {
            Role::Root => "Root",
            Role::Designated => "Designated",
            Role::Alternate => "Alternate",
            Role::Backup => "Backup",
            Role::Disabled => "Disabled",
        }
    }
}

/// State of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Passes nothing, learns nothing.
    Discarding,
    /// Learns, passes nothing.
    Learning,
    /// Learns and passes.
    Forwarding,
}

impl State {
    /// Its name in output.
    pub fn name(self) -> &'static str {
        match self {
            State::Discarding => "Discarding",
            State::Learning => "Learning",
            State::Forwarding => "Forwarding",
        }
    }
}

/// Priority vector (clause 17.5); less is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PriorityVector {
    /// Root bridge.
    pub root: u64,
    /// Cost of the path to it.
    pub cost: u32,
    /// Designated bridge.
    pub bridge: u64,
    /// Designated port.
    pub port: u16,
}

/// Times that travel with messages, seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// How far from the root the news is, seconds.
    pub message_age: u16,
    /// After which news is too old, seconds.
    pub max_age: u16,
    /// Between two messages, seconds.
    pub hello: u16,
    /// In each state on the way to forwarding, seconds.
    pub forward: u16,
}

/// Seconds that news may be remembered.
const MAX_AGES: std::ops::RangeInclusive<u16> = 6..=40;
/// Seconds in each state on the way to forwarding.
const DELAYS: std::ops::RangeInclusive<u16> = 4..=30;

/// What a bridge is configured to be; times as they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BridgeSettings {
    /// Address, 48 bits.
    pub address: u64,
    /// Priority in steps of 4096, less is better.
    pub priority: u16,
    /// Speak the older protocol only (force-protocol-version 0).
    pub stp_only: bool,
    /// 6 to 40 s, and at most `2 * (forward - 1)`; where it is neither, what was before stays.
    pub max_age: u16,
    /// 4 to 30 s; likewise.
    pub forward: u16,
    /// Units a second in a burst, 1 to 10.
    pub hold_count: u16,
}

impl BridgeSettings {
    /// The defaults, for an address.
    pub fn new(address: u64) -> BridgeSettings {
        BridgeSettings {
            address,
            priority: DEFAULT_BRIDGE_PRIORITY,
            stp_only: false,
            max_age: 20,
            forward: 15,
            hold_count: 6,
        }
    }

    /// These with times that fit together, one after the other taken over from those of `before` (IEEE 802.1D-2004 clause
    /// 17.14).
    fn after(self, before: &BridgeSettings) -> BridgeSettings {
        let fits = |age: u16, delay: u16| i32::from(age) <= 2 * (i32::from(delay) - 1);
        let mut settled = BridgeSettings { max_age: before.max_age, forward: before.forward, ..self };
        // The later of the two may make room for the earlier.
        for _ in 0..2 {
            if MAX_AGES.contains(&self.max_age) && fits(self.max_age, settled.forward) {
                settled.max_age = self.max_age;
            }
            if DELAYS.contains(&self.forward) && fits(settled.max_age, self.forward) {
                settled.forward = self.forward;
            }
        }
        settled
    }

    fn id(&self) -> u64 {
        u64::from(self.priority & 0xf000) << 48 | (self.address & 0xffff_ffff_ffff)
    }

    fn times(&self) -> Times {
        Times { message_age: 0, max_age: self.max_age, hello: HELLO_TIME, forward: self.forward }
    }
}

/// What a port is configured to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortSettings {
    /// Number, 1 to 4095, unlike any other of the bridge.
    pub number: u16,
    /// Priority in steps of 16, less is better.
    pub priority: u8,
    /// Cost of its link.
    pub path_cost: u32,
    /// The link is up and somebody wants it.
    pub enabled: bool,
    /// It is at the edge until proven otherwise.
    pub admin_edge: bool,
    /// It may find out that it is at the edge.
    pub auto_edge: bool,
    /// One neighbour at most.
    pub point_to_point: bool,
}

impl PortSettings {
    /// The defaults, for a number.
    pub fn new(number: u16, path_cost: u32) -> PortSettings {
        PortSettings {
            number,
            priority: DEFAULT_PORT_PRIORITY,
            path_cost,
            enabled: true,
            admin_edge: false,
            auto_edge: true,
            point_to_point: true,
        }
    }

    fn id(&self) -> u16 {
        u16::from(self.priority & 0xf0) << 8 | (self.number & MAX_PORT_NUMBER)
    }
}

/// Cost of a link of a speed in Mbit/s (table 17-3); 0 for a speed that is not known, which is taken for 10 Gbit/s.
pub fn path_cost(mbps: u32) -> u32 {
    match mbps {
        0 => 2000,
        _ => (20_000_000 / mbps).max(1),
    }
}

/// Whose information a port holds (clause 17.19.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InfoIs {
    Disabled,
    Received,
    Mine,
    Aged,
}

/// States of the topology change machine that last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TopologyState {
    Inactive,
    Learning,
    Active,
}

/// States of the protocol migration machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Migration {
    CheckingRstp,
    SelectingStp,
    Sensing,
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

/// The timers of a port (clause 17.17), whole seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Timers {
    edge_delay_while: u16,
    fd_while: u16,
    hello_when: u16,
    mdelay_while: u16,
    rb_while: u16,
    rcvd_info_while: u16,
    rr_while: u16,
    tc_while: u16,
}

impl Timers {
    fn tick(&mut self) {
        for timer in [
            &mut self.edge_delay_while,
            &mut self.fd_while,
            &mut self.hello_when,
            &mut self.mdelay_while,
            &mut self.rb_while,
            &mut self.rcvd_info_while,
            &mut self.rr_while,
            &mut self.tc_while,
        ] {
            *timer = timer.saturating_sub(1);
        }
    }
}

/// A port: the variables of clause 17.19.
#[derive(Clone, Debug)]
struct Port {
    settings: PortSettings,
    timers: Timers,
    tx_count: u16,
    info_is: InfoIs,
    topology: TopologyState,
    migration: Migration,
    /// The role in force, and the one chosen.
    role: Role,
    selected_role: Role,
    /// The role machine has settled in `role` (it discards first).
    settled: bool,
    port_priority: PriorityVector,
    port_times: Times,
    designated_priority: PriorityVector,
    designated_times: Times,
    message: Option<Bpdu>,
    agree: bool,
    agreed: bool,
    disputed: bool,
    fdb_flush: bool,
    forward: bool,
    forwarding: bool,
    learn: bool,
    learning: bool,
    mcheck: bool,
    new_info: bool,
    oper_edge: bool,
    proposed: bool,
    proposing: bool,
    rcvd_rstp: bool,
    rcvd_stp: bool,
    rcvd_tc: bool,
    rcvd_tc_ack: bool,
    rcvd_tcn: bool,
    re_root: bool,
    reselect: bool,
    selected: bool,
    send_rstp: bool,
    sync: bool,
    synced: bool,
    tc_ack: bool,
    tc_prop: bool,
    updt_info: bool,
    since_ms: i64,
    counters: Counters,
}

/// What a port shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortStatus {
    /// Identifier: priority and number.
    pub id: u16,
    /// Role.
    pub role: Role,
    /// State.
    pub state: State,
    /// The vector it sends or holds: designated bridge, its cost and port.
    pub designated: PriorityVector,
    /// How long it has been there, seconds.
    pub uptime_s: u64,
    /// Counters.
    pub counters: Counters,
}

/// The machine; `P` names a port.
#[derive(Clone, Debug)]
pub struct Rstp<P> {
    settings: BridgeSettings,
    ports: BTreeMap<P, Port>,
    root_priority: PriorityVector,
    root_times: Times,
    root_port: Option<P>,
    tick_at: i64,
    units: Vec<(P, Vec<u8>)>,
    flushes: Vec<P>,
}

impl<P: Copy + Ord> Rstp<P> {
    /// A bridge without ports, its own root.
    pub fn new(settings: BridgeSettings, now_ms: i64) -> Rstp<P> {
        let id = settings.id();
        let settings = settings.after(&BridgeSettings::new(settings.address));
        Rstp {
            settings,
            ports: BTreeMap::new(),
            root_priority: PriorityVector { root: id, cost: 0, bridge: id, port: 0 },
            root_times: settings.times(),
            root_port: None,
            tick_at: now_ms + TICK_MS,
            units: Vec::new(),
            flushes: Vec::new(),
        }
    }

    /// Changes the bridge's settings: roles are chosen anew; another protocol version starts every port anew. Another
    /// address does not: a bridge that takes its own from its ports has another one whenever a port comes or goes.
    pub fn configure(&mut self, settings: BridgeSettings, now_ms: i64) {
        let settings = settings.after(&self.settings);
        if settings == self.settings {
            return;
        }
        let restart = settings.stp_only != self.settings.stp_only;
        self.settings = settings;
        for port in self.ports.values_mut() {
            if restart {
                *port = Port::new(port.settings, &settings, now_ms);
            }
            port.selected = false;
            port.reselect = true;
        }
        if self.ports.is_empty() {
            self.choose_root();
        }
        self.settle();
    }

    /// Sets what a port is; adds it when it is new.
    pub fn set_port(&mut self, name: P, settings: PortSettings, now_ms: i64) {
        let bridge = self.settings;
        match self.ports.get_mut(&name) {
            None => _ = self.ports.insert(name, Port::new(settings, &bridge, now_ms)),
            Some(port) if port.settings == settings => return,
            Some(port) => {
                port.settings = settings;
                port.selected = false;
                port.reselect = true;
            }
        }
        self.settle();
    }

    /// Takes a port out.
    pub fn remove_port(&mut self, name: P) {
        if self.ports.remove(&name).is_none() {
            return;
        }
        self.ports.values_mut().for_each(|port| {
            port.selected = false;
            port.reselect = true;
        });
        self.settle();
    }

    /// Looks anew which protocol the neighbour speaks (`rstp-port-mcheck`).
    pub fn check_migration(&mut self, name: P) {
        if let Some(port) = self.ports.get_mut(&name) {
            port.mcheck = !self.settings.stp_only;
        }
        self.settle();
    }

    /// A topology change by command (`rstp/tcn`).
    pub fn topology_change(&mut self) {
        for port in self.ports.values_mut() {
            port.tc_prop = true;
        }
        self.settle();
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
            role: port.role,
            state: port.state(),
            designated: port.port_priority,
            uptime_s: u64::try_from((now_ms - port.since_ms) / 1000).unwrap_or(0),
            counters: port.counters,
        })
    }

    /// The bridge's identifier.
    pub fn bridge_id(&self) -> u64 {
        self.settings.id()
    }

    /// The root's vector: root, cost of the path to it, designated bridge and port.
    pub fn root_vector(&self) -> PriorityVector {
        self.root_priority
    }

    /// The port towards the root, with its identifier.
    pub fn root_port(&self) -> Option<(P, u16)> {
        let name = self.root_port?;
        Some((name, self.ports.get(&name)?.settings.id()))
    }

    /// Whether this bridge is the root.
    pub fn is_root(&self) -> bool {
        self.root_priority.root == self.settings.id()
    }

    /// Units to be sent, by port.
    pub fn take_units(&mut self) -> Vec<(P, Vec<u8>)> {
        std::mem::take(&mut self.units)
    }

    /// Ports whose learned addresses are to be forgotten.
    pub fn take_flushes(&mut self) -> Vec<P> {
        std::mem::take(&mut self.flushes)
    }

    /// When [`Rstp::run`] has something to do, and what.
    pub fn poll_timeout(&self) -> Option<(i64, &'static str)> {
        (!self.ports.is_empty()).then_some((self.tick_at, "rapid spanning tree: the second's tick"))
    }

    /// Does what is due.
    pub fn run(&mut self, now_ms: i64) {
        // A clock that leapt is followed for as long as any timer could run, not for every second of a year.
        self.tick_at = self.tick_at.max(now_ms - 120 * TICK_MS);
        while self.tick_at <= now_ms {
            self.tick_at += TICK_MS;
            for port in self.ports.values_mut() {
                port.timers.tick();
                port.tx_count = port.tx_count.saturating_sub(1);
            }
            self.settle();
        }
    }

    /// A unit arrived on a port.
    pub fn receive(&mut self, name: P, bytes: &[u8]) {
        let own = self.settings.id();
        let Some(port) = self.ports.get_mut(&name) else { return };
        let Some(bpdu) = Bpdu::parse(bytes) else {
            port.counters.errors += 1;
            return;
        };
        // Information as old as it may get is refused (clause 9.3.4), and so is a port's own echo.
        let worn = bpdu.kind == bpdu::Kind::Config && bpdu.times.message_age >= bpdu.times.max_age;
        let echo = bpdu.priority.bridge == own && bpdu.priority.port == port.settings.id();
        if worn || echo && bpdu.kind == bpdu::Kind::Config {
            port.counters.errors += 1;
            return;
        }
        port.counters.rx += 1;
        if !port.settings.enabled {
            return;
        }
        // The port receive machine (clause 17.23).
        match bpdu.kind {
            bpdu::Kind::Rst if !self.settings.stp_only => port.rcvd_rstp = true,
            bpdu::Kind::Rst => {}
            bpdu::Kind::Config | bpdu::Kind::Tcn => port.rcvd_stp = true,
        }
        port.oper_edge = false;
        port.timers.edge_delay_while = MIGRATE_TIME;
        port.message = Some(bpdu);
        self.settle();
    }

    /// Runs every machine until nothing changes any more.
    fn settle(&mut self) {
        for _ in 0..MOST_ROUNDS {
            let mut moved = self.select_roles();
            let names: Vec<P> = self.ports.keys().copied().collect();
            for name in names {
                moved |= self.run_port(name);
            }
            if !moved {
                break;
            }
        }
    }
}

impl Port {
    /// As the role machine's INIT_PORT leaves it (clause 17.29.1).
    fn new(settings: PortSettings, bridge: &BridgeSettings, now_ms: i64) -> Port {
        let Times { max_age, forward, .. } = bridge.times();
        Port {
            settings,
            timers: Timers { mdelay_while: MIGRATE_TIME, fd_while: max_age, rr_while: forward, ..Timers::default() },
            tx_count: 0,
            info_is: InfoIs::Disabled,
            topology: TopologyState::Inactive,
            migration: Migration::CheckingRstp,
            role: Role::Disabled,
            selected_role: Role::Disabled,
            settled: false,
            port_priority: PriorityVector::default(),
            port_times: Times::default(),
            designated_priority: PriorityVector::default(),
            designated_times: Times::default(),
            message: None,
            agree: false,
            agreed: false,
            disputed: false,
            fdb_flush: false,
            forward: false,
            forwarding: false,
            learn: false,
            learning: false,
            mcheck: false,
            new_info: true,
            oper_edge: settings.admin_edge,
            proposed: false,
            proposing: false,
            rcvd_rstp: false,
            rcvd_stp: false,
            rcvd_tc: false,
            rcvd_tc_ack: false,
            rcvd_tcn: false,
            re_root: true,
            reselect: true,
            selected: false,
            send_rstp: !bridge.stp_only,
            sync: true,
            synced: false,
            tc_ack: false,
            tc_prop: false,
            updt_info: false,
            since_ms: now_ms,
            counters: Counters::default(),
        }
    }

    fn state(&self) -> State {
        if self.forwarding {
            State::Forwarding
        } else if self.learning {
            State::Learning
        } else {
            State::Discarding
        }
    }
}
