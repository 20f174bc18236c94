//! What tunnels that the switch encapsulates itself learn from the host: its addresses, and where its routes lead.

use ofproto::view::underlay::{HostNetwork, RouteOrigin, UnderlayRoute, is_v4, mapped, masked};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
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

/// Addresses by device, those of the longest prefix first, then in the kernel's order: the oldest IPv4 address first, the
/// youngest IPv6 address.
fn own_addresses(host: &HostView) -> BTreeMap<u32, Vec<(u128, u8)>> {
    let mut all: Vec<_> = host.addresses.iter().collect();
    let age = |address: &IpAddr, order: u64| if address.is_ipv4() { order } else { u64::MAX - order };
    all.sort_by_key(|((index, address), own)| {
        (*index, Reverse(bits(*address, own.prefix_len)), age(address, own.order))
    });
    let mut by_device: BTreeMap<u32, Vec<(u128, u8)>> = BTreeMap::new();
    for ((index, address), own) in all {
        by_device.entry(*index).or_default().push((mapped(*address), bits(*address, own.prefix_len)));
    }
    by_device
}

/// The network as the host's tables have it: of routes to the same the one that the kernel lists last, by its device's
/// address nearest to where it leads. Routes by devices without such an address lead nowhere.
pub(super) fn network(host: &HostView) -> HostNetwork {
    let own = own_addresses(host);
    let mut routes: BTreeMap<(bool, Reverse<u8>, u128), UnderlayRoute> = BTreeMap::new();
    let mut all: Vec<_> = host.routes.iter().collect();
    all.sort_by_key(|(r, order)| (r.table, r.destination, r.prefix_len, r.tos, r.metric, **order));
    for (route, _) in all {
        let Some(link) = host.links.get(&route.ifindex) else { continue };
        let towards = route.gateway.unwrap_or(route.destination);
        let leads = |(address, len): &&(u128, u8)| {
            is_v4(*address) == towards.is_ipv4() && masked(*address, *len) == masked(mapped(towards), *len)
        };
        let Some((source, _)) = own.get(&route.ifindex).and_then(|own| own.iter().find(leads)) else { continue };
        let len = bits(route.destination, route.prefix_len);
        let prefix = masked(mapped(route.destination), len);
        let key = (route.destination.is_ipv6(), Reverse(len), prefix);
        if routes.len() >= MOST && !routes.contains_key(&key) {
            continue;
        }
        let origin = if route.local { RouteOrigin::Local } else { RouteOrigin::Host };
        let gateway = route.gateway.map(mapped);
        let device = link.name.clone();
        routes.insert(key, UnderlayRoute { prefix, len, mark: 0, device, gateway, source: *source, origin });
    }
    let mut network = HostNetwork { routes: routes.into_values().collect(), ..HostNetwork::default() };
    let routed: BTreeSet<_> = network.routes.iter().map(|route| route.device.clone()).collect();
    for (index, own) in own {
        let Some(link) = host.links.get(&index) else { continue };
        if link.mac != 0 && routed.contains(&link.name) {
            network.by_mac.entry(link.mac).or_default().push(link.name.clone());
        }
        for (address, _) in &own {
            network.by_address.entry(*address).or_default().push(link.name.clone());
        }
        network.addresses.insert(link.name.clone(), own);
    }
    network
}

#[cfg(test)]
mod tests {
    use super::super::view::{Link, OwnAddress, Route};
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// A route of a table by a device.
    fn route(table: u32, ifindex: u32, (to, prefix_len): (&str, u8), gateway: Option<&str>, metric: u32) -> Route {
        Route {
            table: ((table & 0xff) as u8, table),
            destination: ip(to),
            prefix_len,
            tos: Reverse(0),
            metric,
            local: table == 255,
            ifindex,
            gateway: gateway.map(ip),
            source: None,
        }
    }

