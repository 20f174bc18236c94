//! Fields written into packets, checksums kept right: whole ones, and those that only cover a pseudo header yet.
//!
//! The packet's key, already changed, says what its headers shall be; what differs is written, and the checksums that
//! cover it are updated by the difference (RFC 1624). A checksum still to be completed holds the pseudo header's sum, not
//! its complement; ports are then none of its business.

use flow::odp::{Set, SetGroup};
use flow::{Key, Layers, nw_frag};
use packet::{Offload, checksum, sctp};

use crate::ct::Tuple;
use crate::edit::{Edited, Unfit};

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const UDPLITE: u8 = 136;

/// First word that is not of the tunnel.
const TUNNEL_WORDS: usize = 42;

/// Changes the key as the action says; the tunnel's part is replaced as a whole.
pub(crate) fn change_key(key: &mut Key, set: &Set) {
    if let Some(tunnel) = &set.tunnel {
        key.0[..TUNNEL_WORDS].copy_from_slice(&tunnel.0[..TUNNEL_WORDS]);
    }
    for word in &set.words {
        if let Some(at) = key.0.get_mut(usize::from(word.word)) {
            *at = (*at & !word.mask) | (word.value & word.mask);
        }
    }
}

/// Whether a group lives in the packet, not beside it.
pub(crate) fn is_header(group: SetGroup) -> bool {
    !matches!(group, SetGroup::SkbPriority | SetGroup::SkbMark | SetGroup::Tunnel)
}

/// Writes one header of a packet as its key has it.
pub(crate) fn write(octets: &mut [u8], key: &Key, layers: &Layers, offload: &Offload, group: SetGroup) -> Edited {
    let mut header = Header { octets, key, layers, offload };
    match group {
        SetGroup::SkbPriority | SetGroup::SkbMark | SetGroup::Tunnel => Some(()),
        SetGroup::Eth => header.ethernet(),
        SetGroup::Mpls => header.mpls(),
        SetGroup::Ipv4 => header.ipv4(),
        SetGroup::Ipv6 => header.ipv6(),
        SetGroup::Arp => header.arp(),
        SetGroup::Tcp => header.ports(16),
        SetGroup::Udp => header.ports(6),
        SetGroup::Sctp => header.sctp(),
        SetGroup::Icmp | SetGroup::Icmpv6 => header.icmp(),
        SetGroup::Nd => header.nd(),
        SetGroup::NdExtensions => header.nd_extensions(),
        SetGroup::Nsh => header.nsh(),
    }
    .ok_or(Unfit)
}

/// Gives the packet quoted in an ICMP error other addresses and ports, and the error a right checksum.
///
/// `key` and `layers` are the error's.
pub(crate) fn write_quoted(octets: &mut [u8], key: &Key, layers: &Layers, from: &Tuple, to: &Tuple) -> Edited {
    let l4 = usize::from(layers.l4);
    let end = octets.len().checked_sub(usize::from(layers.l2_pad)).ok_or(Unfit)?;
    let error = octets.get_mut(l4..end).filter(|e| e.len() > 28).ok_or(Unfit)?;
    quoted(&mut error[8..], from, to).ok_or(Unfit)?;
    error[2..4].fill(0);
    let pseudo = match to.is_v6 {
        true => checksum::pseudo_v6(key.ipv6_src(), key.ipv6_dst(), ICMPV6, error.len() as u32),
        false => 0,
    };
    let csum = checksum::finish(checksum::sum(error, pseudo)).to_be_bytes();
    error[2..4].copy_from_slice(&csum);
    Ok(())
}

