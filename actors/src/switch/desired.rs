//! What the database asks for, as plain values: read once from a replica, compared and applied by the switch.

use ::idl::Replica;
use ::idl::vswitch as ovs;
use openflow::VersionSet;
use ovsdb::Uuid;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// String pairs of a column.
pub type Pairs = BTreeMap<String, String>;

/// A value that the switch itself writes: it is remembered, but a change of it is no wish.
#[derive(Debug, Clone, Copy, Default)]
pub struct Remembered<T>(pub T);

impl<T> PartialEq for Remembered<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Remembered<T> {}

/// The whole configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DesiredSwitch {
    /// Row of Open_vSwitch; `None` while the database is empty.
    pub root: Option<Uuid>,
    /// Sequence number of the configuration.
    pub next_cfg: i64,
    /// `other_config`.
    pub other_config: Pairs,
    /// Bridges by name.
    pub bridges: BTreeMap<String, DesiredBridge>,
    /// Rows of Datapath by type.
    pub datapaths: BTreeMap<String, Uuid>,
    /// Timeouts of tracked connections by datapath type.
    pub ct_zones: BTreeMap<String, super::ct_zones::Zones>,
    /// Files of the SSL row: key, certificate, CA certificate, bootstrap.
    pub ssl: Option<(String, String, String, bool)>,
}

/// A bridge.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DesiredBridge {
    /// Row.
    pub uuid: Uuid,
    /// Name.
    pub name: String,
    /// `system` if empty.
    pub datapath_type: String,
    /// `fail_mode=secure`.
    pub fail_secure: bool,
    /// `other_config`.
    pub other_config: Pairs,
    /// Flow tables by number.
    pub flow_tables: BTreeMap<i64, DesiredTable>,
    /// Versions that controllers may speak.
    pub protocols: VersionSet,
    /// Ports by name.
    pub ports: BTreeMap<String, Arc<DesiredPort>>,
    /// Mirrors.
    pub mirrors: Vec<DesiredMirror>,
    /// VLANs.
    pub flood_vlans: Vec<i64>,
    /// Controllers.
    pub controllers: DesiredControllers,
    /// `mcast_snooping_enable`.
    pub mcast_snooping: bool,
    /// What its ports tell by LLDP.
    pub auto_attach: Option<DesiredAutoAttach>,
    /// NetFlow.
    pub netflow: Option<DesiredNetflow>,
    /// sFlow.
    pub sflow: Option<DesiredSflow>,
    /// IPFIX.
    pub ipfix: Option<DesiredIpfix>,
    /// IPFIX of collector sets by their numbers.
    pub flow_ipfix: BTreeMap<i64, DesiredIpfix>,
    /// `stp_enable`.
    pub stp_enable: bool,
    /// `rstp_enable`.
    pub rstp_enable: bool,
}

/// A row of AutoAttach.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DesiredAutoAttach {
    /// System name to announce.
    pub system_name: String,
    /// System description to announce.
    pub system_description: String,
    /// VLANs (1 to 4095) by their I-SID (24 bits).
    pub mappings: BTreeMap<i64, i64>,
}

/// A row of NetFlow.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DesiredNetflow {
    /// Collectors, `HOST:PORT` each.
    pub targets: Vec<String>,
    /// 8 bits; the default is the datapath's number.
    pub engine_id: Option<i64>,
    /// 8 bits; the default as for the engine's number.
    pub engine_type: Option<i64>,
    /// The engine's number takes the upper 7 bits of a record's interfaces.
    pub add_id_to_interface: bool,
    /// A flow is told of after so many seconds; 0: the default, -1: not before its end.
    pub active_timeout_s: i64,
}

/// A row of sFlow.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DesiredSflow {
    /// Collectors, `HOST[:PORT]` each.
    pub targets: Vec<String>,
    /// Device whose address the agent has.
    pub agent: Option<String>,
    /// One packet in so many is sampled.
    pub sampling: Option<i64>,
    /// Seconds between counter samples.
    pub polling_s: Option<i64>,
    /// Octets of a sampled packet that are sent.
    pub header: Option<i64>,
}

