//! One reconfiguration, step by step.

use actix::prelude::*;
use futures::future::{BoxFuture, join, join_all};
use hashing::HashOrder;
use ofproto::bridge::SpanningConfig;
use ofproto::view::{BridgeId, BundleId, PortRef};
use openflow::OfPort;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::desired::{DesiredBridge, DesiredInterface, DesiredSwitch};
use super::plan::{self, PlannedPort};
use super::unwanted::{Interfaces, Wanted, is_only_moved, retunnelled, taken_elsewhere, unwanted};
use super::*;
use crate::datapath::low_latency::Policy;
use crate::mailbox::AskError;
use crate::msg::bridge::{Configure, StationsGone, Upcalls};
use crate::msg::datapath::{CtTimeouts, VlanLimit};
use crate::msg::port::{Discard, Open, PortStatus, Reconfigure, SetIpv4, SetMtu, SetQos};
use crate::msg::revalidator::RevalidatorSettings;
use crate::msg::switch::EditRefused;
use crate::port::PortSetup;
use crate::port::device::{self, DeviceKind};
use crate::stream::TlsFiles;

/// How long a part may take to do as it is told.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a device may take to go.
const GONE_SOON: Duration = Duration::from_secs(10);

static RECONFIGURED: crate::unixctl::coverage::Counter = crate::unixctl::coverage::Counter::new("bridge_reconfigure");
/// Datapaths that are gone, of bridges and of people.
pub(super) static DATAPATH_ENDED: crate::unixctl::coverage::Counter =
    crate::unixctl::coverage::Counter::new("dpif_destroy");

/// Of a bridge without ports, octets.
const DEFAULT_MTU: i64 = 1500;

type Opened = (String, String, Result<Result<PortStatus, String>, AskError>);

impl Switch {
    /// Applies the latest wanted configuration, unless one is being applied.
    pub(super) fn start_reconfiguration(&mut self, ctx: &mut Context<Self>) {
        if self.busy {
            return;
        }
        let Some(mut wanted) = self.pending.take() else { return };
        RECONFIGURED.add();
        self.busy = true;
        let mut complaints = checks::drop_impossible(&mut wanted, &self.settings.datapath_types);
        complaints.extend(checks::ignored(&wanted, self.settings.dummy, |name| {
            self.bridges.get(name).map(|bridge| bridge.mac)
        }));
        complaints.iter().for_each(checks::Complaint::tell);
        self.limit_vlans(plan::vlan_limit(&wanted.other_config));
        if let Some((private_key, certificate, ca_cert, bootstrap)) = &wanted.ssl {
            let file = |name: &String| (!name.is_empty()).then(|| name.into());
            let (private_key, certificate, ca_cert) = (file(private_key), file(certificate), file(ca_cert));
            let given = self.settings.tls.files();
            self.settings.tls.configure(TlsFiles { private_key, certificate, ca_cert, bootstrap: *bootstrap, ..given });
        }
        self.datapaths.values_mut().for_each(|backer| backer.leaving.clear());
        let left = self.close_unwanted(&wanted);
        self.retire_datapaths(left);
        let kept = self.datapaths.len();
        let opening = self.open_wanted(&wanted);
        let counts_host = |d: &DesiredSwitch| plan::flag(&d.other_config, "enable-statistics");
        let interval = super::stats_interval_ms;
        if counts_host(&self.desired) != counts_host(&wanted) || interval(&self.desired) != interval(&wanted) {
            self.next_status_ms = 0;
        }
        self.log_monitoring(&wanted);
        let mut said = notes::of_change(&self.desired, &wanted, (kept, self.datapaths.len() - kept));
        said.retain(|note| !note.is_told_once() || self.told_once.insert(note.module));
        notes::tell(&said);
        self.desired = wanted;
        let step =
            actix::fut::wrap_future::<_, Self>(join_all(opening)).map(|opened, this, ctx| this.opened(opened, ctx));
        ctx.spawn(step);
    }

    /// Tells the log when the first port is to be monitored by BFD, CFM or LLDP, and when the last no longer is. Scripts
    /// read it as Open vSwitch words it, which has a thread for that.
    pub(super) fn log_monitoring(&mut self, wanted: &DesiredSwitch) {
        let monitored = |switch: &DesiredSwitch| {
            let interfaces = switch.bridges.values().flat_map(|b| b.ports.values()).flat_map(|p| p.interfaces.values());
            interfaces.into_iter().any(|i| protocols::liveness(i).is_some() || plan::flag(&i.lldp, "enable"))
        };
        let (before, after) = (monitored(&self.desired), monitored(wanted));
        if before == after {
            return;
        }
        self.monitored += u32::from(after);
        vlog::set_subprogram(&format!("monitor{}", self.monitored));
        vlog::info!("ofproto_dpif_monitor", "monitor thread {}", if after { "created" } else { "terminated" });
        vlog::set_subprogram("");
    }

