//! What `bfd/show` prints of a session. Source: ovs-vswitchd(8).

use std::fmt::Write;

use super::control::{LEN, flag};
use super::{Bfd, Control, Diagnostic, State};

/// Names of flags, in their order.
const FLAGS: [(u8, &str); 6] = [
    (flag::MULTIPOINT, "multipoint"),
    (flag::DEMAND, "demand"),
    (flag::AUTH, "auth"),
    (flag::CTL, "ctl"),
    (flag::FINAL, "final"),
    (flag::POLL, "poll"),
];

/// One end's half of the text.
struct End {
    who: &'static str,
    flags: u8,
    state: State,
    diagnostic: Diagnostic,
    disc: u32,
    min_tx_ms: u32,
    min_rx_ms: u32,
}

impl Bfd {
    /// The text, without the line that names the port.
    pub fn show(&self, now_ms: i64) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "  Forwarding: {}", self.forwarding());
        let _ = writeln!(out, "  Detect Multiplier: {}", self.settings.mult);
        let _ = writeln!(out, "  Concatenated Path Down: {}", self.settings.path_down);
        let _ = writeln!(out, "  TX Interval: Approx {}ms", self.tx_interval_ms());
        let _ = writeln!(out, "  RX Interval: Approx {}ms", self.rx_interval_ms());
        for (what, at) in
            [("Detect Time", self.detect_at), ("Next TX Time", self.next_tx), ("Last TX Time", self.last_tx)]
        {
            let _ = writeln!(out, "  {what}: now {:+}ms", at - now_ms);
        }
        end(
            &mut out,
            &End {
                who: "Local",
                flags: if self.polling.is_some() { flag::POLL } else { 0 },
                state: self.state,
                diagnostic: self.diagnostic,
                disc: self.disc,
                min_tx_ms: self.min_tx_ms,
                min_rx_ms: self.min_rx_ms,
            },
        );
        let remote = &self.remote;
        end(
            &mut out,
            &End {
                who: "Remote",
                flags: remote.flags,
                state: remote.state,
                diagnostic: remote.diagnostic,
                disc: remote.disc,
                min_tx_ms: remote.min_tx_ms,
                min_rx_ms: remote.min_rx_ms,
            },
        );
        let _ = writeln!(out, "  Remote Detect Multiplier: {}", remote.mult);
        out
    }
}

impl Control {
    /// The packet as the log is told of it: lines, but for the end of the last.
    pub fn show(&self) -> String {
        let (diagnostic, state, flags) = (self.diagnostic.name(), self.state.name(), flag_names(self.flags));
        let interval = |ms: u32| format!("{}us ({ms}ms)", u64::from(ms) * 1000);
        format!(
            "  vers:1 diag:\"{diagnostic}\" state:{state} mult:{} length:{LEN}\n  flags: {flags}\n  my_disc:0x{:x} \
             your_disc:0x{:x}\n  min_tx:{}\n  min_rx:{}\n  min_rx_echo:{}",
            self.mult,
            self.my_disc,
            self.your_disc,
            interval(self.min_tx_ms),
            interval(self.min_rx_ms),
            interval(0)
        )
    }
}

fn flag_names(flags: u8) -> String {
    let names: Vec<&str> = FLAGS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}

fn end(out: &mut String, end: &End) {
    let who = end.who;
    let _ = writeln!(out, "\n  {who} Flags: {}", flag_names(end.flags));
    let _ = writeln!(out, "  {who} Session State: {}", end.state.name());
    let _ = writeln!(out, "  {who} Diagnostic: {}", end.diagnostic.name());
    let _ = writeln!(out, "  {who} Discriminator: 0x{:x}", end.disc);
    let _ = writeln!(out, "  {who} Minimum TX Interval: {}ms", end.min_tx_ms);
    let _ = writeln!(out, "  {who} Minimum RX Interval: {}ms", end.min_rx_ms);
}
