//! Bidirectional forwarding detection on one port: an asynchronous single-hop session. Source: RFC 5880, RFC 5881;
//! ovs-vswitchd.conf.db(5), "Bidirectional Forwarding Detection".
//!
//! Time is milliseconds of the switch's clock. [`Bfd::run`] does what is due, [`Bfd::poll_timeout`] says when that is,
//! [`Bfd::take_packets`] gives what is to be sent. Transmission is jittered (RFC 5880 section 6.8.7) by a generator that
//! is seeded from outside.
//!
//! A session that looks at the port's other traffic says so by [`Bfd::wants_count`], and is told by [`Bfd::counted`].
//!
//! Absent: demand mode, authentication, echo.

pub mod control;
mod show;
#[cfg(test)]
mod tests;
mod traffic;

use control::{Control, flag};

/// Interval of packets while the session is not up (RFC 5880 section 6.8.3).
const SLOW_MS: u32 = 1000;

/// State of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Held down by configuration.
    AdminDown,
    /// Nothing heard, or the peer told so.
    Down,
    /// The peer is heard.
    Init,
    /// Both hear each other.
    Up,
}

impl State {
    fn of(bits: u8) -> State {
        [State::AdminDown, State::Down, State::Init, State::Up][usize::from(bits & 3)]
    }

    fn bits(self) -> u8 {
        match self {
            State::AdminDown => 0,
            State::Down => 1,
            State::Init => 2,
            State::Up => 3,
        }
    }

    /// Its name in output.
    pub fn name(self) -> &'static str {
        ["admin_down", "down", "init", "up"][usize::from(self.bits())]
    }
}

/// Why a session changed its state, 5 bits (RFC 5880 section 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Diagnostic(pub u8);

impl Diagnostic {
    /// No reason.
    pub const NONE: Diagnostic = Diagnostic(0);
    /// The peer was silent.
    pub const EXPIRED: Diagnostic = Diagnostic(1);
    /// The peer said that it is down.
    pub const NEIGHBOR_DOWN: Diagnostic = Diagnostic(3);
    /// Connectivity beyond this system is down.
    pub const PATH_DOWN: Diagnostic = Diagnostic(6);
    /// Connectivity beyond the peer is down.
    pub const REVERSE_PATH_DOWN: Diagnostic = Diagnostic(8);

    /// Its name in output.
    pub fn name(self) -> &'static str {
        match self.0 {
            0 => "No Diagnostic",
            1 => "Control Detection Time Expired",
            2 => "Echo Function Failed",
            3 => "Neighbor Signaled Session Down",
            4 => "Forwarding Plane Reset",
            5 => "Path Down",
            6 => "Concatenated Path Down",
            7 => "Administratively Down",
            8 => "Reverse Concatenated Path Down",
            _ => "invalid",
        }
    }
}

/// What a session is configured to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name of the port, for the log.
    pub name: String,
    /// At least 1.
    pub min_tx_ms: u32,
    /// At least 1.
    pub min_rx_ms: u32,
    /// Missing packets that mean silence.
    pub mult: u8,
    /// Tells the peer that connectivity beyond this system is down.
    pub path_down: bool,
    /// Interval at which packets are awaited while the port is idle; 0, or less than `min_rx_ms`, for no such difference.
    pub decay_min_rx_ms: u32,
    /// Any traffic that comes in tells that packets may use the port.
    pub forwarding_if_rx: bool,
}

/// What a session tells of itself, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The session went up, down, or told why.
    StateChanged {
        /// What was said before.
        before: (State, Diagnostic),
        /// What is said now.
        after: (State, Diagnostic),
        /// The session as it was before, as [`Bfd::show`] tells of it.
        shown: String,
    },
    /// The peer is asked to confirm new intervals.
    PollStarted,
    /// It has, by this packet; and the session.
    PollEnded(Control, String),
    /// So many missing packets meant silence of the peer before, and do now.
    RemoteMult(u8, u8),
    /// The peer takes packets at another pace, by this packet; and the session.
    RemoteMinRx(Control, String),
    /// The peer ended the session by this packet; and the session.
    SignaledDown(Control, String),
}

