//! What devices went through while their ports were made: who tells of devices knows a port only when the directory
//! has it, and what the kernel said at its opening may be of before.

use super::Switch;
use crate::host::view::Link;
use crate::msg::port::{LinkChanged, PortStatus};
use crate::port::device::DeviceKind;

/// Whether a port knows its device as the host has it.
fn is_current(status: &PortStatus, link: &Link) -> bool {
    let told = (status.admin_up, status.link_up, status.mac, status.mtu);
    told == (link.up, link.running, link.mac, Some(i64::from(link.mtu)))
}

impl Switch {
    /// Has ports look at their devices that are other than told. To be called when the directory has all ports: of later
    /// changes they hear themselves.
    pub(super) fn tell_missed(&self) {
        let Some(host) = &self.host else { return };
        let view = host.view.load();
        for (name, port) in self.bridges.values().flat_map(|bridge| &bridge.ports) {
            if !matches!(port.device, DeviceKind::System | DeviceKind::Internal) {
                continue;
            }
            let index = port.status.ifindex.and_then(|index| u32::try_from(index).ok());
            let link = index.and_then(|index| view.links.get(&index)).filter(|link| link.name == *name);
            if !link.is_some_and(|link| is_current(&port.status, link)) {
                let watched = link.is_some_and(|link| link.promiscuous);
                port.address.offer(LinkChanged { carrier_changes: link.map(|link| link.carrier_changes), watched });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_current_if_all_that_the_host_tells_is_so() {
        let link = Link { mac: 7, mtu: 1500, up: true, running: false, ..Link::default() };
        let known = PortStatus { mac: 7, mtu: Some(1500), admin_up: true, link_up: false, ..PortStatus::default() };
        assert!(is_current(&known, &link));
        for other in [
            PortStatus { admin_up: false, ..known.clone() },
            PortStatus { link_up: true, ..known.clone() },
            PortStatus { mac: 8, ..known.clone() },
            PortStatus { mtu: None, ..known.clone() },
        ] {
            assert!(!is_current(&other, &link), "{other:?}");
        }
    }
}
