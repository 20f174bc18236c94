//! Fragments on their way into connection tracking: held until their datagram is whole, then let go with its verdict.
//!
//! A datagram is put together beside its fragments, tracked and translated as a whole, and what that changed is written
//! back into each of them ([`Fragment::follow`]): they leave as they came, nothing is cut anew. Whoever waits too long
//! leaves as invalid, behind another packet of its zone.
//!
//! Bounded: fragments in all, and fragments of one datagram by their least size. Only the last may be smaller than that.
//!
//! Source: ovs-dpctl(8), `ipf-*`; RFC 791, 815, 8200 §4.5, 5722 (overlaps are refused).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use flow::{Key, Layers, nw_frag};
use packet::{Offload, PacketBuf, checksum};

/// How long a datagram may take to come together, ms.
const PATIENCE_MS: u64 = 15_000;
/// How long after that its fragments are forgotten, should nothing have taken them along, ms.
const FORGET_MS: u64 = 10_000;
/// Octets of the largest datagram.
const LARGEST: usize = 65_535;
/// Fragments held at most, whatever is asked for.
pub const MOST_FRAGMENTS: u32 = 5000;
/// The least a person may ask for as the least size of a fragment.
pub const LEAST_MIN_SIZE: u32 = 400;

/// What is set for one IP version, and what was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Whether fragments are put together.
    pub enabled: bool,
    /// Least size of a fragment that is not the last, network header and data, octets.
    pub min_size: u32,
    /// Taken in.
    pub accepted: u64,
    /// Let go with their datagram.
    pub completed: u64,
    /// Let go without it.
    pub expired: u64,
    /// Refused for being smaller than the least size.
    pub too_small: u64,
    /// Refused for overlapping others.
    pub overlapped: u64,
    /// Forgotten.
    pub purged: u64,
}

impl Family {
    fn new(min_size: u32) -> Self {
        let (accepted, completed, expired, too_small, overlapped, purged) = (0, 0, 0, 0, 0, 0);
        Self { enabled: true, min_size, accepted, completed, expired, too_small, overlapped, purged }
    }
}

/// Which datagram a fragment is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    zone: u16,
    is_v6: bool,
    recirc_id: u32,
    src: u128,
    dst: u128,
    /// Of IPv6 0: its fragments are told apart without.
    proto: u8,
    id: u32,
}

/// A fragment that waits.
#[derive(Clone, Debug)]
pub(crate) struct Fragment {
    pub(crate) packet: PacketBuf,
    pub(crate) key: Key,
    pub(crate) layers: Layers,
    /// Where its part of the datagram is, from the packet's first octet.
    payload: std::ops::Range<usize>,
    /// Its place in the datagram's data, octets.
    offset: usize,
    /// More are to come.
    more: bool,
}

impl Fragment {
    fn end(&self) -> usize {
        self.offset + self.payload.len()
    }

    fn l3(&self) -> usize {
        usize::from(self.layers.l3)
    }

    /// Looks at a packet that its key says is a fragment; `None`: what it says of itself cannot be.
    fn parse(octets: &[u8], key: &Key, layers: &Layers, offload: Offload) -> Option<(Self, u32)> {
        let l3 = usize::from(layers.l3);
        let end = octets.len().checked_sub(usize::from(layers.l2_pad))?;
        let header = octets.get(l3..end)?;
        let (payload, offset, more, id) = match key.dl_type() {
            0x0800 => {
                let len = usize::from(header.first()? & 0x0f) * 4;
                let field = be16(header, 6)?;
                (l3 + len..end, usize::from(field & 0x1fff) * 8, field & 0x2000 != 0, be16(header, 4)?.into())
            }
            _ => {
                let at = fragment_header(header)?.1;
                let field = be16(header, at + 2)?;
                let id = u32::from(be16(header, at + 4)?) << 16 | u32::from(be16(header, at + 6)?);
                (l3 + at + 8..end, usize::from(field & 0xfff8), field & 1 != 0, id)
            }
        };
        // As in Open vSwitch, data of an odd length may be in the middle: nothing fits behind it.
        if payload.is_empty() || offset + payload.len() + payload.start - l3 > LARGEST {
            return None;
        }
        let mut packet = PacketBuf::new(octets.get(..end)?);
        packet.offload.csum_valid = offload.csum_valid;
        Some((Self { packet, key: key.clone(), layers: *layers, payload, offset, more }, id))
    }