/// A row of IPFIX.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DesiredIpfix {
    /// Collectors, `HOST:PORT` each.
    pub targets: Vec<String>,
    /// One packet in so many is sampled; 0: none.
    pub sampling: Option<i64>,
    /// Observation domain, 32 bits.
    pub obs_domain_id: Option<i64>,
    /// Observation point, 32 bits.
    pub obs_point_id: Option<i64>,
    /// Seconds after which a flow's record is sent; 0: no cache.
    pub cache_active_timeout_s: Option<i64>,
    /// Flow records kept; 0: no cache.
    pub cache_max_flows: Option<i64>,
    /// The column of this name.
    pub other_config: Pairs,
}

impl DesiredIpfix {
    fn read(row: &ovs::IPFIX<'_>) -> Self {
        Self {
            targets: row.targets().into_iter().map(str::to_owned).collect(),
            sampling: row.sampling(),
            obs_domain_id: row.obs_domain_id(),
            obs_point_id: row.obs_point_id(),
            cache_active_timeout_s: row.cache_active_timeout(),
            cache_max_flows: row.cache_max_flows(),
            other_config: pairs(&row.other_config()),
        }
    }
}

/// A flow table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DesiredTable {
    /// Name that OpenFlow tells.
    pub name: Option<String>,
    /// Most rules of the table.
    pub flow_limit: Option<i64>,
    /// `refuse` or `evict`.
    pub overflow_policy: Option<String>,
    /// Subfields whose values make the groups that eviction takes from in turn.
    pub groups: Vec<String>,
    /// Fields with prefix tries.
    pub prefixes: Vec<String>,
}

/// A port: one interface, or a bond of several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DesiredPort {
    /// The row.
    pub uuid: Uuid,
    /// Name, one of its kind in the database.
    pub name: String,
    /// VLAN of an access or native port.
    pub tag: Option<i64>,
    /// VLANs that the port carries; none: all.
    pub trunks: Vec<i64>,
    /// Inner VLANs that a `dot1q-tunnel` port carries; none: all.
    pub cvlans: Vec<i64>,
    /// `access`, `trunk`, `native-tagged`, `native-untagged` or `dot1q-tunnel`.
    pub vlan_mode: Option<String>,
    /// `active-backup`, `balance-slb` or `balance-tcp`.
    pub bond_mode: Option<String>,
    /// Milliseconds that a link has to be up before it is used.
    pub bond_updelay_ms: i64,
    /// Milliseconds that a link has to be down before it is left.
    pub bond_downdelay_ms: i64,
    /// Address of the active member, as the switch itself wrote it.
    pub bond_active: Remembered<Option<String>>,
    /// `active`, `passive` or `off`.
    pub lacp: Option<String>,
    /// Protected ports forward nothing to each other.
    pub protected: bool,
    /// Address of the port, for a local port.
    pub mac: Option<String>,
    /// The column of this name.
    pub other_config: Pairs,
    /// Quality of service of the port's devices.
    pub qos: Option<DesiredQos>,
    /// The port's interfaces by name; two or more are a bond.
    pub interfaces: BTreeMap<String, Arc<DesiredInterface>>,
}

/// Quality of service of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredQos {
    /// Type, such as `linux-htb`.
    pub kind: String,
    /// The column of this name.
    pub other_config: Pairs,
    /// Number, DSCP, settings.
    pub queues: BTreeMap<i64, (Option<i64>, Pairs)>,
}

