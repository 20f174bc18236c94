//! What `cfm/show` prints of an end point. Source: ovs-vswitchd(8).

use std::fmt::Write;

use super::{Cfm, fault};

fn state(up: bool) -> &'static str {
    if up { "up" } else { "down" }
}

impl Cfm {
    /// The text, without the line that names the port.
    pub fn show(&self, now_ms: i64) -> String {
        let s = &self.settings;
        let mut out = format!("MPID {}:", s.mpid);
        for (word, when) in [(" extended", s.extended), (" fault_override", self.forced.is_some())] {
            out.push_str(if when { word } else { "" });
        }
        out.push('\n');
        if self.faults() != 0 {
            let names: Vec<&str> = fault::names(self.faults()).collect();
            let _ = writeln!(out, "  fault: {}", names.join(" "));
        }
        match self.health {
            Some(health) => _ = writeln!(out, "  average health: {health}"),
            None => out.push_str("  average health: undefined\n"),
        }
        let _ = writeln!(out, "  opstate: {}", state(s.up));
        let _ = writeln!(out, "  remote_opstate: {}", state(self.remote_up));
        let _ = writeln!(out, "  interval: {}ms", s.effective_interval_ms());
        let _ = writeln!(out, "  next CCM tx: {}ms", self.tx_at - now_ms);
        let _ = writeln!(out, "  next fault check: {}ms", self.check_at - now_ms);
        for (mpid, remote) in &self.remotes {
            let _ = writeln!(out, "Remote MPID {mpid}");
            let _ = writeln!(out, "  recv since check: {}", remote.heard);
            let _ = writeln!(out, "  opstate: {}", state(remote.up));
        }
        out
    }
}
