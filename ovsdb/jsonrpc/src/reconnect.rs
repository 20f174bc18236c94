//! The reconnection state machine: when to connect, when to probe, when to give up, how long to
//! wait. Times are milliseconds of a monotonic clock that the caller reads.
//!
//! Source: the behaviour documented for `max_backoff` and `inactivity_probe` in
//! ovs-vswitchd.conf.db(5) and ovsdb-server(1), and observation of Open vSwitch 3.1.

/// Where a connection stands. The names printed are those of the Manager table's `state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Disabled: nothing will happen.
    Void,
    /// Waiting before the next attempt.
    Backoff,
    /// An attempt is under way.
    Connecting,
    /// Connected, and heard from not long ago.
    Active,
    /// Connected, silent, probed.
    Idle,
    /// Told to drop the connection and make a new one.
    Reconnect,
    /// Waiting for a peer to connect to us.
    Listening,
}

impl State {
    /// The name in capitals.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Void => "VOID",
            State::Backoff => "BACKOFF",
            State::Connecting => "CONNECTING",
            State::Active => "ACTIVE",
            State::Idle => "IDLE",
            State::Reconnect => "RECONNECT",
            State::Listening => "LISTENING",
        }
    }
}

/// What the owner of the connection has to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start an attempt and call [`Reconnect::connecting`] (or `listening`).
    Connect,
    /// Close the connection or end the attempt and call [`Reconnect::disconnected`].
    Disconnect,
    /// Send a probe.
    Probe,
}

/// Figures for status columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// When the machine was made.
    pub created_ms: u64,
    /// When bytes last came, or the creation.
    pub last_activity_ms: u64,
    /// Milliseconds since the last connect, if there was one.
    pub msec_since_connect: Option<u64>,
    /// Milliseconds since the last disconnect, if there was one.
    pub msec_since_disconnect: Option<u64>,
    /// Time connected, all connections together.
    pub total_connected_ms: u64,
    /// Length of the present connection, 0 without one.
    pub current_connection_ms: u64,
    /// The present waiting time.
    pub backoff_ms: u64,
    /// Changes at each connect and disconnect.
    pub seqno: u32,
    /// A connection stands.
    pub is_connected: bool,
    /// Attempts begun.
    pub attempted_connections: u32,
    /// Attempts that succeeded.
    pub successful_connections: u32,
    /// The state.
    pub state: State,
    /// Time in this state.
    pub state_elapsed_ms: u64,
}

/// The state machine of one connection.
#[derive(Debug, Clone)]
pub struct Reconnect {
    name: String,
    /// The peer did not answer the probe: it is we who end the connection.
    given_up: bool,
    passive: bool,
    min_backoff_ms: u64,
    max_backoff_ms: u64,
    probe_interval_ms: u64,
    state: State,
    state_entered_ms: u64,
    backoff_ms: u64,
    last_activity_ms: u64,
    last_connected_ms: Option<u64>,
    last_disconnected_ms: Option<u64>,
    last_receive_attempt_ms: u64,
    max_tries: Option<u32>,
    backoff_free_tries: u32,
    created_ms: u64,
    attempted: u32,
    successful: u32,
    total_connected_ms: u64,
    seqno: u32,
    log: Vec<LogLine>,
}

/// A line for the log, in Open vSwitch's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Whether to log at WARN (else INFO or, for chatter, DBG).
    pub severity: Severity,
    /// The text, name of the connection included.
    pub text: String,
}

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The peer failed us.
    Err,
    /// Something failed.
    Warn,
    /// A step of the life of the connection.
    Info,
    /// Only for the curious.
    Debug,
}

impl Reconnect {
    /// A machine in state `VOID`, back-off 1 s to 8 s, probe after 5 s of silence.
    #[must_use]
    pub fn new(name: &str, now_ms: u64) -> Self {
        Reconnect {
            name: name.to_owned(),
            given_up: false,
            passive: false,
            min_backoff_ms: 1000,
            max_backoff_ms: 8000,
            probe_interval_ms: 5000,
            state: State::Void,
            state_entered_ms: now_ms,
            backoff_ms: 0,
            last_activity_ms: now_ms,
            last_connected_ms: None,
            last_disconnected_ms: None,
            last_receive_attempt_ms: u64::MAX,
            max_tries: None,
            backoff_free_tries: 0,
            created_ms: now_ms,
            attempted: 0,
            successful: 0,
            total_connected_ms: 0,
            seqno: 0,
            log: Vec::new(),
        }
    }