/// An interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DesiredInterface {
    /// The row.
    pub uuid: Uuid,
    /// Name, one of its kind in the database.
    pub name: String,
    /// `system` if empty; the bridge's own is `internal`.
    pub kind: String,
    /// The column of this name.
    pub options: Pairs,
    /// The column of this name.
    pub other_config: Pairs,
    /// The column of this name.
    pub external_ids: Pairs,
    /// OpenFlow port number that is asked for.
    pub ofport_request: Option<i64>,
    /// What the column `ofport` says: kept over a restart.
    pub ofport: Remembered<Option<i64>>,
    /// Address that is asked for.
    pub mac: Option<String>,
    /// MTU that is asked for, in octets.
    pub mtu_request: Option<i64>,
    /// The column of this name.
    pub bfd: Pairs,
    /// Maintenance point of 802.1ag, 1 to 8191; none: no CFM.
    pub cfm_mpid: Option<i64>,
    /// The column of this name.
    pub lldp: Pairs,
    /// Most that may come in, in kilobits a second; 0: all.
    pub policing_rate_kbps: i64,
    /// Burst above that rate, in kilobits; 0: the default.
    pub policing_burst_kb: i64,
    /// Most that may come in, in thousands of packets a second; 0: all.
    pub policing_kpkts_rate: i64,
    /// Burst above that rate, in thousands of packets; 0: the default.
    pub policing_kpkts_burst: i64,
    /// The layout of a host device's receive rings: its own `options:ring`, or the switch's `other_config:ring`.
    pub ring: Option<String>,
    /// A host device sends by a ring: its own `options:tx-ring`, or the switch's `other_config:tx-ring`.
    pub tx_ring: bool,
    /// `other_config:kernel-fast-path` of the switch: of a host device, the kernel may forward packets by itself.
    pub kernel_path: bool,
}

/// A mirror.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DesiredMirror {
    /// The row.
    pub uuid: Uuid,
    /// Name of the mirror.
    pub name: String,
    /// Every packet is selected.
    pub select_all: bool,
    /// Names of ports.
    pub src: Vec<String>,
    /// Ports whose leaving packets are selected.
    pub dst: Vec<String>,
    /// VLANs that are selected; none: all.
    pub vlans: Vec<i64>,
    /// Port that the copies leave by.
    pub output_port: Option<String>,
    /// VLAN that the copies are flooded on.
    pub output_vlan: Option<i64>,
    /// Octets of a copy, 14 to 65535; none: all.
    pub snaplen: Option<i64>,
}

/// A bridge's controllers, and how they are reached.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DesiredControllers {
    /// The controllers.
    pub controllers: Vec<DesiredController>,
    /// Database managers that are reached in-band: address and TCP port.
    pub managers: Vec<(std::net::Ipv4Addr, u16)>,
    /// `other_config:disable-in-band`.
    pub in_band_disabled: bool,
    /// `other_config:in-band-queue`.
    pub in_band_queue: Option<u32>,
}

/// A controller.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DesiredController {
    /// The row.
    pub uuid: Uuid,
    /// Where the controller is, or where it is waited for.
    pub target: String,
    /// `primary` or `service`.
    pub kind: Option<String>,
    /// Longest wait between attempts, in milliseconds.
    pub max_backoff_ms: i64,
    /// Silence after which the peer is probed, in milliseconds; 0: never.
    pub inactivity_probe_ms: Option<i64>,
    /// Messages are sent that nobody asked for.
    pub enable_async: bool,
    /// Packets a second that may be sent to the controller.
    pub rate_limit: Option<i64>,
    /// Packets that may be sent at once within that rate.
    pub burst_limit: Option<i64>,
    /// Packets that may be under way to the controller.
    pub queue_size: Option<i64>,
    /// Differentiated services code point of the connection's packets, 6 bits.
    pub dscp: Option<i64>,
    /// The way to the controller needs no rules of its own.
    pub out_of_band: bool,
    /// What the bridge's own device is to have, where the controller is not reached out of band.
    pub local: Option<super::local_address::LocalAddress>,
}

/// Columns that the switch itself writes, and reads at the most to remember them: what changes in them is no wish.
const OWN_COLUMNS: &[(&str, &[&str])] = &[
    ("Open_vSwitch", &["cur_cfg", "statistics"]),
    ("Bridge", &["datapath_id", "datapath_version", "status", "rstp_status"]),
    ("Port", &["statistics", "status", "rstp_status", "rstp_statistics", "bond_active_slave"]),
    (
        "Interface",
        &[
            "admin_state",
            "bfd_status",
            "cfm_fault",
            "cfm_fault_status",
            "cfm_flap_count",
            "cfm_health",
            "cfm_remote_mpids",
            "cfm_remote_opstate",
            "duplex",
            "error",
            "ifindex",
            "lacp_current",
            "link_resets",
            "link_speed",
            "link_state",
            "mac_in_use",
            "mtu",
            "ofport",
            "statistics",
            "status",
        ],
    ),
    ("Controller", &["is_connected", "role", "status"]),
    ("Mirror", &["statistics"]),
];