    /// Has every datapath look at so many VLAN headers.
    fn limit_vlans(&mut self, limit: usize) {
        if std::mem::replace(&mut self.vlan_limit, limit) == limit {
            return;
        }
        Arc::make_mut(&mut self.view).support.max_vlan_headers = limit;
        for backer in self.datapaths.values() {
            backer.address.offer(VlanLimit(limit));
        }
    }

    /// Closes what is not wanted. Answers the types of datapaths that bridges have left.
    pub(super) fn close_unwanted(&mut self, wanted: &DesiredSwitch) -> BTreeSet<String> {
        let mut left = BTreeSet::new();
        let gone: Vec<String> = self
            .bridges
            .iter()
            .filter(|(name, b)| wanted.bridges.get(*name).is_none_or(|w| w.datapath_type != b.datapath))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            let Some(mut bridge) = self.bridges.remove(&name) else { continue };
            let ports: Vec<String> = bridge.ports.keys().cloned().collect();
            for port in ports {
                self.close_port(&name, &mut bridge, &port);
            }
            self.family.dismiss(bridge.address.card());
            self.forget_stations_of(bridge.id);
            left.insert(bridge.datapath);
        }
        let mut bridges = std::mem::take(&mut self.bridges);
        for (name, bridge) in &mut bridges {
            let Some(row) = wanted.bridges.get(name) else { continue };
            let interfaces = Interfaces::of(row);
            let unwanted = unwanted(bridge, &interfaces);
            let moves = |port: &&String| is_only_moved(bridge, &interfaces, port);
            bridge.moving = unwanted.iter().filter(moves).cloned().collect();
            for port in unwanted {
                self.close_port(name, bridge, &port);
            }
            if !bridge.bundles.keys().eq(row.ports.keys()) {
                bridge.bundles.retain(|n, _| row.ports.contains_key(n));
            }
        }
        self.bridges = bridges;
        left
    }

    /// A datapath goes with the last of its bridges, and what it counted and tracked with it.
    fn retire_datapaths(&mut self, left: BTreeSet<String>) {
        let is_used = |kind: &String| self.bridges.values().any(|bridge| bridge.datapath == *kind);
        let idle: Vec<String> = left.into_iter().filter(|kind| !is_used(kind)).collect();
        for backer in idle.iter().filter_map(|kind| self.datapaths.remove(kind)) {
            DATAPATH_ENDED.add();
            self.family.dismiss(backer.revalidator.card());
            self.family.dismiss(backer.address.card());
        }
    }

    /// What was learned in a bridge that goes may be behind any other port now.
    fn forget_stations_of(&self, bridge: BridgeId) {
        let view = self.view.bridges.get(&bridge);
        let stations: Arc<[_]> = view.and_then(|b| b.mac.as_ref()).into_iter().flat_map(|m| m.stations()).collect();
        if !stations.is_empty() {
            let gone = StationsGone(stations);
            for other in self.bridges.values() {
                other.address.outlet::<StationsGone>().deliver(gone.clone());
            }
        }
    }

    fn close_port(&mut self, bridge_name: &str, bridge: &mut BridgeState, name: &str) {
        let Some(port) = bridge.ports.remove(name) else { return };
        self.aging.forget(&mut self.view, name);
        if port.added && !bridge.moving.contains(name) {
            vlog::info!("bridge", "bridge {bridge_name}: deleted interface {name} on port {}", port.port.0);
        }
        let (discard, gone) = Discard::new();
        port.address.offer(discard);
        self.going.push(gone);
        self.family.dismiss(port.address.card());
        bridge.ofports.give(port.port);
        let Some(backer) = self.datapaths.get_mut(&bridge.datapath) else { return };
        if let Some(own) = backer.tunnels.remove(name) {
            let shared = own.datapath_port();
            if backer.tunnels.values().any(|other| other.datapath_port() == shared) {
                return;
            }
        }
        if let Some(odp) = port.odp
            && let Some(own) = backer.ports.remove(&odp)
        {
            backer.by_host.remove(&odp);
            backer.leaving.insert(odp, (bridge_name.to_owned(), own));
        }
    }

    /// Takes a port out of a bridges' datapath, as a person asks to. The next change of configuration makes it again.
    pub(super) fn take_from_bridge(
        &mut self,
        full: &str,
        port: &str,
        ctx: &mut Context<Self>,
    ) -> Result<(), EditRefused> {
        let kind = full.split_once('@').map_or(full, |(kind, _)| kind);
        let has = |(_, bridge): &(&String, &BridgeState)| bridge.datapath == kind && bridge.ports.contains_key(port);
        let name = self.bridges.iter().find(has).map(|(name, _)| name.clone()).ok_or(EditRefused::Missing)?;
        let mut bridge = self.bridges.remove(&name).ok_or(EditRefused::Missing)?;
        self.close_port(&name, &mut bridge, port);
        self.bridges.insert(name.clone(), bridge);
        self.changed.insert(name);
        self.apply_port_changes(ctx);
        Ok(())
    }

    /// Makes the bridges and ports that are wanted and not there; asks each new port to open its device.
    fn open_wanted(&mut self, wanted: &DesiredSwitch) -> Vec<impl Future<Output = Opened> + use<>> {
        let mut opening = Vec::new();
        let Some(news) = self.own.as_ref().map(Address::outlet::<BridgeNews>) else { return opening };
        // Those that come together are made in the order of a hash table that was filled from another, which shows where
        // bridges are listed, and in the numbers that their ports are given.
        let by_hash = HashOrder::by_name(wanted.bridges.keys().map(|name| (name.as_str(), name)));
        let by_hash = HashOrder::by_name(by_hash.iter().map(|name| (name.as_str(), name)));
        for name in by_hash.iter() {
            let Some(row) = wanted.bridges.get(name) else { continue };
            if !self.bridges.contains_key(name)
                && let Some(bridge) = self.make_bridge(name, row, &news)
            {
                self.bridges.insert(name.clone(), bridge);
            }
        }
        let mut bridges = std::mem::take(&mut self.bridges);
        let taken = taken_elsewhere(wanted, &bridges);
        for name in by_hash.iter() {
            let (Some(row), Some(bridge)) = (wanted.bridges.get(name), bridges.get_mut(name)) else { continue };
            let known_errors = std::mem::take(&mut bridge.errors);
            if !bridge.bundles.keys().eq(row.ports.keys()) {
                for port in row.ports.keys() {
                    if !bridge.bundles.contains_key(port) {
                        bridge.bundles.insert(port.clone(), BundleId(self.next_bundle));
                        self.next_bundle += 1;
                    }
                }
            }
            let mut interfaces = Interfaces::of(row);
            interfaces.retain(|wanted| bridge.ports.get(wanted.name).is_none_or(|p| p.is_due(wanted.config)));
            // Numbers go by the hash of the port's name, as in Open vSwitch.
            let ports = match interfaces.as_slice() {
                [] => HashOrder::default(),
                [one] => HashOrder::by_name([(one.bundle, one.bundle)]),
                _ => HashOrder::by_name(row.ports.keys().map(|port| (port.as_str(), port.as_str()))),
            };
            let of_port = |port| row.ports.get(port).into_iter().flat_map(|p| p.interfaces.keys());
            let own = |port, name: &String| interfaces.get(name).filter(|wanted| wanted.bundle == port);
            // Those that ask for a number come first, so that nobody else gets it.
            let mut order: Vec<_> =
                ports.iter().flat_map(|port| of_port(port).filter_map(move |name| own(port, name))).collect();
            // Those that failed before come last: what they are given is likely to be given back.
            order.sort_by_key(|wanted| {
                let remembers = wanted.config.ofport.0.is_some_and(|n| n > 0);
                (wanted.config.ofport_request.is_none(), !remembers, known_errors.contains_key(wanted.name))
            });
            for &Wanted { name: port, bundle, config: interface } in order {
                if let Some(present) = bridge.ports.get_mut(port) {
                    if present.tunnel.is_some() {
                        tunnels::tell_oddities(interface);
                    }
                    if present.config != *interface || present.lacks_mtu() {
                        present.config = interface.clone();
                        if let Some(now) = present.tunnel.as_ref().and_then(|old| retunnelled(old, interface)) {
                            let now = Arc::new(now);
                            present.tunnel = Some(now.clone());
                            if let Some(backer) = self.datapaths.get_mut(&bridge.datapath) {
                                backer.tunnels.insert(port.to_owned(), now);
                            }
                        }
                        let mac = checks::device_mac(row, interface);
                        let config = DesiredInterface { mac, ..DesiredInterface::clone(interface) };
                        opening.push(reconfigure(name, port, &present.address, config));
                    }
                    continue;
                }
                if taken.contains(port) {
                    vlog::warn!("bridge", "bridge {name}: interface {port} is in use by another bridge");
                    continue;
                }
                match self.make_port(bridge, row, bundle, interface) {
                    Ok(address) => {
                        if bridge.ports.get(port).is_some_and(|p| p.tunnel.is_some()) {
                            tunnels::tell_oddities(interface);
                        }
                        opening.push(open(name, port, &address));
                    }
                    Err(error) => {
                        refuse(interface, &error);
                        bridge.errors.insert(port.to_owned(), error);
                    }
                }
            }
        }
        self.bridges = bridges;
        opening
    }

    fn make_bridge(
        &mut self,
        name: &str,
        row: &DesiredBridge,
        news: &crate::mailbox::Outlet<BridgeNews>,
    ) -> Option<BridgeState> {
        let id = BridgeId(self.next_bridge);
        self.next_bridge += 1;
        let datapath = self.datapath(&row.datapath_type);
        let switch = self.directory.clone();
        let reports = self.own.as_ref().map(Address::outlet::<BridgeReported>)?;
        let shares = self.own.as_ref().map(Address::outlet::<Share>)?;
        let setup = crate::bridge::BridgeSetup {
            id,
            name: name.to_owned(),
            datapath,
            tls: self.settings.tls.clone(),
            run_dir: self.settings.run_dir.clone(),
            directory: switch,
            latest: Arc::default(),
            reports,
            shares,
            seed: self.settings.seed,
            debug_actions: self.settings.dummy != DummyMode::Off,
            recirc_numbers: self.recirc_numbers.clone(),
            meter_numbers: self.datapaths.get(&row.datapath_type)?.meters.clone(),
        };
        let news = news.clone();
        let role = Role::new(format!("bridge {name}"), "bridge", BRIDGE_MAILBOX, Strategy::RestForOne);
        let address = self
            .family
            .hire_on(self.ofproto.clone(), role, move |desk, ctx| Bridge::new(desk, setup.clone(), news.clone(), ctx));
        Some(BridgeState {
            views: address.outlet::<ViewPublished>().latest(),
            address,
            id,
            datapath: row.datapath_type.clone(),
            ofports: OfPorts::default(),
            bundles: BTreeMap::new(),
            mirrors: plan::MirrorSlots::default(),
            ports: BTreeMap::new(),
            errors: BTreeMap::new(),
            default_mac: plan::default_mac(row.uuid),
            mac: 0,
            moving: BTreeSet::new(),
            dpid: None,
            report: BridgeReport::default(),
        })
    }

    fn make_port(
        &mut self,
        bridge: &mut BridgeState,
        row: &DesiredBridge,
        bundle: &str,
        interface: &Arc<DesiredInterface>,
    ) -> Result<Address<Port>, String> {
        let bridge_name = row.name.as_str();
        let mac = checks::device_mac(row, interface);
        let name = &interface.name;
        let kind = if name == bridge_name { "internal" } else { &interface.kind };
        if checks::is_reserved(name, &self.settings.datapath_types, self.settings.dummy) {
            // The log has the reason, the `error` column nothing.
            return Err(String::new());
        }
        if let Some(error) = checks::option_error(interface) {
            return Err(error);
        }
        let (device, shown) = plan::device_kind(kind, &bridge.datapath, self.settings.dummy, name)?;
        if device == DeviceKind::System {
            // What is not there uses up no numbers.
            device::index(name)?;
        }
        let backer = self.datapaths.get_mut(&bridge.datapath).ok_or("no datapath")?;
        let native = bridge.datapath != "system" || self.settings.dummy == DummyMode::Override;
        let tunnel = tunnels::kind_named(&shown).filter(|_| device == DeviceKind::Virtual);
        let tunnel =
            tunnel.map(|kind| tunnels::read(name, kind, &interface.options, native).map(Arc::new)).transpose()?;
        if tunnel.as_ref().is_some_and(|own| backer.tunnels.values().any(|other| tunnels::is_rival(own, other))) {
            return Err(format!("{name}: {}", tunnels::RIVALS));
        }
        if let Some(own) = &tunnel {
            tunnels::is_alone(own, name, bridge_name, backer)?;
        }
        let by_host = match tunnel.as_ref().filter(|own| {
            let shared = own.datapath_port();
            !own.native && !backer.ports.values().any(|name| *name == shared)
        }) {
            Some(own) => tunnels::open_by_host(name, own, &mut backer.sockets)?,
            None => None,
        };
        let port = if name == bridge_name {
            OfPort::LOCAL
        } else {
            bridge
                .ofports
                .take(interface.ofport_request.or(interface.ofport.0))
                .ok_or_else(|| format!("no port number left for {name}"))?
        };
        let by_name = self.settings.dummy.numbers(&bridge.datapath);
        let odp = (shown != "patch").then(|| {
            let own = tunnel.as_ref().map_or_else(|| name.clone(), |config| config.datapath_port());
            let shared = backer.ports.iter().find(|(_, n)| tunnel.is_some() && **n == own).map(|(odp, _)| *odp);
            let odp = shared.unwrap_or_else(|| backer.number_for(bridge_name, &own, by_name));
            if let Some(sockets) = by_host {
                backer.by_host.insert(odp, (own.clone(), sockets));
            }
            backer.ports.insert(odp, own);
            odp
        });
        if let Some(config) = &tunnel {
            backer.tunnels.insert(name.clone(), config.clone());
        }
        let config = DesiredInterface { mac, ..DesiredInterface::clone(interface) };
        let own = self.own.as_ref().ok_or("the switch is not ready")?;
        let setup = PortSetup {
            bridge_name: bridge_name.to_owned(),
            news: own.outlet::<PortChanged>(),
            config,
            kind: device,
            odp: odp.unwrap_or(u32::MAX),
            datapath: (device != DeviceKind::Virtual).then(|| backer.address.clone()),
            bridge: bridge.address.outlet::<Upcalls>(),
            rings: self.settings.rings.clone(),
            seed: self.settings.seed,
        };
        let role = Role::new(format!("port {name}"), "port", PORT_MAILBOX, Strategy::OneForOne);
        let address = self.family.hire(role, move |desk, _| Port::new(desk, setup.clone()));
        let state = PortState {
            address: address.clone(),
            config: interface.clone(),
            bundle: bundle.to_owned(),
            port,
            odp,
            kind: shown,
            device,
            tunnel,
            status: Arc::default(),
            told: None,
            qos: None,
            fitted_mtu: None,
            rstp_number: None,
            added: false,
        };
        bridge.ports.insert(name.clone(), state);
        Ok(address)
    }

    fn opened(&mut self, opened: Vec<Opened>, ctx: &mut Context<Self>) {
        let mut bridges = std::mem::take(&mut self.bridges);
        for (bridge_name, port, result) in opened {
            let Some(bridge) = bridges.get_mut(&bridge_name) else { continue };
            let error = match result {
                Ok(Ok(status)) => {
                    if let Some(state) = bridge.ports.get_mut(&port) {
                        // What it has told meanwhile is newer.
                        if state.added || !state.status.open {
                            state.take_status(status);
                        }
                        if let Some(tunnel) = &state.tunnel {
                            let network = self.host.as_ref().map(|host| host.view.load());
                            let status = Arc::make_mut(&mut state.status);
                            egress::fill(status, tunnel, &self.view.underlay, network.as_deref());
                        }
                        if !std::mem::replace(&mut state.added, true) {
                            let (stats, counters) = status::fresh_counters(state);
                            let status = Arc::make_mut(&mut state.status);
                            (status.stats, status.counters) = (stats, counters);
                            self.next_status_ms = 0;
                            let number = state.port.0;
                            if !bridge.moving.remove(&port) {
                                vlog::info!("bridge", "bridge {bridge_name}: added interface {port} on port {number}");
                            }
                        }
                    }
                    continue;
                }
                Ok(Err(error)) => error,
                Err(error) => format!("could not open network device {port} ({error})"),
            };
            vlog::warn!("bridge", "{error}");
            let number = bridge.ports.get(&port).map(|p| p.port);
            self.close_port(&bridge_name, bridge, &port);
            number.into_iter().for_each(|n| bridge.ofports.untake(n));
            bridge.errors.insert(port, error);
        }
        for (name, row) in &self.desired.bridges {
            let Some(bridge) = bridges.get(name).filter(|_| !row.mirrors.is_empty()) else { continue };
            let there: BTreeSet<&str> = bridge.ports.values().map(|port| port.bundle.as_str()).collect();
            let ignored = row.mirrors.iter().flat_map(|mirror| checks::mirror_ignored(name, mirror, &there));
            ignored.for_each(|complaint| complaint.tell());
        }
        self.bridges = bridges;
        self.changed.clear();
        let asked = self.configure_bridges(None);
        let done = join(join_all(asked), self.devices_gone());
        let step = actix::fut::wrap_future::<_, Self>(done).map(|_, this, ctx| this.configured(ctx));
        ctx.spawn(step);
    }

    /// Wants the same once more if devices have come that were missed.
    pub(super) fn try_again(&mut self) {
        let came = std::mem::take(&mut self.came);
        let missed = |b: &BridgeState| b.errors.keys().any(|name| came.contains(name));
        if self.bridges.values().any(missed) {
            self.pending.get_or_insert_with(|| self.desired.clone());
        }
    }

    /// Tells bridges of what became of their ports' devices.
    pub(super) fn apply_port_changes(&mut self, ctx: &mut Context<Self>) {
        if self.busy || self.changed.is_empty() {
            return;
        }
        self.busy = true;
        let changed = std::mem::take(&mut self.changed);
        let asked = self.configure_bridges(Some(&changed));
        let done = join(join_all(asked), self.devices_gone());
        let step = actix::fut::wrap_future::<_, Self>(done).map(|_, this, ctx| {
            this.busy = false;
            this.try_again();
            this.write_status(None);
            this.start_reconfiguration(ctx);
            this.apply_port_changes(ctx);
            this.answer_shares();
        });
        ctx.spawn(step);
    }

    /// Ends when the devices of ports that were closed are gone: who changes the configuration may count on that. Other
    /// threads take them away.
    fn devices_gone(&mut self) -> impl Future<Output = ()> + use<> {
        let going = std::mem::take(&mut self.going);
        async move {
            if tokio::time::timeout(GONE_SOON, join_all(going)).await.is_err() {
                vlog::warn!("bridge", "devices of closed ports are still there");
            }
        }
    }

    /// Numbers the timeout policies of connection tracking, and tells them to the datapaths: by type, by zone.
    fn assign_timeouts(&mut self) -> BTreeMap<String, BTreeMap<u16, u32>> {
        let none = super::ct_zones::Zones::new();
        let mut all = BTreeMap::new();
        for (kind, backer) in &mut self.datapaths {
            let (zones, news) = backer.timeouts.assign(self.desired.ct_zones.get(kind).unwrap_or(&none));
            if !news.is_empty() {
                backer.address.offer(CtTimeouts(news));
            }
            all.insert(kind.clone(), zones);
        }
        all
    }

    /// Has bridges be as the database wants them: all of them, or some.
    fn configure_bridges(&mut self, some: Option<&BTreeSet<String>>) -> Vec<BoxFuture<'static, Result<(), AskError>>> {
        let mut peers: BTreeMap<(String, String), (String, PortRef)> = BTreeMap::new();
        for bridge in self.bridges.values() {
            for (name, port) in bridge.ports.iter().filter(|(_, p)| p.kind == "patch") {
                let peer = port.config.options.get("peer").cloned().unwrap_or_default();
                let at = PortRef { bridge: bridge.id, port: port.port };
                peers.insert((name.clone(), peer), (bridge.datapath.clone(), at));
            }
        }
        let ct_timeouts = self.assign_timeouts();
        let host = self.host.as_ref().map(|host| host.view.load_full());
        // Once bridges do not wait, they never do again.
        self.awaits_flows &= self.desired.other_config.get("flow-restore-wait").is_some_and(|v| v == "true");
        let restore_wait = self.awaits_flows;
        let bundle_idle_s = plan::number(&self.desired.other_config, "bundle-idle-timeout", 0);
        let mut asked: Vec<BoxFuture<'static, Result<(), AskError>>> = Vec::new();
        for (name, bridge) in &mut self.bridges {
            let Some(row) = self.desired.bridges.get(name) else { continue };
            if some.is_some_and(|some| !some.contains(name)) {
                continue;
            }
            fit_mtu(bridge);
            set_qos(bridge, row);
            let ports: BTreeMap<String, PlannedPort> = bridge
                .ports
                .iter()
                .map(|(n, p)| {
                    let peer = (p.kind == "patch").then(|| p.config.options.get("peer").cloned().unwrap_or_default());
                    let planned = PlannedPort {
                        port: p.port,
                        odp: p.odp,
                        kind: p.kind.clone(),
                        status: p.status.clone(),
                        peer,
                        tunnel: p.tunnel.clone(),
                        rstp_number: p.rstp_number,
                    };
                    (n.clone(), planned)
                })
                .collect();
            let mac = plan::bridge_mac(row, &ports, bridge.default_mac);
            if mac != bridge.mac {
                bridge.mac = mac;
                if let Some(local) = bridge.ports.get_mut(name) {
                    Arc::make_mut(&mut local.status).mac = mac;
                    local.address.offer(crate::msg::port::SetMac(mac));
                }
            }
            let dpid = plan::datapath_id(&row.other_config, mac);
            if bridge.dpid.replace(dpid) != Some(dpid) {
                vlog::info!("bridge", "bridge {name}: using datapath ID {dpid:016x}");
            }
            let mut ports = ports;
            if let Some(local) = ports.get_mut(name).filter(|local| local.status.mac != mac) {
                Arc::make_mut(&mut local.status).mac = mac;
            }
            // A patch's peer is the patch of that name whose own peer is this one, in the same datapath.
            let of_type = &bridge.datapath;
            let peer_of = |own: &str, peer: &str| {
                peers.get(&(peer.to_owned(), own.to_owned())).filter(|(kind, _)| kind == of_type).map(|(_, at)| *at)
            };
            bridge.mirrors.assign(row);
            let (bundles, mirrors) = (&bridge.bundles, &bridge.mirrors);
            let mut config = plan::bridge_config(row, &ports, bundles, peer_of, mac, restore_wait, mirrors);
            for port in bridge.ports.values_mut() {
                port.rstp_number = match &config.spanning {
                    SpanningConfig::Rstp { ports, .. } => ports.get(&port.port).map(|settings| settings.number),
                    _ => None,
                };
            }
            config.bundle_idle_s = bundle_idle_s;
            config.ct_timeouts = ct_timeouts.get(&bridge.datapath).cloned().unwrap_or_default();
            let dummy_address = |name: &str| ports.get(name)?.status.addresses.first().copied();
            config.netflow = row.netflow.as_ref().and_then(|netflow| monitoring::netflow(netflow, &row.datapath_type));
            config.ipfix = row.ipfix.as_ref().and_then(monitoring::ipfix);
            config.flow_ipfix = monitoring::flow_ipfix(&row.flow_ipfix);
            config.sflow =
                row.sflow.as_ref().and_then(|sflow| monitoring::sflow(sflow, host.as_deref(), dummy_address));
            let configure = Configure {
                config,
                own: bridge.address.clone(),
                controllers: row.controllers.clone(),
                versions: row.protocols,
            };
            asked.push(Box::pin(bridge.address.ask(configure, PATIENCE)));
            let own: Vec<_> = row.controllers.controllers.iter().filter_map(|c| c.local.clone()).collect();
            if let Some(local) = bridge.ports.get(name).filter(|_| !own.is_empty()) {
                asked.push(Box::pin(local.address.ask(SetIpv4(own), PATIENCE)));
            }
        }
        asked
    }

    /// What the database says of cached flows, to those who look after them.
    fn configure_revalidators(&self) {
        let other = &self.desired.other_config;
        let number = |key: &str| plan::figure::<u32>(other, key);
        let defaults = RevalidatorSettings::default();
        let settings = RevalidatorSettings {
            flow_limit: number("flow-limit").map_or(defaults.flow_limit, |n| n as usize),
            max_idle_ms: number("max-idle").map_or(defaults.max_idle_ms, i64::from),
            max_revalidator_ms: number("max-revalidator").map_or(defaults.max_revalidator_ms, i64::from),
            min_pps: number("min-revalidate-pps").unwrap_or(defaults.min_pps),
        };
        for backer in self.datapaths.values() {
            backer.revalidator.offer(settings.clone());
        }
    }

    fn configured(&mut self, ctx: &mut Context<Self>) {
        self.tune_datapaths(true);
        self.configure_revalidators();
        if let Some(low_latency) = &self.settings.low_latency {
            let policy = Policy::read(self.desired.other_config.get("low-latency").map(String::as_str));
            low_latency.set_policy(policy.unwrap_or_default(), !self.bridges.is_empty());
        }
        self.is_configured = true;
        self.publish(true);
        self.tell_missed();
        self.busy = false;
        self.try_again();
        if let Some(metrics) = &self.metrics {
            metrics.offer(crate::metrics::Listen(self.desired.other_config.get("metrics").cloned()));
        }
        self.attach();
        self.write_status(Some(self.desired.next_cfg));
        if self.next_status_ms == 0 {
            // What new devices have counted before is told at once; soon, where there are many and some were told just
            // now.
            let devices = self.host.as_ref().map_or(0, |host| host.view.load().links.size());
            let ports = self.bridges.values().map(|bridge| bridge.ports.len()).sum::<usize>();
            let are_many = ports > FEW_PORTS || devices > FEW_DEVICES;
            let soon = self.refreshed_ms.filter(|_| are_many).map(|last| last + FRESH_INTERVAL_MS);
            match soon.filter(|soon| *soon > clock::now_ms()) {
                Some(soon) => self.next_status_ms = soon,
                None => self.refresh_status(ctx),
            }
            self.rearm();
        }
        self.start_reconfiguration(ctx);
        self.apply_port_changes(ctx);
        self.answer_shares();
    }

    /// Tells those who wait for news of devices that these are with their bridges, once they are.
    pub(super) fn answer_shares(&mut self) {
        if !self.busy && self.changed.is_empty() {
            self.sharing.tell();
        }
    }
}

