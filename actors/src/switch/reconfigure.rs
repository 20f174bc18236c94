//! One reconfiguration, step by step.

use actix::prelude::*;
use futures::future::{BoxFuture, join_all};
use ofproto::view::{BridgeId, BundleId, PortRef};
use openflow::OfPort;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::desired::{DesiredBridge, DesiredInterface, DesiredSwitch};
use super::plan::{self, PlannedPort};
use super::*;
use crate::mailbox::AskError;
use crate::msg::bridge::{Configure, Upcalls};
use crate::msg::port::{Discard, Open, PortStatus, Reconfigure, SetMtu, SetQos};
use crate::port::PortSetup;
use crate::port::device::DeviceKind;
use crate::stream::TlsFiles;

/// How long a part may take to do as it is told.
const PATIENCE: Duration = Duration::from_secs(20);

/// Of a bridge without ports, octets.
const DEFAULT_MTU: i64 = 1500;

type Opened = (String, String, Result<Result<PortStatus, String>, AskError>);

impl Switch {
    /// Applies the latest wanted configuration, unless one is being applied.
    pub(super) fn start_reconfiguration(&mut self, ctx: &mut Context<Self>) {
        if self.busy {
            return;
        }
        let Some(wanted) = self.pending.take() else { return };
        self.busy = true;
        if let Some((private_key, certificate, ca_cert, bootstrap)) = &wanted.ssl {
            let file = |name: &String| (!name.is_empty()).then(|| name.into());
            let (private_key, certificate, ca_cert) = (file(private_key), file(certificate), file(ca_cert));
            let given = self.settings.tls.files();
            self.settings.tls.configure(TlsFiles { private_key, certificate, ca_cert, bootstrap: *bootstrap, ..given });
        }
        self.close_unwanted(&wanted);
        let opening = self.open_wanted(&wanted);
        self.desired = wanted;
        let step =
            actix::fut::wrap_future::<_, Self>(join_all(opening)).map(|opened, this, ctx| this.opened(opened, ctx));
        ctx.spawn(step);
    }

