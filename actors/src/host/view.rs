//! What the host's network looks like: an immutable picture of links, addresses, routes and neighbours, and how a
//! route netlink message changes it (rtnetlink(7)). Routes of all tables are kept; no rules, no routes by several next
//! hops, no link statistics.

use rpds::RedBlackTreeMapSync as Map;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, Stats64};
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// A network device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Number, unique in the network namespace.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Ethernet address, 48 bits; 0 if it has none.
    pub mac: u64,
    /// Octets.
    pub mtu: u32,
    /// Set up.
    pub up: bool,
    /// The link is there, and the device is up.
    pub running: bool,
    /// Somebody wants all of its frames: whoever watches it, for one.
    pub promiscuous: bool,
    /// How often the link went or came.
    pub carrier_changes: u32,
    /// Such as `veth`; of virtual devices only.
    pub kind: Option<String>,
}

/// Counters of a device, as the kernel keeps them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Octets received.
    pub rx_bytes: u64,
    /// Octets sent.
    pub tx_bytes: u64,
    /// Received with any error.
    pub rx_errors: u64,
    /// Not sent because of an error.
    pub tx_errors: u64,
    /// Received but dropped, for want of memory for example.
    pub rx_dropped: u64,
    /// Dropped instead of sent.
    pub tx_dropped: u64,
    /// Multicast packets received.
    pub rx_multicast: u64,
    /// Collisions while sending.
    pub collisions: u64,
    /// Received when the device's buffer was full.
    pub rx_over_err: u64,
    /// Received with a wrong frame check sequence.
    pub rx_crc_err: u64,
    /// Received with a wrong alignment.
    pub rx_frame_err: u64,
    /// Missed by the device itself.
    pub rx_missed_errors: u64,
    /// Not sent to the end.
    pub tx_aborted_err: u64,
    /// Not sent for want of a carrier.
    pub tx_carrier_err: u64,
}

impl LinkCounters {
    /// As the other side of the device sees it: what the host sends into a tap is what the switch receives from it.
    pub fn swapped(self) -> Self {
        Self {
            rx_packets: self.tx_packets,
            tx_packets: self.rx_packets,
            rx_bytes: self.tx_bytes,
            tx_bytes: self.rx_bytes,
            rx_errors: self.tx_errors,
            tx_errors: self.rx_errors,
            rx_dropped: self.tx_dropped,
            tx_dropped: self.rx_dropped,
            // The kernel tells these of its own receiving only.
            rx_multicast: 0,
            rx_over_err: 0,
            rx_crc_err: 0,
            rx_frame_err: 0,
            rx_missed_errors: 0,
            tx_aborted_err: 0,
            tx_carrier_err: 0,
            ..self
        }
    }

    fn of(stats: &Stats64) -> Self {
        Self {
            rx_packets: stats.rx_packets,
            tx_packets: stats.tx_packets,
            rx_bytes: stats.rx_bytes,
            tx_bytes: stats.tx_bytes,
            rx_errors: stats.rx_errors,
            tx_errors: stats.tx_errors,
            rx_dropped: stats.rx_dropped,
            tx_dropped: stats.tx_dropped,
            rx_multicast: stats.multicast,
            collisions: stats.collisions,
            rx_over_err: stats.rx_over_errors,
            rx_crc_err: stats.rx_crc_errors,
            rx_frame_err: stats.rx_frame_errors,
            rx_missed_errors: stats.rx_missed_errors,
            tx_aborted_err: stats.tx_aborted_errors,
            tx_carrier_err: stats.tx_carrier_errors,
        }
    }
}

/// An address of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnAddress {
    /// Bits of it that its network has.
    pub prefix_len: u8,
    /// Later ones have greater numbers.
    pub order: u64,
}