/// Whether ports of this kind are devices the switch made.
fn is_internal(kind: &str) -> bool {
    matches!(kind, "internal" | "tap" | "dummy-internal")
}

/// Hands down quality of service where it is not as it was.
fn set_qos(bridge: &mut BridgeState, row: &DesiredBridge) {
    for (port, name) in row.ports.values().flat_map(|p| p.interfaces.keys().map(move |n| (p, n))) {
        let Some(state) = bridge.ports.get_mut(name).filter(|s| s.qos != port.qos) else { continue };
        state.qos.clone_from(&port.qos);
        state.address.offer(SetQos(port.qos.clone()));
    }
}

/// Gives the ports that the switch made the least MTU of the others, where none is asked for.
fn fit_mtu(bridge: &mut BridgeState) {
    // One of the switch's own with an MTU that somebody asked for counts as any other.
    let is_fixed = |p: &&PortState| !is_internal(&p.kind) || p.config.mtu_request.is_some();
    let others = bridge.ports.values().filter(|p| p.odp.is_some()).filter(is_fixed);
    let least = others.filter_map(|p| p.status.mtu).min().unwrap_or(DEFAULT_MTU);
    for port in bridge.ports.values_mut() {
        let given = port.fitted_mtu == Some(least);
        let fits = port.status.mtu.is_none_or(|mtu| mtu == least || mtu < least && given);
        if !is_internal(&port.kind) || port.config.mtu_request.is_some() {
            continue;
        }
        port.fitted_mtu = Some(least);
        if !fits {
            if let Ok(mtu) = u32::try_from(least) {
                port.address.offer(SetMtu(mtu));
            }
            Arc::make_mut(&mut port.status).mtu = Some(least);
        }
    }
}

