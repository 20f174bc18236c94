//! One OpenFlow connection through time: when to try, how long to wait, when to ask whether the peer lives.
//!
//! A connection to a configured controller is tried again for ever: after a failure it waits 1 second, then twice as long
//! each time up to the configured limit. One that was accepted ends with its stream, or when its peer has not greeted
//! within a second. Whoever says nothing for the probe interval is sent an echo request, and is given up after as long
//! again.
//!
//! Times are milliseconds of a monotonic clock. Source: ovs-vswitchd.conf.db(5), table Controller (`max_backoff`,
//! `inactivity_probe`, `status`); texts and order of the log as observed of Open vSwitch 3.1.

use crate::note::{Level, Note};

const MODULE: &str = "rconn";
/// The shortest probe interval that is not "never", seconds.
const PROBE_AT_LEAST_S: i64 = 5;

/// Where a connection stands, with the names of the Controller table's `status:state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Ended for good.
    Void,
    /// Waiting before the next attempt.
    Backoff,
    /// An attempt, or the exchange of hellos, is under way.
    Connecting,
    /// Connected and heard from.
    Active,
    /// Connected, silent, probed.
    Idle,
}

impl State {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            State::Void => "VOID",
            State::Backoff => "BACKOFF",
            State::Connecting => "CONNECTING",
            State::Active => "ACTIVE",
            State::Idle => "IDLE",
        }
    }
}

/// What the owner of the stream has to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Open a stream, then call [`Rconn::connected`] or [`Rconn::failed`].
    Connect,
    /// Send an echo request.
    Probe,
    /// Close the stream, or end the attempt; the machine knows already.
    Close,
}

/// What a user may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The longest pause between attempts, seconds; at least 1.
    pub max_backoff_s: i64,
    /// Silence before a probe, seconds; 0 for never, else at least 5.
    pub probe_s: i64,
}

impl Settings {
    /// The settings in force for what was asked for.
    fn bounded(self) -> Settings {
        let probe_s = if self.probe_s <= 0 { 0 } else { self.probe_s.max(PROBE_AT_LEAST_S) };
        Settings { max_backoff_s: self.max_backoff_s.max(1), probe_s }
    }
}

/// What status columns show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Hellos are exchanged.
    pub connected: bool,
    /// Where it stands.
    pub state: State,
    /// Why it ended or failed last.
    pub last_error: Option<String>,
    /// Seconds since it was connected last.
    pub since_connect_s: Option<i64>,
    /// Seconds since it ended last.
    pub since_disconnect_s: Option<i64>,
}

/// A connection.
#[derive(Debug)]
pub struct Rconn {
    name: String,
    reliable: bool,
    settings: Settings,
    state: State,
    entered_ms: i64,
    /// Seconds.
    backoff_s: i64,
    backoff_deadline_ms: i64,
    last_activity_ms: i64,
    last_connected_ms: Option<i64>,
    last_disconnected_ms: Option<i64>,
    last_error: Option<String>,
    close: bool,
    notes: Vec<Note>,
}

impl Rconn {
    /// One that connects by itself, as soon as it is asked what to do. `name` is as logs show it.
    pub fn reliable(name: &str, settings: Settings, now_ms: i64) -> Rconn {
        Rconn::new(name, true, settings, State::Backoff, now_ms)
    }

    /// One that a listener accepted; its peer has yet to greet.
    pub fn accepted(name: &str, settings: Settings, now_ms: i64) -> Rconn {
        Rconn::new(name, false, settings, State::Connecting, now_ms)
    }

