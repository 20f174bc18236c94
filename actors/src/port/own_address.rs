//! The IPv4 address that the database gives a bridge's own device, for controllers that are reached in-band.

use actix::prelude::*;

use super::Port;
use super::device::{Device, reason};
use crate::msg::port::SetIpv4;
use crate::supervise::Player;
use crate::switch::local_address::LocalAddress;

/// Has the device be as wanted; the log is told of what had to be changed.
fn give(name: &str, wanted: &LocalAddress) {
    if let Err(error) = sys::device::set_up(name, true) {
        vlog::warn_rl!("netdev", 5, 20, "{name}: {error}");
    }
    let (ip, netmask) = (wanted.ip, wanted.netmask);
    // The kernel refuses one that can be nobody's, of which nothing is said.
    if sys::ipv4(name).ok() != Some((ip, netmask)) && sys::set_ipv4(name, ip, netmask).is_ok() {
        vlog::info!("bridge", "bridge {name}: configured IP address {ip}, netmask {netmask}");
    }
    let Some(gateway) = wanted.gateway else { return };
    match sys::add_default_route(gateway) {
        Ok(()) => vlog::info!("bridge", "bridge {name}: configured gateway {gateway}"),
        // It stands, as it was asked for.
        Err(error) if error.errno() == libc::EEXIST => {}
        Err(error) => vlog::warn_rl!("netdev_linux", 5, 20, "ioctl(SIOCADDRT): {}", reason(&error)),
    }
}

impl Handler<SetIpv4> for Port {
    type Result = ();

    fn handle(&mut self, m: SetIpv4, _: &mut Context<Self>) {
        self.desk().received();
        if let Some(Device::Tap(_)) = &self.device {
            m.0.iter().for_each(|wanted| give(&self.setup.config.name, wanted));
            self.look();
        }
    }
}