fn quoted(packet: &mut [u8], from: &Tuple, to: &Tuple) -> Option<()> {
    let (addresses, l4) = if to.is_v6 { (8, 40) } else { (12, usize::from(*packet.first()? & 0x0f) * 4) };
    let octets = |tuple: &Tuple| -> Vec<u8> {
        match tuple.is_v6 {
            true => [tuple.src.to_be_bytes(), tuple.dst.to_be_bytes()].concat(),
            false => [(tuple.src as u32).to_be_bytes(), (tuple.dst as u32).to_be_bytes()].concat(),
        }
    };
    let (old, new) = (octets(from), octets(to));
    packet.get_mut(addresses..addresses + new.len())?.copy_from_slice(&new);
    if !to.is_v6 {
        update(packet, 10, &old, &new)?;
    }
    let csum_offset = match to.proto {
        TCP => 16,
        UDP => 6,
        _ => return Some(()),
    };
    let ports = |tuple: &Tuple| [tuple.sport.to_be_bytes(), tuple.dport.to_be_bytes()].concat();
    packet.get_mut(l4..l4 + 4)?.copy_from_slice(&ports(to));
    // What is quoted may end before the checksum.
    let at = l4 + csum_offset;
    if be16(packet, at).is_some_and(|csum| to.proto == TCP || csum != 0) {
        update(packet, at, &[old, ports(from)].concat(), &[new, ports(to)].concat())?;
    }
    Some(())
}

struct Header<'a> {
    octets: &'a mut [u8],
    key: &'a Key,
    layers: &'a Layers,
    offload: &'a Offload,
}

fn mac(address: u64) -> [u8; 6] {
    let b = address.to_be_bytes();
    [b[2], b[3], b[4], b[5], b[6], b[7]]
}

fn be16(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*octets.get(at)?, *octets.get(at + 1)?]))
}

/// Writes `new` at `at`; what was there, if it differs.
fn replace<const N: usize>(octets: &mut [u8], at: usize, new: [u8; N]) -> Option<Option<[u8; N]>> {
    let place = octets.get_mut(at..at.checked_add(N)?)?;
    if *place == new {
        return Some(None);
    }
    let mut old = [0; N];
    old.copy_from_slice(place);
    place.copy_from_slice(&new);
    Some(Some(old))
}

/// Updates the checksum at `at` after octets it covers changed.
fn update(octets: &mut [u8], at: usize, old: &[u8], new: &[u8]) -> Option<()> {
    let csum = checksum::update(be16(octets, at)?, old, new);
    octets.get_mut(at..at + 2)?.copy_from_slice(&csum.to_be_bytes());
    Some(())
}

