//! A bridge's flow monitoring: its packets and counters for NetFlow, sFlow and IPFIX, and the datagrams that come of them.

use std::collections::BTreeMap;

use flow::odp::Cookie;
use flow::{Key, OdpPort, Ufid};
use openflow::OfPort;
use openflow::message::port::port_feature;
use openflow::message::{IpfixStats, PortStats};

use super::{Bridge, BridgeConfig, CountFor, Output};
use crate::export::extended::{Extended, Outer};
use crate::export::ipfix::{Exporter, Interface, Sample, Tunnel};
use crate::export::netflow::{Carried, FlowId};
use crate::export::sflow::{self, PortCounters, Sampled, SwitchCounters, Tag};
use crate::export::{Datagram, IpfixConfig, Netflow, Sflow};
use crate::revalidate::CachedFlow;
use crate::rule::RuleStats;
use crate::view::IpfixView;
use crate::xlate::{Effect, resolve};

/// What monitors a bridge.
#[derive(Debug, Default)]
pub(super) struct Monitoring {
    netflow: Option<Netflow>,
    sflow: Option<Sflow>,
    ipfix: Option<Exporter>,
    /// By collector set.
    flow_ipfix: BTreeMap<u32, Exporter>,
    /// Collector sets' exporters made so far, which number the next.
    exporters: u32,
    /// What an exporter that is gone had left to say.
    last_words: Vec<Datagram>,
}

impl Bridge {
    pub(super) fn configure_monitoring(&mut self, config: &BridgeConfig, now_ms: i64) {
        self.view.netflow = config.netflow.is_some();
        self.view.sflow = config.sflow.as_ref().map(crate::export::SflowConfig::probability);
        let own = &mut self.monitoring;
        match (&mut own.netflow, &config.netflow) {
            (Some(netflow), Some(wanted)) => netflow.configure(wanted.clone()),
            (netflow, wanted) => *netflow = wanted.clone().map(|wanted| Netflow::new(wanted, now_ms)),
        }
        // Changed settings begin anew, as numbers of samples make sense under the old ones alone.
        if own.sflow.as_ref().map(Sflow::config) != config.sflow.as_ref() {
            own.sflow = config.sflow.clone().map(|wanted| Sflow::new(wanted, now_ms));
        }
        self.configure_ipfix(config, now_ms);
    }

    fn configure_ipfix(&mut self, config: &BridgeConfig, now_ms: i64) {
        let probability = |when: fn(&IpfixConfig) -> bool| {
            config.ipfix.as_ref().filter(|ipfix| when(ipfix)).map(IpfixConfig::probability)
        };
        self.view.ipfix = IpfixView {
            input: probability(|ipfix| ipfix.input),
            output: probability(|ipfix| ipfix.output),
            tunnels: config.ipfix.as_ref().is_some_and(|ipfix| ipfix.tunnels),
            samples: config.ipfix.is_some() || !config.flow_ipfix.is_empty(),
        };
        let own = &mut self.monitoring;
        let mut last_words = Vec::new();
        match (&mut own.ipfix, &config.ipfix) {
            (Some(exporter), Some(wanted)) => exporter.configure(wanted.clone()),
            (None, Some(wanted)) => own.ipfix = Some(Exporter::new(wanted.clone(), None, BRIDGE_PROCESS)),
            (exporter, None) => last_words.extend(exporter.take().map(|e| e.end(now_ms)).into_iter().flatten()),
        }
        let gone: Vec<u32> = own.flow_ipfix.keys().filter(|id| !config.flow_ipfix.contains_key(id)).copied().collect();
        for id in gone {
            last_words.extend(own.flow_ipfix.remove(&id).map(|e| e.end(now_ms)).into_iter().flatten());
        }
        for (id, wanted) in &config.flow_ipfix {
            if let Some(exporter) = own.flow_ipfix.get_mut(id) {
                exporter.configure(wanted.clone());
            } else {
                own.exporters += 1;
                own.flow_ipfix.insert(*id, Exporter::new(wanted.clone(), Some(*id), BRIDGE_PROCESS + own.exporters));
            }
        }
        own.last_words.append(&mut last_words);
    }