    /// The name that log lines begin with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Changes the name.
    pub fn set_name(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    /// Takes the log lines that have gathered.
    pub fn take_log(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.log)
    }

    /// Bounds of the waiting time between attempts, in ms: at least 1 s, the upper not below the
    /// lower.
    pub fn set_backoff(&mut self, min_ms: u64, max_ms: u64) {
        self.min_backoff_ms = min_ms.max(1000);
        self.max_backoff_ms = if max_ms > 0 { max_ms.max(1000) } else { 8000 };
        self.min_backoff_ms = self.min_backoff_ms.min(self.max_backoff_ms);
        if self.state == State::Backoff && self.backoff_ms > self.max_backoff_ms {
            self.backoff_ms = self.max_backoff_ms;
        }
    }

    /// Silence, in ms, before a probe, and again before giving up; 0: never, else at least 1 s.
    pub fn set_probe_interval(&mut self, interval_ms: u64) {
        self.probe_interval_ms = if interval_ms == 0 { 0 } else { interval_ms.max(1000) };
    }

    /// The interval in force, 0 for none.
    #[must_use]
    pub fn probe_interval_ms(&self) -> u64 {
        self.probe_interval_ms
    }

    /// Attempts left before the machine goes `VOID`; `None`: no bound.
    pub fn set_max_tries(&mut self, tries: Option<u32>) {
        self.max_tries = tries;
    }

    /// Attempts that are made without waiting.
    pub fn set_backoff_free_tries(&mut self, tries: u32) {
        self.backoff_free_tries = tries;
    }

    /// Whether the peer connects to us.
    pub fn set_passive(&mut self, passive: bool, now_ms: u64) {
        if self.passive == passive {
            return;
        }
        self.passive = passive;
        let stale = if passive {
            matches!(self.state, State::Connecting | State::Reconnect)
        } else {
            self.state == State::Listening && self.may_retry()
        };
        if stale {
            self.transition(now_ms, State::Backoff);
            self.backoff_ms = 0;
        }
    }

    /// Whether the peer connects to us.
    #[must_use]
    pub fn is_passive(&self) -> bool {
        self.passive
    }

    /// Leaves `VOID`.
    pub fn enable(&mut self, now_ms: u64) {
        if self.state == State::Void && self.may_retry() {
            self.transition(now_ms, State::Backoff);
            self.backoff_ms = 0;
        }
    }

    /// Goes to `VOID`.
    pub fn disable(&mut self, now_ms: u64) {
        if self.state != State::Void {
            self.transition(now_ms, State::Void);
        }
    }

    /// Asks that the connection be dropped and made anew.
    pub fn force_reconnect(&mut self, now_ms: u64) {
        if matches!(self.state, State::Connecting | State::Active | State::Idle) {
            self.transition(now_ms, State::Reconnect);
        }
    }

    /// An attempt has begun.
    pub fn connecting(&mut self, now_ms: u64) {
        if self.state != State::Connecting {
            let quiet = self.backoff_ms >= self.max_backoff_ms;
            let doing = if self.passive { "listening..." } else { "connecting..." };
            self.say(if quiet { Severity::Debug } else { Severity::Info }, doing);
            self.transition(now_ms, State::Connecting);
        }
    }

    /// A passive connection listens.
    pub fn listening(&mut self, now_ms: u64) {
        if self.state != State::Listening {
            self.say(Severity::Info, "listening...");
            self.transition(now_ms, State::Listening);
        }
    }

    /// Listening failed.
    pub fn listen_error(&mut self, now_ms: u64, reason: &str) {
        self.disconnected(now_ms, Some(reason));
    }

    /// The attempt succeeded.
    pub fn connected(&mut self, now_ms: u64) {
        self.given_up = false;
        if self.is_connected() {
            return;
        }
        self.connecting(now_ms);
        self.say(Severity::Info, "connected");
        self.transition(now_ms, State::Active);
        self.last_connected_ms = Some(now_ms);
    }

