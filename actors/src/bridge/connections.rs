//! A bridge's listeners and controllers: kept as configured, those that did not change left alone.

use futures::future::{BoxFuture, join_all};
use ofproto::bridge::{ConnKind, ControllerConfig, ControllersConfig, RateLimit};
use ofproto::rconn::Settings;
use openflow::VersionSet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Bridge;
use crate::controller::{Admit, Listener, ReadStatus, Reconfigure, Reconnect, Renew, Session, SessionSetup, Way};
use crate::host::HostView;
use crate::mailbox::{Address, Card};
use crate::msg::bridge::ControllerReport;
use crate::stream::{Method, NameError, OPENFLOW_PORT};
use crate::switch::desired::{DesiredController, DesiredControllers};

/// How long a connection may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(5);
/// Times of those who come to the management socket.
const SERVICE: Settings = Settings { max_backoff_s: 0, probe_s: 60 };

/// The actors of a bridge's connections.
#[derive(Default)]
pub(super) struct Connections {
    versions: Option<VersionSet>,
    controllers: BTreeMap<String, (ConnKind, Address<Session>, DesiredController)>,
    services: BTreeMap<String, (ConnKind, Address<Listener>, DesiredController)>,
    /// What could not be connected to or listened on, to be told once.
    refused: BTreeSet<String>,
}

/// A target's method; one that connects keeps trying even where its address makes no sense.
type Target = Result<Method, NameError>;

/// Why a target is nothing for a bridge.
enum Refusal {
    /// A kind of connection that there is none of.
    Unknown,
    /// An address that cannot be listened on: which, and why.
    Address(String, NameError),
    /// Others might come to harm.
    Danger(String),
}

/// A target's method, if it is one that a bridge may use: sockets of other programs are none of its business.
fn method_of(bridge: &str, target: &str, run_dir: &Path) -> Result<Target, Refusal> {
    let method = match (Method::parse(target, OPENFLOW_PORT, run_dir), target.split_once(':')) {
        (Ok(method), _) => method,
        (Err(error), Some(("tcp" | "ssl", _))) => return Ok(Err(error)),
        (Err(error), Some(("ptcp" | "pssl", address))) => return Err(Refusal::Address(address.to_owned(), error)),
        _ => return Err(Refusal::Unknown),
    };
    let run = run_dir.display();
    let always = format!("\"unix:{run}/{bridge}.mgmt\" (which is always available without special configuration).");
    match &method {
        Method::Unix(path) if !path.starts_with(run_dir) || path.components().any(|c| c.as_os_str() == "..") => {
            Err(Refusal::Danger(format!(
                "bridge {bridge}: Not connecting to socket controller \"{target}\" due to possibility for remote \
                 exploit.  Instead, specify socket in permitted directory \"unix:{run}/\" or connect to {always}"
            )))
        }
        Method::PassiveUnix(path) => {
            let name = path.strip_prefix(run_dir).ok().and_then(Path::to_str).unwrap_or_default();
            let permitted = name.strip_prefix(bridge).is_some_and(|rest| rest.starts_with('.') && !rest.contains('/'));
            if permitted {
                return Ok(Ok(method));
            }
            Err(Refusal::Danger(format!(
                "bridge {bridge}: Not adding Unix domain socket controller \"{target}\" due to possibility of \
                 overwriting local files. Instead, specify path in permitted format \"punix:{run}/{bridge}.*\" or \
                 connect to {always}"
            )))
        }
        _ => Ok(Ok(method)),
    }
}

fn is_passive(method: &Target) -> bool {
    method.as_ref().is_ok_and(Method::is_passive)
}

fn settings(row: &DesiredController) -> Settings {
    Settings { max_backoff_s: row.max_backoff_ms / 1000, probe_s: row.inactivity_probe_ms.map_or(5, |ms| ms / 1000) }
}

/// As [`settings`]; a controller on the same host is not probed, since its end would be seen at once, nor who only
/// listens.
fn session_settings(row: &DesiredController, method: &Target) -> Settings {
    let local = matches!(method, Ok(Method::Unix(_))) || kind_of(row, method) == ConnKind::Snoop;
    let settings = settings(row);
    Settings { probe_s: if local { 0 } else { settings.probe_s }, ..settings }
}

fn kind_of(row: &DesiredController, method: &Target) -> ConnKind {
    match row.kind.as_deref() {
        Some("service") => ConnKind::Service,
        Some("snoop") => ConnKind::Snoop,
        Some("primary") => ConnKind::Primary,
        _ if is_passive(method) => ConnKind::Service,
        _ => ConnKind::Primary,
    }
}