    /// Takes over what became of its datagram: the addresses, and its own part of the data.
    pub(crate) fn follow(&mut self, whole: &[u8], layers: &Layers) {
        let (l3, from) = (self.l3(), usize::from(layers.l3));
        let data = match self.key.dl_type() {
            0x0800 => {
                let len = whole.get(from).map_or(0, |o| usize::from(o & 0x0f) * 4);
                self.copy(whole, from + 12, l3 + 12, 8);
                let own = self.packet.data_mut();
                let header = l3..self.payload.start;
                own[l3 + 10..l3 + 12].fill(0);
                let csum = checksum::of(&own[header]);
                own[l3 + 10..l3 + 12].copy_from_slice(&csum.to_be_bytes());
                from + len
            }
            _ => {
                self.copy(whole, from + 8, l3 + 8, 32);
                // In front of a fragment's data there is one header more than in front of the whole's.
                from + (self.payload.start - l3 - 8)
            }
        };
        let payload = self.payload.clone();
        self.copy(whole, data + self.offset, payload.start, payload.len());
    }

    fn copy(&mut self, whole: &[u8], from: usize, to: usize, len: usize) {
        let (Some(from), Some(to)) = (whole.get(from..from + len), self.packet.data_mut().get_mut(to..to + len)) else {
            return;
        };
        to.copy_from_slice(from);
    }
}

fn be16(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*octets.get(at)?, *octets.get(at + 1)?]))
}

/// Of an IPv6 packet: where the octet is that names the fragment header, and where that header is.
fn fragment_header(packet: &[u8]) -> Option<(usize, usize)> {
    let (mut named_at, mut at) = (6, 40);
    loop {
        let len = usize::from(*packet.get(at + 1)?);
        let size = match packet.get(named_at)? {
            44 => return packet.get(at..at + 8).map(|_| (named_at, at)),
            0 | 43 | 60 => (len + 1) * 8,
            51 => (len + 2) * 4,
            _ => return None,
        };
        (named_at, at) = (at, at + size);
    }
}

/// The datagram of fragments that are all there, in order.
pub(crate) fn whole(fragments: &[Fragment]) -> Option<PacketBuf> {
    let first = fragments.first()?;
    let (octets, l3) = (first.packet.data(), first.l3());
    let mut packet = match first.key.dl_type() {
        0x0800 => PacketBuf::new(octets.get(..first.payload.start)?),
        _ => PacketBuf::new(octets.get(..first.payload.start - 8)?),
    };
    for fragment in fragments {
        packet.extend(&fragment.packet.data()[fragment.payload.clone()]);
    }
    let len = u16::try_from(packet.len() - l3).ok()?;
    let header = &mut packet.data_mut()[l3..];
    if first.key.dl_type() == 0x0800 {
        let header_len = first.payload.start - l3;
        header[2..4].copy_from_slice(&len.to_be_bytes());
        header[6..8].fill(0);
        header[10..12].fill(0);
        let csum = checksum::of(&header[..header_len]);
        header[10..12].copy_from_slice(&csum.to_be_bytes());
    } else {
        let (named_at, at) = fragment_header(&octets[l3..])?;
        header[4..6].copy_from_slice(&(len - 40).to_be_bytes());
        header[named_at] = octets[l3 + at];
    }
    Some(packet)
}

/// A datagram that is coming together: its fragments by offset.
#[derive(Debug)]
struct Datagram {
    fragments: Vec<Fragment>,
    expires_ms: u64,
}

impl Datagram {
    fn has_first(&self) -> bool {
        self.fragments.first().is_some_and(|f| f.offset == 0)
    }

    fn has_last(&self) -> bool {
        self.fragments.iter().any(|f| !f.more)
    }

    /// One that says it is the last may be in the middle, as in Open vSwitch.
    fn is_whole(&self) -> bool {
        let joined = |pair: &[Fragment]| pair[0].end() == pair[1].offset;
        self.has_first() && self.has_last() && self.fragments.windows(2).all(joined)
    }

