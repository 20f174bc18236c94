//! What `stp/show` prints of a bridge. Source: ovs-vswitchd(8).

use std::fmt::Write;

use super::{State, Stp, Times};

impl<P: Copy + Ord> Stp<P> {
    /// The text, without the line that names the bridge; `port_name` names a port. As in Open vSwitch the configured times
    /// stand with the root, and those in force with the bridge.
    pub fn show(&self, port_name: impl Fn(P) -> String) -> String {
        let mut out = String::new();
        out.push_str("Root ID:\n");
        identity(&mut out, self.root_id(), self.settings.times());
        match self.root_port {
            None => out.push_str("  This bridge is the root\n"),
            Some(port) => {
                let _ = writeln!(out, "  root-port       {}", port_name(port));
                let _ = writeln!(out, "  root-path-cost  {}", self.root_path_cost());
            }
        }
        out.push_str("\nBridge ID:\n");
        identity(&mut out, self.bridge_id(), self.times);
        let _ = writeln!(out, "\n  {:<10} {:<10} {:<10} {:<5} Pri.Nbr ", "Interface", "Role", "State", "Cost");
        let _ = writeln!(out, "  {0} {0} {0} {1:-<5} {1:-<7}", "----------", "");
        let mut ports: Vec<_> = self.ports.iter().filter(|(_, port)| port.state != State::Disabled).collect();
        ports.sort_by_key(|(_, port)| port.settings.number);
        for (&name, port) in ports {
            let settings = port.settings;
            let (role, state) = (self.role(name).name(), port.state.name());
            let _ = write!(out, "  {:<10} {role:<10} {state:<10} {:<5} ", port_name(name), settings.path_cost);
            let _ = writeln!(out, "{}.{}", settings.priority, settings.number);
        }
        out.push('\n');
        out
    }
}

fn identity(out: &mut String, id: u64, times: Times) {
    let octets = id.to_be_bytes();
    let address: Vec<String> = octets[2..].iter().map(|octet| format!("{octet:02x}")).collect();
    let _ = writeln!(out, "  stp-priority  {}", id >> 48);
    let _ = writeln!(out, "  stp-system-id   {}", address.join(":"));
    let _ = writeln!(out, "  stp-hello-time  {}s", times.hello_ms / 1000);
    let _ = writeln!(out, "  stp-max-age     {}s", times.max_age_ms / 1000);
    let _ = writeln!(out, "  stp-fwd-delay   {}s", times.forward_ms / 1000);
}