    pub(super) fn close_unwanted(&mut self, wanted: &DesiredSwitch) {
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
                self.close_port(&mut bridge, &port);
            }
            self.family.dismiss(bridge.address.card());
            vlog::info!("bridge", "bridge {name}: deleted");
        }
        let mut bridges = std::mem::take(&mut self.bridges);
        for (name, bridge) in &mut bridges {
            let Some(row) = wanted.bridges.get(name) else { continue };
            let interfaces = interfaces_of(row);
            let unwanted: Vec<String> = bridge
                .ports
                .iter()
                .filter(|(n, p)| interfaces.get(*n).is_none_or(|i| i.kind != p.config.kind || request_moved(i, p)))
                .map(|(n, _)| n.clone())
                .collect();
            for port in unwanted {
                self.close_port(bridge, &port);
            }
            bridge.bundles.retain(|n, _| row.ports.contains_key(n));
        }
        self.bridges = bridges;
    }

    fn close_port(&mut self, bridge: &mut BridgeState, name: &str) {
        let Some(port) = bridge.ports.remove(name) else { return };
        port.address.offer(Discard);
        self.family.dismiss(port.address.card());
        bridge.ofports.give(port.port);
        if let (Some(odp), Some(backer)) = (port.odp, self.datapaths.get_mut(&bridge.datapath)) {
            backer.ports.remove(&odp);
        }
    }

    /// Makes the bridges and ports that are wanted and not there; asks each new port to open its device.
    fn open_wanted(&mut self, wanted: &DesiredSwitch) -> Vec<impl Future<Output = Opened> + use<>> {
        let mut opening = Vec::new();
        let Some(news) = self.own.as_ref().map(Address::outlet::<BridgeNews>) else { return opening };
        for (name, row) in &wanted.bridges {
            if !self.bridges.contains_key(name)
                && let Some(bridge) = self.make_bridge(name, row, &news)
            {
                self.bridges.insert(name.clone(), bridge);
            }
        }
        let mut bridges = std::mem::take(&mut self.bridges);
        let taken: BTreeMap<String, String> =
            bridges.iter().flat_map(|(b, s)| s.ports.keys().map(move |p| (p.clone(), b.clone()))).collect();
        for (name, bridge) in &mut bridges {
            let Some(row) = wanted.bridges.get(name) else { continue };
            bridge.errors.clear();
            for port in row.ports.keys() {
                if !bridge.bundles.contains_key(port) {
                    bridge.bundles.insert(port.clone(), BundleId(self.next_bundle));
                    self.next_bundle += 1;
                }
            }
            let interfaces = interfaces_of(row);
            // Those that ask for a number come first, so that nobody else gets it.
            let mut order: Vec<_> = interfaces.iter().collect();
            order.sort_by_key(|(_, i)| i.ofport_request.or(i.ofport.0).is_none());
            for (port, interface) in order {
                if let Some(present) = bridge.ports.get_mut(port) {
                    if present.config != **interface {
                        present.config = (*interface).clone();
                        opening.push(reconfigure(name, port, &present.address, interface));
                    }
                    continue;
                }
                if taken.get(port).is_some_and(|other| other != name) {
                    vlog::warn!("bridge", "bridge {name}: interface {port} is in use by another bridge");
                    continue;
                }
                match self.make_port(bridge, name, interface) {
                    Ok(address) => opening.push(open(name, port, &address)),
                    Err(error) => {
                        vlog::warn!("bridge", "{error}");
                        bridge.errors.insert(port.clone(), error);
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
        let setup = crate::bridge::BridgeSetup {
            id,
            name: name.to_owned(),
            datapath,
            tls: self.settings.tls.clone(),
            run_dir: self.settings.run_dir.clone(),
            directory: switch,
            reports,
            seed: self.settings.seed,
        };
        let news = news.clone();
        let role = Role::new(format!("bridge {name}"), "bridge", BRIDGE_MAILBOX, Strategy::RestForOne);
        let address = self
            .family
            .hire_on(self.ofproto.clone(), role, move |desk, ctx| Bridge::new(desk, setup.clone(), news.clone(), ctx));
        let random = self.settings.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(id.0) ^ u64::from(id.0) << 40;
        Some(BridgeState {
            views: address.outlet::<ViewPublished>().latest(),
            address,
            id,
            datapath: row.datapath_type.clone(),
            ofports: OfPorts::default(),
            bundles: BTreeMap::new(),
            ports: BTreeMap::new(),
            errors: BTreeMap::new(),
            // Locally administered, unicast.
            default_mac: (random & 0x00ff_ffff_ffff) | 0x0200_0000_0000 & 0xfeff_ffff_ffff,
            mac: 0,
            report: BridgeReport::default(),
        })
    }

    fn make_port(
        &mut self,
        bridge: &mut BridgeState,
        bridge_name: &str,
        interface: &DesiredInterface,
    ) -> Result<Address<Port>, String> {
        let name = &interface.name;
        let kind = if name == bridge_name { "internal" } else { &interface.kind };
        let (device, shown) = plan::device_kind(kind, &bridge.datapath, self.settings.dummy, name)?;
        let port = if name == bridge_name {
            OfPort::LOCAL
        } else {
            bridge
                .ofports
                .take(interface.ofport_request.or(interface.ofport.0))
                .ok_or_else(|| format!("no port number left for {name}"))?
        };
        let hwaddr = self.desired_hwaddr(bridge_name);
        let backer = self.datapaths.get_mut(&bridge.datapath).ok_or("no datapath")?;
        let odp = (shown != "patch").then(|| {
            let odp = plan::odp_number(
                &backer.ports,
                name,
                bridge.datapath == "dummy" || self.settings.dummy == DummyMode::Override,
            );
            backer.ports.insert(odp, name.clone());
            odp
        });
        let mut config = interface.clone();
        if port == OfPort::LOCAL && config.mac.is_none() {
            config.mac = hwaddr;
        }
        let own = self.own.as_ref().ok_or("the switch is not ready")?;
        let setup = PortSetup {
            bridge_name: bridge_name.to_owned(),
            news: own.outlet::<PortChanged>(),
            config,
            kind: device,
            odp: odp.unwrap_or(u32::MAX),
            datapath: (device != DeviceKind::Virtual).then(|| backer.address.clone()),
            bridge: bridge.address.outlet::<Upcalls>(),
            rings: self.settings.rings,
        };
        let role = Role::new(format!("port {name}"), "port", PORT_MAILBOX, Strategy::OneForOne);
        let address = self.family.hire(role, move |desk, _| Port::new(desk, setup.clone()));
        let state = PortState {
            address: address.clone(),
            config: interface.clone(),
            port,
            odp,
            kind: shown,
            status: PortStatus::default(),
            qos: None,
        };
        bridge.ports.insert(name.clone(), state);
        Ok(address)
    }

    fn desired_hwaddr(&self, bridge: &str) -> Option<String> {
        self.desired.bridges.get(bridge)?.other_config.get("hwaddr").cloned()
    }

    fn opened(&mut self, opened: Vec<Opened>, ctx: &mut Context<Self>) {
        let mut bridges = std::mem::take(&mut self.bridges);
        for (bridge_name, port, result) in opened {
            let Some(bridge) = bridges.get_mut(&bridge_name) else { continue };
            let error = match result {
                Ok(Ok(status)) => {
                    if let Some(state) = bridge.ports.get_mut(&port) {
                        state.status = status;
                    }
                    continue;
                }
                Ok(Err(error)) => error,
                Err(error) => format!("could not open network device {port} ({error})"),
            };
            vlog::warn!("bridge", "{error}");
            let number = bridge.ports.get(&port).map(|p| p.port);
            self.close_port(bridge, &port);
            number.into_iter().for_each(|n| bridge.ofports.untake(n));
            bridge.errors.insert(port, error);
        }
        self.bridges = bridges;
        self.changed.clear();
        let asked = self.configure_bridges(None);
        let step = actix::fut::wrap_future::<_, Self>(join_all(asked)).map(|_, this, ctx| this.configured(ctx));
        ctx.spawn(step);
    }

    /// Tells bridges of what became of their ports' devices.
    pub(super) fn apply_port_changes(&mut self, ctx: &mut Context<Self>) {
        if self.busy || self.changed.is_empty() {
            return;
        }
        self.busy = true;
        let changed = std::mem::take(&mut self.changed);
        let asked = self.configure_bridges(Some(&changed));
        let step = actix::fut::wrap_future::<_, Self>(join_all(asked)).map(|_, this, ctx| {
            this.busy = false;
            this.write_status(None);
            this.start_reconfiguration(ctx);
            this.apply_port_changes(ctx);
        });
        ctx.spawn(step);
    }

    /// Has bridges be as the database wants them: all of them, or some.
    fn configure_bridges(&mut self, some: Option<&BTreeSet<String>>) -> Vec<BoxFuture<'static, Result<(), AskError>>> {
        let mut peers: BTreeMap<(String, String), PortRef> = BTreeMap::new();
        for bridge in self.bridges.values() {
            for (name, port) in bridge.ports.iter().filter(|(_, p)| p.kind == "patch") {
                let peer = port.config.options.get("peer").cloned().unwrap_or_default();
                peers.insert((name.clone(), peer), PortRef { bridge: bridge.id, port: port.port });
            }
        }
        let restore_wait = self.desired.other_config.get("flow-restore-wait").is_some_and(|v| v == "true");
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
                    let planned =
                        PlannedPort { port: p.port, odp: p.odp, kind: p.kind.clone(), status: p.status.clone(), peer };
                    (n.clone(), planned)
                })
                .collect();
            let mac = plan::bridge_mac(row, &ports, bridge.default_mac);
            if mac != bridge.mac {
                bridge.mac = mac;
                if let Some(local) = bridge.ports.get_mut(name) {
                    local.status.mac = mac;
                    local.address.offer(crate::msg::port::SetMac(mac));
                }
            }
            let mut ports = ports;
            if let Some(local) = ports.get_mut(name) {
                local.status.mac = mac;
            }
            // A patch's peer is the patch of that name whose own peer is this one.
            let peer_of = |own: &str, peer: &str| peers.get(&(peer.to_owned(), own.to_owned())).copied();
            let config = plan::bridge_config(row, &ports, &bridge.bundles, peer_of, mac, restore_wait);
            let configure = Configure {
                config,
                own: bridge.address.clone(),
                controllers: row.controllers.clone(),
                versions: row.protocols,
            };
            asked.push(Box::pin(bridge.address.ask(configure, PATIENCE)));
        }
        asked
    }

    fn configured(&mut self, ctx: &mut Context<Self>) {
        self.tune_datapaths();
        self.publish(true);
        self.busy = false;
        if let Some(metrics) = &self.metrics {
            metrics.offer(crate::metrics::Listen(self.desired.other_config.get("metrics").cloned()));
        }
        self.write_status(Some(self.desired.next_cfg));
        self.start_reconfiguration(ctx);
        self.apply_port_changes(ctx);
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
    let others = bridge.ports.values().filter(|p| !is_internal(&p.kind) && p.odp.is_some());
    let least = others.filter_map(|p| p.status.mtu).min().unwrap_or(DEFAULT_MTU);
    for port in bridge.ports.values_mut() {
        let fits = port.status.mtu.is_none_or(|mtu| mtu == least);
        if is_internal(&port.kind) && port.config.mtu_request.is_none() && !fits {
            if let Ok(mtu) = u32::try_from(least) {
                port.address.offer(SetMtu(mtu));
            }
            port.status.mtu = Some(least);
        }
    }
}

fn interfaces_of(row: &DesiredBridge) -> BTreeMap<String, &DesiredInterface> {
    row.ports.values().flat_map(|p| p.interfaces.iter().map(|(n, i)| (n.clone(), i))).collect()
}

/// Whether an interface asks for another number than it has.
fn request_moved(interface: &DesiredInterface, port: &PortState) -> bool {
    port.port != OfPort::LOCAL
        && interface.ofport_request.is_some_and(|n| n != i64::from(port.port.0))
        && interface.ofport_request != port.config.ofport_request
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
    config: &DesiredInterface,
) -> BoxFuture<'static, Opened> {
    let (bridge, port) = (bridge.to_owned(), port.to_owned());
    let asked = address.ask(Reconfigure(config.clone()), PATIENCE);
    Box::pin(async move { (bridge, port, asked.await.map(Ok)) })
}
