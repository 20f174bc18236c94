//! The IPv4 address that the database gives a bridge's own device, for a controller that is reached in-band.

use std::net::Ipv4Addr;

use ::idl::vswitch as ovs;

/// `local_ip` of a controller, with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalAddress {
    /// The address.
    pub ip: Ipv4Addr,
    /// `local_netmask`, or that of the address's class.
    pub netmask: Ipv4Addr,
    /// `local_gateway`.
    pub gateway: Option<Ipv4Addr>,
}

/// The netmask of an address's class; multicast and what is beyond have none.
fn class_mask(address: Ipv4Addr) -> Ipv4Addr {
    match address.octets()[0] {
        0..=127 => Ipv4Addr::new(255, 0, 0, 0),
        128..=191 => Ipv4Addr::new(255, 255, 0, 0),
        192..=223 => Ipv4Addr::new(255, 255, 255, 0),
        224.. => Ipv4Addr::UNSPECIFIED,
    }
}

impl LocalAddress {
    /// What makes no sense, or is all zeros, is as if it were not said; but an address of zeros takes the device's away.
    pub fn read(row: &ovs::Controller<'_>) -> Option<Self> {
        Self::parse(row.local_ip()?, row.local_netmask(), row.local_gateway())
    }

    fn parse(ip: &str, netmask: Option<&str>, gateway: Option<&str>) -> Option<Self> {
        let said = |text: Option<&str>| text?.parse::<Ipv4Addr>().ok().filter(|a| !a.is_unspecified());
        let ip = ip.parse().ok()?;
        Some(Self { ip, netmask: said(netmask).unwrap_or_else(|| class_mask(ip)), gateway: said(gateway) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_of_the_class() {
        for (ip, netmask, gateway, want) in [
            ("10.1.2.3", None, None, Some(("10.1.2.3", "255.0.0.0", None))),
            ("127.255.0.1", None, None, Some(("127.255.0.1", "255.0.0.0", None))),
            ("128.0.0.1", Some("0.0.0.0"), Some("0.0.0.0"), Some(("128.0.0.1", "255.255.0.0", None))),
            ("191.9.0.1", Some("24"), Some("bar"), Some(("191.9.0.1", "255.255.0.0", None))),
            ("192.168.3.3", None, Some("192.168.3.1"), Some(("192.168.3.3", "255.255.255.0", Some("192.168.3.1")))),
            ("223.1.1.1", Some("255.255.0.0"), None, Some(("223.1.1.1", "255.255.0.0", None))),
            ("225.1.1.1", None, None, Some(("225.1.1.1", "0.0.0.0", None))),
            ("foo", Some("255.0.0.0"), Some("10.1.2.1"), None),
        ] {
            let address = |text: &str| text.parse::<Ipv4Addr>().expect("an address of the table");
            let want = want.map(|(ip, netmask, gateway)| LocalAddress {
                ip: address(ip),
                netmask: address(netmask),
                gateway: gateway.map(address),
            });
            assert_eq!(LocalAddress::parse(ip, netmask, gateway), want, "{ip} {netmask:?} {gateway:?}");
        }
    }
}
