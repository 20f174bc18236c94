//! What the database says of a bridge, ready to be applied.

use std::collections::BTreeMap;
use std::sync::Arc;

use l2proto::mcast_snooping::{McastConfig, McastTable};
use openflow::OfPort;
use openflow::message::PortDesc;
use openflow::message::port::port_config;

use super::{Bridge, BundleSettings, LivenessConfig, Output, SpanningConfig};
use crate::export::{IpfixConfig, NetflowConfig, SflowConfig};
use crate::table::TableConfig;
use crate::view::{BundleId, BundleView, MirrorView, PacketTypeMode, PortView, VlanSet};

/// A port to have.
#[derive(Clone, Debug, PartialEq)]
pub struct PortConfig {
    /// As translation sees it; its `config` bits are the bridge's own matter.
    pub view: PortView,
    /// As controllers see it; likewise.
    pub desc: PortDesc,
    /// Kind of device, as `dpif/show` prints it: `system`, `internal`, `patch`, `dummy`.
    pub kind: String,
}

/// A bridge to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BridgeConfig {
    /// Name.
    pub name: String,
    /// Row of the database.
    pub uuid: u128,
    /// Datapath identifier, 64 bits.
    pub datapath_id: u64,
    /// Ethernet address of the local port, 48 bits.
    pub hw_addr: u64,
    /// Description for OFPMP_DESC: manufacturer, hardware, software, serial number, datapath.
    pub desc: openflow::message::SwitchDesc,
    /// `fail_mode=secure`.
    pub fail_secure: bool,
    /// Ports by number.
    pub ports: BTreeMap<OfPort, PortConfig>,
    /// Bundles.
    pub bundles: BTreeMap<BundleId, BundleView>,
    /// Mirrors.
    pub mirrors: Vec<MirrorView>,
    /// Flow_Table rows by table.
    pub tables: BTreeMap<u8, TableConfig>,
    /// VLANs in which nothing is learned and everything is flooded.
    pub flood_vlans: VlanSet,
    /// Forward reserved multicast.
    pub forward_bpdu: bool,
    /// Seconds.
    pub mac_aging_s: u32,
    /// Entries.
    pub mac_table_size: usize,
    /// Multicast snooping.
    pub mcast: Option<McastConfig>,
    /// Spanning tree.
    pub spanning: SpanningConfig,
    /// BFD and CFM by port.
    pub liveness: BTreeMap<OfPort, LivenessConfig>,
    /// LLDP by port.
    pub lldp: BTreeMap<OfPort, l2proto::lldp::Settings>,
    /// Bonds and LACP.
    pub bundle_settings: BTreeMap<BundleId, BundleSettings>,
    /// Timeout policies of connection tracking, by zone: the datapath's number.
    pub ct_timeouts: BTreeMap<u16, u32>,
    /// NetFlow.
    pub netflow: Option<NetflowConfig>,
    /// sFlow.
    pub sflow: Option<SflowConfig>,
    /// IPFIX of all packets.
    pub ipfix: Option<IpfixConfig>,
    /// IPFIX of what `sample` actions sample, by collector set.
    pub flow_ipfix: BTreeMap<u32, IpfixConfig>,
    /// How long a bundle may be left alone, seconds; 0 for the usual.
    pub bundle_idle_s: u32,
    /// Upcalls are to be answered by dropping until this is over.
    pub flow_restore_wait: bool,
}

impl Bridge {
    /// Applies a configuration.
    pub fn configure(&mut self, config: BridgeConfig, now_ms: i64) {
        self.set_now(now_ms);
        self.dirty = true;
        self.events.configurations += 1;
        let secure_changed = config.fail_secure != self.config.fail_secure;
        self.configure_ports(&config, now_ms);
        self.configure_bundles(&config);
        let stays = |index: &u8| {
            let name = |mirrors: &[MirrorView]| mirrors.iter().find(|m| m.index == *index).map(|m| m.name.clone());
            name(&self.config.mirrors) == name(&config.mirrors)
        };
        self.mirror_stats.retain(|index, _| stays(index));
        self.view.mirrors = config.mirrors.iter().cloned().map(std::sync::Arc::new).collect();
        self.view.flood_vlans = config.flood_vlans.clone();
        self.view.forward_bpdu = config.forward_bpdu;
        self.view.ct_timeouts = config.ct_timeouts.clone();
        self.view.flow_restore_wait = config.flow_restore_wait;
        self.view.hw_addr = config.hw_addr;
        self.view.uuid = config.uuid;
        self.set_bundle_idle_timeout(config.bundle_idle_s);
        self.macs.set_idle_time(config.mac_aging_s);
        self.macs.set_max_entries(config.mac_table_size);
        if config.tables != self.config.tables {
            let ids: std::collections::BTreeSet<u8> =
                self.config.tables.keys().chain(config.tables.keys()).copied().collect();
            let before: Vec<_> = ids.iter().map(|id| self.table_config(*id)).collect();
            self.config.tables.clone_from(&config.tables);
            for (id, before) in ids.into_iter().zip(before) {
                let wanted = self.table_config(id);
                if before != wanted {
                    self.put_awaited(Output::ConfigureTable { table: id, config: wanted });
                }
            }
        }
        self.configure_snooping(&config);
        self.configure_monitoring(&config, now_ms);
        self.config = config;
        let settings = std::mem::take(&mut self.config.bundle_settings);
        self.configure_lldp(now_ms);
        self.configure_liveness(now_ms);
        self.configure_bonding(&settings, now_ms);
        self.config.bundle_settings = settings;
        self.configure_spanning(now_ms);
        if secure_changed {
            self.mode_changed = true;
            self.update_fail_open();
        }
        self.update_in_band();
        self.run_controllers();
    }