    /// The attempt failed.
    pub fn connect_failed(&mut self, now_ms: u64, reason: Option<&str>) {
        self.connecting(now_ms);
        self.disconnected(now_ms, reason);
    }

    /// The connection or the attempt ended; `reason` is an error's text, `None` a plain close.
    pub fn disconnected(&mut self, now_ms: u64, reason: Option<&str>) {
        if matches!(self.state, State::Backoff | State::Void) {
            return;
        }
        self.say_disconnect(reason);
        let was_up = matches!(self.state, State::Active | State::Idle);
        if was_up {
            self.last_disconnected_ms = Some(now_ms);
        }
        if !self.may_retry() {
            self.transition(now_ms, State::Void);
            return;
        }
        let lived = self.last_activity_ms.saturating_sub(self.last_connected_ms.unwrap_or(0));
        if self.backoff_free_tries > 1 {
            self.backoff_free_tries -= 1;
            self.backoff_ms = 0;
        } else if was_up && (lived >= self.backoff_ms || self.passive) {
            self.backoff_ms = if self.passive { 0 } else { self.min_backoff_ms };
        } else {
            self.lengthen_backoff();
        }
        self.transition(now_ms, State::Backoff);
    }

    fn lengthen_backoff(&mut self) {
        let doing = if self.passive { "trying to listen again" } else { "reconnect" };
        if self.backoff_ms < self.min_backoff_ms {
            // The shortest wait is not worth a line.
            self.backoff_ms = self.min_backoff_ms;
            return;
        } else if self.backoff_ms < self.max_backoff_ms / 2 {
            self.backoff_ms *= 2;
        } else {
            if self.backoff_ms == self.max_backoff_ms {
                return;
            }
            self.backoff_ms = self.max_backoff_ms;
            let doing = if self.passive { "try to listen" } else { "reconnect" };
            let text = format!("continuing to {doing} in the background but suppressing further logging");
            self.say(Severity::Info, &text);
            return;
        }
        let seconds = self.backoff_ms as f64 / 1000.0;
        self.say(Severity::Info, &format!("waiting {seconds} seconds before {doing}"));
    }

    fn say_disconnect(&mut self, reason: Option<&str>) {
        let quiet = self.backoff_ms >= self.max_backoff_ms;
        let (severity, text) = match (self.state, reason) {
            (State::Active | State::Idle, Some(reason)) => (Severity::Warn, format!("connection dropped ({reason})")),
            (State::Active | State::Idle, None) if !std::mem::take(&mut self.given_up) => {
                (Severity::Info, "connection closed by peer".to_owned())
            }
            (State::Active | State::Idle | State::Reconnect, _) => (Severity::Info, "connection dropped".to_owned()),
            (State::Listening, Some(reason)) => (Severity::Warn, format!("error listening for connections ({reason})")),
            (State::Listening, None) => (Severity::Info, "error listening for connections".to_owned()),
            (_, reason) => {
                let kind = if self.passive { "listen" } else { "connection" };
                // What never came about is told of only until attempts come at their longest interval.
                let severity = if quiet { Severity::Debug } else { Severity::Info };
                match reason {
                    Some(reason) => (severity, format!("{kind} attempt failed ({reason})")),
                    None => (severity, format!("{kind} attempt timed out")),
                }
            }
        };
        self.say(severity, &text);
    }

    /// Bytes came from the peer.
    pub fn activity(&mut self, now_ms: u64) {
        if self.state != State::Active {
            self.transition(now_ms, State::Active);
        }
        self.last_activity_ms = now_ms;
    }

    /// The owner tried to read, whether or not bytes came. Without this the machine would blame
    /// the peer for the owner's own slowness.
    pub fn receive_attempted(&mut self, now_ms: u64) {
        self.last_receive_attempt_ms = now_ms;
    }