    /// `false`: it overlaps one that is there.
    fn add(&mut self, fragment: Fragment) -> bool {
        let at = self.fragments.partition_point(|f| f.offset < fragment.offset);
        let is_behind = at == 0 || self.fragments[at - 1].end() <= fragment.offset;
        let is_before = self.fragments.get(at).is_none_or(|next| fragment.end() <= next.offset);
        let fits = is_behind && is_before;
        if fits {
            self.fragments.insert(at, fragment);
        }
        fits
    }
}

/// The checksum over an IPv4 header; `None`: it is cut short.
fn header_sum(octets: &[u8], layers: &Layers) -> Option<u16> {
    let header = octets.get(usize::from(layers.l3)..)?;
    let len = usize::from(header.first()? & 0x0f) * 4;
    Some(checksum::of(header.get(..len)?))
}

/// What became of a fragment.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// It is not put together with others: to be tracked as it is, which makes it invalid.
    Refused,
    /// Nor this, as its header's checksum is wrong.
    WrongSum,
    /// It waits.
    Held,
    /// It was the one missing: all of its datagram, in order.
    Whole(Vec<Fragment>),
}

/// The fragments of a datapath.
#[derive(Debug)]
pub struct Fragments {
    /// IPv4, IPv6.
    pub families: [Family; 2],
    /// Fragments at most that wait.
    pub max: u32,
    datagrams: BTreeMap<Name, Datagram>,
    held: u32,
    /// When the first of them has waited long enough, or earlier.
    next_ms: u64,
    /// The same for those of a zone and an IP version, which only packets of these take along: those of others are not to
    /// look for them in vain.
    due: BTreeMap<(u16, bool), u64>,
    /// Datagrams that were looked at for whether they have waited too long.
    #[cfg(test)]
    looks: u32,
}

impl Default for Fragments {
    fn default() -> Self {
        let families = [Family::new(1200), Family::new(1280)];
        Self {
            families,
            max: 1000,
            datagrams: BTreeMap::new(),
            held: 0,
            next_ms: u64::MAX,
            due: BTreeMap::new(),
            #[cfg(test)]
            looks: 0,
        }
    }
}

impl Fragments {
    /// Takes a packet that its key says is a fragment.
    pub(crate) fn take(
        &mut self,
        octets: &[u8],
        key: &Key,
        layers: &Layers,
        offload: Offload,
        zone: u16,
        now_ms: u64,
    ) -> Arrival {
        let is_v6 = key.dl_type() == 0x86dd;
        let family = &mut self.families[usize::from(is_v6)];
        if !family.enabled || layers.l3 == Layers::NONE || offload.gso.is_some() {
            return Arrival::Refused;
        }
        if !is_v6 && !offload.csum_valid && header_sum(octets, layers).is_some_and(|sum| sum != 0) {
            return Arrival::WrongSum;
        }
        let Some((fragment, id)) = Fragment::parse(octets, key, layers, offload) else { return Arrival::Refused };
        let size = fragment.payload.end - fragment.l3();
        if fragment.more && size < family.min_size as usize {
            family.too_small += 1;
            return Arrival::Refused;
        }
        if self.held >= self.max {
            return Arrival::Refused;
        }
        let (src, dst, proto) = match is_v6 {
            true => (key.ipv6_src(), key.ipv6_dst(), 0),
            false => (key.nw_src().into(), key.nw_dst().into(), key.nw_proto()),
        };
        let name = Name { zone, is_v6, recirc_id: key.recirc_id(), src, dst, proto, id };
        let expires_ms = now_ms + PATIENCE_MS;
        let most = LARGEST / (family.min_size as usize).max(LEAST_MIN_SIZE as usize) + 2;
        let datagram = self.datagrams.entry(name).or_insert(Datagram { fragments: Vec::new(), expires_ms });
        if datagram.fragments.len() >= most || !datagram.add(fragment) {
            family.overlapped += 1;
            return Arrival::Refused;
        }
        family.accepted += 1;
        self.held += 1;
        self.next_ms = self.next_ms.min(datagram.expires_ms);
        let due = self.due.entry((zone, is_v6)).or_insert(u64::MAX);
        *due = (*due).min(datagram.expires_ms);
        if !datagram.is_whole() {
            return Arrival::Held;
        }
        let fragments = self.datagrams.remove(&name).map(|d| d.fragments).unwrap_or_default();
        self.held -= fragments.len() as u32;
        self.families[usize::from(is_v6)].completed += fragments.len() as u64;
        Arrival::Whole(fragments)
    }

