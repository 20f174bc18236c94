//! Control commands that concern one bridge.

use actix::prelude::*;
use futures::future::join_all;
use ofproto::rule::RuleStats;
use ofproto::view::show;
use ofproto::xlate::Effect;

use super::Bridge;
use crate::clock;
use crate::msg::bridge::{DumpFlows, Origins};

/// A VLAN as Open vSwitch reads it: 16 bits of the number count.
fn vlan_number(text: &str) -> u16 {
    crate::unixctl::leading_number(text) as u16
}

impl Bridge {
    pub(super) fn control(&mut self, name: &str, args: &[String]) -> Result<String, String> {
        let now_ms = clock::now_ms();
        match name {
            "fdb/show" => Ok(show::fdb_show(self.core.view(), &self.core.macs, now_ms)),
            "fdb/stats-show" => Ok(show::fdb_stats(self.core.view(), &self.core.macs)),
            "fdb/flush" => {
                self.core.macs.flush();
                self.core.macs_changed();
                Ok("table successfully flushed".to_owned())
            }
            "upcall/disable-megaflows" | "upcall/enable-megaflows" => {
                self.core.set_megaflows(name == "upcall/enable-megaflows");
                Ok(String::new())
            }
            "fdb/stats-clear" => {
                let stats = &mut self.core.macs.stats;
                (stats.learned, stats.expired, stats.evicted, stats.moved) = (0, 0, 0, 0);
                Ok("statistics successfully cleared".to_owned())
            }
            "fdb/add" => self.fdb_add(args, now_ms),
            "fdb/del" => {
                let [vlan, mac] = args else { return Err("wrong number of arguments".to_owned()) };
                show::fdb_del(&mut self.core.macs, vlan_number(vlan), mac)?;
                self.core.macs_changed();
                Ok(String::new())
            }
            "mdb/show" | "mdb/flush" => self.groups(name, now_ms),
            // Asked by the switch for all bridges: records of a name, a newline and a text, each ended by NUL.
            "bond/show" | "bond/list" | "lacp/show" | "lacp/show-stats" => {
                let texts = self.core.bonding_texts(name, now_ms);
                Ok(texts.into_iter().map(|(name, text)| format!("{name}\n{text}\0")).collect())
            }
            "stp/show" | "rstp/show" => {
                let text = self.core.spanning_text(name);
                Ok(text.map(|text| format!("{}\n{text}\0", self.core.name())).unwrap_or_default())
            }
            "stp/tcn" | "rstp/tcn" => {
                let done = self.core.spanning_change(name, now_ms);
                Ok(if done { "OK" } else { "" }.to_owned())
            }
            "bfd/show" | "cfm/show" => {
                let texts = self.core.liveness_texts(name, now_ms).into_iter();
                Ok(texts.map(|(port, text)| format!("{port}\n---- {port} ----\n{text}\0")).collect())
            }
            "autoattach/status" | "autoattach/show-isid" | "autoattach/statistics" => {
                Ok(self.core.lldp_texts(name).into_iter().map(|(port, text)| format!("{port}\n{text}\0")).collect())
            }
            "bfd/show-one" => {
                let texts = self.core.liveness_texts("bfd/show", now_ms).into_iter();
                Ok(texts.map(|(port, text)| format!("{port}\n{text}\0")).collect())
            }
            "bfd/set-forwarding" | "cfm/set-fault" => {
                let (port, word) = match args {
                    [word] => (None, word),
                    [port, word] => (Some(port.as_str()), word),
                    _ => return Err("wrong number of arguments".to_owned()),
                };
                let forced = (word != "normal").then(|| word == "true");
                let done = self.core.force_liveness(name, port, forced, now_ms);
                Ok(if done { "OK" } else { "" }.to_owned())
            }
            "bond/enable-member" | "bond/disable-member" | "bond/set-active-member" | "bond/migrate" => {
                match self.core.bond_command(name, args, now_ms) {
                    None => Ok(String::new()),
                    Some(answer) => answer.map(str::to_owned).map_err(str::to_owned),
                }
            }
            "bridge/reconnect" => {
                self.reconnect();
                Ok(String::new())
            }
            "ofproto/trace" => self.trace(args, false, now_ms),
            "ofproto/trace-packet-out" => self.trace(args, true, now_ms),
            _ => Err(format!("{name}: not supported")),
        }
    }

