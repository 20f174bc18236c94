//! LLDP on a bridge's ports: machines of `l2proto`, fed with frames, and what control commands tell of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use l2proto::lldp::{self, Lldp};
use openflow::OfPort;

use super::Bridge;

impl Bridge {
    /// Takes over what is configured.
    pub(super) fn configure_lldp(&mut self, now_ms: i64) {
        let config = &self.config.lldp;
        self.lldps.retain(|port, _| config.contains_key(port));
        for (port, settings) in config {
            match self.lldps.get_mut(port) {
                Some(machine) => machine.configure(settings.clone()),
                None => drop(self.lldps.insert(*port, Lldp::new(settings.clone(), now_ms))),
            }
        }
    }

    pub(super) fn lldp_timeout(&self) -> Option<(i64, &'static str)> {
        self.lldps.values().map(Lldp::poll_timeout).min().map(|at| (at, "LLDP tells of its port"))
    }

    pub(super) fn run_lldp(&mut self, now_ms: i64) {
        let sent: Vec<(OfPort, Vec<u8>)> =
            self.lldps.iter_mut().filter_map(|(port, machine)| Some((*port, machine.run(now_ms)?))).collect();
        for (port, payload) in sent {
            self.send_frame(port, lldp::GROUP, lldp::ETHERTYPE, &payload);
        }
    }

    pub(super) fn hear_lldp(&mut self, port: OfPort, payload: &[u8]) {
        if let Some(machine) = self.lldps.get_mut(&port) {
            machine.hear(payload);
        }
    }

    /// Texts of an `autoattach/...` command by the names of ports.
    pub fn lldp_texts(&self, command: &str) -> BTreeMap<&str, String> {
        let text = match command {
            "autoattach/status" => servers,
            "autoattach/show-isid" => services,
            _ => statistics,
        };
        self.lldps.values().map(|machine| (machine.name(), text(machine))).collect()
    }
}

fn servers(machine: &Lldp) -> String {
    let mut out = format!("LLDP: {}\n", machine.name());
    let address = |octets: &[u8]| octets.iter().map(|o| format!("{o:02x}")).collect::<Vec<_>>().join(":");
    for (neighbour, system_id) in machine.servers() {
        let id = address(neighbour.chassis.get(1..).unwrap_or_default());
        let (description, system_id) = (&neighbour.description, address(system_id));
        let _ = writeln!(out, "  Auto Attach Primary Server Id: {id}");
        let _ = writeln!(out, "  Auto Attach Primary Server Descr: {description}");
        // Two octets more than there are.
        let _ = writeln!(out, "  Auto Attach Primary Server System Id: {system_id}:00:00");
    }
    out
}

fn services(machine: &Lldp) -> String {
    let mut out = format!("LLDP: {}\n", machine.name());
    let _ = writeln!(out, "{:<8} {:<4} {:<11} {:<8}", "I-SID", "VLAN", "Source", "Status");
    let _ = writeln!(out, "{:-<8} {:-<4} {:-<11} {:-<8}", "", "", "", "");
    for (service, vlan, status) in machine.services() {
        let _ = writeln!(out, "{service:<8} {vlan:<4} {:<11} {:<11}", "Switch", status.text());
    }
    out
}

fn statistics(machine: &Lldp) -> String {
    let counters = machine.counters();
    let mut out = format!("Statistics: {}\n", machine.name());
    for (name, n) in [
        ("tx", counters.sent),
        ("rx", counters.received),
        ("rx discarded", counters.discarded),
        ("rx unrecognized", counters.unrecognized),
        // Neighbours are neither forgotten by age nor otherwise.
        ("ageout", 0),
        ("insert", counters.inserted),
        ("delete", 0),
        ("drop", counters.dropped),
    ] {
        let _ = writeln!(out, "  {name} cnt: {n}");
    }
    out
}