/// A route, in the order in which the kernel lists them, but for those whose tables, destinations, types of service and
/// metrics are equal: it lists those as they came.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Table: the kernel goes by the low eight bits.
    pub table: (u8, u32),
    /// Destination; `0.0.0.0` or `::` with no bits for all.
    pub destination: IpAddr,
    /// Bits of it that count.
    pub prefix_len: u8,
    /// For packets of this type of service alone; those for all come last.
    pub tos: std::cmp::Reverse<u8>,
    /// Lower is better.
    pub metric: u32,
    /// To the host itself.
    pub local: bool,
    /// Device.
    pub ifindex: u32,
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// Address to send from.
    pub source: Option<IpAddr>,
}

/// The whole picture. Versions share what did not change, so that a host with thousands of devices pays for the one that
/// did.
#[derive(Debug, Clone, Default)]
pub struct HostView {
    /// Grows with each change.
    pub version: u64,
    /// Grows with each change of what routes go by: themselves, addresses, names and Ethernet addresses of devices.
    pub network_version: u64,
    /// By index.
    pub links: Map<u32, Link>,
    /// Indexes by name.
    pub names: Map<String, u32>,
    /// By device and address.
    pub addresses: Map<(u32, IpAddr), OwnAddress>,
    /// How many addresses have come so far.
    pub n_addresses: u64,
    /// Routes; later ones have greater numbers.
    pub routes: Map<Route, u64>,
    /// How many routes have come so far.
    pub n_routes: u64,
    /// Ethernet addresses by device and address.
    pub neighbours: Map<(u32, IpAddr), u64>,
}

fn mac_of(octets: &[u8]) -> u64 {
    if octets.len() == 6 { octets.iter().fold(0, |n, b| (n << 8) | u64::from(*b)) } else { 0 }
}

fn kind_name(kind: &InfoKind) -> String {
    kind.to_string()
}

/// A link message's device.
pub fn link_of(message: &LinkMessage) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        up: flags.contains(LinkFlags::Up),
        running: flags.contains(LinkFlags::Up) && flags.contains(LinkFlags::LowerUp),
        ..Link::default()
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(octets) => link.mac = mac_of(octets),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Promiscuity(by) => link.promiscuous = *by > 0,
            LinkAttribute::CarrierChanges(total) => link.carrier_changes = *total,
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.iter().find_map(|i| match i {
                    LinkInfo::Kind(kind) => Some(kind_name(kind)),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    link
}

/// A link message's counters, by the device's name.
pub fn counters_of(message: &LinkMessage) -> Option<(String, LinkCounters)> {
    let mut name = None;
    let mut counters = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text.clone()),
            LinkAttribute::Stats64(stats) => counters = Some(LinkCounters::of(stats)),
            _ => {}
        }
    }
    Some((name?, counters?))
}

fn address_of(message: &AddressMessage) -> Option<((u32, IpAddr), u8)> {
    let mut address = None;
    for attribute in &message.attributes {
        match attribute {
            // On a link with a peer this one is ours, and the other the peer's.
            AddressAttribute::Local(local) => address = Some(*local),
            AddressAttribute::Address(other) => address = address.or(Some(*other)),
            _ => {}
        }
    }
    Some(((message.header.index, address?), message.header.prefix_len))
}