fn kind_name(kind: ConnKind) -> &'static str {
    match kind {
        ConnKind::Primary => "primary",
        ConnKind::Service => "service",
        ConnKind::Snoop => "snoop",
    }
}

/// What decides whether a connection has to be made anew.
fn same_way(a: &DesiredController, b: &DesiredController) -> bool {
    a.target.starts_with('p') || (a.dscp, &a.kind) == (b.dscp, &b.kind)
}

fn log_anew(bridge: &str, target: &str) {
    vlog::info!(
        "connmgr",
        "{bridge}: Changes to controller \"{target}\" expects re-initialization: Re-initializing now."
    );
}

/// What becomes of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    /// Made anew.
    Anew,
    /// No longer configured.
    Gone,
}

impl Bridge {
    /// Listens where people look for the bridge, and connects to the controllers that are configured.
    pub(super) fn configure_connections(&mut self, wanted: &DesiredControllers, versions: VersionSet) {
        // Other versions are another switch: whoever is connected has to say hello again.
        let anew = self.connections.versions.replace(versions).is_some_and(|old| old != versions);
        let mut configs = Vec::new();
        let mut rows: BTreeMap<&str, (&DesiredController, Target)> = BTreeMap::new();
        let mut refused = BTreeSet::new();
        // Who names `none` alone wants none.
        let is_none = matches!(wanted.controllers.as_slice(), [only] if only.target == "none");
        for row in wanted.controllers.iter().filter(|_| !is_none) {
            match method_of(&self.setup.name, &row.target, &self.setup.run_dir) {
                Ok(method) => {
                    configs.push(self.controller_config(row, &method, wanted.in_band_disabled));
                    rows.insert(&row.target, (row, method));
                }
                Err(why) => {
                    if !self.connections.refused.contains(&row.target) {
                        let (name, target) = (&self.setup.name, &row.target);
                        match why {
                            Refusal::Danger(text) => vlog::err!("bridge", "{text}"),
                            // Names of hosts that nobody knows are not told of.
                            Refusal::Address(address, error) if error.0.starts_with(&address) => {}
                            Refusal::Address(address, error) => vlog::err!("socket_util", "{address}: {error}"),
                            Refusal::Unknown => vlog::warn!("connmgr", "{name}: unsupported controller \"{target}\""),
                        }
                    }
                    refused.insert(row.target.clone());
                }
            }
        }
        self.connections.refused = refused;
        let own = [self.own_socket("mgmt", "service"), self.own_socket("snoop", "snoop")];
        rows.extend(own.iter().map(|(row, method)| (row.target.as_str(), (row, Ok(method.clone())))));
        let fate = |target: &str, old: &DesiredController| match rows.get(target) {
            None => Fate::Gone,
            Some((row, _)) if anew || !same_way(row, old) => Fate::Anew,
            Some(_) => Fate::Stays,
        };
        let known: BTreeSet<String> = self.connections.controllers.keys().cloned().collect();
        self.dismiss_connections(Fate::Anew, fate);
        for (row, method) in rows.values() {
            self.keep_connection(row, method, versions, anew);
        }
        self.dismiss_connections(Fate::Gone, |target, _| match rows.contains_key(target) {
            true => Fate::Stays,
            false => Fate::Gone,
        });
        let is_in_band = |row: &DesiredController| !wanted.in_band_disabled && !row.out_of_band;
        let odd = rows.values().filter(|(row, _)| is_in_band(row) && !known.contains(&row.target));
        for (row, error) in odd.filter_map(|(row, method)| Some((row, method.as_ref().err()?))) {
            // Ports are looked at once more for the rules of in-band control.
            if let (Some((_, address)), true) = (row.target.split_once(':'), error.0.starts_with("bad port")) {
                vlog::err!("socket_util", "{address}: {error}");
            }
        }
        let controlled = rows.values().any(|(row, method)| kind_of(row, method) == ConnKind::Primary);
        for (_, listener, _) in self.connections.services.values().filter(|(kind, ..)| *kind == ConnKind::Snoop) {
            listener.offer(Admit(controlled));
        }
        self.core.set_controllers(
            ControllersConfig {
                controllers: configs,
                remotes: if wanted.in_band_disabled { Vec::new() } else { wanted.managers.clone() },
                queue: wanted.in_band_queue,
            },
            crate::clock::now_ms(),
        );
    }

    /// A socket where people look for the bridge, as if it were configured.
    fn own_socket(&self, name: &str, kind: &str) -> (DesiredController, Method) {
        let path = self.setup.run_dir.join(format!("{}.{name}", self.setup.name));
        let row = DesiredController {
            target: format!("punix:{}", path.display()),
            kind: Some(kind.to_owned()),
            inactivity_probe_ms: Some(SERVICE.probe_s * 1000),
            ..DesiredController::default()
        };
        (row, Method::PassiveUnix(path))
    }