    /// The datapath sampled a packet of `len` octets for IPFIX.
    pub(super) fn sampled_for_ipfix(&mut self, cookie: &Cookie, sampled: &Key, len: usize, now_ms: i64) {
        self.live_view();
        let mut key = sampled.clone();
        let Some(bridge) = resolve(&self.live, &mut key) else { return };
        let in_port = OfPort::from_11(key.in_port());
        let input = in_port.filter(|_| bridge == self.view.id).and_then(|port| self.view.ports.get(&port));
        let of_odp = |odp: OdpPort| self.live.port(*self.live.odp_ports.get(&odp)?);
        let own = &mut self.monitoring;
        let (exporter, domain, point, out, drops) = match cookie {
            Cookie::Ipfix { output_odp_port, drops } => {
                let Some(exporter) = &mut own.ipfix else { return };
                let (domain, point) = (exporter.config().domain, exporter.config().point);
                (exporter, domain, point, of_odp(*output_odp_port), *drops)
            }
            Cookie::FlowSample(sample) => {
                let Some(exporter) = own.flow_ipfix.get_mut(&sample.collector_set_id) else { return };
                let out = if sample.direction == FLOW_INGRESS { None } else { of_odp(sample.output_odp_port) };
                (exporter, sample.obs_domain_id, sample.obs_point_id, out, sample.drops)
            }
            _ => return,
        };
        let interface = |ifindex: u32, name| Interface { ifindex, name };
        let came_by = input.and_then(|port| port.tunnel()).filter(|_| exporter.config().tunnels && out.is_none());
        let sample = Sample {
            key: sampled,
            len,
            domain,
            point,
            input: input.map(|port| interface(port.ifindex, &port.name)).unwrap_or_default(),
            output: out.map(|port| interface(port.ifindex, &port.name)),
            tunnel: came_by.and_then(|tunnel| Tunnel::of(tunnel.kind)),
            drops,
        };
        exporter.sample(&sample, now_ms);
    }

    /// Counters of the bridge's own IPFIX exporter, if it has one.
    pub(super) fn ipfix_stats(&self) -> Option<IpfixStats> {
        self.monitoring.ipfix.as_ref().map(Exporter::stats)
    }

    /// Counters of the collector sets' exporters, if there are any.
    pub(super) fn flow_ipfix_stats(&self) -> Option<Vec<IpfixStats>> {
        let stats: Vec<IpfixStats> = self.monitoring.flow_ipfix.values().map(Exporter::stats).collect();
        (!stats.is_empty()).then_some(stats)
    }

    /// Datagrams could not be sent: how many, by the exporter they were from.
    pub fn export_failed(&mut self, failed: &BTreeMap<Option<u32>, u64>) {
        let own = &mut self.monitoring;
        for (source, n) in failed {
            let exporter = match source {
                None => own.ipfix.as_mut(),
                Some(id) => own.flow_ipfix.get_mut(id),
            };
            if let Some(exporter) = exporter {
                exporter.failed(*n);
            }
        }
    }

    /// The datapath sampled a packet: `vlan_tci` and `output` are what it leaves with and where.
    pub(super) fn sampled(&mut self, key: &Key, frame: &[u8], (vlan_tci, output): (u16, u32), now_ms: i64) {
        if self.monitoring.sflow.is_none() {
            return;
        }
        let odp = key.in_port();
        let by = self.view.ports.values().find(|p| p.odp == Some(odp));
        let input = by.map_or(0, |p| p.ifindex);
        let opened = by.and_then(|p| p.tunnel()).and_then(|config| crate::xlate::listening(config));
        let came = opened.and_then(|(proto, port)| Outer::of_key(key, proto, port.unwrap_or(0)));
        let mut extended = Extended { came, ..Extended::default() };
        // What happens to the packet is found out again: samples are few, and all else has no use for it.
        let leaves_once = output >> 30 == 0 || output == sflow::output::several(1);
        if leaves_once && let Some(translation) = self.translate_key(key, None, now_ms) {
            extended.follow(key, &translation.actions);
            self.recirc.release(&translation.recircs, now_ms);
        }
        let Some(sflow) = &mut self.monitoring.sflow else { return };
        let (came, leaves) = (Tag::of(key.vlan_tci()), Tag::of(vlan_tci));
        sflow.sample(Sampled { input, output, came, leaves, frame, extended: &extended }, now_ms);
    }

    pub(super) fn count_netflow(&mut self, id: &FlowId, out: u16, stats: RuleStats, tcp_flags: u16, now_ms: i64) {
        let Some(netflow) = &mut self.monitoring.netflow else { return };
        let carried = Carried { packets: stats.packets, octets: stats.bytes, used_ms: stats.used_ms, tcp_flags };
        netflow.update(id, out, carried, now_ms);
    }

