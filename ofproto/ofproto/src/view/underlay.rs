//! The network under tunnels that the switch encapsulates itself: which bridge's own port leads to an address, which
//! addresses are its own, and the Ethernet addresses of neighbours.
//!
//! IPv4 addresses are kept in their IPv6 form, `::ffff:a.b.c.d`. Source: ovs-vswitchd(8), "ovs/route" and "tnl/neigh".

use std::collections::BTreeMap;
use std::net::IpAddr;

pub use flow::outer::is_v4;

/// Where an IPv6 address is an IPv4 one.
const MAPPED: u128 = 0xffff_0000_0000;

/// An address in the form in which all are kept.
pub fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => MAPPED | u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// The address of people.
pub fn unmapped(address: u128) -> IpAddr {
    if is_v4(address) { IpAddr::V4((address as u32).into()) } else { IpAddr::V6(address.into()) }
}

/// Who told of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteOrigin {
    /// A person.
    #[default]
    User,
    /// The host's table.
    Host,
    /// The host: an address of its own.
    Local,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderlayRoute {
    /// Destination, its other bits zero.
    pub prefix: u128,
    /// Bits of it that count, of 128.
    pub len: u8,
    /// Mark of the packets that it is for.
    pub mark: u32,
    /// Device they leave by: a bridge's own port, or another port that is a device of the host as well.
    pub device: String,
    /// Next hop, if it is not the destination.
    pub gateway: Option<u128>,
    /// Address to send from.
    pub source: u128,
    /// Who told of it.
    pub origin: RouteOrigin,
}

/// The network as the host's own tables have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNetwork {
    /// Routes; none of [`RouteOrigin::User`].
    pub routes: Vec<UnderlayRoute>,
    /// Addresses with their prefix lengths (of 128), by device.
    pub addresses: BTreeMap<String, Vec<(u128, u8)>>,
    /// Devices with addresses and routes, by their Ethernet addresses (48 bits).
    pub by_mac: BTreeMap<u64, Vec<String>>,
    /// Devices by their addresses.
    pub by_address: BTreeMap<u128, Vec<String>>,
}

/// What is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Underlay {
    /// Routes that people made, by prefix, length and mark.
    pub routes: Vec<UnderlayRoute>,
    /// Addresses of dummies with their prefix lengths (of 128), by device.
    pub addresses: BTreeMap<String, Vec<(u128, u8)>>,
    /// What the host has beside them.
    pub host: HostNetwork,
    /// Neighbours: bridge, address, Ethernet address (48 bits); the latest last.
    pub neighbours: Vec<(String, u128, u64)>,
    /// How long a neighbour is known that nobody hears of and nothing is sent to; [`DEFAULT_AGING_S`] if nobody said.
    pub aging_s: Option<u32>,
    /// UDP ports that tunnels send from, as somebody said.
    pub sources: Option<(u16, u16)>,
}

/// Seconds for which neighbours are known unless somebody says otherwise: ovs-vswitchd(8), `tnl/neigh/aging`.
pub const DEFAULT_AGING_S: u32 = 900;

/// The bits of an address that a prefix of `len` bits has.
pub fn masked(address: u128, len: u8) -> u128 {
    if len == 0 { 0 } else { address & (u128::MAX << (128 - u32::from(len.min(128)))) }
}

impl UnderlayRoute {
    /// The more particular goes before the other; one of a person's before those of the host up to 32 bits longer (as to an
    /// IPv4 address any is), to the host itself before both. The numbers are Open vSwitch's.
    fn priority(&self) -> u8 {
        let ahead = match self.origin {
            RouteOrigin::Local => 64,
            RouteOrigin::User => 32,
            RouteOrigin::Host => 0,
        };
        self.len.saturating_add(ahead)
    }
}

impl Underlay {
    /// All routes, as they are listed: the order in which a look-up would see them.
    pub fn listed_routes(&self) -> Vec<&UnderlayRoute> {
        let mut best = std::collections::BTreeMap::<u8, u8>::new();
        for route in self.all_routes() {
            let best = best.entry(route.len).or_default();
            *best = route.priority().max(*best);
        }
        let mut listed: Vec<_> = self.all_routes().collect();
        listed.sort_by_key(|r| std::cmp::Reverse((best.get(&r.len).copied(), r.len, r.priority())));
        listed
    }

    /// All routes: those of people, then the host's.
    pub fn all_routes(&self) -> impl Iterator<Item = &UnderlayRoute> {
        self.routes.iter().chain(&self.host.routes)
    }

    /// The route to an address for packets of a mark that goes before others.
    pub fn route(&self, to: u128, mark: u32) -> Option<&UnderlayRoute> {
        let leads =
            |r: &&UnderlayRoute| r.mark == mark && masked(to, r.len) == r.prefix && is_v4(to) == is_v4(r.source);
        self.all_routes().filter(leads).max_by_key(|r| (r.priority(), r.origin == RouteOrigin::User))
    }

    /// Puts a route in, in place of one to the same.
    ///
    /// # Errors
    /// The text to show: the device has no address to send from.
    pub fn add_route(
        &mut self,
        (to, len): (u128, u8),
        device: &str,
        gateway: Option<u128>,
        mark: u32,
    ) -> Result<(), String> {
        let towards = gateway.unwrap_or(to);
        let same = |(a, _): &&(u128, u8)| is_v4(*a) == is_v4(towards);
        let near = |(a, l): &&(u128, u8)| masked(*a, *l) == masked(towards, *l);
        let source = self.own_prefixes(device).filter(same).find(near);
        let source = source.map(|(a, _)| *a).ok_or("Error while inserting route.")?;
        let (prefix, origin) = (masked(to, len), RouteOrigin::User);
        self.routes.retain(|r| (r.prefix, r.len, r.mark) != (prefix, len, mark));
        self.routes.push(UnderlayRoute { prefix, len, mark, device: device.to_owned(), gateway, source, origin });
        self.routes.sort_by_key(|r| (!is_v4(r.source), r.prefix, r.len, r.mark));
        Ok(())
    }