/// Whether changes of the database may be changes of what is wanted.
pub fn may_matter(changes: &::idl::Changes) -> bool {
    changes.tables().any(|table| {
        changes.rows(table).any(|(_, change)| match (&change.old, &change.new) {
            (Some(old), Some(new)) => old.differing(new).into_iter().any(|at| !is_own(table, new, at)),
            _ => true,
        })
    })
}

/// Whether changes of the database are changes of how things are, which is the switch's to tell.
pub fn touch_own(changes: &::idl::Changes) -> bool {
    changes.tables().any(|table| {
        changes.rows(table).any(|(_, change)| match (&change.old, &change.new) {
            (Some(old), Some(new)) => old.differing(new).into_iter().any(|at| is_own(table, new, at)),
            _ => false,
        })
    })
}

fn is_own(table: &str, row: &::idl::Row, at: usize) -> bool {
    let own = OWN_COLUMNS.iter().find(|(name, _)| *name == table).map_or(&[][..], |(_, columns)| columns);
    row.schema().columns.get(at).is_some_and(|column| own.contains(&&*column.name))
}

fn pairs(map: &ovs::column::Map<'_>) -> Pairs {
    map.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

fn text(value: Option<&str>) -> Option<String> {
    value.map(str::to_owned)
}

/// Reads what is wanted, again and again. A port is read anew only if something of it changed; else it is the value that
/// was read before.
#[derive(Debug, Default)]
pub struct Reader {
    ports: HashMap<Uuid, Arc<DesiredPort>>,
    /// Rows of Port and Interface that changed since.
    touched: BTreeSet<Uuid>,
    /// Something changed that ports only refer to.
    is_stale: bool,
    /// Settings of the switch, as they were.
    common: Common,
}

/// Settings of the switch that belong to each of the host's devices.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Common {
    /// `other_config:ring`.
    ring: Option<String>,
    /// `other_config:tx-ring`.
    tx_ring: bool,
    /// `other_config:kernel-fast-path`.
    kernel_path: bool,
}

impl Common {
    fn read(other_config: &Pairs) -> Self {
        let tx_ring = other_config.get("tx-ring").is_some_and(|value| value == "true");
        Self { ring: other_config.get("ring").cloned(), tx_ring, kernel_path: kernel_path(other_config) }
    }
}

/// Whether the kernel may forward packets by itself.
pub(super) fn kernel_path(other_config: &Pairs) -> bool {
    other_config.get("kernel-fast-path").map_or(dp::KERNEL_PATH, |value| value == "true")
}

impl Reader {
    /// Takes note of changes, those that matter and those that do not.
    pub fn note(&mut self, changes: &::idl::Changes) {
        for table in ["Port", "Interface"] {
            self.touched.extend(changes.rows(table).map(|(uuid, _)| uuid));
        }
        self.is_stale |= changes.tables().any(|table| matches!(table, "QoS" | "Queue"));
    }

    /// Reads a replica, of which all changes have been noted.
    pub fn read(&mut self, replica: &Replica) -> DesiredSwitch {
        let Some(root) = ovs::OpenvSwitch::all(replica).next() else { return DesiredSwitch::default() };
        let common = Common::read(&pairs(&root.other_config()));
        if std::mem::take(&mut self.is_stale) || common != self.common {
            self.ports.clear();
        }
        self.common = common;
        let touched = std::mem::take(&mut self.touched);
        let is_old = |port: &DesiredPort| {
            touched.contains(&port.uuid) || port.interfaces.values().any(|i| touched.contains(&i.uuid))
        };
        self.ports.retain(|_, port| !is_old(port));
        let wanted = self.read_switch(replica, &root);
        if self.ports.len() > wanted.bridges.values().map(|bridge| bridge.ports.len()).sum() {
            let uuids: BTreeSet<Uuid> =
                wanted.bridges.values().flat_map(|bridge| bridge.ports.values().map(|port| port.uuid)).collect();
            self.ports.retain(|uuid, _| uuids.contains(uuid));
        }
        wanted
    }