    /// Ends the connections whose fate is `which`. A listener that is to be made anew goes on, and is told so later.
    fn dismiss_connections(&mut self, which: Fate, fate: impl Fn(&str, &DesiredController) -> Fate) {
        let (name, family) = (&self.setup.name, &self.family);
        let stays = |target: &str, kind: ConnKind, row: &DesiredController, card: &Arc<Card>| {
            if fate(target, row) != which {
                return true;
            }
            if which == Fate::Gone {
                vlog::info!("connmgr", "{name}: removed {} controller \"{target}\"", kind_name(kind));
            } else {
                log_anew(name, target);
            }
            family.dismiss(card);
            false
        };
        self.connections.controllers.retain(|target, (kind, session, row)| stays(target, *kind, row, session.card()));
        if which == Fate::Gone {
            self.connections
                .services
                .retain(|target, (kind, listener, row)| stays(target, *kind, row, listener.card()));
        }
    }

    fn keep_connection(&mut self, row: &DesiredController, method: &Target, versions: VersionSet, anew: bool) {
        let target = &row.target;
        let Some(bridge) = self.own.clone() else { return };
        let kind = kind_of(row, method);
        let (name, tls) = (self.setup.name.clone(), self.setup.tls.clone());
        let dscp = row.dscp.and_then(|n| u8::try_from(n).ok()).filter(|n| *n < 64);
        let mut setup = SessionSetup {
            kind,
            bridge_name: name.clone(),
            peer: target.clone(),
            target: target.clone(),
            versions,
            debug_actions: self.setup.debug_actions,
            bridge,
            settings: session_settings(row, method),
            way: None,
        };
        if let Some((_, session, old)) = self.connections.controllers.get_mut(target) {
            if old != row {
                // Who asks for times now is probed even on the same host, as by Open vSwitch 3.1.
                session.offer(Reconfigure(settings(row)));
            }
            old.clone_from(row);
            return;
        }
        if let Some((_, listener, old)) = self.connections.services.get_mut(target) {
            if anew || settings(old) != settings(row) {
                if anew && kind != ConnKind::Snoop {
                    log_anew(&name, target);
                    vlog::info!("connmgr", "{name}: added {} controller \"{target}\"", kind_name(kind));
                }
                listener.offer(Renew(setup));
            }
            old.clone_from(row);
            return;
        }
        if let Some(method) = method.as_ref().ok().filter(|method| method.is_passive()) {
            match Listener::start(&self.family, target, method, &tls, setup) {
                Ok(listener) => drop(self.connections.services.insert(target.clone(), (kind, listener, row.clone()))),
                Err(error) => {
                    let error = crate::stream::errno_text(&error);
                    vlog::err!("connmgr", "failed to listen on {target}: {error}");
                    return;
                }
            }
        } else {
            setup.way = Some(Way { method: method.clone(), tls, dscp });
            let session = Session::start(&self.family, setup);
            self.connections.controllers.insert(target.clone(), (kind, session, row.clone()));
        }
        if kind != ConnKind::Snoop {
            vlog::info!("connmgr", "{name}: added {} controller \"{target}\"", kind_name(kind));
        }
    }

    fn controller_config(&self, row: &DesiredController, method: &Target, disabled: bool) -> ControllerConfig {
        let number = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        let rate = number(row.rate_limit);
        let limit = (rate > 0).then(|| RateLimit {
            rate,
            // Without a burst of its own a limit allows a quarter of a second's.
            burst: if number(row.burst_limit) > 0 { number(row.burst_limit) } else { (rate / 4).max(1) },
        });
        let remote = match method {
            Ok(Method::Tcp(to) | Method::Ssl(to)) if !disabled && !row.out_of_band => {
                to.host.parse::<Ipv4Addr>().ok().map(|ip| (ip, to.port))
            }
            _ => None,
        };
        let probe_s = settings(row).probe_s;
        ControllerConfig {
            target: row.target.clone(),
            // Nobody who is waited for is missed.
            kind: if is_passive(method) { ConnKind::Service } else { kind_of(row, method) },
            in_band: remote,
            probe_s: if probe_s > 0 { probe_s.max(5) } else { 0 },
            limit,
            queue_size: row.queue_size.and_then(|n| u32::try_from(n).ok()),
            enable_async: row.enable_async,
        }
    }

    /// Drops the connections to controllers, which will be made anew.
    pub(super) fn reconnect(&self) {
        for (_, session, _) in self.connections.controllers.values() {
            session.offer(Reconnect);
        }
    }