    /// The Ethernet address of a neighbour of a bridge.
    pub fn neighbour(&self, bridge: &str, address: u128) -> Option<u64> {
        self.neighbours.iter().find(|(b, a, _)| b == bridge && *a == address).map(|(.., mac)| *mac)
    }

    /// Whether a packet to this address is for the device itself, as far as tunnels go: it has a route.
    pub fn listens(&self, device: &str, to: u128) -> bool {
        self.all_routes().any(|r| r.device == device) && self.own(device).any(|a| a == to)
    }

    /// The addresses of a device.
    pub fn own(&self, device: &str) -> impl Iterator<Item = u128> {
        self.own_prefixes(device).map(|(a, _)| *a)
    }

    /// Devices that have an address.
    pub fn owners(&self, address: u128) -> impl Iterator<Item = &str> {
        let dummies = self.addresses.iter().filter(move |(_, own)| own.iter().any(|(a, _)| *a == address));
        let hosts = self.host.by_address.get(&address).into_iter().flatten();
        dummies.map(|(device, _)| device).chain(hosts).map(String::as_str)
    }

    /// Whether there is any device that tunnels may end at.
    pub fn has_ends(&self) -> bool {
        !self.host.by_mac.is_empty() || self.routes.iter().any(|r| self.addresses.contains_key(&r.device))
    }

    fn own_prefixes(&self, device: &str) -> impl Iterator<Item = &(u128, u8)> {
        [&self.addresses, &self.host.addresses].into_iter().filter_map(|all| all.get(device)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> u128 {
        mapped(text.parse().expect("an address"))
    }

    #[test]
    fn the_most_particular_route_of_the_mark_leads() {
        let mut under = Underlay::default();
        under.addresses.insert("br0".into(), vec![(address("1.1.2.88"), 120), (address("2001:cafe::88"), 24)]);
        for (to, len, mark) in [("1.1.2.92", 120, 0), ("1.1.2.92", 128, 7), ("2001:cafe::92", 24, 0)] {
            under.add_route((address(to), len), "br0", None, mark).expect("a source");
        }
        let all = (address("0.0.0.0"), 96);
        under.add_route(all, "br0", Some(address("1.1.2.1")), 0).expect("a source near the gateway");
        assert!(under.add_route(all, "br0", None, 9).is_err(), "no address is near");
        let found = |to: &str, mark| under.route(address(to), mark).map(|r| (r.len, unmapped(r.source).to_string()));
        assert_eq!(found("1.1.2.1", 0), Some((120, "1.1.2.88".to_owned())));
        assert_eq!(found("9.9.9.9", 0), Some((96, "1.1.2.88".to_owned())));
        assert_eq!(found("1.1.2.92", 7), Some((128, "1.1.2.88".to_owned())));
        assert_eq!(found("1.1.2.1", 7), None);
        assert_eq!(found("2001:caff::1", 0), Some((24, "2001:cafe::88".to_owned())));
        let none = under.add_route((address("7.7.0.0"), 112), "br1", None, 0);
        assert_eq!(none, Err("Error while inserting route.".to_owned()));
        assert!(under.listens("br0", address("1.1.2.88")) && !under.listens("br0", address("1.1.2.89")));
    }

    #[test]
    fn a_persons_route_goes_before_the_hosts() {
        let own = (address("1.1.2.88"), 120);
        let (device, origin) = ("br0".to_owned(), RouteOrigin::Host);
        let host = UnderlayRoute { prefix: own.0, len: 128, mark: 0, device, gateway: None, source: own.0, origin };
        let mut under = Underlay::default();
        under.host.addresses.insert("br0".into(), vec![own]);
        under.host.routes.push(host);
        assert_eq!(under.route(own.0, 0).map(|r| r.len), Some(128));
        assert!(under.listens("br0", own.0) && !under.has_ends() && under.owners(own.0).next().is_none());
        under.addresses.insert("br1".into(), vec![own]);
        under.host.by_address.insert(own.0, vec!["br0".into()]);
        assert_eq!(under.owners(own.0).collect::<Vec<_>>(), ["br1", "br0"]);
        under.host.by_mac.insert(7, vec!["br0".into()]);
        assert!(under.has_ends());
        under.add_route((own.0, 96), "br0", None, 0).expect("the host's address to send from");
        assert_eq!(under.route(own.0, 0).map(|r| r.len), Some(96));
        // But not before those to the host itself.
        under.host.routes[0].origin = RouteOrigin::Local;
        assert_eq!(under.route(own.0, 0).map(|r| r.len), Some(128));
        under.add_route((own.0, 128), "br0", None, 0).expect("the same address to send from");
        assert_eq!(under.route(own.0, 0).map(|r| r.origin), Some(RouteOrigin::Local));
        let listed = under.listed_routes().into_iter().map(|r| (r.len, r.origin)).collect::<Vec<_>>();
        assert_eq!(listed, [(128, RouteOrigin::Local), (128, RouteOrigin::User), (96, RouteOrigin::User)]);
    }
}
