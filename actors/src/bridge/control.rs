//! Control commands that concern one bridge.

use l2proto::mac_learning::MacKey;
use ofproto::view::BundleId;
use openflow::OfPort;
use std::fmt::Write;

use super::Bridge;
use crate::clock;
use crate::port::device::{mac_text, parse_mac};

impl Bridge {
    pub(super) fn control(&mut self, name: &str, args: &[String]) -> Result<String, String> {
        match name {
            "fdb/show" => Ok(self.fdb_show()),
            "fdb/flush" => {
                self.core.macs.flush();
                self.core.macs_changed();
                Ok("table successfully flushed".to_owned())
            }
            "fdb/stats-show" => Ok(self.fdb_stats()),
            "fdb/stats-clear" => {
                self.core.macs.stats = l2proto::mac_learning::MacStats::default();
                Ok("statistics successfully cleared".to_owned())
            }
            "fdb/add" => self.fdb_add(args),
            "fdb/del" => self.fdb_del(args),
            _ => Err(format!("{name}: not supported")),
        }
    }

    /// The port that stands for a bundle in texts: its first.
    fn port_of(&self, bundle: u32) -> Option<OfPort> {
        self.core.view().bundles.get(&BundleId(bundle))?.ports.first().copied()
    }

    fn fdb_show(&self) -> String {
        let mut out = String::from(" port  VLAN  MAC                Age\n");
        for (key, entry, age_s) in self.core.macs.entries(clock::now_ms()) {
            let port = match self.port_of(entry.port) {
                Some(OfPort::LOCAL) => "LOCAL".to_owned(),
                Some(port) => port.0.to_string(),
                None => continue,
            };
            let age = if entry.is_static { "static".to_owned() } else { format!("{age_s:3}") };
            let _ = writeln!(out, "{port:>5}  {:4}  {}  {age}", key.vlan, mac_text(key.mac));
        }
        out
    }

    fn fdb_stats(&self) -> String {
        let stats = &self.core.macs.stats;
        let name = self.core.name();
        let dynamic = self.core.macs.len() as u64 - stats.static_entries;
        format!(
            "Statistics for bridge \"{name}\":\n  Current/maximum MAC entries in the table: {}/{}\n  Current static MAC entries in the table : {}\n  Total number of learned MAC entries     : {}\n  Total number of expired MAC entries     : {}\n  Total number of evicted MAC entries     : {}\n  Total number of port moved MAC entries  : {}\n",
            dynamic + stats.static_entries,
            self.core.macs.max_entries(),
            stats.static_entries,
            stats.learned,
            stats.expired,
            stats.evicted,
            stats.moved,
        )
    }

    fn vlan_and_mac(vlan: &str, mac: &str) -> Result<MacKey, String> {
        let vlan = vlan.parse::<u16>().ok().filter(|v| *v < 4096).ok_or_else(|| format!("Invalid VLAN {vlan}"))?;
        let mac = parse_mac(mac).ok_or_else(|| format!("Invalid MAC address '{mac}'"))?;
        Ok(MacKey { vlan, mac })
    }

    fn fdb_add(&mut self, args: &[String]) -> Result<String, String> {
        let [port, vlan, mac] = args else { return Err("wrong number of arguments".to_owned()) };
        let view = self.core.view();
        let bundle = view
            .ports
            .values()
            .find(|p| p.name == *port || p.port.0.to_string() == *port)
            .and_then(|p| p.bundle)
            .ok_or("no such port")?;
        let key = Self::vlan_and_mac(vlan, mac)?;
        if self.core.macs.add_static(key, bundle.0, clock::now_ms()) {
            self.core.macs_changed();
        }
        Ok(String::new())
    }

    fn fdb_del(&mut self, args: &[String]) -> Result<String, String> {
        let [vlan, mac] = args else { return Err("wrong number of arguments".to_owned()) };
        let key = Self::vlan_and_mac(vlan, mac)?;
        if self.core.macs.remove(&key).is_none() {
            return Err("no such MAC entry".to_owned());
        }
        self.core.macs_changed();
        Ok(String::new())
    }
}
