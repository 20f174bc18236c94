//! What `rstp/show` prints of a bridge. Source: ovs-vswitchd(8).

use std::fmt::Write;

use flow::hash;
use hashing::HashOrder;

use super::{Rstp, Times};

impl<P: Copy + Ord> Rstp<P> {
    /// The text, without the line that names the bridge; `port_name` names a port.
    pub fn show(&self, port_name: impl Fn(P) -> String) -> String {
        let mut out = String::from("Root ID:\n");
        identity(&mut out, self.root_priority.root, self.root_times);
        match self.root_port {
            None => out.push_str("  This bridge is the root\n"),
            Some(port) => {
                let _ = writeln!(out, "  root-port       {}", port_name(port));
                let _ = writeln!(out, "  root-path-cost  {}", self.root_priority.cost);
            }
        }
        out.push_str("\nBridge ID:\n");
        identity(&mut out, self.bridge_id(), self.settings.times());
        let _ = writeln!(out, "\n  {:<10} {:<10} {:<10} {:<8} Pri.Nbr ", "Interface", "Role", "State", "Cost");
        let _ = writeln!(out, "  {0} {0} {0} {1:-<8} {1:-<7}", "----------", "");
        let mut ports: Vec<_> = self.ports.iter().collect();
        ports.sort_by_key(|(_, port)| port.settings.number);
        // As Open vSwitch's table of ports lists them.
        let mut listed = HashOrder::default();
        for (at, (_, port)) in ports.iter().enumerate() {
            listed.insert(hash::two_words(port.settings.number.into(), 0), at);
        }
        for (&name, port) in listed.iter().filter_map(|at| ports.get(at).copied()) {
            let settings = port.settings;
            let (role, state) = (port.role.name(), port.state().name());
            let _ = write!(out, "  {:<10} {role:<10} {state:<10} {:<8} ", port_name(name), settings.path_cost);
            let _ = writeln!(out, "{}.{}", settings.priority, settings.number);
        }
        out.push('\n');
        out
    }
}

fn identity(out: &mut String, id: u64, times: Times) {
    let address: Vec<String> = id.to_be_bytes()[2..].iter().map(|octet| format!("{octet:02x}")).collect();
    let _ = writeln!(out, "  stp-priority    {}", id >> 48);
    let _ = writeln!(out, "  stp-system-id   {}", address.join(":"));
    let _ = writeln!(out, "  stp-hello-time  {}s", times.hello);
    let _ = writeln!(out, "  stp-max-age     {}s", times.max_age);
    let _ = writeln!(out, "  stp-fwd-delay   {}s", times.forward);
}
