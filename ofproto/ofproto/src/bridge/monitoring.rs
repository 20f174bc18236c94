//! A bridge's flow monitoring: its packets and counters for NetFlow and sFlow, and the datagrams that come of them.

use flow::{Key, Ufid};
use openflow::message::PortStats;
use openflow::message::port::port_feature;

use super::{Bridge, BridgeConfig, Output};
use crate::export::netflow::{Carried, FlowId};
use crate::export::sflow::{PortCounters, Sampled, SwitchCounters, Tag};
use crate::export::{Netflow, Sflow};
use crate::revalidate::CachedFlow;
use crate::rule::RuleStats;
use crate::xlate::Effect;

/// What monitors a bridge.
#[derive(Debug, Default)]
pub(super) struct Monitoring {
    netflow: Option<Netflow>,
    sflow: Option<Sflow>,
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
    }

    /// The datapath sampled a packet: `vlan_tci` and `output` are what it leaves with and where.
    pub(super) fn sampled(&mut self, key: &Key, frame: &[u8], (vlan_tci, output): (u16, u32), now_ms: i64) {
        let Some(sflow) = &mut self.monitoring.sflow else { return };
        let odp = key.in_port();
        let input = self.view.ports.values().find(|p| p.odp == Some(odp)).map_or(0, |p| p.ifindex);
        let (came, leaves) = (Tag::of(key.vlan_tci()), Tag::of(vlan_tci));
        sflow.sample(Sampled { input, output, came, leaves, frame }, now_ms);
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
        let at = netflow.into_iter().chain(sflow).min().filter(|at| *at < i64::MAX)?;
        Some((at, "flow monitoring is due"))
    }

    pub(super) fn run_monitoring(&mut self, now_ms: i64) {
        let mut datagrams = self.monitoring.netflow.as_mut().map(|n| n.run(now_ms)).unwrap_or_default();
        if let Some(sflow) = &mut self.monitoring.sflow {
            datagrams.extend(sflow.run(now_ms));
            if sflow.is_polled(now_ms) {
                let ports = self.view.ports.values().filter(|p| p.ifindex != 0).map(|p| p.port).collect();
                self.put(Output::Count(ports));
            }
        }
        if !datagrams.is_empty() {
            self.put(Output::Export(datagrams));
        }
    }

    /// Ports and the datapath have been counted.
    pub fn counted(&mut self, switch: SwitchCounters, stats: Vec<PortStats>, now_ms: i64) {
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

/// Speed of a device that does not tell its own.
const DEFAULT_SPEED_BPS: u64 = 100_000_000;