    /// How every controller is, as its session says.
    pub(super) fn controller_reports(&self) -> BoxFuture<'static, Vec<ControllerReport>> {
        let roles = self.core.connection_roles();
        let sessions = self.connections.controllers.iter();
        let asked: Vec<_> = sessions
            .map(|(target, (_, session, _))| {
                let (answer, target) = (session.ask(ReadStatus, PATIENCE), target.clone());
                let role = roles.iter().find(|(name, _)| *name == target).map(|(_, role)| *role);
                let queues = self.core.packet_queues(&target);
                async move { ControllerReport { target, role, status: answer.await.ok(), queues } }
            })
            .collect();
        Box::pin(join_all(asked))
    }

    /// Looks for the ways to remotes in what the host is known to be.
    pub(super) fn find_next_hops(&mut self, remotes: &[Ipv4Addr]) {
        let view = self.setup.directory.load().host.as_ref().map(|host| host.view.load_full());
        let local = view.as_ref().and_then(|v| v.link(&self.setup.name)).map(|l| l.index);
        let mut found = BTreeMap::new();
        for ip in remotes {
            match (&view, local) {
                (Some(view), Some(_)) => match next_hop(view, *ip) {
                    Some((device, hop)) => {
                        let mac = view.neighbours.get(&(device, IpAddr::V4(hop))).copied().filter(|mac| *mac != 0);
                        found.extend(mac.map(|mac| (*ip, mac)));
                    }
                    None => self.no_route(*ip, "No such device or address"),
                },
                _ => self.no_route(*ip, "Operation not supported"),
            }
        }
        self.core.next_hops(found);
    }

    // a look a second while a remote is not reached, and Open vSwitch writes each: 60 a minute
    fn no_route(&self, ip: Ipv4Addr, why: &str) {
        vlog::warn_rl!("in_band", 60, 60, "{}: cannot find route for controller ({ip}): {why}", self.setup.name);
    }
}

/// The device and the address on its link that packets for `ip` go to. Routes to the host itself are no way to anything:
/// for its own addresses Open vSwitch follows the other routes, or finds none.
fn next_hop(view: &HostView, ip: Ipv4Addr) -> Option<(u32, Ipv4Addr)> {
    let covers = |destination: Ipv4Addr, bits: u8| {
        let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
        (u32::from(destination) ^ u32::from(ip)) & mask == 0
    };
    let best = view
        .routes
        .keys()
        .filter(|r| !r.local && matches!(r.destination, IpAddr::V4(d) if covers(d, r.prefix_len)))
        .max_by_key(|r| (r.prefix_len, std::cmp::Reverse(r.metric)))?;
    match best.gateway {
        Some(IpAddr::V4(gateway)) => Some((best.ifindex, gateway)),
        Some(IpAddr::V6(_)) => None,
        None => Some((best.ifindex, ip)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::view::Route;

    /// What is known of the host, an address, and the next hop to it.
    type Case<'a> = (&'a HostView, [u8; 4], Option<[u8; 4]>);

    fn route(local: bool, (to, prefix_len): ([u8; 4], u8), gateway: Option<[u8; 4]>, ifindex: u32) -> Route {
        let (table, destination) = (if local { 255 } else { 254 }, IpAddr::from(to));
        let (gateway, tos) = (gateway.map(IpAddr::from), std::cmp::Reverse(0));
        Route {
            table: (table, table.into()),
            destination,
            prefix_len,
            tos,
            metric: 0,
            local,
            ifindex,
            gateway,
            source: None,
        }
    }

    #[test]
    fn ways_to_remotes_are_not_those_to_the_host_itself() {
        let own = [route(true, ([127, 0, 0, 0], 8), None, 1), route(true, ([10, 0, 0, 1], 32), None, 2)];
        let link = route(false, ([10, 0, 0, 0], 24), None, 2);
        let default = route(false, ([0; 4], 0), Some([10, 0, 0, 254]), 2);
        let view =
            |routes: Vec<Route>| HostView { routes: routes.into_iter().zip(0..).collect(), ..HostView::default() };
        let alone = view(own.to_vec());
        let linked = view([own.as_slice(), &[link, default]].concat());
        let cases: [Case<'_>; 5] = [
            (&alone, [127, 0, 0, 1], None),
            (&alone, [10, 0, 0, 1], None),
            (&linked, [127, 0, 0, 1], Some([10, 0, 0, 254])),
            (&linked, [10, 0, 0, 7], Some([10, 0, 0, 7])),
            (&linked, [8, 8, 8, 8], Some([10, 0, 0, 254])),
        ];
        for (view, to, hop) in cases {
            assert_eq!(next_hop(view, to.into()), hop.map(|hop| (2, hop.into())), "{to:?}");
        }
    }
}