impl Header<'_> {
    fn l3(&self) -> Option<usize> {
        (self.layers.l3 != Layers::NONE).then_some(usize::from(self.layers.l3))
    }

    /// The transport header; later fragments have none.
    fn l4(&self) -> Option<usize> {
        let is_there = self.layers.l4 != Layers::NONE && self.key.nw_frag() & nw_frag::LATER == 0;
        is_there.then_some(usize::from(self.layers.l4))
    }

    fn ethernet(&mut self) -> Option<()> {
        let addresses = self.octets.get_mut(..12)?;
        addresses[..6].copy_from_slice(&mac(self.key.dl_dst()));
        addresses[6..].copy_from_slice(&mac(self.key.dl_src()));
        Some(())
    }

    fn mpls(&mut self) -> Option<()> {
        let at = usize::from(self.layers.l2_5);
        self.octets.get_mut(at..at + 4)?.copy_from_slice(&self.key.mpls_lse0().to_be_bytes());
        Some(())
    }

    /// Where the packet ends, and padding begins.
    fn end(&self) -> Option<usize> {
        self.octets.len().checked_sub(usize::from(self.layers.l2_pad))
    }

    /// Where the checksum is that covers the pseudo header, if there is one.
    fn pseudo_checksum(&self) -> Option<usize> {
        let offset = match self.key.nw_proto() {
            TCP => 16,
            UDP | UDPLITE => 6,
            ICMPV6 if self.key.dl_type() == 0x86dd => 2,
            _ => return None,
        };
        let at = self.l4()? + offset;
        (at + 2 <= self.end()?).then_some(at)
    }

    /// Whether the checksum at `at` is still to be completed.
    fn is_partial(&self, at: usize) -> bool {
        self.offload.partial_csum.is_some_and(|p| usize::from(p.start) + usize::from(p.offset) == at)
    }

    /// Addresses changed that the transport checksum covers.
    fn addresses_changed(&mut self, old: &[u8], new: &[u8]) {
        let Some(at) = self.pseudo_checksum() else { return };
        let Some(csum) = be16(self.octets, at) else { return };
        let is_udp = self.key.nw_proto() == UDP;
        let csum = if self.is_partial(at) {
            !checksum::update(!csum, old, new)
        } else if is_udp && csum == 0 {
            return;
        } else {
            match checksum::update(csum, old, new) {
                0 if is_udp => 0xffff,
                csum => csum,
            }
        };
        if let Some(place) = self.octets.get_mut(at..at + 2) {
            place.copy_from_slice(&csum.to_be_bytes());
        }
    }

    fn ipv4(&mut self) -> Option<()> {
        let at = self.l3()?;
        self.octets.get(at..at + 20)?;
        for (offset, address) in [(12, self.key.nw_src()), (16, self.key.nw_dst())] {
            let new = address.to_be_bytes();
            if let Some(old) = replace(self.octets, at + offset, new)? {
                update(self.octets, at + 10, &old, &new)?;
                self.addresses_changed(&old, &new);
            }
        }
        // A word of its own each: the checksum goes by words.
        for (offset, octet, low) in [(0, self.key.nw_tos(), true), (8, self.key.nw_ttl(), false)] {
            let word = be16(self.octets, at + offset)?;
            let octet = u16::from(octet);
            let new = if low { word & 0xff00 | octet } else { word & 0x00ff | octet << 8 }.to_be_bytes();
            if let Some(old) = replace(self.octets, at + offset, new)? {
                update(self.octets, at + 10, &old, &new)?;
            }
        }
        Some(())
    }

    fn ipv6(&mut self) -> Option<()> {
        let at = self.l3()?;
        self.octets.get(at..at + 40)?;
        let src = self.key.ipv6_src().to_be_bytes();
        if let Some(old) = replace(self.octets, at + 8, src)? {
            self.addresses_changed(&old, &src);
        }
        let dst = self.key.ipv6_dst().to_be_bytes();
        let is_final = !self.has_route_left(at);
        if let Some(old) = replace(self.octets, at + 24, dst)?
            && is_final
        {
            self.addresses_changed(&old, &dst);
        }
        let word = 6 << 28 | u32::from(self.key.nw_tos()) << 20 | self.key.ipv6_label() & 0x000f_ffff;
        replace(self.octets, at, word.to_be_bytes())?;
        replace(self.octets, at + 7, [self.key.nw_ttl()])?;
        Some(())
    }

    /// Whether a routing header names a later destination: the pseudo header then has that one.
    fn has_route_left(&self, at: usize) -> bool {
        let mut next = self.octets[at + 6];
        let mut at = at + 40;
        while let Some(&[following, len, _kind, left, ..]) = self.octets.get(at..) {
            match next {
                43 => return left != 0,
                0 | 60 => at += (usize::from(len) + 1) * 8,
                51 => at += (usize::from(len) + 2) * 4,
                44 => at += 8,
                _ => return false,
            }
            next = following;
        }
        false
    }

    fn ports(&mut self, csum_offset: usize) -> Option<()> {
        let l4 = self.l4()?;
        let new = [self.key.tp_src().to_be_bytes(), self.key.tp_dst().to_be_bytes()].concat();
        let new = [new[0], new[1], new[2], new[3]];
        let at = l4 + csum_offset;
        self.octets.get(at..at + 2)?;
        let Some(old) = replace(self.octets, l4, new)? else { return Some(()) };
        if self.is_partial(at) {
            return Some(());
        }
        if csum_offset == 6 {
            if be16(self.octets, at)? == 0 {
                return Some(());
            }
            update(self.octets, at, &old, &new)?;
            if be16(self.octets, at)? == 0 {
                self.octets[at..at + 2].fill(0xff);
            }
            return Some(());
        }
        update(self.octets, at, &old, &new)
    }

    /// SCTP's CRC: what was wrong with it before stays wrong.
    fn sctp(&mut self) -> Option<()> {
        let l4 = self.l4()?;
        let end = self.end()?;
        let packet = self.octets.get_mut(l4..end).filter(|p| p.len() >= 12)?;
        let mut new = [0; 4];
        new[..2].copy_from_slice(&self.key.tp_src().to_be_bytes());
        new[2..].copy_from_slice(&self.key.tp_dst().to_be_bytes());
        if packet[..4] == new {
            return Some(());
        }
        let partial = self.offload.partial_csum.is_some_and(|p| usize::from(p.start) == l4);
        if partial || self.key.nw_frag() != 0 {
            packet[..4].copy_from_slice(&new);
            return Some(());
        }
        let read = |packet: &[u8]| u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        let carried = read(packet);
        packet[8..12].fill(0);
        let right_before = sctp::crc(packet);
        packet[..4].copy_from_slice(&new);
        let right_now = sctp::crc(packet);
        packet[8..12].copy_from_slice(&(carried ^ right_before ^ right_now).to_be_bytes());
        Some(())
    }

    fn icmp(&mut self) -> Option<()> {
        let l4 = self.l4()?;
        // All of its header is there, or it has none.
        (l4 + 8 <= self.end()?).then_some(())?;
        let new = [self.key.tp_src() as u8, self.key.tp_dst() as u8];
        if let Some(old) = replace(self.octets, l4, new)? {
            update(self.octets, l4 + 2, &old, &new)?;
        }
        Some(())
    }

    fn arp(&mut self) -> Option<()> {
        let at = self.l3()?;
        let key = self.key;
        let arp = self.octets.get_mut(at..at + 28)?;
        arp[6..8].copy_from_slice(&u16::from(key.nw_proto()).to_be_bytes());
        arp[8..14].copy_from_slice(&mac(key.arp_sha()));
        arp[14..18].copy_from_slice(&key.nw_src().to_be_bytes());
        arp[18..24].copy_from_slice(&mac(key.arp_tha()));
        arp[24..28].copy_from_slice(&key.nw_dst().to_be_bytes());
        Some(())
    }

    fn nd(&mut self) -> Option<()> {
        let l4 = self.l4()?;
        let target = self.key.nd_target().to_be_bytes();
        if let Some(old) = replace(self.octets, l4 + 8, target)? {
            update(self.octets, l4 + 2, &old, &target)?;
        }
        let mut at = l4 + 24;
        while let Some(&[kind, len, ..]) = self.octets.get(at..at + 8) {
            let address = match kind {
                1 => self.key.arp_sha(),
                2 => self.key.arp_tha(),
                _ => 0,
            };
            if matches!(kind, 1 | 2) && len == 1 && address != 0 {
                let new = mac(address);
                if let Some(old) = replace(self.octets, at + 2, new)? {
                    update(self.octets, l4 + 2, &old, &new)?;
                }
            }
            if len == 0 {
                break;
            }
            at += usize::from(len) * 8;
        }
        Some(())
    }

    /// The reserved bits, and the type of the first option.
    fn nd_extensions(&mut self) -> Option<()> {
        let l4 = self.l4()?;
        let reserved = self.key.igmp_group().to_be_bytes();
        if let Some(old) = replace(self.octets, l4 + 4, reserved)? {
            update(self.octets, l4 + 2, &old, &reserved)?;
        }
        if let Some(&[_, len, ..]) = self.octets.get(l4 + 24..l4 + 32) {
            let new = [self.key.tcp_flags() as u8, len];
            if let Some(old) = replace(self.octets, l4 + 24, new)? {
                update(self.octets, l4 + 2, &old, &new)?;
            }
        }
        Some(())
    }

    fn nsh(&mut self) -> Option<()> {
        let at = self.l3()?;
        let key = self.key;
        let nsh = self.octets.get_mut(at..at + 8)?;
        let base = u16::from_be_bytes([nsh[0], nsh[1]]);
        let base = base & 0xc03f | u16::from(key.nsh_flags() & 3) << 12 | u16::from(key.nsh_ttl() & 0x3f) << 6;
        nsh[..2].copy_from_slice(&base.to_be_bytes());
        let path = key.nsh_spi() << 8 | u32::from(key.nsh_si());
        nsh[4..8].copy_from_slice(&path.to_be_bytes());
        if key.nsh_mdtype() == 1 {
            let context = self.octets.get_mut(at + 8..at + 24)?;
            let words = [key.nsh_c1(), key.nsh_c2(), key.nsh_c3(), key.nsh_c4()];
            for (to, word) in context.chunks_exact_mut(4).zip(words) {
                to.copy_from_slice(&word.to_be_bytes());
            }
        }
        Some(())
    }
}