    /// A port, as it was read before if nothing of it changed.
    fn port(&mut self, replica: &Replica, row: &ovs::Port<'_>) -> Arc<DesiredPort> {
        let common = &self.common;
        let read = || Arc::new(DesiredPort::read(replica, row, common));
        self.ports.entry(row.uuid()).or_insert_with(read).clone()
    }

    fn read_switch(&mut self, replica: &Replica, root: &ovs::OpenvSwitch<'_>) -> DesiredSwitch {
        let mut bridges = BTreeMap::new();
        for uuid in root.bridges() {
            if let Some(row) = ovs::Bridge::find(replica, uuid) {
                let bridge = DesiredBridge::read(replica, &row, self);
                bridges.entry(bridge.name.clone()).or_insert(bridge);
            }
        }
        let ssl = root.ssl().and_then(|uuid| ovs::SSL::find(replica, uuid)).map(|row| {
            let own = |s: &str| s.to_owned();
            (own(row.private_key()), own(row.certificate()), own(row.ca_cert()), row.bootstrap_ca_cert())
        });
        DesiredSwitch {
            root: Some(root.uuid()),
            next_cfg: root.next_cfg(),
            other_config: pairs(&root.other_config()),
            bridges,
            datapaths: root.datapaths().into_iter().map(|(kind, uuid)| (kind.to_owned(), uuid)).collect(),
            ct_zones: root
                .datapaths()
                .into_iter()
                .map(|(kind, uuid)| (kind.to_owned(), super::ct_zones::read(replica, uuid)))
                .collect(),
            ssl,
        }
    }
}

impl DesiredBridge {
    fn read(replica: &Replica, row: &ovs::Bridge<'_>, reader: &mut Reader) -> Self {
        let mut ports = BTreeMap::new();
        for uuid in row.ports() {
            let Some(port) = ovs::Port::find(replica, uuid) else { continue };
            ports.entry(port.name().to_owned()).or_insert_with(|| reader.port(replica, &port));
        }
        // Of whatever bridge: a mirror may name ports of others, and is told that it cannot.
        let name = |uuid: &Uuid| Some(ovs::Port::find(replica, *uuid)?.name().to_owned());
        let name_of = |uuids: Vec<Uuid>| uuids.iter().filter_map(name).collect::<Vec<_>>();
        let mirrors = row
            .mirrors()
            .into_iter()
            .filter_map(|uuid| ovs::Mirror::find(replica, uuid))
            .map(|m| DesiredMirror {
                uuid: m.uuid(),
                name: m.name().to_owned(),
                select_all: m.select_all(),
                src: name_of(m.select_src_port()),
                dst: name_of(m.select_dst_port()),
                vlans: m.select_vlan(),
                output_port: m.output_port().and_then(|u| name_of(vec![u]).pop()),
                output_vlan: m.output_vlan(),
                snaplen: m.snaplen(),
            })
            .collect();
        let versions =
            row.protocols().iter().filter_map(|p| openflow::Version::parse(p)).fold(VersionSet(0), VersionSet::with);
        Self {
            uuid: row.uuid(),
            name: row.name().to_owned(),
            datapath_type: if row.datapath_type().is_empty() { "system" } else { row.datapath_type() }.to_owned(),
            fail_secure: row.fail_mode() == Some("secure"),
            other_config: pairs(&row.other_config()),
            flow_tables: row
                .flow_tables()
                .into_iter()
                .filter_map(|(id, uuid)| ovs::FlowTable::find(replica, uuid).map(|t| (id, DesiredTable::read(&t))))
                .collect(),
            protocols: if versions.is_empty() { VersionSet::ALL } else { versions },
            ports,
            mirrors,
            flood_vlans: row.flood_vlans(),
            controllers: DesiredControllers::read(replica, row),
            auto_attach: row.auto_attach().and_then(|uuid| ovs::AutoAttach::find(replica, uuid)).map(|a| {
                let (system_name, system_description) = (a.system_name().to_owned(), a.system_description().to_owned());
                DesiredAutoAttach { system_name, system_description, mappings: a.mappings().into_iter().collect() }
            }),
            netflow: row.netflow().and_then(|uuid| ovs::NetFlow::find(replica, uuid)).map(|n| DesiredNetflow {
                targets: n.targets().into_iter().map(str::to_owned).collect(),
                engine_id: n.engine_id(),
                engine_type: n.engine_type(),
                add_id_to_interface: n.add_id_to_interface(),
                active_timeout_s: n.active_timeout(),
            }),
            sflow: row.sflow().and_then(|uuid| ovs::SFlow::find(replica, uuid)).map(|s| DesiredSflow {
                targets: s.targets().into_iter().map(str::to_owned).collect(),
                agent: text(s.agent()),
                sampling: s.sampling(),
                polling_s: s.polling(),
                header: s.header(),
            }),
            ipfix: row.ipfix().and_then(|uuid| ovs::IPFIX::find(replica, uuid)).map(|row| DesiredIpfix::read(&row)),
            flow_ipfix: ovs::FlowSampleCollectorSet::all(replica)
                .filter(|set| set.bridge() == row.uuid())
                .filter_map(|set| Some((set.id(), DesiredIpfix::read(&ovs::IPFIX::find(replica, set.ipfix()?)?))))
                .collect(),
            mcast_snooping: row.mcast_snooping_enable(),
            stp_enable: row.stp_enable(),
            rstp_enable: row.rstp_enable(),
        }
    }
}