fn ip_of(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

fn route_of(message: &RouteMessage) -> Option<Route> {
    use rtnetlink::packet_route::AddressFamily;
    let local = match message.header.kind {
        RouteType::Unicast => false,
        RouteType::Local => true,
        _ => return None,
    };
    let any: IpAddr = match message.header.address_family {
        AddressFamily::Inet => std::net::Ipv4Addr::UNSPECIFIED.into(),
        AddressFamily::Inet6 => std::net::Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    let mut table = u32::from(message.header.table);
    let mut route = Route {
        table: (0, 0),
        destination: any,
        prefix_len: message.header.destination_prefix_length,
        tos: std::cmp::Reverse(message.header.tos),
        metric: 0,
        local,
        ifindex: 0,
        gateway: None,
        source: None,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => route.destination = ip_of(address)?,
            RouteAttribute::Gateway(address) => route.gateway = ip_of(address),
            RouteAttribute::PrefSource(address) => route.source = ip_of(address),
            RouteAttribute::Oif(index) => route.ifindex = *index,
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::Table(number) => table = *number,
            _ => {}
        }
    }
    route.table = ((table & 0xff) as u8, table);
    (route.ifindex != 0).then_some(route)
}

fn neighbour_of(message: &NeighbourMessage) -> Option<((u32, IpAddr), Option<u64>)> {
    let mut address = None;
    let mut mac = None;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => address = Some(IpAddr::V4(*v4)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => address = Some(IpAddr::V6(*v6)),
            NeighbourAttribute::LinkLayerAddress(octets) => mac = Some(mac_of(octets)).filter(|m| *m != 0),
            _ => {}
        }
    }
    let known = !matches!(message.header.state, NeighbourState::Incomplete | NeighbourState::Failed);
    Some(((message.header.ifindex, address?), mac.filter(|_| known)))
}

/// Changes a map only if that changes anything.
fn set<K: Ord, V: PartialEq>(map: &mut Map<K, V>, key: K, value: Option<V>) -> bool {
    if map.get(&key) == value.as_ref() {
        return false;
    }
    match value {
        Some(value) => map.insert_mut(key, value),
        None => _ = map.remove_mut(&key),
    }
    true
}

/// Takes out all that a map has of a device.
fn forget<V>(map: &mut Map<(u32, IpAddr), V>, index: u32) -> bool {
    let of_device = of_device(map, index).map(|(key, _)| *key).collect::<Vec<_>>();
    for key in &of_device {
        map.remove_mut(key);
    }
    !of_device.is_empty()
}

/// What a map has of a device, in the order of addresses.
fn of_device<V>(map: &Map<(u32, IpAddr), V>, index: u32) -> impl Iterator<Item = (&(u32, IpAddr), &V)> {
    let least = (index, IpAddr::from([0; 4]));
    map.range(least..).take_while(move |((of, _), _)| *of == index)
}

