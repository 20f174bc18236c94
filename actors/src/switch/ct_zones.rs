//! Timeouts of tracked connections by zone: the database's `Datapath`, `CT_Zone` and `CT_Timeout_Policy` rows, and the
//! numbers under which a datapath knows them.
//!
//! Zones with the same timeouts share a number. A number stays what it is while a zone uses it, so that cached flows
//! that name it stay right. Source: ovs-vswitchd.conf.db(5).

use std::collections::BTreeMap;

use ::idl::Replica;
use ::idl::vswitch as ovs;
use dp::ct::{Timeout, Timeouts};
use ovsdb::Uuid;

/// Timeouts by name, seconds.
pub type Policy = BTreeMap<String, i64>;
/// Policies by zone.
pub type Zones = BTreeMap<u16, Policy>;

/// What the columns call each timeout of the datapath.
const NAMES: [(&str, Timeout); 11] = [
    ("tcp_syn_sent", Timeout::TcpFirst),
    ("tcp_syn_recv", Timeout::TcpOpening),
    ("tcp_established", Timeout::TcpEstablished),
    ("tcp_fin_wait", Timeout::TcpClosing),
    ("tcp_time_wait", Timeout::TcpFinWait),
    ("tcp_close", Timeout::TcpClosed),
    ("udp_first", Timeout::OtherFirst),
    ("udp_single", Timeout::OtherMultiple),
    ("udp_multiple", Timeout::OtherBidir),
    ("icmp_first", Timeout::IcmpFirst),
    ("icmp_reply", Timeout::IcmpReply),
];

/// The zones of a `Datapath` row that have timeouts of their own.
pub fn read(replica: &Replica, datapath: Uuid) -> Zones {
    let Some(row) = ovs::Datapath::find(replica, datapath) else { return Zones::new() };
    let policy = |zone: Uuid| {
        let policy = ovs::CTZone::find(replica, zone)?.timeout_policy()?;
        let policy = ovs::CTTimeoutPolicy::find(replica, policy)?;
        Some(policy.timeouts().iter().map(|(name, seconds)| (name.to_string(), *seconds)).collect())
    };
    row.ct_zones().into_iter().filter_map(|(zone, uuid)| Some((u16::try_from(zone).ok()?, policy(uuid)?))).collect()
}

/// A policy as the datapath takes it: what is not named stays as it is without a policy.
fn timeouts(policy: &Policy) -> Timeouts {
    let mut timeouts = Timeouts::default();
    for (name, which) in NAMES {
        if let Some(seconds) = policy.get(name).and_then(|s| u64::try_from(*s).ok()) {
            timeouts.0[which as usize] = seconds.saturating_mul(1000);
        }
    }
    timeouts
}

/// The numbers in use: number 1 is the first.
#[derive(Debug, Default)]
pub struct Numbers(Vec<Option<Policy>>);

impl Numbers {
    /// Gives each zone its policy's number; says as well what to tell the datapath: names and timeouts.
    pub fn assign(&mut self, zones: &Zones) -> (BTreeMap<u16, u32>, Vec<(String, Timeouts)>) {
        for slot in &mut self.0 {
            slot.take_if(|policy| !zones.values().any(|wanted| wanted == policy));
        }
        let (mut assigned, mut news) = (BTreeMap::new(), Vec::new());
        for (zone, policy) in zones {
            let known = self.0.iter().position(|slot| slot.as_ref() == Some(policy));
            let i = known.unwrap_or_else(|| {
                let i = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
                self.0.resize(self.0.len().max(i + 1), None);
                self.0[i] = Some(policy.clone());
                news.push(((i + 1).to_string(), timeouts(policy)));
                i
            });
            assigned.insert(*zone, i as u32 + 1);
        }
        (assigned, news)
    }

    /// All policies, for a datapath that has forgotten them.
    pub fn all(&self) -> Vec<(String, Timeouts)> {
        let numbered = self.0.iter().enumerate();
        numbered.filter_map(|(i, policy)| Some(((i + 1).to_string(), timeouts(policy.as_ref()?)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(pairs: &[(&str, i64)]) -> Policy {
        pairs.iter().map(|(name, seconds)| ((*name).to_owned(), *seconds)).collect()
    }

    #[test]
    fn zones_share_numbers_and_keep_them() {
        let (a, b, c) = (policy(&[("udp_first", 7)]), policy(&[("icmp_first", 4)]), policy(&[]));
        let mut numbers = Numbers::default();
        let (zones, news) = numbers.assign(&[(5, a.clone()), (6, b.clone()), (9, a.clone())].into());
        assert_eq!(zones, [(5, 1), (6, 2), (9, 1)].into());
        assert_eq!(news.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(news[0].1.0[Timeout::OtherFirst as usize], 7000);
        assert_eq!(news[0].1.0[Timeout::TcpFirst as usize], 30_000, "not named: as always");
        let (zones, news) = numbers.assign(&[(6, b.clone()), (7, c)].into());
        assert_eq!(zones, [(6, 2), (7, 1)].into(), "a number that is free is given again");
        assert_eq!((news.len(), numbers.all().len()), (1, 2));
        assert_eq!(numbers.assign(&[(6, b)].into()).1.len(), 0);
    }
}