impl DesiredTable {
    fn read(row: &ovs::FlowTable<'_>) -> Self {
        let own = |v: Vec<&str>| v.into_iter().map(str::to_owned).collect();
        Self {
            name: text(row.name()),
            flow_limit: row.flow_limit(),
            overflow_policy: text(row.overflow_policy()),
            groups: own(row.groups()),
            prefixes: own(row.prefixes()),
        }
    }
}

impl DesiredPort {
    /// Reads a port; `ring` is the layout of rings for devices that say nothing of it.
    fn read(replica: &Replica, row: &ovs::Port<'_>, common: &Common) -> Self {
        let interfaces = row
            .interfaces()
            .into_iter()
            .filter_map(|uuid| ovs::Interface::find(replica, uuid))
            .map(|i| (i.name().to_owned(), Arc::new(DesiredInterface::read(&i, common))))
            .collect();
        let qos = row.qos().and_then(|uuid| ovs::QoS::find(replica, uuid)).map(|qos| DesiredQos {
            kind: qos.type_().to_owned(),
            other_config: pairs(&qos.other_config()),
            queues: qos
                .queues()
                .into_iter()
                .filter_map(|(id, uuid)| {
                    let queue = ovs::Queue::find(replica, uuid)?;
                    Some((id, (queue.dscp(), pairs(&queue.other_config()))))
                })
                .collect(),
        });
        Self {
            uuid: row.uuid(),
            name: row.name().to_owned(),
            tag: row.tag(),
            trunks: row.trunks(),
            cvlans: row.cvlans(),
            vlan_mode: text(row.vlan_mode()),
            bond_mode: text(row.bond_mode()),
            bond_updelay_ms: row.bond_updelay(),
            bond_downdelay_ms: row.bond_downdelay(),
            bond_active: Remembered(text(row.bond_active_slave())),
            lacp: text(row.lacp()),
            protected: row.protected(),
            mac: text(row.mac()),
            other_config: pairs(&row.other_config()),
            qos,
            interfaces,
        }
    }
}