    fn groups(&mut self, command: &str, now_ms: i64) -> Result<String, String> {
        let groups = self.core.groups_heard.as_mut().ok_or("multicast snooping is disabled")?;
        if command == "mdb/flush" {
            groups.flush();
            self.core.macs_changed();
            return Ok("table successfully flushed".to_owned());
        }
        let groups = groups.clone();
        Ok(show::mdb_show(self.core.view(), &groups, now_ms))
    }

    fn fdb_add(&mut self, args: &[String], now_ms: i64) -> Result<String, String> {
        use l2proto::mac_learning::MacKey;
        let [port, vlan, mac] = args else { return Err("wrong number of arguments".to_owned()) };
        let vlan = vlan_number(vlan);
        let view = self.core.view();
        // An entry that is there already is told of, unless it was put there by hand and stays.
        let bundle = view.ports.values().find(|p| p.name == *port).and_then(|p| p.bundle);
        let key = crate::port::device::parse_mac(mac).map(|mac| MacKey { vlan, mac });
        let told = key
            .and_then(|key| self.core.macs.lookup(&key))
            .filter(|e| !e.is_static || Some(e.port) != bundle.map(|b| b.0))
            .and_then(|e| {
                let at = view.bundles.get(&ofproto::view::BundleId(e.port))?.ports.first()?;
                let kind = if e.is_static { "static" } else { "dynamic" };
                let at = if *at == openflow::OfPort::LOCAL { "LOCAL".to_owned() } else { at.0.to_string() };
                Some(format!("Overriding already existing {kind} entry on {at}\n"))
            });
        let view = view.clone();
        show::fdb_add(&view, &mut self.core.macs, port, vlan, mac, now_ms)?;
        self.core.macs_changed();
        Ok(told.unwrap_or_default())
    }

    /// Traces a packet through the pipeline; one that was given as octets teaches, and goes to controllers, as if it
    /// had come; it is not sent on. Tunnels' neighbours are asked for in any case.
    fn trace(&mut self, args: &[String], packet_out: bool, now_ms: i64) -> Result<String, String> {
        let view = self.core.live_view().clone();
        let request = ofproto::trace::parse(&view, args, packet_out)?;
        let id = request.key.recirc_id();
        // Of a packet that is given as a bridge has it the trace itself says so.
        let is_of_bridge = view.bridges.values().any(|bridge| args.contains(&bridge.name));
        if id != 0 && !is_of_bridge && self.core.recirc.get(id).is_none() && !view.is_bond(id) {
            return Err(format!("no recirculation data for recirc_id {id:#x}"));
        }
        let traced = ofproto::trace::run(&view, &request, &mut self.core.recirc, now_ms);
        let teaches = |e: &Effect| {
            use Effect as E;
            let lasts = matches!(e, E::MacLearn { .. } | E::Learn { .. } | E::McastSnoop { .. });
            lasts || matches!(e, E::NeighbourWanted { .. } | E::NeighbourHeard { .. })
        };
        let stats = RuleStats { used_ms: now_ms, ..RuleStats::default() };
        let taught: Vec<_> = traced.effects.into_iter().filter(teaches).map(|e| (e, stats)).collect();
        self.core.foreign(&taught, now_ms);
        self.core.execute_traced(&request, traced.executions);
        Ok(traced.text)
    }
}

impl Handler<DumpFlows> for Bridge {
    type Result = ResponseActFuture<Self, String>;

    fn handle(&mut self, m: DumpFlows, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        let asked = self.put_questions(self.core.dump_flows_questions());
        let answered = actix::fut::wrap_future::<_, Self>(join_all(asked)).map(move |answers, this, _| {
            let answers: Vec<_> = answers.into_iter().flatten().collect();
            this.core.dump_flows(&answers, m.offload, clock::now_ms())
        });
        Box::pin(answered)
    }
}

impl Handler<Origins> for Bridge {
    type Result = MessageResult<Origins>;

    fn handle(&mut self, m: Origins, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        MessageResult(m.0.into_iter().map(|ufid| self.core.origins(ufid)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::vlan_number;

    #[test]
    fn vlans_are_read_as_open_vswitch_reads_them() {
        for (text, vlan) in [("5", 5), (" +7x", 7), ("-1", 65_535), ("65537", 1), ("", 0), ("vlan", 0), ("--1", 0)] {
            assert_eq!(vlan_number(text), vlan, "{text:?}");
        }
    }
}