    fn new(name: &str, reliable: bool, settings: Settings, state: State, now_ms: i64) -> Rconn {
        Rconn {
            name: name.to_owned(),
            reliable,
            settings: settings.bounded(),
            state,
            entered_ms: now_ms,
            backoff_s: 0,
            backoff_deadline_ms: now_ms,
            last_activity_ms: now_ms,
            last_connected_ms: None,
            last_disconnected_ms: None,
            last_error: None,
            close: false,
            notes: Vec::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Silence before a probe, seconds; 0 for never.
    pub fn probe_s(&self) -> i64 {
        self.settings.probe_s
    }

    /// Other settings, at once.
    pub fn configure(&mut self, settings: Settings, now_ms: i64) {
        self.settings = settings.bounded();
        if self.backoff_s > self.settings.max_backoff_s {
            self.backoff_s = self.settings.max_backoff_s;
            self.backoff_deadline_ms = self.backoff_deadline_ms.min(now_ms + self.backoff_s * 1000);
        }
    }

    /// What there is to log since the last call.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    fn note(&mut self, level: Level, text: &str) {
        self.notes.push(Note::new(MODULE, level, format!("{}: {text}", self.name)));
    }

    /// Attempts are logged until the pauses are as long as they get.
    fn logs_attempts(&self) -> bool {
        self.backoff_s < self.settings.max_backoff_s
    }

    fn enter(&mut self, state: State, now_ms: i64) {
        self.state = state;
        self.entered_ms = now_ms;
    }

    fn is_connected(&self) -> bool {
        matches!(self.state, State::Active | State::Idle)
    }

    /// When [`Rconn::run`] has something to do, and what.
    pub fn poll_timeout(&self) -> Option<(i64, &'static str)> {
        if self.close {
            return Some((self.entered_ms, "the connection is to be closed"));
        }
        match self.state {
            State::Void => None,
            State::Backoff => Some((self.backoff_deadline_ms, "try the controller again")),
            State::Connecting => Some((self.connect_deadline_ms(), "the attempt takes too long")),
            State::Active | State::Idle if self.settings.probe_s == 0 => None,
            State::Active => Some((self.idle_deadline_ms(), "the peer has been silent")),
            State::Idle => Some((self.entered_ms + self.settings.probe_s * 1000, "the peer does not answer")),
        }
    }

    fn connect_deadline_ms(&self) -> i64 {
        self.entered_ms + self.backoff_s.max(1) * 1000
    }

    fn idle_deadline_ms(&self) -> i64 {
        self.last_activity_ms.max(self.entered_ms) + self.settings.probe_s * 1000
    }

    /// What to do now; to be called until there is nothing.
    pub fn run(&mut self, now_ms: i64) -> Option<Step> {
        if std::mem::take(&mut self.close) {
            return Some(Step::Close);
        }
        let (at_ms, _) = self.poll_timeout()?;
        if now_ms < at_ms {
            return None;
        }
        match self.state {
            State::Void => None,
            State::Backoff => {
                if self.logs_attempts() {
                    self.note(Level::Info, "connecting...");
                }
                self.backoff_deadline_ms = now_ms + self.backoff_s * 1000;
                self.enter(State::Connecting, now_ms);
                Some(Step::Connect)
            }
            State::Connecting => {
                if self.logs_attempts() {
                    self.note(Level::Info, "connection timed out");
                }
                self.backoff_deadline_ms = i64::MAX;
                self.disconnect(Some("Connection timed out".to_owned()), now_ms);
                Some(Step::Close)
            }
            State::Active => {
                let silent_s = (now_ms - self.last_activity_ms.max(self.entered_ms)) / 1000;
                self.note(Level::Dbg, &format!("idle {silent_s} seconds, sending inactivity probe"));
                self.enter(State::Idle, now_ms);
                Some(Step::Probe)
            }
            State::Idle => {
                let silent_s = (now_ms - self.entered_ms) / 1000;
                let text = format!("no response to inactivity probe after {silent_s} seconds, disconnecting");
                self.note(Level::Err, &text);
                self.disconnect(Some("Connection timed out".to_owned()), now_ms);
                Some(Step::Close)
            }
        }
    }

    /// Hellos are exchanged.
    pub fn connected(&mut self, now_ms: i64) {
        if self.state == State::Connecting {
            if self.logs_attempts() {
                self.note(if self.reliable { Level::Info } else { Level::Dbg }, "connected");
            }
            self.last_connected_ms = Some(now_ms);
            self.last_activity_ms = now_ms;
            self.enter(State::Active, now_ms);
        }
    }

    /// The attempt failed: at once (`immediate`), or after a stream was opened or tried for a while.
    pub fn failed(&mut self, error: &str, immediate: bool, now_ms: i64) {
        if self.state != State::Connecting {
            return;
        }
        if immediate {
            // Nothing was connected, so nothing was disconnected either.
            self.note(Level::Warn, &format!("connection failed ({error})"));
            self.state = State::Backoff;
            self.backoff_deadline_ms = i64::MAX;
        } else if self.logs_attempts() {
            self.note(Level::Info, &format!("connection failed ({error})"));
        }
        self.disconnect(Some(error.to_owned()), now_ms);
    }

    /// The stream ended (`None`) or broke.
    pub fn lost(&mut self, error: Option<&str>, now_ms: i64) {
        match (self.state, error) {
            (State::Connecting, _) if self.reliable => {
                return self.failed(error.unwrap_or("End of file"), false, now_ms);
            }
            (State::Connecting | State::Active | State::Idle, None) => {
                let level = if self.reliable { Level::Info } else { Level::Dbg };
                self.note(level, "connection closed by peer");
            }
            (State::Connecting | State::Active | State::Idle, Some(error)) => {
                self.note(Level::Warn, &format!("connection dropped ({error})"));
            }
            (State::Void | State::Backoff, _) => return,
        }
        self.disconnect(Some(error.unwrap_or("End of file").to_owned()), now_ms);
    }

    /// Something arrived.
    pub fn activity(&mut self, now_ms: i64) {
        self.last_activity_ms = now_ms;
        if self.state == State::Idle {
            self.enter(State::Active, now_ms);
        }
    }

    /// Drops the connection, to make it anew.
    pub fn reconnect(&mut self, now_ms: i64) {
        if self.is_connected() {
            self.disconnect(None, now_ms);
            self.close = true;
        }
    }

    fn disconnect(&mut self, error: Option<String>, now_ms: i64) {
        self.last_error = error;
        if matches!(self.state, State::Connecting | State::Active | State::Idle) {
            self.last_disconnected_ms = Some(now_ms);
        }
        if !self.reliable {
            self.enter(State::Void, now_ms);
            return;
        }
        if now_ms >= self.backoff_deadline_ms {
            self.backoff_s = 1;
        } else if self.backoff_s < self.settings.max_backoff_s / 2 {
            self.backoff_s = (self.backoff_s * 2).max(1);
            self.note(Level::Info, &format!("waiting {} seconds before reconnect", self.backoff_s));
        } else {
            if self.logs_attempts() {
                self.note(
                    Level::Info,
                    "continuing to retry connections in the background but suppressing further logging",
                );
            }
            self.backoff_s = self.settings.max_backoff_s;
        }
        self.backoff_deadline_ms = now_ms + self.backoff_s * 1000;
        self.enter(State::Backoff, now_ms);
    }

    /// What status columns show.
    pub fn status(&self, now_ms: i64) -> Status {
        let seconds = |at: Option<i64>| at.map(|at| (now_ms - at) / 1000);
        Status {
            connected: self.is_connected(),
            state: self.state,
            last_error: self.last_error.clone(),
            since_connect_s: seconds(self.last_connected_ms),
            since_disconnect_s: seconds(self.last_disconnected_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings { max_backoff_s: 8, probe_s: 5 };

    fn texts(rconn: &mut Rconn) -> Vec<String> {
        rconn.take_notes().into_iter().map(|n| n.text.trim_start_matches("c: ").to_owned()).collect()
    }

    #[test]
    fn pauses_double_up_to_the_limit_and_then_are_silent() {
        let mut c = Rconn::reliable("c", SETTINGS, 0);
        let mut at_ms = 0;
        let mut pauses = Vec::new();
        for _ in 0..6 {
            assert_eq!(c.run(at_ms), Some(Step::Connect));
            c.failed("Connection refused", true, at_ms);
            let (next, _) = c.poll_timeout().unwrap();
            pauses.push((next - at_ms) / 1000);
            at_ms = next;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 8, 8]);
        let said = texts(&mut c);
        assert_eq!(said.iter().filter(|t| *t == "connecting...").count(), 4);
        assert_eq!(said.iter().filter(|t| t.starts_with("connection failed")).count(), 6);
        assert_eq!(said[2], "waiting 1 seconds before reconnect");
        let status = c.status(at_ms);
        assert_eq!((status.since_connect_s, status.since_disconnect_s), (None, None));
        assert_eq!(status.last_error.as_deref(), Some("Connection refused"));
    }

    #[test]
    fn a_connection_that_lasted_is_tried_again_after_a_second() {
        let mut c = Rconn::reliable("c", SETTINGS, 0);
        for at in [0, 1000, 3000] {
            assert_eq!(c.run(at), Some(Step::Connect));
            if at < 3000 {
                c.failed("x", true, at);
            }
        }
        c.connected(3000);
        c.activity(6000);
        c.lost(None, 9000);
        assert_eq!(c.poll_timeout().map(|t| t.0), Some(10_000));
        assert_eq!(c.status(9000).last_error.as_deref(), Some("End of file"));
        assert_eq!(c.status(11_000).since_connect_s, Some(8));
        assert_eq!(c.status(11_000).since_disconnect_s, Some(2));
    }

    #[test]
    fn silence_is_probed_then_ends_the_connection() {
        let mut c = Rconn::accepted("c", Settings { max_backoff_s: 8, probe_s: 1 }, 0);
        c.connected(0);
        assert_eq!(c.run(4999), None);
        assert_eq!(c.run(5000), Some(Step::Probe));
        c.activity(5500);
        assert_eq!((c.run(10_499), c.run(10_500)), (None, Some(Step::Probe)));
        assert_eq!(c.run(15_500), Some(Step::Close));
        assert_eq!((c.state(), c.poll_timeout()), (State::Void, None));
        let said = texts(&mut c);
        assert_eq!(said.last().unwrap(), "no response to inactivity probe after 5 seconds, disconnecting");
    }

    #[test]
    fn who_comes_and_does_not_greet_is_given_a_second() {
        let never = Settings { max_backoff_s: 8, probe_s: 0 };
        let mut c = Rconn::accepted("c", never, 0);
        assert_eq!(c.poll_timeout().map(|t| t.0), Some(1000));
        c.activity(900); // half a greeting
        assert_eq!((c.run(999), c.run(1000)), (None, Some(Step::Close)));
        assert_eq!((c.state(), c.poll_timeout()), (State::Void, None));
        assert_eq!(texts(&mut c), ["connection timed out"]);

        let mut c = Rconn::accepted("c", never, 0);
        c.connected(500);
        assert_eq!((c.state(), c.poll_timeout()), (State::Active, None));
        let said = c.take_notes();
        assert_eq!(said.iter().map(|n| (n.level, n.text.as_str())).collect::<Vec<_>>(), [(Level::Dbg, "c: connected")]);
    }

    #[test]
    fn who_leaves_before_greeting_is_told_of_as_afterwards() {
        for (error, level, text) in [
            (None, Level::Dbg, "c: connection closed by peer"),
            (Some("Protocol error"), Level::Warn, "c: connection dropped (Protocol error)"),
        ] {
            let mut c = Rconn::accepted("c", SETTINGS, 0);
            c.lost(error, 1);
            assert_eq!(c.state(), State::Void);
            let said = c.take_notes();
            assert_eq!(said.iter().map(|n| (n.level, n.text.as_str())).collect::<Vec<_>>(), [(level, text)]);
        }
    }

    #[test]
    fn an_attempt_that_hangs_times_out() {
        let mut c = Rconn::reliable("c", SETTINGS, 0);
        assert_eq!(c.run(0), Some(Step::Connect));
        assert_eq!((c.run(999), c.run(1000)), (None, Some(Step::Close)));
        assert_eq!((c.state(), c.poll_timeout().map(|t| t.0)), (State::Backoff, Some(2000)));
        assert_eq!(c.status(3000).since_disconnect_s, Some(2));
    }

    #[test]
    fn a_connection_may_be_made_anew_on_command() {
        let mut c = Rconn::reliable("c", SETTINGS, 0);
        c.run(0);
        c.connected(0);
        c.reconnect(7000);
        assert_eq!((c.run(7000), c.run(7000)), (Some(Step::Close), None));
        assert_eq!(c.run(8000), Some(Step::Connect));
        assert_eq!(c.status(8000).last_error, None);
    }
}