impl DesiredInterface {
    fn read(row: &ovs::Interface<'_>, common: &Common) -> Self {
        let kind = if row.type_().is_empty() { "system" } else { row.type_() };
        let is_system = kind == "system";
        let ring = common.ring.as_ref().filter(|_| is_system);
        Self {
            uuid: row.uuid(),
            name: row.name().to_owned(),
            kind: kind.to_owned(),
            options: pairs(&row.options()),
            other_config: pairs(&row.other_config()),
            external_ids: pairs(&row.external_ids()),
            ofport_request: row.ofport_request(),
            ofport: Remembered(row.ofport()),
            mac: text(row.mac()),
            mtu_request: row.mtu_request(),
            bfd: pairs(&row.bfd()),
            lldp: pairs(&row.lldp()),
            cfm_mpid: row.cfm_mpid(),
            policing_rate_kbps: row.ingress_policing_rate(),
            policing_burst_kb: row.ingress_policing_burst(),
            policing_kpkts_rate: row.ingress_policing_kpkts_rate(),
            policing_kpkts_burst: row.ingress_policing_kpkts_burst(),
            ring: row.options().get("ring").map(str::to_owned).or_else(|| ring.cloned()),
            tx_ring: row.options().get("tx-ring").map_or(common.tx_ring && is_system, |value| value == "true"),
            kernel_path: common.kernel_path && is_system,
        }
    }
}

impl DesiredControllers {
    fn read(replica: &Replica, row: &ovs::Bridge<'_>) -> Self {
        let found = row.controller().into_iter().filter_map(|uuid| ovs::Controller::find(replica, uuid));
        let managers = ovs::OpenvSwitch::all(replica).next().map(|root| root.manager_options()).unwrap_or_default();
        let managers = managers.into_iter().filter_map(|uuid| ovs::Manager::find(replica, uuid));
        let in_band = |m: &ovs::Manager<'_>| m.connection_mode() != Some("out-of-band");
        let queue_size = row.other_config().get_int("controller-queue-size", 0);
        let queue_size = (1..=MOST_QUEUE_SIZE).contains(&queue_size).then_some(queue_size);
        Self {
            controllers: found.map(|c| DesiredController::read(&c, queue_size)).collect(),
            managers: managers.filter(in_band).filter_map(|m| manager_address(m.target())).collect(),
            in_band_disabled: row.other_config().get("disable-in-band") == Some("true"),
            in_band_queue: u32::try_from(row.other_config().get_int("in-band-queue", -1)).ok(),
        }
    }
}

/// Where a manager is, if it is connected to and has an IPv4 address.
fn manager_address(target: &str) -> Option<(std::net::Ipv4Addr, u16)> {
    use crate::stream::{Method, OVSDB_PORT};
    match Method::parse(target, OVSDB_PORT, std::path::Path::new("/")).ok()? {
        Method::Tcp(to) | Method::Ssl(to) => Some((to.host.parse().ok()?, to.port)),
        _ => None,
    }
}

/// Packets that may be under way to a controller at the most.
const MOST_QUEUE_SIZE: i64 = 512;