    /// What to do now, if anything.
    pub fn run(&mut self, now_ms: u64) -> Option<Action> {
        if now_ms < self.deadline(now_ms)? {
            return None;
        }
        match self.state {
            State::Void | State::Listening => None,
            State::Backoff => Some(Action::Connect),
            State::Connecting | State::Reconnect => Some(Action::Disconnect),
            State::Active => {
                let since = now_ms - self.last_activity_ms.max(self.state_entered_ms);
                self.say(Severity::Debug, &format!("idle {since} ms, sending inactivity probe"));
                self.transition(now_ms, State::Idle);
                Some(Action::Probe)
            }
            State::Idle => {
                let seconds = (now_ms - self.state_entered_ms) as f64 / 1000.0;
                let mut text = String::from("no response to inactivity probe after ");
                crate::text::format_g(&mut text, seconds, 3);
                text.push_str(" seconds, disconnecting");
                self.say(Severity::Err, &text);
                self.given_up = true;
                Some(Action::Disconnect)
            }
        }
    }

    /// When to call [`Reconnect::run`] next, and why.
    #[must_use]
    pub fn poll_timeout(&self, now_ms: u64) -> Option<(u64, &'static str)> {
        let reason = match self.state {
            State::Backoff => "reconnect backoff",
            State::Connecting => "connection attempt",
            State::Active => "inactivity probe",
            State::Idle => "inactivity probe reply",
            _ => "reconnect",
        };
        self.deadline(now_ms).map(|deadline| (deadline, reason))
    }

    fn deadline(&self, now_ms: u64) -> Option<u64> {
        let probe = |base: u64| {
            if self.probe_interval_ms == 0 {
                return None;
            }
            let expires = base + self.probe_interval_ms;
            // Nothing was read since: read once more before the peer is judged.
            let blind = now_ms >= expires && self.last_receive_attempt_ms < expires;
            Some(if blind { now_ms + 1 } else { expires })
        };
        match self.state {
            State::Void | State::Listening => None,
            State::Backoff => Some(self.state_entered_ms + self.backoff_ms),
            State::Connecting => Some(self.state_entered_ms + self.backoff_ms.max(1000)),
            State::Active => probe(self.last_activity_ms.max(self.state_entered_ms)),
            State::Idle => probe(self.state_entered_ms),
            State::Reconnect => Some(self.state_entered_ms),
        }
    }