/// Tells the log why an interface cannot be had.
fn refuse(interface: &DesiredInterface, error: &str) {
    if error.is_empty() {
        vlog::warn!("bridge", "could not create interface {}, name is reserved", interface.name);
    } else if checks::option_error(interface).is_some() {
        vlog::err!("netdev_vport", "{error}");
        vlog::warn!("netdev", "{}: could not set configuration (Invalid argument)", interface.name);
    } else if error.ends_with("(File exists)") {
        vlog::warn_rl!("bridge", 1, 5, "{error}");
    } else {
        let (name, kind) = (&interface.name, &interface.kind);
        if let Some((_, why)) = error.strip_suffix(')').and_then(|rest| rest.split_once(" to ofproto (")) {
            vlog::warn_rl!("dpif", 1, 5, "system@ovs-system: failed to add {name} as port: {why}");
            vlog::warn_rl!("bridge", 1, 5, "{error}");
            return;
        }
        if tunnels::kind_named(kind).is_some() {
            if !error.ends_with(tunnels::UNNAMED) {
                vlog::warn!("netdev_vport", "{error}");
            }
            tunnels::tell_extensions(interface);
            let why = if error.ends_with(tunnels::RIVALS) { "File exists" } else { "Invalid argument" };
            vlog::warn!("netdev", "{name}: could not set configuration ({why})");
            return;
        }
        if plan::is_unknown_kind(error) {
            vlog::warn!("netdev", "could not create netdev {name} of unknown type {kind}");
        }
        vlog::warn!("bridge", "{error}");
    }
}

fn open(bridge: &str, port: &str, address: &Address<Port>) -> BoxFuture<'static, Opened> {
    let (bridge, port) = (bridge.to_owned(), port.to_owned());
    let asked = address.ask(Open, PATIENCE);
    Box::pin(async move { (bridge, port, asked.await) })
}

fn reconfigure(
    bridge: &str,
    port: &str,
    address: &Address<Port>,
    config: DesiredInterface,
) -> BoxFuture<'static, Opened> {
    let (bridge, port) = (bridge.to_owned(), port.to_owned());
    let asked = address.ask(Reconfigure(config), PATIENCE);
    Box::pin(async move { (bridge, port, asked.await.map(Ok)) })
}