    /// A cached flow ends or is judged anew: what NetFlow counted of it is told.
    pub(super) fn end_netflow(&mut self, ufid: Ufid, now_ms: i64) {
        let Some(netflow) = &mut self.monitoring.netflow else { return };
        for effect in self.flows.get(ufid).map_or(&[][..], CachedFlow::effects) {
            if let Effect::Netflow { flow, .. } = effect {
                netflow.end(flow, now_ms);
            }
        }
    }

    pub(super) fn monitoring_timeout(&self) -> Option<(i64, &'static str)> {
        let netflow = self.monitoring.netflow.as_ref().map(Netflow::poll_timeout);
        let sflow = self.monitoring.sflow.as_ref().map(Sflow::poll_timeout);
        let exporters = self.monitoring.ipfix.iter().chain(self.monitoring.flow_ipfix.values());
        let ipfix = exporters.map(Exporter::poll_timeout).min();
        let left = (!self.monitoring.last_words.is_empty()).then_some(0);
        let at = netflow.into_iter().chain(sflow).chain(ipfix).chain(left).min().filter(|at| *at < i64::MAX)?;
        Some((at, "flow monitoring is due"))
    }

    pub(super) fn run_monitoring(&mut self, now_ms: i64) {
        let mut datagrams = self.monitoring.netflow.as_mut().map(|n| n.run(now_ms)).unwrap_or_default();
        if let Some(sflow) = &mut self.monitoring.sflow {
            datagrams.extend(sflow.run(now_ms));
            if sflow.is_polled() {
                let ports = self.view.ports.values().filter(|p| p.ifindex != 0).map(|p| p.port).collect();
                self.put(Output::Count(CountFor::Collectors, ports));
            }
        }
        datagrams.append(&mut self.monitoring.last_words);
        for exporter in self.monitoring.ipfix.iter_mut().chain(self.monitoring.flow_ipfix.values_mut()) {
            datagrams.extend(exporter.run(now_ms));
        }
        if !datagrams.is_empty() {
            self.put(Output::Export(datagrams));
        }
    }

    /// Ports and the datapath have been counted, for whom [`Output::Count`] said; nothing is known of ports that could not be.
    pub fn counted(
        &mut self,
        whose: CountFor,
        asked: &[OfPort],
        switch: SwitchCounters,
        stats: Vec<PortStats>,
        now_ms: i64,
    ) {
        match whose {
            CountFor::Liveness => self.counted_for_liveness(asked, &stats, now_ms),
            CountFor::Collectors => self.report_counters(switch, stats, now_ms),
        }
    }

    fn report_counters(&mut self, switch: SwitchCounters, stats: Vec<PortStats>, now_ms: i64) {
        let dpid = self.config.datapath_id;
        let counters = |stats: PortStats| {
            let view = self.view.ports.get(&stats.port).filter(|p| p.ifindex != 0)?;
            let config = self.config.ports.get(&stats.port)?;
            let has = |features: u32| config.desc.curr & features != 0;
            let half = port_feature::HD_10MB | port_feature::HD_100MB | port_feature::HD_1GB;
            let direction = if has(half) { 2 } else { u32::from(config.desc.curr_speed > 0) };
            let is_up = config.desc.config & openflow::message::port::port_config::PORT_DOWN == 0;
            Some(PortCounters {
                name: view.name.clone(),
                port: stats.port,
                ifindex: view.ifindex,
                speed_bps: match config.desc.curr_speed {
                    0 => DEFAULT_SPEED_BPS,
                    kbps => u64::from(kbps) * 1000,
                },
                direction,
                status: u32::from(is_up) | u32::from(view.link_up) << 1,
                lacp: self.lacp_counters(stats.port),
                stats,
            })
        };
        let ports: Vec<PortCounters> = stats.into_iter().filter_map(counters).collect();
        if let Some(sflow) = &mut self.monitoring.sflow {
            sflow.report(switch, dpid, &ports, now_ms);
        }
        self.run_monitoring(now_ms);
    }
}

/// The bridge's own IPFIX exporter as an exporting process; those of collector sets follow.
const BRIDGE_PROCESS: u32 = 1;
/// [`flow::odp::FlowSampleCookie::direction`] of a sample that is told as coming in.
const FLOW_INGRESS: u8 = 1;
/// Speed of a device that does not tell its own.
const DEFAULT_SPEED_BPS: u64 = 100_000_000;
