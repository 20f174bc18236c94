//! By which device of the host's what a tunnel sends leaves, as an interface's `status` has it.
//!
//! Source: ovs-vswitchd.conf.db(5), `status:tunnel_egress_iface`.

use std::sync::Arc;

use ofproto::view::underlay::{RouteOrigin, Underlay};
use ofproto::view::{Setting, TunnelConfig};

use super::Switch;
use crate::host::HostView;
use crate::msg::port::PortStatus;

const DEVICE: &str = "tunnel_egress_iface";
const CARRIER: &str = "tunnel_egress_iface_carrier";

/// Puts down by which device the host leads to a tunnel's remote end, if that is one and the host knows a way; ways that people
/// tell of do not count, as in Open vSwitch.
pub(super) fn fill(status: &mut PortStatus, tunnel: &TunnelConfig, underlay: &Underlay, host: Option<&Arc<HostView>>) {
    status.status.retain(|key, _| key != DEVICE && key != CARRIER);
    let Setting::Value(remote) = tunnel.remote else { return };
    let Some(route) = underlay.route(remote, 0).filter(|route| route.origin != RouteOrigin::User) else { return };
    let link = host.and_then(|host| host.link(&route.device));
    let carrier = if link.is_some_and(|link| link.running) { "up" } else { "down" };
    status.status.insert(DEVICE.to_owned(), route.device.clone());
    status.status.insert(CARRIER.to_owned(), carrier.to_owned());
}

impl Switch {
    /// Writes what has changed of it.
    pub(super) fn tell_egress(&mut self) {
        let network = self.host.as_ref().map(|host| host.view.load());
        let mut is_new = false;
        for port in self.bridges.values_mut().flat_map(|bridge| bridge.ports.values_mut()) {
            let Some(tunnel) = port.tunnel.as_ref().filter(|_| port.added) else { continue };
            let mut status = PortStatus::clone(&port.status);
            fill(&mut status, tunnel, &self.view.underlay, network.as_deref());
            if status != *port.status {
                port.status = Arc::new(status);
                is_new = true;
            }
        }
        if is_new {
            self.write_status(None);
        }
    }
}