    /// The fragments of one datagram of this zone and IP version that have waited too long, if any.
    pub(crate) fn expired(&mut self, zone: u16, is_v6: bool, now_ms: u64) -> Option<Vec<Fragment>> {
        let place = (zone, is_v6);
        if self.due.get(&place).is_none_or(|due| now_ms <= *due) {
            return None;
        }
        let first = Name { zone, is_v6, recirc_id: 0, src: 0, dst: 0, proto: 0, id: 0 };
        // The two that expire first: the one to go, and when the next one is due.
        let (mut oldest, mut next_ms) = (None, u64::MAX);
        for (name, datagram) in self.datagrams.range(first..).take_while(|(n, _)| (n.zone, n.is_v6) == place) {
            #[cfg(test)]
            {
                self.looks += 1;
            }
            match oldest {
                Some((expires_ms, _)) if expires_ms <= datagram.expires_ms => {
                    next_ms = next_ms.min(datagram.expires_ms);
                }
                older => {
                    next_ms = older.map_or(next_ms, |(expires_ms, _)| expires_ms);
                    oldest = Some((datagram.expires_ms, *name));
                }
            }
        }
        let gone = oldest.filter(|(expires_ms, _)| *expires_ms < now_ms);
        match (oldest, gone) {
            (Some((expires_ms, _)), None) => drop(self.due.insert(place, expires_ms)),
            _ if next_ms == u64::MAX => drop(self.due.remove(&place)),
            _ => drop(self.due.insert(place, next_ms)),
        }
        let fragments = self.datagrams.remove(&gone?.1)?.fragments;
        self.held -= fragments.len() as u32;
        self.families[usize::from(is_v6)].expired += fragments.len() as u64;
        Some(fragments)
    }

    /// Forgets fragments that nothing came by for to take along.
    pub(crate) fn purge(&mut self, now_ms: u64) {
        if now_ms <= self.next_ms.saturating_add(FORGET_MS) {
            return;
        }
        let (families, held) = (&mut self.families, &mut self.held);
        self.datagrams.retain(|name, datagram| {
            let stays = datagram.expires_ms + FORGET_MS >= now_ms;
            if !stays {
                families[usize::from(name.is_v6)].purged += datagram.fragments.len() as u64;
                *held -= datagram.fragments.len() as u32;
            }
            stays
        });
        self.next_ms = self.datagrams.values().map(|d| d.expires_ms).min().unwrap_or(u64::MAX);
        // Zones whose last one is gone; what is due earlier than anything there is looked at once.
        let zones = self.datagrams.keys().map(|name| (name.zone, name.is_v6)).collect::<BTreeSet<_>>();
        self.due.retain(|place, _| zones.contains(place));
    }

    /// Fragments that wait.
    pub fn held(&self) -> u32 {
        self.held
    }

    /// One line for each datagram that is coming together.
    pub fn list(&self) -> String {
        let mut out = String::new();
        for (name, datagram) in &self.datagrams {
            let address = |n: u128| match name.is_v6 {
                true => Ipv6Addr::from(n).to_string(),
                false => Ipv4Addr::from(n as u32).to_string(),
            };
            let state = match (datagram.has_first(), datagram.has_last()) {
                (true, true) => "first/last frag",
                (true, false) => "first frag",
                (false, true) => "last frag",
                (false, false) => "other frag",
            };
            // Writing to a string does not fail.
            let _ = writeln!(
                out,
                "(src={},dst={},recirc_id={},ip_id={},dl_type={:#x},zone={},nw_proto={},num_fragments={},state={state})",
                address(name.src),
                address(name.dst),
                name.recirc_id,
                name.id,
                if name.is_v6 { 0x86dd } else { 0x800 },
                name.zone,
                name.proto,
                datagram.fragments.len()
            );
        }
        out
    }
}