    fn configure_snooping(&mut self, config: &BridgeConfig) {
        let Some(wanted) = config.mcast else {
            self.groups_heard = None;
            return;
        };
        let groups = self.groups_heard.get_or_insert_with(McastTable::default);
        let flagged = |flag: fn(&PortView) -> bool| {
            config.ports.values().filter(|p| flag(&p.view)).filter_map(|p| Some(p.view.bundle?.0)).collect()
        };
        groups.configure(wanted, flagged(|p| p.mcast_flood), flagged(|p| p.mcast_flood_reports));
        for id in self.config.bundle_settings.keys().filter(|id| !config.bundle_settings.contains_key(id)) {
            groups.flush_port(id.0);
        }
    }

    fn configure_bundles(&mut self, config: &BridgeConfig) {
        let is_gone = |id: &BundleId| self.view.bundles.contains_key(id) && !config.bundles.contains_key(id);
        if self.view.bundles.keys().any(is_gone) {
            let stations = self.macs.entries(0).filter(|(_, entry, _)| is_gone(&BundleId(entry.port)));
            let gone: Vec<_> = stations.map(|(key, ..)| key).collect();
            if !gone.is_empty() {
                self.put(Output::StationsGone(gone));
            }
        }
        for (id, old) in &self.view.bundles {
            if config.bundles.get(id).is_none_or(|new| new.treats_otherwise(old)) {
                self.macs.flush_port(id.0, true);
                if let Some(groups) = &mut self.groups_heard {
                    groups.flush_port(id.0);
                }
            }
        }
        if config.flood_vlans != self.view.flood_vlans {
            self.macs.flush();
            self.groups_heard.iter_mut().for_each(McastTable::flush);
        }
        let bundle = |(id, wanted): (&BundleId, &BundleView)| {
            let now = self.view.bundles.get(id);
            if let Some(now) = now.filter(|_| self.config.bundles.get(id) == Some(wanted)) {
                return (*id, now.clone());
            }
            // The bond's machine says what becomes of it.
            let bond = now.and_then(|now| now.bond.clone());
            (*id, Arc::new(BundleView { bond, ..wanted.clone() }))
        };
        self.view.bundles = config.bundles.iter().map(bundle).collect();
        self.update_floodable();
    }

    /// A bundle is flooded to unless a controller took one of its ports out, or one carries no Ethernet headers.
    pub(super) fn update_floodable(&mut self) {
        for bundle in self.view.bundles.values_mut() {
            let excluded = |p: &OfPort| {
                let bits = self.port_bits.get(p).copied().unwrap_or(0);
                let mode = self.view.ports.get(p).map_or(PacketTypeMode::default(), |p| p.packet_type_mode);
                bits & port_config::NO_FLOOD != 0 || mode == PacketTypeMode::LegacyL3
            };
            let floodable = !bundle.ports.iter().any(excluded);
            if bundle.floodable != floodable {
                std::sync::Arc::make_mut(bundle).floodable = floodable;
            }
        }
    }

    fn configure_ports(&mut self, config: &BridgeConfig, now_ms: i64) {
        let gone: Vec<OfPort> = self.config.ports.keys().filter(|p| !config.ports.contains_key(p)).copied().collect();
        for port in gone {
            let Some(old) = self.config.ports.remove(&port) else { continue };
            self.events.ports_updated += 1;
            self.tell_port_gone(&old);
            self.note_tree_left(port);
            Arc::make_mut(&mut self.view.port_order).remove(port);
            self.view.ports.remove(&port);
            self.port_bits.remove(&port);
            self.port_since.remove(&port);
        }
        let mut new = config.ports.iter().filter(|(number, _)| !self.config.ports.contains_key(number)).peekable();
        if new.peek().is_some() {
            let new = new.map(|(number, wanted)| (*number, wanted.desc.name.as_str()));
            Arc::make_mut(&mut self.view.port_order).add(new);
        }
        for (number, wanted) in &config.ports {
            if self.config.ports.get(number) == Some(wanted) && self.view.ports.contains_key(number) {
                continue;
            }
            let old = self.config.ports.get(number).cloned();
            let old_desc = old.as_ref().map(|o| self.port_desc(o));
            if old.as_ref().is_some_and(|o| o.desc.name != wanted.desc.name) {
                self.port_bits.remove(number);
            }
            self.port_since.entry(*number).or_insert(now_ms);
            let mut view = wanted.view.clone();
            view.config = self.port_bits.get(number).copied().unwrap_or(0);
            if let Some(now) = self.view.ports.get(number) {
                // The protocols' machines have the say, and speak below; a link by itself is fit as soon as it is up.
                (view.lacp, view.bfd, view.cfm, view.stp) = (now.lacp, now.bfd, now.cfm, now.stp);
                if view.link_up == now.link_up || (view.link_up && now.lacp) {
                    view.may_enable = now.may_enable;
                }
            }
            self.events.ports_updated += 1;
            if old.as_ref().is_some_and(|old| old.view.link_up != wanted.view.link_up) {
                self.events.port_changes += 1;
            }
            self.view.ports.insert(*number, std::sync::Arc::new(view));
            match old {
                None => self.tell_port_new(wanted),
                Some(old) if old.desc.name != wanted.desc.name => {
                    self.tell_port_gone(&old);
                    self.tell_port_new(wanted);
                }
                Some(_) => {
                    if let Some(old_desc) = old_desc {
                        self.tell_port_changed(old_desc, wanted);
                    }
                }
            }
        }
    }
}