/// What the peer said last.
#[derive(Clone, Copy, Debug)]
struct Remote {
    state: State,
    diagnostic: Diagnostic,
    flags: u8,
    disc: u32,
    min_tx_ms: u32,
    min_rx_ms: u32,
    mult: u8,
}

impl Remote {
    const UNKNOWN: Remote = Remote {
        state: State::Down,
        diagnostic: Diagnostic::NONE,
        flags: 0,
        disc: 0,
        min_tx_ms: 0,
        min_rx_ms: 1,
        mult: 0,
    };
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Bfd {
    settings: Settings,
    state: State,
    diagnostic: Diagnostic,
    disc: u32,
    /// Intervals in force, and those a poll sequence is negotiating.
    min_tx_ms: u32,
    min_rx_ms: u32,
    polling: Option<(u32, u32)>,
    remote: Remote,
    detect_at: i64,
    last_tx: i64,
    next_tx: i64,
    final_due: bool,
    forced: Option<bool>,
    forwarding: bool,
    flaps: u64,
    traffic: traffic::Traffic,
    random: u64,
    packets: Vec<Control>,
    events: Vec<Event>,
}

impl Bfd {
    /// A session that is down; the seed makes its discriminator and its jitter.
    pub fn new(mut settings: Settings, seed: u64, now_ms: i64) -> Bfd {
        // What a session tells of itself before it knows what is wanted of it.
        let unset = Settings { mult: 3, path_down: false, ..settings.clone() };
        let wanted = std::mem::replace(&mut settings, unset);
        let mut bfd = Bfd {
            min_tx_ms: SLOW_MS,
            min_rx_ms: 0,
            settings,
            state: State::AdminDown,
            diagnostic: Diagnostic::NONE,
            disc: 0,
            polling: None,
            remote: Remote { state: State::AdminDown, min_rx_ms: 0, ..Remote::UNKNOWN },
            detect_at: 0,
            last_tx: 0,
            next_tx: 0,
            final_due: false,
            forced: None,
            forwarding: false,
            flaps: 0,
            traffic: traffic::Traffic::default(),
            random: seed | 1,
            packets: Vec::new(),
            events: Vec::new(),
        };
        bfd.disc = (bfd.draw() >> 32) as u32 | 1;
        bfd.enter(State::Down, Diagnostic::NONE, now_ms);
        bfd.settings = wanted;
        bfd.min_tx_ms = bfd.settings.min_tx_ms.max(SLOW_MS);
        bfd.min_rx_ms = bfd.settings.min_rx_ms.max(1);
        (bfd.remote, bfd.last_tx, bfd.next_tx) = (Remote::UNKNOWN, now_ms, now_ms);
        bfd.path_changed(now_ms);
        bfd
    }

    /// Changes the settings; intervals are negotiated with the peer.
    pub fn configure(&mut self, settings: Settings, now_ms: i64) {
        let before = std::mem::replace(&mut self.settings, settings);
        if before.path_down != self.settings.path_down {
            self.path_changed(now_ms);
        }
        let receives = |settings: &Settings| (settings.min_rx_ms, settings.decay_min_rx_ms);
        if receives(&before) != receives(&self.settings) {
            self.begin_decay(now_ms);
        }
        if before.min_tx_ms != self.settings.min_tx_ms || receives(&before) != receives(&self.settings) {
            self.negotiate(now_ms);
        }
        self.configure_traffic(&before, now_ms);
        self.note_forwarding();
    }

    /// Sets what forwarding is said to be, or lets the session decide (`bfd/set-forwarding`).
    pub fn force_forwarding(&mut self, forced: Option<bool>) {
        self.forced = forced;
        self.note_forwarding();
    }

    /// Whether packets may use the port.
    pub fn forwarding(&self) -> bool {
        let path = [Diagnostic::PATH_DOWN, Diagnostic::REVERSE_PATH_DOWN];
        let alive = self.state == State::Up || self.is_carrying();
        self.forced.unwrap_or(alive && !path.contains(&self.remote.diagnostic))
    }