impl HostView {
    /// The device of a name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.names.get(name).and_then(|index| self.links.get(index))
    }

    /// A device's addresses, those of IPv4 first.
    pub fn addresses_of(&self, index: u32) -> impl Iterator<Item = IpAddr> {
        of_device(&self.addresses, index).map(|((_, address), _)| *address)
    }

    /// Takes a message in; says whether it changed anything, and adds names of devices that came, went or changed.
    pub fn apply(&mut self, message: &RouteNetlinkMessage, touched: &mut BTreeSet<String>) -> bool {
        let (changed, network) = match message {
            RouteNetlinkMessage::NewLink(m) => self.set_link(m.header.index, Some(link_of(m)), touched),
            RouteNetlinkMessage::DelLink(m) => self.set_link(m.header.index, None, touched),
            RouteNetlinkMessage::NewNeighbour(m) => {
                (neighbour_of(m).is_some_and(|(key, mac)| set(&mut self.neighbours, key, mac)), false)
            }
            RouteNetlinkMessage::DelNeighbour(m) => {
                (neighbour_of(m).is_some_and(|(key, _)| set(&mut self.neighbours, key, None)), false)
            }
            _ => {
                let changed = self.apply_to_network(message);
                (changed, changed)
            }
        };
        self.version += u64::from(changed);
        self.network_version += u64::from(network);
        changed
    }

    fn apply_to_network(&mut self, message: &RouteNetlinkMessage) -> bool {
        match message {
            RouteNetlinkMessage::NewAddress(m) => address_of(m).is_some_and(|(key, len)| self.add_address(key, len)),
            RouteNetlinkMessage::DelAddress(m) => address_of(m).is_some_and(|(key, _)| self.delete_address(key)),
            RouteNetlinkMessage::NewRoute(m) => route_of(m).is_some_and(|route| {
                let is_new = !self.routes.contains_key(&route);
                if is_new {
                    self.n_routes += 1;
                    self.routes.insert_mut(route, self.n_routes);
                }
                is_new
            }),
            RouteNetlinkMessage::DelRoute(m) => route_of(m).is_some_and(|route| self.routes.remove_mut(&route)),
            _ => false,
        }
    }

    fn add_address(&mut self, key: (u32, IpAddr), prefix_len: u8) -> bool {
        let known = self.addresses.get(&key).map(|own| own.order);
        self.n_addresses += u64::from(known.is_none());
        let own = OwnAddress { prefix_len, order: known.unwrap_or(self.n_addresses) };
        set(&mut self.addresses, key, Some(own))
    }

    fn delete_address(&mut self, key: (u32, IpAddr)) -> bool {
        let changed = set(&mut self.addresses, key, None);
        let (index, address) = key;
        if changed && address.is_ipv4() {
            // The kernel does not tell of each IPv4 route that goes with an address.
            let is_last = !self.addresses_of(index).any(|own| own.is_ipv4());
            self.drop_routes(|r| {
                r.destination.is_ipv4() && (r.source == Some(address) && !r.local || is_last && r.ifindex == index)
            });
        }
        changed
    }

    fn drop_routes(&mut self, goes: impl Fn(&Route) -> bool) -> bool {
        let gone = self.routes.keys().filter(|r| goes(r)).cloned().collect::<Vec<_>>();
        for route in &gone {
            self.routes.remove_mut(route);
        }
        !gone.is_empty()
    }

    /// Notes what a device is now, and says whether that changed anything, and anything that routes go by.
    fn set_link(&mut self, index: u32, link: Option<Link>, touched: &mut BTreeSet<String>) -> (bool, bool) {
        let before = self.links.get(&index);
        if before == link.as_ref() {
            return (false, false);
        }
        let goes_by = |l: &Link| (l.name.clone(), l.mac);
        let (old, new) = (before.map(goes_by), link.as_ref().map(goes_by));
        let goes_down = link.as_ref().is_some_and(|l| !l.up) && before.is_some_and(|l| l.up);
        let mut network = old != new;
        if goes_down {
            // Nor does the kernel tell of the IPv4 routes that go as a device goes down.
            network |= self.drop_routes(|r| r.ifindex == index && r.destination.is_ipv4() && !r.local);
        }
        if let Some((name, _)) = &old
            && self.names.get(name) == Some(&index)
        {
            self.names.remove_mut(name);
        }
        if let Some((name, _)) = &new {
            self.names.insert_mut(name.clone(), index);
        }
        let gone = link.is_none();
        set(&mut self.links, index, link);
        touched.extend(old.into_iter().chain(new).map(|(name, _)| name));
        if gone {
            // The kernel does not tell of each route and neighbour that goes with a device.
            self.drop_routes(|r| r.ifindex == index);
            forget(&mut self.neighbours, index);
            forget(&mut self.addresses, index);
        }
        (true, network)
    }

    /// Names of devices that differ between two pictures.
    pub fn differences(&self, other: &Self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for (a, b) in [(self, other), (other, self)] {
            for (index, link) in a.links.iter() {
                if b.links.get(index) != Some(link) {
                    names.insert(link.name.clone());
                }
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, up: bool) -> RouteNetlinkMessage {
        let mut m = LinkMessage::default();
        m.header.index = index;
        m.header.flags = if up { LinkFlags::Up | LinkFlags::LowerUp } else { LinkFlags::empty() };
        m.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Mtu(1500),
            LinkAttribute::Address(vec![0x02, 0, 0, 0, 0, index as u8]),
        ];
        RouteNetlinkMessage::NewLink(m)
    }

    #[test]
    fn devices_come_change_their_name_and_go() {
        let mut view = HostView::default();
        let mut names = BTreeSet::new();
        assert!(view.apply(&link(3, "veth0", true), &mut names));
        assert!(!view.apply(&link(3, "veth0", true), &mut names), "nothing new");
        assert_eq!(view.link("veth0").map(|l| (l.mac, l.mtu, l.running)), Some((0x0200_0000_0003, 1500, true)));
        names.clear();
        view.apply(&link(3, "eth7", false), &mut names);
        assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), ["eth7", "veth0"]);
        let RouteNetlinkMessage::NewLink(gone) = link(3, "eth7", false) else { return };
        names.clear();
        assert!(view.apply(&RouteNetlinkMessage::DelLink(gone), &mut names));
        assert!(names.contains("eth7") && view.links.is_empty());
    }

    #[test]
    fn the_parts_untouched_are_shared() {
        let mut view = HostView::default();
        view.apply(&link(3, "veth0", true), &mut BTreeSet::new());
        let before = view.clone();
        let mut m = AddressMessage::default();
        m.header.index = 3;
        m.header.prefix_len = 24;
        m.attributes = vec![AddressAttribute::Local(IpAddr::from([10, 0, 0, 1]))];
        assert!(view.apply(&RouteNetlinkMessage::NewAddress(m), &mut BTreeSet::new()));
        assert!(before.links.ptr_eq(&view.links));
        assert_eq!((view.addresses.size(), before.addresses.size()), (1, 0));
    }

    #[test]
    fn routes_do_not_go_by_what_else_changes_of_devices() {
        let mut view = HostView::default();
        let mut told = |message: &RouteNetlinkMessage| {
            let before = (view.version, view.network_version);
            view.apply(message, &mut BTreeSet::new());
            (view.version - before.0, view.network_version - before.1)
        };
        assert_eq!(told(&link(3, "veth0", true)), (1, 1), "a device more");
        assert_eq!(told(&link(3, "veth0", false)), (1, 0), "it goes down, and no route with it");
        assert_eq!(told(&link(3, "veth1", false)), (1, 1), "another name");
        let mut address = AddressMessage::default();
        address.header.index = 3;
        address.attributes = vec![AddressAttribute::Local(IpAddr::from([10, 0, 0, 1]))];
        assert_eq!(told(&RouteNetlinkMessage::NewAddress(address.clone())), (1, 1));
        assert_eq!(told(&RouteNetlinkMessage::NewAddress(address.clone())), (0, 0), "known");
        assert_eq!(told(&RouteNetlinkMessage::DelAddress(address)), (1, 1));
        let mut neighbour = NeighbourMessage::default();
        neighbour.header.ifindex = 3;
        neighbour.header.state = NeighbourState::Reachable;
        neighbour.attributes = vec![
            NeighbourAttribute::Destination(NeighbourAddress::Inet([10, 0, 0, 2].into())),
            NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, 9]),
        ];
        assert_eq!(told(&RouteNetlinkMessage::NewNeighbour(neighbour)), (1, 0));
    }

    #[test]
    fn a_name_leads_to_who_has_it_now_and_what_a_device_had_goes_with_it() {
        let mut view = HostView::default();
        let mut apply = |message: RouteNetlinkMessage| {
            view.apply(&message, &mut BTreeSet::new());
            view.link("veth0").map(|l| l.index)
        };
        apply(link(3, "veth0", true));
        assert_eq!(apply(link(4, "veth0", true)), Some(4), "the kernel's order of telling is not ours to judge");
        assert_eq!(apply(link(3, "veth1", true)), Some(4));
        for (index, last) in [(4, 1), (4, 2), (5, 3)] {
            let mut m = AddressMessage::default();
            m.header.index = index;
            m.attributes = vec![AddressAttribute::Local(IpAddr::from([10, 0, 0, last]))];
            apply(RouteNetlinkMessage::NewAddress(m));
        }
        let RouteNetlinkMessage::NewLink(gone) = link(4, "veth0", false) else { return };
        assert_eq!(apply(RouteNetlinkMessage::DelLink(gone)), None);
        assert_eq!(view.addresses.keys().map(|(index, _)| *index).collect::<Vec<_>>(), [5]);
    }
}
