//! What tunnels that the switch encapsulates itself learn from the host: its addresses, and where its routes lead.

use ofproto::view::underlay::{HostNetwork, RouteOrigin, UnderlayRoute, mapped, masked};
use std::net::IpAddr;

use super::HostView;

/// Most routes that are kept.
const MOST: usize = 4096;
/// Bits of the part that tells an IPv4 address in the form of an IPv6 one.
const MAPPED_BITS: u8 = 96;

/// A prefix length, of 128 bits.
fn bits(address: IpAddr, len: u8) -> u8 {
    if address.is_ipv4() { MAPPED_BITS + len } else { len }
}

/// The network as the host's tables have it. Its own addresses are routes to themselves.
pub(super) fn network(host: &HostView) -> HostNetwork {
    let mut network = HostNetwork::default();
    let device = |index: &u32| host.links.get(index).map(|link| link.name.clone());
    let mut add = |(to, len): (u128, u8), index: &u32, gateway: Option<u128>, source: u128, origin: RouteOrigin| {
        let Some(bridge) = device(index).filter(|_| network.routes.len() < MOST) else { return };
        network.routes.push(UnderlayRoute { prefix: masked(to, len), len, mark: 0, bridge, gateway, source, origin });
    };
    for ((index, address), len) in host.addresses.iter() {
        let (own, len) = (mapped(*address), bits(*address, *len));
        add((own, 128), index, None, own, RouteOrigin::Local);
        if address.is_loopback() && len < 128 {
            add((own, len), index, None, own, RouteOrigin::Local);
        }
    }
    for route in host.routes.iter() {
        let own = host.addresses.iter().filter(|((index, _), _)| *index == route.ifindex);
        let towards = route.gateway.unwrap_or(route.destination);
        let same = own.filter(|((_, address), _)| address.is_ipv4() == towards.is_ipv4());
        let near = |((_, address), len): &(&(u32, IpAddr), &u8)| {
            let len = bits(*address, **len);
            masked(mapped(*address), len) == masked(mapped(towards), len)
        };
        let source = same.clone().find(near).or_else(|| same.clone().next()).map(|((_, address), _)| *address);
        let Some(source) = route.source.or(source) else { continue };
        let to = (mapped(route.destination), bits(route.destination, route.prefix_len));
        add(to, &route.ifindex, route.gateway.map(mapped), mapped(source), RouteOrigin::Host);
    }
    for ((index, address), len) in host.addresses.iter() {
        if let Some(name) = device(index) {
            network.addresses.entry(name).or_default().push((mapped(*address), bits(*address, *len)));
        }
    }
    network
}

#[cfg(test)]
mod tests {
    use super::super::view::{Link, Route};
    use super::*;
    use std::sync::Arc;

    #[test]
    fn addresses_lead_to_themselves_and_routes_have_a_source() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let link = |index, name: &str| (index, Link { index, name: name.into(), ..Link::default() });
        let route = |to: &str, prefix_len, gateway: Option<&str>| Route {
            destination: ip(to),
            prefix_len,
            metric: 0,
            ifindex: 2,
            gateway: gateway.map(ip),
            source: None,
        };
        let host = HostView {
            links: Arc::new([link(1, "lo"), link(2, "br0")].into()),
            addresses: Arc::new(
                [((1, ip("127.0.0.1")), 8), ((2, ip("10.0.0.1")), 24), ((2, ip("fd00::1")), 64)].into(),
            ),
            routes: Arc::new([route("10.0.0.0", 24, None), route("0.0.0.0", 0, Some("10.0.0.9"))].into()),
            ..HostView::default()
        };
        let network = network(&host);
        let told = |r: &UnderlayRoute| (r.prefix, r.len, r.bridge.clone(), r.gateway, r.source, r.origin);
        let told: Vec<_> = network.routes.iter().map(told).collect();
        let (own, six, lo) = (mapped(ip("10.0.0.1")), mapped(ip("fd00::1")), mapped(ip("127.0.0.1")));
        let local = |own, to, len, device: &str| (to, len, device.to_owned(), None, own, RouteOrigin::Local);
        let any = mapped(ip("0.0.0.0"));
        assert_eq!(
            told,
            [
                local(lo, lo, 128, "lo"),
                local(lo, mapped(ip("127.0.0.0")), 104, "lo"),
                local(own, own, 128, "br0"),
                local(six, six, 128, "br0"),
                (any, 96, "br0".into(), Some(mapped(ip("10.0.0.9"))), own, RouteOrigin::Host),
                (mapped(ip("10.0.0.0")), 120, "br0".into(), None, own, RouteOrigin::Host),
            ]
        );
        assert_eq!(network.addresses["br0"], [(own, 120), (six, 64)]);
    }
}