    /// How often the session changed that; what is set by hand, and what the session says meanwhile, does not count.
    pub fn flap_count(&self) -> u64 {
        self.flaps
    }

    /// State and diagnostic of this end.
    pub fn local(&self) -> (State, Diagnostic) {
        (self.state, self.diagnostic)
    }

    /// State and diagnostic of the peer.
    pub fn remote(&self) -> (State, Diagnostic) {
        (self.remote.state, self.remote.diagnostic)
    }

    /// Packets to be sent.
    pub fn take_packets(&mut self) -> Vec<Control> {
        std::mem::take(&mut self.packets)
    }

    /// What is worth a line in the log.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// When [`Bfd::run`] has something to do, and what.
    pub fn poll_timeout(&self) -> Option<(i64, &'static str)> {
        let detect = (self.state == State::Up || self.state == State::Init).then_some(self.detect_at);
        detect
            .map(|at| (at, "BFD: the peer's silence"))
            .into_iter()
            .chain([(self.next_tx, "BFD: a packet is due")])
            .chain(self.traffic_timeout())
            .min()
    }

    /// Does what is due.
    pub fn run(&mut self, now_ms: i64) {
        if matches!(self.state, State::Up | State::Init) && self.detect_at <= now_ms {
            self.remote = Remote { mult: self.remote.mult, ..Remote::UNKNOWN };
            self.enter(State::Down, Diagnostic::EXPIRED, now_ms);
        }
        if self.next_tx <= now_ms {
            self.transmit(now_ms);
        }
        self.run_traffic(now_ms);
        self.note_forwarding();
    }

    /// A control packet arrived (RFC 5880 section 6.8.6).
    pub fn receive(&mut self, packet: &Control, now_ms: i64) {
        if packet.your_disc != 0 && packet.your_disc != self.disc {
            return;
        }
        self.heard_control(now_ms);
        let before = self.remote;
        if before.mult != packet.mult {
            self.events.push(Event::RemoteMult(before.mult, packet.mult));
        }
        self.remote = Remote {
            state: packet.state,
            diagnostic: packet.diagnostic,
            flags: packet.flags,
            disc: packet.my_disc,
            min_tx_ms: before.min_tx_ms,
            min_rx_ms: packet.min_rx_ms,
            mult: packet.mult,
        };
        let faster = before.min_rx_ms != packet.min_rx_ms;
        if faster {
            self.events.push(Event::RemoteMinRx(*packet, self.show(now_ms)));
        }
        self.remote.min_tx_ms = packet.min_tx_ms;
        if packet.flags & flag::FINAL != 0
            && let Some((min_tx, min_rx)) = self.polling.take()
        {
            (self.min_tx_ms, self.min_rx_ms) = (min_tx, min_rx);
            self.events.push(Event::PollEnded(*packet, self.show(now_ms)));
        }
        self.detect_at = now_ms + i64::from(packet.mult) * i64::from(self.rx_interval_ms());
        match (self.state, packet.state) {
            (State::AdminDown, _) => return,
            (State::Init | State::Up, State::AdminDown) | (State::Up, State::Down) => {
                self.enter(State::Down, Diagnostic::NEIGHBOR_DOWN, now_ms);
                self.remote = Remote { mult: packet.mult, ..Remote::UNKNOWN };
                self.events.push(Event::SignaledDown(*packet, self.show(now_ms)));
            }
            (State::Down, State::Down) => self.enter(State::Init, self.diagnostic, now_ms),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                self.enter(State::Up, self.diagnostic, now_ms);
            }
            _ => {}
        }
        if packet.flags & flag::POLL != 0 {
            self.final_due = true;
            self.transmit(now_ms);
        } else if faster {
            self.schedule();
        }
        self.note_forwarding();
    }

    /// Interval of packets of this end, before jitter. Until a poll ends neither end may rely on a slower pace (RFC 5880
    /// section 6.8.3).
    fn tx_interval_ms(&self) -> u32 {
        self.polling.map_or(self.min_tx_ms, |(tx, _)| tx.min(self.min_tx_ms)).max(self.remote.min_rx_ms)
    }