    fn host(routes: Vec<Route>) -> HostView {
        let link = |index: u32, name: &str| {
            (index, Link { index, name: name.into(), mac: u64::from(index - 1), ..Link::default() })
        };
        let own = |index, address: &str, prefix_len, order| ((index, ip(address)), OwnAddress { prefix_len, order });
        HostView {
            links: [link(1, "lo"), link(2, "br0"), link(3, "br1")].into_iter().collect(),
            addresses: [
                own(1, "127.0.0.1", 8, 1),
                own(2, "10.0.0.9", 24, 2),
                own(2, "10.0.0.1", 24, 3),
                own(2, "10.0.0.33", 28, 4),
                own(2, "fd00::1", 64, 5),
                own(2, "fd00::2", 64, 6),
                own(3, "10.0.7.1", 24, 7),
            ]
            .into_iter()
            .collect(),
            routes: routes.into_iter().zip(0..).collect(),
            ..HostView::default()
        }
    }

    fn told(network: &HostNetwork) -> Vec<String> {
        let text = |a: u128| ofproto::view::underlay::unmapped(a);
        let len = |r: &UnderlayRoute| if is_v4(r.source) { r.len - MAPPED_BITS } else { r.len };
        let line = |r: &UnderlayRoute| {
            let gateway = r.gateway.map(|g| format!(" by {}", text(g))).unwrap_or_default();
            format!("{}/{} {}{gateway} from {} {:?}", text(r.prefix), len(r), r.device, text(r.source), r.origin)
        };
        network.routes.iter().map(line).collect()
    }

    #[test]
    fn routes_go_from_the_nearest_address_or_are_not_there() {
        let network = network(&host(vec![
            route(255, 1, ("127.0.0.0", 8), None, 0),
            route(255, 2, ("10.0.0.1", 32), None, 0),
            route(254, 2, ("10.0.0.0", 24), None, 0),
            route(254, 2, ("10.0.0.40", 32), None, 0),
            route(254, 2, ("0.0.0.0", 0), Some("10.0.0.70"), 0),
            route(254, 2, ("192.0.2.0", 24), None, 0),
            route(254, 3, ("198.51.100.0", 24), Some("10.0.0.70"), 0),
            route(254, 2, ("fd00::", 64), None, 256),
        ]));
        let expect = [
            "10.0.0.1/32 br0 from 10.0.0.9 Local",
            "10.0.0.40/32 br0 from 10.0.0.33 Host",
            "10.0.0.0/24 br0 from 10.0.0.9 Host",
            "127.0.0.0/8 lo from 127.0.0.1 Local",
            "0.0.0.0/0 br0 by 10.0.0.70 from 10.0.0.9 Host",
            "fd00::/64 br0 from fd00::2 Host",
        ];
        assert_eq!(told(&network), expect);
        let own = |text: &str, len| (mapped(ip(text)), MAPPED_BITS + len);
        assert_eq!(network.addresses["br1"], [own("10.0.7.1", 24)]);
        assert_eq!(network.by_mac, [(1, vec!["br0".to_owned()])].into(), "lo has none, br1 no route");
        assert_eq!(network.by_address[&mapped(ip("10.0.7.1"))], ["br1"]);
        assert_eq!(network.addresses["br0"][..2], [(mapped(ip("10.0.0.33")), 124), (mapped(ip("10.0.0.9")), 120)]);
    }

    #[test]
    fn of_routes_to_the_same_the_last_in_the_kernels_list_counts() {
        let both = |to, first, second| {
            let by = |(table, metric), ifindex, gateway| route(table, ifindex, (to, 16), Some(gateway), metric);
            [by(first, 2, "10.0.0.70"), by(second, 3, "10.0.7.7")]
        };
        let all = [
            both("9.1.0.0", (254, 5), (254, 3)),
            both("9.2.0.0", (254, 3), (254, 5)),
            both("9.3.0.0", (254, 0), (42, 0)),
            both("9.4.0.0", (1042, 0), (254, 0)),
            both("9.5.0.0", (300, 0), (200, 0)),
            both("9.6.0.0", (254, 0), (254, 0)),
        ];
        let devices = |routes| -> Vec<_> { network(&host(routes)).routes.into_iter().map(|r| r.device).collect() };
        assert_eq!(devices(all.concat()), ["br0", "br1", "br0", "br1", "br1", "br1"]);
        // Of those that nothing else tells apart the last to come is the last in the list.
        let [first, second] = both("9.6.0.0", (254, 0), (254, 0));
        assert_eq!(devices(vec![second, first]), ["br0"]);
    }
}
