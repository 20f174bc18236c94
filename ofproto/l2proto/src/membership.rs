//! Messages about multicast groups as snooping reads them: IGMP (RFC 1112, 2236, 3376) and MLD (RFC 2710, 3810).
//!
//! A message cut short says nothing, one with a wrong checksum is none.

use packet::{icmpv6, igmp};

/// Group records that, without sources, mean that nobody listens any more (RFC 3376 section 4.2.12).
const MODE_IS_INCLUDE: u8 = 1;
const CHANGE_TO_INCLUDE: u8 = 3;
/// Octets before the records of an MLDv2 report.
const MLD2_HEAD: usize = 8;
/// Octets of a record of an MLDv2 report without sources.
const MLD2_RECORD: usize = 20;

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// Somebody here listens to the group (128 bits, IPv4 ones mapped).
    Join(u128),
    /// Somebody stopped.
    Leave(u128),
    /// A router is here.
    Query,
}

/// An IPv4 address as the groups of this crate are written.
pub fn mapped(address: u32) -> u128 {
    0xffff_0000_0000 | u128::from(address)
}

/// What a report's record says.
fn record(group: u128, kind: u8, sources: u16) -> Membership {
    let none = sources == 0 && matches!(kind, MODE_IS_INCLUDE | CHANGE_TO_INCLUDE);
    if none { Membership::Leave(group) } else { Membership::Join(group) }
}

/// Reads the IGMP message of an IPv4 packet from `source`; `None` if its checksum is wrong.
pub fn read_igmp(message: &[u8], source: u32) -> Option<Vec<Membership>> {
    let view = igmp::Packet::new(message).ok().filter(|m| m.is_csum_valid())?;
    Some(match view.kind() {
        igmp::kind::QUERY if source != 0 => vec![Membership::Query],
        igmp::kind::V1_REPORT | igmp::kind::V2_REPORT => vec![Membership::Join(mapped(view.group()))],
        igmp::kind::LEAVE => vec![Membership::Leave(mapped(view.group()))],
        igmp::kind::V3_REPORT => view.records().map(|r| record(mapped(r.group), r.kind, r.sources)).collect(),
        _ => Vec::new(),
    })
}

/// Reads the MLD message of an IPv6 packet between two addresses; `None` if its checksum is wrong.
pub fn read_mld(message: &[u8], source: u128, destination: u128) -> Option<Vec<Membership>> {
    let view = icmpv6::Packet::new(message).ok().filter(|m| m.is_csum_valid(source, destination))?;
    let group = address(message, MLD2_HEAD);
    Some(match (view.kind(), group) {
        (icmpv6::kind::MLD_QUERY, _) if source != 0 => vec![Membership::Query],
        (icmpv6::kind::MLD_REPORT, Some(group)) => vec![Membership::Join(group)],
        (icmpv6::kind::MLD_DONE, Some(group)) => vec![Membership::Leave(group)],
        (icmpv6::kind::MLD2_REPORT, _) => mld2_records(message, view.rest() & 0xffff),
        _ => Vec::new(),
    })
}

fn address(octets: &[u8], at: usize) -> Option<u128> {
    Some(u128::from_be_bytes(octets.get(at..at + 16)?.try_into().ok()?))
}

fn mld2_records(report: &[u8], count: u32) -> Vec<Membership> {
    let mut at = MLD2_HEAD;
    let records = (0..count).map_while(|_| {
        let head = report.get(at..at + MLD2_RECORD)?;
        let group = address(head, 4)?;
        let sources = u16::from_be_bytes([head[2], head[3]]);
        at += MLD2_RECORD + usize::from(sources) * 16 + usize::from(head[1]) * 4;
        Some(record(group, head[0], sources))
    });
    records.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn igmp(mut message: Vec<u8>, source: u32) -> Vec<Membership> {
        if let Ok(mut view) = igmp::Packet::new(&mut message[..]) {
            view.fill_csum();
        }
        read_igmp(&message, source).unwrap_or_default()
    }

    fn mld(mut message: Vec<u8>, source: u128) -> Vec<Membership> {
        if let Ok(mut view) = icmpv6::Packet::new(&mut message[..]) {
            view.fill_csum(source, 9);
        }
        read_mld(&message, source, 9).unwrap_or_default()
    }

    #[test]
    fn igmp_of_all_versions() {
        let group = mapped(0xe101_0101);
        assert_eq!(igmp(vec![0x16, 0, 0, 0, 225, 1, 1, 1], 1), [Membership::Join(group)]);
        assert_eq!(igmp(vec![0x12, 0, 0, 0, 225, 1, 1, 1], 1), [Membership::Join(group)]);
        assert_eq!(igmp(vec![0x17, 0, 0, 0, 225, 1, 1, 1], 1), [Membership::Leave(group)]);
        assert_eq!(igmp(vec![0x11, 9, 0, 0, 0, 0, 0, 0], 1), [Membership::Query]);
        assert_eq!(igmp(vec![0x11, 9, 0, 0, 0, 0, 0, 0], 0), [], "a proxy's query names no router");
        assert_eq!(read_igmp(&[0x16, 0, 0, 0, 225, 1, 1, 1], 1), None, "its checksum is wrong");
        assert_eq!(igmp(vec![0x16, 0], 1), []);
    }

    #[test]
    fn records_of_reports() {
        let group = mapped(0xe101_0101);
        let mut report = vec![0x22, 0, 0, 0, 0, 0, 0, 3];
        report.extend([4, 0, 0, 0, 225, 1, 1, 1]);
        report.extend([3, 0, 0, 0, 225, 1, 1, 1]);
        report.extend([3, 0, 0, 1, 225, 1, 1, 1, 10, 0, 0, 1]);
        let said = igmp(report, 1);
        assert_eq!(said, [Membership::Join(group), Membership::Leave(group), Membership::Join(group)]);
    }

    #[test]
    fn mld_of_both_versions() {
        let group = 0xff0e_u128 << 112 | 0x101;
        let mut report = vec![131, 0, 0, 0, 0, 0, 0, 0];
        report.extend(group.to_be_bytes());
        assert_eq!(mld(report.clone(), 1), [Membership::Join(group)]);
        report[0] = 132;
        assert_eq!(mld(report, 1), [Membership::Leave(group)]);
        let mut v2 = vec![143, 0, 0, 0, 0, 0, 0, 2, 3, 0, 0, 0];
        v2.extend(group.to_be_bytes());
        assert_eq!(mld(v2, 1), [Membership::Leave(group)], "the second record is not there");
        assert_eq!(mld(vec![130; 24], 0), []);
        assert_eq!(mld(Vec::new(), 1), []);
    }
}