    /// Interval at which the peer's packets are awaited; until a poll ends, the more patient one.
    fn rx_interval_ms(&self) -> u32 {
        self.polling.map_or(self.min_rx_ms, |(_, rx)| rx.max(self.min_rx_ms)).max(self.remote.min_tx_ms)
    }

    fn transmit(&mut self, now_ms: i64) {
        let is_final = std::mem::take(&mut self.final_due);
        let (min_tx, min_rx) = self.polling.unwrap_or((self.min_tx_ms, self.min_rx_ms));
        self.packets.push(Control {
            diagnostic: self.diagnostic,
            state: self.state,
            flags: match (is_final, self.polling.is_some()) {
                (true, _) => flag::FINAL,
                (false, true) => flag::POLL,
                (false, false) => 0,
            },
            mult: self.settings.mult.max(1),
            my_disc: self.disc,
            your_disc: self.remote.disc,
            min_tx_ms: min_tx,
            min_rx_ms: min_rx,
        });
        self.last_tx = now_ms;
        self.schedule();
    }

    /// The next packet is due after the interval less up to a quarter; at least a tenth when one miss means silence.
    fn schedule(&mut self) {
        let least = if self.settings.mult == 1 { 10 } else { 0 };
        let jitter = i64::try_from(self.draw() >> 33).unwrap_or(0) % (26 - least) + least;
        let interval = i64::from(self.tx_interval_ms());
        self.next_tx = self.last_tx + interval - interval * jitter / 100;
    }

    fn enter(&mut self, state: State, diagnostic: Diagnostic, now_ms: i64) {
        if (state, diagnostic) == (self.state, self.diagnostic) {
            return;
        }
        let before = (self.state, self.diagnostic);
        let was_up = self.state == State::Up;
        let shown = self.show(now_ms);
        self.state = state;
        self.diagnostic = diagnostic;
        self.events.push(Event::StateChanged { before, after: (state, diagnostic), shown });
        if was_up != (state == State::Up) {
            self.begin_decay(now_ms);
            // Neither end relied on a pace before, so there is nothing to negotiate.
            self.polling = None;
            let least = if state == State::Up { 1 } else { SLOW_MS };
            (self.min_tx_ms, self.min_rx_ms) = (self.settings.min_tx_ms.max(least), self.wanted_min_rx_ms());
        }
    }

    /// New intervals: at once while the session is not up, by a poll sequence while it is (RFC 5880 section 6.8.3).
    fn negotiate(&mut self, now_ms: i64) {
        let (tx, rx) = (self.settings.min_tx_ms.max(1), self.wanted_min_rx_ms());
        if self.state != State::Up {
            (self.min_tx_ms, self.min_rx_ms) = (tx.max(SLOW_MS), rx);
            self.polling = None;
        } else if (tx, rx) != (self.min_tx_ms, self.min_rx_ms) {
            self.polling = Some((tx, rx));
            self.events.push(Event::PollStarted);
            self.next_tx = self.next_tx.min(now_ms);
        }
    }

    fn path_changed(&mut self, now_ms: i64) {
        let diagnostic = match (self.settings.path_down, self.diagnostic) {
            (true, _) => Diagnostic::PATH_DOWN,
            (false, Diagnostic::PATH_DOWN) => Diagnostic::NONE,
            (false, other) => other,
        };
        if diagnostic != self.diagnostic {
            self.enter(self.state, diagnostic, now_ms);
            if self.state == State::Up {
                // The peer is told at once, and answers that it knows.
                self.polling.get_or_insert((self.min_tx_ms, self.min_rx_ms));
                self.events.push(Event::PollStarted);
                self.next_tx = self.next_tx.min(now_ms);
            }
        }
    }

    fn note_forwarding(&mut self) {
        if self.forced.is_some() {
            return;
        }
        let forwarding = self.forwarding();
        if std::mem::replace(&mut self.forwarding, forwarding) != forwarding {
            self.flaps += 1;
        }
    }

    /// The next number of a xorshift generator.
    fn draw(&mut self) -> u64 {
        let mut x = self.random;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random = x;
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