/// Whether a packet of this key is for [`Fragments::take`].
pub(crate) fn is_fragment(key: &Key) -> bool {
    key.nw_frag() & nw_frag::ANY != 0 && matches!(key.dl_type(), 0x0800 | 0x86dd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fragment_header_is_found_behind_others() {
        let mut packet = vec![0; 40];
        packet[6] = 60;
        packet.extend([51, 0, 1, 4, 0, 0, 0, 0]);
        packet.extend([44, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        packet.extend([17, 0, 0, 1, 0, 0, 0, 7]);
        assert_eq!(fragment_header(&packet), Some((48, 60)));
        for cut in 0..packet.len() {
            assert_eq!(fragment_header(&packet[..cut]), None, "{cut} octets");
        }
        packet[48] = 17;
        assert_eq!(fragment_header(&packet), None);
    }

    /// A packet of IPv4 with nothing but a fragment's header, and data behind it.
    fn first_fragment(id: u16) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
        frame.extend((20u16 + 16).to_be_bytes());
        frame.extend(id.to_be_bytes());
        frame.extend([0x20, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([7; 16]);
        frame
    }

    /// A flood of fragments in one zone, which wait until something of that zone takes them along, is nothing to packets of
    /// others.
    #[test]
    fn fragments_of_other_zones_are_not_looked_at() {
        let mut fragments = Fragments::default();
        fragments.families[0].min_size = 0;
        let trusted = Offload { csum_valid: true, ..Offload::default() };
        for (zone, ids) in [(1, 0..50), (2, 50..53)] {
            for id in ids {
                let frame = first_fragment(id);
                let (key, layers) = flow::extract::extract(&frame, 1);
                let arrival = fragments.take(&frame, &key, &layers, trusted, zone, 1000 + u64::from(id));
                assert!(matches!(arrival, Arrival::Held));
            }
        }
        let late = 1000 + PATIENCE_MS + 100;
        assert!(fragments.expired(3, false, late).is_none() && fragments.expired(2, true, late).is_none());
        assert_eq!(fragments.looks, 0);
        let gone: Vec<_> =
            std::iter::from_fn(|| fragments.expired(2, false, late)).map(|f| be16(f[0].packet.data(), 18)).collect();
        assert_eq!(gone, [Some(50), Some(51), Some(52)], "the oldest first");
        assert_eq!((fragments.looks, fragments.held()), (6, 50));
        // Half of them are due.
        let gone = std::iter::from_fn(|| fragments.expired(1, false, 1000 + PATIENCE_MS + 25)).count();
        assert_eq!((gone, fragments.held()), (25, 25));
        let looks = fragments.looks;
        assert!(fragments.expired(1, false, 1000 + PATIENCE_MS + 25).is_none());
        assert_eq!(fragments.looks, looks, "when the next one is due is known");
        fragments.purge(1000 + PATIENCE_MS + FORGET_MS + 100);
        assert_eq!((fragments.held(), fragments.due.len()), (0, 0));
    }

    #[test]
    fn datagrams_of_ipv6_come_together() {
        let piece = |offset: u16, more: u16, payload: &[u8]| {
            let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60, 0, 0, 0];
            frame.extend((payload.len() as u16 + 8).to_be_bytes());
            frame.extend([44, 64]);
            frame.extend([0xfd; 32]);
            frame.extend([17, 0]);
            frame.extend((offset | more).to_be_bytes());
            frame.extend([0, 0, 0, 7]);
            frame.extend(payload);
            frame
        };
        let mut fragments = Fragments::default();
        fragments.families[1].min_size = 0;
        let mut take = |frame: &[u8]| {
            let (key, layers) = flow::extract::extract(frame, 1);
            fragments.take(frame, &key, &layers, Offload::default(), 0, 1)
        };
        assert!(matches!(take(&piece(8, 0, &[2; 5])), Arrival::Held));
        let Arrival::Whole(pieces) = take(&piece(0, 1, &[1; 8])) else { panic!("all are there") };
        let datagram = whole(&pieces).unwrap();
        let octets = datagram.data();
        assert_eq!((octets[18..20].as_ref(), octets[20], octets.len()), (&[0, 13][..], 17, 54 + 13));
        assert_eq!(octets[54..], [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
        // What is written to the whole is written to its parts.
        let (_, layers) = flow::extract::extract(octets, 1);
        let mut changed = octets.to_vec();
        (changed[22], changed[54 + 12]) = (0xfc, 9);
        let mut last = pieces[1].clone();
        last.follow(&changed, &layers);
        assert_eq!((last.packet.data()[22], *last.packet.data().last().unwrap()), (0xfc, 9));
    }
}