    fn may_retry(&mut self) -> bool {
        match &mut self.max_tries {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    fn transition(&mut self, now_ms: u64, state: State) {
        if self.state == State::Connecting {
            self.attempted += 1;
            if state == State::Active {
                self.successful += 1;
            }
        }
        let up = |s| matches!(s, State::Active | State::Idle);
        if up(self.state) != up(state) {
            if up(self.state) {
                self.total_connected_ms += now_ms.saturating_sub(self.last_connected_ms.unwrap_or(now_ms));
            }
            self.seqno = self.seqno.wrapping_add(1);
        }
        self.say(Severity::Debug, &format!("entering {}", state.name()));
        self.state = state;
        self.state_entered_ms = now_ms;
    }

    fn say(&mut self, severity: Severity, text: &str) {
        // Nobody takes the lines of a machine without a log: keep few.
        if self.log.len() < 64 {
            self.log.push(LogLine { severity, text: format!("{}: {text}", self.name) });
        }
    }

    /// A connection stands.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Active | State::Idle)
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Figures for status columns.
    #[must_use]
    pub fn stats(&self, now_ms: u64) -> Stats {
        let current =
            if self.is_connected() { now_ms.saturating_sub(self.last_connected_ms.unwrap_or(now_ms)) } else { 0 };
        Stats {
            created_ms: self.created_ms,
            last_activity_ms: self.last_activity_ms,
            msec_since_connect: self.last_connected_ms.map(|at| now_ms.saturating_sub(at)),
            msec_since_disconnect: self.last_disconnected_ms.map(|at| now_ms.saturating_sub(at)),
            total_connected_ms: self.total_connected_ms + current,
            current_connection_ms: current,
            backoff_ms: self.backoff_ms,
            seqno: self.seqno,
            is_connected: self.is_connected(),
            attempted_connections: self.attempted,
            successful_connections: self.successful,
            state: self.state,
            state_elapsed_ms: now_ms.saturating_sub(self.state_entered_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passive_connection_listens() {
        let mut fsm = Reconnect::new("ptcp:", 0);
        fsm.enable(0);
        fsm.set_passive(true, 0);
        fsm.connect_failed(0, Some("in use"));
        fsm.listening(1);
        assert_eq!(fsm.poll_timeout(1), None);
        fsm.connected(2);
        fsm.disconnected(3, None);
        let texts: Vec<String> =
            fsm.take_log().into_iter().filter(|line| line.severity != Severity::Debug).map(|line| line.text).collect();
        let expected = [
            "listening...",
            "listen attempt failed (in use)",
            "listening...",
            "listening...",
            "connected",
            "connection closed by peer",
        ];
        assert_eq!(texts, expected.map(|text| format!("ptcp:: {text}")));
    }

    #[test]
    fn backoff_doubles_to_its_bound() {
        let mut fsm = Reconnect::new("tcp:x", 0);
        fsm.enable(0);
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..6 {
            assert_eq!(fsm.run(now), Some(Action::Connect));
            fsm.connecting(now);
            fsm.connect_failed(now, Some("Connection refused"));
            let (at, why) = fsm.poll_timeout(now).unwrap();
            assert_eq!(why, "reconnect backoff");
            waits.push(at - now);
            now = at;
        }
        assert_eq!(waits, [1000, 2000, 4000, 8000, 8000, 8000]);
        assert_eq!(fsm.stats(now).attempted_connections, 6);
        let said = |l: &&LogLine| l.severity == Severity::Info && l.text.contains("attempt failed");
        assert_eq!(fsm.take_log().iter().filter(said).count(), 4, "the bound reached, it goes on in silence");
        // A connection that there was is told of all the same.
        for _ in 0..2 {
            fsm.connecting(now);
            fsm.connected(now);
            fsm.disconnected(now, None);
            now = fsm.poll_timeout(now).map_or(now, |(at, _)| at);
            assert_eq!(fsm.run(now), Some(Action::Connect));
        }
        let said = |l: &&LogLine| l.severity == Severity::Info && l.text.ends_with("connection closed by peer");
        assert_eq!(fsm.take_log().iter().filter(said).count(), 2);
    }

    #[test]
    fn silence_is_probed_then_punished() {
        let mut fsm = Reconnect::new("x", 0);
        fsm.enable(0);
        fsm.connected(100);
        assert_eq!(fsm.run(5099), None);
        assert_eq!(fsm.run(5100), Some(Action::Probe));
        assert_eq!(fsm.state().name(), "IDLE");
        fsm.activity(6000);
        assert_eq!(fsm.state().name(), "ACTIVE");
        assert_eq!(fsm.run(11_000), Some(Action::Probe));
        assert_eq!(fsm.run(16_000), Some(Action::Disconnect));
        fsm.disconnected(16_000, None);
        let log = fsm.take_log();
        let told = log.iter().rev().filter(|l| l.severity != Severity::Debug);
        let last: Vec<_> = told.take(2).map(|l| (l.severity, l.text.as_str())).collect();
        let silent = "x: no response to inactivity probe after 5 seconds, disconnecting";
        assert_eq!(last, [(Severity::Info, "x: connection dropped"), (Severity::Err, silent)]);
        let stats = fsm.stats(17_000);
        assert_eq!(stats.msec_since_disconnect, Some(1000));
        assert_eq!(stats.total_connected_ms, 15_900);
        assert!(!stats.is_connected);
    }

    #[test]
    fn own_slowness_is_not_the_peers() {
        let mut fsm = Reconnect::new("x", 0);
        fsm.enable(0);
        fsm.connected(0);
        fsm.receive_attempted(100);
        assert_eq!(fsm.run(9000), None);
        fsm.receive_attempted(9000);
        assert_eq!(fsm.run(9000), Some(Action::Probe));
    }

    #[test]
    fn tries_are_counted() {
        let mut fsm = Reconnect::new("x", 0);
        fsm.set_max_tries(Some(1));
        fsm.enable(0);
        fsm.connecting(0);
        fsm.connect_failed(0, None);
        assert_eq!(fsm.state(), State::Void);
        assert_eq!(fsm.poll_timeout(0), None);
    }
}
