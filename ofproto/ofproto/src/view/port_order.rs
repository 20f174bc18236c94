//! The order in which ports are listed and flooded to: that of the hash table in which Open vSwitch keeps them, for people
//! and programs that compare its lists with ours.
//!
//! It goes by the hash of the number. Observed of Open vSwitch 3.1.

use flow::hash;
use hashing::HashOrder;
use openflow::OfPort;

/// A bridge's ports in the order of their listing.
#[derive(Clone, Debug, Default)]
pub struct PortOrder(HashOrder<OfPort>);

impl PortOrder {
    /// Adds ports that came together, by their names.
    pub fn add<'a>(&mut self, ports: impl Iterator<Item = (OfPort, &'a str)>) {
        let named = HashOrder::by_name(ports.map(|(port, name)| (name, port)));
        // The bridge's own port is made when the others are there.
        let (own, others): (Vec<OfPort>, Vec<OfPort>) = named.iter().partition(|p| *p == OfPort::LOCAL);
        for port in others.into_iter().chain(own) {
            self.0.insert(hash::two_words(port.0.into(), 0), port);
        }
    }

    /// Takes a port out.
    pub fn remove(&mut self, port: OfPort) {
        self.0.remove(port);
    }

    /// The ports in order.
    pub fn iter(&self) -> impl Iterator<Item = OfPort> + '_ {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(steps: &[&[u32]]) -> Vec<u32> {
        let mut order = PortOrder::default();
        for step in steps {
            let named: Vec<(OfPort, String)> = step.iter().map(|p| (OfPort(*p as u16), format!("p{p}"))).collect();
            order.add(named.iter().map(|(port, name)| (*port, name.as_str())));
        }
        order.iter().map(|p| p.0.into()).collect()
    }

    #[test]
    fn the_bridge_itself_stands_where_its_number_hashes() {
        let local = u32::from(OfPort::LOCAL.0);
        assert_eq!(order(&[&[local], &[1], &[2], &[3]]), [local, 1, 2, 3]);
        // 1 and 4 share a bucket with it: the newest is first.
        assert_eq!(order(&[&[1], &[2], &[3], &[4], &[local]]), [local, 4, 1, 2, 3]);
    }

    #[test]
    fn a_port_that_went_leaves_the_others_in_place() {
        let mut order = PortOrder::default();
        let names = ["p1", "p2", "p3", "p4"];
        order.add((1..).map(OfPort).zip(names));
        let before: Vec<OfPort> = order.iter().collect();
        order.remove(OfPort(2));
        let after: Vec<OfPort> = order.iter().collect();
        assert_eq!(after, before.into_iter().filter(|p| *p != OfPort(2)).collect::<Vec<_>>());
    }

    #[test]
    fn every_port_is_listed_once_however_many() {
        let mut order = PortOrder::default();
        for n in 1..500 {
            order.add([(OfPort(n), "x")].into_iter());
        }
        let mut all: Vec<u32> = order.iter().map(|p| p.0.into()).collect();
        all.sort_unstable();
        assert_eq!(all, (1..500).collect::<Vec<_>>());
    }
}