impl DesiredController {
    /// `queue_size`: of a controller that says nothing of it.
    fn read(row: &ovs::Controller<'_>, queue_size: Option<i64>) -> Self {
        let out_of_band = row.connection_mode() == Some("out-of-band");
        Self {
            uuid: row.uuid(),
            target: row.target().to_owned(),
            kind: text(row.type_()),
            max_backoff_ms: row.max_backoff().unwrap_or(8000),
            inactivity_probe_ms: row.inactivity_probe(),
            enable_async: row.enable_async_messages().unwrap_or(true),
            rate_limit: row.controller_rate_limit(),
            burst_limit: row.controller_burst_limit(),
            queue_size: row.controller_queue_size().or(queue_size),
            dscp: Some(row.other_config().get_int("dscp", 48)),
            out_of_band,
            local: super::local_address::LocalAddress::read(row).filter(|_| !out_of_band),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::idl::{Client, Interests};
    use jsonrpc::Message;
    use serde_json::{Value, json};

    fn uuid(n: u32) -> String {
        format!("00000000-0000-4000-8000-{n:012x}")
    }

    /// A client of a database with one bridge, two ports and their interfaces.
    fn client() -> Client {
        let schema = ovsdb::vswitch::vswitch_schema();
        let mut client = Client::with_schema(schema, Interests::everything());
        let hello = client.connected();
        let port = |n: u32| json!({"initial": {"name": format!("p{n}"), "interfaces": ["uuid", uuid(20 + n)]}});
        let interface = |n: u32| json!({"initial": {"name": format!("p{n}")}});
        let contents = json!({
            "Open_vSwitch": {uuid(1): {"initial": {"bridges": ["uuid", uuid(2)]}}},
            "Bridge": {uuid(2): {"initial": {"name": "b",
                "ports": ["set", [["uuid", uuid(11)], ["uuid", uuid(12)]]]}}},
            "Port": {uuid(11): port(1), uuid(12): port(2)},
            "Interface": {uuid(21): interface(1), uuid(22): interface(2)}});
        for ask in hello {
            let Message::Request { id, method, .. } = ask else { continue };
            if method.starts_with("monitor") {
                client.receive(Message::Response { id, result: json!([false, uuid(0), contents]) }).unwrap();
            }
        }
        assert!(client.has_contents());
        client
    }

    fn update(client: &mut Client, tables: Value) {
        let note = Message::notification("update3", vec![json!(["monid", "Open_vSwitch"]), json!(uuid(0)), tables]);
        client.receive(note).unwrap();
    }

    #[test]
    fn what_is_read_again_is_what_is_there_and_shared_where_it_stays() {
        let mut client = client();
        let mut reader = Reader::default();
        reader.note(&client.take_changes());
        let mut before = reader.read(client.replica());
        // What changes, and which of the two ports is read anew for it.
        for (change, anew) in [
            (json!({"Interface": {uuid(21): {"modify": {"type": "internal"}}}}), [true, false]),
            (json!({"Port": {uuid(12): {"modify": {"tag": 7}}}}), [false, true]),
            (json!({"Interface": {uuid(22): {"modify": {"ofport": 5}}}}), [false, true]),
            (json!({"Open_vSwitch": {uuid(1): {"modify": {"next_cfg": 9}}}}), [false, false]),
            (json!({"Open_vSwitch": {uuid(1): {"modify": {"other_config": ["map", [["ring", "v2"]]]}}}}), [true, true]),
            (
                json!({"Open_vSwitch": {uuid(1): {"modify": {"other_config": ["map", [["tx-ring", "true"]]]}}}}),
                [true, true],
            ),
            (
                json!({"QoS": {uuid(30): {"insert": {"type": "linux-htb"}}},
                    "Port": {uuid(11): {"modify": {"qos": ["uuid", uuid(30)]}}}}),
                [true, true],
            ),
            (json!({"QoS": {uuid(30): {"modify": {"type": "linux-codel"}}}}), [true, true]),
            (json!({"Bridge": {uuid(2): {"modify": {"ports": ["uuid", uuid(12)]}}}}), [false, true]),
        ] {
            let text = change.to_string();
            update(&mut client, change);
            reader.note(&client.take_changes());
            let now = reader.read(client.replica());
            assert_eq!(now, Reader::default().read(client.replica()), "{text}");
            let port = |of: &DesiredSwitch, name: &str| of.bridges["b"].ports.get(name).cloned();
            for (name, anew) in ["p1", "p2"].into_iter().zip(anew) {
                let is_shared = match (port(&before, name), port(&now, name)) {
                    (Some(old), Some(new)) => Arc::ptr_eq(&old, &new),
                    _ => false,
                };
                assert_eq!(!is_shared, anew, "{name}: {text}");
            }
            before = now;
        }
        assert_eq!(before.bridges["b"].ports.len(), 1);
        assert_eq!(before.bridges["b"].ports["p1"].qos.as_ref().map(|q| q.kind.as_str()), Some("linux-codel"));
        assert_eq!(reader.ports.len(), 1, "what is gone is forgotten");
    }
}
